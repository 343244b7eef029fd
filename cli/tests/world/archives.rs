//! Archives, layouts and directories of images: what is written is read by docker, podman, skopeo and umoci, and what they
//! write is read here. Digests survive where the format keeps bytes, and the tree always.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;
use testbed::docker::Docker;
use testbed::image::{self, Layout};
use testbed::layer::{Compression, Layer, Meta};
use testbed::registry::{Options, Registry};
use testbed::tree::{self, Tree};
use testbed::{sample, tools};

use crate::ship::{Ship, run};

/// Two images that share their lowest layer: `one:1` (also `one:latest`), and `two:2` with a layer that it has twice. Nothing in
/// them is what docker's daemon refuses (hard links into lower layers) or takes otherwise (what a hard link's own header says,
/// L12).
fn make(folder: &Path, upper: Compression) -> [String; 2] {
    let file = Meta::mode(0o644);
    let base = Layer::new()
        .dir("etc", &Meta::mode(0o755))
        .file("etc/issue", &file, "harbour\n")
        .file("etc/gone", &file, "")
        .symlink("etc/link", "issue")
        .dir("srv", &Meta::mode(0o1777).owner(3, 4))
        .file("srv/data", &Meta::mode(0o600).owner(1000, 1001), vec![7; 70_000])
        .finish();
    let first = Layer::new()
        .dir("etc", &Meta::mode(0o755))
        .whiteout("etc/gone")
        .file("etc/issue", &Meta::mode(0o640).later(60), "quay\n")
        .finish();
    let second =
        Layer::new().dir("opt", &Meta::mode(0o700)).file("opt/suid", &Meta::mode(0o4755), "x").finish();
    let mut layout = Layout::new();
    let run = json!({"Cmd": ["/bin/true"], "Env": ["PATH=/bin"]});
    let gzip = Compression::Gzip;
    let amd64 = ("linux", "amd64");
    let one = layout.image(amd64, &[(&base, gzip), (&first, upper)], &run, &["base", "first"]);
    let layers = [(&base[..], gzip), (&second, upper), (&first, upper), (&second, upper)];
    let two = layout.image(amd64, &layers, &run, &["base", "second", "first", "again"]);
    for (name, image) in [("one:1", &one), ("one:latest", &one), ("two:2", &two)] {
        layout.tag(name, image);
    }
    layout.write(folder);
    [one, two].map(|image| image["digest"].as_str().unwrap().to_owned())
}

struct Yard {
    ship: Ship,
    /// The digests of both images.
    images: [String; 2],
}

const PLATFORM: [&str; 2] = ["--platform", "linux/amd64"];

impl Yard {
    fn new(upper: Compression) -> Yard {
        let ship = Ship::new();
        let images = make(&ship.path("source"), upper);
        Yard { ship, images }
    }

    fn ok(&self, words: &[&str]) -> String {
        let platform: &[&str] = if matches!(words[0], "load" | "referrers") { &[] } else { &PLATFORM };
        String::from_utf8(self.ship.ok(&[words, platform].concat()).stdout).unwrap()
    }

    /// The digest of an image's manifest.
    fn digest(&self, name: &str) -> String {
        self.ok(&["digest", name]).trim().rsplit('@').next().unwrap().to_owned()
    }

    /// The bytes of an image's root as a tar.
    fn tar(&self, name: &str) -> Vec<u8> {
        self.ship.ok(&[&["export", name, "-o", "-"][..], &PLATFORM].concat()).stdout
    }

