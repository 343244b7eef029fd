//! What a host tells the machine once.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use crate::digest::{Hashes, SoftHashes};
use crate::limits::Limits;
use crate::registries::Registries;

/// The settings of a [`super::Client`].
#[derive(Clone)]
pub struct Config {
    /// Sent with every request: product, version, and where to complain.
    pub user_agent: String,
    /// What this host cannot see or do.
    pub host: HostProfile,
    /// Caps.
    pub limits: Limits,
    /// Feeds the jitter. Same seed and inputs, same outputs.
    pub seed: u64,
    /// How often to try again.
    pub retries: Retries,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How much at once.
    pub parallel: Parallel,
    /// Settings by registry, as `Reference` names it (`docker.io`, `localhost:5000`).
    pub registries: BTreeMap<String, RegistrySettings>,
    /// For registries without settings of their own.
    pub default_registry: RegistrySettings,
    /// Where images come from: mirrors, what is blocked. Pulls alone are sent elsewhere by it.
    pub sources: Registries,
    /// Where hashes come from.
    pub hashes: Arc<dyn Hashes>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("user_agent", &self.user_agent)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            user_agent: concat!("wharfie/", env!("CARGO_PKG_VERSION")).into(),
            host: HostProfile::default(),
            limits: Limits::default(),
            seed: 0,
            retries: Retries::default(),
            timeouts: Timeouts::default(),
            parallel: Parallel::default(),
            registries: BTreeMap::new(),
            default_registry: RegistrySettings::default(),
            sources: Registries::default(),
            hashes: Arc::new(SoftHashes),
        }
    }
}

/// What the host's HTTP hides or does by itself. The default is a host that sees everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostProfile {
    /// It follows redirects itself and shows the last response only (a browser's fetch).
    pub redirects_hidden: bool,
    /// Which response headers it sees: a hidden header is not an absent one.
    pub headers: HeaderVisibility,
    /// It decodes `Content-Encoding` whatever is asked.
    pub decodes_content_encoding: bool,
    /// It can send a request body as a stream.
    pub streams_request_body: bool,
    /// Exchanges that it can have under way at once.
    pub max_parallel: u32,
    /// It cannot tell why a connection failed.
    pub opaque_failures: bool,
}

impl Default for HostProfile {
    fn default() -> Self {
        HostProfile {
            redirects_hidden: false,
            headers: HeaderVisibility::All,
            decodes_content_encoding: false,
            streams_request_body: true,
            max_parallel: 64,
            opaque_failures: false,
        }
    }
}

/// Which response headers a host sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderVisibility {
    /// All of them.
    All,
    /// Those that the server exposes to other origins.
    Exposed,
}

/// How a registry is spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Which schemes.
    pub transport: Transport,
}

/// Which schemes are tried, in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// https with a trusted certificate; for a registry on a loopback address as [`Transport::Insecure`], as docker
    /// does.
    #[default]
    Auto,
    /// https with a trusted certificate, nothing else.
    Https,
    /// https with any certificate; where no TLS is spoken, plain http.
    Insecure,
    /// Plain http, nothing else.
    Http,
}

/// How often to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Failures in a row without progress before a request or a blob is given up. Progress refills it.
    pub budget: u32,
    /// The first back-off; it doubles, with jitter from the seed.
    pub first_delay: Duration,
    /// The longest back-off of our own. A `Retry-After` may ask for more, up to `longest_retry_after`.
    pub longest_delay: Duration,
    /// A `Retry-After` beyond this is not waited for: `rate_limited`.
    pub longest_retry_after: Duration,
    /// Bytes of payload after which a blob's budget is full again.
    pub progress: u64,
}

impl Default for Retries {
    fn default() -> Self {
        Retries {
            budget: 5,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(30),
            longest_retry_after: Duration::from_secs(120),
            progress: 64 << 10,
        }
    }
}

/// How long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the request to the head of its response.
    pub head: Duration,
    /// Between two chunks of a body, while somebody reads.
    pub stall: Duration,
    /// The same as `head` for a mirror that never answered: then the next place is asked.
    pub mirror: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            head: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            mirror: Duration::from_secs(10),
        }
    }
}

/// How much at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parallel {
    /// Blobs in transfer, over all hosts.
    pub blobs: u32,
    /// Exchanges with one host.
    pub per_host: u32,
}

impl Default for Parallel {
    fn default() -> Self {
        Parallel { blobs: 6, per_host: 8 }
    }
}
