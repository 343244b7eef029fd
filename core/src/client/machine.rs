//! The root machine.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::auth::{Auth, Credentials, Issued};
use super::backoff::Jitter;
use super::blob::{Blob, Content};
use super::event::{Event, Outcome, Warning};
use super::exchange::{Exchange, Key, Owner, Phase};
use super::hosts::Hosts;
use super::list::{List, Subject};
use super::manage::Manage;
use super::pull::Pull;
use super::push::Push;
use super::queue::Queue;
use super::referrers::Referrers;
use super::{
    BlobId, BodyPlan, Config, CredentialsId, ExchangeId, Failure, Flow, JobId, ListOptions, Output, Progress,
    PullOptions, SinkFailure,
};
use crate::digest::{Digest, HashState, Hasher};
use crate::error::{Error, ErrorKind, Misuse};
use crate::http::{Head, Scope, Secret};
use crate::map::{Map, Set};
use crate::reference::Reference;
use crate::time::Millis;

/// The warnings that one job may give: a registry may send one with every response.
const MOST_WARNINGS: usize = 64;

/// The registry client; see the [module](super) for the contract.
#[derive(Debug)]
pub struct Client {
    pub(super) config: Config,
    /// The latest moment that was told.
    pub(super) now: Millis,
    pub(super) outputs: VecDeque<Output>,
    pub(super) jitter: Jitter,
    pub(super) hosts: Hosts,
    pub(super) auth: Auth,
    pub(super) exchanges: Map<Key, Exchange>,
    /// The exchanges that want to start.
    pub(super) queue: Queue,
    /// Those that want to later.
    pub(super) paused: Set<(Millis, Key)>,
    /// What is on the wire.
    pub(super) rounds: Map<ExchangeId, Key>,
    pub(super) blobs: Map<BlobId, Blob>,
    /// Blobs by [`Blob::name`].
    pub(super) names: Map<(Digest, bool, bool), BlobId>,
    pub(super) jobs: Map<JobId, Job>,
    /// Content that came within a descriptor, to be taken in its turn.
    pub(super) embedded: VecDeque<(JobId, BlobId, Digest, Content, u64)>,
    pub(super) next_key: u64,
    pub(super) next_exchange: u64,
    pub(super) next_question: u64,
    next_blob: u64,
    next_job: u64,
    /// How often it was tried to start an exchange.
    #[cfg(test)]
    pub(super) tries: u64,
}

/// One job under way.
#[derive(Debug)]
pub(super) struct Job {
    /// What the user named, for errors.
    image: String,
    warnings: Vec<Warning>,
    pub(super) work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    Pull(Box<Pull>),
    List(List),
    Push(Manage, Box<Push>),
    Referrers(Manage, Box<Referrers>),
    Delete,
    Check,
}

impl Client {
    /// A machine with no jobs.
    pub fn new(config: Config) -> Client {
        Client {
            now: Millis(0),
            outputs: VecDeque::new(),
            jitter: Jitter::new(config.seed),
            hosts: Hosts::default(),
            auth: Auth::default(),
            exchanges: Map::new(),
            queue: Queue::default(),
            paused: Set::new(),
            rounds: Map::new(),
            blobs: Map::new(),
            names: Map::new(),
            jobs: Map::new(),
            embedded: VecDeque::new(),
            next_key: 0,
            next_exchange: 0,
            next_question: 0,
            next_blob: 0,
            next_job: 0,
            #[cfg(test)]
            tries: 0,
            config,
        }
    }

    /// Starts a pull.
    pub fn pull(&mut self, now: Millis, reference: &Reference, options: PullOptions) -> JobId {
        self.advance(now);
        let job = self.add_job(reference.familiar(), Work::Pull(Box::new(Pull::new(reference, options))));
        self.begin_pull(job);
        self.pump();
        job
    }

    /// Starts to fetch one blob by its digest, outside any image. The reference must have a digest.
    pub fn pull_blob(&mut self, now: Millis, reference: &Reference) -> JobId {
        self.advance(now);
        let job = self.add_job(
            reference.familiar(),
            Work::Pull(Box::new(Pull::new(reference, PullOptions::default()))),
        );
        self.begin_blob(job);
        self.pump();
        job
    }

