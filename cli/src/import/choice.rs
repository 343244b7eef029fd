//! Which images of what a source lists, and all that they need.

use std::collections::BTreeMap;

use wharfie_core::client::{Depth, PlatformChoice, PullOptions, Pulled, PulledImage};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::{Config, Descriptor, Document, View};
use wharfie_core::merge::check_layer_count;
use wharfie_core::{Digest, Limits, Platform};

use crate::blob_file::BlobFile;
use crate::checks::Blobs;
use crate::destination::Destination;
use crate::drive::Observer;
use crate::origin::Origin;

/// Which images of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Narrow {
    /// The one that fits a platform best; what is no index is taken as it is.
    Platform(Platform),
    /// The index as it is, with all that it names.
    All,
    /// The one of these digests: an index's, a manifest's within one, or that of what is no index.
    Digests(Vec<Digest>),
}

/// What is to be had of one entry.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Chosen {
    /// The manifest, or the index as a whole.
    pub top: Descriptor,
    /// The manifests, each with what hangs below it.
    pub images: Vec<PulledImage>,
    /// The indexes.
    indexes: Vec<Descriptor>,
}

/// Chooses from what an entry of an origin stands for.
pub(super) fn choose(
    origin: &dyn Origin,
    entry: &Descriptor,
    narrow: &Narrow,
    observer: &dyn Observer,
) -> Result<Chosen> {
    match narrow {
        Narrow::All => whole(origin, entry, observer),
        Narrow::Platform(platform) => {
            let pulled = walk(origin, entry, PlatformChoice::One(platform.clone()), observer)?;
            let [image] = pulled.images.as_slice() else {
                let reason = "the index holds no manifest".to_owned();
                return Err(ErrorKind::NotAnImage { reason }.into());
            };
            let mut top = image.manifest.clone();
            if top.digest == entry.digest {
                top = entry.clone();
            }
            top.size = size(origin, &top)?;
            Ok(Chosen { top, images: pulled.images, indexes: Vec::new() })
        }
        Narrow::Digests(digests) => {
            let mut found = Vec::new();
            search(origin, entry, digests, &mut found, Limits::default().index_depth)?;
            match found.as_slice() {
                [one] => whole(origin, one, observer),
                [] => {
                    let what = format!("{} in {}", listed(digests), entry.digest);
                    Err(ErrorKind::NotFound { what, detail: None }.into())
                }
                [one, other, ..] => {
                    let (one, other) = (one.digest, other.digest);
                    let reason =
                        format!("{one} and {other} are in one index, and a name stands for one of them only");
                    Err(ErrorKind::InvalidOption { reason }.into())
                }
            }
        }
    }
}

