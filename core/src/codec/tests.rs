#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::path::{Path, PathBuf};
use std::string::String;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::{Digest, Limits};

#[derive(serde::Deserialize)]
struct Corpus {
    case: Vec<Case>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    file: Option<String>,
    bytes: Option<String>,
    format: Option<String>,
    size: Option<u64>,
    sha256: Option<String>,
    #[serde(default)]
    boundaries: Vec<usize>,
    #[serde(default)]
    unchecked: bool,
    #[serde(default)]
    open: bool,
    error: Option<String>,
    reason: Option<String>,
}

fn corpus() -> Vec<(Case, Vec<u8>)> {
    let dir: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/codec");
    let corpus: Corpus = toml::from_str(&std::fs::read_to_string(dir.join("cases.toml")).unwrap()).unwrap();
    assert!(corpus.case.len() > 50);
    let bytes = |case: &Case| match (&case.file, &case.bytes) {
        (Some(file), None) => std::fs::read(dir.join(file)).unwrap(),
        (None, Some(hex)) => {
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
        }
        _ => panic!("{}: either a file or bytes", case.name),
    };
    corpus.case.into_iter().map(|case| (bytes(&case), case)).map(|(bytes, case)| (case, bytes)).collect()
}

/// Drives a codec over all of `input` in pieces, and holds it to its contract on the way.
fn drive(codec: &mut dyn Codec, input: &[u8], piece: usize, room: usize) -> (Vec<u8>, Result<(), Error>) {
    let mut out = Vec::new();
    let mut buffer = vec![0xa5; room + 1];
    let mut step = |codec: &mut dyn Codec, input: Option<&[u8]>| {
        let room = &mut buffer[..room];
        let progress = match input {
            Some(input) => codec.process(input, room)?,
            None => codec.finish(room)?,
        };
        assert!(progress.written <= room.len());
        assert!(progress.read <= input.unwrap_or_default().len());
        match progress.needs {
            Needs::Input => {
                assert_eq!(Some(progress.read), input.map(<[u8]>::len), "it left input and asks for more");
            }
            Needs::Output => {
                assert!(progress.read + progress.written > 0 || room.is_empty(), "it does not move");
            }
            Needs::Nothing => assert!(input.is_none()),
        }
        out.extend_from_slice(&room[..progress.written]);
        assert_eq!(buffer.last(), Some(&0xa5));
        Ok::<_, Error>(progress)
    };
    let result = (|| {
        for mut piece in input.chunks(piece) {
            loop {
                let progress = step(codec, Some(piece))?;
                piece = &piece[progress.read..];
                if progress.needs == Needs::Input {
                    break;
                }
            }
        }
        while step(codec, None)?.needs != Needs::Nothing {}
        Ok(())
    })();
    (out, result)
}

fn decode(input: &[u8], piece: usize, room: usize) -> (Vec<u8>, Result<(), Error>) {
    drive(&mut Decoder::new(&SoftCodecs, None, &Limits::default()), input, piece, room)
}

const PIECES: [(usize, usize); 6] =
    [(usize::MAX, 1 << 16), (1, 1 << 16), (usize::MAX, 1), (1, 1), (7, 13), (1000, 33)];

#[test]
fn l20_every_case_in_pieces_of_every_size() {
    for (case, bytes) in corpus() {
        let mut outputs = Vec::new();
        for (piece, room) in PIECES {
            if case.size.unwrap_or(0) > 200_000 && room == 1 && piece == 1 {
                continue;
            }
            let mut decoder = Decoder::new(&SoftCodecs, None, &Limits::default());
            let (out, result) = drive(&mut decoder, &bytes, piece, room);
            match (&case.error, result) {
                (None, Ok(())) => {
                    assert_eq!(
                        decoder.format().unwrap().name(),
                        case.format.clone().unwrap(),
                        "{}",
                        case.name
                    );
                    assert_eq!((decoder.read(), decoder.written()), (bytes.len() as u64, out.len() as u64));
                    assert_eq!(Some(out.len() as u64), case.size, "{}", case.name);
                    let sha256 = case.sha256.clone().unwrap();
                    assert_eq!(Digest::sha256(&out).hex(), sha256, "{} {piece} {room}", case.name);
                }
                (Some(code), Err(error)) => {
                    assert_eq!(error.code(), code, "{}: {error}", case.name);
                    let reason = case.reason.clone().unwrap();
                    assert!(std::format!("{error}").contains(&reason), "{}: {error}", case.name);
                    // Spent, it goes on saying so.
                    assert_eq!(decoder.process(b"more", &mut [0; 9]), Err(error.clone()));
                    assert_eq!(decoder.finish(&mut [0; 9]), Err(error));
                    outputs.push(out);
                }
                (expected, got) => panic!("{}: expected {expected:?}, got {got:?}", case.name),
            }
        }
    }
}

