#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::vec;
use std::vec::Vec;

use super::*;
use crate::merge::Scan;
use crate::tar::{END_OF_ARCHIVE, Header, Kind, Metadata, Mtime, padding};

/// A tar with this content under these names.
fn tar(entries: &[(&str, Kind, &str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (number, (path, kind, link, data)) in entries.iter().enumerate() {
        let mut metadata = Metadata { mode: 0o644, uid: number as u32 / 2, ..Metadata::default() };
        metadata.mtime = Mtime { seconds: -5 + 7 * number as i64, nanos: number as u32 };
        if number == 1 {
            metadata.xattrs.insert(b"user.a".to_vec(), b"\0\xff".to_vec());
            metadata.xattrs.insert(b"user.b".to_vec(), Vec::new());
        }
        let (path, link) = (path.as_bytes(), link.as_bytes());
        Header { path, link, kind: *kind, metadata: &metadata, size: data.len() as u64 }
            .write(&mut tar)
            .unwrap();
        tar.extend_from_slice(data);
        tar.resize(tar.len() + padding(data.len() as u64), 0);
    }
    tar.extend_from_slice(&END_OF_ARCHIVE);
    tar
}

fn sample() -> SideIndex {
    let tar = tar(&[
        ("usr/", Kind::Directory, "", b""),
        ("usr/lib/one", Kind::File, "", b"one"),
        ("usr/lib/two", Kind::File, "", &[7; 5000]),
        ("usr/lib/link", Kind::Symlink, "../x", b""),
        ("usr/hard", Kind::HardLink, "usr/lib/one", b""),
        ("dev/null", Kind::CharDevice { major: 1, minor: 3 }, "", b""),
        ("dev/zero", Kind::CharDevice { major: 0, minor: 0 }, "", b""),
        ("usr/.wh.gone", Kind::File, "", b"content of a whiteout"),
        ("usr/.wh..wh..opq", Kind::File, "", b""),
        (".wh..wh.plnk/1", Kind::File, "", b""),
    ]);
    let mut scan = Scan::new(0, &Limits::default()).summing();
    tar.chunks(700).for_each(|piece| scan.feed(piece).unwrap());
    let mut checkpoints = Checkpoints { every: 1000, ..Checkpoints::new() };
    checkpoints.push(&Checkpoint::new(801, 1000, tar[..1000].to_vec()).unwrap()).unwrap();
    checkpoints.push(&Checkpoint::new(803, 1999, tar[..1999].to_vec()).unwrap()).unwrap();
    checkpoints.push(&Checkpoint::new(999, 2001, Vec::new()).unwrap()).unwrap();
    let (blob, diff_id) = (Digest::sha256(b"blob"), Digest::of(Algorithm::Sha512, &tar));
    let index = scan.finish().unwrap().with_blob(blob);
    SideIndex::new((blob, 1000), Format::Gzip, diff_id, index, checkpoints)
}

/// With the sum that its bytes have.
fn signed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len().saturating_sub(4));
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn what_is_kept_comes_back() {
    let side = sample();
    let again = SideIndex::from_bytes(&side.to_bytes(), &Limits::default()).unwrap();
    assert_eq!(again, side);
    assert_eq!(again.to_bytes(), side.to_bytes());
    let sums: Vec<u32> =
        [&b""[..], b"one", &[7; 5000], b"", b"", b"", b"", b"content of a whiteout", b"", b""]
            .into_iter()
            .map(crc32fast::hash)
            .collect();
    assert_eq!(again.index.sums(), sums);
    assert_eq!((again.index.sum(2), again.index.sum(10)), (Some(sums[2]), None));
    let (blob, other) = (Digest::sha256(b"blob"), Digest::sha256(b"other"));
    assert!(side.is_of(&blob, 1000, None) && side.is_of(&blob, 0, Some(&side.diff_id)));
    assert!(!side.is_of(&other, 1000, None) && !side.is_of(&blob, 999, None));
    assert!(!side.is_of(&blob, 1000, Some(&other)));
}

#[test]
fn what_has_changed_is_refused() {
    let bytes = sample().to_bytes();
    let limits = Limits::default();
    for at in 0..bytes.len() {
        assert!(SideIndex::from_bytes(&bytes[..at], &limits).is_err(), "cut at {at}");
        for bit in [1, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= bit;
            assert!(SideIndex::from_bytes(&changed, &limits).is_err(), "changed at {at}");
            // With a sum that fits it is what it says, or refused: but never more than it may be.
            if let Ok(side) = SideIndex::from_bytes(&signed(changed), &limits) {
                assert_eq!(SideIndex::from_bytes(&side.to_bytes(), &limits).as_ref(), Ok(&side));
                let _ = side.checkpoints.before(u64::MAX);
            }
        }
    }
    let longer = [&bytes[..], b"\0"].concat();
    assert!(SideIndex::from_bytes(&longer, &limits).is_err());
    let mut longer = bytes.clone();
    longer.insert(bytes.len() - 4, 0);
    assert_eq!(SideIndex::from_bytes(&signed(longer), &limits), Err("something follows its end"));
    let mut other = bytes.clone();
    other[MAGIC.len() - 1] = 2;
    assert_eq!(
        SideIndex::from_bytes(&signed(other), &limits),
        Err("it is of another version, or no side index")
    );
    let narrow = Limits { path_depth: 100, ..limits };
    assert_eq!(SideIndex::from_bytes(&bytes, &narrow), Err("it was made under other limits"));
}

#[test]
fn the_nearest_checkpoint_is_found_with_its_window() {
    let checkpoints = sample().checkpoints;
    assert_eq!(checkpoints.len(), 2, "what comes too early is left out");
    assert_eq!(checkpoints.before(999).unwrap(), None);
    for byte in [1000, 2000] {
        let checkpoint = checkpoints.before(byte).unwrap().unwrap();
        assert_eq!((checkpoint.bit(), checkpoint.byte(), checkpoint.window().len()), (801, 1000, 1000));
    }
    let checkpoint = checkpoints.before(u64::MAX).unwrap().unwrap();
    assert_eq!((checkpoint.bit(), checkpoint.byte(), checkpoint.window().len()), (999, 2001, 0));
}

#[test]
fn there_are_never_more_than_so_many_checkpoints() {
    let mut checkpoints = Checkpoints::new();
    let count = 5 * Checkpoints::MOST as u64 / 2;
    for number in 1..=count {
        let byte = number * Checkpoints::EVERY;
        let window = number.to_le_bytes().repeat(4);
        checkpoints.push(&Checkpoint::new(number * 9, byte, window).unwrap()).unwrap();
        assert!(checkpoints.len() <= Checkpoints::MOST);
    }
    assert!(checkpoints.len() > Checkpoints::MOST / 2);
    let mut byte = u64::MAX;
    let mut met = 0;
    while let Some(checkpoint) = checkpoints.before(byte).unwrap() {
        let number = checkpoint.byte() / Checkpoints::EVERY;
        assert_eq!(
            (checkpoint.bit(), checkpoint.window()),
            (number * 9, &number.to_le_bytes().repeat(4)[..])
        );
        assert_eq!(number % 4, 0);
        (byte, met) = (checkpoint.byte() - 1, met + 1);
    }
    assert_eq!(met, checkpoints.len());
}

#[test]
fn a_window_that_is_none_is_refused() {
    let mut checkpoints = sample().checkpoints;
    checkpoints.windows = vec![0; checkpoints.windows.len()];
    assert_eq!(checkpoints.before(1000).unwrap_err().code(), "corrupt_stream");
    checkpoints.windows.clear();
    pack(&vec![1; WINDOW_BYTES + 1], &mut checkpoints.windows).unwrap();
    checkpoints.places.truncate(1);
    checkpoints.places[0].window_end = checkpoints.windows.len();
    assert_eq!(checkpoints.before(1 << 20).unwrap(), None);
}
