//! An image of one layer that is already just what was asked for: its blob is the output, bit for bit.
//!
//! As a rule that is so for images made of such an export, as tar.gz or tar.zst without a level. The layer's tar must be the
//! flattened one (core's [`Untouched`]), and nothing may follow in the blob that belongs to no gzip member or zstd frame.
//! Several of them, and skippable frames, are the image's own doing and stay (L19). An uncompressed tar needs none of
//! this: whatever way it is made, it comes out as it was.

use std::io::Read as _;

use wharfie_core::codec::{Codec as _, Decoder, Format};
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::merge::{Plan, Resolver, Scan, Untouched};

use super::output::Output;
use super::{Job, Made};
use crate::codec::NativeHashes;
use crate::fault::io_error;
use crate::layers::Packed;
use crate::layers::pass::{Flow, Pass, Reader};

/// Bytes copied before somebody may stop it.
const STRIDE: u64 = 64 << 20;
/// The same where the kernel cannot copy by itself.
const PIECE: usize = 256 << 10;

/// Reads the layer for as long as it may be.
struct Comparing {
    scan: Scan,
    untouched: Untouched,
    padding: u64,
}

impl Reader for Comparing {
    fn take(&mut self, bytes: &[u8]) -> Result<Flow> {
        self.scan.feed(bytes)?;
        Ok(if self.untouched.read(&self.scan, bytes) { Flow::More } else { Flow::Enough })
    }

    fn end(&mut self, decoder: &Decoder<'_>) {
        self.padding = decoder.padding();
    }
}

impl Job<'_> {
    /// Copies the blob of the only layer, if it is already what was asked for. As a rule its first few kilobytes tell that
    /// it is not. What is wrong with it is an error before anything is written.
    pub(super) fn untouched(&self, output: &mut Output) -> Result<Option<Made>> {
        let ([layer], None) = (&self.image.layers[..], self.options.level) else { return Ok(None) };
        let format = self.options.format;
        // What cannot be opened is told of by who decodes it. One that is on its way shows when it is read.
        let may_be =
            layer.arriving.is_some() || Packed::open(layer).is_ok_and(|blob| blob.format() == Some(format));
        if format == Format::Identity || !may_be {
            return Ok(None);
        }
        let (merge, workshop) = (&self.options.merge, &self.workshop);
        let make = || Comparing {
            scan: Scan::new(0, &merge.limits).with_blob(layer.descriptor.digest),
            untouched: Untouched::new(merge, &NativeHashes),
            padding: 0,
        };
        let pass = Pass {
            image: self.image,
            limits: workshop.limits,
            cancel: workshop.cancel,
            progress: workshop.progress,
        };
        let (comparing, report) = pass.one_by(0, &make)?;
        let Some(report) = report.filter(|report| report.format == format) else { return Ok(None) };
        let mut resolver = Resolver::new(1, merge)?;
        resolver.supply(comparing.scan.finish()?)?;
        let mut plan = Plan::new(resolver.finish()?, merge)?;
        if comparing.padding > 0 || !comparing.untouched.finish(&mut plan)? {
            return Ok(None);
        }

        let reading = |error| io_error("reading a layer", Some(&layer.blob.path), &error);
        let handle = layer.blob.handle().map_err(reading)?;
        let packed = Packed::open(layer)?;
        let mut buffer = Vec::new();
        let size = layer.descriptor.size;
        let mut bytes = 0;
        while bytes < size {
            if self.options.cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled {}.into());
            }
            let n = match &handle {
                Some(file) => output.copy(&mut file.take(STRIDE.min(size - bytes)))?,
                None => {
                    buffer.resize(PIECE.min(usize::try_from(size - bytes).unwrap_or(PIECE)), 0);
                    let n = packed.read_some(&mut buffer, bytes)?;
                    output.write(&buffer[..n])?;
                    n as u64
                }
            };
            if n == 0 {
                return Err(ErrorKind::SizeMismatch { expected: size, actual: bytes }.into());
            }
            bytes += n;
            workshop.progress.written(bytes, size);
        }
        let tar_bytes = report.tar_bytes;
        let tree = plan.into_tree();
        Ok(Some(Made {
            tree,
            layers: vec![report],
            tar_bytes,
            bytes,
            copied: tar_bytes,
            drafted: 0,
            spliced: false,
        }))
    }
}
