//! The root of an image as other tools have it: umoci, GNU tar, what podman and buildah mount. Every difference is
//! intended and written down here, or a failure.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::debian::Debian;
use testbed::large::Large;
use testbed::tree::{self, Tree};
use testbed::{image, tools};

use crate::by_tar;
use crate::ship::Ship;

/// How a peer's tree differs from ours, and why that is right.
struct Difference {
    peer: &'static str,
    why: &'static str,
    /// Makes the peer's tree what it ought to be, and says whether there was anything to do.
    mend: fn(&mut Tree) -> bool,
}

/// All intended differences.
const INTENDED: &[Difference] = &[];

/// An image in a layout.
struct Image {
    layout: PathBuf,
    tag: &'static str,
}

impl Image {
    fn name(&self) -> String {
        format!("oci:{}:{}", self.layout.display(), self.tag)
    }

    fn read(&self, digest: &Value) -> Value {
        serde_json::from_slice(&fs::read(self.blob(digest)).unwrap()).unwrap()
    }

    fn blob(&self, digest: &Value) -> PathBuf {
        self.layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/"))
    }

    fn manifest(&self) -> Value {
        let index: Value =
            serde_json::from_slice(&fs::read(self.layout.join("index.json")).unwrap()).unwrap();
        let entries = index["manifests"].as_array().unwrap();
        let tag = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == self.tag;
        self.read(&entries.iter().find(tag).unwrap()["digest"])
    }

    fn layers(&self) -> Vec<PathBuf> {
        self.manifest()["layers"].as_array().unwrap().iter().map(|it| self.blob(&it["digest"])).collect()
    }

