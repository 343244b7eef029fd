//! HTTP by reqwest: which connection a request may take.
//!
//! Requests that a server caused (redirects, realms) must not reach this machine or its link. What the URL shows is
//! checked before, and what a name resolves to is checked in the resolver, so that the address that was checked is the
//! one that is connected to; their connections are never shared with those of other requests. Behind a proxy only the
//! first holds: the proxy resolves names, and what it can reach is its own business.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use wharfie_core::client::{Failure, Reach, Request, RequestBody, Tls};
use wharfie_core::error::Result;
use wharfie_core::http::{HostKind, Url};

use super::certs::{self, HostCerts};
use super::failure::{Trouble, Unreachable};
use super::options::NetworkOptions;
use super::outgoing::Outgoing;
use super::tls::Trust;

/// Bytes that one HTTP/2 stream, and all streams of a connection, may have under way unread.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// All connections of a driver.
pub(super) struct Network {
    trust: Trust,
    proxies: Matcher,
    timeout: Duration,
    clients: Clients,
    /// Where certificates of hosts are.
    cert_dirs: Vec<PathBuf>,
    /// What was found there, and the clients of the hosts that have some: what one host is shown and trusted for is no
    /// other's.
    hosts: Mutex<BTreeMap<String, Option<Arc<Host>>>>,
}

type Clients = [OnceLock<Result<reqwest::Client, Trouble>>; 6];

/// A host with certificates of its own.
struct Host {
    certs: Result<HostCerts, Trouble>,
    clients: Clients,
}

/// Which of the clients takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Direct(Reach),
    Proxy,
}

impl Network {
    pub(super) fn new(options: &NetworkOptions) -> Result<Network> {
        Ok(Network {
            trust: Trust::read(&options.ca)?,
            proxies: Matcher::from_system(),
            timeout: options.timeout,
            clients: Default::default(),
            cert_dirs: options.cert_dirs.clone(),
            hosts: Mutex::default(),
        })
    }

    /// Sends a request and answers with the head of its response.
    ///
    /// `source` is the body of a request that sends a part of a blob.
    pub(super) async fn send(
        &self,
        request: &Request,
        source: Option<Outgoing>,
    ) -> Result<reqwest::Response, Trouble> {
        let kind = request.url.host_kind();
        if !request.reach.allows(kind) {
            return Err(Trouble::new(
                Failure::Forbidden,
                format!("{} is on this machine or link", request.url.host()),
            ));
        }
        let text = request.url.to_string();
        let unreadable =
            |error: &dyn std::fmt::Display| Trouble::new(Failure::Unknown, format!("no usable URL: {error}"));
        let url: reqwest::Url =
            text.parse().map_err(|error: <reqwest::Url as std::str::FromStr>::Err| unreadable(&error))?;
        let way = match self.proxied(&text, kind) {
            true => Way::Proxy,
            false => Way::Direct(request.reach),
        };
        let method = reqwest::Method::from_bytes(request.method.as_str().as_bytes())
            .map_err(|error| unreadable(&error))?;
        let host = if request.url.is_https() { self.host(&request.url) } else { None };
        let mut sent = self.client(host.as_deref(), way, request.tls)?.request(method, url);
        for (name, value) in request.headers.iter() {
            sent = sent.header(name, value);
        }
        sent = match &request.body {
            RequestBody::Empty => sent,
            RequestBody::Bytes(bytes) => sent.body(bytes.clone()),
            RequestBody::Source { .. } => match source {
                Some(source) => sent.body(source.body()),
                None => return Err(Trouble::new(Failure::Unknown, "the blob is not here")),
            },
        };
        sent.send().await.map_err(Trouble::of)
    }

    /// Whether a proxy takes it. Never for this machine itself, whatever `NO_PROXY` says: so do Go's clients.
    fn proxied(&self, url: &str, kind: HostKind) -> bool {
        kind != HostKind::Loopback
            && url.parse::<http::Uri>().is_ok_and(|uri| self.proxies.intercept(&uri).is_some())
    }

    /// What is special about a host.
    fn host(&self, url: &Url) -> Option<Arc<Host>> {
        let name = url.origin().authority();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = hosts.entry(name).or_insert_with_key(|name| {
            let certs = certs::find(&self.cert_dirs, name).transpose()?;
            let certs = certs.map_err(|error| {
                let path = error.place().path.clone().unwrap_or_default();
                // Nobody has to wait for what will not change.
                Trouble::new(Failure::Certificate, format!("{path}: {error}"))
            });
            Some(Arc::new(Host { certs, clients: Default::default() }))
        });
        known.clone()
    }

