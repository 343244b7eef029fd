//! All layers decoded from the top, each once, their bytes handed on as they come.
//!
//! The topmost layer that is not through is the *front*: its pieces go straight to who takes them. The layers below it
//! decode ahead on the other processors, are scanned and hashed, and wait in memory up to a budget. What a layer does is
//! a chain of threads, reading, inflating, hashing, scanning, so that also the last layer, alone, keeps two processors
//! busy.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wharfie_core::Digest;
use wharfie_core::codec::{Block, Codec as _, Format, FormatMismatch, Needs};
use wharfie_core::digest::Hasher;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::merge::{LayerIndex, Scan, check_diff_id};

use super::decode::Keep;
use super::job::{Blob, Job, PIECE, Workshop, in_lanes};
use super::packed::Packed;
use super::spool::Spool;
use super::{LayerReport, LocalImage};
use crate::codec::NativeHashes;

/// Decoded pieces in all, those that wait for their layer's turn among them: 24 MiB, so that with all that zstd needs an
/// export stays below 96 MiB.
const PIECES: usize = 96;
/// Of these, pieces that only the front may use.
const RESERVED: usize = 24;
/// Pieces between two threads of a chain.
const BETWEEN: usize = 4;
/// How often who waits looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);

/// Takes the bytes of all layers, from the top, each layer's in order.
pub(crate) trait Taker: Send {
    /// The next deflate blocks of the front layer, which its blob has. A block is told before the first byte behind it is
    /// taken or kept.
    fn blocks(&mut self, layer: usize, blob: &Packed, blocks: &[Block]);

    /// The next bytes of the front layer, from `at` on. `scan` has read these at least.
    fn take(&mut self, scan: &Scan, at: u64, piece: &[u8]) -> Result<()>;

    /// The front layer has ended, and is what it should be.
    fn end(&mut self, index: LayerIndex, len: u64) -> Result<()>;

    /// Whether it still takes anything. If not, layers that it had nothing of yet are kept.
    fn wants(&self) -> bool;
}

/// A layer that is what it should be.
pub(crate) struct Flowed {
    pub(crate) report: LayerReport,
    /// Its bytes, if they were kept.
    pub(crate) spool: Option<Spool>,
}

/// Decodes all of them, from the top. Of several failures, the lowest layer's is told, and the taker's before them. Layers
/// that nobody takes are kept.
///
/// `None` if a blob on its way began anew when the taker had had something of it: nothing that was taken holds then.
pub(crate) fn flow(
    image: &LocalImage,
    workshop: &Workshop<'_>,
    keep: Keep<'_>,
    taker: &mut dyn Taker,
) -> Result<Option<Vec<Flowed>>> {
    let pieces = Pieces::default();
    let stage = Stage {
        left: AtomicUsize::new(image.layers.len()),
        taker: Mutex::new((taker, None)),
        pieces: &pieces,
        keep,
        spoiled: AtomicBool::new(false),
    };
    let order = (0..image.layers.len()).rev().collect();
    let flowed = in_lanes(image, workshop, order, &|job| {
        let lane = Lane { job, stage: &stage, taken: AtomicBool::new(false) };
        job.until_it_holds(|| {
            let done = lane.run();
            if done.is_err() && lane.taken.load(Ordering::Relaxed) && job.take_anew() {
                stage.spoiled.store(true, Ordering::Relaxed);
            }
            done
        })
    });
    let (_, failure) = stage.taker.into_inner().unwrap_or_else(PoisonError::into_inner);
    match failure {
        Some(error) => Err(error),
        None if stage.spoiled.into_inner() && !workshop.cancel.is_cancelled() => Ok(None),
        None => Ok(Some(flowed?.into_iter().flatten().collect())),
    }
}

/// What all layers share.
struct Stage<'s> {
    /// How many layers are not through: the highest of them is the front.
    left: AtomicUsize,
    /// Who takes the bytes, and what went wrong there: that is no layer's fault.
    taker: Mutex<(&'s mut dyn Taker, Option<Error>)>,
    pieces: &'s Pieces,
    keep: Keep<'s>,
    /// Whether something was taken that does not hold.
    spoiled: AtomicBool,
}

/// The pieces of all layers.
#[derive(Default)]
struct Pieces {
    pool: Mutex<Pool>,
    /// That a piece is free, or another layer is the front.
    changed: Condvar,
}

impl Pieces {
    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those that are free, and how many are not.
#[derive(Default)]
struct Pool {
    free: Vec<Vec<u8>>,
    out: usize,
}

/// Decoded bytes on their way; back in the pool when it is dropped.
struct Piece<'p> {
    bytes: Vec<u8>,
    /// The deflate blocks that were decoded whole in it.
    blocks: Vec<Block>,
    pieces: &'p Pieces,
}

impl Deref for Piece<'_> {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Piece<'_> {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        let mut pool = self.pieces.lock();
        pool.free.push(std::mem::take(&mut self.bytes));
        pool.out -= 1;
        drop(pool);
        self.pieces.changed.notify_all();
    }
}

