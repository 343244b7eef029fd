//! What is verified, and what of several failures is told (L23).

use wharfie_core::codec::Format;
use wharfie_core::error::{Error, Result};
use wharfie_core::merge::{Options, Says};
use wharfie_core::stack::{Layer, Stack, Step};
use wharfie_core::tar::{Kind, Metadata};
use wharfie_core::{Algorithm, Digest};

use super::driver::{Cut, config, layer, layers, open};
use super::packs::{gzip, noise, zstd};
use super::stack::{Item, flatten, tar};

pub(crate) fn item(path: &str, kind: Kind, link: &str, data: &[u8]) -> Item {
    let metadata = Metadata { mode: 0o644, ..Metadata::default() };
    Item { path: path.into(), kind, link: link.into(), metadata, data: data.to_vec() }
}

pub(crate) fn file(path: &str, data: &[u8]) -> Item {
    item(path, Kind::File, "", data)
}

/// What comes of a stack of one layer, in every cut the same.
fn read(blob: &[u8], change: impl Fn(&mut Layer), diff_id: Option<Digest>) -> Result<Stack> {
    let blobs = [blob.to_vec()];
    let mut codes = Vec::new();
    let mut last = None;
    for mut cut in [Cut::whole(), Cut::new(1, 1), Cut::new(90, 7)] {
        let mut layer = layer(blob);
        change(&mut layer);
        let ids = diff_id.map(|id| vec![id]);
        let mut stack = Stack::new(vec![layer], ids.as_deref(), config(&Options::default()))?;
        let came = cut.stack(&blobs, &mut stack);
        if let Err(error) = &came {
            assert_eq!(stack.step().unwrap_err(), *error, "the same again");
            assert_eq!(error.place().layer, Some(0));
            assert!(error.place().blob.is_some());
        }
        codes.push(came.as_ref().err().map(Error::code));
        last = Some(came.map(|()| stack));
    }
    assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
    last.unwrap()
}

fn fails(blob: &[u8], change: impl Fn(&mut Layer), diff_id: Option<Digest>) -> &'static str {
    read(blob, change, diff_id).map(drop).expect_err("it should fail").code()
}

fn packs(tar: &[u8]) -> [Vec<u8>; 3] {
    [tar.to_vec(), gzip(tar, 6), zstd(tar, 1_000)]
}

#[test]
fn what_is_right_is_read() {
    let tar = tar(&[file("a", b"1"), file("b", &noise(3_000, 1))]);
    for blob in packs(&tar) {
        for algorithm in Algorithm::ALL {
            let id = Digest::of(*algorithm, &tar);
            for verified in [false, true] {
                let stack = read(&blob, |layer| layer.verified = verified, Some(id)).unwrap();
                assert_eq!(stack.report(0).unwrap().diff_id, id);
            }
        }
        assert_eq!(read(&blob, |_| (), None).unwrap().report(0).unwrap().diff_id, Digest::sha256(&tar));
        let other = Digest::of(Algorithm::Sha512, &blob);
        let stack = read(&blob, |layer| layer.descriptor.digest = other, None).unwrap();
        assert_eq!(stack.report(0).unwrap().diff_id, Digest::sha256(&tar));
    }
}

#[test]
fn a_blob_that_is_not_its_digests_is_told_before_what_is_wrong_inside() {
    let good = tar(&[file("a", b"1"), file("b", &noise(3_000, 1))]);
    let wrong = Digest::sha256(b"something else");
    let set = |layer: &mut Layer| layer.descriptor.digest = wrong;
    for blob in packs(&good) {
        assert_eq!(fails(&blob, set, None), "digest_mismatch");
        assert_eq!(fails(&blob, set, Some(wrong)), "digest_mismatch");
        // The host says that it has verified it.
        read(&blob, |layer| (layer.descriptor.digest, layer.verified) = (wrong, true), None).unwrap();
    }
    let mut odd = good.clone();
    odd[0] ^= 1;
    for (blob, code) in [
        (odd.clone(), "invalid_tar"),
        (gzip(&odd, 6), "invalid_tar"),
        (good[..1_600].to_vec(), "invalid_tar"),
        ([gzip(&good, 6), b"behind it".to_vec()].concat(), "corrupt_stream"),
        ([zstd(&good, 900), b"behind it".to_vec()].concat(), "corrupt_stream"),
        (gzip(&good, 6)[..60].to_vec(), "corrupt_stream"),
        (b"\xfd7zXZ\0 and so on".to_vec(), "unsupported_compression"),
    ] {
        assert_eq!(fails(&blob, |_| (), None), code);
        assert_eq!(fails(&blob, set, None), "digest_mismatch", "{code}");
        assert_eq!(fails(&blob, |layer| layer.verified = true, None), code);
    }
}

