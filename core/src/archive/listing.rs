//! The `index.json` of an OCI layout (image-spec `image-layout.md`), to be changed: what others wrote there stays as it is,
//! entries that nobody here can read as well.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::error::{ErrorKind, Result};
use crate::image::Descriptor;
use crate::limits::Limits;

/// The name of an entry (image-spec `annotations.md`).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

const MANIFESTS: &str = "manifests";

/// The index of a layout that lists nothing.
pub const EMPTY: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// The content of `oci-layout`, which says that a directory or an archive is a layout.
pub const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// What a layout lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    // With `manifests` empty: its place among the others.
    object: Map<String, Value>,
    entries: Vec<Value>,
}

impl Default for Listing {
    fn default() -> Listing {
        let mut object = Map::new();
        object.insert("schemaVersion".to_owned(), Value::from(2));
        object.insert("mediaType".to_owned(), Value::from("application/vnd.oci.image.index.v1+json"));
        object.insert(MANIFESTS.to_owned(), Value::Null);
        Listing { object, entries: Vec::new() }
    }
}

impl Listing {
    /// Reads an `index.json`.
    ///
    /// # Errors
    /// `invalid_document` if it is no index.
    pub fn parse(raw: &[u8]) -> Result<Listing> {
        let invalid = |reason: String| ErrorKind::InvalidDocument { document: "index", reason };
        let value = serde_json::from_slice(raw).map_err(|error| invalid(error.to_string()))?;
        let Value::Object(mut object) = value else {
            return Err(invalid("it is no OCI index".to_owned()).into());
        };
        let entries = match object.insert(MANIFESTS.to_owned(), Value::Null) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(invalid("its `manifests` are no list".to_owned()).into()),
        };
        Ok(Listing { object, entries })
    }

    /// Its entries that can be read, in its order.
    pub fn entries(&self) -> Vec<Descriptor> {
        self.entries.iter().filter_map(readable).collect()
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
        let entry = serde_json::to_value(&descriptor)
            .map_err(|_| ErrorKind::Internal { reason: "a descriptor cannot be written".to_owned() })?;
        let entries = &mut self.entries;
        let before = entries.clone();
        match name {
            Some(name) => {
                let mut entry = Some(entry);
                let mut kept = Vec::with_capacity(before.len() + 1);
                for known in entries.drain(..) {
                    if ref_name(&known) == Some(name) {
                        kept.extend(entry.take());
                    } else {
                        kept.push(known);
                    }
                }
                kept.extend(entry);
                *entries = kept;
            }
            None => {
                let digest = entry.get("digest");
                let known = |known: &Value| ref_name(known).is_none() && known.get("digest") == digest;
                if !entries.iter().any(known) {
                    entries.push(entry);
                }
            }
        }
        Ok(*entries != before)
    }

    /// Takes a name out. Answers whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let entries = &mut self.entries;
        let before = entries.len();
        entries.retain(|entry| ref_name(entry) != Some(name));
        entries.len() != before
    }

    /// Keeps the entries that `keep` says, given each as it can be read; those that cannot stay. Answers whether any went.
    pub fn retain(&mut self, mut keep: impl FnMut(&Descriptor) -> bool) -> bool {
        let entries = &mut self.entries;
        let before = entries.len();
        entries.retain(|entry| readable(entry).is_none_or(|entry| keep(&entry)));
        entries.len() != before
    }
}

impl core::fmt::Display for Listing {
    /// As JSON, on one line.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut object = self.object.clone();
        object.insert(MANIFESTS.to_owned(), Value::Array(self.entries.clone()));
        Value::Object(object).fmt(f)
    }
}

fn readable(entry: &Value) -> Option<Descriptor> {
    Descriptor::parse(entry.to_string().as_bytes(), &Limits::default()).ok()
}

fn ref_name(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(REF_NAME)?.as_str()
}

#[cfg(test)]
mod tests;
