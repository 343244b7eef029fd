//! The content store, and the ways of blobs into it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use napi::bindgen_prelude::{Buffer, Either3, Env, Null, PromiseRaw};
use napi_derive::napi;
use serde_json::json;
use wharfie::image::spoken::io_failed;
use wharfie::image::{self, Claimed, Refused, Writing};
use wharfie::store;
use wharfie_core::client::SinkFailure;
use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;
use wharfie_core::{Digest, Limits, Reference};

use crate::apart::{Deferred, apart, begin};
use crate::error::{misused, thrown};
use crate::session::Shared;

/// `wharfie::store::Store`.
#[napi]
pub struct Store {
    pub(crate) store: store::Store,
    /// Goes with it, where there is no other place.
    folder: Option<tempfile::TempDir>,
}

fn temporary() -> Result<Store> {
    let folder = tempfile::tempdir().map_err(|error| io_failed("opening the store", &error))?;
    Ok(Store { store: store::Store::open(folder.path())?, folder: Some(folder) })
}

fn opened(dir: Option<PathBuf>) -> Result<Store> {
    let is_given = dir.is_some();
    let found = match dir {
        Some(dir) => store::Store::open(dir),
        None => store::Store::default_dir().and_then(store::Store::open),
    };
    match found {
        // Who has no place for one (a service without a home) gets one for this time only.
        Err(error) if !is_given && matches!(error.code(), "permission_denied" | "invalid_option") => {
            temporary()
        }
        Ok(found) if !is_given && found.is_read_only() => temporary(),
        found => Ok(Store { store: found?, folder: None }),
    }
}

#[napi]
impl Store {
    /// The store in this directory, or that of the command line.
    #[napi]
    pub fn open(env: &Env, dir: Option<String>) -> napi::Result<PromiseRaw<'_, Store>> {
        apart(env, move || opened(dir.map(PathBuf::from)), |store| store)
    }

    /// One that goes when nobody has it any more.
    #[napi]
    pub fn temporary(env: &Env) -> napi::Result<PromiseRaw<'_, Store>> {
        apart(env, temporary, |store| store)
    }

    /// What is in a place that is only for this time goes with it.
    #[napi]
    pub fn close(&mut self) {
        self.folder = None;
    }

    #[napi]
    pub fn blob_path(&self, digest: String) -> napi::Result<String> {
        let digest: Digest = digest.parse().map_err(thrown)?;
        Ok(self.store.blob_path(&digest).display().to_string())
    }

    /// The size of a blob that is there.
    #[napi]
    pub fn has(&self, digest: String) -> napi::Result<Option<i64>> {
        let digest: Digest = digest.parse().map_err(thrown)?;
        Ok(self.store.has(&digest).map(|size| size as i64))
    }

    /// The size of a blob that is there, a way into it, or nothing while somebody else fetches it.
    #[napi]
    pub fn claim<'e>(
        &self,
        env: &'e Env,
        digest: String,
        size: i64,
    ) -> napi::Result<PromiseRaw<'e, Either3<i64, Intake, Null>>> {
        let store = self.store.clone();
        let claim = move || image::Intake::claim(&store, &digest.parse()?, size as u64);
        apart(env, claim, |claimed| match claimed {
            Claimed::Present(size) => Either3::A(size as i64),
            Claimed::Mine(intake) => Either3::B(Intake { intake }),
            Claimed::Busy => Either3::C(Null),
        })
    }

    /// A document that is there and right.
    #[napi]
    pub fn read_document<'e>(
        &self,
        env: &'e Env,
        digest: String,
    ) -> napi::Result<PromiseRaw<'e, Option<Buffer>>> {
        let store = self.store.clone();
        // One that has rotted is fetched again.
        let read = move || {
            let digest: Digest = digest.parse()?;
            Ok(store.read_document(&digest, Limits::default().document_bytes).ok().flatten())
        };
        apart(env, read, |found| found.map(Buffer::from))
    }

    #[napi]
    pub fn put_document<'e>(
        &self,
        env: &'e Env,
        digest: String,
        document: &[u8],
    ) -> napi::Result<PromiseRaw<'e, ()>> {
        let (store, document) = (self.store.clone(), document.to_vec());
        apart(env, move || store.put_document(&digest.parse()?, &document), |()| ())
    }

    /// Lists an image of which all is there.
    #[napi]
    pub fn tag<'e>(&self, env: &'e Env, reference: String, top: String) -> napi::Result<PromiseRaw<'e, ()>> {
        let store = self.store.clone();
        let tag = move || {
            if store.is_read_only() {
                return Ok(());
            }
            let reference: Reference = reference.parse()?;
            let mut top = Descriptor::parse(top.as_bytes(), &Limits::default())?;
            top.annotations.clear();
            top.size = store.has(&top.digest).unwrap_or(top.size);
            store.tag(&reference, &top)
        };
        apart(env, tag, |()| ())
    }
}

/// `wharfie::image::Intake`.
#[napi]
pub struct Intake {
    pub(crate) intake: image::Intake,
}

#[napi]
impl Intake {
    /// Bytes that are there.
    #[napi(getter)]
    pub fn position(&self) -> i64 {
        self.intake.position() as i64
    }

