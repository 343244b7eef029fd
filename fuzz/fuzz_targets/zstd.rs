//! zstd: whole and in pieces the same, never a panic.
#![no_main]

mod codec;

use libfuzzer_sys::fuzz_target;
use wharfie_core::Limits;
use wharfie_core::codec::ZstdDecoder;

const CAP: usize = 4 << 20;

fuzz_target!(|data: &[u8]| {
    // Not a byte of its own, so that files are a corpus as they are: `cargo fuzz run zstd corpus ../testdata/codec`.
    let seed = data.iter().fold(data.len() as u8, |seed, byte| seed.rotate_left(3) ^ byte);
    let (piece, room) = (usize::from(seed & 15) + 1, usize::from(seed >> 4) * 100 + 1);
    let limits = Limits { zstd_window_bytes: 8 << 20, ..Limits::default() };
    let whole = codec::drive(&mut ZstdDecoder::new(&limits), data, data.len(), 1 << 16, CAP);
    let pieces = codec::drive(&mut ZstdDecoder::new(&limits), data, piece, room, CAP);
    if whole.1.as_deref() != Some("cap") && pieces.1.as_deref() != Some("cap") {
        assert_eq!(whole.1, pieces.1);
        assert!(whole.1.is_some() || whole.0 == pieces.0);
    }
});
