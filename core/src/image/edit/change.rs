//! What can be changed about how an image is run, and what is said of it.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str::FromStr;

use serde_json::{Map, Value, json};

use super::Edit;
use crate::error::{Error, ErrorKind, Result};
use crate::image::json::brief;
use crate::platform::Platform;

/// Changes to one image: first what is taken away, then what is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// What is taken away.
    pub unset: Vec<Unset>,
    /// `NAME`, value: where the name is there its value is replaced, where it is.
    pub env: Vec<(String, String)>,
    /// `Entrypoint`. What the image had as `Cmd` were arguments of another program: it goes, unless one is set as well.
    pub entrypoint: Option<Vec<String>>,
    /// `Cmd`.
    pub cmd: Option<Vec<String>>,
    /// `User`.
    pub user: Option<String>,
    /// `WorkingDir`.
    pub working_dir: Option<String>,
    /// `StopSignal`.
    pub stop_signal: Option<String>,
    /// `ExposedPorts`, in addition: see [`port`].
    pub exposed_ports: BTreeSet<String>,
    /// `Volumes`, in addition.
    pub volumes: BTreeSet<String>,
    /// `Labels`, in addition.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest, in addition.
    pub annotations: BTreeMap<String, String>,
    /// Who made it.
    pub author: Option<String>,
    /// What it runs on.
    pub platform: Option<Platform>,
}

/// What is taken away of an image: a whole field, or one of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unset {
    /// A field of the config's `config` by the name that it has there.
    Field(&'static str),
    /// One member of such a field, or one variable of `Env`.
    Member(&'static str, String),
    /// All annotations, or one.
    Annotation(Option<String>),
    /// `author`.
    Author,
}

/// What can be taken away, as a user names it; whether one member can.
const FIELDS: &[(&str, &str, bool)] = &[
    ("env", "Env", true),
    ("label", "Labels", true),
    ("port", "ExposedPorts", true),
    ("volume", "Volumes", true),
    ("entrypoint", "Entrypoint", false),
    ("cmd", "Cmd", false),
    ("user", "User", false),
    ("workdir", "WorkingDir", false),
    ("stop-signal", "StopSignal", false),
    ("healthcheck", "Healthcheck", false),
    ("onbuild", "OnBuild", false),
    ("shell", "Shell", false),
];

/// `env`, `env=NAME`, `label`, `label=KEY`, `annotation`, `annotation=KEY`, `port=8080/tcp`, `volume=/data`, `entrypoint`,
/// `cmd`, `user`, `workdir`, `stop-signal`, `healthcheck`, `onbuild`, `shell`, `author`.
impl FromStr for Unset {
    type Err = Error;

    fn from_str(text: &str) -> Result<Unset> {
        let (name, member) = match text.split_once('=') {
            Some((name, member)) => (name, Some(member.to_owned())),
            None => (text, None),
        };
        let known = FIELDS.iter().find(|(known, ..)| *known == name);
        match (name, member, known) {
            ("annotation", member, _) => Ok(Unset::Annotation(member)),
            ("author", None, _) => Ok(Unset::Author),
            ("port", Some(member), Some((_, field, _))) => Ok(Unset::Member(field, port(&member)?)),
            (_, Some(member), Some((_, field, true))) => Ok(Unset::Member(field, member)),
            (_, None, Some((_, field, _))) => Ok(Unset::Field(field)),
            _ => {
                let names: Vec<_> = FIELDS.iter().map(|(name, ..)| *name).collect();
                Err(wrong(format!(
                    "`{}` cannot be unset: there is {}, annotation, author; env, label, port, volume and annotation take one of theirs, as in env=PATH",
                    brief(text),
                    names.join(", ")
                )))
            }
        }
    }
}

/// The normal form of a port as `ExposedPorts` has it: `8080` is `8080/tcp`, ranges are `8000-8010/udp`.
///
/// # Errors
/// `invalid_option`
pub fn port(text: &str) -> Result<String> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let number = |text: &str| {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|number| is_plain && *number > 0)
    };
    match (number(first), number(last)) {
        (Some(low), Some(high)) if low <= high && matches!(protocol.as_str(), "tcp" | "udp" | "sctp") => {
            Ok(format!("{numbers}/{protocol}"))
        }
        _ => Err(wrong(format!("`{}` is no port such as 8080, 53/udp or 8000-8010/tcp", brief(text)))),
    }
}

