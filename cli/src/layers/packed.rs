//! The blobs of compressed layers, to be read by ranges.

use std::fs::File;
use std::path::PathBuf;

use wharfie_core::codec::Format;
use wharfie_core::error::Result;

use super::LocalLayer;
use super::spool::read_exact_at;
use crate::fault::io_error;

/// The blob of a layer, open.
#[derive(Debug)]
pub(crate) struct Packed {
    file: File,
    path: PathBuf,
}

impl Packed {
    /// Opens it.
    ///
    /// # Errors
    /// `local_io`, `permission_denied`, `not_found`.
    pub(crate) fn open(layer: &LocalLayer) -> Result<Packed> {
        let file = File::open(&layer.path)
            .map_err(|error| io_error("opening a layer", Some(&layer.path), &error))?;
        Ok(Packed::of_file(file, layer))
    }

    /// The file that it has been read from.
    pub(super) fn of_file(file: File, layer: &LocalLayer) -> Packed {
        Packed { file, path: layer.path.clone() }
    }

    /// Fills `buffer` from byte `offset` on.
    ///
    /// # Errors
    /// `local_io`, also where there are not so many bytes.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        read_exact_at(&self.file, buffer, offset)
            .map_err(|error| io_error("reading a layer", Some(&self.path), &error))
    }

    /// Whether it is gzip by its magic (L20); not if it cannot be read.
    pub(crate) fn is_gzip(&self) -> bool {
        let mut magic = [0; 2];
        self.read(&mut magic, 0).is_ok() && matches!(Format::detect(&magic), Ok(Format::Gzip))
    }
}
