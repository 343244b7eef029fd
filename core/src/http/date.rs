//! Dates of headers and documents, as seconds since 1970-01-01T00:00:00Z. No clock is read.

use alloc::string::String;
use core::time::Duration;

use super::Headers;

/// The longest wait that [`retry_after`] gives: a day.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads an HTTP date in any of its three formats (RFC 9110 §5.6.7). A year of two digits is 1970 to 2069, for there is no
/// clock to count fifty years from. `None` if it is malformed or names no day or time there is.
pub fn parse_http(text: &str) -> Option<i64> {
    let _ = text;
    None
}

/// Writes an HTTP date in the format that RFC 9110 §5.6.7 prefers; `None` before year 0 and after year 9999.
pub fn format_http(seconds: i64) -> Option<String> {
    let _ = seconds;
    None
}

/// Reads a date of RFC 3339 (§5.6), as token responses and image configs use them; fractions of a second are dropped.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let _ = text;
    None
}

/// How long to wait before the next try: `Retry-After` in seconds or as a date (RFC 9110 §10.2.3), else the
/// `x-retry-after` and `x-ratelimit-reset` that some registries send.
///
/// A date counts from the same response's `Date`, never from a clock; without one it says nothing. A date that has passed
/// is zero. Never more than [`MAX_RETRY_AFTER`].
pub fn retry_after(headers: &Headers<'_>) -> Option<Duration> {
    let _ = headers;
    None
}
