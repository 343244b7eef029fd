//! Authentication challenges: `WWW-Authenticate` (RFC 9110 §11.3, §11.6.1).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::text::is_token_char;
use super::{Headers, Scope};
use crate::Limits;

/// One challenge: a scheme, and either parameters or one opaque `token68`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme in lower case: `bearer`, `basic`, `negotiate`, …
    pub scheme: String,
    /// The `token68` of schemes that use one.
    pub token68: Option<String>,
    /// The parameters in order, names in lower case, values without quotes and escapes.
    pub params: Vec<(String, String)>,
}

/// A challenge of Docker's token specification: a token is to be had from `realm`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BearerChallenge {
    /// The URL of the token server, unchecked: it may be relative, on another host, or hostile.
    pub realm: String,
    /// The service to name there; some registries send none.
    pub service: Option<String>,
    /// What the request needed; empty on `/v2/` and where the registry does not say.
    pub scopes: Vec<Scope>,
    /// Why the token that was sent was refused: `invalid_token`, `insufficient_scope` (RFC 6750 §3.1).
    pub error: Option<String>,
    /// The same for people.
    pub error_description: Option<String>,
}

/// A challenge that wants user and password with every request (RFC 7617).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BasicChallenge {
    /// What the password is for; empty where the server does not say, against RFC 7617.
    pub realm: String,
}

impl Challenge {
    /// The first value of a parameter of this name, which is given in lower case.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The challenge as Bearer; `None` if it is of another scheme, or has no realm to go to.
    pub fn bearer(&self) -> Option<BearerChallenge> {
        let text =
            |name| self.param(name).map(str::trim).filter(|value| !value.is_empty()).map(ToString::to_string);
        if self.scheme != "bearer" {
            return None;
        }
        // Some registries repeat `scope` where the grammar wants one list.
        let mut scopes: Vec<Scope> = Vec::new();
        for (_, list) in self.params.iter().filter(|(name, _)| name == "scope") {
            for scope in Scope::parse_list(list) {
                if scopes.len() < Scope::MOST && !scopes.contains(&scope) {
                    scopes.push(scope);
                }
            }
        }
        Some(BearerChallenge {
            realm: text("realm")?,
            service: text("service"),
            scopes,
            error: text("error"),
            error_description: text("error_description"),
        })
    }

    /// The challenge as Basic; `None` if it is of another scheme.
    pub fn basic(&self) -> Option<BasicChallenge> {
        (self.scheme == "basic")
            .then(|| BasicChallenge { realm: self.param("realm").unwrap_or_default().to_string() })
    }
}

/// Every challenge of every `WWW-Authenticate` field, in order.
///
/// Never fails: what cannot be read ends that field, and what was read before it stays. At most
/// [`Limits::challenges`] are given, and a field over [`Limits::header_bytes`] is passed over. Beside the grammar it
/// takes what registries send: parameters without commas between them, and URLs without quotes.
pub fn parse(headers: &Headers<'_>, limits: &Limits) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for value in headers.all("www-authenticate") {
        if value.len() as u64 <= u64::from(limits.header_bytes) {
            let text = String::from_utf8_lossy(value);
            Field { rest: &text }.challenges(&mut challenges, limits.challenges as usize);
        }
    }
    challenges
}

/// What is left of one field.
struct Field<'a> {
    rest: &'a str,
}

impl<'a> Field<'a> {
    fn challenges(mut self, out: &mut Vec<Challenge>, limit: usize) {
        let first = out.len();
        loop {
            // Empty list elements are allowed (RFC 9110 §5.6.1.2).
            self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
            let name = self.take(is_token_char);
            if name.is_empty() {
                return;
            }
            let after = self.rest.trim_start_matches([' ', '\t']);
            if let Some(value) = after.strip_prefix('=') {
                self.rest = value.trim_start_matches([' ', '\t']);
                let Some(value) = self.value() else { return };
                // A parameter before any scheme, or after a token68, belongs to nothing.
                let last = out.get_mut(first..).and_then(<[Challenge]>::last_mut);
                if let Some(challenge) = last.filter(|challenge| challenge.token68.is_none()) {
                    challenge.params.push((name.to_ascii_lowercase(), value));
                }
            } else {
                if out.len() >= limit {
                    return;
                }
                let token68 = (after.len() < self.rest.len()).then(|| token68(after)).flatten();
                if let Some(token) = token68 {
                    self.rest = after.get(token.len()..).unwrap_or_default();
                }
                out.push(Challenge {
                    scheme: name.to_ascii_lowercase(),
                    token68: token68.map(ToString::to_string),
                    params: Vec::new(),
                });
            }
        }
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// A quoted string (RFC 9110 §5.6.4), or else what comes before a comma or white space; `None` if a quote is not closed:
    /// half a realm leads elsewhere.
    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            return Some(self.take(|c| !matches!(c, ',' | ' ' | '\t')).to_string());
        };
        let mut value = String::new();
        let mut chars = quoted.chars();
        loop {
            match chars.next()? {
                '"' => {
                    self.rest = chars.as_str();
                    return Some(value);
                }
                '\\' => value.push(chars.next()?),
                c => value.push(c),
            }
        }
    }
}

