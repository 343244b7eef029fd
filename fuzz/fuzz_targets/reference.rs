//! No string makes the parser panic, and what it takes it gives back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfie_core::{Digest, Reference};

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse::<Reference>().as_ref(), Ok(&reference));
        assert_eq!(reference.familiar().parse::<Reference>().as_ref(), Ok(&reference));
        assert_eq!(reference.clone().or_latest().target(), reference.target());
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
});