    /// An image is the same root as one of ours, and every digest of it holds.
    fn same_tree(&self, name: &str, ours: &str) {
        self.ok(&["validate", name]);
        assert!(self.tar(name) == self.tar(&format!("oci:source:{ours}")), "{name} is not {ours}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.ship.path(name)
    }

    /// Runs another program in our home.
    fn by(&self, program: &str, words: &[&str]) -> Vec<u8> {
        tools::run(tools::command(program).args(words).current_dir(self.path("."))).stdout
    }

    fn skopeo(&self, from: &str, to: &str) {
        let words =
            ["--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", from, to];
        self.by("skopeo", &words);
    }

    fn podman(&self, words: &[&str]) -> Vec<u8> {
        let [root, run, tmp] =
            ["podman", "podman-run", "podman-tmp"].map(|name| self.path(name).display().to_string());
        let all = ["--root", &root, "--runroot", &run, "--tmpdir", &tmp];
        let driver = ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"];
        self.by("podman", &[&all[..], &driver, words].concat())
    }
}

#[test]
fn digests_go_round_wherever_bytes_are_kept() {
    let what = "digests_go_round_wherever_bytes_are_kept";
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    let yard = Yard::new(Compression::Zstd);
    let [one, two] = &yard.images;
    yard.ok(&["copy", "oci:source:two:2", &registry.image("two:2")]);
    yard.ok(&["copy", &registry.image("two:2"), "oci:kept:two"]);
    yard.ok(&["copy", "oci:kept:two", "oci-archive:kept.tar:two"]);
    yard.ok(&["copy", "oci-archive:kept.tar", "dir:flat"]);
    yard.ok(&["save", "dir:flat", "--name", "two:2", "--keep-compression", "-o", "modern.tar.zst"]);
    for name in [
        "oci:kept:two",
        "oci-archive:kept.tar:two",
        "dir:flat",
        "modern.tar.zst",
        "docker-archive:modern.tar.zst:two:2",
    ] {
        assert_eq!(&yard.digest(name), two, "{name}");
        yard.same_tree(name, "two:2");
    }
    yard.ok(&["copy", "modern.tar.zst", &registry.image("round:1")]);
    assert_eq!(&yard.digest(&registry.image("round:1")), two);

    // Bare layers are other blobs, and the same content.
    yard.ok(&["save", "oci:source:one:1", "oci:source:two:2", "-o", "both.tar.gz"]);
    let names = image::digest(&fs::read(yard.path("both.tar.gz")).unwrap());
    yard.ok(&["save", "oci:source:one:1", "oci:source:two:2", "-o", "again.tar.gz"]);
    assert_eq!(
        image::digest(&fs::read(yard.path("again.tar.gz")).unwrap()),
        names,
        "the same images, other bytes"
    );
    for (name, ours) in [("one:1", "one:1"), ("two:2", "two:2")] {
        yard.same_tree(&format!("docker-archive:both.tar.gz:{name}"), ours);
    }
    yard.ok(&["copy", "docker-archive:both.tar.gz:two:2", &registry.image("bare:1")]);
    yard.same_tree(&registry.image("bare:1"), "two:2");
    let config = |name: &str| yard.ok(&["config", "--raw", name]);
    assert_eq!(config(&registry.image("bare:1")), config("oci:source:two:2"));
    assert_ne!(&yard.digest("docker-archive:both.tar.gz:one:1"), one);
    // Which one of several is said.
    yard.ship.fails(&["digest", "both.tar.gz"], &["one:1", "two:2"]);
}

#[test]
fn any_name_and_any_pipe() {
    let yard = Yard::new(Compression::Gzip);
    let [one, _] = &yard.images;
    yard.ok(&["copy", "oci:source:one:1", "oci-archive:流水线.tar.gz:流水线"]);
    assert_eq!(&yard.digest("oci-archive:流水线.tar.gz:流水线"), one);
    assert_eq!(&yard.digest("流水线.tar.gz"), one);
    let through = |name: &str, file: &str| {
        let mut command = yard.ship.command(&[&["digest", name][..], &PLATFORM].concat());
        command.stdin(Stdio::from(File::open(yard.path(file)).unwrap()));
        let mut piped = yard.ship.command(&[&["digest", name][..], &PLATFORM].concat());
        let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let bytes = fs::read(yard.path(file)).unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        let ran = run(&mut command);
        assert_eq!((ran.code, &ran.stdout), (Some(0), &output.stdout), "{}", ran.stderr);
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(through("oci-archive:-", "流水线.tar.gz").contains(one));
    yard.ok(&["save", "oci:source:one:1", "--keep-compression", "-o", "one.tar.zst"]);
    assert!(through("docker-archive:-", "one.tar.zst").contains(one));

    // What is cut off, or is nothing of ours, is said.
    let whole = fs::read(yard.path("one.tar.zst")).unwrap();
    fs::write(yard.path("half.tar.zst"), &whole[..whole.len() / 2]).unwrap();
    yard.ship.fails(&["digest", "half.tar.zst"], &["half.tar.zst"]);
    fs::write(yard.path("text.tar"), "no archive at all").unwrap();
    yard.ship.fails(&["digest", "text.tar"], &["text.tar"]);
    fs::create_dir(yard.path("empty")).unwrap();
    yard.ship.fails(&["digest", "./empty"], &["empty"]);
}

/// The root of an image of ours, without what engines have their own idea of: the root itself.
fn tree_of(yard: &Yard, ours: &str) -> Tree {
    let mut tree = tree::read_tar(&yard.tar(&format!("oci:source:{ours}"))[..]).unwrap();
    tree.remove(&[][..]);
    tree
}

#[test]
fn docker_loads_and_saves() {
    let what = "docker_loads_and_saves";
    let Some(docker) = Docker::start(what) else { return };
    let yard = Yard::new(Compression::Gzip);
    let docker = |words: &[&str]| tools::run(docker.command(words).current_dir(yard.path("."))).stdout;
    let listed = || {
        let mut names: Vec<String> =
            String::from_utf8(docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]))
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect();
        names.sort();
        names
    };
    let forget = || {
        let names = listed();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        docker(&[&["rmi", "--force"][..], &names].concat());
        assert!(listed().is_empty());
    };
    let saved = ["save", "oci:source:one:1", "oci:source:two:2"];
    for (file, more) in [
        ("both.tar", &[][..]),
        ("both.tar.gz", &[]),
        ("modern.tar", &["--keep-compression"]),
        ("frozen", &["--format", "frozen-image"]),
    ] {
        yard.ok(&[&saved[..], &["-o", file], more].concat());
        if more.contains(&"frozen-image") {
            let tar = yard.by("tar", &["-cC", "frozen", "."]);
            fs::write(yard.path("frozen.tar"), tar).unwrap();
            docker(&["load", "-i", "frozen.tar"]);
        } else {
            docker(&["load", "-i", file]);
        }
        assert_eq!(listed(), ["one:1", "two:2"], "{file}");
        for name in ["one:1", "two:2"] {
            let id = String::from_utf8(docker(&["create", name])).unwrap();
            let tar = docker(&["export", id.trim()]);
            docker(&["rm", id.trim()]);
            let mut theirs = tree::read_tar(&tar[..]).unwrap();
            // What a container gets besides its image.
            for own in [".dockerenv", "dev", "proc", "sys", ""] {
                theirs.retain(|path, _| {
                    path != own.as_bytes() && !path.starts_with(format!("{own}/").as_bytes())
                });
            }
            for own in ["etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab"] {
                theirs.remove(own.as_bytes());
            }
            let mut ours = tree_of(&yard, name);
            // Those are made in `etc`, so that its time is now.
            let etc = theirs.get(&b"etc"[..]).unwrap().mtime;
            ours.get_mut(&b"etc"[..]).unwrap().mtime = etc;
            tree::assert_same(("wharfie", &ours), ("docker", &theirs));
        }
        if file == "both.tar" {
            // What it writes is read, all of it and one of it.
            docker(&["save", "one:1", "two:2", "-o", "theirs.tar"]);
            for name in ["one:1", "two:2"] {
                yard.same_tree(&format!("docker-archive:theirs.tar:{name}"), name);
            }
            yard.by("gzip", &["-k", "theirs.tar"]);
            yard.same_tree("docker-archive:theirs.tar.gz:two:2", "two:2");
        }
        forget();
    }
}

