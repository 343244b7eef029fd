//! Directories of the tree on disk, opened one component at a time and never through a link (L27).

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use wharfie_core::merge::{DirectoryPlan, Node, NodeId};

/// How a directory is opened: as itself, or not at all.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The open directories from somewhere below the root down to where one worker is.
///
/// Going on to a directory near by opens little; names longer than a path may be are no matter. Of very deep ones only
/// the lowest are kept open, so that descriptors suffice.
pub(super) struct Descent<'d> {
    plan: &'d DirectoryPlan,
    root: BorrowedFd<'d>,
    /// Each is in the one before it.
    open: VecDeque<(NodeId, OwnedFd)>,
    most: usize,
}

impl<'d> Descent<'d> {
    /// `most` is how many it keeps open at most; 1 is enough.
    pub(super) fn new(plan: &'d DirectoryPlan, root: BorrowedFd<'d>, most: usize) -> Descent<'d> {
        Descent { plan, root, open: VecDeque::new(), most: most.max(1) }
    }

    /// Opens a directory that is there.
    pub(super) fn open(&mut self, directory: Node<'_>) -> rustix::io::Result<BorrowedFd<'_>> {
        let mut below = Vec::new();
        let mut node = directory;
        // Numbers grow with depth, so the open ones are sorted.
        let keep = loop {
            if let Ok(at) = self.open.binary_search_by_key(&node.id(), |(id, _)| *id) {
                break at + 1;
            }
            match node.parent() {
                Some(parent) => {
                    below.push(node);
                    node = parent;
                }
                None => break 0,
            }
        };
        self.open.truncate(keep);
        for node in below.into_iter().rev() {
            let parent = self.open.back().map_or(self.root, |(_, fd)| fd.as_fd());
            let fd = open_directory(parent, self.plan.name(node))?;
            if self.open.len() >= self.most {
                self.open.pop_front();
            }
            self.open.push_back((node.id(), fd));
        }
        Ok(self.open.back().map_or(self.root, |(_, fd)| fd.as_fd()))
    }
}

/// Opens a directory by its name in another one.
pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    loop {
        match openat(parent, name, DIRECTORY, Mode::empty()) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
