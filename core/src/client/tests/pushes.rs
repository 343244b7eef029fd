//! Pushes and copies: what goes up, in which order, and what is left when something goes wrong.

use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::intake::Intake;
use super::registry::{Auth, Manners, Registry};
use super::world::{Dice, Fault, Style, World};
use super::{CONFIG, INDEX, LAYER, MANIFEST, basic, bytes, descriptor, reference};
use crate::client::{Client, Config, Event, Outcome, Placed, PushOptions, Pushed, ReferrersOptions};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::image::Descriptor;
use crate::media_type::MediaType;
use crate::registries::{Registries, RegistriesFile};

const TO: &str = "registry.example/team/app:new";

/// What a host has: `have` by digest.
struct Made {
    top: Descriptor,
    contents: Vec<(Digest, Vec<u8>)>,
}

fn keep(made: &mut Vec<(Digest, Vec<u8>)>, bytes: impl Into<Vec<u8>>) -> (Digest, usize) {
    let bytes = bytes.into();
    let digest = Digest::sha256(&bytes);
    let len = bytes.len();
    if !made.iter().any(|(known, _)| *known == digest) {
        made.push((digest, bytes));
    }
    (digest, len)
}

fn manifest(
    made: &mut Vec<(Digest, Vec<u8>)>,
    architecture: &str,
    layers: &[Vec<u8>],
    more: &str,
) -> (Digest, usize) {
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}}}}"#
    );
    let (digest, len) = keep(made, config);
    let config = descriptor(CONFIG, digest, len);
    let layers: Vec<String> = layers
        .iter()
        .map(|layer| {
            let (digest, len) = keep(made, layer.clone());
            descriptor(LAYER, digest, len)
        })
        .collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{}]{more}}}"#,
        layers.join(",")
    );
    keep(made, text)
}

/// An index of two images that share a layer.
fn index(sizes: [usize; 3]) -> Made {
    let mut contents = Vec::new();
    let layers: Vec<Vec<u8>> =
        sizes.iter().enumerate().map(|(at, size)| bytes(at as u64 + 9, *size)).collect();
    let amd = manifest(&mut contents, "amd64", &[layers[0].clone(), layers[1].clone()], "");
    let arm = manifest(&mut contents, "arm64", &[layers[0].clone(), layers[2].clone()], "");
    let entries = [descriptor(MANIFEST, amd.0, amd.1), descriptor(MANIFEST, arm.0, arm.1)].join(",");
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#);
    let (digest, len) = keep(&mut contents, text);
    Made { top: Descriptor::new(MediaType::OciIndex, digest, len as u64), contents }
}

fn world(intake: Intake, manners: Manners, made: &Made, seed: u64, style: Style) -> World {
    let mut registry = Registry::new(manners);
    registry.intake = Some(intake);
    let mut config = Config { seed, ..Config::default() };
    config.retries.budget = if style.fault_every > 0 { 100 } else { 5 };
    let mut world = World::new(Client::new(config), registry, seed, style);
    world.have.extend(made.contents.iter().cloned());
    world.wallet.extend([basic()]);
    world
}

fn push(world: &mut World, made: &Made, options: PushOptions) -> Result<Pushed, Error> {
    let now = world.millis();
    let job = world.client.push(now, &reference(TO), &made.top, options);
    world.run();
    match world.finished.remove(&job).unwrap()? {
        Outcome::Pushed(pushed) => Ok(pushed),
        other => panic!("{other:?}"),
    }
}

/// All of it is there.
fn check(world: &World, made: &Made) {
    for (digest, bytes) in &made.contents {
        let manifest = world.registry.manifests.get(&digest.to_string()).map(|(_, bytes)| bytes);
        let found = world.registry.blobs.get(digest).or(manifest);
        assert_eq!(found, Some(bytes), "{digest}");
    }
}

