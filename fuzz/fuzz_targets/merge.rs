//! Stacks out of any bytes: by the model, the tree and both flattened tars the same, or refused alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfie_core::tar::{Kind, Metadata, Mtime};

#[path = "../../core/tests/merge/check.rs"]
mod check;
#[path = "../../core/tests/merge/drafted.rs"]
#[allow(dead_code)]
mod drafted;
#[path = "../../core/tests/merge/model.rs"]
mod model;
#[path = "../../core/tests/merge/stack.rs"]
#[allow(dead_code)]
mod stack;
#[path = "../../core/tests/merge/untouched.rs"]
mod untouched;
#[path = "../../core/tests/merge/view.rs"]
mod view;

/// The names that `view` takes for plain.
mod random {
    pub(crate) const NAMES: &[&str] = &["a", "b", "c", "a-", "d"];
}

use model::chosen::Chosen;
use stack::Item;

/// Components by number: few, so that they collide.
const NAMES: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"a-",
    b"..",
    b".",
    b".wh.a",
    b".wh.b",
    b".wh..wh..opq",
    b".wh..wh.plnk",
    b".wh.",
    b".wh..",
    b"\xff",
    b".wh.c",
    b"",
    b"d",
];

/// The bytes as a list of small decisions.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn path(&mut self) -> Option<Vec<u8>> {
        let shape = self.next()?;
        let mut path = if shape & 4 != 0 { b"/".to_vec() } else { Vec::new() };
        for part in 0..=shape % 4 {
            if part > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(NAMES[usize::from(self.next()?) % NAMES.len()]);
        }
        Some(path)
    }

    fn item(&mut self, number: u32) -> Option<Item> {
        let kind = self.next()?;
        let path = self.path()?;
        let mut link = Vec::new();
        let mut data = Vec::new();
        let kind = match kind % 12 {
            0..=3 => {
                data = vec![number as u8; usize::from(kind / 12) * 60];
                Kind::File
            }
            4 | 5 => Kind::Directory,
            6 | 7 => {
                link = self.path()?;
                Kind::Symlink
            }
            8 | 9 => {
                link = self.path()?;
                Kind::HardLink
            }
            10 => Kind::Fifo,
            _ => Kind::CharDevice { major: 1, minor: number },
        };
        let metadata = Metadata {
            mode: 0o600 + number % 0o100,
            uid: number,
            mtime: Mtime { seconds: i64::from(number), nanos: 0 },
            ..Metadata::default()
        };
        Some(Item { path, kind, link, metadata, data })
    }
}

const PATTERNS: &[&str] = &["a", "/b/", "a/*", "**/c", "{a,b/c}", "[!a]?", "b/**", "nothing"];

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices(bytes);
    let Some(options) = choices.next() else { return };
    let mut chosen = Chosen { keep_directory_symlink: options & 1 != 0, ..Chosen::default() };
    for (bit, patterns) in [(4, &mut chosen.include), (8, &mut chosen.exclude)] {
        if options & bit != 0 {
            let Some(pattern) = choices.next() else { return };
            patterns.push(PATTERNS[usize::from(pattern) % PATTERNS.len()].into());
        }
    }
    if options & 16 != 0 {
        chosen.uid_map = vec!["0:5:10".into(), "10:100000:60".into()];
    }
    let mut layers = vec![Vec::new()];
    let mut number = 0;
    while let Some(item) = choices.item(number) {
        number += 1;
        // Only what a tar can say.
        let empty_link = matches!(item.kind, Kind::Symlink | Kind::HardLink) && item.link.is_empty();
        let slash = item.kind != Kind::Directory && item.path.ends_with(b"/");
        let nameless = item.path.is_empty() && item.kind != Kind::Directory;
        if !empty_link && !slash && !nameless {
            layers.last_mut().unwrap().push(item);
        }
        if choices.0.first().is_some_and(|byte| byte % 8 == 7) {
            layers.push(Vec::new());
        }
        if number > 60 || layers.len() > 8 {
            break;
        }
    }
    check::check(layers, &chosen, if options & 2 != 0 { 100 } else { usize::MAX }, &mut check::Met::new());
});
