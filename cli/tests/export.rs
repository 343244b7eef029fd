//! Stacks of layers through the whole native pipeline.

#[allow(dead_code)]
#[path = "../../core/tests/merge/corpus.rs"]
mod corpus;
#[allow(dead_code)]
#[path = "../../core/tests/merge/model.rs"]
mod model;
#[allow(dead_code)]
#[path = "../../core/tests/merge/stack.rs"]
mod stack;
#[path = "export/untouched.rs"]
mod untouched;

use std::io::{self, Read as _, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use wharfie::codec::NativeCodecs;
use wharfie::drive::Cancel;
use wharfie::export::{ExportOptions, Report, Sink, export, format_of_name, names_file};
use wharfie::layers::{LocalImage, LocalLayer, Progress};
use wharfie_core::codec::{Codec, Codecs, Decoder, Format, Needs, SoftCodecs};
use wharfie_core::image::Descriptor;
use wharfie_core::merge::{Options, Order};
use wharfie_core::tar::{Kind, Metadata, Mtime};
use wharfie_core::{Digest, Error, Limits, MediaType};

fn drive(codec: &mut dyn Codec, mut input: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let step = codec.process(input, &mut buffer)?;
        out.extend_from_slice(&buffer[..step.written]);
        input = &input[step.read..];
        if step.needs == Needs::Input {
            break;
        }
    }
    loop {
        let step = codec.finish(&mut buffer)?;
        out.extend_from_slice(&buffer[..step.written]);
        if step.needs == Needs::Nothing {
            return Ok(out);
        }
    }
}

fn packed(format: Format, plain: &[u8]) -> Vec<u8> {
    drive(&mut *NativeCodecs.encoder(format, None).unwrap(), plain).unwrap()
}

fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    drive(&mut Decoder::new(&SoftCodecs, None, &Limits::default()), bytes)
}

/// A folder with blobs in it, a folder for the spool, and one for the output.
struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        for name in ["blobs", "temp", "out"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Scene { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn layer(&self, format: Format, blob: &[u8]) -> LocalLayer {
        let digest = Digest::sha256(blob);
        let path = self.path("blobs").join(digest.hex());
        std::fs::write(&path, blob).unwrap();
        let media_type = match format {
            Format::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Format::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            _ => "application/vnd.oci.image.layer.v1.tar",
        };
        LocalLayer::of_file(Descriptor::new(MediaType::parse(media_type), digest, blob.len() as u64), path)
    }

    /// An image of these layers, compressed in turn as `first` says, then differently.
    fn image(&self, tars: &[Vec<u8>], first: usize) -> LocalImage {
        const FORMATS: [Format; 3] = [Format::Gzip, Format::Identity, Format::Zstd];
        let layers = tars
            .iter()
            .enumerate()
            .map(|(at, tar)| {
                let format = FORMATS[(at + first) % 3];
                self.layer(format, &packed(format, tar))
            })
            .collect();
        LocalImage { layers, diff_ids: Some(tars.iter().map(|tar| Digest::sha256(tar)).collect()) }
    }

    /// An image of these layers, all compressed alike.
    fn image_of(&self, format: Format, tars: &[Vec<u8>]) -> LocalImage {
        let layers = tars.iter().map(|tar| self.layer(format, &packed(format, tar))).collect();
        LocalImage { layers, diff_ids: Some(tars.iter().map(|tar| Digest::sha256(tar)).collect()) }
    }

    fn options(&self, name: &str, merge: &Options, jobs: usize) -> ExportOptions {
        let mut options = ExportOptions::default();
        options.format = format_of_name(Path::new(name)).unwrap();
        options.merge = merge.clone();
        options.temp_dir = Some(self.path("temp"));
        options.jobs = NonZeroUsize::new(jobs);
        options
    }

    fn export(
        &self,
        image: &LocalImage,
        name: &str,
        merge: &Options,
        jobs: usize,
    ) -> Result<(Vec<u8>, Report), Error> {
        let target = self.path("out").join(name);
        let report = export(image, &self.options(name, merge, jobs), Sink::File(target.clone()), &())?;
        let bytes = std::fs::read(&target).unwrap();
        assert_eq!(report.bytes, bytes.len() as u64);
        std::fs::remove_file(target).unwrap();
        Ok((bytes, report))
    }

    /// What is in the folder of the output, and of the spool.
    fn left(&self) -> Vec<String> {
        let names = |dir: &str| {
            std::fs::read_dir(self.path(dir))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        };
        names("out").chain(names("temp")).collect()
    }
}

#[test]
fn every_stack_of_the_corpus_comes_out_as_core_says() {
    let scene = Scene::new();
    for (at, case) in corpus::corpus().into_iter().enumerate() {
        let name = format!("{}: {}", case.about, case.name);
        // What needs bytes of another making is core's to test.
        let Some(layers) = case.items() else { continue };
        let tars: Vec<Vec<u8>> = layers.iter().map(|layer| stack::tar(layer)).collect();
        let mut options = case.options();
        let image = scene.image(&tars, at);
        for order in [Order::Stream, Order::Canonical] {
            options.order = order;
            match stack::flatten(&tars, &options, usize::MAX) {
                Ok(flat) => {
                    let (bytes, report) = scene.export(&image, "x.tar", &options, 2).expect(&name);
                    assert!(bytes == flat, "{name}: {}", order.name());
                    assert_eq!(report.tar_bytes, flat.len() as u64);
                    assert_eq!(report.entries, stack::names(&flat).len() as u64, "{name}");
                    for (layer, tar) in report.layers.iter().zip(&tars) {
                        assert_eq!((layer.diff_id, layer.tar_bytes), (Digest::sha256(tar), tar.len() as u64));
                        assert_eq!(layer.mismatch, None);
                    }
                    for file in ["x.tar.gz", "x.tar.zst"] {
                        let (bytes, _) = scene.export(&image, file, &options, 1).expect(&name);
                        assert!(unpacked(&bytes).unwrap() == flat, "{name}: {file}");
                    }
                }
                Err(expected) => {
                    let error = scene.export(&image, "x.tar", &options, 2).expect_err(&name);
                    assert_eq!(error.code(), expected.code(), "{name}: {error}");
                    let (place, known) = (error.place(), expected.place());
                    assert_eq!(
                        (place.layer, place.byte, &place.entry),
                        (known.layer, known.byte, &known.entry)
                    );
                    let blob = place.layer.map(|layer| image.layers[layer].descriptor.digest);
                    assert_eq!(place.blob, blob, "{name}");
                }
            }
            assert_eq!(scene.left(), [""; 0], "{name}");
        }
    }
}

fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    (0..len)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if i / 9000 % 2 == 0 {
                (state >> 24) as u8
            } else {
                b"wharfie crane quay "[(state >> 28) as usize]
            }
        })
        .collect()
}

