//! The thread that owns the machine: it takes what happened, drains what is to be done, and does it.

mod sending;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use wharfie_core::client::{
    self, BlobId, BodyPlan, Client, Credentials, CredentialsId, Event, ExchangeId, Failure, Flow, JobId,
    ListOptions, Outcome, Output, PushOptions, ReferrersOptions, SinkFailure,
};
use wharfie_core::digest::Hasher;
use wharfie_core::error::{ErrorKind, Misuse, Result};
use wharfie_core::http::{Head, Headers};
use wharfie_core::image::Descriptor;
use wharfie_core::{Digest, Error, Millis, Reference};

use self::sending::Sending;
use super::arrivals::{Arrivals, Over};
use super::exchange::{self, Exchange, Live, Plan};
use super::network::Network;
use super::observe::{CredentialSource, Observer, Transfer, TransferState};
use super::outgoing::Supply;
use super::relay::Relay;
use super::sink::{Place, Sink};
use super::trace::Trace;
use crate::store::{Claim, Store};

/// Blobs that may be under way at once, each with its file open and locked. The machine fetches fewer.
const OPEN_BLOBS: usize = 32;
/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);
/// How often a blob that another process fetches is looked for.
const WAIT_FOR_OTHERS: Duration = Duration::from_millis(200);
/// How long tasks may take to come to their end when the driver goes.
const FAREWELL: Duration = Duration::from_secs(1);

/// What happened.
pub(super) enum Input {
    /// A job is wanted.
    Job { job: Box<Job>, replies: mpsc::Sender<Reply> },
    /// The caller of a job does not want it any longer.
    Abandon { token: u64 },
    /// The head of a response.
    Head { id: ExchangeId, status: u16, headers: HeaderMap, reply: oneshot::Sender<Plan> },
    /// A piece of a body that the machine reads.
    Body { id: ExchangeId, chunk: Bytes, reply: oneshot::Sender<Flow> },
    /// Bytes are in a sink.
    Stored { id: ExchangeId, len: u64 },
    /// A hasher comes back.
    Hashed { blob: BlobId, hasher: Hasher },
    /// A body ended.
    End { id: ExchangeId },
    /// The transport gave up.
    Failed { id: ExchangeId, failure: Failure, detail: String },
    /// A sink gave up.
    SinkFailed { blob: BlobId, failure: SinkFailure, detail: String },
    /// Bytes of a request's body went out.
    Sent { id: ExchangeId, len: u64 },
    /// A blob that is to be sent cannot be read.
    SourceFailed { blob: BlobId, error: Error },
    /// A blob that goes from one registry to another has to go again, and is not held any more.
    SourceLost { blob: BlobId },
    /// Whether somebody reads this body.
    Reading { id: ExchangeId, reading: bool },
    /// Another process is done with a blob, or gave it up.
    Claimed { blob: BlobId, claim: Result<Claim> },
    /// What the credential source found.
    Found { id: CredentialsId, credentials: Option<Credentials> },
    /// Something was written down, or not.
    Written { write: u64, blob: Option<BlobId>, done: Result<()> },
    /// The driver goes.
    Shutdown,
}

/// What a caller wants.
pub(super) struct Job {
    /// Names it for `Abandon`.
    pub(super) token: u64,
    pub(super) task: Task,
    /// Whether it may use the network.
    pub(super) online: bool,
    /// Set when it is over, before the caller is told.
    pub(super) over: Arc<Over>,
}

pub(super) enum Task {
    Pull(Reference, client::PullOptions),
    Blob(Reference),
    Tags(Reference, ListOptions),
    Repositories(String, ListOptions),
    Check(String),
    Push(Box<Errand>),
    Delete(Reference),
    Referrers(Reference, Digest, ReferrersOptions),
}

/// What is to be pushed or copied.
pub(super) struct Errand {
    pub(super) to: Reference,
    pub(super) top: Descriptor,
    pub(super) options: PushOptions,
    pub(super) supplies: Supplies,
    /// Set when what was relayed is lost, so that all of it has to be done again.
    pub(super) lost: Arc<AtomicBool>,
}

