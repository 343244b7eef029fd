//! Where an image comes from and where it goes to.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use wharfie_core::client::{Credentials, Depth, PlatformChoice, Pulled};
use wharfie_core::copy::prune;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::{Descriptor, Document};
use wharfie_core::source::Local;
use wharfie_core::{Limits, Platform, Reference, Source};

use super::super::args::FromArgs;
use super::super::{auth, interrupt, open, watch};
use super::rework::Made;
use super::wishes::{Selection, Wishes};
use super::{Run, fetched, is_layout};
use crate::console::Console;
use crate::credentials::Search;
use crate::destination::{self, Destination};
use crate::drive::{CredentialSource, PullOptions, When};
use crate::layout::Layout;
use crate::origin::Origin;
use crate::store::Store;

/// Where an image comes from.
#[derive(Clone)]
pub(super) enum From {
    Registry(Reference),
    /// A place on this machine, and the name there.
    Local(Arc<dyn Origin>, Option<String>),
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            From::Registry(reference) => f.write_str(&reference.familiar()),
            From::Local(origin, None) => f.write_str(&origin.name()),
            From::Local(origin, Some(name)) => write!(f, "{}:{name}", origin.name()),
        }
    }
}

/// Where it goes to.
#[derive(Clone)]
pub(super) enum To {
    Registry(Reference),
    /// A layout that the driver fetches into, and the name there.
    Layout(Store, Option<String>),
    /// Nowhere: what is missing in a layout, or anywhere, is counted.
    Probe(Local, Option<Layout>),
    /// A place on this machine.
    Place(Local),
}

impl To {
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            To::Registry(reference) => reference.tag(),
            To::Layout(_, name) => name.as_deref(),
            To::Probe(local, _) => local.reference.as_deref(),
            To::Place(local) => local.reference.as_deref(),
        }
    }

    /// The same place under another name.
    pub(super) fn named(&self, name: &str) -> Result<To> {
        Ok(match self {
            To::Registry(reference) => To::Registry(reference.with_tag(name)?),
            To::Layout(store, _) => To::Layout(store.clone(), Some(name.to_owned())),
            To::Probe(local, layout) => {
                To::Probe(Local { reference: Some(name.to_owned()), ..local.clone() }, layout.clone())
            }
            To::Place(local) => To::Place(Local { reference: Some(name.to_owned()), ..local.clone() }),
        })
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self {
            To::Registry(reference) => return f.write_str(&reference.familiar()),
            To::Layout(store, _) => open::shown(store.root()),
            To::Probe(local, _) | To::Place(local) => local.path.clone(),
        };
        match self.name() {
            Some(name) => write!(f, "{path}:{name}"),
            None => f.write_str(&path),
        }
    }
}

/// Credentials of the two ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Creds<'a> {
    pub(super) source: Option<&'a str>,
    pub(super) target: Option<&'a str>,
}

/// Credentials by registry: what one end is told nobody else hears.
struct Both {
    source: (String, Search),
    target: (String, Search),
    console: Console,
}

impl Both {
    fn ask(&self, search: &Search, registry: &str, repository: Option<&str>) -> Option<Credentials> {
        let finding = search.find(registry, repository);
        for (place, reason) in finding.broken() {
            self.console.warn(&format!("credentials from {place}: {reason}"));
        }
        finding.credentials
    }
}

impl CredentialSource for Both {
    fn find(&self, registry: &str, repository: Option<&str>) -> Option<Credentials> {
        let ends = [&self.source, &self.target];
        match ends.into_iter().find(|(host, _)| host == registry) {
            Some((_, search)) => self.ask(search, registry, repository),
            None => self.find_for_stand_in(registry, repository),
        }
    }

    fn find_for_stand_in(&self, registry: &str, repository: Option<&str>) -> Option<Credentials> {
        let search = Search { given: None, ..self.target.1.clone() };
        self.ask(&search, registry, repository)
    }
}

