#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use core::ops::Range;
use std::string::{String, ToString as _};
use std::vec;
use std::vec::Vec;

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec;
use proptest::prelude::*;

use super::*;

/// Writes bits, lowest first.
#[derive(Clone, Default)]
struct Writer {
    bytes: Vec<u8>,
    count: usize,
}

impl Writer {
    fn bits(&mut self, value: u64, n: usize) -> &mut Writer {
        for i in 0..n {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> i & 1) as u8) << (self.count % 8);
            self.count += 1;
        }
        self
    }

    /// A code, whose highest bit comes first.
    fn code(&mut self, code: u32, n: usize) -> &mut Writer {
        self.bits(u64::from(code.reverse_bits() >> (32 - n)), n)
    }

    /// A literal or length of the fixed code.
    fn fixed(&mut self, symbol: u32) -> &mut Writer {
        match symbol {
            0..144 => self.code(0x30 + symbol, 8),
            144..256 => self.code(0x190 + symbol - 144, 9),
            256..280 => self.code(symbol - 256, 7),
            _ => self.code(0xc0 + symbol - 280, 8),
        }
    }

    fn stored(&mut self, last: bool, bytes: &[u8]) -> &mut Writer {
        self.bits(u64::from(last), 3);
        self.bits(0, self.count.next_multiple_of(8) - self.count);
        self.bits(bytes.len() as u64, 16).bits(!bytes.len() as u64, 16);
        for byte in bytes {
            self.bits(u64::from(*byte), 8);
        }
        self
    }

    /// A dynamic block up to its data, with these lengths of codes.
    fn dynamic(&mut self, last: bool, litlen: &[u8], dist: &[u8]) -> &mut Writer {
        self.bits(u64::from(last) | 2 << 1, 3);
        self.bits(litlen.len() as u64 - 257, 5).bits(dist.len() as u64 - 1, 5).bits(15, 4);
        // Code lengths of 0 to 15 have codes of four bits.
        for symbol in LENGTHS_ORDER {
            self.bits(if symbol < 16 { 4 } else { 0 }, 3);
        }
        for len in litlen.iter().chain(dist) {
            self.code(u32::from(*len), 4);
        }
        self
    }
}