/// Where it comes from.
pub(super) enum Supplies {
    /// Another registry.
    Registry(Reference),
    /// This disk.
    Local(Arc<dyn Supply>),
}

/// What a caller gets.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one of them for each job, and one for each page of a list"
)]
pub(super) enum Reply {
    Page(Vec<String>),
    /// The documents of a pull are in the store; its layers come.
    Described(client::Pulled),
    Done(Result<Outcome>),
}

struct Running {
    token: u64,
    replies: mpsc::Sender<Reply>,
    online: bool,
    over: Arc<Over>,
    /// What a push sends, if that is on this disk.
    supply: Option<Arc<dyn Supply>>,
    /// Whether what it fetches is sent on.
    copies: bool,
    /// Where what it sends goes to.
    to: String,
    /// See [`Errand::lost`].
    lost: Arc<AtomicBool>,
    /// What the machine said of what the job comes to; told when all writes before this one are done.
    described: Option<(client::Pulled, u64)>,
    /// What the machine said, once it has; told when all writes before this one are done.
    outcome: Option<(Result<Outcome>, u64)>,
}

struct Started {
    /// What it sends, and from where on.
    sends: Option<BlobId>,
    stop: oneshot::Sender<()>,
    live: Arc<Live>,
    /// The machine was told that nobody reads, since its task was at its sink.
    paused: bool,
}

struct Blob {
    digest: Digest,
    size: Option<u64>,
    sink: Option<Arc<Sink>>,
    state: TransferState,
    /// What was told last.
    told: Option<(TransferState, u64)>,
    /// The machine is done with it: only the writing down is missing.
    verified: bool,
}

struct Wanted {
    job: JobId,
    blob: BlobId,
    descriptor: Descriptor,
}

/// What the thread works with.
pub(super) struct Parts {
    pub(super) client: Client,
    pub(super) network: Arc<Network>,
    pub(super) store: Store,
    pub(super) arrivals: Arrivals,
    pub(super) credentials: Arc<dyn CredentialSource>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) document_bytes: u64,
    pub(super) inbox: UnboundedSender<Input>,
    pub(super) mail: UnboundedReceiver<Input>,
    pub(super) cancelled: watch::Receiver<bool>,
    pub(super) runtime: Runtime,
}

pub(super) struct Machine {
    client: Client,
    network: Arc<Network>,
    store: Store,
    arrivals: Arrivals,
    credentials: Arc<dyn CredentialSource>,
    observer: Arc<dyn Observer>,
    document_bytes: u64,
    inbox: UnboundedSender<Input>,
    runtime: Runtime,
    origin: Instant,
    wait: Option<Millis>,
    jobs: BTreeMap<JobId, Running>,
    exchanges: BTreeMap<ExchangeId, Started>,
    blobs: BTreeMap<BlobId, Blob>,
    sending: BTreeMap<BlobId, Sending>,
    /// Blobs that go on to another registry as they come.
    relays: BTreeMap<BlobId, Arc<Relay>>,
    /// Blobs that were asked for in this drain.
    asked: Vec<Wanted>,
    /// Blobs that wait for their turn.
    queue: VecDeque<Wanted>,
    /// Files that are being written down, by number.
    writing: BTreeSet<u64>,
    next_write: u64,
    /// A driver's bug was found: everything ends.
    broken: Option<Error>,
}

