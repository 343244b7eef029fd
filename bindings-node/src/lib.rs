//! What of Wharfie crosses into Node: machines, sinks and local images, with plain values. What users see is written in
//! TypeScript, in `src/` beside this, over the driver that `bindings-wasm` has.
//!
//! Nothing here knows a rule of the protocol or of layers. What reads or writes files, hashes more than a document or
//! decodes runs on threads of its own and settles a promise. Numbers are `i64`, which JavaScript has as `number`: ids, sizes and
//! milliseconds stay below 2^53.

#![allow(
    missing_docs,
    reason = "the docs are those of the TypeScript, and `native.ts` declares what is here"
)]
#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "JavaScript has one kind of number")]
#![cfg_attr(test, allow(dead_code, reason = "napi's macros register nothing there"))]

mod apart;
mod command;
mod credentials;
mod error;
mod image;
mod session;
mod sink;
mod stream;
mod work;
