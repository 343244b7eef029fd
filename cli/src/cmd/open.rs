//! From the name of an image to its documents and blobs on this machine: through a registry and the store, or out of an
//! OCI layout.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wharfie_core::client::{Credentials, Depth, PlatformChoice, RegistrySettings, Transport};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::{Reference, Source, client};

use super::args::{FromArgs, NetworkArgs, PullMode, StoreArgs};
use super::{auth, names, watch};
use crate::console::Console;
use crate::credentials::{Environment, Search};
use crate::drive::{Arriving, CredentialSource, Driver, NetworkOptions, PullOptions, Pulling, When};
use crate::image::{Image, present_store};
pub(super) use crate::image::{SAMPLE, platform};
use crate::layers::{LocalImage, LocalLayer};
use crate::registries::cert_dirs;
use crate::store::Store;

/// An image whose documents are at hand, and how it came.
pub(super) struct Opened {
    image: Image,
    /// The registry's name for it, if it is from one.
    pub(super) reference: Option<Reference>,
    // What can fetch more of it, if it is from a registry.
    driver: Option<Driver>,
    // What fetches its layers, if they are still on their way.
    pulling: Option<Pulling>,
}

impl Deref for Opened {
    type Target = Image;

    fn deref(&self) -> &Image {
        &self.image
    }
}

impl Opened {
    fn here(image: Image) -> Opened {
        Opened { image, reference: None, driver: None, pulling: None }
    }

    /// Acts on a failure that reading its blobs came to: one in the store that has rotted is removed.
    pub(super) fn failed(&self, error: Error, console: &Console) -> Error {
        if let Some(blob) = self.discard_rotted(&error) {
            console.warn(&format!(
                "the local store's copy of {blob} had changed on the disk, and was removed: run the command again to fetch it"
            ));
        }
        error.in_image(&self.name)
    }

    /// How its layers can be read while they arrive, if they still do.
    pub(super) fn arriving(&self) -> Option<Arriving> {
        self.pulling.as_ref().map(Pulling::arriving)
    }

    /// Brings what was made of the layers while they arrived, and their pull, to one end: what stopped the pull is what
    /// stopped the rest, and what stopped the rest stops the pull. What has come of the layers stays for the next time.
    pub(super) fn settle<T>(&mut self, done: Result<T>, console: &Console) -> Result<T> {
        match (done, self.pulling.take()) {
            (Ok(done), None) => Ok(done),
            (Ok(done), Some(pulling)) => {
                // All layers were verified on the way: only what comes after them can have gone wrong.
                if let Err(error) = pulling.finish() {
                    console.warn(&format!("the local store does not list {}: {error}", self.name));
                }
                Ok(done)
            }
            (Err(error), Some(pulling)) if error.code() == "cancelled" => match pulling.finish() {
                Err(cause) => Err(cause.in_image(&self.name)),
                Ok(_) => Err(error.in_image(&self.name)),
            },
            (Err(error), _) => Err(self.failed(error, console)),
        }
    }

    /// Has one layer of the image here, of an image that was opened without its layers.
    pub(super) fn layer(&self, position: usize) -> Result<LocalLayer> {
        let image = self.chosen()?;
        let Some(descriptor) = image.layers.get(position) else {
            let reason = format!("there is no layer {position}");
            return Err(ErrorKind::Internal { reason }.into());
        };
        if let (Some(driver), Some(reference)) = (&self.driver, &self.reference) {
            if !Image::is_plain(descriptor) && driver.store().has(&descriptor.digest).is_none() {
                let whole = options(PlatformChoice::All, Depth::Layers);
                let whole = PullOptions { image: whole, when: When::Missing, ..PullOptions::default() };
                driver.pull(&reference.with_digest(image.manifest.digest), &whole)?;
            } else {
                driver.blob(&reference.with_digest(descriptor.digest))?;
            }
        }
        self.image.local(descriptor.clone())
    }

    /// A layer of the image, which may be still on its way.
    pub(super) fn local(&self, descriptor: Descriptor) -> Result<LocalLayer> {
        Ok(LocalLayer { arriving: self.arriving(), ..self.image.local(descriptor)? })
    }

    /// The layers of the image, which may be still on their way.
    pub(super) fn layers(&self) -> Result<LocalImage> {
        let mut local = self.image.layers()?;
        for layer in &mut local.layers {
            layer.arriving = self.arriving();
        }
        Ok(local)
    }
}

/// Which images of an index, and how far down.
pub(super) fn options(platform: PlatformChoice, depth: Depth) -> client::PullOptions {
    client::PullOptions { platform, depth, ..client::PullOptions::default() }
}

