//! What every command says of the layers that it reads.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Map, Value, json};
use wharfie_core::merge::{WarningKind, Warnings};
use wharfie_core::name::{Name, to_json};
use wharfie_core::tar::Counts;

use super::watch;
use crate::console::{Console, Task};
use crate::layers::{LayerReport, LocalImage, Progress};

/// Warnings of one kind that are shown one by one.
const SHOWN: u64 = 5;

/// So many layers, in words.
pub(super) fn counted(layers: usize) -> String {
    if layers == 1 { "1 layer".to_owned() } else { format!("{layers} layers") }
}

/// Bars for each layer and for the output.
pub(super) struct Shown<'a> {
    console: &'a Console,
    image: &'a LocalImage,
    layers: Mutex<BTreeMap<usize, Task>>,
    output: Mutex<Option<Task>>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(console: &'a Console, image: &'a LocalImage) -> Shown<'a> {
        Shown { console, image, layers: Mutex::default(), output: Mutex::default() }
    }
}

impl Progress for Shown<'_> {
    fn decoded(&self, layer: usize, position: u64, size: u64) {
        let Ok(mut layers) = self.layers.lock() else { return };
        let digest = self.image.layers.get(layer).map(|layer| watch::short(&layer.descriptor.digest));
        let id = digest.unwrap_or_else(|| layer.to_string());
        let task = layers.entry(layer).or_insert_with(|| self.console.task("reading", &id, 0, Some(size)));
        task.position(position);
        if position >= size
            && let Some(task) = layers.remove(&layer)
        {
            task.done(size);
        }
    }

    fn written(&self, position: u64, size: u64) {
        let Ok(mut output) = self.output.lock() else { return };
        let task = output.get_or_insert_with(|| self.console.task("writing", "the root", 0, Some(size)));
        task.position(position);
        if position >= size
            && let Some(task) = output.take()
        {
            task.done(size);
        }
    }
}

/// Says what was odd about the layers and their entries.
pub(super) fn warn(warnings: &Warnings, layers: &[LayerReport], console: &Console) {
    let mut shown: BTreeMap<&str, u64> = BTreeMap::new();
    for warning in warnings.iter() {
        let count = shown.entry(warning.kind.code()).or_default();
        *count += 1;
        if *count <= SHOWN {
            console.warn(&format!("layer {}, {}: {}", warning.layer, Name(&warning.path), warning.kind));
        }
    }
    for kind in WarningKind::ALL {
        let count = warnings.count(*kind);
        if count > SHOWN {
            console.warn(&format!("and {} more: {kind}", count - SHOWN));
        }
    }
    for (position, layer) in layers.iter().enumerate() {
        if let Some(mismatch) = &layer.mismatch {
            console.warn(&format!("layer {position}: {mismatch}"));
        }
    }
}

/// The layers, for `--json`.
pub(super) fn layers_json(image: &LocalImage, reports: &[LayerReport]) -> Vec<Value> {
    reports
        .iter()
        .zip(&image.layers)
        .map(|(layer, local)| {
            json!({
                "digest": local.descriptor.digest.to_string(),
                "diffId": layer.diff_id.to_string(),
                "tarBytes": layer.tar_bytes,
                "format": layer.format.name(),
            })
        })
        .collect()
}

/// What was odd about the stack, for `--json`.
pub(super) fn warnings_json(warnings: &Warnings) -> Vec<Value> {
    warnings
        .iter()
        .map(|warning| {
            json!({
                "code": warning.kind.code(), "layer": warning.layer,
                "entry": to_json(&warning.path), "byte": warning.byte,
            })
        })
        .collect()
}

/// What was odd about entries, or dropped from them, counted, for `--json`.
pub(super) fn notes_json(counts: &Counts) -> Map<String, Value> {
    counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(note, count)| (note.code().to_owned(), json!(count)))
        .collect()
}
