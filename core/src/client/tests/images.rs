//! What is pulled: indexes, platforms, manifests of every kind, foreign and embedded content; one case each.

use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::registry::{Auth, HOST, Manners, Registry, Reply};
use super::world::{Style, World};
use super::{
    CONFIG, INDEX, LAYER, MANIFEST, add_image, add_index, amd64, bytes, descriptor, reference, world,
};
use crate::client::{
    Client, Config, Depth, Event, ListOptions, Outcome, PlatformChoice, PullOptions, Reach, Warning,
};
use crate::digest::{Algorithm, Digest, Hasher, SoftHashes};
use crate::error::ErrorKind;
use crate::media_type::MediaType;

const NAME: &str = "registry.example/team/app:1";

fn depth(depth: Depth) -> PullOptions {
    PullOptions { depth, ..amd64() }
}

fn with(registry: Registry) -> World {
    World::new(Client::new(Config::default()), registry, 5, Style::default())
}

#[test]
fn each_depth_costs_its_requests_and_no_more() {
    for (to, heads, gets) in [
        (Depth::Resolve, 1, 0),
        (Depth::Document, 1, 1),
        (Depth::Manifest, 1, 2),
        (Depth::Config, 1, 3),
        (Depth::Layers, 1, 6),
    ] {
        let mut world = world(Manners::default());
        let pulled = world.pulled(NAME, depth(to)).unwrap();
        assert_eq!((world.registry.count("HEAD"), world.registry.count("GET")), (heads, gets), "{to:?}");
        assert_eq!(pulled.top.digest, Digest::sha256(&world.registry.manifests["1"].1));
        assert_eq!(pulled.top.size, world.registry.manifests["1"].1.len() as u64);
        assert_eq!(pulled.images.len(), usize::from(to >= Depth::Manifest));
        let resolved = world.events.iter().filter(|event| matches!(event, Event::Resolved { .. })).count();
        assert_eq!(resolved, 1);
        // When all documents have come, and what there is to them, is told of pulls that go on from there.
        let is_described = |event: &Event| matches!(event, Event::Described { .. });
        let is_document = |event: &Event| matches!(event, Event::Document { .. });
        let described = world.events.iter().position(is_described);
        assert_eq!(described.is_some(), to == Depth::Layers);
        if let Some(at) = described {
            assert!(!world.events[at..].iter().any(is_document));
            assert!(!world.events[at + 1..].iter().any(is_described));
            let Event::Described { pulled: told, .. } = &world.events[at] else { panic!() };
            assert_eq!((&told.top, &told.images), (&pulled.top, &pulled.images));
        }
    }
}

#[test]
fn a_head_that_says_too_little_costs_one_get() {
    for manners in
        [Manners { head: false, ..Manners::default() }, Manners { says_digest: false, ..Manners::default() }]
    {
        let mut world = world(manners);
        let pulled = world.pulled(NAME, amd64()).unwrap();
        world.check(&pulled);
        assert_eq!((world.registry.count("HEAD"), world.registry.count("GET")), (1, 6));
        assert_eq!(pulled.top.digest, Digest::sha256(&world.registry.manifests["1"].1));
    }
}

#[test]
fn what_the_host_has_is_not_fetched() {
    let mut first = world(Manners::default());
    first.pulled(NAME, amd64()).unwrap();
    let mut second = world(Manners::default());
    second.have = first.store.clone();
    let pulled = second.pulled(NAME, amd64()).unwrap();
    second.check(&pulled);
    assert_eq!((second.registry.count("HEAD"), second.registry.count("GET")), (1, 0));
    assert_eq!(pulled.received, 0);
    // A document that is not what its name says is fetched instead.
    let mut third = world(Manners::default());
    third.have = first.store.clone();
    for bytes in third.have.values_mut().filter(|bytes| bytes.starts_with(b"{")) {
        bytes.push(b' ');
    }
    assert!(third.pulled(NAME, amd64()).is_ok());
    assert_eq!(third.registry.count("GET"), 3);
}

#[test]
fn a_digest_is_asked_for_as_it_is() {
    let mut world = world(Manners::default());
    let digest = Digest::sha256(&world.registry.manifests["1"].1);
    let pulled = world.pulled(&format!("registry.example/team/app:moved@{digest}"), amd64()).unwrap();
    world.check(&pulled);
    assert_eq!((world.registry.count("HEAD"), world.registry.count("GET")), (0, 6));
    assert_eq!(pulled.top.digest, digest);
    assert_eq!(pulled.top.media_type, MediaType::OciIndex);
}

