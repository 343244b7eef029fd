//! Places that are written at the end: archives, and directories that are no layouts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wharfie_core::archive::write::{Contents, Part};
use wharfie_core::codec::Format;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::{Digest, Limits};

use super::crew::{Crew, To};
use super::staging::{self, Staging};
use super::tar::{self, Bare, Into};
use super::{Destination, Kind, Options};
use crate::at;
use crate::blob_file::BlobFile;
use crate::export::{Output, Sink, pack};
use crate::fault::io_error;
use crate::layers::default_temp_dir;

/// All that was taken, until it is written.
pub(super) struct Made {
    kind: Kind,
    contents: Contents,
    blobs: BTreeMap<Digest, BlobFile>,
    options: Options,
    to: Place,
}

enum Place {
    Archive(Output, Format, i32),
    /// With whether it was a `dir:` when this began, which may be replaced.
    Directory(PathBuf, Staging, bool),
}

impl Made {
    /// An archive of one of these kinds, in the format that the options say.
    pub(super) fn archive(kind: Kind, sink: Sink, options: &Options) -> Result<Made> {
        let format = options.format.unwrap_or(Format::Identity);
        let level = format.level(options.level)?;
        let output = Output::open(sink, format)?;
        Ok(Made::new(kind, options, Place::Archive(output, format, level)))
    }

    /// A directory of one of these kinds.
    pub(super) fn directory(kind: Kind, path: &Path, options: &Options) -> Result<Made> {
        let is_replaced = kind == Kind::Directory && is_transport(path);
        match fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() && !is_replaced {
                    let what = path.display().to_string();
                    return Err(ErrorKind::AlreadyExists { what }.into());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                let reason = format!("{} is no directory", path.display());
                return Err(ErrorKind::InvalidOption { reason }.into());
            }
            Err(error) => return Err(io_error("opening the output", Some(path), &error)),
        }
        let path =
            std::path::absolute(path).map_err(|error| io_error("opening the output", Some(path), &error))?;
        let staging = Staging::new(&staging::parent(&path))?;
        Ok(Made::new(kind, options, Place::Directory(path, staging, is_replaced)))
    }

    fn new(kind: Kind, options: &Options, to: Place) -> Made {
        Made { kind, contents: Contents::default(), blobs: BTreeMap::new(), options: options.clone(), to }
    }
}

impl Destination for Made {
    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(self.contents.has(&descriptor.digest))
    }

    fn document(&mut self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        self.contents.document(descriptor, bytes);
        Ok(())
    }

    fn blob(&mut self, descriptor: &Descriptor, from: &BlobFile) -> Result<()> {
        if self.contents.has(&descriptor.digest) {
            return Ok(());
        }
        // Whoever takes a config for a blob like others is right, but docker's formats are made of it.
        if descriptor.media_type.is_config() && from.len <= Limits::default().document_bytes {
            let document = read_document(descriptor, from)?;
            self.contents.document(descriptor, &document);
            return Ok(());
        }
        self.blobs.insert(descriptor.digest, from.clone());
        self.contents.blob(descriptor);
        Ok(())
    }

    fn name(&mut self, top: &Descriptor, name: Option<&str>) -> Result<()> {
        self.contents.name(top, name);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let Made { kind, contents, blobs, options, to } = *self;
        let parts = match kind {
            Kind::DockerArchive => contents.docker_archive(options.layers),
            Kind::FrozenImage => contents.frozen_image(),
            Kind::Directory => contents.directory(),
            Kind::OciArchive | Kind::OciLayout => contents.oci_archive(),
        }?;
        drop(contents);
        match to {
            Place::Directory(target, staging, is_replaced) => {
                fill(staging.path(), &parts, &blobs, &options)?;
                staging.persist(&target, &|there| is_replaced && is_transport(there))
            }
            Place::Archive(mut output, format, level) => {
                let own = output.file().filter(|_| format == Format::Identity);
                match own {
                    Some((file, path)) => {
                        let failed = |error: io::Error| io_error("opening the output", Some(path), &error);
                        let file = Arc::new(file.try_clone().map_err(failed)?);
                        let into = Into { file, path: path.to_owned() };
                        tar::write(&parts, &blobs, &into, &options)?;
                        if options.durable {
                            into.file.sync_all().map_err(failed)?;
                        }
                    }
                    None => {
                        let dir = options.temp_dir.clone().unwrap_or_else(default_temp_dir);
                        let file = tempfile::tempfile_in(&dir)
                            .map_err(|error| io_error("making a temporary file", Some(&dir), &error))?;
                        let into = Into { file: Arc::new(file), path: dir };
                        let len = tar::write(&parts, &blobs, &into, &options)?;
                        pack(&into.file, len, &mut output, (format, level), options.jobs(), &options.cancel)?;
                        if let (true, Some((file, path))) = (options.durable, output.file()) {
                            file.sync_all()
                                .map_err(|error| io_error("writing the output", Some(path), &error))?;
                        }
                    }
                }
                if options.cancel.is_cancelled() {
                    return Err(ErrorKind::Cancelled {}.into());
                }
                output.commit()
            }
        }
    }
}

