//! What a name without a registry means here: aliases and `unqualified-search-registries` of registries.conf.

use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::reference::Reference;
use wharfie_core::registries::Why;
use wharfie_core::{Registries, registries::Candidate};

use super::args::NetworkArgs;
use crate::console::Console;
use crate::credentials::Environment;
use crate::drive::{Driver, When};
use crate::registries::{self, Choice};

/// The settings that these options choose.
pub(super) fn registries(network: &NetworkArgs) -> Result<Registries> {
    let choice = choice(network.registries_conf.as_deref(), network.no_registries_conf);
    registries::read(&choice, &Environment::of_process())
}

/// Which files of settings the options mean.
pub(super) fn choice(file: Option<&std::path::Path>, none: bool) -> Choice {
    match file {
        _ if none => Choice::Nothing,
        Some(file) => Choice::File(file.to_owned()),
        None => Choice::Usual,
    }
}

/// The image that a name means. `plain` is what it means without any settings; `docker://NAME` means no more. Where the
/// settings let several be tried, those who can ask try them: without a driver such a name is refused.
///
/// # Errors
/// `ambiguous_name`; what the last of several came to.
pub(super) fn settle(
    name: &str,
    plain: Reference,
    network: &NetworkArgs,
    ask: Option<(&Driver, When)>,
    console: &Console,
) -> Result<Reference> {
    if name.starts_with("docker://") {
        return Ok(plain);
    }
    let candidates = registries(network)?.resolve(name)?;
    let mut failure: Option<Error> = None;
    // One alone is not asked for beforehand: whatever comes next asks.
    let ask = ask.filter(|_| candidates.len() > 1);
    let can_ask = ask.is_some() || candidates.len() < 2;
    for candidate in several(name, candidates, can_ask)? {
        let Candidate { reference, why } = candidate;
        if let (true, Some((driver, when))) = (matches!(&why, Why::Search(_)), ask) {
            match driver.resolve(&reference, when) {
                Ok(_) => {}
                Err(error) if error.code() == "cancelled" => return Err(error),
                Err(error) => {
                    if let Some(earlier) = failure.replace(error.in_image(reference.to_string())) {
                        console.warn(&earlier.to_string());
                    }
                    continue;
                }
            }
        }
        if reference != plain {
            let (what, file) = match &why {
                Why::Alias(file) => ("an alias in", file.as_str()),
                Why::Search(file) => ("the search list of", file.as_str()),
                _ => ("", ""),
            };
            console.note(&format!("{name} is {reference}, by {what} {file}"));
        }
        return Ok(reference);
    }
    Err(failure.unwrap_or_else(|| {
        ErrorKind::NotFound { what: format!("an image of the name `{name}`"), detail: None }.into()
    }))
}

/// Several are for those who can ask which one there is.
fn several(name: &str, candidates: Vec<Candidate>, can_ask: bool) -> Result<Vec<Candidate>> {
    match candidates.first().map(|first| &first.why) {
        Some(Why::Search(file)) if candidates.len() > 1 && !can_ask => {
            let names: Vec<_> = candidates.iter().map(|one| one.reference.name()).collect();
            let (name, file, candidates) = (name.to_owned(), file.clone(), names.join(", "));
            Err(ErrorKind::AmbiguousName { name, candidates, file }.into())
        }
        _ => Ok(candidates),
    }
}
