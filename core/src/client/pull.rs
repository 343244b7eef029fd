//! The pull job: reference, index, platform, manifest, config and layers.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::blob::{Blob, Content, MOST_URLS, Source};
use super::conduct::at_url;
use super::event::{Event, Outcome, Pulled, PulledImage, Warning};
use super::exchange::{About, Exchange, Key, Owner};
use super::machine::Client;
use super::options::{Depth, PullOptions};
use super::{BlobId, JobId};
use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind, Result};
use crate::http::{Head, Method, Url};
use crate::image::{Descriptor, Document, Manifest, View};
use crate::limits::Limits;
use crate::map::{Map, Set};
use crate::media_type::{Compression, MediaType};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registries::Endpoint;

/// Where an image stands among all those of the job: its position in the index, in the index within, …
pub(super) type Position = Vec<u32>;

/// What a blob is to the job.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // Trials are rare, and there are few uses.
pub(super) enum Use {
    /// What the reference names.
    Top,
    /// A manifest or index out of an index.
    Child(Child),
    /// A config that is only kept (and looked at for the platform of a lone image).
    Config { lone: bool },
    /// A config that decides whether this candidate is taken.
    Trial { child: Child, manifest: Manifest, document: Descriptor },
    /// A layer, or the config of an artifact.
    Layer,
    /// One blob by itself.
    Single,
}

impl Use {
    /// Whether the machine reads it.
    fn is_document(&self) -> bool {
        !matches!(self, Use::Layer | Use::Single)
    }
}

/// An entry of an index on its way.
#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) position: Position,
    pub(super) platform: Option<Platform>,
    /// Other entries to try if this one, which does not say what it is for, does not fit.
    pub(super) others: VecDeque<(u32, Descriptor)>,
    pub(super) is_trial: bool,
}

#[derive(Debug)]
pub(super) struct Pull {
    pub(super) reference: Reference,
    pub(super) options: PullOptions,
    /// Where it is to be had, in order; what was passed over is not in it any more.
    endpoints: VecDeque<Endpoint>,
    top: Option<Descriptor>,
    wants: Map<BlobId, Vec<Use>>,
    /// How many of these are documents.
    documents: usize,
    /// That all of them are there was said.
    described: bool,
    images: Map<Position, PulledImage>,
    /// Entries of indexes that were taken or tried.
    pub(super) seen: Set<Digest>,
    /// Platforms that trials found, for the error if none fits.
    pub(super) found: Vec<Platform>,
    pub(super) received: u64,
}

impl Pull {
    pub(super) fn new(reference: &Reference, options: PullOptions) -> Pull {
        Pull {
            reference: reference.clone(),
            options,
            endpoints: VecDeque::new(),
            top: None,
            wants: Map::new(),
            documents: 0,
            described: false,
            images: Map::new(),
            seen: Set::new(),
            found: Vec::new(),
            received: 0,
        }
    }

    fn note(&mut self, id: BlobId, wanted: Use) {
        self.documents += usize::from(wanted.is_document());
        self.wants.entry(id).or_default().push(wanted);
    }

    fn accept(&self) -> &[MediaType] {
        if self.options.accept.is_empty() { MediaType::MANIFESTS } else { &self.options.accept }
    }
}

impl Client {
    pub(super) fn pull_of(&mut self, job: JobId) -> Option<&mut Pull> {
        match self.jobs.get_mut(&job).map(|job| &mut job.work) {
            Some(super::machine::Work::Pull(pull)) => Some(pull),
            _ => None,
        }
    }

    /// Asks the user's rules where an image is to be had.
    pub(super) fn endpoints_of(&mut self, reference: &Reference) -> Result<VecDeque<Endpoint>> {
        let endpoints = match self.config.sources.endpoints(reference) {
            Ok(endpoints) => endpoints,
            // What is here may be used all the same; who asks over the network is refused (`Client::start`).
            Err(error) if matches!(error.kind(), ErrorKind::RegistryBlocked { .. }) => {
                [Endpoint::named(reference)].to_vec()
            }
            Err(error) => return Err(error),
        };
        self.hosts.note(&endpoints);
        Ok(endpoints.into())
    }

