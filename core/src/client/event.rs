//! What the machine says.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::request::Request;
use super::{BlobId, CredentialsId, ExchangeId, JobId};
use crate::digest::Digest;
use crate::error::Error;
use crate::http::Secret;
use crate::image::Descriptor;
use crate::platform::Platform;
use crate::registries::Endpoint;
use crate::time::Millis;

/// Bytes of a document, shared with the machine.
pub type SharedBytes = Arc<[u8]>;

/// What to do next.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // An event is moved once or twice and never kept.
pub enum Output {
    /// Send this request.
    Start {
        /// Its exchange.
        id: ExchangeId,
        /// It.
        request: Request,
    },
    /// Give this exchange up: drop its connection. A hasher that it holds comes back by `handle_hashed`.
    Abort {
        /// Which.
        id: ExchangeId,
    },
    /// Something to know or to answer.
    Event(Event),
    /// Nothing to do before this moment (or before something happens, if `None`).
    Wait(Option<Millis>),
}

/// Something to know or, where it says so, to answer. The one vocabulary of all hosts.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // An event is moved once or twice and never kept.
#[non_exhaustive]
pub enum Event {
    /// The reference names this document.
    Resolved {
        /// Whose.
        job: JobId,
        /// Index or manifest. The size is 0 where a HEAD did not say it.
        descriptor: Descriptor,
    },
    /// A place that the user's rules name said what the reference names: it is asked for the rest too.
    Answered {
        /// Whose.
        job: JobId,
        /// Which place.
        endpoint: Endpoint,
    },
    /// An index offered several images, and this one was taken.
    Chosen {
        /// Whose.
        job: JobId,
        /// What was asked for.
        wanted: Platform,
        /// What was taken; `None` if its descriptor names none.
        taken: Option<Platform>,
        /// Its manifest.
        descriptor: Descriptor,
        /// The other platforms that there are.
        others: Vec<Platform>,
    },
    /// A job needs this. **Answer** with `fetch`, `skip` (a blob that the host has, verified earlier) or `supply`
    /// (a document that the host has; the machine verifies it).
    Need {
        /// Whose.
        job: JobId,
        /// Its name from here on.
        blob: BlobId,
        /// What it is. The size is 0 where it is not known yet.
        descriptor: Descriptor,
        /// Whether the machine reads it too (manifest, index, config): `skip` is no answer then, `supply` is.
        document: bool,
    },
    /// Bytes of this blob are going to be asked for, by [`RequestBody::Source`](super::RequestBody::Source) with this
    /// name. A host that does not have them says so by `handle_source_failure`.
    Source {
        /// Whose.
        job: JobId,
        /// Its name from here on.
        blob: BlobId,
        /// What it is.
        descriptor: Descriptor,
    },
    /// A blob is at the registry that the job pushes to.
    Placed {
        /// Whose.
        job: JobId,
        /// Which.
        blob: BlobId,
        /// What it is.
        descriptor: Descriptor,
        /// How it came there.
        how: Placed,
    },
    /// A document arrived and its digest held: the host keeps these bytes under this digest. It need not have been
    /// asked for by `Need`: what a tag names, and content that a descriptor embeds (`data`, a layer's too), come so.
    Document {
        /// Whose.
        job: JobId,
        /// Which.
        blob: BlobId,
        /// What it is, with its true size.
        descriptor: Descriptor,
        /// Exactly what the registry sent.
        bytes: SharedBytes,
    },
    /// All documents of a pull that goes down to the layers are known and were given out: what is still to come are layers.
    /// Who wants to read them while they arrive begins now. Comes once, before `Finished`; never if there is no image.
    Described {
        /// Whose.
        job: JobId,
        /// What `Finished` will say, less what is received until then.
        pulled: Pulled,
    },
    /// The bytes of this blob from `to` on are void: the next `Store` begins there.
    BlobRewound {
        /// Which.
        blob: BlobId,
        /// Where it goes on.
        to: u64,
        /// Why.
        reason: Error,
    },
    /// The bytes in the blob's sink are complete and right: rename.
    BlobVerified {
        /// Which.
        blob: BlobId,
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// A registry wants credentials. **Answer** with `credentials`. Asked only when challenged, once for each registry
    /// and repository, and again only where those given were refused (`None` then means that there are no others).
    NeedCredentials {
        /// The question.
        id: CredentialsId,
        /// The registry, as the reference names it.
        registry: String,
        /// The repository for which they are needed: keys of credential files may name it.
        repository: Option<String>,
        /// The registry that the image's name says, where the user's rules send us to this one instead: credentials that
        /// were given for the image's registry are none for it.
        stands_for: Option<String>,
    },
    /// A token arrived: a host may keep it for the next process.
    TokenIssued {
        /// For which registry.
        registry: String,
        /// For what, space-separated.
        scope: String,
        /// It.
        token: Secret,
        /// How long it lives from now.
        expires_in: Duration,
    },
    /// A request is tried again after a pause.
    Retrying {
        /// Of which blob, if it is one's.
        blob: Option<BlobId>,
        /// Which host.
        host: String,
        /// The try that failed, from 1.
        attempt: u32,
        /// How long it pauses.
        delay: Duration,
        /// What happened.
        reason: Error,
    },
    /// Something that is no failure and ought to be said.
    Warning {
        /// Whose.
        job: JobId,
        /// What.
        warning: Warning,
    },
    /// One page of a list.
    Listed {
        /// Whose.
        job: JobId,
        /// What.
        listed: Listed,
    },
    /// A job is over. Nothing follows about it.
    Finished(JobId, Result<Outcome, Error>),
}

/// How a blob came to a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Placed {
    /// It was there.
    Present,
    /// The registry took it from another of its repositories.
    Mounted,
    /// It was sent.
    Sent,
}

