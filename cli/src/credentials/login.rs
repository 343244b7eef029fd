//! Where `login` puts credentials and `logout` takes them from.
//!
//! Docker's `config.json` (or the file that `--authfile` or `REGISTRY_AUTH_FILE` names), as docker and crane do: podman,
//! skopeo and buildah read it too. A helper that the file names for the registry or for all keeps the secret instead.

use std::path::PathBuf;

use wharfie_core::client::Credentials;
use wharfie_core::error::{Error, ErrorKind, Result};

use super::{AuthFile, HelperFailure, Search};

/// Where credentials are kept now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In this file, base64 but not encrypted.
    File(PathBuf),
    /// By this helper program.
    Helper(String),
}

/// Keeps credentials for a registry, or for what is below a path of one (`host/path`).
///
/// # Errors
/// `local_io`, `credential_source`: a helper that the file names must work, since its reader would ask it.
pub fn keep(search: &Search, registry: &str, credentials: &Credentials) -> Result<Kept> {
    let path = target(search)?;
    let mut file = AuthFile::read(&path)?.unwrap_or_default();
    let Some(name) = file.helper_for(registry).or_else(|| file.store_helper()) else {
        file.put(registry, credentials);
        file.write(&path)?;
        return Ok(Kept::File(path));
    };
    if registry.contains('/') {
        let reason = "helpers keep credentials for whole registries: leave the path out".to_owned();
        return Err(ErrorKind::CredentialSource { source_name: name, reason }.into());
    }
    let helper = search.helper(&name);
    helper.keep(registry, credentials).map_err(|failure| broken(helper.program(), failure))?;
    file.put_empty(registry);
    file.write(&path)?;
    Ok(Kept::Helper(helper.program()))
}

/// Forgets a registry; answers every place that had it.
///
/// # Errors
/// `local_io`, `credential_source`.
pub fn forget(search: &Search, registry: &str) -> Result<Vec<Kept>> {
    let named = search.authfile.clone().or_else(|| search.environment.named_file());
    let paths = match named {
        Some(path) => vec![path],
        None => {
            let environment = &search.environment;
            environment.podman_files().into_iter().chain(environment.docker_file()).collect()
        }
    };
    let mut forgotten = Vec::new();
    for path in paths {
        let Some(mut file) = AuthFile::read(&path)? else { continue };
        if let Some(name) = file.helper_for(registry).or_else(|| file.store_helper()) {
            let helper = search.helper(&name);
            // Some helpers answer an erase of nothing with success: ask first, to say only what is true.
            if helper.find(registry).is_ok() {
                helper.forget(registry).map_err(|failure| broken(helper.program(), failure))?;
                forgotten.push(Kept::Helper(helper.program()));
            }
        }
        if file.remove(registry) {
            file.write(&path)?;
            forgotten.push(Kept::File(path));
        }
    }
    Ok(forgotten)
}

fn target(search: &Search) -> Result<PathBuf> {
    let named = search.authfile.clone().or_else(|| search.environment.named_file());
    named.or_else(|| search.environment.docker_file()).ok_or_else(|| {
        let reason = "there is no home directory: name a file with --authfile".to_owned();
        Error::from(ErrorKind::CredentialSource { source_name: "login".to_owned(), reason })
    })
}

fn broken(program: String, failure: HelperFailure) -> Error {
    let reason = match failure {
        HelperFailure::NotFound => "it does not know this registry".to_owned(),
        HelperFailure::Missing => "there is no such program in PATH".to_owned(),
        HelperFailure::Broken(reason) => reason,
    };
    ErrorKind::CredentialSource { source_name: program, reason }.into()
}

#[cfg(test)]
mod tests {
    use wharfie_core::http::Secret;

    use super::super::Environment;
    use super::*;

    fn basic(password: &str) -> Credentials {
        Credentials::Basic { user: "me".to_owned(), password: Secret::new(password) }
    }

    #[test]
    fn what_is_kept_is_found_and_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let search = Search { environment: Environment::with_home(home.path()), ..Search::default() };
        let path = home.path().join(".docker/config.json");
        for registry in ["docker.io", "localhost:5000", "[::1]:5000"] {
            assert_eq!(keep(&search, registry, &basic("a:b")).unwrap(), Kept::File(path.clone()));
            assert_eq!(search.find(registry, Some("x/y")).credentials, Some(basic("a:b")));
        }
        keep(&search, "docker.io", &basic("new")).unwrap();
        assert_eq!(search.find("docker.io", None).credentials, Some(basic("new")));
        assert_eq!(forget(&search, "docker.io").unwrap(), [Kept::File(path.clone())]);
        assert_eq!(forget(&search, "docker.io").unwrap(), []);
        assert_eq!(search.find("docker.io", None).credentials, None);
        assert!(search.find("localhost:5000", None).credentials.is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_helper_keeps_what_the_file_leaves_to_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let script = bin.join("docker-credential-box");
        let kept = home.path().join("kept");
        let body = format!(
            "#!/bin/sh\nin=$(cat)\ncase $1 in\nstore) echo \"$in\" > {0};;\nget) cat {0} 2>/dev/null || {{ echo credentials not found; exit 1; }};;\nerase) rm {0};;\nesac\n",
            kept.display()
        );
        std::fs::write(&script, body).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = home.path().join("auth.json");
        std::fs::write(&config, r#"{"credsStore":"box"}"#).unwrap();
        let path = std::env::join_paths([bin, "/usr/bin".into(), "/bin".into()]).unwrap();
        let environment = Environment::with_home(home.path()).with("PATH", path);
        let search = Search { environment, authfile: Some(config.clone()), ..Search::default() };
        let box_helper = Kept::Helper("docker-credential-box".to_owned());
        assert_eq!(keep(&search, "q.io", &basic("s3cr3t")).unwrap(), box_helper);
        assert!(!std::fs::read_to_string(&config).unwrap().contains("s3cr3t"));
        assert_eq!(search.find("q.io", None).credentials, Some(basic("s3cr3t")));
        assert_eq!(forget(&search, "q.io").unwrap(), [box_helper, Kept::File(config)]);
        assert!(!kept.exists());
    }
}
