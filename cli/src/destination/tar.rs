//! Parts to a tar in a file.
//!
//! A tar says how long a file is before it says what is in it, and how long a layer is without its compression is known
//! when it has been decoded. So that layers can be decoded side by side, each right to where it belongs, their lengths are
//! foretold: gzip ends with its length, zstd often begins with it. Where that turns out wrong, or says nothing, the length
//! is known afterwards, and what stands in the wrong place is written again. A wrong prediction costs time, never a byte.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wharfie_core::archive::write::Part;
use wharfie_core::codec::Format;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::tar::{END_OF_ARCHIVE, Header, Kind, Metadata, padding};
use wharfie_core::{Digest, Limits};

use super::Options;
use super::crew::{Crew, To};
use super::made::source;
use crate::at;
use crate::blob_file::BlobFile;
use crate::fault::{available_space, io_error};
use crate::layers::pass::{Flow, Pass, Reader};
use crate::layers::{LocalImage, LocalLayer, Spool, default_temp_dir};

/// A file that is written at given positions.
#[derive(Clone)]
pub(super) struct Into {
    pub(super) file: Arc<File>,
    /// For messages.
    pub(super) path: PathBuf,
}

impl Into {
    fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        at::write_all(&self.file, bytes, at)
            .map_err(|error| io_error("writing the output", Some(&self.path), &error))
    }
}

/// Room in a file: nothing is written beyond it.
#[derive(Clone)]
pub(super) struct Room {
    pub(super) into: Into,
    pub(super) at: u64,
    pub(super) size: u64,
}

/// A layer to be decoded.
pub(super) struct Bare<'b, T = Room> {
    pub(super) layer: &'b Descriptor,
    pub(super) diff_id: Digest,
    pub(super) from: &'b BlobFile,
    pub(super) to: T,
}

/// Writes the parts, all of it verified. Answers how long the tar is.
pub(super) fn write(
    parts: &[Part],
    blobs: &BTreeMap<Digest, BlobFile>,
    into: &Into,
    options: &Options,
) -> Result<u64> {
    // What is foretold, and what is known, by blob.
    let mut sizes: BTreeMap<Digest, u64> = BTreeMap::new();
    let mut unknown = Vec::new();
    for part in parts {
        if let Part::Bare { layer, diff_id, .. } = part {
            let from = source(blobs, layer)?;
            match foretell(layer, *diff_id, from) {
                Some(size) => drop(sizes.insert(layer.digest, size)),
                None => unknown.push(Bare { layer, diff_id: *diff_id, from, to: () }),
            }
        }
    }
    let spools = spool(unknown, options)?;
    sizes.extend(spools.iter().map(|(digest, spool)| (*digest, spool.len())));
    loop {
        let found = lay(parts, blobs, &sizes, &spools, into, options)?;
        let (actual, len) = found;
        if actual.iter().all(|(digest, actual)| sizes.get(digest) == Some(actual)) {
            return Ok(len);
        }
        // Now that they are known, they cannot be wrong again.
        sizes.extend(actual);
    }
}

/// Writes the parts with layers of these lengths. Answers how long the layers are that were decoded, and the tar.
fn lay(
    parts: &[Part],
    blobs: &BTreeMap<Digest, BlobFile>,
    sizes: &BTreeMap<Digest, u64>,
    spools: &BTreeMap<Digest, Spool>,
    into: &Into,
    options: &Options,
) -> Result<(BTreeMap<Digest, u64>, u64)> {
    let size_of = |part: &Part| match part {
        Part::Bytes { bytes, .. } => bytes.len() as u64,
        Part::Blob { descriptor, .. } => descriptor.size,
        Part::Bare { layer, .. } => sizes.get(&layer.digest).copied().unwrap_or(0),
    };
    let metadata = Metadata { mode: 0o644, ..Metadata::default() };
    let mut placed = Vec::with_capacity(parts.len());
    let mut len: u64 = 0;
    for part in parts {
        let size = size_of(part);
        let mut header = Vec::new();
        let (path, kind) = (part.name().as_bytes(), Kind::File);
        Header { path, link: &[], kind, metadata: &metadata, size }.write(&mut header)?;
        let at = len.saturating_add(header.len() as u64);
        placed.push((part, header, at, size));
        len = at.saturating_add(size).saturating_add(padding(size) as u64);
    }
    len = len.saturating_add(END_OF_ARCHIVE.len() as u64);
    check_space(into, len)?;
    // What is not written is zeros: fillings, and the end.
    into.file
        .set_len(0)
        .and_then(|()| into.file.set_len(len))
        .map_err(|error| io_error("writing the output", Some(&into.path), &error))?;
    let crew = Crew::new(options.jobs(), &options.cancel)?;
    let mut bare = Vec::new();
    for (part, header, at, size) in placed {
        into.write(&header, at - header.len() as u64)?;
        match part {
            Part::Bytes { bytes, .. } => into.write(bytes, at)?,
            Part::Blob { descriptor, .. } => {
                let to = To::Range(Arc::clone(&into.file), at, into.path.clone());
                crew.copy(descriptor, source(blobs, descriptor)?, to)?;
            }
            // Its blob is its tar: one hash serves for both.
            Part::Bare { layer, diff_id, .. } if layer.digest == *diff_id => {
                let to = To::Range(Arc::clone(&into.file), at, into.path.clone());
                crew.copy(layer, source(blobs, layer)?, to)?;
            }
            Part::Bare { layer, diff_id, .. } => match spools.get(&layer.digest) {
                Some(spool) => copy(spool, into, at)?,
                None => bare.push(Bare {
                    layer,
                    diff_id: *diff_id,
                    from: source(blobs, layer)?,
                    to: Room { into: into.clone(), at, size },
                }),
            },
        }
    }
    let actual = decode(bare, options)?;
    crew.finish()?;
    Ok((actual, len))
}

