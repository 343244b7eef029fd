//! The driver and the store against registries on loopback, and against what goes wrong between them.

#[cfg(unix)]
mod arriving;
mod interrupted;
mod pushes;
mod real;
mod shared;
mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use testbed::faults::{Fault, FaultProxy};
use testbed::server::{After, Response, Server};
use wharfie::drive::{NetworkOptions, PullOptions, TransferState, When};
use wharfie_core::Reference;
use wharfie_core::client::{self, Depth, ListOptions, RegistrySettings, Transport};

use world::{Host, Registry, quick, settled};

const SIZES: &[usize] = &[300_000, 70_000, 1, 2_000_000];

#[test]
fn an_image_is_pulled_whole() {
    let registry = Registry::start(SIZES);
    let proxy = FaultProxy::start(registry.address(), |_, _| Fault::none());
    let host = Host::new();
    let pulled = host.pull(&proxy.image("app:1")).unwrap();
    host.assert_whole(&registry.image);
    assert_eq!(pulled.image.top.digest.to_string(), registry.image.manifest);
    assert!(!pulled.from_store);
    let named = host.store().resolve(&proxy.image("app:1").parse().unwrap()).unwrap().unwrap();
    assert_eq!(named, pulled.image.top);
    assert!(
        settled(&proxy)
            .iter()
            .all(|it| it.agent.as_deref().is_some_and(|agent| agent.starts_with("wharfie/")))
    );
    // Every layer was told of, to its end.
    let transfers = host.heard.transfers.lock().unwrap().clone();
    for layer in &registry.image.layers {
        let last = transfers.iter().rfind(|it| it.digest.to_string() == *layer).unwrap();
        assert_eq!((last.state, Some(last.position)), (TransferState::Done, last.size));
    }

    // What is there is not fetched again.
    let before = settled(&proxy).iter().filter(|it| it.reads_blob()).count();
    host.pull(&proxy.image("app:1")).unwrap();
    assert_eq!(settled(&proxy).iter().filter(|it| it.reads_blob()).count(), before);
    let transfers = host.heard.transfers.lock().unwrap();
    let present = transfers.iter().filter(|it| it.state == TransferState::Present).count();
    assert_eq!(present, registry.image.layers.len());
}

#[test]
fn what_is_in_the_store_needs_no_network() {
    let registry = Registry::start(SIZES);
    let proxy = FaultProxy::start(registry.address(), |_, _| Fault::none());
    let folder = tempfile::TempDir::new().unwrap();
    let name = proxy.image("app:1");
    let pulled = Host::at(folder.path(), quick()).pull(&name).unwrap();
    let asked = settled(&proxy).len();

    let mut options = quick();
    options.offline = true;
    let offline = Host::at(folder.path(), options);
    let again = offline.pull(&name).unwrap();
    assert!(again.from_store);
    assert_eq!(again.image.images, pulled.image.images);
    let reference: Reference = name.parse().unwrap();
    let by_digest = reference.with_digest(pulled.image.top.digest);
    assert_eq!(offline.pull(&by_digest.to_string()).unwrap().image.images, pulled.image.images);
    assert_eq!(offline.pull(&proxy.image("other:1")).unwrap_err().code(), "offline");
    assert_eq!(
        offline.driver.tags(&reference, ListOptions::default(), &mut |_| Ok(())).unwrap_err().code(),
        "offline"
    );
    // A layer that is gone is missed.
    let layer = registry.image.layers[0].parse().unwrap();
    std::fs::remove_file(offline.store().blob_path(&layer)).unwrap();
    assert_eq!(offline.pull(&name).unwrap_err().code(), "offline");

    // Online, a digest is asked for nowhere, and a tag only if it has to be.
    let online = Host::at(folder.path(), quick());
    let with = |when| {
        let mut options = PullOptions::default();
        options.when = when;
        options
    };
    assert_eq!(online.driver.pull(&reference, &with(When::Never)).unwrap_err().code(), "offline");
    assert_eq!(settled(&proxy).len(), asked);
    assert!(online.driver.pull(&reference, &with(When::Missing)).unwrap().from_store);
    assert_eq!(settled(&proxy).len(), asked + 1, "only the layer that was gone");
    assert!(online.driver.pull(&reference, &with(When::Never)).unwrap().from_store);
    online.driver.pull(&by_digest, &PullOptions::default()).unwrap();
    assert_eq!(settled(&proxy).len(), asked + 1);
    online.assert_whole(&registry.image);
}

