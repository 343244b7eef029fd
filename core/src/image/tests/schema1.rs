//! Schema 1: a real signed manifest, the specification's worked example, and what only hand-made ones show.

use super::*;

pub(super) const GOLDEN: &[u8] = include_bytes!("../../../../testdata/golden/schema1-signed.json");
const GOLDEN_DIGEST: &str = "sha256:bc12321026b5d738dde7bd29ddf7b7330d95623b409597dc5c2ee84cf5ca1c7b";
const EXAMPLE: &str = include_str!("../../../../testdata/golden/schema1-worked-example.txt");

fn parse(raw: &[u8]) -> (Document, Schema1) {
    let document = Document::parse(raw, None, &limits()).unwrap();
    let View::Schema1(schema1) = document.view.clone() else { panic!("{:?}", document.view) };
    (document, schema1)
}

#[test]
fn a_real_signed_manifest_has_the_digest_of_its_payload() {
    let served = Some("application/vnd.docker.distribution.manifest.v1+prettyjws");
    let document = Document::parse(GOLDEN, served, &limits()).unwrap();
    assert_eq!(document.media_type, MediaType::DockerSchema1Signed);
    assert_eq!(document.digest(Algorithm::Sha256).to_string(), GOLDEN_DIGEST);
    assert_eq!(document.verify(&GOLDEN_DIGEST.parse().unwrap()), Ok(()));
    assert_eq!(document.raw, GOLDEN);
    assert_eq!(document.digested().len(), 4924);
    assert!(document.verify(&Digest::sha256(GOLDEN)).is_err());
}

#[test]
fn a_real_signed_manifest_has_the_layers_of_its_schema2_twin() {
    let (_, schema1) = parse(GOLDEN);
    let twin = Document::parse(SCHEMA2, None, &limits()).unwrap();
    let layers: Vec<&Digest> = twin.manifest().unwrap().layers.iter().map(|layer| &layer.digest).collect();
    assert_eq!(schema1.layers().collect::<Vec<_>>(), layers);
    assert_eq!(schema1.entries.len(), 5);
    assert_eq!(schema1.signatures, 1);
    assert_eq!((schema1.name.as_str(), schema1.tag.as_str()), ("ubuntu", "Kana-1"));
}

