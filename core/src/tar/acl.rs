//! ACL text of star and libarchive to the binary form that Linux keeps in `system.posix_acl_*`.
//!
//! The binary form is that of `linux/posix_acl_xattr.h`: version 2, then tag, permissions and number of each entry,
//! little-endian, sorted by tag and number.

use alloc::vec::Vec;

/// Why a text has no binary form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is no POSIX ACL.
    Malformed,
    /// It names a user or a group without a number: which one that is, only the machine knew that made it.
    NameOnly,
}

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NO_ID: u32 = u32::MAX;

/// Entries `tag:name:rwx[:number]` apart by commas or line ends, to the value of the xattr.
pub(super) fn to_xattr(text: &[u8]) -> Result<Vec<u8>, Unusable> {
    let mut entries: Vec<(u16, u32, u16)> = Vec::new();
    for entry in text.split(|byte| matches!(byte, b',' | b'\n')) {
        let entry = entry.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
        if !entry.is_empty() {
            entries.push(parse_entry(entry)?);
        }
    }
    entries.sort_unstable();
    let count = |tag: u16| entries.iter().filter(|entry| entry.0 == tag).count();
    let named = count(USER) + count(GROUP) > 0;
    let once = [USER_OBJ, GROUP_OBJ, OTHER].iter().all(|tag| count(*tag) == 1);
    let distinct = entries.windows(2).all(|pair| !matches!(pair, [a, b] if (a.0, a.1) == (b.0, b.1)));
    if !once || !distinct || (named && count(MASK) == 0) {
        return Err(Unusable::Malformed);
    }
    Ok(to_value(entries))
}

/// The value of the xattr with the numbers in it mapped; `None` where it is not of the form.
///
/// # Errors
/// Those of the maps.
pub(crate) fn map_xattr<E>(
    value: &[u8],
    user: impl Fn(u32) -> Result<u32, E>,
    group: impl Fn(u32) -> Result<u32, E>,
) -> Result<Option<Vec<u8>>, E> {
    let Some((version, rest)) = value.split_first_chunk::<4>() else { return Ok(None) };
    let entries = rest.chunks_exact(8);
    if *version != 2u32.to_le_bytes() || !entries.remainder().is_empty() {
        return Ok(None);
    }
    let mut mapped = Vec::with_capacity(entries.len());
    for entry in entries {
        let [t0, t1, p0, p1, id @ ..] = entry else { return Ok(None) };
        let Ok(id) = <[u8; 4]>::try_from(id).map(u32::from_le_bytes) else { return Ok(None) };
        let tag = u16::from_le_bytes([*t0, *t1]);
        let id = match tag {
            USER => user(id)?,
            GROUP => group(id)?,
            USER_OBJ | GROUP_OBJ | MASK | OTHER => id,
            _ => return Ok(None),
        };
        mapped.push((tag, id, u16::from_le_bytes([*p0, *p1])));
    }
    Ok(Some(to_value(mapped)))
}

/// The permissions that a mode has beside an access ACL of this value: its owner's, its mask's or else its group's, and
/// those of others. `None` where Linux takes the value for no ACL (`posix_acl_valid` in `fs/posix_acl.c`).
pub(crate) fn permissions(value: &[u8]) -> Option<u32> {
    let entries = value.strip_prefix(&2u32.to_le_bytes())?.chunks_exact(8);
    if !entries.remainder().is_empty() {
        return None;
    }
    let (mut last, mut mode, mut named) = (0, 0, false);
    for entry in entries {
        let [t0, t1, p0, p1, id @ ..] = entry else { return None };
        let (tag, permissions) = (u16::from_le_bytes([*t0, *t1]), u16::from_le_bytes([*p0, *p1]));
        let repeats = matches!(tag, USER | GROUP);
        let follows = match tag {
            USER_OBJ => last == 0,
            USER => matches!(last, USER_OBJ | USER),
            GROUP_OBJ => matches!(last, USER_OBJ | USER),
            GROUP => matches!(last, GROUP_OBJ | GROUP),
            MASK => matches!(last, GROUP_OBJ | GROUP),
            OTHER => last == MASK || (!named && last == GROUP_OBJ),
            _ => false,
        };
        if !follows || permissions > 7 || (repeats && id == NO_ID.to_le_bytes()) {
            return None;
        }
        let permissions = u32::from(permissions);
        match tag {
            USER_OBJ => mode |= permissions << 6,
            GROUP_OBJ => mode |= permissions << 3,
            MASK => mode = mode & !0o070 | permissions << 3,
            OTHER => mode |= permissions,
            _ => named = true,
        }
        last = tag;
    }
    (last == OTHER).then_some(mode)
}

/// Entries of tag, number and permissions in the form of the xattr.
fn to_value(mut entries: Vec<(u16, u32, u16)>) -> Vec<u8> {
    entries.sort_unstable();
    let mut value = Vec::with_capacity(4 + 8 * entries.len());
    value.extend_from_slice(&2u32.to_le_bytes());
    for (tag, id, permissions) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&permissions.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    value
}

