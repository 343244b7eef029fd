//! Descriptors (image-spec `descriptor.md`).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;

use super::json::{self, Node};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::media_type::MediaType;
use crate::platform::Platform;

/// What points at content: its type, digest and size, and what else is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptor {
    /// The type of the content.
    pub media_type: MediaType,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
    /// Other places to fetch it from: how non-distributable layers are fetched.
    pub urls: Vec<String>,
    /// Annotations by key.
    pub annotations: BTreeMap<String, String>,
    /// The content itself, embedded. Size and digest of it have been checked.
    pub data: Option<Vec<u8>>,
    /// In an index: what the manifest is for, as the index spells it.
    pub platform: Option<Platform>,
    /// What kind of artifact a manifest describes.
    pub artifact_type: Option<String>,
}

const KEYS: &[&str] =
    &["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"];
const PLATFORM_KEYS: &[&str] = &["architecture", "os", "os.version", "os.features", "variant"];

/// BuildKit's mark on the entry of an attestation, which is no image.
const ATTESTATION: &str = "vnd.docker.reference.type";
/// The manifest that an attestation is about.
const ATTESTATION_SUBJECT: &str = "vnd.docker.reference.digest";
/// The annotation that names an entry of an OCI layout's index (image-spec `annotations.md`).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation by which containerd and BuildKit note an entry's full reference, beside which [`REF_NAME`] is often the tag
/// alone.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";

impl Descriptor {
    /// Of these three, which every descriptor has.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            platform: None,
            artifact_type: None,
        }
    }

    /// Reads one descriptor as JSON.
    ///
    /// # Errors
    /// As [`Document::parse`](super::Document::parse).
    pub fn parse(raw: &[u8], limits: &Limits) -> Result<Descriptor> {
        Descriptor::read(&Node::root("descriptor", &json::parse("descriptor", raw, limits)?), limits)
    }

    /// Whether this entry of an index is an attestation about another entry: no image to run.
    pub fn is_attestation(&self) -> bool {
        self.annotations.contains_key(ATTESTATION) || self.platform.as_ref().is_some_and(Platform::is_unknown)
    }

    /// The manifest that this attestation is about, if it says so.
    pub fn attestation_subject(&self) -> Option<&str> {
        self.annotations.get(ATTESTATION_SUBJECT).map(String::as_str)
    }

    /// The name that an OCI layout's index gives this entry (`org.opencontainers.image.ref.name`).
    pub fn ref_name(&self) -> Option<&str> {
        self.annotations.get(REF_NAME).map(String::as_str)
    }

    /// The full name that containerd and BuildKit give this entry of an index ([`CONTAINERD_NAME`]).
    pub fn containerd_name(&self) -> Option<&str> {
        self.annotations.get(CONTAINERD_NAME).map(String::as_str)
    }

    /// Takes away what an index calls it.
    pub fn forget_names(&mut self) {
        self.annotations.remove(REF_NAME);
        self.annotations.remove(CONTAINERD_NAME);
    }

    pub(super) fn read(node: &Node<'_>, limits: &Limits) -> Result<Descriptor> {
        node.strict_keys(KEYS)?;
        let digest = node.need("digest")?.digest()?;
        let size = node.need("size")?.whole()?;
        let data = match node.get("data") {
            None => None,
            Some(data) => Some(embedded(&data, digest, size, limits)?),
        };
        Ok(Descriptor {
            // Old images leave it out of their configs and layers; Go reads that as empty.
            media_type: MediaType::parse(&node.text_at("mediaType")?.unwrap_or_default()),
            digest,
            size,
            urls: node.texts_at("urls")?,
            annotations: node.text_map_at("annotations")?,
            data,
            platform: node
                .get("platform")
                .map(|node| read_platform(&node))
                .transpose()?
                // An empty one says nothing, as none does.
                .filter(|platform| !(platform.os.is_empty() && platform.architecture.is_empty())),
            artifact_type: node.text_at("artifactType")?.filter(|text| !text.is_empty()),
        })
    }

    /// The member of this name as a list of descriptors.
    pub(super) fn read_list(node: &Node<'_>, key: &str, limits: &Limits) -> Result<Vec<Descriptor>> {
        let mut list = Vec::new();
        for item in node.list_at(key)? {
            if list.len() as u64 >= u64::from(limits.descriptors) {
                let value = u64::from(limits.descriptors);
                return Err(ErrorKind::LimitExceeded { limit: "descriptors", value }.into());
            }
            list.push(Descriptor::read(&item, limits)?);
        }
        Ok(list)
    }
}

/// The decoded `data` field, which must be the content.
fn embedded(node: &Node<'_>, digest: Digest, size: u64, limits: &Limits) -> Result<Vec<u8>> {
    let text = node.text()?;
    // Four characters give three bytes, less the padding: this refuses before anything is decoded.
    if (text.len() as u64 / 4).saturating_mul(3) > limits.embedded_data_bytes.saturating_add(2) {
        let value = limits.embedded_data_bytes;
        return Err(ErrorKind::LimitExceeded { limit: "embedded_data_bytes", value }.into());
    }
    let data =
        base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| node.error("must be base64"))?;
    let actual = data.len() as u64;
    if actual > limits.embedded_data_bytes {
        let value = limits.embedded_data_bytes;
        return Err(ErrorKind::LimitExceeded { limit: "embedded_data_bytes", value }.into());
    }
    if actual != size {
        return Err(Error::from(ErrorKind::SizeMismatch { expected: size, actual }).in_blob(digest));
    }
    let actual = Digest::of(digest.algorithm(), &data);
    if actual != digest {
        return Err(Error::from(ErrorKind::DigestMismatch { expected: digest, actual }).in_blob(digest));
    }
    Ok(data)
}

/// A `platform` object, and the fields of the same names in a config.
pub(super) fn read_platform(node: &Node<'_>) -> Result<Platform> {
    node.strict_keys(PLATFORM_KEYS)?;
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(Platform {
        os: node.text_at("os")?.unwrap_or_default(),
        architecture: node.text_at("architecture")?.unwrap_or_default(),
        variant: some(node.text_at("variant")?),
        os_version: some(node.text_at("os.version")?),
        os_features: node.texts_at("os.features")?,
    })
}

impl serde::Serialize for Descriptor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("mediaType", &self.media_type)?;
        map.serialize_entry("digest", &self.digest)?;
        map.serialize_entry("size", &self.size)?;
        if !self.urls.is_empty() {
            map.serialize_entry("urls", &self.urls)?;
        }
        if !self.annotations.is_empty() {
            map.serialize_entry("annotations", &self.annotations)?;
        }
        if let Some(data) = &self.data {
            map.serialize_entry("data", &base64::engine::general_purpose::STANDARD.encode(data))?;
        }
        if let Some(platform) = &self.platform {
            map.serialize_entry("platform", platform)?;
        }
        if let Some(artifact_type) = &self.artifact_type {
            map.serialize_entry("artifactType", artifact_type)?;
        }
        map.end()
    }
}
