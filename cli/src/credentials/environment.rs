//! The part of the process's environment that says where credential files are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// Variables, the home directory and the user's number. Tests make their own.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
    home: Option<PathBuf>,
    uid: Option<u32>,
}

/// Every variable that the search looks at.
const VARIABLES: &[&str] = &[
    "REGISTRY_AUTH_FILE",
    "DOCKER_AUTH_CONFIG",
    "DOCKER_CONFIG",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "CONTAINERS_REGISTRIES_CONF",
    "WHARFIE_NO_REGISTRIES_CONF",
    "PATH",
];

impl Environment {
    /// This process's.
    pub fn of_process() -> Environment {
        let mut variables = BTreeMap::new();
        for name in VARIABLES {
            if let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) {
                variables.insert((*name).to_owned(), value);
            }
        }
        #[cfg(unix)]
        let uid = Some(rustix::process::getuid().as_raw());
        #[cfg(not(unix))]
        let uid = None;
        Environment { variables, home: std::env::home_dir(), uid }
    }

    /// One with nothing but a home directory.
    pub fn with_home(home: impl Into<PathBuf>) -> Environment {
        Environment { home: Some(home.into()), ..Environment::default() }
    }

    /// The same with a variable set.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Environment {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&OsString> {
        self.variables.get(name)
    }

    fn directory(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from)
    }

    /// Where the user's settings are: `$XDG_CONFIG_HOME`, else `~/.config`.
    pub fn config_home(&self) -> Option<PathBuf> {
        self.directory("XDG_CONFIG_HOME").or_else(|| Some(self.home.as_ref()?.join(".config")))
    }

    /// Where the user's caches are: `$XDG_CACHE_HOME`, else `~/.cache`.
    pub fn cache_home(&self) -> Option<PathBuf> {
        self.directory("XDG_CACHE_HOME").or_else(|| Some(self.home.as_ref()?.join(".cache")))
    }

    /// The file that is named by hand.
    pub fn named_file(&self) -> Option<PathBuf> {
        self.directory("REGISTRY_AUTH_FILE")
    }

    /// The places of podman's `auth.json`, best first.
    pub fn podman_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        if let Some(runtime) = self.directory("XDG_RUNTIME_DIR") {
            files.push(runtime.join("containers/auth.json"));
        }
        if let Some(uid) = self.uid {
            files.push(PathBuf::from(format!("/run/containers/{uid}/auth.json")));
        }
        files.extend(self.config_home().map(|config| config.join("containers/auth.json")));
        files
    }

    /// Docker's `config.json`.
    pub fn docker_file(&self) -> Option<PathBuf> {
        let directory =
            self.directory("DOCKER_CONFIG").or_else(|| Some(self.home.as_ref()?.join(".docker")))?;
        Some(directory.join("config.json"))
    }

    /// Docker's file before 2015.
    pub fn old_docker_file(&self) -> Option<PathBuf> {
        Some(self.home.as_ref()?.join(".dockercfg"))
    }
}
