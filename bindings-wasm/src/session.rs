//! The client machine.

use std::sync::Arc;

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;
use wharfie_core::digest::SoftHashes;
use wharfie_core::wire;

use crate::{float, misused, number, thrown};

type Outcome<T = ()> = Result<T, JsValue>;

#[wasm_bindgen]
#[derive(Debug)]
pub struct Session(wire::Session);

#[wasm_bindgen]
impl Session {
    #[wasm_bindgen(constructor)]
    pub fn new(options: &str) -> Outcome<Session> {
        wire::Session::new(options, Arc::new(SoftHashes)).map(Session).map_err(thrown)
    }

    pub fn pull(&mut self, now: f64, reference: &str, options: &str) -> Outcome<f64> {
        self.0.pull(number(now), reference, options).map(float).map_err(thrown)
    }

    #[wasm_bindgen(js_name = pullBlob)]
    pub fn pull_blob(&mut self, now: f64, reference: &str) -> Outcome<f64> {
        self.0.pull_blob(number(now), reference).map(float).map_err(thrown)
    }

    pub fn tags(&mut self, now: f64, repository: &str, options: &str) -> Outcome<f64> {
        self.0.tags(number(now), repository, options).map(float).map_err(thrown)
    }

    pub fn cancel(&mut self, now: f64, job: f64) {
        self.0.cancel(number(now), number(job));
    }

    /// Bytes of a blob that are in its sink, while anybody wants it.
    pub fn progress(&self, blob: f64) -> Option<f64> {
        self.0.progress(number(blob)).map(|(position, ..)| float(position))
    }

    pub fn poll(&mut self) -> String {
        self.0.poll()
    }

    pub fn body(&mut self, id: f64) -> Option<Vec<u8>> {
        self.0.body(number(id))
    }

    pub fn document(&mut self, document: f64) -> Option<Uint8Array> {
        self.0.document(number(document)).map(|bytes| Uint8Array::from(&bytes[..]))
    }

    /// `headers` are names and values in turn.
    #[wasm_bindgen(js_name = handleHead)]
    pub fn handle_head(
        &mut self,
        now: f64,
        id: f64,
        status: u16,
        headers: Vec<String>,
        ended: Option<String>,
    ) -> Outcome<String> {
        let fields: Vec<(&str, &[u8])> = headers
            .chunks_exact(2)
            .filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_bytes())))
            .collect();
        self.0.handle_head(number(now), number(id), status, &fields, ended.as_deref()).map_err(misused)
    }

    pub fn replay(&mut self, id: f64, bytes: &[u8]) -> Outcome {
        self.0.replay(number(id), bytes).map_err(misused)
    }

    #[wasm_bindgen(js_name = handleBody)]
    pub fn handle_body(&mut self, now: f64, id: f64, chunk: &[u8]) -> Outcome<bool> {
        self.0.handle_body(number(now), number(id), chunk).map_err(misused)
    }

    #[wasm_bindgen(js_name = handleStored)]
    pub fn handle_stored(&mut self, now: f64, id: f64, len: f64) -> Outcome<bool> {
        self.0.handle_stored(number(now), number(id), number(len)).map_err(misused)
    }

    #[wasm_bindgen(js_name = handleEnd)]
    pub fn handle_end(&mut self, now: f64, id: f64) -> Outcome {
        self.0.handle_end(number(now), number(id)).map_err(misused)
    }

    #[wasm_bindgen(js_name = handleFailure)]
    pub fn handle_failure(&mut self, now: f64, id: f64, failure: &str, detail: &str) -> Outcome {
        self.0.handle_failure(number(now), number(id), failure, detail).map_err(misused)
    }

    #[wasm_bindgen(js_name = handleSinkFailure)]
    pub fn handle_sink_failure(
        &mut self,
        now: f64,
        blob: f64,
        failure: &str,
        needed: f64,
        detail: &str,
    ) -> Outcome {
        self.0
            .handle_sink_failure(number(now), number(blob), failure, number(needed), detail)
            .map_err(misused)
    }

    #[wasm_bindgen(js_name = handleReading)]
    pub fn handle_reading(&mut self, now: f64, id: f64, reading: bool) {
        self.0.handle_reading(number(now), number(id), reading);
    }

    #[wasm_bindgen(js_name = handleTimeout)]
    pub fn handle_timeout(&mut self, now: f64) {
        self.0.handle_timeout(number(now));
    }

    pub fn fetch(&mut self, now: f64, blob: f64, have: f64) -> Outcome {
        self.0.fetch(number(now), number(blob), number(have)).map_err(misused)
    }

    pub fn skip(&mut self, now: f64, blob: f64) -> Outcome {
        self.0.skip(number(now), number(blob)).map_err(misused)
    }

    pub fn supply(&mut self, now: f64, blob: f64, bytes: &[u8]) -> Outcome {
        self.0.supply(number(now), number(blob), bytes).map_err(misused)
    }

    pub fn credentials(&mut self, now: f64, id: f64, found: Option<String>) -> Outcome {
        self.0.credentials(number(now), number(id), found.as_deref()).map_err(thrown)
    }
}
