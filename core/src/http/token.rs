use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::text::decimal;
use super::{Scope, Secret, Url, date, percent};
use crate::Limits;
use crate::error::{Error, ErrorKind, Result};

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
        if body.len() as u64 > limits.token_bytes {
            return Err(ErrorKind::LimitExceeded { limit: "token_bytes", value: limits.token_bytes }.into());
        }
        // The words of the JSON parser stay out: they may quote what was read.
        let wire: Wire =
            serde_json::from_slice(body).map_err(|_| invalid("it is no JSON object of a token"))?;
        let token = [wire.token, wire.access_token].into_iter().flatten().find(|token| !token.is_empty());
        let token = token.ok_or_else(|| invalid("it holds neither `token` nor `access_token`"))?;
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(invalid("the token holds characters that no header can carry"));
        }
        let seconds = match wire.expires_in {
            Some(Number::Whole(seconds)) => u64::try_from(seconds).unwrap_or(0),
            Some(Number::Text(text)) => decimal(text.trim_ascii()).unwrap_or(0),
            // `as` saturates, and NaN is 0.
            Some(Number::Real(seconds)) => seconds as u64,
            Some(Number::Other(_)) | None => 0,
        };
        Ok(TokenResponse {
            token: Secret::new(token),
            lifetime: Duration::from_secs(seconds).clamp(MIN_LIFETIME, MAX_LIFETIME),
            issued_at: wire.issued_at.as_deref().and_then(date::parse_rfc3339),
            refresh_token: wire.refresh_token.filter(|token| !token.is_empty()).map(Secret::new),
            scopes: wire.scope.as_deref().map(Scope::parse_list).unwrap_or_default(),
        })
    }
}

/// Docker's minimum, and what it takes where the server says nothing.
const MIN_LIFETIME: Duration = Duration::from_secs(60);
/// Nobody means more; it keeps sums of time far from their ends.
const MAX_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[derive(Deserialize)]
struct Wire {
    #[serde(default, deserialize_with = "lenient")]
    token: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<Number>,
    #[serde(default, deserialize_with = "lenient")]
    issued_at: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    refresh_token: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    scope: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(i64),
    Real(f64),
    Text(String),
    Other(IgnoredAny),
}

/// Text, or nothing for a value of another type: one odd field does not spoil a token.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Field {
        Text(String),
        Other(IgnoredAny),
    }
    Ok(match Field::deserialize(deserializer)? {
        Field::Text(text) => Some(text),
        Field::Other(_) => None,
    })
}

