//! `load`: archives and layouts of a folder brought into a layout, all or none, killed or not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::image::{Layout, digest};
use testbed::layer::{Compression, Layer, Meta, noise};

const REF_NAME: &str = "org.opencontainers.image.ref.name";

fn own_platform() -> (&'static str, &'static str) {
    ("linux", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" })
}

/// An image of two layers, one of them shared by all; its manifest's descriptor.
fn image(layout: &mut Layout, platform: (&str, &str), seed: u64, len: usize) -> Value {
    let shared = Layer::new().file("shared", &Meta::mode(0o644), noise(0, 20_000)).finish();
    let own = Layer::new().file("own", &Meta::mode(0o644), noise(seed, len)).finish();
    let layers = [(shared.as_slice(), Compression::Gzip), (own.as_slice(), Compression::Gzip)];
    layout.image(platform, &layers, &json!({}), &["shared", "own"])
}

/// A layout with one image, under this name if one is given; the digest of the manifest.
fn one(name: Option<&str>, seed: u64, len: usize) -> (Layout, String) {
    let mut layout = Layout::new();
    let manifest = image(&mut layout, own_platform(), seed, len);
    layout.tag(name.unwrap_or_default(), &manifest);
    (layout, manifest["digest"].as_str().unwrap().to_owned())
}

fn wharfie(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharfie"));
    command.args(arguments).current_dir(home).stdin(Stdio::null()).stdout(Stdio::piped());
    command.env_clear().env("HOME", home).env("WHARFIE_STORE", home.join("store"));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    wharfie(home, arguments).output().unwrap()
}

fn ok(home: &Path, arguments: &[&str]) -> String {
    let output = run(home, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Fails, and says each of these.
fn fails(home: &Path, arguments: &[&str], says: &[&str]) {
    let output = run(home, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {said}");
    for word in says {
        assert!(said.contains(word), "{arguments:?} does not say `{word}`: {said}");
    }
}

/// Checks that a layout can be read, and that everything that it names is there and holds; its names and their digests.
fn sound(root: &Path) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    if !root.join("oci-layout").exists() {
        return names;
    }
    let read = |digest: &str| {
        let path = root.join("blobs").join(digest.replace(':', "/"));
        let data = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(testbed::image::digest(&data), digest);
        data
    };
    let marker: Value = serde_json::from_slice(&fs::read(root.join("oci-layout")).unwrap()).unwrap();
    assert_eq!(marker["imageLayoutVersion"], "1.0.0");
    let index: Value = serde_json::from_slice(&fs::read(root.join("index.json")).unwrap()).unwrap();
    let mut open: Vec<Value> = index["manifests"].as_array().unwrap().clone();
    for entry in &open {
        let name = entry["annotations"][REF_NAME].as_str().unwrap_or_default().to_owned();
        let digest = entry["digest"].as_str().unwrap().to_owned();
        assert_eq!(names.insert(name, digest), None, "a name twice: {index}");
    }
    while let Some(descriptor) = open.pop() {
        let data = read(descriptor["digest"].as_str().unwrap());
        assert_eq!(descriptor["size"], data.len());
        if descriptor["mediaType"].as_str().unwrap().contains("manifest")
            || descriptor["mediaType"].as_str().unwrap().contains("index")
        {
            let document: Value = serde_json::from_slice(&data).unwrap();
            open.extend(document["manifests"].as_array().cloned().unwrap_or_default());
            open.extend(document["layers"].as_array().cloned().unwrap_or_default());
            open.extend(document.get("config").cloned());
        }
    }
    names
}

/// All files of a directory with their content.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(snapshot(&entry.path()));
            found.insert(entry.path(), Vec::new());
        } else {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn layouts_of_a_folder_and_what_else_is_in_it() {
    let home = TempDir::new().unwrap();
    let folder = home.path().join("in");
    let (first, first_digest) = one(None, 1, 50_000);
    first.write(&folder.join("pipeline"));
    let (second, second_digest) = one(Some("app:1"), 2, 50_000);
    second.write(&folder.join("other"));
    let (third, third_digest) = one(None, 3, 5_000);
    third.write(&folder.join("流水线"));
    fs::write(folder.join("README.md"), "these are images").unwrap();
    fs::write(folder.join(".DS_Store"), b"\0\0\0\x01Bud1").unwrap();
    fs::create_dir(folder.join("notes")).unwrap();

    let said = ok(home.path(), &["load", "--all", "in", "--into", "out"]);
    let expected: BTreeMap<String, String> =
        [("pipeline", &first_digest), ("app:1", &second_digest), ("流水线", &third_digest)]
            .into_iter()
            .map(|(name, digest)| (name.to_owned(), digest.clone()))
            .collect();
    assert_eq!(sound(&home.path().join("out")), expected);
    for (name, digest) in &expected {
        assert!(said.contains(&format!("{name}@{digest}\n")), "{said}");
    }
    // Again is no change, and each has its layout if that is asked for.
    ok(home.path(), &["load", "--all", "in", "--into", "out"]);
    assert_eq!(sound(&home.path().join("out")), expected);
    ok(home.path(), &["load", "--all", "in", "--each-into", "each"]);
    for (directory, name) in [("pipeline", "pipeline"), ("app_1", "app:1"), ("流水线", "流水线")] {
        let found = sound(&home.path().join("each").join(directory));
        assert_eq!(found, BTreeMap::from([(name.to_owned(), expected[name].clone())]));
    }
    // And goes when it is asked to, with nothing of it left but what is none of it.
    ok(home.path(), &["load", "--all", "in", "--into", "out", "--remove"]);
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
    assert_eq!(sound(&home.path().join("out")), expected);
    fails(home.path(), &["load", "--all", "in", "--into", "out"], &["not found", "in"]);
}

#[test]
fn the_first_failure_leaves_everything_as_it_was() {
    let home = TempDir::new().unwrap();
    let (folder, out) = (home.path().join("in"), home.path().join("out"));
    one(Some("before"), 9, 1000).0.write(&out);
    one(None, 1, 50_000).0.write(&folder.join("a"));
    one(None, 2, 50_000).0.write(&folder.join("b"));
    let (rotten, _) = one(None, 3, 50_000);
    rotten.write(&folder.join("c"));
    let largest = fs::read_dir(folder.join("c/blobs/sha256")).unwrap();
    let largest =
        largest.map(|blob| blob.unwrap().path()).max_by_key(|path| fs::metadata(path).unwrap().len());
    let largest = largest.unwrap();
    let right = fs::read(&largest).unwrap();
    let before = snapshot(&out);
    let load = ["load", "--all", "in", "--into", "out", "--remove"];

    let mut wrong = right.clone();
    wrong[30_000] ^= 1;
    fs::write(&largest, &wrong).unwrap();
    fails(home.path(), &load, &["digest mismatch", "in/c"]);
    fs::write(&largest, &right[..30_000]).unwrap();
    fails(home.path(), &load, &["in/c"]);
    fs::remove_file(&largest).unwrap();
    fails(home.path(), &load, &["not found", "in/c"]);
    fs::write(&largest, &right).unwrap();
    // Two of one name.
    one(Some("a"), 4, 100).0.write(&folder.join("d"));
    fails(home.path(), &load, &["`a`", "in/a ", "in/d", "hint:"]);
    fs::remove_dir_all(folder.join("d")).unwrap();
    // A download that has not ended.
    fs::write(folder.join("e.tar.gz.part"), b"\x1f\x8b\x08\0\0").unwrap();
    fails(home.path(), &load, &["in/e.tar.gz.part"]);
    fs::remove_file(folder.join("e.tar.gz.part")).unwrap();
    // Of no use to this machine.
    let mut foreign = Layout::new();
    let manifest = image(&mut foreign, ("linux", "s390x"), 5, 100);
    let index = foreign.index(&[manifest]);
    foreign.tag("foreign", &index);
    foreign.write(&folder.join("f"));
    fails(home.path(), &load, &["linux/s390x", "in/f", "--platform"]);
    fs::remove_dir_all(folder.join("f")).unwrap();
    // The target itself.
    fails(home.path(), &["load", "--all", "in", "--into", "in"], &["both"]);

    assert!(snapshot(&out) == before, "the target was touched");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    ok(home.path(), &load);
    assert_eq!(sound(&out).into_keys().collect::<Vec<_>>(), ["a", "b", "before", "c"]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn what_the_target_has_and_is_wrong_is_replaced() {
    let home = TempDir::new().unwrap();
    let (folder, out) = (home.path().join("in"), home.path().join("out"));
    one(None, 1, 50_000).0.write(&folder.join("a"));
    ok(home.path(), &["load", "--all", "in", "--into", "out"]);
    let blobs = fs::read_dir(out.join("blobs/sha256")).unwrap().map(|blob| blob.unwrap().path());
    let largest = blobs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut wrong = fs::read(&largest).unwrap();
    wrong[40_000] ^= 1;
    fs::write(&largest, wrong).unwrap();
    // Of the right length, and no more than that.
    ok(home.path(), &["load", "--all", "in", "--into", "out", "--remove"]);
    assert_eq!(sound(&out).len(), 1);
    assert!(!folder.join("a").exists());
}

#[test]
fn an_index_is_narrowed() {
    let home = TempDir::new().unwrap();
    let mut layout = Layout::new();
    let own = image(&mut layout, own_platform(), 1, 1000);
    let other = image(&mut layout, ("linux", "s390x"), 2, 1000);
    let index = layout.index(&[own.clone(), other.clone()]);
    layout.tag("app", &index);
    layout.write(&home.path().join("app"));
    let text = |value: &Value| value["digest"].as_str().unwrap().to_owned();
    let loaded = |arguments: &[&str]| {
        let out = format!("out{}", arguments.len());
        let _ = fs::remove_dir_all(home.path().join(&out));
        ok(home.path(), &[&["load", "-i", "app", "--into", &out], arguments].concat());
        let blobs = fs::read_dir(home.path().join(&out).join("blobs/sha256")).unwrap().count();
        (sound(&home.path().join(&out)).remove("app").unwrap(), blobs)
    };
    // Manifest, config and two layers; the index, and twice as many less the layer that both share.
    assert_eq!(loaded(&[]), (text(&own), 4));
    assert_eq!(loaded(&["--platform", "linux/s390x"]), (text(&other), 4));
    assert_eq!(loaded(&["--all-platforms"]), (text(&index), 8));
    assert_eq!(loaded(&["--digest", &text(&other)]), (text(&other), 4));
    assert_eq!(loaded(&["--digest", &text(&index)]), (text(&index), 8));
    let unknown = digest(b"unknown");
    fails(home.path(), &["load", "-i", "app", "--into", "no", "--digest", &unknown], &[&unknown, "app"]);
    assert!(!home.path().join("no").exists());
    // Into the store, by a name that other commands know it by.
    ok(home.path(), &["load", "-i", "app", "--name", "mine:2"]);
    assert!(ok(home.path(), &["digest", "mine:2", "--offline"]).contains(&text(&own)));
}

/// How often the import is killed: `WHARFIE_KILLS` has it done more often.
fn kills() -> u32 {
    std::env::var("WHARFIE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

#[test]
fn killed_at_random_points() {
    let home = TempDir::new().unwrap();
    let (folder, out) = (home.path().join("in"), home.path().join("out"));
    let sources: Vec<(String, Layout, String)> = (0..5)
        .map(|number| {
            let (layout, digest) = one(None, number + 1, 300_000);
            (format!("image-{number}"), layout, digest)
        })
        .collect();
    let fill = || {
        let _ = fs::remove_dir_all(&folder);
        sources.iter().for_each(|(name, layout, _)| layout.write(&folder.join(name)));
    };
    let load = ["load", "--all", "in", "--into", "out", "--remove"];
    // The shortest of three, since the first finds nothing in memory.
    let whole = (0..3)
        .map(|_| {
            let _ = fs::remove_dir_all(&out);
            fill();
            let begun = Instant::now();
            ok(home.path(), &load);
            begun.elapsed()
        })
        .min()
        .unwrap_or_default();
    let (mut state, mut stopped, mut between) = (0x2545_f491_4f6c_dd1d_u64, 0, 0);
    for round in 0..kills() {
        // Sometimes into what an earlier run left, sometimes into nothing.
        if round % 3 == 0 {
            let _ = fs::remove_dir_all(&out);
        }
        fill();
        let mut child =
            wharfie(home.path(), &load).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let share = (state % 1000) as u32;
        std::thread::sleep(whole * share / 1000 + Duration::from_micros(state % 997));
        child.kill().unwrap();
        stopped += u32::from(child.wait().unwrap().code().is_none());
        let names = sound(&out);
        let mut gone = 0;
        for (name, layout, digest) in &sources {
            if folder.join(name).exists() {
                let expected = TempDir::new().unwrap();
                layout.write(expected.path());
                assert!(
                    snapshot(&folder.join(name)).len() == snapshot(expected.path()).len(),
                    "half of {name}"
                );
                assert_eq!(sound(&folder.join(name)).into_values().next().as_ref(), Some(digest));
            } else {
                assert_eq!(names.get(name), Some(digest), "{name} is nowhere");
                gone += 1;
            }
        }
        between += u32::from(!names.is_empty() && gone < sources.len());
        if gone < sources.len() {
            // Whatever was left does not stand in the way.
            ok(home.path(), &load);
        }
        let names = sound(&out);
        assert!(sources.iter().all(|(name, _, digest)| names.get(name) == Some(digest)));
    }
    println!(
        "{stopped} of {} were stopped in time, {between} with the names there and sources as well",
        kills()
    );
    assert!(stopped > kills() / 3, "{stopped}");
}

#[test]
fn a_target_in_a_source_is_refused() {
    let home = TempDir::new().unwrap();
    let app = home.path().join("each/app");
    one(Some("app"), 1, 5_000).0.write(&app);
    let before = snapshot(home.path());
    let store = ["--store", "each/app/store"];
    let targets: [&[&str]; 6] = [
        &["--into", "each/app"],
        &["--into", "each/../each/app/new/layout"],
        &["--each-into", "each"],
        &["--each-into", "each/app/new"],
        &["--store", "each/app"],
        &store,
    ];
    for target in targets {
        for more in [&[][..], &["--remove"]] {
            let words = [&["load", "-i", "each/app"], target, more].concat();
            fails(home.path(), &words, &["each/app", "where they", "images"]);
            assert!(snapshot(home.path()) == before, "{words:?} wrote something");
        }
    }
    fails(home.path(), &["load", "--all", "each", "--into", "each/app/out", "--remove"], &["lies in"]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("each/app", home.path().join("link")).unwrap();
        fails(home.path(), &["load", "-i", "each/app", "--into", "link", "--remove"], &["both", "link"]);
        fs::remove_file(home.path().join("link")).unwrap();
    }
    assert!(snapshot(home.path()) == before);
    ok(home.path(), &["load", "-i", "each/app", "--each-into", "other", "--remove"]);
    assert!(!app.exists());
    assert_eq!(sound(&home.path().join("other/app")).len(), 1);
}

#[test]
fn only_what_was_loaded_and_is_an_image_is_removed() {
    let home = TempDir::new().unwrap();
    let mut layout = Layout::new();
    for (name, seed) in [("a", 1), ("b", 2)] {
        let manifest = image(&mut layout, own_platform(), seed, 5_000);
        layout.tag(name, &manifest);
    }
    layout.write(&home.path().join("two"));
    ok(home.path(), &["save", "oci:two:a", "oci:two:b", "-o", "two.tar"]);
    let load = ["load", "-i", "docker-archive:two.tar:@0", "--into", "out", "--remove"];
    fails(home.path(), &load, &["`@0`", "two.tar", "another image"]);
    fails(
        home.path(),
        &["load", "-i", "oci:two:b", "--into", "out", "--remove"],
        &["`b`", "two", "another image"],
    );
    assert!(!home.path().join("out").exists());
    assert_eq!(sound(&home.path().join("two")).len(), 2);
    ok(home.path(), &["load", "-i", "oci:two:b", "--into", "out"]);
    ok(home.path(), &["load", "-i", "oci:out:b", "--into", "alone", "--remove"]);
    assert!(!home.path().join("out").exists());

    // What a `dir:` holds beside its image stays, and it with that.
    ok(home.path(), &["copy", "oci:two:a", "dir:flat"]);
    for mine in ["notes.txt", ".env"] {
        fs::write(home.path().join("flat").join(mine), "mine").unwrap();
        let before = snapshot(&home.path().join("flat"));
        fails(home.path(), &["load", "-i", "dir:flat", "--into", "new", "--remove"], &[mine, "flat"]);
        assert!(snapshot(&home.path().join("flat")) == before);
        fs::remove_file(home.path().join("flat").join(mine)).unwrap();
    }
    ok(home.path(), &["load", "-i", "dir:flat", "--into", "new", "--remove"]);
    assert!(!home.path().join("flat").exists());
    fs::create_dir(home.path().join("two/.git")).unwrap();
    fails(home.path(), &["load", "-i", "two", "--into", "new", "--remove"], &[".git"]);
    assert_eq!(sound(&home.path().join("two")).len(), 2);
}

#[test]
fn each_of_many_and_every_kind_of_directory() {
    let home = TempDir::new().unwrap();
    let (source, _) = one(Some("first:1"), 1, 5_000);
    source.write(&home.path().join("layout"));
    fs::create_dir(home.path().join("in")).unwrap();
    // Docker's directories: with names, as v1 alone, and without any names.
    for name in ["in/named", "in/v1", "in/untagged"] {
        ok(home.path(), &["save", "oci:layout", "--format", "frozen-image", "-o", name]);
    }
    fs::remove_file(home.path().join("in/v1/manifest.json")).unwrap();
    fs::remove_file(home.path().join("in/untagged/repositories")).unwrap();
    let manifest = home.path().join("in/untagged/manifest.json");
    let mut list: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    list[0]["RepoTags"] = Value::Null;
    fs::write(manifest, list.to_string()).unwrap();
    for seed in 0..30 {
        one(None, seed, 2_000).0.write(&home.path().join(format!("in/image-{seed}")));
    }
    fails(home.path(), &["load", "--all", "in", "--each-into", "out"], &["first_1", "in/named", "in/v1"]);
    fs::remove_dir_all(home.path().join("in/named")).unwrap();
    ok(home.path(), &["load", "--all", "in", "--each-into", "out", "--remove"]);
    assert_eq!(fs::read_dir(home.path().join("in")).unwrap().count(), 0);
    let all = fs::read_dir(home.path().join("out")).unwrap();
    assert!(all.map(|layout| sound(&layout.unwrap().path()).len()).eq([1; 32]));
}