#[test]
fn l20_cut_at_every_byte_it_is_an_error_and_what_came_before_is_right() {
    for (case, bytes) in corpus().into_iter().filter(|(case, _)| case.error.is_none() && !case.open) {
        let (whole, _) = decode(&bytes, usize::MAX, 1 << 16);
        for cut in 0..bytes.len() {
            let (out, result) = decode(&bytes[..cut], 500, 1 << 16);
            if cut < 2 || (case.format.as_deref() == Some("zstd") && cut < 4) {
                assert_eq!(out, bytes[..cut], "too short for a magic");
                continue;
            }
            assert!(whole.starts_with(&out), "{} cut at {cut}", case.name);
            match result {
                Ok(()) => assert!(case.boundaries.contains(&cut), "{} cut at {cut} passes", case.name),
                Err(error) => {
                    assert!(!case.boundaries.contains(&cut), "{} cut at {cut}: {error}", case.name);
                    assert_eq!(error.code(), "corrupt_stream");
                    assert!(std::format!("{error}").contains("it ends inside"), "{}: {error}", case.name);
                }
            }
        }
    }
}

#[test]
fn l20_a_flipped_bit_never_gives_other_bytes_as_good() {
    for (case, bytes) in corpus().into_iter().filter(|(case, _)| case.error.is_none() && !case.unchecked) {
        let format = Format::detect(&bytes).unwrap();
        let (whole, _) = decode(&bytes, usize::MAX, 1 << 16);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            if Format::detect(&flipped) != Ok(format) {
                continue;
            }
            let (out, result) = decode(&flipped, usize::MAX, 1 << 16);
            // A frame turned into a skippable one of the right length is another good stream.
            assert!(
                result.is_err() || out == whole || format == Format::Zstd && at < 4,
                "{} at {at}",
                case.name
            );
        }
    }
}

#[test]
fn l20_what_follows_the_last_member_or_frame() {
    for (case, bytes) in corpus().into_iter().filter(|(case, _)| case.error.is_none() && !case.open) {
        let (whole, _) = decode(&bytes, usize::MAX, 1 << 16);
        let gzip = case.format.as_deref() == Some("gzip");
        for (tail, fine) in
            [(&[0_u8][..], gzip), (&[0; 600], gzip), (b"\0\0x", false), (b"x", false), (b"\x1f\x8b", false)]
        {
            let mut more = bytes.clone();
            more.extend_from_slice(tail);
            let (out, result) = decode(&more, 13, 1 << 16);
            assert_eq!(result.is_ok(), fine, "{} followed by {tail:?}", case.name);
            assert!(!fine || out == whole, "{}", case.name);
        }
        if case.name != "zeros after the last member" {
            let twice = [&bytes[..], &bytes[..]].concat();
            let (out, result) = decode(&twice, 1000, 1 << 16);
            if result.is_ok() {
                assert_eq!(out, [&whole[..], &whole[..]].concat(), "{}", case.name);
            } else {
                assert!(bytes.ends_with(&[0; 20]), "{} twice", case.name);
            }
        }
    }
}