impl Changes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }

    /// Whether they are of a kind that images can have.
    ///
    /// # Errors
    /// `invalid_option`
    pub fn check(&self) -> Result<()> {
        for (name, _) in &self.env {
            if name.is_empty() || name.contains('=') {
                return Err(wrong(format!("`{}` is no name of an environment variable", brief(name))));
            }
        }
        if self.labels.keys().chain(self.annotations.keys()).any(String::is_empty) {
            return Err(wrong("a label or annotation needs a name".to_owned()));
        }
        let words = [&self.entrypoint, &self.cmd].into_iter().flatten().flatten();
        let texts = [&self.user, &self.working_dir, &self.stop_signal].into_iter().flatten();
        let env = self.env.iter().flat_map(|(name, value)| [name, value]);
        if words.chain(texts).chain(env).chain(&self.volumes).any(|text| text.contains('\0')) {
            return Err(wrong("a NUL cannot be handed to a program".to_owned()));
        }
        if self.entrypoint.as_ref().and_then(|words| words.first()).is_some_and(String::is_empty) {
            return Err(wrong("an entrypoint needs a program".to_owned()));
        }
        Ok(())
    }

    /// What was done, for the history: each change that the config shows.
    fn described(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        for unset in &self.unset {
            match unset {
                Unset::Field(field) => parts.push(format!("unset {field}")),
                Unset::Member(field, member) => parts.push(format!("unset {field} {member}")),
                Unset::Author => parts.push("unset author".to_owned()),
                Unset::Annotation(_) => {}
            }
        }
        let words = |words: &Vec<String>| json!(words).to_string();
        parts.extend(self.env.iter().map(|(name, value)| format!("Env {name}={value}")));
        parts.extend(self.entrypoint.as_ref().map(|list| format!("Entrypoint {}", words(list))));
        parts.extend(self.cmd.as_ref().map(|list| format!("Cmd {}", words(list))));
        parts.extend(self.user.as_ref().map(|user| format!("User {user}")));
        parts.extend(self.working_dir.as_ref().map(|dir| format!("WorkingDir {dir}")));
        parts.extend(self.stop_signal.as_ref().map(|signal| format!("StopSignal {signal}")));
        parts.extend(self.exposed_ports.iter().map(|port| format!("ExposedPorts {port}")));
        parts.extend(self.volumes.iter().map(|volume| format!("Volumes {volume}")));
        parts.extend(self.labels.iter().map(|(key, value)| format!("Labels {key}={value}")));
        parts.extend(self.author.as_ref().map(|author| format!("author {author}")));
        parts.extend(self.platform.as_ref().map(|platform| format!("platform {platform}")));
        format!("wharfie: {}", parts.join(", "))
    }
}

