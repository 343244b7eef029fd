//! The layout's `index.json`. What other tools wrote there stays as it is.

use std::fs;

use wharfie_core::Reference;
use wharfie_core::archive::listing::Listing;
use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;

use super::{LOCAL, Store};
use crate::fault::io_error;
use crate::listing;

impl Store {
    /// The entries of the index that can be read, in its order.
    pub(super) fn listed(&self) -> Result<Vec<Descriptor>> {
        listing::read(self.root()).map(|listing| listing.entries())
    }

    /// Lists an image in the layout's index under its full reference (`org.opencontainers.image.ref.name`), in place of
    /// what was listed there.
    ///
    /// # Errors
    /// `no_space`, `local_io`, `invalid_document`.
    pub fn tag(&self, reference: &Reference, descriptor: &Descriptor) -> Result<()> {
        let name = reference.clone().or_latest().to_string();
        self.edit_index(|listing| listing.set(Some(&name), descriptor))?;
        self.touch(&descriptor.digest);
        Ok(())
    }

    /// The same for an image that was made or loaded here: until it is pulled, its name means what is listed.
    ///
    /// # Errors
    /// As [`Store::tag`].
    pub fn tag_local(&self, reference: &Reference, descriptor: &Descriptor) -> Result<()> {
        let mut descriptor = descriptor.clone();
        descriptor.annotations.insert(LOCAL.to_owned(), "true".to_owned());
        self.tag(reference, &descriptor)
    }

    /// Lists a document in the layout's index under this name, to the letter, in place of what had it; without a name beside
    /// what is there.
    ///
    /// # Errors
    /// As [`Store::tag`].
    pub fn list_as(&self, name: Option<&str>, descriptor: &Descriptor) -> Result<()> {
        self.edit_index(|listing| listing.set(name, descriptor)).map(drop)
    }

    /// Makes of the store a layout and nothing else: what stores keep beside it goes, unless another process still uses it.
    pub fn leave_layout(&self) {
        let ingest = self.ingest();
        let _ = self.0.lease.alone(|| {
            fs::remove_dir_all(&ingest)
                .map_err(|error| io_error("cleaning the layout", Some(&ingest), &error))
        });
    }

    /// Takes an image out of the index; its blobs go with the next prune. Answers whether it was there.
    ///
    /// # Errors
    /// As [`Store::tag`].
    pub fn untag(&self, reference: &Reference) -> Result<bool> {
        let name = reference.clone().or_latest().to_string();
        self.edit_index(|listing| Ok(listing.remove(&name)))
    }

    /// Keeps the entries that `keep` says, given each as it can be read.
    pub(super) fn retain_listed(&self, keep: impl FnMut(&Descriptor) -> bool) -> Result<()> {
        self.edit_index(|listing| Ok(listing.retain(keep))).map(drop)
    }

    /// Changes the index, with it to oneself.
    fn edit_index(&self, change: impl FnOnce(&mut Listing) -> Result<bool>) -> Result<bool> {
        listing::edit(self.root(), change)
    }
}
