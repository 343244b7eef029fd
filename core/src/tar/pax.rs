//! Extended headers (POSIX.1-2001, pax): records `LENGTH KEY=VALUE\n`.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::acl::{self, Unusable};
use super::entry::{Mtime, Xattrs};
use super::header::invalid;
use super::notes::{Note, Notes};
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;

/// libarchive writes no padding and reads either.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The largest uid or gid: the one above it means `leave it` to chown(2).
pub(crate) const MAX_ID: u32 = u32::MAX - 1;

/// A field that a header may state (`Some(Some)`), or state to be as if no header had stated it (`Some(None)`).
type Given<T> = Option<Option<T>>;

/// Whose records they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The next entry's.
    Local,
    /// All further entries'.
    Global,
}

/// The records of a header that mean something to us.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) path: Given<Vec<u8>>,
    pub(super) link: Given<Vec<u8>>,
    pub(super) size: Given<u64>,
    pub(super) uid: Given<u32>,
    pub(super) gid: Given<u32>,
    pub(super) mtime: Given<Mtime>,
    pub(super) major: Given<u32>,
    pub(super) minor: Given<u32>,
    /// Attributes stated outright. An empty value is one, except where it deletes a global record.
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Attributes that other records amount to; those stated outright win.
    implied: BTreeMap<&'static [u8], Option<Vec<u8>>>,
    pub(super) sparse: SparseRecords,
    pub(super) notes: Notes,
    /// Whether something of it is expressed otherwise on output.
    pub(super) rewritten: bool,
    /// Bytes of attributes taken in.
    weight: usize,
}

/// `GNU.sparse.*`.
#[derive(Clone, Debug, Default)]
pub(super) struct SparseRecords {
    pub(super) any: bool,
    pub(super) major: Given<u64>,
    pub(super) minor: Given<u64>,
    pub(super) name: Given<Vec<u8>>,
    pub(super) size: Given<u64>,
    pub(super) blocks: Given<u64>,
    /// Offsets and lengths by turns, out of 0.0's repeated records or 0.1's list.
    pub(super) map: Vec<u64>,
    listed: bool,
    repeated: bool,
}

impl Records {
    /// Reads all records of one header.
    pub(super) fn parse(data: &[u8], scope: Scope, limits: &Limits) -> Result<Self> {
        let mut records = Records::default();
        let mut rest = data;
        while !rest.is_empty() {
            let (key, value, after) = split_record(rest)?;
            records.read(key, value, scope, limits)?;
            rest = after;
        }
        Ok(records)
    }

