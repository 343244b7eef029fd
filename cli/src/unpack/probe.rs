//! What the file system of the target can hold, found out by trying before anything of the tree is written (L28).

use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Uid, XattrFlags, fchmod, fchown, fgetxattr,
    fremovexattr, fsetxattr, fstat, futimens, linkat, lsetxattr, makedev, mkdirat, mknodat, openat, seek,
    symlinkat, unlinkat,
};
use rustix::io::{Errno, Result};
use wharfie_core::merge::{DirectoryPlan, Holder, Holding, LOOK_ALIKES, NAME_SAMPLES, Node};
use wharfie_core::tar::{Kind, Mtime};

use super::clear;
use super::descent::open_directory;
use super::write::{Habits, times};

/// The greatest numbers of a device on Linux: what is above them, the kernel cuts off.
const DEVICE: (u32, u32) = (0xfff, 0xf_ffff);
/// Bytes of the longest name that file systems have.
const NAME: usize = 255;
/// A time that every file system can hold.
const TIME: i64 = 1_000_000_000;

/// A directory to try things in, with one of each kind.
struct Probe<'p> {
    plan: &'p DirectoryPlan,
    rootless: bool,
    directory: OwnedFd,
    file: OwnedFd,
    /// For names alone.
    names: OwnedFd,
}

/// Tries what the plan asks for, in a directory of its own below `root`, and removes it.
pub(super) fn probe(
    root: BorrowedFd<'_>,
    plan: &DirectoryPlan,
    rootless: bool,
    problem: impl Fn(Errno) -> wharfie_core::Error,
) -> wharfie_core::error::Result<(Holding, Habits)> {
    let name = b"probe";
    let found = (|| {
        mkdirat(root, &name[..], Mode::RWXU)?;
        let directory = open_directory(root, name)?;
        let file = create(directory.as_fd(), b"file", 0o777)?;
        let stat = fstat(&file)?;
        let habits = Habits {
            umask: !stat.st_mode & 0o777,
            owner: (stat.st_uid, stat.st_gid),
            privileged: rustix::process::geteuid().is_root(),
        };
        mkdirat(&directory, "names", Mode::RWXU)?;
        let names = open_directory(directory.as_fd(), b"names")?;
        Ok((Probe { plan, rootless, directory, file, names }, habits))
    })();
    let (probe, habits) = found.map_err(&problem)?;
    let holding = probe.holding(habits);
    // FUSE keeps what is open under another name.
    drop(probe);
    let removed = clear::remove_at(root, name);
    let holding = holding?;
    removed.map_err(problem)?;
    Ok((holding, habits))
}

fn create(directory: BorrowedFd<'_>, name: &[u8], mode: u32) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::from_raw_mode(mode))
}

