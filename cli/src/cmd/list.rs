//! `tags` and `repos`.

use serde_json::json;
use wharfie_core::Source;
use wharfie_core::client::ListOptions;
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::reference::Reference;

use super::args::{ReposArgs, TagsArgs};
use super::{auth, names, open, output};
use crate::console::Console;

/// `tags REPOSITORY`
pub(super) fn tags(arguments: &TagsArgs, console: &Console) -> Result<()> {
    let reference = registry_reference(&arguments.repository)?;
    let reference = names::settle(&arguments.repository, reference, &arguments.network, None, console)?;
    let (driver, _folder) = open::network_driver(&arguments.network, console)?;
    let options = ListOptions { most: arguments.most, ..ListOptions::default() };
    let mut names = Vec::new();
    driver
        .tags(&reference, options, &mut |page| show(page, arguments.json, &mut names))
        .map_err(|error| error.in_image(reference.name()))?;
    if arguments.json {
        output::json(&json!({"repository": reference.name(), "tags": names}))?;
    }
    Ok(())
}

/// `repos REGISTRY`
pub(super) fn repositories(arguments: &ReposArgs, console: &Console) -> Result<()> {
    let (registry, None) = auth::account(&arguments.registry)? else {
        let reason = format!(
            "`{}` is more than a registry: `wharfie tags` lists a repository's tags",
            arguments.registry
        );
        return Err(ErrorKind::InvalidOption { reason }.into());
    };
    let (driver, _folder) = open::network_driver(&arguments.network, console)?;
    let options = ListOptions { most: arguments.most, ..ListOptions::default() };
    let mut names = Vec::new();
    driver.repositories(&registry, options, &mut |page| show(page, arguments.json, &mut names))?;
    if arguments.json {
        output::json(&json!({"registry": registry, "repositories": names}))?;
    }
    Ok(())
}

/// Lines go out page by page, so that `| head` need not wait for the rest; JSON is one value.
fn show(page: &[String], json: bool, names: &mut Vec<String>) -> Result<()> {
    if json {
        names.extend_from_slice(page);
        return Ok(());
    }
    output::lines(page)
}

/// A name that must be a registry's.
pub(super) fn registry_reference(name: &str) -> Result<Reference> {
    if name.starts_with(open::SAMPLE) {
        let reason = "the sample is built into the program: this command asks registries".to_owned();
        return Err(ErrorKind::InvalidOption { reason }.into());
    }
    match Source::parse(name)? {
        Source::Registry(reference) => Ok(reference),
        _ => {
            let reason = format!("`{name}` is a place on this machine: this command asks registries");
            Err(ErrorKind::InvalidOption { reason }.into())
        }
    }
}
