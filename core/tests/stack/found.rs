//! One path, by no more layers than decide it.

use std::collections::BTreeSet;

use wharfie_core::error::Error;
use wharfie_core::merge::{Answer, Found, Options};
use wharfie_core::stack::{Layer, Stack};
use wharfie_core::tar::Kind;

use super::driver::{Cut, config, layers};
use super::packs::{noise, pack};
use super::stack::tar;
use super::verified::{file, item};

/// Asks for a path; the host fetches what it has to. Answers which layers it fetched.
fn find(blobs: &[Vec<u8>], stack: &mut Stack, path: &[u8]) -> (Result<Found, Error>, Vec<usize>) {
    let mut fetched = Vec::new();
    loop {
        match stack.find(path) {
            Ok(Answer::Found(found)) => return (Ok(found), fetched),
            Ok(Answer::Need { layer, .. }) => {
                assert!(!fetched.contains(&layer));
                fetched.push(layer);
                stack.have(layer, blobs[layer].len() as u64, true).unwrap();
                stack.want(Some(layer)).unwrap();
                let mut cut = Cut::new(5_000, 700);
                if let Err(error) = cut.stack(blobs, stack) {
                    return (Err(error), fetched);
                }
                assert_eq!(cut.fed, blobs[layer].len() as u64);
            }
            Ok(answer) => panic!("{answer:?}"),
            Err(error) => return (Err(error), fetched),
        }
    }
}

fn blobs() -> Vec<Vec<u8>> {
    let tars = [
        tar(&[file("usr/lib/os-release", b"ID=old"), file("a", b"0"), file("data", &noise(9_000, 1))]),
        tar(&[
            item("etc/os-release", Kind::Symlink, "../usr/lib/os-release", b""),
            item("link", Kind::HardLink, "a", b""),
        ]),
        tar(&[file("usr/lib/os-release", b"ID=new"), file(".wh.gone", b"")]),
        tar(&[file("top", b"top")]),
    ];
    tars.iter().enumerate().map(|(at, tar)| pack(tar, at + 1)).collect()
}

/// What a host knows before it has fetched anything.
fn absent(blobs: &[Vec<u8>]) -> Vec<Layer> {
    layers(blobs).into_iter().map(|layer| Layer { size: 0, ..layer }).collect()
}

#[test]
fn only_what_decides_is_fetched() {
    let blobs = blobs();
    for (path, content, fetched) in [
        ("top", Ok("top"), &[3][..]),
        ("/top/../top", Err("path_not_found"), &[3]),
        ("usr/lib/os-release", Ok("ID=new"), &[3, 2]),
        ("gone", Err("path_not_found"), &[3, 2]),
        ("/etc/os-release", Ok("ID=new"), &[3, 2, 1]),
        ("link", Ok("0"), &[3, 2, 1, 0]),
        ("nothing", Err("path_not_found"), &[3, 2, 1, 0]),
        ("usr", Err("not_a_file"), &[3, 2]),
    ] {
        let mut stack = Stack::new(absent(&blobs), None, config(&Options::default())).unwrap();
        let (found, took) = find(&blobs, &mut stack, path.as_bytes());
        assert_eq!(took, fetched, "{path}");
        let read = found.and_then(|found| stack.read_found(&found)).and_then(|mut content| {
            let read = Cut::new(100, 3).content(&blobs, &mut content)?;
            Ok(String::from_utf8(read).unwrap())
        });
        assert_eq!(read.as_deref().map_err(Error::code), content, "{path}");
    }
}

#[test]
fn one_stack_answers_again_and_again() {
    let blobs = blobs();
    let mut stack = Stack::new(absent(&blobs), None, config(&Options::default())).unwrap();
    assert_eq!(find(&blobs, &mut stack, b"top").1, [3]);
    assert_eq!(find(&blobs, &mut stack, b"usr/lib/os-release").1, [2]);
    assert!(find(&blobs, &mut stack, b"usr/lib/os-release").1.is_empty());
    assert_eq!(find(&blobs, &mut stack, b"data").1, [1, 0]);
    // All are known by now: the tree says the same.
    let paths: Vec<&[u8]> =
        vec![b"top", b"/etc/os-release", b"link", b"nothing", b"usr", b"etc/..", b"a/b", b""];
    let code = |found: Result<Found, Error>| match found {
        Ok(found) => {
            Ok((found.path, found.kind, found.inode.filter(|_| found.kind == Kind::File), found.size))
        }
        Err(error) => Err(error.code()),
    };
    let before: Vec<_> = paths.iter().map(|path| code(find(&blobs, &mut stack, path).0)).collect();
    stack.want(None).unwrap();
    Cut::whole().stack(&[], &mut stack).unwrap();
    let after: Vec<_> = paths.iter().map(|path| code(find(&blobs, &mut stack, path).0)).collect();
    assert_eq!(before, after);
}

#[test]
fn a_selection_hides_nothing_from_who_asks_for_a_path() {
    let blobs = blobs();
    let mut options = Options::default();
    options.selection.exclude = vec![wharfie_core::merge::Pattern::new(b"top").unwrap()];
    let mut stack = Stack::new(layers(&blobs), None, config(&options)).unwrap();
    Cut::whole().stack(&blobs, &mut stack).unwrap();
    assert!(stack.tree().unwrap().lookup(b"top").is_none());
    assert!(find(&blobs, &mut stack, b"top").0.is_ok());
    // What is wrong with a layer comes as it is, and does not stay.
    let odd = [tar(&[item("l", Kind::HardLink, "l", b"")]), tar(&[file("a", b"1")])];
    let mut stack = Stack::new(layers(&odd), None, config(&Options::default())).unwrap();
    assert!(find(&odd, &mut stack, b"a").0.is_ok());
    let codes: BTreeSet<_> = (0..2).map(|_| find(&odd, &mut stack, b"b").0.unwrap_err().code()).collect();
    assert_eq!(codes, BTreeSet::from(["invalid_hard_link"]));
    assert!(find(&odd, &mut stack, b"a").0.is_ok());
}
