//! Tar bytes to entries, a chunk at a time, without holding any content.

use super::entry::Entry;
use super::notes::Counts;
use crate::error::Result;
use crate::limits::Limits;

/// What the parser found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // made once an entry, and moved on at once
pub enum Event {
    /// An entry begins; its stored bytes follow as `Data`.
    Entry(Entry),
    /// The last `len` bytes of what was consumed are stored bytes of the current entry.
    Data {
        /// How many; never 0.
        len: usize,
    },
    /// All input is consumed; feed more, or [`Parser::finish`].
    NeedInput,
    /// The end-of-archive marker was read. What follows is consumed and ignored (L22).
    End,
}

/// One step: how much of the input is used up, and what it meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that must not be given again.
    pub consumed: usize,
    /// What was found.
    pub event: Event,
}

/// A streaming parser for one tar.
///
/// Feed it the stream in pieces of any size, always from the first byte not consumed yet, until it answers
/// `NeedInput`; at the end of the stream call [`Parser::finish`]. After an error it is inert: every call repeats it.
#[derive(Clone, Debug)]
pub struct Parser {
    limits: Limits,
    counts: Counts,
    position: u64,
}

impl Parser {
    /// A parser at the start of a tar.
    pub fn new(limits: Limits) -> Self {
        Parser { limits, counts: Counts::default(), position: 0 }
    }

    /// Reads on. Content is never copied or looked at: one `Data` event for each piece of it that the input holds.
    pub fn feed(&mut self, input: &[u8]) -> Result<Step> {
        let _ = (input, &self.limits);
        Err(crate::error::ErrorKind::Internal { reason: "not written yet".into() }.into())
    }

    /// Jumps over what is left of the current entry's stored bytes and their padding. Answers how many bytes of the
    /// stream the caller must leave out: it vouches that they are there.
    pub fn skip(&mut self) -> u64 {
        0
    }

    /// The stream has ended.
    pub fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    /// Bytes consumed so far: the position in the uncompressed stream.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What was odd or dropped so far, counted by kind.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}
