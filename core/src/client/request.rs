//! What goes over the boundary for one exchange.

use alloc::vec::Vec;
use core::fmt;

use super::BlobId;
use crate::digest::Hasher;
use crate::http::{HeaderList, HostKind, Method, Url};

/// One HTTP request for the driver to send. Redirects are not to be followed, and no header added but those that the
/// transport needs (`Host`, `Content-Length`, `Connection`); never `Accept-Encoding`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The absolute URL.
    pub url: Url,
    /// The headers, `Authorization` and `User-Agent` included.
    pub headers: HeaderList,
    /// The body.
    pub body: RequestBody,
    /// What network it may reach.
    pub reach: Reach,
    /// How far certificates are checked.
    pub tls: Tls,
}

/// The body of a request. `Debug` shows no bytes: the form of a token request holds a refresh token.
#[derive(Clone, PartialEq, Eq)]
pub enum RequestBody {
    /// None.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// `len` bytes of a blob that the driver has, from `offset`: no payload passes through the machine.
    Source {
        /// Which.
        blob: BlobId,
        /// From where.
        offset: u64,
        /// How many.
        len: u64,
    },
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestBody::Empty => f.write_str("Empty"),
            RequestBody::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            RequestBody::Source { blob, offset, len } => f
                .debug_struct("Source")
                .field("blob", blob)
                .field("offset", offset)
                .field("len", len)
                .finish(),
        }
    }
}

/// What network a request may reach. A native connector enforces it on the resolved addresses; other hosts check what
/// the URL shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everything: the registry that the user named.
    Any,
    /// Nothing that resolves to a loopback, link-local or unspecified address: a place that a server named.
    NoLoopbackOrLinkLocal,
}

impl Reach {
    /// Whether a host of this kind may be connected to: of a URL what it shows (`Url::host_kind`), and where addresses are
    /// seen, each of these (`HostKind::of_ip`).
    pub fn allows(self, kind: HostKind) -> bool {
        self == Reach::Any || !matches!(kind, HostKind::Loopback | HostKind::LinkLocal)
    }
}

/// How far certificates are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// As always.
    Verify,
    /// Any certificate will do: an insecure registry.
    AcceptAny,
}

/// What to do with the body of a response.
#[derive(Debug)]
pub enum BodyPlan {
    /// Nobody reads it. The exchange is over; the driver may drain what is small to keep the connection.
    Discard,
    /// Give every chunk to `handle_body`, then `handle_end`.
    Feed,
    /// Write it to the blob's own sink, telling `handle_stored`, then `handle_hashed` and `handle_end` in any order.
    Store(Store),
}

/// Where the bytes of a body go.
#[derive(Debug)]
pub struct Store {
    /// Which blob.
    pub blob: BlobId,
    /// Where in the blob the first byte that is kept belongs. What the sink holds beyond it is void.
    pub offset: u64,
    /// How many bytes of the body come first that the sink has already (a 200 where 206 was asked). They are
    /// dropped and not given to the hasher; they count in no `handle_stored`, but a call of it with 0 from time to time
    /// says that the body is alive.
    pub skip: u64,
    /// Takes the blob's bytes from its own position on. Where that is below `offset`, the driver first replays
    /// `position..offset` from its sink into it. It comes back by `handle_hashed`, after a failure too. A host
    /// without threads gives it back at once (`handle_hashed`) and the kept chunks to `handle_body` instead.
    pub hasher: Hasher,
}

/// Whether the driver goes on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// It does.
    Continue,
    /// The exchange is over: drop the connection, drain the outputs.
    Stop,
}

/// Why the transport gave up on an exchange: an input, never shown to a user as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The name did not resolve.
    Dns,
    /// Nobody listens there.
    Refused,
    /// No route, or no answer to the connection.
    Unreachable,
    /// The other end speaks no TLS, or not ours.
    Tls,
    /// Its certificate is not trusted.
    Certificate,
    /// The connection broke or ended too early, in whatever way: reset, end of stream, HTTP/2 reset, stall.
    Broken,
    /// The connector refused the address: [`Reach`].
    Forbidden,
    /// The host cannot tell.
    Unknown,
}

/// Why a sink could not take bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SinkFailure {
    /// The disk or the quota is full.
    NoSpace {
        /// What it still takes, 0 if unknown.
        needed: u64,
    },
    /// Not allowed.
    Permission,
    /// Anything else.
    Io,
}
