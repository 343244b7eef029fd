//! skopeo's `dir:`: `manifest.json`, and beside it every blob under its digest without the algorithm.

use alloc::format;
use alloc::vec;

use super::facts::Facts;
use super::{Collection, Image};
use crate::archive::catalog::in_entry;
use crate::digest::{Algorithm, Digest};
use crate::error::Result;
use crate::image::{Descriptor, Document};

/// The image there is.
pub(super) fn read(facts: &mut Facts) -> Result<Option<Collection>> {
    let Some(raw) = facts.document("manifest.json")? else { return Ok(None) };
    let document =
        Document::parse(&raw, None, &facts.limits).map_err(|error| in_entry(error, b"manifest.json"))?;
    let digest = document.digest(Algorithm::Sha256);
    let top = Descriptor::new(document.media_type.clone(), digest, raw.len() as u64);
    let mut collection = Collection { images: vec![Image::named(top, vec![])], ..Collection::default() };
    for name in facts.catalog.names() {
        let span = facts.catalog.find(name)?;
        let Some(span) = span else { continue };
        if name.contains("signature-") {
            collection.signatures.push(span);
        } else if let Some(digest) = digest_of(name) {
            collection.blobs.insert(digest, span);
        }
    }
    collection.blobs.insert(digest, facts.span("manifest.json")?);
    Ok(Some(collection))
}

/// The digest that a file's name is: `HEX` of sha256 or sha512, `sha512-HEX`; `.tar` behind it in the first version, and
/// `.manifest.json` for the manifests of an index.
fn digest_of(name: &str) -> Option<Digest> {
    let stem = name.strip_suffix(".manifest.json").or_else(|| name.strip_suffix(".tar")).unwrap_or(name);
    if let Some((algorithm, hex)) = stem.split_once('-') {
        return format!("{algorithm}:{hex}").parse().ok();
    }
    let algorithm = match stem.len() {
        64 => "sha256",
        128 => "sha512",
        _ => return None,
    };
    format!("{algorithm}:{stem}").parse().ok()
}
