//! What copies make of documents: bytes in, bytes out.

use std::collections::BTreeMap;

use wharfie_core::copy::{Format, Swap, companion_tags, prune, rewrite, subject_of_tag};
use wharfie_core::image::Document;
use wharfie_core::media_type::Compression;
use wharfie_core::{Digest, Limits, MediaType, Platform};

fn read(raw: &str) -> Document {
    Document::parse(raw.as_bytes(), None, &Limits::default()).unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

/// As nobody would write it, so that what stays is seen to stay.
fn index() -> String {
    let entry = |name: &str, platform: &str, more: &str| {
        format!(
            r#"{{ "size":3,"digest":"{}", "mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{{{platform}}}{more} }}"#,
            digest(name)
        )
    };
    let about = |name: &str| {
        format!(
            r#","annotations":{{"vnd.docker.reference.type":"attestation-manifest","vnd.docker.reference.digest":"{}"}}"#,
            digest(name)
        )
    };
    let unknown = r#""os":"unknown","architecture":"unknown""#;
    let entries = [
        entry("arm", r#""os":"linux","architecture":"arm64""#, r#","x-else":[1, 2]"#),
        entry("amd", r#""os":"linux","architecture":"amd64""#, ""),
        entry("s390", r#""os":"linux","architecture":"s390x""#, ""),
        entry("about-amd", unknown, &about("amd")),
        entry("about-s390", unknown, &about("s390")),
    ];
    format!(
        r#"{{"x-first":true, "schemaVersion":2,"manifests":[{}],"annotations":{{"b":"2","a":"1"}},"mediaType":"application/vnd.oci.image.index.v1+json"}}"#,
        entries.join(", ")
    )
}

fn platforms(names: &[&str]) -> Vec<Platform> {
    names.iter().map(|name| Platform::parse_with(name, &Platform::new("linux", "amd64")).unwrap()).collect()
}

#[test]
fn a_pruned_index_keeps_order_words_and_attestations() {
    let document = read(&index());
    let pruned = prune(&document, &platforms(&["linux/amd64", "linux/arm64"])).unwrap();
    assert_eq!(pruned.kept, [0, 1, 3]);
    let text = String::from_utf8(pruned.bytes).unwrap();
    assert!(text.starts_with(r#"{"x-first":true,"schemaVersion":2,"manifests":[{ "size":3,"#), "{text}");
    assert!(text.contains(r#""x-else":[1, 2]"#));
    assert!(text.contains(r#""annotations":{"b":"2","a":"1"},"mediaType""#));
    let again = read(&text);
    let digests: Vec<_> = again.index().unwrap().manifests.iter().map(|entry| entry.digest).collect();
    assert_eq!(digests, ["arm", "amd", "about-amd"].map(digest));
}

#[test]
fn an_index_of_all_its_platforms_stays_what_it_is() {
    let document = read(&index());
    let all = prune(&document, &platforms(&["linux/s390x", "linux/amd64", "linux/arm64"])).unwrap();
    assert_eq!(all.bytes, document.raw);
}

#[test]
fn a_platform_that_is_not_there_is_named() {
    let error = prune(&read(&index()), &platforms(&["linux/amd64", "windows/amd64"])).unwrap_err();
    assert_eq!(error.code(), "platform_not_found");
    assert!(error.to_string().contains("windows/amd64"), "{error}");
}

fn manifest(layer: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":7}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar{layer}","digest":"{}","size":9,"annotations":{{"containerd.io/snapshot/stargz/toc.digest":"sha256:0","mine":"yes"}}}}]}}"#,
        digest("config"),
        digest("layer")
    )
}

#[test]
fn docker_and_back_is_the_same_document() {
    // Docker has no annotations: one without any comes back bit for bit.
    let plain = manifest("+gzip").replace(
        r#","annotations":{"containerd.io/snapshot/stargz/toc.digest":"sha256:0","mine":"yes"}"#,
        "",
    );
    let docker = rewrite(&read(&plain), Some(Format::Docker), &BTreeMap::new()).unwrap().unwrap();
    assert_eq!(docker.media_type, MediaType::DockerManifest);
    assert!(docker.lost.is_empty());
    let document = Document::parse(&docker.bytes, None, &Limits::default()).unwrap();
    let view = document.manifest().unwrap();
    assert_eq!(view.config.media_type, MediaType::DockerConfig);
    assert_eq!(view.layers[0].media_type, MediaType::DockerLayer(Compression::Gzip));
    assert_eq!(view.layers[0].digest, digest("layer"));
    assert_eq!(rewrite(&document, Some(Format::Docker), &BTreeMap::new()).unwrap(), None);
    let back = rewrite(&document, Some(Format::Oci), &BTreeMap::new()).unwrap().unwrap();
    assert_eq!(String::from_utf8(back.bytes).unwrap(), plain);
}

#[test]
fn the_entry_of_a_document_that_stays_keeps_its_type() {
    // The attestations are no images, and stay OCI's: so do their entries.
    let swap = Swap { digest: digest("docker"), size: 5, media_type: MediaType::DockerManifest };
    let new = rewrite(&read(&index()), Some(Format::Docker), &BTreeMap::from([(digest("amd"), swap)]));
    let new = new.unwrap().unwrap();
    let document = Document::parse(&new.bytes, None, &Limits::default()).unwrap();
    for entry in &document.index().unwrap().manifests {
        let is_swapped = entry.digest == digest("docker");
        let expected = if is_swapped { MediaType::DockerManifest } else { MediaType::OciManifest };
        assert_eq!(entry.media_type, expected, "{}", entry.digest);
    }
}

#[test]
fn what_docker_has_no_place_for_is_said() {
    let docker = rewrite(&read(&manifest("+gzip")), Some(Format::Docker), &BTreeMap::new()).unwrap().unwrap();
    assert_eq!(docker.lost, ["annotations"]);
    let error = rewrite(&read(&manifest("+zstd")), Some(Format::Docker), &BTreeMap::new()).unwrap_err();
    assert_eq!(error.code(), "unsupported_media_type");
}

#[test]
fn a_swapped_layer_takes_its_notes_of_bytes_along() {
    let swap =
        Swap { digest: digest("packed anew"), size: 11, media_type: MediaType::OciLayer(Compression::Zstd) };
    let swaps = BTreeMap::from([(digest("layer"), swap)]);
    let new = rewrite(&read(&manifest("+gzip")), None, &swaps).unwrap().unwrap();
    let wanted = manifest("+zstd")
        .replace(&digest("layer").to_string(), &digest("packed anew").to_string())
        .replace(r#""size":9"#, r#""size":11"#)
        .replace(r#""containerd.io/snapshot/stargz/toc.digest":"sha256:0","#, "");
    assert_eq!(String::from_utf8(new.bytes).unwrap(), wanted);
}

#[test]
fn attestations_follow_the_manifest_they_are_about() {
    let swap = Swap { digest: digest("new"), size: 5, media_type: MediaType::OciManifest };
    let new = rewrite(&read(&index()), None, &BTreeMap::from([(digest("amd"), swap)])).unwrap().unwrap();
    let text = String::from_utf8(new.bytes).unwrap();
    assert!(text.contains(&format!(r#""vnd.docker.reference.digest":"{}""#, digest("new"))));
    assert!(!text.contains(&digest("amd").to_string()));
    assert!(text.contains(&format!(r#""vnd.docker.reference.digest":"{}""#, digest("s390"))));
}

#[test]
fn artifacts_have_no_other_format() {
    let artifact = manifest("+gzip").replace("image.config.v1+json", "whatever.v1+json");
    assert_eq!(rewrite(&read(&artifact), Some(Format::Docker), &BTreeMap::new()).unwrap(), None);
}

#[test]
fn companions_are_named_by_their_digest() {
    let tags = companion_tags(&digest("x"));
    for tag in &tags {
        assert_eq!(subject_of_tag(tag), Some(digest("x")));
    }
    assert_eq!(subject_of_tag(&tags[0].replace(".sig", "")), Some(digest("x")));
    let others = ["latest".to_string(), "sha256-abc.sig".to_string(), tags[0].replace("sig", "exe")];
    assert!(others.iter().all(|tag| subject_of_tag(tag).is_none()));
}
