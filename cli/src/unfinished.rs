//! The outputs that have no name of their own yet, so that they are removed as well where nothing is dropped.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

/// This process's.
static UNFINISHED: Unfinished = Unfinished(Mutex::new(BTreeSet::new()));

/// Removes the temporary file of every output and the temporary directory of every unpacking that runs in this process. No
/// other can begin, and none of those can go on, so this is the last that is done before the process ends.
pub fn remove_unfinished() {
    std::mem::forget(UNFINISHED.remove());
}

/// How many files have been removed since the process began: who waits sees by it whether it goes on.
pub(crate) fn removed() -> u64 {
    REMOVED.load(Ordering::Relaxed)
}

/// One more.
#[cfg(target_os = "linux")]
pub(crate) fn one_removed() {
    REMOVED.fetch_add(1, Ordering::Relaxed);
}

static REMOVED: AtomicU64 = AtomicU64::new(0);

struct Unfinished(Mutex<BTreeSet<PathBuf>>);

impl Unfinished {
    fn paths(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter<T>(
        &'static self,
        make: impl FnOnce() -> io::Result<T>,
        path: impl FnOnce(&T) -> PathBuf,
    ) -> io::Result<(T, Entered)> {
        // Held while it is made: there is no moment at which it is there and not in the list.
        let mut paths = self.paths();
        let made = make()?;
        let path = path(&made);
        paths.insert(path.clone());
        Ok((made, Entered { list: self, path }))
    }

    /// Until what it gives is dropped, nothing is entered.
    fn remove(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        let mut paths = self.paths();
        for path in std::mem::take(&mut *paths) {
            // It may have got its name, or be gone, since.
            remove(&path);
        }
        paths
    }
}

/// The place of a temporary file or directory in the list, until this is dropped.
pub(crate) struct Entered {
    list: &'static Unfinished,
    path: PathBuf,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.list.paths().remove(&self.path);
    }
}

impl Entered {
    /// Does what must not be cut in two: [`remove_unfinished`] comes before it or after it.
    #[cfg(target_os = "linux")]
    pub(crate) fn hold<T>(&self, act: impl FnOnce() -> T) -> T {
        let _paths = self.list.paths();
        act()
    }
}

/// Makes a temporary file that [`remove_unfinished`] knows of.
pub(crate) fn enter(
    make: impl FnOnce() -> io::Result<NamedTempFile>,
) -> io::Result<(NamedTempFile, Entered)> {
    UNFINISHED.enter(make, |file| file.path().to_owned())
}

/// Makes a temporary directory with this absolute path that [`remove_unfinished`] knows of.
#[cfg(target_os = "linux")]
pub(crate) fn enter_directory<T>(
    path: PathBuf,
    make: impl FnOnce() -> io::Result<T>,
) -> io::Result<(T, Entered)> {
    UNFINISHED.enter(make, |_| path)
}

fn remove(path: &Path) {
    #[cfg(target_os = "linux")]
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        crate::unpack::remove(path);
        return;
    }
    let _ = fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unfinished_is_removed_and_nothing_else() {
        // Not this process's own: other tests run beside this one.
        static LIST: Unfinished = Unfinished(Mutex::new(BTreeSet::new()));
        let dir = tempfile::tempdir().unwrap();
        let enter =
            || LIST.enter(|| NamedTempFile::new_in(dir.path()), |file| file.path().to_owned()).unwrap();
        let names = || fs::read_dir(dir.path()).unwrap().count();
        let (running, _entered) = enter();
        let (done, entered) = enter();
        done.persist(dir.path().join("done")).unwrap();
        drop(entered);
        // Named already, and still in the list.
        let (named, _late) = enter();
        named.persist(dir.path().join("named")).unwrap();
        drop(enter());
        assert_eq!(names(), 3);
        drop(LIST.remove());
        assert!(
            !running.path().exists() && dir.path().join("done").exists() && dir.path().join("named").exists()
        );
        assert_eq!((names(), LIST.paths().len()), (2, 0));
        assert!(LIST.enter(|| Err::<(), _>(io::ErrorKind::StorageFull.into()), |()| PathBuf::new()).is_err());
        assert_eq!(LIST.paths().len(), 0);
    }
}
