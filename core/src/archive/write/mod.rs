//! Images to files: an ordered list of [`Part`]s for each way in which they are kept.
//!
//! A host collects what is to be written in [`Contents`] and asks for the parts. The same contents give the same parts, in
//! the same order: documents come before blobs, so that who reads an archive from a pipe knows what is coming.

mod docker;
mod frozen;

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Config, Descriptor, Document, Index, Manifest, REF_NAME};
use crate::limits::Limits;
use crate::media_type::MediaType;
use crate::reference::Reference;

use super::listing::{MARKER, blob_name};

/// How layers stand in a docker-archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layers {
    /// Decoded, named by their `diff_id`: what `docker save` wrote for ten years, and every reader takes.
    #[default]
    Bare,
    /// As they are, in a layout with its index beside `manifest.json`: digests survive.
    AsTheyAre,
}

/// One file of an archive or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Bytes {
        /// The name, relative, with `/`.
        name: String,
        /// What is in it.
        bytes: Vec<u8>,
    },
    /// A blob as it is.
    Blob {
        /// The name, relative, with `/`.
        name: String,
        /// It.
        descriptor: Descriptor,
    },
    /// A layer without its compression.
    Bare {
        /// The name, relative, with `/`.
        name: String,
        /// The blob.
        layer: Descriptor,
        /// The digest of what comes out of it.
        diff_id: Digest,
    },
}

impl Part {
    /// The name, relative, with `/`.
    pub fn name(&self) -> &str {
        match self {
            Part::Bytes { name, .. } | Part::Blob { name, .. } | Part::Bare { name, .. } => name,
        }
    }
}

/// What is to be written: documents, blobs, and the documents that are listed.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    known: BTreeMap<Digest, Option<Vec<u8>>>,
    order: Vec<Descriptor>,
    tops: Vec<Top>,
}

/// A document that is listed.
#[derive(Clone, Debug)]
struct Top {
    descriptor: Descriptor,
    names: Vec<String>,
}

/// One image, as docker's formats have it.
struct Image {
    config: Descriptor,
    layers: Vec<Descriptor>,
    /// Those that the config has, as many as there are layers.
    diff_ids: Vec<Digest>,
    /// Its names, each with a tag.
    names: Vec<Reference>,
}

impl Contents {
    /// Whether this content is there.
    pub fn has(&self, digest: &Digest) -> bool {
        self.known.contains_key(digest)
    }

    /// Adds a manifest, index or config; the second time it is there already.
    pub fn document(&mut self, descriptor: &Descriptor, bytes: &[u8]) {
        if self.known.insert(descriptor.digest, Some(bytes.to_vec())).is_none() {
            self.order.push(bare(descriptor));
        }
    }

    /// Adds a blob; the second time it is there already.
    pub fn blob(&mut self, descriptor: &Descriptor) {
        if let alloc::collections::btree_map::Entry::Vacant(entry) = self.known.entry(descriptor.digest) {
            entry.insert(None);
            self.order.push(bare(descriptor));
        }
    }

    /// Lists a document under a name, or without one. A name is taken from whatever had it before.
    pub fn name(&mut self, top: &Descriptor, name: Option<&str>) {
        for known in &mut self.tops {
            known.names.retain(|known| Some(known.as_str()) != name);
        }
        let known = self.tops.iter().position(|known| known.descriptor.digest == top.digest);
        let at = known.unwrap_or_else(|| {
            let mut descriptor = top.clone();
            descriptor.forget_names();
            self.tops.push(Top { descriptor, names: Vec::new() });
            self.tops.len() - 1
        });
        if let (Some(top), Some(name)) = (self.tops.get_mut(at), name) {
            top.names.push(name.to_owned());
        }
    }

    /// An OCI layout in an archive (image-spec `image-layout.md`): names are `org.opencontainers.image.ref.name` as they are.
    ///
    /// # Errors
    /// `invalid_option` if nothing is listed.
    pub fn oci_archive(&self) -> Result<Vec<Part>> {
        self.check_some()?;
        let mut listed = Vec::new();
        for top in &self.tops {
            for name in &top.names {
                let mut entry = top.descriptor.clone();
                entry.annotations.insert(REF_NAME.to_owned(), name.clone());
                listed.push(entry);
            }
            if top.names.is_empty() {
                listed.push(top.descriptor.clone());
            }
        }
        let mut parts = layout(listed)?;
        parts.extend(self.blobs());
        Ok(parts)
    }

