//! Who we are to each registry: challenges, credentials and tokens.
//!
//! One registry has one way of authentication, learned from its first challenge. Credentials are kept by repository
//! (credential files are keyed so), tokens by what they are good for; whoever needs a token that is on its way waits for
//! it, so that one request serves all.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::CredentialsId;
use super::exchange::{Sent, TokenId};
use crate::error::Error;
use crate::http::{Scope, Secret, Url, basic_auth, bearer_auth};
use crate::map::Map;
use crate::time::Millis;

/// What a host found for a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// A user and a password. The user `<token>` marks the password as a refresh token, as credential helpers do.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token (`identitytoken` in docker's config, user `<token>` from a helper): OAuth2.
    RefreshToken(Secret),
    /// A token to send as it is (`registrytoken`).
    Bearer(Secret),
}

/// The user name by which a credential helper says that the secret is a refresh token.
pub(super) const TOKEN_USER: &str = "<token>";

/// How often new credentials are asked for after a refusal, before that is final.
const MOST_QUESTIONS: u32 = 3;

/// A token of this age that is refused is not refused for its age.
const FRESH: Duration = Duration::from_secs(1);

/// How a registry wants to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

/// What is known of the credentials for one repository.
#[derive(Clone, Debug, Default)]
pub(super) enum Account {
    #[default]
    Unasked,
    Asked(CredentialsId),
    Found {
        credentials: Credentials,
        serial: u64,
    },
    /// There are none.
    Nothing,
    /// There are none but those that were refused.
    Refused,
}

/// [`Account`], how often its credentials were refused, and in which words, where those are known.
#[derive(Clone, Debug, Default)]
struct Standing {
    account: Account,
    refusals: u32,
    reason: Option<Error>,
}

#[derive(Debug)]
struct Token {
    secret: Secret,
    scopes: Vec<Scope>,
    account: String,
    issued: Millis,
    expires: Millis,
    serial: u64,
    with_credentials: bool,
}

/// A token as it came.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) account: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) secret: Secret,
    pub(super) lives: Duration,
    pub(super) with_credentials: bool,
}

/// A request for a token that is under way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) registry: String,
    pub(super) account: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) exchange: super::exchange::Key,
    /// Whether it is the `POST` of a refresh token, which some token servers do not know.
    pub(super) is_form: bool,
    pub(super) with_credentials: bool,
}

#[derive(Debug, Default)]
struct Registry {
    way: Option<Way>,
    accounts: Map<String, Standing>,
    tokens: Vec<Token>,
}

/// Every registry's way, accounts and tokens.
#[derive(Debug, Default)]
pub(super) struct Auth {
    registries: Map<String, Registry>,
    pub(super) pending: Map<TokenId, Pending>,
    questions: Map<CredentialsId, (String, String)>,
    serial: u64,
}

/// What a request is to carry.
#[derive(Debug)]
pub(super) enum Authorization {
    /// Nothing: nobody asked for it yet, or there is nothing.
    Nothing,
    /// This.
    Header(Secret, Sent, bool),
    /// Credentials have to be asked for, or have been.
    Ask,
    /// A token has to be fetched from here.
    Fetch { realm: Url, service: Option<String>, credentials: Option<Credentials> },
    /// There are none but those that were refused, so.
    Refused(Option<Error>),
}

impl Auth {
    fn registry(&mut self, registry: &str) -> &mut Registry {
        if !self.registries.contains_key(registry) {
            self.registries.insert(registry.to_string(), Registry::default());
        }
        self.registries.entry(registry.to_string()).or_default()
    }

    /// The number of tokens and answers so far: what is newer than a refusal can be told by it.
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn learn(&mut self, registry: &str, way: Way) {
        self.registry(registry).way = Some(way);
    }

    /// What a request for `scopes` is to carry now.
    pub(super) fn authorize(
        &mut self,
        registry: &str,
        account: &str,
        scopes: &[Scope],
        now: Millis,
    ) -> Authorization {
        let registry = self.registry(registry);
        registry.tokens.retain(|token| token.expires > now);
        let standing = registry.accounts.get(account);
        let known = standing.map(|standing| &standing.account);
        if let Some(Account::Found { credentials: Credentials::Bearer(token), serial }) = known {
            return Authorization::Header(bearer_auth(token), Sent::Credentials(*serial), true);
        }
        if !matches!(registry.way, Some(Way::Basic)) {
            let covers = |token: &&Token| {
                token.account == account
                    && if scopes.is_empty() {
                        token.scopes.is_empty()
                    } else {
                        scopes.iter().all(|wanted| token.scopes.iter().any(|scope| scope.covers(wanted)))
                    }
            };
            if let Some(token) = registry.tokens.iter().rev().find(covers) {
                return Authorization::Header(
                    bearer_auth(&token.secret),
                    Sent::Token { serial: token.serial, fresh: now.since(token.issued) <= FRESH },
                    token.with_credentials,
                );
            }
        }
        let Some(way) = &registry.way else { return Authorization::Nothing };
        let credentials = match known {
            None | Some(Account::Unasked | Account::Asked(_)) => return Authorization::Ask,
            Some(Account::Refused) => {
                return Authorization::Refused(standing.and_then(|standing| standing.reason.clone()));
            }
            Some(Account::Found { credentials, serial }) => Some((credentials, *serial)),
            Some(Account::Nothing) => None,
        };
        match (way, credentials) {
            (Way::Basic, Some((Credentials::Basic { user, password }, serial))) => {
                Authorization::Header(basic_auth(user, password), Sent::Credentials(serial), true)
            }
            (Way::Basic, Some((Credentials::RefreshToken(secret), serial))) => {
                Authorization::Header(basic_auth(TOKEN_USER, secret), Sent::Credentials(serial), true)
            }
            (Way::Basic, _) => Authorization::Nothing,
            (Way::Bearer { realm, service }, credentials) => Authorization::Fetch {
                realm: realm.clone(),
                service: service.clone(),
                credentials: credentials.map(|(credentials, _)| credentials.clone()),
            },
        }
    }

