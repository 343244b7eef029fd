//! Layers worked through side by side: each blob read, hashed and decoded on the way (L20, L23).
//!
//! Whoever wants the bytes of a layer opens its blob by [`Job::open`] and reads it through [`Blob`]: nobody else knows
//! where they come from.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use wharfie_core::codec::{Codec as _, Decoder, Format, FormatMismatch, Needs};
use wharfie_core::digest::Verifier;
use wharfie_core::error::{Error, ErrorKind, Place, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::merge::{Scan, check_diff_id};
use wharfie_core::{Algorithm, Digest, Limits};

use super::packed::Packed;
use super::{LayerReport, LocalImage, LocalLayer, Progress};
use crate::codec::{NativeCodecs, NativeHashes};
use crate::drive::{Cancel, Found, Incoming, Reach};
use crate::fault::io_error;

/// Bytes of a piece on its way.
pub(super) const PIECE: usize = 256 << 10;
/// Decoded pieces of one layer that may wait for who keeps them.
const PIECES: usize = 4;
/// How often who waits for a blob looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);
/// Layers decoded at once at most: each holds its pieces and its window.
const LANES: usize = 16;
/// Of these, at least so many while layers are on their way: as many as are fetched at once.
const ARRIVING: usize = 6;

/// What all layers have in common.
pub(crate) struct Workshop<'w> {
    pub(crate) limits: &'w Limits,
    pub(crate) cancel: &'w Cancel,
    pub(crate) progress: &'w dyn Progress,
    pub(crate) jobs: usize,
}

/// These layers, the largest first, so that none is left over when all others are done.
pub(super) fn largest_first(image: &LocalImage, layers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut order: Vec<usize> = layers.collect();
    order.sort_by_key(|layer| {
        std::cmp::Reverse(image.layers.get(*layer).map_or(0, |layer| layer.descriptor.size))
    });
    order
}

/// Does the same to several layers, in this order, some of them side by side. The answers are by layer, `None` for those
/// that are not in `order`. Of several failures, the lowest layer's is told.
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
            // One that there is not lacks in the end.
            let Some(local) = image.layers.get(layer) else { return };
            let diff_id = image.diff_ids.as_ref().and_then(|ids| ids.get(layer)).copied();
            let job = Job { workshop, layer, local, diff_id, stop: &stop, anew: AtomicBool::new(false) };
            let result = run(&job).map_err(|error| error.at(job.place()));
            if result.is_err() {
                job.stop_all();
            }
            if let Ok(mut results) = results.lock() {
                results[layer] = Some(result);
            }
        }
    };
    // Who waits for a layer on its way leaves the processors to those whose layers are there.
    let lanes = match workshop.jobs {
        jobs if jobs > 1 && image.is_arriving() => jobs.max(ARRIVING),
        jobs => jobs,
    };
    let lanes = lanes.min(LANES).min(wanted);
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
        None => Err(ErrorKind::Internal { reason: "a layer was not read".to_owned() }.into()),
    }
}

/// Whether who takes a layer's bytes wants more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    More,
    /// The rest is neither decoded nor checked.
    Enough,
}

/// One layer's.
pub(super) struct Job<'j> {
    pub(super) workshop: &'j Workshop<'j>,
    pub(super) layer: usize,
    pub(super) local: &'j LocalLayer,
    pub(super) diff_id: Option<Digest>,
    stop: &'j AtomicBool,
    /// Its blob began anew on its way, when some of it had been read.
    anew: AtomicBool,
}

/// A blob being read: what is verified of it is what was decoded.
pub(super) struct Blob<'b> {
    job: &'b Job<'b>,
    packed: Packed,
    trust: Trust,
    position: u64,
    told: u64,
}

/// Who verifies a blob.
enum Trust {
    /// Who reads it.
    Own(Verifier),
    /// Who brings it: it is on its way.
    Coming(Incoming),
    /// Who brought it, just now.
    Verified,
}

