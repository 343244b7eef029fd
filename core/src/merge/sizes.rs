//! How many names files have, and how much lies below each path.

use alloc::vec::Vec;

use super::tree::{Node, NodeId, Tree};
use crate::map::Map;
use crate::tar::Kind;

/// The files of a tree that have several names (L13).
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// By inode: the first name in canonical order, and how many there are.
    several: Map<u32, (u32, u64)>,
}

impl Links {
    /// Counts the names in `tree`.
    pub fn of(tree: &Tree) -> Self {
        let mut several: Map<u32, (u32, u64)> = Map::new();
        for node in tree.iter().filter_map(|node| tree.packed(node.id().0)) {
            if node.name != node.inode {
                several.insert(node.inode, (0, 0));
            }
        }
        for node in tree.iter() {
            if let Some(links) = tree.packed(node.id().0).and_then(|packed| several.get_mut(&packed.inode)) {
                if links.1 == 0 {
                    links.0 = node.id().0;
                }
                links.1 += 1;
            }
        }
        Links { several }
    }

    /// How many names the file has; for a directory, as file systems count, 2 and one for each directory in it.
    pub fn count(&self, node: Node<'_>) -> u64 {
        if node.kind() == Kind::Directory {
            return 2 + node.children().filter(|child| child.kind() == Kind::Directory).count() as u64;
        }
        self.entry(node).map_or(1, |(_, count)| *count)
    }

    /// The first of its names in canonical order: itself, unless it has others.
    pub fn first<'t>(&self, node: Node<'t>) -> Node<'t> {
        self.entry(node).and_then(|(first, _)| node.tree().node(NodeId(*first))).unwrap_or(node)
    }

    fn entry(&self, node: Node<'_>) -> Option<&(u32, u64)> {
        self.several.get(&node.tree().packed(node.id().0)?.inode)
    }
}

/// What lies at and below each path, as `du --apparent-size` counts it: bytes of content, a file with several names
/// once, where its first name in canonical order is.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// By number: bytes, and files (all that is no directory; names of one file count once).
    totals: Vec<(u64, u64)>,
}

impl Sizes {
    /// Adds up `tree`.
    pub fn of(tree: &Tree) -> Self {
        let links = Links::of(tree);
        let mut totals = alloc::vec![(0_u64, 0_u64); tree.len()];
        for node in tree.iter() {
            if node.kind() != Kind::Directory
                && links.first(node).id() == node.id()
                && let Some(total) = totals.get_mut(node.id().0 as usize)
            {
                *total = (node.size(), 1);
            }
        }
        // Parents have lower numbers than their children.
        for id in (1..totals.len()).rev() {
            let parent = u32::try_from(id).ok().and_then(|id| tree.packed(id)).map(|node| node.parent);
            let (bytes, files) = totals.get(id).copied().unwrap_or_default();
            if let Some(total) = parent.and_then(|parent| totals.get_mut(parent as usize)) {
                total.0 = total.0.saturating_add(bytes);
                total.1 += files;
            }
        }
        Sizes { totals }
    }

    /// Bytes at and below this path.
    pub fn bytes(&self, node: Node<'_>) -> u64 {
        self.totals.get(node.id().0 as usize).map_or(0, |total| total.0)
    }

    /// Files at and below this path: everything but directories.
    pub fn files(&self, node: Node<'_>) -> u64 {
        self.totals.get(node.id().0 as usize).map_or(0, |total| total.1)
    }
}