/// How long the layer is without its compression, as far as its blob says so.
fn foretell(layer: &Descriptor, diff_id: Digest, from: &BlobFile) -> Option<u64> {
    if layer.digest == diff_id {
        return Some(from.len);
    }
    let file = from.open().ok()?;
    let mut head = [0; 18];
    let head = head.get_mut(..usize::try_from(from.len.min(18)).unwrap_or(0))?;
    at::read_exact(&file, head, from.offset).ok()?;
    let magic = head.get(..head.len().min(Format::MAGIC_BYTES))?;
    match Format::detect(magic).ok()? {
        Format::Identity => Some(from.len),
        Format::Gzip if from.len >= 18 => {
            let mut tail = [0; 4];
            at::read_exact(&file, &mut tail, from.offset + from.len - 4).ok()?;
            // Of the last member, modulo 2^32: tars do not grow when they are compressed.
            Some(u64::from(u32::from_le_bytes(tail))).filter(|size| *size >= from.len)
        }
        Format::Zstd => {
            let size = zstd::zstd_safe::get_frame_content_size(head).ok().flatten()?;
            // Whoever lies gets what is right in the second round, but no disk of zeros in the first.
            (size / 1000 <= from.len).then_some(size)
        }
        _ => None,
    }
}

fn check_space(into: &Into, len: u64) -> Result<()> {
    let folder =
        if into.path.is_dir() { into.path.as_path() } else { into.path.parent().unwrap_or(Path::new(".")) };
    match available_space(folder) {
        Some(available) if available < len => {
            let error = Error::from(ErrorKind::NoSpace { needed: len, available: Some(available) });
            Err(error.at_path(into.path.display().to_string()))
        }
        _ => Ok(()),
    }
}

fn copy(spool: &Spool, into: &Into, at: u64) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut position = 0;
    while position < spool.len() {
        let n = buffer.len().min(usize::try_from(spool.len() - position).unwrap_or(buffer.len()));
        spool.read(&mut buffer[..n], position)?;
        into.write(&buffer[..n], at + position)?;
        position += n as u64;
    }
    Ok(())
}

/// Writes what it gets to its room.
struct Writing {
    room: Room,
    taken: u64,
}

impl Reader for Writing {
    fn take(&mut self, bytes: &[u8]) -> Result<Flow> {
        let left = self.room.size.saturating_sub(self.taken);
        let n = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.room.into.write(&bytes[..n], self.room.at + self.taken)?;
        self.taken += bytes.len() as u64;
        Ok(Flow::More)
    }
}

/// Keeps what it gets.
struct Keeping(Spool);

impl Reader for Keeping {
    fn take(&mut self, bytes: &[u8]) -> Result<Flow> {
        self.0.write(bytes).map(|()| Flow::More)
    }
}

/// Decodes layers to their rooms, blob and `diff_id` checked, as many at once as there are processors. Answers how long
/// each is, also where its room was smaller.
pub(super) fn decode(bare: Vec<Bare<'_>>, options: &Options) -> Result<BTreeMap<Digest, u64>> {
    let read = pass(bare, options, |room| Ok(Writing { room, taken: 0 }))?;
    Ok(read.into_iter().map(|(digest, writing)| (digest, writing.taken)).collect())
}

/// Decodes layers into files without a name, blob and `diff_id` checked.
fn spool(bare: Vec<Bare<'_, ()>>, options: &Options) -> Result<BTreeMap<Digest, Spool>> {
    let dir = options.temp_dir.clone().unwrap_or_else(default_temp_dir);
    let read = pass(bare, options, |()| Spool::new(&dir).map(Keeping))?;
    Ok(read.into_iter().map(|(digest, Keeping(spool))| (digest, spool)).collect())
}

fn pass<T, R: Reader>(
    bare: Vec<Bare<'_, T>>,
    options: &Options,
    reader: impl Fn(T) -> Result<R>,
) -> Result<Vec<(Digest, R)>> {
    let mut image = LocalImage { layers: Vec::new(), diff_ids: None };
    let (mut diff_ids, mut readers) = (Vec::new(), Vec::new());
    for (at, bare) in bare.into_iter().enumerate() {
        image.layers.push(LocalLayer {
            descriptor: bare.layer.clone(),
            blob: bare.from.clone(),
            arriving: None,
        });
        diff_ids.push(bare.diff_id);
        readers.push((at, reader(bare.to)?));
    }
    if readers.is_empty() {
        return Ok(Vec::new());
    }
    image.diff_ids = Some(diff_ids);
    let limits = Limits::default();
    let pass = Pass { image: &image, limits: &limits, cancel: &options.cancel, progress: &() };
    let read = pass.all(readers)?;
    let digest = |layer: usize| image.layers.get(layer).map(|layer| layer.descriptor.digest);
    Ok(read.into_iter().filter_map(|(layer, reader, _)| Some((digest(layer)?, reader))).collect())
}
