//! Blobs that can be read while they arrive.
//!
//! A [`Sink`](super::sink) writes a blob to its partial file; who wants to read it meanwhile gets that file and is told how far
//! it reaches. What is read so has not been verified, and must not get a name before it is: the reader comes to the end,
//! and learns only there whether the bytes were right.
//!
//! They are not hashed a second time by the reader. The driver has hashed what it wrote, the file was locked, and what a
//! reader saw of it holds as long as nothing of it was taken back: if bytes turn out to be wrong, or a partial file is not what
//! the registry has, the driver begins anew, and who has read beyond the point from which it does so is told so. Such a
//! reader has to begin anew as well. That is rare (a faulty mirror, a disk that has rotted), and hashing everything twice
//! would cost all others a fifth of the time, on processors without SHA instructions as much as inflating does.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use wharfie_core::Digest;

use crate::store::Store;

/// Who waits is woken when the file has crossed a multiple of this. Smaller steps would wake it for each packet.
const STEP: u64 = 64 << 10;

/// The blobs that one driver fetches.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals(Arc<Mutex<BTreeMap<Digest, Arc<Arrival>>>>);

impl Arrivals {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, Arc<Arrival>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this is how the blob comes.
    pub(super) fn begin(&self, digest: Digest, arrival: Arc<Arrival>) {
        self.lock().insert(digest, arrival);
    }

    /// The blob has its name, after it was verified.
    pub(super) fn named(&self, digest: &Digest) {
        if let Some(arrival) = self.lock().get(digest) {
            let mut state = arrival.lock();
            state.named = true;
            state.file = None;
            drop(state);
            arrival.changed.notify_all();
        }
    }

    /// The blob was given up.
    pub(super) fn forget(&self, digest: &Digest) {
        self.lock().remove(digest);
    }

    fn find(&self, digest: &Digest) -> Option<Arc<Arrival>> {
        self.lock().get(digest).cloned()
    }
}

/// One blob on its way.
#[derive(Debug)]
pub(super) struct Arrival {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Another handle of the partial file, which stays what it is when the file gets its name; for those who begin before
    /// that.
    file: Option<Arc<File>>,
    /// Bytes that can be read.
    len: u64,
    /// Goes up when bytes that could be read are taken back.
    attempt: u64,
    /// What was left of them the last time.
    kept: u64,
    /// It was verified and has its name.
    named: bool,
}

