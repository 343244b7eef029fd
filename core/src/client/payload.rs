//! Payload on its way into a sink: where the bytes of a response belong, and what follows when it ends, breaks off or is
//! wrong.

use alloc::string::{String, ToString};

use super::blob::Blob;
use super::conduct::{at_url, host, protocol};
use super::event::Event;
use super::exchange::{Exchange, Key, Lock, Owner, Phase};
use super::machine::Client;
use super::request::{BodyPlan, Flow, Store};
use super::{BlobId, HeaderVisibility};
use crate::digest::Hasher;
use crate::error::{Error, ErrorKind, Misuse, Result};
use crate::http::{ContentRange, Head, Url};

/// A registry that sends a blob from its beginning, whatever range is asked for, makes us drop what we have already.
/// That costs as much as beginning anew and saves the writing and hashing; but a connection that breaks again and again
/// would come to no end. So all that is dropped for one blob is at most this many times its size (or what we have).
const SKIP_TIMES: u64 = 4;
/// Ranges that go wrong before no more of them are asked for.
const MOST_BAD_RANGES: u32 = 3;
/// A part of a range that a registry ends on its own account, and that is no failure if it has this many bytes.
const FAIR_PART: u64 = 64 << 10;

/// How a round of payload ended.
#[derive(Debug)]
pub(super) enum Closing {
    /// In order; `fair` if it brought what its head had announced.
    Ended {
        fair: bool,
    },
    Broken(Error),
    Wrong(Error),
}

impl Blob {
    /// Whether so many bytes more may be dropped.
    fn may_skip(&self, len: u64) -> bool {
        let size = self.size.unwrap_or(self.position).max(self.position);
        self.skipped.saturating_add(len) <= size.saturating_mul(SKIP_TIMES)
    }
}

impl Client {
    /// The head of a response with payload for a sink.
    pub(super) fn payload_head(&mut self, key: Key, url: &Url, head: &Head<'_>) -> BodyPlan {
        match self.place(key, url, head) {
            Ok(Some(store)) => {
                if let Some(blob) = self.blobs.get_mut(&store.blob)
                    && !core::mem::replace(&mut blob.begun, true)
                {
                    self.unlock(Lock::Fetch(store.blob));
                }
                BodyPlan::Store(store)
            }
            Ok(None) => BodyPlan::Discard,
            Err(error) => {
                self.park(key);
                self.exchange_failed(key, at_url(error, url));
                BodyPlan::Discard
            }
        }
    }

    /// Where the bytes of this body belong. `None` if they are of no use, and the exchange goes on without them.
    fn place(&mut self, key: Key, url: &Url, head: &Head<'_>) -> Result<Option<Store>> {
        let Some(exchange) = self.exchanges.get(&key) else { return Ok(None) };
        let Owner::Blob(id) = exchange.owner else { return Ok(None) };
        let asked = exchange.round().and_then(|round| round.range);
        let profile = &self.config.host;
        let hides_headers = profile.headers == HeaderVisibility::Exposed;
        let is_decoded = profile.decodes_content_encoding
            && (hides_headers || head.headers.text("content-encoding").is_some_and(|e| e != "identity"));
        let limit = self.config.limits.blob_bytes;
        let Some(blob) = self.blobs.get_mut(&id) else { return Ok(None) };
        let length = head.content_length().filter(|_| !is_decoded);
        let expected = blob.size;
        let too_long = |actual: u64| match expected {
            Some(expected) => Err(Error::from(ErrorKind::SizeMismatch { expected, actual })),
            None => Err(ErrorKind::LimitExceeded { limit: "blob_bytes", value: limit }.into()),
        };
        let most = expected.unwrap_or(limit);
        // From where the body is, where it ends, and the size of the whole as far as the response says.
        let (first, end) = if head.status == 206 {
            let stated = head.headers.text("content-range").map(ContentRange::parse);
            match (stated, asked) {
                (Some(Some(ContentRange::Part { range, size })), _) => {
                    let end = range.last.saturating_add(1);
                    if let Some(size) = size.filter(|size| expected.is_none() && *size > most) {
                        return too_long(size);
                    }
                    let is_other = size.is_some_and(|size| expected.is_some_and(|expected| size != expected));
                    if is_other || end > most {
                        return self.no_ranges(key, url, "a range of a blob of another size");
                    }
                    if blob.size.is_none() {
                        blob.size = size;
                    }
                    (range.first, Some(end))
                }
                // Hidden, not absent: what was asked for is what came, as the digest will tell.
                (None, Some(asked)) if hides_headers => (asked.first(), expected),
                _ => return self.no_ranges(key, url, "a 206 without a readable `Content-Range`"),
            }
        } else {
            if let Some(length) = length.filter(|length| *length > most) {
                return too_long(length);
            }
            if blob.size.is_none() {
                blob.size = length;
            }
            (0, length)
        };
        if first > blob.position {
            return self.no_ranges(key, url, "a range that begins behind what was asked for");
        }
        let skip = blob.position - first;
        if skip > 0 {
            if !blob.may_skip(skip) {
                let reason = "it sends no ranges, and the connection breaks too often";
                return Err(protocol(url, reason).into());
            }
            blob.skipped = blob.skipped.saturating_add(skip);
        }
        let Some(hasher) = blob.hasher.take() else { return Err(super::schedule::internal("no hasher")) };
        blob.began = blob.position;
        blob.whole = blob.bad_ranges >= MOST_BAD_RANGES;
        let store = Store { blob: id, offset: blob.position, skip, hasher };
        if let Some(round) = self.exchanges.get_mut(&key).and_then(Exchange::round_mut) {
            round.phase = Phase::Blob { end };
        }
        Ok(Some(store))
    }

