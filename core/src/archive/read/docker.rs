//! What `docker save` and its likes write: `manifest.json`, which lists configs and layers by member.
//!
//! Docker since 25, and containerd's store, write an OCI layout beside it: then the manifests there are taken, so that their
//! digests survive, and `manifest.json` gives names. Where there is none, one of schema 2 is made: a bare layer's digest is its
//! `diff_id`, a compressed one's is computed.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::facts::Facts;
use super::{Collection, Image, digest_of, layout};
use crate::archive::catalog::in_entry;
use crate::archive::listing::blob_name;
use crate::codec::Format;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::json::{self, Node};
use crate::image::{Config, Descriptor, Document, Manifest, REF_NAME};
use crate::limits::Limits;
use crate::map::{Map, Set};
use crate::media_type::{Compression, MediaType};

/// Larger blobs are not looked at for whether they are the manifest that an index forgot.
const MANIFEST_BYTES: u64 = 256 << 10;

const KEYS: &[&str] = &["Config", "RepoTags", "Layers", "Parent", "LayerSources"];

/// An entry of `manifest.json`.
struct Listed {
    config: String,
    names: Vec<String>,
    layers: Vec<String>,
    /// Layers that are elsewhere, by `diff_id`.
    sources: Map<Digest, Descriptor>,
}

fn listed(raw: &[u8], limits: &Limits) -> Result<Vec<Listed>> {
    let value = json::parse("manifest.json", raw, limits)?;
    let mut all = Vec::new();
    for node in Node::root("manifest.json", &value).list()? {
        if all.len() as u64 >= u64::from(limits.descriptors) {
            let value = u64::from(limits.descriptors);
            return Err(ErrorKind::LimitExceeded { limit: "descriptors", value }.into());
        }
        node.strict_keys(KEYS)?;
        let layers = node.texts_at("Layers")?;
        if layers.len() as u64 > u64::from(limits.layers) {
            return Err(ErrorKind::LimitExceeded { limit: "layers", value: u64::from(limits.layers) }.into());
        }
        let mut sources = Map::new();
        if let Some(given) = node.get("LayerSources") {
            for (diff_id, source) in given.map()? {
                let source = Descriptor::parse(source.to_string().as_bytes(), limits)?;
                sources.insert(diff_id.parse()?, source);
            }
        }
        let config = node.need("Config")?.text()?.to_string();
        all.push(Listed { config, names: node.texts_at("RepoTags")?, layers, sources });
    }
    Ok(all)
}

/// The images of an archive of docker's.
pub(super) fn read(facts: &mut Facts) -> Result<Option<Collection>> {
    let Some(raw) = facts.document("manifest.json")? else { return Ok(None) };
    let listed = listed(&raw, &facts.limits).map_err(|error| in_entry(error, b"manifest.json"))?;
    let mut collection = Collection::default();
    if facts.catalog.has("index.json") && facts.catalog.has("oci-layout") {
        match layout::read(facts)? {
            Some(beside) => collection = merged(beside),
            None => return Ok(None),
        }
    }
    let Some(known) = manifests(facts, &collection, &listed)? else { return Ok(None) };
    let Some(tags) = repositories(facts)? else { return Ok(None) };
    let mut is_whole = true;
    for entry in listed {
        let names = match (&entry.names[..], folder(&entry)) {
            ([], Some(id)) => tags.get(id).cloned().unwrap_or_default(),
            _ => entry.names.clone(),
        };
        let top = match digest_of(&entry.config).and_then(|config| known.get(&config)) {
            Some(top) => Some(top.clone()),
            None => made(facts, &entry, &mut collection)?,
        };
        let Some(top) = top else {
            is_whole = false;
            continue;
        };
        let images = &mut collection.images;
        match images.iter_mut().find(|image| image.top.digest == top.digest) {
            Some(image) => {
                // The names that docker shows, instead of the index's, which are the same in full and the tag alone.
                if image.top.annotations.remove(REF_NAME).is_some() && !names.is_empty() {
                    image.names.clear();
                }
                add_names(image, names);
            }
            None => images.push(Image::named(top, names)),
        }
    }
    Ok(is_whole.then_some(collection))
}

