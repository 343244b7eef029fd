//! How images are kept in files: layouts, archives, directories, as maps and plans that hold no files.
//!
//! - [`listing`]: the `index.json` of an OCI layout, changed without losing what others wrote there.
//! - [`write`]: what a file or directory of images is made of, part by part.

pub mod listing;
pub mod write;
