//! Against Debian's docker-registry, and with other tools reading the store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use testbed::cdn::Cdn;
use testbed::faults::{Ending, Fault, FaultProxy};
use testbed::image::Layout;
use testbed::layer::{Compression, Layer, Meta};
use testbed::registry::{Options, Registry};
use testbed::tls::Authority;
use testbed::token::{Options as TokenOptions, TokenServer};
use testbed::tools;
use wharfie::drive::{CredentialSource, NetworkOptions};
use wharfie_core::client::{Credentials, RegistrySettings, Transport};

use super::world::{Host, assert_honest, noise, quick};

/// An image of two platforms, pushed.
fn push(registry: &Registry, name: &str) {
    let folder = TempDir::new().unwrap();
    let mut layout = Layout::new();
    let layer = |seed| Layer::new().file("data", &Meta::mode(0o644), noise(seed, 200_000)).finish();
    let (lower, upper) = (layer(1), layer(2));
    let manifests: Vec<_> = ["amd64", "arm64"]
        .map(|architecture| {
            let layers = [(&lower[..], Compression::Gzip), (&upper[..], Compression::Gzip)];
            layout.image(("linux", architecture), &layers, &serde_json::json!({}), &["lower", "upper"])
        })
        .into();
    let index = layout.index(&manifests);
    layout.tag("t", &index);
    layout.write(folder.path());
    registry.push(&format!("oci:{}:t", folder.path().display()), name, &["--all"]);
}

/// An image of one layer that holds so many bytes, pushed as `app:1`. Answers the layer's digest.
fn push_one(registry: &Registry, len: usize, extra: &[&str]) -> String {
    let folder = TempDir::new().unwrap();
    let mut layout = Layout::new();
    let tar = Layer::new().file("f", &Meta::mode(0o644), noise(3, len)).finish();
    let image =
        layout.image(("linux", "amd64"), &[(&tar, Compression::Gzip)], &serde_json::json!({}), &["f"]);
    layout.tag("t", &image);
    layout.write(folder.path());
    registry.push(&format!("oci:{}:t", folder.path().display()), "app:1", extra);
    testbed::image::digest(&Compression::Gzip.apply(&tar))
}

fn with_ca(path: &Path) -> NetworkOptions {
    let mut options = quick();
    options.ca = vec![path.to_owned()];
    options
}

struct Known(&'static str, &'static str);

impl CredentialSource for Known {
    fn find(&self, _: &str, _: Option<&str>) -> Option<Credentials> {
        Some(Credentials::Basic { user: self.0.into(), password: self.1.into() })
    }
}

#[test]
fn other_tools_read_the_store() {
    let what = "other_tools_read_the_store";
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    if !tools::have(what, &["skopeo"]) {
        return;
    }
    push(&registry, "group/app:1");
    let host = Host::new();
    let name = registry.image("group/app:1");
    let pulled = host.pull(&name).unwrap();
    assert_eq!(pulled.image.images.len(), 2);
    assert_honest(host.store().root());
    let copy = TempDir::new().unwrap();
    let mut skopeo = registry.skopeo("copy");
    skopeo.arg("--all").arg(format!("oci:{}:{name}", host.store().root().display()));
    tools::run(skopeo.arg(format!("dir:{}", copy.path().display())));
    let manifest = std::fs::read(copy.path().join("manifest.json")).unwrap();
    assert_eq!(testbed::image::digest(&manifest), pulled.image.top.digest.to_string());
}

