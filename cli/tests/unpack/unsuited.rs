//! File systems that cannot hold what a tree needs (L28), and users who are not root.

use std::fs;
use std::path::{Path, PathBuf};

use testbed::layer::{Layer, Meta};
use testbed::tools;
use wharfie_core::merge::{Lack, OnUnsupported};

use super::disks::{Disk, EXT4, EXT4_SMALL, NTFS, alone};
use super::{Scene, rich};

fn skip(options: &mut super::UnpackOptions) {
    options.on_unsupported = OnUnsupported::Skip;
}

#[test]
fn times_that_small_inodes_cannot_hold_are_found_out() {
    let what = "times";
    let Some(disk) = Disk::mount(what, &EXT4_SMALL) else { return };
    let scene = Scene::below(&disk.path());
    let item = |name: &str, seconds, nanos| super::Item {
        path: name.as_bytes().to_vec(),
        kind: super::Kind::File,
        link: Vec::new(),
        metadata: super::Metadata {
            mode: 0o644,
            mtime: super::Mtime { seconds, nanos },
            ..super::Metadata::default()
        },
        data: Vec::new(),
    };
    let tars =
        vec![super::stack::tar(&[item("whole", 5, 0), item("fraction", 5, 1), item("late", 1 << 33, 0)])];
    let error = scene.unpack(&tars, |_| {}).unwrap_err();
    assert_eq!(error.code(), "unsupported_by_target");
    let said = error.to_string();
    assert!(said.contains("mtimes (2: fraction, late)"), "{said}");
    assert!(error.hint().is_some() && scene.beside().is_empty());
    let report = scene.unpack(&tars, skip).unwrap();
    assert_eq!(report.lacks.count(Lack::Mtime), 2);
    assert_eq!(fs::read_dir(scene.root()).unwrap().count(), 3);
}

#[test]
fn a_mount_point_is_filled_and_stays() {
    let what = "a mount point";
    let Some(disk) = Disk::mount(what, &EXT4) else { return };
    let scene = Scene::new();
    let tars = rich();
    let mut options = super::UnpackOptions::default();
    options.temp_dir = Some(std::env::temp_dir());
    let mut image = scene.image(&tars);
    let before = fs::read_dir(disk.path()).unwrap().count();
    image.diff_ids.as_mut().unwrap().reverse();
    super::unpack(&image, &options, &disk.path(), &()).unwrap_err();
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), before, "as it was");
    super::unpack(&scene.image(&tars), &options, &disk.path(), &()).unwrap();
    let expected = super::flattened(&tars, &super::Options::default()).unwrap();
    let mut found = super::tree::read_folder(&disk.path()).unwrap();
    found.remove(&b"lost+found"[..]);
    super::tree::assert_same(("disk", &found), ("tar", &expected));
    let error = super::unpack(&scene.image(&tars), &options, &disk.path(), &()).unwrap_err();
    assert_eq!(error.code(), "already_exists");
}

/// Names that differ in case only, on a file system that folds it.
#[test]
fn names_that_cannot_be_held_are_found_before_anything_is_written() {
    if !alone("unsuited::names_that_cannot_be_held_are_found_before_anything_is_written") {
        return;
    }
    let Some(disk) = Disk::mount("names", &NTFS) else { return };
    let at = disk.path();
    let scene = Scene::below(&at);
    // As what is there shows it, so that nothing but names is lacking.
    let meta = Meta::mode(0o777);
    let tars = vec![
        Layer::new()
            .dir(".", &meta)
            .dir("d", &meta)
            .file("d/README", &meta, "upper")
            .file("d/readme", &meta, "lower")
            .file("d/\u{e4}", &meta, "one")
            .file("d/\u{c4}", &meta, "other")
            .file("d/a:b", &meta, "colon")
            .file("d/plain", &meta, "plain")
            .finish(),
    ];
    let error = scene.unpack(&tars, |_| {}).unwrap_err();
    assert_eq!(error.code(), "unsupported_by_target");
    let said = error.to_string();
    // This one does not even keep capitals: what it shows instead would be another name.
    assert!(said.contains("names (3: d/README, d/a:b, d/\u{c4})"), "{said}");
    assert!(scene.beside().is_empty());

    let report = scene.unpack(&tars, skip).unwrap();
    assert_eq!((report.lacks.count(Lack::Collision), report.lacks.count(Lack::Name)), (0, 3));
    let names = |path: PathBuf| {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(path).unwrap().map(name).collect();
        names.sort();
        names
    };
    assert_eq!(names(scene.root().join("d")), ["plain", "readme", "\u{e4}"]);
    assert_eq!(fs::read(scene.root().join("d/readme")).unwrap(), b"lower");
    fs::remove_dir_all(scene.root()).unwrap();

    scene.unpack(&tars, |options| options.on_unsupported = OnUnsupported::Rename).unwrap();
    let expected = ["%c3%84", "a%3ab", "plain", "readme", "readme~1", "\u{e4}"];
    assert_eq!(names(scene.root().join("d")), expected);
    assert_eq!(fs::read(scene.root().join("d/readme~1")).unwrap(), b"upper");
}

