//! The push job: everything below a manifest or index to a registry, blobs before their manifests, manifests before
//! their index, and names last (distribution-spec, "Push").

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::blob::{Blob, Content, Source};
use super::conduct::at_url;
use super::event::{Event, Outcome, Pushed};
use super::exchange::{Exchange, Key, Owner};
use super::machine::Client;
use super::manage::Manage;
use super::options::PushOptions;
use super::request::RequestBody;
use super::upload::{MOST_MOUNTS, Step, Upload};
use super::{BlobId, JobId};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::http::{Head, Method, Scope, Url};
use crate::image::{Descriptor, Document, View};
use crate::map::Map;
use crate::media_type::MediaType;
use crate::reference::Reference;
use crate::registries::Endpoint;

/// What an exchange of a push is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// The upload at this position.
    Upload(usize),
    /// Is the document at this position there?
    Look(usize),
    /// Here is the document at this position.
    Put(usize),
    /// Which referrers does the tag know, for the document at this position?
    ReadTag(usize),
    /// Here they are, with it.
    WriteTag(usize),
}

/// Where one document stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its bytes are awaited.
    Wanted,
    /// The registry is asked for it.
    Looking,
    /// What hangs below it is awaited.
    Gathering,
    /// It goes up.
    Putting,
    /// Its subject is told by a tag.
    Referring,
    Done,
}

/// A manifest or index for the registry.
#[derive(Debug)]
pub(super) struct Paper {
    pub(super) digest: Digest,
    pub(super) document: Option<Document>,
    pub(super) stage: Stage,
    /// How much below it is not there yet.
    waits: usize,
    /// Who waits for it.
    parents: Vec<usize>,
    /// Its subject's tag has been seen to.
    pub(super) is_told: bool,
}

