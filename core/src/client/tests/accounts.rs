//! Who we are to a registry: one case each.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::registry::{AUTH, Auth, HOST, Manners, Reply};
use super::world::Fault;
use super::{World, amd64, basic, world};
use crate::client::{Client, Config, Credentials, Depth, Event, Outcome, PullOptions, Pulled};
use crate::error::{Error, ErrorKind};
use crate::http::Method;

const NAME: &str = "registry.example/team/app:1";

fn bearer(lives: u64, anonymous: bool) -> World {
    world(Manners { auth: Auth::Bearer { lives, anonymous }, ..Manners::default() })
}

#[test]
fn basic_goes_with_every_request_where_there_is_no_token_server() {
    let mut world = world(Manners { auth: Auth::Basic, ..Manners::default() });
    world.wallet.push_back(basic());
    let pulled = world.pulled(NAME, amd64()).unwrap();
    world.check(&pulled);
    assert_eq!(world.asked, 1);
    // The first request only is sent without them.
    let without = world.requests.iter().filter(|request| !request.headers.has("authorization")).count();
    assert_eq!(without, 1);
}

#[test]
fn wrong_credentials_are_asked_for_again_and_then_refused() {
    for auth in [Auth::Basic, Auth::Bearer { lives: 300_000, anonymous: true }] {
        let wrong = || Credentials::Basic { user: "me".to_string(), password: "wrong".into() };
        let mut good = world(Manners { auth: auth.clone(), ..Manners::default() });
        good.wallet.extend([wrong(), basic()]);
        assert!(good.pulled(NAME, amd64()).is_ok());
        assert_eq!(good.asked, 2);

        let mut bad = world(Manners { auth: auth.clone(), ..Manners::default() });
        bad.wallet.extend([wrong()]);
        let error = bad.pulled(NAME, amd64()).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Unauthorized { with_credentials: true, .. }),
            "{auth:?}: {error:?}"
        );
        assert_eq!(bad.asked, 2);

        let mut stubborn = world(Manners { auth, ..Manners::default() });
        stubborn.wallet.extend((0..100).map(|_| wrong()));
        assert_eq!(stubborn.pulled(NAME, amd64()).unwrap_err().code(), "unauthorized");
        assert!(stubborn.asked <= 3, "{}", stubborn.asked);
    }
}

#[test]
fn without_credentials_a_private_image_is_unauthorized() {
    for auth in [Auth::Basic, Auth::Bearer { lives: 300_000, anonymous: false }] {
        let mut world = world(Manners { auth: auth.clone(), ..Manners::default() });
        let error = world.pulled(NAME, amd64()).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Unauthorized { with_credentials: false, .. }),
            "{auth:?}: {error:?}"
        );
        assert!(error.hint().is_some());
        assert_eq!(error.place().image.as_deref(), Some("registry.example/team/app:1"));
    }
}

