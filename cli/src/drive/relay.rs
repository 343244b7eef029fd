//! A blob on its way from one registry to another, in memory: what has come and not gone, up to a bound, and a little of what
//! has gone, to go on from there where a connection breaks.
//!
//! Nothing of it is verified when it goes out: the registry that takes it does that, and closes the upload by the digest.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

/// Bytes that may be ahead of what goes out.
const AHEAD: u64 = 8 << 20;
/// Bytes that are kept of what has gone out: more than lies in the buffers of a connection.
const BEHIND: u64 = 8 << 20;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Relay {
    state: Mutex<State>,
    changed: Condvar,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// One behind the other, none of them empty.
    pieces: VecDeque<Bytes>,
    /// Where the first of them begins.
    start: u64,
    /// Where the last one ends.
    end: u64,
    /// How far it has gone out.
    taken: u64,
    /// Goes up when bytes are taken back.
    attempt: u64,
    /// What was left of them the last time.
    kept: u64,
    /// Nothing more comes.
    failed: bool,
}

/// What is there to go out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Bytes(Bytes),
    /// Not yet.
    Nothing,
    /// What is asked for was there, and is not held any more.
    Gone,
    /// What went out is void, or nothing more comes.
    Void,
}

impl Relay {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes next belongs at `offset`. Whether there is no gap before it.
    pub(super) fn begin(&self, offset: u64) -> bool {
        let mut state = self.lock();
        if offset > state.end {
            return false;
        }
        if offset < state.end {
            state.attempt += 1;
            state.kept = offset;
            state.cut(offset);
            drop(state);
            self.changed.notify_all();
        }
        true
    }

    /// The next bytes came.
    pub(super) fn push(&self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.end += bytes.len() as u64;
        state.pieces.push_back(bytes);
        drop(state);
        self.changed.notify_all();
    }

    /// Whether nothing more is to come for the time being.
    pub(super) fn is_full(&self) -> bool {
        let state = self.lock();
        state.end.saturating_sub(state.taken) >= AHEAD
    }

    /// Waits until more may come.
    pub(super) async fn has_room(&self) {
        loop {
            // Made before it is looked at, so that it misses nothing.
            let room = self.room.notified();
            if !self.is_full() {
                return;
            }
            room.await;
        }
    }

    /// It goes out from here on. Answers what [`Relay::next`] is to be told.
    pub(super) fn go_from(&self, offset: u64) -> u64 {
        let mut state = self.lock();
        state.taken = offset.min(state.end);
        let attempt = state.attempt;
        drop(state);
        self.room.notify_waiters();
        attempt
    }

    /// What goes out next, at `offset`; waits for it as long as `patience`.
    pub(super) fn next(&self, attempt: &mut u64, offset: u64, patience: Duration) -> Next {
        let mut state = self.lock();
        if !state.failed && state.attempt == *attempt && state.end <= offset {
            state = match self.changed.wait_timeout(state, patience) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        if state.attempt != *attempt {
            // Of several times the last alone is known.
            if state.attempt > *attempt + 1 || offset > state.kept {
                return Next::Void;
            }
            *attempt = state.attempt;
        }
        if state.failed {
            return Next::Void;
        }
        if offset < state.start {
            return Next::Gone;
        }
        let Some(bytes) = state.at(offset) else { return Next::Nothing };
        state.taken = offset + bytes.len() as u64;
        let (taken, keep) = (state.taken, BEHIND);
        state.drop_before(taken.saturating_sub(keep));
        drop(state);
        self.room.notify_waiters();
        Next::Bytes(bytes)
    }

    /// Nothing more comes.
    pub(super) fn fail(&self) {
        self.lock().failed = true;
        self.changed.notify_all();
    }
}

impl State {
    /// Bytes at this offset, as many as lie together.
    fn at(&self, offset: u64) -> Option<Bytes> {
        let mut begins = self.start;
        for piece in &self.pieces {
            let ends = begins + piece.len() as u64;
            if offset < ends {
                return Some(piece.slice(usize::try_from(offset - begins).ok()?..));
            }
            begins = ends;
        }
        None
    }

    /// Drops what comes behind this.
    fn cut(&mut self, end: u64) {
        while let Some(piece) = self.pieces.back_mut() {
            let begins = self.end - piece.len() as u64;
            if begins < end {
                piece.truncate(usize::try_from(end - begins).unwrap_or(piece.len()));
                break;
            }
            self.end = begins;
            self.pieces.pop_back();
        }
        self.end = end;
        self.start = self.start.min(end);
        self.taken = self.taken.min(end);
    }

    /// Drops what lies wholly before this.
    fn drop_before(&mut self, offset: u64) {
        while let Some(piece) = self.pieces.front()
            && self.start + piece.len() as u64 <= offset
        {
            self.start += piece.len() as u64;
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn all(relay: &Relay, attempt: &mut u64, mut offset: u64) -> Vec<u8> {
        let mut all = Vec::new();
        while let Next::Bytes(bytes) = relay.next(attempt, offset, NOW) {
            offset += bytes.len() as u64;
            all.extend_from_slice(&bytes);
        }
        all
    }

    #[test]
    fn what_comes_goes_out() {
        let relay = Relay::default();
        let mut attempt = relay.go_from(0);
        assert_eq!(relay.next(&mut attempt, 0, NOW), Next::Nothing);
        relay.push(Bytes::from_static(b"abc"));
        relay.push(Bytes::from_static(b"de"));
        assert_eq!(all(&relay, &mut attempt, 0), b"abcde");
        assert_eq!(all(&relay, &mut attempt, 2), b"cde", "again from the middle");
        relay.fail();
        assert_eq!(relay.next(&mut attempt, 5, NOW), Next::Void);
    }

    #[test]
    fn it_holds_no_more_than_its_bounds() {
        let relay = Relay::default();
        let piece = Bytes::from(vec![7; 1 << 20]);
        let mut attempt = relay.go_from(0);
        let mut pushed = 0;
        for round in 0..40_u64 {
            while !relay.is_full() {
                relay.push(piece.clone());
                pushed += 1;
            }
            assert!(matches!(relay.next(&mut attempt, round << 20, NOW), Next::Bytes(_)));
            assert!(relay.lock().pieces.len() as u64 <= (AHEAD + BEHIND) >> 20);
        }
        assert_eq!(pushed, 40 + 7);
        relay.go_from(35 << 20);
        assert!(matches!(relay.next(&mut attempt, 35 << 20, NOW), Next::Bytes(_)), "a little is kept");
        assert_eq!(relay.next(&mut attempt, 0, NOW), Next::Gone);
    }

    #[test]
    fn what_is_taken_back_is_void() {
        let relay = Relay::default();
        let mut attempt = relay.go_from(0);
        assert!(!relay.begin(1), "a gap");
        relay.push(Bytes::from_static(b"abcdef"));
        let (mut before, mut behind) = (attempt, attempt);
        assert!(relay.begin(4));
        relay.push(Bytes::from_static(b"EF"));
        assert_eq!(all(&relay, &mut before, 4), b"EF");
        assert_eq!(relay.next(&mut behind, 5, NOW), Next::Void);
        assert!(relay.begin(0));
        assert_eq!(relay.next(&mut attempt, 0, NOW), Next::Void, "it missed one, and cannot know");
        relay.push(Bytes::from_static(b"new"));
        let mut attempt = relay.go_from(0);
        assert_eq!(all(&relay, &mut attempt, 0), b"new");
    }
}
