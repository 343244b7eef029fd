//! Maps and sets in the order of their keys, for what no other crate sees.
//!
//! The code of a `BTreeMap` is compiled anew for every pair of key and value, six to eight kilobytes each: a sixth of the module that
//! browsers download. This is what a tree of two levels comes to, in a quarter of that: runs of entries, none of them empty, each of
//! at most [`MOST`], or of as many as there are runs. Both levels are searched by halves. Keys that come in ascending order, as numbers that are given out
//! do, fill their runs.

use alloc::vec::{IntoIter, Vec};
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::iter::Flatten;

/// Entries of a run, while there are no more runs than that: beyond it moving them aside costs more than finding the run.
const MOST: usize = 64;

/// See the [module](self).
#[derive(Clone)]
pub(crate) struct Map<K, V> {
    runs: Vec<Vec<(K, V)>>,
}

/// Where a key is, or where it would be.
struct Seat {
    run: usize,
    at: usize,
    is_taken: bool,
}

impl<K: Ord, V> Map<K, V> {
    pub(crate) const fn new() -> Map<K, V> {
        Map { runs: Vec::new() }
    }

    fn seat<Q: Ord + ?Sized>(&self, key: &Q) -> Seat
    where
        K: Borrow<Q>,
    {
        let is_below = |run: &Vec<(K, V)>| run.last().is_some_and(|(last, _)| last.borrow() < key);
        // Behind all that there is stands what the last run takes up.
        let run = self.runs.partition_point(is_below).min(self.runs.len().saturating_sub(1));
        let found = self
            .runs
            .get(run)
            .map_or(Err(0), |run| run.binary_search_by(|(known, _)| known.borrow().cmp(key)));
        match found {
            Ok(at) => Seat { run, at, is_taken: true },
            Err(at) => Seat { run, at, is_taken: false },
        }
    }

    /// What is at a seat that is taken.
    fn at(&mut self, seat: &Seat) -> Option<&mut V> {
        let (_, value) = self.runs.get_mut(seat.run)?.get_mut(seat.at)?;
        Some(value).filter(|_| seat.is_taken)
    }

    /// The value of this key: that which is there, or the one that `make` makes.
    #[allow(clippy::indexing_slicing)] // Where the key was found, or has just been put.
    fn seated(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let Seat { mut run, mut at, is_taken } = self.seat(&key);
        if !is_taken {
            // Neither level outgrows the other.
            let most = MOST.max(self.runs.len());
            match self.runs.get_mut(run) {
                None => self.runs.push(Vec::new()),
                Some(full) if full.len() >= most => {
                    // What comes in order leaves full runs behind.
                    let half = if at == full.len() { at } else { full.len() / 2 };
                    let rest = full.split_off(half);
                    self.runs.insert(run + 1, rest);
                    if at >= half {
                        (run, at) = (run + 1, at - half);
                    }
                }
                Some(_) => {}
            }
            self.runs[run].insert(at, (key, make()));
        }
        &mut self.runs[run][at].1
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let seat = self.seat(key);
        if !seat.is_taken {
            return None;
        }
        self.runs.get(seat.run)?.get(seat.at).map(|(_, value)| value)
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let seat = self.seat(key);
        self.at(&seat)
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.seat(key).is_taken
    }

    /// Answers what was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let seat = self.seat(&key);
        if let Some(known) = self.at(&seat) {
            return Some(core::mem::replace(known, value));
        }
        self.seated(key, || value);
        None
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let seat = self.seat(key);
        let run = self.runs.get_mut(seat.run).filter(|_| seat.is_taken)?;
        let (_, value) = run.remove(seat.at);
        if run.is_empty() {
            self.runs.remove(seat.run);
        }
        Some(value)
    }

    /// The value of this key; `or_default` and its like make it where there is none.
    pub(crate) fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        Entry { map: self, key }
    }

    /// The entries from this key on.
    pub(crate) fn from<Q: Ord + ?Sized>(&self, key: &Q) -> impl Iterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        let Seat { run, at, .. } = self.seat(key);
        let runs = self.runs.get(run..).unwrap_or_default();
        runs.iter().flatten().skip(at).map(|(key, value)| (key, value))
    }
}

impl<K, V> Map<K, V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.runs.iter().map(Vec::len).sum()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.runs.iter().flatten().map(|(key, value)| (key, value))
    }

    pub(crate) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> {
        self.runs.iter_mut().flatten().map(|(key, value)| (&*key, value))
    }

    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.runs.iter().flatten().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.runs.iter().flatten().map(|(_, value)| value)
    }

    pub(crate) fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.runs.iter_mut().flatten().map(|(_, value)| value)
    }

    /// Drops the entries that `keep` does not want.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        for run in &mut self.runs {
            run.retain_mut(|(key, value)| keep(key, value));
        }
        self.runs.retain(|run| !run.is_empty());
    }
}

/// One key of a map.
pub(crate) struct Entry<'m, K, V> {
    map: &'m mut Map<K, V>,
    key: K,
}

impl<'m, K: Ord, V> Entry<'m, K, V> {
    pub(crate) fn or_insert_with(self, make: impl FnOnce() -> V) -> &'m mut V {
        self.map.seated(self.key, make)
    }

    pub(crate) fn or_insert(self, value: V) -> &'m mut V {
        self.map.seated(self.key, || value)
    }

    pub(crate) fn or_default(self) -> &'m mut V
    where
        V: Default,
    {
        self.map.seated(self.key, V::default)
    }
}

impl<K: Ord, V> Default for Map<K, V> {
    fn default() -> Map<K, V> {
        Map::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Map<K, V> {
    fn eq(&self, other: &Map<K, V>) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for Map<K, V> {}

impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Map<K, V> {
        let mut map = Map::new();
        map.extend(entries);
        map
    }
}

impl<K: Ord, V> Extend<(K, V)> for Map<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K, V> IntoIterator for Map<K, V> {
    type Item = (K, V);
    type IntoIter = Flatten<IntoIter<Vec<(K, V)>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.runs.into_iter().flatten()
    }
}

/// A set in order; see the [module](self).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Set<T>(Map<T, ()>);

impl<T: Ord> Set<T> {
    pub(crate) const fn new() -> Set<T> {
        Set(Map::new())
    }

    /// Whether it was not there.
    pub(crate) fn insert(&mut self, item: T) -> bool {
        let is_new = !self.0.contains_key(&item);
        if is_new {
            self.0.entry(item).or_default();
        }
        is_new
    }

    /// Whether it was there.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.remove(item).is_some()
    }

    pub(crate) fn contains<Q: Ord + ?Sized>(&self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.contains_key(item)
    }
}

impl<T> Set<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.0.runs.first()?.first().map(|(item, ())| item)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.keys()
    }
}

impl<T: Ord> Default for Set<T> {
    fn default() -> Set<T> {
        Set::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Set<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T: PartialEq + Ord> PartialOrd for Set<T> {
    fn partial_cmp(&self, other: &Set<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Ord for Set<T> {
    fn cmp(&self, other: &Set<T>) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl<T: Ord> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Set<T> {
        let mut set = Set::new();
        set.extend(items);
        set
    }
}

impl<T: Ord> Extend<T> for Set<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        for item in items {
            self.insert(item);
        }
    }
}

#[cfg(test)]
mod tests;
