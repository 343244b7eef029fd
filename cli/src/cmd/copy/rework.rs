//! An image as it is to arrive: documents that are made on the way, over those that are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use tempfile::NamedTempFile;
use wharfie_core::codec::Format;
use wharfie_core::copy::{Swap, packed_type, rewrite};
use wharfie_core::digest::Algorithm;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::{Descriptor, View};
use wharfie_core::media_type::Compression;
use wharfie_core::{Digest, Limits, MediaType};

use super::ends::read;
use super::pack;
use super::wishes::Wishes;
use crate::blob_file::BlobFile;
use crate::console::Console;
use crate::drive::Supply;
use crate::origin::{Origin, Supplied};
use crate::store::Store;

/// What is to be copied, and its bytes if they were made here.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) descriptor: Descriptor,
    pub(super) bytes: Option<Vec<u8>>,
}

impl Made {
    pub(super) fn new(media_type: MediaType, algorithm: Algorithm, bytes: Vec<u8>) -> Made {
        let digest = Digest::of(algorithm, &bytes);
        Made { descriptor: Descriptor::new(media_type, digest, bytes.len() as u64), bytes: Some(bytes) }
    }
}

impl From<Descriptor> for Made {
    fn from(descriptor: Descriptor) -> Made {
        Made { descriptor, bytes: None }
    }
}

/// What was made, over what is there.
#[derive(Debug)]
struct Overlay {
    below: Arc<dyn Origin>,
    documents: BTreeMap<Digest, Vec<u8>>,
    blobs: BTreeMap<Digest, (BlobFile, NamedTempFile)>,
}

impl Origin for Overlay {
    fn name(&self) -> String {
        self.below.name()
    }

    fn entries(&self) -> Result<Vec<Descriptor>> {
        self.below.entries()
    }

    fn document(&self, digest: &Digest, limits: &Limits) -> Result<Vec<u8>> {
        match self.documents.get(digest) {
            Some(bytes) => Ok(bytes.clone()),
            None => self.below.document(digest, limits),
        }
    }

    fn blob(&self, digest: &Digest) -> Result<Option<BlobFile>> {
        match self.blobs.get(digest) {
            Some((file, _)) => Ok(Some(file.clone())),
            None => self.below.blob(digest),
        }
    }

    fn find(&self, name: Option<&str>) -> Result<Descriptor> {
        self.below.find(name)
    }
}

/// An image as it is to arrive.
#[derive(Debug)]
pub(super) struct Reworked {
    pub(super) top: Descriptor,
    overlay: Arc<Overlay>,
}

impl Reworked {
    pub(super) fn origin(&self) -> &dyn Origin {
        self.overlay.as_ref()
    }

    /// Whether the top was made here: the source does not have it.
    pub(super) fn is_made(&self) -> bool {
        self.overlay.documents.contains_key(&self.top.digest)
    }

    /// What a push takes.
    pub(super) fn supply(&self) -> Arc<dyn Supply> {
        let origin: Arc<dyn Origin> = self.overlay.clone();
        Arc::new(Supplied(origin))
    }

    /// Has what was made in a store: what is fetched is there, or comes.
    pub(super) fn keep(&self, store: &Store) -> Result<()> {
        for (digest, bytes) in &self.overlay.documents {
            store.put_document(digest, bytes)?;
        }
        for (digest, (_, file)) in &self.overlay.blobs {
            store.adopt(digest, file.path())?;
        }
        Ok(())
    }
}

/// Makes of an image what is wished.
pub(super) fn rework(
    origin: Arc<dyn Origin>,
    made: Made,
    wishes: &Wishes,
    console: &Console,
) -> Result<Reworked> {
    let Made { mut descriptor, bytes } = made;
    // What an index said of it is the index's.
    descriptor.annotations.clear();
    descriptor.data = None;
    let mut overlay = Overlay { below: origin, documents: BTreeMap::new(), blobs: BTreeMap::new() };
    overlay.documents.extend(bytes.map(|bytes| (descriptor.digest, bytes)));
    if wishes.format.is_some() || wishes.compress.is_some() {
        let mut work = Work { overlay, wishes, console, swaps: BTreeMap::new(), lost: Vec::new() };
        if let Some(swap) = work.document(&descriptor, Limits::default().index_depth + 1)? {
            let platform = descriptor.platform.take();
            descriptor = Descriptor::new(swap.media_type, swap.digest, swap.size);
            descriptor.platform = platform;
        }
        if !work.lost.is_empty() {
            console.warn(&format!("docker's format has no {}: they were left out", work.lost.join(", ")));
        }
        overlay = work.overlay;
    }
    Ok(Reworked { top: descriptor, overlay: Arc::new(overlay) })
}

