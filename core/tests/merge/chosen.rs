//! What is chosen of a view and whose it becomes, a second time, as plainly as it can be said: every path by itself, every
//! pattern by trying all that it could mean.

use std::collections::BTreeSet;

use wharfie_core::merge::{IdMap, IdMaps, IdRange, Options, Pattern};
use wharfie_core::tar::Kind;

use super::super::stack::{View, group};

/// The options of a case, as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) keep_directory_symlink: bool,
    pub(crate) include: Vec<Vec<u8>>,
    pub(crate) exclude: Vec<Vec<u8>>,
    pub(crate) uid_map: Vec<String>,
    pub(crate) gid_map: Vec<String>,
}

impl Chosen {
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default();
        options.keep_directory_symlink = self.keep_directory_symlink;
        let patterns = |texts: &[Vec<u8>]| texts.iter().map(|text| Pattern::new(text).unwrap()).collect();
        options.selection.include = patterns(&self.include);
        options.selection.exclude = patterns(&self.exclude);
        let map =
            |texts: &[String]| IdMap::new(texts.iter().map(|text| text.parse::<IdRange>().unwrap())).unwrap();
        options.id_maps.uid = map(&self.uid_map);
        options.id_maps.gid = map(&self.gid_map);
        options
    }

    /// What is wanted of a view.
    pub(crate) fn select(&self, view: &View) -> View {
        let matches = |patterns: &[Vec<u8>], path: &[u8]| {
            let ends = (1..=path.len()).filter(|end| path.get(*end).is_none_or(|byte| *byte == b'/'));
            ends.filter(|_| !path.is_empty()).any(|end| {
                let is_directory = end < path.len() || view[path].kind == Kind::Directory;
                patterns.iter().any(|pattern| fits(pattern, &path[..end], is_directory))
            })
        };
        let mut wanted = BTreeSet::from([Vec::new()]);
        for path in view.keys() {
            if (self.include.is_empty() || matches(&self.include, path)) && !matches(&self.exclude, path) {
                let ends = (1..=path.len()).filter(|end| path.get(*end).is_none_or(|byte| *byte == b'/'));
                wanted.extend(ends.map(|end| path[..end].to_vec()));
            }
        }
        let kept = view.iter().filter(|(path, _)| wanted.contains(*path));
        group(kept.map(|(path, shown)| (path.clone(), shown.clone(), shown.same.clone())))
    }

    /// The patterns that match nothing in a view.
    pub(crate) fn unmatched(&self, view: &View) -> Vec<(&'static str, Vec<u8>)> {
        let with = |option, patterns: &[Vec<u8>]| -> Vec<(&'static str, Vec<u8>)> {
            patterns
                .iter()
                .filter(|pattern| {
                    !view.iter().any(|(path, shown)| {
                        !path.is_empty() && fits(pattern, path, shown.kind == Kind::Directory)
                    })
                })
                .map(|pattern| (option, pattern.clone()))
                .collect()
        };
        [with("include", &self.include), with("exclude", &self.exclude)].concat()
    }

    /// A view with all owners mapped; `None` where one is in no range.
    pub(crate) fn map(&self, view: &View) -> Option<View> {
        let users = |id| mapped(&self.uid_map, id);
        let groups = |id| mapped(&self.gid_map, id);
        let mut view = view.clone();
        for shown in view.values_mut() {
            let metadata = &mut shown.metadata;
            (metadata.uid, metadata.gid) = (users(metadata.uid)?, groups(metadata.gid)?);
            for (name, value) in &mut metadata.xattrs {
                match &name[..] {
                    b"system.posix_acl_access" | b"system.posix_acl_default"
                        if value.len() % 8 == 4 && value.starts_with(&[2, 0, 0, 0]) =>
                    {
                        let mut entries: Vec<_> = value[4..].chunks(8).map(<[u8]>::to_vec).collect();
                        for entry in &mut entries {
                            let id = u32::from_le_bytes(entry[4..].try_into().unwrap());
                            let id = match entry[0] {
                                2 => users(id)?,
                                8 => groups(id)?,
                                _ => id,
                            };
                            entry.truncate(4);
                            entry.extend(id.to_le_bytes());
                        }
                        entries.sort_by_key(|entry| {
                            (entry[0], u32::from_le_bytes(entry[4..].try_into().unwrap()))
                        });
                        *value = [value[..4].to_vec(), entries.concat()].concat();
                    }
                    b"security.capability" if value.len() == 24 && value[3] == 3 => {
                        let root = users(u32::from_le_bytes(value[20..].try_into().unwrap()))?;
                        value.truncate(20);
                        value.extend(root.to_le_bytes());
                    }
                    _ => {}
                }
            }
        }
        Some(view)
    }
}

