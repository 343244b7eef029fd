use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use wharfie_core::client::{self, RegistrySettings};
use wharfie_core::{Limits, Registries};

/// How the network is used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NetworkOptions {
    /// Sent with every request.
    pub user_agent: String,
    /// PEM files of certificates that are trusted beside the system's.
    pub ca: Vec<PathBuf>,
    /// For registries without settings of their own; `--insecure` is [`client::Transport::Insecure`] here.
    pub default_registry: RegistrySettings,
    /// Settings by registry, as `Reference` names it.
    pub registries: BTreeMap<String, RegistrySettings>,
    /// Where images come from: mirrors, what is blocked.
    pub sources: Registries,
    /// Directories with one for each host (`certs.d`), best first: of those that have one for a host, the first counts.
    pub cert_dirs: Vec<PathBuf>,
    /// Nothing goes over the network: whatever would have to ends with `offline`.
    pub offline: bool,
    /// Blobs at once.
    pub jobs: u32,
    /// Failures in a row without progress before a request or a blob is given up.
    pub retries: u32,
    /// Without an answer, and between two pieces of a body.
    pub timeout: Duration,
    /// Caps.
    pub limits: Limits,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        NetworkOptions {
            user_agent: concat!("wharfie/", env!("CARGO_PKG_VERSION")).to_owned(),
            ca: Vec::new(),
            default_registry: RegistrySettings::default(),
            registries: BTreeMap::new(),
            sources: Registries::default(),
            cert_dirs: Vec::new(),
            offline: false,
            jobs: 6,
            retries: 5,
            timeout: Duration::from_secs(30),
            limits: Limits::default(),
        }
    }
}

/// How a pull goes about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullOptions {
    /// Which images, and how far down.
    pub image: client::PullOptions,
    /// When the registry is asked what a tag stands for.
    pub when: When,
    /// Whether the store's index stays as it is: the caller lists what came.
    pub unlisted: bool,
}

/// When the registry is asked what a tag stands for. Blobs that the store has are never fetched again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// Every time.
    #[default]
    Always,
    /// Every time, but for images that were made or loaded on this machine: no registry need know their names.
    UnlessLocal,
    /// If the store does not know the tag.
    Missing,
    /// Never, and nothing is fetched.
    Never,
}
