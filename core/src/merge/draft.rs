//! The beginning of a flattened tar, foretold while the layers are still being decoded.
//!
//! A [`Plan`](super::Plan) knows the whole stack. Whoever waits for that has to keep all layers somewhere until then.
//! A [`Draft`] reads the layers' entries from the top as they come by and hands out at once what a plan in `stream`
//! order will very probably begin with, so that the bytes of the layer that is just being decoded go straight to the
//! output. It decides nothing: when all layers are known, the plan is made as ever, and [`Plan::resume`](super::Plan::resume)
//! compares, name by name, what it would do with what was done. What does not hold is done again by the plan.
//!
//! So a draft need not be right; it only has to be right as a rule. It foresees
//!
//! - what upper layers hide: their files, whiteouts and opaque directories, and their directories over lower files;
//! - hard links within a layer, also when the name that has the content is hidden (L14);
//! - directories below which nothing can follow any more, and the symlinks that come behind them (L26);
//!
//! and it gives up, for good, where an entry takes back what was handed out or needs what lies below: a name that its
//! layer has twice (L6), a way through a symlink of its layer (L3), a hard link to a lower layer (L12), a second name
//! of a symlink that comes late, a layer cut inside its last padding (L22). Directories that stay open to the bottom are
//! left to the plan.

mod close;
mod ground;
mod sketch;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use self::ground::{Frame, Ground, Own, Shown};
pub use self::sketch::Sketch;
pub(super) use self::sketch::{IMPLIED, Item};
use super::index::{LayerIndex, Row, RowKind};
use super::options::{Options, Order};
use super::plan::{Op, header, is_late};
use super::resolve::split;
use super::trie::{NONE, ROOT};
use super::whiteout;
use crate::tar::{Kind, Metadata, padding};

/// Headers that follow each other are handed out together up to about this size, in bytes.
const WRITE: usize = 32 << 10;

/// Foretells the operations of a [`Plan`](super::Plan), layer by layer from the top.
///
/// ```text
/// while let Some(layer) = draft.front() {
///     decode a piece of it; scan.feed(piece); draft.read(scan.index(), behind the piece)
///     draft.next_op()                  => do it; ranges are of this layer, increasing, and may reach beyond the piece
///     draft.end(scan.finish()?)        => where the layer ends; then draft.next_op() again
/// }
/// let (sketch, indexes) = draft.finish();
/// resolver.supply(index) for each; plan = Plan::new(resolver.finish()?, options)?;
/// let held = plan.resume(&sketch, bytes written);   // shorten the output to that, and go on with the plan
/// ```
#[derive(Debug)]
pub struct Draft {
    options: Options,
    /// The layers that are through, by number.
    done: Vec<Option<LayerIndex>>,
    /// How many layers are not.
    left: usize,
    ground: Ground,
    /// The next row of the front layer, and the name before it.
    row: u32,
    path: Vec<u8>,
    at: usize,
    /// Inodes of the front layer that hard links name, and where their content went.
    linked: BTreeMap<u32, First>,
    ops: VecDeque<Op>,
    items: Vec<Item>,
    /// The paths of directories without an entry among the items, in order.
    implied: Vec<Vec<u8>>,
    /// Bytes of output that all operations so far make.
    position: u64,
    /// Bytes of content among them, as `total_bytes` counts.
    content: u64,
    holds: bool,
}

/// What became of an inode that has several names in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// None of its names is shown so far.
    Hidden,
    /// Its only shown name is a symlink that comes late; a second one would have it come at once.
    Late,
    /// This row's name has come.
    Name(u32),
}

impl Draft {
    /// For a stack of so many layers. With options that no draft can follow it gives up at once.
    pub fn new(layers: usize, options: &Options) -> Self {
        let mut done = Vec::new();
        done.resize_with(layers, || None);
        Draft {
            options: options.clone(),
            done,
            left: layers,
            ground: Ground::new(layers, &options.limits),
            row: 0,
            path: Vec::new(),
            at: 0,
            linked: BTreeMap::new(),
            ops: VecDeque::new(),
            items: Vec::new(),
            implied: Vec::new(),
            position: 0,
            content: 0,
            holds: is_foreseeable(options),
        }
    }

