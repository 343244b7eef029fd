use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use super::{percent, text};
use crate::error::{Error, ErrorKind, Result};

mod host;
#[cfg(test)]
mod tests;

pub use host::HostKind;

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port where a URL names none: 80 or 443.
    pub const fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Scheme, host and port (RFC 6454 §4): credentials never go from one to another. Shown as `https://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Origin {
    /// Its scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its host in normal form: lower case, IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port, the default one too.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host`, or `host:port` if the port is not the scheme's own: the value of `Host`.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Where its host leads, as far as its name says it.
    pub fn host_kind(&self) -> HostKind {
        host::kind(&self.host)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

/// An absolute `http` or `https` URL in normal form (RFC 3986; RFC 9110 §4.2).
///
/// Every client that gets it reads the same target out of it, because what clients read differently is refused or made
/// plain: control characters, white space and backslashes anywhere, user information, empty or malformed hosts and ports,
/// hosts that are not ASCII are errors; hosts are lower case, IPv4 in any of its number forms is four decimals, dot segments
/// (`%2e` too) are resolved, and characters that RFC 3986 has no place for are percent-encoded. A fragment is dropped, for it
/// is never sent. Else path and query stay to the letter, since signed URLs depend on them.
///
/// `Display` gives all of it. `Debug` leaves the query out: it may hold a signature.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    origin: Origin,
    path: String,
    query: Option<String>,
}

impl Url {
    /// No URL may be longer, in bytes. (Signed ones run to some 4 KiB.)
    pub const MAX_LEN: usize = 32 << 10;

    /// Reads an absolute URL.
    ///
    /// # Errors
    /// `invalid_url` as described for the type; its `input` never holds the query or user information.
    pub fn parse(input: &str) -> Result<Url> {
        absolute(input).map_err(|reason| invalid(input, reason))
    }

    /// The URL that `reference` means in a document from this one (RFC 3986 §5.2, strict): `Location`, `Link` and realms.
    ///
    /// # Errors
    /// `invalid_url` as for [`Url::parse`], and for another scheme.
    pub fn join(&self, reference: &str) -> Result<Url> {
        self.resolve(reference).map_err(|reason| invalid(reference, reason))
    }

    fn resolve(&self, reference: &str) -> Result<Url, &'static str> {
        let text = checked(reference)?;
        if text.starts_with("//") {
            return absolute(&format!("{}:{text}", self.origin.scheme));
        }
        if has_scheme(text) {
            return absolute(text);
        }
        if text.is_empty() {
            return Ok(self.clone());
        }
        let (path, query) = split_query(text);
        let (path, query) = match path {
            "" => (self.path.clone(), query),
            _ if path.starts_with('/') => (path.to_string(), query),
            _ => {
                let directory = self.path.rsplit_once('/').map_or("", |(directory, _)| directory);
                (format!("{directory}/{path}"), query)
            }
        };
        Ok(Url { origin: self.origin.clone(), path: normal_path(&path), query: query.map(normal_query) })
            .and_then(sized)
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Its scheme.
    pub fn scheme(&self) -> Scheme {
        self.origin.scheme
    }

    /// Whether its scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.origin.scheme == Scheme::Https
    }

    /// Its host in normal form: lower case, IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.origin.host
    }

    /// The address that its host is, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        host::ip(&self.origin.host)
    }

    /// Where its host leads, as far as its name says it.
    pub fn host_kind(&self) -> HostKind {
        self.origin.host_kind()
    }

    /// Its port, the default one too.
    pub fn port(&self) -> u16 {
        self.origin.port
    }

    /// Its path, which begins with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its query without `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Path and query: the request target (RFC 9112 §3.2.1).
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// This URL with these pairs after what its query holds already, encoded. (An upload's location keeps its own query
    /// when `digest` is added.)
    #[must_use]
    pub fn with_query<K: AsRef<str>, V: AsRef<str>>(&self, pairs: impl IntoIterator<Item = (K, V)>) -> Url {
        let added = percent::encode_query(pairs);
        let query = match self.query.as_deref() {
            Some(query) if !query.is_empty() && !added.is_empty() => {
                let gap = if query.ends_with('&') { "" } else { "&" };
                Some(format!("{query}{gap}{added}"))
            }
            Some(query) if added.is_empty() => Some(query.to_string()),
            _ => (!added.is_empty()).then_some(added),
        };
        Url { origin: self.origin.clone(), path: self.path.clone(), query }
    }

    /// This URL without its query: what may be shown.
    #[must_use]
    pub fn without_query(&self) -> Url {
        Url { origin: self.origin.clone(), path: self.path.clone(), query: None }
    }
}

