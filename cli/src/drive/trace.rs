//! What `-v` and `-vv` show of HTTP, less the secrets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wharfie_core::client::Request;
use wharfie_core::http::Url;

use super::observe::Observer;

/// Queries whose values are shown; of others there is the name alone, for they may be signatures.
const SHOWN_QUERIES: &[&str] = &["n", "last", "scope", "service", "digest", "client_id"];
/// Names of queries are no longer than this (`X-Amz-Content-Sha256`, `response-content-disposition`).
const LONGEST_NAME: usize = 30;
/// Headers whose values are never shown.
const HIDDEN_HEADERS: &[&str] = &["authorization", "proxy-authorization", "cookie", "set-cookie"];

/// Follows one exchange.
pub(super) struct Trace {
    observer: Arc<dyn Observer>,
    level: u8,
    number: u64,
    begun: Instant,
}

impl Trace {
    /// Of the exchange of this number.
    pub(super) fn new(observer: Arc<dyn Observer>, number: u64) -> Trace {
        let level = observer.trace_level();
        Trace { observer, level, number, begun: Instant::now() }
    }

    fn say(&self, level: u8, line: &str) {
        self.observer.trace(level, &format!("#{} {line}", self.number));
    }

    pub(super) fn request(&self, request: &Request) {
        if self.level < 2 {
            return;
        }
        self.say(2, &format!("> {} {}", request.method, shown_url(&request.url)));
        for (name, value) in request.headers.iter() {
            self.say(2, &format!("> {name}: {}", shown_header(name, value.as_bytes())));
        }
    }

    pub(super) fn head(&self, request: &Request, response: &reqwest::Response) {
        if self.level == 0 {
            return;
        }
        let size = response.content_length().map(|size| format!(", {size} bytes")).unwrap_or_default();
        let (method, url, status) = (request.method, shown_url(&request.url), response.status().as_u16());
        let version = response.version();
        self.say(1, &format!("{method} {url} -> {status} ({version:?}{size}, {})", self.elapsed()));
        if self.level >= 2 {
            for (name, value) in response.headers() {
                self.say(2, &format!("< {name}: {}", shown_header(name.as_str(), value.as_bytes())));
            }
        }
    }

    pub(super) fn end(&self, request: &Request, bytes: u64) {
        if self.level >= 2 {
            self.say(
                2,
                &format!("{} {}: {bytes} bytes in {}", request.method, request.url.path(), self.elapsed()),
            );
        }
    }

    pub(super) fn failure(&self, request: &Request, detail: &str) {
        if self.level > 0 {
            let (method, url) = (request.method, shown_url(&request.url));
            self.say(1, &format!("{method} {url} failed after {}: {detail}", self.elapsed()));
        }
    }

    fn elapsed(&self) -> String {
        let spent: Duration = self.begun.elapsed();
        format!("{} ms", spent.as_millis())
    }
}

/// The URL with the values of its query left out, but for those that are known to be harmless.
fn shown_url(url: &Url) -> String {
    let plain = url.without_query().to_string();
    match url.query() {
        Some(query) => format!("{plain}?{}", shown_query(query)),
        None => plain,
    }
}

fn shown_query(query: &str) -> String {
    let shown = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if SHOWN_QUERIES.contains(&name) => pair.to_owned(),
        // What is too long for a name is a value without one, or Base64 with its padding.
        Some((name, _)) if name.len() <= LONGEST_NAME => format!("{name}=…"),
        None if pair.len() <= LONGEST_NAME => pair.to_owned(),
        _ => "…".to_owned(),
    };
    query.split('&').map(shown).collect::<Vec<_>>().join("&")
}

fn shown_header(name: &str, value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    if HIDDEN_HEADERS.iter().any(|hidden| hidden.eq_ignore_ascii_case(name)) {
        // The scheme alone tells which credentials went out.
        let scheme = text.split_once(' ').map(|(scheme, _)| scheme).filter(|_| !name.ends_with("cookie"));
        return scheme.map_or_else(|| "…".to_owned(), |scheme| format!("{scheme} …"));
    }
    // Locations are URLs, signed ones among them, absolute or not.
    match text.split_once('?') {
        Some((plain, query)) if ["location", "content-location", "link", "referer"].contains(&name) => {
            format!("{plain}?{}", shown_query(query))
        }
        _ => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let url =
            Url::parse("https://cdn.example/blob?X-Amz-Signature=abc&scope=repository:a:pull&t").unwrap();
        assert_eq!(shown_url(&url), "https://cdn.example/blob?X-Amz-Signature=…&scope=repository:a:pull&t");
        assert_eq!(shown_header("authorization", b"Bearer abc.def"), "Bearer …");
        assert_eq!(shown_header("Authorization", b"opaque"), "…");
        assert_eq!(shown_header("set-cookie", b"session=abc; Path=/"), "…");
        assert_eq!(shown_header("location", b"/upload/1?_state=abc"), "/upload/1?_state=…");
        assert_eq!(shown_query("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0==&a=b"), "…&a=…");
        assert_eq!(shown_query("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0"), "…");
        assert_eq!(shown_header("etag", b"\"a?b=c\""), "\"a?b=c\"");
    }
}
