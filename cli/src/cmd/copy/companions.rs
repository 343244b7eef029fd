//! What refers to an image: by its subject (distribution-spec, "Listing Referrers"), and by cosign's tags of before that.

use std::collections::{BTreeSet, VecDeque};

use wharfie_core::client::ReferrersOptions;
use wharfie_core::copy::{companion_tags, subject_of_tag};
use wharfie_core::error::Result;
use wharfie_core::image::{Descriptor, View};
use wharfie_core::{Digest, Reference};

use super::carry::family;
use super::ends::{From, To, read};
use super::rework::{Made, Reworked, rework};
use super::{Report, Run};
use crate::drive::When;
use crate::origin::Origin;

/// Copies what refers to an image that was copied, and what refers to that.
pub(super) fn copy(
    run: &mut Run<'_>,
    from: &From,
    to: &To,
    reworked: &Reworked,
    report: &mut Report,
) -> Result<()> {
    let mut subjects = VecDeque::from(family(reworked.origin(), &reworked.top)?);
    let mut seen: BTreeSet<Digest> = subjects.iter().copied().collect();
    while let Some(subject) = subjects.pop_front() {
        let found = match from {
            From::Registry(reference) => asked(run, reference, &subject)?,
            From::Local(origin, _) => listed(origin.as_ref(), &subject)?,
        };
        for (descriptor, tag) in found {
            // One that a tag names may have come by its digest already: then the tag alone is missing.
            if !seen.insert(descriptor.digest) && tag.is_none() {
                continue;
            }
            let (made, origin) = match from {
                From::Registry(reference) => {
                    let mut top =
                        run.take_digest(&reference.with_digest(descriptor.digest), run.depth(to))?;
                    top.artifact_type = descriptor.artifact_type.clone();
                    (top, run.fetched()?)
                }
                From::Local(origin, _) => (descriptor, origin.clone()),
            };
            let one = rework(origin, Made::from(made), &run.wishes, run.console)?;
            let top = one.top.clone();
            let done = run.deliver(from, to, &one, &top, tag.as_deref(), false)?;
            report.add(&done);
            report.referrers += 1;
            subjects.push_back(top.digest);
        }
    }
    Ok(())
}

type Found = Vec<(Descriptor, Option<String>)>;

/// What a registry knows.
fn asked(run: &Run<'_>, reference: &Reference, subject: &Digest) -> Result<Found> {
    let driver = run.driver()?;
    let found = driver.referrers(reference, *subject, ReferrersOptions::default())?;
    let mut all: Found = found.into_iter().map(|descriptor| (descriptor, None)).collect();
    for tag in companion_tags(subject) {
        match driver.resolve(&reference.with_tag(&tag)?, When::Always) {
            Ok(descriptor) => all.push((descriptor, Some(tag))),
            Err(error) if error.code() == "not_found" => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// What a place on this machine lists: entries with this subject, the index that keeps their list under the subject's tag,
/// and cosign's tags.
fn listed(origin: &dyn Origin, subject: &Digest) -> Result<Found> {
    let mut all = Found::new();
    for entry in origin.entries()? {
        let kind = &entry.media_type;
        if !kind.is_manifest() && !kind.is_index() {
            continue;
        }
        let of_tag = entry.ref_name().filter(|name| subject_of_tag(name).as_ref() == Some(subject));
        let document = read(origin, &entry)?;
        match (&document.view, of_tag) {
            (View::Index(index), Some(name)) if !name.contains('.') => {
                all.extend(index.manifests.iter().map(|entry| (entry.clone(), None)));
            }
            (_, Some(name)) => all.push((entry.clone(), Some(name.to_owned()))),
            (View::Manifest(manifest), None)
                if manifest.subject.as_ref().is_some_and(|about| about.digest == *subject) =>
            {
                let mut entry = entry.clone();
                entry.artifact_type = manifest.artifact_type().map(str::to_owned);
                all.push((entry, None));
            }
            (View::Index(index), None)
                if index.subject.as_ref().is_some_and(|about| about.digest == *subject) =>
            {
                all.push((entry.clone(), None));
            }
            _ => {}
        }
    }
    Ok(all)
}
