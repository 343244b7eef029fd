//! The cases of `testdata/stacks` (its README has their form), and the bytes of their layers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wharfie_core::Limits;
use wharfie_core::merge::Options;
use wharfie_core::tar::{END_OF_ARCHIVE, Kind, Metadata, Mtime, padding};

use super::model::chosen::Chosen;
use super::stack::{Item, Shown, View, group, tar};

/// The rules of the law.
pub(crate) const RULES: u32 = 28;
/// What cases are about besides.
const OPTIONS: &[&str] = &["owners", "select"];

/// The name of a rule's file.
pub(crate) fn rule_name(rule: u32) -> String {
    format!("L{rule:02}")
}

#[derive(Deserialize)]
struct File {
    case: Vec<Case>,
}

/// One stack, and what it shows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// The rule or the options that it is about, by the name of its file: `L07`, `select`.
    #[serde(skip)]
    pub(crate) about: String,
    pub(crate) name: String,
    layers: Vec<RawLayer>,
    tree: Option<Vec<Raw>>,
    /// The code of the error that must come instead.
    pub(crate) error: Option<String>,
    /// Where: layer and entry by their numbers, for entries made by the plain writer.
    pub(crate) at: Option<[usize; 2]>,
    /// Where, in full.
    pub(crate) place: Option<RawPlace>,
    /// For `limit_exceeded`, which.
    pub(crate) limit: Option<String>,
    #[serde(default)]
    pub(crate) warnings: Vec<RawWarning>,
    /// What the parsers of all layers found odd or dropped, by its code.
    #[serde(default)]
    pub(crate) notes: BTreeMap<String, u64>,
    /// The layers whose bytes are compressed in another way than their media types say (L20).
    #[serde(default)]
    pub(crate) mismatched: Vec<usize>,
    pub(crate) order: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) keep_directory_symlink: bool,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    uid_map: Vec<String>,
    #[serde(default)]
    gid_map: Vec<String>,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    /// Patterns that match nothing, each behind its option's name.
    #[serde(default)]
    pub(crate) unmatched: Vec<String>,
    /// What the config lists; `layer` stands for the right one of the layer at that place.
    pub(crate) diff_ids: Option<Vec<String>>,
    /// Paths that a file system that folds case cannot tell from each other (L28).
    #[serde(default)]
    pub(crate) collide: Vec<Vec<String>>,
    /// A name of it is longer than the 255 bytes that file systems hold (L28).
    #[serde(default)]
    pub(crate) too_long: bool,
}

/// Where an error must say that it is.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPlace {
    pub(crate) layer: Option<usize>,
    pub(crate) entry: Option<String>,
    pub(crate) byte: Option<u64>,
}

/// A warning that must come.
#[derive(Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawWarning {
    pub(crate) kind: String,
    pub(crate) layer: usize,
    pub(crate) path: String,
}

/// A layer: a list of entries, the name of a file beside the case, or a table with what a manifest says of it.
#[derive(Deserialize)]
#[serde(try_from = "toml::Value")]
struct RawLayer {
    entries: Vec<Raw>,
    described: Described,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Described {
    blob: Option<String>,
    entries: Option<toml::Value>,
    /// Zeros behind the last entry; the end-of-archive marker if it is left out.
    end: Option<usize>,
    /// Bytes taken off the end of it all.
    cut: usize,
    media_type: Option<String>,
    digest: Option<String>,
    size: Option<u64>,
}

impl TryFrom<toml::Value> for RawLayer {
    type Error = toml::de::Error;

    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        fn of<T: DeserializeOwned>(value: toml::Value) -> Result<T, toml::de::Error> {
            value.try_into()
        }
        match value {
            toml::Value::String(blob) => {
                let described = Described { blob: Some(blob), ..Described::default() };
                Ok(RawLayer { entries: Vec::new(), described })
            }
            toml::Value::Table(_) => {
                let mut described: Described = of(value)?;
                let entries = described.entries.take().map_or_else(|| Ok(Vec::new()), of)?;
                Ok(RawLayer { entries, described })
            }
            entries => Ok(RawLayer { entries: of(entries)?, described: Described::default() }),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    path: String,
    r#type: Option<String>,
    link: String,
    mode: Option<u32>,
    uid: u32,
    gid: u32,
    mtime: Option<i64>,
    nanos: u32,
    major: u32,
    minor: u32,
    xattrs: BTreeMap<String, String>,
    data: String,
    repeat: Option<usize>,
    holds: Vec<Raw>,
    // Of a tree alone.
    size: Option<u64>,
    data_at: Vec<(usize, String, usize)>,
    same: Option<String>,
    implied: bool,
    // A header made field by field.
    flag: Option<String>,
    magic: Option<String>,
    stated: Option<u64>,
    put: Vec<(usize, String)>,
    sum: Option<u64>,
    pax: Option<Vec<String>>,
    global: Option<Vec<String>>,
    long_name: Option<String>,
    long_link: Option<String>,
    // No entry at all.
    bytes: Option<String>,
    zeros: usize,
}

/// `\xNN` to a byte, `\\` to a backslash.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, more)) = rest.split_first() {
        rest = more;
        if *byte != b'\\' {
            out.push(*byte);
        } else if let Some(more) = rest.strip_prefix(b"\\") {
            out.push(b'\\');
            rest = more;
        } else {
            let hex = std::str::from_utf8(&rest[1..3]).unwrap();
            assert_eq!(rest[0], b'x', "{text}");
            out.push(u8::from_str_radix(hex, 16).unwrap());
            rest = &rest[3..];
        }
    }
    out
}

