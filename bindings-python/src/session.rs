//! The client machine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use wharfie::codec::NativeHashes;
use wharfie_core::client::ExchangeId;
use wharfie_core::error::ErrorKind;
use wharfie_core::wire;

use crate::error::{misused, raise, raised};
use crate::sink::{Intake, Writer};

/// `wharfie_core::wire::Session`.
#[pyclass(frozen, module = "wharfie._wharfie")]
pub(crate) struct Session(Mutex<wire::Session>);

impl Session {
    fn lock(&self) -> MutexGuard<'_, wire::Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Session {
    #[new]
    fn new(options: &str) -> PyResult<Session> {
        let session = wire::Session::new(options, Arc::new(NativeHashes)).map_err(raised)?;
        Ok(Session(Mutex::new(session)))
    }

    fn pull(&self, now: u64, reference: &str, options: &str) -> PyResult<u64> {
        self.lock().pull(now, reference, options).map_err(raised)
    }

    fn pull_blob(&self, now: u64, reference: &str) -> PyResult<u64> {
        self.lock().pull_blob(now, reference).map_err(raised)
    }

    fn tags(&self, now: u64, repository: &str, options: &str) -> PyResult<u64> {
        self.lock().tags(now, repository, options).map_err(raised)
    }

    fn cancel(&self, now: u64, job: u64) {
        self.lock().cancel(now, job);
    }

    fn poll(&self) -> String {
        self.lock().poll()
    }

    fn body<'py>(&self, py: Python<'py>, id: u64) -> Option<Bound<'py, PyBytes>> {
        self.lock().body(id).map(|bytes| PyBytes::new(py, &bytes))
    }

    fn document<'py>(&self, py: Python<'py>, number: u64) -> Option<Bound<'py, PyBytes>> {
        self.lock().document(number).map(|bytes| PyBytes::new(py, &bytes))
    }

    fn handle_head(
        &self,
        now: u64,
        id: u64,
        status: u16,
        headers: Vec<(String, Vec<u8>)>,
    ) -> PyResult<String> {
        let fields: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        self.lock().handle_head(now, id, status, &fields, None).map_err(misused)
    }

    /// Who hashes and writes what an exchange brings of a blob; none if the exchange was aborted meanwhile.
    fn write_by(&self, id: u64, intake: &Intake) -> Option<Writer> {
        let store = self.lock().take_store(id)?;
        Some(Writer::new(intake.0.write_by(ExchangeId::from_number(id), store)))
    }

    fn replay(&self, id: u64, chunk: &[u8]) -> PyResult<()> {
        self.lock().replay(id, chunk).map_err(misused)
    }

    fn handle_body(&self, now: u64, id: u64, chunk: &[u8]) -> PyResult<bool> {
        self.lock().handle_body(now, id, chunk).map_err(misused)
    }

    fn handle_stored(&self, now: u64, id: u64, len: u64) -> PyResult<bool> {
        self.lock().handle_stored(now, id, len).map_err(misused)
    }

    fn hash(&self, now: u64, blob: u64, chunk: &[u8]) -> PyResult<()> {
        self.lock().hash(now, blob, chunk).map_err(misused)
    }

    /// The hasher of a writer that is done comes back.
    fn handle_hashed(&self, now: u64, writer: &Writer) -> PyResult<()> {
        match writer.finish() {
            Some((blob, hasher)) => self.lock().handle_hashed(now, blob.number(), hasher).map_err(misused),
            None => Ok(()),
        }
    }

    fn handle_end(&self, now: u64, id: u64) -> PyResult<()> {
        self.lock().handle_end(now, id).map_err(misused)
    }

    fn handle_failure(&self, now: u64, id: u64, failure: &str, detail: &str) -> PyResult<()> {
        self.lock().handle_failure(now, id, failure, detail).map_err(misused)
    }

    fn handle_sink_failure(
        &self,
        now: u64,
        blob: u64,
        failure: &str,
        needed: u64,
        detail: &str,
    ) -> PyResult<()> {
        self.lock().handle_sink_failure(now, blob, failure, needed, detail).map_err(misused)
    }

    fn handle_reading(&self, now: u64, id: u64, reading: bool) {
        self.lock().handle_reading(now, id, reading);
    }

    fn handle_timeout(&self, now: u64) {
        self.lock().handle_timeout(now);
    }

    fn fetch(&self, now: u64, blob: u64, have: u64) -> PyResult<()> {
        self.lock().fetch(now, blob, have).map_err(misused)
    }

    fn skip(&self, now: u64, blob: u64) -> PyResult<()> {
        self.lock().skip(now, blob).map_err(misused)
    }

    fn supply(&self, now: u64, blob: u64, document: &[u8]) -> PyResult<()> {
        self.lock().supply(now, blob, document).map_err(misused)
    }

    /// The disk cannot hold a blob.
    fn refuse_for_space(&self, now: u64, blob: u64, needed: u64, available: u64, path: &str) -> PyResult<()> {
        let error = ErrorKind::NoSpace { needed, available: Some(available) };
        let error = wharfie_core::Error::from(error).at_path(path);
        self.lock().refuse(now, blob, error).map_err(misused)
    }

    fn credentials(&self, now: u64, id: u64, found: Option<&str>) -> PyResult<()> {
        self.lock().credentials(now, id, found).map_err(raised)
    }

    fn progress(&self, blob: u64) -> Option<(u64, Option<u64>, bool)> {
        self.lock().progress(blob)
    }
}

/// Answers a case of the corpus in `testdata/`.
#[pyfunction]
pub(crate) fn probe(list: &str, case: &str) -> PyResult<String> {
    wire::probe(list, case).map_err(|error| raise(&error))
}
