//! `store ls`, `du`, `prune`

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;
use wharfie_core::error::{Error, ErrorKind, Result};

use super::args::{StoreLsArgs, StorePruneArgs};
use super::{open, output, watch};
use crate::console::{Bytes, Console};
use crate::store::{Prune, Store};

/// A store that is there already: looking at one makes none.
fn at(dir: Option<&Path>) -> Result<Store> {
    let dir = match dir {
        Some(dir) => dir.to_owned(),
        None => Store::default_dir()?,
    };
    if !dir.is_dir() {
        let what = "a local store: nothing has been pulled yet".to_owned();
        return Err(Error::from(ErrorKind::NotFound { what, detail: None }).at_path(open::shown(&dir)));
    }
    Store::open(dir)
}

/// `store ls`
pub(super) fn ls(arguments: &StoreLsArgs) -> Result<()> {
    let census = at(arguments.at.store.as_deref())?.census()?;
    if arguments.json {
        let images: Vec<_> = census
            .images
            .iter()
            .map(|image| {
                json!({
                    "name": image.name,
                    "digest": image.descriptor.digest.to_string(),
                    "mediaType": image.descriptor.media_type.as_str(),
                    "platforms": image.platforms,
                    "bytes": image.bytes,
                    "ownBytes": image.own_bytes,
                    "incomplete": image.incomplete,
                    "used": image.used.and_then(seconds),
                })
            })
            .collect();
        return output::json(&json!(images));
    }
    if census.images.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = census
        .images
        .iter()
        .map(|image| {
            let platforms =
                if image.incomplete { "incomplete".to_owned() } else { image.platforms.join(", ") };
            [
                image.name.clone().unwrap_or_else(|| "-".to_owned()),
                watch::short(&image.descriptor.digest),
                Bytes(image.bytes).to_string(),
                image.used.map(ago).unwrap_or_default(),
                platforms,
            ]
        })
        .collect();
    output::table(["NAME", "DIGEST", "SIZE", "USED", "PLATFORMS"], &rows)
}

/// `store du`
pub(super) fn du(arguments: &StoreLsArgs) -> Result<()> {
    let store = at(arguments.at.store.as_deref())?;
    let census = store.census()?;
    if arguments.json {
        return output::json(&json!({
            "store": open::shown(store.root()),
            "images": census.images.len(),
            "blobs": census.blobs,
            "blobBytes": census.blob_bytes,
            "unused": census.unused,
            "unusedBytes": census.unused_bytes,
            "partials": census.partials,
            "partialBytes": census.partial_bytes,
            "sideIndexes": census.side_indexes,
            "sideIndexBytes": census.side_index_bytes,
            "available": store.available(),
        }));
    }
    let row =
        |what: &str, count: u64, bytes: u64| [what.to_owned(), count.to_string(), Bytes(bytes).to_string()];
    let mut rows = vec![
        row("images", census.images.len() as u64, census.blob_bytes.saturating_sub(census.unused_bytes)),
        row("unused blobs", census.unused, census.unused_bytes),
        row("partial blobs", census.partials, census.partial_bytes),
        row("side indexes", census.side_indexes, census.side_index_bytes),
    ];
    if let Some(available) = store.available() {
        rows.push(["free on this disk".to_owned(), String::new(), Bytes(available).to_string()]);
    }
    output::table(["WHAT", "COUNT", "SIZE"], &rows)
}

/// `store prune`
pub(super) fn prune(arguments: &StorePruneArgs, console: &Console) -> Result<()> {
    let store = at(arguments.at.store.as_deref())?;
    let what = Prune {
        all: arguments.all,
        older_than: arguments.older_than.map(|days| Duration::from_secs(u64::from(days) * 86_400)),
        dry_run: arguments.dry_run,
    };
    let pruned = store.prune(&what)?;
    if arguments.json {
        return output::json(&json!({
            "images": pruned.images,
            "blobs": pruned.blobs.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "partials": pruned.partials,
            "sideIndexes": pruned.side_indexes,
            "bytes": pruned.bytes,
            "dryRun": arguments.dry_run,
        }));
    }
    output::lines(&pruned.images)?;
    let verb = if arguments.dry_run { "would remove" } else { "removed" };
    console.note(&format!(
        "{verb} {} images, {} blobs, {} partial blobs and {} side indexes: {}",
        pruned.images.len(),
        pruned.blobs.len(),
        pruned.partials,
        pruned.side_indexes,
        Bytes(pruned.bytes)
    ));
    Ok(())
}

fn seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

fn ago(time: SystemTime) -> String {
    let seconds = time.elapsed().unwrap_or_default().as_secs();
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}