impl Raw {
    fn item(&self) -> Item {
        let (kind, mode) = match self.r#type.as_deref() {
            None => (Kind::File, 0o644),
            Some("dir") => (Kind::Directory, 0o755),
            Some("symlink") => (Kind::Symlink, 0o777),
            Some("link") => (Kind::HardLink, 0o644),
            Some("char") => (Kind::CharDevice { major: self.major, minor: self.minor }, 0o644),
            Some("block") => (Kind::BlockDevice { major: self.major, minor: self.minor }, 0o644),
            Some("fifo") => (Kind::Fifo, 0o644),
            Some(other) => panic!("type {other}"),
        };
        let seconds = self.mtime.unwrap_or(if self.implied { 0 } else { 1000 });
        let xattrs = self.xattrs.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
        let repeat = self.repeat.unwrap_or(1);
        let mut data = bytes(&self.data).repeat(repeat);
        data.extend(tar_of(&self.holds));
        if let Some(size) = self.size {
            data.resize(usize::try_from(size).unwrap(), 0);
        }
        for (at, text, repeat) in &self.data_at {
            let text = bytes(text).repeat(*repeat);
            data[*at..*at + text.len()].copy_from_slice(&text);
        }
        Item {
            path: bytes(&self.path),
            kind,
            link: bytes(&self.link).repeat(repeat),
            metadata: Metadata {
                mode: self.mode.unwrap_or(mode),
                uid: self.uid,
                gid: self.gid,
                mtime: Mtime { seconds, nanos: self.nanos },
                xattrs,
            },
            data,
        }
    }

    /// Whether any writer of tars would do.
    fn is_plain(&self) -> bool {
        let told = self.pax.is_some() || self.global.is_some();
        let long = self.long_name.is_some() || self.long_link.is_some();
        let field =
            self.flag.is_some() || self.magic.is_some() || self.stated.is_some() || self.sum.is_some();
        !(told || long || field || !self.put.is_empty() || self.bytes.is_some() || self.zeros > 0)
    }

    /// The bytes of what no plain writer writes.
    fn write(&self, out: &mut Vec<u8>) {
        for (flag, records) in [(b'x', &self.pax), (b'g', &self.global)] {
            if let Some(records) = records {
                let content: Vec<u8> = records.iter().flat_map(|text| record(&bytes(text))).collect();
                extension(out, flag, "PaxHeaders/x", &content);
            }
        }
        for (flag, text) in [(b'L', &self.long_name), (b'K', &self.long_link)] {
            if let Some(text) = text {
                extension(out, flag, "././@LongLink", &[&bytes(text)[..], &[0]].concat());
            }
        }
        if !self.path.is_empty() || self.flag.is_some() {
            let item = self.item();
            out.extend_from_slice(&self.header(&item));
            out.extend_from_slice(&item.data);
            out.resize(out.len() + padding(item.data.len() as u64), 0);
        }
        out.extend_from_slice(&bytes(self.bytes.as_deref().unwrap_or_default()));
        out.resize(out.len() + self.zeros, 0);
    }

    fn header(&self, item: &Item) -> [u8; 512] {
        let (flag, device) = match item.kind {
            Kind::File => (b'0', None),
            Kind::HardLink => (b'1', None),
            Kind::Symlink => (b'2', None),
            Kind::CharDevice { major, minor } => (b'3', Some((major, minor))),
            Kind::BlockDevice { major, minor } => (b'4', Some((major, minor))),
            Kind::Directory => (b'5', None),
            Kind::Fifo => (b'6', None),
        };
        let flag = self.flag.as_ref().map_or(flag, |flag| bytes(flag)[0]);
        let magic: &[u8] = match self.magic.as_deref() {
            None => b"ustar\x0000",
            Some("gnu") => b"ustar  \0",
            Some("v7") => &[0; 8],
            Some(other) => panic!("magic {other}"),
        };
        let size = self.stated.unwrap_or(item.data.len() as u64);
        let mut block = header(flag, &item.path, size);
        put(&mut block, 100, format!("{:07o}\0", item.metadata.mode).as_bytes());
        put(&mut block, 108, format!("{:07o}\0", item.metadata.uid).as_bytes());
        put(&mut block, 116, format!("{:07o}\0", item.metadata.gid).as_bytes());
        put(&mut block, 136, format!("{:011o}\0", item.metadata.mtime.seconds).as_bytes());
        put(&mut block, 157, &item.link);
        put(&mut block, 257, magic);
        if let Some((major, minor)) = device {
            put(&mut block, 329, format!("{major:07o}\0").as_bytes());
            put(&mut block, 337, format!("{minor:07o}\0").as_bytes());
        }
        for (at, text) in &self.put {
            put(&mut block, *at, &bytes(text));
        }
        match self.sum {
            Some(sum) => put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes()),
            None => sign(&mut block),
        }
        block
    }
}

