//! Where the layers of an image are.

use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;

use super::Image;
use crate::blob_file::BlobFile;
use crate::layers::{LocalImage, LocalLayer};

impl Image {
    /// The layers of the image, with the files that hold them, or will when they have come.
    ///
    /// # Errors
    /// What is wrong with its documents; `not_found` for a layer that a place on this machine lacks.
    pub fn layers(&self) -> Result<LocalImage> {
        let image = self.chosen()?;
        if let Some(manifest) = self.document(&image.manifest)?.manifest() {
            manifest.check_image().map_err(|error| error.in_image(&self.name))?;
        }
        let diff_ids = match &image.config {
            Some(_) => Some(self.config(image)?.diff_ids),
            None => None,
        };
        let layers = image.layers.iter().map(|layer| self.local(layer.clone())).collect::<Result<_>>()?;
        Ok(LocalImage { layers, diff_ids })
    }

    /// Which layers are not here: nothing can be made of all of them before they are.
    ///
    /// # Errors
    /// `not_an_image`; `local_io`.
    pub fn missing(&self) -> Result<Vec<usize>> {
        let mut missing = Vec::new();
        for (position, layer) in self.chosen()?.layers.iter().enumerate() {
            if !self.has(layer)? {
                missing.push(position);
            }
        }
        Ok(missing)
    }

    /// Whether a layer is here.
    pub(super) fn has(&self, layer: &Descriptor) -> Result<bool> {
        // Schema 1 says no sizes.
        let fits = |blob: BlobFile| layer.size == 0 || blob.len == layer.size;
        Ok(self.origin.blob(&layer.digest)?.is_some_and(fits))
    }

    /// Whether a layer is a blob of the repository like any other, to be fetched by its digest: those that come from
    /// elsewhere, or within the manifest, are a matter for a pull of the image.
    pub fn is_plain(layer: &Descriptor) -> bool {
        layer.urls.is_empty() && layer.data.is_none() && !layer.media_type.is_nondistributable()
    }

    /// One layer, of which it is known by now how long it is.
    pub(crate) fn local(&self, mut descriptor: Descriptor) -> Result<LocalLayer> {
        if descriptor.size == 0 && self.chosen()?.config.is_none() {
            // Schema 1 says no sizes.
            descriptor.size = self.origin.blob(&descriptor.digest)?.map_or(0, |blob| blob.len);
        }
        Ok(LocalLayer { blob: self.blob(&descriptor)?, descriptor, arriving: None })
    }

    /// Where a blob of it is, or will be when it has arrived.
    pub(crate) fn blob(&self, descriptor: &Descriptor) -> Result<BlobFile> {
        if let Some(blob) = self.origin.blob(&descriptor.digest)? {
            return Ok(blob);
        }
        if let Some(store) = &self.store {
            return Ok(BlobFile::awaited(store.blob_path(&descriptor.digest), descriptor.size));
        }
        let what = format!("blob {} in {}", descriptor.digest, self.origin.name());
        Err(Error::from(ErrorKind::NotFound { what, detail: None }).in_image(&self.name))
    }
}
