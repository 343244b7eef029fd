//! The input as bits.

/// Bits of a part of the input, lowest first (RFC 1951 section 3.1.1), and what was left of the part before it.
pub(super) struct Bits<'i> {
    pub(super) input: &'i [u8],
    /// Bytes of `input` that are in `buffer`, or were.
    pub(super) at: usize,
    /// The next bits, lowest first. Above the first `count` there are zeros, or what follows in `input`.
    pub(super) buffer: u64,
    /// At most 63.
    pub(super) count: u32,
}

impl<'i> Bits<'i> {
    /// Of `input` behind the bits that [`Bits::rest`] gave for the part before it.
    pub(super) fn new(input: &'i [u8], (buffer, count): (u64, u32)) -> Bits<'i> {
        Bits { input, at: 0, buffer, count }
    }

    /// What has been taken from the input and not been used.
    pub(super) fn rest(&self) -> (u64, u32) {
        (self.buffer & mask(self.count), self.count)
    }

    /// Takes as much of the input as fits: then there are at least 56 bits, or all that is left.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(word) = self.input.get(self.at..).and_then(|rest| rest.first_chunk()) {
            self.buffer |= u64::from_le_bytes(*word) << (self.count & 63);
            self.at += 7 - (self.count as usize >> 3 & 7);
            self.count |= 56;
        } else {
            while self.count < 56
                && let Some(&byte) = self.input.get(self.at)
            {
                self.buffer |= u64::from(byte) << self.count;
                self.count += 8;
                self.at += 1;
            }
        }
    }

    /// Takes the next `n` bits, 32 at most; `None`, and they stay, if they have not all come.
    #[inline(always)]
    pub(super) fn take(&mut self, n: u32) -> Option<u32> {
        self.refill();
        let bits = (self.buffer & mask(n)) as u32;
        self.skip(n).then_some(bits)
    }

    /// Passes over `n` bits, 63 at most, if they have been taken from the input.
    #[inline(always)]
    pub(super) fn skip(&mut self, n: u32) -> bool {
        if n > self.count {
            return false;
        }
        self.buffer >>= n & 63;
        self.count -= n;
        true
    }

    /// Gives the input back what was taken of it too early: all whole bytes.
    ///
    /// What came with earlier parts cannot be given back, and need not be: bits are only kept from part to part where
    /// something asked for more than them.
    pub(super) fn give_back(&mut self) {
        let bytes = (self.count as usize >> 3).min(self.at);
        self.at -= bytes;
        self.count -= 8 * bytes as u32;
        self.buffer &= mask(self.count);
    }
}

/// The lowest `n` bits, 63 at most.
#[inline(always)]
pub(super) fn mask(n: u32) -> u64 {
    (1 << (n & 63)) - 1
}
