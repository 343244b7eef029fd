//! Payload on its way: redirects, ranges, interruptions, patience; one case each.

use std::boxed::Box;
use std::format;
use std::string::ToString;
use std::vec::Vec;

use super::registry::{Auth, CDN, HOST, Manners, Registry, Reply};
use super::world::{Fault, Style, World};
use super::{add_image, add_index, amd64, bytes, reference, world};
use crate::client::{
    BodyPlan, Client, Config, Depth, Event, Failure, HeaderVisibility, Outcome, Output, Parallel,
    PullOptions, Reach, RegistrySettings, Tls, Transport, Warning,
};
use crate::digest::Digest;
use crate::error::{ErrorKind, Misuse};
use crate::http::{Head, Headers, Method};
use crate::time::Millis;

const NAME: &str = "registry.example/team/app:1";

/// `team/app:one`: one image of one layer of 20,000 bytes, whose digest is answered.
fn one_layer(manners: Manners) -> (World, Digest) {
    let mut registry = Registry::new(manners);
    let layer = bytes(7, 20_000);
    add_image(&mut registry, Some("one"), "amd64", core::slice::from_ref(&layer));
    let world = World::new(Client::new(Config::default()), registry, 3, Style::default());
    (world, Digest::sha256(&layer))
}

const ONE: &str = "registry.example/team/app:one";

fn ranges(world: &World) -> Vec<&str> {
    world.requests.iter().filter_map(|request| request.headers.one("range")).collect()
}

#[test]
fn a_broken_body_goes_on_by_a_closed_range() {
    for fault in [Fault::Cut(7_000), Fault::Short(7_000), Fault::Stall(7_000)] {
        for inline in [false, true] {
            let (mut world, digest) = one_layer(Manners { cdn: Some(100_000), ..Manners::default() });
            world.style.inline = inline;
            world.script.push_back(("/store/sha256:", Fault::None));
            let wanted = format!("/store/{digest}");
            world.script = [(Box::leak(wanted.into_boxed_str()) as &str, fault.clone())].into();
            let pulled = world.pulled(ONE, PullOptions::default()).unwrap();
            world.check(&pulled);
            assert_eq!(world.rewinds, 0);
            // The registry is asked anew, and gives a new signed URL.
            assert_eq!(ranges(&world), ["bytes=7000-19999", "bytes=7000-19999"], "{fault:?}");
        }
    }
}

#[test]
fn what_an_earlier_process_left_is_gone_on_with() {
    let (mut world, digest) = one_layer(Manners::default());
    let whole = world.registry.blobs[&digest].clone();
    world.partial.insert(digest, whole[..12_345].to_vec());
    assert!(world.pulled(ONE, PullOptions::default()).is_ok());
    assert_eq!(ranges(&world), ["bytes=12345-19999"]);

    // All of it, but not known to be right: one byte is asked for, and the rest replayed.
    let (mut world, digest) = one_layer(Manners::default());
    world.partial.insert(digest, whole.clone());
    assert!(world.pulled(ONE, PullOptions::default()).is_ok());
    assert_eq!(ranges(&world), ["bytes=19999-19999"]);

    // More than all of it.
    let (mut world, digest) = one_layer(Manners::default());
    world.partial.insert(digest, [whole.clone(), whole.clone()].concat());
    assert!(world.pulled(ONE, PullOptions::default()).is_ok());
    assert_eq!((ranges(&world).len(), world.rewinds), (0, 1));

    // Wrong bytes: found out at the end, and fetched anew.
    let (mut world, digest) = one_layer(Manners::default());
    let mut wrong = whole[..12_345].to_vec();
    wrong[77] ^= 1;
    world.partial.insert(digest, wrong);
    let pulled = world.pulled(ONE, PullOptions::default()).unwrap();
    world.check(&pulled);
    assert_eq!(world.rewinds, 1);
}