fn item(path: &str, kind: Kind, link: &str, data: Vec<u8>) -> stack::Item {
    let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
    let metadata = Metadata { mode, mtime: Mtime::from_seconds(1_600_000_000), ..Metadata::default() };
    stack::Item { path: path.into(), kind, link: link.into(), metadata, data }
}

/// Three layers, some 12 MB, with whiteouts and links across layers.
fn large() -> Vec<Vec<u8>> {
    let file = |path: &str, len, seed| item(path, Kind::File, "", noise(len, seed));
    let layers = [
        vec![
            item("usr/", Kind::Directory, "", Vec::new()),
            file("usr/big", 5_000_000, 1),
            file("usr/gone", 1_000_000, 2),
            file("usr/kept", 3, 3),
            item("usr/name", Kind::HardLink, "usr/big", Vec::new()),
            item("bin", Kind::Symlink, "usr/bin", Vec::new()),
        ],
        vec![
            item("usr/.wh.gone", Kind::File, "", Vec::new()),
            file("opt/second", 4_194_304, 4),
            item("again", Kind::HardLink, "usr/big", Vec::new()),
        ],
        vec![file("top", 2_000_001, 5), item(".wh.usr", Kind::File, "", Vec::new()), file("usr/new", 1, 6)],
    ];
    layers.iter().map(|layer| stack::tar(layer)).collect()
}

#[test]
fn l26_the_bytes_hang_on_neither_threads_nor_the_layers_compression() {
    let scene = Scene::new();
    let tars = large();
    let flat = stack::flatten(&tars, &Options::default(), usize::MAX).unwrap();
    for name in ["x.tar", "x.tar.gz", "x.tar.zst"] {
        let mut first = None;
        for (jobs, turn) in [(1, 0), (2, 1), (3, 2), (8, 0)] {
            let (bytes, report) =
                scene.export(&scene.image(&tars, turn), name, &Options::default(), jobs).unwrap();
            if report.copied == 0 {
                assert!(first.get_or_insert_with(|| bytes.clone()) == &bytes, "{name} with {jobs} jobs");
            }
            assert!(unpacked(&bytes).unwrap() == flat, "{name}");
        }
    }
}

#[test]
fn l26_what_is_copied_hangs_on_neither_threads_nor_timing() {
    let scene = Scene::new();
    let tars = large();
    let image = scene.image_of(Format::Gzip, &tars);
    for order in [Order::Stream, Order::Canonical] {
        let mut options = Options::default();
        options.order = order;
        let flat = stack::flatten(&tars, &options, usize::MAX).unwrap();
        let (first, report) = scene.export(&image, "x.tar.gz", &options, 1).unwrap();
        assert!(report.copied > report.tar_bytes / 2, "{} of {}", report.copied, report.tar_bytes);
        assert!(unpacked(&first).unwrap() == flat);
        for jobs in [2, 3, 8] {
            let (bytes, report) = scene.export(&image, "x.tar.gz", &options, jobs).unwrap();
            assert!(first == bytes, "{} with {jobs} jobs", order.name());
            assert_eq!(report.bytes, bytes.len() as u64);
        }
    }
    // With a level everything is packed anew.
    let mut options = scene.options("x.tar.gz", &Options::default(), 2);
    options.level = Some(6);
    let report = export(&image, &options, Sink::File(scene.path("out/x.tar.gz")), &()).unwrap();
    assert_eq!(report.copied, 0);
}

