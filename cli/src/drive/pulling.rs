//! A pull that is read while it runs.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use wharfie_core::Reference;
use wharfie_core::client::{self, Outcome};
use wharfie_core::error::Result;

use super::arrivals::{Arriving, Over};
use super::machine::{Input, Reply};
use super::{Aim, Driver, PullOptions, Pulled, gone};

/// An image whose documents are in the store, and whose layers come. Dropping it stops that; what has come of them stays
/// for the next pull.
pub struct Pulling {
    driver: Driver,
    token: u64,
    // Only read by `finish`; locked so that those who have a `Pulling` can be shared.
    replies: Mutex<Receiver<Reply>>,
    aim: Aim,
    image: client::Pulled,
    over: Arc<Over>,
    /// What it came to, if that is known already.
    outcome: Option<Outcome>,
}

impl Driver {
    /// As [`Driver::pull`], but answers when the documents are in the store: its layers can be read while they come, with
    /// [`Pulling::arriving`]. The store lists the image when [`Pulling::finish`] has answered.
    ///
    /// # Errors
    /// Those of [`Driver::pull`], as far as they come to light before the first layer.
    pub fn pull_ahead(&self, reference: &Reference, options: &PullOptions) -> Result<Pulling> {
        let aim = self.aim(reference, options)?;
        let over = Arc::new(Over::new());
        let begun = self.begin(aim.task(), aim.online, Arc::clone(&over));
        let (token, replies) = begun.map_err(|error| aim.place(error))?;
        let (image, outcome) = loop {
            match replies.recv().map_err(|_| gone())? {
                Reply::Page(_) => {}
                Reply::Described(image) => break (image, None),
                Reply::Done(outcome) => {
                    let outcome = outcome.map_err(|error| aim.place(self.with_space(error)))?;
                    let Outcome::Pulled(image) = &outcome else { return Err(super::unexpected()) };
                    break (image.clone(), Some(outcome));
                }
            }
        };
        let image = aim.described(image);
        let replies = Mutex::new(replies);
        Ok(Pulling { driver: self.clone(), token, replies, aim, image, over, outcome })
    }
}

impl Pulling {
    /// What was asked for, with `latest` spelled out.
    pub fn reference(&self) -> &Reference {
        &self.aim.reference
    }

    /// What it names and what hangs below it. Schema 1 says no sizes of layers: they are 0 here.
    pub fn image(&self) -> &client::Pulled {
        &self.image
    }

    /// Its layers, to be read while they come.
    pub fn arriving(&self) -> Arriving {
        let inner = &self.driver.0;
        Arriving::new(inner.arrivals.clone(), inner.store.clone(), Arc::clone(&self.over))
    }

    /// Waits until all of it is in the store.
    ///
    /// # Errors
    /// As [`Driver::pull`].
    pub fn finish(mut self) -> Result<Pulled> {
        let outcome = match self.outcome.take() {
            Some(outcome) => outcome,
            None => loop {
                let replies = self.replies.get_mut().unwrap_or_else(PoisonError::into_inner);
                if let Reply::Done(outcome) = replies.recv().map_err(|_| gone())? {
                    break outcome.map_err(|error| self.aim.place(self.driver.with_space(error)))?;
                }
            },
        };
        self.driver.arrived(&self.aim, outcome)
    }
}

impl Drop for Pulling {
    fn drop(&mut self) {
        // One that is over is not known there any more.
        let _ = self.driver.0.inbox.send(Input::Abandon { token: self.token });
    }
}
