//! The merged view: every path that an overlay mount of the layers shows.

use alloc::collections::BTreeSet;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::ops::Range;

use super::id_map::IdMaps;
use super::index::LayerIndex;
use super::selection::{Selection, Unmatched};
use super::stack::Stack;
use super::trie::{NONE, ROOT, Slot, Trie, TrieNode};
use super::warning::{WarningKind, Warnings};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::name::Name;
use crate::tar::{Counts, Kind, Metadata, Mtime, SparseMap};

/// Symlinks followed for one name, as Linux does it: more are a loop.
pub(super) const FOLLOWED: u32 = 40;

/// The error for a path that is not there: `nearest` is the directory that its way led to.
pub(super) fn not_there(path: &[u8], nearest: &[u8], similar: Option<&[u8]>) -> Error {
    let shown = |path: &[u8]| Name(path).to_string();
    ErrorKind::PathNotFound {
        path: shown(path),
        nearest: alloc::format!("/{}", Name(nearest)),
        similar: similar.map(shown),
    }
    .into()
}

/// The number of a path in one [`Tree`]: from 0, the root, below [`Tree::len`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Origin {
    /// The layer, counted from 0 at the bottom.
    pub layer: usize,
    /// The entry's number in the layer's tar, from 0.
    pub entry: u32,
    /// Where its headers begin in the uncompressed layer.
    pub header_at: u64,
}

/// Where the content of a file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Body<'t> {
    /// The layer, counted from 0 at the bottom.
    pub layer: usize,
    /// Where the stored bytes begin in the uncompressed layer.
    pub data_at: u64,
    /// How many are stored: the size, unless the file is sparse.
    pub stored: u64,
    /// Where they lie in the content, if the file is stored sparsely (L17).
    pub sparse: Option<&'t SparseMap>,
}

/// One path, packed.
#[derive(Clone, Copy, Debug)]
pub(super) struct TreeNode {
    pub(super) parent: u32,
    name_at: u32,
    name_len: u32,
    first_child: u32,
    children: u32,
    /// The row that holds data and metadata; `NONE` for an implied directory.
    pub(super) inode: u32,
    /// The row that brought the name; `NONE` for an implied directory.
    pub(super) name: u32,
    /// The row at whose place a name that is no directory comes in stream order.
    pub(super) turn: u32,
    /// For a directory 1 + the layer after which nothing below it, nor its metadata, can come (L26).
    pub(super) close: u32,
}

/// The merged tree of a stack: every path with its kind, metadata and the place of its bytes.
///
/// The children of a directory lie together, sorted by name; the root is number 0.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<TreeNode>,
    names: Vec<u8>,
    stack: Stack,
    warnings: Warnings,
    counts: Counts,
    unmatched: Vec<Unmatched>,
}

