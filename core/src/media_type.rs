//! Media types of the OCI image-spec (`media-types.md`) and of Docker's distribution (`manifest-v2-1`, `manifest-v2-2`).

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use core::fmt;

use Compression::{Gzip, Plain, Zstd};

/// How the bytes of a layer are compressed, as its media type says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// A bare tar.
    #[default]
    Plain,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
}

impl Compression {
    /// `plain`, `gzip` or `zstd`.
    pub const fn name(self) -> &'static str {
        match self {
            Plain => "plain",
            Gzip => "gzip",
            Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A media type: those that images are made of by name, every other as its text.
///
/// Types compare without regard to case (RFC 9110 §8.3.1): [`MediaType::parse`] folds the known ones to their registered
/// spelling and keeps others as they came, without parameters.
///
/// ```
/// use wharfie_core::media_type::{Compression, MediaType};
///
/// let layer = MediaType::parse("application/vnd.oci.image.layer.v1.tar+zstd");
/// assert_eq!(layer, MediaType::OciLayer(Compression::Zstd));
/// assert!(layer.is_layer());
/// assert!(MediaType::parse("Application/VND.OCI.image.manifest.v1+json; charset=utf-8").is_manifest());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MediaType {
    /// `application/vnd.oci.image.manifest.v1+json`
    OciManifest,
    /// `application/vnd.oci.image.index.v1+json`
    OciIndex,
    /// `application/vnd.oci.image.config.v1+json`
    OciConfig,
    /// `application/vnd.oci.empty.v1+json`: the two bytes `{}` where an artifact has no config or no layer.
    OciEmpty,
    /// `application/vnd.oci.image.layer.v1.tar`, `+gzip`, `+zstd`
    OciLayer(Compression),
    /// `application/vnd.oci.image.layer.nondistributable.v1.tar`, `+gzip`, `+zstd`
    OciNondistributableLayer(Compression),
    /// `application/vnd.docker.distribution.manifest.v2+json`
    DockerManifest,
    /// `application/vnd.docker.distribution.manifest.list.v2+json`
    DockerManifestList,
    /// `application/vnd.docker.container.image.v1+json`
    DockerConfig,
    /// `application/vnd.docker.image.rootfs.diff.tar`, `.gzip`, `.zstd`
    DockerLayer(Compression),
    /// `application/vnd.docker.image.rootfs.foreign.diff.tar`, `.gzip`, `.zstd`: fetched from the descriptor's `urls`.
    DockerForeignLayer(Compression),
    /// `application/vnd.docker.distribution.manifest.v1+json`: schema 1 without signatures.
    DockerSchema1,
    /// `application/vnd.docker.distribution.manifest.v1+prettyjws`: schema 1 with signatures.
    DockerSchema1Signed,
    /// Any other, without parameters, in its own spelling.
    Other(String),
}

const KNOWN: &[(&str, MediaType)] = &[
    ("application/vnd.oci.image.manifest.v1+json", MediaType::OciManifest),
    ("application/vnd.oci.image.index.v1+json", MediaType::OciIndex),
    ("application/vnd.oci.image.config.v1+json", MediaType::OciConfig),
    ("application/vnd.oci.empty.v1+json", MediaType::OciEmpty),
    ("application/vnd.oci.image.layer.v1.tar", MediaType::OciLayer(Plain)),
    ("application/vnd.oci.image.layer.v1.tar+gzip", MediaType::OciLayer(Gzip)),
    ("application/vnd.oci.image.layer.v1.tar+zstd", MediaType::OciLayer(Zstd)),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar", MediaType::OciNondistributableLayer(Plain)),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        MediaType::OciNondistributableLayer(Gzip),
    ),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        MediaType::OciNondistributableLayer(Zstd),
    ),
    ("application/vnd.docker.distribution.manifest.v2+json", MediaType::DockerManifest),
    ("application/vnd.docker.distribution.manifest.list.v2+json", MediaType::DockerManifestList),
    ("application/vnd.docker.container.image.v1+json", MediaType::DockerConfig),
    ("application/vnd.docker.image.rootfs.diff.tar", MediaType::DockerLayer(Plain)),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", MediaType::DockerLayer(Gzip)),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", MediaType::DockerLayer(Zstd)),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar", MediaType::DockerForeignLayer(Plain)),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", MediaType::DockerForeignLayer(Gzip)),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar.zstd", MediaType::DockerForeignLayer(Zstd)),
    ("application/vnd.docker.distribution.manifest.v1+json", MediaType::DockerSchema1),
    ("application/vnd.docker.distribution.manifest.v1+prettyjws", MediaType::DockerSchema1Signed),
];

