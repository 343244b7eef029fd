use std::string::String;
use std::vec;

use serde_json::json;

use super::*;
use crate::media_type::Compression;

fn of(media_type: MediaType, content: &str) -> Descriptor {
    Descriptor::new(media_type, Digest::sha256(content.as_bytes()), content.len() as u64)
}

/// An image whose layers have these blobs; the tar of each is its name and ` tar`.
fn image(contents: &mut Contents, layers: &[(&str, Compression)]) -> Descriptor {
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|(layer, _)| Digest::sha256(format!("{layer} tar").as_bytes()).to_string())
        .collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/it"]}, "history": [],
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = config.to_string();
    let config_descriptor = of(MediaType::OciConfig, &config);
    let layers: Vec<Descriptor> =
        layers.iter().map(|(layer, kind)| of(MediaType::OciLayer(*kind), layer)).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OciManifest, "config": config_descriptor, "layers": layers,
    });
    let manifest = manifest.to_string();
    let descriptor = of(MediaType::OciManifest, &manifest);
    contents.document(&config_descriptor, config.as_bytes());
    contents.document(&descriptor, manifest.as_bytes());
    layers.iter().for_each(|layer| contents.blob(layer));
    descriptor
}

fn names(parts: &[Part]) -> Vec<&str> {
    parts.iter().map(Part::name).collect()
}

