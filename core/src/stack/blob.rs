//! What is known of a layer's blob that was read to its end.

use alloc::vec::Vec;

use crate::Digest;
use crate::codec::{Format, FormatMismatch};
use crate::error::Place;
use crate::merge::Checkpoints;

/// Bytes of a decoded layer that have one sum.
pub(super) const SPAN: u64 = 64 << 10;

/// What is known of a layer that was read to its end, every digest of which held.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The digest of its tar.
    pub diff_id: Digest,
    /// Bytes of its tar.
    pub tar_bytes: u64,
    /// How the blob is compressed.
    pub format: Format,
    /// That the media type says another compression (L20): a warning.
    pub mismatch: Option<FormatMismatch>,
}

/// All that reading parts of it again takes, and proves.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) source: usize,
    pub(super) digest: Digest,
    /// Bytes of the blob.
    pub(super) bytes: u64,
    pub(super) report: Report,
    pub(super) checkpoints: Checkpoints,
    /// The CRC-32 of every [`SPAN`] of the tar.
    pub(super) sums: Vec<u32>,
}

impl Blob {
    pub(super) fn place(&self) -> Place {
        Place { layer: Some(self.source), blob: Some(self.digest), ..Place::default() }
    }
}

/// Sums a layer up, span by span, as it is decoded.
#[derive(Debug, Default)]
pub(super) struct Summing {
    sum: crate::crc::Hasher,
    filled: u64,
    sums: Vec<u32>,
}

impl Summing {
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(SPAN - self.filled).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.sum.update(now);
            self.filled += now.len() as u64;
            bytes = rest;
            if self.filled == SPAN {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        self.sums.push(core::mem::take(&mut self.sum).finalize());
        self.filled = 0;
    }

    pub(super) fn finish(mut self) -> Vec<u32> {
        if self.filled > 0 {
            self.end();
        }
        self.sums
    }
}
