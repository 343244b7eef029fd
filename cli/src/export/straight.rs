//! A file without compression: written as it comes, by whoever has the bytes.

use wharfie_core::error::Result;

use super::fill::Fill;
use super::fill::stopped;
use super::output::Output;
use crate::drive::Cancel;

/// Bytes from which on a run is written from where it is; what is smaller is gathered first.
const LARGE: usize = 16 << 10;
/// Bytes gathered at most.
const GATHERED: usize = 256 << 10;
/// Zeros written at once.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Writes to a file without another thread or another copy in between.
pub(super) struct Straight<'o> {
    output: &'o mut Output,
    gathered: Vec<u8>,
    written: u64,
    cancel: &'o Cancel,
}

impl<'o> Straight<'o> {
    pub(super) fn new(output: &'o mut Output, cancel: &'o Cancel) -> Straight<'o> {
        Straight { output, gathered: Vec::with_capacity(GATHERED), written: 0, cancel }
    }

    /// Writes what was gathered. Answers the bytes of the whole file.
    pub(super) fn finish(self) -> Result<u64> {
        self.output.write(&self.gathered)?;
        Ok(self.written)
    }
}

impl Fill for Straight<'_> {
    fn cut(&mut self, held: u64) -> Result<u64> {
        self.output.write(&self.gathered)?;
        self.gathered.clear();
        self.output.cut(held)?;
        self.written = held;
        Ok(held)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(stopped());
        }
        self.written += bytes.len() as u64;
        if bytes.len() >= LARGE || self.gathered.len() + bytes.len() > GATHERED {
            self.output.write_both(&self.gathered, bytes)?;
            self.gathered.clear();
        } else {
            self.gathered.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn zeros(&mut self, mut len: u64) -> Result<()> {
        while len > 0 {
            let n = ZEROS.len().min(usize::try_from(len).unwrap_or(usize::MAX));
            self.write(&ZEROS[..n])?;
            len -= n as u64;
        }
        Ok(())
    }
}
