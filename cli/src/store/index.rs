//! The layout's `index.json`. What other tools wrote there stays as it is.

use std::fs;

use serde_json::{Map, Value};
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::{Error, Limits, Reference};

use super::Store;
use super::lock::Held;
use crate::fault::io_error;

/// Of a new store.
pub(super) const EMPTY: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// image-spec `annotations.md`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

impl Store {
    /// The entries of the index that can be read, in its order.
    pub(super) fn listed(&self) -> Result<Vec<Descriptor>> {
        let limits = Limits::default();
        let entries = self.read_index()?;
        let parse = |entry: &Value| Descriptor::parse(entry.to_string().as_bytes(), &limits).ok();
        Ok(manifests(&entries).iter().filter_map(parse).collect())
    }

    /// Lists an image in the layout's index under its full reference (`org.opencontainers.image.ref.name`), in place of
    /// what was listed there.
    ///
    /// # Errors
    /// `no_space`, `local_io`, `invalid_document`.
    pub fn tag(&self, reference: &Reference, descriptor: &Descriptor) -> Result<()> {
        let name = reference.clone().or_latest().to_string();
        let mut descriptor = descriptor.clone();
        descriptor.annotations.insert(REF_NAME.to_owned(), name.clone());
        let reason = "a descriptor cannot be written".to_owned();
        let entry =
            serde_json::to_value(&descriptor).map_err(|_| Error::from(ErrorKind::Internal { reason }))?;
        self.edit_index(|entries| {
            let known = entries.iter().position(|entry| ref_name(entry) == Some(&name));
            match known {
                Some(at) if entries[at] == entry => false,
                Some(at) => {
                    entries[at] = entry;
                    true
                }
                None => {
                    entries.push(entry);
                    true
                }
            }
        })?;
        self.touch(&descriptor.digest);
        Ok(())
    }

    /// Takes an image out of the index; its blobs go with the next prune. Answers whether it was there.
    ///
    /// # Errors
    /// As [`Store::tag`].
    pub fn untag(&self, reference: &Reference) -> Result<bool> {
        let name = reference.clone().or_latest().to_string();
        self.edit_index(|entries| {
            let before = entries.len();
            entries.retain(|entry| ref_name(entry) != Some(&name));
            entries.len() != before
        })
    }

    /// Keeps the entries that `keep` says, given each as it can be read.
    pub(super) fn retain_listed(&self, mut keep: impl FnMut(&Descriptor) -> bool) -> Result<()> {
        let limits = Limits::default();
        self.edit_index(|entries| {
            let before = entries.len();
            entries.retain(|entry| {
                Descriptor::parse(entry.to_string().as_bytes(), &limits).map_or(true, |entry| keep(&entry))
            });
            entries.len() != before
        })?;
        Ok(())
    }

    fn read_index(&self) -> Result<Value> {
        let path = self.root().join("index.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => EMPTY.as_bytes().to_vec(),
            Err(error) => return Err(io_error("reading the store's index", Some(&path), &error)),
        };
        let invalid = |reason: String| {
            Error::from(ErrorKind::InvalidDocument { document: "index", reason })
                .at_path(path.display().to_string())
        };
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
        match &value {
            Value::Object(object)
                if matches!(object.get("manifests"), None | Some(Value::Array(_) | Value::Null)) =>
            {
                Ok(value)
            }
            _ => Err(invalid("it is no OCI index".to_owned())),
        }
    }

    /// Changes the entries, with the index to oneself. `change` answers whether it did. Readers see the old index or the
    /// new one.
    fn edit_index(&self, change: impl FnOnce(&mut Vec<Value>) -> bool) -> Result<bool> {
        let _held = Held::take(&self.ingest().join("index.lock"))?;
        let mut index = self.read_index()?;
        let mut entries = manifests(&index).to_vec();
        if !change(&mut entries) {
            return Ok(false);
        }
        if let Value::Object(object) = &mut index {
            object.insert("manifests".to_owned(), Value::Array(entries));
        }
        self.replace(&self.root().join("index.json"), index.to_string().as_bytes())?;
        Ok(true)
    }
}

fn manifests(index: &Value) -> &[Value] {
    index.get("manifests").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn ref_name(entry: &Value) -> Option<&str> {
    entry
        .get("annotations")
        .and_then(Value::as_object)
        .and_then(|all: &Map<_, _>| all.get(REF_NAME))?
        .as_str()
}
