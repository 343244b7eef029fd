//! The system's errors in core's words.

use std::io;
use std::path::Path;

use wharfie_core::error::{Error, ErrorKind};

/// `operation` as in `writing the output`, on `path` where there is one.
pub(crate) fn io_error(operation: &'static str, path: Option<&Path>, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            let dir = |path: &Path| path.ancestors().find(|path| path.is_dir()).map(Path::to_owned);
            let available = path.and_then(dir).and_then(|dir| available_space(&dir));
            ErrorKind::NoSpace { needed: 0, available }
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ErrorKind::PermissionDenied { operation, reason: error.to_string() }
        }
        _ => ErrorKind::LocalIo { operation, reason: error.to_string() },
    };
    let error = Error::from(kind);
    match path {
        Some(path) => error.at_path(path.display().to_string()),
        None => error,
    }
}

/// Bytes that this user may still write where `dir` is.
pub(crate) fn available_space(dir: &Path) -> Option<u64> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    fs4::available_space(dir).ok()
}

/// Whether both are on one file system, as far as that can be known.
pub(crate) fn same_file_system(one: &Path, other: &Path) -> Option<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let device = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.dev());
        Some(device(one)? == device(other)?)
    }
    #[cfg(not(unix))]
    {
        let _ = (one, other);
        None
    }
}

/// Somebody wrote to a file while it was read.
pub(crate) fn changed(path: &Path) -> Error {
    let reason = "it changed while it was read".to_owned();
    Error::from(ErrorKind::LocalIo { operation: "reading", reason }).at_path(path.display().to_string())
}
