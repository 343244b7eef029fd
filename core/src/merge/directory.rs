//! What makes a directory of a tree, in an order that any host can carry out.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

use super::holding::Holding;
use super::options::Options;
use super::tree::{Node, NodeId, Tree};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::tar::{Kind, Metadata};

/// The steps that make a tree on a file system, in four stages:
///
/// 1. directories by depth ([`DirectoryPlan::directory`], from number 0, the root), with a mode of the host's own that
///    lets it work in them;
/// 2. what each of them holds besides directories and later names of a file ([`Directory::entries`]), each directory by
///    whoever has a hand free: nothing else is touched, and no path is walked;
/// 3. the later names of files, as hard links ([`DirectoryPlan::links`]);
/// 4. the metadata of directories, from the leaves up: in the opposite order of their numbers.
///
/// Nothing is made twice or removed. The stages may run into each other: a directory's entries need nothing but the
/// directory, and its metadata may be set when everything right inside it is there, which later names never belong to if
/// [`Directory::links_follow`] says so.
///
/// Memory: four bytes a path and twelve a directory, besides the tree.
#[derive(Debug)]
pub struct DirectoryPlan {
    tree: Tree,
    options: Options,
    /// Directories in the order of their numbers in the tree: by depth, the root first.
    directories: Vec<Row>,
    /// What the directories hold, one after another.
    entries: Vec<NodeId>,
    /// A later name of a file, and the first one.
    links: Vec<(NodeId, NodeId)>,
    content_bytes: u64,
    stored_bytes: u64,
    /// What the file system there can hold.
    pub(super) holding: Holding,
    pub(super) rootless: bool,
    /// Names of those that cannot have their own.
    pub(super) names: BTreeMap<NodeId, Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    node: NodeId,
    /// Behind the last of its entries.
    end: u32,
    links_follow: bool,
}

/// One directory of a [`DirectoryPlan`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Directory<'p> {
    /// It.
    pub node: Node<'p>,
    /// What is right inside it: files under their first name, symlinks, devices, FIFOs. Those without content come
    /// first, then files in the order of their bytes, layer by layer from the bottom.
    pub entries: &'p [NodeId],
    /// The numbers of the directories right inside it.
    pub directories: Range<usize>,
    /// Whether hard links come into it later ([`DirectoryPlan::links`]).
    pub links_follow: bool,
}

impl DirectoryPlan {
    /// Orders what `tree` takes.
    ///
    /// # Errors
    /// `limit_exceeded` for a tree larger than `total_bytes` (L24).
    pub fn new(tree: Tree, options: &Options) -> Result<Self> {
        let mut plan = DirectoryPlan {
            tree,
            options: options.clone(),
            directories: Vec::new(),
            entries: Vec::new(),
            links: Vec::new(),
            content_bytes: 0,
            stored_bytes: 0,
            holding: Holding::default(),
            rootless: false,
            names: BTreeMap::new(),
        };
        plan.arrange(&BTreeSet::new(), true)?;
        Ok(plan)
    }

    /// Sorts all paths but those left out; without hard links each name is a file of its own.
    pub(super) fn arrange(&mut self, omitted: &BTreeSet<NodeId>, hard_links: bool) -> Result<()> {
        let tree = &self.tree;
        let shown = || tree.nodes().filter(|node| !omitted.contains(&node.id()));
        // Inodes that have a name by a hard link, and of those with several names the first.
        let mut linked: BTreeMap<u32, Option<u32>> = BTreeMap::new();
        for node in shown().filter_map(|node| tree.packed(node.id().0)) {
            if hard_links && node.name != node.inode {
                linked.insert(node.inode, None);
            }
        }
        let mut directories: Vec<Row> = Vec::new();
        let mut entries: Vec<NodeId> = Vec::new();
        let mut links: Vec<(NodeId, NodeId)> = Vec::new();
        let (mut content_bytes, mut stored_bytes) = (0_u64, 0_u64);
        for node in shown().filter(|node| node.kind() == Kind::Directory) {
            let begin = entries.len();
            let mut links_follow = false;
            let below = node.children().filter(|child| !omitted.contains(&child.id()));
            for child in below.filter(|child| child.kind() != Kind::Directory) {
                let id = child.id();
                let first = tree.packed(id.0).and_then(|packed| linked.get_mut(&packed.inode));
                if let Some(first) = first {
                    if let Some(first) = *first {
                        links.push((id, NodeId(first)));
                        links_follow = true;
                        continue;
                    }
                    *first = Some(id.0);
                }
                content_bytes = content_bytes.saturating_add(child.size());
                stored_bytes = stored_bytes.saturating_add(child.body().map_or(0, |body| body.stored));
                if let Some(limit) = self.options.limits.total_bytes.filter(|limit| content_bytes > *limit) {
                    let error = Error::from(ErrorKind::LimitExceeded { limit: "total_bytes", value: limit });
                    return Err(error.at(place(tree, child)));
                }
                entries.push(id);
            }
            // The rows of a layer are numbered as they stand in it.
            if let Some(entries) = entries.get_mut(begin..) {
                entries.sort_unstable_by_key(|id| {
                    let node = tree.packed(id.0);
                    let content = tree.node(*id).is_some_and(|node| node.size() > 0);
                    (content, node.map(|node| node.inode))
                });
            }
            // There are no more entries than paths, whose numbers have 32 bits.
            let end = u32::try_from(entries.len()).unwrap_or(u32::MAX);
            directories.push(Row { node: node.id(), end, links_follow });
        }
        entries.shrink_to_fit();
        self.directories = directories;
        self.entries = entries;
        self.links = links;
        (self.content_bytes, self.stored_bytes) = (content_bytes, stored_bytes);
        Ok(())
    }

