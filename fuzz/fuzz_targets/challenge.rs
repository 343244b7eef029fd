//! No `WWW-Authenticate` makes the parser panic; what it finds stays within the limits, in lower case, and can be asked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfie_core::Limits;
use wharfie_core::http::{Headers, challenge};

fuzz_target!(|data: &[u8]| {
    // Lines are the fields of one response.
    let fields: Vec<(&str, &[u8])> =
        data.split(|byte| *byte == b'\n').map(|value| ("www-authenticate", value)).collect();
    let limits = Limits::default();
    let found = challenge::parse(&Headers::new(&fields), &limits);
    assert!(found.len() <= limits.challenges as usize);
    for challenge in found {
        assert!(!challenge.scheme.is_empty() && !challenge.scheme.contains(char::is_uppercase));
        assert!(challenge.token68.is_none() || challenge.params.is_empty());
        for (name, value) in &challenge.params {
            assert!(!name.is_empty() && !name.contains(char::is_uppercase));
            assert!(challenge.param(name).is_some());
            assert!(value.len() <= data.len() * 3, "a lossy character is at most three bytes for one");
        }
        if let Some(bearer) = challenge.bearer() {
            assert!(!bearer.realm.trim().is_empty());
            for (i, scope) in bearer.scopes.iter().enumerate() {
                assert!(!bearer.scopes[..i].contains(scope) && scope.covers(scope));
                let Ok(again) = scope.to_string().parse();
                assert_eq!(scope, &again);
            }
        }
    }
});
