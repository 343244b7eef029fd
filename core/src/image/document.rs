//! What a registry serves under `/manifests/`, told apart and kept byte for byte.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;

use super::index::Index;
use super::json::{self, Node};
use super::manifest::Manifest;
use super::schema1::{self, Schema1};
use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::media_type::MediaType;

/// A manifest or index: the bytes as they came, and the view of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// The bytes as they came.
    pub raw: Vec<u8>,
    /// What it is. Never [`MediaType::Other`].
    pub media_type: MediaType,
    /// What it says.
    pub view: View,
    /// Of a signed schema 1 manifest: what the signatures protect, and the digest is over.
    payload: Option<Vec<u8>>,
}

/// What a [`Document`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "a pull holds a handful of them")]
pub enum View {
    /// An OCI manifest or a Docker manifest of schema 2.
    Manifest(Manifest),
    /// An OCI index or a Docker manifest list.
    Index(Index),
    /// A Docker manifest of schema 1.
    Schema1(Schema1),
}

impl Document {
    /// Reads a document, given the `Content-Type` it was served with (or the media type of its descriptor), if any.
    ///
    /// What it is follows from three witnesses: `content_type` unless it is generic ([`MediaType::is_generic`]), the
    /// `mediaType` inside, and the shape (`config` and `layers`; `manifests`; `fsLayers`). Where two of them speak they
    /// must agree, and a shape of two kinds is refused (image-spec GHSA-77vh-xpmg-72qh). If only the shape speaks, the
    /// type is OCI's, unless the config or the entries are Docker's.
    ///
    /// # Errors
    /// `limit_exceeded`, `invalid_document`, `unsupported_media_type`, `invalid_digest`, `unsupported_digest`, and for an
    /// embedded `data` that is not what its descriptor says `digest_mismatch` and `size_mismatch`.
    pub fn parse(raw: &[u8], content_type: Option<&str>, limits: &Limits) -> Result<Document> {
        let value = json::parse("manifest", raw, limits)?;
        let node = Node::root("manifest", &value);
        let served = match content_type.map(MediaType::parse) {
            Some(kind) if !kind.is_generic() => Some(known("served as", kind)?),
            _ => None,
        };
        let inside = match node.text_at("mediaType")?.map(|text| MediaType::parse(&text)) {
            Some(kind) if !kind.as_str().is_empty() => Some(known("its `mediaType`", kind)?),
            _ => None,
        };
        let shape = Shape::of(&node)?;
        if let (Some(served), Some(inside)) = (&served, &inside) {
            // Whether schema 1 is signed shows in the document; registries are careless about its two types.
            if served != inside && !(served.is_schema1() && inside.is_schema1()) {
                return Err(node.error(&format!("was served as `{served}` and says that it is `{inside}`")));
            }
        }
        let said = inside.or(served);
        if let Some(kind) = said.as_ref().filter(|kind| Shape::wanted(kind) != shape) {
            return Err(node.error(&format!("should be `{kind}` and has the form of {}", shape.name())));
        }
        let keep = |media_type, view| Document { raw: raw.to_vec(), media_type, view, payload: None };
        match shape {
            Shape::Manifest => {
                let media_type = said.unwrap_or_else(|| guess(&node, false));
                Ok(keep(media_type.clone(), View::Manifest(Manifest::read(&node, media_type, limits)?)))
            }
            Shape::Index => {
                let media_type = said.unwrap_or_else(|| guess(&node, true));
                Ok(keep(media_type.clone(), View::Index(Index::read(&node, media_type, limits)?)))
            }
            Shape::Schema1 => {
                let (payload, signatures) = schema1::payload(raw, &node, limits)?;
                let (view, media_type, payload) = match payload {
                    Cow::Borrowed(_) => (Schema1::read(&node, 0, limits)?, MediaType::DockerSchema1, None),
                    Cow::Owned(payload) => {
                        let value = json::parse("manifest", &payload, limits)?;
                        let node = Node::root("manifest", &value);
                        if Shape::of(&node)? != Shape::Schema1 {
                            return Err(node.error("has a signed payload of another form"));
                        }
                        let view = Schema1::read(&node, signatures, limits)?;
                        (view, MediaType::DockerSchema1Signed, Some(payload))
                    }
                };
                Ok(Document { payload, ..keep(media_type, View::Schema1(view)) })
            }
        }
    }

    /// The bytes that the digest is over: the raw ones, but of a signed schema 1 manifest its payload.
    pub fn digested(&self) -> &[u8] {
        self.payload.as_deref().unwrap_or(&self.raw)
    }

