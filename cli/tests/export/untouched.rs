//! Images of one layer that is already what is asked for.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use wharfie::export::{Sink, export};
use wharfie::layers::LocalImage;
use wharfie_core::Digest;
use wharfie_core::codec::Format;
use wharfie_core::merge::{Options, Order, Pattern};
use wharfie_core::tar::Mtime;

use super::{Scene, Shared, large, packed, stack, unpacked};

/// An image of nothing but this blob.
fn image_of(scene: &Scene, format: Format, blob: &[u8]) -> LocalImage {
    let diff_id = Digest::sha256(&unpacked(blob).unwrap());
    LocalImage { layers: vec![scene.layer(format, blob)], diff_ids: Some(vec![diff_id]) }
}

fn canonical() -> Options {
    let mut options = Options::default();
    options.order = Order::Canonical;
    options
}

/// To a stream.
fn streamed(scene: &Scene, image: &LocalImage, name: &str, merge: &Options) -> Vec<u8> {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let sink = Sink::Stream(Box::new(Shared(bytes.clone())));
    assert!(export(image, &scene.options(name, merge, 2), sink, &()).unwrap().untouched);
    std::mem::take(&mut *bytes.lock().unwrap())
}

const KINDS: [(&str, Format); 3] =
    [("x.tar", Format::Identity), ("x.tar.gz", Format::Gzip), ("x.tar.zst", Format::Zstd)];

#[test]
fn an_export_of_an_export_is_the_same_file() {
    let scene = Scene::new();
    let stack = scene.image_of(Format::Gzip, &large());
    for options in [Options::default(), canonical()] {
        // Once more, since directories that closed early come last in the second.
        let (flat, _) = scene.export(&stack, "x.tar", &options, 2).unwrap();
        let (flat, _) = scene.export(&scene.image_of(Format::Zstd, &[flat]), "x.tar", &options, 2).unwrap();
        let source = scene.image_of(Format::Identity, std::slice::from_ref(&flat));
        for (name, format) in KINDS {
            let (blob, first) = scene.export(&source, name, &options, 2).unwrap();
            assert!(!first.untouched);
            let image = image_of(&scene, format, &blob);
            for jobs in [1, 2, 8] {
                let (bytes, report) = scene.export(&image, name, &options, jobs).unwrap();
                assert!(bytes == blob, "{name} in {} order", options.order.name());
                assert_eq!(report.untouched, format != Format::Identity, "{name}");
                assert_eq!((report.bytes, report.tar_bytes), (blob.len() as u64, flat.len() as u64));
                assert_eq!(report.entries, first.entries);
                assert_eq!(report.layers[0].diff_id, Digest::sha256(&flat));
            }
            if format != Format::Identity {
                assert!(streamed(&scene, &image, name, &options) == blob, "{name} as a stream");
            }
        }
    }
    assert_eq!(scene.left(), [""; 0]);
}

#[test]
fn what_is_asked_for_otherwise_is_made_anew() {
    let scene = Scene::new();
    let flat = stack::flatten(&large()[..1], &Options::default(), usize::MAX).unwrap();
    let mut late = Options::default();
    late.mtime_max = Some(Mtime::from_seconds(1_000));
    let mut less = Options::default();
    less.selection.exclude = vec![Pattern::new(b"usr/kept").unwrap()];
    for (name, format) in [("x.tar.gz", Format::Gzip), ("x.tar.zst", Format::Zstd)] {
        let blob = packed(format, &flat);
        let image = image_of(&scene, format, &blob);
        assert!(scene.export(&image, name, &Options::default(), 2).unwrap().1.untouched);
        for options in [&late, &less, &canonical()] {
            let (bytes, report) = scene.export(&image, name, options, 2).unwrap();
            assert!(!report.untouched && bytes != blob);
            let again = stack::flatten(std::slice::from_ref(&flat), options, usize::MAX).unwrap();
            assert!(unpacked(&bytes).unwrap() == again);
        }
        for (other, _) in KINDS.iter().filter(|(other, _)| *other != name) {
            let (bytes, report) = scene.export(&image, other, &Options::default(), 2).unwrap();
            assert!(!report.untouched && unpacked(&bytes).unwrap() == flat, "{name} as {other}");
        }
        let mut options = scene.options(name, &Options::default(), 2);
        options.level = Some(1);
        let report = export(&image, &options, Sink::File(scene.path("out").join(name)), &()).unwrap();
        assert!(!report.untouched);
        std::fs::remove_file(scene.path("out").join(name)).unwrap();

        // A layer that is not what it would be flattened to, and one of two.
        let other = scene.image_of(format, &large()[..1]);
        assert!(!scene.export(&other, name, &Options::default(), 2).unwrap().1.untouched);
        let two = scene.image_of(format, &[flat.clone(), stack::tar(&[])]);
        assert!(!scene.export(&two, name, &Options::default(), 2).unwrap().1.untouched);
    }
    assert_eq!(scene.left(), [""; 0]);
}

#[test]
fn l19_l20_members_and_frames_stay_but_padding_goes() {
    let scene = Scene::new();
    let flat = stack::flatten(&large()[..1], &Options::default(), usize::MAX).unwrap();
    let (one, two) = flat.split_at(flat.len() / 2);
    let members = [packed(Format::Gzip, one), packed(Format::Gzip, two)].concat();
    let mut frames = packed(Format::Zstd, one);
    frames.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    frames.extend(packed(Format::Zstd, two));
    for (name, format, blob) in [("x.tar.gz", Format::Gzip, &members), ("x.tar.zst", Format::Zstd, &frames)] {
        let (bytes, report) =
            scene.export(&image_of(&scene, format, blob), name, &Options::default(), 2).unwrap();
        assert!(report.untouched && bytes == *blob, "{name}");
    }
    for zeros in [1, 7, 512] {
        let padded = [&members[..], &vec![0; zeros]].concat();
        let image = image_of(&scene, Format::Gzip, &padded);
        let (bytes, report) = scene.export(&image, "x.tar.gz", &Options::default(), 2).unwrap();
        assert!(!report.untouched && unpacked(&bytes).unwrap() == flat);
    }
}

#[test]
fn l23_nothing_comes_of_a_blob_that_is_not_what_it_should_be() {
    let scene = Scene::new();
    let flat = stack::flatten(&large()[..1], &Options::default(), usize::MAX).unwrap();
    for (name, format) in [("x.tar.gz", Format::Gzip), ("x.tar.zst", Format::Zstd)] {
        let blob = packed(format, &flat);
        for (at, expected) in [(blob.len() / 2, "digest_mismatch"), (blob.len() - 1, "digest_mismatch")] {
            let image = image_of(&scene, format, &blob);
            let mut rotten = blob.clone();
            rotten[at] ^= 1;
            std::fs::File::create(&image.layers[0].blob.path).unwrap().write_all(&rotten).unwrap();
            let error = scene.export(&image, name, &Options::default(), 2).unwrap_err();
            assert_eq!(error.code(), expected, "{name}: {error}");
            assert_eq!(scene.left(), [""; 0]);
        }
        let mut image = image_of(&scene, format, &blob);
        image.diff_ids = Some(vec![Digest::sha256(b"another")]);
        let error = scene.export(&image, name, &Options::default(), 2).unwrap_err();
        assert_eq!((error.code(), error.place().layer), ("diff_id_mismatch", Some(0)));
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Sink::Stream(Box::new(Shared(bytes.clone())));
        export(&image, &scene.options(name, &Options::default(), 2), sink, &()).unwrap_err();
        assert!(bytes.lock().unwrap().is_empty());
        assert_eq!(scene.left(), [""; 0]);
    }
}
