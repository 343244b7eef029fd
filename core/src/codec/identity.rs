//! No compression.

use super::{Codec, Needs, Progress};
use crate::error::Result;

/// The codec that changes nothing, both ways.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl Codec for Identity {
    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress> {
        let copied = input.len().min(output.len());
        if let (Some(to), Some(from)) = (output.get_mut(..copied), input.get(..copied)) {
            to.copy_from_slice(from);
        }
        let needs = if copied == input.len() { Needs::Input } else { Needs::Output };
        Ok(Progress { read: copied, written: copied, needs })
    }

    fn finish(&mut self, _output: &mut [u8]) -> Result<Progress> {
        Ok(Progress { read: 0, written: 0, needs: Needs::Nothing })
    }
}
