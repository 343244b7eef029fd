//! Images as documents: manifests, indexes and configs of OCI and of Docker, raw bytes kept beside the parsed view.
//!
//! [`Document::parse`] reads whatever a registry serves under `/manifests/`, [`Index::choose`] finds the entry for a
//! platform, [`Config::parse`] reads the config, [`edit`] makes images of images.
//!
//! A document that two readers could understand differently is refused: one that is manifest and index at once
//! (CVE-2021-41190), a key that occurs twice or again in another case, a `Content-Type` that contradicts `mediaType`.
//! `null` counts as absent, a `null` list as empty; unknown fields are left alone.

mod config;
mod descriptor;
mod document;
pub mod edit;
mod index;
pub(crate) mod json;
mod manifest;
mod schema1;

pub use config::{Config, Execution, Healthcheck, History};
pub use descriptor::{CONTAINERD_NAME, Descriptor, REF_NAME};
pub use document::{Document, View, check_document};
pub use index::{Choice, Index, available};
pub use manifest::Manifest;
pub use schema1::{Entry, Schema1};

#[cfg(test)]
mod tests;
