//! Authentication challenges: `WWW-Authenticate` (RFC 9110 §11.3, §11.6.1).

use alloc::string::String;
use alloc::vec::Vec;

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
        None
    }

    /// The challenge as Basic; `None` if it is of another scheme.
    pub fn basic(&self) -> Option<BasicChallenge> {
        None
    }
}

/// Every challenge of every `WWW-Authenticate` field, in order.
///
/// Never fails: what cannot be read ends that field, and what was read before it stays. At most
/// [`Limits::challenges`] are given, and a field over [`Limits::header_bytes`] is passed over.
pub fn parse(headers: &Headers<'_>, limits: &Limits) -> Vec<Challenge> {
    let _ = (headers, limits);
    Vec::new()
}
