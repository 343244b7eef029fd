//! One directory after another, each with what is in it.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, Uid, XattrFlags, chmod, chownat,
    fchmod, fchown, fsetxattr, ftruncate, futimens, linkat, lsetxattr, makedev, mkdirat, mknodat, openat,
    symlinkat, utimensat,
};
use rustix::io::Errno;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::merge::{Attributes, DirectoryPlan, Node, NodeId};
use wharfie_core::tar::{Kind, Metadata, Mtime};

use super::by_descriptor;
use super::crew::{Crew, Job};
use super::descent::Descent;
use super::window::Window;
use crate::drive::Cancel;
use crate::fault::io_error;
use crate::layers::{Progress, Spool};

/// Entries of one directory that one worker makes in one go.
const ENTRIES: usize = 4_096;
/// Bytes of content likewise.
const BYTES: u64 = 16 << 20;
/// Bytes after which it is told how far it has come.
const TELL: u64 = 4 << 20;

/// A mode that no file has.
const UNKNOWN: u32 = u32::MAX;

/// What new files have without asking.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    /// Bits of a mode that the system takes away.
    pub(super) umask: u32,
    /// Owner and group.
    pub(super) owner: (u32, u32),
    /// Whether modes keep this process out of nothing.
    pub(super) privileged: bool,
}

/// What all workers share.
pub(super) struct Site<'s> {
    pub(super) plan: &'s DirectoryPlan,
    pub(super) spools: &'s [Spool],
    pub(super) root: BorrowedFd<'s>,
    pub(super) habits: Habits,
    /// The target as the user named it.
    pub(super) path: &'s Path,
    pub(super) cancel: &'s Cancel,
    pub(super) progress: &'s dyn Progress,
    /// Directories that each worker may keep open.
    pub(super) descriptors: usize,
    /// Directories whose metadata come at the end.
    pub(super) later: Mutex<Vec<usize>>,
    pub(super) written: AtomicU64,
}

