//! Where in a blob decoding can begin.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::{Codec, Codecs, Format, GzipDecoder};
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;

/// As far back as deflate can look (RFC 1951 section 2).
pub(crate) const WINDOW: usize = 32 << 10;

/// A place in a blob from which it can be decoded without what comes before: the beginning of a deflate block with the
/// bytes that it may refer to, or of a zstd frame.
///
/// A decoder notes them where it is asked to ([`Codec::note_checkpoints`]); [`Checkpoint::decoder`] begins there.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub(super) bit: u64,
    pub(super) byte: u64,
    pub(super) window: Vec<u8>,
}

impl Checkpoint {
    /// At this bit of the blob (bit 0 is the lowest of its first byte) and this byte of what is decoded, behind a `window`
    /// of the bytes before that. `None` if the window is larger than deflate's or than what comes before.
    pub fn new(bit: u64, byte: u64, window: Vec<u8>) -> Option<Checkpoint> {
        let fits = window.len() <= WINDOW && window.len() as u64 <= byte;
        fits.then_some(Checkpoint { bit, byte, window })
    }

    /// The bit of the blob where the block or the frame begins; of a frame, always the lowest of a byte.
    pub fn bit(&self) -> u64 {
        self.bit
    }

    /// The byte of the blob from which [`Checkpoint::decoder`] is fed.
    pub fn blob_at(&self) -> u64 {
        self.bit / 8
    }

    /// The byte of the decoded data that comes first then.
    pub fn byte(&self) -> u64 {
        self.byte
    }

    /// The bytes before that which can be referred to: 32 KiB, or as many as the gzip member has given; none for zstd.
    pub fn window(&self) -> &[u8] {
        &self.window
    }

    /// Moves it further on.
    pub(super) fn moved(mut self, bytes_in: u64, bytes_out: u64) -> Checkpoint {
        self.bit = self.bit.saturating_add(bytes_in.saturating_mul(8));
        self.byte = self.byte.saturating_add(bytes_out);
        self
    }

    /// A decoder that takes the blob from [`Checkpoint::blob_at`] on and gives what is decoded from [`Checkpoint::byte`] on.
    ///
    /// The checksum and the length of the gzip member that it begins in cannot be checked: those of the members behind it
    /// are. It holds to no ratio: who reads from a checkpoint knows how much they want.
    ///
    /// # Errors
    /// Those of [`Codecs::decoder`]; `unsupported_compression` for a format that has no checkpoints.
    pub fn decoder(&self, format: Format, codecs: &dyn Codecs, limits: &Limits) -> Result<Box<dyn Codec>> {
        match format {
            Format::Gzip => Ok(Box::new(GzipDecoder::resume(self))),
            Format::Zstd => codecs.decoder(format, limits),
            Format::Identity => {
                let format = "a checkpoint without compression".into();
                Err(ErrorKind::UnsupportedCompression { format }.into())
            }
        }
    }
}

/// Checkpoints that a decoder has come by and nobody has taken: no more than [`Noted::MOST`], at growing distances.
#[derive(Debug)]
pub struct Noted {
    every: u64,
    last: u64,
    made: Vec<Checkpoint>,
}

impl Noted {
    /// No more are held: 32 MiB, whatever the length of the blob.
    pub const MOST: usize = 1024;

    /// None yet; two are so many bytes of what is decoded apart at least, and so is the first from the beginning.
    pub fn new(every: u64) -> Noted {
        Noted { every, last: 0, made: Vec::new() }
    }

    /// Takes one if it is far enough from the one before.
    pub fn push(&mut self, checkpoint: Checkpoint) {
        if checkpoint.byte < self.last.saturating_add(self.every) {
            return;
        }
        if self.made.len() >= Noted::MOST {
            self.every = self.every.saturating_mul(2);
            let mut number = 0_usize;
            self.made.retain(|_| {
                number += 1;
                number.is_multiple_of(2)
            });
            self.last = self.made.last().map_or(self.last, |last| last.byte);
            return self.push(checkpoint);
        }
        self.last = checkpoint.byte;
        self.made.push(checkpoint);
    }

    /// A zstd frame begins at this byte of the blob, and of what is decoded.
    pub fn frame(&mut self, blob_at: u64, byte: u64) {
        self.push(Checkpoint { bit: blob_at.saturating_mul(8), byte, window: Vec::new() });
    }

    /// Moves what was noted to the end of `to`.
    pub fn take(&mut self, to: &mut Vec<Checkpoint>) {
        to.append(&mut self.made);
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("bit", &self.bit)
            .field("byte", &self.byte)
            .field("window", &self.window.len())
            .finish()
    }
}