    #[napi]
    pub fn commit<'e>(&self, env: &'e Env, size: i64) -> napi::Result<PromiseRaw<'e, ()>> {
        let intake = self.intake.clone();
        apart(env, move || intake.commit(size as u64), |()| ())
    }

    /// What has come of it stays for the next run.
    #[napi]
    pub fn release<'e>(&self, env: &'e Env) -> napi::Result<PromiseRaw<'e, ()>> {
        let intake = self.intake.clone();
        apart(
            env,
            move || {
                intake.release();
                Ok(())
            },
            |()| (),
        )
    }
}

/// Bytes that may wait to be written; more, and whoever brings them waits.
const WAITING: usize = 1 << 20;

/// What `sink.ts` tells the machine of.
fn refused(refused: &Refused) -> napi::Error {
    let (failure, needed, detail) = match refused {
        Refused::Superseded => ("superseded", 0, "another exchange took its place"),
        Refused::Sink { failure: SinkFailure::NoSpace { needed }, detail } => {
            ("no_space", *needed, &**detail)
        }
        Refused::Sink { failure: SinkFailure::Permission, detail } => ("permission", 0, &**detail),
        Refused::Sink { detail, .. } => ("io", 0, &**detail),
    };
    napi::Error::from_reason(json!({"sink": failure, "needed": needed, "detail": detail}).to_string())
}

#[derive(Default)]
struct Queue {
    chunks: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Who brought a chunk and waits for room.
    waiting: Option<Deferred<()>>,
    /// Nothing comes any more; who wants to know when all is done, and at what time that is for the machine.
    ending: Option<Option<(Deferred<()>, u64)>>,
    failed: Option<Refused>,
}

#[derive(Default)]
struct Lane {
    queue: Mutex<Queue>,
    news: Condvar,
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next chunk; none at the end.
    fn next(&self) -> Option<Vec<u8>> {
        let mut queue = self.lock();
        loop {
            if let Some(chunk) = queue.chunks.pop_front() {
                queue.bytes -= chunk.len();
                if queue.bytes < WAITING / 2
                    && let Some(waiting) = queue.waiting.take()
                {
                    waiting.resolve(|_| Ok(()));
                }
                return Some(chunk);
            }
            if queue.ending.is_some() {
                return None;
            }
            queue = self.news.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fail(&self, refusal: Refused) {
        let mut queue = self.lock();
        if let Some(waiting) = queue.waiting.take() {
            waiting.reject(refused(&refusal));
        }
        queue.failed.get_or_insert(refusal);
    }
}

/// `wharfie::image::Writing`, on a thread of its own. The event loop hands chunks over and waits only where they pile up.
#[napi]
pub struct Writer(Arc<Lane>);

impl Writer {
    pub(crate) fn begin(
        env: &Env,
        mut writing: Writing,
        session: Shared,
    ) -> napi::Result<PromiseRaw<'_, Option<Writer>>> {
        let (begun, promise) = Deferred::new(env)?;
        let lane = Arc::new(Lane::default());
        let work = move || {
            let mut ready = writing.begin();
            while ready.is_ok() && writing.is_behind() {
                ready = writing.replay();
            }
            if let Err(refusal) = ready {
                // It is told with the first chunk, or at the end.
                lane.fail(refusal);
            }
            let writer = Writer(Arc::clone(&lane));
            begun.resolve(move |_| Ok(Some(writer)));
            while let Some(chunk) = lane.next() {
                if lane.lock().failed.is_some() {
                    continue;
                }
                if let Err(refusal) = writing.keep(Bytes::from(chunk)) {
                    lane.fail(refusal);
                }
            }
            end(&lane, writing, session);
        };
        begin(work).map_err(thrown)?;
        Ok(promise)
    }
}

/// Brings the hasher back, and says what came of it.
fn end(lane: &Lane, writing: Writing, session: Shared) {
    let (blob, hasher) = writing.finish();
    let mut queue = lane.lock();
    let failed = queue.failed.as_ref().map(refused);
    if let Some(Some((ending, now))) = queue.ending.replace(None) {
        ending.resolve(move |_| {
            let back = session.lock().handle_hashed(now, blob.number(), hasher);
            match failed {
                Some(error) => Err(error),
                None => back.map_err(misused),
            }
        });
    }
}

#[napi]
impl Writer {
    /// Takes a chunk. Answers a promise if those before it wait to be written: nothing more is to be given before it resolves.
    #[napi]
    pub fn write<'e>(&self, env: &'e Env, chunk: &[u8]) -> napi::Result<Option<PromiseRaw<'e, ()>>> {
        let chunk = chunk.to_vec();
        let mut queue = self.0.lock();
        if let Some(refusal) = &queue.failed {
            return Err(refused(refusal));
        }
        queue.bytes += chunk.len();
        queue.chunks.push_back(chunk);
        self.0.news.notify_one();
        if queue.bytes < WAITING {
            return Ok(None);
        }
        let (waiting, promise) = Deferred::new(env)?;
        queue.waiting = Some(waiting);
        Ok(Some(promise))
    }

    /// Writes and hashes what waits, and gives the hasher back to the machine: poll after it. A second call does nothing.
    #[napi]
    pub fn finish<'e>(&self, env: &'e Env, now: i64) -> napi::Result<PromiseRaw<'e, ()>> {
        let mut queue = self.0.lock();
        if queue.ending.is_some() {
            return PromiseRaw::resolve(env, ());
        }
        let (ending, promise) = Deferred::new(env)?;
        queue.ending = Some(Some((ending, now as u64)));
        self.0.news.notify_one();
        Ok(promise)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        if queue.ending.is_none() {
            queue.ending = Some(None);
            self.0.news.notify_one();
        }
    }
}
