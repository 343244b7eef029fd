//! Exports and unpackings of images whose layers arrive meanwhile: what comes of them is what comes of layers that are
//! there, whatever the network does, or an error that says why and nothing that has a name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testbed::faults::{Ending, Fault, FaultProxy, Passed, Seen};
use testbed::image::digest;
use testbed::layer::{Compression, Layer, Meta};
use testbed::server::{Request, Response};
use testbed::tree;

use super::world::{Image, Registry, assert_honest, leftovers, noise, settled};

/// Bytes of the files that do not compress.
const LARGE: usize = 2_500_000;

/// Every way that an output is made: drafted and packed, from spools to a stream, with blocks copied.
const OUTPUTS: &[&str] = &["out.tar", "out.tar.zst", "out.tar.gz", "-"];

/// Three layers that hide and replace some of each other: the one in the middle is the largest.
fn tars() -> [Vec<u8>; 3] {
    let file = Meta::mode(0o644);
    let words = b"what is repeated can be packed. ".repeat(30_000);
    [
        Layer::new()
            .dir("etc", &Meta::mode(0o755))
            .file("etc/passwd", &file, "root:x:0:0::/:/bin/sh\n")
            .file("usr/old", &file, noise(1, 300_000))
            .file("usr/words", &file, &words)
            .finish(),
        Layer::new().file("usr/large", &file, noise(2, LARGE)).link("usr/same", "usr/large").finish(),
        Layer::new().whiteout("usr/old").file("top", &file, noise(3, 700_000)).finish(),
    ]
}

fn image(packed: [Compression; 3]) -> Image {
    let layers = tars().into_iter().zip(packed);
    Image::of(layers.map(|(tar, how)| (how.media_type(), digest(&tar), how.apply(&tar))).collect())
}

fn registry() -> Registry {
    Registry::of(image([Compression::Gzip; 3]))
}

/// Runs of the program with one store.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        Home(TempDir::new().unwrap())
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharfie"));
        command.args(words).current_dir(self.0.path()).stdin(Stdio::null());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.0.path()).env("WHARFIE_STORE", self.store());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn ok(&self, words: &[&str]) -> Vec<u8> {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// A failure; what it says.
    fn fails(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    /// Exports to each kind of output, and gives their bytes.
    fn export(&self, name: &str, output: &str) -> Vec<u8> {
        let stdout = self.ok(&["export", name, "-o", output]);
        if output == "-" {
            return stdout;
        }
        let bytes = fs::read(self.path(output)).unwrap();
        fs::remove_file(self.path(output)).unwrap();
        bytes
    }

    /// Nothing is here but the store, and what is in that is right.
    fn assert_clean(&self) {
        assert_eq!(names(self.0.path()), ["store"]);
        assert_honest(&self.store());
    }

    /// The store holds the image, and nothing is left on its way.
    fn assert_whole(&self, image: &Image) {
        for (digest, bytes) in &image.content {
            assert!(fs::read(self.blob(digest)).is_ok_and(|kept| kept == *bytes), "{digest}");
        }
        assert_eq!(leftovers(&self.store()), Vec::<String>::new());
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.store().join("blobs").join(digest.replace(':', "/"))
    }

    fn partial(&self, digest: &str) -> PathBuf {
        self.store().join("ingest").join(format!("{}.partial", digest.replace(':', "-")))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name != ".cache");
    names.sort();
    names
}

/// What the outputs are when all layers are there before.
fn expected(registry: &Registry) -> BTreeMap<&'static str, Vec<u8>> {
    let home = Home::new();
    let name = format!("{}/app:1", registry.address());
    home.ok(&["pull", &name]);
    OUTPUTS.iter().map(|output| (*output, home.export(&name, output))).collect()
}

/// Exports from an empty store through a proxy, to each kind of output, and compares.
fn assert_same(registry: &Registry, plan: impl Fn(&Request, Seen) -> Fault + Send + Sync + Copy + 'static) {
    for (output, expected) in expected(registry) {
        let proxy = FaultProxy::start(registry.address(), plan);
        let home = Home::new();
        let name = proxy.image("app:1");
        assert!(home.export(&name, output) == expected, "{output} is another");
        home.assert_whole(&registry.image);
        // The store lists it.
        assert!(home.export(&name, output) == expected, "{output} is another the second time");
        let reads = proxy.blob_reads();
        home.ok(&["export", &name, "--offline", "-o", "out.tar"]);
        assert_eq!(proxy.blob_reads(), reads);
    }
}

fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "not within {limit:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// About one and a half megabytes in a second for each blob.
fn slow(registry: &Registry) -> FaultProxy {
    FaultProxy::start(registry.address(), |request, _| Fault {
        pace: request.path().contains("/blobs/").then_some(Duration::from_millis(40)),
        ..Fault::none()
    })
}

#[test]
fn the_outputs_are_those_of_layers_that_are_there() {
    for packed in [
        [Compression::Gzip; 3],
        [Compression::None, Compression::Zstd, Compression::Gzip],
        [Compression::Zstd; 3],
        [Compression::None; 3],
    ] {
        assert_same(&Registry::of(image(packed)), |_, _| Fault::none());
    }
}

#[test]
fn media_types_that_are_wrong_change_nothing() {
    // What is gzip is known by its bytes alone, and so is whether blocks are copied (L20, L26).
    for (said, is) in [(Compression::Zstd, Compression::Gzip), (Compression::Gzip, Compression::Zstd)] {
        let layers = tars().map(|tar| (said.media_type(), digest(&tar), is.apply(&tar)));
        assert_same(&Registry::of(Image::of(layers.into())), |_, _| Fault::none());
    }
}

#[test]
fn an_image_that_passes_through_untouched_does_so_on_its_way() {
    let made = expected(&registry());
    for (output, kind) in [("out.tar.gz", Compression::Gzip), ("out.tar.zst", Compression::Zstd)] {
        let layer = (kind.media_type(), digest(&made["out.tar"]), made[output].clone());
        let registry = Registry::of(Image::of(vec![layer]));
        assert!(expected(&registry)[output] == made[output]);
        assert_same(&registry, |_, _| Fault::none());
        assert_same(&registry, |request, seen| wrong_once(request, seen, 600_000));
    }
}

#[test]
fn cuts_ranges_that_are_ignored_and_a_trickle_are_endured() {
    let registry = registry();
    assert_same(&registry, |request, _| match request.path().contains("/blobs/") {
        true => Fault::cut(400_000, Ending::Close),
        false => Fault::none(),
    });
    assert_same(&registry, |request, seen| Fault {
        ignore_range: true,
        cut: (request.path().contains("/blobs/") && seen.same == 0).then_some((600_000, Ending::Reset)),
        ..Fault::none()
    });
}

#[test]
fn what_begins_anew_is_decoded_anew() {
    // The first time one bit is wrong, which shows at the end alone, and all is fetched again.
    for packed in [[Compression::Gzip; 3], [Compression::None; 3], [Compression::Zstd; 3]] {
        for at in [20, 300_000, 690_000] {
            let registry = Registry::of(image(packed));
            assert_same(&registry, move |request: &Request, seen| wrong_once(request, seen, at));
        }
    }
}

#[test]
fn a_draft_of_what_begins_anew_is_thrown_away() {
    let registry = Registry::of(image([Compression::None; 3]));
    let top = registry.image.layers[2].clone();
    let drafted = |flip: Option<u64>| {
        let top = top.clone();
        let proxy = FaultProxy::start(registry.address(), move |request, seen| Fault {
            flip: flip.filter(|_| request.path().ends_with(&top) && seen.same == 0),
            // So that it is read while it comes.
            pace: request.path().ends_with(&top).then_some(Duration::from_millis(40)),
            ..Fault::none()
        });
        let home = Home::new();
        let output = home.run(&["export", &proxy.image("app:1"), "--json", "-o", "out.tar"]);
        assert!(output.status.success());
        assert!(fs::read(home.path("out.tar")).unwrap() == expected(&registry)["out.tar"]);
        let said = String::from_utf8(output.stderr).unwrap();
        let report: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        report["draftedBytes"].as_u64().unwrap()
    };
    // A draft pays where few layers can be decoded at once, or one of them outweighs all others, as here.
    assert!(drafted(None) > LARGE as u64);
    assert_eq!(drafted(Some(690_000)), 0);
}

