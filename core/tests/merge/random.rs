//! Random stacks: entries that collide, hide and link to each other, and what is chosen of them.

use proptest::prelude::*;
use wharfie_core::tar::{Kind, Metadata, Mtime};

use super::model::chosen::Chosen;
use super::stack::Item;

/// Names that collide, also as prefixes and in sorting.
pub(crate) const NAMES: &[&str] = &["a", "b", "c", "a-", "\u{e9}"];
const TARGETS: &[&str] = &[
    "a",
    "b",
    "c",
    "a/b",
    "b/c",
    "../a",
    "../b/c",
    "/a",
    "/b/c",
    "/",
    ".",
    "..",
    "c/..",
    "b/../a",
    "a-",
    "./a/.",
    "../../../c",
    ".wh.a",
    "nowhere",
];

const PATTERNS: &[&str] = &[
    "a",
    "b",
    "/a",
    "/c",
    "a/b",
    "./b//c",
    "a/",
    "/b/",
    "*",
    "/*",
    "*/*",
    "?",
    "??",
    "a?",
    "[ab]",
    "[!a-b]",
    "[^c]*",
    "**/c",
    "a/**",
    "**/a/**",
    "c/**/b",
    "/**",
    "**/",
    "*/**/*/",
    "{a,b}/c",
    "{c,b/**}",
    "/{a,{b,c}/a}",
    "a{,-}",
    "\\a",
    "nothing",
    "\u{e9}",
    "a/nothing",
    "*-",
    "*a*",
    "**/b/{a,c}",
];

/// Most stacks with all of it; owners that are mapped go from 0 to 60.
pub(crate) fn chosen() -> impl Strategy<Value = Chosen> {
    let patterns = || {
        prop_oneof![
            2 => Just(Vec::new()),
            1 => prop::collection::vec(prop::sample::select(PATTERNS), 1..4),
        ]
    };
    let map = || {
        prop::sample::select(vec![
            &[][..],
            &[],
            &["0:100000:65536"],
            &["0:1:5", "5:0", "6:6:60"],
            &["10:500:1000", "0:0:10"],
            &["0:7:12"],
        ])
    };
    (any::<bool>(), patterns(), patterns(), map(), map()).prop_map(
        |(keep_directory_symlink, include, exclude, uid_map, gid_map)| {
            let bytes =
                |patterns: Vec<&str>| patterns.into_iter().map(|text| text.as_bytes().to_vec()).collect();
            let ranges = |map: &[&str]| map.iter().map(|range| (*range).to_owned()).collect();
            Chosen {
                keep_directory_symlink,
                include: bytes(include),
                exclude: bytes(exclude),
                uid_map: ranges(uid_map),
                gid_map: ranges(gid_map),
            }
        },
    )
}

#[derive(Clone, Debug)]
pub(crate) enum Draft {
    File(Vec<usize>, u8),
    Directory(Vec<usize>),
    Symlink(Vec<usize>, usize),
    /// To one of the names that came before, or to any.
    Link(Vec<usize>, prop::sample::Index),
    LinkAny(Vec<usize>, Vec<usize>),
    Node(Vec<usize>, u8),
    Whiteout(Vec<usize>),
    /// A whiteout of one of the names that came before.
    WhiteoutOf(prop::sample::Index),
    Opaque(Vec<usize>),
    Parked(usize),
    LinkParked(Vec<usize>, usize),
    Root,
}

fn path() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..NAMES.len(), 1..4)
}

pub(crate) fn draft() -> impl Strategy<Value = Draft> {
    prop_oneof![
        8 => (path(), 0..3_u8).prop_map(|(path, size)| Draft::File(path, size)),
        4 => path().prop_map(Draft::Directory),
        4 => (path(), 0..TARGETS.len()).prop_map(|(path, target)| Draft::Symlink(path, target)),
        6 => (path(), any::<prop::sample::Index>()).prop_map(|(path, target)| Draft::Link(path, target)),
        1 => (path(), path()).prop_map(|(path, target)| Draft::LinkAny(path, target)),
        1 => (path(), 0..4_u8).prop_map(|(path, kind)| Draft::Node(path, kind)),
        3 => path().prop_map(Draft::Whiteout),
        2 => any::<prop::sample::Index>().prop_map(Draft::WhiteoutOf),
        2 => prop::collection::vec(0..NAMES.len(), 0..3).prop_map(Draft::Opaque),
        1 => (0..2_usize).prop_map(Draft::Parked),
        1 => (path(), 0..2_usize).prop_map(|(path, parked)| Draft::LinkParked(path, parked)),
        1 => Just(Draft::Root),
    ]
}