    fn read(&mut self, key: &[u8], value: &[u8], scope: Scope, limits: &Limits) -> Result<()> {
        if scope == Scope::Global
            && (matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse."))
        {
            // Go and containerd with it take no notice of global records: every file would be another's.
            return Err(invalid(format!(
                "a global header states `{}`, which is one entry's own",
                key.escape_ascii()
            )));
        }
        match key {
            b"path" => set(&mut self.path, name(key, value)?, key),
            b"linkpath" => set(&mut self.link, name(key, value)?, key),
            b"size" => set(&mut self.size, decimal(key, value)?, key),
            b"uid" => set(&mut self.uid, id(key, value)?, key),
            b"gid" => set(&mut self.gid, id(key, value)?, key),
            b"mtime" => set(&mut self.mtime, (!value.is_empty()).then(|| time(value)).transpose()?, key),
            b"SCHILY.devmajor" => set(&mut self.major, device(key, value)?, key),
            b"SCHILY.devminor" => set(&mut self.minor, device(key, value)?, key),
            b"hdrcharset" => Ok(()),
            b"uname" | b"gname" => self.drop_unless_empty(value, Note::OwnerNames),
            b"atime" | b"ctime" | b"LIBARCHIVE.creationtime" => {
                self.drop_unless_empty(value, Note::OtherTimes)
            }
            b"SCHILY.fflags" => self.drop_unless_empty(value, Note::FileFlags),
            b"SCHILY.acl.ace" => self.drop_unless_empty(value, Note::ForeignAcl),
            b"SCHILY.acl.access" => self.acl(b"system.posix_acl_access", value, key),
            b"SCHILY.acl.default" => self.acl(b"system.posix_acl_default", value, key),
            b"RHT.security.selinux" => {
                // The record is text; the kernel keeps the label with its NUL, as setfilecon(3) sets it.
                let label = (!value.is_empty()).then(|| [value, &[0]].concat());
                self.imply(b"security.selinux", label, key)
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattr(name, value.to_vec(), key)
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    self.rewritten = true;
                    let text = value.trim_ascii_end();
                    let value = BASE64.decode(text).map_err(|_| malformed(key, value))?;
                    self.xattr(&url_decode(name).ok_or_else(|| malformed(key, &value))?, value, key)
                } else if let Some(what) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.read(what, key, value, limits)
                } else {
                    let windows = key.starts_with(b"MSWINDOWS.");
                    self.drop_unless_empty(
                        value,
                        if windows { Note::WindowsRecords } else { Note::OtherRecords },
                    )
                }
            }
        }
    }

    #[allow(clippy::unnecessary_wraps)] // one arm among others
    fn drop_unless_empty(&mut self, value: &[u8], note: Note) -> Result<()> {
        if !value.is_empty() {
            self.notes.insert(note);
        }
        Ok(())
    }

    fn xattr(&mut self, name: &[u8], value: Vec<u8>, key: &[u8]) -> Result<()> {
        if name.is_empty() || name.contains(&0) {
            return Err(invalid(format!("`{}` names no attribute", key.escape_ascii())));
        }
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            self.notes.insert(Note::OverlayXattrs);
            return Ok(());
        }
        match self.xattrs.get(name) {
            Some(known) if *known != value => Err(twice(key)),
            Some(_) => Ok(()),
            None => {
                self.weight = self.weight.saturating_add(name.len() + value.len());
                self.xattrs.insert(name.to_vec(), value);
                Ok(())
            }
        }
    }

    fn acl(&mut self, name: &'static [u8], value: &[u8], key: &[u8]) -> Result<()> {
        if value.is_empty() {
            return self.imply(name, None, key);
        }
        match acl::to_xattr(value) {
            Ok(xattr) => self.imply(name, Some(xattr), key),
            Err(Unusable::NameOnly) => {
                self.notes.insert(Note::ForeignAcl);
                Ok(())
            }
            Err(Unusable::Malformed) => Err(malformed(key, value)),
        }
    }

    fn imply(&mut self, name: &'static [u8], value: Option<Vec<u8>>, key: &[u8]) -> Result<()> {
        self.rewritten = true;
        self.weight = self.weight.saturating_add(key.len() + value.as_ref().map_or(0, Vec::len));
        match self.implied.get(name) {
            Some(known) if *known != value => Err(twice(key)),
            _ => {
                self.implied.insert(name, value);
                Ok(())
            }
        }
    }

    /// The attributes, with those of the global header below them.
    pub(super) fn xattrs(self, global: Option<&Records>) -> Xattrs {
        let Some(global) = global else { return self.into_xattrs() };
        let mut xattrs = global.clone().into_xattrs();
        for (name, _) in self.implied.iter().filter(|(_, value)| value.is_none()) {
            xattrs.remove(*name);
        }
        for (name, value) in self.into_xattrs() {
            if value.is_empty() && global.xattrs.contains_key(&name) {
                xattrs.remove(&name);
            } else {
                xattrs.insert(name, value);
            }
        }
        xattrs
    }

    fn into_xattrs(self) -> Xattrs {
        let mut xattrs = self.xattrs;
        for (name, value) in self.implied {
            if let Some(value) = value {
                xattrs.entry(name.to_vec()).or_insert(value);
            }
        }
        xattrs
    }

    /// Whether entries that it covers differ from what their own headers say.
    pub(super) fn has_effect(&self) -> bool {
        self.uid.is_some()
            || self.gid.is_some()
            || self.mtime.is_some()
            || self.major.is_some()
            || self.minor.is_some()
            || !self.xattrs.is_empty()
            || self.implied.values().any(Option::is_some)
    }

    /// Lays a further global header over this one.
    pub(super) fn extend(&mut self, newer: Records, limits: &Limits) -> Result<()> {
        self.weight = self.weight.saturating_add(newer.weight);
        if self.weight > limits.global_pax_bytes as usize {
            let value = u64::from(limits.global_pax_bytes);
            return Err(ErrorKind::LimitExceeded { limit: "global_pax_bytes", value }.into());
        }
        replace(&mut self.uid, newer.uid);
        replace(&mut self.gid, newer.gid);
        replace(&mut self.mtime, newer.mtime);
        replace(&mut self.major, newer.major);
        replace(&mut self.minor, newer.minor);
        for (name, value) in newer.xattrs {
            if value.is_empty() && self.xattrs.contains_key(&name) {
                self.xattrs.remove(&name);
            } else {
                self.xattrs.insert(name, value);
            }
        }
        self.implied.extend(newer.implied);
        Ok(())
    }
}

