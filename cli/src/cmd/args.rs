//! The command line as clap reads it; the man pages and completions are made from it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use wharfie_core::merge::IdRange;
use wharfie_core::tar::Mtime;

/// Container images without a container engine.
///
/// Pulls, verifies, inspects and exports OCI and Docker images. Images are named as docker names them (`alpine`,
/// `ghcr.io/org/image:tag`, `host:5000/a/b@sha256:…`), or as `oci:DIR[:REF]` for an OCI layout; `sample:` is a small
/// image built into the program. Data goes to standard output, everything else to standard error. The exit status is 0,
/// 1 if it failed, 2 for wrong usage, 130 if it was interrupted.
#[derive(Debug, Parser)]
#[command(
    name = "wharfie",
    version,
    propagate_version = true,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// What is said and how.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output options")]
pub(super) struct OutputArgs {
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Show the HTTP exchanges, without secrets; twice for their headers
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// How progress is shown on standard error
    #[arg(long, global = true, value_enum, default_value_t = ProgressMode::Auto, value_name = "MODE")]
    pub(super) progress: ProgressMode,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressMode {
    /// Bars on a terminal, lines otherwise
    Auto,
    /// Bars
    Bars,
    /// One line for each thing that is done
    Plain,
    /// One JSON object a line
    Json,
    /// None
    None,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show an image's config and layers as JSON
    Inspect(InspectArgs),
    /// Show an image's manifest or index
    Manifest(ManifestArgs),
    /// Show an image's config
    Config(ConfigArgs),
    /// Show the digest that a name stands for
    Digest(DigestArgs),
    /// Write one blob, verified
    Blob(BlobArgs),
    /// List the tags of a repository
    Tags(TagsArgs),
    /// List the repositories of a registry
    Repos(ReposArgs),
    /// Fetch images into the local store
    Pull(PullArgs),
    /// Check every digest, size, diff_id and reference of an image
    Validate(ValidateArgs),
    /// Write the merged root file system of an image as a tar
    Export(ExportArgs),
    /// Write the merged root file system of an image into a directory
    Unpack(UnpackArgs),
    /// List the files of an image
    Ls(LsArgs),
    /// Write files of an image, fetching and reading as few layers as can decide them
    Cat(CatArgs),
    /// Show the directories of an image with all that lies in them, by size
    Tree(TreeArgs),
    /// Compare the files of two images, or show what each layer of one image does
    Diff(DiffArgs),
    /// Look at and clean the local store
    #[command(subcommand)]
    Store(StoreCommand),
    /// Check and keep credentials for a registry
    Login(LoginArgs),
    /// Forget the credentials for a registry
    Logout(LogoutArgs),
    /// Look at credentials
    #[command(subcommand)]
    Auth(AuthCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// The directory; made if it is not there
        directory: PathBuf,
    },
}

/// How registries are reached.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Registry options")]
pub(super) struct NetworkArgs {
    /// Credentials, in place of those in files and helpers
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub(super) creds: Option<String>,
    /// The only credential file to read [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    pub(super) authfile: Option<PathBuf>,
    /// Trust the certificates in this PEM file too; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Vec<PathBuf>,
    /// Accept any certificate of the image's registry, and plain http
    #[arg(long)]
    pub(super) insecure: bool,
    /// Blobs fetched at once
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) jobs: Option<u32>,
    /// Failures in a row, without progress, before giving up (a host that never answered gets three tries)
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(super) retries: u32,
    /// Seconds without an answer or a byte before a connection counts as broken
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) timeout: u64,
}

/// Where images are kept between runs.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Store options")]
pub(super) struct StoreArgs {
    /// The local store: an OCI layout [env: WHARFIE_STORE] [default: wharfie/store in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    pub(super) store: Option<PathBuf>,
    /// When to ask the registry what a tag stands for
    #[arg(long, value_enum, default_value_t = PullMode::Always, value_name = "WHEN")]
    pub(super) pull: PullMode,
    /// Use nothing but the local store
    #[arg(long)]
    pub(super) offline: bool,
}

/// When the registry is asked what a tag stands for. Blobs that are in the store are never fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PullMode {
    /// Only if the store does not know it
    Missing,
    /// Every time
    Always,
    /// Never
    Never,
}

/// Which image, and how it is had.
#[derive(Clone, Debug, Args)]
pub(super) struct ImageArgs {
    /// The image
    pub(super) image: String,
    #[command(flatten)]
    pub(super) from: FromArgs,
}

