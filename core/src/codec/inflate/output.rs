//! The output at hand, and copies within it.

use super::WINDOW;

/// The output of one step.
pub(super) struct Output<'o> {
    pub(super) bytes: &'o mut [u8],
    /// Bytes that are there.
    pub(super) at: usize,
    /// What came before the first of them.
    pub(super) history: &'o [u8],
    /// The lowest position that a match referred to, and how far before the first byte one did.
    pub(super) lowest: usize,
    pub(super) before: usize,
}

impl<'o> Output<'o> {
    pub(super) fn new(bytes: &'o mut [u8], history: &'o [u8]) -> Output<'o> {
        Output { bytes, at: 0, history, lowest: usize::MAX, before: 0 }
    }

    pub(super) fn room(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Whether there are as many bytes as that to refer to.
    pub(super) fn reaches(&self, dist: usize) -> bool {
        dist <= self.at || dist - self.at <= self.history.len()
    }

    /// Copies what lies `dist` back until it has `len` bytes or the output is full. Answers how many it copied.
    pub(super) fn repeat(&mut self, dist: usize, len: usize) -> usize {
        let len = len.min(self.room());
        let mut left = len;
        if dist > self.at {
            let back = dist - self.at;
            self.before = self.before.max(back);
            let from = self.history.len().saturating_sub(back);
            let n = back.min(left);
            if let (Some(to), Some(from)) =
                (self.bytes.get_mut(self.at..self.at + n), self.history.get(from..from + n))
            {
                to.copy_from_slice(from);
            }
            self.at += n;
            left -= n;
        } else {
            self.lowest = self.lowest.min(self.at - dist);
        }
        // Each round doubles what repeats.
        let from = self.at.saturating_sub(dist);
        while left > 0 {
            let n = left.min(self.at - from);
            if n == 0 {
                break;
            }
            self.bytes.copy_within(from..from + n, self.at);
            self.at += n;
            left -= n;
        }
        len
    }

    /// Appends bytes, which there is room for.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        if let Some(to) = self.bytes.get_mut(self.at..self.at + bytes.len()) {
            to.copy_from_slice(bytes);
            self.at += bytes.len();
        }
    }

    /// Forgets what matches referred to.
    pub(super) fn forget_reach(&mut self) {
        (self.lowest, self.before) = (usize::MAX, 0);
    }

    /// How far before `start` matches refer, which is a position in this output or, below zero, before it.
    pub(super) fn reach(&self, start: i64) -> usize {
        let lowest = if self.before > 0 {
            -(self.before as i64)
        } else {
            i64::try_from(self.lowest).unwrap_or(i64::MAX)
        };
        start.saturating_sub(lowest).clamp(0, WINDOW as i64) as usize
    }
}
