//! Deflate blocks copied from one stream to another: whatever the streams, the runs that are taken of them and the way
//! they are told, the output decodes to just the bytes that were asked for.
#![no_main]

use std::ops::Range;

use libfuzzer_sys::fuzz_target;
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, compress_to_output, create_comp_flags_from_zip_params,
};
use wharfie_core::codec::splice::{Bits, Block, Join, KEPT_BYTES, Origin, Part, Splice, encode};
use wharfie_core::codec::{
    Codec, GZIP_HEADER_BYTES, GzipDecoder, Inflate, Inflater, Needs, gzip_header, gzip_trailer,
};

/// Bytes of a source at most.
const CAP: usize = 2 << 20;

/// The bytes as a list of small decisions.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<usize> {
        Some(usize::from(self.next()?) << 8 | usize::from(self.next()?))
    }
}

struct Source {
    plain: Vec<u8>,
    packed: Vec<u8>,
    blocks: Vec<Block>,
}

/// A deflate stream as a gzip member, and what it gives; `None` if it is none, or gives too much.
fn member(deflate: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut inflater = Inflater::new();
    let (mut plain, mut buffer, mut at) = (Vec::new(), vec![0; 1 << 16], 0);
    loop {
        let step = inflater.inflate(&deflate[at..], &mut buffer).ok()?;
        plain.extend_from_slice(&buffer[..step.written]);
        at += step.read;
        if step.done {
            break;
        }
        if plain.len() > CAP || step.read + step.written == 0 {
            return None;
        }
    }
    let mut packed = gzip_header(6).to_vec();
    packed.extend_from_slice(&deflate[..at]);
    packed.extend_from_slice(&gzip_trailer(crc32fast::hash(&plain), plain.len() as u64));
    Some((packed, plain))
}

/// A stream that is made: bytes that come of the choices, by an encoder that they choose.
fn made(choices: &mut Choices<'_>) -> Option<Vec<u8>> {
    let (how, len, seed) = (choices.next()?, choices.number()? * 4, choices.number()?);
    let (mut plain, mut state) = (Vec::with_capacity(len), seed as u32);
    while plain.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let n = (state >> 8) as usize % 700 + 1;
        match state >> 29 {
            0 => plain.resize(plain.len() + n, 0),
            1 | 2 if !plain.is_empty() => {
                let back = (state as usize % 33_000).clamp(1, plain.len());
                for _ in 0..n {
                    plain.push(plain[plain.len() - back]);
                }
            }
            3 => plain.extend((0..n).map(|i| (state as usize >> (i % 24)) as u8 ^ (i * i >> 3) as u8)),
            _ => plain.extend((0..n).map(|i| b"quay dock ahoy"[(i + seed) % 14])),
        }
    }
    let flags = create_comp_flags_from_zip_params(i32::from(how % 10), -15, i32::from(how / 10 % 5));
    let (mut deflate, mut packed) = (CompressorOxide::new(flags), Vec::new());
    let mut give = |piece: &[u8], flush| {
        compress_to_output(&mut deflate, piece, flush, |bytes| {
            packed.extend_from_slice(bytes);
            true
        });
    };
    let piece = if how & 128 == 0 { usize::MAX } else { 5000 + seed };
    plain.chunks(piece).for_each(|piece| give(piece, TDEFLFlush::Sync));
    give(&[], TDEFLFlush::Finish);
    Some(packed)
}

/// The whole of a gzip file, in pieces, and its blocks.
fn decode(decoder: &mut dyn Codec, packed: &[u8], piece: usize) -> (Vec<u8>, Vec<Block>) {
    decoder.report_blocks();
    let (mut plain, mut blocks, mut buffer) = (Vec::new(), Vec::new(), vec![0; piece]);
    let mut input = packed;
    loop {
        let step =
            if input.is_empty() { decoder.finish(&mut buffer) } else { decoder.process(input, &mut buffer) };
        let step = step.expect("what is spliced can be decoded");
        plain.extend_from_slice(&buffer[..step.written]);
        input = &input[step.read..];
        decoder.take_blocks(&mut blocks);
        if step.needs == Needs::Nothing {
            return (plain, blocks);
        }
    }
}

/// Bytes of the output: of a source, or of nowhere.
type Segment = (Option<usize>, Range<usize>);