impl Blob<'_> {
    /// The next bytes; none at the end. Waits for those of a blob that is on its way.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.job.go_on()?;
        let n = match &self.trust {
            Trust::Coming(_) => self.await_some(buffer)?,
            _ => self.packed.read_some(buffer, self.position)?,
        };
        if let Trust::Own(verifier) = &mut self.trust {
            verifier.update(&buffer[..n])?;
        }
        self.position += n as u64;
        Ok(n)
    }

    fn await_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let size = self.job.local.descriptor.size;
        // The pull holds it to its size.
        let wanted = size.min(self.position.saturating_add(buffer.len() as u64));
        while self.position < wanted {
            let (end, is_whole) = match self.wait(wanted)? {
                Some(end) => (end.min(wanted), false),
                None => (wanted, true),
            };
            let len = usize::try_from(end.saturating_sub(self.position)).unwrap_or(buffer.len());
            let part = buffer.get_mut(..len).unwrap_or_default();
            let n = self.packed.read_some(part, self.position)?;
            if n > 0 {
                return Ok(n);
            }
            // Nothing where there was something: it was taken back in between, unless that cannot be.
            if is_whole {
                return Err(ErrorKind::SizeMismatch { expected: size, actual: self.position }.into());
            }
        }
        Ok(0)
    }

    /// Waits a moment for so many bytes of a blob on its way. Answers how many there are, and `None` when they are
    /// verified.
    fn wait(&mut self, wanted: u64) -> Result<Option<u64>> {
        self.job.go_on()?;
        let Trust::Coming(incoming) = &mut self.trust else { return Ok(None) };
        match incoming.wait(self.position, wanted, LOOK) {
            Reach::Bytes(len) => Ok(Some(len)),
            Reach::Verified => Ok(None),
            Reach::Anew => {
                self.job.anew.store(true, Ordering::Relaxed);
                Err(ErrorKind::Cancelled {}.into())
            }
            // The pull tells why.
            Reach::Failed => Err(ErrorKind::Cancelled {}.into()),
        }
    }

    /// The blob itself, to read ranges of; what is read so is hashed by nobody.
    pub(super) fn packed(&self) -> &Packed {
        &self.packed
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Tells how far it is; not of the last bytes, which are not verified yet.
    pub(super) fn tell(&mut self) {
        let size = self.job.local.descriptor.size;
        if self.position >= self.told + (1 << 20) && self.position < size {
            self.told = self.position;
            self.job.workshop.progress.decoded(self.job.layer, self.position, size);
        }
    }

    /// The format of a blob that begins with these bytes. If there is no such format, what is wrong with the blob itself
    /// comes first.
    pub(super) fn format(self, first: &[u8]) -> Result<(Self, Format)> {
        match Format::detect(&first[..first.len().min(Format::MAGIC_BYTES)]) {
            Ok(format) => Ok((self, format)),
            Err(error) => Err(self.fault(error)),
        }
    }

    /// What is to be told of a fault that was met in the blob: what is wrong with the blob itself, if anything, comes
    /// before what is wrong inside it.
    pub(super) fn fault(self, error: Error) -> Error {
        if !error.is_content() {
            return error;
        }
        self.verify_rest().err().unwrap_or(error)
    }

    /// Reads what is left and verifies all of it.
    pub(super) fn verify_rest(mut self) -> Result<()> {
        let mut buffer = vec![0; PIECE];
        while self.read(&mut buffer)? > 0 {}
        self.verify().map(drop)
    }

    /// Verifies it when all of it has been read. Answers its digest, and the blob to read ranges of.
    pub(super) fn verify(mut self) -> Result<(Digest, Packed)> {
        let Descriptor { digest, size: expected, .. } = self.job.local.descriptor;
        let digest = match self.trust {
            Trust::Own(verifier) => verifier.finish()?,
            _ if self.position != expected => {
                return Err(ErrorKind::SizeMismatch { expected, actual: self.position }.into());
            }
            _ => {
                while self.wait(u64::MAX)?.is_some() {}
                digest
            }
        };
        Ok((digest, self.packed))
    }
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

    /// Works on the layer, and does so again where its blob began anew on its way: what was read of it before is void.
    /// How often that may be is up to the pull.
    pub(super) fn until_it_holds<T>(&self, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            let done = work();
            if done.is_ok() || !self.take_anew() {
                return done;
            }
        }
    }

    /// Whether the work failed since its blob began anew. Asked once.
    pub(super) fn take_anew(&self) -> bool {
        self.anew.swap(false, Ordering::Relaxed)
    }

    /// The blob, and its first bytes, which are read: as many at least as tell its format.
    pub(super) fn open(&self) -> Result<(Blob<'_>, Vec<u8>)> {
        let (packed, trust) = self.source()?;
        let mut blob = Blob { job: self, packed, trust, position: 0, told: 0 };
        let mut first = vec![0; PIECE];
        let mut filled = 0;
        while filled < Format::MAGIC_BYTES {
            match blob.read(first.get_mut(filled..).unwrap_or_default())? {
                0 => break,
                n => filled += n,
            }
        }
        first.truncate(filled);
        Ok((blob, first))
    }

    /// Where the blob is to be read, as soon as there is something of it.
    fn source(&self) -> Result<(Packed, Trust)> {
        let descriptor = &self.local.descriptor;
        let of_file = || {
            let packed = Packed::open(self.local)?;
            match packed.len()? {
                actual if actual == descriptor.size => Ok(packed),
                actual => Err(Error::from(ErrorKind::SizeMismatch { expected: descriptor.size, actual })),
            }
        };
        let Some(arriving) = &self.local.arriving else {
            return Ok((of_file()?, Trust::Own(self.verifier())));
        };
        loop {
            self.go_on()?;
            match arriving.find(&descriptor.digest, descriptor.size) {
                Found::There => return Ok((of_file()?, Trust::Own(self.verifier()))),
                Found::Verified => return Ok((of_file()?, Trust::Verified)),
                Found::Coming(incoming) => {
                    let file = incoming
                        .file()
                        .try_clone()
                        .map_err(|error| io_error("opening a layer", Some(&self.local.blob.path), &error))?;
                    return Ok((Packed::of_file(file, self.local), Trust::Coming(incoming)));
                }
                Found::Awaited => thread::sleep(LOOK),
                // The pull tells why.
                Found::Failed => return Err(ErrorKind::Cancelled {}.into()),
            }
        }
    }

    fn verifier(&self) -> Verifier {
        let descriptor = &self.local.descriptor;
        Verifier::new(&NativeHashes, descriptor.digest, Some(descriptor.size))
    }

    /// The format that the media type says.
    fn expected(&self) -> Option<Format> {
        Format::of_media_type(self.local.descriptor.media_type.as_str())
    }

    /// What decodes the layer.
    pub(super) fn decoder(&self) -> Decoder<'static> {
        Decoder::new(&NativeCodecs, self.expected(), self.workshop.limits)
    }

    /// What [`Decoder::mismatch`] says of a layer of so many bytes without compression, where nothing decodes it.
    pub(super) fn mismatch_of_plain(&self, len: u64) -> Option<FormatMismatch> {
        let expected = self.expected().filter(|expected| *expected != Format::Identity && len > 0)?;
        Some(FormatMismatch { expected, actual: Format::Identity })
    }

    /// What scans it.
    pub(super) fn scan(&self) -> Scan {
        Scan::new(self.layer, self.workshop.limits).with_blob(self.local.descriptor.digest)
    }

    pub(super) fn diff_algorithm(&self) -> Algorithm {
        self.diff_id.map_or(Algorithm::Sha256, |id| id.algorithm())
    }

    /// What is known of it when all of it was decoded and this is the digest of what came out, which is checked.
    pub(super) fn report(&self, decoder: &Decoder<'_>, diff_id: Digest) -> Result<LayerReport> {
        check_diff_id(self.diff_id, diff_id)?;
        Ok(LayerReport {
            diff_id,
            tar_bytes: decoder.written(),
            format: decoder.format().unwrap_or(Format::Identity),
            mismatch: decoder.mismatch(),
        })
    }

    /// Tells that it is what it should be.
    pub(super) fn tell_verified(&self) {
        let size = self.local.descriptor.size;
        self.workshop.progress.decoded(self.layer, size, size);
    }

    /// Decodes a blob of which `input` is read: this thread reads, hashes the blob and decodes; another hands what comes
    /// out to `keep`. Answers the blob when it is verified, or `None` if `keep` had enough of it before.
    pub(super) fn through(
        &self,
        mut blob: Blob<'_>,
        decoder: &mut Decoder<'_>,
        input: Vec<u8>,
        mut keep: impl FnMut(&[u8]) -> Result<Flow> + Send,
    ) -> Result<Option<Packed>> {
        let (full, pieces) = sync_channel::<Vec<u8>>(PIECES);
        let (back, empty) = sync_channel::<Vec<u8>>(PIECES);
        let keep_all = move || {
            for piece in pieces {
                if keep(&piece)? == Flow::Enough {
                    return Ok(Flow::Enough);
                }
                // Nobody wants it back when all is decoded.
                let _ = back.send(piece);
            }
            Ok(Flow::More)
        };
        let (inflated, kept) = thread::scope(|scope| {
            let keeper = scope.spawn(keep_all);
            let inflated = inflate(&mut blob, decoder, input, &full, &empty);
            // Ends the keeper.
            drop(full);
            (inflated, keeper.join())
        });
        let kept = kept.unwrap_or_else(|_| {
            Err(ErrorKind::Internal { reason: "a thread has panicked".to_owned() }.into())
        });
        match (inflated, kept) {
            // What went wrong later is in bytes that nobody wants.
            (_, Ok(Flow::Enough)) => Ok(None),
            (Ok(()), Ok(Flow::More)) => blob.verify().map(|(_, packed)| Some(packed)),
            // The keeper's failure made the channel close: it comes first.
            (_, Err(error)) | (Err(error), Ok(Flow::More)) => Err(blob.fault(error)),
        }
    }
}

/// Decodes the blob, piece by piece; ends early without an error when nobody takes them any more.
fn inflate(
    blob: &mut Blob<'_>,
    decoder: &mut Decoder<'_>,
    mut input: Vec<u8>,
    full: &SyncSender<Vec<u8>>,
    empty: &Receiver<Vec<u8>>,
) -> Result<()> {
    let mut made = 0;
    let mut piece = Vec::new();
    let mut filled = 0;
    loop {
        let mut taken = 0;
        loop {
            if piece.is_empty() {
                // So many in all, made when they are needed first.
                piece = match empty.try_recv() {
                    Ok(piece) => piece,
                    Err(_) if made < PIECES => {
                        made += 1;
                        Vec::new()
                    }
                    Err(_) => match empty.recv() {
                        Ok(piece) => piece,
                        Err(_) => return Ok(()),
                    },
                };
                piece.resize(PIECE, 0);
                filled = 0;
            }
            let step = if input.is_empty() {
                decoder.finish(&mut piece[filled..])
            } else {
                decoder.process(&input[taken..], &mut piece[filled..])
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
        input.resize(PIECE, 0);
        let n = blob.read(&mut input)?;
        input.truncate(n);
    }
}
