//! Bytes of a blob that were fed and wait to be decoded.

use alloc::vec::Vec;

use super::PIECE;

/// They are kept, [`PIECE`] at most, since what is decoded of them may be more than one step may do.
#[derive(Debug, Default)]
pub(super) struct Intake {
    bytes: Vec<u8>,
    used: usize,
}

impl Intake {
    /// Takes as many as there is room for.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        self.bytes.drain(..self.used);
        self.used = 0;
        let taken = bytes.get(..bytes.len().min(PIECE.saturating_sub(self.bytes.len()))).unwrap_or_default();
        self.bytes.extend_from_slice(taken);
        taken.len()
    }

    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.used..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used >= self.bytes.len()
    }

    /// So many of them are decoded.
    pub(super) fn used(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes).min(self.bytes.len());
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.used = 0;
    }

    /// Nothing more will come for now: the memory can go.
    pub(super) fn release(&mut self) {
        *self = Intake::default();
    }
}
