//! Bytes that native threads make, a piece at a time as they are asked for.

use std::fs::File;
use std::io::Read as _;
use std::sync::mpsc::{Sender, channel};

use napi::bindgen_prelude::{Buffer, Env, PromiseRaw};
use napi_derive::napi;
use wharfie::image::spoken::io_failed;
use wharfie_core::error::{ErrorKind, Result};

use crate::apart::{Deferred, begin, guarded};
use crate::error::thrown;

/// Bytes of a piece.
const PIECE: usize = 256 << 10;

/// Where pieces come from. It is read and dropped on a thread of its own.
pub(crate) trait Source: Send {
    /// The next piece; none at the end, when all of it is verified.
    fn next(&mut self) -> Result<Option<Vec<u8>>>;
}

impl<T: Send + 'static> Source for wharfie::image::Stream<T> {
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        self.next_piece()
    }
}

impl Source for File {
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut piece = vec![0; PIECE];
        let read = self.read(&mut piece).map_err(|error| io_failed("reading", &error))?;
        piece.truncate(read);
        Ok((read > 0).then_some(piece))
    }
}

#[napi]
pub struct Stream {
    asks: Option<Sender<Deferred<Option<Buffer>>>>,
    stop: Option<wharfie::drive::Cancel>,
}

impl Stream {
    pub(crate) fn new(
        mut source: impl Source + 'static,
        stop: Option<wharfie::drive::Cancel>,
    ) -> Result<Stream> {
        let (asks, asked) = channel::<Deferred<Option<Buffer>>>();
        begin(move || {
            for deferred in asked {
                deferred.settle(guarded(|| source.next()), |piece| piece.map(Buffer::from));
            }
        })?;
        Ok(Stream { asks: Some(asks), stop })
    }
}

#[napi]
impl Stream {
    /// The next piece, of some hundred kilobytes; null at the end, when all of it is verified.
    #[napi]
    pub fn next<'e>(&self, env: &'e Env) -> napi::Result<PromiseRaw<'e, Option<Buffer>>> {
        let (deferred, promise) = Deferred::new(env)?;
        let cancelled = || thrown(ErrorKind::Cancelled {}.into());
        match &self.asks {
            None => deferred.reject(cancelled()),
            Some(asks) => {
                if let Err(unsent) = asks.send(deferred) {
                    unsent.0.reject(cancelled());
                }
            }
        }
        Ok(promise)
    }

    /// Stops it.
    #[napi]
    pub fn close(&mut self) {
        if let Some(stop) = &self.stop {
            stop.cancel();
        }
        self.asks = None;
    }
}
