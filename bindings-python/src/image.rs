//! Images: what is in them, and what is made of them.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tempfile::SpooledTempFile;
use wharfie::drive::Silent;
use wharfie::export::{self, Sink};
use wharfie::image::{self, Read, spoken};
use wharfie::layers::default_temp_dir;
use wharfie::unpack;
use wharfie::view::View;
use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;
use wharfie_core::merge::Pattern;
use wharfie_core::{Limits, Source, wire};

use crate::error::{raise, raised};
use crate::sink::Store;
use crate::supervised::{Cancel, LOOK, supervised};

/// Bytes of one file that wait in memory; more go to an unnamed temporary file.
const IN_MEMORY: usize = 8 << 20;

fn platform(asked: Option<&str>) -> Result<Option<wharfie_core::Platform>> {
    image::platform(asked).map(Some)
}

/// `wharfie::image::Image`.
#[pyclass(frozen, module = "wharfie._wharfie")]
pub(crate) struct Image(image::Image);

#[pymethods]
impl Image {
    /// Opens what a name stands for on this machine.
    #[staticmethod]
    fn open_local(
        py: Python<'_>,
        name: &str,
        asked: Option<&str>,
        store: Option<PathBuf>,
        cancel: &Cancel,
    ) -> PyResult<Image> {
        let cancel = cancel.0.clone();
        let opened = supervised(py, &cancel, None, |_| {
            let opened = image::Image::open_local(name, platform(asked)?, &cancel, &Silent)?;
            Ok(opened.with_side_indexes(image::present_store(store.as_deref())))
        });
        opened.map(Image)
    }

    /// Opens an archive at this path, whatever it is called in messages.
    #[staticmethod]
    fn open_file(
        py: Python<'_>,
        path: PathBuf,
        name: &str,
        reference: Option<&str>,
        asked: Option<&str>,
        cancel: &Cancel,
    ) -> PyResult<Image> {
        let cancel = cancel.0.clone();
        let opened = supervised(py, &cancel, None, |_| {
            let file = File::open(&path).map_err(|error| {
                spoken::io_failed("opening the image", &error).at_path(path.display().to_string())
            })?;
            image::Image::of_file(file, name, reference, platform(asked)?, &cancel, &Silent)
        });
        opened.map(Image)
    }

    /// An image whose documents came into a store; `top` is the descriptor that its name stands for.
    #[staticmethod]
    fn in_store(
        py: Python<'_>,
        name: &str,
        store: &Store,
        top: &str,
        asked: Option<&str>,
    ) -> PyResult<Image> {
        let open = || {
            let top = Descriptor::parse(top.as_bytes(), &Limits::default())?;
            image::Image::come(name, &store.store, &top, platform(asked)?, &Silent)
        };
        py.detach(open).map(Image).map_err(raised)
    }

    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// What `wire::describe` says.
    fn describe(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| spoken::description(&self.0)).map_err(raised)
    }

    /// The manifest as it came.
    fn manifest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let raw = py.detach(|| self.0.raw(&self.0.chosen()?.manifest)).map_err(raised)?;
        Ok(PyBytes::new(py, &raw))
    }

    /// The config as it came; none where there is none (schema 1).
    fn config<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let read = || self.0.chosen()?.config.as_ref().map(|config| self.0.raw(config)).transpose();
        let raw = py.detach(read).map_err(raised)?;
        Ok(raw.map(|raw| PyBytes::new(py, &raw)))
    }

    /// The index that the name stands for, as it came; none if it stands for a manifest.
    fn index<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let read = || match self.0.pulled().top.media_type.is_index() {
            true => self.0.raw(&self.0.pulled().top).map(Some),
            false => Ok(None),
        };
        let raw = py.detach(read).map_err(raised)?;
        Ok(raw.map(|raw| PyBytes::new(py, &raw)))
    }

    /// Which layers are not here.
    fn missing(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        py.detach(|| self.0.missing()).map_err(raised)
    }

    /// The digest of a layer, and whether it is to be fetched by that alone.
    fn layer_source(&self, layer: usize) -> PyResult<Option<(String, bool)>> {
        let layers = &self.0.chosen().map_err(raised)?.layers;
        Ok(layers.get(layer).map(|layer| (layer.digest.to_string(), image::Image::is_plain(layer))))
    }

    /// The merged tree.
    fn view(&self, py: Python<'_>, cancel: &Cancel, progress: Option<&Bound<'_, PyAny>>) -> PyResult<Tree> {
        let view = supervised(py, &cancel.0, progress, |told| self.0.view(&cancel.0, &**told))?;
        Ok(Tree(view))
    }

    /// The content of one file, or the number of the layer that has to be here first.
    fn read<'py>(
        &self,
        py: Python<'py>,
        path: Vec<u8>,
        cancel: &Cancel,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let dir = default_temp_dir();
        let (read, content) = supervised(py, &cancel.0, progress, |told| {
            let mut content = SpooledTempFile::new_in(IN_MEMORY, &dir);
            let mut len = 0;
            let read = self.0.read(&[path], &cancel.0, &**told, &mut |bytes| {
                len += bytes.len() as u64;
                content.write_all(bytes).map_err(|error| spoken::io_failed("writing", &error))
            })?;
            Ok((read, Content { file: Mutex::new(content), len }))
        })?;
        match read {
            Read::Done => Ok(Bound::new(py, content)?.into_any()),
            Read::Needs(layer) => Ok(layer.into_pyobject(py)?.into_any()),
        }
    }

    /// The decoded tar of one layer.
    fn layer(&self, py: Python<'_>, layer: usize) -> PyResult<Stream> {
        let stream = py.detach(|| self.0.layer(layer)).map_err(raised)?;
        Ok(Stream::new(Kind::Layer(stream)))
    }

    /// Writes the flattened root to a file; the options are those of `spoken::export_options`. Answers the report as JSON.
    fn export(
        &self,
        py: Python<'_>,
        path: PathBuf,
        options: &str,
        cancel: &Cancel,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        supervised(py, &cancel.0, progress, |told| {
            let options = spoken::export_options(options, Some(&path), &cancel.0)?;
            let report = self.0.export(&options, Sink::File(path), &**told)?;
            Ok(spoken::exported(&report))
        })
    }

    /// The flattened root as a stream.
    fn export_stream(&self, py: Python<'_>, options: &str, cancel: &Cancel) -> PyResult<Stream> {
        let begin = || self.0.export_stream(spoken::export_options(options, None, &cancel.0)?, Arc::new(()));
        py.detach(begin).map(|stream| Stream::new(Kind::Export(Box::new(stream)))).map_err(raised)
    }

    /// Writes the merged root to a directory; the options are those of `spoken::unpack_options`. Answers the report as JSON.
    fn unpack(
        &self,
        py: Python<'_>,
        path: PathBuf,
        options: &str,
        cancel: &Cancel,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        supervised(py, &cancel.0, progress, |told| {
            let options = spoken::unpack_options(options, &cancel.0)?;
            let report = self.0.unpack(&options, &path, &**told)?;
            Ok(spoken::unpacked(&report))
        })
    }

    /// Looks whether this user may unpack so, before anything is fetched for it.
    fn check_unpack(&self, options: &str) -> PyResult<()> {
        let options = spoken::unpack_options(options, &Cancel::default().0).map_err(raised)?;
        unpack::check_permission(&options).map_err(raised)
    }
}

