//! A registry in this process, and images of random bytes to pull from it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use testbed::image::digest;
pub(crate) use testbed::layer::noise;
use testbed::server::{After, Response, Server};
use wharfie::drive::{
    CredentialSource, Driver, NetworkOptions, NoCredentials, Observer, PullOptions, Pulled, Transfer,
};
use wharfie::store::Store;
use wharfie_core::Reference;
use wharfie_core::client::Event;

/// A registry with one image, `app:1`, answering ranges and nothing unusual.
pub(crate) struct Registry {
    server: Server,
    pub(crate) image: Image,
}

/// The documents and blobs of one image.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) manifest: String,
    pub(crate) config: String,
    pub(crate) layers: Vec<String>,
    pub(crate) content: BTreeMap<String, Vec<u8>>,
}

impl Image {
    /// Of layers of these sizes, which are no tars.
    pub(crate) fn new(sizes: &[usize]) -> Image {
        let noise = (1..).zip(sizes).map(|(seed, len)| noise(seed, *len));
        Image::of(
            noise.map(|bytes| ("application/vnd.oci.image.layer.v1.tar", digest(&bytes), bytes)).collect(),
        )
    }

    /// Of these layers: media type, `diff_id`, blob.
    pub(crate) fn of(layers: Vec<(&str, String, Vec<u8>)>) -> Image {
        let mut content = BTreeMap::new();
        let mut keep = |bytes: Vec<u8>| {
            let digest = digest(&bytes);
            let len = bytes.len();
            content.insert(digest.clone(), bytes);
            (digest, len)
        };
        let diff_ids: Vec<String> = layers.iter().map(|(_, diff_id, _)| diff_id.clone()).collect();
        let layers: Vec<(&str, (String, usize))> =
            layers.into_iter().map(|(kind, _, blob)| (kind, keep(blob))).collect();
        let config = json!({"architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let (config, config_len) = keep(config.to_string().into_bytes());
        let described: Vec<_> = layers
            .iter()
            .map(|(kind, (digest, len))| json!({"mediaType": kind, "digest": digest, "size": len}))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_len},
            "layers": described,
        });
        let (manifest, _) = keep(manifest.to_string().into_bytes());
        Image {
            manifest,
            config,
            layers: layers.into_iter().map(|(_, (digest, _))| digest).collect(),
            content,
        }
    }
}

impl Image {
    /// What a registry of this image answers.
    pub(crate) fn answer(&self, path: &str, range: Option<(u64, Option<u64>)>) -> Response {
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_manifest = path.contains("/manifests/");
        let name = if is_manifest && name == "1" { &self.manifest } else { name };
        let bytes = match self.content.get(name) {
            _ if path == "/v2/" => return Response::new(200).body("application/json", "{}"),
            None => return Response::new(404).error("BLOB_UNKNOWN", "blob unknown to registry"),
            Some(bytes) => bytes,
        };
        if is_manifest {
            let kind = "application/vnd.oci.image.manifest.v1+json";
            return Response::new(200).header("Docker-Content-Digest", name).body(kind, bytes.clone());
        }
        let kind = "application/octet-stream";
        let Some((from, to)) = range else { return Response::new(200).body(kind, bytes.clone()) };
        let end = to.map_or(bytes.len() as u64, |to| (to + 1).min(bytes.len() as u64));
        match bytes.get(from as usize..end as usize).filter(|part| !part.is_empty()) {
            Some(part) => {
                let range = format!("bytes {from}-{}/{}", end - 1, bytes.len());
                Response::new(206).header("Content-Range", range).body(kind, part)
            }
            None => Response::new(416).header("Content-Range", format!("bytes */{}", bytes.len())),
        }
    }
}

impl Registry {
    pub(crate) fn start(sizes: &[usize]) -> Registry {
        Registry::of(Image::new(sizes))
    }

    pub(crate) fn of(image: Image) -> Registry {
        let kept = image.clone();
        let server = Server::start(move |request, stream| {
            kept.answer(request.path(), request.range()).send(request, stream)?;
            Ok(After::Keep)
        });
        Registry { server, image }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

/// What a driver told.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) transfers: Mutex<Vec<Transfer>>,
    pub(crate) traced: Mutex<Vec<String>>,
}

impl Observer for Heard {
    fn event(&self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
    }

    fn transfer(&self, transfer: &Transfer) {
        self.transfers.lock().unwrap().push(transfer.clone());
    }

    fn trace(&self, _: u8, line: &str) {
        self.traced.lock().unwrap().push(line.to_owned());
    }

    fn trace_level(&self) -> u8 {
        2
    }
}

/// A driver on a store of its own, with short timeouts.
pub(crate) struct Host {
    pub(crate) driver: Driver,
    pub(crate) heard: Arc<Heard>,
    _folder: Option<TempDir>,
}

/// Options that do not wait long.
pub(crate) fn quick() -> NetworkOptions {
    let mut options = NetworkOptions::default();
    options.timeout = Duration::from_secs(2);
    options
}

impl Host {
    pub(crate) fn new() -> Host {
        let folder = TempDir::new().unwrap();
        let mut host = Host::at(&folder.path().join("store"), quick());
        host._folder = Some(folder);
        host
    }

    pub(crate) fn at(store: &Path, options: NetworkOptions) -> Host {
        Host::with(store, options, Arc::new(NoCredentials))
    }

    pub(crate) fn with(
        store: &Path,
        options: NetworkOptions,
        credentials: Arc<dyn CredentialSource>,
    ) -> Host {
        let heard = Arc::new(Heard::default());
        let store = Store::open(store).unwrap();
        let driver = Driver::new(options, store, credentials, heard.clone()).unwrap();
        Host { driver, heard, _folder: None }
    }

    pub(crate) fn pull(&self, name: &str) -> Result<Pulled, wharfie_core::Error> {
        let reference: Reference = name.parse().unwrap();
        self.driver.pull(&reference, &PullOptions::default())
    }

    pub(crate) fn store(&self) -> &Store {
        self.driver.store()
    }

    /// The image is there whole, byte for byte, and nothing is left over.
    pub(crate) fn assert_whole(&self, image: &Image) {
        for (digest, bytes) in &image.content {
            let path = self.store().blob_path(&digest.parse().unwrap());
            assert!(std::fs::read(&path).is_ok_and(|kept| kept == *bytes), "{digest} is not as it should be");
        }
        assert_eq!(leftovers(self.store().root()), Vec::<String>::new());
    }

    /// Whatever has a name has the bytes that belong to it.
    pub(crate) fn assert_nothing_wrong(&self) {
        assert_honest(self.store().root());
    }
}

/// No file under `blobs/` has other bytes than its name promises.
pub(crate) fn assert_honest(store: &Path) {
    for entry in std::fs::read_dir(store.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(digest(&std::fs::read(&path).unwrap()), format!("sha256:{name}"));
    }
}

/// Files on their way.
pub(crate) fn leftovers(store: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(store.join("ingest"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with("lock"))
        .collect();
    names.sort();
    names
}

/// What passed a proxy, once nothing passes any longer: it counts a request only when its connection is free again.
pub(crate) fn settled(proxy: &testbed::faults::FaultProxy) -> Vec<testbed::faults::Passed> {
    loop {
        let before = proxy.passed().len();
        std::thread::sleep(Duration::from_millis(150));
        let passed = proxy.passed();
        if passed.len() == before {
            return passed;
        }
    }
}