/// How images are had.
#[derive(Clone, Debug, Args)]
pub(super) struct FromArgs {
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

/// Which image of an index.
#[derive(Clone, Debug, Args)]
pub(super) struct PlatformArgs {
    /// The platform to take from an index, as os/arch[/variant] [default: linux and this machine's architecture]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(super) platform: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,
    #[command(flatten)]
    pub(super) platform: PlatformArgs,
    /// Explain each digest instead: what it is over, and which URL takes it
    #[arg(long)]
    pub(super) digests: bool,
    /// With --digests: as JSON (otherwise the output always is)
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ManifestArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,
    /// Show this platform's manifest instead of what the name stands for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(super) platform: Option<String>,
    /// Exactly the registry's bytes
    #[arg(long)]
    pub(super) raw: bool,
    /// A media type to ask for instead of all known ones; may be given more than once
    #[arg(long, value_name = "TYPE")]
    pub(super) accept: Vec<String>,
    /// As indented JSON (the default, unless --raw)
    #[arg(long, conflicts_with = "raw")]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,
    #[command(flatten)]
    pub(super) platform: PlatformArgs,
    /// Exactly the registry's bytes
    #[arg(long)]
    pub(super) raw: bool,
    /// As indented JSON (the default, unless --raw)
    #[arg(long, conflicts_with = "raw")]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DigestArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,
    /// The digest of this platform's manifest instead of what the name stands for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(super) platform: Option<String>,
    /// As JSON: digest, media type, size
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct BlobArgs {
    /// The repository and the blob's digest: IMAGE@DIGEST
    pub(super) image: String,
    #[command(flatten)]
    pub(super) from: FromArgs,
    /// Where to; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct TagsArgs {
    /// The repository
    pub(super) repository: String,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Stop after this many
    #[arg(long, value_name = "N")]
    pub(super) most: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct ReposArgs {
    /// The registry
    pub(super) registry: String,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Stop after this many
    #[arg(long, value_name = "N")]
    pub(super) most: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct PullArgs {
    /// The images
    #[arg(required = true)]
    pub(super) images: Vec<String>,
    #[command(flatten)]
    pub(super) from: FromArgs,
    #[command(flatten)]
    pub(super) platform: PlatformArgs,
    /// Every platform of an index
    #[arg(long, conflicts_with = "platform")]
    pub(super) all: bool,
    /// As JSON, one value an image
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,
    /// Check only this platform of an index [default: all that are there]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(super) platform: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Which paths of an image's root.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Selection options")]
pub(super) struct SelectArgs {
    /// Leave out what matches, with all below it; may be given more than once, and wins over --include
    #[arg(long, value_name = "PATTERN", long_help = PATTERNS)]
    pub(super) exclude: Vec<OsString>,
    /// Only what matches, with all below it and the directories that lead there; may be given more than once
    #[arg(long, value_name = "PATTERN")]
    pub(super) include: Vec<OsString>,
}

const PATTERNS: &str = "\
Leave out what matches, with all below it; may be given more than once, and wins over --include.

Patterns are those of .gitignore files: `*`, `?` and `[a-z]` stay within one component, `**` as a whole component is any \
number of them, `{a,b}` is either. A pattern without a slash matches a name at any depth, one with a slash at the front or \
inside it starts at the root, one that ends in a slash matches directories only. `\\` takes the next byte to the letter. \
Quote them, or the shell takes them.";

/// Who owns what comes out.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Owner options")]
pub(super) struct OwnerArgs {
    /// Users CONTAINER, CONTAINER+1, … of the image become HOST, HOST+1, …; may be given more than once. An owner that no
    /// range covers is an error [default: they stay]
    #[arg(long, value_name = "CONTAINER:HOST[:SIZE]")]
    pub(super) uid_map: Vec<IdRange>,
    /// The same for groups
    #[arg(long, value_name = "CONTAINER:HOST[:SIZE]")]
    pub(super) gid_map: Vec<IdRange>,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,
    #[command(flatten)]
    pub(super) platform: PlatformArgs,
    /// Where to; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: PathBuf,
    /// The format [default: by the name of the output, else tar]
    #[arg(long, value_enum)]
    pub(super) format: Option<FormatArg>,
    /// The compression level: gzip 0 to 9, zstd 1 to 22 [default: zstd 3, gzip 6]
    ///
    /// Without it, what survives of gzip layers goes into a tar.gz as it was packed there, which takes a fraction of the
    /// time; with it, everything is packed anew.
    #[arg(long, value_name = "N")]
    pub(super) level: Option<u32>,
    /// The order of entries
    #[arg(long, value_enum, default_value_t = OrderArg::Stream)]
    pub(super) order: OrderArg,
    /// Follow a lower layer's symlink to a directory where an upper layer has a directory (as tar does)
    #[arg(long)]
    pub(super) keep_directory_symlink: bool,
    /// No mtime later than this: seconds since 1970 or an RFC 3339 date. For reproducible builds, --mtime
    /// "$SOURCE_DATE_EPOCH"; the variable is not read by itself
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) mtime: Option<Mtime>,
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) owners: OwnerArgs,
    /// Where to put temporary files [default: beside the output, or the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(super) temp_dir: Option<PathBuf>,
    /// Report as JSON on standard error
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct UnpackArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,
    /// The directory: not there yet, or empty
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    #[command(flatten)]
    pub(super) platform: PlatformArgs,
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) owners: OwnerArgs,
    /// Work without root: leave all owners to you and record them in user.rootlesscontainers as umoci does; devices become
    /// empty files; set-id bits, ACLs and attributes that take root are dropped and counted
    #[arg(long)]
    pub(super) rootless: bool,
    /// What to do with what the file system there cannot hold: names, links, devices, owners, modes, attributes, times
    #[arg(long, value_enum, default_value_t = UnsupportedArg::Fail, value_name = "WHAT")]
    pub(super) on_unsupported: UnsupportedArg,
    /// Follow a lower layer's symlink to a directory where an upper layer has a directory (as tar does)
    #[arg(long)]
    pub(super) keep_directory_symlink: bool,
    /// No mtime later than this: seconds since 1970 or an RFC 3339 date
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) mtime: Option<Mtime>,
    /// Where to put temporary files besides the directory itself [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(super) temp_dir: Option<PathBuf>,
    /// Report as JSON on standard error
    #[arg(long)]
    pub(super) json: bool,
}

/// What becomes of what a file system cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum UnsupportedArg {
    /// Write nothing, and say what it is
    Fail,
    /// Leave it out and say so; hard links become copies
    Skip,
    /// As skip, but names that are refused or collide become others (`a%3ab`, `README~1`)
    Rename,
}

