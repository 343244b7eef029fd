//! Files stored without their holes (L17): old GNU, PAX 0.0, 0.1 and 1.0.

use alloc::vec::Vec;

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
