//! References: how people name images (`distribution/reference`'s grammar and docker's normalisation of it).
//!
//! `alpine` is `docker.io/library/alpine`; `user/app` is `docker.io/user/app`. What stands before the first `/` is a host
//! if it has a `.` or a `:`, is `localhost`, or has an upper-case letter (which no repository may have).
//!
//! Three things that the grammar lets through and no registry can be reached by are refused here: a port above 65535, a
//! bracketed host that is no IPv6 address, and a host with `_`, which the original takes for part of a repository without
//! any host.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind};

/// Docker Hub's name in references.
const HUB: &str = "docker.io";
/// Where Docker Hub's registry answers.
const HUB_API: &str = "registry-1.docker.io";
/// An older name of Docker Hub, still found in credential files.
const HUB_LEGACY: &str = "index.docker.io";
/// What `docker.io/alpine` is short for.
const HUB_OFFICIAL: &str = "library/";
/// The tag that is meant when neither tag nor digest is given.
const DEFAULT_TAG: &str = "latest";

/// The longest repository, in bytes, without its host.
const REPOSITORY_MAX: usize = 255;
/// The longest tag, in bytes.
const TAG_MAX: usize = 128;

/// A name of an image: `host/repository[:tag][@digest]`, normalised.
///
/// Shown in the canonical form with everything spelled out; [`Reference::familiar`] gives the short one. Both are read
/// back as the same reference.
///
/// ```
/// use wharfie_core::Reference;
///
/// let reference: Reference = "alpine:3".parse()?;
/// assert_eq!(reference.to_string(), "docker.io/library/alpine:3");
/// assert_eq!(reference.api_host(), "registry-1.docker.io");
/// assert_eq!(reference.familiar(), "alpine:3");
/// # Ok::<(), wharfie_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Of a host (with its port, if any) and a repository as the registry knows it, without tag and digest. The pair is
    /// normalised as [`Reference::from_str`] does.
    ///
    /// # Errors
    /// `invalid_reference`
    pub fn new(host: &str, repository: &str) -> Result<Reference, Error> {
        let input = format!("{host}/{repository}");
        let at = |part, reason| invalid(&input, part, reason);
        check_host(host).map_err(|reason| at("host", reason))?;
        if split_host(&input).0 != Some(host) {
            return Err(at(
                "host",
                "a bare word (a host has a `.`, a `:` or an upper-case letter, or is `localhost`)"
                    .to_string(),
            ));
        }
        let (host, repository) = officialise(host, repository);
        check_repository(&repository).map_err(|reason| at("repository", reason))?;
        Ok(Reference { host: host.to_string(), repository, tag: None, digest: None })
    }

    /// The registry's host, with its port if one was given: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository on that host: `library/alpine`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The host (and port) that answers the registry's API: that of [`Reference::host`], but `registry-1.docker.io` for
    /// Docker Hub.
    pub fn api_host(&self) -> &str {
        if self.host == HUB { HUB_API } else { &self.host }
    }

    /// What to ask the registry for: the digest, which wins over a tag; else the tag, `latest` if there is none.
    pub fn target(&self) -> String {
        match &self.digest {
            Some(digest) => digest.to_string(),
            None => self.tag.as_deref().unwrap_or(DEFAULT_TAG).to_string(),
        }
    }

    /// `host/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// The short form: without `docker.io/` and `library/` where it is read back as the same reference without them.
    pub fn familiar(&self) -> String {
        if self.host == HUB {
            let short = self
                .repository
                .strip_prefix(HUB_OFFICIAL)
                .filter(|name| !name.contains('/'))
                .unwrap_or(&self.repository);
            let short = format!("{short}{}", self.suffix());
            if short.parse().is_ok_and(|again: Reference| again == *self) {
                return short;
            }
        }
        self.to_string()
    }

    /// The same with another tag, and no digest: it would contradict the tag.
    ///
    /// # Errors
    /// `invalid_reference`
    pub fn with_tag(&self, tag: &str) -> Result<Reference, Error> {
        check_tag(tag).map_err(|reason| invalid(&format!("{}:{tag}", self.name()), "tag", reason))?;
        Ok(Reference { tag: Some(tag.to_string()), digest: None, ..self.clone() })
    }

    /// The same pinned to a digest; a tag stays, for people to read.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference { digest: Some(digest), ..self.clone() }
    }

    /// The same with `latest` where neither tag nor digest is given.
    #[must_use]
    pub fn or_latest(mut self) -> Reference {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_string());
        }
        self
    }

    fn suffix(&self) -> String {
        let mut suffix = String::new();
        if let Some(tag) = &self.tag {
            suffix = format!(":{tag}");
        }
        if let Some(digest) = &self.digest {
            suffix = format!("{suffix}@{digest}");
        }
        suffix
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.host, self.repository, self.suffix())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// Reads `[host[:port]/]repository[:tag][@digest]`.
    ///
    /// # Errors
    /// `invalid_reference`, which says which part is wrong and how; `unsupported_digest` for a well-formed digest of an
    /// unknown algorithm.
    fn from_str(input: &str) -> Result<Self, Error> {
        let at = |part, reason: String| invalid(input, part, reason);
        if input.is_empty() {
            return Err(at("repository", "nothing at all".to_string()));
        }
        if let Some((scheme, _)) = input.split_once("://") {
            return Err(at("host", format!("`{scheme}://`, which does not belong in a reference,")));
        }
        if input.len() == 64 && input.bytes().all(is_hex) {
            return Err(at(
                "repository",
                "64 hexadecimal digits, which docker takes for an image identifier,".to_string(),
            ));
        }
        let (name, digest) = match input.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (input, None),
        };
        let (host, rest) = split_host(name);
        if let Some(host) = host {
            check_host(host).map_err(|reason| at("host", reason))?;
        }
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        let (host, repository) = officialise(host.unwrap_or(HUB), repository);
        check_repository(&repository).map_err(|reason| at("repository", reason))?;
        if let Some(tag) = tag {
            check_tag(tag).map_err(|reason| at("tag", reason))?;
        }
        let digest = digest.map(str::parse).transpose().map_err(|error: Error| match error.kind() {
            ErrorKind::InvalidDigest { reason, .. } => at("digest", format!("a mistake ({reason})")),
            _ => error.in_image(input),
        })?;
        Ok(Reference { host: host.to_string(), repository, tag: tag.map(ToString::to_string), digest })
    }
}

