//! CRC-32 by tables that are made when they are first needed.
//!
//! They are 16 KiB that nothing packs, and made in microseconds. What is done with them is what crc32fast does where
//! processors do not help, sixteen bytes at once.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// For each byte what it comes to `n` bytes further on: sixteen tables of 256. Whoever makes them makes the same ones.
static TABLES: [AtomicU32; 16 * 256] = [const { AtomicU32::new(0) }; 16 * 256];
static ARE_MADE: AtomicBool = AtomicBool::new(false);

/// The polynomial of RFC 1952, its lowest bit first.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// What stands behind [`look`].
#[cold]
fn make() {
    let mut of_byte = [0_u32; 256];
    for (byte, sum) in (0_u32..).zip(&mut of_byte) {
        *sum = (0..8).fold(byte, |sum, _| sum >> 1 ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 });
    }
    for (byte, sum) in of_byte.iter().enumerate() {
        let mut sum = *sum;
        for further in 0..16 {
            if let Some(place) = TABLES.get(further * 256 + byte) {
                place.store(sum, Ordering::Relaxed);
            }
            sum = sum >> 8 ^ of_byte.get((sum & 255) as usize).copied().unwrap_or_default();
        }
    }
    ARE_MADE.store(true, Ordering::Release);
}

/// What a byte comes to, `FURTHER` bytes further on.
#[inline(always)]
fn look<const FURTHER: usize>(byte: u8) -> u32 {
    TABLES.get(FURTHER * 256 + byte as usize).map_or(0, |sum| sum.load(Ordering::Relaxed))
}

/// The sum of bytes behind those that came to `sum`.
fn update(sum: u32, bytes: &[u8]) -> u32 {
    if !ARE_MADE.load(Ordering::Acquire) {
        make();
    }
    let mut sum = !sum;
    let (chunks, rest) = bytes.as_chunks::<16>();
    for [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] in chunks {
        let [s, t, u, v] = sum.to_le_bytes();
        sum = look::<15>(a ^ s) ^ look::<14>(b ^ t) ^ look::<13>(c ^ u) ^ look::<12>(d ^ v);
        sum ^= look::<11>(*e) ^ look::<10>(*f) ^ look::<9>(*g) ^ look::<8>(*h);
        sum ^= look::<7>(*i) ^ look::<6>(*j) ^ look::<5>(*k) ^ look::<4>(*l);
        sum ^= look::<3>(*m) ^ look::<2>(*n) ^ look::<1>(*o) ^ look::<0>(*p);
    }
    for byte in rest {
        sum = sum >> 8 ^ look::<0>(sum as u8 ^ byte);
    }
    !sum
}

/// As crc32fast's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hasher(u32);

impl Hasher {
    pub(crate) fn new() -> Hasher {
        Hasher::default()
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0 = update(self.0, bytes);
    }

    pub(crate) fn finalize(self) -> u32 {
        self.0
    }
}

pub(crate) fn hash(bytes: &[u8]) -> u32 {
    update(0, bytes)
}
