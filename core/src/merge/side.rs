//! What is kept beside a layer, so that the next who wants something of it need not read it again.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt;

use super::index::LayerIndex;
use super::packing::{CUT, Refused, Unpack, put, put_bytes};
use crate::codec::{
    Checkpoint, Codec, Format, GzipDecoder, GzipEncoder, Inflater, Needs, Noted, WINDOW as WINDOW_BYTES,
};
use crate::digest::{Algorithm, Digest};
use crate::error::Result;
use crate::limits::Limits;

/// What a side index begins with; the last byte is its version. One of another version is not read but made anew.
const MAGIC: &[u8] = b"wharfie side index\x01";

/// The compressions by their number in it.
const FORMATS: [Format; 3] = [Format::Identity, Format::Gzip, Format::Zstd];

/// The index of a layer and places where decoding it can begin: bytes that a host keeps beside the blob.
///
/// It is derived: whoever makes one has read the layer to its end, and blob digest and `diff_id` held (L23). It is bound to
/// both. What is read back is checked for what it claims of itself, so that nothing made of it can be wrong by accident:
/// a sum over all bytes, entries within the layer, names in normal form. It is no proof against who can write to where it
/// is kept. Files have a CRC-32 each in it ([`LayerIndex::sum`]), by which a reader sees whether the blob still holds what
/// it held.
///
/// ```text
/// magic and version, blob: algorithm, hash, size; format; diff_id: algorithm, hash
/// the index: limits, end, counts, warnings, a row for each entry (about 30 bytes, names front-coded)
/// the checkpoints: bit and byte, each from the one before, and the window as a gzip member
/// CRC-32 of all that
/// ```
///
/// Numbers have seven bits a byte, the lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SideIndex {
    /// The digest of the blob.
    pub blob: Digest,
    /// Bytes of the blob.
    pub blob_bytes: u64,
    /// How it is compressed.
    pub format: Format,
    /// The digest of its tar.
    pub diff_id: Digest,
    /// What is in it.
    pub index: LayerIndex,
    /// Where decoding can begin.
    pub checkpoints: Checkpoints,
}

impl SideIndex {
    /// Of a layer that was read to its end and verified.
    pub fn new(
        (blob, blob_bytes): (Digest, u64),
        format: Format,
        diff_id: Digest,
        index: LayerIndex,
        checkpoints: Checkpoints,
    ) -> SideIndex {
        SideIndex { blob, blob_bytes, format, diff_id, index, checkpoints }
    }

    /// Bytes of the layer's tar.
    pub fn tar_bytes(&self) -> u64 {
        self.index.end()
    }

    /// Whether it is of this blob, and what an image's config says of the layer's content is what it holds. A size of 0 is
    /// not known.
    pub fn is_of(&self, blob: &Digest, blob_bytes: u64, diff_id: Option<&Digest>) -> bool {
        self.blob == *blob
            && (blob_bytes == 0 || self.blob_bytes == blob_bytes)
            && diff_id.is_none_or(|diff_id| self.diff_id == *diff_id)
    }