#[test]
fn the_digest_that_a_registry_says_is_held_to() {
    let mut world = world(Manners { head: false, ..Manners::default() });
    world.registry.digests.insert("1".to_string(), Digest::sha256(b"other"));
    let error = world.pulled(NAME, amd64()).unwrap_err();
    assert_eq!(error.code(), "digest_mismatch");
    // By HEAD: nothing answers to that digest, and what the tag gives is something else.
    let mut world = super::world(Manners::default());
    world.registry.digests.insert("1".to_string(), Digest::sha256(b"other"));
    assert_eq!(world.pulled(NAME, amd64()).unwrap_err().code(), "digest_mismatch");
}

#[test]
fn a_platform_that_is_not_there_is_named_with_those_that_are() {
    let mut world = world(Manners::default());
    let platform = PlatformChoice::One("linux/s390x".parse().unwrap());
    let error = world.pulled(NAME, PullOptions { platform, ..PullOptions::default() }).unwrap_err();
    let ErrorKind::PlatformNotFound { wanted, available } = error.kind() else { panic!("{error:?}") };
    assert_eq!((wanted.as_str(), available.as_str()), ("linux/s390x", "linux/amd64, linux/arm64"));
}

#[test]
fn the_choice_is_told_with_what_it_was_made_from() {
    let mut world = world(Manners::default());
    world.pulled(NAME, amd64()).unwrap();
    let told = world.events.iter().find_map(|event| match event {
        Event::Chosen { taken, others, .. } => Some((taken.clone(), others.clone())),
        _ => None,
    });
    let platform = |text: &str| text.parse::<crate::Platform>().unwrap();
    assert_eq!(told, Some((Some(platform("linux/amd64")), [platform("linux/arm64")].to_vec())));
    // A lone image for another machine is pulled, with a warning.
    let mut registry = Registry::new(Manners::default());
    add_image(&mut registry, Some("1"), "riscv64", &[bytes(1, 10)]);
    let mut world = with(registry);
    assert!(world.pulled(NAME, amd64()).is_ok());
    assert!(
        matches!(&world.warnings[..], [Warning::PlatformMismatch { found, .. }] if found.architecture == "riscv64")
    );
}

#[test]
fn an_index_that_says_no_platforms_is_tried_through() {
    let mut registry = Registry::new(Manners::default());
    let manifests: Vec<String> = ["s390x", "amd64", "arm64"]
        .iter()
        .map(|architecture| {
            let digest = add_image(&mut registry, None, architecture, &[bytes(1, 100)]);
            descriptor(MANIFEST, digest, registry.manifests[&digest.to_string()].1.len())
        })
        .collect();
    let text =
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, manifests.join(","));
    registry.add_manifest(Some("1"), INDEX, &text);
    let mut world = with(registry);
    let pulled = world.pulled(NAME, amd64()).unwrap();
    world.check(&pulled);
    assert_eq!(pulled.images[0].platform.as_ref().unwrap().architecture, "amd64");
    let platform = PlatformChoice::One("linux/ppc64le".parse().unwrap());
    let error = world.pulled(NAME, PullOptions { platform, ..PullOptions::default() }).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::PlatformNotFound { available, .. } if available == "linux/s390x, linux/amd64, linux/arm64"),
        "{error:?}"
    );
}

#[test]
fn indexes_within_indexes_have_a_bottom() {
    let nest = |levels: usize| {
        let mut registry = Registry::new(Manners::default());
        let image = add_image(&mut registry, None, "amd64", &[bytes(1, 100)]);
        let size = registry.manifests[&image.to_string()].1.len();
        let mut inner = descriptor(MANIFEST, image, size);
        for _ in 0..levels {
            // The same child over and over, as a bomb would.
            let list = [inner.clone(), inner.clone(), inner.clone()].join(",");
            let text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{list}]}}"#);
            let digest = registry.add_manifest(Some("1"), INDEX, &text);
            inner = descriptor(INDEX, digest, text.len());
        }
        with(registry)
    };
    for options in [PullOptions::default(), amd64()] {
        let mut world = nest(8);
        let pulled = world.pulled(NAME, options.clone()).unwrap();
        world.check(&pulled);
        assert_eq!(pulled.images.len(), 1);
        assert!(world.requests.len() < 20, "{}", world.requests.len());
        let error = nest(9).pulled(NAME, options).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::LimitExceeded { limit: "index_depth", .. }), "{error:?}");
    }
}

