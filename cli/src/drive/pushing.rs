//! What changes a registry: pushes, copies, deletions; and the question who refers to what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wharfie_core::client::{Outcome, PushOptions, Pushed, ReferrersOptions};
use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;
use wharfie_core::{Digest, Error, Reference};

use super::machine::{Errand, Supplies, Task};
use super::{Driver, Supply, unexpected};

/// How often a copy begins again since a blob had to go again that was not held any more.
const MOST_LOST: u32 = 5;

impl Driver {
    /// Sends an image, an index or an artifact of this disk to a registry: what hangs below it first, its names last.
    ///
    /// # Errors
    /// Whatever the registry and the network come to; `not_found`, `size_mismatch`, `digest_mismatch` for what `supply`
    /// does not have or has otherwise; `offline`; `cancelled`.
    pub fn push(
        &self,
        to: &Reference,
        top: &Descriptor,
        options: PushOptions,
        supply: Arc<dyn Supply>,
    ) -> Result<Pushed> {
        self.send(to, top, options, Supplies::Local(supply), &Arc::default())
    }

    /// Sends what another registry has, or another repository of the same. `from` names the registry and the repository;
    /// what is copied is `top`. What has to be fetched for that goes on while it comes, through memory (16 MiB a blob at most),
    /// and does not get into the store: a pull of the same image beside it would not find it there.
    ///
    /// # Errors
    /// As [`Driver::push`] and [`Driver::pull`].
    pub fn copy(
        &self,
        from: &Reference,
        to: &Reference,
        top: &Descriptor,
        options: PushOptions,
    ) -> Result<Pushed> {
        let supplies = || Supplies::Registry(from.clone());
        for _ in 0..MOST_LOST {
            let lost = Arc::default();
            let sent = self.send(to, top, options.clone(), supplies(), &lost);
            // What arrived stays, so that each time less is missing.
            if sent.is_ok() || !lost.load(Ordering::Relaxed) {
                return sent;
            }
        }
        self.send(to, top, options, supplies(), &Arc::default())
    }

    fn send(
        &self,
        to: &Reference,
        top: &Descriptor,
        options: PushOptions,
        supplies: Supplies,
        lost: &Arc<AtomicBool>,
    ) -> Result<Pushed> {
        self.needs_network(&to.familiar())?;
        let errand =
            Box::new(Errand { to: to.clone(), top: top.clone(), options, supplies, lost: Arc::clone(lost) });
        let outcome = self.run(Task::Push(errand), true, &mut |_| Ok(()));
        match outcome.map_err(|error: Error| error.in_image(to.familiar()))? {
            Outcome::Pushed(pushed) => Ok(pushed),
            _ => Err(unexpected()),
        }
    }

    /// Deletes what the reference names: its digest if it has one, else its tag.
    ///
    /// # Errors
    /// As [`Driver::pull`]; `unsupported_operation` where the registry does not delete.
    pub fn delete(&self, reference: &Reference) -> Result<()> {
        self.needs_network(&reference.familiar())?;
        let outcome = self.run(Task::Delete(reference.clone()), true, &mut |_| Ok(()));
        match outcome.map_err(|error| error.in_image(reference.familiar()))? {
            Outcome::Deleted => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// The manifests that refer to the one of this digest (distribution-spec, "Listing Referrers").
    ///
    /// # Errors
    /// As [`Driver::pull`].
    pub fn referrers(
        &self,
        repository: &Reference,
        digest: Digest,
        options: ReferrersOptions,
    ) -> Result<Vec<Descriptor>> {
        self.needs_network(&repository.familiar())?;
        let task = Task::Referrers(repository.clone(), digest, options);
        let outcome = self.run(task, true, &mut |_| Ok(()));
        match outcome.map_err(|error| error.in_image(repository.familiar()))? {
            Outcome::Referrers(found) => Ok(found),
            _ => Err(unexpected()),
        }
    }
}
