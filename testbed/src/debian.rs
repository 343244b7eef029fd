//! The Debian image: a real distribution's root in five layers, made by Debian's own tools.
//!
//! `mmdebstrap` makes the root, `umoci` makes layers of it: the base, one that umoci finds out itself by comparing
//! (`unpack`, changes, `repack`), and three tars added as they are, for what umoci's comparison never writes:
//! opaque folders, hard links into lower layers, names deleted whose inode lives on.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::image;
use crate::layer::{Layer, Meta, TIME};
use crate::tools;

/// Changed whenever the recipe is: an older image is then made anew.
const RECIPE: &str = "1";

/// The image, as an OCI layout on disk.
#[derive(Debug, Clone)]
pub struct Debian {
    /// The layout's folder. Tags: [`Debian::TAG`], [`Debian::MULTI`].
    pub layout: PathBuf,
}

impl Debian {
    /// The tag of the image itself: a manifest.
    pub const TAG: &str = "bookworm";
    /// The tag of an index: an attestation entry (`unknown/unknown`), the same files as another platform (linux/arm64/v8,
    /// or linux/amd64/v1), and the image for this one.
    pub const MULTI: &str = "multi";

    /// The image from the cache, made first if need be (about a minute). `None`, said loudly for the test `what`,
    /// where it cannot be made.
    ///
    /// # Panics
    /// When a tool that is installed fails.
    pub fn fixture(what: &str) -> Option<Self> {
        static MADE: OnceLock<Option<Debian>> = OnceLock::new();
        static MAKING: Mutex<()> = Mutex::new(());
        let guard = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(made)) = MADE.get() {
            return Some(made.clone());
        }
        let made = Self::find_or_make(what);
        if made.is_some() {
            drop(MADE.set(made.clone()));
        }
        drop(guard);
        made
    }

    fn find_or_make(what: &str) -> Option<Self> {
        let folder = tools::fixtures().join(format!("debian-{RECIPE}"));
        let layout = folder.join("layout");
        if layout.join("index.json").is_file() {
            return Some(Self { layout });
        }
        if !tools::root(what) || !tools::have(what, &["mmdebstrap", "umoci", "setcap"]) {
            return None;
        }
        let begun = Instant::now();
        fs::create_dir_all(tools::fixtures()).expect("the folder of fixtures");
        let work =
            tempfile::Builder::new().prefix("debian-").tempdir_in(tools::fixtures()).expect("a folder");
        fs::create_dir(work.path().join("image")).expect("a folder");
        make(work.path());
        // Whoever comes second (another process) loses nothing.
        if fs::rename(work.path().join("image"), &folder).is_err() {
            assert!(
                layout.join("index.json").is_file(),
                "the fixture was made and cannot be put in its place"
            );
        }
        eprintln!("the Debian image was made in {} s", begun.elapsed().as_secs());
        Some(Self { layout })
    }

    /// What skopeo calls it: `oci:DIR:TAG`.
    pub fn source(&self, tag: &str) -> String {
        format!("oci:{}:{tag}", self.layout.display())
    }

    /// The manifest of [`Debian::TAG`], parsed.
    ///
    /// # Panics
    /// When the layout is broken.
    pub fn manifest(&self) -> Value {
        let (_, manifest) = tagged(&self.layout, Self::TAG);
        manifest
    }
}

fn make(work: &Path) {
    let root = work.join("root.tar");
    let layout = work.join("image/layout");
    let image = format!("{}:{}", layout.display(), Debian::TAG);
    let umoci = || tools::command("umoci");
    tools::run(
        tools::command("mmdebstrap")
            .env("SOURCE_DATE_EPOCH", TIME.to_string())
            .args(["--variant=minbase", "--mode=root", "bookworm"])
            .arg(&root),
    );
    tools::run(umoci().args(["init", "--layout"]).arg(&layout));
    tools::run(umoci().args(["new", "--image", &image]));
    let add = |tar: &Path| {
        tools::run(umoci().args(["raw", "add-layer", "--image", &image]).arg(tar));
    };
    add(&root);
    fs::remove_file(&root).expect("the root's tar");
    let bundle = work.join("bundle");
    tools::run(umoci().args(["unpack", "--image", &image]).arg(&bundle));
    change(&bundle.join("rootfs"));
    tools::run(
        umoci()
            .args([
                "repack",
                "--refresh-bundle",
                "--history.created",
                "2025-01-01T00:00:00Z",
                "--image",
                &image,
            ])
            .arg(&bundle),
    );
    for (number, layer) in [opaque_and_links(), deletions(), tricks()].into_iter().enumerate() {
        let path = work.join(format!("layer-{number}.tar"));
        fs::write(&path, layer).expect("a layer");
        add(&path);
    }
    tools::run(umoci().args([
        "config",
        "--config.cmd=/bin/sh",
        "--config.env=PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "--history.created=2025-01-01T00:00:00Z",
        "--image",
        &image,
    ]));
    // The layouts that umoci edits keep every older manifest.
    tools::run(umoci().args(["gc", "--layout"]).arg(&layout));
    index(&layout);
}