#[test]
fn a_shallow_pull_fetches_no_layers_and_names_nothing() {
    let registry = Registry::start(SIZES);
    let proxy = FaultProxy::start(registry.address(), |_, _| Fault::none());
    let host = Host::new();
    let reference: Reference = proxy.image("app:1").parse().unwrap();
    let mut options = PullOptions::default();
    options.image = client::PullOptions { depth: Depth::Config, ..client::PullOptions::default() };
    let pulled = host.driver.pull(&reference, &options).unwrap();
    let config = pulled.image.images[0].config.clone().unwrap();
    assert_eq!(
        host.driver.document(&config.digest).unwrap()[..],
        registry.image.content[&registry.image.config][..]
    );
    assert_eq!(settled(&proxy).iter().filter(|it| it.reads_blob()).count(), 1);
    assert_eq!(host.store().resolve(&reference).unwrap(), None);
    let resolved = host.driver.resolve(&reference, When::Always).unwrap();
    assert_eq!(resolved.digest, pulled.image.top.digest);
}

#[test]
fn one_blob_is_fetched_by_its_digest() {
    let registry = Registry::start(SIZES);
    let host = Host::new();
    let reference: Reference =
        format!("{}/app@{}", registry.address(), registry.image.layers[1]).parse().unwrap();
    let descriptor = host.driver.blob(&reference).unwrap();
    assert_eq!(descriptor.size, 70_000);
    assert_eq!(
        std::fs::read(host.store().blob_path(&descriptor.digest)).unwrap(),
        registry.image.content[&registry.image.layers[1]]
    );
    let tag: Reference = format!("{}/app:1", registry.address()).parse().unwrap();
    assert_eq!(host.driver.blob(&tag).unwrap_err().code(), "invalid_option");
    let unknown = format!("{}/app@sha256:{}", registry.address(), "0".repeat(64));
    assert_eq!(host.driver.blob(&unknown.parse().unwrap()).unwrap_err().code(), "not_found");
}

