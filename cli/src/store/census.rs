//! What a store holds, and what of it nobody needs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::{Config, Descriptor, Document, View};
use wharfie_core::{Algorithm, Digest, Limits};

use super::Store;
use crate::fault::io_error;

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// The images of its index.
    pub images: Vec<Image>,
    /// Blobs, and the bytes of all of them.
    pub blobs: u64,
    /// Bytes of the blobs.
    pub blob_bytes: u64,
    /// Of these, blobs that no image needs.
    pub unused: u64,
    /// Bytes of the blobs that no image needs.
    pub unused_bytes: u64,
    /// Blobs that came in part.
    pub partials: u64,
    /// Bytes of these parts.
    pub partial_bytes: u64,
    /// Side indexes of layers.
    pub side_indexes: u64,
    /// Bytes of these.
    pub side_index_bytes: u64,
}

/// One image of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// The name that the index gives it: a full reference where we wrote it. `None` if it gives none.
    pub name: Option<String>,
    /// Index or manifest.
    pub descriptor: Descriptor,
    /// The platforms of which all blobs are here; empty where that is not known.
    pub platforms: Vec<String>,
    /// Bytes of all that it needs and that is here.
    pub bytes: u64,
    /// Of these, bytes that no other image needs.
    pub own_bytes: u64,
    /// Whether something is missing of every one of its platforms.
    pub incomplete: bool,
    /// When it was last pulled or read.
    pub used: Option<SystemTime>,
}

/// What is to go. Blobs that no image needs, parts of blobs, and side indexes of blobs that are not here always go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prune {
    /// All images.
    pub all: bool,
    /// Images that were not used for so long.
    pub older_than: Option<Duration>,
    /// Removes nothing, and says what would go.
    pub dry_run: bool,
}

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// The images.
    pub images: Vec<String>,
    /// The blobs.
    pub blobs: Vec<Digest>,
    /// How many parts of blobs.
    pub partials: u64,
    /// How many side indexes, of blobs that went or are not here.
    pub side_indexes: u64,
    /// Bytes of all that.
    pub bytes: u64,
}

/// A blob that is here.
struct Held {
    digest: Digest,
    size: u64,
}

/// What hangs below one entry of the index.
#[derive(Default)]
struct Reach {
    /// The blobs that it needs and that are here.
    blobs: BTreeSet<Digest>,
    /// The platforms that are here whole.
    platforms: Vec<String>,
    /// Whether one of its images is here whole.
    whole: bool,
    /// The indexes that were walked, and how deep the walk could still go below them.
    indexes: BTreeMap<Digest, u32>,
    /// Why a document that is here could not be read: then what hangs below it is not known.
    unread: Option<Error>,
}

impl Store {
    /// What there is and what it takes.
    ///
    /// # Errors
    /// `local_io`, `invalid_document`.
    pub fn census(&self) -> Result<Census> {
        let held = self.held()?;
        let sizes: BTreeMap<Digest, u64> = held.iter().map(|held| (held.digest, held.size)).collect();
        let size = |digest: &Digest| sizes.get(digest).copied().unwrap_or(0);
        let listed = self.listed()?;
        let reaches: Vec<Reach> = listed.iter().map(|top| self.reach(top)).collect();
        let mut users: BTreeMap<Digest, u32> = BTreeMap::new();
        for digest in reaches.iter().flat_map(|reach| &reach.blobs) {
            *users.entry(*digest).or_default() += 1;
        }
        let mut census = Census::default();
        for (descriptor, reach) in listed.into_iter().zip(&reaches) {
            let own = |digest: &&Digest| users.get(digest).is_none_or(|users| *users == 1);
            census.images.push(Image {
                name: descriptor.ref_name().map(str::to_owned),
                platforms: reach.platforms.clone(),
                bytes: reach.blobs.iter().map(size).sum(),
                own_bytes: reach.blobs.iter().filter(own).map(size).sum(),
                incomplete: !reach.whole,
                used: self.used(&descriptor.digest),
                descriptor,
            });
        }
        for held in &held {
            census.blobs += 1;
            census.blob_bytes += held.size;
            if !users.contains_key(&held.digest) {
                census.unused += 1;
                census.unused_bytes += held.size;
            }
        }
        for (_, size) in self.leftovers()? {
            census.partials += 1;
            census.partial_bytes += size;
        }
        for (_, size) in self.side_indexes()? {
            census.side_indexes += 1;
            census.side_index_bytes += size;
        }
        Ok(census)
    }

    /// Removes what no image needs, and images as asked.
    ///
    /// # Errors
    /// `busy` while another process uses the store; `local_io`, `permission_denied`, `limit_exceeded` for what cannot be
    /// read or removed: nothing is removed while it is not known what a document needs.
    pub fn prune(&self, what: &Prune) -> Result<Pruned> {
        if what.dry_run { self.sweep(what) } else { self.0.lease.alone(|| self.sweep(what)) }
    }

