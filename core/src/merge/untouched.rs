//! A layer that is already what its own root would be flattened to.

use alloc::vec::Vec;

use super::index::{Row, RowKind, Scan};
use super::options::{Options, Order};
use super::plan::{Op, Plan, is_late};
use crate::digest::{Algorithm, Digest, Hasher, Hashes};
use crate::error::Result;
use crate::tar::padding;

/// Bytes of one entry's headers that are looked at, at most: a layer with more in one place is not passed through.
const HEADERS: usize = 1 << 20;

/// Whether the tar of an image's only layer is, byte for byte, the flattened tar of the image (L26): its blob can then be
/// the output as it is, if its compression is the one that is asked for.
///
/// A tar in canonical order always is, if that is the order asked for. One in stream order is unless directories of its
/// stack were closed above the bottom layer: with one layer all of them come at the end.
///
/// It reads the layer along with a [`Scan`] and keeps nothing of it but a hash of what a [`Plan`] would write itself. The
/// answer hangs on nothing but the layer and the options, however its bytes are cut. Most layers fail at their first
/// directory, which in stream order comes behind all else.
///
/// ```text
/// each piece of the layer: scan.feed(piece)?; untouched.read(&scan, piece)   => false: surely not, no need to go on
/// plan = Plan::new(…); untouched.finish(&mut plan)?                          => the answer
/// ```
#[derive(Debug)]
pub struct Untouched {
    order: Order,
    /// The next row; in canonical order, the name before it and how far the names are read.
    row: u32,
    path: Vec<u8>,
    names_at: usize,
    /// Behind the bytes that were read.
    position: u64,
    /// Behind the stored bytes of the last entry, and behind their padding.
    body_end: u64,
    entry_end: u64,
    /// What was read behind `body_end`.
    tail: Vec<u8>,
    /// Whether the directories have begun that come behind all else in stream order.
    closing: bool,
    /// What a plan would write, as the layer has it.
    found: Runs,
    /// What a plan does write.
    planned: Runs,
    holds: bool,
}

/// Runs of bytes, hashed with where each begins.
#[derive(Debug)]
struct Runs {
    hasher: Hasher,
    end: Option<u64>,
}

impl Runs {
    fn new(hashes: &dyn Hashes) -> Runs {
        Runs { hasher: Hasher::new(hashes, Algorithm::Sha256), end: None }
    }

    fn add(&mut self, at: u64, bytes: &[u8]) {
        if self.end != Some(at) {
            self.hasher.update(&at.to_le_bytes());
        }
        self.hasher.update(bytes);
        self.end = Some(at.saturating_add(bytes.len() as u64));
    }

    fn finish(self) -> Digest {
        self.hasher.finish()
    }
}

impl Untouched {
    /// Nothing of the layer is read yet.
    pub fn new(options: &Options, hashes: &dyn Hashes) -> Self {
        Untouched {
            order: options.order,
            row: 0,
            path: Vec::new(),
            names_at: 0,
            position: 0,
            body_end: 0,
            entry_end: 0,
            tail: Vec::new(),
            closing: false,
            found: Runs::new(hashes),
            planned: Runs::new(hashes),
            holds: true,
        }
    }

    /// Reads the next bytes of the layer, which `scan` has read just before. Answers whether it may still be; if not, it
    /// surely is not.
    pub fn read(&mut self, scan: &Scan, mut bytes: &[u8]) -> bool {
        if !self.holds {
            return false;
        }
        let content = self.body_end.saturating_sub(self.position);
        self.position = self.position.saturating_add(bytes.len() as u64);
        bytes = usize::try_from(content).ok().and_then(|content| bytes.get(content..)).unwrap_or_default();
        self.tail.extend_from_slice(bytes);
        let mut tail = core::mem::take(&mut self.tail);
        let mut used = 0;
        while let Some(row) = scan.index().row(self.row).filter(|row| row.data_at() <= self.position) {
            let rest = tail.get(used..).unwrap_or_default();
            let Some(headers) = self.take(scan, row, rest) else {
                self.holds = false;
                return false;
            };
            used += headers;
            let stored = usize::try_from(self.body_end.saturating_sub(row.data_at())).unwrap_or(usize::MAX);
            used = used.saturating_add(stored).min(tail.len());
        }
        tail.drain(..used);
        self.tail = tail;
        self.holds = self.tail.len() <= HEADERS;
        self.holds
    }

    /// An entry, of which `rest` begins behind the content before it. Answers how many bytes of that are its headers.
    fn take(&mut self, scan: &Scan, row: &Row, rest: &[u8]) -> Option<usize> {
        let index = scan.index();
        let len = usize::try_from(row.data_at().checked_sub(self.body_end)?).ok()?;
        // Whatever makes no entry of the output leaves a gap.
        if row.header_at != self.entry_end || len > HEADERS - 1024 {
            return None;
        }
        if matches!(row.kind, RowKind::Whiteout | RowKind::Opaque) || index.sparse(row).is_some() {
            return None;
        }
        // What of these bytes a plan would write itself.
        let own = match self.order {
            // Canonical order writes all headers and padding itself.
            Order::Canonical => {
                let path = index.next_path(self.path.clone(), row, &mut self.names_at);
                let parts = |path| <[u8]>::split(path, |byte| *byte == b'/');
                if self.row > 0 && parts(&path).le(parts(&self.path)) {
                    return None;
                }
                self.path = path;
                Some(rest.get(..len)?)
            }
            Order::Stream => {
                // Behind the first directory there are only others, and the symlinks that come with them.
                let late = match row.kind {
                    RowKind::Directory => true,
                    RowKind::Symlink => is_late(index.link(row)),
                    _ => false,
                };
                if self.closing && !late {
                    return None;
                }
                self.closing = late;
                // The padding before it goes with its content.
                let padding = usize::try_from(self.entry_end.checked_sub(self.body_end)?).ok()?;
                if late || !index.verbatim(row) { Some(rest.get(padding..len)?) } else { None }
            }
        };
        if let Some(own) = own {
            self.found.add(row.data_at().checked_sub(own.len() as u64)?, own);
        }
        let stored = index.stored(row);
        self.body_end = row.data_at().checked_add(stored)?;
        self.entry_end = self.body_end.checked_add(padding(stored) as u64)?;
        self.row += 1;
        Some(len)
    }

    /// The whole layer has been read: whether it is what `plan` makes, the plan of a stack of nothing else. The plan is
    /// left at its beginning.
    ///
    /// # Errors
    /// Those of [`Plan::next_op`].
    pub fn finish(mut self, plan: &mut Plan) -> Result<bool> {
        let padding = usize::try_from(self.entry_end.saturating_sub(self.body_end)).unwrap_or(usize::MAX);
        let (at, end) = match self.order {
            Order::Canonical => (self.body_end, Some(&self.tail[..])),
            Order::Stream => (self.entry_end, self.tail.get(padding..)),
        };
        let Some(end) = end.filter(|_| self.holds) else { return Ok(false) };
        self.found.add(at, end);
        plan.rewind();
        let mut at = 0_u64;
        while let Some(op) = plan.next_op()? {
            match op {
                Op::Copy { from, to, .. } if from == at => at = to,
                Op::Write(bytes) => {
                    self.planned.add(at, &bytes);
                    at = at.saturating_add(bytes.len() as u64);
                }
                _ => {
                    plan.rewind();
                    return Ok(false);
                }
            }
        }
        plan.rewind();
        Ok(at == self.position && self.planned.finish() == self.found.finish())
    }
}