#[test]
fn content_that_is_not_the_configs_is_told_whoever_verified_the_blob() {
    let tar = tar(&[file("a", b"1")]);
    let wrong = Some(Digest::sha256(b"something else"));
    for blob in packs(&tar) {
        for verified in [false, true] {
            assert_eq!(fails(&blob, |layer| layer.verified = verified, wrong), "diff_id_mismatch");
        }
    }
    // It comes before a tar that is cut, whose end says so.
    let cut = &tar[..512];
    assert_eq!(fails(cut, |_| (), wrong), "diff_id_mismatch");
    assert_eq!(fails(cut, |_| (), Some(Digest::sha256(cut))), "invalid_tar");
}

#[test]
fn sizes_that_do_not_hold_are_told_before_anything_is_read() {
    let blob = gzip(&tar(&[file("a", b"1")]), 6);
    for size in [0, 1, blob.len() as u64 - 1, blob.len() as u64 + 1] {
        let mut given = layer(&blob);
        given.size = size;
        let mut stack = Stack::new(vec![given.clone()], None, config(&Options::default())).unwrap();
        assert_eq!(stack.step().unwrap_err().code(), "size_mismatch");
        if size == 0 {
            // A manifest that says no size (schema 1) is not held to one.
            continue;
        }
        (given.size, given.descriptor.size) = (blob.len() as u64, size);
        let mut stack = Stack::new(vec![given], None, config(&Options::default())).unwrap();
        let error = stack.step().unwrap_err();
        assert_eq!((error.code(), error.place().layer), ("size_mismatch", Some(0)));
    }
}

#[test]
fn a_blob_that_ends_early_is_told() {
    let tar = tar(&[file("a", &noise(3_000, 1))]);
    for blob in packs(&tar) {
        for end in [0, 1, blob.len() / 2, blob.len() - 1] {
            for verified in [false, true] {
                let given = Layer { verified, ..layer(&blob) };
                let mut stack = Stack::new(vec![given], None, config(&Options::default())).unwrap();
                let error = loop {
                    match stack.step() {
                        Ok(Step::Need { offset, .. }) => {
                            let offset = offset as usize;
                            let fed =
                                stack.feed(0, offset as u64, &blob[offset.min(end)..end.min(offset + 50)]);
                            if let Err(error) = fed {
                                break error;
                            }
                        }
                        Ok(Step::Working) => {}
                        other => panic!("{other:?}"),
                    }
                };
                assert_eq!((error.code(), error.place().layer), ("size_mismatch", Some(0)));
                assert_eq!(stack.step().unwrap_err(), error);
                // Another copy of it is whole.
                stack.have(0, blob.len() as u64, false).unwrap();
                Cut::whole().stack(std::slice::from_ref(&blob), &mut stack).unwrap();
                assert!(stack.tree().unwrap().lookup(b"a").is_some());
            }
        }
    }
}

#[test]
fn as_many_diff_ids_as_layers() {
    let blob = tar(&[file("a", b"1")]);
    let id = Digest::sha256(&blob);
    for ids in [vec![], vec![id, id]] {
        let stack = Stack::new(vec![layer(&blob)], Some(&ids), config(&Options::default()));
        assert_eq!(stack.unwrap_err().code(), "layer_count_mismatch");
    }
    let mut options = Options::default();
    options.limits.layers = 1;
    let stack = Stack::new(vec![layer(&blob), layer(&blob)], None, config(&options));
    assert_eq!(stack.unwrap_err().code(), "limit_exceeded");
}

