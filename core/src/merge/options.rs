//! What the caller may choose about merging.

use super::id_map::IdMaps;
use super::selection::Selection;
use crate::limits::Limits;
use crate::tar::Mtime;

/// The order of entries in a flattened tar (L26).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Order {
    /// Top layer first, each layer in its own order; a directory when nothing below it can follow, but for symlinks that
    /// lead up or to the root: they follow their directory at once, as GNU tar keeps its times only so.
    #[default]
    Stream,
    /// Sorted by path, component by component as bytes, parents first; independent of how the layers were cut.
    Canonical,
}

impl Order {
    /// The word for it: `stream`, `canonical`.
    pub const fn name(self) -> &'static str {
        match self {
            Order::Stream => "stream",
            Order::Canonical => "canonical",
        }
    }
}

/// Choices for the [`Resolver`](super::Resolver) and the [`Plan`](super::Plan). Everything that changes the output is
/// here: the same layers and options give the same bytes (L26).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The order of a flattened tar.
    pub order: Order,
    /// Follow symlinks of lower layers that lead to directories, for entries, whiteouts and the targets of hard links,
    /// and keep them where a layer has a directory entry; those of the same layer are kept there as well (L3).
    pub keep_directory_symlink: bool,
    /// Modification times after this one become this one.
    pub mtime_max: Option<Mtime>,
    /// Which paths are wanted: the [`Resolver`](super::Resolver) leaves the others out of its tree.
    pub selection: Selection,
    /// What owners and groups become in a flattened tar. The tree keeps those of the image, so that both can be known;
    /// the resolver makes sure that these maps cover them all.
    pub id_maps: IdMaps,
    /// Caps (L24).
    pub limits: Limits,
}

impl Options {
    /// The defaults of the law, with these caps.
    pub fn new(limits: Limits) -> Self {
        Options { limits, ..Options::default() }
    }
}
