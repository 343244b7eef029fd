//! Registries that lie: nothing of theirs gets a final name.

use std::time::Duration;

use testbed::faults::{Ending, Fault, FaultProxy};
use testbed::registry::Options;
use testbed::server::Response;

use crate::cargo::{Cargo, NAME};
use crate::ship::Ship;

const SIZES: &[usize] = &[1_000_000, 20_000];

fn load(what: &str) -> Option<Cargo> {
    Cargo::load(what, SIZES, &Options::default(), &[])
}

#[test]
fn wrong_bytes_are_never_kept() {
    let Some(cargo) = load("wrong bytes") else { return };
    for at in [0, 65_536, cargo.layers[0].1 - 1] {
        let large = cargo.layers[0].0.clone();
        let proxy = FaultProxy::start(cargo.registry.address(), move |request, _| Fault {
            flip: request.path().ends_with(&large).then_some(at),
            ..Fault::default()
        });
        let ship = Ship::new();
        let ran = ship.fails(&["pull", &proxy.image(NAME)], &[&cargo.layers[0].0, "digest"]);
        assert!(!ship.sound().contains_key(&cargo.layers[0].0), "{}", ran.stderr);
        ship.fails(&["export", &proxy.image(NAME), "-o", "cargo.tar"], &["digest"]);
        assert!(!ship.path("cargo.tar").exists());
        // An honest registry mends it.
        ship.ok(&["pull", &cargo.registry.image(NAME)]);
        ship.holds(&cargo.blobs);
    }
}

#[test]
fn wrong_manifests_are_refused() {
    let Some(cargo) = load("a wrong manifest") else { return };
    let proxy = FaultProxy::start(cargo.registry.address(), |request, _| Fault {
        flip: request.target.contains("/manifests/").then_some(60),
        hide: vec!["docker-content-digest"],
        ..Fault::default()
    });
    let ship = Ship::new();
    let manifest = cargo.registry.image("harbour/cargo");
    let by_digest = |host: &str| {
        let said = ship.ok(&["digest", &cargo.registry.image(NAME)]).stdout;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        manifest.replace(&cargo.registry.address().to_string(), host) + "@" + &said
    };
    ship.fails(&["pull", &by_digest(&proxy.address().to_string())], &["digest"]);
}

#[test]
fn lies_about_ranges() {
    let Some(cargo) = load("lies about ranges") else { return };
    let large = cargo.layers[0].0.clone();
    let faults: [fn(usize) -> Fault; 4] = [
        // 200 with everything where a part was asked for.
        |same| Fault {
            ignore_range: same > 0,
            cut: (same == 0).then_some((500_000, Ending::Close)),
            ..Fault::default()
        },
        // A part that is not the one asked for.
        |same| Fault {
            content_range: (same == 1).then(|| "bytes 0-499999/1000000".into()),
            cut: (same == 0).then_some((500_000, Ending::Close)),
            ..Fault::default()
        },
        // 416 although there is more.
        |same| match same {
            0 => Fault::cut(500_000, Ending::Close),
            1 => Fault::answer(Response::new(416).header("Content-Range", "bytes */1")),
            _ => Fault::none(),
        },
        // No Content-Range at all.
        |same| Fault {
            hide: if same == 1 { vec!["content-range"] } else { Vec::new() },
            cut: (same == 0).then_some((500_000, Ending::Close)),
            ..Fault::default()
        },
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let large = large.clone();
        let proxy = FaultProxy::start(cargo.registry.address(), move |request, seen| {
            if request.path().ends_with(&large) { fault(seen.same) } else { Fault::none() }
        });
        let ship = Ship::new();
        let ran = ship.run(&["pull", &proxy.image(NAME)]);
        // Whole and right, or refused; the first is usual and must hold for registries that only ignore ranges.
        if ran.code == Some(0) {
            ship.holds(&cargo.blobs);
        } else {
            assert!(number > 0 && ran.code == Some(1), "lie {number}: {}", ran.stderr);
            assert!(!ship.sound().contains_key(&cargo.layers[0].0));
        }
    }
}

#[test]
fn a_redirect_in_circles_ends() {
    let Some(cargo) = load("redirects in circles") else { return };
    let proxy = FaultProxy::start(cargo.registry.address(), |request, _| {
        if request.target.contains("/blobs/") {
            Fault::redirect(request.target.clone())
        } else {
            Fault::none()
        }
    });
    let ship = Ship::new();
    let ran = ship.fails(&["pull", &proxy.image(NAME)], &["redirect"]);
    assert!(ran.took < Duration::from_secs(60));
    for elsewhere in ["file:///etc/passwd", "gopher://127.0.0.1/", "http://169.254.169.254/latest/meta-data"]
    {
        let proxy = FaultProxy::start(cargo.registry.address(), move |request, _| {
            if request.target.contains("/blobs/") { Fault::redirect(elsewhere) } else { Fault::none() }
        });
        let ran = ship.fails(&["pull", &proxy.image(NAME), "--retries", "0", "--timeout", "3"], &[]);
        assert!(ran.took < Duration::from_secs(60), "{elsewhere}: {:?}", ran.took);
    }
}

#[test]
fn a_body_without_end_is_cut_off() {
    let Some(cargo) = load("an endless manifest") else { return };
    let proxy = FaultProxy::start(cargo.registry.address(), |request, _| {
        if request.target.contains("/manifests/") && request.method == "GET" {
            let body = vec![b' '; 64 << 20];
            Fault::answer(Response::new(200).body("application/vnd.oci.image.manifest.v1+json", body))
        } else {
            Fault::none()
        }
    });
    let ship = Ship::new();
    ship.fails(&["pull", &proxy.image(NAME)], &[]);
    let passed = proxy.passed();
    assert!(passed.iter().filter(|it| it.target.contains("/manifests/")).count() < 8, "{passed:?}");
}
