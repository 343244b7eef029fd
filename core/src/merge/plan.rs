//! What makes a flattened tar of a tree, in order.

use alloc::vec::Vec;
use core::borrow::Borrow;

use super::draft::{self, IMPLIED, Sketch};
use super::index::{LayerIndex, Row, RowKind};
use super::options::{Options, Order};
use super::tree::{Node, NodeId, Tree, TreeNode};
use super::trie::NONE;
use crate::error::{Error, ErrorKind, Result};
use crate::map::Map;
use crate::tar::{BLOCK, END_OF_ARCHIVE, Header, Kind, Metadata, padding};

/// What a sink without a final name holds back of a tar that ends with a header, in bytes, until every digest and
/// `diff_id` has held (L23): all but one byte of that header, and the end-of-archive marker. A tar that ends there is cut
/// inside an entry, and no reader takes it for whole.
///
/// One that ends with content is held back by one byte more ([`Plan::held_back`]): by its whole final block, which may
/// hold a single byte of content. With that byte some readers take it for whole, as we do (L22).
pub const HELD_BACK: usize = END_OF_ARCHIVE.len() + BLOCK - 1;

/// Headers that follow each other are handed out together up to about this size, in bytes.
const WRITE: usize = 32 << 10;

/// One step of making the tar. Ranges are of the decoded layer, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// These bytes come next.
    Write(Vec<u8>),
    /// So many zeros come next: a hole of a sparse file (L17).
    Zero {
        /// How many.
        len: u64,
    },
    /// These bytes of a layer come next.
    Copy {
        /// The layer, counted from 0 at the bottom.
        layer: usize,
        /// The first byte.
        from: u64,
        /// Behind the last byte.
        to: u64,
    },
    /// Nothing comes next, but these bytes of a layer are wanted later (L14): whoever reads the layer once keeps them.
    Spool {
        /// The name for [`Op::Replay`]; each is spooled once.
        id: u32,
        /// The layer, counted from 0 at the bottom.
        layer: usize,
        /// The first byte.
        from: u64,
        /// Behind the last byte.
        to: u64,
    },
    /// These bytes of what was spooled come next. The whole is replayed once, from its first byte to its last, in one
    /// piece or several with holes between them; then it can be let go.
    Replay {
        /// The name that [`Op::Spool`] gave.
        id: u32,
        /// The first byte of the spooled.
        from: u64,
        /// Behind the last byte.
        to: u64,
    },
}

/// What a plan takes from one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerUse {
    /// Bytes copied or spooled from it.
    pub bytes: u64,
    /// Of these, bytes that have to be kept for later.
    pub spooled: u64,
    /// How many ranges they are.
    pub ranges: u64,
    /// Behind the last byte that is needed: no reader has to decode further.
    pub end: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Node(u32),
    /// The row whose body comes later.
    Spool(u32),
}

/// The ordered operations that make a flattened tar of a tree.
///
/// In `stream` order the ranges of each layer come in increasing order, and no range of a layer comes after one of a
/// layer below it: whoever decodes the layers one after another from the top, each once, has every range when it is
/// asked for. What such a reader needs to keep for later is said by [`Op::Spool`] when it comes by. In `canonical`
/// order ranges come as the names are sorted, from anywhere, and nothing is spooled.
///
/// The tree may be its own, or one that others look into as well (`Arc<Tree>`).
#[derive(Debug)]
pub struct Plan<T = Tree> {
    tree: T,
    options: Options,
    items: Vec<Item>,
    /// Inodes with several names: the one that comes first and carries the data (L14).
    first: Map<u32, u32>,
    cursor: Cursor,
}

/// Where the walk over a plan stands.
#[derive(Clone, Debug, Default)]
struct Cursor {
    item: usize,
    /// Content of the current file that is still to come.
    content: Option<Content>,
    /// Bodies to be kept that were passed over.
    owed: Vec<u32>,
    /// What is known and may still grow.
    held: Option<Op>,
    ended: bool,
}

