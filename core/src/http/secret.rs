use alloc::string::String;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// Text that is never shown: a password, a token, a header value or a form that holds one.
///
/// `Debug` gives `Secret(…)`, and there is no `Display`: whoever needs the text says so with [`Secret::reveal`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret(String);

impl Secret {
    /// Keeps this text secret.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for the wire or a credential store.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The value of `Authorization` for Basic (RFC 7617 §2), in UTF-8. A user name with a colon cannot be told from its
/// password there: the server takes what follows the first colon as the password.
pub fn basic_auth(user: &str, password: &Secret) -> Secret {
    let mut pair = String::with_capacity(user.len() + 1 + password.0.len());
    pair.push_str(user);
    pair.push(':');
    pair.push_str(&password.0);
    let mut value = String::from("Basic ");
    STANDARD.encode_string(pair, &mut value);
    Secret(value)
}

/// The value of `Authorization` for Bearer (RFC 6750 §2.1).
pub fn bearer_auth(token: &Secret) -> Secret {
    let mut value = String::from("Bearer ");
    value.push_str(&token.0);
    Secret(value)
}

/// User and password out of the base64 of `user:password`, as in `Authorization: Basic` (after the scheme) and in the
/// `auth` of a docker `config.json`; padding may be missing, and docker's trailing NULs are dropped. `None` if it is no
/// base64 of UTF-8 with a colon.
pub fn decode_basic(text: &str) -> Option<(String, Secret)> {
    let bytes = STANDARD_NO_PAD.decode(text.trim_ascii().trim_end_matches('=')).ok()?;
    let pair = String::from_utf8(bytes).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some((user.into(), Secret::new(password.trim_end_matches('\0'))))
}

#[cfg(test)]
mod tests {
    use super::{Secret, basic_auth, bearer_auth, decode_basic};
    use std::format;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = basic_auth("user", &"hunter2".into());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(…) Some(Secret(…))");
    }

    #[test]
    fn basic_is_that_of_the_rfc() {
        // RFC 7617 §2 and §2.1.
        assert_eq!(
            basic_auth("Aladdin", &"open sesame".into()).reveal(),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        assert_eq!(basic_auth("test", &"123\u{a3}".into()).reveal(), "Basic dGVzdDoxMjPCow==");
        assert_eq!(bearer_auth(&"mF_9.B5f-4.1JqM".into()).reveal(), "Bearer mF_9.B5f-4.1JqM");
    }

    #[test]
    fn basic_is_read_back() {
        assert_eq!(
            decode_basic("QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            Some(("Aladdin".into(), "open sesame".into()))
        );
        assert_eq!(
            decode_basic(" QWxhZGRpbjpvcGVuIHNlc2FtZQ "),
            Some(("Aladdin".into(), "open sesame".into()))
        );
        assert_eq!(decode_basic("PHRva2VuPjphOmI="), Some(("<token>".into(), Secret::new("a:b"))));
        assert_eq!(decode_basic("dTpwAAA="), Some(("u".into(), "p".into())));
        assert_eq!(decode_basic("bm9jb2xvbg=="), None);
        assert_eq!(decode_basic("!!"), None);
        assert_eq!(decode_basic("/zo="), None);
    }
}
