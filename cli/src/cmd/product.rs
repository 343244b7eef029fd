//! An image that was made, and the way to where it is to be: the local store, a registry, a place on this machine.

use std::collections::BTreeMap;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use wharfie_core::client::{Depth, PlatformChoice, PushOptions};
use wharfie_core::digest::Verifier;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::image::edit::Made;
use wharfie_core::source::{Local, Transport};
use wharfie_core::{Digest, Reference, Source};

use super::args::{FromArgs, ToArgs};
use super::open::{self, Opened};
use super::output;
use crate::blob_file::BlobFile;
use crate::codec::NativeHashes;
use crate::console::{Bytes, Console};
use crate::destination::{self, Options};
use crate::drive::{Cancel, Supply};
use crate::export::format_of_name;
use crate::fault::io_error;
use crate::origin::Origin;
use crate::store::{Claim, Store};

/// How long to wait for another process that writes the same blob.
const LOOK: Duration = Duration::from_millis(100);

/// Where an image is to be.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// In the local store, under this name.
    Store(Reference),
    /// At a registry.
    Registry(Reference),
    /// On this machine.
    Local(Local),
}

impl Target {
    /// Reads what the options say, before anything is done.
    pub(super) fn of(to: &ToArgs) -> Result<Target> {
        let wrong = |reason: &str| Error::from(ErrorKind::InvalidOption { reason: reason.to_owned() });
        let Some(name) = &to.output else {
            let Some(tag) = &to.tag else {
                return Err(wrong(
                    "the image needs a name: --tag NAME in the local store, or --output DESTINATION",
                ));
            };
            let reference = super::list::registry_reference(tag)?.or_latest();
            return match reference.digest() {
                Some(_) => Err(wrong("--tag is a name, not a digest: the digest is what comes out")),
                None => Ok(Target::Store(reference)),
            };
        };
        match Source::parse(name)? {
            Source::Registry(_) if to.tag.is_some() => {
                Err(wrong("--output names a tag of a registry already: --tag has nothing to name"))
            }
            Source::Registry(reference) if reference.digest().is_some() => {
                Err(wrong("an image is pushed to a tag, not to a digest: the digest is what comes out"))
            }
            Source::Registry(reference) => Ok(Target::Registry(reference.or_latest())),
            Source::Local(mut local) => {
                if let Some(tag) = &to.tag
                    && local.reference.replace(tag.clone()).is_some()
                {
                    return Err(wrong("--output names the image already: --tag has nothing to name"));
                }
                Ok(Target::Local(local))
            }
            _ => Err(wrong("this is no place for an image")),
        }
    }

    /// How far down what the image is made of is fetched: what its own registry has need not come here.
    pub(super) fn depth(&self, base: &str) -> Depth {
        match (self, Source::parse(base)) {
            (Target::Registry(to), Ok(Source::Registry(from))) if to.host() == from.host() => Depth::Config,
            _ => Depth::Layers,
        }
    }

    /// What it is called in messages.
    fn shown(&self) -> String {
        match self {
            Target::Store(reference) => format!("{} in the local store", reference.familiar()),
            Target::Registry(reference) => reference.familiar(),
            Target::Local(local) => match &local.reference {
                Some(name) => format!("{}:{name}", local.path),
                None => local.path.clone(),
            },
        }
    }
}

/// An image that was made: its documents, its layers where they are.
#[derive(Default)]
pub(super) struct Product {
    top: Option<Descriptor>,
    /// What is below comes first.
    documents: Vec<(Descriptor, Vec<u8>)>,
    layers: BTreeMap<Digest, Descriptor>,
    made: BTreeMap<Digest, BlobFile>,
    origins: Vec<Arc<dyn Origin>>,
    /// Registries and repositories that have layers of it.
    repositories: Vec<Reference>,
    /// The images that these are.
    sources: Vec<(String, PlatformChoice)>,
    /// Whether a layer was asked for that is not here.
    lacks: AtomicBool,
}

impl Product {
    /// Layers of this image may be in it.
    pub(super) fn uses(&mut self, opened: &Opened, platform: PlatformChoice) {
        self.origins.push(Arc::clone(&opened.origin));
        if let Some(reference) = &opened.reference {
            self.repositories.push(reference.clone());
            self.sources.push((reference.with_digest(opened.pulled.top.digest).to_string(), platform));
        }
    }