struct Work<'w> {
    overlay: Overlay,
    wishes: &'w Wishes,
    console: &'w Console,
    /// What has been made, or was found to stay.
    swaps: BTreeMap<Digest, Option<Swap>>,
    lost: Vec<&'static str>,
}

impl Work<'_> {
    /// Makes a document anew, and all below it; `None` if it stays.
    fn document(&mut self, descriptor: &Descriptor, depth: u32) -> Result<Option<Swap>> {
        if let Some(known) = self.swaps.get(&descriptor.digest) {
            return Ok(known.clone());
        }
        let Some(depth) = depth.checked_sub(1) else {
            let value = u64::from(Limits::default().index_depth);
            return Err(Error::from(ErrorKind::LimitExceeded { limit: "index_depth", value }));
        };
        let document = read(&self.overlay, descriptor)?;
        let mut swaps = BTreeMap::new();
        match &document.view {
            View::Manifest(manifest) if manifest.check_image().is_ok() => {
                for layer in &manifest.layers {
                    if let Some(swap) = self.layer(layer).map_err(|error| error.in_blob(layer.digest))? {
                        swaps.insert(layer.digest, swap);
                    }
                }
            }
            View::Index(index) => {
                for entry in &index.manifests {
                    let kind = &entry.media_type;
                    if (kind.is_manifest() || kind.is_index() || kind.is_generic())
                        && let Some(swap) = self.document(entry, depth)?
                    {
                        swaps.insert(entry.digest, swap);
                    }
                }
            }
            _ => {}
        }
        let new = rewrite(&document, self.wishes.format, &swaps)
            .map_err(|error| error.in_blob(descriptor.digest))?;
        let swap = new.map(|new| {
            for lost in new.lost {
                if !self.lost.contains(&lost) {
                    self.lost.push(lost);
                }
            }
            let digest = Digest::of(descriptor.digest.algorithm(), &new.bytes);
            let size = new.bytes.len() as u64;
            self.overlay.documents.insert(digest, new.bytes);
            Swap { digest, size, media_type: new.media_type }
        });
        self.swaps.insert(descriptor.digest, swap.clone());
        Ok(swap)
    }

    /// Packs a layer anew, if it is of another format than is wished.
    fn layer(&mut self, layer: &Descriptor) -> Result<Option<Swap>> {
        let Some((format, level)) = self.wishes.compress else { return Ok(None) };
        if let Some(known) = self.swaps.get(&layer.digest) {
            return Ok(known.clone());
        }
        let compression = if format == Format::Zstd { Compression::Zstd } else { Compression::Gzip };
        let swap = match packed_type(&layer.media_type, compression) {
            Some(media_type) => {
                let origin: &dyn Origin = &self.overlay;
                let Some(blob) = origin.content_file(layer)? else {
                    let what = format!("{} in {}", layer.digest, self.overlay.name());
                    return Err(ErrorKind::NotFound { what, detail: None }.into());
                };
                let (digest, file) =
                    pack::pack(layer, &blob, format, level, self.console, &self.wishes.cancel)?;
                let blob = BlobFile::whole(file.path())
                    .map_err(|error| crate::fault::io_error("packing a layer", Some(file.path()), &error))?;
                let size = blob.len;
                self.overlay.blobs.insert(digest, (blob, file));
                Some(Swap { digest, size, media_type })
            }
            None => None,
        };
        self.swaps.insert(layer.digest, swap.clone());
        Ok(swap)
    }
}
