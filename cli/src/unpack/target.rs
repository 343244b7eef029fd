//! The directory that is to be, and where it is built until it is whole.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, StatxAttributes, StatxFlags, fremovexattr, fstat, mkdirat,
    openat, renameat, statat, statx,
};
use rustix::io::Errno;
use wharfie_core::error::{Error, ErrorKind, Result};

use super::clear;
use super::descent::{DIRECTORY, open_directory};
use crate::fault::io_error;
use crate::unfinished::{self, Entered};

/// Where a tree is built.
pub(super) struct Target {
    /// As the user named it.
    path: PathBuf,
    /// The directory that holds the one that is built.
    folder: OwnedFd,
    /// The name of the one that is built.
    name: OsString,
    /// It.
    root: Option<OwnedFd>,
    end: End,
    entered: Entered,
    committed: Cell<bool>,
}

/// How it gets its final name.
enum End {
    /// It is renamed to this name in the folder; an empty directory there is replaced.
    Rename(OsString),
    /// The folder is the target, and stays: what is built moves up into it.
    MoveUp,
}

impl Target {
    /// Makes the directory that is built, beside the target or, where that stays as a mount point or the current
    /// directory, inside it.
    ///
    /// # Errors
    /// `already_exists` for a target that is something else than an empty directory, `not_found` for one whose parent is
    /// not there; `local_io`, `permission_denied`.
    pub(super) fn make(path: &Path) -> Result<Target> {
        let opening = |error: Errno| io_error("opening the target directory", Some(path), &error.into());
        let existing = match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(opening(error)),
        };
        let inside = match existing {
            Some(FileType::Directory) => {
                let directory = openat(CWD, path, DIRECTORY, Mode::empty()).map_err(opening)?;
                let mounted = is_mount_point(path, &directory);
                // What mkfs makes is in the way of nobody.
                let lost = |name: &[u8]| {
                    mounted
                        && name == b"lost+found"
                        && open_directory(directory.as_fd(), name)
                            .is_ok_and(|lost| clear::is_empty(&lost, |_| false).unwrap_or(false))
                };
                if !clear::is_empty(&directory, lost).map_err(opening)? {
                    return Err(taken(path, "something in the directory"));
                }
                (mounted || is_current(&directory)).then_some(directory)
            }
            Some(FileType::Symlink) => return Err(taken(path, "a symlink of this name")),
            Some(_) => return Err(taken(path, "a file of this name")),
            None => None,
        };
        if let Some(folder) = inside {
            return Target::build(path, folder, path, End::MoveUp);
        }
        // `Path` looks past slashes at the end.
        let Some(name) = path.file_name() else {
            let reason = format!("{} does not end with the name of a directory", path.display());
            return Err(ErrorKind::InvalidOption { reason }.into());
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = openat(CWD, parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| match error {
                Errno::NOENT => {
                    let what = format!("the directory {}", parent.display());
                    Error::from(ErrorKind::NotFound { what, detail: None })
                        .at_path(path.display().to_string())
                }
                error => opening(error),
            })?;
        match Target::build(path, folder, parent, End::Rename(name.to_owned())) {
            // Its own directory may be the user's though the one that it is in is not.
            Err(error) if existing.is_some() && error.code() == "permission_denied" => {
                let folder = openat(CWD, path, DIRECTORY, Mode::empty()).map_err(opening)?;
                Target::build(path, folder, path, End::MoveUp).map_err(|_| error)
            }
            result => result,
        }
    }

    fn build(path: &Path, folder: OwnedFd, folder_path: &Path, end: End) -> Result<Target> {
        let making =
            |error: io::Error| io_error("making a directory for the tree", Some(folder_path), &error);
        let absolute = std::path::absolute(folder_path).map_err(making)?;
        let mut tries = 0;
        loop {
            let name = temporary_name();
            let made = unfinished::enter_directory(absolute.join(&name), || {
                Ok(mkdirat(&folder, name.as_os_str(), Mode::RWXU)?)
            });
            match made {
                Ok(((), entered)) => {
                    let mut target = Target {
                        path: path.to_owned(),
                        folder,
                        name,
                        root: None,
                        end,
                        entered,
                        committed: Cell::new(false),
                    };
                    let root = open_directory(target.folder.as_fd(), target.name.as_bytes());
                    let root = root.map_err(|error| making(error.into()))?;
                    if !is_new(&root).map_err(|error| making(error.into()))? {
                        return Err(making(io::Error::other(REPLACED)));
                    }
                    bare(&root).map_err(|error| making(error.into()))?;
                    target.root = Some(root);
                    return Ok(target);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < 100 => tries += 1,
                Err(error) => return Err(making(error)),
            }
        }
    }

    /// The root of the tree.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_ref().unwrap_or(&self.folder).as_fd()
    }

