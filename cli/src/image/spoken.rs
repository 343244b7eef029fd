//! What programs in other languages say and hear of images, as JSON: options, descriptions, reports, credentials.

use std::io;

use serde_json::{Map, Value, json};
use wharfie_core::client::Credentials;
use wharfie_core::codec::Format;
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::merge::{Options, Warnings};
use wharfie_core::name::Name;
use wharfie_core::wire;

use super::Image;
use crate::drive::Cancel;
use crate::export::{self, ExportOptions};
use crate::layers::LayerReport;
use crate::unpack::{self, UnpackOptions};

fn invalid(reason: String) -> wharfie_core::Error {
    ErrorKind::InvalidOption { reason }.into()
}

/// What happened to a file of a program's own: a disk that is full is told apart from what else goes wrong with it.
/// `operation` is one of `wire::local_error`'s.
pub fn io_failed(operation: &str, error: &io::Error) -> wharfie_core::Error {
    let failure = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => "no_space",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "permission",
        io::ErrorKind::NotFound => "absent",
        _ => "io",
    };
    wire::local_error(failure, operation, 0, &error.to_string())
}

/// What `wire::describe` says of an image.
///
/// # Errors
/// As [`Image::raw`].
pub fn description(image: &Image) -> Result<String> {
    let (chosen, pulled) = (image.chosen()?, image.pulled());
    let manifest = image.raw(&chosen.manifest)?;
    let config = chosen.config.as_ref().map(|config| image.raw(config)).transpose()?;
    let index = match pulled.top.digest == chosen.manifest.digest {
        true => None,
        false => Some(image.raw(&pulled.top)?),
    };
    let top = json!({
        "mediaType": pulled.top.media_type.as_str(),
        "digest": pulled.top.digest.to_string(),
        "size": pulled.top.size,
    });
    wire::describe(image.name(), &top.to_string(), &manifest, config.as_deref(), index.as_deref())
}

/// Options that were given, each of which has to be taken.
struct Given(Map<String, Value>);

impl Given {
    fn read(text: &str) -> Result<Given> {
        match serde_json::from_str(text) {
            Ok(Value::Object(options)) => Ok(Given(options)),
            Ok(_) => Err(invalid("the options are no object".to_owned())),
            Err(error) => Err(invalid(format!("the options cannot be read: {error}"))),
        }
    }

    fn take<T>(&mut self, name: &str, what: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(&value) {
                Some(value) => Ok(Some(value)),
                None => Err(invalid(format!("`{name}` is {value}, not {what}"))),
            },
        }
    }

    fn flag(&mut self, name: &str) -> Result<bool> {
        Ok(self.take(name, "`true` or `false`", Value::as_bool)?.unwrap_or_default())
    }

    /// What is left says how layers are merged.
    fn merge(self) -> Result<Options> {
        wire::merge_options(&Value::Object(self.0).to_string())
    }
}

/// The options of an export: `format` (`tar`, `tar.gz`, `tar.zst`), `level`, and those of [`wire::merge_options`]. The format is
/// that of the file's name where none is said, and a tar else.
///
/// # Errors
/// `invalid_option`, `invalid_pattern`, `invalid_id_map`.
pub fn export_options(text: &str, file: Option<&std::path::Path>, cancel: &Cancel) -> Result<ExportOptions> {
    let mut given = Given::read(text)?;
    let format = given.take("format", "`tar`, `tar.gz` or `tar.zst`", |value| match value.as_str()? {
        "tar" => Some(Format::Identity),
        "tar.gz" => Some(Format::Gzip),
        "tar.zst" => Some(Format::Zstd),
        _ => None,
    })?;
    let level = given.take("level", "a number", |value| i32::try_from(value.as_i64()?).ok())?;
    let format = format.or_else(|| file.and_then(export::format_of_name)).unwrap_or(Format::Identity);
    let (merge, cancel) = (given.merge()?, cancel.clone());
    Ok(ExportOptions { format, level, merge, cancel, ..ExportOptions::default() })
}

/// The options of an unpacking: `rootless`, and those of [`wire::merge_options`].
///
/// # Errors
/// `invalid_option`, `invalid_pattern`, `invalid_id_map`.
pub fn unpack_options(text: &str, cancel: &Cancel) -> Result<UnpackOptions> {
    let mut given = Given::read(text)?;
    let (rootless, merge, cancel) = (given.flag("rootless")?, given.merge()?, cancel.clone());
    Ok(UnpackOptions { rootless, merge, cancel, ..UnpackOptions::default() })
}

/// What was odd about layers and their entries, as people are told.
pub fn warned(warnings: &Warnings, layers: &[LayerReport]) -> Vec<String> {
    let of_entries = warnings
        .iter()
        .map(|warning| format!("layer {}, {}: {}", warning.layer, Name(&warning.path), warning.kind));
    let of_layers = layers.iter().enumerate().filter_map(|(position, layer)| {
        layer.mismatch.as_ref().map(|mismatch| format!("layer {position}: {mismatch}"))
    });
    of_entries.chain(of_layers).collect()
}

/// What an export came to: `entries`, `tarBytes`, `bytes`, `seconds`, `warnings`.
pub fn exported(report: &export::Report) -> String {
    json!({
        "entries": report.entries,
        "tarBytes": report.tar_bytes,
        "bytes": report.bytes,
        "seconds": report.elapsed.as_secs_f64(),
        "warnings": warned(&report.warnings, &report.layers),
    })
    .to_string()
}

/// What an unpacking came to: `entries`, `bytes`, `seconds`, `recordedOwners`, `warnings`.
pub fn unpacked(report: &unpack::Report) -> String {
    json!({
        "entries": report.entries,
        "bytes": report.bytes,
        "seconds": report.elapsed.as_secs_f64(),
        "recordedOwners": report.lacks.recorded(),
        "warnings": warned(&report.warnings, &report.layers),
    })
    .to_string()
}

/// Credentials, as `wire::Session::credentials` takes them.
pub fn credentials(found: &Credentials) -> Option<String> {
    let found = match found {
        Credentials::Basic { user, password } => json!({"username": user, "password": password.reveal()}),
        Credentials::RefreshToken(token) => json!({"identityToken": token.reveal()}),
        Credentials::Bearer(token) => json!({"registryToken": token.reveal()}),
        _ => return None,
    };
    Some(found.to_string())
}
