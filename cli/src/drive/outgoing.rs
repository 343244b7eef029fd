//! Bodies of requests that are read from files while they are sent.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender, channel};
use wharfie_core::client::{BlobId, ExchangeId};
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::{Digest, Error};

use super::arrivals::{Arriving, Found, Reach};
use super::machine::Input;
use super::relay::{Next, Relay};
use crate::at::read_exact;
use crate::blob_file::BlobFile;
use crate::fault::io_error;

/// Bytes of a piece on its way out.
const PIECE: usize = 256 << 10;
/// Pieces that may wait to be sent.
const PIECES: usize = 4;
/// How long somebody waits for bytes before looking whether they are still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// The machine is told of sent bytes at most this often.
const REPORT_TIME: Duration = Duration::from_millis(100);

/// Where a push takes documents and blobs from.
pub trait Supply: Send + Sync {
    /// The bytes of a manifest or index, if they are here. They need not have been verified.
    ///
    /// # Errors
    /// Whatever reading them comes to.
    fn document(&self, descriptor: &Descriptor) -> Result<Option<Vec<u8>>>;

    /// Where a blob is, if it is here. It need not have been verified: the registry does that.
    ///
    /// # Errors
    /// Whatever looking for it comes to.
    fn blob(&self, descriptor: &Descriptor) -> Result<Option<BlobFile>>;
}

/// Where the bytes of one blob come from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// A file of the host's.
    File(BlobFile),
    /// The store, into which they may be on their way.
    Store(Arriving, Digest, u64),
    /// Another registry, as they come.
    Relay(Arc<Relay>),
}

/// A part of a blob that is to be sent.
pub(super) struct Outgoing {
    pub(super) id: ExchangeId,
    pub(super) blob: BlobId,
    pub(super) origin: Origin,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) inbox: UnboundedSender<Input>,
}

impl Outgoing {
    /// The body. A thread of its own reads ahead of it, and ends when nobody takes what it reads.
    pub(super) fn body(self) -> reqwest::Body {
        let (to, pieces) = channel(PIECES);
        let streamed = Streamed {
            pieces,
            left: self.len,
            id: self.id,
            inbox: self.inbox.clone(),
            sent: 0,
            reported: Instant::now(),
        };
        tokio::task::spawn_blocking(move || {
            let (blob, inbox) = (self.blob, self.inbox.clone());
            match self.read(&to) {
                Ok(()) => {}
                Err(Stop::Fault(error)) => {
                    let _ = inbox.send(Input::SourceFailed { blob, error });
                    let _ = to.blocking_send(Err(io::Error::other("the blob cannot be read")));
                }
                // What was sent is void, or nobody wants it: the request breaks off.
                Err(Stop::Void) => drop(to.blocking_send(Err(io::Error::other("the bytes are void")))),
                Err(Stop::Unwanted) => {}
            }
        });
        reqwest::Body::wrap(streamed)
    }

    fn read(&self, to: &Sender<io::Result<Bytes>>) -> Result<(), Stop> {
        match &self.origin {
            Origin::File(file) => {
                let opened = file.open().map_err(|error| Self::fault(file, &error))?;
                self.read_file(&opened, file, to)
            }
            Origin::Store(arriving, digest, size) => self.follow(arriving, digest, *size, to),
            Origin::Relay(relay) => self.pass_on(relay, to),
        }
    }

    /// Sends the bytes of a blob as they come from elsewhere.
    fn pass_on(&self, relay: &Relay, to: &Sender<io::Result<Bytes>>) -> Result<(), Stop> {
        let (mut at, end) = (self.offset, self.offset + self.len);
        let mut attempt = relay.go_from(at);
        while at < end {
            if to.is_closed() {
                return Err(Stop::Unwanted);
            }
            match relay.next(&mut attempt, at, LOOK) {
                Next::Bytes(mut bytes) => {
                    bytes.truncate(usize::try_from(end - at).unwrap_or(bytes.len()));
                    at += bytes.len() as u64;
                    to.blocking_send(Ok(bytes)).map_err(|_| Stop::Unwanted)?;
                }
                Next::Nothing => {}
                Next::Gone => {
                    let _ = self.inbox.send(Input::SourceLost { blob: self.blob });
                    return Err(Stop::Void);
                }
                Next::Void => return Err(Stop::Void),
            }
        }
        Ok(())
    }

