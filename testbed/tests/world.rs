//! The testbed itself, tried with other people's clients and with plain requests: a server that is wrong here
//! would prove nothing about Wharfie.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use testbed::cdn::Cdn;
use testbed::client::ask;
use testbed::debian::Debian;
use testbed::faults::{Ending, Fault, FaultProxy};
use testbed::image::digest;
use testbed::registry::{Options, Registry};
use testbed::server::Response;
use testbed::tls::Authority;
use testbed::token::{self, TokenServer};
use testbed::{sample, tools, tree};

/// The sample pushed as `harbour/sample:1`; its layout stays in the folder.
fn pushed(registry: &Registry, extra: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().unwrap();
    sample::layout().write(folder.path());
    // Left to itself skopeo compresses what is not, and with it changes every manifest above.
    let mut options = vec!["--all", "--preserve-digests"];
    options.extend(extra);
    registry.push(&format!("oci:{}:sample", folder.path().display()), "harbour/sample:1", &options);
    folder
}

/// The digest and size of the largest layer of the sample.
fn large_layer(folder: &std::path::Path) -> (String, u64) {
    fs::read_dir(folder.join("blobs/sha256"))
        .unwrap()
        .map(|file| {
            let file = file.unwrap();
            (format!("sha256:{}", file.file_name().to_string_lossy()), file.metadata().unwrap().len())
        })
        .max_by_key(|(_, size)| *size)
        .unwrap()
}

#[test]
fn a_plain_registry_takes_the_sample_byte_for_byte() {
    let Some(registry) = Registry::start("plain registry", &Options::default()) else { return };
    let folder = pushed(&registry, &[]);
    let index: Value = serde_json::from_slice(&fs::read(folder.path().join("index.json")).unwrap()).unwrap();
    let expected = index["manifests"][0]["digest"].as_str().unwrap();
    let accept = "Accept: application/vnd.oci.image.index.v1+json";
    let answer = ask(registry.address(), "GET", "/v2/harbour/sample/manifests/1", &[accept]).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(digest(&answer.body), expected);
}

#[test]
fn htpasswd_over_tls_lets_in_who_knows_the_password() {
    let authority = Authority::new();
    let options = Options { users: &[("ship", "wright")], authority: Some(&authority), ..Options::default() };
    let Some(registry) = Registry::start("htpasswd over TLS", &options) else { return };
    pushed(&registry, &["--dest-creds", "ship:wright"]);
    let image = format!("docker://{}", registry.image("harbour/sample:1"));
    let look = |extra: &[&str]| {
        let certificates = registry.authority().unwrap().parent().unwrap();
        registry
            .skopeo("inspect")
            .arg("--cert-dir")
            .arg(certificates)
            .args(extra)
            .arg(&image)
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(look(&["--creds", "ship:wright"]));
    assert!(!look(&["--creds", "ship:wrong"]));
    assert!(!look(&["--no-creds"]));
}

#[test]
fn tokens_are_taken_until_they_die() {
    let lives = Duration::from_secs(2);
    let server = TokenServer::start(token::Options { lives, ..token::Options::default() });
    let options = Options { tokens: Some(server.auth()), ..Options::default() };
    let Some(registry) = Registry::start("tokens", &options) else { return };
    pushed(&registry, &["--dest-creds", "ship:wright"]);
    assert!(server.asked().iter().any(|asked| asked.user.as_deref() == Some("ship") && asked.status == 200));

    let refused = ask(registry.address(), "GET", "/v2/harbour/sample/tags/list", &[]).unwrap();
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.contains("scope=\"repository:harbour/sample:pull\""), "{challenge}");
    let realm = server.auth().realm;
    let (host, _) = realm.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let fetch = |scope: &str| {
        let target = format!("/token?service=testbed-registry&scope={scope}&account=ship");
        // ship:wright
        ask(host.parse().unwrap(), "GET", &target, &["Authorization: Basic c2hpcDp3cmlnaHQ="]).unwrap()
    };
    let answer: Value = serde_json::from_slice(&fetch("repository:harbour/sample:pull").body).unwrap();
    let bearer = format!("Authorization: Bearer {}", answer["token"].as_str().unwrap());
    let list = || ask(registry.address(), "GET", "/v2/harbour/sample/tags/list", &[&bearer]).unwrap().status;
    assert_eq!(list(), 200, "{}", registry.log());
    std::thread::sleep(lives + Duration::from_secs(1));
    assert_eq!(list(), 401);
}

