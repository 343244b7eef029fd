//! Where images are read from on this machine: layouts, archives, directories.

use std::fmt::Debug;
use std::sync::Arc;

use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;
use wharfie_core::{Digest, Limits};

use crate::blob_file::BlobFile;
use crate::drive::Supply;
use crate::layout::Layout;

/// A place on this machine that holds images; nothing in it is trusted before its digest held.
pub trait Origin: Debug + Send + Sync {
    /// What it is called in messages.
    fn name(&self) -> String;

    /// The images that it lists, each with its name as an annotation (`org.opencontainers.image.ref.name`), if it has one.
    ///
    /// # Errors
    /// `invalid_document`, `limit_exceeded`, `local_io`.
    fn entries(&self) -> Result<Vec<Descriptor>>;

    /// Reads a document and checks its digest.
    ///
    /// # Errors
    /// `not_found`, `digest_mismatch`, `limit_exceeded`, `local_io`.
    fn document(&self, digest: &Digest, limits: &Limits) -> Result<Vec<u8>>;

    /// Where a blob is; `None` if it is not here.
    ///
    /// # Errors
    /// `local_io`.
    fn blob(&self, digest: &Digest) -> Result<Option<BlobFile>>;
}

impl Origin for Layout {
    fn name(&self) -> String {
        self.root().display().to_string()
    }

    fn entries(&self) -> Result<Vec<Descriptor>> {
        Layout::entries(self)
    }

    fn document(&self, digest: &Digest, limits: &Limits) -> Result<Vec<u8>> {
        Layout::document(self, digest, limits)
    }

    fn blob(&self, digest: &Digest) -> Result<Option<BlobFile>> {
        Ok(self.blob_size(digest).map(|size| BlobFile::range(self.blob_path(digest), 0, size)))
    }
}

/// What a push takes from an origin.
pub struct Supplied(pub Arc<dyn Origin>);

impl Supply for Supplied {
    fn document(&self, descriptor: &Descriptor) -> Result<Option<Vec<u8>>> {
        self.0.document(&descriptor.digest, &Limits::default()).map(Some)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Option<BlobFile>> {
        self.0.blob(&descriptor.digest)
    }
}
