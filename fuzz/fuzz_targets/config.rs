//! No bytes make the parser of configs panic, and what it took it can show.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfie_core::Limits;
use wharfie_core::image::Config;

fuzz_target!(|raw: &[u8]| {
    if let Ok(config) = Config::parse(raw, &Limits::default()) {
        assert!(config.summary().is_ok());
    }
});
