//! Where the bytes of a blob lie on this disk.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use wharfie_core::error::{ErrorKind, Result};

use crate::at;
use crate::drive::Cancel;
use crate::fault::{changed, io_error};
use crate::layers::default_temp_dir;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

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
    /// Whether it is to be all of the file, however long that is.
    is_whole: bool,
}

impl BlobFile {
    /// A range of a file.
    pub fn range(path: impl Into<PathBuf>, offset: u64, len: u64) -> BlobFile {
        BlobFile { path: path.into(), offset, len, file: None, is_whole: false }
    }

    /// A file that is a blob from end to end.
    ///
    /// # Errors
    /// As the system has it.
    pub fn whole(path: impl Into<PathBuf>) -> io::Result<BlobFile> {
        let path = path.into();
        let len = std::fs::metadata(&path)?.len();
        Ok(BlobFile::awaited(path, len))
    }

    /// A file that is a blob from end to end when it is there, which it need not be yet, of so many bytes.
    pub fn awaited(path: impl Into<PathBuf>, len: u64) -> BlobFile {
        BlobFile { is_whole: true, ..BlobFile::range(path, 0, len) }
    }

    /// A range of a file that is open and need not have a name: what an archive was unpacked to. `path` is for messages.
    pub fn of_open(path: impl Into<PathBuf>, file: Arc<File>, offset: u64, len: u64) -> BlobFile {
        BlobFile { path: path.into(), offset, len, file: Some(file), is_whole: false }
    }

    /// Bytes that are in no file yet: they go to a temporary one without a name.
    ///
    /// # Errors
    /// As the system has it.
    pub(crate) fn of_bytes(bytes: &[u8]) -> io::Result<BlobFile> {
        let dir = default_temp_dir();
        let mut file = tempfile::tempfile_in(&dir)?;
        file.write_all(bytes)?;
        Ok(BlobFile::of_open(dir, Arc::new(file), 0, bytes.len() as u64))
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

    /// A handle that stands at the first byte of it and has a position of its own; `None` for a file without a name, whose
    /// position is everybody's.
    ///
    /// # Errors
    /// As the system has it.
    pub(crate) fn handle(&self) -> io::Result<Option<File>> {
        if self.file.is_some() {
            return Ok(None);
        }
        let mut file = File::open(&self.path)?;
        if self.offset > 0 {
            file.seek(io::SeekFrom::Start(self.offset))?;
        }
        Ok(Some(file))
    }

    /// How many bytes of it the file has, which [`BlobFile::open`] gave: more than [`BlobFile::len`] where it is the whole
    /// file, and that has grown.
    ///
    /// # Errors
    /// As the system has it.
    pub fn present(&self, file: &File) -> io::Result<u64> {
        let len = file.metadata()?.len().saturating_sub(self.offset);
        Ok(if self.is_whole { len } else { len.min(self.len) })
    }

    /// Reads it from end to end, piece by piece; `operation` is what a failure is said to be of.
    ///
    /// # Errors
    /// `local_io`, `cancelled`, and what `take` answers.
    pub(crate) fn read_pieces(
        &self,
        operation: &'static str,
        cancel: &Cancel,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let failed = |error: &io::Error| io_error(operation, Some(&self.path), error);
        let file = self.open().map_err(|error| failed(&error))?;
        let mut buffer = vec![0; PIECE];
        let mut read = 0;
        while read < self.len {
            if cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled {}.into());
            }
            let n = buffer.len().min(usize::try_from(self.len - read).unwrap_or(usize::MAX));
            at::read_exact(&file, &mut buffer[..n], self.offset + read).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::UnexpectedEof => changed(&self.path),
                    _ => failed(&error),
                }
            })?;
            take(&buffer[..n])?;
            read += n as u64;
        }
        Ok(())
    }

    /// Where it ends for who reads it.
    pub(crate) fn end(&self) -> u64 {
        if self.is_whole { u64::MAX } else { self.offset.saturating_add(self.len) }
    }
}
