//! What a file system can hold, and a plan for a directory made to fit it (L28).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::directory::DirectoryPlan;
use super::lack::{Lack, Lacks};
use super::tree::{Node, NodeId};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::tar::{Kind, Metadata, Mtime, acl};

/// What happens to what a file system cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OnUnsupported {
    /// Nothing is written.
    #[default]
    Fail,
    /// It is left out: entries whose name or kind cannot be held (of names that collide all but the first), and
    /// metadata. Hard links become copies.
    Skip,
    /// As [`OnUnsupported::Skip`], but no entry is left out for its name: it gets another one. What is refused in a name
    /// is written `%xx`, where capitals are not kept they are small, and `~1`, `~2`, … tell apart what collides. Texts of symlinks stay as they are.
    Rename,
}

/// What a file system cannot hold of a tree, as a host has found out by trying. The default lacks nothing.
///
/// A host tries the very names, owners, modes and attributes that the plan asks for ([`DirectoryPlan::unusual_names`],
/// [`DirectoryPlan::look_alikes`], [`DirectoryPlan::owners`], …), so that nothing hangs on what a kind of file system is
/// said to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Holding {
    /// Paths whose names it refuses.
    pub refused_names: BTreeSet<NodeId>,
    /// Paths whose names it takes for that of a sibling before them.
    pub colliding_names: BTreeSet<NodeId>,
    /// Whether a name keeps its capitals.
    pub keeps_case: bool,
    /// Bytes of a name at most.
    pub name_bytes: usize,
    /// Whether there are symlinks.
    pub symlinks: bool,
    /// Bytes of a symlink's text at most.
    pub link_bytes: usize,
    /// Whether a file can have several names.
    pub hard_links: bool,
    /// Whether there are devices, and their greatest numbers.
    pub devices: Option<(u32, u32)>,
    /// Whether a character device 0/0 may be among them: where overlay is mounted it would be a whiteout.
    pub null_device: bool,
    /// Whether there are FIFOs.
    pub fifos: bool,
    /// Owners and groups that cannot be set.
    pub refused_owners: BTreeSet<(u32, u32)>,
    /// Modes that cannot be set, each with whether it is a directory's.
    pub refused_modes: BTreeSet<(bool, u32)>,
    /// Attributes that cannot be set on such an entry.
    pub refused_xattrs: BTreeSet<(Holder, Vec<u8>)>,
    /// Nanoseconds that mtimes are multiples of: 1,000,000,000 for whole seconds.
    pub mtime_step: u64,
    /// Seconds since 1970 that an mtime can have.
    pub mtime_seconds: RangeInclusive<i64>,
    /// Bytes of one file at most.
    pub file_bytes: u64,
}

impl Default for Holding {
    fn default() -> Self {
        Holding {
            refused_names: BTreeSet::new(),
            colliding_names: BTreeSet::new(),
            keeps_case: true,
            name_bytes: usize::MAX,
            symlinks: true,
            link_bytes: usize::MAX,
            hard_links: true,
            devices: Some((u32::MAX, u32::MAX)),
            null_device: true,
            fifos: true,
            refused_owners: BTreeSet::new(),
            refused_modes: BTreeSet::new(),
            refused_xattrs: BTreeSet::new(),
            mtime_step: 1,
            mtime_seconds: i64::MIN..=i64::MAX,
            file_bytes: u64::MAX,
        }
    }
}

/// Where an attribute is to be: file systems make a difference between these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink.
    Symlink,
    /// A device or a FIFO.
    Special,
}

impl Holder {
    /// What a kind is here.
    pub const fn of(kind: Kind) -> Holder {
        match kind {
            Kind::File | Kind::HardLink => Holder::File,
            Kind::Directory => Holder::Directory,
            Kind::Symlink => Holder::Symlink,
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => Holder::Special,
        }
    }
}

/// What a path gets on disk besides name and content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attributes {
    /// What is to be set; of attributes only those that can be: not those that the file system refuses, nor ACLs that
    /// contradict the mode, nor ACLs and file capabilities that are none to Linux.
    pub metadata: Metadata,
    /// Whether the owner is to be set: else it is left as the system gives it.
    pub sets_owner: bool,
    /// Whether the mode is to be set.
    pub sets_mode: bool,
    /// A device that becomes an empty file.
    pub as_file: bool,
}

