//! Pulls by the user's rules: mirrors that have it, lack it, lie, are silent or gone.

use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::registry::{Manners, Registry, Reply};
use super::world::{Fault, Style, World};
use super::{add_image, bytes, reference};
use crate::client::{Client, Config, Event, Failure, PullOptions, Pulled, Warning};
use crate::digest::Digest;
use crate::error::Error;
use crate::registries::{Registries, RegistriesFile};

/// What is pulled; only its mirror is there, as `registry.example/team/app`.
const NAME: &str = "upstream.example/x/app:one";
/// A mirror that is there.
const GOOD: &str = "[[registry.mirror]]\nlocation = 'registry.example/team'\n";
/// One that is asked before it.
const FIRST: &str = "[[registry.mirror]]\nlocation = 'first.example/hub'\n";

fn rules(text: &str) -> Registries {
    let mut rules = Registries::default();
    let file: RegistriesFile = toml::from_str(text).unwrap();
    rules.add(file, "r.conf").unwrap();
    rules
}

/// A world with the image of one layer at `registry.example/team/app`, and these mirrors of `upstream.example/x`.
fn mirrored(mirrors: &str) -> (World, Vec<u8>) {
    let mut registry = Registry::new(Manners::default());
    let layer = bytes(7, 20_000);
    add_image(&mut registry, Some("one"), "amd64", core::slice::from_ref(&layer));
    let text =
        format!("[[registry]]\nprefix = 'upstream.example/x'\nlocation = 'upstream.example/x'\n{mirrors}");
    let config = Config { sources: rules(&text), ..Config::default() };
    (World::new(Client::new(config), registry, 3, Style::default()), layer)
}

fn pull(world: &mut World) -> Result<Pulled, Error> {
    world.pulled(NAME, PullOptions::default())
}

fn asked(world: &World, host: &str) -> Vec<String> {
    let urls = world.requests.iter().map(|request| &request.url);
    urls.filter(|url| url.host() == host).map(ToString::to_string).collect()
}

fn passed_over(world: &World) -> Vec<&str> {
    let warnings = world.warnings.iter().filter_map(|warning| match warning {
        Warning::MirrorPassedOver { mirror, .. } => Some(mirror.as_str()),
        _ => None,
    });
    warnings.collect()
}

#[test]
fn a_mirror_gives_all_of_it() {
    let (mut world, _) = mirrored(GOOD);
    let pulled = pull(&mut world).unwrap();
    world.check(&pulled);
    assert!(asked(&world, "upstream.example").is_empty());
    assert!(passed_over(&world).is_empty());
    let answered = world.events.iter().find_map(|event| match event {
        Event::Answered { endpoint, .. } => Some((endpoint.to_string(), endpoint.file.clone())),
        _ => None,
    });
    assert_eq!(answered, Some(("registry.example/team/app".to_string(), Some("r.conf".to_string()))));
}

#[test]
fn a_mirror_is_told_for_whom_it_stands_if_it_wants_that() {
    let (mut world, _) = mirrored(&format!("{GOOD}ns = true\n"));
    let pulled = pull(&mut world).unwrap();
    world.check(&pulled);
    for url in asked(&world, "registry.example") {
        assert!(url.ends_with("?ns=upstream.example"), "{url}");
    }
}

#[test]
fn a_mirror_that_is_not_there_costs_one_request() {
    for by_digest in [false, true] {
        let (mut world, _) = mirrored(&format!("{FIRST}{GOOD}"));
        let digest = Digest::sha256(&world.registry.manifests["one"].1);
        world.script = [("first.example", Fault::Connect(Failure::Refused))].into();
        world.canned.push(("first.example", Box::new(|_| Some(Reply::new(200, "")))));
        let name = if by_digest { format!("upstream.example/x/app@{digest}") } else { NAME.to_string() };
        let pulled = world.pulled(&name, PullOptions::default()).unwrap();
        world.check(&pulled);
        assert_eq!(asked(&world, "first.example").len(), 1, "{by_digest}");
        assert_eq!(passed_over(&world), ["first.example/hub/app"]);
        assert!(world.now < 1000, "{} ms", world.now);
    }
}

