//! Images for programs: what an image is, what is in it, and what is made of it, whoever asks.
//!
//! The command line stands on it, and so do the bindings. An [`Image`] is of this machine ([`Image::open_local`]), or its
//! documents came into a [`Store`] ([`Image::in_store`]) by whatever speaks to registries: this crate's
//! [`Driver`](crate::drive::Driver), or a host's own HTTP, whose bytes go in through an [`Intake`]. Its layers need not be
//! there yet: [`Image::missing`] says which are not, and [`Image::read`] asks for those alone that decide a path.
//!
//! Calls block and use this machine's processors; each takes a [`Cancel`] and tells its
//! [`Progress`](crate::layers::Progress).

mod documents;
mod intake;
mod layer;
mod reading;
pub mod spoken;
mod stream;

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};

use wharfie_core::client::{self, Depth, PlatformChoice, Pulled, PulledImage};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::source::Transport;
use wharfie_core::{Digest, Platform, Source};

pub use self::intake::{Claimed, Intake, Refused, Writing};
pub use self::reading::Read;
pub use self::stream::Stream;
use crate::drive::{Cancel, Observer};
use crate::layout::Layout;
use crate::origin::{self, Origin};
use crate::store::Store;
use crate::view::View;

/// The name of the image that is built into the program.
pub const SAMPLE: &str = "sample:";

/// An image whose documents are at hand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Image {
    /// As the user named it, with what was implied.
    pub(crate) name: String,
    /// Where its blobs are.
    pub(crate) origin: Arc<dyn Origin>,
    /// What the name stands for, and what hangs below it.
    pub(crate) pulled: Pulled,
    /// Keeps what was unpacked for this run only.
    folder: Option<Arc<tempfile::TempDir>>,
    /// Where it came into, if from a registry. While it lives, nobody prunes what is read here.
    store: Option<Store>,
    /// Where side indexes of its layers are, if it is from elsewhere.
    cache: Option<Store>,
    /// Its tree, once somebody asked.
    view: Arc<Mutex<Option<Arc<View>>>>,
}

impl Image {
    /// Opens what a name stands for on this machine: `oci:DIR[:REF]`, `oci-archive:FILE[:REF]`, `docker-archive:FILE[:REF]`,
    /// `dir:DIR`, a bare path, or [`SAMPLE`]. Of an index the image for `platform`, Linux on this machine's architecture if
    /// that is not given.
    ///
    /// # Errors
    /// `invalid_option` for the name of an image on a registry; `not_found`, `platform_not_found`; what is wrong with the
    /// documents; `local_io`, `permission_denied`.
    pub fn open_local(
        name: &str,
        platform: Option<Platform>,
        cancel: &Cancel,
        observer: &dyn Observer,
    ) -> Result<Image> {
        let options = local_options(options(platform));
        if name == SAMPLE {
            return Image::sample(options, observer);
        }
        match Source::parse(name)? {
            Source::Local(local) => {
                let origin = origin::open(&local, cancel)?;
                Image::of_origin(name, origin, local.reference.as_deref(), options, observer)
            }
            _ => {
                let reason = format!("`{name}` is an image on a registry");
                Err(ErrorKind::InvalidOption { reason }.into())
            }
        }
    }

    /// Opens an archive that is open already, compressed or not: `name` is what it is called in messages, `reference` which
    /// of its images is meant.
    ///
    /// # Errors
    /// As [`Image::open_local`].
    pub fn of_file(
        file: File,
        name: &str,
        reference: Option<&str>,
        platform: Option<Platform>,
        cancel: &Cancel,
        observer: &dyn Observer,
    ) -> Result<Image> {
        let origin = origin::of_file(file, Path::new(name), Transport::Path, cancel)?;
        Image::of_origin(name, origin, reference, local_options(options(platform)), observer)
    }

    /// An image whose documents are in a store; its layers may be, or come later. `pulled` is what the client machine made
    /// of it.
    pub fn in_store(name: &str, store: &Store, pulled: Pulled) -> Image {
        let origin = Arc::new(Layout::at(store.root()));
        Image { store: Some(store.clone()), ..Image::new(name, origin, pulled) }
    }

    /// The same, where it is only known what the name stands for.
    ///
    /// # Errors
    /// `not_found` for a document that is not in the store; `platform_not_found`, what is wrong with the documents.
    pub fn come(
        name: &str,
        store: &Store,
        top: &Descriptor,
        platform: Option<Platform>,
        observer: &dyn Observer,
    ) -> Result<Image> {
        let layout = Arc::new(Layout::at(store.root()));
        let options = client::PullOptions { depth: Depth::Config, ..options(platform) };
        let image = Image::walked(name, layout, top, options, observer)?;
        Ok(Image { store: Some(store.clone()), ..image })
    }

