//! Images on this disk to one file: the flattened root as tar, tar.gz or tar.zst.
//!
//! All layers are decoded side by side, each once, into unnamed temporary files, and scanned, hashed and checked on the
//! way (L23). Only when every digest has held is the output begun: core's [`Plan`](wharfie_core::merge::Plan) says which
//! ranges of which layers make it, in an order that hangs on nothing but the image and the options (L26).

use std::io::{IsTerminal as _, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharfie_core::Digest;
use wharfie_core::codec::{Format, FormatMismatch};
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::merge::{Options, Warnings};
use wharfie_core::tar::Counts;

use crate::drive::Cancel;

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
    /// The file that holds it.
    pub path: PathBuf,
}

/// What is chosen about an export.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExportOptions {
    /// The compression of the output.
    pub format: Format,
    /// Its level, see [`Format::levels`].
    pub level: Option<i32>,
    /// Order, links and limits.
    pub merge: Options,
    /// Where decoded layers wait for their turn; `None` is [`default_temp_dir`].
    pub temp_dir: Option<PathBuf>,
    /// Layers decoded, and blocks compressed, at once; `None` is as many as there are processors.
    pub jobs: Option<NonZeroUsize>,
    /// What stops it.
    pub cancel: Cancel,
}

impl Default for ExportOptions {
    fn default() -> Self {
        ExportOptions {
            format: Format::Identity,
            level: None,
            merge: Options::default(),
            temp_dir: None,
            jobs: None,
            cancel: Cancel::new(),
        }
    }
}

/// Where the output goes.
pub enum Sink {
    /// A file, which appears whole under its name or not at all. A device or a FIFO is written to as it is.
    File(PathBuf),
    /// A stream. On a failure it ends inside a block, so that no reader takes it for whole (L23).
    Stream(Box<dyn Write + Send>),
}

impl Sink {
    /// Standard output.
    ///
    /// # Errors
    /// `invalid_option` if it is a terminal; `local_io` if it is closed.
    pub fn stdout() -> Result<Sink> {
        let stdout = std::io::stdout();
        if stdout.is_terminal() {
            let reason =
                "a tar is not for a terminal: name a file, or redirect the standard output".to_owned();
            return Err(ErrorKind::InvalidOption { reason }.into());
        }
        Ok(Sink::Stream(Box::new(stdout)))
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

/// What came of an export.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Entries in the tar.
    pub entries: u64,
    /// Bytes of the tar.
    pub tar_bytes: u64,
    /// Bytes written, compressed.
    pub bytes: u64,
    /// From the bottom.
    pub layers: Vec<LayerReport>,
    /// What was odd about the stack (L3, L6, L10, L15, L16).
    pub warnings: Warnings,
    /// What was odd about its entries, or dropped from them, counted.
    pub counts: Counts,
    /// How long it took.
    pub elapsed: Duration,
}

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

/// The compression that a file's name asks for: `.tar`, `.tar.gz`, `.tgz`, `.tar.zst`, `.tzst`.
pub fn format_of_name(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    if ends(&[".tar.gz", ".tgz"]) {
        Some(Format::Gzip)
    } else if ends(&[".tar.zst", ".tzst"]) {
        Some(Format::Zstd)
    } else if ends(&[".tar"]) {
        Some(Format::Identity)
    } else {
        None
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

/// Writes the flattened root of `image` to `sink`.
///
/// # Errors
/// `layer_count_mismatch`, `size_mismatch`, `digest_mismatch` where the image is not what it says; the errors of codecs,
/// tar and merge, with layer, entry and byte; `no_space`, early where it can be seen to come; `local_io`,
/// `permission_denied`, `invalid_option`; `cancelled`.
#[allow(unused_variables, clippy::todo, clippy::needless_pass_by_value)]
pub fn export(
    image: &LocalImage,
    options: &ExportOptions,
    sink: Sink,
    progress: &dyn Progress,
) -> Result<Report> {
    todo!()
}
