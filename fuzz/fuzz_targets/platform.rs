//! No string makes the parser panic, what it takes it gives back, and every platform runs itself best.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfie_core::Platform;

fuzz_target!(|texts: (&str, &str)| {
    let (Ok(one), Ok(other)) = (texts.0.parse::<Platform>(), texts.1.parse::<Platform>()) else { return };
    assert_eq!(one.to_string().parse::<Platform>().as_ref(), Ok(&one));
    assert_eq!(one.normalized(), one);
    assert_eq!(one.rank(&one), Some(0));
    assert_eq!(one.matches(&other), one.rank(&other).is_some());
});
