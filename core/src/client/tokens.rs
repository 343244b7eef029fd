//! A registry's challenge, what a token server answers, and what that means for those who wait.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::BodyPlan;
use super::auth::{Authorization, Credentials, Issued, Way};
use super::conduct::{at_url, host};
use super::event::Event;
use super::exchange::{Key, Lock, Sent, TokenId};
use super::machine::Client;
use super::schedule::Wanted;
use crate::error::{Error, ErrorKind, Result};
use crate::http::{Challenge, Head, Scope, TokenResponse, Url, challenge};

/// Answers of 401 without a success between, if each token was too old when it was sent. (A fresh one is refused once.)
const MOST_REFUSALS: u32 = 10;

impl Client {
    /// The registry itself wants to know who we are.
    pub(super) fn challenged(&mut self, key: Key, url: &Url, head: &Head<'_>, sent: Sent) -> BodyPlan {
        let serial = self.auth.serial();
        let asks_for_more = self.asks_for_more(key, head);
        let Some(exchange) = self.exchanges.get_mut(&key) else { return BodyPlan::Discard };
        let registry = exchange.registry.clone();
        let account = exchange.repository.clone().unwrap_or_default();
        exchange.refusals += 1;
        let is_final = match (sent, exchange.refused_at) {
            (Sent::Nothing, Some(_)) => true,
            // A token that was fetched because of the last refusal, and is refused itself.
            (Sent::Token { serial, fresh }, Some(at)) if fresh && serial > at => {
                // Once it may be that more is needed than the first challenge said (`insufficient_scope`, RFC 6750).
                let is_forgiven = asks_for_more && !exchange.is_widened;
                exchange.is_widened = true;
                !is_forgiven
            }
            _ => false,
        } || exchange.refusals > MOST_REFUSALS;
        exchange.refused_at = Some(serial);
        match sent {
            Sent::Token { serial, .. } => self.auth.drop_token(&registry, serial),
            Sent::Credentials(serial) => self.auth.refuse(&registry, &account, Some(serial), None),
            Sent::Nothing => {}
        }
        if is_final {
            return self.refused(key, head);
        }
        match self.take_challenge(key, url, head) {
            Ok(true) => {
                self.enqueue(key);
                BodyPlan::Discard
            }
            // The registry does not say how: what it does say is an error body.
            Ok(false) => self.refused(key, head),
            Err(error) => {
                self.park(key);
                self.exchange_failed(key, at_url(error, url));
                BodyPlan::Discard
            }
        }
    }

    /// Whether a challenge names a scope that no token of this exchange was asked for yet.
    fn asks_for_more(&self, key: Key, head: &Head<'_>) -> bool {
        let Some(exchange) = self.exchanges.get(&key) else { return false };
        challenge::parse(&head.headers, &self.config.limits)
            .iter()
            .filter_map(Challenge::bearer)
            .flat_map(|bearer| bearer.scopes)
            .any(|scope| !exchange.scopes.iter().any(|known| known.covers(&scope)))
    }

    /// Learns the registry's way from its challenges. `false` if there are none.
    fn take_challenge(&mut self, key: Key, url: &Url, head: &Head<'_>) -> Result<bool> {
        let challenges = challenge::parse(&head.headers, &self.config.limits);
        let Some(exchange) = self.exchanges.get(&key) else { return Ok(false) };
        let registry = exchange.registry.clone();
        let mut refusal = None;
        for bearer in challenges.iter().filter_map(Challenge::bearer) {
            let realm = match url.join(&bearer.realm).and_then(|realm| {
                self.allow(&registry, url, &realm, "the token server")?;
                Ok(realm)
            }) {
                Ok(realm) => realm,
                Err(error) => {
                    refusal = refusal.or(Some(error));
                    continue;
                }
            };
            if let Some(exchange) = self.exchanges.get_mut(&key) {
                for scope in bearer.scopes {
                    if !exchange.scopes.iter().any(|known| known.covers(&scope)) {
                        exchange.scopes.retain(|known| !scope.covers(known));
                        exchange.scopes.push(scope);
                    }
                }
                exchange.scopes.sort();
            }
            self.auth.learn(&registry, Way::Bearer { realm, service: bearer.service });
            return Ok(true);
        }
        if challenges.iter().any(|challenge| challenge.basic().is_some()) {
            self.auth.learn(&registry, Way::Basic);
            return Ok(true);
        }
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        if challenges.is_empty() {
            return Ok(false);
        }
        let mut offered = String::new();
        for challenge in &challenges {
            if !offered.is_empty() {
                offered.push_str(", ");
            }
            offered.push_str(&challenge.scheme);
        }
        Err(ErrorKind::UnsupportedChallenge { host: host(url), offered }.into())
    }

