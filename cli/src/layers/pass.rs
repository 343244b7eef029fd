//! Layers read for what is in them: decoded and checked (L20, L23), and nothing kept but what the reader keeps.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use wharfie_core::codec::{Codec as _, Decoder, Format, Needs};
use wharfie_core::digest::{Hasher, Verifier};
use wharfie_core::error::{Error, ErrorKind, Place, Result};
use wharfie_core::{Algorithm, Limits};

use super::{LayerReport, LocalImage, Progress};
use crate::codec::{NativeCodecs, NativeHashes};
use crate::drive::Cancel;
use crate::fault::io_error;

/// Bytes of a piece on its way.
const PIECE: usize = 256 << 10;
/// Decoded pieces that may wait for their reader.
const PIECES: usize = 4;

/// Whether a reader wants more of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    More,
    /// The rest is neither decoded nor checked.
    Enough,
}

/// Who reads a layer.
pub(crate) trait Reader: Send {
    /// The next decoded bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<Flow>;
}

/// What all passes of a command have in common.
pub(crate) struct Pass<'p> {
    pub(crate) image: &'p LocalImage,
    pub(crate) limits: &'p Limits,
    pub(crate) cancel: &'p Cancel,
    pub(crate) progress: &'p dyn Progress,
}

impl Pass<'_> {
    /// Reads these layers, as many at once as there are processors, the largest first. A report is missing where the
    /// reader had enough. Of several failures the lowest layer's is told.
    pub(crate) fn all<R: Reader>(
        &self,
        readers: Vec<(usize, R)>,
    ) -> Result<Vec<(usize, R, Option<LayerReport>)>> {
        let count = readers.len();
        let mut readers: Vec<_> = readers;
        readers.sort_by_key(|(layer, _)| {
            std::cmp::Reverse(self.image.layers.get(*layer).map_or(0, |layer| layer.descriptor.size))
        });
        let queue = Mutex::new(VecDeque::from(readers));
        let results = Mutex::new(Vec::with_capacity(count));
        let stop = AtomicBool::new(false);
        let lane = || {
            while !stop.load(Ordering::Relaxed) {
                let Some((layer, mut reader)) = queue.lock().ok().and_then(|mut queue| queue.pop_front())
                else {
                    return;
                };
                let result = self.read(layer, &mut reader, &stop);
                if result.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                if let Ok(mut results) = results.lock() {
                    results.push((layer, reader, result));
                }
            }
        };
        let lanes = thread::available_parallelism().map_or(1, usize::from).min(count);
        thread::scope(|scope| {
            for _ in 1..lanes {
                scope.spawn(lane);
            }
            lane();
        });
        let mut results = results.into_inner().unwrap_or_default();
        results.sort_by_key(|(layer, ..)| *layer);
        let mut read = Vec::with_capacity(count);
        let mut failure: Option<Error> = None;
        for (layer, reader, result) in results {
            match result {
                Ok(report) => read.push((layer, reader, report)),
                // Those that were stopped because of another's failure have nothing to say.
                Err(error) if failure.as_ref().is_none_or(|known| known.code() == "cancelled") => {
                    failure = Some(error);
                }
                Err(_) => {}
            }
        }
        match failure {
            Some(error) => Err(error),
            None if read.len() == count => Ok(read),
            None => Err(internal("a layer was not read")),
        }
    }

    /// Reads one layer.
    pub(crate) fn one<R: Reader>(&self, layer: usize, reader: &mut R) -> Result<Option<LayerReport>> {
        self.read(layer, reader, &AtomicBool::new(false))
    }

    fn read<R: Reader>(
        &self,
        layer: usize,
        reader: &mut R,
        stop: &AtomicBool,
    ) -> Result<Option<LayerReport>> {
        let Some(local) = self.image.layers.get(layer) else { return Err(internal("no such layer")) };
        let job = Job { pass: self, layer, stop };
        let place = Place { layer: Some(layer), blob: Some(local.descriptor.digest), ..Place::default() };
        job.run(reader).map_err(|error| error.at(place))
    }
}

/// One layer's.
struct Job<'j> {
    pass: &'j Pass<'j>,
    layer: usize,
    stop: &'j AtomicBool,
}

/// A blob being read: what is hashed of it is what was decoded.
struct Blob<'b> {
    job: &'b Job<'b>,
    file: File,
    verifier: Verifier,
    position: u64,
    told: u64,
}

impl Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.job.stop.load(Ordering::Relaxed) || self.job.pass.cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled {}.into());
        }
        let local = &self.job.pass.image.layers[self.job.layer];
        let n = loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        let n = n.map_err(|error| io_error("reading a layer", Some(&local.path), &error))?;
        self.verifier.update(&buffer[..n])?;
        self.position += n as u64;
        // Not of the last bytes, which are not verified yet.
        if self.position >= self.told + (1 << 20) && self.position < local.descriptor.size {
            self.told = self.position;
            self.job.pass.progress.decoded(self.job.layer, self.position, local.descriptor.size);
        }
        Ok(n)
    }

    /// What is wrong with the blob itself, if anything: that comes before what is wrong inside it.
    fn verify_rest(mut self) -> Result<()> {
        let mut buffer = vec![0; PIECE];
        while self.read(&mut buffer)? > 0 {}
        self.verifier.finish().map(|_| ())
    }
}