#[test]
fn schema_1_is_pulled_by_the_digest_of_its_payload() {
    const GOLDEN: &str = include_str!("../../../../testdata/golden/schema1-signed.json");
    let payload: Digest =
        "sha256:bc12321026b5d738dde7bd29ddf7b7330d95623b409597dc5c2ee84cf5ca1c7b".parse().unwrap();
    let kind = MediaType::DockerSchema1Signed.to_string();
    let build = |says_digest| {
        let mut registry = Registry::new(Manners { says_digest, ..Manners::default() });
        registry.add_manifest(Some("1"), &kind, GOLDEN);
        let entry = registry.manifests["1"].clone();
        registry.manifests.insert(payload.to_string(), entry);
        registry.digests.insert("1".to_string(), payload);
        registry.digests.insert(payload.to_string(), payload);
        with(registry)
    };
    for says_digest in [true, false] {
        let pulled = build(says_digest).pulled(NAME, depth(Depth::Config)).unwrap();
        assert_eq!(pulled.top.digest, payload);
        assert_eq!((pulled.images[0].config.clone(), pulled.images[0].layers.len()), (None, 4));
    }
    // Its layers have no sizes until they are there.
    let mut world = build(true);
    let layers = world.pulled(NAME, depth(Depth::Manifest)).unwrap().images[0].layers.clone();
    assert!(layers.iter().all(|layer| layer.size == 0));
    for name in [NAME.to_string(), format!("registry.example/team/app@{payload}")] {
        let mut world = build(true);
        let content = |request: &crate::client::Request| {
            let _ = request;
            Some(Reply::new(404, r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"gone"}]}"#))
        };
        world.canned.push(("/blobs/", Box::new(content)));
        let error = world.pulled(&name, amd64()).unwrap_err();
        assert_eq!(error.code(), "not_found");
    }
}

#[test]
fn a_converted_manifest_is_taken_by_its_tag() {
    // A registry that makes schema 1 out of schema 2 for those who ask for it has nothing under its digest.
    const GOLDEN: &str = include_str!("../../../../testdata/golden/schema1-signed.json");
    let kind = MediaType::DockerSchema1Signed.to_string();
    let mut registry = Registry::new(Manners { says_digest: false, ..Manners::default() });
    registry.manifests.insert("1".to_string(), (kind, GOLDEN.as_bytes().to_vec()));
    let mut world = with(registry);
    let accept = [MediaType::DockerSchema1Signed].to_vec();
    let options = PullOptions { accept, depth: Depth::Document, ..PullOptions::default() };
    let pulled = world.pulled(NAME, options).unwrap();
    assert_eq!(pulled.images.len(), 1);
    assert_eq!((world.registry.count("HEAD"), world.registry.count("GET")), (0, 1));
    assert_eq!(world.requests[0].headers.one("accept"), Some(MediaType::DockerSchema1Signed.as_str()));
}

/// An image whose only layer is foreign, and the layer's bytes.
fn foreign(urls: &str) -> (Registry, Vec<u8>) {
    let mut registry = Registry::new(Manners::default());
    let layer = bytes(9, 3_000);
    let config = r#"{"architecture":"amd64","os":"windows"}"#;
    let config = descriptor(CONFIG, registry.add_blob(config), config.len());
    let kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let base = descriptor(kind, Digest::sha256(&layer), layer.len());
    let base = base.strip_suffix('}').unwrap();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{base},"urls":{urls}}}]}}"#
    );
    registry.add_manifest(Some("1"), MANIFEST, &text);
    (registry, layer)
}