    /// A layer that was made.
    pub(super) fn made(&mut self, digest: Digest, blob: &BlobFile) {
        self.made.insert(digest, blob.clone());
    }

    /// One image of it. The last that is added is what the name will stand for.
    pub(super) fn image(&mut self, made: Made) {
        self.layers.extend(made.layers.into_iter().map(|layer| (layer.digest, layer)));
        self.documents.push((made.config, made.config_bytes));
        self.top = Some(made.manifest.clone());
        self.documents.push((made.manifest, made.manifest_bytes));
    }

    /// The index of all of them.
    pub(super) fn index(&mut self, index: Descriptor, bytes: Vec<u8>) {
        self.top = Some(index.clone());
        self.documents.push((index, bytes));
    }

    fn find(&self, digest: &Digest) -> Result<Option<BlobFile>> {
        if let Some(blob) = self.made.get(digest) {
            return Ok(Some(blob.clone()));
        }
        for origin in &self.origins {
            if let Some(blob) = origin.blob(digest)? {
                return Ok(Some(blob));
            }
        }
        Ok(None)
    }

    /// The layers, each with where it is. Those that may not be distributed may be missing.
    fn found(&self) -> Result<Vec<(&Descriptor, BlobFile)>> {
        let mut found = Vec::new();
        for layer in self.layers.values() {
            match self.find(&layer.digest)? {
                Some(blob) => found.push((layer, blob)),
                None if layer.media_type.is_nondistributable() => {}
                None => {
                    let what = format!("layer {}", layer.digest);
                    return Err(ErrorKind::NotFound { what, detail: None }.into());
                }
            }
        }
        Ok(found)
    }

    /// Brings it to its place, and says so.
    pub(super) fn deliver(
        self,
        to: &ToArgs,
        target: &Target,
        from: &FromArgs,
        cancel: &Cancel,
        console: &Console,
    ) -> Result<()> {
        let Some(mut top) = self.top.clone() else {
            return Err(ErrorKind::Internal { reason: "nothing was made".to_owned() }.into());
        };
        top.platform = None;
        let mut report = json!({
            "digest": top.digest.to_string(),
            "mediaType": top.media_type.as_str(),
            "size": top.size,
            "layers": self.layers.len(),
            "made": self.made.len(),
        });
        let line = match target {
            Target::Store(reference) => {
                self.to_store(&open::store(from.store.store.as_deref())?, reference, &top, cancel)?;
                report["name"] = json!(reference.to_string());
                format!("{}@{}", reference.name(), top.digest)
            }
            Target::Registry(reference) => {
                report["name"] = json!(reference.to_string());
                let pushed = self.into_registry(reference, &top, from, console)?;
                report["sent"] = json!(pushed.sent);
                report["sentBytes"] = json!(pushed.sent_bytes);
                report["mounted"] = json!(pushed.mounted);
                report["present"] = json!(pushed.present);
                console.note(&format!(
                    "{} blobs sent ({}), {} mounted",
                    pushed.sent,
                    Bytes(pushed.sent_bytes),
                    pushed.mounted
                ));
                format!("{}@{}", reference.name(), top.digest)
            }
            Target::Local(local) => {
                let options =
                    Options { temp_dir: to.temp_dir.clone(), cancel: cancel.clone(), ..Options::default() };
                self.to_local(local, &top, &options)?;
                report["name"] = json!(target.shown());
                top.digest.to_string()
            }
        };
        console.note(&format!("made {}", target.shown()));
        if to.json { output::json(&report) } else { output::lines([line]) }
    }

    fn to_store(&self, store: &Store, name: &Reference, top: &Descriptor, cancel: &Cancel) -> Result<()> {
        if store.is_read_only() {
            let reason = "it can only be read".to_owned();
            let error =
                Error::from(ErrorKind::PermissionDenied { operation: "writing to the store", reason });
            return Err(error.at_path(store.root().display().to_string()));
        }
        for (layer, blob) in self.found()? {
            keep(store, layer, &blob, cancel).map_err(|error| error.in_blob(layer.digest))?;
        }
        for (document, bytes) in &self.documents {
            store.put_document(&document.digest, bytes)?;
        }
        store.tag_local(name, top)
    }

