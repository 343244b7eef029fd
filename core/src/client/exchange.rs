//! One exchange: a request that is to be answered in the end, over as many HTTP rounds as that takes.
//!
//! Challenge and token, redirects, pauses and resumption are conducted here and in [`super::conduct`]; whoever wants
//! the answer (a blob, a job, the token store) sees the success or one error.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::hosts::Class;
use super::manage::Manage;
use super::push::Errand;
use super::queue::Lane;
use super::request::RequestBody;
use super::{BlobId, CredentialsId, ExchangeId, JobId};
use crate::digest::Digest;
use crate::http::{ByteRange, Head, HeaderList, Headers, Method, Scope, Url};
use crate::media_type::MediaType;
use crate::registries::Endpoint;
use crate::time::Millis;

/// Names an exchange inside the machine; its rounds have [`ExchangeId`]s of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) u64);

/// Names a request for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TokenId(pub(super) u64);

/// Who wants the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Token(TokenId),
    Blob(BlobId),
    /// What a reference names.
    Top(JobId),
    List(JobId),
    Check(Manage, JobId),
    /// A part of a push.
    Push(Manage, JobId, Errand),
    /// Something that is to be deleted.
    Delete(Manage, JobId),
    /// Who refers to something.
    Referrers(Manage, JobId),
}

/// Where the request goes first.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Path and query at the registry.
    Registry(String),
    /// A place that the registry or an image named.
    Named(Url),
}

/// The order in which exchanges start: by class, then the older job, then the larger blob (the longest transfer decides
/// when the last one ends), then as they came.
pub(super) type Priority = (Class, u64, u64, Key);

#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) owner: Owner,
    /// Whose credentials and rules apply.
    pub(super) registry: String,
    /// The repository, for credentials that are kept by it.
    pub(super) repository: Option<String>,
    pub(super) target: Target,
    pub(super) method: Method,
    pub(super) headers: HeaderList,
    pub(super) body: RequestBody,
    /// What a token must be good for; a challenge may add to it.
    pub(super) scopes: Vec<Scope>,
    pub(super) class: Class,
    /// The job that came first, and the size, for the [`Priority`].
    pub(super) rank: (u64, u64),
    /// What is looked for, as `not_found` says it.
    pub(super) what: String,
    pub(super) state: State,
    /// Where redirects led, the last one current. Empty at the target itself.
    pub(super) trail: Vec<Url>,
    /// Failures in a row without progress.
    pub(super) failures: u32,
    /// Payload since the failures were last forgiven.
    pub(super) gained: u64,
    /// How many tokens had been issued when the registry last answered 401.
    pub(super) refused_at: Option<u64>,
    /// Answers of 401 since the last success.
    pub(super) refusals: u32,
    /// Whether a refusal of a fresh token has been forgiven, as it asked for more than the token was good for.
    pub(super) is_widened: bool,
    /// Refusals by a place that it was redirected to, since the last success.
    pub(super) expired: u32,
    /// Whether credentials went into what was sent last.
    pub(super) with_credentials: bool,
    /// Whether another place is asked if this one fails.
    pub(super) is_mirror: bool,
    /// The registry that the image's name says, where another one stands for it.
    pub(super) stands_for: Option<String>,
    /// Whether the user's rules call insecure what is asked for: any certificate will do, and plain http.
    pub(super) is_lax: bool,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // Nearly every exchange has a round for most of its life.
pub(super) enum State {
    /// Its owner decides when it goes on.
    Parked,
    Queued(Lane),
    Paused(Millis),
    /// It waits for a token or for credentials.
    Locked(Lock),
    Round(Round),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    Token(TokenId),
    Credentials(CredentialsId),
    /// The first bytes of a blob that is to go on.
    Fetch(BlobId),
}

/// One request on the wire.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) id: ExchangeId,
    pub(super) url: Url,
    pub(super) phase: Phase,
    pub(super) sent: Sent,
    pub(super) range: Option<Asked>,
    /// When something was last heard.
    pub(super) heard: Millis,
    pub(super) reading: bool,
}

/// Which range was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Closed(ByteRange),
    From(u64),
}

impl Asked {
    pub(super) fn first(self) -> u64 {
        match self {
            Asked::Closed(range) => range.first,
            Asked::From(first) => first,
        }
    }
}

impl core::fmt::Display for Asked {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Asked::Closed(range) => range.fmt(f),
            Asked::From(first) => write!(f, "bytes={first}-"),
        }
    }
}

/// What authorization a request carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Nothing,
    /// A token of ours, by its serial number; `fresh` if it was issued a moment before.
    Token {
        serial: u64,
        fresh: bool,
    },
    /// Credentials as they are, by the serial number of their answer.
    Credentials(u64),
}

