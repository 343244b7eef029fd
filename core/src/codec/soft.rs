//! Core's own codecs: pure Rust, right everywhere.

use alloc::boxed::Box;

use super::{Codec, Codecs, Format, GzipDecoder, GzipEncoder, Identity, Inflater, ZstdDecoder};
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;

/// Core's own codecs. zstd it only decodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoftCodecs;

impl Codecs for SoftCodecs {
    fn decoder(&self, format: Format, limits: &Limits) -> Result<Box<dyn Codec>> {
        Ok(match format {
            Format::Identity => Box::new(Identity),
            Format::Gzip => Box::new(GzipDecoder::new(Inflater::new())),
            Format::Zstd => Box::new(ZstdDecoder::new(limits)),
        })
    }

    fn encoder(&self, format: Format, level: Option<i32>) -> Result<Box<dyn Codec>> {
        let level = format.level(level)?;
        Ok(match format {
            Format::Identity => Box::new(Identity),
            Format::Gzip => Box::new(GzipEncoder::new(level)?),
            Format::Zstd => {
                let format = "zstd, for writing".into();
                return Err(ErrorKind::UnsupportedCompression { format }.into());
            }
        })
    }
}