    /// The image that is built into the program.
    ///
    /// # Errors
    /// `local_io`, `platform_not_found`.
    pub(crate) fn sample(options: client::PullOptions, observer: &dyn Observer) -> Result<Image> {
        let folder = tempfile::tempdir().map_err(|error| {
            let reason = error.to_string();
            Error::from(ErrorKind::LocalIo { operation: "making a temporary directory", reason })
        })?;
        crate::sample::unpack(folder.path())?;
        let layout = Arc::new(Layout::open(folder.path())?);
        let image = Image::of_origin(SAMPLE, layout, None, options, observer)?;
        Ok(Image { folder: Some(Arc::new(folder)), ..image })
    }

    pub(crate) fn of_origin(
        name: &str,
        origin: Arc<dyn Origin>,
        image: Option<&str>,
        options: client::PullOptions,
        observer: &dyn Observer,
    ) -> Result<Image> {
        let top = origin.find(image)?;
        Image::walked(name, origin, &top, local_options(options), observer)
    }

    fn walked(
        name: &str,
        origin: Arc<dyn Origin>,
        top: &Descriptor,
        options: client::PullOptions,
        observer: &dyn Observer,
    ) -> Result<Image> {
        let pulled = origin.walk(top, options, observer).map_err(|error| error.in_image(name))?;
        Ok(Image::new(name, origin, pulled))
    }

    fn new(name: &str, origin: Arc<dyn Origin>, pulled: Pulled) -> Image {
        Image {
            name: name.to_owned(),
            origin,
            pulled,
            folder: None,
            store: None,
            cache: None,
            view: Arc::default(),
        }
    }

    /// Keeps what it was unpacked to for as long as it lives.
    #[must_use]
    pub(crate) fn within(mut self, folder: Option<tempfile::TempDir>) -> Image {
        self.folder = folder.map(Arc::new).or(self.folder);
        self
    }

    /// Takes side indexes of its layers from a store, and keeps them there, if it is from elsewhere.
    #[must_use]
    pub fn with_side_indexes(mut self, store: Option<Store>) -> Image {
        self.cache = store;
        self
    }

    /// As the user named it, with what was implied.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the name stands for, and what hangs below it.
    pub fn pulled(&self) -> &Pulled {
        &self.pulled
    }

    /// The one image that was asked for by platform.
    ///
    /// # Errors
    /// `not_an_image` for an index without manifests.
    pub fn chosen(&self) -> Result<&PulledImage> {
        self.pulled.images.first().ok_or_else(|| {
            let reason = "the index holds no manifest".to_owned();
            Error::from(ErrorKind::NotAnImage { reason }).in_image(&self.name)
        })
    }

    /// Where its blobs come into, if from a registry.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Where side indexes of its layers are. Into a layout that is not the store nothing is written: those of its layers are
    /// in the store, if there is one.
    pub(crate) fn sides(&self) -> Option<&Store> {
        self.store.as_ref().or(self.cache.as_ref())
    }

    /// Acts on a failure that reading its blobs came to: one in the store that has rotted is removed, since it would stand
    /// in the way of every later pull. Answers which.
    pub(crate) fn discard_rotted(&self, error: &Error) -> Option<Digest> {
        let rotted = matches!(error.code(), "digest_mismatch" | "size_mismatch");
        let (store, blob) = (self.store.as_ref().filter(|_| rotted)?, error.place().blob?);
        store.discard(&blob).then_some(blob)
    }
}

/// The platform that is meant: Linux on this machine's architecture if none is given.
///
/// # Errors
/// `invalid_platform`.
pub fn platform(asked: Option<&str>) -> Result<Platform> {
    let own = Platform::new("linux", std::env::consts::ARCH).normalized();
    match asked {
        Some(asked) => Platform::parse_with(asked, &own),
        None => Ok(own),
    }
}

/// The store in this directory, or at its usual place, if it is there already.
pub fn present_store(dir: Option<&Path>) -> Option<Store> {
    let dir = dir.map(Path::to_owned).or_else(|| Store::default_dir().ok())?;
    if dir.join("oci-layout").is_file() { Store::open(dir).ok() } else { None }
}

fn options(platform: Option<Platform>) -> client::PullOptions {
    let own = || Platform::new("linux", std::env::consts::ARCH).normalized();
    let platform = PlatformChoice::One(platform.unwrap_or_else(own));
    client::PullOptions { platform, depth: Depth::Layers, ..client::PullOptions::default() }
}

/// A walk of what is on this disk has nothing to ask: its first step is the document itself.
fn local_options(mut options: client::PullOptions) -> client::PullOptions {
    options.depth = options.depth.max(Depth::Document);
    options
}
