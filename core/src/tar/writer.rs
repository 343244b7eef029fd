//! Entries to tar bytes: ustar where all fits, else a PAX header before it. Never GNU's own forms.
//!
//! The same entry gives the same bytes, always. What the writer chooses:
//!
//! - A name goes to PAX where it does not fit ustar's fields, or where it is UTF-8 beyond ASCII: a reader on Windows
//!   takes ustar's names for its code page's. A name that is not UTF-8 stays in ustar's fields if it fits, as every
//!   reader takes it for bytes there; else the PAX header says `hdrcharset=BINARY` first, as libarchive does.
//! - Numbers that octal digits cannot hold go to PAX, **and** to the header's field in base-256: a reader that knows no
//!   PAX (busybox) then still finds the next header, and nobody can be made to see other entries than we do.
//! - Records are sorted by key; the extended header is named `././@PaxHeader`, mode 0644, owner 0, time 0.
//! - An attribute whose name holds `=`, which cannot stand in a key, is written as `LIBARCHIVE.xattr.`.
//! - The end is two blocks of zeros and no more. Filling up to a record of 10,240 bytes is for tapes: no reader needs
//!   it, layers made by Go do not have it, and what is not written need not be hashed, sent or inflated.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use base64::Engine;

use super::BLOCK;
use super::entry::{Kind, Metadata, Mtime};
use super::header::{Block, invalid};
use super::pax;
use crate::error::Result;

/// What follows the last entry: two blocks of zeros, and no more.
pub const END_OF_ARCHIVE: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// An entry to be written.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The name; a directory's gets its final `/` if it has none, the root may be empty.
    pub path: &'a [u8],
    /// The target of a symbolic or hard link.
    pub link: &'a [u8],
    /// What it is.
    pub kind: Kind,
    /// Its metadata. Of the mode only permissions, set-id and sticky bits are written.
    pub metadata: &'a Metadata,
    /// Bytes of content that will follow; 0 for all but files.
    pub size: u64,
}

impl Header<'_> {
    /// Appends the entry's header blocks. The caller then writes `size` bytes of content and [`super::padding`] zeros.
    ///
    /// `invalid_tar` where no tar can say it: an empty name, a NUL in a name, a link without a target, content of what
    /// is no file, nanoseconds beyond a second. Nothing is appended then.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let path = self.path()?;
        let link: &[u8] = match self.kind {
            Kind::Symlink | Kind::HardLink => self.link,
            _ => &[],
        };
        self.check(link)?;
        let metadata = self.metadata;
        let (typeflag, major, minor) = match self.kind {
            Kind::File => (b'0', 0, 0),
            Kind::HardLink => (b'1', 0, 0),
            Kind::Symlink => (b'2', 0, 0),
            Kind::CharDevice { major, minor } => (b'3', major, minor),
            Kind::BlockDevice { major, minor } => (b'4', major, minor),
            Kind::Directory => (b'5', 0, 0),
            Kind::Fifo => (b'6', 0, 0),
        };

        let mut records = PaxRecords::default();
        let mut block = Fields::new(typeflag);
        match split_ustar(&path).filter(|_| stays_raw(&path)) {
            Some((prefix, name)) => {
                block.bytes::<0, 100>(name);
                block.bytes::<345, 155>(prefix);
            }
            None => {
                block.bytes::<0, 100>(&stand_in(&path, self.kind == Kind::Directory));
                records.text(b"path", &path);
            }
        }
        if link.len() <= 100 && stays_raw(link) {
            block.bytes::<157, 100>(link);
        } else {
            block.bytes::<157, 100>(&stand_in(link, false));
            records.text(b"linkpath", link);
        }
        block.number::<100, 8>(i128::from(metadata.mode & 0o7777));
        if !block.number::<108, 8>(i128::from(metadata.uid)) {
            records.number(b"uid", u64::from(metadata.uid));
        }
        if !block.number::<116, 8>(i128::from(metadata.gid)) {
            records.number(b"gid", u64::from(metadata.gid));
        }
        if !block.number::<124, 12>(i128::from(self.size)) {
            records.number(b"size", self.size);
        }
        if !block.number::<136, 12>(i128::from(metadata.mtime.seconds)) || metadata.mtime.nanos > 0 {
            records.push(b"mtime", time(metadata.mtime).as_bytes());
        }
        if !block.number::<329, 8>(i128::from(major)) {
            records.number(b"SCHILY.devmajor", u64::from(major));
        }
        if !block.number::<337, 8>(i128::from(minor)) {
            records.number(b"SCHILY.devminor", u64::from(minor));
        }
        for (name, value) in &metadata.xattrs {
            if name.contains(&b'=') {
                let key = ["LIBARCHIVE.xattr.", &pax::url_encode(name)].concat();
                records.push(key.as_bytes(), pax::BASE64.encode(value).as_bytes());
            } else {
                records.push(&[b"SCHILY.xattr.", &name[..]].concat(), value);
            }
        }
        records.write(out);
        out.extend_from_slice(&block.finish());
        Ok(())
    }

    fn path(&self) -> Result<Vec<u8>> {
        let mut path = self.path.to_vec();
        if self.kind == Kind::Directory {
            if path.is_empty() {
                path.push(b'.');
            }
            if !path.ends_with(b"/") {
                path.push(b'/');
            }
        }
        if path.is_empty() || path.contains(&0) {
            return Err(invalid("a name that is empty or holds a NUL cannot be written"));
        }
        if self.kind == Kind::File && path.ends_with(b"/") {
            return Err(invalid("the name of a file cannot end in `/`"));
        }
        Ok(path)
    }

    fn check(&self, link: &[u8]) -> Result<()> {
        if matches!(self.kind, Kind::Symlink | Kind::HardLink) && (link.is_empty() || link.contains(&0)) {
            return Err(invalid("the target of a link that is empty or holds a NUL cannot be written"));
        }
        if self.kind != Kind::File && self.size > 0 {
            return Err(invalid("only files have content"));
        }
        if i64::try_from(self.size).is_err() {
            return Err(invalid("a size beyond 2^63-1 cannot be written"));
        }
        if self.metadata.mtime.nanos >= 1_000_000_000 {
            return Err(invalid("nanoseconds beyond a second cannot be written"));
        }
        if self.metadata.xattrs.keys().any(|name| name.is_empty() || name.contains(&0)) {
            return Err(invalid("the name of an attribute that is empty or holds a NUL cannot be written"));
        }
        Ok(())
    }
}

