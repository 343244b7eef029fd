//! Images of files and directories on this machine, brought into layouts: of one file, or of all in a folder.
//!
//! In this order, so that whatever happens on the way harms nothing:
//!
//! 1. Each source is opened, one at a time. Its images are chosen and named (core's [`mod@import`]), and
//!    everything that they need is read and checked: every digest and size, every `diff_id`.
//! 2. Only when all of them held are they copied, checked once more on the way, to where nobody sees them.
//! 3. All names come at once (`index.json`, one rename): a layout has all of the images or is what it was.
//! 4. Only when the target was read back from the disk that it is on, every digest of it, are sources removed.

mod choice;
mod folder;
mod place;
mod removal;
mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wharfie_core::Digest;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::import::{self, Target};

use crate::checks;
use crate::console::Task;
use crate::destination::{self, Destination, Kind};
use crate::drive::{Cancel, Observer};
use crate::layout::Layout;
use crate::origin::Origin;
use crate::store::LOCAL;
pub use choice::{Chosen, Narrow};
pub use folder::{Folder, Passed};
use source::Kept;
pub use source::Source;

/// Where images go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Into {
    /// Into the layout in this directory, new or there already.
    Layout(PathBuf),
    /// Into the store in this directory, by full references.
    Store(PathBuf),
    /// Each into a layout of its own, in a directory of this one that is called after it.
    Each(PathBuf),
}

impl Into {
    fn names(&self) -> Target {
        match self {
            Into::Layout(_) => Target::Layout,
            Into::Store(_) => Target::Store,
            Into::Each(_) => Target::Each,
        }
    }

    /// The layout of an image of this name.
    fn layout(&self, name: &str) -> PathBuf {
        match self {
            Into::Layout(root) | Into::Store(root) => root.clone(),
            Into::Each(parent) => parent.join(import::directory(name)),
        }
    }
}

/// What is asked of an import.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Which images of an index.
    pub narrow: Narrow,
    /// Where they go.
    pub into: Into,
    /// What the one image is called, whatever it is called where it comes from.
    pub name: Option<String>,
    /// Whether sources are removed when all is safe.
    pub remove: bool,
    /// Stops it.
    pub cancel: Cancel,
}

impl Options {
    /// Into this place, and nothing is removed.
    pub fn new(into: Into, narrow: Narrow) -> Options {
        Options { narrow, into, name: None, remove: false, cancel: Cancel::new() }
    }
}

/// Who is told how far it has come.
pub trait Watcher: Observer {
    /// A blob is going to be read, for whether it holds.
    fn checking(&self, digest: &Digest, size: u64) -> Task;

    /// All of a source has been checked.
    fn checked(&self, source: &Source) {
        let _ = source;
    }
}

/// An image that was brought in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// What it is called there; `None` if nothing gave it a name.
    pub name: Option<String>,
    /// Where it came from.
    pub source: Source,
    /// The layout that it is in.
    pub layout: PathBuf,
    /// What it is.
    pub chosen: Chosen,
    /// Whether its source was removed.
    pub removed: bool,
}

/// A source that was checked, and what is to become of its images.
struct Planned {
    source: Source,
    kept: Kept,
    /// Those that are to be had, by position of the source's entries.
    entries: Vec<wharfie_core::image::Descriptor>,
    chosen: Vec<(usize, Chosen)>,
}

