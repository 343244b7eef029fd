//! Several who use one store at once.

use std::time::{Duration, Instant};

use testbed::faults::{Fault, FaultProxy, Passed};
use wharfie::drive::TransferState;

use super::interrupted::child;
use super::world::{Host, Registry, assert_honest, quick, settled};

const SIZE: usize = 2_000_000;

fn paced(registry: &Registry, pause: u64) -> FaultProxy {
    FaultProxy::start(registry.address(), move |request, _| Fault {
        pace: request.path().contains("/blobs/").then_some(Duration::from_millis(pause)),
        ..Fault::none()
    })
}

#[test]
fn two_drivers_fetch_a_blob_once() {
    let registry = Registry::start(&[SIZE, SIZE, 10]);
    let proxy = paced(&registry, 10);
    let folder = tempfile::TempDir::new().unwrap();
    let name = proxy.image("app:1");
    let hosts = [Host::at(folder.path(), quick()), Host::at(folder.path(), quick())];
    std::thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(|| host.pull(&name).unwrap());
        }
    });
    hosts[0].assert_whole(&registry.image);
    let reads: Vec<String> =
        settled(&proxy).into_iter().filter(Passed::reads_blob).map(|it| it.target).collect();
    for layer in &registry.image.layers[..2] {
        assert_eq!(reads.iter().filter(|it| it.ends_with(layer)).count(), 1, "{reads:?}");
    }
    let waited = hosts
        .iter()
        .any(|host| host.heard.transfers.lock().unwrap().iter().any(|it| it.state == TransferState::Waiting));
    assert!(waited);
}

#[test]
fn two_processes_share_a_store_and_one_may_die() {
    let registry = Registry::start(&[SIZE, SIZE]);
    let proxy = paced(&registry, 20);
    let folder = tempfile::TempDir::new().unwrap();
    let name = proxy.image("app:1");
    let mut first = child(&name, folder.path());
    let deadline = Instant::now() + Duration::from_secs(20);
    while proxy.passed().is_empty() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    let host = Host::at(folder.path(), quick());
    std::thread::scope(|scope| {
        let second = scope.spawn(|| host.pull(&name));
        std::thread::sleep(Duration::from_millis(300));
        first.kill().unwrap();
        first.wait().unwrap();
        second.join().unwrap().unwrap();
    });
    host.assert_whole(&registry.image);
    assert_honest(folder.path());
}

#[test]
fn two_jobs_of_one_driver_share_a_blob() {
    let registry = Registry::start(&[SIZE]);
    let proxy = paced(&registry, 5);
    let host = Host::new();
    let name = proxy.image("app:1");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| host.pull(&name).unwrap());
        }
    });
    host.assert_whole(&registry.image);
    let reads = settled(&proxy)
        .into_iter()
        .filter(|it| it.reads_blob() && it.target.ends_with(&registry.image.layers[0]));
    assert_eq!(reads.count(), 1);
}

#[test]
fn nothing_is_pruned_from_under_a_pull() {
    let registry = Registry::start(&[SIZE]);
    let proxy = paced(&registry, 10);
    let folder = tempfile::TempDir::new().unwrap();
    let name = proxy.image("app:1");
    let host = Host::at(folder.path(), quick());
    std::thread::scope(|scope| {
        let pull = scope.spawn(|| host.pull(&name));
        std::thread::sleep(Duration::from_millis(100));
        let other = wharfie::store::Store::open(folder.path()).unwrap();
        assert_eq!(other.prune(&wharfie::store::Prune::default()).unwrap_err().code(), "busy");
        pull.join().unwrap().unwrap();
    });
    host.assert_whole(&registry.image);
}
