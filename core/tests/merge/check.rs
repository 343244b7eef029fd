//! One stack by all routes.

use wharfie_core::merge::{Options, Order};

use super::model;
use super::stack::{Item, flatten, offsets, resolve, tar, view_of_tar, view_of_tree};

/// A stack must show the same by the model, the tree and both flattened tars. One that the model refuses must fail at the same entry with the same code; then the entry
/// is taken out and the rest goes on, so that few stacks are only errors.
pub(crate) fn check(mut layers: Vec<Vec<Item>>, keep_directory_symlink: bool, chunk: usize) {
    let mut options = Options::default();
    options.keep_directory_symlink = keep_directory_symlink;
    loop {
        let tars: Vec<Vec<u8>> = layers.iter().map(|layer| tar(layer)).collect();
        options.order = Order::Stream;
        let expected = match model::view(&layers, keep_directory_symlink) {
            Ok(expected) => expected,
            Err((code, layer, item)) => {
                let error =
                    resolve(&tars, &options, chunk, false).map(drop).expect_err("the model refuses it");
                let byte = offsets(&tars[layer])[item];
                let place = (error.place().layer, error.place().byte);
                assert_eq!((error.code(), place), (code, (Some(layer), Some(byte))), "{error}");
                layers[layer].remove(item);
                continue;
            }
        };
        let tree = resolve(&tars, &options, chunk, true).unwrap();
        assert_eq!(view_of_tree(&tree, &tars), expected);
        let stream = flatten(&tars, &options, chunk).unwrap();
        assert_eq!(view_of_tar(&stream, Order::Stream), expected);
        options.order = Order::Canonical;
        let canonical = flatten(&tars, &options, chunk).unwrap();
        assert_eq!(view_of_tar(&canonical, Order::Canonical), expected);
        let recut = flatten(&[stream], &options, chunk).unwrap();
        assert!(recut == canonical, "canonical order does not hang on how the layers were cut");
        return;
    }
}
