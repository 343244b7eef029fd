//! The tar parser: whole, in pieces and by headers alone the same, never a panic, nothing beyond the limits; what it
//! accepts can be written, and is then read as the same.
#![no_main]

mod tar_input;

use libfuzzer_sys::fuzz_target;
use tar_input::{limits, read, with_checksums};
use wharfie_core::tar::{Event, Kind, Parser, Piece, path};

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&with_checksums(data));
});

fn check(data: &[u8]) {
    let whole = read(data, usize::MAX);
    for piece in [1, 100, 513] {
        let pieces = read(data, piece);
        assert_eq!(
            (&whole.entries, &whole.counts, &whole.error),
            (&pieces.entries, &pieces.counts, &pieces.error)
        );
    }
    for (entry, stored) in &whole.entries {
        let _ = path::normalize(&entry.path, &limits());
        if let Some(map) = &entry.sparse {
            let (mut expander, mut size, mut left) = (map.expander(), 0, entry.stored);
            while let Some(piece) = expander.next(left.min(7)) {
                match piece {
                    Piece::Hole(len) => size += len,
                    Piece::Data(len) => (size, left) = (size + len, left - len),
                }
            }
            assert_eq!((size, left), (entry.size, 0));
        }
        if whole.error.is_none() {
            assert_eq!(stored.len() as u64, entry.stored);
        }
        let mut header = Vec::new();
        entry.header().write(&mut header).unwrap();
        let mut parser = Parser::new(wharfie_core::Limits::default());
        let step = parser.feed(&header).unwrap();
        assert_eq!(step.consumed, header.len());
        let Event::Entry(again) = step.event else { panic!("no entry") };
        let trim = |path: &[u8]| path.strip_suffix(b"/").unwrap_or(path).to_vec();
        assert_eq!(trim(&again.path), trim(&entry.path));
        assert_eq!((&again.link, again.kind, again.size), (&entry.link, entry.kind, entry.size));
        assert_eq!((&again.metadata, again.header_at), (&entry.metadata, 0));
        assert!(entry.kind == Kind::File || entry.size == 0);
        // What can be copied is read the same alone.
        if entry.verbatim {
            let range = entry.header_at as usize..entry.data_at as usize;
            let mut parser = Parser::new(limits());
            let Ok(step) = parser.feed(&data[range]) else { panic!("not verbatim") };
            let Event::Entry(mut again) = step.event else { panic!("no entry") };
            again.header_at = entry.header_at;
            again.data_at = entry.data_at;
            assert_eq!(&again, entry);
        }
    }
    let mut parser = Parser::new(limits());
    let (mut at, mut entries) = (0, Vec::new());
    while let Ok(step) = parser.feed(data.get(at..).unwrap_or_default()) {
        at += step.consumed;
        match step.event {
            Event::Entry(entry) => {
                at = at.saturating_add(usize::try_from(parser.skip()).unwrap_or(usize::MAX));
                entries.push(entry);
            }
            Event::Data { .. } => panic!("content after a skip"),
            Event::NeedInput => break,
            Event::End => {}
        }
    }
    assert!(entries.iter().eq(whole.entries.iter().map(|(entry, _)| entry)));
}
