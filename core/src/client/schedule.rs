//! What starts when: the queue of exchanges, their pauses, and the moment to wait for.

use alloc::format;
use alloc::string::{String, ToString};

use super::auth::{Authorization, Credentials, Pending, TOKEN_USER};
use super::event::{Event, Output};
use super::exchange::{Asked, Exchange, Key, Lock, Owner, Phase, Round, Sent, State, Target, TokenId};
use super::hosts::Class;
use super::machine::Client;
use super::queue::Lane;
use super::request::{Reach, Request, RequestBody};
use super::{CredentialsId, ExchangeId};
use crate::error::{Error, ErrorKind, Result};
use crate::http::{FORM_MEDIA_TYPE, HostKind, Method, Scheme, TokenRequest, Url, basic_auth};
use crate::map::Set;
use crate::time::Millis;

/// How we introduce ourselves to token servers.
const CLIENT_ID: &str = "wharfie";

/// What came of the wish to start an exchange.
enum Started {
    /// It is on the wire, or waits for something that will wake it.
    Left,
    /// There is no room for it now.
    Stays,
}

impl Client {
    /// Keeps an exchange and puts it into the queue.
    pub(super) fn launch(&mut self, mut exchange: Exchange) -> Key {
        if !exchange.is_mirror && exchange.stands_for.is_none() {
            let repository = exchange.repository.as_deref().unwrap_or_default();
            exchange.is_lax |= self.config.sources.is_insecure(&exchange.registry, repository);
        }
        let key = Key(self.next_key);
        self.next_key += 1;
        self.exchanges.insert(key, exchange);
        self.enqueue(key);
        key
    }

