//! tar.gz out of gzip layers: what survives of their deflate blocks is copied bit for bit, and only what lies between is
//! packed anew ([`wharfie_core::codec::splice`]).
//!
//! The filler decides; pieces are packed side by side; the writer joins copies and pieces in order into one gzip member.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use libdeflater::{CompressionLvl, Compressor};
use wharfie_core::codec::splice::{self, Bits, Encoded, Join, PIECE_BYTES, Part, Splice};
use wharfie_core::codec::{Block, Format};
use wharfie_core::error::{Error, ErrorKind, Result};

use super::ExportOptions;
use super::blocks::{WORKERS, wait};
use super::fill::{Fill, Origin, stopped};
use super::output::Output;
use crate::drive::Cancel;
use crate::fault::io_error;
use crate::layers::{LayerReport, LocalImage, Packed, Spool};

#[cfg(test)]
mod tests;

/// The level of a whole piece: where that much is packed anew there is little to copy, and the ratio hangs on it.
const LEVEL: i32 = 4;

/// The level of less than a piece. Between two copies time counts: most of the output was packed before.
const LEVEL_BETWEEN: i32 = 1;

/// Bytes of a blob read at once. Small enough to stay in a processor's cache until they are written.
const READ: u64 = 128 << 10;

/// Bytes read from a spool at once.
const READ_SPOOL: usize = 256 << 10;

/// Bytes behind which the kept ones are moved to the front.
const SPENT: usize = 8 << 20;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Bytes written.
    pub(super) bytes: u64,
    /// Of the uncompressed bytes, those that were copied as they were packed.
    pub(super) copied: u64,
}

/// Bytes that were told and are in no part yet.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    spent: usize,
}

impl Kept {
    /// So many more at the end, to be filled.
    fn grow(&mut self, len: usize) -> &mut [u8] {
        if self.spent >= SPENT || self.spent == self.bytes.len() {
            self.bytes.drain(..self.spent);
            self.spent = 0;
        }
        let at = self.bytes.len();
        self.bytes.resize(at + len, 0);
        &mut self.bytes[at..]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.grow(bytes.len()).copy_from_slice(bytes);
    }

    /// The next ones, which are let go.
    fn take(&mut self, len: u64) -> Result<&[u8]> {
        let end = usize::try_from(len).ok().and_then(|len| self.spent.checked_add(len));
        let taken = end.and_then(|end| self.bytes.get(self.spent..end));
        let taken = taken.ok_or_else(|| internal("a part is longer than what was told"))?;
        self.spent += taken.len();
        Ok(taken)
    }
}

/// One part on its way to the writer.
struct Job {
    number: u64,
    work: Work,
}

enum Work {
    /// Bytes that come from a worker when they are encoded, and a buffer for what comes of them.
    Encode { plain: Vec<u8>, packed: Vec<u8> },
    /// The same when it is done; the first is free again.
    Encoded { plain: Vec<u8>, piece: Encoded },
    /// Bits of a blob, with the CRC-32 and the length of what they give.
    Copy { blob: Packed, bits: std::ops::Range<u64>, crc: u32, len: u64 },
    /// Bytes of a blob, as they are.
    Stored { blob: Packed, at: u64, crc: u32, len: u64 },
    /// Nothing: what was written before is taken back.
    Cut,
}

/// Two buffers that go round: plain bytes, and packed ones.
type Buffers = (Vec<u8>, Vec<u8>);

/// Takes the bytes of the output in order.
struct Filler<'f> {
    splice: Splice,
    /// Those of the layers whose blocks were told, by layer.
    blobs: BTreeMap<usize, Packed>,
    kept: Kept,
    free: Receiver<Buffers>,
    work: Sender<Job>,
    done: Sender<Result<Job>>,
    number: u64,
    position: u64,
    copied: u64,
    cancel: &'f Cancel,
    tell: &'f (dyn Fn(u64) + Sync),
}

