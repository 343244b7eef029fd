//! The hosts that are spoken to: which scheme a registry takes, how many rounds each host has under way, and until when
//! one that asked for patience is left alone.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use super::{Config, RegistrySettings, Tls, Transport};
use crate::error::Result;
use crate::http::{HostKind, Origin, Scheme, Url};
use crate::map::{Map, Set};
use crate::reference::Reference;
use crate::registries;
use crate::time::Millis;

/// What goes first: small things never wait behind large ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Something that others wait for.
    Token,
    /// Manifests, configs, lists.
    Document,
    /// Payload that goes on to another registry while it comes: whoever fetches it may be waiting for that, so that it takes
    /// no place of those that fetch.
    Relay,
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

/// How much one host is asked for at once, of one kind: all that the settings allow, until it says that it is too much.
/// Then half of what was under way, and with each success a little more (additive increase, multiplicative decrease).
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// In 256ths; `None` where nothing was too much yet.
    most: Option<u32>,
    /// When it was halved last.
    halved: Option<Millis>,
}

/// One request in a [`Window`].
const ONE: u32 = 256;
/// A window is halved once in this time: what was under way when a host had enough gets the same answer.
const SAME_TROUBLE: Duration = Duration::from_secs(1);

impl Window {
    fn has_room(self, under_way: u32) -> bool {
        self.most.is_none_or(|most| under_way < (most / ONE).max(1))
    }

    fn halve(&mut self, under_way: u32, now: Millis) {
        if self.halved.is_some_and(|halved| now.since(halved) < SAME_TROUBLE) {
            return;
        }
        self.halved = Some(now);
        let was = self.most.unwrap_or(u32::MAX).min(under_way.saturating_mul(ONE));
        self.most = Some((was / 2).max(ONE));
    }

    fn widen(&mut self, cap: u32) {
        let Some(most) = self.most else { return };
        let most = most.saturating_add((ONE * ONE).checked_div(most).unwrap_or(ONE).max(1));
        self.most = Some(most).filter(|most| *most < cap.saturating_mul(ONE));
    }
}

#[derive(Clone, Debug, Default)]
struct Health {
    rounds: u32,
    blobs: u32,
    for_documents: Window,
    for_blobs: Window,
    slow_until: Millis,
    answered: bool,
}

/// Every host and registry of one client.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// By registry, and whether the user's rules call insecure what is asked for there.
    endpoints: Map<(String, bool), Endpoint>,
    health: Map<Origin, Health>,
    rounds: u32,
    blobs: u32,
    /// A place came free.
    is_news: bool,
    /// Registries that stand for others: what is set for the registry that the user named is not for them.
    stand_ins: Set<String>,
    /// Mirrors that nobody answers at.
    dead: Set<String>,
}

impl Hosts {
    /// Whether a place came free since this was asked last.
    pub(super) fn take_news(&mut self) -> bool {
        core::mem::take(&mut self.is_news)
    }

    /// How this registry is reached, for what the user's rules call insecure or do not.
    pub(super) fn endpoint(
        &mut self,
        registry: &str,
        is_lax: bool,
        config: &Config,
    ) -> Result<&mut Endpoint> {
        let key = (registry.to_string(), is_lax);
        if !self.endpoints.contains_key(&key) {
            let plain = RegistrySettings::default();
            let default = if self.stand_ins.contains(registry) { &plain } else { &config.default_registry };
            let transport = match config.registries.get(registry).unwrap_or(default).transport {
                Transport::Auto if is_lax => Transport::Insecure,
                transport => transport,
            };
            let endpoint = Endpoint::new(registry, transport)?;
            self.endpoints.insert(key.clone(), endpoint);
        }
        // The entry is there: the default is never made.
        Ok(self.endpoints.entry(key).or_insert_with(|| Endpoint {
            authority: registry.to_string(),
            scheme: Scheme::Https,
            tls: Tls::Verify,
            may_fall_back: false,
            settled: false,
        }))
    }

    /// Takes in where the rules say that an image is to be had.
    pub(super) fn note(&mut self, endpoints: &[registries::Endpoint]) {
        for endpoint in endpoints {
            let is_known = self.endpoints.keys().any(|(registry, _)| *registry == endpoint.registry);
            if endpoint.stands_for.is_some() && !is_known {
                self.stand_ins.insert(endpoint.registry.clone());
            }
        }
    }

    /// Nobody answers at this mirror.
    pub(super) fn bury(&mut self, registry: &str) {
        self.dead.insert(registry.to_string());
    }

    /// Whether nobody answers at this mirror.
    pub(super) fn is_dead(&self, registry: &str) -> bool {
        self.dead.contains(registry)
    }

    /// A host says, or shows, that so much of one kind is too much for it.
    pub(super) fn too_much(&mut self, origin: &Origin, class: Class, now: Millis) {
        let health = self.health.entry(origin.clone()).or_default();
        match class {
            Class::Token => {}
            Class::Document => health.for_documents.halve(health.rounds.saturating_sub(health.blobs), now),
            Class::Blob | Class::Relay => health.for_blobs.halve(health.blobs, now),
        }
    }

