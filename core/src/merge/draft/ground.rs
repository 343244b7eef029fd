//! What the layers so far, from the top, leave room for.

use alloc::vec::Vec;

use super::super::resolve::split;
use super::super::trie::{NONE, ROOT, Trie};
use super::super::whiteout;
use crate::limits::Limits;

/// What a path shows, by the layers so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing, or nothing of the layer in front.
    Nothing,
    /// A directory; 1 + the layer that has its metadata and the row there, or 0 and `NONE` as long as none has.
    Directory { arrived: u32, row: u32, closed: bool },
    /// A symlink that comes behind its directory.
    Late { layer: usize, name: u32, inode: u32 },
    /// Something else, which has come.
    File,
}

/// What the layer in front itself has at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    Nothing,
    Directory,
    File {
        /// The row that holds content and metadata.
        inode: u32,
        is_symlink: bool,
        /// What became of the name.
        shown: Shown,
    },
}

/// All that is known of one path.
#[derive(Clone, Copy, Debug)]
struct Spot {
    /// 1 + the highest layer that hides the path in the layers below it.
    hidden_by: u32,
    /// 1 + the highest layer that hides all below the path in the layers below it.
    opaque_by: u32,
    shown: Shown,
    /// 1 + the layer that `own` is of: of other layers it means nothing.
    owner: u32,
    own: Own,
    /// One of those below it, and the next one of those beside it; `NONE` where there is none.
    child: u32,
    beside: u32,
}

impl Spot {
    const EMPTY: Spot = Spot {
        hidden_by: 0,
        opaque_by: 0,
        shown: Shown::Nothing,
        owner: 0,
        own: Own::Nothing,
        child: NONE,
        beside: NONE,
    };
}

/// A directory on the way to a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) node: u32,
    /// Whether nothing of the layer in front shows in it.
    pub(super) closed: bool,
    /// Where it ends in the path that was walked.
    end: usize,
}

/// The paths of all layers so far.
#[derive(Debug)]
pub(super) struct Ground {
    limits: Limits,
    trie: Trie,
    spots: Vec<Spot>,
    /// 1 + the layer in front.
    tag: u32,
    /// Where the layer in front may have closed directories.
    marks: Vec<u32>,
    /// The way to the last entry's parent, and that parent's path.
    frames: Vec<Frame>,
    entered: Vec<u8>,
}

impl Ground {
    pub(super) fn new(layers: usize, limits: &Limits) -> Self {
        let root = Spot { shown: Shown::Directory { arrived: 0, row: NONE, closed: false }, ..Spot::EMPTY };
        Ground {
            limits: limits.clone(),
            trie: Trie::new(),
            spots: alloc::vec![root],
            tag: u32::try_from(layers).unwrap_or(NONE),
            marks: Vec::new(),
            frames: Vec::new(),
            entered: Vec::new(),
        }
    }

    /// The layer in front is through; so many are left.
    pub(super) fn next_layer(&mut self, left: usize) {
        self.tag = u32::try_from(left).unwrap_or(NONE);
        self.marks.clear();
        self.frames.clear();
        self.entered.clear();
    }

    fn spot(&self, node: u32) -> Spot {
        self.spots.get(node as usize).copied().unwrap_or(Spot::EMPTY)
    }

    fn spot_mut(&mut self, node: u32) -> Option<&mut Spot> {
        self.spots.get_mut(node as usize)
    }

    /// The child of this name, made if it is not there.
    pub(super) fn child(&mut self, parent: u32, name: &[u8]) -> Option<u32> {
        let node = self.trie.child(parent, name, &self.limits).ok()?;
        if self.spots.len() <= node as usize {
            self.spots.resize(node as usize + 1, Spot::EMPTY);
            let beside = core::mem::replace(&mut self.spot_mut(parent)?.child, node);
            self.spot_mut(node)?.beside = beside;
        }
        Some(node)
    }

    /// What the layer in front itself has there.
    pub(super) fn own(&self, node: u32) -> Own {
        let spot = self.spot(node);
        if spot.owner == self.tag { spot.own } else { Own::Nothing }
    }

    /// What is shown there.
    pub(super) fn shown(&self, node: u32) -> Shown {
        self.spot(node).shown
    }

    /// Whether an upper layer hides what the layer in front has there.
    pub(super) fn is_hidden(&self, node: u32) -> bool {
        self.spot(node).hidden_by > self.tag
    }

    fn is_own_symlink(&self, node: u32) -> bool {
        matches!(self.own(node), Own::File { is_symlink: true, .. })
    }

    /// The path's node, for whiteouts; not through symlinks of the layer itself.
    fn reach(&mut self, path: &[u8]) -> Option<u32> {
        let mut node = ROOT;
        for name in components(path) {
            node = self.child(node, name)?;
            if self.is_own_symlink(node) {
                return None;
            }
        }
        Some(node)
    }

    /// An opaque marker in the layer in front.
    pub(super) fn make_opaque(&mut self, path: &[u8]) -> Option<()> {
        let node = self.reach(path)?;
        let tag = self.tag;
        let spot = self.spot_mut(node)?;
        if spot.opaque_by == 0 {
            spot.opaque_by = tag;
            self.marks.push(node);
        }
        Some(())
    }

    /// A whiteout in the layer in front.
    pub(super) fn hide(&mut self, path: &[u8]) -> Option<()> {
        let (parents, name) = split(path)?;
        let parent = self.reach(parents)?;
        let node = self.child(parent, name)?;
        let tag = self.tag;
        let spot = self.spot_mut(node)?;
        if spot.hidden_by == 0 {
            spot.hidden_by = tag;
            self.marks.push(node);
        }
        Some(())
    }