    /// All paths that are no later name of a file, by depth.
    pub(super) fn first_names(&self) -> impl Iterator<Item = Node<'_>> {
        self.tree.nodes().filter(|node| !self.is_later_name(node.id()))
    }

    pub(super) fn is_later_name(&self, id: NodeId) -> bool {
        self.links.binary_search_by_key(&id, |(name, _)| *name).is_ok()
    }

    /// The tree that it was made of.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// How many directories there are, the root among them.
    #[allow(clippy::len_without_is_empty)] // there is always a root
    pub fn len(&self) -> usize {
        self.directories.len()
    }

    /// The directory of this number: 0 is the root, and each has a greater number than the one that it is in.
    pub fn directory(&self, number: usize) -> Option<Directory<'_>> {
        let row = self.directories.get(number)?;
        let node = self.tree.node(row.node)?;
        let begin = number.checked_sub(1).and_then(|before| self.directories.get(before));
        let begin = begin.map_or(0, |before| before.end as usize);
        // The children of a directory lie together, and so do the directories among them.
        let children = node.range();
        let position = |id: u32| self.directories.partition_point(|row| row.node.0 < id);
        Some(Directory {
            node,
            entries: self.entries.get(begin..row.end as usize).unwrap_or_default(),
            directories: position(children.start)..position(children.end),
            links_follow: row.links_follow,
        })
    }

    /// The number of a directory by its node.
    pub fn number(&self, directory: NodeId) -> Option<usize> {
        self.directories.binary_search_by_key(&directory, |row| row.node).ok()
    }

    /// The later names of files, each with the first name of its file (L13), in the order of the directories that they
    /// come into.
    pub fn links(&self) -> impl ExactSizeIterator<Item = (Node<'_>, Node<'_>)> + DoubleEndedIterator {
        let node = |id| self.tree.node(id).unwrap_or_else(|| self.tree.root());
        self.links.iter().map(move |(name, first)| (node(*name), node(*first)))
    }

    /// How many files, symlinks, devices and FIFOs there are: inodes that are no directories.
    pub fn inodes(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of content of all files, each counted once, holes included.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Bytes of them that layers hold: those that are in no hole that is told as one (L17).
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// What a path's metadata are to be on disk: those of the image, changed as the options say.
    ///
    /// # Errors
    /// `unmapped_id` for a root that no layer has an entry for, where the maps of owners do not cover 0.
    pub fn metadata(&self, node: Node<'_>) -> Result<Metadata> {
        let mut metadata = node.metadata();
        if let Some(max) = self.options.mtime_max {
            metadata.mtime = metadata.mtime.min(max);
        }
        self.options.id_maps.map(&mut metadata)?;
        Ok(metadata)
    }

    /// Where a path comes from, for errors (L25).
    pub fn place(&self, node: Node<'_>) -> Place {
        place(&self.tree, node)
    }
}

fn place(tree: &Tree, node: Node<'_>) -> Place {
    let packed = tree.packed(node.id().0);
    let row = packed.and_then(|packed| tree.stack().locate(packed.inode));
    let known = row.and_then(|(layer, row)| Some(tree.stack().layer(layer)?.place(row)));
    // A file is known by the name that is being made, not by the one that its bytes came with.
    Place { entry: Some(node.path()), ..known.unwrap_or_default() }
}
