//! A plain inflater that says where blocks are: the judge of what is spliced, and slow.

use std::ops::Range;
use std::vec::Vec;

use crate::codec::Block;

/// What a gzip file holds.
#[derive(Default)]
pub(super) struct Puffed {
    pub(super) bytes: Vec<u8>,
    pub(super) blocks: Vec<Found>,
    pub(super) members: usize,
}

/// One deflate block, however small.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) bits: Range<u64>,
    pub(super) bytes: Range<u64>,
    pub(super) reach: u64,
    pub(super) last: bool,
    pub(super) kind: u32,
}

impl Found {
    pub(super) fn block(&self) -> Option<Block> {
        let block = Block::new(self.bits.clone(), self.bytes.clone(), self.reach)?;
        Some(block.with_last(self.last).with_stored(self.kind == 0))
    }
}

struct Reader<'r> {
    data: &'r [u8],
    at: u64,
}

impl Reader<'_> {
    fn bit(&mut self) -> u32 {
        let byte = self.data[(self.at / 8) as usize];
        let bit = byte >> (self.at % 8) & 1;
        self.at += 1;
        u32::from(bit)
    }

    fn bits(&mut self, count: u32) -> u32 {
        (0..count).fold(0, |bits, at| bits | self.bit() << at)
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }

    fn byte(&mut self) -> u8 {
        self.bits(8) as u8
    }
}

/// Codes by length: how many there are of each, and their symbols in order.
struct Codes {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Codes {
    fn new(lengths: &[u32]) -> Codes {
        let mut counts = [0; 16];
        let mut symbols = Vec::new();
        for len in 1..16 {
            let of = lengths.iter().enumerate().filter(|(_, length)| **length == len);
            let before = symbols.len();
            symbols.extend(of.map(|(symbol, _)| symbol));
            counts[len as usize] = symbols.len() - before;
        }
        Codes { counts, symbols }
    }

    fn next(&self, reader: &mut Reader<'_>) -> usize {
        let (mut code, mut first, mut index) = (0_usize, 0_usize, 0_usize);
        for len in 1..16 {
            code |= reader.bit() as usize;
            let count = self.counts[len];
            if code < first + count {
                return self.symbols[index + code - first];
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        panic!("no such code at bit {}", reader.at)
    }
}

const LENGTHS: [(u32, u32); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

fn codes(reader: &mut Reader<'_>, kind: u32) -> (Codes, Codes) {
    if kind == 1 {
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        return (Codes::new(&lengths), Codes::new(&[5; 30]));
    }
    let (literals, distances) = (reader.bits(5) as usize + 257, reader.bits(5) as usize + 1);
    let mut of_lengths = [0; 19];
    for at in 0..reader.bits(4) as usize + 4 {
        of_lengths[ORDER[at]] = reader.bits(3);
    }
    let of_lengths = Codes::new(&of_lengths);
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        let (len, times) = match of_lengths.next(reader) {
            16 => (*lengths.last().unwrap(), 3 + reader.bits(2)),
            17 => (0, 3 + reader.bits(3)),
            18 => (0, 11 + reader.bits(7)),
            len => (len as u32, 1),
        };
        lengths.extend((0..times).map(|_| len));
    }
    assert_eq!(lengths.len(), literals + distances);
    (Codes::new(&lengths[..literals]), Codes::new(&lengths[literals..]))
}

/// Reads gzip members without header fields, as our encoders here write them.
pub(super) fn puff(data: &[u8]) -> Puffed {
    let mut puffed = Puffed::default();
    let mut reader = Reader { data, at: 0 };
    while reader.at / 8 < data.len() as u64 {
        assert_eq!((reader.bits(16), reader.bits(16)), (0x8b1f, 8));
        reader.bits(24);
        reader.bits(24);
        let begun = puffed.bytes.len();
        while {
            let block = block(&mut reader, &mut puffed.bytes, begun);
            let goes_on = !block.last;
            puffed.blocks.push(block);
            goes_on
        } {}
        reader.align();
        let bytes = &puffed.bytes[begun..];
        assert_eq!(reader.bits(16) | reader.bits(16) << 16, crc32fast::hash(bytes));
        assert_eq!(reader.bits(16) | reader.bits(16) << 16, bytes.len() as u32);
        puffed.members += 1;
    }
    puffed
}

fn block(reader: &mut Reader<'_>, bytes: &mut Vec<u8>, begun: usize) -> Found {
    let (bit, byte) = (reader.at, bytes.len());
    let (last, kind) = (reader.bit() == 1, reader.bits(2));
    let mut reach = 0;
    if kind == 0 {
        reader.align();
        let (len, not) = (reader.bits(16), reader.bits(16));
        assert_eq!(len, !not & 0xffff);
        bytes.extend((0..len).map(|_| reader.byte()));
    } else {
        let (literals, distances) = codes(reader, kind);
        loop {
            match literals.next(reader) {
                256 => break,
                literal @ 0..256 => bytes.push(literal as u8),
                symbol => {
                    let (base, extra) = LENGTHS[symbol - 257];
                    let len = base + reader.bits(extra);
                    let symbol = distances.next(reader) as u32;
                    let extra = (symbol / 2).saturating_sub(1);
                    let base = if symbol < 4 { symbol + 1 } else { ((2 + symbol % 2) << extra) + 1 };
                    let distance = (base + reader.bits(extra)) as usize;
                    assert!(
                        distance <= bytes.len() - begun,
                        "a distance reaches behind the member's beginning"
                    );
                    reach = reach.max((distance + byte).saturating_sub(bytes.len()));
                    for _ in 0..len {
                        bytes.push(bytes[bytes.len() - distance]);
                    }
                }
            }
        }
    }
    Found { bits: bit..reader.at, bytes: byte as u64..bytes.len() as u64, reach: reach as u64, last, kind }
}
