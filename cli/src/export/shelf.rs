//! What a plan says, done from decoded layers.

use std::collections::BTreeMap;

use wharfie_core::error::Result;
use wharfie_core::merge::{Op, Plan};

use super::fill::Fill;
use super::internal;
use crate::layers::Spool;

/// The decoded layers, as long as they are wanted.
pub(super) struct Shelf {
    spools: Vec<Option<Spool>>,
    /// What a plan wants again later: where it is, and how long.
    kept: BTreeMap<u32, (usize, u64, u64)>,
    /// How many of these are in each layer.
    waiting: Vec<usize>,
}

impl Shelf {
    pub(super) fn new(spools: Vec<Option<Spool>>) -> Shelf {
        let waiting = vec![0; spools.len()];
        Shelf { spools, kept: BTreeMap::new(), waiting }
    }

    /// Does what a plan has left. `free` says whether spools may go as soon as the plan is below their layers.
    pub(super) fn emit_all(&mut self, plan: &mut Plan, filler: &mut dyn Fill, free: bool) -> Result<()> {
        while let Some(op) = plan.next_op()? {
            self.emit(op, filler, free)?;
        }
        Ok(())
    }

    fn emit(&mut self, op: Op, filler: &mut dyn Fill, free: bool) -> Result<()> {
        match op {
            Op::Write(bytes) => filler.write(&bytes),
            Op::Zero { len } => filler.zeros(len),
            Op::Copy { layer, from, to } => {
                filler.copy(layer, self.spool(layer)?, from, to)?;
                if free {
                    self.free_above(layer);
                }
                Ok(())
            }
            Op::Spool { id, layer, from, to } => {
                // Any range can be read at any time here, so it is enough to know where it is.
                self.kept.insert(id, (layer, from, to - from));
                self.waiting[layer] += 1;
                Ok(())
            }
            Op::Replay { id, from, to } => {
                let Some(&(layer, start, len)) = self.kept.get(&id) else {
                    return Err(internal("a plan replays what it has not kept"));
                };
                filler.copy(layer, self.spool(layer)?, start + from, start + to)?;
                if to == len {
                    self.kept.remove(&id);
                    self.waiting[layer] -= 1;
                }
                Ok(())
            }
            _ => Err(internal("a plan has an operation that is not known here")),
        }
    }

    fn spool(&self, layer: usize) -> Result<&Spool> {
        self.spools
            .get(layer)
            .and_then(Option::as_ref)
            .ok_or_else(|| internal("a plan reads a layer that is gone"))
    }

    /// In stream order a plan goes down through the layers: those above, unless something in them waits, are through.
    fn free_above(&mut self, layer: usize) {
        for (spool, waiting) in self.spools.iter_mut().zip(&self.waiting).skip(layer + 1) {
            if *waiting == 0 {
                *spool = None;
            }
        }
    }
}