fn wrong_once(request: &Request, seen: Seen, at: u64) -> Fault {
    Fault { flip: (request.path().contains("/blobs/") && seen.same == 0).then_some(at), ..Fault::none() }
}

#[test]
fn what_an_earlier_run_left_is_used_and_not_trusted() {
    let registry = registry();
    let layers = &registry.image.layers;
    for (output, expected) in expected(&registry) {
        let proxy = FaultProxy::start(registry.address(), |_, _| Fault::none());
        let home = Home::new();
        fs::create_dir_all(home.store().join("ingest")).unwrap();
        fs::create_dir_all(home.store().join("blobs/sha256")).unwrap();
        let content = |layer: usize| &registry.image.content[&layers[layer]];
        // One is there, one was begun, one was begun with something else.
        fs::write(home.blob(&layers[0]), content(0)).unwrap();
        fs::write(home.partial(&layers[1]), &content(1)[..2_000_000]).unwrap();
        fs::write(home.partial(&layers[2]), noise(9, 500_000)).unwrap();
        assert!(home.export(&proxy.image("app:1"), output) == expected, "{output} is another");
        home.assert_whole(&registry.image);
        let sent = |layer: usize| -> u64 {
            let passed = settled(&proxy);
            passed.iter().filter(|it| it.target.ends_with(&layers[layer])).map(|it| it.sent).sum()
        };
        assert_eq!(sent(0), 0);
        assert_eq!(sent(1), content(1).len() as u64 - 2_000_000);
    }
}

#[test]
fn output_is_begun_before_the_last_byte_came() {
    let registry = registry();
    let all: u64 = registry.image.layers.iter().map(|layer| registry.image.content[layer].len() as u64).sum();
    let proxy = slow(&registry);
    let home = Home::new();
    let mut child = home.command(&["export", &proxy.image("app:1"), "-o", "out.tar"]).spawn().unwrap();
    let written = || {
        let files = fs::read_dir(home.0.path()).unwrap().flatten();
        let unnamed = files.filter(|file| file.file_name().to_string_lossy().starts_with(".wharfie-"));
        unnamed.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum::<u64>()
    };
    wait_until(Duration::from_secs(30), || written() > 1_000_000);
    let sent: u64 = proxy.passed().iter().filter(|it| it.reads_blob()).map(|it| it.sent).sum();
    assert!(sent < all - 500_000, "{sent} of {all} had come");
    assert!(!home.path("out.tar").exists());
    assert!(child.wait().unwrap().success());
    assert!(fs::read(home.path("out.tar")).unwrap() == expected(&registry)["out.tar"]);
}

#[test]
fn a_directory_is_unpacked_of_what_arrives() {
    let registry = registry();
    let proxy = FaultProxy::start(registry.address(), |request, seen| wrong_once(request, seen, 600_000));
    let home = Home::new();
    home.ok(&["unpack", &proxy.image("app:1"), "root", "--rootless"]);
    let found = tree::read_folder(&home.path("root")).unwrap();
    let large = tars()[1].len();
    assert!(large > LARGE && found.contains_key(b"usr/same".as_slice()));
    assert_eq!(fs::read(home.path("root/usr/large")).unwrap(), noise(2, LARGE));
    assert_eq!(fs::read(home.path("root/top")).unwrap(), noise(3, 700_000));
    assert!(!home.path("root/usr/old").exists());
    home.assert_whole(&registry.image);
    // What cannot come leaves no directory.
    let home = Home::new();
    let last = registry.image.layers[2].clone();
    let wrong = FaultProxy::start(registry.address(), move |request, _| Fault {
        flip: request.path().ends_with(&last).then_some(1000),
        ..Fault::none()
    });
    let said = home.fails(&["unpack", &wrong.image("app:1"), "root", "--rootless"]);
    assert!(said.contains("digest"), "{said}");
    home.assert_clean();
}