/// A file's content on its way.
#[derive(Clone, Copy, Debug)]
struct Content {
    inode: u32,
    /// Whether it was spooled.
    spooled: bool,
    /// The next segment of a sparse file.
    segment: usize,
    /// The position in the content.
    position: u64,
    /// The position in the stored bytes.
    taken: u64,
}

impl<T: Borrow<Tree>> Plan<T> {
    /// Orders what `tree` takes.
    ///
    /// # Errors
    /// `limit_exceeded` for a tree larger than `total_bytes` (L24).
    pub fn new(tree: T, options: &Options) -> Result<Self> {
        let mut plan = Plan {
            tree,
            options: options.clone(),
            items: Vec::new(),
            first: Map::new(),
            cursor: Cursor::default(),
        };
        plan.order();
        plan.check_total()?;
        Ok(plan)
    }

    /// The tree that it was made of.
    pub fn tree(&self) -> &Tree {
        self.tree.borrow()
    }

    /// The tree that it was made of, back.
    pub fn into_tree(self) -> T {
        self.tree
    }

    /// The next operation; `None` behind the end-of-archive marker.
    ///
    /// # Errors
    /// `internal`, or what no tar can hold, with layer, entry and byte.
    pub fn next_op(&mut self) -> Result<Option<Op>> {
        let mut cursor = core::mem::take(&mut self.cursor);
        let op = self.advance(&mut cursor);
        self.cursor = cursor;
        op
    }

    /// What a sink without a final name holds back of this tar, in bytes (L23): see [`HELD_BACK`].
    pub fn held_back(&self) -> usize {
        // A root without an entry does not come out.
        let last = self.items.iter().rev().find_map(|item| match item {
            Item::Node(id) => {
                self.tree().packed(*id).filter(|n| *id > 0 || n.inode != NONE).map(|n| (*id, n))
            }
            Item::Spool(_) => None,
        });
        let content = last.is_some_and(|(id, node)| {
            self.first.get(&node.inode).is_none_or(|first| *first == id)
                && self.tree().stack().row(node.inode).is_some_and(|(_, row)| row.size > 0)
        });
        HELD_BACK + usize::from(content)
    }

    /// Bytes of the tar from where the plan stands to its end, and what that takes from each layer, from the bottom. Walks
    /// the whole plan, and leaves its position alone.
    ///
    /// # Errors
    /// Those of [`Plan::next_op`].
    pub fn survey(&self) -> Result<(u64, Vec<LayerUse>)> {
        let mut cursor = self.cursor.clone();
        let mut total = 0_u64;
        let mut uses = alloc::vec![LayerUse::default(); self.tree().layers()];
        while let Some(op) = self.advance(&mut cursor)? {
            let (range, spooled) = match op {
                Op::Write(bytes) => {
                    total = total.saturating_add(bytes.len() as u64);
                    continue;
                }
                Op::Zero { len } => {
                    total = total.saturating_add(len);
                    continue;
                }
                Op::Replay { from, to, .. } => {
                    total = total.saturating_add(to - from);
                    continue;
                }
                Op::Copy { layer, from, to } => {
                    total = total.saturating_add(to - from);
                    ((layer, from, to), 0)
                }
                Op::Spool { layer, from, to, .. } => ((layer, from, to), to - from),
            };
            let (layer, from, to) = range;
            if let Some(used) = uses.get_mut(layer) {
                used.bytes = used.bytes.saturating_add(to - from);
                used.spooled = used.spooled.saturating_add(spooled);
                used.ranges += 1;
                used.end = used.end.max(to);
            }
        }
        Ok((total, uses))
    }

    /// Goes back to the beginning.
    pub fn rewind(&mut self) {
        self.cursor = Cursor::default();
    }

