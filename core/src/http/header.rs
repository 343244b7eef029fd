use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::text;

/// A borrowed list of header fields as a transport gives them, in their order.
///
/// Names compare without case (RFC 9110 §5.1). A host that cannot see a field leaves it out; whether absent then means
/// hidden is a matter of its `HostProfile`.
#[derive(Clone, Copy, Default)]
pub struct Headers<'a>(&'a [(&'a str, &'a [u8])]);

impl<'a> Headers<'a> {
    /// Of these fields.
    pub const fn new(fields: &'a [(&'a str, &'a [u8])]) -> Headers<'a> {
        Headers(fields)
    }

    /// Every value of the fields of this name, in order, without the white space around them.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim_ascii())
    }

    /// The value of a field that takes one value.
    ///
    /// `None` if it is absent, and also if it comes several times with different values: such a field says nothing
    /// (RFC 9110 §5.3 forbids it), and taking either would let two parsers on the way see two things.
    pub fn one(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.all(name);
        let first = values.next()?;
        values.all(|value| value == first).then_some(first)
    }

    /// [`Headers::one`] as text; `None` also if it is no UTF-8 or holds control characters.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let text = core::str::from_utf8(self.one(name)?).ok()?;
        (!text.chars().any(|c| c.is_control() && c != '\t')).then_some(text)
    }

    /// [`Headers::text`] as a number of decimal digits only, such as `Content-Length`.
    pub fn number(&self, name: &str) -> Option<u64> {
        text::decimal(self.text(name)?)
    }

    /// Whether there is a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.0.iter().copied()
    }
}

impl<'a> From<&'a [(&'a str, &'a [u8])]> for Headers<'a> {
    fn from(fields: &'a [(&'a str, &'a [u8])]) -> Self {
        Headers(fields)
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &str, value: &[u8]| match is_secret(name) {
            true => String::from("…"),
            false => String::from_utf8_lossy(value).into_owned(),
        };
        f.debug_map().entries(self.iter().map(|(name, value)| (name, shown(name, value)))).finish()
    }
}

/// Fields whose values are never shown.
fn is_secret(name: &str) -> bool {
    ["authorization", "proxy-authorization", "cookie", "set-cookie"]
        .iter()
        .any(|s| s.eq_ignore_ascii_case(name))
}

/// An owned list of header fields, for what we send. Names are kept in lower case, as HTTP/2 wants them
/// (RFC 9113 §8.2.1); the values of `authorization` and of cookies are never shown by `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderList(Vec<(String, String)>);

impl HeaderList {
    /// An empty list.
    pub const fn new() -> HeaderList {
        HeaderList(Vec::new())
    }

    /// Replaces every field of this name by this one.
    ///
    /// Characters that would end a field are made harmless: control characters in a value become spaces, as
    /// RFC 9110 §5.5 says, and what is no `token` character in a name is left out.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.append(name, value);
    }

    /// Adds a field beside those there are of this name, with the same care as [`HeaderList::set`].
    pub fn append(&mut self, name: &str, value: impl Into<String>) {
        let mut value: String = value.into();
        if value.chars().any(is_forbidden) {
            value = value.chars().map(|c| if is_forbidden(c) { ' ' } else { c }).collect();
        }
        let name = name.chars().filter(|c| text::is_token_char(*c)).map(|c| c.to_ascii_lowercase()).collect();
        self.0.push((name, value));
    }

    /// Removes every field of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// [`HeaderList::set`], for building.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> HeaderList {
        self.set(name, value);
        self
    }

    /// The first value of this name.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether there is a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.one(name).is_some()
    }

    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn is_forbidden(c: char) -> bool {
    c.is_control() && c != '\t'
}

impl IntoIterator for HeaderList {
    type Item = (String, String);
    type IntoIter = alloc::vec::IntoIter<(String, String)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Debug for HeaderList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, if is_secret(name) { "…" } else { value })))
            .finish()
    }
}

/// What a response begins with.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Head<'a> {
    /// The status (RFC 9110 §15).
    pub status: u16,
    /// The header fields.
    pub headers: Headers<'a>,
    /// Where a transport that follows redirects by itself ended; `None` where it follows none.
    pub final_url: Option<&'a str>,
}

