//! The content store: an OCI layout in a directory, shared by processes.
//!
//! ```text
//! oci-layout  index.json  blobs/<algorithm>/<hex>     the layout, for every tool that reads one
//! ingest/lock                                         shared by all who use the store, exclusive for a prune
//! .index.lock                                         held while index.json is rewritten, and then gone
//! ingest/<algorithm>-<hex>.partial                    a blob on its way, locked by the one process that writes it
//! side/<algorithm>/<hex>                              what is known of a layer without reading its blob: derived, may go
//! ```
//!
//! What is under `blobs/` has been verified, and came there by a rename: nothing there is ever written to. What an
//! earlier run left in `ingest/` is gone over again by the hasher before it counts. Locks are the system's own
//! (`flock`), so a process that dies leaves none behind. Two processes that want one blob: the first takes the lock,
//! the other waits for it and then finds the blob there, or goes on where the first one died.
//!
//! A name maps to a descriptor by `org.opencontainers.image.ref.name` in `index.json`: the full reference, as
//! `docker.io/library/alpine:3`. Only images whose layers were fetched are listed; an index that is listed may have
//! entries (other platforms) that are not here, as image-spec allows.

mod census;
mod index;
mod lock;
mod partial;
mod side;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use wharfie_core::archive::listing::{EMPTY, MARKER};
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::image::{Descriptor, Document};
use wharfie_core::{Digest, Error, Limits, MediaType, Reference};

use crate::fault::io_error;
/// On entries of the index: the image was made or loaded on this machine.
pub(crate) const LOCAL: &str = "io.wharfie.local";

pub use census::{Census, Image, Prune, Pruned};
pub use partial::{Claim, Partial};

/// A store in a directory: an OCI layout (image-spec `image-layout.md`) that other tools can read. Cheap to clone.
///
/// While one lives, no `prune` of another process removes anything.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    lease: lock::Lease,
}

impl Store {
    /// `WHARFIE_STORE`, else `wharfie/store` in the user's cache directory (`$XDG_CACHE_HOME`, `~/.cache`;
    /// `%LOCALAPPDATA%` on Windows).
    ///
    /// # Errors
    /// `invalid_option` where none of these is known.
    pub fn default_dir() -> Result<PathBuf> {
        default_dir(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
    }

    /// Opens the store in this directory, which is made if it is missing. A directory that cannot be written to is
    /// opened for reading, if there is a store.
    ///
    /// # Errors
    /// `local_io`, `permission_denied`; `invalid_option` if the directory holds something that is no OCI layout.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Store> {
        let root = std::path::absolute(dir.into())
            .map_err(|e| io_error("opening the store", Some(Path::new(".")), &e))?;
        let found = check_layout(&root)?;
        let lease = match lay(&root, found).and_then(|()| lock::Lease::take(&root)) {
            Ok(lease) => lease,
            Err(error) if found && is_read_only(&error) => lock::Lease::none(),
            Err(error) => return Err(error),
        };
        Ok(Store(Arc::new(Inner { root, lease })))
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Whether it can only be read.
    pub fn is_read_only(&self) -> bool {
        self.0.lease.is_none()
    }

    /// Where a blob is, or would be: `blobs/<algorithm>/<hex>`.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root().join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// The size of a blob, if it is there.
    pub fn has(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.blob_path(digest)).ok().filter(fs::Metadata::is_file).map(|meta| meta.len())
    }

    /// Removes a blob whose bytes turned out not to be what its name says, so that the next pull fetches it again.
    /// Answers whether it did. Who has the file open reads on in what is there.
    pub fn discard(&self, digest: &Digest) -> bool {
        self.drop_side_index(digest);
        !self.is_read_only() && fs::remove_file(self.blob_path(digest)).is_ok()
    }

