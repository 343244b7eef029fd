//! Where the bytes of one blob go.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wharfie_core::Digest;
use wharfie_core::client::{BlobId, ExchangeId, SinkFailure, Store};
use wharfie_core::digest::Hasher;

use super::arrivals::Arrival;
use super::relay::Relay;
use crate::at;
use crate::store::Partial;

/// Read at once when a partial file goes through the hasher again.
const REPLAY_BYTES: u64 = 256 << 10;

/// Bytes after which the disk is set to work: what is written down meanwhile need not be waited for at the end.
const WRITTEN_DOWN: u64 = 8 << 20;

/// A partial file, or a [`Relay`], written by one exchange at a time: one that was given up may be late, and then writes no
/// more.
#[derive(Debug)]
pub(crate) struct Sink {
    digest: Digest,
    /// What its descriptor says; 0 if that is not known.
    size: u64,
    inner: Mutex<Inner>,
    /// Bytes that are there or, while they are read again, that have been.
    position: AtomicU64,
    /// Who reads it meanwhile; `None` if there is no second handle of the file.
    arrival: Option<Arc<Arrival>>,
    /// Whether the disk works on it now.
    writing_down: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Inner {
    /// `None` once it has become the blob.
    place: Option<Place>,
    owner: Option<ExchangeId>,
}

/// Where bytes go.
#[derive(Debug)]
pub(super) enum Place {
    Disk(Partial),
    /// Nowhere here: on to another registry.
    Relay(Arc<Relay>),
}

/// Why bytes did not go in.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Another exchange writes now.
    Superseded,
    /// The disk.
    Failed(SinkFailure, String),
}

impl Sink {
    pub(crate) fn new(partial: Partial, size: u64, have: u64) -> Sink {
        let second = partial.file().try_clone().ok();
        let arrival = second.map(|file| Arc::new(Arrival::new(file)));
        Sink { arrival, ..Sink::unread(partial, size, have) }
    }

    /// One that nobody reads while it arrives. A second handle would keep the file's lock where the first is let go.
    pub(crate) fn unread(partial: Partial, size: u64, have: u64) -> Sink {
        Sink::at(*partial.digest(), Place::Disk(partial), size, have)
    }

    /// One whose bytes go on to another registry.
    pub(super) fn relay(digest: Digest, size: u64, relay: Arc<Relay>) -> Sink {
        Sink::at(digest, Place::Relay(relay), size, 0)
    }

    fn at(digest: Digest, place: Place, size: u64, have: u64) -> Sink {
        Sink {
            digest,
            size,
            arrival: None,
            inner: Mutex::new(Inner { place: Some(place), owner: None }),
            position: AtomicU64::new(have),
            writing_down: Arc::default(),
        }
    }

    /// What has to be asked for room before more is read for it.
    pub(super) fn relayed(&self) -> Option<Arc<Relay>> {
        match &self.inner().place {
            Some(Place::Relay(relay)) => Some(Arc::clone(relay)),
            _ => None,
        }
    }

    /// What tells those who read it while it arrives.
    pub(super) fn arrival(&self) -> Option<&Arc<Arrival>> {
        self.arrival.as_ref()
    }