impl Paper {
    pub(super) fn subject(&self) -> Option<&Descriptor> {
        match &self.document.as_ref()?.view {
            View::Manifest(manifest) => manifest.subject.as_ref(),
            View::Index(index) => index.subject.as_ref(),
            View::Schema1(_) => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Push {
    pub(super) manage: Manage,
    pub(super) to: Reference,
    pub(super) options: PushOptions,
    /// Where documents and blobs are fetched from; `None` where the host has them.
    from: Option<Reference>,
    /// Where the user's rules say that it is to be had, in order.
    endpoints: VecDeque<Endpoint>,
    top: Descriptor,
    pub(super) papers: Vec<Paper>,
    paper_names: Map<Digest, usize>,
    /// Documents that were asked for.
    wants: Map<BlobId, usize>,
    pub(super) uploads: Vec<Upload>,
    upload_names: Map<Digest, usize>,
    /// Which documents wait for an upload.
    upload_parents: Vec<Vec<usize>>,
    /// What the top is still to be called.
    names: VecDeque<String>,
    /// What it is called by now.
    tags: Vec<String>,
    /// Documents whose subject has to be told by a tag, one after another.
    pub(super) referring: VecDeque<usize>,
    /// The registry takes no blob with the request that opens its upload.
    pub(super) no_single_posts: bool,
    pub(super) present: u64,
    pub(super) mounted: u64,
    pub(super) sent: u64,
    pub(super) sent_bytes: u64,
}

impl Push {
    pub(super) fn new(
        manage: Manage,
        to: &Reference,
        from: Option<&Reference>,
        top: &Descriptor,
        options: PushOptions,
    ) -> Push {
        let mut names: VecDeque<String> = VecDeque::new();
        for tag in to.tag().into_iter().map(ToString::to_string).chain(options.tags.iter().cloned()) {
            if !names.contains(&tag) {
                names.push_back(tag);
            }
        }
        Push {
            manage,
            to: to.clone(),
            from: from.cloned(),
            endpoints: VecDeque::new(),
            top: top.clone(),
            options,
            papers: Vec::new(),
            paper_names: Map::new(),
            wants: Map::new(),
            uploads: Vec::new(),
            upload_names: Map::new(),
            upload_parents: Vec::new(),
            names,
            tags: Vec::new(),
            referring: VecDeque::new(),
            no_single_posts: false,
            present: 0,
            mounted: 0,
            sent: 0,
            sent_bytes: 0,
        }
    }

    /// Where something of the source is asked for: as a pull does it.
    fn sources(&self, from: &Reference, manifest: bool) -> VecDeque<Source> {
        super::pull::sources(&self.endpoints, from, manifest)
    }

    /// Whether bytes that go up come from another registry.
    pub(super) fn relays(&self) -> bool {
        self.from.is_some()
    }

    /// Whether source and target are one registry.
    fn is_one_registry(&self) -> bool {
        self.from.as_ref().is_some_and(|from| from.host() == self.to.host())
    }

    /// Whether the registry has all of it in another repository.
    pub(super) fn mounts_all(&self) -> bool {
        self.is_one_registry() && !self.options.remade
    }

    /// Whether they are even one repository: then nothing below the top has to be moved.
    fn is_one_repository(&self) -> bool {
        self.is_one_registry()
            && !self.options.remade
            && self.from.as_ref().is_some_and(|from| from.repository() == self.to.repository())
    }
}

impl Client {
    pub(super) fn push_of(&mut self, job: JobId) -> Option<&mut Push> {
        match self.jobs.get_mut(&job).map(|job| &mut job.work) {
            Some(super::machine::Work::Push(_, push)) => Some(push),
            _ => None,
        }
    }

    /// The first step of a push.
    pub(super) fn begin_push(&mut self, job: JobId) {
        if let Some(from) = self.push_of(job).and_then(|push| push.from.clone()) {
            match self.endpoints_of(&from) {
                Ok(endpoints) => {
                    if let Some(push) = self.push_of(job) {
                        push.endpoints = endpoints;
                    }
                }
                Err(error) => return self.fail(job, error),
            }
        }
        let Some(push) = self.push_of(job) else { return };
        if let Some(digest) = push.to.digest().copied()
            && digest != push.top.digest
            && digest.algorithm() == push.top.digest.algorithm()
        {
            let error = ErrorKind::DigestMismatch { expected: digest, actual: push.top.digest };
            return self.fail(job, error.into());
        }
        let top = push.top.clone();
        self.want_paper(job, &top, None);
    }

    /// This document has to be at the registry, before the one at `parent`.
    fn want_paper(&mut self, job: JobId, descriptor: &Descriptor, parent: Option<usize>) {
        let Some(push) = self.push_of(job) else { return };
        let digest = descriptor.digest;
        let known = push.paper_names.get(&digest).copied();
        let at = known.unwrap_or(push.papers.len());
        if known.is_none() {
            push.paper_names.insert(digest, at);
            push.papers.push(Paper {
                digest,
                document: None,
                stage: Stage::Wanted,
                waits: 0,
                parents: Vec::new(),
                is_told: false,
            });
        }
        if push.papers.get(at).is_some_and(|paper| paper.stage == Stage::Done) {
            return;
        }
        if let Some(parent) = parent {
            if let Some(paper) = push.papers.get_mut(at) {
                paper.parents.push(parent);
            }
            if let Some(paper) = push.papers.get_mut(parent) {
                paper.waits += 1;
            }
        }
        if known.is_some() {
            return;
        }
        if let Some(data) = descriptor.data.clone() {
            return self.paper_read(job, at, &data, descriptor.media_type.as_str());
        }
        let sources = push.from.as_ref().map(|from| push.sources(from, true)).unwrap_or_default();
        let id = self.ask_for(job, descriptor, sources);
        if let Some(push) = self.push_of(job) {
            push.wants.insert(id, at);
        }
    }

    /// Asks the host for a document, or joins those who have.
    fn ask_for(&mut self, job: JobId, descriptor: &Descriptor, sources: VecDeque<Source>) -> BlobId {
        let name = (descriptor.digest, true, true);
        if let Some(id) = self.names.get(&name).copied() {
            if let Some(blob) = self.blobs.get_mut(&id) {
                if !blob.jobs.contains(&job) {
                    blob.jobs.push(job);
                }
                blob.offer(sources);
            }
            return id;
        }
        let id = self.name_blob();
        let mut blob = Blob::new(descriptor.clone(), true, true, sources);
        blob.jobs.push(job);
        self.names.insert(name, id);
        self.blobs.insert(id, blob);
        self.event(Event::Need { job, blob: id, descriptor: descriptor.clone(), document: true });
        id
    }

    fn paper_read(&mut self, job: JobId, at: usize, bytes: &[u8], media_type: &str) {
        match super::pull::read(bytes, Some(media_type).filter(|kind| !kind.is_empty()), &self.config.limits)
        {
            Ok((document, _)) => self.paper_arrived(job, at, document),
            Err(error) => self.fail(job, error),
        }
    }

    /// A document that the push asked for is there.
    pub(super) fn push_got(&mut self, job: JobId, id: BlobId, content: Option<&Content>) {
        let Some(at) = self.push_of(job).and_then(|push| push.wants.remove(&id)) else { return };
        match content {
            Some(Content::Manifest(document)) => self.paper_arrived(job, at, (**document).clone()),
            _ => self.fail(job, super::schedule::internal("a document came without its content")),
        }
    }

    fn paper_arrived(&mut self, job: JobId, at: usize, document: Document) {
        if let View::Schema1(_) = &document.view {
            let media_type = document.media_type.to_string();
            let reason = "registries take no manifests of schema 1 any more".to_string();
            return self.fail(job, ErrorKind::UnsupportedMediaType { media_type, reason }.into());
        }
        let Some(push) = self.push_of(job) else { return };
        let force = push.options.force;
        let is_retag = at == 0 && push.is_one_repository();
        let Some(paper) = push.papers.get_mut(at) else { return };
        paper.document = Some(document);
        if is_retag {
            // All of it is there: it came from there.
            return self.paper_ready(job, at);
        }
        if force {
            return self.gather(job, at);
        }
        paper.stage = Stage::Looking;
        let digest = paper.digest.to_string();
        self.paper_exchange(job, Errand::Look(at), Method::Head, &digest, None);
    }

    /// Launches a request about a document.
    pub(super) fn paper_exchange(
        &mut self,
        job: JobId,
        errand: Errand,
        method: Method,
        name: &str,
        body: Option<(String, Vec<u8>)>,
    ) {
        let Some(push) = self.push_of(job) else { return };
        let (registry, repository) = (push.to.host().to_string(), push.to.repository().to_string());
        let owner = Owner::Push(push.manage, job, errand);
        let mut exchange = Exchange::manifest(owner, &registry, &repository, name, MediaType::MANIFESTS);
        exchange.method = method;
        exchange.rank = (job.0, 0);
        exchange.scopes = alloc::vec![Scope::repository(&repository, ["pull", "push"])];
        if let Some((media_type, bytes)) = body {
            exchange.headers.set("content-type", media_type);
            exchange.headers.remove("accept");
            exchange.body = RequestBody::Bytes(bytes);
        }
        self.launch(exchange);
    }

    /// A request about a document succeeded without a body that counts.
    pub(super) fn paper_answered(
        &mut self,
        job: JobId,
        errand: Errand,
        key: Key,
        url: &Url,
        head: &Head<'_>,
    ) {
        let said = head.headers.text("docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
        let Some(push) = self.push_of(job) else { return };
        match errand {
            Errand::Look(at) => {
                let Some(paper) = push.papers.get(at) else { return };
                let is_it = said.is_none_or(|said| said == paper.digest);
                self.drop_silently(key);
                match is_it {
                    true => {
                        push_present(self.push_of(job));
                        self.paper_ready(job, at);
                    }
                    false => self.gather(job, at),
                }
            }
            Errand::Put(at) => {
                let Some(paper) = push.papers.get(at) else { return };
                let expected = paper.digest;
                let has_subject = paper.subject().is_some();
                let knows_subjects = head.headers.has("oci-subject");
                let wrong = said.filter(|said| *said != expected && said.algorithm() == expected.algorithm());
                if let Some(actual) = wrong {
                    self.park(key);
                    let error = Error::from(ErrorKind::DigestMismatch { expected, actual });
                    return self.exchange_failed(key, at_url(error.in_blob(expected), url));
                }
                self.drop_silently(key);
                if at == 0
                    && let Some(push) = self.push_of(job)
                    && let Some(tag) = push.names.pop_front()
                {
                    push.tags.push(tag);
                }
                if has_subject && !knows_subjects {
                    return self.refer(job, at);
                }
                self.paper_ready(job, at);
            }
            Errand::WriteTag(at) => {
                self.drop_silently(key);
                if let Some(push) = self.push_of(job) {
                    push.referring.pop_front();
                }
                self.next_referring(job);
                self.paper_ready(job, at);
            }
            Errand::ReadTag(_) | Errand::Upload(_) => self.drop_silently(key),
        }
    }

    /// A document is not there, or the question is not answered.
    pub(super) fn paper_absent(&mut self, job: JobId, at: usize, key: Key) {
        self.drop_silently(key);
        self.gather(job, at);
    }

    /// Sees to what hangs below a document.
    fn gather(&mut self, job: JobId, at: usize) {
        let Some(push) = self.push_of(job) else { return };
        let with_foreign = push.options.foreign_layers;
        let Some(paper) = push.papers.get_mut(at) else { return };
        paper.stage = Stage::Gathering;
        let mut blobs: Vec<Descriptor> = Vec::new();
        let mut children: Vec<Descriptor> = Vec::new();
        match paper.document.as_ref().map(|document| &document.view) {
            Some(View::Manifest(manifest)) => {
                blobs.push(manifest.config.clone());
                let is_sent = |layer: &&Descriptor| with_foreign || !layer.media_type.is_nondistributable();
                blobs.extend(manifest.layers.iter().filter(is_sent).cloned());
            }
            Some(View::Index(index)) => {
                for entry in &index.manifests {
                    let kind = &entry.media_type;
                    let is_paper =
                        kind.is_manifest() || kind.is_index() || kind.is_schema1() || kind.is_generic();
                    if is_paper { &mut children } else { &mut blobs }.push(entry.clone());
                }
            }
            _ => {}
        }
        // Held open until all are counted: one that is there at once must not end it.
        paper.waits += 1;
        for child in &children {
            self.want_paper(job, child, Some(at));
        }
        for blob in blobs {
            self.want_upload(job, blob, at);
        }
        self.one_less(job, at);
    }

    fn want_upload(&mut self, job: JobId, descriptor: Descriptor, parent: usize) {
        let Some(push) = self.push_of(job) else { return };
        let digest = descriptor.digest;
        let at = match push.upload_names.get(&digest).copied() {
            Some(at) => at,
            None => {
                let id = self.name_blob();
                let Some(push) = self.push_of(job) else { return };
                let mut mounts: Vec<String> = push
                    .options
                    .mount_from
                    .iter()
                    .filter(|from| *from != push.to.repository())
                    .take(MOST_MOUNTS)
                    .cloned()
                    .collect();
                mounts.reverse();
                if push.is_one_registry()
                    && let Some(from) = &push.from
                {
                    mounts.retain(|known| known != from.repository());
                    if from.repository() != push.to.repository() {
                        mounts.push(from.repository().to_string());
                    }
                }
                let chunked = push.options.chunk.is_some();
                let at = push.uploads.len();
                push.upload_names.insert(digest, at);
                push.uploads.push(Upload::new(descriptor, id, mounts, chunked));
                push.upload_parents.push(Vec::new());
                at
            }
        };
        let Some(push) = self.push_of(job) else { return };
        if push.uploads.get(at).is_some_and(|upload| upload.step == Step::Done) {
            return;
        }
        if let Some(parents) = push.upload_parents.get_mut(at) {
            parents.push(parent);
        }
        if let Some(paper) = push.papers.get_mut(parent) {
            paper.waits += 1;
        }
        self.begin_upload(job, at);
    }

    /// The bytes of an upload are wanted now: of a copy, they come from the source.
    pub(super) fn need_source(&mut self, job: JobId, at: usize) {
        let Some(push) = self.push_of(job) else { return };
        let Some(from) = push.from.clone() else { return };
        let Some(upload) = push.uploads.get(at).filter(|upload| !upload.offered) else { return };
        let descriptor = upload.descriptor.clone();
        if descriptor.data.is_some() {
            return;
        }
        // A blob of its own, which no other job joins: what goes on is not kept for others.
        let id = self.name_blob();
        let sources = self.push_of(job).map(|push| push.sources(&from, false)).unwrap_or_default();
        let mut blob = Blob::new(descriptor.clone(), false, false, sources);
        blob.jobs.push(job);
        for url in descriptor.urls.iter().take(super::blob::MOST_URLS) {
            blob.offer([Source::Url { registry: from.host().to_string(), url: url.clone() }]);
        }
        self.blobs.insert(id, blob);
        self.event(Event::Need { job, blob: id, descriptor, document: false });
        if let Some(upload) = self.push_of(job).and_then(|push| push.uploads.get_mut(at)) {
            upload.offered = true;
            upload.blob = id;
        }
    }

    /// A blob is at the registry.
    pub(super) fn upload_done(&mut self, job: JobId, at: usize) {
        let parents = self
            .push_of(job)
            .and_then(|push| push.upload_parents.get_mut(at))
            .map(core::mem::take)
            .unwrap_or_default();
        for parent in parents {
            self.one_less(job, parent);
        }
    }

    /// A document waits for one thing less.
    fn one_less(&mut self, job: JobId, at: usize) {
        let Some(paper) = self.push_of(job).and_then(|push| push.papers.get_mut(at)) else { return };
        paper.waits = paper.waits.saturating_sub(1);
        if paper.waits == 0 && paper.stage == Stage::Gathering {
            self.put(job, at);
        }
    }

    /// All below a document is there, and so is it.
    pub(super) fn paper_ready(&mut self, job: JobId, at: usize) {
        let names_left = self.push_of(job).is_some_and(|push| !push.names.is_empty());
        // Names are all that the top still needs.
        if at == 0 && names_left {
            return self.put(job, at);
        }
        self.paper_done(job, at);
    }

    fn put(&mut self, job: JobId, at: usize) {
        let Some(push) = self.push_of(job) else { return };
        if push.options.dry_run {
            if at == 0 {
                push.tags.extend(push.names.drain(..));
            }
            return self.paper_done(job, at);
        }
        let name = if at == 0 { push.names.front().cloned() } else { None };
        let Some(paper) = push.papers.get_mut(at) else { return };
        paper.stage = Stage::Putting;
        let name = name.unwrap_or_else(|| paper.digest.to_string());
        let Some(document) = &paper.document else { return };
        let body = (document.media_type.to_string(), document.raw.clone());
        self.paper_exchange(job, Errand::Put(at), Method::Put, &name, Some(body));
    }

    fn paper_done(&mut self, job: JobId, at: usize) {
        let Some(push) = self.push_of(job) else { return };
        let Some(paper) = push.papers.get_mut(at) else { return };
        paper.stage = Stage::Done;
        let parents = core::mem::take(&mut paper.parents);
        for parent in parents {
            self.one_less(job, parent);
        }
        if at == 0 {
            let Some(push) = self.push_of(job) else { return };
            let pushed = Pushed {
                top: push.top.clone(),
                tags: push.tags.clone(),
                sent: push.sent,
                sent_bytes: push.sent_bytes,
                mounted: push.mounted,
                present: push.present,
            };
            self.finish(job, Ok(Outcome::Pushed(pushed)));
        }
    }

    /// An exchange of a push has failed for good.
    pub(super) fn errand_failed(&mut self, job: JobId, errand: Errand, error: Error) {
        let digest = self.push_of(job).and_then(|push| match errand {
            Errand::Upload(at) => push.uploads.get(at).map(|upload| upload.descriptor.digest),
            Errand::Look(at) | Errand::Put(at) | Errand::ReadTag(at) | Errand::WriteTag(at) => {
                push.papers.get(at).map(|paper| paper.digest)
            }
        });
        let error = match digest {
            Some(digest) => error.in_blob(digest),
            None => error,
        };
        self.fail(job, error);
    }

    /// The bytes of a blob that goes up are void from somewhere on: what went up of them is, too.
    pub(super) fn sources_rewound(&mut self, blob: BlobId) {
        let jobs: Vec<JobId> = self.blobs.get(&blob).map_or_else(Vec::new, |blob| blob.jobs.clone());
        for job in jobs {
            let Some(push) = self.push_of(job) else { continue };
            let of_blob = |upload: &Upload| upload.blob == blob && upload.is_sending();
            let Some(at) = push.uploads.iter().position(of_blob) else { continue };
            self.restart_upload(job, at);
        }
    }

    /// The host cannot read a blob that is to go up.
    pub(super) fn source_lost(&mut self, blob: BlobId, error: &Error) {
        let jobs: Vec<(JobId, Digest)> = self
            .jobs
            .iter()
            .filter_map(|(id, job)| match &job.work {
                super::machine::Work::Push(_, push) => {
                    let upload = push.uploads.iter().find(|upload| upload.blob == blob)?;
                    Some((*id, upload.descriptor.digest))
                }
                _ => None,
            })
            .collect();
        for (job, digest) in jobs {
            self.fail(job, error.clone().in_blob(digest));
        }
    }
}

fn push_present(push: Option<&mut Push>) {
    if let Some(push) = push {
        push.present += 1;
    }
}
