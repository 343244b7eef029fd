//! Where images come from on a real network: mirrors, places that stand for others, what is blocked, and short names
//! (containers-registries.conf(5), version 2 and what is left of version 1).
//!
//! A host reads files and gives what is in them, one after the other, to [`Registries::add`]; later ones win, as with
//! podman. What comes of a name is then a question without I/O: [`Registries::resolve`] says which images a short name may
//! mean, [`Registries::endpoints`] where one is asked for, in order.
//!
//! As podman does it:
//! - The rule with the longest matching prefix counts, and no other. A prefix is `host`, `host/repository/part`, or
//!   `*.domain` for hosts below a domain. It matches a name at the end or before `/`, `:` and `@`; so a rule for a host
//!   holds for its ports too.
//! - `location` and mirrors are for pulls alone. `blocked` and `insecure` hold for whatever is asked of a place, by
//!   its true name.
//! - A mirror's rules are that mirror's: what `insecure` says of the place that it stands for says nothing of it.
//!
//! Otherwise than podman:
//! - A name without a host that neither an alias nor `unqualified-search-registries` says anything of is Docker Hub's.
//!   podman refuses it; here it would make a file that says nothing of names change what they mean.
//! - Nobody is asked which one is meant: where podman asks (`short-name-mode = "enforcing"`, several registries), the name
//!   is refused with the names that it may stand for.
//! - A mirror may have `ns = true`: it is told by the query `ns=` whose image it is asked for, as containerd tells all of
//!   its mirrors. podman passes over this key.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::reference::{Reference, split_host};

/// What one file of settings says, version 1 or 2: a host gives its TOML to serde. Keys that are of no concern here are
/// passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct RegistriesFile {
    unqualified_search_registries: Option<Vec<String>>,
    short_name_mode: Option<String>,
    registry: Vec<RuleText>,
    aliases: BTreeMap<String, String>,
    /// Version 1.
    registries: Option<FirstVersion>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct RuleText {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    pull_from_mirror: String,
    mirror: Vec<MirrorText>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct MirrorText {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
    ns: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct FirstVersion {
    search: FirstList,
    insecure: FirstList,
    block: FirstList,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct FirstList {
    registries: Vec<String>,
}

/// The settings of all files together. Without any, every name is asked for where it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registries {
    rules: Vec<Rule>,
    search: Option<(Vec<String>, String)>,
    mode: Mode,
    aliases: BTreeMap<String, Alias>,
}

/// What holds for the names of one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    prefix: String,
    /// Empty for a wildcard that moves nothing.
    location: String,
    insecure: bool,
    blocked: bool,
    mirrors: Vec<Mirror>,
    file: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    location: String,
    insecure: bool,
    pulls: Pulls,
    ns: bool,
}

/// Which pulls a mirror is for (`pull-from-mirror`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pulls {
    All,
    ByDigest,
    ByTag,
}

/// `short-name-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// A name that may be several is refused.
    #[default]
    Enforcing,
    /// They are tried in order.
    InTurn,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Alias {
    name: String,
    file: String,
}

/// One place where an image is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Endpoint {
    /// The registry, as `Reference` names it.
    pub registry: String,
    /// The repository there.
    pub repository: String,
    /// Any certificate will do, and plain http.
    pub insecure: bool,
    /// Another is asked if this one does not give it.
    pub is_mirror: bool,
    /// The registry that the image's name says, where that is another one.
    pub stands_for: Option<String>,
    /// Whether it wants to be told for whom it stands, by the query `ns=`.
    pub ns: bool,
    /// The file whose rule names this place; `None` if the name itself does.
    pub file: Option<String>,
}

/// One image that a name may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// It, with the tag and digest of the name.
    pub reference: Reference,
    /// Why.
    pub why: Why,
}

/// Why a name means an image.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It says so itself, or nothing else is said of it: then a name without a registry is Docker Hub's.
    Named,
    /// An alias in this file.
    Alias(String),
    /// The `unqualified-search-registries` of this file.
    Search(String),
}

