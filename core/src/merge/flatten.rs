//! Index, resolve and emit as one machine that owns no files and no threads.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::index::{LayerIndex, Scan};
use super::options::Options;
use super::plan::{Op, Plan};
use super::resolve::Resolver;
use super::tree::Tree;
use crate::error::{ErrorKind, Result};

/// What a driver of [`Flatten`] does next. Offsets and lengths are in bytes of the decoded layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Feed the decoded layer from here on: any number of bytes, in order; [`Flatten::end`] where it ends. Only while
    /// layers are indexed. A driver with threads may instead scan layers beside each other, with a [`Scan`] each, and
    /// [`Flatten::supply`] what they give.
    Need {
        /// The layer, counted from 0 at the bottom.
        source: usize,
        /// From which byte on.
        offset: u64,
    },
    /// So many bytes at the front of the buffer come next in the output.
    Wrote(usize),
    /// These bytes of a layer come next in the output.
    Copy {
        /// The layer, counted from 0 at the bottom.
        source: usize,
        /// The first byte.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// Keep these bytes of a layer: they come later (L14). A driver that can read any range at any time need not.
    Spool {
        /// The name for [`Step::Replay`].
        id: u32,
        /// The layer, counted from 0 at the bottom.
        source: usize,
        /// The first byte.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// These bytes of what was kept come next in the output. When its last byte has, it can be let go.
    Replay {
        /// The name that [`Step::Spool`] gave.
        id: u32,
        /// The first byte of what was kept.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// The output is complete.
    Done,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is one
enum Phase {
    Index { resolver: Resolver, scans: BTreeMap<usize, Scan> },
    Emit(Plan),
    Failed,
}

/// The machine that flattens a stack of layers to one tar.
///
/// ```text
/// loop {
///     match flatten.step(&mut buffer)? {
///         Step::Need { source, offset }     => feed(source, offset, decoded bytes), or end(source)
///         Step::Wrote(n)                    => output the first n bytes of the buffer
///         Step::Copy { source, offset, len } => output that range of the decoded layer
///         Step::Spool { id, .. }            => keep that range of the decoded layer
///         Step::Replay { id, offset, len }  => output that range of what was kept
///         Step::Done                        => finish the output
///     }
/// }
/// ```
///
/// Each layer is wanted whole once, to be indexed; blob digests and `diff_id`s are checked by whoever decodes it then,
/// before `step` is asked for output (L23). Afterwards ranges are wanted. In `stream` order they come layer by layer
/// from the top, increasing in each, so that a second decoding in one pass gives all of them; in `canonical` order
/// they come from anywhere. A step's work is done when `step` is called again. After an error the machine is inert.
#[derive(Debug)]
pub struct Flatten {
    options: Options,
    phase: Phase,
    /// Header bytes that wait for room.
    ready: Vec<u8>,
    given: usize,
    zeros: u64,
}

impl Flatten {
    /// For a stack of so many layers.
    ///
    /// # Errors
    /// Those of [`Resolver::new`].
    pub fn new(layers: usize, options: &Options) -> Result<Self> {
        let resolver = Resolver::new(layers, options)?;
        Ok(Flatten {
            options: options.clone(),
            phase: Phase::Index { resolver, scans: BTreeMap::new() },
            ready: Vec::new(),
            given: 0,
            zeros: 0,
        })
    }

    /// What to do next. `out` must not be empty.
    ///
    /// # Errors
    /// Those of [`Resolver`] and [`Plan`].
    pub fn step(&mut self, out: &mut [u8]) -> Result<Step> {
        if let Phase::Index { resolver, scans } = &self.phase {
            if let Some(source) = resolver.missing().next() {
                let offset = scans.get(&source).map_or(0, Scan::position);
                return Ok(Step::Need { source, offset });
            }
            self.plan()?;
        }
        loop {
            let waiting = self.ready.get(self.given..).unwrap_or_default();
            if !waiting.is_empty() {
                let n = waiting.len().min(out.len());
                for (to, from) in out.iter_mut().zip(waiting) {
                    *to = *from;
                }
                self.given += n;
                return Ok(Step::Wrote(n));
            }
            if self.zeros > 0 {
                let n = usize::try_from(self.zeros).unwrap_or(usize::MAX).min(out.len());
                out.iter_mut().take(n).for_each(|byte| *byte = 0);
                self.zeros -= n as u64;
                return Ok(Step::Wrote(n));
            }
            let Phase::Emit(plan) = &mut self.phase else { return Err(inert()) };
            match plan.next_op()? {
                Some(Op::Write(bytes)) => (self.ready, self.given) = (bytes, 0),
                Some(Op::Zero { len }) => self.zeros = len,
                Some(Op::Copy { layer, from, to }) => {
                    return Ok(Step::Copy { source: layer, offset: from, len: to - from });
                }
                Some(Op::Spool { id, layer, from, to }) => {
                    return Ok(Step::Spool { id, source: layer, offset: from, len: to - from });
                }
                Some(Op::Replay { id, from, to }) => {
                    return Ok(Step::Replay { id, offset: from, len: to - from });
                }
                None => return Ok(Step::Done),
            }
        }
    }

    /// Decoded bytes of a layer that is being indexed. Answers how many were used: all of them.
    ///
    /// # Errors
    /// Those of [`Scan::feed`]; `internal` where `offset` is not the one that is wanted.
    pub fn feed(&mut self, source: usize, offset: u64, bytes: &[u8]) -> Result<usize> {
        let Phase::Index { resolver, scans } = &mut self.phase else { return Err(inert()) };
        if !resolver.missing().any(|layer| layer == source) {
            let reason = alloc::format!("layer {source} is not awaited");
            return Err(ErrorKind::Internal { reason }.into());
        }
        let scan = scans.entry(source).or_insert_with(|| Scan::new(source, &self.options.limits));
        if scan.position() != offset {
            let reason = alloc::format!("layer {source} was fed at {offset} instead of {}", scan.position());
            return Err(ErrorKind::Internal { reason }.into());
        }
        match scan.feed(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => self.fail(error),
        }
    }

    /// A layer that is being indexed has ended.
    ///
    /// # Errors
    /// Those of [`Scan::finish`] and [`Resolver::supply`].
    pub fn end(&mut self, source: usize) -> Result<()> {
        let Phase::Index { scans, .. } = &mut self.phase else { return Err(inert()) };
        let scan = scans.remove(&source).unwrap_or_else(|| Scan::new(source, &self.options.limits));
        match scan.finish() {
            Ok(index) => self.supply(index),
            Err(error) => self.fail(error),
        }
    }

    /// A layer that was scanned elsewhere, in any order.
    ///
    /// # Errors
    /// Those of [`Resolver::supply`].
    pub fn supply(&mut self, index: LayerIndex) -> Result<()> {
        let Phase::Index { resolver, .. } = &mut self.phase else { return Err(inert()) };
        match resolver.supply(index) {
            Ok(()) => Ok(()),
            Err(error) => self.fail(error),
        }
    }

    /// The merged tree, as soon as output begins.
    pub fn tree(&self) -> Option<&Tree> {
        match &self.phase {
            Phase::Emit(plan) => Some(plan.tree()),
            _ => None,
        }
    }

    fn plan(&mut self) -> Result<()> {
        let Phase::Index { resolver, .. } = core::mem::replace(&mut self.phase, Phase::Failed) else {
            return Err(inert());
        };
        self.phase = Phase::Emit(Plan::new(resolver.finish()?, &self.options)?);
        Ok(())
    }

    fn fail<T>(&mut self, error: crate::Error) -> Result<T> {
        self.phase = Phase::Failed;
        Err(error)
    }
}

fn inert() -> crate::Error {
    ErrorKind::Internal { reason: "the machine has failed, or is past its index".into() }.into()
}
