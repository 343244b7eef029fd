//! `copy --sync`: all tags of a repository.

use std::collections::BTreeMap;
use std::sync::Arc;

use wharfie_core::Reference;
use wharfie_core::client::ListOptions;
use wharfie_core::copy::subject_of_tag;
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::merge::Pattern;
use wharfie_core::source::Transport;

use super::Run;
use super::ends::{From, To};

/// Reads `--tags`.
pub(super) fn patterns(texts: &[String]) -> Result<Vec<Pattern>> {
    texts.iter().map(Pattern::new).collect()
}

/// Copies every tag that fits. What cannot be copied does not stop the others; the last failure is the command's.
pub(super) fn run(run: &mut Run<'_>, from: &From, to: &To, patterns: &[Pattern]) -> Result<()> {
    let fits =
        |tag: &str| patterns.is_empty() || patterns.iter().any(|one| one.matches(tag.as_bytes(), false));
    let mut tags = Vec::new();
    match from {
        From::Registry(reference) => {
            run.driver()?.tags(reference, ListOptions::default(), &mut |page| {
                tags.extend(page.iter().cloned());
                Ok(())
            })?;
        }
        From::Local(origin, _) => {
            tags.extend(origin.entries()?.iter().filter_map(|entry| entry.ref_name().map(str::to_owned)));
        }
    }
    // What is about another image goes along with it, where that is wished.
    tags.retain(|tag| fits(tag) && subject_of_tag(tag).is_none());
    if tags.is_empty() {
        let what = format!("a tag of {from} that fits");
        return Err(ErrorKind::NotFound { what, detail: None }.into());
    }
    let mut failure = None;
    for (tag, name) in names(from, to, tags)? {
        let one = match from {
            From::Registry(reference) => From::Registry(reference.with_tag(&tag)?),
            From::Local(origin, _) => From::Local(Arc::clone(origin), Some(tag.clone())),
        };
        let done = to.named(&name).and_then(|there| {
            let report = run.image(&one, &there)?;
            run.tell(&one, &there, &report)
        });
        match done {
            Ok(()) => {}
            Err(error) if matches!(error.code(), "cancelled" | "no_space") => return Err(error),
            // A place that is written whole is not written with something missing.
            Err(error) if matches!(to, To::Place(_)) => return Err(error),
            Err(error) => {
                if let Some(earlier) = failure.replace(error) {
                    run.console.fail(&earlier);
                }
            }
        }
    }
    run.finish(to)?;
    failure.map_or(Ok(()), Err)
}

/// What each image is called there. Two that would come to one name are refused before the first is copied.
fn names(from: &From, to: &To, tags: Vec<String>) -> Result<Vec<(String, String)>> {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let mut names = Vec::with_capacity(tags.len());
    for tag in tags {
        let name = match (from, to) {
            // A name on this machine may be a whole reference: its tag is what a registry is told.
            (From::Local(..), To::Registry(_)) => match tag.parse::<Reference>() {
                Ok(reference) if tag.contains([':', '/']) => {
                    reference.or_latest().tag().unwrap_or_default().to_owned()
                }
                _ => tag.clone(),
            },
            // Docker's archives have references.
            (From::Registry(reference), To::Place(local)) if local.transport == Transport::DockerArchive => {
                reference.with_tag(&tag)?.to_string()
            }
            _ => tag.clone(),
        };
        let same = |other: &String| match from {
            From::Local(origin, _) => {
                let digest = |name: &str| origin.find(Some(name)).ok().map(|top| top.digest);
                digest(other).is_some() && digest(other) == digest(&tag)
            }
            From::Registry(_) => false,
        };
        if let Some(first) = taken.insert(name.clone(), tag.clone()).filter(|first| !same(first)) {
            return Err(ErrorKind::NameConflict { name, first, second: tag }.into());
        }
        names.push((tag, name));
    }
    Ok(names)
}
