//! File systems that nobody has used before. Creating files where a similar tree was deleted a moment ago can take ten
//! times as long: on one file system all unpackers look alike.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use testbed::tools;

/// What a run writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// ext4 in a file in memory.
    Ext4,
    /// A tmpfs.
    Tmpfs,
    /// A new folder, where nothing can be mounted.
    Folder,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Tmpfs => "tmpfs",
            Self::Folder => "folder",
        }
    }
}

/// Set in the process that has a mount namespace of its own.
const INSIDE: &str = "WHARFIE_BENCH_NAMESPACE";

/// Where root, goes on in a mount namespace of its own, so that nothing stays mounted however this ends. Returns where
/// that cannot be had.
pub(super) fn namespace() {
    if !tools::is_root() || std::env::var_os(INSIDE).is_some() || tools::which("unshare").is_none() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let error = tools::command("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    eprintln!("unshare: {error}");
}

/// The place where fresh file systems are made: a tmpfs, or a folder.
pub(super) struct Ground {
    folder: TempDir,
    mounts: bool,
}

impl Ground {
    /// `below` is the folder used where nothing can be mounted.
    pub(super) fn new(below: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(below).expect("a folder");
        let mounts = std::env::var_os(INSIDE).is_some()
            && tools::have("fresh file systems", &["mount", "umount", "mkfs.ext4"])
            && mount(&["-t", "tmpfs", "-o", "size=90%,mode=755", "tmpfs"], folder.path());
        if !mounts {
            tools::skip("fresh file systems", "nothing can be mounted here: all write below one folder");
        }
        Self { folder, mounts }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What there is of these kinds, each once.
    pub(super) fn kinds(&self, wanted: &[Kind]) -> Vec<Kind> {
        if self.mounts { wanted.to_vec() } else { vec![Kind::Folder] }
    }

    pub(super) fn fresh(&self, kind: Kind) -> Disk {
        let path = self.path().join("disk");
        std::fs::create_dir_all(&path).expect("a folder");
        let mut disk = Disk { path, backing: None, mounted: kind != Kind::Folder };
        match kind {
            Kind::Folder => {}
            Kind::Tmpfs => {
                assert!(mount(&["-t", "tmpfs", "-o", "size=90%,mode=755", "tmpfs"], &disk.path));
            }
            Kind::Ext4 => {
                let file = self.path().join("ext4");
                let backing = std::fs::File::create(&file).expect("a file");
                backing.set_len(16 << 30).expect("a file with nothing in it yet");
                tools::run(tools::command("mkfs.ext4").arg("-qF").arg(&file));
                let device = file.display().to_string();
                disk.backing = Some(file);
                assert!(mount(&["-o", "loop,noinit_itable", &device], &disk.path), "no loop mounts here");
            }
        }
        disk
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.mounts {
            drop(tools::command("umount").arg("-R").arg(self.path()).status());
        }
    }
}

fn mount(words: &[&str], path: &Path) -> bool {
    tools::command("mount").args(words).arg(path).status().is_ok_and(|status| status.success())
}

/// A fresh file system; gone with all that is in it when dropped.
pub(super) struct Disk {
    path: PathBuf,
    backing: Option<PathBuf>,
    mounted: bool,
}

impl Disk {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmount = |how: &str| {
            let mut command: Command = tools::command("umount");
            command.arg(how).arg(&self.path).status().is_ok_and(|status| status.success())
        };
        if self.mounted && !unmount("-R") {
            // Somebody is still there: at least nothing new is made on it.
            unmount("-l");
        }
        drop(std::fs::remove_dir_all(&self.path));
        if let Some(file) = &self.backing {
            drop(std::fs::remove_file(file));
        }
    }
}
