//! A directory of this disk as a tar: sorted, by our own writer, so that the same files give the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata as FileMetadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::merge::check_source;
use wharfie_core::tar::{END_OF_ARCHIVE, Header, Kind, Metadata, Mtime, Xattrs, padding};

use super::{MakeOptions, PIECE};
use crate::export::Packing;
use crate::fault::{changed, io_error};

/// A walk through one directory, into a tar.
pub(super) struct Walk<'w, 'p> {
    options: &'w MakeOptions,
    to: &'w mut Packing<'p>,
    /// The first name of every file that has more than one, by device and number.
    linked: BTreeMap<(u64, u64), Vec<u8>>,
    left_out: Vec<PathBuf>,
    buffer: Vec<u8>,
}

impl<'w, 'p> Walk<'w, 'p> {
    pub(super) fn new(options: &'w MakeOptions, to: &'w mut Packing<'p>) -> Self {
        Walk { options, to, linked: BTreeMap::new(), left_out: Vec::new(), buffer: vec![0; PIECE] }
    }

    /// Writes the content of the directory, or the file, at its place in the image. Answers what no tar can hold.
    pub(super) fn all(mut self, source: &Path, at: &[u8]) -> Result<Vec<PathBuf>> {
        // What the user names is meant itself, not a link to it.
        let metadata = fs::metadata(source).map_err(|error| failed(source, &error))?;
        if metadata.is_dir() {
            // The root of an image is there without being named; its metadata would be those of a working directory.
            if !at.is_empty() {
                self.entry(source, at, &metadata, Kind::Directory)?;
            }
            self.below(source, at)?;
        } else if metadata.is_file() {
            self.file(source, at, &metadata, false)?;
        } else {
            let reason = "only directories, files and tars become layers".to_owned();
            let error = Error::from(ErrorKind::InvalidOption { reason });
            return Err(error.at_path(source.display().to_string()));
        }
        self.to.write(&END_OF_ARCHIVE)?;
        Ok(self.left_out)
    }

    /// All that lies in a directory, each name before what lies below it. Only names that wait are kept, not a path for each
    /// file there is.
    fn below(&mut self, dir: &Path, at: &[u8]) -> Result<()> {
        let mut waiting = vec![self.list(dir, at)?];
        while let Some(names) = waiting.last_mut() {
            let Some((path, at)) = names.pop() else {
                waiting.pop();
                continue;
            };
            if self.one(&path, &at)? {
                if waiting.len() >= self.options.limits.path_depth as usize {
                    let value = u64::from(self.options.limits.path_depth);
                    let error = Error::from(ErrorKind::LimitExceeded { limit: "path_depth", value });
                    return Err(error.at_path(path.display().to_string()));
                }
                let below = self.list(&path, &at)?;
                waiting.push(below);
            }
        }
        Ok(())
    }

