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
//! | two PAX headers, or two long names, before one entry | the last | the last | merged | refused |
//! | a global header that states `path`, `linkpath`, `size` or a sparse map | applied | ignored | applied | refused |
//! | extension headers of another magic or version than ustar's or GNU's | by their type | by their type | by their type; the `tar` crate: a file | refused |
//! | a prefix behind an unknown magic or version | of ustar only | of ustar only | always | refused |
//! | a star header whose prefix fills its field | runs on into the time of access | ends | runs on | refused |
//! | a PAX record with spaces or signs in its length, or bytes behind the last one | accepted in part | refused | accepted in part | refused |
//! | `+1`, `1_0`, ` 1` in a PAX number | refused | `+1` accepted | accepted | refused |
//! | something other than blanks behind a number in a header | ignored | refused, unless behind a NUL | as Go | refused |
//! | a PAX size on a link, directory, device or FIFO | data follow, or not, by operation | none | none | refused, unless 0 |
//! | a file (type `0`) named `d/`, with content | a directory | a file | a file | refused |
//! | a sparse fragment that does not fill its last block before another one | a new block | goes on within | goes on within | refused |
//! | a block of zeros with more after it | the end, with a warning | refused | the end | refused |
//! | an extension header with no entry after it | refused | refused | ignored | refused |
//! | types `A`, `D`, `E`, `I`, `M`, `N`, `X` | GNU's are known | handed out | handed out | refused |
//! | uid or gid 4294967295 | accepted | accepted | accepted | refused: to chown(2) it means `leave it` |
//! | padding missing at the very end | an error | accepted | accepted | refused: cut inside an entry (L22) |
//!
//! Where we accept, and others do otherwise:
//!
//! | input | here | others |
//! |---|---|---|
//! | PAX and GNU long name before one entry | PAX wins (L21); never copied as it is | Go: GNU's wins |
//! | a global header | folded in (L18) | Go hands it out and does not apply it |
//! | a size in the header of a link, directory, device or FIFO | no content follows, noted | Go and Python alike; GNU tar skips it when it lists, the `tar` crate always |
//! | a file named `d/`, empty | a directory (L18) | Go: only of type NUL |
//! | a blank number | 0 | as Go and Python; GNU tar refuses it |
//! | an xattr record without a value | an attribute without a value, unless a global one is so deleted | Go drops it |
//! | `%` in the name after `SCHILY.xattr.` | itself, as in Go | GNU tar decodes `%3D` and `%25` |
//! | an mtime like `-1.5` | a second and a half before 1970, as POSIX, GNU tar, Go and Python have it | libarchive takes it for `-0.5`, and writes -1.5 as `-2.5` |
//! | PAX records whose values hold line ends | by their length | the `tar` crate cuts them |
//! | the checksum of signed bytes | accepted, noted | the `tar` crate refuses it |
//! | a missing end marker | accepted, noted (L22) | as Go and Python |

mod acl;
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

/// Bytes of one block: headers are blocks, and content is padded to whole ones.
pub const BLOCK: usize = 512;

/// Zeros that follow `size` bytes of content.
pub const fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

#[cfg(test)]
mod tests;