    /// All is written: it gets its name. `finish` gives the root its metadata, which are the last that is done before.
    pub(super) fn commit(&self, finish: impl FnOnce(BorrowedFd<'_>) -> Result<()>) -> Result<()> {
        let path = self.path.clone();
        let naming = |error: Errno| match error {
            Errno::NOTEMPTY | Errno::EXIST => taken(&path, "something in the directory"),
            Errno::NOTDIR => taken(&path, "a file of this name"),
            error => io_error("naming the directory", Some(&path), &error.into()),
        };
        match &self.end {
            End::Rename(name) => {
                finish(self.root())?;
                let replaced = || io_error("naming the directory", Some(&path), &io::Error::other(REPLACED));
                let rename = || {
                    if !self.is_at(&self.name).map_err(naming)? {
                        return Err(replaced());
                    }
                    renameat(&self.folder, self.name.as_os_str(), &self.folder, name.as_os_str())
                        .map_err(naming)?;
                    // Between these two calls somebody may have been as well.
                    if self.is_at(name).map_err(naming)? { Ok(()) } else { Err(replaced()) }
                };
                self.entered.hold(rename)?;
                self.committed.set(true);
            }
            End::MoveUp => {
                let up = || {
                    self.move_up().map_err(naming)?;
                    clear::remove_at(self.folder.as_fd(), self.name.as_bytes()).map_err(naming)?;
                    finish(self.folder.as_fd())
                };
                if let Err(error) = self.entered.hold(up) {
                    // It was empty before.
                    let _ = clear::empty(&self.folder, |name| name == b"lost+found");
                    return Err(error);
                }
                self.committed.set(true);
            }
        }
        Ok(())
    }

    /// Whether the directory that was built is still what has this name.
    fn is_at(&self, name: &OsStr) -> rustix::io::Result<bool> {
        let (built, there) = (
            fstat(self.root())?,
            match statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => return Ok(false),
                found => found?,
            },
        );
        Ok((built.st_dev, built.st_ino) == (there.st_dev, there.st_ino))
    }

    fn move_up(&self) -> rustix::io::Result<()> {
        let root = self.root();
        let mut names = Vec::new();
        for entry in Dir::read_from(root)? {
            let name = entry?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name);
            }
        }
        for name in names {
            rustix::fs::renameat_with(root, &name, &self.folder, &name, rustix::fs::RenameFlags::NOREPLACE)
                .or_else(|error| match error {
                // Not every file system knows the flag.
                Errno::INVAL | Errno::NOSYS => renameat(root, &name, &self.folder, &name),
                error => Err(error),
            })?;
        }
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.committed.get() {
            self.root = None;
            let _ = clear::remove_at(self.folder.as_fd(), self.name.as_bytes());
        }
    }
}

/// What is said where a directory is another one than was made.
const REPLACED: &str = "somebody else has put something in its place";

/// Whether a directory is as it was made a moment ago: this user's, with nothing in it.
fn is_new(root: &OwnedFd) -> rustix::io::Result<bool> {
    let (dot, me) = (fstat(root)?, rustix::process::geteuid());
    // Some file systems give everything one owner.
    let mine = dot.st_uid == me.as_raw() || me.is_root();
    Ok(mine && clear::is_empty(root, |_| false)?)
}

/// Nothing of the folder's is to be handed on to what is made: neither ACLs nor its group.
fn bare(root: &OwnedFd) -> rustix::io::Result<()> {
    for name in ["system.posix_acl_default", "system.posix_acl_access"] {
        match fremovexattr(root, name) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM | Errno::NOSYS) => {}
            Err(error) => return Err(error),
        }
    }
    if fstat(root)?.st_mode & 0o7777 != 0o700 {
        // Where modes are fixed, the probe tells.
        let _ = rustix::fs::fchmod(root, Mode::RWXU);
    }
    Ok(())
}

fn is_mount_point(path: &Path, directory: &OwnedFd) -> bool {
    match statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS) {
        Ok(it) if it.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            it.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        }
        _ => {
            let parent = openat(directory, c"..", DIRECTORY, Mode::empty()).and_then(|parent| fstat(&parent));
            match (fstat(directory), parent) {
                (Ok(it), Ok(parent)) => it.st_dev != parent.st_dev,
                _ => path.parent().is_none(),
            }
        }
    }
}

/// Whoever is in the directory would be left in one that has no name any more.
fn is_current(directory: &OwnedFd) -> bool {
    match (fstat(directory), statat(CWD, c".", AtFlags::empty())) {
        (Ok(it), Ok(current)) => (it.st_dev, it.st_ino) == (current.st_dev, current.st_ino),
        _ => false,
    }
}

fn taken(path: &Path, what: &str) -> Error {
    let error = Error::from(ErrorKind::AlreadyExists { what: what.to_owned() });
    error.at_path(path.display().to_string())
}

/// Short, as the target's own name may be as long as names can be.
fn temporary_name() -> OsString {
    let mut name = b".wharfie-".to_vec();
    let seed = std::collections::hash_map::RandomState::new();
    let random = std::hash::BuildHasher::hash_one(&seed, std::process::id());
    name.extend(format!("{:06x}", random & 0xff_ffff).bytes());
    name.extend(b".partial");
    OsString::from_vec(name)
}