/// Runs until the driver goes.
pub(super) fn run(parts: Parts) {
    let Parts {
        client,
        network,
        store,
        arrivals,
        credentials,
        observer,
        document_bytes,
        inbox,
        mut mail,
        mut cancelled,
        runtime,
    } = parts;
    let mut machine = Machine {
        client,
        network,
        store,
        arrivals,
        credentials,
        observer,
        document_bytes,
        inbox,
        runtime,
        origin: Instant::now(),
        wait: None,
        jobs: BTreeMap::new(),
        exchanges: BTreeMap::new(),
        blobs: BTreeMap::new(),
        sending: BTreeMap::new(),
        relays: BTreeMap::new(),
        asked: Vec::new(),
        queue: VecDeque::new(),
        writing: BTreeSet::new(),
        next_write: 0,
        broken: None,
    };
    let mut tick = Instant::now();
    let mut is_cancelled = *cancelled.borrow_and_update();
    loop {
        let next = machine.deadline(tick);
        let woken = machine.runtime.block_on(async {
            tokio::select! {
                biased;
                Ok(()) = cancelled.changed(), if !is_cancelled => Woken::Cancelled,
                input = mail.recv() => input.map_or(Woken::Input(Input::Shutdown), Woken::Input),
                () = sleep_until(next) => Woken::Timeout,
            }
        });
        match woken {
            Woken::Input(Input::Shutdown) => break,
            Woken::Input(input) => machine.handle(input, is_cancelled),
            Woken::Cancelled => {
                is_cancelled = true;
                machine.cancel_all();
            }
            Woken::Timeout => {}
        }
        if machine.wait.is_some_and(|due| due <= machine.now()) {
            machine.pause();
            let now = machine.now();
            machine.client.handle_timeout(now);
        }
        machine.settle();
        if tick.elapsed() >= TICK {
            tick = Instant::now();
            machine.pause();
            machine.tell_progress();
        }
    }
    machine.leave();
}

