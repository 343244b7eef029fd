//! `validate`

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use wharfie_core::client::{Depth, PlatformChoice, PulledImage};
use wharfie_core::codec::{Codec as _, Codecs, Decoder, Format, Needs};
use wharfie_core::digest::{Algorithm, Hasher, Hashes, Verifier};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::merge::{check_diff_id, check_layer_count};
use wharfie_core::{Digest, Limits};

use super::args::ValidateArgs;
use super::open::{self, Opened};
use super::{interrupt, output, watch};
use crate::console::{Console, error_json};
use crate::drive::Cancel;

/// One thing that was checked.
struct Check {
    what: String,
    digest: Digest,
    result: Result<String>,
}

/// A blob to be read, and the `diff_id`s that configs say it has.
struct Blob {
    descriptor: Descriptor,
    what: String,
    diff_ids: Vec<Digest>,
    is_layer: bool,
}

/// The blobs of all images, each once, in the order in which the images name them.
#[derive(Default)]
struct Blobs {
    list: Vec<Blob>,
    positions: BTreeMap<Digest, usize>,
}

impl Blobs {
    fn entry(&mut self, descriptor: &Descriptor, what: String, is_layer: bool) -> &mut Blob {
        let position = *self.positions.entry(descriptor.digest).or_insert(self.list.len());
        if position == self.list.len() {
            self.list.push(Blob { descriptor: descriptor.clone(), what, diff_ids: Vec::new(), is_layer });
        }
        &mut self.list[position]
    }
}

/// `validate IMAGE`
pub(super) fn run(arguments: &ValidateArgs, console: &Console) -> Result<()> {
    let platform = match arguments.platform.as_deref() {
        Some(platform) => PlatformChoice::One(open::platform(Some(platform))?),
        None => PlatformChoice::All,
    };
    let image = &arguments.image;
    // What the registry sends is verified as it comes; everything is read once more from the disk below.
    let opened = open::open(&image.image, &image.from, open::options(platform, Depth::Layers), console)?;
    let mut checks = vec![Check {
        what: if opened.pulled.top.media_type.is_index() { "index" } else { "manifest" }.to_owned(),
        digest: opened.pulled.top.digest,
        result: opened.document(&opened.pulled.top).map(|_| "digest and form hold".to_owned()),
    }];
    let mut blobs = Blobs::default();
    for image in &opened.pulled.images {
        documents(&opened, image, &mut checks, &mut blobs);
    }
    let blobs = blobs.list;
    let cancel = Cancel::new();
    interrupt::stops(&cancel);
    checks.extend(read_all(&opened, &blobs, &cancel, console));
    if cancel.is_cancelled() {
        return Err(Error::from(ErrorKind::Cancelled {}).in_image(opened.name));
    }

    let failed = checks.iter().filter(|check| check.result.is_err()).count();
    if arguments.json {
        let shown: Vec<Value> = checks.iter().map(check_json).collect();
        output::json(&json!({"name": opened.name, "valid": failed == 0, "checks": shown}))?;
    } else {
        output::lines(checks.iter().map(|check| match &check.result {
            Ok(said) => format!("ok      {}  {}: {said}", check.what, check.digest),
            Err(error) => format!("failed  {}  {}: {error}", check.what, check.digest),
        }))?;
    }
    let total = checks.len();
    let mut errors = checks.into_iter().filter_map(|check| check.result.err());
    match errors.next() {
        None => {
            console.note(&format!("all {total} checks of {} hold", opened.name));
            Ok(())
        }
        Some(error) => {
            console.note(&format!("{failed} of {total} checks of {} failed; the first:", opened.name));
            for other in errors {
                opened.failed(other, console);
            }
            Err(opened.failed(error, console))
        }
    }
}

