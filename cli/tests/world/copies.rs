//! Copies between registries, layouts and what else there is: digests are the same everywhere, and a registry has the whole
//! of an image or no name of it.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testbed::faults::{Fault, FaultProxy};
use testbed::image::{self, Layout};
use testbed::layer::{Compression, Layer, Meta, noise};
use testbed::registry::{Options, Registry};
use testbed::server::Response;
use testbed::token::{self, TokenServer};
use testbed::tools;

use crate::interrupted::Small;
use crate::ship::{Ship, run, signal, wait_until};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An index `t` of three platforms that share a layer, one of them with an attestation; an artifact `chart` that is no image; a
/// signature of the index.
fn make(folder: &Path) -> String {
    let mut layout = Layout::new();
    let layer = |seed, len| Layer::new().file("data", &Meta::mode(0o644), noise(seed, len)).finish();
    let lower = layer(1, 1_500_000);
    let mut manifests: Vec<Value> = [("amd64", 2), ("arm64", 3), ("s390x", 4)]
        .map(|(architecture, seed)| {
            let upper = layer(seed, 90_000);
            let layers = [(&lower[..], Compression::Gzip), (&upper[..], Compression::Gzip)];
            layout.image(("linux", architecture), &layers, &json!({}), &["lower", "upper"])
        })
        .into();
    let statement = layout.blob("application/vnd.in-toto+json", b"{\"about\":\"amd64\"}".to_vec());
    let config = json!({
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [statement["digest"]]},
    });
    let config = layout.blob("application/vnd.oci.image.config.v1+json", config.to_string().into());
    let attestation =
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [statement]});
    let mut attestation = layout.blob(MANIFEST, attestation.to_string().into_bytes());
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": manifests[0]["digest"],
    });
    manifests.push(attestation);
    let index = layout.index(&manifests);
    layout.tag("t", &index);
    let empty = layout.blob("application/vnd.oci.empty.v1+json", b"{}".to_vec());
    let chart = layout.blob("application/vnd.cncf.helm.config.v1+json", b"{\"name\":\"chart\"}".to_vec());
    let content = layout.blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", noise(9, 3000));
    let chart = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": chart, "layers": [content]});
    let chart = layout.blob(MANIFEST, chart.to_string().into_bytes());
    layout.tag("chart", &chart);
    let payload = layout.blob("application/vnd.dev.cosign.simplesigning.v1+json", b"signed".to_vec());
    let subject = json!({"mediaType": index["mediaType"], "digest": index["digest"], "size": index["size"]});
    let signature = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x.signature",
        "config": empty, "layers": [payload], "subject": subject,
    });
    let signature = layout.blob(MANIFEST, signature.to_string().into_bytes());
    layout.tag("signature", &signature);
    layout.write(folder);
    index["digest"].as_str().unwrap().to_owned()
}

/// The digest of what another tool finds.
fn digest_at(registry: &Registry, name: &str) -> String {
    let mut skopeo = registry.skopeo("inspect");
    skopeo.args(["--raw", "--tls-verify=false"]).arg(format!("docker://{}", registry.image(name)));
    image::digest(&tools::run(&mut skopeo).stdout)
}

struct Sea {
    ship: Ship,
    registry: Registry,
    /// The digest of the index.
    top: String,
}

