//! An image's layers as their blobs: verified, looked into and exported by one machine, for hosts without threads.
//!
//! [`merge`](crate::merge) takes *decoded* layers. [`Stack`] takes the *blobs* as they are stored, gzip, zstd or neither, so
//! that no host writes decoding, digest checks or rules of layers. It owns no files and no threads; the browser and Node
//! drive it from a Worker. Three machines, all in the planner's shape:
//!
//! - [`Stack`] reads every layer once, or only those that are wanted, from its first byte to its last. Blob digest, size and
//!   `diff_id` are checked on the way (L20, L23), and it keeps what is in the layer, and places from which it can be
//!   decoded later. Then there is the [`Tree`](crate::merge::Tree), and what each layer did.
//! - [`Export`] gives the flattened tar.
//! - [`Content`] gives one file, or the tar of a layer.
//!
//! ```text
//! loop {
//!     match machine.step(…)? {
//!         Step::Need { source, offset, len } => machine.feed(source, offset, bytes of that layer's blob from there on)
//!         Step::Working                      => nothing: look at other things, and step again
//!         Step::Wrote(n)                     => the first n bytes of the buffer come next
//!         Step::Done                         => it is there
//!     }
//! }
//! ```
//!
//! 1. `feed` takes any number of bytes, at most [`PIECE`] at once, and answers how many it took. What it did not take is
//!    asked for again. To feed none says that the blob ends there.
//! 2. No call does more than a bounded piece of work: it takes [`PIECE`] bytes of a blob at most or decodes some [`WORK`] of
//!    output, however much a blob is packed, or merges one layer. So a host can cancel, or tell how far it is, between any
//!    two. Only [`Stack::export`] goes through all entries at once, to order them.
//! 3. [`Step::Need`] says how far the blob is wanted at most. A host that fetches ranges can ask for that much at once, and
//!    leave off where the next step wants something else. [`Stack`] takes the blobs of several layers side by side, in
//!    whatever order bytes come; [`Export`] and [`Content`] take what they ask for.
//! 4. What comes of a layer has held: [`Stack`] merges nothing before every digest has, and the other two, which read blobs a
//!    second time, give out nothing whose sum is not what it was then. Those sums are CRC-32s of 64 KiB each: they find
//!    blobs that have changed by accident, and not somebody who means to. So the second time a blob is to be read from
//!    where the host keeps it, or from somebody it trusts.
//! 5. Same input, same output, however the input is cut; where several things are wrong within some 64 KiB of a layer, which
//!    of them is told may hang on the cut. After an error a machine gives the same error.
//! 6. Memory follows the number of entries, and for each 4 MiB of a layer some 12 KiB, which decoding can begin with; beside
//!    that there are the decoders' windows and buffers below 1 MiB. Files of any size pass through.
//!
//! ```
//! use wharfie_core::codec::Format;
//! use wharfie_core::image::Descriptor;
//! use wharfie_core::stack::{Config, Layer, Stack, Step};
//! use wharfie_core::tar::{END_OF_ARCHIVE, Header, Kind, Metadata};
//! use wharfie_core::{Digest, MediaType};
//!
//! # fn main() -> wharfie_core::error::Result<()> {
//! // A layer with one file, `hello`, that holds `hi`.
//! let mut blob = Vec::new();
//! let metadata = Metadata { mode: 0o644, ..Metadata::default() };
//! Header { path: b"hello", link: b"", kind: Kind::File, metadata: &metadata, size: 2 }.write(&mut blob)?;
//! blob.extend_from_slice(b"hi");
//! blob.resize(1024, 0);
//! blob.extend_from_slice(&END_OF_ARCHIVE);
//! let media_type = MediaType::parse("application/vnd.oci.image.layer.v1.tar");
//! let digest = Digest::sha256(&blob);
//! let blobs = [blob];
//!
//! // What the host has of a blob from an offset on: as much as it likes, at most what is wanted.
//! let read = |source: usize, offset: u64, len: u64| {
//!     let rest = &blobs[source][offset as usize..];
//!     &rest[..rest.len().min(len as usize)]
//! };
//!
//! let layer = Layer::new(Descriptor::new(media_type, digest, blobs[0].len() as u64));
//! let mut stack = Stack::new(vec![layer], Some(&[digest]), Config::default())?;
//! loop {
//!     match stack.step()? {
//!         Step::Need { source, offset, len } => drop(stack.feed(source, offset, read(source, offset, len))?),
//!         Step::Working => {} // a Worker answers its messages here
//!         _ => break,
//!     }
//! }
//! let tree = stack.tree().unwrap();
//! assert_eq!(tree.lookup(b"hello").unwrap().size(), 2);
//!
//! let (mut buffer, mut content) = ([0; 4096], Vec::new());
//! let mut file = stack.read(b"/hello")?;
//! loop {
//!     match file.step(&mut buffer)? {
//!         Step::Need { source, offset, len } => drop(file.feed(source, offset, read(source, offset, len))?),
//!         Step::Wrote(n) => content.extend_from_slice(&buffer[..n]),
//!         Step::Working => {}
//!         _ => break,
//!     }
//! }
//! assert_eq!(content, b"hi");
//!
//! let mut tar = Vec::new();
//! let mut export = stack.export(Format::Identity, None)?;
//! loop {
//!     match export.step(&mut buffer)? {
//!         Step::Need { source, offset, len } => drop(export.feed(source, offset, read(source, offset, len))?),
//!         Step::Wrote(n) => tar.extend_from_slice(&buffer[..n]),
//!         Step::Working => {}
//!         _ => break,
//!     }
//! }
//! assert_eq!(tar, blobs[0]);
//! # Ok(())
//! # }
//! ```
//!
//! One path of an image whose layers are not all here: [`Stack::find`] says which layer decides, from the top; the host
//! fetches that, tells of it ([`Stack::have`]), has it indexed ([`Stack::want`]) and asks again.

