//! One layer's blob, read from its first byte to its last: decoded, verified and indexed on the way.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::blob::{Blob, Report, Summing};
use super::intake::Intake;
use super::{Budget, Config, Layer, ROOM, internal};
use crate::Digest;
use crate::codec::{Codec as _, Decoder, Format, Needs};
use crate::digest::{Algorithm, Hasher, Verifier};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::merge::{Checkpoints, LayerIndex, Scan, check_diff_id};

/// What came of a step.
pub(super) enum Came {
    /// More of the blob is needed.
    Need,
    /// There is more to do than one step may.
    Working,
    /// It is indexed, and is what it should be.
    Known(Box<(Blob, LayerIndex)>),
}

/// A layer on its way to its index.
pub(super) struct Indexing {
    source: usize,
    digest: Digest,
    size: u64,
    /// What the config says of its content.
    diff_id: Option<Digest>,
    /// `None` if the host has verified it.
    verifier: Option<Verifier>,
    /// Of the content; made when its first byte comes, and not at all where the blob's digest says the same.
    hasher: Option<Hasher>,
    decoder: Decoder<'static>,
    scan: Scan,
    sums: Summing,
    checkpoints: Checkpoints,
    intake: Intake,
    fed: u64,
    /// What is wrong inside: told when the rest has shown that the blob is the right one (L23).
    fault: Option<Error>,
}

impl Indexing {
    /// At the beginning of the blob.
    ///
    /// # Errors
    /// `size_mismatch` where the host has more or fewer bytes than the descriptor says.
    pub(super) fn new(
        source: usize,
        layer: &Layer,
        diff_id: Option<Digest>,
        config: &Config,
    ) -> Result<Indexing> {
        let Layer { descriptor, size, verified } = layer;
        let (digest, size) = (descriptor.digest, *size);
        // Schema 1 says no sizes: what the host has is what is there.
        if size != descriptor.size && !(descriptor.size == 0 && size > 0) {
            let (expected, actual) = (descriptor.size, size);
            let place = Place { layer: Some(source), blob: Some(digest), ..Place::default() };
            return Err(Error::from(ErrorKind::SizeMismatch { expected, actual }).at(place));
        }
        let limits = &config.merge.limits;
        let expected = Format::of_media_type(descriptor.media_type.as_str());
        let mut decoder = Decoder::shared(config.codecs.clone(), expected, limits);
        // Formats without checkpoints have none.
        decoder.note_checkpoints(Checkpoints::EVERY);
        Ok(Indexing {
            source,
            digest,
            size,
            diff_id,
            verifier: (!verified).then(|| Verifier::new(&*config.hashes, digest, Some(size))),
            hasher: None,
            decoder,
            scan: Scan::new(source, limits).with_blob(digest),
            sums: Summing::default(),
            checkpoints: Checkpoints::new(),
            intake: Intake::default(),
            fed: 0,
            fault: None,
        })
    }

    fn place(&self) -> Place {
        Place { layer: Some(self.source), blob: Some(self.digest), ..Place::default() }
    }

    /// The byte that is wanted next, and how many there are behind it.
    pub(super) fn wanted(&self) -> (u64, u64) {
        (self.fed, self.size - self.fed)
    }

    /// Whether there is something to do without more of the blob.
    pub(super) fn has_work(&self) -> bool {
        !self.intake.is_empty() || self.fed == self.size
    }