impl Edit {
    /// Makes changes. Where they change the config, a line of the history says so; what changes nothing leaves nothing.
    ///
    /// # Errors
    /// Those of [`Changes::check`]; `invalid_option` for a working directory that is no absolute path there;
    /// `invalid_document` for fields of another form than changing them needs.
    pub fn apply(&mut self, changes: &Changes) -> Result<()> {
        changes.check()?;
        let before = self.config.clone();
        if let Some(platform) = &changes.platform {
            self.set_platform(platform);
        }
        let is_windows = self.platform().os.eq_ignore_ascii_case("windows");
        if let Some(dir) = &changes.working_dir
            && !is_windows
            && !dir.starts_with('/')
        {
            return Err(wrong(format!("the working directory `{}` is no absolute path", brief(dir))));
        }
        if let Some(author) = &changes.author {
            self.config.insert("author".to_owned(), json!(author));
        } else if changes.unset.contains(&Unset::Author) {
            self.config.remove("author");
        }
        let mut execution = match self.config.remove("config") {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        apply(&mut execution, changes, is_windows)?;
        if !execution.is_empty() || before.contains_key("config") {
            self.config.insert("config".to_owned(), Value::Object(execution));
        }
        let nothing = json!({});
        let execution = |map: &Map<String, Value>| match map.get("config") {
            None | Some(Value::Null) => nothing.clone(),
            Some(value) => value.clone(),
        };
        let (was, is) = (execution(&before), execution(&self.config));
        let rest = |map: &Map<String, Value>| {
            map.iter().filter(|(key, _)| *key != "config").map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let (rest_was, rest_is): (BTreeMap<_, _>, BTreeMap<_, _>) = (rest(&before), rest(&self.config));
        if was == is && rest_was == rest_is {
            self.config = before;
        } else {
            self.fill_history();
            self.tell(&changes.described(), true);
            self.touch_config();
        }
        let before = self.annotations();
        let mut after = before.clone();
        for unset in &changes.unset {
            match unset {
                Unset::Annotation(Some(key)) => drop(after.remove(key)),
                Unset::Annotation(None) => after.clear(),
                _ => {}
            }
        }
        after.extend(changes.annotations.clone());
        self.set_annotations(&before, &after);
        Ok(())
    }
}

fn apply(execution: &mut Map<String, Value>, changes: &Changes, is_windows: bool) -> Result<()> {
    for unset in &changes.unset {
        match unset {
            Unset::Field(field) => drop(execution.remove(*field)),
            Unset::Member("Env", name) => change_env(execution, name, None, is_windows)?,
            Unset::Member(field, member) => match execution.get_mut(*field) {
                Some(Value::Object(map)) => drop(map.remove(member)),
                Some(Value::Array(list)) => list.retain(|item| item.as_str() != Some(member)),
                _ => {}
            },
            Unset::Annotation(_) | Unset::Author => {}
        }
    }
    for (name, value) in &changes.env {
        change_env(execution, name, Some(value), is_windows)?;
    }
    if let Some(words) = &changes.entrypoint {
        execution.insert("Entrypoint".to_owned(), json!(words));
        execution.remove("Cmd");
    }
    if let Some(words) = &changes.cmd {
        execution.insert("Cmd".to_owned(), json!(words));
    }
    for (field, text) in
        [("User", &changes.user), ("WorkingDir", &changes.working_dir), ("StopSignal", &changes.stop_signal)]
    {
        if let Some(text) = text {
            execution.insert(field.to_owned(), json!(text));
        }
    }
    for port in &changes.exposed_ports {
        member(execution, "ExposedPorts", port, json!({}))?;
    }
    for volume in &changes.volumes {
        member(execution, "Volumes", volume, json!({}))?;
    }
    for (key, text) in &changes.labels {
        member(execution, "Labels", key, json!(text))?;
    }
    // What is empty now, and was not before, is nothing.
    for field in ["Env", "Labels", "ExposedPorts", "Volumes"] {
        let is_empty = match execution.get(field) {
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            _ => false,
        };
        let is_changed =
            changes.unset.iter().any(|unset| matches!(unset, Unset::Member(known, _) if *known == field));
        if is_empty && is_changed {
            execution.remove(field);
        }
    }
    Ok(())
}

/// Sets one member of a field that is an object, or, as old Dockers wrote sets, a list of words.
fn member(execution: &mut Map<String, Value>, field: &str, key: &str, value: Value) -> Result<()> {
    let held = execution.entry(field.to_owned()).or_insert(Value::Null);
    if held.is_null() {
        *held = Value::Object(Map::new());
    }
    if let Value::Array(list) = held {
        let names: Vec<String> = list.iter().filter_map(Value::as_str).map(ToString::to_string).collect();
        *held = Value::Object(names.into_iter().map(|name| (name, json!({}))).collect());
    }
    let Value::Object(map) = held else {
        let reason = format!("`config.{field}` is neither an object nor a list");
        return Err(ErrorKind::InvalidDocument { document: "config", reason }.into());
    };
    map.insert(key.to_owned(), value);
    Ok(())
}

/// Sets or takes away one variable; on Windows, where `Path` is `PATH`, whatever its case.
fn change_env(
    execution: &mut Map<String, Value>,
    name: &str,
    value: Option<&str>,
    is_windows: bool,
) -> Result<()> {
    let held = execution.remove("Env").filter(|held| !held.is_null());
    let old = match held {
        None => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => {
            let reason = "`config.Env` is no list".to_owned();
            return Err(ErrorKind::InvalidDocument { document: "config", reason }.into());
        }
    };
    let is_it = |item: &Value| {
        let text = item.as_str().unwrap_or_default();
        let known = text.split_once('=').map_or(text, |(known, _)| known);
        known == name || (is_windows && known.eq_ignore_ascii_case(name))
    };
    let mut line = value.map(|value| json!(format!("{name}={value}")));
    let mut new = Vec::new();
    for item in old {
        if !is_it(&item) {
            new.push(item);
        } else if let Some(line) = line.take() {
            new.push(line);
        }
    }
    new.extend(line);
    execution.insert("Env".to_owned(), Value::Array(new));
    Ok(())
}

fn wrong(reason: String) -> Error {
    ErrorKind::InvalidOption { reason }.into()
}