/// The images of an index that lists one for each of its names.
fn merged(collection: Collection) -> Collection {
    let mut images: Vec<Image> = Vec::new();
    for image in collection.images {
        match images.iter_mut().find(|known| known.top.digest == image.top.digest) {
            Some(known) => add_names(known, image.names),
            None => images.push(image),
        }
    }
    Collection { images, ..collection }
}

fn add_names(image: &mut Image, names: Vec<String>) {
    let mut seen: Set<String> = image.names.iter().cloned().collect();
    image.names.extend(names.into_iter().filter(|name| seen.insert(name.clone())));
}

/// The folder of the topmost layer: in old archives its v1 id, which `repositories` names.
fn folder(entry: &Listed) -> Option<&str> {
    entry.layers.last()?.strip_suffix("/layer.tar")
}

/// The names by v1 id, from `repositories`.
pub(super) fn repositories(facts: &mut Facts) -> Result<Option<Map<String, Vec<String>>>> {
    let mut tags: Map<String, Vec<String>> = Map::new();
    if !facts.catalog.has("repositories") {
        return Ok(Some(tags));
    }
    let Some(raw) = facts.document("repositories")? else { return Ok(None) };
    let place = |error: Error| in_entry(error, b"repositories");
    let value = json::parse("repositories", &raw, &facts.limits).map_err(place)?;
    let root = Node::root("repositories", &value);
    if value.is_null() {
        return Ok(Some(tags));
    }
    for name in root.map().map_err(place)?.keys() {
        for (tag, id) in root.text_map_at(name).map_err(place)? {
            tags.entry(id).or_default().push(format!("{name}:{tag}"));
        }
    }
    Ok(Some(tags))
}

/// The images that the layout beside lists, by the digests of all configs below them; and where it lists none, manifests that
/// are there nevertheless: docker lists no image without a name.
fn manifests(
    facts: &mut Facts,
    collection: &Collection,
    listed: &[Listed],
) -> Result<Option<Map<Digest, Descriptor>>> {
    let mut known = Map::new();
    let mut is_whole = true;
    // Each document with the top that it is below of; further down than any index should be nothing is looked for.
    let mut level: Vec<(Descriptor, Descriptor)> =
        collection.images.iter().map(|image| (image.top.clone(), image.top.clone())).collect();
    let mut seen = Set::new();
    for _ in 0..=facts.limits.index_depth {
        let mut below = Vec::new();
        for (document, top) in level {
            let name = blob_name(&document.digest);
            // An index lists platforms that were not saved.
            if !facts.catalog.has(&name) || !seen.insert(document.digest) {
                continue;
            }
            let Some(raw) = facts.document(&name)? else {
                is_whole = false;
                continue;
            };
            let Ok(document) = Document::parse(&raw, None, &facts.limits) else { continue };
            if let Some(manifest) = document.manifest() {
                known.entry(manifest.config.digest).or_insert(top);
            } else if let Some(index) = document.index() {
                below.extend(index.manifests.iter().map(|child| (child.clone(), top.clone())));
            }
        }
        level = below;
    }
    if !collection.images.is_empty() || collection.blobs.is_empty() {
        return Ok(is_whole.then_some(known));
    }
    let taken: Set<&String> =
        listed.iter().flat_map(|entry| entry.layers.iter().chain([&entry.config])).collect();
    for (digest, span) in &collection.blobs {
        let name = blob_name(digest);
        if taken.contains(&name) || span.len > MANIFEST_BYTES.min(facts.limits.document_bytes) {
            continue;
        }
        let Some(raw) = facts.document(&name)? else {
            is_whole = false;
            continue;
        };
        let Ok(document) = Document::parse(&raw, None, &facts.limits) else { continue };
        let Some(manifest) = document.manifest() else { continue };
        let fits = |entry: &&Listed| {
            digest_of(&entry.config) == Some(manifest.config.digest)
                && entry
                    .layers
                    .iter()
                    .map(|layer| digest_of(layer))
                    .eq(manifest.layers.iter().map(|layer| Some(layer.digest)))
        };
        if document.verify(digest).is_ok() && listed.iter().any(|entry| fits(&entry)) {
            let top = Descriptor::new(document.media_type.clone(), *digest, span.len);
            known.entry(manifest.config.digest).or_insert(top);
        }
    }
    Ok(is_whole.then_some(known))
}

