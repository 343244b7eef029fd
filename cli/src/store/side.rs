//! Side indexes of layers: derived from blobs that were read to their end and verified, and kept beside them, so that the
//! next look into an image need not read them.
//!
//! They may be lost at any time, and nothing fails because one cannot be read or written.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;
use wharfie_core::merge::SideIndex;
use wharfie_core::{Algorithm, Digest, Limits};

use super::{Store, census, temporary};

/// More bytes than a side index has: 50 million entries are some 2 GB.
const MOST_BYTES: u64 = 4 << 30;

/// Their folder in the store.
pub(super) const FOLDER: &str = "side";

impl Store {
    /// Where the side index of a blob is, or would be: `side/<algorithm>/<hex>`.
    pub(super) fn side_path(&self, blob: &Digest) -> PathBuf {
        self.root().join(FOLDER).join(blob.algorithm().name()).join(blob.hex())
    }

    /// The side index of a layer, if there is one that can be used: of this blob, with the content that an image's config
    /// says of it, made under these limits.
    pub(crate) fn side_index(
        &self,
        layer: &Descriptor,
        diff_id: Option<&Digest>,
        limits: &Limits,
    ) -> Option<SideIndex> {
        let mut bytes = Vec::new();
        let file = File::open(self.side_path(&layer.digest)).ok()?;
        let len = file.metadata().ok()?.len();
        bytes.reserve_exact(usize::try_from(len).ok().filter(|_| len <= MOST_BYTES)?);
        file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        let side = SideIndex::from_bytes(&bytes, limits).ok()?;
        side.is_of(&layer.digest, layer.size, diff_id).then_some(side)
    }

    /// Keeps the side index of a layer that was verified, in place of what is there. Where that cannot be written down, it
    /// is not.
    pub(crate) fn keep_side_index(&self, side: &SideIndex) {
        if self.is_read_only() {
            return;
        }
        let path = self.side_path(&side.blob);
        let write = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file = temporary(&self.ingest())?;
            file.write_all(&side.to_bytes())?;
            // What a crash leaves of it does not have its sum: there is nothing to wait for.
            file.persist(&path).map(drop).map_err(|error| error.error)
        };
        let _ = write();
    }

    /// Removes the side index of a blob.
    pub(crate) fn drop_side_index(&self, blob: &Digest) {
        if !self.is_read_only() {
            let _ = fs::remove_file(self.side_path(blob));
        }
    }

    /// All that are here, with their sizes.
    pub(super) fn side_indexes(&self) -> Result<Vec<(Digest, u64)>> {
        let mut all = Vec::new();
        for algorithm in Algorithm::ALL {
            for (path, size) in census::files(&self.root().join(FOLDER).join(algorithm.name()))? {
                let name = path.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
                if let Ok(digest) = format!("{algorithm}:{name}").parse() {
                    all.push((digest, size));
                }
            }
        }
        Ok(all)
    }
}
