//! Where a deflate block stands.

use core::ops::Range;

/// A deflate block (RFC 1951 section 3.2.3) that was decoded whole: where it stands in the compressed data and what it
/// gave.
///
/// Its bits are a unit: behind any other data whose last [`Block::reach`] bytes are the same they give the same bytes
/// again. What does not travel with them is the first bit, which says whether it is the last block of its stream
/// ([`Block::is_last`]), and where a byte begins ([`Block::is_stored`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    bit: u64,
    byte: u64,
    bits: u32,
    bytes: u32,
    /// At most 32768.
    reach: u16,
    last: bool,
    stored: bool,
}

impl Block {
    /// Blocks that give fewer bytes are not reported: copying them saves nothing, and so a stream of tiny blocks cannot
    /// fill the memory with reports.
    pub const MIN_BYTES: u64 = 4096;

    /// The block at `bits` that gives `bytes` and refers to `reach` bytes before them; neither the last of its stream
    /// nor a stored one.
    ///
    /// `None` if it is no block worth reporting: fewer than [`Block::MIN_BYTES`], 2^32 or more bits or bytes, or a reach
    /// that deflate does not have.
    pub fn new(bits: Range<u64>, bytes: Range<u64>, reach: u64) -> Option<Block> {
        let len = bytes.end.checked_sub(bytes.start)?;
        if len < Block::MIN_BYTES || reach > super::WINDOW as u64 {
            return None;
        }
        Some(Block {
            bit: bits.start,
            byte: bytes.start,
            bits: u32::try_from(bits.end.checked_sub(bits.start)?).ok()?,
            bytes: u32::try_from(len).ok()?,
            reach: u16::try_from(reach).ok()?,
            last: false,
            stored: false,
        })
    }

    /// The same, as the last block of its stream or not.
    #[must_use]
    pub fn with_last(self, last: bool) -> Block {
        Block { last, ..self }
    }

    /// The same, as a stored block or not.
    #[must_use]
    pub fn with_stored(self, stored: bool) -> Block {
        Block { stored, ..self }
    }

    /// The same, `bits` and `bytes` further on.
    #[must_use]
    pub fn moved(self, bits: u64, bytes: u64) -> Block {
        Block { bit: self.bit.saturating_add(bits), byte: self.byte.saturating_add(bytes), ..self }
    }

    /// From the first bit of its header to behind its last bit, in bits of the compressed data. Bit 0 is the lowest bit
    /// of the first byte.
    pub fn bits(&self) -> Range<u64> {
        self.bit..self.bit.saturating_add(u64::from(self.bits))
    }

    /// What it gives, in bytes of the decoded data.
    pub fn bytes(&self) -> Range<u64> {
        self.byte..self.byte.saturating_add(u64::from(self.bytes))
    }

    /// How many bytes before its own it refers to at most: 0 if it stands alone, never more than 32768, and never more
    /// than its gzip member has given before it.
    pub fn reach(&self) -> u64 {
        u64::from(self.reach)
    }

    /// Whether it ends its deflate stream; its first bit is set then, and only then.
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Whether it holds its bytes uncompressed. Then there are bits without meaning before its length, so that this
    /// stands at a byte (RFC 1951 section 3.2.4): it can be copied bit for bit only to where bytes begin at the same
    /// bits.
    pub fn is_stored(&self) -> bool {
        self.stored
    }
}
