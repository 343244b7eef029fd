//! What a round's answer means for its exchange: success, another round, or the end.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::event::{Event, Output, Warning};
use super::exchange::{About, Exchange, Key, Owner, Phase, Target, kept_fields, with_fields};
use super::hosts::Class;
use super::machine::Client;
use super::push::Errand;
use super::request::{BodyPlan, Failure, Flow};
use super::{ExchangeId, JobId};
use crate::error::{Error, ErrorKind, Misuse, Place, Result};
use crate::http::{Asked, ErrorBody, Head, Method, Role, Url, classify, date, link};

/// Refusals by a place that we were redirected to (its signed URL has expired) before they are final.
const MOST_EXPIRED: u32 = 2;
/// Failures of a connection to a host that never answered, before they are final: it is more likely a wrong name.
const MOST_UNREACHED: u32 = 2;
/// Failures of a mirror before the next place is asked, and the longest time that it may ask for.
const MOST_AT_MIRROR: u32 = 1;
const LONGEST_FOR_MIRROR: Duration = Duration::from_secs(5);
/// Warnings of a registry that are passed on for one job, and the bytes of each.
const WARNING_BYTES: usize = 400;

impl Client {
    /// The head of a live round.
    pub(super) fn head(&mut self, key: Key, head: Head<'_>) -> Result<BodyPlan, Misuse> {
        let now = self.now;
        let Some(exchange) = self.exchanges.get_mut(&key) else { return Ok(BodyPlan::Discard) };
        let (owner, method) = (exchange.owner, exchange.method);
        let (registry, is_lax) = (exchange.registry.clone(), exchange.is_lax);
        let Some(round) = exchange.round_mut() else { return Ok(BodyPlan::Discard) };
        if !matches!(round.phase, Phase::Head) {
            return Err(Misuse("a second head for one exchange"));
        }
        round.heard = now;
        let (url, sent, range) = (round.url.clone(), round.sent, round.range);
        self.hosts.reached(url.origin());
        self.hosts.answered(&registry, is_lax, url.origin());
        let is_at_home = self.is_at_home(key, &url) && stayed(&head, &url);
        let is_redirected = self.exchanges.get(&key).is_some_and(|exchange| !exchange.trail.is_empty())
            || !stayed(&head, &url);
        if is_at_home && self.is_plain(&registry, &url) {
            self.warn(owner, |client, job| client.warn_plain(job, &registry));
        }
        let plan = match head.status {
            200..=299 => {
                if let Some(exchange) = self.exchanges.get_mut(&key) {
                    exchange.succeed();
                    self.hosts.went_well(url.origin(), exchange.class, &self.config);
                }
                self.warn_registry(owner, &registry, &head);
                self.success(key, &url, &head)
            }
            301 | 302 | 303 | 307 | 308 => self.redirected(key, &url, &head),
            401 if is_at_home => self.challenged(key, &url, &head, sent),
            // 400 is what S3 says where the session behind the signature has expired (`ExpiredToken`).
            400 | 401 | 403 | 404 | 410
                if is_redirected && !is_at_home && !matches!(owner, Owner::Token(_)) =>
            {
                let Some(exchange) = self.exchanges.get_mut(&key) else { return Ok(BodyPlan::Discard) };
                exchange.expired += 1;
                if exchange.expired > MOST_EXPIRED {
                    self.refused(key, &head)
                } else {
                    let kind = protocol(&url, "the place that the registry sent us to refuses to serve it");
                    self.retry(key, kind.into(), None);
                    BodyPlan::Discard
                }
            }
            416 if range.is_some() => {
                self.unsatisfied(key, &head);
                BodyPlan::Discard
            }
            404 | 413 | 416 if self.is_disordered(key, head.status) => BodyPlan::Discard,
            408 | 425 | 429 | 500 | 502..=504 | 506..=599 => self.transient(key, &url, &head, method),
            0..=199 => {
                self.retry(key, protocol(&url, "a response of no final status").into(), None);
                BodyPlan::Discard
            }
            _ => self.refused(key, &head),
        };
        Ok(plan)
    }

    /// Whether this status of an upload says that its bytes are elsewhere than we think; then that has been seen to.
    fn is_disordered(&mut self, key: Key, status: u16) -> bool {
        match self.exchanges.get(&key).map(|exchange| exchange.owner) {
            Some(Owner::Push(_, job, Errand::Upload(at))) => self.upload_disordered(job, at, key, status),
            _ => false,
        }
    }