impl MediaType {
    /// What a client accepts when it asks for a manifest, in the order in which it likes them. Schema 1 comes last:
    /// a registry that can convert must not be tempted to.
    pub const MANIFESTS: &'static [MediaType] = &[
        MediaType::OciIndex,
        MediaType::OciManifest,
        MediaType::DockerManifestList,
        MediaType::DockerManifest,
        MediaType::DockerSchema1Signed,
        MediaType::DockerSchema1,
    ];

    /// Every type that has a name here, with its registered spelling.
    pub fn known() -> impl Iterator<Item = (&'static str, &'static MediaType)> {
        KNOWN.iter().map(|(text, kind)| (*text, kind))
    }

    /// Reads a `Content-Type` value or a descriptor's `mediaType`: parameters are dropped, case is folded, space around
    /// is ignored. Never fails: what is not known is [`MediaType::Other`].
    pub fn parse(text: &str) -> MediaType {
        let essence = text.split(';').next().unwrap_or(text).trim_matches([' ', '\t']);
        KNOWN
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(essence))
            .map_or_else(|| MediaType::Other(essence.to_string()), |(_, kind)| kind.clone())
    }

    /// The registered spelling, without parameters.
    pub fn as_str(&self) -> &str {
        match self {
            MediaType::Other(text) => text,
            known => KNOWN.iter().find(|(_, kind)| kind == known).map_or("", |(text, _)| text),
        }
    }

    /// A manifest of one image or artifact; schema 1 counts.
    pub fn is_manifest(&self) -> bool {
        matches!(self, MediaType::OciManifest | MediaType::DockerManifest) || self.is_schema1()
    }

    /// An OCI index or a Docker manifest list.
    pub fn is_index(&self) -> bool {
        matches!(self, MediaType::OciIndex | MediaType::DockerManifestList)
    }

    /// Docker's schema 1, signed or not.
    pub fn is_schema1(&self) -> bool {
        matches!(self, MediaType::DockerSchema1 | MediaType::DockerSchema1Signed)
    }

    /// A layer of a root file system, non-distributable ones too.
    pub fn is_layer(&self) -> bool {
        matches!(self, MediaType::OciLayer(_) | MediaType::DockerLayer(_)) || self.is_nondistributable()
    }

    /// An image config. The empty config of artifacts is none.
    pub fn is_config(&self) -> bool {
        matches!(self, MediaType::OciConfig | MediaType::DockerConfig)
    }

    /// A layer that registries need not hold: Docker calls it foreign. It is fetched from the `urls` of its descriptor.
    pub fn is_nondistributable(&self) -> bool {
        matches!(self, MediaType::OciNondistributableLayer(_) | MediaType::DockerForeignLayer(_))
    }

    /// A type that says nothing about the document (`application/json`, `application/octet-stream`, `text/plain`, empty):
    /// servers send it for lack of a better one, and the body decides.
    pub fn is_generic(&self) -> bool {
        const GENERIC: &[&str] = &[
            "",
            "application/json",
            "application/octet-stream",
            "binary/octet-stream",
            "text/plain",
            "text/json",
        ];
        matches!(self, MediaType::Other(text) if GENERIC.iter().any(|g| g.eq_ignore_ascii_case(text)))
    }

    /// How a layer of this type is compressed; `None` for what is no layer.
    pub fn compression(&self) -> Option<Compression> {
        match self {
            MediaType::OciLayer(compression)
            | MediaType::OciNondistributableLayer(compression)
            | MediaType::DockerLayer(compression)
            | MediaType::DockerForeignLayer(compression) => Some(*compression),
            _ => None,
        }
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        MediaType::parse(text)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for MediaType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for MediaType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(MediaType::parse(&Cow::<'de, str>::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests;