    pub(super) fn enqueue(&mut self, key: Key) {
        self.park(key);
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            let lane = Lane::of(exchange);
            exchange.state = State::Queued(lane.clone());
            self.queue.insert(lane, exchange.priority(key));
        }
    }

    pub(super) fn pause(&mut self, key: Key, until: Millis) {
        self.park(key);
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            exchange.state = State::Paused(until);
            self.paused.insert((until, key));
        }
    }

    pub(super) fn lock(&mut self, key: Key, lock: Lock) {
        self.park(key);
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            exchange.state = State::Locked(lock);
        }
    }

    /// Takes an exchange out of wherever it waits, and its round off the books (the round itself is not aborted).
    pub(super) fn park(&mut self, key: Key) {
        let Some(exchange) = self.exchanges.get_mut(&key) else { return };
        let priority = exchange.priority(key);
        match core::mem::replace(&mut exchange.state, State::Parked) {
            State::Parked | State::Locked(_) => {}
            State::Queued(lane) => self.queue.remove(&lane, &priority),
            State::Paused(until) => {
                self.paused.remove(&(until, key));
            }
            State::Round(round) => {
                self.rounds.remove(&round.id);
                self.hosts.ended(round.url.origin(), exchange.class);
            }
        }
    }

    /// Forgets an exchange; a round that it has is aborted.
    pub(super) fn drop_exchange(&mut self, key: Key) {
        if let Some(round) = self.exchanges.get(&key).and_then(Exchange::round) {
            let id = round.id;
            self.outputs.push_back(Output::Abort { id });
        }
        self.park(key);
        self.exchanges.remove(&key);
    }

    /// Wakes those that wait for this.
    pub(super) fn unlock(&mut self, lock: Lock) {
        let waiting = self.locked(lock);
        for key in waiting {
            self.enqueue(key);
        }
    }

    /// Those that wait for this.
    pub(super) fn locked(&self, lock: Lock) -> alloc::vec::Vec<Key> {
        let is_locked =
            |exchange: &Exchange| matches!(&exchange.state, State::Locked(other) if *other == lock);
        self.exchanges.iter().filter(|(_, exchange)| is_locked(exchange)).map(|(key, _)| *key).collect()
    }

    /// Starts what can start. The end of every call that changes anything.
    pub(super) fn pump(&mut self) {
        while let Some((job, id, digest, content, size)) = self.embedded.pop_front() {
            self.got(job, id, digest, Some(&content), size);
        }
        while let Some((until, key)) = self.paused.first().copied() {
            if until > self.now {
                break;
            }
            self.enqueue(key);
        }
        // Places that come free on the way, by a job that ends or a token that nobody wants any more, are for those who
        // were passed over.
        loop {
            self.hosts.take_news();
            self.start_all();
            self.drop_orphans();
            if !self.hosts.take_news() {
                break;
            }
        }
    }

    fn start_all(&mut self) {
        // Within one lane whatever holds up one holds up all of its class and of those behind.
        let mut held_up: Set<Lane> = Set::new();
        while !self.hosts.is_full(&self.config) {
            let Some((lane, priority)) = self.queue.first(&held_up) else { break };
            if priority.0 == Class::Blob && self.hosts.blobs_are_full(&self.config) {
                break;
            }
            let (lane, key) = (lane.clone(), priority.3);
            #[cfg(test)]
            {
                self.tries += 1;
            }
            match self.start(key) {
                Ok(Started::Left) => {}
                Ok(Started::Stays) => {
                    held_up.insert(lane);
                }
                Err(error) => self.exchange_failed(key, error),
            }
        }
    }

    /// Requests for tokens that nobody waits for any more.
    fn drop_orphans(&mut self) {
        if self.auth.pending.is_empty() {
            return;
        }
        let is_wanted = |id: &TokenId| {
            self.exchanges
                .values()
                .any(|exchange| matches!(&exchange.state, State::Locked(Lock::Token(wanted)) if wanted == id))
        };
        let orphans: alloc::vec::Vec<TokenId> =
            self.auth.pending.keys().filter(|id| !is_wanted(id)).copied().collect();
        for id in orphans {
            if let Some(pending) = self.auth.pending.remove(&id) {
                self.drop_exchange(pending.exchange);
            }
        }
    }

    /// The earliest moment at which something is due.
    pub(super) fn deadline(&self) -> Option<Millis> {
        let pauses = self.paused.first().map(|(until, _)| *until);
        let rounds = self.rounds.values().filter_map(|key| self.round_deadline(*key)).min();
        let patience = if self.queue.is_empty() { None } else { self.hosts.next_patience(self.now) };
        [pauses, rounds, patience].into_iter().flatten().min()
    }

    /// When the round of this exchange is given up.
    pub(super) fn round_deadline(&self, key: Key) -> Option<Millis> {
        let round = self.exchanges.get(&key)?.round()?;
        match &round.phase {
            Phase::Head => {
                let timeouts = &self.config.timeouts;
                let is_mirror = self.exchanges.get(&key).is_some_and(|exchange| exchange.is_mirror);
                let is_new = is_mirror && !self.hosts.was_reached(round.url.origin());
                let most = if is_new { timeouts.head.min(timeouts.mirror) } else { timeouts.head };
                Some(round.heard + most)
            }
            _ if round.reading => Some(round.heard + self.config.timeouts.stall),
            _ => None,
        }
    }

    /// Where the exchange goes now.
    pub(super) fn current_url(&mut self, key: Key) -> Result<Url> {
        let Some(exchange) = self.exchanges.get(&key) else { return Err(internal("an exchange is gone")) };
        if let Some(url) = exchange.trail.last() {
            return Ok(url.clone());
        }
        match &exchange.target {
            Target::Named(url) => Ok(url.clone()),
            Target::Registry(target) => {
                self.hosts.endpoint(&exchange.registry, exchange.is_lax, &self.config)?.url(target)
            }
        }
    }

    /// Puts one exchange on the wire if nothing is in its way.
    fn start(&mut self, key: Key) -> Result<Started> {
        let url = self.current_url(key)?;
        let Some(exchange) = self.exchanges.get(&key) else { return Ok(Started::Left) };
        let (class, owner) = (exchange.class, exchange.owner);
        if !self.hosts.may_start(url.origin(), class, self.now, &self.config) {
            return Ok(Started::Stays);
        }
        let (registry, is_lax) = (exchange.registry.clone(), exchange.is_lax);
        let home = self.hosts.endpoint(&registry, is_lax, &self.config)?.url("/")?;
        let is_at_home = url.origin() == home.origin();
        let Some(exchange) = self.exchanges.get(&key) else { return Ok(Started::Left) };
        let mut sent = Sent::Nothing;
        let mut headers = exchange.headers.clone();
        if is_at_home || exchange.trail.is_empty() && matches!(exchange.target, Target::Registry(_)) {
            self.config.sources.permits(&registry, exchange.repository.as_deref().unwrap_or_default())?;
        } else {
            self.config.sources.permits(&authority(&url), repository_of(&url))?;
        }
        if is_at_home && matches!(exchange.target, Target::Registry(_)) {
            let stands_for = exchange.stands_for.clone();
            let account = exchange.repository.clone().unwrap_or_default();
            let scopes = exchange.scopes.clone();
            match self.auth.authorize(&registry, &account, &scopes, self.now) {
                Authorization::Nothing => self.note_credentials(key, false),
                Authorization::Header(value, what, with_credentials) => {
                    headers.set("authorization", value.reveal());
                    sent = what;
                    self.note_credentials(key, with_credentials);
                }
                Authorization::Ask => {
                    let id = self.ask(&registry, &account, stands_for);
                    self.lock(key, Lock::Credentials(id));
                    return Ok(Started::Left);
                }
                Authorization::Fetch { realm, service, credentials } => {
                    if let Some(id) = self.auth.pending_for(&registry, &account, &scopes) {
                        self.lock(key, Lock::Token(id));
                        return Ok(Started::Left);
                    }
                    let rank = self.exchanges.get(&key).map_or((0, 0), |exchange| exchange.rank);
                    let wanted = Wanted { registry, account, scopes, rank, is_lax };
                    let (id, fetch) =
                        self.fetch_token(wanted, &realm, service.as_deref(), credentials.as_ref(), false);
                    self.lock(key, Lock::Token(id));
                    // It does not wait for its turn in this pass, which is behind it already.
                    if let Err(error) = self.start(fetch) {
                        self.exchange_failed(fetch, error);
                    }
                    return Ok(Started::Left);
                }
                Authorization::Refused(reason) => {
                    return Err(reason.unwrap_or_else(|| {
                        ErrorKind::Unauthorized {
                            reason: "the credentials were refused".to_string(),
                            detail: None,
                            with_credentials: true,
                        }
                        .into()
                    }));
                }
            }
        } else if matches!(owner, Owner::Token(_)) && !same_origin_as_target(self.exchanges.get(&key), &url) {
            headers.remove("authorization");
        }
        let range = match owner {
            Owner::Blob(blob) => self.range_of(blob),
            _ => None,
        };
        headers.set("user-agent", self.config.user_agent.clone());
        if !headers.has("accept") {
            headers.set("accept", "*/*");
        }
        headers.set("accept-encoding", "identity");
        if let Some(range) = range {
            headers.set("range", range.to_string());
        }
        let reach = reach(&home, &url);
        let tls = self.hosts.tls(&registry, is_lax, url.origin());
        self.park(key);
        let id = ExchangeId(self.next_exchange);
        let now = self.now;
        let Some(exchange) = self.exchanges.get_mut(&key) else { return Ok(Started::Left) };
        self.next_exchange += 1;
        let (method, body) = (exchange.method, exchange.body.clone());
        let phase = Phase::Head;
        exchange.state =
            State::Round(Round { id, url: url.clone(), phase, sent, range, heard: now, reading: true });
        self.rounds.insert(id, key);
        self.hosts.started(url.origin(), class);
        let request = Request { method, url, headers, body, reach, tls };
        self.outputs.push_back(Output::Start { id, request });
        Ok(Started::Left)
    }

    fn note_credentials(&mut self, key: Key, with_credentials: bool) {
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            exchange.with_credentials = with_credentials;
        }
    }

    /// The question for credentials, put once.
    fn ask(&mut self, registry: &str, account: &str, stands_for: Option<String>) -> CredentialsId {
        if let Some(id) = self.auth.question(registry, account) {
            return id;
        }
        let id = CredentialsId(self.next_question);
        self.next_question += 1;
        self.auth.asked(registry, account, id);
        let repository = Some(account.to_string()).filter(|account| !account.is_empty());
        self.event(Event::NeedCredentials { id, registry: registry.to_string(), repository, stands_for });
        id
    }

    /// Launches the request for a token. `no_form` forbids the `POST` of a refresh token.
    pub(super) fn fetch_token(
        &mut self,
        wanted: Wanted,
        realm: &Url,
        service: Option<&str>,
        credentials: Option<&Credentials>,
        no_form: bool,
    ) -> (TokenId, Key) {
        let id = TokenId(self.next_key);
        let request = TokenRequest::new(CLIENT_ID).service(service).scopes(&wanted.scopes);
        let mut exchange =
            Exchange::new(Owner::Token(id), &wanted.registry, Target::Named(realm.clone()), Class::Token);
        exchange.rank = wanted.rank;
        exchange.is_lax = wanted.is_lax;
        exchange.what = format!("the token server of {}", wanted.registry);
        exchange.headers.set("accept", "application/json");
        exchange.with_credentials = credentials.is_some();
        let mut is_form = false;
        match credentials {
            Some(Credentials::RefreshToken(secret)) if !no_form => {
                is_form = true;
                exchange.method = Method::Post;
                exchange.headers.set("content-type", FORM_MEDIA_TYPE);
                exchange.body = RequestBody::Bytes(request.refresh_form(secret).reveal().as_bytes().to_vec());
            }
            Some(Credentials::RefreshToken(secret)) => {
                exchange.headers.set("authorization", basic_auth(TOKEN_USER, secret).reveal());
                exchange.target = Target::Named(request.url(realm));
            }
            Some(Credentials::Basic { user, password }) => {
                exchange.headers.set("authorization", basic_auth(user, password).reveal());
                exchange.target = Target::Named(request.clone().account(user).url(realm));
            }
            Some(Credentials::Bearer(_)) | None => exchange.target = Target::Named(request.url(realm)),
        }
        let with_credentials = exchange.with_credentials;
        let key = self.launch(exchange);
        let Wanted { registry, account, scopes, .. } = wanted;
        let pending = Pending { registry, account, scopes, exchange: key, is_form, with_credentials };
        self.auth.pending.insert(id, pending);
        (id, key)
    }

    /// Whether a server may send us there.
    ///
    /// # Errors
    /// `forbidden_target`
    pub(super) fn allow(&mut self, registry: &str, from: &Url, to: &Url, whose: &str) -> Result<()> {
        let home = self.hosts.endpoint(registry, false, &self.config)?.url("/")?;
        let forbidden = |reason: String| {
            Err(Error::from(ErrorKind::ForbiddenTarget { target: to.origin().to_string(), reason }))
        };
        if from.scheme() == Scheme::Https && to.scheme() == Scheme::Http {
            return forbidden(format!("{whose} of {} leads from https to plain http", from.origin()));
        }
        if to.origin() == home.origin() {
            return Ok(());
        }
        let is_allowed = match to.host_kind() {
            HostKind::Loopback => home.host_kind() == HostKind::Loopback,
            HostKind::LinkLocal => home.host_kind() == HostKind::LinkLocal,
            HostKind::PrivateUse | HostKind::Other => true,
        };
        if is_allowed {
            return Ok(());
        }
        let place =
            if to.host_kind() == HostKind::Loopback { "this machine" } else { "a link-local address" };
        forbidden(format!("{whose} of {} leads to {place}", from.origin()))
    }

    /// Which range of a blob is asked for next.
    fn range_of(&self, blob: super::BlobId) -> Option<Asked> {
        self.blobs.get(&blob).and_then(super::blob::Blob::range)
    }
}