    /// The request under way that will bring a token for these scopes.
    pub(super) fn pending_for(&self, registry: &str, account: &str, scopes: &[Scope]) -> Option<TokenId> {
        self.pending
            .iter()
            .find(|(_, pending)| {
                pending.registry == registry
                    && pending.account == account
                    && if scopes.is_empty() {
                        pending.scopes.is_empty()
                    } else {
                        scopes.iter().all(|wanted| pending.scopes.iter().any(|scope| scope.covers(wanted)))
                    }
            })
            .map(|(id, _)| *id)
    }

    /// The question for an account that has been put already.
    pub(super) fn question(&self, registry: &str, account: &str) -> Option<CredentialsId> {
        match self.registries.get(registry)?.accounts.get(account)?.account {
            Account::Asked(id) => Some(id),
            _ => None,
        }
    }

    pub(super) fn asked(&mut self, registry: &str, account: &str, id: CredentialsId) {
        let entry = self.registry(registry).accounts.entry(account.to_string()).or_default();
        entry.account = Account::Asked(id);
        self.questions.insert(id, (registry.to_string(), account.to_string()));
    }

    /// Takes the answer to a question; `None` if that is not open.
    pub(super) fn answered(&mut self, id: CredentialsId, found: Option<Credentials>) -> Option<()> {
        let (registry, account) = self.questions.remove(&id)?;
        self.serial += 1;
        let serial = self.serial;
        let standing = self.registry(&registry).accounts.entry(account).or_default();
        standing.account = match found {
            Some(Credentials::Basic { user, password }) if user == TOKEN_USER => {
                Account::Found { credentials: Credentials::RefreshToken(password), serial }
            }
            Some(credentials) => Account::Found { credentials, serial },
            None if standing.refusals > 0 => Account::Refused,
            None => Account::Nothing,
        };
        Some(())
    }

    /// The registry or its token server refused the credentials of this account: they are asked for again, or the
    /// refusal is final.
    pub(super) fn refuse(&mut self, registry: &str, account: &str, sent: Option<u64>, reason: Option<Error>) {
        let registry = self.registry(registry);
        let Some(standing) = registry.accounts.get_mut(account) else { return };
        let Account::Found { serial, .. } = &standing.account else { return };
        // Others may have been given while that request was under way.
        if sent.is_some_and(|sent| sent != *serial) {
            return;
        }
        standing.refusals += 1;
        standing.reason = reason.or(standing.reason.take());
        standing.account =
            if standing.refusals >= MOST_QUESTIONS { Account::Refused } else { Account::Unasked };
    }

    /// A token that was sent is refused: nobody sends it again.
    pub(super) fn drop_token(&mut self, registry: &str, serial: u64) {
        self.registry(registry).tokens.retain(|token| token.serial != serial);
    }

    /// Keeps a token that lives this long from now.
    pub(super) fn add_token(&mut self, registry: &str, issued: Issued, now: Millis) {
        let Issued { account, scopes, secret, lives, with_credentials } = issued;
        self.serial += 1;
        let serial = self.serial;
        let registry = self.registry(registry);
        registry.tokens.retain(|token| !(token.account == account && token.scopes == scopes));
        // It must still be good when it arrives there: a tenth of its life is left out, at most ten seconds.
        let margin = (lives / 10).min(Duration::from_secs(10));
        registry.tokens.push(Token {
            secret,
            scopes,
            account,
            issued: now,
            expires: now + lives.saturating_sub(margin),
            serial,
            with_credentials,
        });
    }

    /// A refresh token that came with a token replaces the one that we had.
    pub(super) fn renew(&mut self, registry: &str, account: &str, refresh: Secret) {
        let found = self.registry(registry).accounts.get_mut(account).map(|standing| &mut standing.account);
        if let Some(Account::Found { credentials: Credentials::RefreshToken(kept), .. }) = found {
            *kept = refresh;
        }
    }
}
