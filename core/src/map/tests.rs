use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::{MOST, Map, Set};

/// What is done to a map.
#[derive(Clone, Debug)]
enum Deed {
    Insert(u16, u8),
    Entry(u16, u8),
    Remove(u16),
    Get(u16),
    From(u16),
    Retain(u8),
}

fn deed(keys: u16) -> impl Strategy<Value = Deed> {
    let key = 0..keys;
    prop_oneof![
        4 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Deed::Insert(key, value)),
        2 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Deed::Entry(key, value)),
        3 => key.clone().prop_map(Deed::Remove),
        1 => key.clone().prop_map(Deed::Get),
        1 => key.prop_map(Deed::From),
        1 => (0_u8..20).prop_map(Deed::Retain),
    ]
}

fn is_sound<K: Ord, V>(map: &Map<K, V>) -> bool {
    map.runs.iter().all(|run| !run.is_empty() && run.len() <= MOST)
}

#[test]
fn neither_level_outgrows_the_other() {
    const MANY: u32 = 1 << 18;
    let mut map = Map::new();
    // Every number once, in no order.
    for number in 0..MANY {
        map.insert(number.wrapping_mul(2_654_435_761) % MANY, number);
    }
    assert_eq!(map.len(), MANY as usize);
    let longest = map.runs.iter().map(Vec::len).max().unwrap();
    assert!(map.runs.len() <= 2048 && longest <= 2048, "{} runs, {longest} entries", map.runs.len());
    assert!(map.iter().zip(0..).all(|((key, _), number)| *key == number));
}

proptest! {
    #[test]
    fn it_is_what_a_btree_map_is(keys in 1_u16..1000, deeds in prop::collection::vec(deed(1000), 0..2000)) {
        let (mut ours, mut theirs) = (Map::new(), BTreeMap::new());
        for deed in deeds {
            match deed {
                Deed::Insert(key, value) => {
                    prop_assert_eq!(ours.insert(key % keys, value), theirs.insert(key % keys, value));
                }
                Deed::Entry(key, value) => {
                    prop_assert_eq!(
                        ours.entry(key % keys).or_insert(value),
                        theirs.entry(key % keys).or_insert(value)
                    );
                }
                Deed::Remove(key) => prop_assert_eq!(ours.remove(&(key % keys)), theirs.remove(&(key % keys))),
                Deed::Get(key) => {
                    prop_assert_eq!(ours.get(&key), theirs.get(&key));
                    prop_assert_eq!(ours.get_mut(&key), theirs.get_mut(&key));
                    prop_assert_eq!(ours.contains_key(&key), theirs.contains_key(&key));
                }
                Deed::From(key) => prop_assert!(ours.from(&key).eq(theirs.range(key..))),
                Deed::Retain(number) => {
                    ours.retain(|_, value| *value % 20 != number);
                    theirs.retain(|_, value| *value % 20 != number);
                }
            }
            prop_assert!(is_sound(&ours));
            prop_assert_eq!((ours.len(), ours.is_empty()), (theirs.len(), theirs.is_empty()));
        }
        prop_assert!(ours.iter().eq(&theirs));
        prop_assert!(ours.iter().rev().eq(theirs.iter().rev()));
        prop_assert!(ours.clone() == ours);
        prop_assert!(ours.into_iter().eq(theirs));
    }
}

#[test]
fn keys_in_order_fill_their_runs_and_numbers_that_went_leave_none() {
    let mut map: Map<usize, usize> = (0..10 * MOST).map(|key| (key, key)).collect();
    assert_eq!(map.runs.len(), 10);
    for key in 0..10 * MOST {
        assert_eq!(map.remove(&key), Some(key));
    }
    assert!(map.is_empty() && map.runs.is_empty());
}

#[test]
fn a_set_says_what_was_new() {
    let mut set: Set<&str> = ["b", "a", "b"].into_iter().collect();
    assert!(!set.insert("a") && set.insert("c") && set.remove("b") && !set.remove("b"));
    assert_eq!((set.len(), set.first()), (2, Some(&"a")));
    assert_eq!(set.iter().copied().collect::<Vec<_>>(), ["a", "c"]);
}
