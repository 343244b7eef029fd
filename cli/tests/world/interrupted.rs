//! Pulls that are interrupted: each ends verified and complete, or with an error that says what to do, and never
//! with a wrong or half-written file under a final name.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use testbed::cdn::Cdn;
use testbed::faults::{Ending, Fault, FaultProxy};
use testbed::registry::Options;
use testbed::server::Response;
use testbed::{tools, tree};

use crate::cargo::{Cargo, NAME};
use crate::ship::{Ship, signal, wait_until};

/// A layer larger than every buffer on the way, and two small ones.
const SIZES: &[usize] = &[3_000_000, 400_000, 10_000];

fn load(what: &str) -> Option<Cargo> {
    Cargo::load(what, SIZES, &Options::default(), &[])
}

#[test]
fn the_connection_is_cut_at_many_offsets() {
    let Some(cargo) = load("cuts") else { return };
    let (large, size) = cargo.layers[0].clone();
    let offsets = [
        0,
        1,
        2,
        511,
        4095,
        4096,
        65_535,
        65_536,
        65_537,
        1_000_000,
        1_048_576,
        size / 2,
        size - 2,
        size - 1,
    ];
    for (number, offset) in offsets.into_iter().enumerate() {
        let ending = if number % 2 == 0 { Ending::Close } else { Ending::Reset };
        let large = large.clone();
        let proxy = FaultProxy::start(cargo.registry.address(), move |request, seen| {
            if request.path().ends_with(&large) && request.method == "GET" && seen.same == 0 {
                Fault::cut(offset, ending)
            } else {
                Fault::none()
            }
        });
        let ship = Ship::new();
        ship.ok(&["pull", &proxy.image(NAME)]);
        ship.holds(&cargo.blobs);
        // It went on where it was cut: what arrived was not sent again. (A reset may take some with it.)
        let sent: u64 = proxy.passed().iter().filter(|it| it.reads_blob()).map(|it| it.sent).sum();
        let config = cargo.blobs.len() as u64 * 4096;
        let lost = if matches!(ending, Ending::Reset) { size } else { 0 };
        assert!(sent <= cargo.size() + config + lost, "cut at {offset}: {sent} bytes for {}", cargo.size());
    }
}

#[test]
fn every_request_is_cut_and_progress_is_made() {
    let Some(cargo) = load("cuts of every request") else { return };
    let proxy = FaultProxy::start(cargo.registry.address(), |request, _| {
        if request.target.contains("/blobs/") { Fault::cut(300_000, Ending::Close) } else { Fault::none() }
    });
    let ship = Ship::new();
    // Ten times and more, with a budget of five: progress refills it.
    ship.ok(&["pull", &proxy.image(NAME)]);
    ship.holds(&cargo.blobs);
    assert!(proxy.blob_reads() > 10);
}

#[test]
fn without_progress_it_gives_up_and_goes_on_the_next_time() {
    let Some(cargo) = load("giving up") else { return };
    let broken = Arc::new(AtomicBool::new(true));
    let proxy = FaultProxy::start(cargo.registry.address(), {
        let broken = Arc::clone(&broken);
        let large = cargo.layers[0].0.clone();
        move |request, seen| {
            if !broken.load(Ordering::SeqCst) || !request.path().ends_with(&large) {
                Fault::none()
            } else if seen.same == 0 {
                Fault::cut(2_000_000, Ending::Close)
            } else {
                Fault::cut(0, Ending::Reset)
            }
        }
    });
    let ship = Ship::new();
    let image = proxy.image(NAME);
    ship.fails(&["pull", &image, "--retries", "2"], &["hint:"]);
    assert!(!ship.sound().contains_key(&cargo.layers[0].0));
    broken.store(false, Ordering::SeqCst);
    let before = proxy.passed().len();
    ship.ok(&["pull", &image]);
    ship.holds(&cargo.blobs);
    let sent: u64 = proxy.passed()[before..].iter().filter(|it| it.reads_blob()).map(|it| it.sent).sum();
    assert!(sent < cargo.layers[0].1 - 1_500_000, "another process goes on where one died: {sent} bytes");
}

/// A proxy that lets blobs through at about a megabyte in a second.
fn slow(cargo: &Cargo) -> FaultProxy {
    FaultProxy::start(cargo.registry.address(), |request, _| {
        let pace = request.target.contains("/blobs/").then(|| Duration::from_millis(60));
        Fault { pace, ..Fault::default() }
    })
}