#[test]
fn l20_the_media_type_is_only_a_hint() {
    let media_types = [
        ("application/vnd.oci.image.layer.v1.tar+gzip", Some(Format::Gzip)),
        ("application/vnd.oci.image.layer.v1.tar+zstd", Some(Format::Zstd)),
        ("application/vnd.oci.image.layer.v1.tar", Some(Format::Identity)),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip; x=y", Some(Format::Gzip)),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", Some(Format::Gzip)),
        ("application/vnd.docker.image.rootfs.diff.tar.zstd", Some(Format::Zstd)),
        ("application/vnd.docker.image.rootfs.diff.tar", Some(Format::Identity)),
        ("application/octet-stream", None),
        ("", None),
    ];
    for (media_type, format) in media_types {
        assert_eq!(Format::of_media_type(media_type), format, "{media_type}");
    }
    let gzip = corpus().into_iter().find(|(case, _)| case.file.as_deref() == Some("gzip9.gz")).unwrap().1;
    for (expected, bytes, mismatch) in [
        (Some(Format::Gzip), &gzip[..], None),
        (None, &gzip, None),
        (Some(Format::Zstd), &gzip, Some(Format::Gzip)),
        (Some(Format::Gzip), b"plain, and long enough", Some(Format::Identity)),
        (Some(Format::Gzip), b"", None),
    ] {
        let mut decoder = Decoder::new(&SoftCodecs, expected, &Limits::default());
        drive(&mut decoder, bytes, 5, 50).1.unwrap();
        assert_eq!(decoder.mismatch().map(|mismatch| mismatch.actual), mismatch);
    }
}

#[test]
fn blocks_are_found_over_all_members_and_only_when_asked_for() {
    let plain = sample(400_000);
    let member = |plain: &[u8]| {
        let mut encoder = GzipEncoder::new(6).unwrap();
        drive(&mut encoder, plain, usize::MAX, 1 << 16).0
    };
    let (first, second) = (member(&plain[..150_000]), member(&plain[150_000..]));
    let mut file = first.clone();
    file.extend_from_slice(&second);
    file.extend_from_slice(&[0; 10]);
    let blocks_of = |decoder: &mut Decoder<'_>, file: &[u8]| {
        let asked = decoder.report_blocks();
        assert!(asked);
        drive(decoder, file, 1000, 7000).1.unwrap();
        let mut blocks = Vec::new();
        decoder.take_blocks(&mut blocks);
        let mut more = Vec::new();
        decoder.take_blocks(&mut more);
        assert_eq!(more, []);
        blocks
    };
    let decoder = || Decoder::new(&SoftCodecs, None, &Limits::default());
    let of_first = blocks_of(&mut decoder(), &first);
    let of_second = blocks_of(&mut decoder(), &second);
    assert!(of_first.len() > 1 && of_second.len() > 1);
    let expected: Vec<Block> = of_first
        .iter()
        .copied()
        .chain(of_second.iter().map(|block| block.moved(8 * first.len() as u64, 150_000)))
        .collect();
    assert_eq!(blocks_of(&mut decoder(), &file), expected);
    assert_eq!(expected[0].bits().start, 8 * GZIP_HEADER_BYTES as u64);
    assert_eq!(expected[of_first.len()].reach(), 0, "a block refers to the member before");
    assert_eq!(expected.last().unwrap().bytes().end, 400_000);

    let mut silent = decoder();
    drive(&mut silent, &file, 1000, 7000).1.unwrap();
    let mut blocks = Vec::new();
    silent.take_blocks(&mut blocks);
    assert_eq!(blocks, []);
    // What is no gzip has none, and says so once it is known.
    let mut plain = decoder();
    assert!(plain.report_blocks());
    drive(&mut plain, b"not compressed at all", 9, 9).1.unwrap();
    plain.take_blocks(&mut blocks);
    assert_eq!((blocks, plain.report_blocks()), (Vec::new(), false));
}

/// A decoder that gives a thousand bytes for each one.
struct Blow;
impl Codec for Blow {
    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress> {
        let read = input.len().min(output.len() / 1000);
        let needs = if read == input.len() { Needs::Input } else { Needs::Output };
        Ok(Progress { read, written: read * 1000, needs })
    }
    fn finish(&mut self, _: &mut [u8]) -> Result<Progress> {
        Ok(Progress { read: 0, written: 0, needs: Needs::Nothing })
    }
}
impl Codecs for Blow {
    fn decoder(&self, _: Format, _: &Limits) -> Result<Box<dyn Codec>> {
        Ok(Box::new(Blow))
    }
    fn encoder(&self, _: Format, _: Option<i32>) -> Result<Box<dyn Codec>> {
        Ok(Box::new(Blow))
    }
}

