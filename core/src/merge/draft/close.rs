//! Directories that close before the bottom (L26).

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::Draft;
use super::ground::Shown;

impl Draft {
    /// The directories that nothing can follow below, now that a layer has ended: leaves first, each with the symlinks
    /// that come behind it.
    pub(super) fn close(&mut self) -> Option<()> {
        let mut closing: Vec<(Vec<u8>, Option<Vec<u8>>, Shown)> = Vec::new();
        for node in self.ground.take_closed() {
            let path = self.ground.path(node);
            let shown = self.ground.shown(node);
            closing.push(match shown {
                Shown::Late { .. } => {
                    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    (path.get(..slash).unwrap_or_default().to_vec(), Some(path), shown)
                }
                _ => (path, None, shown),
            });
        }
        closing.sort_unstable_by(|a, b| leaves_first(&a.0, &b.0).then_with(|| a.1.cmp(&b.1)));
        for (directory, symlink, shown) in closing {
            match shown {
                Shown::Directory { arrived, row, .. } => {
                    let arrived = (arrived as usize).checked_sub(1).map(|layer| (layer, row));
                    self.directory(&directory, arrived)?;
                }
                Shown::Late { layer, name, inode } => self.late(&symlink?, layer, name, inode)?,
                Shown::Nothing | Shown::File => return None,
            }
        }
        Some(())
    }
}

/// Sorted component by component as bytes, a directory behind all that lies below it.
fn leaves_first(a: &[u8], b: &[u8]) -> Ordering {
    let parts = |path| <[u8]>::split(path, |byte| *byte == b'/').filter(|name| !name.is_empty());
    let (mut a, mut b) = (parts(a), parts(b));
    loop {
        match (a.next(), b.next()) {
            (Some(x), Some(y)) if x == y => {}
            (Some(x), Some(y)) => return x.cmp(y),
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
        }
    }
}