    /// Whether it still foretells anything. Once it has given up, it only keeps the indexes that it is given.
    pub fn holds(&self) -> bool {
        self.holds
    }

    /// The layer whose turn it is: the highest one that is not through.
    pub fn front(&self) -> Option<usize> {
        self.left.checked_sub(1)
    }

    /// Bytes of output that all operations so far make.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Reads the entries of the front layer on, those that begin before byte `to` of it.
    pub fn read(&mut self, index: &LayerIndex, to: u64) {
        while self.holds && self.front() == Some(index.layer()) {
            let Some(row) = index.row(self.row).copied().filter(|row| row.header_at < to) else { return };
            let path = index.next_path(core::mem::take(&mut self.path), &row, &mut self.at);
            self.holds = self.take(index, self.row, &row, &path).is_some();
            self.path = path;
            self.row += 1;
        }
    }

    /// The front layer has ended, `len` bytes in all: the next lower one is the front.
    pub fn end(&mut self, index: LayerIndex, len: u64) {
        let Some(layer) = self.front().filter(|layer| *layer == index.layer()) else {
            self.holds = false;
            if let Some(place) = self.done.get_mut(index.layer()) {
                *place = Some(index);
            }
            return;
        };
        self.read(&index, u64::MAX);
        self.cut(&index, len);
        if let Some(place) = self.done.get_mut(layer) {
            *place = Some(index);
        }
        self.left = layer;
        // At the bottom all is closed: the plan knows best.
        if self.holds && layer > 0 {
            self.holds = self.close().is_some();
        }
        self.ground.next_layer(layer);
        self.row = 0;
        self.path.clear();
        self.at = 0;
        self.linked.clear();
    }

    /// A layer may end inside its last padding (L22): a range that reaches beyond it does not hold.
    fn cut(&mut self, index: &LayerIndex, len: u64) {
        let Some((row, last)) = self.row.checked_sub(1).and_then(|row| Some((row, index.row(row)?))) else {
            return;
        };
        let stored = index.stored(last);
        let whole = last.data_at().saturating_add(stored).saturating_add(padding(stored) as u64) <= len;
        let is_it = |item: &Item| item.layer as usize == index.layer() && item.name == row;
        if !whole && self.items.last().is_some_and(is_it) {
            self.items.pop();
            self.holds = false;
        }
    }

    /// The next operation; `None` until more of the front layer is read. When the draft has given up, nobody needs to
    /// do those that are left.
    pub fn next_op(&mut self) -> Option<Op> {
        self.ops.pop_front()
    }

    /// What was foretold, and the indexes of the layers that are through, from the bottom.
    pub fn finish(self) -> (Sketch, Vec<LayerIndex>) {
        let Draft { options, items, implied, done, .. } = self;
        (Sketch { options, items, implied }, done.into_iter().flatten().collect())
    }