    fn to_local(&self, local: &Local, top: &Descriptor, options: &Options) -> Result<()> {
        let mut place = destination::open(local, options)?;
        for (layer, blob) in self.found()? {
            if !place.has(layer)? {
                place.blob(layer, &blob)?;
            }
        }
        for (document, bytes) in &self.documents {
            place.document(document, bytes)?;
        }
        place.name(top, name_there(local)?.as_deref())?;
        place.commit()
    }

    fn into_registry(
        self,
        to: &Reference,
        top: &Descriptor,
        from: &FromArgs,
        console: &Console,
    ) -> Result<wharfie_core::client::Pushed> {
        let (driver, _folder) = open::driver(from, console)?;
        let here = |reference: &&Reference| {
            reference.host() == to.host() && reference.repository() != to.repository()
        };
        let mount_from = self.repositories.iter().filter(here).map(|r| r.repository().to_owned()).collect();
        let options = PushOptions { mount_from, ..PushOptions::default() };
        let product = Arc::new(self);
        let supply = || Arc::clone(&product) as Arc<dyn Supply>;
        match driver.push(to, top, options.clone(), supply()) {
            Err(error) if product.lacks.load(Ordering::Relaxed) && error.code() != "cancelled" => {
                // The registry takes nothing from its other repositories: then it has to come here first.
                console
                    .note("the registry gives no blobs from one repository to another: they go through here");
                for (image, platform) in &product.sources {
                    open::open(image, from, open::options(platform.clone(), Depth::Layers), console)?;
                }
                driver.push(to, top, options, supply())
            }
            pushed => pushed,
        }
    }
}

impl Supply for Product {
    fn document(&self, descriptor: &Descriptor) -> Result<Option<Vec<u8>>> {
        let found = self.documents.iter().find(|(known, _)| known.digest == descriptor.digest);
        Ok(found.map(|(_, bytes)| bytes.clone()))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Option<BlobFile>> {
        let config = self.documents.iter().find(|(known, _)| known.digest == descriptor.digest);
        if let Some((_, bytes)) = config {
            let failed = |error| io_error("writing a temporary file", None, &error);
            return BlobFile::of_bytes(bytes).map(Some).map_err(failed);
        }
        let found = self.find(&descriptor.digest)?;
        if found.is_none() {
            self.lacks.store(true, Ordering::Relaxed);
        }
        Ok(found)
    }
}

/// The image's name in that place: in docker's archives they are references.
fn name_there(local: &Local) -> Result<Option<String>> {
    let is_docker = match local.transport {
        Transport::DockerArchive => true,
        Transport::Path => {
            !Path::new(&local.path).is_dir() && format_of_name(Path::new(&local.path)).is_some()
        }
        _ => false,
    };
    match &local.reference {
        Some(name) if is_docker => Ok(Some(name.parse::<Reference>()?.or_latest().to_string())),
        name => Ok(name.clone()),
    }
}

/// Has a blob in the store, verified on its way there.
fn keep(store: &Store, descriptor: &Descriptor, from: &BlobFile, cancel: &Cancel) -> Result<()> {
    let failed = |error: std::io::Error| -> Error {
        ErrorKind::LocalIo { operation: "writing to the store", reason: error.to_string() }.into()
    };
    loop {
        if cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled {}.into());
        }
        match store.claim(&descriptor.digest, descriptor.size)? {
            Claim::Present(_) => return Ok(()),
            Claim::Busy => thread::sleep(LOOK),
            Claim::Mine(partial) => {
                partial.truncate(0)?;
                let mut file = partial.file();
                file.seek(SeekFrom::Start(0)).map_err(failed)?;
                let mut verifier = Verifier::new(&NativeHashes, descriptor.digest, Some(descriptor.size));
                let copied = from.read_pieces("reading a layer", cancel, &mut |piece| {
                    verifier.update(piece)?;
                    file.write_all(piece).map_err(failed)
                });
                if let Err(error) = copied.and_then(|()| verifier.finish().map(drop)) {
                    // It would be taken for the beginning of the right bytes, though only until it is hashed.
                    partial.truncate(0)?;
                    return Err(error);
                }
                return partial.commit(descriptor.size);
            }
        }
    }
}
