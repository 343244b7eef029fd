//! Entries to tar bytes: ustar where all fits, else PAX.

use alloc::vec::Vec;

use super::entry::{Kind, Metadata};
use crate::error::Result;

/// What follows the last entry: two blocks of zeros, and no more.
pub const END_OF_ARCHIVE: [u8; 2 * super::BLOCK] = [0; 2 * super::BLOCK];

/// An entry to be written.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The name; a directory's gets its final `/` if it has none, the root may be empty.
    pub path: &'a [u8],
    /// The target of a symbolic or hard link.
    pub link: &'a [u8],
    /// What it is.
    pub kind: Kind,
    /// Its metadata.
    pub metadata: &'a Metadata,
    /// Bytes of content that will follow; must be 0 for all but files.
    pub size: u64,
}

impl Header<'_> {
    /// Appends the entry's header blocks. The caller then writes `size` bytes of content and [`super::padding`] zeros.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let _ = out;
        Err(crate::error::ErrorKind::Internal { reason: "not written yet".into() }.into())
    }
}
