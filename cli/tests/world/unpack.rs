//! A real distribution into a directory: what `umoci unpack` makes of it, and nothing where it was stopped.

use std::fs;
use std::path::Path;
use std::time::Duration;

use testbed::debian::Debian;
use testbed::{tools, tree};

use crate::ship::{Ship, signal, wait_until};

fn fixture(what: &str) -> Option<Debian> {
    if !tools::root(what) || !tools::have(what, &["umoci"]) {
        return None;
    }
    Debian::fixture(what)
}

#[test]
fn unpack_equals_umoci_and_tar_entry_by_entry_and_runs() {
    let Some(debian) = fixture("unpacking Debian") else { return };
    let ship = Ship::new();
    let source = debian.source(Debian::TAG);
    let ran = ship.ok(&["unpack", &source, "root", "--json", "-q"]);
    assert!(ran.stderr.contains("\"lacking\":[]"), "{}", ran.stderr);
    let ours = tree::read_folder(&ship.path("root")).unwrap();

    let bundle = ship.path("bundle");
    let image = format!("{}:{}", debian.layout.display(), Debian::TAG);
    tools::run(tools::command("umoci").args(["unpack", "--image", &image]).arg(&bundle));
    tree::assert_same(("wharfie", &ours), ("umoci", &tree::read_folder(&bundle.join("rootfs")).unwrap()));

    ship.ok(&["export", &source, "-o", "debian.tar"]);
    fs::create_dir(ship.path("by-tar")).unwrap();
    tools::run(
        tools::command("tar")
            .args(["-x", "-p", "--same-owner", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f"])
            .arg(ship.path("debian.tar"))
            .arg("-C")
            .arg(ship.path("by-tar")),
    );
    tree::assert_same(("unpack", &ours), ("tar", &tree::read_folder(&ship.path("by-tar")).unwrap()));

    let list = tools::run(tools::command("chroot").arg(ship.path("root")).args(["dpkg", "-l"]));
    assert!(String::from_utf8_lossy(&list.stdout).lines().any(|line| line.starts_with("ii  dpkg ")));
}

#[test]
fn few_descriptors_are_enough() {
    let Some(debian) = fixture("unpacking with few descriptors") else { return };
    let ship = Ship::new();
    let words = ["unpack", &debian.source(Debian::TAG), "root", "-q", "--jobs", "2"];
    let binary = ship.command(&words);
    let mut limited = tools::command("sh");
    limited
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
        .arg(binary.get_program())
        .args(binary.get_args());
    limited.current_dir(ship.path("")).env("HOME", ship.path(""));
    tools::run(&mut limited);
    assert!(ship.path("root/etc/motd").is_file());
}

/// The directory that is being built in the folder.
fn unfinished(folder: &Path) -> Option<std::path::PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".wharfie-")))
}

#[test]
fn an_interrupted_unpacking_leaves_nothing() {
    let Some(debian) = fixture("an interrupted unpacking") else { return };
    let source = debian.source(Debian::TAG);
    for (signals, until_written) in [(1, false), (1, true), (2, false), (2, true)] {
        let ship = Ship::new();
        fs::create_dir(ship.path("out")).unwrap();
        let out = ship.path("out");
        let mut child = ship.start(&["unpack", &source, "out/root", "--jobs", "1"]);
        let begun = || unfinished(&out).is_some_and(|path| !until_written || path.join("usr/share").is_dir());
        let mut ended = false;
        wait_until(Duration::from_secs(60), || {
            ended = child.try_wait().unwrap().is_some();
            begun() || ended
        });
        if !ended {
            for _ in 0..signals {
                signal(&child, "INT");
            }
        }
        let status = child.wait().unwrap();
        if status.success() {
            // It was faster.
            assert!(out.join("root/etc").is_dir());
            continue;
        }
        assert_eq!(status.code(), Some(130));
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "{signals} signals");
    }
}
