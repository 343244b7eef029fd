//! No bytes make the reader of schema 1 panic; its config is one that the reader of configs takes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfie_core::Limits;
use wharfie_core::image::{Config, Document, View};

fuzz_target!(|raw: &[u8]| {
    let limits = Limits { layers: 64, ..Limits::default() };
    let Ok(document) = Document::parse(raw, None, &limits) else { return };
    let View::Schema1(schema1) = &document.view else { return };
    assert!(schema1.layers().count() <= schema1.entries.len());
    if let Ok(config) = schema1.config(&[], &limits) {
        assert_eq!(Config::parse(&config.raw, &Limits { json_depth: 127, ..limits }).as_ref(), Ok(&config));
    }
});
