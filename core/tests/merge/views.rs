//! What looks into a stack, by cases.

use wharfie_core::Limits;
use wharfie_core::merge::{Answer, Options, Resolver};
use wharfie_core::tar::{Kind, Metadata};

use super::stack::{Item, scan, tar};
use super::view::find;

#[test]
fn one_layer_tells_what_lower_ones_need_not() {
    let file = |path: &str, data: &str| Item {
        path: path.as_bytes().to_vec(),
        kind: Kind::File,
        link: Vec::new(),
        metadata: Metadata::default(),
        data: data.as_bytes().to_vec(),
    };
    let link =
        |kind, path: &str, target: &str| Item { kind, link: target.as_bytes().to_vec(), ..file(path, "") };
    let options = Options::new(Limits::default());
    let bottom = tar(&[file("usr/bin/dash", "dash"), file("etc/a", "a"), file("etc/b", "b")]);
    let middle = tar(&[
        link(Kind::Symlink, "bin", "usr/bin"),
        link(Kind::Symlink, "usr/bin/sh", "dash"),
        link(Kind::HardLink, "etc/c", "etc/a"),
        file("etc/.wh.b", ""),
    ]);
    let top = tar(&[file("etc/a", "new"), file("opt/.wh..wh..opq", "")]);
    let stack = [bottom, middle, top];
    for (path, taken, answer) in [
        ("etc/a", 1, Ok(("etc/a", 2))),
        // `opt` may be a symlink below: the marker says nothing of it.
        ("opt/x", 3, Err("path_not_found")),
        ("etc/b", 2, Err("path_not_found")),
        ("etc", 1, Ok(("etc", 9))),
        ("/bin/sh", 3, Ok(("usr/bin/dash", 0))),
        ("etc/c", 3, Ok(("etc/c", 0))),
        ("etc/a/x", 1, Err("path_not_found")),
        ("etc/a/", 1, Err("path_not_found")),
    ] {
        let (found, layers, _) = find(&stack, &options, path.as_bytes());
        assert_eq!(layers, taken, "{path}");
        let found = found.map(|answer| match answer {
            Answer::Found(found) => {
                (String::from_utf8(found.path).unwrap(), found.inode.map_or(9, |inode| inode.layer))
            }
            other => panic!("{other:?}"),
        });
        let answer = answer.map(|(path, layer)| (path.to_owned(), layer));
        assert_eq!(found.map_err(|error| error.code()), answer, "{path}");
    }
}

#[derive(serde::Deserialize)]
struct File {
    case: Vec<Case>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    layers: Vec<Vec<Raw>>,
    #[serde(default)]
    find: Vec<Find>,
    waste: Option<Waste>,
    changes: Option<Vec<Changes>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    path: String,
    r#type: Option<String>,
    #[serde(default)]
    link: String,
    #[serde(default)]
    data: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Find {
    ask: String,
    layers: usize,
    path: Option<String>,
    layer: Option<usize>,
    error: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Waste {
    minimal: u64,
    discovered: u64,
    wasted: u64,
    unseen: u64,
    paths: Vec<Wasted>,
}

#[derive(serde::Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
struct Wasted {
    path: String,
    count: u64,
    bytes: u64,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    added: (u64, u64),
    changed: (u64, u64),
    removed: (u64, u64),
}

#[test]
fn every_case_of_the_corpus_is_seen_so() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/view/cases.toml");
    let cases: File = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let options = Options::new(Limits::default());
    for Case { name, layers, find: asked, waste, changes } in cases.case {
        let item = |raw: &Raw| Item {
            path: raw.path.clone().into_bytes(),
            kind: match raw.r#type.as_deref() {
                None => Kind::File,
                Some("dir") => Kind::Directory,
                Some("symlink") => Kind::Symlink,
                Some("link") => Kind::HardLink,
                Some("fifo") => Kind::Fifo,
                Some(other) => panic!("{name}: type {other}"),
            },
            link: raw.link.clone().into_bytes(),
            metadata: Metadata { mode: 0o644, ..Metadata::default() },
            data: raw.data.clone().into_bytes(),
        };
        let tars: Vec<Vec<u8>> =
            layers.iter().map(|layer| tar(&layer.iter().map(item).collect::<Vec<_>>())).collect();
        for Find { ask, layers, path, layer, error } in asked {
            let (answer, taken, _) = find(&tars, &options, ask.as_bytes());
            let found = match answer {
                Ok(Answer::Found(found)) => {
                    (Some(String::from_utf8(found.path).unwrap()), found.inode.map(|inode| inode.layer), None)
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => (None, None, Some(error.code().to_owned())),
            };
            assert_eq!((found, taken), ((path, layer, error), layers), "{name}: {ask}");
        }
        let mut resolver = Resolver::new(tars.len(), &options).unwrap().with_history();
        for (layer, tar) in tars.iter().enumerate() {
            resolver.supply(scan(layer, tar, 1, &options.limits).unwrap()).unwrap();
        }
        let (tree, history) = resolver.finish_with_history().unwrap();
        if let Some(wanted) = waste {
            let waste = history.waste();
            let paths: Vec<Wasted> = waste
                .paths
                .iter()
                .map(|path| Wasted {
                    path: String::from_utf8(path.path.clone()).unwrap(),
                    count: path.count,
                    bytes: path.bytes,
                })
                .collect();
            assert_eq!(paths, wanted.paths, "{name}");
            let found = (waste.minimal, waste.discovered, waste.wasted(), history.unseen(&tree));
            assert_eq!(found, (wanted.minimal, wanted.discovered, wanted.wasted, wanted.unseen), "{name}");
        }
        for (layer, wanted) in changes.into_iter().flatten().enumerate() {
            let did = &history.layers()[layer];
            let found = (did.added(), did.changed(layer), did.removed());
            assert_eq!(found, (wanted.added, wanted.changed, wanted.removed), "{name}: layer {layer}");
        }
    }
}
