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
/// How the temporary names of all that writes here begin.
const OURS: &[u8] = b".wharfie-";

/// What a layout is made of, and what writers of layouts leave in it.
const OF_LAYOUTS: &[&str] = &["oci-layout", "index.json", "blobs", "ingest", "side"];
/// What other directories of images are made of, beside files that are called after digests.
const OF_OTHERS: &[&str] = &["version", "manifest.json", "repositories", "index.json", "oci-layout", "blobs"];
/// What a layer's folder is made of in docker's v1 layout.
const OF_LAYERS: &[&str] = &["VERSION", "json", "layer.tar"];

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
    if let Some(other) = foreign(path, source.is_layout()).map_err(|error| failed(&error))? {
        let whose = if source.is_layout() { "the layout's" } else { "the image's" };
        let reason = format!("it holds `{}` as well, which is not {whose}", other.display());
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

/// Something in a directory of images that is none of it.
fn foreign(root: &Path, is_layout: bool) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours = name == OsStr::new(".index.lock") || name.as_encoded_bytes().starts_with(OURS);
        if is_ours || is_one_of(&name, if is_layout { OF_LAYOUTS } else { OF_OTHERS }) {
            continue;
        }
        if is_layout || !is_digest_or_signature(&name) {
            return Ok(Some(name.into()));
        }
        if entry.file_type()?.is_dir() {
            for part in fs::read_dir(entry.path())? {
                let part = part?;
                if !is_one_of(&part.file_name(), OF_LAYERS) || part.file_type()?.is_dir() {
                    return Ok(Some(Path::new(&name).join(part.file_name())));
                }
            }
        }
    }
    Ok(None)
}

fn is_one_of(name: &OsStr, known: &[&str]) -> bool {
    known.iter().any(|known| name == OsStr::new(known))
}

/// Whether it is a name that `dir:`, `docker save` or its v1 layout gives what belongs to an image: a digest's, alone or
/// with what they put behind it, or a signature's.
fn is_digest_or_signature(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    if name.strip_prefix("signature-").is_some_and(is_number) {
        return true;
    }
    let endings = [".manifest.json", ".json", ".tar"];
    let stem = endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    // Those of an index's images have their manifest's digest before them.
    let (stem, is_plain) = match stem.split_once("-signature-") {
        Some((digest, number)) => (digest, is_number(number)),
        None => (stem, true),
    };
    let hex = stem.strip_prefix("sha512-").or_else(|| stem.strip_prefix("sha256-")).unwrap_or(stem);
    is_plain && matches!(hex.len(), 64 | 128) && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers what is foreign in a directory of these files.
    fn found(is_layout: bool, files: &[&str]) -> Option<PathBuf> {
        let home = tempfile::tempdir().unwrap();
        for file in files {
            let path = home.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        foreign(home.path(), is_layout).unwrap()
    }

    #[test]
    fn what_writers_leave_is_known_and_nothing_else() {
        let hex = "0123456789abcdef".repeat(4);
        let all: Vec<String> = [
            "version",
            "manifest.json",
            "repositories",
            "signature-1",
            ".index.lock",
            ".wharfie-12-3/lock",
            "blobs/sha256/x",
            "HEX",
            "HEXHEX",
            "sha512-HEXHEX",
            "HEX.json",
            "HEX.tar",
            "HEX.manifest.json",
            "HEX-signature-2",
        ]
        .iter()
        .map(|name| name.replace("HEX", &hex))
        .chain(OF_LAYERS.iter().map(|part| format!("{}/{part}", hex.replace('0', "f"))))
        .collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(found(false, &all), None);
        let notes = format!("{}/notes", hex.replace('0', "f"));
        let deep = format!("{}/layer.tar/x", hex.replace('0', "e"));
        let mine = ["notes.txt", ".git/HEAD", ".env", "signature-key.pem", "my-signature-1", "config.json"];
        for other in mine.into_iter().chain([notes.as_str(), deep.as_str()]) {
            let found = found(false, &[&all[..], &[other]].concat());
            assert!(found.is_some_and(|found| Path::new(other).starts_with(found)), "{other}");
        }
        assert_eq!(found(true, &["oci-layout", "index.json", "blobs/sha256/x", ".index.lock"]), None);
        for other in ["manifest.json", ".git", ".env", hex.as_str()] {
            assert_eq!(found(true, &["oci-layout", other]), Some(other.into()));
        }
    }
}
