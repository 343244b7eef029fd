//! `load`

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wharfie_core::Digest;
use wharfie_core::client::Event;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::import::is_portable;

use super::args::LoadArgs;
use super::{inspect, interrupt, open, output, watch};
use crate::console::{Bytes, Console, Task};
use crate::drive::Observer;
use crate::import::{self, Folder, Imported, Into, Narrow, Options, Source, Watcher};
use crate::store::Store;

/// `load -i FILE`, `load --all DIR`
pub(super) fn run(arguments: &LoadArgs, console: &Console) -> Result<()> {
    let narrow = match arguments.digest.as_slice() {
        [] if arguments.all_platforms => Narrow::All,
        [] => Narrow::Platform(open::platform(arguments.platform.platform.as_deref())?),
        digests => Narrow::Digests(digests.to_vec()),
    };
    let into = match (&arguments.into, &arguments.each_into) {
        (Some(layout), _) => Into::Layout(layout_path(layout)?),
        (None, Some(parent)) => Into::Each(parent.clone()),
        (None, None) => Into::Store(match &arguments.at.store {
            Some(store) => store.clone(),
            None => Store::default_dir()?,
        }),
    };
    let mut options = Options::new(into, narrow);
    options.name.clone_from(&arguments.name);
    options.remove = arguments.remove;
    let sources = match (&arguments.input, &arguments.all) {
        (Some(input), _) => vec![one(input, arguments)?],
        (None, Some(folder)) => all(folder, &options, console)?,
        (None, None) => Vec::new(),
    };
    // Opening a store makes it, which a source that holds it must not see.
    import::apart(&sources, &options.into)?;
    let store = match &options.into {
        Into::Store(root) => Some(Store::open(root)?),
        _ => None,
    };
    if let Some(store) = &store {
        options.into = Into::Store(store.root().to_owned());
    }
    interrupt::stops(&options.cancel);
    let progress = Progress { notes: watch::Notes::new(console), console };
    let imported = import::import(sources, &options, &progress)?;
    // While it was open nobody pruned what was not listed yet.
    drop(store);
    for image in &imported {
        told(image, console);
    }
    unportable(&imported, &options.into, console);
    if arguments.json {
        return imported.iter().try_for_each(|image| output::json(&image_json(image)));
    }
    output::lines(imported.iter().map(|image| {
        let digest = image.chosen.top.digest;
        image.name.as_ref().map_or_else(|| digest.to_string(), |name| format!("{name}@{digest}"))
    }))
}

/// The directory of a layout, named as a path or as `oci:DIR`.
fn layout_path(given: &Path) -> Result<PathBuf> {
    let path = given.to_str().and_then(|text| text.strip_prefix("oci:")).map_or(given, Path::new);
    if path.is_file() {
        let reason = format!("{} is a file: images are loaded into a directory", open::shown(path));
        return Err(ErrorKind::InvalidOption { reason }.into());
    }
    Ok(path.to_owned())
}

fn one(input: &str, arguments: &LoadArgs) -> Result<Source> {
    let source = Source::named(input)?;
    if source.is_stream() && arguments.remove {
        let reason = "what comes from standard input cannot be removed".to_owned();
        return Err(ErrorKind::InvalidOption { reason }.into());
    }
    Ok(source)
}

fn all(path: &Path, options: &Options, console: &Console) -> Result<Vec<Source>> {
    if options.remove {
        Folder::tidy(path);
    }
    let folder = Folder::read(path, &options.into)?;
    for passed in &folder.passed {
        console.note(&format!("{}: {}, passed over", open::shown(&passed.path), passed.what));
    }
    if folder.sources.is_empty() {
        let what = "an archive or a layout in this folder".to_owned();
        return Err(Error::from(ErrorKind::NotFound { what, detail: None }).at_path(open::shown(path)));
    }
    Ok(folder.sources)
}

fn told(image: &Imported, console: &Console) {
    let layers: usize = image.chosen.images.iter().map(|image| image.layers.len()).sum();
    let name = image.name.clone().unwrap_or_else(|| "an image without a name".to_owned());
    let removed = if image.removed { ", which was removed" } else { "" };
    console.note(&format!(
        "{name}: {}, {}, every digest verified, from {}{removed}",
        super::layers::counted(layers),
        Bytes(image.chosen.bytes()),
        image.source.shown(),
    ));
}

/// Tells of names that other tools do not take.
fn unportable(imported: &[Imported], into: &Into, console: &Console) {
    let mut names =
        imported.iter().filter_map(|image| image.name.as_deref()).filter(|name| !is_portable(name));
    if let Some(name) = names.next() {
        let others = names.count();
        let more = if others == 0 { String::new() } else { format!(" and {others} more") };
        let root = match into {
            Into::Layout(root) | Into::Store(root) | Into::Each(root) => open::shown(root),
        };
        console.note(&format!(
            "`{name}`{more} in {root}: names beyond image-spec's ASCII; some tools list such images and cannot name them"
        ));
    }
}

fn image_json(image: &Imported) -> Value {
    let top = &image.chosen.top;
    json!({
        "name": image.name,
        "digest": top.digest.to_string(),
        "mediaType": top.media_type.as_str(),
        "size": top.size,
        "bytes": image.chosen.bytes(),
        "images": image.chosen.images.iter().map(inspect::image_json).collect::<Vec<_>>(),
        "source": image.source.shown(),
        "layout": open::shown(&image.layout),
        "removed": image.removed,
    })
}

struct Progress<'c> {
    notes: watch::Notes,
    console: &'c Console,
}

impl Observer for Progress<'_> {
    fn event(&self, event: &Event) {
        self.notes.event(event);
    }
}

impl Watcher for Progress<'_> {
    fn checking(&self, digest: &Digest, size: u64) -> Task {
        self.console.task("checking", &watch::short(digest), 0, Some(size))
    }

    fn checked(&self, source: &Source) {
        if self.console.trace_level() > 0 {
            self.console.trace(&format!("everything in {} holds", source.shown()));
        }
    }
}