/// What the inflater gives, over input and output cut by turns as told: the output, the blocks, and the bytes taken where
/// the stream ends, `None` where the input ends before.
type Outcome = (Vec<u8>, Vec<Block>, Result<Option<usize>, &'static str>);

fn cut(input: &[u8], pieces: &[usize], rooms: &[usize]) -> Outcome {
    run(&mut Inflater::new(), input, pieces, rooms)
}

fn run(inflater: &mut Inflater, input: &[u8], pieces: &[usize], rooms: &[usize]) -> Outcome {
    assert!(inflater.report_blocks());
    let (mut out, mut blocks, mut at) = (Vec::new(), Vec::new(), 0_usize);
    let mut idle = 0;
    for (piece, room) in pieces.iter().cycle().zip(rooms.iter().cycle()) {
        let end = at.saturating_add(*piece).min(input.len());
        let mut buffer = vec![0xa5; room + 1];
        let step = match inflater.inflate(&input[at..end], &mut buffer[..*room]) {
            Ok(step) => step,
            Err(reason) => {
                assert!(reason.starts_with("the deflate data is invalid: "));
                inflater.take_blocks(&mut blocks);
                return (out, blocks, Err(reason));
            }
        };
        assert_eq!(buffer[*room], 0xa5);
        assert!(step.done || step.read == end - at || step.written == *room, "it stops without a reason");
        at += step.read;
        out.extend_from_slice(&buffer[..step.written]);
        inflater.take_blocks(&mut blocks);
        if step.done {
            return (out, blocks, Ok(Some(at)));
        }
        idle = if step.read + step.written > 0 { 0 } else { idle + 1 };
        if at == input.len() && step.written < *room || idle > 2 {
            assert_eq!(at, input.len());
            return (out, blocks, Ok(None));
        }
    }
    unreachable!()
}

/// The same by zlib-rs.
fn zlib(input: &[u8], size: usize) -> (Vec<u8>, Result<Option<usize>, String>) {
    let mut out = vec![0; size];
    let mut inflate = zlib_rs::Inflate::new(false, 15);
    let result = inflate.decompress(input, &mut out, zlib_rs::InflateFlush::NoFlush);
    out.truncate(inflate.total_out() as usize);
    let result = match result {
        Ok(zlib_rs::Status::StreamEnd) => Ok(Some(inflate.total_in() as usize)),
        Ok(_) => Ok(None),
        Err(_) => Err(inflate.error_message().unwrap_or_default().to_string()),
    };
    (out, result)
}

const CUTS: [(&[usize], &[usize]); 8] = [
    (&[usize::MAX], &[1 << 16]),
    (&[1], &[1 << 16]),
    (&[usize::MAX], &[1]),
    (&[1], &[1]),
    (&[7, 1, 30], &[13]),
    (&[1000], &[33, 700, 4000]),
    (&[0, 17, 900, 3], &[300, 0, 1]),
    (&[5000, 8], &[1, 40_000, 300]),
];

/// Holds the inflater against zlib-rs, whole and cut in many ways.
fn same(input: &[u8]) -> Outcome {
    let whole = cut(input, &[usize::MAX], &[8 << 20]);
    let (out, result) = zlib(input, 8 << 20);
    match (&whole.2, result) {
        (Ok(ours), Ok(theirs)) => assert_eq!(*ours, theirs),
        (Err(_), Err(_)) => {}
        // zlib takes an empty code for code lengths, and then finds that the end of the block has no code.
        (Err(reason), Ok(None)) if reason.contains("codes for code lengths") => {}
        (ours, theirs) => panic!("{ours:?}, but zlib {theirs:?}"),
    }
    if whole.2.is_ok() {
        assert!(whole.0 == out, "other bytes than zlib");
    }
    for (pieces, rooms) in CUTS {
        if whole.0.len() > 70_000 && (rooms == [1] || pieces == [1]) {
            continue;
        }
        let mut part = cut(input, pieces, rooms);
        if whole.2.is_err() {
            // How many bytes come before an error hangs on what comes with it.
            part.0.clone_from(&whole.0);
        }
        assert!(part == whole, "cut {pieces:?} {rooms:?}: {:?}, whole {:?}", part.2, whole.2);
    }
    whole
}

/// Copies each block behind what is said to suffice, and decodes it there; and with less of it there is an error.
fn check_blocks(packed: &[u8], plain: &[u8], blocks: &[Block]) {
    let mut end = (0, 0);
    for block in blocks {
        let (bits, bytes) = (block.bits(), block.bytes());
        assert!(bits.start >= end.0 && bytes.start >= end.1, "blocks overlap");
        end = (bits.end, bytes.end);
        let bit = |at: u64| packed[at as usize / 8] >> (at % 8) & 1;
        assert_eq!(bit(bits.start) == 1, block.is_last());
        assert_eq!(bit(bits.start + 1) + bit(bits.start + 2) == 0, block.is_stored());
        let plain = &plain[..bytes.end as usize];
        if block.is_stored() {
            assert_eq!(bits.end % 8, 0);
            assert!(packed[..bits.end as usize / 8].ends_with(&plain[bytes.start as usize..]));
            assert_eq!(block.reach(), 0);
            continue;
        }
        for (reach, fine) in [(Some(block.reach()), true), (block.reach().checked_sub(1), false)] {
            let Some(reach) = reach else { continue };
            let before = &plain[(bytes.start - reach) as usize..bytes.start as usize];
            let mut copy = Writer::default();
            copy.stored(false, before);
            copy.bits(1, 1);
            for at in bits.start + 1..bits.end {
                copy.bits(u64::from(bit(at)), 1);
            }
            let (out, _, result) = cut(&copy.bytes, &[usize::MAX], &[1 << 20]);
            assert_eq!(result.is_ok(), fine, "{block:?}");
            assert!(!fine || out == plain[(bytes.start - reach) as usize..]);
        }
    }
}

fn random(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}

/// Data of many kinds.
fn samples() -> Vec<Vec<u8>> {
    let mut next = random(7);
    let words: Vec<Vec<u8>> = (0..3000)
        .map(|_| {
            (0..2 + next() % 9)
                .map(|_| b"etaoinshrdlucmfwypvbgkqjxz"[(next() % (next() % 25 + 1)) as usize])
                .collect()
        })
        .collect();
    let text: Vec<u8> =
        (0..40_000).flat_map(|_| [&words[next() as usize % 3000][..], b" "].concat()).collect();
    let noise: Vec<u8> = (0..100_000).map(|_| next() as u8).collect();
    let few: Vec<u8> = (0..100_000).map(|_| b"ab"[usize::from(next().is_multiple_of(20))]).collect();
    let far: Vec<u8> = noise[..32_768].iter().chain(&noise[..32_768]).copied().collect();
    let further: Vec<u8> = noise[..32_769].iter().chain(&noise[..32_769]).copied().collect();
    let mixed = [&text[..70_000], &[0; 50_000], &noise[..30_000], &few[..], &text[..50_000]].concat();
    let ramps: Vec<u8> = (1..18)
        .flat_map(|period| (0..1000).map(move |i| (i % period) as u8).chain([255, period as u8]))
        .collect();
    let skewed = (0..200_000).map(|_| (next().leading_zeros() * 8) as u8 ^ (next() % 3) as u8).collect();
    vec![
        vec![],
        vec![1],
        b"hello, hello, hello".to_vec(),
        vec![0; 300_000],
        text,
        noise,
        few,
        far,
        further,
        mixed,
        ramps,
        skewed,
    ]
}

/// Raw deflate by zlib-rs.
fn zlib_pack(plain: &[u8], level: i32, strategy: zlib_rs::Strategy, flush_every: usize) -> Vec<u8> {
    let config = zlib_rs::DeflateConfig { level, window_bits: -15, strategy, ..Default::default() };
    let mut deflate = zlib_rs::Deflate::new_with_config(config);
    let mut out = vec![0; plain.len() * 2 + 1000];
    for piece in plain.chunks(flush_every.max(1)) {
        let at = deflate.total_out() as usize;
        let _ = deflate.compress(piece, &mut out[at..], zlib_rs::DeflateFlush::SyncFlush).unwrap();
    }
    let at = deflate.total_out() as usize;
    let status = deflate.compress(&[], &mut out[at..], zlib_rs::DeflateFlush::Finish).unwrap();
    assert_eq!(status, zlib_rs::Status::StreamEnd);
    out.truncate(deflate.total_out() as usize);
    out
}

#[test]
fn what_encoders_give() {
    let mut reported = 0;
    for plain in samples() {
        let mut packed: Vec<Vec<u8>> = [0, 1, 3, 6, 9, 10].map(|level| compress_to_vec(&plain, level)).into();
        for (level, strategy, flush_every) in [
            (1, zlib_rs::Strategy::Default, usize::MAX),
            (6, zlib_rs::Strategy::Default, usize::MAX),
            (9, zlib_rs::Strategy::Default, 10_000),
            (6, zlib_rs::Strategy::HuffmanOnly, usize::MAX),
            (6, zlib_rs::Strategy::Rle, 70_000),
            (6, zlib_rs::Strategy::Fixed, usize::MAX),
        ] {
            packed.push(zlib_pack(&plain, level, strategy, flush_every));
        }
        for mut packed in packed {
            let len = packed.len();
            packed.extend_from_slice(b"what follows is not touched");
            let (out, blocks, result) = same(&packed);
            assert_eq!(result, Ok(Some(len)));
            assert!(out == plain);
            assert_eq!(decompress_to_vec(&packed).unwrap(), plain);
            check_blocks(&packed, &plain, &blocks);
            reported += blocks.len();
        }
    }
    assert!(reported > 300);
}

#[test]
fn cut_short_it_gives_what_came_and_asks_for_more() {
    for plain in samples() {
        for level in [0, 1, 6] {
            let packed = compress_to_vec(&plain[..plain.len().min(3000)], level);
            for len in 0..packed.len() {
                let (out, _, result) = cut(&packed[..len], &[usize::MAX], &[1 << 16]);
                assert_eq!(result, Ok(None));
                assert!(plain.starts_with(&out));
                assert!(out == zlib(&packed[..len], 1 << 16).0, "{len} of {}", packed.len());
            }
        }
    }
}

#[test]
fn it_begins_again_and_forgets_what_was() {
    let mut inflater = Inflater::new();
    let plain = &samples()[4];
    let packed = compress_to_vec(plain, 6);
    for _ in 0..3 {
        assert_eq!(run(&mut inflater, &packed, &[5000], &[40_000]), cut(&packed, &[5000], &[40_000]));
        inflater.reset();
        // Ended early, and with an error.
        let _ = run(&mut inflater, &packed[..1000], &[5000], &[40_000]);
        inflater.reset();
        assert!(run(&mut inflater, &[7], &[1], &[1]).2.is_err());
        inflater.reset();
        let back = Writer::default().bits(3, 3).fixed(257).code(0, 5).fixed(256).clone();
        assert_eq!(run(&mut inflater, &back.bytes, &[9], &[9]).2, Err(TOO_FAR));
        inflater.reset();
    }
}

fn bytes(write: impl FnOnce(&mut Writer) -> &mut Writer) -> Vec<u8> {
    let mut writer = Writer::default();
    write(&mut writer);
    // What an inflater may look at too early.
    writer.bytes.extend_from_slice(&[0; 20]);
    writer.bytes
}

fn fails(reason: &str, write: impl FnOnce(&mut Writer) -> &mut Writer) {
    let (_, _, result) = same(&bytes(write));
    assert!(result.unwrap_err().contains(reason), "{result:?}, not {reason}");
}

fn gives(expected: &[u8], write: impl FnOnce(&mut Writer) -> &mut Writer) {
    let (out, _, result) = same(&bytes(write));
    assert!(matches!(result, Ok(Some(_))), "{result:?}");
    assert_eq!(out, expected);
}

#[test]
fn s3_2_3_types_of_blocks() {
    fails("no such type of block", |w| w.bits(7, 3));
    fails("no such type of block", |w| w.stored(false, b"abc").bits(6, 3));
    gives(b"", |w| w.bits(3, 3).fixed(256));
    gives(b"ab", |w| w.stored(false, b"a").stored(false, b"").bits(2, 3).fixed(256).stored(true, b"b"));
}

#[test]
fn s3_2_4_stored() {
    gives(b"", |w| w.stored(true, b""));
    gives(&[7; 65_535], |w| w.stored(true, &[7; 65_535]));
    fails("does not match its complement", |w| w.bits(1, 8).bits(0, 32));
    fails("does not match its complement", |w| w.bits(1, 8).bits(0xfffe_0002, 32));
    // The padding says nothing, whatever it holds.
    gives(b"x", |w| w.bits(0xf9, 8).bits(0xfffe_0001, 32).bits(u64::from(b'x'), 8));
}

#[test]
fn s3_2_6_fixed() {
    gives(b"a", |w| w.bits(3, 3).fixed(u32::from(b'a')).fixed(256));
    let all: Vec<u8> = (0..=255).collect();
    gives(&all, |w| (0..256).fold(w.bits(3, 3), Writer::fixed).fixed(256));
    // The symbols that never occur.
    fails("no such literal or length", |w| w.bits(3, 3).fixed(286));
    fails("no such literal or length", |w| w.bits(3, 3).fixed(287));
    for dist in [30, 31] {
        fails("no such distance", |w| w.bits(3, 3).fixed(97).fixed(257).code(dist, 5).fixed(256));
    }
}

#[test]
fn s3_2_5_every_length_and_distance() {
    let mut next = random(3);
    let noise: Vec<u8> = (0..40_000).map(|_| next() as u8).collect();
    let bases = |first: u32, own: u32, each: u32| {
        let mut base = first;
        move |i: u32| {
            let extra = if i < own { 0 } else { (i - own) / each + 1 };
            base += 1 << extra;
            (base - (1 << extra), extra)
        }
    };
    let lens: Vec<(u32, u32)> = (0..28).map(bases(3, 8, 4)).chain([(258, 0)]).collect();
    let dists: Vec<(u32, u32)> = (0..30).map(bases(1, 4, 2)).collect();
    assert_eq!((lens[27], dists[29]), ((227, 5), (24_577, 13)));

    let mut writer = Writer::default();
    let mut plain = noise;
    writer.stored(false, &plain);
    writer.bits(3, 3);
    let mut copy = |len: (u32, u32), more_len: u32, dist: (u32, u32), more_dist: u32| {
        let symbol = 257 + lens.iter().position(|l| *l == len).unwrap() as u32;
        let code = dists.iter().position(|d| *d == dist).unwrap() as u32;
        writer.fixed(symbol).bits(u64::from(more_len), len.1 as usize);
        writer.code(code, 5).bits(u64::from(more_dist), dist.1 as usize);
        for _ in 0..len.0 + more_len {
            plain.push(plain[plain.len() - (dist.0 + more_dist) as usize]);
        }
    };
    for len in &lens {
        for more in 0..1 << len.1 {
            copy(*len, more, dists[next() as usize % 30], 0);
            // Near ones, with every way to overlap.
            copy(*len, more, dists[next() as usize % 9], 0);
        }
    }
    for dist in &dists {
        for more in [0, (1 << dist.1) - 1, next() % (1 << dist.1)] {
            copy(lens[next() as usize % 29], 0, *dist, more);
        }
    }
    writer.fixed(256);
    let (out, blocks, result) = same(&writer.bytes);
    assert!(out == plain && result.is_ok());
    check_blocks(&writer.bytes, &plain, &blocks);
}

#[test]
fn s3_2_5_overlaps_of_every_period_and_length() {
    for dist in 1..=40_u32 {
        let mut writer = Writer::default();
        let mut plain: Vec<u8> = (1..=dist as u8).collect();
        writer.stored(false, &plain).bits(3, 3);
        let (code, base, extra) = (0..30)
            .scan(1, |base, i: u32| {
                let extra = (i / 2).saturating_sub(1);
                *base += 1 << extra;
                Some((i, *base - (1 << extra), extra))
            })
            .take_while(|(_, base, _)| *base <= dist)
            .last()
            .unwrap();
        for len in (3..11).chain([258]).cycle().take(900) {
            let symbol = if len == 258 { 285 } else { 254 + len };
            writer.fixed(symbol).code(code, 5).bits(u64::from(dist - base), extra as usize);
            for _ in 0..len {
                plain.push(plain[plain.len() - dist as usize]);
            }
            writer.fixed(u32::from(len as u8));
            plain.push(len as u8);
        }
        writer.fixed(256);
        assert!(same(&writer.bytes).0 == plain, "{dist}");
    }
}

#[test]
fn s3_2_7_dynamic() {
    let mut litlen = [0; 257];
    (litlen[97], litlen[98], litlen[256]) = (1, 2, 2);
    gives(b"aab", |w| w.dynamic(true, &litlen, &[0]).code(0, 1).code(0, 1).code(2, 2).code(3, 2));
    // No distances, and one used nevertheless; one of one bit; two; the other code of a single one.
    let mut lengths = [0; 258];
    (lengths[97], lengths[256], lengths[257]) = (1, 2, 2);
    let matched = |w: &'_ mut Writer, dist: &[u8], code: u32, bits: usize| {
        w.dynamic(true, &lengths, dist).code(0, 1).code(3, 2).code(code, bits).code(2, 2);
    };
    for (dist, code, bits, reason) in [
        (&[0][..], 0, 1, Some("no such distance")),
        (&[1], 0, 1, None),
        (&[1], 1, 1, Some("no such distance")),
        (&[1, 1], 0, 1, None),
        (&[1, 1], 1, 1, Some("a distance reaches behind the beginning")),
        (&[2, 2], 0, 2, Some("the lengths of the distance codes do not fit together")),
        (&[2], 0, 2, Some("the lengths of the distance codes do not fit together")),
        (&[1, 1, 1], 0, 1, Some("the lengths of the distance codes do not fit together")),
        (&[1, 2], 0, 1, Some("the lengths of the distance codes do not fit together")),
    ] {
        let packed = bytes(|w| {
            matched(w, dist, code, bits);
            w
        });
        let (out, _, result) = same(&packed);
        match reason {
            None => assert_eq!(out, b"aaaa"),
            Some(reason) => assert!(result.unwrap_err().contains(reason), "{dist:?}: {result:?}"),
        }
    }
    // Only the end of the block has a code, of one bit; the other bit is none.
    let mut only = [0; 257];
    only[256] = 1;
    gives(b"", |w| w.dynamic(true, &only, &[0]).code(0, 1));
    fails("no such literal or length", |w| w.dynamic(true, &only, &[0]).code(1, 1));
    only[256] = 2;
    fails("the lengths of the literal codes do not fit together", |w| {
        w.dynamic(true, &only, &[0]).code(0, 2)
    });
    // No end of the block; too many, too few.
    fails("the end of a block has no code", |w| {
        w.dynamic(true, &[1; 257][..1].repeat(256).into_iter().chain([0]).collect::<Vec<u8>>(), &[0])
    });
    fails("the lengths of the literal codes do not fit together", |w| w.dynamic(true, &[8; 257], &[0]));
    fails("the lengths of the literal codes do not fit together", |w| w.dynamic(true, &[9; 257], &[0]));
    fails("more codes than there are symbols", |w| w.dynamic(true, &[9; 287], &[0]));
    fails("more codes than there are symbols", |w| w.dynamic(true, &litlen, &[5; 31]));
    // Codes of all lengths, second tables within second tables' reach.
    let mut deep = [0; 270];
    for (symbol, len) in (97..).zip(1..=15) {
        deep[symbol] = len;
    }
    deep[256] = 15;
    gives(b"abcdefghijklmno", |w| {
        let w = w.dynamic(true, &deep, &[0]);
        (1..=15).fold(w, |w, len| w.code((1 << len) - 2, len)).code(0x7fff, 15)
    });
}

