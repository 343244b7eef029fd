//! What each layer does to those below it, and what of a layer is in vain.

use alloc::vec::Vec;

use super::difference::{Facts, What};
use super::index::{LayerIndex, RowKind};
use super::stack::Stack;
use super::tree::Tree;
use super::trie::{NONE, ROOT, Slot, Trie};
use super::whiteout;
use crate::map::{Map, Set};
use crate::tar::{Kind, Metadata};

/// What a path is at some point of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Version {
    /// What it is; never a hard link.
    pub kind: Kind,
    /// Bytes of content that came with this name: 0 for what has none, and for names made by hard links.
    pub size: u64,
    /// The layer that brought content and metadata; `None` for an implied directory.
    pub layer: Option<usize>,
}

/// One path that a layer adds, changes or removes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathChange {
    /// The components joined by `/`; empty for the root.
    pub path: Vec<u8>,
    /// What the layers below show; `None` for what is new.
    pub before: Option<Version>,
    /// What they show together with this layer; `None` for what is gone.
    pub after: Option<Version>,
    /// In what it differs, if it is there before and after.
    pub what: What,
}

/// What one layer does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerChange {
    /// Bytes of content that its tar holds.
    pub bytes: u64,
    /// Every path that it adds, changes or removes, sorted component by component, parents first.
    pub paths: Vec<PathChange>,
}

impl LayerChange {
    /// Paths that are new, and their bytes.
    pub fn added(&self) -> (u64, u64) {
        self.sum(|change| change.before.is_none().then_some(change.after?.size))
    }

    /// Paths that were there and are others now, and their bytes: those of the new versions that this layer brings.
    pub fn changed(&self, layer: usize) -> (u64, u64) {
        self.sum(|change| {
            change.before?;
            let after = change.after?;
            Some(if after.layer == Some(layer) { after.size } else { 0 })
        })
    }

    /// Paths that are gone, and the bytes that they had.
    pub fn removed(&self) -> (u64, u64) {
        self.sum(|change| change.after.is_none().then_some(change.before?.size))
    }

    fn sum(&self, size: impl Fn(&PathChange) -> Option<u64>) -> (u64, u64) {
        self.paths
            .iter()
            .filter_map(size)
            .fold((0, 0), |(count, bytes), size| (count + 1, bytes.saturating_add(size)))
    }
}

/// A path that layers bring or remove more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WastedPath {
    /// The components joined by `/`.
    pub path: Vec<u8>,
    /// How often layers have it, whiteouts among them; at least 2.
    pub count: u64,
    /// The bytes of all of these.
    pub bytes: u64,
}

/// What is in vain, as dive counts it (`dive/filetree/efficiency.go`): of each path that no other lies below in its
/// layer, the bytes of its header in every layer; of a whiteout those of the directory that it removes, and none of a
/// file. A path that layers have more than once is wasted with all its bytes.
///
/// An opaque marker counts as a whiteout of its directory; dive stops reading such a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waste {
    /// Bytes that would do: of each path the fewest that a layer has for it.
    pub minimal: u64,
    /// Bytes that there are.
    pub discovered: u64,
    /// The paths that are wasted, those with most bytes first, then by name.
    pub paths: Vec<WastedPath>,
}

impl Waste {
    /// `minimal` of `discovered`: 1 where nothing is in vain.
    pub fn efficiency(&self) -> f64 {
        if self.discovered == 0 { 1.0 } else { self.minimal as f64 / self.discovered as f64 }
    }

    /// Bytes of all wasted paths.
    pub fn wasted(&self) -> u64 {
        self.paths.iter().fold(0, |sum, path| sum.saturating_add(path.bytes))
    }
}

/// How often layers have a path.
#[derive(Clone, Debug)]
struct Occurrences {
    /// Known from the second one on.
    path: Vec<u8>,
    count: u64,
    minimal: u64,
    bytes: u64,
}

