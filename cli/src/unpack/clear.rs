//! Removing a tree that may be hostile, deep, or closed to its own owner.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, chmod, openat, renameat, unlinkat};
use rustix::io::{Errno, Result};

use super::descent::{DIRECTORY, open_directory};

/// How deep directories are open below each other; what is deeper is moved up first.
const DEPTH: usize = 48;
/// How often a directory is emptied again that somebody fills.
const TRIES: u32 = 200;

/// Removes the directory at this path with all that is in it, as far as that goes.
pub(crate) fn remove(path: &Path) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
    let Ok(parent) = openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    else {
        return;
    };
    let _ = remove_at(parent.as_fd(), name.as_encoded_bytes());
}

/// FUSE hides what was open until its server has heard that it is no longer: a moment later it is gone.
fn pause(tried: u32) {
    if tried > 2 {
        std::thread::sleep(Duration::from_millis(u64::from(tried.min(20))));
    }
}

/// Removes a directory in another one with all that is in it.
pub(super) fn remove_at(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    for tried in 0..TRIES {
        pause(tried);
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        match enter(parent, name) {
            Ok(directory) => empty(&directory, |_| false)?,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::NOTEMPTY)
}

/// Removes all that is in a directory, but for names right in it that are to be kept.
pub(super) fn empty(root: &OwnedFd, keep: impl Fn(&[u8]) -> bool) -> Result<()> {
    let mut moved = 0;
    for tried in 0..TRIES {
        pause(tried);
        let mut more = false;
        match sweep(root.as_fd(), root.as_fd(), 0, &keep, &mut moved, &mut more) {
            // Something went while it was looked at.
            Err(Errno::NOENT) => more = true,
            result => result?,
        }
        if !more {
            return Ok(());
        }
    }
    Err(Errno::NOTEMPTY)
}

/// Removes what is in one directory; `more` if something came in the meantime, or was moved up.
fn sweep(
    root: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    depth: usize,
    keep: &dyn Fn(&[u8]) -> bool,
    moved: &mut u64,
    more: &mut bool,
) -> Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") || (depth == 0 && keep(name.to_bytes())) {
            continue;
        }
        // Linux says `EISDIR` of a directory, POSIX `EPERM`.
        match unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {
                crate::unfinished::one_removed();
                continue;
            }
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
        let below = match enter(directory, name.to_bytes()) {
            Ok(below) => below,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                *more = true;
                continue;
            }
            Err(error) => return Err(error),
        };
        if depth < DEPTH {
            sweep(root, below.as_fd(), depth + 1, keep, moved, more)?;
        } else {
            // As deep as it may be: its own turn comes from the top.
            for entry in Dir::read_from(&below)? {
                let entry = entry?;
                if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                    continue;
                }
                *moved += 1;
                *more = true;
                let up = CString::new(format!(".wharfie-{}-{moved}", std::process::id())).unwrap_or_default();
                let up = || renameat(&below, entry.file_name(), root, &up);
                match up() {
                    Ok(()) | Err(Errno::NOENT) => {}
                    // A directory that its owner may not write to may not be moved either.
                    Err(Errno::ACCESS) => {
                        enter(below.as_fd(), entry.file_name().to_bytes())?;
                        up()?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        match unlinkat(directory, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => *more = true,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Opens a directory, though its mode forbid it to its owner.
fn enter(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    let closed = match open_directory(parent, name) {
        // Opened, and not to be searched.
        Ok(directory) if !rustix::process::geteuid().is_root() => {
            let _ = rustix::fs::fchmod(&directory, Mode::RWXU);
            return Ok(directory);
        }
        Err(Errno::ACCESS) => openat(
            parent,
            name,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?,
        result => return result,
    };
    chmod(super::by_descriptor(closed.as_fd()), Mode::RWXU)?;
    openat(parent, name, DIRECTORY, Mode::empty())
}

/// Whether there is nothing in a directory, besides what `but` lets pass.
pub(super) fn is_empty(directory: &OwnedFd, but: impl Fn(&[u8]) -> bool) -> Result<bool> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && !but(name) {
            return Ok(false);
        }
    }
    Ok(true)
}
