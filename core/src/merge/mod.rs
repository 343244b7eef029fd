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
//!
//! Memory follows the number of paths, never the size of files; the cost follows the bytes of the headers, whatever they
//! say (L24).

mod flatten;
mod index;
mod options;
mod plan;
mod resolve;
mod tree;
mod trie;
mod warning;
mod whiteout;

#[cfg(test)]
mod tests;

pub use flatten::{Flatten, Step};
pub use index::{LayerIndex, Scan};
pub use options::{Options, Order};
pub use plan::{HELD_BACK, LayerUse, Op, Plan};
pub use resolve::Resolver;
pub use tree::{Body, Node, NodeId, Origin, Tree};
pub use warning::{Warning, WarningKind, Warnings};

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
