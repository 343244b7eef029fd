//! What a host tells of an image's layers, once.

use alloc::sync::Arc;
use core::fmt;

use crate::Digest;
use crate::codec::{Codecs, SoftCodecs};
use crate::digest::{Hashes, SoftHashes};
use crate::image::Descriptor;
use crate::merge::Options;

/// A layer as the host has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What the manifest says of its blob. Some say no size (schema 1): it is 0 then.
    pub descriptor: Descriptor,
    /// Bytes of the blob as the host has it. What is not that of the descriptor, where that says one, is `size_mismatch`, before
    /// anything is read. While neither says one, the layer cannot be begun: `Step::Need` comes with a length of 0, and
    /// `Stack::have` answers it.
    pub size: u64,
    /// Whether the host has verified digest and size while the blob was fetched, and keeps it where nobody else writes:
    /// then its digest is not computed again. That of its content always is.
    pub verified: bool,
}

impl Layer {
    /// One that is as large as the descriptor says, and not verified.
    pub fn new(descriptor: Descriptor) -> Layer {
        let size = descriptor.size;
        Layer { descriptor, size, verified: false }
    }

    /// Whether nobody has said how long the blob is. No bytes at all are a blob too, but that has its own digest.
    pub(super) fn is_of_unknown_size(&self) -> bool {
        let digest = &self.descriptor.digest;
        self.size == 0 && self.descriptor.size == 0 && *digest != Digest::of(digest.algorithm(), b"")
    }
}

/// What is chosen about a [`Stack`](super::Stack).
#[derive(Clone)]
pub struct Config {
    /// How layers are merged, and limits.
    pub merge: Options,
    /// Whether what each layer does to those below it is written down.
    pub history: bool,
    /// Where hashes come from.
    pub hashes: Arc<dyn Hashes>,
    /// Where codecs come from.
    pub codecs: Arc<dyn Codecs>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            merge: Options::default(),
            history: false,
            hashes: Arc::new(SoftHashes),
            codecs: Arc::new(SoftCodecs),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("merge", &self.merge)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}