/// Without root, as umoci does it.
#[test]
fn rootless_records_owners_as_umoci_does() {
    let what = "unpacking without root";
    if !tools::root(what) || !tools::have(what, &["umoci", "setpriv"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let meta = Meta::mode(0o644);
    let layer = Layer::new()
        .dir(".", &Meta::mode(0o755))
        .file("root", &meta, "nothing is recorded")
        .file("user", &meta.clone().owner(1_000, 0), "u")
        .file("group", &meta.clone().owner(0, 300), "g")
        .file("both", &meta.clone().owner(4_000_000_000, 128), "b")
        .link("again", "both")
        .symlink("link", "both")
        .fifo("pipe", &Meta::mode(0o600))
        .finish();
    fs::write(at("layer.tar"), layer).unwrap();
    let image = format!("{}:t", at("layout"));
    tools::run(tools::command("umoci").args(["init", "--layout", &at("layout")]));
    tools::run(tools::command("umoci").args(["new", "--image", &image]));
    tools::run(tools::command("umoci").args(["raw", "add-layer", "--image", &image, &at("layer.tar")]));
    fs::copy(env!("CARGO_BIN_EXE_wharfie"), at("wharfie")).unwrap();
    tools::run(tools::command("chmod").args(["-R", "a+rwX", &at("")]));
    let nobody = || {
        let mut command = tools::command("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .env("HOME", at(""))
            .current_dir(dir.path());
        command
    };
    tools::run(nobody().args(["umoci", "unpack", "--rootless", "--image", &image, &at("bundle")]));
    let source = format!("oci:{image}");
    let refused = nobody().args([&at("wharfie"), "unpack", &source, &at("refused")]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("--rootless"), "{said}");
    let report = nobody()
        .args([&at("wharfie"), "unpack", "--rootless", "--json", "-q", &source, &at("ours")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&report.stderr);
    assert!(report.status.success(), "{said}");
    assert!(said.contains("\"recordedOwners\":3"), "{said}");
    let ours = testbed::tree::read_folder(Path::new(&at("ours"))).unwrap();
    let umoci = testbed::tree::read_folder(&Path::new(&at("bundle")).join("rootfs")).unwrap();
    testbed::tree::assert_same(("wharfie", &ours), ("umoci", &umoci));
}

#[test]
fn what_rootless_cannot_keep_is_counted() {
    let scene = Scene::new();
    let report = scene.unpack(&rich(), |options| options.rootless = true).unwrap();
    let lacks = &report.lacks;
    // The two names of `su` are one file.
    assert_eq!((lacks.count(Lack::SetId), lacks.count(Lack::Xattr), lacks.count(Lack::Owner)), (1, 2, 1));
    assert_eq!(lacks.recorded(), 2, "the root's and that of `su`");
    let mode = |name: &str| {
        std::os::unix::fs::MetadataExt::mode(&fs::symlink_metadata(scene.root().join(name)).unwrap()) & 0o7777
    };
    assert_eq!((mode("bin/su"), mode("closed"), mode("shared")), (0o755, 0, 0o3777));
    // What is closed to its own owner goes as well.
    assert!(tools::command("chmod").arg("-R").arg("u+rwx").arg(scene.root()).status().unwrap().success());
}
