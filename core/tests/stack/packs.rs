//! Layers packed in all ways, and unpacked.

use wharfie_core::Limits;
use wharfie_core::codec::{Codec as _, Codecs as _, Decoder, Format, Needs, SoftCodecs};

/// One gzip member.
pub(crate) fn gzip(plain: &[u8], level: i32) -> Vec<u8> {
    let mut encoder = SoftCodecs.encoder(Format::Gzip, Some(level)).unwrap();
    let (mut out, mut buffer, mut rest) = (Vec::new(), vec![0; 64 << 10], plain);
    loop {
        let step =
            if rest.is_empty() { encoder.finish(&mut buffer) } else { encoder.process(rest, &mut buffer) };
        let step = step.unwrap();
        rest = &rest[step.read..];
        out.extend_from_slice(&buffer[..step.written]);
        if step.needs == Needs::Nothing {
            return out;
        }
    }
}

/// Members of so many bytes.
pub(crate) fn gzip_members(plain: &[u8], level: i32, each: usize) -> Vec<u8> {
    if plain.is_empty() {
        return gzip(plain, level);
    }
    plain.chunks(each).flat_map(|part| gzip(part, level)).collect()
}

/// A frame of raw blocks (RFC 8878, 3.1.1): its size stated in 8 bytes, a window of 128 KiB, no checksum.
fn zstd_frame(blocks: &[(u32, u32, &[u8])], content: u64) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1100_0000, 7 << 3];
    out.extend_from_slice(&content.to_le_bytes());
    for (at, (kind, size, bytes)) in blocks.iter().enumerate() {
        let header = size << 3 | kind << 1 | u32::from(at + 1 == blocks.len());
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(bytes);
    }
    out
}

/// zstd that packs nothing, in frames of so many bytes.
pub(crate) fn zstd(plain: &[u8], each: usize) -> Vec<u8> {
    if plain.is_empty() {
        return zstd_frame(&[(0, 0, &[])], 0);
    }
    let frame = |part: &[u8]| {
        let blocks: Vec<_> = part.chunks(100_000).map(|block| (0, block.len() as u32, block)).collect();
        zstd_frame(&blocks, part.len() as u64)
    };
    plain.chunks(each).flat_map(frame).collect()
}

/// zstd of so many zeros: 4 bytes for each 128 KiB.
pub(crate) fn zstd_of_zeros(len: usize) -> Vec<u8> {
    const BLOCK: usize = 128 << 10;
    let blocks: Vec<_> =
        (0..len.div_ceil(BLOCK)).map(|at| (1, BLOCK.min(len - at * BLOCK) as u32, &[0][..])).collect();
    zstd_frame(&blocks, len as u64)
}

/// All of a tar's packings by number.
pub(crate) const PACKS: usize = 6;

pub(crate) fn pack(tar: &[u8], how: usize) -> Vec<u8> {
    match how % PACKS {
        0 => tar.to_vec(),
        1 => gzip(tar, 6),
        2 => zstd(tar, usize::MAX),
        3 => gzip_members(tar, 1, 1_300),
        4 => zstd(tar, 700),
        _ => gzip(tar, 0),
    }
}

/// What a blob holds, if it can be decoded.
pub(crate) fn decoded(blob: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(&SoftCodecs, None, &Limits::default());
    let (mut tar, mut buffer, mut rest) = (Vec::new(), vec![0; 64 << 10], blob);
    loop {
        let step =
            if rest.is_empty() { decoder.finish(&mut buffer) } else { decoder.process(rest, &mut buffer) };
        let step = step.ok()?;
        tar.extend_from_slice(&buffer[..step.written]);
        rest = &rest[step.read..];
        if step.needs == Needs::Nothing {
            return Some(tar);
        }
    }
}

/// Bytes that do not pack well, the same in every run.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut dice = seed;
    (0..len)
        .map(|_| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Some of it does.
            b"0123456789abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ\n"[(dice >> 33) as usize % 64]
        })
        .collect()
}