/// How layers are merged for a look.
#[derive(Clone, Debug, Args)]
pub(super) struct MergeArgs {
    /// Follow a lower layer's symlink to a directory where an upper layer has a directory (as tar does)
    #[arg(long)]
    pub(super) keep_directory_symlink: bool,
}

#[derive(Debug, Args)]
pub(super) struct LsArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,
    /// What to list: a directory is listed with what it holds, symlinks on the way are followed [default: /]
    #[arg(value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) platform: PlatformArgs,
    #[command(flatten)]
    pub(super) merge: MergeArgs,
    #[command(flatten)]
    pub(super) select: SelectArgs,
    /// Mode, links, owner, group, size (or device), time in UTC, name
    #[arg(short, long)]
    pub(super) long: bool,
    /// Directories with all that lies below them
    #[arg(short = 'R', long)]
    pub(super) recursive: bool,
    /// Directories themselves, not what they hold
    #[arg(short, long, conflicts_with = "recursive")]
    pub(super) directory: bool,
    /// Names that begin with a dot too: they are always listed
    #[arg(short, long)]
    pub(super) all: bool,
    /// Sizes as people read them, with -l
    #[arg(short = 'H', long)]
    pub(super) human: bool,
    /// Names as they are, each with a NUL behind it
    #[arg(short = '0', long = "null", conflicts_with_all = ["long", "json"])]
    pub(super) null: bool,
    /// As JSON, one object a line; a byte of a name that is not UTF-8 is `\xNN`, a backslash `\\`
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CatArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,
    /// The files, which are written one after another; symlinks are followed inside the image
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) platform: PlatformArgs,
    #[command(flatten)]
    pub(super) merge: MergeArgs,
    /// Where to; `-` is standard output. A file appears whole or not at all
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
    /// Write bytes as they are decoded, and stop at the file's end. Without this a file waits (in memory, or in a temporary file if it is large) until its layer has been read to the end and its digests held
    #[arg(long)]
    pub(super) no_verify: bool,
    /// Where to put temporary files [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(super) temp_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct TreeArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,
    /// Where to begin
    #[arg(value_name = "PATH", default_value = "/")]
    pub(super) path: PathBuf,
    #[command(flatten)]
    pub(super) platform: PlatformArgs,
    #[command(flatten)]
    pub(super) merge: MergeArgs,
    #[command(flatten)]
    pub(super) select: SelectArgs,
    /// How deep [default: 2; with --json all]
    #[arg(short, long, value_name = "N")]
    pub(super) depth: Option<usize>,
    /// The order of what is in one directory
    #[arg(long, value_enum, default_value_t = SortArg::Size)]
    pub(super) sort: SortArg,
    /// Leave out what is smaller: bytes, or with K, M, G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) min_size: Option<u64>,
    /// As JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
}

