//! Images made out of images: configs and manifests changed where it is asked for, and all else kept (image-spec
//! `config.md`, `manifest.md`, `annotations.md`).
//!
//! Whatever is not asked to change stays, fields that nobody here knows among it; documents that nothing changed in keep
//! their bytes, and so their digests. Changed ones are written with sorted keys: the same changes to the same image give the
//! same digests, in every host, on every day. There is no clock: who wants a date in the image says it.

mod change;
#[cfg(test)]
mod tests;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

pub use change::{Changes, Unset, port};

use super::config::Config;
use super::descriptor::Descriptor;
use super::document::{Document, View};
use super::index::Index;
use super::json;
use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::media_type::{Compression, MediaType};
use crate::platform::Platform;

/// The date of what has none.
pub const EPOCH: &str = "1970-01-01T00:00:00Z";

/// The annotations that say what an image was built upon (image-spec `annotations.md`).
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
/// See [`BASE_DIGEST`].
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// Whose media types the documents of an image have: it is one or the other throughout, since readers of one kind of
/// manifest need not know the other's layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// OCI's.
    #[default]
    Oci,
    /// Docker's, schema 2.
    Docker,
}

impl Family {
    /// That of a manifest or index; schema 1 is Docker's.
    pub fn of(media_type: &MediaType) -> Family {
        match media_type {
            MediaType::DockerManifest | MediaType::DockerManifestList => Family::Docker,
            kind if kind.is_schema1() => Family::Docker,
            _ => Family::Oci,
        }
    }

    /// Its manifest.
    pub fn manifest(self) -> MediaType {
        match self {
            Family::Oci => MediaType::OciManifest,
            Family::Docker => MediaType::DockerManifest,
        }
    }

    /// Its index.
    pub fn index(self) -> MediaType {
        match self {
            Family::Oci => MediaType::OciIndex,
            Family::Docker => MediaType::DockerManifestList,
        }
    }

    /// Its config.
    pub fn config(self) -> MediaType {
        match self {
            Family::Oci => MediaType::OciConfig,
            Family::Docker => MediaType::DockerConfig,
        }
    }

    /// Its layer.
    pub fn layer(self, compression: Compression) -> MediaType {
        match self {
            Family::Oci => MediaType::OciLayer(compression),
            // Docker's format has no zstd: OCI's type is what its engines read.
            Family::Docker if compression == Compression::Zstd => MediaType::OciLayer(compression),
            Family::Docker => MediaType::DockerLayer(compression),
        }
    }

    /// The same layer's type here; what is no layer stays as it is.
    pub fn translate(self, layer: &MediaType) -> MediaType {
        match (self, layer) {
            (Family::Oci, MediaType::DockerLayer(compression)) => MediaType::OciLayer(*compression),
            (Family::Oci, MediaType::DockerForeignLayer(compression)) => {
                MediaType::OciNondistributableLayer(*compression)
            }
            (Family::Docker, MediaType::OciLayer(compression)) => self.layer(*compression),
            (Family::Docker, MediaType::OciNondistributableLayer(compression))
                if *compression != Compression::Zstd =>
            {
                MediaType::DockerForeignLayer(*compression)
            }
            (_, kind) => kind.clone(),
        }
    }
}

/// A layer that is to be part of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLayer {
    /// Its blob; the media type is that of the image's family.
    pub descriptor: Descriptor,
    /// The digest of its tar.
    pub diff_id: Digest,
    /// What made it: `created_by` of its line in the history.
    pub created_by: String,
}

/// One image that is being changed.
#[derive(Clone, Debug)]
pub struct Edit {
    family: Family,
    /// Without `config` and `layers`.
    manifest: Map<String, Value>,
    /// The config's descriptor, as far as it stays true when the config changes.
    config_descriptor: Map<String, Value>,
    layers: Vec<Value>,
    config: Map<String, Value>,
    diff_ids: Vec<Digest>,
    history: Vec<Value>,
    /// The date of what is new in it.
    created: Option<String>,
    /// The documents as they came, while they hold.
    raw_manifest: Option<Vec<u8>>,
    raw_config: Option<Vec<u8>>,
}

