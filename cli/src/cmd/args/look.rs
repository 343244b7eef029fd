//! The commands that look into images.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ImageArgs, MergeArgs, PlatformArgs, SelectArgs};

/// Which image's tree, and of what in it.
#[derive(Clone, Debug, Args)]
pub(in crate::cmd) struct LookArgs {
    #[command(flatten)]
    pub(in crate::cmd) image: ImageArgs,
    #[command(flatten)]
    pub(in crate::cmd) platform: PlatformArgs,
    #[command(flatten)]
    pub(in crate::cmd) merge: MergeArgs,
    #[command(flatten)]
    pub(in crate::cmd) select: SelectArgs,
    /// Read all layers and check their digests. Without this a layer that was read and verified before is not read again: the store has an index of it
    #[arg(long)]
    pub(in crate::cmd) verify: bool,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct LsArgs {
    #[command(flatten)]
    pub(in crate::cmd) look: LookArgs,
    /// What to list: a directory is listed with what it holds, symlinks on the way are followed [default: /]
    #[arg(value_name = "PATH")]
    pub(in crate::cmd) paths: Vec<PathBuf>,
    /// Mode, links, owner, group, size (or device), time in UTC, name
    #[arg(short, long)]
    pub(in crate::cmd) long: bool,
    /// Directories with all that lies below them
    #[arg(short = 'R', long)]
    pub(in crate::cmd) recursive: bool,
    /// Directories themselves and symlinks to them, not what they hold
    #[arg(short, long, conflicts_with = "recursive")]
    pub(in crate::cmd) directory: bool,
    /// Names that begin with a dot too: they are always listed
    #[arg(short, long)]
    pub(in crate::cmd) all: bool,
    /// Sizes as people read them, with -l
    #[arg(short = 'H', long)]
    pub(in crate::cmd) human: bool,
    /// Names as they are, each with a NUL behind it
    #[arg(short = '0', long = "null", conflicts_with_all = ["long", "json"])]
    pub(in crate::cmd) null: bool,
    /// As JSON, one object a line; a byte of a name that is not UTF-8 is `\xNN`, a backslash `\\`
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct CatArgs {
    #[command(flatten)]
    pub(in crate::cmd) image: ImageArgs,
    /// The files, which are written one after another; symlinks are followed inside the image
    #[arg(required = true, value_name = "PATH")]
    pub(in crate::cmd) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cmd) platform: PlatformArgs,
    #[command(flatten)]
    pub(in crate::cmd) merge: MergeArgs,
    /// Where to; `-` is standard output. A file appears whole or not at all
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(in crate::cmd) output: PathBuf,
    /// Read layers to their end and check their digests. Without this a layer that was read and verified before is not read again: the store has an index of it, by which the file alone is decoded and has to have the CRC-32 that it had then
    #[arg(long, conflicts_with = "no_verify")]
    pub(in crate::cmd) verify: bool,
    /// Write bytes as they are decoded, and stop at the file's end. Without this a file waits (in memory, or in a temporary file if it is large) until its layer has been read to the end and its digests held, or until it has its CRC-32
    #[arg(long)]
    pub(in crate::cmd) no_verify: bool,
    /// Where to put temporary files [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cmd) temp_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct TreeArgs {
    #[command(flatten)]
    pub(in crate::cmd) look: LookArgs,
    /// Where to begin
    #[arg(value_name = "PATH", default_value = "/")]
    pub(in crate::cmd) path: PathBuf,
    /// How deep [default: 2; with --json all]
    #[arg(short, long, value_name = "N")]
    pub(in crate::cmd) depth: Option<usize>,
    /// The order of what is in one directory
    #[arg(long, value_enum, default_value_t = SortArg::Size)]
    pub(in crate::cmd) sort: SortArg,
    /// Leave out what is smaller: bytes, or with K, M, G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(in crate::cmd) min_size: Option<u64>,
    /// As JSON, one object a line
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}

/// The orders of `tree`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cmd) enum SortArg {
    /// The largest first
    Size,
    /// By name, as bytes
    Name,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct DiffArgs {
    #[command(flatten)]
    pub(in crate::cmd) look: LookArgs,
    /// The image that it is compared with
    #[arg(required_unless_present = "layers", conflicts_with = "layers")]
    pub(in crate::cmd) other: Option<String>,
    /// Show what each layer of one image adds, changes and removes, and what is wasted
    #[arg(long)]
    pub(in crate::cmd) layers: bool,
    /// With --layers: every path
    #[arg(long, requires = "layers")]
    pub(in crate::cmd) paths: bool,
    /// Only the summary
    #[arg(short, long, conflicts_with = "paths")]
    pub(in crate::cmd) summary: bool,
    /// Differences that do not count: content, link, mode, owner, mtime, xattrs, names; may be given more than once
    #[arg(long, value_name = "WHAT", value_delimiter = ',', conflicts_with = "layers", value_parser = clap::builder::PossibleValuesParser::new(wharfie_core::merge::What::WORDS))]
    pub(in crate::cmd) ignore: Vec<String>,
    /// End with status 1 if they differ, and with 2 if something fails, as diff does
    #[arg(long, conflicts_with = "layers")]
    pub(in crate::cmd) exit_code: bool,
    /// As JSON, one object a line
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}

/// A size as people write it: `1000`, `64K`, `1.5M`, in binary units.
fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let shift = match unit.to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("the unit is none of K, M, G, T".to_owned()),
    };
    let number: f64 = digits.trim().parse().map_err(|_| "this is no number".to_owned())?;
    if !(0.0..=1e15).contains(&number) {
        return Err("this is out of range".to_owned());
    }
    Ok((number * (1_u64 << shift) as f64) as u64)
}
