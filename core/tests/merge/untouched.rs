//! Layers that are what they would be flattened to: all of them, and no others.

use std::collections::BTreeSet;

use wharfie_core::digest::SoftHashes;
use wharfie_core::merge::{Options, Plan, Resolver, Scan, Untouched};
use wharfie_core::tar::Kind;

use super::stack::{each_entry, flatten};

/// What is said of a layer that comes in pieces of `chunk` bytes; `None` where it is no image by itself.
fn untouched(tar: &[u8], options: &Options, chunk: usize) -> Option<bool> {
    let mut scan = Scan::new(0, &options.limits);
    let mut untouched = Untouched::new(options, &SoftHashes);
    let mut may = true;
    for piece in tar.chunks(chunk) {
        scan.feed(piece).ok()?;
        let still = untouched.read(&scan, piece);
        assert!(may || !still, "a no is final");
        may = still;
    }
    let mut resolver = Resolver::new(1, options).ok()?;
    resolver.supply(scan.finish().ok()?).ok()?;
    let mut plan = Plan::new(resolver.finish().ok()?, options).ok()?;
    let answer = untouched.finish(&mut plan).ok()?;
    assert!(may || !answer);
    assert!(plan.next_op().unwrap().is_some(), "the plan is at its beginning");
    Some(answer)
}

/// Says whether it is untouched, which must be so just if flattening leaves it as it is.
pub(crate) fn check_untouched(tar: &[u8], options: &Options, chunk: usize) -> bool {
    let Some(answer) = untouched(tar, options, chunk) else { return false };
    let same = flatten(&[tar.to_vec()], options, chunk).is_ok_and(|flat| flat == tar);
    assert!(same || !answer, "what would change passes through");
    // A symlink that comes late does not if it has several names: that is not looked at.
    let (mut linked, mut late) = (BTreeSet::new(), BTreeSet::new());
    each_entry(tar, |entry, _| match entry.kind {
        Kind::HardLink => drop(linked.insert(entry.link)),
        Kind::Symlink => drop(late.insert(entry.path)),
        _ => {}
    });
    assert!(answer || !same || !linked.is_disjoint(&late), "what would stay as it is does not pass through");
    answer
}
