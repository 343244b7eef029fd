//! What the tar parser accepts, the `tar` crate reads as the same, except where the list below says why not.
#![no_main]

mod tar_input;

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use tar_input::{read, with_checksums};
use wharfie_core::tar::{Entry, Kind, Note, Piece};

fuzz_target!(|data: &[u8]| compare(&with_checksums(data)));

/// Where a whole archive is not compared.
///
/// - What we refuse, the crate may read: most of it, we refuse because readers differ.
/// - The crate reads content behind links, directories and devices whose header states a size; Go, Python and we none.
/// - The crate counts signed checksums as wrong.
fn is_out(ours: &tar_input::Tar) -> bool {
    ours.error.is_some() || ours.counts.of(Note::StraySize) > 0 || ours.counts.of(Note::SignedChecksum) > 0
}

/// Errors of the crate about what we accept.
///
/// - Blank numbers, and digits behind a leading NUL, are 0 and a number to us as they are to Go.
/// - It cuts PAX records at line ends.
/// - It checks sizes of old GNU sparse files more strictly: blocks of 512 but for the last.
fn may_fail(error: &std::io::Error) -> bool {
    let error = format!("{error} {:?}", std::error::Error::source(error).map(ToString::to_string));
    ["numeric field", "malformed pax extension", "sparse"].iter().any(|known| error.contains(known))
}

/// Records of PAX headers of the entry, or `None` where a value holds a line end, at which the crate would cut it.
fn records<'a>(data: &'a [u8], entry: &Entry) -> Option<Vec<(&'a [u8], &'a [u8])>> {
    let mut records = Vec::new();
    let mut at = entry.header_at as usize;
    while at + 512 < entry.data_at as usize {
        let block = &data[at..at + 512];
        let digits: String = block[124..136].iter().map(|byte| char::from(*byte)).collect();
        let size = usize::from_str_radix(digits.trim_matches(['\0', ' ']), 8).ok()?;
        let content = &data[at + 512..][..size];
        if block[156] == b'x' {
            let mut rest = content;
            while !rest.is_empty() {
                let space = rest.iter().position(|byte| *byte == b' ')?;
                let len: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
                let record = &rest[space + 1..len - 1];
                let equals = record.iter().position(|byte| *byte == b'=')?;
                if record.contains(&b'\n') {
                    return None;
                }
                records.push((&record[..equals], &record[equals + 1..]));
                rest = &rest[len..];
            }
        }
        at += 512 + size.next_multiple_of(512);
    }
    Some(records)
}

fn expand(entry: &Entry, stored: &[u8]) -> Vec<u8> {
    let Some(map) = &entry.sparse else { return stored.to_vec() };
    let (mut content, mut expander, mut stored) = (Vec::new(), map.expander(), stored);
    while let Some(piece) = expander.next(stored.len() as u64) {
        match piece {
            Piece::Hole(len) => content.resize(content.len() + len as usize, 0),
            Piece::Data(len) => {
                content.extend_from_slice(&stored[..len as usize]);
                stored = &stored[len as usize..];
            }
        }
    }
    content
}

fn compare(data: &[u8]) {
    let ours = read(data, usize::MAX);
    if is_out(&ours) {
        return;
    }
    let mut archive = tar::Archive::new(data);
    let mut expected = ours.entries.iter();
    for theirs in archive.entries().unwrap() {
        let mut theirs = match theirs {
            Ok(theirs) => theirs,
            Err(error) => {
                // Behind the last entry it misses the padding that we fill (L22).
                let filled = ours.counts.of(Note::CutPadding) > 0 && expected.len() == 0;
                let cut = filled && error.to_string().contains("unexpected EOF during skip");
                assert!(cut || may_fail(&error), "{error:?}: {:?}", std::error::Error::source(&error));
                return;
            }
        };
        let header = theirs.header().clone();
        // The crate hands out global headers and volume labels as entries; we fold them in or skip them.
        if matches!(header.entry_type().as_byte(), b'g' | b'V') {
            continue;
        }
        let (entry, stored) = expected.next().expect("an entry that we did not see");
        let mut content = Vec::new();
        if let Err(error) = theirs.read_to_end(&mut content) {
            assert!(may_fail(&error), "{error:?}");
            return;
        }
        let Some(records) = records(data, entry) else { return };
        let stated = |key: &[u8]| records.iter().any(|(known, value)| *known == key && !value.is_empty());
        // It knows no sparse files of PAX's: name, size and map are in records.
        if records.iter().any(|(key, _)| key.starts_with(b"GNU.sparse.")) {
            continue;
        }
        assert_eq!((theirs.raw_file_position(), &content), (entry.data_at, &expand(entry, stored)));
        let kind = match header.entry_type().as_byte() {
            // A slash at the end makes a directory of a file for GNU tar, Python and us.
            0 | b'0' | b'7' if entry.notes.contains(Note::DirectoryByName) => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            _ => entry.kind,
        };
        assert_eq!(kind, entry.kind);
        // GNU's long names beat PAX for it and for Go; an empty record means to it that the name is empty.
        let long = |flag| {
            data[entry.header_at as usize..entry.data_at as usize]
                .chunks(512)
                .any(|block| block.get(156) == Some(&flag))
        };
        let named = |key: &[u8]| records.iter().any(|(known, _)| *known == key);
        if !named(b"path") || (stated(b"path") && !long(b'L')) {
            assert_eq!(&theirs.path_bytes()[..], &entry.path[..]);
        }
        let is_link = matches!(entry.kind, Kind::Symlink | Kind::HardLink);
        if is_link && (!named(b"linkpath") || (stated(b"linkpath") && !long(b'K'))) {
            assert_eq!(&theirs.link_name_bytes().unwrap()[..], &entry.link[..]);
        }
        // It does not fold global headers in.
        if entry.notes.contains(Note::GlobalRecords) {
            continue;
        }
        let number = |field: std::io::Result<u64>, ours: u64| match field {
            Ok(theirs) => assert_eq!(theirs, ours),
            Err(error) => assert!(may_fail(&error), "{error:?}"),
        };
        number(header.uid(), entry.metadata.uid.into());
        number(header.gid(), entry.metadata.gid.into());
        number(header.mode().map(|mode| u64::from(mode & 0o7777)), entry.metadata.mode.into());
        if !named(b"mtime") {
            number(header.mtime(), entry.metadata.mtime.seconds.cast_unsigned());
        }
    }
    assert!(expected.next().is_none(), "an entry that the crate did not see");
}
