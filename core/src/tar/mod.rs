//! Tar: a streaming parser and a deterministic writer for v7, ustar, GNU and PAX.
//!
//! - [`Parser`] is fed bytes and answers entries and where their content lies; it holds no content.
//! - [`Header`] writes entries, ustar where all fits and PAX where not.
//! - [`path`] brings names into the form of L1, [`sparse`] presents sparse files as plain ones.

mod acl;
pub mod entry;
mod header;
pub mod notes;
pub mod parser;
pub mod path;
mod pax;
pub mod sparse;
pub mod writer;

pub use entry::{Entry, Kind, Metadata, Mtime, Xattrs};
pub use notes::{Counts, Note, Notes};
pub use parser::{Event, Parser, Step};
pub use sparse::{Expander, Piece, Segment, SparseMap};
pub use writer::{END_OF_ARCHIVE, Header};

/// Bytes of one block: headers are blocks, and content is padded to whole ones.
pub const BLOCK: usize = 512;

/// Zeros that follow `size` bytes of content.
pub const fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

#[cfg(test)]
mod tests;