    fn client<'a>(
        &'a self,
        host: Option<&'a Host>,
        way: Way,
        tls: Tls,
    ) -> Result<&'a reqwest::Client, Trouble> {
        let tier = match way {
            Way::Direct(Reach::Any) => 0,
            Way::Direct(Reach::NoLoopbackOrLinkLocal) => 2,
            Way::Proxy => 4,
        };
        let lax = usize::from(tls == Tls::AcceptAny);
        let (clients, certs) = match host {
            None => (&self.clients, None),
            Some(host) => (&host.clients, Some(host.certs.as_ref().map_err(Clone::clone)?)),
        };
        clients[tier + lax].get_or_init(|| self.build(way, tls, certs)).as_ref().map_err(Clone::clone)
    }

    fn build(&self, way: Way, tls: Tls, certs: Option<&HostCerts>) -> Result<reqwest::Client, Trouble> {
        let config =
            self.trust.config(tls, certs).map_err(|error| Trouble::new(Failure::Tls, error.to_string()))?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(self.timeout)
            .tcp_keepalive(Duration::from_secs(30))
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW);
        match way {
            Way::Direct(reach) => builder = builder.no_proxy().dns_resolver(Names { reach }),
            Way::Proxy => {}
        }
        builder.build().map_err(Trouble::of)
    }
}

/// The system's resolver, less the addresses that may not be reached.
#[derive(Debug)]
struct Names {
    reach: Reach,
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        Box::pin(async move {
            // The port is set by who connects.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found: Vec<SocketAddr> =
                found.map_err(|error| Unreachable::Name(error.to_string()))?.collect();
            allowed(found, reach).map(|found| Box::new(found.into_iter()) as Addrs).map_err(Into::into)
        })
    }
}

fn allowed(found: Vec<SocketAddr>, reach: Reach) -> Result<Vec<SocketAddr>, Unreachable> {
    if reach == Reach::Any {
        return Ok(found);
    }
    let (far, near): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|to| reach.allows(HostKind::of_ip(to.ip())));
    match near.first() {
        Some(to) if far.is_empty() => Err(Unreachable::Forbidden(to.ip())),
        _ => Ok(far),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use wharfie_core::http::{HeaderList, Method};

    use super::*;

    #[test]
    fn what_a_server_names_never_reaches_this_machine() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let network = Network::new(&NetworkOptions::default()).unwrap();
        let ask = |url: &str, reach| {
            let request = Request {
                method: Method::Get,
                url: url.parse().unwrap(),
                headers: HeaderList::new(),
                body: RequestBody::Empty,
                reach,
                tls: Tls::Verify,
            };
            runtime.block_on(async {
                let answer = tokio::time::timeout(Duration::from_secs(2), network.send(&request, None)).await;
                answer.map(|sent| sent.map(drop).map_err(|trouble| trouble.failure))
            })
        };
        let near = Reach::NoLoopbackOrLinkLocal;
        for host in
            ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "0x7f.1", "169.254.169.254", "[::ffff:127.0.0.1]"]
        {
            assert_eq!(ask(&format!("http://{host}:{port}/"), near), Ok(Err(Failure::Forbidden)), "{host}");
            assert_eq!(ask(&format!("https://{host}:{port}/"), near), Ok(Err(Failure::Forbidden)), "{host}");
        }
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        // The resolver itself refuses, whatever the name looks like.
        let name = "localhost".parse::<Name>().unwrap();
        let resolved = runtime.block_on(Names { reach: near }.resolve(name)).err().unwrap();
        assert!(matches!(resolved.downcast_ref(), Some(Unreachable::Forbidden(_))), "{resolved}");
        // Nobody answers there, but it is connected to.
        assert!(ask(&format!("http://localhost:{port}/"), Reach::Any).is_err());
        assert!(listener.accept().is_ok());
    }

    #[test]
    fn names_that_lead_home_are_refused() {
        let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 0);
        for near in
            ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "169.254.169.254", "fe80::1", "::ffff:127.0.0.1"]
        {
            let refused = allowed(vec![at(near)], Reach::NoLoopbackOrLinkLocal);
            assert!(matches!(refused, Err(Unreachable::Forbidden(_))), "{near}");
            assert_eq!(allowed(vec![at(near)], Reach::Any).unwrap(), [at(near)]);
            // A name with both kinds of address is connected to where it may be.
            let mixed = allowed(vec![at(near), at("198.51.100.1")], Reach::NoLoopbackOrLinkLocal).unwrap();
            assert_eq!(mixed, [at("198.51.100.1")]);
        }
        assert_eq!(allowed(vec![at("10.0.0.1")], Reach::NoLoopbackOrLinkLocal).unwrap(), [at("10.0.0.1")]);
    }
}
