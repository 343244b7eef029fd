//! Core's errors as Python's exceptions.

use std::io;

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use wharfie::image::spoken::io_failed;
use wharfie_core::error::{Error, ErrorKind, Misuse};
use wharfie_core::wire;

create_exception!(_wharfie, SinkRefused, PyException, "Bytes did not go into a sink: kind, needed, detail.");

/// The exception of an error: `wharfie.errors` has the classes.
pub(crate) fn raise(error: &Error) -> PyErr {
    Python::attach(|py| match made(py, &wire::error_json(error)) {
        Ok(exception) => PyErr::from_value(exception),
        Err(failed) => failed,
    })
}

/// The same, for `map_err`.
pub(crate) fn raised(error: Error) -> PyErr {
    raise(&error)
}

/// A driver's bug.
pub(crate) fn misused(misuse: Misuse) -> PyErr {
    raise(&ErrorKind::Internal { reason: misuse.to_string() }.into())
}

fn made<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    MAKE.import(py, "wharfie.errors", "_of_json")?.call1((json,))
}

/// Every code there is.
#[pyfunction]
pub(crate) fn error_codes() -> Vec<&'static str> {
    wire::error_codes().to_vec()
}

/// What ends work that was stopped, as JSON.
#[pyfunction]
pub(crate) fn make_cancelled() -> String {
    wire::error_json(&wire::cancelled())
}

/// What a file of the caller's came to, as JSON: the system's number for it, if it has one.
#[pyfunction]
#[pyo3(signature = (operation, number, reason))]
pub(crate) fn make_local_io(operation: &str, number: Option<i32>, reason: &str) -> String {
    let error = number.map_or_else(|| io::Error::other(reason), io::Error::from_raw_os_error);
    wire::error_json(&io_failed(operation, &error))
}

/// A wrong option, as JSON.
#[pyfunction]
pub(crate) fn make_option_error(reason: String) -> String {
    wire::error_json(&ErrorKind::InvalidOption { reason }.into())
}
