//! The content store, and the ways of blobs into it.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use wharfie::image::spoken::io_failed;
use wharfie::image::{self, Claimed, Refused, Writing};
use wharfie::store;
use wharfie_core::client::{BlobId, SinkFailure};
use wharfie_core::digest::Hasher;
use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;
use wharfie_core::{Digest, Limits, Reference};

use crate::error::{SinkRefused, raised};

/// `wharfie::store::Store`.
#[pyclass(frozen, module = "wharfie._wharfie")]
pub(crate) struct Store {
    pub(crate) store: store::Store,
    /// Goes with it, where there is no other place.
    _folder: Option<tempfile::TempDir>,
}

pub(crate) fn digest(text: &str) -> PyResult<Digest> {
    text.parse().map_err(raised)
}

fn temporary() -> Result<Store> {
    let folder = tempfile::tempdir().map_err(|error| io_failed("opening the store", &error))?;
    Ok(Store { store: store::Store::open(folder.path())?, _folder: Some(folder) })
}

fn opened(dir: Option<PathBuf>) -> Result<Store> {
    let is_given = dir.is_some();
    let found = match dir {
        Some(dir) => store::Store::open(dir),
        None => store::Store::default_dir().and_then(store::Store::open),
    };
    match found {
        // Who has no place for one (a service without a home) gets one for this time only.
        Err(error) if !is_given && matches!(error.code(), "permission_denied" | "invalid_option") => {
            temporary()
        }
        Ok(found) if !is_given && found.is_read_only() => temporary(),
        found => Ok(Store { store: found?, _folder: None }),
    }
}

#[pymethods]
impl Store {
    #[new]
    fn new(py: Python<'_>, dir: Option<PathBuf>) -> PyResult<Store> {
        py.detach(|| opened(dir)).map_err(raised)
    }

    #[getter]
    fn root(&self) -> PathBuf {
        self.store.root().to_owned()
    }

    fn has(&self, digest_text: &str) -> PyResult<Option<u64>> {
        Ok(self.store.has(&digest(digest_text)?))
    }

    fn available(&self) -> Option<u64> {
        self.store.available()
    }

    fn partial_len(&self, digest_text: &str) -> PyResult<Option<u64>> {
        Ok(self.store.partial_len(&digest(digest_text)?))
    }

    /// The size of a blob that is there, a way into it, or nothing while another process fetches it.
    fn claim<'py>(&self, py: Python<'py>, digest_text: &str, size: u64) -> PyResult<Bound<'py, PyAny>> {
        let digest = digest(digest_text)?;
        match py.detach(|| image::Intake::claim(&self.store, &digest, size)).map_err(raised)? {
            Claimed::Present(size) => Ok(size.into_pyobject(py)?.into_any()),
            Claimed::Mine(intake) => Ok(Bound::new(py, Intake(intake))?.into_any()),
            Claimed::Busy => Ok(py.None().into_bound(py)),
        }
    }

    fn read_document<'py>(
        &self,
        py: Python<'py>,
        digest_text: &str,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let digest = digest(digest_text)?;
        // One that has rotted is fetched again.
        let found = py.detach(|| self.store.read_document(&digest, Limits::default().document_bytes));
        Ok(found.ok().flatten().map(|bytes| PyBytes::new(py, &bytes)))
    }

    fn put_document(&self, py: Python<'_>, digest_text: &str, document: &[u8]) -> PyResult<()> {
        let digest = digest(digest_text)?;
        py.detach(|| self.store.put_document(&digest, document)).map_err(raised)
    }

    /// Lists an image of which all is there.
    fn tag(&self, py: Python<'_>, reference: &str, top: &str) -> PyResult<()> {
        let tagged = || -> Result<()> {
            if self.store.is_read_only() {
                return Ok(());
            }
            let reference: Reference = reference.parse()?;
            let mut top = Descriptor::parse(top.as_bytes(), &Limits::default())?;
            top.annotations.clear();
            top.size = self.store.has(&top.digest).unwrap_or(top.size);
            self.store.tag(&reference, &top)
        };
        py.detach(tagged).map_err(raised)
    }
}

/// `wharfie::image::Intake`.
#[pyclass(frozen, module = "wharfie._wharfie")]
pub(crate) struct Intake(pub(crate) image::Intake);

#[pymethods]
impl Intake {
    /// Bytes that are there.
    #[getter]
    fn position(&self) -> u64 {
        self.0.position()
    }

    fn commit(&self, py: Python<'_>, size: u64) -> PyResult<()> {
        py.detach(|| self.0.commit(size)).map_err(raised)
    }

    fn release(&self, py: Python<'_>) {
        py.detach(|| self.0.release());
    }
}

/// `wharfie::image::Writing`.
#[pyclass(frozen, module = "wharfie._wharfie")]
pub(crate) struct Writer(Mutex<Option<Writing>>);

fn refused(refused: Refused) -> PyErr {
    let (kind, needed, detail) = match refused {
        Refused::Superseded => ("superseded", 0, "another exchange took its place".to_owned()),
        Refused::Sink { failure: SinkFailure::NoSpace { needed }, detail } => ("no_space", needed, detail),
        Refused::Sink { failure: SinkFailure::Permission, detail } => ("permission", 0, detail),
        Refused::Sink { detail, .. } => ("io", 0, detail),
    };
    SinkRefused::new_err((kind, needed, detail))
}

impl Writer {
    pub(crate) fn new(writing: Writing) -> Writer {
        Writer(Mutex::new(Some(writing)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Writing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn finish(&self) -> Option<(BlobId, Hasher)> {
        self.lock().take().map(Writing::finish)
    }

    fn with<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Writing) -> Result<T, Refused> + Send,
    ) -> PyResult<T> {
        py.detach(|| match &mut *self.lock() {
            Some(writing) => act(writing),
            None => Err(Refused::Superseded),
        })
        .map_err(refused)
    }
}

#[pymethods]
impl Writer {
    /// Takes over the sink. Answers whether it has bytes that have to be read again first.
    fn begin(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |writing| writing.begin().map(|()| writing.is_behind()))
    }

    /// Reads a piece of them again. Answers whether there is more.
    fn replay(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |writing| writing.replay().map(|()| writing.is_behind()))
    }

    /// Hashes and writes a chunk of the body. Answers how many bytes of it are new, and whether more came than was promised.
    fn keep(&self, py: Python<'_>, chunk: PyBackedBytes) -> PyResult<(u64, bool)> {
        let chunk = Bytes::from_owner(chunk);
        self.with(py, |writing| writing.keep(chunk).map(|kept| (kept, writing.is_too_long())))
    }
}
