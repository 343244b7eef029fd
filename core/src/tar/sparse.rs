//! Files stored without their holes (L17): old GNU, PAX 0.0, 0.1 and 1.0.

use alloc::format;
use alloc::vec::Vec;

use super::header::{invalid, number};
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;

/// Stored bytes `len` long that lie at `offset` in the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where in the content.
    pub offset: u64,
    /// How many bytes; never 0 in a map.
    pub len: u64,
}

/// Where the stored bytes lie in the content: ascending, apart from each other, none empty, all within the size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseMap {
    pub(super) segments: Vec<Segment>,
    pub(super) size: u64,
}

impl SparseMap {
    /// A map out of offsets and lengths as read, for a file of `size` bytes of which `stored` are stored.
    pub(crate) fn new(fragments: &[Segment], size: u64, stored: u64, limits: &Limits) -> Result<Self> {
        if size > limits.sparse_bytes {
            return Err(ErrorKind::LimitExceeded { limit: "sparse_bytes", value: limits.sparse_bytes }.into());
        }
        let mut segments: Vec<Segment> = Vec::with_capacity(fragments.len());
        let (mut end, mut sum) = (0u64, 0u64);
        for fragment in fragments {
            let next = fragment.offset.checked_add(fragment.len).filter(|next| *next <= size);
            let Some(next) = next.filter(|_| fragment.offset >= end) else {
                let Segment { offset, len } = fragment;
                return Err(invalid(format!(
                    "a sparse map whose fragment of {len} bytes at {offset} overlaps the one before or leaves the file of {size}"
                )));
            };
            if fragment.len == 0 {
                continue;
            }
            // GNU tar begins each fragment with a block of its own, Go, Python and libarchive do not.
            if !sum.is_multiple_of(super::BLOCK as u64) {
                return Err(invalid(
                    "a sparse map with a fragment after one that does not fill its last block",
                ));
            }
            (end, sum) = (next, sum + fragment.len);
            match segments.last_mut() {
                Some(last) if last.offset + last.len == fragment.offset => last.len += fragment.len,
                _ => segments.push(*fragment),
            }
        }
        if sum != stored {
            return Err(invalid(format!("a sparse map of {sum} bytes for {stored} stored ones")));
        }
        Ok(SparseMap { segments, size })
    }

    /// The segments in order; their lengths add up to the entry's `stored`.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Bytes of content, holes included.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A walk over the whole content.
    pub fn expander(&self) -> Expander<'_> {
        Expander { segments: self.segments.iter(), current: None, position: 0, size: self.size }
    }
}

/// Adds a fragment to those read so far.
pub(super) fn push(fragments: &mut Vec<Segment>, fragment: Segment, limits: &Limits) -> Result<()> {
    if fragments.len() >= limits.sparse_fragments as usize {
        let value = u64::from(limits.sparse_fragments);
        return Err(ErrorKind::LimitExceeded { limit: "sparse_fragments", value }.into());
    }
    fragments.push(fragment);
    Ok(())
}

/// Reads the fragments of an old GNU header or extension block; the first blank one ends the map. Answers whether it
/// has ended.
pub(super) fn push_gnu(fragments: &mut Vec<Segment>, fields: &[u8], limits: &Limits) -> Result<bool> {
    for pair in fields.chunks_exact(24) {
        let (offset, len) = pair.split_at_checked(12).unwrap_or_default();
        match (offset.first(), len.first()) {
            (Some(0), Some(0)) => return Ok(true),
            (Some(0), _) | (_, Some(0)) => return Err(invalid("half a fragment in a sparse map")),
            _ => {}
        }
        let positive = |field, what| {
            let value = number(field, what)?;
            u64::try_from(value)
                .map_err(|_| invalid(format!("the {what} {value} in a sparse map is out of range")))
        };
        push(
            fragments,
            Segment { offset: positive(offset, "offset")?, len: positive(len, "length")? },
            limits,
        )?;
    }
    Ok(false)
}

/// The map of PAX 1.0 that precedes the content in blocks of its own: lines of decimals, the number of fragments,
/// then offset and length of each.
#[derive(Clone, Debug, Default)]
pub(super) struct MapReader {
    pub(super) fragments: Vec<Segment>,
    /// Fragments there will be.
    total: Option<u64>,
    offset: Option<u64>,
    number: u64,
    digits: u32,
    /// Blocks read.
    pub(super) blocks: u64,
}

impl MapReader {
    /// Reads a block. Answers whether the map is complete; the rest of its last block is padding.
    pub(super) fn read(&mut self, block: &[u8], limits: &Limits) -> Result<bool> {
        self.blocks += 1;
        for byte in block {
            match byte {
                b'0'..=b'9' if self.digits < 18 => {
                    self.number = self.number * 10 + u64::from(byte - b'0');
                    self.digits += 1;
                }
                b'\n' if self.digits > 0 => {
                    let number = core::mem::take(&mut self.number);
                    self.digits = 0;
                    match (self.total, self.offset.take()) {
                        (None, _) => self.total = Some(number),
                        (_, None) => self.offset = Some(number),
                        (_, Some(offset)) => {
                            push(&mut self.fragments, Segment { offset, len: number }, limits)?;
                        }
                    }
                    if self.offset.is_none() && self.total == Some(self.fragments.len() as u64) {
                        return Ok(true);
                    }
                }
                _ => return Err(invalid("malformed sparse map before the content")),
            }
        }
        Ok(false)
    }
}

/// What comes next in the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// So many zeros that are not stored.
    Hole(u64),
    /// So many bytes, the next of the stored ones.
    Data(u64),
}

/// Presents a sparsely stored file as the plain file that it stands for.
///
/// Whenever stored bytes arrive, ask [`Expander::next`] with how many are left of them until it answers `None`; a hole
/// uses up none of them.
#[derive(Clone, Debug)]
pub struct Expander<'a> {
    segments: core::slice::Iter<'a, Segment>,
    current: Option<Segment>,
    position: u64,
    size: u64,
}

impl Expander<'_> {
    /// The next piece, with `available` stored bytes at hand. `None`: the content is complete, or no stored bytes are
    /// at hand where the next ones belong.
    pub fn next(&mut self, available: u64) -> Option<Piece> {
        if self.current.is_none() {
            self.current = self.segments.next().copied();
        }
        let start = self.current.map_or(self.size, |segment| segment.offset);
        if self.position < start {
            let len = start - self.position;
            self.position = start;
            return Some(Piece::Hole(len));
        }
        let segment = self.current.as_mut()?;
        let len = segment.len.min(available);
        if len == 0 {
            return None;
        }
        segment.offset += len;
        segment.len -= len;
        self.position += len;
        if segment.len == 0 {
            self.current = None;
        }
        Some(Piece::Data(len))
    }

    /// Bytes of content behind what was answered so far.
    pub fn remaining(&self) -> u64 {
        self.size - self.position
    }
}
