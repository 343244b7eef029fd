//! `copy`, `push` and `pull IMAGE PLACE`: images from one place to another.
//!
//! Between registries a blob goes on while it comes, and is mounted where both are one. Into a layout a pull goes straight:
//! a store is a layout. Every other place gets what has been verified on this disk.

mod carry;
mod companions;
mod ends;
mod pack;
mod rework;
mod sync;
mod wishes;

use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use wharfie_core::client::{Depth, PushOptions};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::source::{Local, Transport};
use wharfie_core::{Reference, Source};

use super::args::{CopyArgs, FromArgs, PullArgs, PushArgs};
use super::{names, open, output};
use crate::console::{Bytes, Console};
use crate::destination::Destination;
use crate::drive::Driver;
use crate::layout::Layout;
use crate::origin::Origin;
use crate::store::Store;
use carry::Carried;
use ends::{From, To};
use rework::Reworked;
use wishes::Wishes;

/// What one image came to.
#[derive(Debug)]
struct Report {
    top: Descriptor,
    tags: Vec<String>,
    sent: u64,
    sent_bytes: u64,
    mounted: u64,
    present: u64,
    /// What refers to it and went along.
    referrers: u64,
}

impl Report {
    fn of(top: &Descriptor) -> Report {
        Report {
            top: top.clone(),
            tags: Vec::new(),
            sent: 0,
            sent_bytes: 0,
            mounted: 0,
            present: 0,
            referrers: 0,
        }
    }

    fn add(&mut self, other: &Report) {
        self.sent += other.sent;
        self.sent_bytes += other.sent_bytes;
        self.mounted += other.mounted;
        self.present += other.present;
    }

    fn carried(top: &Descriptor, carried: &Carried) -> Report {
        Report { sent: carried.blobs, sent_bytes: carried.bytes, present: carried.present, ..Report::of(top) }
    }
}

/// One run of the command: both ends are open.
struct Run<'c> {
    console: &'c Console,
    wishes: Wishes,
    /// What reaches registries, if one is an end.
    driver: Option<Driver>,
    /// What takes images, if that is a place on this machine other than a layout that is pulled into.
    destination: Option<Box<dyn Destination>>,
    from_args: &'c FromArgs,
    /// What was made for it: a destination may read until it is committed.
    made: Vec<Reworked>,
    /// The sample, if that is what is copied.
    sample: Option<Sample>,
    /// What was fetched for this run only.
    _folders: Vec<TempDir>,
}

/// The image that is built into the program, as a layout for this run.
struct Sample(TempDir);

impl Sample {
    fn of(name: &str) -> Result<Option<Sample>> {
        if name != open::SAMPLE {
            return Ok(None);
        }
        let folder = open::temporary()?;
        crate::sample::unpack(folder.path())?;
        Ok(Some(Sample(folder)))
    }

    fn source(&self) -> Source {
        let path = open::shown(self.0.path());
        Source::Local(Local { transport: Transport::OciLayout, path, reference: None })
    }
}

/// `copy SRC DST`
pub(super) fn copy(arguments: &CopyArgs, console: &Console) -> Result<()> {
    let wishes = Wishes::read(&arguments.carry, &arguments.tag)?;
    let patterns = sync::patterns(&arguments.tags)?;
    let sample = Sample::of(&arguments.source)?;
    let source = match &sample {
        Some(sample) => sample.source(),
        None => source(&arguments.source, &arguments.from, console)?,
    };
    let target = Source::parse(&arguments.target)?;
    let creds =
        ends::Creds { source: arguments.src_creds.as_deref(), target: arguments.dest_creds.as_deref() };
    let (mut run, from, to) = ends::open(source, target, &arguments.from, creds, wishes, console)?;
    run.sample = sample;
    if arguments.sync { sync::run(&mut run, &from, &to, &patterns) } else { run.single(&from, &to) }
}

