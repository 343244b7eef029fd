//! Where images are written to on this machine: layouts, archives, directories.
//!
//! - [`layout`](self): blobs are copied beside the layout at once, several at a time, and get their names at the end; then
//!   `index.json` is rewritten under a lock, so that several can write to one layout.
//! - everything else is a list of parts that core makes of all that was taken, written at the end: documents come first
//!   then, and layers that are to be decoded are decoded side by side.

mod crew;
mod layout;
mod made;
mod staging;
mod tar;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use wharfie_core::Limits;
use wharfie_core::archive::write::Layers;
use wharfie_core::client::PulledImage;
use wharfie_core::codec::Format;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::import::is_foreign;
use wharfie_core::source::{Local, Transport};

use crate::blob_file::BlobFile;
use crate::drive::Cancel;
use crate::export::{Sink, format_of_name};
use crate::origin::Origin;

/// A place on this machine that takes images. Nothing has its final name before [`Destination::commit`]; dropped without
/// it, what was there before is as it was.
pub trait Destination: Send {
    /// Whether it has this content already.
    ///
    /// # Errors
    /// `local_io`.
    fn has(&self, descriptor: &Descriptor) -> Result<bool>;

    /// Takes a manifest, index or config, whose digest has been checked.
    ///
    /// # Errors
    /// `no_space`, `local_io`, `permission_denied`.
    fn document(&mut self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()>;

    /// Takes a blob; its digest is checked while it is copied. That may go on when this has answered: `from` has to stay
    /// until [`Destination::commit`] is done (a file that was given open may lose its name), and what is wrong with it is
    /// told by a later call, at the latest by that one.
    ///
    /// # Errors
    /// As [`Destination::document`]; `digest_mismatch`, `size_mismatch`.
    fn blob(&mut self, descriptor: &Descriptor, from: &BlobFile) -> Result<()>;

    /// Ends the copies under way, and lets go of what does them: others are to be filled before this is committed.
    ///
    /// # Errors
    /// What is wrong with the blobs.
    fn rest(&mut self) -> Result<()> {
        Ok(())
    }

    /// Lists a document under a name, or without one, in place of what had that name. A `dir:` keeps no names.
    ///
    /// # Errors
    /// As [`Destination::document`]; `invalid_option` for a name that cannot be kept here.
    fn name(&mut self, top: &Descriptor, name: Option<&str>) -> Result<()>;

    /// All of it is there: it gets its name.
    ///
    /// # Errors
    /// As [`Destination::document`]; what is wrong with the blobs; for docker's archives `unsupported_media_type`,
    /// `not_an_image`, `layer_count_mismatch`, `diff_id_mismatch` and the errors of codecs; `cancelled`.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// How images are kept in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// An OCI layout, new or there already.
    OciLayout,
    /// An OCI layout in a tar.
    OciArchive,
    /// What `docker load` takes.
    DockerArchive,
    /// What moby's `download-frozen-image-v2.sh` makes, in a directory.
    FrozenImage,
    /// skopeo's `dir:`.
    Directory,
}

/// What is chosen about a destination.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How layers stand in a docker-archive.
    pub layers: Layers,
    /// How the archive as a whole is compressed; `None` goes by its name, and is a plain tar where that says nothing.
    pub format: Option<Format>,
    /// The level of that, see [`Format::levels`].
    pub level: Option<i32>,
    /// Where large temporary files go; `None` is [`default_temp_dir`](crate::layers::default_temp_dir).
    pub temp_dir: Option<PathBuf>,
    /// Blobs copied, layers decoded at once; `None` is as many as there are processors.
    pub jobs: Option<NonZeroUsize>,
    /// Whether all is on the disk, safe from a power cut, when it gets its name: for who removes the sources then.
    pub durable: bool,
    /// Whether a blob that a layout has is read, and taken for there only if it holds; else its length is all that is looked
    /// at. What does not hold is replaced.
    pub verify_present: bool,
    /// What stops it.
    pub cancel: Cancel,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            layers: Layers::Bare,
            format: None,
            level: None,
            temp_dir: None,
            jobs: None,
            durable: false,
            verify_present: false,
            cancel: Cancel::new(),
        }
    }
}

