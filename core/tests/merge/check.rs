//! One stack by all routes.

use std::collections::BTreeMap;

use wharfie_core::merge::{Op, Options, Order, Plan, WarningKind};

use super::drafted;
use super::model::{self, chosen::Chosen, chosen::by_core};
use super::stack::{Item, View, flatten, offsets, resolve, tar, view_of_tar, view_of_tree};
use super::untouched::check_untouched;
use super::view::{check_changes, check_lookup};

/// How often something came about: random stacks that only ever show the easy cases prove nothing.
pub(crate) type Met = BTreeMap<&'static str, u64>;

/// A stack must show the same by the model, the tree and both flattened tars.
///
/// One that the model refuses must fail at the same entry with the same code; then the entry is taken out and the rest
/// goes on, so that few stacks are only errors.
pub(crate) fn check(mut layers: Vec<Vec<Item>>, chosen: &Chosen, chunk: usize, met: &mut Met) {
    let mut options = chosen.options();
    let mut meet = |what, whether: bool| *met.entry(what).or_default() += u64::from(whether);
    let (tars, expected) = loop {
        let tars: Vec<Vec<u8>> = layers.iter().map(|layer| tar(layer)).collect();
        match model::view(&layers, chosen.keep_directory_symlink) {
            Ok(expected) => break (tars, expected),
            Err((code, layer, item)) => {
                let error =
                    resolve(&tars, &options, chunk, false).map(drop).expect_err("the model refuses it");
                let byte = offsets(&tars[layer])[item];
                let place = (error.place().layer, error.place().byte);
                assert_eq!((error.code(), place), (code, (Some(layer), Some(byte))), "{error}");
                layers[layer].remove(item);
                meet(code, true);
            }
        }
    };

    let unmatched = chosen.unmatched(&expected);
    let selected = chosen.select(&expected);
    meet("left out", selected.len() < expected.len());
    meet("a link whose first name was left out", {
        let firsts = selected.iter().filter(|(path, shown)| shown.same == **path);
        firsts.map(|(path, _)| &expected[path].same).any(|same| !selected.contains_key(same))
    });
    let mapped = chosen.map(&selected);
    meet("an owner that is not mapped", mapped.is_none());
    let expected = mapped.unwrap_or_else(|| {
        let error = resolve(&tars, &options, chunk, false).map(drop).expect_err("an owner is not mapped");
        assert_eq!(error.code(), "unmapped_id");
        options.id_maps = Default::default();
        selected.clone()
    });
    meet("an owner changed", expected != selected);

    let tree = resolve(&tars, &options, chunk, true).unwrap();
    assert_same(&view_of_tree(&tree, &tars), &selected);
    assert_same(&by_core(&view_of_tree(&tree, &tars), &options.id_maps), &expected);
    let found = tree.unmatched().iter().map(|found| (found.option, found.pattern.as_bytes().to_vec()));
    assert!(found.eq(unmatched));
    for kind in WarningKind::ALL {
        meet(kind.code(), tree.warnings().count(*kind) > 0);
    }
    for node in tree.iter() {
        let far = node.origin().map(|origin| origin.layer) > node.inode().map(|inode| inode.layer);
        meet("link to a lower layer", far);
    }

    let mut whole_options = Options::default();
    whole_options.keep_directory_symlink = chosen.keep_directory_symlink;
    // A path at a time is the slow way.
    let stacks = met.entry("stack").or_default();
    *stacks += 1;
    if stacks.is_multiple_of(5) {
        let whole = resolve(&tars, &whole_options, usize::MAX, false).unwrap();
        check_lookup(&layers, &tars, &whole_options, &whole, met);
    }
    check_changes(&layers, &tars, &whole_options, met);

    let mut meet = |what, whether: bool| *met.entry(what).or_default() += u64::from(whether);
    let mut plan = Plan::new(tree, &options).unwrap();
    while let Some(op) = plan.next_op().unwrap() {
        meet("spooled", matches!(op, Op::Spool { .. }));
        meet("copied by runs", matches!(op, Op::Copy { from, to, .. } if to - from > 2_048));
    }

    let stream = flatten(&tars, &options, chunk).unwrap();
    assert_same(&view_of_tar(&stream, Order::Stream), &expected);
    draft(&tars, &options, chunk, &mut meet);
    // Most choices are none that a draft can follow.
    draft(&tars, &Options::default(), chunk, &mut meet);
    options.order = Order::Canonical;
    let canonical = flatten(&tars, &options, chunk).unwrap();
    assert_same(&view_of_tar(&canonical, Order::Canonical), &expected);
    (options.selection, options.id_maps) = Default::default();
    for tar in tars.iter().chain([&stream]) {
        meet("untouched in stream order", check_untouched(tar, &Options::default(), chunk));
    }
    meet("untouched in canonical order", check_untouched(&canonical, &options, chunk));
    let recut = flatten(&[stream], &options, chunk).unwrap();
    assert!(recut == canonical, "canonical order does not hang on how the layers were cut");
}

/// Whatever a draft foretold, and whatever is left of it, the plan makes the same bytes of it.
fn draft(tars: &[Vec<u8>], options: &Options, chunk: usize, meet: &mut impl FnMut(&'static str, bool)) {
    let Ok(flat) = flatten(tars, options, chunk) else {
        assert!(drafted::export(tars, options, chunk, u64::MAX).is_err());
        return;
    };
    let whole = drafted::export(tars, options, chunk, u64::MAX).unwrap();
    assert!(whole.output == flat, "the draft's bytes");
    let part = drafted::export(tars, options, chunk, whole.written / 2).unwrap();
    assert!(part.output == flat && part.held <= whole.written / 2, "half of the draft's bytes");
    meet("drafted to the end", whole.kept_on && whole.written > 0);
    meet("draft given up", !whole.kept_on && whole.written > 0);
    meet("draft taken back", whole.held < whole.written);
    meet("draft wrong", whole.kept_on && (whole.held < whole.written || whole.again > 0));
}

fn assert_same(view: &View, expected: &View) {
    for (path, shown) in expected {
        assert_eq!(view.get(path), Some(shown), "{}", path.escape_ascii());
    }
    for path in view.keys() {
        assert!(expected.contains_key(path), "{} should not be there", path.escape_ascii());
    }
}
