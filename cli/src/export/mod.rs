//! Images on this disk to one file: the flattened root as tar, tar.gz or tar.zst.
//!
//! Core's [`Plan`] says which ranges of which layers make the output, in an order that hangs on nothing but the image and
//! the options (L26). There are two ways to it, with equal bytes; on both, layers are scanned, hashed and checked while
//! they are decoded, and the output gets its name only when every digest has held (L23).
//!
//! - *Drafted*, where the output is a file: layers are decoded from the top, and what core's `Draft` foretells of the plan
//!   goes to the output at once. When all layers are known, the plan says how much of that holds; the rest is added.
//! - *Indexed*, for streams, and where a draft could foresee nothing: all layers are decoded side by side into unnamed
//!   temporary files, and the plan is done from there.
//!
//! Layers may still be on their way ([`LocalLayer::arriving`](crate::layers::LocalLayer)): each is read as far as it is there.

mod blocks;
mod drafting;
mod fill;
mod output;
mod pack;
mod parked;
mod shelf;
mod splice;
mod straight;
mod untouched;

use std::fs::File;
use std::io::{IsTerminal as _, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use wharfie_core::codec::Format;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::merge::{
    Draft, LayerUse, Options, Order, Plan, Resolver, Tree, Unmatched, Warnings, check_layer_count,
};
use wharfie_core::tar::Counts;

use self::drafting::Drafting;
use self::fill::Fill;
pub(crate) use self::output::Output;
pub(crate) use self::pack::{Packing, pack_file};
use self::shelf::Shelf;
use self::splice::Written;
use self::straight::Straight;
use crate::drive::Cancel;
use crate::fault;
use crate::layers::{
    Decoded, Flowed, Keep, LayerReport, LocalImage, Progress, Workshop, check_space, decode, decode_some,
    default_temp_dir, flow,
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
    /// Bytes of the tar that were written while the layers were still being decoded.
    pub drafted: u64,
    /// Whether the output is the only layer's blob, bit for bit, since that is just what was asked for.
    pub untouched: bool,
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
    let jobs = options.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let job = Job {
        image,
        options,
        level,
        spliced: splice::fits(image, options),
        temp_dir: &temp_dir,
        workshop: Workshop { limits: &options.merge.limits, cancel: &options.cancel, progress, jobs },
    };
    // What is copied must not hang on when layers came, so it is up to what they are, not what is said of them (L26).
    let is_open = image.is_arriving() && splice::may_fit(options);
    let drafts = output.can_be_cut()
        && pays(image, jobs)
        && Draft::new(0, &options.merge).holds()
        // Blocks of a blob that begins anew on its way could not be read any more.
        && !(job.spliced && is_open)
        && job.has_room(&output);
    if let Some(made) = job.untouched(&mut output)? {
        output.commit()?;
        return Ok(Report { untouched: true, ..made.report(started) });
    }
    let mut made = if drafts { job.drafted(&mut output)? } else { job.indexed(&mut output)? };
    if is_open && !made.spliced && splice::fits_as_found(image, options, &made.layers) {
        // Their media types were wrong.
        output.cut(0)?;
        made = job.indexed(&mut output)?;
    }
    if options.cancel.is_cancelled() {
        return Err(ErrorKind::Cancelled {}.into());
    }
    output.commit()?;
    Ok(made.report(started))
}

/// Writes a finished tar, the first `len` bytes of a file, to an output.
///
/// # Errors
/// `no_space`, `local_io`, `permission_denied`, `cancelled`.
pub(crate) fn pack(
    tar: &File,
    len: u64,
    output: &mut Output,
    packing: (Format, i32),
    jobs: usize,
    cancel: &Cancel,
) -> Result<()> {
    let fill = |fill: &mut dyn Fill| {
        let mut buffer = vec![0; 256 << 10];
        let mut position = 0;
        while position < len {
            let n = buffer.len().min(usize::try_from(len - position).unwrap_or(buffer.len()));
            let piece = &mut buffer[..n];
            crate::at::read_exact(tar, piece, position)
                .map_err(|error| fault::io_error("reading a temporary file", None, &error))?;
            fill.write(piece)?;
            position += n as u64;
        }
        Ok(())
    };
    blocks::write(output, packing, jobs, cancel, &|_| {}, fill).map(drop)
}

/// Processors that the chain of one layer keeps busy.
const CHAIN: u64 = 2;

/// Whether drafting is the faster way: it goes through the layers one after another. Where there are processors for
/// several layers at once, and no layer is as large as all others, decoding them side by side gains more than keeping
/// them on disk costs.
fn pays(image: &LocalImage, jobs: usize) -> bool {
    let sizes = || image.layers.iter().map(|layer| layer.descriptor.size);
    let (all, largest) = (sizes().fold(0, u64::saturating_add), sizes().max().unwrap_or(0));
    jobs as u64 <= CHAIN || all <= largest.saturating_mul(2)
}

/// One export.
struct Job<'j> {
    image: &'j LocalImage,
    options: &'j ExportOptions,
    level: i32,
    /// Whether deflate blocks of the layers are copied.
    spliced: bool,
    temp_dir: &'j Path,
    workshop: Workshop<'j>,
}

