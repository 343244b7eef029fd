//! An OCI layout in a directory (image-spec `image-layout.md`), new or there already.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use wharfie_core::Digest;
use wharfie_core::archive::listing::MARKER;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;

use super::crew::{Crew, To};
use super::staging::{self, Staging};
use super::{Destination, Options};
use crate::blob_file::BlobFile;
use crate::fault::io_error;
use crate::layout;
use crate::listing::{self, Held};

/// Held by who fills a staging directory: when nobody does any more, it may go.
const LOCK: &str = "lock";
/// How old a staging directory is at least that is taken for left over.
const STALE: Duration = Duration::from_secs(60);

/// A layout that is written to: blobs wait in a staging directory of its file system until they get their names.
pub(super) struct Layout {
    root: PathBuf,
    /// What was staged, by the names that it gets; with its size.
    staged: BTreeMap<Digest, (PathBuf, u64)>,
    names: Vec<(Descriptor, Option<String>)>,
    durable: bool,
    crew: Crew,
    _held: Held,
    staging: Staging,
}

impl Layout {
    pub(super) fn open(root: &Path, options: &Options) -> Result<Layout> {
        let root =
            std::path::absolute(root).map_err(|error| io_error("opening the layout", Some(root), &error))?;
        let by = match fs::metadata(&root) {
            Ok(metadata) if metadata.is_dir() => {
                check(&root)?;
                clean(&root);
                root.clone()
            }
            Ok(_) => return Err(refused(&root, "is no directory")),
            // Beside it: whatever file system the parent is on is the one that it will be on.
            Err(error) if error.kind() == io::ErrorKind::NotFound => staging::parent(&root),
            Err(error) => return Err(io_error("opening the layout", Some(&root), &error)),
        };
        let staging = Staging::new(&by)?;
        let held = Held::take(&staging.path().join(LOCK))?;
        Ok(Layout {
            root,
            staged: BTreeMap::new(),
            names: Vec::new(),
            durable: options.durable,
            crew: Crew::new(options.jobs(), &options.cancel),
            _held: held,
            staging,
        })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    fn stage(&mut self, descriptor: &Descriptor, size: u64) -> PathBuf {
        let name = format!("{}-{}", descriptor.digest.algorithm().name(), descriptor.digest.hex());
        let path = self.staging.path().join(name);
        self.staged.insert(descriptor.digest, (path.clone(), size));
        path
    }
}

impl Destination for Layout {
    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        if self.staged.contains_key(&descriptor.digest) {
            return Ok(true);
        }
        match fs::metadata(self.path(&descriptor.digest)) {
            // Schema 1 says no sizes.
            Ok(there) => Ok(there.is_file() && (there.len() == descriptor.size || descriptor.size == 0)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_error("reading the layout", Some(&self.path(&descriptor.digest)), &error)),
        }
    }

    fn document(&mut self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        if self.staged.contains_key(&descriptor.digest) {
            return Ok(());
        }
        let path = self.stage(descriptor, bytes.len() as u64);
        fs::write(&path, bytes)
            .map_err(|error| io_error("writing a document", Some(&path), &error).in_blob(descriptor.digest))
    }

    fn blob(&mut self, descriptor: &Descriptor, from: &BlobFile) -> Result<()> {
        if self.has(descriptor)? {
            return Ok(());
        }
        let path = self.stage(descriptor, descriptor.size);
        self.crew.copy(descriptor, from, To::File(path))
    }

    fn name(&mut self, top: &Descriptor, name: Option<&str>) -> Result<()> {
        if name.is_some_and(str::is_empty) {
            let reason = "an image in a layout cannot have an empty name".to_owned();
            return Err(ErrorKind::InvalidOption { reason }.into());
        }
        self.names.push((top.clone(), name.map(str::to_owned)));
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let Layout { root, staged, names, durable, crew, _held, staging } = *self;
        crew.finish()?;
        let failed = |path: &Path, error: &io::Error| io_error("writing to the layout", Some(path), error);
        if durable {
            for (path, _) in staged.values() {
                sync(path).map_err(|error| failed(path, &error))?;
            }
        }
        let mut folders = BTreeMap::from([(root.join("blobs").join("sha256"), ())]);
        folders.extend(staged.keys().map(|digest| (root.join("blobs").join(digest.algorithm().name()), ())));
        for folder in folders.keys() {
            fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        }
        for (digest, (from, size)) in &staged {
            let to = root.join("blobs").join(digest.algorithm().name()).join(digest.hex());
            // Another has brought it meanwhile.
            if fs::metadata(&to).is_ok_and(|there| there.is_file() && there.len() == *size) {
                continue;
            }
            fs::rename(from, &to).map_err(|error| failed(&to, &error))?;
        }
        if durable {
            for folder in folders.keys() {
                sync(folder).map_err(|error| failed(folder, &error))?;
            }
        }
        listing::edit(&root, |listing| {
            let mut changed = !root.join("index.json").exists();
            for (top, name) in &names {
                changed |= listing.set(name.as_deref(), top)?;
            }
            Ok(changed)
        })?;
        // Last: what has no marker is no layout.
        let marker = root.join("oci-layout");
        if !marker.exists() {
            listing::replace(&marker, &root, MARKER.as_bytes())?;
        }
        if durable {
            sync(&root).map_err(|error| failed(&root, &error))?;
        }
        drop(staging);
        Ok(())
    }
}

/// Onto the disk.
fn sync(path: &Path) -> io::Result<()> {
    // Directories cannot be opened everywhere.
    if cfg!(not(unix)) && path.is_dir() {
        return Ok(());
    }
    File::open(path)?.sync_all()
}

fn refused(root: &Path, reason: &str) -> Error {
    ErrorKind::InvalidOption { reason: format!("{} {reason}", root.display()) }.into()
}

/// A directory that is there has to be a layout, or empty; what is left over of writers does not count.
fn check(root: &Path) -> Result<()> {
    if root.join("oci-layout").exists() {
        return layout::Layout::open(root).map(drop);
    }
    let entries = fs::read_dir(root).map_err(|error| io_error("opening the layout", Some(root), &error))?;
    // Those of one who makes the same layout at this moment.
    let ours = |name: &str| {
        name.starts_with(staging::PREFIX) || matches!(name, "blobs" | "index.json" | ".index.lock")
    };
    for entry in entries.flatten() {
        if !ours(&entry.file_name().to_string_lossy()) {
            return Err(refused(root, "is not empty and no OCI layout"));
        }
    }
    Ok(())
}

/// Removes what was left by who was killed.
fn clean(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_old = || {
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            modified
                .and_then(|then| SystemTime::now().duration_since(then).ok())
                .is_some_and(|age| age > STALE)
        };
        if entry.file_name().to_string_lossy().starts_with(staging::PREFIX)
            && is_old()
            && let Some(_held) = Held::try_take(&path.join(LOCK))
        {
            let _ = fs::remove_dir_all(&path);
        }
    }
}
