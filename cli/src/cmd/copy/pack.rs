//! Layers packed anew.

use std::io::Write as _;

use tempfile::NamedTempFile;
use wharfie_core::codec::{Codec, Codecs as _, Decoder, Format, Needs};
use wharfie_core::digest::{Hasher, Verifier};
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::{Digest, Limits};

use super::super::watch::short;
use crate::blob_file::BlobFile;
use crate::codec::{NativeCodecs, NativeHashes, decode, decode_rest};
use crate::console::Console;
use crate::drive::Cancel;
use crate::fault::io_error;
use crate::layers::default_temp_dir;

/// Bytes that are read, decoded and packed at once.
const PIECE: usize = 256 << 10;

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
    let task = console.task("packing", &short(&layer.digest), 0, Some(layer.size));
    let (mut plain, mut packed) = (vec![0; PIECE], vec![0; PIECE]);
    let mut write = |bytes: &[u8]| -> Result<()> {
        hasher.update(bytes);
        file.write_all(bytes).map_err(|error| io_error("packing a layer", None, &error))
    };
    let mut position = 0;
    blob.read_pieces("reading a layer", cancel, &mut |piece| {
        verifier.update(piece)?;
        position += piece.len() as u64;
        task.position(position);
        decode(&mut decoder, piece, &mut plain, &mut |bytes| {
            feed(encoder.as_mut(), bytes, &mut packed, &mut write)
        })
    })?;
    decode_rest(&mut decoder, &mut plain, &mut |bytes| {
        feed(encoder.as_mut(), bytes, &mut packed, &mut write)
    })?;
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
