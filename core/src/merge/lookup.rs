//! One path, asked of the layers from the top: no layer is wanted that cannot change the answer.

use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::index::{LayerIndex, RowKind};
use super::options::Options;
use super::resolve::{A_DIRECTORY, Alone, NOTHING_THERE, Resolver, alone};
use super::tree::{FOLLOWED, Node, Origin, Tree, not_there};
use super::trie::ROOT;
use crate::error::{Error, ErrorKind, Result};
use crate::name::Name;
use crate::tar::{Kind, Metadata, SparseMap};

/// What a path is, and where: a copy, so that the indexes can be let go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Where it came to, symlinks followed: the components joined by `/`, empty for the root.
    pub path: Vec<u8>,
    /// What it is; never a hard link.
    pub kind: Kind,
    /// Its metadata. Of a directory those are not known unless all layers were read: `None`.
    pub metadata: Option<Metadata>,
    /// Bytes of content; 0 for what has none.
    pub size: u64,
    /// The text of a symlink, where it was not to be followed.
    pub link: Vec<u8>,
    /// The entry that holds content and metadata; `None` for a directory.
    pub inode: Option<Origin>,
    /// Where the stored bytes begin in the uncompressed layer of `inode`.
    pub data_at: u64,
    /// How many are stored: the size, unless the file is sparse.
    pub stored: u64,
    /// Where they lie in the content, if the file is stored sparsely (L17).
    pub sparse: Option<SparseMap>,
}

impl Found {
    /// A directory of which nothing else is known.
    fn directory(path: Vec<u8>) -> Found {
        Found {
            path,
            kind: Kind::Directory,
            metadata: None,
            size: 0,
            link: Vec::new(),
            inode: None,
            data_at: 0,
            stored: 0,
            sparse: None,
        }
    }
}

/// What is known of a path by the layers supplied so far.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// It is there.
    Found(Found),
    /// The next layer decides: [`Lookup::supply`] it and ask again.
    Need {
        /// Its number, counted from 0 at the bottom.
        layer: usize,
        /// What is looked for in it, as far as symlinks are known: components joined by `/`.
        path: Vec<u8>,
    },
}

/// Finds paths in a stack whose layers come from the top, one after another, and only as far as they are needed.
///
/// The answer is that of [`Tree::resolve`]. A layer is needed unless what is above it decides: it has the name, or a
/// whiteout, an opaque marker or a file that hides what lies below (L4, L5, L7). A hard link to a lower layer is looked
/// for there (L12). All layers are needed where a name of a layer leads through a hard link whose target is in a lower
/// one, and with [`Options::keep_directory_symlink`], since the names of a layer then lead where lower ones say.
#[derive(Debug)]
pub struct Lookup {
    options: Options,
    layers: usize,
    /// From the top.
    read: Vec<Alone>,
    /// Where all layers are needed: their indexes, from the top.
    kept: Vec<LayerIndex>,
    whole: Option<Tree>,
    unclear: bool,
}

/// What layers from the top say of exactly one path.
enum Decision<'l> {
    /// Nothing yet: the layers below decide.
    Open,
    Nothing,
    Directory,
    /// Anything else: the layer's place in `read`, and the row in it.
    Leaf(usize, &'l LayerIndex, u32),
}

/// What a walk came to.
enum Walked<'l> {
    Need(Vec<u8>),
    Directory(Vec<Vec<u8>>),
    Leaf(Vec<Vec<u8>>, usize, &'l LayerIndex, u32),
}

impl Lookup {
    /// For a stack of so many layers.
    ///
    /// # Errors
    /// Those of [`Resolver::new`].
    pub fn new(layers: usize, options: &Options) -> Result<Self> {
        // A name is looked for in all that there is.
        let options = Options {
            keep_directory_symlink: options.keep_directory_symlink,
            ..Options::new(options.limits.clone())
        };
        let resolver = Resolver::new(layers, &options)?;
        let mut lookup = Lookup {
            layers,
            read: Vec::new(),
            kept: Vec::new(),
            whole: None,
            unclear: options.keep_directory_symlink,
            options,
        };
        if layers == 0 {
            lookup.whole = Some(resolver.finish()?);
        }
        Ok(lookup)
    }

    /// How many layers were supplied, from the top.
    pub fn supplied(&self) -> usize {
        if self.whole.is_some() { self.layers } else { self.read.len() + self.kept.len() }
    }