#[test]
fn nothing_is_merged_before_every_layer_is_verified() {
    let odd = tar(&[item("link", Kind::HardLink, "nothing", b"")]);
    let other = tar(&[file("a", b"1")]);
    let mut given = [layer(&odd), layer(&other)];
    let blobs = [odd, other];
    let mut stack = Stack::new(given.to_vec(), None, config(&Options::default())).unwrap();
    assert_eq!(Cut::whole().stack(&blobs, &mut stack).unwrap_err().code(), "invalid_hard_link");
    assert_eq!(stack.step().unwrap_err().code(), "invalid_hard_link");
    given[1].descriptor.digest = Digest::sha256(b"something else");
    let mut stack = Stack::new(given.to_vec(), None, config(&Options::default())).unwrap();
    assert_eq!(Cut::whole().stack(&blobs, &mut stack).unwrap_err().code(), "digest_mismatch");
    assert!(stack.tree().is_none() && stack.export(Format::Identity, None).is_err());
    // What is well with the other can be seen.
    stack.want(Some(0)).unwrap();
    assert_eq!(stack.step().unwrap(), Step::Done);
    assert_eq!(stack.index(0).unwrap().len(), 1);
}

#[test]
fn layers_come_in_any_order_and_side_by_side() {
    let tars: Vec<Vec<u8>> = (0..5)
        .map(|layer| tar(&[file("all", &[layer]), file(&format!("own{layer}"), &noise(2_000, layer.into()))]))
        .collect();
    let blobs: Vec<Vec<u8>> = tars.iter().enumerate().map(|(at, tar)| super::packs::pack(tar, at)).collect();
    let flat = flatten(&tars, &Options::default(), 999).unwrap();
    // A little of each in turn, as bytes come from a network.
    let mut stack = Stack::new(layers(&blobs), None, config(&Options::default())).unwrap();
    let mut at = [0; 5];
    while (0..5).any(|layer| at[layer] < blobs[layer].len()) {
        for layer in [3, 1, 4, 0, 2] {
            let piece = &blobs[layer][at[layer]..blobs[layer].len().min(at[layer] + 97)];
            if !piece.is_empty() {
                at[layer] += stack.feed(layer, at[layer] as u64, piece).unwrap();
            }
        }
        while stack.step().unwrap() == Step::Working {}
    }
    while stack.step().unwrap() == Step::Working {}
    assert_eq!(stack.step().unwrap(), Step::Done);
    assert!(Cut::whole().tar(&blobs, &stack).unwrap() == flat);
    // One after another, as a user asks for them.
    let mut stack = Stack::new(layers(&blobs), None, config(&Options::default())).unwrap();
    for layer in [3, 1, 4] {
        stack.want(Some(layer)).unwrap();
        let mut cut = Cut::new(300, 10);
        cut.stack(&blobs, &mut stack).unwrap();
        assert_eq!(cut.fed, blobs[layer].len() as u64, "no other is read");
        assert!(stack.report(layer).is_some() && stack.tree().is_none());
    }
    stack.want(None).unwrap();
    Cut::whole().stack(&blobs, &mut stack).unwrap();
    assert!(Cut::whole().tar(&blobs, &stack).unwrap() == flat);
    assert!((0..5).all(|layer| stack.index(layer).is_some()));
}

#[test]
fn a_layer_shows_what_it_holds() {
    let blob = tar(&[
        item("./d/", Kind::Directory, "", b""),
        file("d/a", b"12"),
        item("d/link", Kind::HardLink, "./d/a", b""),
        item("s", Kind::Symlink, "d/../d", b""),
        file("d/.wh.gone", b""),
        file("e/.wh..wh..opq", b""),
    ]);
    let stack = open(&[blob], &Options::default());
    let listed: Vec<_> = stack
        .index(0)
        .unwrap()
        .entries()
        .map(|entry| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (text(&entry.path), entry.says, entry.size, text(&entry.link))
        })
        .collect();
    let row = |path: &str, says, size, link: &str| (path.to_owned(), says, size, link.to_owned());
    assert_eq!(
        listed,
        [
            row("d", Says::Here(Kind::Directory), 0, ""),
            row("d/a", Says::Here(Kind::File), 2, ""),
            row("d/link", Says::Here(Kind::HardLink), 0, "d/a"),
            row("s", Says::Here(Kind::Symlink), 0, "d/../d"),
            row("d/gone", Says::Whiteout, 0, ""),
            row("e", Says::Opaque, 0, ""),
        ]
    );
}