#[test]
fn podman_loads_and_saves() {
    let what = "podman_loads_and_saves";
    if !tools::root(what) || !tools::have(what, &["podman"]) {
        return;
    }
    // Not zstd: podman makes no docker-archive of it.
    let yard = Yard::new(Compression::Gzip);
    // Plain: containers/image 5.22 (podman 4.3.1, skopeo 1.9.3) reads no compressed docker-archive, its own neither.
    yard.ok(&["save", "oci:source:one:1", "oci:source:two:2", "-o", "both.tar"]);
    yard.podman(&["load", "-i", "both.tar"]);
    yard.ok(&["save", "oci:source:one:1", "--format", "oci-archive", "-o", "one-oci.tar"]);
    yard.podman(&["load", "-i", "one-oci.tar"]);
    for (name, ours) in [("one:1", "one:1"), ("two:2", "two:2")] {
        for format in ["docker-archive", "oci-archive", "oci-dir", "docker-dir"] {
            let place = format!("podman-{format}-{}", &ours[..3]);
            yard.podman(&["save", "--format", format, "-o", &place, name]);
            let transport = match format {
                "oci-dir" => "oci",
                "docker-dir" => "dir",
                format => format,
            };
            yard.same_tree(&format!("{transport}:{place}"), ours);
            // What it is, is found out.
            assert_eq!(yard.digest(&format!("./{place}")), yard.digest(&format!("{transport}:{place}")));
        }
    }
}

