//! What the commands that look into images have in common.

use std::path::Path;

use serde_json::{Map, Value, json};
use wharfie_core::client::{Depth, PlatformChoice};
use wharfie_core::error::Result;
use wharfie_core::merge::{Links, Node, Options, mode_text, mtime_text};
use wharfie_core::name::to_json;
use wharfie_core::tar::Kind;

use super::args::{LookArgs, MergeArgs};
use super::interrupt;
use super::layers::{self, Shown};
use super::open::{self, Opened};
use super::select;
use crate::console::Console;
use crate::drive::Cancel;
use crate::layers::LocalImage;
use crate::view::{Sides, View, Viewed, view};

/// An image with its merged tree.
pub(super) struct Looked {
    pub(super) opened: Opened,
    pub(super) image: LocalImage,
    pub(super) view: View,
}

/// The options that a tree is merged by.
pub(super) fn options(merge: &MergeArgs) -> Options {
    let mut options = Options::default();
    options.keep_directory_symlink = merge.keep_directory_symlink;
    options
}

/// Opens images, which need not be the one that the arguments name, and reads all their layers.
pub(super) fn look(
    names: &[&str],
    arguments: &LookArgs,
    history: bool,
    console: &Console,
) -> Result<Vec<Looked>> {
    let mut options = options(&arguments.merge);
    options.selection = select::selection(&arguments.select)?;
    let platform = open::platform(arguments.platform.platform.as_deref())?;
    let mut images = Vec::new();
    for name in names {
        let depth = open::options(PlatformChoice::One(platform.clone()), Depth::Layers);
        let opened = open::open(name, &arguments.image.from, depth, console)?;
        let local = opened.layers()?;
        images.push((opened, local));
    }
    let cancel = Cancel::new();
    interrupt::stops(&cancel);
    let views = {
        let shown: Vec<Shown<'_>> = images.iter().map(|(_, local)| Shown::new(console, local)).collect();
        let viewed: Vec<Viewed<'_>> = images
            .iter()
            .zip(&shown)
            .map(|((opened, image), progress)| {
                let sides = opened.sides().map(|store| Sides { store, ask: !arguments.verify });
                Viewed { image, progress, sides }
            })
            .collect();
        view(&viewed, &options, history, &cancel).map_err(|error| {
            // Which of them it was is known by the blob.
            let of = images.iter().find(|(_, local)| {
                local.layers.iter().any(|layer| Some(layer.descriptor.digest) == error.place().blob)
            });
            match of.or(images.first()) {
                Some((opened, _)) => opened.failed(error, console),
                None => error,
            }
        })?
    };
    let looked: Vec<Looked> =
        images.into_iter().zip(views).map(|((opened, image), view)| Looked { opened, image, view }).collect();
    for looked in &looked {
        layers::warn(looked.view.tree.warnings(), &looked.view.layers, console);
        select::warn(looked.view.tree.unmatched(), console);
    }
    Ok(looked)
}

/// A path as the bytes that it is.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// Everything that is known of a path, for `--json`.
pub(super) fn node_json(node: Node<'_>, links: &Links, image: &LocalImage) -> Value {
    let metadata = node.metadata();
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    put("path", json!(to_json(&node.path())));
    put("type", json!(node.kind().name()));
    put("mode", json!(format!("{:04o}", metadata.mode)));
    put("modeText", json!(mode_text(node.kind(), metadata.mode)));
    put("uid", json!(metadata.uid));
    put("gid", json!(metadata.gid));
    put("size", json!(node.size()));
    put("mtime", json!(mtime_text(metadata.mtime)));
    put("links", json!(links.count(node)));
    match node.kind() {
        Kind::Symlink => put("link", json!(to_json(node.link()))),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            put("device", json!({"major": major, "minor": minor}));
        }
        _ => {}
    }
    let first = links.first(node);
    if node.kind() != Kind::Directory && links.count(node) > 1 {
        put("sameFileAs", json!(to_json(&first.path())));
    }
    if !metadata.xattrs.is_empty() {
        let xattrs: Map<String, Value> =
            metadata.xattrs.iter().map(|(name, value)| (to_json(name), json!(to_json(value)))).collect();
        put("xattrs", Value::Object(xattrs));
    }
    if let Some(inode) = node.inode() {
        put("layer", json!(inode.layer));
        let digest = image.layers.get(inode.layer).map(|layer| layer.descriptor.digest.to_string());
        put("layerDigest", json!(digest));
        put("headerAt", json!(inode.header_at));
    }
    if let Some(body) = node.body() {
        put("dataAt", json!(body.data_at));
        put("stored", json!(body.stored));
    }
    Value::Object(shown)
}
