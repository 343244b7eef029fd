//! What looks into a stack without flattening it: one path from the top, what layers do, two trees compared. Each is held
//! against the whole tree or the model.

use std::collections::{BTreeMap, BTreeSet};

use wharfie_core::merge::{Answer, Difference, Links, Lookup, Node, Options, Resolver, Sizes, Tree, What};
use wharfie_core::tar::{Kind, Metadata};
use wharfie_core::{Digest, Error};

use super::check::Met;
use super::model;
use super::random::NAMES;
use super::stack::{Item, Shown, View, resolve, scan, tar};

/// Names that are asked for whatever the stack has.
const ASKED: &[&str] =
    &["", "/", "a", "b/", "a/b", "/b/c/", "c/../a", "a/./b/c", "a-/a", "b/a/..", "nowhere/x", "../a/b"];

/// Asks a stack for a path, and says which layers it took.
pub(crate) fn find(
    tars: &[Vec<u8>],
    options: &Options,
    path: &[u8],
) -> (Result<Answer, Error>, usize, Vec<Vec<u8>>) {
    let mut lookup = Lookup::new(tars.len(), options).unwrap();
    let mut needed = Vec::new();
    loop {
        match lookup.find(path) {
            Ok(Answer::Need { layer, path }) => {
                assert_eq!(layer + lookup.supplied() + 1, tars.len(), "layers are wanted from the top");
                needed.push(path);
                if let Err(error) = lookup.supply(scan(layer, &tars[layer], 700, &options.limits).unwrap()) {
                    return (Err(error), tars.len(), needed);
                }
            }
            answer => return (answer, lookup.supplied(), needed),
        }
    }
}

type Comparable = Result<(Vec<u8>, Kind, Option<(usize, u64)>), &'static str>;

/// The answer without what only a whole tree knows.
fn comparable(answer: Result<Answer, Error>) -> Comparable {
    match answer {
        Ok(Answer::Found(found)) => {
            let at = found.inode.map(|inode| (inode.layer, found.data_at));
            Ok((found.path, found.kind, at.filter(|_| found.kind == Kind::File)))
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code()),
    }
}

/// Every path of the tree and some more are found alike by a walk from the top, which takes no layer that could not
/// change the answer.
pub(crate) fn check_lookup(
    layers: &[Vec<Item>],
    tars: &[Vec<u8>],
    options: &Options,
    tree: &Tree,
    met: &mut Met,
) {
    let has_back = |path: &[u8]| path.split(|b| *b == b'/').any(|part| part == b"..");
    let back = layers.iter().flatten().any(|item| item.kind == Kind::Symlink && has_back(&item.link));
    let mut asked: BTreeSet<Vec<u8>> = ASKED.iter().map(|path| path.as_bytes().to_vec()).collect();
    asked.extend(tree.iter().map(Node::path));
    asked.extend(
        tree.iter()
            .filter(|node| node.kind() == Kind::Symlink)
            .flat_map(|node| [[&node.path()[..], b"/a"].concat(), [&node.path()[..], b"/../b/."].concat()]),
    );
    for path in asked {
        let (answer, taken, needed) = find(tars, options, &path);
        let whole = tree.resolve(&path).map(|node| {
            let at = node.inode().zip(node.body()).map(|(inode, body)| (inode.layer, body.data_at));
            (node.path(), node.kind(), at)
        });
        let shown = path.escape_ascii();
        assert_eq!(comparable(answer.clone()), whole.map_err(|error| error.code()), "{shown}");
        *met.entry("found with layers to spare").or_default() += u64::from(taken < tars.len());
        if options.keep_directory_symlink {
            continue;
        }
        // A layer was needed if what it and those below it hold could have changed the answer.
        for (above, needed) in needed.iter().enumerate() {
            // Where a way goes back by `..`, more than one name has to be there to change anything.
            let plain = |name: &[u8]| NAMES.iter().any(|known| known.as_bytes() == name);
            if back || has_back(&path) || !needed.split(|b| *b == b'/').all(plain) {
                continue;
            }
            let layer = tars.len() - 1 - above;
            let with = |bottom: Vec<u8>| {
                let mut stack = vec![tar(&[]); layer];
                stack.push(bottom);
                stack.extend_from_slice(&tars[layer + 1..]);
                let (answer, taken, _) = find(&stack, options, &path);
                (taken, comparable(answer))
            };
            let item = |path: Vec<u8>, kind| Item {
                path,
                kind,
                link: Vec::new(),
                metadata: Metadata::default(),
                data: Vec::new(),
            };
            let mut answers = vec![with(tar(&[]))];
            for kind in [Kind::File, Kind::Directory] {
                answers.push(with(tar(&[item(needed.clone(), kind)])));
            }
            // What is on the way may be a symlink to somewhere else.
            for slash in (0..needed.len()).filter(|at| needed[*at] == b'/') {
                for kind in [Kind::File, Kind::Directory] {
                    let mut link = item(needed[..slash].to_vec(), Kind::Symlink);
                    link.link = b"/zz/zz".to_vec();
                    let led = item([b"zz/zz", &needed[slash..]].concat(), kind);
                    answers.push(with(tar(&[link, led])));
                }
            }
            let differs = answers.iter().any(|(_, answer)| *answer != answers[0].1);
            // A name that leads through a hard link to a lower layer: then all are needed.
            let unclear = answers.iter().all(|(taken, _)| *taken == tars.len());
            assert!(unclear || differs, "{shown}: layer {layer} was not needed for {needed:?}");
            *met.entry("layer needed").or_default() += 1;
        }
    }
}

