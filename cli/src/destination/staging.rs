//! A directory that has no name of its own yet.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wharfie_core::error::Result;

use crate::fault::io_error;
#[cfg(target_os = "linux")]
use crate::unfinished::{self, Entered};

/// How their names begin.
pub(super) const PREFIX: &str = ".wharfie-";

/// A temporary directory, removed with all that is in it unless it gets a name.
pub(super) struct Staging {
    dir: TempDir,
    #[cfg(target_os = "linux")]
    _entered: Entered,
}

impl Staging {
    /// A new one in `parent`.
    pub(super) fn new(parent: &Path) -> Result<Staging> {
        Staging::make(parent).map_err(|error| io_error("making a temporary directory", Some(parent), &error))
    }

    #[cfg(target_os = "linux")]
    fn make(parent: &Path) -> io::Result<Staging> {
        let parent = std::path::absolute(parent)?;
        // Its name has to be known before it is there.
        for attempt in 0_u32.. {
            let salt = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.subsec_nanos());
            let name = format!("{PREFIX}{:x}-{salt:x}-{attempt:x}", std::process::id());
            let path = parent.join(&name);
            let made = unfinished::enter_directory(path, || {
                builder().prefix(&name).rand_bytes(0).tempdir_in(&parent)
            });
            match made {
                Ok((dir, entered)) => return Ok(Staging { dir, _entered: entered }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    #[cfg(not(target_os = "linux"))]
    fn make(parent: &Path) -> io::Result<Staging> {
        Ok(Staging { dir: builder().prefix(PREFIX).tempdir_in(parent)? })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Gives it its name. What is there goes, if it is a directory: it is moved out of the way first, and comes back if
    /// the name cannot be given.
    pub(super) fn persist(self, target: &Path) -> Result<()> {
        let failed = |error: &io::Error| io_error("naming the output", Some(target), error);
        let place = || -> io::Result<()> {
            match fs::rename(self.path(), target) {
                // An empty directory is replaced by the rename itself, where the system has that.
                Err(_) if target.is_dir() => {
                    let aside = aside(target)?;
                    let old = aside.path().join("old");
                    fs::rename(target, &old)?;
                    fs::rename(self.path(), target).inspect_err(|_| drop(fs::rename(&old, target)))
                }
                renamed => renamed,
            }
        };
        place().map_err(|error| failed(&error))
    }
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    // It is going to be the output: as the umask has it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder
}

/// A directory beside this one.
fn aside(target: &Path) -> io::Result<TempDir> {
    builder().prefix(PREFIX).tempdir_in(parent(target))
}

/// The directory that a path stands in.
pub(super) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
