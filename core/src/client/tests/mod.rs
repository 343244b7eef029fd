//! The client machine against a registry in memory, on a virtual clock.

use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use self::registry::{Auth, Manners, PASSWORD, Registry, USER};
use self::world::{Dice, Style, World};
use super::{Client, Config, Credentials, JobId, Outcome, PlatformChoice, PullOptions, Pulled};
use crate::digest::Digest;
use crate::error::Error;
use crate::reference::Reference;

mod accounts;
mod images;
mod intake;
mod mirrors;
mod pushes;
mod registry;
mod schedules;
mod transcripts;
mod transfers;
mod world;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn basic() -> Credentials {
    Credentials::Basic { user: USER.to_string(), password: PASSWORD.into() }
}

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..len).map(|_| dice.below(256) as u8).collect()
}

fn descriptor(kind: &str, digest: Digest, size: usize) -> String {
    format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
}

/// An image with these layers, under these names.
fn add_image(registry: &mut Registry, tag: Option<&str>, architecture: &str, layers: &[Vec<u8>]) -> Digest {
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}}}}"#
    );
    let size = config.len();
    let config = descriptor(CONFIG, registry.add_blob(config), size);
    let layers: Vec<String> =
        layers.iter().map(|layer| descriptor(LAYER, registry.add_blob(layer.clone()), layer.len())).collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{}]}}"#,
        layers.join(",")
    );
    registry.add_manifest(tag, MANIFEST, &text)
}

/// `team/app:1`: an index of two images that share a layer. Answers the digests of the two manifests.
fn add_index(registry: &mut Registry) -> Vec<Digest> {
    let shared = bytes(1, 20_000);
    let amd64 = add_image(registry, None, "amd64", &[shared.clone(), bytes(2, 5_000), bytes(3, 1)]);
    let arm64 = add_image(registry, None, "arm64", &[shared, bytes(4, 9_000), bytes(4, 9_000)]);
    let entry = |digest: Digest, architecture: &str| {
        let size = registry.manifests[&digest.to_string()].1.len();
        let descriptor = descriptor(MANIFEST, digest, size);
        let descriptor = descriptor.strip_suffix('}').unwrap();
        format!(r#"{descriptor},"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#)
    };
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{},{}]}}"#,
        entry(amd64, "amd64"),
        entry(arm64, "arm64")
    );
    registry.add_manifest(Some("1"), INDEX, &text);
    vec![amd64, arm64]
}

fn world(manners: Manners) -> World {
    let mut registry = Registry::new(manners);
    add_index(&mut registry);
    World::new(Client::new(Config::default()), registry, 1, Style::default())
}

fn amd64() -> PullOptions {
    PullOptions { platform: PlatformChoice::One("linux/amd64".parse().unwrap()), ..PullOptions::default() }
}

impl World {
    fn pull(&mut self, name: &str, options: PullOptions) -> JobId {
        self.client.pull(self.millis(), &reference(name), options)
    }

    fn pulled(&mut self, name: &str, options: PullOptions) -> Result<Pulled, Error> {
        let job = self.pull(name, options);
        self.run();
        match self.finished.remove(&job) {
            Some(Ok(Outcome::Pulled(pulled))) => Ok(pulled),
            Some(Err(error)) => Err(error),
            other => panic!("{other:?}"),
        }
    }

    /// Every byte of what was pulled is in the store, and right.
    fn check(&self, pulled: &Pulled) {
        for image in &pulled.images {
            let config = image.config.as_ref().unwrap();
            for part in [&image.manifest, config].into_iter().chain(&image.layers) {
                let stored = self.store.get(&part.digest).unwrap_or_else(|| panic!("{part:?} is missing"));
                assert_eq!((Digest::sha256(stored), stored.len() as u64), (part.digest, part.size));
            }
        }
    }
}

#[test]
fn an_image_is_pulled_without_credentials() {
    let mut world = world(Manners::default());
    let pulled = world.pulled("registry.example/team/app:1", amd64()).unwrap();
    world.check(&pulled);
    assert_eq!(pulled.images.len(), 1);
    assert_eq!(pulled.images[0].layers.len(), 3);
    assert_eq!(pulled.images[0].platform.as_ref().unwrap().architecture, "amd64");
    assert_eq!(world.asked, 0);
    // One HEAD and no GET more than there are documents and blobs.
    assert_eq!((world.registry.count("HEAD"), world.registry.count("GET")), (1, 6));
}

#[test]
fn all_images_are_pulled_and_what_they_share_once() {
    let mut world = world(Manners::default());
    let pulled = world.pulled("registry.example/team/app:1", PullOptions::default()).unwrap();
    world.check(&pulled);
    assert_eq!(pulled.images.len(), 2);
    // An index, two manifests, two configs, and four different layers.
    assert_eq!(world.registry.count("GET"), 9);
}

#[test]
fn tokens_are_fetched_once_for_all() {
    for anonymous in [true, false] {
        let mut world =
            world(Manners { auth: Auth::Bearer { lives: 300_000, anonymous }, ..Manners::default() });
        if !anonymous {
            world.wallet.push_back(basic());
        }
        let pulled = world.pulled("registry.example/team/app:1", amd64()).unwrap();
        world.check(&pulled);
        assert_eq!((world.asked, world.registry.token_requests), (1, 1));
    }
}
