//! What a store holds, and what of it nobody needs.

use std::time::{Duration, SystemTime};

use wharfie_core::Digest;
use wharfie_core::image::Descriptor;

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// The images of its index.
    pub images: Vec<Image>,
    /// Blobs, and the bytes of all of them.
    pub blobs: u64,
    /// Bytes of the blobs.
    pub blob_bytes: u64,
    /// Of these, blobs that no image needs.
    pub unused: u64,
    /// Bytes of the blobs that no image needs.
    pub unused_bytes: u64,
    /// Blobs that came in part.
    pub partials: u64,
    /// Bytes of these parts.
    pub partial_bytes: u64,
}

/// One image of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// The name that the index gives it: a full reference where we wrote it. `None` if it gives none.
    pub name: Option<String>,
    /// Index or manifest.
    pub descriptor: Descriptor,
    /// The platforms of which all blobs are here; empty where that is not known.
    pub platforms: Vec<String>,
    /// Bytes of all that it needs and that is here.
    pub bytes: u64,
    /// Of these, bytes that no other image needs.
    pub own_bytes: u64,
    /// Whether something is missing of every one of its platforms.
    pub incomplete: bool,
    /// When it was last pulled or read.
    pub used: Option<SystemTime>,
}

/// What is to go. Blobs that no image needs and parts of blobs always go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prune {
    /// All images.
    pub all: bool,
    /// Images that were not used for so long.
    pub older_than: Option<Duration>,
    /// Removes nothing, and says what would go.
    pub dry_run: bool,
}

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// The images.
    pub images: Vec<String>,
    /// The blobs.
    pub blobs: Vec<Digest>,
    /// How many parts of blobs.
    pub partials: u64,
    /// Bytes of all that.
    pub bytes: u64,
}