    fn redirected(&mut self, key: Key, url: &Url, head: &Head<'_>) -> BodyPlan {
        if let Err(error) = self.follow(key, url, head) {
            self.park(key);
            self.exchange_failed(key, at_url(error, url));
        }
        BodyPlan::Discard
    }

    fn follow(&mut self, key: Key, url: &Url, head: &Head<'_>) -> Result<()> {
        let Some(exchange) = self.exchanges.get(&key) else { return Ok(()) };
        let registry = exchange.registry.clone();
        // 307 and 308 keep method and body (RFC 9110 §15.4), and bodies can be sent again.
        let keeps_method = matches!(head.status, 307 | 308) && matches!(exchange.owner, Owner::Push(..));
        if !exchange.method.is_safe() && !keeps_method {
            return Err(protocol(url, "a redirect of a request that is not to be repeated elsewhere").into());
        }
        let Some(location) = head.headers.text("location") else {
            return Err(protocol(url, "a redirect without a location").into());
        };
        let to = url.join(location)?;
        let whose = "a redirect";
        self.allow(&registry, url, &to, whose)?;
        let Some(exchange) = self.exchanges.get_mut(&key) else { return Ok(()) };
        let is_loop = to == *url || exchange.trail.contains(&to);
        if is_loop || exchange.trail.len() as u64 >= u64::from(self.config.limits.redirects) {
            return Err(ErrorKind::RedirectLoop { host: host(url) }.into());
        }
        // Whoever sends us on has let us in.
        exchange.refused_at = None;
        exchange.refusals = 0;
        exchange.trail.push(to);
        self.enqueue(key);
        Ok(())
    }

    /// A status that may be another one soon.
    fn transient(&mut self, key: Key, url: &Url, head: &Head<'_>, method: Method) -> BodyPlan {
        let is_at_home = self.is_at_home(key, url);
        let Some(exchange) = self.exchanges.get(&key) else { return BodyPlan::Discard };
        let is_slowdown = head.status == 429;
        if method == Method::Head && !is_slowdown {
            return self.refused(key, head);
        }
        let (class, is_mirror) = (exchange.class, exchange.is_mirror);
        if matches!(head.status, 429 | 503) {
            self.hosts.too_much(url.origin(), class, self.now);
        }
        let Some(exchange) = self.exchanges.get(&key) else { return BodyPlan::Discard };
        let wait = date::retry_after(&head.headers);
        // A window that is used up for hours is not waited for.
        let is_used_up = is_slowdown && wait.is_none() && long_window(head, self.config.timeouts.head);
        let longest = self.config.retries.longest_retry_after;
        let longest = if is_mirror { longest.min(LONGEST_FOR_MIRROR) } else { longest };
        let is_too_long = wait.is_some_and(|wait| wait > longest);
        if exchange.failures >= self.budget(is_mirror) || is_too_long || is_used_up {
            return self.refused(key, head);
        }
        let reason = with_fields(&kept_fields(head), |fields| {
            let role = role(exchange.owner, is_at_home);
            let what = exchange.what.as_str();
            let asked = Asked { host: &host(url), role, what, with_credentials: exchange.with_credentials };
            classify(head.status, &ErrorBody::default(), fields, &asked)
        });
        let until = self.retry(key, at_url(reason.into(), url), wait);
        if let Some(until) = until.filter(|_| is_slowdown || wait.is_some()) {
            self.hosts.slow(url.origin(), until);
        }
        BodyPlan::Discard
    }

    /// Reads the error body, if there can be one.
    pub(super) fn refused(&mut self, key: Key, head: &Head<'_>) -> BodyPlan {
        let fields = kept_fields(head);
        let status = head.status;
        let Some(exchange) = self.exchanges.get_mut(&key) else { return BodyPlan::Discard };
        let is_bodiless = exchange.method == Method::Head;
        if let Some(round) = exchange.round_mut() {
            round.phase = Phase::Refusal { bytes: Vec::new(), status, fields };
        }
        if is_bodiless {
            self.refusal_read(key);
            return BodyPlan::Discard;
        }
        BodyPlan::Feed
    }

