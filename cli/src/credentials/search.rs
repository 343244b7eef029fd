//! The search through all places, with a record of what each gave.

use std::path::PathBuf;

use wharfie_core::client::Credentials;
use wharfie_core::error::ErrorKind;

use super::file;
use super::{AuthFile, Environment, Helper, HelperFailure};

/// What to search with.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// `--creds`, which wins over every place.
    pub given: Option<Credentials>,
    /// `--authfile`, in place of `REGISTRY_AUTH_FILE`.
    pub authfile: Option<PathBuf>,
    /// Where the files are.
    pub environment: Environment,
}

/// One look into one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The place: an option, a variable or a file, and within a file the helper.
    pub place: String,
    /// What came of it.
    pub trial: Trial,
}

/// What one place gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// There is no such file, or the variable or option is not set.
    Absent,
    /// It is there and has nothing for this registry.
    Nothing,
    /// It does not work. The search goes on.
    Broken(String),
    /// This, without its secret: `user NAME`, `a refresh token`, `a bearer token`, and the key it stood under.
    Found(String),
    /// Not looked at: an earlier place had credentials, or a file was named by hand.
    NotReached,
}

/// What came of a search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// The credentials of the first place that had some.
    pub credentials: Option<Credentials>,
    /// Every place in order.
    pub steps: Vec<Step>,
}

impl Finding {
    /// The places that do not work, for warnings.
    pub fn broken(&self) -> impl Iterator<Item = (&str, &str)> {
        self.steps.iter().filter_map(|step| match &step.trial {
            Trial::Broken(reason) => Some((step.place.as_str(), reason.as_str())),
            _ => None,
        })
    }

    fn step(&mut self, place: impl Into<String>, trial: Trial) {
        let place = place.into();
        let trial = if self.credentials.is_some() { Trial::NotReached } else { trial };
        self.steps.push(Step { place, trial });
    }

    fn found(&mut self, place: impl Into<String>, key: Option<&str>, credentials: Credentials) {
        let mut what = match &credentials {
            Credentials::Basic { user, .. } => format!("user {user}"),
            Credentials::RefreshToken(_) => "a refresh token".to_owned(),
            Credentials::Bearer(_) => "a bearer token".to_owned(),
            _ => "credentials".to_owned(),
        };
        if let Some(key) = key {
            what = format!("{what}, under the key `{key}`");
        }
        self.step(place, Trial::Found(what));
        self.credentials = Some(credentials);
    }
}

impl Search {
    /// Looks in every place until one has credentials for this registry (as `Reference` names it).
    pub fn find(&self, registry: &str, repository: Option<&str>) -> Finding {
        let mut finding = Finding::default();
        match &self.given {
            Some(credentials) => finding.found("--creds", None, credentials.clone()),
            None => finding.step("--creds", Trial::Absent),
        }
        let named = match &self.authfile {
            Some(path) => Some(("--authfile", path.clone())),
            None => self.environment.named_file().map(|path| ("REGISTRY_AUTH_FILE", path)),
        };
        if let Some((option, path)) = named {
            self.look_in_file(
                &mut finding,
                &format!("{option} {}", path.display()),
                &path,
                registry,
                repository,
            );
            finding.step("every other place", Trial::NotReached);
            return finding;
        }
        finding.step("REGISTRY_AUTH_FILE", Trial::Absent);
        match self.environment.variable("DOCKER_AUTH_CONFIG") {
            None => finding.step("DOCKER_AUTH_CONFIG", Trial::Absent),
            Some(value) => match AuthFile::parse(value.as_encoded_bytes(), "DOCKER_AUTH_CONFIG", false) {
                Ok(file) => self.look_in(&mut finding, "DOCKER_AUTH_CONFIG", &file, registry, repository),
                Err(error) => finding.step("DOCKER_AUTH_CONFIG", Trial::Broken(reason(&error))),
            },
        }
        let files = self.environment.podman_files().into_iter();
        let files = files.chain(self.environment.docker_file()).chain(self.environment.old_docker_file());
        for path in files {
            self.look_in_file(&mut finding, &path.display().to_string(), &path, registry, repository);
        }
        finding
    }