    /// Starts to list the tags of a repository (the reference's tag and digest do not matter).
    pub fn tags(&mut self, now: Millis, repository: &Reference, options: ListOptions) -> JobId {
        self.advance(now);
        let subject = Subject::Tags { repository: repository.repository().to_string() };
        let list = List::new(repository.host(), subject, options);
        let job = self.add_job(repository.name(), Work::List(list));
        self.ask_page(job);
        self.pump();
        job
    }

    /// Stops a job: it ends with `cancelled`. One that is over already is left alone.
    pub fn cancel(&mut self, now: Millis, job: JobId) {
        self.advance(now);
        self.fail(job, ErrorKind::Cancelled {}.into());
        self.pump();
    }

    /// The head of a response arrived.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, or a second head.
    pub fn handle_head(&mut self, now: Millis, id: ExchangeId, head: Head<'_>) -> Result<BodyPlan, Misuse> {
        self.advance(now);
        let Some(key) = self.live(id)? else { return Ok(BodyPlan::Discard) };
        let plan = self.head(key, head)?;
        self.pump();
        Ok(plan)
    }

    /// A chunk of a body that is fed arrived (or, in a host without threads, of one that is stored).
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, before the head, and for payload whose hasher is not back.
    pub fn handle_body(&mut self, now: Millis, id: ExchangeId, chunk: &[u8]) -> Result<Flow, Misuse> {
        self.advance(now);
        match self.live(id)? {
            Some(key) => self.chunk(key, chunk),
            None => Ok(Flow::Stop),
        }
    }

    /// `len` more bytes of a stored body are in the sink. (0 says that the body is alive, while bytes are skipped.)
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, and for a body that is not to be stored.
    pub fn handle_stored(&mut self, now: Millis, id: ExchangeId, len: u64) -> Result<Flow, Misuse> {
        self.advance(now);
        let Some(key) = self.live(id)? else { return Ok(Flow::Stop) };
        let round = self.exchanges.get(&key).and_then(Exchange::round);
        if !round.is_some_and(|round| matches!(round.phase, Phase::Blob { .. })) {
            return Err(Misuse("stored bytes of a body that is not to be stored"));
        }
        Ok(self.stored(key, len))
    }

    /// A hasher comes back, with all the bytes that were stored: where its position and the sum of `handle_stored`
    /// differ after a body that ended, the hasher is right.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, and for a blob whose hasher is not out.
    pub fn handle_hashed(&mut self, now: Millis, blob: BlobId, hasher: Hasher) -> Result<(), Misuse> {
        self.advance(now);
        self.known(blob)?;
        self.hasher_back(blob, hasher)?;
        self.pump();
        Ok(())
    }

    /// `len` more bytes of a request's body went out.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out.
    pub fn handle_sent(&mut self, now: Millis, id: ExchangeId, len: u64) -> Result<(), Misuse> {
        self.advance(now);
        let Some(key) = self.live(id)? else { return Ok(()) };
        if let Some(round) = self.exchanges.get_mut(&key).and_then(Exchange::round_mut).filter(|_| len > 0) {
            round.heard = now;
        }
        Ok(())
    }

    /// A body ended as HTTP says that it ends (its `Content-Length` or last chunk).
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, and before the head.
    pub fn handle_end(&mut self, now: Millis, id: ExchangeId) -> Result<(), Misuse> {
        self.advance(now);
        let Some(key) = self.live(id)? else { return Ok(()) };
        self.body_ended(key)?;
        self.pump();
        Ok(())
    }

    /// The transport gave up.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out.
    pub fn handle_failure(
        &mut self,
        now: Millis,
        id: ExchangeId,
        failure: Failure,
        detail: &str,
    ) -> Result<(), Misuse> {
        self.advance(now);
        let Some(key) = self.live(id)? else { return Ok(()) };
        self.round_failed(key, Some(failure), detail);
        self.pump();
        Ok(())
    }

    /// A sink could not take bytes: the jobs that need the blob end so.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out.
    pub fn handle_sink_failure(
        &mut self,
        now: Millis,
        blob: BlobId,
        failure: SinkFailure,
        detail: &str,
    ) -> Result<(), Misuse> {
        self.advance(now);
        self.known(blob)?;
        self.sink_failed(blob, failure, detail);
        self.pump();
        Ok(())
    }

