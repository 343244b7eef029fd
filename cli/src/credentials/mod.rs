//! Where credentials for a registry come from, and where `login` puts them.
//!
//! The places, first to last; the first that has credentials for the registry is taken:
//!
//! 1. `--creds USER[:PASSWORD]`;
//! 2. the file of `--authfile` or `REGISTRY_AUTH_FILE`: where one is named, no other file is read;
//! 3. `DOCKER_AUTH_CONFIG`: the content of a docker `config.json`;
//! 4. podman's `auth.json`: `$XDG_RUNTIME_DIR/containers/`, `/run/containers/$UID/`, `$XDG_CONFIG_HOME/containers/`
//!    (containers-auth.json(5));
//! 5. docker's `config.json`: `$DOCKER_CONFIG/`, `~/.docker/`;
//! 6. the old `~/.dockercfg`.
//!
//! Within a file: the helper that `credHelpers` names for the registry, then `auths`, then the helper that
//! `credsStore` names for all. A helper that is missing or breaks is a warning, and the search goes on: a public image
//! still pulls.

mod environment;
mod file;
mod helper;
mod login;
mod search;

pub use environment::Environment;
pub use file::{AuthFile, Entry};
pub use helper::{Helper, HelperFailure};
pub use login::{Kept, forget, keep};
pub use search::{Finding, Search, Step, Trial};