#[test]
fn a_registry_without_ranges_is_skipped_through() {
    let (mut world, digest) = one_layer(Manners { ranges: false, ..Manners::default() });
    let wanted = Box::leak(format!("/blobs/{digest}").into_boxed_str());
    world.script = [(&*wanted, Fault::Cut(7_000)), (&*wanted, Fault::Cut(3_000))].into();
    let pulled = world.pulled(ONE, PullOptions::default()).unwrap();
    world.check(&pulled);
    assert_eq!(world.rewinds, 0);
    // But not without end.
    let (mut world, digest) = one_layer(Manners { ranges: false, ..Manners::default() });
    let wanted = Box::leak(format!("/blobs/{digest}").into_boxed_str());
    world.script = (0..100).map(|at| (&*wanted, Fault::Cut(19_000 + at))).collect();
    let error = world.pulled(ONE, PullOptions::default()).unwrap_err();
    assert!(["protocol_violation", "connection_failed"].contains(&error.code()), "{error}");
}

#[test]
fn ranges_that_lie_are_not_believed() {
    let (mut world, digest) = one_layer(Manners::default());
    let wanted = Box::leak(format!("/blobs/{digest}").into_boxed_str());
    world.script = [(&*wanted, Fault::Cut(7_000)), (&*wanted, Fault::WrongRange)].into();
    let pulled = world.pulled(ONE, PullOptions::default()).unwrap();
    world.check(&pulled);
    assert_eq!(world.rewinds, 1);
}

#[test]
fn the_answer_416_means_all_or_nothing() {
    // Of a blob whose size is not known, all is there.
    let (mut world, digest) = one_layer(Manners::default());
    let whole = world.registry.blobs[&digest].clone();
    world.partial.insert(digest, whole.clone());
    let name = reference(&format!("registry.example/team/app@{digest}"));
    let job = world.client.pull_blob(Millis(0), &name);
    world.run();
    assert!(matches!(&world.finished[&job], Ok(Outcome::Pulled(pulled)) if pulled.top.size == 20_000));
    assert_eq!(ranges(&world), ["bytes=20000-", "bytes=19999-19999"]);
    assert_eq!(world.store[&digest], whole);

    // The sink has more than there is.
    let (mut world, digest) = one_layer(Manners::default());
    world.partial.insert(digest, [whole.clone(), whole.clone()].concat());
    let job = world.client.pull_blob(Millis(0), &name);
    world.run();
    assert!(world.finished[&job].is_ok());
    assert_eq!(world.store[&digest], whole);
    assert_eq!(world.rewinds, 1);
}

#[test]
fn wrong_bytes_get_one_more_chance() {
    let (mut world, digest) = one_layer(Manners::default());
    let wanted = Box::leak(format!("/blobs/{digest}").into_boxed_str());
    world.script = [(&*wanted, Fault::Flip(5))].into();
    let pulled = world.pulled(ONE, PullOptions::default()).unwrap();
    world.check(&pulled);
    assert_eq!(world.rewinds, 1);

    let (mut world, _) = one_layer(Manners::default());
    world.script = (0..9).map(|_| (&*wanted, Fault::Flip(5))).collect();
    let error = world.pulled(ONE, PullOptions::default()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::DigestMismatch { expected, .. } if *expected == digest));
    assert_eq!(error.place().blob, Some(digest));
    assert!(!world.store.contains_key(&digest));
    assert_eq!(world.registry.count(&format!("GET {HOST}/v2/team/app/blobs/{digest}")), 2);
}

#[test]
fn more_bytes_than_promised_are_not_read() {
    for inline in [false, true] {
        let (mut world, digest) = one_layer(Manners::default());
        world.style.inline = inline;
        let wanted = Box::leak(format!("/blobs/{digest}").into_boxed_str());
        world.script = (0..9).map(|_| (&*wanted, Fault::Long)).collect();
        let error = world.pulled(ONE, PullOptions::default()).unwrap_err();
        assert_eq!(error.code(), "size_mismatch");
    }
    // Refused at the head, where that says it.
    let (mut world, digest) = one_layer(Manners::default());
    let wanted = Box::leak(format!("/blobs/{digest}").into_boxed_str());
    world.canned.push((
        &*wanted,
        Box::new(|_| Some(Reply::new(200, bytes(1, 20_001)).with("content-length", 20_001))),
    ));
    world.style.chunk = 1;
    let error = world.pulled(ONE, PullOptions::default()).unwrap_err();
    assert_eq!(error.code(), "size_mismatch");
}

