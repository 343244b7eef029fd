//! Pulls that are cut, stopped, killed or lied to: each ends whole, or with an error that says why, and what has a name
//! has the right bytes.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testbed::faults::{Ending, Fault, FaultProxy};
use testbed::server::Response;
use testbed::tools;
use wharfie_core::client::{RegistrySettings, Transport};

use super::world::{Host, Registry, assert_honest, leftovers, noise, quick, settled};

const SIZE: usize = 3_000_000;

#[test]
fn cut_connections_are_gone_on_from() {
    let registry = Registry::start(&[SIZE, 10_000]);
    for ending in [Ending::Close, Ending::Reset, Ending::Stall(Duration::from_secs(30))] {
        let proxy = FaultProxy::start(registry.address(), move |request, seen| match seen.same {
            0 if request.path().contains("/blobs/") => Fault::cut(1_000_001, ending),
            1 if request.path().contains("/blobs/") => Fault::cut(1, ending),
            _ => Fault::none(),
        });
        let folder = tempfile::TempDir::new().unwrap();
        let mut options = quick();
        options.timeout = Duration::from_millis(500);
        let host = Host::at(folder.path(), options);
        host.pull(&proxy.image("app:1")).unwrap();
        host.assert_whole(&registry.image);
        // Nothing was fetched twice but what was under way.
        let sent: u64 = settled(&proxy).iter().filter(|it| it.reads_blob()).map(|it| it.sent).sum();
        assert!(sent < SIZE as u64 + 200_000, "{ending:?}: {sent}");
        assert!(settled(&proxy).iter().any(|it| it.status == 206));
    }
}

#[test]
fn cuts_at_any_place_are_endured() {
    const LEN: u64 = 150_000;
    let registry = Registry::start(&[LEN as usize]);
    let layer = &registry.image.layers[0];
    std::thread::scope(|scope| {
        for at in [0, 1, 2, 16_383, 16_384, 65_535, 65_536, 65_537, 131_072, LEN - 2, LEN - 1] {
            let registry = &registry;
            scope.spawn(move || {
                let name = layer.clone();
                let proxy = FaultProxy::start(registry.address(), move |request, seen| match seen.same {
                    0 if request.path().ends_with(&name) => Fault::cut(at, Ending::Reset),
                    1 if request.path().ends_with(&name) => Fault::cut((LEN - at) / 2, Ending::Close),
                    _ => Fault::none(),
                });
                let host = Host::new();
                host.pull(&proxy.image("app:1")).unwrap_or_else(|error| panic!("cut at {at}: {error}"));
                host.assert_whole(&registry.image);
            });
        }
    });
}

#[test]
fn a_registry_without_ranges_is_endured() {
    let registry = Registry::start(&[SIZE]);
    let proxy = FaultProxy::start(registry.address(), |request, seen| {
        let mut fault = Fault::none();
        if request.path().contains("/blobs/") {
            fault.ignore_range = true;
            if seen.same == 0 {
                fault.cut = Some((2_000_000, Ending::Close));
            }
        }
        fault
    });
    let host = Host::new();
    host.pull(&proxy.image("app:1")).unwrap();
    host.assert_whole(&registry.image);
}

#[test]
fn wrong_bytes_never_get_a_name() {
    let registry = Registry::start(&[SIZE, 50_000]);
    let layer = registry.image.layers[0].clone();
    // Once wrong, then right: fetched anew.
    let wrong = layer.clone();
    let proxy = FaultProxy::start(registry.address(), move |request, seen| Fault {
        flip: (request.path().ends_with(&wrong) && seen.same == 0).then_some(1_234_567),
        ..Fault::none()
    });
    let host = Host::new();
    host.pull(&proxy.image("app:1")).unwrap();
    host.assert_whole(&registry.image);

    // Always wrong.
    let wrong = layer.clone();
    let proxy = FaultProxy::start(registry.address(), move |request, _| Fault {
        flip: request.path().ends_with(&wrong).then_some(1_234_567),
        ..Fault::none()
    });
    let host = Host::new();
    let error = host.pull(&proxy.image("app:1")).unwrap_err();
    assert_eq!(error.code(), "digest_mismatch", "{error}");
    assert_eq!(error.place().blob.map(|blob| blob.to_string()), Some(layer.clone()));
    assert_eq!(host.store().has(&layer.parse().unwrap()), None);
    assert_eq!(host.store().resolve(&proxy.image("app:1").parse().unwrap()).unwrap(), None);
    host.assert_nothing_wrong();
}

