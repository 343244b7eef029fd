//! Blobs: content that jobs want by its digest, wherever it comes from, verified once for all of them.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::event::{Event, Warning};
use super::exchange::{About, Asked, Exchange, Key, Lock, Owner, Target};
use super::hosts::Class;
use super::machine::Client;
use super::payload::Closing;
use super::request::SinkFailure;
use super::{BlobId, JobId, Progress};
use crate::digest::{Digest, HashState, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::http::{ByteRange, Scope, Url};
use crate::image::{Descriptor, Document};
use crate::media_type::MediaType;
use crate::registries::Endpoint;

use super::conduct::at_url;

/// Places of one blob that are tried beside the registry.
pub(super) const MOST_URLS: usize = 16;

/// Where a blob is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Under its digest.
    Registry { registry: String, repository: String, manifest: bool },
    /// A manifest under its tag, for registries that know it by nothing else.
    Tag { registry: String, repository: String, tag: String },
    /// Under its digest, at a place that the user's rules name.
    Endpoint { endpoint: Endpoint, manifest: bool },
    /// A place that the image names, judged by the rules of this registry.
    Url { registry: String, url: String },
}

#[derive(Debug)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    pub(super) descriptor: Descriptor,
    /// Known sizes are held to.
    pub(super) size: Option<u64>,
    /// Read by the machine: manifests, indexes, configs.
    pub(super) document: bool,
    /// Under `/manifests/`, and its digest may be over a payload (schema 1).
    pub(super) manifest: bool,
    /// Who wants it, the first first.
    pub(super) jobs: Vec<JobId>,
    /// Where it is looked for next.
    sources: VecDeque<Source>,
    /// The place of the rules that is asked.
    asked: Option<Endpoint>,
    /// Every place that was ever offered.
    offered: Vec<Source>,
    /// Bytes of it have begun to come.
    pub(super) begun: bool,
    /// `Need` was answered.
    pub(super) answered: bool,
    pub(super) exchange: Option<Key>,
    /// Bytes that the sink has.
    pub(super) position: u64,
    /// Bytes that it had when this round began.
    pub(super) began: u64,
    /// At home while no body is stored.
    pub(super) hasher: Option<Hasher>,
    /// A round is over, and its hasher is awaited.
    pub(super) closing: Option<Closing>,
    /// Bytes of a body that were there already and were dropped.
    pub(super) skipped: u64,
    /// Times that it began anew because the bytes were wrong.
    pub(super) strikes: u32,
    /// A range went wrong: the next round asks for the whole.
    pub(super) whole: bool,
    /// How often one did.
    pub(super) bad_ranges: u32,
    /// Bytes received, over all tries.
    pub(super) received: u64,
}

impl Blob {
    pub(super) fn new(
        descriptor: Descriptor,
        document: bool,
        manifest: bool,
        sources: VecDeque<Source>,
    ) -> Blob {
        Blob {
            digest: descriptor.digest,
            size: Some(descriptor.size).filter(|size| *size > 0),
            descriptor,
            offered: sources.iter().cloned().collect(),
            document,
            manifest,
            asked: None,
            jobs: Vec::new(),
            sources,
            begun: false,
            answered: false,
            exchange: None,
            position: 0,
            began: 0,
            hasher: None,
            closing: None,
            skipped: 0,
            strikes: 0,
            whole: false,
            bad_ranges: 0,
            received: 0,
        }
    }

    /// What it is known by: one digest may be wanted as several things.
    pub(super) fn name(&self) -> (Digest, bool, bool) {
        (self.digest, self.document, self.manifest)
    }

    /// Further places, of another job or descriptor that wants it. One digest may be named again and again, each time with
    /// other `urls`: they are bounded for the blob, not for each descriptor.
    pub(super) fn offer(&mut self, sources: impl IntoIterator<Item = Source>) {
        for source in sources {
            let is_url = |source: &Source| matches!(source, Source::Url { .. });
            if is_url(&source) && self.offered.iter().filter(|known| is_url(known)).count() >= MOST_URLS {
                continue;
            }
            if !self.offered.contains(&source) {
                self.offered.push(source.clone());
                self.sources.push_back(source);
            }
        }
    }