fn put(block: &mut [u8; 512], at: usize, field: &[u8]) {
    block[at..at + field.len()].copy_from_slice(field);
}

/// A header of ustar with hardly anything in it.
fn header(flag: u8, name: &[u8], size: u64) -> [u8; 512] {
    let mut block = [0; 512];
    put(&mut block, 0, name);
    put(&mut block, 100, b"0000644\0");
    put(&mut block, 124, format!("{size:011o}\0").as_bytes());
    put(&mut block, 257, b"ustar\x0000");
    block[156] = flag;
    block
}

/// Writes the header's checksum.
fn sign(block: &mut [u8; 512]) {
    put(block, 148, &[b' '; 8]);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(block, 148, format!("{sum:06o}\0 ").as_bytes());
}

fn extension(out: &mut Vec<u8>, flag: u8, name: &str, content: &[u8]) {
    let mut block = header(flag, name.as_bytes(), content.len() as u64);
    if matches!(flag, b'L' | b'K') {
        put(&mut block, 257, b"ustar  \0");
    }
    sign(&mut block);
    out.extend_from_slice(&block);
    out.extend_from_slice(content);
    out.resize(out.len() + padding(content.len() as u64), 0);
}

/// `key=value` with its length in front, its own digits counted (POSIX.1-2001, pax).
fn record(text: &[u8]) -> Vec<u8> {
    let rest = text.len() + 2;
    let len = (rest..).find(|len| rest + len.to_string().len() == *len).unwrap();
    [len.to_string().as_bytes(), b" ", text, b"\n"].concat()
}

/// Entries without an end-of-archive marker.
fn tar_of(entries: &[Raw]) -> Vec<u8> {
    let mut made = Vec::new();
    for raw in entries {
        if raw.is_plain() {
            made.extend(tar(&[raw.item()]));
            made.truncate(made.len() - END_OF_ARCHIVE.len());
        } else {
            raw.write(&mut made);
        }
    }
    made
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/stacks")
}

/// A layer as an image has it.
pub(crate) struct Layer {
    /// The blob's bytes, compressed or not.
    pub(crate) blob: Vec<u8>,
    /// The tar that was packed, where it was made of entries.
    pub(crate) tar: Option<Vec<u8>>,
    /// What the manifest says of it, where the case has something to say; else what is true.
    pub(crate) media_type: Option<String>,
    pub(crate) digest: Option<String>,
    pub(crate) size: Option<u64>,
}

