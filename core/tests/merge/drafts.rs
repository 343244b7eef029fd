//! What a draft foresees, and what it gives up at: never a byte of difference.

use wharfie_core::merge::{Options, Order};
use wharfie_core::tar::{Kind, Metadata, Mtime};

use super::drafted::{Drafted, export};
use super::stack::{Item, flatten, tar};

fn file(path: &str, data: &str) -> Item {
    of_kind(path, Kind::File, "", data)
}

fn link(path: &str, target: &str) -> Item {
    of_kind(path, Kind::HardLink, target, "")
}

fn symlink(path: &str, target: &str) -> Item {
    of_kind(path, Kind::Symlink, target, "")
}

fn directory(path: &str) -> Item {
    of_kind(path, Kind::Directory, "", "")
}

fn of_kind(path: &str, kind: Kind, link: &str, data: &str) -> Item {
    let mtime = Mtime { seconds: 1_000 + path.len() as i64, nanos: 0 };
    let metadata = Metadata { mode: 0o644, mtime, ..Metadata::default() };
    Item { path: path.into(), kind, link: link.into(), metadata, data: data.into() }
}

/// By every chunk size, and with every part of what was written: the last one with all of it.
fn drafted(tars: &[Vec<u8>], options: &Options) -> Drafted {
    let flat = flatten(tars, options, usize::MAX).unwrap();
    for chunk in [1, 511, 512, 700, 4096, usize::MAX] {
        let whole = export(tars, options, chunk, u64::MAX).unwrap();
        assert!(whole.output == flat, "in chunks of {chunk}");
    }
    let whole = export(tars, options, 512, u64::MAX).unwrap();
    for limit in (0..=whole.written).step_by(512) {
        let part = export(tars, options, 512, limit).unwrap();
        assert!(part.output == flat && part.held <= limit, "with {limit} bytes left");
    }
    whole
}

fn holds(what: &str, layers: &[Vec<Item>]) {
    let tars: Vec<Vec<u8>> = layers.iter().map(|layer| tar(layer)).collect();
    for mtime_max in [None, Some(Mtime::from_seconds(1_003))] {
        let mut options = Options::default();
        options.mtime_max = mtime_max;
        let drafted = drafted(&tars, &options);
        assert!(drafted.kept_on && drafted.written > 0, "{what}: it gave up");
        assert_eq!((drafted.held, drafted.again), (drafted.written, 0), "{what}");
    }
}

#[test]
fn ordinary_stacks_are_drafted_to_the_end() {
    let base = || {
        vec![
            directory("./"),
            directory("etc/"),
            file("etc/passwd", "root"),
            symlink("etc/mtab", "../proc/self/mounts"),
            symlink("bin", "usr/bin"),
            directory("usr/"),
            directory("usr/bin/"),
            file("usr/bin/perl", &"p".repeat(3000)),
            link("usr/bin/perl5", "usr/bin/perl"),
            of_kind("dev/null", Kind::CharDevice { major: 1, minor: 3 }, "", ""),
            file(&"long/".repeat(60), "").clone(),
        ]
        .into_iter()
        .map(|mut item| {
            if item.path.starts_with(b"long") {
                item.path.extend_from_slice(b"name");
            }
            item
        })
        .collect::<Vec<_>>()
    };
    holds("one layer", &[base()]);
    holds("a file replaced", &[base(), vec![directory("etc/"), file("etc/passwd", "other")]]);
    holds("files below directories that no layer has", &[base(), vec![file("opt/x/y", "z")], vec![]]);
    holds(
        "whiteouts",
        &[base(), vec![file("usr/bin/.wh.perl", ""), file(".wh.bin", ""), file(".wh.nothing", "")]],
    );
    holds(
        "a directory that is closed above the bottom",
        &[base(), vec![file("usr/lib/x", "x"), symlink("usr/lib/y", "/y")], vec![file(".wh.usr", "")]],
    );
    holds(
        "a directory filled again",
        &[
            base(),
            vec![file(".wh.usr", ""), file("usr/new", "n"), symlink("usr/up", "../x"), directory("usr/a/b/")],
            vec![file("top", "t")],
        ],
    );
    holds(
        "an opaque directory that keeps its metadata",
        &[base(), vec![file("usr/.wh..wh..opq", ""), file("usr/share/x", "x")], vec![file("usr/y", "y")]],
    );
    holds(
        "an opaque directory with metadata of its own",
        &[base(), vec![directory("usr/"), file("usr/z", ""), file("usr/.wh..wh..opq", "")], vec![]],
    );
    holds("an opaque root", &[base(), vec![file(".wh..wh..opq", ""), file("a/b", "b"), symlink("s", "/t")]]);
    holds(
        "a directory over a file, a file over a directory",
        &[base(), vec![file("usr", "file")], vec![file("etc/passwd/x", "x"), file("usr2/y", "")]],
    );
    holds("a link whose body's name is replaced", &[base(), vec![file("usr/bin/perl", "new")]]);
    holds(
        "a link whose body's name is gone, and another one",
        &[
            vec![file("a", &"a".repeat(700)), link("b", "a"), link("c", "b"), file("d", "d"), link("e", "c")],
            vec![file(".wh.a", "")],
        ],
    );
    holds(
        "links of which none is left",
        &[vec![file("a", "body"), link("b", "a")], vec![file(".wh.a", ""), file(".wh.b", ""), file("c", "")]],
    );
    holds("a name of a symlink", &[vec![symlink("a", "x"), link("b", "a")], vec![file(".wh.a", "")]]);
    holds("a body that was parked", &[vec![file(".wh..wh.plnk/1", "body"), link("b", ".wh..wh.plnk/1")]]);
}

