//! What crosses a language boundary: the machines by plain numbers, what is small as JSON, what is big as bytes.
//!
//! The hosts that are not Rust (Python, Node, the browser) drive the same machines as the native one. What they say and
//! hear is translated here once, so that a binding is a shell over these types and no event, error or table is spelled in
//! two ways:
//!
//! - [`Session`] is the client machine with ids that are numbers.
//! - [`Opening`] finds the images of an archive or a folder, for hosts that read local files themselves.
//! - [`Unpack`] decodes one stream.
//! - [`describe`] says what an image is, of its documents.
//! - [`table`] packs the merged tree in rows.
//! - [`merge_options`] reads how layers are merged, [`source`] what a user's name for an image means.
//! - [`reach_allows`] says whether a request may go where it leads.
//! - [`error_json`] is an error: its code, facts, place and hint.
//! - [`probe`] answers what the corpus in `testdata/` asks.
//!
//! JSON is in camelCase; what is absent is left out. Numbers that JavaScript has to hold stay below 2^53: sizes and
//! milliseconds do.

mod describe;
mod error;
mod merging;
mod opening;
mod probe;
mod reach;
mod session;
mod source;
mod spoken;
mod table;
mod unpack;

pub use describe::describe;
pub use error::{cancelled, error_codes, error_json, internal, local_error};
pub use merging::merge_options;
pub use opening::Opening;
pub use probe::probe;
#[cfg(test)]
pub(crate) use probe::{classes, spelled};
pub use reach::reach_allows;
pub use session::Session;
pub use source::source;
pub use table::{ROW_BYTES, table};
pub use unpack::{Unpack, Unpacked};

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use serde_json::{Map, Value};

use crate::client::{Pulled, PulledImage};
use crate::error::{ErrorKind, Result};
use crate::image::Descriptor;

/// An object of which some fields may be absent.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn new() -> Object {
        Object::default()
    }

    /// One entry after another: maps that are collected sort first, and each kind of entry has a sort of its own.
    fn of(texts: &BTreeMap<String, String>) -> Object {
        texts.iter().fold(Object::new(), |object, (key, value)| object.with(key, value.as_str()))
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Object {
        self.0.insert(key.into(), value.into());
        self
    }

    fn with_some(self, key: &str, value: Option<impl Into<Value>>) -> Object {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Value {
        Value::Object(object.0)
    }
}

impl core::fmt::Display for Object {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match serde_json::to_string(&self.0) {
            Ok(text) => f.write_str(&text),
            Err(_) => Err(core::fmt::Error),
        }
    }
}

/// A descriptor as JSON: the fields that are always there, and those that say something.
pub fn descriptor(descriptor: &Descriptor) -> Value {
    let object = Object::new()
        .with("mediaType", descriptor.media_type.as_str())
        .with("digest", descriptor.digest.to_string())
        .with("size", descriptor.size)
        .with_some("platform", descriptor.platform.as_ref().map(ToString::to_string))
        .with_some("urls", (!descriptor.urls.is_empty()).then(|| descriptor.urls.clone()));
    let annotations = (!descriptor.annotations.is_empty()).then(|| Object::of(&descriptor.annotations));
    object.with_some("annotations", annotations).into()
}

fn image(image: &PulledImage) -> Value {
    Object::new()
        .with("manifest", descriptor(&image.manifest))
        .with_some("platform", image.platform.as_ref().map(ToString::to_string))
        .with_some("config", image.config.as_ref().map(descriptor))
        .with("layers", image.layers.iter().map(descriptor).collect::<Value>())
        .into()
}

fn pulled(pulled: &Pulled) -> Value {
    Object::new()
        .with("top", descriptor(&pulled.top))
        .with("images", pulled.images.iter().map(image).collect::<Value>())
        .with("received", pulled.received)
        .into()
}

/// What a pull or a walk came to, as the event `finished` says it.
pub fn pulled_json(found: &Pulled) -> String {
    pulled(found).to_string()
}

/// Options that a host gave. Unknown ones are refused: a misspelt option that does nothing is worse.
fn options<'o, T: serde::Deserialize<'o>>(text: &'o str) -> Result<T> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    serde_json::from_str(text).map_err(|error| {
        let reason = alloc::format!("the options cannot be read: {error}");
        ErrorKind::InvalidOption { reason }.into()
    })
}