impl RuleText {
    fn read(self, file: &str) -> Result<Rule> {
        let location = place(&self.location)?;
        let prefix = place(&self.prefix)?;
        let is_wild = prefix.starts_with("*.");
        if location.is_empty() && prefix.is_empty() {
            return Err(wrong("a [[registry]] has neither `prefix` nor `location`"));
        }
        if location.is_empty() && !is_wild {
            return Err(wrong(&format!(
                "the [[registry]] of `{prefix}` has no `location` (only a `*.domain` does without)"
            )));
        }
        if !self.pull_from_mirror.is_empty() {
            let name = if prefix.is_empty() { &location } else { &prefix };
            return Err(wrong(&format!(
                "the [[registry]] of `{name}` has `pull-from-mirror`, which is for mirrors"
            )));
        }
        check_location(&location)?;
        let prefix = if prefix.is_empty() { location.clone() } else { prefix };
        let digests = self.mirror_by_digest_only;
        let mirrors = self.mirror.into_iter().map(|mirror| mirror.read(&prefix, digests));
        let mirrors = mirrors.collect::<Result<_>>()?;
        let (insecure, blocked, file) = (self.insecure, self.blocked, file.to_string());
        Ok(Rule { prefix, location, insecure, blocked, mirrors, file })
    }
}

impl MirrorText {
    fn read(self, prefix: &str, by_digest_only: bool) -> Result<Mirror> {
        let location = place(&self.location)?;
        if location.is_empty() {
            return Err(wrong(&format!("a mirror of `{prefix}` has no `location`")));
        }
        check_location(&location)?;
        let pulls = match self.pull_from_mirror.as_str() {
            "" if by_digest_only => Pulls::ByDigest,
            "" | "all" if !by_digest_only => Pulls::All,
            "digest-only" if !by_digest_only => Pulls::ByDigest,
            "tag-only" if !by_digest_only => Pulls::ByTag,
            "all" | "digest-only" | "tag-only" => {
                return Err(wrong(&format!(
                    "`{prefix}` has `mirror-by-digest-only`, and its mirror `{location}` has `pull-from-mirror`: one or the other"
                )));
            }
            other => {
                return Err(wrong(&format!(
                    "the mirror `{location}` of `{prefix}` has `pull-from-mirror = \"{other}\"` (known are all, digest-only and tag-only)"
                )));
            }
        };
        Ok(Mirror { location, insecure: self.insecure, pulls, ns: self.ns })
    }
}

impl Rule {
    fn plain(place: String, file: &str) -> Rule {
        Rule {
            prefix: place.clone(),
            location: place,
            insecure: false,
            blocked: false,
            mirrors: Vec::new(),
            file: file.to_string(),
        }
    }

    /// What it says of `name`, told for `location` in place of what its prefix matches.
    fn endpoint(&self, reference: &Reference, location: &str) -> Result<Endpoint> {
        let name = reference.name();
        let rest = matched(&name, &self.prefix).and_then(|end| name.get(end..)).unwrap_or_default();
        let there = if location.is_empty() { name.clone() } else { format!("{location}{rest}") };
        let bad = |reason: &str| Error::from(settings(reason)).at_path(&self.file);
        let (Some(host), repository) = split_host(&there) else {
            return Err(bad(&format!(
                "`{location}` for `{}` makes `{there}`, which names no host",
                self.prefix
            )));
        };
        let moved = Reference::new(host, repository)
            .map_err(|error| bad(&format!("`{location}` for `{}` makes `{there}`: {error}", self.prefix)))?;
        Ok(Endpoint {
            registry: moved.host().to_string(),
            repository: moved.repository().to_string(),
            insecure: self.insecure,
            is_mirror: false,
            stands_for: Some(reference.host().to_string()).filter(|host| host != moved.host()),
            ns: false,
            file: Some(self.file.clone()),
        })
    }
}

impl Registries {
    /// Takes in what one more file says; `file` is its name, for errors and for those who ask why. What it says of a prefix
    /// or of a short name replaces what earlier files said of the same.
    ///
    /// # Errors
    /// `invalid_settings`, at the file; then nothing of it is taken.
    pub fn add(&mut self, text: RegistriesFile, file: &str) -> Result<()> {
        self.try_add(text, file).map_err(|error| error.at_path(file))
    }