    /// The error body is there, as far as it came.
    fn refusal_read(&mut self, key: Key) {
        let Some(url) = self.exchanges.get(&key).and_then(Exchange::round).map(|round| round.url.clone())
        else {
            return;
        };
        let is_at_home = self.is_at_home(key, &url);
        let Some(exchange) = self.exchanges.get_mut(&key) else { return };
        let owner = exchange.owner;
        let Some(round) = exchange.round_mut() else { return };
        let phase = core::mem::replace(&mut round.phase, Phase::Head);
        let Phase::Refusal { bytes, status, fields } = phase else { return };
        let limits = &self.config.limits;
        let kind = with_fields(&fields, |fields| {
            let body = ErrorBody::parse(&bytes, fields.text("content-type"), limits);
            let asked = Asked {
                host: &host(&url),
                role: role(owner, is_at_home),
                what: &exchange.what,
                with_credentials: exchange.with_credentials,
            };
            classify(status, &body, fields, &asked)
        });
        let kind = match (owner, kind) {
            // distribution-spec, "Deleting tags": who does not do it answers 400 or 405.
            (Owner::Delete(_, _), ErrorKind::RequestRefused { host, status: 400, detail }) => {
                ErrorKind::UnsupportedOperation { host, what: exchange.what.clone(), detail }
            }
            (_, kind) => kind,
        };
        self.park(key);
        if let Owner::Push(_, job, errand) = owner {
            match errand {
                Errand::Upload(at) if self.upload_is_looked_for(job, at) => {
                    return self.not_there(job, at, key);
                }
                Errand::Look(at) => return self.paper_absent(job, at, key),
                Errand::ReadTag(at) if matches!(kind, ErrorKind::NotFound { .. }) => {
                    return self.no_referrers(job, at, key);
                }
                _ => {}
            }
        }
        if let Owner::Referrers(_, job) = owner
            && matches!(
                kind,
                ErrorKind::NotFound { .. }
                    | ErrorKind::UnsupportedOperation { .. }
                    | ErrorKind::RequestRefused { .. }
                    | ErrorKind::InvalidReference { .. }
            )
        {
            return self.referrers_missing(job, key);
        }
        if exchange_method(self.exchanges.get(&key)) == Some(Method::Head) {
            return self.head_refused(key, at_url(kind.into(), &url));
        }
        if let Owner::Token(id) = owner {
            return self.token_refused(id, key, status, at_url(kind.into(), &url));
        }
        self.exchange_failed(key, at_url(kind.into(), &url));
    }

    fn success(&mut self, key: Key, url: &Url, head: &Head<'_>) -> BodyPlan {
        let Some(exchange) = self.exchanges.get(&key) else { return BodyPlan::Discard };
        let (owner, method) = (exchange.owner, exchange.method);
        let limits = &self.config.limits;
        let (cap, limit) = match owner {
            Owner::Token(_) => (limits.token_bytes, "token_bytes"),
            Owner::List(_) => (limits.list_page_bytes, "list_page_bytes"),
            Owner::Top(_) | Owner::Referrers(_, _) | Owner::Push(_, _, Errand::ReadTag(_)) => {
                (limits.document_bytes, "document_bytes")
            }
            Owner::Push(_, job, Errand::Upload(at)) => {
                self.upload_answered(job, at, key, url, head);
                return BodyPlan::Discard;
            }
            Owner::Push(_, job, errand) => {
                self.paper_answered(job, errand, key, url, head);
                return BodyPlan::Discard;
            }
            Owner::Delete(_, job) => {
                self.deleted(job, key);
                return BodyPlan::Discard;
            }
            Owner::Blob(blob) => match self.blobs.get(&blob) {
                Some(blob) if blob.document => {
                    (blob.size.unwrap_or(u64::MAX).min(limits.document_bytes), "document_bytes")
                }
                _ => return self.payload_head(key, url, head),
            },
            Owner::Check(_, job) => {
                let with_credentials = exchange.with_credentials;
                self.drop_silently(key);
                self.checked(job, with_credentials);
                return BodyPlan::Discard;
            }
        };
        if method == Method::Head {
            self.head_answered(key, url, head);
            return BodyPlan::Discard;
        }
        let encoded = head
            .headers
            .text("content-encoding")
            .filter(|encoding| !encoding.eq_ignore_ascii_case("identity"))
            .filter(|_| !self.config.host.decodes_content_encoding);
        let fault = if head.status == 206 {
            Some("a part (206) where the whole was asked for")
        } else if encoded.is_some() {
            Some("a content encoding where none was asked for")
        } else {
            None
        };
        if let Some(reason) = fault {
            self.park(key);
            self.exchange_failed(key, at_url(protocol(url, reason).into(), url));
            return BodyPlan::Discard;
        }
        let length = head.content_length().filter(|_| !self.config.host.decodes_content_encoding);
        if let Some(length) = length.filter(|length| *length > cap) {
            self.park(key);
            let error = self.over(owner, length, limit);
            self.exchange_failed(key, at_url(error, url));
            return BodyPlan::Discard;
        }
        let next = match owner {
            Owner::List(_) | Owner::Referrers(_, _) => match link::next(&head.headers, url) {
                Ok(next) => next,
                Err(error) => {
                    self.park(key);
                    self.exchange_failed(key, at_url(error, url));
                    return BodyPlan::Discard;
                }
            },
            _ => None,
        };
        let about = About {
            content_type: head.content_type().map(ToString::to_string),
            digest: head.headers.text("docker-content-digest").and_then(|text| text.parse().ok()),
            next,
            length,
        };
        let capacity = usize::try_from(length.unwrap_or(0).min(64 << 10)).unwrap_or(0);
        if let Some(round) = self.exchanges.get_mut(&key).and_then(Exchange::round_mut) {
            round.phase = Phase::Document { bytes: Vec::with_capacity(capacity), cap, limit, about };
        }
        BodyPlan::Feed
    }