impl FromStr for Url {
    type Err = Error;
    fn from_str(input: &str) -> Result<Self> {
        Url::parse(input)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.origin, self.path, if self.query.is_some() { "?…" } else { "" })
    }
}

fn invalid(input: &str, reason: &str) -> Error {
    let shown = input.split(['?', '#']).next().unwrap_or_default();
    let shown = match shown.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => shown.to_string(),
    };
    ErrorKind::InvalidUrl { input: text::one_line(&shown, 200), reason: reason.to_string() }.into()
}

/// The reference without its fragment, if it holds nothing that is refused everywhere.
fn checked(text: &str) -> Result<&str, &'static str> {
    if text.len() > Url::MAX_LEN {
        return Err("it is longer than 32 KiB");
    }
    for c in text.chars() {
        match c {
            '\\' => return Err("a backslash is refused"),
            _ if c.is_whitespace() => return Err("white space is refused"),
            _ if c.is_control() => return Err("control characters are refused"),
            _ => {}
        }
    }
    Ok(text.split('#').next().unwrap_or_default())
}

/// Whether it begins with `scheme ":"` (RFC 3986 §3.1).
fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

fn absolute(input: &str) -> Result<Url, &'static str> {
    let text = checked(input)?;
    let (scheme, rest) = text.split_once(':').ok_or("it has no scheme")?;
    let scheme = [Scheme::Http, Scheme::Https]
        .into_iter()
        .find(|s| s.as_str().eq_ignore_ascii_case(scheme))
        .ok_or("its scheme is neither http nor https")?;
    let rest = rest.strip_prefix("//").ok_or("no `//` follows the scheme")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err("user information is refused");
    }
    // The colon of a port comes after the bracket that closes an IPv6 address.
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let colon = authority.get(bracket..).and_then(|rest| rest.find(':')).map(|at| at + bracket);
    let (host, port) = match colon.and_then(|at| authority.split_at_checked(at)) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or_default()),
        None => (authority, ""),
    };
    let port = match port {
        "" => scheme.default_port(),
        _ => text::decimal(port)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port != 0)
            .ok_or("the port is no number from 1 to 65535")?,
    };
    let origin = Origin { scheme, host: host::parse(host)?, port };
    let (path, query) = split_query(tail);
    sized(Url { origin, path: normal_path(path), query: query.map(normal_query) })
}

/// Encoding makes text longer, up to threefold: the bound holds for what comes out too, so that a URL can be read again.
fn sized(url: Url) -> Result<Url, &'static str> {
    let query = url.query.as_ref().map_or(0, |query| query.len() + 1);
    match "https://:65535".len() + url.origin.host.len() + url.path.len() + query {
        len if len > Url::MAX_LEN => Err("it is longer than 32 KiB"),
        _ => Ok(url),
    }
}

/// RFC 3986 §5.2.4 on an absolute path, `%2e` read as a dot as WHATWG clients do.
fn normal_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        let dots = dots(part);
        match dots {
            0 => segments.push(part),
            _ => {
                if dots == 2 {
                    segments.pop();
                }
                if is_last {
                    segments.push("");
                }
            }
        }
    }
    let mut normal = String::with_capacity(path.len() + 1);
    for segment in segments {
        normal.push('/');
        push_allowed(&mut normal, segment, b"/?\"#<>^`{}|[]");
    }
    if normal.is_empty() {
        normal.push('/');
    }
    normal
}

/// 1 for `.`, 2 for `..`, 0 for anything else.
fn dots(segment: &str) -> usize {
    let mut rest = segment;
    let mut dots = 0;
    while !rest.is_empty() && dots < 3 {
        let after =
            rest.strip_prefix('.').or_else(|| rest.strip_prefix("%2e")).or_else(|| rest.strip_prefix("%2E"));
        match after {
            Some(after) => rest = after,
            None => return 0,
        }
        dots += 1;
    }
    if dots > 2 { 0 } else { dots }
}

fn normal_query(query: &str) -> String {
    let mut normal = String::with_capacity(query.len());
    push_allowed(&mut normal, query, b"\"#<>");
    normal
}

/// Encodes what is not ASCII and these; a stray `%` stays, as every client leaves it.
fn push_allowed(out: &mut String, text: &str, encoded: &[u8]) {
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !encoded.contains(&byte) {
            out.push(char::from(byte));
        } else {
            percent::push_encoded(out, byte);
        }
    }
}
