//! Certificates of single hosts: `certs.d` as docker and podman have it (containers-certs.d(5)).
//!
//! A directory `HOST[:PORT]` holds authorities for that host (`*.crt`, beside the system's) and what we show it (`*.cert`
//! with a `*.key` of the same name). Of several directories that have one for a host the first counts alone, as with
//! podman; Docker Hub's is looked for by the name that people use (`docker.io`) and by that of its machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wharfie_core::error::{Error, ErrorKind, Result};

use crate::fault::io_error;

/// What one host is trusted for and shown.
#[derive(Debug, Default)]
pub(super) struct HostCerts {
    pub(super) roots: Vec<CertificateDer<'static>>,
    /// A chain and its key.
    pub(super) identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// Reads what the first directory that has something for this host (`host[:port]`) has.
///
/// # Errors
/// `invalid_settings`, `local_io`, `permission_denied`, at the file.
pub(super) fn find(dirs: &[PathBuf], authority: &str) -> Result<Option<HostCerts>> {
    let mut names = vec![authority.to_owned()];
    if authority == "registry-1.docker.io" {
        names.insert(0, "docker.io".to_owned());
    }
    let has_port =
        authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    if !has_port {
        names.push(format!("{authority}:443"));
    }
    let places = dirs.iter().flat_map(|dir| names.iter().map(move |name| dir.join(name)));
    for place in places {
        match fs::read_dir(&place) {
            Ok(entries) => return read(&place, entries).map(Some),
            // What others keep for themselves is as if it were not there; so does podman.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => return Err(io_error("reading certificates", Some(&place), &error)),
        }
    }
    Ok(None)
}

fn read(dir: &Path, entries: fs::ReadDir) -> Result<HostCerts> {
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| io_error("reading certificates", Some(dir), &error))?;
        files.push(entry.path());
    }
    // Which of several comes first must not hang on the file system.
    files.sort();
    let mut certs = HostCerts::default();
    for file in &files {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => certs.roots.extend(certificates(file)?),
            Some("cert") => {
                let key = file.with_extension("key");
                if !files.contains(&key) {
                    return Err(invalid(file, "its key (`.key`) is not beside it"));
                }
                let pair = (certificates(file)?, private_key(&key)?);
                certs.identity.get_or_insert(pair);
            }
            Some("key") if !files.contains(&file.with_extension("cert")) => {
                return Err(invalid(file, "its certificate (`.cert`) is not beside it"));
            }
            _ => {}
        }
    }
    Ok(certs)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = fs::read(file).map_err(|error| io_error("reading certificates", Some(file), &error))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| invalid(file, &error.to_string()))?;
    if found.is_empty() {
        return Err(invalid(file, "it holds no certificate in PEM form"));
    }
    Ok(found)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    let bytes = fs::read(file).map_err(|error| io_error("reading certificates", Some(file), &error))?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| invalid(file, "it holds no private key in PEM form"))
}

fn invalid(file: &Path, reason: &str) -> Error {
    let kind = ErrorKind::InvalidSettings { reason: reason.to_owned() };
    Error::from(kind).at_path(file.display().to_string())
}

#[cfg(test)]
mod tests {
    use testbed::tls::Authority;

    use super::*;

    #[test]
    fn the_first_directory_of_a_host_counts() {
        let folder = tempfile::tempdir().unwrap();
        let dirs = [folder.path().join("user"), folder.path().join("system")];
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let authority = Authority::new();
        let pair = authority.loopback();
        write("system/a.io/ca.crt", &authority.pem());
        write("system/b.io:5000/ca.crt", &format!("{}{}", authority.pem(), authority.pem()));
        write("system/b.io:5000/client.cert", &pair.certificate);
        write("system/b.io:5000/client.key", &pair.key);
        write("user/b.io:5000/notes.txt", "nothing");
        write("system/docker.io/ca.crt", &authority.pem());
        let of = |name: &str| {
            find(&dirs, name).unwrap().map(|certs| (certs.roots.len(), certs.identity.is_some()))
        };
        assert_eq!(of("a.io"), Some((1, false)));
        assert_eq!(of("a.io:5000"), None);
        assert_eq!(of("b.io"), None);
        assert_eq!(of("b.io:5000"), Some((0, false)), "the user's hides the system's, whole");
        assert_eq!(of("registry-1.docker.io"), Some((1, false)));
        fs::remove_dir_all(&dirs[0]).unwrap();
        assert_eq!(of("b.io:5000"), Some((2, true)));
        for (name, text) in [("lone.cert", pair.certificate.as_str()), ("bad.crt", "no"), ("lone.key", "no")]
        {
            let path = format!("system/a.io/{name}");
            write(&path, text);
            let error = find(&dirs, "a.io").unwrap_err();
            assert_eq!(error.code(), "invalid_settings", "{name}");
            assert!(error.place().path.as_ref().unwrap().ends_with(name), "{name}");
            fs::remove_file(folder.path().join(path)).unwrap();
        }
    }
}
