//! Which of several images a name means.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::error::{Error, ErrorKind, Result};
use crate::image::Descriptor;
use crate::reference::Reference;

/// An image of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// What it is called there, the fullest name first; it need not have any.
    pub names: Vec<String>,
    /// Its manifest or index.
    pub top: Descriptor,
}

impl Image {
    /// An entry of an OCI index, with the names that its annotations give it.
    pub fn of_entry(top: Descriptor) -> Image {
        let mut names: Vec<String> = Vec::new();
        for name in [top.containerd_name(), top.ref_name()].into_iter().flatten() {
            if !name.is_empty() && names.iter().all(|known| known != name) {
                names.push(name.to_owned());
            }
        }
        Image { names, top }
    }

    /// With these names, which no index gave it.
    pub fn named(top: Descriptor, names: Vec<String>) -> Image {
        Image { names, top }
    }
}

/// The position of the image that `name` means: one that is called just so, else one whose name means the same
/// (`alpine` is `docker.io/library/alpine:latest`), else one whose name ends so (`app:1` is `localhost/app:1`); or `@N`, the
/// one at this position, counted from 0. Without a name the only one there is. What fits several images is refused, unless
/// they are one and the same.
///
/// # Errors
/// `not_found` with the names there are.
pub fn find(images: &[Image], name: Option<&str>) -> Result<usize> {
    let Some(name) = name else {
        return match one(images, &(0..images.len()).collect::<Vec<_>>()) {
            Some(position) => Ok(position),
            None if images.is_empty() => Err(lacking("an image: nothing is listed there".to_owned(), images)),
            None => {
                let what = format!("one image: there are {}, and `:NAME` or `:@N` names one", images.len());
                Err(lacking(what, images))
            }
        };
    };
    let position = name.strip_prefix('@').and_then(|position| position.parse::<usize>().ok());
    if let Some(position) = position.filter(|position| *position < images.len()) {
        return Ok(position);
    }
    let meant = full(name);
    let ending = format!("/{}", tagged(name));
    let fits: [&dyn Fn(&str) -> bool; 3] =
        [&|known| known == name, &|known| meant.is_some() && full(known) == meant, &|known| {
            known.ends_with(&ending)
        }];
    for fits in fits {
        let found: Vec<usize> = images
            .iter()
            .enumerate()
            .filter(|(_, image)| image.names.iter().any(|known| fits(known)))
            .map(|(position, _)| position)
            .collect();
        if let Some(position) = one(images, &found) {
            return Ok(position);
        }
        if !found.is_empty() {
            return Err(lacking(
                format!("one image that `{name}` means: {} are called so", found.len()),
                images,
            ));
        }
    }
    Err(lacking(format!("`{name}`"), images))
}

/// The only one of these, or the first if all are the same document.
fn one(images: &[Image], positions: &[usize]) -> Option<usize> {
    let first = *positions.first()?;
    let digest = images.get(first)?.top.digest;
    let mut all = positions.iter().filter_map(|position| images.get(*position));
    all.all(|image| image.top.digest == digest).then_some(first)
}

/// A reference in full, tag and all.
fn full(name: &str) -> Option<String> {
    name.parse::<Reference>().ok().map(|reference| reference.or_latest().to_string())
}

fn tagged(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

fn lacking(what: String, images: &[Image]) -> Error {
    let shown = |(position, image): (usize, &Image)| match image.names.first() {
        Some(name) => name.clone(),
        None => format!("@{position}"),
    };
    let names: Vec<String> = images.iter().enumerate().map(shown).collect();
    let detail = (!names.is_empty()).then(|| format!("there is {}", names.join(", ")));
    ErrorKind::NotFound { what, detail }.into()
}
