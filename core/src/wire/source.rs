//! What a user's name for an image means.

use alloc::string::{String, ToString};

use super::Object;
use crate::error::Result;
use crate::source::{Source, Transport};

/// Reads a name as a user gives it ([`Source::parse`]), as JSON: `{"registry":REFERENCE}`, or a place on this machine,
/// `{"path":…,"kind":…,"reference":…}`. `kind` is a word for [`Opening::new`](super::Opening::new), and absent where what is there
/// has to be looked at; `reference` says which of the images there.
///
/// # Errors
/// `invalid_reference`, `unsupported_transport`, `invalid_option` for a transport without a path.
pub fn source(name: &str) -> Result<String> {
    Ok(match Source::parse(name)? {
        Source::Registry(reference) => Object::new().with("registry", reference.to_string()),
        Source::Local(local) => {
            let kind = match local.transport {
                Transport::OciLayout | Transport::OciArchive => Some("layout"),
                Transport::DockerArchive => Some("docker"),
                Transport::Directory => Some("directory"),
                Transport::Path => None,
            };
            Object::new()
                .with("path", local.path)
                .with_some("kind", kind)
                .with_some("reference", local.reference)
        }
    }
    .to_string())
}