    /// Takes the index of the next layer from the top.
    ///
    /// # Errors
    /// What is wrong with the layer by itself, and with the whole stack where it had to be resolved whole; `internal`
    /// for a layer whose turn it is not.
    pub fn supply(&mut self, index: LayerIndex) -> Result<()> {
        let layer = index.layer();
        if self.supplied() >= self.layers || layer != self.layers - 1 - self.supplied() {
            let reason = alloc::format!("layer {layer} is not awaited");
            return Err(ErrorKind::Internal { reason }.into());
        }
        if self.unclear {
            self.kept.push(index);
        } else {
            let alone = alone(index, &self.options)?;
            self.unclear = alone.open.unclear;
            self.read.push(alone);
            if self.unclear {
                let read = core::mem::take(&mut self.read);
                self.kept = read.into_iter().flat_map(|alone| alone.stack.into_layers()).collect();
            }
        }
        if self.unclear && self.kept.len() == self.layers {
            let mut resolver = Resolver::new(self.layers, &self.options)?;
            for index in core::mem::take(&mut self.kept).into_iter().rev() {
                resolver.supply(index)?;
            }
            self.whole = Some(resolver.finish()?);
        }
        Ok(())
    }

    /// The file that a process in the root would open under this name: symlinks are followed, also the last one.
    ///
    /// # Errors
    /// `path_not_found`; `invalid_path` for a loop; `invalid_hard_link` for one that binds to nothing (L12).
    pub fn find(&self, path: &[u8]) -> Result<Answer> {
        if let Some(tree) = &self.whole {
            return Ok(Answer::Found(tree.resolve(path)?.into()));
        }
        // The layer whose turn it is.
        let layer = self.layers.saturating_sub(self.supplied() + 1);
        if self.unclear {
            let path = lexical(&parts(path).map(<[u8]>::to_vec).collect::<Vec<_>>());
            return Ok(Answer::Need { layer, path });
        }
        match self.walk(path)? {
            Walked::Need(path) => Ok(Answer::Need { layer, path }),
            Walked::Directory(path) => Ok(Answer::Found(Found::directory(path.join(&b'/')))),
            Walked::Leaf(path, read, index, row) => match self.bound(read, index, row)? {
                Ok((index, row)) => Ok(Answer::Found(of_row(path.join(&b'/'), index, row))),
                Err(path) => Ok(Answer::Need { layer, path }),
            },
        }
    }