    /// Goes to the parent of an entry and makes it a directory of the layer in front, with all that lead to it (L4).
    pub(super) fn enter(&mut self, path: &[u8]) -> Option<Frame> {
        let mut frames = core::mem::take(&mut self.frames);
        let same = self.entered.iter().zip(path).take_while(|(a, b)| a == b).count();
        let ends = |path: &[u8], end: usize| path.get(end).is_none_or(|byte| *byte == b'/');
        let kept = frames
            .iter()
            .take_while(|f| f.end == 0 || (f.end <= same && ends(path, f.end) && ends(&self.entered, f.end)));
        let kept = kept.count();
        frames.truncate(kept);
        let root = Frame { node: ROOT, closed: self.spot(ROOT).opaque_by > self.tag, end: 0 };
        let mut frame = frames.last().copied().unwrap_or(root);
        if frames.is_empty() {
            frames.push(root);
        }
        while frame.end < path.len() {
            let start = if frame.end == 0 { 0 } else { frame.end + 1 };
            let name = components(path.get(start..)?).next()?;
            let node = self.child(frame.node, name)?;
            self.own_directory(node)?;
            let gone = frame.closed || self.is_hidden(node) || whiteout::is_parked(name);
            if !gone {
                self.show_directory(node)?;
            }
            let closed = gone || self.spot(node).opaque_by > self.tag;
            frame = Frame { node, closed, end: start + name.len() };
            frames.push(frame);
        }
        self.frames = frames;
        self.entered.clear();
        self.entered.extend_from_slice(path);
        Some(frame)
    }

    /// The node of a name that the layer in front has, below directories of its own.
    pub(super) fn find(&mut self, path: &[u8]) -> Option<u32> {
        let mut node = ROOT;
        for name in components(path) {
            if node != ROOT && self.own(node) != Own::Directory {
                return None;
            }
            node = self.trie.find(node, name)?;
        }
        Some(node)
    }

    /// The layer in front has a directory there.
    pub(super) fn own_directory(&mut self, node: u32) -> Option<()> {
        match self.own(node) {
            Own::Directory => Some(()),
            Own::File { .. } => None,
            Own::Nothing => {
                let tag = self.tag;
                let spot = self.spot_mut(node)?;
                (spot.owner, spot.own) = (tag, Own::Directory);
                Some(())
            }
        }
    }

    fn show_directory(&mut self, node: u32) -> Option<()> {
        let spot = self.spot_mut(node)?;
        if !matches!(spot.shown, Shown::Directory { .. }) {
            spot.shown = Shown::Directory { arrived: 0, row: NONE, closed: false };
        }
        Some(())
    }

    /// A directory that is shown has an entry in the layer in front: its metadata, unless an upper layer has one.
    pub(super) fn arrive(&mut self, node: u32, id: u32) -> Option<()> {
        self.show_directory(node)?;
        let tag = self.tag;
        let spot = self.spot_mut(node)?;
        if let Shown::Directory { arrived, row, closed: false } = &mut spot.shown
            && (*arrived == 0 || *arrived == tag)
        {
            (*arrived, *row) = (tag, id);
            if spot.opaque_by != 0 {
                self.marks.push(node);
            }
        }
        Some(())
    }

    /// The layer in front has something there that is no directory. Answers whether no directory of an upper layer is
    /// in its way.
    pub(super) fn own_file(&mut self, node: u32, inode: u32, is_symlink: bool) -> Option<bool> {
        if self.own(node) != Own::Nothing {
            return None;
        }
        let tag = self.tag;
        let spot = self.spot_mut(node)?;
        (spot.owner, spot.own) = (tag, Own::File { inode, is_symlink, shown: Shown::Nothing });
        let directory = matches!(spot.shown, Shown::Directory { .. });
        if spot.hidden_by == 0 {
            spot.hidden_by = tag;
            if directory {
                self.marks.push(node);
            }
        }
        Some(!directory)
    }

    /// What became of a name of the layer in front that no upper layer hides.
    pub(super) fn settle(&mut self, node: u32, becomes: Shown) {
        let tag = self.tag;
        let Some(spot) = self.spot_mut(node) else { return };
        if let (owner, Own::File { shown, .. }) = (spot.owner, &mut spot.own)
            && owner == tag
        {
            (*shown, spot.shown) = (becomes, becomes);
        }
    }

    /// The directories that are closed now that the layer in front has ended: nothing below them, nor their metadata,
    /// can come of the layers below. Those and their late symlinks, in no order.
    pub(super) fn take_closed(&mut self) -> Vec<u32> {
        let mut closing = Vec::new();
        let mut walk = Vec::new();
        for mark in core::mem::take(&mut self.marks) {
            let (mut above, mut at) = (0, mark);
            while at != ROOT {
                at = self.trie.node(at).parent;
                let spot = self.spot(at);
                above = above.max(spot.hidden_by).max(spot.opaque_by);
            }
            walk.push((mark, above));
            while let Some((node, above)) = walk.pop() {
                let Some(spot) = self.spot_mut(node) else { continue };
                let Shown::Directory { arrived, closed, .. } = &mut spot.shown else { continue };
                if *closed {
                    continue;
                }
                let hidden = above.max(spot.hidden_by);
                let opaque = hidden.max(spot.opaque_by);
                let closes = hidden > 0 || (opaque > 0 && *arrived > 0);
                *closed = closes;
                if closes {
                    closing.push(node);
                }
                if opaque > 0 {
                    let mut child = spot.child;
                    while child != NONE {
                        if closes && matches!(self.spot(child).shown, Shown::Late { .. }) {
                            closing.push(child);
                        }
                        walk.push((child, opaque));
                        child = self.spot(child).beside;
                    }
                }
            }
        }
        closing
    }

    /// The path of a node.
    pub(super) fn path(&self, node: u32) -> Vec<u8> {
        self.trie.path(node)
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
}
