//! The decoder of a blob whose format only its bytes know.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::{Block, Checkpoint, Codec, Codecs, Format, Needs, Progress};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;

/// Bytes of output below which no ratio is judged (L24).
const RATIO_FREE_BYTES: u64 = 1 << 30;

/// A blob whose bytes are compressed in another way than its media type says (L20): a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatMismatch {
    /// What the media type says.
    pub expected: Format,
    /// What the bytes are.
    pub actual: Format,
}

impl fmt::Display for FormatMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "compression is {}, the media type says {}", self.actual, self.expected)
    }
}

/// Who gives the codec when the format is known.
enum Lender<'c> {
    Lent(&'c dyn Codecs),
    Shared(Arc<dyn Codecs>),
}

/// Decodes a blob: finds its format by magic, and holds the ratio of output to input below [`Limits::ratio`].
///
/// No bytes at all are an empty stream, whatever was expected.
pub struct Decoder<'c> {
    codecs: Lender<'c>,
    limits: Limits,
    expected: Option<Format>,
    head: [u8; Format::MAGIC_BYTES],
    /// Of `head`: how many are there, and how many the codec has taken.
    filled: usize,
    taken: usize,
    codec: Option<(Format, Box<dyn Codec>)>,
    read: u64,
    written: u64,
    reports_blocks: bool,
    checkpoints_every: Option<u64>,
    failure: Option<Error>,
}

impl<'c> Decoder<'c> {
    /// Of a blob that is `expected` to be in a format (see [`Format::of_media_type`]), by codecs of `codecs`.
    pub fn new(codecs: &'c dyn Codecs, expected: Option<Format>, limits: &Limits) -> Decoder<'c> {
        Decoder::of(Lender::Lent(codecs), expected, limits)
    }

    /// The same by codecs that are shared: for who keeps the decoder beside other things.
    pub fn shared(codecs: Arc<dyn Codecs>, expected: Option<Format>, limits: &Limits) -> Decoder<'static> {
        Decoder::of(Lender::Shared(codecs), expected, limits)
    }

    fn of(codecs: Lender<'c>, expected: Option<Format>, limits: &Limits) -> Decoder<'c> {
        Decoder {
            codecs,
            limits: limits.clone(),
            expected,
            head: [0; Format::MAGIC_BYTES],
            filled: 0,
            taken: 0,
            codec: None,
            read: 0,
            written: 0,
            reports_blocks: false,
            checkpoints_every: None,
            failure: None,
        }
    }

    /// The format, as soon as it is known.
    pub fn format(&self) -> Option<Format> {
        self.codec.as_ref().map(|(format, _)| *format)
    }

    /// The warning that the blob is not what was expected, as soon as it is known. An empty blob is never one.
    pub fn mismatch(&self) -> Option<FormatMismatch> {
        let (expected, actual) = (self.expected?, self.format()?);
        (expected != actual && self.read > 0).then_some(FormatMismatch { expected, actual })
    }

    /// Bytes taken so far.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Bytes given so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    fn step(&mut self, mut input: &[u8], output: &mut [u8], ends: bool) -> Result<Progress> {
        let (mut read, mut written) = (0, 0);
        if self.codec.is_none() {
            for (to, from) in self.head.iter_mut().skip(self.filled).zip(input) {
                *to = *from;
                read += 1;
            }
            self.filled += read;
            input = input.get(read..).unwrap_or_default();
            if self.filled < self.head.len() && !ends {
                return Ok(Progress { read, written, needs: Needs::Input });
            }
            let format = Format::detect(self.head.get(..self.filled).unwrap_or_default())?;
            let codecs = match &self.codecs {
                Lender::Lent(codecs) => *codecs,
                Lender::Shared(codecs) => &**codecs,
            };
            let mut codec = codecs.decoder(format, &self.limits)?;
            if self.reports_blocks {
                codec.report_blocks();
            }
            if let Some(every) = self.checkpoints_every {
                codec.note_checkpoints(every);
            }
            self.codec = Some((format, codec));
        }
        let Some((_, codec)) = self.codec.as_mut() else {
            return Err(ErrorKind::Internal { reason: "a decoder without a codec".to_string() }.into());
        };
        // The head has been counted as read when it came in.
        while self.taken < self.filled {
            let head = self.head.get(self.taken..self.filled).unwrap_or_default();
            let step = codec.process(head, output.get_mut(written..).unwrap_or_default())?;
            self.taken += step.read;
            written += step.written;
            if step.needs == Needs::Output {
                return Ok(Progress { read, written, needs: Needs::Output });
            }
        }
        let room = output.get_mut(written..).unwrap_or_default();
        let step = if ends { codec.finish(room)? } else { codec.process(input, room)? };
        Ok(Progress { read: read + step.read, written: written + step.written, needs: step.needs })
    }

    fn guarded(&mut self, input: &[u8], output: &mut [u8], ends: bool) -> Result<Progress> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let result = self.step(input, output, ends).and_then(|progress| {
            self.read += progress.read as u64;
            self.written += progress.written as u64;
            if self.written > RATIO_FREE_BYTES
                && self.written > self.read.saturating_mul(u64::from(self.limits.ratio))
            {
                let value = u64::from(self.limits.ratio);
                return Err(ErrorKind::LimitExceeded { limit: "ratio", value }.into());
            }
            Ok(progress)
        });
        if let Err(failure) = &result {
            self.failure = Some(failure.clone());
        }
        result
    }
}

impl Codec for Decoder<'_> {
    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress> {
        self.guarded(input, output, false)
    }

    fn finish(&mut self, output: &mut [u8]) -> Result<Progress> {
        self.guarded(&[], output, true)
    }

    /// Before the format is known, `true`.
    fn report_blocks(&mut self) -> bool {
        self.reports_blocks = true;
        self.codec.as_mut().is_none_or(|(_, codec)| codec.report_blocks())
    }

    fn take_blocks(&mut self, to: &mut Vec<Block>) {
        if let Some((_, codec)) = &mut self.codec {
            codec.take_blocks(to);
        }
    }

    fn padding(&self) -> u64 {
        self.codec.as_ref().map_or(0, |(_, codec)| codec.padding())
    }

    /// Before the format is known, `true`.
    fn note_checkpoints(&mut self, every: u64) -> bool {
        self.checkpoints_every = Some(every);
        self.codec.as_mut().is_none_or(|(_, codec)| codec.note_checkpoints(every))
    }

    fn take_checkpoints(&mut self, to: &mut Vec<Checkpoint>) {
        if let Some((_, codec)) = &mut self.codec {
            codec.take_checkpoints(to);
        }
    }
}

impl fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("expected", &self.expected)
            .field("format", &self.format())
            .field("read", &self.read)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}
