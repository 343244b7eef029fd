//! An index of fewer platforms.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::error::{Error, ErrorKind, Result};
use crate::image::{Choice, Document, available};
use crate::json_text::{Object, joined, list};
use crate::platform::Platform;

/// What [`prune`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// The bytes of the smaller index; those of the whole one if nothing was taken out.
    pub bytes: Vec<u8>,
    /// The positions, in the whole index, of the entries that it keeps.
    pub kept: Vec<usize>,
}

/// Keeps of an index the images for these platforms, each chosen as [`Index::choose`](crate::image::Index::choose) does,
/// and the attestations about them. Entries stay in their order and as they are written, and so does all that the index
/// says besides.
///
/// # Errors
/// `platform_not_found`; `not_an_image` for what is no index.
pub fn prune(document: &Document, wanted: &[Platform]) -> Result<Pruned> {
    let Some(index) = document.index() else {
        let reason = "platforms are chosen from an index, and this is none".to_string();
        return Err(ErrorKind::NotAnImage { reason }.into());
    };
    let mut kept = BTreeSet::new();
    for platform in wanted {
        match index.choose(platform)? {
            Choice::Declared(position) => kept.insert(position),
            // Which of them it is, only their configs say: an index of several has to say it itself.
            Choice::Undeclared(_) => {
                let available = available(&index.platforms());
                return Err(ErrorKind::PlatformNotFound { wanted: platform.to_string(), available }.into());
            }
        };
    }
    let chosen: BTreeSet<_> = kept
        .iter()
        .filter_map(|position| index.manifests.get(*position))
        .map(|entry| entry.digest.to_string())
        .collect();
    for (position, entry) in index.manifests.iter().enumerate() {
        let is_about = entry.attestation_subject().is_some_and(|subject| chosen.contains(subject));
        if entry.is_attestation() && is_about {
            kept.insert(position);
        }
    }
    if kept.len() == index.manifests.len() {
        return Ok(Pruned { bytes: document.raw.clone(), kept: kept.into_iter().collect() });
    }
    let mut object = Object::parse(&document.raw)?;
    let missing = || Error::from(ErrorKind::Internal { reason: "an index lost its entries".to_string() });
    let entries = list(object.value("manifests").ok_or_else(missing)?)?;
    let entries: Vec<_> =
        kept.iter().map(|at| entries.get(*at).cloned().ok_or_else(missing)).collect::<Result<_>>()?;
    object.set("manifests", joined(&entries));
    Ok(Pruned { bytes: object.write()?.into_bytes(), kept: kept.into_iter().collect() })
}
