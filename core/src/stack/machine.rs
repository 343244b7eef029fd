//! The machine itself.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::blob::{Blob, Report};
use super::content::{Content, Stored};
use super::export::Export;
use super::indexing::{Came, Indexing};
use super::readers::Readers;
use super::{Budget, Config, Layer, Step, internal, not_awaited};
use crate::Digest;
use crate::codec::Format;
use crate::error::{Error, ErrorKind, Result};
use crate::merge::{Answer, Found, History, LayerIndex, Lookup, NodeId, Resolver, Tree, check_layer_count};
use crate::name::Name;
use crate::tar::Kind;

/// An image's layers as their blobs. See the [module](super).
#[derive(Debug)]
pub struct Stack {
    config: Config,
    slots: Vec<Slot>,
    /// What [`Stack::step`] goes for: one layer, or all and the tree.
    wanted: Option<usize>,
    /// For decoded bytes on their way.
    room: Vec<u8>,
    phase: Phase,
    lookup: Option<Lookup>,
}

/// One layer.
#[derive(Debug)]
struct Slot {
    layer: Layer,
    diff_id: Option<Digest>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing of it was read.
    Waiting,
    Reading(Box<Indexing>),
    /// The index is here until the tree is made.
    Known(Arc<Blob>, Option<Box<LayerIndex>>),
    Failed(Error),
}

#[derive(Debug)]
enum Phase {
    Layers,
    /// All layers are known; so many are merged.
    Merging(Box<Resolver>, usize),
    Ready(Arc<Tree>, History),
    Failed(Error),
}

