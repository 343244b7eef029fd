//! Docker's schema 1 manifests, plain and signed (distribution's `manifest-v2-1.md`; libtrust's "pretty" JWS).
//!
//! A signed one is the payload with a `signatures` member woven in. Each signature's protected header says how to get
//! the payload back: its first `formatLength` bytes are those of the document, then comes `formatTail`. The digest that
//! registries answer to is over this payload, and only the payload is read here: what stands outside of it is nobody's
//! word. The signatures are not checked: they are made by keys that anybody can make, and the digest binds the payload.

use alloc::borrow::{Cow, ToOwned};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::config::{Config, History};
use super::json::{self, Node};
use crate::digest::Digest;
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;

/// A schema 1 manifest: layers and, for each, the config of the image as it was after that layer.
///
/// The order here is that of every other manifest: the lowest layer first. (The document has the newest first.)
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schema1 {
    /// The repository that it was pushed to, as it says. Not to be trusted.
    pub name: String,
    /// The tag that it was pushed to, as it says. Not to be trusted.
    pub tag: String,
    /// The architecture, as it says.
    pub architecture: String,
    /// One for each entry, the lowest first, entries without a layer included.
    pub entries: Vec<Entry>,
    /// How many signatures it has.
    pub signatures: usize,
    top: Value,
}

/// One entry: a blob and the step that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The blob: a gzip tar, or (from the first Dockers) a bare one.
    pub blob: Digest,
    /// The legacy id of the image at this layer.
    pub id: String,
    /// The step. Its `empty_layer` says that the blob adds nothing, and is not fetched.
    pub history: History,
}

/// The blobs that hold nothing: an empty tar (1024 zeros), and the gzip of it that Docker writes.
const EMPTY: [&str; 2] = [
    "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4",
    "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
];

const KEYS: &[&str] =
    &["schemaVersion", "mediaType", "name", "tag", "architecture", "fsLayers", "history", "signatures"];
const HISTORY_KEYS: &[&str] = &["id", "parent", "throwaway", "os", "architecture", "config"];

/// Padding may be there or not, as in libtrust.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl Schema1 {
    /// Reads the payload (see [`payload`]).
    pub(super) fn read(node: &Node<'_>, signatures: usize, limits: &Limits) -> Result<Schema1> {
        node.strict_keys(KEYS)?;
        let layers: Vec<Node<'_>> = node.list_at("fsLayers")?.collect();
        let history: Vec<Node<'_>> = node.list_at("history")?.collect();
        if layers.is_empty() {
            return Err(node.error("has no `fsLayers`"));
        }
        if layers.len() as u64 > u64::from(limits.layers) {
            return Err(ErrorKind::LimitExceeded { limit: "layers", value: u64::from(limits.layers) }.into());
        }
        if layers.len() != history.len() {
            return Err(node.error(&format!(
                "has {} `fsLayers` and {} entries of `history`; they belong together one to one",
                layers.len(),
                history.len()
            )));
        }
        let mut steps = Vec::new();
        let mut top = None;
        for (layer, history) in layers.iter().zip(&history) {
            layer.strict_keys(&["blobSum"])?;
            history.strict_keys(&["v1Compatibility"])?;
            let blob = layer.need("blobSum")?.digest()?;
            let text = history.need("v1Compatibility")?;
            let value = json::parse("v1Compatibility", text.text()?.as_bytes(), limits)?;
            steps.push(Step::read(blob, &value)?);
            // The newest alone becomes the config.
            top.get_or_insert(value);
        }
        let steps = chained(node, steps)?;
        Ok(Schema1 {
            name: node.text_at("name")?.unwrap_or_default(),
            tag: node.text_at("tag")?.unwrap_or_default(),
            architecture: node.text_at("architecture")?.unwrap_or_default(),
            entries: steps.into_iter().rev().map(|step| step.entry).collect(),
            signatures,
            top: top.unwrap_or_default(),
        })
    }

    /// The same of docker's v1 layout, where each layer has such a `json`: the newest first, each with its layer's digest.
    ///
    /// # Errors
    /// As for a manifest of these.
    pub(crate) fn of_v1(chain: &[(Digest, Vec<u8>)], limits: &Limits) -> Result<Schema1> {
        let (mut steps, mut top) = (Vec::new(), None);
        for (blob, raw) in chain {
            let value = json::parse("json", raw, limits)?;
            steps.push(Step::read(*blob, &value)?);
            top.get_or_insert(value);
        }
        let root = Value::Null;
        let steps = chained(&Node::root("json", &root), steps)?;
        Ok(Schema1 {
            name: String::new(),
            tag: String::new(),
            architecture: String::new(),
            entries: steps.into_iter().rev().map(|step| step.entry).collect(),
            signatures: 0,
            top: top.unwrap_or_default(),
        })
    }

    /// The blobs to apply, the lowest first; entries that add nothing are left out. Their sizes are not known.
    pub fn layers(&self) -> impl Iterator<Item = &Digest> {
        self.entries.iter().filter(|entry| !entry.history.empty_layer).map(|entry| &entry.blob)
    }

    /// The config as Docker makes it of a pulled schema 1 image: the newest `v1Compatibility` without what belongs to
    /// schema 1, the history of all, and `diff_ids`, which only the layers can tell (none, if they are not known yet).
    ///
    /// # Errors
    /// `invalid_document` if a field of the newest `v1Compatibility` has the wrong type.
    pub fn config(&self, diff_ids: &[Digest], limits: &Limits) -> Result<Config> {
        let mut map = self.top.as_object().cloned().unwrap_or_default();
        for key in ["id", "parent", "Size", "parent_id", "layer_id", "throwaway"] {
            map.remove(key);
        }
        if !self.architecture.is_empty() {
            map.entry("architecture").or_insert_with(|| self.architecture.clone().into());
        }
        // Dockers of schema 1's first days ran on Linux only, and did not say so.
        map.entry("os").or_insert_with(|| "linux".into());
        map.insert("history".to_owned(), Value::Array(self.entries.iter().map(history_json).collect()));
        let diff_ids = diff_ids.iter().map(|digest| Value::String(digest.to_string())).collect();
        let mut rootfs = Map::new();
        rootfs.insert("type".to_owned(), "layers".into());
        rootfs.insert("diff_ids".to_owned(), Value::Array(diff_ids));
        map.insert("rootfs".to_owned(), Value::Object(rootfs));
        let value = Value::Object(map);
        let raw = value.to_string().into_bytes();
        Config::read(&value, raw, limits)
    }
}

