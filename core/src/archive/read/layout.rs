//! OCI layouts (image-spec `image-layout.md`).

use alloc::format;
use alloc::string::ToString;

use super::facts::Facts;
use super::{Collection, Image, named_blobs};
use crate::archive::catalog::in_entry;
use crate::error::{ErrorKind, Result};
use crate::image::Document;
use crate::image::json;
use crate::media_type::MediaType;

/// What is listed in `index.json`.
pub(super) fn read(facts: &mut Facts) -> Result<Option<Collection>> {
    let marker = facts.document("oci-layout")?;
    let index = facts.document("index.json")?;
    let (Some(marker), Some(index)) = (marker, index) else { return Ok(None) };
    let limits = &facts.limits;
    let marker =
        json::parse("oci-layout", &marker, limits).map_err(|error| in_entry(error, b"oci-layout"))?;
    let version = marker.get("imageLayoutVersion").and_then(|version| version.as_str());
    if !version.is_some_and(|version| version.starts_with("1.")) {
        let version = version.map_or_else(|| "missing".to_string(), json::brief);
        let reason = format!("`imageLayoutVersion` is {version}, not 1.x");
        return Err(ErrorKind::InvalidDocument { document: "oci-layout", reason }.into());
    }
    let document = Document::parse(&index, Some(MediaType::OciIndex.as_str()), limits)
        .map_err(|error| in_entry(error, b"index.json"))?;
    let listed = document.index().map(|index| index.manifests.clone()).unwrap_or_default();
    let images = listed.into_iter().map(Image::of_entry).collect();
    let blobs = named_blobs(&facts.catalog)?;
    Ok(Some(Collection { images, blobs, ..Collection::default() }))
}
