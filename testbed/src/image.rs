//! OCI layouts written by hand: the same bytes each time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::layer::{Compression, TIME};

/// `sha256:…` of some bytes.
pub fn digest(data: &[u8]) -> String {
    let hex: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// One layer of an image: its tar and how the blob is compressed.
pub type Packed<'a> = (&'a [u8], Compression);

/// A layout in the making.
///
/// Every JSON object is written with its keys in order, so that the bytes do not depend on how `serde_json` was
/// built.
#[derive(Debug, Default)]
pub struct Layout {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: Vec<Value>,
}

impl Layout {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a blob and gives its descriptor.
    pub fn blob(&mut self, media_type: &str, data: Vec<u8>) -> Value {
        let digest = digest(&data);
        let descriptor = json!({"digest": digest, "mediaType": media_type, "size": data.len()});
        self.blobs.insert(digest, data);
        descriptor
    }

    /// Adds an image and gives its manifest's descriptor, with its platform. `config` is the `config` member of
    /// the image configuration; `history` says of each layer how it came to be.
    pub fn image(
        &mut self,
        platform: (&str, &str),
        layers: &[Packed<'_>],
        config: &Value,
        history: &[&str],
    ) -> Value {
        let descriptors: Vec<Value> = layers
            .iter()
            .map(|(tar, compression)| self.blob(compression.media_type(), compression.apply(tar)))
            .collect();
        let created = "2025-01-01T00:00:00Z";
        let history: Vec<Value> =
            history.iter().map(|by| json!({"created": created, "created_by": by})).collect();
        let (os, architecture) = platform;
        let document = json!({
            "architecture": architecture,
            "config": config,
            "created": created,
            "history": history,
            "os": os,
            "rootfs": {
                "diff_ids": layers.iter().map(|(tar, _)| digest(tar)).collect::<Vec<_>>(),
                "type": "layers",
            },
        });
        let config = self.blob("application/vnd.oci.image.config.v1+json", document.to_string().into());
        let manifest = json!({
            "config": config,
            "layers": descriptors,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "schemaVersion": 2,
        });
        let descriptor = self.blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().into());
        json!({
            "digest": descriptor["digest"],
            "mediaType": descriptor["mediaType"],
            "platform": {"architecture": architecture, "os": os},
            "size": descriptor["size"],
        })
    }

    /// Adds an index over some manifests and gives its descriptor.
    pub fn index(&mut self, manifests: &[Value]) -> Value {
        let index = json!({
            "manifests": manifests,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "schemaVersion": 2,
        });
        self.blob("application/vnd.oci.image.index.v1+json", index.to_string().into())
    }

    /// Names a manifest or an index in `index.json`.
    pub fn tag(&mut self, name: &str, descriptor: &Value) {
        self.manifests.push(json!({
            "annotations": {"org.opencontainers.image.ref.name": name},
            "digest": descriptor["digest"],
            "mediaType": descriptor["mediaType"],
            "size": descriptor["size"],
        }));
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let index = json!({
            "manifests": self.manifests,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "schemaVersion": 2,
        });
        let mut files = vec![
            ("oci-layout".to_owned(), b"{\"imageLayoutVersion\":\"1.0.0\"}".to_vec()),
            ("index.json".to_owned(), index.to_string().into_bytes()),
        ];
        for (digest, data) in &self.blobs {
            files.push((format!("blobs/{}", digest.replace(':', "/")), data.clone()));
        }
        files
    }

    /// Writes it as a folder.
    ///
    /// # Panics
    /// When the disk does not take it.
    pub fn write(&self, folder: &Path) {
        fs::create_dir_all(folder.join("blobs/sha256")).expect("a folder");
        for (name, data) in self.files() {
            fs::write(folder.join(name), data).expect("a file of the layout");
        }
    }

    /// Writes it as one tar, an oci-archive.
    ///
    /// # Panics
    /// Never in practice: it writes to memory.
    pub fn archive(&self) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        for folder in ["blobs/", "blobs/sha256/"] {
            tar.append(&header(folder, EntryType::Directory, 0o755, 0), &[][..]).expect("writing to memory");
        }
        for (name, data) in self.files() {
            let header = header(&name, EntryType::Regular, 0o644, data.len() as u64);
            tar.append(&header, data.as_slice()).expect("writing to memory");
        }
        tar.into_inner().expect("writing to memory")
    }
}

fn header(name: &str, kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_path(name).expect("a short name");
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(TIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_cksum();
    header
}