    /// A range went wrong: once the whole is asked for instead, from the beginning.
    fn no_ranges(&mut self, key: Key, url: &Url, reason: &str) -> Result<Option<Store>> {
        let error = at_url(protocol(url, reason).into(), url);
        let Some(exchange) = self.exchanges.get(&key) else { return Ok(None) };
        let Owner::Blob(id) = exchange.owner else { return Ok(None) };
        let Some(blob) = self.blobs.get_mut(&id) else { return Ok(None) };
        if blob.whole || blob.position == 0 {
            return Err(error);
        }
        blob.whole = true;
        blob.bad_ranges += 1;
        self.rewind(id, error.clone());
        self.retry(key, error, None);
        Ok(None)
    }

    /// 416: the registry has nothing from there on.
    pub(super) fn unsatisfied(&mut self, key: Key, head: &Head<'_>) {
        let Some(exchange) = self.exchanges.get(&key) else { return };
        let Owner::Blob(id) = exchange.owner else { return };
        let Some(url) = exchange.round().map(|round| round.url.clone()) else { return };
        let whole = match head.headers.text("content-range").and_then(ContentRange::parse) {
            Some(ContentRange::Unsatisfied { size }) => Some(size),
            _ => None,
        };
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        if whole == Some(blob.position) && blob.size.is_none_or(|size| size == blob.position) {
            // All of it is there already.
            blob.size = whole;
            let is_hashed = blob.hasher.as_ref().is_some_and(|hasher| hasher.position() == blob.position);
            if !is_hashed {
                blob.position = blob.position.saturating_sub(1);
            }
            self.park(key);
            return if is_hashed { self.verify(id) } else { self.enqueue(key) };
        }
        let error = at_url(protocol(&url, "a range within the blob is refused").into(), &url);
        blob.whole = true;
        blob.bad_ranges += 1;
        self.rewind(id, error.clone());
        self.retry(key, error, None);
    }

    /// `len` more bytes are in the sink.
    pub(super) fn stored(&mut self, key: Key, len: u64) -> Flow {
        let now = self.now;
        let enough = self.config.retries.progress;
        let most = self.config.limits.blob_bytes;
        let Some(exchange) = self.exchanges.get_mut(&key) else { return Flow::Stop };
        let Owner::Blob(id) = exchange.owner else { return Flow::Stop };
        exchange.gain(len, enough);
        if let Some(round) = exchange.round_mut() {
            round.heard = now;
        }
        let Some(blob) = self.blobs.get_mut(&id) else { return Flow::Stop };
        blob.position = blob.position.saturating_add(len);
        blob.received = blob.received.saturating_add(len);
        let (digest, actual) = (blob.digest, blob.position);
        let error = match blob.size {
            Some(expected) if actual > expected => ErrorKind::SizeMismatch { expected, actual },
            None if actual > most => ErrorKind::LimitExceeded { limit: "blob_bytes", value: most },
            _ => return Flow::Continue,
        };
        let error = Error::from(error).in_blob(digest);
        self.park(key);
        self.close(key, Closing::Wrong(error));
        self.pump();
        Flow::Stop
    }

    /// A chunk of payload in a host without threads, which gave the hasher back at once.
    pub(super) fn payload(&mut self, key: Key, id: BlobId, chunk: &[u8]) -> Result<Flow, Misuse> {
        let Some(blob) = self.blobs.get_mut(&id) else { return Ok(Flow::Stop) };
        let position = blob.position;
        let Some(hasher) = &mut blob.hasher else {
            return Err(Misuse("payload without its hasher: give it back first, or use `handle_stored`"));
        };
        if hasher.position() != position {
            return Err(Misuse("a hasher that does not stand where the sink ends: replay first"));
        }
        hasher.update(chunk);
        Ok(self.stored(key, chunk.len() as u64))
    }

    /// A body of payload ended in order.
    pub(super) fn payload_ended(&mut self, key: Key, end: Option<u64>) {
        let Some(Owner::Blob(id)) = self.exchanges.get(&key).map(|exchange| exchange.owner) else { return };
        let is_fair = self.blobs.get(&id).is_some_and(|blob| end.is_none_or(|end| blob.position >= end));
        self.close(key, Closing::Ended { fair: is_fair });
    }

