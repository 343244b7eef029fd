//! What an image is, of its documents.

use alloc::string::{String, ToString};

use serde_json::Value;

use super::Object;
use crate::error::{ErrorKind, Result};
use crate::image::{Config, Descriptor, Document, History, View};
use crate::limits::Limits;
use crate::platform::Platform;

/// Says what an image is, as JSON: `name`, `digest`, `mediaType`, `platform`, `platforms` (of the index), `manifestDigest`,
/// `configDigest`, `size` (of all layers, in bytes), `layers` (each with the step of the history that made it), `diffIds` (as the
/// config lists them, however many those are; absent where it lists none by its kind), `history`,
/// `annotations` and `summary`, the config without history and `rootfs`.
///
/// `top` is the JSON of the descriptor that the name stands for. An artifact's config is of its own kind: there is no summary then.
/// Schema 1 has no config of its own and no `diff_id`s.
///
/// # Errors
/// `invalid_document`, `invalid_digest`, `limit_exceeded` for documents that were not verified before; `layer_count_mismatch`
/// never: layers and `diff_id`s are paired as far as they go.
pub fn describe(
    name: &str,
    top: &str,
    manifest: &[u8],
    config: Option<&[u8]>,
    index: Option<&[u8]>,
) -> Result<String> {
    let limits = Limits::default();
    let top = Descriptor::parse(top.as_bytes(), &limits)?;
    let document = Document::parse(manifest, None, &limits)?;
    let index = index.map(|raw| Document::parse(raw, None, &limits)).transpose()?;
    let manifest_digest = match &index {
        None => top.digest,
        Some(_) => document.digest(top.digest.algorithm()),
    };
    let mut object = Object::new()
        .with("name", name)
        .with("digest", top.digest.to_string())
        .with("mediaType", top.media_type.as_str())
        .with("manifestDigest", manifest_digest.to_string());
    if let Some(index) = index.as_ref().and_then(Document::index) {
        let platforms: Value = index.platforms().iter().map(Platform::to_string).collect();
        object = object.with("platforms", platforms);
    }
    let said = index.as_ref().and_then(Document::index).and_then(|index| {
        index.manifests.iter().find(|entry| entry.digest == manifest_digest)?.platform.clone()
    });
    let (layers, config) = match &document.view {
        View::Manifest(manifest) => {
            let is_image = manifest.config.media_type.is_config() || manifest.config.media_type.is_generic();
            let config = config.filter(|_| is_image).map(|raw| Config::parse(raw, &limits)).transpose()?;
            object = object
                .with("configDigest", manifest.config.digest.to_string())
                .with_some("artifactType", manifest.artifact_type())
                .with_some("subject", manifest.subject.as_ref().map(super::descriptor));
            if !manifest.annotations.is_empty() {
                object = object.with("annotations", Object::of(&manifest.annotations));
            }
            if let Some(config) = &config {
                let diff_ids: Value = config.diff_ids.iter().map(ToString::to_string).collect();
                object = object.with("diffIds", diff_ids);
            }
            (manifest.layers.clone(), config)
        }
        View::Schema1(schema1) => {
            let layers = schema1.layers().map(|digest| {
                Descriptor::new(crate::MediaType::parse("application/octet-stream"), *digest, 0)
            });
            (layers.collect(), Some(schema1.config(&[], &limits)?))
        }
        View::Index(_) => {
            let reason = "an index is no image: choose one of its manifests".to_string();
            return Err(ErrorKind::NotAnImage { reason }.into());
        }
    };
    let platform = config.as_ref().and_then(|config| config.platform.clone()).or(said);
    let size = layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
    let history: &[History] = config.as_ref().map(|config| &config.history[..]).unwrap_or_default();
    // The steps that made a layer, in the order of the layers (image-spec `config.md`, `history`).
    let mut steps = history.iter().filter(|step| !step.empty_layer);
    let all_layers: Value = layers
        .iter()
        .enumerate()
        .map(|(at, layer)| {
            let diff_id = config.as_ref().and_then(|config| config.diff_ids.get(at));
            let step = steps.next();
            Value::from(
                Object::new()
                    .with("digest", layer.digest.to_string())
                    .with("size", layer.size)
                    .with("mediaType", layer.media_type.as_str())
                    .with_some("diffId", diff_id.map(ToString::to_string))
                    .with_some("createdBy", step.and_then(|step| step.created_by.clone()))
                    .with_some("created", step.and_then(|step| step.created.clone()))
                    .with_some("comment", step.and_then(|step| step.comment.clone())),
            )
        })
        .collect();
    let mut next = 0;
    let all_steps: Value = history
        .iter()
        .map(|step| {
            let layer = (!step.empty_layer && next < layers.len()).then_some(next);
            next += usize::from(!step.empty_layer);
            Value::from(
                Object::new()
                    .with_some("created", step.created.clone())
                    .with_some("createdBy", step.created_by.clone())
                    .with_some("author", step.author.clone())
                    .with_some("comment", step.comment.clone())
                    .with("emptyLayer", step.empty_layer)
                    .with_some("layer", layer),
            )
        })
        .collect();
    let summary = config.as_ref().map(Config::summary).transpose()?;
    Ok(object
        .with_some("platform", platform.map(|platform| platform.to_string()))
        .with("size", size)
        .with("layers", all_layers)
        .with("history", all_steps)
        .with_some("summary", summary)
        .to_string())
}