#[test]
fn l24_the_ratio_is_judged_above_a_gibibyte() {
    let mut buffer = vec![0; 4 << 20];
    for (ratio, fails) in [(1000, false), (999, true)] {
        let limits = Limits { ratio, ..Limits::default() };
        let mut decoder = Decoder::new(&Blow, None, &limits);
        let failed = loop {
            match decoder.process(&[1; 4000], &mut buffer) {
                Ok(_) if decoder.written() > 2 << 30 => break None,
                Ok(_) => {}
                Err(error) => break Some(error),
            }
        };
        match failed {
            None => assert!(!fails),
            Some(error) => {
                assert!(fails && decoder.written() > 1 << 30);
                let kind = ErrorKind::LimitExceeded { limit: "ratio", value: 999 };
                assert_eq!(error.kind(), &kind);
            }
        }
    }
}

#[test]
fn l24_the_window_is_settable() {
    let long = corpus().into_iter().find(|(case, _)| case.file.as_deref() == Some("long.zst")).unwrap().1;
    let limits = Limits { zstd_window_bytes: (128 << 20) - 1, ..Limits::default() };
    let error = drive(&mut ZstdDecoder::new(&limits), &long, 9, 9).1.unwrap_err();
    assert_eq!(
        error.kind(),
        &ErrorKind::LimitExceeded { limit: "zstd_window_bytes", value: (128 << 20) - 1 }
    );
}

#[test]
fn levels_are_checked() {
    for level in [-1, 10] {
        assert_eq!(SoftCodecs.encoder(Format::Gzip, Some(level)).err().unwrap().code(), "invalid_option");
    }
    assert_eq!(SoftCodecs.encoder(Format::Identity, Some(1)).err().unwrap().code(), "invalid_option");
    assert_eq!(SoftCodecs.encoder(Format::Zstd, None).err().unwrap().code(), "unsupported_compression");
    assert_eq!(Format::Zstd.level(None), Ok(3));
}

fn sample(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    (0..len)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if i / 5000 % 3 == 0 {
                (state >> 24) as u8
            } else {
                b"wharfie crane quay "[(state >> 28) as usize]
            }
        })
        .collect()
}