#[test]
fn a_wrong_document_is_never_believed() {
    let mut world = world(Manners::default());
    world.script = [("/manifests/sha256:", Fault::Flip(40))].into();
    assert!(world.pulled(NAME, amd64()).is_ok());
    let mut world = super::world(Manners::default());
    world.script = (0..9).map(|_| ("/manifests/sha256:", Fault::Flip(40))).collect();
    assert_eq!(world.pulled(NAME, amd64()).unwrap_err().code(), "digest_mismatch");
}

#[test]
fn a_signed_url_that_has_expired_is_asked_for_anew() {
    let mut expired = 0;
    for seed in 0..40 {
        let mut registry = Registry::new(Manners { cdn: Some(8), ..Manners::default() });
        add_image(&mut registry, Some("one"), "amd64", &[bytes(7, 20_000)]);
        let mut world = World::new(Client::new(Config::default()), registry, seed, Style::default());
        match world.pulled(ONE, PullOptions::default()) {
            Ok(pulled) => world.check(&pulled),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::ServerError { status: 403, .. }), "{error:?}");
            }
        }
        expired += usize::from(world.transcript.iter().any(|line| line.contains(" 403 ")));
    }
    assert!(expired > 5, "{expired}");
}

#[test]
fn redirects_that_lead_astray_are_refused() {
    for (location, code) in [
        ("http://cdn.example/x", "forbidden_target"),
        ("https://127.0.0.1/x", "forbidden_target"),
        ("https://localhost/x", "forbidden_target"),
        ("//[::1]/x", "forbidden_target"),
        ("https://2130706433/x", "forbidden_target"),
        ("https://169.254.169.254/latest/meta-data", "forbidden_target"),
        ("https://0.0.0.0/x", "forbidden_target"),
        ("file:///etc/passwd", "invalid_url"),
        ("https://user@cdn.example/x", "invalid_url"),
        ("", "redirect_loop"),
    ] {
        let (mut world, digest) = one_layer(Manners::default());
        let wanted = Box::leak(format!("/blobs/{digest}").into_boxed_str());
        world
            .canned
            .push((&*wanted, Box::new(move |_| Some(Reply::new(307, "").with("Location", location)))));
        let error = world.pulled(ONE, PullOptions::default()).unwrap_err();
        assert_eq!(error.code(), code, "{location}: {error}");
    }
}

#[test]
fn redirects_are_followed_relative_and_not_for_ever() {
    let (mut world, digest) = one_layer(Manners::default());
    let content = world.registry.blobs[&digest].clone();
    let wanted = Box::leak(format!("/v2/team/app/blobs/{digest}").into_boxed_str());
    world
        .canned
        .push((&*wanted, Box::new(|_| Some(Reply::new(302, "").with("Location", "../elsewhere/x?y=1")))));
    world.canned.push(("/elsewhere/x?y=1", Box::new(move |_| Some(Reply::new(200, content.clone())))));
    assert!(world.pulled(ONE, PullOptions::default()).is_ok());

    let (mut world, _) = one_layer(Manners::default());
    let mut hop = 0;
    world.canned.push((
        "/blobs/",
        Box::new(move |_| {
            hop += 1;
            Some(Reply::new(301, "").with("Location", format!("/v2/team/app/blobs/hop{hop}")))
        }),
    ));
    assert_eq!(world.pulled(ONE, PullOptions::default()).unwrap_err().code(), "redirect_loop");
    assert!(world.requests.len() < 40);
}

