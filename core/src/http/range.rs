//! Byte ranges: `Range` and `Content-Range` (RFC 9110 §14), and the `Range` with which a registry says how much of an
//! upload it has (distribution specification, "Pushing a blob in chunks").

use core::fmt;

/// A closed range of bytes, counted from 0, both ends included. Shown as `bytes=N-M`, the value of a request's `Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRange {
    /// The first byte.
    pub first: u64,
    /// The last byte, not before the first.
    pub last: u64,
}

impl ByteRange {
    /// From `first` to `last`; `None` if `last` is before `first`.
    pub fn new(first: u64, last: u64) -> Option<ByteRange> {
        (first <= last).then_some(ByteRange { first, last })
    }

    /// Of `len` bytes from `offset`; `None` if there are none, or if the end does not fit.
    pub fn at(offset: u64, len: u64) -> Option<ByteRange> {
        Some(ByteRange { first: offset, last: offset.checked_add(len.checked_sub(1)?)? })
    }

    /// How many bytes (2^64 counts as 2^64-1).
    pub fn len(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// Never: a closed range has at least one byte.
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes={}-{}", self.first, self.last)
    }
}

/// What a response holds: `Content-Range` (RFC 9110 §14.4). Shown as its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// `bytes 0-9/100` or `bytes 0-9/*`, with 206.
    Part {
        /// The bytes sent.
        range: ByteRange,
        /// The size of the whole, where the server knows it.
        size: Option<u64>,
    },
    /// `bytes */100`, with 416.
    Unsatisfied {
        /// The size of the whole.
        size: u64,
    },
}

impl ContentRange {
    /// Reads the value of the field; `None` if it is malformed, contradicts itself or counts in another unit.
    pub fn parse(text: &str) -> Option<ContentRange> {
        let _ = text;
        None
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContentRange::Part { range, size: Some(size) } => {
                write!(f, "bytes {}-{}/{size}", range.first, range.last)
            }
            ContentRange::Part { range, size: None } => write!(f, "bytes {}-{}/*", range.first, range.last),
            ContentRange::Unsatisfied { size } => write!(f, "bytes */{size}"),
        }
    }
}

/// How much of an upload the registry has: the `Range` of its responses, `0-9`. Shown as its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadRange {
    /// Bytes received, from 0.
    pub received: u64,
}

impl UploadRange {
    /// Reads the value of the field: `0-9`, and `bytes=0-9` as some send it; `None` if it is malformed or does not begin
    /// at 0.
    ///
    /// `0-0` is what distribution sends for an upload without bytes, and what the specification means by one byte: it is
    /// read as none, for a fresh upload is what it nearly always is.
    pub fn parse(text: &str) -> Option<UploadRange> {
        let _ = text;
        None
    }
}

impl fmt::Display for UploadRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0-{}", self.received.saturating_sub(1))
    }
}

/// One range that a client asks for (RFC 9110 §14.1.2), before the size of the whole is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedRange {
    /// `bytes=N-M`
    Closed(ByteRange),
    /// `bytes=N-`
    From(u64),
    /// `bytes=-N`: the last N bytes.
    Suffix(u64),
}

impl RequestedRange {
    /// Reads a request's `Range`. `None` if it is malformed, in another unit or asks for several ranges: the server then
    /// answers as if there were none (RFC 9110 §14.2).
    pub fn parse(text: &str) -> Option<RequestedRange> {
        let _ = text;
        None
    }

    /// What it means for `size` bytes; `None` if none of it is there, which is answered with 416.
    pub fn resolve(self, size: u64) -> Option<ByteRange> {
        let _ = size;
        None
    }
}