fn invalid(reason: &str) -> Error {
    ErrorKind::InvalidDocument { document: "token response", reason: reason.to_string() }.into()
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
        let mut pairs: Vec<(&str, Cow<'_, str>)> = Vec::new();
        pairs.extend(self.service.map(|service| ("service", service.into())));
        pairs.extend(self.scopes.iter().map(|scope| ("scope", scope.to_string().into())));
        pairs.extend(self.account.map(|account| ("account", account.into())));
        pairs.push(("client_id", self.client_id.into()));
        if self.offline {
            pairs.push(("offline_token", "true".into()));
        }
        realm.with_query(pairs)
    }

    /// The form of the `POST` that changes a refresh token (docker's identity token) into a token:
    /// `grant_type=refresh_token` (RFC 6749 §6).
    pub fn refresh_form(&self, refresh_token: &Secret) -> Secret {
        self.form([("grant_type", "refresh_token"), ("refresh_token", refresh_token.reveal())])
    }

    /// The form of the `POST` that changes user and password into a token: `grant_type=password` (RFC 6749 §4.3.2).
    pub fn password_form(&self, user: &str, password: &Secret) -> Secret {
        self.form([("grant_type", "password"), ("username", user), ("password", password.reveal())])
    }

    fn form<'f>(&self, grant: impl IntoIterator<Item = (&'f str, &'f str)>) -> Secret {
        let mut pairs: Vec<(&str, Cow<'_, str>)> = Vec::new();
        pairs.extend(grant.into_iter().map(|(name, value)| (name, value.into())));
        pairs.extend(self.service.map(|service| ("service", service.into())));
        pairs.push(("client_id", self.client_id.into()));
        if !self.scopes.is_empty() {
            // One parameter here, several in the query (RFC 6749 §3.3; Docker's token specification).
            let scopes: Vec<String> = self.scopes.iter().map(ToString::to_string).collect();
            pairs.push(("scope", scopes.join(" ").into()));
        }
        if self.offline {
            pairs.push(("access_type", "offline".into()));
        }
        Secret::new(percent::encode_form(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;

    fn parse(body: &str) -> TokenResponse {
        TokenResponse::parse(body.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn what_registries_answer() {
        // Docker Hub gives both names, the same token.
        let hub = parse(
            r#"{"token":"eyJ.a.b","access_token":"eyJ.a.b","expires_in":300,"issued_at":"2026-11-21T08:00:00.123456789Z"}"#,
        );
        assert_eq!(hub.token.reveal(), "eyJ.a.b");
        assert_eq!(hub.lifetime, Duration::from_secs(300));
        assert_eq!(hub.issued_at, Some(1_795_248_000));
        assert_eq!(hub.refresh_token, None);
        // GHCR and Quay give nothing but a token; Azure's is `access_token`.
        assert_eq!(parse(r#"{"token":"djE6"}"#).lifetime, Duration::from_secs(60));
        let azure = parse(
            r#"{"access_token":"a","refresh_token":"r","scope":"repository:a:pull,push repository:b:pull"}"#,
        );
        assert_eq!(azure.token.reveal(), "a");
        assert_eq!(azure.refresh_token, Some("r".into()));
        assert_eq!(
            azure.scopes,
            [Scope::repository("a", ["pull", "push"]), Scope::repository("b", ["pull"])]
        );
    }

    #[test]
    fn odd_fields_do_not_spoil_a_token() {
        for (body, seconds) in [
            (r#"{"token":"t","expires_in":0}"#, 60),
            (r#"{"token":"t","expires_in":59}"#, 60),
            (r#"{"token":"t","expires_in":61}"#, 61),
            (r#"{"token":"t","expires_in":-5}"#, 60),
            (r#"{"token":"t","expires_in":null}"#, 60),
            (r#"{"token":"t","expires_in":"3600"}"#, 3600),
            (r#"{"token":"t","expires_in":3599.5}"#, 3599),
            (r#"{"token":"t","expires_in":[1]}"#, 60),
            (r#"{"token":"t","expires_in":1e300}"#, 31_536_000),
            (r#"{"token":"t","expires_in":18446744073709551615}"#, 31_536_000),
            (r#"{"token":"","access_token":"t","issued_at":17,"refresh_token":null,"scope":{}}"#, 60),
            (
                r#"{"token":null,"access_token":"t","refresh_token":"","issued_at":"0001-01-01T00:00:00Z"}"#,
                60,
            ),
        ] {
            let response = parse(body);
            assert_eq!((response.token.reveal(), response.lifetime.as_secs()), ("t", seconds), "{body}");
            assert_eq!(response.refresh_token, None, "{body}");
        }
    }

    #[test]
    fn what_is_no_token_is_an_error_that_shows_nothing() {
        let deep = "[".repeat(10_000);
        for body in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"token":""}"#,
            r#"{"token":7}"#,
            "hunter2",
            r#"{"token":"hunter2"#,
            r#"{"token":"hunter2\r\nX: y"}"#,
            r#"{"token":"hunter2 b"}"#,
            r#"{"token":"hunter2é"}"#,
            &deep,
        ] {
            let error = TokenResponse::parse(body.as_bytes(), &Limits::default()).unwrap_err();
            assert_eq!(error.code(), "invalid_document", "{body}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let limits = Limits { token_bytes: 10, ..Limits::default() };
        assert_eq!(TokenResponse::parse(br#"{"token":"t"}"#, &limits).unwrap_err().code(), "limit_exceeded");
    }

    #[test]
    fn requests_are_encoded_for_query_and_form() {
        let scopes = [Scope::repository("a/b", ["push", "pull"]), Scope::catalog()];
        let request = TokenRequest::new("wharfie").service(Some("registry.example.com")).scopes(&scopes);
        let realm = Url::parse("https://auth.example.com/token?tenant=x").unwrap();
        assert_eq!(
            format!("{}", request.clone().account("me & you").offline(true).url(&realm)),
            "https://auth.example.com/token?tenant=x&service=registry.example.com&scope=repository%3Aa%2Fb%3Apull%2Cpush\
             &scope=registry%3Acatalog%3A%2A&account=me%20%26%20you&client_id=wharfie&offline_token=true"
        );
        assert_eq!(
            format!("{}", TokenRequest::new("wharfie").url(&Url::parse("https://h/t").unwrap())),
            "https://h/t?client_id=wharfie"
        );
        assert_eq!(
            request.refresh_form(&"r+/=".into()).reveal(),
            "grant_type=refresh_token&refresh_token=r%2B%2F%3D&service=registry.example.com&client_id=wharfie\
             &scope=repository%3Aa%2Fb%3Apull%2Cpush+registry%3Acatalog%3A%2A"
        );
        assert_eq!(
            TokenRequest::new("wharfie").offline(true).password_form("u", &"p w".into()).reveal(),
            "grant_type=password&username=u&password=p+w&client_id=wharfie&access_type=offline"
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = TokenResponse::parse(&body, &Limits::default());
        }

        #[test]
        fn near_misses_do_not_panic(text in r#"\{("(token|access_token|expires_in|scope)":("\PC{0,4}"|-?[0-9]{1,25}|null|\[\]),?){0,4}\}?"#) {
            let _ = TokenResponse::parse(text.as_bytes(), &Limits::default());
        }
    }
}
