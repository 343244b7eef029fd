//! What goes up: blobs of this disk, and those that go on to another registry as they come.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wharfie_core::client::{BlobId, ExchangeId, JobId, Placed, Request, RequestBody};
use wharfie_core::error::{ErrorKind, Misuse};
use wharfie_core::image::Descriptor;
use wharfie_core::{Digest, Error};

use super::{Machine, missing};
use crate::drive::arrivals::Arriving;
use crate::drive::observe::{Transfer, TransferState};
use crate::drive::outgoing::{Origin, Outgoing};

/// A blob that goes up.
pub(super) struct Sending {
    job: JobId,
    digest: Digest,
    size: u64,
    origin: Origin,
    /// How far the request that sends it has come.
    position: u64,
}

impl Machine {
    /// A blob is going to be sent from this disk.
    pub(super) fn send(&mut self, job: JobId, blob: BlobId, descriptor: &Descriptor) {
        let now = self.now();
        let Some(supply) = self.jobs.get(&job).and_then(|running| running.supply.clone()) else { return };
        let error = match supply.blob(descriptor) {
            Ok(Some(file)) if file.len == descriptor.size => {
                let Descriptor { digest, size, .. } = *descriptor;
                let sending = Sending { job, digest, size, origin: Origin::File(file), position: 0 };
                self.sending.insert(blob, sending);
                return;
            }
            Ok(Some(file)) => {
                let size = ErrorKind::SizeMismatch { expected: descriptor.size, actual: file.len };
                Error::from(size).at_path(file.path.display().to_string())
            }
            Ok(None) => missing(descriptor),
            Err(error) => error,
        };
        let done = self.client.handle_source_failure(now, blob, error.in_blob(descriptor.digest));
        self.check(done);
    }

    /// A blob that comes from one registry goes on to another.
    pub(super) fn relay(&mut self, job: JobId, blob: BlobId, descriptor: &Descriptor) {
        let Some(over) = self.jobs.get(&job).filter(|running| running.copies).map(|job| job.over.clone())
        else {
            return;
        };
        let Descriptor { digest, size, .. } = *descriptor;
        let origin = if self.store.has(&digest) == Some(size) {
            Origin::Store(Arriving::new(self.arrivals.clone(), self.store.clone(), over), digest, size)
        } else {
            Origin::Relay(Arc::clone(self.relays.entry(blob).or_default()))
        };
        self.sending.insert(blob, Sending { job, digest, size, origin, position: 0 });
    }

    /// A blob has to go again from where it is not held any more: the whole job begins again, with what is there by now.
    pub(super) fn lost(&mut self, blob: BlobId) -> Result<(), Misuse> {
        let now = self.now();
        let Some(sending) = self.sending.get(&blob) else { return Ok(()) };
        let digest = sending.digest;
        let Some(running) = self.jobs.get(&sending.job) else { return Ok(()) };
        running.lost.store(true, Ordering::Relaxed);
        let detail = Some("an upload broke off, and what had gone of it was not held any more".to_owned());
        let error = ErrorKind::ConnectionFailed { host: running.to.clone(), reason: "ended", detail };
        self.client.handle_source_failure(now, blob, Error::from(error).in_blob(digest))
    }

    /// What an exchange sends of a blob, if it does.
    pub(super) fn outgoing(&mut self, id: ExchangeId, request: &Request) -> Option<Outgoing> {
        let RequestBody::Source { blob, offset, len } = request.body else { return None };
        let sending = self.sending.get_mut(&blob)?;
        sending.position = offset;
        let (origin, inbox) = (sending.origin.clone(), self.inbox.clone());
        Some(Outgoing { id, blob, origin, offset, len, inbox })
    }

    /// Bytes of a blob went out.
    pub(super) fn sent(&mut self, id: ExchangeId, len: u64) {
        let blob = self.exchanges.get(&id).and_then(|started| started.sends);
        let Some(sending) = blob.and_then(|blob| self.sending.get_mut(&blob)) else { return };
        sending.position = sending.position.saturating_add(len);
        let Sending { digest, size, position, .. } = *sending;
        let state = TransferState::Sending;
        self.observer.transfer(&Transfer { digest, position, size: Some(size), state });
    }

    /// A blob is where it was to go.
    pub(super) fn placed(&mut self, blob: BlobId, how: Placed) {
        let Some(sending) = self.sending.remove(&blob) else { return };
        self.relays.remove(&blob);
        if how == Placed::Sent {
            let Sending { digest, size, .. } = sending;
            let (position, state) = (size, TransferState::Done);
            self.observer.transfer(&Transfer { digest, position, size: Some(size), state });
        }
    }

    /// A job is over: nothing of it goes up any more.
    pub(super) fn forget_sends(&mut self, job: JobId) {
        self.sending.retain(|_, sending| sending.job != job);
        let sending = &self.sending;
        self.relays.retain(|blob, relay| {
            let is_wanted = sending.contains_key(blob);
            if !is_wanted {
                relay.fail();
            }
            is_wanted
        });
    }
}
