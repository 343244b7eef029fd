//! The bytes of the output in order, each with where it comes from.

use wharfie_core::codec::Block;
use wharfie_core::error::{Error, ErrorKind, Result};

use crate::layers::{Packed, Spool};

/// Where bytes of a layer lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The layer, counted from 0 at the bottom.
    pub(super) layer: usize,
    /// The position of the first byte in the decoded layer.
    pub(super) offset: u64,
}

/// Bytes read from a spool at once.
const READ: usize = 256 << 10;

/// Takes the bytes of the output in order. What comes of a layer says so: who has that layer's compressed blocks may
/// copy those instead of packing the bytes again.
pub(super) trait Fill: Send {
    /// These bytes come next: no layer has them.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// So many zeros come next.
    fn zeros(&mut self, len: u64) -> Result<()>;

    /// These bytes come next, and they are a layer's. Ranges that go on where the last one ended may come in pieces.
    fn take(&mut self, origin: Origin, bytes: &[u8]) -> Result<()> {
        let _ = origin;
        self.write(bytes)
    }

    /// The next deflate blocks of a layer's blob. A block is told before the first byte behind it is taken.
    fn blocks(&mut self, layer: usize, blob: &Packed, blocks: &[Block]) {
        let _ = (layer, blob, blocks);
    }

    /// Of what was taken, only the first `held` bytes hold. Answers how many of them stay: it takes all others back, and
    /// goes on behind these. Blocks stay told.
    fn cut(&mut self, held: u64) -> Result<u64>;

    /// This range of a layer comes next, and a spool has it.
    fn copy(&mut self, layer: usize, spool: &Spool, mut from: u64, to: u64) -> Result<()> {
        let whole = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; whole.min(READ)];
        while from < to {
            let n = buffer.len().min(usize::try_from(to - from).unwrap_or(usize::MAX));
            spool.read(&mut buffer[..n], from)?;
            self.take(Origin { layer, offset: from }, &buffer[..n])?;
            from += n as u64;
        }
        Ok(())
    }
}

/// What stops a filler whose writer or workers have failed: they say why.
pub(super) fn stopped() -> Error {
    ErrorKind::Cancelled {}.into()
}
