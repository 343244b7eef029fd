//! The blobs of layers, to be read by ranges.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use wharfie_core::codec::Format;
use wharfie_core::error::Result;

use super::LocalLayer;
use super::spool::Spool;
use crate::at;
use crate::fault::io_error;

/// The blob of a layer, open. Clones share the file.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    file: Arc<File>,
    path: Arc<Path>,
}

impl Packed {
    /// Opens it.
    ///
    /// # Errors
    /// `local_io`, `permission_denied`, `not_found`.
    pub(crate) fn open(layer: &LocalLayer) -> Result<Packed> {
        let file = File::open(&layer.path)
            .map_err(|error| io_error("opening a layer", Some(&layer.path), &error))?;
        Ok(Packed { file: Arc::new(file), path: layer.path.as_path().into() })
    }

    /// The same, of a file that is open; it is read at given positions only.
    pub(super) fn of_file(file: File, layer: &LocalLayer) -> Packed {
        Packed { file: Arc::new(file), path: layer.path.as_path().into() }
    }

    /// How many bytes there are.
    ///
    /// # Errors
    /// `local_io`.
    pub(crate) fn len(&self) -> Result<u64> {
        let metadata =
            self.file.metadata().map_err(|error| io_error("opening a layer", Some(&self.path), &error))?;
        Ok(metadata.len())
    }

    /// Fills some of `buffer` from byte `offset` on; nothing at the end. Answers how much.
    ///
    /// # Errors
    /// `local_io`.
    pub(crate) fn read_some(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let read = loop {
            match at::read(&self.file, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        read.map_err(|error| io_error("reading a layer", Some(&self.path), &error))
    }

    /// Fills `buffer` from byte `offset` on.
    ///
    /// # Errors
    /// `local_io`, also where there are not so many bytes.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        at::read_exact(&self.file, buffer, offset)
            .map_err(|error| io_error("reading a layer", Some(&self.path), &error))
    }

    /// The compression by its magic (L20), if it can be read and has one that is known.
    pub(crate) fn format(&self) -> Option<Format> {
        let mut magic = [0; Format::MAGIC_BYTES];
        let n = self.read_some(&mut magic, 0).ok()?;
        Format::detect(&magic[..n]).ok()
    }

    /// The same as the decoded layer that it is where it is not compressed, `len` bytes of it.
    pub(super) fn into_spool(self, len: u64) -> Spool {
        Spool::of_file(self.file, self.path, len)
    }
}
