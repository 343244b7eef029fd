//! Reading whatever holds images: an OCI layout, what `docker save` and its likes write, docker's v1 layout, `dir:`.
//!
//! [`Reading`] is told which members there are, and asks for the bytes of some and the digests of others; what comes out is a
//! [`Collection`]. Nothing in it is to be trusted before its digest held: who reads a blob checks it.

mod directory;
mod docker;
mod facts;
mod layout;
mod names;
#[cfg(test)]
mod tests;
mod v1;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::catalog::{Catalog, Span};
use crate::digest::Digest;
use crate::error::{ErrorKind, Result};
use crate::image::{Descriptor, REF_NAME};
use crate::limits::Limits;

use self::facts::Facts;
pub use self::names::{Image, find};

/// How images are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// An OCI layout, in a directory or an archive.
    Layout,
    /// What `docker save` writes, in each of its shapes, v1 among them.
    Docker,
    /// skopeo's `dir:`.
    Directory,
}

/// What a reading needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// These bytes, for [`Reading::supply`].
    Bytes(Span),
    /// The sha256 of these bytes, for [`Reading::hashed`]; or of what they are when they are decoded, whose compression is
    /// known by magic.
    Digest {
        /// The bytes.
        span: Span,
        /// Whether they are to be decoded first.
        decoded: bool,
    },
    /// Nothing: this is what is there.
    Done(Collection),
}

/// The images of an archive or a directory, and where their blobs are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collection {
    /// The images, in the order in which they are listed.
    pub images: Vec<Image>,
    /// Documents that were made since the format has none: manifests, and configs of v1.
    pub made: BTreeMap<Digest, Vec<u8>>,
    /// Where the bytes of each digest are, as their names or the lists say.
    pub blobs: BTreeMap<Digest, Span>,
    /// Signatures of a `dir:`, as they are.
    pub signatures: Vec<Span>,
}

impl Collection {
    /// The images by name, as entries of an OCI index: an image of several names several times, and one without a name once.
    pub fn entries(&self) -> Vec<Descriptor> {
        let mut entries = Vec::new();
        for image in &self.images {
            if image.names.is_empty() || image.top.ref_name().is_some() {
                entries.push(image.top.clone());
                continue;
            }
            for name in &image.names {
                let mut top = image.top.clone();
                top.annotations.insert(REF_NAME.to_owned(), name.clone());
                entries.push(top);
            }
        }
        entries
    }

    /// The image that a name means, as [`find`] has it.
    ///
    /// # Errors
    /// `not_found` with the names there are.
    pub fn find(&self, name: Option<&str>) -> Result<&Image> {
        let position = find(&self.images, name)?;
        self.images
            .get(position)
            .ok_or_else(|| ErrorKind::Internal { reason: format!("there is no image {position}") }.into())
    }
}

/// Finds out what images there are.
///
/// Drive it so: answer what [`Reading::poll_need`] needs, until it is done.
#[derive(Clone, Debug)]
pub struct Reading {
    facts: Facts,
    kind: Option<Kind>,
}

impl Reading {
    /// Of these members. Without a kind it is whatever is there.
    pub fn new(catalog: Catalog, kind: Option<Kind>, limits: &Limits) -> Reading {
        Reading { facts: Facts::new(catalog, limits), kind }
    }

    /// What is needed next.
    ///
    /// # Errors
    /// `not_found` for members that lack, or if this holds no images; `invalid_document`, `invalid_tar`, `digest_mismatch`,
    /// `layer_count_mismatch`, `limit_exceeded`, `unsupported_compression`.
    pub fn poll_need(&mut self) -> Result<Need> {
        if let Some(need) = self.facts.next() {
            return Ok(need.clone());
        }
        // Each round goes as far as what is known takes it.
        match self.collect()? {
            Some(collection) => Ok(Need::Done(collection)),
            None => self.facts.next().cloned().ok_or_else(|| {
                let reason = "a reading that needs nothing and is not done".to_owned();
                ErrorKind::Internal { reason }.into()
            }),
        }
    }

    /// Takes the bytes that were needed.
    ///
    /// # Errors
    /// `invalid_tar` if they are fewer or more; `internal` if none were needed.
    pub fn supply(&mut self, bytes: &[u8]) -> Result<()> {
        self.facts.supply(bytes)
    }

    /// Takes the digest that was needed.
    ///
    /// # Errors
    /// `internal` if none was needed.
    pub fn hashed(&mut self, digest: Digest) -> Result<()> {
        self.facts.hashed(digest)
    }

    fn collect(&mut self) -> Result<Option<Collection>> {
        let facts = &mut self.facts;
        let has = |name: &str| facts.catalog.has(name);
        let (index, manifest) = (has("index.json"), has("manifest.json"));
        let is_v1 = has("repositories") || facts.catalog.names().any(|name| name.ends_with("/layer.tar"));
        match self.kind {
            Some(Kind::Layout) if index => layout::read(facts),
            Some(Kind::Docker) if manifest => docker::read(facts),
            Some(Kind::Docker) if is_v1 => v1::read(facts),
            Some(Kind::Directory) if manifest => directory::read(facts),
            None if manifest => match facts.document("manifest.json")? {
                None => Ok(None),
                Some(raw) if raw.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') => {
                    docker::read(facts)
                }
                Some(_) => directory::read(facts),
            },
            None if index => layout::read(facts),
            None if is_v1 => v1::read(facts),
            kind => {
                let what = match kind {
                    Some(Kind::Layout) => "an OCI layout: there is no file `index.json`",
                    Some(Kind::Docker) => "an image of docker's: there is no file `manifest.json`",
                    Some(Kind::Directory) => "an image of a `dir:`: there is no file `manifest.json`",
                    None => "an image: there is no `index.json`, `manifest.json` or `repositories`",
                };
                let detail = match (index, manifest) {
                    (true, _) => Some("it is an OCI layout (`oci:`, `oci-archive:`)".to_owned()),
                    (_, true) => Some("it is docker's (`docker-archive:`) or a `dir:`".to_owned()),
                    _ => None,
                };
                Err(ErrorKind::NotFound { what: what.to_owned(), detail }.into())
            }
        }
    }
}

/// The digest that `blobs/sha256/HEX` names.
fn digest_of(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// Every blob that is named by its digest.
fn named_blobs(catalog: &Catalog) -> Result<BTreeMap<Digest, Span>> {
    let mut blobs = BTreeMap::new();
    for name in catalog.below("blobs/") {
        if let (Some(digest), Some(span)) = (digest_of(name), catalog.find(name)?) {
            blobs.insert(digest, span);
        }
    }
    Ok(blobs)
}