/// What came of an [`Edit`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Made {
    /// The manifest, with the platform that its config names, as an index lists it.
    pub manifest: Descriptor,
    /// Its bytes.
    pub manifest_bytes: Vec<u8>,
    /// The config.
    pub config: Descriptor,
    /// Its bytes.
    pub config_bytes: Vec<u8>,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

impl Edit {
    /// An image of nothing for a platform.
    pub fn new(family: Family, platform: &Platform) -> Edit {
        let mut edit = Edit {
            family,
            manifest: Map::new(),
            config_descriptor: Map::new(),
            layers: Vec::new(),
            config: Map::new(),
            diff_ids: Vec::new(),
            history: Vec::new(),
            created: None,
            raw_manifest: None,
            raw_config: None,
        };
        edit.manifest.insert("schemaVersion".to_owned(), json!(2));
        edit.config.insert("created".to_owned(), json!(EPOCH));
        edit.set_platform(platform);
        edit
    }

    /// An image that there is: its manifest and the bytes of its config, both verified.
    ///
    /// # Errors
    /// `unsupported_media_type` for schema 1, whose layers have no `diff_ids` (see [`Edit::of_config`]), `not_an_image`,
    /// `layer_count_mismatch`, and what reading the config comes to.
    pub fn of(document: &Document, config: &[u8], limits: &Limits) -> Result<Edit> {
        let manifest = match &document.view {
            View::Manifest(manifest) => manifest,
            View::Schema1(_) => {
                let media_type = document.media_type.to_string();
                let reason =
                    "an image of schema 1 can be flattened, not changed: its layers have no diff_ids";
                return Err(ErrorKind::UnsupportedMediaType { media_type, reason: reason.to_owned() }.into());
            }
            View::Index(_) => {
                let reason = "an index is no image: its entries are".to_owned();
                return Err(ErrorKind::NotAnImage { reason }.into());
            }
        };
        manifest.check_image()?;
        let mut edit = Edit::of_config(Family::of(&document.media_type), config, limits)?;
        if edit.diff_ids.len() != manifest.layers.len() {
            return Err(ErrorKind::LayerCountMismatch {
                diff_ids: edit.diff_ids.len() as u64,
                layers: manifest.layers.len() as u64,
            }
            .into());
        }
        let Value::Object(mut map) = json::parse("manifest", &document.raw, limits)? else {
            return Err(internal("a manifest that is no object"));
        };
        map.remove("layers");
        if let Some(Value::Object(mut descriptor)) = map.remove("config") {
            descriptor.remove("data");
            descriptor.remove("urls");
            edit.config_descriptor = descriptor;
        }
        let raw: Value = json::parse("manifest", &document.raw, limits)?;
        edit.layers = raw.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
        edit.manifest = map;
        edit.raw_manifest = Some(document.raw.clone());
        edit.raw_config = Some(config.to_vec());
        Ok(edit)
    }

    /// An image without layers that is run as this config says. What the config says of layers is left out.
    ///
    /// # Errors
    /// What reading the config comes to.
    pub fn of_config(family: Family, config: &[u8], limits: &Limits) -> Result<Edit> {
        let view = Config::parse(config, limits)?;
        let Value::Object(mut map) = json::parse("config", config, limits)? else {
            return Err(internal("a config that is no object"));
        };
        map.remove("rootfs");
        let history = match map.remove("history") {
            Some(Value::Array(history)) => history,
            _ => Vec::new(),
        };
        let platform = view.platform.clone().unwrap_or_else(|| Platform::new("", ""));
        Ok(Edit { config: map, diff_ids: view.diff_ids, history, ..Edit::new(family, &platform) })
    }

    /// The date that new lines of the history have: RFC 3339. The image is of that date then. Without it they have the
    /// image's own, so that nothing hangs on when it is done.
    pub fn set_created(&mut self, created: &str) {
        if self.config.get("created").and_then(Value::as_str) != Some(created) {
            self.config.insert("created".to_owned(), json!(created));
            self.touch_config();
        }
        self.created = Some(created.to_owned());
    }

    /// Whose media types it has.
    pub fn family(&self) -> Family {
        self.family
    }