/// A view whose metadata the maps of core have mapped, as a sink that reads the tree does.
pub(crate) fn by_core(view: &View, maps: &IdMaps) -> View {
    let mut view = view.clone();
    view.values_mut().for_each(|shown| maps.map(&mut shown.metadata).unwrap());
    view
}

fn mapped(ranges: &[String], id: u32) -> Option<u32> {
    if ranges.is_empty() {
        return Some(id);
    }
    ranges.iter().find_map(|range| {
        let mut fields = range.split(':').map(|field| field.parse::<u64>().unwrap());
        let (from, to, size) = (fields.next()?, fields.next()?, fields.next().unwrap_or(1));
        let id = u64::from(id);
        (id >= from && id < from + size).then(|| u32::try_from(to + id - from).unwrap())
    })
}

fn fits(pattern: &[u8], path: &[u8], is_directory: bool) -> bool {
    if let Some(choices) = choices(pattern) {
        return choices.iter().any(|choice| fits(choice, path, is_directory));
    }
    let body = pattern.strip_suffix(b"/");
    if body.is_some() && !is_directory {
        return false;
    }
    let body = body.unwrap_or(pattern);
    let anchored = body.contains(&b'/');
    let parts = |text: &[u8]| -> Vec<Vec<u8>> {
        let parts = text.split(|byte| *byte == b'/').map(<[u8]>::to_vec);
        parts.filter(|part| !part.is_empty() && part != b".").collect()
    };
    let (parts, path) = (parts(body), parts(path));
    (0..if anchored { 1 } else { path.len() }).any(|from| whole(&parts, &path[from..]))
}

/// A pattern once with each choice of its first braces; `None` where it has none.
fn choices(pattern: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut depth, mut open, mut class, mut at) = (0, 0, false, 0);
    let mut choices = vec![Vec::new()];
    while at < pattern.len() {
        let byte = pattern[at];
        let len = if byte == b'\\' { 2 } else { 1 };
        match byte {
            b'[' if !class => class = true,
            b']' if class && !matches!(pattern[at - 1], b'[' | b'!') => class = false,
            b'{' if !class => {
                depth += 1;
                if depth == 1 {
                    open = at;
                }
            }
            b'}' if !class && depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    let (before, after) = (&pattern[..open], &pattern[at + 1..]);
                    return Some(choices.iter().map(|choice| [before, choice, after].concat()).collect());
                }
            }
            _ => {}
        }
        let outer = !class && depth == 1;
        if outer && byte == b',' {
            choices.push(Vec::new());
        } else if depth > 0 && !(outer && byte == b'{') {
            choices.last_mut().unwrap().extend_from_slice(&pattern[at..at + len]);
        }
        at += len;
    }
    None
}

fn whole(parts: &[Vec<u8>], path: &[Vec<u8>]) -> bool {
    match parts {
        [] => path.is_empty(),
        [any] if any == b"**" => !path.is_empty(),
        [any, rest @ ..] if any == b"**" => (0..=path.len()).any(|from| whole(rest, &path[from..])),
        [part, rest @ ..] => {
            path.first().is_some_and(|name| component(part, name) && whole(rest, &path[1..]))
        }
    }
}

fn component(part: &[u8], name: &[u8]) -> bool {
    match (part, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|from| component(rest, &name[from..])),
        ([b'?', rest @ ..], [_, name @ ..]) => component(rest, name),
        ([b'\\', byte, rest @ ..], [own, name @ ..]) => byte == own && component(rest, name),
        ([b'[', class @ ..], [own, name @ ..]) => {
            let negated = matches!(class[0], b'!' | b'^');
            let class = &class[usize::from(negated)..];
            let end = 1 + class[1..].iter().position(|byte| *byte == b']').unwrap();
            let members = &class[..end];
            let holds = (0..members.len()).any(|at| match members[at..] {
                [low, b'-', high, ..] => (low..=high).contains(own),
                [byte, ..] => byte == *own,
                [] => false,
            });
            holds != negated && component(&class[end + 1..], name)
        }
        ([byte, rest @ ..], [own, name @ ..]) => byte == own && component(rest, name),
        _ => false,
    }
}
