//! The indexes of all layers to one tree.

use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::history::History;
use super::index::{LayerIndex, RowKind, entries};
use super::options::Options;
use super::stack::Stack;
use super::tree::{FOLLOWED, Tree};
use super::trie::{NONE, ROOT, Slot, Trie};
use super::warning::{WarningKind, Warnings};
use super::whiteout;
use crate::error::{Error, ErrorKind, Result};
use crate::map::Map;
use crate::name::Name;
use crate::tar::Counts;

/// Bytes of symlink targets that each entry may cost before `Limits::symlink_bytes` counts.
const SYMLINK_BYTES_AN_ENTRY: u64 = 1_024;

/// Why a hard link binds to nothing (L12).
pub(super) const NOTHING_THERE: &str = "there is no such file at this point";
pub(super) const A_DIRECTORY: &str = "it is a directory";

/// One component on the way to a name.
#[derive(Clone, Copy, Debug)]
struct Frame {
    node: u32,
    /// It is a directory of the layer's own.
    own: bool,
    /// It is a directory of the layers below, and nothing of the layer's own is in its way.
    view: bool,
    /// Where it ends in the path that was walked.
    end: usize,
}

const ROOT_FRAME: Frame = Frame { node: ROOT, own: true, view: true, end: 0 };

/// Which symlinks of lower layers a walk follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lower {
    /// As the options say.
    Chosen,
    /// Every one: to see where one leads.
    Every,
}

/// What a hard link binds to.
#[derive(Clone, Copy, Debug)]
struct Bound {
    node: u32,
    inode: u32,
    turn: u32,
}

/// Takes the indexes of all layers, in any order, and gives the tree that they show together.
///
/// Layers are resolved from the bottom as they arrive; what arrives early waits.
#[derive(Debug)]
pub struct Resolver {
    options: Options,
    waiting: Vec<Option<LayerIndex>>,
    stack: Stack,
    trie: Trie,
    /// Nodes that the current layer puts something at, parents before children.
    touched: Vec<u32>,
    /// What the current layer's whiteouts name, staged until it ends (L7).
    hidden: Vec<(u32, RowKind)>,
    /// The way to the last entry's parent, and that parent's path.
    frames: Vec<Frame>,
    entered: Vec<u8>,
    contents: u32,
    rows: u32,
    symlink_bytes: u64,
    warnings: Warnings,
    counts: Counts,
    steps: u64,
    /// What hard links want of layers below, where those are not known yet.
    open: Option<Open>,
    /// What each layer does to those below it, where that is wanted.
    history: Option<History>,
}

/// What one layer by itself leaves open.
#[derive(Clone, Debug, Default)]
pub(super) struct Open {
    /// Rows of hard links, each with the node of a lower layer that it binds to.
    pub(super) wants: Map<u32, u32>,
    /// A way in the layer leads through such a link: where to is only known with the layers below.
    pub(super) unclear: bool,
}

/// One layer resolved by itself.
#[derive(Debug)]
pub(super) struct Alone {
    pub(super) trie: Trie,
    pub(super) stack: Stack,
    pub(super) open: Open,
}

/// The tree that a layer makes in an empty directory, with its whiteouts and opaque markers in the nodes that they name.
///
/// # Errors
/// What is wrong with the layer by itself.
pub(super) fn alone(index: LayerIndex, options: &Options) -> Result<Alone> {
    let mut resolver = Resolver::new(1, options)?;
    resolver.open = Some(Open::default());
    let result = resolver.resolve(index);
    let open = resolver.open.unwrap_or_default();
    // What is unclear may look wrong and be right.
    if !open.unclear {
        result?;
    }
    Ok(Alone { trie: resolver.trie, stack: resolver.stack, open })
}

impl Resolver {
    /// For a stack of so many layers.
    ///
    /// # Errors
    /// `limit_exceeded` where that is more than `layers`.
    pub fn new(layers: usize, options: &Options) -> Result<Self> {
        if layers > options.limits.layers as usize {
            let value = u64::from(options.limits.layers);
            return Err(ErrorKind::LimitExceeded { limit: "layers", value }.into());
        }
        let mut waiting = Vec::new();
        waiting.resize_with(layers, || None);
        Ok(Resolver {
            options: options.clone(),
            waiting,
            stack: Stack::default(),
            trie: Trie::new(),
            touched: Vec::new(),
            hidden: Vec::new(),
            frames: Vec::new(),
            entered: Vec::new(),
            contents: 1,
            rows: 0,
            symlink_bytes: 0,
            warnings: Warnings::default(),
            counts: Counts::default(),
            steps: 0,
            open: None,
            history: None,
        })
    }

