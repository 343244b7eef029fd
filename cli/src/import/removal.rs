//! Sources that are removed when what they held is safe elsewhere.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wharfie_core::error::{ErrorKind, Result};

use super::source::{Kept, Source};
use crate::fault::io_error;

/// How a directory is called while it is being removed: what is half gone is no layout any longer, and must not look like
/// one.
const PREFIX: &str = ".wharfie-removed-";

/// What a layout is made of, and what writers of layouts leave in it.
const OF_LAYOUTS: &[&str] = &["oci-layout", "index.json", "blobs", "ingest", "side"];

/// Has everything that was written to this file system on the disk.
pub(super) fn sync(root: &Path) -> Result<()> {
    let failed = |error: &io::Error| io_error("writing to the disk", Some(root), error);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let folder = fs::File::open(root).map_err(|error| failed(&error))?;
        rustix::fs::syncfs(&folder).map_err(|error| failed(&error.into()))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        // What the destination has written it has synced.
        fs::metadata(root).map(drop).map_err(|error| failed(&error))
    }
}

/// Removes a source, if it still is what was read.
pub(super) fn remove(source: &Source, kept: &Kept) -> Result<()> {
    let Some(path) = source.path() else { return Ok(()) };
    let place = |error: wharfie_core::Error| error.at_path(source.shown());
    if Kept::of(source).map_err(place)? != *kept {
        let what = "the file has changed since it was read, and was not removed: it".to_owned();
        return Err(place(ErrorKind::Busy { what }.into()));
    }
    let failed = |error: &io::Error| io_error("removing", Some(path), error);
    let is_link = fs::symlink_metadata(path).map_err(|error| failed(&error))?.is_symlink();
    if !source.is_directory() || is_link {
        return fs::remove_file(path).map_err(|error| failed(&error));
    }
    if path.join("oci-layout").exists()
        && let Some(other) = foreign(path).map_err(|error| failed(&error))?
    {
        let reason = format!("it holds `{}` as well, which is not the layout's", other.display());
        return Err(place(ErrorKind::PermissionDenied { operation: "removing", reason }.into()));
    }
    let Some(going) = aside(path) else {
        let reason = "it has no name in a directory".to_owned();
        return Err(place(ErrorKind::PermissionDenied { operation: "removing", reason }.into()));
    };
    // An earlier one of this name that was not finished.
    let _ = fs::remove_dir_all(&going);
    fs::rename(path, &going).and_then(|()| fs::remove_dir_all(&going)).map_err(|error| failed(&error))
}

fn aside(path: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(PREFIX);
    name.push(path.file_name()?);
    Some(path.with_file_name(name))
}

/// Something in a layout that is none of it.
fn foreign(layout: &Path) -> io::Result<Option<OsString>> {
    for entry in fs::read_dir(layout)? {
        let name = entry?.file_name();
        let known = OF_LAYOUTS.iter().any(|known| name == OsStr::new(known));
        if !known && !name.as_encoded_bytes().starts_with(b".") {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Removes what a run left that was stopped while it removed.
pub(super) fn tidy(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
