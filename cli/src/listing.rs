//! The `index.json` of a layout on this disk, changed by one process at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use wharfie_core::archive::listing::Listing;
use wharfie_core::error::Result;

use crate::fault::io_error;

/// Held while `index.json` is rewritten, by the store as by everything else. It goes with who holds it.
const LOCK: &str = ".index.lock";

/// Reads the index of a layout; one that has none lists nothing.
///
/// # Errors
/// `invalid_document`, `local_io`, `permission_denied`.
pub(crate) fn read(root: &Path) -> Result<Listing> {
    let path = root.join("index.json");
    let raw = match fs::read(&path) {
        Ok(raw) => raw,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Listing::default()),
        Err(error) => return Err(io_error("reading the layout's index", Some(&path), &error)),
    };
    Listing::parse(&raw).map_err(|error| error.at_path(path.display().to_string()))
}

/// Changes the index of a layout, with it to oneself. `change` answers whether it did. Readers see the old index or the
/// new one.
///
/// # Errors
/// `invalid_document`, `no_space`, `local_io`, `permission_denied`, and what `change` answers.
pub(crate) fn edit(root: &Path, change: impl FnOnce(&mut Listing) -> Result<bool>) -> Result<bool> {
    let _held = Held::take(&root.join(LOCK))?;
    let mut listing = read(root)?;
    if !change(&mut listing)? {
        return Ok(false);
    }
    replace(&root.join("index.json"), root, listing.to_string().as_bytes())?;
    Ok(true)
}

/// Puts a file in place whole, or not at all, by way of a temporary one in `by`.
///
/// # Errors
/// `no_space`, `local_io`, `permission_denied`.
pub(crate) fn replace(path: &Path, by: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".wharfie-").suffix(".tmp");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(by)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|error| error.error)
    };
    write().map_err(|error| io_error("writing to the layout", Some(path), &error))
}

/// Holds a lock file exclusively, and removes it at the end.
#[derive(Debug)]
pub(crate) struct Held {
    file: File,
    path: PathBuf,
}

impl Held {
    /// Waits for whoever has it.
    pub(crate) fn take(path: &Path) -> Result<Held> {
        let failed = |error: &io::Error| io_error("locking the layout", Some(path), error);
        loop {
            let file = open(path).map_err(|error| failed(&error))?;
            match file.lock() {
                // Some network file systems have no locks: one user at a time is all that they are good for.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                Err(error) => return Err(failed(&error)),
                Ok(()) => {}
            }
            // Who had it before may have removed it: then others lock another file.
            if is_at(&file, path) {
                return Ok(Held { file, path: path.to_owned() });
            }
        }
    }

    /// Takes it if nobody has it.
    pub(crate) fn try_take(path: &Path) -> Option<Held> {
        let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
        file.try_lock().ok()?;
        is_at(&file, path).then(|| Held { file, path: path.to_owned() })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // While it is locked: who waits for it sees that it is gone.
        if cfg!(unix) {
            let _ = fs::remove_file(&self.path);
        }
        let _ = self.file.unlock();
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// Elsewhere lock files stay.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}
