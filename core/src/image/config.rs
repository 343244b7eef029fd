//! The image config (image-spec `config.md`; Docker's `image/spec`), as far as inspecting and running need it.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use serde_json::Value;

use super::descriptor::read_platform;
use super::json::{self, Node};
use crate::digest::Digest;
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;
use crate::platform::Platform;

/// An image config: what was sent, and the view of it.
///
/// `null` counts as absent everywhere, unknown fields are left alone, and so is the order of history and layers: whether
/// their numbers agree is looked at where layers are applied (L23).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The bytes as they came: a digest is only ever taken of these.
    pub raw: Vec<u8>,
    /// When the image was made, RFC 3339, as it is spelled.
    pub created: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// What it runs on, as it is spelled; `None` if the config names neither operating system nor architecture.
    pub platform: Option<Platform>,
    /// How a container of it is run.
    pub execution: Execution,
    /// The digests of the uncompressed layers, the lowest first (`rootfs.diff_ids`).
    pub diff_ids: Vec<Digest>,
    /// How it was made, the oldest step first.
    pub history: Vec<History>,
}

/// How a container is run by default: the `config` object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Execution {
    /// `User`: name or number, with `:group` if one was given. Empty is root.
    pub user: String,
    /// `ExposedPorts`: `80/tcp`, `53/udp`, …
    pub exposed_ports: BTreeSet<String>,
    /// `Env`: `NAME=value` each, in order.
    pub env: Vec<String>,
    /// `Entrypoint`; empty if there is none.
    pub entrypoint: Vec<String>,
    /// `Cmd`; empty if there is none.
    pub cmd: Vec<String>,
    /// `Volumes`: the directories that are to be volumes.
    pub volumes: BTreeSet<String>,
    /// `WorkingDir`; empty is `/`.
    pub working_dir: String,
    /// `Labels`.
    pub labels: BTreeMap<String, String>,
    /// `StopSignal`: a name or a number.
    pub stop_signal: Option<String>,
    /// `StopTimeout`, Docker's.
    pub stop_timeout: Option<Duration>,
    /// `ArgsEscaped`: on Windows `Entrypoint` and `Cmd` hold one escaped command line each.
    pub args_escaped: bool,
    /// `Healthcheck`, Docker's.
    pub healthcheck: Option<Healthcheck>,
    /// `OnBuild`, Docker's: what a build upon this image does first.
    pub on_build: Vec<String>,
    /// `Shell`, Docker's: what runs the shell form of commands.
    pub shell: Vec<String>,
}

/// How Docker looks whether a container is well. A span of zero means the engine's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", argument…]` or `["CMD-SHELL", command]`; empty is inherited.
    pub test: Vec<String>,
    /// Between two checks.
    pub interval: Duration,
    /// What one check may take.
    pub timeout: Duration,
    /// In which failures do not count.
    pub start_period: Duration,
    /// Between two checks in the start period.
    pub start_interval: Duration,
    /// Failures in a row after which the container is unhealthy; 0 means the engine's default.
    pub retries: u64,
}

/// One step of how an image was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// When, RFC 3339, as it is spelled.
    pub created: Option<String>,
    /// By what command.
    pub created_by: Option<String>,
    /// By whom.
    pub author: Option<String>,
    /// What was said of it.
    pub comment: Option<String>,
    /// Whether it made no layer.
    pub empty_layer: bool,
}

const KEYS: &[&str] = &[
    "created",
    "author",
    "architecture",
    "os",
    "os.version",
    "os.features",
    "variant",
    "config",
    "rootfs",
    "history",
];
const EXECUTION_KEYS: &[&str] = &[
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "ArgsEscaped",
    "Healthcheck",
    "OnBuild",
    "Shell",
];

impl Config {
    /// Reads a config. That its digest holds has been checked before, or is checked after.
    ///
    /// # Errors
    /// `invalid_document`, `invalid_digest`, `unsupported_digest`, `limit_exceeded`
    pub fn parse(raw: &[u8], limits: &Limits) -> Result<Config> {
        let value = json::parse("config", raw, limits)?;
        Config::read(&value, raw.to_vec(), limits)
    }

