//! Deflate decoding (RFC 1951).
//!
//! What is decoded goes straight to the caller's output; matches look back in it, and only what they may need of earlier
//! outputs is kept ([`window`]). Most symbols are decoded in a loop that is far from all ends ([`fast`]); near them, one
//! after the other, each only once all its bits have come.

/// The reason of an error.
macro_rules! invalid {
    ($why:literal) => {
        concat!("the deflate data is invalid: ", $why)
    };
}

mod bits;
mod block;
#[allow(
    clippy::indexing_slicing,
    reason = "indices are masked to the arrays' lengths, or inside the output by its margin"
)]
mod fast;
mod output;
#[allow(clippy::indexing_slicing, reason = "indices are masked to the arrays' lengths, or constants")]
mod tables;
#[cfg(test)]
mod tests;
mod window;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

pub(super) use super::WINDOW;
use super::{Checkpoint, Inflate, Inflated};
use bits::{Bits, mask};
pub use block::Block;
use output::Output;
use tables::{
    DIST_BITS, DIST_SYMBOLS, END, EXCEPTION, LENGTHS_SYMBOLS, LITERAL, LITLEN_BITS, LITLEN_SYMBOLS, Lengths,
    SECOND, Tables,
};
use window::Window;

const NO_LITLEN: &str = invalid!("no such literal or length");
const NO_DIST: &str = invalid!("no such distance");
const TOO_FAR: &str = invalid!("a distance reaches behind the beginning");

/// The order in which the lengths of the codes for code lengths come (section 3.2.7).
const LENGTHS_ORDER: [u8; LENGTHS_SYMBOLS] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Where in the stream the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bits before the first block, which are not its own.
    Inside(u32),
    /// Before a block.
    Header,
    /// Before the lengths of a stored block.
    StoredLength,
    /// So many bytes of a stored block follow.
    Stored(u32),
    /// Before the numbers of codes.
    Dynamic,
    /// In the lengths of the codes for code lengths, of which so many have come.
    Lengths(u8),
    /// In the code lengths, of which so many have come.
    CodeLengths(u16),
    /// Before a literal or length; whether by the fixed codes.
    Symbols {
        fixed: bool,
    },
    /// In a match.
    Match {
        fixed: bool,
        dist: u16,
        len: u16,
    },
    Done,
}

/// What a step waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Input,
    Output,
    /// Nothing: the stream is over.
    End,
}

/// Decodes raw deflate.
///
/// It refuses what zlib refuses: codes that are over-subscribed or incomplete, but for one of a single bit, and symbols
/// and distances that there are not.
pub struct Inflater {
    state: State,
    /// Bits of the input that came before what they are needed for.
    held: (u64, u32),
    /// Whether the block at hand is the last one.
    last: bool,
    /// Numbers of the codes for literals and lengths, for distances and for code lengths.
    numbers: (usize, usize, usize),
    lens: [u8; LITLEN_SYMBOLS + DIST_SYMBOLS],
    lengths: Box<Lengths>,
    tables: Box<Tables>,
    /// Made when first needed.
    fixed: Option<Box<Tables>>,
    window: Window,
    /// Bytes taken and given before this step.
    taken: u64,
    given: u64,
    /// Where the block at hand begins: bits of the input, bytes of the output. How far before it it refers, as found in
    /// the steps before this one.
    begin: (u64, u64),
    /// Where the block before ended, in bits of the input.
    end: u64,
    reach: usize,
    blocks: Option<Vec<Block>>,
    marks: Option<Marks>,
}

/// Checkpoints that are noted on the way.
struct Marks {
    every: u64,
    /// Byte of this stream's output at which the next one is due.
    due: u64,
    made: Vec<Checkpoint>,
}

impl Inflater {
    /// At the beginning of a stream.
    pub fn new() -> Inflater {
        Inflater {
            state: State::Header,
            held: (0, 0),
            last: false,
            numbers: (0, 0, 0),
            lens: [0; LITLEN_SYMBOLS + DIST_SYMBOLS],
            lengths: Box::new([0; _]),
            tables: Box::new(Tables::EMPTY),
            fixed: None,
            window: Window::new(),
            taken: 0,
            given: 0,
            begin: (0, 0),
            end: 0,
            reach: 0,
            blocks: None,
            marks: None,
        }
    }

