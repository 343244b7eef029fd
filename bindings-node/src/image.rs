//! Images: what is in them, and what is made of them.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use napi::bindgen_prelude::{Buffer, Either, Env, PromiseRaw, Uint8Array};
use napi_derive::napi;
use wharfie::drive::Silent;
use wharfie::export::Sink;
use wharfie::image::spoken::io_failed;
use wharfie::image::{self, Read, spoken};
use wharfie::layers::default_temp_dir;
use wharfie::unpack;
use wharfie::view::View;
use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;
use wharfie_core::merge::Pattern;
use wharfie_core::{Limits, Platform, wire};

use crate::apart::apart;
use crate::error::thrown;
use crate::sink::Store;
use crate::stream::Stream;
use crate::work::Work;

fn platform(asked: Option<&str>) -> Result<Option<Platform>> {
    image::platform(asked).map(Some)
}

/// `wharfie::image::Image`, with what its documents say.
#[napi]
pub struct Image {
    /// Nothing once it is closed: files, locks and what was indexed go with it.
    image: Option<image::Image>,
    pulled: String,
    description: String,
    listed_name: Option<String>,
    manifest: Vec<u8>,
    config: Option<Vec<u8>>,
    index: Option<Vec<u8>>,
}

impl Image {
    fn of(image: image::Image) -> Result<Image> {
        let (chosen, top) = (image.chosen()?, &image.pulled().top);
        Ok(Image {
            description: spoken::description(&image)?,
            listed_name: image.listed_name(),
            manifest: image.raw(&chosen.manifest)?,
            config: chosen.config.as_ref().map(|config| image.raw(config)).transpose()?,
            index: (top.digest != chosen.manifest.digest).then(|| image.raw(top)).transpose()?,
            pulled: wire::pulled_json(image.pulled()),
            image: Some(image),
        })
    }
}

impl Image {
    fn open(&self) -> napi::Result<image::Image> {
        self.image.clone().ok_or_else(|| napi::Error::from_reason("the image is closed"))
    }
}

#[napi]
impl Image {
    /// What still reads from it goes on to its end.
    #[napi]
    pub fn close(&mut self) {
        self.image = None;
    }