fn parse_entry(entry: &[u8]) -> Result<(u16, u32, u16), Unusable> {
    let entry = entry.strip_prefix(b"default:").unwrap_or(entry);
    let mut fields = entry.split(|byte| *byte == b':').map(<[u8]>::trim_ascii);
    let tag = fields.next().ok_or(Unusable::Malformed)?;
    let second = fields.next().ok_or(Unusable::Malformed)?;
    // `mask:rwx` and `other:r-x` are written without their empty name by some.
    let (name, permissions) = match (tag, fields.next()) {
        (_, Some(third)) => (second, third),
        (b"mask" | b"m" | b"other" | b"o", None) => (&b""[..], second),
        _ => return Err(Unusable::Malformed),
    };
    let (tag, id) = match (tag, name) {
        (b"user" | b"u", b"") => (USER_OBJ, NO_ID),
        (b"group" | b"g", b"") => (GROUP_OBJ, NO_ID),
        (b"mask" | b"m", b"") => (MASK, NO_ID),
        (b"other" | b"o", b"") => (OTHER, NO_ID),
        (b"user" | b"u", _) => (USER, id(fields.next().unwrap_or(name))?),
        (b"group" | b"g", _) => (GROUP, id(fields.next().unwrap_or(name))?),
        _ => return Err(Unusable::Malformed),
    };
    if fields.next().is_some() {
        return Err(Unusable::Malformed);
    }
    let mut bits = 0;
    for letter in permissions {
        let bit = match letter {
            b'r' => 4,
            b'w' => 2,
            b'x' => 1,
            b'-' => 0,
            _ => return Err(Unusable::Malformed),
        };
        bits |= bit;
    }
    Ok((tag, id, bits))
}

fn id(name: &[u8]) -> Result<u32, Unusable> {
    core::str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or(Unusable::NameOnly)?
        .parse()
        .ok()
        .filter(|id| *id != NO_ID)
        .ok_or(Unusable::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_what_linux_keeps() {
        // What `getfattr -n system.posix_acl_access -e hex` shows for `setfacl -m u:1000:rwx,g:50:r`, mode 644.
        let expected: &[u8] = &[
            2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 7, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 255, 255, 255,
            255, 8, 0, 4, 0, 50, 0, 0, 0, 16, 0, 7, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255,
        ];
        for text in [
            &b"user::rw-,user:1000:rwx,group::r--,group:50:r--,mask::rwx,other::r--"[..],
            b"user::rw-\nuser:joe:rwx:1000\ngroup::r--\ngroup:staff:r--:50\nmask::rwx\nother::r--\n",
            b"other::r--,u::rw-,g:50:r,u:1000:rwx #effective:rwx,m:rwx,g::r",
            b"default:user::rw-,default:user:1000:rwx,default:group::r--,default:group:50:r--,default:mask::rwx,default:other::r--",
        ] {
            assert_eq!(to_xattr(text).unwrap(), expected, "{}", text.escape_ascii());
        }
        assert_eq!(to_xattr(b"user::rwx,group::r-x,other::---").unwrap().len(), 4 + 3 * 8);
    }

    #[test]
    fn modes_beside_them() {
        let of = |text: &[u8]| permissions(&to_xattr(text).unwrap());
        assert_eq!(of(b"user::rwx,group::r-x,other::---"), Some(0o750));
        assert_eq!(of(b"user::rwx,group::r-x,mask::-w-,other::--x"), Some(0o721));
        assert_eq!(of(b"u::rw-,u:1:rwx,u:2:r,g::r--,g:50:r,m:rwx,other::r--"), Some(0o674));
        let entry = |tag: u16, permissions: u16, id: u32| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let value = |entries: &[(u16, u16, u32)]| {
            let entries: Vec<_> = entries.iter().map(|it| entry(it.0, it.1, it.2)).collect();
            [&[2, 0, 0, 0][..], &entries.concat()].concat()
        };
        let whole = [(USER_OBJ, 7, NO_ID), (GROUP_OBJ, 5, NO_ID), (OTHER, 4, NO_ID)];
        assert_eq!(permissions(&value(&whole)), Some(0o754));
        for at in 0..whole.len() {
            let (mut fewer, mut twice, mut odd) = (whole.to_vec(), whole.to_vec(), whole.to_vec());
            fewer.remove(at);
            twice.insert(at, whole[at]);
            odd[at].1 = 8;
            let unordered = [&whole[at..], &whole[..at]].concat();
            for bad in [&fewer, &twice, &odd, &unordered] {
                assert!(permissions(&value(bad)).is_none() || *bad == whole, "{bad:?}");
            }
        }
        // Those with names have a mask, and a name that is one.
        let named = |id: u32, mask: Option<u16>| {
            let mut all = whole.to_vec();
            all.insert(1, (USER, 6, id));
            if let Some(mask) = mask {
                all.insert(3, (MASK, mask, NO_ID));
            }
            permissions(&value(&all))
        };
        assert_eq!((named(9, Some(2)), named(9, None), named(NO_ID, Some(2))), (Some(0o724), None, None));
        let whole = value(&whole);
        for cut in 0..whole.len() {
            assert_eq!(permissions(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(permissions(&[&[1, 0, 0, 0], &whole[4..]].concat()), None);
    }

    #[test]
    fn what_is_no_acl_is_told_apart_from_what_only_has_names() {
        assert_eq!(
            to_xattr(b"user::rw-,user:joe:rwx,group::r--,mask::rwx,other::r--"),
            Err(Unusable::NameOnly)
        );
        for text in [
            &b""[..],
            b"user::rw-",
            b"user::rwz,group::r--,other::r--",
            b"user::rw-,user::rw-,group::r--,other::r--",
            b"user::rw-,user:1:r--,group::r--,other::r--",
            b"user::rw-,user:1:r--,user:1:rw-,group::r--,mask::r--,other::r--",
            b"user::rw-,user:4294967295:r--,group::r--,mask::r--,other::r--",
            b"owner@:rwx::allow",
            b"user::rw-,group::r--,other:joe:r--",
            b"user::rw-:1:2,group::r--,other::r--",
        ] {
            assert_eq!(to_xattr(text), Err(Unusable::Malformed), "{}", text.escape_ascii());
        }
    }
}