fn listed(digests: &[Digest]) -> String {
    digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

fn whole(origin: &dyn Origin, top: &Descriptor, observer: &dyn Observer) -> Result<Chosen> {
    let pulled = walk(origin, top, PlatformChoice::All, observer)?;
    let mut top = top.clone();
    top.size = size(origin, &top)?;
    let mut indexes = Vec::new();
    nested(origin, &top, &mut indexes, Limits::default().index_depth)?;
    Ok(Chosen { top, images: pulled.images, indexes })
}

fn walk(
    origin: &dyn Origin,
    top: &Descriptor,
    platform: PlatformChoice,
    observer: &dyn Observer,
) -> Result<Pulled> {
    // Layers that need not be distributed are taken along if they are there.
    let options =
        PullOptions { platform, depth: Depth::Layers, foreign_layers: false, ..PullOptions::default() };
    origin.walk(top, options, observer)
}

/// The size that a document has, whatever is said of it.
fn size(origin: &dyn Origin, document: &Descriptor) -> Result<u64> {
    origin.document(&document.digest, &Limits::default()).map(|raw| raw.len() as u64)
}

fn index_of(origin: &dyn Origin, descriptor: &Descriptor) -> Result<Option<Document>> {
    let media_type = &descriptor.media_type;
    if !(media_type.is_index() || media_type.is_generic()) {
        return Ok(None);
    }
    let limits = Limits::default();
    let raw = origin.document(&descriptor.digest, &limits)?;
    let said = (!media_type.is_generic()).then(|| media_type.to_string());
    let document =
        Document::parse(&raw, said.as_deref(), &limits).map_err(|error| error.in_blob(descriptor.digest))?;
    Ok(document.index().is_some().then_some(document))
}

/// The indexes from this one down, each once; what it names has been walked before.
fn nested(origin: &dyn Origin, top: &Descriptor, found: &mut Vec<Descriptor>, depth: u32) -> Result<()> {
    if found.iter().any(|index| index.digest == top.digest) {
        return Ok(());
    }
    let Some(document) = index_of(origin, top)? else { return Ok(()) };
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    found.push(top.clone());
    for entry in document.index().map(|index| index.manifests.as_slice()).unwrap_or_default() {
        if entry.media_type.is_index() {
            nested(origin, entry, found, depth)?;
        }
    }
    Ok(())
}

/// Looks for documents of these digests from an entry down. Of an index that is not here nothing is known.
fn search(
    origin: &dyn Origin,
    top: &Descriptor,
    digests: &[Digest],
    found: &mut Vec<Descriptor>,
    depth: u32,
) -> Result<()> {
    if digests.contains(&top.digest) {
        if !found.iter().any(|known| known.digest == top.digest) {
            found.push(top.clone());
        }
        return Ok(());
    }
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    let document = match index_of(origin, top) {
        Err(error) if error.code() == "not_found" => return Ok(()),
        document => document?,
    };
    let Some(document) = document else { return Ok(()) };
    for entry in document.index().map(|index| index.manifests.as_slice()).unwrap_or_default() {
        let is_wanted = digests.contains(&entry.digest);
        if is_wanted || entry.media_type.is_index() || entry.media_type.is_generic() {
            search(origin, entry, digests, found, depth)?;
        }
    }
    Ok(())
}

impl Chosen {
    /// As it is listed where it goes: without the names that it had.
    pub(super) fn listed(&self) -> Descriptor {
        let mut top = self.top.clone();
        top.forget_names();
        top.data = None;
        top
    }

    /// The bytes of all its blobs, each once.
    pub fn bytes(&self) -> u64 {
        let blobs = self.images.iter().flat_map(|image| image.layers.iter().chain(&image.config));
        blobs.map(|blob| (blob.digest, blob.size)).collect::<BTreeMap<_, _>>().values().sum()
    }

    /// Its manifests and indexes.
    fn documents(&self) -> impl Iterator<Item = &Descriptor> {
        let top = self.images.iter().map(|image| &image.manifest).chain(&self.indexes);
        // A manifest that stands alone is both.
        top.chain(std::iter::once(&self.top).filter(|top| {
            let known = self.images.iter().map(|image| &image.manifest).chain(&self.indexes);
            known.into_iter().all(|known| known.digest != top.digest)
        }))
    }

    /// Checks that its manifests and indexes are in an origin and hold.
    pub(super) fn documents_of(&self, origin: &dyn Origin) -> Result<()> {
        let limits = Limits::default();
        self.documents().try_for_each(|document| origin.document(&document.digest, &limits).map(drop))
    }

    /// Its configs and layers as they are to be checked.
    pub(super) fn blobs(&self, origin: &dyn Origin) -> Result<Blobs> {
        let mut blobs = Blobs::default();
        for image in &self.images {
            let of = image.platform.as_ref().map(|platform| format!(" of {platform}")).unwrap_or_default();
            let mut present = image.clone();
            // What is embedded was checked where it is; what need not be here may be missing.
            let mut diff_ids = diff_ids(origin, image)?;
            let mut kept = Vec::new();
            for (position, layer) in image.layers.iter().enumerate() {
                let is_missing = origin.blob(&layer.digest)?.is_none()
                    && (layer.media_type.is_nondistributable() || layer.data.is_some());
                if !is_missing {
                    kept.push((layer.clone(), diff_ids.get(position).copied()));
                }
            }
            if kept.len() != image.layers.len() {
                diff_ids = kept.iter().filter_map(|(_, diff_id)| *diff_id).collect();
                present.layers = kept.into_iter().map(|(layer, _)| layer).collect();
            }
            if let Some(config) = image.config.as_ref().filter(|config| config.data.is_none()) {
                // Those that the origin made are in no file; reading them as documents has checked them.
                match origin.blob(&config.digest)? {
                    Some(_) => drop(blobs.entry(config, format!("config{of}"), false)),
                    None => drop(origin.document(&config.digest, &Limits::default())?),
                }
            }
            blobs.layers(&present, &diff_ids, &of);
        }
        Ok(blobs)
    }

    /// Puts all of it where it goes, blobs first.
    pub(super) fn put(&self, origin: &dyn Origin, target: &mut dyn Destination) -> Result<()> {
        for image in &self.images {
            for blob in image.layers.iter().chain(&image.config) {
                put_blob(origin, blob, target).map_err(|error| error.in_blob(blob.digest))?;
            }
        }
        for document in self.documents() {
            let raw = origin.document(&document.digest, &Limits::default())?;
            let mut document = document.clone();
            document.size = raw.len() as u64;
            target.document(&document, &raw)?;
        }
        Ok(())
    }
}

fn put_blob(origin: &dyn Origin, blob: &Descriptor, target: &mut dyn Destination) -> Result<()> {
    if let Some(file) = origin.blob(&blob.digest)? {
        let mut blob = blob.clone();
        if blob.size == 0 {
            // Schema 1 says no sizes.
            blob.size = file.len;
        }
        return put_file(&blob, &file, target);
    }
    if let Some(data) = &blob.data {
        return target.document(blob, data);
    }
    if blob.media_type.is_nondistributable() {
        return Ok(());
    }
    let raw = origin.document(&blob.digest, &Limits::default())?;
    target.document(blob, &raw)
}

fn put_file(blob: &Descriptor, file: &BlobFile, target: &mut dyn Destination) -> Result<()> {
    if target.has(blob)? { Ok(()) } else { target.blob(blob, file) }
}

/// What an image's config says of its layers: nothing if it is no image's, or schema 1 has it.
fn diff_ids(origin: &dyn Origin, image: &PulledImage) -> Result<Vec<Digest>> {
    let limits = Limits::default();
    let manifest = origin.document(&image.manifest.digest, &limits)?;
    let said = (!image.manifest.media_type.is_generic()).then(|| image.manifest.media_type.to_string());
    let document = Document::parse(&manifest, said.as_deref(), &limits)
        .map_err(|error| error.in_blob(image.manifest.digest))?;
    let (View::Manifest(manifest), Some(config)) = (&document.view, &image.config) else {
        return Ok(Vec::new());
    };
    // Attestations have an image's config, and layers that are none.
    let is_image = (config.media_type.is_config() || config.media_type.is_generic())
        && manifest.artifact_type().is_none()
        && manifest.layers.iter().all(|layer| layer.media_type.is_layer() || layer.media_type.is_generic());
    if !is_image {
        return Ok(Vec::new());
    }
    let place = |error: Error| error.in_blob(config.digest);
    let raw = match &config.data {
        Some(data) => data.clone(),
        None => origin.document(&config.digest, &limits)?,
    };
    let config = Config::parse(&raw, &limits).map_err(place)?;
    check_layer_count(Some(config.diff_ids.len()), image.layers.len()).map_err(place)?;
    Ok(config.diff_ids)
}
