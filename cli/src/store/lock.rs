//! Locks between processes: the system's own, gone with the process that holds them.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use wharfie_core::error::{ErrorKind, Result};

use crate::fault::io_error;

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| io_error("locking the store", Some(path), &error))
}

/// Whether the file still has its name.
fn is_there(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let name = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        file.metadata().ok().map(name) == std::fs::metadata(path).ok().map(name)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

/// A share in a store: while it lives, nobody prunes.
#[derive(Debug)]
pub(super) struct Lease(Option<Mutex<Share>>);

#[derive(Debug)]
struct Share {
    file: File,
    path: PathBuf,
}

impl Lease {
    /// Waits while another process prunes.
    pub(super) fn take(root: &Path) -> Result<Lease> {
        let ingest = root.join("ingest");
        let path = ingest.join("lock");
        loop {
            std::fs::create_dir_all(&ingest)
                .map_err(|error| io_error("locking the store", Some(&ingest), &error))?;
            let file = match open(&path) {
                // Whoever made a plain layout of it took it away in between.
                Err(_) if !ingest.exists() => continue,
                opened => opened?,
            };
            match file.lock_shared() {
                // Some network file systems have no locks: one user at a time is all that they are good for.
                Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {}
                Err(error) => return Err(io_error("locking the store", Some(&path), &error)),
                // A lock on a file that is not there any longer keeps nobody out.
                Ok(()) if !is_there(&file, &path) => continue,
                Ok(()) => {}
            }
            return Ok(Lease(Some(Mutex::new(Share { file, path }))));
        }
    }

    /// Of a store that nobody can write to.
    pub(super) fn none() -> Lease {
        Lease(None)
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Runs `act` with the store to oneself.
    ///
    /// # Errors
    /// `busy` if others use it.
    pub(super) fn alone<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(share) = &self.0 else {
            let kind = ErrorKind::PermissionDenied {
                operation: "cleaning the store",
                reason: "it can only be read".to_owned(),
            };
            return Err(kind.into());
        };
        let share = share.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let failed = |error: &std::io::Error| io_error("locking the store", Some(&share.path), error);
        // Not every system turns a shared lock into an exclusive one.
        share.file.unlock().map_err(|error| failed(&error))?;
        let done = match share.file.try_lock() {
            Ok(()) => act(),
            Err(TryLockError::WouldBlock) => {
                let root = share.path.parent().and_then(Path::parent).unwrap_or(&share.path);
                Err(ErrorKind::Busy { what: format!("the store {}", root.display()) }.into())
            }
            Err(TryLockError::Error(error)) => Err(failed(&error)),
        };
        let _ = share.file.unlock();
        share.file.lock_shared().map_err(|error| failed(&error))?;
        done
    }
}
