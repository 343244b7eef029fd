use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::image::{Choice, Descriptor, Index};
use crate::wire::spelled;
use crate::{Digest, MediaType};

#[derive(Deserialize)]
struct Cases {
    good: Vec<Good>,
    bad: Vec<Bad>,
    choice: Vec<Case>,
}

#[derive(Deserialize)]
struct Good {
    input: String,
    name: String,
}

#[derive(Deserialize)]
struct Bad {
    input: String,
    reason: String,
}

#[derive(Deserialize)]
struct Case {
    wanted: String,
    offered: Vec<String>,
    chosen: Option<usize>,
    open: Option<Vec<usize>>,
}

fn cases() -> Cases {
    toml::from_str(include_str!("../../../testdata/platforms.toml")).unwrap()
}

#[test]
fn platforms_are_read_and_normalised() {
    for case in cases().good {
        let platform: Platform = case.input.parse().unwrap_or_else(|e| panic!("{}: {e}", case.input));
        assert_eq!(platform.to_string(), case.name);
        assert_eq!(case.name.parse::<Platform>().as_ref(), Ok(&platform));
        assert_eq!(platform.normalized(), platform);
        assert_eq!(platform.rank(&platform), Some(0));
    }
}

#[test]
fn bad_platforms_say_what_is_wrong() {
    for case in cases().bad {
        let error = case.input.parse::<Platform>().expect_err(&case.input);
        let ErrorKind::InvalidPlatform { input, reason } = error.kind() else { panic!("{error}") };
        assert_eq!(*input, case.input);
        assert!(reason.contains(&case.reason), "{}: {reason}", case.input);
    }
}

#[test]
fn an_index_gives_the_best_that_runs() {
    for case in cases().choice {
        let entry = |text: &String| {
            let mut entry = Descriptor::new(MediaType::OciManifest, Digest::sha256(b""), 0);
            entry.platform = spelled(text);
            entry
        };
        let index = Index::new(MediaType::OciIndex, case.offered.iter().map(entry).collect());
        let wanted: Platform = case.wanted.parse().unwrap();
        match (index.choose(&wanted), case.chosen, case.open) {
            (Ok(Choice::Declared(position)), Some(chosen), None) => {
                assert_eq!(position, chosen, "{} of {:?}", case.wanted, case.offered);
            }
            (Ok(Choice::Undeclared(positions)), None, Some(open)) => assert_eq!(positions, open),
            (Err(error), None, None) => {
                assert_eq!(error.code(), "platform_not_found");
                assert!(error.hint().is_some());
            }
            other => panic!("{} of {:?}: {other:?}", case.wanted, case.offered),
        }
    }
}

#[test]
fn missing_parts_come_from_the_default() {
    let host: Platform = "linux/arm/v6".parse().unwrap();
    let with = |input: &str| Platform::parse_with(input, &host).map(|p| p.to_string());
    assert_eq!(with("linux").as_deref(), Ok("linux/arm/v6"));
    assert_eq!(with("windows(10.0.17763)").as_deref(), Ok("windows(10.0.17763)/arm/v6"));
    assert_eq!(with("amd64").as_deref(), Ok("linux/amd64"));
    assert_eq!(with("darwin/arm64").as_deref(), Ok("darwin/arm64"));
    assert_eq!(with("toaster").unwrap_err().code(), "invalid_platform");
}

#[test]
fn unknown_is_what_attestations_say() {
    assert!(spelled("unknown/unknown").unwrap().is_unknown());
    assert!(!spelled("unknown/amd64").unwrap().is_unknown());
    assert!(!Platform::default().is_unknown());
    assert_eq!(Platform::default().to_string(), "unknown/unknown");
}

proptest! {
    #[test]
    fn no_string_panics(input in "\\PC{0,40}") {
        if let Ok(platform) = input.parse::<Platform>() {
            prop_assert_eq!(platform.to_string().parse::<Platform>(), Ok(platform.clone()));
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        os in "[a-zA-Z0-9_-]{1,8}", architecture in "[a-zA-Z0-9_.-]{1,8}", variant in "[a-zA-Z0-9_.-]{0,6}",
        os_version in "\\PC{0,8}", os_features in proptest::collection::vec("\\PC{1,4}", 0..3),
    ) {
        let platform = Platform {
            os, architecture, variant: Some(variant), os_version: Some(os_version), os_features,
        }.normalized();
        prop_assert_eq!(platform.to_string().parse::<Platform>(), Ok(platform.clone()));
        prop_assert_eq!(platform.normalized(), platform.clone());
        prop_assert_eq!(platform.rank(&platform), Some(0));
    }
}
