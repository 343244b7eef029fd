use std::io::ErrorKind as Io;
use std::path::Path;

use wharfie_core::Error;
use wharfie_core::error::ErrorKind;

/// What the system said of a file, as one of our errors: `no_space` (needing an unknown number of bytes),
/// `permission_denied` (read-only file systems too) or `local_io`.
pub fn io_error(operation: &'static str, path: &Path, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
            ErrorKind::NoSpace { needed: 0, available: None }
        }
        Io::PermissionDenied | Io::ReadOnlyFilesystem => {
            ErrorKind::PermissionDenied { operation, reason: error.to_string() }
        }
        _ => ErrorKind::LocalIo { operation, reason: error.to_string() },
    };
    Error::from(kind).at_path(path.display().to_string())
}
