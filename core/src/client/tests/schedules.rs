//! Thousands of seeded schedules: whatever goes wrong in whatever order, what is finished is right, every deadline
//! advances, and the same seed gives the same transcript.

use std::vec::Vec;

use super::registry::{Auth, Manners, Registry};
use super::world::{Dice, Style, World};
use super::{add_index, amd64, basic};
use crate::client::{Client, Config, HeaderVisibility, Outcome, Parallel, PullOptions, Retries};
use crate::error::Error;

/// What a seed makes: a world, and whether every pull in it must come to a good end.
fn build(seed: u64) -> (World, bool) {
    let mut dice = Dice::new(seed ^ 0x5eed);
    let ranges = !dice.once_in(4);
    let auth = match dice.below(4) {
        0 => Auth::Open,
        1 => Auth::Basic,
        2 => Auth::Bearer { lives: 2_000, anonymous: true },
        _ => Auth::Bearer { lives: 60_000, anonymous: false },
    };
    let patient = dice.once_in(2);
    let cdn = match dice.below(3) {
        0 => None,
        1 if !patient => Some(30),
        _ => Some(100_000),
    };
    let manners = Manners {
        cdn,
        ranges,
        head: !dice.once_in(3),
        says_digest: !dice.once_in(4),
        busy: [None, Some((5, 429)), Some((7, 503))][dice.below(3) as usize],
        plain: false,
        auth,
    };
    let mut config = Config { seed, ..Config::default() };
    config.parallel = Parallel { blobs: 1 + dice.below(6) as u32, per_host: 1 + dice.below(8) as u32 };
    config.host.max_parallel = 1 + dice.below(8) as u32;
    if dice.once_in(5) {
        config.host.headers = HeaderVisibility::Exposed;
    }
    config.retries.progress = 1 + dice.below(10_000);
    if patient {
        config.retries = Retries { budget: 1_000, ..config.retries };
    }
    let largest = if dice.once_in(8) { 20 } else { 3_000 };
    let style = Style {
        inline: dice.once_in(3),
        chunk: 1 + dice.below(largest) as usize,
        fault_every: dice.below(5),
        most_faults: if ranges { 30 } else { 3 },
    };
    let mut registry = Registry::new(manners);
    add_index(&mut registry);
    let mut world = World::new(Client::new(config), registry, seed, style);
    world.wallet.extend([basic()]);
    // An earlier process left parts behind, some of them wrong.
    let blobs: Vec<_> = world.registry.blobs.iter().map(|(digest, bytes)| (*digest, bytes.clone())).collect();
    for (digest, mut bytes) in blobs {
        if dice.once_in(4) && bytes.len() > 300 {
            bytes.truncate(dice.below(bytes.len() as u64 + 1) as usize);
            if dice.once_in(3) && !bytes.is_empty() {
                bytes[0] ^= 1;
            }
            world.partial.insert(digest, bytes);
        }
    }
    (world, patient)
}

fn run(seed: u64) -> (World, Vec<Result<Outcome, Error>>) {
    let (mut world, patient) = build(seed);
    let mut dice = Dice::new(seed);
    let first = world.pull("registry.example/team/app:1", amd64());
    let second = match dice.below(3) {
        0 => Some(world.pull("registry.example/team/app:1", PullOptions::default())),
        1 => Some(world.client.tags(
            world.millis(),
            &super::reference("registry.example/team/app"),
            Default::default(),
        )),
        _ => None,
    };
    // Somebody loses patience.
    let leaves = second.filter(|_| dice.once_in(6));
    if let Some(job) = leaves {
        for _ in 0..dice.below(200) {
            world.turn();
        }
        world.client.cancel(world.millis(), job);
    }
    world.run();
    let mut results = Vec::new();
    for job in [Some(first), second].into_iter().flatten() {
        let result =
            world.finished.get(&job).cloned().unwrap_or_else(|| panic!("seed {seed}: {job:?} has no end"));
        match &result {
            Ok(Outcome::Pulled(pulled)) => world.check(pulled),
            Ok(_) => {}
            Err(error) if leaves == Some(job) && error.code() == "cancelled" => {}
            Err(error) => {
                assert!(!patient, "seed {seed}: {error}\n{}", world.transcript.join("\n"));
                let allowed = [
                    "connection_failed",
                    "timed_out",
                    "server_error",
                    "rate_limited",
                    "protocol_violation",
                    "denied",
                    "size_mismatch",
                    "not_found",
                ];
                assert!(allowed.contains(&error.code()), "seed {seed}: {error}");
            }
        }
        results.push(result);
    }
    assert_eq!(world.client.progress(crate::client::BlobId(0)), None);
    (world, results)
}

#[test]
fn whatever_goes_wrong_what_is_pulled_is_right() {
    let mut good = 0;
    for seed in 0..3_000 {
        let (_, results) = run(seed);
        good += usize::from(results.iter().all(Result::is_ok));
    }
    // Most worlds are kind enough.
    assert!(good > 2_000, "only {good} of 3000");
}

/// For long runs: `cargo test -p wharfie-core --lib many_more -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn many_more_schedules() {
    for seed in 3_000..60_000 {
        run(seed);
    }
}

/// What once went wrong.
#[test]
fn schedules_that_were_traps() {
    // A place that comes free because a token is no longer wanted is taken at once.
    run(18_704);
    // A host that is slow again and again makes every token too old.
    run(42_969);
}

#[test]
fn the_same_seed_gives_the_same_transcript() {
    for seed in 0..50 {
        let (first, _) = run(seed);
        let (second, _) = run(seed);
        assert_eq!(first.transcript, second.transcript, "seed {seed}");
    }
    assert_ne!(run(1).0.transcript, run(2).0.transcript);
}