#[allow(clippy::large_enum_variant, reason = "it is moved once")]
enum Woken {
    Input(Input),
    Cancelled,
    Timeout,
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

impl Machine {
    fn now(&self) -> Millis {
        Millis(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When to look again, whatever happens.
    fn deadline(&self, tick: Instant) -> Option<Instant> {
        let wait = self.wait.and_then(|wait| self.origin.checked_add(Duration::from_millis(wait.0)));
        let tick = (!self.blobs.is_empty()).then_some(tick + TICK);
        [wait, tick].into_iter().flatten().min()
    }

    fn handle(&mut self, input: Input, is_cancelled: bool) {
        let now = self.now();
        let done = match input {
            Input::Job { replies, .. } if is_cancelled => {
                let _ = replies.send(Reply::Done(Err(ErrorKind::Cancelled {}.into())));
                Ok(())
            }
            Input::Job { job, replies } => {
                self.begin(*job, replies);
                Ok(())
            }
            Input::Abandon { token } => {
                let known = self.jobs.iter().find(|(_, running)| running.token == token).map(|(job, _)| *job);
                if let Some(job) = known {
                    self.client.cancel(now, job);
                }
                Ok(())
            }
            Input::Head { id, status, headers, reply } => self.head(id, status, &headers, reply),
            Input::Body { id, chunk, reply } => self.client.handle_body(now, id, &chunk).map(|flow| {
                if flow == Flow::Stop {
                    self.exchanges.remove(&id);
                }
                let _ = reply.send(flow);
            }),
            Input::Stored { id, len } => self.client.handle_stored(now, id, len).map(|flow| {
                if flow == Flow::Stop {
                    self.stop(id);
                }
            }),
            Input::Hashed { blob, hasher } => self.client.handle_hashed(now, blob, hasher),
            Input::End { id } => {
                self.exchanges.remove(&id);
                self.client.handle_end(now, id)
            }
            Input::Failed { id, failure, detail } => {
                self.exchanges.remove(&id);
                self.client.handle_failure(now, id, failure, &detail)
            }
            Input::SinkFailed { blob, failure, detail } => {
                self.client.handle_sink_failure(now, blob, failure, &detail)
            }
            Input::Sent { id, len } => {
                self.sent(id, len);
                self.client.handle_sent(now, id, len)
            }
            Input::SourceFailed { blob, error } => self.client.handle_source_failure(now, blob, error),
            Input::SourceLost { blob } => self.lost(blob),
            Input::Reading { id, reading } => {
                self.client.handle_reading(now, id, reading);
                Ok(())
            }
            Input::Claimed { blob, claim } => self.claimed(blob, claim),
            Input::Found { id, credentials } => self.client.credentials(now, id, credentials),
            Input::Written { write, blob, done } => {
                self.written(write, blob, done);
                Ok(())
            }
            Input::Shutdown => Ok(()),
        };
        self.check(done);
    }

    fn check(&mut self, done: Result<(), Misuse>) {
        if let Err(misuse) = done {
            self.broken.get_or_insert_with(|| ErrorKind::Internal { reason: misuse.to_string() }.into());
        }
    }

    fn begin(&mut self, job: Job, replies: mpsc::Sender<Reply>) {
        let now = self.now();
        let (mut supply, mut copies) = (None, false);
        let (mut to_host, mut is_lost) = (String::new(), Arc::default());
        let id = match job.task {
            Task::Pull(reference, options) => self.client.pull(now, &reference, options),
            Task::Blob(reference) => self.client.pull_blob(now, &reference),
            Task::Tags(repository, options) => self.client.tags(now, &repository, options),
            Task::Repositories(registry, options) => self.client.repositories(now, &registry, options),
            Task::Check(registry) => self.client.check(now, &registry),
            Task::Delete(reference) => self.client.delete(now, &reference),
            Task::Referrers(repository, digest, options) => {
                self.client.referrers(now, &repository, digest, options)
            }
            Task::Push(errand) => {
                let Errand { to, top, options, supplies, lost } = *errand;
                (to_host, is_lost) = (to.host().to_owned(), lost);
                match supplies {
                    Supplies::Local(found) => {
                        supply = Some(found);
                        self.client.push(now, &to, &top, options)
                    }
                    Supplies::Registry(from) => {
                        copies = true;
                        self.client.copy(now, &from, &to, &top, options)
                    }
                }
            }
        };
        let Job { token, online, over, .. } = job;
        let running = Running {
            token,
            replies,
            online,
            over,
            supply,
            copies,
            to: to_host,
            lost: is_lost,
            described: None,
            outcome: None,
        };
        self.jobs.insert(id, running);
    }

    fn cancel_all(&mut self) {
        let now = self.now();
        let running: Vec<JobId> = self.jobs.keys().copied().collect();
        for job in running {
            self.client.cancel(now, job);
        }
    }

    fn head(
        &mut self,
        id: ExchangeId,
        status: u16,
        headers: &HeaderMap,
        reply: oneshot::Sender<Plan>,
    ) -> Result<(), Misuse> {
        let now = self.now();
        let fields = exchange::fields(headers);
        let plan = self.client.handle_head(now, id, Head::new(status, Headers::new(&fields)))?;
        let plan = match plan {
            BodyPlan::Store(store) => match self.blobs.get(&store.blob).and_then(|blob| blob.sink.clone()) {
                Some(sink) => Plan::Store(store, sink),
                None => return Err(Misuse("payload for a blob without a sink")),
            },
            other => {
                if matches!(other, BodyPlan::Discard) {
                    self.exchanges.remove(&id);
                }
                Plan::Body(other)
            }
        };
        // A task that was aborted meanwhile gives nothing back.
        if let Err(Plan::Store(store, _)) = reply.send(plan) {
            return self.client.handle_hashed(now, store.blob, store.hasher);
        }
        Ok(())
    }

    fn stop(&mut self, id: ExchangeId) {
        if let Some(started) = self.exchanges.remove(&id) {
            let _ = started.stop.send(());
        }
    }

    /// Drains the machine, and answers what it asks until it asks nothing more.
    fn settle(&mut self) {
        loop {
            self.drain();
            let taken_up = self.take_up();
            let claimed = self.serve_queue();
            if !taken_up && !claimed {
                break;
            }
        }
        if let Some(error) = self.broken.clone() {
            for running in self.jobs.values_mut() {
                running.outcome.get_or_insert_with(|| (Err(error.clone()), 0));
            }
            self.exchanges.clear();
        }
        self.forget();
        self.report();
    }

    fn drain(&mut self) {
        loop {
            match self.client.poll_output() {
                Output::Start { id, request } => {
                    let (stop, stopped) = oneshot::channel();
                    let live = Arc::new(Live::default());
                    let source = self.outgoing(id, &request);
                    let sends = source.as_ref().map(|source| source.blob);
                    self.exchanges.insert(id, Started { sends, stop, live: live.clone(), paused: false });
                    let exchange = Exchange {
                        id,
                        request,
                        source,
                        network: self.network.clone(),
                        inbox: self.inbox.clone(),
                        live,
                        trace: Trace::new(self.observer.clone(), id.number()),
                    };
                    self.runtime.spawn(exchange.run(stopped));
                }
                Output::Abort { id } => self.stop(id),
                Output::Event(event) => self.event(event),
                Output::Wait(until) => {
                    self.wait = until;
                    return;
                }
            }
        }
    }

    fn event(&mut self, event: Event) {
        match &event {
            Event::Need { .. } | Event::NeedCredentials { .. } | Event::TokenIssued { .. } => {}
            told => self.observer.event(told),
        }
        match event {
            Event::Need { job, blob, descriptor, document: true } => self.supply(job, blob, &descriptor),
            Event::Need { job, blob, descriptor, document: false } => {
                self.relay(job, blob, &descriptor);
                self.asked.push(Wanted { job, blob, descriptor });
            }
            Event::Source { job, blob, descriptor } => self.send(job, blob, &descriptor),
            Event::Document { descriptor, bytes, .. } => {
                let store = self.store.clone();
                self.write(None, move || store.put_document(&descriptor.digest, &bytes));
            }
            Event::Described { job, pulled } => {
                if let Some(running) = self.jobs.get_mut(&job) {
                    running.described = Some((pulled, self.next_write));
                }
            }
            Event::BlobVerified { blob, size, .. } => self.verified(blob, size),
            Event::Placed { blob, how, .. } => self.placed(blob, how),
            Event::NeedCredentials { id, registry, repository, stands_for } => {
                let (source, inbox) = (self.credentials.clone(), self.inbox.clone());
                self.runtime.spawn_blocking(move || {
                    let repository = repository.as_deref();
                    let credentials = match stands_for {
                        Some(_) => source.find_for_stand_in(&registry, repository),
                        None => source.find(&registry, repository),
                    };
                    let _ = inbox.send(Input::Found { id, credentials });
                });
            }
            Event::Listed { job, listed } => {
                if let Some(running) = self.jobs.get(&job) {
                    let _ = running.replies.send(Reply::Page(listed.names));
                }
            }
            Event::Finished(job, outcome) => {
                self.forget_sends(job);
                if let Some(running) = self.jobs.get_mut(&job) {
                    running.outcome.get_or_insert((outcome, self.next_write));
                }
            }
            _ => {}
        }
    }

    /// A document that the machine wants to read.
    fn supply(&mut self, job: JobId, blob: BlobId, descriptor: &Descriptor) {
        let now = self.now();
        if let Some(supply) = self.jobs.get(&job).and_then(|running| running.supply.clone()) {
            let done = match supply.document(descriptor) {
                Ok(Some(bytes)) => match Digest::of(descriptor.digest.algorithm(), &bytes) {
                    actual if actual == descriptor.digest => self.client.supply(now, blob, &bytes),
                    actual => {
                        let error = ErrorKind::DigestMismatch { expected: descriptor.digest, actual };
                        self.client.refuse(now, blob, Error::from(error).in_blob(descriptor.digest))
                    }
                },
                Ok(None) => self.client.refuse(now, blob, missing(descriptor)),
                Err(error) => self.client.refuse(now, blob, error.in_blob(descriptor.digest)),
            };
            return self.check(done);
        }
        // One that has rotted is fetched again.
        let found = self.store.read_document(&descriptor.digest, self.document_bytes).ok().flatten();
        let done = match found {
            Some(bytes) => self.client.supply(now, blob, &bytes),
            None if self.is_online(job) => self.client.fetch(now, blob, 0, None),
            None => self.client.refuse(now, blob, offline(&descriptor.digest)),
        };
        self.check(done);
    }

    fn is_online(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|running| running.online)
    }

    /// Looks at the blobs that were asked for: what is there is there, and the rest must find room. Answers whether the
    /// machine was told something.
    fn take_up(&mut self) -> bool {
        let asked = std::mem::take(&mut self.asked);
        if asked.is_empty() {
            return false;
        }
        let now = self.now();
        let mut missing = Vec::new();
        for wanted in asked {
            let Descriptor { digest, size, .. } = wanted.descriptor;
            if self.relays.contains_key(&wanted.blob) {
                missing.push(wanted);
                continue;
            }
            match self.store.has(&digest).filter(|found| size == 0 || *found == size) {
                Some(found) => {
                    self.present(digest, found);
                    let done = self.client.skip(now, wanted.blob);
                    self.check(done);
                }
                None if self.is_online(wanted.job) => missing.push(wanted),
                None => {
                    let done = self.client.refuse(now, wanted.blob, offline(&digest));
                    self.check(done);
                }
            }
        }
        // A manifest may promise any sizes, and their sum need not be a number.
        let new = sum(missing.iter().map(|wanted| self.lacks(wanted)));
        let stored = |sink: &&Sink| sink.relayed().is_none();
        let under_way =
            sum(self.blobs.values().filter_map(|blob| blob.sink.as_deref()).filter(stored).map(left));
        let queued = sum(self.queue.iter().map(|wanted| self.lacks(wanted)));
        let needed = sum([new, under_way, queued]);
        match self.store.available().filter(|available| new > 0 && needed > *available) {
            Some(available) => {
                let path = self.store.root().display().to_string();
                for wanted in missing {
                    let error = Error::from(ErrorKind::NoSpace { needed, available: Some(available) });
                    let done = self.client.refuse(now, wanted.blob, error.at_path(path.clone()));
                    self.check(done);
                }
            }
            None => self.queue.extend(missing),
        }
        true
    }

    /// Bytes of a blob that are still to come.
    fn lacks(&self, wanted: &Wanted) -> u64 {
        if self.relays.contains_key(&wanted.blob) {
            return 0;
        }
        let descriptor = &wanted.descriptor;
        descriptor.size.saturating_sub(self.store.partial_len(&descriptor.digest).unwrap_or(0))
    }

    /// Claims blobs in their turn. Answers whether the machine was told something.
    fn serve_queue(&mut self) -> bool {
        let mut told = false;
        while self.blobs.values().filter(|blob| !blob.verified).count() < OPEN_BLOBS {
            let Some(wanted) = self.queue.pop_front() else { break };
            told = true;
            let Descriptor { digest, size, .. } = wanted.descriptor;
            // Whoever wanted it may be gone.
            if self.client.progress(wanted.blob).is_none() {
                continue;
            }
            let relay = self.relays.get(&wanted.blob).cloned();
            let claim = relay.is_none().then(|| self.store.claim(&digest, size));
            self.blobs.insert(
                wanted.blob,
                Blob {
                    digest,
                    size: Some(size).filter(|size| *size > 0),
                    sink: relay.map(|relay| Arc::new(Sink::relay(digest, size, relay))),
                    state: TransferState::Waiting,
                    told: None,
                    verified: false,
                },
            );
            let done = match claim {
                Some(Ok(Claim::Busy)) => {
                    self.await_others(wanted.blob, digest, size);
                    Ok(())
                }
                Some(claim) => self.claimed(wanted.blob, claim),
                None => {
                    let now = self.now();
                    if let Some(blob) = self.blobs.get_mut(&wanted.blob) {
                        blob.state = TransferState::Fetching;
                    }
                    self.client.fetch(now, wanted.blob, 0, None)
                }
            };
            self.check(done);
        }
        told
    }

    /// Looks again and again for a blob that another process fetches.
    fn await_others(&self, blob: BlobId, digest: Digest, size: u64) {
        let (store, inbox) = (self.store.clone(), self.inbox.clone());
        self.runtime.spawn(async move {
            loop {
                tokio::time::sleep(WAIT_FOR_OTHERS).await;
                match store.claim(&digest, size) {
                    Ok(Claim::Busy) if !inbox.is_closed() => {}
                    claim => break drop(inbox.send(Input::Claimed { blob, claim })),
                }
            }
        });
    }

    fn claimed(&mut self, id: BlobId, claim: Result<Claim>) -> Result<(), Misuse> {
        let now = self.now();
        let Some(blob) = self.blobs.get_mut(&id) else { return Ok(()) };
        match claim {
            Ok(Claim::Present(size)) => {
                blob.verified = true;
                let digest = blob.digest;
                self.blobs.remove(&id);
                self.present(digest, size);
                self.client.skip(now, id)
            }
            Ok(Claim::Mine(partial)) => match partial.len() {
                Ok(have) => {
                    blob.state = TransferState::Fetching;
                    let sink = Sink::new(partial, blob.size.unwrap_or(0), have);
                    if let Some(arrival) = sink.arrival() {
                        self.arrivals.begin(blob.digest, Arc::clone(arrival));
                    }
                    blob.sink = Some(Arc::new(sink));
                    self.client.fetch(now, id, have, None)
                }
                Err(error) => self.client.refuse(now, id, error),
            },
            Ok(Claim::Busy) => {
                let (digest, size) = (blob.digest, blob.size.unwrap_or(0));
                self.await_others(id, digest, size);
                Ok(())
            }
            Err(error) => self.client.refuse(now, id, error),
        }
    }

    fn present(&self, digest: Digest, size: u64) {
        self.observer.transfer(&Transfer {
            digest,
            position: size,
            size: Some(size),
            state: TransferState::Present,
        });
    }

    /// The edge over which bytes become trusted: from here on they may have their name.
    fn verified(&mut self, id: BlobId, size: u64) {
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        blob.verified = true;
        blob.size = Some(size);
        blob.state = TransferState::Verifying;
        match blob.sink.take().and_then(|sink| sink.take()) {
            Some(Place::Disk(partial)) => self.write(Some(id), move || partial.commit(size)),
            // All of it is held or has gone.
            Some(Place::Relay(_)) => self.write(Some(id), || Ok(())),
            None => self.check(Err(Misuse("a blob without a sink was verified"))),
        }
    }

    /// Writes something down, off this thread.
    fn write(&mut self, blob: Option<BlobId>, act: impl FnOnce() -> Result<()> + Send + 'static) {
        let write = self.next_write;
        self.next_write += 1;
        self.writing.insert(write);
        let inbox = self.inbox.clone();
        self.runtime.spawn_blocking(move || {
            let done = act();
            let _ = inbox.send(Input::Written { write, blob, done });
        });
    }

    fn written(&mut self, write: u64, blob: Option<BlobId>, done: Result<()>) {
        self.writing.remove(&write);
        if let Some(mut blob) = blob.and_then(|blob| self.blobs.remove(&blob)) {
            match &done {
                Ok(()) => self.arrivals.named(&blob.digest),
                Err(_) => self.arrivals.forget(&blob.digest),
            }
            blob.state = if done.is_ok() { TransferState::Done } else { TransferState::Stopped };
            self.tell(&mut blob);
        }
        // The machine knows nothing of it. Jobs that wait for this write fail, whichever of them needs it.
        if let Err(error) = done {
            let now = self.now();
            let running: Vec<JobId> = self.jobs.keys().copied().collect();
            for job in running {
                self.client.cancel(now, job);
                let known = self.jobs.get_mut(&job);
                if let Some(running) = known.filter(|running| !matches!(running.outcome, Some((Err(_), _)))) {
                    running.outcome = Some((Err(error.clone()), write));
                }
            }
        }
    }

    /// Lets go of blobs that nobody wants any longer. Their partial files stay for the next run.
    fn forget(&mut self) {
        let is_over = |id: &BlobId, blob: &Blob| !blob.verified && self.client.progress(*id).is_none();
        let over: Vec<BlobId> =
            self.blobs.iter().filter(|(id, blob)| is_over(id, blob)).map(|(id, _)| *id).collect();
        for id in over {
            if let Some(mut blob) = self.blobs.remove(&id) {
                self.arrivals.forget(&blob.digest);
                blob.state = TransferState::Stopped;
                self.tell(&mut blob);
            }
        }
    }

    /// Tells the callers of jobs how far they are, and of those that are over, when all files of that are written down.
    fn report(&mut self) {
        let first = self.writing.first().copied().unwrap_or(u64::MAX);
        for running in self.jobs.values_mut() {
            if let Some((pulled, _)) = running.described.take_if(|(_, write)| *write <= first) {
                let _ = running.replies.send(Reply::Described(pulled));
            }
        }
        let is_over = |running: &Running| running.outcome.as_ref().is_some_and(|(_, write)| *write <= first);
        let over: Vec<JobId> =
            self.jobs.iter().filter(|(_, running)| is_over(running)).map(|(job, _)| *job).collect();
        for job in over {
            if let Some(Running { replies, over, outcome: Some((outcome, _)), .. }) = self.jobs.remove(&job) {
                let _ = over.set(outcome.is_ok());
                let _ = replies.send(Reply::Done(outcome));
            }
        }
    }

    /// The stall clock runs only while somebody reads: not while a task is at its sink.
    fn pause(&mut self) {
        let now = self.now();
        for (id, started) in &mut self.exchanges {
            let is_busy = started.live.busy.load(Ordering::Relaxed);
            if is_busy != started.paused {
                started.paused = is_busy;
                self.client.handle_reading(now, *id, !is_busy);
            }
        }
    }

    fn tell_progress(&mut self) {
        let mut blobs = std::mem::take(&mut self.blobs);
        for blob in blobs.values_mut() {
            self.tell(blob);
        }
        self.blobs = blobs;
    }

    fn tell(&self, blob: &mut Blob) {
        let position = match (&blob.sink, blob.state) {
            (Some(sink), _) => sink.position(),
            (None, TransferState::Done | TransferState::Verifying) => blob.size.unwrap_or(0),
            (None, _) => 0,
        };
        if blob.told == Some((blob.state, position)) {
            return;
        }
        blob.told = Some((blob.state, position));
        let (digest, size, state) = (blob.digest, blob.size, blob.state);
        self.observer.transfer(&Transfer { digest, position, size, state });
    }

    /// The driver goes: tasks stop, partial files stay.
    fn leave(mut self) {
        self.exchanges.clear();
        let gone = || Error::from(ErrorKind::Cancelled {});
        for (_, running) in std::mem::take(&mut self.jobs) {
            let _ = running.over.set(false);
            let _ = running.replies.send(Reply::Done(Err(gone())));
        }
        self.runtime.shutdown_timeout(FAREWELL);
    }
}

fn sum(sizes: impl IntoIterator<Item = u64>) -> u64 {
    sizes.into_iter().fold(0, u64::saturating_add)
}

/// Bytes that a sink still takes.
fn left(sink: &Sink) -> u64 {
    sink.size().saturating_sub(sink.position())
}

fn missing(descriptor: &Descriptor) -> Error {
    let what = format!("{}, which the image names", descriptor.digest);
    Error::from(ErrorKind::NotFound { what, detail: None }).in_blob(descriptor.digest)
}

fn offline(digest: &Digest) -> Error {
    Error::from(ErrorKind::Offline { what: digest.to_string() })
}
