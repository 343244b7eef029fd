//! Images on this disk, looked into without unpacking them: every layer read once and none of its files kept, or not read
//! at all where the store has its side index.

mod bodies;
mod find;
mod resume;

use wharfie_core::Digest;
use wharfie_core::error::Result;
use wharfie_core::merge::{
    Checkpoints, History, LayerIndex, Options, Resolver, Scan, SideIndex, Tree, check_layer_count,
};

pub(crate) use self::bodies::{Side, compare};
pub use self::find::Output;
pub(crate) use self::find::{Taking, cat};
use crate::drive::Cancel;
use crate::layers::pass::{Flow, Pass, Reader};
use crate::layers::{LayerReport, LocalImage, LocalLayer, Progress};
use crate::store::Store;

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

struct Indexing {
    scan: Scan,
    /// Those of the layer when it is verified, if its side index is to be kept.
    checkpoints: Option<Checkpoints>,
}

impl Reader for Indexing {
    fn take(&mut self, bytes: &[u8]) -> Result<Flow> {
        self.scan.feed(bytes)?;
        Ok(Flow::More)
    }

    fn wants_checkpoints(&self) -> bool {
        self.checkpoints.is_some()
    }

    fn keep_checkpoints(&mut self, checkpoints: Checkpoints) {
        self.checkpoints = Some(checkpoints);
    }
}

/// Keeps what is known of a layer that was verified, and gives the index back.
fn keep(
    store: &Store,
    local: &LocalLayer,
    report: &LayerReport,
    index: LayerIndex,
    checkpoints: Checkpoints,
) -> LayerIndex {
    let blob = (local.descriptor.digest, local.descriptor.size);
    let side = SideIndex::new(blob, report.format, report.diff_id, index, checkpoints);
    store.keep_side_index(&side);
    side.index
}

/// Where side indexes of layers are.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'s> {
    /// Where they are kept.
    pub store: &'s Store,
    /// Whether those that are there are asked; else all is read, and kept anew.
    pub ask: bool,
}

impl Sides<'_> {
    /// That of one layer of the image.
    fn of(&self, image: &LocalImage, layer: usize, options: &Options) -> Option<SideIndex> {
        let diff_id = image.diff_ids.as_ref().and_then(|ids| ids.get(layer));
        let local = image.layers.get(layer).filter(|_| self.ask)?;
        self.store.side_index(&local.descriptor, diff_id, &options.limits)
    }

    fn keeps(&self) -> bool {
        !self.store.is_read_only()
    }
}

/// An image to look into.
#[derive(Clone, Copy)]
pub struct Viewed<'v> {
    /// Its layers.
    pub image: &'v LocalImage,
    /// Who is told how far reading them has come.
    pub progress: &'v dyn Progress,
    /// Where their side indexes are, if anywhere.
    pub sides: Option<Sides<'v>>,
}

/// Merges each of several images. Their layers are read, those that they share once, unless their side indexes are there;
/// of those that are read side indexes are kept.
///
/// # Errors
/// What is wrong with the images (L20–L25), `local_io`, `cancelled`.
pub fn view(images: &[Viewed<'_>], options: &Options, history: bool, cancel: &Cancel) -> Result<Vec<View>> {
    let mut known: Vec<(Digest, LayerIndex, LayerReport)> = Vec::new();
    let mut views = Vec::new();
    for (number, Viewed { image, progress, sides }) in images.iter().enumerate() {
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
        for (layer, index) in indexes.iter_mut().enumerate().filter(|(_, index)| index.is_none()) {
            let Some(side) = sides.and_then(|sides| sides.of(image, layer, options)) else { continue };
            let descriptor = &image.layers[layer].descriptor;
            reports[layer] = Some(LayerReport::of_side(&side, descriptor));
            *index = Some(side.index.as_layer(layer));
            progress.decoded(layer, descriptor.size, descriptor.size);
        }
        let keeps = sides.filter(Sides::keeps);
        let readers = (0..image.layers.len())
            .filter(|layer| indexes[*layer].is_none())
            .map(|layer| {
                let scan = Scan::new(layer, &options.limits).with_blob(digest(layer));
                match keeps {
                    Some(_) => {
                        (layer, Indexing { scan: scan.summing(), checkpoints: Some(Checkpoints::new()) })
                    }
                    None => (layer, Indexing { scan, checkpoints: None }),
                }
            })
            .collect();
        for (layer, reader, report) in pass.all(readers)? {
            let mut index = reader.scan.finish()?;
            if let (Some(sides), Some(report), Some(checkpoints)) = (keeps, &report, reader.checkpoints) {
                index = keep(sides.store, &image.layers[layer], report, index, checkpoints);
            }
            indexes[layer] = Some(index);
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