#[test]
fn foreign_layers_come_from_the_registry_or_from_their_urls() {
    let (registry, layer) = foreign(r#"["https://gone.example/x","https://layers.example/x"]"#);
    let mut world = with(registry);
    let content = layer.clone();
    world.canned.push(("gone.example", Box::new(|_| Some(Reply::new(404, "")))));
    world.canned.push((
        "layers.example",
        Box::new(move |request| {
            assert!(!request.headers.has("authorization"));
            assert_eq!(request.reach, Reach::NoLoopbackOrLinkLocal);
            Some(Reply::new(200, content.clone()))
        }),
    ));
    let pulled = world.pulled(NAME, PullOptions::default()).unwrap();
    world.check(&pulled);

    // The registry has it: nobody else is asked.
    let (mut registry, layer) = foreign(r#"["https://layers.example/x"]"#);
    registry.add_blob(layer);
    let mut world = with(registry);
    assert!(world.pulled(NAME, PullOptions::default()).is_ok());
    assert!(world.requests.iter().all(|request| request.url.host() == HOST));

    // Left out.
    let (registry, _) = foreign(r#"["https://layers.example/x"]"#);
    let mut world = with(registry);
    let options = PullOptions { foreign_layers: false, ..PullOptions::default() };
    assert!(world.pulled(NAME, options).is_ok());
    assert!(matches!(&world.warnings[..], [Warning::ForeignLayerSkipped { .. }]));

    for url in
        ["http://layers.example/x", "https://127.0.0.1/x", "https://169.254.169.254/x", "file:///etc/passwd"]
    {
        let (registry, _) = foreign(&format!(r#"["{url}"]"#));
        let mut world = with(registry);
        let error = world.pulled(NAME, PullOptions::default()).unwrap_err();
        assert!(["forbidden_target", "invalid_url"].contains(&error.code()), "{url}: {error}");
    }
}

#[test]
fn embedded_content_is_not_fetched() {
    let mut registry = Registry::new(Manners::default());
    let empty = descriptor("application/vnd.oci.empty.v1+json", Digest::sha256(b"{}"), 2);
    let empty = format!(r#"{},"data":"e30="}}"#, empty.strip_suffix('}').unwrap());
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"application/vnd.x","config":{empty},"layers":[{empty}]}}"#
    );
    registry.add_manifest(Some("1"), MANIFEST, &text);
    let mut world = with(registry);
    let pulled = world.pulled(NAME, PullOptions::default()).unwrap();
    world.check(&pulled);
    assert_eq!(world.registry.count("GET"), 1);
    assert_eq!(world.store[&Digest::sha256(b"{}")], b"{}");
}

#[test]
fn an_artifact_is_pulled_as_it_is() {
    let mut registry = Registry::new(Manners::default());
    let config = bytes(3, 5_000_000);
    let kind = "application/vnd.big.config";
    let config = descriptor(kind, registry.add_blob(config.clone()), config.len());
    let layer = bytes(4, 50);
    let layer = descriptor("text/x-thing", registry.add_blob(layer.clone()), layer.len());
    let text =
        format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{layer}]}}"#);
    registry.add_manifest(Some("1"), MANIFEST, &text);
    let mut world = with(registry);
    world.style.chunk = 100_000;
    let pulled = world.pulled(NAME, PullOptions::default()).unwrap();
    world.check(&pulled);
}

#[test]
fn two_jobs_share_a_blob_and_one_may_leave() {
    for leaves in [0, 1] {
        let mut world = world(Manners::default());
        let jobs = [world.pull(NAME, amd64()), world.pull(NAME, amd64())];
        // Both are in the middle of the layers.
        while world.registry.count(&format!("GET {HOST}/v2/team/app/blobs/")) < 4 {
            world.turn();
        }
        world.client.cancel(world.millis(), jobs[leaves]);
        world.client.cancel(world.millis(), jobs[leaves]);
        world.run();
        assert_eq!(world.finished[&jobs[leaves]].as_ref().unwrap_err().code(), "cancelled");
        let Ok(Outcome::Pulled(pulled)) = &world.finished[&jobs[1 - leaves]] else { panic!() };
        world.check(pulled);
        assert_eq!(world.registry.count(&format!("GET {HOST}/v2/team/app/blobs/")), 4);
    }
    // Both leave: nothing is left to wait for.
    let mut world = world(Manners::default());
    let jobs = [world.pull(NAME, amd64()), world.pull(NAME, PullOptions::default())];
    while world.registry.count(&format!("GET {HOST}/v2/team/app/blobs/")) < 3 {
        world.turn();
    }
    for job in jobs {
        world.client.cancel(world.millis(), job);
    }
    world.run();
    assert_eq!(world.finished.len(), 2);
}

#[test]
fn what_the_host_refuses_ends_the_job() {
    let mut client = Client::new(Config::default());
    let digest = Digest::sha256(b"x");
    let job = client.pull(crate::Millis(0), &reference(&format!("registry.example/a@{digest}")), amd64());
    let crate::client::Output::Event(Event::Need { blob, document: true, .. }) = client.poll_output() else {
        panic!()
    };
    let offline = ErrorKind::Offline { what: "it".to_string() };
    client.refuse(crate::Millis(0), blob, offline.clone().into()).unwrap();
    let crate::client::Output::Event(Event::Finished(done, Err(error))) = client.poll_output() else {
        panic!()
    };
    assert_eq!((done, error.kind()), (job, &offline));
}