/// What an output came to that has no name yet.
struct Made {
    tree: Tree,
    layers: Vec<LayerReport>,
    tar_bytes: u64,
    bytes: u64,
    copied: u64,
    drafted: u64,
    /// Whether deflate blocks were copied wherever they could be.
    spliced: bool,
}

impl Made {
    fn report(self, started: Instant) -> Report {
        let Made { tree, layers, tar_bytes, bytes, copied, drafted, .. } = self;
        // A root that no layer has an entry for is not written.
        let entries = tree.len() as u64 - u64::from(tree.root().origin().is_none());
        Report {
            entries,
            tar_bytes,
            bytes,
            copied,
            drafted,
            untouched: false,
            layers,
            warnings: tree.warnings().clone(),
            counts: *tree.counts(),
            unmatched: tree.unmatched().to_vec(),
            elapsed: started.elapsed(),
        }
    }
}

impl Job<'_> {
    /// Whether there is surely room for a tar of all layers. If not, its size has to be known before it is begun.
    fn has_room(&self, output: &Output) -> bool {
        if self.options.format != Format::Identity {
            return true;
        }
        let dir = output.target().and_then(Path::parent).filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        // Layers tell what they are at least, if anything; few are more than four times what they are compressed.
        let blobs =
            self.image.layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.descriptor.size));
        let guess = blobs.saturating_mul(4);
        check_space(&self.image.layers, dir).is_ok()
            && fault::available_space(dir).is_none_or(|available| guess <= available)
    }

    fn keep(&self, blocks: bool) -> Keep<'_> {
        Keep { temp_dir: self.temp_dir, blocks }
    }

    /// Writes what `fill` gives, in the format of the output, deflate blocks copied or not. Answers what was written, and what `fill` answers.
    fn write<T>(
        &self,
        output: &mut Output,
        spliced: bool,
        tell: &(dyn Fn(u64) + Sync),
        fill: impl FnOnce(&mut dyn Fill) -> Result<T>,
    ) -> Result<(Written, T)> {
        let (jobs, cancel) = (self.workshop.jobs, self.workshop.cancel);
        if spliced {
            return splice::write(output, jobs, cancel, tell, fill);
        }
        let packing = (self.options.format, self.level);
        let (bytes, made) = blocks::write(output, packing, jobs, cancel, tell, fill)?;
        Ok((Written { bytes, copied: 0 }, made))
    }

    /// All layers decoded side by side into spools first. Of layers that arrive meanwhile, it is known by then whether
    /// enough of them is gzip.
    fn indexed(&self, output: &mut Output) -> Result<Made> {
        check_space(&self.image.layers, self.temp_dir)?;
        let mut resolver = Resolver::new(self.image.layers.len(), &self.options.merge)?;
        let (mut spools, mut blobs, mut layers) = (Vec::new(), Vec::new(), Vec::new());
        let is_open = self.image.is_arriving() && splice::may_fit(self.options);
        let keep = self.keep(self.spliced || is_open);
        for Decoded { index, spool, packed, report } in decode(self.image, &self.workshop, keep)? {
            resolver.supply(index)?;
            spools.push(Some(spool));
            blobs.push(packed);
            layers.push(report);
        }
        let mut plan = Plan::new(resolver.finish()?, &self.options.merge)?;
        let (tar_bytes, uses) = plan.survey()?;
        let freed = self.options.merge.order == Order::Stream;
        if self.options.format == Format::Identity {
            output.hold_back(plan.held_back());
            if let Some(target) = output.target() {
                check_output_space(target, self.temp_dir, tar_bytes, &uses, freed)?;
            }
        }
        let spliced =
            if is_open { splice::fits_as_found(self.image, self.options, &layers) } else { self.spliced };
        let mut shelf = Shelf::new(spools);
        let tell = |position| self.workshop.progress.written(position, tar_bytes);
        let (Written { bytes, copied }, ()) = self.write(output, spliced, &tell, |fill| {
            for (layer, blob) in blobs.into_iter().enumerate() {
                if let Some((blob, blocks)) = blob {
                    fill.blocks(layer, &blob, &blocks);
                }
            }
            shelf.emit_all(&mut plan, fill, freed)
        })?;
        Ok(Made { tree: plan.into_tree(), layers, tar_bytes, bytes, copied, drafted: 0, spliced })
    }

    /// Layers to output while they are decoded; what does not hold is done again.
    fn drafted(&self, output: &mut Output) -> Result<Made> {
        let (written, made) = if self.options.format == Format::Identity {
            let mut straight = Straight::new(output, self.workshop.cancel);
            let made = self.draft(&mut straight)?;
            (Written { bytes: straight.finish()?, copied: 0 }, made)
        } else {
            self.write(output, self.spliced, &|_| (), |fill| self.draft(fill))?
        };
        let Some(mut made) = made else {
            output.cut(0)?;
            return self.indexed(output);
        };
        self.workshop.progress.written(made.tar_bytes, made.tar_bytes);
        (made.bytes, made.copied) = (written.bytes, written.copied);
        Ok(made)
    }

    /// Goes through all layers, from the top, and gives what a draft foretells; then what the plan has left, as a rule the
    /// headers of directories. `None` if nothing of what was written holds, since a layer began anew on its way.
    fn draft(&self, fill: &mut dyn Fill) -> Result<Option<Made>> {
        let count = self.image.layers.len();
        let mut drafting = Drafting::new(count, &self.options.merge, self.temp_dir, fill);
        let flowed = flow(self.image, &self.workshop, self.keep(self.spliced), &mut drafting)?;
        let Some(mut flowed) = flowed else { return Ok(None) };
        let (sketch, written, indexes) = drafting.finish();
        let mut resolver = Resolver::new(count, &self.options.merge)?;
        for index in indexes {
            resolver.supply(index)?;
        }
        let mut plan = Plan::new(resolver.finish()?, &self.options.merge)?;
        let mut drafted = plan.resume(&sketch, written);
        if drafted < written {
            let stays = fill.cut(drafted)?;
            if stays < drafted {
                plan.rewind();
                drafted = 0;
            }
        }
        let (left, uses) = plan.survey()?;
        self.fetch(&mut flowed, &uses)?;
        let (layers, spools) = flowed.into_iter().map(|layer| (layer.report, layer.spool)).unzip();
        Shelf::new(spools).emit_all(&mut plan, fill, true)?;
        let tar_bytes = drafted + left;
        Ok(Some(Made {
            tree: plan.into_tree(),
            layers,
            tar_bytes,
            bytes: 0,
            copied: 0,
            drafted,
            spliced: self.spliced,
        }))
    }

    /// Decodes the layers of which something is used that is not there, again.
    fn fetch(&self, flowed: &mut [Flowed], uses: &[LayerUse]) -> Result<()> {
        let lacks = |layer: usize| {
            uses.get(layer).is_some_and(|used| used.bytes > 0)
                && flowed.get(layer).is_some_and(|layer| layer.spool.is_none())
        };
        let wanted: Vec<bool> = (0..flowed.len()).map(lacks).collect();
        if !wanted.contains(&true) {
            return Ok(());
        }
        let missing = self.image.layers.iter().zip(&wanted).filter(|(_, wanted)| **wanted);
        check_space(&missing.map(|(layer, _)| layer.clone()).collect::<Vec<_>>(), self.temp_dir)?;
        // They have been told of once.
        let workshop = Workshop { progress: &(), ..self.workshop };
        let keep = self.keep(false);
        let decoded = decode_some(self.image, &workshop, keep, &|layer| wanted.get(layer) == Some(&true))?;
        for (layer, decoded) in flowed.iter_mut().zip(decoded) {
            if let Some(decoded) = decoded {
                layer.spool = Some(decoded.spool);
            }
        }
        Ok(())
    }
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

fn internal(reason: &str) -> Error {
    ErrorKind::Internal { reason: reason.to_owned() }.into()
}