/// `push SRC [DST]`
pub(super) fn push(arguments: &PushArgs, console: &Console) -> Result<()> {
    let wishes = Wishes::read(&arguments.carry, &arguments.tag)?;
    let sample = Sample::of(&arguments.source)?;
    let target = match &arguments.target {
        Some(target) => super::list::registry_reference(target)?.or_latest(),
        None => super::list::registry_reference(&arguments.source)?.or_latest(),
    };
    let source = match &sample {
        Some(sample) => sample.source(),
        None => Source::parse(&arguments.source)?,
    };
    let (mut run, from, to) = ends::open_push(source, target, &arguments.from, wishes, console)?;
    run.sample = sample;
    run.single(&from, &to)
}

/// `pull IMAGE PLACE`, if these are its arguments.
pub(super) fn pull(arguments: &PullArgs, console: &Console) -> Option<Result<()>> {
    let [image, place] = arguments.images.as_slice() else { return None };
    // A name of an image is none of a place.
    let target = Source::parse(place).ok().filter(|place| matches!(place, Source::Local(_)))?;
    let run = || {
        super::list::registry_reference(image)?;
        let source = source(image, &arguments.from, console)?;
        let wishes = Wishes::of_pull(arguments)?;
        let (mut run, from, to) =
            ends::open(source, target, &arguments.from, ends::Creds::default(), wishes, console)?;
        run.single(&from, &to)
    };
    Some(run())
}

/// Where an image is; a name without a registry is read by the user's settings.
fn source(name: &str, from: &FromArgs, console: &Console) -> Result<Source> {
    match Source::parse(name)? {
        Source::Registry(reference) => {
            names::settle(name, reference, &from.network, None, console).map(Source::Registry)
        }
        source => Ok(source),
    }
}