    /// As bytes; the same for the same layer.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_digest(&mut out, &self.blob);
        put(&mut out, self.blob_bytes);
        out.push(FORMATS.iter().position(|format| *format == self.format).unwrap_or(FORMATS.len()) as u8);
        put_digest(&mut out, &self.diff_id);
        self.index.pack(&mut out);
        let Checkpoints { every, places, windows } = &self.checkpoints;
        put(&mut out, *every);
        put(&mut out, places.len() as u64);
        let (mut bit, mut byte, mut at) = (0, 0, 0);
        for place in places {
            put(&mut out, place.bit.wrapping_sub(bit));
            put(&mut out, place.byte.wrapping_sub(byte));
            put_bytes(&mut out, windows.get(at..place.window_end).unwrap_or_default());
            (bit, byte, at) = (place.bit, place.byte, place.window_end);
        }
        let sum = crc32fast::hash(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads it again, as the index of the bottom layer ([`LayerIndex::as_layer`]).
    ///
    /// # Errors
    /// Why it cannot be used; then the layer is read as if there were none. That it was made under other limits or by
    /// another version is such a reason.
    pub fn from_bytes(bytes: &[u8], limits: &Limits) -> core::result::Result<SideIndex, &'static str> {
        let (bytes, sum) = bytes.split_last_chunk::<4>().ok_or(CUT)?;
        let mut from = Unpack(bytes);
        if from.take(MAGIC.len() as u64)? != MAGIC {
            return Err("it is of another version, or no side index");
        }
        if crc32fast::hash(bytes) != u32::from_le_bytes(*sum) {
            return Err("its sum does not match");
        }
        let blob = take_digest(&mut from)?;
        let blob_bytes = from.number()?;
        let format = *FORMATS.get(usize::from(from.byte()?)).ok_or("a format that there is not")?;
        let diff_id = take_digest(&mut from)?;
        let index = LayerIndex::unpack(&mut from, limits)?.with_blob(blob);
        let mut checkpoints = Checkpoints { every: from.number()?, ..Checkpoints::new() };
        let count = from.number()?;
        if count > Checkpoints::MOST as u64 || (count > 0 && format == Format::Identity) {
            return Err("it has more checkpoints than may be");
        }
        let (mut bit, mut byte) = (0_u64, 0_u64);
        for _ in 0..count {
            let before = (bit, byte);
            bit = bit.wrapping_add(from.number()?);
            byte = byte.wrapping_add(from.number()?);
            let later = bit > before.0 && byte > before.1;
            if !later || bit / 8 >= blob_bytes || byte > index.end() {
                return Err("a checkpoint does not lie within the layer, behind the one before");
            }
            checkpoints.windows.extend_from_slice(from.bytes()?);
            checkpoints.places.push(Marked { bit, byte, window_end: checkpoints.windows.len() });
        }
        if !from.0.is_empty() {
            return Err("something follows its end");
        }
        Ok(SideIndex { blob, blob_bytes, format, diff_id, index, checkpoints })
    }
}

fn put_digest(out: &mut Vec<u8>, digest: &Digest) {
    put_bytes(out, digest.algorithm().name().as_bytes());
    put_bytes(out, digest.hash());
}

fn take_digest(from: &mut Unpack<'_>) -> core::result::Result<Digest, Refused> {
    let name = core::str::from_utf8(from.bytes()?).ok();
    let algorithm = name.and_then(Algorithm::from_name).ok_or("an algorithm that is not known")?;
    Digest::new(algorithm, from.bytes()?).ok_or("a hash is not of its length")
}

/// Where decoding a layer can begin, with the windows packed: a third of their 32 KiB each, as a rule.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoints {
    /// Bytes of the decoded layer that lie between two at least.
    every: u64,
    places: Vec<Marked>,
    windows: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Marked {
    bit: u64,
    byte: u64,
    /// Where its window ends among all; it begins where the one before ends.
    window_end: usize,
}

impl Checkpoints {
    /// What a decoder is asked for ([`Codec::note_checkpoints`]).
    pub const EVERY: u64 = 4 << 20;
    /// No more are kept: of a layer beyond 4 GiB they are further apart.
    pub const MOST: usize = Noted::MOST;

