//! Which image of an index, and the sample that is built in.

use std::fs;
use std::process::Command;

use testbed::debian::Debian;
use testbed::image::digest;
use testbed::registry::{Options, Registry};
use testbed::tree::{self, Kind};
use testbed::{sample, tools};

use crate::ship::Ship;

fn here() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

#[test]
fn the_sample_needs_no_registry() {
    let ship = Ship::new();
    for architecture in ["amd64", "arm64"] {
        let platform = format!("linux/{architecture}");
        let file = format!("{architecture}.tar");
        ship.ok(&["export", "sample:", "--platform", &platform, "-o", &file]);
        let tree = tree::read_tar(fs::File::open(ship.path(&file)).unwrap()).unwrap();
        let at = |name: &str| tree.get(name.as_bytes());
        let mut shown: Vec<String> =
            tree.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        shown.retain(|name| !name.is_empty());
        assert_eq!(shown, NAMES.split_whitespace().collect::<Vec<_>>());
        // L13: the program lives on under its other name, as itself and not as a link to what is gone.
        let hello = at("usr/bin/hello").unwrap();
        assert!(matches!(hello.kind, Kind::File(..)) && hello.shares.is_none() && hello.mode == 0o755);
        // L4: implied by the last layer, made by the first.
        assert_eq!((at("home/wharfie").unwrap().uid, at("home/wharfie").unwrap().mode), (1000, 0o750));
        assert_eq!(at("opt/pier").unwrap().kind, Kind::Symlink(b"../usr/share/tides".to_vec()));
        assert_eq!(at("srv/ledger").unwrap().mode, 0o4750);
        assert_eq!(at("srv").unwrap().mode, 0o2775);
        assert_eq!(at("tmp").unwrap().mode, 0o1777);
        assert_eq!(at("srv/horn").unwrap().kind, Kind::Fifo);
        let name = b"srv/crate".to_vec();
        for other in ["srv/crate", "srv/crate-again"] {
            assert_eq!(at(other).unwrap().shares.as_ref(), Some(&name));
            assert_eq!(at(other).unwrap().xattrs[&b"user.cargo"[..]], b"\x00bananas\xff");
        }
    }
    let folder = ship.path("root");
    fs::create_dir(&folder).unwrap();
    tools::run(
        Command::new("tar").arg("-xf").arg(ship.path(&format!("{}.tar", here()))).arg("-C").arg(&folder),
    );
    let program = folder.join("usr/bin/hello");
    let said = tools::run(&mut Command::new(program)).stdout;
    assert_eq!(
        String::from_utf8_lossy(&said),
        format!("hello from the wharfie sample, made for linux/{}\n", here())
    );
}

/// Every name of the sample's root, as overlayfs would show it.
const NAMES: &str = "bin bin/sh etc etc/group etc/motd etc/os-release etc/passwd home home/wharfie home/wharfie/papers \
    opt opt/pier srv srv/crate srv/crate-again srv/horn srv/ledger tmp usr usr/bin usr/bin/hello usr/share \
    usr/share/doc usr/share/doc/harbour \
    usr/share/doc/harbour/a-very-long-chapter-about-the-loading-and-unloading-of-ships-in-all-weathers-and-at-every-state-of-the-tide.txt \
    usr/share/doc/harbour/Æøå-läger.txt usr/share/doc/hello usr/share/doc/hello/README usr/share/tides \
    usr/share/tides/harbour usr/share/tides/latest.csv usr/share/tides/tides.csv var var/cache var/cache/fresh";

#[test]
fn the_sample_is_the_same_from_a_registry() {
    let what = "the sample from a registry";
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    if !tools::have(what, &["skopeo"]) {
        return;
    }
    let ship = Ship::new();
    sample::layout().write(&ship.path("layout"));
    registry.push(&format!("oci:{}:sample", ship.path("layout").display()), "harbour/sample:1", &["--all"]);
    let built_in = ship.ok(&["export", "sample:", "-o", "-"]).stdout;
    assert!(ship.ok(&["export", &registry.image("harbour/sample:1"), "-o", "-"]).stdout == built_in);
    let layout = format!("oci:{}:sample", ship.path("layout").display());
    assert!(ship.ok(&["export", &layout, "-o", "-"]).stdout == built_in);
}

#[test]
fn an_index_gives_this_machines_image_and_says_what_it_took() {
    let what = "platforms of Debian";
    let Some(debian) = Debian::fixture(what) else { return };
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    registry.push(&debian.source(Debian::MULTI), "debian:multi", &["--all"]);
    let image = registry.image("debian:multi");
    let ship = Ship::new();
    let pulled = ship.ok(&["pull", &image]);
    assert!(
        pulled.stderr.contains(&format!("linux/{}", here())),
        "what was chosen is said:\n{}",
        pulled.stderr
    );
    let config: serde_json::Value = serde_json::from_slice(&ship.ok(&["config", &image]).stdout).unwrap();
    assert_eq!(config["architecture"], here());

    let other = if here() == "amd64" { "arm64" } else { "amd64" };
    let config = ship.ok(&["config", &image, "--platform", &format!("linux/{other}")]);
    let config: serde_json::Value = serde_json::from_slice(&config.stdout).unwrap();
    assert_eq!(config["architecture"], other);
    // Names that mean the same.
    let alias = if other == "arm64" { "linux/aarch64" } else { "linux/x86_64" };
    ship.ok(&["config", &image, "--platform", alias]);

    let refused = ship.fails(&["pull", &image, "--platform", "linux/s390x"], &["linux/s390x"]);
    assert!(
        refused.stderr.contains("arm64") && refused.stderr.contains("amd64"),
        "what there is: {}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("unknown/unknown"), "{}", refused.stderr);

    // The index itself, byte for byte.
    let raw = ship.ok(&["manifest", "--raw", &image]).stdout;
    let said = ship.ok(&["digest", &image]).stdout;
    assert_eq!(String::from_utf8_lossy(&said).trim(), digest(&raw));
    assert_eq!(raw, fs::read(registry.blob_path(&digest(&raw))).unwrap());
}
