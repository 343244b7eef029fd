use alloc::vec::Vec;
use core::time::Duration;

use super::{Scope, Secret, Url};
use crate::Limits;
use crate::error::Result;

/// The media type of [`TokenRequest::refresh_form`] and [`TokenRequest::password_form`].
pub const FORM_MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// What a token server answered (Docker's token specification; RFC 6749 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenResponse {
    /// The token: `token`, or else `access_token`.
    pub token: Secret,
    /// How long it lives, counted from its receipt: `expires_in`, 60 seconds where it is absent or less, as docker has it.
    pub lifetime: Duration,
    /// When it was issued by the server's clock, in seconds since 1970; a fact only.
    pub issued_at: Option<i64>,
    /// What gets the next token by [`TokenRequest::refresh_form`].
    pub refresh_token: Option<Secret>,
    /// The scopes granted, where the server says so (OAuth2); they may be fewer than were asked for.
    pub scopes: Vec<Scope>,
}

impl TokenResponse {
    /// Reads the body of a 200.
    ///
    /// # Errors
    /// `limit_exceeded` over [`Limits::token_bytes`], `invalid_document` if it is no JSON object, holds no token or one
    /// that cannot go into a header. No error shows any part of the body.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<TokenResponse> {
        let _ = (body, limits);
        Err(crate::error::ErrorKind::InvalidDocument { document: "token response", reason: "".into() }.into())
    }
}

/// What is asked of a token server; the same facts go into a query (Docker's token specification) or a form (OAuth2).
#[derive(Clone, Debug)]
pub struct TokenRequest<'a> {
    client_id: &'a str,
    service: Option<&'a str>,
    scopes: &'a [Scope],
    account: Option<&'a str>,
    offline: bool,
}

impl<'a> TokenRequest<'a> {
    /// A request by the program of this name.
    pub fn new(client_id: &'a str) -> TokenRequest<'a> {
        TokenRequest { client_id, service: None, scopes: &[], account: None, offline: false }
    }

    /// The challenge's service, to the letter; none where it has none.
    #[must_use]
    pub fn service(mut self, service: Option<&'a str>) -> Self {
        self.service = service;
        self
    }

    /// What the token is to be good for.
    #[must_use]
    pub fn scopes(mut self, scopes: &'a [Scope]) -> Self {
        self.scopes = scopes;
        self
    }

    /// The user, for a query that goes with Basic.
    #[must_use]
    pub fn account(mut self, account: &'a str) -> Self {
        self.account = Some(account);
        self
    }

    /// Asks for a refresh token as well.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// The URL of the `GET`: the realm, its own query kept, with `service`, one `scope` for each, `account`, `client_id`
    /// and `offline_token`.
    pub fn url(&self, realm: &Url) -> Url {
        realm.clone()
    }

    /// The form of the `POST` that changes a refresh token (docker's identity token) into a token:
    /// `grant_type=refresh_token` (RFC 6749 §6).
    pub fn refresh_form(&self, refresh_token: &Secret) -> Secret {
        refresh_token.clone()
    }

    /// The form of the `POST` that changes user and password into a token: `grant_type=password` (RFC 6749 §4.3.2).
    pub fn password_form(&self, user: &str, password: &Secret) -> Secret {
        let _ = user;
        password.clone()
    }
}
