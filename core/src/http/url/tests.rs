use super::*;
use crate::http::corpus;
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "kind")]
enum Case {
    Parse {
        input: String,
        url: Option<String>,
        origin: Option<String>,
        host_kind: Option<String>,
        invalid: Option<String>,
    },
    Join {
        base: String,
        input: String,
        url: Option<String>,
        invalid: Option<String>,
    },
}

fn reason(result: Result<Url>) -> Option<String> {
    match result.err()?.kind() {
        ErrorKind::InvalidUrl { input, reason } => {
            assert!(!input.contains("hunter2"));
            Some(reason.clone())
        }
        other => panic!("{other}"),
    }
}

fn kind_name(kind: HostKind) -> &'static str {
    match kind {
        HostKind::Loopback => "loopback",
        HostKind::LinkLocal => "link_local",
        HostKind::PrivateUse => "private_use",
        HostKind::Other => "other",
    }
}

#[test]
fn corpus_cases() {
    for case in corpus::cases::<Case>(include_str!("../../../../testdata/urls.toml")) {
        match case {
            Case::Parse { input, invalid: Some(invalid), .. } => {
                assert_eq!(reason(Url::parse(&input)), Some(invalid), "{input}");
            }
            Case::Parse { input, url, origin, host_kind, .. } => {
                let found = Url::parse(&input).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(Some(found.to_string()), url, "{input}");
                assert_eq!(Some(found.origin().to_string()), origin, "{input}");
                assert_eq!(Some(kind_name(found.host_kind())), host_kind.as_deref(), "{input}");
                assert_eq!(Url::parse(&found.to_string()).unwrap(), found, "the normal form is its own");
            }
            Case::Join { base, input, invalid: Some(invalid), .. } => {
                assert_eq!(reason(Url::parse(&base).unwrap().join(&input)), Some(invalid), "{input}");
            }
            Case::Join { base, input, url, .. } => {
                let found = Url::parse(&base).unwrap().join(&input).unwrap();
                assert_eq!(Some(found.to_string()), url, "{input} from {base}");
            }
        }
    }
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

#[test]
fn origins_compare() {
    assert_eq!(url("https://H/a").origin(), url("https://h:443/b?c").origin());
    for other in ["http://h/", "https://h:444/", "https://h.:443/", "https://i/", "http://h:443/"] {
        assert_ne!(url("https://h/").origin(), url(other).origin(), "{other}");
    }
    let origin = url("http://[::1]:5000/v2/");
    let origin = origin.origin();
    assert_eq!((origin.scheme(), origin.host(), origin.port()), (Scheme::Http, "[::1]", 5000));
    assert_eq!(origin.authority(), "[::1]:5000");
    assert_eq!(url("http://[::1]:80").origin().authority(), "[::1]");
}

#[test]
fn queries_are_added_to_and_taken_away() {
    let location = url("https://h/u/1?_state=a%3D");
    assert_eq!(
        location.with_query([("digest", "sha256:aa")]).to_string(),
        "https://h/u/1?_state=a%3D&digest=sha256%3Aaa"
    );
    assert_eq!(url("https://h/t?").with_query([("a", "b c")]).to_string(), "https://h/t?a=b%20c");
    assert_eq!(url("https://h/t?x&").with_query([("a", "&")]).to_string(), "https://h/t?x&a=%26");
    assert_eq!(url("https://h/t").with_query([("n", "1"), ("last", "é")]).target(), "/t?n=1&last=%C3%A9");
    assert_eq!(location.with_query::<&str, &str>([]), location);
    assert_eq!(location.without_query().to_string(), "https://h/u/1");
    assert_eq!((location.query(), location.without_query().query()), (Some("_state=a%3D"), None));
}

#[test]
fn debug_and_errors_hold_no_secrets() {
    assert_eq!(format!("{:?}", url("https://h/a?sig=hunter2")), "https://h/a?…");
    for text in
        ["https://h:x/a?sig=hunter2", "https://hunter2@h/", "https://h\\hunter2@x/", "https://h:x/#hunter2"]
    {
        let error = Url::parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn addresses_are_seen_as_such() {
    assert_eq!(url("http://0x7f.1/").ip(), Some("127.0.0.1".parse().unwrap()));
    assert_eq!(url("http://[::1]/").ip(), Some("::1".parse().unwrap()));
    assert_eq!(url("http://localhost/").ip(), None);
    assert_eq!(HostKind::of_ip("::127.0.0.1".parse().unwrap()), HostKind::Loopback);
    assert_eq!(HostKind::of_ip("::ffff:0:7f00:1".parse().unwrap()), HostKind::Loopback);
    assert_eq!(HostKind::of_ip("2606:4700::1".parse().unwrap()), HostKind::Other);
}

#[test]
fn length_is_bounded() {
    let long = |n: usize| format!("https://h/{}", "a".repeat(n));
    assert!(Url::parse(&long(Url::MAX_LEN - 100)).is_ok());
    assert_eq!(reason(Url::parse(&long(Url::MAX_LEN))), Some("it is longer than 32 KiB".to_string()));
    // Encoding makes it longer: what comes out must be readable again.
    assert!(Url::parse(&format!("https://h/{}", "é".repeat(Url::MAX_LEN / 3))).is_err());
    let base = url(&long(Url::MAX_LEN - 100));
    assert!(base.join(&"a".repeat(1_000)).is_ok());
    assert!(
        url(&format!("https://h/{}/x", "a".repeat(Url::MAX_LEN - 100))).join(&"a".repeat(1_000)).is_err()
    );
    assert!(Url::parse(&format!("https://{}/", "a".repeat(255))).is_err());
}

proptest! {
    #[test]
    fn nothing_panics(text in r#"(https?:|//|/|\\|@|:|\[|\]|\?|#|\.|%2e|::1|0x|127|[a-z]|\PC|\x00| ){0,16}"#) {
        if let Ok(url) = Url::parse(&text) {
            prop_assert_eq!(&Url::parse(&url.to_string()).unwrap(), &url);
        }
        let base = url("https://h:5000/v2/a/b?q");
        if let Ok(joined) = base.join(&text) {
            prop_assert_eq!(&Url::parse(&joined.to_string()).unwrap(), &joined);
            // Whatever is absolute means the same wherever it is met.
            if let Ok(absolute) = Url::parse(&text) {
                prop_assert_eq!(absolute, joined);
            }
        }
    }

    #[test]
    fn every_form_of_an_address_is_that_address(ip: [u8; 4], style in 0usize..5) {
        let [a, b, c, d] = ip;
        let number = u32::from_be_bytes(ip);
        let host = match style {
            0 => format!("{a}.{b}.{c}.{d}"),
            1 => format!("{number}"),
            2 => format!("0x{number:x}"),
            3 => format!("0{a:o}.0{b:o}.0x{c:X}.{d}."),
            _ => format!("{a}.{}", number & 0xff_ffff),
        };
        let found = url(&format!("http://{host}/"));
        prop_assert_eq!(found.ip(), Some(IpAddr::from(ip)));
        prop_assert_eq!(found.host_kind(), HostKind::of_ip(IpAddr::from(ip)));
    }

    #[test]
    fn pairs_survive(pairs in proptest::collection::vec(("[a-z]{1,3}", ".{0,8}"), 1..4)) {
        let url = url("https://h/p").with_query(pairs.iter().map(|(k, v)| (k, v)));
        prop_assert_eq!(percent::decode_query(url.query().unwrap()), pairs);
        prop_assert_eq!(Url::parse(&url.to_string()).unwrap(), url);
    }
}
