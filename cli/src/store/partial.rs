//! Blobs on their way.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{Seek as _, SeekFrom};
use std::path::PathBuf;

use wharfie_core::Digest;
use wharfie_core::error::{ErrorKind, Result};

use super::Store;
use crate::fault::io_error;

/// What came of asking for a blob.
#[derive(Debug)]
pub enum Claim {
    /// It is there, of this size.
    Present(u64),
    /// It is to be fetched, by the caller alone.
    Mine(Partial),
    /// Another process fetches it at this moment: ask again later.
    Busy,
}

/// A blob on its way, owned by this process until it is dropped. What is in it stays for the next run.
#[derive(Debug)]
pub struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    digest: Digest,
}

impl Store {
    /// Asks for a blob to write. `size` is what its descriptor says, 0 if that is not known: a blob of another size is
    /// no blob, and is fetched again.
    ///
    /// # Errors
    /// `no_space`, `local_io`, `permission_denied`.
    pub fn claim(&self, digest: &Digest, size: u64) -> Result<Claim> {
        let present = || self.has(digest).filter(|found| size == 0 || *found == size);
        if let Some(found) = present() {
            return Ok(Claim::Present(found));
        }
        let path = self.partial_path(digest);
        let failed =
            |error: &std::io::Error| io_error("writing to the store", Some(&path), error).in_blob(*digest);
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .map_err(|error| failed(&error))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Claim::Busy),
                Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {}
                Err(TryLockError::Error(error)) => return Err(failed(&error)),
            }
            // Between opening and locking, its owner may have finished and renamed it.
            if let Some(found) = present() {
                return Ok(Claim::Present(found));
            }
            let same = |there: Metadata| file.metadata().is_ok_and(|ours| is_same(&ours, &there));
            if !fs::metadata(&path).is_ok_and(same) {
                continue;
            }
            let partial = Partial { file, path, target: self.blob_path(digest), digest: *digest };
            if size != 0 && partial.len()? > size {
                partial.truncate(0)?;
            }
            return Ok(Claim::Mine(partial));
        }
    }
}

impl Store {
    /// How many bytes of a blob an earlier run left, or another one has so far.
    pub fn partial_len(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.partial_path(digest)).ok().map(|meta| meta.len())
    }
}

impl Partial {
    /// Whose bytes these are to be.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The file, at whatever position it is.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// How many bytes are in it.
    ///
    /// # Errors
    /// `local_io`
    #[allow(clippy::len_without_is_empty, reason = "an empty one is one like any other")]
    pub fn len(&self) -> Result<u64> {
        let meta = self
            .file
            .metadata()
            .map_err(|error| io_error("reading from the store", Some(&self.path), &error))?;
        Ok(meta.len())
    }

    /// Drops what comes after the first `len` bytes; the position is there then.
    ///
    /// # Errors
    /// `local_io`
    pub fn truncate(&self, len: u64) -> Result<()> {
        let failed = |error: std::io::Error| {
            io_error("writing to the store", Some(&self.path), &error).in_blob(self.digest)
        };
        self.file.set_len(len).map_err(failed)?;
        (&self.file).seek(SeekFrom::Start(len)).map_err(failed)?;
        Ok(())
    }

    /// Gives the blob its name, once its bytes have been verified. They are written down before: after a power cut
    /// there is the whole blob under its name, or none.
    ///
    /// # Errors
    /// `size_mismatch` if the file is not of this size, `no_space`, `local_io`, `permission_denied`.
    pub fn commit(self, size: u64) -> Result<()> {
        let actual = self.len()?;
        if actual != size {
            return Err(wharfie_core::Error::from(ErrorKind::SizeMismatch { expected: size, actual })
                .in_blob(self.digest));
        }
        let rename = || -> std::io::Result<()> {
            self.file.sync_data()?;
            if let Some(dir) = self.target.parent() {
                fs::create_dir_all(dir)?;
            }
            fs::rename(&self.path, &self.target)
        };
        rename().map_err(|error| {
            io_error("writing to the store", Some(&self.target), &error).in_blob(self.digest)
        })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Nothing to go on from. On Windows a file that is open elsewhere would linger without a name.
        if cfg!(unix)
            && self.file.metadata().is_ok_and(|ours| {
                ours.len() == 0 && fs::metadata(&self.path).is_ok_and(|there| is_same(&ours, &there))
            })
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Where files have no numbers that can be relied on: a partial leaves its name only by becoming the blob, which has
/// been looked for already.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}
