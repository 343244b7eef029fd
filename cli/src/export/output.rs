//! Where the bytes go, and how a name is only given to what is whole.

use std::fs::{self, File};
use std::io::{self, IoSlice, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use wharfie_core::codec::Format;
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::merge::HELD_BACK;

use super::{Sink, names_file};
use crate::fault::io_error;
use crate::unfinished::{self, Entered};

/// Bytes of a compressed stream that are held back to the very end: the last ones of a gzip member's trailer or of a zstd
/// frame's checksum, so that a stream without them ends inside a member or frame, however many were written.
const HELD_BACK_OF_BLOCK: usize = 4;

/// Bytes of a file that go to a stream at once.
const COPIED: usize = 256 << 10;

/// An open output.
pub(crate) enum Output {
    /// A temporary file beside the target, removed unless it is committed.
    File { temporary: NamedTempFile, target: PathBuf, entered: Entered },
    /// A stream, and its bytes that are held back.
    Stream { writer: Box<dyn Write + Send>, name: Option<PathBuf>, held: Vec<u8>, hold: usize },
}

impl Output {
    pub(crate) fn open(sink: Sink, format: Format) -> Result<Output> {
        let hold = if format == Format::Identity { HELD_BACK } else { HELD_BACK_OF_BLOCK };
        match sink {
            Sink::Stream(writer) => Ok(Output::Stream { writer, name: None, held: Vec::new(), hold }),
            Sink::File(path) => Output::open_file(path, hold),
        }
    }

    fn open_file(path: PathBuf, hold: usize) -> Result<Output> {
        let opening = |error| io_error("opening the output", Some(&path), &error);
        // Through a link, what it leads to is replaced, as with any other tool.
        let existing = match fs::metadata(&path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(opening(error)),
        };
        let target = match &existing {
            Some(metadata) if metadata.is_dir() => {
                let reason = format!("{} is a directory: name a file in it", path.display());
                return Err(ErrorKind::InvalidOption { reason }.into());
            }
            Some(metadata) if !metadata.is_file() => {
                let writer = Box::new(File::options().write(true).open(&path).map_err(opening)?);
                return Ok(Output::Stream { writer, name: Some(path), held: Vec::new(), hold });
            }
            None if !names_file(&path) => {
                let reason = format!("{} does not end with the name of a file", path.display());
                return Err(ErrorKind::InvalidOption { reason }.into());
            }
            Some(_) => fs::canonicalize(&path).map_err(opening)?,
            None => path.clone(),
        };
        let dir = match target.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        // Short, as the output's own name may be as long as names can be.
        builder.prefix(".wharfie-").suffix(".partial");
        // Not private as other temporary files: it is going to be the output.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let (temporary, entered) = unfinished::enter(|| builder.tempfile_in(dir)).map_err(opening)?;
        if let Some(metadata) = existing {
            // Where that is not allowed, the file is its owner's all the same.
            let _ = temporary.as_file().set_permissions(metadata.permissions());
        }
        Ok(Output::File { temporary, target, entered })
    }

    /// How much of a plain tar is held back to the very end, see [`Plan::held_back`](wharfie_core::merge::Plan::held_back).
    pub(super) fn hold_back(&mut self, bytes: usize) {
        if let Output::Stream { hold, .. } = self {
            *hold = bytes;
        }
    }

    /// The file, if that is what it is.
    pub(super) fn target(&self) -> Option<&Path> {
        match self {
            Output::File { target, .. } => Some(target),
            Output::Stream { .. } => None,
        }
    }

    /// The file that has no name yet, to be written at given positions, and what it will be called; `None` for a stream.
    pub(crate) fn file(&self) -> Option<(&File, &Path)> {
        match self {
            Output::File { temporary, target, .. } => Some((temporary.as_file(), target)),
            Output::Stream { .. } => None,
        }
    }

    /// Whether bytes that were written can be taken back.
    pub(super) fn can_be_cut(&self) -> bool {
        matches!(self, Output::File { .. })
    }

    /// Takes back all but the first `len` bytes.
    pub(super) fn cut(&mut self, len: u64) -> Result<()> {
        match self {
            Output::File { temporary, target, .. } => {
                let file = temporary.as_file_mut();
                file.set_len(len)
                    .and_then(|()| file.seek(SeekFrom::Start(len)))
                    .map(drop)
                    .map_err(|error| io_error("writing the output", Some(target), &error))
            }
            Output::Stream { .. } => {
                Err(ErrorKind::Internal { reason: "a stream cannot be taken back".to_owned() }.into())
            }
        }
    }

    /// Adds two runs of bytes at the end, at once where that can be had.
    pub(super) fn write_both(&mut self, first: &[u8], second: &[u8]) -> Result<()> {
        let Output::File { temporary, target, .. } = self else {
            self.write(first)?;
            return self.write(second);
        };
        let file = temporary.as_file_mut();
        let written = loop {
            match file.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        let written = written.and_then(|written| {
            let old = written.min(first.len());
            file.write_all(&first[old..])?;
            file.write_all(&second[written - old..])
        });
        written.map_err(|error| io_error("writing the output", Some(target), &error))
    }

    /// Adds bytes at the end.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Output::File { temporary, target, .. } => temporary
                .as_file_mut()
                .write_all(bytes)
                .map_err(|error| io_error("writing the output", Some(target), &error)),
            Output::Stream { writer, name, held, hold } => {
                let failed = |error| io_error("writing the output", name.as_deref(), &error);
                let goes = (held.len() + bytes.len()).saturating_sub(*hold);
                let old = goes.min(held.len());
                writer.write_all(&held[..old]).map_err(failed)?;
                held.drain(..old);
                let (now, later) = bytes.split_at(goes - old);
                writer.write_all(now).map_err(failed)?;
                held.extend_from_slice(later);
                Ok(())
            }
        }
    }

    /// Adds what comes of a file, by the kernel alone where that can be had. Answers how much.
    pub(super) fn copy(&mut self, from: &mut io::Take<&File>) -> Result<u64> {
        match self {
            Output::File { temporary, target, .. } => io::copy(from, temporary.as_file_mut())
                .map_err(|error| io_error("copying to the output", Some(target), &error)),
            Output::Stream { .. } => {
                let mut buffer = vec![0; COPIED];
                let mut copied = 0;
                loop {
                    let read = match from.read(&mut buffer) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        read => read.map_err(|error| io_error("reading a layer", None, &error))?,
                    };
                    if read == 0 {
                        return Ok(copied);
                    }
                    self.write(&buffer[..read])?;
                    copied += read as u64;
                }
            }
        }
    }

    /// All is well: gives it its name, or lets out what was held back.
    pub(crate) fn commit(self) -> Result<()> {
        match self {
            // Not synced to the disk: what a power cut takes away can be exported again, and syncing costs more than
            // all the rest.
            Output::File { temporary, target, entered: _entered } => match temporary.persist(&target) {
                Ok(_) => Ok(()),
                Err(error) => Err(io_error("naming the output", Some(&target), &error.error)),
            },
            Output::Stream { mut writer, name, held, .. } => writer
                .write_all(&held)
                .and_then(|()| writer.flush())
                .map_err(|error| io_error("writing the output", name.as_deref(), &error)),
        }
    }
}
