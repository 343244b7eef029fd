//! Which paths, and whose they become: what several commands ask alike.

use serde_json::{Value, json};
use wharfie_core::error::Result;
use wharfie_core::merge::{IdMap, IdMaps, Pattern, Selection, Unmatched};

use super::args::{OwnerArgs, SelectArgs};
use crate::console::Console;

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
pub(super) fn id_maps(arguments: &OwnerArgs) -> Result<IdMaps> {
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
