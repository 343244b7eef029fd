//! Docker's first manifest format: from a registry that stores it, and from one that converts for old clients.

use serde_json::Value;
use testbed::client::ask;
use testbed::debian::Debian;
use testbed::faults::{Fault, FaultProxy};
use testbed::image::digest;
use testbed::registry::{Options, Registry};
use testbed::server::{After, Response, Server};
use testbed::tools;
use testbed::tree;

use crate::ship::Ship;

const SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

#[test]
fn a_pushed_schema_1_image_is_the_same_tree() {
    let what = "schema 1 pushed";
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    if !tools::root(what) || !tools::have(what, &["skopeo"]) {
        return;
    }
    let Some(debian) = Debian::fixture(what) else { return };
    let source = debian.source(Debian::TAG);
    registry.push(&source, "debian:s1", &["--format", "v2s1"]);
    registry.push(&source, "debian:s2", &["--format", "v2s2"]);
    let ship = Ship::new();
    let export = |tag: &str| {
        let tar = ship.ok(&["export", &registry.image(&format!("debian:{tag}")), "-o", "-"]).stdout;
        tree::read_tar(tar.as_slice()).unwrap()
    };
    tree::assert_same(("schema 1", &export("s1")), ("schema 2", &export("s2")));

    // The digest is over the payload, not over the file.
    let answer = ask(registry.address(), "GET", "/v2/debian/manifests/s1", &[]).unwrap();
    let said = answer.header("docker-content-digest").unwrap().to_owned();
    assert_ne!(digest(&answer.body), said);
    let ours = ship.ok(&["digest", &registry.image("debian:s1")]).stdout;
    assert_eq!(String::from_utf8_lossy(&ours).trim(), said);
    // And it can be pulled by it.
    ship.ok(&["pull", &registry.image(&format!("debian@{said}"))]);
}

#[test]
fn what_the_registry_makes_for_an_old_client() {
    let what = "schema 1 converted";
    if !tools::root(what) || !tools::have(what, &["skopeo"]) {
        return;
    }
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    let Some(debian) = Debian::fixture(what) else { return };
    registry.push(&debian.source(Debian::TAG), "debian:s2", &["--format", "v2s2"]);
    let old = format!("Accept: {SIGNED}");
    let answer = ask(registry.address(), "GET", "/v2/debian/manifests/s2", &[&old]).unwrap();
    let converted: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(converted["schemaVersion"], 1);
    // Five layers, and the empty one of the step that changed the config only.
    assert_eq!(converted["fsLayers"].as_array().map(Vec::len), Some(6));

    // Asked for by name, it comes as it is.
    let ship = Ship::new();
    let image = registry.image("debian:s2");
    let raw = ship.ok(&["manifest", "--raw", "--accept", SIGNED, &image]).stdout;
    let document: Value = serde_json::from_slice(&raw).unwrap();
    assert_eq!(document["fsLayers"], converted["fsLayers"]);
    assert_eq!(document["signatures"].as_array().map(Vec::len), Some(1));

    // A registry that has nothing else: the tree is the same.
    let said = answer.header("docker-content-digest").unwrap().to_owned();
    let proxy = FaultProxy::start(registry.address(), {
        let said = said.clone();
        move |request, _| {
            if request.target.contains("/manifests/") {
                let response = Response::new(200).header("Docker-Content-Digest", said.clone());
                Fault::answer(response.body(SIGNED, answer.body.clone()))
            } else {
                Fault::none()
            }
        }
    });
    let ours = ship.ok(&["digest", &proxy.image("debian:s2")]).stdout;
    assert_eq!(String::from_utf8_lossy(&ours).trim(), said);
    let export = |image: &str| {
        let tar = ship.ok(&["export", image, "-o", "-"]).stdout;
        tree::read_tar(tar.as_slice()).unwrap()
    };
    tree::assert_same(("schema 1", &export(&proxy.image("debian:s2"))), ("schema 2", &export(&image)));
}

#[test]
fn the_worked_example_is_no_json_as_it_is_printed() {
    // It ends a list with a comma, and core's tests read it completed: served as printed, the error says where.
    let text = std::fs::read(tools::workspace().join("testdata/golden/schema1-worked-example.txt")).unwrap();
    let server = serving(text, None);
    let ship = Ship::new();
    ship.fails(&["config", &format!("{}/library/hello-world", server.address())], &["not JSON", "line 26"]);
}

/// A registry with one manifest under every name, and nothing else.
fn serving(manifest: Vec<u8>, said: Option<&'static str>) -> Server {
    Server::start(move |request, stream| {
        let response = match request.path() {
            "/v2/" => Response::new(200),
            path if path.contains("/manifests/") => {
                let response = Response::new(200).body(SIGNED, manifest.clone());
                match said {
                    Some(digest) => response.header("Docker-Content-Digest", digest),
                    None => response,
                }
            }
            _ => Response::new(404).error("BLOB_UNKNOWN", "only the manifest is kept"),
        };
        response.send(request, stream)?;
        Ok(After::Keep)
    })
}

#[test]
fn a_golden_manifest_has_the_digest_that_its_registry_said() {
    let path = tools::workspace().join("testdata/golden/schema1-signed.json");
    let signed = std::fs::read(path).unwrap();
    let said = "sha256:bc12321026b5d738dde7bd29ddf7b7330d95623b409597dc5c2ee84cf5ca1c7b";
    let server = serving(signed.clone(), Some(said));
    let ship = Ship::new();
    let image = format!("{}/ubuntu", server.address());
    let ours = ship.ok(&["digest", &image]).stdout;
    assert_eq!(String::from_utf8_lossy(&ours).trim(), said);
    let raw = ship.ok(&["manifest", "--raw", &format!("{image}@{said}")]).stdout;
    assert!(raw == signed, "the bytes are those that were sent");
    // Its layers are nowhere: an error, and nothing under a final name but what is right.
    ship.fails(&["export", &format!("{image}@{said}"), "-o", "ubuntu.tar"], &["not found"]);
    assert!(!ship.path("ubuntu.tar").exists());
}
