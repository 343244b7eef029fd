//! One file out of an image, by as few layers as can decide it.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use tempfile::SpooledTempFile;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::merge::{Answer, Found, Lookup, Options, Scan, Sought, check_layer_count};
use wharfie_core::name::Name;
use wharfie_core::tar::Kind;

use super::bodies::{Bodies, BodyRange, Unfold, range};
use crate::drive::Cancel;
use crate::fault::io_error;
use crate::layers::pass::{Flow, Pass, Reader};
use crate::layers::{LocalImage, LocalLayer, Progress};

/// Bytes of one file that wait in memory until its layer is verified; more go to an unnamed temporary file.
const IN_MEMORY: usize = 32 << 20;

/// Where the content of files goes.
pub(crate) type Output<'o> = dyn FnMut(&[u8]) -> Result<()> + Send + 'o;

/// Content that is kept until its layer is verified.
struct Held {
    file: SpooledTempFile,
    kept: u64,
}

/// Reads a layer for its index, and keeps what may be wanted of it.
struct Seeking<'s> {
    scan: Scan,
    held: BTreeMap<usize, Held>,
    position: u64,
    temp_dir: &'s Path,
    /// Where what is found goes at once, unverified.
    stream: Option<&'s mut Output<'s>>,
    streamed: bool,
}

fn holding(dir: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |error| io_error("keeping a file until its layer is verified", Some(dir), &error)
}

impl Reader for Seeking<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<Flow> {
        let start = self.position;
        self.position += bytes.len() as u64;
        self.scan.feed(bytes)?;
        let bodies = self.scan.sought().map(Sought::bodies).unwrap_or_default();
        for (number, body) in bodies.iter().enumerate() {
            // Of several with one name the last counts (L6).
            if bodies.iter().skip(number + 1).any(|later| later.path == body.path) {
                self.held.remove(&number);
                continue;
            }
            let end = body.data_at + body.stored;
            let (from, to) = (body.data_at.max(start), end.min(self.position));
            let now = if from < to { &bytes[(from - start) as usize..(to - start) as usize] } else { &[] };
            if let Some(stream) = self.stream.as_mut().filter(|_| body.sparse.is_none()) {
                stream(now)?;
                if end <= self.position {
                    self.streamed = true;
                    return Ok(Flow::Enough);
                }
                return Ok(Flow::More);
            }
            if end < start || (end == start && self.held.contains_key(&number)) {
                continue;
            }
            let held = self
                .held
                .entry(number)
                .or_insert_with(|| Held { file: SpooledTempFile::new_in(IN_MEMORY, self.temp_dir), kept: 0 });
            held.file.write_all(now).map_err(holding(self.temp_dir))?;
            held.kept += now.len() as u64;
        }
        Ok(Flow::More)
    }
}

/// How files are taken out of an image.
pub(crate) struct Taking<'t> {
    /// What the manifest and the config say; paths of blobs are filled in by `fetch`.
    pub(crate) image: LocalImage,
    /// Has a layer here.
    pub(crate) fetch: &'t mut dyn FnMut(usize) -> Result<LocalLayer>,
    pub(crate) options: &'t Options,
    /// Whether nothing goes out before its layer is verified.
    pub(crate) verify: bool,
    pub(crate) temp_dir: &'t Path,
    pub(crate) cancel: &'t Cancel,
    pub(crate) progress: &'t dyn Progress,
}