fn sea(what: &str) -> Option<Sea> {
    let registry = Registry::start(what, &Options::default())?;
    if !tools::have(what, &["skopeo"]) {
        return None;
    }
    let ship = Ship::new();
    let top = make(&ship.path("source"));
    Some(Sea { ship, registry, top })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_index_goes_round_and_stays_what_it_is() {
    let what = "an_index_goes_round_and_stays_what_it_is";
    let Some(Sea { ship, registry, top }) = sea(what) else { return };
    let Some(second) = Registry::start(what, &Options::default()) else { return };
    let (there, beyond) = (registry.image("app:1"), second.image("group/app:2"));
    let ran = ship.ok(&["copy", "--all", "--dry-run", "oci:source:t", &there]);
    assert!(ran.stderr.contains("nothing was sent"), "{}", ran.stderr);
    ship.fails(&["digest", &there], &["not found"]);
    let ran = ship.ok(&["push", "--all", "oci:source:t", &there, "--tag", "latest", "--json"]);
    let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((&said["digest"], &said["tags"]), (&json!(top), &json!(["1", "latest"])));
    assert_eq!(digest_at(&registry, "app:latest"), top);

    // To another registry, and nothing of it stays here.
    ship.ok(&["copy", "--all", &there, &beyond]);
    assert_eq!(digest_at(&second, "group/app:2"), top);
    assert!(ship.sound().is_empty());
    let ran = ship.ok(&["copy", "--all", "--json", &there, &beyond]);
    let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(said["blobs"], 0, "{said}");
    // Within one it is mounted.
    let ran = ship.ok(&["copy", "--all", "--json", &beyond, &second.image("other:3")]);
    let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((said["blobs"].as_u64(), said["mounted"].as_u64() > Some(5)), (Some(0), true), "{said}");

    // Into a layout, which is nothing but one.
    let ran = ship.ok(&["copy", "--all", &beyond, "oci:out:kept"]);
    assert!(text(&ran.stdout).contains(&top));
    ship.ok(&["pull", "--all", &beyond, "oci:out:again"]);
    let mut names: Vec<_> =
        fs::read_dir(ship.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["blobs", "index.json", "oci-layout"]);
    let listed: Value = serde_json::from_slice(&fs::read(ship.path("out/index.json")).unwrap()).unwrap();
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 2, "{listed}");
    ship.ok(&["validate", "oci:out:kept"]);
    ship.ok(&["push", "--all", "oci:out:again", &registry.image("round:1")]);
    assert_eq!(digest_at(&registry, "round:1"), top);

    // Its tags, and what they leave.
    ship.ok(&["tag", &there, "stable", "v1"]);
    assert_eq!(digest_at(&registry, "app:v1"), top);
    ship.ok(&["delete", &format!("{}@{top}", registry.image("app"))]);
    ship.fails(&["digest", &there], &["not found"]);
    let ran = ship.run(&["delete", &registry.image("app")]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}

#[test]
fn a_copy_takes_the_platforms_that_are_asked_for() {
    let what = "a_copy_takes_the_platforms_that_are_asked_for";
    let Some(Sea { ship, registry, .. }) = sea(what) else { return };
    ship.ok(&["push", "--all", "oci:source:t", &registry.image("app:1")]);
    let two = ["--platform", "linux/arm64", "--platform", "linux/amd64"];
    let copied = |source: &str, target: &str, options: &[&str]| {
        let mut words = vec!["copy", source, target];
        words.extend(options);
        ship.ok(&words);
    };
    // The same wherever it is made.
    copied(&registry.image("app:1"), &registry.image("two:1"), &two);
    copied("oci:source:t", &registry.image("two:2"), &two);
    copied(&registry.image("app:1"), "oci:two:3", &two);
    let made = digest_at(&registry, "two:1");
    assert_eq!(digest_at(&registry, "two:2"), made);
    assert!(text(&ship.ok(&["digest", "oci:two:3"]).stdout).contains(&made));
    let index: Value = serde_json::from_slice(&ship.ok(&["manifest", "--raw", "oci:two:3"]).stdout).unwrap();
    let platforms: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["platform"]["architecture"].clone())
        .collect();
    assert_eq!(platforms, ["amd64", "arm64", "unknown"]);
    ship.ok(&["validate", "oci:two:3"]);
    // One is its manifest.
    copied("oci:source:t", &registry.image("one:1"), &["--platform", "linux/s390x"]);
    let one: Value =
        serde_json::from_slice(&ship.ok(&["manifest", "--raw", &registry.image("one:1")]).stdout).unwrap();
    assert_eq!(one["mediaType"], MANIFEST);
    copied("oci:source:t", &registry.image("one:2"), &["--digest", &digest_at(&registry, "one:1")]);
    assert_eq!(digest_at(&registry, "one:2"), digest_at(&registry, "one:1"));
    ship.fails(
        &["copy", "oci:source:t", &registry.image("no:1"), "--platform", "linux/mips"],
        &["linux/mips"],
    );
}

