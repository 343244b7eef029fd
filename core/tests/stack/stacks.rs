//! Random stacks, packed and cut at random: what comes of them is what comes of the decoded layers.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wharfie_core::merge::{Answer, Options, Order};
use wharfie_core::stack::Stack;
use wharfie_core::tar::Kind;

use super::driver::{Cut, config, layers};
use super::model::chosen::Chosen;
use super::packs::{PACKS, pack};
use super::random::{Draft, chosen, draft, items};
use super::stack::{Item, flatten, tar, view_of_tree};

#[test]
fn random_stacks_come_out_of_their_blobs() {
    let cases = std::env::var("WHARFIE_STACKS").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let stacks = (
        prop::collection::vec(prop::collection::vec(draft(), 0..12), 0..5),
        chosen(),
        0..PACKS,
        1..2_000_usize,
        1..3_000_usize,
        any::<bool>(),
    );
    let met = std::cell::RefCell::new([0; 2]);
    let run = |(drafts, chosen, how, piece, room, canonical): (Vec<Vec<Draft>>, Chosen, _, _, _, bool)| {
        let mut options = chosen.options();
        if canonical {
            options.order = Order::Canonical;
        }
        check(&items(&drafts), &options, how, Cut::new(piece, room), &mut met.borrow_mut());
        Ok(())
    };
    runner.run(&stacks, run).unwrap();
    let met = met.into_inner();
    assert!(met.iter().all(|met| *met > cases / 20), "{met:?}");
}

/// By the blobs as by the decoded layers, or refused alike.
fn check(items: &[Vec<Item>], options: &Options, how: usize, mut cut: Cut, met: &mut [u32; 2]) {
    let tars: Vec<Vec<u8>> = items.iter().map(|layer| tar(layer)).collect();
    let blobs: Vec<Vec<u8>> = tars.iter().enumerate().map(|(at, tar)| pack(tar, how + at)).collect();
    let mut stack = Stack::new(layers(&blobs), None, config(options)).unwrap();
    let made = cut.stack(&blobs, &mut stack).and_then(|()| cut.tar(&blobs, &stack));
    match (flatten(&tars, options, 700), made) {
        (Ok(flat), Ok(made)) => {
            assert!(flat == made);
            met[0] += 1;
        }
        (Err(expected), Err(error)) => {
            let mut place = error.place().clone();
            // Decoded layers have no blob.
            place.blob = None;
            assert_eq!((error.kind(), &place), (expected.kind(), expected.place()));
            met[1] += 1;
            return;
        }
        (flat, made) => panic!("{:?}, {:?}", flat.err(), made.err()),
    }
    let tree = stack.tree().unwrap().clone();
    let view = view_of_tree(&tree, &tars);
    for node in tree.iter().filter(|node| node.kind() == Kind::File) {
        let path = node.path();
        let mut content = stack.read_node(node.id()).unwrap();
        assert!(cut.content(&blobs, &mut content).unwrap() == view[&path].data);
        // A path is found whatever is left out.
        let Ok(Answer::Found(found)) = stack.find(&path) else { panic!("{}", path.escape_ascii()) };
        assert_eq!((found.path, found.inode), (path, node.inode()));
    }
}
