use alloc::format;

use super::*;

const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","created":"2024-01-02T03:04:05Z","docker_version":"20.10","config":{"Env":["PATH=/bin","A=1"],"Cmd":["sh"],"Labels":{"keep":"me"},"NetworkDisabled":true},"rootfs":{"type":"layers","diff_ids":["sha256:1111111111111111111111111111111111111111111111111111111111111111"]},"history":[{"created_by":"base"},{"created_by":"CMD","empty_layer":true}]}"#;

fn base_with(config: &str, family: Family, extra: &str) -> (Document, Vec<u8>) {
    let digest = Digest::sha256(config.as_bytes());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","x-own":[1,2],"config":{{"mediaType":"{}","digest":"{digest}","size":{}}},"layers":[{{"mediaType":"{}","digest":"sha256:2222222222222222222222222222222222222222222222222222222222222222","size":7,"x-layer":1}}]{extra}}}"#,
        family.manifest(),
        family.config(),
        config.len(),
        family.layer(Compression::Gzip),
    );
    let document = Document::parse(manifest.as_bytes(), None, &Limits::default()).unwrap();
    (document, config.as_bytes().to_vec())
}

fn base(family: Family) -> Edit {
    let (document, config) = base_with(CONFIG, family, "");
    Edit::of(&document, &config, &Limits::default()).unwrap()
}

