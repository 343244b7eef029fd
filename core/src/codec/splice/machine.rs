//! Which blocks are copied.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::ops::Range;

use super::{Block, MAX_BLOCK_BYTES, Origin, PIECE_BYTES, Part};

/// A copy is handed out when it gives this much, though the next block may follow at once: who waits for it can let go
/// of its bytes.
const COPY_BYTES: u64 = PIECE_BYTES;

/// Bits before a stored block's content: its kind, and its length twice.
const STORED_HEADER_BITS: u64 = 3 + 32;

/// Bytes of one source that follow each other in the output as they do there. Positions are in the source's bytes.
#[derive(Clone, Copy, Debug)]
struct Run {
    source: usize,
    start: u64,
    /// What comes before it is in a part.
    decided: u64,
    end: u64,
    /// The first block that begins there or behind it.
    next: usize,
}

/// Decides which parts make the output. See the [module](super).
#[derive(Debug, Default)]
pub struct Splice {
    blocks: BTreeMap<usize, Vec<Block>>,
    run: Option<Run>,
    /// Bytes that are going to be encoded, and are in no part yet.
    encode: u64,
    /// A copy that may still grow; it comes before `encode`, and only one of the two is there.
    copy: Option<(usize, Range<u64>, Range<u64>)>,
    parts: VecDeque<Part>,
}

impl Splice {
    /// At the beginning of the output.
    pub fn new() -> Splice {
        Splice::default()
    }

    /// A block of a source, in the order in which they stand there. Positions are those of the whole source, whatever its
    /// members. A source without blocks is encoded.
    ///
    /// One that comes too late, or does not stand behind those before it, is not copied.
    pub fn handle_block(&mut self, source: usize, block: Block) {
        let blocks = self.blocks.entry(source).or_default();
        let follows = blocks.last().is_none_or(|last| {
            last.bits().end <= block.bits().start && last.bytes().end <= block.bytes().start
        });
        if follows {
            blocks.push(block);
        }
    }

    /// Goes back to the beginning of the output; the blocks stay known, and come into use again. Parts that were not
    /// polled are gone.
    pub fn rewind(&mut self) {
        *self = Splice { blocks: core::mem::take(&mut self.blocks), ..Splice::default() };
    }

    /// The source will not be told of again: its blocks can go.
    pub fn forget(&mut self, source: usize) {
        if self.run.is_some_and(|run| run.source == source) {
            self.end_run();
        }
        self.blocks.remove(&source);
    }

    /// So many bytes come next in the output: of a source, or of nowhere.
    pub fn handle_bytes(&mut self, len: u64, origin: Option<Origin>) {
        if len == 0 {
            return;
        }
        match (&mut self.run, origin) {
            (Some(run), Some(Origin { source, offset })) if run.source == source && run.end == offset => {
                run.end = run.end.saturating_add(len);
            }
            (_, Some(Origin { source, offset })) => {
                self.end_run();
                let next = self
                    .blocks
                    .get(&source)
                    .map_or(0, |blocks| blocks.partition_point(|block| block.bytes().start < offset));
                let end = offset.saturating_add(len);
                self.run = Some(Run { source, start: offset, decided: offset, end, next });
            }
            (_, None) => {
                self.end_run();
                self.encode(len);
            }
        }
        self.settle();
    }

    /// That was the last of the output.
    pub fn finish(&mut self) {
        self.end_run();
        self.end_copy();
        self.end_piece();
    }

    /// The next part that is known.
    pub fn poll_part(&mut self) -> Option<Part> {
        self.parts.pop_front()
    }

    /// Decides about what is known of the run, as far as it goes.
    fn settle(&mut self) {
        let Some(mut run) = self.run.take() else { return };
        while let Some(block) = self.blocks.get(&run.source).and_then(|blocks| blocks.get(run.next)).copied()
        {
            let bytes = block.bytes();
            if bytes.start < run.decided {
                // It came late.
                run.next += 1;
                continue;
            }
            // Not at the very end: whether the next byte would have come out of the same block is not known by then.
            if bytes.end >= run.end {
                break;
            }
            self.encode(bytes.start - run.decided);
            if bytes.start - run.start >= block.reach() && bytes.end - bytes.start <= MAX_BLOCK_BYTES {
                self.take(run.source, &block);
            } else {
                self.encode(bytes.end - bytes.start);
            }
            run.decided = bytes.end;
            run.next += 1;
        }
        // What is so far back is in no block that is still to be copied.
        let surely = run.end.saturating_sub(MAX_BLOCK_BYTES).saturating_sub(1);
        if surely > run.decided {
            self.encode(surely - run.decided);
            run.decided = surely;
        }
        self.run = Some(run);
    }

    fn end_run(&mut self) {
        if let Some(run) = self.run.take() {
            self.encode(run.end - run.decided);
        }
    }

    /// A block whose bytes come next, and which can be copied if its own form allows.
    fn take(&mut self, source: usize, block: &Block) {
        let (bits, bytes) = (block.bits(), block.bytes());
        let len = bytes.end - bytes.start;
        if block.is_stored() {
            let content = bits.end.checked_sub(len.saturating_mul(8));
            match content {
                Some(at) if at % 8 == 0 && at >= bits.start + STORED_HEADER_BITS && len <= 0xffff => {
                    self.end_piece();
                    self.end_copy();
                    self.parts.push_back(Part::Stored { source, at: at / 8, bytes });
                }
                _ => self.encode(len),
            }
            return;
        }
        self.end_piece();
        match &mut self.copy {
            // The last block of a member has a bit to be cleared, which is the first of what is copied.
            Some((of, to, gives))
                if *of == source && to.end == bits.start && gives.end == bytes.start && !block.is_last() =>
            {
                to.end = bits.end;
                gives.end = bytes.end;
            }
            _ => {
                self.end_copy();
                self.copy = Some((source, bits, bytes));
            }
        }
        if self.copy.as_ref().is_some_and(|(_, _, gives)| gives.end - gives.start >= COPY_BYTES) {
            self.end_copy();
        }
    }

    fn end_copy(&mut self) {
        if let Some((source, bits, bytes)) = self.copy.take() {
            self.parts.push_back(Part::Copy { source, bits, bytes });
        }
    }

    /// These bytes come next and are encoded.
    fn encode(&mut self, len: u64) {
        if len == 0 {
            return;
        }
        self.end_copy();
        let mut left = self.encode.saturating_add(len);
        while left >= PIECE_BYTES {
            self.parts.push_back(Part::Encode { len: PIECE_BYTES });
            left -= PIECE_BYTES;
        }
        self.encode = left;
    }

    fn end_piece(&mut self) {
        if self.encode > 0 {
            self.parts.push_back(Part::Encode { len: self.encode });
            self.encode = 0;
        }
    }
}
