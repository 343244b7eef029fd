//! What of Wharfie crosses into Python: machines, sinks and local images, with plain values. What Python's users see is
//! written in Python, in `python/wharfie/`, over this.
//!
//! Nothing here knows a rule of the protocol or of layers. Calls that read or write files, hash or decode let go of the
//! interpreter meanwhile.

#![allow(clippy::needless_pass_by_value, reason = "what comes from Python is made for the call")]
#![allow(missing_docs, reason = "the docs are those of Python's classes, and of the stub")]

mod command;
mod credentials;
mod error;
mod image;
mod session;
mod sink;
mod supervised;

use pyo3::prelude::*;

/// The native part of `wharfie`.
#[pymodule(gil_used = false)]
mod _wharfie {
    #[pymodule_export]
    use super::command::main;
    #[pymodule_export]
    use super::credentials::find_credentials;
    #[pymodule_export]
    use super::error::{SinkRefused, error_codes, make_cancelled, make_local_io, make_option_error};
    #[pymodule_export]
    use super::image::{Content, Image, Stream, Tree, own_platform, reach_allows, source};
    #[pymodule_export]
    use super::session::{Session, probe};
    #[pymodule_export]
    use super::sink::{Intake, Store, Writer};
    #[pymodule_export]
    use super::supervised::Cancel;

    #[pymodule_init]
    fn init(module: &super::Bound<'_, super::PyModule>) -> super::PyResult<()> {
        use super::PyModuleMethods as _;
        module.add("VERSION", env!("CARGO_PKG_VERSION"))
    }
}
