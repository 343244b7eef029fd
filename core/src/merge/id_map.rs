//! Owners as a container has them to owners as the host has them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::tar::{MAX_ID, Metadata, Xattrs, acl};

/// A range of owners: `size` numbers from `container` on are those from `host` on.
///
/// Written `CONTAINER:HOST:SIZE`, as umoci and newuidmap(1) do, or `CONTAINER:HOST` for one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdRange {
    /// The first number in the image.
    pub container: u32,
    /// The number that it becomes.
    pub host: u32,
    /// How many there are; not 0.
    pub size: u32,
}

impl IdRange {
    /// The last numbers in the image and on the host.
    fn last(self) -> Option<(u32, u32)> {
        let more = self.size.checked_sub(1)?;
        let last = (self.container.checked_add(more)?, self.host.checked_add(more)?);
        (last.0 <= MAX_ID && last.1 <= MAX_ID).then_some(last)
    }

    fn wrong(self, reason: impl Into<String>) -> Error {
        ErrorKind::InvalidIdMap { input: self.to_string(), reason: reason.into() }.into()
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.container, self.host, self.size)
    }
}

impl FromStr for IdRange {
    type Err = Error;

    fn from_str(input: &str) -> Result<Self> {
        let wrong = |reason: &str| -> Error {
            ErrorKind::InvalidIdMap { input: input.into(), reason: reason.into() }.into()
        };
        let mut fields = input.split(':');
        let mut number = |default: Option<u32>| match (fields.next(), default) {
            (None, Some(default)) => Ok(default),
            (Some(digits), _) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| wrong("numbers go to 4294967294"))
            }
            _ => Err(wrong("it is not of the form CONTAINER:HOST:SIZE")),
        };
        let range = IdRange { container: number(None)?, host: number(None)?, size: number(Some(1))? };
        if fields.next().is_some() {
            return Err(wrong("it is not of the form CONTAINER:HOST:SIZE"));
        }
        IdMap::check(range).map(|_| range)
    }
}

/// What the owners (or groups) of an image become on the host. An empty map changes none; one that is not must cover
/// every number that comes up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    /// Sorted; they do not overlap.
    ranges: Vec<IdRange>,
}

impl IdMap {
    /// A map of these ranges, in any order.
    ///
    /// # Errors
    /// `invalid_id_map` for a range that is empty or goes beyond 4294967294, and for two that overlap, in the image or on
    /// the host: then either a number would have two meanings, or two would become one. (user_namespaces(7) has the same
    /// rule; umoci takes the first that fits.)
    pub fn new(ranges: impl IntoIterator<Item = IdRange>) -> Result<Self> {
        let mut ranges: Vec<IdRange> = ranges.into_iter().collect();
        let key = |field: fn(&IdRange) -> u32| move |range: &IdRange| field(range);
        // On the host first, so that they are left in the order of the image.
        for (field, side) in [
            ((|range| range.host) as fn(&IdRange) -> u32, "on the host"),
            ((|range| range.container) as fn(&IdRange) -> u32, "in the image"),
        ] {
            ranges.sort_unstable_by_key(key(field));
            for range in &ranges {
                Self::check(*range)?;
            }
            for pair in ranges.windows(2) {
                if let [a, b] = pair
                    && field(b) - field(a) < a.size
                {
                    return Err(b.wrong(alloc::format!("it overlaps {a} {side}")));
                }
            }
        }
        Ok(IdMap { ranges })
    }

    fn check(range: IdRange) -> Result<()> {
        if range.size == 0 {
            return Err(range.wrong("a range of no numbers"));
        }
        match range.last() {
            Some(_) => Ok(()),
            None => Err(range.wrong("it goes beyond 4294967294")),
        }
    }

    /// Whether there are no ranges: every number stays what it is.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges, sorted by their numbers in the image.
    pub fn ranges(&self) -> &[IdRange] {
        &self.ranges
    }

