//! The commands that move images.

use clap::{Args, ValueEnum};

use super::{FromArgs, NetworkArgs};

/// Which images of an index go along, and what becomes of them.
#[derive(Clone, Debug, Args)]
pub(in crate::cmd) struct CarryArgs {
    /// The platform to take from an index, as os/arch[/variant]; given more than once, an index of these and their
    /// attestations is made [default: linux and this machine's architecture]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", conflicts_with_all = ["all", "digest"])]
    pub(in crate::cmd) platform: Vec<String>,
    /// Every platform of an index: the copy is the same, digest for digest
    #[arg(long, conflicts_with = "digest")]
    pub(in crate::cmd) all: bool,
    /// The manifest of this digest, out of an index
    #[arg(long, value_name = "DIGEST")]
    pub(in crate::cmd) digest: Option<String>,
    /// What refers to the image goes along: signatures, SBOMs, attestations, by referrers and by cosign's tags
    #[arg(long)]
    pub(in crate::cmd) referrers: bool,
    /// Convert manifests and media types; digests change, and signatures no longer hold
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "referrers")]
    pub(in crate::cmd) format: Option<CopyFormat>,
    /// Pack layers of other formats anew; digests change, and signatures no longer hold
    #[arg(long, value_name = "zstd|gzip[:LEVEL]", value_parser = compress, conflicts_with = "referrers")]
    pub(in crate::cmd) compress: Option<CompressArg>,
    /// Only say what would be sent, and what is there
    #[arg(long)]
    pub(in crate::cmd) dry_run: bool,
    /// Bytes of a chunk, for registries that take no large requests [default: each blob in one request]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(65_536..), help_heading = "Registry options")]
    pub(in crate::cmd) chunk: Option<u64>,
    /// As JSON, one value an image
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}

/// The two families of media types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cmd) enum CopyFormat {
    /// OCI's
    Oci,
    /// Docker's schema 2
    Docker,
}

/// A compression and its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cmd) struct CompressArg {
    pub(in crate::cmd) zstd: bool,
    pub(in crate::cmd) level: Option<i32>,
}

fn compress(text: &str) -> Result<CompressArg, String> {
    let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
    let level = level.map(str::parse).transpose().map_err(|_| "the level is no number".to_owned())?;
    match name {
        "zstd" => Ok(CompressArg { zstd: true, level }),
        "gzip" => Ok(CompressArg { zstd: false, level }),
        _ => Err("it is neither zstd nor gzip".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct CopyArgs {
    /// What to copy: an image on a registry, or `oci:DIR[:REF]` and the other places on this machine
    pub(in crate::cmd) source: String,
    /// Where to: a name on a registry, or a place on this machine
    #[arg(value_name = "DESTINATION")]
    pub(in crate::cmd) target: String,
    #[command(flatten)]
    pub(in crate::cmd) from: FromArgs,
    #[command(flatten)]
    pub(in crate::cmd) carry: CarryArgs,
    /// Another tag for it at the registry; may be given more than once
    #[arg(long, value_name = "TAG", conflicts_with = "sync")]
    pub(in crate::cmd) tag: Vec<String>,
    /// Copy all tags of a repository, each under its own name; what else the destination has stays
    #[arg(long)]
    pub(in crate::cmd) sync: bool,
    /// With --sync: only tags that match, as in `1.*` or `{1,2}.?`; may be given more than once
    #[arg(long, value_name = "PATTERN", requires = "sync")]
    pub(in crate::cmd) tags: Vec<String>,
    /// Credentials for the source, where both ends are registries
    #[arg(long, value_name = "USER[:PASSWORD]", conflicts_with = "creds", help_heading = "Registry options")]
    pub(in crate::cmd) src_creds: Option<String>,
    /// Credentials for the destination, where both ends are registries
    #[arg(long, value_name = "USER[:PASSWORD]", conflicts_with = "creds", help_heading = "Registry options")]
    pub(in crate::cmd) dest_creds: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct PushArgs {
    /// What to push: a place on this machine, or the name of an image in the local store
    pub(in crate::cmd) source: String,
    /// Its name on the registry [default: the name that it has in the local store]
    #[arg(value_name = "DESTINATION")]
    pub(in crate::cmd) target: Option<String>,
    #[command(flatten)]
    pub(in crate::cmd) from: FromArgs,
    #[command(flatten)]
    pub(in crate::cmd) carry: CarryArgs,
    /// Another tag for it at the registry; may be given more than once
    #[arg(long, value_name = "TAG")]
    pub(in crate::cmd) tag: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct TagArgs {
    /// The image on its registry
    pub(in crate::cmd) image: String,
    /// Its further tags, in the same repository
    #[arg(required = true, value_name = "TAG")]
    pub(in crate::cmd) tags: Vec<String>,
    #[command(flatten)]
    pub(in crate::cmd) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct DeleteArgs {
    /// What to delete: NAME:TAG takes the tag away, NAME@DIGEST the manifest with all its tags
    pub(in crate::cmd) image: String,
    #[command(flatten)]
    pub(in crate::cmd) network: NetworkArgs,
    /// As JSON
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct ReferrersArgs {
    /// The image on its registry
    pub(in crate::cmd) image: String,
    /// Only artifacts of this type
    #[arg(long, value_name = "TYPE")]
    pub(in crate::cmd) artifact_type: Option<String>,
    #[command(flatten)]
    pub(in crate::cmd) network: NetworkArgs,
    /// As JSON
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}
