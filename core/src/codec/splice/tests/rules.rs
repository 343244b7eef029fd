//! What is copied and what is not, case by case.

// Runs are lists of ranges, and one range is a list too.
#![allow(clippy::single_range_in_vec_init)]

use std::vec;
use std::vec::Vec;

use super::puff::puff;
use super::world::{Chance, Segment, Source, Way, World, content, pack, piece};
use crate::codec::Block;
use crate::codec::splice::{Bits, Encoded, Join, MAX_BLOCK_BYTES, Origin, PIECE_BYTES, Part, Splice};

const K: u64 = 1 << 10;

fn block(bits: core::ops::Range<u64>, bytes: core::ops::Range<u64>, reach: u64) -> Block {
    Block::new(bits, bytes, reach).unwrap()
}

/// The parts of runs of one source.
fn parts(blocks: &[Block], runs: &[core::ops::Range<u64>]) -> Vec<Part> {
    let mut splice = Splice::new();
    blocks.iter().for_each(|block| splice.handle_block(0, *block));
    for run in runs {
        splice.handle_bytes(run.end - run.start, Some(Origin { source: 0, offset: run.start }));
    }
    splice.finish();
    core::iter::from_fn(|| splice.poll_part()).collect()
}

fn copy(bits: core::ops::Range<u64>, bytes: core::ops::Range<u64>) -> Part {
    Part::Copy { source: 0, bits, bytes }
}

fn encode(len: u64) -> Part {
    Part::Encode { len }
}

#[test]
fn blocks_within_a_run_are_one_copy() {
    let blocks = [
        block(80..1000, 0..10 * K, 0),
        block(1000..2000, 10 * K..20 * K, 9 * K),
        block(2000..2500, 20 * K..30 * K, 1),
    ];
    assert_eq!(parts(&blocks, &[0..31 * K]), [copy(80..2500, 0..30 * K), encode(K)]);
}

#[test]
fn a_block_is_copied_only_with_all_that_it_refers_to() {
    let blocks = [block(80..1000, 0..40 * K, 0), block(1000..2000, 40 * K..60 * K, 32 * K)];
    assert_eq!(
        parts(&blocks, &[8 * K..70 * K]),
        [encode(32 * K), copy(1000..2000, 40 * K..60 * K), encode(10 * K)]
    );
    // One byte less.
    assert_eq!(parts(&blocks, &[8 * K + 1..70 * K]), [encode(62 * K - 1)]);
    // It refers to nothing before it: another member's beginning, say.
    let blocks = [block(80..1000, 0..40 * K, 0), block(1000..2000, 40 * K..60 * K, 0)];
    assert_eq!(parts(&blocks, &[40 * K..61 * K]), [copy(1000..2000, 40 * K..60 * K), encode(K)]);
}

#[test]
fn a_block_that_is_cut_is_encoded() {
    let blocks = [block(80..1000, 0..40 * K, 0), block(1000..2000, 40 * K..60 * K, 0)];
    assert_eq!(parts(&blocks, &[0..50 * K]), [copy(80..1000, 0..40 * K), encode(10 * K)]);
    assert_eq!(
        parts(&blocks, &[1..61 * K]),
        [encode(40 * K - 1), copy(1000..2000, 40 * K..60 * K), encode(K)]
    );
    // Where the run ends with the block, nobody who streams knows yet that the block ends there.
    assert_eq!(parts(&blocks, &[0..60 * K]), [copy(80..1000, 0..40 * K), encode(20 * K)]);
}

#[test]
fn runs_that_go_on_are_one() {
    let blocks = [block(80..1000, 0..40 * K, 0), block(1000..2000, 40 * K..60 * K, 32 * K)];
    let whole = parts(&blocks, &[0..61 * K]);
    assert_eq!(parts(&blocks, &[0..3, 3..40 * K, 40 * K..40 * K + 1, 40 * K + 1..61 * K]), whole);
    // The same bytes behind a gap are another run.
    assert_ne!(parts(&blocks, &[0..3, 4..61 * K]), whole);
}

#[test]
fn what_comes_between_ends_a_run() {
    let mut splice = Splice::new();
    splice.handle_block(0, block(80..1000, 0..40 * K, 0));
    splice.handle_block(0, block(1000..2000, 40 * K..60 * K, 1));
    splice.handle_bytes(40 * K, Some(Origin { source: 0, offset: 0 }));
    splice.handle_bytes(512, None);
    splice.handle_bytes(30 * K, Some(Origin { source: 0, offset: 40 * K }));
    splice.finish();
    let parts: Vec<Part> = core::iter::from_fn(|| splice.poll_part()).collect();
    assert_eq!(parts, [encode(70 * K + 512)]);
}

