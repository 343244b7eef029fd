//! Sources, selections of them, and a driver that keeps what the machine says it has to keep.

use std::vec;
use std::vec::Vec;

use miniz_oxide::deflate::core::create_comp_flags_from_zip_params;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, compress_to_output};

use super::puff::{Found, puff};
use crate::codec::splice::{Bits, Block, Encoded, Join, KEPT_BYTES, Origin, Part, Splice, encode};
use crate::codec::{gzip_header, gzip_trailer};

/// Numbers that hang on the seed.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % end.max(1)
    }
}

/// Bytes as layers have them: words, what came before again, zeros, noise.
pub(super) fn content(len: usize, chance: &mut Chance) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::with_capacity(len);
    while bytes.len() < len {
        let n = (len - bytes.len()).min(1 + chance.below(3000) as usize);
        match chance.below(5) {
            0 => bytes.extend((0..n).map(|_| chance.below(256) as u8)),
            1 => bytes.resize(bytes.len() + n, 0),
            2 if !bytes.is_empty() => {
                let back = 1 + chance.below(bytes.len().min(40_000) as u64) as usize;
                for _ in 0..n {
                    bytes.push(bytes[bytes.len() - back]);
                }
            }
            _ => bytes.extend((0..n).map(|_| b"aabeeilnorst \n/_"[chance.below(16) as usize])),
        }
    }
    bytes
}

/// Adds a gzip member of `plain`: at a miniz level, or by another strategy, flushed now and then.
pub(super) fn pack(plain: &[u8], level: i32, strategy: i32, piece: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&gzip_header(6));
    let mut deflate = CompressorOxide::new(create_comp_flags_from_zip_params(level, -15, strategy));
    let mut give = |piece: &[u8], flush| {
        compress_to_output(&mut deflate, piece, flush, |bytes| {
            out.extend_from_slice(bytes);
            true
        });
    };
    for piece in plain.chunks(piece.max(1)) {
        give(piece, TDEFLFlush::Sync);
    }
    give(&[], TDEFLFlush::Finish);
    out.extend_from_slice(&gzip_trailer(crc32fast::hash(plain), plain.len() as u64));
}

/// Something that the output is made from.
pub(super) struct Source {
    pub(super) plain: Vec<u8>,
    pub(super) packed: Vec<u8>,
    pub(super) blocks: Vec<Found>,
}

impl Source {
    pub(super) fn of(packed: Vec<u8>) -> Source {
        let puffed = puff(&packed);
        Source { plain: puffed.bytes, packed, blocks: puffed.blocks }
    }

    pub(super) fn random(chance: &mut Chance) -> Source {
        let mut packed = Vec::new();
        for _ in 0..1 + chance.below(3) {
            let len = chance.below(300_000) as usize;
            let plain = content(len, chance);
            let piece = if chance.below(2) == 0 { usize::MAX } else { 3000 + chance.below(100_000) as usize };
            // Strategies: default, filtered, Huffman only, run lengths, fixed codes.
            let (level, strategy) = (chance.below(10) as i32, chance.below(5) as i32);
            pack(&plain, level, strategy, piece, &mut packed);
        }
        Source::of(packed)
    }

    fn reported(&self) -> Vec<Block> {
        self.blocks.iter().filter_map(Found::block).collect()
    }
}

/// Bytes of the output that follow each other.
pub(super) enum Segment {
    Plain(Vec<u8>),
    Of { source: usize, from: usize, to: usize },
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Segment::Plain(bytes) => bytes.len(),
            Segment::Of { from, to, .. } => to - from,
        }
    }
}

/// How the driver hands over what it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// All blocks first, segments whole.
    Known,
    /// Segments whole, each with the blocks that are known then.
    Whole,
    /// Random pieces, each with the blocks that are known then, at the last moment or a little before.
    Streamed,
    /// Pieces of few bytes.
    Bytes,
}

pub(super) struct World {
    pub(super) sources: Vec<Source>,
    pub(super) segments: Vec<Segment>,
}

impl World {
    pub(super) fn random(sources: Vec<Source>, chance: &mut Chance) -> World {
        let mut segments = Vec::new();
        let mut at = vec![0; sources.len()];
        for _ in 0..1 + chance.below(12) {
            let source = chance.below(sources.len() as u64) as usize;
            let len = sources[source].plain.len();
            // On from where it was left, mostly; a run that ends where a block ends, sometimes.
            let from = if chance.below(5) == 0 { chance.below(len as u64 + 1) as usize } else { at[source] };
            let mut to = from + chance.below((len - from) as u64 + 1) as usize;
            if chance.below(3) == 0 {
                let ends = sources[source].blocks.iter().map(|block| block.bytes.end as usize);
                to = ends.filter(|end| *end >= from).find(|_| chance.below(2) == 0).unwrap_or(len);
            }
            at[source] = to;
            segments.push(Segment::Of { source, from, to });
            match chance.below(4) {
                0 => segments.push(Segment::Plain(content(512 * chance.below(8) as usize, chance))),
                1 => at[source] = (to + 512).min(len),
                2 => at[source] = 0,
                _ => {}
            }
        }
        World { sources, segments }
    }