#[test]
fn artifacts_and_signatures_go_along_as_they_are() {
    let what = "artifacts_and_signatures_go_along_as_they_are";
    let Some(Sea { ship, registry, top }) = sea(what) else { return };
    let Some(second) = Registry::start(what, &Options::default()) else { return };
    ship.ok(&["copy", "oci:source:chart", &registry.image("chart:1")]);
    ship.ok(&["copy", &registry.image("chart:1"), "oci:charts:1"]);
    let said: Value = serde_json::from_slice(&ship.ok(&["inspect", "oci:charts:1"]).stdout).unwrap();
    assert_eq!(said["artifactType"], "application/vnd.cncf.helm.config.v1+json");
    ship.ok(&["copy", "--all", "--referrers", "oci:source:t", &registry.image("app:1")]);
    ship.ok(&["copy", "--all", "--referrers", &registry.image("app:1"), &second.image("app:1")]);
    ship.ok(&["copy", "--all", "--referrers", &second.image("app:1"), "oci:signed:1"]);
    for place in [&registry, &second] {
        let ran = ship.ok(&["referrers", "--json", &place.image("app:1")]);
        let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!(said["subject"], json!(top));
        assert_eq!(said["referrers"][0]["artifactType"], "application/x.signature", "{said}");
    }
    let listed: Value = serde_json::from_slice(&fs::read(ship.path("signed/index.json")).unwrap()).unwrap();
    assert_eq!(listed["manifests"][1]["artifactType"], "application/x.signature", "{listed}");
    // What is signed is not changed on the way.
    let ran = ship.run(&["copy", "--referrers", "--format", "docker", "oci:source:t", "oci:x:1"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}

#[test]
fn other_formats_and_packings_hold() {
    let what = "other_formats_and_packings_hold";
    let Some(Sea { ship, registry, .. }) = sea(what) else { return };
    let amd = ["--platform", "linux/amd64"];
    let copy = |source: &str, target: &str, options: &[&str]| {
        ship.ok(&[&["copy", source, target][..], options, &amd].concat());
    };
    copy("oci:source:t", &registry.image("app:oci"), &[]);
    copy("oci:source:t", &registry.image("app:docker"), &["--format", "docker"]);
    copy(&registry.image("app:docker"), &registry.image("app:back"), &["--format", "oci"]);
    let kind = |name: &str| -> Value {
        serde_json::from_slice(&ship.ok(&["manifest", "--raw", &registry.image(name)]).stdout).unwrap()
    };
    assert_eq!(kind("app:docker")["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(kind("app:back")["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    copy(&registry.image("app:oci"), &registry.image("app:zstd"), &["--compress", "zstd:1"]);
    assert_eq!(kind("app:zstd")["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    assert_eq!(kind("app:zstd")["config"]["digest"], kind("app:oci")["config"]["digest"]);
    // The same tree: every diff_id holds.
    ship.ok(&["validate", &registry.image("app:zstd")]);
    copy(&registry.image("app:oci"), "oci:packed:1", &["--compress", "zstd:1"]);
    ship.ok(&["validate", "oci:packed:1"]);
    let packed = text(&ship.ok(&["digest", "oci:packed:1"]).stdout);
    assert!(packed.contains(&digest_at(&registry, "app:zstd")), "{packed}");
}

#[test]
fn a_repository_is_kept_in_step() {
    let what = "a_repository_is_kept_in_step";
    let Some(Sea { ship, registry, top }) = sea(what) else { return };
    let Some(second) = Registry::start(what, &Options::default()) else { return };
    ship.ok(&["push", "--all", "oci:source:t", &registry.image("app:1.0"), "--tag", "1.1", "--tag", "2.0"]);
    ship.ok(&[
        "copy",
        "--all",
        "--sync",
        "--tags",
        "1.*",
        &registry.image("app"),
        &second.image("mirror/app"),
    ]);
    let tags = text(&ship.ok(&["tags", &second.image("mirror/app")]).stdout);
    let mut tags: Vec<_> = tags.lines().collect();
    tags.sort_unstable();
    assert_eq!(tags, ["1.0", "1.1"]);
    assert_eq!(digest_at(&second, "mirror/app:1.1"), top);
    ship.ok(&["copy", "--all", "--sync", &registry.image("app"), "oci:kept"]);
    for tag in ["1.0", "1.1", "2.0"] {
        ship.ok(&["validate", &format!("oci:kept:{tag}")]);
    }
    ship.fails(&["copy", "--sync", "--tags", "9.*", &registry.image("app"), "oci:kept"], &["not found"]);
}

#[test]
fn what_goes_from_one_registry_to_another_needs_no_disk() {
    let what = "what_goes_from_one_registry_to_another_needs_no_disk";
    let Some(Sea { ship, registry, .. }) = sea(what) else { return };
    let Some(second) = Registry::start(what, &Options::default()) else { return };
    if !tools::root(what) {
        return;
    }
    let mut layout = Layout::new();
    let layer = |seed, len| Layer::new().file("data", &Meta::mode(0o644), noise(seed, len)).finish();
    let tars: Vec<Vec<u8>> =
        [(1, 24 << 20), (2, 20 << 20), (3, 90_000)].map(|(seed, len)| layer(seed, len)).into();
    let layers: Vec<_> = tars.iter().map(|tar| (&tar[..], Compression::None)).collect();
    let image = layout.image(("linux", "amd64"), &layers, &json!({}), &["a", "b", "c"]);
    layout.tag("large", &image);
    layout.write(&ship.path("large"));
    let top = image["digest"].as_str().unwrap();
    let from = registry.image("large:1");
    ship.ok(&["push", "--all", "oci:large:large", &from]);
    let _small = Small::mount(ship.path("small"), 400);
    let copy = |to: &str| {
        let mut command = ship.command(&["copy", "--all", &from, to]);
        command.env("TMPDIR", ship.path("small")).env("WHARFIE_STORE", ship.path("small/store"));
        run(&mut command)
    };
    let ran = copy(&second.image("large:1"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(digest_at(&second, "large:1"), top);
    // What went out and was lost has to be fetched again.
    let refused = AtomicUsize::new(0);
    let proxy = FaultProxy::start(second.address(), move |request, _| {
        let goes_up = request.method == "PUT" && request.path().contains("/blobs/uploads/");
        if goes_up && request.body.len() > 10 << 20 && refused.fetch_add(1, Ordering::Relaxed) < 3 {
            Fault::answer(Response::new(503))
        } else {
            Fault::none()
        }
    });
    let ran = copy(&proxy.image("again:1"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(digest_at(&second, "again:1"), top);
}

#[test]
fn a_failed_push_moves_no_tag() {
    let what = "a_failed_push_moves_no_tag";
    let Some(Sea { ship, registry, top }) = sea(what) else { return };
    // Each upload fails twice: all of it comes all the same.
    let proxy = FaultProxy::start(registry.address(), |request, seen| {
        let goes_up = matches!(request.method.as_str(), "PUT" | "PATCH");
        if goes_up && seen.same < 2 { Fault::answer(Response::new(503)) } else { Fault::none() }
    });
    ship.ok(&["push", "--all", "oci:source:t", &proxy.image("app:1")]);
    assert_eq!(digest_at(&registry, "app:1"), top);
    // A blob that never comes: nothing has a name.
    let proxy = FaultProxy::start(registry.address(), |request, _| {
        let is_upload = request.path().contains("/blobs/uploads/");
        let goes_up = matches!(request.method.as_str(), "PUT" | "PATCH") && is_upload;
        if goes_up { Fault::answer(Response::new(500)) } else { Fault::none() }
    });
    ship.fails(&["push", "--all", "--retries", "1", "oci:source:t", &proxy.image("other:1")], &["500"]);
    ship.fails(&["digest", &registry.image("other:1")], &["not found"]);
    // Interrupted while a blob goes up: the same.
    let proxy = FaultProxy::start(registry.address(), |request, _| Fault {
        pace: (request.method == "PUT").then_some(Duration::from_secs(20)),
        ..Fault::none()
    });
    let mut child = ship.start(&["push", "--all", "oci:source:t", &proxy.image("third:1")]);
    wait_until(Duration::from_secs(20), || proxy.passed().iter().any(|it| it.method == "PUT"));
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    ship.fails(&["digest", &registry.image("third:1")], &["not found"]);
    ship.ok(&["push", "--all", "oci:source:t", &registry.image("third:1")]);
    assert_eq!(digest_at(&registry, "third:1"), top);
}

#[test]
fn credentials_go_to_whom_they_are_for() {
    let what = "credentials_go_to_whom_they_are_for";
    let users: &[(&str, &str)] = &[("ship", "wright")];
    let Some(Sea { ship, registry, top }) = sea(what) else { return };
    let Some(closed) = Registry::start(what, &Options { users, ..Options::default() }) else { return };
    ship.ok(&["push", "--all", "oci:source:t", &registry.image("app:1")]);
    let (from, to) = (registry.image("app:1"), closed.image("app:1"));
    ship.fails(&["copy", "--all", &from, &to], &["unauthorized"]);
    let ran = ship.run(&["copy", "--all", "--creds", "ship:wright", &from, &to]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    ship.ok(&["copy", "--all", "--dest-creds", "ship:wright", &from, &to]);
    ship.ok(&["copy", "--all", "--src-creds", "ship:wright", &to, &registry.image("back:1")]);
    assert_eq!(digest_at(&registry, "back:1"), top);
    ship.ok(&["push", "--all", "--creds", "ship:wright", "oci:source:t", &closed.image("app:2")]);
}

#[test]
fn tokens_die_while_it_goes_up() {
    let what = "tokens_die_while_it_goes_up";
    let tokens = TokenServer::start(token::Options {
        users: vec![("ship".to_owned(), "wright".to_owned())],
        lives: Duration::from_secs(1),
        ..token::Options::default()
    });
    let options = Options { tokens: Some(tokens.auth()), ..Options::default() };
    let Some(registry) = Registry::start(what, &options) else { return };
    let ship = Ship::new();
    let top = make(&ship.path("source"));
    let proxy = FaultProxy::start(registry.address(), |request, _| Fault {
        // By the time the manifests go up every token is dead.
        pace: matches!(request.method.as_str(), "PUT" | "PATCH").then_some(Duration::from_millis(300)),
        ..Fault::none()
    });
    let image = proxy.image("app:1");
    ship.ok(&["push", "--all", "--jobs", "1", "--creds", "ship:wright", "oci:source:t", &image]);
    let ran = ship.ok(&["digest", "--creds", "ship:wright", &image]);
    assert!(text(&ran.stdout).contains(&top));
    let asked = tokens.asked();
    assert!(asked.iter().any(|it| it.scopes.iter().any(|scope| scope.contains("push"))), "{asked:?}");
    assert!(asked.len() > 1, "{asked:?}");
}

#[test]
fn what_is_embedded_only_is_carried() {
    let ship = Ship::new();
    let mut layout = Layout::new();
    let tar = Layer::new().file("data", &Meta::mode(0o644), noise(5, 900)).finish();
    let layers = [(&tar[..], Compression::Gzip)];
    let image = layout.image(("linux", "amd64"), &layers, &json!({}), &["one"]);
    let written = |layout: &Layout| {
        let _ = fs::remove_dir_all(ship.path("source"));
        layout.write(&ship.path("source"));
    };
    written(&layout);
    let at = |digest: &Value| {
        ship.path("source/blobs").join(digest.as_str().unwrap_or_default().replace(':', "/"))
    };
    let mut manifest: Value = serde_json::from_slice(&fs::read(at(&image["digest"])).unwrap()).unwrap();
    let mut gone = Vec::new();
    for pointer in ["/config", "/layers/0"] {
        let descriptor = manifest.pointer_mut(pointer).unwrap();
        let data = fs::read(at(&descriptor["digest"])).unwrap();
        descriptor["data"] = STANDARD.encode(&data).into();
        gone.push((descriptor["digest"].clone(), data));
    }
    let mut embedding = layout.blob(MANIFEST, manifest.to_string().into_bytes());
    embedding["platform"] = image["platform"].clone();
    layout.tag("t", &embedding);
    written(&layout);
    for (digest, _) in &gone {
        fs::remove_file(at(digest)).unwrap();
    }
    let platform = ["--platform", "linux/amd64"];
    for place in ["oci:out:t", "oci-archive:out.tar:t", "dir:flat", "docker-archive:docker.tar:t:1"] {
        ship.ok(&[&["copy", "oci:source:t", place][..], &platform].concat());
        ship.ok(&[&["validate", place][..], &platform].concat());
    }
    for (digest, data) in &gone {
        let path = ship.path("out/blobs").join(digest.as_str().unwrap().replace(':', "/"));
        assert_eq!(&fs::read(path).unwrap(), data);
    }
    ship.ok(&[&["copy", "--compress", "zstd", "oci:source:t", "oci:out:zstd"][..], &platform].concat());
    ship.ok(&[&["save", "oci:source:t", "--name", "t:1", "-o", "saved.tar"][..], &platform].concat());
    ship.ok(&[&["load", "-i", "oci:source:t", "--into", "loaded"][..], &platform].concat());
    for place in ["oci:out:zstd", "saved.tar", "oci:loaded:t"] {
        ship.ok(&[&["validate", place][..], &platform].concat());
    }
}