/// Opens both ends of a copy.
pub(super) fn open<'c>(
    source: Source,
    target: Source,
    arguments: &'c FromArgs,
    creds: Creds<'_>,
    wishes: Wishes,
    console: &'c Console,
) -> Result<(Run<'c>, From, To)> {
    let mut folders = Vec::new();
    let mut driver = None;
    let network = &arguments.network;
    if (creds.source.is_some() || creds.target.is_some())
        && !matches!((&source, &target), (Source::Registry(_), Source::Registry(_)))
    {
        let reason = "`--src-creds` and `--dest-creds` are for copies from a registry to another; `--creds` is for the one registry".to_owned();
        return Err(ErrorKind::InvalidOption { reason }.into());
    }
    let (from, to) = match (source, target) {
        (Source::Registry(from), Source::Registry(to)) => {
            let (from, to) = (from.or_latest(), to.or_latest());
            if network.creds.is_some() && from.host() != to.host() {
                let reason =
                    "two registries, and one `--creds`: `--src-creds` and `--dest-creds` say whose they are"
                        .to_owned();
                return Err(ErrorKind::InvalidOption { reason }.into());
            }
            if from.host() == to.host() && creds.source.is_some() && creds.target.is_some() {
                let reason = "both ends are one registry: `--creds` is for it".to_owned();
                return Err(ErrorKind::InvalidOption { reason }.into());
            }
            let authfile = network.authfile.as_deref();
            let is_one = from.host() == to.host();
            let of_source = if is_one { creds.source.or(creds.target) } else { creds.source };
            let both = Both {
                source: (
                    from.host().to_owned(),
                    auth::search(of_source.or(network.creds.as_deref()), authfile),
                ),
                target: (
                    to.host().to_owned(),
                    auth::search(creds.target.or(network.creds.as_deref()), authfile),
                ),
                console: console.clone(),
            };
            let (passing, folder) = open::passing_driver(network, Arc::new(both), console)?;
            driver = Some(passing);
            folders.push(folder);
            (From::Registry(from), To::Registry(to))
        }
        (Source::Local(from), Source::Registry(to)) => {
            let (passing, folder) = open::network_driver(network, console)?;
            driver = Some(passing);
            folders.push(folder);
            (origin(&from)?, To::Registry(to.or_latest()))
        }
        (Source::Registry(from), Source::Local(to)) => {
            let from = From::Registry(from.or_latest());
            if wishes.dry_run {
                let (passing, folder) = open::network_driver(network, console)?;
                driver = Some(passing);
                folders.push(folder);
                (from, probe(&to))
            } else if is_layout(&to) && wishes.compress.is_none() && wishes.format.is_none() {
                let store = Store::open(Path::new(&to.path))?;
                driver = Some(open::driver_on(arguments, store.clone(), console)?);
                (from, To::Layout(store, to.reference.clone()))
            } else {
                let (on_store, folder) = open::driver(arguments, console)?;
                driver = Some(on_store);
                folders.extend(folder);
                (from, To::Place(to))
            }
        }
        (Source::Local(from), Source::Local(to)) => {
            let from = origin(&from)?;
            let to = if wishes.dry_run { probe(&to) } else { To::Place(to) };
            (from, to)
        }
        _ => {
            let reason = "this version does not know the place".to_owned();
            return Err(ErrorKind::InvalidOption { reason }.into());
        }
    };
    let run = Run {
        console,
        wishes,
        driver,
        destination: None,
        from_args: arguments,
        made: Vec::new(),
        sample: None,
        _folders: folders,
    };
    Ok((run, from, to))
}

/// Opens both ends of a push: what has no transport is the name of an image in the local store.
pub(super) fn open_push<'c>(
    source: Source,
    target: Reference,
    arguments: &'c FromArgs,
    wishes: Wishes,
    console: &'c Console,
) -> Result<(Run<'c>, From, To)> {
    let to = Source::Registry(target);
    let Source::Registry(reference) = source else {
        return open(source, to, arguments, Creds::default(), wishes, console);
    };
    let reference = reference.or_latest();
    let store = open::store(arguments.store.store.as_deref())?;
    let Some(top) = store.resolve(&reference)? else {
        let what = format!("{} in the local store", reference.familiar());
        let detail = Some("`wharfie copy` takes images from one registry to another".to_owned());
        return Err(ErrorKind::NotFound { what, detail }.into());
    };
    let (driver, folder) = open::network_driver(&arguments.network, console)?;
    let listed = Listed { layout: Layout::at(store.root()), name: reference.familiar(), top };
    let run = Run {
        console,
        wishes,
        driver: Some(driver),
        destination: None,
        from_args: arguments,
        made: Vec::new(),
        sample: None,
        _folders: vec![folder],
    };
    let Source::Registry(to) = to else { return Err(ErrorKind::Cancelled {}.into()) };
    Ok((run, From::Local(Arc::new(listed), None), To::Registry(to)))
}

/// One image of the local store.
#[derive(Debug)]
struct Listed {
    layout: Layout,
    name: String,
    top: Descriptor,
}

impl Origin for Listed {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn entries(&self) -> Result<Vec<Descriptor>> {
        Ok(vec![self.top.clone()])
    }

    fn document(&self, digest: &wharfie_core::Digest, limits: &Limits) -> Result<Vec<u8>> {
        self.layout.document(digest, limits)
    }

    fn blob(&self, digest: &wharfie_core::Digest) -> Result<Option<crate::blob_file::BlobFile>> {
        Origin::blob(&self.layout, digest)
    }

    fn find(&self, _: Option<&str>) -> Result<Descriptor> {
        Ok(self.top.clone())
    }
}

fn origin(local: &Local) -> Result<From> {
    Ok(From::Local(crate::origin::open(local, &interrupt::stoppable())?, local.reference.clone()))
}

fn probe(local: &Local) -> To {
    let there = Layout::open(Path::new(&local.path)).ok().filter(|_| is_layout(local));
    To::Probe(local.clone(), there)
}

/// Opens a place on this machine for writing.
pub(super) fn destination(local: &Local) -> Result<Box<dyn Destination>> {
    let options = destination::Options::default();
    interrupt::stops(&options.cancel);
    destination::open(local, &options)
}

