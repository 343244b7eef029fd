use std::sync::Arc;

use tokio::sync::watch;

/// Stops what runs: cheap to clone, and to be called from any thread and more than once.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Default for Cancel {
    fn default() -> Self {
        Cancel(Arc::new(watch::Sender::new(false)))
    }
}

impl Cancel {
    /// One that nobody has pulled yet.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Asks everything to stop: jobs end with `cancelled`, partial blobs stay for the next run.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// Whether it was asked.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }
}
