//! The layout's `index.json`. What other tools wrote there stays as it is.

use wharfie_core::Reference;
use wharfie_core::archive::listing::Listing;
use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;

use super::Store;
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
