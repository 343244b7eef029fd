//! Paths of all layers, each component once, in arenas.

use alloc::vec::Vec;

use crate::error::Result;
use crate::limits::Limits;

use super::index::entries;
use super::seats::Seats;

/// The root's number. Children have higher numbers than their parents.
pub(super) const ROOT: u32 = 0;
/// No node, no row.
pub(super) const NONE: u32 = u32::MAX;

/// What a path has in a tree: nothing of it holds unless the chain of `inside` holds up to the root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The `contents` of the parent in which this was put. Where the parent's differ by now, it is gone.
    pub(super) inside: u32,
    /// For a directory the number of its contents, else 0. Emptying a directory is giving it another number.
    pub(super) contents: u32,
    /// The row that holds data and metadata, or `NONE` for an implied directory.
    pub(super) inode: u32,
    /// The row that brought the name, or `NONE`.
    pub(super) name: u32,
    /// The row at whose place the name comes in stream order.
    pub(super) turn: u32,
}

impl Slot {
    pub(super) const EMPTY: Slot = Slot { inside: 0, contents: 0, inode: NONE, name: NONE, turn: NONE };

    pub(super) fn is_directory(&self) -> bool {
        self.contents != 0
    }
}

/// One component below one parent.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrieNode {
    pub(super) parent: u32,
    name_at: u32,
    name_len: u32,
    /// What the layers up to the last one resolved show there.
    pub(super) view: Slot,
    /// What the current layer itself has there.
    pub(super) own: Slot,
    /// 1 + the highest layer that hides this path in the layers below it.
    pub(super) hidden_by: u32,
    /// 1 + the highest layer that hides all below this path in the layers below it.
    pub(super) opaque_by: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Trie {
    nodes: Vec<TrieNode>,
    names: Vec<u8>,
    seats: Seats,
}

impl Trie {
    pub(super) fn new() -> Self {
        let mut trie = Trie { nodes: Vec::new(), names: Vec::new(), seats: Seats::default() };
        trie.nodes.push(TrieNode {
            parent: ROOT,
            name_at: 0,
            name_len: 0,
            view: Slot { inside: 1, contents: 1, ..Slot::EMPTY },
            own: Slot::EMPTY,
            hidden_by: 0,
            opaque_by: 0,
        });
        trie
    }

    pub(super) fn node(&self, id: u32) -> &TrieNode {
        // Numbers come from this trie alone; the root stands in for one that did not.
        self.nodes.get(id as usize).unwrap_or(&ORPHAN)
    }

    pub(super) fn node_mut(&mut self, id: u32) -> Option<&mut TrieNode> {
        self.nodes.get_mut(id as usize)
    }

    pub(super) fn name(&self, id: u32) -> &[u8] {
        let node = self.node(id);
        let at = node.name_at as usize;
        self.names.get(at..at + node.name_len as usize).unwrap_or_default()
    }

    /// The child of this name, made if it is not there.
    pub(super) fn child(&mut self, parent: u32, name: &[u8], limits: &Limits) -> Result<u32> {
        let found = self.seats.find(parent, name, |id| {
            let node = self.node(id);
            node.parent == parent && self.name(id) == name
        });
        if let Some(found) = found {
            return Ok(found);
        }
        let new = u32::try_from(self.nodes.len()).ok().filter(|new| *new != NONE);
        let name_at = u32::try_from(self.names.len()).ok();
        let name_len = u32::try_from(name.len()).ok();
        let (Some(new), Some(name_at), Some(name_len)) = (new, name_at, name_len) else {
            return Err(entries(limits));
        };
        // Every entry has a path of its own, and so has every directory that one implies.
        if u64::from(new) > limits.entries {
            return Err(entries(limits));
        }
        let (nodes, names) = (&self.nodes, &self.names);
        self.seats.add(parent, name, new, |id| {
            let node = nodes.get(id as usize).unwrap_or(&ORPHAN);
            let at = node.name_at as usize;
            (node.parent, names.get(at..at + node.name_len as usize).unwrap_or_default())
        });
        self.names.extend_from_slice(name);
        self.nodes.push(TrieNode {
            parent,
            name_at,
            name_len,
            view: Slot::EMPTY,
            own: Slot::EMPTY,
            hidden_by: 0,
            opaque_by: 0,
        });
        Ok(new)
    }

    /// The child of this name, if it is there.
    pub(super) fn find(&self, parent: u32, name: &[u8]) -> Option<u32> {
        self.seats.find(parent, name, |id| self.node(id).parent == parent && self.name(id) == name)
    }

    /// How many nodes there are: their numbers are below it.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the node shows something in the layers up to the last one resolved.
    pub(super) fn is_shown(&self, mut id: u32) -> bool {
        while id != ROOT {
            let node = self.node(id);
            if node.view.inside == 0 || node.view.inside != self.node(node.parent).view.contents {
                return false;
            }
            id = node.parent;
        }
        true
    }

    /// The path of a node.
    pub(super) fn path(&self, mut id: u32) -> Vec<u8> {
        let mut ids = Vec::new();
        while id != ROOT {
            ids.push(id);
            id = self.node(id).parent;
        }
        let names: Vec<&[u8]> = ids.iter().rev().map(|id| self.name(*id)).collect();
        names.join(&b'/')
    }

    pub(super) fn into_names(self) -> (Vec<TrieNode>, Vec<u8>) {
        (self.nodes, self.names)
    }
}

impl TrieNode {
    pub(super) fn name_range(&self) -> (u32, u32) {
        (self.name_at, self.name_len)
    }
}

static ORPHAN: TrieNode = TrieNode {
    parent: ROOT,
    name_at: 0,
    name_len: 0,
    view: Slot::EMPTY,
    own: Slot::EMPTY,
    hidden_by: 0,
    opaque_by: 0,
};
