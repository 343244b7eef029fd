use alloc::format;
use alloc::string::ToString;

use super::text::one_line;
use super::{Code, ErrorBody, Headers, date};
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
    let host = || asked.host.to_string();
    let what = || asked.what.to_string();
    let detail = || body.summary();
    let said = || detail().unwrap_or_else(|| "it does not say why".to_string());
    let has = |codes: &[Code]| codes.iter().any(|code| body.has(code));
    let named = |names: &[&str]| has_name(body, names);
    let with_credentials = asked.with_credentials;

    if is_rate_limit(status, body, headers) {
        let limit = |names: [&str; 2]| {
            let text = names.into_iter().find_map(|name| headers.text(name))?;
            Some(one_line(text, 100)).filter(|text| !text.is_empty())
        };
        return ErrorKind::RateLimited {
            host: host(),
            retry_after: date::retry_after(headers),
            limit: limit(["ratelimit-limit", "x-ratelimit-limit"]),
            remaining: limit(["ratelimit-remaining", "x-ratelimit-remaining"]),
        };
    }
    if status >= 500 && status != 501 {
        return ErrorKind::ServerError { host: host(), status, detail: detail() };
    }
    if asked.role == Role::BlobStore && matches!(status, 400 | 401 | 403) {
        // The signed URL is the registry's work: no login helps.
        return ErrorKind::ServerError { host: host(), status, detail: detail() };
    }
    let refused_grant = ["invalid_grant", "invalid_client", "unauthorized_client", "access_denied"];
    if asked.role == Role::TokenServer && named(&refused_grant) {
        let reason = format!("the token server {} refuses the credentials", asked.host);
        return ErrorKind::Unauthorized { reason, detail: detail(), with_credentials };
    }
    if has(&[Code::Denied]) || named(&["FORBIDDEN", "PERMISSION_DENIED"]) {
        return denied(asked, body);
    }
    if has(&[Code::Unauthorized]) || named(&["UNAUTHENTICATED"]) {
        return unauthorized(asked, body);
    }
    if has(&[Code::ManifestUnknown, Code::NameUnknown, Code::BlobUnknown, Code::BlobUploadUnknown])
        || named(&["NOT_FOUND"])
    {
        return ErrorKind::NotFound { what: what(), detail: detail() };
    }
    if has(&[Code::NameInvalid]) {
        let reason = format!("{} refuses it: {}", asked.host, said());
        return ErrorKind::InvalidReference { input: what(), part: "repository", reason };
    }
    if has(&[Code::ManifestInvalid, Code::ManifestUnverified, Code::ManifestBlobUnknown, Code::TagInvalid]) {
        let reason = format!("{} refuses it: {}", asked.host, said());
        return ErrorKind::InvalidDocument { document: "manifest", reason };
    }
    if has(&[Code::Unsupported]) {
        return ErrorKind::UnsupportedOperation { host: host(), what: what(), detail: detail() };
    }
    match status {
        401 => unauthorized(asked, body),
        402 | 403 | 451 => denied(asked, body),
        407 => ErrorKind::Unauthorized {
            reason: "the proxy wants credentials".to_string(),
            detail: detail(),
            with_credentials: false,
        },
        // A realm that is not there says nothing of the image.
        404 | 410 if asked.role != Role::TokenServer => {
            ErrorKind::NotFound { what: what(), detail: detail() }
        }
        405 | 501 => ErrorKind::UnsupportedOperation { host: host(), what: what(), detail: detail() },
        408 => ErrorKind::TimedOut { host: host(), what: "it gave up waiting for the request" },
        400..=499 => ErrorKind::RequestRefused { host: host(), status, detail: detail() },
        _ => ErrorKind::ProtocolViolation { host: host(), reason: format!("unexpected status {status}") },
    }
}

fn unauthorized(asked: &Asked<'_>, body: &ErrorBody) -> ErrorKind {
    let reason = match asked.with_credentials {
        true => format!("{} does not accept the credentials for this", asked.host),
        false => format!("{} wants credentials", asked.host),
    };
    ErrorKind::Unauthorized { reason, detail: body.summary(), with_credentials: asked.with_credentials }
}

fn denied(asked: &Asked<'_>, body: &ErrorBody) -> ErrorKind {
    let reason = match asked.with_credentials {
        true => format!("{} does not allow this account to do that", asked.host),
        false => format!("{} does not allow that without credentials", asked.host),
    };
    ErrorKind::Denied { reason, detail: body.summary(), with_credentials: asked.with_credentials }
}

/// By status, by code, by what Docker Hub writes in plain text, or by a limit that is used up (GitHub's 403).
fn is_rate_limit(status: u16, body: &ErrorBody, headers: &Headers<'_>) -> bool {
    let names = [
        "TOO_MANY_REQUESTS",
        "RATE_LIMIT_EXCEEDED",
        "RATELIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "ThrottlingException",
        "RequestLimitExceeded",
        "SlowDown",
    ];
    let says_so =
        |message: &str| message.get(..15).is_some_and(|start| start.eq_ignore_ascii_case("toomanyrequests"));
    let used_up = || {
        ["ratelimit-remaining", "x-ratelimit-remaining"]
            .into_iter()
            .filter_map(|name| headers.text(name))
            // `0;w=21600` is none left in a window of so many seconds.
            .any(|text| text.split(';').next().is_some_and(|left| left.trim_ascii() == "0"))
    };
    status == 429
        || body.has(&Code::TooManyRequests)
        || has_name(body, &names)
        || body.errors.iter().filter_map(|error| error.message.as_deref()).any(says_so)
        || status == 403 && used_up()
}

fn has_name(body: &ErrorBody, names: &[&str]) -> bool {
    let codes = || body.errors.iter().filter_map(|error| error.code.as_ref());
    codes().any(|code| names.iter().any(|name| name.eq_ignore_ascii_case(code.as_str())))
}
