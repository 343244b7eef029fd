//! Compressed streams as codecs: gzip (RFC 1952), zstd (RFC 8878) and none, both ways (L19, L20, L24).
//!
//! A [`Codec`] is one stream of bytes turned into another, one step at a time, with buffers that the caller owns. It
//! works with inputs and outputs of any size, one byte included, and holds no more than its window. [`Decoder`] is the
//! one that readers of blobs want: it finds the format by its magic and keeps [`Limits::ratio`].
//!
//! Core's own codecs ([`SoftCodecs`]) are pure Rust and right everywhere; a host brings faster ones as a [`Codecs`].
//! For gzip it need only bring an [`Inflate`], where it has a better one than the [`Inflater`] here: the framing
//! ([`GzipDecoder`]) stays the one that is tested here.
//!
//! ```
//! use wharfie_core::codec::{Codec, Codecs, Decoder, Format, Needs, SoftCodecs};
//! use wharfie_core::Limits;
//!
//! # fn main() -> wharfie_core::error::Result<()> {
//! let mut packed = Vec::new();
//! let mut encoder = SoftCodecs.encoder(Format::Gzip, None)?;
//! drive(&mut *encoder, b"hello, hello, hello", &mut packed)?;
//!
//! let mut plain = Vec::new();
//! let mut decoder = Decoder::new(&SoftCodecs, None, &Limits::default());
//! drive(&mut decoder, &packed, &mut plain)?;
//! assert_eq!(plain, b"hello, hello, hello");
//! assert_eq!(decoder.format(), Some(Format::Gzip));
//!
//! fn drive(codec: &mut dyn Codec, mut input: &[u8], to: &mut Vec<u8>) -> wharfie_core::error::Result<()> {
//!     let mut buffer = [0; 64];
//!     loop {
//!         let step = codec.process(input, &mut buffer)?;
//!         to.extend_from_slice(&buffer[..step.written]);
//!         input = &input[step.read..];
//!         if input.is_empty() && step.needs == Needs::Input {
//!             break;
//!         }
//!     }
//!     loop {
//!         let step = codec.finish(&mut buffer)?;
//!         to.extend_from_slice(&buffer[..step.written]);
//!         if step.needs == Needs::Nothing {
//!             return Ok(());
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod checkpoint;
mod decoder;
mod gzip;
mod identity;
mod inflate;
mod soft;
pub mod splice;
#[cfg(test)]
mod tests;
mod zstd;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::error::{ErrorKind, Result};
use crate::limits::Limits;

pub(crate) use checkpoint::WINDOW;
pub use checkpoint::{Checkpoint, Noted};
pub use decoder::{Decoder, FormatMismatch};
pub use gzip::{GZIP_HEADER_BYTES, GzipDecoder, GzipEncoder, gzip_header, gzip_trailer};
pub use identity::Identity;
pub use inflate::{Block, Inflater};
pub use soft::SoftCodecs;
pub use zstd::ZstdDecoder;

/// What a codec waits for after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// It has taken all input and given all that follows from it. Bring more, or [`Codec::finish`].
    Input,
    /// It has more to give than the output could hold. Call again with more room, and the input that it left.
    Output,
    /// The stream is over; only [`Codec::finish`] answers this.
    Nothing,
}

/// What one step of a codec did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes taken from the front of the input.
    pub read: usize,
    /// Bytes put at the front of the output.
    pub written: usize,
    /// What it waits for.
    pub needs: Needs,
}

/// One stream of bytes turned into another.
///
/// A step goes on until the input is used up or the output is full, so that with room and input it always moves. After
/// an error the codec is spent: what further calls answer is not specified, except that they neither panic nor write
/// beyond the output.
pub trait Codec: Send {
    /// Takes from `input` and gives to `output`. Both may be empty.
    ///
    /// # Errors
    /// A decoder: `corrupt_stream`, `unsupported_compression`, `limit_exceeded`.
    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress>;

