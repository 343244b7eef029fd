//! Every stack of `testdata/stacks`, and random ones, on a real disk: what lies there is what the rules say.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use testbed::{tools, tree};
use wharfie::codec::NativeCodecs;
use wharfie::layers::{LocalImage, LocalLayer};
use wharfie::unpack::{Report, UnpackOptions, unpack};
use wharfie_core::codec::{Codec as _, Codecs as _, Decoder, Format, Needs, SoftCodecs};
use wharfie_core::image::Descriptor;
use wharfie_core::merge::{Lack, OnUnsupported, Options};
use wharfie_core::tar::{Kind, Metadata, Mtime};
use wharfie_core::{Digest, Error, Limits, MediaType};

use super::Scene;
use super::corpus::{Case, corpus};
use super::held::Held;
use super::random::{chosen, draft, items};
use super::stack::{Item, Shown, View, offsets, tar};
use super::{model, model::chosen::Chosen};

/// What unpacks here: with the image's owners, or without.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    Root,
    /// Whoever this is.
    Rootless(u32, u32),
}

impl As {
    /// All that this process may; says so where that is not all there is.
    fn all(what: &str) -> Vec<As> {
        let me = {
            let probe = tempfile::tempfile().unwrap().metadata().unwrap();
            As::Rootless(probe.uid(), probe.gid())
        };
        if tools::root(what) { vec![As::Root, me] } else { vec![me] }
    }

    fn rootless(self) -> Option<(u32, u32)> {
        match self {
            As::Root => None,
            As::Rootless(uid, gid) => Some((uid, gid)),
        }
    }
}

/// A scene whose target has neighbours worth attacking.
pub(crate) struct Quay {
    pub(crate) scene: Scene,
    before: tree::Tree,
    /// How many neighbours there are.
    pub(crate) beside: usize,
}

impl Quay {
    fn new() -> Quay {
        Quay::below(&std::env::temp_dir())
    }

    /// One on another file system.
    pub(crate) fn below(folder: &Path) -> Quay {
        let scene = Scene::below(folder);
        for directory in ["etc", "a", "tmp"] {
            fs::create_dir(scene.out().join(directory)).unwrap();
        }
        for file in ["etc/passwd", "a/b", "evil", "b", "tmp/evil"] {
            fs::write(scene.out().join(file), "not to be touched").unwrap();
        }
        let mut quay = Quay { before: tree::Tree::new(), scene, beside: 0 };
        quay.before = quay.neighbours();
        quay.beside = fs::read_dir(quay.scene.out()).unwrap().count();
        quay
    }

    /// What lies beside the target.
    fn neighbours(&self) -> tree::Tree {
        let mut tree = tree::Tree::new();
        for name in fs::read_dir(self.scene.out()).unwrap().map(|entry| entry.unwrap().file_name()) {
            if name != "root" {
                let its = tree::read_folder(&self.scene.out().join(&name)).unwrap();
                let below = |path: Vec<u8>| [name.as_bytes(), b"/", &path].concat();
                tree.extend(its.into_iter().map(|(path, entry)| (below(path), entry)));
            }
        }
        tree
    }

    pub(crate) fn untouched(&self) {
        tree::assert_same(("before", &self.before), ("after", &self.neighbours()));
    }

    fn unpack(
        &self,
        image: &LocalImage,
        merge: &Options,
        who: As,
        policy: OnUnsupported,
        jobs: usize,
    ) -> Result<Report, Error> {
        let mut options = UnpackOptions::default();
        options.temp_dir = Some(std::env::temp_dir());
        options.merge = merge.clone();
        options.rootless = who != As::Root;
        options.on_unsupported = policy;
        options.jobs = jobs.try_into().ok();
        let result = unpack(image, &options, &self.scene.root(), &());
        assert_eq!(self.scene.root().exists(), result.is_ok(), "whole or not at all");
        self.untouched();
        result
    }