impl Run<'_> {
    /// Has the documents of an image here, and its layers as far as they are wanted.
    pub(super) fn take(&self, from: &From, depth: Depth) -> Result<(Made, Arc<dyn Origin>)> {
        match from {
            From::Registry(reference) => {
                let layout: Arc<dyn Origin> = Arc::new(fetched(self.driver()?.store()));
                Ok((self.fetch(reference, depth)?, layout))
            }
            From::Local(origin, name) => {
                let top = origin.find(name.as_deref())?;
                Ok((select(origin, top, &self.wishes.selection, self.console)?, Arc::clone(origin)))
            }
        }
    }

    /// Who names a registry here means it, whatever was made or loaded under that name.
    fn pull_options(&self, platform: PlatformChoice, depth: Depth) -> PullOptions {
        let options = open::pull_options(open::options(platform, depth), &self.from_args.store);
        let when = if options.when == When::UnlessLocal { When::Always } else { options.when };
        PullOptions { when, unlisted: true, ..options }
    }

    fn fetch(&self, reference: &Reference, depth: Depth) -> Result<Made> {
        let driver = self.driver()?;
        let pull = |reference: &Reference, platform: PlatformChoice, depth: Depth| {
            let options = self.pull_options(platform, depth);
            driver.pull(reference, &options)
        };
        match &self.wishes.selection {
            Selection::All => Ok(pull(reference, PlatformChoice::All, depth)?.image.top.into()),
            Selection::Digest(digest) => {
                let reference = reference.with_digest(*digest);
                Ok(pull(&reference, PlatformChoice::All, depth)?.image.top.into())
            }
            Selection::One(platform) => {
                let depth = depth.max(Depth::Manifest);
                let pulled = pull(reference, PlatformChoice::One(platform.clone()), depth)?.image;
                first(pulled)
            }
            Selection::Several(platforms) => {
                let top = pull(reference, PlatformChoice::All, Depth::Document)?.image.top;
                let (made, kept) = pruned(&fetched(driver.store()), &top, platforms)?;
                for entry in kept {
                    pull(&reference.with_digest(entry.digest), PlatformChoice::All, depth)?;
                }
                Ok(made)
            }
        }
    }

    /// Has one document of the source's repository here, with all below it as far as it is wanted.
    pub(super) fn take_digest(&self, reference: &Reference, depth: Depth) -> Result<Descriptor> {
        let options = self.pull_options(PlatformChoice::All, depth);
        let pulled = self.driver()?.pull(reference, &options)?;
        Ok(pulled.image.top)
    }
}

/// The one image that was chosen.
fn first(pulled: Pulled) -> Result<Made> {
    let image = pulled.images.into_iter().next().ok_or_else(|| {
        let reason = "the index holds no manifest".to_owned();
        Error::from(ErrorKind::NotAnImage { reason })
    })?;
    Ok(image.manifest.into())
}

/// Reads a manifest or index.
pub(super) fn read(origin: &dyn Origin, descriptor: &Descriptor) -> Result<Document> {
    let limits = Limits::default();
    let raw = origin.content(descriptor, &limits)?;
    let kind = (!descriptor.media_type.is_generic()).then(|| descriptor.media_type.to_string());
    Document::parse(&raw, kind.as_deref(), &limits).map_err(|error| error.in_blob(descriptor.digest))
}

/// An index of these platforms, and which entries it has.
fn pruned(origin: &dyn Origin, top: &Descriptor, platforms: &[Platform]) -> Result<(Made, Vec<Descriptor>)> {
    let document = read(origin, top)?;
    let pruned = prune(&document, platforms).map_err(|error| error.in_blob(top.digest))?;
    let entries = document.index().map(|index| index.manifests.clone()).unwrap_or_default();
    let kept = pruned.kept.iter().filter_map(|at| entries.get(*at).cloned()).collect();
    Ok((Made::new(document.media_type.clone(), top.digest.algorithm(), pruned.bytes), kept))
}

/// What is wanted of an image on this machine.
fn select(
    origin: &Arc<dyn Origin>,
    top: Descriptor,
    selection: &Selection,
    console: &Console,
) -> Result<Made> {
    match selection {
        Selection::All => Ok(top.into()),
        Selection::Several(platforms) => Ok(pruned(origin.as_ref(), &top, platforms)?.0),
        Selection::Digest(digest) => {
            let mut waiting = vec![(top, 0_u32)];
            while let Some((descriptor, depth)) = waiting.pop() {
                if descriptor.digest == *digest {
                    return Ok(descriptor.into());
                }
                if depth < Limits::default().index_depth
                    && let Some(index) = read(origin.as_ref(), &descriptor)?.index()
                {
                    waiting.extend(index.manifests.iter().map(|entry| (entry.clone(), depth + 1)));
                }
            }
            let what = format!("{digest} in {}", origin.name());
            Err(ErrorKind::NotFound { what, detail: None }.into())
        }
        Selection::One(platform) => {
            let options = open::options(PlatformChoice::One(platform.clone()), Depth::Manifest);
            let walked = origin.walk(&top, options, &watch::Notes::new(console))?;
            first(walked)
        }
    }
}
