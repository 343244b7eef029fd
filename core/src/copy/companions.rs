//! Tags that say something about another manifest of their repository: cosign's of before there were referrers
//! (cosign, "Signature Spec": `sha256-<hex>.sig`).

use alloc::format;
use alloc::string::String;

use crate::digest::Digest;

const ENDS: [&str; 3] = ["sig", "att", "sbom"];

/// The tags under which cosign keeps the signatures, attestations and SBOMs of a digest.
pub fn companion_tags(digest: &Digest) -> [String; 3] {
    ENDS.map(|end| format!("{}-{}.{end}", digest.algorithm().name(), digest.hex()))
}

/// The digest that a tag of this kind, or one of the distribution-spec's "Referrers Tag Schema", is about.
pub fn subject_of_tag(tag: &str) -> Option<Digest> {
    let (algorithm, rest) = tag.split_once('-')?;
    let hex = match rest.split_once('.') {
        Some((hex, end)) if ENDS.contains(&end) => hex,
        Some(_) => return None,
        None => rest,
    };
    format!("{algorithm}:{hex}").parse().ok()
}