    /// What it runs on, as its config says.
    pub fn platform(&self) -> Platform {
        let text = |key: &str| {
            self.config
                .get(key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(ToOwned::to_owned)
        };
        let mut platform = Platform::new("", "");
        platform.os = text("os").unwrap_or_default();
        platform.architecture = text("architecture").unwrap_or_default();
        platform.variant = text("variant");
        platform.os_version = text("os.version");
        let features = self.config.get("os.features").and_then(Value::as_array);
        platform.os_features =
            features.into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect();
        platform
    }

    /// The date of the image; [`EPOCH`] if it says none.
    pub fn created(&self) -> &str {
        let own = self.config.get("created").and_then(Value::as_str).filter(|text| !text.is_empty());
        self.created.as_deref().or(own).unwrap_or(EPOCH)
    }

    /// The layers so far, the lowest first.
    pub fn layers(&self) -> Result<Vec<Descriptor>> {
        let limits = Limits::default();
        self.layers.iter().map(|layer| Descriptor::parse(layer.to_string().as_bytes(), &limits)).collect()
    }

    /// Puts a layer on top.
    pub fn push(&mut self, layer: &NewLayer) -> Result<()> {
        self.fill_history();
        let mut descriptor = layer.descriptor.clone();
        descriptor.media_type = self.family.translate(&descriptor.media_type);
        self.layers.push(value(&descriptor)?);
        self.diff_ids.push(layer.diff_id);
        self.tell(&layer.created_by, false);
        self.touch_config();
        Ok(())
    }

    /// Puts all layers of another image on top, with their history.
    pub fn push_all(&mut self, other: &Edit) -> Result<()> {
        self.fill_history();
        let mut other = other.clone();
        other.fill_history();
        for layer in &other.layers {
            let mut layer = layer.clone();
            let kind = layer.get("mediaType").and_then(Value::as_str).map(MediaType::parse);
            if let (Some(kind), Some(map)) = (kind, layer.as_object_mut()) {
                map.insert("mediaType".to_owned(), json!(self.family.translate(&kind).as_str()));
            }
            self.layers.push(layer);
        }
        self.diff_ids.extend(other.diff_ids);
        self.history.extend(other.history);
        self.touch_config();
        Ok(())
    }

    /// Has one layer in place of all, and one line in place of the history. What says what the image was built upon goes:
    /// it shares no layer with that any more.
    pub fn flatten(&mut self, layer: &NewLayer) -> Result<()> {
        self.layers.clear();
        self.diff_ids.clear();
        self.history.clear();
        self.annotate(&[], &[BASE_DIGEST, BASE_NAME]);
        self.push(layer)
    }

    /// Says what the image is built upon: the digest of its manifest, and its name if a registry has it.
    pub fn set_base(&mut self, digest: &Digest, name: Option<&str>) {
        let digest = digest.to_string();
        let mut set = Vec::from([(BASE_DIGEST, digest.as_str())]);
        set.extend(name.map(|name| (BASE_NAME, name)));
        // The name that another base left would be wrong.
        self.annotate(&set, &[BASE_NAME]);
    }

    /// Takes annotations away, then sets some.
    fn annotate(&mut self, set: &[(&str, &str)], unset: &[&str]) {
        let before = self.annotations();
        let mut after = before.clone();
        unset.iter().for_each(|key| drop(after.remove(*key)));
        after.extend(set.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())));
        self.set_annotations(&before, &after);
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let map = self.manifest.get("annotations").and_then(Value::as_object);
        map.into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect()
    }

    fn set_annotations(&mut self, before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
        if before == after {
            return;
        }
        self.raw_manifest = None;
        if after.is_empty() {
            self.manifest.remove("annotations");
        } else {
            self.manifest.insert("annotations".to_owned(), json!(after));
        }
    }

    /// Writes a line of history.
    fn tell(&mut self, created_by: &str, empty_layer: bool) {
        let mut line = Map::new();
        line.insert("created".to_owned(), json!(self.created()));
        line.insert("created_by".to_owned(), json!(created_by));
        if empty_layer {
            line.insert("empty_layer".to_owned(), json!(true));
        }
        self.history.push(Value::Object(line));
    }

    /// A history that says nothing of some layers would be taken for one of others: there is a line for each from here on.
    fn fill_history(&mut self) {
        let is_empty = |line: &&Value| line.get("empty_layer").and_then(Value::as_bool) == Some(true);
        let known = self.history.len() - self.history.iter().filter(is_empty).count();
        for _ in known..self.diff_ids.len() {
            self.history.push(json!({ "comment": "nothing is recorded of this layer" }));
        }
    }

    fn touch_config(&mut self) {
        self.raw_config = None;
        self.raw_manifest = None;
    }

    fn set_platform(&mut self, platform: &Platform) {
        let mut set = |key: &str, text: Option<&str>| match text {
            Some(text) => drop(self.config.insert(key.to_owned(), json!(text))),
            None => drop(self.config.remove(key)),
        };
        set("os", Some(&platform.os));
        set("architecture", Some(&platform.architecture));
        set("variant", platform.variant.as_deref());
        set("os.version", platform.os_version.as_deref());
        match platform.os_features.is_empty() {
            true => drop(self.config.remove("os.features")),
            false => drop(self.config.insert("os.features".to_owned(), json!(platform.os_features))),
        }
    }

    /// The documents.
    ///
    /// # Errors
    /// None for what this module made.
    pub fn finish(&self) -> Result<Made> {
        let config_bytes = match &self.raw_config {
            Some(raw) => raw.clone(),
            None => {
                let mut config = self.config.clone();
                let diff_ids: Vec<_> = self.diff_ids.iter().map(ToString::to_string).collect();
                config.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
                if !self.history.is_empty() {
                    config.insert("history".to_owned(), Value::Array(self.history.clone()));
                }
                bytes(Value::Object(config))
            }
        };
        let config = descriptor(self.family.config(), &config_bytes);
        let manifest_bytes = match &self.raw_manifest {
            Some(raw) => raw.clone(),
            None => {
                let mut manifest = self.manifest.clone();
                manifest.insert("mediaType".to_owned(), json!(self.family.manifest().as_str()));
                let mut map = self.config_descriptor.clone();
                map.insert("mediaType".to_owned(), json!(config.media_type.as_str()));
                map.insert("digest".to_owned(), json!(config.digest.to_string()));
                map.insert("size".to_owned(), json!(config.size));
                manifest.insert("config".to_owned(), Value::Object(map));
                manifest.insert("layers".to_owned(), Value::Array(self.layers.clone()));
                bytes(Value::Object(manifest))
            }
        };
        let mut manifest = descriptor(self.family.manifest(), &manifest_bytes);
        manifest.platform = Some(self.platform()).filter(|p| !(p.os.is_empty() && p.architecture.is_empty()));
        Ok(Made { manifest, manifest_bytes, config, config_bytes, layers: self.layers()? })
    }
}