#[test]
fn a_registry_that_asks_for_patience_gets_it() {
    let (mut world, digest) = one_layer(Manners::default());
    let wanted = Box::leak(format!("/blobs/{digest}").into_boxed_str());
    let mut tries = 0;
    world.canned.push((
        &*wanted,
        Box::new(move |_| {
            tries += 1;
            (tries == 1).then(|| Reply::new(429, "slow").with("Retry-After", "40"))
        }),
    ));
    assert!(world.pulled(ONE, PullOptions::default()).is_ok());
    assert!(world.now >= 40_000, "{}", world.now);

    // A date counts from the response's own date.
    let (mut world, _) = one_layer(Manners::default());
    let mut tries = 0;
    world.canned.push((
        &*wanted,
        Box::new(move |_| {
            tries += 1;
            (tries == 1).then(|| {
                Reply::new(503, "slow")
                    .with("Date", "Tue, 15 Nov 1994 08:12:31 GMT")
                    .with("Retry-After", "Tue, 15 Nov 1994 08:13:01 GMT")
            })
        }),
    ));
    assert!(world.pulled(ONE, PullOptions::default()).is_ok());
    assert!((30_000..60_000).contains(&world.now), "{}", world.now);

    // Too much patience is an error that says so.
    let (mut world, _) = one_layer(Manners::default());
    world.canned.push((
        &*wanted,
        Box::new(move |_| {
            let reply = Reply::new(429, r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#);
            Some(reply.with("Retry-After", "3600").with("ratelimit-limit", "100;w=21600"))
        }),
    ));
    let error = world.pulled(ONE, PullOptions::default()).unwrap_err();
    let ErrorKind::RateLimited { retry_after, limit, .. } = error.kind() else { panic!("{error:?}") };
    assert_eq!(retry_after.unwrap().as_secs(), 3600);
    assert_eq!(limit.as_deref(), Some("100;w=21600"));
    assert!(world.now < 5_000);

    // Nor is a window of hours waited for.
    let (mut world, _) = one_layer(Manners::default());
    world.canned.push((
        "/manifests/",
        Box::new(move |_| Some(Reply::new(429, "").with("ratelimit-remaining", "0;w=21600"))),
    ));
    assert_eq!(world.pulled(ONE, PullOptions::default()).unwrap_err().code(), "rate_limited");
    assert!(world.now < 5_000);
}

#[test]
fn patience_holds_for_the_whole_host() {
    let mut world = world(Manners::default());
    let mut told = false;
    world.canned.push((
        "/blobs/",
        Box::new(move |_| {
            let is_first = !core::mem::replace(&mut told, true);
            is_first.then(|| Reply::new(429, "slow").with("Retry-After", "20"))
        }),
    ));
    world.client = Client::new(Config { parallel: Parallel { blobs: 1, per_host: 2 }, ..Config::default() });
    assert!(world.pulled(NAME, amd64()).is_ok());
    let told =
        world.transcript.iter().position(|line| line.contains("head") && line.contains(" 429 ")).unwrap();
    let moment = |line: &str| line.split(' ').next().unwrap().parse::<u64>().unwrap();
    let at = moment(&world.transcript[told]);
    for line in world.transcript[told..].iter().filter(|line| line.contains("start ")) {
        assert!(moment(line) >= at + 20_000, "{line}");
    }
}

#[test]
fn failures_without_progress_come_to_an_end_and_progress_refills() {
    let (mut world, digest) = one_layer(Manners::default());
    let wanted = Box::leak(format!("/blobs/{digest}").into_boxed_str());
    world.script = (0..50).map(|_| (&*wanted, Fault::Cut(0))).collect();
    let error = world.pulled(ONE, PullOptions::default()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionFailed { reason: "ended", .. }), "{error:?}");
    assert_eq!(world.events.iter().filter(|event| matches!(event, Event::Retrying { .. })).count(), 5);

    let (mut world, _) = one_layer(Manners::default());
    let mut config = Config::default();
    config.retries.progress = 100;
    world.client = Client::new(config);
    world.script = (0..50).map(|_| (&*wanted, Fault::Cut(300))).collect();
    assert!(world.pulled(ONE, PullOptions::default()).is_ok());
}

