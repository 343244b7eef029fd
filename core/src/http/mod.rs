//! The vocabulary of HTTP and of the registry protocol, spoken by both ends.
//!
//! Nothing here sends or receives: these are the parsers and writers of what a client and a registry say to each other,
//! by RFC 9110 (semantics), RFC 3986 (URLs), RFC 6750, 7617 and 8288 (bearer, basic, links), the OCI distribution
//! specification and Docker's token specification. What real registries send is accepted, what could mean two things
//! is refused, and nothing panics.
//!
//! ```
//! use wharfie_core::http::{Head, Headers, Scope, Url, challenge, TokenRequest};
//! use wharfie_core::Limits;
//!
//! // A registry answers 401 …
//! let fields: &[(&str, &[u8])] = &[(
//!     "WWW-Authenticate",
//!     br#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull""#,
//! )];
//! let head = Head::new(401, Headers::new(fields));
//! // … and says where a token is to be had.
//! let challenges = challenge::parse(&head.headers, &Limits::default());
//! let bearer = challenges[0].bearer().unwrap();
//! let realm = Url::parse(&bearer.realm)?;
//! let url = TokenRequest::new("wharfie").service(bearer.service.as_deref()).scopes(&bearer.scopes).url(&realm);
//! assert_eq!(
//!     url.to_string(),
//!     "https://auth.docker.io/token?service=registry.docker.io&scope=repository%3Alibrary%2Falpine%3Apull&client_id=wharfie"
//! );
//! # Ok::<(), wharfie_core::Error>(())
//! ```

pub mod challenge;
mod classify;
#[cfg(test)]
mod corpus;
pub mod date;
mod error_body;
mod header;
pub mod link;
mod method;
pub mod percent;
pub mod range;
mod scope;
mod secret;
mod text;
mod token;
mod url;

pub use challenge::{BasicChallenge, BearerChallenge, Challenge};
pub use classify::{Asked, Role, classify};
pub use error_body::{Code, ErrorBody, ErrorEntry};
pub use header::{Head, HeaderList, Headers};
pub use method::Method;
pub use range::{ByteRange, ContentRange, RequestedRange, UploadRange};
pub use scope::Scope;
pub use secret::{Secret, basic_auth, bearer_auth, decode_basic};
pub use token::{FORM_MEDIA_TYPE, TokenRequest, TokenResponse};
pub use url::{HostKind, Origin, Scheme, Url};