fn check_json(check: &Check) -> Value {
    let mut shown = json!({
        "what": check.what,
        "digest": check.digest.to_string(),
        "valid": check.result.is_ok(),
        "detail": check.result.as_ref().ok(),
    });
    if let Err(error) = &check.result {
        shown["error"] = error_json(error);
    }
    shown
}

/// Checks an image's manifest and config, and notes which blobs are to be read.
fn documents(opened: &Opened, image: &PulledImage, checks: &mut Vec<Check>, blobs: &mut Blobs) {
    let of = image.platform.as_ref().map(|platform| format!(" of {platform}")).unwrap_or_default();
    if image.manifest.digest != opened.pulled.top.digest {
        checks.push(Check {
            what: format!("manifest{of}"),
            digest: image.manifest.digest,
            result: opened.document(&image.manifest).map(|_| "digest and form hold".to_owned()),
        });
    }
    let mut diff_ids = Vec::new();
    match (opened.config(image), &image.config) {
        (Ok(config), Some(descriptor)) => {
            let (layers, listed) = (image.layers.len(), config.diff_ids.len());
            let result = check_layer_count(Some(listed), layers)
                .map(|()| format!("digest and form hold; {listed} diff_ids for {layers} layers"))
                .map_err(|error| error.in_blob(descriptor.digest));
            diff_ids = config.diff_ids;
            checks.push(Check { what: format!("config{of}"), digest: descriptor.digest, result });
        }
        // Schema 1 has no config of its own, and nothing says what its layers' diff_ids are.
        (Ok(_), None) => {}
        (Err(error), Some(descriptor)) if error.code() == "not_an_image" => {
            blobs.entry(descriptor, format!("config{of} (no image's)"), false);
        }
        (Err(error), descriptor) => {
            let digest = descriptor.as_ref().map_or(image.manifest.digest, |config| config.digest);
            checks.push(Check { what: format!("config{of}"), digest, result: Err(error) });
        }
    }
    for (position, layer) in image.layers.iter().enumerate() {
        let is_layer = layer.media_type.is_layer() || layer.media_type.is_generic();
        let blob = blobs.entry(layer, format!("layer {position}{of}"), is_layer);
        if let Some(diff_id) = diff_ids.get(position)
            && !blob.diff_ids.contains(diff_id)
        {
            blob.diff_ids.push(*diff_id);
        }
    }
}

/// Reads every blob, on all cores; answers in the blobs' order.
fn read_all(opened: &Opened, blobs: &[Blob], cancel: &Cancel, console: &Console) -> Vec<Check> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(blobs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((position, blob)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, blobs.get(at)?)))
                {
                    let task = console.task(
                        "checking",
                        &watch::short(&blob.descriptor.digest),
                        0,
                        Some(blob.descriptor.size),
                    );
                    let path = opened.layout.blob_path(&blob.descriptor.digest);
                    let result = read(&path, blob, cancel, &mut |position| task.position(position))
                        .map_err(|error| error.in_blob(blob.descriptor.digest).at_path(open::shown(&path)));
                    task.done(blob.descriptor.size);
                    if let Ok(mut results) = results.lock() {
                        results.insert(position, result);
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    let check = |(position, blob): (usize, &Blob)| Check {
        what: blob.what.clone(),
        digest: blob.descriptor.digest,
        result: results.remove(&position).unwrap_or_else(|| {
            Err(ErrorKind::Internal { reason: "a check did not finish".to_owned() }.into())
        }),
    };
    blobs.iter().enumerate().map(check).collect()
}

fn read(path: &Path, blob: &Blob, cancel: &Cancel, progress: &mut dyn FnMut(u64)) -> Result<String> {
    let (hashes, codecs) = (&crate::codec::NativeHashes, &crate::codec::NativeCodecs);
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound { what: "the blob".to_owned(), detail: None },
        _ => ErrorKind::LocalIo { operation: "reading a blob", reason: error.to_string() },
    };
    let mut file = std::fs::File::open(path).map_err(failed)?;
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
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error).into()),
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
