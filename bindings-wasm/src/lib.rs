//! Core for JavaScript: `core::wire` and `core::stack` behind wasm-bindgen. Nothing is decided here.
//!
//! Numbers are `f64` (ids, sizes and milliseconds stay below 2^53), small things JSON. An error of core's is thrown as the text of
//! its JSON; the driver makes a class of it. Bytes come in as views, which wasm-bindgen copies once, and go out by one copy
//! into an array of JavaScript's own. After a panic nothing here is to be used again: the driver makes a new instance.

#![allow(missing_docs)] // What each call means is said where it is written: `wharfie_core::wire`, `wharfie_core::stack`.
#![allow(clippy::needless_pass_by_value)] // What JavaScript gives comes as a value.

mod layers;
mod opening;
mod session;
mod verifier;

use std::sync::Mutex;

use wasm_bindgen::prelude::*;
use wharfie_core::error::{Error, Misuse};
use wharfie_core::wire;

/// What the last panic said.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut last) = PANIC.lock() {
            *last = Some(panic.to_string());
        }
    }));
}

/// What the panic said that ended this instance.
#[wasm_bindgen(js_name = lastPanic)]
pub fn last_panic() -> Option<String> {
    PANIC.lock().ok()?.take()
}

/// Panics: for the test that a panic is an error.
#[wasm_bindgen(js_name = panicForTest)]
pub fn panic_for_test(message: &str) {
    panic!("{message}");
}

/// An error of core's, as it is thrown.
fn thrown(error: Error) -> JsValue {
    wire::error_json(&error).into()
}

fn misused(misuse: Misuse) -> JsValue {
    JsError::new(&misuse.to_string()).into()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn number(value: f64) -> u64 {
    value as u64
}

/// From ids and sizes, which stay below 2^53.
#[allow(clippy::cast_precision_loss)]
fn float(value: u64) -> f64 {
    value as f64
}

#[wasm_bindgen]
pub fn describe(
    name: &str,
    top: &str,
    manifest: &[u8],
    config: Option<Vec<u8>>,
    index: Option<Vec<u8>>,
) -> Result<String, JsValue> {
    wire::describe(name, top, manifest, config.as_deref(), index.as_deref()).map_err(thrown)
}

#[wasm_bindgen]
pub fn source(name: &str) -> Result<String, JsValue> {
    wire::source(name).map_err(thrown)
}

#[wasm_bindgen(js_name = reachAllows)]
pub fn reach_allows(reach: &str, url: &str, addresses: Vec<String>) -> Result<bool, JsValue> {
    wire::reach_allows(reach, url, &addresses).map_err(thrown)
}

#[wasm_bindgen]
pub fn probe(list: &str, case: &str) -> Result<String, JsValue> {
    wire::probe(list, case).map_err(thrown)
}

#[wasm_bindgen(js_name = errorCodes)]
pub fn error_codes() -> Vec<String> {
    wire::error_codes().iter().map(|code| (*code).to_owned()).collect()
}

#[wasm_bindgen]
pub fn cancelled() -> String {
    wire::error_json(&wire::cancelled())
}

#[wasm_bindgen(js_name = localError)]
pub fn local_error(failure: &str, operation: &str, needed: f64, reason: &str) -> String {
    wire::error_json(&wire::local_error(failure, operation, number(needed), reason))
}

#[wasm_bindgen]
pub fn internal(reason: &str) -> String {
    wire::error_json(&wire::internal(reason))
}