    /// The host cannot read a blob that is to be sent ([`Event::Source`]): the jobs that send it end so.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out.
    #[allow(clippy::needless_pass_by_value)] // The host is done with it.
    pub fn handle_source_failure(&mut self, now: Millis, blob: BlobId, error: Error) -> Result<(), Misuse> {
        self.advance(now);
        self.known(blob)?;
        self.source_lost(blob, &error);
        self.pump();
        Ok(())
    }

    /// Whether somebody reads this body: the stall clock runs only then.
    pub fn handle_reading(&mut self, now: Millis, id: ExchangeId, reading: bool) {
        self.advance(now);
        let now = self.now;
        let key = self.rounds.get(&id).copied();
        let round = key.and_then(|key| self.exchanges.get_mut(&key)?.round_mut());
        if let Some(round) = round.filter(|round| round.reading != reading) {
            round.reading = reading;
            round.heard = now;
        }
    }

    /// A moment came that `Wait` named.
    pub fn handle_timeout(&mut self, now: Millis) {
        self.advance(now);
        self.time_out();
        self.pump();
    }

    /// Answers `Need`: fetch it; `have` bytes are in the sink already, with or without the hash over them. (A sink that
    /// is whole without the hash over it costs the last byte again: its `Store` replays the rest. A host that would
    /// rather not asks itself, by hashing the file, and answers `skip`.) For documents `have` does not matter.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, or a second answer.
    pub fn fetch(
        &mut self,
        now: Millis,
        blob: BlobId,
        have: u64,
        state: Option<&HashState>,
    ) -> Result<(), Misuse> {
        self.advance(now);
        if self.answer(blob)? {
            self.fetch_blob(blob, have, state);
            self.pump();
        }
        Ok(())
    }

    /// Answers `Need`: the host has this blob, verified earlier.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, a second answer, or a document.
    pub fn skip(&mut self, now: Millis, blob: BlobId) -> Result<(), Misuse> {
        self.advance(now);
        if self.blobs.get(&blob).is_some_and(|blob| blob.document) {
            return Err(Misuse("a document is no blob to skip: supply it"));
        }
        if self.answer(blob)? {
            let size = self.blobs.get(&blob).and_then(|blob| blob.size).unwrap_or(0);
            self.blob_done(blob, None, size);
            self.pump();
        }
        Ok(())
    }

    /// Answers `Need`: the host has this document. Bytes that do not hold are fetched instead.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, a second answer, or a blob that is no document.
    pub fn supply(&mut self, now: Millis, blob: BlobId, bytes: &[u8]) -> Result<(), Misuse> {
        self.advance(now);
        if self.blobs.get(&blob).is_some_and(|blob| !blob.document) {
            return Err(Misuse("only documents are supplied: skip a blob, or fetch it"));
        }
        if self.answer(blob)? {
            match self.accept_document(blob, bytes, None) {
                Ok(content) => self.blob_done(blob, Some(&content), bytes.len() as u64),
                Err(_) => self.fetch_blob(blob, 0, None),
            }
            self.pump();
        }
        Ok(())
    }

    /// Answers `Need`: the host cannot or may not fetch it (offline, disk full): the jobs that need it end so.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, or a second answer.
    #[allow(clippy::needless_pass_by_value)] // The host is done with it.
    pub fn refuse(&mut self, now: Millis, blob: BlobId, error: Error) -> Result<(), Misuse> {
        self.advance(now);
        if self.answer(blob)? {
            self.blob_failed(blob, &error);
            self.pump();
        }
        Ok(())
    }

    /// Answers `NeedCredentials`.
    ///
    /// # Errors
    /// [`Misuse`] for a question that was never put, or was answered.
    pub fn credentials(
        &mut self,
        now: Millis,
        id: CredentialsId,
        found: Option<Credentials>,
    ) -> Result<(), Misuse> {
        self.advance(now);
        if self.auth.answered(id, found).is_none() {
            return Err(Misuse("an answer to a question for credentials that is not open"));
        }
        self.unlock(super::exchange::Lock::Credentials(id));
        self.pump();
        Ok(())
    }