#[test]
fn children_go_before_their_index_and_names_come_last() {
    let made = index([70_000, 200_000, 3]);
    let mut world = world(Intake::default(), Manners::default(), &made, 1, Style::default());
    let options =
        PushOptions { tags: ["latest".to_string(), "new".to_string()].into(), ..PushOptions::default() };
    let pushed = push(&mut world, &made, options).unwrap();
    check(&world, &made);
    assert_eq!(pushed.tags, ["new", "latest"]);
    assert_eq!((pushed.sent, pushed.mounted, pushed.present), (5, 0, 0));
    let named: Vec<&str> = world.registry.intake().named.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(named.len(), 4);
    assert_eq!(named[2..], ["new", "latest"]);
    assert!(named[..2].iter().all(|name| name.starts_with("sha256:")));

    // Again: only the names are put.
    let before = world.registry.log.len();
    let pushed = push(&mut world, &made, PushOptions::default()).unwrap();
    assert_eq!((pushed.sent, pushed.present), (0, 1));
    let log = &world.registry.log[before..];
    assert_eq!(log.len(), 2, "{log:?}");

    // By digest alone it has no name.
    let mut fresh = self::world(Intake::default(), Manners::default(), &made, 1, Style::default());
    let name = format!("registry.example/team/app@{}", made.top.digest);
    let job = fresh.client.push(fresh.millis(), &reference(&name), &made.top, PushOptions::default());
    fresh.run();
    assert!(matches!(&fresh.finished[&job], Ok(Outcome::Pushed(pushed)) if pushed.tags.is_empty()));
    check(&fresh, &made);

    // Under another digest it is not pushed.
    let name = format!("registry.example/team/app@{}", Digest::sha256(b"other"));
    let job = fresh.client.push(fresh.millis(), &reference(&name), &made.top, PushOptions::default());
    fresh.run();
    assert_eq!(fresh.finished[&job].as_ref().unwrap_err().code(), "digest_mismatch");
}

#[test]
fn what_is_there_is_not_sent_again() {
    let made = index([70_000, 200_000, 3]);
    let mut world = world(Intake::default(), Manners::default(), &made, 1, Style::default());
    for (_, bytes) in made.contents.iter().take(2) {
        world.registry.add_blob(bytes.clone());
    }
    let pushed = push(&mut world, &made, PushOptions::default()).unwrap();
    assert_eq!((pushed.sent, pushed.present), (3, 2));
    check(&world, &made);
    let placed = |how| {
        let is_so = |event: &&Event| matches!(event, Event::Placed { how: found, .. } if *found == how);
        world.events.iter().filter(is_so).count()
    };
    assert_eq!((placed(Placed::Present), placed(Placed::Sent)), (2, 3));
}

#[test]
fn blobs_are_mounted_from_where_they_are() {
    let made = index([70_000, 200_000, 3]);
    let mut intake = Intake::default();
    for (digest, bytes) in &made.contents {
        intake.base.insert(*digest, bytes.clone());
    }
    let mut world = world(intake, Manners::default(), &made, 1, Style::default());
    let mount_from = ["team/other".to_string(), "team/base".to_string()].into();
    let pushed = push(&mut world, &made, PushOptions { mount_from, ..PushOptions::default() }).unwrap();
    assert_eq!((pushed.sent, pushed.mounted), (0, 5));
    check(&world, &made);

    // A registry that mounts nothing has opened an upload instead.
    let intake = based(Intake { mount: false, ..Intake::default() }, &made);
    let mut world = self::world(intake, Manners::default(), &made, 1, Style::default());
    let mount_from = ["team/base".to_string()].into();
    let pushed = push(&mut world, &made, PushOptions { mount_from, ..PushOptions::default() }).unwrap();
    assert_eq!((pushed.sent, pushed.mounted), (5, 0));
    assert_eq!(world.registry.count("POST"), 5);
    check(&world, &made);
}

#[test]
fn small_blobs_come_with_the_request_where_that_is_taken() {
    let made = index([10, 200_000, 3]);
    for single in [true, false] {
        let intake = Intake { single, ..Intake::default() };
        let mut world = world(intake, Manners::default(), &made, 1, Style::default());
        let pushed = push(&mut world, &made, PushOptions::default()).unwrap();
        assert_eq!(pushed.sent, 5);
        check(&world, &made);
        assert_eq!(world.registry.count("POST"), 5);
        let puts = world
            .registry
            .log
            .iter()
            .filter(|line| line.starts_with("PUT") && line.contains("uploads"))
            .count();
        assert_eq!(puts, if single { 1 } else { 5 });
    }
}

