//! The bytes of decoded layers, read so that many small files come with one call.

use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::merge::Node;

use crate::layers::Spool;

/// Bytes read at once at most: what fits into a processor's cache, so that writing reads it from there.
const LARGEST: usize = 256 << 10;
/// Bytes between two files that are read for nothing rather than by a call of their own: headers and padding, and what is
/// not wanted.
const GAP: u64 = 8 << 10;

/// What was read last of one layer.
pub(super) struct Window<'w> {
    spools: &'w [Spool],
    layer: usize,
    from: u64,
    len: usize,
    buffer: Vec<u8>,
}

impl<'w> Window<'w> {
    pub(super) fn new(spools: &'w [Spool]) -> Window<'w> {
        Window { spools, layer: usize::MAX, from: 0, len: 0, buffer: vec![0; LARGEST] }
    }

    /// Some of `len` bytes from `at` on, not none; `then` are the files after this one, in the order of their bytes.
    pub(super) fn bytes<'n>(
        &mut self,
        layer: usize,
        at: u64,
        len: u64,
        then: impl Iterator<Item = Node<'n>>,
    ) -> Result<&[u8]> {
        let inside = at.checked_sub(self.from).filter(|skip| layer == self.layer && *skip < self.len as u64);
        let skip = match inside {
            Some(skip) => skip as usize,
            None => {
                let spool = self.spools.get(layer).ok_or_else(|| internal("a plan names no such layer"))?;
                let end = extent(layer, at.saturating_add(len), at.saturating_add(LARGEST as u64), then);
                let size = usize::try_from(end - at).unwrap_or(LARGEST).min(LARGEST);
                self.len = 0;
                spool.read(&mut self.buffer[..size], at)?;
                (self.layer, self.from, self.len) = (layer, at, size);
                0
            }
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.len - skip);
        Ok(&self.buffer[skip..skip + len])
    }
}

/// How far it is worth to read on.
fn extent<'n>(layer: usize, mut end: u64, most: u64, then: impl Iterator<Item = Node<'n>>) -> u64 {
    for node in then {
        let Some(body) = node.body() else { continue };
        if end >= most || body.layer != layer || body.data_at < end || body.data_at - end > GAP {
            break;
        }
        end = body.data_at.saturating_add(body.stored);
    }
    end.min(most)
}

fn internal(reason: &str) -> Error {
    ErrorKind::Internal { reason: reason.to_owned() }.into()
}
