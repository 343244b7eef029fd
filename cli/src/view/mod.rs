//! Images on this disk, looked into without unpacking them: every layer read once and none of its files kept.

mod bodies;
mod find;

use wharfie_core::Digest;
use wharfie_core::error::Result;
use wharfie_core::merge::{History, LayerIndex, Options, Resolver, Scan, Tree, check_layer_count};

pub(crate) use self::bodies::{Side, compare};
pub(crate) use self::find::{Taking, cat};
use crate::drive::Cancel;
use crate::layers::pass::{Flow, Pass, Reader};
use crate::layers::{LayerReport, LocalImage, Progress};

/// The merged tree of an image, every digest of which held.
#[derive(Debug)]
pub struct View {
    /// What it shows.
    pub tree: Tree,
    /// What each layer did.
    pub history: History,
    /// From the bottom.
    pub layers: Vec<LayerReport>,
}

impl View {
    /// The digests of its layers' tars, from the bottom.
    pub fn diff_ids(&self) -> Vec<Digest> {
        self.layers.iter().map(|layer| layer.diff_id).collect()
    }
}

struct Indexing(Scan);

impl Reader for Indexing {
    fn take(&mut self, bytes: &[u8]) -> Result<Flow> {
        self.0.feed(bytes)?;
        Ok(Flow::More)
    }
}

/// Reads the layers of several images, those that images share once, and merges each.
///
/// # Errors
/// What is wrong with the images (L20–L25), `local_io`, `cancelled`.
pub fn view(
    images: &[(&LocalImage, &dyn Progress)],
    options: &Options,
    history: bool,
    cancel: &Cancel,
) -> Result<Vec<View>> {
    let mut known: Vec<(Digest, LayerIndex, LayerReport)> = Vec::new();
    let mut views = Vec::new();
    for (number, (image, progress)) in images.iter().enumerate() {
        check_layer_count(image.diff_ids.as_ref().map(Vec::len), image.layers.len())?;
        let digest = |layer: usize| image.layers[layer].descriptor.digest;
        // A layer that holds what another image's config says of it is the same for this one only if its config says so.
        let shared = |layer: usize| {
            known.iter().find(|(blob, _, report)| {
                let own = image.diff_ids.as_ref().and_then(|ids| ids.get(layer));
                *blob == digest(layer) && own.is_none_or(|own| *own == report.diff_id)
            })
        };
        let pass = Pass { image, limits: &options.limits, cancel, progress: *progress };
        let readers = (0..image.layers.len())
            .filter(|layer| shared(*layer).is_none())
            .map(|layer| {
                let scan = Scan::new(layer, &options.limits).with_blob(digest(layer));
                (layer, Indexing(scan))
            })
            .collect();
        let mut resolver = Resolver::new(image.layers.len(), options)?;
        if history {
            resolver = resolver.with_history();
        }
        let mut reports: Vec<Option<LayerReport>> = vec![None; image.layers.len()];
        let mut indexes: Vec<Option<LayerIndex>> = (0..image.layers.len())
            .map(|layer| {
                let (_, index, report) = shared(layer)?;
                reports[layer] = Some(report.clone());
                Some(index.clone().as_layer(layer))
            })
            .collect();
        for (layer, reader, report) in pass.all(readers)? {
            indexes[layer] = Some(reader.0.finish()?);
            reports[layer] = report;
        }
        for (layer, index) in indexes.into_iter().flatten().enumerate() {
            if let Some(report) = reports[layer].as_ref().filter(|_| number + 1 < images.len()) {
                known.push((digest(layer), index.clone(), report.clone()));
            }
            resolver.supply(index)?;
        }
        let (tree, history) = resolver.finish_with_history()?;
        views.push(View { tree, history, layers: reports.into_iter().flatten().collect() });
    }
    Ok(views)
}