#[test]
fn a_body_without_end_is_cut_off() {
    use std::io::Write as _;
    use testbed::server::{After, Server};
    let registry = Registry::start(&[100_000]);
    let manifest = registry.image.clone();
    let poured = Arc::new(AtomicUsize::new(0));
    let counted = poured.clone();
    let server = Server::start(move |request, stream| {
        if request.path().ends_with(&manifest.layers[0]) {
            // No length is promised, and there is none.
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let chunk = noise(9, 64 << 10);
            for _ in 0..(64 << 4) {
                write!(stream, "{:x}\r\n", chunk.len())?;
                stream.write_all(&chunk)?;
                stream.write_all(b"\r\n")?;
                counted.fetch_add(chunk.len(), Ordering::Relaxed);
            }
            return Ok(After::Close);
        }
        let name = request.path().rsplit('/').next().unwrap_or_default();
        let name = if name == "1" { &manifest.manifest } else { name };
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let response = match manifest.content.get(name) {
            Some(bytes) => Response::new(200).body(kind, bytes.clone()),
            None => Response::new(404),
        };
        response.send(request, stream)?;
        Ok(After::Keep)
    });
    let host = Host::new();
    let error = host.pull(&format!("{}/app:1", server.address())).unwrap_err();
    assert_eq!(error.code(), "size_mismatch", "{error}");
    assert!(poured.load(Ordering::Relaxed) < 32 << 20);
    host.assert_nothing_wrong();
}

#[test]
fn cancelled_pulls_stop_and_go_on_later() {
    let registry = Registry::start(&[SIZE, SIZE]);
    let proxy = FaultProxy::start(registry.address(), |request, _| Fault {
        pace: request.path().contains("/blobs/").then_some(Duration::from_millis(30)),
        ..Fault::none()
    });
    let folder = tempfile::TempDir::new().unwrap();
    let host = Host::at(folder.path(), quick());
    let cancel = host.driver.cancel().clone();
    let begun = Instant::now();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(600));
        cancel.cancel();
        Instant::now()
    });
    let error = host.pull(&proxy.image("app:1")).unwrap_err();
    let stopped = stopper.join().unwrap();
    assert_eq!(error.code(), "cancelled");
    assert!(
        stopped.elapsed() < Duration::from_millis(500),
        "{:?} after {:?}",
        stopped.elapsed(),
        begun.elapsed()
    );
    // And nothing more is begun.
    assert_eq!(host.pull(&proxy.image("app:1")).unwrap_err().code(), "cancelled");
    drop(host);
    assert_honest(folder.path());
    assert_eq!(leftovers(folder.path()).len(), 2);
    let came: u64 = settled(&proxy).iter().filter(|it| it.reads_blob()).map(|it| it.sent).sum();
    assert!(came > 0);

    let host = Host::at(folder.path(), quick());
    host.pull(&format!("{}/app:1", registry.address())).unwrap();
    host.assert_whole(&registry.image);
}

#[test]
fn partial_files_are_never_trusted() {
    let registry = Registry::start(&[SIZE, 20_000, 30_000]);
    let proxy = FaultProxy::start(registry.address(), |_, _| Fault::none());
    let folder = tempfile::TempDir::new().unwrap();
    let host = Host::at(folder.path(), quick());
    let partial = |at: usize| {
        let name = registry.image.layers[at].replace(':', "-");
        folder.path().join("ingest").join(format!("{name}.partial"))
    };
    // The right beginning; a beginning of something else; more than there can be.
    let right = &registry.image.content[&registry.image.layers[0]];
    std::fs::write(partial(0), &right[..2_000_000]).unwrap();
    std::fs::write(partial(1), noise(77, 15_000)).unwrap();
    std::fs::write(partial(2), noise(78, 99_000)).unwrap();
    host.pull(&proxy.image("app:1")).unwrap();
    host.assert_whole(&registry.image);
    let range = |at: usize| {
        let passed = settled(&proxy);
        let mut ranges = passed
            .iter()
            .filter(|it| it.target.ends_with(&registry.image.layers[at]))
            .map(|it| it.range.clone());
        (ranges.next().flatten(), ranges.count())
    };
    assert_eq!(range(0), (Some("bytes=2000000-2999999".to_owned()), 0));
    assert_eq!(range(1), (Some("bytes=15000-19999".to_owned()), 1), "and once more from the beginning");
    assert_eq!(range(2), (None, 0));
}