#[test]
fn skopeo_and_umoci_read_and_write() {
    let what = "skopeo_and_umoci_read_and_write";
    if !tools::have(what, &["skopeo", "umoci"]) {
        return;
    }
    let yard = Yard::new(Compression::Gzip);
    let [one, two] = &yard.images;
    // What they write.
    for (to, ours) in [
        ("docker-archive:s.tar:two:2", "two:2"),
        ("oci-archive:s-oci.tar:two", "two:2"),
        ("dir:s-dir", "two:2"),
        ("oci:s-layout:two", "two:2"),
    ] {
        yard.skopeo("oci:source:two:2", to);
        yard.same_tree(to, ours);
        if !to.starts_with("docker-archive") {
            assert_eq!(&yard.digest(to), two, "{to}");
        }
    }
    // What they read.
    yard.ok(&["save", "oci:source:one:1", "oci:source:two:2", "-o", "both.tar"]);
    yard.ok(&["copy", "oci:source:one:1", "docker-archive:one.tar:one:1"]);
    yard.ok(&["save", "oci:source:one:1", "--format", "oci-archive", "-o", "one-oci.tar"]);
    yard.ok(&["copy", "oci:source:two:2", "dir:two-dir"]);
    for (from, ours, keeps) in [
        ("docker-archive:both.tar:one:1", "one:1", false),
        ("docker-archive:both.tar:two:2", "two:2", false),
        ("docker-archive:one.tar", "one:1", false),
        ("oci-archive:one-oci.tar", "one:1", true),
        ("dir:two-dir", "two:2", true),
    ] {
        drop(fs::remove_dir_all(yard.path("there")));
        yard.skopeo(from, "oci:there:x");
        yard.same_tree("oci:there:x", ours);
        if keeps {
            let expected = if ours == "one:1" { one } else { two };
            assert_eq!(&yard.digest("oci:there:x"), expected, "{from}");
        }
    }
    yard.ok(&["copy", "oci:source:two:2", "oci:for-umoci:two"]);
    if tools::root(what) {
        yard.by("umoci", &["unpack", "--image", "for-umoci:two", "bundle"]);
        let mut theirs = tree::read_folder(&yard.path("bundle/rootfs")).unwrap();
        theirs.remove(&[][..]);
        tree::assert_same(("wharfie", &tree_of(&yard, "two:2")), ("umoci", &theirs));
    }
}

/// What real tools wrote once (`testdata/archives.toml`), the shape of containerd's store among it, is one image.
#[test]
fn archives_of_other_tools_are_read() {
    let yard = Yard::new(Compression::Gzip);
    let folder = tools::workspace().join("testdata/archives");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10);
    let roots: Vec<Vec<u8>> = files
        .iter()
        .map(|file| {
            let name = file.display().to_string();
            yard.ok(&["validate", &name]);
            yard.tar(&name)
        })
        .collect();
    for (file, root) in files.iter().zip(&roots) {
        assert!(*root == roots[0], "{}", file.display());
    }
}

/// The sample goes through every kind of place and comes out as it was.
#[test]
fn the_sample_goes_through_every_place() {
    let yard = Yard::new(Compression::Gzip);
    fs::write(yard.path("sample.tar"), sample::archive()).unwrap();
    let expected = yard.tar("sample:");
    for place in ["oci:p-layout:x", "oci-archive:p.tar:x", "docker-archive:p-docker.tar:x:1", "dir:p-dir"] {
        yard.ok(&["copy", "sample.tar", place]);
        assert!(yard.tar(place) == expected, "{place}");
    }
}

#[test]
fn every_pair_of_places_keeps_the_tree_and_where_bytes_are_kept_the_digest() {
    let what = "every pair of places";
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    let yard = Yard::new(Compression::Zstd);
    let two = &yard.images[1];
    let places = |of: &str| {
        [
            registry.image(&format!("{of}:1")),
            format!("oci:{of}-layout:x"),
            format!("oci-archive:{of}.tar.zst:x"),
            format!("docker-archive:{of}-docker.tar.gz:x:1"),
            format!("dir:{of}-dir"),
        ]
    };
    let expected = yard.tar("oci:source:two:2");
    let keeps = |place: &str| !place.starts_with("docker-archive");
    let first = places("first");
    for place in &first {
        yard.ok(&["copy", "oci:source:two:2", place]);
    }
    for (number, from) in first.iter().enumerate() {
        for to in places(&format!("from-{number}")) {
            yard.ok(&["copy", from, &to]);
            assert!(yard.tar(&to) == expected, "{from} to {to}");
            yard.ok(&["validate", &to]);
            if keeps(from) && keeps(&to) {
                assert_eq!(&yard.digest(&to), two, "{from} to {to}");
            }
        }
    }
}

#[test]
fn several_write_one_layout() {
    let yard = Yard::new(Compression::Gzip);
    let children: Vec<_> = (0..6)
        .map(|number| {
            let from = ["oci:source:one:1", "oci:source:two:2"][number % 2];
            let to = format!("oci:shared:image-{number}");
            yard.ship.command(&[&["-q", "copy", from, &to][..], &PLATFORM].concat()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    for number in 0..6 {
        assert_eq!(yard.digest(&format!("oci:shared:image-{number}")), yard.images[number % 2]);
        yard.ok(&["validate", &format!("oci:shared:image-{number}")]);
    }
    let mut left: Vec<_> =
        fs::read_dir(yard.path("shared")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["blobs", "index.json", "oci-layout"]);
}