    /// Takes bytes of the blob, as many as there is room for; none say that it has ended.
    ///
    /// # Errors
    /// `size_mismatch` where it has ended early.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<usize> {
        let left = usize::try_from(self.size - self.fed).unwrap_or(usize::MAX);
        if bytes.is_empty() && left > 0 {
            let (expected, actual) = (self.size, self.fed);
            return Err(Error::from(ErrorKind::SizeMismatch { expected, actual }).at(self.place()));
        }
        let bytes = bytes.get(..bytes.len().min(left)).unwrap_or_default();
        let taken = match self.fault {
            // Nobody decodes them any more.
            Some(_) => bytes.len().min(super::PIECE),
            None => self.intake.take(bytes),
        };
        let bytes = bytes.get(..taken).unwrap_or_default();
        if let Some(verifier) = &mut self.verifier {
            verifier.update(bytes).map_err(|error| error.at(place(self.source, self.digest)))?;
        }
        self.fed += taken as u64;
        Ok(taken)
    }

    /// Works off what was fed, within the budget. `room` is for decoded bytes.
    ///
    /// # Errors
    /// What is wrong with the layer, with its place; then it is spent.
    pub(super) fn step(&mut self, room: &mut Vec<u8>, budget: &mut Budget, config: &Config) -> Result<Came> {
        let came = self.go_on(room, budget, config);
        came.map_err(|error| error.at(self.place()))
    }

    fn go_on(&mut self, room: &mut Vec<u8>, budget: &mut Budget, config: &Config) -> Result<Came> {
        room.resize(ROOM, 0);
        loop {
            if self.fault.is_some() {
                return self.doubt();
            }
            if budget.is_spent() {
                return Ok(Came::Working);
            }
            match self.decode(room, budget, config) {
                Ok(Needs::Output) => {}
                Ok(Needs::Input) if self.fed < self.size && self.intake.is_empty() => return Ok(Came::Need),
                Ok(Needs::Input) => {}
                Ok(Needs::Nothing) => return self.finish(config),
                Err(error) if error.is_content() => {
                    self.fault = Some(error);
                    self.intake.release();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Decodes once, and looks at what comes out.
    fn decode(&mut self, room: &mut [u8], budget: &mut Budget, config: &Config) -> Result<Needs> {
        let ends = self.fed == self.size && self.intake.is_empty();
        let step =
            if ends { self.decoder.finish(room) } else { self.decoder.process(self.intake.waiting(), room) };
        let step = step.map_err(|error| error.at_byte(self.decoder.written()))?;
        self.intake.used(step.read);
        budget.spend(step.read.max(step.written));
        let made = room.get(..step.written).unwrap_or_default();
        if !made.is_empty() {
            self.scan.feed(made)?;
            if self.needs_hash() {
                let algorithm = self.diff_algorithm();
                self.hasher.get_or_insert_with(|| Hasher::new(&*config.hashes, algorithm)).update(made);
            }
            self.sums.take(made);
        }
        let mut noted = Vec::new();
        self.decoder.take_checkpoints(&mut noted);
        noted.iter().try_for_each(|checkpoint| self.checkpoints.push(checkpoint))?;
        let waits =
            step.needs == Needs::Nothing || (step.needs == Needs::Input && !ends && self.intake.is_empty());
        if step.read == 0 && made.is_empty() && !waits {
            return Err(internal("a decoder does not move"));
        }
        Ok(step.needs)
    }

    fn diff_algorithm(&self) -> Algorithm {
        self.diff_id.map_or(Algorithm::Sha256, |id| id.algorithm())
    }

    /// Of what is not compressed one digest is enough, if it is computed here.
    fn needs_hash(&self) -> bool {
        self.verifier.is_none()
            || self.decoder.format() != Some(Format::Identity)
            || self.digest.algorithm() != self.diff_algorithm()
    }

    /// Something is wrong inside. If the blob is not the right one, that is what is told.
    fn doubt(&mut self) -> Result<Came> {
        if self.verifier.is_some() && self.fed < self.size {
            return Ok(Came::Need);
        }
        if let Some(verifier) = self.verifier.take() {
            verifier.finish()?;
        }
        Err(self.fault.take().unwrap_or_else(|| internal("the layer has failed")))
    }

    /// All is decoded.
    fn finish(&mut self, config: &Config) -> Result<Came> {
        let needs_hash = self.needs_hash();
        let verified = self.verifier.take().map(Verifier::finish).transpose()?;
        let algorithm = self.diff_algorithm();
        let diff_id = match (verified, self.hasher.take()) {
            (Some(digest), _) if !needs_hash => digest,
            (_, hasher) => hasher.unwrap_or_else(|| Hasher::new(&*config.hashes, algorithm)).finish(),
        };
        check_diff_id(self.diff_id, diff_id)?;
        // It is not asked again.
        let scan = core::mem::replace(&mut self.scan, Scan::new(self.source, &config.merge.limits));
        let index = scan.finish()?;
        let report = Report {
            diff_id,
            tar_bytes: self.decoder.written(),
            format: self.decoder.format().unwrap_or(Format::Identity),
            mismatch: self.decoder.mismatch(),
        };
        let blob = Blob {
            source: self.source,
            digest: self.digest,
            bytes: self.size,
            report,
            checkpoints: core::mem::take(&mut self.checkpoints),
            sums: core::mem::take(&mut self.sums).finish(),
        };
        Ok(Came::Known(Box::new((blob, index))))
    }
}

fn place(source: usize, digest: Digest) -> Place {
    Place { layer: Some(source), blob: Some(digest), ..Place::default() }
}

impl fmt::Debug for Indexing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Indexing")
            .field("source", &self.source)
            .field("size", &self.size)
            .field("fed", &self.fed)
            .finish_non_exhaustive()
    }
}