    /// The error for a document that is too long.
    fn over(&self, owner: Owner, actual: u64, limit: &'static str) -> Error {
        let blob = match owner {
            Owner::Blob(blob) => self.blobs.get(&blob),
            _ => None,
        };
        let promised = blob.and_then(|blob| Some((blob.size?, blob.digest)));
        if let Some((expected, digest)) =
            promised.filter(|(size, _)| *size <= self.config.limits.document_bytes)
        {
            return Error::from(ErrorKind::SizeMismatch { expected, actual }).in_blob(digest);
        }
        let limits = &self.config.limits;
        let value = match limit {
            "token_bytes" => limits.token_bytes,
            "list_page_bytes" => limits.list_page_bytes,
            _ => limits.document_bytes,
        };
        ErrorKind::LimitExceeded { limit, value }.into()
    }

    /// A chunk of a body.
    pub(super) fn chunk(&mut self, key: Key, chunk: &[u8]) -> Result<Flow, Misuse> {
        let now = self.now;
        let error_cap = self.config.limits.error_body_bytes;
        let Some(exchange) = self.exchanges.get_mut(&key) else { return Ok(Flow::Stop) };
        let owner = exchange.owner;
        let Some(round) = exchange.round_mut() else { return Ok(Flow::Stop) };
        round.heard = now;
        match &mut round.phase {
            Phase::Head => Err(Misuse("a body before its head")),
            Phase::Document { bytes, cap, limit, .. } => {
                let total = bytes.len() as u64 + chunk.len() as u64;
                if total <= *cap {
                    bytes.extend_from_slice(chunk);
                    return Ok(Flow::Continue);
                }
                let limit = *limit;
                let url = round.url.clone();
                let error = at_url(self.over(owner, total, limit), &url);
                self.park(key);
                self.exchange_failed(key, error);
                self.pump();
                Ok(Flow::Stop)
            }
            Phase::Refusal { bytes, .. } => {
                let room = usize::try_from(error_cap).unwrap_or(usize::MAX).saturating_sub(bytes.len());
                bytes.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
                if chunk.len() < room {
                    return Ok(Flow::Continue);
                }
                self.refusal_read(key);
                self.pump();
                Ok(Flow::Stop)
            }
            Phase::Blob { .. } => match owner {
                Owner::Blob(blob) => self.payload(key, blob, chunk),
                _ => Ok(Flow::Stop),
            },
        }
    }

