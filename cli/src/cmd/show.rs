//! `manifest`, `config`, `digest`, `blob`

use std::path::Path;

use serde_json::{Value, json};
use wharfie_core::client::{Depth, PlatformChoice};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::{Limits, MediaType};

use super::args::{BlobArgs, ConfigArgs, DigestArgs, ManifestArgs};
use super::{list, open, output};
use crate::console::Console;

fn choice(platform: Option<&str>) -> Result<(PlatformChoice, Depth)> {
    Ok(match platform {
        Some(platform) => (PlatformChoice::One(open::platform(Some(platform))?), Depth::Manifest),
        None => (PlatformChoice::All, Depth::Document),
    })
}

fn indented(raw: &[u8], document: &'static str) -> Result<()> {
    let value: Value = serde_json::from_slice(raw)
        .map_err(|error| ErrorKind::InvalidDocument { document, reason: error.to_string() })?;
    output::json(&value)
}

/// `manifest IMAGE`
pub(super) fn manifest(arguments: &ManifestArgs, console: &Console) -> Result<()> {
    let (platform, depth) = choice(arguments.platform.as_deref())?;
    let mut options = open::options(platform, depth);
    options.accept = arguments.accept.iter().map(|kind| MediaType::parse(kind)).collect();
    let opened = open::open(&arguments.image.image, &arguments.image.from, options, console)?;
    let descriptor = match arguments.platform {
        Some(_) => &opened.image()?.manifest,
        None => &opened.pulled.top,
    };
    let raw = opened.layout.document(&descriptor.digest, &Limits::default())?;
    if arguments.raw { output::write(&raw) } else { indented(&raw, "manifest") }
}

/// `config IMAGE`
pub(super) fn config(arguments: &ConfigArgs, console: &Console) -> Result<()> {
    let platform = PlatformChoice::One(open::platform(arguments.platform.platform.as_deref())?);
    let image = &arguments.image;
    let opened = open::open(&image.image, &image.from, open::options(platform, Depth::Config), console)?;
    let image = opened.image()?;
    // The config of an artifact is shown as it is, too.
    let raw = match &image.config {
        Some(config) => opened.layout.document(&config.digest, &Limits::default())?,
        None => opened.config(image)?.raw,
    };
    if arguments.raw { output::write(&raw) } else { indented(&raw, "config") }
}

/// `digest IMAGE`
pub(super) fn digest(arguments: &DigestArgs, console: &Console) -> Result<()> {
    let (platform, depth) = choice(arguments.platform.as_deref())?;
    let depth = if depth == Depth::Document { Depth::Resolve } else { depth };
    let opened =
        open::open(&arguments.image.image, &arguments.image.from, open::options(platform, depth), console)?;
    let descriptor = match arguments.platform {
        Some(_) => &opened.image()?.manifest,
        None => &opened.pulled.top,
    };
    if arguments.json {
        return output::json(&json!({
            "name": opened.name,
            "digest": descriptor.digest.to_string(),
            "mediaType": descriptor.media_type.as_str(),
            "size": descriptor.size,
        }));
    }
    output::lines([descriptor.digest])
}

/// `blob IMAGE@DIGEST`
pub(super) fn blob(arguments: &BlobArgs, console: &Console) -> Result<()> {
    let reference = list::registry_reference(&arguments.image)?;
    let Some(digest) = reference.digest().copied() else {
        let reason = "a blob is named by its digest: IMAGE@sha256:…".to_owned();
        return Err(ErrorKind::InvalidOption { reason }.into());
    };
    let driver = open::driver(&arguments.from, console)?;
    driver.blob(&reference).map_err(|error| error.in_image(reference.to_string()))?;
    let path = driver.store().blob_path(&digest);
    let failed = |path: &Path, operation| {
        let path = open::shown(path);
        move |error: std::io::Error| {
            Error::from(ErrorKind::LocalIo { operation, reason: error.to_string() }).at_path(path)
        }
    };
    let mut from = std::fs::File::open(&path).map_err(failed(&path, "reading a blob"))?;
    if arguments.output == Path::new("-") {
        let mut stdout = std::io::stdout().lock();
        return match std::io::copy(&mut from, &mut stdout) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map(drop).map_err(failed(&arguments.output, "writing a blob")),
        };
    }
    let target = &arguments.output;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new();
    #[cfg(unix)]
    temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = temporary.tempfile_in(folder).map_err(failed(target, "writing a blob"))?;
    let size = std::io::copy(&mut from, &mut temporary).map_err(failed(target, "writing a blob"))?;
    temporary.persist(target).map_err(|error| failed(target, "writing a blob")(error.error))?;
    console.note(&format!("{}: {}, verified", open::shown(target), crate::console::Bytes(size)));
    Ok(())
}
