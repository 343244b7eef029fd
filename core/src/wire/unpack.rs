//! One stream, decoded.

use core::fmt;

use crate::codec::{Codec as _, Decoder, Needs, SoftCodecs};
use crate::error::Result;
use crate::limits::Limits;

/// Decodes a stream whose compression its first bytes tell: an archive that is compressed as a whole, a layer's blob.
pub struct Unpack {
    decoder: Decoder<'static>,
    ended: bool,
}

/// What a call of [`Unpack::process`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Bytes taken from the front of the input.
    pub read: usize,
    /// Bytes put at the front of the output.
    pub written: usize,
    /// Whether that was the last of it.
    pub done: bool,
}

impl fmt::Debug for Unpack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpack").field("format", &self.decoder.format()).finish_non_exhaustive()
    }
}

impl Default for Unpack {
    fn default() -> Unpack {
        Unpack::new()
    }
}

impl Unpack {
    /// At the beginning of a stream.
    pub fn new() -> Unpack {
        Unpack { decoder: Decoder::new(&SoftCodecs, None, &Limits::default()), ended: false }
    }

    /// Takes from `input` and gives to `output`, until one of them is through. `last` says that nothing comes behind this
    /// input: then it is called until it is done.
    ///
    /// # Errors
    /// `corrupt_stream`, `unsupported_compression`, `limit_exceeded`.
    pub fn process(&mut self, input: &[u8], output: &mut [u8], last: bool) -> Result<Unpacked> {
        let mut done = Unpacked { read: 0, written: 0, done: self.ended };
        while !done.done {
            let rest = input.get(done.read..).unwrap_or_default();
            let room = output.get_mut(done.written..).unwrap_or_default();
            if rest.is_empty() && !last {
                break;
            }
            let step = if rest.is_empty() {
                self.decoder.finish(room)?
            } else {
                self.decoder.process(rest, room)?
            };
            done.read += step.read;
            done.written += step.written;
            match step.needs {
                Needs::Nothing => {
                    self.ended = true;
                    done.done = true;
                }
                Needs::Output => break,
                _ if step.read == 0 && step.written == 0 && !last => break,
                _ => {}
            }
        }
        Ok(done)
    }
}