#[test]
fn a_registry_with_its_own_authority() {
    let authority = Authority::new();
    let options = Options { authority: Some(&authority), users: &[("ship", "wright")], ..Options::default() };
    let Some(registry) = Registry::start("a_registry_with_its_own_authority", &options) else { return };
    if !tools::have("a_registry_with_its_own_authority", &["skopeo"]) {
        return;
    }
    let name = registry.image("app:1");
    push_one(&registry, 100_000, &["--dest-creds", "ship:wright"]);
    let ca = registry.authority().unwrap();
    let store = TempDir::new().unwrap();
    let known = || Arc::new(Known("ship", "wright"));

    let mut strict = quick();
    strict.default_registry = RegistrySettings { transport: Transport::Https };
    let error = Host::with(store.path(), strict, known()).pull(&name).unwrap_err();
    assert_eq!(error.code(), "untrusted_certificate", "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("--ca")));

    let mut trusting = with_ca(ca);
    trusting.default_registry = RegistrySettings { transport: Transport::Https };
    let error = Host::at(store.path(), trusting.clone()).pull(&name).unwrap_err();
    assert_eq!(error.code(), "unauthorized", "{error}");
    let wrong = Host::with(store.path(), trusting.clone(), Arc::new(Known("ship", "wrong")));
    assert_eq!(wrong.pull(&name).unwrap_err().code(), "unauthorized");
    let host = Host::with(store.path(), trusting, known());
    host.pull(&name).unwrap();
    assert!(host.driver.check(&registry.address().to_string()).unwrap());
    let traced = host.heard.traced.lock().unwrap().join("\n");
    // `ship:wright` in base64.
    assert!(traced.contains("HTTP/2.0") && !traced.contains("c2hpcDp3cmlnaHQ"), "{traced}");

    let other = TempDir::new().unwrap();
    let mut insecure = quick();
    insecure.default_registry = RegistrySettings { transport: Transport::Insecure };
    Host::with(other.path(), insecure, known()).pull(&name).unwrap();
}

#[test]
fn files_that_are_no_authority_are_refused() {
    let folder = TempDir::new().unwrap();
    let store = wharfie::store::Store::open(folder.path().join("store")).unwrap();
    let path = folder.path().join("ca.pem");
    let open = || {
        wharfie::drive::Driver::new(
            with_ca(&path),
            store.clone(),
            Arc::new(wharfie::drive::NoCredentials),
            Arc::new(wharfie::drive::Silent),
        )
        .map(drop)
        .map_err(|error| error.code())
    };
    assert_eq!(open(), Err("local_io"));
    std::fs::write(&path, "no certificate").unwrap();
    assert_eq!(open(), Err("invalid_option"));
    std::fs::write(&path, Authority::new().pem()).unwrap();
    assert_eq!(open(), Ok(()));
}

#[test]
fn a_registry_with_tokens() {
    let what = "a_registry_with_tokens";
    let tokens = TokenServer::start(TokenOptions { anonymous: true, ..TokenOptions::default() });
    let options = Options { tokens: Some(tokens.auth()), ..Options::default() };
    let Some(registry) = Registry::start(what, &options) else { return };
    if !tools::have(what, &["skopeo"]) {
        return;
    }
    push_one(&registry, 100_000, &["--dest-creds", "ship:wright"]);
    let before = tokens.asked().len();
    let host = Host::new();
    host.pull(&registry.image("app:1")).unwrap();
    host.assert_nothing_wrong();
    assert_eq!(tokens.asked().len(), before + 1, "one token for all requests");
}

#[test]
fn the_file_of_the_environment_says_whom_to_trust() {
    let what = "the_file_of_the_environment_says_whom_to_trust";
    let authority = Authority::new();
    let options = Options { authority: Some(&authority), ..Options::default() };
    let Some(registry) = Registry::start(what, &options) else { return };
    if !tools::have(what, &["skopeo"]) {
        return;
    }
    push(&registry, "app:1");
    let folder = TempDir::new().unwrap();
    let pull = |certificates: &Path| {
        let mut command = super::interrupted::puller(&registry.image("app:1"), folder.path());
        command.env("WHARFIE_TEST_SCHEME", "https").env("SSL_CERT_FILE", certificates);
        command.status().unwrap().success()
    };
    // Where the system has none at all, the list that is compiled in does not know this authority either.
    assert!(!pull(Path::new("/nonexistent")));
    assert!(pull(registry.authority().unwrap()));
    assert_honest(folder.path());
}

#[test]
fn tokens_that_expire_in_the_middle() {
    let what = "tokens_that_expire_in_the_middle";
    let lives = Duration::from_secs(2);
    // Some servers do not say how long their tokens live, or promise more than they keep.
    for says in [Some(lives), None] {
        let tokens =
            TokenServer::start(TokenOptions { anonymous: true, lives, says, ..TokenOptions::default() });
        let options = Options { tokens: Some(tokens.auth()), ..Options::default() };
        let Some(registry) = Registry::start(what, &options) else { return };
        if !tools::have(what, &["skopeo"]) {
            return;
        }
        let layer = push_one(&registry, 4_000_000, &["--dest-creds", "ship:wright"]);
        let proxy = FaultProxy::start(registry.address(), move |request, seen| {
            let mut fault = Fault::none();
            if request.path().ends_with(&layer) && seen.bytes < 2_000_000 {
                fault.pace = Some(Duration::from_millis(70));
                fault.cut = Some((2_000_000, Ending::Close));
            }
            fault
        });
        let host = Host::new();
        let before = tokens.asked().len();
        host.pull(&proxy.image("app:1")).unwrap();
        host.assert_nothing_wrong();
        assert!(tokens.asked().len() >= before + 2, "{:?}", tokens.asked());
    }
}

#[test]
fn blobs_that_live_elsewhere() {
    let what = "blobs_that_live_elsewhere";
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    if !tools::have(what, &["skopeo"]) {
        return;
    }
    let layer = push_one(&registry, 3_000_000, &[]);
    // The other origin breaks off, and its signed URLs expire before it is asked again.
    let cdn = Cdn::start(registry.data(), Some(1_000_000));
    let sign = cdn.signer();
    let proxy = FaultProxy::start(registry.address(), move |request, _| match request.path() {
        path if path.ends_with(&layer) => Fault::redirect(sign(&layer, Duration::from_millis(300))),
        _ => Fault::none(),
    });
    let folder = TempDir::new().unwrap();
    let host = Host::with(folder.path(), quick(), Arc::new(Known("ship", "wright")));
    host.pull(&proxy.image("app:1")).unwrap();
    host.assert_nothing_wrong();
    assert!(cdn.fetched().len() >= 3, "{:?}", cdn.fetched());
    assert!(cdn.fetched().iter().all(|it| !it.leaked));
    let traced = host.heard.traced.lock().unwrap().join("\n");
    assert!(traced.contains("=…"), "{traced}");
}