#[test]
fn chunks_are_as_large_as_the_registry_wants_them() {
    let made = index([70_000, 200_000, 0]);
    let intake = Intake { chunk_min: Some(50_000), absolute: true, ..Intake::default() };
    let mut world = world(intake, Manners::default(), &made, 1, Style::default());
    push(&mut world, &made, PushOptions { chunk: Some(1_000), ..PushOptions::default() }).unwrap();
    check(&world, &made);
    let patches: Vec<_> =
        world.requests.iter().filter_map(|request| request.headers.one("content-range")).collect();
    assert!(patches.contains(&"150000-199999"), "{patches:?}");
    assert!(patches.contains(&"50000-69999"), "{patches:?}");

    // Too much at once is sent in parts.
    let intake = Intake { most: Some(60_000), chunk_min: Some(1), ..Intake::default() };
    let mut world = self::world(intake, Manners::default(), &made, 1, Style::default());
    push(&mut world, &made, PushOptions { chunk: Some(60_000), ..PushOptions::default() }).unwrap();
    check(&world, &made);
}

/// The registry has it in `team/base`.
fn based(mut intake: Intake, made: &Made) -> Intake {
    for (digest, bytes) in &made.contents {
        let text = core::str::from_utf8(bytes).unwrap_or_default();
        if text.contains("schemaVersion") {
            let kind = if text.contains("manifests") { INDEX } else { MANIFEST };
            intake.base_manifests.insert(digest.to_string(), (kind.to_string(), bytes.clone()));
        } else {
            intake.base.insert(*digest, bytes.clone());
        }
    }
    intake
}

#[test]
fn what_is_too_large_for_one_request_goes_in_parts_unasked() {
    let made = index([20 << 20, 1000, 3]);
    let intake = Intake { most: Some(17 << 20), ..Intake::default() };
    let mut world = world(intake, Manners::default(), &made, 1, Style::default());
    push(&mut world, &made, PushOptions::default()).unwrap();
    check(&world, &made);
}

#[test]
fn a_single_byte_goes_in_a_chunk() {
    let made = index([1, 1000, 3]);
    let mut world = world(Intake::default(), Manners::default(), &made, 1, Style::default());
    push(&mut world, &made, PushOptions { chunk: Some(1), ..PushOptions::default() }).unwrap();
    check(&world, &made);
}

#[test]
fn what_a_registry_finds_by_itself_is_not_sent() {
    let made = index([70_000, 200_000, 3]);
    let mut world = world(
        based(Intake { finds: true, ..Intake::default() }, &made),
        Manners::default(),
        &made,
        1,
        Style::default(),
    );
    let pushed = push(&mut world, &made, PushOptions::default()).unwrap();
    // What is small is sent with the request that would ask.
    assert_eq!((pushed.sent, pushed.mounted), (2, 3));
    check(&world, &made);
}

#[test]
fn who_does_not_say_how_far_an_upload_has_come_gets_it_again() {
    let made = index([70_000, 200_000, 3]);
    let mut world =
        world(Intake { mute: true, ..Intake::default() }, Manners::default(), &made, 1, Style::default());
    let largest = made.contents.iter().find(|(_, bytes)| bytes.len() == 200_000).unwrap().0;
    let wanted: &str = Box::leak(format!("digest=sha256%3A{}", largest.hex()).into_boxed_str());
    world.script = [(wanted, Fault::Sent(50_000))].into();
    push(&mut world, &made, PushOptions::default()).unwrap();
    check(&world, &made);
}

#[test]
fn a_copy_asks_for_its_blobs_where_the_users_rules_say() {
    // Nobody knows the host that the name says: what stands for it is in the rules alone.
    let made = index([70_000, 200_000, 3]);
    let mut world = world(
        based(Intake { mount: false, ..Intake::default() }, &made),
        Manners::default(),
        &made,
        1,
        Style::default(),
    );
    world.have.clear();
    let rules = "[[registry]]\nprefix = 'gone.example/base'\nlocation = 'registry.example/team/base'\n";
    let mut sources = Registries::default();
    let file: RegistriesFile = toml::from_str(rules).unwrap();
    sources.add(file, "r.conf").unwrap();
    world.client = Client::new(Config { sources, ..Config::default() });
    let from = reference(&format!("gone.example/base@{}", made.top.digest));
    let to = reference(TO);
    let job = world.client.copy(world.millis(), &from, &to, &made.top, PushOptions::default());
    world.run();
    assert!(world.finished[&job].is_ok(), "{:?}", world.finished[&job]);
    check(&world, &made);
}