fn layer(byte: u8) -> NewLayer {
    let digest = Digest::new(Algorithm::Sha256, &[byte; 32]).unwrap();
    let descriptor = Descriptor::new(MediaType::OciLayer(Compression::Gzip), digest, 9);
    NewLayer {
        descriptor,
        diff_id: Digest::new(Algorithm::Sha256, &[byte + 1; 32]).unwrap(),
        created_by: "test".to_owned(),
    }
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn what_nothing_changed_in_keeps_its_bytes() {
    for family in [Family::Oci, Family::Docker] {
        let (document, config) = base_with(CONFIG, family, "");
        let mut edit = base(family);
        let changes = Changes {
            env: Vec::from([("A".to_owned(), "1".to_owned())]),
            cmd: Some(Vec::from(["sh".to_owned()])),
            unset: Vec::from([Unset::Field("Entrypoint"), Unset::Member("Labels", "none".to_owned())]),
            ..Changes::default()
        };
        edit.apply(&changes).unwrap();
        let made = edit.finish().unwrap();
        assert_eq!((made.manifest_bytes, made.config_bytes), (document.raw, config));
    }
}

#[test]
fn annotations_leave_the_config_alone() {
    let mut edit = base(Family::Oci);
    let changes =
        Changes { annotations: BTreeMap::from([("k".to_owned(), "v".to_owned())]), ..Changes::default() };
    edit.apply(&changes).unwrap();
    let made = edit.finish().unwrap();
    assert_eq!(made.config_bytes, CONFIG.as_bytes());
    let manifest = json_of(&made.manifest_bytes);
    assert_eq!(manifest["annotations"], json!({"k": "v"}));
    assert_eq!(manifest["x-own"], json!([1, 2]));
    assert_eq!(manifest["layers"][0]["x-layer"], 1);
    edit.apply(&Changes { unset: Vec::from([Unset::Annotation(None)]), ..Changes::default() }).unwrap();
    assert_eq!(json_of(&edit.finish().unwrap().manifest_bytes).get("annotations"), None);
}

#[test]
fn changes_are_made_and_told() {
    let mut edit = base(Family::Docker);
    let text = |text: &str| text.to_owned();
    let changes = Changes {
        env: Vec::from([(text("A"), text("2=3")), (text("B"), text(""))]),
        entrypoint: Some(Vec::from([text("/init"), text("--")])),
        user: Some(text("1000:1000")),
        working_dir: Some(text("/work")),
        exposed_ports: set_of(&["80/tcp"]),
        labels: BTreeMap::from([(text("l"), text("x"))]),
        platform: Some("linux/arm/v6".parse().unwrap()),
        unset: Vec::from([Unset::Member("Env", text("PATH"))]),
        ..Changes::default()
    };
    edit.apply(&changes).unwrap();
    let made = edit.finish().unwrap();
    let config = json_of(&made.config_bytes);
    let run = &config["config"];
    assert_eq!(run["Env"], json!(["A=2=3", "B="]));
    assert_eq!(run["Entrypoint"], json!(["/init", "--"]));
    assert_eq!(run.get("Cmd"), None, "arguments of another program");
    assert_eq!((&run["User"], &run["WorkingDir"]), (&json!("1000:1000"), &json!("/work")));
    assert_eq!(run["ExposedPorts"], json!({"80/tcp": {}}));
    assert_eq!(run["Labels"], json!({"keep": "me", "l": "x"}));
    assert_eq!(run["NetworkDisabled"], true);
    assert_eq!(config["docker_version"], "20.10");
    assert_eq!((&config["architecture"], &config["variant"]), (&json!("arm"), &json!("v6")));
    let history = config["history"].as_array().unwrap();
    assert_eq!(history.len(), 3);
    assert_eq!(history[2]["empty_layer"], true);
    assert_eq!(history[2]["created"], "2024-01-02T03:04:05Z", "no clock");
    assert!(
        history[2]["created_by"].as_str().unwrap().contains(r#"Entrypoint ["/init","--"]"#),
        "{}",
        history[2]
    );
    assert_eq!(made.manifest.platform.as_ref().unwrap().to_string(), "linux/arm/v6");
    let manifest = json_of(&made.manifest_bytes);
    assert_eq!(manifest["config"]["digest"], Digest::sha256(&made.config_bytes).to_string());
    assert_eq!(manifest["mediaType"], MediaType::DockerManifest.as_str());
    // The same again is the same again.
    let mut again = base(Family::Docker);
    again.apply(&changes).unwrap();
    assert_eq!(again.finish().unwrap(), made);
}

fn set_of(items: &[&str]) -> alloc::collections::BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[test]
fn layers_go_on_top_with_their_history() {
    for (family, kind) in [
        (Family::Oci, "application/vnd.oci.image.layer.v1.tar+gzip"),
        (Family::Docker, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    ] {
        let mut edit = base(family);
        edit.set_created("2025-01-01T00:00:00Z");
        edit.push(&layer(5)).unwrap();
        let made = edit.finish().unwrap();
        assert_eq!(made.layers.len(), 2);
        assert_eq!(made.layers[1].media_type.as_str(), kind);
        let config = json_of(&made.config_bytes);
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
        assert_eq!(config["created"], "2025-01-01T00:00:00Z");
        assert_eq!(config["history"][2], json!({"created": "2025-01-01T00:00:00Z", "created_by": "test"}));
        let view = Config::parse(&made.config_bytes, &Limits::default()).unwrap();
        assert_eq!(view.diff_ids[1], layer(5).diff_id);
    }
}

#[test]
fn a_history_that_is_not_there_does_not_become_that_of_other_layers() {
    let config =
        CONFIG.replace(r#","history":[{"created_by":"base"},{"created_by":"CMD","empty_layer":true}]"#, "");
    let (document, config) = base_with(&config, Family::Oci, "");
    let mut edit = Edit::of(&document, &config, &Limits::default()).unwrap();
    edit.push(&layer(5)).unwrap();
    let config = json_of(&edit.finish().unwrap().config_bytes);
    assert_eq!(config["history"].as_array().unwrap().len(), 2);
    assert_eq!(config["history"][1]["created_by"], "test");
}

#[test]
fn images_are_composed() {
    let mut edit = base(Family::Docker);
    let mut other = Edit::new(Family::Oci, &Platform::new("linux", "amd64"));
    other.push(&layer(7)).unwrap();
    edit.push_all(&other).unwrap();
    let made = edit.finish().unwrap();
    assert_eq!(made.layers[1].media_type, MediaType::DockerLayer(Compression::Gzip));
    assert_eq!(json_of(&made.config_bytes)["history"].as_array().unwrap().len(), 3);
}

#[test]
fn flattened_is_one_layer_and_one_line() {
    let extra = r#","annotations":{"org.opencontainers.image.base.name":"docker.io/library/x:1","org.opencontainers.image.base.digest":"sha256:0","k":"v"}"#;
    let (document, config) = base_with(CONFIG, Family::Oci, extra);
    let mut edit = Edit::of(&document, &config, &Limits::default()).unwrap();
    edit.flatten(&layer(3)).unwrap();
    let made = edit.finish().unwrap();
    let config = json_of(&made.config_bytes);
    assert_eq!(made.layers.len(), 1);
    assert_eq!(config["history"], json!([{"created": "2024-01-02T03:04:05Z", "created_by": "test"}]));
    assert_eq!(config["config"]["Env"], json!(["PATH=/bin", "A=1"]));
    assert_eq!(json_of(&made.manifest_bytes)["annotations"], json!({"k": "v"}));
}

#[test]
fn the_base_is_named() {
    let mut edit = base(Family::Oci);
    let digest = Digest::sha256(b"x");
    edit.set_base(&digest, Some("h.example/r:1"));
    edit.set_base(&digest, None);
    let manifest = json_of(&edit.finish().unwrap().manifest_bytes);
    assert_eq!(manifest["annotations"], json!({ BASE_DIGEST: digest.to_string() }));
}

#[test]
fn keys_are_sorted_whatever_the_maps_do() {
    let made = {
        let mut edit = Edit::new(Family::Oci, &"linux/arm/v7".parse().unwrap());
        edit.push(&layer(1)).unwrap();
        edit.finish().unwrap()
    };
    let text = String::from_utf8(made.manifest_bytes).unwrap();
    assert!(text.starts_with(r#"{"config":{"digest":"#) && text.ends_with(r#""schemaVersion":2}"#), "{text}");
    let config = String::from_utf8(made.config_bytes).unwrap();
    assert_eq!(
        config,
        format!(
            r#"{{"architecture":"arm","created":"{EPOCH}","history":[{{"created":"{EPOCH}","created_by":"test"}}],"os":"linux","rootfs":{{"diff_ids":["{}"],"type":"layers"}},"variant":"v7"}}"#,
            layer(1).diff_id
        )
    );
}

#[test]
fn what_is_no_image_is_not_changed() {
    let (document, _) = base_with(CONFIG, Family::Oci, "");
    let none =
        CONFIG.replace(r#""sha256:1111111111111111111111111111111111111111111111111111111111111111""#, "");
    let code = |document: &Document, config: &str| {
        Edit::of(document, config.as_bytes(), &Limits::default()).unwrap_err().code()
    };
    assert_eq!(code(&document, &none), "layer_count_mismatch");
    assert_eq!(code(&document, "[]"), "invalid_document");
    let index = br#"{"schemaVersion":2,"manifests":[]}"#;
    let index = Document::parse(index, None, &Limits::default()).unwrap();
    assert_eq!(code(&index, CONFIG), "not_an_image");
}

#[test]
fn changes_that_no_image_can_have_are_refused() {
    let text = |text: &str| text.to_owned();
    let changes = [
        Changes { env: Vec::from([(text(""), text("x"))]), ..Changes::default() },
        Changes { env: Vec::from([(text("A"), text("\0"))]), ..Changes::default() },
        Changes { working_dir: Some(text("work")), ..Changes::default() },
        Changes { entrypoint: Some(Vec::from([text("")])), ..Changes::default() },
        Changes { labels: BTreeMap::from([(text(""), text("x"))]), ..Changes::default() },
    ];
    for changes in changes {
        assert_eq!(base(Family::Oci).apply(&changes).unwrap_err().code(), "invalid_option", "{changes:?}");
    }
    for bad in ["", "0", "80/", "80/icmp", "+80", "90-80", "65536", "a"] {
        assert_eq!(port(bad).unwrap_err().code(), "invalid_option", "{bad}");
    }
    assert_eq!(port("80").unwrap(), "80/tcp");
    assert_eq!(port("53/UDP").unwrap(), "53/udp");
    for bad in ["", "env2", "cmd=x", "user=x", "author=x"] {
        assert_eq!(bad.parse::<Unset>().unwrap_err().code(), "invalid_option", "{bad}");
    }
    assert_eq!("port=80".parse::<Unset>().unwrap(), Unset::Member("ExposedPorts", text("80/tcp")));
    assert_eq!("label=a=b".parse::<Unset>().unwrap(), Unset::Member("Labels", text("a=b")));
}

#[test]
fn names_of_variables_on_windows_have_no_case() {
    let config = CONFIG.replace(r#""os":"linux""#, r#""os":"windows""#);
    let (document, config) = base_with(&config, Family::Docker, "");
    let mut edit = Edit::of(&document, &config, &Limits::default()).unwrap();
    let changes = Changes { env: Vec::from([("Path".to_owned(), "c:\\".to_owned())]), ..Changes::default() };
    edit.apply(&changes).unwrap();
    let config = json_of(&edit.finish().unwrap().config_bytes);
    assert_eq!(config["config"]["Env"], json!(["Path=c:\\", "A=1"]));
}

#[test]
fn old_lists_become_sets() {
    let config = CONFIG.replace(r#""Cmd":["sh"]"#, r#""ExposedPorts":["53/udp"]"#);
    let (document, config) = base_with(&config, Family::Docker, "");
    let mut edit = Edit::of(&document, &config, &Limits::default()).unwrap();
    edit.apply(&Changes { exposed_ports: set_of(&["80/tcp"]), ..Changes::default() }).unwrap();
    let config = json_of(&edit.finish().unwrap().config_bytes);
    assert_eq!(config["config"]["ExposedPorts"], json!({"53/udp": {}, "80/tcp": {}}));
}