/// An index that lists these manifests in place of those of another one, whose other fields stay.
///
/// # Errors
/// None for an index that was read.
pub fn index_of(
    document: &Document,
    manifests: &[Descriptor],
    limits: &Limits,
) -> Result<(Descriptor, Vec<u8>)> {
    let Value::Object(mut map) = json::parse("index", &document.raw, limits)? else {
        return Err(internal("an index that is no object"));
    };
    let media_type = Family::of(&document.media_type).index();
    map.insert("mediaType".to_owned(), json!(media_type.as_str()));
    map.insert("manifests".to_owned(), value(&Index::new(media_type.clone(), manifests.to_vec()).manifests)?);
    let bytes = bytes(Value::Object(map));
    Ok((descriptor(media_type, &bytes), bytes))
}

fn descriptor(media_type: MediaType, bytes: &[u8]) -> Descriptor {
    Descriptor::new(media_type, Digest::of(Algorithm::Sha256, bytes), bytes.len() as u64)
}

fn value(of: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(of).map_err(|_| internal("a descriptor cannot be written"))
}

/// The bytes of a document. Whether maps of values keep their order is a matter of how the program was built: keys are
/// sorted here, so that it does not matter.
fn bytes(value: Value) -> Vec<u8> {
    sorted(value).to_string().into_bytes()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<String, Value> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(map.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        value => value,
    }
}

fn internal(reason: &str) -> Error {
    ErrorKind::Internal { reason: reason.to_owned() }.into()
}
