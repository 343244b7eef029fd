//! The job that asks who refers to a manifest: by the registry's own list, else by the tag that clients keep
//! (distribution-spec, "Listing Referrers").

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::JobId;
use super::conduct::at_url;
use super::event::Outcome;
use super::exchange::{About, Exchange, Key, Owner, Target};
use super::hosts::Class;
use super::machine::Client;
use super::manage::Manage;
use super::options::ReferrersOptions;
use super::referring::{read_referrers, referrers_tag};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::http::{Scope, Url, percent};
use crate::image::Descriptor;
use crate::media_type::MediaType;
use crate::reference::Reference;

#[derive(Debug)]
pub(super) struct Referrers {
    manage: Manage,
    registry: String,
    repository: String,
    digest: Digest,
    options: ReferrersOptions,
    found: Vec<Descriptor>,
    pages: u32,
    /// The tag is asked, since there is no list.
    by_tag: bool,
}

/// Pages of one list.
const MOST_PAGES: u32 = 1000;

impl Referrers {
    pub(super) fn new(
        manage: Manage,
        reference: &Reference,
        digest: Digest,
        options: ReferrersOptions,
    ) -> Referrers {
        Referrers {
            manage,
            registry: reference.host().to_string(),
            repository: reference.repository().to_string(),
            digest,
            options,
            found: Vec::new(),
            pages: 0,
            by_tag: false,
        }
    }
}

impl Client {
    fn referrers_of(&mut self, job: JobId) -> Option<&mut Referrers> {
        match self.jobs.get_mut(&job).map(|job| &mut job.work) {
            Some(super::machine::Work::Referrers(_, referrers)) => Some(referrers),
            _ => None,
        }
    }

    /// Asks for the list.
    pub(super) fn ask_referrers(&mut self, job: JobId, next: Option<String>) {
        let Some(referrers) = self.referrers_of(job) else { return };
        let (registry, repository) = (referrers.registry.clone(), referrers.repository.clone());
        let (manage, digest) = (referrers.manage, referrers.digest);
        let exchange = if referrers.by_tag {
            let tag = referrers_tag(&digest);
            Exchange::manifest(
                Owner::Referrers(manage, job),
                &registry,
                &repository,
                &tag,
                MediaType::MANIFESTS,
            )
        } else {
            let target = next.unwrap_or_else(|| {
                let target = format!("/v2/{repository}/referrers/{digest}");
                match &referrers.options.artifact_type {
                    Some(kind) => format!("{target}?artifactType={}", percent::encode_query_component(kind)),
                    None => target,
                }
            });
            let target = Target::Registry(target);
            let mut exchange =
                Exchange::new(Owner::Referrers(manage, job), &registry, target, Class::Document);
            exchange.headers.set("accept", MediaType::OciIndex.as_str());
            exchange.what = format!("referrers of `{digest}` in `{repository}`");
            exchange.scopes.push(Scope::repository(&repository, ["pull"]));
            exchange.repository = Some(repository);
            exchange
        };
        self.launch(Exchange { rank: (job.0, 0), ..exchange });
    }

    /// A page came, or what the tag holds.
    pub(super) fn referrers_page(&mut self, job: JobId, key: Key, bytes: &[u8], about: &About, url: &Url) {
        let most = self.config.limits.list_entries;
        let read = read_referrers(bytes, about.content_type.as_deref(), &self.config.limits);
        let Some(referrers) = self.referrers_of(job) else { return };
        let entries = match read {
            Ok(entries) => entries,
            // A registry that knows no such list may answer with anything.
            Err(_) if !referrers.by_tag && referrers.pages == 0 => return self.referrers_missing(job, key),
            Err(error) => return self.exchange_failed(key, at_url(error, url)),
        };
        // Filters are applied by whoever wants to: once more does no harm.
        let wanted = referrers.options.artifact_type.clone();
        let fits = |entry: &Descriptor| {
            wanted.as_ref().is_none_or(|kind| entry.artifact_type.as_ref() == Some(kind))
        };
        referrers.found.extend(entries.into_iter().filter(fits));
        referrers.pages += 1;
        let is_over = referrers.found.len() as u64 > most || referrers.pages > MOST_PAGES;
        let next = about.next.as_ref().filter(|_| !referrers.by_tag).map(Url::target);
        let found = core::mem::take(&mut referrers.found);
        self.drop_silently(key);
        match next {
            _ if is_over => {
                let error = Error::from(ErrorKind::LimitExceeded { limit: "list_entries", value: most });
                self.fail(job, at_url(error, url));
            }
            Some(next) => {
                if let Some(referrers) = self.referrers_of(job) {
                    referrers.found = found;
                }
                self.ask_referrers(job, Some(next));
            }
            None => self.finish(job, Ok(Outcome::Referrers(found))),
        }
    }

    /// There is no list: the tag is asked. No tag: nobody refers to it.
    pub(super) fn referrers_missing(&mut self, job: JobId, key: Key) {
        self.drop_silently(key);
        let Some(referrers) = self.referrers_of(job) else { return };
        if core::mem::replace(&mut referrers.by_tag, true) {
            let found = core::mem::take(&mut referrers.found);
            return self.finish(job, Ok(Outcome::Referrers(found)));
        }
        self.ask_referrers(job, None);
    }
}
