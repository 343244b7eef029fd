//! gzip (RFC 1952): the framing both ways, round any deflate.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use miniz_oxide::deflate::core::create_comp_flags_from_zip_params;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output};

use super::{Block, Checkpoint, Codec, Format, Inflate, Inflater, Needs, Noted, Progress};
use crate::error::{Error, ErrorKind, Result};

/// Bytes of the header that we write.
pub const GZIP_HEADER_BYTES: usize = 10;

/// The header that we write: no name, no time, no system, so that equal data gives equal bytes (L26).
pub fn gzip_header(level: i32) -> [u8; GZIP_HEADER_BYTES] {
    let extra_flags = match level {
        9.. => 2,
        ..=1 => 4,
        _ => 0,
    };
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, extra_flags, 255]
}

/// The trailer: the CRC-32 of the data, and its length modulo 2^32.
pub fn gzip_trailer(crc: u32, len: u64) -> [u8; 8] {
    let [a, b, c, d] = crc.to_le_bytes();
    let [e, f, g, h, ..] = len.to_le_bytes();
    [a, b, c, d, e, f, g, h]
}

mod flag {
    pub(super) const HEADER_CRC: u8 = 2;
    pub(super) const EXTRA: u8 = 4;
    pub(super) const NAME: u8 = 8;
    pub(super) const COMMENT: u8 = 16;
    pub(super) const RESERVED: u8 = 0xe0;
}

/// Where in a member the decoder is. Counters say how many bytes of the part have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Header(u8),
    ExtraLength(u8),
    Extra(u16),
    Name,
    Comment,
    HeaderCrc(u8),
    Body,
    Trailer(u8),
    /// At a member's end: another one, padding or nothing follows.
    Between,
    Padding,
}

/// Decodes gzip by the letter of RFC 1952 and of rule L20: any number of members; every header field read, the
/// header's CRC-16 where there is one, CRC-32 and length checked; zeros after the last member accepted, anything else
/// there an error.
pub struct GzipDecoder<I> {
    inflate: I,
    part: Part,
    flags: u8,
    /// The bytes of the field at hand that need gathering, little-endian.
    field: u64,
    header_crc: crate::crc::Hasher,
    crc: crate::crc::Hasher,
    /// Bytes of this member's data, modulo 2^32.
    len: u32,
    position: u64,
    written: u64,
    /// `None` if no one asked for them.
    blocks: Option<Vec<Block>>,
    /// Zeros behind the last member.
    padding: u64,
    checkpoints: Option<Noted>,
    /// Whether this member's data came from its beginning on: only then can they be checked.
    whole: bool,
    /// Where the deflate data of this member begins: compressed byte, decoded byte.
    body: (u64, u64),
}

impl<I: Inflate> GzipDecoder<I> {
    /// At the beginning of a gzip file, over an inflater at the beginning of a stream.
    pub fn new(inflate: I) -> GzipDecoder<I> {
        GzipDecoder {
            inflate,
            part: Part::Header(0),
            flags: 0,
            field: 0,
            header_crc: crate::crc::Hasher::new(),
            crc: crate::crc::Hasher::new(),
            len: 0,
            position: 0,
            written: 0,
            blocks: None,
            padding: 0,
            checkpoints: None,
            whole: true,
            body: (0, 0),
        }
    }

    /// Notes the blocks and checkpoints that the inflater has come by, from where the member stands in the file.
    fn note(&mut self) {
        if let Some(checkpoints) = &mut self.checkpoints {
            let mut new = Vec::new();
            self.inflate.take_checkpoints(&mut new);
            let (bytes_in, bytes_out) = self.body;
            new.into_iter().for_each(|checkpoint| checkpoints.push(checkpoint.moved(bytes_in, bytes_out)));
        }
        let Some(blocks) = &mut self.blocks else { return };
        let from = blocks.len();
        self.inflate.take_blocks(blocks);
        let (bytes_in, bytes_out) = self.body;
        for block in blocks.iter_mut().skip(from) {
            *block = block.moved(bytes_in.saturating_mul(8), bytes_out);
        }
    }

    fn corrupt(&self, reason: impl fmt::Display) -> Error {
        let reason = format!("{reason}, at compressed byte {}", self.position);
        ErrorKind::CorruptStream { format: Format::Gzip.name(), reason }.into()
    }

    /// The part that follows `after`, by the flags; the header's parts stand in this order.
    fn next_part(&self, after: Part) -> Part {
        let has = |flag| self.flags & flag != 0;
        match after {
            Part::Header(_) if has(flag::EXTRA) => Part::ExtraLength(0),
            Part::Header(_) | Part::ExtraLength(_) | Part::Extra(_) if has(flag::NAME) => Part::Name,
            Part::Header(_) | Part::ExtraLength(_) | Part::Extra(_) | Part::Name if has(flag::COMMENT) => {
                Part::Comment
            }
            Part::HeaderCrc(_) => Part::Body,
            _ if has(flag::HEADER_CRC) => Part::HeaderCrc(0),
            _ => Part::Body,
        }
    }

