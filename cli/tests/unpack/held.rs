//! What Linux and its usual file systems hold of a tree, a second time, as plainly as it can be said: what must lie on the
//! disk for what a stack shows, and what must be reported as lacking (L28).

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use testbed::tree::{Entry, Kind as OnDisk, Tree};
use wharfie_core::merge::Lack;
use wharfie_core::tar::{Kind, Metadata};

use super::stack::{Shown, View};

/// Seconds since 1970 that inodes of 256 bytes hold on ext4.
const TIMES: std::ops::Range<i64> = -(1 << 31)..(1 << 34) - (1 << 31);

/// What must come of a view.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) tree: Tree,
    /// What no policy but skipping lets pass.
    pub(crate) lacks: BTreeMap<Lack, u64>,
    /// What `--rootless` takes into the bargain.
    pub(crate) accepted: BTreeMap<Lack, u64>,
    /// Owners recorded in place of being set.
    pub(crate) recorded: u64,
}

impl Held {
    /// `owner` is whoever unpacks without root.
    pub(crate) fn of(view: &View, rootless: Option<(u32, u32)>) -> Held {
        let mut held = Held::default();
        let mut gone: BTreeSet<&[u8]> = BTreeSet::new();
        for (path, shown) in view {
            let (parent, name) = split(path);
            if parent.is_some_and(|parent| gone.contains(parent)) {
                gone.insert(path);
                continue;
            }
            if let Some(lack) = refused(name, shown, rootless.is_some()) {
                *held.lacks.entry(lack).or_default() += 1;
                gone.insert(path);
                continue;
            }
            let first = shown.same == *path;
            let mut entry = entry(shown);
            if let Some(owner) = rootless {
                if first {
                    held.without_root(shown);
                }
                to_rootless(shown, owner, &mut entry);
            }
            let (keeps, drops): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut entry.xattrs)
                .into_iter()
                .partition(|(name, value)| holds_xattr(&entry, name, value));
            entry.xattrs = keeps;
            // Nothing but the mode once more: Linux keeps no such list.
            entry.xattrs.retain(|name, value| name != b"system.posix_acl_access" || value.len() > 28);
            if first && !drops.is_empty() {
                *held.lacks.entry(Lack::Xattr).or_default() += drops.len() as u64;
            }
            if first && !TIMES.contains(&shown.metadata.mtime.seconds) {
                *held.lacks.entry(Lack::Mtime).or_default() += 1;
            }
            entry.shares = shares(view, shown);
            held.tree.insert(path.clone(), entry);
        }
        held
    }

    /// Counts what the policy for those who are not root changes (umoci's).
    fn without_root(&mut self, shown: &Shown) {
        let mut accept = |lack, often: usize| {
            if often > 0 {
                *self.accepted.entry(lack).or_default() += often as u64;
            }
        };
        let Metadata { mode, uid, gid, xattrs, .. } = &shown.metadata;
        let device = matches!(shown.kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. });
        accept(Lack::Device, usize::from(device));
        accept(Lack::Xattr, xattrs.keys().filter(|name| !name.starts_with(b"user.")).count());
        let directory = shown.kind == Kind::Directory;
        accept(Lack::SetId, usize::from(!directory && mode & 0o6000 != 0));
        if (*uid, *gid) != (0, 0) {
            if directory || device || shown.kind == Kind::File {
                self.recorded += 1;
            } else {
                accept(Lack::Owner, 1);
            }
        }
    }
}

/// A view as if there were a file system that held all.
pub(crate) fn whole(view: &View) -> Tree {
    let entry = |shown: &Shown| Entry { shares: shares(view, shown), ..entry(shown) };
    view.iter().map(|(path, shown)| (path.clone(), entry(shown))).collect()
}

fn shares(view: &View, shown: &Shown) -> Option<Vec<u8>> {
    let names = view.values().filter(|other| other.same == shown.same).count();
    (names > 1).then(|| shown.same.clone())
}

fn split(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (Some(&path[..at]), &path[at + 1..]),
        None => (None, path),
    }
}

/// What is in the way of there being anything of this name at all.
fn refused(name: &[u8], shown: &Shown, rootless: bool) -> Option<Lack> {
    if name.len() > 255 {
        return Some(Lack::Name);
    }
    match shown.kind {
        Kind::Symlink if !(1..=4095).contains(&shown.link.len()) => Some(Lack::Symlink),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            (!rootless && (major > 0xfff || minor > 0xf_ffff)).then_some(Lack::Device)
        }
        _ => None,
    }
}