    /// Ends the input; called when `process` has taken all of it, and again until it answers [`Needs::Nothing`].
    /// Reads nothing.
    ///
    /// # Errors
    /// A decoder: `corrupt_stream` where the stream is cut short.
    fn finish(&mut self, output: &mut [u8]) -> Result<Progress>;

    /// Asks a decoder, before its first step, to note the deflate blocks that it decodes, for [`Codec::take_blocks`].
    /// Answers `false` if there will be none: what is no deflate has none, nor has a host's inflater that cannot tell.
    fn report_blocks(&mut self) -> bool {
        false
    }

    /// Moves to the end of `to` the blocks that have been decoded whole since the last call, in their order, the
    /// smallest left out ([`Block::MIN_BYTES`]). Positions count over all that was taken and given since the first step.
    fn take_blocks(&mut self, _to: &mut Vec<Block>) {}

    /// Bytes that a decoder took behind the end of all that is compressed: the zeros behind gzip's last member (L20).
    fn padding(&self) -> u64 {
        0
    }

    /// Asks a decoder, before its first step, to note where decoding can begin later, at the first such place behind every
    /// `every` bytes that it gives, for [`Codec::take_checkpoints`]. Answers `false` if there will be none.
    fn note_checkpoints(&mut self, _every: u64) -> bool {
        false
    }

    /// Moves to the end of `to` the checkpoints come by since the last call, in their order. Positions count over all that
    /// was taken and given since the first step.
    fn take_checkpoints(&mut self, _to: &mut Vec<Checkpoint>) {}
}

impl<C: Codec + ?Sized> Codec for Box<C> {
    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress> {
        (**self).process(input, output)
    }

    fn finish(&mut self, output: &mut [u8]) -> Result<Progress> {
        (**self).finish(output)
    }

    fn report_blocks(&mut self) -> bool {
        (**self).report_blocks()
    }

    fn take_blocks(&mut self, to: &mut Vec<Block>) {
        (**self).take_blocks(to);
    }

    fn padding(&self) -> u64 {
        (**self).padding()
    }

    fn note_checkpoints(&mut self, every: u64) -> bool {
        (**self).note_checkpoints(every)
    }

    fn take_checkpoints(&mut self, to: &mut Vec<Checkpoint>) {
        (**self).take_checkpoints(to);
    }
}

/// A raw deflate stream (RFC 1951), the part of gzip that hosts have faster.
pub trait Inflate: Send {
    /// Decodes from `input` to `output` until the stream ends, the input is used up or the output is full.
    ///
    /// # Errors
    /// Why the data cannot be decoded.
    fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<Inflated, &'static str>;

    /// Begins a new stream.
    fn reset(&mut self);

    /// Asks for the blocks to be noted, as [`Codec::report_blocks`] does. It holds for the streams after a
    /// [`Inflate::reset`] too.
    fn report_blocks(&mut self) -> bool {
        false
    }

    /// Moves to the end of `to` the blocks that have been decoded whole since the last call, as [`Codec::take_blocks`]
    /// does. Positions count from the beginning of the stream; they are asked for before the next one begins.
    fn take_blocks(&mut self, _to: &mut Vec<Block>) {}

    /// Asks for checkpoints to be noted, as [`Codec::note_checkpoints`] does. It holds for the streams after a
    /// [`Inflate::reset`] too, and the distance between two counts over all of them.
    fn note_checkpoints(&mut self, _every: u64) -> bool {
        false
    }

    /// Moves to the end of `to` the checkpoints come by since the last call, as [`Codec::take_checkpoints`] does. Positions
    /// count from the beginning of the stream; they are asked for before the next one begins.
    fn take_checkpoints(&mut self, _to: &mut Vec<Checkpoint>) {}
}

/// What one step of an [`Inflate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inflated {
    /// Bytes taken from the front of the input; none that lies behind the end of the stream.
    pub read: usize,
    /// Bytes put at the front of the output.
    pub written: usize,
    /// Whether the stream is over, and all of it given.
    pub done: bool,
}

