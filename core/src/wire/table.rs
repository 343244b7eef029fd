//! The merged tree in rows, packed: no object per entry crosses a language boundary.

use alloc::vec::Vec;

use crate::merge::{Node, NodeId, Pattern, Tree};
use crate::tar::Kind;

/// Bytes of one row.
pub const ROW_BYTES: usize = 64;
/// Bytes before the first row.
const HEAD: usize = 16;
/// The cursor behind the last row.
const END: u32 = u32::MAX;
/// Paths that one table looks at: a pattern that matches little must not make one call walk through everything.
const LOOKED_AT: usize = 65_536;

/// Rows of a tree in canonical order, from a cursor on (0 at first), `most` of them at most; only those that match
/// `pattern`, if there is one. There may be none, and more behind the cursor. All numbers are little-endian:
///
/// | bytes | what |
/// |---|---|
/// | 0 | `u32` how many rows |
/// | 4 | `u32` the cursor for the next table; `0xFFFF_FFFF` if there is none |
/// | 8 | `u32` bytes of a row: 64 |
/// | 12 | `u32` where the text begins |
///
/// and each row:
///
/// | bytes | what |
/// |---|---|
/// | 0 | `u32` its number in the tree; the root's is 0 |
/// | 4 | `u32` its directory's number |
/// | 8 | `u32` its inode: equal for two paths that are names of one file, `0xFFFF_FFFF` for what no layer has an entry for |
/// | 12 | `u16` the layer that its content and metadata are of, counted from 0 at the bottom; `0xFFFF` if there is none |
/// | 14 | `u8` kind: 0 file, 1 directory, 2 symlink, 3 character device, 4 block device, 5 FIFO |
/// | 15 | `u8` bits: 1 has extended attributes, 2 no layer has an entry for it, 4 its name is of another layer than its content |
/// | 16 | `u32` mode (07777) |
/// | 20 | `u32` uid |
/// | 24 | `u32` gid |
/// | 28 | `u32` nanoseconds of the mtime |
/// | 32 | `i64` seconds of the mtime |
/// | 40 | `u64` bytes of content, 0 for what has none; of a device its numbers, `major << 32 \| minor` |
/// | 48 | `u32` where its path begins in the text, `u32` its length; without a slash at the front, bytes as they are (L1) |
/// | 56 | `u32` where a symlink's text begins in the text, `u32` its length |
pub fn table(tree: &Tree, from: u32, most: usize, pattern: Option<&Pattern>) -> Vec<u8> {
    let mut rows = Vec::new();
    let mut text = Vec::new();
    let mut next = END;
    let mut count = 0_u32;
    let start = tree.node(NodeId(from));
    for (looked, node) in core::iter::successors(start, |node| node.after()).enumerate() {
        if count as usize >= most || looked >= LOOKED_AT {
            next = node.id().0;
            break;
        }
        let path = node.path();
        if pattern.is_some_and(|pattern| !pattern.matches(&path, node.kind() == Kind::Directory)) {
            continue;
        }
        count += 1;
        row(node, &path, &mut rows, &mut text);
    }
    let mut table = Vec::with_capacity(HEAD + rows.len() + text.len());
    let text_at = number(HEAD + rows.len());
    for head in [count, next, ROW_BYTES as u32, text_at] {
        table.extend_from_slice(&head.to_le_bytes());
    }
    table.extend_from_slice(&rows);
    table.extend_from_slice(&text);
    table
}

fn row(node: Node<'_>, path: &[u8], rows: &mut Vec<u8>, text: &mut Vec<u8>) {
    let metadata = node.metadata();
    let (kind, size) = match node.kind() {
        Kind::File | Kind::HardLink => (0, node.size()),
        Kind::Directory => (1, 0),
        Kind::Symlink => (2, 0),
        Kind::CharDevice { major, minor } => (3, u64::from(major) << 32 | u64::from(minor)),
        Kind::BlockDevice { major, minor } => (4, u64::from(major) << 32 | u64::from(minor)),
        Kind::Fifo => (5, 0),
    };
    let (origin, inode) = (node.origin(), node.inode());
    let mut bits = 0_u8;
    if !metadata.xattrs.is_empty() {
        bits |= 1;
    }
    if inode.is_none() {
        bits |= 2;
    }
    if let (Some(origin), Some(inode)) = (origin, inode)
        && origin.layer != inode.layer
    {
        bits |= 4;
    }
    let parent = node.parent().map_or(0, |parent| parent.id().0);
    let layer = inode.map_or(u16::MAX, |inode| u16::try_from(inode.layer).unwrap_or(u16::MAX));
    let link = node.link();
    rows.extend_from_slice(&node.id().0.to_le_bytes());
    rows.extend_from_slice(&parent.to_le_bytes());
    rows.extend_from_slice(&node.inode_number().to_le_bytes());
    rows.extend_from_slice(&layer.to_le_bytes());
    rows.extend_from_slice(&[kind, bits]);
    for word in [metadata.mode & 0o7777, metadata.uid, metadata.gid, metadata.mtime.nanos] {
        rows.extend_from_slice(&word.to_le_bytes());
    }
    rows.extend_from_slice(&metadata.mtime.seconds.to_le_bytes());
    rows.extend_from_slice(&size.to_le_bytes());
    for bytes in [path, link] {
        rows.extend_from_slice(&number(text.len()).to_le_bytes());
        rows.extend_from_slice(&number(bytes.len()).to_le_bytes());
        text.extend_from_slice(bytes);
    }
}

fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
