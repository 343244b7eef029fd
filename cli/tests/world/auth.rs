//! Who may read: passwords, tokens, and the files where they are kept.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use testbed::faults::{Fault, FaultProxy};
use testbed::registry::{Options, Registry};
use testbed::tls::Authority;
use testbed::token::{self, Member, TokenServer};
use testbed::tools;
use testbed::tunnel::{HOST, Tunnel};

use crate::cargo::{Cargo, NAME};
use crate::ship::Ship;

const SIZES: &[usize] = &[300_000, 200_000, 100_000, 50_000, 9_000];
const PUSH: &[&str] = &["--dest-creds", "ship:wright"];
const USERS: &[(&str, &str)] = &[("ship", "wright")];

#[test]
fn a_password_over_tls() {
    let what = "htpasswd over TLS";
    let authority = Authority::new();
    let options = Options { users: USERS, authority: Some(&authority), ..Options::default() };
    let Some(cargo) = Cargo::load(what, SIZES, &options, PUSH) else { return };
    let ca = cargo.registry.authority().unwrap().display().to_string();
    // Loopback needs no certificate that is trusted, as with docker. So the registry gets a name of the world, by a
    // proxy that the environment names.
    let tunnel = Tunnel::start(cargo.registry.address());
    let image = format!("{HOST}/{NAME}");
    let ship = Ship::new();
    let run = |ship: &Ship, arguments: &[&str]| {
        let mut words = vec!["pull", &image];
        words.extend(arguments);
        let ran = crate::ship::run(ship.command(&words).env("HTTPS_PROXY", tunnel.url()));
        assert!(
            !ran.stderr.contains("wright") && !ran.stderr.contains("wrongest"),
            "a secret is shown: {}",
            ran.stderr
        );
        ran
    };
    let fails = |arguments: &[&str], says: &[&str]| {
        let ran = run(&ship, arguments);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        for word in says {
            assert!(ran.stderr.contains(word), "`{word}` is not said:\n{}", ran.stderr);
        }
    };
    // Nobody knows this authority; the error says how to.
    fails(&["--creds", "ship:wright"], &["certificate", "hint:", "--ca"]);
    fails(&["--ca", &ca], &["hint:", "login"]);
    fails(&["--ca", &ca, "--creds", "ship:wrongest"], &["hint:", "auth explain"]);
    assert!(ship.sound().is_empty());
    let ran = run(&ship, &["--ca", &ca, "--creds", "ship:wright"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ship.holds(&cargo.blobs);
    let ship = Ship::new();
    let ran = run(&ship, &["--insecure", "--creds", "ship:wright"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ship.holds(&cargo.blobs);
    assert!(tunnel.asked().iter().all(|it| it == &format!("CONNECT {HOST}:443")), "{:?}", tunnel.asked());
}

#[test]
fn a_private_image_by_what_skopeo_login_wrote() {
    let what = "skopeo login";
    let authority = Authority::new();
    let options = Options { users: USERS, authority: Some(&authority), ..Options::default() };
    let Some(cargo) = Cargo::load(what, SIZES, &options, PUSH) else { return };
    let image = cargo.registry.image(NAME);
    let ca = cargo.registry.authority().unwrap();
    let ship = Ship::new();
    fs::create_dir(ship.path(".docker")).unwrap();
    let file = ship.path(".docker/config.json");
    tools::run(
        tools::command("skopeo")
            .args(["login", "--username", "ship", "--password", "wright", "--authfile"])
            .arg(&file)
            .arg("--cert-dir")
            .arg(ca.parent().unwrap())
            .arg(cargo.registry.address().to_string()),
    );
    let ca = ca.display().to_string();
    ship.ok(&["pull", &image, "--ca", &ca]);
    ship.holds(&cargo.blobs);
    let explained = ship.ok(&["auth", "explain", &image]);
    let shown = String::from_utf8_lossy(&explained.stdout).into_owned() + &explained.stderr;
    assert!(shown.contains("config.json") && shown.contains("ship"), "{shown}");
    assert!(!shown.contains("wright") && !shown.contains("c2hpcDp3cmlnaHQ"), "a secret is shown: {shown}");
    // The same file under the other names by which it is found.
    fs::rename(&file, ship.path("auth.json")).unwrap();
    let other = Ship::new();
    let mut command = other.command(&["pull", &image, "--ca", &ca]);
    command.env("REGISTRY_AUTH_FILE", ship.path("auth.json"));
    assert_eq!(crate::ship::run(&mut command).code, Some(0));
    let other = Ship::new();
    let mut command = other.command(&["pull", &image, "--ca", &ca]);
    command.env("DOCKER_AUTH_CONFIG", fs::read_to_string(ship.path("auth.json")).unwrap());
    assert_eq!(crate::ship::run(&mut command).code, Some(0));
    let other = Ship::new();
    let mut command = other.command(&["pull", &image, "--ca", &ca]);
    fs::rename(ship.path("auth.json"), ship.path("config.json")).unwrap();
    command.env("DOCKER_CONFIG", ship.path(""));
    assert_eq!(crate::ship::run(&mut command).code, Some(0));
}

#[test]
fn login_is_checked_kept_and_forgotten() {
    let what = "login and logout";
    let authority = Authority::new();
    let options = Options { users: USERS, authority: Some(&authority), ..Options::default() };
    let Some(cargo) = Cargo::load(what, SIZES, &options, PUSH) else { return };
    let image = cargo.registry.image(NAME);
    let host = cargo.registry.address().to_string();
    let ca = cargo.registry.authority().unwrap().display().to_string();
    let ship = Ship::new();
    let login = |password: &str| {
        let mut child = ship
            .command(&["login", &host, "--ca", &ca, "--username", "ship", "--password-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let wrong = login("wrong");
    assert_eq!(wrong.status.code(), Some(1), "{}", String::from_utf8_lossy(&wrong.stderr));
    ship.fails(&["pull", &image, "--ca", &ca], &[]);
    let right = login("wright");
    assert_eq!(right.status.code(), Some(0), "{}", String::from_utf8_lossy(&right.stderr));
    ship.ok(&["pull", &image, "--ca", &ca]);
    ship.holds(&cargo.blobs);
    ship.ok(&["logout", &host]);
    ship.fails(&["pull", &image, "--ca", &ca], &[]);
}

#[test]
fn a_password_without_any_token_server() {
    // What ECR does: Basic, and nothing else. Plain http is for loopback only.
    let what = "htpasswd";
    let options = Options { users: USERS, ..Options::default() };
    let Some(cargo) = Cargo::load(what, SIZES, &options, PUSH) else { return };
    let ship = Ship::new();
    ship.ok(&["pull", &cargo.registry.image(NAME), "--creds", "ship:wright"]);
    ship.holds(&cargo.blobs);
}

/// A registry that asks for tokens of a server with these options.
fn with_tokens(what: &str, options: token::Options) -> Option<(Cargo, TokenServer)> {
    let server = TokenServer::start(options);
    let options = Options { tokens: Some(server.auth()), ..Options::default() };
    Some((Cargo::load(what, SIZES, &options, PUSH)?, server))
}

#[test]
fn tokens_of_every_kind() {
    for (member, oauth2) in [(Member::Token, true), (Member::AccessToken, true), (Member::Both, false)] {
        let options = token::Options { member, oauth2, ..token::Options::default() };
        let Some((cargo, server)) = with_tokens("tokens", options) else { return };
        let before = server.asked().len();
        let ship = Ship::new();
        ship.ok(&["pull", &cargo.registry.image(NAME), "--creds", "ship:wright"]);
        ship.holds(&cargo.blobs);
        let asked = &server.asked()[before..];
        let given: Vec<_> = asked.iter().filter(|it| it.status == 200).collect();
        assert_eq!(given.len(), 1, "one token for all requests: {asked:?}");
        assert_eq!(given[0].user.as_deref(), Some("ship"));
        assert_eq!(given[0].scopes, ["repository:harbour/cargo:pull"]);
    }
}

#[test]
fn nobody_in_particular_may_pull_what_is_public() {
    let options = token::Options { anonymous: true, ..token::Options::default() };
    let Some((cargo, _server)) = with_tokens("anonymous tokens", options) else { return };
    let ship = Ship::new();
    ship.ok(&["pull", &cargo.registry.image(NAME)]);
    ship.holds(&cargo.blobs);
}

#[test]
fn a_token_server_that_refuses_is_a_denial_with_a_hint() {
    let Some((cargo, _server)) = with_tokens("refused tokens", token::Options::default()) else { return };
    let ship = Ship::new();
    ship.fails(&["pull", &cargo.registry.image(NAME)], &["hint:"]);
    ship.fails(&["pull", &cargo.registry.image(NAME), "--creds", "ship:wrong"], &["hint:"]);
    assert!(ship.sound().is_empty());
}

#[test]
fn tokens_that_die_in_the_middle() {
    // The server says five minutes and means two seconds; the network takes longer than that for each blob.
    let two = Duration::from_secs(2);
    for says in [Some(Duration::from_secs(300)), Some(two), None] {
        let options = token::Options { lives: two, says, ..token::Options::default() };
        let Some((cargo, server)) = with_tokens("tokens of two seconds", options) else { return };
        let before = server.asked().len();
        let proxy = || {
            FaultProxy::start(cargo.registry.address(), |request, seen| {
                if !request.target.contains("/blobs/") {
                    return Fault::none();
                }
                // Cut again and again, slowly: every blob goes on with a new request, and some of them later than two
                // seconds.
                let cut = Some((80_000, testbed::faults::Ending::Close));
                let cut = if seen.same < 3 { cut } else { None };
                Fault { cut, pace: Some(Duration::from_millis(400)), ..Fault::default() }
            })
        };
        let (ship, first) = (Ship::new(), proxy());
        ship.ok(&["pull", &first.image(NAME), "--creds", "ship:wright", "--jobs", "1"]);
        ship.holds(&cargo.blobs);
        assert!(server.asked()[before..].iter().filter(|it| it.status == 200).count() >= 2);
        assert!(first.passed().iter().all(|it| it.scheme.as_deref().is_none_or(|it| it == "Bearer")));
        ship.ok(&["export", &first.image(NAME), "--offline", "-o", "cargo.tar"]);

        // An export reads the layers meanwhile, and notices nothing.
        let before = server.asked().len();
        let (other, second) = (Ship::new(), proxy());
        let arguments = ["--creds", "ship:wright", "--jobs", "1", "-o", "cargo.tar"];
        other.ok(&[&["export", &second.image(NAME)], &arguments[..]].concat());
        other.holds(&cargo.blobs);
        assert!(server.asked()[before..].iter().filter(|it| it.status == 200).count() >= 2);
        assert!(fs::read(other.path("cargo.tar")).unwrap() == fs::read(ship.path("cargo.tar")).unwrap());
    }
}

#[test]
fn a_helper_that_is_missing_is_a_warning() {
    let what = "a missing credential helper";
    let Some(cargo) = Cargo::load(what, SIZES, &Options::default(), &[]) else { return };
    let ship = Ship::new();
    fs::create_dir(ship.path(".docker")).unwrap();
    fs::write(ship.path(".docker/config.json"), "{\"credsStore\": \"of-nobody\"}").unwrap();
    ship.ok(&["pull", &cargo.registry.image(NAME)]);
    ship.holds(&cargo.blobs);
    // Asked for only when the registry wants to know: then it is said.
    let options = token::Options { anonymous: true, ..token::Options::default() };
    let Some((cargo, _server)) = with_tokens(what, options) else { return };
    let pulled = ship.ok(&["pull", &cargo.registry.image(NAME)]);
    assert!(pulled.stderr.contains("docker-credential-of-nobody"), "{}", pulled.stderr);
}

#[test]
fn a_helper_is_asked() {
    let what = "a credential helper";
    let options = Options { users: USERS, ..Options::default() };
    let Some(cargo) = Cargo::load(what, SIZES, &options, PUSH) else { return };
    let ship = Ship::new();
    let bin = ship.path("bin");
    fs::create_dir(&bin).unwrap();
    let helper = bin.join("docker-credential-test");
    fs::write(&helper, "#!/bin/sh\ntest \"$1\" = get || exit 1\nread host\necho \"{\\\"ServerURL\\\": \\\"$host\\\", \\\"Username\\\": \\\"ship\\\", \\\"Secret\\\": \\\"wright\\\"}\"\n").unwrap();
    tools::run(std::process::Command::new("chmod").arg("755").arg(&helper));
    fs::create_dir(ship.path(".docker")).unwrap();
    let config = format!("{{\"credHelpers\": {{\"{}\": \"test\"}}}}", cargo.registry.address());
    fs::write(ship.path(".docker/config.json"), config).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = ship.command(&["pull", &cargo.registry.image(NAME)]);
    let ran = crate::ship::run(command.env("PATH", path));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ship.holds(&cargo.blobs);
}

#[test]
fn what_is_not_there_is_said_to_be_not_there() {
    let what = "missing images";
    let Some(registry) = Registry::start(what, &Options::default()) else { return };
    let ship = Ship::new();
    ship.fails(&["pull", &registry.image("no/such:image")], &["not found"]);
    ship.fails(&["tags", &registry.image("no/such")], &["not found"]);
    assert!(ship.sound().is_empty());
}
