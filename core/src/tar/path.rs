//! Names by L1: bytes, relative to the root, without `.`, `..` and empty parts.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::error::{ErrorKind, Result};
use crate::limits::Limits;
use crate::name::Name;

/// The parts of `name` below the root, in order; none for the root itself.
///
/// Leading `/`, `./`, doubled `/`, trailing `/` and `.` are dropped and `..` is resolved lexically. A name that climbs
/// above the root or holds a NUL is `invalid_path`; one beyond `path_bytes` or `path_depth` is `limit_exceeded`.
pub fn normalize<'a>(name: &'a [u8], limits: &Limits) -> Result<Vec<&'a [u8]>> {
    check_length(name, limits)?;
    let invalid =
        |reason: &str| ErrorKind::InvalidPath { path: Name(name).to_string(), reason: reason.to_string() };
    if name.contains(&0) {
        return Err(invalid("it holds a NUL").into());
    }
    let mut parts = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop().ok_or_else(|| invalid("it climbs above the root"))?;
            }
            _ => parts.push(part),
        }
    }
    if parts.len() > limits.path_depth as usize {
        return Err(
            ErrorKind::LimitExceeded { limit: "path_depth", value: u64::from(limits.path_depth) }.into()
        );
    }
    Ok(parts)
}

/// Whether `name` is already what its parts joined by `/` are; a directory may end in one `/`, the root is `./`.
pub fn is_normal(name: &[u8], directory: bool) -> bool {
    if name == b"./" {
        return directory;
    }
    let name = match name.split_last() {
        Some((b'/', rest)) if directory => rest,
        _ => name,
    };
    name.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b"..") && !part.contains(&0))
}

/// `path_bytes` against the length of a name or link target.
pub(super) fn check_length(name: &[u8], limits: &Limits) -> Result<()> {
    if name.len() > limits.path_bytes as usize {
        return Err(
            ErrorKind::LimitExceeded { limit: "path_bytes", value: u64::from(limits.path_bytes) }.into()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(name: &[u8]) -> Vec<&[u8]> {
        normalize(name, &Limits::default()).unwrap()
    }

    #[test]
    fn names_lose_what_does_not_name_anything() {
        let plain: &[&[u8]] = &[b"a", b"b"];
        for name in [
            &b"a/b"[..],
            b"/a/b",
            b"./a/b",
            b"//a//b//",
            b"././a/./b/.",
            b"x/../a/b",
            b"a/x/y/../../b",
            b"/./a/b/",
        ] {
            assert_eq!(parts(name), plain, "{}", name.escape_ascii());
        }
        for name in [&b""[..], b"/", b".", b"./", b"a/..", b"///", b"a/b/../.."] {
            assert!(parts(name).is_empty(), "{}", name.escape_ascii());
        }
        assert_eq!(parts(b"..."), [b"..."]);
        assert_eq!(parts(b"\xff\xfe/ \n"), [&b"\xff\xfe"[..], b" \n"]);
    }

    #[test]
    fn names_stay_below_the_root() {
        for name in [&b".."[..], b"../a", b"/..", b"a/../..", b"./../a", b"a/../../b"] {
            let error = normalize(name, &Limits::default()).unwrap_err();
            assert_eq!(error.code(), "invalid_path", "{}", name.escape_ascii());
        }
        assert_eq!(normalize(b"a\0b", &Limits::default()).unwrap_err().code(), "invalid_path");
    }

    #[test]
    fn names_keep_to_the_limits() {
        let limits = Limits { path_bytes: 5, path_depth: 2, ..Limits::default() };
        assert_eq!(normalize(b"a/b/.", &limits).unwrap().len(), 2);
        let code = |name: &[u8]| normalize(name, &limits).unwrap_err().to_string();
        assert_eq!(code(b"abcdef"), "limit reached: path_bytes is 5");
        assert_eq!(code(b"a/b/c"), "limit reached: path_depth is 2");
    }

    #[test]
    fn normal_names_are_known() {
        for name in [&b"a"[..], b"a/b", b".a", b"..a/...", b"\xff"] {
            assert!(is_normal(name, false) && is_normal(name, true), "{}", name.escape_ascii());
        }
        assert!(is_normal(b"a/", true) && is_normal(b"./", true));
        assert!(!is_normal(b"a/", false) && !is_normal(b"./", false));
        for name in [&b""[..], b".", b"/", b"/a", b"a//b", b"./a", b"a/.", b"a/../b", b"..", b"a//", b"a\0"] {
            assert!(!is_normal(name, true), "{}", name.escape_ascii());
        }
    }
}
