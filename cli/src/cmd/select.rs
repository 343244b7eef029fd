//! What the root is to be: what several commands ask alike.

use serde_json::{Value, json};
use wharfie_core::error::Result;
use wharfie_core::merge::{IdMap, IdMaps, Options, Pattern, Selection, Unmatched};

use super::args::{OwnerArgs, RootArgs, SelectArgs};
use crate::console::Console;

/// What is asked of the root, in whatever it is written.
///
/// # Errors
/// `invalid_pattern`, `invalid_id_map`.
pub(super) fn options(arguments: &RootArgs) -> Result<Options> {
    let mut options = Options::default();
    options.keep_directory_symlink = arguments.merge.keep_directory_symlink;
    options.mtime_max = arguments.mtime;
    options.selection = selection(&arguments.select)?;
    options.id_maps = id_maps(&arguments.owners)?;
    Ok(options)
}

/// What `--include` and `--exclude` say.
pub(super) fn selection(arguments: &SelectArgs) -> Result<Selection> {
    // On Unix these are the bytes that were given; elsewhere names are Unicode.
    let read = |patterns: &[std::ffi::OsString]| {
        patterns.iter().map(|pattern| Pattern::new(pattern.as_encoded_bytes())).collect::<Result<Vec<_>>>()
    };
    let mut selection = Selection::default();
    selection.include = read(&arguments.include)?;
    selection.exclude = read(&arguments.exclude)?;
    Ok(selection)
}

/// What `--uid-map` and `--gid-map` say.
fn id_maps(arguments: &OwnerArgs) -> Result<IdMaps> {
    let mut maps = IdMaps::default();
    maps.uid = IdMap::new(arguments.uid_map.iter().copied())?;
    maps.gid = IdMap::new(arguments.gid_map.iter().copied())?;
    Ok(maps)
}

/// Tells of patterns that matched nothing.
pub(super) fn warn(unmatched: &[Unmatched], console: &Console) {
    for Unmatched { option, pattern, .. } in unmatched {
        console.warn(&format!("--{option} {pattern}: nothing in the image matches"));
    }
}

/// The same for a report.
pub(super) fn json(unmatched: &[Unmatched]) -> Value {
    unmatched
        .iter()
        .map(|Unmatched { option, pattern, .. }| json!({"option": option, "pattern": pattern.to_string()}))
        .collect()
}