    /// The range to ask for next; `None` for the whole.
    pub(super) fn range(&self) -> Option<Asked> {
        if self.document || self.whole || self.position == 0 {
            return None;
        }
        match self.size {
            Some(size) => ByteRange::new(self.position, size.checked_sub(1)?).map(Asked::Closed),
            None => Some(Asked::From(self.position)),
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let verifying = self.size.is_some_and(|size| self.position >= size && size > 0);
        Progress { position: self.position, size: self.size, verifying }
    }
}

impl Client {
    /// Answers `Need` with where to begin.
    pub(super) fn fetch_blob(&mut self, id: BlobId, have: u64, state: Option<&HashState>) {
        let hashes = self.config.hashes.clone();
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        let algorithm = blob.digest.algorithm();
        if blob.document {
            return self.next_source(id);
        }
        let mut have = have;
        if blob.size.is_some_and(|size| have > size) {
            let kind = ErrorKind::SizeMismatch { expected: blob.size.unwrap_or(0), actual: have };
            let reason = Error::from(kind).in_blob(blob.digest);
            have = 0;
            self.event(Event::BlobRewound { blob: id, to: 0, reason });
        }
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        let restored = state
            .filter(|state| state.position <= have)
            .and_then(|state| Hasher::restore(hashes.as_ref(), algorithm, state));
        let hasher = restored.unwrap_or_else(|| Hasher::new(hashes.as_ref(), algorithm));
        let is_hashed = hasher.position() == have;
        blob.position = have;
        blob.hasher = Some(hasher);
        if have > 0 && blob.size == Some(have) {
            if is_hashed {
                return self.verify(id);
            }
            blob.position = have - 1;
        }
        self.next_source(id);
    }

    /// Launches the exchange with the next place where the blob is to be had; `false` if there is none.
    pub(super) fn next_source(&mut self, id: BlobId) {
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        let hosts = &self.hosts;
        let is_dead = |source: &Source| {
            matches!(source, Source::Endpoint { endpoint, .. }
                if endpoint.is_mirror && hosts.is_dead(&endpoint.registry))
        };
        // Who comes last is never a mirror of the rules.
        while blob.sources.len() > 1 && blob.sources.front().is_some_and(is_dead) {
            blob.sources.pop_front();
        }
        let Some(source) = blob.sources.pop_front() else {
            let error = Error::from(ErrorKind::NotFound { what: blob.digest.to_string(), detail: None });
            return self.blob_failed(id, &error);
        };
        blob.asked = match &source {
            Source::Endpoint { endpoint, .. } => Some(endpoint.clone()),
            _ => None,
        };
        let digest = blob.digest;
        let class = if blob.document { Class::Document } else { Class::Blob };
        let rank = (blob.jobs.first().map_or(u64::MAX, |job| job.0), blob.size.unwrap_or(0));
        let owner = Owner::Blob(id);
        let exchange = match source {
            Source::Registry { registry, repository, manifest: false } => {
                by_digest(owner, &registry, repository, &digest, class)
            }
            Source::Endpoint { endpoint, manifest: false } => {
                by_digest(owner, &endpoint.registry, endpoint.repository.clone(), &digest, class)
                    .at(&endpoint)
            }
            Source::Endpoint { endpoint, manifest: true } => {
                let (registry, repository) = (&endpoint.registry, &endpoint.repository);
                let name = digest.to_string();
                Exchange::manifest(owner, registry, repository, &name, MediaType::MANIFESTS).at(&endpoint)
            }
            Source::Registry { registry, repository, manifest: true } => {
                Exchange::manifest(owner, &registry, &repository, &digest.to_string(), MediaType::MANIFESTS)
            }
            Source::Tag { registry, repository, tag } => {
                Exchange::manifest(owner, &registry, &repository, &tag, MediaType::MANIFESTS)
            }
            Source::Url { registry, url } => {
                let parsed = Url::parse(&url).and_then(|url| {
                    let home = self.hosts.endpoint(&registry, false, &self.config)?.url("/")?;
                    self.allow(&registry, &home, &url, "a `urls` entry of an image")?;
                    Ok(url)
                });
                let url = match parsed {
                    Ok(url) => url,
                    Err(error) => return self.source_failed(id, error),
                };
                let mut exchange = Exchange::new(owner, &registry, Target::Named(url), class);
                exchange.what = format!("blob `{digest}`");
                exchange
            }
        };
        let key = self.launch(Exchange { rank, ..exchange });
        if let Some(blob) = self.blobs.get_mut(&id) {
            blob.exchange = Some(key);
        }
    }

