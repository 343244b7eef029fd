//! The `index.json` of an OCI layout (image-spec `image-layout.md`), to be changed: what others wrote there stays as it is,
//! entries that nobody here can read as well.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Descriptor, REF_NAME};
use crate::json_text::{Object, joined, list};
use crate::limits::Limits;

const MANIFESTS: &str = "manifests";

/// The index of a layout that lists nothing.
pub const EMPTY: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// Where a blob is in a layout, relative and with `/`.
pub fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// The content of `oci-layout`, which says that a directory or an archive is a layout.
pub const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// What a layout lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// With `manifests` empty: its place among the others.
    object: Object,
    /// Each as it was written.
    entries: Vec<String>,
}

impl Default for Listing {
    fn default() -> Listing {
        let mut object = Object::default();
        object.set("schemaVersion", "2".to_owned());
        object.set("mediaType", "\"application/vnd.oci.image.index.v1+json\"".to_owned());
        object.set(MANIFESTS, String::new());
        Listing { object, entries: Vec::new() }
    }
}

impl Listing {
    /// Reads an `index.json`.
    ///
    /// # Errors
    /// `invalid_document` if it is no index.
    pub fn parse(raw: &[u8]) -> Result<Listing> {
        let invalid = |reason: &str| {
            let reason = reason.to_owned();
            Error::from(ErrorKind::InvalidDocument { document: "index", reason })
        };
        let mut object = Object::parse(raw).map_err(|error| invalid(&error.to_string()))?;
        if object.count(MANIFESTS) > 1 {
            return Err(invalid("it has `manifests` twice, and readers differ on which of them counts"));
        }
        let entries = match object.value(MANIFESTS) {
            None => Vec::new(),
            Some(entries) => list(entries).map_err(|_| invalid("its `manifests` are no list"))?,
        };
        object.set(MANIFESTS, String::new());
        Ok(Listing { object, entries })
    }

    /// Its entries that can be read, in its order.
    pub fn entries(&self) -> Vec<Descriptor> {
        self.entries.iter().filter_map(|entry| readable(entry)).collect()
    }

    /// Lists a document under a name, in place of whatever is listed under it: at its place, and further ones of that name
    /// go. Without a name it is listed unless it is there without one. Answers whether that changed anything.
    ///
    /// # Errors
    /// `internal` if the descriptor cannot be written.
    pub fn set(&mut self, name: Option<&str>, descriptor: &Descriptor) -> Result<bool> {
        let mut descriptor = descriptor.clone();
        match name {
            Some(name) => descriptor.annotations.insert(REF_NAME.to_owned(), name.to_owned()),
            None => descriptor.annotations.remove(REF_NAME),
        };
        let internal = |_| ErrorKind::Internal { reason: "a descriptor cannot be written".to_owned() };
        let value = serde_json::to_value(&descriptor).map_err(internal)?;
        let before = self.entries.clone();
        match name {
            Some(name) => {
                let mut entry = Some(serde_json::to_string(&descriptor).map_err(internal)?);
                let mut kept = Vec::with_capacity(before.len() + 1);
                for known in self.entries.drain(..) {
                    let parsed = parsed(&known);
                    if ref_name(&parsed) != Some(name) {
                        kept.push(known);
                    } else if let Some(entry) = entry.take() {
                        kept.push(if parsed == value { known } else { entry });
                    }
                }
                kept.extend(entry);
                self.entries = kept;
            }
            None => {
                let digest = value.get("digest");
                let is_there = self
                    .entries
                    .iter()
                    .map(|known| parsed(known))
                    .any(|known| ref_name(&known).is_none() && known.get("digest") == digest);
                if !is_there {
                    self.entries.push(serde_json::to_string(&descriptor).map_err(internal)?);
                }
            }
        }
        Ok(self.entries != before)
    }

    /// Takes a name out. Answers whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| ref_name(&parsed(entry)) != Some(name));
        self.entries.len() != before
    }

    /// Keeps the entries that `keep` says, given each as it can be read; those that cannot stay. Answers whether any went.
    pub fn retain(&mut self, mut keep: impl FnMut(&Descriptor) -> bool) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| readable(entry).is_none_or(|entry| keep(&entry)));
        self.entries.len() != before
    }
}

impl core::fmt::Display for Listing {
    /// As JSON: what others wrote as they wrote it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut object = self.object.clone();
        object.set(MANIFESTS, joined(&self.entries));
        f.write_str(&object.write().map_err(|_| core::fmt::Error)?)
    }
}

fn readable(entry: &str) -> Option<Descriptor> {
    Descriptor::parse(entry.as_bytes(), &Limits::default()).ok()
}

fn parsed(entry: &str) -> Value {
    serde_json::from_str(entry).unwrap_or_default()
}

fn ref_name(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(REF_NAME)?.as_str()
}

#[cfg(test)]
mod tests;