#[test]
fn what_is_begun_again_is_as_if_it_were_the_first_time() {
    let blocks = [block(80..1000, 0..40 * K, 0), block(1000..2000, 40 * K..60 * K, 32 * K)];
    let first = parts(&blocks, &[0..61 * K]);
    // Taken back in the middle of a copy, of a piece, and with parts that nobody has polled.
    for told in [1, 41 * K, 70 * K] {
        let mut splice = Splice::new();
        splice.handle_block(0, blocks[0]);
        splice.handle_bytes(told.min(40 * K), Some(Origin { source: 0, offset: 0 }));
        splice.handle_block(0, blocks[1]);
        splice.handle_bytes(told, Some(Origin { source: 0, offset: told.min(40 * K) }));
        splice.handle_bytes(3 * PIECE_BYTES, None);
        splice.rewind();
        assert_eq!(splice.poll_part(), None);
        splice.handle_bytes(61 * K, Some(Origin { source: 0, offset: 0 }));
        splice.finish();
        let again: Vec<Part> = core::iter::from_fn(|| splice.poll_part()).collect();
        assert_eq!(again, first);
    }
}

#[test]
fn the_last_block_of_a_member_begins_a_copy() {
    let last = block(1000..2000, 10 * K..20 * K, 0).with_last(true);
    let blocks = [block(80..1000, 0..10 * K, 0), last, block(2300..3000, 20 * K..30 * K, 0)];
    let expected = [
        copy(80..1000, 0..10 * K),
        copy(1000..2000, 10 * K..20 * K),
        copy(2300..3000, 20 * K..30 * K),
        encode(K),
    ];
    assert_eq!(parts(&blocks, &[0..31 * K]), expected);
}

#[test]
fn stored_blocks_go_by_their_content() {
    let stored = |bits, bytes| block(bits, bytes, 0).with_stored(true);
    let bits = 1000..1008 + 32 + 8 * 10 * K;
    let at = (bits.end / 8) - 10 * K;
    let blocks = [block(80..1000, 0..10 * K, 0), stored(bits.clone(), 10 * K..20 * K)];
    let content = Part::Stored { source: 0, at, bytes: 10 * K..20 * K };
    assert_eq!(parts(&blocks, &[0..21 * K]), [copy(80..1000, 0..10 * K), content, encode(K)]);
    // What no stored block can be is not copied.
    for bits in [bits.start..bits.end - 1, bits.start..bits.start + 8 * 10 * K, bits.end - 8..bits.end] {
        assert_eq!(parts(&[stored(bits, 10 * K..20 * K)], &[0..21 * K]), [encode(21 * K)]);
    }
    let long = stored(0..40 + 8 * 70 * K, 0..70 * K);
    assert_eq!(parts(&[long], &[0..71 * K]), [encode(71 * K)]);
}

#[test]
fn large_blocks_are_encoded_in_pieces() {
    let size = MAX_BLOCK_BYTES;
    assert_eq!(parts(&[block(0..100, 0..size, 0)], &[0..size + 1]), [copy(0..100, 0..size), encode(1)]);
    let large = [block(0..100, 0..size + 1, 0), block(100..200, size + 1..size + K * 9, 0)];
    assert_eq!(
        parts(&large, &[0..size + 10 * K]),
        [encode(PIECE_BYTES), encode(1), copy(100..200, size + 1..size + 9 * K), encode(K)]
    );
    assert_eq!(parts(&[], &[0..2 * PIECE_BYTES + 5]), [encode(PIECE_BYTES), encode(PIECE_BYTES), encode(5)]);
}

#[test]
fn a_copy_is_not_kept_back_for_long() {
    let blocks: Vec<Block> =
        (0..100).map(|at| block(at * 100..at * 100 + 100, at * 64 * K..(at + 1) * 64 * K, 0)).collect();
    let mut splice = Splice::new();
    blocks.iter().for_each(|block| splice.handle_block(0, *block));
    splice.handle_bytes(100 * 64 * K, Some(Origin { source: 0, offset: 0 }));
    let parts: Vec<Part> = core::iter::from_fn(|| splice.poll_part()).collect();
    assert_eq!(parts.len(), 6);
    assert!(parts.iter().all(|part| part.len() == PIECE_BYTES));
}

#[test]
fn late_and_disordered_blocks_are_left_out() {
    let mut splice = Splice::new();
    splice.handle_block(0, block(1000..2000, 40 * K..60 * K, 0));
    splice.handle_block(0, block(0..1000, 0..40 * K, 0));
    splice.handle_block(0, block(1500..2500, 60 * K..80 * K, 0));
    splice.handle_bytes(3 * MAX_BLOCK_BYTES, Some(Origin { source: 0, offset: 0 }));
    // Its bytes have been decided.
    splice.handle_block(0, block(3000..4000, 100 * K..120 * K, 0));
    splice.handle_bytes(1, Some(Origin { source: 0, offset: 3 * MAX_BLOCK_BYTES }));
    splice.finish();
    let parts: Vec<Part> = core::iter::from_fn(|| splice.poll_part()).collect();
    assert_eq!(parts.len(), 5);
    assert_eq!(parts[..2], [encode(40 * K), copy(1000..2000, 40 * K..60 * K)]);
    assert_eq!(parts.iter().map(Part::len).sum::<u64>(), 3 * MAX_BLOCK_BYTES + 1);
}

