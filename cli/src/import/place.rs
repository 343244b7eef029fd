//! Where a path leads, as far as it is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use wharfie_core::error::{ErrorKind, Result};

use super::Source;

/// A path without links and detours; what is not there yet is taken as it is called.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (fs::canonicalize(there), path.strip_prefix(there)) {
            let mut real = real;
            for part in rest.components() {
                match part {
                    std::path::Component::ParentDir => drop(real.pop()),
                    part => real.push(part),
                }
            }
            return real;
        }
    }
    path
}

/// Refuses targets that are a source or lie in one: who removes the source removes the target, and what is written there
/// changes what is read.
///
/// # Errors
/// `invalid_option`.
pub(super) fn apart<'p>(
    sources: impl IntoIterator<Item = &'p Source>,
    targets: impl IntoIterator<Item = &'p Path>,
) -> Result<()> {
    let sources: BTreeSet<PathBuf> = sources.into_iter().filter_map(Source::path).map(real).collect();
    for target in targets {
        let real = real(target);
        let Some(source) = real.ancestors().find(|above| sources.contains(*above)) else { continue };
        let (shown, source_shown) = (target.display(), source.display());
        let reason = if real == source {
            format!("{shown} is both where images come from ({source_shown}) and where they go")
        } else {
            format!("{shown}, where images go, lies in {source_shown}, where they come from")
        };
        return Err(ErrorKind::InvalidOption { reason }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_detours_lead_where_they_lead() {
        let home = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(home.path()).unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        assert_eq!(real(&root.join("a/b/../b/new/./deep")), root.join("a/b/new/deep"));
        assert_eq!(real(&root.join("new/../a")), root.join("a"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("a", root.join("link")).unwrap();
            assert_eq!(real(&root.join("link/b/new")), root.join("a/b/new"));
        }
    }
}
