//! Tars made byte by byte, and read in every way that a driver could.

use alloc::vec;
use alloc::vec::Vec;
use std::string::{String, ToString};

use crate::error::Result;
use crate::limits::Limits;
use crate::tar::{BLOCK, Counts, END_OF_ARCHIVE, Entry, Event, Note, Parser, Piece, padding};

/// An entry with its content, holes filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) entry: Entry,
    pub(super) content: Vec<u8>,
}

pub(super) type Outcome = Result<(Vec<Read>, Counts)>;

/// Reads with the input cut into pieces of `chunk()` bytes.
pub(super) fn read_chunked(tar: &[u8], limits: &Limits, mut chunk: impl FnMut() -> usize) -> Outcome {
    let mut parser = Parser::new(limits.clone());
    let mut entries: Vec<(Entry, Vec<u8>)> = Vec::new();
    let mut at = 0;
    while at < tar.len() {
        let end = tar.len().min(at + chunk());
        loop {
            let step = parser.feed(&tar[at..end])?;
            at += step.consumed;
            assert_eq!(parser.position(), at as u64);
            match step.event {
                Event::Entry(entry) => entries.push((entry, Vec::new())),
                Event::Data { len } => {
                    assert!(len > 0);
                    entries.last_mut().unwrap().1.extend_from_slice(&tar[at - len..at]);
                }
                Event::NeedInput => {
                    assert_eq!(at, end, "input left over");
                    break;
                }
                Event::End => assert!(parser.is_ended()),
            }
        }
    }
    parser.finish()?;
    let reads = entries.into_iter().map(|(entry, stored)| {
        assert_eq!(stored.len() as u64, entry.stored);
        let at = usize::try_from(entry.data_at).unwrap();
        assert_eq!(&tar[at..at + stored.len()], stored);
        let content = expand(&entry, &stored);
        Read { entry, content }
    });
    Ok((reads.collect(), *parser.counts()))
}

fn expand(entry: &Entry, stored: &[u8]) -> Vec<u8> {
    let Some(map) = &entry.sparse else { return stored.to_vec() };
    // As it would arrive in two pieces.
    let (mut content, mut expander) = (Vec::new(), map.expander());
    for mut piece in [&stored[..stored.len() / 3], &stored[stored.len() / 3..]] {
        while let Some(next) = expander.next(piece.len() as u64) {
            match next {
                Piece::Hole(len) => content.resize(content.len() + usize::try_from(len).unwrap(), 0),
                Piece::Data(len) => {
                    let (now, later) = piece.split_at(usize::try_from(len).unwrap());
                    content.extend_from_slice(now);
                    piece = later;
                }
            }
        }
        assert!(piece.is_empty());
    }
    assert_eq!((content.len() as u64, expander.remaining()), (entry.size, 0));
    content
}

/// Headers only, jumping over content.
fn read_headers(tar: &[u8], limits: &Limits) -> Result<Vec<Entry>> {
    let mut parser = Parser::new(limits.clone());
    let (mut entries, mut at) = (Vec::new(), 0usize);
    loop {
        let step = parser.feed(&tar[at.min(tar.len())..])?;
        at += step.consumed;
        match step.event {
            Event::Entry(entry) => {
                let end = entry.end_at();
                at += usize::try_from(parser.skip()).unwrap();
                assert_eq!((at as u64, parser.position()), (end, end));
                entries.push(entry);
            }
            Event::Data { .. } => panic!("content after a skip"),
            Event::End => {}
            Event::NeedInput => break,
        }
    }
    Ok(entries)
}