    fn try_add(&mut self, text: RegistriesFile, file: &str) -> Result<()> {
        let mut rules: Vec<Rule> =
            text.registry.into_iter().map(|rule| rule.read(file)).collect::<Result<_>>()?;
        let mut search = text.unqualified_search_registries;
        if let Some(first) = text.registries {
            let FirstVersion { search: FirstList { registries: names }, insecure, block } = first;
            if search.is_some() || !rules.is_empty() {
                return Err(wrong("it mixes the keys of version 1 ([registries.…]) and version 2"));
            }
            search = Some(names).filter(|names| !names.is_empty());
            for name in &insecure.registries {
                rules.push(Rule { insecure: true, ..Rule::plain(place(name)?, file) });
            }
            for name in &block.registries {
                let name = place(name)?;
                match rules.iter_mut().find(|rule| rule.prefix == name) {
                    Some(rule) => rule.blocked = true,
                    None => rules.push(Rule { blocked: true, ..Rule::plain(name, file) }),
                }
            }
        }
        // One place by several prefixes cannot be blocked by one and open by the other.
        for (position, rule) in rules.iter().enumerate() {
            let earlier = rules.iter().take(position);
            for other in earlier.filter(|other| !rule.location.is_empty() && other.location == rule.location)
            {
                let key = if other.insecure != rule.insecure {
                    "insecure"
                } else if other.blocked != rule.blocked {
                    "blocked"
                } else {
                    continue;
                };
                return Err(wrong(&format!(
                    "`{}` is there several times, and `{key}` differs",
                    rule.location
                )));
            }
        }
        let search = search.map(|names| {
            let names = names.iter().map(|name| {
                let name = place(name)?;
                check_location(&name)?;
                Ok(name)
            });
            names.collect::<Result<Vec<_>>>()
        });
        let search = search.transpose()?;
        let mode = match text.short_name_mode.as_deref() {
            None | Some("") => None,
            Some("enforcing") => Some(Mode::Enforcing),
            Some("permissive" | "disabled") => Some(Mode::InTurn),
            Some(other) => {
                return Err(wrong(&format!(
                    "`short-name-mode = \"{other}\"` (known are enforcing, permissive and disabled)"
                )));
            }
        };
        for (short, name) in &text.aliases {
            check_alias(short, name)?;
        }
        // Within one file the first of a prefix counts, over several the last.
        let mut taken: Vec<Rule> = Vec::new();
        for rule in rules {
            if !taken.iter().any(|known| known.prefix == rule.prefix) {
                taken.push(rule);
            }
        }
        self.rules.retain(|known| !taken.iter().any(|rule| rule.prefix == known.prefix));
        self.rules.extend(taken);
        if let Some(search) = search {
            self.search = Some((search, file.to_string()));
        }
        self.mode = mode.unwrap_or(self.mode);
        for (short, name) in text.aliases {
            // Without a name the alias of an earlier file is taken back.
            if name.is_empty() {
                self.aliases.remove(&short);
            } else {
                self.aliases.insert(short, Alias { name, file: file.to_string() });
            }
        }
        Ok(())
    }

    /// The rule for this name (`host/repository`).
    fn rule(&self, name: &str) -> Option<&Rule> {
        let mut best: Option<&Rule> = None;
        for rule in self.rules.iter().filter(|rule| matched(name, &rule.prefix).is_some()) {
            if best.is_none_or(|best| rule.prefix.len() > best.prefix.len()) {
                best = Some(rule);
            }
        }
        best
    }

    /// Where a pull of this image asks, in order: mirrors, and last the registry itself. Never empty.
    ///
    /// # Errors
    /// `registry_blocked`; `invalid_settings` where a place and a name together make no name.
    pub fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>> {
        let Some(rule) = self.rule(&reference.name()) else {
            return Ok([Endpoint::named(reference)].to_vec());
        };
        self.permits(reference.host(), reference.repository())?;
        let mut endpoints = Vec::new();
        for mirror in &rule.mirrors {
            let is_meant = match mirror.pulls {
                Pulls::All => true,
                Pulls::ByDigest => reference.digest().is_some(),
                Pulls::ByTag => reference.digest().is_none(),
            };
            if is_meant {
                let there = rule.endpoint(reference, &mirror.location)?;
                let ns = mirror.ns && there.stands_for.is_some();
                endpoints.push(Endpoint { insecure: mirror.insecure, is_mirror: true, ns, ..there });
            }
        }
        endpoints.push(rule.endpoint(reference, &rule.location)?);
        Ok(endpoints)
    }

    /// Whether a repository of a registry may be asked for anything.
    ///
    /// # Errors
    /// `registry_blocked`
    pub fn permits(&self, registry: &str, repository: &str) -> Result<()> {
        let name = format!("{registry}/{repository}");
        match self.rule(&name) {
            Some(rule) if rule.blocked => {
                let (prefix, file) = (rule.prefix.clone(), rule.file.clone());
                Err(ErrorKind::RegistryBlocked { name, prefix, file }.into())
            }
            _ => Ok(()),
        }
    }

    /// Whether the rules say that any certificate of this registry will do, and plain http.
    pub fn is_insecure(&self, registry: &str, repository: &str) -> bool {
        let name = match repository {
            "" => registry.to_string(),
            _ => format!("{registry}/{repository}"),
        };
        self.rule(&name).is_some_and(|rule| rule.insecure)
    }

