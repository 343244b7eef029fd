//! A local image, gone through by the client machine: choosing a platform and going through indexes is written once.

use wharfie_core::client::{Client, Config, Event, Outcome, Output, PullOptions, Pulled};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::{Limits, Millis, Reference};

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
    let now = Millis(0);
    let bug = |misuse: wharfie_core::error::Misuse| ErrorKind::Internal { reason: misuse.to_string() };
    let mut client = Client::new(Config::default());
    let reference = Reference::new("local.invalid", "image")?.with_digest(top.digest);
    client.pull(now, &reference, options);
    loop {
        match client.poll_output() {
            Output::Event(Event::Finished(_, result)) => {
                return match result.map_err(Error::without_image)? {
                    Outcome::Pulled(pulled) => Ok(pulled),
                    other => Err(ErrorKind::Internal { reason: format!("a walk came to {other:?}") }.into()),
                };
            }
            Output::Event(Event::Need { blob, descriptor, document, .. }) => {
                let answer = if document {
                    match origin.document(&descriptor.digest, &limits) {
                        Ok(raw) => client.supply(now, blob, &raw),
                        Err(error) => client.refuse(now, blob, error),
                    }
                } else {
                    match origin.blob(&descriptor.digest) {
                        Ok(Some(_)) => client.skip(now, blob),
                        Err(error) => client.refuse(now, blob, error),
                        Ok(None) => {
                            let what = format!("blob {} in {}", descriptor.digest, origin.name());
                            client.refuse(now, blob, ErrorKind::NotFound { what, detail: None }.into())
                        }
                    }
                };
                answer.map_err(bug)?;
            }
            Output::Event(event) => observer.event(&event),
            Output::Start { request, .. } => {
                let reason = format!("a walk of what is here asked for {}", request.url.without_query());
                return Err(ErrorKind::Internal { reason }.into());
            }
            Output::Abort { .. } => {}
            Output::Wait(_) => {
                let reason = "a walk of what is here waits for nothing".to_owned();
                return Err(ErrorKind::Internal { reason }.into());
            }
        }
    }
}