#[test]
fn the_proxy_fails_as_told() {
    let Some(registry) = Registry::start("fault proxy", &Options::default()) else { return };
    let folder = pushed(&registry, &[]);
    let (blob, size) = large_layer(folder.path());
    let content = fs::read(registry.blob_path(&blob)).unwrap();
    let proxy = FaultProxy::start(registry.address(), |request, seen| {
        if !request.target.contains("/blobs/") {
            return Fault::none();
        }
        match seen.same {
            0 => Fault::cut(1000, Ending::Close),
            1 => Fault::cut(2000, Ending::Reset),
            2 => Fault::answer(Response::new(429).header("Retry-After", "1")),
            3 => Fault { ignore_range: true, ..Fault::default() },
            4 => Fault { flip: Some(5), ..Fault::default() },
            5 => Fault { content_range: Some("bytes 0-1/2".into()), ..Fault::default() },
            _ => Fault::none(),
        }
    });
    let target = format!("/v2/harbour/sample/blobs/{blob}");
    let get = |headers: &[&str]| ask(proxy.address(), "GET", &target, headers).unwrap();
    let cut = get(&[]);
    assert_eq!((cut.status, cut.whole, cut.body.as_slice()), (200, false, &content[..1000]));
    let reset = get(&[]);
    assert_eq!((reset.whole, reset.body.len()), (false, 2000));
    assert_eq!(get(&[]).status, 429);
    let whole = get(&["Range: bytes=7-9"]);
    assert_eq!((whole.status, whole.body.len() as u64), (200, size));
    let flipped = get(&[]).body;
    assert_eq!(flipped.iter().zip(&content).filter(|(a, b)| a != b).count(), 1);
    assert_eq!(get(&["Range: bytes=7-9"]).header("content-range"), Some("bytes 0-1/2"));
    let part = get(&["Range: bytes=7-9"]);
    assert_eq!((part.status, part.body.as_slice()), (206, &content[7..10]));
    assert_eq!(proxy.blob_reads(), 7);
    assert_eq!(proxy.passed()[0].sent, 1000);
}

#[test]
fn the_other_origin_wants_no_credentials_and_urls_that_live() {
    let Some(registry) = Registry::start("other origin", &Options::default()) else { return };
    let folder = pushed(&registry, &[]);
    let (blob, size) = large_layer(folder.path());
    let cdn = Cdn::start(registry.data(), None);
    let url = cdn.url(&blob, Duration::from_millis(500));
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let get = |headers: &[&str]| ask(host.parse().unwrap(), "GET", &format!("/{path}"), headers).unwrap();
    assert_eq!(get(&[]).body.len() as u64, size);
    assert_eq!(get(&["Range: bytes=10-19"]).header("content-range"), Some(&*format!("bytes 10-19/{size}")));
    assert_eq!(get(&["Authorization: Bearer x"]).status, 400);
    assert_eq!(get(&[&format!("Range: bytes={size}-")]).status, 416);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(get(&[]).status, 403);
    assert_eq!(cdn.fetched().iter().filter(|it| it.leaked).count(), 1);
}

#[test]
fn the_debian_image_is_as_hard_as_it_says() {
    let what = "the Debian image's own test";
    let Some(debian) = Debian::fixture(what) else { return };
    if !tools::root(what) || !tools::have(what, &["umoci"]) {
        return;
    }
    assert!(debian.manifest()["layers"].as_array().unwrap().len() >= 4);
    let folder = tempfile::TempDir::new_in(tools::fixtures()).unwrap();
    let bundle = folder.path().join("bundle");
    let image = format!("{}:{}", debian.layout.display(), Debian::TAG);
    tools::run(tools::command("umoci").args(["unpack", "--image", &image]).arg(&bundle));
    let root = tree::read_folder(&bundle.join("rootfs")).unwrap();
    let at = |name: &str| root.get(name.as_bytes());
    assert!(root.len() > 7000);
    // A capability, set-id bits, a large owner, a binary attribute.
    assert!(at("usr/local/bin/anchor").unwrap().xattrs.contains_key(&b"security.capability"[..]));
    assert_eq!(at("usr/local/bin/both").unwrap().mode, 0o6711);
    assert_eq!(at("srv/cargo").unwrap().uid, 4_000_000_000);
    assert_eq!(at("srv/cargo").unwrap().xattrs[&b"user.cargo"[..]], b"\x00binary\xff\n");
    // An inode whose first name was deleted lives on, across layers too.
    assert!(at("srv/bollard").is_none());
    assert_eq!(at("srv/bollard-again").unwrap().mode, 0o664);
    assert!(at("usr/bin/perl").is_none() && at("usr/bin/perl5.36.0").is_some());
    assert_eq!(at("usr/bin/dash").unwrap().shares, at("usr/local/bin/dash-again").unwrap().shares);
    assert!(at("usr/bin/dash").unwrap().shares.is_some());
    assert_ne!(at("srv/version").unwrap().kind, at("etc/debian_version").unwrap().kind);
    // An opaque folder, deletions, changes of kind.
    let zones = root.keys().filter(|name| name.starts_with(b"usr/share/zoneinfo/")).count();
    assert_eq!(zones, 1);
    assert!(at("etc/issue.net").is_none() && at("usr/share/bug").is_none());
    assert_eq!(at("etc/issue").unwrap().kind, tree::Kind::Directory);
    assert!(matches!(at("usr/share/menu").unwrap().kind, tree::Kind::Symlink(_)));
}
