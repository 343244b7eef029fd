//! One header block: v7, ustar (POSIX.1-1988), GNU and star share its first 257 bytes.

use alloc::format;
use alloc::vec::Vec;

use super::BLOCK;
use crate::error::{Error, ErrorKind, Result};

pub(super) type Block = [u8; BLOCK];

/// `invalid_tar` with its reason.
pub(super) fn invalid(reason: impl Into<alloc::string::String>) -> Error {
    ErrorKind::InvalidTar { reason: reason.into() }.into()
}

/// What the bytes behind the common ones mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Nothing.
    V7,
    /// Names of owners, device numbers, a prefix to the name.
    Ustar,
    /// As ustar, but the prefix is shorter: times of access and status change follow it.
    Star,
    /// Names of owners, device numbers, times, a sparse map.
    Gnu,
}

/// A block seen as a header.
#[derive(Clone, Copy)]
pub(super) struct RawHeader<'a>(pub(super) &'a Block);

impl<'a> RawHeader<'a> {
    pub(super) fn is_zero(self) -> bool {
        self.0[0] == 0 && self.0.iter().all(|byte| *byte == 0)
    }

    /// Compares the checksum with that of unsigned bytes, then with that of signed ones, as old Sun tars wrote it.
    /// Answers whether it is signed.
    pub(super) fn check_sum(self) -> Result<bool> {
        let stated = number(&self.0[148..156], "checksum")?;
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        let unsigned = sum(&self.0[..148]) + 8 * u32::from(b' ') + sum(&self.0[156..]);
        if stated == i128::from(unsigned) {
            return Ok(false);
        }
        let signed = |bytes: &[u8]| bytes.iter().map(|byte| i32::from(byte.cast_signed())).sum::<i32>();
        let signed = signed(&self.0[..148]) + 8 * i32::from(b' ') + signed(&self.0[156..]);
        if stated == i128::from(signed) {
            return Ok(true);
        }
        Err(invalid(format!("the header's checksum is {unsigned:o}, but {stated:o} is stated")))
    }

    pub(super) fn format(self) -> Result<Format> {
        let magic = &self.0[257..265];
        let prefixed = self.0[345..500].iter().any(|byte| *byte != 0);
        // Of another version than `00`, some readers take no prefix.
        if magic == b"ustar\x0000" || (magic.starts_with(b"ustar\0") && !prefixed) {
            if &self.0[508..512] != b"tar\0" {
                return Ok(Format::Ustar);
            }
            // A reader that does not know star takes what follows a full prefix for more of it.
            if self.0[345 + 130] != 0 {
                return Err(invalid("a star header whose prefix has no end"));
            }
            return Ok(Format::Star);
        }
        if magic == b"ustar  \0" {
            return Ok(Format::Gnu);
        }
        if prefixed {
            return Err(invalid(format!("unknown magic `{}`", magic.escape_ascii())));
        }
        Ok(Format::V7)
    }

    /// Whether every reader knows the format, and takes extension headers for what they are.
    pub(super) fn can_extend(self) -> bool {
        matches!(&self.0[257..265], b"ustar\x0000" | b"ustar  \0")
    }

    pub(super) fn typeflag(self) -> u8 {
        self.0[156]
    }