/// Whether it is a directory that skopeo, or a writer like it, has made.
fn is_transport(path: &Path) -> bool {
    fs::read(path.join("version")).is_ok_and(|version| version.starts_with(b"Directory Transport"))
}

/// Makes the parts files of a directory.
fn fill(root: &Path, parts: &[Part], blobs: &BTreeMap<Digest, BlobFile>, options: &Options) -> Result<()> {
    let failed = |path: &Path, error: &io::Error| io_error("writing the output", Some(path), error);
    let crew = Crew::new(options.jobs(), &options.cancel)?;
    let mut bare = Vec::new();
    for part in parts {
        let path = root.join(part.name());
        let folder = staging::parent(&path);
        fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        match part {
            Part::Bytes { bytes, .. } => fs::write(&path, bytes).map_err(|error| failed(&path, &error))?,
            Part::Blob { descriptor, .. } => {
                crew.copy(descriptor, source(blobs, descriptor)?, To::File(path))?;
            }
            Part::Bare { layer, diff_id, .. } => {
                let file = File::create_new(&path).map_err(|error| failed(&path, &error))?;
                let into = Into { file: Arc::new(file), path };
                bare.push(Bare {
                    layer,
                    diff_id: *diff_id,
                    from: source(blobs, layer)?,
                    to: tar::Room { into, at: 0, size: u64::MAX },
                });
            }
        }
    }
    tar::decode(bare, options)?;
    crew.finish()
}

/// Where a blob is.
pub(super) fn source<'b>(
    blobs: &'b BTreeMap<Digest, BlobFile>,
    descriptor: &Descriptor,
) -> Result<&'b BlobFile> {
    blobs.get(&descriptor.digest).ok_or_else(|| {
        let what = "a blob of the image".to_owned();
        Error::from(ErrorKind::NotFound { what, detail: None }).in_blob(descriptor.digest)
    })
}

fn read_document(descriptor: &Descriptor, from: &BlobFile) -> Result<Vec<u8>> {
    let failed =
        |error: &io::Error| io_error("reading a config", Some(&from.path), error).in_blob(descriptor.digest);
    let file = from.open().map_err(|error| failed(&error))?;
    let mut document = vec![0; usize::try_from(from.len).unwrap_or(0)];
    at::read_exact(&file, &mut document, from.offset).map_err(|error| failed(&error))?;
    let actual = Digest::of(descriptor.digest.algorithm(), &document);
    if actual != descriptor.digest {
        let error = Error::from(ErrorKind::DigestMismatch { expected: descriptor.digest, actual });
        return Err(error.in_blob(descriptor.digest).at_path(from.path.display().to_string()));
    }
    Ok(document)
}
