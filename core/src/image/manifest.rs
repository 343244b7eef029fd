//! Manifests of one image or artifact: OCI's and Docker's schema 2 (image-spec `manifest.md`).

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::descriptor::Descriptor;
use super::json::{Node, brief};
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;
use crate::media_type::MediaType;

/// A manifest: a config and layers, the lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// [`MediaType::OciManifest`] or [`MediaType::DockerManifest`].
    pub media_type: MediaType,
    /// What kind of artifact this is; images have none.
    pub artifact_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to.
    pub subject: Option<Descriptor>,
    /// Annotations by key.
    pub annotations: BTreeMap<String, String>,
}

const KEYS: &[&str] =
    &["schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"];

impl Manifest {
    pub(super) fn read(node: &Node<'_>, media_type: MediaType, limits: &Limits) -> Result<Manifest> {
        node.strict_keys(KEYS)?;
        let layers = Descriptor::read_list(node, "layers", limits)?;
        if layers.len() as u64 > u64::from(limits.layers) {
            return Err(ErrorKind::LimitExceeded { limit: "layers", value: u64::from(limits.layers) }.into());
        }
        Ok(Manifest {
            media_type,
            artifact_type: node.text_at("artifactType")?.filter(|text| !text.is_empty()),
            config: Descriptor::read(&node.need("config")?, limits)?,
            layers,
            subject: node.get("subject").map(|node| Descriptor::read(&node, limits)).transpose()?,
            annotations: node.text_map_at("annotations")?,
        })
    }

    /// What kind of artifact this is, as image-spec has it: `artifactType`, else the type of the config if that is no
    /// image's. `None` for images, also for those whose config old registries and clients gave a type that says nothing
    /// (`application/octet-stream`, `text/html`, none).
    pub fn artifact_type(&self) -> Option<&str> {
        let config = &self.config.media_type;
        match &self.artifact_type {
            Some(kind) => Some(kind),
            None if config.is_config() || config.is_generic() || config.as_str() == "text/html" => None,
            None => Some(config.as_str()),
        }
    }

    /// Whether this can be run or exported: an image config, and nothing but layers.
    ///
    /// # Errors
    /// `not_an_image`, which says what it is instead; `unsupported_media_type` for an image with a layer of a type
    /// that nobody here knows (an encrypted one, for example).
    pub fn check_image(&self) -> Result<()> {
        if let Some(kind) = self.artifact_type() {
            return Err(ErrorKind::NotAnImage {
                reason: format!("it is an artifact of type `{}`", brief(kind)),
            }
            .into());
        }
        for layer in &self.layers {
            if layer.media_type.is_layer() {
                continue;
            }
            let media_type = brief(layer.media_type.as_str());
            let reason = match media_type.as_str() {
                text if text.ends_with("+encrypted") => "the layer is encrypted",
                "" => "a layer without a type",
                _ => "no known type of layer",
            };
            let kind = ErrorKind::UnsupportedMediaType { media_type, reason: reason.to_owned() };
            return Err(crate::Error::from(kind).in_blob(layer.digest));
        }
        Ok(())
    }

    /// The sum of the layers' sizes, as they are fetched, in bytes.
    pub fn layer_bytes(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))
    }
}

impl serde::Serialize for Manifest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schemaVersion", &2)?;
        map.serialize_entry("mediaType", &self.media_type)?;
        if let Some(artifact_type) = &self.artifact_type {
            map.serialize_entry("artifactType", artifact_type)?;
        }
        map.serialize_entry("config", &self.config)?;
        map.serialize_entry("layers", &self.layers)?;
        if let Some(subject) = &self.subject {
            map.serialize_entry("subject", subject)?;
        }
        if !self.annotations.is_empty() {
            map.serialize_entry("annotations", &self.annotations)?;
        }
        map.end()
    }
}