    pub(super) fn name(self) -> &'a [u8] {
        until_nul(&self.0[..100])
    }

    pub(super) fn link(self) -> &'a [u8] {
        until_nul(&self.0[157..257])
    }

    fn prefix(self, format: Format) -> &'a [u8] {
        match format {
            Format::Ustar => until_nul(&self.0[345..500]),
            Format::Star => until_nul(&self.0[345..476]),
            Format::V7 | Format::Gnu => &[],
        }
    }

    /// The name with its prefix.
    pub(super) fn path(self, format: Format) -> Vec<u8> {
        let (prefix, name) = (self.prefix(format), self.name());
        let mut path = Vec::with_capacity(prefix.len() + name.len() + 1);
        if !prefix.is_empty() {
            path.extend_from_slice(prefix);
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    pub(super) fn mode(self) -> Result<i128> {
        number(&self.0[100..108], "mode")
    }

    pub(super) fn uid(self) -> Result<i128> {
        number(&self.0[108..116], "uid")
    }

    pub(super) fn gid(self) -> Result<i128> {
        number(&self.0[116..124], "gid")
    }

    pub(super) fn size(self) -> Result<i128> {
        number(&self.0[124..136], "size")
    }

    pub(super) fn mtime(self) -> Result<i128> {
        number(&self.0[136..148], "mtime")
    }

    pub(super) fn device(self, format: Format) -> Result<(i128, i128)> {
        if format == Format::V7 {
            return Ok((0, 0));
        }
        Ok((number(&self.0[329..337], "devmajor")?, number(&self.0[337..345], "devminor")?))
    }

    pub(super) fn has_owner_names(self, format: Format) -> bool {
        format != Format::V7 && (self.0[265] != 0 || self.0[297] != 0)
    }

    /// Whether times of access or status change are stated.
    pub(super) fn has_other_times(self, format: Format) -> bool {
        let stated = |field: &[u8]| field.iter().any(|byte| !matches!(byte, 0 | b' ' | b'0'));
        match format {
            Format::Gnu => stated(&self.0[345..369]),
            Format::Star => stated(&self.0[476..500]),
            Format::V7 | Format::Ustar => false,
        }
    }

    /// Whether bytes that mean nothing in this format are zeros.
    pub(super) fn is_tidy(self, format: Format) -> bool {
        let rest = match format {
            Format::V7 => &self.0[257..],
            Format::Ustar => &self.0[500..],
            Format::Gnu => &self.0[369..],
            Format::Star => return false,
        };
        rest.iter().all(|byte| *byte == 0)
    }

    /// Four fragments of an old GNU sparse map, whether more blocks of them follow, and the real size.
    pub(super) fn gnu_sparse(self) -> Result<(&'a [u8], bool, i128)> {
        Ok((&self.0[386..482], flag(self.0[482])?, number(&self.0[483..495], "realsize")?))
    }
}

/// An extension block of an old GNU sparse map: 21 fragments, and whether another block follows.
pub(super) fn gnu_sparse_extension(block: &Block) -> Result<(&[u8], bool)> {
    Ok((&block[..504], flag(block[504])?))
}

fn flag(byte: u8) -> Result<bool> {
    match byte {
        0 | b'0' => Ok(false),
        1 | b'1' => Ok(true),
        _ => Err(invalid("the flag for more sparse fragments is neither 0 nor 1")),
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A numeric field of up to 12 bytes: octal digits between spaces and NULs, or base-256 in two's complement where the
/// first bit is set (GNU, star). A blank field is 0, as in Go and Python. What stands behind the digits' end must be
/// blank: readers differ about it otherwise.
pub(super) fn number(field: &[u8], what: &str) -> Result<i128> {
    if let Some((first @ 0x80.., rest)) = field.split_first() {
        // Bit 7 marks the form and bit 6 is the sign.
        let start = if first & 0x40 == 0 { i128::from(first & 0x7f) } else { i128::from(*first) - 0x100 };
        return Ok(rest.iter().fold(start, |value, byte| value << 8 | i128::from(*byte)));
    }
    let mut value = 0;
    let mut digits = field.trim_ascii_start().iter();
    // Some old writers leave a NUL in front.
    if let [0, rest @ ..] = digits.as_slice() {
        digits = rest.trim_ascii_start().iter();
    }
    for byte in digits.by_ref() {
        match byte {
            b'0'..=b'7' => value = value << 3 | i128::from(byte - b'0'),
            b' ' | 0 => break,
            _ => return Err(malformed(field, what)),
        }
    }
    if digits.all(|byte| matches!(byte, b' ' | 0)) { Ok(value) } else { Err(malformed(field, what)) }
}

fn malformed(field: &[u8], what: &str) -> Error {
    invalid(format!("the header's {what} `{}` is not a number", field.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        let good: &[(&[u8], i128)] = &[
            (b"0000644\0", 0o644),
            (b"   644 \0", 0o644),
            (b"644\0\0\0\0\0", 0o644),
            (b"00000644", 0o644),
            (b"77777777", 0o7777_7777),
            (b"\x00000644 ", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"        ", 0),
            (b"\x80\0\0\0\0\x20\0\0", 0x20_0000),
            (b"\x80\0\0\0\x01\0\0\0\0\0\0\0", 1 << 56),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", -1),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff", (1 << 62) - 1),
        ];
        for (field, value) in good {
            assert_eq!(number(field, "x").unwrap(), *value, "{}", field.escape_ascii());
        }
        for field in [
            &b"0000648\0"[..],
            b"-000001\0",
            b"64 4    ",
            b"644\x001\0\0\0",
            b"0x1ff\0\0\0",
            b"+1234567",
            b"\0\x00644\0\0\0",
        ] {
            assert_eq!(number(field, "x").unwrap_err().code(), "invalid_tar", "{}", field.escape_ascii());
        }
    }
}
