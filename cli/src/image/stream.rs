//! Bytes that a thread makes and somebody else takes, in his own time.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wharfie_core::error::{ErrorKind, Result};

use crate::drive::Cancel;
use crate::view::Output;

/// Bytes of a piece.
const PIECE: usize = 256 << 10;
/// Pieces that may wait to be taken.
const PIECES: usize = 4;

/// A stream of bytes, made by a thread of its own, a megabyte ahead. Dropping it ends the thread.
#[derive(Debug)]
pub struct Stream<T = ()> {
    pieces: Option<Receiver<Vec<u8>>>,
    maker: Option<JoinHandle<Result<T>>>,
    outcome: Option<T>,
    cancel: Cancel,
}

impl<T: Send + 'static> Stream<T> {
    /// What `make` hands to its output.
    pub(super) fn of(
        cancel: Cancel,
        make: impl FnOnce(&Cancel, &mut Output<'_>) -> Result<T> + Send + 'static,
    ) -> Result<Stream<T>> {
        Stream::begin(cancel, move |cancel, pieces| {
            make(cancel, &mut |bytes| pieces.send(bytes.to_vec()).map_err(|_| ErrorKind::Cancelled {}.into()))
        })
    }

    /// What `make` writes.
    pub(super) fn of_writer(
        cancel: Cancel,
        make: impl FnOnce(&Cancel, Box<dyn Write + Send>) -> Result<T> + Send + 'static,
    ) -> Result<Stream<T>> {
        Stream::begin(cancel, move |cancel, pieces| {
            make(cancel, Box::new(Pieces { pieces, piece: Vec::new() }))
        })
    }

    fn begin(
        cancel: Cancel,
        make: impl FnOnce(&Cancel, SyncSender<Vec<u8>>) -> Result<T> + Send + 'static,
    ) -> Result<Stream<T>> {
        let (sender, pieces) = sync_channel(PIECES);
        let stop = cancel.clone();
        let maker = thread::Builder::new().name("wharfie-stream".to_owned());
        let maker = maker.spawn(move || make(&stop, sender)).map_err(|error| ErrorKind::LocalIo {
            operation: "starting a thread",
            reason: error.to_string(),
        })?;
        Ok(Stream { pieces: Some(pieces), maker: Some(maker), outcome: None, cancel })
    }

    /// The next piece, of some hundred kilobytes. None at the end, when all of it has been verified.
    ///
    /// # Errors
    /// Whatever making it came to: then what was given before is not to be trusted. Once.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>> {
        match self.pieces.as_ref().and_then(|pieces| pieces.recv().ok()) {
            Some(piece) => Ok(Some(piece)),
            None => self.end(),
        }
    }

    /// The same, for a caller who has other things to look after: nothing at all if it does not come in time.
    ///
    /// # Errors
    /// As there.
    pub fn next_piece_within(&mut self, patience: Duration) -> Result<Option<Option<Vec<u8>>>> {
        match self.pieces.as_ref().map(|pieces| pieces.recv_timeout(patience)) {
            Some(Ok(piece)) => Ok(Some(Some(piece))),
            Some(Err(RecvTimeoutError::Timeout)) => Ok(None),
            _ => self.end().map(Some),
        }
    }

    fn end(&mut self) -> Result<Option<Vec<u8>>> {
        self.pieces = None;
        match self.maker.take().map(JoinHandle::join) {
            None => Ok(None),
            Some(Ok(made)) => {
                self.outcome = Some(made?);
                Ok(None)
            }
            Some(Err(_)) => Err(ErrorKind::Internal { reason: "a thread has panicked".to_owned() }.into()),
        }
    }

    /// What making it came to, when it has come to its end.
    pub fn outcome(&self) -> Option<&T> {
        self.outcome.as_ref()
    }

    /// What stops it.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

impl<T> Drop for Stream<T> {
    fn drop(&mut self) {
        if self.maker.is_some() {
            self.cancel.cancel();
        }
    }
}

/// Gathers what is written into pieces.
struct Pieces {
    pieces: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        self.pieces.send(piece).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.send() }
    }
}
