//! The commands that make images of tars, directories and other images.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use wharfie_core::codec::Format;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::edit::Unset;
use wharfie_core::tar::Mtime;

use super::{FromArgs, OrderArg, PlatformArgs, RootArgs};

/// Where an image that is made goes.
#[derive(Clone, Debug, Args)]
pub(in crate::cmd) struct ToArgs {
    /// The image's name in the local store, or in what --output names
    #[arg(
        short,
        long = "tag",
        visible_alias = "new_tag",
        value_name = "NAME",
        help_heading = "Result options"
    )]
    pub(in crate::cmd) tag: Option<String>,
    /// Where to: a registry (`host/name:tag`), `oci:DIR[:REF]`, `oci-archive:FILE[:REF]`, `docker-archive:FILE[:REF]`,
    /// `dir:DIR`, or a FILE.tar, which is made for `docker load` [default: the local store]
    #[arg(short, long, value_name = "DESTINATION")]
    pub(in crate::cmd) output: Option<String>,
    /// Where to put temporary files [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cmd) temp_dir: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}

/// How layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cmd) struct Compress {
    /// The format.
    pub(in crate::cmd) format: Format,
    /// The level, where one is said.
    pub(in crate::cmd) level: Option<i32>,
}

impl FromStr for Compress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Compress> {
        let wrong = || {
            let reason = format!("`{text}` is not gzip, zstd or none, with a level as in zstd:19");
            Error::from(ErrorKind::InvalidOption { reason })
        };
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let format = match name {
            "gzip" => Format::Gzip,
            "zstd" => Format::Zstd,
            "none" => Format::Identity,
            _ => return Err(wrong()),
        };
        format.level(level)?;
        Ok(Compress { format, level })
    }
}

/// A time that files have at the latest, or theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cmd) enum Latest {
    /// Each file's own.
    Keep,
    /// None later than this.
    At(Mtime),
}

impl FromStr for Latest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Latest> {
        if text == "keep" { Ok(Latest::Keep) } else { text.parse().map(Latest::At) }
    }
}

/// Who owns the files of a directory in the layer that is made of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cmd) enum OwnerArg {
    /// 0:0, whoever they are here
    #[default]
    Root,
    /// Who owns them here, by number
    Keep,
}

/// How layers are made.
#[derive(Clone, Debug, Args)]
pub(in crate::cmd) struct LayerArgs {
    /// How new layers are compressed [default: gzip; a tar that is compressed stays as it is]
    #[arg(long, value_name = "FORMAT[:LEVEL]", help_heading = "Layer options")]
    pub(in crate::cmd) compress: Option<Compress>,
    /// Who owns the files of directories in the image
    #[arg(long, value_enum, default_value_t, value_name = "WHO", help_heading = "Layer options")]
    pub(in crate::cmd) owner: OwnerArg,
    /// No mtime of directories' files is later than this: seconds since 1970, an RFC 3339 date, or `keep`
    /// [default: the image's date]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Layer options")]
    pub(in crate::cmd) mtime: Option<Latest>,
}

/// What is changed of how an image is run, and of what is said of it.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cmd) struct ChangeArgs {
    /// Set an environment variable; may be given more than once
    #[arg(short, long, value_name = "NAME=VALUE", help_heading = "Config options")]
    pub(in crate::cmd) env: Vec<String>,
    /// Set the program that is run, and forget the image's arguments: words divided by commas, or a JSON list
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true, help_heading = "Config options")]
    pub(in crate::cmd) entrypoint: Vec<String>,
    /// Set the arguments, or, without an entrypoint, the program with its arguments: as for --entrypoint
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true, help_heading = "Config options")]
    pub(in crate::cmd) cmd: Vec<String>,
    /// Set the user that it is run as
    #[arg(short, long, value_name = "USER[:GROUP]", help_heading = "Config options")]
    pub(in crate::cmd) user: Option<String>,
    /// Set the working directory
    #[arg(short, long, value_name = "DIR", help_heading = "Config options")]
    pub(in crate::cmd) workdir: Option<String>,
    /// Set the signal that stops it
    #[arg(long, value_name = "SIGNAL", help_heading = "Config options")]
    pub(in crate::cmd) stop_signal: Option<String>,
    /// Add ports that it listens on
    #[arg(
        long,
        visible_alias = "expose",
        value_name = "PORT[/PROTOCOL]",
        value_delimiter = ',',
        help_heading = "Config options"
    )]
    pub(in crate::cmd) exposed_ports: Vec<String>,
    /// Add a directory that is to be a volume; may be given more than once
    #[arg(long, value_name = "DIR", help_heading = "Config options")]
    pub(in crate::cmd) volume: Vec<String>,
    /// Set a label; may be given more than once
    #[arg(short, long, value_name = "KEY=VALUE", help_heading = "Config options")]
    pub(in crate::cmd) label: Vec<String>,
    /// Set an annotation of the manifest; may be given more than once
    #[arg(short, long, value_name = "KEY=VALUE", help_heading = "Config options")]
    pub(in crate::cmd) annotation: Vec<String>,
    /// Set who made it
    #[arg(long, value_name = "NAME", help_heading = "Config options")]
    pub(in crate::cmd) author: Option<String>,
    /// Take away env[=NAME], label[=KEY], annotation[=KEY], port[=PORT], volume[=DIR], entrypoint, cmd, user, workdir,
    /// stop-signal, healthcheck, onbuild, shell or author; may be given more than once
    #[arg(long, value_name = "WHAT", help_heading = "Config options")]
    pub(in crate::cmd) unset: Vec<Unset>,
    /// The date of the image and of what is new in it: seconds since 1970 or an RFC 3339 date
    /// [env: SOURCE_DATE_EPOCH] [default: that of the image it is made of, else 1970-01-01T00:00:00Z]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Config options")]
    pub(in crate::cmd) created: Option<Mtime>,
}

