//! Images without a Dockerfile: what `create`, `append`, `mutate` and `flatten` make is the same each time, and other tools
//! read it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testbed::image::Layout;
use testbed::layer::{Compression, Layer, Meta};
use testbed::registry::{Options, Registry};
use testbed::{tools, tree};

use crate::ship::Ship;

const AMD64: [&str; 2] = ["--platform", "linux/amd64"];

/// A directory with links, modes and a time of now.
fn fill(root: &Path) {
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/motd"), "ahoy\n").unwrap();
    fs::hard_link(root.join("etc/motd"), root.join("etc/same")).unwrap();
    symlink("motd", root.join("etc/link")).unwrap();
    fs::write(root.join("run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("run"), fs::Permissions::from_mode(0o4755)).unwrap();
}

fn ship() -> Ship {
    let ship = Ship::new();
    fill(&ship.path("root"));
    let tar = Layer::new().dir("srv", &Meta::mode(0o755)).file("srv/data", &Meta::mode(0o600), vec![3; 9000]);
    fs::write(ship.path("layer.tar"), tar.finish()).unwrap();
    ship
}

fn ok(ship: &Ship, words: &[&str]) -> String {
    String::from_utf8(ship.ok(&[words, &AMD64].concat()).stdout).unwrap()
}

fn digest(line: &str) -> &str {
    line.trim().rsplit('@').next().unwrap()
}

fn document(ship: &Ship, command: &str, name: &str) -> Value {
    serde_json::from_str(&ok(ship, &[command, "--raw", name])).unwrap()
}

const CREATE: &[&str] = &[
    "create",
    "layer.tar",
    "root:/opt",
    "root/run:/run",
    "--entrypoint",
    "/opt/run",
    "--env",
    "A=1=2",
    "--label",
    "l=x",
];
const TAG: &[&str] = &["--tag", "mine:1"];

#[test]
fn the_same_input_gives_the_same_digest() {
    let (one, other) = (ship(), ship());
    let first = ok(&one, &[CREATE, TAG].concat());
    // In another directory, at another time, and in the order in which another disk lists it.
    fs::remove_dir_all(other.path("root")).unwrap();
    fs::create_dir(other.path("root")).unwrap();
    fs::write(other.path("root/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(other.path("root/run"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::create_dir(other.path("root/etc")).unwrap();
    fs::write(other.path("root/etc/same"), "ahoy\n").unwrap();
    symlink("motd", other.path("root/etc/link")).unwrap();
    fs::hard_link(other.path("root/etc/same"), other.path("root/etc/motd")).unwrap();
    assert_eq!(first, ok(&other, &[CREATE, TAG].concat()));
    // A date is an input too.
    let dated = ok(&one, &[CREATE, TAG, &["--created", "2024-02-03T04:05:06Z"]].concat());
    assert_ne!(first, dated);
    let config = document(&one, "config", "mine:1");
    assert_eq!(config["created"], "2024-02-03T04:05:06Z");
    let history = config["history"].as_array().unwrap();
    assert_eq!(history.iter().filter(|line| line["empty_layer"] != true).count(), 3, "{config}");
    assert_eq!(config["config"]["Entrypoint"], json!(["/opt/run"]));
    assert_eq!(config["config"]["Env"], json!(["A=1=2"]));
    // It is there without any registry, and whole.
    ok(&one, &["validate", "mine:1"]);
    assert_eq!(ok(&one, &["cat", "mine:1", "opt/etc/same"]), "ahoy\n");
}

#[test]
fn other_tools_read_what_is_made() {
    let what = "other_tools_read_what_is_made";
    if !tools::root(what) || !tools::have(what, &["umoci", "skopeo"]) {
        return;
    }
    let ship = ship();
    ok(&ship, &[CREATE, &["--output", "oci:made:1"]].concat());
    ok(&ship, &["append", "oci:made:1", "-f", "root:/later", "--output", "oci:made:2"]);
    ok(&ship, &["flatten", "oci:made:2", "--output", "oci:made:3"]);
    let by_umoci = |tag: &str| {
        let bundle = ship.path("bundle");
        drop(fs::remove_dir_all(&bundle));
        let image = format!("{}:{tag}", ship.path("made").display());
        tools::run(tools::command("umoci").args(["unpack", "--image", &image]).arg(&bundle));
        let mut tree = tree::read_folder(&bundle.join("rootfs")).unwrap();
        tree.remove(&[][..]);
        tree
    };
    for tag in ["1", "2", "3"] {
        let tar = ship.ok(&[&["export", &format!("oci:made:{tag}"), "-o", "-"][..], &AMD64].concat()).stdout;
        let mut ours = tree::read_tar(&tar[..]).unwrap();
        ours.remove(&[][..]);
        tree::assert_same(("wharfie", &ours), ("umoci", &by_umoci(tag)));
    }
    assert!(by_umoci("2").contains_key(&b"later/etc/motd"[..]));
    tree::assert_same(("three layers and one", &by_umoci("2")), ("flattened", &by_umoci("3")));
    let manifest = document(&ship, "manifest", "oci:made:3");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    let mut skopeo = Command::new(tools::which("skopeo").unwrap());
    skopeo.args(["inspect", "--config"]).arg(format!("oci:{}:2", ship.path("made").display()));
    let config: Value = serde_json::from_slice(&tools::run(&mut skopeo).stdout).unwrap();
    assert_eq!(config["config"]["Labels"], json!({"l": "x"}));
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 4);
}

#[test]
fn an_image_on_a_registry_is_changed_there() {
    let what = "an_image_on_a_registry_is_changed_there";
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    let ship = ship();
    let mut layout = Layout::new();
    let layer = Layer::new().file("a", &Meta::mode(0o644), vec![5; 200_000]).finish();
    let run = json!({"Cmd": ["old"], "Env": ["PATH=/bin"]});
    let images = ["amd64", "arm64"].map(|architecture| {
        layout.image(("linux", architecture), &[(&layer, Compression::Gzip)], &run, &["made"])
    });
    let index = layout.index(&images);
    layout.tag("t", &index);
    layout.write(&ship.path("source"));
    ship.ok(&["push", "--all", "oci:source:t", &registry.image("base:1")]);
    let (base, made) = (registry.image("base:1"), registry.image("team/made:1"));
    // The layers of the base are mounted, and the new one alone is sent.
    let said = ok(&ship, &["append", &base, "-f", "layer.tar", "--output", &made, "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["layers"], &said["mounted"]), (&json!(2), &json!(1)), "{said}");
    ok(&ship, &["validate", &made]);

    let changed = registry.image("team/made:2");
    let line = ok(
        &ship,
        &[
            "mutate",
            &made,
            "--cmd",
            "new,words",
            "--user",
            "7:8",
            "--annotation",
            "k=v",
            "--unset",
            "env=PATH",
            "--output",
            &changed,
        ],
    );
    let config = document(&ship, "config", &changed);
    assert_eq!(
        (&config["config"]["Cmd"], &config["config"]["User"]),
        (&json!(["new", "words"]), &json!("7:8"))
    );
    assert_eq!(config["config"].get("Env"), None, "{config}");
    assert_eq!(document(&ship, "manifest", &changed)["annotations"]["k"], "v");
    assert!(ship.ok(&["digest", &changed]).stdout.starts_with(digest(&line).as_bytes()));

    // Every platform of an index.
    let all = registry.image("team/all:1");
    ship.ok(&["mutate", "--all", &base, "--label", "l=1", "--output", &all]);
    let index: Value = serde_json::from_slice(&ship.ok(&["manifest", "--raw", &all]).stdout).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    for platform in ["linux/amd64", "linux/arm64"] {
        let raw = ship.ok(&["config", "--raw", &all, "--platform", platform]).stdout;
        let config: Value = serde_json::from_slice(&raw).unwrap();
        assert_eq!(config["config"]["Labels"], json!({"l": "1"}), "{platform}");
    }
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    let ship = ship();
    fs::write(ship.path("not.tar"), "no tar at all, and long enough to be seen as none").unwrap();
    let cases: [(&[&str], &str); 4] = [
        (&["create", "not.tar", "--tag", "x:1"], "not.tar"),
        (&["create", "missing.tar", "--tag", "x:1"], "missing.tar"),
        (&["append", "oci:nowhere:1", "-f", "layer.tar", "--tag", "x:1"], "nowhere"),
        (&["create", "layer.tar", "--output", "oci:root:1"], "root"),
    ];
    for (words, says) in cases {
        let ran = ship.run(words);
        assert!(matches!(ran.code, Some(1 | 2)), "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{words:?}: {}", ran.stderr);
    }
    assert!(!ship.path("nowhere").exists());
    assert_eq!(fs::read_dir(ship.path("root")).unwrap().count(), 2);
    ship.fails(&["digest", "--offline", "x:1"], &["x:1"]);
}
