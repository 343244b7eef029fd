//! A local image, gone through by core's walk: this only answers what it asks.

use wharfie_core::Limits;
use wharfie_core::client::{PullOptions, Pulled, Step, Walk};
use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;

use super::Origin;
use crate::drive::Observer;

/// As [`Origin`] has it.
pub(super) fn walk(
    origin: &dyn Origin,
    top: &Descriptor,
    options: PullOptions,
    observer: &dyn Observer,
) -> Result<Pulled> {
    let limits = Limits::default();
    let mut walk = Walk::new(top, options)?;
    loop {
        match walk.poll()? {
            Step::Document(descriptor) => match origin.document(&descriptor.digest, &limits) {
                Ok(raw) => walk.supply(&raw)?,
                Err(error) => walk.refuse(error)?,
            },
            Step::Blob(descriptor) => match origin.blob(&descriptor.digest) {
                Ok(Some(_)) => walk.have()?,
                Ok(None) => walk.lacks(&origin.name())?,
                Err(error) => walk.refuse(error)?,
            },
            Step::Event(event) => observer.event(&event),
            Step::Done(pulled) => return Ok(pulled),
        }
    }
}