    /// Takes one layer's index.
    ///
    /// # Errors
    /// What is wrong with the layers that can be resolved now (L3, L11, L12, L24), each with layer, entry and byte;
    /// `internal` for a layer that is not of this stack or was supplied before.
    pub fn supply(&mut self, index: LayerIndex) -> Result<()> {
        let layer = index.layer();
        let known = layer < self.stack.len();
        match self.waiting.get_mut(layer) {
            Some(place) if place.is_none() && !known => *place = Some(index),
            _ => {
                let reason = alloc::format!("layer {layer} is not awaited");
                return Err(ErrorKind::Internal { reason }.into());
            }
        }
        while let Some(index) = self.waiting.get_mut(self.stack.len()).and_then(Option::take) {
            self.resolve(index)?;
        }
        Ok(())
    }

    /// The layers that were not supplied yet, from the bottom.
    pub fn missing(&self) -> impl Iterator<Item = usize> + '_ {
        let done = self.stack.len();
        self.waiting
            .iter()
            .enumerate()
            .skip(done)
            .filter(|(_, index)| index.is_none())
            .map(|(layer, _)| layer)
    }

    /// What is in a layer that was supplied; its warnings are the tree's.
    pub fn layer(&self, layer: usize) -> Option<&LayerIndex> {
        self.stack.layer(layer).or_else(|| self.waiting.get(layer)?.as_ref())
    }

    /// Has what each layer does to those below it written down.
    #[must_use]
    pub fn with_history(mut self) -> Self {
        self.history = Some(History::default());
        self
    }

    /// All layers were supplied: the tree, and what each layer did, from the bottom. Without
    /// [`Resolver::with_history`] nothing was written down.
    ///
    /// # Errors
    /// Those of [`Resolver::finish`].
    pub fn finish_with_history(mut self) -> Result<(Tree, History)> {
        let history = self.history.take().unwrap_or_default();
        Ok((self.finish()?, history))
    }

    /// All layers were supplied: what is wanted of the tree ([`Options::selection`]).
    ///
    /// # Errors
    /// `internal` if they were not; `unmapped_id` for an owner that [`Options::id_maps`] do not cover.
    pub fn finish(self) -> Result<Tree> {
        if self.stack.len() != self.waiting.len() {
            let reason = alloc::format!("layer {} was never supplied", self.stack.len());
            return Err(ErrorKind::Internal { reason }.into());
        }
        let tree = Tree::new(self.trie, self.stack, self.warnings, self.counts);
        let mut tree = tree.select(&self.options.selection);
        tree.check_owners(&self.options.id_maps)?;
        Ok(tree)
    }

    /// Components looked at so far: what resolving costs, for tests of L24.
    #[cfg(test)]
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    fn resolve(&mut self, mut index: LayerIndex) -> Result<()> {
        let layer = self.stack.len();
        let base = self.rows;
        // The first entry that is one too many is where it happens (L25).
        let room = u32::try_from(self.options.limits.entries).unwrap_or(NONE - 1).min(NONE - 1) - base;
        match u32::try_from(index.len()) {
            Ok(rows) if rows <= room => self.rows = base + rows,
            _ => return Err(entries(&self.options.limits).at(index.place(room))),
        }
        index.seal();
        self.warnings.append(index.take_warnings());
        self.counts.add(index.counts());
        self.stack.push(index, base);

        let contents = self.fresh()?;
        if let Some(root) = self.trie.node_mut(ROOT) {
            root.own = Slot { inside: 1, contents, ..Slot::EMPTY };
        }
        self.touched.clear();
        self.hidden.clear();
        self.frames.clear();
        self.entered.clear();
        let (mut path, mut at) = (Vec::new(), 0);
        for row in 0..self.rows - base {
            let Some(index) = self.stack.layer(layer) else { break };
            let Some(fields) = index.row(row).copied() else { break };
            path = index.next_path(path, &fields, &mut at);
            self.take(layer, row, base + row, fields.kind, &path).map_err(|error| {
                match self.stack.layer(layer) {
                    Some(index) => error.at(index.place(row)),
                    None => error,
                }
            })?;
        }
        if let Some(history) = &mut self.history {
            history.begin(&self.trie, &self.stack, layer, &self.touched, &self.hidden);
        }
        self.hide(layer)?;
        self.overlay(layer)?;
        if let Some(history) = &mut self.history {
            history.end(&self.trie, &self.stack, layer);
        }
        Ok(())
    }

    /// A number for the contents of a directory that is new or emptied.
    fn fresh(&mut self) -> Result<u32> {
        match self.contents.checked_add(1) {
            Some(contents) => {
                self.contents = contents;
                Ok(contents)
            }
            None => Err(entries(&self.options.limits)),
        }
    }

    /// One entry of the current layer into the layer's own tree.
    fn take(&mut self, layer: usize, row: u32, id: u32, kind: RowKind, path: &[u8]) -> Result<()> {
        if kind == RowKind::Opaque {
            let mut frames = alloc::vec![ROOT_FRAME];
            self.walk(&mut frames, path, 0, Lower::Chosen)?;
            self.hidden.push((top(&frames).node, kind));
            return Ok(());
        }
        let Some((parents, name)) = split(path) else {
            self.take_root(id);
            return Ok(());
        };
        if kind == RowKind::Whiteout {
            let mut frames = alloc::vec![ROOT_FRAME];
            self.walk(&mut frames, parents, 0, Lower::Chosen)?;
            let node = self.trie.child(top(&frames).node, name, &self.options.limits)?;
            self.hidden.push((node, kind));
            return Ok(());
        }
        // A link binds before its own name, or a parent of it, replaces anything (L12).
        let bound = match kind {
            RowKind::HardLink => Some(self.bind(layer, row, id)?),
            _ => None,
        };
        let renamed = self.enter(parents, id)?;
        let parent = top(&self.frames);
        let node = self.trie.child(parent.node, name, &self.options.limits)?;
        if bound.is_some_and(|bound| bound.node == node) {
            return Err(self.unbound(layer, row, "it links to itself"));
        }
        let (own, view) = self.look(parent, node);
        let mut contents = 0;
        if kind == RowKind::Directory {
            if self.options.keep_directory_symlink {
                let symlink = own.or(view).filter(|slot| self.stack.is_symlink(slot.inode));
                if let Some(symlink) = symlink {
                    let frames = self.frames.clone();
                    if self.leads_to_directory(&frames, symlink.inode)? {
                        self.leave(renamed, layer, row);
                        return Ok(());
                    }
                }
            }
            contents = match own {
                Some(own) if own.is_directory() => own.contents,
                _ => self.fresh()?,
            };
        }
        // What loses a directory of its own layer loses what that layer put there.
        if own.is_some_and(|own| own.name != NONE || contents == 0) {
            self.warn(WarningKind::DuplicateEntry, id);
        }
        let inside = self.trie.node(parent.node).own.contents;
        if let Some(node) = self.trie.node_mut(node) {
            node.own = match bound {
                Some(Bound { inode, turn, .. }) => Slot { inside, contents, inode, name: id, turn },
                None => Slot { inside, contents, inode: id, name: id, turn: id },
            };
        }
        self.touched.push(node);
        self.leave(renamed, layer, row);
        Ok(())
    }

    fn take_root(&mut self, id: u32) {
        if self.trie.node(ROOT).own.name != NONE {
            self.warn(WarningKind::DuplicateEntry, id);
        }
        if let Some(root) = self.trie.node_mut(ROOT) {
            root.own = Slot { inode: id, name: id, turn: id, ..root.own };
        }
    }

    /// Ends an entry: a way that led through symlinks is not gone on from.
    fn leave(&mut self, renamed: bool, layer: usize, row: u32) {
        if renamed {
            self.frames.clear();
            self.entered.clear();
            self.stack.renamed(layer, row);
        }
    }

    /// Goes to the parent of the entry `id` and makes it a directory of the layer's own, with all that lead to it
    /// (L4). Answers whether symlinks were followed.
    fn enter(&mut self, path: &[u8], id: u32) -> Result<bool> {
        let mut frames = core::mem::take(&mut self.frames);
        // Only what differs from the way to the last parent is walked: those on it are directories still, as an entry
        // changes nothing but what lies below its parent.
        let same = self.entered.iter().zip(path).take_while(|(a, b)| a == b).count();
        let ends = |path: &[u8], end: usize| path.get(end).is_none_or(|byte| *byte == b'/');
        let kept = frames
            .iter()
            .take_while(|f| f.end == 0 || (f.end <= same && ends(path, f.end) && ends(&self.entered, f.end)))
            .count();
        frames.truncate(kept);
        if frames.is_empty() {
            frames.push(ROOT_FRAME);
        }
        self.steps = self.steps.saturating_add(frames.len() as u64);
        let from = top(&frames).end;
        let followed = self.walk(&mut frames, path, from, Lower::Chosen)?;
        let mut parent = ROOT_FRAME;
        for frame in &mut frames {
            if !frame.own {
                let (own, view) = self.look(parent, frame.node);
                if let Some(own) = own {
                    self.warn(WarningKind::DuplicateEntry, own.name);
                }
                let contents = self.fresh()?;
                let inside = self.trie.node(parent.node).own.contents;
                if let Some(node) = self.trie.node_mut(frame.node) {
                    // No row brings an implied directory; who implied it is for the report.
                    node.own = Slot { inside, contents, turn: id, ..Slot::EMPTY };
                }
                frame.own = true;
                frame.view = view.is_some_and(|view| view.is_directory());
                self.touched.push(frame.node);
            }
            parent = *frame;
        }
        self.frames = frames;
        self.entered.clear();
        self.entered.extend_from_slice(path);
        Ok(followed)
    }

    /// What the layer's own tree and the layers below have at a child of `parent`, where that counts.
    fn look(&self, parent: Frame, node: u32) -> (Option<Slot>, Option<Slot>) {
        let (above, node) = (self.trie.node(parent.node), self.trie.node(node));
        let own = (parent.own && node.own.inside == above.own.contents).then_some(node.own);
        let known = parent.view && self.open.is_none();
        let view = (known && node.view.inside == above.view.contents).then_some(node.view);
        (own, view)
    }

    /// Walks the components of `path` behind `from`, following symlinks by L3, and leaves the way in `frames`. Makes no
    /// directories. Answers whether symlinks were followed.
    fn walk(&mut self, frames: &mut Vec<Frame>, path: &[u8], from: usize, lower: Lower) -> Result<bool> {
        let mut rest: Cow<'_, [u8]> = Cow::Borrowed(path);
        let mut at = from;
        let mut followed = 0;
        loop {
            while rest.get(at) == Some(&b'/') {
                at += 1;
            }
            let ahead = rest.get(at..).unwrap_or_default();
            if ahead.is_empty() {
                break;
            }
            let name = ahead.split(|byte| *byte == b'/').next().unwrap_or_default();
            at += name.len();
            self.steps = self.steps.saturating_add(1);
            match name {
                b"." => continue,
                b".." => {
                    if frames.len() > 1 {
                        frames.pop();
                    }
                    continue;
                }
                _ => {}
            }
            if whiteout::is_closed(name) {
                return Err(whiteout::below_whiteout(&[name]));
            }
            let parent = top(frames);
            let node = self.trie.child(parent.node, name, &self.options.limits)?;
            let (own, view) = self.look(parent, node);
            let symlink = match (own, view) {
                (Some(own), _) if own.is_directory() => None,
                (Some(own), _) => Some(own.inode),
                (None, Some(view)) if view.is_directory() => None,
                (None, Some(view)) if lower == Lower::Every => Some(view.inode),
                (None, Some(view)) if self.options.keep_directory_symlink => {
                    let leads =
                        self.stack.is_symlink(view.inode) && self.leads_to_directory(frames, view.inode)?;
                    leads.then_some(view.inode)
                }
                _ => None,
            };
            if let (Some(own), Some(open)) = (own, &mut self.open)
                && open.wants.contains_key(&own.inode)
            {
                open.unclear = true;
            }
            let Some(inode) = symlink.filter(|inode| self.stack.is_symlink(*inode)) else {
                frames.push(Frame {
                    node,
                    own: own.is_some_and(|own| own.is_directory()),
                    view: own.is_none_or(|own| own.is_directory())
                        && (view.is_some_and(|view| view.is_directory())
                            || (parent.view && self.open.is_some())),
                    end: if followed == 0 { at } else { 0 },
                });
                if frames.len() > self.options.limits.path_depth as usize {
                    return Err(self.limit("path_depth", self.options.limits.path_depth));
                }
                continue;
            };
            followed += 1;
            if followed > FOLLOWED {
                let path = Name(path).to_string();
                return Err(ErrorKind::InvalidPath { path, reason: "its symlinks loop".into() }.into());
            }
            let target = self.stack.row(inode).map_or(&[][..], |(layer, row)| layer.link(row));
            if target.starts_with(b"/") {
                frames.truncate(1);
            }
            let behind = rest.get(at..).unwrap_or_default();
            let next = [target, behind].join(&b'/');
            self.charge(next.len())?;
            if next.len() > self.options.limits.path_bytes as usize {
                return Err(self.limit("path_bytes", self.options.limits.path_bytes));
            }
            (rest, at) = (Cow::Owned(next), 0);
        }
        if followed > 0 {
            let bytes: usize = frames.iter().map(|frame| self.trie.name(frame.node).len() + 1).sum();
            if bytes > self.options.limits.path_bytes as usize {
                return Err(self.limit("path_bytes", self.options.limits.path_bytes));
            }
        }
        Ok(followed > 0)
    }

    /// Whether a symlink below the last of `frames` leads to a directory, through whatever links there are.
    fn leads_to_directory(&mut self, frames: &[Frame], inode: u32) -> Result<bool> {
        let target = self.stack.row(inode).map_or(&[][..], |(layer, row)| layer.link(row)).to_vec();
        self.charge(frames.len().saturating_add(target.len()))?;
        let mut frames = if target.starts_with(b"/") { alloc::vec![ROOT_FRAME] } else { frames.to_vec() };
        match self.walk(&mut frames, &target, 0, Lower::Every) {
            Ok(_) => {
                let end = top(&frames);
                Ok(end.own || end.view)
            }
            Err(error) if matches!(error.kind(), ErrorKind::InvalidPath { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Following symlinks is the one thing that costs more than the bytes of the entry that asks for it.
    fn charge(&mut self, bytes: usize) -> Result<()> {
        self.symlink_bytes = self.symlink_bytes.saturating_add(bytes as u64);
        let free = u64::from(self.rows).saturating_mul(SYMLINK_BYTES_AN_ENTRY);
        let limit = self.options.limits.symlink_bytes;
        if self.symlink_bytes > limit.saturating_add(free) {
            return Err(ErrorKind::LimitExceeded { limit: "symlink_bytes", value: limit }.into());
        }
        Ok(())
    }

    /// The inode that a hard link names at this point (L12).
    fn bind(&mut self, layer: usize, row: u32, id: u32) -> Result<Bound> {
        let target = self.target(layer, row);
        let Some((parents, name)) = split(&target) else {
            return Err(self.unbound(layer, row, A_DIRECTORY));
        };
        let mut frames = alloc::vec![ROOT_FRAME];
        self.walk(&mut frames, parents, 0, Lower::Chosen)?;
        let parent = top(&frames);
        let node = self.trie.child(parent.node, name, &self.options.limits)?;
        let (own, view) = self.look(parent, node);
        match (own, view) {
            (Some(slot), _) | (None, Some(slot)) if slot.is_directory() => {
                Err(self.unbound(layer, row, A_DIRECTORY))
            }
            // The name of a lower layer's inode waits for the place where that layer has it.
            (Some(own), _) => {
                let here = self.stack.locate(own.turn).is_some_and(|(turn, _)| turn == layer);
                Ok(Bound { node, inode: own.inode, turn: if here { id } else { own.turn } })
            }
            (None, Some(view)) => Ok(Bound { node, inode: view.inode, turn: view.turn }),
            (None, None) => match &mut self.open {
                Some(open) if parent.view => {
                    open.wants.insert(id, node);
                    Ok(Bound { node, inode: id, turn: id })
                }
                _ => Err(self.unbound(layer, row, NOTHING_THERE)),
            },
        }
    }

    fn target(&self, layer: usize, row: u32) -> Vec<u8> {
        self.stack
            .layer(layer)
            .and_then(|index| Some(index.link(index.row(row)?).to_vec()))
            .unwrap_or_default()
    }

    fn unbound(&self, layer: usize, row: u32, reason: &str) -> Error {
        let target = Name(&self.target(layer, row)).to_string();
        ErrorKind::InvalidHardLink { target, reason: reason.to_string() }.into()
    }

    fn limit(&self, limit: &'static str, value: u32) -> Error {
        ErrorKind::LimitExceeded { limit, value: u64::from(value) }.into()
    }

    fn warn(&mut self, kind: WarningKind, row: u32) {
        if let Some((layer, row)) = self.stack.locate(row)
            && let Some(index) = self.stack.layer(layer)
        {
            let byte = index.row(row).map_or(0, |row| row.header_at);
            self.warnings.add(kind, layer, byte, || index.path(row));
        }
    }

    /// The current layer's whiteouts act on the layers below (L7).
    fn hide(&mut self, layer: usize) -> Result<()> {
        let by = u32::try_from(layer + 1).unwrap_or(u32::MAX);
        for (node, kind) in core::mem::take(&mut self.hidden) {
            self.steps = self.steps.saturating_add(1);
            let contents = if kind == RowKind::Opaque && self.trie.node(node).view.is_directory() {
                self.fresh()?
            } else {
                0
            };
            let Some(node) = self.trie.node_mut(node) else { continue };
            if kind == RowKind::Opaque {
                node.view.contents = contents;
                node.opaque_by = by;
            } else {
                node.view.inside = 0;
                node.hidden_by = by;
            }
        }
        Ok(())
    }

    /// The current layer's own tree over the layers below (L4, L5).
    fn overlay(&mut self, layer: usize) -> Result<()> {
        let by = u32::try_from(layer + 1).unwrap_or(u32::MAX);
        if let Some(root) = self.trie.node_mut(ROOT)
            && root.own.name != NONE
        {
            root.view = Slot { inside: root.view.inside, contents: root.view.contents, ..root.own };
        }
        for id in core::mem::take(&mut self.touched) {
            self.steps = self.steps.saturating_add(1);
            let node = *self.trie.node(id);
            let above = *self.trie.node(node.parent);
            let holds = node.own.inside != 0 && node.own.inside == above.own.contents;
            if !holds || whiteout::is_parked(self.trie.name(id)) {
                // Nothing below it holds either.
                if let Some(node) = self.trie.node_mut(id) {
                    node.own = Slot::EMPTY;
                }
                continue;
            }
            let lower =
                (node.view.inside != 0 && node.view.inside == above.view.contents).then_some(node.view);
            let implied = node.own.name == NONE;
            let view = match lower {
                Some(lower) if node.own.is_directory() && lower.is_directory() => {
                    if implied {
                        continue;
                    }
                    Slot { inside: lower.inside, contents: lower.contents, ..node.own }
                }
                _ => {
                    if implied && lower.is_some_and(|lower| self.stack.is_symlink(lower.inode)) {
                        let byte = self.stack.row(node.own.turn).map_or(0, |(_, row)| row.header_at);
                        let trie = &self.trie;
                        self.warnings.add(WarningKind::ShadowedSymlink, layer, byte, || trie.path(id));
                    }
                    let contents = if node.own.is_directory() { self.fresh()? } else { 0 };
                    Slot { inside: above.view.contents, contents, ..node.own }
                }
            };
            if let Some(node) = self.trie.node_mut(id) {
                node.view = view;
                if !view.is_directory() {
                    node.hidden_by = by;
                }
            }
        }
        Ok(())
    }
}

/// The last one; the root is always there.
fn top(frames: &[Frame]) -> Frame {
    frames.last().copied().unwrap_or(ROOT_FRAME)
}

/// A path in normal form to its parent's and its last component; `None` for the root.
pub(super) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Some((path.get(..slash)?, path.get(slash + 1..)?)),
        None => Some((&[], path)),
    }
}
