//! A file tree with every attribute that counts, read from a folder or from a tar, and how two of them differ.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};
use tar::EntryType;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file: its size and SHA-256.
    File(u64, [u8; 32]),
    /// A symbolic link and its text.
    Symlink(Vec<u8>),
    /// A FIFO.
    Fifo,
    /// A character device.
    Character(u64, u64),
    /// A block device.
    Block(u64, u64),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission, set-id and sticky bits; 0 for symbolic links, where they mean nothing.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u64,
    /// Numeric group.
    pub gid: u64,
    /// Seconds and nanoseconds since 1970.
    pub mtime: (i64, u32),
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first (in order) of the names that share its inode, where there are several.
    pub shares: Option<Vec<u8>>,
}

/// A tree: names are bytes, without a leading or trailing slash; the root is the empty name.
pub type Tree = BTreeMap<Vec<u8>, Entry>;

/// Reads a folder.
///
/// # Errors
/// When something in it cannot be read.
pub fn read_folder(root: &Path) -> io::Result<Tree> {
    let mut tree = Tree::new();
    let mut inodes = BTreeMap::new();
    walk(root, &[], &mut tree, &mut inodes)?;
    share(&mut tree, &inodes);
    Ok(tree)
}

type Inodes = BTreeMap<(u64, u64), Vec<Vec<u8>>>;

fn walk(path: &Path, name: &[u8], tree: &mut Tree, inodes: &mut Inodes) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    let kind = meta.file_type();
    let device = (device_major(meta.rdev()), device_minor(meta.rdev()));
    let kind = match meta.mode() & 0o170_000 {
        0o040_000 => Kind::Directory,
        0o100_000 => {
            let (size, hash) = hash(&mut File::open(path)?)?;
            Kind::File(size, hash)
        }
        0o120_000 => Kind::Symlink(fs::read_link(path)?.into_os_string().as_bytes().to_vec()),
        0o010_000 => Kind::Fifo,
        0o020_000 => Kind::Character(device.0, device.1),
        0o060_000 => Kind::Block(device.0, device.1),
        _ => return Err(io::Error::other(format!("{}: {kind:?}", path.display()))),
    };
    let mut xattrs = BTreeMap::new();
    let attributes = match xattr::list(path) {
        // A file system that knows of none.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
        attributes => Some(attributes?),
    };
    for attribute in attributes.into_iter().flatten() {
        let value = xattr::get(path, &attribute)?.unwrap_or_default();
        xattrs.insert(attribute.as_bytes().to_vec(), value);
    }
    if !matches!(kind, Kind::Directory) && meta.nlink() > 1 {
        inodes.entry((meta.dev(), meta.ino())).or_default().push(name.to_vec());
    }
    let folder = kind == Kind::Directory;
    let mode = if matches!(kind, Kind::Symlink(_)) { 0 } else { meta.mode() & 0o7777 };
    let mtime = (meta.mtime(), meta.mtime_nsec() as u32);
    let (uid, gid) = (u64::from(meta.uid()), u64::from(meta.gid()));
    tree.insert(name.to_vec(), Entry { kind, mode, uid, gid, mtime, xattrs, shares: None });
    if folder {
        for child in fs::read_dir(path)? {
            let child = child?;
            let mut full = name.to_vec();
            if !full.is_empty() {
                full.push(b'/');
            }
            full.extend(child.file_name().as_bytes());
            walk(&child.path(), &full, tree, inodes)?;
        }
    }
    Ok(())
}

/// As the kernel packs device numbers for user space.
pub(crate) fn device_major(device: u64) -> u64 {
    ((device >> 32) & 0xffff_f000) | ((device >> 8) & 0xfff)
}

pub(crate) fn device_minor(device: u64) -> u64 {
    ((device >> 12) & 0xffff_ff00) | (device & 0xff)
}

fn share(tree: &mut Tree, inodes: &Inodes) {
    for names in inodes.values() {
        let mut names: Vec<&Vec<u8>> = names.iter().filter(|name| tree.contains_key(*name)).collect();
        names.sort();
        if let (Some(first), true) = (names.first().map(|name| name.to_vec()), names.len() > 1) {
            for name in names {
                tree.get_mut(name).expect("it was there").shares = Some(first.clone());
            }
        }
    }
}

fn hash(reader: &mut dyn Read) -> io::Result<(u64, [u8; 32])> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut size = 0;
    loop {
        let got = reader.read(&mut buffer)?;
        if got == 0 {
            return Ok((size, hasher.finalize().into()));
        }
        hasher.update(&buffer[..got]);
        size += got as u64;
    }
}