    /// A body ended in order.
    pub(super) fn body_ended(&mut self, key: Key) -> Result<(), Misuse> {
        let Some(exchange) = self.exchanges.get_mut(&key) else { return Ok(()) };
        let owner = exchange.owner;
        let Some(round) = exchange.round_mut() else { return Ok(()) };
        let url = round.url.clone();
        match core::mem::replace(&mut round.phase, Phase::Head) {
            Phase::Head => Err(Misuse("an end before its head")),
            Phase::Document { bytes, about, .. } => {
                self.park(key);
                // Known sizes are held to elsewhere; here the head is all there is to tell a body that broke off.
                let is_known =
                    matches!(owner, Owner::Blob(id) if self.blobs.get(&id).is_some_and(|b| b.size.is_some()));
                if about.length.is_some_and(|length| length > bytes.len() as u64) && !is_known {
                    let detail = Some("the body is shorter than its head says".to_string());
                    let kind = ErrorKind::ConnectionFailed { host: host(&url), reason: "ended", detail };
                    self.retry(key, at_url(kind.into(), &url), None);
                    return Ok(());
                }
                match owner {
                    Owner::Token(id) => self.token_arrived(id, key, &bytes, &url),
                    Owner::List(job) => self.page_arrived(job, key, &bytes, about, &url),
                    Owner::Top(job) => self.top_arrived(job, key, &bytes, &about, &url),
                    Owner::Blob(blob) => self.document_arrived(blob, key, &bytes, &about, &url),
                    Owner::Referrers(_, job) => self.referrers_page(job, key, &bytes, &about, &url),
                    Owner::Push(_, job, Errand::ReadTag(at)) => {
                        self.referrers_arrived(job, at, key, &bytes, &about, &url);
                    }
                    Owner::Check(_, _) | Owner::Push(..) | Owner::Delete(_, _) => {}
                }
                Ok(())
            }
            phase @ Phase::Refusal { .. } => {
                round.phase = phase;
                self.refusal_read(key);
                Ok(())
            }
            Phase::Blob { end } => {
                self.park(key);
                self.payload_ended(key, end);
                Ok(())
            }
        }
    }

    /// The transport gave up, or we did (`timed out`).
    pub(super) fn round_failed(&mut self, key: Key, failure: Option<Failure>, detail: &str) {
        let Some(exchange) = self.exchanges.get(&key) else { return };
        let Some(round) = exchange.round() else { return };
        let url = round.url.clone();
        let is_before_head = matches!(round.phase, Phase::Head);
        let is_payload = matches!(round.phase, Phase::Blob { .. });
        if matches!(round.phase, Phase::Refusal { .. }) {
            return self.refusal_read(key);
        }
        let registry = exchange.registry.clone();
        let is_at_target = exchange.trail.is_empty() && matches!(exchange.target, Target::Registry(_));
        // A certificate says that TLS is spoken: plain http is not what is missing.
        let may_be_plain = !matches!(failure, Some(Failure::Forbidden | Failure::Dns | Failure::Certificate));
        if is_before_head
            && is_at_target
            && may_be_plain
            && self.hosts.fall_back(&registry, exchange.is_lax, url.scheme())
        {
            self.enqueue(key);
            return;
        }
        self.park(key);
        // The words of a host that cannot tell say nothing.
        let is_opaque = self.config.host.opaque_failures && matches!(failure, Some(Failure::Unknown));
        let detail = Some(detail.to_string()).filter(|detail| !detail.is_empty() && !is_opaque);
        let name = host(&url);
        let broken =
            |reason| ErrorKind::ConnectionFailed { host: name.clone(), reason, detail: detail.clone() };
        let mut budget = self.config.retries.budget;
        let mut is_fatal = false;
        let kind = match failure {
            None => {
                let what = if is_before_head { "no response came" } else { "no more of the body came" };
                ErrorKind::TimedOut { host: name.clone(), what }
            }
            Some(Failure::Certificate) => {
                is_fatal = true;
                ErrorKind::UntrustedCertificate { host: name.clone(), detail: detail.clone() }
            }
            Some(Failure::Forbidden) => {
                is_fatal = true;
                ErrorKind::ForbiddenTarget {
                    target: url.origin().to_string(),
                    reason: "it resolves to this machine or to a link-local address".to_string(),
                }
            }
            Some(Failure::Tls) => {
                budget = budget.min(1);
                broken("tls")
            }
            Some(Failure::Dns) => broken("dns"),
            Some(Failure::Refused) => broken("refused"),
            Some(Failure::Unreachable) => broken("unreachable"),
            Some(Failure::Broken) if is_before_head => broken("reset"),
            Some(Failure::Broken) => broken("ended"),
            Some(Failure::Unknown) => broken("unknown"),
        };
        let (class, is_mirror) =
            self.exchanges.get(&key).map_or((Class::Token, false), |it| (it.class, it.is_mirror));
        if is_before_head && !self.hosts.was_reached(url.origin()) {
            // Most likely it allows no other origins, and will not the next time.
            budget = budget.min(if is_opaque { 1 } else { MOST_UNREACHED });
            if is_mirror && is_at_target {
                self.hosts.bury(&registry);
                budget = 0;
            }
        } else if matches!(failure, None | Some(Failure::Broken)) {
            self.hosts.too_much(url.origin(), class, self.now);
        }
        let error = at_url(kind.into(), &url);
        if is_payload {
            return self.payload_broken(key, error);
        }
        if is_fatal {
            return self.exchange_failed(key, error);
        }
        // A host that is there and does not answer a HEAD may answer a GET: not every proxy knows what has no body.
        if let Some(exchange) = self.exchanges.get_mut(&key).filter(|_| self.hosts.was_reached(url.origin()))
            && exchange.method == Method::Head
        {
            exchange.method = Method::Get;
        }
        self.retry_within(key, error, None, budget);
    }