/// The merged tree.
#[pyclass(frozen, module = "wharfie._wharfie")]
pub(crate) struct Tree(Arc<View>);

#[pymethods]
impl Tree {
    fn __len__(&self) -> usize {
        self.0.tree.len()
    }

    /// `wire::table`.
    fn table<'py>(
        &self,
        py: Python<'py>,
        start: u32,
        most: usize,
        pattern: Option<Vec<u8>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let pattern = pattern.map(Pattern::new).transpose().map_err(raised)?;
        let table = py.detach(|| wire::table(&self.0.tree, start, most, pattern.as_ref()));
        Ok(PyBytes::new(py, &table))
    }

    /// What was odd about the layers.
    fn warnings(&self) -> Vec<String> {
        spoken::warned(self.0.tree.warnings(), &self.0.layers)
    }
}

/// The content of one file, verified.
#[pyclass(frozen, module = "wharfie._wharfie")]
pub(crate) struct Content {
    file: Mutex<SpooledTempFile>,
    len: u64,
}

#[pymethods]
impl Content {
    #[getter]
    fn len(&self) -> u64 {
        self.len
    }

    /// Up to so many bytes from a position on; none at the end.
    fn read_at<'py>(&self, py: Python<'py>, offset: u64, most: usize) -> PyResult<Bound<'py, PyBytes>> {
        let most = most.min(usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX));
        PyBytes::new_with(py, most, |buffer| {
            py.detach(|| {
                let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer))
            })
            .map_err(|error| raise(&spoken::io_failed("reading", &error)))
        })
    }
}

enum Kind {
    Layer(image::Stream),
    Export(Box<image::Stream<export::Report>>),
}

/// Bytes as they are made.
#[pyclass(frozen, module = "wharfie._wharfie")]
pub(crate) struct Stream(Mutex<Option<Kind>>);

impl Stream {
    fn new(kind: Kind) -> Stream {
        Stream(Mutex::new(Some(kind)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Stream {
    /// The next piece; none at the end, when all of it is verified.
    fn next_piece<'py>(&self, py: Python<'py>, cancel: &Cancel) -> PyResult<Option<Bound<'py, PyBytes>>> {
        loop {
            let piece = py.detach(|| match &mut *self.lock() {
                _ if cancel.0.is_cancelled() => Err(wire::cancelled()),
                Some(Kind::Layer(stream)) => stream.next_piece_within(LOOK),
                Some(Kind::Export(stream)) => stream.next_piece_within(LOOK),
                None => Err(wire::cancelled()),
            });
            py.check_signals()?;
            if let Some(piece) = piece.map_err(raised)? {
                return Ok(piece.map(|piece| PyBytes::new(py, &piece)));
            }
        }
    }

    /// The report of an export that has come to its end, as JSON.
    fn report(&self) -> Option<String> {
        match &*self.lock() {
            Some(Kind::Export(stream)) => stream.outcome().map(spoken::exported),
            _ => None,
        }
    }

    /// Stops it.
    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.lock().take()));
    }
}

/// What a name stands for: the full reference of an image on a registry, or nothing for a place on this machine.
#[pyfunction]
pub(crate) fn source(name: &str) -> PyResult<Option<(String, String)>> {
    if name == image::SAMPLE {
        return Ok(None);
    }
    match Source::parse(name).map_err(raised)? {
        Source::Registry(reference) => {
            let reference = reference.or_latest();
            Ok(Some((reference.to_string(), reference.name())))
        }
        _ => Ok(None),
    }
}

/// The platform that is meant if none is named.
#[pyfunction]
pub(crate) fn own_platform() -> PyResult<String> {
    image::platform(None).map(|own| own.to_string()).map_err(raised)
}

/// `wire::reach_allows`, by what the URL shows.
#[pyfunction]
pub(crate) fn reach_allows(reach: &str, url: &str) -> PyResult<bool> {
    wire::reach_allows(reach, url, &[]).map_err(raised)
}
