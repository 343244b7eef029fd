//! The indexed layers below each other, their rows numbered through.

use alloc::vec::Vec;

use super::index::{LayerIndex, Row, RowKind};
use super::trie::NONE;

/// The layers that a tree or a plan stands on, with their rows numbered through.
#[derive(Debug, Default)]
pub(super) struct Stack {
    layers: Vec<LayerIndex>,
    /// The number of each layer's first row.
    bases: Vec<u32>,
}

impl Stack {
    /// The layer of a row, and the row's number in it.
    pub(super) fn locate(&self, row: u32) -> Option<(usize, u32)> {
        if row == NONE {
            return None;
        }
        let layer = self.bases.partition_point(|base| *base <= row).checked_sub(1)?;
        Some((layer, row - self.bases.get(layer)?))
    }

    pub(super) fn row(&self, row: u32) -> Option<(&LayerIndex, &Row)> {
        let (layer, row) = self.locate(row)?;
        let layer = self.layers.get(layer)?;
        Some((layer, layer.row(row)?))
    }

    pub(super) fn layer(&self, layer: usize) -> Option<&LayerIndex> {
        self.layers.get(layer)
    }

    /// Puts a layer on top; `base` is the number of its first row.
    pub(super) fn push(&mut self, layer: LayerIndex, base: u32) {
        self.layers.push(layer);
        self.bases.push(base);
    }

    /// The name of a row led through a symlink: its own bytes do not say where it came to.
    pub(super) fn renamed(&mut self, layer: usize, row: u32) {
        if let Some(layer) = self.layers.get_mut(layer) {
            layer.renamed(row);
        }
    }

    /// How many layers there are.
    pub(super) fn len(&self) -> usize {
        self.layers.len()
    }

    /// The layers, back.
    pub(super) fn into_layers(self) -> Vec<LayerIndex> {
        self.layers
    }

    pub(super) fn is_symlink(&self, row: u32) -> bool {
        self.row(row).is_some_and(|(_, row)| row.kind == RowKind::Symlink)
    }
}