    /// Unpacks what must come to this view, and holds the disk against it. Where something cannot be held nothing is
    /// written, unless that is wanted.
    fn shows(&self, image: &LocalImage, merge: &Options, view: &View, who: As, jobs: usize) -> Report {
        let held = Held::of(view, who.rootless());
        let mut report = self.unpack(image, merge, who, OnUnsupported::Fail, jobs);
        if !held.lacks.is_empty() {
            let error = report.map(drop).expect_err("what is lacking is an error");
            assert_eq!(error.code(), "unsupported_by_target", "{error}");
            for lack in held.lacks.keys() {
                assert!(error.to_string().contains(&lack.to_string()), "{lack}: {error}");
            }
            report = self.unpack(image, merge, who, OnUnsupported::Skip, jobs);
        }
        let report = report.unwrap_or_else(|error| panic!("{error}"));
        for lack in Lack::ALL {
            let [hard, accepted] =
                [&held.lacks, &held.accepted].map(|lacks| lacks.get(lack).copied().unwrap_or(0));
            assert_eq!(report.lacks.count(*lack), hard + accepted, "{lack}");
        }
        assert_eq!(report.lacks.recorded(), held.recorded, "owners recorded");
        let mut found = read(&self.scene.root());
        if held.lacks.contains_key(&Lack::Mtime) {
            found.iter_mut().for_each(|(path, entry)| {
                entry.mtime = held.tree.get(path).map_or((0, 0), |expected| expected.mtime);
            });
        }
        tree::assert_same(("the disk", &found), ("the law", &held.tree));
        self.clear();
        report
    }

    pub(crate) fn clear(&self) {
        // Modes keep those who are not root out of their own directories.
        tools::run(tools::command("chmod").args(["-R", "u+rwX"]).arg(self.scene.root()));
        fs::remove_dir_all(self.scene.root()).unwrap();
    }

    /// An image with these blobs.
    pub(crate) fn image(&self, blobs: &[Blob], diff_ids: Option<Vec<Digest>>) -> LocalImage {
        let layer = |(number, blob): (usize, &Blob)| {
            let path = self.scene.dir.path().join("blobs").join(number.to_string());
            fs::write(&path, &blob.bytes).unwrap();
            let media_type = MediaType::parse(&blob.media_type);
            LocalLayer::of_file(Descriptor::new(media_type, blob.digest, blob.size), path)
        };
        LocalImage { layers: blobs.iter().enumerate().map(layer).collect(), diff_ids }
    }
}

/// A tree, also where modes keep its owner, who is not root, out of it: they are opened, and told as they were.
fn read(root: &Path) -> tree::Tree {
    fn open(path: &Path, name: &[u8], modes: &mut BTreeMap<Vec<u8>, u32>) {
        let found = fs::symlink_metadata(path).unwrap();
        let needed = match (found.is_dir(), found.is_file()) {
            (true, _) => 0o700,
            (_, true) => 0o400,
            _ => return,
        };
        let mode = found.mode() & 0o7777;
        if mode & needed != needed {
            modes.insert(name.to_vec(), mode);
            fs::set_permissions(path, fs::Permissions::from_mode(mode | needed)).unwrap();
        }
        for child in found.is_dir().then(|| fs::read_dir(path).unwrap()).into_iter().flatten() {
            let child = child.unwrap().file_name();
            let below = [name, if name.is_empty() { b"" } else { b"/" }, child.as_bytes()].concat();
            open(&path.join(&child), &below, modes);
        }
    }
    let mut modes = BTreeMap::new();
    if !tools::is_root() {
        open(root, b"", &mut modes);
    }
    let mut tree = tree::read_folder(root).unwrap();
    let firsts: BTreeMap<Vec<u8>, u32> =
        modes.iter().filter_map(|(name, mode)| Some((tree.get(name)?.shares.clone()?, *mode))).collect();
    for (name, entry) in &mut tree {
        let first = entry.shares.as_ref().and_then(|first| firsts.get(first));
        if let Some(mode) = first.or_else(|| modes.get(name)) {
            entry.mode = *mode;
        }
    }
    tree
}

/// A layer, and what its descriptor says of it.
pub(crate) struct Blob {
    bytes: Vec<u8>,
    media_type: String,
    digest: Digest,
    size: u64,
}

/// The root is on every disk, whether a layer says something of it or not (L4). None where an owner is in no range.
pub(crate) fn with_root(view: &View, chosen: &Chosen) -> Option<View> {
    let mut view = view.clone();
    if !view.contains_key(&b""[..]) {
        let implied = Shown {
            kind: Kind::Directory,
            link: Vec::new(),
            metadata: Metadata { mode: 0o755, ..Metadata::default() },
            data: Vec::new(),
            same: Vec::new(),
        };
        view.extend(chosen.map(&View::from([(Vec::new(), implied)]))?);
    }
    Some(view)
}

fn plain(blob: &[u8], limits: &Limits) -> Vec<u8> {
    let mut decoder = Decoder::new(&SoftCodecs, None, limits);
    let (mut out, mut buffer, mut rest) = (Vec::new(), vec![0; 64 << 10], blob);
    loop {
        let step =
            if rest.is_empty() { decoder.finish(&mut buffer) } else { decoder.process(rest, &mut buffer) };
        let Ok(step) = step else { return out };
        out.extend_from_slice(&buffer[..step.written]);
        rest = &rest[step.read..];
        if step.needs == Needs::Nothing {
            return out;
        }
    }
}

