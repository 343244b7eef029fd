//! Layers that are tars already.

use std::fs::File;
use std::io;
use std::path::Path;

use wharfie_core::codec::{Codec as _, Decoder, Format, Needs};
use wharfie_core::digest::Hasher;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::merge::Scan;
use wharfie_core::{Algorithm, Digest};

use super::{Layer, MakeOptions, PIECE, Workbench, media_type};
use crate::at;
use crate::blob_file::BlobFile;
use crate::codec::{NativeCodecs, NativeHashes};
use crate::export::pack_file;
use crate::fault::{changed, io_error};

/// What a blob turned out to be.
pub(super) struct Measured {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) diff_id: Digest,
    pub(super) format: Format,
}

/// A layer of the tar in this file. As it is, if it has the compression that is asked for.
pub(super) fn layer(bench: &mut Workbench, path: &Path) -> Result<Layer> {
    let blob = if path == Path::new("-") { spooled(bench, io::stdin().lock())? } else { file(bench, path)? };
    if blob.len == 0 {
        let reason = "it is empty".to_owned();
        return Err(Error::from(ErrorKind::InvalidTar { reason }).at_byte(0));
    }
    let found = detect(&blob)?;
    let wanted = match (bench.options.compress, found) {
        (Some(format), _) => format,
        (None, Format::Identity) => Format::Gzip,
        (None, found) => found,
    };
    if wanted == found && (bench.options.level.is_none() || found == Format::Identity) {
        let measured = measure(&blob, &bench.options, &mut |_| Ok(()))?;
        let descriptor = Descriptor::new(media_type(measured.format), measured.digest, measured.size);
        return Ok(Layer { descriptor, diff_id: measured.diff_id, blob, left_out: Vec::new() });
    }
    let target = bench.next();
    let options = &bench.options;
    let packed = pack_file(&target, wanted, options.level, &options.cancel, |to| {
        measure(&blob, options, &mut |piece| to.write(piece)).map(drop)
    })?;
    let descriptor = Descriptor::new(media_type(wanted), packed.digest, packed.size);
    let blob = BlobFile::range(target, 0, packed.size);
    Ok(Layer { descriptor, diff_id: packed.plain, blob, left_out: Vec::new() })
}

/// The file itself; what is no regular file is read once, into one that is.
fn file(bench: &mut Workbench, path: &Path) -> Result<BlobFile> {
    let failed = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            ErrorKind::NotFound { what: path.display().to_string(), detail: None }.into()
        }
        _ => io_error("reading a layer", Some(path), error),
    };
    let opened = File::open(path).map_err(|error| failed(&error))?;
    let metadata = opened.metadata().map_err(|error| failed(&error))?;
    if metadata.is_file() { Ok(BlobFile::range(path, 0, metadata.len())) } else { spooled(bench, opened) }
}

fn spooled(bench: &mut Workbench, mut from: impl io::Read) -> Result<BlobFile> {
    let path = bench.next();
    let failed = |error: io::Error| io_error("reading a layer", Some(&path), &error);
    let mut file = File::create_new(&path).map_err(failed)?;
    let len = io::copy(&mut from, &mut file).map_err(failed)?;
    Ok(BlobFile::range(&path, 0, len))
}

fn detect(blob: &BlobFile) -> Result<Format> {
    let failed = |error: io::Error| io_error("reading a layer", Some(&blob.path), &error);
    let mut magic = [0; Format::MAGIC_BYTES];
    let n = magic.len().min(usize::try_from(blob.len).unwrap_or(usize::MAX));
    let file = blob.open().map_err(failed)?;
    at::read_exact(&file, &mut magic[..n], blob.offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => changed(&blob.path),
        _ => failed(error),
    })?;
    Format::detect(&magic[..n])
}

/// Reads a blob to its end: its digest, and that of its tar, which has to be one that a layer can be. What is decoded is
/// handed to `take`.
pub(super) fn measure(
    blob: &BlobFile,
    options: &MakeOptions,
    take: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<Measured> {
    let limits = &options.limits;
    let mut decoder = Decoder::new(&NativeCodecs, None, limits);
    let mut packed = Hasher::new(&NativeHashes, Algorithm::Sha256);
    let mut plain = Hasher::new(&NativeHashes, Algorithm::Sha256);
    // The only layer there is: which one of the image it will be means nothing to whoever reads of an error in it.
    let mut scan = Scan::new(0, limits);
    let mut buffer = vec![0; PIECE];
    let mut keep = |bytes: &[u8]| {
        scan.feed(bytes)?;
        plain.update(bytes);
        take(bytes)
    };
    blob.read_pieces("reading a layer", &options.cancel, &mut |piece| {
        packed.update(piece);
        let mut taken = 0;
        loop {
            let step = decoder.process(&piece[taken..], &mut buffer);
            let step = step.map_err(|error| error.at_byte(decoder.written()))?;
            taken += step.read;
            keep(&buffer[..step.written])?;
            if step.needs != Needs::Output && taken == piece.len() {
                return Ok(());
            }
        }
    })?;
    loop {
        let step = decoder.finish(&mut buffer).map_err(|error| error.at_byte(decoder.written()))?;
        keep(&buffer[..step.written])?;
        if step.needs == Needs::Nothing {
            break;
        }
    }
    scan.finish()?;
    Ok(Measured {
        digest: packed.finish(),
        size: blob.len,
        diff_id: plain.finish(),
        format: decoder.format().unwrap_or(Format::Identity),
    })
}
