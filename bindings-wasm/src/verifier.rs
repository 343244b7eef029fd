//! A layer's blob that is handed out as it is: held against its digest on the way.

use wasm_bindgen::prelude::*;
use wharfie_core::Digest;
use wharfie_core::digest::{self, SoftHashes};
use wharfie_core::error::{Error, Place};

use crate::{number, thrown};

#[wasm_bindgen]
#[derive(Debug)]
pub struct Verifier {
    verifier: Option<digest::Verifier>,
    place: Place,
}

#[wasm_bindgen]
impl Verifier {
    #[wasm_bindgen(constructor)]
    pub fn new(layer: usize, expected: &str, size: f64) -> Result<Verifier, JsValue> {
        let expected: Digest = expected.parse().map_err(thrown)?;
        let place = Place { layer: Some(layer), blob: Some(expected), ..Place::default() };
        let verifier = digest::Verifier::new(&SoftHashes, expected, Some(number(size)));
        Ok(Verifier { verifier: Some(verifier), place })
    }

    pub fn update(&mut self, bytes: &[u8]) -> Result<(), JsValue> {
        let updated = self.verifier.as_mut().map_or(Ok(()), |verifier| verifier.update(bytes));
        updated.map_err(|error| self.failed(error))
    }

    /// All of it went through.
    pub fn finish(&mut self) -> Result<(), JsValue> {
        let finished = self.verifier.take().map_or(Ok(()), |verifier| verifier.finish().map(drop));
        finished.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: Error) -> JsValue {
        thrown(error.at(self.place.clone()))
    }
}
