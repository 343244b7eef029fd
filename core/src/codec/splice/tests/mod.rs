//! What is spliced decodes to what was asked for, whatever the sources, the cuts and the timing.

mod puff;
mod rules;
mod world;

use std::vec::Vec;

use proptest::prelude::*;

use super::Part;
use world::{Chance, Source, Way, World};

/// Random sources, each packed in a way of its own, and random runs of them with bytes of nowhere between.
fn world(seed: u64) -> World {
    let mut chance = Chance::new(seed);
    let sources = (0..=chance.below(3)).map(|_| Source::random(&mut chance)).collect();
    World::random(sources, &mut chance)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 32 }))]

    #[test]
    fn spliced_output_decodes_to_the_selected_bytes(seed: u64) {
        let world = world(seed);
        let (out, parts) = world.splice(Way::Known, &mut Chance::new(seed));
        let decoded = puff::puff(&out);
        prop_assert_eq!(decoded.members, 1);
        prop_assert!(decoded.bytes == world.output());
        let covered: u64 = parts.iter().map(Part::len).sum();
        prop_assert_eq!(covered, world.output().len() as u64);
    }

    #[test]
    fn cuts_and_timing_change_nothing(seed: u64) {
        let world = world(seed);
        let expected = world.splice(Way::Known, &mut Chance::new(seed));
        for way in [Way::Whole, Way::Streamed, Way::Streamed, Way::Bytes] {
            let met = world.splice(way, &mut Chance::new(seed ^ 1));
            prop_assert!(met.1 == expected.1, "{:?}: other parts", way);
            prop_assert!(met.0 == expected.0, "{:?}: other bytes", way);
        }
    }

    #[test]
    fn wrong_tables_do_no_harm_but_to_the_data(seed: u64) {
        let mut chance = Chance::new(seed);
        let world = world(seed);
        let mut blocks = Vec::new();
        for _ in 0..chance.below(40) {
            let wild = |chance: &mut Chance| match chance.below(6) {
                0 => u64::MAX - chance.below(100_000),
                1 => 0,
                _ => chance.below(1 << 20),
            };
            let (bit, byte) = (wild(&mut chance), wild(&mut chance));
            let (bits, bytes) = (chance.below(1 << 22), chance.below(1 << 21));
            let bits = bit..bit.saturating_add(bits);
            let block = crate::codec::Block::new(bits, byte..byte.saturating_add(bytes), chance.below(1 << 15));
            blocks.extend(block.map(|block| block.with_last(chance.below(3) == 0).with_stored(chance.below(3) == 0)));
        }
        let parts = world.parts_of_wrong_tables(&blocks);
        // Whatever they say, the output is covered.
        let covered: u64 = parts.iter().map(Part::len).sum();
        prop_assert_eq!(covered, world.output().len() as u64);
    }
}