    /// Which images a name may mean, likeliest first; several only where the settings let them be tried in turn. Never empty.
    ///
    /// # Errors
    /// `invalid_reference`; `ambiguous_name` for a short name that may be several, unless they may be tried.
    pub fn resolve(&self, name: &str) -> Result<Vec<Candidate>> {
        let plain: Reference = name.parse()?;
        let only = |reference, why| Ok([Candidate { reference, why }].to_vec());
        let bare = name.split_once('@').map_or(name, |(bare, _)| bare);
        let (host, repository) = split_host(bare);
        if host.is_some() {
            return only(plain, Why::Named);
        }
        let repository = repository.split_once(':').map_or(repository, |(repository, _)| repository);
        let suffix = name.get(repository.len()..).unwrap_or_default();
        if let Some(alias) = self.aliases.get(repository) {
            let whole = format!("{}{suffix}", alias.name);
            return only(whole.parse()?, Why::Alias(alias.file.clone()));
        }
        let Some((registries, file)) = self.search.as_ref().filter(|(registries, _)| !registries.is_empty())
        else {
            return only(plain, Why::Named);
        };
        let mut candidates = Vec::new();
        for registry in registries {
            let reference: Reference = format!("{registry}/{name}").parse()?;
            candidates.push(Candidate { reference, why: Why::Search(file.clone()) });
        }
        if candidates.len() > 1 && self.mode == Mode::Enforcing {
            let names: Vec<String> = candidates.iter().map(|one| one.reference.name()).collect();
            let (name, file) = (name.to_string(), file.clone());
            return Err(ErrorKind::AmbiguousName { name, candidates: names.join(", "), file }.into());
        }
        Ok(candidates)
    }
}

impl Endpoint {
    /// Where the name itself says.
    pub fn named(reference: &Reference) -> Endpoint {
        Endpoint {
            registry: reference.host().to_string(),
            repository: reference.repository().to_string(),
            insecure: false,
            is_mirror: false,
            stands_for: None,
            ns: false,
            file: None,
        }
    }
}

impl core::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)
    }
}

/// Where the match of a prefix ends in a name, if it matches.
fn matched(name: &str, prefix: &str) -> Option<usize> {
    let end = match prefix.strip_prefix('*') {
        Some(domain) if domain.starts_with('.') => {
            let host = name.find('/').map_or(name.len(), |slash| slash + 1);
            let at = name.find(domain).filter(|at| *at < host)?;
            at + domain.len()
        }
        _ => name.strip_prefix(prefix).map(|_| prefix.len())?,
    };
    let next = name.as_bytes().get(end);
    next.is_none_or(|next| matches!(next, b':' | b'/' | b'@')).then_some(end)
}

/// A place as files write it, without the `/` at its end.
fn place(text: &str) -> Result<String> {
    let trimmed = text.trim_end_matches('/');
    if trimmed.starts_with("http://") || trimmed.starts_with("https://") {
        return Err(wrong(&format!("`{text}` begins with a scheme: a place is HOST[:PORT][/PATH]")));
    }
    Ok(trimmed.to_string())
}

/// Whether names can begin with this place.
fn check_location(location: &str) -> Result<()> {
    if location.is_empty() {
        return Ok(());
    }
    let probe = format!("{location}/any");
    let (Some(host), repository) = split_host(&probe) else {
        return Err(wrong(&format!(
            "`{location}` names no host (one has a `.` or a `:`, or is `localhost`)"
        )));
    };
    Reference::new(host, repository).map(|_| ()).map_err(|error| wrong(&error.to_string()))
}

fn check_alias(short: &str, name: &str) -> Result<()> {
    let is_short = short.parse::<Reference>().is_ok_and(|reference| {
        split_host(short).0.is_none() && reference.tag().is_none() && reference.digest().is_none()
    });
    if !is_short {
        return Err(wrong(&format!("the alias `{short}` is no short name (no host, no tag, no digest)")));
    }
    if name.is_empty() {
        return Ok(());
    }
    let is_long = name.parse::<Reference>().is_ok_and(|reference| {
        split_host(name).0.is_some() && reference.tag().is_none() && reference.digest().is_none()
    });
    if is_long {
        return Ok(());
    }
    Err(wrong(&format!("the alias `{short}` stands for `{name}`, which is not HOST/REPOSITORY alone")))
}

fn settings(reason: &str) -> ErrorKind {
    ErrorKind::InvalidSettings { reason: reason.to_string() }
}

fn wrong(reason: &str) -> Error {
    settings(reason).into()
}

#[cfg(test)]
mod tests;
