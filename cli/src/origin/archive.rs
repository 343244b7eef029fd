//! Archives and directories of images, told apart and read by core's [`archive`](wharfie_core::archive).

use std::fs::File;
use std::io::{Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wharfie_core::archive::{Catalog, Cataloguer, Collection, Kind, Need, Reading, Span};
use wharfie_core::codec::{Decoder, Format};
use wharfie_core::digest::Hasher;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::{Descriptor, check_document};
use wharfie_core::{Algorithm, Digest, Limits};

use super::Origin;
use crate::at;
use crate::blob_file::BlobFile;
use crate::codec::{NativeCodecs, NativeHashes, decode, decode_rest};
use crate::drive::Cancel;
use crate::fault::io_error;
use crate::layers::default_temp_dir;

/// Bytes read at once.
const PIECE: usize = 256 << 10;
/// Bytes read at once where headers are: content behind them is passed over.
const HEADERS: usize = 4 << 10;
/// How deep a directory of images is: `blobs/sha256/HEX`.
const DEPTH: usize = 3;

/// An archive, or a directory that is no OCI layout.
#[derive(Debug)]
pub(super) struct Archive {
    place: Place,
    collection: Collection,
    /// Where the documents are that were made for it, one behind the other.
    made: Vec<(Digest, BlobFile)>,
}

/// Where the members are.
#[derive(Debug)]
enum Place {
    /// In a file, which need not have a name, and what it is called.
    File(Arc<File>, PathBuf),
    Directory(PathBuf),
}

impl Place {
    fn shown(&self) -> String {
        match self {
            Place::File(_, path) | Place::Directory(path) => path.display().to_string(),
        }
    }

    fn blob(&self, span: &Span) -> BlobFile {
        match self {
            Place::File(file, path) => BlobFile::of_open(path, Arc::clone(file), span.offset, span.len),
            Place::Directory(root) => BlobFile::awaited(root.join(&span.member), span.len),
        }
    }
}

impl Archive {
    /// Opens a file; `-` is the standard input. One that is compressed or cannot be read at any place is unpacked first.
    pub(super) fn file(path: &Path, kind: Option<Kind>, limits: &Limits, cancel: &Cancel) -> Result<Archive> {
        let opening = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                let what = "a file of this name".to_owned();
                Error::from(ErrorKind::NotFound { what, detail: None }).at_path(path.display().to_string())
            }
            _ => io_error("opening an archive", Some(path), &error),
        };
        let file = match path.to_str() {
            Some("-") => standard_input().map_err(opening)?,
            _ => File::open(path).map_err(opening)?,
        };
        Archive::of_file(file, path, kind, limits, cancel)
    }

    /// The same of a file that is open.
    pub(super) fn of_file(
        mut file: File,
        path: &Path,
        kind: Option<Kind>,
        limits: &Limits,
        cancel: &Cancel,
    ) -> Result<Archive> {
        let opening = |error: std::io::Error| io_error("opening an archive", Some(path), &error);
        let shown = path.display().to_string();
        let is_seekable = file.metadata().map_err(opening)?.is_file() && path.to_str() != Some("-");
        if is_seekable {
            file.rewind().map_err(opening)?;
        }
        let place = |error: Error| error.at_path(shown.clone());
        let mut head = Vec::new();
        let reading = |error| io_error("reading an archive", Some(path), &error);
        Read::by_ref(&mut file).take(Format::MAGIC_BYTES as u64).read_to_end(&mut head).map_err(reading)?;
        let format = Format::detect(&head).map_err(place)?;
        let file = match (is_seekable, format) {
            (true, Format::Identity) => file,
            _ => unpacked(file, &head, path, limits, cancel).map_err(place)?,
        };
        let catalog = catalog(&file, path, limits).map_err(place)?;
        let place = Place::File(Arc::new(file), path.to_owned());
        Archive::read(place, catalog, kind, limits, cancel)
    }

    /// Opens a directory.
    pub(super) fn directory(
        path: &Path,
        kind: Option<Kind>,
        limits: &Limits,
        cancel: &Cancel,
    ) -> Result<Archive> {
        let mut catalog = Catalog::new();
        list(path, Path::new(""), 0, &mut catalog, limits)
            .map_err(|error| error.at_path(path.display().to_string()))?;
        Archive::read(Place::Directory(path.to_owned()), catalog, kind, limits, cancel)
    }

    fn read(
        place: Place,
        catalog: Catalog,
        kind: Option<Kind>,
        limits: &Limits,
        cancel: &Cancel,
    ) -> Result<Archive> {
        let shown = place.shown();
        let located = |error: Error| error.at_path(shown.clone());
        let mut reading = Reading::new(catalog, kind, limits);
        let collection = loop {
            match reading.poll_need().map_err(located)? {
                Need::Bytes(span) => {
                    let bytes = bytes(&place.blob(&span)).map_err(located)?;
                    reading.supply(&bytes).map_err(located)?;
                }
                Need::Digest { span, decoded } => {
                    let digest = digest(&place.blob(&span), decoded, limits, cancel).map_err(|error| {
                        let entry = Some(span.member.clone().into_bytes());
                        located(error.at(wharfie_core::Place { entry, ..Default::default() }))
                    })?;
                    reading.hashed(digest).map_err(located)?;
                }
                Need::Done(collection) => break collection,
            }
        };
        let made = kept(&collection)?;
        Ok(Archive { place, collection, made })
    }
}

