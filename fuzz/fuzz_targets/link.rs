//! No `Link` makes the parser panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfie_core::http::{Headers, Url, link};

fuzz_target!(|data: &[u8]| {
    let fields: Vec<(&str, &[u8])> = data.split(|byte| *byte == b'\n').map(|value| ("link", value)).collect();
    let base = Url::parse("https://registry.example.com/v2/a/tags/list?n=1").unwrap();
    if let Ok(Some(next)) = link::next(&Headers::new(&fields), &base) {
        assert_eq!(Url::parse(&next.to_string()), Ok(next));
    }
});