/// Brings images in.
///
/// # Errors
/// Whatever is wrong with the first source that is wrong, with its path; `name_conflict`, `unusable_name`;
/// `platform_not_found`; `not_found` where there is no image; `invalid_option` for a target that is a source or lies in one; what the disk comes to; `cancelled`. Nothing that anybody sees
/// has been changed then, unless it is [`removal`](Options::remove) that failed, or one of several layouts.
pub fn import(sources: Vec<Source>, options: &Options, watcher: &dyn Watcher) -> Result<Vec<Imported>> {
    let alone = sources.len() == 1;
    apart(&sources, &options.into)?;
    let mut planned: Vec<Planned> = Vec::with_capacity(sources.len());
    // A stream cannot be opened again.
    let mut open: Option<Arc<dyn Origin>> = None;
    let mut names = Vec::new();
    for source in sources {
        let place = |error: Error| error.at_path(source.shown());
        let kept = Kept::of(&source).map_err(place)?;
        let origin = source.open(&options.cancel).map_err(place)?;
        let entries = source.entries(origin.as_ref()).map_err(place)?;
        if options.remove {
            source.is_all(origin.as_ref(), &entries).map_err(place)?;
        }
        planned.push(Planned { source, kept, entries, chosen: Vec::new() });
        // With each source that comes to it: two that do not go together are told of before the rest is read.
        names = name_all(&planned, options)?;
        let (Some(planned), Some(named)) = (planned.last_mut(), names.last()) else { continue };
        let place = |error: Error| error.at_path(planned.source.shown());
        for named in named {
            let Some(entry) = planned.entries.get(named.entry) else { continue };
            let called = named.name.clone().unwrap_or_else(|| planned.source.shown());
            let chosen = choice::choose(origin.as_ref(), entry, &options.narrow, watcher)
                .and_then(|chosen| check(origin.as_ref(), &chosen, options, watcher).map(|()| chosen))
                .map_err(|error| place(error).in_image(called))?;
            planned.chosen.push((named.entry, chosen));
        }
        if planned.chosen.is_empty() {
            let what = "an image: it lists none".to_owned();
            return Err(place(ErrorKind::NotFound { what, detail: None }.into()));
        }
        watcher.checked(&planned.source);
        open = alone.then_some(origin);
    }
    let mut imported = Vec::new();
    for (planned, named) in planned.iter().zip(&names) {
        for (entry, chosen) in &planned.chosen {
            let name = named.iter().find(|named| named.entry == *entry).and_then(|named| named.name.clone());
            let layout = options.into.layout(name.as_deref().unwrap_or_default());
            let (source, chosen) = (planned.source.clone(), chosen.clone());
            imported.push(Imported { name, source, layout, chosen, removed: false });
        }
    }
    // What each is called, and so where it goes, is known only now.
    let targets = imported.iter().map(|image| image.layout.as_path());
    place::apart(imported.iter().map(|image| &image.source), targets)?;
    bring(&imported, open.as_ref(), options)?;
    if options.remove {
        read_back(&imported, options, watcher)?;
        for planned in &planned {
            removal::remove(&planned.source, &planned.kept)?;
            for imported in imported.iter_mut().filter(|imported| imported.source == planned.source) {
                imported.removed = true;
            }
        }
    }
    Ok(imported)
}

/// Refuses a layout or store that is a source or lies in one. Of [`Into::Each`] nothing is known before its images have names.
///
/// # Errors
/// `invalid_option`, naming both.
pub fn apart(sources: &[Source], into: &Into) -> Result<()> {
    match into {
        Into::Layout(root) | Into::Store(root) => place::apart(sources, [root.as_path()]),
        Into::Each(_) => Ok(()),
    }
}

/// What all that is known so far is called.
fn name_all(planned: &[Planned], options: &Options) -> Result<Vec<Vec<import::Named>>> {
    let paths: Vec<_> = planned.iter().map(|planned| planned.source.shown()).collect();
    let sources: Vec<_> = planned
        .iter()
        .zip(&paths)
        .map(|(planned, path)| import::Source {
            path,
            file: planned.source.file_name(),
            is_directory: planned.source.is_directory(),
            entries: &planned.entries,
        })
        .collect();
    match (&options.name, sources.as_slice()) {
        (Some(name), [source]) => import::named(source, name, options.into.names()).map(|named| vec![named]),
        _ => import::names(&sources, options.into.names()),
    }
}

