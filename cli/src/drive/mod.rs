//! The driver of core's [`client::Client`]: sockets, files, threads and the clock.
//!
//! One thread owns the machine and nothing else runs on it. Each exchange is a task of a small tokio runtime: it sends
//! the request, hands small bodies to the machine piece by piece, and hashes and writes the bytes of blobs where it
//! reads them, telling the machine of them every half megabyte or tenth of a second. So no payload crosses a thread, and
//! what is in memory at any time is what a few connections have read and not yet written.
//!
//! Callers see none of that: [`Driver`]'s calls block, and may be made from several threads at once.

mod arrivals;
mod cancel;
mod certs;
mod exchange;
mod failure;
mod machine;
mod network;
mod observe;
mod options;
mod outgoing;
mod pulling;
mod pushing;
mod relay;
mod sink;
mod tls;
mod trace;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::SystemTime;

use tokio::sync::mpsc::UnboundedSender;
use wharfie_core::client::{
    Client, Config, HostProfile, ListOptions, Outcome, Parallel, Retries, SharedBytes, Timeouts,
};
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::{Digest, Error, MediaType, Reference, client};

use crate::codec::NativeHashes;
use crate::store::Store;
use arrivals::{Arrivals, Over};
use machine::{Input, Job, Parts, Reply, Task};

pub use arrivals::Arriving;
pub(crate) use arrivals::{Found, Incoming, Reach};
pub use cancel::Cancel;
pub use observe::{CredentialSource, NoCredentials, Observer, Silent, Transfer, TransferState};
pub use options::{NetworkOptions, PullOptions, When};
pub use outgoing::Supply;
pub use pulling::Pulling;
pub(crate) use sink::{Refusal, Sink, Writing};

/// Threads that exchanges share: enough to keep a fast network, the hash and the disk busy.
const WORKERS: std::ops::RangeInclusive<usize> = 2..=8;

/// Runs jobs against registries, blobs going to a [`Store`]. Its calls block; several may run at once from several
/// threads, and share tokens, connections and blobs. Dropping the last clone ends its threads.
#[derive(Clone)]
pub struct Driver(Arc<Inner>);

struct Inner {
    store: Store,
    arrivals: Arrivals,
    cancel: Cancel,
    options: NetworkOptions,
    inbox: UnboundedSender<Input>,
    tokens: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.inbox.send(Input::Shutdown);
        // Files are closed and locks are free when this returns.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An image that is in the store.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pulled {
    /// What was asked for, with `latest` spelled out.
    pub reference: Reference,
    /// What it names and what hangs below it, down to the depth that was asked for.
    pub image: client::Pulled,
    /// Whether the store alone said what the reference names.
    pub from_store: bool,
}

impl Driver {
    /// Starts the threads.
    ///
    /// # Errors
    /// `local_io` for a CA file that cannot be read or threads that cannot be had; `invalid_option` for a CA file
    /// without certificates.
    pub fn new(
        options: NetworkOptions,
        store: Store,
        credentials: Arc<dyn CredentialSource>,
        observer: Arc<dyn Observer>,
    ) -> Result<Driver> {
        let network = Arc::new(network::Network::new(&options)?);
        let failed = |error: std::io::Error| {
            Error::from(ErrorKind::LocalIo { operation: "starting threads", reason: error.to_string() })
        };
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers.clamp(*WORKERS.start(), *WORKERS.end()))
            .thread_name("wharfie-net")
            .enable_all()
            .build()
            .map_err(failed)?;
        let (inbox, mail) = tokio::sync::mpsc::unbounded_channel();
        let cancel = Cancel::new();
        let arrivals = Arrivals::default();
        let parts = Parts {
            client: Client::new(config(&options)),
            network,
            store: store.clone(),
            arrivals: arrivals.clone(),
            credentials,
            observer,
            document_bytes: options.limits.document_bytes,
            inbox: inbox.clone(),
            mail,
            cancelled: cancel.watch(),
            runtime,
        };
        let thread = std::thread::Builder::new()
            .name("wharfie-client".to_owned())
            .spawn(move || machine::run(parts))
            .map_err(failed)?;
        let inner = Inner {
            store,
            arrivals,
            cancel,
            options,
            inbox,
            tokens: AtomicU64::new(0),
            thread: Some(thread),
        };
        Ok(Driver(Arc::new(inner)))
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// What stops all jobs: give a clone to the signal handler.
    pub fn cancel(&self) -> &Cancel {
        &self.0.cancel
    }

    /// Fetches an image into the store, down to the depth of the options. At [`client::Depth::Layers`] the store's
    /// index lists it from then on.
    ///
    /// # Errors
    /// Whatever the registry, the network or the disk come to; `offline` if it may not ask and lacks something;
    /// `no_space` before anything is fetched if the disk cannot hold it; `cancelled`.
    pub fn pull(&self, reference: &Reference, options: &PullOptions) -> Result<Pulled> {
        let aim = self.aim(reference, options)?;
        let outcome = self.run(aim.task(), aim.online, &mut |_| Ok(())).map_err(|error| aim.place(error))?;
        self.arrived(&aim, outcome)
    }

