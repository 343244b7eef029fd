//! zstd (RFC 8878), decoding only.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::io::Read as _;

use super::{Checkpoint, Codec, Format, Needs, Noted, Progress};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;

const MAGIC: u32 = 0xfd2f_b528;
/// The low four bits are free.
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;
/// No block is larger, packed or not (RFC 8878, 3.1.1.2.3).
const MAX_BLOCK: usize = 128 << 10;

/// What the decoder gathers or does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Magic, then the descriptor byte, then the rest of the header: as many bytes as known to be needed so far.
    Header { needed: usize },
    /// What is left of a skippable frame.
    Skip { left: u32 },
    /// A block's header.
    BlockHeader,
    /// A block with its header; after the last one the checksum as well.
    Block { needed: usize, last: bool },
    /// All blocks are in, what they gave goes out.
    Drain,
}

/// Decodes zstd by ruzstd: any number of frames, skippable frames, checksums and stated sizes checked.
///
/// A window larger than [`Limits::zstd_window_bytes`] is refused. Holds the window, one block packed and one unpacked.
pub struct ZstdDecoder {
    frame: Box<FrameDecoder>,
    part: Part,
    /// The packed bytes of the part at hand.
    gathered: Vec<u8>,
    /// Bytes that the current frame states, and has given.
    content_size: Option<u64>,
    content: u64,
    has_checksum: bool,
    /// Frames begun, skippable ones too.
    frames: u64,
    max_window: u64,
    position: u64,
    /// Bytes given.
    written: u64,
    checkpoints: Option<Noted>,
}

impl ZstdDecoder {
    /// At the beginning of a zstd file.
    pub fn new(limits: &Limits) -> ZstdDecoder {
        let mut frame = FrameDecoder::new();
        // Judged here, so that the error names the limit.
        frame.set_max_window_size(u64::MAX);
        ZstdDecoder {
            frame: Box::new(frame),
            part: Part::Header { needed: 4 },
            gathered: Vec::new(),
            content_size: None,
            content: 0,
            has_checksum: false,
            frames: 0,
            max_window: limits.zstd_window_bytes,
            position: 0,
            written: 0,
            checkpoints: None,
        }
    }

    fn corrupt(&self, reason: impl fmt::Display) -> Error {
        let reason = format!("{reason}, at compressed byte {}", self.position);
        ErrorKind::CorruptStream { format: Format::Zstd.name(), reason }.into()
    }

    /// Moves bytes of `input` into `gathered` until it holds `needed`; answers whether it does, and how many it took.
    fn gather(&mut self, input: &[u8], needed: usize) -> (bool, usize) {
        let n = needed.saturating_sub(self.gathered.len()).min(input.len());
        self.gathered.extend_from_slice(input.get(..n).unwrap_or_default());
        self.position += n as u64;
        (self.gathered.len() >= needed, n)
    }

    /// The header as far as it is there: asks for more, or begins the frame.
    fn header(&mut self) -> Result<Part> {
        let Some((magic, rest)) = self.gathered.split_first_chunk::<4>() else {
            return Ok(Part::Header { needed: 4 });
        };
        let magic = u32::from_le_bytes(*magic);
        if magic & !0xf == SKIPPABLE_MAGIC {
            let Some(len) = rest.first_chunk::<4>() else {
                return Ok(Part::Header { needed: 8 });
            };
            let left = u32::from_le_bytes(*len);
            self.gathered.clear();
            self.frames += 1;
            return Ok(if left == 0 { Part::Header { needed: 4 } } else { Part::Skip { left } });
        }
        if magic != MAGIC {
            return Err(self.corrupt("not a zstd frame"));
        }
        let Some((&descriptor, rest)) = rest.split_first() else {
            return Ok(Part::Header { needed: 5 });
        };
        if descriptor & 0x08 != 0 {
            return Err(self.corrupt("a reserved bit of the frame header is set"));
        }
        let single_segment = descriptor & 0x20 != 0;
        let window_len = usize::from(!single_segment);
        let dictionary_len = match descriptor & 3 {
            3 => 4,
            n => usize::from(n),
        };
        let size_len = match descriptor >> 6 {
            0 => usize::from(single_segment),
            n => 1 << n,
        };
        let needed = 5 + window_len + dictionary_len + size_len;
        if self.gathered.len() < needed {
            return Ok(Part::Header { needed });
        }
        let (window, rest) = rest.split_at_checked(window_len).unwrap_or_default();
        let (dictionary, rest) = rest.split_at_checked(dictionary_len).unwrap_or_default();
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        let size = number(rest) + if size_len == 2 { 256 } else { 0 };
        if number(dictionary) != 0 {
            return Err(self.corrupt(format!("it needs the dictionary {}", number(dictionary))));
        }
        self.has_checksum = descriptor & 4 != 0;
        self.content_size = (size_len > 0).then_some(size);
        self.content = 0;
        let window_size = match window.first() {
            None => size,
            Some(byte) => {
                let base = 1_u64 << (10 + (byte >> 3));
                base + base / 8 * u64::from(byte & 7)
            }
        };
        if window_size > self.max_window {
            let value = self.max_window;
            return Err(ErrorKind::LimitExceeded { limit: "zstd_window_bytes", value }.into());
        }
        if let Err(error) = self.frame.reset(self.gathered.as_slice()) {
            return Err(self.corrupt(error));
        }
        self.gathered.clear();
        self.frames += 1;
        Ok(Part::BlockHeader)
    }