impl Stack {
    /// For these layers, from the bottom; `diff_ids` are those of the config, where it carries any (schema 1 and the v1
    /// layout carry none).
    ///
    /// # Errors
    /// `layer_count_mismatch` (L23); `limit_exceeded` for too many layers.
    pub fn new(layers: Vec<Layer>, diff_ids: Option<&[Digest]>, config: Config) -> Result<Stack> {
        check_layer_count(diff_ids.map(<[Digest]>::len), layers.len())?;
        // For its limit.
        drop(Resolver::new(layers.len(), &config.merge)?);
        let diff_id = |layer: usize| diff_ids.and_then(|ids| ids.get(layer)).copied();
        let slot = |(number, layer)| Slot { layer, diff_id: diff_id(number), state: State::Waiting };
        Ok(Stack {
            slots: layers.into_iter().enumerate().map(slot).collect(),
            config,
            wanted: None,
            room: Vec::new(),
            phase: Phase::Layers,
            lookup: None,
        })
    }

    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.slots.len()
    }

    /// Has [`Stack::step`] go for one layer, and answer [`Step::Done`] when that is indexed; for all of them and the tree
    /// with `None`, as at first. What was begun stays begun.
    ///
    /// # Errors
    /// `internal` for a layer that there is not.
    pub fn want(&mut self, layer: Option<usize>) -> Result<()> {
        if layer.is_some_and(|layer| layer >= self.slots.len()) {
            return Err(internal("a layer that there is not"));
        }
        self.wanted = layer;
        Ok(())
    }

    /// Tells that the host has a layer's blob now, or another copy of it: of so many bytes, and whether it is verified
    /// ([`Layer`]). What was read of it before is void, an error too; once it is indexed, this changes nothing.
    ///
    /// # Errors
    /// `internal` for a layer that there is not.
    pub fn have(&mut self, layer: usize, size: u64, verified: bool) -> Result<()> {
        let slot = self.slots.get_mut(layer).ok_or_else(|| internal("a layer that there is not"))?;
        if !matches!(slot.state, State::Known(..)) {
            (slot.layer.size, slot.layer.verified) = (size, verified);
            slot.state = State::Waiting;
        }
        Ok(())
    }

    /// What to do next; never [`Step::Wrote`].
    ///
    /// # Errors
    /// What is wrong with a layer, with its place: the lowest one's of those that failed. Only then what is wrong with the
    /// stack: all layers are verified before they are merged. The same error comes again, until [`Stack::have`] or
    /// [`Stack::want`] change what is asked.
    pub fn step(&mut self) -> Result<Step> {
        let mut budget = Budget::default();
        loop {
            // What was fed is worked off first, whichever layer's it is.
            for source in 0..self.slots.len() {
                if self.work(source, &mut budget) {
                    return Ok(Step::Working);
                }
            }
            let Some((source, slot)) = self.next_wanted() else { break };
            match &slot.state {
                State::Failed(error) => return Err(error.clone()),
                // The host has to say first how long it is.
                State::Waiting if slot.layer.is_of_unknown_size() => {
                    return Ok(Step::Need { source, offset: 0, len: 0 });
                }
                State::Reading(reading) if reading.has_work() => {}
                State::Reading(reading) => {
                    let (offset, len) = reading.wanted();
                    return Ok(Step::Need { source, offset, len });
                }
                State::Waiting | State::Known(..) => self.begin(source),
            }
        }
        if self.wanted.is_some() { Ok(Step::Done) } else { self.merge() }
    }

    /// Bytes of a layer's blob: those that [`Step::Need`] wants, or those that another layer wants next, whichever come first
    /// to the host. None say that the blob has ended. Answers how many were taken, [`PIECE`](super::PIECE) at most: they are
    /// worked off by [`Stack::step`].
    ///
    /// # Errors
    /// `size_mismatch` where it has ended early, and the layer's error where it has failed; `internal` for bytes that are
    /// not wanted.
    pub fn feed(&mut self, source: usize, offset: u64, bytes: &[u8]) -> Result<usize> {
        self.begin(source);
        let Some(slot) = self.slots.get_mut(source) else { return Err(not_awaited(source, offset)) };
        match &mut slot.state {
            State::Reading(reading) if reading.wanted().0 == offset => {
                let taken = reading.feed(bytes);
                if let Err(error) = &taken {
                    slot.state = State::Failed(error.clone());
                }
                taken
            }
            State::Failed(error) => Err(error.clone()),
            _ => Err(not_awaited(source, offset)),
        }
    }

    /// What a layer is, when it is indexed.
    pub fn report(&self, layer: usize) -> Option<&Report> {
        self.blob(layer).map(|blob| &blob.report)
    }

    /// What is in a layer, when it is indexed: its own entries, in the order of its tar.
    pub fn index(&self, layer: usize) -> Option<&LayerIndex> {
        match (&self.slots.get(layer)?.state, &self.phase) {
            (State::Known(_, Some(index)), _) => Some(index),
            (State::Known(..), Phase::Merging(resolver, _)) => resolver.layer(layer),
            (State::Known(..), Phase::Ready(tree, _)) => tree.layer(layer),
            _ => None,
        }
    }

    /// The merged tree, when all layers were wanted and [`Step::Done`] has come. It can be kept beside the stack.
    pub fn tree(&self) -> Option<&Arc<Tree>> {
        match &self.phase {
            Phase::Ready(tree, _) => Some(tree),
            _ => None,
        }
    }

    /// What each layer does to those below it, beside the tree, if it was asked for ([`Config::history`]).
    pub fn history(&self) -> Option<&History> {
        match &self.phase {
            Phase::Ready(_, history) if self.config.history => Some(history),
            _ => None,
        }
    }

    /// What is known of a path by the layers that are indexed: by the tree, or from the top without those below that cannot
    /// change the answer. [`Answer::Need`] names the layer that decides: have it indexed ([`Stack::want`]) and ask again.
    /// Symlinks are followed, also the last one, and paths that options leave out are there too.
    ///
    /// # Errors
    /// `path_not_found`, `invalid_path`, `invalid_hard_link`; what is wrong with a layer by itself; what was wrong with the
    /// stack, once it could not be merged.
    pub fn find(&mut self, path: &[u8]) -> Result<Answer> {
        if let Phase::Failed(error) = &self.phase {
            // The indexes went into the merge.
            return Err(error.clone());
        }
        if let Phase::Ready(tree, _) = &self.phase
            && self.config.merge.selection.is_everything()
        {
            self.lookup = None;
            return Ok(Answer::Found(tree.resolve(path)?.into()));
        }
        let mut lookup = match self.lookup.take() {
            Some(lookup) => lookup,
            None => Lookup::new(self.slots.len(), &self.config.merge)?,
        };
        loop {
            let answer = lookup.find(path);
            if let Ok(Answer::Need { layer, .. }) = &answer
                && let Some(index) = self.index(*layer)
            {
                // After an error it is made anew when it is asked again.
                lookup.supply(index.clone())?;
                continue;
            }
            self.lookup = Some(lookup);
            return answer;
        }
    }

    /// The content of the file that a process in the root would open under this name. The tree must be known; before that,
    /// there is [`Stack::find`] and [`Stack::read_found`].
    ///
    /// # Errors
    /// `path_not_found`, `invalid_path`; `not_a_file`.
    pub fn read(&self, path: &[u8]) -> Result<Content> {
        let tree = self.tree().ok_or_else(|| internal("the tree is not known yet"))?;
        self.read_found(&tree.resolve(path)?.into())
    }

    /// The content of a path of the tree. A name of a hard link is a name of its file; a symlink is none.
    ///
    /// # Errors
    /// `not_a_file`.
    pub fn read_node(&self, node: NodeId) -> Result<Content> {
        let node = self.tree().and_then(|tree| tree.node(node));
        self.read_found(&node.ok_or_else(|| internal("a path that the tree has not"))?.into())
    }

    /// The content of what [`Stack::find`] has found.
    ///
    /// # Errors
    /// `not_a_file`.
    pub fn read_found(&self, found: &Found) -> Result<Content> {
        let what = match found.kind {
            Kind::File => None,
            Kind::Directory => Some("a directory"),
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } => Some("a device"),
            Kind::Fifo => Some("a FIFO"),
            Kind::Symlink | Kind::HardLink => Some("a link"),
        };
        if let Some(what) = what {
            let path = alloc::format!("/{}", Name(&found.path));
            return Err(ErrorKind::NotAFile { path, what }.into());
        }
        let blob = found.inode.and_then(|inode| self.blob(inode.layer));
        let blob = blob.ok_or_else(|| internal("the file's layer is not indexed"))?;
        let file = Stored {
            path: found.path.clone(),
            size: found.size,
            data_at: found.data_at,
            stored: found.stored,
            sparse: found.sparse.clone(),
        };
        Ok(Content::new(blob.clone(), file, self.config.codecs.clone(), &self.config.merge.limits))
    }

    /// The tar of a layer, which must be indexed.
    ///
    /// # Errors
    /// `internal` for one that is not.
    pub fn read_layer(&self, layer: usize) -> Result<Content> {
        let blob = self.blob(layer).ok_or_else(|| internal("the layer is not indexed"))?;
        Ok(Content::whole(blob.clone(), self.config.codecs.clone(), &self.config.merge.limits))
    }

    /// A flattened tar of the tree, which must be known, compressed so at a level of [`Format::levels`], or the default one.
    ///
    /// # Errors
    /// `limit_exceeded` for a tree larger than `total_bytes`; `invalid_option` for a level that there is not;
    /// `unsupported_compression` for what the host's codecs cannot write.
    pub fn export(&self, format: Format, level: Option<i32>) -> Result<Export> {
        let tree = self.tree().ok_or_else(|| internal("the tree is not known yet"))?;
        let Config { merge, codecs, .. } = &self.config;
        let blobs = (0..self.slots.len()).filter_map(|layer| self.blob(layer)).cloned().collect();
        let readers = Readers::new(blobs, codecs.clone(), &merge.limits);
        Export::new(tree.clone(), merge, readers, &**codecs, (format, level))
    }

    fn blob(&self, layer: usize) -> Option<&Arc<Blob>> {
        match &self.slots.get(layer)?.state {
            State::Known(blob, _) => Some(blob),
            _ => None,
        }
    }

    /// The layer that is to be gone on with, unless all that is wanted is known: one that failed before the others.
    fn next_wanted(&self) -> Option<(usize, &Slot)> {
        let open = || {
            let slots = self.slots.iter().enumerate();
            slots.filter(|(layer, slot)| {
                self.wanted.is_none_or(|wanted| wanted == *layer) && !matches!(slot.state, State::Known(..))
            })
        };
        open().find(|(_, slot)| matches!(slot.state, State::Failed(_))).or_else(|| open().next())
    }

    fn begin(&mut self, source: usize) {
        let Some(slot) = self.slots.get_mut(source) else { return };
        if matches!(slot.state, State::Waiting) && !slot.layer.is_of_unknown_size() {
            slot.state = match Indexing::new(source, &slot.layer, slot.diff_id, &self.config) {
                Ok(reading) => State::Reading(Box::new(reading)),
                Err(error) => State::Failed(error),
            };
        }
    }

    /// Works off what was fed of a layer. Answers whether there is more than one step may do.
    fn work(&mut self, source: usize, budget: &mut Budget) -> bool {
        let Some(slot) = self.slots.get_mut(source) else { return false };
        let State::Reading(reading) = &mut slot.state else { return false };
        if !reading.has_work() {
            return false;
        }
        slot.state = match reading.step(&mut self.room, budget, &self.config) {
            Ok(Came::Need) => return false,
            Ok(Came::Working) => return true,
            Ok(Came::Known(known)) => {
                let (blob, index) = *known;
                State::Known(Arc::new(blob), Some(Box::new(index)))
            }
            Err(error) => State::Failed(error),
        };
        false
    }

    /// All layers are known: merges one of them.
    fn merge(&mut self) -> Result<Step> {
        let failed = || Phase::Failed(internal("the machine has failed"));
        self.phase = match core::mem::replace(&mut self.phase, failed()) {
            Phase::Layers => Phase::Merging(Box::new(self.resolver()?), 0),
            Phase::Merging(mut resolver, layer) => match self.slots.get_mut(layer) {
                Some(slot) => {
                    let index = match &mut slot.state {
                        State::Known(_, index) => index.take(),
                        _ => None,
                    };
                    let index = index.ok_or_else(|| internal("a layer that is not known"));
                    match index.and_then(|index| resolver.supply(*index)) {
                        Ok(()) => Phase::Merging(resolver, layer + 1),
                        Err(error) => Phase::Failed(error),
                    }
                }
                None => match resolver.finish_with_history() {
                    Ok((tree, history)) => Phase::Ready(Arc::new(tree), history),
                    Err(error) => Phase::Failed(error),
                },
            },
            phase => phase,
        };
        match &self.phase {
            Phase::Ready(..) => Ok(Step::Done),
            Phase::Failed(error) => Err(error.clone()),
            Phase::Layers | Phase::Merging(..) => Ok(Step::Working),
        }
    }

    fn resolver(&self) -> Result<Resolver> {
        let resolver = Resolver::new(self.slots.len(), &self.config.merge)?;
        Ok(if self.config.history { resolver.with_history() } else { resolver })
    }
}