/// What each layer of a stack did ([`Resolver::with_history`](super::Resolver::with_history)).
#[derive(Clone, Debug, Default)]
pub struct History {
    layers: Vec<LayerChange>,
    occurrences: Map<u32, Occurrences>,
    /// The nodes below each, and how many nodes are known so.
    children: Map<u32, Vec<u32>>,
    known: usize,
    /// Nodes that the current layer may change, with what they showed before.
    before: Map<u32, Option<Slot>>,
}

impl History {
    /// What each layer did, from the bottom.
    pub fn layers(&self) -> &[LayerChange] {
        &self.layers
    }

    /// Bytes of content that the layers hold and nobody sees in `tree`, the one that they show together.
    pub fn unseen(&self, tree: &Tree) -> u64 {
        let all = self.layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.bytes));
        all.saturating_sub(super::Sizes::of(tree).bytes(tree.root()))
    }

    /// What is in vain.
    pub fn waste(&self) -> Waste {
        let mut waste = Waste::default();
        for path in self.occurrences.values() {
            waste.minimal = waste.minimal.saturating_add(path.minimal);
            waste.discovered = waste.discovered.saturating_add(path.bytes);
            if path.count > 1 {
                let Occurrences { path, count, bytes, .. } = path.clone();
                waste.paths.push(WastedPath { path, count, bytes });
            }
        }
        waste.paths.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| parts(&a.path).cmp(parts(&b.path))));
        waste
    }

    /// A layer's own tree is known, and does not act on those below it yet.
    pub(super) fn begin(
        &mut self,
        trie: &Trie,
        stack: &Stack,
        layer: usize,
        touched: &[u32],
        hidden: &[(u32, RowKind)],
    ) {
        self.before = Map::new();
        for id in self.known.max(1)..trie.len() {
            if let Ok(id) = u32::try_from(id) {
                self.children.entry(trie.node(id).parent).or_default().push(id);
            }
        }
        self.known = trie.len();
        let mut parents: Set<u32> = Set::new();
        let own: Set<u32> = touched.iter().copied().filter(|id| is_own(trie, *id)).collect();
        parents.extend(own.iter().map(|id| trie.node(*id).parent));
        // A name twice is one name (L6).
        let hidden: Set<(u32, bool)> =
            hidden.iter().map(|(node, kind)| (*node, *kind == RowKind::Opaque)).collect();
        parents.extend(hidden.iter().filter(|(_, opaque)| !opaque).map(|(node, _)| trie.node(*node).parent));
        if trie.node(ROOT).own.name != NONE {
            self.note(trie, ROOT);
        }
        // Bytes below directories: each is looked into once a layer, however often it is named (L24).
        let mut sums = Map::new();
        for (node, opaque) in hidden.iter().copied() {
            let bytes = self.empty(trie, stack, node, &mut sums);
            if !opaque {
                self.note(trie, node);
            }
            self.occurs(trie, node, bytes);
        }
        for id in own.iter().copied() {
            let node = trie.node(id);
            self.note(trie, id);
            if !node.own.is_directory() {
                self.empty(trie, stack, id, &mut sums);
            }
            if !parents.contains(&id) {
                let here = stack.locate(node.own.inode).is_some_and(|(at, _)| at == layer);
                self.occurs(trie, id, if here { brought(stack, node.own) } else { 0 });
            }
        }
    }

    /// Notes everything that is shown below a directory, if it is one that is shown, and answers its bytes.
    fn empty(&mut self, trie: &Trie, stack: &Stack, id: u32, sums: &mut Map<u32, u64>) -> u64 {
        if !trie.is_shown(id) || !trie.node(id).view.is_directory() {
            return 0;
        }
        let mut open = alloc::vec![(id, false)];
        while let Some((directory, seen)) = open.pop() {
            if !seen && sums.contains_key(&directory) {
                continue;
            }
            let contents = trie.node(directory).view.contents;
            let shown: Vec<(u32, Slot)> = self
                .children
                .get(&directory)
                .into_iter()
                .flatten()
                .map(|child| (*child, trie.node(*child).view))
                .filter(|(_, view)| view.inside != 0 && view.inside == contents)
                .collect();
            if seen {
                let sum = shown.into_iter().fold(0_u64, |sum, (child, view)| {
                    let below = if view.is_directory() { sums.get(&child).copied().unwrap_or(0) } else { 0 };
                    sum.saturating_add(brought(stack, view)).saturating_add(below)
                });
                sums.insert(directory, sum);
                continue;
            }
            open.push((directory, true));
            for (child, view) in shown {
                self.note(trie, child);
                if view.is_directory() {
                    open.push((child, false));
                }
            }
        }
        sums.get(&id).copied().unwrap_or(0)
    }

    /// Writes down what a node shows.
    fn note(&mut self, trie: &Trie, id: u32) {
        self.before.entry(id).or_insert_with(|| shown(trie, id));
    }

    fn occurs(&mut self, trie: &Trie, id: u32, bytes: u64) {
        let seen = Occurrences { path: Vec::new(), count: 0, minimal: u64::MAX, bytes: 0 };
        let path = self.occurrences.entry(id).or_insert(seen);
        path.count += 1;
        path.minimal = path.minimal.min(bytes);
        path.bytes = path.bytes.saturating_add(bytes);
        if path.count == 2 {
            path.path = trie.path(id);
        }
    }

    /// The layer has acted.
    pub(super) fn end(&mut self, trie: &Trie, stack: &Stack, layer: usize) {
        let mut paths = Vec::new();
        for (id, before) in core::mem::take(&mut self.before) {
            let after = shown(trie, id);
            let what = match (&before, &after) {
                (None, None) => continue,
                (Some(old), Some(new)) if (old.inode, old.name) == (new.inode, new.name) => continue,
                (Some(old), Some(new)) => {
                    let (before, after) = (facts(stack, *old), facts(stack, *new));
                    let mut what = What::between(&before, &after);
                    // The bytes are there a second time, whatever they are.
                    what.content |= !what.kind && after.kind == Kind::File && old.inode != new.inode;
                    if !what.any() {
                        continue;
                    }
                    what
                }
                _ => What::default(),
            };
            let version = |slot: Slot| Version {
                kind: facts(stack, slot).kind,
                size: brought(stack, slot),
                layer: stack.locate(slot.inode).map(|(layer, _)| layer),
            };
            paths.push(PathChange {
                path: trie.path(id),
                before: before.map(version),
                after: after.map(version),
                what,
            });
        }
        paths.sort_by(|a, b| parts(&a.path).cmp(parts(&b.path)));
        let bytes = stack.layer(layer).map_or(0, LayerIndex::content_bytes);
        self.layers.push(LayerChange { bytes, paths });
    }
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
}