impl Probe<'_> {
    fn holding(&self, habits: Habits) -> wharfie_core::error::Result<Holding> {
        let plan = self.plan;
        let directory = self.directory.as_fd();
        let mut holding = Holding::default();
        self.names(&mut holding);
        let longest_link = plan.tree().iter().map(|node| node.link().len()).max().unwrap_or(0);
        let text = |len: u64| {
            let _ = unlinkat(directory, "link", AtFlags::empty());
            symlinkat(vec![b'a'; len as usize], directory, "link").is_ok()
        };
        holding.link_bytes = most(longest_link.max(1) as u64, text) as usize;
        holding.symlinks = holding.link_bytes > 0;
        text(1);
        holding.hard_links = linkat(directory, "file", directory, "hard", AtFlags::empty()).is_ok();
        holding.fifos = mknodat(directory, "fifo", FileType::Fifo, Mode::RWXU, 0).is_ok();
        let device = |kind| matches!(kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. });
        if !self.rootless && plan.has_kind(device) {
            let made =
                mknodat(directory, "device", FileType::CharacterDevice, Mode::empty(), makedev(1, 3)).is_ok();
            holding.devices = made.then_some(DEVICE);
            if plan.has_kind(|kind| kind == Kind::CharDevice { major: 0, minor: 0 }) {
                let (kind, mode) = (FileType::CharacterDevice, Mode::empty());
                holding.null_device = mknodat(directory, "null", kind, mode, makedev(0, 0)).is_ok();
            }
        }
        let largest = plan.largest_file();
        holding.file_bytes = most(largest, |size| seek(&self.file, SeekFrom::Start(size)).is_ok());
        if holding.file_bytes >= largest {
            holding.file_bytes = u64::MAX;
        }
        self.times(&mut holding)?;
        // Modes before owners, who may not be us.
        for (is_directory, mode) in plan.modes()? {
            let fd = if is_directory { self.names.as_fd() } else { self.file.as_fd() };
            let is = |stat: rustix::fs::Stat| stat.st_mode & 0o7777 == mode;
            let held = fchmod(fd, Mode::from_raw_mode(mode)).and_then(|()| fstat(fd)).is_ok_and(is);
            if !held {
                holding.refused_modes.insert((is_directory, mode));
            }
        }
        let _ = fchmod(&self.names, Mode::RWXU);
        let _ = fchmod(&self.file, Mode::RWXU);
        for ((holder, name), value) in plan.xattrs()? {
            if !self.holds_xattr(holder, &name, &value) {
                holding.refused_xattrs.insert((holder, name));
            }
        }
        if !self.rootless {
            for owner in plan.owners()?.into_iter().filter(|owner| *owner != habits.owner) {
                let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
                let is = |stat: rustix::fs::Stat| (stat.st_uid, stat.st_gid) == owner;
                let held = fchown(&self.file, Some(uid), Some(gid)).and_then(|()| fstat(&self.file));
                if !held.is_ok_and(is) {
                    holding.refused_owners.insert(owner);
                }
            }
        }
        Ok(holding)
    }

    fn names(&self, holding: &mut Holding) {
        let longest = [b'n'; NAME];
        holding.name_bytes = most(NAME as u64, |len| self.holds_name(&longest[..len as usize])) as usize;
        holding.keeps_case = self.holds_name(b"Capital");
        let all = holding.name_bytes == NAME && NAME_SAMPLES.iter().all(|name| self.holds_name(name));
        if !all {
            let refused = self.plan.unusual_names().filter(|node| !self.holds_name(node.name()));
            holding.refused_names = refused.map(Node::id).collect();
        } else {
            // Names longer than any may be.
            let long = self.plan.unusual_names().filter(|node| node.name().len() > NAME);
            holding.refused_names = long.map(Node::id).collect();
        }
        let folds = LOOK_ALIKES.iter().any(|(one, other)| {
            let apart = create(self.names.as_fd(), one, 0o600).is_ok()
                && !create(self.names.as_fd(), other, 0o600).is_err_and(|error| error == Errno::EXIST);
            let _ = clear::empty(&self.names, |_| false);
            !apart
        });
        if !folds {
            return;
        }
        for set in self.plan.look_alikes() {
            for id in set.into_iter().filter(|id| !holding.refused_names.contains(id)).collect::<Vec<_>>() {
                let Some(node) = self.plan.tree().node(id) else { continue };
                if create(self.names.as_fd(), node.name(), 0o600).is_err_and(|error| error == Errno::EXIST) {
                    holding.colliding_names.insert(id);
                }
            }
            let _ = clear::empty(&self.names, |_| false);
        }
    }

    /// Whether a file of this name can be made, and has this name then.
    fn holds_name(&self, name: &[u8]) -> bool {
        let is = |entry: Result<rustix::fs::DirEntry>| {
            entry.is_ok_and(|entry| entry.file_name().to_bytes() == name)
        };
        let held = create(self.names.as_fd(), name, 0o600).is_ok()
            && Dir::read_from(&self.names).is_ok_and(|mut entries| entries.any(is));
        let _ = clear::empty(&self.names, |_| false);
        held
    }

    fn holds_xattr(&self, holder: Holder, name: &[u8], value: &[u8]) -> bool {
        let flags = XattrFlags::empty();
        let fd = match holder {
            Holder::File => self.file.as_fd(),
            Holder::Directory => self.names.as_fd(),
            Holder::Symlink | Holder::Special => {
                let entry = if holder == Holder::Symlink { "link" } else { "fifo" };
                let path = format!("{}/{entry}", super::by_descriptor(self.directory.as_fd()));
                return lsetxattr(path, name, value, flags).is_ok();
            }
        };
        let mut kept = vec![0; value.len() + 1];
        // Some file systems say yes and do nothing. What Linux reads itself it may write in another way.
        let its_own = name.starts_with(b"system.") || name.starts_with(b"security.");
        let held = fsetxattr(fd, name, value, flags).is_ok()
            && (its_own
                || fgetxattr(fd, name, &mut kept[..]).is_ok_and(|len| kept.get(..len) == Some(value)));
        let _ = fremovexattr(fd, name);
        held
    }

    fn times(&self, holding: &mut Holding) -> wharfie_core::error::Result<()> {
        let set = |seconds: i64, nanos: u32| {
            let time = Mtime { seconds, nanos };
            let stat = futimens(&self.file, &times(time)).and_then(|()| fstat(&self.file)).ok()?;
            Some(Mtime { seconds: stat.st_mtime as i64, nanos: stat.st_mtime_nsec as u32 })
        };
        let nanos = 123_456_789;
        holding.mtime_step = match set(TIME + 1, nanos) {
            Some(is) if is.seconds == TIME + 1 => {
                let steps = (0..9).map(|power| 10_u32.pow(power));
                steps.rev().find(|step| nanos / step * step == is.nanos).map_or(1_000_000_000, u64::from)
            }
            _ => 2_000_000_000,
        };
        if holding.mtime_step < 1_000_000_000 && set(TIME + 1, nanos).is_some_and(|is| is.nanos == 0) {
            holding.mtime_step = 1_000_000_000;
        }
        let step = if holding.mtime_step > 1_000_000_000 { 2 } else { 1 };
        let holds = |seconds: i64| {
            let seconds = seconds / step * step;
            set(seconds, 0).is_some_and(|is| is.seconds == seconds)
        };
        if !holds(TIME) {
            // None can be set at all: nobody has this one.
            holding.mtime_seconds = i64::MIN..=i64::MIN;
            return Ok(());
        }
        let mut range: RangeInclusive<i64> = TIME..=TIME;
        for node in self.plan.tree().iter() {
            let seconds = self.plan.metadata(node)?.mtime.seconds;
            range = seconds.min(*range.start())..=seconds.max(*range.end());
        }
        let up = |distance: u64| holds(TIME.saturating_add_unsigned(distance));
        let down = |distance: u64| holds(TIME.saturating_sub_unsigned(distance));
        let latest = TIME.saturating_add_unsigned(most(range.end().abs_diff(TIME), up));
        let earliest = TIME.saturating_sub_unsigned(most(range.start().abs_diff(TIME), down));
        // Beyond what was asked for, nobody asks.
        holding.mtime_seconds = earliest..=latest;
        // Before 1970 some take the fraction for the wrong one.
        if holding.mtime_step < 1_000_000_000 && earliest < 0 {
            let fraction = 1_000_000_000 - holding.mtime_step as u32;
            if set(-1, fraction) != Some(Mtime { seconds: -1, nanos: fraction }) {
                holding.mtime_seconds = 0..=latest;
            }
        }
        Ok(())
    }
}

/// The largest number up to `wanted` that holds, where all below one that holds do; 0 if none does.
fn most(wanted: u64, holds: impl Fn(u64) -> bool) -> u64 {
    if wanted == 0 || holds(wanted) {
        return wanted;
    }
    let (mut good, mut bad) = (0, wanted);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if holds(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    good
}