#[test]
fn s3_2_7_code_lengths() {
    // One of the code for code lengths that is none, incomplete or over-subscribed.
    let head = |w: &mut Writer, lens: [u8; LENGTHS_SYMBOLS]| {
        w.bits(5, 3).bits(0, 5).bits(0, 5).bits(15, 4);
        for symbol in LENGTHS_ORDER {
            w.bits(u64::from(lens[usize::from(symbol)]), 3);
        }
    };
    let with = |set: &[(usize, u8)]| {
        let mut lens = [0; LENGTHS_SYMBOLS];
        set.iter().for_each(|(symbol, len)| lens[*symbol] = *len);
        lens
    };
    for (lens, tail, reason) in [
        (with(&[]), &[][..], "do not fit together"),
        (with(&[(0, 1)]), &[], "do not fit together"),
        (with(&[(0, 7), (1, 7)]), &[], "do not fit together"),
        (with(&[(0, 1), (1, 1), (2, 1)]), &[], "do not fit together"),
        (with(&[(1, 1), (16, 1)]), &[(1, 1)], "a repeated code length before the first one"),
        (with(&[(1, 1), (18, 1)]), &[(1, 1), (127, 7), (1, 1), (127, 7)], "more code lengths than codes"),
        (with(&[(1, 1), (16, 1)]), &[(0, 1); 256], "do not fit together"),
    ] {
        let packed = bytes(|w| {
            head(w, lens);
            for (value, n) in tail {
                w.bits(*value, *n);
            }
            w
        });
        let (_, _, result) = same(&[packed, vec![0; 100]].concat());
        assert!(result.unwrap_err().contains(reason), "{result:?}, not {reason}");
    }
    // A repetition from the literals' lengths into the distances'.
    gives(b"", |w| {
        head(w, with(&[(0, 2), (1, 2), (18, 2), (16, 2)]));
        // 0: 00, 1: 01, 16: 10, 18: 11. 255 zeros, then ones for 255, 256 and the distance.
        w.code(3, 2).bits(127, 7).code(3, 2).bits(106, 7).code(1, 2).code(1, 2).code(1, 2).code(1, 1)
    });
}