    /// What `docker load` takes: one file, several images, layers that they share once.
    ///
    /// # Errors
    /// `invalid_option` if nothing is listed, or under a name that is no reference; `unsupported_media_type` for what docker
    /// cannot load: an index (only [`Layers::AsTheyAre`] can hold one beside an image of it), schema 1; `not_an_image`;
    /// `layer_count_mismatch`; `not_found` for a document that is missing.
    pub fn docker_archive(&self, layers: Layers) -> Result<Vec<Part>> {
        self.check_some()?;
        match layers {
            Layers::Bare => docker::bare(self),
            Layers::AsTheyAre => docker::as_they_are(self),
        }
    }

    /// The directory that moby's `download-frozen-image-v2.sh` makes, for `tar -c . | docker load`, also into a docker
    /// before 1.10. Layers are as they are, but for those of zstd, which no old docker knows.
    ///
    /// # Errors
    /// As [`Contents::docker_archive`]; `invalid_option` for an image without layers.
    pub fn frozen_image(&self) -> Result<Vec<Part>> {
        self.check_some()?;
        frozen::parts(self)
    }

    /// skopeo's `dir:`: one image, without a name.
    ///
    /// # Errors
    /// `invalid_option` if nothing or more than one is listed; `not_found` if the document is missing.
    pub fn directory(&self) -> Result<Vec<Part>> {
        self.check_some()?;
        let [top] = self.tops.as_slice() else {
            let reason = "a `dir:` holds one image: write each to a directory of its own".to_owned();
            return Err(ErrorKind::InvalidOption { reason }.into());
        };
        let top = top.descriptor.digest;
        let version = b"Directory Transport Version: 1.1\n".to_vec();
        let mut parts =
            Vec::from([bytes("version", version), bytes("manifest.json", self.read(&top)?.to_vec())]);
        for descriptor in &self.order {
            let hex = descriptor.digest.hex();
            match self.known.get(&descriptor.digest) {
                _ if descriptor.digest == top => {}
                Some(Some(document)) if is_manifest(descriptor) => {
                    parts.push(bytes(&format!("{hex}.manifest.json"), document.clone()));
                }
                Some(Some(document)) => parts.push(bytes(&hex, document.clone())),
                _ => parts.push(Part::Blob { name: hex, descriptor: descriptor.clone() }),
            }
        }
        Ok(parts)
    }

    /// All that there is as it stands in a layout: documents first.
    fn blobs(&self) -> impl Iterator<Item = Part> {
        let documents = self.order.iter().filter_map(|descriptor| {
            let document = self.known.get(&descriptor.digest)?.clone()?;
            Some(Part::Bytes { name: blob_name(&descriptor.digest), bytes: document })
        });
        let blobs = self
            .order
            .iter()
            .filter(|descriptor| self.known.get(&descriptor.digest).is_some_and(Option::is_none));
        documents.chain(blobs.map(|descriptor| Part::Blob {
            name: blob_name(&descriptor.digest),
            descriptor: descriptor.clone(),
        }))
    }

    fn check_some(&self) -> Result<()> {
        if self.tops.is_empty() {
            let reason = "there is no image to write".to_owned();
            return Err(ErrorKind::InvalidOption { reason }.into());
        }
        Ok(())
    }

    fn read(&self, digest: &Digest) -> Result<&[u8]> {
        match self.known.get(digest) {
            Some(Some(document)) => Ok(document),
            _ => {
                let what = "a document of the image".to_owned();
                Err(Error::from(ErrorKind::NotFound { what, detail: None }).in_blob(*digest))
            }
        }
    }