/// Opens an image, with all that was asked for.
pub(super) fn open(
    name: &str,
    from: &FromArgs,
    options: client::PullOptions,
    console: &Console,
) -> Result<Opened> {
    open_with(name, from, options, false, console)
}

/// Opens an image whose layers may be still on their way: [`Opened::layers`] says where they can be read
/// meanwhile, and what comes of that goes through [`Opened::settle`].
pub(super) fn open_ahead(
    name: &str,
    from: &FromArgs,
    platform: PlatformChoice,
    console: &Console,
) -> Result<Opened> {
    open_with(name, from, options(platform, Depth::Layers), true, console)
}

fn open_with(
    name: &str,
    from: &FromArgs,
    options: client::PullOptions,
    is_ahead: bool,
    console: &Console,
) -> Result<Opened> {
    if name == SAMPLE {
        return Ok(Opened::here(Image::sample(options, &watch::Notes::new(console))?));
    }
    match Source::parse(name)? {
        Source::Registry(reference) => {
            let (driver, folder) = driver(from, console)?;
            let when = pull_options(options.clone(), &from.store).when;
            let ask = Some((&driver, when));
            let reference = names::settle(name, reference, &from.network, ask, console)?.or_latest();
            let name = reference.to_string();
            let pull = pull_options(options, &from.store);
            if pull.when == When::UnlessLocal && driver.store().resolve_local(&reference)?.is_some() {
                console.note(&format!(
                    "{} is the image that was made or loaded here; --pull always asks its registry",
                    reference.familiar()
                ));
            }
            let in_image = |error: Error| error.in_image(&name);
            let (reference, pulled, pulling) = if is_ahead {
                let pulling = driver.pull_ahead(&reference, &pull).map_err(in_image)?;
                let store = driver.store();
                let mut layers = pulling.image().images.iter().flat_map(|image| &image.layers);
                let are_there = layers.clone().all(|layer| store.has(&layer.digest) == Some(layer.size));
                // Schema 1 says no sizes, and a layer of no bytes is soon there.
                if are_there || layers.any(|layer| layer.size == 0) {
                    let pulled = pulling.finish().map_err(in_image)?;
                    (pulled.reference, pulled.image, None)
                } else {
                    (pulling.reference().clone(), pulling.image().clone(), Some(pulling))
                }
            } else {
                let pulled = driver.pull(&reference, &pull).map_err(in_image)?;
                (pulled.reference, pulled.image, None)
            };
            let image = Image::in_store(&name, driver.store(), pulled).within(folder);
            Ok(Opened { image, reference: Some(reference), driver: Some(driver), pulling })
        }
        Source::Local(local) => {
            let origin = crate::origin::open(&local, &super::interrupt::stoppable())?;
            let notes = watch::Notes::new(console);
            let image = Image::of_origin(name, origin, local.reference.as_deref(), options, &notes)?;
            Ok(Opened::here(image.with_side_indexes(present_store(from.store.store.as_deref()))))
        }
        _ => Err(unsupported(name)),
    }
}

fn unsupported(name: &str) -> Error {
    let transport = name.split_once(':').map_or("path", |(transport, _)| transport).to_owned();
    let reason = "nothing is known of it".to_owned();
    ErrorKind::UnsupportedTransport { transport, reason }.into()
}

/// What the options say of when to ask.
pub(super) fn pull_options(image: client::PullOptions, store: &StoreArgs) -> PullOptions {
    let when = match store.pull {
        None => When::UnlessLocal,
        Some(PullMode::Always) => When::Always,
        Some(PullMode::Missing) => When::Missing,
        Some(PullMode::Never) => When::Never,
    };
    PullOptions { image, when: if store.offline { When::Missing } else { when }, ..PullOptions::default() }
}

/// The store that the options name.
pub(super) fn store(dir: Option<&Path>) -> Result<Store> {
    Store::open(match dir {
        Some(dir) => dir.to_owned(),
        None => Store::default_dir()?,
    })
}

/// A driver on the store that the options name. Who has no place for one (a service without a home) gets one for this run
/// only, which goes with the folder.
pub(super) fn driver(from: &FromArgs, console: &Console) -> Result<(Driver, Option<tempfile::TempDir>)> {
    let (store, folder) = match store(from.store.store.as_deref()) {
        Ok(store) => (store, None),
        Err(error) if from.store.store.is_none() && error.code() == "permission_denied" => {
            console.warn(&format!("{error}: what is fetched is not kept (--store names another place)"));
            let folder = temporary()?;
            (Store::open(folder.path())?, Some(folder))
        }
        Err(error) => return Err(error),
    };
    Ok((driver_on(from, store, console)?, folder))
}

