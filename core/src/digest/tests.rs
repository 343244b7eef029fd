use std::format;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Cases {
    of: Vec<Of>,
    bad: Vec<Bad>,
}

#[derive(Deserialize)]
struct Of {
    text: String,
    sha256: String,
    sha384: String,
    sha512: String,
}

#[derive(Deserialize)]
struct Bad {
    input: String,
    code: String,
    reason: Option<String>,
}

fn cases() -> Cases {
    toml::from_str(include_str!("../../../testdata/digests.toml")).unwrap()
}

#[test]
fn digests_are_right_whole_and_byte_by_byte() {
    for case in cases().of {
        for (algorithm, expected) in [
            (Algorithm::Sha256, &case.sha256),
            (Algorithm::Sha384, &case.sha384),
            (Algorithm::Sha512, &case.sha512),
        ] {
            let digest = Digest::of(algorithm, case.text.as_bytes());
            assert_eq!(digest.to_string(), *expected);
            assert_eq!(expected.parse::<Digest>(), Ok(digest));
            assert_eq!(format!("{algorithm}:{}", digest.hex()), *expected);
            assert_eq!(Digest::new(algorithm, digest.hash()), Some(digest));

            let size = case.text.len() as u64;
            let mut verifier = Verifier::new(&SoftHashes, digest, Some(size));
            for byte in case.text.as_bytes() {
                verifier.update(core::slice::from_ref(byte)).unwrap();
            }
            assert_eq!(verifier.finish(), Ok(digest));
        }
    }
    assert_eq!(Algorithm::ALL.len(), 3);
}

#[test]
fn bad_digests_say_what_is_wrong() {
    for case in cases().bad {
        let error = case.input.parse::<Digest>().expect_err(&case.input);
        assert_eq!(error.code(), case.code, "{}", case.input);
        if let ErrorKind::InvalidDigest { input, reason } = error.kind() {
            assert_eq!(*input, case.input);
            assert!(reason.contains(&case.reason.unwrap()), "{}: {reason}", case.input);
        }
    }
}

#[test]
fn a_hash_of_another_length_is_no_digest() {
    assert_eq!(Digest::new(Algorithm::Sha256, &[0; 31]), None);
    assert_eq!(Digest::new(Algorithm::Sha256, &[0; 33]), None);
    assert_eq!(Digest::new(Algorithm::Sha512, &[0; 65]), None);
    assert_ne!(Digest::new(Algorithm::Sha256, &[0; 32]), Digest::new(Algorithm::Sha384, &[0; 48]));
}

#[test]
fn a_verifier_tells_size_from_content() {
    let digest = Digest::sha256(b"abc");
    let verify = |size, chunks: &[&[u8]]| {
        let mut verifier = Verifier::new(&SoftHashes, digest, size);
        for chunk in chunks {
            verifier.update(chunk)?;
        }
        verifier.finish()
    };
    assert_eq!(verify(Some(3), &[b"ab", b"", b"c"]), Ok(digest));
    assert_eq!(verify(None, &[b"abc"]), Ok(digest));

    let short = verify(Some(3), &[b"ab"]).unwrap_err();
    assert_eq!(*short.kind(), ErrorKind::SizeMismatch { expected: 3, actual: 2 });
    assert_eq!(short.place().blob, Some(digest));
    // Told at once, before the end.
    let mut verifier = Verifier::new(&SoftHashes, digest, Some(3));
    verifier.update(b"abc").unwrap();
    assert_eq!(
        *verifier.update(b"d").unwrap_err().kind(),
        ErrorKind::SizeMismatch { expected: 3, actual: 4 }
    );

    let other = verify(Some(3), &[b"abd"]).unwrap_err();
    assert_eq!(*other.kind(), ErrorKind::DigestMismatch { expected: digest, actual: Digest::sha256(b"abd") });
    assert_eq!(other.place().blob, Some(digest));
    assert_eq!(verify(None, &[b"abcd"]).unwrap_err().code(), "digest_mismatch");
}

#[test]
fn a_hasher_counts_and_cannot_be_saved_by_soft_hashes() {
    let mut hasher = Hasher::new(&SoftHashes, Algorithm::Sha512);
    hasher.update(b"ab");
    hasher.update(b"c");
    assert_eq!(hasher.position(), 3);
    assert_eq!(hasher.save(), None);
    assert_eq!(hasher.finish(), Digest::of(Algorithm::Sha512, b"abc"));
    let state = HashState { position: 3, state: Vec::new() };
    assert!(Hasher::restore(&SoftHashes, Algorithm::Sha256, &state).is_none());
}

#[test]
fn json_takes_text_alone() {
    let text = r#""sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855""#;
    let digest: Digest = serde_json::from_str(text).unwrap();
    assert_eq!(digest, Digest::sha256(b""));
    assert_eq!(serde_json::to_string(&digest).unwrap(), text);
    assert!(serde_json::from_str::<Digest>("7").is_err());
    assert!(serde_json::from_str::<Digest>(r#""sha256:00""#).is_err());
}

proptest! {
    #[test]
    fn what_is_read_is_written_back(input in "\\PC{0,80}|sha(256|384|512):[0-9a-f]{60,68}|[a-z0-9+._-]{1,9}:[0-9a-f]{64}") {
        if let Ok(digest) = input.parse::<Digest>() {
            prop_assert_eq!(digest.to_string(), input);
        }
    }
}