impl Site<'_> {
    /// Makes everything but the root's metadata.
    pub(super) fn build(&self, workers: usize) -> Result<()> {
        let crew = Crew::new(workers);
        crew.push(0, std::iter::once(Job { directory: 0, entries: None }));
        let hire = |number| Worker {
            site: self,
            crew: &crew,
            number,
            descent: Descent::new(self.plan, self.root, self.descriptors),
            window: Window::new(self.spools),
        };
        crew.run(hire, Worker::work)?;
        self.check()?;
        self.link()?;
        self.finish_directories()?;
        let total = self.plan.content_bytes();
        self.progress.written(total, total);
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(ErrorKind::Cancelled {}.into()) } else { Ok(()) }
    }

    /// The later names of files.
    fn link(&self) -> Result<()> {
        let mut from = Descent::new(self.plan, self.root, self.descriptors / 2);
        let mut to = Descent::new(self.plan, self.root, self.descriptors / 2);
        for (name, first) in self.plan.links() {
            self.check()?;
            let (Some(parent), Some(first_parent)) = (name.parent(), first.parent()) else { continue };
            from.open(first_parent)
                .and_then(|from| {
                    linkat(
                        from,
                        self.plan.name(first),
                        to.open(parent)?,
                        self.plan.name(name),
                        AtFlags::empty(),
                    )
                })
                .map_err(|error| self.failed("making a hard link", name, error))?;
        }
        Ok(())
    }

    /// The metadata of directories into which something came late, from the leaves up.
    fn finish_directories(&self) -> Result<()> {
        let mut later = std::mem::take(&mut *self.later.lock().unwrap_or_else(PoisonError::into_inner));
        later.sort_unstable_by(|a, b| b.cmp(a));
        let mut descent = Descent::new(self.plan, self.root, self.descriptors);
        for number in later.into_iter().filter(|number| *number > 0) {
            let Some(directory) = self.plan.directory(number) else { continue };
            let node = directory.node;
            let fd = descent.open(node).map_err(|error| self.failed("opening a directory", node, error))?;
            self.dress_directory(fd, node)?;
        }
        Ok(())
    }

    /// Gives a directory its metadata.
    pub(super) fn dress_directory(&self, fd: BorrowedFd<'_>, node: Node<'_>) -> Result<()> {
        let attributes = self.attributes(node)?;
        // The root is made before anybody knows what it is to be.
        let made = if node.parent().is_none() { UNKNOWN } else { self.made_mode(&attributes) };
        self.dress(fd, node, &attributes, made)
    }

    fn attributes(&self, node: Node<'_>) -> Result<Attributes> {
        self.plan.attributes(node).map_err(|error| error.at(self.plan.place(node)))
    }

    /// The mode that a directory is made with: the final one, where that is in nobody's way.
    fn made_mode(&self, Attributes { metadata, .. }: &Attributes) -> u32 {
        let direct = metadata.mode & (self.habits.umask | 0o7000) == 0
            && self.keeps_direct(metadata)
            && (self.habits.privileged || metadata.mode & 0o700 == 0o700);
        if direct { metadata.mode } else { 0o700 }
    }

    /// Whether what has its final mode from the start can still be given its attributes: those who are not root may not
    /// write them to what they may not write to.
    fn keeps_direct(&self, metadata: &Metadata) -> bool {
        self.habits.privileged || metadata.xattrs.is_empty() || metadata.mode & 0o600 == 0o600
    }

    /// Gives an open file or directory, made with the mode `made`, its metadata. What takes away what others gave comes
    /// first: a change of the owner takes set-id bits and capabilities.
    fn dress(&self, fd: BorrowedFd<'_>, node: Node<'_>, attributes: &Attributes, made: u32) -> Result<()> {
        let metadata = &attributes.metadata;
        if attributes.sets_owner && ((metadata.uid, metadata.gid) != self.habits.owner || made == UNKNOWN) {
            fchown(fd, Some(Uid::from_raw(metadata.uid)), Some(Gid::from_raw(metadata.gid)))
                .map_err(|error| self.failed("setting an owner", node, error))?;
        }
        let mode = || {
            if !attributes.sets_mode || metadata.mode == made {
                return Ok(());
            }
            fchmod(fd, Mode::from_raw_mode(metadata.mode))
                .map_err(|error| self.failed("setting a mode", node, error))
        };
        // A mode takes nothing from attributes, but an ACL is part of it; and only root may write attributes to what is
        // not to be written to.
        if self.habits.privileged {
            mode()?;
        }
        for (name, value) in &metadata.xattrs {
            fsetxattr(fd, name.as_slice(), value, XattrFlags::empty())
                .map_err(|error| self.failed_xattr(node, value.len(), error))?;
        }
        if !self.habits.privileged {
            mode()?;
        }
        futimens(fd, &times(metadata.mtime)).map_err(|error| self.failed("setting a time", node, error))
    }

    fn failed_xattr(&self, node: Node<'_>, len: usize, error: Errno) -> Error {
        let operation = "setting an extended attribute";
        if !matches!(error, Errno::NOSPC | Errno::TOOBIG | Errno::RANGE) {
            return self.failed(operation, node, error);
        }
        // Not the disk is full, but what the file system has for attributes of one file.
        let reason = format!("the file system has no room for one of {len} bytes");
        let path = self.path.display().to_string();
        Error::from(ErrorKind::LocalIo { operation, reason }).at_path(path).at(self.plan.place(node))
    }

    fn failed(&self, operation: &'static str, node: Node<'_>, error: Errno) -> Error {
        io_error(operation, Some(self.path), &error.into()).at(self.plan.place(node))
    }

    fn count(&self, bytes: u64) {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        let (total, now) = (self.plan.content_bytes(), before + bytes);
        if before / TELL != now / TELL && now < total {
            self.progress.written(now, total);
        }
    }
}

/// A time of change. That of the last access is now, as it was anyhow: what FUSE serves by its second version passes over
/// calls that leave one of the two out.
pub(super) fn times(mtime: Mtime) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() },
    }
}

struct Worker<'w> {
    site: &'w Site<'w>,
    crew: &'w Crew,
    number: usize,
    descent: Descent<'w>,
    window: Window<'w>,
}

