//! One blob on its way to a registry: looked for, mounted from another repository, or sent, whole or in chunks, and gone
//! on with where a connection broke (distribution-spec, "Pushing blobs").

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::conduct::{at_url, protocol};
use super::event::{Event, Output, Placed};
use super::exchange::{Exchange, Key, Lock, Owner, Target};
use super::hosts::Class;
use super::machine::Client;
use super::push::Errand;
use super::request::RequestBody;
use super::{BlobId, JobId};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::http::{ByteRange, Head, Method, Scope, UploadRange, Url, percent};
use crate::image::Descriptor;

/// Bytes up to which a blob is sent with the request that opens its upload, where the registry takes that.
const SINGLE: u64 = 64 << 10;
/// Repositories that are asked for a blob before it is sent.
pub(super) const MOST_MOUNTS: usize = 3;
/// Uploads of one blob that are begun before that is final, at least: who wants more retries gets as many.
const MOST_SESSIONS: u32 = 3;
/// Bytes of a chunk where chunks are wanted and nobody says how large.
const CHUNK: u64 = 16 << 20;

/// Where one upload stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It has not begun.
    Waiting,
    /// Is it there?
    Check,
    /// Can the registry take it from this repository?
    Mount(String),
    /// The upload is opened, all bytes with it or none.
    Open {
        single: bool,
    },
    /// How much has come?
    Status,
    /// Bytes go up: from where, to where, and whether these close the upload.
    Send {
        from: u64,
        to: u64,
        last: bool,
    },
    Done,
}

/// One blob for a registry.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) descriptor: Descriptor,
    /// Its name for the host.
    pub(super) blob: BlobId,
    /// Whether the host was told that it will be read.
    pub(super) offered: bool,
    pub(super) step: Step,
    pub(super) exchange: Option<Key>,
    /// Repositories that may have it, the likeliest last.
    pub(super) mounts: Vec<String>,
    /// Where the open upload is, as the registry said it last.
    place: Option<Url>,
    /// Bytes of a chunk at least.
    chunk_min: u64,
    /// Whether it is sent in chunks: one broke off, or the host wants it so.
    chunked: bool,
    sessions: u32,
    /// Chunks of this session that the registry refused for where they begin.
    disorders: u32,
    /// Where the last of them began, until its status is known.
    refused_from: Option<u64>,
    /// Bytes of this session that the registry has said it has.
    acknowledged: u64,
    /// The registry takes no request as large as the blob.
    too_large: bool,
    /// Something went wrong in this session: what the registry has of it may be other than it says (`0-0` is no byte or
    /// one).
    broke: bool,
}

impl Upload {
    pub(super) fn new(descriptor: Descriptor, blob: BlobId, mounts: Vec<String>, chunked: bool) -> Upload {
        Upload {
            descriptor,
            blob,
            offered: false,
            step: Step::Waiting,
            exchange: None,
            mounts,
            place: None,
            chunk_min: 0,
            chunked,
            sessions: 0,
            disorders: 0,
            refused_from: None,
            acknowledged: 0,
            too_large: false,
            broke: false,
        }
    }

    /// Whether bytes of it are on their way.
    pub(super) fn is_sending(&self) -> bool {
        matches!(self.step, Step::Send { .. } | Step::Open { single: true } | Step::Status)
    }

    fn body(&self, from: u64, to: u64) -> RequestBody {
        if from == to {
            return RequestBody::Empty;
        }
        match &self.descriptor.data {
            Some(data) => {
                let range = usize::try_from(from).unwrap_or(usize::MAX)..usize::try_from(to).unwrap_or(0);
                RequestBody::Bytes(data.get(range).unwrap_or_default().to_vec())
            }
            None => RequestBody::Source { blob: self.blob, offset: from, len: to - from },
        }
    }
}

impl Client {
    fn upload(&mut self, job: JobId, at: usize) -> Option<&mut Upload> {
        self.push_of(job)?.uploads.get_mut(at)
    }

    /// The first step of an upload, or the next one if it cannot be taken from elsewhere.
    pub(super) fn begin_upload(&mut self, job: JobId, at: usize) {
        let Some(push) = self.push_of(job) else { return };
        let force = push.options.force && !push.options.dry_run;
        let Some(upload) = push.uploads.get_mut(at) else { return };
        if upload.step != Step::Waiting {
            return;
        }
        let step = if force { Step::Open { single: false } } else { Step::Check };
        self.upload_step(job, at, &step, None);
    }