fn entry(shown: &Shown) -> Entry {
    let Metadata { mode, uid, gid, mtime, xattrs } = &shown.metadata;
    let kind = match shown.kind {
        Kind::Directory => OnDisk::Directory,
        Kind::Symlink => OnDisk::Symlink(shown.link.clone()),
        Kind::Fifo => OnDisk::Fifo,
        Kind::CharDevice { major, minor } => OnDisk::Character(major.into(), minor.into()),
        Kind::BlockDevice { major, minor } => OnDisk::Block(major.into(), minor.into()),
        Kind::File | Kind::HardLink => {
            OnDisk::File(shown.data.len() as u64, Sha256::digest(&shown.data).into())
        }
    };
    let mode = if matches!(kind, OnDisk::Symlink(_)) { 0 } else { *mode };
    let (uid, gid) = (u64::from(*uid), u64::from(*gid));
    let mtime = (mtime.seconds, mtime.nanos);
    Entry { kind, mode, uid, gid, mtime, xattrs: xattrs.clone(), shares: None }
}

/// Devices are empty files, owners are recorded where there can be an attribute, and nobody gets another's rights.
fn to_rootless(shown: &Shown, owner: (u32, u32), entry: &mut Entry) {
    if matches!(entry.kind, OnDisk::Character(..) | OnDisk::Block(..)) {
        entry.kind = OnDisk::File(0, Sha256::digest([]).into());
    }
    if entry.kind != OnDisk::Directory {
        entry.mode &= 0o1777;
    }
    (entry.uid, entry.gid) = (owner.0.into(), owner.1.into());
    entry.xattrs.retain(|name, _| name.starts_with(b"user."));
    let ids = (shown.metadata.uid, shown.metadata.gid);
    if ids != (0, 0) && matches!(entry.kind, OnDisk::Directory | OnDisk::File(..)) {
        let mut record = Vec::new();
        for (field, id) in [(0x08, ids.0), (0x10, ids.1)] {
            // In the protocol, 0 is what is not there.
            let mut rest = if id == 0 { u32::MAX } else { id };
            record.push(field);
            loop {
                let last = rest < 0x80;
                record.push((rest & 0x7f) as u8 | if last { 0 } else { 0x80 });
                if last {
                    break;
                }
                rest >>= 7;
            }
        }
        entry.xattrs.insert(b"user.rootlesscontainers".to_vec(), record);
    }
}

/// Whether root can give this attribute to such an entry (xattr(7), `fs/posix_acl.c`, `security/commoncap.c`).
fn holds_xattr(entry: &Entry, name: &[u8], value: &[u8]) -> bool {
    let kind = &entry.kind;
    match name {
        b"system.posix_acl_access" => {
            !matches!(kind, OnDisk::Symlink(_)) && acl(value) == Some(entry.mode & 0o777)
        }
        b"system.posix_acl_default" => *kind == OnDisk::Directory && acl(value).is_some(),
        b"security.capability" => matches!((value.len(), value.get(3)), (20, Some(2)) | (24, Some(3))),
        _ if name.starts_with(b"user.") => matches!(kind, OnDisk::Directory | OnDisk::File(..)),
        _ => name.starts_with(b"trusted.") || name.starts_with(b"security."),
    }
}

/// The permissions of owner, mask or group, and others: in this order, users and groups among them.
fn acl(value: &[u8]) -> Option<u32> {
    let entries: Vec<&[u8]> = value.strip_prefix(&[2, 0, 0, 0])?.chunks(8).collect();
    let tags: Vec<u8> = entries.iter().map(|entry| entry[0]).collect();
    let of = |tag: u8| {
        let mut those = entries.iter().filter(|entry| entry[0] == tag);
        let one = those.next().filter(|entry| entry.len() == 8)?[2];
        those.next().is_none().then_some(u32::from(one))
    };
    let named = tags.contains(&2) || tags.contains(&8);
    let group = of(0x10).or(of(4).filter(|_| !named))?;
    (tags.is_sorted() && of(4).is_some()).then_some(of(1)? << 6 | group << 3 | of(0x20)?)
}
