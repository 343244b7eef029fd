//! Images between places on this machine, and what of them is missing somewhere.

use std::collections::BTreeSet;

use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::{Descriptor, Document, View};
use wharfie_core::{Digest, Limits};

use super::super::watch::short;
use super::ends::read;
use super::rework::Reworked;
use crate::console::Console;
use crate::destination::Destination;
use crate::layout::Layout;
use crate::origin::Origin;

/// What was carried.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carried {
    pub(super) blobs: u64,
    pub(super) bytes: u64,
    pub(super) present: u64,
}

/// Something that hangs below a document, or the document itself.
enum Part<'a> {
    Blob(&'a Descriptor),
    Document(&'a Descriptor, &'a Document),
}

/// Goes through all below a document, each digest once: blobs before their manifest, manifests before their index.
fn each(
    origin: &dyn Origin,
    top: &Descriptor,
    seen: &mut BTreeSet<Digest>,
    depth: u32,
    see: &mut dyn FnMut(Part<'_>) -> Result<()>,
) -> Result<()> {
    if !seen.insert(top.digest) {
        return Ok(());
    }
    let Some(depth) = depth.checked_sub(1) else {
        let value = u64::from(Limits::default().index_depth);
        return Err(Error::from(ErrorKind::LimitExceeded { limit: "index_depth", value }).in_blob(top.digest));
    };
    let document = read(origin, top)?;
    let mut blobs: Vec<&Descriptor> = Vec::new();
    match &document.view {
        View::Manifest(manifest) => {
            blobs.push(&manifest.config);
            blobs.extend(&manifest.layers);
        }
        View::Index(index) => {
            for entry in &index.manifests {
                let kind = &entry.media_type;
                if kind.is_manifest() || kind.is_index() || kind.is_generic() {
                    each(origin, entry, seen, depth, see)?;
                } else {
                    blobs.push(entry);
                }
            }
        }
        _ => {
            let reason = "manifests of schema 1 are pulled, not copied: no other place keeps them".to_owned();
            let media_type = document.media_type.to_string();
            return Err(ErrorKind::UnsupportedMediaType { media_type, reason }.into());
        }
    }
    for blob in blobs {
        if seen.insert(blob.digest) {
            see(Part::Blob(blob)).map_err(|error| error.in_blob(blob.digest))?;
        }
    }
    see(Part::Document(top, &document)).map_err(|error| error.in_blob(top.digest))
}

/// Has all of it at a place on this machine.
pub(super) fn carry(
    reworked: &Reworked,
    top: &Descriptor,
    to: &mut dyn Destination,
    console: &Console,
) -> Result<Carried> {
    let origin = reworked.origin();
    let limits = Limits::default();
    let mut carried = Carried::default();
    each(origin, top, &mut BTreeSet::new(), limits.index_depth + 1, &mut |part| {
        match part {
            Part::Document(descriptor, document) => return to.document(descriptor, &document.raw),
            Part::Blob(descriptor) if to.has(descriptor)? => carried.present += 1,
            Part::Blob(descriptor) if descriptor.media_type.is_config() => {
                to.document(descriptor, &origin.content(descriptor, &limits)?)?;
                carried.blobs += 1;
                carried.bytes += descriptor.size;
            }
            Part::Blob(descriptor) => {
                let Some(file) = origin.content_file(descriptor)? else {
                    if descriptor.media_type.is_nondistributable() {
                        return Ok(());
                    }
                    let what = format!("{} in {}", descriptor.digest, origin.name());
                    return Err(ErrorKind::NotFound { what, detail: None }.into());
                };
                let task = console.task("copying", &short(&descriptor.digest), 0, Some(descriptor.size));
                to.blob(descriptor, &file)?;
                task.done(descriptor.size);
                carried.blobs += 1;
                carried.bytes += descriptor.size;
            }
        }
        Ok(())
    })?;
    Ok(carried)
}

/// Counts what of it a layout does not have; all of it without one.
pub(super) fn count(reworked: &Reworked, top: &Descriptor, there: Option<&Layout>) -> Result<Carried> {
    let mut carried = Carried::default();
    let depth = Limits::default().index_depth + 1;
    each(reworked.origin(), top, &mut BTreeSet::new(), depth, &mut |part| {
        let Part::Blob(descriptor) = part else { return Ok(()) };
        if there.is_some_and(|there| there.blob_size(&descriptor.digest) == Some(descriptor.size)) {
            carried.present += 1;
        } else {
            carried.blobs += 1;
            carried.bytes = carried.bytes.saturating_add(descriptor.size);
        }
        Ok(())
    })?;
    Ok(carried)
}

/// The documents of an image: itself and, of an index, all below it that is here.
pub(super) fn family(origin: &dyn Origin, top: &Descriptor) -> Result<Vec<Digest>> {
    let mut family = vec![top.digest];
    let mut at = 0;
    let mut waiting = vec![top.clone()];
    while let Some(descriptor) = waiting.get(at).cloned() {
        at += 1;
        let Some(index) = read(origin, &descriptor)?.index().cloned() else { continue };
        for entry in index.manifests {
            let kind = &entry.media_type;
            if (kind.is_manifest() || kind.is_index()) && !family.contains(&entry.digest) {
                family.push(entry.digest);
                waiting.push(entry);
            }
        }
    }
    Ok(family)
}
