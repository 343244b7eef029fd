use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::text::one_line;
use crate::Limits;

/// The errors of one body that are kept.
const MAX_ERRORS: usize = 16;
const MAX_CODE: usize = 64;
const MAX_TEXT: usize = 300;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $code:ident = $name:literal,)*) => {
        /// An error code of the distribution specification or of Docker's registry.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])* $code,)*
            /// Any other, as it was sent (cleaned, and capped at 64 characters).
            Other(String),
        }

        impl Code {
            /// The codes that are known.
            pub const KNOWN: &'static [Code] = &[$(Code::$code),*];

            /// Its name on the wire.
            pub fn as_str(&self) -> &str {
                match self { $(Code::$code => $name,)* Code::Other(name) => name }
            }

            /// The code of this name, in whatever case.
            pub fn from_name(name: &str) -> Code {
                match name {
                    $(_ if name.eq_ignore_ascii_case($name) => Code::$code,)*
                    _ => Code::Other(one_line(name, MAX_CODE)),
                }
            }
        }
    };
}

codes! {
    /// code-1
    BlobUnknown = "BLOB_UNKNOWN",
    /// code-2
    BlobUploadInvalid = "BLOB_UPLOAD_INVALID",
    /// code-3
    BlobUploadUnknown = "BLOB_UPLOAD_UNKNOWN",
    /// code-4
    DigestInvalid = "DIGEST_INVALID",
    /// code-5: a manifest refers to a blob that is not there.
    ManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN",
    /// code-6
    ManifestInvalid = "MANIFEST_INVALID",
    /// code-7
    ManifestUnknown = "MANIFEST_UNKNOWN",
    /// code-8
    NameInvalid = "NAME_INVALID",
    /// code-9
    NameUnknown = "NAME_UNKNOWN",
    /// code-10
    SizeInvalid = "SIZE_INVALID",
    /// code-11
    Unauthorized = "UNAUTHORIZED",
    /// code-12
    Denied = "DENIED",
    /// code-13
    Unsupported = "UNSUPPORTED",
    /// code-14
    TooManyRequests = "TOOMANYREQUESTS",
    /// Docker's registry: a manifest whose signature does not hold.
    ManifestUnverified = "MANIFEST_UNVERIFIED",
    /// Docker's registry: the tag does not match the manifest's.
    TagInvalid = "TAG_INVALID",
    /// Docker's registry: chunks out of order.
    RangeInvalid = "RANGE_INVALID",
    /// Docker's registry: `n` of a list is no number.
    PaginationNumberInvalid = "PAGINATION_NUMBER_INVALID",
    /// Docker's registry: its storage is away.
    Unavailable = "UNAVAILABLE",
    /// Docker's registry: it does not know itself.
    Unknown = "UNKNOWN",
}

/// One error of an error body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorEntry {
    /// What it is; `None` where the body has a message only.
    pub code: Option<Code>,
    /// For people: one line, cleaned and capped.
    pub message: Option<String>,
    /// What else the registry says: text as one line, anything else as compact JSON, cleaned and capped.
    pub detail: Option<String>,
}

/// What an error response says, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorBody {
    /// The errors in order.
    pub errors: Vec<ErrorEntry>,
}

