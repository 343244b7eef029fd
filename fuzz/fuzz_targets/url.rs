//! No text makes the URL parser panic, the normal form is its own, and nothing leaves its origin by a relative reference.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfie_core::http::{HostKind, Url, percent};

fuzz_target!(|text: &str| {
    let base = Url::parse("https://registry.example.com:5000/v2/a/blobs/uploads/?_state=x").unwrap();
    let joined = base.join(text);
    for url in [Url::parse(text), joined.clone()].into_iter().flatten() {
        let shown = url.to_string();
        assert!(
            shown.len() <= Url::MAX_LEN && shown.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        );
        assert_eq!(Url::parse(&shown).as_ref(), Ok(&url));
        assert_eq!(base.join(&shown).as_ref(), Ok(&url));
        // A path of two slashes alone would name a host.
        let target = url.target();
        assert!(target.starts_with("//") || url.join(&target).as_ref() == Ok(&url));
        assert!(url.path().starts_with('/') && !url.path().split('/').any(|segment| segment == ".."));
        assert!(url.without_query().query().is_none());
        if let Some(ip) = url.ip() {
            assert_eq!(url.host_kind(), HostKind::of_ip(ip));
        }
        let longer = url.with_query([("digest", text)]);
        assert!(
            percent::decode_query(longer.query().unwrap())
                .contains(&("digest".to_string(), text.to_string()))
        );
    }
    if let Ok(url) = joined {
        let is_relative = !text.contains("//") && !text.contains(':');
        assert!(!is_relative || url.origin() == base.origin());
    }
    let _ = percent::decode(text);
});
