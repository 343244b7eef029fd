//! The whole of an unpacking on Linux.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Instant;

use rustix::fs::{fstatfs, fstatvfs};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::merge::{DirectoryPlan, Resolver, check_layer_count};

use super::probe::probe;
use super::target::Target;
use super::write::Site;
use super::{Report, UnpackOptions};
use crate::fault::io_error;
use crate::layers::{Keep, LocalImage, Progress, Workshop, check_space, decode, default_temp_dir};

/// Descriptors that are left for everything else.
const SPARE: usize = 64;

pub(super) fn unpack(
    image: &LocalImage,
    options: &UnpackOptions,
    path: &Path,
    progress: &dyn Progress,
) -> Result<Report> {
    let started = Instant::now();
    super::check_permission(options)?;
    check_layer_count(image.diff_ids.as_ref().map(Vec::len), image.layers.len())?;
    let temp_dir = options.temp_dir.clone().unwrap_or_else(default_temp_dir);
    // The target is looked at first: where nothing can be written nothing need be decoded.
    let target = Target::make(path)?;
    check_space(&image.layers, &temp_dir)?;
    let jobs = options.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let workshop = Workshop { limits: &options.merge.limits, cancel: &options.cancel, progress, jobs };
    let keep = Keep { temp_dir: &temp_dir, blocks: false };
    let mut resolver = Resolver::new(image.layers.len(), &options.merge)?;
    let (mut spools, mut layers) = (Vec::new(), Vec::new());
    for decoded in decode(image, &workshop, keep)? {
        resolver.supply(decoded.index)?;
        spools.push(decoded.spool);
        layers.push(decoded.report);
    }
    let mut plan = DirectoryPlan::new(resolver.finish()?, &options.merge)?;
    if options.rootless {
        plan = plan.rootless();
    }
    let problem = |error: Errno| io_error("trying out the file system", Some(path), &error.into());
    let (holding, habits) = probe(target.root(), &plan, options.rootless, problem)?;
    let lacks = plan
        .fit(holding, options.on_unsupported)
        .map_err(|error| error.at_path(path.display().to_string()))?;
    check_target_space(path, &target, &plan)?;
    let workers = jobs.min(plan.len());
    let site = Site {
        plan: &plan,
        spools: &spools,
        root: target.root(),
        habits,
        path,
        cancel: &options.cancel,
        progress,
        descriptors: descriptors(spools.len(), workers),
        later: Mutex::default(),
        written: AtomicU64::new(0),
    };
    site.build(workers)?;
    target.commit(|root| site.dress_directory(root, plan.tree().root()))?;
    let tree = plan.tree();
    Ok(Report {
        entries: tree.len() as u64,
        bytes: plan.content_bytes(),
        layers,
        warnings: tree.warnings().clone(),
        counts: *tree.counts(),
        unmatched: tree.unmatched().to_vec(),
        lacks,
        elapsed: started.elapsed(),
    })
}

/// Looks whether there is room for the content at least: who is refused would not have had it.
fn check_target_space(path: &Path, target: &Target, plan: &DirectoryPlan) -> Result<()> {
    let trying = |error: Errno| io_error("looking at the file system", Some(path), &error.into());
    let stat = fstatvfs(target.root()).map_err(trying)?;
    let available = stat.f_bavail.saturating_mul(stat.f_frsize);
    // What is stored of files is less than what they are where they have holes, or where the file system compresses.
    let needed = if compresses(target) { 0 } else { plan.stored_bytes() };
    let inodes = (plan.len() + plan.inodes()) as u64;
    let fits = needed <= available && (stat.f_files == 0 || inodes <= stat.f_favail);
    if fits {
        return Ok(());
    }
    let error = Error::from(ErrorKind::NoSpace { needed, available: Some(available) });
    Err(error.at_path(path.display().to_string()))
}

/// Whether the file system is one that may compress what it holds.
fn compresses(target: &Target) -> bool {
    // btrfs, zfs, f2fs, bcachefs, ubifs, and what others have behind FUSE and the network.
    const KINDS: &[u64] =
        &[0x9123_683e, 0x2fc1_2fc1, 0xf2f5_2010, 0xca45_1a4e, 0x2405_1905, 0x6573_5546, 0x6969];
    fstatfs(target.root()).is_ok_and(|stat| KINDS.contains(&(stat.f_type as u64)))
}

/// How many directories each worker may keep open.
fn descriptors(layers: usize, workers: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
    let free = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(layers + SPARE);
    (free / (workers + 1)).clamp(4, 128)
}
