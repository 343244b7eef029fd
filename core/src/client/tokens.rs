//! What a token server answers, and what that means for those who wait.

use alloc::string::{String, ToString};

use super::auth::{Authorization, Credentials, Issued};
use super::conduct::at_url;
use super::event::Event;
use super::exchange::{Key, Lock, TokenId};
use super::machine::Client;
use super::schedule::Wanted;
use crate::error::Error;
use crate::http::{TokenResponse, Url};

impl Client {
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
                self.drop_silently(key);
                let Some(pending) = self.auth.pending.remove(&id) else { return };
                let waiting = self.locked(Lock::Token(id));
                let rank = waiting
                    .iter()
                    .filter_map(|key| self.exchanges.get(key))
                    .map(|exchange| exchange.rank)
                    .min()
                    .unwrap_or((0, 0));
                let wanted = Wanted { registry, account, scopes: pending.scopes, rank };
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
            self.auth.refuse(&registry, &account, None);
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

fn pending_scopes(client: &Client, id: TokenId) -> alloc::vec::Vec<crate::http::Scope> {
    client.auth.pending.get(&id).map(|pending| pending.scopes.clone()).unwrap_or_default()
}