    /// The manifest that a top stands for: of an index, the first that is an image and whose config is here.
    fn manifest(&self, top: &Descriptor, depth: u32) -> Result<Manifest> {
        let limits = Limits::default();
        let place = |error: Error| error.in_blob(top.digest);
        let media_type = (!top.media_type.is_generic()).then(|| top.media_type.as_str());
        let document = Document::parse(self.read(&top.digest)?, media_type, &limits).map_err(place)?;
        if let Some(manifest) = document.manifest() {
            manifest.check_image().map_err(place)?;
            return Ok(manifest.clone());
        }
        let refused = |reason: &str| {
            let media_type = document.media_type.to_string();
            place(ErrorKind::UnsupportedMediaType { media_type, reason: reason.to_owned() }.into())
        };
        let Some(index) = document.index() else {
            return Err(refused(
                "it has no config, which docker's archives need: copy it to a registry first",
            ));
        };
        if depth >= limits.index_depth {
            return Err(place(
                ErrorKind::LimitExceeded { limit: "index_depth", value: limits.index_depth.into() }.into(),
            ));
        }
        let here = |entry: &&Descriptor| matches!(self.known.get(&entry.digest), Some(Some(_)));
        let mut images = index.candidates().map(|(_, entry)| entry).filter(here);
        images
            .find_map(|entry| self.manifest(entry, depth + 1).ok())
            .ok_or_else(|| refused("no image of this index is there"))
    }

    /// All images that are listed. `index` says whether an image of an index may stand for it.
    fn images(&self, index: bool) -> Result<Vec<Image>> {
        self.tops.iter().map(|top| self.image(top, index)).collect()
    }

    fn image(&self, top: &Top, index: bool) -> Result<Image> {
        let digest = top.descriptor.digest;
        if top.descriptor.media_type.is_index() && !index {
            let media_type = top.descriptor.media_type.to_string();
            let reason =
                "this archive holds single images: choose one of the index by its platform".to_owned();
            return Err(Error::from(ErrorKind::UnsupportedMediaType { media_type, reason }).in_blob(digest));
        }
        let manifest = self.manifest(&top.descriptor, 0)?;
        let config = self.read(&manifest.config.digest)?;
        let config = Config::parse(config, &Limits::default())
            .map_err(|error| error.in_blob(manifest.config.digest))?;
        if config.diff_ids.len() != manifest.layers.len() {
            let (diff_ids, layers) = (config.diff_ids.len() as u64, manifest.layers.len() as u64);
            return Err(Error::from(ErrorKind::LayerCountMismatch { diff_ids, layers }).in_blob(digest));
        }
        let names = top.names.iter().map(|name| reference(name)).collect::<Result<Vec<_>>>()?;
        Ok(Image {
            config: manifest.config,
            layers: manifest.layers,
            diff_ids: config.diff_ids,
            names: names.into_iter().flatten().collect(),
        })
    }
}

/// `oci-layout` and `index.json`.
fn layout(listed: Vec<Descriptor>) -> Result<Vec<Part>> {
    let index = json(&Index::new(MediaType::OciIndex, listed))?;
    Ok(Vec::from([bytes("oci-layout", MARKER.as_bytes().to_vec()), bytes("index.json", index)]))
}

/// A name with its tag; `None` for one that has a digest alone, since docker keeps no such names.
fn reference(name: &str) -> Result<Option<Reference>> {
    let reference: Reference = name.parse().map_err(|error: Error| {
        let reason = format!("docker's archives take full names (`name:tag`): {error}");
        ErrorKind::InvalidOption { reason }
    })?;
    let reference = reference.or_latest();
    match reference.tag() {
        Some(tag) => reference.with_tag(tag).map(Some),
        None => Ok(None),
    }
}

/// One entry of `manifest.json`.
fn entry(config: &str, image: &Image, layers: &[String]) -> serde_json::Value {
    let mut seen = BTreeSet::new();
    let names = image.names.iter().map(Reference::familiar).filter(|name| seen.insert(name.clone()));
    let names: Vec<String> = names.collect();
    serde_json::json!({
        "Config": config,
        // As docker writes it where there are none.
        "RepoTags": if names.is_empty() { serde_json::Value::Null } else { names.into() },
        "Layers": layers,
    })
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let reason = "a document cannot be written".to_owned();
    serde_json::to_vec(value).map_err(|_| ErrorKind::Internal { reason }.into())
}

fn bytes(name: &str, bytes: Vec<u8>) -> Part {
    Part::Bytes { name: name.to_owned(), bytes }
}

fn is_manifest(descriptor: &Descriptor) -> bool {
    descriptor.media_type.is_manifest() || descriptor.media_type.is_index()
}

/// What it is, and nothing of where it was named.
fn bare(descriptor: &Descriptor) -> Descriptor {
    Descriptor::new(descriptor.media_type.clone(), descriptor.digest, descriptor.size)
}

#[cfg(test)]
mod tests;
