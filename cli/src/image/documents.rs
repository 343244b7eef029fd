//! What the documents of an image say.

use wharfie_core::client::PulledImage;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::{Config, Descriptor, Document, View};
use wharfie_core::{Limits, Platform};

use super::Image;

impl Image {
    /// The bytes of one of its documents, as they came; their digest has held.
    ///
    /// # Errors
    /// `not_found`, `digest_mismatch`, `limit_exceeded`, `local_io`.
    pub fn raw(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let limits = Limits::default();
        self.origin.content(descriptor, &limits).map_err(|error| error.in_image(&self.name))
    }

    /// Reads one of its documents.
    ///
    /// # Errors
    /// As [`Image::raw`], and what is wrong with the document.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Document> {
        let limits = Limits::default();
        let raw = self.origin.document(&descriptor.digest, &limits)?;
        let media_type = (!descriptor.media_type.is_generic()).then(|| descriptor.media_type.to_string());
        Document::parse(&raw, media_type.as_deref(), &limits)
            .map_err(|error| error.in_blob(descriptor.digest).in_image(&self.name))
    }

    /// The view of an image's config. Schema 1 has none of its own: it is made from the history, without `diff_ids`.
    ///
    /// # Errors
    /// `not_an_image` for an artifact; as [`Image::document`].
    pub fn config(&self, image: &PulledImage) -> Result<Config> {
        let limits = Limits::default();
        let place = |error: Error| error.in_image(&self.name);
        if let Some(config) = &image.config {
            if !config.media_type.is_config() && !config.media_type.is_generic() {
                let reason = format!("its config is `{}`", config.media_type);
                return Err(place(ErrorKind::NotAnImage { reason }.into()));
            }
            let raw = self.origin.document(&config.digest, &limits).map_err(place)?;
            return Config::parse(&raw, &limits).map_err(|error| place(error.in_blob(config.digest)));
        }
        match &self.document(&image.manifest)?.view {
            View::Schema1(schema1) => schema1.config(&[], &limits).map_err(place),
            _ => Err(place(ErrorKind::NotAnImage { reason: "it has no config".to_owned() }.into())),
        }
    }

    /// What it is called where it is, if it has a name there: by containerd, or in the listing of a layout or an archive.
    pub fn listed_name(&self) -> Option<String> {
        let entries = self.origin.entries().ok()?;
        let called = |name: &str| {
            let here = entries.iter().filter(|entry| entry.digest == self.pulled.top.digest);
            here.filter_map(|entry| entry.annotations.get(name)).next().cloned()
        };
        called("io.containerd.image.name").or_else(|| called("org.opencontainers.image.ref.name"))
    }

    /// The platforms of the index that the name stands for; none if it is no index.
    ///
    /// # Errors
    /// As [`Image::document`].
    pub fn platforms(&self) -> Result<Vec<Platform>> {
        if !self.pulled.top.media_type.is_index() {
            return Ok(Vec::new());
        }
        let top = self.document(&self.pulled.top)?;
        Ok(top.index().map(wharfie_core::image::Index::platforms).unwrap_or_default())
    }
}
