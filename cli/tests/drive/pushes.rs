//! Pushes and copies against Debian's docker-registry, straight and through a network that breaks.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use testbed::image::Layout as Made;
use testbed::layer::{Compression, Layer, Meta};
use testbed::registry::{Options, Registry};
use testbed::tools;
use wharfie::drive::Supply;
use wharfie::layout::Layout;
use wharfie::origin::Supplied;
use wharfie_core::Reference;
use wharfie_core::client::PushOptions;
use wharfie_core::image::Descriptor;

use super::world::{Host, noise};

/// An index of two images that share a layer, in a folder.
fn make(folder: &Path) -> Descriptor {
    let mut layout = Made::new();
    let layer = |seed, len| Layer::new().file("data", &Meta::mode(0o644), noise(seed, len)).finish();
    let lower = layer(1, 3_000_000);
    let manifests: Vec<_> = [("amd64", 2), ("arm64", 3)]
        .map(|(architecture, seed)| {
            let upper = layer(seed, 200_000);
            let layers = [(&lower[..], Compression::Gzip), (&upper[..], Compression::Gzip)];
            layout.image(("linux", architecture), &layers, &serde_json::json!({}), &["lower", "upper"])
        })
        .into();
    let index = layout.index(&manifests);
    layout.tag("t", &index);
    layout.write(folder);
    Layout::open(folder).unwrap().find(Some("t")).unwrap()
}

fn supply(folder: &Path) -> Arc<dyn Supply> {
    Arc::new(Supplied(Arc::new(Layout::open(folder).unwrap())))
}

/// What another tool finds at the registry is what was pushed.
fn check(registry: &Registry, name: &str, top: &Descriptor) {
    let copy = TempDir::new().unwrap();
    let mut skopeo = registry.skopeo("copy");
    skopeo.args(["--all", "--src-tls-verify=false"]).arg(format!("docker://{}", registry.image(name)));
    tools::run(skopeo.arg(format!("dir:{}", copy.path().display())));
    let manifest = std::fs::read(copy.path().join("manifest.json")).unwrap();
    assert_eq!(testbed::image::digest(&manifest), top.digest.to_string());
}

#[test]
fn a_layout_goes_to_a_registry_and_from_there_to_another_repository() {
    let what = "a_layout_goes_to_a_registry_and_from_there_to_another_repository";
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    if !tools::have(what, &["skopeo"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let top = make(folder.path());
    let host = Host::new();
    let to: Reference = registry.image("group/app:1").parse().unwrap();
    let options = PushOptions { tags: vec!["latest".to_owned()], ..PushOptions::default() };
    let pushed = host.driver.push(&to, &top, options, supply(folder.path())).unwrap();
    assert_eq!((pushed.sent, pushed.present), (5, 0));
    assert_eq!(pushed.tags, ["1", "latest"]);
    check(&registry, "group/app:1", &top);
    check(&registry, "group/app:latest", &top);

    let again = host.driver.push(&to, &top, PushOptions::default(), supply(folder.path())).unwrap();
    assert_eq!((again.sent, again.present), (0, 1));

    // Within one registry nothing is fetched: its blobs are mounted.
    let from = to.with_digest(top.digest);
    let there: Reference = registry.image("other/app:2").parse().unwrap();
    let copied = host.driver.copy(&from, &there, &top, PushOptions::default()).unwrap();
    assert_eq!((copied.sent, copied.mounted), (0, 5));
    check(&registry, "other/app:2", &top);

    // To another registry all of it goes through, while it comes.
    let Some(second) = Registry::start(what, &Options::default()) else { return };
    let there: Reference = second.image("app:3").parse().unwrap();
    let copied = host.driver.copy(&from, &there, &top, PushOptions::default()).unwrap();
    assert_eq!((copied.sent, copied.mounted), (5, 0));
    check(&second, "app:3", &top);

    host.driver.delete(&to.with_digest(top.digest)).unwrap();
    assert_eq!(host.driver.delete(&to.with_digest(top.digest)).unwrap_err().code(), "not_found");
}

#[test]
fn chunks_and_broken_connections_come_to_the_same() {
    let what = "chunks_and_broken_connections_come_to_the_same";
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    if !tools::have(what, &["skopeo"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let top = make(folder.path());
    let host = Host::new();
    let to: Reference = registry.image("app:chunks").parse().unwrap();
    let options = PushOptions { chunk: Some(700_000), ..PushOptions::default() };
    assert_eq!(host.driver.push(&to, &top, options, supply(folder.path())).unwrap().sent, 5);
    check(&registry, "app:chunks", &top);
}

#[test]
fn what_is_missing_or_wrong_on_this_disk_is_named_and_moves_no_tag() {
    let what = "what_is_missing_or_wrong_on_this_disk_is_named_and_moves_no_tag";
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    let folder = TempDir::new().unwrap();
    let top = make(folder.path());
    let layout = Layout::open(folder.path()).unwrap();
    let largest = std::fs::read_dir(folder.path().join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| std::fs::metadata(path).unwrap().len())
        .unwrap();
    let bytes = std::fs::read(&largest).unwrap();
    let mut wrong = bytes.clone();
    wrong[1_000_000] ^= 1;
    std::fs::write(&largest, wrong).unwrap();
    let host = Host::new();
    let to: Reference = registry.image("app:1").parse().unwrap();
    let error = host.driver.push(&to, &top, PushOptions::default(), supply(folder.path())).unwrap_err();
    let digest = largest.file_name().unwrap().to_str().unwrap();
    assert!(error.place().blob.is_some_and(|blob| blob.hex() == digest), "{error}");
    std::fs::remove_file(&largest).unwrap();
    let error = host.driver.push(&to, &top, PushOptions::default(), supply(folder.path())).unwrap_err();
    assert_eq!(error.code(), "not_found", "{error}");
    assert!(error.place().blob.is_some_and(|blob| blob.hex() == digest), "{error}");
    assert_eq!(host.pull(&registry.image("app:1")).unwrap_err().code(), "not_found");
    std::fs::write(&largest, bytes).unwrap();
    host.driver.push(&to, &top, PushOptions::default(), supply(layout.root())).unwrap();
}
