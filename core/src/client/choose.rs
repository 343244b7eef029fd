//! Which images of an index a pull takes.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};

use super::JobId;
use super::event::{Event, Warning};
use super::machine::Client;
use super::options::PlatformChoice;
use super::pull::{Child, Use};
use crate::error::{Error, ErrorKind, Result};
use crate::image::{self, Choice, Descriptor, Index, Manifest};
use crate::platform::Platform;

impl Client {
    pub(super) fn take_index(
        &mut self,
        job: JobId,
        child: Option<&Child>,
        descriptor: &Descriptor,
        index: &Index,
    ) -> Result<()> {
        let limits = self.config.limits.clone();
        let Some(pull) = self.pull_of(job) else { return Ok(()) };
        let position = child.map(|child| child.position.clone()).unwrap_or_default();
        if position.len() as u64 >= u64::from(limits.index_depth) {
            let value = u64::from(limits.index_depth);
            return Err(Error::from(ErrorKind::LimitExceeded { limit: "index_depth", value })
                .in_blob(descriptor.digest));
        }
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let at = |at: usize| {
            let mut position = position.clone();
            position.push(place(at));
            position
        };
        match pull.options.platform.clone() {
            PlatformChoice::All => {
                for (number, entry) in index.manifests.iter().enumerate() {
                    let kind = &entry.media_type;
                    if !(kind.is_manifest() || kind.is_index() || kind.is_generic()) {
                        continue;
                    }
                    let Some(pull) = self.pull_of(job) else { return Ok(()) };
                    if !pull.seen.insert(entry.digest) {
                        continue;
                    }
                    if pull.seen.len() as u64 > u64::from(limits.descriptors) {
                        let value = u64::from(limits.descriptors);
                        return Err(ErrorKind::LimitExceeded { limit: "descriptors", value }.into());
                    }
                    let child = Child {
                        position: at(number),
                        platform: entry.platform.clone(),
                        others: VecDeque::new(),
                        is_trial: false,
                    };
                    self.want(job, entry.clone(), Use::Child(child), None);
                }
                Ok(())
            }
            PlatformChoice::One(wanted) => {
                let choice = match index.choose(&wanted) {
                    Ok(choice) => choice,
                    Err(error) => {
                        return match child {
                            Some(child) if child.is_trial => self.try_next(job, child),
                            _ => Err(error.in_blob(descriptor.digest)),
                        };
                    }
                };
                let is_trial = matches!(choice, Choice::Undeclared(_));
                let mut entries: VecDeque<(u32, Descriptor)> = choice
                    .positions()
                    .iter()
                    .filter_map(|at| Some((place(*at), index.manifests.get(*at)?.clone())))
                    .collect();
                if let Some(child) = child.filter(|_| is_trial) {
                    entries.extend(child.others.iter().cloned());
                }
                if let (Choice::Declared(_), Some((_, entry))) = (&choice, entries.front()) {
                    self.event(Event::Chosen {
                        job,
                        wanted,
                        taken: entry.platform.clone(),
                        descriptor: entry.clone(),
                        others: index
                            .platforms()
                            .into_iter()
                            .filter(|other| {
                                entry.platform.as_ref().map(Platform::normalized).as_ref() != Some(other)
                            })
                            .collect(),
                    });
                }
                self.try_entry(job, &position, entries, is_trial)
            }
        }
    }

    fn try_entry(
        &mut self,
        job: JobId,
        base: &[u32],
        mut entries: VecDeque<(u32, Descriptor)>,
        is_trial: bool,
    ) -> Result<()> {
        let most = u64::from(self.config.limits.descriptors);
        let (number, entry) = loop {
            let Some(next) = entries.pop_front() else { return Err(self.none_fits(job)) };
            let Some(pull) = self.pull_of(job).filter(|_| is_trial) else { break next };
            if pull.seen.len() as u64 > most {
                return Err(ErrorKind::LimitExceeded { limit: "descriptors", value: most }.into());
            }
            // One that was tried before does not fit now either.
            if pull.seen.insert(next.1.digest) {
                break next;
            }
        };
        let mut position = base.to_vec();
        position.push(number);
        let platform = entry.platform.clone();
        let child = Child { position, platform, others: entries, is_trial };
        self.want(job, entry, Use::Child(child), None);
        Ok(())
    }

    fn none_fits(&mut self, job: JobId) -> Error {
        let Some(pull) = self.pull_of(job) else { return ErrorKind::Cancelled {}.into() };
        let wanted = match &pull.options.platform {
            PlatformChoice::One(wanted) => wanted.to_string(),
            PlatformChoice::All => String::new(),
        };
        ErrorKind::PlatformNotFound { wanted, available: image::available(&pull.found) }.into()
    }

    fn try_next(&mut self, job: JobId, child: &Child) -> Result<()> {
        let base = child.position.split_last().map_or(&[][..], |(_, base)| base).to_vec();
        self.try_entry(job, &base, child.others.clone(), true)
    }

    /// A candidate that does not say what it is for: its config does.
    pub(super) fn try_manifest(
        &mut self,
        job: JobId,
        child: &Child,
        descriptor: Descriptor,
        manifest: &Manifest,
    ) -> Result<()> {
        if !(manifest.config.media_type.is_config() || manifest.config.media_type.is_generic()) {
            return self.try_next(job, child);
        }
        let wanted = Use::Trial { child: child.clone(), manifest: manifest.clone(), document: descriptor };
        self.want(job, manifest.config.clone(), wanted, None);
        Ok(())
    }

    pub(super) fn judge_trial(
        &mut self,
        job: JobId,
        child: &Child,
        manifest: &Manifest,
        document: &Descriptor,
        config: &[u8],
    ) -> Result<()> {
        let platform =
            image::Config::parse(config, &self.config.limits).ok().and_then(|config| config.platform);
        let Some(pull) = self.pull_of(job) else { return Ok(()) };
        let PlatformChoice::One(wanted) = pull.options.platform.clone() else { return Ok(()) };
        match platform {
            Some(platform) if wanted.matches(&platform) => {
                let others = pull.found.clone();
                self.event(Event::Chosen {
                    job,
                    wanted,
                    taken: Some(platform.clone()),
                    descriptor: document.clone(),
                    others,
                });
                let child = Child { platform: Some(platform), is_trial: false, ..child.clone() };
                self.keep_image(job, Some(&child), document.clone(), manifest, false)
            }
            other => {
                let platform = other.map(|platform| platform.normalized());
                pull.found.extend(platform.filter(|platform| !pull.found.contains(platform)));
                self.try_next(job, child)
            }
        }
    }

    /// A reference that names one image has no choice of platforms: the config tells what it is for.
    pub(super) fn compare_platform(&mut self, job: JobId, config: &[u8]) {
        let found = image::Config::parse(config, &self.config.limits).ok().and_then(|config| config.platform);
        let Some(pull) = self.pull_of(job) else { return };
        let PlatformChoice::One(wanted) = pull.options.platform.clone() else { return };
        if let Some(found) = found.filter(|found| !wanted.matches(found)) {
            self.warn_once(job, Warning::PlatformMismatch { wanted, found });
        }
    }
}
