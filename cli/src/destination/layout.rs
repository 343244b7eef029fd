//! An OCI layout in a directory (image-spec `image-layout.md`), new or there already.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use wharfie_core::Digest;
use wharfie_core::archive::listing::MARKER;
use wharfie_core::digest::Verifier;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;

use super::crew::{Crew, To};
use super::staging::{self, Staging};
use super::{Destination, Options};
use crate::blob_file::BlobFile;
use crate::codec::NativeHashes;
use crate::drive::Cancel;
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
    /// What was staged, by the names that it gets.
    staged: BTreeMap<Digest, PathBuf>,
    /// What was there already, and held when it was read.
    held: RefCell<BTreeMap<Digest, bool>>,
    names: Vec<(Descriptor, Option<String>)>,
    options: Options,
    /// While there is something to copy.
    crew: Option<Crew>,
    lock: Held,
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
        let lock = Held::take(&staging.path().join(LOCK))?;
        Ok(Layout {
            root,
            staged: BTreeMap::new(),
            held: RefCell::new(BTreeMap::new()),
            names: Vec::new(),
            options: options.clone(),
            crew: None,
            lock,
            staging,
        })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    fn stage(&mut self, descriptor: &Descriptor) -> PathBuf {
        let name = format!("{}-{}", descriptor.digest.algorithm().name(), descriptor.digest.hex());
        let path = self.staging.path().join(name);
        self.staged.insert(descriptor.digest, path.clone());
        path
    }

    /// Whether what is there under a digest is that. Each is read once.
    fn holds(&self, descriptor: &Descriptor) -> Result<bool> {
        if let Some(known) = self.held.borrow().get(&descriptor.digest) {
            return Ok(*known);
        }
        let read = hash(&self.path(&descriptor.digest), descriptor, &self.options.cancel);
        // What cannot be read is as good as wrong: what is right takes its place.
        let holds = match read {
            Err(error) if error.code() == "cancelled" => return Err(error),
            read => read.is_ok(),
        };
        self.held.borrow_mut().insert(descriptor.digest, holds);
        Ok(holds)
    }
}

impl Destination for Layout {
    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        if self.staged.contains_key(&descriptor.digest) {
            return Ok(true);
        }
        let is_there = match fs::metadata(self.path(&descriptor.digest)) {
            // Schema 1 says no sizes.
            Ok(there) => there.is_file() && (there.len() == descriptor.size || descriptor.size == 0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                return Err(io_error("reading the layout", Some(&self.path(&descriptor.digest)), &error));
            }
        };
        Ok(is_there && (!self.options.verify_present || self.holds(descriptor)?))
    }

    fn document(&mut self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        if self.staged.contains_key(&descriptor.digest) {
            return Ok(());
        }
        let path = self.stage(descriptor);
        fs::write(&path, bytes)
            .map_err(|error| io_error("writing a document", Some(&path), &error).in_blob(descriptor.digest))
    }

    fn blob(&mut self, descriptor: &Descriptor, from: &BlobFile) -> Result<()> {
        if self.has(descriptor)? {
            return Ok(());
        }
        let path = self.stage(descriptor);
        let crew = match &mut self.crew {
            Some(crew) => crew,
            none => none.insert(Crew::new(self.options.jobs(), &self.options.cancel)?),
        };
        crew.copy(descriptor, from, To::File(path))
    }

    fn rest(&mut self) -> Result<()> {
        self.crew.take().map_or(Ok(()), Crew::finish)
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
        let Layout { root, staged, names, options, crew, lock, staging, .. } = *self;
        crew.map_or(Ok(()), Crew::finish)?;
        let durable = options.durable;
        let failed = |path: &Path, error: &io::Error| io_error("writing to the layout", Some(path), error);
        if durable {
            for path in staged.values() {
                sync(path).map_err(|error| failed(path, &error))?;
            }
        }
        let mut folders = BTreeMap::from([(root.join("blobs").join("sha256"), ())]);
        folders.extend(staged.keys().map(|digest| (root.join("blobs").join(digest.algorithm().name()), ())));
        for folder in folders.keys() {
            fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        }
        for (digest, from) in &staged {
            let to = root.join("blobs").join(digest.algorithm().name()).join(digest.hex());
            // In place of what another may have brought meanwhile: this has been verified.
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
        drop(lock);
        drop(staging);
        Ok(())
    }
}