    /// What a pull is out for, as far as the store can say.
    fn aim(&self, reference: &Reference, options: &PullOptions) -> Result<Aim> {
        let reference = reference.clone().or_latest();
        let online = !self.0.options.offline && options.when != When::Never;
        let known = match options.when {
            _ if reference.digest().is_some() => None,
            When::Always if online => None,
            When::UnlessLocal if online => self
                .store()
                .resolve_local(&reference)
                .map_err(|error| error.in_image(reference.familiar()))?,
            _ => self.store().resolve(&reference).map_err(|error| error.in_image(reference.familiar()))?,
        };
        let target = match &known {
            Some(descriptor) => reference.with_digest(descriptor.digest),
            None if online || reference.digest().is_some() => reference.clone(),
            None => return Err(ErrorKind::Offline { what: reference.familiar() }.into()),
        };
        let (unlisted, mut options) = (options.unlisted, options.image.clone());
        if known.is_some() || !online {
            // The document here says it; only the registry could be asked for less.
            options.depth = options.depth.max(client::Depth::Document);
        }
        Ok(Aim { reference, target, known, online, unlisted, options })
    }

    /// A pull has come to its end: the store lists what it brought.
    fn arrived(&self, aim: &Aim, outcome: Outcome) -> Result<Pulled> {
        let Outcome::Pulled(image) = outcome else { return Err(unexpected()) };
        let image = aim.described(image);
        // What the store knew by its name it lists.
        let lists = aim.options.depth == client::Depth::Layers && !aim.unlisted && aim.known.is_none();
        if lists && !self.store().is_read_only() {
            let mut top = image.top.clone();
            top.data = None;
            top.annotations.clear();
            top.size = self.store().has(&top.digest).unwrap_or(top.size);
            self.store().tag(&aim.reference, &top).map_err(|error| aim.place(error))?;
        } else if aim.known.is_some() {
            self.store().touch(&image.top.digest);
        }
        let from_store = aim.known.is_some() || !aim.online;
        Ok(Pulled { reference: aim.reference.clone(), image, from_store })
    }

    /// Which descriptor the reference names: asks with HEAD where it has to ask.
    ///
    /// # Errors
    /// As [`Driver::pull`].
    pub fn resolve(&self, reference: &Reference, when: When) -> Result<Descriptor> {
        let image = client::PullOptions { depth: client::Depth::Resolve, ..client::PullOptions::default() };
        Ok(self.pull(reference, &PullOptions { image, when, unlisted: true })?.image.top)
    }

    /// A document of a pull (index, manifest or config), from the store.
    ///
    /// # Errors
    /// `not_found` if it is not there, `digest_mismatch` if it has rotted.
    pub fn document(&self, digest: &Digest) -> Result<SharedBytes> {
        match self.store().read_document(digest, self.0.options.limits.document_bytes)? {
            Some(bytes) => Ok(bytes.into()),
            None => Err(ErrorKind::NotFound { what: digest.to_string(), detail: None }.into()),
        }
    }

    /// Fetches one blob by the reference's digest into the store: its descriptor, with a generic media type.
    ///
    /// # Errors
    /// As [`Driver::pull`]; `invalid_option` if the reference has no digest.
    pub fn blob(&self, reference: &Reference) -> Result<Descriptor> {
        let Some(digest) = reference.digest() else {
            let reason = format!("a blob is named by its digest: {}@sha256:…", reference.name());
            return Err(ErrorKind::InvalidOption { reason }.into());
        };
        let octets = MediaType::parse("application/octet-stream");
        if let Some(size) = self.store().has(digest) {
            return Ok(Descriptor::new(octets, *digest, size));
        }
        if self.0.options.offline {
            return Err(ErrorKind::Offline { what: reference.familiar() }.into());
        }
        self.run(Task::Blob(reference.clone()), true, &mut |_| Ok(()))
            .map_err(|error| error.in_image(reference.familiar()))?;
        let size = self.store().has(digest).ok_or_else(unexpected)?;
        Ok(Descriptor::new(octets, *digest, size))
    }

    /// The tags of a repository, given page by page, in the registry's order. Answers how many.
    ///
    /// # Errors
    /// As [`Driver::pull`], and what `page` answers.
    pub fn tags(
        &self,
        repository: &Reference,
        options: ListOptions,
        page: &mut dyn FnMut(&[String]) -> Result<()>,
    ) -> Result<u64> {
        let name = repository.name();
        self.list(Task::Tags(repository.clone(), options), &name, page).map_err(|error| error.in_image(name))
    }

