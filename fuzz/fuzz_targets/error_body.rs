//! No body makes the parser panic; what people see of it is one clean line, and any status gets a meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfie_core::Limits;
use wharfie_core::http::{Asked, ErrorBody, Headers, Role, TokenResponse, classify};

fuzz_target!(|input: (u16, &[u8])| {
    let (status, data) = input;
    let limits = Limits::default();
    let body = ErrorBody::parse(data, None, &limits);
    let lines = body.errors.iter().flat_map(|error| [error.message.clone(), error.detail.clone()]);
    for line in lines.flatten().chain(body.summary()) {
        assert!(!line.is_empty() && line.chars().count() <= 301 && !line.contains(char::is_control));
    }
    let again = ErrorBody::parse(body.to_json().as_bytes(), None, &limits);
    assert!(body.errors.iter().all(|error| error.code.as_ref().is_none_or(|code| again.has(code))));
    for role in [Role::Registry, Role::TokenServer, Role::BlobStore] {
        for with_credentials in [false, true] {
            let asked = Asked { host: "h", role, what: "it", with_credentials };
            let kind = classify(status, &body, &Headers::default(), &asked);
            assert!(!kind.to_string().contains(char::is_control));
        }
    }
    let _ = TokenResponse::parse(data, &limits);
});