    /// What a number becomes; `None` where no range covers it.
    pub fn map(&self, id: u32) -> Option<u32> {
        if self.is_empty() {
            return Some(id);
        }
        let at = self.ranges.partition_point(|range| range.container <= id).checked_sub(1)?;
        let range = self.ranges.get(at)?;
        let offset = id - range.container;
        (offset < range.size).then(|| range.host.saturating_add(offset))
    }
}

/// The maps of users and groups.
///
/// Besides owner and group, what they map are the numbers in POSIX ACLs (`system.posix_acl_access`,
/// `system.posix_acl_default`) and the root of a namespaced file capability (`security.capability`, version 3).
/// umoci maps owner and group alone.
/// `user.rootlesscontainers` keeps its numbers: they are the container's by definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdMaps {
    /// Of users.
    pub uid: IdMap,
    /// Of groups.
    pub gid: IdMap,
}

impl IdMaps {
    /// Whether both are empty: nothing changes.
    pub fn is_empty(&self) -> bool {
        self.uid.is_empty() && self.gid.is_empty()
    }

    /// A user's number on the host.
    ///
    /// # Errors
    /// `unmapped_id` where no range covers it.
    pub fn user(&self, id: u32) -> Result<u32> {
        self.uid.map(id).ok_or_else(|| ErrorKind::UnmappedId { what: "uid", id: u64::from(id) }.into())
    }

    /// A group's number on the host.
    ///
    /// # Errors
    /// `unmapped_id` where no range covers it.
    pub fn group(&self, id: u32) -> Result<u32> {
        self.gid.map(id).ok_or_else(|| ErrorKind::UnmappedId { what: "gid", id: u64::from(id) }.into())
    }

    /// Maps all numbers in a file's metadata. Attributes that cannot be read are left as they are; a
    /// [`Tree`](super::Tree) made with these maps warns of them.
    ///
    /// # Errors
    /// `unmapped_id` where no range covers one.
    pub fn map(&self, metadata: &mut Metadata) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        metadata.uid = self.user(metadata.uid)?;
        metadata.gid = self.group(metadata.gid)?;
        for (name, value) in &mut metadata.xattrs {
            if let Some(Ok(mapped)) = self.xattr(name, value)? {
                *value = mapped;
            }
        }
        Ok(())
    }

    /// Whether some of these attributes should hold numbers, but cannot be read; and whether mapping changes any.
    pub(super) fn look(&self, xattrs: &Xattrs) -> Result<Look> {
        let mut look = Look::default();
        for (name, value) in xattrs {
            match self.xattr(name, value)? {
                Some(Ok(mapped)) => look.changes |= mapped != *value,
                Some(Err(Unreadable)) => look.unreadable = true,
                None => {}
            }
        }
        Ok(look)
    }

    /// An attribute's value, mapped; `None` where it holds no numbers.
    fn xattr(&self, name: &[u8], value: &[u8]) -> Result<Option<Result<Vec<u8>, Unreadable>>> {
        match name {
            b"system.posix_acl_access" | b"system.posix_acl_default" => {
                acl::map_xattr(value, |id| self.user(id), |id| self.group(id))
                    .map(|mapped| Some(mapped.ok_or(Unreadable)))
            }
            b"security.capability" => self.capability(value),
            _ => Ok(None),
        }
    }

    /// The value of `security.capability` (linux/capability.h, `struct vfs_ns_cap_data`): five little-endian words, and
    /// in version 3 the user that is root where the capabilities hold.
    fn capability(&self, value: &[u8]) -> Result<Option<Result<Vec<u8>, Unreadable>>> {
        // The version is the highest byte of the first word; those before the third know no user.
        match (value.get(3), value.split_last_chunk::<4>()) {
            (Some(1 | 2), _) => Ok(None),
            (Some(3), Some((rest, root))) if rest.len() == 20 => {
                let root = self.user(u32::from_le_bytes(*root))?;
                Ok(Some(Ok([rest, &root.to_le_bytes()].concat())))
            }
            _ => Ok(Some(Err(Unreadable))),
        }
    }
}

/// What mapping comes to for some attributes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    pub(super) changes: bool,
    pub(super) unreadable: bool,
}

/// An attribute that should hold numbers, and is not of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unreadable;
