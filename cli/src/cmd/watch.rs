//! The driver's reports, as the console shows them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use wharfie_core::Digest;
use wharfie_core::client::Event;

use crate::console::{Console, Task};
use crate::drive::{Observer, Transfer, TransferState};

/// Says what is worth to know of a job's events.
pub(super) struct Notes {
    console: Console,
}

impl Notes {
    pub(super) fn new(console: &Console) -> Notes {
        Notes { console: console.clone() }
    }
}

impl Observer for Notes {
    fn event(&self, event: &Event) {
        let console = &self.console;
        match event {
            Event::Chosen { wanted, taken, others, descriptor, .. } => {
                let taken = taken
                    .as_ref()
                    .map_or_else(|| "an entry without a platform".to_owned(), ToString::to_string);
                let mut text = format!("chose {taken}");
                if taken != wanted.to_string() {
                    text = format!("{text} for {wanted}");
                }
                text = format!("{text}, {}", descriptor.digest);
                if !others.is_empty() {
                    let others: Vec<_> = others.iter().map(ToString::to_string).collect();
                    text = format!("{text}; there is also {}", others.join(", "));
                }
                console.note(&text);
            }
            Event::Retrying { host, attempt, delay, reason, .. } => {
                let delay = delay.as_secs_f64();
                console.warn(&format!("{reason}: trying {host} again in {delay:.1} s (after try {attempt})"));
            }
            Event::BlobRewound { to: 0, reason, .. } => {
                console.warn(&format!("{reason}: fetched again from the start"));
            }
            Event::Answered { endpoint, .. } if console.trace_level() > 0 => {
                let kind = if endpoint.is_mirror { "a mirror" } else { "the place" };
                let file = endpoint.file.as_deref().unwrap_or_default();
                console.trace(&format!("{endpoint} answered: {kind} by {file}"));
            }
            Event::Warning { warning, .. } => console.warn(&warning.to_string()),
            _ => {}
        }
    }
}

/// Shows transfers, events and the trace.
pub(super) struct Watch {
    notes: Notes,
    /// By digest, and whether it goes up.
    tasks: Mutex<BTreeMap<(Digest, bool), Task>>,
}

impl Watch {
    pub(super) fn new(console: &Console) -> Watch {
        Watch { notes: Notes::new(console), tasks: Mutex::new(BTreeMap::new()) }
    }
}

/// A digest as short as people say it.
pub(super) fn short(digest: &Digest) -> String {
    digest.hex().chars().take(12).collect()
}

impl Observer for Watch {
    fn event(&self, event: &Event) {
        self.notes.event(event);
    }

    fn transfer(&self, transfer: &Transfer) {
        let Ok(mut tasks) = self.tasks.lock() else { return };
        let digest = transfer.digest;
        let state = match transfer.state {
            TransferState::Present => return,
            TransferState::Done => {
                // What comes and goes at once has come first.
                let task = tasks.remove(&(digest, false)).or_else(|| tasks.remove(&(digest, true)));
                if let Some(task) = task {
                    task.done(transfer.position);
                }
                return;
            }
            TransferState::Stopped => {
                tasks.remove(&(digest, false));
                tasks.remove(&(digest, true));
                return;
            }
            TransferState::Waiting => "another process fetches it",
            TransferState::Replaying => "checking what is there",
            TransferState::Verifying => "verifying",
            _ => "",
        };
        let goes_up = transfer.state == TransferState::Sending;
        let verb = if goes_up { "pushing" } else { "pulling" };
        let begin = || self.notes.console.task(verb, &short(&digest), transfer.position, transfer.size);
        let task = tasks.entry((digest, goes_up)).or_insert_with(begin);
        task.position(transfer.position);
        task.state(state);
    }

    fn trace(&self, _level: u8, line: &str) {
        self.notes.console.trace(line);
    }

    fn trace_level(&self) -> u8 {
        self.notes.console.trace_level()
    }
}