    /// A host gave what was asked for.
    pub(super) fn went_well(&mut self, origin: &Origin, class: Class, config: &Config) {
        let Some(health) = self.health.get_mut(origin) else { return };
        match class {
            Class::Token => {}
            Class::Document => health.for_documents.widen(config.parallel.per_host),
            Class::Blob | Class::Relay => health.for_blobs.widen(config.parallel.per_host),
        }
    }

    /// The registry answered by `scheme`, or a later request to it would. Says whether that is news.
    pub(super) fn answered(&mut self, registry: &str, is_lax: bool, origin: &Origin) -> bool {
        let Some(endpoint) = self.endpoints.get_mut(&(registry.to_string(), is_lax)) else { return false };
        let is_news = !endpoint.settled && endpoint.scheme == origin.scheme();
        if is_news {
            endpoint.settled = true;
        }
        is_news
    }

    /// A request by `scheme` met nobody who speaks it: whether another is to be sent by the scheme that is now set.
    pub(super) fn fall_back(&mut self, registry: &str, is_lax: bool, scheme: Scheme) -> bool {
        let Some(endpoint) = self.endpoints.get_mut(&(registry.to_string(), is_lax)) else { return false };
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
    pub(super) fn tls(&self, registry: &str, is_lax: bool, origin: &Origin) -> Tls {
        match self.endpoints.get(&(registry.to_string(), is_lax)) {
            Some(endpoint) if endpoint.url("/").is_ok_and(|url| url.host() == origin.host()) => endpoint.tls,
            _ => Tls::Verify,
        }
    }

    /// Whether a request of this class may start at this origin now.
    pub(super) fn may_start(&self, origin: &Origin, class: Class, now: Millis, config: &Config) -> bool {
        let fresh = Health::default();
        let health = self.health.get(origin).unwrap_or(&fresh);
        let (rounds, blobs) = (health.rounds, health.blobs);
        if health.slow_until > now {
            return false;
        }
        let all = config.host.max_parallel.max(1);
        let per_host = config.parallel.per_host.max(1);
        match class {
            Class::Token => self.rounds < all,
            Class::Document => {
                let is_fair = health.for_documents.has_room(rounds.saturating_sub(blobs));
                self.rounds < all && rounds < per_host && is_fair
            }
            // There are as many as are fetched for them, and each comes to its end: no more holds them up.
            Class::Relay => self.rounds < all,
            // Blobs leave a place free for what is small, where there is more than one.
            Class::Blob => {
                let most = per_host.saturating_sub(1).max(1);
                let is_fair = blobs < most && health.for_blobs.has_room(blobs);
                !self.blobs_are_full(config) && rounds < per_host && is_fair
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
        if matches!(class, Class::Blob | Class::Relay) {
            health.blobs += 1;
        }
        if class == Class::Blob {
            self.blobs += 1;
        }
    }

    pub(super) fn ended(&mut self, origin: &Origin, class: Class) {
        self.is_news = true;
        let health = self.health.entry(origin.clone()).or_default();
        health.rounds = health.rounds.saturating_sub(1);
        self.rounds = self.rounds.saturating_sub(1);
        if matches!(class, Class::Blob | Class::Relay) {
            health.blobs = health.blobs.saturating_sub(1);
        }
        if class == Class::Blob {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_has_enough_gets_half_and_slowly_more() {
        let config = Config::default();
        let url = Url::parse("https://a.io/").unwrap();
        let origin = url.origin();
        let mut hosts = Hosts::default();
        let mut now = Millis(0);
        let room = |hosts: &mut Hosts, class, now| {
            let mut started = 0;
            while hosts.may_start(origin, class, now, &config) {
                hosts.started(origin, class);
                started += 1;
            }
            (0..started).for_each(|_| hosts.ended(origin, class));
            started
        };
        assert_eq!(room(&mut hosts, Class::Blob, now), 6);
        // Six answers of one moment are one trouble.
        (0..6).for_each(|_| hosts.started(origin, Class::Blob));
        for _ in 0..6 {
            hosts.too_much(origin, Class::Blob, now);
            hosts.ended(origin, Class::Blob);
        }
        assert_eq!(room(&mut hosts, Class::Blob, now), 3);
        assert_eq!(room(&mut hosts, Class::Document, now), 8, "the other kind goes on as before");
        for _ in 0..5 {
            now = Millis(now.0 + 2000);
            hosts.too_much(origin, Class::Blob, now);
        }
        assert_eq!(room(&mut hosts, Class::Blob, now), 1, "never none");
        hosts.went_well(origin, Class::Blob, &config);
        assert_eq!(room(&mut hosts, Class::Blob, now), 2);
        (0..60).for_each(|_| hosts.went_well(origin, Class::Blob, &config));
        assert_eq!(room(&mut hosts, Class::Blob, now), 6);
        let other = Url::parse("https://b.io/").unwrap();
        assert!(hosts.may_start(other.origin(), Class::Blob, now, &config));
    }
}