impl Tree {
    pub(super) fn new(trie: Trie, stack: Stack, warnings: Warnings, counts: Counts) -> Self {
        let (all, names) = trie.into_names();
        // Parents come before children: one pass finds who is shown, one collects the children of each.
        let mut shown = alloc::vec![false; all.len()];
        let mut starts = alloc::vec![0_u32; all.len() + 1];
        for (id, node) in all.iter().enumerate() {
            let parent = node.parent as usize;
            let show = id == ROOT as usize
                || (shown.get(parent).copied().unwrap_or_default()
                    && all.get(parent).is_some_and(|parent| {
                        parent.view.is_directory() && parent.view.contents == node.view.inside
                    }));
            if let Some(shown) = shown.get_mut(id) {
                *shown = show;
            }
            if show
                && id != ROOT as usize
                && let Some(start) = starts.get_mut(parent + 1)
            {
                *start += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut children = alloc::vec![0_u32; sum as usize];
        let mut next = starts.clone();
        for (id, node) in (0..).zip(&all) {
            if id != ROOT
                && shown.get(id as usize).copied().unwrap_or_default()
                && let Some(next) = next.get_mut(node.parent as usize)
            {
                if let Some(child) = children.get_mut(*next as usize) {
                    *child = id;
                }
                *next += 1;
            }
        }
        drop((next, shown));

        let name_of = |id: u32| {
            let (at, len) = all.get(id as usize).map_or((0, 0), TrieNode::name_range);
            names.get(at as usize..at as usize + len as usize).unwrap_or_default()
        };
        // Breadth first: the order in which they are numbered.
        let mut order = alloc::vec![(ROOT, ROOT, 0_u32)];
        let mut nodes = Vec::with_capacity(sum as usize + 1);
        let mut at = 0;
        while let Some((id, parent, hides)) = order.get(at).copied() {
            at += 1;
            let Some(node) = all.get(id as usize) else { break };
            let range = starts.get(id as usize).copied().unwrap_or_default()
                ..starts.get(id as usize + 1).copied().unwrap_or_default();
            let below = children.get_mut(range.start as usize..range.end as usize).unwrap_or_default();
            below.sort_unstable_by(|a, b| name_of(*a).cmp(name_of(*b)));
            let hidden = hides.max(node.hidden_by);
            let opaque = hidden.max(node.opaque_by);
            let first_child = u32::try_from(order.len()).unwrap_or(NONE);
            let number = u32::try_from(nodes.len()).unwrap_or(NONE);
            order.extend(below.iter().map(|child| (*child, number, opaque)));
            let Slot { inode, name, turn, .. } = node.view;
            let arrived =
                |row| stack.locate(row).map_or(0, |(layer, _)| u32::try_from(layer + 1).unwrap_or(NONE));
            let close = if node.view.is_directory() {
                hidden.max(opaque.min(arrived(inode))).max(1)
            } else {
                arrived(turn).max(1)
            };
            let (name_at, name_len) = node.name_range();
            let children = range.end - range.start;
            nodes.push(TreeNode {
                parent,
                name_at,
                name_len,
                first_child,
                children,
                inode,
                name,
                turn,
                close,
            });
        }
        // A directory comes after all that lies below it.
        for id in (1..nodes.len()).rev() {
            let Some((parent, close)) = nodes.get(id).map(|node| (node.parent, node.close)) else { break };
            if let Some(parent) = nodes.get_mut(parent as usize) {
                parent.close = parent.close.min(close);
            }
        }
        Tree { nodes, names, stack, warnings, counts, unmatched: Vec::new() }
    }

    /// What is wanted of it. The order in which a flattened tar has what is left stays what it was (L26).
    #[must_use]
    pub fn select(mut self, selection: &Selection) -> Tree {
        if selection.is_everything() {
            return self;
        }
        let (wanted, unmatched) = selection.apply(&self);
        self.unmatched.extend(unmatched);
        // Parents come before children, and the children of each lie together: both stay so.
        let mut numbers = alloc::vec![ROOT; self.nodes.len()];
        let mut nodes: Vec<TreeNode> = Vec::with_capacity(wanted.iter().filter(|wanted| **wanted).count());
        for (id, node) in self.nodes.iter().enumerate().filter(|(id, _)| wanted.get(*id) == Some(&true)) {
            let number = u32::try_from(nodes.len()).unwrap_or(NONE);
            let parent = numbers.get(node.parent as usize).copied().unwrap_or(ROOT);
            if let Some(place) = numbers.get_mut(id) {
                *place = number;
            }
            if number != ROOT
                && let Some(parent) = nodes.get_mut(parent as usize)
            {
                if parent.children == 0 {
                    parent.first_child = number;
                }
                parent.children += 1;
            }
            nodes.push(TreeNode { parent, first_child: 0, children: 0, ..*node });
        }
        self.nodes = nodes;
        self
    }

    /// The patterns of the selection that matched nothing.
    pub fn unmatched(&self) -> &[Unmatched] {
        &self.unmatched
    }

    /// Makes sure that the maps cover every owner, and warns of attributes whose owners cannot be read.
    ///
    /// # Errors
    /// `unmapped_id`, with layer, entry and byte.
    pub(super) fn check_owners(&mut self, maps: &IdMaps) -> Result<()> {
        if maps.is_empty() {
            return Ok(());
        }
        let mut unreadable = BTreeSet::new();
        for (id, node) in (0..).zip(&self.nodes) {
            let Some((index, row)) = self.stack.row(node.inode) else {
                // A root without an entry does not come out.
                if id != ROOT {
                    // Told of the entry that implied it.
                    let place = || Place { entry: Some(self.path(id)), ..self.place(node.turn) };
                    let at = |error: Error| error.at(place());
                    maps.user(0).and_then(|_| maps.group(0)).map_err(at)?;
                }
                continue;
            };
            if index.look(row, maps).map_err(|error| error.at(self.place(node.inode)))?.unreadable {
                unreadable.insert(node.inode);
            }
        }
        for inode in unreadable {
            if let Some((layer, number)) = self.stack.locate(inode)
                && let Some((index, row)) = self.stack.row(inode)
            {
                self.warnings.add(WarningKind::UnmappedXattrs, layer, row.header_at, || index.path(number));
            }
        }
        Ok(())
    }

    fn path(&self, id: u32) -> Vec<u8> {
        Node { tree: self, id: NodeId(id) }.path()
    }

    /// The place of a row, for errors (L25).
    pub(super) fn place(&self, row: u32) -> Place {
        match self.stack.locate(row) {
            Some((layer, row)) => self.stack.layer(layer).map(|index| index.place(row)).unwrap_or_default(),
            None => Place::default(),
        }
    }

    /// How many paths there are, the root among them.
    #[allow(clippy::len_without_is_empty)] // there is always a root
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// How many layers it stands on.
    pub fn layers(&self) -> usize {
        self.stack.len()
    }

    /// What is in the layer with this number, counted from 0 at the bottom. Its warnings are the tree's.
    pub fn layer(&self, layer: usize) -> Option<&LayerIndex> {
        self.stack.layer(layer)
    }

    /// What was found on the way that is not wrong but worth telling.
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// What the parsers of all layers found odd or dropped, counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The root.
    pub fn root(&self) -> Node<'_> {
        Node { tree: self, id: NodeId(ROOT) }
    }

    /// The path of this number.
    pub fn node(&self, id: NodeId) -> Option<Node<'_>> {
        self.nodes.get(id.0 as usize).map(|_| Node { tree: self, id })
    }

