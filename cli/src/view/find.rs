//! One file out of an image, by as few layers as can decide it.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use tempfile::SpooledTempFile;
use wharfie_core::error::{Error, ErrorKind, Place, Result};
use wharfie_core::merge::{Answer, Checkpoints, Found, Lookup, Options, Scan, Sought, check_layer_count};
use wharfie_core::name::Name;
use wharfie_core::tar::Kind;

use super::bodies::{Bodies, BodyRange, Unfold, range};
use super::resume::Places;
use super::{Sides, keep};
use crate::drive::Cancel;
use crate::fault::io_error;
use crate::layers::pass::{Flow, Pass, Reader};
use crate::layers::{LocalImage, LocalLayer, Progress};

/// Bytes of one file that wait in memory until its layer is verified; more go to an unnamed temporary file.
const IN_MEMORY: usize = 32 << 20;

/// Where the content of files goes.
pub type Output<'o> = dyn FnMut(&[u8]) -> Result<()> + Send + 'o;

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
    /// Those of the layer when it is verified, if its side index is to be kept.
    checkpoints: Option<Checkpoints>,
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

    fn wants_checkpoints(&self) -> bool {
        self.checkpoints.is_some()
    }

    fn keep_checkpoints(&mut self, checkpoints: Checkpoints) {
        self.checkpoints = Some(checkpoints);
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
    /// Where side indexes of layers are, if anywhere.
    pub(crate) sides: Option<Sides<'t>>,
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
/// A layer whose side index is there is not read: the index decides, and of the blob no more is decoded than lies between
/// the file and the checkpoint before it. With `verify` nothing goes out before it has the CRC-32 that it had when the layer
/// was verified; if anything is not as it was, side indexes are not believed and layers are read as if there were none.
///
/// # Errors
/// `path_not_found`, `not_a_file`, what is wrong with the layers read, what `output` answers.
pub(crate) fn cat(mut taking: Taking<'_>, paths: &[Vec<u8>], output: &mut Output<'_>) -> Result<()> {
    check_layer_count(taking.image.diff_ids.as_ref().map(Vec::len), taking.image.layers.len())?;
    match attempt(&mut taking, paths, output)? {
        Attempt::Done => Ok(()),
        Attempt::Doubt => {
            taking.sides = taking.sides.map(|sides| Sides { ask: false, ..sides });
            match attempt(&mut taking, paths, output)? {
                Attempt::Done => Ok(()),
                Attempt::Doubt => Err(internal("a side index that was not asked is in doubt")),
            }
        }
    }
}

enum Attempt {
    Done,
    /// A layer is not what its side index says. Nothing has gone out.
    Doubt,
}

/// What is read and known of the layers looked at.
struct Known {
    lookup: Lookup,
    held: BTreeMap<(usize, u64), Held>,
    /// Of the layers that were not read: what their side indexes say.
    places: BTreeMap<usize, Places>,
}

fn attempt(taking: &mut Taking<'_>, paths: &[Vec<u8>], output: &mut Output<'_>) -> Result<Attempt> {
    let lookup = Lookup::new(taking.image.layers.len(), taking.options)?;
    let mut known = Known { lookup, held: BTreeMap::new(), places: BTreeMap::new() };
    let batches: Vec<&[Vec<u8>]> =
        if taking.verify { vec![paths] } else { paths.iter().map(std::slice::from_ref).collect() };
    for paths in batches {
        let Some(found) = find(taking, &mut known, paths, output)? else { continue };
        // What cannot be written is found out before anything is.
        found.iter().try_for_each(check)?;
        if taking.verify && !collect(taking, &mut known, &found)? {
            return Ok(Attempt::Doubt);
        }
        for file in &found {
            write(taking, &mut known, file, output)?;
        }
    }
    Ok(Attempt::Done)
}

/// Finds files, by as few layers as decide them. `None` if the one that was looked for went out as it came by.
fn find(
    taking: &mut Taking<'_>,
    known: &mut Known,
    paths: &[Vec<u8>],
    output: &mut Output<'_>,
) -> Result<Option<Vec<Found>>> {
    loop {
        let mut sought = Sought::new(&taking.options.limits);
        let mut next = None;
        let mut found = Vec::new();
        for path in paths {
            match known.lookup.find(path)? {
                Answer::Found(file) => found.push(file),
                Answer::Need { layer, path } => {
                    sought.add(path);
                    next = Some(layer);
                }
                _ => return Err(internal("an answer that is not known here")),
            }
        }
        let Some(layer) = next else { return Ok(Some(found)) };
        if let Some(side) = taking.sides.and_then(|sides| sides.of(&taking.image, layer, taking.options)) {
            let (places, index) = Places::of(side);
            known.places.insert(layer, places);
            known.lookup.supply(index.as_layer(layer))?;
            continue;
        }
        taking.image.layers[layer] = (taking.fetch)(layer)?;
        let keeps = taking.sides.filter(Sides::keeps);
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
            scan: if keeps.is_some() { scan.summing() } else { scan },
            held: BTreeMap::new(),
            position: 0,
            temp_dir: taking.temp_dir,
            checkpoints: keeps.map(|_| Checkpoints::new()),
            stream: if taking.verify { None } else { Some(&mut write) },
            streamed: false,
        };
        let report = pass.one(layer, &mut seeking)?;
        let Seeking { scan, held: kept, streamed, checkpoints, .. } = seeking;
        if streamed {
            return Ok(None);
        }
        let bodies = scan.sought().map(|sought| sought.bodies().to_vec()).unwrap_or_default();
        known.held.extend(kept.into_iter().map(|(number, kept)| ((layer, bodies[number].data_at), kept)));
        let mut index = scan.finish()?;
        if let (Some(sides), Some(report), Some(checkpoints)) = (keeps, report, checkpoints) {
            index = keep(sides.store, &taking.image.layers[layer], &report, index, checkpoints);
        }
        known.lookup.supply(index)?;
    }
}

