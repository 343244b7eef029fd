//! Pieces that are encoded by themselves.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use miniz_oxide::deflate::core::create_comp_flags_from_zip_params;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output};

use crate::codec::Format;
use crate::error::{ErrorKind, Result};

/// A piece of the output as deflate blocks, none of them the last of a stream, that refer to nothing before them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    pub(super) bytes: Vec<u8>,
    pub(super) bits: u64,
    pub(super) at_byte: bool,
    pub(super) crc: u32,
    pub(super) len: u64,
}

impl Encoded {
    /// Blocks that encode `plain`, begin at the first bit of `bytes` and end at the last bit of the last byte: what an
    /// encoder gives that is told to flush (`Z_SYNC_FLUSH`). They can only be written where a byte begins, for such a
    /// flush ends with a stored block.
    pub fn flushed(bytes: Vec<u8>, plain: &[u8]) -> Encoded {
        let bits = (bytes.len() as u64).saturating_mul(8);
        Encoded { bytes, bits, at_byte: true, crc: crc32fast::hash(plain), len: plain.len() as u64 }
    }

    /// Bytes of memory that it takes, about.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Its memory, for the next one.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded").field("bits", &self.bits).field("len", &self.len).finish_non_exhaustive()
    }
}

/// Encodes a piece at `level` (see [`Format::levels`]) by core's own deflate.
///
/// # Errors
/// `invalid_option` for other levels.
pub fn encode(plain: &[u8], level: i32) -> Result<Encoded> {
    let level = Format::Gzip.level(Some(level))?;
    // Negative window bits: raw deflate.
    let mut deflate = CompressorOxide::new(create_comp_flags_from_zip_params(level, -15, 0));
    let mut bytes = Vec::new();
    let (status, taken) = compress_to_output(&mut deflate, plain, TDEFLFlush::Sync, |packed| {
        bytes.extend_from_slice(packed);
        true
    });
    if status != TDEFLStatus::Okay || taken != plain.len() {
        return Err(ErrorKind::Internal { reason: format!("deflate answers {status:?}") }.into());
    }
    Ok(Encoded::flushed(bytes, plain))
}
