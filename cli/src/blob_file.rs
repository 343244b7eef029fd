//! Where the bytes of a blob lie on this disk.

use std::fs::File;
use std::io;
use std::path::PathBuf;

/// A range of a file that is a blob: all of it in a layout, a member in an archive. Its bytes are not to be trusted before
/// their digest held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobFile {
    /// The file.
    pub path: PathBuf,
    /// Where the blob begins in it.
    pub offset: u64,
    /// How long it is.
    pub len: u64,
}

impl BlobFile {
    /// A file that is a blob from end to end.
    ///
    /// # Errors
    /// As the system has it.
    pub fn whole(path: impl Into<PathBuf>) -> io::Result<BlobFile> {
        let path = path.into();
        let len = std::fs::metadata(&path)?.len();
        Ok(BlobFile { path, offset: 0, len })
    }

    /// Opens the file; positions are then those of the file, from [`BlobFile::offset`] on.
    ///
    /// # Errors
    /// As the system has it.
    pub fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}
