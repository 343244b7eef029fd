//! The main job on a real distribution: what `export` gives is what `umoci` unpacks, and it runs.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;
use testbed::debian::Debian;
use testbed::registry::{Options, Registry};
use testbed::tree::{self, Tree};
use testbed::{tls::Authority, token, token::TokenServer, tools};

use crate::ship::Ship;

/// The image as `umoci unpack` leaves it, read once for all tests.
fn by_umoci(debian: &Debian) -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        let folder = TempDir::new_in(tools::fixtures()).unwrap();
        let bundle = folder.path().join("bundle");
        let image = format!("{}:{}", debian.layout.display(), Debian::TAG);
        tools::run(tools::command("umoci").args(["unpack", "--image", &image]).arg(&bundle));
        tree::read_folder(&bundle.join("rootfs")).unwrap()
    })
}

/// umoci's tree as it ought to be, by the law of layers; each difference has a reason.
fn expected(debian: &Debian) -> Tree {
    by_umoci(debian).clone()
}

fn fixture(what: &str) -> Option<Debian> {
    if !tools::root(what) || !tools::have(what, &["umoci", "skopeo", "docker-registry"]) {
        return None;
    }
    Debian::fixture(what)
}

fn exported(path: &Path) -> Tree {
    tree::read_tar(File::open(path).unwrap()).unwrap()
}

#[test]
fn export_equals_umoci_entry_by_entry_and_runs() {
    let what = "export of Debian";
    let Some(debian) = fixture(what) else { return };
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    registry.push(&debian.source(Debian::TAG), "debian:bookworm", &[]);
    let ship = Ship::new();
    let tar = ship.path("debian.tar");
    ship.ok(&["export", &registry.image("debian:bookworm"), "-o", "debian.tar"]);
    tree::assert_same(("wharfie", &exported(&tar)), ("umoci", &expected(&debian)));

    // As GNU tar puts it on a disk.
    let root = TempDir::new_in(tools::fixtures()).unwrap();
    tools::run(
        tools::command("tar")
            .args(["-x", "-p", "--same-owner", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f"])
            .arg(&tar)
            .arg("-C")
            .arg(root.path()),
    );
    let on_disk = tree::read_folder(root.path()).unwrap();
    tree::assert_same(("wharfie and tar", &on_disk), ("umoci", &expected(&debian)));
    if tools::root(what) {
        let list = tools::run(tools::command("chroot").arg(root.path()).args(["dpkg", "-l"]));
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        assert!(list.lines().any(|line| line.starts_with("ii  dpkg ")), "{list}");
        assert!(list.lines().filter(|line| line.starts_with("ii ")).count() > 80, "{list}");
        let setuid = tools::run(tools::command("chroot").arg(root.path()).args([
            "/usr/bin/find",
            "/usr/local/bin",
            "-perm",
            "-4000",
        ]));
        assert!(String::from_utf8_lossy(&setuid.stdout).contains("/usr/local/bin/suid"));
    }
}

#[test]
fn every_format_and_order_holds_the_same_tree() {
    let what = "formats of export";
    let Some(debian) = fixture(what) else { return };
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    registry.push(&debian.source(Debian::TAG), "debian:bookworm", &[]);
    let ship = Ship::new();
    let image = registry.image("debian:bookworm");
    let export = |more: &[&str]| {
        let mut words = vec!["export", &image, "-o"];
        words.extend(more);
        ship.ok(&words)
    };
    export(&["plain.tar"]);
    let plain = fs::read(ship.path("plain.tar")).unwrap();
    // The same bytes again, by another number of jobs, and as a stream.
    export(&["again.tar", "--jobs", "1"]);
    assert!(plain == fs::read(ship.path("again.tar")).unwrap(), "two exports differ");
    assert!(export(&["-"]).stdout == plain, "the stream differs from the file");

    export(&["packed.tar.gz"]);
    tools::run(Command::new("gzip").arg("-t").arg(ship.path("packed.tar.gz")));
    let unpacked = tools::run(Command::new("gzip").arg("-dc").arg(ship.path("packed.tar.gz")));
    assert!(unpacked.stdout == plain, "the tar in the tar.gz differs");
    if tools::have("tar.zst", &["zstd"]) {
        export(&["packed.tar.zst"]);
        let unpacked = tools::run(tools::command("zstd").arg("-dc").arg(ship.path("packed.tar.zst")));
        assert!(unpacked.stdout == plain, "the tar in the tar.zst differs");
    }
    export(&["sorted.tar", "--order", "canonical"]);
    let sorted = exported(&ship.path("sorted.tar"));
    tree::assert_same(("canonical", &sorted), ("stream", &exported(&ship.path("plain.tar"))));
    let names = names(&ship.path("sorted.tar"));
    assert!(names.is_sorted_by(|a, b| a < b), "canonical is not sorted");
}

fn names(path: &Path) -> Vec<Vec<Vec<u8>>> {
    let output = tools::run(tools::command("tar").args(["--quoting-style=literal", "-tf"]).arg(path));
    let parts = |line: &[u8]| -> Vec<Vec<u8>> {
        line.split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty() && *part != b".")
            .map(<[u8]>::to_vec)
            .collect()
    };
    output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(parts).collect()
}

#[test]
fn the_same_over_tls_with_a_password() {
    let what = "Debian over TLS with htpasswd";
    let Some(debian) = fixture(what) else { return };
    let authority = Authority::new();
    let options = Options { users: &[("ship", "wright")], authority: Some(&authority), ..Options::default() };
    let Some(registry) = Registry::start(what, &options) else { return };
    registry.push(&debian.source(Debian::TAG), "debian:bookworm", &["--dest-creds", "ship:wright"]);
    let ship = Ship::new();
    let image = registry.image("debian:bookworm");
    let ca = registry.authority().unwrap().display().to_string();
    ship.ok(&["export", &image, "-o", "debian.tar", "--ca", &ca, "--creds", "ship:wright"]);
    tree::assert_same(("wharfie", &exported(&ship.path("debian.tar"))), ("umoci", &expected(&debian)));
}

#[test]
fn the_same_with_tokens() {
    let what = "Debian with tokens";
    let Some(debian) = fixture(what) else { return };
    let server = TokenServer::start(token::Options::default());
    let options = Options { tokens: Some(server.auth()), ..Options::default() };
    let Some(registry) = Registry::start(what, &options) else { return };
    registry.push(&debian.source(Debian::TAG), "debian:bookworm", &["--dest-creds", "ship:wright"]);
    let before = server.asked().len();
    let ship = Ship::new();
    ship.ok(&["export", &registry.image("debian:bookworm"), "-o", "debian.tar", "--creds", "ship:wright"]);
    tree::assert_same(("wharfie", &exported(&ship.path("debian.tar"))), ("umoci", &expected(&debian)));
    let asked = &server.asked()[before..];
    assert_eq!(asked.iter().filter(|it| it.status == 200).count(), 1, "one token for five layers: {asked:?}");
}

#[test]
fn a_stream_that_nobody_reads_to_the_end_is_no_panic() {
    let what = "a closed pipe";
    let Some(debian) = fixture(what) else { return };
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    registry.push(&debian.source(Debian::TAG), "debian:bookworm", &[]);
    let ship = Ship::new();
    let mut child = ship
        .command(&["export", &registry.image("debian:bookworm"), "-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 512];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

/// Where nothing is left behind: the folder holds these names and no others.
pub(crate) fn only(folder: &Path, names: &[&str]) {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    found.retain(|path| !names.iter().any(|name| path.ends_with(name)));
    assert!(found.is_empty(), "left behind: {found:?}");
}