impl Worker<'_> {
    fn work(&mut self, job: Job) -> Result<()> {
        let site = self.site;
        let Some(directory) = site.plan.directory(job.directory) else { return Ok(()) };
        let node = directory.node;
        let fd = self.descent.open(node).map_err(|error| site.failed("opening a directory", node, error))?;
        let mut making = Making { site, crew: self.crew, directory: fd, window: &mut self.window };
        if let Some(range) = job.entries {
            return making.entries(directory.entries.get(range).unwrap_or_default());
        }
        for number in directory.directories.clone() {
            let Some(child) = site.plan.directory(number) else { continue };
            let mode = site.made_mode(&site.attributes(child.node)?);
            mkdirat(fd, site.plan.name(child.node), Mode::from_raw_mode(mode))
                .map_err(|error| site.failed("making a directory", child.node, error))?;
        }
        let parts = parts(site.plan, directory.entries);
        let own = parts.first().cloned().unwrap_or(0..0);
        let others =
            parts.iter().skip(1).map(|part| Job { directory: job.directory, entries: Some(part.clone()) });
        self.crew.push(self.number, others);
        self.crew.push(self.number, directory.directories.map(|directory| Job { directory, entries: None }));
        making.entries(directory.entries.get(own).unwrap_or_default())?;
        // All that comes into it is there, unless others are at it; and what is below opens it again.
        let closes = !site.habits.privileged && node.metadata().mode & 0o700 != 0o700;
        if parts.len() > 1 || directory.links_follow || node.parent().is_none() || closes {
            site.later.lock().unwrap_or_else(PoisonError::into_inner).push(job.directory);
            return Ok(());
        }
        site.dress_directory(fd, node)
    }
}

/// The entries of a directory, cut so that no part keeps one worker long.
fn parts(plan: &DirectoryPlan, entries: &[NodeId]) -> Vec<std::ops::Range<usize>> {
    let mut parts = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, id) in entries.iter().enumerate() {
        if at > from && (at - from >= ENTRIES || bytes >= BYTES) {
            parts.push(from..at);
            (from, bytes) = (at, 0);
        }
        bytes += plan.tree().node(*id).map_or(0, |node| node.body().map_or(0, |body| body.stored));
    }
    if from < entries.len() {
        parts.push(from..entries.len());
    }
    parts
}

/// What is made in one open directory.
struct Making<'m, 'w> {
    site: &'m Site<'m>,
    crew: &'m Crew,
    directory: BorrowedFd<'m>,
    window: &'m mut Window<'w>,
}

impl Making<'_, '_> {
    fn entries(&mut self, entries: &[NodeId]) -> Result<()> {
        let plan = self.site.plan;
        for (at, id) in entries.iter().enumerate() {
            if self.crew.stopped() {
                return Ok(());
            }
            self.site.check()?;
            let Some(node) = plan.tree().node(*id) else { continue };
            let then = entries.get(at + 1..).unwrap_or_default();
            match node.kind() {
                Kind::File => self.file(node, then)?,
                Kind::Symlink => self.symlink(node)?,
                kind => self.special(node, kind)?,
            }
        }
        Ok(())
    }

    fn file(&mut self, node: Node<'_>, then: &[NodeId]) -> Result<()> {
        let site = self.site;
        let attributes = site.attributes(node)?;
        let metadata = &attributes.metadata;
        let failed = |error| site.failed("writing a file", node, error);
        // Nobody else can reach it yet, so that it may have its final mode at once.
        let direct = metadata.mode & (site.habits.umask | 0o7000) == 0 && site.keeps_direct(metadata);
        let made = if direct { metadata.mode } else { 0o600 };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            openat(self.directory, site.plan.name(node), flags, Mode::from_raw_mode(made)).map_err(failed)?;
        if let Some(body) = node.body() {
            match body.sparse {
                None => self.content(file.as_fd(), node, body.layer, body.data_at, (0, body.stored), then)?,
                Some(map) => {
                    let mut stored = body.data_at;
                    for segment in map.segments() {
                        let place = (segment.offset, segment.len);
                        self.content(file.as_fd(), node, body.layer, stored, place, &[])?;
                        stored += segment.len;
                    }
                    // What no segment reaches is a hole as well.
                    if map.segments().last().is_none_or(|last| last.offset + last.len < map.size()) {
                        ftruncate(&file, map.size()).map_err(failed)?;
                    }
                    site.count(map.size() - body.stored);
                }
            }
        }
        site.dress(file.as_fd(), node, &attributes, made)
    }