    /// Follows `path` as [`Tree::resolve`] does.
    fn walk(&self, path: &[u8]) -> Result<Walked<'_>> {
        let missing = |at: &[Vec<u8>]| not_there(path, &at.join(&b'/'), None);
        // What comes next is at its end.
        let mut rest: Vec<Vec<u8>> = parts(path).rev().map(<[u8]>::to_vec).collect();
        let mut at: Vec<Vec<u8>> = Vec::new();
        let mut followed = 0;
        while let Some(part) = rest.pop() {
            match &part[..] {
                b"" | b"." => continue,
                b".." => {
                    at.pop();
                    continue;
                }
                _ => {}
            }
            if rest.len().saturating_add(at.len()) > self.options.limits.path_bytes as usize {
                let value = u64::from(self.options.limits.path_bytes);
                return Err(ErrorKind::LimitExceeded { limit: "path_bytes", value }.into());
            }
            at.push(part);
            let (read, index, row) = match self.decide(&at, 0) {
                Decision::Directory => continue,
                Decision::Nothing => {
                    at.pop();
                    return Err(missing(&at));
                }
                Decision::Open => {
                    at.extend(rest.into_iter().rev());
                    return Ok(Walked::Need(lexical(&at)));
                }
                Decision::Leaf(read, index, row) => (read, index, row),
            };
            // What the name is hangs on its inode, which may lie in a lower layer.
            let (index_of, inode) = match self.bound(read, index, row)? {
                Ok(inode) => inode,
                Err(path) => return Ok(Walked::Need(path)),
            };
            let Some(fields) = index_of.row(inode).filter(|fields| fields.kind == RowKind::Symlink) else {
                // Only a directory has something below it, be it nothing but a slash.
                if rest.is_empty() {
                    return Ok(Walked::Leaf(at, read, index, row));
                }
                at.pop();
                return Err(missing(&at));
            };
            followed += 1;
            if followed > FOLLOWED {
                let path = Name(path).to_string();
                return Err(ErrorKind::InvalidPath { path, reason: "its symlinks loop".into() }.into());
            }
            at.pop();
            let link = index_of.link(fields);
            if link.starts_with(b"/") {
                at.clear();
            }
            rest.extend(parts(link).rev().map(<[u8]>::to_vec));
        }
        Ok(Walked::Directory(at))
    }

    /// What the layers from the one at this place on say of a path whose parents they show as directories.
    fn decide(&self, path: &[Vec<u8>], from: usize) -> Decision<'_> {
        for (place, layer) in self.read.iter().enumerate().skip(from) {
            let mut node = ROOT;
            // Whether all so far is a directory of the layer's own; whether it hides what lies below.
            let (mut own, mut hides) = (true, layer.trie.node(ROOT).opaque_by != 0);
            let mut left = path.len();
            for name in path {
                let contents = layer.trie.node(node).view.contents;
                let Some(child) = layer.trie.find(node, name) else { break };
                left -= 1;
                let fields = layer.trie.node(child);
                own = own && fields.view.inside != 0 && fields.view.inside == contents;
                if own && !fields.view.is_directory() {
                    return match layer.stack.locate(fields.view.inode).zip(layer.stack.layer(0)) {
                        Some(((_, row), index)) if left == 0 => Decision::Leaf(place, index, row),
                        _ => Decision::Nothing,
                    };
                }
                if own && left == 0 {
                    return Decision::Directory;
                }
                hides |= fields.hidden_by != 0 || (left > 0 && fields.opaque_by != 0);
                node = child;
            }
            if hides {
                return Decision::Nothing;
            }
        }
        if self.read.len() == self.layers { Decision::Nothing } else { Decision::Open }
    }

    /// The inode of a name (L12), or what is looked for in the next layer to know it.
    fn bound<'l>(
        &'l self,
        mut place: usize,
        mut index: &'l LayerIndex,
        mut row: u32,
    ) -> Result<core::result::Result<(&'l LayerIndex, u32), Vec<u8>>> {
        'links: loop {
            let Some(layer) = self.read.get(place) else { return Ok(Ok((index, row))) };
            let Some(node) = layer.open.wants.get(&row) else { return Ok(Ok((index, row))) };
            let target = layer.trie.path(*node);
            let fail = |reason: &str| -> Error {
                let target = Name(&target).to_string();
                let kind = ErrorKind::InvalidHardLink { target, reason: reason.to_string() };
                Error::from(kind).at(index.place(row))
            };
            let path: Vec<Vec<u8>> = parts(&target).map(<[u8]>::to_vec).collect();
            for end in 1..=path.len() {
                let last = end == path.len();
                match self.decide(path.get(..end).unwrap_or_default(), place + 1) {
                    Decision::Open => return Ok(Err(target)),
                    Decision::Directory if !last => {}
                    Decision::Directory => return Err(fail(A_DIRECTORY)),
                    Decision::Leaf(lower, lower_index, lower_row) if last => {
                        (place, index, row) = (lower, lower_index, lower_row);
                        continue 'links;
                    }
                    Decision::Nothing | Decision::Leaf(..) => return Err(fail(NOTHING_THERE)),
                }
            }
            return Err(fail(A_DIRECTORY));
        }
    }
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
}

/// The path that an entry would have to have, `..` resolved as if no symlinks were left.
fn lexical(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut path: Vec<&[u8]> = Vec::new();
    for part in parts {
        match &part[..] {
            b"" | b"." => {}
            b".." => {
                path.pop();
            }
            part => path.push(part),
        }
    }
    path.join(&b'/')
}

fn of_row(path: Vec<u8>, index: &LayerIndex, row: u32) -> Found {
    // Rows come from this index alone.
    let Some(fields) = index.row(row) else { return Found::directory(path) };
    Found {
        path,
        kind: index.kind(fields),
        metadata: Some(index.metadata(fields)),
        size: fields.size,
        link: index.link(fields).to_vec(),
        inode: Some(Origin { layer: index.layer(), entry: row, header_at: fields.header_at }),
        data_at: fields.data_at(),
        stored: index.stored(fields),
        sparse: index.sparse(fields).map(|(map, _)| map.clone()),
    }
}

impl From<Node<'_>> for Found {
    fn from(node: Node<'_>) -> Found {
        let body = node.body();
        Found {
            path: node.path(),
            kind: node.kind(),
            metadata: Some(node.metadata()),
            size: node.size(),
            link: node.link().to_vec(),
            inode: node.inode().filter(|_| node.kind() != Kind::Directory),
            data_at: body.map_or(0, |body| body.data_at),
            stored: body.map_or(0, |body| body.stored),
            sparse: body.and_then(|body| body.sparse.cloned()),
        }
    }
}
