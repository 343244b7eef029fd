//! `export`

use std::path::Path;

use serde_json::{Value, json};
use wharfie_core::client::PlatformChoice;
use wharfie_core::codec::Format;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::merge::Order;

use super::args::{ExportArgs, FormatArg, OrderArg};
use super::interrupt;
use super::layers::{self, Shown};
use super::open::{self, Opened};
use super::select;
use crate::console::{Bytes, Console};
use crate::drive::Cancel;
use crate::export::{ExportOptions, Report, Sink, export, format_of_name, names_file};
use crate::layers::LocalImage;

/// `export IMAGE -o FILE`
pub(super) fn run(arguments: &ExportArgs, console: &Console) -> Result<()> {
    let to_stdout = arguments.output == Path::new("-");
    // Everything that can be wrong with the options is said before anything is fetched.
    let format = match arguments.format {
        Some(FormatArg::Tar) => Format::Identity,
        Some(FormatArg::TarGz) => Format::Gzip,
        Some(FormatArg::TarZst) => Format::Zstd,
        None => format_by_name(&arguments.output)?,
    };
    let level = arguments.level.map(|level| i32::try_from(level).unwrap_or(i32::MAX));
    format.level(level)?;
    let cancel = Cancel::new();
    let mut merge = select::options(&arguments.root)?;
    merge.order = match arguments.order {
        OrderArg::Stream => Order::Stream,
        OrderArg::Canonical => Order::Canonical,
    };
    let options = ExportOptions {
        format,
        level,
        merge,
        temp_dir: arguments.temp_dir.clone(),
        cancel: cancel.clone(),
        ..ExportOptions::default()
    };
    let sink = if to_stdout { Sink::stdout()? } else { Sink::File(checked(&arguments.output)?) };
    let platform = PlatformChoice::One(open::platform(arguments.platform.platform.as_deref())?);

    let image = &arguments.image;
    let mut opened = open::open_ahead(&image.image, &image.from, platform, console)?;
    let local = opened.layers()?;
    interrupt::stops(&cancel);
    let progress = Shown::new(console, &local);
    let exported = export(&local, &options, sink, &progress);
    drop(progress);
    let report = opened.settle(exported, console)?;
    layers::warn(&report.warnings, &report.layers, console);
    select::warn(&report.unmatched, console);
    if console.trace_level() > 0 && report.untouched {
        console.trace("the layer is what was asked for: its blob was copied as it is");
    } else if console.trace_level() > 0 {
        let (drafted, all) = (Bytes(report.drafted), Bytes(report.tar_bytes));
        console.trace(&format!("{drafted} of {all} were written while the layers were being decoded"));
    }
    if arguments.json {
        console.json(&report_json(&opened, &local, &report));
        return Ok(());
    }
    let target = if to_stdout { "standard output".to_owned() } else { open::shown(&arguments.output) };
    let layers = layers::counted(report.layers.len());
    let size = if report.bytes == report.tar_bytes {
        Bytes(report.bytes).to_string()
    } else {
        format!("{}, {} uncompressed", Bytes(report.bytes), Bytes(report.tar_bytes))
    };
    console.note(&format!(
        "exported {} to {target}: {} entries of {layers}, {size}, in {:.1} s, every digest verified",
        opened.name,
        report.entries,
        report.elapsed.as_secs_f64()
    ));
    Ok(())
}

/// What the output's name asks for: a tar where it says nothing. A name that promises what we do not write is refused.
fn format_by_name(output: &Path) -> Result<Format> {
    if let Some(format) = format_of_name(output) {
        return Ok(format);
    }
    let name = output.to_string_lossy().to_ascii_lowercase();
    let others =
        [".gz", ".zst", ".xz", ".txz", ".bz2", ".tbz2", ".lz4", ".lzma", ".zip", ".7z", ".sqfs", ".squashfs"];
    match others.iter().find(|end| name.ends_with(*end)) {
        None => Ok(Format::Identity),
        Some(end) => {
            let reason = format!(
                "a root is written as .tar, .tar.gz or .tar.zst, not as `{end}`; --format says which whatever the name"
            );
            Err(Error::from(ErrorKind::InvalidOption { reason }).at_path(open::shown(output)))
        }
    }
}

/// A file that can be written: its folder is there.
fn checked(output: &Path) -> Result<std::path::PathBuf> {
    let place = |kind: ErrorKind| Error::from(kind).at_path(open::shown(output));
    if output.is_dir() || !names_file(output) {
        let reason = "the output is a directory: name a file in it".to_owned();
        return Err(place(ErrorKind::InvalidOption { reason }));
    }
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let what = format!("the directory {}", open::shown(folder));
        return Err(place(ErrorKind::NotFound { what, detail: None }));
    }
    Ok(output.to_owned())
}

fn report_json(opened: &Opened, image: &LocalImage, report: &Report) -> Value {
    json!({
        "event": "exported",
        "name": opened.name,
        "digest": opened.pulled.top.digest.to_string(),
        "entries": report.entries,
        "tarBytes": report.tar_bytes,
        "bytes": report.bytes,
        "copiedBytes": report.copied,
        "draftedBytes": report.drafted,
        "untouched": report.untouched,
        "seconds": report.elapsed.as_secs_f64(),
        "layers": layers::layers_json(image, &report.layers),
        "warnings": layers::warnings_json(&report.warnings),
        "notes": layers::notes_json(&report.counts),
        "unmatched": select::json(&report.unmatched),
    })
}
