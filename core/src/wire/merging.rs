//! How layers are merged, as hosts say it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;

use super::options as read;
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;
use crate::merge::{IdMap, IdRange, Options, Order, Pattern};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Words {
    include: Vec<PatternWords>,
    exclude: Vec<PatternWords>,
    keep_directory_symlink: bool,
    order: Option<String>,
    uid_map: Vec<String>,
    gid_map: Vec<String>,
    limits: BTreeMap<String, u64>,
}

/// A pattern as text, or as the bytes that it is: names need not be text (L1).
#[derive(Deserialize)]
#[serde(untagged)]
enum PatternWords {
    Text(String),
    Bytes(Vec<u8>),
}

/// Reads how layers are to be merged: `include` and `exclude` (patterns, each a text or a list of bytes), `keepDirectorySymlink`, `order` (`stream`,
/// `canonical`), `uidMap` and `gidMap` (ranges), `limits` (those of layers and trees, by name).
///
/// # Errors
/// `invalid_option`, `invalid_pattern`, `invalid_id_map`.
pub fn merge_options(text: &str) -> Result<Options> {
    let said: Words = read(text)?;
    let pattern = |words: &PatternWords| match words {
        PatternWords::Text(text) => Pattern::new(text),
        PatternWords::Bytes(bytes) => Pattern::new(bytes),
    };
    let patterns = |all: &[PatternWords]| all.iter().map(pattern).collect::<Result<Vec<_>>>();
    let map = |texts: &[String]| {
        IdMap::new(texts.iter().map(|text| text.parse::<IdRange>()).collect::<Result<Vec<_>>>()?)
    };
    let mut options = Options::default();
    options.selection.include = patterns(&said.include)?;
    options.selection.exclude = patterns(&said.exclude)?;
    options.keep_directory_symlink = said.keep_directory_symlink;
    options.order = match said.order.as_deref() {
        None | Some("stream") => Order::Stream,
        Some("canonical") => Order::Canonical,
        Some(other) => return Err(invalid(format!("there is no order `{other}`"))),
    };
    options.id_maps.uid = map(&said.uid_map)?;
    options.id_maps.gid = map(&said.gid_map)?;
    for (name, value) in &said.limits {
        set(&mut options.limits, name, *value)?;
    }
    Ok(options)
}

fn invalid(reason: String) -> crate::Error {
    ErrorKind::InvalidOption { reason }.into()
}

macro_rules! settable {
    ($($name:ident),* $(,)?) => {
        fn set(limits: &mut Limits, name: &str, value: u64) -> Result<()> {
            match name {
                "total_bytes" => limits.total_bytes = Some(value),
                $(stringify!($name) => {
                    limits.$name = value.try_into().map_err(|_| invalid(format!("`{name}` is too large")))?;
                })*
                _ => return Err(invalid(format!("there is no limit `{name}` of layers"))),
            }
            Ok(())
        }
    };
}

settable! {
    ratio, zstd_window_bytes, entries, path_bytes, path_depth, symlink_bytes, pax_bytes, global_pax_bytes, sparse_bytes,
    sparse_fragments, layers,
}
