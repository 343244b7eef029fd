//! What images are imported from: a file, a directory, the standard input.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::source::{Local, Transport};

use crate::drive::Cancel;
use crate::fault::io_error;
use crate::origin::{self, Origin};

/// A file or directory of images, or the standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    local: Local,
    is_directory: bool,
}

impl Source {
    /// What a user names: a path of any kind, a transport with a path, `-` for the standard input.
    ///
    /// # Errors
    /// `not_found`; `unsupported_transport` for an image of a registry; as [`wharfie_core::Source::parse`].
    pub fn named(name: &str) -> Result<Source> {
        let path = Path::new(name);
        if name == "-" || path.exists() {
            return Source::at(path);
        }
        match wharfie_core::Source::parse(name) {
            Ok(wharfie_core::Source::Local(local)) if local.transport != Transport::Path => {
                let is_directory = Path::new(&local.path).is_dir();
                Ok(Source { local, is_directory })
            }
            Ok(wharfie_core::Source::Registry(_)) if name.starts_with("docker://") => {
                let transport = "docker".to_owned();
                let reason = "images of registries are had by `wharfie pull` and `wharfie copy`".to_owned();
                Err(ErrorKind::UnsupportedTransport { transport, reason }.into())
            }
            Err(error) if error.code() == "unsupported_transport" => Err(error),
            _ => {
                let what = "a file or directory of this name".to_owned();
                Err(wharfie_core::Error::from(ErrorKind::NotFound { what, detail: None }).at_path(name))
            }
        }
    }

    /// What is at a path.
    ///
    /// # Errors
    /// `unusable_name` for a path that is no text.
    pub fn at(path: &Path) -> Result<Source> {
        let Some(text) = path.to_str() else {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            let name = wharfie_core::name::Name(name).to_string();
            let reason = "it is not UTF-8".to_owned();
            let error = wharfie_core::Error::from(ErrorKind::UnusableName { name, reason });
            return Err(error.at_path(path.display().to_string()));
        };
        let local = Local { transport: Transport::Path, path: text.to_owned(), reference: None };
        Ok(Source { local, is_directory: path.is_dir() })
    }

    /// What it is called in messages.
    pub fn shown(&self) -> String {
        if self.is_stream() { "standard input".to_owned() } else { self.local.path.clone() }
    }

    /// The file or directory; `None` for the standard input.
    pub fn path(&self) -> Option<&Path> {
        (!self.is_stream()).then(|| Path::new(&self.local.path))
    }

    /// Whether it is the standard input.
    pub fn is_stream(&self) -> bool {
        self.local.path == "-"
    }

    pub(super) fn is_directory(&self) -> bool {
        self.is_directory
    }

    /// Whether it is read as a layout, and by no list that stands beside its index.
    pub(super) fn is_layout(&self) -> bool {
        let has = |name: &str| Path::new(&self.local.path).join(name).exists();
        self.is_directory
            && match self.local.transport {
                Transport::OciLayout => true,
                Transport::Path => has("oci-layout") && !has("manifest.json"),
                _ => false,
            }
    }

    /// Refuses the removal of a place of which one image was named, and that holds others.
    ///
    /// # Errors
    /// `invalid_option`.
    pub(super) fn is_all(&self, origin: &dyn Origin, entries: &[Descriptor]) -> Result<()> {
        let Some(name) = &self.local.reference else { return Ok(()) };
        let is_other = |other: &Descriptor| entries.iter().all(|entry| entry.digest != other.digest);
        let others = origin.entries()?.iter().filter(|other| is_other(other)).count();
        if others == 0 {
            return Ok(());
        }
        let images = if others == 1 { "another image".to_owned() } else { format!("{others} more entries") };
        let reason = format!(
            "`--remove` removes all of {}, which holds {images} beside `{name}`: without the name all of it is loaded",
            self.local.path
        );
        Err(ErrorKind::InvalidOption { reason }.into())
    }

    pub(super) fn file_name(&self) -> Option<&[u8]> {
        // `images/.` and the like have the name that they come to.
        let path = self.path()?;
        path.file_name().map(OsStr::as_encoded_bytes)
    }

    pub(super) fn open(&self, cancel: &Cancel) -> Result<Arc<dyn Origin>> {
        origin::open(&self.local, cancel)
    }

    /// The images that it lists: one, where the user named it.
    pub(super) fn entries(&self, origin: &dyn Origin) -> Result<Vec<Descriptor>> {
        match &self.local.reference {
            Some(reference) => Ok(vec![origin.find(Some(reference))?]),
            None => origin.entries(),
        }
    }
}

/// By what a file is known that must not have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    modified: Option<SystemTime>,
    len: u64,
    inode: Option<(u64, u64)>,
}

impl Kept {
    /// A directory is known by the file that lists what it holds.
    pub(super) fn of(source: &Source) -> Result<Kept> {
        let Some(path) = source.path() else { return Ok(Kept { modified: None, len: 0, inode: None }) };
        let lists = ["index.json", "manifest.json", "repositories"].map(|name| path.join(name));
        let list: PathBuf = lists.into_iter().find(|list| list.is_file()).unwrap_or_else(|| path.to_owned());
        let of = if source.is_directory { &list } else { path };
        match fs::metadata(of) {
            Ok(metadata) => {
                Ok(Kept { modified: metadata.modified().ok(), len: metadata.len(), inode: inode(&metadata) })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let what = "a file or directory of this name".to_owned();
                Err(ErrorKind::NotFound { what, detail: None }.into())
            }
            Err(error) => Err(io_error("reading", Some(path), &error)),
        }
    }
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> Option<(u64, u64)> {
    None
}
