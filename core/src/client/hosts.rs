//! The hosts that are spoken to: which scheme a registry takes, how many rounds each host has under way, and until when
//! one that asked for patience is left alone.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use super::{Config, Tls, Transport};
use crate::error::Result;
use crate::http::{HostKind, Origin, Scheme, Url};
use crate::reference::Reference;
use crate::time::Millis;

/// What goes first: small things never wait behind large ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Something that others wait for.
    Token,
    /// Manifests, configs, lists.
    Document,
    /// Payload.
    Blob,
}

/// How one registry is reached.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    authority: String,
    pub(super) scheme: Scheme,
    tls: Tls,
    /// Plain http may be tried where TLS is not spoken.
    may_fall_back: bool,
    /// It has answered by this scheme.
    settled: bool,
}

impl Endpoint {
    fn new(registry: &str, transport: Transport) -> Result<Endpoint> {
        let reference = Reference::new(registry, "library/any")?;
        let authority = reference.api_host().to_string();
        let probe = Url::parse(&format!("https://{authority}/"))?;
        let is_loopback = probe.host_kind() == HostKind::Loopback;
        let transport = match transport {
            Transport::Auto if is_loopback => Transport::Insecure,
            Transport::Auto => Transport::Https,
            other => other,
        };
        let (scheme, tls, may_fall_back) = match transport {
            Transport::Auto | Transport::Https => (Scheme::Https, Tls::Verify, false),
            Transport::Insecure => (Scheme::Https, Tls::AcceptAny, true),
            Transport::Http => (Scheme::Http, Tls::Verify, false),
        };
        Ok(Endpoint { authority, scheme, tls, may_fall_back, settled: false })
    }

    /// The URL of a request target (path and query) at this registry.
    pub(super) fn url(&self, target: &str) -> Result<Url> {
        Url::parse(&format!("{}://{}{target}", self.scheme, self.authority))
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.url("/").is_ok_and(|url| url.host_kind() == HostKind::Loopback)
    }
}

#[derive(Clone, Debug, Default)]
struct Health {
    rounds: u32,
    blobs: u32,
    slow_until: Millis,
    answered: bool,
}

/// Every host and registry of one client.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    endpoints: BTreeMap<String, Endpoint>,
    health: BTreeMap<Origin, Health>,
    rounds: u32,
    blobs: u32,
    /// A place came free.
    is_news: bool,
}

impl Hosts {
    /// Whether a place came free since this was asked last.
    pub(super) fn take_news(&mut self) -> bool {
        core::mem::take(&mut self.is_news)
    }

    /// How this registry is reached.
    pub(super) fn endpoint(&mut self, registry: &str, config: &Config) -> Result<&mut Endpoint> {
        if !self.endpoints.contains_key(registry) {
            let settings = config.registries.get(registry).unwrap_or(&config.default_registry);
            let endpoint = Endpoint::new(registry, settings.transport)?;
            self.endpoints.insert(registry.to_string(), endpoint);
        }
        // The entry is there: the default is never made.
        Ok(self.endpoints.entry(registry.to_string()).or_insert_with(|| Endpoint {
            authority: registry.to_string(),
            scheme: Scheme::Https,
            tls: Tls::Verify,
            may_fall_back: false,
            settled: false,
        }))
    }

    /// The registry answered by `scheme`, or a later request to it would. Says whether that is news.
    pub(super) fn answered(&mut self, registry: &str, origin: &Origin) -> bool {
        let Some(endpoint) = self.endpoints.get_mut(registry) else { return false };
        let is_news = !endpoint.settled && endpoint.scheme == origin.scheme();
        if is_news {
            endpoint.settled = true;
        }
        is_news
    }

    /// A request by `scheme` met nobody who speaks it: whether another is to be sent by the scheme that is now set.
    pub(super) fn fall_back(&mut self, registry: &str, scheme: Scheme) -> bool {
        let Some(endpoint) = self.endpoints.get_mut(registry) else { return false };
        if endpoint.scheme != scheme {
            return true;
        }
        if endpoint.may_fall_back && !endpoint.settled && scheme == Scheme::Https {
            endpoint.scheme = Scheme::Http;
            return true;
        }
        false
    }

    /// How far certificates are checked at this origin: only on an insecure registry's own host are they not (its token
    /// server or blob store beside it is as insecure).
    pub(super) fn tls(&self, registry: &str, origin: &Origin) -> Tls {
        match self.endpoints.get(registry) {
            Some(endpoint) if endpoint.url("/").is_ok_and(|url| url.host() == origin.host()) => endpoint.tls,
            _ => Tls::Verify,
        }
    }

    /// Whether a request of this class may start at this origin now.
    pub(super) fn may_start(&self, origin: &Origin, class: Class, now: Millis, config: &Config) -> bool {
        let (rounds, blobs, slow_until) =
            self.health.get(origin).map_or_else(Default::default, |h| (h.rounds, h.blobs, h.slow_until));
        if slow_until > now {
            return false;
        }
        let all = config.host.max_parallel.max(1);
        let per_host = config.parallel.per_host.max(1);
        match class {
            Class::Token => self.rounds < all,
            Class::Document => self.rounds < all && rounds < per_host,
            // Blobs leave a place free for what is small, where there is more than one.
            Class::Blob => {
                !self.blobs_are_full(config) && rounds < per_host && blobs < per_host.saturating_sub(1).max(1)
            }
        }
    }

    /// Whether nothing may start anywhere.
    pub(super) fn is_full(&self, config: &Config) -> bool {
        self.rounds >= config.host.max_parallel.max(1)
    }

    /// Whether no further blob may start anywhere.
    pub(super) fn blobs_are_full(&self, config: &Config) -> bool {
        self.blobs >= config.parallel.blobs.max(1)
            || self.rounds >= config.host.max_parallel.saturating_sub(1).max(1)
    }

    /// The next moment after `now` at which a host that asked for patience may be asked again.
    pub(super) fn next_patience(&self, now: Millis) -> Option<Millis> {
        self.health.values().map(|health| health.slow_until).filter(|until| *until > now).min()
    }

    pub(super) fn started(&mut self, origin: &Origin, class: Class) {
        let health = self.health.entry(origin.clone()).or_default();
        health.rounds += 1;
        self.rounds += 1;
        if class == Class::Blob {
            health.blobs += 1;
            self.blobs += 1;
        }
    }

    pub(super) fn ended(&mut self, origin: &Origin, class: Class) {
        self.is_news = true;
        let health = self.health.entry(origin.clone()).or_default();
        health.rounds = health.rounds.saturating_sub(1);
        self.rounds = self.rounds.saturating_sub(1);
        if class == Class::Blob {
            health.blobs = health.blobs.saturating_sub(1);
            self.blobs = self.blobs.saturating_sub(1);
        }
    }

    /// A response came from there.
    pub(super) fn reached(&mut self, origin: &Origin) {
        self.health.entry(origin.clone()).or_default().answered = true;
    }

    /// Whether a response ever came from there.
    pub(super) fn was_reached(&self, origin: &Origin) -> bool {
        self.health.get(origin).is_some_and(|health| health.answered)
    }

    /// Nothing is to start there before this moment.
    pub(super) fn slow(&mut self, origin: &Origin, until: Millis) {
        let health = self.health.entry(origin.clone()).or_default();
        health.slow_until = health.slow_until.max(until);
    }
}
