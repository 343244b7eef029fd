//! What is made of an image: its tree, its files, a tar, a directory.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use wharfie_core::digest::Verifier;
use wharfie_core::error::{Error, ErrorKind, Place, Result};
use wharfie_core::merge::Options;

use super::Image;
use super::stream::Stream;
use crate::codec::NativeHashes;
use crate::drive::Cancel;
use crate::export::{self, ExportOptions, Sink, export};
use crate::layers::pass::{Flow, Pass, Reader};
use crate::layers::{LocalLayer, Progress, default_temp_dir};
use crate::unpack::{self, UnpackOptions, unpack};
use crate::view::{Output, Sides, Taking, View, Viewed, cat, view};

/// How far reading files has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Read {
    /// All of it went out.
    Done,
    /// Nothing went out: this layer has to be here first. Asking again does not read again what was read to its end.
    Needs(usize),
}

impl Image {
    /// Its merged tree, as `options` have it by default; all layers have to be here. The second call answers what the first
    /// made.
    ///
    /// # Errors
    /// What is wrong with the layers (L20–L25), `local_io`, `cancelled`.
    pub fn view(&self, cancel: &Cancel, progress: &dyn Progress) -> Result<Arc<View>> {
        let mut known = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = &*known {
            return Ok(Arc::clone(view));
        }
        let layers = self.layers()?;
        let sides = self.sides().map(|store| Sides { store, ask: true });
        let viewed = [Viewed { image: &layers, progress, sides }];
        let views = view(&viewed, &Options::default(), false, cancel).map_err(|error| self.failed(error))?;
        let view = views.into_iter().next().map(Arc::new).ok_or_else(|| {
            Error::from(ErrorKind::Internal { reason: "an image without a view".to_owned() })
        })?;
        *known = Some(Arc::clone(&view));
        Ok(view)
    }

    /// Writes the content of files one after another, by as few layers as decide them, and nothing before these are verified
    /// (L6, L23). `/etc/os-release` and `etc/os-release` are the same; symlinks are followed as a process in the root would.
    ///
    /// # Errors
    /// `path_not_found`, `not_a_file`; what is wrong with the layers that are read; what `output` answers; `cancelled`.
    pub fn read(
        &self,
        paths: &[Vec<u8>],
        cancel: &Cancel,
        progress: &dyn Progress,
        output: &mut Output<'_>,
    ) -> Result<Read> {
        let image = self.layers()?;
        let mut needs = None;
        let options = Options::default();
        let mut fetch = |layer: usize| -> Result<LocalLayer> {
            let descriptor = self.chosen()?.layers.get(layer).cloned();
            let descriptor = descriptor.ok_or_else(|| {
                Error::from(ErrorKind::Internal { reason: format!("there is no layer {layer}") })
            })?;
            if self.store().is_some() && !self.has(&descriptor)? {
                needs = Some(layer);
                // Ends the reading before anything has gone out.
                return Err(ErrorKind::Cancelled {}.into());
            }
            self.local(descriptor)
        };
        let taking = Taking {
            image,
            fetch: &mut fetch,
            options: &options,
            verify: true,
            sides: self.sides().map(|store| Sides { store, ask: true }),
            temp_dir: &default_temp_dir(),
            cancel,
            progress,
        };
        match (cat(taking, paths, output), needs) {
            (Ok(()), _) => Ok(Read::Done),
            (Err(_), Some(layer)) if !cancel.is_cancelled() => Ok(Read::Needs(layer)),
            (Err(error), _) => Err(self.failed(error)),
        }
    }

    /// The tar of one layer, decoded, as it comes: that it is what it should be is known at its end. The layer has to be
    /// here. Dropping the stream stops it.
    ///
    /// # Errors
    /// `invalid_option` for a layer that there is not; what is wrong with the documents. What is wrong with the layer comes
    /// from the stream.
    pub fn layer(&self, layer: usize) -> Result<Stream> {
        struct Hand<'h>(&'h mut Output<'h>);
        impl Reader for Hand<'_> {
            fn take(&mut self, bytes: &[u8]) -> Result<Flow> {
                (self.0)(bytes)?;
                Ok(Flow::More)
            }
        }
        let layers = self.layers()?;
        if layers.layers.len() <= layer {
            let reason = format!("there is no layer {layer}: the image has {}", layers.layers.len());
            return Err(ErrorKind::InvalidOption { reason }.into());
        }
        let image = self.clone();
        Stream::of(Cancel::new(), move |cancel, output| {
            let limits = Options::default().limits;
            let pass = Pass { image: &layers, limits: &limits, cancel, progress: &() };
            let mut hand = |bytes: &[u8]| output(bytes);
            pass.one(layer, &mut Hand(&mut hand)).map(drop).map_err(|error| image.failed(error))
        })
    }

    /// The blob of one layer as it is; that its digest holds is known at its end. The layer has to be here. Dropping the
    /// stream stops it.
    ///
    /// # Errors
    /// As [`Image::layer`].
    pub fn layer_blob(&self, layer: usize) -> Result<Stream> {
        let found = self.layers()?.layers.into_iter().nth(layer);
        let LocalLayer { descriptor, blob, .. } = found.ok_or_else(|| {
            Error::from(ErrorKind::InvalidOption { reason: format!("there is no layer {layer}") })
        })?;
        let image = self.clone();
        Stream::of(Cancel::new(), move |cancel, output| {
            let size = (descriptor.size > 0).then_some(descriptor.size);
            let mut verifier = Verifier::new(&NativeHashes, descriptor.digest, size);
            let read = blob.read_pieces("reading a layer", cancel, &mut |piece| {
                verifier.update(piece)?;
                output(piece)
            });
            let place = Place { layer: Some(layer), blob: Some(descriptor.digest), ..Place::default() };
            read.and_then(|()| verifier.finish().map(drop)).map_err(|error| image.failed(error.at(place)))
        })
    }

    /// Writes the flattened root: see [`export()`]. All layers have to be here.
    ///
    /// # Errors
    /// As there.
    pub fn export(
        &self,
        options: &ExportOptions,
        sink: Sink,
        progress: &dyn Progress,
    ) -> Result<export::Report> {
        export(&self.layers()?, options, sink, progress).map_err(|error| self.failed(error))
    }

    /// The flattened root as a stream, which ends inside a block if something fails (L23). All layers have to be here.
    /// Dropping the stream stops it.
    ///
    /// # Errors
    /// What is wrong with the options and the documents. All else comes from the stream.
    pub fn export_stream(
        &self,
        mut options: ExportOptions,
        progress: Arc<dyn Progress + Send + Sync>,
    ) -> Result<Stream<export::Report>> {
        options.format.level(options.level)?;
        let layers = self.layers()?;
        let image = self.clone();
        let cancel = options.cancel.clone();
        Stream::of_writer(cancel, move |cancel, writer| {
            options.cancel = cancel.clone();
            let exported = export(&layers, &options, Sink::Stream(writer), &*progress);
            exported.map_err(|error| image.failed(error))
        })
    }

    /// Writes the merged root to a directory: see [`unpack()`]. All layers have to be here.
    ///
    /// # Errors
    /// As there, and `permission_denied` before anything is read where this user cannot give files their owners.
    pub fn unpack(
        &self,
        options: &UnpackOptions,
        target: &Path,
        progress: &dyn Progress,
    ) -> Result<unpack::Report> {
        unpack::check_permission(options)?;
        unpack(&self.layers()?, options, target, progress).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: Error) -> Error {
        self.discard_rotted(&error);
        error.in_image(&self.name)
    }
}