    /// So many bytes are there, and known to the hasher or about to be.
    fn reach(&self, position: u64) {
        self.position.store(position, Ordering::Relaxed);
        if let Some(arrival) = &self.arrival {
            arrival.reach(position);
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on `owner` writes, at `offset`: what was there beyond it is void.
    pub(crate) fn begin(&self, owner: ExchangeId, offset: u64) -> Result<(), Refusal> {
        let mut inner = self.inner();
        let partial = match &inner.place {
            None => return Err(Refusal::Superseded),
            Some(Place::Disk(partial)) => partial,
            Some(Place::Relay(relay)) => {
                if !relay.begin(offset) {
                    return Err(self.not_held());
                }
                inner.owner = Some(owner);
                self.position.store(offset, Ordering::Relaxed);
                return Ok(());
            }
        };
        let len = partial.len().map_err(|error| Refusal::Failed(SinkFailure::Io, error.to_string()))?;
        if len < offset {
            let said = format!("the partial file of {} has become shorter", self.digest);
            return Err(Refusal::Failed(SinkFailure::Io, said));
        }
        if let Some(arrival) = &self.arrival {
            arrival.cut(offset);
        }
        partial.truncate(offset).map_err(|error| Refusal::Failed(SinkFailure::Io, error.to_string()))?;
        inner.owner = Some(owner);
        self.position.store(offset, Ordering::Relaxed);
        Ok(())
    }

    /// Reads what is there again, from `at` on.
    pub(crate) fn read(&self, owner: ExchangeId, at: u64, buffer: &mut [u8]) -> Result<(), Refusal> {
        let inner = self.inner();
        let partial = match inner.place.as_ref().filter(|_| inner.owner == Some(owner)) {
            None => return Err(Refusal::Superseded),
            Some(Place::Disk(partial)) => partial,
            Some(Place::Relay(_)) => return Err(self.not_held()),
        };
        at::read_exact(partial.file(), buffer, at).map_err(|error| self.refusal(&error))?;
        self.reach(at + buffer.len() as u64);
        Ok(())
    }

    /// Writes the next bytes.
    pub(crate) fn write(&self, owner: ExchangeId, bytes: &Bytes) -> Result<(), Refusal> {
        let inner = self.inner();
        let before = self.position();
        let partial = match inner.place.as_ref().filter(|_| inner.owner == Some(owner)) {
            None => return Err(Refusal::Superseded),
            Some(Place::Disk(partial)) => partial,
            Some(Place::Relay(relay)) => {
                relay.push(bytes.clone());
                self.reach(before + bytes.len() as u64);
                return Ok(());
            }
        };
        // Not where the file stands: who reads it beside this may have moved that.
        at::write_all(partial.file(), bytes, before).map_err(|error| self.refusal(&error))?;
        self.reach(before + bytes.len() as u64);
        if before / WRITTEN_DOWN != (before + bytes.len() as u64) / WRITTEN_DOWN {
            self.write_down(partial);
        }
        Ok(())
    }

    /// Has the disk begin with what is there, beside the download. Whether it works is found out at the end.
    fn write_down(&self, partial: &Partial) {
        if self.writing_down.swap(true, Ordering::AcqRel) {
            return;
        }
        let done = Arc::clone(&self.writing_down);
        let Ok(file) = partial.file().try_clone() else { return };
        let begun = std::thread::Builder::new().name("wharfie-disk".to_owned()).spawn(move || {
            let _ = file.sync_data();
            done.store(false, Ordering::Release);
        });
        drop(begun);
    }

    /// The file, to become the blob. Whoever still writes is refused from now on.
    pub(super) fn take(&self) -> Option<Place> {
        self.inner().place.take()
    }

    /// The partial file, if that is where bytes went. Whoever still writes is refused from now on.
    pub(crate) fn take_partial(&self) -> Option<Partial> {
        match self.take() {
            Some(Place::Disk(partial)) => Some(partial),
            _ => None,
        }
    }

    fn not_held(&self) -> Refusal {
        let said = format!("what came of {} has gone on and is not held any more", self.digest);
        Refusal::Failed(SinkFailure::Io, said)
    }

    fn refusal(&self, error: &io::Error) -> Refusal {
        let failure = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                SinkFailure::NoSpace { needed: self.size.saturating_sub(self.position()) }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => SinkFailure::Permission,
            _ => SinkFailure::Io,
        };
        Refusal::Failed(failure, error.to_string())
    }
}

/// One exchange's way into a sink: what it brings is written and hashed, but for what was there before.
#[derive(Debug)]
pub(crate) struct Writing {
    owner: ExchangeId,
    sink: Arc<Sink>,
    blob: BlobId,
    offset: u64,
    skip: u64,
    kept: u64,
    hasher: Hasher,
}

impl Writing {
    /// What the machine asks for.
    pub(crate) fn new(owner: ExchangeId, sink: Arc<Sink>, store: Store) -> Writing {
        let Store { blob, offset, skip, hasher, .. } = store;
        Writing { owner, sink, blob, offset, skip, kept: 0, hasher }
    }

    /// Takes over the sink. Before anything else.
    pub(crate) fn begin(&self) -> Result<(), Refusal> {
        self.sink.begin(self.owner, self.offset)
    }

    /// Whether the sink has bytes that the hasher has not seen.
    pub(crate) fn is_behind(&self) -> bool {
        self.hasher.position() < self.offset
    }

    /// Gives the hasher the next piece of them.
    pub(crate) fn replay(&mut self) -> Result<(), Refusal> {
        let at = self.hasher.position();
        let mut piece = vec![0; self.offset.saturating_sub(at).min(REPLAY_BYTES) as usize];
        self.sink.read(self.owner, at, &mut piece)?;
        self.hasher.update(&piece);
        Ok(())
    }

    /// Takes the next bytes of the body. Answers how many of them are new.
    pub(crate) fn keep(&mut self, mut chunk: Bytes) -> Result<u64, Refusal> {
        let known = chunk.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
        let _ = chunk.split_to(known);
        self.skip -= known as u64;
        if chunk.is_empty() {
            return Ok(0);
        }
        self.sink.write(self.owner, &chunk)?;
        self.hasher.update(&chunk);
        self.kept += chunk.len() as u64;
        Ok(chunk.len() as u64)
    }

    /// How many new bytes came.
    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }

    /// Whether more came than the descriptor promised.
    pub(crate) fn is_too_long(&self) -> bool {
        self.sink.size() != 0 && self.offset + self.kept > self.sink.size()
    }

    /// The hasher, which goes back to the machine.
    pub(crate) fn finish(self) -> (BlobId, Hasher) {
        (self.blob, self.hasher)
    }
}