#[test]
fn bytes_that_stay_wrong_are_an_error_of_the_pull() {
    for packed in [Compression::Gzip, Compression::None] {
        let registry = Registry::of(image([packed; 3]));
        // The top layer, the first to be decoded, and the bottom one.
        for layer in [2, 0] {
            let wrong = registry.image.layers[layer].clone();
            let proxy = FaultProxy::start(registry.address(), move |request, _| Fault {
                flip: request.path().ends_with(&wrong).then_some(200_000),
                ..Fault::none()
            });
            for output in OUTPUTS {
                let home = Home::new();
                let said = home.fails(&["export", &proxy.image("app:1"), "-o", output]);
                // As `pull` says it.
                assert!(said.contains("digest") && said.contains(&registry.image.layers[layer]), "{said}");
                assert!(!said.contains("cancelled") && !said.contains("local store"), "{said}");
                home.assert_clean();
                assert!(!home.blob(&registry.image.layers[layer]).exists());
            }
        }
    }
}

#[test]
fn a_stream_that_fails_has_not_begun() {
    let registry = registry();
    let last = registry.image.layers[0].clone();
    let proxy = FaultProxy::start(registry.address(), move |request, _| Fault {
        flip: request.path().ends_with(&last).then_some(1000),
        ..Fault::none()
    });
    let output = Home::new().run(&["export", &proxy.image("app:1"), "-o", "-"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn a_layer_that_is_wrong_inside_stops_the_pull() {
    // Its digest holds, and it is no tar.
    let [bottom, middle, top] = tars();
    let kind = Compression::Gzip.media_type();
    let broken = Compression::Gzip.apply(&noise(5, 300_000));
    let layers = vec![
        (kind, digest(&bottom), Compression::Gzip.apply(&bottom)),
        (kind, digest(&middle), Compression::Gzip.apply(&middle)),
        (kind, digest(&noise(5, 300_000)), broken),
    ];
    let registry = Registry::of(Image::of(layers));
    let proxy = slow(&registry);
    let home = Home::new();
    let name = proxy.image("app:1");
    let said = home.fails(&["export", &name, "-o", "out.tar"]);
    assert!(said.contains("layer 2") && !said.contains("cancelled"), "{said}");
    home.assert_clean();
    let sent: u64 = settled(&proxy).iter().filter(|it| it.reads_blob()).map(|it| it.sent).sum();
    assert!(sent < LARGE as u64 / 2, "{sent} bytes came all the same");
    // What has come is gone on from.
    assert!(leftovers(&home.store()).iter().any(|name| name.contains(&registry.image.layers[1][7..])));

    // So is one with another diff_id than the config says.
    let layers = vec![
        (kind, digest(&middle), Compression::Gzip.apply(&middle)),
        (kind, digest(b"another"), Compression::Gzip.apply(&top)),
    ];
    let registry = Registry::of(Image::of(layers));
    let home = Home::new();
    let said = home.fails(&["export", &slow(&registry).image("app:1"), "-o", "out.tar"]);
    assert!(said.contains("diff_id") && said.contains("layer 1"), "{said}");
    home.assert_clean();
}

#[test]
fn a_registry_that_goes_away_is_said_to_and_gone_on_from_later() {
    let registry = registry();
    for output in OUTPUTS {
        let large = registry.image.layers[1].clone();
        let broken = FaultProxy::start(registry.address(), move |request, seen| match seen.same {
            0 if request.path().ends_with(&large) => Fault::cut(1_500_000, Ending::Close),
            _ if request.path().ends_with(&large) => Fault::cut(0, Ending::Reset),
            _ => Fault::none(),
        });
        let home = Home::new();
        let said = home.fails(&["export", &broken.image("app:1"), "-o", output, "--retries", "1"]);
        assert!(said.contains("hint:") && !said.contains("cancelled"), "{said}");
        home.assert_clean();
        let partial = home.partial(&registry.image.layers[1]);
        assert_eq!(fs::metadata(partial).unwrap().len(), 1_500_000);
    }
    let denied =
        FaultProxy::start(registry.address(), |request, _| match request.path().contains("/blobs/") {
            true => Fault::answer(Response::new(403).error("DENIED", "not for you")),
            false => Fault::none(),
        });
    let home = Home::new();
    let said = home.fails(&["export", &denied.image("app:1"), "-o", "out.tar"]);
    assert!(said.contains("not for you"), "{said}");
    home.assert_clean();
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap().success());
}

#[test]
fn an_interrupt_stops_both_at_once() {
    let registry = registry();
    let proxy = slow(&registry);
    for words in
        [&["export", "-o", "out.tar"][..], &["export", "-o", "out.tar.gz"], &["unpack", "--rootless"]]
    {
        let home = Home::new();
        let name = proxy.image("app:1");
        let mut arguments = vec![words[0], name.as_str()];
        if words[0] == "unpack" {
            arguments.push("root");
        }
        arguments.extend(&words[1..]);
        let large = home.partial(&registry.image.layers[1]);
        let mut child = home.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
        wait_until(Duration::from_secs(30), || fs::metadata(&large).is_ok_and(|meta| meta.len() > 500_000));
        let begun = Instant::now();
        interrupt(&child);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        // A tenth of a second where nothing else runs; the machine may be busy.
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        home.assert_clean();
        assert!(fs::metadata(&large).unwrap().len() > 500_000, "what came is kept");
    }
}

#[test]
fn what_has_rotted_in_the_store_is_found_and_fetched_again() {
    let registry = registry();
    let proxy = slow(&registry);
    let name = proxy.image("app:1");
    let home = Home::new();
    home.ok(&["pull", &format!("{}/app:1", registry.address())]);
    let rotted = home.blob(&registry.image.layers[2]);
    let mut bytes = fs::read(&rotted).unwrap();
    bytes[400_000] ^= 1;
    fs::write(&rotted, bytes).unwrap();
    fs::remove_file(home.blob(&registry.image.layers[1])).unwrap();
    let said = home.fails(&["export", &name, "-o", "out.tar"]);
    assert!(said.contains("had changed on the disk") && said.contains("digest"), "{said}");
    assert!(!rotted.exists() && !home.path("out.tar").exists());
    assert!(home.export(&name, "out.tar") == expected(&registry)["out.tar"]);
    home.assert_whole(&registry.image);
}

#[test]
fn without_the_network_what_lacks_is_an_error() {
    let registry = registry();
    let proxy = FaultProxy::start(registry.address(), |_, _| Fault::none());
    let name = proxy.image("app:1");
    let home = Home::new();
    home.ok(&["pull", &name]);
    fs::remove_file(home.blob(&registry.image.layers[0])).unwrap();
    let reads = proxy.blob_reads();
    for way in ["--offline", "--pull=never"] {
        let said = home.fails(&["export", &name, way, "-o", "out.tar"]);
        assert!(said.contains("hint:") && said.contains(&registry.image.layers[0]), "{said}");
        assert!(!home.path("out.tar").exists());
    }
    assert_eq!(proxy.blob_reads(), reads);
    home.ok(&["export", &name, "--pull=missing", "-o", "out.tar"]);
    home.assert_whole(&registry.image);
}

#[test]
fn one_layer_twice_and_an_empty_one() {
    let [bottom, middle, _] = tars();
    let kind = Compression::Gzip.media_type();
    let blob = |tar: &[u8]| (kind, digest(tar), Compression::Gzip.apply(tar));
    assert_same(&Registry::of(Image::of(vec![blob(&middle), blob(&bottom), blob(&middle)])), |_, _| {
        Fault::none()
    });
    // No bytes at all: a layer of which no size is said.
    let empty = (Compression::None.media_type(), digest(b""), Vec::new());
    assert_same(&Registry::of(Image::of(vec![blob(&bottom), empty])), |_, _| Fault::none());
}

#[test]
fn a_blob_that_another_process_fetches_is_waited_for() {
    let registry = registry();
    let proxy = slow(&registry);
    let name = proxy.image("app:1");
    let home = Home::new();
    let large = home.partial(&registry.image.layers[1]);
    let mut other =
        home.command(&["pull", &name]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until(Duration::from_secs(30), || fs::metadata(&large).is_ok_and(|meta| meta.len() > 100_000));
    assert!(home.export(&name, "out.tar") == expected(&registry)["out.tar"]);
    assert!(other.wait().unwrap().success());
    let reads = settled(&proxy).into_iter().filter(Passed::reads_blob);
    assert_eq!(reads.filter(|it| it.target.ends_with(&registry.image.layers[1])).count(), 1);
}
