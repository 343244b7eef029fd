//! Why the transport gave up, in the machine's words.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::IpAddr;

use wharfie_core::client::Failure;

/// The transport's verdict.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) failure: Failure,
    /// Its own words, without the URL.
    pub(super) detail: String,
}

/// What the resolver answers when it has no address to give.
#[derive(Clone, Debug)]
pub(super) enum Unreachable {
    /// The name does not resolve; the system's words.
    Name(String),
    /// It resolves to this.
    Forbidden(IpAddr),
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreachable::Name(said) => f.write_str(said),
            Unreachable::Forbidden(ip) => {
                write!(f, "its name leads to {ip}, which is on this machine or link")
            }
        }
    }
}

impl StdError for Unreachable {}

impl Trouble {
    pub(super) fn new(failure: Failure, detail: impl Into<String>) -> Trouble {
        Trouble { failure, detail: detail.into() }
    }

    /// Finds the root of it.
    pub(super) fn of(error: reqwest::Error) -> Trouble {
        // The URL may hold a signature.
        let error = error.without_url();
        let timed_out = error.is_timeout();
        let connecting = error.is_connect();
        let mut failure = None;
        let mut detail = error.to_string();
        let mut next: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(cause) = next {
            detail = cause.to_string();
            failure = verdict(cause, connecting).or(failure);
            // An io::Error hides what it wraps from `source`.
            let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = match wrapped {
                Some(wrapped) => Some(wrapped),
                None => cause.source(),
            };
        }
        let failure = failure.unwrap_or(match (connecting, timed_out) {
            (true, _) => Failure::Unreachable,
            (false, _) => Failure::Broken,
        });
        Trouble { failure, detail }
    }
}

/// What one link of the chain of causes says.
fn verdict(cause: &(dyn StdError + 'static), connecting: bool) -> Option<Failure> {
    if let Some(unreachable) = cause.downcast_ref::<Unreachable>() {
        return Some(match unreachable {
            Unreachable::Name(_) => Failure::Dns,
            Unreachable::Forbidden(_) => Failure::Forbidden,
        });
    }
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return Some(match tls {
            rustls::Error::InvalidCertificate(_) => Failure::Certificate,
            _ => Failure::Tls,
        });
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => Some(Failure::Refused),
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => Some(Failure::Unreachable),
        // Who knows no TLS takes its greeting for nonsense, and hangs up.
        io::ErrorKind::UnexpectedEof if connecting => Some(Failure::Tls),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(Failure::Broken),
        _ => None,
    }
}