/// A compression of layers and archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Format {
    /// None.
    Identity,
    /// gzip, RFC 1952.
    Gzip,
    /// zstd, RFC 8878.
    Zstd,
}

impl Format {
    /// As many bytes as [`Format::detect`] ever looks at.
    pub const MAGIC_BYTES: usize = 10;

    /// Its name: `none`, `gzip`, `zstd`.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Identity => "none",
            Format::Gzip => "gzip",
            Format::Zstd => "zstd",
        }
    }

    /// The range of levels that [`Codecs::encoder`] takes, and the default one.
    pub const fn levels(self) -> (i32, i32, i32) {
        match self {
            Format::Identity => (0, 0, 0),
            Format::Gzip => (0, 9, 6),
            Format::Zstd => (1, 22, 3),
        }
    }

    /// The level to use: the default where none is asked for.
    ///
    /// # Errors
    /// `invalid_option` outside [`Format::levels`].
    pub fn level(self, asked: Option<i32>) -> Result<i32> {
        let (lowest, highest, default) = self.levels();
        let level = asked.unwrap_or(default);
        if (lowest..=highest).contains(&level) {
            return Ok(level);
        }
        let reason = match self {
            Format::Identity => alloc::format!("level {level} makes no sense without compression"),
            _ => alloc::format!("{self} has levels {lowest} to {highest}, not {level}"),
        };
        Err(ErrorKind::InvalidOption { reason }.into())
    }

    /// What the first bytes say (L20). `prefix` holds [`Format::MAGIC_BYTES`] bytes, or all there are.
    ///
    /// What is no known compression is [`Format::Identity`].
    ///
    /// # Errors
    /// `unsupported_compression` for bzip2, xz, lz4 and the zstd of before version 0.8.
    pub fn detect(prefix: &[u8]) -> Result<Format> {
        let unsupported =
            |format: &str| Err(ErrorKind::UnsupportedCompression { format: format.into() }.into());
        match *prefix {
            [0x1f, 0x8b, ..] => Ok(Format::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Format::Zstd),
            [0x22..=0x27, 0xb5, 0x2f, 0xfd, ..] | [0x1e, 0xb5, 0x2f, 0xfd, ..] => {
                unsupported("zstd before 0.8")
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => unsupported("xz"),
            [0x04, 0x22, 0x4d, 0x18, ..] => unsupported("lz4"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => unsupported("bzip2"),
            _ => Ok(Format::Identity),
        }
    }

    /// What a layer's media type says of its compression, or `None` where it says nothing.
    ///
    /// Only a hint: [`Format::detect`] decides.
    pub fn of_media_type(media_type: &str) -> Option<Format> {
        let base = media_type.split(';').next().unwrap_or_default().trim();
        if base.ends_with("+gzip") || base.ends_with(".tar.gzip") || base.ends_with(".tar.gz") {
            Some(Format::Gzip)
        } else if base.ends_with("+zstd") || base.ends_with(".tar.zstd") {
            Some(Format::Zstd)
        } else if base.ends_with(".tar") {
            Some(Format::Identity)
        } else {
            None
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where codecs come from: core's own [`SoftCodecs`], or a host's.
pub trait Codecs: Send + Sync {
    /// A decoder of one blob.
    ///
    /// # Errors
    /// `unsupported_compression` if this host cannot decode it.
    fn decoder(&self, format: Format, limits: &Limits) -> Result<Box<dyn Codec>>;

    /// An encoder at `level`, see [`Format::levels`].
    ///
    /// The bytes are the same for the same input, level and implementation, however the input is cut (L26).
    ///
    /// # Errors
    /// `unsupported_compression` if this host cannot encode it, `invalid_option` for a level that there is not.
    fn encoder(&self, format: Format, level: Option<i32>) -> Result<Box<dyn Codec>>;
}
