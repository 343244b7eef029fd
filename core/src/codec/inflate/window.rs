//! What the outputs before this one ended with.

use alloc::boxed::Box;
use alloc::vec;

use super::WINDOW;

/// The last [`WINDOW`] bytes of a stream before the output at hand.
///
/// They move up in a buffer twice as large, so that keeping a few more of them does not cost moving all the others.
pub(super) struct Window {
    buffer: Box<[u8]>,
    filled: usize,
}

impl Window {
    pub(super) fn new() -> Window {
        Window { buffer: vec![0; 2 * WINDOW].into_boxed_slice(), filled: 0 }
    }

    /// Without a buffer, to stand in for one.
    pub(super) fn empty() -> Window {
        Window { buffer: Box::default(), filled: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    /// All that can be referred to, the latest bytes last.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.filled.saturating_sub(WINDOW)..self.filled).unwrap_or_default()
    }

    /// Keeps what of `bytes` can still be referred to.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(bytes.len().saturating_sub(WINDOW)..).unwrap_or_default();
        if bytes.len() == WINDOW {
            self.filled = 0;
        } else if self.filled + bytes.len() > self.buffer.len() {
            let from = self.filled.saturating_sub(WINDOW);
            self.buffer.copy_within(from..self.filled, 0);
            self.filled -= from;
        }
        if let Some(to) = self.buffer.get_mut(self.filled..self.filled + bytes.len()) {
            to.copy_from_slice(bytes);
            self.filled += bytes.len();
        }
    }
}