    /// How often a place is asked again.
    fn budget(&self, is_mirror: bool) -> u32 {
        let budget = self.config.retries.budget;
        if is_mirror { budget.min(MOST_AT_MIRROR) } else { budget }
    }

    /// Tries again after a pause, from the start of the trail; answers when. The end if no budget is left.
    pub(super) fn retry(
        &mut self,
        key: Key,
        error: Error,
        wait: Option<Duration>,
    ) -> Option<crate::time::Millis> {
        self.retry_within(key, error, wait, self.config.retries.budget)
    }

    fn retry_within(
        &mut self,
        key: Key,
        error: Error,
        wait: Option<Duration>,
        budget: u32,
    ) -> Option<crate::time::Millis> {
        self.park(key);
        let exchange = self.exchanges.get_mut(&key)?;
        let url = exchange.trail.last().cloned();
        exchange.trail.clear();
        // Its token may be too old after the pause; the budget is what bounds it now.
        exchange.refused_at = None;
        exchange.refusals = 0;
        exchange.failures = exchange.failures.saturating_add(1);
        let attempt = exchange.failures;
        let is_mirror = exchange.is_mirror;
        if attempt > budget.min(self.budget(is_mirror)) {
            self.exchange_failed(key, error);
            return None;
        }
        let exchange = self.exchanges.get(&key)?;
        let blob = match exchange.owner {
            Owner::Blob(blob) => Some(blob),
            _ => None,
        };
        let delay = self.jitter.delay(&self.config.retries, attempt).max(wait.unwrap_or_default());
        let until = self.now + delay;
        let host = match url.map_or_else(|| self.current_url(key), Ok) {
            Ok(url) => host(&url),
            Err(_) => String::new(),
        };
        if let Some(Owner::Push(_, job, Errand::Upload(at))) = self.exchanges.get(&key).map(|it| it.owner) {
            self.upload_retried(job, at, key);
        }
        self.event(Event::Retrying { blob, host, attempt, delay, reason: error });
        self.pause(key, until);
        Some(until)
    }

    /// The end of an exchange: its owner decides what that means.
    pub(super) fn exchange_failed(&mut self, key: Key, error: Error) {
        self.park(key);
        if let Some(Owner::Push(_, job, Errand::Upload(at))) = self.exchanges.get(&key).map(|it| it.owner)
            && self.upload_refused(job, at, key, &error)
        {
            return;
        }
        let Some(exchange) = self.exchanges.remove(&key) else { return };
        match exchange.owner {
            Owner::Push(_, job, errand) => self.errand_failed(job, errand, error),
            Owner::Delete(_, job) | Owner::Referrers(_, job) => self.fail(job, error),
            Owner::Token(id) => self.token_failed(id, &error),
            Owner::Blob(blob) => self.source_failed(blob, error),
            Owner::Top(job) => self.top_failed(job, error),
            Owner::List(job) | Owner::Check(_, job) => self.fail(job, error),
        }
    }

    /// Forgets an exchange whose round is over.
    pub(super) fn drop_silently(&mut self, key: Key) {
        self.park(key);
        self.exchanges.remove(&key);
    }

    /// Rounds for which nothing came in time.
    pub(super) fn time_out(&mut self) {
        let due: Vec<(ExchangeId, Key)> = self
            .rounds
            .iter()
            .filter(|(_, key)| self.round_deadline(**key).is_some_and(|deadline| deadline <= self.now))
            .map(|(id, key)| (*id, *key))
            .collect();
        for (id, key) in due {
            // An earlier one of these may have ended its job.
            if self.rounds.contains_key(&id) {
                self.outputs.push_back(Output::Abort { id });
                self.round_failed(key, None, "");
            }
        }
    }

