//! What merging costs (L24): steps counted, not timed. The rules themselves are tested by `core/tests/merge`.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::index::Row;
use super::trie::TrieNode;
use super::{LayerIndex, Options, Plan, Resolver, Tree, WarningKind, Warnings, check_layer_count};
use crate::Limits;
use crate::error::Result;
use crate::tar::{BLOCK, Entry, Kind, Metadata, Notes};

/// An entry of an empty tar: what it costs has nothing to do with content.
fn entry(path: &str, kind: Kind, link: &str) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        link: link.as_bytes().to_vec(),
        kind,
        metadata: Metadata::default(),
        size: 0,
        sparse: None,
        header_at: 0,
        data_at: BLOCK as u64,
        stored: 0,
        verbatim: true,
        notes: Notes::NONE,
    }
}

fn file(path: &str) -> Entry {
    entry(path, Kind::File, "")
}

/// The tree of some layers, and the steps it took.
fn resolve(layers: Vec<Vec<Entry>>, options: &Options) -> Result<(Tree, u64)> {
    let mut resolver = Resolver::new(layers.len(), options)?;
    for (layer, entries) in layers.into_iter().enumerate() {
        let mut index = LayerIndex::new(layer, &options.limits);
        for entry in entries {
            index.push(entry)?;
        }
        resolver.supply(index)?;
    }
    let steps = resolver.steps();
    Ok((resolver.finish()?, steps))
}

/// Twice as much input must not cost more than twice as much.
fn assert_linear(stack: impl Fn(usize) -> Vec<Vec<Entry>>, n: usize) {
    let cost = |n| resolve(stack(n), &Options::default()).unwrap().1;
    let (one, two, four) = (cost(n), cost(2 * n), cost(4 * n));
    assert!(two <= one * 21 / 10 && four <= two * 21 / 10, "{one}, {two}, {four} steps");
    let bytes: usize = stack(n).iter().flatten().map(|entry| BLOCK + entry.path.len()).sum();
    assert!(one <= bytes as u64, "{one} steps for {bytes} bytes of headers");
}

#[test]
fn l24_whiteouts_cost_what_they_are() {
    assert_linear(
        |n| {
            let names = (0..n).map(|i| format!("d/{i}"));
            vec![
                names.map(|name| file(&name)).collect(),
                (0..n).map(|i| file(&format!("d/.wh.{i}"))).collect(),
                (0..n).map(|i| file(&format!("d/.wh.never-{i}"))).collect(),
            ]
        },
        5_000,
    );
}

#[test]
fn l24_repeated_opaque_markers_do_not_walk_what_they_hide() {
    assert_linear(
        |n| {
            vec![
                (0..n).map(|i| file(&format!("d/e/{i}"))).collect(),
                (0..n).map(|_| file("d/.wh..wh..opq")).collect(),
                (0..n).map(|i| file(if i % 2 == 0 { "d/x" } else { "d/.wh..wh..opq" })).collect(),
            ]
        },
        5_000,
    );
}

#[test]
fn l24_replacing_a_tree_again_and_again_does_not_walk_it() {
    assert_linear(
        |n| {
            let mut layers = vec![(0..n).map(|i| file(&format!("d/{i}"))).collect::<Vec<_>>()];
            // One layer that makes the directory a file and a directory by turns, and many that do the same.
            layers.push((0..n).map(|i| if i % 2 == 0 { file("d") } else { file("d/x") }).collect());
            layers.extend((0..n / 10).map(|i| vec![file(["d", "d/y", ".wh.d"][i % 3])]));
            layers
        },
        4_000,
    );
}

#[test]
fn l24_deep_paths_cost_their_bytes() {
    let deep = |depth: usize| -> String { (0..depth).map(|i| format!("{}/", i % 10)).collect() };
    // The same deep directory for each file, and a deep directory for each.
    assert_linear(|n| vec![(0..n).map(|i| file(&format!("{}{i}", deep(50)))).collect()], 1_000);
    assert_linear(|n| vec![(0..n).map(|i| file(&format!("{i}/{}f", deep(50)))).collect()], 500);
    assert_linear(|n| vec![vec![file(&deep(n))], vec![file(&format!("{}.wh.x", deep(n)))]], 1_000);
}

#[test]
fn l24_links_cost_the_same_however_long_their_chain() {
    assert_linear(
        |n| {
            let link = |i: usize| entry(&format!("l{}", i + 1), Kind::HardLink, &format!("l{i}"));
            vec![vec![file("l0")], (0..n).map(link).collect(), (n..2 * n).map(link).collect()]
        },
        3_000,
    );
}

