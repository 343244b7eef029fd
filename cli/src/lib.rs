//! Wharfie's native host: it drives the machines of `wharfie-core` with this system's network, files and threads, and
//! gives them a command line.

mod at;
pub mod blob_file;
mod checks;
pub mod cmd;
pub mod codec;
pub mod console;
pub mod credentials;
pub mod destination;
pub mod drive;
pub mod export;
mod fault;
pub mod image;
pub mod import;
pub mod layers;
pub mod layout;
mod listing;
pub mod make;
pub mod origin;
pub mod registries;
pub mod sample;
pub mod store;
pub mod unfinished;
pub mod unpack;
pub mod view;
