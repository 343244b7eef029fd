//! gzip out of gzip: deflate blocks (RFC 1951) whose bytes all survive are copied bit for bit, not made anew.
//!
//! The output is told in order as lengths: bytes that nobody has compressed yet, and bytes of a decoded *source* (a
//! layer), whose [`Block`]s its decoder reports. [`Splice`] answers the *parts* that make it: block ranges to copy, and
//! pieces to encode. [`Join`] writes them, each wherever the one before has ended, as one gzip member.
//!
//! A block can be copied where everything that it refers to stands before it in the output just as in its source, so
//! that what is lost between two runs of surviving bytes is little: the blocks at their borders, and those that reach
//! across them.
//!
//! No payload passes through [`Splice`], and what it answers hangs on the bytes' origins and on the blocks alone, never
//! on how the lengths are cut or when blocks come (L26), as long as the driver keeps to this:
//!
//! 1. A block is handed over before the first byte behind it is told ([`Splice::handle_block`]). A decoder that reports
//!    blocks knows it by then.
//! 2. The bytes that have been told are kept until a part covers them: at most [`KEPT_BYTES`] and what is told at once.
//!
//! ```
//! use wharfie_core::codec::splice::{Join, Origin, Part, Splice, encode};
//!
//! let text = b"nothing to copy here";
//! let (mut splice, mut join, mut out) = (Splice::new(), Join::new(), Vec::new());
//! join.begin(6, &mut out);
//! splice.handle_bytes(text.len() as u64, None::<Origin>);
//! splice.finish();
//! let mut position = 0;
//! while let Some(part) = splice.poll_part() {
//!     let bytes = &text[position..][..part.len() as usize];
//!     position += bytes.len();
//!     match part {
//!         Part::Encode { .. } => join.encoded(&encode(bytes, 6).unwrap(), &mut out),
//!         // The source's blob gives the bits, which go to `Join::copy` in pieces of any size, or to `Join::stored`;
//!         // the CRC-32 of what they give goes to `Join::sum`.
//!         Part::Copy { .. } | Part::Stored { .. } => unreachable!("there are no sources"),
//!     }
//! }
//! join.finish(&mut out);
//! assert_eq!(&out[..2], b"\x1f\x8b");
//! ```

mod encode;
mod join;
mod machine;
#[cfg(test)]
mod tests;

use core::ops::Range;

pub use super::Block;
pub use encode::{Encoded, encode};
pub use join::{Bits, Join};
pub use machine::Splice;

/// Blocks that give more bytes than this are encoded anew, so that whoever copies while the source is still being
/// decoded need not keep more until he knows a block's end.
pub const MAX_BLOCK_BYTES: u64 = 1 << 20;

/// Bytes of a piece that is encoded by itself, at most. Pieces know nothing of each other, so that they can be encoded
/// side by side; at this size that costs less than a hundredth of the ratio.
pub const PIECE_BYTES: u64 = 1 << 20;

/// What a driver has to keep of the bytes that were told before the last call, at most.
pub const KEPT_BYTES: u64 = MAX_BLOCK_BYTES + 1 + PIECE_BYTES;

/// Where bytes of the output come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The source, by the number that the driver gave it.
    pub source: usize,
    /// The first byte, in the source's decoded data.
    pub offset: u64,
}

/// What makes the next bytes of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Deflate blocks of a source, one behind another, none of them stored: [`Join::copy`].
    Copy {
        /// The source.
        source: usize,
        /// From the first block's header to behind the last block's end, in bits of the source's compressed data. Bit 0
        /// is the lowest of the first byte. The very first is to be cleared.
        bits: Range<u64>,
        /// What they give, in bytes of the source's decoded data.
        bytes: Range<u64>,
    },
    /// The content of a stored block of a source: [`Join::stored`].
    Stored {
        /// The source.
        source: usize,
        /// Where its content stands, in bytes of the source's compressed data.
        at: u64,
        /// What it gives, in bytes of the source's decoded data.
        bytes: Range<u64>,
    },
    /// Bytes to be encoded: [`encode`] or a host's faster encoder, then [`Join::encoded`].
    Encode {
        /// How many, at most [`PIECE_BYTES`].
        len: u64,
    },
}

impl Part {
    /// How many bytes of the output it makes.
    pub fn len(&self) -> u64 {
        match self {
            Part::Copy { bytes, .. } | Part::Stored { bytes, .. } => bytes.end.saturating_sub(bytes.start),
            Part::Encode { len } => *len,
        }
    }

    /// Never: parts make something.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
