//! Where the bytes of one blob go.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wharfie_core::Digest;
use wharfie_core::client::{ExchangeId, SinkFailure};

use super::arrivals::Arrival;
use super::relay::Relay;
use crate::at;
use crate::store::Partial;

/// Bytes after which the disk is set to work: what is written down meanwhile need not be waited for at the end.
const WRITTEN_DOWN: u64 = 8 << 20;

/// A partial file, or a [`Relay`], written by one exchange at a time: one that was given up may be late, and then writes no
/// more.
#[derive(Debug)]
pub(super) struct Sink {
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
pub(super) enum Refusal {
    /// Another exchange writes now.
    Superseded,
    /// The disk.
    Failed(SinkFailure, String),
}

impl Sink {
    pub(super) fn new(partial: Partial, size: u64, have: u64) -> Sink {
        let second = partial.file().try_clone().ok();
        Sink {
            digest: *partial.digest(),
            size,
            arrival: second.map(|file| Arc::new(Arrival::new(file))),
            inner: Mutex::new(Inner { place: Some(Place::Disk(partial)), owner: None }),
            position: AtomicU64::new(have),
            writing_down: Arc::default(),
        }
    }

    /// One whose bytes go on to another registry.
    pub(super) fn relay(digest: Digest, size: u64, relay: Arc<Relay>) -> Sink {
        Sink {
            digest,
            size,
            arrival: None,
            inner: Mutex::new(Inner { place: Some(Place::Relay(relay)), owner: None }),
            position: AtomicU64::new(0),
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

    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on `owner` writes, at `offset`: what was there beyond it is void.
    pub(super) fn begin(&self, owner: ExchangeId, offset: u64) -> Result<(), Refusal> {
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
    pub(super) fn read(&self, owner: ExchangeId, at: u64, buffer: &mut [u8]) -> Result<(), Refusal> {
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
    pub(super) fn write(&self, owner: ExchangeId, bytes: &Bytes) -> Result<(), Refusal> {
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