    /// Sends what this step asks for. A key is that of an exchange whose failures count on.
    fn upload_step(&mut self, job: JobId, at: usize, step: &Step, after: Option<Key>) {
        let Some(push) = self.push_of(job) else { return };
        let (registry, repository) = (push.to.host().to_string(), push.to.repository().to_string());
        let (manage, relays, mounts) = (push.manage, push.relays(), !push.options.force);
        let Some(upload) = push.uploads.get_mut(at) else { return };
        let (digest, size) = (upload.descriptor.digest, upload.descriptor.size);
        let uploads = format!("/v2/{repository}/blobs/uploads/");
        let encoded = percent::encode_query_component(&digest.to_string());
        let mut scopes = alloc::vec![Scope::repository(&repository, ["pull", "push"])];
        let mut class = Class::Document;
        let (method, target, body) = match step {
            Step::Check => {
                let target = format!("/v2/{repository}/blobs/{digest}");
                (Method::Head, Target::Registry(target), RequestBody::Empty)
            }
            Step::Mount(from) => {
                scopes.push(Scope::repository(from, ["pull"]));
                let from = percent::encode_query_component(from);
                let target = format!("{uploads}?mount={encoded}&from={from}");
                (Method::Post, Target::Registry(target), RequestBody::Empty)
            }
            Step::Open { single: true } => {
                class = Class::Blob;
                let target = format!("{uploads}?digest={encoded}");
                (Method::Post, Target::Registry(target), upload.body(0, size))
            }
            // Who has it in some repository may give it from there (distribution-spec, "Mounting a blob from another
            // repository", without `from`), and else opens an upload all the same.
            Step::Open { single: false } if mounts => {
                let target = format!("{uploads}?mount={encoded}");
                (Method::Post, Target::Registry(target), RequestBody::Empty)
            }
            Step::Open { single: false } => (Method::Post, Target::Registry(uploads), RequestBody::Empty),
            Step::Status => {
                let Some(place) = upload.place.clone() else { return };
                (Method::Get, Target::Named(place), RequestBody::Empty)
            }
            Step::Send { from, to, last } => {
                let Some(place) = upload.place.clone() else { return };
                class = Class::Blob;
                let body = upload.body(*from, *to);
                if *last {
                    let joint = if place.query().is_some() { '&' } else { '?' };
                    let Ok(place) = Url::parse(&format!("{place}{joint}digest={encoded}")) else { return };
                    (Method::Put, Target::Named(place), body)
                } else {
                    (Method::Patch, Target::Named(place), body)
                }
            }
            Step::Waiting | Step::Done => return,
        };
        upload.step = step.clone();
        let relayed = matches!(body, RequestBody::Source { .. }) && relays;
        if relayed {
            class = Class::Relay;
        }
        let reads = matches!(body, RequestBody::Source { .. }) && !upload.offered;
        upload.offered |= reads;
        let (blob, descriptor) = (upload.blob, upload.descriptor.clone());
        if reads {
            self.event(Event::Source { job, blob, descriptor });
        }
        let target = match target {
            Target::Named(url) => self.at_registry(&registry, url),
            target => target,
        };
        let owner = Owner::Push(manage, job, Errand::Upload(at));
        let mut exchange = Exchange::new(owner, &registry, target, class);
        exchange.method = method;
        exchange.scopes = scopes;
        exchange.repository = Some(repository.clone());
        exchange.rank = (job.0, size);
        exchange.what = match step {
            Step::Check => format!("blob `{digest}` of `{repository}`"),
            _ => format!("an upload to `{repository}`"),
        };
        if let Step::Send { from, to, last } = step {
            exchange.headers.set("content-type", "application/octet-stream");
            // Of the whole in one piece it says nothing new, and some registries take it for a chunk.
            let is_whole = *last && *from == 0;
            if let Some(range) = ByteRange::at(*from, to - from).filter(|_| !is_whole) {
                exchange.headers.set("content-range", format!("{}-{}", range.first, range.last));
            }
        } else if matches!(step, Step::Open { single: true }) {
            exchange.headers.set("content-type", "application/octet-stream");
        }
        exchange.body = body;
        if let Some(old) = after.and_then(|key| self.exchanges.get(&key)) {
            exchange.failures = old.failures;
        }
        if let Some(old) = after {
            self.drop_silently(old);
        }
        let key = self.launch(exchange);
        if let Some(upload) = self.upload(job, at) {
            upload.exchange = Some(key);
        }
        // A request that waits for its body holds a place that the body may be waiting for.
        if relayed && self.blobs.get(&blob).is_some_and(|blob| !blob.begun) {
            self.lock(key, Lock::Fetch(blob));
        }
    }

