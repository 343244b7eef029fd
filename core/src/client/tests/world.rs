//! A driver with a virtual clock, and all that can go wrong between it and a registry.

use std::borrow::ToOwned;
use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::registry::{Registry, Reply};
use crate::client::{
    BlobId, BodyPlan, Client, Credentials, Event, ExchangeId, Failure, Flow, JobId, Outcome, Output, Request,
    RequestBody, SinkFailure, Warning,
};
use crate::digest::{Digest, Hasher};
use crate::error::Error;
use crate::http::{Head, Headers};
use crate::image::Descriptor;
use crate::time::Millis;

/// Numbers from a seed (xorshift64*).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end.max(1)
    }

    pub(super) fn once_in(&mut self, times: u64) -> bool {
        times > 0 && self.below(times) == 0
    }
}

/// What happens to one response.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    None,
    /// No connection.
    Connect(Failure),
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// As [`Fault::Cut`], but the end looks like one in order.
    Short(usize),
    /// Nothing more comes after so many bytes.
    Stall(usize),
    /// No response comes at all.
    Silence,
    /// One byte is another.
    Flip(usize),
    /// More bytes than the blob has.
    Long,
    /// Another range than the one that was asked for.
    WrongRange,
    /// A status of trouble.
    Status(u16),
    /// The connection breaks after so many bytes of the request's body.
    Sent(usize),
    /// The whole request arrives, and its response does not.
    Lost,
}

struct Flight {
    id: ExchangeId,
    request: Request,
    reply: Option<Reply>,
    fault: Fault,
    at: usize,
    /// The bytes that the machine wants to be dropped.
    skip: u64,
    plan: Plan,
}

enum Plan {
    Head,
    Feed,
    Store { blob: BlobId, hasher: Option<Hasher>, sink: usize },
}

/// Answers instead of the registry, or leaves it to that.
pub(super) type Canned = Box<dyn FnMut(&Request) -> Option<Reply>>;

/// How the driver works.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// As a host without threads: the hasher goes back at once, and payload to `handle_body`.
    pub(super) inline: bool,
    /// The largest chunk.
    pub(super) chunk: usize,
    /// One response in so many is hit by a fault; 0 for none.
    pub(super) fault_every: u64,
    /// Faults after which the world is good.
    pub(super) most_faults: u32,
}

impl Default for Style {
    fn default() -> Self {
        Style { inline: false, chunk: 1000, fault_every: 0, most_faults: 0 }
    }
}

