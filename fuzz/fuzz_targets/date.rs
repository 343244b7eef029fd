//! No date makes the parsers panic, and every moment that has an HTTP date is read back from it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfie_core::http::{Headers, date};

fuzz_target!(|input: (i64, &str)| {
    let (moment, text) = input;
    if let Some(shown) = date::format_http(moment) {
        assert_eq!(date::parse_http(&shown), Some(moment));
    }
    for seconds in [date::parse_http(text), date::parse_rfc3339(text)].into_iter().flatten() {
        if let Some(shown) = date::format_http(seconds) {
            assert_eq!(date::parse_http(&shown), Some(seconds));
        }
    }
    let fields = [("date", b"Sat, 21 Nov 2026 08:00:00 GMT".as_slice()), ("retry-after", text.as_bytes())];
    assert!(date::retry_after(&Headers::new(&fields)).is_none_or(|wait| wait <= date::MAX_RETRY_AFTER));
});
