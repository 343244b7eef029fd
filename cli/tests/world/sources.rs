//! Where images come from: mirrors, proxies, blocked places, short names, certificates of single hosts.

use std::fs;
use std::process::Command;
use std::time::Duration;

use testbed::registry::{Options, Registry};
use testbed::tls::Authority;
use testbed::tunnel::{HOST, Tunnel};

use crate::cargo::{Cargo, NAME};
use crate::ship::{Ran, Ship};

const SIZES: &[usize] = &[200_000, 100_000, 9_000];
/// No resolver knows it: what is pulled by this name came from elsewhere.
const UPSTREAM: &str = "upstream.wharf.test";

/// A rule for [`UPSTREAM`] with these mirrors.
fn rules(mirrors: &[&str]) -> String {
    let mut text = format!("[[registry]]\nlocation = \"{UPSTREAM}\"\n");
    for mirror in mirrors {
        text.push_str(&format!("[[registry.mirror]]\nlocation = \"{mirror}\"\ninsecure = true\n"));
    }
    text
}

/// Runs with this text as the only registries.conf.
fn run(ship: &Ship, settings: &str, arguments: &[&str]) -> Ran {
    let file = ship.path("r.conf");
    fs::write(&file, settings).unwrap();
    let file = file.display().to_string();
    let mut words = arguments.to_vec();
    words.extend(["--registries-conf", &file]);
    crate::ship::run(&mut ship.command(&words))
}

fn load(what: &str) -> Option<Cargo> {
    Cargo::load(what, SIZES, &Options::default(), &[])
}

#[test]
fn a_mirror_stands_for_a_registry_that_nobody_knows() {
    let Some(cargo) = load("a mirror") else { return };
    let mirror = cargo.registry.address().to_string();
    let image = format!("{UPSTREAM}/{NAME}");
    let ship = Ship::new();
    // Nobody listens at the first.
    let ran = run(&ship, &rules(&["127.0.0.1:1", &mirror]), &["pull", "-v", &image]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ship.holds(&cargo.blobs);
    assert!(ran.stderr.contains("127.0.0.1:1/harbour/cargo is passed over"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("{mirror}/harbour/cargo answered: a mirror by")), "{}", ran.stderr);
    assert!(ran.took < Duration::from_secs(8), "{:?}", ran.took);
    // It is kept under the name that was asked for.
    let ran = run(&ship, &rules(&[]), &["digest", "--offline", &image]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // Without its mirrors the name leads nowhere.
    let ran = run(&Ship::new(), &rules(&[]), &["pull", "--retries", "0", &image]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains(UPSTREAM), "{}", ran.stderr);
}

#[test]
fn a_registry_that_fetches_for_others_is_a_mirror() {
    let Some(cargo) = load("a pull-through proxy") else { return };
    let url = format!("http://{}", cargo.registry.address());
    let options = Options { proxy: Some(&url), ..Options::default() };
    let Some(proxy) = Registry::start("a pull-through proxy", &options) else { return };
    let ship = Ship::new();
    let settings = rules(&[&proxy.address().to_string()]);
    let ran = run(&ship, &settings, &["pull", &format!("{UPSTREAM}/{NAME}")]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stderr, proxy.log());
    ship.holds(&cargo.blobs);
}

#[test]
fn a_place_is_moved_or_blocked() {
    let Some(cargo) = load("blocked places") else { return };
    let here = cargo.registry.address();
    let settings = format!(
        "[[registry]]\nprefix = \"*.wharf.test\"\nblocked = true\n\
         [[registry]]\nprefix = \"{UPSTREAM}/goods\"\nlocation = \"{here}/harbour\"\ninsecure = true\n"
    );
    let ship = Ship::new();
    let ran = run(&ship, &settings, &["pull", &format!("{UPSTREAM}/goods/cargo:1")]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ship.holds(&cargo.blobs);
    for arguments in
        [&["pull", "upstream.wharf.test/harbour/cargo:1"][..], &["tags", "upstream.wharf.test/harbour/cargo"]]
    {
        let ran = run(&Ship::new(), &settings, arguments);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        for word in ["blocked", "*.wharf.test", "r.conf", "hint:", "--no-registries-conf"] {
            assert!(ran.stderr.contains(word), "`{word}` is not said:\n{}", ran.stderr);
        }
    }
}

#[test]
fn short_names_mean_what_the_settings_say() {
    let Some(cargo) = load("short names") else { return };
    let here = cargo.registry.address();
    let ship = Ship::new();
    let digest = |settings: &str, name: &str| run(&ship, settings, &["digest", name]);
    let alias = format!("[aliases]\nfreight = \"{here}/harbour/cargo\"\n");
    let ran = digest(&alias, "freight:1");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("an alias in"), "{}", ran.stderr);
    let ran = digest(&format!("unqualified-search-registries = [\"{here}\"]\n"), NAME);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let several = format!("unqualified-search-registries = [\"127.0.0.1:1\", \"{here}\"]\n");
    let ran = digest(&several, NAME);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("may be any of") && ran.stderr.contains("hint:"), "{}", ran.stderr);
    let ran = digest(&format!("{several}short-name-mode = \"permissive\"\n"), NAME);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("is {here}/{NAME}, by the search list of")), "{}", ran.stderr);
}