#[test]
fn a_broken_upload_goes_on_where_it_broke() {
    let made = index([70_000, 200_000, 3]);
    let mut world = world(Intake::default(), Manners::default(), &made, 1, Style::default());
    let largest = made.contents.iter().find(|(_, bytes)| bytes.len() == 200_000).unwrap().0;
    let wanted: &str = Box::leak(format!("digest=sha256%3A{}", largest.hex()).into_boxed_str());
    world.script = [(wanted, Fault::Sent(50_000))].into();
    push(&mut world, &made, PushOptions::default()).unwrap();
    check(&world, &made);
    let patched: Vec<_> =
        world.requests.iter().filter_map(|request| request.headers.one("content-range")).collect();
    assert_eq!(patched, ["50000-199999"]);

    // The response of the last request is lost: the upload is gone, and the blob is there.
    let mut world = self::world(Intake::default(), Manners::default(), &made, 1, Style::default());
    world.script = [("/uploads/session-0?_state=0%2B&digest=sha256%3A", Fault::Lost)].into();
    let pushed = push(&mut world, &made, PushOptions::default()).unwrap();
    assert_eq!((pushed.sent, pushed.present), (4, 1));
    check(&world, &made);
}

#[test]
fn a_registry_that_loses_every_upload_is_given_up() {
    let made = index([70_000, 200_000, 3]);
    let intake = Intake { forgets: Some(1), ..Intake::default() };
    let mut world = world(intake, Manners::default(), &made, 1, Style::default());
    let error = push(&mut world, &made, PushOptions::default()).unwrap_err();
    assert_eq!(error.code(), "protocol_violation", "{error}");
    assert!(world.registry.intake().named.is_empty());
}

#[test]
fn what_the_host_cannot_read_ends_the_push() {
    let made = index([70_000, 200_000, 3]);
    let mut world = world(Intake::default(), Manners::default(), &made, 1, Style::default());
    let job = world.client.push(world.millis(), &reference(TO), &made.top, PushOptions::default());
    loop {
        assert!(world.turn());
        let lost = world.events.iter().find_map(|event| match event {
            Event::Source { blob, .. } => Some(*blob),
            _ => None,
        });
        if let Some(blob) = lost {
            let reason = "gone".to_string();
            let error = Error::from(ErrorKind::LocalIo { operation: "reading a blob", reason });
            world.client.handle_source_failure(world.millis(), blob, error).unwrap();
            break;
        }
    }
    world.run();
    assert_eq!(world.finished[&job].as_ref().unwrap_err().code(), "local_io");
    assert!(world.registry.intake().named.is_empty());
}

