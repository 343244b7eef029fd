//! `unpack`

use serde_json::{Value, json};
use wharfie_core::client::{Depth, PlatformChoice};
use wharfie_core::error::Result;
use wharfie_core::merge::Options;
use wharfie_core::tar::Mtime;

use super::args::UnpackArgs;
use super::interrupt;
use super::layers::{self, Shown};
use super::open::{self, Opened};
use crate::console::{Bytes, Console};
use crate::drive::Cancel;
use crate::layers::LocalImage;
use crate::unpack::{Report, UnpackOptions, unpack};

/// `unpack IMAGE DIR`
pub(super) fn run(arguments: &UnpackArgs, console: &Console) -> Result<()> {
    let cancel = Cancel::new();
    let mut merge = Options::default();
    merge.keep_directory_symlink = arguments.keep_directory_symlink;
    merge.mtime_max = arguments.mtime.map(|seconds| Mtime { seconds, nanos: 0 });
    let options = UnpackOptions {
        merge,
        temp_dir: arguments.temp_dir.clone(),
        jobs: arguments.image.from.network.jobs.and_then(|jobs| usize::try_from(jobs).ok()?.try_into().ok()),
        cancel: cancel.clone(),
    };
    let platform = PlatformChoice::One(open::platform(arguments.platform.platform.as_deref())?);

    let image = &arguments.image;
    let opened = open::open(&image.image, &image.from, open::options(platform, Depth::Layers), console)?;
    let local = layers::local(&opened)?;
    interrupt::stops(&cancel);
    let progress = Shown::new(console, &local);
    let report = unpack(&local, &options, &arguments.directory, &progress)
        .map_err(|error| opened.failed(error, console))?;
    drop(progress);
    layers::warn(&report.warnings, &report.layers, console);
    if arguments.json {
        console.json(&report_json(&opened, &local, &report));
        return Ok(());
    }
    console.note(&format!(
        "unpacked {} to {}: {} entries of {} layers, {}, in {:.1} s, every digest verified",
        opened.name,
        open::shown(&arguments.directory),
        report.entries,
        report.layers.len(),
        Bytes(report.bytes),
        report.elapsed.as_secs_f64()
    ));
    Ok(())
}

fn report_json(opened: &Opened, image: &LocalImage, report: &Report) -> Value {
    json!({
        "event": "unpacked",
        "name": opened.name,
        "digest": opened.pulled.top.digest.to_string(),
        "entries": report.entries,
        "bytes": report.bytes,
        "seconds": report.elapsed.as_secs_f64(),
        "layers": layers::layers_json(image, &report.layers),
        "warnings": layers::warnings_json(&report.warnings),
        "notes": layers::notes_json(&report.counts),
    })
}