/// Writes the content of files one after another.
///
/// Layers are looked at from the top, and each that is needed to decide a path is read to its end and verified, before
/// anything goes out (L6, L23); those below are neither fetched nor read. Without `verify` a file goes out as its bytes are
/// decoded, and reading stops at its end.
///
/// # Errors
/// `path_not_found`, `not_a_file`, what is wrong with the layers read, what `output` answers.
pub(crate) fn cat(mut taking: Taking<'_>, paths: &[Vec<u8>], output: &mut Output<'_>) -> Result<()> {
    let layers = taking.image.layers.len();
    check_layer_count(taking.image.diff_ids.as_ref().map(Vec::len), layers)?;
    let mut lookup = Lookup::new(layers, taking.options)?;
    let mut held: BTreeMap<(usize, u64), Held> = BTreeMap::new();
    let batches: Vec<&[Vec<u8>]> =
        if taking.verify { vec![paths] } else { paths.iter().map(std::slice::from_ref).collect() };
    'batches: for paths in batches {
        let found = loop {
            let mut sought = Sought::new(&taking.options.limits);
            let mut next = None;
            let mut found = Vec::new();
            for path in paths {
                match lookup.find(path)? {
                    Answer::Found(file) => found.push(file),
                    Answer::Need { layer, path } => {
                        sought.add(path);
                        next = Some(layer);
                    }
                    _ => return Err(internal("an answer that is not known here")),
                }
            }
            let Some(layer) = next else { break found };
            taking.image.layers[layer] = (taking.fetch)(layer)?;
            let scan = Scan::new(layer, &taking.options.limits)
                .with_blob(taking.image.layers[layer].descriptor.digest)
                .seeking(sought);
            let pass = Pass {
                image: &taking.image,
                limits: &taking.options.limits,
                cancel: taking.cancel,
                progress: taking.progress,
            };
            let mut write = |bytes: &[u8]| output(bytes);
            let mut seeking = Seeking {
                scan,
                held: BTreeMap::new(),
                position: 0,
                temp_dir: taking.temp_dir,
                stream: if taking.verify { None } else { Some(&mut write) },
                streamed: false,
            };
            pass.one(layer, &mut seeking)?;
            let Seeking { scan, held: kept, streamed, .. } = seeking;
            if streamed {
                continue 'batches;
            }
            let bodies = scan.sought().map(|sought| sought.bodies().to_vec()).unwrap_or_default();
            held.extend(kept.into_iter().map(|(number, kept)| ((layer, bodies[number].data_at), kept)));
            lookup.supply(scan.finish()?)?;
        };
        // What cannot be written is found out before anything is.
        for file in &found {
            check(file)?;
        }
        for file in &found {
            let Some(layer) = file.inode.map(|inode| inode.layer) else { continue };
            if let Some(kept) = held.get_mut(&(layer, file.data_at)) {
                replay(kept, range(file), taking.temp_dir, output)?;
                continue;
            }
            // It was not known that it would be wanted when its layer was verified: it is decoded again, to its end.
            let pass = Pass {
                image: &taking.image,
                limits: &taking.options.limits,
                cancel: taking.cancel,
                progress: &(),
            };
            let mut complete = false;
            let mut bodies = Bodies::new(vec![range(file)], |_, bytes| match bytes {
                Some(bytes) => output(bytes),
                None => {
                    complete = true;
                    Ok(())
                }
            });
            pass.one(layer, &mut bodies)?;
            drop(bodies);
            if !complete {
                return Err(internal("a file ended before its end"));
            }
        }
    }
    Ok(())
}

fn check(file: &Found) -> Result<()> {
    let what = match file.kind {
        Kind::File => return Ok(()),
        Kind::Directory => "a directory",
        Kind::CharDevice { .. } | Kind::BlockDevice { .. } => "a device",
        Kind::Fifo => "a FIFO",
        Kind::Symlink | Kind::HardLink => "a link",
    };
    Err(ErrorKind::NotAFile { path: format!("/{}", Name(&file.path)), what }.into())
}

fn replay(held: &mut Held, range: BodyRange<'_>, dir: &Path, output: &mut Output<'_>) -> Result<()> {
    if held.kept != range.stored {
        return Err(internal("a file was not kept whole"));
    }
    held.file.rewind().map_err(holding(dir))?;
    let mut unfold = Unfold::new(range.sparse);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let n = held.file.read(&mut buffer).map_err(holding(dir))?;
        unfold.take(&buffer[..n], output)?;
        if n == 0 {
            return Ok(());
        }
    }
}

fn internal(reason: &str) -> Error {
    ErrorKind::Internal { reason: reason.to_owned() }.into()
}