#[test]
fn tiny_blocks_are_not_reported_and_long_ones_are() {
    let len = Block::MIN_BYTES as usize;
    let mut writer = Writer::default();
    writer.stored(false, &[1; 4095]).stored(false, &[2; 4096]).bits(2, 3).fixed(97);
    writer.fixed(285).code(0, 5).fixed(256);
    writer.bits(3, 3);
    for _ in 0..16 {
        writer.fixed(285).code(0, 5);
    }
    writer.fixed(256);
    let (out, blocks, _) = same(&writer.bytes);
    assert_eq!(blocks.len(), 2);
    assert_eq!(blocks[0].bytes(), 4095..4095 + len as u64);
    assert_eq!(blocks[0].bits(), 8 * 4100..8 * (4105 + len as u64));
    assert!(blocks[0].is_stored() && !blocks[0].is_last() && blocks[0].reach() == 0);
    assert_eq!(blocks[1].bytes(), out.len() as u64 - 258 * 16..out.len() as u64);
    assert!(!blocks[1].is_stored() && blocks[1].is_last() && blocks[1].reach() == 1);
    assert_eq!(Block::new(0..1, 0..len as u64 - 1, 0), None);
    assert_eq!(Block::new(0..1, 0..len as u64, 32_769), None);
    assert_eq!(Block::new(Range { start: 1, end: 0 }, 0..len as u64, 0), None);
    assert_eq!(Block::new(0..1, len as u64..0, 0), None);
    assert_eq!(Block::new(0..1 << 32, 0..len as u64, 0), None);
    let block = Block::new(5..9, 6..6 + len as u64, 32_768).unwrap().moved(10, 20);
    assert_eq!((block.bits(), block.bytes(), block.reach()), (15..19, 26..26 + len as u64, 32_768));
}

