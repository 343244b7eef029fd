use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::error::ErrorKind;
use crate::limits::Limits;
use crate::{Algorithm, Digest, MediaType, Platform};

mod config;
mod schema1;

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    content_type: Option<String>,
    body: String,
    is: Option<String>,
    code: Option<String>,
    reason: Option<String>,
    image: Option<String>,
}

const SCHEMA2: &[u8] = include_bytes!("../../../testdata/golden/schema2.json");

fn limits() -> Limits {
    Limits::default()
}

#[test]
fn documents_are_told_apart_or_refused() {
    let cases: Cases = toml::from_str(include_str!("../../../testdata/manifests.toml")).unwrap();
    assert!(cases.case.len() > 100);
    for Case { name, content_type, body, is, code, reason, image } in cases.case {
        match Document::parse(body.as_bytes(), content_type.as_deref(), &limits()) {
            Ok(document) => {
                assert_eq!(Some(document.media_type.as_str()), is.as_deref(), "{name}");
                assert_eq!(document.raw, body.as_bytes());
                let refused = document.manifest().and_then(|m| m.check_image().err());
                assert_eq!(refused.as_ref().map(crate::Error::code), image.as_deref(), "{name}");
            }
            Err(error) => {
                assert_eq!(Some(error.code()), code.as_deref(), "{name}: {error}");
                if let Some(reason) = reason {
                    assert!(error.to_string().contains(&reason), "{name}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_real_schema2_manifest() {
    let served = Some("application/vnd.docker.distribution.manifest.v2+json");
    let document = Document::parse(SCHEMA2, served, &limits()).unwrap();
    let manifest = document.manifest().unwrap();
    assert_eq!(manifest.config.size, 3408);
    assert_eq!(manifest.config.media_type, MediaType::DockerConfig);
    assert_eq!(
        manifest.layers.iter().map(|layer| layer.size).collect::<Vec<_>>(),
        [26_690_587, 35_372, 848, 162]
    );
    assert_eq!(manifest.layer_bytes(), 26_726_969);
    assert_eq!(manifest.check_image(), Ok(()));
    assert_eq!(manifest.artifact_type(), None);
    let digest = document.digest(Algorithm::Sha256);
    assert_eq!(digest, Digest::sha256(SCHEMA2));
    assert_eq!(document.verify(&digest), Ok(()));
    let other = Digest::sha256(b"");
    let error = document.verify(&other).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::DigestMismatch { expected: other, actual: digest });
    assert_eq!(error.place().blob, Some(other));
}

#[test]
fn cut_off_anywhere_is_refused_and_never_a_panic() {
    for raw in [SCHEMA2, schema1::GOLDEN] {
        for end in 0..raw.trim_ascii_end().len() {
            let error = Document::parse(&raw[..end], None, &limits()).unwrap_err();
            assert_eq!(error.code(), "invalid_document");
        }
        let mut trailing = raw.to_vec();
        trailing.extend(b"{}");
        assert_eq!(Document::parse(&trailing, None, &limits()).unwrap_err().code(), "invalid_document");
    }
}

#[test]
fn a_syntax_error_says_where() {
    let error = Document::parse(b"{\n  \"layers\": nope}", None, &limits()).unwrap_err();
    assert_eq!(error.place().byte, Some(15));
    assert_eq!(error.to_string(), "invalid manifest: not JSON: expected ident at line 2 column 14 (byte 15)");
}

#[test]
fn each_limit_is_named() {
    let limit = |raw: &str, limits: Limits| match Document::parse(raw.as_bytes(), None, &limits)
        .unwrap_err()
        .kind()
    {
        ErrorKind::LimitExceeded { limit, value } => (*limit, *value),
        other => panic!("{other}"),
    };
    let digest = Digest::sha256(b"{}");
    let entry = format!(r#"{{"digest": "{digest}", "size": 2, "data": "e30="}}"#);
    let index = format!(r#"{{"manifests": [{entry}, {entry}, {entry}]}}"#);
    let manifest = format!(r#"{{"config": {entry}, "layers": [{entry}, {entry}]}}"#);
    assert!(Document::parse(index.as_bytes(), None, &limits()).is_ok());
    let size = index.len() as u64;
    let exact = Limits { document_bytes: size, ..limits() };
    assert!(Document::parse(index.as_bytes(), None, &exact).is_ok());
    assert_eq!(limit(&index, Limits { document_bytes: size - 1, ..limits() }), ("document_bytes", size - 1));
    assert_eq!(limit(&index, Limits { descriptors: 2, ..limits() }), ("descriptors", 2));
    assert_eq!(limit(&manifest, Limits { layers: 1, ..limits() }), ("layers", 1));
    assert_eq!(limit(&index, Limits { embedded_data_bytes: 1, ..limits() }), ("embedded_data_bytes", 1));
    assert_eq!(limit(&index, Limits { json_depth: 2, ..limits() }), ("json_depth", 2));
    assert_eq!(limit(&index, Limits { json_values: 13, ..limits() }), ("json_values", 13));
    assert!(Document::parse(index.as_bytes(), None, &Limits { json_values: 14, ..limits() }).is_ok());
    assert!(Document::parse(index.as_bytes(), None, &Limits { json_depth: 3, ..limits() }).is_ok());

    // A big `data` is refused by its length, before it is decoded.
    let data = "A".repeat(4 << 10);
    let big = format!(r#"{{"config": {{"digest": "{digest}", "size": 2, "data": "{data}"}}}}"#);
    assert_eq!(
        limit(&big, Limits { embedded_data_bytes: 1 << 10, ..limits() }),
        ("embedded_data_bytes", 1 << 10)
    );

    // Beyond the depth that the parser itself allows there is a refusal still.
    let deep = format!(r#"{{"config": {}1{}}}"#, "[".repeat(1000), "]".repeat(1000));
    assert_eq!(limit(&deep, limits()), ("json_depth", 64));
    let error = Document::parse(deep.as_bytes(), None, &Limits { json_depth: 5000, ..limits() }).unwrap_err();
    assert_eq!(error.code(), "invalid_document");
}

#[test]
fn many_null_values_are_bounded_before_they_are_kept() {
    let nulls = format!(r#"{{"x": [{}null]}}"#, "null,".repeat(600_000));
    match Document::parse(nulls.as_bytes(), None, &limits()).unwrap_err().kind() {
        ErrorKind::LimitExceeded { limit, .. } => assert_eq!(*limit, "json_values"),
        other => panic!("{other}"),
    }
}

#[test]
fn messages_stay_short_and_harmless() {
    let long = "x".repeat(100_000);
    for raw in [
        format!(r#"{{"layers": [{{"digest": "{long}:00", "size": 1}}]}}"#),
        format!(r#"{{"layers": [{{"digest": "sha256:{long}", "size": 1}}]}}"#),
        format!(r#"{{"layers": [], "mediaType": "{long}"}}"#),
        format!(r#"{{"layers": [], "{long}": 1, "{long}": 1}}"#),
        format!(r#"{{"layers": [], "config": {{}}, "annotations": {{"{long}": 1}}}}"#),
    ] {
        let error = Document::parse(raw.as_bytes(), None, &limits()).unwrap_err();
        assert!(error.to_string().len() < 400, "{}", error.to_string().len());
    }
    let escape = r#"{"layers": [], "\u001b[2J": 1, "\u001b[2J": 1}"#;
    let error = Document::parse(escape.as_bytes(), None, &limits()).unwrap_err();
    assert!(error.to_string().contains(r"the key `\u{1b}[2J` occurs twice"), "{error}");

    let many: Vec<Descriptor> =
        (0..100).map(|at| entry(MediaType::OciManifest, Some(&format!("linux/cpu{at}")))).collect();
    let error = Index::new(MediaType::OciIndex, many).choose(&Platform::new("linux", "amd64")).unwrap_err();
    assert!(error.to_string().ends_with("linux/cpu38, linux/cpu39 and 60 more"), "{error}");
}

fn entry(kind: MediaType, platform: Option<&str>) -> Descriptor {
    let mut entry = Descriptor::new(kind, Digest::sha256(b""), 0);
    entry.platform = platform.map(|text| text.parse().unwrap());
    entry
}

#[test]
fn attestations_and_artifacts_are_no_candidates() {
    let mut attestation = entry(MediaType::OciManifest, Some("linux/amd64"));
    attestation.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
    attestation.annotations.insert("vnd.docker.reference.digest".into(), "sha256:00".into());
    assert!(attestation.is_attestation());
    assert_eq!(attestation.attestation_subject(), Some("sha256:00"));
    let mut artifact = entry(MediaType::OciManifest, None);
    artifact.artifact_type = Some("application/vnd.example".into());
    let other = entry(MediaType::Other("application/vnd.example".into()), Some("linux/amd64"));
    let mut index = Index::new(MediaType::OciIndex, vec![attestation, artifact, other]);
    let amd64 = Platform::new("linux", "amd64");

    let error = index.choose(&amd64).unwrap_err();
    assert_eq!(error.to_string(), "no image for platform linux/amd64; there is nothing");
    assert_eq!(index.platforms(), []);

    index.manifests.push(entry(MediaType::OciManifest, Some("linux/arm/v7")));
    index.manifests.push(entry(MediaType::DockerManifest, Some("windows(10.0.17763)/amd64")));
    index.manifests.push(entry(MediaType::OciManifest, Some("linux/arm/v7")));
    let error = index.choose(&amd64).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no image for platform linux/amd64; there is linux/arm/v7, windows(10.0.17763)/amd64"
    );
    index.manifests.push(entry(MediaType::OciManifest, Some("linux/amd64")));
    assert_eq!(index.choose(&amd64), Ok(Choice::Declared(6)));
    assert_eq!(index.choose(&amd64).unwrap().positions(), [6]);
}

#[test]
fn nested_indexes_and_silent_entries_are_opened_last() {
    let amd64 = Platform::new("linux", "amd64");
    let silent = vec![
        entry(MediaType::OciIndex, None),
        entry(MediaType::OciManifest, Some("linux/arm64")),
        entry(MediaType::OciManifest, None),
        entry(MediaType::Other(String::new()), None),
    ];
    let mut index = Index::new(MediaType::OciIndex, silent);
    assert_eq!(index.choose(&amd64), Ok(Choice::Undeclared(vec![0, 2, 3])));
    // A nested index may name its platform too.
    index.manifests.push(entry(MediaType::OciIndex, Some("linux/amd64")));
    assert_eq!(index.choose(&amd64), Ok(Choice::Declared(4)));
}

#[test]
fn an_empty_platform_says_nothing() {
    let digest = Digest::sha256(b"");
    for platform in ["{}", r#"{"os": "", "architecture": ""}"#, r#"{"os": null}"#, "null"] {
        let raw =
            format!(r#"{{"manifests": [{{"digest": "{digest}", "size": 0, "platform": {platform}}}]}}"#);
        let document = Document::parse(raw.as_bytes(), None, &limits()).unwrap();
        let wanted = Platform::new("linux", "amd64");
        assert_eq!(document.index().unwrap().choose(&wanted), Ok(Choice::Undeclared(vec![0])), "{platform}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let mut full = Descriptor::new(MediaType::OciManifest, Digest::sha256(b"{}"), 2);
    full.urls = vec!["https://example.com/x".into()];
    full.annotations.insert("org.opencontainers.image.ref.name".into(), "v1".into());
    full.data = Some(b"{}".to_vec());
    full.artifact_type = Some("application/vnd.example".into());
    full.platform = Some(Platform {
        os: "windows".into(),
        architecture: "ARM".into(),
        variant: Some("v7".into()),
        os_version: Some("10.0.17763".into()),
        os_features: vec!["win32k".into()],
    });
    let raw = serde_json::to_vec(&full).unwrap();
    assert_eq!(Descriptor::parse(&raw, &limits()), Ok(full.clone()));
    assert_eq!(full.ref_name(), Some("v1"));

    let mut index = Index::new(MediaType::OciIndex, vec![full.clone(), entry(MediaType::OciIndex, None)]);
    index.artifact_type = Some("application/vnd.example".into());
    index.subject = Some(full.clone());
    index.annotations.insert("a".into(), "b".into());
    let raw = serde_json::to_vec(&index).unwrap();
    let document = Document::parse(&raw, Some(MediaType::OciIndex.as_str()), &limits()).unwrap();
    assert_eq!(document.index(), Some(&index));

    let manifest = Document::parse(SCHEMA2, None, &limits()).unwrap().manifest().unwrap().clone();
    let raw = serde_json::to_vec(&manifest).unwrap();
    assert_eq!(Document::parse(&raw, None, &limits()).unwrap().manifest(), Some(&manifest));
}

proptest! {
    #[test]
    fn no_bytes_panic(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Document::parse(&raw, None, &limits());
        let _ = Config::parse(&raw, &limits());
    }

    #[test]
    fn no_change_of_a_byte_panics(at in 0..SCHEMA2.len(), to in any::<u8>(), which in any::<bool>()) {
        let mut raw = if which { SCHEMA2 } else { schema1::GOLDEN }.to_vec();
        raw[at] = to;
        if let Ok(document) = Document::parse(&raw, None, &limits()) {
            prop_assert_eq!(document.raw, raw);
        }
    }
}
