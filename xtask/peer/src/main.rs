//! `peer LAYOUT TAG DIR`: unpacks an image of an OCI layout with the crate `oci-image`, as its own example does:
//! layer by layer, all cores, no digest checked. What it cannot unpack is said, and left out.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use oci_image::{UnpackOptions, apply_layer_file};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [layout, tag, target] = words.as_slice() else { return Err("usage: peer LAYOUT TAG DIR".into()) };
    let (layout, target) = (Path::new(layout), Path::new(target));
    let read =
        |path: PathBuf| -> Result<Value, Box<dyn Error>> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
    let blob =
        |digest: &Value| layout.join("blobs").join(digest.as_str().unwrap_or_default().replace(':', "/"));
    let index = read(layout.join("index.json"))?;
    let entries = index["manifests"].as_array().ok_or("no manifests")?;
    let entry = entries
        .iter()
        .find(|it| it["annotations"]["org.opencontainers.image.ref.name"] == tag.as_str())
        .ok_or("no such tag")?;
    let manifest = read(blob(&entry["digest"]))?;
    fs::create_dir_all(target)?;
    for layer in manifest["layers"].as_array().ok_or("no layers")? {
        // It knows no hard link to a link that leads nowhere, and stops: then that layer's rest is missing.
        if let Err(error) = apply_layer_file(&blob(&layer["digest"]), target, &UnpackOptions::default()) {
            eprintln!("{error:?}");
        }
    }
    Ok(())
}