impl ErrorBody {
    /// Reads a body, whole or cut at [`Limits::error_body_bytes`]. Never fails: what cannot be read says nothing.
    ///
    /// Known forms: the specification's `{"errors":[{"code","message","detail"}]}`, the `details`, `error`,
    /// `error_description`, `message` of token servers and gateways, S3's and Azure's XML, and plain text. HTML says
    /// nothing but its title.
    pub fn parse(body: &[u8], content_type: Option<&str>, limits: &Limits) -> ErrorBody {
        let limit = usize::try_from(limits.error_body_bytes).unwrap_or(usize::MAX);
        let body = body.get(..limit).unwrap_or(body);
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let text = match core::str::from_utf8(body) {
            Ok(text) => text,
            // A cut may fall inside a character; anything else that is no UTF-8 is no text.
            Err(error) if error.error_len().is_none() => body
                .get(..error.valid_up_to())
                .and_then(|body| core::str::from_utf8(body).ok())
                .unwrap_or_default(),
            Err(_) => "",
        };
        let text = text.trim();
        let errors = match text.as_bytes().first() {
            None => Vec::new(),
            Some(b'<') => markup(text).into_iter().collect(),
            Some(b'{' | b'[' | b'"') => match serde_json::from_str::<Value>(text) {
                Ok(value) => json(&value),
                Err(_) => plain(text).into_iter().collect(),
            },
            Some(_) if content_type.is_some_and(|t| t.trim_ascii_start().starts_with("text/html")) => {
                Vec::new()
            }
            Some(_) => plain(text).into_iter().collect(),
        };
        ErrorBody { errors }
    }

    /// A body of one error, for the end that answers.
    pub fn of(code: Code, message: &str) -> ErrorBody {
        ErrorBody {
            errors: alloc::vec![ErrorEntry {
                code: Some(code),
                message: Some(message.to_string()),
                detail: None
            }],
        }
    }

    /// The body as the specification has it: `{"errors":[{"code":…,"message":…,"detail":…}]}`. Details go as text.
    pub fn to_json(&self) -> String {
        let errors: Vec<Value> = self
            .errors
            .iter()
            .map(|error| {
                let code = error.code.as_ref().unwrap_or(&Code::Unknown).as_str();
                let mut fields = serde_json::Map::new();
                fields.insert("code".into(), code.into());
                fields.insert("message".into(), error.message.clone().unwrap_or_default().into());
                fields.extend(error.detail.as_ref().map(|detail| ("detail".into(), detail.as_str().into())));
                Value::Object(fields)
            })
            .collect();
        serde_json::json!({ "errors": errors }).to_string()
    }

    /// Whether one of the errors is this.
    pub fn has(&self, code: &Code) -> bool {
        self.errors.iter().any(|error| error.code.as_ref() == Some(code))
    }