#[test]
fn l26_what_gzip_gives_does_not_hang_on_how_the_input_is_cut() {
    for len in [0, 1, 100, 300_000] {
        let plain = sample(len);
        for level in 0..=9 {
            let pack = |piece, room| {
                let (packed, result) =
                    drive(&mut *SoftCodecs.encoder(Format::Gzip, Some(level)).unwrap(), &plain, piece, room);
                result.unwrap();
                packed
            };
            let packed = pack(usize::MAX, 1 << 16);
            assert_eq!(packed[..10], gzip_header(level));
            assert!(level == 0 || len < 1000 || packed.len() < len * 4 / 5);
            assert_eq!(decode(&packed, 1 << 12, 1 << 16), (plain.clone(), Ok(())));
            for (piece, room) in [(1, 1 << 16), (usize::MAX, 1), (33_333, 100), (65_537, 4096)] {
                if len < 1000 || room > 1 || level % 3 == 0 {
                    assert!(
                        pack(piece, room) == packed,
                        "level {level}, {len} bytes, cut {piece}, room {room}"
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn gzip_gives_back_what_it_took(
        plain in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>(), 0_u8..4], 0..3000),
        level in 0..=9, piece in 1_usize..400, room in 1_usize..400,
    ) {
        let (packed, result) = drive(&mut GzipEncoder::new(level).unwrap(), &plain, piece, room);
        prop_assert!(result.is_ok());
        prop_assert_eq!(decode(&packed, room, piece), (plain, Ok(())));
    }

    #[test]
    fn no_input_makes_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), seed in 0_usize..100, at in 0_usize..2000) {
        let (mut good, format) = {
            let corpus = corpus();
            let (case, good) = &corpus[seed % corpus.len()];
            (good.clone(), case.format.clone())
        };
        let at = at.min(good.len());
        good.truncate(at.max(4).min(good.len()));
        good.extend_from_slice(&bytes);
        let _ = (decode(&good, 100, 1000), format);
    }
}

/// Decodes whole, noting checkpoints; then from each of them, which must give what the whole gives from there on.
fn resumes(bytes: &[u8], every: u64, piece: usize, room: usize) -> usize {
    let mut decoder = Decoder::new(&SoftCodecs, None, &Limits::default());
    assert!(decoder.note_checkpoints(every));
    let (plain, result) = drive(&mut decoder, bytes, piece, room);
    result.unwrap();
    let format = decoder.format().unwrap();
    let mut checkpoints = Vec::new();
    decoder.take_checkpoints(&mut checkpoints);
    let mut last = 0;
    for checkpoint in &checkpoints {
        assert!(checkpoint.byte() >= last + every);
        last = checkpoint.byte();
        let at = checkpoint.byte() as usize;
        assert!(plain[..at].ends_with(checkpoint.window()));
        let from = &bytes[checkpoint.blob_at() as usize..];
        for (piece, room) in [(usize::MAX, 1 << 16), (piece, room), (1, 500)] {
            let mut decoder = checkpoint.decoder(format, &SoftCodecs, &Limits::default()).unwrap();
            let (rest, result) = drive(&mut *decoder, from, piece, room);
            result.unwrap();
            assert!(rest == plain[at..], "{every} {checkpoint:?}");
        }
    }
    checkpoints.len()
}

#[test]
fn whatever_can_be_decoded_can_be_decoded_from_its_checkpoints() {
    let mut met = (0, 0);
    for (case, bytes) in corpus().into_iter().filter(|(case, _)| case.error.is_none()) {
        let format = Format::detect(&bytes[..bytes.len().min(Format::MAGIC_BYTES)]).unwrap();
        if format == Format::Identity || case.size.unwrap_or(0) > 200_000 {
            continue;
        }
        let count = resumes(&bytes, 1, 1000, 33);
        *(if format == Format::Gzip { &mut met.0 } else { &mut met.1 }) += count;
    }
    assert!(met.0 > 2 && met.1 > 1, "{met:?}");
}

#[test]
fn checkpoints_are_as_far_apart_as_they_shall_be() {
    let plain: Vec<u8> = (0..700_000_u32).flat_map(|i| (i.wrapping_mul(i) >> 7).to_le_bytes()).collect();
    let pack = |level| {
        let (packed, result) = drive(&mut GzipEncoder::new(level).unwrap(), &plain, usize::MAX, 1 << 16);
        result.unwrap();
        packed
    };
    for level in [1, 6] {
        let packed = pack(level);
        let count = resumes(&packed, 100_000, 3_000, 10_000);
        assert!((10..=28).contains(&count), "{count}");
        // The distance counts over members, and a window never reaches into the one before.
        let three = [&packed[..], &packed, &packed].concat();
        assert_eq!(resumes(&three, 4_000_000, usize::MAX, 1 << 16), 2);
    }
    let small: Vec<u8> = (0..40)
        .flat_map(|i| {
            let (packed, _) = drive(&mut GzipEncoder::new(6).unwrap(), &plain[i * 1000..][..1000], 100, 100);
            packed
        })
        .collect();
    assert_eq!(resumes(&small, 7_500, 100, 100), 4);
    // What is wrong behind the member in which it begins is still found.
    let mut two = [pack(6), pack(1)].concat();
    let mut decoder = Decoder::new(&SoftCodecs, None, &Limits::default());
    decoder.note_checkpoints(1 << 20);
    drive(&mut decoder, &two, usize::MAX, 1 << 16).1.unwrap();
    let mut checkpoints = Vec::new();
    decoder.take_checkpoints(&mut checkpoints);
    let last = two.len() - 5;
    two[last] ^= 1;
    let mut first = checkpoints[0].decoder(Format::Gzip, &SoftCodecs, &Limits::default()).unwrap();
    let from = &two[checkpoints[0].blob_at() as usize..];
    assert_eq!(drive(&mut *first, from, 999, 1 << 16).1.unwrap_err().code(), "corrupt_stream");
}
