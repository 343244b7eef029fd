//! JSON that two readers cannot understand differently.
//!
//! Documents decide what is fetched and run, and other readers (most are Go's `encoding/json`, which takes the last of
//! two equal keys and ignores the case of keys) must see in them what we see. So a key that occurs twice in one object
//! is refused wherever it stands, and so is a key that differs from one we read in its case only. Size, depth and the
//! number of values are bounded before anything is kept.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;

/// No digest of any algorithm in use is longer.
const DIGEST_MAX: usize = 512;

/// What a document says, for a message: short, and without characters that a terminal would act on.
pub(crate) fn brief(text: &str) -> String {
    const MAX: usize = 80;
    let mut brief: String = text.chars().take(MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX).is_some() {
        brief.push('…');
    }
    brief
}

/// A parsed document, or a part of it with the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    document: &'static str,
    path: String,
    value: &'a Value,
}

/// Parses one whole document. `document` is its name in errors: `manifest`, `index`, `config`.
pub(crate) fn parse(document: &'static str, raw: &[u8], limits: &Limits) -> Result<Value> {
    if raw.len() as u64 > limits.document_bytes {
        return Err(ErrorKind::LimitExceeded { limit: "document_bytes", value: limits.document_bytes }.into());
    }
    let mut state = State { limits, left: limits.json_values, tripped: None };
    let mut parser = serde_json::Deserializer::from_slice(raw);
    let parsed = Tree { state: &mut state, depth: 0 }.deserialize(&mut parser).and_then(|value| {
        parser.end()?;
        Ok(value)
    });
    parsed.map_err(|error| match state.tripped {
        Some(kind) => kind.into(),
        None => {
            let reason = error.to_string();
            Error::from(ErrorKind::InvalidDocument {
                document,
                reason: match reason.as_str() {
                    "EOF while parsing a value at line 1 column 0" => "it is empty".to_owned(),
                    _ => format!("not JSON: {reason}"),
                },
            })
            .at_byte(offset(raw, error.line(), error.column()))
        }
    })
}

/// The byte that serde_json's line and column (both from 1; column 0 before the first byte) stand for.
fn offset(raw: &[u8], line: usize, column: usize) -> u64 {
    let start: usize =
        raw.split_inclusive(|b| *b == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    (start + column.saturating_sub(1)) as u64
}

struct State<'a> {
    limits: &'a Limits,
    left: u32,
    tripped: Option<ErrorKind>,
}

/// Builds a [`Value`], refusing what this module refuses.
struct Tree<'s, 'a> {
    state: &'s mut State<'a>,
    depth: u32,
}

