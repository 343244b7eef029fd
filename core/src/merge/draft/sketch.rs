//! What a draft handed out, name by name, for a plan to compare itself with.

use alloc::vec::Vec;

use super::super::options::Options;

/// In place of a layer: a directory that no layer has an entry for.
pub(in super::super) const IMPLIED: u32 = u32::MAX;

/// One name that was handed out. All that its bytes depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Item {
    /// The layer that all rows here are of, or [`IMPLIED`].
    pub(in super::super) layer: u32,
    /// The row that brought the name.
    pub(in super::super) name: u32,
    /// The row that holds content and metadata.
    pub(in super::super) inode: u32,
    /// The row whose name carries the content: its own, or the one that it links to.
    pub(in super::super) first: u32,
    /// Whether the entry's own headers are copied.
    pub(in super::super) raw: bool,
    /// The position in the output behind it.
    pub(in super::super) end: u64,
}

/// What a [`Draft`](super::Draft) foretold: 32 bytes a name.
#[derive(Debug)]
pub struct Sketch {
    pub(in super::super) options: Options,
    pub(in super::super) items: Vec<Item>,
    pub(in super::super) implied: Vec<Vec<u8>>,
}

impl Sketch {
    /// How many names it foretells.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it foretells none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
