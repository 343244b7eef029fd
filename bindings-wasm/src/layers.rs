//! An image's layers: merged, listed, read and exported.

use std::sync::Arc;

use js_sys::Uint8Array;
use serde_json::Value;
use wasm_bindgen::prelude::*;
use wharfie_core::codec::Format;
use wharfie_core::error::{Error, ErrorKind};
use wharfie_core::image::Descriptor;
use wharfie_core::merge::{Answer, Pattern, Tree};
use wharfie_core::stack::{self, Config, Layer, Step};
use wharfie_core::{Digest, MediaType, wire};

use crate::{float, number, thrown};

type Outcome<T = ()> = Result<T, JsValue>;

/// What [`step`](Stack::step) answers beside numbers of bytes.
const DONE: f64 = -1.0;
const WORKING: f64 = -2.0;
const NEED: f64 = -3.0;

/// Bytes of output that come at once.
const ROOM: usize = 256 << 10;

/// The last `Step::Need`.
#[derive(Clone, Copy, Debug, Default)]
struct Need {
    source: usize,
    offset: u64,
    len: u64,
}

impl Need {
    #[allow(clippy::cast_precision_loss)]
    fn note(&mut self, step: Step) -> f64 {
        match step {
            Step::Need { source, offset, len } => {
                *self = Need { source, offset, len };
                NEED
            }
            Step::Working => WORKING,
            Step::Wrote(n) => n as f64,
            _ => DONE,
        }
    }
}

fn unreadable(reason: impl Into<String>) -> JsValue {
    thrown(Error::from(ErrorKind::InvalidOption { reason: reason.into() }))
}

#[wasm_bindgen]
#[derive(Debug)]
pub struct Stack {
    stack: stack::Stack,
    need: Need,
    tree: Option<Arc<Tree>>,
}

#[wasm_bindgen]
impl Stack {
    /// `layers`: descriptors as JSON, each with `verified`. `diff_ids`: a JSON array, where the config has any.
    /// `options`: those of `wire::merge_options`.
    #[wasm_bindgen(constructor)]
    pub fn new(layers: &str, diff_ids: Option<String>, options: &str) -> Outcome<Stack> {
        let config = Config { merge: wire::merge_options(options).map_err(thrown)?, ..Config::default() };
        let said: Vec<Value> = serde_json::from_str(layers).map_err(|error| unreadable(error.to_string()))?;
        let layers = said.iter().map(layer).collect::<Outcome<Vec<Layer>>>()?;
        let diff_ids = match diff_ids {
            None => None,
            Some(text) => {
                let said: Vec<String> =
                    serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
                Some(
                    said.iter()
                        .map(|id| id.parse())
                        .collect::<Result<Vec<Digest>, Error>>()
                        .map_err(thrown)?,
                )
            }
        };
        let stack = stack::Stack::new(layers, diff_ids.as_deref(), config).map_err(thrown)?;
        Ok(Stack { stack, need: Need::default(), tree: None })
    }

    /// One layer, or all of them and the tree.
    pub fn want(&mut self, layer: Option<usize>) -> Outcome {
        self.stack.want(layer).map_err(thrown)
    }

    pub fn have(&mut self, layer: usize, size: f64, verified: bool) -> Outcome {
        self.stack.have(layer, number(size), verified).map_err(thrown)
    }

    /// -1: it is there; -2: step again; -3: feed what `source`, `offset` and `len` say.
    pub fn step(&mut self) -> Outcome<f64> {
        let step = self.stack.step().map_err(thrown)?;
        if step == Step::Done {
            self.tree = self.stack.tree().cloned();
        }
        Ok(self.need.note(step))
    }

    /// Whether a layer was read to its end, and every digest held.
    pub fn known(&self, layer: usize) -> bool {
        self.stack.report(layer).is_some()
    }

    /// Rows of the tree, which must be known.
    pub fn table(&self, from: u32, most: usize, pattern: Option<String>) -> Outcome<Uint8Array> {
        let tree = self.tree.as_ref().ok_or_else(|| unreadable("the tree is not known yet"))?;
        let pattern = pattern.map(Pattern::new).transpose().map_err(thrown)?;
        Ok(Uint8Array::from(&wire::table(tree, from, most, pattern.as_ref())[..]))
    }