fn json_of(parts: &[Part], wanted: &str) -> serde_json::Value {
    let found = parts.iter().find_map(|part| match part {
        Part::Bytes { name, bytes } if name == wanted => serde_json::from_slice(bytes).ok(),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no {wanted} in {:?}", names(parts)))
}

#[test]
fn layers_that_images_share_stand_in_a_docker_archive_once() {
    use Compression::{Gzip, Zstd};
    let mut contents = Contents::default();
    let one = image(&mut contents, &[("base", Gzip), ("one", Zstd)]);
    let two = image(&mut contents, &[("base", Gzip), ("two", Gzip), ("base", Gzip)]);
    contents.name(&one, Some("alpine:3"));
    contents.name(&one, Some("docker.io/library/alpine"));
    contents.name(
        &two,
        Some("ghcr.io/o/i:tag@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    );
    let parts = contents.docker_archive(Layers::Bare).unwrap();
    let manifest = json_of(&parts, "manifest.json");
    assert_eq!(parts[0].name(), "manifest.json");
    assert_eq!(manifest[0]["RepoTags"], json!(["alpine:3", "alpine:latest"]));
    assert_eq!(manifest[1]["RepoTags"], json!(["ghcr.io/o/i:tag"]));
    let base = format!("{}.tar", Digest::sha256(b"base tar").hex());
    assert_eq!(manifest[0]["Layers"][0], base.as_str());
    assert_eq!(manifest[1]["Layers"][2], base.as_str());
    assert_eq!(names(&parts).iter().filter(|name| **name == base).count(), 1);
    assert_eq!(parts.len(), 1 + 2 + 3);
    assert!(parts.iter().all(|part| !matches!(part, Part::Blob { .. })));
    // The same from the same.
    assert_eq!(parts, contents.clone().docker_archive(Layers::Bare).unwrap());
}

#[test]
fn kept_compressed_there_is_a_layout_beside() {
    let mut contents = Contents::default();
    let one = image(&mut contents, &[("base", Compression::Gzip)]);
    contents.name(&one, Some("host:5000/a:1"));
    contents.name(&one, Some("host:5000/a:2"));
    let parts = contents.docker_archive(Layers::AsTheyAre).unwrap();
    let index = json_of(&parts, "index.json");
    assert_eq!(index["manifests"][1]["annotations"][REF_NAME], "2");
    assert_eq!(index["manifests"][1]["annotations"][crate::image::CONTAINERD_NAME], "host:5000/a:2");
    let manifest = json_of(&parts, "manifest.json");
    let listed: Vec<&str> = names(&parts);
    for name in [&manifest[0]["Config"], &manifest[0]["Layers"][0]] {
        assert!(listed.contains(&name.as_str().unwrap()), "{name}");
    }
    assert!(listed.contains(&blob_name(&one.digest).as_str()));
    // Blobs come last.
    assert!(matches!(parts.last(), Some(Part::Blob { .. })));
}

#[test]
fn frozen_layers_are_chained_as_mobys_script_does() {
    let mut contents = Contents::default();
    let one = image(&mut contents, &[("base", Compression::Gzip), ("top", Compression::Zstd)]);
    contents.name(&one, Some("localhost:5000/a/b:1"));
    contents.name(&one, Some("hello-world"));
    let parts = contents.frozen_image().unwrap();
    // `echo $'\n'sha256:… | sha256sum`, of the digests of `base` and `top`.
    let base = Digest::sha256(format!("\n{}\n", Digest::sha256(b"base")).as_bytes()).hex();
    let top = Digest::sha256(format!("{base}\n{}\n", Digest::sha256(b"top")).as_bytes()).hex();
    assert_eq!(
        json_of(&parts, "repositories"),
        json!({"localhost:5000/a/b": {"1": top}, "hello-world": {"latest": top}})
    );
    assert_eq!(json_of(&parts, "manifest.json")[0]["Layers"][1], format!("{top}/layer.tar"));
    let lower = json_of(&parts, &format!("{base}/json"));
    assert_eq!((&lower["id"], lower.get("parent")), (&json!(base), None));
    let upper = json_of(&parts, &format!("{top}/json"));
    assert_eq!((&upper["id"], &upper["parent"]), (&json!(top), &json!(base)));
    assert_eq!(upper["config"]["Cmd"], json!(["/it"]));
    assert!(upper.get("rootfs").is_none() && upper.get("history").is_none());
    for id in [&base, &top] {
        let version = Part::Bytes { name: format!("{id}/VERSION"), bytes: b"1.0\n".to_vec() };
        assert!(parts.contains(&version));
    }
    // No old docker knows zstd.
    let layer = |id: &str| parts.iter().find(|part| part.name() == format!("{id}/layer.tar")).unwrap();
    assert!(matches!((layer(&base), layer(&top)), (Part::Blob { .. }, Part::Bare { .. })));
}

#[test]
fn an_image_below_another_is_run_as_itself() {
    let mut contents = Contents::default();
    let gzip = Compression::Gzip;
    let lower = image(&mut contents, &[("base", gzip)]);
    let upper = image(&mut contents, &[("base", gzip), ("top", gzip)]);
    for (first, second) in [(&lower, &upper), (&upper, &lower)] {
        let mut contents = contents.clone();
        contents.name(first, Some("a"));
        contents.name(second, Some("b"));
        let parts = contents.frozen_image().unwrap();
        let listed = names(&parts);
        let unique: BTreeSet<_> = listed.iter().collect();
        assert_eq!(listed.len(), unique.len(), "{listed:?}");
        let base = Digest::sha256(format!("\n{}\n", Digest::sha256(b"base")).as_bytes()).hex();
        assert_eq!(json_of(&parts, &format!("{base}/json"))["config"]["Cmd"], json!(["/it"]));
    }
}

#[test]
fn a_directory_holds_one_image() {
    let mut contents = Contents::default();
    assert_eq!(contents.directory().unwrap_err().code(), "invalid_option");
    let one = image(&mut contents, &[("base", Compression::Gzip)]);
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": [one]}).to_string();
    let top = of(MediaType::OciIndex, &index);
    contents.document(&top, index.as_bytes());
    contents.name(&top, None);
    let parts = contents.directory().unwrap();
    assert_eq!(json_of(&parts, "manifest.json")["manifests"][0]["digest"], one.digest.to_string());
    let child = format!("{}.manifest.json", one.digest.hex());
    let blob = Digest::sha256(b"base").hex();
    assert_eq!(names(&parts).len(), 5);
    assert!(names(&parts).contains(&child.as_str()) && names(&parts).contains(&blob.as_str()));
    contents.name(&one, None);
    assert_eq!(contents.directory().unwrap_err().code(), "invalid_option");
}

#[test]
fn what_docker_cannot_load_is_said() {
    let mut contents = Contents::default();
    let one = image(&mut contents, &[("base", Compression::Gzip)]);
    contents.name(&one, Some("not a reference"));
    for layers in [Layers::Bare, Layers::AsTheyAre] {
        assert_eq!(contents.docker_archive(layers).unwrap_err().code(), "invalid_option");
    }
    // A layout takes any name.
    assert_eq!(
        json_of(&contents.oci_archive().unwrap(), "index.json")["manifests"][0]["annotations"][REF_NAME],
        "not a reference"
    );
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": [one]}).to_string();
    let top = of(MediaType::OciIndex, &index);
    let mut contents = contents.clone();
    contents.tops.clear();
    contents.document(&top, index.as_bytes());
    contents.name(&top, Some("a"));
    assert_eq!(contents.docker_archive(Layers::Bare).unwrap_err().code(), "unsupported_media_type");
    let parts = contents.docker_archive(Layers::AsTheyAre).unwrap();
    assert_eq!(json_of(&parts, "index.json")["manifests"][0]["digest"], top.digest.to_string());
    assert_eq!(json_of(&parts, "manifest.json")[0]["RepoTags"], json!(["a:latest"]));

    let mut contents = Contents::default();
    let missing = of(MediaType::OciManifest, "nowhere");
    contents.name(&missing, None);
    assert_eq!(contents.docker_archive(Layers::Bare).unwrap_err().code(), "not_found");
    let artifact = json!({
        "schemaVersion": 2, "mediaType": MediaType::OciManifest, "layers": [],
        "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": missing.digest, "size": 7},
    });
    let artifact = artifact.to_string();
    let mut contents = Contents::default();
    let descriptor = of(MediaType::OciManifest, &artifact);
    contents.document(&descriptor, artifact.as_bytes());
    contents.name(&descriptor, None);
    assert_eq!(contents.docker_archive(Layers::Bare).unwrap_err().code(), "not_an_image");
    assert!(contents.oci_archive().is_ok());
}

#[test]
fn a_name_goes_over_to_who_takes_it_last() {
    let mut contents = Contents::default();
    let one = image(&mut contents, &[("one", Compression::Gzip)]);
    let two = image(&mut contents, &[("two", Compression::Gzip)]);
    contents.name(&one, Some("a"));
    contents.name(&two, Some("a"));
    let parts = contents.docker_archive(Layers::Bare).unwrap();
    let manifest = json_of(&parts, "manifest.json");
    assert_eq!(
        vec![&manifest[0]["RepoTags"], &manifest[1]["RepoTags"]],
        [&json!(null), &json!(["a:latest"])]
    );
}