    /// Takes one byte outside the deflate data.
    fn byte(&mut self, byte: u8) -> Result<()> {
        let part = self.part;
        if !matches!(part, Part::HeaderCrc(_) | Part::Trailer(_) | Part::Between | Part::Padding) {
            self.header_crc.update(&[byte]);
        }
        self.part = match part {
            Part::Header(at) => {
                let expected = match at {
                    0 => Some((0x1f, "not a gzip header")),
                    1 => Some((0x8b, "not a gzip header")),
                    2 => Some((8, "a compression method other than deflate")),
                    _ => None,
                };
                if let Some((expected, reason)) = expected
                    && byte != expected
                {
                    return Err(self.corrupt(reason));
                }
                if at == 3 {
                    if byte & flag::RESERVED != 0 {
                        return Err(self.corrupt("reserved header flags are set"));
                    }
                    self.flags = byte;
                }
                if at < 9 { Part::Header(at + 1) } else { self.next_part(part) }
            }
            Part::ExtraLength(0) => {
                self.field = u64::from(byte);
                Part::ExtraLength(1)
            }
            Part::ExtraLength(_) => match self.field as u16 | u16::from(byte) << 8 {
                0 => self.next_part(part),
                len => Part::Extra(len),
            },
            Part::Extra(1) => self.next_part(part),
            Part::Extra(left) => Part::Extra(left.saturating_sub(1)),
            Part::Name | Part::Comment if byte != 0 => part,
            Part::Name | Part::Comment => self.next_part(part),
            Part::HeaderCrc(0) => {
                self.field = u64::from(byte);
                Part::HeaderCrc(1)
            }
            Part::HeaderCrc(_) => {
                let stated = self.field as u16 | u16::from(byte) << 8;
                if stated != self.header_crc.clone().finalize() as u16 {
                    return Err(self.corrupt("the header's checksum does not match"));
                }
                self.next_part(part)
            }
            Part::Trailer(at) => {
                self.field = self.field >> 8 | u64::from(byte) << 56;
                if at < 7 {
                    Part::Trailer(at + 1)
                } else {
                    if self.whole && self.field as u32 != self.crc.clone().finalize() {
                        return Err(self.corrupt("the data's checksum does not match"));
                    }
                    if self.whole && (self.field >> 32) as u32 != self.len {
                        return Err(self.corrupt("the data's length does not match"));
                    }
                    Part::Between
                }
            }
            Part::Between if byte == 0x1f => {
                self.header_crc = crate::crc::Hasher::new();
                self.header_crc.update(&[byte]);
                self.crc = crate::crc::Hasher::new();
                self.len = 0;
                self.whole = true;
                self.inflate.reset();
                Part::Header(1)
            }
            Part::Between | Part::Padding if byte == 0 => {
                self.padding += 1;
                Part::Padding
            }
            Part::Between | Part::Padding => {
                return Err(self.corrupt("something that is no gzip member follows the last one"));
            }
            Part::Body => Part::Body,
        };
        self.position += 1;
        if self.part == Part::Body {
            self.body = (self.position, self.written);
        }
        Ok(())
    }
}

impl GzipDecoder<Inflater> {
    /// Inside a member, at a checkpoint.
    pub(super) fn resume(checkpoint: &Checkpoint) -> GzipDecoder<Inflater> {
        let inflate = Inflater::resume((checkpoint.bit() & 7) as u32, checkpoint.window());
        let (position, written) = (checkpoint.blob_at(), checkpoint.byte());
        GzipDecoder {
            part: Part::Body,
            position,
            written,
            whole: false,
            body: (position, written),
            ..GzipDecoder::new(inflate)
        }
    }
}

impl<I: Inflate> Codec for GzipDecoder<I> {
    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress> {
        let (mut read, mut written) = (0, 0);
        loop {
            let rest = input.get(read..).unwrap_or_default();
            if self.part != Part::Body {
                let Some(&byte) = rest.first() else {
                    return Ok(Progress { read, written, needs: Needs::Input });
                };
                self.byte(byte)?;
                read += 1;
                continue;
            }
            let room = output.get_mut(written..).unwrap_or_default();
            let step = match self.inflate.inflate(rest, room) {
                Ok(step) => step,
                Err(reason) => return Err(self.corrupt(reason)),
            };
            let made = room.get(..step.written).unwrap_or_default();
            self.crc.update(made);
            self.len = self.len.wrapping_add(made.len() as u32);
            self.position += step.read as u64;
            self.written += step.written as u64;
            read += step.read;
            written += step.written;
            self.note();
            if step.done {
                self.part = Part::Trailer(0);
            } else if written == output.len() {
                return Ok(Progress { read, written, needs: Needs::Output });
            } else if read == input.len() {
                return Ok(Progress { read, written, needs: Needs::Input });
            } else if step.read == 0 && step.written == 0 {
                return Err(self.corrupt("the inflater does not move"));
            }
        }
    }

