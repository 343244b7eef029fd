//! All layers decoded side by side, checked and scanned on the way (L20, L23).

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use wharfie_core::codec::{Block, Codec as _, Decoder, Format, FormatMismatch, Needs};
use wharfie_core::digest::{Hasher, Verifier};
use wharfie_core::error::{Error, ErrorKind, Place, Result};
use wharfie_core::merge::{LayerIndex, Scan, check_diff_id};
use wharfie_core::{Algorithm, Digest, Limits};

use super::packed::Packed;
use super::spool::Spool;
use super::{LayerReport, LocalImage, LocalLayer, Progress};
use crate::codec::{NativeCodecs, NativeHashes};
use crate::drive::Cancel;
use crate::fault::io_error;

/// Bytes of a piece on its way.
pub(super) const PIECE: usize = 256 << 10;
/// Decoded pieces of one layer that may wait to be hashed and spooled.
const PIECES: usize = 4;
/// Layers decoded at once at most: each holds its pieces and its window.
const LANES: usize = 16;

/// A layer that is what it should be.
pub(crate) struct Decoded {
    pub(crate) index: LayerIndex,
    pub(crate) spool: Spool,
    /// Its blob, verified, with its deflate blocks, if they were wanted.
    pub(crate) packed: Option<(Packed, Vec<Block>)>,
    pub(crate) report: LayerReport,
}

/// What all layers have in common.
pub(crate) struct Workshop<'w> {
    pub(crate) limits: &'w Limits,
    pub(crate) temp_dir: &'w Path,
    pub(crate) cancel: &'w Cancel,
    pub(crate) progress: &'w dyn Progress,
    pub(crate) jobs: usize,
    /// Whether the deflate blocks of gzip layers are wanted.
    pub(crate) blocks: bool,
}

/// Decodes all of them. Of several failures, the lowest layer's is told.
pub(crate) fn decode(image: &LocalImage, workshop: &Workshop<'_>) -> Result<Vec<Decoded>> {
    let decoded = decode_some(image, workshop, &|_| true)?;
    Ok(decoded.into_iter().flatten().collect())
}

/// Decodes those that are wanted; `None` for the others. Of several failures, the lowest layer's is told.
pub(crate) fn decode_some(
    image: &LocalImage,
    workshop: &Workshop<'_>,
    wanted: &dyn Fn(usize) -> bool,
) -> Result<Vec<Option<Decoded>>> {
    let mut order: Vec<usize> = (0..image.layers.len()).filter(|layer| wanted(*layer)).collect();
    // The largest first, so that none is left over when all others are done.
    order.sort_by_key(|layer| std::cmp::Reverse(image.layers[*layer].descriptor.size));
    in_lanes(image, workshop, order, &|job| job.run())
}

/// Does the same to several layers, in this order, some of them side by side. Of several failures, the lowest layer's is
/// told.
pub(super) fn in_lanes<T: Send>(
    image: &LocalImage,
    workshop: &Workshop<'_>,
    order: Vec<usize>,
    run: &(dyn Fn(&Job<'_>) -> Result<T> + Sync),
) -> Result<Vec<Option<T>>> {
    let wanted = order.len();
    let queue = Mutex::new(VecDeque::from(order));
    let results: Mutex<Vec<Option<Result<T>>>> = Mutex::new((0..image.layers.len()).map(|_| None).collect());
    let stop = AtomicBool::new(false);
    let lane = || {
        while !stop.load(Ordering::Relaxed) {
            let Some(layer) = queue.lock().ok().and_then(|mut queue| queue.pop_front()) else { return };
            let diff_id = image.diff_ids.as_ref().and_then(|ids| ids.get(layer)).copied();
            let job = Job { workshop, layer, local: &image.layers[layer], diff_id, stop: &stop };
            let result = run(&job).map_err(|error| error.at(job.place()));
            if result.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            if let Ok(mut results) = results.lock() {
                results[layer] = Some(result);
            }
        }
    };
    let lanes = workshop.jobs.min(LANES).min(wanted);
    thread::scope(|scope| {
        for _ in 1..lanes {
            scope.spawn(lane);
        }
        lane();
    });
    let results = results.into_inner().unwrap_or_default();
    let mut done = Vec::with_capacity(results.len());
    let mut failure: Option<Error> = None;
    for result in results {
        let result = match result {
            Some(Ok(layer)) => Some(layer),
            // Those that were stopped because of another's failure have nothing to say.
            Some(Err(error)) if failure.as_ref().is_none_or(|known| known.code() == "cancelled") => {
                failure = Some(error);
                None
            }
            Some(Err(_)) | None => None,
        };
        done.push(result);
    }
    match failure {
        Some(error) => Err(error),
        None if done.iter().flatten().count() == wanted => Ok(done),
        None => Err(ErrorKind::Internal { reason: "a layer was not decoded".to_owned() }.into()),
    }
}

/// One layer's.
pub(super) struct Job<'j> {
    pub(super) workshop: &'j Workshop<'j>,
    pub(super) layer: usize,
    pub(super) local: &'j LocalLayer,
    pub(super) diff_id: Option<Digest>,
    stop: &'j AtomicBool,
}

/// A blob being read: what is hashed of it is what was decoded.
pub(super) struct Blob<'b> {
    job: &'b Job<'b>,
    file: File,
    verifier: Verifier,
    pub(super) position: u64,
    told: u64,
}

