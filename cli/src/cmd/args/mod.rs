//! The command line as clap reads it; the man pages and completions are made from it.
//!
//! Each option of a shared group names its heading itself: clap's `next_help_heading` goes on to all that comes behind the
//! group.

mod copy;
mod image;
mod load;
mod look;
mod make;
mod registry;
mod root;
mod save;
mod show;
mod store;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use self::copy::*;
pub(super) use self::image::*;
pub(super) use self::load::*;
pub(super) use self::look::*;
pub(super) use self::make::*;
pub(super) use self::registry::*;
pub(super) use self::root::*;
pub(super) use self::save::*;
pub(super) use self::show::*;
pub(super) use self::store::*;

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
pub(super) struct OutputArgs {
    /// Say nothing but errors
    #[arg(short, long, global = true, help_heading = "Output options")]
    pub(super) quiet: bool,
    /// Show the HTTP exchanges, without secrets; twice for their headers
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output options")]
    pub(super) verbose: u8,
    /// How progress is shown on standard error
    #[arg(long, global = true, value_enum, default_value_t = ProgressMode::Auto, value_name = "MODE", help_heading = "Output options")]
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
    /// Copy an image from one place to another: registries, layouts, archives
    ///
    /// Of an index the image for this machine is taken, unless --all, --platform or --digest says otherwise. Between two
    /// registries blobs touch no disk: each goes on while it comes, and is mounted where both are one.
    Copy(Box<CopyArgs>),
    /// Send an image from this machine to a registry
    Push(Box<PushArgs>),
    /// Give an image on a registry further tags
    Tag(TagArgs),
    /// Delete a tag or a manifest on a registry
    Delete(DeleteArgs),
    /// List what refers to an image: signatures, SBOMs, attestations
    Referrers(ReferrersArgs),
    /// Bring images of archives, layouts and directories into a layout or the local store
    ///
    /// Everything is read and verified first: what is wrong with one image leaves all as it was. An image is called by the
    /// name that its file gives it, else by the file's own: `pipeline` from `pipeline.tar.gz`.
    Load(LoadArgs),
    /// Check every digest, size, diff_id and reference of an image
    Validate(ValidateArgs),
    /// Write the merged root file system of an image as a tar
    ///
    /// It works on all processors that this process may use: limits set by taskset or a cgroup count.
    Export(ExportArgs),
    /// Write the merged root file system of an image into a directory
    ///
    /// It works on all processors that this process may use: limits set by taskset or a cgroup count.
    Unpack(UnpackArgs),
    /// Write images to one file, for docker load, podman load and others
    Save(SaveArgs),
    /// List the files of an image
    Ls(LsArgs),
    /// Write files of an image, fetching and reading as few layers as can decide them
    Cat(CatArgs),
    /// Show the directories of an image with all that lies in them, by size
    Tree(TreeArgs),
    /// Compare the files of two images, or show what each layer of one image does
    Diff(DiffArgs),
    /// Make an image of tars and directories
    ///
    /// The same layers and options give the same digests, whenever and wherever it is done.
    Create(CreateArgs),
    /// Put layers on an image: tars, directories, or those of other images
    Append(AppendArgs),
    /// Change how an image is run, and what is said of it
    Mutate(MutateArgs),
    /// Make one layer of all layers of an image
    Flatten(FlattenArgs),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Sees the command and all below it.
    fn walk(command: &clap::Command, see: &mut dyn FnMut(&clap::Command)) {
        see(command);
        command.get_subcommands().for_each(|sub| walk(sub, see));
    }

    #[test]
    fn the_description_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_group_takes_what_comes_behind_it() {
        let mut seen = 0;
        walk(&Arguments::command(), &mut |command| {
            for argument in command.get_arguments() {
                let own = ["platform", "json", "output", "temp_dir", "depth", "layers", "all"];
                if argument.is_positional() || own.contains(&argument.get_id().as_str()) {
                    assert_eq!(argument.get_help_heading(), None, "{} {argument}", command.get_name());
                    seen += 1;
                }
            }
        });
        assert!(seen > 30, "{seen}");
    }
}