/// The attribute of rootless containers in which tools without root keep an owner: a protobuf message `Resource` with the
/// fields `uid` (1) and `gid` (2), 4294967295 standing for 0 (umoci, PRoot, runrootless).
pub const ROOTLESS_XATTR: &[u8] = b"user.rootlesscontainers";

/// The value of [`ROOTLESS_XATTR`] for an owner and a group; none for 0 and 0.
pub fn rootless_record(uid: u32, gid: u32) -> Option<Vec<u8>> {
    if (uid, gid) == (0, 0) {
        return None;
    }
    let mut record = Vec::new();
    for (field, id) in [(1_u8, uid), (2, gid)] {
        record.push(field << 3);
        let mut rest = if id == 0 { u32::MAX } else { id };
        while rest >= 0x80 {
            record.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        record.push(rest as u8);
    }
    Some(record)
}

/// Names to try whether a file system takes any: one that keeps all of these, and one of 255 bytes, keeps all that are no
/// longer. One is no UTF-8; the others have a capital letter, a control character, what means something elsewhere, a dot
/// or a space at the end, a device's name, letters of other scripts.
pub const NAME_SAMPLES: &[&[u8]] = &[
    b"\xff\xfe",
    b"Capital",
    b"a\x01b",
    b"a:b",
    b"a*?\"<>|b",
    b"a\\b",
    b"end.",
    b"end ",
    b"con",
    b"aux.txt",
    "\u{e4}\u{4e2d}\u{1f4a9}".as_bytes(),
];

/// Two names that are one where case is folded, and two that are one where Unicode is normalised.
pub const LOOK_ALIKES: &[(&[u8], &[u8])] =
    &[(b"case", b"CASE"), ("\u{e4}".as_bytes(), "\u{c4}".as_bytes()), ("\u{e9}".as_bytes(), b"e\xcc\x81")];

impl DirectoryPlan {
    /// Paths whose names some file systems refuse or change: not ASCII, with a capital letter, a control character or one
    /// of `"*:<>?\|`, with a dot or a space at the end, named as DOS names devices, or longer than 143 bytes (what
    /// encrypting ones leave).
    pub fn unusual_names(&self) -> impl Iterator<Item = Node<'_>> {
        self.tree().nodes().filter(|node| is_unusual(node.name()))
    }

    /// Sets of siblings that may be one name where case is folded or Unicode normalised, each sorted by name.
    ///
    /// The rule: full upper case by Unicode, of which ASCII is kept in lower case and all else is dropped, and a
    /// character of ASCII before a combining mark as well. Names that any file system takes for one are in one set; so
    /// are many that it does not, so that the host tries them out.
    pub fn look_alikes(&self) -> Vec<Vec<NodeId>> {
        let mut sets = Vec::new();
        for directory in self.tree().nodes().filter(|node| node.kind() == Kind::Directory) {
            let mut keyed: Vec<(Vec<u8>, NodeId)> =
                directory.children().map(|child| (skeleton(child.name()), child.id())).collect();
            keyed.sort_unstable();
            for set in keyed.chunk_by(|a, b| a.0 == b.0).filter(|set| set.len() > 1) {
                sets.push(set.iter().map(|(_, id)| *id).collect());
            }
        }
        sets
    }

    /// All owners with their groups, as they are to be set.
    ///
    /// # Errors
    /// Those of [`DirectoryPlan::metadata`].
    pub fn owners(&self) -> Result<BTreeSet<(u32, u32)>> {
        self.first_names().map(|node| self.metadata(node).map(|it| (it.uid, it.gid))).collect()
    }

    /// All modes, each with whether it is a directory's; symlinks have none.
    ///
    /// # Errors
    /// Those of [`DirectoryPlan::metadata`].
    pub fn modes(&self) -> Result<BTreeSet<(bool, u32)>> {
        let nodes = self.first_names().filter(|node| node.kind() != Kind::Symlink);
        nodes
            .map(|node| self.attributes(node).map(|it| (node.kind() == Kind::Directory, it.metadata.mode)))
            .collect()
    }

    /// All attributes, each once for each kind of entry that has it, with the longest of the values.
    ///
    /// # Errors
    /// Those of [`DirectoryPlan::metadata`].
    #[allow(clippy::type_complexity)] // a map of pairs, made to be walked through once
    pub fn xattrs(&self) -> Result<BTreeMap<(Holder, Vec<u8>), Vec<u8>>> {
        let mut xattrs: BTreeMap<(Holder, Vec<u8>), Vec<u8>> = BTreeMap::new();
        for node in self.first_names() {
            let attributes = self.attributes(node)?;
            let holder = if attributes.as_file { Holder::File } else { Holder::of(node.kind()) };
            for (name, value) in attributes.metadata.xattrs {
                let longest = xattrs.entry((holder, name)).or_default();
                if value.len() >= longest.len() {
                    *longest = value;
                }
            }
        }
        Ok(xattrs)
    }

    /// Bytes of the largest file.
    pub fn largest_file(&self) -> u64 {
        self.first_names().map(Node::size).max().unwrap_or(0)
    }

    /// Whether anything is of a kind that the closure knows.
    pub fn has_kind(&self, is: impl Fn(Kind) -> bool) -> bool {
        self.first_names().any(|node| is(node.kind()))
    }

    /// What a path gets on disk.
    ///
    /// # Errors
    /// Those of [`DirectoryPlan::metadata`].
    pub fn attributes(&self, node: Node<'_>) -> Result<Attributes> {
        let metadata = self.metadata(node)?;
        let kind = node.kind();
        let mut it = Attributes { metadata, sets_owner: true, sets_mode: true, as_file: false };
        if self.rootless {
            it.sets_owner = false;
            it.as_file = matches!(kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. });
            it.metadata.xattrs.retain(|name, _| name.starts_with(b"user."));
            if kind != Kind::Directory {
                it.metadata.mode &= 0o1777;
            }
            if matches!(kind, Kind::File | Kind::Directory) || it.as_file {
                let record = rootless_record(it.metadata.uid, it.metadata.gid);
                it.metadata.xattrs.extend(record.map(|record| (ROOTLESS_XATTR.to_vec(), record)));
            }
        }
        let holding = &self.holding;
        if holding.refused_owners.contains(&(it.metadata.uid, it.metadata.gid)) {
            it.sets_owner = false;
        }
        if holding.refused_modes.contains(&(kind == Kind::Directory, it.metadata.mode)) {
            it.sets_mode = false;
        }
        if !holding.refused_xattrs.is_empty() {
            let holder = if it.as_file { Holder::File } else { Holder::of(kind) };
            it.metadata.xattrs.retain(|name, _| !holding.refused_xattrs.contains(&(holder, name.clone())));
        }
        let mode = it.metadata.mode & 0o777;
        it.metadata.xattrs.retain(|name, value| is_sound(name, value, mode));
        Ok(it)
    }

    /// The name that a path gets on disk: its own, unless that cannot be held.
    pub fn name<'p>(&'p self, node: Node<'p>) -> &'p [u8] {
        match self.names.get(&node.id()) {
            Some(name) => name,
            None => node.name(),
        }
    }

    /// Leaves owners to the user who runs the host, and has them recorded ([`ROOTLESS_XATTR`]); devices become empty
    /// files, set-id bits of files and all attributes but `user.` are dropped.
    #[must_use]
    pub fn rootless(mut self) -> Self {
        self.rootless = true;
        self
    }

    /// Makes the plan one that the file system can hold, by the policy, and says what is lacking. Called once, last.
    ///
    /// # Errors
    /// `unsupported_by_target` where something is lacking and the policy allows nothing of the kind.
    pub fn fit(&mut self, holding: Holding, policy: OnUnsupported) -> Result<Lacks> {
        let mut lacks = Lacks::default();
        // What was chosen with `rootless` is no reason to fail.
        let mut accepted = Lacks::default();
        let mut omitted: BTreeSet<NodeId> = BTreeSet::new();
        let mut names: BTreeMap<NodeId, Vec<u8>> = BTreeMap::new();
        self.holding = holding;
        let holding = &self.holding;
        for node in self.tree().nodes() {
            let id = node.id();
            if node.parent().is_some_and(|parent| omitted.contains(&parent.id())) {
                omitted.insert(id);
                continue;
            }
            let collides = holding.colliding_names.contains(&id);
            if collides || holding.refused_names.contains(&id) {
                let lack = if collides { Lack::Collision } else { Lack::Name };
                if policy == OnUnsupported::Rename {
                    let name = other_name(node, holding, &names, collides);
                    lacks.add(lack, || node.path(), Some([b"as ", &name[..]].concat()));
                    names.insert(id, name);
                } else {
                    lacks.add(lack, || node.path(), None);
                    omitted.insert(id);
                    continue;
                }
            }
            let kind = node.kind();
            let lack = match kind {
                Kind::Symlink
                    if !holding.symlinks || !(1..=holding.link_bytes).contains(&node.link().len()) =>
                {
                    Some((Lack::Symlink, None))
                }
                Kind::Fifo if !holding.fifos => Some((Lack::Fifo, None)),
                Kind::File if node.size() > holding.file_bytes => Some((Lack::Size, None)),
                Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                    let detail = Some(format!("{major}:{minor}").into_bytes());
                    if self.rootless {
                        if !self.is_later_name(id) {
                            accepted.add(Lack::Device, || node.path(), detail);
                        }
                        None
                    } else {
                        let null = kind == Kind::CharDevice { major: 0, minor: 0 };
                        let held = holding.devices.is_some_and(|most| major <= most.0 && minor <= most.1)
                            && (holding.null_device || !null);
                        (!held).then_some((Lack::Device, detail))
                    }
                }
                _ => None,
            };
            if let Some((lack, detail)) = lack {
                lacks.add(lack, || node.path(), detail);
                omitted.insert(id);
                continue;
            }
            if self.is_later_name(id) {
                if !holding.hard_links {
                    lacks.add(Lack::HardLink, || node.path(), None);
                }
                continue;
            }
            self.check_attributes(node, &mut lacks, &mut accepted)?;
        }
        if !lacks.is_empty() && policy == OnUnsupported::Fail {
            let error = Error::from(ErrorKind::UnsupportedByTarget { what: lacks.words() });
            let entry = lacks.first().map(<[u8]>::to_vec);
            return Err(error.at(Place { entry, ..Place::default() }));
        }
        lacks.append(accepted);
        let hard_links = holding.hard_links;
        self.names = names;
        if !omitted.is_empty() || !hard_links {
            self.arrange(&omitted, hard_links)?;
        }
        Ok(lacks)
    }

    fn check_attributes(&self, node: Node<'_>, lacks: &mut Lacks, accepted: &mut Lacks) -> Result<()> {
        let wanted = self.metadata(node)?;
        let gets = self.attributes(node)?;
        let path = || node.path();
        let owner = || Some(format!("{}:{}", wanted.uid, wanted.gid).into_bytes());
        if self.rootless {
            if gets.metadata.xattrs.contains_key(ROOTLESS_XATTR) {
                accepted.recorded += 1;
            } else if (wanted.uid, wanted.gid) != (0, 0) {
                accepted.add(Lack::Owner, path, owner());
            }
            if wanted.mode != gets.metadata.mode {
                accepted.add(Lack::SetId, path, Some(format!("{:04o}", wanted.mode).into_bytes()));
            }
        } else if !gets.sets_owner {
            lacks.add(Lack::Owner, path, owner());
        }
        if !gets.sets_mode {
            lacks.add(Lack::Mode, path, Some(format!("{:04o}", gets.metadata.mode).into_bytes()));
        }
        for name in wanted.xattrs.keys().filter(|name| !gets.metadata.xattrs.contains_key(*name)) {
            let chosen = self.rootless && !name.starts_with(b"user.");
            let lacks = if chosen { &mut *accepted } else { &mut *lacks };
            lacks.add(Lack::Xattr, path, Some(name.clone()));
        }
        if !self.holds_mtime(wanted.mtime) {
            lacks.add(Lack::Mtime, path, None);
        }
        Ok(())
    }

    fn holds_mtime(&self, mtime: Mtime) -> bool {
        let holding = &self.holding;
        let nanos = i128::from(mtime.seconds) * 1_000_000_000 + i128::from(mtime.nanos);
        holding.mtime_seconds.contains(&mtime.seconds) && nanos % i128::from(holding.mtime_step.max(1)) == 0
    }
}