fn splice(sources: &[Source], segments: &[Segment], piece: usize, early: bool) -> Vec<u8> {
    let (mut splice, mut join) = (Splice::new(), Join::new());
    let (mut out, mut kept) = (Vec::new(), Vec::new());
    let mut handed = vec![0; sources.len()];
    join.begin(6, &mut out);
    let mut write = |splice: &mut Splice, kept: &mut Vec<u8>| {
        while let Some(part) = splice.poll_part() {
            let bytes: Vec<u8> = kept.drain(..part.len() as usize).collect();
            match part {
                Part::Encode { .. } => {
                    join.encoded(&encode(&bytes, 1).unwrap(), &mut out);
                    continue;
                }
                Part::Copy { source, bits, bytes: range } => {
                    assert!(sources[source].plain[range.start as usize..range.end as usize] == bytes);
                    let mut from = bits.start;
                    while from < bits.end {
                        let to = bits.end.min(from.saturating_add(piece as u64));
                        let packed = &sources[source].packed[(from / 8) as usize..];
                        let base = from / 8 * 8;
                        join.copy(Bits::new(packed, from - base, to - base), from == bits.start, &mut out);
                        from = to;
                    }
                }
                Part::Stored { source, at, .. } => {
                    join.stored(&sources[source].packed[at as usize..][..bytes.len()], &mut out);
                }
            }
            join.sum(crc32fast::hash(&bytes), bytes.len() as u64);
        }
    };
    for (source, range) in segments {
        let mut at = range.start;
        while at < range.end {
            let n = piece.min(range.end - at);
            let origin = source.map(|source| {
                let Source { blocks, plain, .. } = &sources[source];
                let known = if early { u64::MAX } else { (at + n) as u64 };
                while let Some(block) = blocks.get(handed[source])
                    && block.bytes().end < known
                {
                    splice.handle_block(source, *block);
                    handed[source] += 1;
                }
                kept.extend_from_slice(&plain[at..at + n]);
                Origin { source, offset: at as u64 }
            });
            if source.is_none() {
                kept.extend((at..at + n).map(|at| at as u8));
            }
            splice.handle_bytes(n as u64, origin);
            write(&mut splice, &mut kept);
            assert!(kept.len() <= KEPT_BYTES as usize);
            at += n;
        }
    }
    splice.finish();
    write(&mut splice, &mut kept);
    assert!(kept.is_empty());
    join.finish(&mut out);
    out
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let mut sources = Vec::new();
    let Some(how) = choices.next() else { return };
    // The second source is what is left of the input, taken as deflate, if it is that.
    let raw = (how & 1 != 0).then_some(choices.0).and_then(member);
    let Some(made) = made(&mut choices) else { return };
    let Some(member) = member(&made) else { return };
    let wrap = |(packed, plain): (Vec<u8>, Vec<u8>)| {
        let (decoded, blocks) = decode(&mut GzipDecoder::new(Inflater::new()), &packed, 100_000);
        assert!(decoded == plain);
        Source { plain, packed, blocks }
    };
    sources.push(wrap(member));
    sources.extend(raw.map(wrap));
    let mut segments: Vec<Segment> = Vec::new();
    let mut ends = vec![0; sources.len()];
    while segments.len() < 20
        && let (Some(kind), Some(len)) = (choices.next(), choices.number())
    {
        let source = usize::from(kind) % sources.len();
        let plain = sources[source].plain.len();
        match kind >> 5 {
            0 => segments.push((None, 0..len % 5000)),
            1 => ends[source] = len * 8 % (plain + 1),
            2 => ends[source] = (ends[source] + 512).min(plain),
            _ => {
                let to = (ends[source] + len * 16).min(plain);
                segments.push((Some(source), ends[source]..to));
                ends[source] = to;
            }
        }
    }
    let out = splice(&sources, &segments, usize::MAX, true);
    for piece in [700 + usize::from(how) * 50, 65_536] {
        assert!(
            splice(&sources, &segments, piece, how & 2 != 0) == out,
            "the output hangs on how it is told"
        );
    }
    let expected: Vec<u8> = segments
        .iter()
        .flat_map(|(source, range)| match source {
            Some(source) => sources[*source].plain[range.clone()].to_vec(),
            None => range.clone().map(|at| at as u8).collect(),
        })
        .collect();
    assert!(decode(&mut GzipDecoder::new(Inflater::new()), &out, 10_000).0 == expected);
    let deflate = &out[GZIP_HEADER_BYTES..out.len() - 8];
    assert!(miniz_oxide::inflate::decompress_to_vec(deflate).unwrap() == expected);
});
