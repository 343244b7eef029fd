//! Where the bytes of a blob lie on this disk.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A range of a file that is a blob: all of it in a layout, a member in an archive. Its bytes are not to be trusted before
/// their digest held.
#[derive(Clone, Debug)]
pub struct BlobFile {
    /// The file, or what it is to be called in messages.
    pub path: PathBuf,
    /// Where the blob begins in it.
    pub offset: u64,
    /// How long it is.
    pub len: u64,
    /// The file itself, where it has no name.
    file: Option<Arc<File>>,
}

impl BlobFile {
    /// A range of a file.
    pub fn range(path: impl Into<PathBuf>, offset: u64, len: u64) -> BlobFile {
        BlobFile { path: path.into(), offset, len, file: None }
    }

    /// A file that is a blob from end to end.
    ///
    /// # Errors
    /// As the system has it.
    pub fn whole(path: impl Into<PathBuf>) -> io::Result<BlobFile> {
        let path = path.into();
        let len = std::fs::metadata(&path)?.len();
        Ok(BlobFile::range(path, 0, len))
    }

    /// A range of a file that is open and need not have a name: what an archive was unpacked to. `path` is for messages.
    pub fn of_open(path: impl Into<PathBuf>, file: Arc<File>, offset: u64, len: u64) -> BlobFile {
        BlobFile { path: path.into(), offset, len, file: Some(file) }
    }

    /// The file, to be read at given positions only, from [`BlobFile::offset`] on: others may read it as well.
    ///
    /// # Errors
    /// As the system has it.
    pub fn open(&self) -> io::Result<Arc<File>> {
        match &self.file {
            Some(file) => Ok(Arc::clone(file)),
            None => File::open(&self.path).map(Arc::new),
        }
    }
}
