//! Bytes of a decoded layer, read again from wherever they are wanted.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::blob::{Blob, SPAN};
use super::intake::Intake;
use super::{Budget, internal};
use crate::codec::{Codec, Codecs, Format, Needs};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;

/// What came of asking for bytes.
#[derive(Debug)]
pub(super) enum Reach<'r> {
    /// They begin here: some of them, at least one.
    Bytes(&'r [u8]),
    /// Bytes of the blob are needed.
    Need {
        /// The first one.
        offset: u64,
        /// About how many: behind them nothing is needed for what was asked.
        len: u64,
    },
    /// There is more to do than one step may.
    Working,
}

/// One decoder of one layer. It goes forwards, and begins anew at a checkpoint where that is nearer or what is wanted lies
/// behind it.
///
/// Nothing of a span goes out before all of it is decoded and has the sum that it had when the layer was verified: the host
/// reads the blob a second time, and it need not be what it was.
pub(super) struct Reader {
    blob: Arc<Blob>,
    codecs: Arc<dyn Codecs>,
    limits: Limits,
    /// `None` at first, and after an error.
    codec: Option<Box<dyn Codec>>,
    intake: Intake,
    /// The byte of the blob that is fed next.
    fed: u64,
    /// Decoded bytes from `begin` on, none from beyond its span.
    span: Vec<u8>,
    filled: usize,
    begin: u64,
    /// Whether they are all of the span, and have its sum.
    holds: bool,
}

impl Reader {
    /// Of this layer.
    pub(super) fn new(blob: Arc<Blob>, codecs: Arc<dyn Codecs>, limits: &Limits) -> Reader {
        Reader {
            blob,
            codecs,
            limits: limits.clone(),
            codec: None,
            intake: Intake::default(),
            fed: 0,
            span: Vec::new(),
            filled: 0,
            begin: 0,
            holds: false,
        }
    }

    /// The layer that it reads.
    pub(super) fn blob(&self) -> &Blob {
        &self.blob
    }

    /// The byte of the blob that is fed next.
    pub(super) fn fed(&self) -> u64 {
        self.fed
    }

    /// Behind the last byte decoded.
    fn position(&self) -> u64 {
        self.begin.saturating_add(self.filled as u64)
    }

