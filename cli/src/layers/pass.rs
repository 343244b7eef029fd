//! Layers read for what is in them: decoded and checked (L20, L23), and nothing kept but what the reader keeps.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::thread;

use wharfie_core::Limits;
use wharfie_core::codec::{Codec as _, Decoder};
use wharfie_core::digest::Hasher;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::merge::Checkpoints;

pub(crate) use super::job::Flow;
use super::job::{Job, Workshop, in_lanes, largest_first};
use super::{LayerReport, LocalImage, Progress};
use crate::codec::NativeHashes;
use crate::drive::Cancel;

/// Who reads a layer.
pub(crate) trait Reader: Send {
    /// The next decoded bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<Flow>;

    /// All of it has come, from this decoder, and is what it should be.
    fn end(&mut self, decoder: &Decoder<'_>) {
        let _ = decoder;
    }

    /// Whether it wants to know where decoding can begin.
    fn wants_checkpoints(&self) -> bool {
        false
    }

    /// Where decoding can begin: when the layer has been read to its end and verified.
    fn keep_checkpoints(&mut self, _checkpoints: Checkpoints) {}
}

impl<R: Reader> Reader for &mut R {
    fn take(&mut self, bytes: &[u8]) -> Result<Flow> {
        R::take(self, bytes)
    }

    fn end(&mut self, decoder: &Decoder<'_>) {
        R::end(self, decoder);
    }

    fn wants_checkpoints(&self) -> bool {
        R::wants_checkpoints(self)
    }

    fn keep_checkpoints(&mut self, checkpoints: Checkpoints) {
        R::keep_checkpoints(self, checkpoints);
    }
}

/// What all passes of a command have in common.
pub(crate) struct Pass<'p> {
    pub(crate) image: &'p LocalImage,
    pub(crate) limits: &'p Limits,
    pub(crate) cancel: &'p Cancel,
    pub(crate) progress: &'p dyn Progress,
}

impl Pass<'_> {
    /// Reads these layers, each by its reader, as many at once as there are processors, the largest first. A report is
    /// missing where the reader had enough. Of several failures the lowest layer's is told.
    pub(crate) fn all<R: Reader>(
        &self,
        readers: Vec<(usize, R)>,
    ) -> Result<Vec<(usize, R, Option<LayerReport>)>> {
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        let workshop = Workshop { limits: self.limits, cancel: self.cancel, progress: self.progress, jobs };
        let order = largest_first(self.image, readers.iter().map(|(layer, _)| *layer));
        // Each is taken out by the lane that works on its layer.
        let readers: BTreeMap<usize, Mutex<Option<R>>> =
            readers.into_iter().map(|(layer, reader)| (layer, Mutex::new(Some(reader)))).collect();
        let read = in_lanes(self.image, &workshop, order, &|job| {
            let reader = readers.get(&job.layer);
            let reader =
                reader.and_then(|reader| reader.lock().unwrap_or_else(PoisonError::into_inner).take());
            let mut reader = reader.ok_or_else(|| internal("a layer without a reader"))?;
            let report = read(job, &mut reader)?;
            Ok((reader, report))
        })?;
        let read = read.into_iter().enumerate();
        Ok(read.filter_map(|(layer, read)| read.map(|(reader, report)| (layer, reader, report))).collect())
    }

    /// Reads one layer.
    pub(crate) fn one<R: Reader>(&self, layer: usize, reader: &mut R) -> Result<Option<LayerReport>> {
        let read = self.all(vec![(layer, reader)])?;
        Ok(read.into_iter().find_map(|(.., report)| report))
    }

    /// Reads one layer that may still be on its way, by a reader that `make` makes: by another one where it begins anew.
    pub(crate) fn one_by<R: Reader>(
        &self,
        layer: usize,
        make: &(dyn Fn() -> R + Sync),
    ) -> Result<(R, Option<LayerReport>)> {
        let workshop =
            Workshop { limits: self.limits, cancel: self.cancel, progress: self.progress, jobs: 1 };
        let read = in_lanes(self.image, &workshop, vec![layer], &|job| {
            job.until_it_holds(|| {
                let mut reader = make();
                let report = read(job, &mut reader)?;
                Ok((reader, report))
            })
        })?;
        read.into_iter().flatten().next().ok_or_else(|| internal("a layer was not read"))
    }
}

/// Decodes the layer and hands it to its reader. No report if that had enough.
fn read(job: &Job<'_>, reader: &mut impl Reader) -> Result<Option<LayerReport>> {
    let (blob, first) = job.open()?;
    let mut decoder = job.decoder();
    let marked = reader.wants_checkpoints();
    if marked {
        // Formats without checkpoints have none.
        decoder.note_checkpoints(Checkpoints::EVERY);
    }
    let mut hasher = Hasher::new(&NativeHashes, job.diff_algorithm());
    let whole = job.through(blob, &mut decoder, first, |piece| {
        // The reader first: what it has enough of need not be hashed.
        let flow = reader.take(piece)?;
        if flow == Flow::More {
            hasher.update(piece);
        }
        Ok(flow)
    })?;
    if whole.is_none() {
        return Ok(None);
    }
    let report = job.report(&decoder, hasher.finish())?;
    reader.end(&decoder);
    if marked {
        let mut noted = Vec::new();
        decoder.take_checkpoints(&mut noted);
        let mut checkpoints = Checkpoints::new();
        noted.iter().try_for_each(|checkpoint| checkpoints.push(checkpoint))?;
        reader.keep_checkpoints(checkpoints);
    }
    job.tell_verified();
    Ok(Some(report))
}

fn internal(reason: &str) -> Error {
    ErrorKind::Internal { reason: reason.to_owned() }.into()
}
