//! Blobs that are read for nothing but whether they hold: every digest, size and `diff_id`.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use wharfie_core::client::PulledImage;
use wharfie_core::codec::{Codec as _, Codecs, Decoder, Format, Needs};
use wharfie_core::digest::{Algorithm, Hasher, Hashes, Verifier};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::merge::check_diff_id;
use wharfie_core::{Digest, Limits};

use crate::at;
use crate::blob_file::BlobFile;
use crate::console::Task;
use crate::drive::Cancel;

/// A blob to be read, and the `diff_id`s that configs say it has.
pub(crate) struct Blob {
    pub(crate) descriptor: Descriptor,
    /// What it is to the image, for people: `layer 2 of linux/amd64`.
    pub(crate) what: String,
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) is_layer: bool,
}

/// The blobs of all images, each once, in the order in which the images name them.
#[derive(Default)]
pub(crate) struct Blobs {
    pub(crate) list: Vec<Blob>,
    positions: BTreeMap<Digest, usize>,
}

impl Blobs {
    /// The blob of this descriptor, which is entered if it is new.
    pub(crate) fn entry(&mut self, descriptor: &Descriptor, what: String, is_layer: bool) -> &mut Blob {
        let position = *self.positions.entry(descriptor.digest).or_insert(self.list.len());
        if position == self.list.len() {
            self.list.push(Blob { descriptor: descriptor.clone(), what, diff_ids: Vec::new(), is_layer });
        }
        &mut self.list[position]
    }

    /// The layers of an image, with what its config says of them; `of` is empty or says which image it is.
    pub(crate) fn layers(&mut self, image: &PulledImage, diff_ids: &[Digest], of: &str) {
        for (position, layer) in image.layers.iter().enumerate() {
            let is_layer = layer.media_type.is_layer() || layer.media_type.is_generic();
            let blob = self.entry(layer, format!("layer {position}{of}"), is_layer);
            if let Some(diff_id) = diff_ids.get(position)
                && !blob.diff_ids.contains(diff_id)
            {
                blob.diff_ids.push(*diff_id);
            }
        }
    }
}

/// What a blob that cannot be read comes to.
pub(crate) fn unread(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound { what: "the blob".to_owned(), detail: None }.into(),
        _ => ErrorKind::LocalIo { operation: "reading a blob", reason: error.to_string() }.into(),
    }
}

/// Reads blobs, on all cores: `blob` gives those from 0 to `count`, each with where it lies. Answers for each what was
/// found to hold, or what does not.
pub(crate) fn read_all<'b>(
    count: usize,
    blob: &(dyn Fn(usize) -> Option<(&'b Blob, Result<BlobFile>)> + Sync),
    cancel: &Cancel,
    task: &(dyn Fn(&Blob) -> Task + Sync),
) -> Vec<Result<String>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < count) {
                    let Some((blob, file)) = blob(at) else { continue };
                    let task = task(blob);
                    let result = file.and_then(|file| {
                        let path = file.path.display().to_string();
                        let read = read(&file, blob, cancel, &mut |position| task.position(position));
                        read.map_err(|error| error.at_path(path))
                    });
                    task.done(blob.descriptor.size);
                    let result = result.map_err(|error| error.in_blob(blob.descriptor.digest));
                    if let Ok(mut results) = results.lock() {
                        results.insert(at, result);
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    let internal = || Err(ErrorKind::Internal { reason: "a check did not finish".to_owned() }.into());
    (0..count).map(|at| results.remove(&at).unwrap_or_else(internal)).collect()
}

fn read(file: &BlobFile, blob: &Blob, cancel: &Cancel, progress: &mut dyn FnMut(u64)) -> Result<String> {
    let (hashes, codecs) = (&crate::codec::NativeHashes, &crate::codec::NativeCodecs);
    let open = file.open().map_err(|error| unread(&error))?;
    // Schema 1 gives no sizes: a size of 0 there means that nothing is known.
    let known = (blob.descriptor.size > 0).then_some(blob.descriptor.size);
    let mut verifier = Verifier::new(hashes, blob.descriptor.digest, known);
    let mut content = blob.is_layer.then(|| Content::new(blob, hashes, codecs));
    let mut buffer = vec![0; 256 << 10];
    let mut position = 0;
    loop {
        if cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled {}.into());
        }
        let most = usize::try_from(file.len - position).unwrap_or(usize::MAX).min(buffer.len());
        let read = match at::read(&open, &mut buffer[..most], file.offset + position) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unread(&error)),
        };
        let chunk = buffer.get(..read).unwrap_or_default();
        verifier.update(chunk)?;
        if let Some(content) = &mut content {
            content.take(chunk);
        }
        position += read as u64;
        progress(position);
    }
    // A wrong digest says more than the decoder's complaint about the same bytes.
    verifier.finish()?;
    match content {
        Some(content) => content.finish(&blob.diff_ids),
        None => Ok("digest and size hold".to_owned()),
    }
}

/// The uncompressed content of a layer, hashed once for each algorithm that its `diff_id`s need.
struct Content<'a> {
    decoder: Decoder<'a>,
    hashers: Vec<(Algorithm, Hasher)>,
    buffer: Vec<u8>,
    failure: Option<Error>,
}

impl<'a> Content<'a> {
    fn new(blob: &Blob, hashes: &dyn Hashes, codecs: &'a dyn Codecs) -> Content<'a> {
        let expected = Format::of_media_type(blob.descriptor.media_type.as_str());
        let mut algorithms: Vec<_> = blob.diff_ids.iter().map(Digest::algorithm).collect();
        algorithms.sort();
        algorithms.dedup();
        if algorithms.is_empty() {
            algorithms.push(Algorithm::Sha256);
        }
        Content {
            decoder: Decoder::new(codecs, expected, &Limits::default()),
            hashers: algorithms
                .into_iter()
                .map(|algorithm| (algorithm, Hasher::new(hashes, algorithm)))
                .collect(),
            buffer: vec![0; 256 << 10],
            failure: None,
        }
    }

    fn take(&mut self, mut input: &[u8]) {
        while self.failure.is_none() {
            match self.decoder.process(input, &mut self.buffer) {
                Ok(step) => {
                    input = input.get(step.read..).unwrap_or_default();
                    self.hash(step.written);
                    if input.is_empty() && step.needs == Needs::Input {
                        return;
                    }
                }
                Err(error) => self.failure = Some(error),
            }
        }
    }

    fn hash(&mut self, written: usize) {
        let bytes = self.buffer.get(..written).unwrap_or_default();
        for (_, hasher) in &mut self.hashers {
            hasher.update(bytes);
        }
    }

    fn finish(mut self, expected: &[Digest]) -> Result<String> {
        while self.failure.is_none() {
            match self.decoder.finish(&mut self.buffer) {
                Ok(step) => {
                    self.hash(step.written);
                    if step.needs == Needs::Nothing {
                        break;
                    }
                }
                Err(error) => self.failure = Some(error),
            }
        }
        if let Some(error) = self.failure {
            return Err(error);
        }
        let mut found = Vec::new();
        for (algorithm, hasher) in self.hashers {
            let actual = hasher.finish();
            for expected in expected.iter().filter(|digest| digest.algorithm() == algorithm) {
                check_diff_id(Some(*expected), actual)?;
            }
            found.push(actual.to_string());
        }
        Ok(if expected.is_empty() {
            format!("digest and size hold; its diff_id is {}", found.join(", "))
        } else {
            "digest, size and diff_id hold".to_owned()
        })
    }
}
