//! Which layers are what they would be flattened to: by cases.

use wharfie_core::merge::{IdMap, Options, Order, Pattern};
use wharfie_core::tar::{END_OF_ARCHIVE, Kind, Metadata, Mtime};

use super::stack::{Item, flatten, tar};
use super::untouched::check_untouched;

fn of_kind(path: &str, kind: Kind, link: &str, data: &str) -> Item {
    let metadata = Metadata { mode: 0o755, mtime: Mtime::from_seconds(1_000), ..Metadata::default() };
    Item { path: path.into(), kind, link: link.into(), metadata, data: data.into() }
}

fn file(path: &str, data: &str) -> Item {
    of_kind(path, Kind::File, "", data)
}

fn directory(path: &str) -> Item {
    of_kind(path, Kind::Directory, "", "")
}

fn symlink(path: &str, target: &str) -> Item {
    of_kind(path, Kind::Symlink, target, "")
}

/// In pieces of every size.
fn says(tar: &[u8], options: &Options) -> bool {
    let answer = check_untouched(tar, options, usize::MAX);
    for chunk in [1, 7, 511, 512, 513, 1_000, 4_096] {
        assert_eq!(check_untouched(tar, options, chunk), answer, "in pieces of {chunk}");
    }
    answer
}

fn canonical() -> Options {
    let mut options = Options::default();
    options.order = Order::Canonical;
    options
}

fn stack() -> Vec<Vec<u8>> {
    let mut with_xattr = file("etc/cap", "c");
    with_xattr.metadata.xattrs.insert(b"security.capability".to_vec(), vec![1, 0, 0, 2, 0]);
    let below = tar(&[
        directory("./"),
        directory("etc/"),
        file("etc/passwd", &"root".repeat(300)),
        with_xattr,
        symlink("etc/mtab", "../proc/self/mounts"),
        symlink("bin", "usr/bin"),
        of_kind("etc/shadow", Kind::HardLink, "etc/passwd", ""),
        of_kind("dev/null", Kind::CharDevice { major: 1, minor: 3 }, "", ""),
        file(&format!("opt/{}", "long".repeat(60)), ""),
    ]);
    let above = tar(&[file("etc/.wh.cap", ""), directory("etc/"), file("etc/group", "g")]);
    vec![below, above]
}

#[test]
fn what_was_flattened_passes_through() {
    for options in [Options::default(), canonical()] {
        let flat = flatten(&stack(), &options, usize::MAX).unwrap();
        assert!(says(&flat, &options));
        let other = if options.order == Order::Stream { canonical() } else { Options::default() };
        assert!(!says(&flat, &other));
    }
    for nothing in [END_OF_ARCHIVE.to_vec(), tar(&[file("a", "no directories"), file("b", "")])] {
        assert!(says(&nothing, &Options::default()) && says(&nothing, &canonical()));
    }
}

#[test]
fn what_options_change_does_not() {
    let flat = flatten(&stack(), &Options::default(), usize::MAX).unwrap();
    let mut options = Options::default();
    options.mtime_max = Some(Mtime::from_seconds(1_000));
    assert!(says(&flat, &options), "nothing is later");
    options.mtime_max = Some(Mtime::from_seconds(999));
    assert!(!says(&flat, &options));
    let mut options = Options::default();
    options.selection.exclude = vec![Pattern::new(b"nowhere").unwrap()];
    assert!(says(&flat, &options), "nothing is left out");
    options.selection.exclude = vec![Pattern::new(b"group").unwrap()];
    assert!(!says(&flat, &options));
    let mut options = Options::default();
    options.id_maps.uid = IdMap::new(["0:0:1".parse().unwrap()]).unwrap();
    assert!(says(&flat, &options), "all owners stay");
    options.id_maps.uid = IdMap::new(["0:1000:1".parse().unwrap()]).unwrap();
    assert!(!says(&flat, &options));
}

#[test]
fn what_is_written_in_another_way_does_not() {
    let flat = flatten(&stack(), &Options::default(), usize::MAX).unwrap();
    let end = flat.len() - END_OF_ARCHIVE.len();
    assert!(!says(&flat[..end], &Options::default()), "without an end");
    let longer = [&flat[..], &[0; 512]].concat();
    assert!(!says(&longer, &Options::default()), "with a longer end, as tar writes it");
    let garbage = [&flat[..], b"what follows the end"].concat();
    assert!(!says(&garbage, &Options::default()));
    let much = [&flat[..], &[0; 3 << 20]].concat();
    assert!(!check_untouched(&much, &Options::default(), 1 << 18));
    // Bits of a directory's header.
    let last = end - 512;
    for at in (last..last + 512).step_by(37) {
        let mut changed = flat.clone();
        changed[at] ^= 0x20;
        assert!(!says(&changed, &Options::default()), "byte {at}");
    }
    let with_whiteout = tar(&[file("a", "1"), file(".wh.b", ""), file("c", "2")]);
    let twice = tar(&[file("a", "1"), file("a", "2")]);
    let parent_late = tar(&[directory("d/"), file("d/x", "1")]);
    let implied = tar(&[file("d/x", "1")]);
    for other in [with_whiteout, twice, parent_late, implied] {
        assert!(!says(&other, &Options::default()));
    }
}