#[test]
fn a_refresh_token_is_changed_by_post_and_where_that_is_unknown_by_get() {
    for credentials in [
        Credentials::RefreshToken("r3fresh".into()),
        Credentials::Basic { user: "<token>".to_string(), password: "r3fresh".into() },
    ] {
        let mut world = bearer(300_000, false);
        world.wallet.push_back(credentials.clone());
        assert!(world.pulled(NAME, amd64()).is_ok());
        assert_eq!(world.registry.count(&format!("POST {AUTH}/token")), 1);

        let mut world = bearer(300_000, true);
        world.wallet.push_back(credentials);
        let mut tries = Vec::new();
        let mut token = 0;
        world.canned.push((
            "/token",
            std::boxed::Box::new(move |request| {
                tries.push(request.method);
                if request.method == Method::Post {
                    return Some(Reply::new(404, ""));
                }
                assert!(request.headers.one("authorization").unwrap().starts_with("Basic "));
                token += 1;
                Some(Reply::new(200, format!(r#"{{"token":"other-{token}"}}"#)))
            }),
        ));
        // The model does not know that token: what matters is how it was asked for.
        assert_eq!(world.pulled(NAME, amd64()).unwrap_err().code(), "unauthorized");
        let asked: Vec<Method> =
            world.requests.iter().filter(|r| r.url.host() == AUTH).map(|r| r.method).collect();
        assert_eq!(asked[..2], [Method::Post, Method::Get]);
    }
}

#[test]
fn a_token_that_is_given_is_sent_as_it_is() {
    let mut world = bearer(300_000, true);
    world.wallet.push_back(Credentials::Bearer("mine".into()));
    world.canned.push((
        "/v2/",
        std::boxed::Box::new(|request| {
            let sent = request.headers.one("authorization")?;
            assert_eq!(sent, "Bearer mine");
            Some(Reply::new(404, ""))
        }),
    ));
    assert_eq!(world.pulled(NAME, amd64()).unwrap_err().code(), "not_found");
    assert_eq!(world.registry.token_requests, 0);
}

#[test]
fn a_token_that_dies_in_mid_pull_is_replaced() {
    let mut world = bearer(300, true);
    world.style.chunk = 100;
    let pulled = world.pulled(NAME, amd64()).unwrap();
    world.check(&pulled);
    assert!(world.registry.token_requests > 1);
    let refusals = world.transcript.iter().filter(|line| line.contains(" 401 ")).count();
    assert!(refusals > 1, "{refusals}");
}

#[test]
fn a_registry_that_refuses_its_own_tokens_is_not_asked_for_ever() {
    let mut world = bearer(300_000, true);
    world.canned.push((
        "/v2/",
        std::boxed::Box::new(|_| {
            let challenge =
                format!(r#"Bearer realm="https://{AUTH}/token",scope="repository:team/app:pull""#);
            Some(Reply::new(401, "no").with("WWW-Authenticate", challenge))
        }),
    ));
    let error = world.pulled(NAME, amd64()).unwrap_err();
    assert_eq!(error.code(), "unauthorized");
    assert!(world.registry.token_requests <= 2, "{}", world.registry.token_requests);
    assert!(world.requests.len() <= 6, "{}", world.requests.len());
}

#[test]
fn realms_that_lead_astray_are_refused() {
    for realm in [
        "http://auth.example/token",
        "https://127.0.0.1/token",
        "https://localhost:8443/token",
        "https://[::1]/token",
        "https://169.254.169.254/latest",
        "ftp://auth.example/token",
    ] {
        let mut world = bearer(300_000, true);
        world.wallet.push_back(basic());
        world.canned.push((
            "/v2/",
            std::boxed::Box::new(move |_| {
                Some(Reply::new(401, "no").with("WWW-Authenticate", format!(r#"Bearer realm="{realm}""#)))
            }),
        ));
        let error = world.pulled(NAME, amd64()).unwrap_err();
        assert!(["forbidden_target", "invalid_url"].contains(&error.code()), "{realm}: {error}");
        assert!(world.requests.iter().all(|request| request.url.host() == HOST));
    }
}

#[test]
fn a_challenge_that_nobody_can_answer_is_named() {
    let mut world = bearer(300_000, true);
    world.canned.push((
        "/v2/",
        std::boxed::Box::new(|_| Some(Reply::new(401, "no").with("WWW-Authenticate", "Negotiate, NTLM"))),
    ));
    let error = world.pulled(NAME, amd64()).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::UnsupportedChallenge { offered, .. } if offered == "negotiate, ntlm"),
        "{error:?}"
    );
}

#[test]
fn a_token_of_an_earlier_process_saves_the_challenge() {
    let mut first = bearer(300_000, true);
    first.pulled(NAME, amd64()).unwrap();
    let (scope, token, lives) = first
        .events
        .iter()
        .find_map(|event| match event {
            Event::TokenIssued { registry, scope, token, expires_in } => {
                assert_eq!(registry, HOST);
                Some((scope.clone(), token.clone(), *expires_in))
            }
            _ => None,
        })
        .unwrap();
    let registry = core::mem::take(&mut first.registry);
    let mut second = World::new(Client::new(Config::default()), registry, 2, first.style.clone());
    second.client.add_token(second.millis(), HOST, &scope, token, lives);
    second.pulled(NAME, amd64()).unwrap();
    assert_eq!((second.asked, second.registry.token_requests), (0, 1));
    assert!(!second.transcript.iter().any(|line| line.contains(" 401 ")));
}

#[test]
fn credentials_are_checked_at_the_root() {
    let check = |world: &mut World| {
        let job = world.client.check(world.millis(), HOST);
        world.run();
        world.finished.remove(&job).unwrap()
    };
    let mut open = world(Manners::default());
    assert_eq!(check(&mut open), Ok(Outcome::Checked { authenticated: false }));
    let mut basic_world = world(Manners { auth: Auth::Basic, ..Manners::default() });
    basic_world.wallet.push_back(basic());
    assert_eq!(check(&mut basic_world), Ok(Outcome::Checked { authenticated: true }));
    let mut refused = world(Manners { auth: Auth::Basic, ..Manners::default() });
    refused.wallet.push_back(Credentials::Basic { user: "me".to_string(), password: "no".into() });
    assert_eq!(check(&mut refused).unwrap_err().code(), "unauthorized");
    let mut tokens = bearer(300_000, false);
    tokens.wallet.push_back(basic());
    assert_eq!(check(&mut tokens), Ok(Outcome::Checked { authenticated: true }));
}

#[test]
fn a_token_server_that_is_away_for_a_moment_is_asked_again() {
    let mut world = bearer(300_000, true);
    world.script.extend([
        ("/token", Fault::Status(503)),
        ("/token", Fault::Cut(3)),
        ("/token", Fault::Silence),
    ]);
    assert!(world.pulled(NAME, amd64()).is_ok());
    let mut world = bearer(300_000, true);
    world.script.extend((0..10).map(|_| ("/token", Fault::Status(503))));
    let error = world.pulled(NAME, amd64()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerError { host, .. } if host == AUTH), "{error:?}");
}

#[test]
fn what_a_token_server_says_of_the_account_is_passed_on() {
    let mut world = bearer(300_000, false);
    world.wallet.push_back(basic());
    world.canned.push((
        "/token",
        std::boxed::Box::new(|_| {
            let body = r#"{"errors":[{"code":"DENIED","message":"not a member of team"}]}"#;
            Some(Reply::new(403, body).with("Content-Type", "application/json"))
        }),
    ));
    let error = world.pulled(NAME, amd64()).unwrap_err();
    let ErrorKind::Denied { detail, with_credentials: true, .. } = error.kind() else { panic!("{error:?}") };
    assert!(detail.as_ref().is_some_and(|detail| detail.contains("not a member of team")), "{error:?}");
}

#[test]
fn no_secret_shows_in_what_is_printed_for_debugging() {
    let mut world = bearer(300_000, false);
    world.wallet.push_back(Credentials::RefreshToken("r3fresh".into()));
    assert!(world.pulled(NAME, amd64()).is_ok());
    let form = world.requests.iter().find(|request| request.method == Method::Post).unwrap();
    let shown = format!("{form:?} {:?}", world.client);
    assert!(!shown.contains("r3fresh") && !shown.contains("token-0"), "{shown}");
    // As numbers neither.
    assert!(!shown.contains("114, 51, 102"), "{shown}");
}

#[test]
fn a_challenge_of_many_scopes_is_cut_short() {
    let mut world = bearer(300_000, true);
    let scopes: Vec<_> = (0..10_000).map(|n| format!("s{n}")).collect();
    let challenge = format!(r#"Bearer realm="https://{AUTH}/token",scope="{}""#, scopes.join(" "));
    world.canned.push((
        "/v2/",
        std::boxed::Box::new(move |request| {
            let is_sent = request.headers.has("authorization");
            Some(if is_sent {
                Reply::new(404, "")
            } else {
                Reply::new(401, "").with("WWW-Authenticate", &challenge)
            })
        }),
    ));
    assert_eq!(world.pulled(NAME, amd64()).unwrap_err().code(), "not_found");
    let asked = world.requests.iter().find(|request| request.url.host() == AUTH).unwrap();
    assert!(asked.url.query().unwrap().matches("scope=").count() <= 65);
}

/// A registry that says only at the second challenge, or never, all that its tokens must be good for: how a pull ends
/// there, and how many tokens it asks for.
fn widening(is_content: bool) -> (Result<Pulled, Error>, usize) {
    let mut world = world(Manners::default());
    world.wallet.push_back(basic());
    let mut round = 0;
    world.canned.push((
        "/v2/",
        std::boxed::Box::new(move |request| {
            let sent = request.headers.one("authorization").unwrap_or_default();
            if is_content && sent.contains("base") {
                return None;
            }
            let more = match sent.is_empty() {
                true => String::new(),
                false => {
                    round += 1;
                    let name = if is_content { "base".to_string() } else { format!("base{round}") };
                    format!(r#" repository:team/{name}:pull",error="insufficient_scope"#)
                }
            };
            let challenge =
                format!(r#"Bearer realm="https://{AUTH}/token",scope="repository:team/app:pull{more}""#);
            Some(Reply::new(401, "no").with("WWW-Authenticate", challenge))
        }),
    ));
    world.canned.push((
        "/token",
        std::boxed::Box::new(|request| {
            let is_wide = request.url.query().unwrap_or_default().contains("base");
            let token = if is_wide { "base" } else { "narrow" };
            Some(Reply::new(200, format!(r#"{{"token":"{token}","expires_in":300}}"#)))
        }),
    ));
    let options = PullOptions { depth: Depth::Document, ..amd64() };
    let end = world.pulled(NAME, options);
    (end, world.requests.iter().filter(|request| request.url.host() == AUTH).count())
}

#[test]
fn a_fresh_token_that_is_good_for_too_little_is_widened_once() {
    let (end, tokens) = widening(true);
    assert!(end.is_ok(), "{end:?}");
    // The HEAD and the GET each learn it for themselves.
    assert!(tokens <= 4, "{tokens}");
    let (end, tokens) = widening(false);
    assert_eq!(end.unwrap_err().code(), "unauthorized");
    assert!(tokens <= 4, "{tokens}");
}
