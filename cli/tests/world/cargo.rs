//! An image whose layers do not compress: some megabytes to be interrupted in, made in a moment.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;
use tempfile::TempDir;
use testbed::image::Layout;
use testbed::layer::{Compression, Layer, Meta, noise};
use testbed::registry::{Options, Registry};

/// The name under which [`Cargo::load`] pushes it.
pub(crate) const NAME: &str = "harbour/cargo:1";

/// A registry that holds the image, and the image's blobs.
pub(crate) struct Cargo {
    pub(crate) registry: Registry,
    /// Size by digest: manifest, config and layers.
    pub(crate) blobs: BTreeMap<String, u64>,
    /// The layers alone, in order.
    pub(crate) layers: Vec<(String, u64)>,
}

impl Cargo {
    /// Layers of these many bytes, in a registry of these options. `None` where there is no registry.
    pub(crate) fn load(what: &str, sizes: &[usize], options: &Options<'_>, extra: &[&str]) -> Option<Self> {
        let registry = Registry::start(what, options)?;
        if !testbed::tools::have(what, &["skopeo"]) {
            return None;
        }
        let folder = TempDir::new().unwrap();
        layout(sizes).write(folder.path());
        registry.push(&format!("oci:{}:cargo", folder.path().display()), NAME, extra);
        let mut blobs = BTreeMap::new();
        for file in fs::read_dir(folder.path().join("blobs/sha256")).unwrap() {
            let file = file.unwrap();
            let name = format!("sha256:{}", file.file_name().to_string_lossy());
            blobs.insert(name, file.metadata().unwrap().len());
        }
        let manifest = blobs
            .keys()
            .filter_map(|digest| {
                let path = folder.path().join("blobs").join(digest.replace(':', "/"));
                serde_json::from_slice::<serde_json::Value>(&fs::read(path).unwrap()).ok()
            })
            .find(|document| document.get("layers").is_some())
            .unwrap();
        let layers = manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| (layer["digest"].as_str().unwrap().to_owned(), layer["size"].as_u64().unwrap()))
            .collect();
        Some(Self { registry, blobs, layers })
    }

    /// The bytes of its layers.
    pub(crate) fn size(&self) -> u64 {
        self.layers.iter().map(|(_, size)| size).sum()
    }
}

fn layout(sizes: &[usize]) -> Layout {
    let mut layout = Layout::new();
    let layers: Vec<Vec<u8>> = sizes
        .iter()
        .enumerate()
        .map(|(number, size)| {
            let name = format!("hold/{number}");
            Layer::new().file(&name, &Meta::mode(0o644), noise(number as u64 + 1, *size)).finish()
        })
        .collect();
    let packed: Vec<(&[u8], Compression)> =
        layers.iter().map(|layer| (layer.as_slice(), Compression::Gzip)).collect();
    let platform = ("linux", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
    let manifest = layout.image(platform, &packed, &json!({}), &vec!["noise"; sizes.len()]);
    layout.tag("cargo", &manifest);
    layout
}
