//! The sans-IO core of Wharfie.
//!
//! Container images without a container engine: documents, the registry protocol, codecs and layers as machines that
//! own no sockets, files, threads, clock or randomness. A *driver* in each host (the command line, Python, Node, the
//! browser) does the I/O and drives the same machines.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod archive;
pub mod client;
pub mod codec;
pub mod copy;
mod crc;
pub mod digest;
pub mod error;
pub mod http;
pub mod image;
pub mod import;
mod json_text;
pub mod limits;
mod map;
pub mod media_type;
pub mod merge;
pub mod name;
pub mod platform;
pub mod reference;
pub mod registries;
pub mod size;
pub mod source;
pub mod stack;
pub mod tar;
pub mod time;
pub mod wire;

pub use digest::{Algorithm, Digest};
pub use error::{Error, Place};
pub use limits::Limits;
pub use media_type::MediaType;
pub use platform::Platform;
pub use reference::Reference;
pub use registries::Registries;
pub use source::Source;
pub use time::Millis;
