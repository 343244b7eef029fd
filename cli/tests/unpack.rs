//! Stacks of layers into directories on real file systems. What needs root skips elsewhere, and says so.
#![cfg(target_os = "linux")]

#[allow(dead_code)]
#[path = "../../core/tests/merge/corpus.rs"]
mod corpus;
#[allow(dead_code)]
#[path = "../../core/tests/merge/model.rs"]
mod model;
#[allow(dead_code)]
#[path = "../../core/tests/merge/random.rs"]
mod random;
#[allow(dead_code)]
#[path = "../../core/tests/merge/stack.rs"]
mod stack;

#[path = "unpack/disks.rs"]
mod disks;
#[path = "unpack/held.rs"]
mod held;
#[path = "unpack/hostile.rs"]
mod hostile;
#[path = "unpack/stacks.rs"]
mod stacks;
#[path = "unpack/target.rs"]
mod target;
#[path = "unpack/unsuited.rs"]
mod unsuited;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use testbed::layer::{Layer, Meta};
use testbed::tools;
use testbed::tree::{self, Tree};
use wharfie::layers::{LocalImage, LocalLayer};
use wharfie::unpack::{Report, UnpackOptions, unpack};
use wharfie_core::image::Descriptor;
use wharfie_core::merge::{Options, Order};
use wharfie_core::tar::{Kind, Metadata, Mtime};
use wharfie_core::{Digest, Error, MediaType};

use stack::Item;

/// A folder with blobs in it, and one that holds the target `root`.
struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene::below(&std::env::temp_dir())
    }

    /// One on another file system.
    fn below(folder: &Path) -> Scene {
        let dir = tempfile::Builder::new().prefix("unpack-").tempdir_in(folder).unwrap();
        for name in ["blobs", "out"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Scene { dir }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn root(&self) -> PathBuf {
        self.out().join("root")
    }

    fn image(&self, tars: &[Vec<u8>]) -> LocalImage {
        let layers = tars
            .iter()
            .map(|tar| {
                let digest = Digest::sha256(tar);
                let path = self.dir.path().join("blobs").join(digest.hex());
                fs::write(&path, tar).unwrap();
                let media_type = MediaType::parse("application/vnd.oci.image.layer.v1.tar");
                LocalLayer::of_file(Descriptor::new(media_type, digest, tar.len() as u64), path)
            })
            .collect();
        LocalImage { layers, diff_ids: Some(tars.iter().map(|tar| Digest::sha256(tar)).collect()) }
    }

    fn unpack(&self, tars: &[Vec<u8>], change: impl FnOnce(&mut UnpackOptions)) -> Result<Report, Error> {
        let mut options = UnpackOptions::default();
        options.temp_dir = Some(std::env::temp_dir());
        change(&mut options);
        unpack(&self.image(tars), &options, &self.root(), &())
    }

    /// What is beside the target.
    fn beside(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        fs::read_dir(self.out()).unwrap().map(name).collect()
    }
}

/// The flattened tar as a tree.
fn flattened(tars: &[Vec<u8>], options: &Options) -> Result<Tree, Error> {
    let mut options = options.clone();
    options.order = Order::Canonical;
    let flat = stack::flatten(tars, &options, usize::MAX)?;
    Ok(tree::read_tar(&flat[..]).unwrap())
}

/// The tree on disk; a root that no layer has an entry for is no matter of a tar's.
fn on_disk(root: &Path, like: &Tree) -> Tree {
    let mut tree = tree::read_folder(root).unwrap();
    if !like.contains_key(&b""[..]) {
        let root = tree.remove(&b""[..]).unwrap();
        assert_eq!((root.mode, root.mtime), (0o755, (0, 0)), "an implied root (L4)");
    }
    tree
}

/// Everything that a directory can hold, in an image of two layers.
fn rich() -> Vec<Vec<u8>> {
    let meta = Meta::mode(0o644);
    let lower = Layer::new()
        .dir(".", &Meta::mode(0o751).owner(3, 4))
        .dir("etc", &Meta::mode(0o755))
        .file("etc/passwd", &meta, "root:x:0:0::/:/bin/sh\n")
        .file("etc/empty", &meta, "")
        .file("bin/su", &Meta::mode(0o6755).owner(5, 6), "set-id")
        .file("bin/ping", &Meta::mode(0o755).xattr("security.capability", CAPABILITY), "capable")
        .file("attributes", &meta.clone().xattr("user.a", b"\x00\xff").xattr("trusted.b", b"b"), "x")
        .link("bin/su-too", "bin/su")
        .symlink("sh", "/bin/su")
        .fifo("pipe", &Meta::mode(0o620).owner(7, 8))
        .dir("closed", &Meta::mode(0o000))
        .file("closed/inside", &Meta::mode(0o000), "closed")
        .dir("shared", &Meta::mode(0o3777))
        .file("shared/file", &Meta::mode(0o666), vec![b'x'; 700_000])
        .finish();
    let upper = Layer::new()
        .whiteout("etc/empty")
        .link("closed/su", "bin/su")
        .file("bin/ping6", &Meta::mode(0o755), vec![b'y'; 300_001])
        .finish();
    vec![lower, upper]
}

/// `cap_net_raw+ep`, version 2.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn all_kinds_and_metadata_are_exact() {
    if !tools::root("metadata on disk") {
        return;
    }
    let tars = rich();
    let expected = flattened(&tars, &Options::default()).unwrap();
    for jobs in [1, 2, 5] {
        let scene = Scene::new();
        let report = scene.unpack(&tars, |options| options.jobs = jobs.try_into().ok()).unwrap();
        assert!(report.lacks.is_empty(), "{:?}", report.lacks);
        tree::assert_same(("disk", &on_disk(&scene.root(), &expected)), ("tar", &expected));
        assert_eq!(scene.beside(), ["root"]);
    }
    // Nothing is handed on by the folder that it comes into: its group, its ACL.
    let scene = Scene::new();
    tools::run(tools::command("chmod").arg("2777").arg(scene.out()));
    std::os::unix::fs::chown(scene.out(), Some(11), Some(12)).unwrap();
    scene.unpack(&tars, |_| {}).unwrap();
    tree::assert_same(("disk", &on_disk(&scene.root(), &expected)), ("tar", &expected));
}

#[test]
fn holes_stay_holes() {
    let scene = Scene::new();
    let folder = scene.dir.path().join("sparse");
    fs::create_dir(&folder).unwrap();
    let file = fs::File::create(folder.join("file")).unwrap();
    file.set_len(40 << 20).unwrap();
    let write = |bytes: &[u8], at| std::os::unix::fs::FileExt::write_all_at(&file, bytes, at).unwrap();
    write(b"in the middle", 20 << 20);
    write(b"further", 30 << 20);
    let expected = fs::read(folder.join("file")).unwrap();
    for format in ["gnu", "pax"] {
        let tar = scene.dir.path().join("sparse.tar");
        tools::run(
            tools::command("tar")
                .args(["-S", "-cf"])
                .arg(&tar)
                .arg(format!("--format={format}"))
                .arg("-C")
                .arg(&folder)
                .arg("file"),
        );
        scene.unpack(&[fs::read(&tar).unwrap()], |options| options.rootless = !tools::is_root()).unwrap();
        let path = scene.root().join("file");
        assert!(fs::read(&path).unwrap() == expected, "{format}");
        let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap());
        assert!(blocks * 512 < 1 << 20, "{format}: {blocks} blocks");
        fs::remove_dir_all(scene.root()).unwrap();
    }
}