/// A page of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Tags or repositories, in the registry's order.
    pub names: Vec<String>,
}

/// Something that is no failure and ought to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The registry spoke plain http.
    PlainHttp {
        /// Which.
        registry: String,
    },
    /// A document is of another type than its `Content-Type` or its descriptor says (and that does no harm).
    MediaTypeMismatch {
        /// The document.
        digest: Digest,
        /// What was said of it.
        said: String,
        /// What it is.
        found: String,
    },
    /// The reference names one image, and it is for another platform than the one asked for.
    PlatformMismatch {
        /// What was asked for.
        wanted: Platform,
        /// What it is for.
        found: Platform,
    },
    /// A layer that may not be distributed was left out.
    ForeignLayerSkipped {
        /// Which.
        digest: Digest,
    },
    /// A mirror did not give what was asked for, and the next place is asked.
    MirrorPassedOver {
        /// Where, `host/repository`.
        mirror: String,
        /// Why.
        reason: String,
    },
    /// A `Warning` header of the registry (distribution-spec, Warnings).
    Registry {
        /// Which.
        registry: String,
        /// Its text, cleaned.
        text: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::PlainHttp { registry } => {
                write!(f, "{registry} is spoken to by plain http: others on the way can read and change it")
            }
            Warning::MediaTypeMismatch { digest, said, found } => {
                write!(f, "{digest} is said to be `{said}` and is `{found}`")
            }
            Warning::PlatformMismatch { wanted, found } => {
                write!(f, "the name stands for one image only, and it is for {found}, not {wanted}")
            }
            Warning::ForeignLayerSkipped { digest } => {
                write!(f, "the layer {digest} may not be distributed, and was left out")
            }
            Warning::MirrorPassedOver { mirror, reason } => {
                write!(f, "the mirror {mirror} is passed over: {reason}")
            }
            Warning::Registry { registry, text } => write!(f, "{registry} says: {text}"),
        }
    }
}

/// What a job came to.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // An event is moved once or twice and never kept.
#[non_exhaustive]
pub enum Outcome {
    /// Of a pull.
    Pulled(Pulled),
    /// Of a list: the number of names.
    Listed {
        /// How many.
        names: u64,
    },
    /// Of a push or a copy.
    Pushed(Pushed),
    /// Of a deletion.
    Deleted,
    /// Of the question who refers to something: the manifests that do, as their list has them.
    Referrers(Vec<Descriptor>),
    /// Of a check of credentials.
    Checked {
        /// Whether the registry took credentials (it may want none).
        authenticated: bool,
    },
}

/// What a push or copy came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pushed {
    /// The document that was pushed.
    pub top: Descriptor,
    /// The tags that name it now.
    pub tags: Vec<String>,
    /// Blobs that were sent.
    pub sent: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
    /// Blobs that the registry took from another repository.
    pub mounted: u64,
    /// Blobs and documents that were there.
    pub present: u64,
}

/// What a pull came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulled {
    /// The document that the reference names.
    pub top: Descriptor,
    /// The manifests taken, each with what hangs below it.
    pub images: Vec<PulledImage>,
    /// Bytes of payload that came over the network.
    pub received: u64,
}

/// One image of a pull.
#[derive(Clone, Debug, PartialEq)]
pub struct PulledImage {
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its platform, where an index says it.
    pub platform: Option<Platform>,
    /// Its config. `None` for schema 1, whose config is within the manifest.
    pub config: Option<Descriptor>,
    /// Its layers, bottom first. Schema 1 gives no sizes: they are 0 until fetched.
    pub layers: Vec<Descriptor>,
}

/// How far a blob has come; asked for, never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that the sink has.
    pub position: u64,
    /// Bytes of the whole, where that is known.
    pub size: Option<u64>,
    /// Whether all bytes are there and the digest is awaited.
    pub verifying: bool,
}