impl RawLayer {
    fn layer(&self) -> Layer {
        let Described { blob, end, cut, media_type, digest, size, .. } = &self.described;
        let (mut content, tar) = match blob {
            Some(name) => {
                (std::fs::read(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}")), None)
            }
            None => {
                let mut made = tar_of(&self.entries);
                made.resize(made.len() + end.unwrap_or(END_OF_ARCHIVE.len()), 0);
                made.truncate(made.len() - cut);
                (made.clone(), Some(made))
            }
        };
        if tar.is_none() {
            content.truncate(content.len() - cut);
        }
        let (media_type, digest, size) = (media_type.clone(), digest.clone(), *size);
        Layer { blob: content, tar, media_type, digest, size }
    }
}

impl Case {
    /// Its layers, from the bottom.
    pub(crate) fn stack(&self) -> Vec<Layer> {
        self.layers.iter().map(RawLayer::layer).collect()
    }

    /// What it is merged by.
    pub(crate) fn options(&self) -> Options {
        let mut options = self.chosen().options();
        for (name, value) in &self.limits {
            set(&mut options.limits, name, *value);
        }
        options
    }

    /// What of it is chosen, and whose it becomes.
    pub(crate) fn chosen(&self) -> Chosen {
        let patterns = |texts: &[String]| texts.iter().map(|text| bytes(text)).collect();
        Chosen {
            keep_directory_symlink: self.keep_directory_symlink,
            include: patterns(&self.include),
            exclude: patterns(&self.exclude),
            uid_map: self.uid_map.clone(),
            gid_map: self.gid_map.clone(),
        }
    }

    /// The entries of each layer, where a plain writer made them all.
    pub(crate) fn items(&self) -> Option<Vec<Vec<Item>>> {
        let plain = |layer: &RawLayer| {
            let described = &layer.described;
            described.blob.is_none() && described.cut == 0 && layer.entries.iter().all(Raw::is_plain)
        };
        let items = |layer: &RawLayer| layer.entries.iter().map(Raw::item).collect();
        self.layers.iter().all(plain).then(|| self.layers.iter().map(items).collect())
    }

    /// Everything that it shows; `None` where an error must come.
    pub(crate) fn view(&self) -> Option<View> {
        let tree = self.tree.as_ref()?;
        let shown = |raw: &Raw| {
            let Item { kind, link, metadata, data, .. } = raw.item();
            Shown { kind, link, metadata, data, same: Vec::new() }
        };
        Some(group(tree.iter().map(|raw| match &raw.same {
            None => (bytes(&raw.path), shown(raw), bytes(&raw.path)),
            Some(same) => {
                let first = tree.iter().find(|raw| raw.path == *same && raw.same.is_none()).unwrap();
                (bytes(&raw.path), shown(first), bytes(same))
            }
        })))
    }
}

macro_rules! settable {
    ($($name:ident),*) => {
        /// The limits that a stack can reach.
        pub(crate) const LIMITS: &[&str] = &["total_bytes", $(stringify!($name)),*];

        fn set(limits: &mut Limits, name: &str, value: u64) {
            match name {
                "total_bytes" => limits.total_bytes = Some(value),
                $(stringify!($name) => limits.$name = value.try_into().unwrap(),)*
                _ => panic!("no stack reaches the limit {name}"),
            }
        }
    };
}

settable! {
    ratio, zstd_window_bytes, entries, path_bytes, path_depth, symlink_bytes, pax_bytes, global_pax_bytes, sparse_bytes,
    sparse_fragments, layers
}

/// All cases, rule by rule.
pub(crate) fn corpus() -> Vec<Case> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    let mut corpus = Vec::new();
    for file in files {
        let about = file.file_stem().unwrap().to_string_lossy().into_owned();
        let rule = about.strip_prefix('L').and_then(|number| number.parse().ok());
        let known = rule.is_some_and(|rule: u32| about == rule_name(rule) && (1..=RULES).contains(&rule));
        assert!(known || OPTIONS.contains(&&about[..]), "{about} is no rule");
        let text = std::fs::read_to_string(&file).unwrap();
        let cases: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{about}: {error}"));
        corpus.extend(cases.case.into_iter().map(|case| Case { about: about.clone(), ..case }));
    }
    assert!(corpus.len() > 280, "only {} cases", corpus.len());
    corpus
}
