//! CRC-32: crc32fast's, but where a module's size counts.

#[cfg(not(target_family = "wasm"))]
pub(crate) use crc32fast::{Hasher, hash};
#[cfg(target_family = "wasm")]
pub(crate) use small::{Hasher, hash};

#[cfg(any(target_family = "wasm", test))]
mod small;

#[cfg(test)]
mod tests {
    use super::small;

    #[test]
    fn both_come_to_the_same() {
        let bytes: alloc::vec::Vec<u8> = (0..1000_u32).map(|n| ((n * n) >> 3) as u8).collect();
        for len in (0..70).chain([999, 1000]) {
            assert_eq!(small::hash(&bytes[..len]), crc32fast::hash(&bytes[..len]), "{len}");
            let mut hasher = small::Hasher::new();
            hasher.update(&bytes[..len / 3]);
            hasher.update(&bytes[len / 3..len]);
            assert_eq!(hasher.finalize(), crc32fast::hash(&bytes[..len]), "{len}");
        }
        assert_eq!(small::hash(b"123456789"), 0xcbf4_3926);
    }
}