mod blob;
mod config;
mod content;
mod export;
mod indexing;
mod intake;
mod machine;
mod reader;
mod readers;

pub use blob::Report;
pub use config::{Config, Layer};
pub use content::Content;
pub use export::Export;
pub use machine::Stack;

use alloc::borrow::ToOwned;

use crate::error::{Error, ErrorKind};

/// What a driver of a [`Stack`], an [`Export`] or a [`Content`] does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Feed the blob of a layer from here on.
    Need {
        /// The layer, counted from 0 at the bottom.
        source: usize,
        /// The first byte of its blob that is wanted.
        offset: u64,
        /// How many are wanted from there on, at most, as far as is known. At least 1, unless nobody has said how long the
        /// blob is: then `Stack::have` is wanted.
        len: u64,
    },
    /// There is more to do than one call may: step again.
    Working,
    /// So many bytes at the front of the buffer come next in the output; at least 1.
    Wrote(usize),
    /// It is complete.
    Done,
}

/// Bytes of a blob that one `feed` takes at most.
pub const PIECE: usize = 256 << 10;

/// Bytes that one step decodes, about.
pub const WORK: usize = 1 << 20;

/// Bytes decoded at once.
const ROOM: usize = 64 << 10;

/// The work that one step may do.
#[derive(Debug)]
struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Budget(WORK)
    }
}

impl Budget {
    fn spend(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(bytes);
    }

    fn is_spent(&self) -> bool {
        self.0 == 0
    }
}

/// Puts as many bytes as there is room for to the front of `room`.
fn write(bytes: &[u8], room: &mut [u8]) -> usize {
    let n = bytes.len().min(room.len());
    if let (Some(to), Some(from)) = (room.get_mut(..n), bytes.get(..n)) {
        to.copy_from_slice(from);
    }
    n
}

fn internal(reason: &str) -> Error {
    ErrorKind::Internal { reason: reason.to_owned() }.into()
}

fn not_awaited(source: usize, offset: u64) -> Error {
    internal(&alloc::format!("byte {offset} of layer {source} is not awaited"))
}