/// The media types of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cmd) enum FamilyArg {
    /// OCI's
    #[default]
    Oci,
    /// Docker's, schema 2
    Docker,
}

const LAYER: &str = "\
A layer, or several, from the lowest up: may be given more than once.

FILE is a tar, bare, gzip or zstd; `-` is the standard input. DIR is a directory, whose content becomes the root's. \
DIR:/PLACE puts the content there, FILE:/PLACE one file. `image:NAME` takes all layers of another image, with their history.

Layers of directories and files are the same whenever and by whomever they are made: sorted, owned by root, no mtime later \
than the image's date. Modes, links, hard links and extended attributes stay.";

#[derive(Debug, Args)]
pub(in crate::cmd) struct CreateArgs {
    /// A layer: FILE, DIR, DIR:/PLACE, FILE:/PLACE or image:NAME; may be given more than once, the lowest first
    #[arg(value_name = "LAYER", long_help = LAYER)]
    pub(in crate::cmd) layers: Vec<String>,
    /// As the arguments, and above them
    #[arg(
        short = 'f',
        long = "layer",
        visible_alias = "new_layer",
        value_name = "LAYER",
        help_heading = "Layer options"
    )]
    pub(in crate::cmd) more: Vec<String>,
    #[command(flatten)]
    pub(in crate::cmd) layer: LayerArgs,
    /// What it runs on, as os/arch[/variant] [default: linux and this machine's architecture]
    #[arg(long, visible_alias = "set-platform", value_name = "OS/ARCH[/VARIANT]")]
    pub(in crate::cmd) platform: Option<String>,
    /// Whose media types it has
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cmd) format: FamilyArg,
    #[command(flatten)]
    pub(in crate::cmd) change: ChangeArgs,
    #[command(flatten)]
    pub(in crate::cmd) to: ToArgs,
    #[command(flatten)]
    pub(in crate::cmd) from: FromArgs,
}

/// Which images of an index are changed.
#[derive(Clone, Debug, Args)]
pub(in crate::cmd) struct WhichArgs {
    #[command(flatten)]
    pub(in crate::cmd) platform: PlatformArgs,
    /// Every image of an index, and an index of the results
    #[arg(long, conflicts_with = "platform")]
    pub(in crate::cmd) all: bool,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct AppendArgs {
    /// The image
    #[arg(value_name = "IMAGE", required_unless_present = "base", conflicts_with = "base")]
    pub(in crate::cmd) image: Option<String>,
    /// The image, as crane names it
    #[arg(short, long, value_name = "IMAGE", help_heading = "Layer options")]
    pub(in crate::cmd) base: Option<String>,
    /// A layer: FILE, DIR, DIR:/PLACE, FILE:/PLACE or image:NAME; may be given more than once, the lowest first
    #[arg(short = 'f', long = "layer", visible_alias = "new_layer", value_name = "LAYER", required = true, long_help = LAYER, help_heading = "Layer options")]
    pub(in crate::cmd) added: Vec<String>,
    #[command(flatten)]
    pub(in crate::cmd) layer: LayerArgs,
    /// Say in annotations what the image is built upon, also in Docker's manifests (in OCI's they do if it is from a
    /// registry)
    #[arg(long, help_heading = "Layer options")]
    pub(in crate::cmd) set_base_image_annotations: bool,
    #[command(flatten)]
    pub(in crate::cmd) which: WhichArgs,
    #[command(flatten)]
    pub(in crate::cmd) change: ChangeArgs,
    #[command(flatten)]
    pub(in crate::cmd) to: ToArgs,
    #[command(flatten)]
    pub(in crate::cmd) from: FromArgs,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct MutateArgs {
    /// The image
    pub(in crate::cmd) image: String,
    #[command(flatten)]
    pub(in crate::cmd) which: WhichArgs,
    #[command(flatten)]
    pub(in crate::cmd) change: ChangeArgs,
    /// Set what it runs on
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", conflicts_with = "all", help_heading = "Config options")]
    pub(in crate::cmd) set_platform: Option<String>,
    /// Add a layer on top, as `append` does; may be given more than once
    #[arg(long = "append", value_name = "LAYER", long_help = LAYER, help_heading = "Layer options")]
    pub(in crate::cmd) added: Vec<String>,
    #[command(flatten)]
    pub(in crate::cmd) layer: LayerArgs,
    #[command(flatten)]
    pub(in crate::cmd) to: ToArgs,
    #[command(flatten)]
    pub(in crate::cmd) from: FromArgs,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct FlattenArgs {
    /// The image
    pub(in crate::cmd) image: String,
    #[command(flatten)]
    pub(in crate::cmd) which: WhichArgs,
    /// How the layer is compressed [default: gzip]
    #[arg(long, value_name = "FORMAT[:LEVEL]")]
    pub(in crate::cmd) compress: Option<Compress>,
    /// The order of entries
    #[arg(long, value_enum, default_value_t = OrderArg::Stream)]
    pub(in crate::cmd) order: OrderArg,
    #[command(flatten)]
    pub(in crate::cmd) root: RootArgs,
    /// The date of the image and of its layer: seconds since 1970 or an RFC 3339 date
    /// [env: SOURCE_DATE_EPOCH] [default: the image's]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(in crate::cmd) created: Option<Mtime>,
    #[command(flatten)]
    pub(in crate::cmd) to: ToArgs,
    #[command(flatten)]
    pub(in crate::cmd) from: FromArgs,
}