pub(crate) fn blobs(case: &Case) -> (Vec<Blob>, Option<Vec<Digest>>) {
    let limits = Limits::default();
    let layers = case.stack();
    let blobs: Vec<Blob> = layers
        .iter()
        .map(|layer| Blob {
            digest: match &layer.digest {
                Some(digest) => digest.parse().unwrap(),
                None => Digest::sha256(&layer.blob),
            },
            size: layer.size.unwrap_or(layer.blob.len() as u64),
            media_type: layer.media_type.clone().unwrap_or_else(|| "application/octet-stream".into()),
            bytes: layer.blob.clone(),
        })
        .collect();
    let diff_ids = case.diff_ids.as_ref().map(|ids| {
        let id = |(number, id): (usize, &String)| match &id[..] {
            "layer" => Digest::sha256(&plain(&layers[number].blob, &limits)),
            "blob" => blobs[number].digest,
            id => id.parse().unwrap(),
        };
        ids.iter().enumerate().map(id).collect()
    });
    (blobs, diff_ids)
}

pub(crate) fn run(quay: &Quay, case: &Case, who: As) {
    let (blobs, diff_ids) = blobs(case);
    let image = quay.image(&blobs, diff_ids);
    let merge = case.options();
    if let Some(code) = &case.error {
        let error = quay.unpack(&image, &merge, who, OnUnsupported::Fail, 2).map(drop).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        let place = error.place();
        match (&case.at, &case.place) {
            // Which file is one too many hangs on the order in which the sink takes them.
            _ if case.limit.as_deref() == Some("total_bytes") => {}
            (Some([layer, entry]), _) => {
                let byte = offsets(case.stack()[*layer].tar.as_ref().unwrap())[*entry];
                assert_eq!((place.layer, place.byte), (Some(*layer), Some(byte)), "{error}");
            }
            (_, Some(expected)) => assert_eq!(place.layer, expected.layer, "{error}"),
            _ => {}
        }
        if let Some(layer) = place.layer {
            assert_eq!(place.blob, Some(blobs[layer].digest), "{error}");
        }
        return;
    }
    let Some(view) = with_root(&case.view().unwrap(), &case.chosen()) else {
        let error = quay.unpack(&image, &merge, who, OnUnsupported::Fail, 2).map(drop).unwrap_err();
        assert_eq!(error.code(), "unmapped_id", "{error}");
        return;
    };
    let report = quay.shows(&image, &merge, &view, who, 1 + blobs.len() % 3);
    assert_eq!(report.entries, view.len() as u64);
    let mut warnings: Vec<_> = report
        .warnings
        .iter()
        .map(|it| (it.kind.code().to_owned(), it.layer, it.path.escape_ascii().to_string()))
        .collect();
    let wanted = case.warnings.iter().map(|it| (it.kind.clone(), it.layer, it.path.clone()));
    let mut wanted: Vec<_> = wanted.collect();
    warnings.sort();
    wanted.sort();
    assert_eq!(warnings, wanted);
    let notes = report.counts.iter().map(|(note, count)| (note.code().to_owned(), count));
    assert_eq!(notes.collect::<BTreeMap<_, _>>(), case.notes);
    let mismatched: Vec<usize> =
        (0..blobs.len()).filter(|layer| report.layers[*layer].mismatch.is_some()).collect();
    assert_eq!(mismatched, case.mismatched);
}