#[test]
fn l24_symlinks_that_make_short_names_long_have_a_limit() {
    let mut options = Options::new(Limits { symlink_bytes: 10_000, ..Limits::default() });
    let target = "d/../".repeat(1_000);
    let stack = |n: usize| {
        let mut layer = vec![entry("s", Kind::Symlink, &target)];
        layer.extend((0..n).map(|i| file(&format!("s/{i}"))));
        vec![layer]
    };
    let error = resolve(stack(100), &options).unwrap_err();
    assert_eq!(error.code(), "limit_exceeded");
    assert_eq!(alloc::string::ToString::to_string(error.kind()), "limit reached: symlink_bytes is 10000");
    options.limits.symlink_bytes = 1_000_000;
    resolve(stack(100), &options).unwrap();

    // Chains of links that double are only ever followed forty deep.
    let doubling: Vec<Entry> = (0..30)
        .map(|i| entry(&format!("s{}", i + 1), Kind::Symlink, &format!("s{i}/../s{i}")))
        .chain([file("s30/x")])
        .collect();
    assert_eq!(resolve(vec![doubling], &options).unwrap_err().code(), "invalid_path");
}

#[test]
fn l24_every_limit_is_an_error_that_names_it() {
    let limits = Limits { entries: 10, layers: 3, path_depth: 8, ..Limits::default() };
    let options = Options::new(limits);
    let message = |layers| match resolve(layers, &options) {
        Ok(_) => String::new(),
        Err(error) => {
            assert_eq!(error.code(), "limit_exceeded");
            alloc::string::ToString::to_string(error.kind())
        }
    };
    let files = |n: usize| (0..n).map(|i| file(&format!("{i}"))).collect::<Vec<_>>();
    assert_eq!(message(vec![files(10)]), "");
    assert_eq!(message(vec![files(11)]), "limit reached: entries is 10");
    assert_eq!(message(vec![files(6), files(6)]), "limit reached: entries is 10");
    assert_eq!(message(vec![vec![]; 4]), "limit reached: layers is 3");
    // Directories that entries imply are paths as well.
    assert_eq!(message(vec![vec![file("a/b/c/d/e/f"), file("g/h/i/j/k/l")]]), "limit reached: entries is 10");
    // A symlink makes a path deeper than its name.
    let deep = vec![entry("s", Kind::Symlink, "1/2/3/4"), file("s/5/6/7/8/9")];
    assert_eq!(message(vec![deep]), "limit reached: path_depth is 8");
}

#[test]
fn l24_an_entry_is_small() {
    assert_eq!((size_of::<Row>(), size_of::<TrieNode>()), (56, 60));
}

#[test]
fn l23_the_config_lists_as_many_layers_as_there_are() {
    check_layer_count(None, 3).unwrap();
    check_layer_count(Some(3), 3).unwrap();
    for (diff_ids, layers) in [(2, 3), (4, 3), (0, 1)] {
        let error = check_layer_count(Some(diff_ids), layers).unwrap_err();
        assert_eq!(error.code(), "layer_count_mismatch");
    }
}

#[test]
fn warnings_are_all_counted_and_not_all_kept() {
    let stack = (0..3).map(|_| (0..900).map(|_| file("a")).collect()).collect();
    let (tree, _) = resolve(stack, &Options::default()).unwrap();
    assert_eq!(tree.warnings().count(WarningKind::DuplicateEntry), 3 * 899);
    assert_eq!(tree.warnings().iter().count() as u64, Warnings::KEPT);

    let parked = |layer: usize| (0..700).map(move |i| file(&format!(".wh..wh.plnk/{layer}.{i}")));
    let (tree, _) =
        resolve((0..3).map(|layer| parked(layer).collect()).collect(), &Options::default()).unwrap();
    assert_eq!(tree.warnings().count(WarningKind::AufsEntry), 2_100);
    assert_eq!(tree.warnings().iter().count() as u64, Warnings::KEPT);
}

#[test]
fn names_are_found_again_by_their_row() {
    let mut index = LayerIndex::new(0, &Limits::default());
    let name = |i: usize| format!("usr/share/{}/{}", i / 7, "x".repeat(i % 5 + 1));
    for i in 0..1_000 {
        index.push(file(&name(i))).unwrap();
    }
    for i in [0, 1, 6, 7, 63, 64, 65, 127, 128, 500, 999] {
        assert_eq!(index.path(i as u32), name(i).as_bytes());
    }
}

#[test]
fn l24_the_whole_tree_has_a_limit() {
    let mut options = Options::default();
    let sized = |path: &str, size: u64| Entry { size, stored: size, ..file(path) };
    // A file counts once however many names it has; what is hidden does not count.
    let stack = || {
        let link = entry("b", Kind::HardLink, "a");
        vec![vec![sized("hidden", 1 << 50)], vec![sized("a", 600), link, sized("c", 400), file(".wh.hidden")]]
    };
    options.limits.total_bytes = Some(1_000);
    Plan::new(resolve(stack(), &options).unwrap().0, &options).unwrap();
    options.limits.total_bytes = Some(999);
    let error = Plan::new(resolve(stack(), &options).unwrap().0, &options).unwrap_err();
    assert_eq!(error.code(), "limit_exceeded");
    assert_eq!(error.place().layer, Some(1));
    assert_eq!(error.place().entry.as_deref(), Some(&b"c"[..]));
}
