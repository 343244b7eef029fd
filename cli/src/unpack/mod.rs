//! Images on this disk to one directory: the merged root as files (L27).
//!
//! All layers are decoded side by side into unnamed temporary files, hashed and checked on the way (L23); core's
//! [`DirectoryPlan`](wharfie_core::merge::DirectoryPlan) says what is made of them in which order. It is made in a directory
//! of its own beside the target, which gets the target's name when all is there.
//!
//! Only Linux: other systems answer `invalid_option`.

#[cfg(target_os = "linux")]
mod clear;
#[cfg(target_os = "linux")]
mod crew;
#[cfg(target_os = "linux")]
mod descent;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod probe;
#[cfg(target_os = "linux")]
mod target;
#[cfg(target_os = "linux")]
mod window;
#[cfg(target_os = "linux")]
mod write;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharfie_core::error::Result;
use wharfie_core::merge::{Lacks, OnUnsupported, Options, Unmatched, Warnings};
use wharfie_core::tar::Counts;

#[cfg(target_os = "linux")]
pub(crate) use self::clear::remove;
use crate::drive::Cancel;
use crate::layers::{LayerReport, LocalImage, Progress};

/// What is chosen about an unpacking.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UnpackOptions {
    /// Links, owners, selection and limits; the order means nothing.
    pub merge: Options,
    /// Work without root: owners are left to the user and recorded in `user.rootlesscontainers`, devices become empty files.
    pub rootless: bool,
    /// What happens to what the file system there cannot hold.
    pub on_unsupported: OnUnsupported,
    /// Where decoded layers wait for their turn; `None` is [`default_temp_dir`](crate::layers::default_temp_dir).
    pub temp_dir: Option<PathBuf>,
    /// Layers decoded, and directories filled, at once; `None` is as many as there are processors.
    pub jobs: Option<NonZeroUsize>,
    /// What stops it.
    pub cancel: Cancel,
}

/// What came of an unpacking.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Paths in the tree, the root among them.
    pub entries: u64,
    /// Bytes of content, each file counted once.
    pub bytes: u64,
    /// From the bottom.
    pub layers: Vec<LayerReport>,
    /// What was odd about the stack (L3, L6, L10, L15, L16).
    pub warnings: Warnings,
    /// What was odd about its entries, or dropped from them, counted.
    pub counts: Counts,
    /// Patterns of the selection that matched nothing.
    pub unmatched: Vec<Unmatched>,
    /// What could not be set or made, and what became of it.
    pub lacks: Lacks,
    /// How long it took.
    pub elapsed: Duration,
}

/// Writes the merged root of `image` to the directory `target`, which is absent or empty before, and whole or as it was
/// afterwards.
///
/// # Errors
/// `already_exists` for a target that is something else; `unsupported_by_target` for a file system that cannot hold the tree; `layer_count_mismatch`, `size_mismatch`, `digest_mismatch`,
/// `diff_id_mismatch` where the image is not what it says; the errors of codecs, tar and merge, with layer, entry and byte;
/// `no_space`, early where it can be seen to come; `local_io`, `permission_denied`; `cancelled`.
pub fn unpack(
    image: &LocalImage,
    options: &UnpackOptions,
    target: &Path,
    progress: &dyn Progress,
) -> Result<Report> {
    #[cfg(target_os = "linux")]
    return linux::unpack(image, options, target, progress);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (image, options, target, progress);
        let reason =
            "unpacking to a directory is not there on this system yet: `wharfie export` writes a tar";
        Err(wharfie_core::error::ErrorKind::InvalidOption { reason: reason.to_owned() }.into())
    }
}

/// Looks whether this user may give files the owners that are asked for, so that nothing is fetched for nothing.
///
/// # Errors
/// `permission_denied`.
pub fn check_permission(options: &UnpackOptions) -> Result<()> {
    #[cfg(target_os = "linux")]
    if !options.rootless && options.merge.id_maps.is_empty() && !rustix::process::geteuid().is_root() {
        let (operation, reason) = ("unpacking with the image's owners", "it takes root".to_owned());
        return Err(wharfie_core::error::ErrorKind::PermissionDenied { operation, reason }.into());
    }
    let _ = options;
    Ok(())
}

/// A path that leads to what a descriptor stands for.
#[cfg(target_os = "linux")]
fn by_descriptor(fd: std::os::fd::BorrowedFd<'_>) -> String {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
