//! One stream of bytes to a compressed file, on all processors, hashed on both sides.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use wharfie_core::codec::Format;
use wharfie_core::digest::Hasher;
use wharfie_core::error::Result;
use wharfie_core::{Algorithm, Digest};

use super::blocks;
use super::fill::Fill;
use super::output::Output;
use super::{Sink, internal};
use crate::codec::NativeHashes;
use crate::drive::Cancel;
use crate::fault::io_error;

/// A file that was packed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedFile {
    /// The digest of the file.
    pub(crate) digest: Digest,
    /// Its size.
    pub(crate) size: u64,
    /// The digest of what went into it.
    pub(crate) plain: Digest,
}

/// Takes the bytes that are to be packed, in order.
pub(crate) struct Packing<'p> {
    fill: &'p mut dyn Fill,
    hasher: Hasher,
}

impl Packing<'_> {
    /// These bytes come next.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.fill.write(bytes)
    }
}

/// A file and the hash of what went into it.
struct Hashed {
    file: File,
    hasher: Arc<Mutex<Option<Hasher>>>,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        if let Some(hasher) = self.hasher.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            hasher.update(&bytes[..n]);
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Packs what `fill` gives into a new file. The bytes hang on nothing but what is given, format and level.
///
/// # Errors
/// What `fill` answers; `no_space`, `local_io`, `invalid_option` for a level that there is not; `cancelled`.
pub(crate) fn pack_file(
    path: &Path,
    format: Format,
    level: Option<i32>,
    cancel: &Cancel,
    fill: impl FnOnce(&mut Packing<'_>) -> Result<()>,
) -> Result<PackedFile> {
    let level = format.level(level)?;
    let file = File::create_new(path).map_err(|error| io_error("writing a layer", Some(path), &error))?;
    let hasher = Arc::new(Mutex::new(Some(Hasher::new(&NativeHashes, Algorithm::Sha256))));
    let writer = Hashed { file, hasher: Arc::clone(&hasher) };
    let mut output = Output::open(Sink::Stream(Box::new(writer)), format)?;
    let jobs = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let (size, plain) = blocks::write(&mut output, (format, level), jobs, cancel, &|_| (), |to| {
        let mut packing = Packing { fill: to, hasher: Hasher::new(&NativeHashes, Algorithm::Sha256) };
        fill(&mut packing)?;
        Ok(packing.hasher.finish())
    })?;
    output.commit()?;
    let hasher = hasher.lock().unwrap_or_else(PoisonError::into_inner).take();
    let digest = hasher.ok_or_else(|| internal("a file without its hash"))?.finish();
    Ok(PackedFile { digest, size, plain })
}