#[test]
fn a_host_that_never_answers_is_given_up_soon() {
    for (failure, code) in [
        (Failure::Dns, "connection_failed"),
        (Failure::Refused, "connection_failed"),
        (Failure::Tls, "connection_failed"),
        (Failure::Certificate, "untrusted_certificate"),
        (Failure::Forbidden, "forbidden_target"),
    ] {
        let (mut world, _) = one_layer(Manners::default());
        world.script = (0..50).map(|_| ("/manifests/", Fault::Connect(failure))).collect();
        let error = world.pulled(ONE, PullOptions::default()).unwrap_err();
        assert_eq!(error.code(), code);
        assert!(world.requests.len() <= 3 && world.now < 5_000, "{failure:?}");
    }
    let (mut world, _) = one_layer(Manners::default());
    world.script = (0..50).map(|_| ("/manifests/", Fault::Silence)).collect();
    assert_eq!(world.pulled(ONE, PullOptions::default()).unwrap_err().code(), "timed_out");
}

#[test]
fn a_head_that_hangs_is_followed_by_a_get() {
    for fault in [Fault::Silence, Fault::Connect(Failure::Broken)] {
        let (mut world, _) = one_layer(Manners::default());
        let resolve = PullOptions { depth: Depth::Resolve, ..PullOptions::default() };
        let top = world.pulled(ONE, resolve.clone()).unwrap().top;
        world.script.push_back(("/manifests/one", fault));
        assert_eq!(world.pulled(ONE, resolve).unwrap().top.digest, top.digest);
        let methods: Vec<Method> = world.requests.iter().map(|request| request.method).collect();
        assert_eq!(methods, [Method::Head, Method::Head, Method::Get]);
    }
    // A host that never answered is asked again as before.
    let (mut world, _) = one_layer(Manners::default());
    world.script.push_back(("/manifests/one", Fault::Connect(Failure::Refused)));
    let resolve = PullOptions { depth: Depth::Resolve, ..PullOptions::default() };
    assert!(world.pulled(ONE, resolve).is_ok());
    assert!(world.requests.iter().all(|request| request.method == Method::Head));
}

#[test]
fn a_document_of_unknown_size_that_ends_early_is_asked_for_again() {
    let manners = Manners {
        auth: Auth::Bearer { lives: 300_000, anonymous: true },
        head: false,
        says_digest: false,
        ..Manners::default()
    };
    for (place, times) in [("/manifests/one", 3), ("/token", 3), ("/tags/list", 3), ("/manifests/one", 50)] {
        let (mut world, _) = one_layer(manners.clone());
        world.registry.tags = ["one".to_string()].to_vec();
        // The first answers are those to the HEAD and to a request without a token: no documents.
        world.script = (0..times).map(|_| (place, Fault::Short(10))).collect();
        let job = if place == "/tags/list" {
            world.client.tags(Millis(0), &reference(ONE), Default::default())
        } else {
            world.pull(ONE, PullOptions { depth: Depth::Document, ..PullOptions::default() })
        };
        world.run();
        match &world.finished[&job] {
            Ok(_) => assert_eq!(times, 3, "{place}"),
            Err(error) => {
                assert_eq!(times, 50, "{place}: {error:?}");
                assert!(
                    matches!(error.kind(), ErrorKind::ConnectionFailed { reason: "ended", .. }),
                    "{error:?}"
                );
            }
        }
        assert!(world.events.iter().any(|event| matches!(event, Event::Retrying { .. })), "{place}");
    }
}

