//! The merged root of an image, and the commands that write it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use wharfie_core::merge::IdRange;
use wharfie_core::tar::Mtime;

use super::{ImageArgs, PlatformArgs};

/// How layers are merged.
#[derive(Clone, Debug, Args)]
pub(in crate::cmd) struct MergeArgs {
    /// Follow a lower layer's symlink to a directory where an upper layer has a directory (as tar does)
    #[arg(long)]
    pub(in crate::cmd) keep_directory_symlink: bool,
}

/// Which paths of an image's root.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cmd) struct SelectArgs {
    /// Leave out what matches, with all below it; may be given more than once, and wins over --include
    #[arg(long, value_name = "PATTERN", long_help = PATTERNS, help_heading = "Selection options")]
    pub(in crate::cmd) exclude: Vec<OsString>,
    /// Only what matches, with all below it and the directories that lead there; may be given more than once
    #[arg(long, value_name = "PATTERN", help_heading = "Selection options")]
    pub(in crate::cmd) include: Vec<OsString>,
}

const PATTERNS: &str = "\
Leave out what matches, with all below it; may be given more than once, and wins over --include.

Patterns are those of .gitignore files: `*`, `?` and `[a-z]` stay within one component, `**` as a whole component is any \
number of them, `{a,b}` is either. A pattern without a slash matches a name at any depth, one with a slash at the front or \
inside it starts at the root, one that ends in a slash matches directories only. `\\` takes the next byte to the letter. \
Quote them, or the shell takes them.";

/// Who owns what comes out.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cmd) struct OwnerArgs {
    /// Users CONTAINER, CONTAINER+1, … of the image become HOST, HOST+1, …; may be given more than once. An owner that no
    /// range covers is an error [default: they stay]
    #[arg(long, value_name = "CONTAINER:HOST[:SIZE]", help_heading = "Owner options")]
    pub(in crate::cmd) uid_map: Vec<IdRange>,
    /// The same for groups
    #[arg(long, value_name = "CONTAINER:HOST[:SIZE]", help_heading = "Owner options")]
    pub(in crate::cmd) gid_map: Vec<IdRange>,
}

/// What the root is to be, whatever it is written as.
#[derive(Clone, Debug, Args)]
pub(in crate::cmd) struct RootArgs {
    #[command(flatten)]
    pub(in crate::cmd) merge: MergeArgs,
    /// No mtime later than this: seconds since 1970 or an RFC 3339 date. For reproducible builds, --mtime
    /// "$SOURCE_DATE_EPOCH"; the variable is not read by itself
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(in crate::cmd) mtime: Option<Mtime>,
    #[command(flatten)]
    pub(in crate::cmd) select: SelectArgs,
    #[command(flatten)]
    pub(in crate::cmd) owners: OwnerArgs,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct ExportArgs {
    #[command(flatten)]
    pub(in crate::cmd) image: ImageArgs,
    #[command(flatten)]
    pub(in crate::cmd) platform: PlatformArgs,
    /// Where to; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cmd) output: PathBuf,
    /// The format [default: by the name of the output, else tar]
    #[arg(long, value_enum)]
    pub(in crate::cmd) format: Option<FormatArg>,
    /// The compression level: gzip 0 to 9, zstd 1 to 22 [default: zstd 3, gzip 6]
    ///
    /// Without it, what survives of gzip layers goes into a tar.gz as it was packed there, which takes a fraction of the
    /// time, and an image of one layer that is already just what is asked for, as one made of an export is as a rule, passes
    /// through bit for bit; with it, everything is packed anew.
    #[arg(long, value_name = "N")]
    pub(in crate::cmd) level: Option<u32>,
    /// The order of entries
    #[arg(long, value_enum, default_value_t = OrderArg::Stream)]
    pub(in crate::cmd) order: OrderArg,
    #[command(flatten)]
    pub(in crate::cmd) root: RootArgs,
    /// Where to put temporary files [default: beside the output, or the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cmd) temp_dir: Option<PathBuf>,
    /// Report as JSON on standard error
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct UnpackArgs {
    #[command(flatten)]
    pub(in crate::cmd) image: ImageArgs,
    /// The directory: not there yet, or empty
    #[arg(value_name = "DIR")]
    pub(in crate::cmd) directory: PathBuf,
    #[command(flatten)]
    pub(in crate::cmd) platform: PlatformArgs,
    /// Work without root: leave all owners to you and record them in user.rootlesscontainers as umoci does; devices become
    /// empty files; set-id bits, ACLs and attributes that take root are dropped and counted
    #[arg(long)]
    pub(in crate::cmd) rootless: bool,
    /// What to do with what the file system there cannot hold: names, links, devices, owners, modes, attributes, times
    #[arg(long, value_enum, default_value_t = UnsupportedArg::Fail, value_name = "WHAT")]
    pub(in crate::cmd) on_unsupported: UnsupportedArg,
    #[command(flatten)]
    pub(in crate::cmd) root: RootArgs,
    /// Where to put temporary files besides the directory itself [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cmd) temp_dir: Option<PathBuf>,
    /// Report as JSON on standard error
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}

/// What becomes of what a file system cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cmd) enum UnsupportedArg {
    /// Write nothing, and say what it is
    Fail,
    /// Leave it out and say so; hard links become copies
    Skip,
    /// As skip, but names that are refused or collide become others (`a%3ab`, `README~1`)
    Rename,
}

/// The formats of `export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cmd) enum FormatArg {
    /// Uncompressed
    Tar,
    /// gzip
    #[value(name = "tar.gz", alias = "tgz")]
    TarGz,
    /// zstd
    #[value(name = "tar.zst", alias = "tzst")]
    TarZst,
}

/// The orders of `export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cmd) enum OrderArg {
    /// Top layer first, each layer in its own order: the fastest
    Stream,
    /// Sorted, parents first: independent of how the layers were cut
    Canonical,
}
