//! Where images are written to on this machine: layouts, archives, directories.

use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;

use crate::blob_file::BlobFile;

/// A place on this machine that takes images. Nothing has its final name before [`Destination::commit`]; dropped without
/// it, what was there before is as it was.
pub trait Destination: Send {
    /// Whether it has this content already.
    ///
    /// # Errors
    /// `local_io`.
    fn has(&self, descriptor: &Descriptor) -> Result<bool>;

    /// Takes a manifest, index or config, whose digest has been checked.
    ///
    /// # Errors
    /// `no_space`, `local_io`, `permission_denied`.
    fn document(&mut self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()>;

    /// Takes a blob; its digest is checked while it is copied.
    ///
    /// # Errors
    /// As [`Destination::document`]; `digest_mismatch`, `size_mismatch`.
    fn blob(&mut self, descriptor: &Descriptor, from: &BlobFile) -> Result<()>;

    /// Lists a document under a name, or without one, in place of what had that name.
    ///
    /// # Errors
    /// As [`Destination::document`]; `invalid_option` for a name that cannot be kept here.
    fn name(&mut self, top: &Descriptor, name: Option<&str>) -> Result<()>;

    /// All of it is there: it gets its name.
    ///
    /// # Errors
    /// As [`Destination::document`].
    fn commit(self: Box<Self>) -> Result<()>;
}
