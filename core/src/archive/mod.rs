//! How images are kept in files: layouts, archives, directories, as maps and plans that hold no files.
//!
//! - [`catalog`]: which members an archive or a directory has, and where their bytes are.
//! - [`read`]: which images these are.
//! - [`listing`]: the `index.json` of an OCI layout, changed without losing what others wrote there.
//! - [`mod@write`]: what a file or directory of images is made of, part by part.

pub mod catalog;
pub mod listing;
pub mod read;
pub mod write;

pub use catalog::{Catalog, Cataloguer, Span};
pub use read::{Collection, Image, Kind, Need, Reading};
