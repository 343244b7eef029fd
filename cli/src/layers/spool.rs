//! Decoded layers on disk, to be read by ranges.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use wharfie_core::codec::Format;
use wharfie_core::error::{ErrorKind, Result};

use super::{LocalLayer, Packed};
use crate::at;
use crate::fault::{available_space, io_error};

/// The bytes of one decoded layer: a temporary file that has no name, or the blob itself where it is not compressed.
#[derive(Debug)]
pub(crate) struct Spool {
    file: Arc<File>,
    path: Arc<Path>,
    /// Where it begins in the file.
    start: u64,
    len: u64,
}

impl Spool {
    /// A new one in `dir`.
    pub(crate) fn new(dir: &Path) -> Result<Spool> {
        let file = tempfile::tempfile_in(dir)
            .map_err(|error| io_error("making a temporary file", Some(dir), &error))?;
        Ok(Spool { file: Arc::new(file), path: dir.into(), start: 0, len: 0 })
    }

    /// A range of a file that is there.
    pub(super) fn of_range(file: Arc<File>, path: Arc<Path>, start: u64, len: u64) -> Spool {
        Spool { file, path, start, len }
    }

    /// Adds bytes at the end.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.len += bytes.len() as u64;
        (&*self.file)
            .write_all(bytes)
            .map_err(|error| io_error("writing a temporary file", Some(&self.path), &error))
    }

    /// How many bytes it holds.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buffer` from `offset` on.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        at::read_exact(&self.file, buffer, self.start.saturating_add(offset))
            .map_err(|error| io_error("reading a decoded layer", Some(&self.path), &error))
    }
}

/// Looks whether `dir` can hold what these layers are at least when decoded.
///
/// What a layer is at least is told by its own last or first bytes, so that nobody is refused who would have had room;
/// who has too little in spite of it meets the disk's own error later. Layers that are still on their way tell nothing.
///
/// # Errors
/// `no_space`.
pub(crate) fn check_space(layers: &[LocalLayer], dir: &Path) -> Result<()> {
    let Some(available) = available_space(dir) else { return Ok(()) };
    let needed =
        layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(least_decoded_size(layer).unwrap_or(0)));
    if needed <= available {
        return Ok(());
    }
    let error = wharfie_core::Error::from(ErrorKind::NoSpace { needed, available: Some(available) });
    Err(error.at_path(dir.display().to_string()))
}

/// A lower bound: gzip states the size of its last member modulo 2^32 at the end, zstd often the size of its first frame.
fn least_decoded_size(layer: &LocalLayer) -> Option<u64> {
    let blob = Packed::open(layer).ok()?;
    let mut head = [0; 18];
    let n = head.len().min(usize::try_from(layer.descriptor.size).ok()?);
    blob.read(&mut head[..n], 0).ok()?;
    match Format::detect(&head[..n]).ok()? {
        Format::Gzip if layer.descriptor.size >= 18 => {
            let mut tail = [0; 4];
            blob.read(&mut tail, layer.descriptor.size - 4).ok()?;
            Some(u64::from(u32::from_le_bytes(tail)))
        }
        Format::Zstd => zstd::zstd_safe::get_frame_content_size(&head[..n]).ok().flatten(),
        // Read in place.
        _ => None,
    }
}