#[test]
fn a_config_is_made_of_the_history() {
    let (_, schema1) = parse(GOLDEN);
    let config = schema1.config(&[], &limits()).unwrap();
    assert_eq!(config.platform, Some(Platform::new("linux", "amd64")));
    assert_eq!(config.created.as_deref(), Some("2020-03-20T19:20:22.835345724Z"));
    assert_eq!(config.execution.cmd, ["/bin/bash"]);
    assert_eq!(config.execution.env, ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
    assert!(config.execution.args_escaped);
    assert_eq!(config.diff_ids, []);
    let empty: Vec<bool> = config.history.iter().map(|step| step.empty_layer).collect();
    assert_eq!(empty, [false, false, false, false, true]);
    assert_eq!(
        config.history[1].created_by.as_deref(),
        Some("/bin/sh -c [ -z \"$(apt-get indextargets)\" ]")
    );
    assert_eq!(config.history[4].created_by.as_deref(), Some(r#"/bin/sh -c #(nop)  CMD ["/bin/bash"]"#));
    assert_eq!(Config::parse(&config.raw, &limits()).as_ref(), Ok(&config));
    let summary = config.summary().unwrap();
    for gone in ["id", "parent", "throwaway", "history", "rootfs"] {
        assert_eq!(summary.get(gone), None, "{gone}");
    }
    assert_eq!(summary["docker_version"], "18.09.7");

    let diff_ids = [Digest::sha256(b"a"), Digest::sha256(b"b")];
    assert_eq!(schema1.config(&diff_ids, &limits()).unwrap().diff_ids, diff_ids);
}

#[test]
fn only_the_payload_is_read() {
    // What is woven in outside of the payload has no say.
    let text = core::str::from_utf8(GOLDEN).unwrap();
    let forged = text.replacen("\"signatures\": [", "\"extra\": 1,\n   \"signatures\": [", 1);
    let (document, schema1) = parse(forged.as_bytes());
    assert_eq!(document.digest(Algorithm::Sha256).to_string(), GOLDEN_DIGEST);
    assert_eq!(schema1, parse(GOLDEN).1);
    // A change of the payload changes the digest.
    let (changed, _) = parse(text.replacen("Kana-1", "Kana-2", 1).as_bytes());
    assert_ne!(changed.digest(Algorithm::Sha256).to_string(), GOLDEN_DIGEST);
}

#[test]
fn the_worked_example_is_refused_as_printed_and_read_when_it_is_completed() {
    let refused = |text: &str| Document::parse(text.as_bytes(), None, &limits()).unwrap_err().to_string();
    // The specification prints a comma too many …
    assert!(refused(EXAMPLE).contains("not JSON: trailing comma"), "{}", refused(EXAMPLE));
    // … and leaves out half of what was signed: 6628 bytes of which some 4000 are left …
    let comma = EXAMPLE.replacen("},\n   ],", "}\n   ],", 1);
    assert!(refused(&comma).contains("`formatLength` is longer than the document"), "{}", refused(&comma));
    // … and two entries of history.
    let (unsigned, _) = comma.split_once(",\n   \"signatures\"").unwrap();
    let unsigned = format!("{unsigned}\n}}");
    assert!(
        refused(&unsigned).contains("has 4 `fsLayers` and 2 entries of `history`"),
        "{}",
        refused(&unsigned)
    );

    let parent = "31cbccb51277105ba3ae35ce33c22b69c9e3f1002e76e4c736a2e8ebff9d7b5d";
    let base = "511136ea3c5a64f264b78b5433614aec563103b4d4702f3ba7d4d2698e22c158";
    let more = |id: &str, rest: &str| format!(r#", {{"v1Compatibility": "{{\"id\":\"{id}\"{rest}}}"}}"#);
    let with_parent = format!(r#",\"parent\":\"{base}\""#);
    let completed = unsigned.replacen(
        "\n   ],\n   \"schemaVersion\"",
        &format!("{}{}\n   ],\n   \"schemaVersion\"", more(parent, &with_parent), more(base, "")),
        1,
    );
    let (document, schema1) = parse(completed.as_bytes());
    assert_eq!(document.media_type, MediaType::DockerSchema1);
    assert_eq!(document.digest(Algorithm::Sha256), Digest::sha256(completed.as_bytes()));
    // The newest entry stands there twice, and it and the base are empty tars.
    assert_eq!(schema1.entries.len(), 3);
    let layers: Vec<String> = schema1.layers().map(ToString::to_string).collect();
    assert_eq!(layers, ["sha256:cc8567d70002e957612902a8e985ea129d831ebe04057d88fb644857caa45d11"]);
    let config = schema1.config(&[], &limits()).unwrap();
    assert_eq!(config.execution.cmd, ["/hello"]);
    assert_eq!(config.history.len(), 3);
    assert_eq!(config.summary().unwrap().get("Size"), None);
}

#[test]
fn the_well_known_empty_layers_are_what_they_are_said_to_be() {
    let tar = Digest::sha256(&[0; 1024]);
    assert_eq!(tar.to_string(), "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
    let gzip = [
        0x1f, 0x8b, 0x08, 0, 0, 0x09, 0x6e, 0x88, 0, 0xff, 0x62, 0x18, 0x05, 0xa3, 0x60, 0x14, 0x8c, 0x58, 0,
        0x08, 0, 0, 0xff, 0xff, 0x2e, 0xaf, 0xb5, 0xef, 0, 0x04, 0, 0,
    ];
    assert_eq!(
        Digest::sha256(&gzip).to_string(),
        "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
    );
}

#[test]
fn throwaway_entries_make_no_layer_whatever_their_blob() {
    let blob = Digest::sha256(b"x");
    let raw = format!(
        r#"{{"schemaVersion": 1, "architecture": "arm64",
            "fsLayers": [{{"blobSum": "{blob}"}}, {{"blobSum": "{blob}"}}],
            "history": [{{"v1Compatibility": "{{\"throwaway\": true, \"container_config\": {{\"Cmd\": \"one\"}}}}"}},
                        {{"v1Compatibility": "{{\"author\": \"me\", \"comment\": \"c\", \"throwaway\": null}}"}}]}}"#
    );
    let (_, schema1) = parse(raw.as_bytes());
    assert_eq!(schema1.layers().collect::<Vec<_>>(), [&blob]);
    let config = schema1.config(&[], &limits()).unwrap();
    assert_eq!(config.platform, Some(Platform::new("linux", "arm64")));
    assert_eq!(config.history[0].author.as_deref(), Some("me"));
    assert_eq!(config.history[0].comment.as_deref(), Some("c"));
    assert_eq!(config.history[1].created_by.as_deref(), Some("one"));
}