    /// One entry of the front layer; `None` is giving up.
    fn take(&mut self, index: &LayerIndex, id: u32, row: &Row, path: &[u8]) -> Option<()> {
        match row.kind {
            RowKind::Opaque => return self.ground.make_opaque(path),
            RowKind::Whiteout => return self.ground.hide(path),
            _ => {}
        }
        let Some((parents, name)) = split(path) else {
            return self.ground.arrive(ROOT, id);
        };
        // A link binds before its own name's parents are made (L12).
        let inode = match row.kind {
            RowKind::HardLink => self.bind(index, row)?,
            _ => id,
        };
        let parent = self.ground.enter(parents)?;
        let node = self.ground.child(parent.node, name)?;
        let gone = self.is_gone(parent, node, name);
        if row.kind == RowKind::Directory {
            self.ground.own_directory(node)?;
            return if gone { Some(()) } else { self.ground.arrive(node, id) };
        }
        let body = index.row(inode)?;
        let is_symlink = body.kind == RowKind::Symlink;
        // A directory of an upper layer hides it as well.
        let shown = self.ground.own_file(node, inode, is_symlink)? && !gone;
        if !shown {
            let stored = index.stored(row);
            if row.kind == RowKind::File && stored > 0 {
                // A later link may need it (L14).
                let from = row.data_at();
                self.push(Op::Spool { id, layer: index.layer(), from, to: from.saturating_add(stored) });
            }
            return Some(());
        }
        let late = is_symlink && is_late(index.link(body));
        let first = if row.kind == RowKind::HardLink { *self.linked.get(&inode)? } else { First::Hidden };
        match first {
            First::Late => None,
            First::Name(first) => {
                self.link(index, id, row, inode, first, path)?;
                self.ground.settle(node, Shown::File);
                Some(())
            }
            First::Hidden => {
                let settled = if late { First::Late } else { First::Name(id) };
                if row.kind == RowKind::HardLink {
                    self.linked.insert(inode, settled);
                }
                if late {
                    self.ground.settle(node, Shown::Late { layer: index.layer(), name: id, inode });
                    return Some(());
                }
                self.ground.settle(node, Shown::File);
                self.file(index, id, inode, path)
            }
        }
    }

    fn is_gone(&self, parent: Frame, node: u32, name: &[u8]) -> bool {
        parent.closed || self.ground.is_hidden(node) || whiteout::is_parked(name)
    }

    /// The inode that a hard link of the front layer names, if the same layer has it.
    fn bind(&mut self, index: &LayerIndex, row: &Row) -> Option<u32> {
        let target = index.link(row);
        let node = self.ground.find(target)?;
        let Own::File { inode, shown, .. } = self.ground.own(node) else { return None };
        // If this is the first link to it, the name is the inode's own.
        let first = match shown {
            Shown::Nothing | Shown::Directory { .. } => First::Hidden,
            Shown::Late { .. } => First::Late,
            Shown::File => First::Name(inode),
        };
        self.linked.entry(inode).or_insert(first);
        Some(inode)
    }

    /// A name that carries content and metadata.
    fn file(&mut self, index: &LayerIndex, name: u32, inode: u32, path: &[u8]) -> Option<()> {
        let row = index.row(inode)?;
        let stored = index.stored(row);
        let own = name == inode;
        if row.kind == RowKind::File {
            self.content = self.content.saturating_add(row.size);
            if self.options.limits.total_bytes.is_some_and(|limit| self.content > limit) {
                return None;
            }
        }
        let raw = own
            && index.verbatim(row)
            && index.sparse(row).is_none()
            && self.options.mtime_max.is_none_or(|max| index.mtime(row) <= max);
        if raw {
            let to = row.data_at().saturating_add(stored).saturating_add(padding(stored) as u64);
            self.push(Op::Copy { layer: index.layer(), from: row.header_at, to });
        } else {
            let kind = index.kind(row);
            let link = if kind == Kind::Symlink { index.link(row) } else { &[] };
            let bytes = header(&self.options, path, kind, link, index.metadata(row), row.size).ok()?;
            self.push(Op::Write(bytes));
            if kind == Kind::File {
                self.body(index, row, inode, own);
            }
        }
        self.note(Item { layer: index.layer() as u32, name, inode, first: name, raw, end: self.position });
        Some(())
    }

    /// The content behind a header that was written anew.
    fn body(&mut self, index: &LayerIndex, row: &Row, inode: u32, own: bool) {
        let layer = index.layer();
        let (size, pad) = (row.size, padding(row.size));
        let range = |from: u64, to: u64| match own {
            true => Op::Copy { layer, from: row.data_at() + from, to: row.data_at() + to },
            false => Op::Replay { id: inode, from, to },
        };
        let Some((map, _)) = index.sparse(row) else {
            if size > 0 {
                // Its own padding comes along, so that one range goes on into the next entry.
                self.push(range(0, if own { size + pad as u64 } else { size }));
            }
            if !own && pad > 0 {
                self.push(Op::Write(alloc::vec![0; pad]));
            }
            return;
        };
        let (mut position, mut taken) = (0, 0);
        for segment in map.segments() {
            if segment.offset > position {
                self.push(Op::Zero { len: segment.offset - position });
            }
            if segment.len > 0 {
                self.push(range(taken, taken + segment.len));
            }
            taken += segment.len;
            position = segment.offset.max(position) + segment.len;
        }
        if size > position {
            self.push(Op::Zero { len: size - position });
        }
        if pad > 0 {
            self.push(Op::Write(alloc::vec![0; pad]));
        }
    }

