//! The flattened root of an image, out of its layers' blobs.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::readers::{Got, Readers};
use super::{Budget, ROOM, Step, internal, write};
use crate::codec::{Codec, Codecs, Format, Needs};
use crate::error::{Error, Result};
use crate::map::Map;
use crate::merge::{Op, Options, Order, Plan, Tree};

/// Lanes of readers: of what is copied, and of what was passed over and comes later.
const AHEAD: usize = 0;
const BACK: usize = 1;
/// Canonical order asks for ranges from anywhere: so many layers are kept open for that.
const LANES: usize = 8;

/// The machine that gives a flattened tar of a [`Stack`](super::Stack): driven as the [module](super) says.
///
/// The layers are decoded a second time, the parts that the output has of them. In stream order each layer comes once, from
/// the top, forwards; long stretches that nothing is wanted of are jumped over where there is a checkpoint behind them. What
/// is wanted later than it comes by (L14: a body whose first name is gone) is not kept: when it is wanted, it is decoded
/// again from its checkpoint, by a reader of its own, so that the one that goes on keeps its place. Keeping it
/// would take memory or a host's storage without a bound; decoding again costs 4 MiB or so for a body, and such bodies are few. Only of
/// a zstd layer of a single frame it costs all that lies before the body.
///
/// In canonical order ranges come from anywhere, and each step back costs the same.
///
/// An uncompressed tar has the bytes that the command line's `export` gives (L26). A compressed one has other bytes: it is
/// packed anew by one encoder, where the command line copies the layers' own deflate blocks.
///
/// It stands by itself: the stack can go on with something else, or go.
pub struct Export {
    plan: Plan<Arc<Tree>>,
    order: Order,
    readers: Readers,
    op: Now,
    /// Layer and first byte of what comes later, by its name.
    later: Map<u32, (usize, u64)>,
    packing: Option<Packing>,
    failed: Option<Error>,
}

/// What is being given.
#[derive(Debug)]
enum Now {
    /// The next operation is not begun.
    Next,
    Bytes(Vec<u8>, usize),
    Zeros(u64),
    Layer {
        lane: usize,
        layer: usize,
        at: u64,
        to: u64,
    },
    End,
}

/// The compression of the output.
struct Packing {
    codec: Box<dyn Codec>,
    /// Bytes of the tar that wait for it: those in this range.
    plain: Vec<u8>,
    begin: usize,
    end: usize,
    /// Whether all of the tar has come, and whether all of the output has gone.
    ends: bool,
    done: bool,
}

impl Export {
    pub(super) fn new(
        tree: Arc<Tree>,
        options: &Options,
        readers: Readers,
        codecs: &dyn Codecs,
        (format, level): (Format, Option<i32>),
    ) -> Result<Export> {
        let level = format.level(level)?;
        let packing = match format {
            Format::Identity => None,
            _ => Some(Packing {
                codec: codecs.encoder(format, Some(level))?,
                plain: Vec::new(),
                begin: 0,
                end: 0,
                ends: false,
                done: false,
            }),
        };
        Ok(Export {
            plan: Plan::new(tree, options)?,
            order: options.order,
            readers,
            op: Now::Next,
            later: Map::new(),
            packing,
            failed: None,
        })
    }

    /// Bytes of the whole tar, uncompressed. Walks through the plan: asked once, before the first step.
    ///
    /// # Errors
    /// What no tar can hold, with layer, entry and byte.
    pub fn tar_bytes(&self) -> Result<u64> {
        Ok(self.plan.survey()?.0)
    }