/// Whether every reader reads it from ustar's fields as the bytes that it is.
fn stays_raw(name: &[u8]) -> bool {
    name.is_ascii() || core::str::from_utf8(name).is_err()
}

/// Prefix and name, divided at the last `/` that lets both fit.
fn split_ustar(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((&[], path));
    }
    let body = path.strip_suffix(b"/").unwrap_or(path);
    let slash = body.iter().take(156).rposition(|byte| *byte == b'/').filter(|slash| *slash > 0)?;
    let (prefix, name) = path.split_at_checked(slash)?;
    let name = name.get(1..).filter(|name| (1..=100).contains(&name.len()))?;
    Some((prefix, name))
}

/// What stands in the header's field where PAX has the whole: readers without PAX see it.
fn stand_in(text: &[u8], directory: bool) -> Vec<u8> {
    let short = text.get(..text.len().min(99)).unwrap_or_default();
    let mut short: Vec<u8> = short.iter().map(|byte| if byte.is_ascii() { *byte } else { b'_' }).collect();
    while short.ends_with(b"/") {
        short.pop();
    }
    if directory {
        short.push(b'/');
    }
    short
}

fn time(mtime: Mtime) -> alloc::string::String {
    let Mtime { seconds, nanos } = mtime;
    if nanos == 0 {
        return seconds.to_string();
    }
    let (sign, whole, nanos) = match seconds {
        0.. => ("", seconds, nanos),
        _ => ("-", -(seconds + 1), 1_000_000_000 - nanos),
    };
    format!("{sign}{whole}.{}", format!("{nanos:09}").trim_end_matches('0'))
}

/// The records of one extended header.
#[derive(Default)]
struct PaxRecords {
    records: Vec<(Vec<u8>, Vec<u8>)>,
    binary: bool,
}

impl PaxRecords {
    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.records.push((key.to_vec(), value.to_vec()));
    }

    fn number(&mut self, key: &[u8], value: u64) {
        self.push(key, value.to_string().as_bytes());
    }

    fn text(&mut self, key: &[u8], value: &[u8]) {
        self.binary |= core::str::from_utf8(value).is_err();
        self.push(key, value);
    }

    fn write(mut self, out: &mut Vec<u8>) {
        if self.records.is_empty() {
            return;
        }
        self.records.sort_unstable();
        let mut content = Vec::new();
        if self.binary {
            write_record(&mut content, b"hdrcharset", b"BINARY");
        }
        for (key, value) in &self.records {
            write_record(&mut content, key, value);
        }
        let mut block = Fields::new(b'x');
        block.bytes::<0, 100>(b"././@PaxHeader");
        block.number::<100, 8>(0o644);
        zeros(&mut block);
        block.number::<124, 12>(content.len() as i128);
        out.extend_from_slice(&block.finish());
        let padding = super::padding(content.len() as u64);
        out.append(&mut content);
        out.resize(out.len() + padding, 0);
    }
}

fn zeros(block: &mut Fields) {
    block.number::<108, 8>(0);
    block.number::<116, 8>(0);
    block.number::<136, 12>(0);
    block.number::<329, 8>(0);
    block.number::<337, 8>(0);
}

/// `LENGTH KEY=VALUE\n`, the length counting its own digits.
fn write_record(content: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + digits(len) != len {
        len = rest + digits(len);
    }
    content.extend_from_slice(len.to_string().as_bytes());
    content.push(b' ');
    content.extend_from_slice(key);
    content.push(b'=');
    content.extend_from_slice(value);
    content.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// A header block in the making.
struct Fields(Block);

impl Fields {
    fn new(typeflag: u8) -> Self {
        let mut block = [0; BLOCK];
        block[156] = typeflag;
        block[257..265].copy_from_slice(b"ustar\x0000");
        Fields(block)
    }

    fn bytes<const AT: usize, const LEN: usize>(&mut self, value: &[u8]) {
        for (to, from) in self.field::<AT, LEN>().iter_mut().zip(value) {
            *to = *from;
        }
    }

    /// Octal digits and a NUL, or base-256. Answers whether octal was enough.
    fn number<const AT: usize, const LEN: usize>(&mut self, value: i128) -> bool {
        let field = self.field::<AT, LEN>();
        let octal = value >= 0 && value >> (3 * (LEN - 1)) == 0;
        let (mut left, bits) = if octal { (value << 3, 3) } else { (value, 8) };
        for byte in field.iter_mut().rev() {
            *byte = if octal { b'0' + (left & 7) as u8 } else { (left & 0xff) as u8 };
            left >>= bits;
        }
        match (octal, field) {
            (true, [.., last]) => *last = 0,
            (false, [first, ..]) => *first |= 0x80,
            _ => {}
        }
        octal
    }

    fn field<const AT: usize, const LEN: usize>(&mut self) -> &mut [u8] {
        self.0.get_mut(AT..AT + LEN).unwrap_or_default()
    }

    fn finish(mut self) -> Block {
        self.0[148..156].copy_from_slice(b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.number::<148, 7>(i128::from(sum));
        self.0
    }
}