impl Origin for Archive {
    fn name(&self) -> String {
        self.place.shown()
    }

    fn entries(&self) -> Result<Vec<Descriptor>> {
        Ok(self.collection.entries())
    }

    fn document(&self, digest: &Digest, limits: &Limits) -> Result<Vec<u8>> {
        if let Some(made) = self.collection.made.get(digest) {
            return Ok(made.clone());
        }
        let located = |error: Error| error.in_blob(*digest).at_path(self.place.shown());
        let Some(span) = self.collection.blobs.get(digest) else {
            let what = format!("blob {digest}");
            return Err(located(ErrorKind::NotFound { what, detail: None }.into()));
        };
        if span.len > limits.document_bytes {
            let value = limits.document_bytes;
            return Err(located(ErrorKind::LimitExceeded { limit: "document_bytes", value }.into()));
        }
        let raw = bytes(&self.place.blob(span)).map_err(located)?;
        check_document(&raw, digest, limits).map_err(located)?;
        Ok(raw)
    }

    fn blob(&self, digest: &Digest) -> Result<Option<BlobFile>> {
        if let Some(span) = self.collection.blobs.get(digest) {
            return Ok(Some(self.place.blob(span)));
        }
        let mut made = self.made.iter();
        Ok(made.find(|(known, _)| known == digest).map(|(_, blob)| blob.clone()))
    }

    fn find(&self, name: Option<&str>) -> Result<Descriptor> {
        let found = self.collection.find(name).map_err(|error| error.at_path(self.place.shown()))?;
        Ok(found.top.clone())
    }
}

fn standard_input() -> std::io::Result<File> {
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned()?;
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&std::io::stdin()).try_clone_to_owned()?;
    Ok(File::from(handle))
}

/// All of a stream, decoded, in a temporary file without a name. `head` is read already.
fn unpacked(mut file: File, head: &[u8], path: &Path, limits: &Limits, cancel: &Cancel) -> Result<File> {
    let dir = default_temp_dir();
    let mut spool = tempfile::tempfile_in(&dir)
        .map_err(|error| io_error("making a temporary file", Some(&dir), &error))?;
    let mut keep = |bytes: &[u8]| {
        spool.write_all(bytes).map_err(|error| io_error("writing a temporary file", Some(&dir), &error))
    };
    let mut decoder = Decoder::new(&NativeCodecs, None, limits);
    let mut buffer = vec![0; PIECE];
    decode(&mut decoder, head, &mut buffer, &mut keep)?;
    let mut input = vec![0; PIECE];
    loop {
        if cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled {}.into());
        }
        match file.read(&mut input) {
            Ok(0) => break,
            Ok(n) => decode(&mut decoder, &input[..n], &mut buffer, &mut keep)?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io_error("reading an archive", Some(path), &error)),
        }
    }
    decode_rest(&mut decoder, &mut buffer, &mut keep)?;
    Ok(spool)
}