#[test]
fn levels_count() {
    let scene = Scene::new();
    let image = scene.image(&large(), 0);
    for (name, levels) in [("x.tar.gz", [1, 9]), ("x.tar.zst", [1, 15])] {
        let sizes = levels.map(|level| {
            let mut options = scene.options(name, &Options::default(), 2);
            options.level = Some(level);
            let target = scene.path("out").join(name);
            export(&image, &options, Sink::File(target), &()).unwrap().bytes
        });
        assert!(sizes[1] < sizes[0], "{name}: {sizes:?}");
    }
    let mut options = scene.options("x.tar.gz", &Options::default(), 2);
    options.level = Some(10);
    let error = export(&image, &options, Sink::File(scene.path("out/y.tar.gz")), &()).unwrap_err();
    assert_eq!(error.code(), "invalid_option");
    assert!(!scene.path("out/y.tar.gz").exists());
}

#[test]
fn other_tools_read_it() {
    let scene = Scene::new();
    let tars = large();
    let flat = stack::flatten(&tars, &Options::default(), usize::MAX).unwrap();
    let image = scene.image(&tars, 0);
    let (bytes, report) = scene.export(&image, "x.tar", &Options::default(), 2).unwrap();
    let mut seen = Vec::new();
    for entry in ::tar::Archive::new(&bytes[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path_bytes().into_owned();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        if path == b"top" {
            assert!(data == noise(2_000_001, 5));
        }
        seen.push(String::from_utf8(path).unwrap());
    }
    assert_eq!(seen.len() as u64, report.entries);
    assert!(seen.contains(&"again".to_owned()) && !seen.iter().any(|path| path.contains("gone")));
    for (name, tool) in [("x.tar", "cat"), ("x.tar.gz", "gzip -dc"), ("x.tar.zst", "zstd -dc")] {
        let program = tool.split(' ').next().unwrap();
        if Command::new(program).arg("--version").output().is_err() {
            eprintln!("SKIPPED: {program} is not installed");
            continue;
        }
        let (bytes, _) = scene.export(&image, name, &Options::default(), 2).unwrap();
        let path = scene.path(name);
        std::fs::write(&path, &bytes).unwrap();
        let script =
            format!("set -e; {tool} < {name} > plain; tar -tf plain > names; tar -xOf plain top > top");
        let output =
            Command::new("sh").arg("-c").arg(&script).current_dir(scene.dir.path()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(std::fs::read(scene.path("plain")).unwrap() == flat, "{name}");
        assert!(std::fs::read(scene.path("top")).unwrap() == noise(2_000_001, 5), "{name}");
        let names = std::fs::read_to_string(scene.path("names")).unwrap();
        assert_eq!(names.lines().collect::<Vec<_>>(), seen, "{name}");
    }
}

#[test]
fn l23_what_is_not_what_it_should_be_leaves_nothing() {
    let scene = Scene::new();
    let small = |name: &str| stack::tar(&[item(name, Kind::File, "", noise(70_000, 9))]);
    let tars = vec![small("a"), small("b"), small("c")];
    let options = Options::default();
    // What was there before stays as it was.
    std::fs::write(scene.path("out/x.tar"), "before").unwrap();
    let fails = |image: &LocalImage, code: &str, layer: Option<usize>, what: &str| {
        for name in ["x.tar", "y.tar.gz"] {
            let target = scene.path("out").join(name);
            let error =
                export(image, &scene.options(name, &options, 2), Sink::File(target), &()).expect_err(what);
            assert_eq!((error.code(), error.place().layer), (code, layer), "{what}: {error}");
            assert_eq!(scene.left(), ["x.tar"], "{what}");
            assert_eq!(std::fs::read(scene.path("out/x.tar")).unwrap(), b"before");
        }
    };
    for turn in 0..3 {
        let image = scene.image(&tars, turn);
        for layer in 0..3 {
            let blob = std::fs::read(&image.layers[layer].blob.path).unwrap();
            let hurt = |bytes: &[u8]| {
                let mut hurt = image.clone();
                hurt.layers[layer].blob.path = scene.path("blobs/hurt");
                std::fs::write(&hurt.layers[layer].blob.path, bytes).unwrap();
                hurt
            };
            for at in [0, 1, 5, 100, blob.len() / 2, blob.len() - 9, blob.len() - 1] {
                let mut flipped = blob.clone();
                flipped[at] ^= 0x10;
                let what = format!("byte {at} of layer {layer} flipped, turn {turn}");
                fails(&hurt(&flipped), "digest_mismatch", Some(layer), &what);
            }
            fails(&hurt(&blob[..blob.len() - 1]), "size_mismatch", Some(layer), "a byte too few");
            fails(&hurt(&[&blob[..], b"\0"].concat()), "size_mismatch", Some(layer), "a byte too many");
            fails(&hurt(b""), "size_mismatch", Some(layer), "nothing left");
            let mut wrong = image.clone();
            wrong.diff_ids.as_mut().unwrap()[layer] = Digest::sha256(b"other");
            fails(&wrong, "diff_id_mismatch", Some(layer), "a wrong diff_id");
            let mut missing = image.clone();
            std::fs::rename(&image.layers[layer].blob.path, scene.path("blobs/away")).unwrap();
            missing.layers[layer].blob.path = scene.path("blobs/nowhere");
            fails(&missing, "local_io", Some(layer), "no blob");
            std::fs::rename(scene.path("blobs/away"), &image.layers[layer].blob.path).unwrap();
        }
        let mut fewer = image.clone();
        fewer.diff_ids.as_mut().unwrap().pop();
        fails(&fewer, "layer_count_mismatch", None, "a diff_id too few");
        let mut more = image.clone();
        more.diff_ids.as_mut().unwrap().push(Digest::sha256(b"more"));
        fails(&more, "layer_count_mismatch", None, "a diff_id too many");
    }
    // Right by its digests, and wrong in itself.
    for (format, blob, code) in [
        (Format::Identity, small("a")[..50_000].to_vec(), "invalid_tar"),
        (Format::Gzip, packed(Format::Gzip, &small("a")[..50_000]), "invalid_tar"),
        (Format::Gzip, [packed(Format::Gzip, &small("a")), b"more".to_vec()].concat(), "corrupt_stream"),
        (Format::Zstd, packed(Format::Zstd, &small("a")).split_last().unwrap().1.to_vec(), "corrupt_stream"),
        (Format::Gzip, b"BZh91AY&SY...".to_vec(), "unsupported_compression"),
        (Format::Gzip, b"no tar at all, and no compression that is known either".repeat(20), "invalid_tar"),
    ] {
        let layers =
            vec![scene.layer(Format::Gzip, &packed(Format::Gzip, &tars[0])), scene.layer(format, &blob)];
        fails(&LocalImage { layers, diff_ids: None }, code, Some(1), code);
    }
}

#[test]
fn l23_without_diff_ids_they_are_computed() {
    let scene = Scene::new();
    let tars = vec![stack::tar(&[item("a", Kind::File, "", noise(7, 1))]), Vec::new()];
    let mut image = scene.image(&tars, 0);
    image.diff_ids = None;
    let (_, report) = scene.export(&image, "x.tar", &Options::default(), 2).unwrap();
    let ids: Vec<Digest> = report.layers.iter().map(|layer| layer.diff_id).collect();
    assert_eq!(ids, [Digest::sha256(&tars[0]), Digest::sha256(b"")]);
}

#[test]
fn l20_the_media_type_is_only_a_hint() {
    let scene = Scene::new();
    let tar = stack::tar(&[item("a", Kind::File, "", noise(700, 1))]);
    for (stated, actual) in [
        (Format::Gzip, Format::Zstd),
        (Format::Zstd, Format::Identity),
        (Format::Identity, Format::Gzip),
        (Format::Gzip, Format::Gzip),
    ] {
        let layers = vec![scene.layer(stated, &packed(actual, &tar))];
        let image = LocalImage { layers, diff_ids: Some(vec![Digest::sha256(&tar)]) };
        let (_, report) = scene.export(&image, "x.tar", &Options::default(), 2).unwrap();
        let mismatch = report.layers[0].mismatch.map(|mismatch| (mismatch.expected, mismatch.actual));
        assert_eq!(mismatch, (stated != actual).then_some((stated, actual)));
        assert_eq!(report.layers[0].format, actual);
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Cancels when so many bytes of the tar have gone out.
struct CancelAt(u64, Cancel);

impl Progress for CancelAt {
    fn written(&self, position: u64, size: u64) {
        assert!(position <= size);
        if position >= self.0 {
            self.1.cancel();
        }
    }
}

#[test]
fn l23_a_stream_that_fails_ends_inside() {
    let scene = Scene::new();
    let tars = large();
    let flat = stack::flatten(&tars, &Options::default(), usize::MAX).unwrap();
    let image = scene.image(&tars, 1);
    for name in ["x.tar", "x.tar.gz", "x.tar.zst"] {
        let whole = Shared::default();
        let options = scene.options(name, &Options::default(), 2);
        export(&image, &options, Sink::Stream(Box::new(whole.clone())), &()).unwrap();
        assert!(unpacked(&whole.0.lock().unwrap()).unwrap() == flat, "{name}");
        for at in [1, 4_000_000, 8_000_000] {
            let part = Shared::default();
            let options = scene.options(name, &Options::default(), 2);
            let progress = CancelAt(at, options.cancel.clone());
            let error =
                export(&image, &options, Sink::Stream(Box::new(part.clone())), &progress).unwrap_err();
            assert_eq!(error.code(), "cancelled");
            let part = part.0.lock().unwrap();
            assert!(whole.0.lock().unwrap().starts_with(&part) && part.len() < whole.0.lock().unwrap().len());
            match unpacked(&part) {
                Ok(plain) => {
                    assert!(name == "x.tar" && plain.len() % 512 != 0 || part.is_empty(), "{name} at {at}");
                }
                Err(error) => assert_eq!(error.code(), "corrupt_stream"),
            }
        }
    }
    assert_eq!(scene.left(), [""; 0]);
}

#[test]
fn a_cancelled_export_leaves_nothing() {
    let scene = Scene::new();
    let image = scene.image(&large(), 0);
    let options = scene.options("x.tar", &Options::default(), 2);
    options.cancel.cancel();
    let error = export(&image, &options, Sink::File(scene.path("out/x.tar")), &()).unwrap_err();
    assert_eq!(error.code(), "cancelled");
    let options = scene.options("x.tar", &Options::default(), 2);
    let progress = CancelAt(5_000_000, options.cancel.clone());
    let error = export(&image, &options, Sink::File(scene.path("out/x.tar")), &progress).unwrap_err();
    assert_eq!(error.code(), "cancelled");
    assert_eq!(scene.left(), [""; 0]);
}

#[test]
fn progress_reaches_the_end() {
    type Decoded = Vec<(usize, u64, u64)>;
    #[derive(Default)]
    struct Seen(Mutex<(Decoded, u64, u64)>);
    impl Progress for Seen {
        fn decoded(&self, layer: usize, position: u64, size: u64) {
            self.0.lock().unwrap().0.push((layer, position, size));
        }
        fn written(&self, position: u64, size: u64) {
            let mut seen = self.0.lock().unwrap();
            assert!(position > seen.1);
            (seen.1, seen.2) = (position, size);
        }
    }
    let scene = Scene::new();
    let image = scene.image(&large(), 0);
    let seen = Seen::default();
    let options = scene.options("x.tar", &Options::default(), 2);
    let report = export(&image, &options, Sink::File(scene.path("out/x.tar")), &seen).unwrap();
    let (decoded, position, size) = seen.0.into_inner().unwrap();
    assert_eq!((position, size), (report.tar_bytes, report.tar_bytes));
    for (at, layer) in image.layers.iter().enumerate() {
        let of: Vec<_> = decoded.iter().filter(|(layer, ..)| *layer == at).collect();
        assert_eq!(of.last(), Some(&&(at, layer.descriptor.size, layer.descriptor.size)));
        assert!(of.windows(2).all(|pair| pair[0].1 < pair[1].1));
    }
}

/// Two layers of some 6 MB, as images are: files, links, a whiteout, nothing that needs a second look.
fn ordinary() -> Vec<Vec<u8>> {
    let file = |path: &str, len, seed| item(path, Kind::File, "", noise(len, seed));
    let layers = [
        vec![
            item("usr/", Kind::Directory, "", Vec::new()),
            file("usr/big", 3_000_000, 1),
            file("usr/gone", 1_000_000, 2),
            item("usr/name", Kind::HardLink, "usr/big", Vec::new()),
            item("usr/up", Kind::Symlink, "../x", Vec::new()),
        ],
        vec![item("usr/.wh.gone", Kind::File, "", Vec::new()), file("opt/second", 2_500_001, 4)],
        vec![file("top", 1_000_001, 5)],
    ];
    layers.iter().map(|layer| stack::tar(layer)).collect()
}

#[test]
fn an_ordinary_image_is_drafted_and_nothing_is_spooled() {
    let scene = Scene::new();
    let tars = ordinary();
    let flat = stack::flatten(&tars, &Options::default(), usize::MAX).unwrap();
    let forms =
        [("x.tar", 0), ("x.tar", 1), ("x.tar", 2), ("x.tar.zst", 0), ("x.tar.gz", 0), ("x.tar.gz", 3)];
    for (name, turn) in forms {
        let copies = turn == 3;
        let image = if copies { scene.image_of(Format::Gzip, &tars) } else { scene.image(&tars, turn) };
        let mut options = scene.options(name, &Options::default(), 2);
        // A spool could not even be made.
        options.temp_dir = Some(scene.path("nowhere"));
        options.level = (name == "x.tar.gz" && !copies).then_some(1);
        let target = scene.path("out").join(name);
        let report = export(&image, &options, Sink::File(target.clone()), &()).unwrap();
        let bytes = std::fs::read(&target).unwrap();
        assert!(unpacked(&bytes).unwrap() == flat, "{name}");
        assert_eq!((report.bytes, report.tar_bytes), (bytes.len() as u64, flat.len() as u64));
        // All but the directory, the symlink behind it, `opt` and the end.
        assert_eq!(report.drafted, report.tar_bytes - 3 * 512 - 1024, "{name}");
        assert_eq!(report.copied > report.tar_bytes / 2, copies, "{name}: {} copied", report.copied);
        std::fs::remove_file(target).unwrap();
    }
}

#[test]
fn a_draft_that_did_not_hold_is_done_again() {
    let scene = Scene::new();
    let below = [item("a", Kind::File, "", noise(2_000_000, 1)), item("z", Kind::File, "", noise(9, 2))];
    let above = [
        item("top", Kind::File, "", noise(600_000, 3)),
        item("twice", Kind::File, "", noise(700_000, 4)),
        item("after", Kind::File, "", noise(10, 5)),
        item("twice", Kind::File, "", noise(800_000, 6)),
    ];
    let tars =
        [stack::tar(&below), stack::tar(&[item("b", Kind::File, "", noise(7, 7))]), stack::tar(&above)];
    let flat = stack::flatten(&tars, &Options::default(), usize::MAX).unwrap();
    for (name, jobs) in [("x.tar", 1), ("x.tar", 2), ("x.tar.gz", 2), ("x.tar.zst", 1)] {
        for turn in 0..4 {
            let image = if turn < 3 { scene.image(&tars, turn) } else { scene.image_of(Format::Gzip, &tars) };
            let (bytes, report) = scene.export(&image, name, &Options::default(), jobs).unwrap();
            assert!(unpacked(&bytes).unwrap() == flat, "{name}, turn {turn}");
            // What came before the name that was there twice holds; blocks are not taken back in part.
            let held = if name == "x.tar" { 512 + 600_064 } else { 0 };
            assert_eq!(report.drafted, held, "{name}, turn {turn}");
            if (name, turn) == ("x.tar.gz", 3) {
                assert!(report.copied > report.tar_bytes / 2, "{} of {}", report.copied, report.tar_bytes);
            }
            assert_eq!(scene.left(), [""; 0]);
        }
    }
}

/// The same stack with content that takes deflate blocks.
fn heavy(layers: Vec<Vec<stack::Item>>) -> Vec<Vec<stack::Item>> {
    let mut seed = 0;
    let mut weigh = |mut item: stack::Item| {
        if item.kind == Kind::File && !item.data.is_empty() {
            seed += 1;
            item.data = noise(250_000 + seed as usize * 7919 % 150_000, seed);
        }
        item
    };
    layers.into_iter().map(|layer| layer.into_iter().map(&mut weigh).collect()).collect()
}

#[test]
fn l26_what_is_copied_is_the_same_by_both_routes() {
    let scene = Scene::new();
    let both = |image: &LocalImage, options: &Options, name: &str| {
        let flat = scene.export(image, "x.tar.gz", options, 2);
        let out = Arc::default();
        let stream = Sink::Stream(Box::new(Shared(Arc::clone(&out))));
        let indexed = export(image, &scene.options("x.tar.gz", options, 2), stream, &());
        let (Ok((bytes, drafted)), Ok(indexed)) = (flat, indexed) else {
            panic!("{name}");
        };
        assert!(bytes == *out.lock().unwrap(), "{name}");
        assert_eq!((drafted.copied, drafted.tar_bytes), (indexed.copied, indexed.tar_bytes), "{name}");
        assert_eq!((drafted.entries, indexed.drafted), (indexed.entries, 0), "{name}");
        assert_eq!(scene.left(), [""; 0], "{name}");
        (bytes, drafted)
    };
    let (mut copied, mut drafted, mut again) = (0, 0, 0);
    for case in corpus::corpus() {
        let name = format!("{}: {}", case.about, case.name);
        let Some(layers) = case.items() else { continue };
        let tars: Vec<Vec<u8>> = heavy(layers).iter().map(|layer| stack::tar(layer)).collect();
        let options = case.options();
        let Ok(flat) = stack::flatten(&tars, &options, usize::MAX) else { continue };
        let (bytes, report) = both(&scene.image_of(Format::Gzip, &tars), &options, &name);
        assert!(unpacked(&bytes).unwrap() == flat, "{name}");
        copied += usize::from(report.copied > 0);
        drafted += usize::from(report.drafted > 0 && report.copied > 0);
        again += usize::from(report.drafted == 0 && report.copied > 0);
    }
    assert!(copied > 60 && drafted > 30 && again > 3, "{copied} copied, {drafted} drafted, {again} again");
    for tars in [large(), ordinary()] {
        for turn in 0..4 {
            let image = if turn < 3 { scene.image(&tars, turn) } else { scene.image_of(Format::Gzip, &tars) };
            both(&image, &Options::default(), &format!("turn {turn}"));
        }
    }
}

#[test]
fn what_a_draft_that_gives_up_has_foretold_stays() {
    let scene = Scene::new();
    let below = [item("a", Kind::File, "", noise(2_000_000, 1)), item("z", Kind::File, "", noise(9, 2))];
    let above = [
        item("top", Kind::File, "", noise(900_000, 3)),
        item("link", Kind::HardLink, "a", Vec::new()),
        item("after", Kind::File, "", noise(300_000, 4)),
    ];
    let tars = [stack::tar(&below), stack::tar(&above)];
    let flat = stack::flatten(&tars, &Options::default(), usize::MAX).unwrap();
    for name in ["x.tar", "x.tar.gz", "x.tar.zst"] {
        let image = scene.image_of(Format::Gzip, &tars);
        let (bytes, report) = scene.export(&image, name, &Options::default(), 2).unwrap();
        assert!(unpacked(&bytes).unwrap() == flat, "{name}");
        // The link waits for its content, but not what comes before it.
        assert_eq!(report.drafted, 512 + 900_096, "{name}");
        assert_eq!(report.copied > report.tar_bytes / 2, name == "x.tar.gz", "{name}");
        assert_eq!(scene.left(), [""; 0]);
    }
}

/// Cancels when so many bytes of blobs have been read.
struct CancelRead(u64, Cancel);

impl Progress for CancelRead {
    fn decoded(&self, _: usize, position: u64, _: u64) {
        if position >= self.0 {
            self.1.cancel();
        }
    }
}

#[test]
fn l23_a_draft_that_fails_leaves_nothing() {
    let scene = Scene::new();
    let tars = ordinary();
    for turn in 0..4 {
        let image = if turn < 3 { scene.image(&tars, turn) } else { scene.image_of(Format::Gzip, &tars) };
        for name in ["x.tar", "x.tar.gz"] {
            let target = || Sink::File(scene.path("out").join(name));
            for layer in 0..3 {
                let blob = std::fs::read(&image.layers[layer].blob.path).unwrap();
                for at in [blob.len() / 2, blob.len() - 1] {
                    let mut hurt = image.clone();
                    hurt.layers[layer].blob.path = scene.path("blobs/hurt");
                    let mut bytes = blob.clone();
                    bytes[at] ^= 4;
                    std::fs::write(&hurt.layers[layer].blob.path, bytes).unwrap();
                    let error = export(&hurt, &scene.options(name, &Options::default(), 2), target(), &());
                    let error = error.unwrap_err();
                    assert_eq!((error.code(), error.place().layer), ("digest_mismatch", Some(layer)));
                    assert_eq!(scene.left(), [""; 0]);
                }
                let mut wrong = image.clone();
                wrong.diff_ids.as_mut().unwrap()[layer] = Digest::sha256(b"other");
                let error = export(&wrong, &scene.options(name, &Options::default(), 1), target(), &());
                let error = error.unwrap_err();
                assert_eq!((error.code(), error.place().layer), ("diff_id_mismatch", Some(layer)));
                assert_eq!(scene.left(), [""; 0]);
            }
            let options = scene.options(name, &Options::default(), 2);
            let progress = CancelRead(1, options.cancel.clone());
            let error = export(&image, &options, target(), &progress).unwrap_err();
            assert_eq!(error.code(), "cancelled");
            assert_eq!(scene.left(), [""; 0]);
        }
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_plain_file_is_not_replaced() {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    let scene = Scene::new();
    let image = scene.image(&[stack::tar(&[item("a", Kind::File, "", noise(7, 1))])], 0);
    let run = |path: &Path| {
        export(&image, &scene.options("x.tar", &Options::default(), 1), Sink::File(path.to_owned()), &())
    };
    run(Path::new("/dev/null")).unwrap();
    assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    // A link stays, and what it leads to is written, with the mode that it had.
    let (link, real) = (scene.path("out/link.tar"), scene.path("temp/real.tar"));
    std::fs::write(&real, "old").unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, &link).unwrap();
    run(&link).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(std::fs::metadata(&real).unwrap().len() > 1000);
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(run(&scene.path("out")).unwrap_err().code(), "invalid_option");
    assert_eq!(run(&scene.path("nowhere/x.tar")).unwrap_err().code(), "local_io");
    // A new file has the mode of any new file.
    run(&scene.path("out/new.tar")).unwrap();
    std::fs::write(scene.path("out/plain"), "").unwrap();
    let mode = |name: &str| std::fs::metadata(scene.path(name)).unwrap().permissions().mode();
    assert_eq!(mode("out/new.tar"), mode("out/plain"));
}

#[test]
fn a_path_that_names_no_file_is_refused() {
    for (path, names) in [
        ("x.tar", true),
        ("out/x", true),
        ("/x", true),
        ("out//x", true),
        ("./..x", true),
        ("", false),
        ("/", false),
        (".", false),
        ("out/", false),
        ("out//", false),
        ("out/.", false),
        ("x/./", false),
        ("out/..", false),
    ] {
        assert_eq!(names_file(Path::new(path)), names, "{path:?}");
    }
    let scene = Scene::new();
    // Refused before the layers are looked at: they are not there.
    let gone = LocalLayer::of_file(scene.layer(Format::Identity, b"").descriptor, scene.path("gone"));
    let image = LocalImage { layers: vec![gone], diff_ids: None };
    for path in ["out/x/", "out/x/.", "out/x.tar//"] {
        let options = scene.options("x.tar", &Options::default(), 1);
        let error = export(&image, &options, Sink::File(scene.path(path)), &()).unwrap_err();
        assert_eq!(error.code(), "invalid_option", "{path}");
    }
    assert_eq!(scene.left(), [""; 0]);
}

#[test]
fn an_output_that_is_no_file_is_refused_before_the_image_is_asked_for() {
    let scene = Scene::new();
    for path in ["out", "out/", "out/x/", "out/x/."] {
        let run = Command::new(env!("CARGO_BIN_EXE_wharfie"))
            // Nobody is there: to ask would be another error.
            .args(["export", "localhost:1/nobody", "-o", path, "--store", "temp"])
            .current_dir(scene.dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{path}: {said}");
        assert!(said.contains("the output is a directory"), "{path}: {said}");
    }
    assert_eq!(scene.left(), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_name_may_be_as_long_as_names_can_be() {
    let scene = Scene::new();
    let image = scene.image(&[stack::tar(&[item("a", Kind::File, "", noise(7, 1))])], 0);
    let name = |len: usize| format!("{}.tar", "n".repeat(len - 4));
    scene.export(&image, &name(255), &Options::default(), 1).unwrap();
    assert_eq!(scene.left(), [""; 0]);
    // Too long: said before the layers are looked at.
    let gone = LocalLayer::of_file(image.layers[0].descriptor.clone(), scene.path("gone"));
    let image = LocalImage { layers: vec![gone], diff_ids: None };
    let error = scene.export(&image, &name(256), &Options::default(), 1).unwrap_err();
    assert_eq!(error.code(), "local_io");
    assert!(error.to_string().contains("opening the output"), "{error}");
    assert_eq!(scene.left(), [""; 0]);
}

/// A small file system of its own, for as long as it lives.
#[cfg(target_os = "linux")]
struct Mount(PathBuf);

#[cfg(target_os = "linux")]
impl Mount {
    fn new(path: PathBuf, size: &str) -> Option<Mount> {
        std::fs::create_dir_all(&path).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&path)
            .output();
        match status {
            Ok(output) if output.status.success() => Some(Mount(path)),
            _ => {
                eprintln!("SKIPPED: a full disk needs the right to mount a tmpfs");
                None
            }
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let scene = Scene::new();
    let tars = large();
    let image = scene.image(&tars, 1);
    let Some(mount) = Mount::new(scene.path("small"), "3m") else { return };
    let fails = |image: &LocalImage, name: &str, temp_dir: &Path, out: &Path| {
        let mut merge = Options::default();
        // What is drafted is not spooled; sorted, it is.
        merge.order = if temp_dir == mount.0 { Order::Canonical } else { Order::Stream };
        let mut options = scene.options(name, &merge, 2);
        options.temp_dir = Some(temp_dir.to_owned());
        let error = export(image, &options, Sink::File(out.join(name)), &()).unwrap_err();
        assert_eq!(error.code(), "no_space", "{name}: {error}");
        assert!(error.hint().is_some() && error.place().path.is_some());
        assert_eq!(std::fs::read_dir(&mount.0).unwrap().count(), 0, "{name}");
        assert_eq!(scene.left(), [""; 0]);
        error
    };
    let (temp, out) = (scene.path("temp"), scene.path("out"));
    // The output's disk: seen to come for a tar, met for what is compressed.
    let early = fails(&image, "x.tar", &temp, &mount.0);
    assert!(early.to_string().contains(" needed, "));
    fails(&image, "x.tar.gz", &temp, &mount.0);
    fails(&image, "x.tar.zst", &temp, &mount.0);
    fails(&scene.image_of(Format::Gzip, &tars), "x.tar.gz", &temp, &mount.0);
    // The spool's disk: seen to come from what gzip and zstd state, met where they state too little.
    fails(&image, "x.tar", &mount.0, &out);
    let mut modest = [packed(Format::Gzip, &tars[0]), packed(Format::Gzip, b"")].concat();
    let layers = vec![scene.layer(Format::Gzip, &modest)];
    fails(&LocalImage { layers, diff_ids: None }, "x.tar", &mount.0, &out);
    // A stream: nobody knows how much room is behind it.
    modest.clear();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let options = scene.options("x.tar", &Options::default(), 2);
    let error = export(&image, &options, Sink::Stream(Box::new(full)), &()).unwrap_err();
    assert_eq!(error.code(), "no_space");
}