/// Takes what lies in layers that were not read, by their side indexes. Answers whether all is as it was.
fn collect(taking: &mut Taking<'_>, known: &mut Known, found: &[Found]) -> Result<bool> {
    for file in found {
        let Some(inode) = file.inode else { continue };
        let key = (inode.layer, file.data_at);
        let Some(places) = known.places.get(&inode.layer).filter(|_| !known.held.contains_key(&key)) else {
            continue;
        };
        taking.image.layers[inode.layer] = (taking.fetch)(inode.layer)?;
        let local = &taking.image.layers[inode.layer];
        let mut held = Held { file: SpooledTempFile::new_in(IN_MEMORY, taking.temp_dir), kept: 0 };
        let mut sum = crc32fast::Hasher::new();
        let mut keep = |bytes: &[u8]| {
            sum.update(bytes);
            held.kept += bytes.len() as u64;
            held.file.write_all(bytes).map_err(holding(taking.temp_dir))
        };
        let read = places.read(local, range(file), &taking.options.limits, taking.cancel, &mut keep);
        match read {
            Ok(()) if places.sum(inode.entry) == Some(sum.finalize()) => {}
            Err(error) if !error.is_content() && error.code() != "size_mismatch" => return Err(error),
            // Which of the two has changed is seen when the layer is read.
            Ok(()) | Err(_) => {
                if let Some(sides) = taking.sides {
                    sides.store.drop_side_index(&local.descriptor.digest);
                }
                return Ok(false);
            }
        }
        known.held.insert(key, held);
    }
    Ok(true)
}

fn write(taking: &mut Taking<'_>, known: &mut Known, file: &Found, output: &mut Output<'_>) -> Result<()> {
    let Some(layer) = file.inode.map(|inode| inode.layer) else { return Ok(()) };
    if let Some(kept) = known.held.get_mut(&(layer, file.data_at)) {
        return replay(kept, range(file), taking.temp_dir, output);
    }
    if let Some(places) = known.places.get(&layer) {
        // As its bytes are decoded.
        taking.image.layers[layer] = (taking.fetch)(layer)?;
        let local = &taking.image.layers[layer];
        let place = || Place {
            layer: Some(layer),
            blob: Some(local.descriptor.digest),
            entry: Some(file.path.clone()),
            ..Place::default()
        };
        let mut unfold = Unfold::new(file.sparse.as_ref());
        let mut take = |bytes: &[u8]| unfold.take(bytes, output);
        return places
            .read(local, range(file), &taking.options.limits, taking.cancel, &mut take)
            .map_err(|error| error.at(place()))
            .and_then(|()| unfold.take(&[], output));
    }
    // It was not known that it would be wanted when its layer was verified: it is decoded again, to its end.
    let pass =
        Pass { image: &taking.image, limits: &taking.options.limits, cancel: taking.cancel, progress: &() };
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
    if complete { Ok(()) } else { Err(internal("a file ended before its end")) }
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
