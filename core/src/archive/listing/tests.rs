use std::string::ToString as _;
use std::vec::Vec;

use super::*;
use crate::{Digest, MediaType};

fn descriptor(content: &str) -> Descriptor {
    Descriptor::new(MediaType::OciManifest, Digest::sha256(content.as_bytes()), content.len() as u64)
}

fn names(listing: &Listing) -> Vec<(String, Option<String>)> {
    let name = |entry: &Descriptor| (entry.digest.to_string(), entry.ref_name().map(str::to_owned));
    listing.entries().iter().map(name).collect()
}

#[test]
fn what_others_wrote_stays() {
    let raw = r#"{"schemaVersion":2,"x-theirs":{"a":[1,2]},"manifests":[
        {"mediaType":"what/ever","digest":"md5:00","size":1},
        {"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,
         "annotations":{"org.opencontainers.image.ref.name":"a","other":"kept"},"unknown":true}],
        "annotations":{"k":"v"}}"#;
    let mut listing = Listing::parse(raw.as_bytes()).unwrap();
    assert_eq!(listing.entries().len(), 1);
    assert!(listing.set(Some("b"), &descriptor("b")).unwrap());
    let mut expected: Value = serde_json::from_str(raw).unwrap();
    let mut added = serde_json::to_value(descriptor("b")).unwrap();
    added["annotations"] = serde_json::json!({ REF_NAME: "b" });
    expected["manifests"].as_array_mut().unwrap().push(added);
    assert_eq!(serde_json::from_str::<Value>(&listing.to_string()).unwrap(), expected);
    assert!(!listing.retain(|_| true));
    assert!(listing.retain(|_| false));
    // What nobody can read is not for us to take out.
    let left: Value = serde_json::from_str(&listing.to_string()).unwrap();
    assert_eq!(left["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(left["x-theirs"], expected["x-theirs"]);
}

#[test]
fn a_name_is_there_once() {
    let mut listing = Listing::default();
    assert!(listing.set(Some("a"), &descriptor("1")).unwrap());
    assert!(!listing.set(Some("a"), &descriptor("1")).unwrap());
    assert!(listing.set(Some("b"), &descriptor("1")).unwrap());
    assert!(listing.set(Some("a"), &descriptor("2")).unwrap());
    let digest = |content: &str| descriptor(content).digest.to_string();
    assert_eq!(names(&listing), [(digest("2"), Some("a".to_owned())), (digest("1"), Some("b".to_owned()))]);
    // An index that has a name twice loses the second.
    let twice = listing.to_string().replace("\"b\"", "\"a\"");
    let mut twice = Listing::parse(twice.as_bytes()).unwrap();
    assert!(twice.set(Some("a"), &descriptor("2")).unwrap());
    assert_eq!(names(&twice), [(digest("2"), Some("a".to_owned()))]);
    assert!(twice.remove("a") && !twice.remove("a"));
}

#[test]
fn without_a_name_an_image_is_there_once() {
    let mut listing = Listing::default();
    let mut named = descriptor("1");
    named.annotations.insert(REF_NAME.to_owned(), "a".to_owned());
    assert!(listing.set(Some("a"), &named).unwrap());
    assert!(listing.set(None, &named).unwrap());
    assert!(!listing.set(None, &named).unwrap());
    assert_eq!(listing.entries().iter().filter(|entry| entry.ref_name().is_none()).count(), 1);
}

#[test]
fn what_is_no_index_is_refused() {
    for raw in ["", "[]", "{\"manifests\":{}}", "{\"manifests\":\"\"}", "null", "{} {}"] {
        assert_eq!(Listing::parse(raw.as_bytes()).unwrap_err().code(), "invalid_document", "{raw}");
    }
    for raw in ["{}", "{\"manifests\":null}"] {
        assert_eq!(Listing::parse(raw.as_bytes()).unwrap().entries(), []);
    }
}
