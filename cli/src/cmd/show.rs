//! `manifest`, `config`, `digest`, `blob`

use std::io::IsTerminal as _;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use wharfie_core::client::{Depth, PlatformChoice};
use wharfie_core::digest::Verifier;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::{Digest, Limits, MediaType};

use super::args::{BlobArgs, ConfigArgs, DigestArgs, ManifestArgs};
use super::{list, names, open, output};
use crate::console::Console;

/// Bytes of a blob read at once.
const PIECE: u64 = 256 << 10;

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
        Some(_) => &opened.chosen()?.manifest,
        None => &opened.pulled.top,
    };
    let raw = opened.origin.document(&descriptor.digest, &Limits::default())?;
    if arguments.raw { output::write(&raw) } else { indented(&raw, "manifest") }
}

/// `config IMAGE`
pub(super) fn config(arguments: &ConfigArgs, console: &Console) -> Result<()> {
    let platform = PlatformChoice::One(open::platform(arguments.platform.platform.as_deref())?);
    let image = &arguments.image;
    let opened = open::open(&image.image, &image.from, open::options(platform, Depth::Config), console)?;
    let image = opened.chosen()?;
    // The config of an artifact is shown as it is, too.
    let raw = match &image.config {
        Some(config) => opened.origin.document(&config.digest, &Limits::default())?,
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
        Some(_) => &opened.chosen()?.manifest,
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
    if arguments.output == Path::new("-") && std::io::stdout().is_terminal() {
        let reason =
            "a blob is not for a terminal: name a file with -o, or redirect the standard output".to_owned();
        return Err(ErrorKind::InvalidOption { reason }.into());
    }
    let (driver, _folder) = open::driver(&arguments.from, console)?;
    let reference = names::settle(&arguments.image, reference, &arguments.from.network, None, console)?;
    driver.blob(&reference).map_err(|error| error.in_image(reference.to_string()))?;
    let path = driver.store().blob_path(&digest);
    let failed = |path: &Path, operation| {
        let path = open::shown(path);
        move |error: std::io::Error| {
            Error::from(ErrorKind::LocalIo { operation, reason: error.to_string() }).at_path(path)
        }
    };
    if arguments.output == Path::new("-") {
        return copy(&path, digest, &mut output::write).map(drop);
    }
    let target = &arguments.output;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new();
    #[cfg(unix)]
    temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let (mut temporary, _entered) = crate::unfinished::enter(|| temporary.tempfile_in(folder))
        .map_err(failed(target, "writing a blob"))?;
    let size = copy(&path, digest, &mut |bytes| {
        temporary.write_all(bytes).map_err(failed(target, "writing a blob"))
    })?;
    temporary.persist(target).map_err(|error| failed(target, "writing a blob")(error.error))?;
    console.note(&format!("{}: {}, verified", open::shown(target), crate::console::Bytes(size)));
    Ok(())
}

/// Copies a blob and says how long it is. It may have rotted in the store: its last bytes, and so its name, come only when
/// its digest has held.
fn copy(path: &Path, digest: Digest, write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<u64> {
    let failed = |error: std::io::Error| {
        let kind = ErrorKind::LocalIo { operation: "reading a blob", reason: error.to_string() };
        Error::from(kind).at_path(open::shown(path))
    };
    let place = |error: Error| error.in_blob(digest).at_path(open::shown(path));
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut verifier = Verifier::new(&crate::codec::NativeHashes, digest, None);
    let (mut piece, mut held) = (Vec::new(), Vec::new());
    let mut size = 0;
    loop {
        let read = (&file).take(PIECE).read_to_end(&mut piece).map_err(failed)?;
        if read == 0 {
            verifier.finish().map_err(place)?;
            write(&held)?;
            return Ok(size);
        }
        verifier.update(&piece).map_err(place)?;
        write(&held)?;
        size += read as u64;
        std::mem::swap(&mut piece, &mut held);
        piece.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_that_has_rotted_does_not_come_out_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        for len in [0, 1, PIECE as usize, PIECE as usize + 1, 2 * PIECE as usize + 7] {
            let mut bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let digest = Digest::sha256(&bytes);
            let copied = |bytes: &[u8]| {
                std::fs::write(&path, bytes).unwrap();
                let mut out = Vec::new();
                let result = copy(&path, digest, &mut |piece| {
                    out.extend_from_slice(piece);
                    Ok(())
                });
                (result.map_err(|error| error.code()), out)
            };
            assert_eq!(copied(&bytes), (Ok(len as u64), bytes.clone()));
            bytes.push(0);
            let (result, out) = copied(&bytes);
            assert_eq!(result, Err("digest_mismatch"), "{len}");
            assert!(out.len() < bytes.len());
        }
    }
}