    /// A name that links to one that has come.
    fn link(
        &mut self,
        index: &LayerIndex,
        name: u32,
        row: &Row,
        inode: u32,
        first: u32,
        path: &[u8],
    ) -> Option<()> {
        let body = index.row(inode)?;
        let target = index.path(first);
        let raw = index.verbatim(row)
            && index.same_metadata(row, body)
            && self.options.mtime_max.is_none_or(|max| index.mtime(row) <= max)
            && index.link(row) == target;
        if raw {
            self.push(Op::Copy { layer: index.layer(), from: row.header_at, to: row.data_at() });
        } else {
            let metadata = index.metadata(body);
            let bytes = header(&self.options, path, Kind::HardLink, &target, metadata, 0).ok()?;
            self.push(Op::Write(bytes));
        }
        self.note(Item { layer: index.layer() as u32, name, inode, first, raw, end: self.position });
        Some(())
    }

    /// A directory below which nothing follows.
    fn directory(&mut self, path: &[u8], arrived: Option<(usize, u32)>) -> Option<()> {
        let (metadata, layer, name) = match arrived {
            Some((layer, row)) => {
                let index = self.done.get(layer)?.as_ref()?;
                (index.metadata(index.row(row)?), layer as u32, row)
            }
            // Nobody says what the root is.
            None if path.is_empty() => return Some(()),
            None => {
                self.implied.push(path.to_vec());
                (Metadata { mode: 0o755, ..Metadata::default() }, IMPLIED, NONE)
            }
        };
        let bytes = header(&self.options, path, Kind::Directory, &[], metadata, 0).ok()?;
        self.push(Op::Write(bytes));
        self.note(Item { layer, name, inode: name, first: name, raw: false, end: self.position });
        Some(())
    }

    /// A symlink that comes behind its directory.
    fn late(&mut self, path: &[u8], layer: usize, name: u32, inode: u32) -> Option<()> {
        let index = self.done.get(layer)?.as_ref()?;
        let row = index.row(inode)?;
        let (link, metadata) = (index.link(row), index.metadata(row));
        let bytes = header(&self.options, path, Kind::Symlink, link, metadata, row.size).ok()?;
        self.push(Op::Write(bytes));
        let layer = layer as u32;
        self.note(Item { layer, name, inode, first: name, raw: false, end: self.position });
        Some(())
    }

    fn note(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Hands an operation on, grown together with the last one where they are one.
    fn push(&mut self, op: Op) {
        self.position = self.position.saturating_add(match &op {
            Op::Write(bytes) => bytes.len() as u64,
            Op::Zero { len } => *len,
            Op::Copy { from, to, .. } | Op::Replay { from, to, .. } => to.saturating_sub(*from),
            Op::Spool { .. } => 0,
        });
        match (self.ops.back_mut(), op) {
            (Some(Op::Write(bytes)), Op::Write(more)) if bytes.len() < WRITE => {
                bytes.extend_from_slice(&more);
            }
            (Some(Op::Copy { layer, to, .. }), Op::Copy { layer: next, from, to: end })
                if *layer == next && *to == from =>
            {
                *to = end;
            }
            (_, op) => self.ops.push_back(op),
        }
    }
}

/// Whether a draft can follow these options at all.
fn is_foreseeable(options: &Options) -> bool {
    options.order == Order::Stream
        && !options.keep_directory_symlink
        && options.selection == Default::default()
        && options.id_maps.is_empty()
}