#[test]
fn tags_come_page_by_page() {
    let mut world = world(Manners::default());
    world.registry.tags = (0..25).map(|number| format!("t{number:02}")).collect();
    let list = |world: &mut World, options| {
        world.events.clear();
        let job = world.client.tags(world.millis(), &reference("registry.example/team/app"), options);
        world.run();
        let names: Vec<String> = world
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Listed { listed, .. } => Some(listed.names.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        (world.finished.remove(&job).unwrap(), names)
    };
    let (end, names) = list(&mut world, ListOptions { page: Some(10), most: None });
    assert_eq!((end, names), (Ok(Outcome::Listed { names: 25 }), world.registry.tags.clone()));
    let (end, names) = list(&mut world, ListOptions { page: Some(10), most: Some(12) });
    assert_eq!((end, names.len()), (Ok(Outcome::Listed { names: 12 }), 12));
    world.canned.push((
        "tags/list",
        Box::new(|_| {
            Some(Reply::new(200, r#"{"tags":null}"#).with("Link", "</v2/team/app/tags/list>; rel=next"))
        }),
    ));
    assert_eq!(list(&mut world, ListOptions::default()).0.unwrap_err().code(), "protocol_violation");
    world.canned.clear();
    let job = world.client.repositories(world.millis(), HOST, ListOptions::default());
    world.run();
    assert_eq!(world.finished[&job].as_ref().unwrap_err().code(), "not_found");
}

#[test]
fn documents_have_a_size() {
    let mut registry = Registry::new(Manners { head: false, ..Manners::default() });
    registry.manifests.insert("1".to_string(), (INDEX.to_string(), bytes(1, 5 << 20)));
    let mut world = with(registry);
    world.style.chunk = 100_000;
    let error = world.pulled(NAME, amd64()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::LimitExceeded { limit: "document_bytes", .. }), "{error:?}");
    let mut registry = Registry::new(Manners::default());
    add_index(&mut registry);
    let layer = descriptor(LAYER, Digest::sha256(b""), usize::MAX >> 1);
    let config = descriptor(CONFIG, Digest::sha256(b"{}"), 2);
    let text =
        format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{layer}]}}"#);
    registry.add_manifest(Some("1"), MANIFEST, &text);
    let error = with(registry).pulled(NAME, amd64()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::LimitExceeded { limit: "blob_bytes", .. }), "{error:?}");
}

#[test]
fn a_warning_of_the_registry_is_passed_on_once() {
    let mut world = world(Manners::default());
    let entry = world.registry.manifests["1"].clone();
    world.canned.push((
        "/manifests/1",
        Box::new(move |_| {
            let reply = Reply::new(200, entry.1.clone()).with("Content-Type", &entry.0);
            Some(reply.with("Warning", r#"299 - "Your subscription ends""#))
        }),
    ));
    assert!(world.pulled(NAME, amd64()).is_ok());
    let told = Warning::Registry { registry: HOST.to_string(), text: "Your subscription ends".to_string() };
    assert_eq!(world.warnings, [told]);
}

#[test]
fn embedded_content_within_embedded_content_needs_no_stack() {
    // Thousands of candidates, each within the index, none of which fits.
    let encode = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    let with_data = |kind: &str, text: &str| {
        let descriptor = descriptor(kind, Digest::sha256(text.as_bytes()), text.len());
        format!(r#"{},"data":"{}"}}"#, descriptor.strip_suffix('}').unwrap(), encode(text))
    };
    let config = with_data(CONFIG, r#"{"architecture":"s390x","os":"linux"}"#);
    let entries: Vec<String> = (0..2_500)
        .map(|number| {
            with_data(
                MANIFEST,
                &format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"n":{number}}}"#),
            )
        })
        .collect();
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","));
    let mut registry = Registry::new(Manners::default());
    registry.add_manifest(Some("1"), INDEX, &text);
    let mut world = with(registry);
    world.style.chunk = 100_000;
    let error = world.pulled(NAME, amd64()).unwrap_err();
    assert_eq!(error.code(), "platform_not_found");
}

