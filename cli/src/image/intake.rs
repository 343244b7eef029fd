//! Blobs that a host brings by an HTTP of its own.
//!
//! The host speaks to registries with the client machine of core, as [`Driver`](crate::drive::Driver) does; what comes of a
//! blob goes through here: its partial file is this process's alone, bytes are hashed where they are written, and the name
//! comes when the machine has said that they are right (`Event::BlobVerified`).

use std::sync::Arc;

use bytes::Bytes;
use wharfie_core::Digest;
use wharfie_core::client::{self, BlobId, ExchangeId, SinkFailure};
use wharfie_core::digest::Hasher;
use wharfie_core::error::{ErrorKind, Result};

use crate::drive::{self, Refusal, Sink};
use crate::store::{Claim, Store};

/// What came of asking for a blob.
#[derive(Debug)]
pub enum Claimed {
    /// It is there, of this size: `Client::skip`.
    Present(u64),
    /// It is to be fetched, by the caller alone: `Client::fetch` from what [`Intake::position`] says.
    Mine(Intake),
    /// Another process fetches it at this moment: ask again later.
    Busy,
}

/// A blob on its way into a store, in the hands of this process until the last clone is dropped. What has come of it stays
/// for the next run.
#[derive(Clone, Debug)]
pub struct Intake(Arc<Sink>);

/// Why bytes did not go in.
#[derive(Debug)]
pub enum Refused {
    /// Another exchange writes now, or the blob has its name: the exchange has failed (`Failure::Broken`).
    Superseded,
    /// The disk: `Client::handle_sink_failure`.
    Sink {
        /// What of it.
        failure: SinkFailure,
        /// The system's words.
        detail: String,
    },
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        match refusal {
            Refusal::Superseded => Refused::Superseded,
            Refusal::Failed(failure, detail) => Refused::Sink { failure, detail },
        }
    }
}

impl Intake {
    /// Asks for a blob to write. `size` is what its descriptor says, 0 if that is not known.
    ///
    /// # Errors
    /// `no_space`, `local_io`, `permission_denied`.
    pub fn claim(store: &Store, digest: &Digest, size: u64) -> Result<Claimed> {
        Ok(match store.claim(digest, size)? {
            Claim::Present(found) => Claimed::Present(found),
            Claim::Busy => Claimed::Busy,
            Claim::Mine(partial) => {
                let have = partial.len()?;
                Claimed::Mine(Intake(Arc::new(Sink::unread(partial, size, have))))
            }
        })
    }

    /// Bytes that are there or, while they are read again, that have been.
    pub fn position(&self) -> u64 {
        self.0.position()
    }

    /// Has an exchange write what the machine asks for.
    pub fn write_by(&self, exchange: ExchangeId, store: client::Store) -> Writing {
        Writing(drive::Writing::new(exchange, Arc::clone(&self.0), store))
    }

    /// Gives the blob its name, after the machine has said that it is right. Whoever still writes is refused from now on.
    ///
    /// # Errors
    /// `size_mismatch`, `no_space`, `local_io`, `permission_denied`.
    pub fn commit(&self, size: u64) -> Result<()> {
        match self.0.take_partial() {
            Some(partial) => partial.commit(size),
            None => {
                let reason = "a blob without a sink was verified".to_owned();
                Err(ErrorKind::Internal { reason }.into())
            }
        }
    }

    /// Lets the partial file go at once, whoever still holds this: what has come of it stays for the next run.
    pub fn release(&self) {
        drop(self.0.take_partial());
    }
}

/// One exchange's way into a blob.
#[derive(Debug)]
pub struct Writing(drive::Writing);

impl Writing {
    /// Takes over the sink. Before anything else.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn begin(&self) -> Result<(), Refused> {
        Ok(self.0.begin()?)
    }

    /// Whether the sink has bytes that the hasher has not seen: [`Writing::replay`] until it has not.
    pub fn is_behind(&self) -> bool {
        self.0.is_behind()
    }

    /// Reads the next quarter of a megabyte of them again.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn replay(&mut self) -> Result<(), Refused> {
        Ok(self.0.replay()?)
    }

    /// Takes the next bytes of the body. Answers how many of them are new: `Client::handle_stored`.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn keep(&mut self, chunk: Bytes) -> Result<u64, Refused> {
        Ok(self.0.keep(chunk)?)
    }

    /// Whether more came than the descriptor promised: then nothing more is to be written until the machine says what.
    pub fn is_too_long(&self) -> bool {
        self.0.is_too_long()
    }

    /// The hasher, which goes back to the machine: `Client::handle_hashed`.
    pub fn finish(self) -> (BlobId, Hasher) {
        self.0.finish()
    }
}