#[test]
fn every_stack_of_the_corpus_lies_on_the_disk_as_the_rules_say() {
    let quay = Quay::new();
    let corpus = corpus();
    let mut failed = Vec::new();
    for who in As::all("the corpus of stacks, with owners") {
        for case in &corpus {
            let how = if who == As::Root { "" } else { ", rootless" };
            let name = format!("{}: {}{how}", case.about, case.name);
            // Each says what it has to say.
            if catch_unwind(AssertUnwindSafe(|| run(&quay, case, who))).is_err() {
                eprintln!("FAILED {name}");
                failed.push(name);
                if quay.scene.root().exists() {
                    quay.clear();
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());
}

fn packed(format: Format, plain: &[u8]) -> Vec<u8> {
    let mut codec = NativeCodecs.encoder(format, None).unwrap();
    let (mut out, mut buffer, mut rest) = (Vec::new(), vec![0; 1 << 16], plain);
    loop {
        let step = if rest.is_empty() { codec.finish(&mut buffer) } else { codec.process(rest, &mut buffer) };
        let step = step.unwrap();
        out.extend_from_slice(&buffer[..step.written]);
        rest = &rest[step.read..];
        if step.needs == Needs::Nothing {
            return out;
        }
    }
}

/// Random entries, with all that a disk can be given: modes that forbid, rights, times long ago.
fn varied(mut layers: Vec<Vec<Item>>) -> Vec<Vec<Item>> {
    const MODES: [u32; 9] = [0o644, 0o755, 0o600, 0, 0o4755, 0o2755, 0o1777, 0o6711, 0o444];
    for item in layers.iter_mut().flatten() {
        let number = item.metadata.uid;
        item.metadata.mode = MODES[number as usize % MODES.len()];
        item.metadata.mtime =
            Mtime { seconds: i64::from(number) * 1_000_003 - 20_000_000, nanos: number % 3 * 499_999_999 };
        if number.is_multiple_of(4) {
            // Few stacks would have nothing lacking.
            item.metadata.xattrs.clear();
        }
    }
    layers
}

#[test]
fn random_stacks_lie_on_the_disk_as_the_model_says() {
    let cases = std::env::var("WHARFIE_STACKS").map_or(600, |cases| cases.parse().unwrap());
    let layers = prop::collection::vec(prop::collection::vec(draft(), 0..10), 0..6);
    let formats = prop::sample::select(vec![Format::Identity, Format::Gzip, Format::Zstd]);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let quay = Quay::new();
    let everybody = As::all("random stacks with owners");
    let met: RefCell<BTreeMap<String, u64>> = RefCell::default();
    let meet = |what: &str| *met.borrow_mut().entry(what.to_owned()).or_default() += 1;
    TestRunner::new(config)
        .run(&(layers, chosen(), formats, 1..4_usize), |(drafts, chosen, format, jobs)| {
            let mut layers = varied(items(&drafts));
            let mut options = chosen.options();
            let mut refused = false;
            let image = |layers: &[Vec<Item>]| {
                let tars: Vec<Vec<u8>> = layers.iter().map(|layer| tar(layer)).collect();
                let blob = |tar: &Vec<u8>| {
                    let bytes = packed(format, tar);
                    let (digest, size) = (Digest::sha256(&bytes), bytes.len() as u64);
                    Blob { bytes, media_type: String::new(), digest, size }
                };
                let blobs: Vec<Blob> = tars.iter().map(blob).collect();
                quay.image(&blobs, Some(tars.iter().map(|tar| Digest::sha256(tar)).collect()))
            };
            let who = everybody[layers.len() % everybody.len()];
            // What the model refuses is taken out, so that few stacks are only errors.
            let view = loop {
                match model::view(&layers, chosen.keep_directory_symlink) {
                    Ok(view) => break view,
                    Err((code, layer, item)) => {
                        if !refused {
                            let image = image(&layers);
                            let error = quay.unpack(&image, &options, who, OnUnsupported::Fail, jobs);
                            let error = error.map(drop).expect_err("the model refuses it");
                            let byte = offsets(&tar(&layers[layer]))[item];
                            let place = (error.place().layer, error.place().byte);
                            assert_eq!((error.code(), place), (code, (Some(layer), Some(byte))), "{error}");
                            meet(code);
                        }
                        refused = true;
                        layers[layer].remove(item);
                    }
                }
            };
            let selected = chosen.select(&view);
            let image = image(&layers);
            let mapped = chosen.map(&selected).and_then(|view| with_root(&view, &chosen));
            let view = mapped.unwrap_or_else(|| {
                let error = quay.unpack(&image, &options, who, OnUnsupported::Fail, jobs);
                assert_eq!(error.map(drop).expect_err("an owner is not mapped").code(), "unmapped_id");
                options.id_maps = Default::default();
                meet("unmapped");
                with_root(&selected, &Chosen::default()).unwrap()
            });
            let report = quay.shows(&image, &options, &view, who, jobs);
            meet(if who == As::Root { "as root" } else { "rootless" });
            for lack in Lack::ALL.iter().filter(|lack| report.lacks.count(**lack) > 0) {
                meet(lack.code());
            }
            if view.iter().any(|(path, shown)| shown.same != *path) {
                meet("several names");
            }
            Ok(())
        })
        .unwrap();
    for (what, often) in met.into_inner() {
        println!("{often:>6} {what}");
    }
}