#[test]
fn the_places_of_a_blob_are_bounded_however_often_it_is_named() {
    let mut registry = Registry::new(Manners::default());
    let config = descriptor(CONFIG, registry.add_blob("{}"), 2);
    let base = descriptor(LAYER, Digest::sha256(b"nowhere"), 7);
    let base = base.strip_suffix('}').unwrap();
    for scheme in ["https", "ftp"] {
        let layers: Vec<String> = (0..2_000)
            .map(|n| {
                format!(
                    r#"{base},"urls":["{scheme}://layers.example/{n}","{scheme}://layers.example/{n}b"]}}"#
                )
            })
            .collect();
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{}]}}"#,
            layers.join(",")
        );
        registry.add_manifest(Some(scheme), MANIFEST, &text);
    }
    let mut world = with(registry);
    world.canned.push(("layers.example", Box::new(|_| Some(Reply::new(404, "")))));
    assert_eq!(
        world.pulled("registry.example/team/app:https", PullOptions::default()).unwrap_err().code(),
        "not_found"
    );
    assert_eq!(world.requests.iter().filter(|request| request.url.host() == "layers.example").count(), 16);
    assert_eq!(
        world.pulled("registry.example/team/app:ftp", PullOptions::default()).unwrap_err().code(),
        "invalid_url"
    );
}

#[test]
fn an_image_is_known_by_the_digest_that_its_index_names_it_by() {
    let mut registry = Registry::new(Manners::default());
    let sha256 = add_image(&mut registry, None, "amd64", &[bytes(1, 10)]);
    let (kind, manifest) = registry.manifests[&sha256.to_string()].clone();
    let mut hasher = Hasher::new(&SoftHashes, Algorithm::Sha512);
    hasher.update(&manifest);
    let sha512 = hasher.finish();
    registry.digests.insert(sha512.to_string(), sha512);
    let entry = descriptor(MANIFEST, sha512, manifest.len());
    registry.manifests.insert(sha512.to_string(), (kind, manifest));
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entry}]}}"#);
    registry.add_manifest(Some("1"), INDEX, &text);
    let mut world = with(registry);
    let pulled = world.pulled(NAME, PullOptions::default()).unwrap();
    assert_eq!(pulled.images[0].manifest.digest, sha512);
    assert!(world.store.contains_key(&sha512));
}

#[test]
fn a_long_queue_is_not_gone_through_again_and_again() {
    const IMAGES: usize = 1_000;
    let mut registry = Registry::new(Manners {
        auth: Auth::Bearer { lives: 300_000, anonymous: true },
        ..Manners::default()
    });
    let config = descriptor(CONFIG, registry.add_blob("{}"), 2);
    let entries: Vec<String> = (0..IMAGES)
        .map(|number| {
            let text = format!(
                r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[],"annotations":{{"n":"{number}"}}}}"#
            );
            descriptor(MANIFEST, registry.add_manifest(None, MANIFEST, &text), text.len())
        })
        .collect();
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","));
    registry.add_manifest(Some("1"), INDEX, &text);
    let mut world = with(registry);
    world.style.chunk = 1 << 20;
    let options = PullOptions { depth: Depth::Manifest, ..PullOptions::default() };
    assert_eq!(world.pulled(NAME, options).unwrap().images.len(), IMAGES);
    // A few for each request (it is wanted, it starts, it ends), and none for those that wait behind it.
    assert!(world.client.tries < 8 * IMAGES as u64, "{}", world.client.tries);
}

#[test]
fn lists_that_go_round_come_to_an_end() {
    // Pages 0, 1, … up to `back - 1`, then again from `to` on.
    for (back, to) in [(1, 0), (2, 0), (3, 0), (3, 2), (20, 5)] {
        let mut world = world(Manners::default());
        world.canned.push((
            "tags/list",
            Box::new(move |request| {
                let query = request.url.query().unwrap_or_default();
                let page: u32 = query.strip_prefix("page=").map_or(0, |page| page.parse().unwrap());
                let next = if page + 1 < back { page + 1 } else { to };
                // The first page is known by no number.
                let next = if next == 0 { String::new() } else { format!("?page={next}") };
                let link = format!("</v2/team/app/tags/list{next}>; rel=next");
                Some(Reply::new(200, r#"{"tags":[]}"#).with("Link", link))
            }),
        ));
        let now = world.millis();
        let job = world.client.tags(now, &reference("registry.example/team/app"), ListOptions::default());
        world.run();
        assert_eq!(world.finished[&job].as_ref().unwrap_err().code(), "protocol_violation");
        assert!(world.requests.len() <= 4 * back as usize, "{back}: {}", world.requests.len());
    }
}