    /// The repositories of a registry (as `Reference` names it), given page by page. Answers how many.
    ///
    /// # Errors
    /// As [`Driver::tags`].
    pub fn repositories(
        &self,
        registry: &str,
        options: ListOptions,
        page: &mut dyn FnMut(&[String]) -> Result<()>,
    ) -> Result<u64> {
        self.list(Task::Repositories(registry.to_owned(), options), registry, page)
    }

    fn list(&self, task: Task, what: &str, page: &mut dyn FnMut(&[String]) -> Result<()>) -> Result<u64> {
        self.needs_network(what)?;
        match self.run(task, true, page)? {
            Outcome::Listed { names } => Ok(names),
            _ => Err(unexpected()),
        }
    }

    /// Checks the credentials for a registry (as `Reference` names it), as `login` does. Answers whether it took any:
    /// it may want none.
    ///
    /// # Errors
    /// As [`Driver::pull`].
    pub fn check(&self, registry: &str) -> Result<bool> {
        self.needs_network(registry)?;
        match self.run(Task::Check(registry.to_owned()), true, &mut |_| Ok(()))? {
            Outcome::Checked { authenticated } => Ok(authenticated),
            _ => Err(unexpected()),
        }
    }

    fn needs_network(&self, what: &str) -> Result<()> {
        match self.0.options.offline {
            true => Err(ErrorKind::Offline { what: what.to_owned() }.into()),
            false => Ok(()),
        }
    }

    fn run(
        &self,
        task: Task,
        online: bool,
        page: &mut dyn FnMut(&[String]) -> Result<()>,
    ) -> Result<Outcome> {
        let (token, inbox) = self.begin(task, online, Arc::default())?;
        let mut refused = None;
        loop {
            match inbox.recv().map_err(|_| gone())? {
                Reply::Described(_) => {}
                Reply::Page(names) if refused.is_none() => {
                    if let Err(error) = page(&names) {
                        refused = Some(error);
                        let _ = self.0.inbox.send(Input::Abandon { token });
                    }
                }
                Reply::Page(_) => {}
                Reply::Done(outcome) => {
                    return match refused {
                        Some(error) => Err(error),
                        None => outcome.map_err(|error| self.with_space(error)),
                    };
                }
            }
        }
    }

    /// Gives a job to the machine. Answers what names it, and where its replies come.
    fn begin(&self, task: Task, online: bool, over: Arc<Over>) -> Result<(u64, mpsc::Receiver<Reply>)> {
        let token = self.0.tokens.fetch_add(1, Ordering::Relaxed);
        let (replies, inbox) = mpsc::channel();
        let job = Box::new(Job { token, task, online, over });
        self.0.inbox.send(Input::Job { job, replies }).map_err(|_| gone())?;
        Ok((token, inbox))
    }

    /// Says how much room there is, where there was too little.
    fn with_space(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::NoSpace { needed, available: None } => {
                let kind = ErrorKind::NoSpace { needed: *needed, available: self.store().available() };
                let place = error.place().clone();
                Error::from(kind).at(place).at_path(self.store().root().display().to_string())
            }
            _ => error,
        }
    }
}

/// What a pull is out for.
struct Aim {
    /// What was asked for, with `latest` spelled out.
    reference: Reference,
    /// By what it is asked for.
    target: Reference,
    /// What the store says that it is.
    known: Option<Descriptor>,
    online: bool,
    unlisted: bool,
    options: client::PullOptions,
}

impl Aim {
    fn task(&self) -> Task {
        Task::Pull(self.target.clone(), self.options.clone())
    }

    fn place(&self, error: Error) -> Error {
        error.in_image(self.reference.familiar())
    }

    /// What the index says of the top is more than a bare digest does.
    fn described(&self, mut image: client::Pulled) -> client::Pulled {
        if let Some(known) = &self.known
            && image.top.media_type.is_generic()
        {
            image.top.media_type = known.media_type.clone();
        }
        image
    }
}

fn gone() -> Error {
    ErrorKind::Internal { reason: "the driver's thread is gone".to_owned() }.into()
}

fn unexpected() -> Error {
    ErrorKind::Internal { reason: "a job came to another end than its kind has".to_owned() }.into()
}

fn config(options: &NetworkOptions) -> Config {
    let jobs = options.jobs.max(1);
    Config {
        user_agent: options.user_agent.clone(),
        host: HostProfile::default(),
        limits: options.limits.clone(),
        seed: seed(),
        retries: Retries { budget: options.retries, ..Retries::default() },
        timeouts: Timeouts {
            head: options.timeout.max(Timeouts::default().head),
            stall: options.timeout,
            ..Timeouts::default()
        },
        parallel: Parallel { blobs: jobs, per_host: jobs + 2 },
        registries: options.registries.clone(),
        default_registry: options.default_registry.clone(),
        sources: options.sources.clone(),
        hashes: Arc::new(NativeHashes),
    }
}

/// Jitter only has to differ from process to process.
fn seed() -> u64 {
    let nanos =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    u64::from(std::process::id()) << 32 | u64::from(nanos)
}