    /// The same without one layer.
    fn without(&self, layer: usize, folder: &Path) -> Self {
        let mut manifest = self.manifest();
        let mut config = self.read(&manifest["config"]["digest"]);
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().remove(layer);
        config.as_object_mut().unwrap().remove("history");
        manifest["layers"].as_array_mut().unwrap().remove(layer);
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        let there = Self { layout: folder.to_path_buf(), tag: "less" };
        for layer in manifest["layers"].as_array().unwrap() {
            std::os::unix::fs::symlink(self.blob(&layer["digest"]), there.blob(&layer["digest"])).unwrap();
        }
        let store = |document: &Value| {
            let data = document.to_string().into_bytes();
            let digest = image::digest(&data);
            fs::write(there.blob(&json!(digest)), &data).unwrap();
            (json!(digest), json!(data.len()))
        };
        (manifest["config"]["digest"], manifest["config"]["size"]) = store(&config);
        let (digest, size) = store(&manifest);
        let index = json!({"schemaVersion": 2, "manifests": [{
            "annotations": {"org.opencontainers.image.ref.name": there.tag},
            "digest": digest,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "size": size,
        }]});
        fs::write(folder.join("index.json"), index.to_string()).unwrap();
        fs::write(folder.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
        there
    }
}

/// A folder for large trees.
fn scratch() -> TempDir {
    fs::create_dir_all(tools::fixtures()).unwrap();
    TempDir::new_in(tools::fixtures()).unwrap()
}

/// Ours, by `unpack`; `export` has to say the same.
fn ours(image: &Image) -> Tree {
    let folder = scratch();
    let ship = Ship::new();
    let path = |name: &str| folder.path().join(name).display().to_string();
    ship.ok(&["unpack", &image.name(), &path("root")]);
    let unpacked = tree::read_folder(&folder.path().join("root")).unwrap();
    ship.ok(&["export", &image.name(), "-o", &path("image.tar")]);
    let exported = tree::read_tar(fs::File::open(path("image.tar")).unwrap()).unwrap();
    tree::assert_same(("unpack", &unpacked), ("export", &exported));
    unpacked
}

/// Fails where the trees differ otherwise than it is intended, and where an intended difference is not there.
fn compare(ours: &Tree, peer: &str, mut theirs: Tree) {
    for difference in INTENDED.iter().filter(|it| it.peer == peer) {
        assert!((difference.mend)(&mut theirs), "{peer} does it our way now: {}", difference.why);
    }
    tree::assert_same(("wharfie", ours), (peer, &theirs));
}

fn by_umoci(image: &Image) -> Tree {
    let folder = scratch();
    let bundle = folder.path().join("bundle");
    let name = format!("{}:{}", image.layout.display(), image.tag);
    tools::run(tools::command("umoci").args(["unpack", "--image", &name]).arg(&bundle));
    tree::read_folder(&bundle.join("rootfs")).unwrap()
}

fn by_gnu_tar(image: &Image) -> Tree {
    let folder = scratch();
    by_tar::unpack(&image.layers(), folder.path());
    tree::read_folder(folder.path()).unwrap()
}

/// A mount in a mount namespace of its own, which ends with it.
struct Mounted {
    child: Child,
    /// Nothing is ever written to it: it is there until this is dropped.
    keep: Option<ChildStdin>,
    root: PathBuf,
    _folder: TempDir,
}

impl Mounted {
    /// Runs a script whose last line of output is where the image is mounted. It finds `$image` and `$folder`.
    fn new(image: &Image, script: &str) -> Self {
        let folder = scratch();
        let script = format!("set -eu\n{script}\nread line || true");
        let mut child = tools::command("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .env("image", image.name())
            .env("folder", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut path = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut path).unwrap();
        let path = path.trim().trim_start_matches('/');
        assert!(!path.is_empty(), "nothing was mounted");
        let root = Path::new("/proc").join(child.id().to_string()).join("root").join(path);
        let keep = child.stdin.take();
        Self { child, keep, root, _folder: folder }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(mut keep) = self.keep.take() {
            drop(keep.write_all(b"\n"));
        }
        drop(self.child.wait());
    }
}

/// Each layer in a folder of its own, and overlay over them.
fn by_podman(image: &Image) -> Tree {
    let mounted = Mounted::new(
        image,
        "set -- --root \"$folder/podman\" --runroot \"$folder/run\" --tmpdir \"$folder/tmp\" \
         --storage-driver overlay --cgroup-manager cgroupfs\n\
         id=$(podman \"$@\" pull -q \"$image\")\n\
         podman \"$@\" image mount \"$id\"",
    );
    tree::read_folder(&mounted.root).unwrap()
}

/// Each layer onto a copy of what is below it.
fn by_buildah(image: &Image) -> Tree {
    let mounted = Mounted::new(
        image,
        "set -- --root \"$folder/buildah\" --runroot \"$folder/run\" --storage-driver vfs\n\
         id=$(buildah \"$@\" from -q \"$image\")\n\
         buildah \"$@\" mount \"$id\"",
    );
    tree::read_folder(&mounted.root).unwrap()
}

fn debian(what: &str) -> Option<Image> {
    if !tools::root(what) {
        return None;
    }
    Some(Image { layout: Debian::fixture(what)?.layout, tag: Debian::TAG })
}

#[test]
fn debian_is_what_others_make_of_it() {
    let what = "Debian by other tools";
    let Some(image) = debian(what) else { return };
    let ours = ours(&image);
    if tools::have(&format!("{what}: umoci"), &["umoci"]) {
        compare(&ours, "umoci", by_umoci(&image));
    }
    if tools::have(&format!("{what}: tar"), &["tar", "gzip"]) {
        compare(&ours, "GNU tar", by_gnu_tar(&image));
    }
    if tools::have(&format!("{what}: buildah"), &["buildah", "unshare"]) {
        compare(&ours, "buildah", by_buildah(&image));
    }
}

#[test]
fn debian_is_what_podman_mounts() {
    let what = "Debian by podman";
    let Some(image) = debian(what) else { return };
    if !tools::have(what, &["podman", "unshare"]) || !tools::overlays(what) {
        return;
    }
    // Its third layer links to names of lower layers, which podman's overlay driver refuses (L12).
    let folder = scratch();
    let less = image.without(2, folder.path());
    compare(&ours(&less), "podman", by_podman(&less));
}

#[test]
fn the_large_image_is_what_others_make_of_it() {
    let what = "the large image by other tools";
    if std::env::var_os("WHARFIE_LONG").is_none() {
        return tools::skip(what, "only with --long");
    }
    if !tools::root(what) || !tools::have(what, &["umoci", "tar", "gzip", "podman", "buildah", "unshare"]) {
        return;
    }
    let Some(large) = Large::fixture(what) else { return };
    let image = Image { layout: large.gzip, tag: Large::TAG };
    let ours = ours(&image);
    tree::assert_same(("gzip", &ours), ("zstd", &self::ours(&Image { layout: large.zstd, tag: Large::TAG })));
    compare(&ours, "umoci", by_umoci(&image));
    compare(&ours, "GNU tar", by_gnu_tar(&image));
    compare(&ours, "buildah", by_buildah(&image));
    if tools::overlays(what) {
        compare(&ours, "podman", by_podman(&image));
    }
}
