use std::string::{String, ToString};
use std::vec::Vec;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    input: String,
    name: Option<String>,
    is: Vec<String>,
    compression: Option<String>,
}

#[test]
fn types_are_recognised_and_classified() {
    let cases: Cases = toml::from_str(include_str!("../../../testdata/media-types.toml")).unwrap();
    for case in cases.case {
        let kind = MediaType::parse(&case.input);
        assert_eq!(kind.to_string(), case.name.as_deref().unwrap_or(&case.input).trim_end_matches(';'));
        for (class, is) in crate::wire::classes(&kind) {
            assert_eq!(is, case.is.iter().any(|c| c == class), "{} is {class}", case.input);
        }
        assert_eq!(kind.compression().map(Compression::name), case.compression.as_deref(), "{}", case.input);
        assert_eq!(MediaType::parse(kind.as_str()), kind);
    }
}

#[test]
fn every_known_type_is_written_as_it_is_read() {
    for (text, kind) in MediaType::known() {
        assert_eq!(MediaType::parse(text), *kind);
        assert_eq!(kind.as_str(), text);
        assert_eq!(MediaType::parse(&text.to_ascii_uppercase()), *kind);
        assert_eq!(serde_json::to_value(kind).unwrap(), text);
        assert!(!matches!(kind, MediaType::Other(_)));
    }
    assert_eq!(MediaType::known().count(), 21);
    assert!(MediaType::MANIFESTS.iter().all(|kind| kind.is_manifest() || kind.is_index()));
}
