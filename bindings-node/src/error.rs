//! Core's errors on their way to JavaScript, where they get their classes: the message is their JSON.

use napi::{Error, Status};
use napi_derive::napi;
use wharfie_core::error::{Error as Wrong, Misuse};
use wharfie_core::wire;

/// What `native.ts` makes a `WharfieError` of.
#[allow(clippy::needless_pass_by_value, reason = "`map_err` gives it away")]
pub(crate) fn thrown(error: Wrong) -> Error {
    Error::from_reason(wire::error_json(&error))
}

/// A driver's bug.
#[allow(clippy::needless_pass_by_value, reason = "`map_err` gives it away")]
pub(crate) fn misused(misuse: Misuse) -> Error {
    Error::new(Status::InvalidArg, misuse.to_string())
}

#[napi]
pub fn error_codes() -> Vec<String> {
    wire::error_codes().iter().map(|code| (*code).to_owned()).collect()
}

#[napi]
pub fn cancelled() -> String {
    wire::error_json(&wire::cancelled())
}

#[napi]
pub fn local_error(failure: String, operation: String, needed: i64, reason: String) -> String {
    wire::error_json(&wire::local_error(&failure, &operation, needed as u64, &reason))
}