fn join(path: &[usize]) -> Vec<u8> {
    path.iter().map(|name| NAMES[*name].as_bytes()).collect::<Vec<_>>().join(&b'/')
}

fn marked(path: &[u8]) -> Vec<u8> {
    let at = path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
    [&path[..at], b".wh.", &path[at..]].concat()
}

/// Entries that differ in all that they can.
pub(crate) fn items(drafts: &[Vec<Draft>]) -> Vec<Vec<Item>> {
    let mut seen: Vec<Vec<u8>> = vec![b"a".to_vec()];
    let mut number = 0_u32;
    drafts
        .iter()
        .map(|layer| {
            layer
                .iter()
                .map(|draft| {
                    number += 1;
                    let mut metadata = Metadata {
                        mode: 0o600 + number % 0o177,
                        uid: number,
                        gid: number / 2,
                        mtime: Mtime { seconds: i64::from(number), nanos: number % 3 },
                        ..Metadata::default()
                    };
                    if number.is_multiple_of(5) {
                        metadata.xattrs.insert(b"user.n".to_vec(), number.to_string().into_bytes());
                    }
                    match number % 11 {
                        3 => {
                            let user = number.to_le_bytes();
                            let acl = [&[2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 7, 0][..], &user]
                                .concat();
                            metadata.xattrs.insert(b"system.posix_acl_access".to_vec(), acl);
                        }
                        6 => {
                            metadata.xattrs.insert(b"system.posix_acl_default".to_vec(), b"junk".to_vec());
                        }
                        9 => {
                            let root = number.to_le_bytes();
                            let capability = [&[0, 0, 0, 3][..], &[1; 16], &root].concat();
                            metadata.xattrs.insert(b"security.capability".to_vec(), capability);
                        }
                        _ => {}
                    }
                    let mut link = Vec::new();
                    let mut data = Vec::new();
                    let mut remember = |path: Vec<u8>| {
                        seen.push(path.clone());
                        path
                    };
                    let (path, kind) = match draft {
                        Draft::File(path, size) => {
                            data = format!("{number}.").repeat([0, 1, 200][usize::from(*size)]).into_bytes();
                            (remember(join(path)), Kind::File)
                        }
                        Draft::Directory(path) => (remember(join(path)), Kind::Directory),
                        Draft::Symlink(path, target) => {
                            link = TARGETS[*target].as_bytes().to_vec();
                            (remember(join(path)), Kind::Symlink)
                        }
                        Draft::Link(path, target) => {
                            link = target.get(&seen).clone();
                            (join(path), Kind::HardLink)
                        }
                        Draft::LinkAny(path, target) => {
                            link = join(target);
                            (join(path), Kind::HardLink)
                        }
                        Draft::Node(path, kind) => {
                            let kind = [
                                Kind::Fifo,
                                Kind::CharDevice { major: 1, minor: number },
                                Kind::BlockDevice { major: number, minor: 0 },
                                Kind::CharDevice { major: 0, minor: 0 },
                            ][usize::from(*kind)];
                            (remember(join(path)), kind)
                        }
                        Draft::Whiteout(path) => (marked(&join(path)), Kind::File),
                        Draft::WhiteoutOf(target) => {
                            let hidden: &Vec<u8> = target.get(&seen);
                            (marked(hidden), Kind::File)
                        }
                        Draft::Opaque(path) => {
                            let mut path = join(path);
                            if !path.is_empty() {
                                path.push(b'/');
                            }
                            path.extend_from_slice(b".wh..wh..opq");
                            (path, Kind::File)
                        }
                        Draft::Parked(parked) => {
                            data = format!("parked {number}").into_bytes();
                            (format!(".wh..wh.plnk/{parked}").into_bytes(), Kind::File)
                        }
                        Draft::LinkParked(path, parked) => {
                            link = format!(".wh..wh.plnk/{parked}").into_bytes();
                            (join(path), Kind::HardLink)
                        }
                        Draft::Root => (Vec::new(), Kind::Directory),
                    };
                    Item { path, kind, link, metadata, data }
                })
                .collect()
        })
        .collect()
}