/// The first name of each file by components, as trees have it, in place of the first by bytes.
fn canonical(mut view: View) -> View {
    let mut firsts: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for (path, shown) in &view {
        let first = firsts.entry(shown.same.clone()).or_insert_with(|| path.clone());
        if path.split(|b| *b == b'/').lt(first.split(|b| *b == b'/')) {
            first.clone_from(path);
        }
    }
    view.values_mut().for_each(|shown| shown.same = firsts[&shown.same].clone());
    view
}

/// In what two views of one path differ.
fn differs(before: &Shown, after: &Shown) -> Vec<&'static str> {
    if before.kind != after.kind {
        return vec!["kind"];
    }
    let (old, new) = (&before.metadata, &after.metadata);
    [
        ("content", before.data != after.data),
        ("link", before.link != after.link),
        ("mode", old.mode != new.mode && before.kind != Kind::Symlink),
        ("owner", (old.uid, old.gid) != (new.uid, new.gid)),
        ("mtime", old.mtime != new.mtime),
        ("xattrs", old.xattrs != new.xattrs),
        ("names", before.same != after.same),
    ]
    .into_iter()
    .filter_map(|(word, differs)| differs.then_some(word))
    .collect()
}

/// Paths by what became of them: in what they differ, or that they were added (`+`) or removed (`-`).
fn changes(before: &View, after: &View) -> BTreeMap<Vec<u8>, Vec<&'static str>> {
    let mut changes = BTreeMap::new();
    for path in before.keys().chain(after.keys()) {
        let what = match (before.get(path), after.get(path)) {
            (Some(before), Some(after)) => differs(before, after),
            (None, _) => vec!["+"],
            (_, None) => vec!["-"],
        };
        if !what.is_empty() {
            changes.insert(path.clone(), what);
        }
    }
    changes
}

fn word(before: bool, after: bool, what: What) -> Vec<&'static str> {
    match (before, after) {
        (false, _) => vec!["+"],
        (_, false) => vec!["-"],
        _ => what.words().collect(),
    }
}

/// What each layer does, and what differs between the stack without its top and with it, is what the model's views say.
pub(crate) fn check_changes(layers: &[Vec<Item>], tars: &[Vec<u8>], options: &Options, met: &mut Met) {
    let mut resolver = Resolver::new(tars.len(), options).unwrap().with_history();
    for (layer, tar) in tars.iter().enumerate() {
        resolver.supply(scan(layer, tar, usize::MAX, &options.limits).unwrap()).unwrap();
    }
    let (tree, history) = resolver.finish_with_history().unwrap();
    assert_eq!(history.layers().len(), tars.len());
    let mut before = View::new();
    let mut views = vec![before.clone()];
    for (layer, change) in history.layers().iter().enumerate() {
        let after = canonical(model::view(&layers[..=layer], options.keep_directory_symlink).unwrap());
        let mut wanted = changes(&before, &after);
        for what in wanted.values_mut() {
            // With which other paths a path is one file is not a matter of its layer.
            what.retain(|word| *word != "names");
        }
        wanted.retain(|_, what| !what.is_empty());
        let found: BTreeMap<Vec<u8>, Vec<&str>> = change
            .paths
            .iter()
            .map(|path| {
                let mut what = word(path.before.is_some(), path.after.is_some(), path.what);
                // The same bytes again are a change of the layer and none of the view.
                let same =
                    before.get(&path.path).zip(after.get(&path.path)).is_some_and(|(a, b)| a.data == b.data);
                what.retain(|word| *word != "content" || !same);
                (path.path.clone(), what)
            })
            .filter(|(_, what)| !what.is_empty())
            .collect();
        assert_eq!(found, wanted, "layer {layer}");
        for (what, (count, _)) in
            [("added", change.added()), ("changed", change.changed(layer)), ("removed", change.removed())]
        {
            *met.entry(what).or_default() += u64::from(count > 0);
        }
        views.push(after.clone());
        before = after;
    }
    let waste = history.waste();
    assert!(waste.minimal <= waste.discovered && waste.wasted() <= waste.discovered);
    *met.entry("wasted").or_default() += u64::from(waste.wasted() > 0);

    // A file with several names counts once.
    let sizes = Sizes::of(&tree);
    let links = Links::of(&tree);
    let once: u64 =
        before.iter().filter(|(path, shown)| **path == shown.same).map(|(_, s)| s.data.len() as u64).sum();
    assert_eq!(sizes.bytes(tree.root()), once);
    for node in tree.iter().filter(|node| node.kind() != Kind::Directory) {
        let shown = &before[&node.path()];
        let count =
            before.values().filter(|other| other.kind == shown.kind && other.same == shown.same).count();
        assert_eq!(links.count(node), count as u64);
        assert_eq!(links.first(node).path(), shown.same);
    }

    let Some(below) = tars.len().checked_sub(1) else { return };
    let lower = resolve(&tars[..below], options, usize::MAX, false).unwrap();
    let ids: Vec<Digest> = tars.iter().map(|tar| Digest::sha256(tar)).collect();
    let mut difference = Difference::new((&lower, &ids[..below]), (&tree, &ids));
    let unsettled: Vec<usize> = difference
        .unsettled()
        .map(|(place, a, b)| (place, views[below][&a.path()].data == before[&b.path()].data))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(place, same)| {
            difference.settle(place, same);
            place
        })
        .collect();
    *met.entry("content compared").or_default() += u64::from(!unsettled.is_empty());
    let found: BTreeMap<Vec<u8>, Vec<&str>> = difference
        .finish(What::default())
        .iter()
        .map(|change| (change.path(), word(change.before.is_some(), change.after.is_some(), change.what)))
        .collect();
    let mut wanted = changes(&views[below], &before);
    if views[below].contains_key(&b""[..]) != before.contains_key(&b""[..]) {
        wanted.remove(&b""[..]);
    }
    assert_eq!(found, wanted);
}
