//! The root of an image as other tools have it: umoci, GNU tar, what podman and buildah mount. Every difference is
//! intended and written down here, or a failure.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::debian::Debian;
use testbed::large::Large;
use testbed::layer::{Compression, Layer, Meta, TIME};
use testbed::tree::{self, Tree};
use testbed::{image, tools};

use crate::by_tar;
use crate::ship::Ship;

/// How a peer's tree differs from ours, and why that is right.
struct Difference {
    peers: &'static [&'static str],
    /// The image that shows it.
    image: &'static str,
    why: &'static str,
    /// Makes the peer's tree what it ought to be, and says whether there was anything to do.
    mend: fn(&mut Tree) -> bool,
}

/// All intended differences.
const INTENDED: &[Difference] = &[
    Difference {
        peers: &["buildah", "podman"],
        image: "changes",
        why: "L2: the root is the lowest layer's; theirs is the mount's own, made now, to podman with another mode",
        mend: |tree| {
            let root = tree.get_mut(&[][..]).unwrap();
            let before = root.clone();
            (root.mode, root.mtime) = (0o755, (TIME as i64, 0));
            *root != before
        },
    },
    Difference {
        peers: &["buildah"],
        image: "changes",
        why: "L5: a folder takes the attributes of its upper entry; applied in place, the lower ones stay",
        mend: |tree| tree.get_mut(&b"srv"[..]).unwrap().xattrs.remove(&b"user.harbour"[..]).is_some(),
    },
    Difference {
        peers: &["buildah"],
        image: "large",
        why: "L13: two names of one symbolic link; copying a layer for the next one makes two links of it",
        mend: |tree| {
            ["srv/dangling", "srv/dangling-again"].iter().all(|name| {
                let entry = tree.get_mut(name.as_bytes()).unwrap();
                entry.shares.replace(b"srv/dangling".to_vec()).is_none()
            })
        },
    },
    Difference {
        peers: &["buildah", "podman"],
        image: "changes",
        why: "L12: the mode, owner and time in a hard link's header mean nothing; they are set on the file",
        mend: |tree| {
            ["srv/rope-2", "srv/rope-3"].iter().all(|name| {
                let entry = tree.get_mut(name.as_bytes()).unwrap();
                let theirs = (entry.mode, entry.uid, entry.gid, entry.mtime.0);
                (entry.mode, entry.uid, entry.gid) = (0o644, 0, 0);
                entry.mtime = (TIME as i64 + 3600, 0);
                theirs == (0, 7, 7, TIME as i64 + 7)
            })
        },
    },
];

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

    /// Its first layer below others, in a new layout.
    fn base_of(&self, layers: &[Vec<u8>], folder: &Path) -> Self {
        let layout = folder.join("layout");
        fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        let there = Self { layout, tag: "stack" };
        let store = |media_type: &str, data: &[u8]| {
            let digest = image::digest(data);
            fs::write(there.blob(&json!(digest)), data).unwrap();
            json!({"digest": digest, "mediaType": media_type, "size": data.len()})
        };
        let manifest = self.manifest();
        let base = &manifest["layers"][0];
        std::os::unix::fs::symlink(self.blob(&base["digest"]), there.blob(&base["digest"])).unwrap();
        let mut descriptors = vec![base.clone()];
        let mut config = self.read(&manifest["config"]["digest"]);
        config.as_object_mut().unwrap().remove("history");
        let diff_ids = config["rootfs"]["diff_ids"].as_array_mut().unwrap();
        diff_ids.truncate(1);
        for tar in layers {
            diff_ids.push(json!(image::digest(tar)));
            descriptors.push(store(Compression::Gzip.media_type(), &Compression::Gzip.apply(tar)));
        }
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let config = store("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let manifest =
            json!({"config": config, "layers": descriptors, "mediaType": media_type, "schemaVersion": 2});
        let mut manifest = store(media_type, manifest.to_string().as_bytes());
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": there.tag});
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        fs::write(there.layout.join("index.json"), index.to_string()).unwrap();
        fs::write(there.layout.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
        there
    }
}

/// Layers that engines take: without links to lower layers, which podman's overlay driver refuses (L12), and without
/// whiteouts below what became a file, as umoci writes them, at which buildah stops. Each folder has its entry: what
/// engines make of a missing one is not L4.
fn changes() -> [Vec<u8>; 2] {
    let folder = Meta::mode(0o755).later(3600);
    let file = Meta::mode(0o644).later(3600);
    let long = format!("srv/{}/{}", "long".repeat(30), "longer".repeat(25));
    let first = Layer::new()
        .dir("etc", &folder)
        .whiteout("etc/issue.net")
        .dir("etc/issue", &folder)
        .file("etc/issue/was-a-file", &file, "a file that became a folder\n")
        .dir("srv", &folder.clone().xattr("user.harbour", b"a folder"))
        .file(
            "srv/cargo",
            &Meta::mode(0o600).owner(4_000_000_000, 3_999_999_999).xattr("user.cargo", b"\0binary\xff\n"),
            "bananas\n",
        )
        .file("srv/rope-1", &file, "one inode, three names\n")
        .link("srv/rope-2", "srv/rope-1")
        .link("srv/rope-3", "srv/rope-1")
        .fifo("srv/horn", &file)
        .symlink("srv/dangling", "nowhere/at/all")
        .file("srv/suid", &Meta::mode(0o4755).owner(0, 42), "")
        .dir(long.rsplit_once('/').unwrap().0, &folder)
        .file(&long, &file, "a long name\n")
        .dir("usr", &folder)
        .dir("usr/bin", &folder)
        .whiteout("usr/bin/perl")
        .dir("usr/share", &folder)
        .whiteout("usr/share/bug")
        .file("usr/share/lintian", &file, "a folder that became a file\n")
        .symlink("usr/share/menu", "dict")
        .dir("usr/share/zoneinfo", &folder)
        .opaque("usr/share/zoneinfo")
        .file("usr/share/zoneinfo/Wharf", &file, "hides every other zone\n");
    let later = Meta::mode(0o644).later(7200);
    let second = Layer::new()
        .dir("srv", &Meta::mode(0o711).owner(1, 2).later(7200))
        .whiteout("srv/rope-1")
        .file("srv/cargo", &later, "replaced\n")
        .dir("srv/horn", &Meta::mode(0o1777).later(7200))
        .whiteout("srv/suid");
    [first.finish(), second.finish()]
}

/// A folder for large trees.
fn scratch() -> TempDir {
    fs::create_dir_all(tools::fixtures()).unwrap();
    TempDir::new_in(tools::fixtures()).unwrap()
}

/// Ours, by `unpack`; `export` has to say the same. Without the root where no layer has an entry for it: then every tool
/// has its own idea of it, and ours is L4's.
fn ours(image: &Image) -> Tree {
    let folder = scratch();
    let ship = Ship::new();
    let path = |name: &str| folder.path().join(name).display().to_string();
    ship.ok(&["unpack", &image.name(), &path("root")]);
    let mut unpacked = tree::read_folder(&folder.path().join("root")).unwrap();
    ship.ok(&["export", &image.name(), "-o", &path("image.tar")]);
    let exported = tree::read_tar(fs::File::open(path("image.tar")).unwrap()).unwrap();
    if !exported.contains_key(&[][..]) {
        let root = unpacked.remove(&[][..]).unwrap();
        assert_eq!((root.mode, root.uid, root.gid, root.mtime), (0o755, 0, 0, (0, 0)), "L4");
    }
    tree::assert_same(("unpack", &unpacked), ("export", &exported));
    unpacked
}

/// Fails where the trees differ otherwise than it is intended, and where an intended difference is not there.
fn compare(image: &str, ours: &Tree, peer: &str, mut theirs: Tree) {
    if !ours.contains_key(&[][..]) {
        theirs.remove(&[][..]);
    }
    for difference in INTENDED.iter().filter(|it| it.image == image && it.peers.contains(&peer)) {
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
        // They make a name of an image of the layout's path, which must be in lower case then: it is given from near by.
        let name = image.layout.file_name().unwrap().display();
        let mut child = tools::command("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .current_dir(image.layout.parent().unwrap())
            .env("image", format!("oci:{name}:{}", image.tag))
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
fn debian_is_what_tar_makes_of_it() {
    let what = "Debian by tar";
    let Some(image) = debian(what) else { return };
    let ours = ours(&image);
    if tools::have(what, &["tar", "gzip"]) {
        compare("debian", &ours, "GNU tar", by_gnu_tar(&image));
    }
    if tools::have(what, &["umoci"]) {
        compare("debian", &ours, "umoci", by_umoci(&image));
    }
}

#[test]
fn changes_of_debian_are_what_engines_mount() {
    let what = "Debian by podman and buildah";
    let Some(debian) = debian(what) else { return };
    if !tools::have(what, &["podman", "buildah", "unshare"]) {
        return;
    }
    let folder = scratch();
    let image = debian.base_of(&changes(), folder.path());
    let ours = ours(&image);
    compare("changes", &ours, "buildah", by_buildah(&image));
    if tools::overlays(what) {
        compare("changes", &ours, "podman", by_podman(&image));
    }
}

/// The large image, and ours of it: the same by gzip and by zstd, made once.
fn large(what: &str) -> Option<(Image, &'static Tree)> {
    static OURS: OnceLock<Tree> = OnceLock::new();
    if std::env::var_os("WHARFIE_LONG").is_none() {
        tools::skip(what, "only with --long");
        return None;
    }
    if !tools::root(what) {
        return None;
    }
    let large = Large::fixture(what)?;
    let image = Image { layout: large.gzip, tag: Large::TAG };
    let tree = OURS.get_or_init(|| {
        let tree = ours(&image);
        let other = ours(&Image { layout: large.zstd, tag: Large::TAG });
        tree::assert_same(("gzip", &tree), ("zstd", &other));
        tree
    });
    Some((image, tree))
}

#[test]
fn the_large_image_is_what_tar_makes_of_it() {
    let what = "the large image by tar";
    let Some((image, ours)) = large(what) else { return };
    if tools::have(what, &["umoci"]) {
        compare("large", ours, "umoci", by_umoci(&image));
    }
    if tools::have(what, &["tar", "gzip"]) {
        compare("large", ours, "GNU tar", by_gnu_tar(&image));
    }
}

#[test]
fn the_large_image_is_what_engines_mount() {
    let what = "the large image by podman and buildah";
    let Some((image, ours)) = large(what) else { return };
    if !tools::have(what, &["podman", "buildah", "unshare"]) {
        return;
    }
    if tools::overlays(what) {
        compare("large", ours, "podman", by_podman(&image));
    }
    compare("large", ours, "buildah", by_buildah(&image));
}
