//! What a user's name for an image means: a registry's reference, or a place on this machine
//! (containers-transports(5)).

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};

use crate::error::{ErrorKind, Result};
use crate::reference::Reference;

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// On a registry: `alpine`, `docker://alpine`.
    Registry(Reference),
    /// Somewhere on this machine.
    Local(Local),
}

/// An image on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// How it is kept there.
    pub transport: Transport,
    /// The file or the directory.
    pub path: String,
    /// Which of the images there: a tag, a reference name, or `@INDEX`, as the transport has it.
    pub reference: Option<String>,
}

/// How an image is kept on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// `oci:DIR[:REF]`: an OCI image layout.
    OciLayout,
    /// `oci-archive:FILE[:REF]`: an OCI image layout in a tar.
    OciArchive,
    /// `docker-archive:FILE[:REF]`: what `docker save` writes.
    DockerArchive,
    /// `dir:DIR`: skopeo's flat directory.
    Directory,
    /// A bare path: what is there has to be looked at.
    Path,
}

impl Transport {
    const NAMED: &'static [(&'static str, Transport)] = &[
        ("oci", Transport::OciLayout),
        ("oci-archive", Transport::OciArchive),
        ("docker-archive", Transport::DockerArchive),
        ("dir", Transport::Directory),
    ];
}

/// Transports of other tools that need their engine.
const FOREIGN: &[(&str, &str)] = &[
    ("docker-daemon", "it needs docker's engine: `docker save IMAGE -o FILE`, then docker-archive:FILE"),
    (
        "containers-storage",
        "it needs podman's storage: `podman save IMAGE -o FILE`, then docker-archive:FILE",
    ),
    ("ostree", "it needs an ostree repository"),
    ("sif", "Singularity images are not read"),
];

impl Source {
    /// Reads a name as a user gives it.
    ///
    /// A bare path counts as one only when it begins with `/`, `./`, `../` or a drive, or ends as archives do
    /// (`.tar`, `.tgz`, `.tar.zst`, also `.tar.xz`, which is not read): a folder `alpine/` never hides the image. A drive letter is no transport.
    ///
    /// # Errors
    /// `invalid_reference`, `unsupported_transport`, `invalid_option` for a transport without a path.
    pub fn parse(input: &str) -> Result<Source> {
        if is_path(input) {
            return Ok(local(Transport::Path, input, None));
        }
        if let Some(reference) = input.strip_prefix("docker://") {
            return reference.parse().map(Source::Registry);
        }
        if let Some((name, rest)) = input.split_once(':') {
            if let Some((_, transport)) = Transport::NAMED.iter().find(|(known, _)| *known == name) {
                return Source::at(*transport, name, rest);
            }
            if let Some((transport, reason)) = FOREIGN.iter().find(|(known, _)| *known == name) {
                let (transport, reason) = ((*transport).to_owned(), (*reason).to_owned());
                return Err(ErrorKind::UnsupportedTransport { transport, reason }.into());
            }
            if rest.starts_with("//") {
                let reason =
                    "images on registries are named without a scheme: host/repository:tag".to_owned();
                return Err(ErrorKind::UnsupportedTransport { transport: name.to_owned(), reason }.into());
            }
        }
        input.parse().map(Source::Registry)
    }

    fn at(transport: Transport, name: &str, rest: &str) -> Result<Source> {
        let (path, reference) = match transport {
            Transport::Directory | Transport::Path => (rest, None),
            _ => split_path(rest),
        };
        if path.is_empty() {
            let reason = alloc::format!("`{name}:` needs a path after the colon");
            return Err(ErrorKind::InvalidOption { reason }.into());
        }
        Ok(local(transport, path, reference))
    }
}

fn local(transport: Transport, path: &str, reference: Option<&str>) -> Source {
    Source::Local(Local { transport, path: path.to_string(), reference: reference.map(ToString::to_string) })
}

/// Splits `PATH[:REF]` at the first colon that is not a drive's.
fn split_path(rest: &str) -> (&str, Option<&str>) {
    let skip = if has_drive(rest) { 2 } else { 0 };
    let colon = rest.get(skip..).and_then(|tail| tail.find(':')).map(|at| at + skip);
    match colon.and_then(|at| Some((rest.get(..at)?, rest.get(at + 1..)?))) {
        Some((path, reference)) => (path, Some(reference).filter(|reference| !reference.is_empty())),
        None => (rest, None),
    }
}

fn has_drive(path: &str) -> bool {
    let mut bytes = path.bytes();
    matches!(
        (bytes.next(), bytes.next(), bytes.next()),
        (Some(letter), Some(b':'), Some(b'/' | b'\\')) if letter.is_ascii_alphabetic()
    )
}

fn is_path(input: &str) -> bool {
    let starts = ["/", "./", "../", ".\\", "..\\", "\\\\"];
    // Those of other compressions too: that they are not read is a better answer than a registry's.
    let ends = [
        ".tar",
        ".tgz",
        ".tar.gz",
        ".tar.zst",
        ".tzst",
        ".tar.zstd",
        ".tar.xz",
        ".txz",
        ".tar.bz2",
        ".tbz2",
        ".tbz",
        ".tar.lz4",
        ".tar.lzma",
    ];
    let named = Transport::NAMED
        .iter()
        .any(|(name, _)| input.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')));
    let remote = input.contains("://");
    matches!(input, "." | "..")
        || starts.iter().any(|start| input.starts_with(start))
        || has_drive(input)
        || (!named && !remote && ends.iter().any(|end| input.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(serde::Deserialize)]
    struct Cases {
        case: alloc::vec::Vec<BTreeMap<String, String>>,
    }

    #[test]
    fn every_case_means_what_it_says() {
        let text = include_str!("../../testdata/sources.toml");
        let cases: Cases = toml::from_str(text).unwrap();
        for case in cases.case {
            let input = &case["input"];
            let field = |name: &str| case.get(name).cloned();
            match Source::parse(input) {
                Err(error) => assert_eq!(field("error").as_deref(), Some(error.code()), "{input}: {error}"),
                Ok(Source::Registry(reference)) => {
                    assert_eq!(field("registry"), Some(reference.to_string()), "{input}");
                }
                Ok(Source::Local(local)) => {
                    let name = alloc::format!("{:?}", local.transport);
                    assert_eq!(field("transport"), Some(name), "{input}");
                    assert_eq!(
                        (field("path"), field("reference")),
                        (Some(local.path), local.reference),
                        "{input}"
                    );
                }
            }
        }
    }
}
