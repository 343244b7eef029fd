//! gzip: whole and in pieces the same, never a panic; and what the encoder gives comes back.
#![no_main]

mod codec;

use libfuzzer_sys::fuzz_target;
use wharfie_core::codec::{GzipDecoder, GzipEncoder, Inflater};

const CAP: usize = 4 << 20;

fuzz_target!(|data: &[u8]| {
    // Not a byte of its own, so that files are a corpus as they are: `cargo fuzz run gzip corpus ../testdata/codec`.
    let seed = data.iter().fold(data.len() as u8, |seed, byte| seed.rotate_left(3) ^ byte);
    let (piece, room) = (usize::from(seed & 15) + 1, usize::from(seed >> 4) * 100 + 1);
    let decoder = || GzipDecoder::new(Inflater::new());
    let whole = codec::drive(&mut decoder(), data, data.len(), 1 << 16, CAP);
    let pieces = codec::drive(&mut decoder(), data, piece, room, CAP);
    if whole.1.as_deref() != Some("cap") && pieces.1.as_deref() != Some("cap") {
        assert_eq!(whole.1, pieces.1);
        assert!(whole.1.is_some() || whole.0 == pieces.0);
    }
    let level = i32::from(seed % 10);
    let packed = codec::drive(&mut GzipEncoder::new(level).unwrap(), data, piece, room, usize::MAX);
    assert_eq!(packed.1, None);
    let back = codec::drive(&mut decoder(), &packed.0, 1000, 1 << 16, usize::MAX);
    assert_eq!((back.0.as_slice(), back.1), (data, None));
});
