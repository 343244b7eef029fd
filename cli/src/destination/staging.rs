//! A directory that has no name of its own yet.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wharfie_core::error::{Error, ErrorKind, Result};

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

    /// Gives it its name. A directory that is there and not empty goes if `may_replace` says so of it, at this moment: it is
    /// moved out of the way first, and comes back if the name cannot be given.
    ///
    /// # Errors
    /// `already_exists` for what may not be replaced; `local_io`, `permission_denied`, `no_space`.
    pub(super) fn persist(self, target: &Path, may_replace: &dyn Fn(&Path) -> bool) -> Result<()> {
        let failed = |error: &io::Error| io_error("naming the output", Some(target), error);
        // An empty directory is replaced by the rename itself, where the system has that.
        let Err(error) = fs::rename(self.path(), target) else { return Ok(()) };
        let Ok(mut entries) = fs::read_dir(target) else { return Err(failed(&error)) };
        if entries.next().is_some() && !may_replace(target) {
            return Err(ErrorKind::AlreadyExists { what: target.display().to_string() }.into());
        }
        let aside = aside(target).map_err(|error| failed(&error))?;
        let old = aside.path().join("old");
        fs::rename(target, &old).map_err(|error| failed(&error))?;
        let Err(error) = fs::rename(self.path(), target) else { return Ok(()) };
        if let Err(back) = fs::rename(&old, target) {
            let old = aside.keep().join("old");
            let reason = format!(
                "{error}; what was there is now {}, since it could not go back: {back}",
                old.display()
            );
            let error = Error::from(ErrorKind::LocalIo { operation: "naming the output", reason });
            return Err(error.at_path(target.display().to_string()));
        }
        Err(failed(&error))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_into_being_meanwhile_stays() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("out");
        let staged = || {
            let staging = Staging::new(home.path()).unwrap();
            fs::write(staging.path().join("new"), "").unwrap();
            staging
        };
        let early = staged();
        fs::create_dir(&target).unwrap();
        fs::write(target.join("mine"), "").unwrap();
        let error = early.persist(&target, &|_| false).unwrap_err();
        assert_eq!(error.code(), "already_exists");
        assert!(target.join("mine").exists());
        // What is looked at is what is there now.
        staged().persist(&target, &|there| there.join("mine").exists()).unwrap();
        assert!(target.join("new").exists() && !target.join("mine").exists());
        fs::remove_file(target.join("new")).unwrap();
        staged().persist(&target, &|_| false).unwrap();
        assert!(target.join("new").exists());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "something is left beside it");
        fs::remove_dir_all(&target).unwrap();
        fs::write(&target, "a file").unwrap();
        staged().persist(&target, &|_| true).unwrap_err();
        assert_eq!(fs::read(&target).unwrap(), b"a file");
    }
}