    /// One place has failed for good: the next one, or the end.
    pub(super) fn source_failed(&mut self, id: BlobId, error: Error) {
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        blob.exchange = None;
        let error = error.in_blob(blob.digest);
        if blob.sources.is_empty() {
            return self.blob_failed(id, &error);
        }
        let (asked, jobs, manifest) = (blob.asked.take(), blob.jobs.clone(), blob.manifest);
        if let Some(endpoint) = asked.filter(|endpoint| endpoint.is_mirror) {
            for job in jobs {
                self.pass_over(job, &endpoint, &error, manifest);
            }
        }
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        blob.whole = false;
        blob.bad_ranges = 0;
        if blob.strikes > 0 {
            blob.strikes = 0;
            // A document has no sink that could hold anything void.
            if !blob.document {
                self.rewind(id, error);
            }
        }
        self.next_source(id);
    }

    /// A sink could not take bytes: nobody can go on with it.
    pub(super) fn sink_failed(&mut self, id: BlobId, failure: SinkFailure, detail: &str) {
        let reason = detail.to_string();
        let kind = match failure {
            SinkFailure::NoSpace { needed } => ErrorKind::NoSpace { needed, available: None },
            SinkFailure::Permission => ErrorKind::PermissionDenied { operation: "writing a blob", reason },
            SinkFailure::Io => ErrorKind::LocalIo { operation: "writing a blob", reason },
        };
        let Some(digest) = self.blobs.get(&id).map(|blob| blob.digest) else { return };
        self.blob_failed(id, &Error::from(kind).in_blob(digest));
    }

    /// Nobody gets this blob: the jobs that need it end.
    pub(super) fn blob_failed(&mut self, id: BlobId, error: &Error) {
        let Some(blob) = self.blobs.get(&id) else { return };
        for job in blob.jobs.clone() {
            self.fail(job, error.clone());
        }
        self.drop_blob(id);
    }

    /// Forgets a blob and whatever fetches it.
    pub(super) fn drop_blob(&mut self, id: BlobId) -> Option<Blob> {
        let blob = self.blobs.remove(&id)?;
        self.unlock(Lock::Fetch(id));
        if self.names.get(&blob.name()) == Some(&id) {
            self.names.remove(&blob.name());
        }
        if let Some(key) = blob.exchange {
            self.drop_exchange(key);
        }
        Some(blob)
    }

    /// The blob is there: tells those who want it. `bytes` are those of a document.
    pub(super) fn blob_done(&mut self, id: BlobId, bytes: Option<&Content>, size: u64) {
        let Some(blob) = self.drop_blob(id) else { return };
        for job in &blob.jobs {
            self.job_received(*job, blob.received);
            if blob.descriptor.size == 0 && !blob.document {
                self.note_size(*job, blob.digest, size);
            }
            self.got(*job, id, blob.digest, bytes, size);
        }
    }

