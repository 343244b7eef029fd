//! The job that deletes a manifest, a tag or a blob (distribution-spec, "Content Management").

use alloc::format;
use alloc::string::ToString;

use super::JobId;
use super::event::Outcome;
use super::exchange::{Exchange, Key, Owner, Target};
use super::hosts::Class;
use super::machine::Client;
use super::manage::Manage;
use crate::http::{Method, Scope};
use crate::reference::Reference;

impl Client {
    /// Asks for the deletion of what the reference names: a tag, or by its digest a manifest (or a blob).
    pub(super) fn ask_deletion(&mut self, manage: Manage, job: JobId, reference: &Reference, blob: bool) {
        let repository = reference.repository();
        let (kind, what) = if blob { ("blobs", "blob") } else { ("manifests", "manifest") };
        let name = match reference.digest() {
            Some(digest) => digest.to_string(),
            None => reference.target(),
        };
        let target = Target::Registry(format!("/v2/{repository}/{kind}/{name}"));
        let mut exchange =
            Exchange::new(Owner::Delete(manage, job), reference.host(), target, Class::Document);
        exchange.method = Method::Delete;
        exchange.rank = (job.0, 0);
        exchange.what = format!("{what} `{name}` of `{repository}`");
        exchange.scopes.push(Scope::repository(repository, ["pull", "delete"]));
        exchange.repository = Some(repository.to_string());
        self.launch(exchange);
    }

    /// It is gone.
    pub(super) fn deleted(&mut self, job: JobId, key: Key) {
        self.drop_silently(key);
        self.finish(job, Ok(Outcome::Deleted));
    }
}