/// What somebody does in a container: installs, edits, deletes.
fn change(root: &Path) {
    let at = |name: &str| root.join(name);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(TIME + 3600);
    let write = |name: &str, mode: u32, text: &str| {
        fs::create_dir_all(at(name).parent().expect("a parent")).expect("a folder");
        fs::write(at(name), text).expect("a file");
        fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).expect("a mode");
        let file = File::options().write(true).open(at(name)).expect("the file");
        file.set_times(FileTimes::new().set_modified(time)).expect("a time");
    };
    // Hundreds of deletions, some of whole folders.
    for folder in fs::read_dir(at("usr/share/doc")).expect("Debian has it").flatten() {
        if folder.file_name().to_string_lossy().starts_with("lib") {
            fs::remove_dir_all(folder.path()).expect("a folder");
        }
    }
    fs::remove_dir_all(at("usr/share/bug")).expect("Debian has it");
    fs::remove_file(at("etc/issue.net")).expect("Debian has it");
    // Each kind becomes another.
    fs::remove_file(at("etc/issue")).expect("Debian has it");
    write("etc/issue/was-a-file", 0o644, "a file that became a folder\n");
    fs::remove_dir_all(at("usr/share/menu")).expect("Debian has it");
    symlink("dict", at("usr/share/menu")).expect("a link");
    fs::remove_dir_all(at("usr/share/lintian")).expect("Debian has it");
    write("usr/share/lintian", 0o644, "a folder that became a file\n");
    // Edits.
    write("etc/motd", 0o644, "welcome aboard\n");
    write("etc/wharf/very/deep/down/here/wharf.conf", 0o640, "berths = 7\n");
    write(&format!("srv/{}/{}", "long".repeat(30), "longer".repeat(25)), 0o644, "a long name\n");
    write("srv/Æøå/läger", 0o644, "names are bytes\n");
    symlink("nowhere/at/all", at("srv/dangling")).expect("a link");
    // Capabilities, set-id bits, owners, extended attributes, hard links, a FIFO.
    for (name, mode) in [("anchor", 0o755), ("suid", 0o4755), ("sgid", 0o2755), ("both", 0o6711)] {
        let name = format!("usr/local/bin/{name}");
        write(&name, mode, "");
        fs::copy(at("usr/bin/true"), at(&name)).expect("a copy");
        std::os::unix::fs::chown(at(&name), Some(0), Some(42)).expect("an owner");
        fs::set_permissions(at(&name), PermissionsExt::from_mode(mode)).expect("a mode");
    }
    tools::run(
        tools::command("setcap")
            .args(["cap_net_raw,cap_net_bind_service=+ep"])
            .arg(at("usr/local/bin/anchor")),
    );
    write("srv/cargo", 0o600, "bananas\n");
    xattr::set(at("srv/cargo"), "user.cargo", b"\x00binary\xff\n").expect("an attribute");
    std::os::unix::fs::chown(at("srv/cargo"), Some(4_000_000_000), Some(3_999_999_999)).expect("an owner");
    write("srv/rope-1", 0o644, "one inode, three names\n");
    fs::hard_link(at("srv/rope-1"), at("srv/rope-2")).expect("a hard link");
    fs::hard_link(at("srv/rope-1"), at("usr/local/share/rope-3")).expect("a hard link");
    tools::run(tools::command("mkfifo").arg(at("srv/horn")));
}

fn opaque_and_links() -> Vec<u8> {
    let file = Meta::mode(0o644).later(7200);
    Layer::new()
        .dir("usr/share/zoneinfo", &Meta::mode(0o755).later(7200))
        .file("usr/share/zoneinfo/Wharf", &file, "hides every other zone\n")
        .opaque("usr/share/zoneinfo")
        .link("usr/local/bin/dash-again", "usr/bin/dash")
        .link("srv/version", "etc/debian_version")
        .link("srv/passwd-binary", "/usr/bin/passwd")
        .file("srv/bollard", &Meta::mode(0o664).owner(33, 33).later(7200), "lives on under another name\n")
        .link("srv/bollard-again", "srv/bollard")
        .finish()
}