    /// A body of payload broke off.
    pub(super) fn payload_broken(&mut self, key: Key, error: Error) {
        self.close(key, Closing::Broken(error));
    }

    fn close(&mut self, key: Key, closing: Closing) {
        let Some(Owner::Blob(id)) = self.exchanges.get(&key).map(|exchange| exchange.owner) else { return };
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        blob.closing = Some(closing);
        if blob.hasher.is_some() {
            self.settle(id);
        }
    }

    /// A hasher came back.
    pub(super) fn hasher_back(&mut self, id: BlobId, hasher: Hasher) -> Result<(), Misuse> {
        let Some(blob) = self.blobs.get_mut(&id) else { return Ok(()) };
        if blob.hasher.is_some() || !blob.answered || blob.document {
            return Err(Misuse("a hasher that was not handed out"));
        }
        blob.hasher = Some(hasher);
        if blob.closing.is_some() {
            self.settle(id);
        }
        Ok(())
    }

    /// A round of payload is over and its hasher is at home: what now?
    fn settle(&mut self, id: BlobId) {
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        let (Some(closing), Some(hasher), Some(key)) = (blob.closing.take(), &blob.hasher, blob.exchange)
        else {
            return;
        };
        let hashed = hasher.position();
        let before = blob.position;
        match closing {
            Closing::Wrong(error) => return self.wrong(id, error),
            // After an end in order the hasher has seen all that was stored.
            Closing::Ended { .. } => blob.position = hashed,
            Closing::Broken(_) => blob.position = before.max(hashed),
        }
        let position = blob.position;
        match (blob.size, closing) {
            (Some(size), _) if position > size => {
                let error = ErrorKind::SizeMismatch { expected: size, actual: position };
                let error = Error::from(error).in_blob(blob.digest);
                self.wrong(id, error);
            }
            (Some(size), _) if position == size && hashed == size => self.verify(id),
            (None, Closing::Ended { .. }) => {
                blob.size = Some(position);
                self.verify(id);
            }
            (Some(size), closing) if position == size && size > 0 => {
                // All is there, but not hashed: as after a restart, the last byte is fetched again and the rest replayed.
                blob.position = size - 1;
                self.go_on(key, closing);
            }
            // A part that the registry chose to make shorter is no failure, if it is worth a request.
            (_, Closing::Ended { fair: true }) if position.saturating_sub(blob.began) >= FAIR_PART => {
                if let Some(exchange) = self.exchanges.get_mut(&key) {
                    exchange.trail.clear();
                }
                self.enqueue(key);
            }
            (_, closing) => self.go_on(key, closing),
        }
    }

    /// Asks for the rest after a pause.
    fn go_on(&mut self, key: Key, closing: Closing) {
        let error = match closing {
            Closing::Broken(error) | Closing::Wrong(error) => error,
            Closing::Ended { .. } => {
                let url = self.current_url(key);
                let host = url.as_ref().map_or_else(|_| String::new(), host);
                let detail = Some("the body ended before the blob did".to_string());
                ErrorKind::ConnectionFailed { host, reason: "ended", detail }.into()
            }
        };
        self.retry(key, error, None);
    }

    /// All bytes are there and hashed.
    pub(super) fn verify(&mut self, id: BlobId) {
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        let Some(hasher) = blob.hasher.take() else { return };
        let size = hasher.position();
        let (expected, actual) = (blob.digest, hasher.finish());
        if actual != expected {
            let error = Error::from(ErrorKind::DigestMismatch { expected, actual }).in_blob(expected);
            return self.wrong(id, error);
        }
        self.event(Event::BlobVerified { blob: id, digest: expected, size });
        self.blob_done(id, None, size);
    }

    /// The bytes are not those that were promised: once more from the beginning, then it is final.
    fn wrong(&mut self, id: BlobId, error: Error) {
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        let Some(key) = blob.exchange else {
            // The sink was full from an earlier process, and wrong.
            blob.strikes += 1;
            self.rewind(id, error);
            return self.next_source(id);
        };
        blob.strikes += 1;
        if blob.strikes > 1 {
            return self.exchange_failed(key, error);
        }
        self.rewind(id, error.clone());
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            exchange.trail.clear();
        }
        self.enqueue(key);
    }

    /// What the sink has is void.
    pub(super) fn rewind(&mut self, id: BlobId, reason: Error) {
        let hashes = self.config.hashes.clone();
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        blob.hasher = Some(Hasher::new(hashes.as_ref(), blob.digest.algorithm()));
        if blob.descriptor.size == 0 {
            blob.size = None;
        }
        blob.position = 0;
        self.event(Event::BlobRewound { blob: id, to: 0, reason });
        self.sources_rewound(id);
    }
}
