//! What a layer holds, entry by entry, for who wants to see it by itself.

use alloc::vec::Vec;

use super::index::{LayerIndex, RowKind};
use super::tree::Origin;
use crate::tar::{Kind, Metadata};

/// What an entry of a layer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Says {
    /// There is such a thing, a hard link among them.
    Here(Kind),
    /// The path of lower layers is gone (L7).
    Whiteout,
    /// All that lower layers have in this directory is gone (L7).
    Opaque,
}

/// One entry of a layer's tar, as it stands there: nothing is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Its path in normal form, the components joined by `/`: of a whiteout the path that it hides, of an opaque marker the
    /// directory.
    pub path: Vec<u8>,
    /// What it says.
    pub says: Says,
    /// Its own metadata. Those of whiteouts, opaque markers and hard links mean nothing (L7, L12).
    pub metadata: Metadata,
    /// Bytes of content.
    pub size: u64,
    /// The text of a symlink; the target of a hard link in normal form.
    pub link: Vec<u8>,
    /// Where it stands.
    pub origin: Origin,
}

impl LayerIndex {
    /// All entries in the order of the tar, a name as often as it has it (L6).
    pub fn entries(&self) -> impl Iterator<Item = Listed> + '_ {
        let (mut number, mut path, mut at) = (0, Vec::new(), 0);
        core::iter::from_fn(move || {
            let row = self.row(number)?;
            path = self.next_path(core::mem::take(&mut path), row, &mut at);
            let says = match row.kind {
                RowKind::Whiteout => Says::Whiteout,
                RowKind::Opaque => Says::Opaque,
                _ => Says::Here(self.kind(row)),
            };
            let origin = Origin { layer: self.layer(), entry: number, header_at: row.header_at };
            number += 1;
            Some(Listed {
                path: path.clone(),
                says,
                metadata: self.metadata(row),
                size: row.size,
                link: self.link(row).to_vec(),
                origin,
            })
        })
    }
}