/// Reads a flattened tar with the crate `tar`.
///
/// # Errors
/// When it is no tar, holds a name twice, a whiteout, or a hard link to a name that did not come before: no
/// flattened root does.
pub fn read_tar(reader: impl Read) -> io::Result<Tree> {
    let mut tree = Tree::new();
    let mut inodes: Inodes = BTreeMap::new();
    // The first name of each inode stands for it: in order of appearance.
    let mut inode_of: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let bad = |name: &[u8], why: &str| io::Error::other(format!("{}: {why}", String::from_utf8_lossy(name)));
    let mut archive = tar::Archive::new(reader);
    let number = |field: Option<u32>| u64::from(field.unwrap_or_default());
    // The crate's own reader of records stops at a newline, which a value may hold: they are read by hand.
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (place, entry) in archive.entries()?.raw(true).enumerate() {
        let mut entry = entry?;
        if entry.header().entry_type() == EntryType::XHeader {
            let mut data = Vec::new();
            entry.read_to_end(&mut data)?;
            records = pax(&data).ok_or_else(|| bad(&entry.path_bytes(), "its extension header"))?;
            continue;
        }
        let mut name = normal(&entry.path_bytes());
        let mut link = entry.link_name_bytes().map(Cow::into_owned).unwrap_or_default();
        let mut xattrs = BTreeMap::new();
        let header = entry.header().clone();
        let (mut uid, mut gid) = (header.uid()?, header.gid()?);
        let mut mtime = (i64::try_from(header.mtime()?).unwrap_or(i64::MAX), 0);
        for (key, value) in std::mem::take(&mut records) {
            let text = String::from_utf8_lossy(&value).into_owned();
            match key.as_slice() {
                b"path" => name = normal(&value),
                b"linkpath" => link = value,
                b"uid" => uid = text.parse().map_err(|_| bad(&name, "its uid"))?,
                b"gid" => gid = text.parse().map_err(|_| bad(&name, "its gid"))?,
                b"mtime" => mtime = time(&text).ok_or_else(|| bad(&name, "its mtime"))?,
                b"size" => return Err(bad(&name, "a size of its own: this reader has no use for it")),
                _ => {
                    if let Some(attribute) = key.strip_prefix(b"SCHILY.xattr.") {
                        xattrs.insert(attribute.to_vec(), value);
                    }
                }
            }
        }
        if name.split(|&byte| byte == b'/').any(|part| part.starts_with(b".wh.")) {
            return Err(bad(&name, "a whiteout in a flattened tar"));
        }
        if tree.contains_key(&name) {
            return Err(bad(&name, "there twice"));
        }
        let kind = match header.entry_type() {
            EntryType::Directory => Kind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let (size, hash) = hash(&mut entry)?;
                Kind::File(size, hash)
            }
            EntryType::Symlink => Kind::Symlink(link.clone()),
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char => {
                Kind::Character(number(header.device_major()?), number(header.device_minor()?))
            }
            EntryType::Block => Kind::Block(number(header.device_major()?), number(header.device_minor()?)),
            EntryType::Link => {
                let target = normal(&link);
                let found =
                    tree.get(&target).ok_or_else(|| bad(&name, "a hard link to nothing before it"))?;
                // A link's header repeats its inode's metadata.
                let mode = if matches!(found.kind, Kind::Symlink(_)) { 0 } else { header.mode()? & 0o7777 };
                let same = found.mode == mode && found.uid == uid && found.gid == gid && found.mtime == mtime;
                if !same {
                    return Err(bad(&name, "a hard link whose metadata are not its inode's"));
                }
                let inode = inode_of[&target];
                tree.insert(name.clone(), found.clone());
                inodes.entry((0, inode)).or_insert_with(|| vec![target]).push(name.clone());
                inode_of.insert(name, inode);
                continue;
            }
            other => return Err(bad(&name, &format!("an entry of type {other:?}"))),
        };
        let mode = if matches!(kind, Kind::Symlink(_)) { 0 } else { header.mode()? & 0o7777 };
        inode_of.insert(name.clone(), place as u64);
        tree.insert(name, Entry { kind, mode, uid, gid, mtime, xattrs, shares: None });
    }
    share(&mut tree, &inodes);
    Ok(tree)
}

/// Records of an extension header: `LENGTH KEY=VALUE\n`.
fn pax(mut data: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut records = Vec::new();
    while !data.is_empty() {
        let space = data.iter().position(|&byte| byte == b' ')?;
        let len: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
        let record = data.get(space + 1..len)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|&byte| byte == b'=')?;
        records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
        data = &data[len..];
    }
    Some(records)
}

fn normal(name: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> =
        name.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    parts.join(&b'/')
}