impl Filler<'_> {
    /// Hands on the parts that are known by now.
    fn pass(&mut self) -> Result<()> {
        while let Some(part) = self.splice.poll_part() {
            let number = self.number;
            self.number += 1;
            self.position += part.len();
            let copied = match part {
                Part::Encode { len } => {
                    let (mut plain, packed) = wait(&self.free, self.cancel)?.ok_or_else(stopped)?;
                    plain.clear();
                    plain.extend_from_slice(self.kept.take(len)?);
                    let job = Job { number, work: Work::Encode { plain, packed } };
                    self.work.send(job).map_err(|_| stopped())?;
                    (self.tell)(self.position);
                    continue;
                }
                Part::Copy { source, bits, bytes } => {
                    let len = bytes.end - bytes.start;
                    let crc = crc32fast::hash(self.kept.take(len)?);
                    self.copied += len;
                    Work::Copy { blob: self.blob(source)?, bits, crc, len }
                }
                Part::Stored { source, at, bytes } => {
                    let len = bytes.end - bytes.start;
                    let crc = crc32fast::hash(self.kept.take(len)?);
                    self.copied += len;
                    Work::Stored { blob: self.blob(source)?, at, crc, len }
                }
            };
            self.done.send(Ok(Job { number, work: copied })).map_err(|_| stopped())?;
            (self.tell)(self.position);
        }
        // Nothing else would notice where all is copied.
        if self.cancel.is_cancelled() { Err(stopped()) } else { Ok(()) }
    }

    fn blob(&self, layer: usize) -> Result<Packed> {
        self.blobs.get(&layer).cloned().ok_or_else(|| internal("a layer without a blob"))
    }

    fn told(&mut self, origin: Option<Origin>, len: usize) -> Result<()> {
        let origin = origin.map(|Origin { layer, offset }| splice::Origin { source: layer, offset });
        self.splice.handle_bytes(len as u64, origin);
        self.pass()
    }

    fn finish(&mut self) -> Result<()> {
        self.splice.finish();
        self.pass()
    }
}

impl Fill for Filler<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(PIECE_BYTES as usize) {
            self.kept.push(piece);
            self.told(None, piece.len())?;
        }
        Ok(())
    }

    fn zeros(&mut self, mut len: u64) -> Result<()> {
        while len > 0 {
            let n = len.min(PIECE_BYTES);
            self.kept.grow(n as usize);
            self.told(None, n as usize)?;
            len -= n;
        }
        Ok(())
    }

    fn take(&mut self, origin: Origin, bytes: &[u8]) -> Result<()> {
        self.kept.push(bytes);
        self.told(Some(origin), bytes.len())
    }

    fn blocks(&mut self, layer: usize, blob: &Packed, blocks: &[Block]) {
        self.blobs.entry(layer).or_insert_with(|| blob.clone());
        for block in blocks {
            self.splice.handle_block(layer, *block);
        }
    }

    /// Parts cannot be taken back in part.
    fn cut(&mut self, _held: u64) -> Result<u64> {
        self.splice.rewind();
        self.kept = Kept::default();
        (self.position, self.copied) = (0, 0);
        let number = self.number;
        self.number += 1;
        self.done.send(Ok(Job { number, work: Work::Cut })).map_err(|_| stopped())?;
        Ok(0)
    }

    fn copy(&mut self, layer: usize, spool: &Spool, mut from: u64, to: u64) -> Result<()> {
        while from < to {
            let n = READ_SPOOL.min(usize::try_from(to - from).unwrap_or(usize::MAX));
            spool.read(self.kept.grow(n), from)?;
            self.told(Some(Origin { layer, offset: from }), n)?;
            from += n as u64;
        }
        Ok(())
    }
}

/// Whether the output may be made of the layers' own deflate blocks: it is a tar.gz at no level in particular.
pub(super) fn may_fit(options: &ExportOptions) -> bool {
    options.format == Format::Gzip && options.level.is_none()
}

/// Whether that is best: at least half of the layers' bytes are gzip. Known before anything is decoded, so that all routes
/// to an output agree; of layers that are still on their way, their media types have to do, and [`fits_as_found`] is asked
/// when they have come.
pub(super) fn fits(image: &LocalImage, options: &ExportOptions) -> bool {
    may_fit(options)
        && is_mostly_gzip(image.layers.iter().map(|layer| {
            let is_gzip = match &layer.arriving {
                None => Packed::open(layer).is_ok_and(|blob| blob.format() == Some(Format::Gzip)),
                Some(_) => Format::of_media_type(layer.descriptor.media_type.as_str()) == Some(Format::Gzip),
            };
            (is_gzip, layer.descriptor.size)
        }))
}