    /// None yet.
    pub fn new() -> Checkpoints {
        Checkpoints { every: Checkpoints::EVERY, places: Vec::new(), windows: Vec::new() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Takes the next one of the layer, in the order in which the decoder comes by them. When there are
    /// [`Checkpoints::MOST`], every second one is let go.
    ///
    /// # Errors
    /// `internal`.
    pub fn push(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        if !self.is_due(checkpoint) {
            return Ok(());
        }
        if self.places.len() == Checkpoints::MOST {
            self.thin();
            if !self.is_due(checkpoint) {
                return Ok(());
            }
        }
        if !checkpoint.window().is_empty() {
            pack(checkpoint.window(), &mut self.windows)?;
        }
        self.places.push(Marked {
            bit: checkpoint.bit(),
            byte: checkpoint.byte(),
            window_end: self.windows.len(),
        });
        Ok(())
    }

    fn is_due(&self, checkpoint: &Checkpoint) -> bool {
        let (bit, byte) = self.places.last().map_or((0, 0), |last| (last.bit, last.byte));
        checkpoint.byte() >= byte.saturating_add(self.every) && checkpoint.bit() > bit
    }

    fn thin(&mut self) {
        self.every = self.every.saturating_mul(2);
        let all = core::mem::take(self);
        self.every = all.every;
        let mut at = 0;
        for (number, place) in all.places.iter().enumerate() {
            if number % 2 == 1 {
                let window = all.windows.get(at..place.window_end).unwrap_or_default();
                self.windows.extend_from_slice(window);
                self.places.push(Marked { window_end: self.windows.len(), ..*place });
            }
            at = place.window_end;
        }
    }

    /// Where decoding begins for this byte of the decoded layer: the byte of the blob and that of the decoded layer of what
    /// [`Checkpoints::before`] answers; the beginning of both where that is `None`.
    pub fn place_before(&self, byte: u64) -> (u64, u64) {
        let at = self.places.partition_point(|place| place.byte <= byte).checked_sub(1);
        at.and_then(|at| self.places.get(at)).map_or((0, 0), |place| (place.bit / 8, place.byte))
    }

    /// A byte of the blob behind which nothing is needed to decode what lies before this byte of the decoded layer: behind
    /// the first bits of the next checkpoint. `None` where all of the blob may be needed.
    pub fn enough_for(&self, byte: u64) -> Option<u64> {
        let next = self.places.partition_point(|place| place.byte < byte);
        self.places.get(next).map(|place| place.bit.div_ceil(8))
    }

    /// The last one at or before this byte of the decoded layer; `None` where the beginning is the nearest place.
    ///
    /// # Errors
    /// `corrupt_stream` for a window that cannot be read.
    pub fn before(&self, byte: u64) -> Result<Option<Checkpoint>> {
        let Some(at) = self.places.partition_point(|place| place.byte <= byte).checked_sub(1) else {
            return Ok(None);
        };
        let Some(place) = self.places.get(at) else { return Ok(None) };
        let begin =
            at.checked_sub(1).and_then(|before| self.places.get(before)).map_or(0, |place| place.window_end);
        let packed = self.windows.get(begin..place.window_end).unwrap_or_default();
        let window = if packed.is_empty() { Vec::new() } else { unpack(packed)? };
        Ok(Checkpoint::new(place.bit, place.byte, window))
    }
}

impl Default for Checkpoints {
    fn default() -> Self {
        Checkpoints::new()
    }
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoints")
            .field("every", &self.every)
            .field("places", &self.places.len())
            .field("windows", &self.windows.len())
            .finish()
    }
}

/// Appends bytes as a gzip member.
fn pack(mut bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut encoder = GzipEncoder::new(1)?;
    let mut room = [0; 4 << 10];
    loop {
        let step =
            if bytes.is_empty() { encoder.finish(&mut room)? } else { encoder.process(bytes, &mut room)? };
        bytes = bytes.get(step.read..).unwrap_or_default();
        out.extend_from_slice(room.get(..step.written).unwrap_or_default());
        if step.needs == Needs::Nothing {
            return Ok(());
        }
    }
}

/// The window that was packed; what is more than one is cut, and nothing that a stream was.
fn unpack(mut packed: &[u8]) -> Result<Vec<u8>> {
    let mut decoder = GzipDecoder::new(Inflater::new());
    let mut window = alloc::vec![0; WINDOW_BYTES + 1];
    let mut filled = 0;
    loop {
        let room = window.get_mut(filled..).unwrap_or_default();
        let step = if packed.is_empty() { decoder.finish(room)? } else { decoder.process(packed, room)? };
        packed = packed.get(step.read..).unwrap_or_default();
        filled += step.written;
        // With a byte too many it is no window, and refused as one.
        if step.needs == Needs::Nothing || filled > WINDOW_BYTES {
            window.truncate(filled);
            return Ok(window);
        }
    }
}