#[test]
fn drivers_that_break_the_contract_are_told() {
    let blobs = [gzip(&tar(&[file("a", b"1")]), 6)];
    let mut stack = Stack::new(layers(&blobs), None, config(&Options::default())).unwrap();
    assert_eq!(stack.feed(0, 1, b"x").unwrap_err().code(), "internal");
    assert_eq!(stack.feed(1, 0, b"x").unwrap_err().code(), "internal");
    assert_eq!(stack.want(Some(1)).unwrap_err().code(), "internal");
    assert_eq!(stack.have(1, 0, true).unwrap_err().code(), "internal");
    assert_eq!(stack.read(b"a").unwrap_err().code(), "internal");
    Cut::new(7, 7).stack(&blobs, &mut stack).unwrap();
    assert_eq!(stack.feed(0, 0, b"x").unwrap_err().code(), "internal");
    stack.have(0, 5, false).unwrap();
    assert_eq!(stack.step().unwrap(), Step::Done, "it is indexed");
    let mut export = stack.export(Format::Identity, None).unwrap();
    assert_eq!(export.feed(0, 0, b"x").unwrap_err().code(), "internal");
    assert_eq!(stack.export(Format::Identity, None).unwrap().step(&mut []).unwrap_err().code(), "internal");
    assert_eq!(stack.export(Format::Zstd, None).unwrap_err().code(), "unsupported_compression");
    assert_eq!(stack.export(Format::Gzip, Some(10)).unwrap_err().code(), "invalid_option");
    assert_eq!(stack.read(b"nothing").unwrap_err().code(), "path_not_found");
    assert_eq!(stack.read(b"/").unwrap_err().code(), "not_a_file");
    let mut content = stack.read(b"a").unwrap();
    assert_eq!(content.step(&mut []).unwrap_err().code(), "internal");
    // An image without layers is an empty tar.
    let mut stack = Stack::new(vec![], Some(&[]), config(&Options::default())).unwrap();
    Cut::whole().stack(&[], &mut stack).unwrap();
    assert_eq!(Cut::whole().tar(&[], &stack).unwrap(), wharfie_core::tar::END_OF_ARCHIVE);
}

#[test]
fn a_layer_of_unknown_size_waits_for_its_blob() {
    let tar = tar(&[file("a", b"1")]);
    for blob in packs(&tar) {
        let mut of = layer(&blob);
        (of.descriptor.size, of.size) = (0, 0);
        let mut stack = Stack::new(vec![of], None, config(&Options::default())).unwrap();
        assert_eq!(stack.step().unwrap(), Step::Need { source: 0, offset: 0, len: 0 });
        assert_eq!(stack.feed(0, 0, &blob).unwrap_err().code(), "internal");
        stack.have(0, blob.len() as u64, false).unwrap();
        Cut::new(90, 7).stack(std::slice::from_ref(&blob), &mut stack).unwrap();
        assert_eq!(stack.tree().unwrap().lookup(b"a").map(wharfie_core::merge::Node::size), Some(1));
    }
    // No bytes at all are a blob too.
    let mut stack = Stack::new(vec![layer(b"")], None, config(&Options::default())).unwrap();
    Cut::whole().stack(&[Vec::new()], &mut stack).unwrap();
    assert_eq!(stack.tree().unwrap().len(), 1);
}

#[test]
fn a_stack_that_cannot_be_merged_says_so_whatever_is_asked() {
    let blob = tar(&[file("x", b"1"), item("l", Kind::HardLink, "nowhere", b"")]);
    let mut stack = Stack::new(vec![layer(&blob)], None, config(&Options::default())).unwrap();
    let error = Cut::whole().stack(std::slice::from_ref(&blob), &mut stack).unwrap_err();
    assert_eq!(error.code(), "invalid_hard_link");
    assert_eq!(stack.find(b"x").unwrap_err(), error, "and asks for no layer again and again");
}
