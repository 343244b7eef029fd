//! The corpus of `testdata/stacks`, every case by the tree, by both flattened tars and by the model.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use wharfie_core::merge::{Options, Order};
use wharfie_core::tar::{Kind, Metadata, Mtime};

use super::model;
use super::model::chosen::{Chosen, by_core};
use super::stack::{
    Item, Shown, View, flatten, group, names, offsets, resolve, tar, view_of_tar, view_of_tree,
};

#[derive(Deserialize)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    layers: Vec<Vec<Raw>>,
    tree: Option<Vec<Raw>>,
    error: Option<String>,
    at: Option<[usize; 2]>,
    #[serde(default)]
    warnings: Vec<RawWarning>,
    order: Option<Vec<String>>,
    #[serde(default)]
    keep_directory_symlink: bool,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    unmatched: Vec<String>,
    #[serde(default)]
    uid_map: Vec<String>,
    #[serde(default)]
    gid_map: Vec<String>,
    cut: Option<[usize; 2]>,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
struct RawWarning {
    kind: String,
    layer: usize,
    path: String,
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
    same: Option<String>,
    implied: bool,
}

/// `\xNN` to a byte, `\\` to a backslash.
fn bytes(text: &str) -> Vec<u8> {
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
        Item {
            path: bytes(&self.path),
            kind,
            link: bytes(&self.link),
            metadata: Metadata {
                mode: self.mode.unwrap_or(mode),
                uid: self.uid,
                gid: self.gid,
                mtime: Mtime { seconds, nanos: self.nanos },
                xattrs,
            },
            data: bytes(&self.data),
        }
    }
}

fn expected(tree: &[Raw]) -> View {
    let shown = |raw: &Raw| {
        let Item { kind, link, metadata, data, .. } = raw.item();
        Shown { kind, link, metadata, data, same: Vec::new() }
    };
    group(tree.iter().map(|raw| match &raw.same {
        None => (bytes(&raw.path), shown(raw), bytes(&raw.path)),
        Some(same) => {
            let first = tree.iter().find(|raw| raw.path == *same && raw.same.is_none()).unwrap();
            (bytes(&raw.path), shown(first), bytes(same))
        }
    }))
}

impl Case {
    /// The tars of its layers, and the options that it is merged by.
    pub(crate) fn stack(&self) -> (Vec<Vec<u8>>, Options) {
        let items = |layer: &Vec<Raw>| layer.iter().map(Raw::item).collect::<Vec<Item>>();
        let mut tars: Vec<Vec<u8>> = self.layers.iter().map(|layer| tar(&items(layer))).collect();
        if let Some([layer, bytes]) = self.cut {
            let len = tars[layer].len() - bytes;
            tars[layer].truncate(len);
        }
        (tars, self.chosen().options())
    }

    fn chosen(&self) -> Chosen {
        let patterns = |texts: &[String]| texts.iter().map(|text| bytes(text)).collect();
        Chosen {
            keep_directory_symlink: self.keep_directory_symlink,
            include: patterns(&self.include),
            exclude: patterns(&self.exclude),
            uid_map: self.uid_map.clone(),
            gid_map: self.gid_map.clone(),
        }
    }
}

/// All cases, with the rule that they are about.
pub(crate) fn corpus() -> Vec<(String, Case)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/stacks");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    let mut corpus = Vec::new();
    for file in files {
        let rule = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let cases: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{rule}: {error}"));
        corpus.extend(cases.case.into_iter().map(|case| (rule.clone(), case)));
    }
    assert!(corpus.len() > 100, "only {} cases", corpus.len());
    corpus
}

#[test]
fn every_stack_of_the_corpus_shows_what_the_rules_say() {
    for (rule, case) in corpus() {
        run(&rule, &case);
    }
}

