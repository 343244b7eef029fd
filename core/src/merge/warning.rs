//! What is worth telling about a stack that is not wrong: values, for a report.

use alloc::vec::Vec;
use core::fmt;

use super::packing::{Refused, Unpack, put, put_bytes};
use crate::map::Map;

macro_rules! warning_kinds {
    ($($(#[doc = $doc:literal])* $kind:ident = $code:literal),* $(,)?) => {
        /// What was found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum WarningKind { $($(#[doc = $doc])* $kind),* }

        impl WarningKind {
            /// Every kind there is.
            pub const ALL: &'static [WarningKind] = &[$(WarningKind::$kind),*];

            /// Its stable `snake_case` name.
            pub const fn code(self) -> &'static str {
                match self { $(WarningKind::$kind => $code),* }
            }
        }
    };
}

warning_kinds! {
    /// A directory that a layer implies took the place of a lower layer's symlink (L3).
    ShadowedSymlink = "shadowed_symlink",
    /// A layer has a name twice; the last entry won (L6).
    DuplicateEntry = "duplicate_entry",
    /// An entry of AUFS's own was left out (L10).
    AufsEntry = "aufs_entry",
    /// A device 0/0 stays a device (L15).
    ZeroDevice = "zero_device",
    /// Attributes `trusted.overlay.*` or `user.overlay.*` were dropped (L16).
    OverlayXattrs = "overlay_xattrs",
    /// An ACL or a file capability is not of the form that it should have: owners in it were not mapped.
    UnmappedXattrs = "unmapped_xattrs",
}

impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WarningKind::ShadowedSymlink => {
                "a directory of this layer takes the place of a lower layer's symlink (--keep-directory-symlink follows it)"
            }
            WarningKind::DuplicateEntry => "the layer has this name more than once; the last entry counts",
            WarningKind::AufsEntry => "an entry of AUFS's own was left out",
            WarningKind::ZeroDevice => "a device with number 0/0 stays a device",
            WarningKind::OverlayXattrs => "overlay's own extended attributes were dropped",
            WarningKind::UnmappedXattrs => {
                "an ACL or a file capability cannot be read: the owners in it were not mapped"
            }
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Warning {
    /// What.
    pub kind: WarningKind,
    /// The layer, counted from 0 at the bottom.
    pub layer: usize,
    /// The name concerned, in normal form.
    pub path: Vec<u8>,
    /// Where its entry's headers begin in the uncompressed layer.
    pub byte: u64,
}

/// All findings: each kind counted, the first of each kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    kept: Vec<Warning>,
    counts: Map<WarningKind, u64>,
}

impl Warnings {
    /// How many of each kind are kept in full: a report that nobody reads to the end must not cost memory (L24).
    pub const KEPT: u64 = 1_000;

    /// Those kept, in the order in which they were found: layer by layer from the bottom.
    pub fn iter(&self) -> impl Iterator<Item = &Warning> {
        self.kept.iter()
    }

    /// How many there were of a kind, kept or not.
    pub fn count(&self, kind: WarningKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// Whether there were none at all.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Counts one, and keeps it if there is room; the path is only made then.
    pub(super) fn add(&mut self, kind: WarningKind, layer: usize, byte: u64, path: impl FnOnce() -> Vec<u8>) {
        let count = self.counts.entry(kind).or_default();
        *count = count.saturating_add(1);
        if *count <= Self::KEPT {
            self.kept.push(Warning { kind, layer, path: path(), byte });
        }
    }

    /// Those of a layer, as another layer of a stack.
    pub(super) fn relabel(&mut self, layer: usize) {
        self.kept.iter_mut().for_each(|warning| warning.layer = layer);
    }

    /// Appends them as bytes, less the layer's number.
    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        put(out, WarningKind::ALL.len() as u64);
        WarningKind::ALL.iter().for_each(|kind| put(out, self.count(*kind)));
        put(out, self.kept.len() as u64);
        for Warning { kind, layer: _, path, byte } in &self.kept {
            put(out, *kind as u64);
            put(out, *byte);
            put_bytes(out, path);
        }
    }

    /// Reads what [`Warnings::pack`] gave, as the bottom layer's.
    pub(super) fn unpack(from: &mut Unpack<'_>) -> Result<Warnings, Refused> {
        let mut warnings = Warnings::default();
        if from.number()? != WarningKind::ALL.len() as u64 {
            return Err("it warns of other things");
        }
        for kind in WarningKind::ALL {
            let count = from.number()?;
            if count > 0 {
                warnings.counts.insert(*kind, count);
            }
        }
        for _ in 0..from.number()? {
            let kind = usize::try_from(from.number()?).ok().and_then(|kind| WarningKind::ALL.get(kind));
            let kind = *kind.ok_or("a warning that there is not")?;
            warnings.kept.push(Warning {
                kind,
                layer: 0,
                byte: from.number()?,
                path: from.bytes()?.to_vec(),
            });
        }
        let kept = |kind| warnings.kept.iter().filter(|warning| warning.kind == kind).count() as u64;
        if WarningKind::ALL.iter().any(|kind| kept(*kind) != warnings.count(*kind).min(Self::KEPT)) {
            return Err("warnings are not kept as they are counted");
        }
        Ok(warnings)
    }

    /// Adds those of another stage.
    pub(super) fn append(&mut self, other: Warnings) {
        for warning in other.kept {
            let count = self.counts.entry(warning.kind).or_default();
            *count = count.saturating_add(1);
            if *count <= Self::KEPT {
                self.kept.push(warning);
            }
        }
        // What the other counted beyond what it kept.
        for (kind, count) in other.counts {
            let sum = self.counts.entry(kind).or_default();
            *sum = sum.saturating_add(count.saturating_sub(Self::KEPT));
        }
    }
}