    /// What to do next; bytes of the output are put at the front of `out`, which must not be empty.
    ///
    /// # Errors
    /// `corrupt_stream` where a blob is not what it was, with its layer; what no tar can hold, with the entry. After an error
    /// nothing else comes, and what came before is no whole tar: it has no end.
    pub fn step(&mut self, out: &mut [u8]) -> Result<Step> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let step = self.give(out);
        self.failed = step.as_ref().err().cloned();
        step
    }

    /// Bytes of a layer's blob, as [`Step::Need`] wants them; none say that the blob has ended. Answers how many were taken.
    ///
    /// # Errors
    /// `size_mismatch` where it has ended early; `internal` for bytes that are not wanted.
    pub fn feed(&mut self, source: usize, offset: u64, bytes: &[u8]) -> Result<usize> {
        self.readers.feed(source, offset, bytes)
    }

    fn give(&mut self, out: &mut [u8]) -> Result<Step> {
        if out.is_empty() {
            return Err(internal("there is no room for output"));
        }
        let mut budget = Budget::default();
        match self.packing.take() {
            None => self.fill(out, &mut budget),
            Some(mut packing) => {
                let step = self.pack(&mut packing, out, &mut budget);
                self.packing = Some(packing);
                step
            }
        }
    }

    /// Packs what comes next.
    fn pack(&mut self, packing: &mut Packing, out: &mut [u8], budget: &mut Budget) -> Result<Step> {
        let mut given = 0;
        let wrote = |given| if given > 0 { Some(Step::Wrote(given)) } else { None };
        packing.plain.resize(ROOM, 0);
        loop {
            let Some(room) = out.get_mut(given..).filter(|room| !room.is_empty()) else {
                return Ok(Step::Wrote(given));
            };
            if packing.done {
                return Ok(wrote(given).unwrap_or(Step::Done));
            }
            if packing.begin < packing.end || packing.ends {
                if budget.is_spent() {
                    return Ok(wrote(given).unwrap_or(Step::Working));
                }
                let plain = packing.plain.get(packing.begin..packing.end).unwrap_or_default();
                let step = if plain.is_empty() {
                    packing.codec.finish(room)?
                } else {
                    packing.codec.process(plain, room)?
                };
                packing.begin = packing.begin.saturating_add(step.read);
                given += step.written;
                // Packing takes some ten times as long as decoding.
                budget.spend(step.read.saturating_mul(4).max(step.written));
                packing.done = step.needs == Needs::Nothing;
                if step.read == 0 && step.written == 0 && !packing.done {
                    return Err(internal("an encoder does not move"));
                }
                continue;
            }
            match self.fill(&mut packing.plain, budget)? {
                Step::Wrote(n) => (packing.begin, packing.end) = (0, n),
                Step::Done => packing.ends = true,
                step => return Ok(wrote(given).unwrap_or(step)),
            }
        }
    }

    /// Puts the next bytes of the tar into `out`.
    fn fill(&mut self, out: &mut [u8], budget: &mut Budget) -> Result<Step> {
        let mut given = 0;
        while let Some(room) = out.get_mut(given..).filter(|room| !room.is_empty()) {
            match &mut self.op {
                Now::Next => {
                    self.op = self.next_op()?;
                }
                Now::Bytes(bytes, at) => {
                    let n = write(bytes.get(*at..).unwrap_or_default(), room);
                    given += n;
                    *at += n;
                    if *at >= bytes.len() {
                        self.op = Now::Next;
                    }
                }
                Now::Zeros(left) => {
                    let n = room.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    room.iter_mut().take(n).for_each(|byte| *byte = 0);
                    given += n;
                    *left -= n as u64;
                    if *left == 0 {
                        self.op = Now::Next;
                    }
                }
                Now::Layer { lane, layer, at, to } => {
                    match self.readers.reach(*lane, (*layer, *at, *to), budget)? {
                        Got::Bytes(bytes) => {
                            let n = write(bytes, room);
                            given += n;
                            *at += n as u64;
                            if *at >= *to {
                                self.op = Now::Next;
                            }
                        }
                        Got::Not(step) if given == 0 => return Ok(step),
                        Got::Not(_) => break,
                    }
                }
                Now::End if given == 0 => return Ok(Step::Done),
                Now::End => break,
            }
        }
        Ok(Step::Wrote(given))
    }

    fn next_op(&mut self) -> Result<Now> {
        Ok(match self.plan.next_op()? {
            None => Now::End,
            Some(Op::Write(bytes)) => Now::Bytes(bytes, 0),
            Some(Op::Zero { len }) => Now::Zeros(len),
            Some(Op::Copy { from, to, .. }) if from >= to => Now::Next,
            Some(Op::Copy { layer, from: at, to }) => {
                let lane = if self.order == Order::Stream { AHEAD } else { layer % LANES };
                Now::Layer { lane, layer, at, to }
            }
            Some(Op::Spool { id, layer, from, .. }) => {
                self.later.insert(id, (layer, from));
                Now::Next
            }
            Some(Op::Replay { id, from, to }) => match self.later.get(&id) {
                Some((layer, begin)) => Now::Layer {
                    lane: BACK,
                    layer: *layer,
                    at: begin.saturating_add(from),
                    to: begin.saturating_add(to),
                },
                None => return Err(internal("what comes later was never passed over")),
            },
        })
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("op", &self.op).field("readers", &self.readers).finish_non_exhaustive()
    }
}
