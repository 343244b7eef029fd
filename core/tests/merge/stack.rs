//! Stacks of layers as lists of entries, and what they come to: by the tree, by the flattened tar, by the model.

use std::collections::{BTreeMap, BTreeSet};

use wharfie_core::codec::Format;
use wharfie_core::merge::{
    Checkpoints, Flatten, LayerIndex, Node, Options, Order, Resolver, Scan, SideIndex, Step, Tree,
};
use wharfie_core::tar::{END_OF_ARCHIVE, Event, Header, Kind, Metadata, Parser, Piece, SparseMap, padding};
use wharfie_core::{Digest, Error, Limits};

/// One entry of a layer's tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    /// The text of a symlink, the target of a hard link.
    pub(crate) link: Vec<u8>,
    pub(crate) metadata: Metadata,
    pub(crate) data: Vec<u8>,
}

/// What a path is, as far as anyone can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) kind: Kind,
    pub(crate) link: Vec<u8>,
    pub(crate) metadata: Metadata,
    pub(crate) data: Vec<u8>,
    /// The first by name of those that are names of the same file.
    pub(crate) same: Vec<u8>,
}

/// Everything that is shown, by path; the root only if a layer has an entry for it.
pub(crate) type View = BTreeMap<Vec<u8>, Shown>;

/// Makes `same` of a view out of each path's inode, whatever numbers those.
pub(crate) fn group<I: Ord + Clone>(paths: impl IntoIterator<Item = (Vec<u8>, Shown, I)>) -> View {
    let mut firsts = BTreeMap::new();
    let paths: BTreeMap<Vec<u8>, (Shown, I)> =
        paths.into_iter().map(|(path, shown, inode)| (path, (shown, inode))).collect();
    for (path, (_, inode)) in &paths {
        firsts.entry(inode.clone()).or_insert_with(|| path.clone());
    }
    paths
        .into_iter()
        .map(|(path, (shown, inode))| (path, Shown { same: firsts[&inode].clone(), ..shown }))
        .collect()
}

/// A layer's tar.
pub(crate) fn tar(items: &[Item]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        Header {
            path: &item.path,
            link: &item.link,
            kind: item.kind,
            metadata: &item.metadata,
            size: item.data.len() as u64,
        }
        .write(&mut out)
        .unwrap();
        out.extend_from_slice(&item.data);
        out.resize(out.len() + padding(item.data.len() as u64), 0);
    }
    out.extend_from_slice(&END_OF_ARCHIVE);
    out
}

/// Where each entry's headers begin.
pub(crate) fn offsets(tar: &[u8]) -> Vec<u64> {
    let mut offsets = Vec::new();
    each_entry(tar, |entry, _| offsets.push(entry.header_at));
    offsets
}

/// The entries of a tar with their stored bytes.
pub(crate) fn each_entry(tar: &[u8], mut with: impl FnMut(wharfie_core::tar::Entry, &[u8])) {
    let mut parser = Parser::new(Limits::default());
    let mut rest = tar;
    loop {
        let step = parser.feed(rest).unwrap();
        rest = &rest[step.consumed..];
        match step.event {
            Event::Entry(entry) => {
                let at = entry.data_at as usize;
                let stored = entry.stored as usize;
                with(entry, &tar[at..at + stored]);
            }
            Event::NeedInput => break,
            Event::Data { .. } | Event::End if rest.is_empty() => break,
            Event::Data { .. } | Event::End => {}
        }
    }
    parser.finish().unwrap();
}

/// The content that stored bytes stand for.
fn expand(stored: &[u8], sparse: Option<&SparseMap>) -> Vec<u8> {
    let Some(map) = sparse else { return stored.to_vec() };
    let (mut content, mut expander, mut stored) = (Vec::new(), map.expander(), stored);
    while let Some(piece) = expander.next(stored.len() as u64) {
        match piece {
            Piece::Hole(len) => content.resize(content.len() + len as usize, 0),
            Piece::Data(len) => {
                let (data, rest) = stored.split_at(len as usize);
                content.extend_from_slice(data);
                stored = rest;
            }
        }
    }
    content
}