    fn look_in_file(
        &self,
        finding: &mut Finding,
        place: &str,
        path: &std::path::Path,
        registry: &str,
        repository: Option<&str>,
    ) {
        if finding.credentials.is_some() {
            return finding.step(place, Trial::NotReached);
        }
        match AuthFile::read(path) {
            // Who names a file on the command line means one that is there.
            Ok(None) if self.authfile.is_some() => {
                finding.step(place, Trial::Broken("there is no such file".to_owned()));
            }
            Ok(None) => finding.step(place, Trial::Absent),
            Ok(Some(file)) => self.look_in(finding, place, &file, registry, repository),
            Err(error) => finding.step(place, Trial::Broken(reason(&error))),
        }
    }

    fn look_in(
        &self,
        finding: &mut Finding,
        place: &str,
        file: &AuthFile,
        registry: &str,
        repository: Option<&str>,
    ) {
        if finding.credentials.is_some() {
            return finding.step(place, Trial::NotReached);
        }
        if let Some(name) = file.helper_for(registry) {
            self.ask(finding, place, "credHelpers", &name, registry);
        }
        let mut trial = Trial::Nothing;
        if finding.credentials.is_none() {
            match file.entry(registry, repository, place) {
                Ok(Some(file::Entry { key, credentials: Some(credentials) })) => {
                    return finding.found(place, Some(&key), credentials);
                }
                Ok(_) => {}
                Err(error) => trial = Trial::Broken(reason(&error)),
            }
        }
        if let Some(name) = file.store_helper() {
            if let Trial::Broken(_) = trial {
                finding.step(place, trial);
            }
            return self.ask(finding, place, "credsStore", &name, registry);
        }
        if finding.credentials.is_none() {
            finding.step(place, trial);
        }
    }

    fn ask(&self, finding: &mut Finding, place: &str, field: &str, name: &str, registry: &str) {
        let helper = self.helper(name);
        let place = format!("{place}, {field}: {}", helper.program());
        if finding.credentials.is_some() {
            return finding.step(place, Trial::NotReached);
        }
        match helper.find(registry) {
            Ok(credentials) => finding.found(place, None, credentials),
            Err(HelperFailure::NotFound) => finding.step(place, Trial::Nothing),
            Err(HelperFailure::Missing) => {
                finding.step(place, Trial::Broken("there is no such program in PATH".to_owned()));
            }
            Err(HelperFailure::Broken(reason)) => finding.step(place, Trial::Broken(reason)),
        }
    }

    pub(super) fn helper(&self, name: &str) -> Helper {
        Helper::new(name, self.environment.variable("PATH").cloned())
    }
}

