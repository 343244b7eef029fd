//! The root machine.

use alloc::string::String;

use super::{
    BlobId, BodyPlan, Config, CredentialsId, ExchangeId, Failure, Flow, JobId, ListOptions, Output, Progress,
    PullOptions, SinkFailure,
};
use crate::digest::{HashState, Hasher};
use crate::error::Misuse;
use crate::http::Head;
use crate::http::Secret;
use crate::reference::Reference;
use crate::time::Millis;

/// What a host found for a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token (`identitytoken` in docker's config, user `<token>` from a helper): OAuth2.
    RefreshToken(Secret),
    /// A token to send as it is (`registrytoken`).
    Bearer(Secret),
}

/// The registry client; see the [module](super) for the contract.
#[derive(Debug)]
pub struct Client {
    config: Config,
}

#[allow(unused_variables, clippy::unused_self, clippy::todo)]
impl Client {
    /// A machine with no jobs.
    pub fn new(config: Config) -> Client {
        Client { config }
    }

    /// Starts a pull.
    pub fn pull(&mut self, now: Millis, reference: &Reference, options: PullOptions) -> JobId {
        todo!()
    }

    /// Starts to fetch one blob by its digest, outside any image. The reference must have a digest.
    pub fn pull_blob(&mut self, now: Millis, reference: &Reference) -> JobId {
        todo!()
    }

    /// Starts to list the tags of a repository (the reference's tag and digest do not matter).
    pub fn tags(&mut self, now: Millis, repository: &Reference, options: ListOptions) -> JobId {
        todo!()
    }

    /// Starts to list the repositories of a registry, as `Reference` names it.
    pub fn repositories(&mut self, now: Millis, registry: &str, options: ListOptions) -> JobId {
        todo!()
    }

    /// Starts to check credentials with a registry: what `login` does.
    pub fn check(&mut self, now: Millis, registry: &str) -> JobId {
        todo!()
    }

    /// Stops a job: it ends with `cancelled`.
    pub fn cancel(&mut self, now: Millis, job: JobId) {
        todo!()
    }

    /// The head of a response arrived.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, or a second head.
    pub fn handle_head(&mut self, now: Millis, id: ExchangeId, head: Head<'_>) -> Result<BodyPlan, Misuse> {
        todo!()
    }

    /// A chunk of a body that is fed arrived (or, in a host without threads, of one that is stored).
    pub fn handle_body(&mut self, now: Millis, id: ExchangeId, chunk: &[u8]) -> Result<Flow, Misuse> {
        todo!()
    }

    /// `len` more bytes of a stored body are in the sink.
    pub fn handle_stored(&mut self, now: Millis, id: ExchangeId, len: u64) -> Result<Flow, Misuse> {
        todo!()
    }

    /// A hasher comes back, with all the bytes that were stored: where its position and the sum of `handle_stored`
    /// differ after a body that ended, the hasher is right.
    pub fn handle_hashed(&mut self, now: Millis, blob: BlobId, hasher: Hasher) -> Result<(), Misuse> {
        todo!()
    }

    /// `len` more bytes of a request's body went out.
    pub fn handle_sent(&mut self, now: Millis, id: ExchangeId, len: u64) -> Result<(), Misuse> {
        todo!()
    }

    /// A body ended as HTTP says that it ends (its `Content-Length` or last chunk).
    pub fn handle_end(&mut self, now: Millis, id: ExchangeId) -> Result<(), Misuse> {
        todo!()
    }

    /// The transport gave up.
    pub fn handle_failure(
        &mut self,
        now: Millis,
        id: ExchangeId,
        failure: Failure,
        detail: &str,
    ) -> Result<(), Misuse> {
        todo!()
    }

    /// A sink could not take bytes.
    pub fn handle_sink_failure(
        &mut self,
        now: Millis,
        blob: BlobId,
        failure: SinkFailure,
        detail: &str,
    ) -> Result<(), Misuse> {
        todo!()
    }

    /// Whether somebody reads this body: the stall clock runs only then.
    pub fn handle_reading(&mut self, now: Millis, id: ExchangeId, reading: bool) {
        todo!()
    }

    /// A moment came that `Wait` named.
    pub fn handle_timeout(&mut self, now: Millis) {
        todo!()
    }

    /// Answers `Need`: fetch it; `have` bytes are in the sink already, with or without the hash over them. (A sink that
    /// is whole without the hash over it costs the last byte again: its `Store` replays the rest. A host that would
    /// rather not asks itself, by hashing the file, and answers `skip`.) For documents `have` does not matter.
    pub fn fetch(
        &mut self,
        now: Millis,
        blob: BlobId,
        have: u64,
        state: Option<&HashState>,
    ) -> Result<(), Misuse> {
        todo!()
    }

    /// Answers `Need`: the host has this blob, verified earlier.
    pub fn skip(&mut self, now: Millis, blob: BlobId) -> Result<(), Misuse> {
        todo!()
    }

    /// Answers `Need`: the host has this document. Bytes that do not hold are fetched instead.
    pub fn supply(&mut self, now: Millis, blob: BlobId, bytes: &[u8]) -> Result<(), Misuse> {
        todo!()
    }

    /// Answers `Need`: the host cannot or may not fetch it (offline, disk full): the jobs that need it end so.
    pub fn refuse(&mut self, now: Millis, blob: BlobId, error: crate::Error) -> Result<(), Misuse> {
        todo!()
    }

    /// Answers `NeedCredentials`.
    pub fn credentials(
        &mut self,
        now: Millis,
        id: CredentialsId,
        found: Option<Credentials>,
    ) -> Result<(), Misuse> {
        todo!()
    }

    /// Gives the machine a token that an earlier process was issued.
    pub fn add_token(
        &mut self,
        now: Millis,
        registry: &str,
        scope: &str,
        token: Secret,
        lives: core::time::Duration,
    ) {
        todo!()
    }

    /// How far a blob has come.
    pub fn progress(&self, blob: BlobId) -> Option<Progress> {
        todo!()
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output {
        todo!()
    }
}
