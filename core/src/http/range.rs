//! Byte ranges: `Range` and `Content-Range` (RFC 9110 §14), and the `Range` with which a registry says how much of an
//! upload it has (distribution specification, "Pushing a blob in chunks").

use core::fmt;

use super::text::decimal;

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
        let rest = strip_unit(text, ' ')?;
        let (range, size) = rest.split_once('/')?;
        let size = match size.trim_ascii() {
            "*" => None,
            digits => Some(decimal(digits)?),
        };
        match (range.trim_ascii(), size) {
            ("*", size) => Some(ContentRange::Unsatisfied { size: size? }),
            (range, size) => {
                let range = closed(range)?;
                size.is_none_or(|size| range.last < size).then_some(ContentRange::Part { range, size })
            }
        }
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
        let text = text.trim_ascii();
        let range = strip_unit(text, '=').unwrap_or(text);
        // Some write size minus one without looking whether there is any.
        if matches!(range, "0-0" | "0--1") {
            return Some(UploadRange { received: 0 });
        }
        let range = closed(range)?;
        (range.first == 0)
            .then(|| range.last.checked_add(1))
            .flatten()
            .map(|received| UploadRange { received })
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
        let (first, last) = strip_unit(text, '=')?.split_once('-')?;
        match (first.trim_ascii_start(), last.trim_ascii_end()) {
            ("", last) => Some(RequestedRange::Suffix(decimal(last)?)),
            (first, "") => Some(RequestedRange::From(decimal(first)?)),
            (first, last) => ByteRange::new(decimal(first)?, decimal(last)?).map(RequestedRange::Closed),
        }
    }

    /// What it means for `size` bytes; `None` if none of it is there, which is answered with 416.
    pub fn resolve(self, size: u64) -> Option<ByteRange> {
        let end = size.checked_sub(1)?;
        match self {
            RequestedRange::Closed(range) => ByteRange::new(range.first, range.last.min(end)),
            RequestedRange::From(first) => ByteRange::new(first, end),
            RequestedRange::Suffix(0) => None,
            RequestedRange::Suffix(len) => ByteRange::new(size.saturating_sub(len), end),
        }
    }
}

/// What follows `bytes` (range units compare without case, RFC 9110 §14.1) and the separator.
fn strip_unit(text: &str, separator: char) -> Option<&str> {
    let (unit, rest) = text.trim_ascii().split_once(separator)?;
    unit.eq_ignore_ascii_case("bytes").then(|| rest.trim_ascii())
}

fn closed(text: &str) -> Option<ByteRange> {
    let (first, last) = text.split_once('-')?;
    ByteRange::new(decimal(first)?, decimal(last)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::corpus;
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::string::{String, ToString};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "snake_case", tag = "kind")]
    enum Case {
        /// `Content-Range`; `shown` where it is written differently.
        Content {
            input: String,
            first: Option<u64>,
            last: Option<u64>,
            size: Option<u64>,
            #[serde(default)]
            invalid: bool,
            shown: Option<String>,
        },
        Upload {
            input: String,
            received: Option<u64>,
            #[serde(default)]
            invalid: bool,
        },
        /// `Range` of a request, for a body of `size` bytes.
        Request {
            input: String,
            size: u64,
            first: Option<u64>,
            last: Option<u64>,
            #[serde(default)]
            ignored: bool,
        },
    }

    #[test]
    fn corpus_cases() {
        for case in corpus::cases::<Case>(include_str!("../../../testdata/ranges.toml")) {
            match case {
                Case::Content { input, first, last, size, invalid, shown } => {
                    let wanted = match (first, last) {
                        _ if invalid => None,
                        (Some(first), Some(last)) => {
                            Some(ContentRange::Part { range: ByteRange { first, last }, size })
                        }
                        _ => Some(ContentRange::Unsatisfied { size: size.unwrap() }),
                    };
                    let found = ContentRange::parse(&input);
                    assert_eq!(found, wanted, "{input}");
                    if let Some(found) = found {
                        assert_eq!(found.to_string(), shown.unwrap_or(input));
                    }
                }
                Case::Upload { input, received, invalid } => {
                    assert_eq!(invalid, received.is_none(), "{input}");
                    assert_eq!(UploadRange::parse(&input).map(|range| range.received), received, "{input}");
                }
                Case::Request { input, size, first, last, ignored } => {
                    let found = RequestedRange::parse(&input);
                    assert_eq!(found.is_none(), ignored, "{input}");
                    let wanted = first.zip(last).map(|(first, last)| ByteRange { first, last });
                    assert_eq!(found.and_then(|range| range.resolve(size)), wanted, "{input} of {size}");
                }
            }
        }
    }

    #[test]
    fn lengths_do_not_overflow() {
        assert_eq!(ByteRange::new(0, u64::MAX).unwrap().len(), u64::MAX);
        assert_eq!(ByteRange::at(5, 0), None);
        assert_eq!(ByteRange::at(u64::MAX, 2), None);
        assert_eq!(ByteRange::at(u64::MAX, 1).unwrap().len(), 1);
        assert_eq!(ByteRange::new(2, 1), None);
        assert_eq!(UploadRange { received: 0 }.to_string(), "0-0");
        assert_eq!(UploadRange { received: 10 }.to_string(), "0-9");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in r"(bytes|[=/*, -]|\d{1,20}|\PC){0,8}", size: u64) {
            ContentRange::parse(&text);
            UploadRange::parse(&text);
            RequestedRange::parse(&text).and_then(|range| range.resolve(size));
        }

        #[test]
        fn what_is_written_is_read(first: u64, len in 1u64..1 << 40, size: Option<u64>) {
            let Some(range) = ByteRange::at(first >> 1, len) else { return Ok(()) };
            prop_assert_eq!(range.len(), len);
            prop_assert_eq!(RequestedRange::parse(&range.to_string()), Some(RequestedRange::Closed(range)));
            let size = size.map(|size| size.max(range.last.saturating_add(1)));
            let part = ContentRange::Part { range, size };
            prop_assert_eq!(ContentRange::parse(&part.to_string()), Some(part));
        }

        #[test]
        fn what_is_resolved_lies_inside(text in r"bytes=\d{0,3}-\d{0,3}", size in 0u64..300) {
            if let Some(range) = RequestedRange::parse(&text).and_then(|range| range.resolve(size)) {
                prop_assert!(range.first <= range.last && range.last < size);
            }
        }
    }
}