/// Bytes under the store, whatever their names.
fn stored(folder: &std::path::Path) -> u64 {
    let Ok(files) = fs::read_dir(folder) else { return 0 };
    files
        .flatten()
        .map(|file| match file.metadata() {
            Ok(meta) if meta.is_dir() => stored(&file.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

#[test]
fn killed_and_started_again() {
    let Some(cargo) = load("kill -9") else { return };
    let proxy = slow(&cargo);
    let image = proxy.image(NAME);
    let ship = Ship::new();
    let mut child = ship.start(&["pull", &image]);
    wait_until(Duration::from_secs(30), || stored(ship.store()) > 1_500_000);
    child.kill().unwrap();
    child.wait().unwrap();
    let there = ship.sound();
    assert!(!there.contains_key(&cargo.layers[0].0), "it was killed too late");
    let before = proxy.passed().len();
    ship.ok(&["pull", &image]);
    ship.holds(&cargo.blobs);
    let passed = proxy.passed();
    let again: Vec<_> = passed[before..]
        .iter()
        .filter(|it| it.reads_blob() && it.target.ends_with(&cargo.layers[0].0))
        .collect();
    assert!(again.iter().any(|it| it.range.is_some() && it.status == 206), "{again:?}");
    // Nothing is left over but blobs: what was partial became whole, or goes with a prune.
    ship.ok(&["store", "prune"]);
    ship.holds(&cargo.blobs);
}

#[test]
fn an_interrupt_ends_it_in_order() {
    let Some(cargo) = load("Ctrl-C") else { return };
    let proxy = slow(&cargo);
    let image = proxy.image(NAME);
    let ship = Ship::new();
    let mut child = ship.start(&["pull", &image]);
    wait_until(Duration::from_secs(30), || stored(ship.store()) > 1_000_000);
    signal(&child, "INT");
    let status = child.wait().unwrap();
    let said = fs::read_to_string(ship.path("stderr")).unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    ship.sound();
    let before = proxy.passed().len();
    ship.ok(&["pull", &image]);
    ship.holds(&cargo.blobs);
    let sent: u64 = proxy.passed()[before..].iter().filter(|it| it.reads_blob()).map(|it| it.sent).sum();
    assert!(sent < cargo.size() - 500_000, "it goes on where it was interrupted: {sent}");

    // An export that is interrupted leaves no file.
    let ship = Ship::new();
    let mut child = ship.start(&["export", &image, "-o", "cargo.tar"]);
    wait_until(Duration::from_secs(30), || stored(ship.store()) > 500_000);
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!ship.path("cargo.tar").exists());
    crate::debian::only(&ship.path(""), &["store", "stderr"]);
}

#[test]
fn an_export_of_layers_that_arrive_is_that_of_layers_that_are_there() {
    let Some(cargo) = load("an export beside its pull") else { return };
    let there = Ship::new();
    let image = cargo.registry.image(NAME);
    there.ok(&["pull", &image]);
    for output in ["cargo.tar", "cargo.tar.gz", "cargo.tar.zst"] {
        there.ok(&["export", &image, "--offline", "-o", output]);
        let ship = Ship::new();
        let proxy = slow(&cargo);
        let mut child = ship.start(&["export", &proxy.image(NAME), "-o", output]);
        if output == "cargo.tar" {
            // It has begun before all has come.
            let begun = || {
                let files = fs::read_dir(ship.path("")).unwrap().flatten();
                let mut unnamed =
                    files.filter(|file| file.file_name().to_string_lossy().starts_with(".wharfie-"));
                unnamed.any(|file| file.metadata().is_ok_and(|meta| meta.len() > 1_000_000))
            };
            wait_until(Duration::from_secs(30), begun);
            let sent: u64 = proxy.passed().iter().filter(|it| it.reads_blob()).map(|it| it.sent).sum();
            assert!(sent < cargo.size() - 300_000, "{sent}");
        }
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(fs::read(ship.path(output)).unwrap() == fs::read(there.path(output)).unwrap(), "{output}");
        ship.holds(&cargo.blobs);
    }
}

#[test]
fn an_export_that_fails_leaves_what_was_there() {
    let Some(cargo) = load("a failed export") else { return };
    let proxy = FaultProxy::start(cargo.registry.address(), |request, _| {
        if request.target.contains("/blobs/") { Fault::cut(1000, Ending::Close) } else { Fault::none() }
    });
    let ship = Ship::new();
    fs::write(ship.path("cargo.tar"), "what was there").unwrap();
    ship.sound();
    // A kilobyte at a time is progress, so it would take for ever: the registry goes away instead.
    let image = proxy.image(NAME);
    drop(proxy);
    ship.fails(&["export", &image, "-o", "cargo.tar", "--retries", "1"], &["hint:"]);
    assert_eq!(fs::read_to_string(ship.path("cargo.tar")).unwrap(), "what was there");
    crate::debian::only(&ship.path(""), &["store", "cargo.tar", ".cache"]);
}

/// A file system of some kilobytes, unmounted when dropped.
pub(crate) struct Small(PathBuf);

impl Small {
    pub(crate) fn mount(path: PathBuf, kilobytes: u32) -> Self {
        fs::create_dir_all(&path).unwrap();
        tools::run(
            tools::command("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "none"])
                .arg(&path),
        );
        Self(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn the_disk_is_full() {
    let what = "a full disk";
    if !tools::root(what) {
        return;
    }
    let Some(cargo) = load(what) else { return };
    let image = cargo.registry.image(NAME);
    let home = Ship::new();
    let store = Small::mount(home.path("small"), 1500);
    let ship = Ship::with_store(store.0.join("store"));
    ship.fails(&["pull", &image], &["space", "hint:"]);
    ship.sound();
    // With room, the same store is filled to the end.
    tools::run(tools::command("mount").args(["-o", "remount,size=20m"]).arg(&store.0));
    ship.ok(&["pull", &image]);
    ship.holds(&cargo.blobs);

    // The output's disk is full, the store's is not.
    let out = Small::mount(home.path("out"), 1000);
    ship.fails(&["export", &image, "-o", out.0.join("cargo.tar").to_str().unwrap()], &["space", "hint:"]);
    crate::debian::only(&out.0, &[]);
    tools::run(tools::command("mount").args(["-o", "remount,size=20m"]).arg(&out.0));
    ship.ok(&["export", &image, "-o", out.0.join("cargo.tar").to_str().unwrap()]);
    let tree = tree::read_tar(fs::File::open(out.0.join("cargo.tar")).unwrap()).unwrap();
    assert_eq!(tree.keys().filter(|name| name.starts_with(b"hold/")).count(), SIZES.len());
}

#[test]
fn the_disk_fills_up_while_it_is_written() {
    // Space that was there when it was looked at, and is not when it is needed.
    let what = "a disk that fills up";
    if !tools::root(what) {
        return;
    }
    let Some(cargo) = load(what) else { return };
    let proxy = slow(&cargo);
    let home = Ship::new();
    let store = Small::mount(home.path("small"), 6000);
    let ship = Ship::with_store(store.0.join("store"));
    let child = ship.start(&["pull", &proxy.image(NAME)]);
    wait_until(Duration::from_secs(30), || stored(ship.store()) > 500_000);
    fs::write(store.0.join("ballast"), vec![1; 4_500_000]).ok();
    let output = child.wait_with_output().unwrap();
    let said = fs::read_to_string(ship.path("stderr")).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("space") && said.contains("hint:"), "{said}");
    ship.sound();
    fs::remove_file(store.0.join("ballast")).unwrap();
    ship.ok(&["pull", &proxy.image(NAME)]);
    ship.holds(&cargo.blobs);
}

#[test]
fn a_busy_registry_is_waited_for() {
    let Some(cargo) = load("429 and 503") else { return };
    let started = SystemTime::now();
    let proxy = FaultProxy::start(cargo.registry.address(), move |request, seen| {
        let read = request.target.contains("/blobs/") || request.target.contains("/manifests/");
        match seen.same {
            0 if read => Fault::answer(
                Response::new(429).header("Retry-After", "1").error("TOOMANYREQUESTS", "slow down"),
            ),
            1 if read => Fault::answer(Response::new(503)),
            2 if request.target.contains("/blobs/") => {
                // A date, and the clock that it counts from.
                let now = SystemTime::now();
                let response = Response::new(503)
                    .header("Date", date(now))
                    .header("Retry-After", date(now + Duration::from_secs(1)));
                Fault::answer(response)
            }
            _ => Fault::none(),
        }
    });
    let ship = Ship::new();
    ship.ok(&["pull", &proxy.image(NAME)]);
    ship.holds(&cargo.blobs);
    assert!(started.elapsed().unwrap() >= Duration::from_secs(2), "it did not wait");
}

/// An HTTP date, made by `date`.
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let output = tools::run(
        Command::new("date")
            .args(["-u", "-d", &format!("@{seconds}"), "+%a, %d %b %Y %H:%M:%S GMT"])
            .env("LC_ALL", "C"),
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_registry_that_stays_busy_is_an_error_that_says_so() {
    let Some(cargo) = load("429 for ever") else { return };
    let proxy = FaultProxy::start(cargo.registry.address(), |request, _| {
        if request.target.starts_with("/v2/harbour") {
            Fault::answer(
                Response::new(429).error("TOOMANYREQUESTS", "you have reached your pull rate limit"),
            )
        } else {
            Fault::none()
        }
    });
    let ship = Ship::new();
    let ran = ship.fails(&["pull", &proxy.image(NAME), "--retries", "1"], &["hint:"]);
    assert!(ran.stderr.contains("rate limit") || ran.stderr.contains("too many requests"), "{}", ran.stderr);
    let proxy = FaultProxy::start(cargo.registry.address(), |_, _| Fault::answer(Response::new(503)));
    let ran = ship.fails(&["pull", &proxy.image(NAME), "--retries", "1"], &["503"]);
    assert!(ran.took < Duration::from_secs(60));
}

#[test]
fn silence_is_noticed() {
    let Some(cargo) = load("a stall") else { return };
    let large = cargo.layers[0].0.clone();
    let proxy = FaultProxy::start(cargo.registry.address(), move |request, seen| {
        if request.path().ends_with(&large) && seen.same < 2 {
            Fault::cut(500_000, Ending::Stall(Duration::from_secs(120)))
        } else {
            Fault::none()
        }
    });
    let ship = Ship::new();
    let ran = ship.ok(&["pull", &proxy.image(NAME), "--timeout", "1"]);
    ship.holds(&cargo.blobs);
    assert!(ran.took < Duration::from_secs(30), "{:?}", ran.took);
}

#[test]
fn a_redirect_to_another_origin_takes_no_credentials_along() {
    let what = "redirects";
    let options = Options { users: &[("ship", "wright")], ..Options::default() };
    let Some(cargo) = Cargo::load(what, SIZES, &options, &["--dest-creds", "ship:wright"]) else { return };
    // The other origin cuts every body at a megabyte, and its URLs live for a moment only: to go on, the registry
    // has to be asked for a new one.
    let cdn = Cdn::start(cargo.registry.data(), Some(1_000_000));
    let sign = cdn.signer();
    let proxy = FaultProxy::start(cargo.registry.address(), move |request, _| {
        let authorized = request.header("authorization").is_some();
        match request.path().split_once("/blobs/") {
            Some((_, digest)) if authorized => Fault::redirect(sign(digest, Duration::from_millis(300))),
            _ => Fault::none(),
        }
    });
    let ship = Ship::new();
    ship.ok(&["pull", &proxy.image(NAME), "--creds", "ship:wright"]);
    ship.holds(&cargo.blobs);
    let fetched = cdn.fetched();
    assert!(fetched.iter().all(|it| !it.leaked), "credentials went to another origin");
    assert!(fetched.iter().filter(|it| it.status == 206).count() >= 2, "{fetched:?}");
    let redirects = proxy.passed().iter().filter(|it| it.status == 307).count();
    assert!(redirects >= cargo.layers.len(), "{redirects}");
}

#[test]
fn two_at_once_share_a_store() {
    let Some(cargo) = load("two processes") else { return };
    let proxy = slow(&cargo);
    let image = proxy.image(NAME);
    let ship = Ship::new();
    let other = Ship::with_store(ship.store().to_path_buf());
    let mut one = ship.start(&["pull", &image]);
    let mut two = other.start(&["pull", &image]);
    let (one, two) = (one.wait().unwrap(), two.wait().unwrap());
    let said = |ship: &Ship| fs::read_to_string(ship.path("stderr")).unwrap();
    assert!(one.success(), "{}", said(&ship));
    assert!(two.success(), "{}", said(&other));
    ship.holds(&cargo.blobs);
}

#[test]
fn what_is_there_is_not_fetched_again() {
    let Some(cargo) = load("a second pull") else { return };
    let proxy = FaultProxy::start(cargo.registry.address(), |_, _| Fault::none());
    let image = proxy.image(NAME);
    let ship = Ship::new();
    ship.ok(&["pull", &image]);
    let agents = proxy.passed();
    assert!(agents.iter().all(|it| it.agent.as_deref().is_some_and(|agent| agent.starts_with("wharfie/"))));
    let before = proxy.passed().len();
    ship.ok(&["pull", &image]);
    let passed = proxy.passed();
    let again = &passed[before..];
    assert!(again.iter().all(|it| !it.reads_blob()), "{again:?}");
    assert!(again.iter().all(|it| it.method == "HEAD" || !it.target.contains("/manifests/")), "{again:?}");
    // And nothing at all is asked for when nothing may be.
    let before = proxy.passed().len();
    let tar = ship.ok(&["export", &image, "--offline", "-o", "-"]).stdout;
    assert_eq!(
        tree::read_tar(tar.as_slice()).unwrap().keys().filter(|it| it.starts_with(b"hold/")).count(),
        3
    );
    assert_eq!(proxy.passed().len(), before);
    // A blob that rotted on the disk is found out.
    let victim = ship.store().join("blobs").join(cargo.layers[1].0.replace(':', "/"));
    let mut data = fs::read(&victim).unwrap();
    data[1000] ^= 1;
    tools::run(Command::new("chmod").arg("u+w").arg(&victim));
    fs::write(&victim, data).unwrap();
    let ran = ship.run(&["export", &image, "--offline", "-o", "rotten.tar"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(!ship.path("rotten.tar").exists());
}
