//! The stored bytes of one file, read from the nearest place at which decoding its layer can begin.

use wharfie_core::Limits;
use wharfie_core::codec::{Codec, Codecs as _, Format, Needs};
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::merge::{Checkpoints, LayerIndex, SideIndex};

use super::bodies::BodyRange;
use crate::codec::NativeCodecs;
use crate::drive::Cancel;
use crate::layers::{LocalLayer, Packed};

/// Bytes read at once, and decoded at once.
const PIECE: usize = 64 << 10;

/// What a side index says of where files lie.
pub(super) struct Places {
    blob_bytes: u64,
    format: Format,
    checkpoints: Checkpoints,
    sums: Vec<u32>,
}

impl Places {
    /// Takes a side index apart.
    pub(super) fn of(side: SideIndex) -> (Places, LayerIndex) {
        let SideIndex { blob_bytes, format, checkpoints, index, .. } = side;
        let sums = index.sums().to_vec();
        (Places { blob_bytes, format, checkpoints, sums }, index)
    }

    /// The CRC-32 of an entry's stored bytes.
    pub(super) fn sum(&self, entry: u32) -> Option<u32> {
        self.sums.get(entry as usize).copied()
    }

    /// Gives the stored bytes of a file, piece by piece, as the blob has them now.
    ///
    /// # Errors
    /// `size_mismatch`, `corrupt_stream` where the blob is not what it was; `local_io`, `cancelled`, what `take` answers.
    pub(super) fn read(
        &self,
        layer: &LocalLayer,
        range: BodyRange<'_>,
        limits: &Limits,
        cancel: &Cancel,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let blob = Packed::open(layer)?;
        let actual = blob.len()?;
        if actual != self.blob_bytes {
            return Err(ErrorKind::SizeMismatch { expected: self.blob_bytes, actual }.into());
        }
        let (mut decoder, mut at, mut position): (Box<dyn Codec>, u64, u64) = match self.format {
            Format::Identity => {
                (NativeCodecs.decoder(Format::Identity, limits)?, range.data_at, range.data_at)
            }
            format => match self.checkpoints.before(range.data_at)? {
                Some(checkpoint) => {
                    let decoder = checkpoint.decoder(format, &NativeCodecs, limits)?;
                    (decoder, checkpoint.blob_at(), checkpoint.byte())
                }
                None => (NativeCodecs.decoder(format, limits)?, 0, 0),
            },
        };
        let end = range.data_at + range.stored;
        let (mut input, mut output) = (vec![0; PIECE], vec![0; PIECE]);
        while position < end {
            if cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled {}.into());
            }
            let n = blob.read_some(&mut input, at)?;
            at += n as u64;
            let mut rest = &input[..n];
            loop {
                let step =
                    if n == 0 { decoder.finish(&mut output)? } else { decoder.process(rest, &mut output)? };
                rest = &rest[step.read..];
                let made = &output[..step.written];
                let begin = position;
                position += made.len() as u64;
                let (from, to) = (range.data_at.max(begin), end.min(position));
                if from < to {
                    take(&made[(from - begin) as usize..(to - begin) as usize])?;
                }
                if position >= end {
                    return Ok(());
                }
                match step.needs {
                    Needs::Output => {}
                    Needs::Input => break,
                    Needs::Nothing => {
                        let reason = "it ends before a file that it held".to_owned();
                        return Err(ErrorKind::CorruptStream { format: self.format.name(), reason }.into());
                    }
                }
            }
        }
        Ok(())
    }
}
