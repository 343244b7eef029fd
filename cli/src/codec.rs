//! This host's faster codecs and hashes, behind core's traits: libzstd both ways, ring to hash. Core's own
//! inflater is the fastest for streams that we know without C, so gzip is core's.

use std::io;

use ring::digest as ring_digest;
use wharfie_core::codec::{
    Checkpoint, Codec, Codecs, Decoder as Decoding, Format, GzipDecoder, GzipEncoder, Identity, Inflater,
    Needs, Noted, Progress,
};
use wharfie_core::digest::{Algorithm, Hash, Hashes, SoftHashes};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::{Digest, Limits};
use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, Operation as _, OutBuffer};

/// Has a decoder take all of a piece, and hands on what comes of it.
pub(crate) fn decode(
    decoder: &mut Decoding<'_>,
    mut input: &[u8],
    buffer: &mut [u8],
    keep: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    loop {
        let step = decoder.process(input, buffer)?;
        input = input.get(step.read..).unwrap_or_default();
        keep(buffer.get(..step.written).unwrap_or_default())?;
        if input.is_empty() && step.needs != Needs::Output {
            return Ok(());
        }
    }
}

/// The input has ended: hands on what is left, if it may end there.
pub(crate) fn decode_rest(
    decoder: &mut Decoding<'_>,
    buffer: &mut [u8],
    keep: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    loop {
        let step = decoder.finish(buffer)?;
        keep(buffer.get(..step.written).unwrap_or_default())?;
        if step.needs == Needs::Nothing {
            return Ok(());
        }
    }
}

/// This host's hashes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeHashes;

impl Hashes for NativeHashes {
    fn start(&self, algorithm: Algorithm) -> Box<dyn Hash> {
        let of_ring = match algorithm {
            Algorithm::Sha256 => &ring_digest::SHA256,
            Algorithm::Sha384 => &ring_digest::SHA384,
            Algorithm::Sha512 => &ring_digest::SHA512,
            _ => return SoftHashes.start(algorithm),
        };
        Box::new(RingHash { algorithm, context: ring_digest::Context::new(of_ring) })
    }
}

struct RingHash {
    algorithm: Algorithm,
    context: ring_digest::Context,
}

impl Hash for RingHash {
    fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    fn finish(self: Box<Self>) -> Digest {
        let hash = self.context.finish();
        // Both name the same functions, so the lengths agree.
        Digest::new(self.algorithm, hash.as_ref()).unwrap_or_else(|| Digest::of(self.algorithm, &[]))
    }
}

/// This host's codecs.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeCodecs;

impl Codecs for NativeCodecs {
    fn decoder(&self, format: Format, limits: &Limits) -> Result<Box<dyn Codec>> {
        Ok(match format {
            Format::Identity => Box::new(Identity),
            Format::Gzip => Box::new(GzipDecoder::new(Inflater::new())),
            Format::Zstd => Box::new(ZstdDecoder::new(limits)?),
            _ => return Err(ErrorKind::UnsupportedCompression { format: format.to_string() }.into()),
        })
    }

    fn encoder(&self, format: Format, level: Option<i32>) -> Result<Box<dyn Codec>> {
        let level = format.level(level)?;
        Ok(match format {
            Format::Identity => Box::new(Identity),
            Format::Gzip => Box::new(GzipEncoder::new(level)?),
            Format::Zstd => Box::new(ZstdEncoder::new(level)?),
            _ => return Err(ErrorKind::UnsupportedCompression { format: format.to_string() }.into()),
        })
    }
}

fn corrupt(position: u64, reason: impl std::fmt::Display) -> Error {
    let reason = format!("{reason}, at compressed byte {position}");
    ErrorKind::CorruptStream { format: Format::Zstd.name(), reason }.into()
}

fn internal(error: &io::Error) -> Error {
    ErrorKind::Internal { reason: format!("libzstd: {error}") }.into()
}

/// zstd by libzstd, which goes from frame to frame by itself.
struct ZstdDecoder {
    decoder: Decoder<'static>,
    max_window: u64,
    /// Whether the last step ended a frame, and nothing has come since.
    between: bool,
    position: u64,
    /// Bytes given.
    written: u64,
    checkpoints: Option<Noted>,
}

