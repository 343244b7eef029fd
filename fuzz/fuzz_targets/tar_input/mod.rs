//! What both tar targets do with their input.
#![allow(dead_code)]

use wharfie_core::tar::{Counts, Entry, Event, Parser};
use wharfie_core::{Error, Limits};

pub fn limits() -> Limits {
    Limits {
        path_bytes: 4096,
        pax_bytes: 16 << 10,
        sparse_fragments: 500,
        sparse_bytes: 1 << 20,
        ..Limits::default()
    }
}

/// The input with a right checksum in every block that could be a header: no mutation finds those.
pub fn with_checksums(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    for block in data.chunks_exact_mut(512).filter(|block| block.iter().any(|byte| *byte != 0)) {
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    data
}

pub struct Tar {
    pub entries: Vec<(Entry, Vec<u8>)>,
    pub counts: Counts,
    pub error: Option<Error>,
}

/// Reads in pieces.
pub fn read(data: &[u8], piece: usize) -> Tar {
    let mut parser = Parser::new(limits());
    let mut tar = Tar { entries: Vec::new(), counts: Counts::default(), error: None };
    let mut at = 0;
    'input: for end in
        (0..data.len()).step_by(piece.max(1)).map(|start| data.len().min(start.saturating_add(piece)))
    {
        loop {
            let step = match parser.feed(&data[at..end]) {
                Ok(step) => step,
                Err(error) => {
                    tar.error = Some(error);
                    break 'input;
                }
            };
            at += step.consumed;
            assert_eq!(at as u64, parser.position());
            match step.event {
                Event::Entry(entry) => {
                    assert!(entry.path.len() <= 4096 && entry.link.len() <= 4096);
                    assert!(entry.sparse.as_ref().is_none_or(|map| map.segments().len() <= 500));
                    tar.entries.push((entry, Vec::new()));
                }
                Event::Data { len } => {
                    tar.entries.last_mut().unwrap().1.extend_from_slice(&data[at - len..at])
                }
                Event::NeedInput => {
                    assert_eq!(at, end);
                    break;
                }
                Event::End => {}
            }
        }
    }
    if tar.error.is_none() {
        tar.error = parser.finish().err();
    }
    tar.counts = *parser.counts();
    tar
}
