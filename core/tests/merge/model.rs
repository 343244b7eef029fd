//! The law of layers a second time, as plainly as it can be said: trees of maps, applied from the bottom up.
//!
//! Nothing is shared with the resolver: paths are lists of names, every layer's tree is built whole, and the overlay is
//! a copy. Slow, and easy to hold against the rules.

use std::collections::{BTreeMap, VecDeque};

use wharfie_core::tar::{Kind, Metadata};

use super::stack::{Item, Shown, View, group};

pub(crate) mod chosen;

type Path = Vec<Vec<u8>>;
/// A path, what it shows, and its inode; a directory is its own.
type Listed = (Vec<u8>, Shown, Result<usize, Vec<u8>>);

/// An error of the law: its code, the layer, the number of the entry.
pub(crate) type Fault = (&'static str, usize, usize);

#[derive(Clone, Debug)]
enum Tree {
    /// With the metadata of its entry, or none where it is implied.
    Directory(Option<Metadata>, BTreeMap<Vec<u8>, Tree>),
    /// Anything else, by the number of its inode.
    Leaf(usize),
}

#[derive(Default)]
struct Model {
    inodes: Vec<Shown>,
    keep_directory_symlink: bool,
}

enum Role {
    Whiteout(Path),
    Opaque(Path),
    Entry(Path),
}

/// What the layers show together, the lowest first.
pub(crate) fn view(layers: &[Vec<Item>], keep_directory_symlink: bool) -> Result<View, Fault> {
    let mut model = Model { keep_directory_symlink, ..Model::default() };
    let mut below = Tree::Directory(None, BTreeMap::new());
    for (layer, items) in layers.iter().enumerate() {
        below = model.layer(below, items).map_err(|(code, item)| (code, layer, item))?;
    }
    let mut paths = Vec::new();
    model.list(&below, Vec::new(), &mut paths);
    Ok(group(paths))
}

impl Tree {
    fn at(&self, path: &[Vec<u8>]) -> Option<&Tree> {
        match path.split_first() {
            None => Some(self),
            Some((name, rest)) => match self {
                Tree::Directory(_, children) => children.get(name)?.at(rest),
                Tree::Leaf(_) => None,
            },
        }
    }

    fn at_mut(&mut self, path: &[Vec<u8>]) -> Option<&mut Tree> {
        match path.split_first() {
            None => Some(self),
            Some((name, rest)) => match self {
                Tree::Directory(_, children) => children.get_mut(name)?.at_mut(rest),
                Tree::Leaf(_) => None,
            },
        }
    }

    fn is_directory(&self) -> bool {
        matches!(self, Tree::Directory(..))
    }
}

/// L1, L7, L10, L11.
fn role(name: &[u8]) -> Result<Role, &'static str> {
    let path = lexical(name)?;
    let Some((last, parents)) = path.split_last() else { return Ok(Role::Entry(path)) };
    if parents.iter().any(|name| forbidden_parent(name)) {
        return Err("invalid_path");
    }
    let parked = path.iter().any(|name| aufs(name));
    if parked || !last.starts_with(b".wh.") {
        return Ok(Role::Entry(path));
    }
    if last == b".wh..wh..opq" {
        return Ok(Role::Opaque(parents.to_vec()));
    }
    match &last[4..] {
        b"" | b"." | b".." => Err("invalid_path"),
        hidden => Ok(Role::Whiteout(parents.iter().cloned().chain([hidden.to_vec()]).collect())),
    }
}

/// L1, L2, L11: what each entry says by itself.
fn legible(item: &Item) -> Result<(), &'static str> {
    match role(&item.path)? {
        Role::Entry(path) if path.is_empty() && item.kind != Kind::Directory => Err("invalid_tar"),
        Role::Entry(_) if item.kind == Kind::HardLink => lexical(&item.link).map(drop),
        _ => Ok(()),
    }
}

fn aufs(name: &[u8]) -> bool {
    name.starts_with(b".wh..wh.") && name != b".wh..wh..opq"
}

fn forbidden_parent(name: &[u8]) -> bool {
    name.starts_with(b".wh.") && !aufs(name)
}

/// L1.
fn lexical(name: &[u8]) -> Result<Path, &'static str> {
    let mut path = Path::new();
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                path.pop().ok_or("invalid_path")?;
            }
            part => path.push(part.to_vec()),
        }
    }
    Ok(path)
}