pub(super) struct World {
    pub(super) client: Client,
    pub(super) registry: Registry,
    pub(super) now: u64,
    pub(super) style: Style,
    dice: Dice,
    flights: Vec<Flight>,
    /// Hashers on their way back.
    hashers: VecDeque<(BlobId, Hasher)>,
    /// Exchanges that are over, for late calls.
    dead: Vec<ExchangeId>,
    /// Faults to come, in order, for tests of one case: applied to responses whose URL holds the text.
    pub(super) script: VecDeque<(&'static str, Fault)>,
    /// Answers to `NeedCredentials`, in order; then `None`.
    pub(super) wallet: VecDeque<Credentials>,
    pub(super) asked: u32,
    /// What the host has already: whole documents and blobs, or parts of blobs by digest.
    pub(super) have: BTreeMap<Digest, Vec<u8>>,
    pub(super) partial: BTreeMap<Digest, Vec<u8>>,
    sinks: BTreeMap<BlobId, Vec<u8>>,
    pub(super) store: BTreeMap<Digest, Vec<u8>>,
    pub(super) finished: BTreeMap<JobId, Result<Outcome, Error>>,
    pub(super) events: Vec<Event>,
    pub(super) warnings: Vec<Warning>,
    pub(super) transcript: Vec<String>,
    pub(super) rewinds: u32,
    pub(super) requests: Vec<Request>,
    needs: BTreeMap<BlobId, Descriptor>,
    last_deadline: Option<(Millis, usize)>,
    faults: u32,
    reached: BTreeSet<String>,
    pub(super) steps: u64,
    pub(super) sink_fails_at: Option<usize>,
    /// Blobs that may be sent.
    offered: BTreeMap<BlobId, Digest>,
    /// Overrides the registry for URLs that hold the text.
    pub(super) canned: Vec<(&'static str, Canned)>,
}

impl World {
    pub(super) fn new(client: Client, registry: Registry, seed: u64, style: Style) -> World {
        World {
            client,
            registry,
            now: 0,
            style,
            dice: Dice::new(seed),
            flights: Vec::new(),
            hashers: VecDeque::new(),
            dead: Vec::new(),
            script: VecDeque::new(),
            wallet: VecDeque::new(),
            asked: 0,
            have: BTreeMap::new(),
            partial: BTreeMap::new(),
            sinks: BTreeMap::new(),
            store: BTreeMap::new(),
            finished: BTreeMap::new(),
            events: Vec::new(),
            warnings: Vec::new(),
            transcript: Vec::new(),
            rewinds: 0,
            requests: Vec::new(),
            needs: BTreeMap::new(),
            last_deadline: None,
            faults: 0,
            reached: BTreeSet::new(),
            steps: 0,
            sink_fails_at: None,
            offered: BTreeMap::new(),
            canned: Vec::new(),
        }
    }

    pub(super) fn millis(&self) -> Millis {
        Millis(self.now)
    }

    fn note(&mut self, line: impl core::fmt::Display) {
        self.transcript.push(format!("{} {line}", self.now));
    }

    /// Runs until nothing is left to wait for.
    pub(super) fn run(&mut self) {
        while self.turn() {}
        assert!(self.flights.is_empty(), "silent flights without a deadline");
    }

    /// One thing happens; `false` if there is nothing to wait for.
    pub(super) fn turn(&mut self) -> bool {
        let wait = self.drain();
        self.steps += 1;
        assert!(self.steps < 200_000, "no end: {:#?}", &self.transcript[self.transcript.len() - 40..]);
        let ready: Vec<usize> = (0..self.flights.len()).filter(|at| self.is_ready(*at)).collect();
        let choices = ready.len() as u64 + u64::from(!self.hashers.is_empty());
        if choices > 0 {
            // Time goes on a little, whatever happens.
            self.now += self.dice.below(20);
            if self.dice.once_in(50) {
                // Early, late, twice: harmless.
                let now = self.millis();
                self.client.handle_timeout(now);
                self.client.handle_timeout(now);
                return true;
            }
            let choice = self.dice.below(choices) as usize;
            match ready.get(choice) {
                Some(at) => self.step(*at),
                None => self.return_hasher(),
            }
            return true;
        }
        let Some(deadline) = wait else { return false };
        let mark = self.transcript.len();
        if let Some((last, at)) = self.last_deadline {
            assert!(deadline > last || at != mark, "the deadline {deadline:?} came twice");
        }
        self.last_deadline = Some((deadline, mark));
        self.now = self.now.max(deadline.0);
        self.client.handle_timeout(self.millis());
        true
    }

    fn drain(&mut self) -> Option<Millis> {
        loop {
            match self.client.poll_output() {
                Output::Wait(until) => return until,
                Output::Start { id, request } => self.launch(id, request),
                Output::Abort { id } => {
                    self.note(format!("abort {id:?}"));
                    let at = self.flights.iter().position(|flight| flight.id == id);
                    if let Some(at) = at {
                        self.end_flight(at);
                    }
                }
                Output::Event(event) => self.event(event),
            }
        }
    }

    fn launch(&mut self, id: ExchangeId, request: Request) {
        let range = request.headers.one("range").unwrap_or_default().to_owned();
        self.note(format!("start {id:?} {} {} {range}", request.method, request.url));
        self.requests.push(request.clone());
        let url = request.url.to_string();
        let mut fault = Fault::None;
        if self.script.front().is_some_and(|(text, _)| url.contains(text)) {
            fault = self.script.pop_front().unwrap().1;
        }
        let is_scripted = fault != Fault::None;
        let mut reply = None;
        let body = self.body(&request);
        // What breaks a request has to be known before the registry sees it.
        if fault == Fault::None
            && self.registry.intake.is_some()
            && !request.method.is_safe()
            && self.reached.contains(request.url.host())
            && self.faults < self.style.most_faults
            && self.dice.once_in(self.style.fault_every)
        {
            self.faults += 1;
            fault = match self.dice.below(3) {
                0 => Fault::Lost,
                _ => Fault::Sent(self.dice.below(body.len() as u64 + 1) as usize),
            };
            self.note(format!("fault {fault:?}"));
        }
        if matches!(fault, Fault::Connect(_) | Fault::Sent(_)) {
            if let Fault::Sent(end) = fault {
                let sent = &body[..end.min(body.len())];
                self.registry.broken(&request, sent);
            }
            reply = Some(Reply::new(200, "nobody sees this"));
        }
        for (text, canned) in &mut self.canned {
            if reply.is_none() && url.contains(*text) {
                reply = canned(&request);
            }
        }
        let reply = reply.unwrap_or_else(|| self.registry.answer(self.now, &request, &body));
        if fault == Fault::None
            && self.faults < self.style.most_faults
            && self.dice.once_in(self.style.fault_every)
        {
            self.faults += 1;
            fault = self.random_fault(&reply, &request);
            // A host that never answered is given up sooner: that has tests of its own.
            let is_early = matches!(fault, Fault::Connect(_) | Fault::Silence)
                && !self.reached.contains(request.url.host());
            if is_early {
                fault = Fault::Status(503);
            }
            self.note(format!("fault {fault:?}"));
        }
        let mut reply = reply;
        match &fault {
            Fault::Flip(at) => {
                if let Some(byte) = reply.body.get_mut(*at) {
                    *byte ^= 1;
                }
            }
            Fault::Long => {
                reply.body.extend_from_slice(b"more");
                reply.headers.retain(|(name, _)| name != "Content-Length");
            }
            Fault::WrongRange if reply.status == 206 => {
                reply = reply.with("Content-Range", "bytes 1000000-1000001/5000000");
            }
            Fault::Status(status) => reply = Reply::new(*status, "trouble"),
            _ => {}
        }
        // Not every server says how long its answer is; but a fault that a test asks for is as it was asked for.
        if self.dice.once_in(4) && !is_scripted {
            reply.headers.retain(|(name, _)| name != "Content-Length");
        }
        self.flights.push(Flight {
            id,
            request,
            reply: Some(reply),
            fault,
            at: 0,
            skip: 0,
            plan: Plan::Head,
        });
    }

    /// The bytes of a request's body; of a source, all that the host will ever have of it.
    fn body(&self, request: &Request) -> Vec<u8> {
        match &request.body {
            RequestBody::Empty => Vec::new(),
            RequestBody::Bytes(bytes) => bytes.clone(),
            RequestBody::Source { blob, offset, len } => {
                let digest = self.offered.get(blob).expect("a source that nobody has named");
                let whole = self.have.get(digest).or_else(|| self.registry.blobs_of_the_source().get(digest));
                let whole = whole.expect("a source that nobody has");
                whole[*offset as usize..(*offset + *len) as usize].to_vec()
            }
        }
    }

    fn random_fault(&mut self, reply: &Reply, request: &Request) -> Fault {
        let len = reply.body.len() as u64;
        let is_blob = request.url.path().contains("/blobs/") || request.url.path().contains("/store/");
        match self.dice.below(12) {
            0 => Fault::Connect(Failure::Refused),
            1 => Fault::Connect(Failure::Unknown),
            2 | 3 => Fault::Cut(self.dice.below(len + 1) as usize),
            4 => Fault::Stall(self.dice.below(len + 1) as usize),
            5 => Fault::Silence,
            6 if is_blob && reply.status < 300 => Fault::Short(self.dice.below(len) as usize),
            7 if is_blob && reply.status < 300 => Fault::WrongRange,
            8 => Fault::Status(503),
            9 => Fault::Status(429),
            10 => Fault::Status(500),
            _ => Fault::Cut(0),
        }
    }

    fn is_ready(&self, at: usize) -> bool {
        let flight = &self.flights[at];
        match &flight.fault {
            Fault::Silence => false,
            Fault::Stall(end) => matches!(flight.plan, Plan::Head) || flight.at < *end,
            _ => true,
        }
    }

    /// Gives a flight up: its hasher, if it has one, comes back later.
    fn end_flight(&mut self, at: usize) {
        let flight = self.flights.remove(at);
        self.dead.push(flight.id);
        if let Plan::Store { blob, hasher: Some(hasher), .. } = flight.plan {
            self.hashers.push_back((blob, hasher));
        }
    }

    fn return_hasher(&mut self) {
        let at = self.dice.below(self.hashers.len() as u64) as usize;
        let (blob, hasher) = self.hashers.remove(at).unwrap();
        self.note(format!("hashed {blob:?} {}", hasher.position()));
        self.client.handle_hashed(self.millis(), blob, hasher).unwrap();
        self.late_calls();
    }

    /// Calls for exchanges that are over are ignored.
    fn late_calls(&mut self) {
        if self.dead.is_empty() || !self.dice.once_in(10) {
            return;
        }
        let id = self.dead[self.dice.below(self.dead.len() as u64) as usize];
        let now = self.millis();
        assert_eq!(self.client.handle_body(now, id, b"late"), Ok(Flow::Stop));
        assert_eq!(self.client.handle_stored(now, id, 4), Ok(Flow::Stop));
        assert_eq!(self.client.handle_end(now, id), Ok(()));
        assert_eq!(self.client.handle_failure(now, id, Failure::Broken, "late"), Ok(()));
        assert!(matches!(self.client.handle_head(now, id, Head::default()), Ok(BodyPlan::Discard)));
    }

    fn step(&mut self, at: usize) {
        let now = self.millis();
        let flight = &mut self.flights[at];
        let id = flight.id;
        let failure = match &flight.fault {
            Fault::Connect(failure) => Some(*failure),
            Fault::Sent(_) | Fault::Lost => Some(Failure::Broken),
            _ => None,
        };
        if let (Some(failure), Plan::Head) = (failure, &flight.plan) {
            self.end_flight(at);
            self.note(format!("failed {id:?} {failure:?}"));
            return self.client.handle_failure(now, id, failure, "no").unwrap();
        }
        if matches!(flight.plan, Plan::Head) {
            return self.deliver_head(at);
        }
        let reply = flight.reply.as_ref().unwrap();
        let end = match flight.fault {
            Fault::Cut(end) | Fault::Short(end) | Fault::Stall(end) => end.min(reply.body.len()),
            _ => reply.body.len(),
        };
        if flight.at >= end {
            let is_cut = matches!(flight.fault, Fault::Cut(_));
            return self.deliver_end(at, is_cut);
        }
        let most = self.dice.below(self.style.chunk as u64) as usize + 1;
        let flight = &mut self.flights[at];
        let chunk = reply_chunk(flight, end, most);
        self.deliver_chunk(at, &chunk);
    }

    fn deliver_head(&mut self, at: usize) {
        let now = self.millis();
        let inline = self.style.inline;
        let flight = &mut self.flights[at];
        let id = flight.id;
        let reply = flight.reply.clone().unwrap();
        self.reached.insert(flight.request.url.host().to_owned());
        let fields: Vec<(&str, &[u8])> =
            reply.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let plan = self.client.handle_head(now, id, Head::new(reply.status, Headers::new(&fields))).unwrap();
        self.transcript.push(format!("{} head {id:?} {} {plan:?}", self.now, reply.status));
        match plan {
            BodyPlan::Discard => self.end_flight(at),
            BodyPlan::Feed => self.flights[at].plan = Plan::Feed,
            BodyPlan::Store(mut store) => {
                let sink = self.sinks.get_mut(&store.blob).expect("a sink for every answered need");
                assert!(store.offset <= sink.len() as u64);
                sink.truncate(store.offset as usize);
                let from = store.hasher.position() as usize;
                assert!(from <= sink.len());
                store.hasher.update(&sink[from..]);
                let sink = sink.len();
                let flight = &mut self.flights[at];
                flight.skip = store.skip;
                let blob = store.blob;
                if inline {
                    flight.plan = Plan::Store { blob, hasher: None, sink };
                    self.client.handle_hashed(now, blob, store.hasher).unwrap();
                } else {
                    flight.plan = Plan::Store { blob, hasher: Some(store.hasher), sink };
                }
            }
        }
        self.late_calls();
    }

    fn deliver_chunk(&mut self, at: usize, chunk: &[u8]) {
        let now = self.millis();
        let sink_fails_at = self.sink_fails_at;
        let flight = &mut self.flights[at];
        let id = flight.id;
        let flow = match &mut flight.plan {
            Plan::Feed => self.client.handle_body(now, id, chunk).unwrap(),
            Plan::Store { blob, hasher, sink } => {
                let skipped = flight.skip.min(chunk.len() as u64);
                flight.skip -= skipped;
                let kept = &chunk[skipped as usize..];
                if kept.is_empty() {
                    // Nothing to keep, but the body is alive.
                    assert_eq!(self.client.handle_stored(now, id, 0), Ok(Flow::Continue));
                    return;
                }
                let bytes = self.sinks.get_mut(blob).unwrap();
                assert_eq!(bytes.len(), *sink, "somebody else wrote into this sink");
                if sink_fails_at.is_some_and(|most| bytes.len() + kept.len() > most) {
                    let blob = *blob;
                    let failure = SinkFailure::NoSpace { needed: 7 };
                    return self.client.handle_sink_failure(now, blob, failure, "full").unwrap();
                }
                bytes.extend_from_slice(kept);
                *sink = bytes.len();
                match hasher {
                    Some(hasher) => {
                        hasher.update(kept);
                        self.client.handle_stored(now, id, kept.len() as u64).unwrap()
                    }
                    None => self.client.handle_body(now, id, kept).unwrap(),
                }
            }
            Plan::Head => unreachable!(),
        };
        if flow == Flow::Stop {
            self.note(format!("stop {id:?}"));
            self.end_flight(at);
        }
    }

    fn deliver_end(&mut self, at: usize, is_cut: bool) {
        let now = self.millis();
        let id = self.flights[at].id;
        self.note(format!("end {id:?} cut {is_cut}"));
        // The hasher may come back before the end, or after it.
        let returns_first = self.dice.once_in(2);
        let returned = match &mut self.flights[at].plan {
            Plan::Store { blob, hasher, .. } => {
                hasher.take_if(|_| returns_first).map(|hasher| (*blob, hasher))
            }
            _ => None,
        };
        if let Some((blob, hasher)) = returned {
            self.client.handle_hashed(now, blob, hasher).unwrap();
        }
        // Taken off the list first: what follows may start others.
        self.end_flight(at);
        if is_cut {
            self.client.handle_failure(now, id, Failure::Broken, "cut").unwrap();
        } else {
            self.client.handle_end(now, id).unwrap();
        }
    }

    fn event(&mut self, event: Event) {
        let now = self.millis();
        if let Event::Document { .. } = event {
            self.note("document");
        } else {
            self.note(format!("{event:?}"));
        }
        match &event {
            Event::Need { blob, descriptor, document, .. } => {
                self.needs.insert(*blob, descriptor.clone());
                self.offered.insert(*blob, descriptor.digest);
                let digest = descriptor.digest;
                match self.have.get(&digest).cloned() {
                    Some(bytes) if *document => {
                        self.client.supply(now, *blob, &bytes).unwrap();
                        if Digest::sha256(&bytes) == digest {
                            self.store.insert(digest, bytes);
                        }
                    }
                    Some(bytes) => {
                        self.store.insert(digest, bytes);
                        self.client.skip(now, *blob).unwrap();
                    }
                    None => {
                        let sink = self.partial.get(&digest).cloned().unwrap_or_default();
                        let have = sink.len() as u64;
                        self.sinks.insert(*blob, sink);
                        self.client.fetch(now, *blob, have, None).unwrap();
                    }
                }
                assert!(
                    self.client.fetch(now, *blob, 0, None).is_err() || self.client.progress(*blob).is_none()
                );
            }
            Event::Source { blob, descriptor, .. } => {
                self.offered.insert(*blob, descriptor.digest);
            }
            Event::Document { descriptor, bytes, .. } => {
                assert_eq!(descriptor.size, bytes.len() as u64);
                self.store.insert(descriptor.digest, bytes.to_vec());
            }
            Event::BlobRewound { blob, to, .. } => {
                self.rewinds += 1;
                self.sinks.get_mut(blob).unwrap().truncate(*to as usize);
                for flight in &mut self.flights {
                    assert!(!matches!(&flight.plan, Plan::Store { blob: other, .. } if other == blob));
                }
            }
            Event::BlobVerified { blob, digest, size } => {
                let bytes = self.sinks.remove(blob).unwrap();
                assert_eq!(
                    (bytes.len() as u64, Digest::sha256(&bytes)),
                    (*size, *digest),
                    "wrong bytes verified"
                );
                self.store.insert(*digest, bytes);
            }
            Event::NeedCredentials { id, .. } => {
                self.asked += 1;
                let found = self.wallet.pop_front();
                self.client.credentials(now, *id, found).unwrap();
                assert!(self.client.credentials(now, *id, None).is_err());
            }
            Event::Warning { warning, .. } => self.warnings.push(warning.clone()),
            Event::Finished(job, result) => {
                assert!(self.finished.insert(*job, result.clone()).is_none(), "finished twice");
            }
            _ => {}
        }
        self.events.push(event);
    }
}

fn reply_chunk(flight: &mut Flight, end: usize, most: usize) -> Vec<u8> {
    let _ = &flight.request;
    let to = (flight.at + most).min(end);
    let chunk = flight.reply.as_ref().unwrap().body[flight.at..to].to_vec();
    flight.at = to;
    chunk
}
