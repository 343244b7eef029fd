//! Side indexes: what is read can be written and is then the same, whatever is asked of it; and what was scanned of a tar
//! comes back.
#![no_main]

mod tar_input;

use libfuzzer_sys::fuzz_target;
use tar_input::{limits, with_checksums};
use wharfie_core::Digest;
use wharfie_core::codec::{Checkpoint, Format};
use wharfie_core::merge::{Checkpoints, Lookup, Options, Resolver, Scan, SideIndex};

fuzz_target!(|data: &[u8]| {
    // The sum is put right, since nobody guesses one.
    let mut signed = data.to_vec();
    signed.extend_from_slice(&crc32fast::hash(data).to_le_bytes());
    if let Ok(side) = SideIndex::from_bytes(&signed, &limits()) {
        same(&side);
        for byte in [0, side.tar_bytes() / 2, u64::MAX] {
            if let Ok(Some(checkpoint)) = side.checkpoints.before(byte) {
                assert!(checkpoint.byte() <= byte && checkpoint.blob_at() < side.blob_bytes);
            }
        }
        let options = Options::new(limits());
        let mut resolver = Resolver::new(1, &options).unwrap();
        if resolver.supply(side.index.clone()).is_ok() && let Ok(tree) = resolver.finish() {
            for node in tree.iter() {
                assert!(!node.path().split(|byte| *byte == b'/').any(|part| part == b".."));
            }
        }
        let mut lookup = Lookup::new(1, &options).unwrap();
        if lookup.supply(side.index).is_ok() {
            let _ = lookup.find(b"a/b");
        }
    }

    let tar = with_checksums(data);
    let mut scan = Scan::new(0, &limits()).summing();
    if scan.feed(&tar).is_err() {
        return;
    }
    let Ok(index) = scan.finish() else { return };
    let (blob, diff_id) = (Digest::sha256(data), Digest::sha256(&tar));
    let mut checkpoints = Checkpoints::new();
    let window = tar[..tar.len().min(32 << 10)].to_vec();
    if let Some(checkpoint) = Checkpoint::new(8, tar.len() as u64, window) {
        checkpoints.push(&checkpoint).unwrap();
    }
    let blob_bytes = tar.len() as u64 + 2;
    same(&SideIndex::new((blob, blob_bytes), Format::Gzip, diff_id, index.with_blob(blob), checkpoints));
});

fn same(side: &SideIndex) {
    let bytes = side.to_bytes();
    let again = SideIndex::from_bytes(&bytes, &limits()).expect("what was kept can be read");
    assert!(again == *side);
    assert!(again.to_bytes() == bytes);
}
