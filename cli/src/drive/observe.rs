//! What the driver asks of the command above it, and what it tells.

use wharfie_core::Digest;
use wharfie_core::client::{Credentials, Event};

/// Where credentials come from.
pub trait CredentialSource: Send + Sync {
    /// Credentials for a registry, as `Reference` names it, and for a repository of it. May block: helpers are
    /// programs. `None` is anonymous. Asked only when challenged.
    fn find(&self, registry: &str, repository: Option<&str>) -> Option<Credentials>;

    /// The same for a mirror, or another place that the user's rules put in the stead of the registry that the image's name
    /// says: credentials that were given for that one are none for it.
    fn find_for_stand_in(&self, registry: &str, repository: Option<&str>) -> Option<Credentials> {
        self.find(registry, repository)
    }
}

/// Nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

impl CredentialSource for NoCredentials {
    fn find(&self, _: &str, _: Option<&str>) -> Option<Credentials> {
        None
    }
}

/// Who is told what happens. Called on the driver's own thread: it must not block for long.
pub trait Observer: Send + Sync {
    /// Something happened. `Need`, `NeedCredentials` and `TokenIssued` are the driver's own and do not come here.
    fn event(&self, event: &Event) {
        let _ = event;
    }

    /// A blob began, moved or ended; some ten times a second for each, and once for every change of its state. A blob
    /// that the store had already comes once, as [`TransferState::Present`].
    fn transfer(&self, transfer: &Transfer) {
        let _ = transfer;
    }

    /// A line of the trace, for `-v` (1) and `-vv` (2). Never holds a secret: no credentials, no tokens, no query of
    /// a redirect's target.
    fn trace(&self, level: u8, line: &str) {
        let _ = (level, line);
    }

    /// How much of the trace is wanted: 0, 1 or 2.
    fn trace_level(&self) -> u8 {
        0
    }
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// How far one blob has come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transfer {
    /// Which.
    pub digest: Digest,
    /// Bytes that are there.
    pub position: u64,
    /// Bytes of the whole, where that is known.
    pub size: Option<u64>,
    /// What happens to it.
    pub state: TransferState,
}

/// What happens to a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferState {
    /// The store has it: nothing to do.
    Present,
    /// Another process fetches it: this one waits for that.
    Waiting,
    /// Bytes come.
    Fetching,
    /// Bytes of an earlier run are read again, for the hash over them.
    Replaying,
    /// All bytes are there, and are checked and written down.
    Verifying,
    /// Bytes go to a registry.
    Sending,
    /// It is where it was to go: in the store under its name, or at the registry.
    Done,
    /// It was given up; what came of it stays for the next run.
    Stopped,
}
