use std::string::{String, ToString};
use std::vec::Vec;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Cases {
    set: Vec<Set>,
}

/// Files, and what they make of names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    name: String,
    files: Vec<String>,
    /// What the last file is refused for.
    refused: Option<String>,
    #[serde(default)]
    pull: Vec<Pull>,
    #[serde(default)]
    short: Vec<Short>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pull {
    image: String,
    #[serde(default)]
    from: Vec<String>,
    blocked_by: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Short {
    name: String,
    #[serde(default)]
    means: Vec<String>,
    error: Option<String>,
}

/// `mirror a.io/b insecure ns`.
fn shown(endpoint: &Endpoint) -> String {
    let mut text = endpoint.to_string();
    for (word, is) in
        [(" mirror", endpoint.is_mirror), (" insecure", endpoint.insecure), (" ns", endpoint.ns)]
    {
        if is {
            text.push_str(word);
        }
    }
    text
}

#[test]
fn files_say_where_images_come_from() {
    let cases: Cases = toml::from_str(include_str!("../../../testdata/registries.toml")).unwrap();
    for set in cases.set {
        let what = &set.name;
        let mut registries = Registries::default();
        let mut refused = None;
        for (number, text) in set.files.iter().enumerate() {
            let file: RegistriesFile = toml::from_str(text).unwrap_or_else(|error| panic!("{what}: {error}"));
            let before = registries.clone();
            if let Err(error) = registries.add(file, &std::format!("{number}.conf")) {
                assert_eq!(error.code(), "invalid_settings", "{what}");
                assert_eq!(error.place().path.as_deref(), Some(std::format!("{number}.conf").as_str()));
                assert_eq!(registries, before, "{what}: nothing of it is taken");
                refused = Some(error.to_string());
            }
        }
        match (&set.refused, &refused) {
            (Some(wanted), Some(said)) => assert!(said.contains(wanted.as_str()), "{what}: {said}"),
            (wanted, said) => assert_eq!(wanted, said, "{what}"),
        }
        for pull in set.pull {
            let reference: Reference = pull.image.parse().unwrap();
            match registries.endpoints(&reference) {
                Ok(endpoints) => {
                    let shown: Vec<String> = endpoints.iter().map(shown).collect();
                    assert_eq!(shown, pull.from, "{what}: {}", pull.image);
                    assert_eq!(pull.blocked_by, None, "{what}: {}", pull.image);
                    for endpoint in &endpoints {
                        let is_other = endpoint.registry != reference.host();
                        assert_eq!(
                            endpoint.stands_for.as_deref(),
                            is_other.then(|| reference.host()),
                            "{what}"
                        );
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::RegistryBlocked { prefix, .. } => {
                        assert_eq!(Some(prefix), pull.blocked_by.as_ref(), "{what}: {}", pull.image);
                        assert!(registries.permits(reference.host(), reference.repository()).is_err());
                    }
                    _ => panic!("{what}: {}: {error}", pull.image),
                },
            }
        }
        for short in set.short {
            match registries.resolve(&short.name) {
                Ok(candidates) => {
                    let names: Vec<String> =
                        candidates.iter().map(|candidate| candidate.reference.to_string()).collect();
                    assert_eq!(names, short.means, "{what}: {}", short.name);
                }
                Err(error) => {
                    assert_eq!(Some(error.code()), short.error.as_deref(), "{what}: {}", short.name);
                }
            }
        }
    }
}

#[test]
fn who_asks_why_is_told_the_file() {
    let mut registries = Registries::default();
    let text = "unqualified-search-registries = ['q.io']\n[aliases]\ncat = 'a.io/big/cat'";
    registries.add(toml::from_str(text).unwrap(), "/etc/r.conf").unwrap();
    let why = |name: &str| registries.resolve(name).unwrap().remove(0).why;
    assert_eq!(why("cat:3"), Why::Alias("/etc/r.conf".to_string()));
    assert_eq!(why("dog"), Why::Search("/etc/r.conf".to_string()));
    assert_eq!(why("docker.io/dog"), Why::Named);
    let dog: Reference = "q.io/dog".parse().unwrap();
    assert_eq!(registries.endpoints(&dog).unwrap(), [Endpoint::named(&dog)]);
}

#[test]
fn insecure_is_asked_by_repository_and_by_host() {
    let text = "[[registry]]\nlocation = 'a.io'\ninsecure = true\n[[registry]]\nlocation = 'b.io/x'\ninsecure = true";
    let mut registries = Registries::default();
    registries.add(toml::from_str(text).unwrap(), "r").unwrap();
    assert!(registries.is_insecure("a.io", "") && registries.is_insecure("a.io", "y"));
    assert!(registries.is_insecure("b.io", "x/y") && !registries.is_insecure("b.io", "y"));
    assert!(!registries.is_insecure("b.io", "") && !registries.is_insecure("aa.io", "y"));
}