/// Whether an attribute that Linux reads itself is one that it takes, beside this mode.
///
/// An ACL and the mode are one: where they contradict each other no file can have both, and the mode stays.
fn is_sound(name: &[u8], value: &[u8], mode: u32) -> bool {
    match name {
        b"system.posix_acl_access" => acl::permissions(value) == Some(mode),
        b"system.posix_acl_default" => acl::permissions(value).is_some(),
        // `security/commoncap.c`, `validheader`.
        b"security.capability" => matches!((value.len(), value.get(3)), (20, Some(2)) | (24, Some(3))),
        _ => true,
    }
}

/// Whether DOS takes it for a device, whatever it ends in.
fn is_device(name: &[u8]) -> bool {
    let stem = name.split(|byte| *byte == b'.').next().unwrap_or_default().to_ascii_lowercase();
    matches!(&stem[..], b"con" | b"prn" | b"aux" | b"nul")
        || matches!(&stem[..], [b'c', b'o', b'm', b'0'..=b'9'] | [b'l', b'p', b't', b'0'..=b'9'])
}

fn is_unusual(name: &[u8]) -> bool {
    is_device(name)
        || name.len() > 143
        || name.iter().any(|byte| is_special(*byte) || byte.is_ascii_uppercase())
        || matches!(name.last(), Some(b'.' | b' '))
}