#[test]
fn lists_come_page_by_page() {
    let registry = Registry::start(&[1]);
    let proxy = FaultProxy::start(registry.address(), |request, _| match request.path() {
        "/v2/app/tags/list" if request.query("last").is_empty() => Fault::answer(
            Response::new(200)
                .header("Link", "</v2/app/tags/list?last=b&n=2>; rel=\"next\"")
                .body("application/json", r#"{"name":"app","tags":["a","b"]}"#),
        ),
        "/v2/app/tags/list" => {
            Fault::answer(Response::new(200).body("application/json", r#"{"name":"app","tags":["c"]}"#))
        }
        "/v2/_catalog" => {
            Fault::answer(Response::new(200).body("application/json", r#"{"repositories":["app"]}"#))
        }
        _ => Fault::none(),
    });
    let host = Host::new();
    let repository: Reference = proxy.image("app").parse().unwrap();
    let mut pages = Vec::new();
    let mut keep = |names: &[String]| {
        pages.push(names.to_vec());
        Ok(())
    };
    assert_eq!(host.driver.tags(&repository, ListOptions::default(), &mut keep).unwrap(), 3);
    assert_eq!(pages, [vec!["a", "b"], vec!["c"]]);
    let mut found = Vec::new();
    let mut keep = |names: &[String]| {
        found.extend_from_slice(names);
        Ok(())
    };
    host.driver.repositories(&proxy.address().to_string(), ListOptions::default(), &mut keep).unwrap();
    assert_eq!(found, ["app"]);
    // Who has seen enough says so.
    let stop = wharfie_core::Error::from(wharfie_core::error::ErrorKind::Cancelled {});
    let stopped = host.driver.tags(&repository, ListOptions::default(), &mut |_| Err(stop.clone()));
    assert_eq!(stopped.unwrap_err().code(), "cancelled");
    assert!(!host.driver.check(&proxy.address().to_string()).unwrap());
}

#[test]
fn failures_have_their_codes() {
    let registry = Registry::start(&[1000]);
    let host = Host::new();
    assert_eq!(host.pull(&format!("{}/app:2", registry.address())).unwrap_err().code(), "not_found");
    let mut options = quick();
    options.retries = 0;
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let host = Host::at(host.store().root(), options);
    let error = host.pull(&format!("{gone}/app:1")).unwrap_err();
    assert_eq!(error.code(), "connection_failed");
    assert!(error.to_string().contains("refused"), "{error}");
    let error = host.pull("no-such-host.invalid/app:1").unwrap_err();
    assert_eq!(error.code(), "connection_failed");
    assert!(error.to_string().contains("dns"), "{error}");
}

#[test]
fn the_trace_shows_requests_and_no_secrets() {
    let registry = Registry::start(&[5000]);
    let target = registry.address();
    let proxy = FaultProxy::start(registry.address(), move |request, _| match request.path() {
        path if path.contains("/blobs/") => {
            Fault::redirect(format!("http://{target}{path}?X-Signature=hunter2"))
        }
        _ => Fault::none(),
    });
    let host = Host::new();
    host.pull(&proxy.image("app:1")).unwrap();
    host.assert_whole(&registry.image);
    let traced = host.heard.traced.lock().unwrap().join("\n");
    assert!(
        traced.contains("GET http://127.0.0.1") && traced.contains("-> 200") && traced.contains("-> 307"),
        "{traced}"
    );
    assert!(!traced.contains("hunter2"), "{traced}");
}

#[test]
fn transports_are_as_asked_for() {
    let registry = Registry::start(&[1000]);
    let name = format!("{}/app:1", registry.address());
    let with = |transport| {
        let mut options = NetworkOptions::default();
        options.default_registry = RegistrySettings { transport };
        options.retries = 0;
        options.timeout = Duration::from_secs(2);
        let folder = tempfile::TempDir::new().unwrap();
        Host::at(folder.path(), options).pull(&name).map(drop)
    };
    // Loopback speaks plain http without being asked, as docker has it.
    with(Transport::Auto).unwrap();
    with(Transport::Insecure).unwrap();
    with(Transport::Http).unwrap();
    let error = with(Transport::Https).unwrap_err();
    assert_eq!(error.code(), "connection_failed");
    assert!(error.to_string().contains("tls"), "{error}");
}

#[test]
fn proxies_of_the_environment_are_used() {
    let registry = Registry::start(&[1000, 200_000]);
    let image = registry.image.clone();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let asked = seen.clone();
    // A proxy for plain http takes requests with the whole URL in them.
    let proxy = Server::start(move |request, stream| {
        asked.lock().unwrap().push(request.target.clone());
        let response = match request.target.strip_prefix("http://registry.example:5000") {
            Some(path) => image.answer(path, request.range()),
            None => Response::new(400),
        };
        response.send(request, stream)?;
        Ok(After::Keep)
    });
    let folder = tempfile::TempDir::new().unwrap();
    let pull = |name: &str, bypass: &str| {
        let mut command = interrupted::puller(name, folder.path());
        command
            .env("WHARFIE_TEST_SCHEME", "http")
            .env("HTTP_PROXY", format!("http://{}", proxy.address()))
            .env("NO_PROXY", bypass);
        command.status().unwrap().success()
    };
    assert!(pull("registry.example:5000/app:1", ""));
    Host::at(folder.path(), quick()).assert_whole(&registry.image);
    let count = || seen.lock().unwrap().len();
    assert!(count() >= 4, "{:?}", seen.lock().unwrap());
    let before = count();
    // Not for those that need none, and never for this machine.
    assert!(!pull("registry.example:5000/app:2", "registry.example"));
    assert!(pull(&format!("{}/app:1", registry.address()), ""));
    assert_eq!(count(), before);
}

#[test]
fn a_store_that_can_only_be_read_serves_what_it_has() {
    let Some(small) = interrupted::Small::mount("a_store_that_can_only_be_read_serves_what_it_has", "9m")
    else {
        return;
    };
    let registry = Registry::start(SIZES);
    let name = format!("{}/app:1", registry.address());
    let store = small.path().join("store");
    Host::at(&store, quick()).pull(&name).unwrap();
    small.read_only();
    let mut options = quick();
    options.offline = true;
    let host = Host::at(&store, options);
    assert!(host.store().is_read_only());
    assert!(host.pull(&name).unwrap().from_store);
    assert_eq!(
        host.store().prune(&wharfie::store::Prune::default()).unwrap_err().code(),
        "permission_denied"
    );
    // What it lacks cannot be fetched into it.
    let host = Host::at(&store, quick());
    host.pull(&name).unwrap();
    let other = Registry::start(&[77]);
    let error = host.pull(&format!("{}/app:1", other.address())).unwrap_err();
    assert_eq!(error.code(), "permission_denied", "{error}");
}
