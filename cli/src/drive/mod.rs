//! The driver of core's [`client::Client`](wharfie_core::client::Client): sockets, files, threads and the clock.

mod cancel;
mod observe;
mod options;

use wharfie_core::client::{ListOptions, SharedBytes};
use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;
use wharfie_core::{Digest, Reference, client};

use crate::store::Store;

pub use cancel::Cancel;
pub use observe::{CredentialSource, NoCredentials, Observer, Silent, Transfer, TransferState};
pub use options::{NetworkOptions, PullOptions, When};

use std::sync::Arc;

/// Runs jobs against registries, blobs going to a [`Store`]. Its calls block; several may run at once from several
/// threads, and share tokens, connections and blobs. Dropping it ends its threads.
#[derive(Clone)]
pub struct Driver {
    store: Store,
    cancel: Cancel,
}

/// An image that is in the store.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pulled {
    /// What was asked for, with `latest` spelled out.
    pub reference: Reference,
    /// What it names and what hangs below it, down to the depth that was asked for.
    pub image: client::Pulled,
    /// Whether no registry was asked at all.
    pub from_store: bool,
}

#[allow(unused_variables, clippy::needless_pass_by_value, clippy::todo)]
impl Driver {
    /// Starts the threads.
    ///
    /// # Errors
    /// `local_io` for a CA file that cannot be read or threads that cannot be had.
    pub fn new(
        options: NetworkOptions,
        store: Store,
        credentials: Arc<dyn CredentialSource>,
        observer: Arc<dyn Observer>,
    ) -> Result<Driver> {
        todo!()
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What stops all jobs: give a clone to the signal handler.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Fetches an image into the store, down to the depth of the options. At [`client::Depth::Layers`] the store's
    /// index lists it from then on.
    ///
    /// # Errors
    /// Whatever the registry, the network or the disk come to; `offline` if it may not ask and lacks something;
    /// `no_space` before anything is fetched if the disk cannot hold it; `cancelled`.
    pub fn pull(&self, reference: &Reference, options: &PullOptions) -> Result<Pulled> {
        todo!()
    }

    /// Which descriptor the reference names: asks with HEAD where it has to ask.
    ///
    /// # Errors
    /// As [`Driver::pull`].
    pub fn resolve(&self, reference: &Reference, when: When) -> Result<Descriptor> {
        todo!()
    }

    /// A document of a pull (index, manifest or config), from the store.
    ///
    /// # Errors
    /// `not_found` if it is not there, `digest_mismatch` if it has rotted.
    pub fn document(&self, digest: &Digest) -> Result<SharedBytes> {
        todo!()
    }

    /// Fetches one blob by the reference's digest into the store: its descriptor, with a generic media type.
    ///
    /// # Errors
    /// As [`Driver::pull`]; `invalid_option` if the reference has no digest.
    pub fn blob(&self, reference: &Reference) -> Result<Descriptor> {
        todo!()
    }

    /// The tags of a repository, given page by page, in the registry's order. Answers how many.
    ///
    /// # Errors
    /// As [`Driver::pull`], and what `page` answers.
    pub fn tags(
        &self,
        repository: &Reference,
        options: ListOptions,
        page: &mut dyn FnMut(&[String]) -> Result<()>,
    ) -> Result<u64> {
        todo!()
    }

    /// The repositories of a registry (as `Reference` names it), given page by page. Answers how many.
    ///
    /// # Errors
    /// As [`Driver::tags`].
    pub fn repositories(
        &self,
        registry: &str,
        options: ListOptions,
        page: &mut dyn FnMut(&[String]) -> Result<()>,
    ) -> Result<u64> {
        todo!()
    }

    /// Checks the credentials for a registry (as `Reference` names it), as `login` does. Answers whether it took any:
    /// it may want none.
    ///
    /// # Errors
    /// As [`Driver::pull`].
    pub fn check(&self, registry: &str) -> Result<bool> {
        todo!()
    }
}
