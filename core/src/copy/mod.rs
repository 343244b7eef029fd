//! What a copy takes along, and how documents change on the way: pruned indexes, other media types, other layers, and the
//! tags that cosign keeps signatures under.
//!
//! All of it is computed on documents alone: bytes in, bytes out. What a document says besides stays as its author wrote
//! it, key by key and in its order, so that every host makes the same bytes and the same digest.

mod companions;
mod prune;
mod rewrite;

pub use companions::{companion_tags, subject_of_tag};
pub use prune::{Pruned, prune};
pub use rewrite::{Format, Rewritten, Swap, packed_type, rewrite};