/// For whom a token is fetched, and what it must be good for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) registry: String,
    pub(super) account: String,
    pub(super) scopes: alloc::vec::Vec<crate::http::Scope>,
    pub(super) rank: (u64, u64),
    /// See [`Exchange::is_lax`].
    pub(super) is_lax: bool,
}

/// `host` or `host:port`, as rules and references name a registry.
fn authority(url: &Url) -> String {
    let origin = url.origin().to_string();
    origin.split_once("://").map_or(origin.as_str(), |(_, authority)| authority).to_string()
}

/// The repository that a place in a registry's API is in, as far as one can see it.
fn repository_of(url: &Url) -> &str {
    let path = url.path().strip_prefix("/v2/").unwrap_or_default();
    path.rfind("/blobs/")
        .or_else(|| path.rfind("/manifests/"))
        .and_then(|at| path.get(..at))
        .unwrap_or_default()
}

fn same_origin_as_target(exchange: Option<&Exchange>, url: &Url) -> bool {
    match exchange.map(|exchange| &exchange.target) {
        Some(Target::Named(target)) => target.origin() == url.origin(),
        _ => false,
    }
}

pub(super) fn internal(reason: &str) -> Error {
    ErrorKind::Internal { reason: reason.to_string() }.into()
}

/// What network a request may reach: everything at the registry that the user named, and where the registry is on
/// this machine; else no loopback and no link-local address.
fn reach(home: &Url, url: &Url) -> Reach {
    if url.origin() == home.origin() || home.host_kind() == HostKind::Loopback {
        return Reach::Any;
    }
    match (home.host_kind(), url.host_kind()) {
        (HostKind::LinkLocal, HostKind::LinkLocal) => Reach::Any,
        _ => Reach::NoLoopbackOrLinkLocal,
    }
}
