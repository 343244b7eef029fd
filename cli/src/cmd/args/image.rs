//! Which image, and how it is had.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How registries are reached.
#[derive(Clone, Debug, Args)]
pub(in crate::cmd) struct NetworkArgs {
    /// Credentials, in place of those in files and helpers
    #[arg(long, value_name = "USER[:PASSWORD]", help_heading = "Registry options")]
    pub(in crate::cmd) creds: Option<String>,
    /// The only credential file to read [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE", help_heading = "Registry options")]
    pub(in crate::cmd) authfile: Option<PathBuf>,
    /// Trust the certificates in this PEM file too; may be given more than once
    #[arg(long, value_name = "FILE", help_heading = "Registry options")]
    pub(in crate::cmd) ca: Vec<PathBuf>,
    /// Accept any certificate of the image's registry, and plain http
    #[arg(long, help_heading = "Registry options")]
    pub(in crate::cmd) insecure: bool,
    /// Read this file, and no other, for mirrors, blocked registries and short names [env: CONTAINERS_REGISTRIES_CONF]
    #[arg(long, value_name = "FILE", help_heading = "Registry options")]
    pub(in crate::cmd) registries_conf: Option<PathBuf>,
    /// Read no registries.conf: every name is asked for where it says [env: WHARFIE_NO_REGISTRIES_CONF]
    #[arg(long, conflicts_with = "registries_conf", help_heading = "Registry options")]
    pub(in crate::cmd) no_registries_conf: bool,
    /// Blobs fetched at once
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64), help_heading = "Registry options")]
    pub(in crate::cmd) jobs: Option<u32>,
    /// Failures in a row, without progress, before giving up (a host that never answered gets three tries)
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Registry options")]
    pub(in crate::cmd) retries: u32,
    /// Seconds without an answer or a byte before a connection counts as broken
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400), help_heading = "Registry options")]
    pub(in crate::cmd) timeout: u64,
}

/// Where images are kept between runs.
#[derive(Clone, Debug, Args)]
pub(in crate::cmd) struct StoreArgs {
    /// The local store: an OCI layout [env: WHARFIE_STORE] [default: wharfie/store in the user's cache directory]
    #[arg(long, value_name = "DIR", help_heading = "Store options")]
    pub(in crate::cmd) store: Option<PathBuf>,
    /// When to ask the registry what a tag stands for [default: always, but for images that were made or loaded here]
    #[arg(long, value_enum, value_name = "WHEN", help_heading = "Store options")]
    pub(in crate::cmd) pull: Option<PullMode>,
    /// Use nothing but the local store
    #[arg(long, help_heading = "Store options")]
    pub(in crate::cmd) offline: bool,
}

/// When the registry is asked what a tag stands for. Blobs that are in the store are never fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cmd) enum PullMode {
    /// Only if the store does not know it
    Missing,
    /// Every time
    Always,
    /// Never
    Never,
}

/// Which image, and how it is had.
#[derive(Clone, Debug, Args)]
pub(in crate::cmd) struct ImageArgs {
    /// The image
    pub(in crate::cmd) image: String,
    #[command(flatten)]
    pub(in crate::cmd) from: FromArgs,
}

/// How images are had.
#[derive(Clone, Debug, Args)]
pub(in crate::cmd) struct FromArgs {
    #[command(flatten)]
    pub(in crate::cmd) network: NetworkArgs,
    #[command(flatten)]
    pub(in crate::cmd) store: StoreArgs,
}

/// Which image of an index.
#[derive(Clone, Debug, Args)]
pub(in crate::cmd) struct PlatformArgs {
    /// The platform to take from an index, as os/arch[/variant] [default: linux and this machine's architecture]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(in crate::cmd) platform: Option<String>,
}