    /// Opens a blob for reading, if it is there.
    ///
    /// # Errors
    /// `local_io`, `permission_denied`.
    pub fn open_blob(&self, digest: &Digest) -> Result<Option<File>> {
        let path = self.blob_path(digest);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("reading a blob", Some(&path), &error).in_blob(*digest)),
        }
    }

    /// Reads a document (index, manifest, config) of at most `limit` bytes, if it is there, and checks its digest.
    ///
    /// # Errors
    /// `digest_mismatch`, `limit_exceeded`, `local_io`, `permission_denied`.
    pub fn read_document(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open_blob(digest)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| {
            io_error("reading a document", Some(&self.blob_path(digest)), &error).in_blob(*digest)
        })?;
        if bytes.len() as u64 > limit {
            return Err(Error::from(ErrorKind::LimitExceeded { limit: "document_bytes", value: limit })
                .in_blob(*digest)
                .at_path(self.blob_path(digest).display().to_string()));
        }
        let actual = Digest::of(digest.algorithm(), &bytes);
        if actual != *digest {
            // A signed schema 1 manifest is kept as it came; its digest is over what the signatures protect.
            let limits = Limits { document_bytes: limit, ..Limits::default() };
            if !Document::parse(&bytes, None, &limits).is_ok_and(|document| document.verify(digest).is_ok()) {
                return Err(Error::from(ErrorKind::DigestMismatch { expected: *digest, actual })
                    .in_blob(*digest)
                    .at_path(self.blob_path(digest).display().to_string()));
            }
        }
        Ok(Some(bytes))
    }

    /// Keeps a document whose digest has been checked.
    ///
    /// # Errors
    /// `no_space`, `local_io`, `permission_denied`.
    pub fn put_document(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let path = self.blob_path(digest);
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        self.replace(&path, bytes).map_err(|error| error.in_blob(*digest))
    }

    /// Takes a copy of a file whose bytes have this digest.
    ///
    /// # Errors
    /// `no_space`, `local_io`, `permission_denied`.
    pub fn adopt(&self, digest: &Digest, from: &Path) -> Result<()> {
        if self.has(digest).is_some() {
            return Ok(());
        }
        let path = self.blob_path(digest);
        let copy = || -> std::io::Result<()> {
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir)?;
            }
            let mut file = temporary(&self.ingest())?;
            std::io::copy(&mut File::open(from)?, &mut file)?;
            file.as_file().sync_all()?;
            file.persist(&path).map(drop).map_err(|error| error.error)
        };
        copy().map_err(|error| io_error("writing to the store", Some(&path), &error).in_blob(*digest))
    }

    /// What a reference names, as far as the store knows: by its digest if it has one, else by its tag. For a digest
    /// the document itself must be here.
    ///
    /// # Errors
    /// `local_io`, `invalid_document`.
    pub fn resolve(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        let Some(digest) = reference.digest() else {
            let name = reference.clone().or_latest().to_string();
            let listed = self.listed()?.into_iter().find(|entry| entry.ref_name() == Some(name.as_str()));
            return Ok(listed.filter(|descriptor| self.has(&descriptor.digest).is_some()).map(bare));
        };
        let Some(size) = self.has(digest) else { return Ok(None) };
        if let Some(listed) = self.listed()?.into_iter().find(|entry| entry.digest == *digest) {
            return Ok(Some(bare(listed)));
        }
        let limits = Limits::default();
        let Some(bytes) = self.read_document(digest, limits.document_bytes)? else { return Ok(None) };
        let document = Document::parse(&bytes, None, &limits).map_err(|error| error.in_blob(*digest))?;
        Ok(Some(Descriptor::new(document.media_type, *digest, size)))
    }

    /// The same, if the image was made or loaded on this machine and not pulled: see [`Store::tag_local`].
    ///
    /// # Errors
    /// As [`Store::resolve`].
    pub fn resolve_local(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        let name = reference.clone().or_latest().to_string();
        let is_it = |entry: &Descriptor| {
            entry.ref_name() == Some(name.as_str()) && entry.annotations.contains_key(LOCAL)
        };
        let listed = self.listed()?.into_iter().find(is_it);
        Ok(listed.filter(|descriptor| self.has(&descriptor.digest).is_some()).map(bare))
    }

    /// Notes that a blob was used: what `prune` goes by. Where that cannot be written down, it is not.
    pub fn touch(&self, digest: &Digest) {
        if let Ok(file) = OpenOptions::new().write(true).open(self.blob_path(digest)) {
            let _ = file.set_modified(SystemTime::now());
        }
    }

    /// Bytes that this user may still write to the file system of the store. `None` where that cannot be known.
    pub fn available(&self) -> Option<u64> {
        fs4::available_space(self.root()).ok()
    }

    /// The name of a blob on its way.
    fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.ingest().join(format!("{}-{}.partial", digest.algorithm().name(), digest.hex()))
    }

    fn ingest(&self) -> PathBuf {
        self.root().join("ingest")
    }

    /// Puts a file in place whole, or not at all.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let failed = |error: &std::io::Error| match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                let needed = bytes.len() as u64;
                Error::from(ErrorKind::NoSpace { needed, available: self.available() })
                    .at_path(path.display().to_string())
            }
            _ => io_error("writing to the store", Some(path), error),
        };
        let write = || -> std::io::Result<()> {
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir)?;
            }
            let mut file = temporary(&self.ingest())?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(path).map(drop).map_err(|error| error.error)
        };
        write().map_err(|error| failed(&error))
    }
}

