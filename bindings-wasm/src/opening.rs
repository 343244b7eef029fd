//! Images in local files, and streams that are compressed as a whole.

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;
use wharfie_core::wire;

use crate::{number, thrown};

type Outcome<T = ()> = Result<T, JsValue>;

#[wasm_bindgen]
#[derive(Debug)]
pub struct Opening(wire::Opening);

#[wasm_bindgen]
impl Opening {
    #[wasm_bindgen(constructor)]
    pub fn new(kind: Option<String>) -> Outcome<Opening> {
        wire::Opening::new(kind.as_deref()).map(Opening).map_err(thrown)
    }

    pub fn file(&mut self, len: f64) {
        self.0.file(number(len));
    }

    pub fn member(&mut self, name: &str, len: f64) -> Outcome {
        self.0.member(name, number(len)).map_err(thrown)
    }

    pub fn step(&mut self) -> Outcome<String> {
        self.0.step().map_err(thrown)
    }

    pub fn supply(&mut self, bytes: &[u8]) -> Outcome {
        self.0.supply(bytes).map_err(thrown)
    }

    pub fn hash(&mut self, bytes: &[u8]) -> Outcome<usize> {
        self.0.hash(bytes).map_err(thrown)
    }

    pub fn choose(&mut self, name: Option<String>, options: &str) -> Outcome {
        self.0.choose(name.as_deref(), options).map_err(thrown)
    }

    pub fn document(&self, digest: &str) -> Outcome<Option<Uint8Array>> {
        Ok(self.0.document(digest).map_err(thrown)?.map(Uint8Array::from))
    }

    pub fn blob(&self, digest: &str) -> Outcome<Option<String>> {
        self.0.blob(digest).map_err(thrown)
    }
}

/// Bytes that are decoded at once.
const ROOM: usize = 256 << 10;

#[wasm_bindgen]
#[derive(Debug)]
pub struct Unpack {
    unpack: wire::Unpack,
    room: Vec<u8>,
    read: usize,
    done: bool,
}

#[wasm_bindgen]
impl Unpack {
    #[wasm_bindgen(constructor)]
    #[allow(clippy::new_without_default)] // JavaScript has no `default`.
    pub fn new() -> Unpack {
        Unpack { unpack: wire::Unpack::new(), room: vec![0; ROOM], read: 0, done: false }
    }

    /// Decodes what there is room for; answers what came out. `read` and `done` say the rest.
    pub fn process(&mut self, input: &[u8], last: bool) -> Outcome<Uint8Array> {
        let step = self.unpack.process(input, &mut self.room, last).map_err(thrown)?;
        self.read = step.read;
        self.done = step.done;
        Ok(Uint8Array::from(self.room.get(..step.written).unwrap_or_default()))
    }

    /// Bytes of the input that the last call took.
    #[wasm_bindgen(getter)]
    pub fn read(&self) -> usize {
        self.read
    }

    #[wasm_bindgen(getter)]
    pub fn done(&self) -> bool {
        self.done
    }
}