    /// The body of a token response.
    pub(super) fn token_arrived(&mut self, id: TokenId, key: Key, bytes: &[u8], url: &Url) {
        let response = match TokenResponse::parse(bytes, &self.config.limits) {
            Ok(response) => response,
            Err(error) => return self.exchange_failed(key, at_url(error, url)),
        };
        self.drop_silently(key);
        let Some(pending) = self.auth.pending.remove(&id) else { return };
        let mut scope = String::new();
        for wanted in &pending.scopes {
            if !scope.is_empty() {
                scope.push(' ');
            }
            scope.push_str(&wanted.to_string());
        }
        if let Some(refresh) = response.refresh_token {
            self.auth.renew(&pending.registry, &pending.account, refresh);
        }
        let issued = Issued {
            account: pending.account,
            scopes: pending.scopes,
            secret: response.token.clone(),
            lives: response.lifetime,
            with_credentials: pending.with_credentials,
        };
        self.auth.add_token(&pending.registry, issued, self.now);
        self.event(Event::TokenIssued {
            registry: pending.registry,
            scope,
            token: response.token,
            expires_in: response.lifetime,
        });
        self.unlock(Lock::Token(id));
    }

    /// The token server answered with an error.
    pub(super) fn token_refused(&mut self, id: TokenId, key: Key, status: u16, error: Error) {
        let Some(pending) = self.auth.pending.get(&id) else { return self.drop_silently(key) };
        let (registry, account) = (pending.registry.clone(), pending.account.clone());
        let (is_form, with_credentials) = (pending.is_form, pending.with_credentials);
        // Not every token server knows the POST; those that do not may take the refresh token as a password.
        if is_form && matches!(status, 400..=405 | 501) {
            let authorization = self.auth.authorize(&registry, &account, &pending_scopes(self, id), self.now);
            if let Authorization::Fetch {
                realm,
                service,
                credentials: Some(credentials @ Credentials::RefreshToken(_)),
            } = authorization
            {
                let is_lax = self.exchanges.get(&key).is_some_and(|exchange| exchange.is_lax);
                self.drop_silently(key);
                let Some(pending) = self.auth.pending.remove(&id) else { return };
                let waiting = self.locked(Lock::Token(id));
                let rank = waiting
                    .iter()
                    .filter_map(|key| self.exchanges.get(key))
                    .map(|exchange| exchange.rank)
                    .min()
                    .unwrap_or((0, 0));
                let wanted = Wanted { registry, account, scopes: pending.scopes, rank, is_lax };
                let (next, _) =
                    self.fetch_token(wanted, &realm, service.as_deref(), Some(&credentials), true);
                for key in waiting {
                    self.lock(key, Lock::Token(next));
                }
                return;
            }
        }
        if with_credentials && matches!(status, 400 | 401 | 403) {
            // Asked again, or final: those who wait find out when they start.
            self.drop_silently(key);
            self.auth.pending.remove(&id);
            let says_why = matches!(error.kind(), ErrorKind::Unauthorized { .. } | ErrorKind::Denied { .. });
            self.auth.refuse(&registry, &account, None, says_why.then_some(error));
            self.unlock(Lock::Token(id));
            return;
        }
        self.exchange_failed(key, error);
    }

    /// No token is to be had: whoever waits for it ends so.
    pub(super) fn token_failed(&mut self, id: TokenId, error: &Error) {
        self.auth.pending.remove(&id);
        for key in self.locked(Lock::Token(id)) {
            self.exchange_failed(key, error.clone());
        }
    }
}

fn pending_scopes(client: &Client, id: TokenId) -> Vec<Scope> {
    client.auth.pending.get(&id).map(|pending| pending.scopes.clone()).unwrap_or_default()
}