/// The same of layers that have been decoded.
pub(super) fn fits_as_found(image: &LocalImage, options: &ExportOptions, layers: &[LayerReport]) -> bool {
    let layers = layers.iter().zip(&image.layers);
    may_fit(options)
        && is_mostly_gzip(
            layers.map(|(report, layer)| (report.format == Format::Gzip, layer.descriptor.size)),
        )
}

fn is_mostly_gzip(layers: impl Iterator<Item = (bool, u64)>) -> bool {
    let (mut gzip, mut total) = (0_u64, 0_u64);
    for (is_gzip, size) in layers {
        total = total.saturating_add(size);
        if is_gzip {
            gzip = gzip.saturating_add(size);
        }
    }
    gzip > 0 && gzip >= total - gzip
}

/// Writes what `fill` gives as one gzip member. Answers what was written, and what `fill` answers.
///
/// After a cancel or a failure no further piece is begun.
pub(super) fn write<T>(
    output: &mut Output,
    jobs: usize,
    cancel: &Cancel,
    tell: &(dyn Fn(u64) + Sync),
    fill: impl FnOnce(&mut dyn Fill) -> Result<T>,
) -> Result<(Written, T)> {
    let workers = jobs.clamp(1, WORKERS);
    let (free_to, free) = channel();
    // One is filled, one is written, and each worker has one.
    for _ in 0..workers + 2 {
        // The receiver is here.
        let _ = free_to.send(Buffers::default());
    }
    let (work, waiting) = channel();
    let waiting = Arc::new(Mutex::new(waiting));
    let (done, packed) = channel();
    let mut packing = Vec::with_capacity(workers);
    for number in 0..workers {
        let (waiting, done, cancel) = (Arc::clone(&waiting), done.clone(), cancel.clone());
        let worker = thread::Builder::new()
            .name(format!("pack-{number}"))
            .spawn(move || encode_pieces(&waiting, &done, &cancel))
            .map_err(|error| io_error("starting a thread", None, &error))?;
        packing.push(worker);
    }
    let mut filler = Filler {
        splice: Splice::new(),
        blobs: BTreeMap::new(),
        kept: Kept::default(),
        free,
        work,
        done,
        number: 0,
        position: 0,
        copied: 0,
        cancel,
        tell,
    };
    let (filled, written) = thread::scope(|scope| {
        let writer = scope.spawn(move || write_in_order(output, &packed, &free_to, cancel));
        let filled = fill(&mut filler).and_then(|made| filler.finish().map(|()| (filler.copied, made)));
        // Ends the workers, and they the writer.
        drop(filler);
        (filled, writer.join())
    });
    let panicked = || Error::from(ErrorKind::Internal { reason: "a thread has panicked".to_owned() });
    let written = written.unwrap_or_else(|_| Err(panicked()));
    match (filled, written) {
        (Ok((copied, made)), Ok(bytes)) => {
            // They have ended already, or the writer would not have.
            for worker in packing {
                worker.join().map_err(|_| panicked())?;
            }
            Ok((Written { bytes, copied }, made))
        }
        // The filler stops when the writer has: the writer knows why.
        (_, Err(error)) | (Err(error), Ok(_)) => Err(error),
    }
}

fn internal(reason: &str) -> Error {
    ErrorKind::Internal { reason: reason.to_owned() }.into()
}

/// Packs a piece by libdeflate, which can only end a stream: that end is opened again.
fn encode(compressor: &mut Compressor, plain: &[u8], mut packed: Vec<u8>) -> Result<Encoded> {
    packed.clear();
    packed.resize(compressor.deflate_compress_bound(plain.len()), 0);
    let n = compressor
        .deflate_compress(plain, &mut packed)
        .map_err(|error| ErrorKind::Internal { reason: format!("libdeflate: {error}") })?;
    packed.truncate(n);
    Encoded::reopened(packed, plain)
}