/// An image without a manifest, which gets one.
fn made(facts: &mut Facts, entry: &Listed, collection: &mut Collection) -> Result<Option<Descriptor>> {
    let Some(raw) = facts.document(&entry.config)? else { return Ok(None) };
    let place = |error: Error| in_entry(error, entry.config.as_bytes());
    let digest = Digest::sha256(&raw);
    if let Some(expected) = claimed(&entry.config).filter(|expected| *expected != digest) {
        return Err(place(ErrorKind::DigestMismatch { expected, actual: digest }.into()));
    }
    let config = Config::parse(&raw, &facts.limits).map_err(place)?;
    if config.diff_ids.len() != entry.layers.len() {
        let (diff_ids, layers) = (config.diff_ids.len() as u64, entry.layers.len() as u64);
        return Err(place(ErrorKind::LayerCountMismatch { diff_ids, layers }.into()));
    }
    let mut layers = Vec::new();
    for (name, diff_id) in entry.layers.iter().zip(&config.diff_ids) {
        layers.push(match entry.sources.get(diff_id) {
            Some(source) if !facts.catalog.has(name) => Some(source.clone()),
            _ => layer(facts, name, *diff_id, collection)?,
        });
    }
    let Some(layers) = layers.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
    collection.blobs.insert(digest, facts.span(&entry.config)?);
    let config = Descriptor::new(MediaType::DockerConfig, digest, raw.len() as u64);
    manifest(config, layers, collection).map(Some)
}

/// The digest that a config's name promises: `HEX.json`, `sha256:HEX`, `blobs/sha256/HEX`.
fn claimed(name: &str) -> Option<Digest> {
    digest_of(name).or_else(|| name.parse().ok()).or_else(|| {
        let hex = name.strip_suffix(".json").filter(|hex| hex.len() == 64)?;
        format!("sha256:{hex}").parse().ok()
    })
}

/// A layer, by what its first bytes say. What its name says of a digest is only believed where the name is nothing else.
pub(super) fn layer(
    facts: &mut Facts,
    name: &str,
    diff_id: Digest,
    collection: &mut Collection,
) -> Result<Option<Descriptor>> {
    let Some(format) = facts.format(name)? else { return Ok(None) };
    let span = facts.span(name)?;
    let (compression, digest) = match (format, digest_of(name)) {
        (Format::Identity, _) => (Compression::Plain, Some(diff_id)),
        (Format::Gzip, Some(digest)) => (Compression::Gzip, Some(digest)),
        (Format::Zstd, Some(digest)) => (Compression::Zstd, Some(digest)),
        (Format::Gzip, None) => (Compression::Gzip, facts.digest(name, false)?),
        (Format::Zstd, None) => (Compression::Zstd, facts.digest(name, false)?),
    };
    let Some(digest) = digest else { return Ok(None) };
    let size = span.len;
    collection.blobs.insert(digest, span);
    Ok(Some(Descriptor::new(MediaType::DockerLayer(compression), digest, size)))
}

/// Makes the manifest of an image that has none.
pub(super) fn manifest(
    config: Descriptor,
    layers: Vec<Descriptor>,
    collection: &mut Collection,
) -> Result<Descriptor> {
    let manifest = Manifest {
        media_type: MediaType::DockerManifest,
        artifact_type: None,
        config,
        layers,
        subject: None,
        annotations: BTreeMap::new(),
    };
    let raw = serde_json::to_vec(&manifest)
        .map_err(|error| ErrorKind::Internal { reason: format!("a manifest cannot be written: {error}") })?;
    let digest = Digest::sha256(&raw);
    let top = Descriptor::new(MediaType::DockerManifest, digest, raw.len() as u64);
    collection.made.insert(digest, raw);
    Ok(top)
}