fn deletions() -> Vec<u8> {
    Layer::new()
        .whiteout("srv/bollard")
        .whiteout("etc/debian_version")
        // perl5.36.0 is another name of the same inode: four megabytes that must not go.
        .whiteout("usr/bin/perl")
        .whiteout("srv/rope-1")
        .whiteout("no/such/place")
        .finish()
}

fn tricks() -> Vec<u8> {
    let file = Meta::mode(0o644).later(9000);
    Layer::new()
        .file("etc/debian_version", &file, "replaced while srv/version keeps the old words\n")
        .dir("usr/share/dict", &Meta::mode(0o711).owner(1, 2).later(9000))
        .file("usr/share/dict/words", &file, "wharf\n")
        .whiteout("usr/share/keyrings-of-nobody")
        .file("srv/old", &Meta { mtime: 1, ..file.clone() }, "from 1970\n")
        .finish()
}

/// Finds what `index.json` calls `tag`: the descriptor and the document.
fn tagged(layout: &Path, tag: &str) -> (Value, Value) {
    let read = |path: PathBuf| -> Value {
        serde_json::from_slice(&fs::read(path).expect("a file of the layout")).expect("JSON")
    };
    let index = read(layout.join("index.json"));
    let descriptor = index["manifests"]
        .as_array()
        .expect("manifests")
        .iter()
        .find(|it| it["annotations"]["org.opencontainers.image.ref.name"] == tag)
        .expect("the tag")
        .clone();
    let digest = descriptor["digest"].as_str().expect("a digest").replace(':', "/");
    (descriptor, read(layout.join("blobs").join(digest)))
}

/// Adds [`Debian::MULTI`].
fn index(layout: &Path) {
    let store = |media_type: &str, document: &Value| {
        let data = document.to_string().into_bytes();
        let digest = image::digest(&data);
        let size = data.len();
        fs::write(layout.join("blobs").join(digest.replace(':', "/")), data).expect("a blob");
        json!({"digest": digest, "mediaType": media_type, "size": size})
    };
    let (descriptor, manifest) = tagged(layout, Debian::TAG);
    let config = manifest["config"]["digest"].as_str().expect("a digest").replace(':', "/");
    let mut config: Value =
        serde_json::from_slice(&fs::read(layout.join("blobs").join(config)).expect("the config"))
            .expect("JSON");
    let here = config["architecture"].as_str().unwrap_or("amd64").to_owned();
    let (there, variant) = if here == "arm64" { ("amd64", "v1") } else { ("arm64", "v8") };
    config["architecture"] = there.into();
    config["variant"] = variant.into();
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let mut other = manifest.clone();
    other["config"] = store("application/vnd.oci.image.config.v1+json", &config);
    let other = store(manifest_type, &other);
    // What buildx adds for provenance.
    let statement =
        store("application/vnd.in-toto+json", &json!({"_type": "https://in-toto.io/Statement/v0.1"}));
    let empty = store(
        "application/vnd.oci.image.config.v1+json",
        &json!({"architecture": "unknown", "os": "unknown", "rootfs": {"diff_ids": [], "type": "layers"}}),
    );
    let attestation = store(
        manifest_type,
        &json!({"config": empty, "layers": [statement], "mediaType": manifest_type, "schemaVersion": 2}),
    );
    let entry = |descriptor: &Value, platform: Value| {
        json!({
            "digest": descriptor["digest"],
            "mediaType": manifest_type,
            "platform": platform,
            "size": descriptor["size"],
        })
    };
    let mut attestation = entry(&attestation, json!({"architecture": "unknown", "os": "unknown"}));
    attestation["annotations"] = json!({
        "vnd.docker.reference.digest": descriptor["digest"],
        "vnd.docker.reference.type": "attestation-manifest",
    });
    let index_type = "application/vnd.oci.image.index.v1+json";
    let document = json!({
        "manifests": [
            attestation,
            entry(&other, json!({"architecture": there, "os": "linux", "variant": variant})),
            entry(&descriptor, json!({"architecture": here, "os": "linux"})),
        ],
        "mediaType": index_type,
        "schemaVersion": 2,
    });
    let stored = store(index_type, &document);
    let path = layout.join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).expect("index.json")).expect("JSON");
    index["manifests"].as_array_mut().expect("manifests").push(json!({
        "annotations": {"org.opencontainers.image.ref.name": Debian::MULTI},
        "digest": stored["digest"],
        "mediaType": index_type,
        "size": stored["size"],
    }));
    fs::write(&path, index.to_string()).expect("index.json");
}
