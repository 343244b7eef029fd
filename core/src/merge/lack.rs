//! What a file system lacks that a tree needs: values, for an error or a report (L28).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use crate::name::Name;

macro_rules! lacks {
    ($($(#[doc = $doc:literal])* $kind:ident = $code:literal, $text:literal);* $(;)?) => {
        /// What cannot be held as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Lack { $($(#[doc = $doc])* $kind),* }

        impl Lack {
            /// Every one there is.
            pub const ALL: &'static [Lack] = &[$(Lack::$kind),*];

            /// Its stable `snake_case` name.
            pub const fn code(self) -> &'static str {
                match self { $(Lack::$kind => $code),* }
            }
        }

        impl fmt::Display for Lack {
            /// In the plural: `names that collide`.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Lack::$kind => $text),* })
            }
        }
    };
}

lacks! {
    /// A name that the file system takes for that of a sibling: it folds case, or normalises Unicode.
    Collision = "name_collision", "names that collide";
    /// A name that it refuses.
    Name = "name", "names";
    /// A symlink, or its text.
    Symlink = "symlink", "symlinks";
    /// A second name of a file: it becomes a copy.
    HardLink = "hard_link", "hard links";
    /// A device; without root it becomes an empty file.
    Device = "device", "devices";
    /// A FIFO.
    Fifo = "fifo", "FIFOs";
    /// A file that is too large.
    Size = "size", "files of their size";
    /// An owner or a group.
    Owner = "owner", "owners";
    /// A mode.
    Mode = "mode", "modes";
    /// Set-user-id or set-group-id of a file whose owner is not the image's: it would be somebody else's right.
    SetId = "set_id", "set-id bits";
    /// An extended attribute, an ACL or a file capability.
    Xattr = "xattr", "extended attributes";
    /// An mtime: its fraction, or how long ago it is.
    Mtime = "mtime", "mtimes";
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lacking {
    /// What.
    pub lack: Lack,
    /// The path in the tree.
    pub path: Vec<u8>,
    /// What more there is to say: the name that it has instead, an attribute's name, a device's numbers, an owner.
    pub detail: Option<Vec<u8>>,
}

/// All findings: each kind counted, the first of each kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lacks {
    kept: Vec<Lacking>,
    counts: BTreeMap<Lack, u64>,
    /// How many owners were recorded in attributes, since they could not be set.
    pub(super) recorded: u64,
}

impl Lacks {
    /// How many of each kind are kept in full.
    pub const KEPT: u64 = 1_000;

    /// Those kept, in the order of the tree by depth.
    pub fn iter(&self) -> impl Iterator<Item = &Lacking> {
        self.kept.iter()
    }

    /// How many there are of a kind, kept or not.
    pub fn count(&self, lack: Lack) -> u64 {
        self.counts.get(&lack).copied().unwrap_or(0)
    }

    /// Whether nothing is lacking.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many owners were recorded in `user.rootlesscontainers` in place of being set.
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    pub(super) fn add(&mut self, lack: Lack, path: impl FnOnce() -> Vec<u8>, detail: Option<Vec<u8>>) {
        let count = self.counts.entry(lack).or_default();
        *count = count.saturating_add(1);
        if *count <= Self::KEPT {
            self.kept.push(Lacking { lack, path: path(), detail });
        }
    }

    /// Adds those of another list.
    pub(super) fn append(&mut self, other: Lacks) {
        for lacking in other.kept {
            let count = self.counts.entry(lacking.lack).or_default();
            *count = count.saturating_add(1);
            if *count <= Self::KEPT {
                self.kept.push(lacking);
            }
        }
        // What the other counted beyond what it kept.
        for (lack, count) in other.counts {
            let sum = self.counts.entry(lack).or_default();
            *sum = sum.saturating_add(count.saturating_sub(Self::KEPT));
        }
        self.recorded = self.recorded.saturating_add(other.recorded);
    }

    /// All of them in words, with the first paths of each: `names that collide (2: a/B, a/b), symlinks (1: lib)`.
    pub(super) fn words(&self) -> String {
        let mut words = String::new();
        for (lack, count) in &self.counts {
            let sep = if words.is_empty() { "" } else { ", " };
            let _ = write!(words, "{sep}{lack} ({count}: ");
            let mut first = self.kept.iter().filter(|lacking| lacking.lack == *lack);
            for (at, lacking) in first.by_ref().take(3).enumerate() {
                let sep = if at == 0 { "" } else { ", " };
                let path: &[u8] = if lacking.path.is_empty() { b"/" } else { &lacking.path };
                let _ = write!(words, "{sep}{}", Name(path));
                if let Some(detail) = &lacking.detail {
                    let _ = write!(words, " {}", Name(detail));
                }
            }
            words.push_str(if *count > 3 { ", …)" } else { ")" });
        }
        words
    }

    /// Where the first of them is.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.kept.first().map(|lacking| &lacking.path[..])
    }
}