    fn find_endpoints(&mut self, job: JobId) {
        let Some(pull) = self.pull_of(job) else { return };
        let reference = pull.reference.clone();
        let endpoints = match pull.options.past_mirrors {
            true => Ok(VecDeque::from([Endpoint::named(&reference)])),
            false => self.endpoints_of(&reference),
        };
        match endpoints {
            Ok(endpoints) => {
                if let Some(pull) = self.pull_of(job) {
                    pull.endpoints = endpoints;
                }
            }
            Err(error) => self.fail(job, error),
        }
    }

    /// A mirror did not give what was asked for. `drop` it for all that this job asks from now on.
    pub(super) fn pass_over(&mut self, job: JobId, endpoint: &Endpoint, reason: &Error, drop: bool) {
        let (registry, reason) = (endpoint.to_string(), reason.to_string());
        self.warn_once(job, Warning::MirrorPassedOver { mirror: registry, reason });
        if let Some(pull) = self.pull_of(job).filter(|_| drop) {
            pull.endpoints.retain(|known| !known.is_mirror || known != endpoint);
        }
    }

    /// Nobody there says what the reference names.
    pub(super) fn top_failed(&mut self, job: JobId, error: Error) {
        let first = self.pull_of(job).and_then(|pull| pull.endpoints.front().cloned());
        match first {
            Some(endpoint) if endpoint.is_mirror && error.code() != "cancelled" => {
                self.pass_over(job, &endpoint, &error, true);
                self.ask_top(job);
            }
            _ => self.fail(job, error),
        }
    }

    /// Tells which place answered, where the rules had a say.
    fn tell_endpoint(&mut self, job: JobId) {
        let first = self.pull_of(job).and_then(|pull| pull.endpoints.front().cloned());
        if let Some(endpoint) = first.filter(|endpoint| endpoint.file.is_some()) {
            self.event(Event::Answered { job, endpoint });
        }
    }

    /// The first step of a pull.
    pub(super) fn begin_pull(&mut self, job: JobId) {
        self.find_endpoints(job);
        let Some(pull) = self.pull_of(job) else { return };
        let (digest, depth) = (pull.reference.digest().copied(), pull.options.depth);
        match digest {
            Some(digest) if depth > Depth::Resolve => {
                let unknown = MediaType::Other(String::new());
                self.want(job, Descriptor::new(unknown, digest, 0), Use::Top, None);
                self.check_done(job);
            }
            _ => self.ask_top(job),
        }
    }

    /// One blob by its digest, outside any image.
    pub(super) fn begin_blob(&mut self, job: JobId) {
        self.find_endpoints(job);
        let Some(pull) = self.pull_of(job) else { return };
        let Some(digest) = pull.reference.digest().copied() else {
            let reason = "a blob is named by its digest".to_string();
            return self.fail(job, ErrorKind::InvalidOption { reason }.into());
        };
        let kind = MediaType::parse("application/octet-stream");
        self.want(job, Descriptor::new(kind, digest, 0), Use::Single, None);
        self.check_done(job);
    }

    /// Asks what the reference names: by HEAD, which registries do not count and which may save the GET; by GET at once
    /// where the answer may be made for us, so that it has no lasting digest (`accept`).
    fn ask_top(&mut self, job: JobId) {
        let dead = self.pull_of(job).map(|pull| pull.endpoints.clone()).unwrap_or_default();
        let dead: Vec<Endpoint> =
            dead.into_iter().filter(|it| it.is_mirror && self.hosts.is_dead(&it.registry)).collect();
        let Some(pull) = self.pull_of(job) else { return };
        pull.endpoints.retain(|endpoint| !dead.contains(endpoint));
        let is_plain = pull.options.accept.is_empty() || pull.options.depth == Depth::Resolve;
        let reference = pull.reference.clone();
        let endpoint = pull.endpoints.front().cloned().unwrap_or_else(|| Endpoint::named(&reference));
        let mut exchange = Exchange::manifest(
            Owner::Top(job),
            &endpoint.registry,
            &endpoint.repository,
            &reference.target(),
            pull.accept(),
        )
        .at(&endpoint);
        exchange.method = if is_plain { Method::Head } else { Method::Get };
        exchange.rank = (job.0, 0);
        self.launch(exchange);
    }