#[test]
fn a_partial_that_is_whole_only_wants_checking() {
    let registry = Registry::start(&[SIZE]);
    let proxy = FaultProxy::start(registry.address(), |_, _| Fault::none());
    let folder = tempfile::TempDir::new().unwrap();
    let host = Host::at(folder.path(), quick());
    let name = registry.image.layers[0].replace(':', "-");
    let path = folder.path().join("ingest").join(format!("{name}.partial"));
    std::fs::write(path, &registry.image.content[&registry.image.layers[0]]).unwrap();
    host.pull(&proxy.image("app:1")).unwrap();
    host.assert_whole(&registry.image);
    let sent: u64 = settled(&proxy)
        .iter()
        .filter(|it| it.target.ends_with(&registry.image.layers[0]))
        .map(|it| it.sent)
        .sum();
    assert!(sent <= 1, "{sent}");
}

/// Named by the parent in `kill -9` below: pulls and says nothing.
#[test]
fn child_that_pulls() {
    let (Ok(name), Ok(store)) = (std::env::var("WHARFIE_TEST_PULL"), std::env::var("WHARFIE_TEST_STORE"))
    else {
        return;
    };
    let mut options = quick();
    let transport = match std::env::var("WHARFIE_TEST_SCHEME").as_deref() {
        Ok("http") => Transport::Http,
        Ok("https") => Transport::Https,
        _ => Transport::Auto,
    };
    options.default_registry = RegistrySettings { transport };
    Host::at(store.as_ref(), options).pull(&name).unwrap();
}

/// A process that pulls.
pub(crate) fn puller(name: &str, store: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["interrupted::child_that_pulls", "--exact"])
        .env("WHARFIE_TEST_PULL", name)
        .env("WHARFIE_TEST_STORE", store)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

pub(crate) fn child(name: &str, store: &std::path::Path) -> std::process::Child {
    puller(name, store).spawn().unwrap()
}