/// Reads a file that is to be a blob, to its end.
fn hash(path: &Path, descriptor: &Descriptor, cancel: &Cancel) -> Result<()> {
    let failed = |error: io::Error| io_error("reading a blob", Some(path), &error);
    let mut file = File::open(path).map_err(failed)?;
    let size = Some(descriptor.size).filter(|size| *size > 0);
    let mut verifier = Verifier::new(&NativeHashes, descriptor.digest, size);
    let mut buffer = vec![0; 256 << 10];
    loop {
        if cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled {}.into());
        }
        match file.read(&mut buffer) {
            Ok(0) => return verifier.finish().map(drop),
            Ok(n) => verifier.update(buffer.get(..n).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
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

#[cfg(test)]
mod tests {
    use wharfie_core::MediaType;

    use super::*;

    const KIND: MediaType = MediaType::OciLayer(wharfie_core::media_type::Compression::Plain);

    fn blob(home: &Path, content: &[u8]) -> (Descriptor, BlobFile) {
        let descriptor = Descriptor::new(KIND, Digest::sha256(content), content.len() as u64);
        let path = home.join(descriptor.digest.hex());
        fs::write(&path, content).unwrap();
        (descriptor, BlobFile::whole(path).unwrap())
    }

    #[test]
    fn what_is_there_counts_by_its_length_or_by_its_digest() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("layout");
        let (right, from) = blob(home.path(), b"right");
        let path = root.join("blobs/sha256").join(right.digest.hex());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for (verify_present, left) in [(false, b"wrong"), (true, b"right")] {
            fs::write(&path, b"wrong").unwrap();
            let options = Options { verify_present, ..Options::default() };
            let mut layout = Layout::open(&root, &options).unwrap();
            assert_eq!(layout.has(&right).unwrap(), !verify_present);
            layout.blob(&right, &from).unwrap();
            Box::new(layout).commit().unwrap();
            assert_eq!(fs::read(&path).unwrap(), left);
        }
        let options = Options { verify_present: true, ..Options::default() };
        assert!(Layout::open(&root, &options).unwrap().has(&right).unwrap());
    }

    #[test]
    fn what_was_verified_takes_the_place_of_what_came_meanwhile() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("layout");
        let ((first, of_first), (second, of_second)) = (blob(home.path(), b"1st"), blob(home.path(), b"2nd"));
        let mut layout = Layout::open(&root, &Options::default()).unwrap();
        layout.rest().unwrap();
        layout.blob(&first, &of_first).unwrap();
        layout.rest().unwrap();
        assert!(layout.crew.is_none() && layout.has(&first).unwrap());
        // Who rested can go on.
        layout.blob(&second, &of_second).unwrap();
        fs::create_dir_all(root.join("blobs/sha256")).unwrap();
        let paths = [&first, &second].map(|blob| root.join("blobs/sha256").join(blob.digest.hex()));
        fs::write(&paths[0], b"bad").unwrap();
        Box::new(layout).commit().unwrap();
        assert_eq!(paths.map(|path| fs::read(path).unwrap()), [b"1st", b"2nd"]);
    }

    #[test]
    fn a_rest_says_what_is_wrong() {
        let home = tempfile::tempdir().unwrap();
        let (descriptor, from) = blob(home.path(), b"right");
        fs::write(&from.path, b"wrong").unwrap();
        let mut layout = Layout::open(&home.path().join("layout"), &Options::default()).unwrap();
        layout.blob(&descriptor, &from).unwrap();
        assert_eq!(layout.rest().unwrap_err().code(), "digest_mismatch");
    }
}