    /// Where an upload goes on: at the registry, who is told who we are, or at a place that it named. Behind a proxy a
    /// registry often does not know its own scheme and port.
    fn at_registry(&mut self, registry: &str, url: Url) -> Target {
        let home = self.hosts.endpoint(registry, false, &self.config).and_then(|endpoint| endpoint.url("/"));
        match home {
            Ok(home) if home.host() == url.host() => Target::Registry(url.target()),
            _ => Target::Named(url),
        }
    }

    /// A request of an upload succeeded.
    pub(super) fn upload_answered(&mut self, job: JobId, at: usize, key: Key, url: &Url, head: &Head<'_>) {
        let said = head.headers.text("docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
        let Some(upload) = self.upload(job, at) else { return };
        let digest = upload.descriptor.digest;
        let step = upload.step.clone();
        let is_made = head.status == 201;
        let wrong = said.filter(|said| *said != digest && said.algorithm() == digest.algorithm());
        match (step, wrong) {
            (Step::Check, None) => self.placed(job, at, key, Placed::Present),
            (Step::Mount(_), None) if is_made => self.placed(job, at, key, Placed::Mounted),
            (Step::Open { single: true }, None) if is_made => self.placed(job, at, key, Placed::Sent),
            (Step::Open { single: false }, None) if is_made => self.placed(job, at, key, Placed::Mounted),
            (Step::Send { last: true, .. }, Some(actual)) => {
                self.park(key);
                let error = Error::from(ErrorKind::DigestMismatch { expected: digest, actual });
                self.exchange_failed(key, at_url(error.in_blob(digest), url));
            }
            (Step::Send { last: true, .. }, None) => self.placed(job, at, key, Placed::Sent),
            // A digest that is not this blob's: it is not there.
            (Step::Check, Some(_)) => self.not_there(job, at, key),
            (Step::Mount(_) | Step::Open { .. }, _) => {
                let was_single = matches!(
                    self.upload(job, at).map(|upload| &upload.step),
                    Some(Step::Open { single: true })
                );
                if was_single {
                    self.no_single_posts(job);
                }
                self.opened(job, at, key, url, head);
            }
            (Step::Status, _) => {
                let received = received(head).unwrap_or(0);
                let refused = self.upload(job, at).and_then(|upload| upload.refused_from.take());
                self.note_place(job, at, url, head);
                // It refused what begins just there: `0-0` is what a single byte and none look like.
                if refused == Some(received) {
                    return self.reopen(job, at, key);
                }
                self.acknowledge(job, at, key, received);
                self.send_rest(job, at, key, received, true);
            }
            (Step::Send { from, to, last: false }, _) => {
                self.note_place(job, at, url, head);
                // What it has says the registry; where it says nothing, it has what was sent. `0-0` is how one byte looks,
                // and none.
                let received = match received(head) {
                    Some(0) if from == 0 && to == 1 => 1,
                    Some(received) => received,
                    None => to,
                };
                self.acknowledge(job, at, key, received);
                if received <= from && to > from {
                    let error = at_url(protocol(url, "a chunk that it took and does not have").into(), url);
                    self.retry(key, error, None);
                } else {
                    self.send_rest(job, at, key, received, false);
                }
            }
            (Step::Waiting | Step::Done, _) => self.drop_silently(key),
        }
    }

    /// The registry has said how much it has: whoever gets on may fail as often again.
    fn acknowledge(&mut self, job: JobId, at: usize, key: Key, received: u64) {
        let Some(upload) = self.upload(job, at) else { return };
        if received > upload.acknowledged {
            upload.acknowledged = received;
            if let Some(exchange) = self.exchanges.get_mut(&key) {
                exchange.failures = 0;
            }
        }
    }

    /// It is not at the registry: mounted, if a repository may have it, else sent.
    pub(super) fn not_there(&mut self, job: JobId, at: usize, key: Key) {
        let Some(push) = self.push_of(job) else { return };
        let takes_single = !push.no_single_posts;
        let is_dry = push.options.dry_run;
        let mounts = push.mounts_all();
        let Some(upload) = push.uploads.get_mut(at) else { return };
        if is_dry {
            let how = if mounts { Placed::Mounted } else { Placed::Sent };
            return self.placed(job, at, key, how);
        }
        if let Some(from) = upload.mounts.pop() {
            return self.upload_step(job, at, &Step::Mount(from), Some(key));
        }
        if upload.place.is_some() {
            // A mount that came to nothing has opened one.
            upload.sessions += 1;
            self.need_source(job, at);
            return self.send_rest(job, at, key, 0, false);
        }
        let size = upload.descriptor.size;
        let step = Step::Open { single: takes_single && size > 0 && size <= SINGLE };
        self.need_source(job, at);
        self.upload_step(job, at, &step, Some(key));
    }

    /// An upload is open.
    fn opened(&mut self, job: JobId, at: usize, key: Key, url: &Url, head: &Head<'_>) {
        if !self.note_place(job, at, url, head) {
            self.park(key);
            let error = protocol(url, "an upload without a location");
            return self.exchange_failed(key, at_url(error.into(), url));
        }
        let Some(upload) = self.upload(job, at) else { return };
        let asked = head.headers.text("oci-chunk-min-length").and_then(|text| text.trim().parse().ok());
        upload.chunk_min = asked.unwrap_or(0);
        // The next repository may have it.
        if matches!(upload.step, Step::Mount(_)) && !upload.mounts.is_empty() {
            return self.not_there(job, at, key);
        }
        upload.sessions += 1;
        self.need_source(job, at);
        self.send_rest(job, at, key, 0, false);
    }

    /// Notes where the upload goes on; whether the registry said it.
    fn note_place(&mut self, job: JobId, at: usize, url: &Url, head: &Head<'_>) -> bool {
        let Some(location) = head.headers.text("location") else { return false };
        let Ok(place) = url.join(location) else { return false };
        let Some(registry) = self.push_of(job).map(|push| push.to.host().to_string()) else { return false };
        if self.allow(&registry, url, &place, "an upload").is_err() {
            return false;
        }
        if let Some(upload) = self.upload(job, at) {
            upload.place = Some(place);
        }
        true
    }

    /// Sends what the registry does not have yet.
    fn send_rest(&mut self, job: JobId, at: usize, key: Key, received: u64, broke: bool) {
        let Some(push) = self.push_of(job) else { return };
        let chunk = push.options.chunk;
        let Some(upload) = push.uploads.get_mut(at) else { return };
        let size = upload.descriptor.size;
        if received > size {
            // More than there is: nothing of it can be right.
            return self.reopen(job, at, key);
        }
        // What came before stays: the rest is a chunk behind it.
        upload.broke |= broke;
        upload.chunked |= broke && received > 0;
        let step = if !upload.chunked && received == 0 {
            Step::Send { from: 0, to: size, last: true }
        } else {
            let most = if upload.too_large { CHUNK } else { CHUNK.max(size) };
            let len = chunk.unwrap_or(most).max(upload.chunk_min).max(1);
            let to = size.min(received.saturating_add(len));
            // The last bytes may come with the end, but not every registry takes them there.
            Step::Send { from: received, to, last: received == size }
        };
        self.upload_step(job, at, &step, Some(key));
    }

    /// The upload is lost: another one, unless the bytes arrived after all.
    fn reopen(&mut self, job: JobId, at: usize, key: Key) {
        let most = self.config.retries.budget.max(MOST_SESSIONS);
        let Some(upload) = self.upload(job, at) else { return };
        upload.place = None;
        upload.broke = false;
        upload.disorders = 0;
        upload.acknowledged = 0;
        if upload.sessions >= most {
            let digest = upload.descriptor.digest;
            // There is no other way any more.
            upload.step = Step::Waiting;
            let Some(url) = self.exchanges.get(&key).and_then(|exchange| match &exchange.target {
                Target::Named(url) => Some(url.clone()),
                Target::Registry(_) => None,
            }) else {
                let reason = "the registry loses uploads".to_string();
                let host = self.push_of(job).map_or_else(String::new, |push| push.to.host().to_string());
                let error = Error::from(ErrorKind::ProtocolViolation { host, reason });
                return self.exchange_failed(key, error.in_blob(digest));
            };
            let error = Error::from(protocol(&url, "the registry loses uploads"));
            return self.exchange_failed(key, at_url(error.in_blob(digest), &url));
        }
        self.upload_step(job, at, &Step::Check, Some(key));
    }

    /// What went up is void: it begins anew.
    pub(super) fn restart_upload(&mut self, job: JobId, at: usize) {
        let Some(key) = self.upload(job, at).and_then(|upload| upload.exchange) else { return };
        if let Some(id) = self.exchanges.get(&key).and_then(Exchange::round).map(|round| round.id) {
            self.outputs.push_back(Output::Abort { id });
        }
        self.park(key);
        self.reopen(job, at, key);
    }

    /// Whether a refusal of this status says that the upload is lost or has other bytes than we think: then it is looked
    /// after, and the response is of no use.
    pub(super) fn upload_disordered(&mut self, job: JobId, at: usize, key: Key, status: u16) -> bool {
        let Some(upload) = self.upload(job, at) else { return false };
        match (&upload.step, status) {
            (Step::Send { .. } | Step::Status, 404) => {
                self.reopen(job, at, key);
                true
            }
            (Step::Send { from, .. }, 416) => {
                upload.refused_from = Some(*from);
                upload.disorders += 1;
                if upload.disorders > MOST_SESSIONS {
                    self.reopen(job, at, key);
                    return true;
                }
                self.upload_step(job, at, &Step::Status, Some(key));
                true
            }
            // Too much at once: in chunks then.
            (Step::Send { .. }, 413) if !upload.too_large => {
                upload.chunked = true;
                upload.too_large = true;
                self.reopen(job, at, key);
                true
            }
            _ => false,
        }
    }

    /// A request of an upload was refused or has failed for good; `true` if there is another way.
    pub(super) fn upload_refused(&mut self, job: JobId, at: usize, key: Key, error: &Error) -> bool {
        let Some(upload) = self.upload(job, at) else { return false };
        match &upload.step {
            // Not every registry mounts, and not for everybody.
            Step::Mount(_) if error.code() != "cancelled" => {
                if let Some(exchange) = self.exchanges.get_mut(&key) {
                    exchange.failures = 0;
                }
                self.not_there(job, at, key);
                true
            }
            // Not every one says how far an upload has come.
            Step::Status if error.code() != "cancelled" => {
                self.reopen(job, at, key);
                true
            }
            Step::Send { last: true, .. }
                if upload.broke && matches!(error.kind(), ErrorKind::RequestRefused { status: 400, .. }) =>
            {
                self.reopen(job, at, key);
                true
            }
            Step::Open { single: true } => {
                self.no_single_posts(job);
                self.upload_step(job, at, &Step::Open { single: false }, Some(key));
                true
            }
            _ => false,
        }
    }

    /// Whether the registry is being asked for the blob: no, or no answer, is an answer. What is wrong the POST will say.
    pub(super) fn upload_is_looked_for(&mut self, job: JobId, at: usize) -> bool {
        self.upload(job, at).is_some_and(|upload| upload.step == Step::Check)
    }

    /// What goes on the wire when a request of an upload is tried again: after bytes went up, the question how many came.
    pub(super) fn upload_retried(&mut self, job: JobId, at: usize, key: Key) {
        let Some(upload) = self.upload(job, at) else { return };
        if !matches!(upload.step, Step::Send { .. }) {
            return;
        }
        let Some(place) = upload.place.clone() else { return };
        upload.step = Step::Status;
        let Some(registry) = self.push_of(job).map(|push| push.to.host().to_string()) else { return };
        let target = self.at_registry(&registry, place);
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            exchange.method = Method::Get;
            exchange.body = RequestBody::Empty;
            exchange.headers.remove("content-range");
            exchange.headers.remove("content-type");
            exchange.target = target;
            exchange.class = Class::Document;
        }
    }

