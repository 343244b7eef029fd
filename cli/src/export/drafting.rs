//! Layers to output while they are being decoded, as core's [`Draft`] foretells it.

use std::path::Path;

use wharfie_core::codec::Block;
use wharfie_core::error::Result;
use wharfie_core::merge::{Draft, LayerIndex, Op, Options, Scan, Sketch};

use super::fill::{Fill, Origin};
use super::internal;
use super::parked::Parked;
use crate::layers::{Packed, Taker};

/// Takes the layers' bytes from the top and hands on what a draft makes of them.
pub(super) struct Drafting<'d> {
    draft: Draft,
    fill: &'d mut dyn Fill,
    /// An operation that reaches beyond the bytes that there are.
    op: Option<Op>,
    /// The end of what came, as far as it may begin an entry that is not known yet.
    carried: Vec<u8>,
    parked: Parked<'d>,
    /// Bytes handed on.
    written: u64,
}

impl<'d> Drafting<'d> {
    pub(super) fn new(layers: usize, options: &Options, temp_dir: &'d Path, fill: &'d mut dyn Fill) -> Self {
        Drafting {
            draft: Draft::new(layers, options),
            fill,
            op: None,
            carried: Vec::new(),
            parked: Parked::new(temp_dir),
            written: 0,
        }
    }

    /// What was foretold, how many bytes of that were handed on, and the indexes of all layers, from the bottom.
    pub(super) fn finish(self) -> (Sketch, u64, Vec<LayerIndex>) {
        let (sketch, indexes) = self.draft.finish();
        (sketch, self.written, indexes)
    }

    /// Does what can be done with the bytes from `at` on, and those before them that were carried.
    fn drain(&mut self, at: u64, piece: &[u8]) -> Result<()> {
        let end = at + piece.len() as u64;
        while let Some(op) = self.op.take().or_else(|| self.draft.next_op()) {
            match op {
                Op::Write(bytes) => {
                    self.written += bytes.len() as u64;
                    self.fill.write(&bytes)?;
                }
                Op::Zero { len } => {
                    self.written += len;
                    self.fill.zeros(len)?;
                }
                Op::Copy { layer, from, to } => {
                    let there = to.min(end);
                    for (offset, bytes) in parts(&self.carried, at, piece, from, there)? {
                        if !bytes.is_empty() {
                            self.fill.take(Origin { layer, offset }, bytes)?;
                        }
                    }
                    self.written += there - from;
                    if to > end {
                        self.op = Some(Op::Copy { layer, from: end, to });
                        break;
                    }
                }
                Op::Spool { id, layer, from, to } => {
                    let there = to.min(end);
                    for (offset, bytes) in parts(&self.carried, at, piece, from, there)? {
                        self.parked.add(id, Origin { layer, offset }, to - offset, bytes)?;
                    }
                    if to > end {
                        self.op = Some(Op::Spool { id, layer, from: end, to });
                        break;
                    }
                }
                Op::Replay { id, from, to } => {
                    self.parked.replay(id, from, to, self.fill)?;
                    self.written += to - from;
                }
                _ => return Err(internal("a draft has an operation that is not known here")),
            }
        }
        Ok(())
    }
}

impl Taker for Drafting<'_> {
    fn blocks(&mut self, layer: usize, blob: &Packed, blocks: &[Block]) {
        self.fill.blocks(layer, blob, blocks);
    }

    fn take(&mut self, scan: &Scan, at: u64, piece: &[u8]) -> Result<()> {
        let end = at + piece.len() as u64;
        self.draft.read(scan.index(), end);
        // If it gives up at an entry here, what it foretold before that is here to its end, and holds as a rule: broken
        // off inside an entry, it would have to be taken back.
        self.drain(at, piece)?;
        // An entry whose headers are not there to their end may begin in what is here, or in what was carried.
        let settled = scan.settled().min(end);
        if settled >= at {
            self.carried.clear();
            self.carried.extend_from_slice(&piece[usize::try_from(settled - at).unwrap_or(piece.len())..]);
        } else {
            self.carried.extend_from_slice(piece);
        }
        Ok(())
    }

    fn end(&mut self, index: LayerIndex, len: u64) -> Result<()> {
        self.draft.end(index, len);
        self.carried.clear();
        if self.draft.holds() {
            self.drain(len, &[])?;
        }
        self.op = None;
        self.parked.clear();
        Ok(())
    }

    fn wants(&self) -> bool {
        self.draft.holds()
    }
}

/// A range in what was carried and in the piece behind it: each part with where it begins.
fn parts<'p>(
    carried: &'p [u8],
    at: u64,
    piece: &'p [u8],
    from: u64,
    to: u64,
) -> Result<[(u64, &'p [u8]); 2]> {
    let middle = at.clamp(from, to);
    let old = cut(carried, at - carried.len() as u64, from, middle);
    let new = cut(piece, at, middle, to);
    match (old, new) {
        (Some(old), Some(new)) => Ok([(from, old), (middle, new)]),
        _ => Err(internal("a draft wants what is not there")),
    }
}

/// The bytes of a range, where `bytes` begin at `start`.
fn cut(bytes: &[u8], start: u64, from: u64, to: u64) -> Option<&[u8]> {
    if from >= to {
        return Some(&[]);
    }
    let range =
        usize::try_from(from.checked_sub(start)?).ok()?..usize::try_from(to.checked_sub(start)?).ok()?;
    bytes.get(range)
}
