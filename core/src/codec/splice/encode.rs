//! Pieces that are encoded by themselves.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use miniz_oxide::deflate::core::create_comp_flags_from_zip_params;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output};

use crate::codec::{Format, Inflate as _, Inflater};
use crate::error::{ErrorKind, Result};

/// Bytes decoded at once.
const DECODED: usize = 64 << 10;

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

    /// A whole deflate stream (RFC 1951) that encodes `plain`, with its end opened, so that more can follow: what an
    /// encoder gives that can only end a stream. It is decoded to find that end, and has to give `plain`.
    ///
    /// # Errors
    /// `internal` if it does not.
    pub fn reopened(mut bytes: Vec<u8>, plain: &[u8]) -> Result<Encoded> {
        let wrong =
            |reason: &str| ErrorKind::Internal { reason: format!("an encoder's own stream: {reason}") };
        let mut inflater = Inflater::new();
        let mut decoded = alloc::vec![0; DECODED];
        let (mut input, mut expected) = (bytes.as_slice(), plain);
        loop {
            let step = inflater.inflate(input, &mut decoded).map_err(wrong)?;
            input = input.get(step.read..).unwrap_or_default();
            let given = decoded.get(..step.written).unwrap_or_default();
            expected = expected.strip_prefix(given).ok_or_else(|| wrong("it gives other bytes"))?;
            if step.done {
                break;
            }
            if step.read == 0 && step.written == 0 {
                return Err(wrong("it is cut short").into());
            }
        }
        let last = inflater.last_block().filter(|_| expected.is_empty() && input.is_empty());
        let last = last.ok_or_else(|| wrong("it ends too early"))?;
        // The first bit of a block says whether it is the last one.
        if let Some(byte) = usize::try_from(last.start / 8).ok().and_then(|at| bytes.get_mut(at)) {
            *byte &= !(1 << (last.start % 8));
        }
        let (crc, len) = (crc32fast::hash(plain), plain.len() as u64);
        Ok(Encoded { bytes, bits: last.end, at_byte: true, crc, len })
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