#[test]
fn changed_streams_are_taken_as_zlib_takes_them() {
    let mut next = random(11);
    let samples = samples();
    for round in 0..1000 {
        let plain = &samples[next() as usize % samples.len()];
        let from = next() as usize % (plain.len() + 1);
        let plain = &plain[from..(from + next() as usize % 5000).min(plain.len())];
        let mut packed = match round % 3 {
            0 => compress_to_vec(plain, (next() % 11) as u8),
            1 => zlib_pack(plain, (next() % 10) as i32, zlib_rs::Strategy::Default, 1500),
            _ => zlib_pack(plain, 6, zlib_rs::Strategy::Fixed, 4000),
        };
        for _ in 0..1 + next() % 3 {
            let at = next() as usize % packed.len();
            // The heads of blocks are where most can go wrong.
            let at = if next().is_multiple_of(2) { at % 80 % packed.len() } else { at };
            packed[at] ^= 1 << (next() % 8);
        }
        let _ = same(&packed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = same(&bytes);
    }

    #[test]
    fn any_cut(level in 0_u8..=10, from in 0_usize..200_000, pieces in prop::collection::vec(0_usize..5000, 1..6), rooms in prop::collection::vec(0_usize..70_000, 1..6)) {
        prop_assume!(pieces.iter().any(|n| *n > 0) && rooms.iter().any(|n| *n > 0));
        let plain = &samples()[9][from..];
        let packed = compress_to_vec(plain, level);
        let whole = cut(&packed, &[usize::MAX], &[1 << 20]);
        prop_assert!(whole.0 == plain);
        prop_assert!(cut(&packed, &pieces, &rooms) == whole);
    }
}