/// The `token68` (RFC 9110 §11.2) that the text begins with, if it is all there is up to the next comma.
fn token68(text: &str) -> Option<&str> {
    let is_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '+' | '/');
    let unpadded = text.trim_start_matches(is_char);
    let rest = unpadded.trim_start_matches('=');
    let after = rest.trim_start_matches([' ', '\t']);
    let is_whole = unpadded.len() < text.len() && (after.is_empty() || after.starts_with(','));
    is_whole.then(|| text.strip_suffix(rest)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::corpus;
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::vec;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        fields: Vec<String>,
        challenges: Vec<Wanted>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        scheme: String,
        token68: Option<String>,
        #[serde(default)]
        params: Vec<(String, String)>,
        bearer: Option<WantedBearer>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct WantedBearer {
        realm: String,
        service: Option<String>,
        #[serde(default)]
        scopes: Vec<String>,
        error: Option<String>,
    }

    fn parse_fields(fields: &[impl AsRef<[u8]>], limits: &Limits) -> Vec<Challenge> {
        let fields: Vec<(&str, &[u8])> =
            fields.iter().map(|value| ("Www-Authenticate", value.as_ref())).collect();
        parse(&Headers::new(&fields), limits)
    }

    #[test]
    fn corpus_cases() {
        for case in corpus::cases::<Case>(include_str!("../../../testdata/challenges.toml")) {
            let found = parse_fields(&case.fields, &Limits::default());
            let wanted: Vec<Challenge> = case
                .challenges
                .iter()
                .map(|w| Challenge {
                    scheme: w.scheme.clone(),
                    token68: w.token68.clone(),
                    params: w.params.clone(),
                })
                .collect();
            assert_eq!(found, wanted, "{}", case.name);
            for (challenge, wanted) in found.iter().zip(&case.challenges) {
                let wanted = wanted
                    .bearer
                    .as_ref()
                    .map(|w| (w.realm.clone(), w.service.clone(), w.scopes.clone(), w.error.clone()));
                let bearer = challenge.bearer().map(|b| {
                    (
                        b.realm,
                        b.service,
                        b.scopes.iter().map(ToString::to_string).collect::<Vec<_>>(),
                        b.error,
                    )
                });
                assert_eq!(bearer, wanted, "{}", case.name);
                assert_eq!(challenge.basic().is_some(), challenge.scheme == "basic", "{}", case.name);
            }
        }
    }

    #[test]
    fn limits_hold() {
        let limits = Limits { challenges: 2, header_bytes: 40, ..Limits::default() };
        let found = parse_fields(&["A, B, C", "D"], &limits);
        assert_eq!(found.iter().map(|c| c.scheme.as_str()).collect::<Vec<_>>(), vec!["a", "b"]);
        assert_eq!(
            parse_fields(&["Bearer realm=\"https://a-very-long.host/token\"", "Basic"], &limits).len(),
            1
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(fields in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4)) {
            parse_fields(&fields, &Limits::default());
        }

        #[test]
        fn near_misses_do_not_panic(text in r#"(Bearer|Basic|[a-z=]|"|\\|,| |realm="[^"]{0,4}"|\PC){0,20}"#) {
            for challenge in parse_fields(&[text], &Limits::default()) {
                prop_assert!(!challenge.scheme.is_empty());
                challenge.bearer();
            }
        }

        #[test]
        fn what_is_quoted_comes_back(value in "[ -~]{0,20}", service in "[ -~]{1,20}") {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let field = std::format!("Bearer realm=\"{}\",service=\"{}\", Basic realm=x", quote(&value), quote(&service));
            let found = parse_fields(&[field], &Limits::default());
            prop_assert_eq!(found.len(), 2);
            prop_assert_eq!(found[0].param("realm"), Some(value.as_str()));
            prop_assert_eq!(found[0].param("service"), Some(service.as_str()));
        }

        #[test]
        fn every_cut_is_read(cut in 0usize..120) {
            let field = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull", Basic realm="x""#;
            for challenge in parse_fields(&[&field[..cut.min(field.len())]], &Limits::default()) {
                // A realm is there whole or not at all.
                prop_assert!(matches!(challenge.param("realm"), None | Some("https://auth.docker.io/token" | "x")));
            }
        }
    }
}