    /// At a block that begins behind so many bits, 7 at most, of the first byte, with the bytes that it may refer to.
    pub(super) fn resume(bits: u32, window: &[u8]) -> Inflater {
        let mut inflater = Inflater::new();
        inflater.state = State::Inside(bits & 7);
        inflater.window.keep(window);
        inflater
    }

    /// From the first bit of the last block's header to behind its last bit, once the stream is over.
    pub(super) fn last_block(&self) -> Option<Range<u64>> {
        (self.state == State::Done).then_some(self.begin.0..self.end)
    }

    /// Goes on until there is something to wait for.
    fn step(&mut self, bits: &mut Bits<'_>, output: &mut Output<'_>) -> Result<Wait, &'static str> {
        loop {
            match self.state {
                State::Inside(n) => {
                    if bits.take(n).is_none() {
                        return Ok(Wait::Input);
                    }
                    self.state = State::Header;
                }
                State::Header => {
                    if self.last {
                        self.state = State::Done;
                        continue;
                    }
                    bits.refill();
                    self.begin = (self.bit(bits), self.given + output.at as u64);
                    self.reach = 0;
                    output.forget_reach();
                    let Some(header) = bits.take(3) else { return Ok(Wait::Input) };
                    self.mark(output);
                    self.last = header & 1 != 0;
                    self.state = match header >> 1 {
                        0 => State::StoredLength,
                        1 => {
                            if self.fixed.is_none() {
                                self.fixed = Some(Box::new(Tables::fixed()?));
                            }
                            State::Symbols { fixed: true }
                        }
                        2 => State::Dynamic,
                        _ => return Err(invalid!("no such type of block")),
                    };
                }
                State::StoredLength => {
                    bits.refill();
                    let padding = bits.count & 7;
                    if bits.count < padding + 32 {
                        return Ok(Wait::Input);
                    }
                    bits.skip(padding);
                    let lengths = bits.take(32).unwrap_or_default();
                    let (len, complement) = (lengths & 0xffff, lengths >> 16);
                    if len != complement ^ 0xffff {
                        return Err(invalid!("the length of a stored block does not match its complement"));
                    }
                    bits.give_back();
                    self.state = State::Stored(len);
                }
                State::Stored(0) => self.end_block(bits, output, true),
                State::Stored(left) => {
                    let input = bits.input.get(bits.at..).unwrap_or_default();
                    let n = (left as usize).min(input.len()).min(output.room());
                    if n == 0 {
                        return Ok(if output.room() == 0 { Wait::Output } else { Wait::Input });
                    }
                    output.extend(input.get(..n).unwrap_or_default());
                    bits.at += n;
                    self.state = State::Stored(left - n as u32);
                }
                State::Dynamic => {
                    let Some(numbers) = bits.take(14) else { return Ok(Wait::Input) };
                    let litlen = (numbers & 31) as usize + 257;
                    let dist = (numbers >> 5 & 31) as usize + 1;
                    if litlen > 286 || dist > 30 {
                        return Err(invalid!("more codes than there are symbols"));
                    }
                    self.numbers = (litlen, dist, (numbers >> 10) as usize + 4);
                    self.lens = [0; _];
                    self.state = State::Lengths(0);
                }
                State::Lengths(at) => {
                    // They stand where the code lengths come to stand afterwards.
                    for i in usize::from(at)..self.numbers.2 {
                        let Some(len) = bits.take(3) else {
                            self.state = State::Lengths(i as u8);
                            return Ok(Wait::Input);
                        };
                        let symbol = LENGTHS_ORDER.get(i).copied().unwrap_or_default();
                        if let Some(to) = self.lens.get_mut(usize::from(symbol)) {
                            *to = len as u8;
                        }
                    }
                    let lens = self.lens.first_chunk().unwrap_or(&[0; LENGTHS_SYMBOLS]);
                    tables::fill_lengths(&mut self.lengths, lens)?;
                    self.state = State::CodeLengths(0);
                }
                State::CodeLengths(at) => {
                    if let Some(at) = self.code_lengths(usize::from(at), bits)? {
                        self.state = State::CodeLengths(at as u16);
                        return Ok(Wait::Input);
                    }
                    let (litlen, dist, _) = self.numbers;
                    self.tables.fill(self.lens.get(..litlen + dist).unwrap_or_default(), litlen)?;
                    self.state = State::Symbols { fixed: false };
                }
                State::Symbols { fixed } => {
                    let tables = self.fixed.as_ref().filter(|_| fixed).unwrap_or(&self.tables);
                    // Nothing behind the first 32 KiB of a block can refer to what is before it.
                    let begun = self.given + output.at as u64 - self.begin.1;
                    let stop = if self.blocks.is_some() && begun < WINDOW as u64 {
                        let until = output.at + WINDOW - begun as usize;
                        fast::run::<true>(tables, bits, output, until)?
                    } else {
                        fast::run::<false>(tables, bits, output, usize::MAX)?
                    };
                    if stop == fast::Stop::End {
                        self.end_block(bits, output, false);
                    } else if let Some(wait) = self.symbol(fixed, bits, output)? {
                        return Ok(wait);
                    }
                }
                State::Match { fixed, dist, len } => {
                    let copied = output.repeat(usize::from(dist), usize::from(len)) as u16;
                    if copied < len {
                        self.state = State::Match { fixed, dist, len: len - copied };
                        return Ok(Wait::Output);
                    }
                    self.state = State::Symbols { fixed };
                }
                State::Done => return Ok(Wait::End),
            }
        }
    }

    /// Reads the code lengths from the one `at` on. Answers which one is next if the input ends before the last one.
    fn code_lengths(&mut self, mut at: usize, bits: &mut Bits<'_>) -> Result<Option<usize>, &'static str> {
        let (litlen, dist, _) = self.numbers;
        let lens = self.lens.get_mut(..litlen + dist).unwrap_or_default();
        while at < lens.len() {
            bits.refill();
            let index = (bits.buffer & mask(tables::LENGTHS_BITS)) as usize;
            let entry = self.lengths.get(index).copied().unwrap_or_default();
            let (symbol, code) = (entry >> 16, entry & 63);
            let (extra, least) = match symbol {
                16 => (2, 3),
                17 => (3, 3),
                18 => (7, 11),
                _ => (0, 1),
            };
            let more = (bits.buffer >> code & mask(extra)) as usize;
            if !bits.skip(code + extra) {
                return Ok(Some(at));
            }
            let len = match symbol {
                0..16 => symbol as u8,
                16 => {
                    let before = at.checked_sub(1).and_then(|at| lens.get(at));
                    *before.ok_or(invalid!("a repeated code length before the first one"))?
                }
                _ => 0,
            };
            let end = at + least + more;
            lens.get_mut(at..end).ok_or(invalid!("more code lengths than codes"))?.fill(len);
            at = end;
        }
        Ok(None)
    }

    /// Decodes one symbol near the end of the input or the output.
    fn symbol(
        &mut self,
        fixed: bool,
        bits: &mut Bits<'_>,
        output: &mut Output<'_>,
    ) -> Result<Option<Wait>, &'static str> {
        let tables = self.fixed.as_ref().filter(|_| fixed).unwrap_or(&self.tables);
        bits.refill();
        let (mut buffer, mut used) = (bits.buffer, 0);
        let mut code = |table: &[u32], first: u32| {
            let entry_at = |index: u64| table.get(index as usize).copied().unwrap_or(EXCEPTION);
            let mut entry = entry_at(buffer & mask(first));
            if entry & SECOND != 0 && entry & LITERAL == 0 {
                buffer >>= first;
                used += first;
                entry = entry_at(u64::from(entry >> 16) + (buffer & mask(entry >> 8 & 15)));
            }
            let before = buffer;
            buffer >>= entry & 63;
            used += entry & 63;
            (entry, before, used)
        };
        let (entry, before, used) = code(&tables.litlen, LITLEN_BITS);
        if used > bits.count {
            return Ok(Some(Wait::Input));
        }
        if entry & LITERAL != 0 {
            if output.room() == 0 {
                return Ok(Some(Wait::Output));
            }
            output.extend(&[(entry >> 16) as u8]);
            bits.skip(used);
            return Ok(None);
        }
        if entry & EXCEPTION != 0 {
            if entry & END == 0 {
                return Err(NO_LITLEN);
            }
            bits.skip(used);
            self.end_block(bits, output, false);
            return Ok(None);
        }
        let len = fast::value(entry, before);
        let (entry, before, used) = code(&tables.dist, DIST_BITS);
        if used > bits.count {
            return Ok(Some(Wait::Input));
        }
        if entry & EXCEPTION != 0 {
            return Err(NO_DIST);
        }
        let dist = fast::value(entry, before);
        if !output.reaches(dist) {
            return Err(TOO_FAR);
        }
        bits.skip(used);
        self.state = State::Match { fixed, dist: dist as u16, len: len as u16 };
        Ok(None)
    }

    /// Notes a checkpoint before the block that begins, if one is due.
    fn mark(&mut self, output: &Output<'_>) {
        let (bit, byte) = self.begin;
        let Some(marks) = self.marks.as_mut().filter(|marks| byte >= marks.due) else { return };
        let own = output.bytes.get(output.at.saturating_sub(WINDOW)..output.at).unwrap_or_default();
        let before = output.history;
        let before = before.get(before.len().saturating_sub(WINDOW - own.len())..).unwrap_or_default();
        marks.made.push(Checkpoint { bit, byte, window: [before, own].concat() });
        marks.due = byte.saturating_add(marks.every);
    }

    /// Where in the stream the bits are.
    fn bit(&self, bits: &Bits<'_>) -> u64 {
        (self.taken + bits.at as u64).saturating_mul(8).saturating_sub(u64::from(bits.count))
    }

    /// How far the block at hand refers to what is before it.
    fn reach(&self, output: &Output<'_>) -> usize {
        self.reach.max(output.reach(self.begin.1 as i64 - self.given as i64))
    }

    fn end_block(&mut self, bits: &Bits<'_>, output: &Output<'_>, stored: bool) {
        self.state = State::Header;
        self.end = self.bit(bits);
        if self.blocks.is_none() {
            return;
        }
        let (bit, byte) = self.begin;
        let reach = self.reach(output) as u64;
        let block = Block::new(bit..self.end, byte..self.given + output.at as u64, reach);
        let last = self.last;
        if let (Some(block), Some(blocks)) = (block, &mut self.blocks) {
            blocks.push(block.with_last(last).with_stored(stored));
        }
    }
}