#[test]
fn a_mirror_that_is_silent_costs_little() {
    let (mut world, _) = mirrored(&format!("{FIRST}{GOOD}"));
    world.script = [("first.example", Fault::Silence)].into();
    world.canned.push(("first.example", Box::new(|_| Some(Reply::new(200, "")))));
    let pulled = pull(&mut world).unwrap();
    world.check(&pulled);
    assert_eq!(asked(&world, "first.example").len(), 1);
    assert!((10_000..11_000).contains(&world.now), "{} ms", world.now);
}

#[test]
fn a_mirror_without_the_image_or_the_right_to_it_is_passed_over() {
    for (status, most) in [(404, 2), (401, 2), (403, 2), (500, 3), (429, 3)] {
        let (mut world, _) = mirrored(&format!("{FIRST}{GOOD}"));
        let refuse = move |_: &_| Some(Reply::error(status, "NO"));
        world.canned.push(("first.example", Box::new(refuse)));
        let pulled = pull(&mut world).unwrap();
        world.check(&pulled);
        let requests = asked(&world, "first.example").len();
        assert!(requests <= most, "{status}: {requests}");
        assert_eq!(passed_over(&world), ["first.example/hub/app"], "{status}");
    }
}

#[test]
fn what_a_mirror_lacks_or_gets_wrong_comes_from_the_next() {
    let (_, layer) = mirrored(GOOD);
    let digest = Digest::sha256(&layer);
    let at_mirror: &str = Box::leak(format!("registry.example/v2/team/app/blobs/{digest}").into_boxed_str());
    let lacks = |world: &mut World| {
        world.canned.push((at_mirror, Box::new(|_| Some(Reply::error(404, "BLOB_UNKNOWN")))));
    };
    let lies = |world: &mut World| {
        world.script = [(at_mirror, Fault::Flip(77)), (at_mirror, Fault::Flip(5))].into();
    };
    for (number, spoil) in [&lacks as &dyn Fn(&mut World), &lies].into_iter().enumerate() {
        let (mut world, layer) = mirrored(GOOD);
        spoil(&mut world);
        let upstream = move |_: &_| Some(Reply::new(200, layer.clone()));
        world.canned.push(("upstream.example/v2/x/app/blobs", Box::new(upstream)));
        let pulled = pull(&mut world).unwrap();
        world.check(&pulled);
        assert_eq!(asked(&world, "upstream.example").len(), 1, "{number}");
        assert_eq!(passed_over(&world), ["registry.example/team/app"], "{number}");
    }
}

#[test]
fn what_is_blocked_is_not_asked_for() {
    let registry = Registry::new(Manners::default());
    let sources = rules("[[registry]]\nlocation = 'registry.example'\nblocked = true");
    let config = Config { sources, ..Config::default() };
    let mut world = World::new(Client::new(config), registry, 3, Style::default());
    let error = world.pulled("registry.example/team/app:one", PullOptions::default()).unwrap_err();
    assert_eq!(error.code(), "registry_blocked");
    assert!(error.to_string().contains("r.conf"), "{error}");
    let now = world.millis();
    world.client.delete(now, &reference("registry.example/team/app:one"));
    world.client.check(now, "registry.example");
    world.run();
    assert!(world.finished.values().all(|end| end.as_ref().is_err_and(|e| e.code() == "registry_blocked")));
    assert!(world.requests.is_empty());
}

#[test]
fn credentials_of_the_image_are_not_asked_for_a_mirror() {
    let (mut world, _) = mirrored(&format!("{FIRST}{GOOD}"));
    let challenge =
        |_: &_| Some(Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", "Basic realm=\"first\""));
    world.canned.push(("first.example", Box::new(challenge)));
    let pulled = pull(&mut world).unwrap();
    world.check(&pulled);
    let questions = world.events.iter().filter_map(|event| match event {
        Event::NeedCredentials { registry, stands_for, .. } => {
            Some((registry.as_str(), stands_for.as_deref()))
        }
        _ => None,
    });
    assert_eq!(questions.collect::<Vec<_>>(), [("first.example", Some("upstream.example"))]);
}