    /// Compares what a draft of the same stack foretold, of which the first `written` bytes were written, with what this
    /// plan makes. Answers how many of those bytes hold, and puts the plan's position behind them: the output is to be
    /// shortened to so many, and [`Plan::next_op`] goes on from there.
    ///
    /// Bytes hold where the draft took the same names in the same order, each from the same entries in the same form.
    pub fn resume(&mut self, sketch: &Sketch, written: u64) -> u64 {
        self.cursor = Cursor::default();
        if sketch.options != self.options {
            return 0;
        }
        let mut drafted = sketch.items.iter().take_while(|item| item.end <= written);
        let mut implied = sketch.implied.iter();
        let (mut held, mut next, mut owed) = (0, 0, Map::new());
        for (at, item) in self.items.iter().enumerate() {
            let id = match item {
                Item::Node(id) => *id,
                Item::Spool(inode) => {
                    owed.insert(*inode, at);
                    continue;
                }
            };
            let (Some(packed), Some(node)) = (self.tree().packed(id), self.tree().node(NodeId(id))) else {
                break;
            };
            let nobody = packed.inode == NONE && node.parent().is_none();
            if !nobody {
                match drafted.next() {
                    Some(item) if self.is_as_drafted(packed, node, item, &mut implied) => held = item.end,
                    _ => break,
                }
                owed.remove(&packed.inode);
            }
            next = at + 1;
        }
        self.cursor.item = next;
        let mut owed: Vec<(usize, u32)> =
            owed.into_iter().map(|(inode, at)| (at, inode)).filter(|(at, _)| *at < next).collect();
        // Handed out from the end.
        owed.sort_unstable_by(|a, b| b.cmp(a));
        self.cursor.owed = owed.into_iter().map(|(_, inode)| inode).collect();
        held
    }