fn history_json(entry: &Entry) -> Value {
    let step = &entry.history;
    let mut map = Map::new();
    for (key, text) in [
        ("created", &step.created),
        ("created_by", &step.created_by),
        ("author", &step.author),
        ("comment", &step.comment),
    ] {
        if let Some(text) = text {
            map.insert(key.to_owned(), text.clone().into());
        }
    }
    if step.empty_layer {
        map.insert("empty_layer".to_owned(), true.into());
    }
    Value::Object(map)
}

/// One entry while the chain is checked.
struct Step {
    entry: Entry,
    parent: String,
}

impl Step {
    fn read(blob: Digest, value: &Value) -> Result<Step> {
        let node = Node::root("v1Compatibility", value);
        node.strict_keys(HISTORY_KEYS)?;
        let words = match node.get("container_config") {
            Some(config) => match config.get("Cmd") {
                Some(word) if word.value().is_string() => [word.text()?.to_owned()].into(),
                _ => config.texts_at("Cmd")?,
            },
            None => Vec::new(),
        };
        let text =
            |key: &str| -> Result<Option<String>> { Ok(node.text_at(key)?.filter(|text| !text.is_empty())) };
        let empty = EMPTY.iter().any(|digest| digest.parse() == Ok(blob));
        let history = History {
            created: text("created")?,
            created_by: Some(words.join(" ")).filter(|words| !words.is_empty()),
            author: text("author")?,
            comment: text("comment")?,
            empty_layer: empty || node.bool_at("throwaway")?,
        };
        let entry = Entry { blob, id: text("id")?.unwrap_or_default(), history };
        let parent = text("parent")?.unwrap_or_default();
        Ok(Step { entry, parent })
    }
}

/// Checks that each entry, the newest first, names the next one as its parent, as Docker does. Old Dockers wrote an entry
/// twice in a row: of those the older place is dropped. Entries without any id are taken as they stand.
fn chained(node: &Node<'_>, steps: Vec<Step>) -> Result<Vec<Step>> {
    let mut kept: Vec<Step> = Vec::new();
    let mut seen = BTreeSet::new();
    for step in steps {
        let id = step.entry.id.clone();
        if let Some(newer) = kept.last().filter(|newer| !newer.entry.id.is_empty() && !id.is_empty()) {
            if newer.entry.id == id {
                if newer.entry.blob != step.entry.blob {
                    return Err(node.error(&format!("has the id `{id}` for two different blobs")));
                }
                continue;
            }
            if newer.parent != id {
                return Err(node.error(&format!(
                    "is no chain: `{}` has the parent `{}`, and `{id}` follows",
                    newer.entry.id, newer.parent
                )));
            }
        }
        if !id.is_empty() && !seen.insert(id.clone()) {
            return Err(node.error(&format!("has the id `{id}` in two places")));
        }
        kept.push(step);
    }
    Ok(kept)
}

/// The payload of a schema 1 document, and how many signatures it has: the document itself if it has none. Several
/// signatures must agree on where the payload is, as in libtrust.
pub(super) fn payload<'a>(raw: &'a [u8], node: &Node<'_>, limits: &Limits) -> Result<(Cow<'a, [u8]>, usize)> {
    let mut parts: Option<(&[u8], Vec<u8>)> = None;
    let mut count = 0;
    for signature in node.list_at("signatures")? {
        count += 1;
        let protected = decode(&signature.need("protected")?)?;
        let header = json::parse("signature", &protected, limits)?;
        let header = Node::root("signature", &header);
        header.strict_keys(&["formatLength", "formatTail"])?;
        let length = header.need("formatLength")?;
        let start = usize::try_from(length.whole()?)
            .ok()
            .and_then(|length| raw.get(..length))
            .ok_or_else(|| length.error("is longer than the document"))?;
        let tail = decode(&header.need("formatTail")?)?;
        match &parts {
            // The beginnings differ if their lengths do: comparing the bytes would cost the document's size each time.
            Some((first, first_tail)) if first.len() != start.len() || *first_tail != tail => {
                return Err(node.error("has signatures over different payloads"));
            }
            Some(_) => {}
            None => parts = Some((start, tail)),
        }
    }
    let payload = match parts {
        None => Cow::Borrowed(raw),
        Some((start, tail)) => Cow::Owned([start, &tail].concat()),
    };
    Ok((payload, count))
}

fn decode(node: &Node<'_>) -> Result<Vec<u8>> {
    // libtrust leaves out line breaks and spaces.
    let text: String = node.text()?.chars().filter(|c| !matches!(c, '\n' | '\r' | ' ')).collect();
    BASE64URL.decode(text).map_err(|_| node.error("must be base64url"))
}