    /// What is in a directory, with its names in the image, the last first.
    fn list(&self, dir: &Path, at: &[u8]) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(|error| failed(dir, &error))? {
            let path = entry.map_err(|error| failed(dir, &error))?.path();
            let name = path.file_name().map(bytes_of).transpose()?.unwrap_or_default();
            let below = if at.is_empty() { name } else { [at, b"/", &name].concat() };
            names.push((path, below));
        }
        names.sort_unstable_by(|(_, one), (_, other)| other.cmp(one));
        Ok(names)
    }

    /// Writes what has this name. Answers whether it is a directory.
    fn one(&mut self, path: &Path, at: &[u8]) -> Result<bool> {
        if self.options.cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled {}.into());
        }
        let metadata = fs::symlink_metadata(path).map_err(|error| failed(path, &error))?;
        let Some(kind) = kind_of(&metadata) else {
            self.left_out.push(path.to_owned());
            return Ok(false);
        };
        check_source(at, kind).map_err(|error| error.at_path(path.display().to_string()))?;
        match kind {
            Kind::File => self.file(path, at, &metadata, true)?,
            _ => self.entry(path, at, &metadata, kind)?,
        }
        Ok(kind == Kind::Directory)
    }

    fn file(&mut self, path: &Path, at: &[u8], metadata: &FileMetadata, is_found: bool) -> Result<()> {
        if let Some(inode) = shared_inode(metadata)
            && is_found
        {
            if let Some(first) = self.linked.get(&inode) {
                let (link, metadata) = (first.clone(), self.metadata(path, metadata)?);
                return self.header(path, at, &link, Kind::HardLink, &metadata, 0);
            }
            self.linked.insert(inode, at.to_vec());
        }
        let mut file = open(path, is_found).map_err(|error| failed(path, &error))?;
        let opened = file.metadata().map_err(|error| failed(path, &error))?;
        if !opened.is_file() {
            return Err(changed(path));
        }
        let size = opened.len();
        let metadata = self.metadata(path, &opened)?;
        self.header(path, at, b"", Kind::File, &metadata, size)?;
        let mut left = size;
        while left > 0 {
            if self.options.cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled {}.into());
            }
            let n = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = file.read(&mut self.buffer[..n]).map_err(|error| failed(path, &error))?;
            if n == 0 {
                return Err(changed(path));
            }
            self.to.write(&self.buffer[..n])?;
            left -= n as u64;
        }
        // One that grew or was written to meanwhile is neither what it was nor what it is.
        let after = file.metadata().map_err(|error| failed(path, &error))?;
        if after.len() != size || after.modified().ok() != opened.modified().ok() {
            return Err(changed(path));
        }
        self.to.write(&[0; 512][..padding(size)])
    }

    /// What has no content.
    fn entry(&mut self, path: &Path, at: &[u8], metadata: &FileMetadata, kind: Kind) -> Result<()> {
        let link = match kind {
            Kind::Symlink => {
                bytes_of(fs::read_link(path).map_err(|error| failed(path, &error))?.as_os_str())?
            }
            _ => Vec::new(),
        };
        if matches!(kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. }) && !may_take_devices() {
            let reason = "devices go into a layer for root only".to_owned();
            let error = Error::from(ErrorKind::PermissionDenied { operation: "reading a device", reason });
            return Err(error.at_path(path.display().to_string()));
        }
        let metadata = self.metadata(path, metadata)?;
        self.header(path, at, &link, kind, &metadata, 0)
    }

    fn metadata(&self, path: &Path, file: &FileMetadata) -> Result<Metadata> {
        let mut metadata = metadata_of(file);
        metadata.xattrs = xattrs_of(path).map_err(|error| failed(path, &error))?;
        self.options.sourcing.adapt(&mut metadata);
        Ok(metadata)
    }

    fn header(
        &mut self,
        source: &Path,
        at: &[u8],
        link: &[u8],
        kind: Kind,
        metadata: &Metadata,
        size: u64,
    ) -> Result<()> {
        let mut blocks = Vec::new();
        Header { path: at, link, kind, metadata, size }
            .write(&mut blocks)
            .map_err(|error| error.at_path(source.display().to_string()))?;
        self.to.write(&blocks)
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    io_error("reading what is to be a layer", Some(path), error)
}

/// The moment in the past or the future that a file says.
fn mtime_of(file: &FileMetadata) -> Mtime {
    let Ok(modified) = file.modified() else { return Mtime::default() };
    let seconds = |span: std::time::Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => Mtime { seconds: seconds(after), nanos: after.subsec_nanos() },
        Err(before) => match before.duration() {
            span if span.subsec_nanos() == 0 => Mtime::from_seconds(-seconds(span)),
            span => Mtime { seconds: -seconds(span) - 1, nanos: 1_000_000_000 - span.subsec_nanos() },
        },
    }
}