/// The members of an archive, whose content is passed over.
fn catalog(file: &File, path: &Path, limits: &Limits) -> Result<Catalog> {
    let reading = |error| io_error("reading an archive", Some(path), &error);
    let len = file.metadata().map_err(reading)?.len();
    let mut cataloguer = Cataloguer::new(limits);
    let mut buffer = vec![0; HEADERS];
    while !cataloguer.is_ended() {
        let position = cataloguer.position();
        match at::read(file, &mut buffer, position) {
            Ok(0) => break,
            Ok(n) => cataloguer.feed(position, &buffer[..n])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(reading(error)),
        }
    }
    cataloguer.finish(len)
}

/// The files of a directory, as deep as any that holds images.
fn list(root: &Path, below: &Path, depth: usize, catalog: &mut Catalog, limits: &Limits) -> Result<()> {
    let folder = root.join(below);
    let reading = |error| io_error("reading a directory", Some(&folder), &error);
    for entry in std::fs::read_dir(&folder).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let name = below.join(entry.file_name());
        // What is no text is none of ours.
        let Some(text) = name.to_str().map(|name| name.replace(std::path::MAIN_SEPARATOR, "/")) else {
            continue;
        };
        let kind = entry.file_type().map_err(reading)?;
        if kind.is_dir() {
            catalog.add_directory(text.as_bytes(), limits)?;
            if depth + 1 < DEPTH {
                list(root, &name, depth + 1, catalog, limits)?;
            }
        } else if kind.is_file() {
            let len = entry.metadata().map_err(reading)?.len();
            catalog.add_file(text.as_bytes(), 0, len, limits)?;
        } else if kind.is_symlink() {
            let target = std::fs::read_link(entry.path()).map_err(reading)?;
            if let Some(target) = target.to_str().filter(|_| target.is_relative()) {
                catalog.add_symlink(text.as_bytes(), target.as_bytes(), limits)?;
            }
        }
    }
    Ok(())
}

fn bytes(blob: &BlobFile) -> Result<Vec<u8>> {
    let reading = |error| io_error("reading an archive", Some(&blob.path), &error);
    let file = blob.open().map_err(reading)?;
    let mut bytes = vec![0; usize::try_from(blob.len).unwrap_or(usize::MAX)];
    at::read_exact(&file, &mut bytes, blob.offset).map_err(reading)?;
    Ok(bytes)
}

fn digest(blob: &BlobFile, decoded: bool, limits: &Limits, cancel: &Cancel) -> Result<Digest> {
    let mut hasher = Hasher::new(&NativeHashes, Algorithm::Sha256);
    let mut decoder = Decoder::new(&NativeCodecs, None, limits);
    let mut buffer = vec![0; PIECE];
    let mut take = |bytes: &[u8]| -> Result<()> {
        hasher.update(bytes);
        Ok(())
    };
    blob.read_pieces("reading an archive", cancel, &mut |piece| match decoded {
        true => decode(&mut decoder, piece, &mut buffer, &mut take),
        false => take(piece),
    })?;
    if decoded {
        decode_rest(&mut decoder, &mut buffer, &mut take)?;
    }
    Ok(hasher.finish())
}

/// Keeps the made documents in a temporary file without a name, so that they can be read as blobs.
fn kept(collection: &Collection) -> Result<Vec<(Digest, BlobFile)>> {
    if collection.made.is_empty() {
        return Ok(Vec::new());
    }
    let dir = default_temp_dir();
    let failed = |error| io_error("writing a temporary file", Some(&dir), &error);
    let mut file = tempfile::tempfile_in(&dir).map_err(failed)?;
    for raw in collection.made.values() {
        file.write_all(raw).map_err(failed)?;
    }
    let file = Arc::new(file);
    let mut offset = 0;
    let range = |(digest, raw): (&Digest, &Vec<u8>)| {
        let len = raw.len() as u64;
        let blob = BlobFile::of_open(&dir, Arc::clone(&file), offset, len);
        offset += len;
        (*digest, blob)
    };
    Ok(collection.made.iter().map(range).collect())
}