impl Run<'_> {
    fn driver(&self) -> Result<&Driver> {
        let reason = "a registry is asked without a driver".to_owned();
        self.driver.as_ref().ok_or_else(|| ErrorKind::Internal { reason }.into())
    }

    /// What is fetched, to be read.
    fn fetched(&self) -> Result<Arc<dyn Origin>> {
        Ok(Arc::new(fetched(self.driver()?.store())))
    }

    /// One image, and all is done.
    fn single(&mut self, from: &From, to: &To) -> Result<()> {
        let report = self.image(from, to).inspect_err(|_| {
            if let To::Layout(store, _) = to {
                store.leave_layout();
            }
        })?;
        self.finish(to)?;
        self.tell(from, to, &report)
    }

    /// Has places that were written to get their names.
    fn finish(&mut self, to: &To) -> Result<()> {
        if let Some(destination) = self.destination.take()
            && !self.wishes.dry_run
        {
            destination.commit()?;
        }
        if let To::Layout(store, _) = to {
            store.leave_layout();
        }
        Ok(())
    }

    /// Copies one image and, where that is wished, what refers to it.
    fn image(&mut self, from: &From, to: &To) -> Result<Report> {
        let place = |error: Error| error.in_image(from.to_string());
        let (made, origin) = self.take(from, self.depth(to)).map_err(place)?;
        let reworked = rework::rework(origin, made, &self.wishes, self.console).map_err(place)?;
        let top = reworked.top.clone();
        let mut report = self.deliver(from, to, &reworked, &top, to.name(), true)?;
        if self.wishes.referrers {
            companions::copy(self, from, to, &reworked, &mut report)?;
        }
        if matches!(to, To::Place(_)) {
            self.made.push(reworked);
        }
        Ok(report)
    }

    /// Has one document and all below it at the other end: the image that is copied, or something that refers to it.
    fn deliver(
        &mut self,
        from: &From,
        to: &To,
        reworked: &Reworked,
        top: &Descriptor,
        name: Option<&str>,
        is_image: bool,
    ) -> Result<Report> {
        match to {
            To::Registry(reference) => {
                let to = at(reference, name, top, is_image)?;
                let options = PushOptions {
                    tags: if is_image { self.wishes.tags.clone() } else { Vec::new() },
                    chunk: self.wishes.chunk,
                    dry_run: self.wishes.dry_run,
                    remade: reworked.is_made(),
                    ..PushOptions::default()
                };
                let driver = self.driver()?;
                let pushed = match from {
                    From::Registry(source) => {
                        reworked.keep(driver.store())?;
                        driver.copy(&source.with_digest(top.digest), &to, top, options)?
                    }
                    From::Local(..) => driver.push(&to, top, options, reworked.supply())?,
                };
                Ok(Report {
                    top: top.clone(),
                    tags: pushed.tags,
                    sent: pushed.sent,
                    sent_bytes: pushed.sent_bytes,
                    mounted: pushed.mounted,
                    present: pushed.present,
                    referrers: 0,
                })
            }
            To::Layout(store, _) => {
                reworked.keep(store)?;
                let mut entry = top.clone();
                entry.data = None;
                store.list_as(name, &entry)?;
                Ok(Report::carried(top, &carry::count(reworked, top, None)?))
            }
            To::Probe(_, layout) => {
                let carried = carry::count(reworked, top, layout.as_ref())?;
                Ok(Report::carried(top, &carried))
            }
            To::Place(local) => {
                if self.destination.is_none() {
                    self.destination = Some(ends::destination(local)?);
                }
                let Some(destination) = self.destination.as_mut() else { return Ok(Report::of(top)) };
                let carried = carry::carry(reworked, top, destination.as_mut(), self.console)?;
                destination.name(top, name)?;
                Ok(Report::carried(top, &carried))
            }
        }
    }

    /// How far down a source is read before anything is sent.
    fn depth(&self, to: &To) -> Depth {
        match to {
            To::Registry(_) if self.wishes.compress.is_some() => Depth::Layers,
            To::Registry(_) if self.wishes.format.is_some() || self.wishes.referrers => Depth::Manifest,
            To::Registry(_) => Depth::Document,
            // What a layout would need can be counted with its layers still away.
            To::Probe(..) if self.wishes.compress.is_none() => Depth::Config,
            _ => Depth::Layers,
        }
    }

    fn tell(&self, from: &From, to: &To, report: &Report) -> Result<()> {
        let Report { top, tags, sent, sent_bytes, mounted, present, referrers } = report;
        let is_dry = self.wishes.dry_run;
        let mut text = match (to, is_dry) {
            (To::Registry(_), false) => format!("{sent} blobs sent ({})", Bytes(*sent_bytes)),
            (_, false) => format!("{sent} blobs ({})", Bytes(*sent_bytes)),
            (_, true) => format!("{sent} blobs to send ({}), nothing was sent", Bytes(*sent_bytes)),
        };
        if *mounted > 0 {
            let verb = if is_dry { "to mount" } else { "mounted" };
            text = format!("{text}, {mounted} {verb}");
        }
        if *present > 0 {
            text = format!("{text}, {present} there already");
        }
        if *referrers > 0 {
            text = format!("{text}, {referrers} that refer to it");
        }
        let from = if self.sample.is_some() { open::SAMPLE.to_owned() } else { from.to_string() };
        self.console.note(&format!("{from} to {to}: {text}"));
        if self.wishes.json {
            return output::json(&json!({
                "source": from,
                "target": to.to_string(),
                "digest": top.digest.to_string(),
                "mediaType": top.media_type.as_str(),
                "size": top.size,
                "tags": tags,
                "blobs": sent,
                "bytes": sent_bytes,
                "mounted": mounted,
                "present": present,
                "referrers": referrers,
                "dryRun": is_dry,
            }));
        }
        output::lines([match to {
            To::Registry(reference) => format!("{}@{}", reference.name(), top.digest),
            _ => format!("{to}@{}", top.digest),
        }])
    }
}

/// The name of something in the repository of this reference: of the image the one that was asked for, digest and all; of what
/// refers to it a tag, or its digest alone.
fn at(reference: &Reference, name: Option<&str>, top: &Descriptor, is_image: bool) -> Result<Reference> {
    match name {
        _ if is_image && reference.digest().is_some() => Ok(reference.clone()),
        Some(tag) => reference.with_tag(tag),
        None => Ok(Reference::new(reference.host(), reference.repository())?.with_digest(top.digest)),
    }
}

/// A layout of what a driver has fetched.
fn fetched(store: &Store) -> Layout {
    Layout::at(store.root())
}

/// Whether a place is a layout that a pull can go into.
fn is_layout(local: &Local) -> bool {
    local.transport == Transport::OciLayout
}
