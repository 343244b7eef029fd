//! What looks into images: against `tar` on our own export, and with an eye on what a registry is asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testbed::debian::Debian;
use testbed::image::Layout;
use testbed::layer::{Compression, Layer, Meta};
use testbed::registry::{Options, Registry};
use testbed::tools;

use crate::ship::Ship;

const HISTORY: &[&str] = &["ADD base", "RUN link", "RUN change"];

/// Three layers, each with something that only it decides; answers their digests from the bottom.
fn layout(folder: &Path) -> Vec<String> {
    let meta = Meta::mode(0o644);
    let big: Vec<u8> = (0..500_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let layers = [
        Layer::new()
            .dir("usr/", &Meta::mode(0o755))
            .dir("usr/bin/", &Meta::mode(0o755))
            .file("usr/bin/dash", &Meta::mode(0o4755), "the shell\n")
            .dir("etc/", &Meta::mode(0o755))
            .file("etc/release", &meta, "1\n")
            .file("etc/gone", &meta, "gone\n")
            .file("new\nline", &meta, "")
            .file("big", &meta, &big)
            .finish(),
        Layer::new()
            .symlink("bin", "usr/bin")
            .symlink("usr/bin/sh", "dash")
            .link("etc/linked", "etc/release")
            .symlink("loop", "loop")
            .fifo("pipe", &meta)
            .finish(),
        Layer::new().file("etc/release", &meta, "2\n").whiteout("etc/gone").finish(),
    ];
    let mut layout = Layout::new();
    let packed: Vec<_> = layers.iter().map(|tar| (&tar[..], Compression::Gzip)).collect();
    let image = layout.image(("linux", "amd64"), &packed, &json!({}), HISTORY);
    layout.tag("latest", &image);
    layout.write(folder);
    let blob = |digest: &str| {
        fs::read(folder.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())).unwrap()
    };
    let manifest: Value = serde_json::from_slice(&blob(image["digest"].as_str().unwrap())).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn cat_fetches_no_layer_that_it_does_not_need() {
    let what = "cat from a registry";
    if !tools::have(what, &["skopeo", "docker-registry"]) {
        return;
    }
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    let folder = tempfile::TempDir::new().unwrap();
    let layers = layout(folder.path());
    registry.push(&format!("oci:{}:latest", folder.path().display()), "view:latest", &[]);
    let image = registry.image("view:latest");
    for (path, content, fetched) in [
        ("/etc/release", "2\n", 1),
        ("etc/linked", "1\n", 3),
        ("/bin/sh", "the shell\n", 3),
        ("usr/bin/../bin/dash", "the shell\n", 3),
    ] {
        for arguments in [&["--platform", "linux/amd64"][..], &["--no-verify", "--platform", "linux/amd64"]] {
            let ship = Ship::new();
            let command = [&["cat", &image, path], arguments].concat();
            assert_eq!(text(&ship.ok(&command).stdout), content, "{path}");
            let found = ship.sound();
            let came: Vec<usize> =
                (0..layers.len()).filter(|layer| found.contains_key(&layers[*layer])).collect();
            let wanted: Vec<usize> = (layers.len() - fetched..layers.len()).collect();
            assert_eq!(came, wanted, "{path}");
        }
    }
    // What the top layer removes is known to be gone by it alone.
    let ship = Ship::new();
    ship.fails(&["cat", &image, "etc/gone", "--platform", "linux/amd64"], &["there is no `etc/gone`"]);
    assert_eq!(layers.iter().filter(|layer| ship.sound().contains_key(*layer)).count(), 1);
}

#[test]
fn cat_gives_whole_files_or_none() {
    let ship = Ship::new();
    let layers = layout(&ship.path("image"));
    let cat = |more: &[&str]| ship.run(&[&["cat", "oci:image", "--platform", "linux/amd64"], more].concat());
    let both = cat(&["etc/release", "etc/linked", "bin/sh"]);
    assert_eq!(text(&both.stdout), "2\n1\nthe shell\n", "{}", both.stderr);
    for (path, says) in [
        ("etc", "`/etc` is a directory, not a file"),
        ("pipe", "`/pipe` is a FIFO"),
        ("loop", "its symlinks loop"),
        ("etc/release/x", "there is no `etc/release/x`"),
    ] {
        let ran = cat(&["etc/release", path, "-o", "out"]);
        assert_eq!(ran.code, Some(1), "{path}");
        assert!(ran.stderr.contains(says), "{path}: {}", ran.stderr);
        assert!(ran.stdout.is_empty() && !ship.path("out").exists(), "{path}");
    }
    let ran = cat(&["big", "-o", "out"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(fs::metadata(ship.path("out")).unwrap().len(), 2_000_000);

    // One bit of the bottom layer: nothing of it comes out, though the file itself could be decoded.
    let blob = ship.path("image/blobs/sha256").join(&layers[0]["sha256:".len()..]);
    let mut bytes = fs::read(&blob).unwrap();
    let end = bytes.len() - 9;
    bytes[end] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let ran = cat(&["usr/bin/dash"]);
    assert_eq!((ran.code, &ran.stdout[..]), (Some(1), &b""[..]));
    assert!(ran.stderr.contains("digest"), "{}", ran.stderr);
    // Who does not want it verified gets it, for it stands before the fault.
    assert_eq!(text(&cat(&["usr/bin/dash", "--no-verify"]).stdout), "the shell\n");
    assert_eq!(text(&cat(&["etc/release"]).stdout), "2\n");
}

#[test]
fn ls_tree_and_diff_say_what_is_there() {
    let ship = Ship::new();
    layout(&ship.path("image"));
    let platform = ["--platform", "linux/amd64"];
    let says = |arguments: &[&str]| text(&ship.ok(&[arguments, &platform[..]].concat()).stdout);
    assert_eq!(says(&["ls", "oci:image"]), "big\nbin\netc\nloop\nnew\\nline\npipe\nusr\n");
    assert_eq!(says(&["ls", "oci:image", "/bin/"]), "dash\nsh\n");
    assert_eq!(says(&["ls", "oci:image", "etc", "-0"]), "/etc/linked\0/etc/release\0");
    assert_eq!(says(&["ls", "-d", "oci:image", "/bin", "/bin/", "etc"]), "/bin\n/usr/bin\n/etc\n");
    let long = says(&["ls", "-l", "oci:image", "/bin/dash", "/loop"]);
    assert!(long.starts_with("-rwsr-xr-x 1 0 0 10 "), "{long}");
    assert!(long.contains("/loop -> loop\n"), "{long}");
    ship.fails(
        &["ls", "oci:image", "etc/relaese", "--platform", "linux/amd64"],
        &["did you mean `etc/release`"],
    );
    let listed = says(&["ls", "-R", "--json", "oci:image"]);
    let rows: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let row = |path: &str| rows.iter().find(|row| row["path"] == path).unwrap();
    assert_eq!(row("usr/bin/dash")["mode"], "4755");
    assert_eq!(row("etc/linked")["layer"], 0);
    assert_eq!(row("etc/release")["layer"], 2);
    assert_eq!(row("new\nline")["type"], "file");

    let tree: Vec<Value> = says(&["tree", "--json", "oci:image"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((&tree[0]["path"], &tree[0]["bytes"]), (&json!(""), &json!(2_000_014)));
    assert_eq!(tree[1]["path"], "big");
    let shown = says(&["tree", "oci:image", "--depth", "1", "--min-size", "1M"]);
    assert!(shown.contains("`-- big\n"), "{shown}");

    let layers: Vec<Value> = says(&["diff", "--layers", "--json", "oci:image"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(layers[2]["createdBy"], "RUN change");
    assert_eq!(layers[2]["changed"], json!({"paths": 1, "bytes": 2}));
    assert_eq!(layers[2]["removed"], json!({"paths": 1, "bytes": 5}));
    // `etc/release` twice with 2 bytes each, `etc/gone` with 5 and its whiteout.
    let waste = &layers[3]["waste"];
    assert_eq!(waste["wastedBytes"], 9);
    assert_eq!(waste["paths"][0], json!({"path": "etc/gone", "count": 2, "bytes": 5}));
    let (minimal, discovered) =
        (waste["minimalBytes"].as_u64().unwrap(), waste["discoveredBytes"].as_u64().unwrap());
    assert_eq!(discovered - minimal, 7);

    assert_eq!(says(&["diff", "oci:image", "oci:image", "--exit-code"]), "no differences\n");
    let other = ship.path("other");
    let tar =
        Layer::new().file("etc/release", &Meta::mode(0o644), "3\n").dir("etc/", &Meta::mode(0o755)).finish();
    let mut made = Layout::new();
    let image = made.image(("linux", "amd64"), &[(&tar, Compression::Zstd)], &json!({}), &["FROM scratch"]);
    made.tag("latest", &image);
    made.write(&other);
    let ran = ship.run(&[&["diff", "oci:image", "oci:other", "--exit-code"][..], &platform].concat());
    let out = text(&ran.stdout);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(out.contains("M /etc/release  content (both 2 B)\n") && out.contains("D /usr/bin/\n"), "{out}");
    let ran = ship.run(&[&["diff", "oci:image", "oci:nowhere", "--exit-code"][..], &platform].concat());
    assert_eq!(ran.code, Some(2));
}

/// `ls -lR` of an image says what `tar -tv` says of its export.
#[test]
fn ls_of_debian_equals_tar_of_the_export() {
    let what = "ls of Debian";
    let Some(debian) = Debian::fixture(what) else { return };
    let ship = Ship::new();
    let image = format!("oci:{}:{}", debian.layout.display(), Debian::TAG);
    ship.ok(&["export", &image, "-o", "debian.tar"]);
    let mut command = tools::command("tar");
    command.args(["--numeric-owner", "--utc", "--full-time", "--quoting-style=literal", "-tvf"]);
    let listed = tools::run(command.arg(ship.path("debian.tar")));
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    let mut linked = Vec::new();
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let mut words = line.split_whitespace();
        let mut word = || words.next().unwrap();
        let (mode, owner, size, date, time) = (word(), word(), word(), word(), word());
        let name = line[line.find(time).unwrap() + time.len() + 1..].to_owned();
        let time = format!("{date}T{}Z", time.split('.').next().unwrap());
        let owner = owner.replace('/', " ");
        if let Some((name, target)) = name.split_once(" link to ") {
            linked.push((name.to_owned(), target.to_owned()));
            continue;
        }
        let (name, link) = name.split_once(" -> ").map_or((&name[..], ""), |(name, link)| (name, link));
        let name = format!("/{}", name.trim_start_matches("./").trim_end_matches('/'));
        wanted.insert(name, format!("{mode} {owner} {size} {time} {link}"));
    }
    for (name, target) in linked {
        wanted.insert(format!("/{name}"), wanted[&format!("/{target}")].clone());
    }
    let listed = ship.ok(&["ls", "-lR", &image]).stdout;
    let found: BTreeMap<String, String> = String::from_utf8_lossy(&listed)
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = line.find(words[5]).unwrap() + words[5].len() + 1;
            let (name, link) = line[at..].split_once(" -> ").unwrap_or((&line[at..], ""));
            let said = format!("{} {} {} {} {} {link}", words[0], words[2], words[3], words[4], words[5]);
            (name.to_owned(), said)
        })
        .collect();
    assert!(found.len() > 5_000, "{}", found.len());
    for (name, said) in &wanted {
        // Names with what `ls` escapes are not compared by name.
        if name.contains('\\') || !name.is_ascii() {
            continue;
        }
        assert_eq!(found.get(name), Some(said), "{name}");
    }
    assert_eq!(found.len(), wanted.len());
}

/// One layer of `first` (9 MB that hardly pack) and `second`, and one above; answers the path of the lower blob.
fn deep_layout(ship: &Ship, format: Compression) -> std::path::PathBuf {
    let meta = Meta::mode(0o644);
    let noise = |count: u32, seed: u32| -> Vec<u8> {
        (0..count)
            .flat_map(|n| n.wrapping_add(seed).wrapping_mul(2_654_435_761).rotate_left(n % 31).to_le_bytes())
            .collect()
    };
    let lower = Layer::new()
        .file("first", &meta, noise(2_250_000, 1))
        .file("second", &meta, noise(100_000, 7))
        .file("empty", &meta, "")
        .finish();
    let upper = Layer::new().file("top", &meta, "top\n").finish();
    let mut layout = Layout::new();
    let image = layout.image(
        ("linux", "amd64"),
        &[(&lower[..], format), (&upper[..], format)],
        &json!({}),
        &["A", "B"],
    );
    layout.tag("latest", &image);
    let folder = ship.path("image");
    layout.write(&folder);
    let blobs = fs::read_dir(folder.join("blobs/sha256")).unwrap();
    let blobs = blobs.map(|entry| entry.unwrap().path());
    blobs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

fn side_indexes(ship: &Ship) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(ship.store().join("side/sha256")) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn a_layer_that_was_read_is_not_read_again() {
    let ship = Ship::new();
    let blob = deep_layout(&ship, Compression::Gzip);
    let cat = |more: &[&str]| ship.run(&[&["cat", "oci:image", "--platform", "linux/amd64"], more].concat());
    let list = || ship.ok(&["ls", "-R", "--json", "oci:image", "--platform", "linux/amd64"]).stdout;
    // Nothing is kept where there is no store.
    let second = cat(&["second"]).stdout;
    assert_eq!((second.len(), ship.store().exists()), (400_000, false));
    let first = cat(&["first"]).stdout;
    let listed = list();
    Layout::new().write(ship.store());
    assert_eq!(text(&cat(&["top"]).stdout), "top\n");
    assert_eq!(side_indexes(&ship).len(), 1, "the lower layer was not read");
    let both = cat(&["second", "first", "empty", "top"]);
    assert!(both.stdout == [&second[..], &first, b"top\n"].concat(), "{}", both.stderr);
    let kept = side_indexes(&ship);
    assert_eq!(kept.len(), 2);
    let size = |path: &Path| fs::metadata(path).unwrap().len();
    assert!(kept.iter().map(|path| size(path)).sum::<u64>() < 200_000);
    for arguments in [&["second"][..], &["second", "--no-verify"], &["second", "--verify"]] {
        let again = cat(arguments);
        assert!(again.code == Some(0) && again.stdout == second, "{arguments:?}: {}", again.stderr);
    }
    assert!(list() == listed && list() == listed);
    assert_eq!(cat(&["third"]).code, Some(1));

    // What lies before the checkpoint is not looked at, and names are known without the blob.
    let sound = fs::read(&blob).unwrap();
    let mut rotten = sound.clone();
    rotten[5_000] ^= 1;
    fs::write(&blob, &rotten).unwrap();
    assert!(cat(&["second"]).stdout == second);
    assert!(list() == listed);
    let long = cat(&["second", "--verify"]);
    assert!(
        long.code == Some(1) && long.stdout.is_empty() && long.stderr.contains("digest"),
        "{}",
        long.stderr
    );
    // A file that has changed is found out before anything of it, or of another, goes out.
    for paths in [&["first"][..], &["second", "first"], &["top", "first"]] {
        let found = cat(paths);
        assert!(found.code == Some(1) && found.stdout.is_empty(), "{paths:?}: {}", found.stderr);
        assert!(found.stderr.contains("digest"), "{}", found.stderr);
        let again = [&["cat", "oci:image", "--platform", "linux/amd64", "top"][..]].concat();
        ship.ok(&again);
    }
    assert_eq!(side_indexes(&ship).len(), 1, "what is in doubt is removed");
    fs::write(&blob, &rotten[..rotten.len() - 1]).unwrap();
    assert_eq!(cat(&["second"]).code, Some(1));
    fs::write(&blob, &sound).unwrap();
    assert!(cat(&["second"]).stdout == second);
    assert_eq!(side_indexes(&ship).len(), 2);

    // A side index that cannot be used is made anew.
    for damage in [&b""[..], b"wharfie side index", &[0; 100_000]] {
        for path in &kept {
            fs::write(path, damage).unwrap();
        }
        assert!(list() == listed && cat(&["second"]).stdout == second);
        assert!(kept.iter().all(|path| fs::read(path).unwrap() != damage));
    }
    // Not one of another blob, either.
    fs::copy(&kept[0], &kept[1]).unwrap();
    assert!(list() == listed);

    let used = || -> Value { serde_json::from_slice(&ship.ok(&["store", "du", "--json"]).stdout).unwrap() };
    assert_eq!(used()["sideIndexes"], 2);
    assert!(used()["sideIndexBytes"].as_u64().unwrap() > 1_000);
    let pruned = ship.ok(&["store", "prune", "--json"]).stdout;
    let pruned: Value = serde_json::from_slice(&pruned).unwrap();
    assert_eq!((&pruned["sideIndexes"], &used()["sideIndexes"]), (&json!(2), &json!(0)));
    assert!(side_indexes(&ship).is_empty());
}

#[test]
fn side_indexes_of_other_compressions() {
    for format in [Compression::None, Compression::Zstd] {
        let ship = Ship::new();
        deep_layout(&ship, format);
        Layout::new().write(ship.store());
        let cat = |path: &str| ship.ok(&["cat", "oci:image", path, "--platform", "linux/amd64"]).stdout;
        let read: Vec<_> = ["first", "second", "empty", "top"].map(cat).into();
        assert_eq!(side_indexes(&ship).len(), 2);
        let again: Vec<_> = ["first", "second", "empty", "top"].map(cat).into();
        assert!(read == again);
        assert_eq!((read[0].len(), read[1].len(), read[2].len()), (9_000_000, 400_000, 0));
    }
}

#[test]
fn side_indexes_go_with_their_blobs() {
    let what = "side indexes in the store";
    if !tools::have(what, &["skopeo", "docker-registry"]) {
        return;
    }
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    let ship = Ship::new();
    layout(&ship.path("image"));
    registry.push(&format!("oci:{}:latest", ship.path("image").display()), "view:latest", &[]);
    let image = registry.image("view:latest");
    ship.ok(&["ls", &image, "--platform", "linux/amd64"]);
    assert_eq!(side_indexes(&ship).len(), 3);
    let source = format!("oci:{}", ship.store().display());
    tools::run(tools::command("skopeo").args(["inspect", "--raw", &source]));
    ship.ok(&["store", "prune"]);
    assert_eq!(side_indexes(&ship).len(), 3, "they are of blobs that are needed");
    ship.ok(&["store", "prune", "--all", "--dry-run"]);
    assert_eq!(side_indexes(&ship).len(), 3);
    ship.ok(&["store", "prune", "--all"]);
    assert!(side_indexes(&ship).is_empty() && ship.sound().is_empty());
}
