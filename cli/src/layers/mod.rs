//! The layers of an image on this disk, read and decoded, each once, and hashed and checked on the way (L23).
//!
//! - `decode`: all side by side, scanned, into unnamed temporary files.
//! - `flow`: from the top, scanned, their bytes handed on as they come.
//! - `pass`: those that are asked for, each to a reader of its own.

mod decode;
mod flow;
mod job;
mod packed;
pub(crate) mod pass;
mod spool;

use std::path::{Path, PathBuf};

use wharfie_core::Digest;
use wharfie_core::codec::{Format, FormatMismatch};
use wharfie_core::image::Descriptor;
use wharfie_core::merge::SideIndex;

use crate::blob_file::BlobFile;
use crate::drive::Arriving;

pub(crate) use self::decode::{Decoded, Keep, decode, decode_some};
pub(crate) use self::flow::{Flowed, Taker, flow};
pub(crate) use self::job::Workshop;
pub(crate) use self::packed::Packed;
pub(crate) use self::spool::{Spool, check_space};

/// An image whose layers are files here; they need not have been verified.
#[derive(Clone, Debug)]
pub struct LocalImage {
    /// From the bottom, as in the manifest.
    pub layers: Vec<LocalLayer>,
    /// `rootfs.diff_ids` of the config; `None` where there are none (schema 1): then they are computed and reported.
    pub diff_ids: Option<Vec<Digest>>,
}

/// A layer's blob in a file.
#[derive(Clone, Debug)]
pub struct LocalLayer {
    /// What the manifest says of it.
    pub descriptor: Descriptor,
    /// Where it is on this disk, or will be when it has arrived.
    pub blob: BlobFile,
    /// Where it can be read before, if it is still on its way.
    pub arriving: Option<Arriving>,
}

impl LocalLayer {
    /// One that a whole file holds.
    pub fn of_file(descriptor: Descriptor, path: impl Into<PathBuf>) -> LocalLayer {
        let blob = BlobFile::awaited(path, descriptor.size);
        LocalLayer { descriptor, blob, arriving: None }
    }
}

impl LocalImage {
    /// Whether layers of it may still be on their way.
    pub(crate) fn is_arriving(&self) -> bool {
        self.layers.iter().any(|layer| layer.arriving.is_some())
    }
}

/// Who is told how far it has come. Called from several threads, some hundred times a second at most.
pub trait Progress: Sync {
    /// So many bytes of a layer's blob have been read and decoded; all of them, and verified, when it is its size.
    fn decoded(&self, layer: usize, position: u64, size: u64) {
        let _ = (layer, position, size);
    }

    /// So many bytes of the tar, of so many, have been written or compressed.
    fn written(&self, position: u64, size: u64) {
        let _ = (position, size);
    }
}

/// Nobody.
impl Progress for () {}

/// What is known of a layer that was decoded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LayerReport {
    /// The digest of its tar, computed and, where the config has one, checked.
    pub diff_id: Digest,
    /// Bytes of its tar.
    pub tar_bytes: u64,
    /// Its compression.
    pub format: Format,
    /// Whether its media type says another one (L20).
    pub mismatch: Option<FormatMismatch>,
}

impl LayerReport {
    /// Of a layer whose side index was found.
    pub(crate) fn of_side(side: &SideIndex, layer: &Descriptor) -> LayerReport {
        let expected = Format::of_media_type(layer.media_type.as_str());
        let mismatch = expected
            .filter(|expected| *expected != side.format && side.blob_bytes > 0)
            .map(|expected| FormatMismatch { expected, actual: side.format });
        LayerReport { diff_id: side.diff_id, tar_bytes: side.tar_bytes(), format: side.format, mismatch }
    }
}

/// Where large temporary files go if nobody says: `$TMPDIR`, else `/var/tmp`, which unlike `/tmp` is seldom in memory.
pub fn default_temp_dir() -> PathBuf {
    let var_tmp = Path::new("/var/tmp");
    if cfg!(unix) && std::env::var_os("TMPDIR").is_none_or(|dir| dir.is_empty()) && var_tmp.is_dir() {
        return var_tmp.to_owned();
    }
    std::env::temp_dir()
}
