//! The content store: an OCI layout in a directory, shared by processes.

mod census;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;
use wharfie_core::{Digest, Reference};

pub use census::{Census, Image, Prune, Pruned};

/// A store in a directory: an OCI layout (image-spec `image-layout.md`) that other tools can read. Cheap to clone.
///
/// While one lives, no `prune` of another process removes anything.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
}

#[allow(unused_variables, clippy::todo)]
impl Store {
    /// `WHARFIE_STORE`, else `wharfie/store` in the user's cache directory (`$XDG_CACHE_HOME`, `~/.cache`;
    /// `%LOCALAPPDATA%` on Windows).
    ///
    /// # Errors
    /// `invalid_option` where none of these is known.
    pub fn default_dir() -> Result<PathBuf> {
        todo!()
    }

    /// Opens the store in this directory, which is made if it is missing.
    ///
    /// # Errors
    /// `local_io`, `permission_denied`; `invalid_option` if the directory holds something that is no OCI layout.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Store> {
        todo!()
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Where a blob is, or would be: `blobs/<algorithm>/<hex>`.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root().join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// The size of a blob, if it is there.
    pub fn has(&self, digest: &Digest) -> Option<u64> {
        todo!()
    }

    /// Opens a blob for reading, if it is there.
    ///
    /// # Errors
    /// `local_io`, `permission_denied`.
    pub fn open_blob(&self, digest: &Digest) -> Result<Option<File>> {
        todo!()
    }

    /// Reads a document (index, manifest, config) of at most `limit` bytes, if it is there, and checks its digest.
    ///
    /// # Errors
    /// `digest_mismatch`, `limit_exceeded`, `local_io`, `permission_denied`.
    pub fn read_document(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
        todo!()
    }

    /// Keeps a document whose digest has been checked.
    ///
    /// # Errors
    /// `no_space`, `local_io`, `permission_denied`.
    pub fn put_document(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        todo!()
    }

    /// What a reference names, as far as the store knows: by its digest if it has one, else by its tag.
    ///
    /// # Errors
    /// `local_io`, `invalid_document`.
    pub fn resolve(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        todo!()
    }

    /// Lists an image in the layout's index under its full reference (`org.opencontainers.image.ref.name`), in place of
    /// what was listed there.
    ///
    /// # Errors
    /// `no_space`, `local_io`, `invalid_document`.
    pub fn tag(&self, reference: &Reference, descriptor: &Descriptor) -> Result<()> {
        todo!()
    }

    /// Takes an image out of the index; its blobs go with the next prune. Answers whether it was there.
    ///
    /// # Errors
    /// As [`Store::tag`].
    pub fn untag(&self, reference: &Reference) -> Result<bool> {
        todo!()
    }

    /// What there is and what it takes.
    ///
    /// # Errors
    /// `local_io`, `invalid_document`.
    pub fn census(&self) -> Result<Census> {
        todo!()
    }

    /// Removes what no image needs, and images as asked.
    ///
    /// # Errors
    /// `busy` while another process uses the store; `local_io`.
    pub fn prune(&self, what: &Prune) -> Result<Pruned> {
        todo!()
    }

    /// Bytes that this user may still write to the file system of the store. `None` where that cannot be known.
    pub fn available(&self) -> Option<u64> {
        todo!()
    }
}