/// A small generator of numbers, the same in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Reads whole, byte by byte, in pieces of many sizes, by headers alone and with something behind the end; all must
/// agree.
pub(super) fn read_with(tar: &[u8], limits: &Limits) -> Outcome {
    let whole = read_chunked(tar, limits, || usize::MAX >> 1);
    assert_eq!(read_chunked(tar, limits, || 1), whole, "byte by byte");
    for seed in 0..8 {
        let mut dice = Dice(seed);
        let largest = [3, 511, 512, 513, 700, 1024, 1500, 10_000][usize::try_from(seed).unwrap()];
        let chunked = read_chunked(tar, limits, || 1 + usize::try_from(dice.roll(largest)).unwrap());
        assert_eq!(chunked, whole, "in pieces of up to {largest}");
    }
    if let Ok((reads, counts)) = &whole {
        let entries: Vec<_> = reads.iter().map(|read| read.entry.clone()).collect();
        assert_eq!(read_headers(tar, limits).unwrap(), entries, "headers only");
        if counts.of(Note::NoEndMarker) + counts.of(Note::ShortEndMarker) + counts.of(Note::TrailingData) == 0
            && !tar.is_empty()
        {
            let zeros = [tar, &[0; 700]].concat();
            assert_eq!(read_chunked(&zeros, limits, || 100), whole, "zeros behind the end");
            let garbage = [tar, b"garbage", &[0xff; 600]].concat();
            let (after, after_counts) = read_chunked(&garbage, limits, || 100).unwrap();
            assert_eq!((&after, after_counts.of(Note::TrailingData)), (reads, 1), "garbage behind the end");
        }
    }
    whole
}

pub(super) fn read(tar: &[u8]) -> Outcome {
    read_with(tar, &Limits::default())
}

/// The reads of a good tar.
pub(super) fn good(tar: &[u8]) -> Vec<Read> {
    read(tar).unwrap().0
}

/// The message of a bad one, without the place.
pub(super) fn bad(tar: &[u8]) -> String {
    match read(tar) {
        Ok((reads, _)) => panic!("accepted: {reads:?}"),
        Err(error) => error.kind().to_string(),
    }
}

/// A header block in the making, ustar unless told otherwise.
#[derive(Clone)]
pub(super) struct Raw(pub(super) [u8; BLOCK]);

impl Raw {
    pub(super) fn new(typeflag: u8, name: &str, size: u64) -> Self {
        let mut raw = Raw([0; BLOCK])
            .put(0, name.as_bytes())
            .put(100, b"0000644\0")
            .put(108, b"0001750\0")
            .put(116, b"0000062\0")
            .put(124, std::format!("{size:011o}\0").as_bytes())
            .put(136, b"00000000144\0")
            .put(257, b"ustar\x0000");
        raw.0[156] = typeflag;
        raw
    }

    pub(super) fn gnu(self) -> Self {
        self.put(257, b"ustar  \0")
    }

    pub(super) fn v7(self) -> Self {
        self.put(257, &[0; 8])
    }

    pub(super) fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// With its checksum.
    pub(super) fn block(mut self) -> Vec<u8> {
        self.0[148..156].copy_from_slice(b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, std::format!("{sum:06o}\0 ").as_bytes()).0.to_vec()
    }

    /// With its checksum and content.
    pub(super) fn with(self, content: &[u8]) -> Vec<u8> {
        [self.block(), padded(content)].concat()
    }
}

pub(super) fn padded(content: &[u8]) -> Vec<u8> {
    [content, &vec![0; padding(content.len() as u64)]].concat()
}

pub(super) fn record(key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let rest = key.len() + value.len() + 3;
    let len = (rest..).find(|len| rest + len.to_string().len() == *len).unwrap();
    [len.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat()
}

/// An extended header of type `x` or `g`.
pub(super) fn pax(typeflag: u8, records: &[(&str, &[u8])]) -> Vec<u8> {
    let content: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
    Raw::new(typeflag, "PaxHeaders/x", content.len() as u64).with(&content)
}

/// A GNU long name (`L`) or link (`K`).
pub(super) fn long(typeflag: u8, text: &str) -> Vec<u8> {
    let content = [text.as_bytes(), &[0]].concat();
    Raw::new(typeflag, "././@LongLink", content.len() as u64).gnu().with(&content)
}

/// A file of ustar.
pub(super) fn file(name: &str, content: &[u8]) -> Vec<u8> {
    Raw::new(b'0', name, content.len() as u64).with(content)
}

/// Blocks and the end marker.
pub(super) fn tar(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), END_OF_ARCHIVE.to_vec()].concat()
}