impl<'a> Head<'a> {
    /// Of a response to the URL that was asked.
    pub const fn new(status: u16, headers: Headers<'a>) -> Head<'a> {
        Head { status, headers, final_url: None }
    }

    /// Of a response that the transport got after redirects of its own.
    #[must_use]
    pub const fn from_url(mut self, final_url: &'a str) -> Head<'a> {
        self.final_url = Some(final_url);
        self
    }

    /// 2xx.
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// A status with which `Location` is to be followed: 301, 302, 303, 307, 308 (RFC 9110 §15.4).
    pub const fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 303 | 307 | 308)
    }

    /// `Content-Length`, if it is one number (RFC 9110 §8.6).
    pub fn content_length(&self) -> Option<u64> {
        self.headers.number("content-length")
    }

    /// `Content-Type` without its parameters (RFC 9110 §8.3).
    pub fn content_type(&self) -> Option<&'a str> {
        let value = self.headers.text("content-type")?;
        Some(value.split_once(';').map_or(value, |(media_type, _)| media_type).trim_ascii_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec;

    #[test]
    fn names_compare_without_case_and_one_means_one() {
        let headers = Headers::new(&[
            ("Content-Length", b" 12 "),
            ("X-A", b"1"),
            ("x-a", b"2"),
            ("ETAG", b"\"e\""),
            ("etag", b"\"e\""),
            ("Bad", b"\xff"),
            ("Split", b"a\rb"),
            ("Content-Type", b"Application/JSON ; charset=utf-8"),
        ]);
        let head = Head::new(200, headers);
        assert_eq!(head.content_length(), Some(12));
        assert_eq!(head.content_type(), Some("Application/JSON"));
        assert_eq!(headers.one("x-A"), None, "two values say nothing");
        assert_eq!(headers.all("x-A").collect::<Vec<_>>(), vec![b"1", b"2"]);
        assert_eq!(headers.text("ETag"), Some("\"e\""), "the same value twice is one");
        assert_eq!((headers.one("bad"), headers.text("bad")), (Some(&b"\xff"[..]), None));
        assert_eq!(headers.text("split"), None);
        assert!(headers.has("BAD") && !headers.has("good"));
    }

    #[test]
    fn numbers_are_digits_only() {
        for (value, wanted) in
            [("0", Some(0)), ("18446744073709551615", Some(u64::MAX)), ("18446744073709551616", None)]
        {
            let fields = [("content-length", value.as_bytes())];
            assert_eq!(Head::new(200, Headers::new(&fields)).content_length(), wanted);
        }
        for value in ["", "+1", "-1", "1, 1", "0x1", "1.0", "1 2"] {
            let fields = [("content-length", value.as_bytes())];
            assert_eq!(Head::new(200, Headers::new(&fields)).content_length(), None, "{value}");
        }
    }

    #[test]
    fn a_list_sets_appends_and_removes() {
        let mut list = HeaderList::new().with("Accept", "a").with("User-Agent", "w");
        list.append("ACCEPT", "b");
        assert_eq!(list.iter().collect::<Vec<_>>(), [("accept", "a"), ("user-agent", "w"), ("accept", "b")]);
        list.set("Accept", "c");
        assert_eq!((list.one("accept"), list.len()), (Some("c"), 2));
        list.remove("USER-AGENT");
        assert!(!list.has("user-agent") && !list.is_empty());
        assert_eq!(list.into_iter().collect::<Vec<_>>(), [("accept".into(), "c".into())]);
    }

    #[test]
    fn a_value_cannot_end_its_field() {
        let list = HeaderList::new().with("X-A\r\nHost", "a\r\nHost: evil\0\u{85}b\tc");
        assert_eq!(list.iter().collect::<Vec<_>>(), [("x-ahost", "a  Host: evil  b\tc")]);
    }

    #[test]
    fn debug_shows_no_credentials() {
        let list = HeaderList::new().with("Authorization", "Bearer hunter2").with("Accept", "a");
        let shown = format!("{list:?} {:?}", Headers::new(&[("Set-Cookie", b"hunter2"), ("a", b"b")]));
        assert_eq!(shown, r#"{"authorization": "…", "accept": "a"} {"Set-Cookie": "…", "a": "b"}"#);
    }
}
