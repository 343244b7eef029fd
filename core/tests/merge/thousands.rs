//! Random stacks: the model, the tree and both flattened tars must show the same, or fail alike.
//!
//! `cargo test` runs some thousands. A million take the command
//! `WHARFIE_STACKS=1000000 cargo test --release -p wharfie-core --test merge random`.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::check::{Met, check};
use super::random::{chosen, draft, items};

#[test]
fn random_stacks_show_the_same_by_model_by_tree_and_by_tar() {
    let cases = std::env::var("WHARFIE_STACKS").map_or(4_000, |cases| cases.parse().unwrap());
    let layers = prop::collection::vec(prop::collection::vec(draft(), 0..10), 0..6);
    let met = RefCell::new(Met::new());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&(layers, chosen(), prop_oneof![Just(usize::MAX), 1..700_usize]), |(drafts, chosen, chunk)| {
            check(items(&drafts), &chosen, chunk, &mut met.borrow_mut());
            Ok(())
        })
        .unwrap();
    for (what, often) in met.into_inner() {
        println!("{often:>9} {what}");
        // It gives up rather than being wrong.
        if what == "draft wrong" {
            assert_eq!(often, 0, "{what}");
            continue;
        }
        let rare = ["overlay_xattrs", "content compared"].contains(&what);
        let few = cases < 1_000;
        assert!(
            rare || few || often * 100 > u64::from(cases),
            "{what} came about {often} times in {cases} stacks"
        );
    }
}