    /// Whether a name was drafted just as it comes here.
    fn is_as_drafted<'s>(
        &self,
        packed: &TreeNode,
        node: Node<'_>,
        item: &draft::Item,
        implied: &mut impl Iterator<Item = &'s Vec<u8>>,
    ) -> bool {
        let stack = self.tree().stack();
        let Some((index, row)) = stack.row(packed.inode) else {
            return item.layer == IMPLIED && implied.next().is_some_and(|path| *path == node.path());
        };
        // A row of the layer that it was drafted from, under the name that it has there.
        let is = |row: u32, drafted: u32| {
            stack.locate(row) == Some((item.layer as usize, drafted))
                && stack.layer(item.layer as usize).is_some_and(|index| !index.is_renamed(drafted))
        };
        let first = self.first.get(&packed.inode).copied().unwrap_or(node.id().0);
        let Some(target) = self.tree().packed(first) else { return false };
        if !is(packed.name, item.name) || !is(packed.inode, item.inode) || !is(target.name, item.first) {
            return false;
        }
        let raw = if first == node.id().0 {
            self.is_raw(packed, node, index, row)
        } else {
            let target = self.tree().node(NodeId(first)).map(Node::path).unwrap_or_default();
            self.raw_link(packed, row, &target).is_some()
        };
        raw == item.raw
    }

    /// Sorts the nodes, and finds the first name of each inode that has several (L14, L26).
    fn order(&mut self) {
        let tree: &Tree = self.tree.borrow();
        let names = || (0..tree.len()).filter_map(|id| u32::try_from(id).ok());
        // By inode: the key of the first name, that name, how many names there are.
        let mut linked = Map::new();
        for node in names().filter_map(|id| tree.packed(id)) {
            if node.name != node.inode {
                linked.insert(node.inode, (u128::MAX, NONE, 0_u32));
            }
        }
        for node in names().filter_map(|id| tree.packed(id)) {
            if let Some((_, _, count)) = linked.get_mut(&node.inode) {
                *count += 1;
            }
        }
        if self.options.order == Order::Canonical {
            let order: Vec<u32> = tree.iter().map(|node| node.id().0).collect();
            for (at, id) in (0_u128..).zip(&order) {
                if let Some(node) = tree.packed(*id)
                    && let Some(first) = linked.get_mut(&node.inode)
                    && first.0 > at
                {
                    (first.0, first.1) = (at, *id);
                }
            }
            self.items = order.into_iter().map(Item::Node).collect();
        } else {
            let mut places = alloc::vec![0_u32; tree.len()];
            for (place, node) in (0..).zip(tree.leaves_first()) {
                if let Some(at) = places.get_mut(node.id().0 as usize) {
                    *at = place;
                }
            }
            let place = |id: u32| u64::from(places.get(id as usize).copied().unwrap_or_default());
            let mut keyed: Vec<(u128, Item)> = Vec::with_capacity(tree.len());
            for node in tree.leaves_first() {
                let id = node.id().0;
                let Some(packed) = tree.packed(id) else { continue };
                let key = if node.kind() == Kind::Directory {
                    key(packed.close.saturating_sub(1), NONE, place(id) << 32)
                } else if is_late_node(node)
                    && linked.get(&packed.inode).is_none_or(|(_, _, count)| *count < 2)
                {
                    let close = tree.packed(packed.parent).map_or(1, |parent| parent.close);
                    key(close.saturating_sub(1), NONE, place(packed.parent) << 32 | (place(id) + 1))
                } else {
                    name_key(tree, packed)
                };
                if let Some(first) = linked.get_mut(&packed.inode)
                    && first.0 > key
                {
                    (first.0, first.1) = (key, id);
                }
                keyed.push((key, Item::Node(id)));
            }
            // A body that comes later than its own place has to be kept from there.
            for (inode, (_, id, _)) in linked.iter() {
                let stored = tree.stack().row(*inode).map_or(0, |(index, row)| index.stored(row));
                if stored > 0
                    && tree.packed(*id).is_some_and(|first| first.turn != *inode)
                    && let Some((layer, _)) = tree.stack().locate(*inode)
                {
                    keyed.push((key(layer as u32, *inode, 0), Item::Spool(*inode)));
                }
            }
            keyed.sort_unstable_by_key(|(key, _)| *key);
            self.items = keyed.into_iter().map(|(_, item)| item).collect();
        }
        self.first = linked
            .into_iter()
            .filter(|(_, (_, _, count))| *count > 1)
            .map(|(inode, (_, id, _))| (inode, id))
            .collect();
    }

    fn check_total(&self) -> Result<()> {
        let Some(limit) = self.options.limits.total_bytes else { return Ok(()) };
        let mut total = 0_u64;
        for item in &self.items {
            let Item::Node(id) = item else { continue };
            let Some(packed) = self.tree().packed(*id) else { continue };
            if self.first.get(&packed.inode).is_none_or(|first| first == id) {
                let size = self.tree().stack().row(packed.inode).map_or(0, |(_, row)| row.size);
                total = total.saturating_add(size);
                if total > limit {
                    let error = Error::from(ErrorKind::LimitExceeded { limit: "total_bytes", value: limit });
                    return Err(error.at(self.tree().place(packed.inode)));
                }
            }
        }
        Ok(())
    }

    /// The next operation, grown as far as it goes.
    fn advance(&self, cursor: &mut Cursor) -> Result<Option<Op>> {
        loop {
            let Some(op) = self.small_step(cursor)? else {
                if cursor.item < self.items.len() || cursor.content.is_some() {
                    continue;
                }
                if !cursor.ended {
                    cursor.ended = true;
                    if let Some(op) = grow(&mut cursor.held, Op::Write(END_OF_ARCHIVE.to_vec())) {
                        return Ok(Some(op));
                    }
                }
                return Ok(cursor.held.take());
            };
            if let Some(op) = grow(&mut cursor.held, op) {
                return Ok(Some(op));
            }
        }
    }

    /// One operation of one item, or none.
    fn small_step(&self, cursor: &mut Cursor) -> Result<Option<Op>> {
        if let Some(content) = cursor.content {
            let (op, rest) = self.content_step(content);
            cursor.content = rest;
            return Ok(op);
        }
        if let Some(inode) = cursor.owed.pop() {
            return Ok(self.spool(inode));
        }
        let Some(item) = self.items.get(cursor.item).copied() else { return Ok(None) };
        cursor.item += 1;
        match item {
            Item::Spool(inode) => Ok(self.spool(inode)),
            Item::Node(id) => {
                let (Some(packed), Some(node)) = (self.tree().packed(id), self.tree().node(NodeId(id)))
                else {
                    return Ok(None);
                };
                self.node_step(cursor, packed, node)
                    .map_err(|error| error.at(self.tree().place(packed.inode)))
            }
        }
    }

    fn spool(&self, inode: u32) -> Option<Op> {
        self.tree().stack().row(inode).map(|(index, row)| Op::Spool {
            id: inode,
            layer: index.layer(),
            from: row.data_at(),
            to: row.data_at().saturating_add(index.stored(row)),
        })
    }

    fn node_step(&self, cursor: &mut Cursor, packed: &TreeNode, node: Node<'_>) -> Result<Option<Op>> {
        let Some((index, row)) = self.tree().stack().row(packed.inode) else {
            // The root is written where a layer has an entry for it: nobody else says what it is.
            if node.parent().is_none() {
                return Ok(None);
            }
            return self.header(node, Kind::Directory, &[], 0).map(Some);
        };
        let first = self.first.get(&packed.inode).copied().unwrap_or(node.id().0);
        if first != node.id().0 {
            let target = self.tree().node(NodeId(first)).map(Node::path).unwrap_or_default();
            return match self.raw_link(packed, row, &target) {
                Some(op) => Ok(Some(op)),
                None => self.header(node, Kind::HardLink, &target, 0).map(Some),
            };
        }
        let kind = index.kind(row);
        if self.is_raw(packed, node, index, row) {
            let stored = index.stored(row);
            let to = row.data_at().saturating_add(stored).saturating_add(padding(stored) as u64);
            return Ok(Some(Op::Copy { layer: index.layer(), from: row.header_at, to }));
        }
        if kind == Kind::File && row.size > 0 {
            cursor.content = Some(Content {
                inode: packed.inode,
                spooled: self.options.order == Order::Stream && packed.turn != packed.inode,
                segment: 0,
                position: 0,
                taken: 0,
            });
        }
        let link = if kind == Kind::Symlink { index.link(row) } else { &[] };
        self.header(node, kind, link, row.size).map(Some)
    }

    /// Whether the entry's own bytes can stand in the output.
    fn is_raw(&self, packed: &TreeNode, node: Node<'_>, index: &LayerIndex, row: &Row) -> bool {
        // What comes late is not read a second time.
        let late = is_late_node(node) && !self.first.contains_key(&packed.inode);
        self.options.order == Order::Stream
            && !late
            && packed.name == packed.inode
            && row.kind != RowKind::Directory
            && index.verbatim(row)
            && index.sparse(row).is_none()
            && !index.is_cut(row)
            && self.options.mtime_max.is_none_or(|max| index.mtime(row) <= max)
            && self.keeps_owners(index, row)
    }

    /// Whether the owners in a row's headers are those of the output.
    fn keeps_owners(&self, index: &LayerIndex, row: &Row) -> bool {
        index.look(row, &self.options.id_maps).is_ok_and(|look| !look.changes)
    }

    /// The bytes of a hard link's own entry, where they say just what ours would.
    fn raw_link(&self, packed: &TreeNode, inode: &Row, target: &[u8]) -> Option<Op> {
        let (index, row) = self.tree().stack().row(packed.name)?;
        let (layer, _) = self.tree().stack().locate(packed.inode)?;
        let raw = self.options.order == Order::Stream
            && packed.turn == packed.name
            && layer == index.layer()
            && index.verbatim(row)
            && index.same_metadata(row, inode)
            && self.options.mtime_max.is_none_or(|max| index.mtime(row) <= max)
            && self.keeps_owners(index, row)
            && index.link(row) == target;
        raw.then(|| Op::Copy { layer, from: row.header_at, to: row.data_at() })
    }

    fn header(&self, node: Node<'_>, kind: Kind, link: &[u8], size: u64) -> Result<Op> {
        header(&self.options, &node.path(), kind, link, node.metadata(), size).map(Op::Write)
    }

    /// The next piece of a file's content, and what is left of it.
    fn content_step(&self, mut content: Content) -> (Option<Op>, Option<Content>) {
        let Some((index, row)) = self.tree().stack().row(content.inode) else { return (None, None) };
        let (size, pad) = (row.size, padding(row.size) as u64);
        if content.position >= size {
            let pad = (pad > 0).then(|| Op::Write(alloc::vec![0; pad as usize]));
            return (pad, None);
        }
        let take = |content: &mut Content, len: u64| {
            let from = content.taken;
            content.taken = content.taken.saturating_add(len);
            content.position = content.position.saturating_add(len);
            if content.spooled {
                Op::Replay { id: content.inode, from, to: content.taken }
            } else {
                let data_at = row.data_at();
                let (from, to) = (data_at.saturating_add(from), data_at.saturating_add(content.taken));
                Op::Copy { layer: index.layer(), from, to }
            }
        };
        let Some((map, _)) = index.sparse(row) else {
            // In stream order the padding comes along, so that one range goes on into the next entry. Canonical order
            // must not show what a layer's padding holds. Where the layer ends inside it, the zeros are ours.
            let whole = self.options.order == Order::Stream && !content.spooled && !index.is_cut(row);
            let op = take(&mut content, if whole { size.saturating_add(pad) } else { size });
            return (Some(op), if whole { None } else { Some(content) });
        };
        let segment = map.segments().get(content.segment);
        let start = segment.map_or(size, |segment| segment.offset).max(content.position);
        if start > content.position {
            let len = start - content.position;
            content.position = start;
            return (Some(Op::Zero { len }), Some(content));
        }
        content.segment += 1;
        let op = segment.map(|segment| take(&mut content, segment.len));
        (op, Some(content))
    }
}