/// Reads all that an image needs.
fn check(origin: &dyn Origin, chosen: &Chosen, options: &Options, watcher: &dyn Watcher) -> Result<()> {
    let blobs = chosen.blobs(origin)?;
    let blob = |at: usize| {
        let blob = blobs.list.get(at)?;
        let missing = || {
            let what = format!("the blob {}", blob.descriptor.digest);
            Err(ErrorKind::NotFound { what, detail: None }.into())
        };
        let file = origin.blob(&blob.descriptor.digest);
        Some((blob, file.and_then(|file| file.map_or_else(missing, Ok))))
    };
    let task = |blob: &checks::Blob| watcher.checking(&blob.descriptor.digest, blob.descriptor.size);
    let results = checks::read_all(blobs.list.len(), &blob, &options.cancel, &task);
    if options.cancel.is_cancelled() {
        return Err(ErrorKind::Cancelled {}.into());
    }
    results.into_iter().find_map(Result::err).map_or(Ok(()), Err)
}

/// Copies everything, and then names it.
fn bring(imported: &[Imported], open: Option<&Arc<dyn Origin>>, options: &Options) -> Result<()> {
    if let Into::Each(parent) = &options.into {
        std::fs::create_dir_all(parent)
            .map_err(|error| crate::fault::io_error("making a directory", Some(parent), &error))?;
    }
    let chosen = destination::Options {
        durable: true,
        verify_present: true,
        cancel: options.cancel.clone(),
        ..destination::Options::default()
    };
    let mut targets: Vec<(&Path, Box<dyn Destination>)> = Vec::new();
    let mut origin: Option<(&Source, Arc<dyn Origin>)> = None;
    for image in imported {
        if options.cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled {}.into());
        }
        let place = |error: Error| error.at_path(image.source.shown());
        let from = match (open, &origin) {
            (Some(open), _) => Arc::clone(open),
            (None, Some((source, origin))) if *source == &image.source => Arc::clone(origin),
            _ => image.source.open(&options.cancel).map_err(place)?,
        };
        origin = Some((&image.source, Arc::clone(&from)));
        let target = match targets.last_mut() {
            Some((layout, target)) if *layout == image.layout => target,
            last => {
                // There may be thousands, and all stay until the names come.
                if let Some((_, last)) = last {
                    last.rest()?;
                }
                let target = destination::open_as(Kind::OciLayout, &image.layout, &chosen)?;
                targets.push((&image.layout, target));
                let Some((_, target)) = targets.last_mut() else { continue };
                target
            }
        };
        image.chosen.put(from.as_ref(), target.as_mut()).map_err(place)?;
        let mut listed = image.chosen.listed();
        if matches!(options.into, Into::Store(_)) {
            listed.annotations.insert(LOCAL.to_owned(), "true".to_owned());
        }
        target.name(&listed, image.name.as_deref())?;
    }
    for (_, target) in targets {
        target.commit()?;
    }
    Ok(())
}

/// Checks that everything is where it was brought, and safe there: what was there before as well, which nobody had read.
fn read_back(imported: &[Imported], options: &Options, watcher: &dyn Watcher) -> Result<()> {
    let layouts: BTreeSet<&Path> = imported.iter().map(|imported| imported.layout.as_path()).collect();
    for root in layouts {
        removal::sync(root)?;
        let layout = Layout::open(root)?;
        let entries = layout.entries()?;
        for image in imported.iter().filter(|imported| imported.layout == root) {
            let (name, digest) = (image.name.as_deref(), image.chosen.top.digest);
            let place = |error: Error| {
                error.at_path(root.display().to_string()).in_image(name.unwrap_or("the image without a name"))
            };
            if !entries.iter().any(|entry| entry.digest == digest && entry.ref_name() == name) {
                let what = format!("{digest} under its name: another changed the layout meanwhile");
                return Err(place(ErrorKind::NotFound { what, detail: None }.into()));
            }
            image.chosen.documents_of(&layout).map_err(place)?;
            check(&layout, &image.chosen, options, watcher).map_err(place)?;
        }
    }
    Ok(())
}
