//! The options of `export` as a user gives them: which paths, whose, how old, in which order and form.

use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::image::Layout;
use testbed::layer::{Compression, Layer, Meta};
use testbed::tools;
use testbed::tree::{self, Tree};

use crate::ship::{Ran, Ship, run};

fn read(ship: &Ship, name: &str) -> Tree {
    tree::read_tar(File::open(ship.path(name)).unwrap()).unwrap()
}

fn names(tree: &Tree) -> Vec<String> {
    tree.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

/// `export sample:` with more words, to `x.tar`.
fn sample(ship: &Ship, more: &[&str]) -> Tree {
    ship.ok(&[&["export", "sample:", "-o", "x.tar"], more].concat());
    read(ship, "x.tar")
}

fn is_usage(ran: &Ran, says: &str) {
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains(says), "`{says}` is not said:\n{}", ran.stderr);
}

/// An image of these layers in the folder `layout`.
fn image(ship: &Ship, layers: Vec<Layer>) -> &'static str {
    let tars: Vec<Vec<u8>> = layers.into_iter().map(Layer::finish).collect();
    let packed: Vec<_> = tars.iter().map(|tar| (&tar[..], Compression::Gzip)).collect();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let mut layout = Layout::new();
    let manifest = layout.image(("linux", architecture), &packed, &json!({}), &vec!["made"; packed.len()]);
    layout.tag("x", &manifest);
    layout.write(&ship.path("layout"));
    "oci:layout:x"
}

