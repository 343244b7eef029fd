//! What `docker load` takes.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use serde_json::Value;

use super::super::listing::blob_name;
use super::{Contents, Part, bytes, entry, json, layout, reference};
use crate::error::Result;
use crate::image::{CONTAINERD_NAME, REF_NAME};

const MANIFEST: &str = "manifest.json";

/// `manifest.json`, configs, and layers as bare tars named by what is in them.
pub(super) fn bare(contents: &Contents) -> Result<Vec<Part>> {
    let images = contents.images(false)?;
    let mut entries = Vec::new();
    let (mut configs, mut layers) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for image in &images {
        let config = format!("{}.json", image.config.digest.hex());
        if seen.insert(image.config.digest) {
            configs.push(bytes(&config, contents.read(&image.config.digest)?.to_vec()));
        }
        let mut names = Vec::new();
        for (layer, diff_id) in image.layers.iter().zip(&image.diff_ids) {
            let name = format!("{}.tar", diff_id.hex());
            if seen.insert(*diff_id) {
                layers.push(Part::Bare { name: name.clone(), layer: layer.clone(), diff_id: *diff_id });
            }
            names.push(name);
        }
        entries.push(entry(&config, image, &names));
    }
    let mut parts = Vec::from([bytes(MANIFEST, json(&Value::from(entries))?)]);
    parts.append(&mut configs);
    parts.append(&mut layers);
    Ok(parts)
}

/// A layout whose blobs `manifest.json` names: what docker writes since it keeps images in containerd's store.
pub(super) fn as_they_are(contents: &Contents) -> Result<Vec<Part>> {
    let images = contents.images(true)?;
    let entries: Vec<Value> = images
        .iter()
        .map(|image| {
            let layers: Vec<_> = image.layers.iter().map(|layer| blob_name(&layer.digest)).collect();
            entry(&blob_name(&image.config.digest), image, &layers)
        })
        .collect();
    let mut listed = Vec::new();
    for top in &contents.tops {
        let before = listed.len();
        for name in &top.names {
            // One without a tag is none to docker.
            let Some(name) = reference(name)? else { continue };
            let mut entry = top.descriptor.clone();
            entry.annotations.insert(REF_NAME.to_string(), name.tag().unwrap_or_default().to_string());
            entry.annotations.insert(CONTAINERD_NAME.to_string(), name.to_string());
            listed.push(entry);
        }
        if listed.len() == before {
            listed.push(top.descriptor.clone());
        }
    }
    let mut parts = layout(listed)?;
    parts.push(bytes(MANIFEST, json(&Value::from(entries))?));
    parts.extend(contents.blobs());
    Ok(parts)
}