impl ZstdDecoder {
    fn new(limits: &Limits) -> Result<ZstdDecoder> {
        let mut decoder = Decoder::new().map_err(|error| internal(&error))?;
        // libzstd knows only powers of two, from 2^10 to 2^31.
        let log = limits.zstd_window_bytes.max(1).ilog2().clamp(10, 31);
        decoder.set_parameter(DParameter::WindowLogMax(log)).map_err(|error| internal(&error))?;
        Ok(ZstdDecoder {
            decoder,
            max_window: limits.zstd_window_bytes,
            between: false,
            position: 0,
            written: 0,
            checkpoints: None,
        })
    }

    fn failure(&self, error: &io::Error) -> Error {
        let text = error.to_string();
        // The one of libzstd's errors that is about memory; it has no code of its own here.
        if text.contains("too much memory") {
            return ErrorKind::LimitExceeded { limit: "zstd_window_bytes", value: self.max_window }.into();
        }
        corrupt(self.position, text)
    }
}

impl Codec for ZstdDecoder {
    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress> {
        let (mut read, mut written) = (0, 0);
        loop {
            let (rest, room) = (&input[read..], &mut output[written..]);
            if rest.is_empty() && self.between {
                return Ok(Progress { read, written, needs: Needs::Input });
            }
            if self.between
                && let Some(checkpoints) = &mut self.checkpoints
            {
                checkpoints.frame(self.position, self.written);
            }
            let step = match self.decoder.run_on_buffers(rest, room) {
                Ok(step) => step,
                Err(error) => return Err(self.failure(&error)),
            };
            read += step.bytes_read;
            written += step.bytes_written;
            self.position += step.bytes_read as u64;
            self.written += step.bytes_written as u64;
            self.between = step.remaining == 0;
            if written == output.len() && !(self.between && read == input.len()) {
                return Ok(Progress { read, written, needs: Needs::Output });
            }
            if read == input.len() && (self.between || step.bytes_written == 0) {
                return Ok(Progress { read, written, needs: Needs::Input });
            }
        }
    }

    fn finish(&mut self, output: &mut [u8]) -> Result<Progress> {
        let step = self.process(&[], output)?;
        match step.needs {
            Needs::Output if step.written > 0 => Ok(step),
            _ if self.between => Ok(Progress { needs: Needs::Nothing, ..step }),
            _ => Err(corrupt(self.position, "it ends inside a frame")),
        }
    }

    fn note_checkpoints(&mut self, every: u64) -> bool {
        self.checkpoints = Some(Noted::new(every));
        true
    }

    fn take_checkpoints(&mut self, to: &mut Vec<Checkpoint>) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.take(to);
        }
    }
}

/// One zstd frame with its checksum, by libzstd.
struct ZstdEncoder(Encoder<'static>);

impl ZstdEncoder {
    fn new(level: i32) -> Result<ZstdEncoder> {
        let mut encoder = Encoder::new(level).map_err(|error| internal(&error))?;
        encoder.set_parameter(CParameter::ChecksumFlag(true)).map_err(|error| internal(&error))?;
        Ok(ZstdEncoder(encoder))
    }
}

impl Codec for ZstdEncoder {
    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress> {
        let (mut read, mut written) = (0, 0);
        while read < input.len() {
            if written == output.len() {
                return Ok(Progress { read, written, needs: Needs::Output });
            }
            let step = self
                .0
                .run_on_buffers(&input[read..], &mut output[written..])
                .map_err(|error| internal(&error))?;
            read += step.bytes_read;
            written += step.bytes_written;
        }
        Ok(Progress { read, written, needs: Needs::Input })
    }

    fn finish(&mut self, output: &mut [u8]) -> Result<Progress> {
        let mut buffer = OutBuffer::around(output);
        let left = self.0.finish(&mut buffer, true).map_err(|error| internal(&error))?;
        let needs = if left == 0 { Needs::Nothing } else { Needs::Output };
        Ok(Progress { read: 0, written: buffer.pos(), needs })
    }
}
