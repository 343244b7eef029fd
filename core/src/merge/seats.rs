//! Numbers found by parent and name: an open-addressed table that no choice of names makes slow.

use alloc::vec::Vec;
use core::hash::Hasher as _;

use super::trie::NONE;
use crate::map::Map;

/// Seats looked at for one name, beginning at its own; whoever finds them all taken stands.
const WINDOW: usize = 32;

/// One place in the table.
#[derive(Clone, Copy, Debug)]
struct Seat {
    hash: u32,
    /// `NONE` where it is free.
    id: u32,
}

/// The numbers of nodes, each under its parent's and its own name.
///
/// A quick hash says where to look, and at most [`WINDOW`] seats are looked at. Its collisions can be chosen: who finds no
/// seat goes into an ordered map under a hash whose collisions cannot, so that a lookup costs the logarithm of the number of
/// paths at worst (L24). With honest names hardly any come there.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats {
    /// A power of two of them, or none.
    table: Vec<Seat>,
    seated: usize,
    /// The windows of all of these are full.
    standing: Map<(u32, u64), Vec<Seat>>,
}

impl Seats {
    /// The number for which `is_it` holds, among those that were added under this parent and name, and few others.
    pub(super) fn find(&self, parent: u32, name: &[u8], is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = quick(parent, name);
        for at in self.window(hash) {
            match self.table.get(at) {
                Some(seat) if seat.id == NONE => return None,
                Some(seat) if seat.hash == hash && is_it(seat.id) => return Some(seat.id),
                _ => {}
            }
        }
        if self.standing.is_empty() {
            return None;
        }
        let alike = self.standing.get(&(parent, strong(name)))?;
        alike.iter().map(|standing| standing.id).find(|id| is_it(*id))
    }

    /// Adds a number that was not found; `of` says parent and name of those that were added before.
    pub(super) fn add<'n>(&mut self, parent: u32, name: &[u8], id: u32, of: impl Fn(u32) -> (u32, &'n [u8])) {
        // Five eighths full at most: a lookup that fails looks at four seats then.
        if self.seated * 8 >= self.table.len() * 5 {
            self.grow(of);
        }
        let seat = Seat { hash: quick(parent, name), id };
        if !self.sit(seat) {
            self.standing.entry((parent, strong(name))).or_default().push(seat);
        }
    }

    /// The seats for a hash, its own first.
    fn window(&self, hash: u32) -> impl Iterator<Item = usize> + use<> {
        let mask = self.table.len().wrapping_sub(1);
        let len = WINDOW.min(self.table.len());
        (0..len).map(move |step| (hash as usize).wrapping_add(step) & mask)
    }

    fn sit(&mut self, new: Seat) -> bool {
        for at in self.window(new.hash) {
            if let Some(seat) = self.table.get_mut(at)
                && seat.id == NONE
            {
                *seat = new;
                self.seated += 1;
                return true;
            }
        }
        false
    }

    fn grow<'n>(&mut self, of: impl Fn(u32) -> (u32, &'n [u8])) {
        let free = Seat { hash: 0, id: NONE };
        let len = (self.table.len() * 2).max(2 * WINDOW);
        let old = core::mem::replace(&mut self.table, alloc::vec![free; len]);
        self.seated = 0;
        for seat in old.into_iter().filter(|seat| seat.id != NONE) {
            if !self.sit(seat) {
                let (parent, name) = of(seat.id);
                self.standing.entry((parent, strong(name))).or_default().push(seat);
            }
        }
        // With more seats most of them find one; the others' windows are full again.
        let mut standing = core::mem::take(&mut self.standing);
        standing.retain(|_, alike| {
            alike.retain(|seat| !self.sit(*seat));
            !alike.is_empty()
        });
        self.standing = standing;
    }
}

/// Where to look first. Its low bits count.
fn quick(parent: u32, name: &[u8]) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = (u64::from(parent) + 1).wrapping_mul(ODD) ^ name.len() as u64;
    for piece in name.chunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(piece) {
            *to = *from;
        }
        hash = (hash ^ (hash >> 29) ^ u64::from_le_bytes(word)).wrapping_mul(ODD);
    }
    ((hash ^ (hash >> 31)).wrapping_mul(ODD) >> 32) as u32
}

/// One whose collisions nobody can choose by the thousand.
#[allow(deprecated)] // the keyed hash that core has; its successor is in std
fn strong(name: &[u8]) -> u64 {
    let mut hasher = core::hash::SipHasher::new_with_keys(0x7768_6172_6669_6531, 0x6c61_7965_7273_2131);
    hasher.write(name);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of names below one parent or another, as the trie keeps them.
    #[derive(Default)]
    struct Names {
        seats: Seats,
        all: Vec<(u32, Vec<u8>)>,
    }

    impl Names {
        fn number(&mut self, parent: u32, name: &[u8]) -> u32 {
            let Names { seats, all } = self;
            let same = |id: u32| all[id as usize] == (parent, name.to_vec());
            if let Some(found) = seats.find(parent, name, same) {
                return found;
            }
            let id = all.len() as u32;
            all.push((parent, name.to_vec()));
            let of = |id: u32| (all[id as usize].0, &all[id as usize].1[..]);
            seats.add(parent, &all[id as usize].1, id, of);
            id
        }
    }

    #[test]
    fn every_name_is_found_again_however_the_table_grew() {
        let mut names = Names::default();
        for round in 0..3 {
            for i in 0..20_000_u32 {
                let name = alloc::format!("name-{}", i / 7);
                assert_eq!(names.number(i % 7, name.as_bytes()), i, "round {round}");
            }
        }
        assert!(names.seats.standing.len() < 20, "honest names have seats: {}", names.seats.standing.len());
    }

    #[test]
    fn l24_names_chosen_to_collide_stand_and_are_found() {
        // Names whose quick hashes fall into one window of any table that they can make.
        let chosen: Vec<Vec<u8>> = (0..2_000_000_u32)
            .map(|i| alloc::format!("{i:x}").into_bytes())
            .filter(|name| quick(1, name) & 0x3ff < 4)
            .take(3_000)
            .collect();
        assert_eq!(chosen.len(), 3_000);
        let mut names = Names::default();
        for _ in 0..2 {
            for (id, name) in (0..).zip(&chosen) {
                assert_eq!(names.number(1, name), id);
            }
        }
        let standing: usize = names.seats.standing.values().map(Vec::len).sum();
        assert!(standing > 2_000, "{standing}");
        // Then room for some of them, and still all are found.
        for i in 0..100_000_u32 {
            names.number(2, &i.to_le_bytes());
        }
        for (id, name) in (0..).zip(&chosen) {
            assert_eq!(names.number(1, name), id);
        }
    }
}