/// The entries of a tar, holes filled in.
pub(crate) fn items(tar: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    each_entry(tar, |entry, stored| {
        let data = expand(stored, entry.sparse.as_ref());
        let wharfie_core::tar::Entry { path, kind, link, metadata, .. } = entry;
        items.push(Item { path, kind, link, metadata, data });
    });
    items
}

/// Indexes one layer, fed in pieces of `chunk` bytes. What comes back is what its side index kept: the same.
pub(crate) fn scan(layer: usize, tar: &[u8], chunk: usize, limits: &Limits) -> Result<LayerIndex, Error> {
    let mut scan = Scan::new(layer, limits);
    if chunk.is_multiple_of(2) {
        scan = scan.summing();
    }
    for piece in tar.chunks(chunk) {
        scan.feed(piece)?;
    }
    let index = scan.finish()?;
    let (blob, diff_id) = (Digest::sha256(b"blob"), Digest::sha256(b"tar"));
    let index = index.as_layer(0).with_blob(blob);
    let side = SideIndex::new((blob, 1), Format::Identity, diff_id, index, Checkpoints::new());
    let again = SideIndex::from_bytes(&side.to_bytes(), limits).expect("what was kept can be read");
    assert!(again == side, "what comes back is not what was kept");
    assert_eq!(again.tar_bytes(), tar.len() as u64);
    Ok(again.index.as_layer(layer))
}

/// The merged tree; layers arrive from the top if `reversed`.
pub(crate) fn resolve(
    tars: &[Vec<u8>],
    options: &Options,
    chunk: usize,
    reversed: bool,
) -> Result<Tree, Error> {
    let mut resolver = Resolver::new(tars.len(), options)?;
    for at in 0..tars.len() {
        let layer = if reversed { tars.len() - 1 - at } else { at };
        resolver.supply(scan(layer, &tars[layer], chunk, &options.limits)?)?;
    }
    assert_eq!(resolver.missing().count(), 0);
    resolver.finish()
}

/// What a tree shows.
pub(crate) fn view_of_tree(tree: &Tree, tars: &[Vec<u8>]) -> View {
    let shown = |node: &Node<'_>| {
        let data = node.body().map_or_else(Vec::new, |body| {
            let at = body.data_at as usize;
            expand(&tars[body.layer][at..at + body.stored as usize], body.sparse)
        });
        assert_eq!(data.len() as u64, node.size());
        Shown {
            kind: node.kind(),
            link: node.link().to_vec(),
            metadata: node.metadata(),
            data,
            same: Vec::new(),
        }
    };
    let mut last = None;
    for node in tree.iter() {
        let path: Vec<Vec<u8>> = node.path().split(|b| *b == b'/').map(<[u8]>::to_vec).collect();
        assert!(last < Some(path.clone()), "canonical order is sorted by components");
        assert_eq!(tree.lookup(&node.path()).unwrap().id(), node.id());
        last = Some(path);
    }
    assert_eq!(tree.iter().count(), tree.len());
    assert_eq!(tree.leaves_first().count(), tree.len());
    group(
        tree.iter()
            .filter(|node| node.parent().is_some() || node.origin().is_some())
            .map(|node| (node.path(), shown(&node), node.inode().ok_or_else(|| node.path()))),
    )
}

/// A driver over decoded layers in memory: the flattened tar, and what it promised on the way.
pub(crate) fn flatten(tars: &[Vec<u8>], options: &Options, chunk: usize) -> Result<Vec<u8>, Error> {
    let mut flatten = Flatten::new(tars.len(), options)?;
    let mut buffer = vec![0; chunk.clamp(1, 4096)];
    let mut output = Vec::new();
    let mut spool: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    // In stream order a reader that decodes each layer once, from the top, must do.
    let mut reader = (usize::MAX, 0);
    let mut pass = |layer: usize, from: u64, len: u64| {
        if options.order == Order::Stream {
            assert!(layer <= reader.0, "layers are wanted from the top");
            assert!(layer < reader.0 || from >= reader.1, "each layer is read forwards");
            reader = (layer, from + len);
        }
        tars[layer][from as usize..(from + len) as usize].to_vec()
    };
    loop {
        match flatten.step(&mut buffer)? {
            Step::Need { source, offset } => match tars[source].get(offset as usize..) {
                Some([]) | None => flatten.end(source)?,
                Some(rest) => {
                    let piece = &rest[..rest.len().min(chunk)];
                    assert_eq!(flatten.feed(source, offset, piece)?, piece.len());
                }
            },
            Step::Wrote(n) => {
                assert_ne!(n, 0);
                output.extend_from_slice(&buffer[..n]);
            }
            Step::Copy { source, offset, len } => output.extend(pass(source, offset, len)),
            Step::Spool { id, source, offset, len } => {
                assert!(spool.insert(id, pass(source, offset, len)).is_none(), "spooled once");
            }
            Step::Replay { id, offset, len } => {
                let kept = &spool[&id];
                output.extend_from_slice(&kept[offset as usize..(offset + len) as usize]);
                if offset + len == kept.len() as u64 {
                    spool.remove(&id);
                }
            }
            Step::Done => break,
            step => panic!("{step:?}"),
        }
    }
    assert!(spool.is_empty(), "what is spooled is replayed");
    Ok(output)
}