    /// The layer that has to be known first, or nothing: then `read` has an answer.
    pub fn find(&mut self, path: &[u8]) -> Outcome<Option<usize>> {
        match self.stack.find(path).map_err(thrown)? {
            Answer::Need { layer, .. } => Ok(Some(layer)),
            _ => Ok(None),
        }
    }

    /// A file, when `find` asks for nothing.
    pub fn read(&mut self, path: &[u8]) -> Outcome<Content> {
        match self.stack.find(path).map_err(thrown)? {
            Answer::Found(found) => Ok(Content::of(self.stack.read_found(&found).map_err(thrown)?)),
            _ => Err(unreadable("the file's layer is not known yet")),
        }
    }

    /// The tar of a layer, which must be known.
    #[wasm_bindgen(js_name = readLayer)]
    pub fn read_layer(&self, layer: usize) -> Outcome<Content> {
        self.stack.read_layer(layer).map(Content::of).map_err(thrown)
    }

    /// `tar` or `tar.gz`, when the tree is known.
    pub fn export(&self, format: &str) -> Outcome<Export> {
        let format = match format {
            "tar" => Format::Identity,
            "tar.gz" => Format::Gzip,
            other => return Err(unreadable(format!("there is no format `{other}` here: tar, tar.gz"))),
        };
        let export = self.stack.export(format, None).map_err(thrown)?;
        Ok(Export { export, need: Need::default(), room: vec![0; ROOM] })
    }
}

fn layer(said: &Value) -> Outcome<Layer> {
    let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default();
    let digest: Digest = text("digest").parse().map_err(thrown)?;
    let size = said.get("size").and_then(Value::as_u64).unwrap_or_default();
    let mut layer = Layer::new(Descriptor::new(MediaType::parse(text("mediaType")), digest, size));
    layer.verified = said.get("verified").and_then(Value::as_bool).unwrap_or_default();
    Ok(layer)
}

/// What the last step needs, and how it is given.
macro_rules! fed {
    ($name:ident, $machine:ident) => {
        #[wasm_bindgen]
        impl $name {
            #[wasm_bindgen(getter)]
            pub fn source(&self) -> usize {
                self.need.source
            }

            #[wasm_bindgen(getter)]
            pub fn offset(&self) -> f64 {
                float(self.need.offset)
            }

            #[wasm_bindgen(getter)]
            pub fn len(&self) -> f64 {
                float(self.need.len)
            }

            pub fn feed(&mut self, source: usize, offset: f64, bytes: &[u8]) -> Outcome<usize> {
                self.$machine.feed(source, number(offset), bytes).map_err(thrown)
            }
        }
    };
}

fed!(Stack, stack);

macro_rules! reader {
    ($(#[doc = $doc:literal])* $name:ident { $machine:ident: $machine_type:ty }) => {
        $(#[doc = $doc])*
        #[wasm_bindgen]
        #[derive(Debug)]
        pub struct $name {
            $machine: $machine_type,
            need: Need,
            room: Vec<u8>,
        }

        #[wasm_bindgen]
        impl $name {
            /// As that of the stack; more than 0: so many bytes are there to `take`.
            pub fn step(&mut self) -> Outcome<f64> {
                let step = self.$machine.step(&mut self.room).map_err(thrown)?;
                Ok(self.need.note(step))
            }

            /// The bytes that the last step gave.
            pub fn take(&self, len: usize) -> Uint8Array {
                Uint8Array::from(self.room.get(..len).unwrap_or_default())
            }
        }

        fed!($name, $machine);
    };
}

reader! {
    /// One file, or a layer's tar.
    Content { content: stack::Content }
}
reader! {
    /// The flattened tar.
    Export { export: stack::Export }
}

impl Content {
    fn of(content: stack::Content) -> Content {
        Content { content, need: Need::default(), room: vec![0; ROOM] }
    }
}

#[wasm_bindgen]
impl Content {
    #[wasm_bindgen(getter)]
    pub fn size(&self) -> f64 {
        float(self.content.size())
    }
}

#[wasm_bindgen]
impl Export {
    /// Bytes of the whole tar, uncompressed; before the first step.
    #[wasm_bindgen(js_name = tarBytes)]
    pub fn tar_bytes(&self) -> Outcome<f64> {
        self.export.tar_bytes().map(float).map_err(thrown)
    }
}