fn run(rule: &str, case: &Case) {
    let name = format!("{rule}: {}", case.name);
    let layers: Vec<Vec<Item>> =
        case.layers.iter().map(|layer| layer.iter().map(Raw::item).collect()).collect();
    let (tars, mut options) = case.stack();
    // What the parser drops of overlays' own (L16) is not the model's.
    let bare: Vec<Vec<Item>> = layers
        .iter()
        .map(|layer| {
            let mut layer = layer.clone();
            for item in &mut layer {
                item.metadata.xattrs.retain(|name, _| {
                    !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.")
                });
            }
            layer
        })
        .collect();
    let model = model::view(&bare, case.keep_directory_symlink);
    let chosen = case.chosen();

    if let Some(code) = &case.error {
        let [layer, item] = case.at.unwrap();
        match (model, &case.cut) {
            // What is no tar is no matter of the model.
            (Ok(_), Some(_)) => assert_eq!(code, "invalid_tar", "{name}"),
            (Ok(view), None) => {
                assert_eq!(code, "unmapped_id", "{name}: model");
                assert_eq!(chosen.map(&chosen.select(&view)), None, "{name}: model");
            }
            (Err(fault), _) => {
                assert_eq!((fault.0, fault), (code.as_str(), (fault.0, layer, item)), "{name}: model")
            }
        }
        for chunk in [usize::MAX, 1] {
            for error in [
                resolve(&tars, &options, chunk, true).map(drop).expect_err(&name),
                flatten(&tars, &options, chunk).expect_err(&name),
            ] {
                assert_eq!(error.code(), code, "{name}: {error}");
                let place = error.place();
                assert_eq!(place.layer, Some(layer), "{name}: {error}");
                if case.cut.is_some() {
                    assert_eq!(place.byte, Some(tars[layer].len() as u64), "{name}: {error}");
                    continue;
                }
                assert_eq!(place.byte, Some(offsets(&tars[layer])[item]), "{name}: {error}");
                assert!(place.entry.is_some(), "{name}: {error}");
            }
        }
        return;
    }

    let expected = expected(case.tree.as_ref().unwrap_or_else(|| panic!("{name}: no tree")));
    let model = model.unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
    let unmatched: Vec<_> = case.unmatched.iter().map(|said| said.split_once(' ').unwrap()).collect();
    let found = chosen.unmatched(&model);
    assert!(
        found
            .iter()
            .map(|(option, pattern)| (*option, &pattern[..]))
            .eq(unmatched.iter().map(|(option, pattern)| (*option, pattern.as_bytes()))),
        "{name}: model: unmatched {found:?}"
    );
    let model = chosen.map(&chosen.select(&model)).unwrap_or_else(|| panic!("{name}: model: unmapped"));
    assert_eq!(model, expected, "{name}: model");
    for (chunk, reversed) in [(usize::MAX, false), (1, true)] {
        let tree =
            resolve(&tars, &options, chunk, reversed).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(by_core(&view_of_tree(&tree, &tars), &options.id_maps), expected, "{name}: tree");
        assert!(
            tree.unmatched()
                .iter()
                .map(|found| (found.option, found.pattern.as_bytes()))
                .eq(unmatched.iter().map(|(option, pattern)| (*option, pattern.as_bytes()))),
            "{name}: {:?}",
            tree.unmatched()
        );
        let warnings: Vec<RawWarning> = tree
            .warnings()
            .iter()
            .map(|warning| RawWarning {
                kind: warning.kind.code().into(),
                layer: warning.layer,
                path: warning.path.escape_ascii().to_string(),
            })
            .collect();
        let mut wanted: Vec<&RawWarning> = case.warnings.iter().collect();
        for warning in &warnings {
            let at = wanted.iter().position(|wanted| *wanted == warning);
            wanted.remove(at.unwrap_or_else(|| panic!("{name}: unexpected {warning:?}")));
        }
        assert!(wanted.is_empty(), "{name}: missing {wanted:?}");
    }
    let mut canonical = Vec::new();
    for order in [Order::Canonical, Order::Stream] {
        options.order = order;
        let flat = flatten(&tars, &options, usize::MAX).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(view_of_tar(&flat, order), expected, "{name}: {} tar", order.name());
        assert!(flatten(&tars, &options, 1).unwrap() == flat, "{name}: byte by byte");
        if let Some(wanted) = &case.order
            && order == Order::Stream
        {
            assert_eq!(&names(&flat), wanted, "{name}: order");
        }
        // The flattened tar is a layer like any other, and canonical order does not hang on how layers were cut (L26).
        let mut recut = Options::default();
        recut.order = Order::Canonical;
        let again = flatten(std::slice::from_ref(&flat), &recut, usize::MAX).unwrap();
        if order == Order::Canonical {
            canonical = flat;
        }
        assert!(again == canonical, "{name}: {} order flattened again", order.name());
    }
}