/// Why, without the place: the step names it.
fn reason(error: &wharfie_core::Error) -> String {
    match error.kind() {
        ErrorKind::CredentialSource { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use wharfie_core::http::Secret;

    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn script(folder: &Path, name: &str, body: &str) {
        let path = folder.join(format!("docker-credential-{name}"));
        write(&path, &format!("#!/bin/sh\n{body}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn search(home: &Path) -> Search {
        let path = std::env::join_paths([home.join("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
        let environment = Environment::with_home(home).with("PATH", path);
        Search { environment, ..Search::default() }
    }

    fn user(finding: &Finding) -> Option<String> {
        match &finding.credentials {
            Some(Credentials::Basic { user, password }) => Some(format!("{user}:{}", password.reveal())),
            Some(Credentials::RefreshToken(token)) => Some(format!("refresh {}", token.reveal())),
            _ => None,
        }
    }

    #[test]
    fn places_are_tried_in_order_and_the_first_wins() {
        let home = tempfile::tempdir().unwrap();
        let entry = |auth: &str| format!(r#"{{"auths":{{"q.io":{{"auth":"{auth}"}}}}}}"#);
        let mut search = search(home.path());
        assert_eq!(user(&search.find("q.io", None)), None);
        write(&home.path().join(".dockercfg"), r#"{"q.io":{"auth":"b2xkOjE="}}"#);
        assert_eq!(user(&search.find("q.io", None)).as_deref(), Some("old:1"));
        write(&home.path().join(".docker/config.json"), &entry("ZG9ja2VyOjE="));
        assert_eq!(user(&search.find("q.io", None)).as_deref(), Some("docker:1"));
        write(&home.path().join(".config/containers/auth.json"), &entry("cG9kbWFuOjE="));
        assert_eq!(user(&search.find("q.io", None)).as_deref(), Some("podman:1"));
        search.environment = search.environment.with("DOCKER_AUTH_CONFIG", entry("ZW52OjE="));
        assert_eq!(user(&search.find("q.io", None)).as_deref(), Some("env:1"));
        let named = home.path().join("named.json");
        write(&named, &entry("bmFtZWQ6MQ=="));
        search.environment = search.environment.with("REGISTRY_AUTH_FILE", &named);
        assert_eq!(user(&search.find("q.io", None)).as_deref(), Some("named:1"));
        assert_eq!(user(&search.find("other.io", None)), None, "a named file is the only one read");
        search.given = Some(Credentials::Basic { user: "me".to_owned(), password: Secret::new("x") });
        assert_eq!(user(&search.find("q.io", None)).as_deref(), Some("me:x"));
    }

    #[test]
    fn a_helper_answers_for_its_registry() {
        let home = tempfile::tempdir().unwrap();
        let config = r#"{"credHelpers":{"q.io":"one"},"credsStore":"all"}"#;
        write(&home.path().join(".docker/config.json"), config);
        let bin = home.path().join("bin");
        script(
            &bin,
            "one",
            r#"read s; echo "{\"ServerURL\":\"$s\",\"Username\":\"one-$s\",\"Secret\":\"p\"}""#,
        );
        script(&bin, "all", r#"read s; echo "{\"Username\":\"<token>\",\"Secret\":\"$s\"}""#);
        assert_eq!(user(&search(home.path()).find("q.io", None)).as_deref(), Some("one-q.io:p"));
        assert_eq!(user(&search(home.path()).find("z.io", None)).as_deref(), Some("refresh z.io"));
        let hub = search(home.path()).find("docker.io", Some("library/alpine"));
        assert_eq!(user(&hub).as_deref(), Some("refresh https://index.docker.io/v1/"));
    }

    #[test]
    fn a_helper_whose_agent_stays_keeps_nobody_waiting() {
        let home = tempfile::tempdir().unwrap();
        write(&home.path().join(".docker/config.json"), r#"{"credsStore":"agent"}"#);
        let bin = home.path().join("bin");
        script(&bin, "agent", r#"read s; sleep 20 & echo '{"Username":"a","Secret":"b"}'"#);
        let begun = std::time::Instant::now();
        assert_eq!(user(&search(home.path()).find("q.io", None)).as_deref(), Some("a:b"));
        assert!(begun.elapsed() < std::time::Duration::from_secs(15));
    }

    #[test]
    fn a_helper_that_breaks_is_reported_and_the_search_goes_on() {
        let home = tempfile::tempdir().unwrap();
        let config = r#"{"credHelpers":{"q.io":"broken","r.io":"missing","s.io":"../evil","t.io":"none","u.io":"junk"}}"#;
        write(&home.path().join(".config/containers/auth.json"), config);
        let auths = r#"{"auths":{"q.io":{"auth":"YTpi"},"r.io":{"auth":"YTpi"},"s.io":{"auth":"YTpi"}}}"#;
        write(&home.path().join(".docker/config.json"), auths);
        let bin = home.path().join("bin");
        script(&bin, "broken", "echo 'keyring locked'; echo 'secret detail' >&2; exit 1");
        script(&bin, "none", "echo 'credentials not found in native keychain'; exit 1");
        script(&bin, "junk", "echo hello");
        for (registry, reason) in [
            ("q.io", "keyring locked"),
            ("r.io", "no such program"),
            ("s.io", "no plain name"),
            ("u.io", "no credentials"),
        ] {
            let finding = search(home.path()).find(registry, None);
            let broken: Vec<_> = finding.broken().collect();
            assert!(broken.len() == 1 && broken[0].1.contains(reason), "{registry}: {finding:?}");
            assert_eq!(user(&finding).as_deref(), if registry == "u.io" { None } else { Some("a:b") });
        }
        assert_eq!(search(home.path()).find("t.io", None).broken().count(), 0);
    }

    #[test]
    fn the_record_names_every_place_and_no_secret() {
        let home = tempfile::tempdir().unwrap();
        write(&home.path().join(".docker/config.json"), r#"{"auths":{"q.io":{"auth":"YTpzM2NyM3Q="}}}"#);
        write(&home.path().join(".config/containers/auth.json"), "{broken");
        let finding = search(home.path()).find("q.io", Some("a/b"));
        let text = format!("{finding:?}");
        assert!(text.contains("user a, under the key `q.io`"), "{text}");
        assert!(text.contains("Broken") && !text.contains("s3cr3t") && !text.contains("YTpz"), "{text}");
        assert_eq!(finding.steps.last().unwrap().trial, Trial::NotReached);
    }
}
