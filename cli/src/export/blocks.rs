//! The output in blocks of fixed size, compressed side by side and written in order.
//!
//! Each block is a gzip member or a zstd frame of its own, so that the bytes hang on neither the number of threads nor
//! their timing (L26), and no block waits for another.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use libdeflater::{CompressionLvl, Compressor};
use wharfie_core::codec::Format;
use wharfie_core::error::{Error, ErrorKind, Result};

use super::fill::{Fill, stopped};
use super::output::Output;
use crate::drive::Cancel;
use crate::fault::io_error;
use crate::layers::Spool;

#[cfg(test)]
mod tests;

/// Threads that compress at most: with the largest blocks and all their buffers they keep below 100 MiB.
pub(super) const WORKERS: usize = 12;

/// How often who waits for a block looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// Packs blocks.
enum Packer {
    Copy,
    Gzip(Compressor),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Packer {
    fn new(format: Format, level: i32) -> Result<Packer> {
        let internal = |reason: String| Error::from(ErrorKind::Internal { reason });
        Ok(match format {
            Format::Identity => Packer::Copy,
            Format::Gzip => {
                let level = CompressionLvl::new(level)
                    .map_err(|error| internal(format!("libdeflate, level {level}: {error:?}")))?;
                Packer::Gzip(Compressor::new(level))
            }
            Format::Zstd => {
                let mut packer = zstd::bulk::Compressor::new(level)
                    .map_err(|error| internal(format!("libzstd, level {level}: {error}")))?;
                packer.include_checksum(true).map_err(|error| internal(format!("libzstd: {error}")))?;
                Packer::Zstd(packer)
            }
            _ => return Err(ErrorKind::UnsupportedCompression { format: format.to_string() }.into()),
        })
    }

    fn pack(&mut self, block: &mut Block) -> Result<()> {
        let Block { plain, packed, .. } = block;
        packed.clear();
        match self {
            Packer::Copy => std::mem::swap(plain, packed),
            Packer::Gzip(packer) => {
                packed.resize(packer.gzip_compress_bound(plain.len()), 0);
                let n = packer
                    .gzip_compress(plain, packed)
                    .map_err(|error| ErrorKind::Internal { reason: format!("libdeflate: {error}") })?;
                packed.truncate(n);
            }
            Packer::Zstd(packer) => {
                packed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
                packer
                    .compress_to_buffer(plain, packed)
                    .map_err(|error| ErrorKind::Internal { reason: format!("libzstd: {error}") })?;
            }
        }
        Ok(())
    }
}

/// Bytes of a block. Small enough to keep all processors busy and memory small, large enough to lose little: against
/// one stream gzip loses nothing at 1 MiB, zstd -3 one hundredth at 4 MiB.
fn block_size(format: Format, level: i32) -> usize {
    match format {
        Format::Zstd if level > 12 => 8 << 20,
        Format::Zstd => 4 << 20,
        _ => 1 << 20,
    }
}

/// A block on its way: from the filler to a worker to the writer and back.
struct Block {
    number: u64,
    /// All that was written before it is taken back.
    cuts: bool,
    plain: Vec<u8>,
    packed: Vec<u8>,
}

/// Takes the bytes of the output in order.
pub(super) struct Filler<'f> {
    free: Receiver<Block>,
    work: Sender<Block>,
    block: Option<Block>,
    number: u64,
    size: usize,
    position: u64,
    cancel: &'f Cancel,
    tell: &'f (dyn Fn(u64) + Sync),
}

