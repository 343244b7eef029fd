//! `tag`, `delete`, `referrers`: what is done at a registry alone.

use serde_json::json;
use wharfie_core::client::{self, Depth, PlatformChoice, PushOptions, ReferrersOptions};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::{Reference, wire};

use super::args::{DeleteArgs, NetworkArgs, ReferrersArgs, TagArgs};
use super::list::registry_reference;
use super::{names, open, output};
use crate::console::Console;
use crate::drive::{PullOptions, When};

/// An image on a registry, by its name and the user's settings.
fn named(name: &str, network: &NetworkArgs, console: &Console) -> Result<Reference> {
    names::settle(name, registry_reference(name)?, network, None, console)
}

/// `tag IMAGE TAG…`
pub(super) fn tag(arguments: &TagArgs, console: &Console) -> Result<()> {
    let image = named(&arguments.image, &arguments.network, console)?.or_latest();
    // All of them are read before the first is set.
    let names: Vec<_> = arguments.tags.iter().map(|tag| image.with_tag(tag)).collect::<Result<_>>()?;
    let (driver, _folder) = open::network_driver(&arguments.network, console)?;
    // It is the registry's own that gets further names, not what a mirror of it has.
    let document =
        client::PullOptions { past_mirrors: true, ..open::options(PlatformChoice::All, Depth::Document) };
    let document = PullOptions { image: document, unlisted: true, ..PullOptions::default() };
    let top = driver.pull(&image, &document)?.image.top;
    let mut tags = arguments.tags.iter().cloned();
    let Some(first) = tags.next() else { return Ok(()) };
    let to = image.with_tag(&first)?;
    let options = PushOptions { tags: tags.collect(), ..PushOptions::default() };
    let pushed = driver.copy(&image.with_digest(top.digest), &to, &top, options)?;
    output::lines(names.iter().map(|name| format!("{name}@{}", pushed.top.digest)))
}

/// `delete IMAGE`. It asks nothing: what it takes away has to be named in full.
pub(super) fn delete(arguments: &DeleteArgs, console: &Console) -> Result<()> {
    let image = named(&arguments.image, &arguments.network, console)?;
    if image.tag().is_none() && image.digest().is_none() {
        let reason = format!(
            "`{}` names no tag and no digest: what is to go is named in full, as {}:TAG or {}@DIGEST",
            arguments.image,
            image.familiar(),
            image.familiar()
        );
        return Err(ErrorKind::InvalidOption { reason }.into());
    }
    let (driver, _folder) = open::network_driver(&arguments.network, console)?;
    driver.delete(&image).map_err(|error| by_digest_only(error, &image))?;
    let what = if image.digest().is_some() { "manifest" } else { "tag" };
    if arguments.json {
        return output::json(&json!({"deleted": image.to_string(), "what": what}));
    }
    console.note(&format!("deleted the {what} {}", image.familiar()));
    output::lines([image.to_string()])
}

/// Many registries take no tags away, only manifests.
fn by_digest_only(error: Error, image: &Reference) -> Error {
    match error.kind() {
        ErrorKind::UnsupportedOperation { host, detail, .. } if image.digest().is_none() => {
            let what = format!(
                "the tag {0} alone: `wharfie digest {0}` says the digest, and deleting NAME@DIGEST takes the manifest with all its tags",
                image.familiar()
            );
            let kind = ErrorKind::UnsupportedOperation { host: host.clone(), what, detail: detail.clone() };
            Error::from(kind).in_image(image.familiar())
        }
        _ => error,
    }
}

/// `referrers IMAGE`
pub(super) fn referrers(arguments: &ReferrersArgs, console: &Console) -> Result<()> {
    let image = named(&arguments.image, &arguments.network, console)?.or_latest();
    let (driver, _folder) = open::network_driver(&arguments.network, console)?;
    let digest = match image.digest() {
        Some(digest) => *digest,
        None => driver.resolve(&image, When::Always)?.digest,
    };
    let options = ReferrersOptions { artifact_type: arguments.artifact_type.clone() };
    let found = driver.referrers(&image, digest, options)?;
    if arguments.json {
        let shown: Vec<_> = found
            .iter()
            .map(|descriptor| {
                let mut shown = wire::descriptor(descriptor);
                if let (Some(kind), Some(object)) = (&descriptor.artifact_type, shown.as_object_mut()) {
                    object.insert("artifactType".to_owned(), json!(kind));
                }
                shown
            })
            .collect();
        let subject = digest.to_string();
        return output::json(&json!({"subject": subject, "referrers": shown}));
    }
    let rows: Vec<_> = found
        .iter()
        .map(|descriptor| {
            let kind = descriptor.artifact_type.clone().unwrap_or_default();
            [descriptor.digest.to_string(), kind, descriptor.size.to_string()]
        })
        .collect();
    if rows.is_empty() {
        console.note(&format!("nothing refers to {digest}"));
        return Ok(());
    }
    output::table(["DIGEST", "ARTIFACT TYPE", "SIZE"], &rows)
}
