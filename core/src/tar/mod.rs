//! Tar: a streaming parser and a deterministic writer for v7, ustar, GNU and PAX.
//!
//! - [`Parser`] is fed bytes and answers entries and where their content lies; it holds no content.
//! - [`Header`] writes entries, ustar where all fits and PAX where not.
//! - [`path`] brings names into the form of L1, [`sparse`] presents sparse files as plain ones.
//!
//! The formats are those of POSIX.1-1988 (ustar) and POSIX.1-2001 (pax), of GNU tar's manual and of star(5) and
//! libarchive's tar(5).
//!
//! # Where we differ from others
//!
//! A tar that two readers understand in two ways can show one of them what the other does not see (CVE-2025-62518). Where
//! readers differ and no honest writer goes, we refuse (L21):
//!
//! | input | GNU tar 1.34 | Go 1.26 | Python 3.11 | here |
//! |---|---|---|---|---|
//! | a PAX key twice in one header, with different values | the last | the last | the last; the `tar` crate the first | refused |
//! | two PAX headers before one entry | the last alone | the last alone | both | refused |
//! | two long names before one entry | the last | the last | the first | refused |
//! | a global header that states `path`, `linkpath`, `size` or a sparse map | applied | ignored | applied | refused |
//! | extension headers of another magic or version than ustar's or GNU's | as such | as such | as such; the `tar` crate: a file | refused |
//! | a prefix behind an unknown magic | ignored | ignored | read | refused |
//! | a prefix behind another version of ustar | read | read | read; the `tar` crate: ignored | refused |
//! | a PAX record with spaces in its length | an error, goes on | refused | ignored | refused |
//! | bytes behind the last PAX record | accepted | refused | accepted | refused |
//! | `+1` in a PAX number | refused | accepted | accepted | refused |
//! | `1_0` or ` 1` in a PAX number | refused | refused | accepted | refused |
//! | digits, a space, more digits in a header's number | the first | refused | refused | refused |
//! | digits, a NUL, more digits in a header's number | the first | the first | the first | refused: nobody writes it |
//! | a PAX size on a link | content follows | none | none | refused, unless 0 |
//! | a PAX size on a directory, device or FIFO | none | none | none | refused, unless 0: POSIX leaves it open |
//! | a file of type `0` named `d/`, with content | a directory, content skipped | a file | a file | refused |
//! | a file of type NUL named `d/`, with a size | a directory, content skipped | a directory, none follows | as Go | refused |
//! | a sparse fragment that does not fill its last block before another one | a new block | goes on within | goes on within | refused |
//! | a block of zeros with more after it | the end, with a warning | refused | the end | refused (L22) |
//! | an extension header with no entry after it | ignored | ignored | refused | refused |
//! | types `A`, `D`, `E`, `I`, `M`, `N`, `X` | some are known | handed out | handed out | refused (L18) |
//! | uid or gid 4294967295 | accepted | accepted | accepted | refused: to chown(2) it means `leave it` |
//! | a star header whose prefix fills its field | runs on into the time of access | ends | runs on | refused |
//!
//! Where we accept, and others do otherwise:
//!
//! | input | here | others |
//! |---|---|---|
//! | PAX and GNU long name before one entry | PAX wins (L21); never copied as it is | GNU tar alike; Go: GNU's; Python: the first of them |
//! | a global header | folded in (L18) | GNU tar and Python alike; Go hands it out and does not apply it |
//! | a size in the header of a link, directory, device or FIFO | no content follows (L12); noted | GNU tar, Go and Python alike; the `tar` crate skips content |
//! | an empty file of type `0` named `d/` | a directory (L18) | GNU tar alike; Go and Python: a file, unless the type is NUL |
//! | a blank number | 0 | GNU tar, Go and Python alike; the `tar` crate refuses it |
//! | an xattr record without a value | an attribute without a value, unless a global one is so deleted | Go drops it |
//! | `%` in the name after `SCHILY.xattr.` | itself, as in Go | GNU tar decodes `%3D` and `%25` |
//! | an mtime like `-1.5` | a second and a half before 1970, as POSIX, GNU tar, Go and Python have it | libarchive takes it for `-0.5`, and writes -1.5 as `-2.5` |
//! | PAX records whose values hold line ends | by their length | the `tar` crate cuts them |
//! | the checksum of signed bytes | accepted, noted | GNU tar, Go and Python alike; the `tar` crate refuses it |
//! | a missing end marker | accepted, noted (L22) | GNU tar, Go and Python alike |
//! | padding missing at the very end, the content whole | accepted, noted (L22): umoci 0.4.7 makes such layers | Go alike; GNU tar and Python: an error |

pub(crate) mod acl;
pub mod entry;
mod header;
pub mod notes;
pub mod parser;
pub mod path;
mod pax;
pub mod sparse;
pub mod writer;

pub use entry::{Entry, Kind, Metadata, Mtime, Xattrs};
pub use notes::{Counts, Note, Notes};
pub use parser::{Event, Parser, Step};
pub use sparse::{Expander, Piece, Segment, SparseMap};
pub use writer::{END_OF_ARCHIVE, Header};

pub(crate) use pax::MAX_ID;

/// Bytes of one block: headers are blocks, and content is padded to whole ones.
pub const BLOCK: usize = 512;

/// Zeros that follow `size` bytes of content.
pub const fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

#[cfg(test)]
mod tests;
