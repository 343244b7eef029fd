//! Two trees compared, path by path.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::sizes::Links;
use super::tree::{Node, Tree};
use crate::digest::Digest;
use crate::tar::{Kind, Metadata};

/// In what a path differs. All false: in nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct What {
    /// It is of another kind, or another device.
    pub kind: bool,
    /// Its bytes; of a layer's change also where the layer brings the same bytes again.
    pub content: bool,
    /// The text of the symlink.
    pub link: bool,
    /// Permissions, set-id and sticky bits.
    pub mode: bool,
    /// uid or gid.
    pub owner: bool,
    /// When the content was changed.
    pub mtime: bool,
    /// Extended attributes.
    pub xattrs: bool,
    /// With which other paths it is one file (L13).
    pub names: bool,
}

impl What {
    /// The words for all there are, in the order of [`What::words`].
    pub const WORDS: &'static [&'static str] =
        &["kind", "content", "link", "mode", "owner", "mtime", "xattrs", "names"];

    fn flags(mut self) -> [bool; 8] {
        self.each().map(|flag| *flag)
    }

    fn each(&mut self) -> [&mut bool; 8] {
        [
            &mut self.kind,
            &mut self.content,
            &mut self.link,
            &mut self.mode,
            &mut self.owner,
            &mut self.mtime,
            &mut self.xattrs,
            &mut self.names,
        ]
    }

    /// In what, in words.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Self::WORDS.iter().zip(self.flags()).filter(|(_, flag)| *flag).map(|(word, _)| *word)
    }

    /// Whether there is any difference.
    pub fn any(self) -> bool {
        self.flags().contains(&true)
    }

    /// With what the other one has.
    #[must_use]
    pub fn with(mut self, other: What) -> What {
        for (flag, other) in self.each().into_iter().zip(other.flags()) {
            *flag |= other;
        }
        self
    }

    /// Without what the other one has.
    #[must_use]
    pub fn without(mut self, other: What) -> What {
        for (flag, other) in self.each().into_iter().zip(other.flags()) {
            *flag &= !other;
        }
        self
    }

    /// The one of this word.
    pub fn of_word(word: &str) -> Option<What> {
        let at = Self::WORDS.iter().position(|known| *known == word)?;
        let mut what = What::default();
        **what.each().get_mut(at)? = true;
        Some(what)
    }

    /// In what two files differ as far as their metadata say. Of another kind, nothing else is compared.
    pub(super) fn between(before: &Facts<'_>, after: &Facts<'_>) -> What {
        if before.kind != after.kind {
            return What { kind: true, ..What::default() };
        }
        let (old, new) = (&before.metadata, &after.metadata);
        What {
            kind: false,
            content: before.size != after.size,
            link: before.link != after.link,
            // No one ever sees the mode of a symlink, and tars have it one way or the other.
            mode: old.mode != new.mode && before.kind != Kind::Symlink,
            owner: (old.uid, old.gid) != (new.uid, new.gid),
            mtime: old.mtime != new.mtime,
            xattrs: old.xattrs != new.xattrs,
            names: false,
        }
    }
}

/// What is compared of a file.
pub(super) struct Facts<'f> {
    pub(super) kind: Kind,
    pub(super) metadata: Metadata,
    pub(super) size: u64,
    pub(super) link: &'f [u8],
}

impl<'t> Facts<'t> {
    fn of(node: Node<'t>) -> Self {
        Facts { kind: node.kind(), metadata: node.metadata(), size: node.size(), link: node.link() }
    }
}

/// A path that differs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Change<'t> {
    /// What it was; `None` for what was added.
    pub before: Option<Node<'t>>,
    /// What it is; `None` for what was removed.
    pub after: Option<Node<'t>>,
    /// In what it differs, if it is on both sides.
    pub what: What,
    /// The sizes are the same and whether the bytes are is not known: [`Difference::settle`] it.
    pub unsettled: bool,
}

impl<'t> Change<'t> {
    /// The node on either side.
    pub fn node(&self) -> Option<Node<'t>> {
        self.after.or(self.before)
    }

    /// The path.
    pub fn path(&self) -> Vec<u8> {
        self.node().map(Node::path).unwrap_or_default()
    }
}

/// What differs between two trees, in canonical order.
///
/// Content is compared by size first. Files that lie at the same place of the same layer are the same. What is left is
/// unsettled: the host reads both bodies and says whether they are equal.
#[derive(Clone, Debug)]
pub struct Difference<'t> {
    changes: Vec<Change<'t>>,
}

impl<'t> Difference<'t> {
    /// Compares two trees, with the `diff_id`s of their layers from the bottom.
    pub fn new(before: (&'t Tree, &[Digest]), after: (&'t Tree, &[Digest])) -> Self {
        let links = (Links::of(before.0), Links::of(after.0));
        let mut changes = Vec::new();
        let mut old = before.0.iter().map(with_path).peekable();
        let mut new = after.0.iter().map(with_path).peekable();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => parts(a).cmp(parts(b)),
            };
            let a = (order != Ordering::Greater).then(|| old.next()).flatten();
            let b = (order != Ordering::Less).then(|| new.next()).flatten();
            let change = match (a, b) {
                (Some((path, a)), Some((_, b))) => {
                    let mut what = What::between(&Facts::of(a), &Facts::of(b));
                    if !what.kind && a.kind() != Kind::Directory {
                        what.names = links.0.first(a).path() != links.1.first(b).path()
                            && (links.0.count(a) > 1 || links.1.count(b) > 1);
                    }
                    // A root that no layer has an entry for is nothing to compare.
                    if path.is_empty() && (a.origin().is_none() || b.origin().is_none()) {
                        what = What::default();
                    }
                    let unsettled = !what.kind
                        && !what.content
                        && a.size() > 0
                        && place(a, before.1) != place(b, after.1);
                    Change { before: Some(a), after: Some(b), what, unsettled }
                }
                (a, b) => Change {
                    before: a.map(|(_, node)| node),
                    after: b.map(|(_, node)| node),
                    what: What::default(),
                    unsettled: false,
                },
            };
            if change.unsettled || change.what.any() || change.before.is_none() || change.after.is_none() {
                changes.push(change);
            }
        }
        Difference { changes }
    }

    /// Files whose content has to be compared, by their places in this list.
    pub fn unsettled(&self) -> impl Iterator<Item = (usize, Node<'t>, Node<'t>)> + '_ {
        self.changes
            .iter()
            .enumerate()
            .filter(|(_, change)| change.unsettled)
            .filter_map(|(place, change)| Some((place, change.before?, change.after?)))
    }

    /// The bytes of the file at this place are the same, or not.
    pub fn settle(&mut self, place: usize, same: bool) {
        if let Some(change) = self.changes.get_mut(place) {
            change.unsettled = false;
            change.what.content = !same;
        }
    }

    /// What differs, but for what is to be passed over.
    pub fn finish(mut self, ignored: What) -> Vec<Change<'t>> {
        self.changes.retain_mut(|change| {
            change.what = change.what.without(ignored);
            change.before.is_none() || change.after.is_none() || change.unsettled || change.what.any()
        });
        self.changes
    }
}

fn with_path(node: Node<'_>) -> (Vec<u8>, Node<'_>) {
    (node.path(), node)
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
}

/// Where the bytes lie, as far as it can be compared.
fn place<'d>(node: Node<'_>, layers: &'d [Digest]) -> Option<(&'d Digest, u64)> {
    let body = node.body()?;
    Some((layers.get(body.layer)?, body.data_at))
}
