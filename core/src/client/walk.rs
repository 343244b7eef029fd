//! An image that is at hand, gone through by the client machine: choosing a platform and going through indexes is
//! written once.

use alloc::format;
use alloc::string::ToString;

use super::event::{Event, Outcome, Output, Pulled};
use super::{BlobId, Client, Config, PullOptions};
use crate::error::{Error, ErrorKind, Misuse, Result};
use crate::image::{Descriptor, check_document};
use crate::limits::Limits;
use crate::reference::Reference;
use crate::time::Millis;

/// Goes through an image as a pull would, with what is here.
///
/// Drive it so: answer what [`Walk::poll`] asks, by [`Walk::supply`], [`Walk::have`] or [`Walk::refuse`], until it is done.
#[derive(Debug)]
pub struct Walk {
    client: Client,
    asked: Option<(BlobId, Descriptor)>,
    limits: Limits,
}

/// What a [`Walk`] asks or says.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // It is moved once and never kept.
pub enum Step {
    /// The bytes of this document are needed, for [`Walk::supply`].
    Document(Descriptor),
    /// Is this blob here? [`Walk::have`] says that it is.
    Blob(Descriptor),
    /// Something to know.
    Event(Event),
    /// That is the image.
    Done(Pulled),
}

impl Walk {
    /// Through the image that `top` names.
    ///
    /// # Errors
    /// None for a descriptor that was read.
    pub fn new(top: &Descriptor, options: PullOptions) -> Result<Walk> {
        let mut client = Client::new(Config::default());
        let reference = Reference::new("local.invalid", "image")?.with_digest(top.digest);
        client.pull(Millis(0), &reference, options);
        Ok(Walk { client, asked: None, limits: Limits::default() })
    }

    /// What is next.
    ///
    /// # Errors
    /// What was refused, and whatever the documents come to.
    pub fn poll(&mut self) -> Result<Step> {
        let internal = |reason| Err(ErrorKind::Internal { reason }.into());
        if self.asked.is_some() {
            return internal("a walk that waits for an answer was asked for more".to_string());
        }
        loop {
            match self.client.poll_output() {
                Output::Event(Event::Finished(_, result)) => {
                    return match result.map_err(Error::without_image)? {
                        Outcome::Pulled(pulled) => Ok(Step::Done(pulled)),
                        other => internal(format!("a walk came to {other:?}")),
                    };
                }
                Output::Event(Event::Need { blob, descriptor, document, .. }) => {
                    self.asked = Some((blob, descriptor.clone()));
                    return Ok(if document { Step::Document(descriptor) } else { Step::Blob(descriptor) });
                }
                Output::Event(event) => return Ok(Step::Event(event)),
                Output::Start { request, .. } => {
                    return internal(format!(
                        "a walk of what is here asked for {}",
                        request.url.without_query()
                    ));
                }
                Output::Abort { .. } => {}
                Output::Wait(_) => return internal("a walk of what is here waits for nothing".to_string()),
            }
        }
    }

    /// The bytes of the document that was asked for; those that do not hold end the walk.
    ///
    /// # Errors
    /// `internal` if none was asked for.
    pub fn supply(&mut self, bytes: &[u8]) -> Result<()> {
        let (blob, descriptor) = self.answered()?;
        match check_document(bytes, &descriptor.digest, &self.limits) {
            Ok(()) => self.client.supply(Millis(0), blob, bytes).map_err(bug),
            Err(error) => self.client.refuse(Millis(0), blob, error).map_err(bug),
        }
    }

    /// The blob that was asked for is here.
    ///
    /// # Errors
    /// `internal` if none was asked for.
    pub fn have(&mut self) -> Result<()> {
        let (blob, _) = self.answered()?;
        self.client.skip(Millis(0), blob).map_err(bug)
    }

    /// What was asked for cannot be had: the walk ends so.
    ///
    /// # Errors
    /// `internal` if nothing was asked for.
    pub fn refuse(&mut self, error: Error) -> Result<()> {
        let (blob, _) = self.answered()?;
        self.client.refuse(Millis(0), blob, error).map_err(bug)
    }

    /// What was asked for is not in the place of this name: the walk ends so.
    ///
    /// # Errors
    /// `internal` if nothing was asked for.
    pub fn lacks(&mut self, place: &str) -> Result<()> {
        let (blob, descriptor) = self.answered()?;
        let what = format!("blob {} in {place}", descriptor.digest);
        let error = ErrorKind::NotFound { what, detail: None };
        self.client.refuse(Millis(0), blob, error.into()).map_err(bug)
    }

    fn answered(&mut self) -> Result<(BlobId, Descriptor)> {
        self.asked.take().ok_or_else(|| {
            ErrorKind::Internal { reason: "an answer that a walk did not ask for".to_string() }.into()
        })
    }
}

#[allow(clippy::needless_pass_by_value)] // It is what `map_err` gives.
fn bug(misuse: Misuse) -> Error {
    ErrorKind::Internal { reason: misuse.to_string() }.into()
}
