//! One file out of a layer.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::blob::Blob;
use super::readers::{Got, Readers};
use super::{Budget, Step, internal, write};
use crate::codec::Codecs;
use crate::error::{Error, Place, Result};
use crate::limits::Limits;
use crate::tar::{Segment, SparseMap};

/// Where the content of a file lies.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) path: Vec<u8>,
    pub(super) size: u64,
    pub(super) data_at: u64,
    pub(super) stored: u64,
    pub(super) sparse: Option<SparseMap>,
}

/// The machine that gives the bytes of one file, holes and all (L17), or of a whole layer: driven as the [module](super) says.
///
/// Its layer is decoded from the last checkpoint before the file, and no further than the file. Every byte that goes out
/// was decoded again, and has the sum that it had when the layer was verified. It stands by itself: the
/// [`Stack`](super::Stack) can go on with something else, or go.
#[derive(Debug)]
pub struct Content {
    readers: Readers,
    file: Stored,
    place: Place,
    /// The next segment of a sparse file.
    segment: usize,
    /// Bytes of content given.
    position: u64,
    /// Stored bytes given.
    taken: u64,
    failed: Option<Error>,
}

impl Content {
    pub(super) fn new(blob: Arc<Blob>, file: Stored, codecs: Arc<dyn Codecs>, limits: &Limits) -> Content {
        let place = Place { entry: Some(file.path.clone()), ..blob.place() };
        Content {
            readers: Readers::new(alloc::vec![blob], codecs, limits),
            file,
            place,
            segment: 0,
            position: 0,
            taken: 0,
            failed: None,
        }
    }

    /// All of a layer's tar.
    pub(super) fn whole(blob: Arc<Blob>, codecs: Arc<dyn Codecs>, limits: &Limits) -> Content {
        let (place, size) = (blob.place(), blob.report.tar_bytes);
        let file = Stored { path: Vec::new(), size, data_at: 0, stored: size, sparse: None };
        Content { place, ..Content::new(blob, file, codecs, limits) }
    }

    /// Bytes of the whole content.
    pub fn size(&self) -> u64 {
        self.file.size
    }

    /// Bytes that were given.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What to do next; bytes of the content are put at the front of `out`, which must not be empty.
    ///
    /// # Errors
    /// `corrupt_stream` where the blob is not what it was, with layer and entry. After an error nothing else comes.
    pub fn step(&mut self, out: &mut [u8]) -> Result<Step> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let step = self.give(out).map_err(|error| error.at(self.place.clone()));
        self.failed = step.as_ref().err().cloned();
        step
    }

    /// Bytes of a layer's blob, as [`Step::Need`] wants them; none say that the blob has ended. Answers how many were taken.
    ///
    /// # Errors
    /// `size_mismatch` where it has ended early; `internal` for bytes that are not wanted.
    pub fn feed(&mut self, source: usize, offset: u64, bytes: &[u8]) -> Result<usize> {
        self.readers.feed(source, offset, bytes).map_err(|error| error.at(self.place.clone()))
    }

    fn give(&mut self, out: &mut [u8]) -> Result<Step> {
        if out.is_empty() {
            return Err(internal("there is no room for output"));
        }
        let mut budget = Budget::default();
        let mut given = 0;
        while self.position < self.file.size {
            let Some(room) = out.get_mut(given..).filter(|room| !room.is_empty()) else { break };
            let n = match self.next(room, &mut budget)? {
                Ok(n) => n,
                Err(step) if given == 0 => return Ok(step),
                Err(_) => break,
            };
            given += n;
            self.position = self.position.saturating_add(n as u64);
        }
        Ok(if given > 0 { Step::Wrote(given) } else { Step::Done })
    }

    /// Puts the next bytes into `room`, or answers what is to be done first.
    fn next(&mut self, room: &mut [u8], budget: &mut Budget) -> Result<core::result::Result<usize, Step>> {
        let file = &self.file;
        let end = match &file.sparse {
            None => file.size,
            Some(map) => {
                let is_past = |segment: &Segment| segment.offset.saturating_add(segment.len) <= self.position;
                while map.segments().get(self.segment).is_some_and(is_past) {
                    self.segment += 1;
                }
                let segment = map.segments().get(self.segment);
                let start = segment.map_or(file.size, |segment| segment.offset);
                if self.position < start {
                    let hole = start - self.position;
                    let n = room.len().min(usize::try_from(hole).unwrap_or(usize::MAX));
                    room.iter_mut().take(n).for_each(|byte| *byte = 0);
                    return Ok(Ok(n));
                }
                segment.map_or(file.size, |segment| segment.offset.saturating_add(segment.len))
            }
        };
        let at = file.data_at.saturating_add(self.taken);
        let wanted = (end - self.position).min(file.stored.saturating_sub(self.taken));
        match self.readers.reach(0, (0, at, at.saturating_add(wanted)), budget)? {
            Got::Bytes(bytes) => {
                let n = write(bytes, room);
                self.taken = self.taken.saturating_add(n as u64);
                Ok(Ok(n))
            }
            Got::Not(step) => Ok(Err(step)),
        }
    }
}
