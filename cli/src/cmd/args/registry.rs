//! The commands that ask registries, and for credentials.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::NetworkArgs;

#[derive(Debug, Args)]
pub(in crate::cmd) struct TagsArgs {
    /// The repository
    pub(in crate::cmd) repository: String,
    #[command(flatten)]
    pub(in crate::cmd) network: NetworkArgs,
    /// As JSON
    #[arg(long)]
    pub(in crate::cmd) json: bool,
    /// Stop after this many
    #[arg(long, value_name = "N")]
    pub(in crate::cmd) most: Option<u64>,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct ReposArgs {
    /// The registry
    pub(in crate::cmd) registry: String,
    #[command(flatten)]
    pub(in crate::cmd) network: NetworkArgs,
    /// As JSON
    #[arg(long)]
    pub(in crate::cmd) json: bool,
    /// Stop after this many
    #[arg(long, value_name = "N")]
    pub(in crate::cmd) most: Option<u64>,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct LoginArgs {
    /// The registry
    #[arg(default_value = "docker.io")]
    pub(in crate::cmd) registry: String,
    #[command(flatten)]
    pub(in crate::cmd) network: NetworkArgs,
    /// The user
    #[arg(short, long)]
    pub(in crate::cmd) username: Option<String>,
    /// The password, which other users of this machine may see: --password-stdin is better
    #[arg(short, long, conflicts_with = "password_stdin")]
    pub(in crate::cmd) password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub(in crate::cmd) password_stdin: bool,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct LogoutArgs {
    /// The registry
    #[arg(default_value = "docker.io")]
    pub(in crate::cmd) registry: String,
    /// The only credential file to change [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cmd) authfile: Option<PathBuf>,
}

/// `auth …`
#[derive(Debug, Subcommand)]
pub(in crate::cmd) enum AuthCommand {
    /// Show each place that is searched for credentials, and what it gives, without secrets
    Explain(AuthExplainArgs),
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct AuthExplainArgs {
    /// The image or the registry
    pub(in crate::cmd) image: String,
    /// Credentials, in place of those in files and helpers
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub(in crate::cmd) creds: Option<String>,
    /// The only credential file to read [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cmd) authfile: Option<PathBuf>,
    /// Read this file, and no other, for mirrors and short names [env: CONTAINERS_REGISTRIES_CONF]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cmd) registries_conf: Option<PathBuf>,
    /// Read no registries.conf [env: WHARFIE_NO_REGISTRIES_CONF]
    #[arg(long, conflicts_with = "registries_conf")]
    pub(in crate::cmd) no_registries_conf: bool,
    /// As JSON
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}