    fn finish(&mut self, output: &mut [u8]) -> Result<Progress> {
        let step = self.process(&[], output)?;
        if step.needs == Needs::Output && step.written > 0 {
            return Ok(step);
        }
        match self.part {
            Part::Between | Part::Padding => Ok(Progress { needs: Needs::Nothing, ..step }),
            Part::Body => Err(self.corrupt("it ends inside the data")),
            Part::Trailer(_) => Err(self.corrupt("it ends inside a trailer")),
            _ => Err(self.corrupt("it ends inside a header")),
        }
    }

    fn report_blocks(&mut self) -> bool {
        let reports = self.inflate.report_blocks();
        self.blocks = reports.then(Vec::new);
        reports
    }

    fn take_blocks(&mut self, to: &mut Vec<Block>) {
        if let Some(blocks) = &mut self.blocks {
            to.append(blocks);
        }
    }

    fn padding(&self) -> u64 {
        self.padding
    }

    fn note_checkpoints(&mut self, every: u64) -> bool {
        let notes = self.inflate.note_checkpoints(every);
        self.checkpoints = notes.then(|| Noted::new(every));
        notes
    }

    fn take_checkpoints(&mut self, to: &mut Vec<Checkpoint>) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.take(to);
        }
    }
}

impl<I> fmt::Debug for GzipDecoder<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GzipDecoder").field("part", &self.part).finish_non_exhaustive()
    }
}

/// Input goes to the deflater in pieces of this size, and what it gives is gathered: at level 1 its output hangs on how
/// its input is cut and on the room for its output.
const PIECE: usize = 32 << 10;

/// Encodes one gzip member by miniz_oxide.
pub struct GzipEncoder {
    deflate: Box<CompressorOxide>,
    piece: Vec<u8>,
    /// Packed bytes, and how many of them have been given.
    packed: Vec<u8>,
    given: usize,
    crc: crate::crc::Hasher,
    len: u64,
    ended: bool,
}

impl GzipEncoder {
    /// At a level of 0 to 9.
    ///
    /// # Errors
    /// `invalid_option` for other levels.
    pub fn new(level: i32) -> Result<GzipEncoder> {
        let level = Format::Gzip.level(Some(level))?;
        Ok(GzipEncoder {
            // Negative window bits: raw deflate.
            deflate: Box::new(CompressorOxide::new(create_comp_flags_from_zip_params(level, -15, 0))),
            piece: Vec::with_capacity(PIECE),
            packed: gzip_header(level).to_vec(),
            given: 0,
            crc: crate::crc::Hasher::new(),
            len: 0,
            ended: false,
        })
    }

    /// Packs the piece; at the end, all there is, and the trailer.
    fn pack(&mut self, ends: bool) -> Result<()> {
        self.packed.clear();
        self.given = 0;
        let flush = if ends { TDEFLFlush::Finish } else { TDEFLFlush::None };
        let packed = &mut self.packed;
        let (status, taken) = compress_to_output(&mut self.deflate, &self.piece, flush, |bytes| {
            packed.extend_from_slice(bytes);
            true
        });
        let expected = if ends { TDEFLStatus::Done } else { TDEFLStatus::Okay };
        if status != expected || taken != self.piece.len() {
            return Err(ErrorKind::Internal { reason: format!("deflate answers {status:?}") }.into());
        }
        self.crc.update(&self.piece);
        self.len += self.piece.len() as u64;
        self.piece.clear();
        if ends {
            self.packed.extend_from_slice(&gzip_trailer(self.crc.clone().finalize(), self.len));
            self.ended = true;
        }
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut [u8], ends: bool) -> Result<Progress> {
        let (mut read, mut written) = (0, 0);
        loop {
            let ready = self.packed.get(self.given..).unwrap_or_default();
            let room = output.get_mut(written..).unwrap_or_default();
            let n = ready.len().min(room.len());
            if let (Some(to), Some(from)) = (room.get_mut(..n), ready.get(..n)) {
                to.copy_from_slice(from);
            }
            written += n;
            self.given += n;
            if self.given < self.packed.len() {
                return Ok(Progress { read, written, needs: Needs::Output });
            }
            if self.ended {
                return Ok(Progress { read, written, needs: Needs::Nothing });
            }
            let rest = input.get(read..).unwrap_or_default();
            let taken = rest.get(..rest.len().min(PIECE - self.piece.len())).unwrap_or_default();
            self.piece.extend_from_slice(taken);
            read += taken.len();
            if self.piece.len() < PIECE && !ends {
                return Ok(Progress { read, written, needs: Needs::Input });
            }
            self.pack(ends)?;
        }
    }
}

impl Codec for GzipEncoder {
    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress> {
        self.step(input, output, false)
    }

    fn finish(&mut self, output: &mut [u8]) -> Result<Progress> {
        self.step(&[], output, true)
    }
}

impl fmt::Debug for GzipEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GzipEncoder").field("len", &self.len).finish_non_exhaustive()
    }
}
