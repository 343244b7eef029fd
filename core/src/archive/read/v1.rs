//! Docker's v1 layout: a folder for each layer with `json` and `layer.tar`, and `repositories`, which names the topmost ones.
//!
//! Config and manifest are made, as docker makes them of such an image when it loads it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::docker::{self, repositories};
use super::facts::Facts;
use super::{Collection, Image};
use crate::archive::catalog::in_entry;
use crate::codec::Format;
use crate::error::{Error, ErrorKind, Result};
use crate::image::json::{self, Node};
use crate::image::{Descriptor, Schema1};
use crate::map::{Map, Set};
use crate::media_type::MediaType;

const LAYER: &str = "/layer.tar";

/// The images of a v1 layout.
pub(super) fn read(facts: &mut Facts) -> Result<Option<Collection>> {
    let Some(tags) = repositories(facts)? else { return Ok(None) };
    let ids: Vec<String> = if tags.is_empty() {
        match topmost(facts)? {
            Some(ids) => ids,
            None => return Ok(None),
        }
    } else {
        tags.keys().cloned().collect()
    };
    if ids.len() as u64 > u64::from(facts.limits.descriptors) {
        let value = u64::from(facts.limits.descriptors);
        return Err(ErrorKind::LimitExceeded { limit: "descriptors", value }.into());
    }
    let Some(steps) = steps(facts)? else { return Ok(None) };
    let mut collection = Collection::default();
    let mut is_whole = true;
    for id in ids {
        let image = image(facts, &steps, &id, &mut collection)?;
        let made: u64 = collection.made.values().map(|raw| raw.len() as u64).sum();
        if made > facts.limits.archive_document_bytes {
            let value = facts.limits.archive_document_bytes;
            return Err(ErrorKind::LimitExceeded { limit: "archive_document_bytes", value }.into());
        }
        match image {
            Some(top) => {
                let names = tags.get(&id).cloned().unwrap_or_default();
                collection.images.push(Image::named(top, names));
            }
            None => is_whole = false,
        }
    }
    Ok(is_whole.then_some(collection))
}

/// What each layer's `json` says: its bytes, and its parent's id.
type Steps = Map<String, (Vec<u8>, Option<String>)>;

/// The ids that have a layer.
fn layer_ids(facts: &Facts) -> Vec<String> {
    let names = facts.catalog.names().filter_map(|name| name.strip_suffix(LAYER));
    names.filter(|id| !id.contains('/')).map(ToString::to_string).collect()
}

/// Every `json` that stands beside a layer, all asked for at once: a chain that is followed link by link would be a question
/// for each of its links.
fn steps(facts: &mut Facts) -> Result<Option<Steps>> {
    let mut steps = Steps::new();
    let mut is_whole = true;
    for id in layer_ids(facts) {
        let name = format!("{id}/json");
        if !facts.catalog.has(&name) {
            continue;
        }
        let Some(raw) = facts.document(&name)? else {
            is_whole = false;
            continue;
        };
        if !is_whole {
            continue;
        }
        let place = |error: Error| in_entry(error, name.as_bytes());
        let value = json::parse("json", &raw, &facts.limits).map_err(place)?;
        let parent = Node::root("json", &value).text_at("parent").map_err(place)?;
        steps.insert(id, (raw, parent.filter(|parent| !parent.is_empty())));
    }
    Ok(is_whole.then_some(steps))
}

/// The layers that are nobody's parent.
fn topmost(facts: &mut Facts) -> Result<Option<Vec<String>>> {
    let Some(steps) = steps(facts)? else { return Ok(None) };
    let parents: Set<&String> = steps.values().filter_map(|(_, parent)| parent.as_ref()).collect();
    Ok(Some(layer_ids(facts).into_iter().filter(|id| !parents.contains(id)).collect()))
}

/// The image whose topmost layer this is.
fn image(
    facts: &mut Facts,
    steps: &Steps,
    id: &str,
    collection: &mut Collection,
) -> Result<Option<Descriptor>> {
    // The newest first.
    let mut chain_of = Vec::new();
    let mut next = Some(id.to_string());
    let mut seen = Set::new();
    while let Some(id) = next {
        if !seen.insert(id.clone()) {
            let reason = "its parents lead in circles".to_string();
            let error = ErrorKind::InvalidDocument { document: "json", reason };
            return Err(in_entry(error.into(), format!("{id}/json").as_bytes()));
        }
        if seen.len() as u64 > u64::from(facts.limits.layers) {
            let value = u64::from(facts.limits.layers);
            return Err(ErrorKind::LimitExceeded { limit: "layers", value }.into());
        }
        let name = format!("{id}/json");
        let Some((raw, parent)) = steps.get(&id) else {
            let what = format!("the member `{}`", crate::name::Name(name.as_bytes()));
            return Err(ErrorKind::NotFound { what, detail: None }.into());
        };
        chain_of.push((format!("{id}{LAYER}"), raw));
        next = parent.clone();
    }
    let (mut chain, mut layers) = (Vec::new(), Vec::new());
    let mut is_whole = true;
    for (name, raw) in chain_of {
        let format = facts.format(&name)?;
        // Its `diff_id` is nowhere said.
        let diff_id = match format {
            Some(format) => facts.digest(&name, format != Format::Identity)?,
            None => None,
        };
        let layer = match diff_id {
            Some(diff_id) => docker::layer(facts, &name, diff_id, collection)?.map(|layer| (layer, diff_id)),
            None => None,
        };
        match layer {
            Some((layer, diff_id)) => {
                chain.push((layer.digest, raw.clone()));
                layers.push((layer, diff_id));
            }
            None => is_whole = false,
        }
    }
    if !is_whole {
        return Ok(None);
    }
    let schema1 = Schema1::of_v1(&chain, &facts.limits)
        .map_err(|error| in_entry(error, format!("{id}/json").as_bytes()))?;
    // Those that hold nothing are left out, as in a pull of schema 1; the lowest comes first.
    let mut kept = schema1.layers().peekable();
    let mut used = Vec::new();
    for (layer, diff_id) in layers.into_iter().rev() {
        if kept.next_if(|digest| **digest == layer.digest).is_some() {
            used.push((layer, diff_id));
        }
    }
    let diff_ids: Vec<_> = used.iter().map(|(_, diff_id)| *diff_id).collect();
    let config = schema1.config(&diff_ids, &facts.limits)?;
    let digest = crate::digest::Digest::sha256(&config.raw);
    let descriptor = Descriptor::new(MediaType::DockerConfig, digest, config.raw.len() as u64);
    collection.made.insert(digest, config.raw);
    docker::manifest(descriptor, used.into_iter().map(|(layer, _)| layer).collect(), collection).map(Some)
}
