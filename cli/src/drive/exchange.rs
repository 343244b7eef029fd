//! One HTTP exchange: a task that sends the request, reads the response, and hashes and writes what is to be stored,
//! so that no payload passes through the machine's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use wharfie_core::client::{BodyPlan, ExchangeId, Failure, Flow, Request, Store};

use super::failure::Trouble;
use super::machine::Input;
use super::network::Network;
use super::outgoing::Outgoing;
use super::sink::{Refusal, Sink, Writing};
use super::trace::Trace;

/// The machine is told of stored bytes at least this often: by bytes, and by time.
const REPORT_BYTES: u64 = 512 << 10;
const REPORT_TIME: Duration = Duration::from_millis(100);
/// The machine is told at least this often that a body is alive whose bytes are only skipped.
const SKIP_TIME: Duration = Duration::from_secs(1);
/// A body that nobody wants is read to its end, to keep the connection, if it is no longer than this and comes soon.
const DRAIN_BYTES: u64 = 64 << 10;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// What the task and the machine's thread both see of an exchange.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Whether it is at its sink, and so not reading.
    pub(super) busy: AtomicBool,
}

/// What the machine's thread answers to a head.
pub(super) enum Plan {
    /// As the machine says.
    Body(BodyPlan),
    /// The machine says `Store`, and this is the sink.
    Store(Store, Arc<Sink>),
}

/// One exchange, to be run as a task.
pub(super) struct Exchange {
    pub(super) id: ExchangeId,
    pub(super) request: Request,
    /// What it sends of a blob.
    pub(super) source: Option<Outgoing>,
    pub(super) network: Arc<Network>,
    pub(super) inbox: UnboundedSender<Input>,
    pub(super) live: Arc<Live>,
    pub(super) trace: Trace,
}

/// How the reading of a body ended.
enum End {
    /// As HTTP says that it ends.
    Whole,
    /// The transport gave up.
    Broken(Trouble),
    /// The disk gave up.
    Refused(Refusal),
    /// The machine gave up.
    Stopped,
}