fn invalid(input: &str, part: &'static str, reason: String) -> Error {
    ErrorKind::InvalidReference { input: input.to_string(), part, reason }.into()
}

/// Docker's `splitDockerDomain`: the host, if the first component is one, and the rest.
pub(crate) fn split_host(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (Some(first), rest)
        }
        _ => (None, name),
    }
}

/// The canonical host of Docker Hub, and its official images with their name space.
fn officialise<'a>(host: &'a str, repository: &str) -> (&'a str, String) {
    let host = if host == HUB_LEGACY { HUB } else { host };
    if host == HUB && !repository.is_empty() && !repository.contains('/') {
        (host, format!("{HUB_OFFICIAL}{repository}"))
    } else {
        (host, repository.to_string())
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// How a character that does not belong is named.
fn stray(c: char) -> String {
    match c {
        ' ' => "a space".to_string(),
        c if c.is_control() || c.is_whitespace() => format!("the character U+{:04X}", u32::from(c)),
        c => format!("the character `{c}`"),
    }
}

/// `host[:port]`. Answers what is wrong, as a noun phrase.
fn check_host(host: &str) -> Result<(), String> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or("`[` without `]`")?;
            let plain = address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
            if !plain || address.parse::<Ipv6Addr>().is_err() {
                return Err(format!("`[{address}]`, which is no plain IPv6 address,"));
            }
            match after.strip_prefix(':') {
                Some(port) => ("", Some(port)),
                None if after.is_empty() => ("", None),
                None => return Err(format!("`{after}` after `]`")),
            }
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    if let Some(port) = port {
        if port.is_empty() {
            return Err("an empty port".to_string());
        }
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(if port.contains(':') {
                format!("more than one `:` (an IPv6 address goes in brackets: `[{host}]`)")
            } else {
                format!("the port `{port}`, which is no number,")
            });
        }
        if port.parse::<u16>().is_err() {
            return Err(format!("the port {port}, which is above 65535,"));
        }
    }
    if host.starts_with('[') {
        return Ok(());
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(if name.is_empty() { "no name" } else { "an empty part between dots" }.to_string());
        }
        if let Some(c) = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
            return Err(stray(c));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(format!("`{label}`, which begins or ends with `-`,"));
        }
    }
    Ok(())
}

/// Components of lower-case letters and digits with single separators, at most 255 bytes. Answers what is wrong.
fn check_repository(repository: &str) -> Result<(), String> {
    if repository.is_empty() {
        return Err("no name".to_string());
    }
    for component in repository.split('/') {
        if component.is_empty() {
            return Err("an empty component".to_string());
        }
        let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let separator = |c: char| matches!(c, '.' | '_' | '-');
        if let Some(c) = component.chars().find(|c| !alphanumeric(*c) && !separator(*c)) {
            return Err(match c {
                c if c.is_uppercase() => format!("the upper-case letter `{c}` (only lower case is allowed)"),
                c => stray(c),
            });
        }
        if component.starts_with(separator) || component.ends_with(separator) {
            return Err(format!("`{component}`, which begins or ends with a separator,"));
        }
        // What stands between letters: one `.`, one or two `_`, any number of `-`, never mixed.
        let runs = component.split(alphanumeric).filter(|run| !run.is_empty());
        for run in runs {
            if !matches!(run, "." | "_" | "__") && run.contains(|c| c != '-') {
                return Err(format!(
                    "`{run}`, which is no separator (they are `.`, `_`, `__` and any number of `-`),"
                ));
            }
        }
    }
    if repository.len() > REPOSITORY_MAX {
        return Err(format!("{} characters where at most {REPOSITORY_MAX} are allowed", repository.len()));
    }
    Ok(())
}

/// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`. Answers what is wrong.
fn check_tag(tag: &str) -> Result<(), String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match tag.chars().next() {
        None => return Err("nothing after the `:`".to_string()),
        Some(first @ ('.' | '-')) => return Err(format!("`{first}` at the beginning")),
        Some(_) => {}
    }
    if let Some(c) = tag.chars().find(|c| !word(*c) && !matches!(c, '.' | '-')) {
        return Err(stray(c));
    }
    if tag.len() > TAG_MAX {
        return Err(format!("{} characters where at most {TAG_MAX} are allowed", tag.len()));
    }
    Ok(())
}

impl serde::Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
