//! `unpack`

use serde_json::{Value, json};
use wharfie_core::client::PlatformChoice;
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::merge::{Lack, Lacks, OnUnsupported};
use wharfie_core::name::{Name, to_json};

use super::args::{UnpackArgs, UnsupportedArg};
use super::interrupt;
use super::layers::{self, Shown};
use super::open::{self, Opened};
use super::select;
use crate::console::{Bytes, Console};
use crate::drive::Cancel;
use crate::layers::LocalImage;
use crate::unpack::{Report, UnpackOptions, check_permission, unpack};

/// `unpack IMAGE DIR`
pub(super) fn run(arguments: &UnpackArgs, console: &Console) -> Result<()> {
    let cancel = Cancel::new();
    let merge = select::options(&arguments.root)?;
    if arguments.rootless && !merge.id_maps.is_empty() {
        let reason =
            "--rootless leaves all owners to you: it goes with neither --uid-map nor --gid-map".to_owned();
        return Err(ErrorKind::InvalidOption { reason }.into());
    }
    let options = UnpackOptions {
        merge,
        rootless: arguments.rootless,
        on_unsupported: match arguments.on_unsupported {
            UnsupportedArg::Fail => OnUnsupported::Fail,
            UnsupportedArg::Skip => OnUnsupported::Skip,
            UnsupportedArg::Rename => OnUnsupported::Rename,
        },
        temp_dir: arguments.temp_dir.clone(),
        jobs: None,
        cancel: cancel.clone(),
    };
    check_permission(&options)?;
    let platform = PlatformChoice::One(open::platform(arguments.platform.platform.as_deref())?);

    let image = &arguments.image;
    let mut opened = open::open_ahead(&image.image, &image.from, platform, console)?;
    let local = opened.layers()?;
    interrupt::stops(&cancel);
    let progress = Shown::new(console, &local);
    let unpacked = unpack(&local, &options, &arguments.directory, &progress);
    drop(progress);
    let report = opened.settle(unpacked, console)?;
    layers::warn(&report.warnings, &report.layers, console);
    select::warn(&report.unmatched, console);
    warn(&report.lacks, console);
    if arguments.json {
        console.json(&report_json(&opened, &local, &report));
        return Ok(());
    }
    console.note(&format!(
        "unpacked {} to {}: {} entries of {}, {}, in {:.1} s, every digest verified",
        opened.name,
        open::shown(&arguments.directory),
        report.entries,
        layers::counted(report.layers.len()),
        Bytes(report.bytes),
        report.elapsed.as_secs_f64()
    ));
    Ok(())
}

/// Findings of one kind that are shown one by one.
const SHOWN: usize = 3;

/// Says what could not be set or made.
fn warn(lacks: &Lacks, console: &Console) {
    if lacks.recorded() > 0 {
        console.note(&format!("recorded {} owners in user.rootlesscontainers", lacks.recorded()));
    }
    for lack in Lack::ALL.iter().filter(|lack| lacks.count(**lack) > 0) {
        let count = lacks.count(*lack);
        let first: Vec<String> = lacks
            .iter()
            .filter(|lacking| lacking.lack == *lack)
            .take(SHOWN)
            .map(|lacking| {
                let detail = lacking.detail.iter().map(|detail| format!(" {}", Name(detail)));
                format!("{}{}", Name(&lacking.path), detail.collect::<String>())
            })
            .collect();
        let more = if count > first.len() as u64 { ", …" } else { "" };
        console.warn(&format!("{lack} not kept: {count} ({}{more})", first.join(", ")));
    }
}

fn lacking_json(lacks: &Lacks) -> Value {
    let kinds = Lack::ALL.iter().filter(|lack| lacks.count(**lack) > 0);
    let of = |lack: Lack| {
        let entries = lacks.iter().filter(move |lacking| lacking.lack == lack);
        let entries: Vec<Value> = entries
            .map(|lacking| {
                json!({
                    "entry": to_json(&lacking.path),
                    "detail": lacking.detail.as_deref().map(to_json),
                })
            })
            .collect();
        json!({"code": lack.code(), "count": lacks.count(lack), "entries": entries})
    };
    kinds.map(|lack| of(*lack)).collect()
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
        "unmatched": select::json(&report.unmatched),
        "recordedOwners": report.lacks.recorded(),
        "lacking": lacking_json(&report.lacks),
    })
}
