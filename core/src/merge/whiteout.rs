//! Names that mean something to the layers: whiteouts and what AUFS left behind (L7, L10, L11).

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::error::{ErrorKind, Result};
use crate::name::Name;

/// What every whiteout begins with.
pub(super) const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const AUFS: &[u8] = b".wh..wh.";

/// What a name is to the merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A file like any other.
    Ordinary,
    /// `.wh.NAME`: the last component without its prefix is hidden.
    Whiteout,
    /// `.wh..wh..opq`: the parent is opaque.
    Opaque,
    /// AUFS's own: never in the output, but a hard link may bind to it.
    Parked,
}

/// Whether a component is AUFS's own.
pub(super) fn is_parked(name: &[u8]) -> bool {
    name.starts_with(AUFS) && name != OPAQUE
}

/// Whether a component is one that nothing can lie below.
pub(super) fn is_closed(name: &[u8]) -> bool {
    name.starts_with(PREFIX) && !is_parked(name)
}

/// The role of a name by its components.
pub(super) fn role(parts: &[&[u8]]) -> Result<Role> {
    let Some((last, parents)) = parts.split_last() else { return Ok(Role::Ordinary) };
    let mut parked = false;
    for parent in parents {
        if parent.starts_with(PREFIX) {
            if !is_parked(parent) {
                return Err(below_whiteout(parts));
            }
            parked = true;
        }
    }
    let Some(hidden) = last.strip_prefix(PREFIX) else {
        return Ok(if parked { Role::Parked } else { Role::Ordinary });
    };
    if *last == OPAQUE {
        return Ok(if parked { Role::Parked } else { Role::Opaque });
    }
    if parked || is_parked(last) {
        return Ok(Role::Parked);
    }
    match hidden {
        b"" => Err(invalid(parts, "a whiteout that names nothing")),
        b"." | b".." => Err(invalid(parts, "a whiteout of `.` or `..`")),
        _ => Ok(Role::Whiteout),
    }
}

/// The error for what lies below a whiteout (L11).
pub(super) fn below_whiteout(parts: &[&[u8]]) -> crate::Error {
    invalid(parts, "nothing can lie below a whiteout")
}

fn invalid(parts: &[&[u8]], reason: &str) -> crate::Error {
    let path: Vec<u8> = parts.join(&b'/');
    ErrorKind::InvalidPath { path: Name(&path).to_string(), reason: reason.to_string() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &[u8]) -> Result<Role> {
        role(&name.split(|b| *b == b'/').filter(|part| !part.is_empty()).collect::<Vec<_>>())
    }

    #[test]
    fn l7_l10_l11_names_have_their_roles() {
        for (name, expected) in [
            (&b""[..], Role::Ordinary),
            (b"a/b", Role::Ordinary),
            (b"a/.wh", Role::Ordinary),
            (b"a/x.wh.b", Role::Ordinary),
            (b".wh.a", Role::Whiteout),
            (b"d/.wh..a", Role::Whiteout),
            (b"d/.wh....", Role::Whiteout),
            (b"d/.wh.\xff", Role::Whiteout),
            (b".wh.wh.a", Role::Whiteout),
            (b".wh..wh", Role::Whiteout),
            (b".wh..wh..opq", Role::Opaque),
            (b"d/.wh..wh..opq", Role::Opaque),
            (b".wh..wh..opq2", Role::Parked),
            (b".wh..wh.", Role::Parked),
            (b".wh..wh.aufs", Role::Parked),
            (b".wh..wh.plnk/12.34", Role::Parked),
            (b".wh..wh.orph/.wh.x", Role::Parked),
            (b".wh..wh.orph/.wh..wh..opq", Role::Parked),
        ] {
            assert_eq!(of(name).unwrap(), expected, "{}", name.escape_ascii());
        }
        for name in
            [&b".wh."[..], b".wh..", b".wh...", b"d/.wh.", b".wh.a/b", b".wh..wh..opq/b", b"d/.wh.a/.wh.b"]
        {
            assert_eq!(of(name).unwrap_err().code(), "invalid_path", "{}", name.escape_ascii());
        }
    }
}
