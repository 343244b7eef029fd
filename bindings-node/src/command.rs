//! The command line, in this process.

use std::ffi::OsString;

use napi_derive::napi;

/// Runs the command line with these arguments, the program's name first, and answers its exit status. It has the thread of
/// the event loop, since there is nothing else to do; from here on Ctrl-C is the command's.
#[napi]
pub fn run(arguments: Vec<String>) -> u8 {
    wharfie::cmd::run(arguments.into_iter().map(OsString::from))
}

#[napi]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
