//! Ctrl-C: the first stops what runs, cleanly; the second ends the process at once.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, Once};
use std::thread;
use std::time::Duration;

use crate::drive::Cancel;
use crate::unfinished;

static RUNNING: Mutex<Vec<Cancel>> = Mutex::new(Vec::new());
static LISTEN: Once = Once::new();

/// The exit status of a process that was interrupted: 128 and the number of SIGINT.
pub(super) const STATUS: u8 = 130;

/// How long the process waits at its end for the next file to be removed: where a disk hangs it ends all the same.
const PATIENCE: Duration = Duration::from_secs(1);

fn remove_unfinished() {
    let (done, removed) = channel::<()>();
    let remover = thread::Builder::new().spawn(move || {
        unfinished::remove_unfinished();
        drop(done);
    });
    if remover.is_ok() {
        let mut before = None;
        // Ends when the other end is dropped, or when a second went by in which nothing was removed.
        while matches!(removed.recv_timeout(PATIENCE), Err(RecvTimeoutError::Timeout)) {
            let now = unfinished::removed();
            if before.replace(now) == Some(now) {
                return;
            }
        }
    }
}

/// What Ctrl-C cancels.
pub(super) fn stoppable() -> Cancel {
    let cancel = Cancel::new();
    stops(&cancel);
    cancel
}

/// Has Ctrl-C stop this.
pub(super) fn stops(cancel: &Cancel) {
    if let Ok(mut running) = RUNNING.lock() {
        // Asked already, between what ran before and this.
        if running.iter().any(Cancel::is_cancelled) {
            cancel.cancel();
        }
        running.push(cancel.clone());
    }
    LISTEN.call_once(|| {
        // Without a handler the process just ends, and what is under a temporary name stays until the next prune.
        let _ = ctrlc::set_handler(|| {
            let Ok(running) = RUNNING.lock() else { return };
            if running.iter().all(Cancel::is_cancelled) {
                remove_unfinished();
                std::process::exit(i32::from(STATUS));
            }
            running.iter().for_each(Cancel::cancel);
        });
    });
}
