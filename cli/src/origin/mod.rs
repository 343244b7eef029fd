//! Where images are read from on this machine: layouts, archives, directories.

mod archive;
mod walk;

use std::fmt::Debug;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use wharfie_core::archive::Kind;
use wharfie_core::client::{PullOptions, Pulled};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::source::{Local, Transport};
use wharfie_core::{Digest, Limits};

use self::archive::Archive;
use crate::blob_file::BlobFile;
use crate::drive::{Cancel, Observer, Supply};
use crate::fault::io_error;
use crate::layout::Layout;

/// A place on this machine that holds images; nothing in it is trusted before its digest held.
pub trait Origin: Debug + Send + Sync {
    /// What it is called in messages.
    fn name(&self) -> String;

    /// The images that it lists, each with its name as an annotation (`org.opencontainers.image.ref.name`), if it has one.
    ///
    /// # Errors
    /// `invalid_document`, `limit_exceeded`, `local_io`.
    fn entries(&self) -> Result<Vec<Descriptor>>;

    /// Reads a document and checks its digest.
    ///
    /// # Errors
    /// `not_found`, `digest_mismatch`, `limit_exceeded`, `local_io`.
    fn document(&self, digest: &Digest, limits: &Limits) -> Result<Vec<u8>>;

    /// Where a blob is; `None` if it is not here.
    ///
    /// # Errors
    /// `local_io`.
    fn blob(&self, digest: &Digest) -> Result<Option<BlobFile>>;

    /// The image of this name, or at this place (`@N`, counted from 0); without a name the only one there is.
    ///
    /// # Errors
    /// `not_found` with the names there are, and whatever [`Origin::entries`] answers.
    fn find(&self, name: Option<&str>) -> Result<Descriptor>;
}

impl Origin for Layout {
    fn name(&self) -> String {
        self.root().display().to_string()
    }

    fn entries(&self) -> Result<Vec<Descriptor>> {
        Layout::entries(self)
    }

    fn document(&self, digest: &Digest, limits: &Limits) -> Result<Vec<u8>> {
        Layout::document(self, digest, limits)
    }

    fn blob(&self, digest: &Digest) -> Result<Option<BlobFile>> {
        Ok(self.blob_size(digest).map(|size| BlobFile::awaited(self.blob_path(digest), size)))
    }

    fn find(&self, name: Option<&str>) -> Result<Descriptor> {
        Layout::find(self, name)
    }
}

/// Opens what is at a place on this machine: the transport says what it must be; for a bare path what is there is looked
/// at. An archive that is compressed, or comes through a pipe (`-` is the standard input), is unpacked once into a temporary
/// file without a name. That, and hashing what has no digest yet, go through all of it: `cancel` is looked at piece by piece.
///
/// # Errors
/// `not_found`, `invalid_document`, `invalid_tar`, `limit_exceeded`, `unsupported_compression`, `corrupt_stream`,
/// `local_io`, `no_space`, `permission_denied`, `cancelled`.
pub fn open(local: &Local, cancel: &Cancel) -> Result<Arc<dyn Origin>> {
    let path = Path::new(&local.path);
    let limits = &Limits::default();
    let is_dir = path.is_dir();
    let refuse = |what: &str| {
        let error = ErrorKind::InvalidOption { reason: what.to_owned() };
        Err(Error::from(error).at_path(&local.path))
    };
    let archive = match (local.transport, is_dir) {
        (Transport::OciLayout, _) => return Ok(Arc::new(Layout::open(path)?)),
        (Transport::Path, true)
            if path.join("oci-layout").exists() && !path.join("manifest.json").exists() =>
        {
            return Ok(Arc::new(Layout::open(path)?));
        }
        (Transport::Path, true) => Archive::directory(path, None, limits, cancel),
        (Transport::Path, false) => Archive::file(path, None, limits, cancel),
        (Transport::OciArchive, true) => return refuse("it is a directory: `oci:DIR` names a layout"),
        (Transport::OciArchive, false) => Archive::file(path, Some(Kind::Layout), limits, cancel),
        (Transport::DockerArchive, true) => Archive::directory(path, Some(Kind::Docker), limits, cancel),
        (Transport::DockerArchive, false) => Archive::file(path, Some(Kind::Docker), limits, cancel),
        (Transport::Directory, false) if path.exists() => return refuse("it is no directory"),
        (Transport::Directory, _) => Archive::directory(path, Some(Kind::Directory), limits, cancel),
        _ => return refuse("this is not read"),
    };
    Ok(Arc::new(archive?))
}

/// Opens an archive that is open already; `path` is what it is called in messages. The position in the file is where it
/// begins if it cannot be read at any place, and means nothing if it can.
///
/// # Errors
/// As [`open`].
pub fn of_file(file: File, path: &Path, transport: Transport, cancel: &Cancel) -> Result<Arc<dyn Origin>> {
    let kind = match transport {
        Transport::OciArchive => Some(Kind::Layout),
        Transport::DockerArchive => Some(Kind::Docker),
        _ => None,
    };
    Ok(Arc::new(Archive::of_file(file, path, kind, &Limits::default(), cancel)?))
}

impl dyn Origin + '_ {
    /// Reads a document: from here, or what is embedded in its descriptor, whose digest was checked when that was read.
    ///
    /// # Errors
    /// As [`Origin::document`].
    pub fn content(&self, descriptor: &Descriptor, limits: &Limits) -> Result<Vec<u8>> {
        match (self.document(&descriptor.digest, limits), &descriptor.data) {
            (Err(error), Some(data)) if error.code() == "not_found" => Ok(data.clone()),
            (document, _) => document,
        }
    }

    /// Where a blob is: here, or in a temporary file if it is embedded in its descriptor only.
    ///
    /// # Errors
    /// As [`Origin::blob`]; `no_space`.
    pub fn content_file(&self, descriptor: &Descriptor) -> Result<Option<BlobFile>> {
        match (self.blob(&descriptor.digest)?, &descriptor.data) {
            (None, Some(data)) => BlobFile::of_bytes(data)
                .map(Some)
                .map_err(|error| io_error("writing a temporary file", None, &error)),
            (blob, _) => Ok(blob),
        }
    }

    /// Goes through an image as a pull would, with what is here: which manifests, configs and layers it has.
    ///
    /// The client machine decides; this only answers what it asks.
    ///
    /// # Errors
    /// `not_found` for what is missing, and whatever the documents come to.
    pub fn walk(&self, top: &Descriptor, options: PullOptions, observer: &dyn Observer) -> Result<Pulled> {
        walk::walk(self, top, options, observer)
    }
}

/// What a push takes from an origin.
pub struct Supplied(pub Arc<dyn Origin>);

impl Supply for Supplied {
    fn document(&self, descriptor: &Descriptor) -> Result<Option<Vec<u8>>> {
        self.0.document(&descriptor.digest, &Limits::default()).map(Some)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Option<BlobFile>> {
        self.0.blob(&descriptor.digest)
    }
}
