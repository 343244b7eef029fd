//! The local store, and what fetches into it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{FromArgs, PlatformArgs};

#[derive(Debug, Args)]
pub(in crate::cmd) struct PullArgs {
    /// The images; or one, and the place on this machine to write it to (`oci:DIR[:REF]` and so on)
    #[arg(required = true)]
    pub(in crate::cmd) images: Vec<String>,
    #[command(flatten)]
    pub(in crate::cmd) from: FromArgs,
    #[command(flatten)]
    pub(in crate::cmd) platform: PlatformArgs,
    /// Every platform of an index
    #[arg(long, conflicts_with = "platform")]
    pub(in crate::cmd) all: bool,
    /// As JSON, one value an image
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}

/// `store …`
#[derive(Debug, Subcommand)]
pub(in crate::cmd) enum StoreCommand {
    /// List the images
    Ls(StoreLsArgs),
    /// Say how much space they take
    Du(StoreLsArgs),
    /// Remove what no image needs
    Prune(StorePruneArgs),
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct StoreLsArgs {
    #[command(flatten)]
    pub(in crate::cmd) at: StoreDirArgs,
    /// As JSON
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct StoreDirArgs {
    /// The local store [env: WHARFIE_STORE] [default: wharfie/store in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cmd) store: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct StorePruneArgs {
    #[command(flatten)]
    pub(in crate::cmd) at: StoreDirArgs,
    /// Images as well: all of them
    #[arg(long)]
    pub(in crate::cmd) all: bool,
    /// Images as well: those not used for this many days
    #[arg(long, value_name = "DAYS", conflicts_with = "all")]
    pub(in crate::cmd) older_than: Option<u32>,
    /// Only say what would go
    #[arg(long)]
    pub(in crate::cmd) dry_run: bool,
    /// As JSON
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}