    /// All paths in the order of their numbers: by depth, the root first.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        (0..self.nodes.len()).map(|id| Node { tree: self, id: NodeId(u32::try_from(id).unwrap_or(NONE)) })
    }

    /// All paths in canonical order (L26): sorted component by component as bytes, parents first, the root at the front.
    pub fn iter(&self) -> impl Iterator<Item = Node<'_>> {
        core::iter::successors(Some(self.root()), |node| node.after())
    }

    /// All paths with the leaves first: sorted by name, each directory behind all that lies below it.
    pub fn leaves_first(&self) -> impl Iterator<Item = Node<'_>> {
        core::iter::successors(Some(self.root().first_leaf()), |node| {
            let parent = node.parent()?;
            match node.sibling() {
                Some(sibling) => Some(sibling.first_leaf()),
                None => Some(parent),
            }
        })
    }

    /// The path with exactly these components, no symlink followed. Empty components and `.` are passed over.
    pub fn lookup(&self, path: &[u8]) -> Option<Node<'_>> {
        let mut node = self.root();
        for part in path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")) {
            node = node.child(part)?;
        }
        Some(node)
    }

    /// The file that a process in the root would open under this name: symlinks are followed, also the last one.
    ///
    /// # Errors
    /// `path_not_found`, with what comes nearest; `invalid_path` for a loop.
    pub fn resolve(&self, path: &[u8]) -> Result<Node<'_>> {
        let mut node = self.root();
        let mut rest = path.to_vec();
        if rest.ends_with(b"/") {
            // Only a directory has a slash behind its name.
            rest.push(b'.');
        }
        rest.reverse();
        let mut followed = 0;
        while !rest.is_empty() {
            // The rest is kept backwards: its end is what comes next.
            let len = rest
                .iter()
                .rposition(|byte| *byte == b'/')
                .map_or(rest.len(), |slash| rest.len() - slash - 1);
            let mut part = rest.split_off(rest.len() - len);
            part.reverse();
            rest.pop();
            if node.kind() != Kind::Directory {
                return Err(not_there(path, &node.parent().unwrap_or(node).path(), None));
            }
            node = match &part[..] {
                b"" | b"." => node,
                b".." => node.parent().unwrap_or(node),
                name => match node.child(name) {
                    Some(child) => child,
                    None => {
                        let similar = node.similar(name).map(Node::path);
                        return Err(not_there(path, &node.path(), similar.as_deref()));
                    }
                },
            };
            if node.kind() == Kind::Symlink {
                followed += 1;
                if followed > FOLLOWED {
                    let path = Name(path).to_string();
                    return Err(ErrorKind::InvalidPath { path, reason: "its symlinks loop".into() }.into());
                }
                let link = node.link();
                rest.push(b'/');
                rest.extend(link.iter().rev());
                node = if link.starts_with(b"/") { self.root() } else { node.parent().unwrap_or(node) };
            }
        }
        Ok(node)
    }

    pub(super) fn stack(&self) -> &Stack {
        &self.stack
    }

    pub(super) fn packed(&self, id: u32) -> Option<&TreeNode> {
        self.nodes.get(id as usize)
    }
}