#[test]
fn referrers_are_told_by_a_tag_where_the_registry_keeps_none() {
    let mut contents = Vec::new();
    let image = manifest(&mut contents, "amd64", &[bytes(1, 10)], "");
    let top = Descriptor::new(MediaType::OciManifest, image.0, image.1 as u64);
    let image_made = Made { top, contents };
    let subject = descriptor(MANIFEST, image.0, image.1);
    let signature = |text: &str| {
        let mut contents = Vec::new();
        let more = format!(r#","artifactType":"application/x.{text}","subject":{subject}"#);
        let made = manifest(&mut contents, text, &[bytes(2, 20)], &more);
        Made { top: Descriptor::new(MediaType::OciManifest, made.0, made.1 as u64), contents }
    };
    for subjects in [true, false] {
        let intake = Intake { subjects, ..Intake::default() };
        let mut world = world(intake, Manners::default(), &image_made, 1, Style::default());
        push(&mut world, &image_made, PushOptions::default()).unwrap();
        for kind in ["sbom", "sig", "sig"] {
            let made = signature(kind);
            world.have.extend(made.contents.iter().cloned());
            let name = format!("registry.example/team/app@{}", made.top.digest);
            let job = world.client.push(world.millis(), &reference(&name), &made.top, PushOptions::default());
            world.run();
            assert!(world.finished[&job].is_ok(), "{:?}", world.finished[&job]);
        }
        let tag = format!("sha256-{}", image.0.hex());
        assert_eq!(world.registry.manifests.contains_key(&tag), !subjects);
        for (wanted, count) in [(None, 2), (Some("application/x.sig"), 1), (Some("application/x.other"), 0)] {
            let options = ReferrersOptions { artifact_type: wanted.map(ToString::to_string) };
            let repository = reference("registry.example/team/app");
            let job = world.client.referrers(world.millis(), &repository, image.0, options);
            world.run();
            let found = &world.finished[&job];
            assert!(matches!(found, Ok(Outcome::Referrers(found)) if found.len() == count), "{found:?}");
        }
    }
}

#[test]
fn what_is_named_is_deleted() {
    let made = index([70, 20, 3]);
    let mut world = world(Intake::default(), Manners::default(), &made, 1, Style::default());
    push(&mut world, &made, PushOptions::default()).unwrap();
    let job = world.client.delete(world.millis(), &reference(TO));
    world.run();
    assert_eq!(world.finished[&job], Ok(Outcome::Deleted));
    assert!(!world.registry.manifests.contains_key("new"));
    let job = world.client.delete(world.millis(), &reference(TO));
    world.run();
    assert_eq!(world.finished[&job].as_ref().unwrap_err().code(), "not_found");
}

#[test]
fn a_copy_mounts_or_fetches_what_the_target_lacks() {
    let made = index([70_000, 200_000, 3]);
    for mount in [true, false] {
        let intake = based(Intake { mount, ..Intake::default() }, &made);
        let mut world = world(intake, Manners::default(), &made, 1, Style::default());
        world.have.clear();
        let from = reference(&format!("registry.example/team/base@{}", made.top.digest));
        let options = PushOptions::default();
        let job = world.client.copy(world.millis(), &from, &reference(TO), &made.top, options);
        world.run();
        let Ok(Outcome::Pushed(pushed)) = &world.finished[&job] else { panic!("{:?}", world.finished[&job]) };
        assert_eq!((pushed.sent, pushed.mounted), if mount { (0, 5) } else { (5, 0) });
        check(&world, &made);

        // Another name in the same repository is one request and its document.
        let before = world.registry.log.len();
        let from = reference(&format!("registry.example/team/app@{}", made.top.digest));
        let to = reference("registry.example/team/app:other");
        let job = world.client.copy(world.millis(), &from, &to, &made.top, PushOptions::default());
        world.run();
        assert!(world.finished[&job].is_ok());
        assert_eq!(world.registry.log.len() - before, 2);
    }
}

/// Whatever goes wrong, the registry ends with all of it or with none of its names moved.
fn schedule(seed: u64) {
    let mut dice = Dice::new(seed ^ 0xb0a7);
    let made = index([dice.below(80_000) as usize, dice.below(300_000) as usize, 3]);
    let auth = match dice.below(3) {
        0 => Auth::Open,
        1 => Auth::Basic,
        _ => Auth::Bearer { lives: 2_000, anonymous: false },
    };
    let busy = [None, Some((5, 429)), Some((7, 503))][dice.below(3) as usize];
    let manners = Manners { auth, busy, says_digest: !dice.once_in(4), ..Manners::default() };
    let intake = Intake {
        single: dice.once_in(2),
        mount: dice.once_in(2),
        chunk_min: [None, Some(10_000)][dice.below(2) as usize],
        subjects: dice.once_in(2),
        forgets: [None, None, Some(11)][dice.below(3) as usize],
        absolute: dice.once_in(3),
        ..Intake::default()
    };
    let style = Style { fault_every: 2 + dice.below(5), most_faults: 40, ..Style::default() };
    let patient = dice.once_in(2);
    let mut world = world(intake, manners, &made, seed, style);
    if !patient {
        let config = Config { seed, ..Config::default() };
        world.client = Client::new(config);
    }
    let chunk = [None, Some(30_000)][dice.below(2) as usize];
    let force = dice.once_in(5);
    let options = PushOptions { chunk, force, tags: ["b".to_string()].into(), ..PushOptions::default() };
    let result = push(&mut world, &made, options);
    let named = |name: &str| world.registry.manifests.contains_key(name);
    match result {
        Ok(pushed) => {
            assert_eq!(pushed.tags, ["new", "b"]);
            assert!(named("new") && named("b"));
            check(&world, &made);
        }
        // A name may have moved whose answer was lost; but then all of it is there.
        Err(_) if named("new") => check(&world, &made),
        Err(error) => {
            let is_patient = patient && world.registry.intake().forgets.is_none();
            assert!(!is_patient, "seed {seed}: {error}");
        }
    }
}

#[test]
fn seeded_schedules_end_whole_or_not_at_all() {
    for seed in 0..600 {
        schedule(seed);
    }
}

#[test]
#[ignore = "the long run: cargo test -p wharfie-core --release --lib pushes -- --ignored"]
fn many_seeded_schedules_end_whole_or_not_at_all() {
    for seed in 0..60_000 {
        schedule(seed);
    }
}