/// A file that is going to be one of the store's: not its owner's alone as other temporary files are, but as the umask
/// has it.
fn temporary(ingest: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(ingest)
}

/// What the index says of an entry, less the name that it has there.
fn bare(mut descriptor: Descriptor) -> Descriptor {
    descriptor.annotations.clear();
    if descriptor.media_type.as_str().is_empty() {
        descriptor.media_type = MediaType::OciManifest;
    }
    descriptor
}

fn default_dir(var: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    if let Some(dir) = var("WHARFIE_STORE") {
        return Ok(dir);
    }
    let cache = if cfg!(windows) {
        var("LOCALAPPDATA")
    } else {
        // The specification of XDG_CACHE_HOME has relative paths ignored.
        var("XDG_CACHE_HOME")
            .filter(|dir| dir.is_absolute())
            .or_else(|| std::env::home_dir().filter(|dir| dir.is_absolute()).map(|home| home.join(".cache")))
    };
    cache.map(|cache| cache.join("wharfie").join("store")).ok_or_else(|| {
        let reason =
            "there is no home directory to keep images in: name a place with --store DIR or WHARFIE_STORE";
        ErrorKind::InvalidOption { reason: reason.to_owned() }.into()
    })
}

/// Whether there is a layout already.
fn check_layout(root: &Path) -> Result<bool> {
    let refuse = |reason: &str| {
        let reason = format!("{} {reason}", root.display());
        Err(ErrorKind::InvalidOption { reason }.into())
    };
    let marker = root.join("oci-layout");
    match fs::read(&marker) {
        Ok(bytes) => {
            let version = serde_json::from_slice::<serde_json::Value>(&bytes)
                .ok()
                .and_then(|value| value.get("imageLayoutVersion")?.as_str().map(str::to_owned));
            match version.as_deref() {
                Some(version) if version.starts_with("1.") => return Ok(true),
                Some(version) => {
                    return refuse(&format!(
                        "is an OCI layout of version {version}, which is not known here"
                    ));
                }
                None => return refuse("holds an `oci-layout` that cannot be read"),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return refuse("is no directory"),
        Err(error) => return Err(io_error("opening the store", Some(&marker), &error)),
    }
    match fs::read_dir(root) {
        Ok(entries) => {
            // Our own, from a process that lays the same store at this moment.
            let ours = |name: &std::ffi::OsStr| {
                name == "ingest"
                    || name == "blobs"
                    || name == side::FOLDER
                    || name == "index.json"
                    || name == "oci-layout"
            };
            let foreign = entries.flatten().find(|entry| !ours(&entry.file_name()));
            match foreign {
                Some(_) => refuse("is not empty and no OCI layout"),
                None => Ok(false),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => refuse("is no directory"),
        Err(error) => Err(io_error("opening the store", Some(root), &error)),
    }
}

/// Makes what is missing of a store.
fn lay(root: &Path, found: bool) -> Result<()> {
    for dir in [root.join("blobs").join("sha256"), root.join("ingest")] {
        fs::create_dir_all(&dir).map_err(|error| io_error("making the store", Some(&dir), &error))?;
    }
    if !found {
        for (name, content) in [("index.json", EMPTY), ("oci-layout", MARKER)] {
            let path = root.join(name);
            let write = || -> std::io::Result<()> {
                let mut file = temporary(&root.join("ingest"))?;
                file.write_all(content.as_bytes())?;
                match file.persist_noclobber(&path) {
                    // Another process was quicker.
                    Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                    Err(error) => Err(error.error),
                    Ok(_) => Ok(()),
                }
            };
            write().map_err(|error| io_error("making the store", Some(&path), &error))?;
        }
    }
    Ok(())
}

fn is_read_only(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied { .. })
}
