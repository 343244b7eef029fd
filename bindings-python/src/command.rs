//! The command line, in this process.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command line with these arguments, the program's name first, and answers its exit status.
///
/// From here on Ctrl-C is the command's.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| wharfie::cmd::run(arguments))
}
