//! Files that are wanted of a layer whose entries come one after another.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::limits::Limits;
use crate::tar::{Entry, Kind, SparseMap, path};

/// Names that symlinks and hard links may add to those that were asked for.
const MOST: usize = 64;

/// Says of each entry of a layer whether it may be what is looked for, so that a reader keeps its content when it comes
/// by and need not decode the layer again.
///
/// What it is in truth is only known at the layer's end ([`Lookup`](super::Lookup)): a later entry can supersede an
/// earlier one (L6). Symlinks of the layer that lie on the way add the names that they lead to, hard links their
/// targets.
#[derive(Clone, Debug, Default)]
pub struct Sought {
    paths: BTreeSet<Vec<u8>>,
    limits: Limits,
    bodies: Vec<SoughtBody>,
}

/// Content that may be wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SoughtBody {
    /// The entry's name in normal form. Of several with one name the last counts (L6).
    pub path: Vec<u8>,
    /// Where the stored bytes begin in the uncompressed layer.
    pub data_at: u64,
    /// How many are stored.
    pub stored: u64,
    /// Where they lie in the content, if the file is stored sparsely (L17).
    pub sparse: Option<SparseMap>,
}

impl Sought {
    /// Looks for nothing yet.
    pub fn new(limits: &Limits) -> Self {
        Sought { paths: BTreeSet::new(), limits: limits.clone(), bodies: Vec::new() }
    }

    /// Looks for this path: components joined by `/`.
    pub fn add(&mut self, path: Vec<u8>) {
        self.paths.insert(path);
    }

    /// What was found so far, in the order of the layer.
    pub fn bodies(&self) -> &[SoughtBody] {
        &self.bodies
    }

    /// Takes the next entry of the layer.
    pub(super) fn take(&mut self, entry: &Entry) {
        let Ok(parts) = path::normalize(&entry.path, &self.limits) else { return };
        let name = parts.join(&b'/');
        match entry.kind {
            Kind::File if self.paths.contains(&name) => self.bodies.push(SoughtBody {
                path: name,
                data_at: entry.data_at,
                stored: entry.stored,
                sparse: entry.sparse.clone(),
            }),
            Kind::HardLink => {
                if self.paths.contains(&name)
                    && let Ok(target) = path::normalize(&entry.link, &self.limits)
                {
                    self.lead(target.join(&b'/'));
                }
            }
            Kind::Symlink => {
                let below = [&name[..], b"/"].concat();
                let led: Vec<Vec<u8>> = self
                    .paths
                    .range(below.clone()..)
                    .take_while(|path| path.starts_with(&below))
                    .filter_map(|path| path.get(name.len()..))
                    .chain(self.paths.contains(&name).then_some(&b""[..]))
                    .take(MOST)
                    .map(|rest| {
                        let parents = parts.split_last().map_or(&[][..], |(_, parents)| parents);
                        follow(parents, &entry.link, rest)
                    })
                    .collect();
                led.into_iter().for_each(|path| self.lead(path));
            }
            _ => {}
        }
    }

    fn lead(&mut self, path: Vec<u8>) {
        if self.paths.len() < MOST {
            self.paths.insert(path);
        }
    }
}

/// Where a symlink in this directory leads, with the rest of the way.
fn follow(parents: &[&[u8]], link: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut path = if link.starts_with(b"/") { Vec::new() } else { parents.to_vec() };
    for part in link.split(|byte| *byte == b'/').chain(rest.split(|byte| *byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => {
                path.pop();
            }
            part => path.push(part),
        }
    }
    path.join(&b'/')
}
