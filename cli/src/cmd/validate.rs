//! `validate`

use serde_json::{Value, json};
use wharfie_core::Digest;
use wharfie_core::client::{Depth, PlatformChoice, PulledImage};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::merge::check_layer_count;

use super::args::ValidateArgs;
use super::open::{self, Opened};
use super::{interrupt, output, watch};
use crate::checks::{self, Blob, Blobs};
use crate::console::{Console, error_json};
use crate::drive::Cancel;

/// One thing that was checked.
struct Check {
    what: String,
    digest: Digest,
    result: Result<String>,
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
        return Err(Error::from(ErrorKind::Cancelled {}).in_image(opened.name()));
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
    blobs.layers(image, &diff_ids, &of);
}

/// Reads every blob, on all cores; answers in the blobs' order.
fn read_all(opened: &Opened, blobs: &[Blob], cancel: &Cancel, console: &Console) -> Vec<Check> {
    let blob = |at: usize| {
        let blob = blobs.get(at)?;
        let file = opened.blob(&blob.descriptor);
        Some((blob, file))
    };
    let results = checks::read_all(blobs.len(), &blob, cancel, &|blob| {
        console.task("checking", &watch::short(&blob.descriptor.digest), 0, Some(blob.descriptor.size))
    });
    let check = |(blob, result): (&Blob, _)| Check {
        what: blob.what.clone(),
        digest: blob.descriptor.digest,
        result,
    };
    blobs.iter().zip(results).map(check).collect()
}
