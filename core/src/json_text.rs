//! JSON objects and lists whose parts stay as they were written.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};

/// An object: its keys in order, each with its value as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Object(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> core::result::Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> core::result::Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.push((key, value.get().to_owned()));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn invalid(error: &serde_json::Error) -> Error {
    ErrorKind::InvalidDocument { document: "manifest", reason: error.to_string() }.into()
}

/// A value as JSON text.
pub(crate) fn text(value: &(impl serde::Serialize + ?Sized)) -> Result<String> {
    serde_json::to_string(value).map_err(|error| invalid(&error))
}

/// The parts of a list, each as its text.
pub(crate) fn list(raw: &str) -> Result<Vec<String>> {
    let parts: Option<Vec<Box<RawValue>>> = serde_json::from_str(raw).map_err(|error| invalid(&error))?;
    Ok(parts.unwrap_or_default().iter().map(|part| part.get().to_owned()).collect())
}

/// A list of these.
pub(crate) fn joined(parts: &[String]) -> String {
    let mut raw = String::from("[");
    raw.push_str(&parts.join(","));
    raw.push(']');
    raw
}

impl Object {
    pub(crate) fn parse(raw: &[u8]) -> Result<Object> {
        serde_json::from_slice(raw).map_err(|error| invalid(&error))
    }

    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// How often a key is there.
    pub(crate) fn count(&self, key: &str) -> usize {
        self.0.iter().filter(|(known, _)| known == key).count()
    }

    /// Sets a value in its place; a new key comes last.
    pub(crate) fn set(&mut self, key: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Sets a value in its place; a new key comes second, behind `schemaVersion`.
    pub(crate) fn set_early(&mut self, key: &str, value: String) {
        if self.value(key).is_some() {
            return self.set(key, value);
        }
        let at = self.0.len().min(1);
        self.0.insert(at, (key.to_owned(), value));
    }

    /// Takes a key out; whether it was there.
    pub(crate) fn remove(&mut self, key: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(known, _)| known != key);
        self.0.len() != before
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(key, _)| keep(key));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn write(&self) -> Result<String> {
        let mut raw = String::from("{");
        for (position, (key, value)) in self.0.iter().enumerate() {
            if position > 0 {
                raw.push(',');
            }
            raw.push_str(&text(key)?);
            raw.push(':');
            raw.push_str(value);
        }
        raw.push('}');
        Ok(raw)
    }
}