/// A PAX time: decimal, with a fraction, and perhaps before 1970.
fn time(text: &str) -> Option<(i64, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    if text.starts_with('-') && nanoseconds > 0 {
        return Some((seconds - 1, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

/// Every difference, one a line; empty when the trees are equal. `left` and `right` are what they are called.
pub fn differences(left: (&str, &Tree), right: (&str, &Tree)) -> Vec<String> {
    let mut out = Vec::new();
    for (name, entry) in left.1 {
        let shown = shown(name);
        match right.1.get(name) {
            None => out.push(format!("{shown}: only in {} ({:?})", left.0, entry.kind)),
            Some(other) if entry != other => {
                let mut facts = Vec::new();
                let mut fact = |what: &str, a: String, b: String| {
                    if a != b {
                        facts.push(format!("{what} {a} in {}, {b} in {}", left.0, right.0));
                    }
                };
                fact("kind", kind(entry), kind(other));
                fact("mode", format!("{:04o}", entry.mode), format!("{:04o}", other.mode));
                fact("owner", format!("{}:{}", entry.uid, entry.gid), format!("{}:{}", other.uid, other.gid));
                fact("mtime", format!("{:?}", entry.mtime), format!("{:?}", other.mtime));
                fact("xattrs", attributes(entry), attributes(other));
                fact("shares", shares(entry), shares(other));
                out.push(format!("{shown}: {}", facts.join("; ")));
            }
            Some(_) => {}
        }
    }
    for (name, entry) in right.1 {
        if !left.1.contains_key(name) {
            out.push(format!("{}: only in {} ({:?})", shown(name), right.0, entry.kind));
        }
    }
    out
}

fn shown(name: &[u8]) -> String {
    if name.is_empty() { "/".into() } else { OsStr::from_bytes(name).display().to_string() }
}

fn kind(entry: &Entry) -> String {
    match &entry.kind {
        Kind::Symlink(text) => format!("link to {}", String::from_utf8_lossy(text)),
        Kind::File(size, hash) => format!("file of {size} bytes, {:02x}{:02x}…", hash[0], hash[1]),
        other => format!("{other:?}"),
    }
}

fn attributes(entry: &Entry) -> String {
    let list: Vec<String> = entry
        .xattrs
        .iter()
        .map(|(name, value)| format!("{}={value:02x?}", String::from_utf8_lossy(name)))
        .collect();
    format!("{{{}}}", list.join(", "))
}

fn shares(entry: &Entry) -> String {
    entry.shares.as_ref().map_or_else(|| "nothing".into(), |name| String::from_utf8_lossy(name).into_owned())
}

/// Fails with the first differences, and how many there are.
///
/// # Panics
/// When the trees differ.
pub fn assert_same(left: (&str, &Tree), right: (&str, &Tree)) {
    let found = differences(left, right);
    assert!(
        found.is_empty(),
        "{} and {} differ in {} of {} entries:\n{}",
        left.0,
        right.0,
        found.len(),
        left.1.len(),
        found.iter().take(40).cloned().collect::<Vec<_>>().join("\n")
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Layer, Meta};

    #[test]
    fn times_of_pax() {
        assert_eq!(time("1.5"), Some((1, 500_000_000)));
        assert_eq!(time("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time("-0.25"), Some((-1, 750_000_000)));
        assert_eq!(time("7"), Some((7, 0)));
        assert_eq!(time("x"), None);
    }

    #[test]
    fn every_attribute_tells() {
        let tar = |meta: &Meta, text: &str| {
            read_tar(Layer::new().dir("d", &Meta::mode(0o755)).file("d/f", meta, text).finish().as_slice())
                .unwrap()
        };
        let plain = tar(&Meta::mode(0o644), "a");
        assert_same(("a", &plain), ("b", &tar(&Meta::mode(0o644), "a")));
        for other in [
            tar(&Meta::mode(0o645), "a"),
            tar(&Meta::mode(0o644).owner(1, 0), "a"),
            tar(&Meta::mode(0o644).owner(0, 1), "a"),
            tar(&Meta::mode(0o644).later(1), "a"),
            tar(&Meta::mode(0o644).xattr("user.x", b"1\n2"), "a"),
            tar(&Meta::mode(0o644), "b"),
        ] {
            assert_eq!(differences(("a", &plain), ("b", &other)).len(), 1);
        }
    }

    #[test]
    fn a_flattened_tar_has_no_whiteouts_and_no_name_twice() {
        let meta = Meta::mode(0o644);
        assert!(read_tar(Layer::new().whiteout("a").finish().as_slice()).is_err());
        assert!(
            read_tar(Layer::new().file("a", &meta, "").file("a", &meta, "").finish().as_slice()).is_err()
        );
        assert!(read_tar(Layer::new().link("b", "a").finish().as_slice()).is_err());
    }
}
