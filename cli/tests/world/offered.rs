//! Looking at images without pulling them: the reading commands.

use serde_json::Value;
use testbed::faults::{Fault, FaultProxy};
use testbed::image::digest;
use testbed::registry::Options;
use testbed::tools;

use crate::cargo::{Cargo, NAME};
use crate::ship::Ship;

const SIZES: &[usize] = &[200_000, 20_000];

#[test]
fn looking_fetches_no_layer() {
    let Some(cargo) = Cargo::load("reading commands", SIZES, &Options::default(), &[]) else { return };
    let proxy = FaultProxy::start(cargo.registry.address(), |_, _| Fault::none());
    let image = proxy.image(NAME);
    let ship = Ship::new();
    let inspected: Value = serde_json::from_slice(&ship.ok(&["inspect", &image]).stdout).unwrap();
    let text = inspected.to_string();
    for (layer, size) in &cargo.layers {
        assert!(text.contains(layer.as_str()) && text.contains(&size.to_string()), "{text}");
    }
    let raw = ship.ok(&["manifest", "--raw", &image]).stdout;
    let manifest = cargo.registry.blob_path(&digest(&raw));
    assert_eq!(raw, std::fs::read(manifest).unwrap());
    let config: Value = serde_json::from_slice(&ship.ok(&["config", &image]).stdout).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"].as_array().map(Vec::len), Some(SIZES.len()));
    let digests = ship.ok(&["inspect", "--digests", &image]);
    let digests = String::from_utf8_lossy(&digests.stdout).into_owned();
    for word in ["manifest", "config", "diff_id", &cargo.layers[0].0] {
        assert!(digests.contains(word), "{word}: {digests}");
    }
    for layer in &cargo.layers {
        assert!(!proxy.passed().iter().any(|it| it.target.ends_with(&layer.0) && it.method == "GET"));
    }
}

#[test]
fn one_blob_tags_and_repositories() {
    let Some(cargo) = Cargo::load("blob, tags, repos", SIZES, &Options::default(), &[]) else { return };
    let ship = Ship::new();
    let repository = cargo.registry.image("harbour/cargo");
    let (layer, size) = &cargo.layers[1];
    let blob = ship.ok(&["blob", &format!("{repository}@{layer}")]).stdout;
    assert_eq!((digest(&blob), blob.len() as u64), (layer.clone(), *size));
    let tags = ship.ok(&["tags", &repository]).stdout;
    assert_eq!(String::from_utf8_lossy(&tags), "1\n");
    let tags: Value = serde_json::from_slice(&ship.ok(&["tags", "--json", &repository]).stdout).unwrap();
    assert!(tags.to_string().contains("\"1\""), "{tags}");
    let repositories = ship.ok(&["repos", &cargo.registry.address().to_string()]).stdout;
    assert_eq!(String::from_utf8_lossy(&repositories), "harbour/cargo\n");
}

#[test]
fn validate_finds_what_is_wrong() {
    let Some(cargo) = Cargo::load("validate", SIZES, &Options::default(), &[]) else { return };
    let ship = Ship::new();
    ship.ok(&["validate", &cargo.registry.image(NAME)]);
    // A registry whose disk rots: the blob is served with its old name.
    let path = cargo.registry.blob_path(&cargo.layers[0].0);
    let mut data = std::fs::read(&path).unwrap();
    let middle = data.len() / 2;
    data[middle] ^= 4;
    std::fs::write(&path, data).unwrap();
    let fresh = Ship::new();
    fresh.fails(&["validate", &cargo.registry.image(NAME)], &[&cargo.layers[0].0]);
}

#[test]
fn the_store_is_a_layout_that_others_read() {
    let Some(cargo) = Cargo::load("the store as a layout", SIZES, &Options::default(), &[]) else { return };
    let ship = Ship::new();
    let image = cargo.registry.image(NAME);
    ship.ok(&["pull", &image]);
    let listed = ship.ok(&["store", "ls"]).stdout;
    assert!(
        String::from_utf8_lossy(&listed).contains("harbour/cargo"),
        "{}",
        String::from_utf8_lossy(&listed)
    );
    ship.ok(&["store", "du"]);
    if tools::have("the store as a layout", &["skopeo"]) {
        let source = format!("oci:{}", ship.store().display());
        let looked = tools::run(tools::command("skopeo").args(["inspect", "--raw", &source]));
        let expected = ship.ok(&["manifest", "--raw", &image]).stdout;
        assert_eq!(looked.stdout, expected);
    }
    ship.ok(&["store", "prune", "--all"]);
    assert!(ship.sound().is_empty());
}

#[test]
fn wrong_usage_is_two() {
    let ship = Ship::new();
    assert_eq!(ship.run(&["export"]).code, Some(2));
    assert_eq!(ship.run(&["no-such-command"]).code, Some(2));
}
