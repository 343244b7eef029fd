//! Manifests and indexes with other media types, other layers or other entries.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::edit::Family;
use crate::image::{Document, View};
use crate::json_text::{Object, joined, list, text};
use crate::media_type::{Compression, MediaType};

/// The two families of media types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Those of image-spec `media-types.md`.
    Oci,
    /// Docker's schema 2.
    Docker,
}

/// What stands in the place of something that a document names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: MediaType,
}

/// What [`rewrite`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewritten {
    /// The new document.
    pub bytes: Vec<u8>,
    /// Its media type.
    pub media_type: MediaType,
    /// What the other format has no place for, and was left out: `annotations`, `subject`, …
    pub lost: Vec<&'static str>,
}

/// What Docker's schema 2 knows nothing of, in documents.
const FOREIGN: [&str; 3] = ["annotations", "subject", "artifactType"];
/// What it knows nothing of, in descriptors.
const FOREIGN_IN_DESCRIPTORS: [&str; 3] = ["annotations", "data", "artifactType"];
/// Of a descriptor: about the bytes of its blob, so that other bytes have others (eStargz, zstd:chunked).
const ABOUT_BYTES: [&str; 3] =
    ["containerd.io/snapshot/stargz/", "io.github.containers.zstd-chunked.", "io.containers.estargz."];
/// BuildKit's note of the manifest that an attestation is about.
const ATTESTATION_SUBJECT: &str = "vnd.docker.reference.digest";

/// A document with `swaps` in the places of what it names (layers, entries), and in `format` if one is given; `None` if it
/// stays as it is. Configs are the same in both formats, byte for byte, and `diff_ids` do not depend on compression: no
/// config changes.
///
/// Artifacts have no other format: they stay as they are, but for swaps.
///
/// # Errors
/// `unsupported_media_type` for a layer whose type the format does not have (Docker's has no zstd), and for schema 1.
pub fn rewrite(
    document: &Document,
    format: Option<Format>,
    swaps: &BTreeMap<Digest, Swap>,
) -> Result<Option<Rewritten>> {
    let mut object = Object::parse(&document.raw)?;
    let mut lost = Vec::new();
    let (format, lists) = match &document.view {
        View::Manifest(manifest) => {
            let is_image = manifest.check_image().is_ok();
            (format.filter(|_| is_image), &["config", "layers"][..])
        }
        // An index of artifacts is one itself.
        View::Index(index) => (format.filter(|_| index.artifact_type.is_none()), &["manifests"][..]),
        View::Schema1(_) => {
            let reason = "manifests of schema 1 have no other form".to_string();
            let media_type = document.media_type.to_string();
            return Err(ErrorKind::UnsupportedMediaType { media_type, reason }.into());
        }
    };
    let mut changed = false;
    for key in lists {
        let Some(raw) = object.value(key) else { continue };
        let is_list = *key != "config";
        let mut parts = if is_list { list(raw)? } else { [raw.to_string()].into() };
        for part in &mut parts {
            if let Some(new) = descriptor(part, format, swaps, &mut lost)? {
                *part = new;
                changed = true;
            }
        }
        if changed {
            let value = if is_list { joined(&parts) } else { parts.concat() };
            object.set(key, value);
        }
    }
    let media_type = match format {
        Some(format) => converted(&document.media_type, format)?,
        None => document.media_type.clone(),
    };
    if media_type != document.media_type {
        changed = true;
        object.set_early("mediaType", text(&media_type)?);
    }
    if format == Some(Format::Docker) {
        for key in FOREIGN {
            if object.remove(key) {
                note(&mut lost, key);
                changed = true;
            }
        }
        // Docker's own documents always say what they are.
        if object.value("mediaType").is_none() {
            object.set_early("mediaType", text(&media_type)?);
            changed = true;
        }
    }
    if !changed {
        return Ok(None);
    }
    Ok(Some(Rewritten { bytes: object.write()?.into_bytes(), media_type, lost }))
}

fn note(lost: &mut Vec<&'static str>, key: &'static str) {
    if !lost.contains(&key) {
        lost.push(key);
    }
}

