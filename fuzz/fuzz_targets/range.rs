//! No range makes the parsers panic; what is written is read, and what is resolved lies inside.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfie_core::http::{ContentRange, RequestedRange, UploadRange};

fuzz_target!(|input: (u64, &str)| {
    let (size, text) = input;
    if let Some(range) = ContentRange::parse(text) {
        assert_eq!(ContentRange::parse(&range.to_string()), Some(range));
        if let ContentRange::Part { range, size } = range {
            assert!(range.first <= range.last && size.is_none_or(|size| range.last < size));
            assert_eq!(RequestedRange::parse(&range.to_string()), Some(RequestedRange::Closed(range)));
        }
    }
    if let Some(range) = UploadRange::parse(text) {
        // One byte and none are written alike.
        assert!(range.received == 1 || UploadRange::parse(&range.to_string()) == Some(range));
    }
    if let Some(range) = RequestedRange::parse(text).and_then(|range| range.resolve(size)) {
        assert!(range.first <= range.last && range.last < size && range.len() <= size);
    }
});
