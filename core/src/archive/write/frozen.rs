//! The directory that moby's `contrib/download-frozen-image-v2.sh` makes.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use super::{Contents, Image, Part, bytes, entry, json as to_json};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Descriptor;
use crate::media_type::Compression;

pub(super) fn parts(contents: &Contents) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut seen = BTreeSet::new();
    let mut entries = Vec::new();
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for image in &contents.images(false)? {
        let ids = ids(&image.layers);
        let Some(top) = ids.last() else {
            let reason =
                "an image without layers cannot be frozen: old dockers name it by its top layer".to_owned();
            return Err(Error::from(ErrorKind::InvalidOption { reason }).in_blob(image.config.digest));
        };
        for name in &image.names {
            // Without the tag, in the form that docker shows.
            let familiar = name.familiar();
            let name = familiar.rsplit_once(':').map_or(familiar.as_str(), |(name, _)| name).to_owned();
            let tag = familiar.rsplit_once(':').map_or("latest", |(_, tag)| tag).to_owned();
            repositories.entry(name).or_default().insert(tag, top.clone());
        }
        let config = format!("{}.json", image.config.digest.hex());
        let raw = contents.read(&image.config.digest)?;
        if seen.insert(config.clone()) {
            parts.push(bytes(&config, raw.to_vec()));
        }
        let mut names = Vec::new();
        let mut parent: Option<&String> = None;
        for (at, id) in ids.iter().enumerate() {
            let is_top = at + 1 == ids.len();
            names.push(format!("{id}/layer.tar"));
            // The lower layers of one image may be all of another: then theirs is the one that docker runs.
            let json = if is_top { top_json(id, parent, raw)? } else { lower_json(id, parent) };
            let json_name = format!("{id}/json");
            if is_top {
                parts.retain(|part| part.name() != json_name);
                parts.push(bytes(&json_name, json));
                seen.insert(json_name);
            } else if seen.insert(json_name.clone()) {
                parts.push(bytes(&json_name, json));
            }
            if seen.insert(format!("{id}/layer.tar")) {
                parts.push(bytes(&format!("{id}/VERSION"), b"1.0\n".to_vec()));
                parts.extend(layer(image, at, id));
            }
            parent = Some(id);
        }
        entries.push(entry(&config, image, &names));
    }
    let repositories = serde_json::to_value(&repositories).unwrap_or_default();
    let mut first = Vec::from([
        bytes("manifest.json", to_json(&Value::from(entries))?),
        bytes("repositories", to_json(&repositories)?),
    ]);
    first.append(&mut parts);
    Ok(first)
}

/// Each id is over the one below and the layer's digest, so that a layer that an image has twice has two.
fn ids(layers: &[Descriptor]) -> Vec<String> {
    let mut ids: Vec<String> = Vec::with_capacity(layers.len());
    for layer in layers {
        let parent = ids.last().map_or("", String::as_str);
        // `echo "$parentId"$'\n'"$layerDigest" | sha256sum`
        ids.push(Digest::sha256(format!("{parent}\n{}\n", layer.digest).as_bytes()).hex());
    }
    ids
}

fn layer(image: &Image, at: usize, id: &str) -> Option<Part> {
    let (layer, diff_id) = (image.layers.get(at)?, image.diff_ids.get(at)?);
    let name = format!("{id}/layer.tar");
    Some(match layer.media_type.compression() {
        Some(Compression::Zstd) => Part::Bare { name, layer: layer.clone(), diff_id: *diff_id },
        _ => Part::Blob { name, descriptor: layer.clone() },
    })
}

fn identity(id: &str, parent: Option<&String>) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("id".to_owned(), id.into());
    if let Some(parent) = parent {
        object.insert("parent".to_owned(), parent.as_str().into());
    }
    object
}

/// What docker itself says of layers that nobody runs.
fn lower_json(id: &str, parent: Option<&String>) -> Vec<u8> {
    let mut object = identity(id, parent);
    object.insert("created".to_owned(), "0001-01-01T00:00:00Z".into());
    object.insert(
        "container_config".to_owned(),
        json!({
            "Hostname": "", "Domainname": "", "User": "",
            "AttachStdin": false, "AttachStdout": false, "AttachStderr": false,
            "Tty": false, "OpenStdin": false, "StdinOnce": false,
            "Env": null, "Cmd": null, "Image": "", "Volumes": null, "WorkingDir": "",
            "Entrypoint": null, "OnBuild": null, "Labels": null,
        }),
    );
    Value::Object(object).to_string().into_bytes()
}

/// The config, less what old dockers do not know.
fn top_json(id: &str, parent: Option<&String>, config: &[u8]) -> Result<Vec<u8>> {
    let mut object = identity(id, parent);
    let invalid = |error: serde_json::Error| ErrorKind::InvalidDocument {
        document: "config",
        reason: format!("{error}"),
    };
    let config: Map<String, Value> = serde_json::from_slice(config).map_err(invalid)?;
    object.extend(config.into_iter().filter(|(key, _)| !matches!(key.as_str(), "history" | "rootfs")));
    Ok(Value::Object(object).to_string().into_bytes())
}