fn is_special(byte: u8) -> bool {
    !(0x20..0x7f).contains(&byte) || b"\"*:<>?\\|".contains(&byte)
}

/// What is left of a name where nothing is told apart that any file system takes for one.
fn skeleton(name: &[u8]) -> Vec<u8> {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let mut skeleton = Vec::new();
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars().flat_map(char::to_uppercase) {
            match c {
                c if c.is_ascii() => skeleton.push(c.to_ascii_lowercase() as u8),
                '\u{300}'..='\u{36f}'
                | '\u{1ab0}'..='\u{1aff}'
                | '\u{1dc0}'..='\u{1dff}'
                | '\u{20d0}'..='\u{20ff}'
                | '\u{fe20}'..='\u{fe2f}' => {
                    skeleton.pop();
                }
                _ => {}
            }
        }
        skeleton.extend_from_slice(chunk.invalid());
    }
    skeleton
}

/// Another name for what cannot have its own, different from those of all siblings wherever case is folded.
fn other_name(
    node: Node<'_>,
    holding: &Holding,
    names: &BTreeMap<NodeId, Vec<u8>>,
    collides: bool,
) -> Vec<u8> {
    let own = node.name();
    let mut base = Vec::new();
    for (at, byte) in own.iter().enumerate() {
        let last = at + 1 == own.len() && matches!(byte, b'.' | b' ');
        // The first letter is enough for a device's name to be none.
        let device = at == 0 && is_device(own);
        if !collides && (is_special(*byte) || last || device) {
            base.extend_from_slice(format!("%{byte:02x}").as_bytes());
        } else if holding.keeps_case {
            base.push(*byte);
        } else {
            base.push(byte.to_ascii_lowercase());
        }
    }
    let siblings: BTreeSet<Vec<u8>> = node
        .parent()
        .into_iter()
        .flat_map(Node::children)
        .filter(|sibling| sibling.id() != node.id())
        .map(|sibling| skeleton(names.get(&sibling.id()).map_or_else(|| sibling.name(), Vec::as_slice)))
        .collect();
    let room = holding.name_bytes.min(255);
    let mut number = 0_u64;
    loop {
        let end = if number == 0 { Vec::new() } else { format!("~{number}").into_bytes() };
        let mut cut = base.len().min(room.saturating_sub(end.len()));
        // Not inside a character.
        while cut < base.len() && base.get(cut).is_some_and(|byte| byte & 0xc0 == 0x80) {
            cut -= 1;
        }
        let mut name = base.get(..cut).unwrap_or_default().to_vec();
        name.extend_from_slice(&end);
        if (number > 0 || !collides) && !siblings.contains(&skeleton(&name)) {
            return name;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests;