#[test]
fn a_source_that_is_let_go_is_encoded() {
    let mut splice = Splice::new();
    splice.handle_block(0, block(0..1000, 0..40 * K, 0));
    splice.handle_bytes(20 * K, Some(Origin { source: 0, offset: 0 }));
    splice.forget(0);
    splice.handle_bytes(30 * K, Some(Origin { source: 0, offset: 20 * K }));
    splice.finish();
    let parts: Vec<Part> = core::iter::from_fn(|| splice.poll_part()).collect();
    assert_eq!(parts, [encode(50 * K)]);
}

#[test]
fn bits_join_at_every_place() {
    let mut chance = Chance::new(7);
    let bytes: Vec<u8> = (0..100).map(|_| chance.below(256) as u8).collect();
    let bit = |at: u64| bytes[(at / 8) as usize] >> (at % 8) & 1;
    for from in 0..20 {
        for to in (from..60).chain(700..=800) {
            for before in 0..9 {
                let (mut join, mut out) = (Join::new(), Vec::new());
                join.copy(Bits::new(&[0xff, 0xff], 0, before), false, &mut out);
                join.copy(Bits::new(&bytes, from, to), true, &mut out);
                join.copy(Bits::new(&[0xff; 3], 0, 17), false, &mut out);
                let mut expected: Vec<u8> = vec![1; before as usize];
                expected.extend((from..to).map(|at| if at == from { 0 } else { bit(at) }));
                expected.extend([1; 17]);
                let met: Vec<u8> = (0..out.len() * 8).map(|at| out[at / 8] >> (at % 8) & 1).collect();
                assert_eq!(met, expected[..met.len()], "{from}..{to} behind {before}");
                assert!(expected.len() - met.len() < 8);
            }
        }
    }
}

#[test]
fn stored_blocks_and_pieces_find_their_byte() {
    let mut chance = Chance::new(1);
    let (text, noise) = (content(5000, &mut chance), vec![0xa5; 70_000]);
    let fixed_a = [0b0000_0010_u8, 0];
    for before in 0..3 {
        let (mut join, mut out) = (Join::new(), Vec::new());
        join.begin(6, &mut out);
        for _ in 0..before {
            // A fixed block of no bytes: ten bits.
            join.copy(Bits::new(&fixed_a, 0, 10), true, &mut out);
        }
        join.stored(&noise, &mut out);
        join.sum(crc32fast::hash(&noise), noise.len() as u64);
        join.copy(Bits::new(&fixed_a, 0, 10), true, &mut out);
        join.encoded(&piece(&text), &mut out);
        join.stored(&[], &mut out);
        join.encoded(&piece(&text), &mut out);
        join.finish(&mut out);
        let puffed = puff(&out);
        assert!(puffed.bytes == [&noise[..], &text, &text].concat());
    }
}

#[test]
fn a_stream_that_has_an_end_is_opened_again() {
    let mut chance = Chance::new(11);
    let streams = [0, 1, 7, 100_000].map(|len| content(len, &mut chance));
    let (mut join, mut out) = (Join::new(), Vec::new());
    join.begin(6, &mut out);
    for plain in &streams {
        for level in [0, 1, 6] {
            let packed = miniz_oxide::deflate::compress_to_vec(plain, level);
            join.encoded(&Encoded::reopened(packed, plain).unwrap(), &mut out);
        }
        let packed = miniz_oxide::deflate::compress_to_vec(plain, 6);
        for wrong in [
            Encoded::reopened(packed[..packed.len() - 1].to_vec(), plain),
            Encoded::reopened([packed.as_slice(), &[0]].concat(), plain),
            Encoded::reopened(packed.clone(), &[plain.as_slice(), &[0]].concat()),
            Encoded::reopened(packed.clone(), &[&[1], plain.as_slice()].concat()),
            Encoded::reopened(Vec::new(), plain),
        ] {
            assert_eq!(wrong.unwrap_err().code(), "internal");
        }
    }
    join.finish(&mut out);
    let expected: Vec<u8> = streams.iter().flat_map(|plain| [plain.as_slice(); 3].concat()).collect();
    assert!(puff(&out).bytes == expected);
}

#[test]
fn an_output_of_nothing_is_a_member() {
    let (mut join, mut out) = (Join::new(), Vec::new());
    join.begin(6, &mut out);
    join.finish(&mut out);
    assert!(puff(&out).bytes.is_empty());
    assert!(parts(&[], &[]).is_empty());
}

/// The whole of a source comes out as it went in, but for the block at its end.
#[test]
fn most_of_what_survives_is_copied() {
    let mut chance = Chance::new(3);
    let plain = content(3 << 20, &mut chance);
    let mut packed = Vec::new();
    pack(&plain, 6, 0, usize::MAX, &mut packed);
    let source = Source::of(packed);
    let (len, size) = (plain.len(), source.packed.len());
    let segments = vec![Segment::Of { source: 0, from: 0, to: len }];
    let world = World { sources: vec![source], segments };
    let (out, parts) = world.splice(Way::Streamed, &mut chance);
    let copied: u64 = parts.iter().filter(|part| !matches!(part, Part::Encode { .. })).map(Part::len).sum();
    assert!(copied * 100 > 95 * len as u64, "{copied} of {len}");
    assert!(out.len() < size + size / 100, "{} of {size}", out.len());
}
