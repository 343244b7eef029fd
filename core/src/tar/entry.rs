//! What a tar says of one file.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::str::FromStr;

use super::notes::Notes;
use super::pax;
use super::sparse::SparseMap;
use super::writer::Header;
use crate::error::{Error, ErrorKind, Result};
use crate::http::date;

/// Extended attributes by name, values as bytes (L15, L16).
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// A moment of modification: seconds since 1970 (negative before), and nanoseconds **after** that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mtime {
    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 1,000,000,000: half a second before 1970 is `{ -1, 500_000_000 }`.
    pub nanos: u32,
}

impl Mtime {
    /// Whole seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Mtime { seconds, nanos: 0 }
    }
}

/// Seconds since 1970 (`1700000000`, `-1.5`, `@0` as date(1) has it), or a date of RFC 3339 (`2024-01-31T12:00:00Z`).
impl FromStr for Mtime {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let seconds = text.strip_prefix('@').unwrap_or(text);
        if let Ok(mtime) = pax::time(seconds.as_bytes()) {
            return Ok(mtime);
        }
        let reason = || {
            format!(
                "`{text}` is neither seconds since 1970 nor a date such as 2024-01-31T12:00:00Z (RFC 3339)"
            )
        };
        let seconds = date::parse_rfc3339(text)
            .ok_or_else(|| -> Error { ErrorKind::InvalidOption { reason: reason() }.into() })?;
        let nanos = text
            .split_once('.')
            .into_iter()
            .flat_map(|(_, rest)| rest.bytes().take_while(u8::is_ascii_digit))
            .chain(core::iter::repeat(b'0'))
            .take(9)
            .fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
        Ok(Mtime { seconds, nanos })
    }
}

/// What a file is, and what is proper to its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; its text is the entry's `link`.
    Symlink,
    /// Another name of the file that the entry's `link` names (L12).
    HardLink,
    /// A character device.
    CharDevice {
        /// The driver's number.
        major: u32,
        /// The device's number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// The driver's number.
        major: u32,
        /// The device's number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

impl Kind {
    /// The word for it in JSON, and wherever a program reads it, in every host: `file`, `directory`, `symlink`,
    /// `hardlink`, `char`, `block`, `fifo`.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Directory => "directory",
            Kind::Symlink => "symlink",
            Kind::HardLink => "hardlink",
            Kind::CharDevice { .. } => "char",
            Kind::BlockDevice { .. } => "block",
            Kind::Fifo => "fifo",
        }
    }
}

/// What survives of a file besides its name and content (L15).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permissions with set-user-id, set-group-id and sticky bits: `0o0000` to `0o7777`.
    pub mode: u32,
    /// The owner's number, up to 2^32-2.
    pub uid: u32,
    /// The group's number, up to 2^32-2.
    pub gid: u32,
    /// When the content was last changed.
    pub mtime: Mtime,
    /// Extended attributes, POSIX ACLs among them as `system.posix_acl_access` and `system.posix_acl_default`.
    pub xattrs: Xattrs,
}

/// One entry, its extension headers and the global ones already applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The name as it stands in the tar, not normalised ([`super::path::normalize`]); not empty, without NUL.
    pub path: Vec<u8>,
    /// The target of a symbolic or hard link as it stands; empty for other kinds.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Its metadata. For a hard link they mean nothing (L12).
    pub metadata: Metadata,
    /// Bytes of content that a reader of the file sees: for a sparse file its real size; 0 for what has no content.
    pub size: u64,
    /// Where the stored bytes lie in the content, if the file is stored sparsely (L17).
    pub sparse: Option<SparseMap>,
    /// Where the first block of its headers lies, extension headers included; position in the uncompressed stream.
    pub header_at: u64,
    /// Where its stored bytes begin; position in the uncompressed stream.
    pub data_at: u64,
    /// Bytes stored in the tar, without padding and without the map of a sparse file.
    pub stored: u64,
    /// Whether the blocks from `header_at` to `data_at`, the stored bytes and their padding can be copied into an
    /// output as they are: every reader understands them alike, the name is in normal form, and nothing in them was
    /// dropped, folded in from elsewhere or expanded.
    pub verbatim: bool,
    /// What was odd about it or dropped from it.
    pub notes: Notes,
}

impl Entry {
    /// Whether it has content of its own.
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// Its header for [`Header::write`], as a plain file where it was sparse.
    pub fn header(&self) -> Header<'_> {
        Header {
            path: &self.path,
            link: &self.link,
            kind: self.kind,
            metadata: &self.metadata,
            size: self.size,
        }
    }

    /// The position of the next header: behind the stored bytes and their padding.
    pub fn end_at(&self) -> u64 {
        self.data_at.saturating_add(self.stored).saturating_add(super::padding(self.stored) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_seconds_or_dates() {
        let at = |seconds, nanos| Mtime { seconds, nanos };
        for (text, expected) in [
            ("0", at(0, 0)),
            ("1700000000", at(1_700_000_000, 0)),
            ("@1700000000", at(1_700_000_000, 0)),
            ("-1", at(-1, 0)),
            ("-1.5", at(-2, 500_000_000)),
            ("1.25", at(1, 250_000_000)),
            ("1970-01-01T00:00:00Z", at(0, 0)),
            ("2024-01-31T12:00:00+01:00", at(1_706_698_800, 0)),
            ("2024-01-31 12:00:00.5z", at(1_706_702_400, 500_000_000)),
            ("1969-12-31T23:59:59.999999999999Z", at(-1, 999_999_999)),
        ] {
            assert_eq!(text.parse::<Mtime>().unwrap(), expected, "{text}");
        }
        for text in
            ["", "@", "now", "2024-01-31", "2024-01-31T12:00:00", "2024-02-30T00:00:00Z", "1e9", " 1", "0x1"]
        {
            assert_eq!(text.parse::<Mtime>().unwrap_err().code(), "invalid_option", "{text}");
        }
    }
}