    fn read_file(&self, opened: &File, file: &BlobFile, to: &Sender<io::Result<Bytes>>) -> Result<(), Stop> {
        let (mut at, end) = (self.offset, self.offset + self.len);
        while at < end {
            at += self.send_piece(opened, file, at, end, to)?;
        }
        Ok(())
    }

    /// Sends the next bytes that the file has.
    fn send_piece(
        &self,
        opened: &File,
        file: &BlobFile,
        at: u64,
        end: u64,
        to: &Sender<io::Result<Bytes>>,
    ) -> Result<u64, Stop> {
        if end > file.len {
            let error = Error::from(ErrorKind::SizeMismatch { expected: end, actual: file.len });
            return Err(Stop::Fault(error.at_path(file.path.display().to_string())));
        }
        let mut piece = vec![0; PIECE.min(usize::try_from(end - at).unwrap_or(PIECE))];
        let read = piece.len();
        read_exact(opened, &mut piece, file.offset + at).map_err(|error| Self::fault(file, &error))?;
        to.blocking_send(Ok(piece.into())).map_err(|_| Stop::Unwanted)?;
        Ok(read as u64)
    }

    /// Sends the bytes of a blob while it arrives in the store.
    fn follow(
        &self,
        arriving: &Arriving,
        digest: &Digest,
        size: u64,
        to: &Sender<io::Result<Bytes>>,
    ) -> Result<(), Stop> {
        let (mut at, end) = (self.offset, self.offset + self.len);
        let there = BlobFile::range(arriving.blob_path(digest), 0, size);
        loop {
            if to.is_closed() {
                return Err(Stop::Unwanted);
            }
            match arriving.find(digest, size) {
                Found::There | Found::Verified => {
                    let opened = there.open().map_err(|error| Self::fault(&there, &error))?;
                    while at < end {
                        at += self.send_piece(&opened, &there, at, end, to)?;
                    }
                    return Ok(());
                }
                Found::Awaited => std::thread::sleep(LOOK / 10),
                // The machine knows why.
                Found::Failed => return Err(Stop::Void),
                Found::Coming(mut incoming) => loop {
                    if at >= end {
                        return Ok(());
                    }
                    if to.is_closed() {
                        return Err(Stop::Unwanted);
                    }
                    let wanted = end.min(at + PIECE as u64);
                    let reach = match incoming.wait(at, wanted, LOOK) {
                        Reach::Bytes(reach) => reach,
                        Reach::Verified => size,
                        Reach::Anew | Reach::Failed => return Err(Stop::Void),
                    };
                    if reach > at {
                        let opened = incoming.file().clone();
                        at += self.send_piece(&opened, &there, at, end.min(reach), to)?;
                    }
                },
            }
        }
    }

    fn fault(file: &BlobFile, error: &io::Error) -> Stop {
        Stop::Fault(io_error("reading a blob", Some(&file.path), error))
    }
}

/// Why a body ends early.
enum Stop {
    Fault(Error),
    Void,
    Unwanted,
}

/// What is sent.
struct Streamed {
    pieces: Receiver<io::Result<Bytes>>,
    left: u64,
    id: ExchangeId,
    inbox: UnboundedSender<Input>,
    /// Sent and not told.
    sent: u64,
    reported: Instant,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = ready!(self.pieces.poll_recv(context));
        let piece = match piece {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None if self.left == 0 => return Poll::Ready(None),
            None => return Poll::Ready(Some(Err(io::Error::other("the blob cannot be read")))),
        };
        self.left = self.left.saturating_sub(piece.len() as u64);
        self.sent += piece.len() as u64;
        if self.left == 0 || self.reported.elapsed() >= REPORT_TIME {
            let _ = self.inbox.send(Input::Sent { id: self.id, len: self.sent });
            self.sent = 0;
            self.reported = Instant::now();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