    /// A HEAD succeeded.
    pub(super) fn head_answered(&mut self, key: Key, url: &Url, head: &Head<'_>) {
        let Some(Owner::Top(job)) = self.exchanges.get(&key).map(|exchange| exchange.owner) else { return };
        let digest = head.headers.text("docker-content-digest").map(str::parse::<Digest>);
        let Some(pull) = self.pull_of(job) else { return };
        let asked = pull.reference.digest().copied();
        let digest = match (digest, asked) {
            (Some(Ok(actual)), Some(expected))
                if actual != expected && actual.algorithm() == expected.algorithm() =>
            {
                self.park(key);
                let error = Error::from(ErrorKind::DigestMismatch { expected, actual });
                return self.exchange_failed(key, at_url(error, url));
            }
            (_, Some(asked)) => asked,
            (Some(Ok(digest)), None) => digest,
            // Without a digest a HEAD says too little.
            _ => return self.get_instead(key),
        };
        let kind = head.content_type().map(MediaType::parse).unwrap_or(MediaType::Other(String::new()));
        let mut descriptor = Descriptor::new(kind, digest, head.content_length().unwrap_or(0));
        let Some(pull) = self.pull_of(job) else { return };
        let depth = pull.options.depth;
        pull.top = Some(descriptor.clone());
        let tag = pull.reference.target();
        self.drop_silently(key);
        self.tell_endpoint(job);
        self.event(Event::Resolved { job, descriptor: descriptor.clone() });
        if depth == Depth::Resolve {
            return self.check_done(job);
        }
        // Lengths of HEAD are hearsay: the digest decides.
        descriptor.size = 0;
        self.want(job, descriptor, Use::Top, Some(tag));
        self.check_done(job);
    }

    /// A HEAD was refused: not every registry knows it, and only a GET says why.
    pub(super) fn head_refused(&mut self, key: Key, _error: Error) {
        self.get_instead(key);
    }

