//! All layers decoded side by side, checked and scanned on the way (L20, L23), and kept.

use std::path::Path;

use wharfie_core::codec::{Block, Codec as _, Format};
use wharfie_core::digest::Hasher;
use wharfie_core::error::Result;
use wharfie_core::merge::{LayerIndex, check_diff_id};

use super::job::{Blob, Flow, Job, PIECE, Workshop, in_lanes, largest_first};
use super::packed::Packed;
use super::spool::Spool;
use super::{LayerReport, LocalImage};
use crate::codec::NativeHashes;

/// A layer that is what it should be.
pub(crate) struct Decoded {
    pub(crate) index: LayerIndex,
    pub(crate) spool: Spool,
    /// Its blob, verified, with its deflate blocks, if they were wanted.
    pub(crate) packed: Option<(Packed, Vec<Block>)>,
    pub(crate) report: LayerReport,
}

/// What is kept of decoded layers, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep<'k> {
    /// Where their bytes go, in files without a name.
    pub(crate) temp_dir: &'k Path,
    /// Whether the deflate blocks of gzip layers are wanted.
    pub(crate) blocks: bool,
}

/// Decodes all of them. Of several failures, the lowest layer's is told.
pub(crate) fn decode(image: &LocalImage, workshop: &Workshop<'_>, keep: Keep<'_>) -> Result<Vec<Decoded>> {
    let decoded = decode_some(image, workshop, keep, &|_| true)?;
    Ok(decoded.into_iter().flatten().collect())
}

/// Decodes those that are wanted; `None` for the others. Of several failures, the lowest layer's is told.
pub(crate) fn decode_some(
    image: &LocalImage,
    workshop: &Workshop<'_>,
    keep: Keep<'_>,
    wanted: &dyn Fn(usize) -> bool,
) -> Result<Vec<Option<Decoded>>> {
    let order = largest_first(image, (0..image.layers.len()).filter(|layer| wanted(*layer)));
    in_lanes(image, workshop, order, &|job| job.until_it_holds(|| run(job, keep)))
}

fn run(job: &Job<'_>, keep: Keep<'_>) -> Result<Decoded> {
    let (blob, first) = job.open()?;
    let (blob, format) = blob.format(&first)?;
    let decoded = match format {
        Format::Identity => scan_plain(job, blob, first),
        _ => inflate(job, blob, first, keep),
    }?;
    job.tell_verified();
    Ok(decoded)
}

/// A layer without compression: its blob is its tar, one hash serves for both and nothing is copied.
fn scan_plain(job: &Job<'_>, mut blob: Blob<'_>, mut input: Vec<u8>) -> Result<Decoded> {
    let mut scan = job.scan();
    let mut second = (job.diff_algorithm() != job.local.descriptor.digest.algorithm())
        .then(|| Hasher::new(&NativeHashes, job.diff_algorithm()));
    while !input.is_empty() {
        if let Err(error) = scan.feed(&input) {
            return Err(blob.fault(error));
        }
        if let Some(hasher) = &mut second {
            hasher.update(&input);
        }
        blob.tell();
        input.resize(PIECE, 0);
        let n = blob.read(&mut input)?;
        input.truncate(n);
    }
    let tar_bytes = blob.position();
    let (digest, packed) = blob.verify()?;
    let diff_id = second.map_or(digest, Hasher::finish);
    check_diff_id(job.diff_id, diff_id)?;
    let mismatch = job.mismatch_of_plain(tar_bytes);
    let report = LayerReport { diff_id, tar_bytes, format: Format::Identity, mismatch };
    Ok(Decoded { index: scan.finish()?, spool: packed.into_spool(tar_bytes), packed: None, report })
}

/// A compressed layer: what comes out is hashed, scanned and spooled.
fn inflate(job: &Job<'_>, blob: Blob<'_>, first: Vec<u8>, keep: Keep<'_>) -> Result<Decoded> {
    let mut decoder = job.decoder();
    if keep.blocks {
        // Formats without blocks have none.
        decoder.report_blocks();
    }
    let mut scan = job.scan();
    let mut hasher = Hasher::new(&NativeHashes, job.diff_algorithm());
    let mut spool = Spool::new(keep.temp_dir)?;
    let packed = job.through(blob, &mut decoder, first, |piece| {
        scan.feed(piece)?;
        hasher.update(piece);
        spool.write(piece)?;
        Ok(Flow::More)
    })?;
    let report = job.report(&decoder, hasher.finish())?;
    let mut blocks = Vec::new();
    decoder.take_blocks(&mut blocks);
    let packed = packed.filter(|_| !blocks.is_empty()).map(|packed| (packed, blocks));
    Ok(Decoded { index: scan.finish()?, spool, packed, report })
}
