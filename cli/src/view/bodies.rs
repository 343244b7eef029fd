//! The content of files, taken out of layers as they are decoded.

use wharfie_core::Digest;
use wharfie_core::digest::Hasher;
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::merge::{Body, Node, Options};
use wharfie_core::tar::{Expander, Piece, SparseMap};
use wharfie_core::{Algorithm, merge};

use crate::codec::NativeHashes;
use crate::drive::Cancel;
use crate::layers::pass::{Flow, Pass, Reader};
use crate::layers::{LocalImage, Progress};

/// Zeros of a hole at a time.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The content of one file, as stored bytes of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyRange<'b> {
    pub(crate) data_at: u64,
    pub(crate) stored: u64,
    pub(crate) sparse: Option<&'b SparseMap>,
}

impl<'b> From<Body<'b>> for BodyRange<'b> {
    fn from(body: Body<'b>) -> Self {
        BodyRange { data_at: body.data_at, stored: body.stored, sparse: body.sparse }
    }
}

/// Where content goes.
pub(super) type Write<'w> = dyn FnMut(&[u8]) -> Result<()> + Send + 'w;

/// Stored bytes to content, holes and all (L17).
pub(super) struct Unfold<'b> {
    expander: Option<Expander<'b>>,
}

impl<'b> Unfold<'b> {
    pub(super) fn new(sparse: Option<&'b SparseMap>) -> Self {
        Unfold { expander: sparse.map(SparseMap::expander) }
    }

    /// The next stored bytes; none, when there are no more, for a hole at the end.
    pub(super) fn take(&mut self, mut bytes: &[u8], write: &mut Write<'_>) -> Result<()> {
        let Some(expander) = &mut self.expander else { return write(bytes) };
        while let Some(piece) = expander.next(bytes.len() as u64) {
            match piece {
                Piece::Data(len) => {
                    let (now, rest) =
                        bytes.split_at(usize::try_from(len).unwrap_or(bytes.len()).min(bytes.len()));
                    write(now)?;
                    bytes = rest;
                }
                Piece::Hole(mut len) => {
                    while len > 0 {
                        let now = len.min(ZEROS.len() as u64);
                        write(&ZEROS[..now as usize])?;
                        len -= now;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads some files of a layer, in the order in which they lie there, and no further than their end.
pub(super) struct Bodies<'b, F> {
    /// Sorted, apart from each other.
    ranges: Vec<BodyRange<'b>>,
    at: usize,
    unfold: Unfold<'b>,
    position: u64,
    /// Is given the number of a range and bytes of its content; `None` at its end.
    sink: F,
}

impl<'b, F: FnMut(usize, Option<&[u8]>) -> Result<()> + Send> Bodies<'b, F> {
    pub(super) fn new(ranges: Vec<BodyRange<'b>>, sink: F) -> Self {
        let unfold = Unfold::new(ranges.first().and_then(|range| range.sparse));
        Bodies { ranges, at: 0, unfold, position: 0, sink }
    }
}

impl<F: FnMut(usize, Option<&[u8]>) -> Result<()> + Send> Reader for Bodies<'_, F> {
    fn take(&mut self, bytes: &[u8]) -> Result<Flow> {
        let (start, end) = (self.position, self.position + bytes.len() as u64);
        self.position = end;
        while let Some(range) = self.ranges.get(self.at) {
            let (from, to) = (range.data_at.max(start), (range.data_at + range.stored).min(end));
            let (at, sink) = (self.at, &mut self.sink);
            if from < to {
                let now = &bytes[(from - start) as usize..(to - start) as usize];
                self.unfold.take(now, &mut |bytes| sink(at, Some(bytes)))?;
            }
            if range.data_at + range.stored > end {
                return Ok(Flow::More);
            }
            self.unfold.take(&[], &mut |bytes| sink(at, Some(bytes)))?;
            (self.sink)(at, None)?;
            self.at += 1;
            self.unfold = Unfold::new(self.ranges.get(self.at).and_then(|range| range.sparse));
        }
        Ok(Flow::Enough)
    }
}

/// One side of a comparison.
pub(crate) struct Side<'s> {
    pub(crate) image: &'s LocalImage,
    pub(crate) progress: &'s dyn Progress,
}

/// Compares the content of pairs of files, the first of each of one image, the second of the other: each layer is
/// decoded once at most, and no further than it has to be. Answers whether each pair is equal.
pub(crate) fn compare(
    pairs: &[(Node<'_>, Node<'_>)],
    sides: &[Side<'_>; 2],
    diff_ids: [&[Digest]; 2],
    options: &Options,
    cancel: &Cancel,
) -> Result<Vec<bool>> {
    // By tar and place: a layer that both have is read once, for both.
    let mut wanted: std::collections::BTreeMap<(Digest, u64), (usize, usize, BodyRange<'_>)> =
        std::collections::BTreeMap::new();
    let place = |side: usize, node: Node<'_>| -> Option<(Digest, u64)> {
        let body = node.body()?;
        Some((*diff_ids[side].get(body.layer)?, body.data_at))
    };
    for (a, b) in pairs {
        for (side, node) in [(0, *a), (1, *b)] {
            if let (Some(key), Some(body)) = (place(side, node), node.body()) {
                wanted.entry(key).or_insert((side, body.layer, body.into()));
            }
        }
    }
    let mut digests: std::collections::BTreeMap<(Digest, u64), Digest> = std::collections::BTreeMap::new();
    for (side, Side { image, progress }) in sides.iter().enumerate() {
        let pass = Pass { image, limits: &options.limits, cancel, progress: *progress };
        let mut layers: std::collections::BTreeMap<usize, (Digest, Vec<BodyRange<'_>>)> =
            std::collections::BTreeMap::new();
        for ((diff_id, _), (_, layer, range)) in wanted.iter().filter(|(_, (at, ..))| *at == side) {
            layers.entry(*layer).or_insert((*diff_id, Vec::new())).1.push(*range);
        }
        let found = std::sync::Mutex::new(Vec::new());
        let readers = layers
            .into_iter()
            .map(|(layer, (diff_id, ranges))| {
                let places: Vec<u64> = ranges.iter().map(|range| range.data_at).collect();
                let mut hasher = Hasher::new(&NativeHashes, Algorithm::Sha256);
                let found = &found;
                let sink = move |at: usize, bytes: Option<&[u8]>| -> Result<()> {
                    match bytes {
                        Some(bytes) => hasher.update(bytes),
                        None => {
                            let whole =
                                std::mem::replace(&mut hasher, Hasher::new(&NativeHashes, Algorithm::Sha256));
                            if let Ok(mut found) = found.lock() {
                                found.push(((diff_id, places[at]), whole.finish()));
                            }
                        }
                    }
                    Ok(())
                };
                (layer, Bodies::new(ranges, sink))
            })
            .collect();
        pass.all(readers)?;
        digests.extend(found.into_inner().unwrap_or_default());
    }
    pairs
        .iter()
        .map(|(a, b)| {
            let digest = |side, node| place(side, node).and_then(|key| digests.get(&key));
            match (digest(0, *a), digest(1, *b)) {
                (Some(a), Some(b)) => Ok(a == b),
                _ => {
                    let reason = "a file was not read".to_owned();
                    Err(ErrorKind::Internal { reason }.into())
                }
            }
        })
        .collect()
}

/// The range of what a lookup has found.
pub(super) fn range(found: &merge::Found) -> BodyRange<'_> {
    BodyRange { data_at: found.data_at, stored: found.stored, sparse: found.sparse.as_ref() }
}
