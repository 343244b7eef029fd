//! Images on this disk to one file: the flattened root as tar, tar.gz or tar.zst.
//!
//! All layers are decoded side by side, each once, into unnamed temporary files, and scanned, hashed and checked on the
//! way (L23). Only when every digest has held is the output begun: core's [`Plan`] says which
//! ranges of which layers make it, in an order that hangs on nothing but the image and the options (L26).

mod blocks;
mod fill;
mod output;
mod splice;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal as _, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use wharfie_core::codec::Format;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::merge::{
    LayerUse, Op, Options, Order, Plan, Resolver, Unmatched, Warnings, check_layer_count,
};
use wharfie_core::tar::Counts;

use self::fill::Fill;
use self::output::Output;
use self::splice::Written;
use crate::drive::Cancel;
use crate::fault;
use crate::layers::{
    LayerReport, LocalImage, Progress, Spool, Workshop, check_space, decode, default_temp_dir,
};

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
        // Not through the library's line buffer: this is no text.
        #[cfg(unix)]
        let own = std::os::fd::AsFd::as_fd(&stdout).try_clone_to_owned();
        #[cfg(windows)]
        let own = std::os::windows::io::AsHandle::as_handle(&stdout).try_clone_to_owned();
        let own = own.map_err(|error| fault::io_error("opening the standard output", None, &error))?;
        Ok(Sink::Stream(Box::new(File::from(own))))
    }
}

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
    /// Of the bytes of the tar, those that a tar.gz holds just as their layers had them packed.
    pub copied: u64,
    /// From the bottom.
    pub layers: Vec<LayerReport>,
    /// What was odd about the stack (L3, L6, L10, L15, L16).
    pub warnings: Warnings,
    /// What was odd about its entries, or dropped from them, counted.
    pub counts: Counts,
    /// Patterns of the selection that matched nothing.
    pub unmatched: Vec<Unmatched>,
    /// How long it took.
    pub elapsed: Duration,
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

/// Whether the path ends with the name of a file: not with a slash, a `.` or a `..`, which only a directory can have there.
pub fn names_file(path: &Path) -> bool {
    // `Path` looks past a slash and a `.` at the end; the system does not.
    let end = |name: &std::ffi::OsStr| path.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes());
    path.file_name().is_some_and(end)
}

/// Writes the flattened root of `image` to `sink`.
///
/// # Errors
/// `layer_count_mismatch`, `size_mismatch`, `digest_mismatch`, `diff_id_mismatch` where the image is not what it says; the errors of codecs,
/// tar and merge, with layer, entry and byte; `no_space`, early where it can be seen to come; `local_io`,
/// `permission_denied`, `invalid_option`; `cancelled`.
pub fn export(
    image: &LocalImage,
    options: &ExportOptions,
    sink: Sink,
    progress: &dyn Progress,
) -> Result<Report> {
    let started = Instant::now();
    let level = options.format.level(options.level)?;
    check_layer_count(image.diff_ids.as_ref().map(Vec::len), image.layers.len())?;
    let temp_dir = options.temp_dir.clone().unwrap_or_else(default_temp_dir);
    // The output is opened first: what cannot be written need not be decoded.
    let mut output = Output::open(sink, options.format)?;
    check_space(&image.layers, &temp_dir)?;
    let jobs = options.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let spliced = splice::fits(image, options);
    let workshop = Workshop {
        limits: &options.merge.limits,
        temp_dir: &temp_dir,
        cancel: &options.cancel,
        progress,
        jobs,
        blocks: spliced,
    };
    let mut resolver = Resolver::new(image.layers.len(), &options.merge)?;
    let (mut spools, mut layers) = (Vec::new(), Vec::new());
    let (mut packed, mut tables) = (Vec::new(), Vec::new());
    for decoded in decode(image, &workshop)? {
        resolver.supply(decoded.index)?;
        spools.push(Some(decoded.spool));
        layers.push(decoded.report);
        let (blob, table) = decoded.packed.unzip();
        packed.push(blob);
        tables.push(table.unwrap_or_default());
    }
    let mut plan = Plan::new(resolver.finish()?, &options.merge)?;
    let (tar_bytes, uses) = plan.survey()?;
    let freed = options.merge.order == Order::Stream;
    if options.format == Format::Identity {
        output.hold_back(plan.held_back());
        if let Some(target) = output.target() {
            check_output_space(target, &temp_dir, tar_bytes, &uses, freed)?;
        }
    }
    let mut shelf = Shelf { spools, kept: BTreeMap::new(), waiting: vec![0; image.layers.len()] };
    let tell = |position| progress.written(position, tar_bytes);
    let fill = |filler: &mut dyn Fill| {
        for (layer, table) in tables.into_iter().enumerate() {
            filler.blocks(layer, &table);
        }
        while let Some(op) = plan.next_op()? {
            shelf.emit(op, filler, freed)?;
        }
        Ok(())
    };
    let written = if spliced {
        splice::write(output, &packed, jobs, &options.cancel, &tell, fill)?
    } else {
        let bytes = blocks::write(output, (options.format, level), jobs, &options.cancel, &tell, |filler| {
            fill(filler)
        })?;
        Written { bytes, copied: 0 }
    };
    let tree = plan.tree();
    // A root that no layer has an entry for is not written.
    let entries = tree.len() as u64 - u64::from(tree.root().origin().is_none());
    Ok(Report {
        entries,
        tar_bytes,
        bytes: written.bytes,
        copied: written.copied,
        layers,
        warnings: tree.warnings().clone(),
        counts: *tree.counts(),
        unmatched: tree.unmatched().to_vec(),
        elapsed: started.elapsed(),
    })
}