impl Arrival {
    /// Nothing of it can be read yet. `file` is only read at given positions.
    pub(super) fn new(file: File) -> Arrival {
        let state = State { file: Some(Arc::new(file)), len: 0, attempt: 0, kept: 0, named: false };
        Arrival { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is beyond this is void. To be said before the file changes.
    pub(super) fn cut(&self, len: u64) {
        let mut state = self.lock();
        if len < state.len {
            (state.len, state.kept) = (len, len);
            state.attempt += 1;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// So many bytes are there.
    pub(super) fn reach(&self, len: u64) {
        let mut state = self.lock();
        let before = state.len;
        state.len = before.max(len);
        if before / STEP < len / STEP {
            drop(state);
            self.changed.notify_all();
        }
    }
}

/// Whether a pull is over, and whether all is well: what is not there then does not come.
pub(super) type Over = OnceLock<bool>;

/// A pull whose layers can be read while they arrive.
#[derive(Clone, Debug)]
pub struct Arriving {
    arrivals: Arrivals,
    store: Store,
    over: Arc<Over>,
}

/// Where a blob is to be read.
#[derive(Debug)]
pub(crate) enum Found {
    /// In the store, from an earlier time: to be verified by who reads it.
    There,
    /// In the store, where it came just now, verified.
    Verified,
    /// On its way.
    Coming(Incoming),
    /// Nowhere yet.
    Awaited,
    /// Nowhere: the pull has failed or was stopped, and says why.
    Failed,
}

impl Arriving {
    pub(super) fn new(arrivals: Arrivals, store: Store, over: Arc<Over>) -> Arriving {
        Arriving { arrivals, store, over }
    }

    /// Where a blob is, or would be.
    pub(super) fn blob_path(&self, digest: &Digest) -> std::path::PathBuf {
        self.store.blob_path(digest)
    }

    /// Looks where a blob of this size is to be read.
    pub(crate) fn find(&self, digest: &Digest, size: u64) -> Found {
        // Before all else: what comes between this and the rest is there when the rest is looked at.
        let over = self.over.get().copied();
        if let Some(arrival) = self.arrivals.find(digest) {
            let state = arrival.lock();
            let (file, attempt) = (state.file.clone(), state.attempt);
            match file {
                _ if state.named => return Found::Verified,
                Some(file) if over.is_none() => {
                    drop(state);
                    return Found::Coming(Incoming { arrival, file, attempt, over: Arc::clone(&self.over) });
                }
                _ => {}
            }
        }
        match (self.store.has(digest), over) {
            (Some(found), _) if found == size => Found::There,
            (_, None) => Found::Awaited,
            (_, Some(false)) => Found::Failed,
            // The pull left it out: whoever opens it is told so.
            (_, Some(true)) => Found::There,
        }
    }
}

/// One reader's view of a blob on its way.
#[derive(Debug)]
pub(crate) struct Incoming {
    arrival: Arc<Arrival>,
    file: Arc<File>,
    attempt: u64,
    over: Arc<Over>,
}

/// How a blob on its way stands for one reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The file holds so many bytes.
    Bytes(u64),
    /// It is whole and verified, all that was read of it included.
    Verified,
    /// What was read of it does not hold: it begins anew.
    Anew,
    /// It does not come: the pull has failed or was stopped, and says why.
    Failed,
}

impl Incoming {
    /// The file, which others read as well: only to be read at given positions.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Waits until there are `wanted` bytes, or `patience` is over, and says how it stands for who has read up to `position`.
    pub(crate) fn wait(&mut self, position: u64, wanted: u64, patience: Duration) -> Reach {
        let is_over = self.over.get().is_some();
        let mut state = self.arrival.lock();
        if !is_over && !state.named && state.attempt == self.attempt && state.len < wanted {
            state = match self.arrival.changed.wait_timeout(state, patience) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        if state.attempt != self.attempt {
            // Of several times the last alone is known, and the one before may have taken back more.
            if state.attempt > self.attempt + 1 || position > state.kept {
                return Reach::Anew;
            }
            self.attempt = state.attempt;
        }
        if state.named {
            return Reach::Verified;
        }
        if is_over {
            return Reach::Failed;
        }
        Reach::Bytes(state.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn incoming() -> (Arc<Arrival>, Incoming) {
        let file = tempfile::tempfile().unwrap();
        let arrival = Arc::new(Arrival::new(file));
        let file = arrival.lock().file.clone().unwrap();
        let incoming = Incoming { arrival: Arc::clone(&arrival), file, attempt: 0, over: Arc::default() };
        (arrival, incoming)
    }

    #[test]
    fn bytes_are_told_as_they_come() {
        let (arrival, mut incoming) = incoming();
        assert_eq!(incoming.wait(0, 10, NOW), Reach::Bytes(0));
        arrival.reach(7);
        arrival.reach(5);
        assert_eq!(incoming.wait(0, 10, NOW), Reach::Bytes(7));
        arrival.lock().named = true;
        assert_eq!(incoming.wait(7, 10, NOW), Reach::Verified);
        incoming.over.set(false).unwrap();
        assert_eq!(incoming.wait(7, 10, NOW), Reach::Verified, "though the pull is over");
    }

    #[test]
    fn who_has_read_what_was_taken_back_begins_anew() {
        let (arrival, mut behind) = incoming();
        let again = || Incoming {
            arrival: Arc::clone(&arrival),
            file: Arc::clone(&behind.file),
            attempt: 0,
            over: Arc::default(),
        };
        let (mut before, mut late) = (again(), again());
        arrival.reach(100);
        arrival.cut(100);
        assert_eq!(behind.wait(100, 0, NOW), Reach::Bytes(100), "nothing was taken back");
        arrival.cut(50);
        arrival.reach(120);
        assert_eq!(before.wait(50, 0, NOW), Reach::Bytes(120));
        assert_eq!(behind.wait(51, 0, NOW), Reach::Anew);
        arrival.cut(110);
        assert_eq!(before.wait(110, 0, NOW), Reach::Bytes(110));
        assert_eq!(late.wait(20, 0, NOW), Reach::Anew, "it missed one, and cannot know");
        arrival.lock().named = true;
        assert_eq!(late.wait(20, 0, NOW), Reach::Anew, "also if it is verified now");
    }

    #[test]
    fn who_waits_is_woken() {
        let (arrival, mut incoming) = incoming();
        let long = Duration::from_secs(60);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || incoming.wait(0, STEP, long));
            arrival.reach(STEP + 1);
            assert_eq!(waiting.join().unwrap(), Reach::Bytes(STEP + 1));
        });
    }

    #[test]
    fn what_does_not_come_is_not_waited_for() {
        let (arrival, mut incoming) = incoming();
        incoming.over.set(false).unwrap();
        arrival.reach(3);
        assert_eq!(incoming.wait(0, 10, Duration::from_secs(60)), Reach::Failed);
    }
}
