use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Cases {
    good: Vec<Good>,
    bad: Vec<Bad>,
}

#[derive(Deserialize)]
struct Good {
    input: String,
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
    familiar: String,
    api_host: Option<String>,
}

#[derive(Deserialize)]
struct Bad {
    input: String,
    code: String,
    part: Option<String>,
    reason: Option<String>,
}

fn cases() -> Cases {
    toml::from_str(include_str!("../../../testdata/references.toml")).unwrap()
}

#[test]
fn good_references_are_normalised() {
    for case in cases().good {
        let reference: Reference = case.input.parse().unwrap_or_else(|e| panic!("{}: {e}", case.input));
        assert_eq!(reference.host(), case.host, "{}", case.input);
        assert_eq!(reference.repository(), case.repository, "{}", case.input);
        assert_eq!(reference.tag(), case.tag.as_deref(), "{}", case.input);
        assert_eq!(reference.digest().map(ToString::to_string), case.digest, "{}", case.input);
        assert_eq!(reference.familiar(), case.familiar, "{}", case.input);
        if let Some(api_host) = case.api_host {
            assert_eq!(reference.api_host(), api_host, "{}", case.input);
        }
        let mut canonical = format!("{}/{}", case.host, case.repository);
        if let Some(tag) = &case.tag {
            canonical = format!("{canonical}:{tag}");
        }
        if let Some(digest) = &case.digest {
            canonical = format!("{canonical}@{digest}");
        }
        assert_eq!(reference.to_string(), canonical);
        assert_eq!(canonical.parse::<Reference>().as_ref(), Ok(&reference));
        assert_eq!(reference.familiar().parse::<Reference>().as_ref(), Ok(&reference));
        let bare = Reference { tag: None, digest: None, ..reference };
        assert_eq!(Reference::new(&case.host, &case.repository), Ok(bare));
    }
}

#[test]
fn bad_references_say_which_part_is_wrong_and_how() {
    for case in cases().bad {
        let error = case.input.parse::<Reference>().expect_err(&case.input);
        assert_eq!(error.code(), case.code, "{}", case.input);
        match error.kind() {
            ErrorKind::InvalidReference { input, part, reason } => {
                assert_eq!(*input, case.input);
                assert_eq!(Some(*part), case.part.as_deref(), "{}: {reason}", case.input);
                let expected = case.reason.unwrap();
                assert!(reason.contains(&expected), "{}: {reason}", case.input);
            }
            _ => assert_eq!(error.place().image.as_deref(), Some(case.input.as_str())),
        }
    }
}

#[test]
fn the_message_is_a_sentence() {
    let message = |input: &str| input.parse::<Reference>().unwrap_err().to_string();
    assert_eq!(
        message("Foo/Bar"),
        "invalid reference `Foo/Bar`: the upper-case letter `B` (only lower case is allowed) in the repository"
    );
    assert_eq!(
        message("a:5x/b"),
        "invalid reference `a:5x/b`: the port `5x`, which is no number, in the host"
    );
    assert_eq!(
        message("a@sha256:00"),
        "invalid reference `a@sha256:00`: a mistake (sha256 takes 64 hexadecimal digits, here are 2) in the digest"
    );
    assert_eq!(message("a@md5:00"), "digest algorithm `md5` is not supported (image a@md5:00)");
}

#[test]
fn a_digest_wins_over_a_tag_and_latest_is_the_default() {
    let plain: Reference = "alpine".parse().unwrap();
    assert_eq!(plain.target(), "latest");
    assert_eq!(plain.clone().or_latest().to_string(), "docker.io/library/alpine:latest");
    let tagged = plain.with_tag("3").unwrap();
    assert_eq!(tagged.target(), "3");
    assert_eq!(tagged.clone().or_latest(), tagged);
    let digest = Digest::sha256(b"");
    let pinned = tagged.with_digest(digest);
    assert_eq!(pinned.target(), digest.to_string());
    assert_eq!(pinned.tag(), Some("3"));
    assert_eq!(pinned.clone().or_latest(), pinned);
    // A digest says nothing about another tag.
    assert_eq!(pinned.with_tag("4").unwrap().digest(), None);
    assert_eq!(plain.with_tag(".").unwrap_err().code(), "invalid_reference");
    assert_eq!(pinned.name(), "docker.io/library/alpine");
}

#[test]
fn new_takes_the_parts_only() {
    for (host, repository) in [("docker.io", "a:b"), ("docker.io", ""), ("", "a"), ("a/b", "c"), ("h", "a@b")]
    {
        assert_eq!(
            Reference::new(host, repository).unwrap_err().code(),
            "invalid_reference",
            "{host} {repository}"
        );
    }
    // The string form would be read as a repository of Docker Hub.
    assert_eq!(Reference::new("registry", "app").unwrap_err().code(), "invalid_reference");
}

proptest! {
    #[test]
    fn no_string_panics_and_what_is_read_is_written_back(input in "\\PC{0,80}") {
        if let Ok(reference) = input.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference.clone()));
            prop_assert_eq!(reference.familiar().parse::<Reference>(), Ok(reference.clone()));
        }
    }

    #[test]
    fn strings_like_references_too(input in "(docker\\.io/|index\\.docker\\.io/|localhost/|[a-zA-Z.:0-9\\[\\]-]{1,9}/)?[a-z0-9._/-]{1,12}(:[\\w.-]{0,8})?(@(sha256:[0-9a-f]{62,64}|sha512:[0-9a-f]{4}))?") {
        if let Ok(reference) = input.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference.clone()));
            prop_assert_eq!(reference.familiar().parse::<Reference>(), Ok(reference.clone()));
            prop_assert!(reference.repository().len() <= 255);
        }
    }
}