    fn get_instead(&mut self, key: Key) {
        self.park(key);
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            exchange.method = Method::Get;
            exchange.trail.clear();
            exchange.expired = 0;
        }
        self.enqueue(key);
    }

    /// The document that a tag names came without its digest being known before.
    pub(super) fn top_arrived(&mut self, job: JobId, key: Key, bytes: &[u8], about: &About, url: &Url) {
        let read = read(bytes, about.content_type.as_deref(), &self.config.limits);
        let algorithm = about.digest.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let (document, warning) = match read {
            Ok(read) => read,
            Err(error) => return self.exchange_failed(key, at_url(error, url)),
        };
        let actual = document.digest(algorithm);
        let asked = self.pull_of(job).and_then(|pull| pull.reference.digest().copied());
        for expected in asked.into_iter().chain(about.digest) {
            if document.digest(expected.algorithm()) != expected {
                let actual = document.digest(expected.algorithm());
                let error = Error::from(ErrorKind::DigestMismatch { expected, actual }).in_blob(expected);
                return self.exchange_failed(key, at_url(error, url));
            }
        }
        self.drop_silently(key);
        self.tell_endpoint(job);
        let digest = asked.unwrap_or(actual);
        let descriptor = Descriptor::new(document.media_type.clone(), digest, bytes.len() as u64);
        self.event(Event::Resolved { job, descriptor: descriptor.clone() });
        if let Some((said, found)) = warning {
            self.warn_once(job, Warning::MediaTypeMismatch { digest, said, found });
        }
        let blob = self.name_blob();
        let shared = Arc::from(bytes);
        self.event(Event::Document { job, blob, descriptor: descriptor.clone(), bytes: shared });
        let Some(pull) = self.pull_of(job) else { return };
        pull.received = pull.received.saturating_add(bytes.len() as u64);
        pull.top = Some(descriptor.clone());
        if let Err(error) = self.take_document(job, &Use::Top, descriptor, &document) {
            return self.fail(job, error);
        }
        self.check_done(job);
    }

    /// The job needs this content: it joins those who want it already, or asks for it.
    pub(super) fn want(&mut self, job: JobId, descriptor: Descriptor, wanted: Use, tag: Option<String>) {
        let (document, manifest) = match &wanted {
            Use::Top | Use::Child(_) => (true, true),
            Use::Config { .. } | Use::Trial { .. } => (true, false),
            Use::Layer | Use::Single => (false, false),
        };
        let limits = &self.config.limits;
        let cap = if document {
            ("document_bytes", limits.document_bytes)
        } else {
            ("blob_bytes", limits.blob_bytes)
        };
        if descriptor.size > cap.1 {
            let error = Error::from(ErrorKind::LimitExceeded { limit: cap.0, value: cap.1 });
            return self.fail(job, error.in_blob(descriptor.digest));
        }
        let Some(pull) = self.pull_of(job) else { return };
        if let Some(data) = &descriptor.data {
            // Embedded: its digest and size were checked when it was read.
            return self.embedded(job, descriptor.clone(), data, wanted);
        }
        let mut sources = sources(&pull.endpoints, &pull.reference, manifest);
        let home = pull.endpoints.back().cloned().unwrap_or_else(|| Endpoint::named(&pull.reference));
        let Endpoint { registry, repository, .. } = home;
        if let Some(tag) = tag {
            sources.push_back(Source::Tag { registry: registry.clone(), repository, tag });
        }
        if !manifest {
            // The registry first: what an image names may be anywhere, and is asked without saying who we are.
            for url in descriptor.urls.iter().take(MOST_URLS) {
                sources.push_back(Source::Url { registry: registry.clone(), url: url.clone() });
            }
        }
        let name = (descriptor.digest, document, manifest);
        if let Some(id) = self.names.get(&name).copied() {
            if let Some(blob) = self.blobs.get_mut(&id) {
                if !blob.jobs.contains(&job) {
                    blob.jobs.push(job);
                }
                blob.offer(sources);
            }
            pull_insert(self.pull_of(job), id, wanted);
            return;
        }
        let id = self.name_blob();
        pull_insert(self.pull_of(job), id, wanted);
        let mut blob = Blob::new(descriptor.clone(), document, manifest, sources);
        blob.jobs.push(job);
        self.names.insert(name, id);
        self.blobs.insert(id, blob);
        self.event(Event::Need { job, blob: id, descriptor, document });
    }

    /// Content that its descriptor carries.
    fn embedded(&mut self, job: JobId, descriptor: Descriptor, data: &[u8], wanted: Use) {
        let id = self.name_blob();
        let bytes: super::SharedBytes = Arc::from(data);
        let size = descriptor.size;
        let media_type = descriptor.media_type.clone();
        let digest = descriptor.digest;
        self.event(Event::Document { job, blob: id, descriptor, bytes: bytes.clone() });
        let content = match &wanted {
            Use::Top | Use::Child(_) => match read(&bytes, Some(media_type.as_str()), &self.config.limits) {
                Ok((document, _)) => Content::Manifest(Box::new(document)),
                Err(error) => return self.fail(job, error.in_blob(digest)),
            },
            _ => Content::Config(bytes),
        };
        pull_insert(self.pull_of(job), id, wanted);
        // Taken in its turn, not here: content within content within content would have no bottom.
        self.embedded.push_back((job, id, digest, content, size));
    }

    /// A blob that the job wants is there.
    pub(super) fn got(
        &mut self,
        job: JobId,
        id: BlobId,
        digest: Digest,
        content: Option<&Content>,
        size: u64,
    ) {
        if self.push_of(job).is_some() {
            return self.push_got(job, id, content);
        }
        let Some(pull) = self.pull_of(job) else { return };
        let uses = pull.wants.remove(&id).unwrap_or_default();
        pull.documents =
            pull.documents.saturating_sub(uses.iter().filter(|wanted| wanted.is_document()).count());
        for wanted in uses {
            if let Err(error) = self.take(job, &wanted, digest, content, size) {
                return self.fail(job, error);
            }
        }
        self.check_done(job);
    }

    fn take(
        &mut self,
        job: JobId,
        wanted: &Use,
        digest: Digest,
        content: Option<&Content>,
        size: u64,
    ) -> Result<()> {
        match (wanted, content) {
            (Use::Top | Use::Child(_), Some(Content::Manifest(document))) => {
                let descriptor =
                    Descriptor::new(document.media_type.clone(), digest, document.raw.len() as u64);
                self.take_document(job, wanted, descriptor, document)
            }
            (Use::Config { lone }, Some(Content::Config(bytes))) => {
                if *lone {
                    self.compare_platform(job, bytes);
                }
                Ok(())
            }
            (Use::Trial { child, manifest, document }, Some(Content::Config(bytes))) => {
                self.judge_trial(job, child, manifest, document, bytes)
            }
            (Use::Single, _) => {
                let Some(pull) = self.pull_of(job) else { return Ok(()) };
                let kind = MediaType::parse("application/octet-stream");
                pull.top = pull.reference.digest().map(|digest| Descriptor::new(kind, *digest, size));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A layer's true size, where the manifest does not say it (schema 1).
    pub(super) fn note_size(&mut self, job: JobId, digest: Digest, size: u64) {
        let Some(pull) = self.pull_of(job) else { return };
        for image in pull.images.values_mut() {
            for layer in &mut image.layers {
                if layer.digest == digest && layer.size == 0 {
                    layer.size = size;
                }
            }
        }
    }

    /// A manifest or index arrived and holds.
    fn take_document(
        &mut self,
        job: JobId,
        wanted: &Use,
        descriptor: Descriptor,
        document: &Document,
    ) -> Result<()> {
        let Some(pull) = self.pull_of(job) else { return Ok(()) };
        let child = match wanted {
            Use::Child(child) => Some(child),
            _ => None,
        };
        if child.is_none()
            && pull
                .top
                .as_ref()
                .is_none_or(|top| top.size != descriptor.size || top.media_type != descriptor.media_type)
        {
            let is_news = pull.top.is_none();
            pull.top = Some(descriptor.clone());
            if is_news {
                self.event(Event::Resolved { job, descriptor: descriptor.clone() });
            }
        }
        let Some(pull) = self.pull_of(job) else { return Ok(()) };
        let depth = pull.options.depth;
        match &document.view {
            View::Index(index) => {
                if depth > Depth::Document {
                    self.take_index(job, child, &descriptor, index)?;
                }
                Ok(())
            }
            View::Manifest(manifest) => match child {
                Some(child) if child.is_trial => self.try_manifest(job, child, descriptor, manifest),
                _ => self.take_manifest(job, child, descriptor, manifest),
            },
            View::Schema1(schema) => {
                let layer = MediaType::DockerLayer(Compression::Gzip);
                let layers: Vec<Descriptor> =
                    schema.layers().map(|digest| Descriptor::new(layer.clone(), *digest, 0)).collect();
                self.take_image(job, child, descriptor, None, layers)
            }
        }
    }

    fn take_manifest(
        &mut self,
        job: JobId,
        child: Option<&Child>,
        descriptor: Descriptor,
        manifest: &Manifest,
    ) -> Result<()> {
        self.keep_image(job, child, descriptor, manifest, true)
    }

    /// Notes the image and asks for what hangs below it. `with_config` unless that is there already.
    pub(super) fn keep_image(
        &mut self,
        job: JobId,
        child: Option<&Child>,
        descriptor: Descriptor,
        manifest: &Manifest,
        with_config: bool,
    ) -> Result<()> {
        let Some(pull) = self.pull_of(job) else { return Ok(()) };
        let depth = pull.options.depth;
        let config = &manifest.config;
        if depth >= Depth::Config && with_config {
            let is_read = config.media_type.is_config() || config.media_type.is_generic();
            let fits = config.size <= self.config.limits.document_bytes;
            let wanted = if is_read && (fits || config.media_type.is_config()) {
                Use::Config { lone: child.is_none() }
            } else {
                Use::Layer
            };
            self.want(job, config.clone(), wanted, None);
        }
        self.take_image(job, child, descriptor, Some(config.clone()), manifest.layers.clone())
    }

    fn take_image(
        &mut self,
        job: JobId,
        child: Option<&Child>,
        manifest: Descriptor,
        config: Option<Descriptor>,
        layers: Vec<Descriptor>,
    ) -> Result<()> {
        let Some(pull) = self.pull_of(job) else { return Ok(()) };
        let (depth, with_foreign) = (pull.options.depth, pull.options.foreign_layers);
        let position = child.map(|child| child.position.clone()).unwrap_or_default();
        let platform = child.and_then(|child| child.platform.clone());
        pull.images.insert(position, PulledImage { manifest, platform, config, layers: layers.clone() });
        if depth < Depth::Layers {
            return Ok(());
        }
        for layer in layers {
            if layer.media_type.is_nondistributable() && !with_foreign {
                self.warn_once(job, Warning::ForeignLayerSkipped { digest: layer.digest });
                continue;
            }
            self.want(job, layer, Use::Layer, None);
        }
        Ok(())
    }

    /// The end, if nothing is wanted any more.
    fn check_done(&mut self, job: JobId) {
        let Some(pull) = self.pull_of(job) else { return };
        if pull.documents > 0 {
            return;
        }
        let Some(top) = pull.top.clone() else { return };
        let tells = pull.options.depth == Depth::Layers && !pull.images.is_empty();
        if tells && !core::mem::replace(&mut pull.described, true) {
            let images = pull.images.values().cloned().collect();
            let pulled = Pulled { top: top.clone(), images, received: pull.received };
            self.event(Event::Described { job, pulled });
        }
        let Some(pull) = self.pull_of(job).filter(|pull| pull.wants.is_empty()) else { return };
        let images = core::mem::take(&mut pull.images).into_iter().map(|(_, image)| image).collect();
        let pulled = Pulled { top, images, received: pull.received };
        self.finish(job, Ok(Outcome::Pulled(pulled)));
    }
}

/// The places where a blob or a manifest is asked for under its digest, in order.
pub(super) fn sources(
    endpoints: &VecDeque<Endpoint>,
    reference: &Reference,
    manifest: bool,
) -> VecDeque<Source> {
    let place = |endpoint: &Endpoint| match endpoint.file {
        Some(_) => Source::Endpoint { endpoint: endpoint.clone(), manifest },
        None => {
            let (registry, repository) = (endpoint.registry.clone(), endpoint.repository.clone());
            Source::Registry { registry, repository, manifest }
        }
    };
    match endpoints.is_empty() {
        true => [place(&Endpoint::named(reference))].into(),
        false => endpoints.iter().map(place).collect(),
    }
}

fn pull_insert(pull: Option<&mut Pull>, id: BlobId, wanted: Use) {
    if let Some(pull) = pull {
        pull.note(id, wanted);
    }
}

/// Reads a manifest or index. A `Content-Type` that is of no document at all is passed over if the document itself says
/// what it is: what was said and found is for a warning.
pub(super) fn read(
    bytes: &[u8],
    content_type: Option<&str>,
    limits: &Limits,
) -> Result<(Document, Option<(String, String)>)> {
    let said = content_type.map(MediaType::parse);
    match said {
        Some(said @ MediaType::Other(_)) if !said.is_generic() => {
            let document = Document::parse(bytes, None, limits)?;
            let found = document.media_type.to_string();
            Ok((document, Some((said.to_string(), found))))
        }
        _ => Ok((Document::parse(bytes, content_type, limits)?, None)),
    }
}