/// The headers of a name that is written anew.
pub(super) fn header(
    options: &Options,
    path: &[u8],
    kind: Kind,
    link: &[u8],
    mut metadata: Metadata,
    size: u64,
) -> Result<Vec<u8>> {
    if let Some(max) = options.mtime_max {
        metadata.mtime = metadata.mtime.min(max);
    }
    options.id_maps.map(&mut metadata)?;
    let mut bytes = Vec::new();
    Header { path, link, kind, metadata: &metadata, size }.write(&mut bytes)?;
    Ok(bytes)
}

/// Whether it is a symlink that GNU tar makes at its very end, after all else: one that leads up or to the root. That
/// touches its directory again, whose times GNU tar restores afterwards only if the directory's entry came before the
/// symlink's. So in stream order these follow their directory's entry, unless other names link to them (L26).
fn is_late_node(node: Node<'_>) -> bool {
    node.kind() == Kind::Symlink && is_late(node.link())
}

/// Whether a symlink of this text leads up or to the root.
pub(super) fn is_late(link: &[u8]) -> bool {
    link.starts_with(b"/") || link.split(|byte| *byte == b'/').any(|part| part == b"..")
}

/// Where a name that is no directory comes in stream order: at its turn; there the name that stands there first,
/// then those that links of higher layers gave, highest layer first.
fn name_key(tree: &Tree, node: &TreeNode) -> u128 {
    let layer = |row| tree.stack().locate(row).map_or(0, |(layer, _)| layer as u32);
    let rank = if node.turn == node.name {
        0
    } else {
        let from_top = (u32::MAX >> 1).saturating_sub(layer(node.name));
        1 << 63 | u64::from(from_top) << 32 | u64::from(node.name)
    };
    key(layer(node.turn), node.turn, rank)
}

/// A key of stream order: the top layer first.
fn key(layer: u32, turn: u32, rank: u64) -> u128 {
    u128::from(!layer) << 96 | u128::from(turn) << 64 | u128::from(rank)
}

/// Adds `next` to what is held, or takes its place and hands out what was held.
fn grow(held: &mut Option<Op>, next: Op) -> Option<Op> {
    match (held.as_mut(), next) {
        (Some(Op::Write(bytes)), Op::Write(more)) if bytes.len() < WRITE => {
            bytes.extend_from_slice(&more);
            None
        }
        (Some(Op::Copy { layer, to, .. }), Op::Copy { layer: next_layer, from, to: end })
            if *layer == next_layer && *to == from =>
        {
            *to = end;
            None
        }
        (_, next) => held.replace(next),
    }
}