fn replace<T>(slot: &mut Given<T>, newer: Given<T>) {
    match newer {
        Some(Some(value)) => *slot = Some(Some(value)),
        Some(None) => *slot = None,
        None => {}
    }
}

impl SparseRecords {
    fn read(&mut self, what: &[u8], key: &[u8], value: &[u8], limits: &Limits) -> Result<()> {
        self.any = true;
        match what {
            b"major" => set(&mut self.major, decimal(key, value)?, key),
            b"minor" => set(&mut self.minor, decimal(key, value)?, key),
            b"name" => set(&mut self.name, name(key, value)?, key),
            b"size" | b"realsize" => set(&mut self.size, decimal(key, value)?, key),
            b"numblocks" => set(&mut self.blocks, decimal(key, value)?, key),
            b"offset" | b"numbytes" => {
                if (what == b"offset") != self.map.len().is_multiple_of(2) || self.listed {
                    return Err(invalid("the offsets and lengths of a sparse map do not alternate"));
                }
                self.repeated = true;
                self.push(decimal(key, value)?.ok_or_else(|| malformed(key, value))?, limits)
            }
            b"map" => {
                if self.listed || self.repeated {
                    return Err(invalid("two sparse maps for one entry"));
                }
                self.listed = true;
                for number in value.split(|byte| *byte == b',').filter(|_| !value.is_empty()) {
                    self.push(decimal(key, number)?.ok_or_else(|| malformed(key, value))?, limits)?;
                }
                Ok(())
            }
            _ => Err(invalid(format!("`{}` is not known", key.escape_ascii()))),
        }
    }

    fn push(&mut self, number: u64, limits: &Limits) -> Result<()> {
        if self.map.len() / 2 >= limits.sparse_fragments as usize {
            let value = u64::from(limits.sparse_fragments);
            return Err(ErrorKind::LimitExceeded { limit: "sparse_fragments", value }.into());
        }
        self.map.push(number);
        Ok(())
    }

    /// Whether the map was stated in records, of format 0.0 or 0.1.
    pub(super) fn has_map(&self) -> bool {
        self.listed || self.repeated
    }
}