    /// Writes bytes of a layer from `at` on to a place in a file, given with their number.
    fn content(
        &mut self,
        file: BorrowedFd<'_>,
        node: Node<'_>,
        layer: usize,
        mut at: u64,
        (mut offset, mut left): (u64, u64),
        then: &[NodeId],
    ) -> Result<()> {
        let site = self.site;
        let tree = site.plan.tree();
        while left > 0 {
            let then = then.iter().filter_map(|id| tree.node(*id));
            let bytes = self.window.bytes(layer, at, left, then)?;
            let n = loop {
                match rustix::io::pwrite(file, bytes, offset) {
                    Err(Errno::INTR) => {}
                    Ok(0) => return Err(site.failed("writing a file", node, Errno::NOSPC)),
                    result => {
                        break result.map_err(|error| site.failed("writing a file", node, error))? as u64;
                    }
                }
            };
            (at, offset, left) = (at + n, offset + n, left - n);
            site.count(n);
            if left > 0 {
                site.check()?;
                if self.crew.stopped() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn symlink(&self, node: Node<'_>) -> Result<()> {
        let failed = |error| self.site.failed("making a symlink", node, error);
        symlinkat(node.link(), self.directory, self.site.plan.name(node)).map_err(failed)?;
        self.dress_by_name(node, 0o777, 0o777)
    }

    fn special(&mut self, node: Node<'_>, kind: Kind) -> Result<()> {
        let site = self.site;
        let (file_type, device) = match kind {
            Kind::CharDevice { major, minor } => (FileType::CharacterDevice, makedev(major, minor)),
            Kind::BlockDevice { major, minor } => (FileType::BlockDevice, makedev(major, minor)),
            _ => (FileType::Fifo, 0),
        };
        let attributes = site.attributes(node)?;
        if attributes.as_file {
            return self.file(node, &[]);
        }
        let mode = attributes.metadata.mode;
        let made = mode & !(site.habits.umask | 0o7000);
        mknodat(self.directory, site.plan.name(node), file_type, Mode::from_raw_mode(made), device)
            .map_err(|error| site.failed("making a device or FIFO", node, error))?;
        self.dress_by_name(node, mode, made)
    }

    /// Metadata of what cannot be opened: by name below the open directory, never through a link.
    fn dress_by_name(&self, node: Node<'_>, mode: u32, made: u32) -> Result<()> {
        let site = self.site;
        let Attributes { metadata, sets_owner, sets_mode, .. } = site.attributes(node)?;
        let (directory, name) = (self.directory, site.plan.name(node));
        let owner = (metadata.uid, metadata.gid);
        if sets_owner && owner != site.habits.owner {
            let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
            chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| site.failed("setting an owner", node, error))?;
        }
        if sets_mode && mode != made {
            // A descriptor that opens nothing, and its name in /proc, which is the way to a call that takes paths only.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(directory, name, flags, Mode::empty())
                .and_then(|handle| chmod(by_descriptor(handle.as_fd()), Mode::from_raw_mode(mode)))
                .map_err(|error| site.failed("setting a mode", node, error))?;
        }
        for (key, value) in &metadata.xattrs {
            // By the directory's name in /proc: the last component is not followed.
            let path = [by_descriptor(directory).as_bytes(), b"/", name].concat();
            lsetxattr(path, key.as_slice(), value, XattrFlags::empty())
                .map_err(|error| site.failed_xattr(node, value.len(), error))?;
        }
        utimensat(directory, name, &times(metadata.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| site.failed("setting a time", node, error))
    }
}