    /// Opens what a name stands for on this machine. Side indexes of its layers are kept in the command line's store, if there
    /// is one.
    #[napi]
    pub fn open_local<'e>(
        env: &'e Env,
        name: String,
        asked: Option<String>,
        store: Option<String>,
        work: &Work,
    ) -> napi::Result<PromiseRaw<'e, Image>> {
        let cancel = work.cancel.clone();
        let open = move || {
            let opened = image::Image::open_local(&name, platform(asked.as_deref())?, &cancel, &Silent)?;
            let sides = image::present_store(store.map(PathBuf::from).as_deref());
            Image::of(opened.with_side_indexes(sides))
        };
        apart(env, open, |image| image)
    }

    /// Opens an archive at this path, whatever it is called in messages.
    #[napi]
    pub fn open_file<'e>(
        env: &'e Env,
        path: String,
        name: String,
        reference: Option<String>,
        asked: Option<String>,
        work: &Work,
    ) -> napi::Result<PromiseRaw<'e, Image>> {
        let cancel = work.cancel.clone();
        let open = move || {
            let file =
                File::open(&path).map_err(|error| io_failed("opening the image", &error).at_path(&*path))?;
            let asked = platform(asked.as_deref())?;
            Image::of(image::Image::of_file(file, &name, reference.as_deref(), asked, &cancel, &Silent)?)
        };
        apart(env, open, |image| image)
    }

    /// An image whose documents came into a store; `top` is the descriptor that its name stands for.
    #[napi]
    pub fn in_store<'e>(
        env: &'e Env,
        name: String,
        store: &Store,
        top: String,
        asked: Option<String>,
    ) -> napi::Result<PromiseRaw<'e, Image>> {
        let store = store.store.clone();
        let open = move || {
            let top = Descriptor::parse(top.as_bytes(), &Limits::default())?;
            Image::of(image::Image::come(&name, &store, &top, platform(asked.as_deref())?, &Silent)?)
        };
        apart(env, open, |image| image)
    }

    /// What `wire::describe` says.
    #[napi(getter)]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What the walk of its documents came to.
    #[napi(getter)]
    pub fn pulled(&self) -> String {
        self.pulled.clone()
    }

    /// What it is called where it is.
    #[napi(getter)]
    pub fn listed_name(&self) -> Option<String> {
        self.listed_name.clone()
    }

    /// The manifest as it came.
    #[napi(getter)]
    pub fn manifest(&self) -> Buffer {
        Buffer::from(&self.manifest[..])
    }

    /// The config as it came; none where there is none (schema 1).
    #[napi(getter)]
    pub fn config(&self) -> Option<Buffer> {
        self.config.as_deref().map(Buffer::from)
    }

    /// The index that the name stands for, as it came; none if it stands for a manifest.
    #[napi(getter)]
    pub fn index(&self) -> Option<Buffer> {
        self.index.as_deref().map(Buffer::from)
    }

    /// Which layers are not here.
    #[napi]
    pub fn missing<'e>(&self, env: &'e Env) -> napi::Result<PromiseRaw<'e, Vec<u32>>> {
        let image = self.open()?;
        let look = move || image.missing();
        apart(env, look, |layers| layers.into_iter().filter_map(|layer| u32::try_from(layer).ok()).collect())
    }

    /// Whether a layer is a blob of the repository like any other, to be fetched by its digest alone.
    #[napi]
    pub fn is_plain(&self, layer: u32) -> bool {
        let Some(image) = &self.image else { return false };
        let layers = image.chosen().map(|image| &image.layers[..]).unwrap_or_default();
        layers.get(layer as usize).is_some_and(image::Image::is_plain)
    }

    /// The merged tree.
    #[napi]
    pub fn view<'e>(&self, env: &'e Env, work: &Work) -> napi::Result<PromiseRaw<'e, Tree>> {
        let (image, cancel, told) = (self.open()?, work.cancel.clone(), Arc::clone(&work.told));
        apart(env, move || image.view(&cancel, &*told), Tree)
    }

    /// The content of one file, verified; or the number of the layer that has to be here first.
    #[napi]
    pub fn read<'e>(
        &self,
        env: &'e Env,
        path: Either<String, Uint8Array>,
        work: &Work,
    ) -> napi::Result<PromiseRaw<'e, Either<u32, Stream>>> {
        // A name need not be UTF-8.
        let path = match path {
            Either::A(text) => text.into_bytes(),
            Either::B(bytes) => bytes.to_vec(),
        };
        let (image, cancel, told) = (self.open()?, work.cancel.clone(), Arc::clone(&work.told));
        let read = move || {
            let failed = |error: std::io::Error| io_failed("writing", &error);
            let mut content = tempfile::tempfile_in(default_temp_dir()).map_err(failed)?;
            let read = image
                .read(&[path], &cancel, &*told, &mut |bytes| content.write_all(bytes).map_err(failed))?;
            match read {
                Read::Needs(layer) => Ok(Either::A(u32::try_from(layer).unwrap_or(u32::MAX))),
                Read::Done => {
                    content.seek(SeekFrom::Start(0)).map_err(failed)?;
                    Stream::new(content, Some(cancel)).map(Either::B)
                }
            }
        };
        apart(env, read, |read| read)
    }

    /// The tar of one layer, or its blob as it is.
    #[napi]
    pub fn layer<'e>(&self, env: &'e Env, layer: u32, decoded: bool) -> napi::Result<PromiseRaw<'e, Stream>> {
        let image = self.open()?;
        let open = move || {
            let layer = layer as usize;
            let stream = if decoded { image.layer(layer)? } else { image.layer_blob(layer)? };
            let stop = stream.cancel().clone();
            Stream::new(stream, Some(stop))
        };
        apart(env, open, |stream| stream)
    }

    /// Writes the flattened root to a file, which appears whole or not at all. Answers the report as JSON.
    #[napi]
    pub fn export_file<'e>(
        &self,
        env: &'e Env,
        path: String,
        options: String,
        work: &Work,
    ) -> napi::Result<PromiseRaw<'e, String>> {
        let (image, cancel, told) = (self.open()?, work.cancel.clone(), Arc::clone(&work.told));
        let write = move || {
            let path = PathBuf::from(path);
            let options = spoken::export_options(&options, Some(&path), &cancel)?;
            Ok(spoken::exported(&image.export(&options, Sink::File(path), &*told)?))
        };
        apart(env, write, |report| report)
    }

    /// The flattened root as a stream.
    #[napi]
    pub fn export_stream<'e>(
        &self,
        env: &'e Env,
        options: String,
        work: &Work,
    ) -> napi::Result<PromiseRaw<'e, Stream>> {
        let (image, cancel, told) = (self.open()?, work.cancel.clone(), Arc::clone(&work.told));
        let open = move || {
            let stream = image.export_stream(spoken::export_options(&options, None, &cancel)?, told)?;
            Stream::new(stream, Some(cancel))
        };
        apart(env, open, |stream| stream)
    }

    /// Writes the merged root to a directory. Answers the report as JSON.
    #[napi]
    pub fn unpack<'e>(
        &self,
        env: &'e Env,
        path: String,
        options: String,
        work: &Work,
    ) -> napi::Result<PromiseRaw<'e, String>> {
        let (image, cancel, told) = (self.open()?, work.cancel.clone(), Arc::clone(&work.told));
        let write = move || {
            let options = spoken::unpack_options(&options, &cancel)?;
            Ok(spoken::unpacked(&image.unpack(&options, &PathBuf::from(path), &*told)?))
        };
        apart(env, write, |report| report)
    }
}

/// Looks whether this user may unpack so, before anything is fetched for it.
#[napi]
pub fn check_unpack(options: String) -> napi::Result<()> {
    let options = spoken::unpack_options(&options, &wharfie::drive::Cancel::new()).map_err(thrown)?;
    unpack::check_permission(&options).map_err(thrown)
}

/// The merged tree.
#[napi]
pub struct Tree(Arc<View>);

#[napi]
impl Tree {
    /// `wire::table`.
    #[napi]
    pub fn table<'e>(
        &self,
        env: &'e Env,
        from: u32,
        most: u32,
        pattern: Option<String>,
    ) -> napi::Result<PromiseRaw<'e, Buffer>> {
        let view = Arc::clone(&self.0);
        let pack = move || {
            let pattern = pattern.map(Pattern::new).transpose()?;
            Ok(wire::table(&view.tree, from, most as usize, pattern.as_ref()))
        };
        apart(env, pack, Buffer::from)
    }
}

/// Whether a request may go where it leads (`wire::reach_allows`).
#[napi]
pub fn reach_allows(reach: String, url: String, addresses: Vec<String>) -> napi::Result<bool> {
    wire::reach_allows(&reach, &url, &addresses).map_err(thrown)
}

/// What a name stands for (`wire::source`).
#[napi]
pub fn source(name: String) -> napi::Result<String> {
    wire::source(&name).map_err(thrown)
}
