//! `save`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{FromArgs, PlatformArgs};

#[derive(Debug, Args)]
pub(in crate::cmd) struct SaveArgs {
    /// The images
    #[arg(required = true, value_name = "IMAGE")]
    pub(in crate::cmd) images: Vec<String>,
    #[command(flatten)]
    pub(in crate::cmd) from: FromArgs,
    #[command(flatten)]
    pub(in crate::cmd) platform: PlatformArgs,
    /// Where to; `-` is standard output. Of frozen-image and dir, the directory: not there yet, or empty
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cmd) output: PathBuf,
    /// How images are kept there
    #[arg(long, value_enum, default_value_t = KindArg::DockerArchive)]
    pub(in crate::cmd) format: KindArg,
    /// Keep layers compressed as they are, in a layout with index.json beside manifest.json, so that digests survive
    /// (docker-archive only). Without it layers are bare tars, which every docker and podman loads; not every one knows
    /// layers of zstd
    #[arg(long)]
    pub(in crate::cmd) keep_compression: bool,
    /// Compress the archive as a whole [default: by the name of the output, else none]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(in crate::cmd) compression: Option<CompressionArg>,
    /// The level of that: gzip 0 to 9, zstd 1 to 22 [default: zstd 3, gzip 6]
    #[arg(long, value_name = "N")]
    pub(in crate::cmd) level: Option<u32>,
    /// The name of the image in the archive, in place of its own; may be given more than once. For one image
    #[arg(short, long, value_name = "NAME")]
    pub(in crate::cmd) name: Vec<String>,
    /// Where to put temporary files [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cmd) temp_dir: Option<PathBuf>,
    /// Report as JSON on standard error
    #[arg(long)]
    pub(in crate::cmd) json: bool,
}

/// How images are kept in what `save` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cmd) enum KindArg {
    /// For docker load, podman load and others
    DockerArchive,
    /// An OCI layout in a tar
    OciArchive,
    /// An OCI layout in a directory
    Oci,
    /// A directory as moby's download-frozen-image-v2.sh makes it, for `tar -cC DIR . | docker load`, also into dockers
    /// before 1.10. Layers are as they are, but for those of zstd, which no such docker knows
    FrozenImage,
    /// skopeo's directory of one image
    Dir,
}

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cmd) enum CompressionArg {
    /// Not at all
    None,
    /// gzip
    Gzip,
    /// Zstandard
    Zstd,
}