impl Blob<'_> {
    /// The next bytes, hashed; none at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.job.go_on()?;
        let n = loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        let n = n.map_err(|error| io_error("reading a layer", Some(&self.job.local.path), &error))?;
        self.verifier.update(&buffer[..n])?;
        self.position += n as u64;
        Ok(n)
    }

    /// Tells how far it is; not of the last bytes, which are not verified yet.
    pub(super) fn tell(&mut self) {
        let size = self.job.local.descriptor.size;
        if self.position >= self.told + (1 << 20) && self.position < size {
            self.told = self.position;
            self.job.workshop.progress.decoded(self.job.layer, self.position, size);
        }
    }

    /// What is wrong with the blob itself, if anything: that comes before what is wrong inside it.
    pub(super) fn verify_rest(mut self, buffer: &mut [u8]) -> Result<()> {
        while self.read(buffer)? > 0 {}
        self.verifier.finish().map(|_| ())
    }
}

/// Whether the fault is the content's, and not this machine's.
pub(super) fn is_content(error: &Error) -> bool {
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
    /// Whether the work is still wanted.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) || self.workshop.cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled {}.into());
        }
        Ok(())
    }

    /// Nobody needs the other layers any more.
    pub(super) fn stop_all(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn place(&self) -> Place {
        Place { layer: Some(self.layer), blob: Some(self.local.descriptor.digest), ..Place::default() }
    }

    /// The blob, of which nothing is read yet.
    pub(super) fn open(&self) -> Result<Blob<'_>> {
        let descriptor = &self.local.descriptor;
        let opening = |error| io_error("opening a layer", Some(&self.local.path), &error);
        let file = File::open(&self.local.path).map_err(opening)?;
        let actual = file.metadata().map_err(opening)?.len();
        if actual != descriptor.size {
            return Err(ErrorKind::SizeMismatch { expected: descriptor.size, actual }.into());
        }
        let verifier = Verifier::new(&NativeHashes, descriptor.digest, Some(descriptor.size));
        Ok(Blob { job: self, file, verifier, position: 0, told: 0 })
    }

    fn run(&self) -> Result<Decoded> {
        let descriptor = &self.local.descriptor;
        let mut blob = self.open()?;
        let mut input = vec![0; PIECE];
        let n = blob.read(&mut input)?;
        let expected = Format::of_media_type(descriptor.media_type.as_str());
        let decoded = match Format::detect(&input[..n.min(Format::MAGIC_BYTES)]) {
            Ok(Format::Identity) => self.scan_plain(blob, input, n, expected),
            Ok(_) => self.decode(blob, input, n, expected),
            Err(error) => {
                blob.verify_rest(&mut input)?;
                Err(error)
            }
        }?;
        self.workshop.progress.decoded(self.layer, descriptor.size, descriptor.size);
        Ok(decoded)
    }

    pub(super) fn scan(&self) -> Scan {
        Scan::new(self.layer, self.workshop.limits).with_blob(self.local.descriptor.digest)
    }

    pub(super) fn diff_algorithm(&self) -> Algorithm {
        self.diff_id.map_or(Algorithm::Sha256, |id| id.algorithm())
    }

    /// A layer without compression: its blob is its tar, one hash serves for both and nothing is copied.
    fn scan_plain(
        &self,
        mut blob: Blob<'_>,
        mut input: Vec<u8>,
        mut n: usize,
        expected: Option<Format>,
    ) -> Result<Decoded> {
        let mut scan = self.scan();
        let mut second = (self.diff_algorithm() != self.local.descriptor.digest.algorithm())
            .then(|| Hasher::new(&NativeHashes, self.diff_algorithm()));
        while n > 0 {
            if let Err(error) = scan.feed(&input[..n]) {
                blob.verify_rest(&mut input)?;
                return Err(error);
            }
            if let Some(hasher) = &mut second {
                hasher.update(&input[..n]);
            }
            blob.tell();
            n = blob.read(&mut input)?;
        }
        let size = blob.position;
        let digest = blob.verifier.finish()?;
        let diff_id = second.map_or(digest, Hasher::finish);
        check_diff_id(self.diff_id, diff_id)?;
        let mismatch = expected
            .filter(|expected| *expected != Format::Identity && size > 0)
            .map(|expected| FormatMismatch { expected, actual: Format::Identity });
        let report = LayerReport { diff_id, tar_bytes: size, format: Format::Identity, mismatch };
        let spool = Spool::of_blob(blob.file, self.local);
        Ok(Decoded { index: scan.finish()?, spool, packed: None, report })
    }

    /// A compressed layer: this thread reads, hashes the blob and decodes; another hashes what comes out, scans it and
    /// spools it.
    fn decode(
        &self,
        mut blob: Blob<'_>,
        mut input: Vec<u8>,
        n: usize,
        expected: Option<Format>,
    ) -> Result<Decoded> {
        let mut decoder = Decoder::new(&NativeCodecs, expected, self.workshop.limits);
        if self.workshop.blocks {
            // Formats without blocks have none.
            decoder.report_blocks();
        }
        let (full, pieces) = sync_channel::<Vec<u8>>(PIECES);
        let (back, empty) = sync_channel::<Vec<u8>>(PIECES);
        let (inflated, kept) = thread::scope(|scope| {
            let keeper = scope.spawn(move || self.keep(&pieces, &back));
            let inflated = self.inflate(&mut blob, &mut decoder, &mut input, n, &full, &empty);
            // Ends the keeper.
            drop(full);
            let kept = keeper.join();
            (inflated, kept)
        });
        let kept = kept.unwrap_or_else(|_| {
            Err(ErrorKind::Internal { reason: "a thread has panicked".to_owned() }.into())
        });
        let (scan, spool, diff_id) = match (inflated, kept) {
            (Ok(()), Ok(kept)) => kept,
            // The keeper's failure made the channel close: it comes first.
            (_, Err(error)) | (Err(error), Ok(_)) => {
                if is_content(&error) {
                    blob.verify_rest(&mut input)?;
                }
                return Err(error);
            }
        };
        blob.verifier.finish()?;
        check_diff_id(self.diff_id, diff_id)?;
        let report = LayerReport {
            diff_id,
            tar_bytes: spool.len(),
            format: decoder.format().unwrap_or(Format::Identity),
            mismatch: decoder.mismatch(),
        };
        let mut blocks = Vec::new();
        decoder.take_blocks(&mut blocks);
        let packed = (!blocks.is_empty()).then(|| (Packed::of_file(blob.file, self.local), blocks));
        Ok(Decoded { index: scan.finish()?, spool, packed, report })
    }

    /// Decodes the blob, piece by piece; ends early without an error when nobody takes them any more.
    fn inflate(
        &self,
        blob: &mut Blob<'_>,
        decoder: &mut Decoder<'_>,
        input: &mut [u8],
        mut n: usize,
        full: &SyncSender<Vec<u8>>,
        empty: &Receiver<Vec<u8>>,
    ) -> Result<()> {
        let mut made = 0;
        let mut piece = Vec::new();
        let mut filled = 0;
        loop {
            let mut taken = 0;
            let ends = n == 0;
            loop {
                if piece.is_empty() {
                    // So many in all, made when they are needed first.
                    piece = match empty.try_recv() {
                        Ok(piece) => piece,
                        Err(_) if made < PIECES => {
                            made += 1;
                            vec![0; PIECE]
                        }
                        Err(_) => match empty.recv() {
                            Ok(piece) => piece,
                            Err(_) => return Ok(()),
                        },
                    };
                    piece.resize(PIECE, 0);
                    filled = 0;
                }
                let step = if ends {
                    decoder.finish(&mut piece[filled..])
                } else {
                    decoder.process(&input[taken..n], &mut piece[filled..])
                };
                let step = step.map_err(|error| error.at_byte(decoder.written()))?;
                taken += step.read;
                filled += step.written;
                if filled == piece.len() || (step.needs == Needs::Nothing && filled > 0) {
                    let mut whole = std::mem::take(&mut piece);
                    whole.truncate(filled);
                    if full.send(whole).is_err() {
                        return Ok(());
                    }
                }
                match step.needs {
                    Needs::Nothing => return Ok(()),
                    Needs::Input => break,
                    Needs::Output => {}
                }
            }
            blob.tell();
            n = blob.read(input)?;
        }
    }

    /// Hashes, scans and spools what comes.
    fn keep(&self, pieces: &Receiver<Vec<u8>>, back: &SyncSender<Vec<u8>>) -> Result<(Scan, Spool, Digest)> {
        let mut scan = self.scan();
        let mut hasher = Hasher::new(&NativeHashes, self.diff_algorithm());
        let mut spool = Spool::new(self.workshop.temp_dir)?;
        for piece in pieces {
            scan.feed(&piece)?;
            hasher.update(&piece);
            spool.write(&piece)?;
            // Nobody wants it back when all is decoded.
            let _ = back.send(piece);
        }
        Ok((scan, spool, hasher.finish()))
    }
}