/// Looks whether the file system of the output can hold it, before anything is written.
fn check_output_space(
    target: &Path,
    temp_dir: &Path,
    tar_bytes: u64,
    uses: &[LayerUse],
    freed: bool,
) -> Result<()> {
    let dir = target.parent().unwrap_or(target);
    let Some(available) = fault::available_space(dir) else { return Ok(()) };
    // On one file system each layer makes room for those below it when it is through, if the order lets it go.
    let needed = if !freed || fault::same_file_system(dir, temp_dir) == Some(false) {
        tar_bytes
    } else {
        uses.iter().map(|layer| layer.bytes).max().unwrap_or(0)
    };
    if needed <= available {
        return Ok(());
    }
    let error = Error::from(ErrorKind::NoSpace { needed, available: Some(available) });
    Err(error.at_path(target.display().to_string()))
}

/// The decoded layers, as long as they are wanted.
struct Shelf {
    spools: Vec<Option<Spool>>,
    /// What a plan wants again later: where it is, and how long.
    kept: BTreeMap<u32, (usize, u64, u64)>,
    /// How many of these are in each layer.
    waiting: Vec<usize>,
}

impl Shelf {
    fn emit(&mut self, op: Op, filler: &mut dyn Fill, free: bool) -> Result<()> {
        match op {
            Op::Write(bytes) => filler.write(&bytes),
            Op::Zero { len } => filler.zeros(len),
            Op::Copy { layer, from, to } => {
                filler.copy(layer, self.spool(layer)?, from, to)?;
                if free {
                    self.free_above(layer);
                }
                Ok(())
            }
            Op::Spool { id, layer, from, to } => {
                // Any range can be read at any time here, so it is enough to know where it is.
                self.kept.insert(id, (layer, from, to - from));
                self.waiting[layer] += 1;
                Ok(())
            }
            Op::Replay { id, from, to } => {
                let Some(&(layer, start, len)) = self.kept.get(&id) else {
                    return Err(internal("a plan replays what it has not kept"));
                };
                filler.copy(layer, self.spool(layer)?, start + from, start + to)?;
                if to == len {
                    self.kept.remove(&id);
                    self.waiting[layer] -= 1;
                }
                Ok(())
            }
            _ => Err(internal("a plan has an operation that is not known here")),
        }
    }

    fn spool(&self, layer: usize) -> Result<&Spool> {
        self.spools
            .get(layer)
            .and_then(Option::as_ref)
            .ok_or_else(|| internal("a plan reads a layer that is gone"))
    }

    /// In stream order a plan goes down through the layers: those above, unless something in them waits, are through.
    fn free_above(&mut self, layer: usize) {
        for (spool, waiting) in self.spools.iter_mut().zip(&self.waiting).skip(layer + 1) {
            if *waiting == 0 {
                *spool = None;
            }
        }
    }
}

fn internal(reason: &str) -> Error {
    ErrorKind::Internal { reason: reason.to_owned() }.into()
}