#[test]
fn plain_http_is_found_on_loopback_and_where_it_is_allowed() {
    let mut registry = Registry::new(Manners { plain: true, ..Manners::default() });
    add_index(&mut registry);
    let mut world = World::new(Client::new(Config::default()), registry, 1, Style::default());
    world.script = [("https://", Fault::Connect(Failure::Tls))].into();
    assert!(world.pulled("localhost:5000/team/app:1", amd64()).is_ok());
    assert_eq!((world.requests[0].tls, world.requests[0].url.is_https()), (Tls::AcceptAny, true));
    assert_eq!(world.requests.iter().filter(|request| request.url.is_https()).count(), 1);
    assert_eq!(world.warnings, []);

    let settings = RegistrySettings { transport: Transport::Insecure };
    let config = Config { registries: [(HOST.to_string(), settings)].into(), ..Config::default() };
    let registry = core::mem::take(&mut world.registry);
    let mut world = World::new(Client::new(config), registry, 1, Style::default());
    world.script = [("https://", Fault::Connect(Failure::Refused))].into();
    assert!(world.pulled(NAME, amd64()).is_ok());
    assert_eq!(world.warnings, [Warning::PlainHttp { registry: HOST.to_string() }]);

    // Nowhere else.
    let registry = core::mem::take(&mut world.registry);
    let mut world = World::new(Client::new(Config::default()), registry, 1, Style::default());
    world.script = (0..9).map(|_| ("https://", Fault::Connect(Failure::Tls))).collect();
    assert_eq!(world.pulled(NAME, amd64()).unwrap_err().code(), "connection_failed");
    assert!(world.requests.iter().all(|request| request.url.is_https() && request.tls == Tls::Verify));
}

#[test]
fn a_slow_reader_is_no_stall() {
    let (world, _) = one_layer(Manners::default());
    let mut client = world.client;
    let name = reference(ONE);
    client.pull(Millis(0), &name, PullOptions::default());
    let Output::Start { id, request } = client.poll_output() else { panic!() };
    assert_eq!(request.reach, Reach::Any);
    let Output::Wait(Some(deadline)) = client.poll_output() else { panic!() };
    assert_eq!(deadline, Millis(60_000));
    // Refused by 404: its body is read.
    let head = Head::new(404, Headers::default());
    assert!(matches!(client.handle_head(Millis(10), id, head), Ok(BodyPlan::Discard)));
    let Output::Start { id, .. } = client.poll_output() else { panic!() };
    assert!(matches!(client.handle_head(Millis(20), id, head), Ok(BodyPlan::Feed)));
    assert!(matches!(client.poll_output(), Output::Wait(Some(Millis(30_020)))));
    client.handle_reading(Millis(30), id, false);
    assert!(matches!(client.poll_output(), Output::Wait(None)));
    client.handle_timeout(Millis(1_000_000));
    assert!(matches!(client.poll_output(), Output::Wait(None)));
    client.handle_reading(Millis(2_000_000), id, true);
    assert!(matches!(client.poll_output(), Output::Wait(Some(Millis(2_030_000)))));
    // Time that goes backwards is no time.
    client.handle_timeout(Millis(5));
    assert!(matches!(client.poll_output(), Output::Wait(Some(Millis(2_030_000)))));
    client.handle_timeout(Millis(2_030_000));
    assert!(matches!(client.poll_output(), Output::Abort { .. }));
    let Output::Event(Event::Finished(_, Err(error))) = client.poll_output() else { panic!() };
    assert_eq!(error.code(), "not_found");
}

#[test]
fn the_misuse_of_the_machine_is_named() {
    let (world, _) = one_layer(Manners::default());
    let mut client = world.client;
    let never = crate::client::ExchangeId::from_number(7);
    assert!(client.handle_head(Millis(0), never, Head::default()).is_err());
    assert!(client.handle_body(Millis(0), never, b"").is_err());
    assert!(client.handle_stored(Millis(0), never, 0).is_err());
    assert!(client.handle_end(Millis(0), never).is_err());
    assert!(client.handle_failure(Millis(0), never, Failure::Broken, "").is_err());
    assert!(client.fetch(Millis(0), crate::client::BlobId::from_number(9), 0, None).is_err());
    client.pull(Millis(0), &reference(ONE), PullOptions::default());
    let Output::Start { id, .. } = client.poll_output() else { panic!() };
    assert_eq!(client.handle_body(Millis(0), id, b"x"), Err(Misuse("a body before its head")));
    assert!(client.handle_end(Millis(0), id).is_err());
    assert!(client.handle_stored(Millis(0), id, 1).is_err());
}