fn encode_pieces(waiting: &Mutex<Receiver<Job>>, done: &Sender<Result<Job>>, cancel: &Cancel) {
    let (mut whole, mut between) = match (CompressionLvl::new(LEVEL), CompressionLvl::new(LEVEL_BETWEEN)) {
        (Ok(whole), Ok(between)) => (Compressor::new(whole), Compressor::new(between)),
        (Err(error), _) | (_, Err(error)) => {
            // If nobody listens, the writer has failed before.
            let _ = done.send(Err(internal(&format!("libdeflate, level {LEVEL}: {error:?}"))));
            return;
        }
    };
    loop {
        let job = match waiting.lock() {
            Ok(waiting) => waiting.recv(),
            Err(_) => return,
        };
        let Ok(Job { number, work }) = job else { return };
        if cancel.is_cancelled() {
            return;
        }
        let result = match work {
            Work::Encode { plain, packed } => {
                let compressor = if plain.len() as u64 == PIECE_BYTES { &mut whole } else { &mut between };
                encode(compressor, &plain, packed)
                    .map(|piece| Job { number, work: Work::Encoded { plain, piece } })
            }
            other => Ok(Job { number, work: other }),
        };
        if done.send(result).is_err() {
            return;
        }
    }
}

fn write_in_order(
    output: &mut Output,
    done: &Receiver<Result<Job>>,
    free: &Sender<Buffers>,
    cancel: &Cancel,
) -> Result<u64> {
    let mut writer = Writer { output, join: Join::new(), read: Vec::new(), out: Vec::new(), written: 0 };
    writer.begin();
    let mut early = BTreeMap::new();
    let mut next = 0;
    while let Some(job) = wait(done, cancel)? {
        let job = job?;
        early.insert(job.number, job.work);
        while let Some(work) = early.remove(&next) {
            writer.part(work, free, cancel)?;
            next += 1;
        }
    }
    writer.finish()
}

/// Joins parts.
struct Writer<'w> {
    output: &'w mut Output,
    join: Join,
    /// Bytes of a blob.
    read: Vec<u8>,
    /// Bytes of the output.
    out: Vec<u8>,
    written: u64,
}

impl Writer<'_> {
    fn begin(&mut self) {
        self.join = Join::new();
        self.out.clear();
        self.join.begin(LEVEL, &mut self.out);
    }

    fn part(&mut self, work: Work, free: &Sender<Buffers>, cancel: &Cancel) -> Result<()> {
        match work {
            Work::Cut => {
                self.output.cut(0)?;
                self.written = 0;
                self.begin();
            }
            Work::Encode { .. } => return Err(internal("a piece that was not encoded")),
            Work::Encoded { plain, piece } => {
                self.join.encoded(&piece, &mut self.out);
                // Nobody wants it back when all is filled.
                let _ = free.send((plain, piece.into_bytes()));
                self.flush()?;
            }
            Work::Copy { blob, bits, crc, len } => {
                let mut from = bits.start;
                while from < bits.end {
                    if cancel.is_cancelled() {
                        return Err(stopped());
                    }
                    let byte = from / 8;
                    let to = bits.end.min((byte + READ) * 8);
                    self.read(&blob, byte, to.div_ceil(8))?;
                    let bits_read = Bits::new(&self.read, from - byte * 8, to - byte * 8);
                    self.join.copy(bits_read, from == bits.start, &mut self.out);
                    self.flush()?;
                    from = to;
                }
                self.join.sum(crc, len);
            }
            Work::Stored { blob, at, crc, len } => {
                self.read(&blob, at, at + len)?;
                self.join.stored(&self.read, &mut self.out);
                self.join.sum(crc, len);
                self.flush()?;
            }
        }
        Ok(())
    }

    fn read(&mut self, blob: &Packed, from: u64, to: u64) -> Result<()> {
        let len = usize::try_from(to - from).map_err(|_| internal("a piece larger than the memory"))?;
        self.read.resize(len, 0);
        blob.read(&mut self.read, from)
    }

    fn flush(&mut self) -> Result<()> {
        self.output.write(&self.out)?;
        self.written += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<u64> {
        std::mem::take(&mut self.join).finish(&mut self.out);
        self.flush()?;
        Ok(self.written)
    }
}
