//! An image's root by GNU tar, layer by layer, with the whiteouts applied by hand: slow, and nothing to doubt.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use testbed::tools;

/// Puts the layers (blobs, lowest first) into the empty folder `root`.
///
/// It is a simple soul: a hard link to what its own layer whites out is beyond it, and so are parents that are
/// symbolic links; the fixtures have neither.
pub(crate) fn unpack(layers: &[PathBuf], root: &Path) {
    for blob in layers {
        let layer = Layer::read(blob);
        let times = folder_times(root);
        layer.clear(root);
        let mut tar = tools::command("tar");
        tar.args(["-xp", "--same-owner", "--numeric-owner", "--xattrs", "--xattrs-include=*"]);
        tar.args(["--exclude=.wh.*", "-C"]).arg(root);
        let mut unpacked = unpacker(blob).spawn().unwrap();
        let output = tar.stdin(unpacked.stdout.take().unwrap()).output().unwrap();
        assert!(unpacked.wait().unwrap().success());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // What stands in a folder does not change its time, where the layer does not say so.
        for (path, time) in times {
            let folder = fs::symlink_metadata(root.join(&path)).is_ok_and(|meta| meta.is_dir());
            if folder && !layer.names.contains_key(&path) {
                let times = FileTimes::new().set_modified(time);
                File::open(root.join(&path)).unwrap().set_times(times).unwrap();
            }
        }
    }
}

/// What writes the layer's tar to its standard output.
fn unpacker(blob: &Path) -> Command {
    let mut command = tools::command("gzip");
    command.arg("-dc").arg(blob).stdout(Stdio::piped());
    command
}

/// What a layer does, by its names.
struct Layer {
    /// What it brings; whether it is a folder.
    names: BTreeMap<PathBuf, bool>,
    whiteouts: BTreeSet<PathBuf>,
    /// Folders whose lower children it hides.
    opaque: BTreeSet<PathBuf>,
}

impl Layer {
    fn read(blob: &Path) -> Self {
        let mut child = unpacker(blob).spawn().unwrap();
        let mut archive = tar::Archive::new(child.stdout.take().unwrap());
        let mut layer = Self { names: BTreeMap::new(), whiteouts: BTreeSet::new(), opaque: BTreeSet::new() };
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let path = plain(Path::new(OsStr::from_bytes(&entry.path_bytes())));
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
                layer.names.insert(path, true);
                continue;
            };
            if name == ".wh..wh..opq" {
                layer.opaque.insert(folder.to_path_buf());
            } else if let Some(name) = name.as_bytes().strip_prefix(b".wh.") {
                layer.whiteouts.insert(folder.join(OsStr::from_bytes(name)));
            } else {
                layer.names.insert(path, entry.header().entry_type().is_dir());
            }
        }
        drop(archive);
        assert!(child.wait().unwrap().success());
        layer
    }

    /// Takes away what it hides or replaces by another kind.
    fn clear(&self, root: &Path) {
        for path in &self.whiteouts {
            if below_folders(root, path) {
                remove(&root.join(path));
            }
        }
        for path in &self.opaque {
            if below_folders(root, &path.join("any")) {
                for child in fs::read_dir(root.join(path)).unwrap() {
                    remove(&child.unwrap().path());
                }
            }
        }
        for (path, folder) in &self.names {
            let there = root.join(path);
            if below_folders(root, path)
                && fs::symlink_metadata(&there).is_ok_and(|meta| meta.is_dir() != *folder)
            {
                remove(&there);
            }
        }
    }
}

fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

/// Whether every parent of `path` is a real folder.
fn below_folders(root: &Path, path: &Path) -> bool {
    let mut parents = path.ancestors().skip(1);
    parents.all(|parent| fs::symlink_metadata(root.join(parent)).is_ok_and(|meta| meta.is_dir()))
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// The time of every folder, the root's too.
fn folder_times(root: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut found = Vec::new();
    let mut queue = vec![PathBuf::new()];
    while let Some(path) = queue.pop() {
        let there = root.join(&path);
        found.push((path.clone(), fs::metadata(&there).unwrap().modified().unwrap()));
        for child in fs::read_dir(there).unwrap() {
            let child = child.unwrap();
            if child.file_type().unwrap().is_dir() {
                queue.push(path.join(child.file_name()));
            }
        }
    }
    found
}