    /// The body of a document that was asked for by its digest.
    pub(super) fn document_arrived(&mut self, id: BlobId, key: Key, bytes: &[u8], about: &About, url: &Url) {
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        blob.received = blob.received.saturating_add(bytes.len() as u64);
        match self.accept_document(id, bytes, about.content_type.as_deref()) {
            Ok(content) => {
                let shared: super::SharedBytes = Arc::from(bytes);
                let size = bytes.len() as u64;
                if let Some(blob) = self.blobs.get(&id) {
                    let mut descriptor = blob.descriptor.clone();
                    descriptor.size = size;
                    let jobs = blob.jobs.clone();
                    if let Content::Manifest(document) = &content {
                        let said =
                            core::mem::replace(&mut descriptor.media_type, document.media_type.clone());
                        let is_other = !said.is_generic() && said != document.media_type;
                        for job in jobs.iter().filter(|_| is_other) {
                            let (said, found) = (said.to_string(), document.media_type.to_string());
                            let digest = descriptor.digest;
                            self.warn_once(*job, Warning::MediaTypeMismatch { digest, said, found });
                        }
                    }
                    let job = jobs.first().copied().unwrap_or(JobId(0));
                    self.event(Event::Document { job, blob: id, descriptor, bytes: shared });
                }
                self.blob_done(id, Some(&content), size);
            }
            Err(error) => {
                let error = at_url(error, url);
                // Fewer bytes are a body that broke off without anybody noticing.
                if matches!(error.kind(), ErrorKind::SizeMismatch { expected, actual } if actual < expected) {
                    self.retry(key, error, None);
                    return;
                }
                let is_wrong =
                    matches!(error.kind(), ErrorKind::DigestMismatch { .. } | ErrorKind::SizeMismatch { .. });
                let Some(blob) = self.blobs.get_mut(&id) else { return };
                blob.strikes += 1;
                if is_wrong && blob.strikes == 1 {
                    self.retry(key, error, None);
                } else {
                    self.exchange_failed(key, error);
                }
            }
        }
    }

    /// Holds the bytes of a document to its descriptor.
    pub(super) fn accept_document(
        &self,
        id: BlobId,
        bytes: &[u8],
        content_type: Option<&str>,
    ) -> Result<Content> {
        let Some(blob) = self.blobs.get(&id) else { return Err(super::schedule::internal("a blob is gone")) };
        let actual = bytes.len() as u64;
        if let Some(expected) = blob.size.filter(|size| *size != actual) {
            return Err(Error::from(ErrorKind::SizeMismatch { expected, actual }).in_blob(blob.digest));
        }
        let algorithm = blob.digest.algorithm();
        let mut hasher = Hasher::new(self.config.hashes.as_ref(), algorithm);
        hasher.update(bytes);
        let actual = hasher.finish();
        let is_whole = actual == blob.digest;
        let mismatch =
            || Error::from(ErrorKind::DigestMismatch { expected: blob.digest, actual }).in_blob(blob.digest);
        if !blob.manifest {
            return if is_whole { Ok(Content::Config(Arc::from(bytes))) } else { Err(mismatch()) };
        }
        let said = Some(&blob.descriptor.media_type).filter(|said| !said.as_str().is_empty());
        let (document, _) =
            super::pull::read(bytes, content_type.or(said.map(MediaType::as_str)), &self.config.limits)
                .map_err(|error| if is_whole { error.in_blob(blob.digest) } else { mismatch() })?;
        // The digest of signed schema 1 is over its payload.
        if !is_whole && document.digest(algorithm) != blob.digest {
            return Err(mismatch());
        }
        Ok(Content::Manifest(Box::new(document)))
    }
}

/// The request for a blob under its digest.
fn by_digest(owner: Owner, registry: &str, repository: String, digest: &Digest, class: Class) -> Exchange {
    let target = Target::Registry(format!("/v2/{repository}/blobs/{digest}"));
    let mut exchange = Exchange::new(owner, registry, target, class);
    exchange.what = format!("blob `{digest}` of `{repository}`");
    exchange.scopes.push(Scope::repository(&repository, ["pull"]));
    exchange.repository = Some(repository);
    exchange
}

/// What a document turned out to be.
#[derive(Debug)]
pub(super) enum Content {
    Manifest(Box<Document>),
    Config(super::SharedBytes),
}
