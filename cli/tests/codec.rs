//! The native codecs and hashes do what core's own do, on the same corpus.

use std::path::Path;

use wharfie::codec::{NativeCodecs, NativeHashes};
use wharfie_core::codec::{Codec, Codecs, Decoder, Format, Needs, SoftCodecs};
use wharfie_core::digest::{Hasher, Hashes, SoftHashes};
use wharfie_core::{Algorithm, Digest, Error, Limits};

#[derive(serde::Deserialize)]
struct Corpus {
    case: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    file: Option<String>,
    bytes: Option<String>,
    size: Option<usize>,
    sha256: Option<String>,
    error: Option<String>,
    #[serde(default)]
    boundaries: Vec<usize>,
    #[serde(default)]
    open: bool,
}

fn corpus() -> Vec<(Case, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/codec");
    let corpus: Corpus = toml::from_str(&std::fs::read_to_string(dir.join("cases.toml")).unwrap()).unwrap();
    let bytes = |case: &Case| match (&case.file, &case.bytes) {
        (Some(file), None) => std::fs::read(dir.join(file)).unwrap(),
        (None, Some(hex)) => {
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
        }
        _ => panic!("{}: either a file or bytes", case.name),
    };
    corpus.case.into_iter().map(|case| (bytes(&case), case)).map(|(bytes, case)| (case, bytes)).collect()
}

fn drive(codec: &mut dyn Codec, input: &[u8], piece: usize, room: usize) -> (Vec<u8>, Result<(), Error>) {
    let mut out = Vec::new();
    let mut buffer = vec![0; room];
    let mut pieces = input.chunks(piece);
    let mut at = pieces.next();
    loop {
        let step = match at {
            Some(piece) => codec.process(piece, &mut buffer),
            None => codec.finish(&mut buffer),
        };
        let step = match step {
            Ok(step) => step,
            Err(error) => return (out, Err(error)),
        };
        out.extend_from_slice(&buffer[..step.written]);
        match (step.needs, at) {
            (Needs::Input, Some(piece)) => {
                assert_eq!(step.read, piece.len(), "it left input and asks for more");
                at = pieces.next();
            }
            (Needs::Output, _) => {
                assert!(step.read + step.written > 0, "it does not move");
                at = at.map(|piece| &piece[step.read..]);
            }
            (Needs::Nothing, None) => return (out, Ok(())),
            (needs, _) => panic!("{needs:?} at the wrong time"),
        }
    }
}

fn decode(input: &[u8], piece: usize, room: usize) -> (Vec<u8>, Result<(), Error>) {
    drive(&mut Decoder::new(&NativeCodecs, None, &Limits::default()), input, piece, room)
}

#[test]
fn l20_every_case_in_pieces_of_every_size() {
    for (case, bytes) in corpus() {
        for (piece, room) in [(usize::MAX, 1 << 16), (1, 1 << 16), (usize::MAX, 1), (1, 1), (7, 13)] {
            if case.size.unwrap_or(0) > 200_000 && room == 1 {
                continue;
            }
            let (out, result) = decode(&bytes, piece, room);
            match (&case.error, result) {
                (None, Ok(())) => {
                    assert_eq!(Some(out.len()), case.size, "{}", case.name);
                    assert_eq!(Some(Digest::sha256(&out).hex()), case.sha256, "{}", case.name);
                }
                (Some(code), Err(error)) => assert_eq!(error.code(), code, "{}: {error}", case.name),
                (expected, got) => panic!("{} {piece} {room}: expected {expected:?}, got {got:?}", case.name),
            }
        }
    }
}

#[test]
fn l20_cut_at_every_byte_it_fails_as_core_s_own_does() {
    for (case, bytes) in corpus().into_iter().filter(|(case, _)| case.error.is_none() && !case.open) {
        for cut in 4..bytes.len() {
            let (_, result) = decode(&bytes[..cut], 500, 1 << 16);
            assert_eq!(result.is_ok(), case.boundaries.contains(&cut), "{} cut at {cut}", case.name);
            if let Err(error) = result {
                assert_eq!(error.code(), "corrupt_stream", "{} cut at {cut}: {error}", case.name);
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_judged_as_core_s_own_judges_it() {
    for (case, bytes) in corpus().into_iter().filter(|(case, _)| case.error.is_none() && !case.open) {
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let native = decode(&flipped, usize::MAX, 1 << 16);
            let soft = drive(
                &mut Decoder::new(&SoftCodecs, None, &Limits::default()),
                &flipped,
                usize::MAX,
                1 << 16,
            );
            // libzstd looks at padding bits that ruzstd does not; nothing else may differ.
            let stricter = native.1.is_err() && Format::detect(&flipped) == Ok(Format::Zstd);
            let same = native.1.is_ok() == soft.1.is_ok();
            assert!(same || stricter, "{} at {at}: {:?}, {:?}", case.name, native.1, soft.1);
            assert!(native.1.is_err() || soft.1.is_err() || native.0 == soft.0, "{} at {at}", case.name);
        }
    }
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
fn l26_what_an_encoder_gives_does_not_hang_on_how_the_input_is_cut() {
    for len in [0, 1, 500_000] {
        let plain = sample(len);
        for (format, level) in
            [(Format::Gzip, None), (Format::Zstd, Some(1)), (Format::Zstd, None), (Format::Zstd, Some(19))]
        {
            let pack = |piece, room| {
                let mut encoder = NativeCodecs.encoder(format, level).unwrap();
                let (packed, result) = drive(&mut *encoder, &plain, piece, room);
                result.unwrap();
                packed
            };
            let packed = pack(usize::MAX, 1 << 20);
            for (piece, room) in [(1, 1 << 16), (usize::MAX, 1), (33_333, 100), (131_072, 4096)] {
                assert!(pack(piece, room) == packed, "{format} {level:?}, {len} bytes, {piece}, {room}");
            }
            for codecs in [&NativeCodecs as &dyn Codecs, &SoftCodecs] {
                let mut decoder = Decoder::new(codecs, None, &Limits::default());
                assert!(drive(&mut decoder, &packed, 1000, 1 << 16) == (plain.clone(), Ok(())));
                assert_eq!(decoder.format(), Some(format));
            }
        }
    }
}

#[test]
fn hashes_are_those_of_core() {
    let plain = sample(100_001);
    for algorithm in Algorithm::ALL {
        for len in [0, 1, 63, 64, 65, 100_001] {
            let hash = |hashes: &dyn Hashes, piece| {
                let mut hasher = Hasher::new(hashes, *algorithm);
                plain[..len].chunks(piece).for_each(|piece| hasher.update(piece));
                hasher.finish()
            };
            assert_eq!(hash(&NativeHashes, 7), hash(&SoftHashes, 1000));
        }
    }
}