impl Inflate for Inflater {
    fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<Inflated, &'static str> {
        let mut window = core::mem::replace(&mut self.window, Window::empty());
        let mut bits = Bits::new(input, self.held);
        let mut made = Output::new(output, window.bytes());
        let wait = self.step(&mut bits, &mut made);
        if wait != Ok(Wait::Input) {
            bits.give_back();
        }
        self.held = bits.rest();
        self.taken += bits.at as u64;
        self.reach = self.reach(&made);
        let written = made.at;
        self.given += written as u64;
        window.keep(output.get(..written).unwrap_or_default());
        self.window = window;
        let wait = wait?;
        Ok(Inflated { read: bits.at, written, done: wait == Wait::End })
    }

    fn reset(&mut self) {
        self.state = State::Header;
        self.held = (0, 0);
        self.last = false;
        self.window.clear();
        if let Some(marks) = &mut self.marks {
            marks.made.clear();
            marks.due = marks.due.saturating_sub(self.given);
        }
        (self.taken, self.given) = (0, 0);
        if let Some(blocks) = &mut self.blocks {
            blocks.clear();
        }
    }

    fn report_blocks(&mut self) -> bool {
        self.blocks = Some(Vec::new());
        true
    }

    fn take_blocks(&mut self, to: &mut Vec<Block>) {
        if let Some(blocks) = &mut self.blocks {
            to.append(blocks);
        }
    }

    fn note_checkpoints(&mut self, every: u64) -> bool {
        self.marks = Some(Marks { every, due: every, made: Vec::new() });
        true
    }

    fn take_checkpoints(&mut self, to: &mut Vec<Checkpoint>) {
        if let Some(marks) = &mut self.marks {
            to.append(&mut marks.made);
        }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Inflater::new()
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("state", &self.state).finish_non_exhaustive()
    }
}
