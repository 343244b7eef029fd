//! One stack by all routes.

use std::collections::BTreeMap;

use wharfie_core::merge::{Op, Options, Order, Plan, WarningKind};

use super::model;
use super::stack::{Item, View, flatten, offsets, resolve, tar, view_of_tar, view_of_tree};

/// How often something came about: random stacks that only ever show the easy cases prove nothing.
pub(crate) type Met = BTreeMap<&'static str, u64>;

/// A stack must show the same by the model, the tree and both flattened tars.
///
/// One that the model refuses must fail at the same entry with the same code; then the entry is taken out and the rest
/// goes on, so that few stacks are only errors.
pub(crate) fn check(mut layers: Vec<Vec<Item>>, keep_directory_symlink: bool, chunk: usize, met: &mut Met) {
    let mut options = Options::default();
    options.keep_directory_symlink = keep_directory_symlink;
    let mut meet = |what, whether: bool| *met.entry(what).or_default() += u64::from(whether);
    let (tars, expected) = loop {
        let tars: Vec<Vec<u8>> = layers.iter().map(|layer| tar(layer)).collect();
        match model::view(&layers, keep_directory_symlink) {
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

    let tree = resolve(&tars, &options, chunk, true).unwrap();
    assert_same(&view_of_tree(&tree, &tars), &expected);
    for kind in WarningKind::ALL {
        meet(kind.code(), tree.warnings().count(*kind) > 0);
    }
    for node in tree.iter() {
        let far = node.origin().map(|origin| origin.layer) > node.inode().map(|inode| inode.layer);
        meet("link to a lower layer", far);
    }

    let mut plan = Plan::new(tree, &options).unwrap();
    while let Some(op) = plan.next_op().unwrap() {
        meet("spooled", matches!(op, Op::Spool { .. }));
        meet("copied by runs", matches!(op, Op::Copy { from, to, .. } if to - from > 2_048));
    }

    let stream = flatten(&tars, &options, chunk).unwrap();
    assert_same(&view_of_tar(&stream, Order::Stream), &expected);
    options.order = Order::Canonical;
    let canonical = flatten(&tars, &options, chunk).unwrap();
    assert_same(&view_of_tar(&canonical, Order::Canonical), &expected);
    let recut = flatten(&[stream], &options, chunk).unwrap();
    assert!(recut == canonical, "canonical order does not hang on how the layers were cut");
}

fn assert_same(view: &View, expected: &View) {
    for (path, shown) in expected {
        assert_eq!(view.get(path), Some(shown), "{}", path.escape_ascii());
    }
    for path in view.keys() {
        assert!(expected.contains_key(path), "{} should not be there", path.escape_ascii());
    }
}