    /// Takes bytes of the blob; none say that it has ended.
    ///
    /// # Errors
    /// `size_mismatch` where it has ended early.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<usize> {
        let left = usize::try_from(self.blob.bytes.saturating_sub(self.fed)).unwrap_or(usize::MAX);
        if bytes.is_empty() && left > 0 {
            let (expected, actual) = (self.blob.bytes, self.fed);
            return Err(Error::from(ErrorKind::SizeMismatch { expected, actual }).at(self.blob.place()));
        }
        let taken = self.intake.take(bytes.get(..bytes.len().min(left)).unwrap_or_default());
        self.fed += taken as u64;
        Ok(taken)
    }

    /// Whether going on comes to this span, and no checkpoint is nearer.
    fn leads_to(&self, span: u64) -> bool {
        if self.codec.is_none() || self.begin > span {
            return false;
        }
        let position = self.position();
        match self.blob.report.format {
            _ if self.begin == span => true,
            Format::Identity => position == span,
            _ => position <= span && self.blob.checkpoints.place_before(span).1 <= position,
        }
    }

    /// The bytes from `at` on, none from `end` on.
    ///
    /// # Errors
    /// `corrupt_stream` where the blob is not what it was, with the layer.
    pub(super) fn reach(&mut self, at: u64, end: u64, budget: &mut Budget) -> Result<Reach<'_>> {
        let span = at / SPAN * SPAN;
        if !(self.holds && self.begin == span)
            && let Some(waits) = self.come_to(span, end, budget).map_err(|error| {
                self.codec = None;
                error.at(self.blob.place())
            })?
        {
            return Ok(waits);
        }
        let begin = usize::try_from(at - span).unwrap_or(usize::MAX);
        let until = usize::try_from(end.saturating_sub(span)).unwrap_or(usize::MAX).min(self.filled);
        match self.span.get(begin..until) {
            Some(bytes) if !bytes.is_empty() => Ok(Reach::Bytes(bytes)),
            _ => Err(internal("bytes are wanted that the layer has not")),
        }
    }

    /// Decodes until the whole of a span is there, or answers what that waits for.
    fn come_to(&mut self, span: u64, end: u64, budget: &mut Budget) -> Result<Option<Reach<'static>>> {
        if span >= self.blob.report.tar_bytes {
            return Err(internal("bytes are wanted that the layer has not"));
        }
        if !self.leads_to(span) {
            self.begin_before(span)?;
        }
        loop {
            let next = (self.begin / SPAN + 1).saturating_mul(SPAN).min(self.blob.report.tar_bytes);
            if self.position() < next {
                if budget.is_spent() {
                    return Ok(Some(Reach::Working));
                }
                if self.decode(next, budget)? {
                    let until = self.blob_until(end);
                    return Ok(Some(Reach::Need {
                        offset: self.fed,
                        len: until.saturating_sub(self.fed).max(1),
                    }));
                }
                continue;
            }
            if self.begin == span {
                self.check()?;
                self.holds = true;
                return Ok(None);
            }
            (self.begin, self.filled, self.holds) = (next, 0, false);
        }
    }

    /// Begins anew at the last place before the span.
    fn begin_before(&mut self, span: u64) -> Result<()> {
        self.intake.clear();
        (self.filled, self.holds) = (0, false);
        let (codecs, limits, format) = (&*self.codecs, &self.limits, self.blob.report.format);
        let checkpoint = match format {
            Format::Identity => None,
            _ => self.blob.checkpoints.before(span)?,
        };
        let codec = match &checkpoint {
            Some(checkpoint) => checkpoint.decoder(format, codecs, limits)?,
            None => codecs.decoder(format, limits)?,
        };
        self.codec = Some(codec);
        (self.fed, self.begin) = match checkpoint {
            Some(checkpoint) => (checkpoint.blob_at(), checkpoint.byte()),
            None if format == Format::Identity => (span, span),
            None => (0, 0),
        };
        Ok(())
    }

    /// Decodes once, nothing from beyond `next`. Answers whether more of the blob is needed.
    fn decode(&mut self, next: u64, budget: &mut Budget) -> Result<bool> {
        let position = self.position();
        let wanted = usize::try_from(next - position).unwrap_or_default();
        if self.span.len() < self.filled + wanted {
            self.span.resize(self.filled + wanted, 0);
        }
        let room = self.span.get_mut(self.filled..self.filled + wanted).unwrap_or_default();
        let Some(codec) = &mut self.codec else { return Err(internal("a decoder that was let go")) };
        let ends = self.fed >= self.blob.bytes && self.intake.is_empty();
        let step = if ends { codec.finish(room) } else { codec.process(self.intake.waiting(), room) };
        let step = step.map_err(|error| error.at_byte(position))?;
        self.intake.used(step.read);
        self.filled = self.filled.saturating_add(step.written);
        budget.spend(step.read.max(step.written));
        let moved = step.read > 0 || step.written > 0;
        match step.needs {
            Needs::Input if self.intake.is_empty() && self.fed < self.blob.bytes => {
                Ok(self.position() < next)
            }
            Needs::Nothing if self.position() < next => Err(self.changed().at_byte(self.position())),
            Needs::Input | Needs::Output if !moved && (ends || !self.intake.is_empty()) => {
                Err(internal("a decoder does not move"))
            }
            _ => Ok(false),
        }
    }

    /// Whether the span is what it was.
    fn check(&self) -> Result<()> {
        let sum = usize::try_from(self.begin / SPAN).ok().and_then(|at| self.blob.sums.get(at));
        let bytes = self.span.get(..self.filled).unwrap_or_default();
        if sum == Some(&crate::crc::hash(bytes)) { Ok(()) } else { Err(self.changed().at_byte(self.begin)) }
    }

    fn changed(&self) -> Error {
        let reason = "it is not what it was when the layer was verified".to_owned();
        ErrorKind::CorruptStream { format: self.blob.report.format.name(), reason }.into()
    }

    /// The byte of the blob behind which nothing is needed for what lies before this byte of the layer.
    fn blob_until(&self, end: u64) -> u64 {
        // All of the last span is wanted.
        let end = end.div_ceil(SPAN).saturating_mul(SPAN);
        let until = match self.blob.report.format {
            Format::Identity => Some(end),
            _ => self.blob.checkpoints.enough_for(end.min(self.blob.report.tar_bytes)),
        };
        until.unwrap_or(u64::MAX).min(self.blob.bytes)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("layer", &self.blob.source)
            .field("fed", &self.fed)
            .field("begin", &self.begin)
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}