    fn sweep(&self, what: &Prune) -> Result<Pruned> {
        let now = SystemTime::now();
        let is_old = |top: &Descriptor| match (what.older_than, self.used(&top.digest)) {
            (Some(age), Some(used)) => now.duration_since(used).is_ok_and(|unused| unused >= age),
            // Not even its document is here.
            (Some(_), None) => true,
            (None, _) => false,
        };
        let goes = |top: &Descriptor| what.all || is_old(top);
        let mut pruned = Pruned::default();
        let mut needed = BTreeSet::new();
        for top in self.listed()? {
            if goes(&top) {
                pruned.images.push(top.ref_name().map_or_else(|| top.digest.to_string(), str::to_owned));
            } else {
                let mut reach = self.reach(&top);
                // Nothing goes by halves of what is known: the rest may be what the unread document needs.
                if let Some(error) = reach.unread {
                    return Err(error);
                }
                needed.append(&mut reach.blobs);
            }
        }
        // The index first: it never lists what is half gone.
        if !pruned.images.is_empty() && !what.dry_run {
            self.retain_listed(|top| !goes(top))?;
        }
        let remove = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound && !what.dry_run => {
                Err(io_error("cleaning the store", Some(path), &error))
            }
            _ => Ok(()),
        };
        for held in self.held()?.iter().filter(|held| !needed.contains(&held.digest)) {
            if !what.dry_run {
                remove(&self.blob_path(&held.digest))?;
            }
            pruned.blobs.push(held.digest);
            pruned.bytes += held.size;
        }
        for (path, size) in self.leftovers()? {
            if !what.dry_run {
                remove(&path)?;
            }
            pruned.partials += 1;
            pruned.bytes += size;
        }
        for (blob, size) in self.side_indexes()? {
            if needed.contains(&blob) && self.has(&blob).is_some() {
                continue;
            }
            if !what.dry_run {
                remove(&self.side_path(&blob))?;
            }
            pruned.side_indexes += 1;
            pruned.bytes += size;
        }
        Ok(pruned)
    }

    /// When an image was last pulled or read.
    fn used(&self, top: &Digest) -> Option<SystemTime> {
        fs::metadata(self.blob_path(top)).ok()?.modified().ok()
    }

    /// Every blob that is here.
    fn held(&self) -> Result<Vec<Held>> {
        let mut all = Vec::new();
        for algorithm in Algorithm::ALL {
            let dir = self.root().join("blobs").join(algorithm.name());
            for (path, size) in files(&dir)? {
                let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
                if let Ok(digest) = format!("{algorithm}:{name}").parse() {
                    all.push(Held { digest, size });
                }
            }
        }
        all.sort_by_key(|held| held.digest);
        Ok(all)
    }

    /// Parts of blobs, and temporary files of processes that died.
    fn leftovers(&self) -> Result<Vec<(PathBuf, u64)>> {
        let mut all = files(&self.ingest())?;
        all.retain(|(path, _)| path.extension().is_some_and(|end| end == "partial" || end == "tmp"));
        Ok(all)
    }

    /// Walks down from an entry of the index. What is missing or unreadable ends the walk there.
    fn reach(&self, top: &Descriptor) -> Reach {
        let mut reach = Reach::default();
        self.walk(top, &mut reach, Limits::default().index_depth);
        reach
    }

    fn walk(&self, descriptor: &Descriptor, reach: &mut Reach, depth: u32) {
        // An index may name another a thousand times, and that one a third: each is walked once.
        if descriptor.media_type.is_index() {
            if reach.indexes.get(&descriptor.digest).is_some_and(|walked| *walked >= depth) {
                return;
            }
            reach.indexes.insert(descriptor.digest, depth);
        } else if reach.blobs.contains(&descriptor.digest) {
            return;
        }
        let limits = Limits::default();
        let bytes = match self.read_document(&descriptor.digest, limits.document_bytes) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(error) => {
                // One that has rotted needs nothing any longer: it is fetched again, and what it needs with it.
                if !matches!(error.kind(), ErrorKind::DigestMismatch { .. }) {
                    reach.unread.get_or_insert(error);
                }
                return;
            }
        };
        reach.blobs.insert(descriptor.digest);
        let media_type = Some(descriptor.media_type.as_str());
        let Ok(document) = Document::parse(&bytes, media_type, &limits) else { return };
        let mut whole = true;
        let mut need = |digest: &Digest, size: u64| match self.has(digest) {
            Some(found) if size == 0 || found == size => drop(reach.blobs.insert(*digest)),
            _ => whole = false,
        };
        let platform = match &document.view {
            View::Index(index) => {
                if let Some(depth) = depth.checked_sub(1) {
                    index.manifests.iter().for_each(|entry| self.walk(entry, reach, depth));
                }
                return;
            }
            View::Manifest(manifest) => {
                need(&manifest.config.digest, manifest.config.size);
                for layer in &manifest.layers {
                    // A layer that need not be distributed may have been left out.
                    if !layer.media_type.is_nondistributable() || self.has(&layer.digest).is_some() {
                        need(&layer.digest, layer.size);
                    }
                }
                let config =
                    self.read_document(&manifest.config.digest, limits.document_bytes).ok().flatten();
                let config = config.and_then(|bytes| Config::parse(&bytes, &limits).ok());
                descriptor.platform.clone().or_else(|| config?.platform)
            }
            View::Schema1(manifest) => {
                for entry in manifest.entries.iter().filter(|entry| !entry.history.empty_layer) {
                    need(&entry.blob, 0);
                }
                None
            }
            // A kind that is not known here: what it needs is not known either.
            _ => return,
        };
        if whole && !descriptor.is_attestation() {
            reach.whole = true;
            let name = platform.map(|platform| platform.normalized().to_string());
            reach.platforms.extend(name.filter(|name| !reach.platforms.contains(name)));
        }
    }
}

/// The files of a directory with their sizes; none if it is missing.
pub(super) fn files(dir: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let failed = |error: &std::io::Error| io_error("reading the store", Some(dir), error);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(&error)),
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed(&error))?;
        // One that went in the meantime is not there.
        if let Some(meta) = entry.metadata().ok().filter(fs::Metadata::is_file) {
            all.push((entry.path(), meta.len()));
        }
    }
    all.sort();
    Ok(all)
}