impl<'a> Tree<'_, 'a> {
    /// Counts one value, and for a container its level.
    fn enter<E: serde::de::Error>(&mut self, container: bool) -> core::result::Result<(), E> {
        let limits = self.state.limits;
        let (limit, value) = if container && self.depth >= limits.json_depth {
            ("json_depth", limits.json_depth)
        } else if let Some(left) = self.state.left.checked_sub(1) {
            self.state.left = left;
            return Ok(());
        } else {
            ("json_values", limits.json_values)
        };
        self.state.tripped = Some(ErrorKind::LimitExceeded { limit, value: u64::from(value) });
        Err(E::custom(limit))
    }

    fn child(&mut self) -> Tree<'_, 'a> {
        Tree { depth: self.depth + 1, state: &mut *self.state }
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_, '_> {
    type Value = Value;
    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> core::result::Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E: serde::de::Error>(mut self) -> core::result::Result<Value, E> {
        self.enter(false)?;
        Ok(Value::Null)
    }
    fn visit_bool<E: serde::de::Error>(mut self, value: bool) -> core::result::Result<Value, E> {
        self.enter(false)?;
        Ok(Value::Bool(value))
    }
    fn visit_u64<E: serde::de::Error>(mut self, value: u64) -> core::result::Result<Value, E> {
        self.enter(false)?;
        Ok(Value::Number(value.into()))
    }
    fn visit_i64<E: serde::de::Error>(mut self, value: i64) -> core::result::Result<Value, E> {
        self.enter(false)?;
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: serde::de::Error>(mut self, value: f64) -> core::result::Result<Value, E> {
        self.enter(false)?;
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E: serde::de::Error>(mut self, value: &str) -> core::result::Result<Value, E> {
        self.enter(false)?;
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E: serde::de::Error>(mut self, value: String) -> core::result::Result<Value, E> {
        self.enter(false)?;
        Ok(Value::String(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> core::result::Result<Value, A::Error> {
        self.enter(true)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.child())? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> core::result::Result<Value, A::Error> {
        self.enter(true)?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(serde::de::Error::custom(format_args!(
                    "the key `{}` occurs twice in one object",
                    brief(&key)
                )));
            }
            let value = entries.next_value_seed(self.child())?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Folds a key as Go's `encoding/json` does when it looks for a field: by simple Unicode folding, of which only these
/// two reach ASCII letters from outside ASCII.
fn fold(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

impl<'a> Node<'a> {
    /// The whole document.
    pub(crate) fn root(document: &'static str, value: &'a Value) -> Node<'a> {
        Node { document, path: String::new(), value }
    }

    /// `invalid_document` at this node: `reason` goes on after its path (`must be a string`).
    pub(crate) fn error(&self, reason: &str) -> Error {
        let path = if self.path.is_empty() { "the document" } else { &self.path };
        let ticks = if self.path.is_empty() { "" } else { "`" };
        ErrorKind::InvalidDocument {
            document: self.document,
            reason: format!("{ticks}{path}{ticks} {reason}"),
        }
        .into()
    }

    fn type_error(&self, wanted: &str) -> Error {
        let found = match self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => format!("{value}"),
            Value::Number(value) => format!("the number {value}"),
            Value::String(_) => "a string".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        self.error(&format!("must be {wanted}, is {found}"))
    }

    /// The value itself.
    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// Refuses keys that differ from one of `known` in their case only. For objects whose fields decide something.
    pub(crate) fn strict_keys(&self, known: &[&str]) -> Result<()> {
        for key in self.map()?.keys() {
            if known.contains(&key.as_str()) {
                continue;
            }
            let folded = fold(key);
            if let Some(known) = known.iter().find(|known| fold(known) == folded) {
                return Err(self
                    .error(&format!("has the key `{}`, which some readers take for `{known}`", brief(key))));
            }
        }
        Ok(())
    }

    /// As an object.
    pub(crate) fn map(&self) -> Result<&'a Map<String, Value>> {
        self.value.as_object().ok_or_else(|| self.type_error("an object"))
    }

    /// Whether the object has this key, `null` or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.value.get(key).is_some()
    }

    /// The member of this name; `null` counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<Node<'a>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Some(Node { document: self.document, path, value })
    }

    /// The member of this name, which must be there.
    pub(crate) fn need(&self, key: &str) -> Result<Node<'a>> {
        self.get(key).ok_or_else(|| self.error(&format!("has no `{key}`")))
    }

    /// As text.
    pub(crate) fn text(&self) -> Result<&'a str> {
        self.value.as_str().ok_or_else(|| self.type_error("a string"))
    }

    /// The member as text; `None` if absent or `null`.
    pub(crate) fn text_at(&self, key: &str) -> Result<Option<String>> {
        self.get(key).map(|node| node.text().map(ToOwned::to_owned)).transpose()
    }

    /// The member as a truth value; absent and `null` are `false`.
    pub(crate) fn bool_at(&self, key: &str) -> Result<bool> {
        match self.get(key) {
            None => Ok(false),
            Some(node) => node.value.as_bool().ok_or_else(|| node.type_error("true or false")),
        }
    }

    /// As a whole number that is not negative. `1.0` and `1e3` are none.
    pub(crate) fn whole(&self) -> Result<u64> {
        self.value.as_u64().ok_or_else(|| self.type_error("a whole number that is not negative"))
    }

    /// As a whole number of either sign.
    pub(crate) fn integer(&self) -> Result<i64> {
        self.value.as_i64().ok_or_else(|| self.type_error("a whole number"))
    }

    /// As a digest.
    pub(crate) fn digest(&self) -> Result<Digest> {
        let text = self.text()?;
        if text.len() > DIGEST_MAX {
            let reason = format!("longer than any digest (`{}` of the {})", self.path, self.document);
            return Err(ErrorKind::InvalidDigest { input: brief(text), reason }.into());
        }
        text.parse().map_err(|error: Error| match error.kind() {
            ErrorKind::InvalidDigest { input, reason } => ErrorKind::InvalidDigest {
                input: input.clone(),
                reason: format!("{reason} (`{}` of the {})", self.path, self.document),
            }
            .into(),
            _ => error,
        })
    }

    /// The elements of a list.
    pub(crate) fn list(&self) -> Result<impl Iterator<Item = Node<'a>> + use<'a>> {
        let items = self.value.as_array().ok_or_else(|| self.type_error("a list"))?;
        let (document, path) = (self.document, self.path.clone());
        Ok(items.iter().enumerate().map(move |(at, value)| Node {
            document,
            path: format!("{path}[{at}]"),
            value,
        }))
    }

    /// The elements of the member of this name; none if it is absent or `null`.
    pub(crate) fn list_at(&self, key: &str) -> Result<impl Iterator<Item = Node<'a>> + use<'a>> {
        Ok(self.get(key).map(|node| node.list()).transpose()?.into_iter().flatten())
    }

    /// The member of this name as a list of text; `null` elements are empty text, as Go reads them.
    pub(crate) fn texts_at(&self, key: &str) -> Result<Vec<String>> {
        self.list_at(key)?.map(|node| node.text_or_empty()).collect()
    }

    /// The member of this name as a map of text; absent and `null` are empty, `null` values are empty text.
    pub(crate) fn text_map_at(&self, key: &str) -> Result<BTreeMap<String, String>> {
        let Some(node) = self.get(key) else { return Ok(BTreeMap::new()) };
        let mut texts = BTreeMap::new();
        for (name, value) in node.map()? {
            let path = format!("{}.{}", node.path, brief(name));
            texts.insert(name.clone(), Node { document: self.document, path, value }.text_or_empty()?);
        }
        Ok(texts)
    }

    fn text_or_empty(&self) -> Result<String> {
        if self.value.is_null() { Ok(String::new()) } else { self.text().map(ToString::to_string) }
    }
}

#[cfg(test)]
mod tests;