    /// One line for people, of at most 300 characters; `None` if the body says nothing.
    ///
    /// The messages in order, each once; where there is none, the code. A code that the specification does not know stands
    /// before its message.
    pub fn summary(&self) -> Option<String> {
        let mut parts: Vec<String> = Vec::new();
        for error in &self.errors {
            let part = match (&error.code, &error.message) {
                (Some(Code::Other(code)), Some(message)) => alloc::format!("{code}: {message}"),
                (_, Some(message)) => message.clone(),
                (Some(code), None) => code.as_str().to_string(),
                (None, None) => continue,
            };
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        let line = one_line(&parts.join("; "), MAX_TEXT);
        (!line.is_empty()).then_some(line)
    }
}

fn entry(code: Option<Code>, message: Option<String>, detail: Option<String>) -> Option<ErrorEntry> {
    (code.is_some() || message.is_some() || detail.is_some()).then_some(ErrorEntry { code, message, detail })
}

/// Text that a person wrote, as one line.
fn plain(text: &str) -> Option<ErrorEntry> {
    entry(None, line(text), None)
}

fn line(text: &str) -> Option<String> {
    Some(one_line(text, MAX_TEXT)).filter(|line| !line.is_empty())
}

fn json(value: &Value) -> Vec<ErrorEntry> {
    let list = match value {
        Value::Array(list) => list,
        Value::Object(fields) => match fields.get("errors") {
            Some(Value::Array(list)) if !list.is_empty() => list,
            Some(error @ Value::Object(_)) => return object(error).into_iter().collect(),
            _ => return object(value).into_iter().collect(),
        },
        _ => return object(value).into_iter().collect(),
    };
    list.iter().take(MAX_ERRORS).filter_map(object).collect()
}

/// One error, in the words of whoever wrote it: `code`, `message`, `detail` (distribution); `error` with
/// `error_description` (RFC 6749 §5.2) or with an object of its own (Google); `details` (Docker Hub's token server).
fn object(value: &Value) -> Option<ErrorEntry> {
    let fields = match value {
        Value::Object(fields) => fields,
        Value::String(text) => return plain(text),
        _ => return None,
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).and_then(line);
    let error = fields.get("error");
    let inner = error.filter(|error| error.is_object()).and_then(object);
    // A code is one word; `error` holds a sentence as often.
    let word = |name: &str| text(name).filter(|text| !text.contains(' '));
    let code =
        word("code").or_else(|| inner.is_none().then(|| word("error")).flatten()).or_else(|| word("status"));
    let sentence = text("error").filter(|text| text.contains(' '));
    let message = text("message").or_else(|| text("error_description")).or(sentence).or_else(|| text("msg"));
    let detail = fields.get("detail").or_else(|| fields.get("details")).filter(|detail| !detail.is_null());
    let detail = detail.and_then(|detail| match detail {
        Value::String(text) => line(text),
        Value::Object(fields) if fields.is_empty() => None,
        Value::Array(list) if list.is_empty() => None,
        other => line(&other.to_string()),
    });
    let code = code.map(|name| Code::from_name(&name));
    match inner {
        Some(inner) => entry(code.or(inner.code), message.or(inner.message), detail.or(inner.detail)),
        // What Docker Hub's token server calls `details` is its message.
        None if message.is_none() && code.is_none() => entry(None, detail, None),
        None => entry(code, message, detail),
    }
}

/// The `Code` and `Message` of S3's and Azure's XML, or the title of a page. No more of it is shown: nobody wants a page of
/// HTML in an error.
fn markup(text: &str) -> Option<ErrorEntry> {
    let content = |open: &str, close: &str| {
        let start = find_ignoring_case(text, open)? + open.len();
        let rest = text.get(start..)?;
        let end = find_ignoring_case(rest, close)?;
        line(&unescape(rest.get(..end)?))
    };
    // A code is one word here as well.
    if let Some(code) = content("<Code>", "</Code>").filter(|code| !code.contains(' ')) {
        return entry(Some(Code::from_name(&code)), content("<Message>", "</Message>"), None);
    }
    entry(None, content("<title>", "</title>"), None)
}

fn find_ignoring_case(text: &str, what: &str) -> Option<usize> {
    text.as_bytes().windows(what.len()).position(|window| window.eq_ignore_ascii_case(what.as_bytes()))
}

fn unescape(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    text.replace("&apos;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Asked, Headers, Role, classify, corpus};
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        status: u16,
        #[serde(default)]
        content_type: Option<String>,
        #[serde(default)]
        fields: Vec<(String, String)>,
        body: String,
        #[serde(default)]
        role: Option<String>,
        #[serde(default)]
        with_credentials: bool,
        #[serde(default)]
        codes: Vec<String>,
        summary: Option<String>,
        detail: Option<String>,
        error: String,
        #[serde(default)]
        facts: std::collections::BTreeMap<String, String>,
    }

    #[test]
    fn corpus_cases() {
        for case in corpus::cases::<Case>(include_str!("../../../testdata/error-bodies.toml")) {
            let body =
                ErrorBody::parse(case.body.as_bytes(), case.content_type.as_deref(), &Limits::default());
            let codes: Vec<&str> =
                body.errors.iter().filter_map(|e| e.code.as_ref()).map(Code::as_str).collect();
            assert_eq!(codes, case.codes, "{}", case.name);
            assert_eq!(body.summary(), case.summary, "{}", case.name);
            assert_eq!(
                body.errors.first().and_then(|error| error.detail.clone()),
                case.detail,
                "{}",
                case.name
            );
            let fields: Vec<(&str, &[u8])> =
                case.fields.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
            let role = match case.role.as_deref() {
                None => Role::Registry,
                Some("token_server") => Role::TokenServer,
                Some("blob_store") => Role::BlobStore,
                Some(other) => panic!("{other}"),
            };
            let asked = Asked {
                host: "r.example.com",
                role,
                what: "manifest `1` of `a/b`",
                with_credentials: case.with_credentials,
            };
            let kind = classify(case.status, &body, &Headers::new(&fields), &asked);
            assert_eq!(kind.code(), case.error, "{}", case.name);
            let facts = kind.facts();
            for (name, wanted) in &case.facts {
                let fact = facts.iter().find(|(n, _)| n == name).map(|(_, fact)| match fact {
                    crate::error::Fact::Text(text) => text.clone(),
                    crate::error::Fact::Number(number) => number.to_string(),
                    crate::error::Fact::Span(span) => span.as_secs().to_string(),
                });
                assert_eq!(fact.as_deref(), Some(wanted.as_str()), "{}: {name} of {kind:?}", case.name);
            }
        }
    }

    #[test]
    fn a_cut_body_still_says_something() {
        let body = r#"{"errors":[{"code":"DENIED","message":"zugriff verweigert: ä"#.as_bytes();
        for cut in 0..=body.len() {
            let summary = ErrorBody::parse(&body[..cut], None, &Limits::default()).summary();
            assert_eq!(summary.is_some(), cut > 0);
        }
        let limits = Limits { error_body_bytes: 5, ..Limits::default() };
        assert_eq!(ErrorBody::parse("abcdéf".as_bytes(), None, &limits).summary(), Some("abcd".into()));
    }

    #[test]
    fn what_is_no_text_says_nothing() {
        for body in
            [&b"\xff\xfe\x00"[..], b"\x1f\x8b\x08\0\0", b"  \r\n", b"null", b"7", b"[]", b"{}", b"<html>"]
        {
            let body = ErrorBody::parse(body, None, &Limits::default());
            assert!(
                body.summary().is_none_or(|summary| summary.chars().all(|c| !c.is_control())),
                "{body:?}"
            );
        }
        assert_eq!(ErrorBody::parse(b"\xff\xfeab", None, &Limits::default()), ErrorBody::default());
    }

    #[test]
    fn known_codes_go_both_ways() {
        for code in Code::KNOWN {
            assert_eq!(&Code::from_name(code.as_str()), code);
            assert_eq!(&Code::from_name(&code.as_str().to_lowercase()), code);
        }
    }

    fn any_code() -> impl Strategy<Value = Code> {
        prop_oneof![proptest::sample::select(Code::KNOWN), "[A-Z_]{30}".prop_map(Code::Other)]
    }

    proptest! {
        #[test]
        fn nothing_panics(body in proptest::collection::vec(any::<u8>(), 0..120)) {
            ErrorBody::parse(&body, None, &Limits::default()).summary();
        }

        #[test]
        fn lines_are_clean_and_capped(text in r#"(\{"|errors|":|\[|\}|\]|"code"|"message"|"detail"|:|,|"\PC{0,5}"|<Code>|</Code>|<title>|\PC|\n|\x1b){0,30}"#) {
            let body = ErrorBody::parse(text.as_bytes(), None, &Limits::default());
            let lines = body.errors.iter().flat_map(|e| [e.message.clone(), e.detail.clone()]).flatten().chain(body.summary());
            for line in lines {
                prop_assert!(!line.is_empty() && line.chars().count() <= MAX_TEXT + 1);
                prop_assert!(!line.chars().any(char::is_control));
            }
        }

        #[test]
        fn what_is_written_is_read(code in any_code(), message in "[!-~]{1,9}( [!-~]{1,9}){0,3}") {
            let body = ErrorBody::of(code, &message);
            prop_assert_eq!(ErrorBody::parse(body.to_json().as_bytes(), Some("application/json"), &Limits::default()), body);
        }
    }
}