    fn is_plain(&mut self, registry: &str, url: &Url) -> bool {
        !url.is_https()
            && self
                .hosts
                .endpoint(registry, false, &self.config)
                .is_ok_and(|endpoint| !endpoint.is_loopback())
    }

    /// Whether this is the registry itself, to whom alone we say who we are.
    fn is_at_home(&mut self, key: Key, url: &Url) -> bool {
        let Some(exchange) = self.exchanges.get(&key) else { return false };
        matches!(exchange.target, Target::Registry(_))
            && self
                .hosts
                .endpoint(&exchange.registry, exchange.is_lax, &self.config)
                .is_ok_and(|endpoint| endpoint.url("/").is_ok_and(|home| home.origin() == url.origin()))
    }

    /// The jobs that an exchange works for.
    fn jobs_of(&self, owner: Owner) -> Vec<JobId> {
        match owner {
            Owner::Top(job)
            | Owner::List(job)
            | Owner::Check(_, job)
            | Owner::Push(_, job, _)
            | Owner::Delete(_, job)
            | Owner::Referrers(_, job) => [job].to_vec(),
            Owner::Blob(blob) => self.blobs.get(&blob).map_or_else(Vec::new, |blob| blob.jobs.clone()),
            Owner::Token(_) => Vec::new(),
        }
    }

    fn warn(&mut self, owner: Owner, mut say: impl FnMut(&mut Client, JobId)) {
        for job in self.jobs_of(owner) {
            say(self, job);
        }
    }

    fn warn_plain(&mut self, job: JobId, registry: &str) {
        self.warn_once(job, Warning::PlainHttp { registry: registry.to_string() });
    }

    /// The registry's own `Warning: 299 - "…"` fields (distribution-spec, Warnings).
    fn warn_registry(&mut self, owner: Owner, registry: &str, head: &Head<'_>) {
        if !head.headers.has("warning") || !matches!(owner, Owner::Top(_) | Owner::Blob(_) | Owner::Push(..))
        {
            return;
        }
        let mut texts = Vec::new();
        for field in head.headers.all("warning").filter_map(|field| core::str::from_utf8(field).ok()) {
            let text = field.strip_prefix("299 - \"").and_then(|rest| rest.strip_suffix('"'));
            if let Some(text) = text {
                let clean: String = text
                    .chars()
                    .filter(|c| !c.is_control() && *c != '\\')
                    .scan(0, |bytes, c| {
                        *bytes += c.len_utf8();
                        (*bytes <= WARNING_BYTES).then_some(c)
                    })
                    .collect();
                texts.push(clean);
            }
        }
        for job in self.jobs_of(owner) {
            for text in &texts {
                let warning = Warning::Registry { registry: registry.to_string(), text: text.clone() };
                self.warn_once(job, warning);
            }
        }
    }
}

/// `host[:port]`, as errors name it.
pub(super) fn host(url: &Url) -> String {
    url.origin().authority()
}

pub(super) fn at_url(error: Error, url: &Url) -> Error {
    error.at(Place { url: Some(url.without_query().to_string()), ..Place::default() })
}

pub(super) fn protocol(url: &Url, reason: &str) -> ErrorKind {
    ErrorKind::ProtocolViolation { host: host(url), reason: reason.to_string() }
}

fn role(owner: Owner, is_at_home: bool) -> Role {
    match owner {
        Owner::Token(_) => Role::TokenServer,
        _ if is_at_home => Role::Registry,
        _ => Role::BlobStore,
    }
}

fn exchange_method(exchange: Option<&Exchange>) -> Option<Method> {
    exchange.map(|exchange| exchange.method)
}

/// Whether the response is from where it was asked: a host that follows redirects by itself may have gone elsewhere.
fn stayed(head: &Head<'_>, url: &Url) -> bool {
    match head.final_url.map(Url::parse) {
        Some(Ok(end)) => end.origin() == url.origin(),
        _ => true,
    }
}

/// Whether the limit that was reached is counted over a window longer than this (`ratelimit-remaining: 0;w=21600`).
fn long_window(head: &Head<'_>, most: Duration) -> bool {
    let Some(text) = head.headers.text("ratelimit-remaining") else { return false };
    let Some((remaining, window)) = text.split_once(";w=") else { return false };
    remaining.trim() == "0" && window.trim().parse::<u64>().is_ok_and(|window| window > most.as_secs())
}
