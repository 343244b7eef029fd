//! Indexes and the choice of a platform out of one (image-spec `image-index.md`; Docker's manifest list).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::descriptor::Descriptor;
use super::json::{Node, brief};
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;
use crate::media_type::MediaType;
use crate::platform::Platform;

/// An index: manifests and further indexes, most often one for each platform.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Index {
    /// [`MediaType::OciIndex`] or [`MediaType::DockerManifestList`].
    pub media_type: MediaType,
    /// What kind of artifact this is; images have none.
    pub artifact_type: Option<String>,
    /// The entries, in the order of the document.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one refers to.
    pub subject: Option<Descriptor>,
    /// Annotations by key.
    pub annotations: BTreeMap<String, String>,
}

const KEYS: &[&str] = &["schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"];

/// What [`Index::choose`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The entry at this position says that it fits, and best.
    Declared(usize),
    /// No entry says that it fits, but these do not say what they are for. They are to be opened in this order: an index
    /// is chosen from in its turn, a manifest fits if its config's platform does.
    Undeclared(Vec<usize>),
}

impl Choice {
    /// The positions to open, in order.
    pub fn positions(&self) -> &[usize] {
        match self {
            Choice::Declared(position) => core::slice::from_ref(position),
            Choice::Undeclared(positions) => positions,
        }
    }
}

impl Index {
    /// Of these entries.
    pub fn new(media_type: MediaType, manifests: Vec<Descriptor>) -> Index {
        Index { media_type, artifact_type: None, manifests, subject: None, annotations: BTreeMap::new() }
    }

    pub(super) fn read(node: &Node<'_>, media_type: MediaType, limits: &Limits) -> Result<Index> {
        node.strict_keys(KEYS)?;
        Ok(Index {
            media_type,
            artifact_type: node.text_at("artifactType")?.filter(|text| !text.is_empty()),
            manifests: Descriptor::read_list(node, "manifests", limits)?,
            subject: node.get("subject").map(|node| Descriptor::read(&node, limits)).transpose()?,
            annotations: node.text_map_at("annotations")?,
        })
    }

    /// Chooses the entry for a platform.
    ///
    /// Attestations and entries that are neither manifest nor index are no candidates. Of those that name a platform the
    /// best by [`Platform::rank`] is chosen; on Windows the highest version of equally good ones, else the first. Only if
    /// none fits do those count that name none.
    ///
    /// # Errors
    /// `platform_not_found` with what there is.
    pub fn choose(&self, wanted: &Platform) -> Result<Choice> {
        let mut best: Option<(u32, usize, &Platform)> = None;
        let mut undeclared = Vec::new();
        for (position, entry) in self.candidates() {
            let Some(platform) = &entry.platform else {
                undeclared.push(position);
                continue;
            };
            let Some(rank) = wanted.rank(platform) else { continue };
            let better = match &best {
                None => true,
                Some((best, _, known)) => {
                    rank < *best
                        || (rank == *best
                            && platform.os.eq_ignore_ascii_case("windows")
                            && platform.version_key() > known.version_key())
                }
            };
            if better {
                best = Some((rank, position, platform));
            }
        }
        match best {
            Some((_, position, _)) => Ok(Choice::Declared(position)),
            None if !undeclared.is_empty() => Ok(Choice::Undeclared(undeclared)),
            None => Err(ErrorKind::PlatformNotFound {
                wanted: wanted.to_string(),
                available: available(&self.platforms()),
            }
            .into()),
        }
    }

    /// The platforms that the entries name, each once, in the order of the document, attestations left out.
    pub fn platforms(&self) -> Vec<Platform> {
        let mut seen = BTreeSet::new();
        let platforms =
            self.candidates().filter_map(|(_, entry)| entry.platform.as_ref()).map(Platform::normalized);
        platforms.filter(|platform| seen.insert(platform.clone())).collect()
    }

    /// The entries that may be images, with their positions.
    pub fn candidates(&self) -> impl Iterator<Item = (usize, &Descriptor)> {
        self.manifests.iter().enumerate().filter(|(_, entry)| {
            let kind = &entry.media_type;
            // Schema 1 and layouts of old tools leave the type out.
            (kind.is_manifest() || kind.is_index() || kind.is_generic())
                && !entry.is_attestation()
                && entry.artifact_type.as_deref().is_none_or(|kind| MediaType::parse(kind).is_config())
        })
    }
}

/// How the `available` of `platform_not_found` is spelled: comma-separated, `nothing` if there is none, and no more
/// than people read.
pub fn available(platforms: &[Platform]) -> String {
    const MAX: usize = 40;
    if platforms.is_empty() {
        return "nothing".to_string();
    }
    let mut list = String::new();
    for platform in platforms.iter().take(MAX) {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(&brief(&platform.to_string()));
    }
    if let Some(more) = platforms.len().checked_sub(MAX).filter(|more| *more > 0) {
        list.push_str(&format!(" and {more} more"));
    }
    list
}

impl serde::Serialize for Index {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schemaVersion", &2)?;
        map.serialize_entry("mediaType", &self.media_type)?;
        if let Some(artifact_type) = &self.artifact_type {
            map.serialize_entry("artifactType", artifact_type)?;
        }
        map.serialize_entry("manifests", &self.manifests)?;
        if let Some(subject) = &self.subject {
            map.serialize_entry("subject", subject)?;
        }
        if !self.annotations.is_empty() {
            map.serialize_entry("annotations", &self.annotations)?;
        }
        map.end()
    }
}
