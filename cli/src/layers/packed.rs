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
use crate::blob_file::BlobFile;
use crate::fault::io_error;

/// The blob of a layer, open: a whole file, or a range of one. Positions count from its beginning. Clones share the file.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    file: Arc<File>,
    path: Arc<Path>,
    /// Where it is in the file, for who has opened that.
    place: Arc<BlobFile>,
}

impl Packed {
    /// Opens it.
    ///
    /// # Errors
    /// `local_io`, `permission_denied`, `not_found`.
    pub(crate) fn open(layer: &LocalLayer) -> Result<Packed> {
        let file =
            layer.blob.open().map_err(|error| io_error("opening a layer", Some(&layer.blob.path), &error))?;
        Ok(Packed { file, path: layer.blob.path.as_path().into(), place: Arc::new(layer.blob.clone()) })
    }

    /// The same, of a file that is open; it is read at given positions only.
    pub(super) fn of_file(file: File, layer: &LocalLayer) -> Packed {
        let place = Arc::new(layer.blob.clone());
        Packed { file: Arc::new(file), path: layer.blob.path.as_path().into(), place }
    }

    /// How many bytes there are.
    ///
    /// # Errors
    /// `local_io`.
    pub(crate) fn len(&self) -> Result<u64> {
        self.place.present(&self.file).map_err(|error| io_error("opening a layer", Some(&self.path), &error))
    }

    /// Fills some of `buffer` from byte `offset` on; nothing at the end. Answers how much.
    ///
    /// # Errors
    /// `local_io`.
    pub(crate) fn read_some(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let from = self.place.offset.saturating_add(offset);
        let left = usize::try_from(self.place.end().saturating_sub(from)).unwrap_or(usize::MAX);
        let len = buffer.len().min(left);
        let buffer = buffer.get_mut(..len).unwrap_or_default();
        let read = loop {
            match at::read(&self.file, buffer, from) {
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
        let from = self.place.offset.saturating_add(offset);
        let read = match from.checked_add(buffer.len() as u64) {
            Some(end) if end <= self.place.end() => at::read_exact(&self.file, buffer, from),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        read.map_err(|error| io_error("reading a layer", Some(&self.path), &error))
    }

    /// The compression by its magic (L20), if it can be read and has one that is known.
    pub(crate) fn format(&self) -> Option<Format> {
        let mut magic = [0; Format::MAGIC_BYTES];
        let n = self.read_some(&mut magic, 0).ok()?;
        Format::detect(&magic[..n]).ok()
    }

    /// The same as the decoded layer that it is where it is not compressed, `len` bytes of it.
    pub(super) fn into_spool(self, len: u64) -> Spool {
        Spool::of_range(self.file, self.path, self.place.offset, len)
    }
}
