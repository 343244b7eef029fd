//! `copy --sync`: all tags of a repository.

use std::sync::Arc;

use wharfie_core::client::ListOptions;
use wharfie_core::copy::subject_of_tag;
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::merge::Pattern;

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
    for tag in tags {
        let one = match from {
            From::Registry(reference) => From::Registry(reference.with_tag(&tag)?),
            From::Local(origin, _) => From::Local(Arc::clone(origin), Some(tag.clone())),
        };
        // A name on this machine may be a whole reference: its tag is what a registry is told.
        let name = match to {
            To::Registry(_) => tag.rsplit_once(':').map_or(tag.as_str(), |(_, tag)| tag),
            _ => tag.as_str(),
        };
        let there = to.named(name)?;
        let done = run.image(&one, &there).and_then(|report| run.tell(&one, &there, &report));
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
