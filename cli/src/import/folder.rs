//! A folder of images: what in it is meant to be imported.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use wharfie_core::Limits;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::import;

use super::source::Source;
use super::{Into, removal};
use crate::fault::io_error;

/// What an image's manifest has, and other objects in JSON have not.
const SCHEMA_VERSION: &[u8] = br#""schemaVersion""#;

/// What is in a folder.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Folder {
    /// What is meant to be imported, by name.
    pub sources: Vec<Source>,
    /// What is not, hidden files apart.
    pub passed: Vec<Passed>,
}

/// Something that has nothing to do with images.
#[derive(Debug)]
#[non_exhaustive]
pub struct Passed {
    /// It.
    pub path: PathBuf,
    /// What it is.
    pub what: &'static str,
}

impl Folder {
    /// Looks at a folder, and not into those in it.
    ///
    /// Meant are files that core's rule has for archives, and directories that look like a layout, a `dir:` or what
    /// `docker save` writes, v1 among them. Whatever else a folder holds is passed over: hidden files silently, the others are
    /// told of. Where images go is no source, should it lie there.
    ///
    /// # Errors
    /// `local_io`, `permission_denied`, `not_found`; `invalid_option` if the folder itself is where the images go.
    pub fn read(path: &Path, into: &Into) -> Result<Folder> {
        let failed = |error: &std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                let what = "a directory of this name".to_owned();
                Error::from(ErrorKind::NotFound { what, detail: None }).at_path(path.display().to_string())
            }
            _ => io_error("reading a directory", Some(path), error),
        };
        let (Into::Layout(target) | Into::Store(target) | Into::Each(target)) = into;
        let target = fs::canonicalize(target).ok();
        let is_target = |path: &Path| {
            target.as_ref().is_some_and(|target| fs::canonicalize(path).is_ok_and(|path| path == *target))
        };
        if is_target(path) {
            let reason = format!("{} is both where images come from and where they go", path.display());
            return Err(ErrorKind::InvalidOption { reason }.into());
        }
        let entries = fs::read_dir(path).map_err(|error| failed(&error))?;
        let mut names: Vec<OsString> = Vec::new();
        for entry in entries {
            names.push(entry.map_err(|error| failed(&error))?.file_name());
        }
        names.sort();
        let mut folder = Folder::default();
        for name in names {
            let path = path.join(&name);
            if import::is_hidden(name.as_encoded_bytes()) || is_target(&path) {
                continue;
            }
            match look(&path, &name)? {
                None => folder.sources.push(Source::at(&path)?),
                Some(what) => folder.passed.push(Passed { path, what }),
            }
        }
        Ok(folder)
    }

    /// Removes what was to be removed by a run that was stopped in the middle of it.
    pub fn tidy(path: &Path) {
        removal::tidy(path);
    }
}

/// What a file or directory is, if it is not meant to be imported.
fn look(path: &Path, name: &OsStr) -> Result<Option<&'static str>> {
    let metadata = fs::metadata(path).map_err(|error| io_error("reading", Some(path), &error))?;
    if metadata.is_dir() {
        let has = |name: &str| path.join(name).exists();
        let is_meant = has("oci-layout")
            || (has("index.json") && has("blobs"))
            || path.join("repositories").is_file()
            || (path.join("manifest.json").is_file() && (has("version") || is_of_image(path)?));
        return Ok((!is_meant).then_some("a directory without images"));
    }
    if !metadata.is_file() {
        return Ok(Some("no file"));
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(512).read_to_end(&mut head));
    read.map_err(|error| io_error("reading", Some(path), &error).at_path(path.display().to_string()))?;
    Ok((!import::is_archive(name.as_encoded_bytes(), &head)).then_some("no archive"))
}

/// Whether a `manifest.json` that stands alone is an image's: docker's is a list, and that of a `dir:` an object with a
/// `schemaVersion`. Programs for the web have other objects by this name.
fn is_of_image(folder: &Path) -> Result<bool> {
    let path = folder.join("manifest.json");
    let mut raw = Vec::new();
    let read =
        File::open(&path).and_then(|file| file.take(Limits::default().document_bytes).read_to_end(&mut raw));
    read.map_err(|error| io_error("reading", Some(&path), &error))?;
    let text = raw.trim_ascii_start();
    let says_version = || text.windows(SCHEMA_VERSION.len()).any(|part| part == SCHEMA_VERSION);
    Ok(text.starts_with(b"[") || (text.starts_with(b"{") && says_version()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_that_are_meant() {
        let home = tempfile::tempdir().unwrap();
        type Files<'f> = &'f [(&'f str, &'f str)];
        let cases: [(&str, Files<'_>, bool); 7] = [
            ("v1", &[("repositories", "{}"), ("0a/json", "{}"), ("0a/layer.tar", "")], true),
            ("untagged", &[("manifest.json", "\n [{\"Config\": \"a.json\"}]")], true),
            ("dir", &[("manifest.json", "{\"schemaVersion\": 2}")], true),
            ("skopeo", &[("manifest.json", ""), ("version", "")], true),
            ("layout", &[("index.json", ""), ("blobs/sha256/x", "")], true),
            ("web", &[("manifest.json", "{\"name\": \"game\"}")], false),
            ("code", &[("repositories/one", ""), ("manifest.json", "")], false),
        ];
        for (name, files, _) in cases {
            for (file, content) in files {
                let path = home.path().join(name).join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
        }
        let folder = Folder::read(home.path(), &Into::Layout("nowhere".into())).unwrap();
        for (name, _, is_meant) in cases {
            let is_source =
                folder.sources.iter().any(|source| source.path() == Some(&home.path().join(name)));
            assert_eq!(is_source, is_meant, "{name}");
        }
    }
}