    fn block_header(&mut self) -> Result<Part> {
        let Some(&[a, b, c]) = self.gathered.first_chunk::<3>() else {
            return Ok(Part::BlockHeader);
        };
        let header = u32::from_le_bytes([a, b, c, 0]);
        let last = header & 1 != 0;
        let size = (header >> 3) as usize;
        let packed = match header >> 1 & 3 {
            0 | 2 => size,
            1 => 1,
            _ => return Err(self.corrupt("a reserved block type")),
        };
        if size > MAX_BLOCK {
            return Err(self.corrupt("a block is too large"));
        }
        let checksum = if last && self.has_checksum { 4 } else { 0 };
        Ok(Part::Block { needed: 3 + packed + checksum, last })
    }

    /// Gives what is ready; answers how much.
    fn give(&mut self, output: &mut [u8]) -> Result<usize> {
        if output.is_empty() || self.frame.can_collect() == 0 {
            return Ok(0);
        }
        let n = match self.frame.read(output) {
            Ok(n) => n,
            Err(error) => return Err(self.corrupt(error)),
        };
        self.content += n as u64;
        self.written += n as u64;
        if self.content_size.is_some_and(|size| self.content > size) {
            return Err(self.corrupt("the frame holds more than it states"));
        }
        Ok(n)
    }

    /// At the end of a frame, everything given.
    fn check_frame(&self) -> Result<()> {
        if self.content_size.is_some_and(|size| self.content != size) {
            return Err(self.corrupt("the frame holds less than it states"));
        }
        if self.has_checksum && self.frame.get_checksum_from_data() != self.frame.get_calculated_checksum() {
            return Err(self.corrupt("the frame's checksum does not match"));
        }
        Ok(())
    }
}

impl Codec for ZstdDecoder {
    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress> {
        let (mut read, mut written) = (0, 0);
        loop {
            let room = output.get_mut(written..).unwrap_or_default();
            written += self.give(room)?;
            if self.frame.can_collect() > 0 {
                return Ok(Progress { read, written, needs: Needs::Output });
            }
            let rest = input.get(read..).unwrap_or_default();
            let needed = match self.part {
                Part::Drain => {
                    self.check_frame()?;
                    self.part = Part::Header { needed: 4 };
                    continue;
                }
                Part::Skip { left } => {
                    let n = u32::try_from(rest.len()).unwrap_or(u32::MAX).min(left);
                    read += n as usize;
                    self.position += u64::from(n);
                    if n < left {
                        self.part = Part::Skip { left: left - n };
                        return Ok(Progress { read, written, needs: Needs::Input });
                    }
                    self.part = Part::Header { needed: 4 };
                    continue;
                }
                Part::Header { needed } | Part::Block { needed, .. } => needed,
                Part::BlockHeader => 3,
            };
            if self.part == (Part::Header { needed: 4 })
                && self.gathered.is_empty()
                && !rest.is_empty()
                && let Some(checkpoints) = &mut self.checkpoints
            {
                checkpoints.frame(self.position, self.written);
            }
            let (complete, taken) = self.gather(rest, needed);
            read += taken;
            if !complete {
                return Ok(Progress { read, written, needs: Needs::Input });
            }
            self.part = match self.part {
                Part::Header { .. } => self.header()?,
                Part::BlockHeader => self.block_header()?,
                Part::Block { last, .. } => {
                    let block = self.gathered.as_slice();
                    if let Err(error) = self.frame.decode_blocks(block, BlockDecodingStrategy::UptoBlocks(1))
                    {
                        return Err(self.corrupt(error));
                    }
                    self.gathered.clear();
                    if last { Part::Drain } else { Part::BlockHeader }
                }
                part @ (Part::Skip { .. } | Part::Drain) => part,
            };
        }
    }

    fn finish(&mut self, output: &mut [u8]) -> Result<Progress> {
        let step = self.process(&[], output)?;
        if step.needs == Needs::Output {
            return Ok(step);
        }
        match self.part {
            Part::Header { .. } if self.gathered.is_empty() && self.frames > 0 => {
                Ok(Progress { needs: Needs::Nothing, ..step })
            }
            Part::Header { .. } => Err(self.corrupt("it ends inside a frame header")),
            Part::Skip { .. } => Err(self.corrupt("it ends inside a skippable frame")),
            Part::BlockHeader | Part::Block { .. } | Part::Drain => {
                Err(self.corrupt("it ends inside a frame"))
            }
        }
    }

    fn note_checkpoints(&mut self, every: u64) -> bool {
        self.checkpoints = Some(Noted::new(every));
        true
    }

    fn take_checkpoints(&mut self, to: &mut Vec<Checkpoint>) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.take(to);
        }
    }
}

impl fmt::Debug for ZstdDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZstdDecoder").field("part", &self.part).finish_non_exhaustive()
    }
}
