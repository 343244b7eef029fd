//! What is brought in from files.

use std::path::PathBuf;

use clap::Args;

use super::{PlatformArgs, StoreDirArgs};

#[derive(Debug, Args)]
pub(in crate::cmd) struct LoadArgs {
    /// The archive, layout or `dir:` to load: plain, gzip or zstd, `-` for standard input
    #[arg(short, long, value_name = "FILE", required_unless_present = "all", conflicts_with = "all")]
    pub(in crate::cmd) input: Option<String>,
    /// Load every archive and every layout of a folder: all of them, or none if one is wrong
    ///
    /// Hidden files and files that are no archives (a README, checksums) are passed over; what is called or begins like an
    /// archive and holds no whole image, as a partial download, is an error.
    #[arg(long, value_name = "DIR")]
    pub(in crate::cmd) all: Option<PathBuf>,
    /// The layout to load into, made if it is not there; else the local store
    #[arg(long, value_name = "LAYOUT")]
    pub(in crate::cmd) into: Option<PathBuf>,
    /// A directory that gets a layout for each image, called after it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["into", "store"])]
    pub(in crate::cmd) each_into: Option<PathBuf>,
    /// What the image is called, in place of the name in the file or that of the file
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub(in crate::cmd) name: Option<String>,
    #[command(flatten)]
    pub(in crate::cmd) platform: PlatformArgs,
    /// Every platform of an index
    #[arg(long, conflicts_with = "platform")]
    pub(in crate::cmd) all_platforms: bool,
    /// The index or manifest of this digest, of those in the file; once for each where there are several files
    #[arg(long, value_name = "DIGEST", conflicts_with_all = ["platform", "all_platforms"])]
    pub(in crate::cmd) digest: Vec<wharfie_core::Digest>,
    /// Remove the files when everything loaded from them is safely there, read back and on the disk
    ///
    /// Of an index only what was loaded is kept: --all-platforms keeps the others.
    #[arg(long)]
    pub(in crate::cmd) remove: bool,
    #[command(flatten)]
    pub(in crate::cmd) at: StoreDirArgs,
    /// As JSON, one value an image
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}
