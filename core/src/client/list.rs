//! The jobs that read lists, and the one that checks credentials.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::JobId;
use super::conduct::at_url;
use super::event::{Event, Listed, Outcome};
use super::exchange::{About, Exchange, Key, Owner, Target};
use super::hosts::Class;
use super::machine::{Client, Work};
use super::manage::Manage;
use super::options::ListOptions;
use crate::error::ErrorKind;
use crate::http::{Scope, Url};

/// What is listed.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    Tags { repository: String },
    Repositories,
}

#[derive(Debug)]
pub(super) struct List {
    registry: String,
    subject: Subject,
    options: ListOptions,
    names: u64,
    pages: u64,
    /// The page that was asked for last.
    target: String,
    /// An earlier page, the one after 1, 2, 4, … pages (Brent's search for cycles): whoever leads back to it goes round.
    mark: String,
}

#[derive(serde::Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

impl List {
    pub(super) fn new(registry: &str, subject: Subject, options: ListOptions) -> List {
        let path = match &subject {
            Subject::Tags { repository } => format!("/v2/{repository}/tags/list"),
            Subject::Repositories => "/v2/_catalog".to_string(),
        };
        let target = match options.page {
            Some(page) => format!("{path}?n={page}"),
            None => path,
        };
        List {
            registry: registry.to_string(),
            subject,
            options,
            names: 0,
            pages: 0,
            mark: target.clone(),
            target,
        }
    }
}

impl Client {
    fn list_of(&mut self, job: JobId) -> Option<&mut List> {
        match self.jobs.get_mut(&job).map(|job| &mut job.work) {
            Some(Work::List(list)) => Some(list),
            _ => None,
        }
    }

    /// Asks for the page that is next.
    pub(super) fn ask_page(&mut self, job: JobId) {
        let Some(list) = self.list_of(job) else { return };
        let target = Target::Registry(list.target.clone());
        let mut exchange = Exchange::new(Owner::List(job), &list.registry, target, Class::Document);
        exchange.headers.set("accept", "application/json");
        exchange.rank = (job.0, 0);
        match &list.subject {
            Subject::Tags { repository } => {
                exchange.what = format!("tags of `{repository}`");
                exchange.scopes.push(Scope::repository(repository, ["pull"]));
                exchange.repository = Some(repository.clone());
            }
            Subject::Repositories => {
                exchange.what = "the list of repositories".to_string();
                exchange.scopes.push(Scope::catalog());
            }
        }
        self.launch(exchange);
    }

    /// A page arrived.
    pub(super) fn page_arrived(&mut self, job: JobId, key: Key, bytes: &[u8], about: About, url: &Url) {
        let page: Page = match serde_json::from_slice(bytes) {
            Ok(page) => page,
            Err(error) => {
                let kind =
                    ErrorKind::InvalidDocument { document: "list", reason: format!("not JSON: {error}") };
                return self.exchange_failed(key, at_url(kind.into(), url));
            }
        };
        self.drop_silently(key);
        let most_entries = self.config.limits.list_entries;
        let Some(list) = self.list_of(job) else { return };
        let mut names = match list.subject {
            Subject::Tags { .. } => page.tags,
            Subject::Repositories => page.repositories,
        }
        .unwrap_or_default();
        let left = list.options.most.unwrap_or(u64::MAX).saturating_sub(list.names);
        names.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        list.names = list.names.saturating_add(names.len() as u64);
        // A page counts too, so that a chain of empty ones has an end.
        list.pages += 1;
        let total = list.names.saturating_add(list.pages);
        let is_full = list.options.most.is_some_and(|most| list.names >= most);
        // The registry itself goes on: behind a proxy it often does not know its own scheme and host.
        let next = about.next.map(|next| next.target());
        if list.pages.is_power_of_two() {
            list.mark = list.target.clone();
        }
        let is_loop = next.as_ref().is_some_and(|next| *next == list.target || *next == list.mark);
        let count = list.names;
        if let Some(next) = &next {
            list.target = next.clone();
        }
        if !names.is_empty() {
            self.event(Event::Listed { job, listed: Listed { names } });
        }
        if next.is_none() || is_full {
            return self.finish(job, Ok(Outcome::Listed { names: count }));
        }
        let error: Option<ErrorKind> = if is_loop {
            Some(super::conduct::protocol(url, "the link to the next page leads back to an earlier one"))
        } else if total > most_entries {
            Some(ErrorKind::LimitExceeded { limit: "list_entries", value: most_entries })
        } else {
            None
        };
        match error {
            Some(kind) => self.fail(job, at_url(kind.into(), url)),
            None => self.ask_page(job),
        }
    }

    /// Asks the registry's root, which is open to all or to nobody who does not say who they are.
    pub(super) fn ask_root(&mut self, manage: Manage, job: JobId, registry: &str) {
        let target = Target::Registry("/v2/".to_string());
        let mut exchange = Exchange::new(Owner::Check(manage, job), registry, target, Class::Document);
        exchange.rank = (job.0, 0);
        exchange.what = format!("a registry at {registry}");
        self.launch(exchange);
    }

    /// The root answered.
    pub(super) fn checked(&mut self, job: JobId, authenticated: bool) {
        self.finish(job, Ok(Outcome::Checked { authenticated }));
    }
}
