//! The directory that is named: absent or empty before, whole or as it was afterwards.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use testbed::layer::{Layer, Meta};
use wharfie_core::Digest;

use super::{Scene, UnpackOptions, unpack};

fn rootless(options: &mut UnpackOptions) {
    options.rootless = true;
}

fn small() -> Vec<Vec<u8>> {
    vec![Layer::new().file("d/f", &Meta::mode(0o644), "content").finish()]
}

#[test]
fn an_empty_directory_is_replaced_and_anything_else_is_refused() {
    let scene = Scene::new();
    let root = scene.root();
    fs::create_dir(&root).unwrap();
    scene.unpack(&small(), rootless).unwrap();
    assert_eq!(fs::read(root.join("d/f")).unwrap(), b"content");

    type Make = fn(&Path);
    let in_the_way: [Make; 4] = [
        |at| fs::write(at, "mine").unwrap(),
        |at| symlink("elsewhere", at).unwrap(),
        |at| {
            fs::create_dir(at.with_file_name("elsewhere")).unwrap();
            symlink("elsewhere", at).unwrap();
        },
        |at| {
            fs::create_dir(at).unwrap();
            fs::write(at.join("mine"), "mine").unwrap();
        },
    ];
    for make in in_the_way {
        let scene = Scene::new();
        make(&scene.root());
        let before = testbed::tree::read_folder(&scene.out()).unwrap();
        let error = scene.unpack(&small(), rootless).unwrap_err();
        assert_eq!(error.code(), "already_exists", "{error}");
        assert!(error.hint().is_some() && error.place().path.is_some());
        testbed::tree::assert_same(
            ("before", &before),
            ("after", &testbed::tree::read_folder(&scene.out()).unwrap()),
        );
    }
    let scene = Scene::new();
    let mut options = UnpackOptions::default();
    options.rootless = true;
    let missing = scene.out().join("no/such");
    let error = unpack(&scene.image(&small()), &options, &missing, &()).unwrap_err();
    assert_eq!(error.code(), "not_found", "{error}");
    assert!(scene.beside().is_empty());
}

#[test]
fn a_failure_leaves_nothing() {
    let scene = Scene::new();
    let mut image = scene.image(&small());
    image.diff_ids = Some(vec![Digest::sha256(b"another")]);
    let mut options = UnpackOptions::default();
    options.rootless = true;
    let error = unpack(&image, &options, &scene.root(), &()).unwrap_err();
    assert_eq!(error.code(), "diff_id_mismatch");
    assert!(scene.beside().is_empty());

    // While it is written.
    options.cancel.cancel();
    let error = unpack(&scene.image(&small()), &options, &scene.root(), &()).unwrap_err();
    assert_eq!(error.code(), "cancelled");
    assert!(scene.beside().is_empty());
}

#[test]
fn names_may_be_longer_than_a_path_and_are_removed_again() {
    let scene = Scene::new();
    let deep = ["long-name-of-a-directory"; 2_000].join("/");
    let tars = vec![Layer::new().file(&format!("{deep}/leaf"), &Meta::mode(0o644), "at the bottom").finish()];
    scene.unpack(&tars, rootless).unwrap();
    let found =
        testbed::tools::run(testbed::tools::command("find").arg(scene.root()).args(["-name", "leaf"]));
    drop(found);
    let count = std::process::Command::new("find").arg(scene.root()).args(["-type", "d"]).output().unwrap();
    assert_eq!(count.stdout.iter().filter(|byte| **byte == b'\n').count(), 2_001);
    testbed::tools::run(testbed::tools::command("rm").arg("-rf").arg(scene.root()));
    // A name beside it that no file system takes makes it fail when most is there; that is removed by our own hand.
    let long = "n".repeat(300);
    let tars = vec![
        Layer::new()
            .file(&format!("{deep}/leaf"), &Meta::mode(0o644), "at the bottom")
            .file(&long, &Meta::mode(0o644), "")
            .finish(),
    ];
    let error = scene.unpack(&tars, rootless).unwrap_err();
    assert_eq!(error.code(), "unsupported_by_target", "{error}");
    assert!(scene.beside().is_empty());
}
