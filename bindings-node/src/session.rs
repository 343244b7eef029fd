//! The client machine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::{Buffer, Env, PromiseRaw};
use napi_derive::napi;
use wharfie::codec::NativeHashes;
use wharfie_core::client::ExchangeId;
use wharfie_core::wire;

use crate::error::{misused, thrown};
use crate::sink::{Intake, Writer};

/// `wire::Session`. Writers bring its hashers back.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<wire::Session>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, wire::Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[napi]
pub struct Session(Shared);

impl Session {
    fn lock(&self) -> MutexGuard<'_, wire::Session> {
        self.0.lock()
    }
}

#[napi]
impl Session {
    #[napi(constructor)]
    pub fn new(options: String) -> napi::Result<Session> {
        let session = wire::Session::new(&options, Arc::new(NativeHashes)).map_err(thrown)?;
        Ok(Session(Shared(Arc::new(Mutex::new(session)))))
    }

    #[napi]
    pub fn pull(&self, now: i64, reference: String, options: String) -> napi::Result<i64> {
        self.lock().pull(now as u64, &reference, &options).map(|job| job as i64).map_err(thrown)
    }

    #[napi]
    pub fn pull_blob(&self, now: i64, reference: String) -> napi::Result<i64> {
        self.lock().pull_blob(now as u64, &reference).map(|job| job as i64).map_err(thrown)
    }

    #[napi]
    pub fn tags(&self, now: i64, repository: String, options: String) -> napi::Result<i64> {
        self.lock().tags(now as u64, &repository, &options).map(|job| job as i64).map_err(thrown)
    }

    #[napi]
    pub fn cancel(&self, now: i64, job: i64) {
        self.lock().cancel(now as u64, job as u64);
    }

    /// Bytes of a blob that are in its sink, while anybody wants it.
    #[napi]
    pub fn progress(&self, blob: i64) -> Option<i64> {
        self.lock().progress(blob as u64).map(|(position, ..)| position as i64)
    }

    #[napi]
    pub fn poll(&self) -> String {
        self.lock().poll()
    }

    #[napi]
    pub fn body(&self, id: i64) -> Option<Buffer> {
        self.lock().body(id as u64).map(Buffer::from)
    }

    #[napi]
    pub fn document(&self, number: i64) -> Option<Buffer> {
        self.lock().document(number as u64).map(|bytes| Buffer::from(bytes.to_vec()))
    }

    /// `headers` are names and values in turn.
    #[napi]
    pub fn handle_head(
        &self,
        now: i64,
        id: i64,
        status: u16,
        headers: Vec<String>,
        ended: Option<String>,
    ) -> napi::Result<String> {
        let fields: Vec<(&str, &[u8])> = headers
            .chunks_exact(2)
            .filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_bytes())))
            .collect();
        self.lock().handle_head(now as u64, id as u64, status, &fields, ended.as_deref()).map_err(misused)
    }

    /// Who hashes and writes what an exchange brings of a blob, once it has read again what is there; none if the exchange was
    /// aborted meanwhile. What the body brings a second time is the driver's to drop.
    #[napi]
    pub fn write_by<'e>(
        &self,
        env: &'e Env,
        id: i64,
        intake: &Intake,
    ) -> napi::Result<PromiseRaw<'e, Option<Writer>>> {
        let Some(mut store) = self.lock().take_store(id as u64) else {
            return PromiseRaw::resolve(env, None);
        };
        store.skip = 0;
        let writing = intake.intake.write_by(ExchangeId::from_number(id as u64), store);
        Writer::begin(env, writing, self.0.clone())
    }

    #[napi]
    pub fn replay(&self, id: i64, bytes: &[u8]) -> napi::Result<()> {
        self.lock().replay(id as u64, bytes).map_err(misused)
    }

    #[napi]
    pub fn handle_body(&self, now: i64, id: i64, bytes: &[u8]) -> napi::Result<bool> {
        self.lock().handle_body(now as u64, id as u64, bytes).map_err(misused)
    }

    #[napi]
    pub fn handle_stored(&self, now: i64, id: i64, len: i64) -> napi::Result<bool> {
        self.lock().handle_stored(now as u64, id as u64, len as u64).map_err(misused)
    }

    #[napi]
    pub fn handle_end(&self, now: i64, id: i64) -> napi::Result<()> {
        self.lock().handle_end(now as u64, id as u64).map_err(misused)
    }

    #[napi]
    pub fn handle_failure(&self, now: i64, id: i64, failure: String, detail: String) -> napi::Result<()> {
        self.lock().handle_failure(now as u64, id as u64, &failure, &detail).map_err(misused)
    }

    #[napi]
    pub fn handle_sink_failure(
        &self,
        now: i64,
        blob: i64,
        failure: String,
        needed: i64,
        detail: String,
    ) -> napi::Result<()> {
        self.lock()
            .handle_sink_failure(now as u64, blob as u64, &failure, needed as u64, &detail)
            .map_err(misused)
    }

    #[napi]
    pub fn handle_reading(&self, now: i64, id: i64, reading: bool) {
        self.lock().handle_reading(now as u64, id as u64, reading);
    }

    #[napi]
    pub fn handle_timeout(&self, now: i64) {
        self.lock().handle_timeout(now as u64);
    }

    #[napi]
    pub fn fetch(&self, now: i64, blob: i64, have: i64) -> napi::Result<()> {
        self.lock().fetch(now as u64, blob as u64, have as u64).map_err(misused)
    }

    #[napi]
    pub fn skip(&self, now: i64, blob: i64) -> napi::Result<()> {
        self.lock().skip(now as u64, blob as u64).map_err(misused)
    }

    #[napi]
    pub fn supply(&self, now: i64, blob: i64, bytes: &[u8]) -> napi::Result<()> {
        self.lock().supply(now as u64, blob as u64, bytes).map_err(misused)
    }

    #[napi]
    pub fn credentials(&self, now: i64, id: i64, found: Option<String>) -> napi::Result<()> {
        self.lock().credentials(now as u64, id as u64, found.as_deref()).map_err(thrown)
    }
}

/// Answers a case of the corpus in `testdata/`.
#[napi]
pub fn probe(list: String, case: String) -> napi::Result<String> {
    wire::probe(&list, &case).map_err(thrown)
}