impl Exchange {
    /// Runs it until it ends, or `stop` resolves.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        self.trace.request(&self.request);
        let source = self.source.take();
        let sent = tokio::select! {
            biased;
            _ = &mut stop => return,
            sent = self.network.send(&self.request, source) => sent,
        };
        let response = match sent {
            Ok(response) => response,
            Err(trouble) => return self.fail(&trouble),
        };
        self.trace.head(&self.request, &response);
        let (reply, plan) = oneshot::channel();
        self.tell(Input::Head {
            id: self.id,
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            reply,
        });
        match plan.await {
            Ok(Plan::Store(store, sink)) => self.store(response, store, &sink, stop).await,
            Ok(Plan::Body(BodyPlan::Feed)) => self.feed(response, stop).await,
            Ok(Plan::Body(_)) => discard(response).await,
            Err(_) => {}
        }
    }

    fn tell(&self, input: Input) {
        // A machine that is gone has no more questions.
        let _ = self.inbox.send(input);
    }

    fn fail(&self, trouble: &Trouble) {
        self.trace.failure(&self.request, &trouble.detail);
        self.tell(Input::Failed { id: self.id, failure: trouble.failure, detail: trouble.detail.clone() });
    }

    async fn feed(&self, mut response: reqwest::Response, mut stop: oneshot::Receiver<()>) {
        let mut bytes = 0;
        loop {
            let chunk = tokio::select! {
                biased;
                _ = &mut stop => return,
                chunk = response.chunk() => chunk,
            };
            match chunk {
                Ok(Some(chunk)) => {
                    bytes += chunk.len() as u64;
                    let (reply, flow) = oneshot::channel();
                    self.tell(Input::Body { id: self.id, chunk, reply });
                    if flow.await != Ok(Flow::Continue) {
                        return;
                    }
                }
                Ok(None) => {
                    self.trace.end(&self.request, bytes);
                    return self.tell(Input::End { id: self.id });
                }
                Err(error) => return self.fail(&Trouble::of(error)),
            }
        }
    }

    async fn store(
        &self,
        mut response: reqwest::Response,
        store: Store,
        sink: &Arc<Sink>,
        mut stop: oneshot::Receiver<()>,
    ) {
        let writing = Writing::new(self.id, sink.clone(), store);
        let mut body = Body { exchange: self, writing, pending: 0, reported: Instant::now() };
        let relay = sink.relayed();
        let mut end = self.replay(&mut body.writing, &mut stop).await.err();
        let end = loop {
            if let Some(end) = end.take() {
                break end;
            }
            if let Some(relay) = relay.as_ref().filter(|relay| relay.is_full()) {
                // Not a stall of the registry's.
                self.live.busy.store(true, Ordering::Relaxed);
                tokio::select! {
                    biased;
                    _ = &mut stop => break End::Stopped,
                    () = relay.has_room() => {}
                }
                self.live.busy.store(false, Ordering::Relaxed);
            }
            let chunk = tokio::select! {
                biased;
                _ = &mut stop => break End::Stopped,
                chunk = response.chunk() => chunk,
            };
            match chunk {
                Ok(Some(chunk)) => {
                    if let Err(refusal) = body.keep(chunk) {
                        break End::Refused(refusal);
                    }
                    if body.writing.is_too_long() {
                        // The machine knows what to do about it; until it says so, nothing more is written.
                        body.report();
                        let _ = (&mut stop).await;
                        break End::Stopped;
                    }
                }
                Ok(None) => break End::Whole,
                Err(error) => break End::Broken(Trouble::of(error)),
            }
        };
        body.report();
        let stored = body.writing.kept();
        let (blob, hasher) = body.writing.finish();
        self.tell(Input::Hashed { blob, hasher });
        match end {
            End::Whole => {
                self.trace.end(&self.request, stored);
                self.tell(Input::End { id: self.id });
            }
            End::Broken(trouble) => self.fail(&trouble),
            End::Refused(Refusal::Failed(failure, detail)) => {
                self.tell(Input::SinkFailed { blob, failure, detail });
            }
            End::Refused(Refusal::Superseded) => self.tell(Input::Failed {
                id: self.id,
                failure: Failure::Broken,
                detail: "another exchange took its place".to_owned(),
            }),
            End::Stopped => {}
        }
    }

    /// Takes over the sink, and gives the hasher what it has not seen of it.
    async fn replay(&self, writing: &mut Writing, stop: &mut oneshot::Receiver<()>) -> Result<(), End> {
        writing.begin().map_err(End::Refused)?;
        if !writing.is_behind() {
            return Ok(());
        }
        self.tell(Input::Reading { id: self.id, reading: false });
        while writing.is_behind() {
            writing.replay().map_err(End::Refused)?;
            tokio::select! {
                biased;
                _ = &mut *stop => return Err(End::Stopped),
                () = tokio::task::yield_now() => {}
            }
        }
        self.tell(Input::Reading { id: self.id, reading: true });
        Ok(())
    }
}

/// A body on its way into a sink.
struct Body<'a> {
    exchange: &'a Exchange,
    writing: Writing,
    /// Stored and not reported yet.
    pending: u64,
    reported: Instant,
}

impl Body<'_> {
    fn keep(&mut self, chunk: Bytes) -> Result<(), Refusal> {
        let live = &self.exchange.live;
        live.busy.store(true, Ordering::Relaxed);
        let kept = self.writing.keep(chunk);
        live.busy.store(false, Ordering::Relaxed);
        let kept = kept?;
        self.pending += kept;
        if kept == 0 {
            // Nothing to keep, but the body is alive: the stall clock must hear of it.
            if self.reported.elapsed() >= SKIP_TIME {
                self.exchange.tell(Input::Stored { id: self.exchange.id, len: 0 });
                self.reported = Instant::now();
            }
        } else if self.pending >= REPORT_BYTES || self.reported.elapsed() >= REPORT_TIME {
            self.report();
        }
        Ok(())
    }

    fn report(&mut self) {
        if self.pending > 0 {
            self.exchange.tell(Input::Stored { id: self.exchange.id, len: self.pending });
            self.pending = 0;
            self.reported = Instant::now();
        }
    }
}

/// Reads what is small and near, so that the connection can be used again.
async fn discard(mut response: reqwest::Response) {
    if response.content_length().is_none_or(|len| len > DRAIN_BYTES) {
        return;
    }
    let mut left = DRAIN_BYTES;
    let drain = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            left = left.saturating_sub(chunk.len() as u64);
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
}

/// The headers of a response as the machine takes them.
pub(super) fn fields(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}