impl Model {
    /// One layer over what is below it.
    fn layer(&mut self, below: Tree, items: &[Item]) -> Result<Tree, (&'static str, usize)> {
        // What is wrong with a name alone is found before anything else about its layer.
        for (number, item) in items.iter().enumerate() {
            legible(item).map_err(|code| (code, number))?;
        }
        let mut own = Tree::Directory(None, BTreeMap::new());
        let mut hidden = Vec::new();
        let mut opaque = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let fault = |code| (code, number);
            match role(&item.path).map_err(fault)? {
                Role::Whiteout(path) => {
                    let (name, parents) = path.split_last().unwrap();
                    let mut path = self.follow(&own, &below, parents, true).map_err(fault)?;
                    path.push(name.clone());
                    hidden.push(path);
                }
                Role::Opaque(path) => opaque.push(self.follow(&own, &below, &path, true).map_err(fault)?),
                Role::Entry(path) => self.entry(&mut own, &below, &path, item).map_err(fault)?,
            }
        }
        drop_parked(&mut own);
        let mut below = below;
        for path in hidden {
            let (name, parents) = path.split_last().unwrap();
            if let Some(Tree::Directory(_, children)) = below.at_mut(parents) {
                children.remove(name);
            }
        }
        for path in opaque {
            if let Some(Tree::Directory(_, children)) = below.at_mut(&path) {
                children.clear();
            }
        }
        overlay(&mut below, own);
        Ok(below)
    }

    /// One entry into its layer's own tree.
    fn entry(&mut self, own: &mut Tree, below: &Tree, path: &Path, item: &Item) -> Result<(), &'static str> {
        let Some((name, parents)) = path.split_last() else {
            let Tree::Directory(metadata, _) = own else { unreachable!() };
            *metadata = Some(item.metadata.clone());
            return Ok(());
        };
        let inode = match item.kind {
            Kind::HardLink => Some(self.bind(own, below, &item.link)?),
            _ => None,
        };
        let parents = self.follow(own, below, parents, true)?;
        let mut path = parents.clone();
        path.push(name.clone());
        if item.kind == Kind::HardLink {
            let (name, parents) =
                lexical(&item.link)?.split_last().map(|(n, p)| (n.clone(), p.to_vec())).unwrap();
            let mut target = self.follow(own, below, &parents, true)?;
            target.push(name);
            if target == path {
                return Err("invalid_hard_link");
            }
        }
        let mut directory = &mut *own;
        for name in &parents {
            let Tree::Directory(_, children) = directory else { unreachable!() };
            let child = children.entry(name.clone()).or_insert(Tree::Leaf(0));
            if !child.is_directory() {
                *child = Tree::Directory(None, BTreeMap::new());
            }
            directory = child;
        }
        if item.kind == Kind::Directory
            && self.keep_directory_symlink
            && self.symlink(own, below, &path).is_some()
        {
            let led = self.follow(own, below, &path, false);
            if led.is_ok_and(|led| self.is_directory(own, below, &led)) {
                return Ok(());
            }
        }
        let Some(Tree::Directory(_, children)) = own.at_mut(&parents) else { unreachable!() };
        if item.kind == Kind::Directory {
            match children.get_mut(name) {
                Some(Tree::Directory(metadata, _)) => *metadata = Some(item.metadata.clone()),
                _ => {
                    children
                        .insert(name.clone(), Tree::Directory(Some(item.metadata.clone()), BTreeMap::new()));
                }
            }
            return Ok(());
        }
        let inode = inode.unwrap_or_else(|| {
            self.inodes.push(Shown {
                kind: item.kind,
                link: item.link.clone(),
                metadata: item.metadata.clone(),
                data: item.data.clone(),
                same: Vec::new(),
            });
            self.inodes.len() - 1
        });
        children.insert(name.clone(), Tree::Leaf(inode));
        Ok(())
    }

    /// L12.
    fn bind(&self, own: &Tree, below: &Tree, target: &[u8]) -> Result<usize, &'static str> {
        let target = lexical(target)?;
        let Some((name, parents)) = target.split_last() else { return Err("invalid_hard_link") };
        let mut path = self.follow(own, below, parents, true)?;
        path.push(name.clone());
        match own.at(&path).or_else(|| shown_below(own, below, &path)) {
            Some(Tree::Leaf(inode)) => Ok(*inode),
            _ => Err("invalid_hard_link"),
        }
    }

    /// Where a path leads by L3: with `chosen`, as the options say; without, through every symlink there is.
    fn follow(&self, own: &Tree, below: &Tree, path: &[Vec<u8>], chosen: bool) -> Result<Path, &'static str> {
        let mut todo: VecDeque<Vec<u8>> = path.iter().cloned().collect();
        let mut done = Path::new();
        let mut followed = 0;
        while let Some(name) = todo.pop_front() {
            match &name[..] {
                b"" | b"." => continue,
                b".." => {
                    done.pop();
                    continue;
                }
                _ => {}
            }
            if forbidden_parent(&name) {
                return Err("invalid_path");
            }
            done.push(name);
            let text = match own.at(&done) {
                Some(Tree::Leaf(inode)) => self.text(*inode),
                Some(Tree::Directory(..)) => None,
                None if !chosen => match shown_below(own, below, &done) {
                    Some(Tree::Leaf(inode)) => self.text(*inode),
                    _ => None,
                },
                None if self.keep_directory_symlink => match shown_below(own, below, &done) {
                    Some(Tree::Leaf(inode)) => self.text(*inode).filter(|_| {
                        let led = self.follow(own, below, &done, false);
                        led.is_ok_and(|led| self.is_directory(own, below, &led))
                    }),
                    _ => None,
                },
                None => None,
            };
            if let Some(text) = text {
                followed += 1;
                if followed > 40 {
                    return Err("invalid_path");
                }
                done.pop();
                if text.starts_with(b"/") {
                    done.clear();
                }
                for part in text.split(|b| *b == b'/').rev() {
                    todo.push_front(part.to_vec());
                }
            }
        }
        Ok(done)
    }

    fn text(&self, inode: usize) -> Option<&[u8]> {
        Some(&self.inodes[inode]).filter(|inode| inode.kind == Kind::Symlink).map(|inode| &inode.link[..])
    }

    fn symlink(&self, own: &Tree, below: &Tree, path: &[Vec<u8>]) -> Option<&[u8]> {
        match own.at(path).or_else(|| shown_below(own, below, path)) {
            Some(Tree::Leaf(inode)) => self.text(*inode),
            _ => None,
        }
    }

    fn is_directory(&self, own: &Tree, below: &Tree, path: &[Vec<u8>]) -> bool {
        own.at(path).or_else(|| shown_below(own, below, path)).is_some_and(Tree::is_directory)
    }

    fn list(&self, tree: &Tree, path: Vec<u8>, out: &mut Vec<Listed>) {
        match tree {
            Tree::Leaf(inode) => out.push((path, self.inodes[*inode].clone(), Ok(*inode))),
            Tree::Directory(metadata, children) => {
                if !path.is_empty() || metadata.is_some() {
                    let metadata =
                        metadata.clone().unwrap_or(Metadata { mode: 0o755, ..Metadata::default() });
                    let shown = Shown {
                        kind: Kind::Directory,
                        link: Vec::new(),
                        metadata,
                        data: Vec::new(),
                        same: Vec::new(),
                    };
                    out.push((path.clone(), shown, Err(path.clone())));
                }
                for (name, child) in children {
                    let below = if path.is_empty() { name.clone() } else { [&path[..], name].join(&b'/') };
                    self.list(child, below, out);
                }
            }
        }
    }
}

/// What the layers below have at a path, unless something of the layer's own that is no directory is in the way.
fn shown_below<'t>(own: &Tree, below: &'t Tree, path: &[Vec<u8>]) -> Option<&'t Tree> {
    let free = (0..path.len()).all(|len| own.at(&path[..len]).is_none_or(Tree::is_directory));
    if free { below.at(path) } else { None }
}

/// L10.
fn drop_parked(tree: &mut Tree) {
    if let Tree::Directory(_, children) = tree {
        children.retain(|name, _| !aufs(name));
        children.values_mut().for_each(drop_parked);
    }
}

/// L4, L5.
fn overlay(below: &mut Tree, own: Tree) {
    match (below, own) {
        (Tree::Directory(metadata, children), Tree::Directory(own_metadata, own_children)) => {
            if own_metadata.is_some() {
                *metadata = own_metadata;
            }
            for (name, child) in own_children {
                match children.get_mut(&name) {
                    Some(lower) => overlay(lower, child),
                    None => {
                        children.insert(name, child);
                    }
                }
            }
        }
        (below, own) => *below = own,
    }
}