/// One descriptor, anew if it changes.
fn descriptor(
    raw: &str,
    format: Option<Format>,
    swaps: &BTreeMap<Digest, Swap>,
    lost: &mut Vec<&'static str>,
) -> Result<Option<String>> {
    let mut object = Object::parse(raw.as_bytes())?;
    let string =
        |object: &Object, key: &str| -> Option<String> { serde_json::from_str(object.value(key)?).ok() };
    let mut changed = false;
    let digest = string(&object, "digest").and_then(|digest| digest.parse::<Digest>().ok());
    let mut media_type = MediaType::parse(&string(&object, "mediaType").unwrap_or_default());
    if let Some(swap) = digest.and_then(|digest| swaps.get(&digest)) {
        changed = true;
        object.set("digest", text(&swap.digest)?);
        object.set("size", text(&swap.size)?);
        // What is embedded, and where it may be fetched from, is the old one.
        object.remove("data");
        object.remove("urls");
        if swap.media_type != media_type {
            media_type = swap.media_type.clone();
            object.set_early("mediaType", text(&media_type)?);
        }
        changed |=
            annotations(&mut object, |key| !ABOUT_BYTES.iter().any(|about| key.starts_with(about)), swaps)?;
    } else {
        changed |= annotations(&mut object, |_| true, swaps)?;
    }
    if let Some(format) = format {
        // Of a document the type is what it says itself: it changes with the document.
        let is_document = media_type.is_manifest() || media_type.is_index();
        let new = if is_document { media_type.clone() } else { converted(&media_type, format)? };
        if new != media_type {
            changed = true;
            object.set_early("mediaType", text(&new)?);
        }
        if format == Format::Docker {
            for key in FOREIGN_IN_DESCRIPTORS {
                if object.remove(key) {
                    note(lost, key);
                    changed = true;
                }
            }
        }
    }
    if changed { object.write().map(Some) } else { Ok(None) }
}

/// Drops annotations, and has those that name another manifest name what stands in its place. Answers whether something
/// changed.
fn annotations(
    descriptor: &mut Object,
    keep: impl Fn(&str) -> bool,
    swaps: &BTreeMap<Digest, Swap>,
) -> Result<bool> {
    let Some(raw) = descriptor.value("annotations").filter(|raw| *raw != "null") else { return Ok(false) };
    let mut all = Object::parse(raw.as_bytes())?;
    let before = all.write()?;
    all.retain(keep);
    let subject = all.value(ATTESTATION_SUBJECT).and_then(|raw| serde_json::from_str::<String>(raw).ok());
    let subject = subject.and_then(|subject| subject.parse::<Digest>().ok());
    if let Some(swap) = subject.and_then(|subject| swaps.get(&subject)) {
        all.set(ATTESTATION_SUBJECT, text(&swap.digest)?);
    }
    let after = all.write()?;
    if after == before {
        return Ok(false);
    }
    if all.is_empty() {
        descriptor.remove("annotations");
    } else {
        descriptor.set("annotations", after);
    }
    Ok(true)
}

/// The type of a layer that is packed anew; `None` if it is packed so already, or must not be changed.
pub fn packed_type(now: &MediaType, wanted: Compression) -> Option<MediaType> {
    match now {
        MediaType::OciLayer(compression) if *compression != wanted => Some(MediaType::OciLayer(wanted)),
        MediaType::DockerLayer(compression) if *compression != wanted => Some(Family::Docker.layer(wanted)),
        _ => None,
    }
}

/// The type of the same thing in a format. What neither has stays what it is.
fn converted(media_type: &MediaType, format: Format) -> Result<MediaType> {
    use MediaType::{
        DockerConfig, DockerForeignLayer, DockerLayer, DockerManifest, DockerManifestList, OciConfig,
        OciIndex, OciLayer, OciManifest, OciNondistributableLayer,
    };
    Ok(match (format, media_type) {
        (Format::Oci, DockerManifest) => OciManifest,
        (Format::Oci, DockerManifestList) => OciIndex,
        (Format::Oci, DockerConfig) => OciConfig,
        (Format::Oci, DockerLayer(compression)) => OciLayer(*compression),
        (Format::Oci, DockerForeignLayer(compression)) => OciNondistributableLayer(*compression),
        (Format::Docker, OciManifest) => DockerManifest,
        (Format::Docker, OciIndex) => DockerManifestList,
        (Format::Docker, OciConfig) => DockerConfig,
        (Format::Docker, OciLayer(Compression::Zstd) | OciNondistributableLayer(Compression::Zstd)) => {
            return Err(no_zstd(media_type));
        }
        (Format::Docker, OciLayer(compression)) => DockerLayer(*compression),
        (Format::Docker, OciNondistributableLayer(compression)) => DockerForeignLayer(*compression),
        (_, other) => other.clone(),
    })
}

fn no_zstd(media_type: &MediaType) -> Error {
    let reason = format!(
        "docker's format has no layers of zstd: `--compress {}` along with it makes others",
        Compression::Gzip
    );
    ErrorKind::UnsupportedMediaType { media_type: media_type.to_string(), reason }.into()
}