/// Whether the fault is the content's, and not this machine's.
fn is_content(error: &Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::Cancelled { .. }
            | ErrorKind::NoSpace { .. }
            | ErrorKind::LocalIo { .. }
            | ErrorKind::PermissionDenied { .. }
            | ErrorKind::DigestMismatch { .. }
            | ErrorKind::SizeMismatch { .. }
    )
}

impl Job<'_> {
    fn run<R: Reader>(&self, reader: &mut R) -> Result<Option<LayerReport>> {
        let local = &self.pass.image.layers[self.layer];
        let descriptor = &local.descriptor;
        let opening = |error| io_error("opening a layer", Some(&local.path), &error);
        let file = File::open(&local.path).map_err(opening)?;
        let actual = file.metadata().map_err(opening)?.len();
        if actual != descriptor.size {
            return Err(ErrorKind::SizeMismatch { expected: descriptor.size, actual }.into());
        }
        let verifier = Verifier::new(&NativeHashes, descriptor.digest, Some(descriptor.size));
        let mut blob = Blob { job: self, file, verifier, position: 0, told: 0 };
        let expected = Format::of_media_type(descriptor.media_type.as_str());
        let mut decoder = Decoder::new(&NativeCodecs, expected, self.pass.limits);
        let diff_id = self.pass.image.diff_ids.as_ref().and_then(|ids| ids.get(self.layer)).copied();
        let algorithm = diff_id.map_or(Algorithm::Sha256, |id| id.algorithm());
        let read = match self.decode(&mut blob, &mut decoder, algorithm, reader) {
            Ok(read) => read,
            Err(error) => {
                if is_content(&error) {
                    blob.verify_rest()?;
                }
                return Err(error);
            }
        };
        let Some(actual) = read else { return Ok(None) };
        blob.verifier.finish()?;
        if let Some(expected) = diff_id.filter(|expected| *expected != actual) {
            return Err(ErrorKind::DiffIdMismatch { expected, actual }.into());
        }
        self.pass.progress.decoded(self.layer, descriptor.size, descriptor.size);
        Ok(Some(LayerReport {
            diff_id: actual,
            tar_bytes: decoder.written(),
            format: decoder.format().unwrap_or(Format::Identity),
            mismatch: decoder.mismatch(),
        }))
    }

    /// This thread reads, hashes the blob and decodes; another hashes what comes out and hands it to the reader. Answers
    /// the digest of the whole, or `None` if the reader had enough.
    fn decode<R: Reader>(
        &self,
        blob: &mut Blob<'_>,
        decoder: &mut Decoder<'_>,
        algorithm: Algorithm,
        reader: &mut R,
    ) -> Result<Option<wharfie_core::Digest>> {
        let (full, pieces) = sync_channel::<Vec<u8>>(PIECES);
        let (back, empty) = sync_channel::<Vec<u8>>(PIECES);
        let keep = move || {
            let mut hasher = Hasher::new(&NativeHashes, algorithm);
            for piece in pieces {
                // The reader first: what it has enough of need not be hashed.
                if reader.take(&piece)? == Flow::Enough {
                    return Ok(None);
                }
                hasher.update(&piece);
                // Nobody wants it back when all is decoded.
                let _ = back.send(piece);
            }
            Ok(Some(hasher.finish()))
        };
        let (decoded, kept) = thread::scope(|scope| {
            let keeper = scope.spawn(keep);
            let mut made = 0;
            let mut fresh = || match empty.try_recv() {
                Ok(piece) => Some(piece),
                Err(_) if made < PIECES => {
                    made += 1;
                    Some(vec![0; PIECE])
                }
                Err(_) => empty.recv().ok(),
            };
            let mut input = vec![0; PIECE];
            let decoded: Result<()> = (|| loop {
                let n = blob.read(&mut input)?;
                let mut taken = 0;
                loop {
                    let Some(mut piece) = fresh() else { return Ok(()) };
                    piece.resize(PIECE, 0);
                    let step = match n {
                        0 => decoder.finish(&mut piece),
                        _ => decoder.process(&input[taken..n], &mut piece),
                    };
                    let step = step.map_err(|error: Error| error.at_byte(decoder.written()))?;
                    taken += step.read;
                    piece.truncate(step.written);
                    if full.send(piece).is_err() {
                        return Ok(());
                    }
                    match step.needs {
                        Needs::Nothing => return Ok(()),
                        Needs::Input => break,
                        Needs::Output => {}
                    }
                }
            })();
            // Ends the keeper.
            drop(full);
            (decoded, keeper.join())
        });
        // The keeper's failure made the channel close: it comes first.
        let kept: Result<_> = kept.unwrap_or_else(|_| Err(internal("a thread has panicked")));
        let kept = kept?;
        if kept.is_some() {
            decoded?;
        }
        Ok(kept)
    }
}

fn internal(reason: &str) -> Error {
    ErrorKind::Internal { reason: reason.to_owned() }.into()
}