#[test]
fn only_what_is_chosen_comes_out() {
    let ship = Ship::new();
    let whole = sample(&ship, &[]);
    let words = ["--include", "/etc", "--exclude", "passwd", "--exclude", "*.d/"];
    for order in ["stream", "canonical"] {
        let chosen = sample(&ship, &[&words[..], &["--order", order]].concat());
        assert_eq!(names(&chosen), ["", "etc", "etc/group", "etc/motd", "etc/os-release"]);
        for (name, entry) in &chosen {
            assert_eq!(Some(entry), whole.get(name));
        }
    }
    let ran = ship.ok(&[&["export", "sample:", "-o", "x.tar", "--json"], &words[..]].concat());
    assert!(ran.stderr.contains("--exclude *.d/: nothing in the image matches"), "{}", ran.stderr);
    let report: Value = serde_json::from_str(ran.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(report["unmatched"], json!([{"option": "exclude", "pattern": "*.d/"}]));
    assert_eq!(report["entries"], 5);

    // The data comes with the name that is left.
    let linked = sample(&ship, &["--exclude", "/srv/crate"]);
    assert_eq!(linked[&b"srv/crate-again"[..]].kind, whole[&b"srv/crate"[..]].kind);
    assert!(!linked.contains_key(&b"srv/crate"[..]));

    for (pattern, says) in [("etc/[", "at byte 4"), ("", "it is empty"), ("../x", "`..`"), ("{a", "no `}`")] {
        let ran = ship.run(&["export", "sample:", "-o", "y.tar", "--include", pattern]);
        is_usage(&ran, says);
        assert!(!ship.path("y.tar").exists());
    }
}

#[test]
fn owners_become_the_hosts() {
    let ship = Ship::new();
    let layers = || {
        let user = Meta::mode(0o640).owner(1000, 50);
        let acl = [
            &[2, 0, 0, 0][..],
            &[1, 0, 6, 0, 255, 255, 255, 255],
            &[2, 0, 7, 0, 0xe8, 3, 0, 0],
            &[4, 0, 4, 0, 255, 255, 255, 255],
            &[16, 0, 7, 0, 255, 255, 255, 255],
            &[32, 0, 4, 0, 255, 255, 255, 255],
        ];
        let listed = Meta::mode(0o674).xattr("system.posix_acl_access", &acl.concat());
        vec![
            Layer::new()
                .dir("home", &Meta::mode(0o755))
                .dir("home/user", &Meta::mode(0o700).owner(1000, 1000))
                .file("home/user/a", &user, "a")
                .link("home/b", "home/user/a")
                .file("etc", &Meta::mode(0o600), "root's"),
            Layer::new().symlink("soft", "etc").file("listed", &listed, "x"),
        ]
    };
    let image = image(&ship, layers());
    let maps = ["--uid-map", "0:100000:65536", "--gid-map", "0:200000:100", "--gid-map", "1000:7:1"];
    ship.ok(&[&["export", image, "-o", "x.tar"], &maps[..]].concat());
    let tree = read(&ship, "x.tar");
    let owner = |name: &str| (tree[name.as_bytes()].uid, tree[name.as_bytes()].gid);
    assert_eq!(owner("home"), (100_000, 200_000));
    assert_eq!(owner("home/user"), (101_000, 7));
    assert_eq!((owner("home/user/a"), owner("home/b")), ((101_000, 200_050), (101_000, 200_050)));
    assert_eq!(owner("soft"), (100_000, 200_000));
    let acl = &tree[&b"listed"[..]].xattrs[&b"system.posix_acl_access"[..]];
    assert_eq!(acl[16..20], 101_000_u32.to_le_bytes());

    let short = ["export", image, "-o", "y.tar", "--uid-map", "0:100000:1000"];
    let ran = ship
        .fails(&short, &["uid 1000", "layer 1", "entry listed", "hint: ", "--uid-map CONTAINER:HOST:SIZE"]);
    assert!(!ran.stderr.contains("internal") && !ship.path("y.tar").exists());
    for (map, says) in [
        (&["0:5:10", "9:100:1"][..], "overlaps 0:5:10 in the image"),
        (&["0:5:10", "10:14:1"], "on the host"),
        (&["0:5:0"], "no numbers"),
        (&["0:4294967290:10"], "beyond"),
        (&["0"], "CONTAINER:HOST:SIZE"),
        (&["0:+1:1"], "CONTAINER:HOST:SIZE"),
    ] {
        let mut words = vec!["export", image, "-o", "y.tar"];
        map.iter().for_each(|range| words.extend(["--uid-map", range]));
        is_usage(&ship.run(&words), says);
    }

    // umoci leaves the numbers in ACLs as they are; in all else it agrees.
    let what = "umoci's maps";
    if !tools::root(what) || !tools::have(what, &["umoci"]) {
        return;
    }
    fs::create_dir_all(tools::fixtures()).unwrap();
    let folder = TempDir::new_in(tools::fixtures()).unwrap();
    let bundle = folder.path().join("bundle");
    let from = format!("{}:x", ship.path("layout").display());
    tools::run(tools::command("umoci").args(["unpack", "--image", &from]).args(maps).arg(&bundle));
    let mut theirs = tree::read_folder(&bundle.join("rootfs")).unwrap();
    let root = theirs.remove(&b""[..]);
    assert!(root.is_some());
    theirs.get_mut(&b"listed"[..]).unwrap().xattrs.clone_from(&tree[&b"listed"[..]].xattrs);
    tree::assert_same(("wharfie", &tree), ("umoci", &theirs));
}

#[test]
fn nothing_is_later_than_what_is_said() {
    let ship = Ship::new();
    let whole = sample(&ship, &[]);
    let plain = fs::read(ship.path("x.tar")).unwrap();
    let at = 1_735_689_660;
    let seconds = sample(&ship, &["--mtime", "1735689660"]);
    let bytes = fs::read(ship.path("x.tar")).unwrap();
    for (name, entry) in &whole {
        assert_eq!(seconds[name].mtime, entry.mtime.min((at, 0)), "{}", name.escape_ascii());
    }
    assert!(whole.values().any(|entry| entry.mtime.0 > at) && whole.values().any(|entry| entry.mtime.0 < at));
    for time in ["2025-01-01T00:01:00Z", "2025-01-01T01:01:00+01:00", "@1735689660"] {
        sample(&ship, &["--mtime", time]);
        assert!(fs::read(ship.path("x.tar")).unwrap() == bytes, "{time}");
    }
    let before = sample(&ship, &["--mtime", "-1.5"]);
    assert!(before.values().all(|entry| entry.mtime == (-2, 500_000_000)));
    is_usage(&ship.run(&["export", "sample:", "-o", "y.tar", "--mtime", "tomorrow"]), "RFC 3339");

    // The variable is for whoever gives it.
    let mut command = ship.command(&["export", "sample:", "-o", "z.tar"]);
    assert_eq!(run(command.env("SOURCE_DATE_EPOCH", "0")).code, Some(0));
    assert!(fs::read(ship.path("z.tar")).unwrap() == plain);
}

#[test]
fn forms_levels_and_orders() {
    let ship = Ship::new();
    let export = |name: &str, more: &[&str]| -> Vec<u8> {
        ship.ok(&[&["export", "sample:", "-o", name], more].concat());
        fs::read(ship.path(name)).unwrap()
    };
    let plain = export("a.tar", &[]);
    assert!(
        plain == export("b", &["--jobs", "1"])
            && plain == export("c.gz", &["--format", "tar", "--jobs", "7"])
    );
    let all = ["--exclude", "tides.csv", "--uid-map", "0:5:2000", "--mtime", "7", "--order", "canonical"];
    for format in ["tar", "tar.gz", "tar.zst"] {
        let more = [&all[..], &["--format", format]].concat();
        assert!(export("d", &more) == export("e", &[&more[..], &["--jobs", "1"]].concat()), "{format}");
    }
    let (gzip, zstd) = (export("f", &["--format", "tar.gz"]), export("g.tzst", &[]));
    assert!(gzip.starts_with(&[0x1f, 0x8b]) && zstd.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    for (name, levels) in [("h.tar.gz", ["1", "9"]), ("h.tar.zst", ["1", "19"])] {
        let sizes = levels.map(|level| export(name, &["--level", level]).len());
        assert!(sizes[0] > sizes[1], "{name}: {sizes:?}");
    }
    for (name, level) in [("i.tar.gz", "10"), ("i.tar.zst", "23"), ("i.tar", "1")] {
        is_usage(&ship.run(&["export", "sample:", "-o", name, "--level", level]), "level");
        assert!(!ship.path(name).exists());
    }
    let sorted = export("j.tar", &["--order", "canonical"]);
    assert!(sorted != plain);
    tree::assert_same(("canonical", &read(&ship, "j.tar")), ("stream", &read(&ship, "a.tar")));

    let (usr, meta) = (Meta::mode(0o755), Meta::mode(0o644));
    let below = Layer::new().dir("usr", &usr).dir("usr/lib", &usr).symlink("lib", "usr/lib");
    let image = image(&ship, vec![below, Layer::new().dir("lib", &usr).file("lib/x", &meta, "x")]);
    ship.ok(&["export", image, "-o", "k.tar"]);
    assert_eq!(names(&read(&ship, "k.tar")), ["lib", "lib/x", "usr", "usr/lib"]);
    ship.ok(&["export", image, "-o", "k.tar", "--keep-directory-symlink"]);
    assert_eq!(names(&read(&ship, "k.tar")), ["lib", "usr", "usr/lib", "usr/lib/x"]);
}

#[test]
fn what_umoci_insert_makes_is_taken_though_its_padding_is_cut() {
    let what = "umoci insert";
    if !tools::have(what, &["umoci"]) {
        return;
    }
    let ship = Ship::new();
    let umoci = |words: &[&str]| tools::run(tools::command("umoci").args(words).current_dir(ship.path("")));
    umoci(&["init", "--layout", "l"]);
    umoci(&["new", "--image", "l:x"]);
    for (name, data) in [("one", "1"), ("two", "22"), ("block", &"b".repeat(512))] {
        fs::write(ship.path(name), data).unwrap();
        umoci(&["insert", "--image", "l:x", name, &format!("/d/{name}")]);
    }
    for (order, name) in [("stream", "x.tar"), ("canonical", "y.tar")] {
        let ran = ship.ok(&["export", "oci:l:x", "-o", name, "--order", order, "--json"]);
        let report: Value = serde_json::from_str(ran.stderr.lines().last().unwrap()).unwrap();
        let cut = report["layers"].as_array().unwrap();
        let cut = cut.iter().filter(|layer| layer["tarBytes"].as_u64().unwrap() % 512 > 0).count();
        if cut == 0 {
            tools::skip(what, "this one pads what it writes");
        }
        assert_eq!(report["notes"]["cut_padding"].as_u64().unwrap_or(0), cut as u64);
        let tree = read(&ship, name);
        assert_eq!(names(&tree), ["d", "d/block", "d/one", "d/two"]);
        if tools::have(what, &["tar"]) {
            let tar =
                |words: &[&str]| tools::run(tools::command("tar").args(words).current_dir(ship.path("")));
            assert_eq!(tar(&["-xOf", name, "d/one", "d/two"]).stdout.len(), 3);
        }
    }
    ship.ok(&["validate", "oci:l:x"]);
    assert!(Path::new(&ship.path("x.tar")).exists());
}
