//! Layers packed anew.

use std::io::Write as _;

use tempfile::NamedTempFile;
use wharfie_core::codec::{Codec, Codecs as _, Decoder, Format, Needs};
use wharfie_core::digest::{Hasher, Verifier};
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::media_type::Compression;
use wharfie_core::{Digest, Limits, MediaType};

use crate::at;
use crate::blob_file::BlobFile;
use crate::codec::{NativeCodecs, NativeHashes};
use crate::console::Console;
use crate::drive::Cancel;
use crate::fault::io_error;
use crate::layers::default_temp_dir;

/// Bytes that are read, decoded and packed at once.
const PIECE: usize = 256 << 10;

/// The type of a layer that is packed so; `None` if it is already, or must not be changed.
pub(super) fn media_type(now: &MediaType, format: Format) -> Option<MediaType> {
    let wanted = match format {
        Format::Zstd => Compression::Zstd,
        _ => Compression::Gzip,
    };
    match now {
        MediaType::OciLayer(compression) if *compression != wanted => Some(MediaType::OciLayer(wanted)),
        // Docker's format has no zstd: OCI's type is what its engines read.
        MediaType::DockerLayer(compression) if *compression != wanted => Some(match wanted {
            Compression::Zstd => MediaType::OciLayer(wanted),
            _ => MediaType::DockerLayer(wanted),
        }),
        _ => None,
    }
}

/// Packs a layer anew, its blob checked on the way: the new digest and a file that goes when it is dropped.
pub(super) fn pack(
    layer: &Descriptor,
    blob: &BlobFile,
    format: Format,
    level: Option<i32>,
    console: &Console,
    cancel: &Cancel,
) -> Result<(Digest, NamedTempFile)> {
    let codecs = NativeCodecs;
    let mut encoder = codecs.encoder(format, level)?;
    let mut decoder = Decoder::new(&codecs, None, &Limits::default());
    let mut verifier = Verifier::new(&NativeHashes, layer.digest, Some(layer.size));
    let dir = default_temp_dir();
    let mut file =
        NamedTempFile::new_in(&dir).map_err(|error| io_error("packing a layer", Some(&dir), &error))?;
    let mut hasher = Hasher::new(&NativeHashes, layer.digest.algorithm());
    let reading = |error: &std::io::Error| io_error("reading a layer", Some(&blob.path), error);
    let opened = blob.open().map_err(|error| reading(&error))?;
    let short: String = layer.digest.hex().chars().take(12).collect();
    let task = console.task("packing", &short, 0, Some(layer.size));
    let (mut input, mut plain, mut packed) = (vec![0; PIECE], vec![0; PIECE], vec![0; PIECE]);
    let mut write = |bytes: &[u8]| -> Result<()> {
        hasher.update(bytes);
        file.write_all(bytes).map_err(|error| io_error("packing a layer", None, &error))
    };
    let mut position = 0;
    while position < blob.len {
        if cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled {}.into());
        }
        let wanted = PIECE.min(usize::try_from(blob.len - position).unwrap_or(PIECE));
        at::read_exact(&opened, &mut input[..wanted], blob.offset + position)
            .map_err(|error| reading(&error))?;
        verifier.update(&input[..wanted])?;
        position += wanted as u64;
        task.position(position);
        let mut left = &input[..wanted];
        loop {
            let step = decoder.process(left, &mut plain)?;
            left = left.get(step.read..).unwrap_or_default();
            feed(encoder.as_mut(), &plain[..step.written], &mut packed, &mut write)?;
            match step.needs {
                Needs::Output => {}
                _ if left.is_empty() => break,
                Needs::Input => {}
                Needs::Nothing => break,
            }
        }
    }
    loop {
        let step = decoder.finish(&mut plain)?;
        feed(encoder.as_mut(), &plain[..step.written], &mut packed, &mut write)?;
        if step.needs == Needs::Nothing {
            break;
        }
    }
    loop {
        let step = encoder.finish(&mut packed)?;
        write(&packed[..step.written])?;
        if step.needs == Needs::Nothing {
            break;
        }
    }
    verifier.finish()?;
    file.flush().map_err(|error| io_error("packing a layer", None, &error))?;
    task.done(layer.size);
    Ok((hasher.finish(), file))
}

/// Has an encoder take all of it.
fn feed(
    encoder: &mut dyn Codec,
    mut input: &[u8],
    room: &mut [u8],
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    loop {
        let step = encoder.process(input, room)?;
        write(room.get(..step.written).unwrap_or_default())?;
        input = input.get(step.read..).unwrap_or_default();
        match step.needs {
            Needs::Input if input.is_empty() => return Ok(()),
            Needs::Nothing => {
                let reason = "an encoder ended before its input".to_owned();
                return Err(ErrorKind::Internal { reason }.into());
            }
            _ => {}
        }
    }
}
