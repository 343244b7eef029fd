//! Errors, as every language has them.

use alloc::string::{String, ToString};

use serde_json::Value;

use super::Object;
use crate::error::{Error, ErrorKind, Fact};
use crate::name::Name;

/// Every code there is, in declaration order: each host has a class for each.
pub fn error_codes() -> &'static [&'static str] {
    ErrorKind::CODES
}

/// An error as JSON: `code`, `message` (with the place), `facts`, `place` and, where there is something to do, `hint`.
///
/// A span of time among the facts is a number of seconds; an entry's name, which is bytes, is escaped as it is in messages.
pub fn error_json(error: &Error) -> String {
    value(error).to_string()
}

/// What ends a job that was stopped.
pub fn cancelled() -> Error {
    ErrorKind::Cancelled {}.into()
}

/// What happened to a host's own file or store, for hosts that have only words for it: `failure` is `no_space` (`needed`: what it
/// would take, 0 if unknown), `permission`, `absent` or `io`; `operation` says what was done, as one of the words below.
pub fn local_error(failure: &str, operation: &str, needed: u64, reason: &str) -> Error {
    const OPERATIONS: &[&str] = &[
        "opening the image",
        "opening the store",
        "reading",
        "unpacking",
        "naming a blob",
        "keeping a document",
        "writing",
        "writing the output",
        "fetching the archive",
    ];
    let operation = OPERATIONS.iter().find(|known| **known == operation).copied().unwrap_or("reading");
    let reason = reason.to_string();
    match failure {
        "no_space" => ErrorKind::NoSpace { needed, available: None },
        "permission" => ErrorKind::PermissionDenied { operation, reason },
        "absent" => ErrorKind::NotFound { what: "a file of this name".to_string(), detail: Some(reason) },
        _ => ErrorKind::LocalIo { operation, reason },
    }
    .into()
}

/// What a host's own bug, or a trap of ours, comes to.
pub fn internal(reason: impl Into<String>) -> Error {
    ErrorKind::Internal { reason: reason.into() }.into()
}

pub(super) fn value(error: &Error) -> Value {
    let facts: Object =
        error.kind().facts().into_iter().fold(Object::new(), |facts, (name, fact)| match fact {
            Fact::Text(text) => facts.with(name, text),
            Fact::Number(number) => facts.with(name, number),
            Fact::Span(span) => facts.with(name, span.as_secs_f64()),
        });
    let place = error.place();
    let place = Object::new()
        .with_some("image", place.image.clone())
        .with_some("blob", place.blob.map(|blob| blob.to_string()))
        .with_some("layer", place.layer)
        .with_some("entry", place.entry.as_ref().map(|entry| Name(entry).to_string()))
        .with_some("byte", place.byte)
        .with_some("url", place.url.clone())
        .with_some("path", place.path.clone());
    Object::new()
        .with("code", error.code())
        .with("message", error.to_string())
        .with("facts", facts)
        .with("place", place)
        .with_some("hint", error.hint())
        .into()
}
