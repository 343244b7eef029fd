//! Numbers and byte strings, one behind the other.

use alloc::vec::Vec;

/// Why bytes cannot be what they should be.
pub(super) type Refused = &'static str;

pub(super) const CUT: Refused = "it is cut short";

/// Appends a number, seven bits a byte, the lowest first.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a number that may be below zero.
pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, (number << 1 ^ number >> 63) as u64);
}

/// Appends bytes behind their number.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads them again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unpack<'b>(pub(super) &'b [u8]);

impl<'b> Unpack<'b> {
    pub(super) fn byte(&mut self) -> Result<u8, Refused> {
        let (byte, rest) = self.0.split_first().ok_or(CUT)?;
        self.0 = rest;
        Ok(*byte)
    }

    /// A number; each has one form only.
    pub(super) fn number(&mut self) -> Result<u64, Refused> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || (shift == 63 && bits > 1) || (byte == 0 && shift > 0) {
                return Err("a number is not in its form");
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    pub(super) fn signed(&mut self) -> Result<i64, Refused> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A number of 32 bits.
    pub(super) fn small(&mut self) -> Result<u32, Refused> {
        u32::try_from(self.number()?).map_err(|_| "a number is too large")
    }

    /// So many bytes.
    pub(super) fn take(&mut self, len: u64) -> Result<&'b [u8], Refused> {
        let len = usize::try_from(len).map_err(|_| CUT)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(CUT)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Bytes behind their number.
    pub(super) fn bytes(&mut self) -> Result<&'b [u8], Refused> {
        let len = self.number()?;
        self.take(len)
    }

    /// Four bytes.
    pub(super) fn word(&mut self) -> Result<u32, Refused> {
        let (word, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_have_one_form() {
        for number in [0, 1, 127, 128, 300, 1 << 32, u64::MAX >> 1, u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, number);
            put_signed(&mut out, number as i64);
            put_signed(&mut out, (number as i64).wrapping_neg());
            put_bytes(&mut out, b"abc");
            let mut unpack = Unpack(&out);
            assert_eq!(unpack.number(), Ok(number));
            assert_eq!(unpack.signed(), Ok(number as i64));
            assert_eq!(unpack.signed(), Ok((number as i64).wrapping_neg()));
            assert_eq!((unpack.bytes(), unpack.0), (Ok(&b"abc"[..]), &b""[..]));
            for end in 0..out.len() {
                let mut unpack = Unpack(&out[..end]);
                let all = unpack.number().and_then(|_| unpack.signed()).and_then(|_| unpack.signed());
                assert_eq!(all.and_then(|_| unpack.bytes()), Err(CUT), "{end}");
            }
        }
        for bytes in [&[0x80, 0][..], &[0xff, 0x80, 0], &[0xff; 10], &[0x80; 11]] {
            assert!(Unpack(bytes).number().is_err(), "{bytes:?}");
        }
        assert_eq!(Unpack(&[0xff, 0xff, 0xff, 0xff, 0x10]).small(), Err("a number is too large"));
    }
}
