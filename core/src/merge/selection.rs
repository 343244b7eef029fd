//! Which paths of a merged tree are wanted.

use alloc::vec::Vec;

use super::pattern::{Choice, Pattern, Progress};
use super::tree::Tree;
use crate::tar::Kind;

/// Which paths of a merged tree are wanted; by default all.
///
/// It is applied to what the layers show together, after L1 to L13, so nothing that is left out changes what anything
/// else is: a hard link whose other names are left out still has the data (L14).
///
/// - What a pattern of `exclude` matches is left out, with all that lies below it.
/// - Where `include` has patterns, only what one of them matches is wanted, with all that lies below it; the directories
///   that lead there come along, with their own metadata.
/// - `exclude` wins. The root is never left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// What is wanted; everything if there are none.
    pub include: Vec<Pattern>,
    /// What is not wanted, though it be included.
    pub exclude: Vec<Pattern>,
}

/// A pattern that matched nothing: most likely it is not what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unmatched {
    /// The field of [`Selection`] that it is of: `include` or `exclude`.
    pub option: &'static str,
    /// It.
    pub pattern: Pattern,
}

impl Selection {
    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Which paths of a tree are wanted, by their numbers, and the patterns that matched none.
    pub(super) fn apply(&self, tree: &Tree) -> (Vec<bool>, Vec<Unmatched>) {
        // The choices of all patterns, each with the number of its pattern.
        let choices: Vec<(usize, &Choice)> = self
            .include
            .iter()
            .chain(&self.exclude)
            .enumerate()
            .flat_map(|(pattern, own)| own.choices().iter().map(move |choice| (pattern, choice)))
            .collect();
        let mut met = alloc::vec![false; self.include.len() + self.exclude.len()];
        let mut wanted = alloc::vec![false; tree.len()];
        // The directories from the root to the current path, and what each choice has matched so far at each of them.
        let mut above: Vec<Above> = Vec::new();
        let mut progress: Vec<Progress> = Vec::new();
        for node in tree.iter() {
            let Some(parent) = node.parent() else {
                above.push(Above { id: node.id().0, included: self.include.is_empty(), excluded: false });
                progress.extend(choices.iter().map(|(_, choice)| choice.start()));
                if let Some(root) = wanted.first_mut() {
                    *root = true;
                }
                continue;
            };
            let depth = above.iter().rposition(|above| above.id == parent.id().0).unwrap_or(0) + 1;
            above.truncate(depth);
            progress.truncate(depth * choices.len());
            let Some(Above { mut included, mut excluded, .. }) = above.last().copied() else { break };
            let is_directory = node.kind() == Kind::Directory;
            let name = node.name();
            let from = progress.len().saturating_sub(choices.len());
            for (at, (pattern, choice)) in choices.iter().enumerate() {
                let before = progress.get(from + at).copied().unwrap_or(0);
                let next = if before == 0 { 0 } else { choice.step(before, name) };
                progress.push(next);
                if choice.is_met(next, is_directory) {
                    if let Some(met) = met.get_mut(*pattern) {
                        *met = true;
                    }
                    if *pattern < self.include.len() {
                        included = true;
                    } else {
                        excluded = true;
                    }
                }
            }
            let id = node.id().0;
            above.push(Above { id, included, excluded });
            if let Some(wanted) = wanted.get_mut(id as usize) {
                *wanted = included && !excluded;
            }
        }
        // The way there.
        for id in (0..tree.len()).rev() {
            if wanted.get(id) == Some(&true)
                && let Some(node) = u32::try_from(id).ok().and_then(|id| tree.packed(id))
                && let Some(parent) = wanted.get_mut(node.parent as usize)
            {
                *parent = true;
            }
        }
        let option = |pattern| if pattern < self.include.len() { "include" } else { "exclude" };
        let unmatched = (self.include.iter().chain(&self.exclude).enumerate())
            .zip(met)
            .filter(|(_, met)| !met)
            .map(|((at, pattern), _)| Unmatched { option: option(at), pattern: pattern.clone() })
            .collect();
        (wanted, unmatched)
    }
}

/// A directory above the current path.
#[derive(Clone, Copy)]
struct Above {
    id: u32,
    /// It or one above it is.
    included: bool,
    excluded: bool,
}