#[test]
fn what_is_given_for_the_image_is_not_shown_to_its_mirror() {
    let options = Options { users: &[("ship", "wright")], ..Options::default() };
    let Some(cargo) = Cargo::load("a mirror with users", SIZES, &options, &["--dest-creds", "ship:wright"])
    else {
        return;
    };
    let mirror = cargo.registry.address().to_string();
    let image = format!("{UPSTREAM}/{NAME}");
    let ship = Ship::new();
    let settings = rules(&[&mirror]);
    let ran = run(&ship, &settings, &["pull", "--retries", "0", "--creds", "ship:wright", &image]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("{mirror}/harbour/cargo is passed over")), "{}", ran.stderr);
    // What is kept for the mirror itself is.
    fs::create_dir(ship.path(".docker")).unwrap();
    let file =
        format!("{{\"auths\": {{\"{mirror}\": {{\"username\": \"ship\", \"password\": \"wright\"}}}}}}");
    fs::write(ship.path(".docker/config.json"), file).unwrap();
    let ran = run(&ship, &settings, &["pull", &image]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ship.holds(&cargo.blobs);
}

#[test]
fn certificates_of_one_host_are_found_where_podman_and_docker_keep_them() {
    let authority = Authority::new();
    let options = Options { authority: Some(&authority), clients: Some(&authority), ..Options::default() };
    let Some(cargo) = Cargo::load("client certificates", SIZES, &options, &[]) else { return };
    // Loopback needs no certificate that is trusted: the registry gets a name of the world.
    let tunnel = Tunnel::start(cargo.registry.address());
    let ship = Ship::new();
    let image = format!("{HOST}/{NAME}");
    let pull = || {
        let mut command: Command = ship.command(&["pull", "--retries", "1", &image]);
        crate::ship::run(command.env("HTTPS_PROXY", tunnel.url()))
    };
    let ran = pull();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("certificate"), "{}", ran.stderr);
    let place = ship.path(&format!(".config/containers/certs.d/{HOST}"));
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("ca.crt"), authority.pem()).unwrap();
    // The authority is known now; but who we are is not.
    let ran = pull();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let pair = authority.loopback();
    fs::write(place.join("client.cert"), &pair.certificate).unwrap();
    let ran = pull();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("client.cert") && ran.stderr.contains(".key"), "{}", ran.stderr);
    fs::write(place.join("client.key"), &pair.key).unwrap();
    let ran = pull();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ship.holds(&cargo.blobs);
}

#[test]
fn who_asks_is_told_which_place_comes_when() {
    let ship = Ship::new();
    let settings = "[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n\
                    [[registry.mirror]]\nlocation = \"cache.wharf.test/hub\"\n";
    let ran = run(&ship, settings, &["auth", "explain", "alpine"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let said = String::from_utf8(ran.stdout).unwrap();
    let (mirror, hub) = ("cache.wharf.test/hub/library/alpine, a mirror", "docker.io/library/alpine, by");
    let at = |text: &str| said.find(text).unwrap_or_else(|| panic!("`{text}` is not said:\n{said}"));
    assert!(at(mirror) < at(hub), "{said}");
    let ran = run(&ship, "[[registry]]\nlocation = 5", &["auth", "explain", "alpine"]);
    assert!(ran.stderr.contains("r.conf") && ran.stderr.contains("line 2"), "{}", ran.stderr);
}