#[derive(Debug)]
pub(super) enum Phase {
    /// The head is awaited.
    Head,
    /// A document is read.
    Document { bytes: Vec<u8>, cap: u64, limit: &'static str, about: About },
    /// An error body is read.
    Refusal { bytes: Vec<u8>, status: u16, fields: Vec<(String, Vec<u8>)> },
    /// Payload goes to a sink. `whole` is where the body ends if the response says so.
    Blob { end: Option<u64> },
}

/// What the head said of a document.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) content_type: Option<String>,
    pub(super) digest: Option<Digest>,
    pub(super) next: Option<Url>,
    /// How long the body is, where nothing decodes it on its way to us.
    pub(super) length: Option<u64>,
}

impl Exchange {
    pub(super) fn new(owner: Owner, registry: &str, target: Target, class: Class) -> Exchange {
        Exchange {
            owner,
            registry: registry.to_string(),
            repository: None,
            target,
            method: Method::Get,
            headers: HeaderList::new(),
            body: RequestBody::Empty,
            scopes: Vec::new(),
            class,
            rank: (0, 0),
            what: String::new(),
            state: State::Parked,
            trail: Vec::new(),
            failures: 0,
            gained: 0,
            refused_at: None,
            refusals: 0,
            is_widened: false,
            expired: 0,
            with_credentials: false,
            is_mirror: false,
            stands_for: None,
            is_lax: false,
        }
    }

    /// The same, sent to a place that the user's rules name.
    pub(super) fn at(mut self, endpoint: &Endpoint) -> Exchange {
        if let (true, Some(host), Target::Registry(target)) =
            (endpoint.ns, &endpoint.stands_for, &mut self.target)
        {
            target.push_str("?ns=");
            target.push_str(host);
        }
        self.is_mirror = endpoint.is_mirror;
        self.stands_for = endpoint.stands_for.clone();
        self.is_lax = endpoint.insecure;
        self
    }

    /// A request for a manifest by its tag or digest.
    pub(super) fn manifest(
        owner: Owner,
        registry: &str,
        repository: &str,
        reference: &str,
        accept: &[MediaType],
    ) -> Exchange {
        let target = Target::Registry(format!("/v2/{repository}/manifests/{reference}"));
        let mut exchange = Exchange::new(owner, registry, target, Class::Document);
        // In one field: some registries read the first one only.
        let mut list = String::new();
        for accepted in accept {
            if !list.is_empty() {
                list.push_str(", ");
            }
            list.push_str(accepted.as_str());
        }
        exchange.headers.set("accept", list);
        exchange.what = format!("manifest `{reference}` of `{repository}`");
        exchange.scopes.push(Scope::repository(repository, ["pull"]));
        exchange.repository = Some(repository.to_string());
        exchange
    }

    pub(super) fn priority(&self, key: Key) -> Priority {
        (self.class, self.rank.0, u64::MAX - self.rank.1, key)
    }

    pub(super) fn round(&self) -> Option<&Round> {
        match &self.state {
            State::Round(round) => Some(round),
            _ => None,
        }
    }

    pub(super) fn round_mut(&mut self) -> Option<&mut Round> {
        match &mut self.state {
            State::Round(round) => Some(round),
            _ => None,
        }
    }

    /// `len` bytes of payload came: the budget is full again after enough of them.
    pub(super) fn gain(&mut self, len: u64, enough: u64) {
        self.gained = self.gained.saturating_add(len);
        if self.gained >= enough {
            self.gained = 0;
            self.failures = 0;
        }
    }

    /// The registry, or who it sent us to, gave what was asked for.
    pub(super) fn succeed(&mut self) {
        self.refused_at = None;
        self.refusals = 0;
        self.is_widened = false;
        self.expired = 0;
    }
}

/// The fields of a refusal that its classification reads, kept until its body is there.
pub(super) fn kept_fields(head: &Head<'_>) -> Vec<(String, Vec<u8>)> {
    const KEPT: &[&str] = &["content-type", "date", "www-authenticate"];
    const MOST: usize = 4096;
    head.headers
        .iter()
        .filter(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let is_kept =
                KEPT.contains(&name.as_str()) || name.contains("ratelimit") || name.contains("retry-after");
            is_kept && value.len() <= MOST
        })
        .take(32)
        .map(|(name, value)| (name.to_string(), value.to_vec()))
        .collect()
}

/// Runs `read` on fields that were kept.
pub(super) fn with_fields<T>(fields: &[(String, Vec<u8>)], read: impl FnOnce(&Headers<'_>) -> T) -> T {
    let borrowed: Vec<(&str, &[u8])> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    read(&Headers::new(&borrowed))
}