    pub(super) fn read(value: &Value, raw: Vec<u8>, limits: &Limits) -> Result<Config> {
        let node = Node::root("config", value);
        node.strict_keys(KEYS)?;
        let platform = read_platform(&node)?;
        let mut diff_ids = Vec::new();
        if let Some(rootfs) = node.get("rootfs") {
            rootfs.strict_keys(&["type", "diff_ids"])?;
            for diff_id in rootfs.list_at("diff_ids")? {
                if diff_ids.len() as u64 >= u64::from(limits.layers) {
                    let value = u64::from(limits.layers);
                    return Err(ErrorKind::LimitExceeded { limit: "layers", value }.into());
                }
                diff_ids.push(diff_id.digest()?);
            }
        }
        Ok(Config {
            created: some_text(&node, "created")?,
            author: some_text(&node, "author")?,
            platform: Some(platform).filter(|p| !(p.os.is_empty() && p.architecture.is_empty())),
            execution: node.get("config").map(|node| Execution::read(&node)).transpose()?.unwrap_or_default(),
            diff_ids,
            history: node.list_at("history")?.map(|node| History::read(&node)).collect::<Result<_>>()?,
            raw,
        })
    }

    /// The whole config without `history` and `rootfs`, unknown fields included: what `inspect` shows.
    ///
    /// # Errors
    /// None for bytes that [`Config::parse`] has taken.
    pub fn summary(&self) -> Result<Value> {
        // The limits held when the view was made.
        let limits =
            Limits { document_bytes: u64::MAX, json_depth: 127, json_values: u32::MAX, ..Limits::default() };
        let mut value = json::parse("config", &self.raw, &limits)?;
        if let Some(map) = value.as_object_mut() {
            map.remove("history");
            map.remove("rootfs");
        }
        Ok(value)
    }
}

impl Execution {
    fn read(node: &Node<'_>) -> Result<Execution> {
        node.strict_keys(EXECUTION_KEYS)?;
        Ok(Execution {
            user: node.text_at("User")?.unwrap_or_default(),
            exposed_ports: set_at(node, "ExposedPorts")?,
            env: node.texts_at("Env")?,
            entrypoint: words_at(node, "Entrypoint")?,
            cmd: words_at(node, "Cmd")?,
            volumes: set_at(node, "Volumes")?,
            working_dir: node.text_at("WorkingDir")?.unwrap_or_default(),
            labels: node.text_map_at("Labels")?,
            stop_signal: some_text(node, "StopSignal")?,
            stop_timeout: match node.get("StopTimeout") {
                None => None,
                // Docker takes a negative one for "wait forever"; there is no such span.
                Some(seconds) => u64::try_from(seconds.integer()?).ok().map(Duration::from_secs),
            },
            args_escaped: node.bool_at("ArgsEscaped")?,
            healthcheck: node.get("Healthcheck").map(|node| Healthcheck::read(&node)).transpose()?,
            on_build: node.texts_at("OnBuild")?,
            shell: words_at(node, "Shell")?,
        })
    }
}

impl Healthcheck {
    fn read(node: &Node<'_>) -> Result<Healthcheck> {
        node.strict_keys(&["Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"])?;
        let span = |key: &str| -> Result<Duration> {
            let nanoseconds = node.get(key).map(|node| node.integer()).transpose()?.unwrap_or(0);
            Ok(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0)))
        };
        Ok(Healthcheck {
            test: words_at(node, "Test")?,
            interval: span("Interval")?,
            timeout: span("Timeout")?,
            start_period: span("StartPeriod")?,
            start_interval: span("StartInterval")?,
            retries: node.get("Retries").map(|node| node.whole()).transpose()?.unwrap_or(0),
        })
    }
}

impl History {
    fn read(node: &Node<'_>) -> Result<History> {
        if node.value().is_null() {
            return Ok(History::default());
        }
        // It decides which steps belong to which layers.
        node.strict_keys(&["empty_layer"])?;
        Ok(History {
            created: some_text(node, "created")?,
            created_by: some_text(node, "created_by")?,
            author: some_text(node, "author")?,
            comment: some_text(node, "comment")?,
            empty_layer: node.bool_at("empty_layer")?,
        })
    }
}

fn some_text(node: &Node<'_>, key: &str) -> Result<Option<String>> {
    Ok(node.text_at(key)?.filter(|text| !text.is_empty()))
}

/// A list of words, or one word alone: old Dockers wrote a command so.
fn words_at(node: &Node<'_>, key: &str) -> Result<Vec<String>> {
    match node.get(key) {
        Some(word) if word.value().is_string() => Ok([word.text()?.to_string()].into()),
        _ => node.texts_at(key),
    }
}

/// The keys of an object (Go's way to write a set), or a list of words.
fn set_at(node: &Node<'_>, key: &str) -> Result<BTreeSet<String>> {
    let mut words = BTreeSet::new();
    match node.get(key) {
        None => {}
        Some(list) if list.value().is_array() => words.extend(node.texts_at(key)?),
        Some(set) => words.extend(set.map()?.keys().map(ToOwned::to_owned)),
    }
    Ok(words)
}
