//! How jobs that manage registries begin: push, copy, delete, referrers, repositories, the check of credentials.

use alloc::boxed::Box;
use alloc::string::ToString;

use super::list::{List, Subject};
use super::machine::{Client, Work};
use super::manage::Manage;
use super::push::Push;
use super::referrers::Referrers;
use super::{JobId, ListOptions, PushOptions, ReferrersOptions};
use crate::digest::Digest;
use crate::image::Descriptor;
use crate::reference::Reference;
use crate::time::Millis;

impl Client {
    /// Starts a push: what hangs below `top`, which the host has, and then `top` itself, under the reference's tag and those
    /// of the options; without any under its digest alone. Documents are asked for by [`Event::Need`](super::Event::Need) (answered by
    /// [`Client::supply`]), blobs are named by [`Event::Source`](super::Event::Source).
    ///
    /// The registry ends with the whole image, or with none of its tags moved.
    pub fn push(&mut self, now: Millis, to: &Reference, top: &Descriptor, options: PushOptions) -> JobId {
        self.start_push(now, to, None, top, options)
    }

    /// Starts a copy from one registry to another, or within one: a push of what another registry has. Documents and blobs
    /// that the target lacks are asked for by [`Event::Need`](super::Event::Need) as a pull does; blobs of one registry are mounted. Whoever
    /// answers `fetch` for a blob may hand on its bytes while they come.
    pub fn copy(
        &mut self,
        now: Millis,
        from: &Reference,
        to: &Reference,
        top: &Descriptor,
        options: PushOptions,
    ) -> JobId {
        self.start_push(now, to, Some(from), top, options)
    }

    fn start_push(
        &mut self,
        now: Millis,
        to: &Reference,
        from: Option<&Reference>,
        top: &Descriptor,
        options: PushOptions,
    ) -> JobId {
        self.advance(now);
        let push = Push::new(Manage, to, from, top, options);
        let job = self.add_job(to.familiar(), Work::Push(Manage, Box::new(push)));
        self.begin_push(job);
        self.pump();
        job
    }

    /// Starts to delete what the reference names: its digest if it has one, else its tag.
    pub fn delete(&mut self, now: Millis, reference: &Reference) -> JobId {
        self.advance(now);
        let job = self.add_job(reference.familiar(), Work::Delete);
        self.ask_deletion(Manage, job, reference, false);
        self.pump();
        job
    }

    /// Starts to ask who refers to the manifest of this digest (distribution-spec, "Listing Referrers").
    pub fn referrers(
        &mut self,
        now: Millis,
        repository: &Reference,
        digest: Digest,
        options: ReferrersOptions,
    ) -> JobId {
        self.advance(now);
        let referrers = Referrers::new(Manage, repository, digest, options);
        let job = self.add_job(repository.name(), Work::Referrers(Manage, Box::new(referrers)));
        self.ask_referrers(job, None);
        self.pump();
        job
    }

    /// Starts to list the repositories of a registry, as `Reference` names it.
    pub fn repositories(&mut self, now: Millis, registry: &str, options: ListOptions) -> JobId {
        self.advance(now);
        let list = List::new(registry, Subject::Repositories, options);
        let job = self.add_job(registry.to_string(), Work::List(list));
        self.ask_page(job);
        self.pump();
        job
    }

    /// Starts to check credentials with a registry: what `login` does.
    pub fn check(&mut self, now: Millis, registry: &str) -> JobId {
        self.advance(now);
        let job = self.add_job(registry.to_string(), Work::Check);
        self.ask_root(Manage, job, registry);
        self.pump();
        job
    }
}