/// What a node shows in the layers up to the last one that has acted. A root without an entry is nothing.
fn shown(trie: &Trie, id: u32) -> Option<Slot> {
    let view = trie.node(id).view;
    (trie.is_shown(id) && (id != ROOT || view.name != NONE)).then_some(view)
}

/// Whether a node is in the tree that the current layer makes by itself.
fn is_own(trie: &Trie, mut id: u32) -> bool {
    while id != ROOT {
        let node = trie.node(id);
        let holds = node.own.inside != 0 && node.own.inside == trie.node(node.parent).own.contents;
        if !holds || whiteout::is_parked(trie.name(id)) {
            return false;
        }
        id = node.parent;
    }
    true
}

/// Bytes that came with this name.
fn brought(stack: &Stack, slot: Slot) -> u64 {
    if slot.name != slot.inode {
        return 0;
    }
    stack.row(slot.inode).map_or(0, |(_, row)| row.size)
}

fn facts(stack: &Stack, slot: Slot) -> Facts<'_> {
    match stack.row(slot.inode) {
        Some((index, row)) => Facts {
            kind: index.kind(row),
            metadata: index.metadata(row),
            size: row.size,
            link: index.link(row),
        },
        None => Facts {
            kind: Kind::Directory,
            metadata: Metadata { mode: 0o755, ..Metadata::default() },
            size: 0,
            link: &[],
        },
    }
}