    /// Gives the machine a token that an earlier process was issued: what [`Event::TokenIssued`] said, and how long it
    /// has still to live.
    pub fn add_token(
        &mut self,
        now: Millis,
        registry: &str,
        scope: &str,
        token: Secret,
        lives: core::time::Duration,
    ) {
        self.advance(now);
        let scopes = Scope::parse_list(scope);
        let account = scopes
            .iter()
            .find_map(|scope| match scope {
                Scope::Resource { kind, name, .. } if kind == "repository" => Some(name.clone()),
                _ => None,
            })
            .unwrap_or_default();
        let issued = Issued { account, scopes, secret: token, lives, with_credentials: false };
        self.auth.add_token(registry, issued, self.now);
    }

    /// How far a blob has come; `None` once it is done, given up, or was never wanted.
    pub fn progress(&self, blob: BlobId) -> Option<Progress> {
        self.blobs.get(&blob).map(Blob::progress)
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output {
        match self.outputs.pop_front() {
            Some(output) => output,
            None => Output::Wait(self.deadline()),
        }
    }

    pub(super) fn advance(&mut self, now: Millis) {
        self.now = self.now.max(now);
    }

    /// The exchange of a round; `None` if that is over.
    fn live(&self, id: ExchangeId) -> Result<Option<Key>, Misuse> {
        if id.0 >= self.next_exchange {
            return Err(Misuse("an exchange that was never started"));
        }
        Ok(self.rounds.get(&id).copied())
    }

    fn known(&self, blob: BlobId) -> Result<(), Misuse> {
        if blob.0 < self.next_blob { Ok(()) } else { Err(Misuse("a blob that was never named")) }
    }

    /// Takes the answer to a `Need`: `false` if nobody waits for it any more.
    fn answer(&mut self, blob: BlobId) -> Result<bool, Misuse> {
        self.known(blob)?;
        let Some(blob) = self.blobs.get_mut(&blob) else { return Ok(false) };
        if blob.answered {
            return Err(Misuse("a second answer to one `Need`"));
        }
        blob.answered = true;
        Ok(true)
    }

    pub(super) fn add_job(&mut self, image: String, work: Work) -> JobId {
        let id = JobId(self.next_job);
        self.next_job += 1;
        self.jobs.insert(id, Job { image, warnings: Vec::new(), work });
        id
    }

    /// A name for a blob.
    pub(super) fn name_blob(&mut self) -> BlobId {
        let id = BlobId(self.next_blob);
        self.next_blob += 1;
        id
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Gives a warning, once for each job.
    pub(super) fn warn_once(&mut self, job: JobId, warning: Warning) {
        let Some(known) = self.jobs.get_mut(&job).map(|job| &mut job.warnings) else { return };
        if known.len() < MOST_WARNINGS && !known.contains(&warning) {
            known.push(warning.clone());
            self.event(Event::Warning { job, warning });
        }
    }

    /// Bytes came over the network for this job.
    pub(super) fn job_received(&mut self, job: JobId, bytes: u64) {
        if let Some(Work::Pull(pull)) = self.jobs.get_mut(&job).map(|job| &mut job.work) {
            pull.received = pull.received.saturating_add(bytes);
        }
    }

    pub(super) fn fail(&mut self, job: JobId, error: Error) {
        let Some(image) = self.jobs.get(&job).map(|job| job.image.clone()) else { return };
        self.finish(job, Err(error.in_image(image)));
    }

    /// The end of a job: what only it wanted is dropped.
    pub(super) fn finish(&mut self, job: JobId, result: Result<Outcome, Error>) {
        if self.jobs.remove(&job).is_none() {
            return;
        }
        let mut alone = Vec::new();
        for (id, blob) in self.blobs.iter_mut() {
            blob.jobs.retain(|other| *other != job);
            if blob.jobs.is_empty() {
                alone.push(*id);
            }
        }
        for id in alone {
            self.drop_blob(id);
        }
        let is_own = |exchange: &Exchange| match exchange.owner {
            Owner::Top(other)
            | Owner::List(other)
            | Owner::Check(_, other)
            | Owner::Push(_, other, _)
            | Owner::Delete(_, other)
            | Owner::Referrers(_, other) => other == job,
            Owner::Blob(_) | Owner::Token(_) => false,
        };
        let own: Vec<Key> =
            self.exchanges.iter().filter(|(_, exchange)| is_own(exchange)).map(|(key, _)| *key).collect();
        for key in own {
            self.drop_exchange(key);
        }
        self.event(Event::Finished(job, result));
    }
}