#[cfg(unix)]
mod system {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};

    use rustix::fs::{OFlags, major, minor};

    use super::*;

    pub(super) fn bytes_of(name: &OsStr) -> Result<Vec<u8>> {
        Ok(name.as_bytes().to_vec())
    }

    /// `None` for a socket.
    pub(super) fn kind_of(file: &FileMetadata) -> Option<Kind> {
        let kind = file.file_type();
        let (major, minor) = (major(file.rdev()), minor(file.rdev()));
        match kind {
            kind if kind.is_file() => Some(Kind::File),
            kind if kind.is_dir() => Some(Kind::Directory),
            kind if kind.is_symlink() => Some(Kind::Symlink),
            kind if kind.is_fifo() => Some(Kind::Fifo),
            kind if kind.is_char_device() => Some(Kind::CharDevice { major, minor }),
            kind if kind.is_block_device() => Some(Kind::BlockDevice { major, minor }),
            _ => None,
        }
    }

    pub(super) fn metadata_of(file: &FileMetadata) -> Metadata {
        Metadata {
            mode: file.mode() & 0o7777,
            uid: file.uid(),
            gid: file.gid(),
            mtime: mtime_of(file),
            xattrs: Xattrs::new(),
        }
    }

    /// What names the file, if it has other names.
    pub(super) fn shared_inode(file: &FileMetadata) -> Option<(u64, u64)> {
        (file.nlink() > 1).then(|| (file.dev(), file.ino()))
    }

    /// Opens a file; one that was found on the way must still be there, and no link or pipe by now.
    pub(super) fn open(path: &Path, is_found: bool) -> io::Result<File> {
        let mut options = File::options();
        options.read(true);
        if is_found {
            let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
            options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
        }
        options.open(path)
    }

    pub(super) fn may_take_devices() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "macos"))]
    pub(super) fn xattrs_of(path: &Path) -> io::Result<Xattrs> {
        use rustix::fs::{lgetxattr, llistxattr};
        use rustix::io::Errno;

        // Another process may add some between two calls.
        let grown = |fill: &dyn Fn(&mut [u8]) -> rustix::io::Result<usize>| -> io::Result<Option<Vec<u8>>> {
            let mut buffer = vec![0; 1024];
            loop {
                match fill(&mut buffer) {
                    Ok(n) => {
                        buffer.truncate(n);
                        return Ok(Some(buffer));
                    }
                    Err(Errno::RANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 4, 0),
                    Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let mut xattrs = Xattrs::new();
        let Some(names) = grown(&|buffer| llistxattr(path, buffer))? else { return Ok(xattrs) };
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            if let Some(value) = grown(&|buffer| lgetxattr(path, OsStr::from_bytes(name), buffer))? {
                xattrs.insert(name.to_vec(), value);
            }
        }
        Ok(xattrs)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos")))]
    pub(super) fn xattrs_of(_: &Path) -> io::Result<Xattrs> {
        Ok(Xattrs::new())
    }
}

#[cfg(not(unix))]
mod system {
    use std::ffi::OsStr;

    use super::*;

    /// Names there are UTF-16; what is none has no bytes that an image could have.
    pub(super) fn bytes_of(name: &OsStr) -> Result<Vec<u8>> {
        let text = name.to_str().ok_or_else(|| {
            let reason = "its name is no Unicode".to_owned();
            Error::from(ErrorKind::InvalidPath { path: name.to_string_lossy().into_owned(), reason })
        })?;
        Ok(text.replace('\\', "/").into_bytes())
    }

    pub(super) fn kind_of(file: &FileMetadata) -> Option<Kind> {
        let kind = file.file_type();
        match kind {
            kind if kind.is_file() => Some(Kind::File),
            kind if kind.is_dir() => Some(Kind::Directory),
            kind if kind.is_symlink() => Some(Kind::Symlink),
            _ => None,
        }
    }

    /// There are no modes: all can be run, as docker has it there.
    pub(super) fn metadata_of(file: &FileMetadata) -> Metadata {
        Metadata { mode: 0o755, mtime: mtime_of(file), ..Metadata::default() }
    }

    pub(super) fn shared_inode(_: &FileMetadata) -> Option<(u64, u64)> {
        None
    }

    pub(super) fn open(path: &Path, _: bool) -> io::Result<File> {
        File::open(path)
    }

    pub(super) fn may_take_devices() -> bool {
        false
    }

    pub(super) fn xattrs_of(_: &Path) -> io::Result<Xattrs> {
        Ok(Xattrs::new())
    }
}

use system::{bytes_of, kind_of, may_take_devices, metadata_of, open, shared_inode, xattrs_of};