#[test]
fn a_killed_process_is_gone_on_from() {
    let registry = Registry::start(&[SIZE, SIZE]);
    let slow = Arc::new(AtomicBool::new(true));
    let pace = slow.clone();
    let proxy = FaultProxy::start(registry.address(), move |request, _| Fault {
        pace: (request.path().contains("/blobs/") && pace.load(Ordering::Relaxed))
            .then_some(Duration::from_millis(40)),
        ..Fault::none()
    });
    let folder = tempfile::TempDir::new().unwrap();
    let name = proxy.image("app:1");
    // Again and again, at other places each time.
    for round in 0..3 {
        let mut child = child(&name, folder.path());
        let partials = || leftovers(folder.path()).len();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !folder.path().join("ingest").exists() || partials() < 2 {
            assert!(Instant::now() < deadline, "no partial files appear");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(150 + 100 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_honest(folder.path());
    }
    slow.store(false, Ordering::Relaxed);
    let kept: u64 = leftovers(folder.path())
        .iter()
        .map(|name| std::fs::metadata(folder.path().join("ingest").join(name)).unwrap().len())
        .sum();
    assert!(kept > 0);
    let before: u64 = settled(&proxy).iter().filter(|it| it.reads_blob()).map(|it| it.sent).sum();
    let host = Host::at(folder.path(), quick());
    host.pull(&name).unwrap();
    host.assert_whole(&registry.image);
    let sent: u64 = settled(&proxy).iter().filter(|it| it.reads_blob()).map(|it| it.sent).sum();
    // The killed connections end some time after their client: they may be counted only now.
    assert!(sent - before < 3 * SIZE as u64);
    let transfers = host.heard.transfers.lock().unwrap();
    assert!(transfers.iter().any(|it| it.position > 0));
}

/// A file system of its own, of this size.
pub(crate) struct Small(tempfile::TempDir);

impl Small {
    pub(crate) fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    pub(crate) fn read_only(&self) {
        tools::run(Command::new("mount").args(["-o", "remount,ro"]).arg(self.0.path()));
    }

    pub(crate) fn mount(what: &str, size: &str) -> Option<Small> {
        if !tools::root(what) || !tools::have(what, &["mount", "umount"]) {
            return None;
        }
        let folder = tempfile::TempDir::new().unwrap();
        let option = format!("size={size}");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &option, "wharfie-test"])
            .arg(folder.path())
            .output();
        if !done.as_ref().is_ok_and(|done| done.status.success()) {
            tools::skip(what, "no tmpfs can be mounted here");
            return None;
        }
        Some(Small(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn what_cannot_fit_is_not_begun() {
    let Some(small) = Small::mount("what_cannot_fit_is_not_begun", "2m") else { return };
    let registry = Registry::start(&[SIZE, 1000]);
    let proxy = FaultProxy::start(registry.address(), |_, _| Fault::none());
    let host = Host::at(&small.0.path().join("store"), quick());
    let error = host.pull(&proxy.image("app:1")).unwrap_err();
    assert_eq!(error.code(), "no_space", "{error}");
    let facts = error.kind().facts();
    assert!(
        facts.iter().any(|(name, fact)| *name == "needed"
            && *fact == wharfie_core::error::Fact::Number(SIZE as u64 + 1000))
    );
    assert!(facts.iter().any(|(name, _)| *name == "available"));
    // No layer was asked for.
    let asked = |digest: &String| settled(&proxy).iter().any(|it| it.target.ends_with(digest));
    assert!(!registry.image.layers.iter().any(asked));
    assert!(leftovers(host.store().root()).is_empty());
}

#[test]
fn a_disk_that_fills_up_keeps_what_came() {
    let Some(small) = Small::mount("a_disk_that_fills_up_keeps_what_came", "4m") else { return };
    let registry = Registry::start(&[SIZE]);
    let filler = small.0.path().join("filler");
    let full = filler.clone();
    let proxy = FaultProxy::start(registry.address(), move |request, seen| {
        let is_layer = request.path().contains("/blobs/") && request.header("accept").is_some();
        if is_layer && seen.same == 0 {
            // Somebody else takes the space while the pull is under way.
            let _ = std::fs::write(&full, vec![1; 2 << 20]);
        }
        Fault::none()
    });
    let store = small.0.path().join("store");
    let host = Host::at(&store, quick());
    let error = host.pull(&proxy.image("app:1")).unwrap_err();
    assert_eq!(error.code(), "no_space", "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("goes on")));
    drop(host);
    assert_honest(&store);
    let [left] = &leftovers(&store)[..] else { panic!("{:?}", leftovers(&store)) };
    let kept = std::fs::metadata(store.join("ingest").join(left)).unwrap().len();
    assert!(kept > 0);
    std::fs::remove_file(filler).unwrap();
    let host = Host::at(&store, quick());
    host.pull(&proxy.image("app:1")).unwrap();
    host.assert_whole(&registry.image);
    assert!(settled(&proxy).iter().any(|it| it.range.is_some() && it.status == 206));
}

#[test]
fn a_busy_registry_is_asked_again() {
    let registry = Registry::start(&[50_000]);
    let proxy = FaultProxy::start(registry.address(), |request, seen| match seen.same {
        0 if request.path().contains("/blobs/") => {
            Fault::answer(Response::new(429).header("Retry-After", "1").error("TOOMANYREQUESTS", "slow down"))
        }
        1 if request.path().contains("/blobs/") => Fault::answer(Response::new(503)),
        _ => Fault::none(),
    });
    let host = Host::new();
    host.pull(&proxy.image("app:1")).unwrap();
    host.assert_whole(&registry.image);
}
