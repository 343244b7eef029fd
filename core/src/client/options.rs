//! What a job is asked to do.

use alloc::string::String;
use alloc::vec::Vec;

use crate::media_type::MediaType;
use crate::platform::Platform;

/// How a pull goes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullOptions {
    /// Which of an index's images.
    pub platform: PlatformChoice,
    /// How far down.
    pub depth: Depth,
    /// The manifest media types to accept for the first document; empty for all that we know.
    pub accept: Vec<MediaType>,
    /// Whether layers that may not be distributed (foreign layers) are fetched by their `urls`.
    pub foreign_layers: bool,
    /// Whether the registry itself is asked, whatever mirrors the user's rules name: for who changes there what was pulled.
    pub past_mirrors: bool,
}

impl Default for PullOptions {
    fn default() -> Self {
        PullOptions {
            platform: PlatformChoice::All,
            depth: Depth::Layers,
            accept: Vec::new(),
            foreign_layers: true,
            past_mirrors: false,
        }
    }
}

/// Which images of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlatformChoice {
    /// The one that fits best.
    One(Platform),
    /// Every one.
    All,
}

/// How far down a pull goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Which digest the reference names: a HEAD where that does.
    Resolve,
    /// The document that the reference names, index or manifest, and nothing below.
    Document,
    /// The manifests of the chosen platforms.
    Manifest,
    /// And their configs.
    Config,
    /// And their layers.
    Layers,
}

/// How a push or a copy goes about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// Tags beside the reference's own.
    pub tags: Vec<String>,
    /// Repositories of the same registry that may have the blobs (distribution-spec, "Mounting a blob from another
    /// repository"), the likeliest first. A copy within one registry asks its source by itself.
    pub mount_from: Vec<String>,
    /// Bytes of a chunk; `None` sends each blob in one request, as most registries like it best.
    pub chunk: Option<u64>,
    /// Whether layers that may not be distributed are sent.
    pub foreign_layers: bool,
    /// Whether everything is sent whatever the registry says that it has.
    pub force: bool,
    /// Whether it is only asked what is there: nothing is sent, mounted or named, and the outcome says what would be.
    pub dry_run: bool,
    /// Of a copy: whether the top was made of what the source has, and is not there itself. Then nothing below it counts as
    /// the source's before the source was asked.
    pub remade: bool,
}

/// How a list goes about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Entries a page; the registry's own choice if `None`.
    pub page: Option<u32>,
    /// Entries after which to stop.
    pub most: Option<u64>,
}

/// How the question who refers to a manifest goes about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferrersOptions {
    /// Only artifacts of this type.
    pub artifact_type: Option<String>,
}