    fn no_single_posts(&mut self, job: JobId) {
        if let Some(push) = self.push_of(job) {
            push.no_single_posts = true;
        }
    }

    /// It is at the registry.
    fn placed(&mut self, job: JobId, at: usize, key: Key, how: Placed) {
        self.drop_silently(key);
        let Some(push) = self.push_of(job) else { return };
        let Some(upload) = push.uploads.get_mut(at) else { return };
        upload.step = Step::Done;
        upload.exchange = None;
        let (blob, descriptor) = (upload.blob, upload.descriptor.clone());
        match how {
            Placed::Present => push.present += 1,
            Placed::Mounted => push.mounted += 1,
            Placed::Sent => {
                push.sent += 1;
                push.sent_bytes = push.sent_bytes.saturating_add(descriptor.size);
            }
        }
        let relays = push.relays();
        self.event(Event::Placed { job, blob, descriptor, how });
        if relays && how != Placed::Sent {
            // It came there by another way: what is fetched of it goes nowhere.
            self.drop_blob(blob);
        }
        self.upload_done(job, at);
    }
}

/// How many bytes of an upload the registry has, if it says so.
fn received(head: &Head<'_>) -> Option<u64> {
    head.headers.text("range").and_then(UploadRange::parse).map(|range| range.received)
}