/// One path of a [`Tree`].
#[derive(Clone, Copy, Debug)]
pub struct Node<'t> {
    tree: &'t Tree,
    id: NodeId,
}

impl<'t> Node<'t> {
    /// Its number.
    pub fn id(self) -> NodeId {
        self.id
    }

    /// The tree that it is of.
    pub fn tree(self) -> &'t Tree {
        self.tree
    }

    fn packed(self) -> TreeNode {
        self.tree.nodes.get(self.id.0 as usize).copied().unwrap_or(NOWHERE)
    }

    fn at(self, id: u32) -> Node<'t> {
        Node { tree: self.tree, id: NodeId(id) }
    }

    /// The last component; empty for the root.
    pub fn name(self) -> &'t [u8] {
        let node = self.packed();
        self.tree
            .names
            .get(node.name_at as usize..node.name_at as usize + node.name_len as usize)
            .unwrap_or_default()
    }

    /// The components joined by `/`, without one at the front; empty for the root.
    pub fn path(self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut node = self;
        while let Some(parent) = node.parent() {
            names.push(node.name());
            node = parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// The directory that it is in; `None` for the root.
    pub fn parent(self) -> Option<Node<'t>> {
        (self.id.0 != ROOT).then(|| self.at(self.packed().parent))
    }

    /// The numbers of what a directory holds.
    pub(super) fn range(self) -> Range<u32> {
        let node = self.packed();
        node.first_child..node.first_child.saturating_add(node.children)
    }

    /// What a directory holds, sorted by name.
    pub fn children(self) -> impl ExactSizeIterator<Item = Node<'t>> + DoubleEndedIterator {
        let range = self.range();
        (range.start as usize..range.end as usize).map(move |id| self.at(id as u32))
    }

    /// The child of this name.
    pub fn child(self, name: &[u8]) -> Option<Node<'t>> {
        let Range { mut start, mut end } = self.range();
        while start < end {
            let middle = self.at(start + (end - start) / 2);
            match middle.name().cmp(name) {
                core::cmp::Ordering::Equal => return Some(middle),
                core::cmp::Ordering::Less => start = middle.id.0 + 1,
                core::cmp::Ordering::Greater => end = middle.id.0,
            }
        }
        None
    }

    /// The child whose name is most like this one, if any is like it at all: for `did you mean`.
    pub fn similar(self, name: &[u8]) -> Option<Node<'t>> {
        let most = (name.len() / 3).clamp(1, 3);
        self.children()
            .filter_map(|child| Some((distance(name, child.name(), most)?, child)))
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, child)| child)
    }

    /// The next one in the same directory.
    fn sibling(self) -> Option<Node<'t>> {
        let range = self.parent()?.range();
        (self.id.0 + 1 < range.end).then(|| self.at(self.id.0 + 1))
    }

    /// The number of the inode that it names: equal for the names of one file (L13), `u32::MAX` for a directory that no layer
    /// has an entry for.
    pub fn inode_number(self) -> u32 {
        self.packed().inode
    }

    /// The next path in canonical order.
    pub fn after(self) -> Option<Node<'t>> {
        let range = self.range();
        if !range.is_empty() {
            return Some(self.at(range.start));
        }
        let mut node = self;
        loop {
            if let Some(sibling) = node.sibling() {
                return Some(sibling);
            }
            node = node.parent()?;
        }
    }

    fn first_leaf(self) -> Node<'t> {
        let mut node = self;
        loop {
            let range = node.range();
            if range.is_empty() {
                return node;
            }
            node = node.at(range.start);
        }
    }

    /// What it is; never a hard link: every name of an inode is of the inode's kind.
    pub fn kind(self) -> Kind {
        self.tree.stack.row(self.packed().inode).map_or(Kind::Directory, |(layer, row)| layer.kind(row))
    }

    /// Its metadata, those of the inode that it names. An implied directory has mode 0755 and nothing else (L4).
    pub fn metadata(self) -> Metadata {
        match self.tree.stack.row(self.packed().inode) {
            Some((layer, row)) => layer.metadata(row),
            None => Metadata { mode: 0o755, ..Metadata::default() },
        }
    }

    /// When its content was last changed.
    pub fn mtime(self) -> Mtime {
        self.tree.stack.row(self.packed().inode).map_or_else(Mtime::default, |(layer, row)| layer.mtime(row))
    }

    /// Bytes of content; 0 for what has none.
    pub fn size(self) -> u64 {
        self.tree.stack.row(self.packed().inode).map_or(0, |(_, row)| row.size)
    }

    /// The text of a symlink, to the letter; empty for other kinds.
    pub fn link(self) -> &'t [u8] {
        match self.tree.stack.row(self.packed().inode) {
            Some((layer, row)) => layer.link(row),
            None => &[],
        }
    }

    /// The entry that brought the name; `None` for a directory that no layer has an entry for (L4).
    pub fn origin(self) -> Option<Origin> {
        self.origin_of(self.packed().name)
    }

    /// The entry that holds content and metadata: another one than [`Node::origin`] for a name made by a hard link. Two
    /// paths are names of one file exactly if this is equal (L13). `None` for a directory that no layer has an entry
    /// for.
    pub fn inode(self) -> Option<Origin> {
        self.origin_of(self.packed().inode)
    }

    fn origin_of(self, row: u32) -> Option<Origin> {
        let (layer, entry) = self.tree.stack.locate(row)?;
        let header_at = self.tree.stack.layer(layer)?.row(entry)?.header_at;
        Some(Origin { layer, entry, header_at })
    }

    /// Where the content of a regular file lies.
    pub fn body(self) -> Option<Body<'t>> {
        let packed = self.packed();
        let (layer, _) = self.tree.stack.locate(packed.inode)?;
        let (index, row) = self.tree.stack.row(packed.inode)?;
        (index.kind(row) == Kind::File).then(|| Body {
            layer,
            data_at: row.data_at(),
            stored: index.stored(row),
            sparse: index.sparse(row).map(|(map, _)| map),
        })
    }
}

/// How many bytes have to be put in, taken out or replaced to make one name of the other, where that is at most `most`.
fn distance(a: &[u8], b: &[u8], most: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > most || a.len() > 255 {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut before = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            let next = (before + usize::from(x != y)).min(above + 1).min(left + 1);
            (*cell, before, left) = (next, above, next);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().filter(|distance| *distance <= most)
}

static NOWHERE: TreeNode = TreeNode {
    parent: ROOT,
    name_at: 0,
    name_len: 0,
    first_child: 0,
    children: 0,
    inode: NONE,
    name: NONE,
    turn: NONE,
    close: 1,
};
