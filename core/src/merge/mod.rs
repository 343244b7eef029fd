//! Layers to one root: index, resolve, emit.
//!
//! What a stack of layers means is a law of numbered rules, `L1` to `L28`, cited here by number. In short: each layer is
//! a tree of its own, its tar extracted in order into an empty directory, and an image is what an overlay mount of those
//! trees shows, lowest first (image-spec `layer.md`, with the differences that the rules name).
//!
//! - A [`LayerIndex`] takes the entries of one layer in order ([`Scan`] makes them from tar bytes), in a packed row each,
//!   on any thread.
//! - The [`Resolver`] takes the indexes of all layers in any order and answers the merged [`Tree`]: every path that an
//!   overlay mount shows, with its kind, metadata and the place of its bytes.
//! - A [`Plan`] orders what makes a flattened tar of the tree, as operations on ranges of the decoded layers; [`Flatten`]
//!   is the machine that does all three in turn, without files or threads.
//! - [`Untouched`] tells of an image of one layer whether that layer's tar is the flattened one already.
//! - A [`Selection`] leaves paths out of that tree, and [`IdMaps`] say what its owners become in the output
//!   ([`Options`]).
//! - A [`Draft`] foretells the beginning of a plan while the layers are still being decoded, for who can take output
//!   back: the [`Plan`] says afterwards how much of it holds.
//!
//! Where the rules leave room, this is what is done:
//!
//! - Whiteouts are names (L7): they hold although their directory becomes a file and a directory again in its layer.
//! - A name that leads through symlinks (L3) is resolved as Linux does it below a root, forty links at most; `..` behind
//!   what is no directory, or is not there, is its parent.
//! - A hard link (L12) sees no lower file below what its own layer has made a file by then. One to its own name is an
//!   error also where the name is taken already.
//! - The root comes out where a layer has an entry for it; every other directory that is shown comes out (L4).
//! - In stream order (L26) a name that links to a lower layer's inode comes where that layer has the name that it bound
//!   to, behind it; so no layer is read before those above it, and none backwards. A layer's end is where it is known
//!   that nothing can follow below a directory: no lower layer can reach below whiteouts, opaque markers and files.
//! - In stream order a symlink that leads up or to the root follows its directory's entry at once: GNU tar makes such
//!   links at its very end, and gives the directory its times back only so. libarchive sets the times of a directory
//!   that is there already at once; with it, canonical order keeps the times of all directories but the root.
//! - Canonical order writes all headers and padding itself, so that nothing of how layers were cut or written shows.
//!
//! Memory follows the number of paths, never the size of files; the cost follows the bytes of the headers, whatever they
//! say (L24).

mod difference;
mod directory;
mod draft;
mod flatten;
mod history;
mod holding;
mod id_map;
mod index;
mod lack;
mod listed;
mod long;
mod lookup;
mod options;
mod packing;
mod pattern;
mod plan;
mod resolve;
mod seats;
mod selection;
mod side;
mod sizes;
mod sought;
mod source;
mod stack;
mod tree;
mod trie;
mod untouched;
mod warning;
mod whiteout;

#[cfg(test)]
mod tests;

pub use difference::{Change, Difference, What};
pub use directory::{Directory, DirectoryPlan};
pub use draft::{Draft, Sketch};
pub use flatten::{Flatten, Step};
pub use history::{History, LayerChange, PathChange, Version, Waste, WastedPath};
pub use holding::{
    Attributes, Holder, Holding, LOOK_ALIKES, NAME_SAMPLES, OnUnsupported, ROOTLESS_XATTR, rootless_record,
};
pub use id_map::{IdMap, IdMaps, IdRange};
pub use index::{LayerIndex, Scan};
pub use lack::{Lack, Lacking, Lacks};
pub use listed::{Listed, Says};
pub use long::{mode_text, mtime_text};
pub use lookup::{Answer, Found, Lookup};
pub use options::{Options, Order};
pub use pattern::Pattern;
pub use plan::{HELD_BACK, LayerUse, Op, Plan};
pub use resolve::Resolver;
pub use selection::{Selection, Unmatched};
pub use side::{Checkpoints, SideIndex};
pub use sizes::{Links, Sizes};
pub use sought::{Sought, SoughtBody};
pub use source::{Sourcing, check_source};
pub use tree::{Body, Node, NodeId, Origin, Tree};
pub use untouched::Untouched;
pub use warning::{Warning, WarningKind, Warnings};

use crate::digest::Digest;
use crate::error::{ErrorKind, Result};

/// Where a config carries `diff_ids`, their number must be that of the layers (L23). Schema 1 and the v1 layout carry
/// none: `None`.
///
/// # Errors
/// `layer_count_mismatch`.
pub fn check_layer_count(diff_ids: Option<usize>, layers: usize) -> Result<()> {
    match diff_ids {
        Some(diff_ids) if diff_ids != layers => {
            Err(ErrorKind::LayerCountMismatch { diff_ids: diff_ids as u64, layers: layers as u64 }.into())
        }
        _ => Ok(()),
    }
}

/// What a layer's content hashes to must be what the config says of it, where it says anything (L23).
///
/// # Errors
/// `diff_id_mismatch`.
pub fn check_diff_id(expected: Option<Digest>, actual: Digest) -> Result<()> {
    match expected {
        Some(expected) if expected != actual => Err(ErrorKind::DiffIdMismatch { expected, actual }.into()),
        _ => Ok(()),
    }
}