/// The first record of `data`: its key, its value, and what follows it.
fn split_record(data: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let broken = || {
        let start = data.get(..data.len().min(40)).unwrap_or_default();
        invalid(format!("malformed PAX record `{}`", start.escape_ascii()))
    };
    let space = data.iter().take(20).position(|byte| *byte == b' ').ok_or_else(broken)?;
    let (digits, _) = data.split_at_checked(space).ok_or_else(broken)?;
    let len = parse_decimal(digits).and_then(|len| usize::try_from(len).ok()).ok_or_else(broken)?;
    let (record, rest) = data.split_at_checked(len).ok_or_else(broken)?;
    let body = record.get(space + 1..).and_then(|body| body.strip_suffix(b"\n")).ok_or_else(broken)?;
    let equals = body.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
    let (key, value) = body.split_at_checked(equals).ok_or_else(broken)?;
    if key.is_empty() || key.contains(&0) {
        return Err(broken());
    }
    Ok((key, value.get(1..).unwrap_or_default(), rest))
}

fn set<T: PartialEq>(slot: &mut Given<T>, value: Option<T>, key: &[u8]) -> Result<()> {
    match slot.replace(value) {
        Some(known) if Some(&known) != slot.as_ref() => Err(twice(key)),
        _ => Ok(()),
    }
}

fn twice(key: &[u8]) -> crate::Error {
    invalid(format!("one header states `{}` twice, with different values", key.escape_ascii()))
}

fn malformed(key: &[u8], value: &[u8]) -> crate::Error {
    let start = value.get(..value.len().min(100)).unwrap_or_default();
    invalid(format!("malformed PAX record `{}={}`", key.escape_ascii(), start.escape_ascii()))
}

fn name(key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
    if value.contains(&0) {
        return Err(malformed(key, value));
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

/// Digits and nothing else, below 2^63.
fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    i64::try_from(value).ok().map(|_| value)
}

pub(super) fn decimal(key: &[u8], value: &[u8]) -> Result<Option<u64>> {
    if value.is_empty() {
        return Ok(None);
    }
    parse_decimal(value).map(Some).ok_or_else(|| malformed(key, value))
}

fn id(key: &[u8], value: &[u8]) -> Result<Option<u32>> {
    let number = decimal(key, value)?;
    number
        .map(|number| {
            u32::try_from(number).ok().filter(|id| *id <= MAX_ID).ok_or_else(|| malformed(key, value))
        })
        .transpose()
}

fn device(key: &[u8], value: &[u8]) -> Result<Option<u32>> {
    let number = decimal(key, value)?;
    number.map(|number| u32::try_from(number).map_err(|_| malformed(key, value))).transpose()
}

/// `[-]SECONDS[.FRACTION]`, rounded down to nanoseconds.
pub(super) fn time(value: &[u8]) -> Result<Mtime> {
    let broken = || malformed(b"mtime", value);
    let (negative, magnitude) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = magnitude.splitn(2, |byte| *byte == b'.');
    let whole = parts.next().unwrap_or_default();
    if negative && magnitude == b"9223372036854775808" {
        return Ok(Mtime::from_seconds(i64::MIN));
    }
    let whole = parse_decimal(whole).and_then(|whole| i64::try_from(whole).ok()).ok_or_else(broken)?;
    let (mut nanos, mut unit, mut rest) = (0u32, 100_000_000, false);
    for byte in parts.next().unwrap_or_default() {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10).ok_or_else(broken)?;
        nanos += u32::from(digit) * unit;
        rest |= unit == 0 && digit > 0;
        unit /= 10;
    }
    if !negative {
        return Ok(Mtime { seconds: whole, nanos });
    }
    let nanos = nanos + u32::from(rest);
    Ok(match nanos {
        0 => Mtime { seconds: -whole, nanos: 0 },
        _ => Mtime { seconds: -whole - 1, nanos: 1_000_000_000 - nanos },
    })
}

fn url_decode(name: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'%' {
            let mut digit = || char::from(*bytes.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            decoded.push(u8::try_from(value).ok()?);
        } else {
            decoded.push(*byte);
        }
    }
    Some(decoded)
}

/// An attribute's name as `LIBARCHIVE.xattr.` wants it.
pub(super) fn url_encode(name: &[u8]) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'%' | b'=') => encoded.push(char::from(*byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