    /// What it should decode to.
    pub(super) fn output(&self) -> Vec<u8> {
        let mut output = Vec::new();
        for segment in &self.segments {
            match segment {
                Segment::Plain(bytes) => output.extend_from_slice(bytes),
                Segment::Of { source, from, to } => {
                    output.extend_from_slice(&self.sources[*source].plain[*from..*to]);
                }
            }
        }
        output
    }

    /// Drives the machine, and answers the gzip file and the parts.
    pub(super) fn splice(&self, way: Way, chance: &mut Chance) -> (Vec<u8>, Vec<Part>) {
        let (mut splice, mut join) = (Splice::new(), Join::new());
        let (mut out, mut parts, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        join.begin(6, &mut out);
        let tables: Vec<Vec<Block>> = self.sources.iter().map(Source::reported).collect();
        let mut handed = vec![0; tables.len()];
        if way == Way::Known {
            for (source, table) in tables.iter().enumerate() {
                table.iter().for_each(|block| splice.handle_block(source, *block));
                handed[source] = table.len();
            }
        }
        for segment in &self.segments {
            let mut done = 0;
            while done < segment.len() {
                let left = segment.len() - done;
                let n = match way {
                    Way::Known | Way::Whole => left,
                    Way::Streamed => left.min(1 + chance.below(100_000) as usize),
                    Way::Bytes => left.min(1 + chance.below(700) as usize),
                };
                let origin = match segment {
                    Segment::Plain(bytes) => {
                        kept.extend_from_slice(&bytes[done..done + n]);
                        None
                    }
                    Segment::Of { source, from, .. } => {
                        let (source, offset) = (*source, from + done);
                        let early = if chance.below(2) == 0 { 0 } else { chance.below(200_000) };
                        let known = (offset + n) as u64 + early;
                        while let Some(block) = tables[source].get(handed[source])
                            && block.bytes().end < known
                        {
                            splice.handle_block(source, *block);
                            handed[source] += 1;
                        }
                        kept.extend_from_slice(&self.sources[source].plain[offset..offset + n]);
                        Some(Origin { source, offset: offset as u64 })
                    }
                };
                let before = kept.len() - n;
                splice.handle_bytes(n as u64, origin);
                done += n;
                self.write(&mut splice, &mut join, &mut kept, &mut parts, &mut out, chance);
                assert!(kept.len() <= KEPT_BYTES as usize, "{} of {before} and {n} are kept", kept.len());
            }
        }
        splice.finish();
        self.write(&mut splice, &mut join, &mut kept, &mut parts, &mut out, chance);
        assert!(kept.is_empty());
        join.finish(&mut out);
        (out, parts)
    }

    fn write(
        &self,
        splice: &mut Splice,
        join: &mut Join,
        kept: &mut Vec<u8>,
        parts: &mut Vec<Part>,
        out: &mut Vec<u8>,
        chance: &mut Chance,
    ) {
        while let Some(part) = splice.poll_part() {
            assert!(!part.is_empty());
            let bytes: Vec<u8> = kept.drain(..part.len() as usize).collect();
            match &part {
                Part::Encode { .. } => join.encoded(&encode(&bytes, 6).unwrap(), out),
                Part::Copy { source, bits, bytes: range } => {
                    let source = &self.sources[*source];
                    assert!(bytes == source.plain[range.start as usize..range.end as usize]);
                    let mut from = bits.start;
                    while from < bits.end {
                        // As a driver reads it: whole bytes from somewhere.
                        let to = bits.end.min(from + 1 + chance.below(200_000));
                        let first = (from / 8) as usize;
                        let read = &source.packed[first..to.div_ceil(8) as usize];
                        let base = first as u64 * 8;
                        join.copy(Bits::new(read, from - base, to - base), from == bits.start, out);
                        from = to;
                    }
                    join.sum(crc32fast::hash(&bytes), bytes.len() as u64);
                }
                Part::Stored { source, at, bytes: range } => {
                    let content = &self.sources[*source].packed[*at as usize..][..bytes.len()];
                    assert!(content == bytes);
                    assert_eq!(range.end - range.start, bytes.len() as u64);
                    join.stored(content, out);
                    join.sum(crc32fast::hash(&bytes), bytes.len() as u64);
                }
            }
            parts.push(part);
        }
    }

    /// The parts where every source has this table.
    pub(super) fn parts_of_wrong_tables(&self, blocks: &[Block]) -> Vec<Part> {
        let mut splice = Splice::new();
        let mut parts = Vec::new();
        for source in 0..self.sources.len() {
            blocks.iter().for_each(|block| splice.handle_block(source, *block));
        }
        for segment in &self.segments {
            let origin = match segment {
                Segment::Plain(_) => None,
                Segment::Of { source, from, .. } => Some(Origin { source: *source, offset: *from as u64 }),
            };
            splice.handle_bytes(segment.len() as u64, origin);
        }
        splice.finish();
        let mut join = Join::new();
        while let Some(part) = splice.poll_part() {
            // Bits that are not there are not read.
            if let Part::Copy { source, bits, .. } = &part {
                join.copy(
                    Bits::new(&self.sources[*source].packed, bits.start, bits.end),
                    true,
                    &mut Vec::new(),
                );
            }
            parts.push(part);
        }
        parts
    }
}

/// A piece as an encoder gives it.
pub(super) fn piece(bytes: &[u8]) -> Encoded {
    encode(bytes, 6).unwrap()
}