impl Options {
    fn jobs(&self) -> usize {
        let all = || std::thread::available_parallelism().ok();
        self.jobs.or_else(all).map_or(1, NonZeroUsize::get)
    }
}

/// Opens the place that a user names. The reference in `local` is for the caller to pass to [`Destination::name`].
///
/// A bare path is a layout, unless it ends as archives do: then it is a docker-archive.
///
/// # Errors
/// `invalid_option`, `already_exists`, `invalid_document`, `no_space`, `local_io`, `permission_denied`;
/// `unsupported_transport` for those that nobody here writes.
pub fn open(local: &Local, options: &Options) -> Result<Box<dyn Destination>> {
    let path = Path::new(&local.path);
    let kind = match local.transport {
        Transport::OciLayout => Kind::OciLayout,
        Transport::OciArchive => Kind::OciArchive,
        Transport::DockerArchive => Kind::DockerArchive,
        Transport::Directory => Kind::Directory,
        Transport::Path if is_foreign(local.path.as_bytes()) => {
            let reason = "archives are written plain, by gzip or by zstd".to_owned();
            return Err(Error::from(ErrorKind::InvalidOption { reason }).at_path(&local.path));
        }
        Transport::Path if !path.is_dir() && format_of_name(path).is_some() => Kind::DockerArchive,
        Transport::Path => Kind::OciLayout,
        other => {
            let reason = "images cannot be written there".to_owned();
            return Err(ErrorKind::UnsupportedTransport { transport: format!("{other:?}"), reason }.into());
        }
    };
    open_as(kind, path, options)
}

/// Opens a place of this kind.
///
/// # Errors
/// As [`open`].
pub fn open_as(kind: Kind, path: &Path, options: &Options) -> Result<Box<dyn Destination>> {
    Ok(match kind {
        Kind::OciLayout => Box::new(layout::Layout::open(path, options)?),
        Kind::OciArchive | Kind::DockerArchive => {
            let format = options.format.or_else(|| format_of_name(path)).unwrap_or(Format::Identity);
            let options = Options { format: Some(format), ..options.clone() };
            Box::new(made::Made::archive(kind, Sink::File(path.to_owned()), &options)?)
        }
        Kind::FrozenImage | Kind::Directory => Box::new(made::Made::directory(kind, path, options)?),
    })
}

/// Opens a stream for an archive of this kind. It gets its first byte when all has been verified.
///
/// # Errors
/// `invalid_option` for what is no archive; as [`open`].
pub fn open_stream(kind: Kind, sink: Sink, options: &Options) -> Result<Box<dyn Destination>> {
    if !matches!(kind, Kind::OciArchive | Kind::DockerArchive) {
        let reason = "a directory cannot go to a stream".to_owned();
        return Err(Error::from(ErrorKind::InvalidOption { reason }));
    }
    Ok(Box::new(made::Made::archive(kind, sink, options)?))
}

/// Takes one image: its documents, verified, and its blobs. It has no name by that.
///
/// # Errors
/// `not_found` for what the origin lacks; as [`Destination::document`] and [`Destination::blob`].
pub fn put(origin: &dyn Origin, image: &PulledImage, to: &mut dyn Destination) -> Result<()> {
    let limits = Limits::default();
    for descriptor in image.config.iter().chain([&image.manifest]) {
        if !to.has(descriptor)? {
            to.document(descriptor, &origin.content(descriptor, &limits)?)?;
        }
    }
    for layer in &image.layers {
        if to.has(layer)? {
            continue;
        }
        let Some(from) = origin.content_file(layer)? else {
            let what = format!("a layer of the image in {}", origin.name());
            return Err(Error::from(ErrorKind::NotFound { what, detail: None }).in_blob(layer.digest));
        };
        let mut layer = layer.clone();
        if layer.size == 0 && image.config.is_none() {
            // Schema 1 says no sizes.
            layer.size = from.len;
        }
        to.blob(&layer, &from)?;
    }
    Ok(())
}
