//! Core's own codecs: pure Rust, right everywhere.

use alloc::boxed::Box;
use alloc::vec;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use super::{
    Codec, Codecs, Format, GzipDecoder, GzipEncoder, Identity, Inflate, Inflated, Inflater, ZstdDecoder,
};
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;

/// Core's own codecs. zstd it only decodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoftCodecs;

impl Codecs for SoftCodecs {
    fn decoder(&self, format: Format, limits: &Limits) -> Result<Box<dyn Codec>> {
        Ok(match format {
            Format::Identity => Box::new(Identity),
            Format::Gzip => Box::new(GzipDecoder::new(Inflater::new())),
            Format::Zstd => Box::new(ZstdDecoder::new(limits)),
        })
    }

    fn encoder(&self, format: Format, level: Option<i32>) -> Result<Box<dyn Codec>> {
        let level = format.level(level)?;
        Ok(match format {
            Format::Identity => Box::new(Identity),
            Format::Gzip => Box::new(GzipEncoder::new(level)?),
            Format::Zstd => {
                let format = "zstd, for writing".into();
                return Err(ErrorKind::UnsupportedCompression { format }.into());
            }
        })
    }
}

/// As far back as deflate can look.
const WINDOW: usize = 32 << 10;

/// Raw deflate by miniz_oxide.
///
/// The window slides in a buffer twice its size rather than wrapping round, so that a distance that reaches behind the
/// stream's beginning is an error, as in zlib, and never shows bytes of the member before.
pub struct SoftInflate {
    state: DecompressorOxide,
    buffer: Box<[u8]>,
    /// What lies in `buffer[given..filled]` has been decoded and not yet given.
    given: usize,
    filled: usize,
    done: bool,
}

impl SoftInflate {
    /// At the beginning of a stream.
    pub fn new() -> SoftInflate {
        SoftInflate {
            state: DecompressorOxide::new(),
            buffer: vec![0; 2 * WINDOW].into_boxed_slice(),
            given: 0,
            filled: 0,
            done: false,
        }
    }
}

impl Default for SoftInflate {
    fn default() -> Self {
        SoftInflate::new()
    }
}

impl core::fmt::Debug for SoftInflate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SoftInflate").field("done", &self.done).finish_non_exhaustive()
    }
}

impl Inflate for SoftInflate {
    fn inflate(&mut self, mut input: &[u8], output: &mut [u8]) -> Result<Inflated, &'static str> {
        const FLAGS: u32 = inflate_flags::TINFL_FLAG_HAS_MORE_INPUT
            | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
            | inflate_flags::TINFL_FLAG_IGNORE_ADLER32;
        let (mut read, mut written) = (0, 0);
        loop {
            let ready = self.buffer.get(self.given..self.filled).unwrap_or_default();
            let room = output.get_mut(written..).unwrap_or_default();
            let n = ready.len().min(room.len());
            if let (Some(to), Some(from)) = (room.get_mut(..n), ready.get(..n)) {
                to.copy_from_slice(from);
            }
            self.given += n;
            written += n;
            let drained = self.given == self.filled;
            if !drained || self.done || written == output.len() {
                return Ok(Inflated { read, written, done: self.done && drained });
            }
            if self.filled == self.buffer.len() {
                self.buffer.copy_within(self.filled - WINDOW.., 0);
                (self.given, self.filled) = (WINDOW, WINDOW);
            }
            let (status, taken, made) =
                decompress(&mut self.state, input, &mut self.buffer, self.filled, FLAGS);
            input = input.get(taken..).unwrap_or_default();
            read += taken;
            self.filled += made;
            match status {
                TINFLStatus::Done => self.done = true,
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput => {
                    if made == 0 {
                        return Ok(Inflated { read, written, done: false });
                    }
                }
                _ => return Err("the deflate data is invalid"),
            }
        }
    }

    fn reset(&mut self) {
        self.state.init();
        (self.given, self.filled, self.done) = (0, 0, false);
    }
}
