//! Deflate blocks from anywhere, one behind another at any bit.

use alloc::vec::Vec;
use core::fmt;

use super::Encoded;
use crate::codec::{gzip_header, gzip_trailer};

/// Some of the bits of some bytes, the lowest bit of the first byte first.
#[derive(Clone, Copy)]
pub struct Bits<'b> {
    bytes: &'b [u8],
    from: u64,
    to: u64,
}

impl<'b> Bits<'b> {
    /// From bit `from` to behind bit `to` of `bytes`, or as many as there are.
    pub fn new(bytes: &'b [u8], from: u64, to: u64) -> Bits<'b> {
        let to = to.min((bytes.len() as u64).saturating_mul(8));
        Bits { bytes, from: from.min(to), to }
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.to - self.from
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }
}

impl fmt::Debug for Bits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bits({}..{} of {} bytes)", self.from, self.to, self.bytes.len())
    }
}

/// Writes one gzip member out of parts. What there is to write is put at the end of the `out` of each call; bits of a
/// byte that is not full yet wait here.
///
/// For each part, whoever knows its bytes' CRC-32 tells it ([`Join::sum`]); an [`Encoded`] knows its own.
#[derive(Clone, Debug, Default)]
pub struct Join {
    /// The bits that wait, below 2^count.
    waiting: u8,
    /// 0 to 7.
    count: u32,
    crc: crc32fast::Hasher,
    len: u64,
}

impl Join {
    /// Before the header.
    pub fn new() -> Join {
        Join::default()
    }

    /// Writes the header; first of all. `level` is what the pieces are encoded at.
    pub fn begin(&mut self, level: i32, out: &mut Vec<u8>) {
        out.extend_from_slice(&gzip_header(level));
    }

    /// Copies the next bits of a [`Part::Copy`](super::Part::Copy), in pieces of any size. `first` says that the part
    /// begins here: its first bit marks the last block of a stream, and is cleared.
    pub fn copy(&mut self, bits: Bits<'_>, first: bool, out: &mut Vec<u8>) {
        let Bits { bytes, mut from, to } = bits;
        if first && from < to {
            self.put(0, 1, out);
            from += 1;
        }
        let byte =
            |at: u64| usize::try_from(at / 8).ok().and_then(|at| bytes.get(at)).copied().unwrap_or_default();
        if from % 8 != 0 {
            let taken = (8 - from % 8).min(to - from) as u32;
            self.put(byte(from) >> (from % 8), taken, out);
            from += u64::from(taken);
        }
        let range = (from / 8) as usize..(to / 8) as usize;
        if let Some(whole) = bytes.get(range)
            && from < to
        {
            self.bytes(whole, out);
            from = from.max(to / 8 * 8);
        }
        if from < to {
            self.put(byte(from), (to - from) as u32, out);
        }
    }

    /// Writes bytes that are stored, not packed, in as many blocks as they take.
    pub fn stored(&mut self, content: &[u8], out: &mut Vec<u8>) {
        for block in content.chunks(0xffff) {
            self.stored_header(block.len() as u16, out);
            out.extend_from_slice(block);
        }
    }

    /// Writes a piece, and adds up its CRC-32.
    pub fn encoded(&mut self, piece: &Encoded, out: &mut Vec<u8>) {
        if piece.at_byte && self.count > 0 {
            // A stored block of no bytes ends at a byte.
            self.stored_header(0, out);
        }
        self.copy(Bits::new(&piece.bytes, 0, piece.bits), false, out);
        self.sum(piece.crc, piece.len);
    }

    /// What was copied or stored since has `len` bytes with this CRC-32.
    pub fn sum(&mut self, crc: u32, len: u64) {
        self.crc.combine(&crc32fast::Hasher::new_with_initial_len(crc, len));
        self.len = self.len.wrapping_add(len);
    }

    /// Writes the end: a last block of no bytes, and the trailer.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        // Last, fixed codes, end of block: 1, 01, 0000000.
        self.put(0b011, 8, out);
        self.put(0, 2, out);
        self.fill(out);
        out.extend_from_slice(&gzip_trailer(self.crc.finalize(), self.len));
    }

    /// The beginning of a stored block, not the last one, up to its content.
    fn stored_header(&mut self, len: u16, out: &mut Vec<u8>) {
        self.put(0, 3, out);
        self.fill(out);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
    }

    /// Up to the next byte, with zeros.
    fn fill(&mut self, out: &mut Vec<u8>) {
        if self.count > 0 {
            self.put(0, 8 - self.count, out);
        }
    }

    /// The lowest bits, at most 8.
    fn put(&mut self, bits: u8, count: u32, out: &mut Vec<u8>) {
        let kept = u16::from(bits) & ((1 << count.min(8)) - 1);
        let both = u16::from(self.waiting) | kept << self.count;
        self.count += count.min(8);
        let [low, high] = both.to_le_bytes();
        if self.count >= 8 {
            out.push(low);
            self.waiting = high;
            self.count -= 8;
        } else {
            self.waiting = low;
        }
    }

    /// Whole bytes, eight at a time.
    fn bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.count == 0 {
            out.extend_from_slice(bytes);
            return;
        }
        let shift = self.count;
        let begun = out.len();
        out.resize(begun + bytes.len(), 0);
        let (words, rest) = bytes.as_chunks::<8>();
        let (to_words, to_rest) = out.get_mut(begun..).unwrap_or_default().as_chunks_mut::<8>();
        let mut before = u64::from(self.waiting);
        for (to, word) in to_words.iter_mut().zip(words) {
            let word = u64::from_le_bytes(*word);
            *to = (word << shift | before).to_le_bytes();
            before = word >> (64 - shift);
        }
        for (to, byte) in to_rest.iter_mut().zip(rest) {
            let both = u64::from(*byte) << shift | before;
            *to = both as u8;
            before = both >> 8;
        }
        self.waiting = before as u8;
    }
}
