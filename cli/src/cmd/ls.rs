//! `ls`

use wharfie_core::error::Result;
use wharfie_core::merge::{Links, Node, Tree, mode_text};
use wharfie_core::name::Name;
use wharfie_core::tar::{Kind, Mtime};

use super::args::LsArgs;
use super::look::{self, Looked};
use super::output::Gathered;
use crate::console::{Bytes, Console};

/// `ls IMAGE [PATH…]`
pub(super) fn run(arguments: &LsArgs, console: &Console) -> Result<()> {
    let looked = look::look(&[&arguments.look.image.image], &arguments.look, false, console)?;
    let Some(looked) = looked.first() else { return Ok(()) };
    let tree = &looked.view.tree;
    let asked: Vec<&[u8]> = match &arguments.paths[..] {
        [] => vec![b"/"],
        paths => paths.iter().map(|path| look::bytes(path)).collect(),
    };
    // What is not there is said before anything is listed.
    let mut files = Vec::new();
    let mut directories = Vec::new();
    for path in asked {
        let node =
            start(tree, path, arguments.directory).map_err(|error| error.in_image(&looked.opened.name))?;
        match node.kind() {
            Kind::Directory if !arguments.directory => directories.push(node),
            _ => files.push(node),
        }
    }
    let mut list = List { arguments, looked, links: Links::of(tree), output: Gathered::new() };
    let full: Vec<(Vec<u8>, Node<'_>)> = files.iter().map(|node| (absolute(*node), *node)).collect();
    list.rows(&full)?;
    let several = !full.is_empty() || directories.len() > 1;
    for (number, directory) in directories.into_iter().enumerate() {
        if arguments.recursive {
            let below: Vec<(Vec<u8>, Node<'_>)> =
                descend(directory).into_iter().map(|node| (absolute(node), node)).collect();
            list.rows(&below)?;
            continue;
        }
        if several && !arguments.json && !arguments.null {
            let gap = if number > 0 || !full.is_empty() { "\n" } else { "" };
            list.output.line(&format!("{gap}{}:", Name(&absolute(directory))))?;
        }
        let children: Vec<(Vec<u8>, Node<'_>)> = directory
            .children()
            .map(|child| (if arguments.null { absolute(child) } else { child.name().to_vec() }, child))
            .collect();
        list.rows(&children)?;
    }
    list.output.finish()
}

/// What a path names: a symlink itself where `ls` shows it so, what it leads to if that is a directory and not the name
/// itself is asked for.
fn start<'t>(tree: &'t Tree, path: &[u8], itself: bool) -> Result<Node<'t>> {
    let led = tree.resolve(path);
    match &led {
        Ok(node) if node.kind() == Kind::Directory && !itself => led,
        _ => {
            // The last symlink is not followed to a file; nor does it matter whether there is one.
            let name_at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            let (parent, name) = path.split_at(name_at);
            let own = tree.resolve(if parent.is_empty() { b"/" } else { parent }).ok();
            own.and_then(|parent| parent.child(name)).map_or(led, Ok)
        }
    }
}

/// A directory and all that lies below it, sorted.
fn descend(directory: Node<'_>) -> Vec<Node<'_>> {
    let mut all = Vec::new();
    let mut open = vec![directory];
    while let Some(node) = open.pop() {
        all.push(node);
        open.extend(node.children().rev());
    }
    all
}

fn absolute(node: Node<'_>) -> Vec<u8> {
    [b"/", &node.path()[..]].concat()
}

struct List<'l> {
    arguments: &'l LsArgs,
    looked: &'l Looked,
    links: Links,
    output: Gathered,
}

impl List<'_> {
    /// Lists nodes under these names.
    fn rows(&mut self, rows: &[(Vec<u8>, Node<'_>)]) -> Result<()> {
        if self.arguments.json {
            for (_, node) in rows {
                self.output.json(&look::node_json(*node, &self.links, &self.looked.image))?;
            }
            return Ok(());
        }
        if self.arguments.null {
            for (name, _) in rows {
                self.output.push(name)?;
                self.output.push(b"\0")?;
            }
            return Ok(());
        }
        if !self.arguments.long {
            for (name, _) in rows {
                self.output.line(&Name(name).to_string())?;
            }
            return Ok(());
        }
        let cells: Vec<[String; 6]> = rows.iter().map(|(_, node)| self.cells(*node)).collect();
        let mut widths = [0; 6];
        for row in &cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.len());
            }
        }
        let [_, links, uid, gid, size, time] = widths;
        for ((name, node), row) in rows.iter().zip(&cells) {
            let mut line = format!(
                "{} {:>links$} {:>uid$} {:>gid$} {:>size$} {:>time$} {}",
                row[0],
                row[1],
                row[2],
                row[3],
                row[4],
                row[5],
                Name(name)
            );
            if node.kind() == Kind::Symlink {
                line = format!("{line} -> {}", Name(node.link()));
            }
            self.output.line(&line)?;
        }
        Ok(())
    }

    fn cells(&self, node: Node<'_>) -> [String; 6] {
        let metadata = node.metadata();
        let size = match node.kind() {
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                format!("{major},{minor}")
            }
            _ if self.arguments.human => Bytes(node.size()).to_string(),
            _ => node.size().to_string(),
        };
        [
            mode_text(node.kind(), metadata.mode),
            self.links.count(node).to_string(),
            metadata.uid.to_string(),
            metadata.gid.to_string(),
            size,
            wharfie_core::merge::mtime_text(Mtime { nanos: 0, ..metadata.mtime }),
        ]
    }
}
