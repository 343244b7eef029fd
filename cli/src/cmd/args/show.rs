//! The commands that show and check what images are made of.

use std::path::PathBuf;

use clap::Args;

use super::{FromArgs, ImageArgs, PlatformArgs};

#[derive(Debug, Args)]
pub(in crate::cmd) struct InspectArgs {
    #[command(flatten)]
    pub(in crate::cmd) image: ImageArgs,
    #[command(flatten)]
    pub(in crate::cmd) platform: PlatformArgs,
    /// Explain each digest instead: what it is over, and which URL takes it
    #[arg(long)]
    pub(in crate::cmd) digests: bool,
    /// With --digests: as JSON (otherwise the output always is)
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct ManifestArgs {
    #[command(flatten)]
    pub(in crate::cmd) image: ImageArgs,
    /// Show this platform's manifest instead of what the name stands for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(in crate::cmd) platform: Option<String>,
    /// Exactly the registry's bytes
    #[arg(long)]
    pub(in crate::cmd) raw: bool,
    /// A media type to ask for instead of all known ones; may be given more than once
    #[arg(long, value_name = "TYPE")]
    pub(in crate::cmd) accept: Vec<String>,
    /// As indented JSON (the default, unless --raw)
    #[arg(long, conflicts_with = "raw")]
    pub(in crate::cmd) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct ConfigArgs {
    #[command(flatten)]
    pub(in crate::cmd) image: ImageArgs,
    #[command(flatten)]
    pub(in crate::cmd) platform: PlatformArgs,
    /// Exactly the registry's bytes
    #[arg(long)]
    pub(in crate::cmd) raw: bool,
    /// As indented JSON (the default, unless --raw)
    #[arg(long, conflicts_with = "raw")]
    pub(in crate::cmd) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct DigestArgs {
    #[command(flatten)]
    pub(in crate::cmd) image: ImageArgs,
    /// The digest of this platform's manifest instead of what the name stands for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(in crate::cmd) platform: Option<String>,
    /// As JSON: digest, media type, size
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct BlobArgs {
    /// The repository and the blob's digest: IMAGE@DIGEST
    pub(in crate::cmd) image: String,
    #[command(flatten)]
    pub(in crate::cmd) from: FromArgs,
    /// Where to; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(in crate::cmd) output: PathBuf,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct ValidateArgs {
    #[command(flatten)]
    pub(in crate::cmd) image: ImageArgs,
    /// Check only this platform of an index [default: all that are there]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(in crate::cmd) platform: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}