/// What a tar of one root says, read strictly: each name once, links only to names that came before (L14), no
/// whiteouts, and directories where the order wants them (L26).
pub(crate) fn view_of_tar(tar: &[u8], order: Order) -> View {
    let mut paths: Vec<(Vec<u8>, Shown, Vec<u8>)> = Vec::new();
    let mut known: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut closed: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut last: Vec<u8> = Vec::new();
    let mut linked: BTreeSet<Vec<u8>> = BTreeSet::new();
    each_entry(tar, |entry, _| {
        if entry.kind == Kind::HardLink {
            linked.insert(entry.link);
        }
    });
    each_entry(tar, |entry, data| {
        let mut path = entry.path.clone();
        if entry.kind == Kind::Directory {
            assert_eq!(path.pop(), Some(b'/'));
        }
        if path == b"." {
            path.clear();
        }
        let parents: Vec<Vec<u8>> = (0..path.len())
            .filter(|at| path[*at] == b'/')
            .map(|at| path[..at].to_vec())
            .chain((!path.is_empty()).then(Vec::new))
            .collect();
        let direct = path.iter().rposition(|b| *b == b'/').map_or(&[][..], |at| &path[..at]);
        let up = entry.link.starts_with(b"/") || entry.link.split(|b| *b == b'/').any(|part| part == b"..");
        let late = entry.kind == Kind::Symlink && up && !linked.contains(&path);
        for parent in &parents {
            if order == Order::Canonical {
                assert!(parent.is_empty() || closed.contains(parent), "parents come first");
            } else if late && parent == direct {
                assert!(
                    last == direct || direct.is_empty(),
                    "GNU tar's late symlinks follow their directory"
                );
            } else {
                assert!(!closed.contains(parent), "nothing follows below {}", parent.escape_ascii());
            }
        }
        assert!(!path.split(|b| *b == b'/').any(|part| part.starts_with(b".wh.")), "no whiteouts come out");
        let (shown, inode) = if entry.kind == Kind::HardLink {
            let first = &paths[*known.get(&entry.link).expect("a link comes after its target")];
            let shown = first.1.clone();
            assert_eq!(entry.metadata, shown.metadata, "a link repeats the metadata of its inode");
            (shown, first.2.clone())
        } else {
            if entry.kind == Kind::Directory {
                last.clone_from(&path);
                assert!(closed.insert(path.clone()));
            }
            let shown = Shown {
                kind: entry.kind,
                link: entry.link.clone(),
                metadata: entry.metadata.clone(),
                data: data.to_vec(),
                same: Vec::new(),
            };
            (shown, path.clone())
        };
        assert!(known.insert(path.clone(), paths.len()).is_none(), "{} comes twice", path.escape_ascii());
        paths.push((path, shown, inode));
    });
    for (path, ..) in &paths {
        let parent = path.iter().rposition(|b| *b == b'/').map(|at| path[..at].to_vec());
        assert!(parent.is_none_or(|parent| known.contains_key(&parent)), "every parent has an entry");
    }
    group(paths)
}

/// The names of a tar in order, links as `name -> target`.
pub(crate) fn names(tar: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    each_entry(tar, |entry, _| {
        let name = entry.path.escape_ascii();
        names.push(match entry.kind {
            Kind::HardLink => format!("{name} -> {}", entry.link.escape_ascii()),
            _ => name.to_string(),
        });
    });
    names
}
