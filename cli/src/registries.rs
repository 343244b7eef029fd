//! The files that say where images come from: `registries.conf`, its drop-ins and the short names that podman noted, and
//! where certificates of single hosts are. What they mean is core's (`wharfie_core::registries`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wharfie_core::Registries;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::registries::RegistriesFile;

use crate::credentials::Environment;
use crate::fault::io_error;

/// Which files are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Those of podman, wherever they are (containers-registries.conf(5)): the user's file or else the system's (or the one
    /// that `CONTAINERS_REGISTRIES_CONF` names), drop-ins, noted short names.
    #[default]
    Usual,
    /// This one alone.
    File(PathBuf),
    /// None.
    Nothing,
}

/// Reads the files that were chosen. Those that are not there are none, but one that was named by hand.
///
/// # Errors
/// `local_io`, `permission_denied`, `invalid_settings`, at the file.
pub fn read(choice: &Choice, environment: &Environment) -> Result<Registries> {
    let mut registries = Registries::default();
    match choice {
        Choice::Nothing => {}
        Choice::Usual if environment.variable("WHARFIE_NO_REGISTRIES_CONF").is_some() => {}
        Choice::File(path) => add(&mut registries, path, true)?,
        Choice::Usual => usual(&mut registries, environment, Path::new("/etc/containers"))?,
    }
    Ok(registries)
}

fn usual(registries: &mut Registries, environment: &Environment, system: &Path) -> Result<()> {
    let own = environment.config_home().map(|home| home.join("containers"));
    let own_file = own.as_ref().map(|own| own.join("registries.conf")).filter(|file| file.exists());
    let named = environment.variable("CONTAINERS_REGISTRIES_CONF").map(PathBuf::from);
    // Whoever has a file of his own is not told by the system's.
    let with_system = named.is_some() || own_file.is_none();
    match (named, own_file) {
        (Some(file), _) => add(registries, &file, true)?,
        (None, Some(file)) => add(registries, &file, false)?,
        (None, None) => add(registries, &system.join("registries.conf"), false)?,
    }
    if with_system {
        drop_ins(registries, &system.join("registries.conf.d"))?;
    }
    if let Some(own) = own {
        drop_ins(registries, &own.join("registries.conf.d"))?;
    }
    // What podman's user has answered to the question which registry a short name means.
    if let Some(cache) = environment.cache_home() {
        add(registries, &cache.join("containers/short-name-aliases.conf"), false)?;
    }
    Ok(())
}

fn drop_ins(registries: &mut Registries, dir: &Path) -> Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(io_error("reading settings", Some(dir), &error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(|error| io_error("reading settings", Some(dir), &error))?.path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    files.iter().try_for_each(|file| add(registries, file, false))
}

fn add(registries: &mut Registries, file: &Path, is_named: bool) -> Result<()> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if !is_named && is_absent(&error) => return Ok(()),
        Err(error) => return Err(io_error("reading settings", Some(file), &error)),
    };
    let parsed: RegistriesFile = toml::from_str(&text).map_err(|error| {
        let line =
            error.span().map_or(0, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count());
        let reason = format!("line {}: {}", line + 1, error.message().replace('\n', " "));
        Error::from(ErrorKind::InvalidSettings { reason }).at_path(file.display().to_string())
    })?;
    registries.add(parsed, &file.display().to_string())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Where certificates of single hosts are, best first.
pub fn cert_dirs(environment: &Environment) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    if let Some(home) = environment.config_home() {
        dirs.push(home.join("containers/certs.d"));
    }
    dirs.push(PathBuf::from("/etc/containers/certs.d"));
    dirs.push(PathBuf::from("/etc/docker/certs.d"));
    // Docker without root keeps them here.
    dirs.extend(environment.config_home().map(|home| home.join("docker/certs.d")));
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_where_podman_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let system = folder.path().join("etc");
        let environment = Environment::with_home(folder.path());
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let cat = |environment: &Environment| {
            let mut registries = Registries::default();
            usual(&mut registries, environment, &system).unwrap();
            registries.resolve("cat").unwrap().remove(0).reference.host().to_owned()
        };
        assert_eq!(cat(&environment), "docker.io");
        write("etc/registries.conf", "unqualified-search-registries = ['system.io']");
        assert_eq!(cat(&environment), "system.io");
        write("etc/registries.conf.d/10.conf", "unqualified-search-registries = ['ten.io']");
        write("etc/registries.conf.d/09.conf", "unqualified-search-registries = ['nine.io']");
        write("etc/registries.conf.d/99.txt", "no settings");
        assert_eq!(cat(&environment), "ten.io");
        write(".config/containers/registries.conf", "unqualified-search-registries = ['own.io']");
        assert_eq!(cat(&environment), "own.io");
        write("other.conf", "unqualified-search-registries = ['other.io']");
        let named = environment.clone().with("CONTAINERS_REGISTRIES_CONF", folder.path().join("other.conf"));
        assert_eq!(cat(&named), "ten.io", "drop-ins come after it, as with podman");
        write(".config/containers/registries.conf.d/1.conf", "[aliases]\ncat = 'drop.io/cat'");
        assert_eq!(cat(&environment), "drop.io");
        write(".cache/containers/short-name-aliases.conf", "[aliases]\ncat = 'noted.io/cat'");
        assert_eq!(cat(&environment), "noted.io");
    }

    #[test]
    fn what_cannot_be_read_names_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("r.conf");
        let fails = |text: &str| {
            fs::write(&file, text).unwrap();
            let error = read(&Choice::File(file.clone()), &Environment::default()).unwrap_err();
            assert_eq!(error.place().path.as_deref(), Some(file.display().to_string().as_str()));
            assert_eq!(error.code(), "invalid_settings");
            error.to_string()
        };
        assert!(fails("\n\n[[registry\n").contains("line 3"));
        assert!(fails("[[registry]]\nlocation = 5\n").contains("line 2"));
        assert!(fails("[[registry]]\nlocation = 'http://a.io'\n").contains("scheme"));
        let absent = read(&Choice::File(folder.path().join("absent")), &Environment::default()).unwrap_err();
        assert_eq!(absent.code(), "local_io");
        let off = Environment::default().with("WHARFIE_NO_REGISTRIES_CONF", "1");
        assert_eq!(read(&Choice::Usual, &off).unwrap(), Registries::default());
    }
}