impl Stage<'_> {
    fn is_front(&self, layer: usize) -> bool {
        self.left.load(Ordering::Acquire) == layer + 1
    }
}

/// One layer's chain.
struct Lane<'l, 's> {
    job: &'l Job<'l>,
    stage: &'l Stage<'s>,
    /// Whether the taker has had something of the layer.
    taken: AtomicBool,
}

/// Where the bytes of a layer are that were not taken yet.
struct Held<'h> {
    blob: Packed,
    scan: Scan,
    pieces: VecDeque<Piece<'h>>,
    /// The position behind what was taken.
    taken: u64,
    /// All of it, if nobody takes it any more.
    spool: Option<Spool>,
}

impl<'l> Lane<'l, '_> {
    fn run(&self) -> Result<Flowed> {
        let job = self.job;
        let descriptor = &job.local.descriptor;
        let (blob, input) = job.open()?;
        let (blob, format) = blob.format(&input)?;
        // One hash serves for both where the blob is the tar.
        let hasher = (format != Format::Identity || job.diff_algorithm() != descriptor.digest.algorithm())
            .then(|| Hasher::new(&NativeHashes, job.diff_algorithm()));

        let mut held = Held {
            blob: blob.packed().clone(),
            scan: job.scan(),
            pieces: VecDeque::new(),
            taken: 0,
            spool: None,
        };
        let (packed, chunks) = sync_channel(BETWEEN);
        let (back, empty) = sync_channel(BETWEEN);
        let (inflated, plain) = sync_channel(BETWEEN);
        let (hashed, pieces) = sync_channel(BETWEEN);
        let (read, mismatch, diff_id, kept) = thread::scope(|scope| {
            let reader = scope.spawn(move || read(blob, input, packed, &empty));
            let inflater = scope.spawn(move || match format {
                Format::Identity => self.pass(&chunks, &back, &inflated),
                _ => self.inflate(&chunks, &back, &inflated),
            });
            let hasher = scope.spawn(move || hash(hasher, &plain, &hashed));
            let kept = self.keep(&pieces, &mut held);
            if kept.as_ref().is_err_and(|error| !error.is_content()) {
                job.stop_all();
            }
            // Ends those that are not through.
            drop(pieces);
            (reader.join(), inflater.join(), hasher.join(), kept)
        });
        let panicked = |_| Error::from(ErrorKind::Internal { reason: "a thread has panicked".to_owned() });
        // What is wrong with the blob itself comes before what is wrong inside it.
        match (&kept, read.map_err(panicked)?) {
            (Err(error), _) if !error.is_content() => {}
            (_, Err(error)) => return Err(error),
            _ => {}
        }
        // Its own failure made the others end.
        kept?;
        let mismatch = mismatch.map_err(panicked)??;
        let diff_id = diff_id.map_err(panicked)?.unwrap_or(descriptor.digest);
        check_diff_id(job.diff_id, diff_id)?;
        let tar_bytes = held.scan.position();
        while !self.stage.is_front(job.layer) {
            job.go_on()?;
            let pool = self.stage.pieces.lock();
            if !self.stage.is_front(job.layer) {
                drop(self.stage.pieces.changed.wait_timeout(pool, LOOK));
            }
        }
        self.drain(&mut held)?;
        let Held { scan, spool, .. } = held;
        let index = scan.finish()?;
        self.with_taker(|taker| taker.end(index, tar_bytes))?;
        self.stage.left.store(job.layer, Ordering::Release);
        self.stage.pieces.changed.notify_all();
        job.tell_verified();
        Ok(Flowed { report: LayerReport { diff_id, tar_bytes, format, mismatch }, spool })
    }

    /// Decodes what comes, piece by piece; ends early without an error when nobody takes them any more.
    fn inflate(
        &self,
        chunks: &Receiver<Vec<u8>>,
        back: &SyncSender<Vec<u8>>,
        to: &SyncSender<Piece<'l>>,
    ) -> Result<Option<FormatMismatch>> {
        let mut decoder = self.job.decoder();
        if self.stage.keep.blocks {
            // Formats without blocks have none.
            decoder.report_blocks();
        }
        let mut piece: Option<(Piece<'l>, usize)> = None;
        loop {
            let chunk = chunks.recv().ok();
            let input = chunk.as_deref().unwrap_or_default();
            let mut taken = 0;
            loop {
                let (mut out, mut filled) = match piece.take() {
                    Some(piece) => piece,
                    None => (self.piece()?, 0),
                };
                let step = match &chunk {
                    Some(_) => decoder.process(&input[taken..], &mut out[filled..]),
                    None => decoder.finish(&mut out[filled..]),
                };
                let step = step.map_err(|error| error.at_byte(decoder.written()))?;
                taken += step.read;
                filled += step.written;
                if filled == out.len() || (step.needs == Needs::Nothing && filled > 0) {
                    out.truncate(filled);
                    // One that ends just behind the last byte of all may be left: nobody copies that.
                    decoder.take_blocks(&mut out.blocks);
                    if to.send(out).is_err() {
                        return Ok(None);
                    }
                } else {
                    piece = Some((out, filled));
                }
                match step.needs {
                    Needs::Nothing => return Ok(decoder.mismatch()),
                    Needs::Input => break,
                    Needs::Output => {}
                }
            }
            if let Some(chunk) = chunk {
                // Nobody wants it back when all is read.
                let _ = back.try_send(chunk);
            }
        }
    }

    /// Hands on what is not compressed.
    fn pass(
        &self,
        chunks: &Receiver<Vec<u8>>,
        back: &SyncSender<Vec<u8>>,
        to: &SyncSender<Piece<'l>>,
    ) -> Result<Option<FormatMismatch>> {
        let mut len = 0;
        for mut chunk in chunks {
            let mut piece = self.piece()?;
            len += chunk.len() as u64;
            std::mem::swap(&mut piece.bytes, &mut chunk);
            if to.send(piece).is_err() {
                return Ok(None);
            }
            let _ = back.try_send(chunk);
        }
        Ok(self.job.mismatch_of_plain(len))
    }

    /// A piece to be filled, when there is one for this layer.
    fn piece(&self) -> Result<Piece<'l>> {
        let mut pool = self.stage.pieces.lock();
        loop {
            let reserved = if self.stage.is_front(self.job.layer) { 0 } else { RESERVED };
            if pool.out + reserved < PIECES {
                pool.out += 1;
                let mut bytes = pool.free.pop().unwrap_or_default();
                drop(pool);
                bytes.resize(PIECE, 0);
                return Ok(Piece { bytes, blocks: Vec::new(), pieces: self.stage.pieces });
            }
            self.job.go_on()?;
            pool = match self.stage.pieces.changed.wait_timeout(pool, LOOK) {
                Ok((pool, _)) => pool,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Scans what comes, and hands it on when it is this layer's turn.
    fn keep(&self, pieces: &Receiver<Piece<'l>>, held: &mut Held<'l>) -> Result<()> {
        loop {
            match pieces.recv_timeout(LOOK) {
                Ok(piece) => {
                    held.scan.feed(&piece)?;
                    held.pieces.push_back(piece);
                }
                Err(RecvTimeoutError::Timeout) => self.job.go_on()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.stage.is_front(self.job.layer) {
                self.drain(held)?;
            }
        }
    }

    /// Hands on all pieces of the front layer.
    fn drain(&self, held: &mut Held<'l>) -> Result<()> {
        while let Some(piece) = held.pieces.pop_front() {
            let at = held.taken;
            self.taken.store(true, Ordering::Relaxed);
            let wanted = self.with_taker(|taker| {
                if !piece.blocks.is_empty() {
                    taker.blocks(self.job.layer, &held.blob, &piece.blocks);
                }
                let wanted = taker.wants();
                if wanted {
                    taker.take(&held.scan, at, &piece)?;
                }
                Ok(wanted)
            })?;
            if !wanted {
                if at == 0 {
                    held.spool = Some(Spool::new(self.stage.keep.temp_dir)?);
                }
                if let Some(spool) = &mut held.spool {
                    spool.write(&piece)?;
                }
            }
            held.taken += piece.len() as u64;
        }
        Ok(())
    }

    /// Only the front's lane comes here. What goes wrong there is told apart from what is wrong with the layer.
    fn with_taker<T>(&self, act: impl FnOnce(&mut dyn Taker) -> Result<T>) -> Result<T> {
        let mut taker = self.stage.taker.lock().unwrap_or_else(PoisonError::into_inner);
        act(taker.0).map_err(|error| {
            taker.1 = Some(error);
            ErrorKind::Cancelled {}.into()
        })
    }
}

/// Reads the blob to its end, whoever takes it, so that what is wrong with it is known.
fn read(mut blob: Blob<'_>, first: Vec<u8>, to: SyncSender<Vec<u8>>, back: &Receiver<Vec<u8>>) -> Result<()> {
    let mut to = Some(to);
    let mut chunk = first;
    while !chunk.is_empty() {
        let mut spare = Vec::new();
        match &to {
            Some(open) => {
                if let Err(returned) = open.send(chunk) {
                    spare = returned.0;
                    to = None;
                }
            }
            None => spare = chunk,
        }
        chunk = if spare.is_empty() { back.try_recv().unwrap_or_default() } else { spare };
        chunk.resize(PIECE, 0);
        let n = blob.read(&mut chunk)?;
        chunk.truncate(n);
        blob.tell();
    }
    drop(to);
    blob.verify_rest()
}

/// Hashes what comes and hands it on.
fn hash<'p>(
    hasher: Option<Hasher>,
    from: &Receiver<Piece<'p>>,
    to: &SyncSender<Piece<'p>>,
) -> Option<Digest> {
    let mut hasher = hasher;
    for piece in from {
        if let Some(hasher) = &mut hasher {
            hasher.update(&piece);
        }
        if to.send(piece).is_err() {
            break;
        }
    }
    hasher.map(Hasher::finish)
}