/// What it gives up at, in the upper of two layers, and after how many bytes.
fn gives_up(what: &str, layers: &[Vec<Item>], held: u64) {
    let tars: Vec<Vec<u8>> = layers.iter().map(|layer| tar(layer)).collect();
    let drafted = drafted(&tars, &Options::default());
    assert!(!drafted.kept_on, "{what}");
    assert_eq!(drafted.held, held, "{what}");
}

#[test]
fn what_cannot_be_foreseen_is_given_up_and_done_right() {
    let below = || vec![file("low", "low"), directory("d/"), file("d/low", &"l".repeat(2000))];
    gives_up("L6", &[below(), vec![file("x", "1"), file("a", "1"), file("a", "2")]], 1024);
    gives_up("L6: a directory over a file", &[below(), vec![file("a", ""), directory("a/")]], 0);
    gives_up("L6: a file over a directory", &[below(), vec![file("a/b", "1"), file("a", "2")]], 0);
    gives_up("L3", &[below(), vec![symlink("s", "d"), file("s/x", "1")]], 512);
    gives_up("L3: a whiteout", &[below(), vec![symlink("s", "d"), file("s/.wh.low", "")]], 512);
    gives_up("L12: a lower layer's", &[below(), vec![file("x", "1"), link("l", "low")]], 1024);
    gives_up("a second name of a late symlink", &[below(), vec![symlink("s", "/x"), link("l", "s")]], 0);
    let mut options = Options::default();
    let tars = [tar(&below())];
    options.keep_directory_symlink = true;
    assert_eq!(drafted(&tars, &options).written, 0);
    options = Options::default();
    options.order = Order::Canonical;
    assert_eq!(drafted(&tars, &options).written, 0);
}

#[test]
fn l22_a_layer_cut_inside_its_last_padding_is_filled_by_the_plan() {
    let mut cut = tar(&[file("a", "1"), file("b", "2")]);
    cut.truncate(1024 + 512 + 100);
    let drafted = drafted(&[cut, tar(&[file("c", "3")])], &Options::default());
    assert!(!drafted.kept_on);
    assert_eq!(drafted.held, 2048);
}

#[test]
fn total_bytes_end_a_draft_as_well() {
    let tars = [tar(&[file("a", "12345")]), tar(&[file("b", "12345")])];
    let mut options = Options::default();
    options.limits.total_bytes = Some(9);
    let error = export(&tars, &options, usize::MAX, u64::MAX).map(|drafted| drafted.held).unwrap_err();
    assert_eq!(error.code(), "limit_exceeded");
    options.limits.total_bytes = Some(10);
    assert!(drafted(&tars, &options).kept_on);
}