    /// Its digest.
    pub fn digest(&self, algorithm: Algorithm) -> Digest {
        Digest::of(algorithm, self.digested())
    }

    /// Checks it against a digest.
    ///
    /// # Errors
    /// `digest_mismatch`
    pub fn verify(&self, expected: &Digest) -> Result<()> {
        let actual = self.digest(expected.algorithm());
        if actual == *expected {
            Ok(())
        } else {
            Err(Error::from(ErrorKind::DigestMismatch { expected: *expected, actual }).in_blob(*expected))
        }
    }

    /// As the manifest of one image, for those who have no use for others.
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.view {
            View::Manifest(manifest) => Some(manifest),
            _ => None,
        }
    }

    /// As an index.
    pub fn index(&self) -> Option<&Index> {
        match &self.view {
            View::Index(index) => Some(index),
            _ => None,
        }
    }
}

/// Which fields a document has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Manifest,
    Index,
    Schema1,
}

impl Shape {
    fn of(node: &Node<'_>) -> Result<Shape> {
        // A field of another kind counts even if it is null: its reader would take it for an empty list.
        node.strict_keys(&[
            "schemaVersion",
            "mediaType",
            "config",
            "layers",
            "manifests",
            "fsLayers",
            "signatures",
        ])?;
        let shape =
            match (node.has("config") || node.has("layers"), node.has("manifests"), node.has("fsLayers")) {
                (true, false, false) => Shape::Manifest,
                (false, true, false) => Shape::Index,
                (false, false, true) => Shape::Schema1,
                (false, false, false) => {
                    return Err(node.error(
                        "is neither a manifest nor an index: it has no `config`, `layers` or `manifests`",
                    ));
                }
                _ => {
                    return Err(
                        node.error("is ambiguous: it has the fields of more than one kind of manifest")
                    );
                }
            };
        let version = node.get("schemaVersion").map(|node| node.whole()).transpose()?;
        match (version, shape) {
            (None, _) | (Some(1), Shape::Schema1) | (Some(2), Shape::Manifest | Shape::Index) => Ok(shape),
            (Some(version), shape) => {
                Err(node.error(&format!("has `schemaVersion` {version} and the form of {}", shape.name())))
            }
        }
    }

    fn wanted(kind: &MediaType) -> Shape {
        match kind {
            kind if kind.is_index() => Shape::Index,
            kind if kind.is_schema1() => Shape::Schema1,
            _ => Shape::Manifest,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Shape::Manifest => "a manifest",
            Shape::Index => "an index",
            Shape::Schema1 => "a schema 1 manifest",
        }
    }
}

/// A type that is a document of ours, or the refusal of it.
fn known(witness: &str, kind: MediaType) -> Result<MediaType> {
    if kind.is_manifest() || kind.is_index() {
        return Ok(kind);
    }
    let reason = format!("{witness} no manifest or index");
    Err(ErrorKind::UnsupportedMediaType { media_type: json::brief(kind.as_str()), reason }.into())
}

/// OCI's type or Docker's, where only the form of the document speaks.
fn guess(node: &Node<'_>, index: bool) -> MediaType {
    let kind = |node: Option<Node<'_>>| {
        node.and_then(|node| node.text_at("mediaType").ok().flatten()).map(|text| MediaType::parse(&text))
    };
    let docker = if index {
        let first = node.list_at("manifests").ok().and_then(|mut list| list.next());
        kind(first) == Some(MediaType::DockerManifest)
    } else {
        kind(node.get("config")) == Some(MediaType::DockerConfig)
    };
    match (index, docker) {
        (true, true) => MediaType::DockerManifestList,
        (true, false) => MediaType::OciIndex,
        (false, true) => MediaType::DockerManifest,
        (false, false) => MediaType::OciManifest,
    }
}

/// Makes sure that bytes are the document of this digest. Of a signed schema 1 manifest the digest is over what the signatures
/// protect.
///
/// # Errors
/// `digest_mismatch`
pub fn check_document(raw: &[u8], digest: &Digest, limits: &Limits) -> Result<()> {
    let actual = Digest::of(digest.algorithm(), raw);
    if actual == *digest
        || Document::parse(raw, None, limits).is_ok_and(|document| document.verify(digest).is_ok())
    {
        return Ok(());
    }
    Err(Error::from(ErrorKind::DigestMismatch { expected: *digest, actual }).in_blob(*digest))
}