/// What comes next, or nothing when all have come. Packing a block can take seconds: a cancel does not wait for it.
pub(super) fn wait<T>(from: &Receiver<T>, cancel: &Cancel) -> Result<Option<T>> {
    loop {
        let next = from.recv_timeout(LOOK);
        // Looked at last: workers that stop because of it look like workers that are done.
        if cancel.is_cancelled() {
            return Err(stopped());
        }
        match next {
            Ok(next) => return Ok(Some(next)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

impl Filler<'_> {
    fn block(&mut self) -> Result<&mut Block> {
        if self.block.is_none() {
            let mut block = wait(&self.free, self.cancel)?.ok_or_else(stopped)?;
            block.number = self.number;
            block.cuts = false;
            block.plain.clear();
            block.plain.reserve_exact(self.size);
            self.number += 1;
            self.block = Some(block);
        }
        self.block.as_mut().ok_or_else(stopped)
    }

    /// Hands the block on if it is full, or at the end.
    fn pass(&mut self, ends: bool) -> Result<()> {
        let size = self.size;
        if let Some(block) = self.block.take_if(|block| ends || block.plain.len() == size) {
            self.position += block.plain.len() as u64;
            self.work.send(block).map_err(|_| stopped())?;
            (self.tell)(self.position);
        }
        Ok(())
    }
}

impl Fill for Filler<'_> {
    /// Blocks cannot be taken back in part.
    fn cut(&mut self, _held: u64) -> Result<u64> {
        let block = self.block()?;
        block.plain.clear();
        block.cuts = true;
        self.position = 0;
        Ok(0)
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        let size = self.size;
        while !bytes.is_empty() {
            let plain = &mut self.block()?.plain;
            let (now, later) = bytes.split_at(bytes.len().min(size - plain.len()));
            plain.extend_from_slice(now);
            bytes = later;
            self.pass(false)?;
        }
        Ok(())
    }

    fn zeros(&mut self, mut len: u64) -> Result<()> {
        let size = self.size;
        while len > 0 {
            let plain = &mut self.block()?.plain;
            let n = (size - plain.len()).min(usize::try_from(len).unwrap_or(usize::MAX));
            plain.resize(plain.len() + n, 0);
            len -= n as u64;
            self.pass(false)?;
        }
        Ok(())
    }

    fn copy(&mut self, _layer: usize, spool: &Spool, mut from: u64, to: u64) -> Result<()> {
        let size = self.size;
        while from < to {
            let plain = &mut self.block()?.plain;
            let filled = plain.len();
            let n = (size - filled).min(usize::try_from(to - from).unwrap_or(usize::MAX));
            plain.resize(filled + n, 0);
            spool.read(&mut plain[filled..], from)?;
            from += n as u64;
            self.pass(false)?;
        }
        Ok(())
    }
}

/// Writes what `fill` gives, compressed. Answers the bytes written, and what `fill` answers.
///
/// After a cancel or a failure no further block is begun, and nobody waits for those that are being packed: their threads
/// end by themselves when they have. To pack a block in pieces that can be given up would change its bytes, as libzstd
/// cuts its own blocks by what it is given at once.
pub(super) fn write<T>(
    output: &mut Output,
    (format, level): (Format, i32),
    jobs: usize,
    cancel: &Cancel,
    tell: &(dyn Fn(u64) + Sync),
    fill: impl FnOnce(&mut dyn Fill) -> Result<T>,
) -> Result<(u64, T)> {
    let workers = if format == Format::Identity { 1 } else { jobs.clamp(1, WORKERS) };
    let (free_to, free) = channel();
    // One is filled, one is written, and each worker has one.
    for _ in 0..workers + 2 {
        // The receiver is here.
        let _ = free_to.send(Block { number: 0, cuts: false, plain: Vec::new(), packed: Vec::new() });
    }
    let (work, waiting) = channel();
    let waiting = Arc::new(Mutex::new(waiting));
    let (done, packed) = channel();
    let size = block_size(format, level);
    let mut filler = Filler { free, work, block: None, number: 0, size, position: 0, cancel, tell };
    let mut packing = Vec::with_capacity(workers);
    for number in 0..workers {
        let (waiting, done, cancel) = (Arc::clone(&waiting), done.clone(), cancel.clone());
        let worker = thread::Builder::new()
            .name(format!("pack-{number}"))
            .spawn(move || pack_blocks(format, level, &waiting, &done, &cancel))
            .map_err(|error| io_error("starting a thread", None, &error))?;
        packing.push(worker);
    }
    drop(done);
    let (filled, written) = thread::scope(|scope| {
        let writer = scope.spawn(move || write_in_order(output, &packed, &free_to, cancel));
        let filled = fill(&mut filler).and_then(|made| filler.pass(true).map(|()| made));
        // Ends the workers, and they the writer.
        drop(filler);
        (filled, writer.join())
    });
    let panicked = || Error::from(ErrorKind::Internal { reason: "a thread has panicked".to_owned() });
    let written = written.unwrap_or_else(|_| Err(panicked()));
    match (filled, written) {
        (Ok(made), Ok(written)) => {
            // They have ended already, or the writer would not have.
            for worker in packing {
                worker.join().map_err(|_| panicked())?;
            }
            Ok((written, made))
        }
        // The filler stops when the writer has: the writer knows why.
        (_, Err(error)) | (Err(error), Ok(_)) => Err(error),
    }
}

fn pack_blocks(
    format: Format,
    level: i32,
    waiting: &Mutex<Receiver<Block>>,
    done: &Sender<Result<Block>>,
    cancel: &Cancel,
) {
    let mut packer = match Packer::new(format, level) {
        Ok(packer) => packer,
        Err(error) => {
            // If nobody listens, the writer has failed before.
            let _ = done.send(Err(error));
            return;
        }
    };
    loop {
        let block = match waiting.lock() {
            Ok(waiting) => waiting.recv(),
            Err(_) => return,
        };
        let Ok(mut block) = block else { return };
        if cancel.is_cancelled() {
            return;
        }
        let packed = packer.pack(&mut block);
        if done.send(packed.map(|()| block)).is_err() {
            return;
        }
    }
}

fn write_in_order(
    output: &mut Output,
    packed: &Receiver<Result<Block>>,
    free: &Sender<Block>,
    cancel: &Cancel,
) -> Result<u64> {
    let mut early = BTreeMap::new();
    let (mut next, mut written) = (0, 0);
    while let Some(block) = wait(packed, cancel)? {
        let block = block?;
        early.insert(block.number, block);
        while let Some(block) = early.remove(&next) {
            if block.cuts {
                output.cut(0)?;
                written = 0;
            }
            output.write(&block.packed)?;
            written += block.packed.len() as u64;
            next += 1;
            // Nobody wants it back when all is filled.
            let _ = free.send(block);
        }
    }
    Ok(written)
}