#[test]
fn a_host_that_hides_headers_still_pulls() {
    let mut registry = Registry::new(Manners::default());
    add_index(&mut registry);
    let mut config = Config::default();
    config.host.headers = HeaderVisibility::Exposed;
    config.host.decodes_content_encoding = true;
    config.host.max_parallel = 1;
    let mut world = World::new(Client::new(config), registry, 1, Style { inline: true, ..Style::default() });
    world.registry.manners.says_digest = false;
    let pulled = world.pulled(NAME, amd64()).unwrap();
    world.check(&pulled);
}

#[test]
fn a_full_disk_ends_the_jobs_that_need_the_blob() {
    let (mut world, digest) = one_layer(Manners::default());
    world.sink_fails_at = Some(5_000);
    let error = world.pulled(ONE, PullOptions::default()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NoSpace { needed: 7, .. }));
    assert_eq!(error.place().blob, Some(digest));
    let _ = CDN;
}

#[test]
fn a_signature_whose_session_has_expired_is_asked_for_anew() {
    let mut registry = Registry::new(Manners { cdn: Some(1_000_000), ..Manners::default() });
    add_image(&mut registry, Some("one"), "amd64", &[bytes(7, 20_000)]);
    let mut world = World::new(Client::new(Config::default()), registry, 1, Style::default());
    let mut left = 1;
    world.canned.push((
        "/store/",
        Box::new(move |_| {
            left -= 1;
            (left >= 0).then(|| Reply::new(400, "<Error><Code>ExpiredToken</Code></Error>"))
        }),
    ));
    let pulled = world.pulled(ONE, PullOptions::default()).unwrap();
    world.check(&pulled);
}

#[test]
fn a_range_of_more_than_may_be_is_refused_where_no_size_is_known() {
    let (mut world, digest) = one_layer(Manners::default());
    world.canned.push((
        "/blobs/",
        Box::new(|_| Some(Reply::new(206, "x").with("Content-Range", "bytes 0-0/18446744073709551615"))),
    ));
    let reference = reference(&std::format!("registry.example/team/app@{digest}"));
    let job = world.client.pull_blob(world.millis(), &reference);
    world.run();
    assert_eq!(world.finished[&job].as_ref().unwrap_err().code(), "limit_exceeded");
}

#[test]
fn a_page_that_is_not_told_why_says_what_it_may_be() {
    let mut config = Config::default();
    config.host.opaque_failures = true;
    let mut client = Client::new(config);
    client.pull(Millis(0), &reference(ONE), PullOptions::default());
    let mut now = Millis(0);
    let mut tries = 0;
    let error = loop {
        match client.poll_output() {
            Output::Start { id, .. } => {
                tries += 1;
                client.handle_failure(now, id, Failure::Unknown, "Failed to fetch").unwrap();
            }
            Output::Event(Event::Finished(_, result)) => break result.unwrap_err(),
            Output::Wait(Some(until)) => {
                now = until;
                client.handle_timeout(now);
            }
            _ => {}
        }
    };
    assert_eq!(tries, 2);
    let ErrorKind::ConnectionFailed { reason: "unknown", detail: None, .. } = error.kind() else {
        panic!("{error}")
    };
    assert!(error.hint().unwrap().contains("CORS"));
}

#[test]
fn a_certificate_that_is_not_taken_is_no_reason_to_speak_plain_http() {
    let mut config = Config::default();
    config.default_registry.transport = Transport::Insecure;
    let mut client = Client::new(config);
    client.pull(Millis(0), &reference(ONE), PullOptions::default());
    loop {
        match client.poll_output() {
            Output::Start { id, request } => {
                assert!(request.url.is_https());
                client.handle_failure(Millis(0), id, Failure::Certificate, "self-signed").unwrap();
            }
            Output::Event(Event::Finished(_, result)) => {
                break assert_eq!(result.unwrap_err().code(), "untrusted_certificate");
            }
            Output::Wait(_) => panic!("it is final"),
            _ => {}
        }
    }
}