/// The orders of `tree`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SortArg {
    /// The largest first
    Size,
    /// By name, as bytes
    Name,
}

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,
    /// The image that it is compared with
    #[arg(required_unless_present = "layers", conflicts_with = "layers")]
    pub(super) other: Option<String>,
    #[command(flatten)]
    pub(super) platform: PlatformArgs,
    #[command(flatten)]
    pub(super) merge: MergeArgs,
    #[command(flatten)]
    pub(super) select: SelectArgs,
    /// Show what each layer of one image adds, changes and removes, and what is wasted
    #[arg(long)]
    pub(super) layers: bool,
    /// With --layers: every path
    #[arg(long, requires = "layers")]
    pub(super) paths: bool,
    /// Only the summary
    #[arg(short, long, conflicts_with = "paths")]
    pub(super) summary: bool,
    /// Differences that do not count: content, link, mode, owner, mtime, xattrs, names; may be given more than once
    #[arg(long, value_name = "WHAT", value_delimiter = ',', conflicts_with = "layers", value_parser = clap::builder::PossibleValuesParser::new(wharfie_core::merge::What::WORDS))]
    pub(super) ignore: Vec<String>,
    /// End with status 1 if they differ, and with 2 if something fails, as diff does
    #[arg(long, conflicts_with = "layers")]
    pub(super) exit_code: bool,
    /// As JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
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

/// The formats of `export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
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
pub(super) enum OrderArg {
    /// Top layer first, each layer in its own order: the fastest
    Stream,
    /// Sorted, parents first: independent of how the layers were cut
    Canonical,
}

/// `store …`
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// List the images
    Ls(StoreLsArgs),
    /// Say how much space they take
    Du(StoreLsArgs),
    /// Remove what no image needs
    Prune(StorePruneArgs),
}

#[derive(Debug, Args)]
pub(super) struct StoreLsArgs {
    #[command(flatten)]
    pub(super) at: StoreDirArgs,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct StoreDirArgs {
    /// The local store [env: WHARFIE_STORE] [default: wharfie/store in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    pub(super) store: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct StorePruneArgs {
    #[command(flatten)]
    pub(super) at: StoreDirArgs,
    /// Images as well: all of them
    #[arg(long)]
    pub(super) all: bool,
    /// Images as well: those not used for this many days
    #[arg(long, value_name = "DAYS", conflicts_with = "all")]
    pub(super) older_than: Option<u32>,
    /// Only say what would go
    #[arg(long)]
    pub(super) dry_run: bool,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct LoginArgs {
    /// The registry
    #[arg(default_value = "docker.io")]
    pub(super) registry: String,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    /// The user
    #[arg(short, long)]
    pub(super) username: Option<String>,
    /// The password, which other users of this machine may see: --password-stdin is better
    #[arg(short, long, conflicts_with = "password_stdin")]
    pub(super) password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub(super) password_stdin: bool,
}

#[derive(Debug, Args)]
pub(super) struct LogoutArgs {
    /// The registry
    #[arg(default_value = "docker.io")]
    pub(super) registry: String,
    /// The only credential file to change [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    pub(super) authfile: Option<PathBuf>,
}

/// `auth …`
#[derive(Debug, Subcommand)]
pub(super) enum AuthCommand {
    /// Show each place that is searched for credentials, and what it gives, without secrets
    Explain(AuthExplainArgs),
}

#[derive(Debug, Args)]
pub(super) struct AuthExplainArgs {
    /// The image or the registry
    pub(super) image: String,
    /// Credentials, in place of those in files and helpers
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub(super) creds: Option<String>,
    /// The only credential file to read [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    pub(super) authfile: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}
