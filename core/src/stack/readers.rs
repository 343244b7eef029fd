//! The readers of several layers side by side.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::blob::Blob;
use super::reader::{Reach, Reader};
use super::{Budget, Step, internal};
use crate::codec::Codecs;
use crate::error::Result;
use crate::limits::Limits;
use crate::map::Map;

/// A reader in each of some lanes; who asks chooses the lane, so that who goes back does not take the place of who goes on.
pub(super) struct Readers {
    blobs: Vec<Arc<Blob>>,
    codecs: Arc<dyn Codecs>,
    limits: Limits,
    lanes: Map<usize, Reader>,
    /// The lane that waits for bytes of its blob.
    awaiting: Option<usize>,
}

/// What came of asking for bytes: some of them, or what the host is told instead.
pub(super) enum Got<'r> {
    Bytes(&'r [u8]),
    Not(Step),
}

impl Readers {
    pub(super) fn new(blobs: Vec<Arc<Blob>>, codecs: Arc<dyn Codecs>, limits: &Limits) -> Readers {
        Readers { blobs, codecs, limits: limits.clone(), lanes: Map::new(), awaiting: None }
    }

    /// Bytes of a decoded layer, from `at` on, none from `end` on.
    pub(super) fn reach(
        &mut self,
        lane: usize,
        (layer, at, end): (usize, u64, u64),
        budget: &mut Budget,
    ) -> Result<Got<'_>> {
        self.awaiting = None;
        let blob = self.blobs.get(layer).ok_or_else(|| internal("a layer that there is not"))?;
        if self.lanes.get(&lane).is_none_or(|reader| reader.blob().source != blob.source) {
            self.lanes.insert(lane, Reader::new(blob.clone(), self.codecs.clone(), &self.limits));
        }
        let reader = self.lanes.get_mut(&lane).ok_or_else(|| internal("a lane without a reader"))?;
        match reader.reach(at, end, budget)? {
            Reach::Bytes(bytes) => Ok(Got::Bytes(bytes)),
            Reach::Working => Ok(Got::Not(Step::Working)),
            Reach::Need { offset, len } => {
                self.awaiting = Some(lane);
                Ok(Got::Not(Step::Need { source: blob.source, offset, len }))
            }
        }
    }

    /// Takes bytes of the blob that was asked for last.
    pub(super) fn feed(&mut self, source: usize, offset: u64, bytes: &[u8]) -> Result<usize> {
        let reader = self.awaiting.and_then(|lane| self.lanes.get_mut(&lane));
        match reader.filter(|reader| reader.blob().source == source && reader.fed() == offset) {
            Some(reader) => reader.feed(bytes),
            None => Err(super::not_awaited(source, offset)),
        }
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("lanes", &self.lanes)
            .field("awaiting", &self.awaiting)
            .finish_non_exhaustive()
    }
}