/// A driver on a store that is open.
pub(super) fn driver_on(from: &FromArgs, store: Store, console: &Console) -> Result<Driver> {
    let search = auth::search(from.network.creds.as_deref(), from.network.authfile.as_deref());
    let found = Arc::new(Found { search, console: console.clone() });
    driver_with(&from.network, from.store.offline, store, found, console)
}

pub(super) fn temporary() -> Result<tempfile::TempDir> {
    tempfile::tempdir().map_err(|error| {
        ErrorKind::LocalIo { operation: "making a temporary directory", reason: error.to_string() }.into()
    })
}

/// A driver for what needs no images: lists and logins. Its store is a folder that goes with it.
pub(super) fn network_driver(
    network: &NetworkArgs,
    console: &Console,
) -> Result<(Driver, tempfile::TempDir)> {
    let search = auth::search(network.creds.as_deref(), network.authfile.as_deref());
    passing_driver(network, Arc::new(Found { search, console: console.clone() }), console)
}

pub(super) fn passing_driver(
    network: &NetworkArgs,
    credentials: Arc<dyn CredentialSource>,
    console: &Console,
) -> Result<(Driver, tempfile::TempDir)> {
    let folder = temporary()?;
    let store = Store::open(folder.path())?;
    Ok((driver_with(network, false, store, credentials, console)?, folder))
}

fn driver_with(
    network: &NetworkArgs,
    offline: bool,
    store: Store,
    credentials: Arc<dyn CredentialSource>,
    console: &Console,
) -> Result<Driver> {
    let mut options = NetworkOptions {
        user_agent: concat!("wharfie/", env!("CARGO_PKG_VERSION"), " (+", env!("CARGO_PKG_REPOSITORY"), ")")
            .to_owned(),
        ca: network.ca.clone(),
        offline,
        retries: network.retries,
        timeout: Duration::from_secs(network.timeout),
        ..NetworkOptions::default()
    };
    if let Some(jobs) = network.jobs {
        options.jobs = jobs;
    }
    options.sources = names::registries(network)?;
    options.cert_dirs = cert_dirs(&Environment::of_process());
    if network.insecure {
        options.default_registry = RegistrySettings { transport: Transport::Insecure };
    }
    let driver = Driver::new(options, store, credentials, Arc::new(watch::Watch::new(console)))?;
    super::interrupt::stops(driver.cancel());
    Ok(driver)
}

/// Checks credentials with their registry.
pub(super) fn check(
    registry: &str,
    credentials: &Credentials,
    network: &NetworkArgs,
    console: &Console,
) -> Result<bool> {
    let (driver, _folder) = passing_driver(network, Arc::new(Given(credentials.clone())), console)?;
    let taken = driver.check(registry)?;
    if !taken {
        console.warn(&format!("{registry} asks for no credentials: they could not be checked"));
    }
    Ok(taken)
}

struct Given(Credentials);

impl CredentialSource for Given {
    fn find(&self, _: &str, _: Option<&str>) -> Option<Credentials> {
        Some(self.0.clone())
    }
}

/// What the files and helpers have; those that do not work are warned about.
struct Found {
    search: Search,
    console: Console,
}

impl CredentialSource for Found {
    fn find(&self, registry: &str, repository: Option<&str>) -> Option<Credentials> {
        let finding = self.search.find(registry, repository);
        for (place, reason) in finding.broken() {
            self.console.warn(&format!("credentials from {place}: {reason}"));
        }
        finding.credentials
    }

    /// What `--creds` gives is for the image's registry.
    fn find_for_stand_in(&self, registry: &str, repository: Option<&str>) -> Option<Credentials> {
        let search = Search { given: None, ..self.search.clone() };
        Found { search, console: self.console.clone() }.find(registry, repository)
    }
}

/// Checks that `--creds` is for one registry: what one is told no other may hear. `names` are those of images.
///
/// # Errors
/// `invalid_option`
pub(super) fn one_registry<'n>(
    network: &NetworkArgs,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<()> {
    if network.creds.is_none() {
        return Ok(());
    }
    let hosts: BTreeSet<String> = names
        .into_iter()
        .filter_map(|name| match Source::parse(name) {
            Ok(Source::Registry(reference)) => Some(reference.host().to_owned()),
            _ => None,
        })
        .collect();
    if hosts.len() < 2 {
        return Ok(());
    }
    let hosts = hosts.into_iter().collect::<Vec<_>>().join(" and ");
    let reason =
        format!("{hosts} are asked, and `--creds` is for one registry: `wharfie login` keeps those of each");
    Err(ErrorKind::InvalidOption { reason }.into())
}

/// A path as text, for messages.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
