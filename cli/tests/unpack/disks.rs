//! Real file systems, each in a file (L28): those that hold all there is, and those that do not. What the kernel here does
//! not mount is served by FUSE where there is a program for it, and said where not.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use testbed::tools;
use testbed::tree::{self, Entry, Tree};
use wharfie_core::merge::{Lack, Lacks, OnUnsupported};
use wharfie_core::tar::Kind;

use super::corpus::corpus;
use super::held::{self, Held};
use super::stack::{Item, Shown, View, tar};
use super::stacks::{As, Quay, blobs, run, with_root};
use super::{UnpackOptions, rich, unpack};

/// How one kind of file system is made and mounted.
pub(crate) struct Sort {
    pub(crate) name: &'static str,
    mkfs: &'static [&'static str],
    megabytes: u64,
    /// Options of `mount`, which knows the kind by itself; then programs of FUSE, tried in this order.
    options: &'static str,
    fuse: &'static [Fuse],
}

struct Fuse {
    /// Words before the image and the mount point.
    words: &'static [&'static str],
    /// Words behind them.
    behind: &'static [&'static str],
    /// Whether it wants a block device in place of a file.
    device: bool,
}

pub(crate) const EXT4: Sort =
    Sort { name: "ext4", mkfs: &["mkfs.ext4", "-q", "-F"], megabytes: 64, options: "loop", fuse: &[] };
pub(crate) const EXT4_SMALL: Sort =
    Sort { name: "ext4 with small inodes", mkfs: &["mkfs.ext4", "-q", "-F", "-I", "128"], ..EXT4 };
const EXT4_FOLDING: Sort =
    Sort { name: "ext4 with casefold", mkfs: &["mkfs.ext4", "-q", "-F", "-O", "casefold"], ..EXT4 };
const XFS: Sort =
    Sort { name: "xfs", mkfs: &["mkfs.xfs", "-q", "-f"], megabytes: 320, options: "loop", fuse: &[] };
const BTRFS: Sort =
    Sort { name: "btrfs", mkfs: &["mkfs.btrfs", "-q", "-f"], megabytes: 160, options: "loop", fuse: &[] };
const F2FS: Sort =
    Sort { name: "f2fs", mkfs: &["mkfs.f2fs", "-q", "-f"], megabytes: 128, options: "loop", fuse: &[] };
const VFAT: Sort =
    Sort { name: "vfat", mkfs: &["mkfs.vfat"], megabytes: 64, options: "loop,iocharset=utf8", fuse: &[] };
const EXFAT: Sort = Sort {
    name: "exfat",
    mkfs: &["mkfs.exfat"],
    megabytes: 64,
    options: "loop",
    fuse: &[Fuse { words: &["mount.exfat-fuse"], behind: &[], device: true }],
};
pub(crate) const NTFS: Sort = Sort {
    name: "ntfs that ignores case",
    mkfs: &["mkntfs", "-q", "-F", "-Q"],
    megabytes: 32,
    options: "loop,nocase,windows_names",
    fuse: &[Fuse { words: &["lowntfs-3g"], behind: &["-o", "ignore_case,windows_names"], device: false }],
};

/// One, mounted.
pub(crate) struct Disk {
    dir: TempDir,
    device: Option<String>,
}

impl Disk {
    /// Says what was tried where it cannot be had.
    pub(crate) fn mount(what: &str, sort: &Sort) -> Option<Disk> {
        let what = format!("{what}, {}", sort.name);
        if !tools::root(&what) || !tools::have(&what, &[sort.mkfs[0], "mount", "umount"]) {
            return None;
        }
        let mut disk = Disk { dir: tempfile::tempdir().unwrap(), device: None };
        let (image, at) = (disk.dir.path().join("image"), disk.path());
        fs::File::create(&image).unwrap().set_len(sort.megabytes << 20).unwrap();
        fs::create_dir(&at).unwrap();
        let quiet = |command: &mut Command| {
            let output = command.stdin(Stdio::null()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            (output.status.success(), said.lines().next().unwrap_or_default().to_owned())
        };
        tools::run(tools::command(sort.mkfs[0]).args(&sort.mkfs[1..]).arg(&image));
        let kernel = quiet(tools::command("mount").args(["-i", "-o", sort.options]).arg(&image).arg(&at));
        let mut tried = vec![format!("mount -o {}: {}", sort.options, kernel.1)];
        if kernel.0 {
            return Some(disk);
        }
        for fuse in sort.fuse {
            let program = fuse.words[0];
            if tools::which(program).is_none() {
                tried.push(format!("{program}: not installed"));
                continue;
            }
            let mut source = image.display().to_string();
            if fuse.device {
                let found = tools::command("losetup").args(["-f", "--show"]).arg(&image).output().unwrap();
                source = String::from_utf8_lossy(&found.stdout).trim().to_owned();
                disk.device = Some(source.clone());
            }
            let mut command = tools::command(program);
            command.args(&fuse.words[1..]).arg(&source).arg(&at).args(fuse.behind);
            // Its server lives on and keeps what it was given: it gets no pipes.
            let mounted = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
            if mounted.is_ok_and(|status| status.success()) {
                return Some(disk);
            }
            tried.push(format!("{program}: refused"));
        }
        tools::skip(&what, &format!("cannot be mounted here ({})", tried.join("; ")));
        None
    }

    /// The mount point.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("at")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = tools::command("umount").arg("-l").arg(self.path()).stderr(Stdio::null()).status();
        if let Some(device) = &self.device {
            let _ = tools::command("losetup").arg("-d").arg(device).status();
        }
    }
}

/// Whether this process runs the named test only. Elsewhere a process is made that does, and judged.
///
/// Drivers in user space give the number of a removed directory to the next one. While anybody holds the old one open
/// the kernel takes the new one for removed as well, and makes nothing in it (`ENOENT`): a process that another test is
/// just forking is enough.
pub(crate) fn alone(test: &str) -> bool {
    const ALONE: &str = "WHARFIE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let status = command.args([test, "--exact", "--nocapture"]).env(ALONE, "1").status().unwrap();
    assert!(status.success(), "{test}, in a process of its own");
    false
}

/// One that folds case, and the directory on it that does.
fn folding(what: &str) -> Vec<(&'static str, Disk, PathBuf)> {
    let mut disks = Vec::new();
    for sort in [&EXT4_FOLDING, &VFAT, &EXFAT, &NTFS] {
        let Some(disk) = Disk::mount(what, sort) else { continue };
        let folder = disk.path().join("folded");
        fs::create_dir(&folder).unwrap();
        if sort.name == EXT4_FOLDING.name {
            tools::run(tools::command("chattr").arg("+F").arg(&folder));
        }
        disks.push((sort.name, disk, folder));
    }
    disks
}

#[test]
fn file_systems_that_hold_all_hold_all() {
    let what = "all that a directory can hold";
    for sort in [&EXT4, &XFS, &BTRFS, &F2FS] {
        let Some(disk) = Disk::mount(what, sort) else { continue };
        holds_all(sort.name, &disk.path());
    }
    let Some(disk) = overlay(what) else { return };
    holds_all("overlay", &disk.path());
}

fn holds_all(name: &str, folder: &Path) {
    println!("{name}");
    let quay = Quay::below(folder);
    let tars = rich();
    let expected = super::flattened(&tars, &super::Options::default()).unwrap();
    for jobs in [1, 3] {
        let report = quay.scene.unpack(&tars, |options| options.jobs = jobs.try_into().ok()).unwrap();
        assert!(report.lacks.is_empty(), "{name}: {:?}", report.lacks);
        let found = super::on_disk(&quay.scene.root(), &expected);
        tree::assert_same((name, &found), ("the tar", &expected));
        quay.clear();
    }
    for case in corpus() {
        let view = case.view().unwrap_or_default();
        // How far times go is each file system's own.
        let far = Held::of(&view, None).lacks.contains_key(&Lack::Mtime);
        let null = |shown: &Shown| shown.kind == Kind::CharDevice { major: 0, minor: 0 };
        if name == "overlay" && view.values().any(null) {
            whiteouts_are_no_devices(&quay, &view);
        } else if case.error.is_none() && !far {
            println!("{name}: {}: {}", case.about, case.name);
            run(&quay, &case, As::Root);
        }
    }
}

/// What overlay takes for a whiteout it lets nobody make.
fn whiteouts_are_no_devices(quay: &Quay, view: &View) {
    let is = |shown: &&Shown| shown.kind == Kind::CharDevice { major: 0, minor: 0 };
    let item = |(path, shown): (&Vec<u8>, &Shown)| {
        let Shown { kind, metadata, .. } = shown.clone();
        Item { path: path.clone(), kind, link: Vec::new(), metadata, data: Vec::new() }
    };
    let items: Vec<Item> = view.iter().filter(|(_, shown)| is(shown)).map(item).collect();
    let tars = vec![tar(&items)];
    let error = quay.scene.unpack(&tars, |_| {}).unwrap_err();
    assert_eq!(error.code(), "unsupported_by_target", "{error}");
    quay.untouched();
    let report = quay.scene.unpack(&tars, |options| options.on_unsupported = OnUnsupported::Skip).unwrap();
    assert_eq!(report.lacks.count(Lack::Device), items.len() as u64);
    quay.clear();
}

/// An overlay mount over a file system of its own.
fn overlay(what: &str) -> Option<Disk> {
    let what = format!("{what}, overlay");
    if !tools::root(&what) {
        return None;
    }
    let disk = Disk { dir: tempfile::tempdir().unwrap(), device: None };
    let below = |name: &str| disk.dir.path().join(name).display().to_string();
    for name in ["lower", "upper", "work", "at"] {
        fs::create_dir(below(name)).unwrap();
    }
    let options =
        format!("lowerdir={},upperdir={},workdir={}", below("lower"), below("upper"), below("work"));
    let mut mount = tools::command("mount");
    mount.args(["-t", "overlay", "overlay", "-o"]).arg(&options).arg(disk.path());
    if mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Some(disk);
    }
    tools::skip(&what, "mount -t overlay is refused on the folder of temporary files");
    None
}

/// Whatever a file system cannot hold is an error before anything is written, or in the report: nothing is lost in silence.
#[test]
fn file_systems_that_fold_case_lose_nothing_in_silence() {
    if !alone("disks::file_systems_that_fold_case_lose_nothing_in_silence") {
        return;
    }
    let disks = folding("stacks on a file system that folds case");
    let corpus = corpus();
    for (name, _disk, folder) in &disks {
        println!("{name}");
        let quay = Quay::below(folder);
        for case in corpus.iter().filter(|case| case.error.is_none()) {
            // Elsewhere it is the rule that matters, and any two of them do.
            let fits = ["L15", "L16", "L17", "L28"].contains(&&case.about[..]) || case.name.len() % 7 == 0;
            let Some(view) = with_root(&case.view().unwrap(), &case.chosen()) else { continue };
            if !fits {
                continue;
            }
            let what = format!("{name}: {}: {}", case.about, case.name);
            println!("{what}");
            let (blobs, diff_ids) = blobs(case);
            let image = quay.image(&blobs, diff_ids);
            let expected = held::whole(&view);
            let [fails, skips, renames] = [OnUnsupported::Fail, OnUnsupported::Skip, OnUnsupported::Rename]
                .map(|policy| {
                    let mut options = UnpackOptions::default();
                    options.temp_dir = Some(std::env::temp_dir());
                    options.merge = case.options();
                    options.on_unsupported = policy;
                    let mut result = unpack(&image, &options, &quay.scene.root(), &());
                    // A server of FUSE that is behind with what was closed a moment ago says that things are not there.
                    for _ in 0..20 {
                        if result.as_ref().is_err_and(|error| error.code() == "local_io") {
                            println!("{what}: once more: {:?}", result.map(drop));
                            std::thread::sleep(Duration::from_millis(50));
                            result = unpack(&image, &options, &quay.scene.root(), &());
                        }
                    }
                    quay.untouched();
                    let left = fs::read_dir(quay.scene.out()).unwrap().count();
                    let beside = quay.beside + usize::from(result.is_ok());
                    assert_eq!(left, beside, "{what}: nothing but the target");
                    result.map(|report| {
                        let mut found = tree::read_folder(&quay.scene.root()).unwrap();
                        ask(&quay.scene.root(), &mut found, &expected);
                        remove(&quay.scene.root());
                        (report.lacks, found)
                    })
                });
            let collide: usize = case.collide.iter().map(|group| group.len() - 1).sum();
            match fails {
                Ok((lacks, found)) => {
                    assert!(lacks.is_empty() && collide == 0, "{what}");
                    tree::assert_same((name, &found), ("the law", &expected));
                }
                Err(error) => {
                    assert_eq!(error.code(), "unsupported_by_target", "{what}: {error}");
                    let said = error.to_string().contains("names that collide");
                    assert!(said == (collide > 0) || *name == NTFS.name, "{what}: {error}");
                }
            }
            for (lacks, found) in [skips.unwrap(), renames.unwrap()] {
                let silent = unexplained(&expected, &found, &lacks);
                assert!(silent.is_empty(), "{what}: in silence: {silent:#?}");
            }
        }
    }
}

/// What was read a moment ago may be open to a server of FUSE still.
fn remove(folder: &Path) {
    let gone = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        fs::remove_dir_all(folder).is_ok()
    });
    assert!(gone, "{}", folder.display());
}

/// Adds attributes that are there and are not listed: not every server of FUSE lists what it keeps.
fn ask(root: &Path, found: &mut Tree, expected: &Tree) {
    for (path, entry) in found {
        for name in expected.get(path).into_iter().flat_map(|expected| expected.xattrs.keys()) {
            let mut value = vec![0; 4096];
            let at = root.join(OsStr::from_bytes(path));
            if let Ok(len) = rustix::fs::lgetxattr(&at, name.as_slice(), &mut value[..]) {
                value.truncate(len);
                entry.xattrs.insert(name.clone(), value);
            }
        }
    }
}

/// What differs on a disk and is not in the report.
fn unexplained(expected: &Tree, found: &Tree, lacks: &Lacks) -> Vec<String> {
    let mut told: BTreeMap<&[u8], Vec<Lack>> = BTreeMap::new();
    let mut renamed: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    for lacking in lacks.iter() {
        told.entry(&lacking.path).or_default().push(lacking.lack);
        let name = lacking.detail.as_deref().and_then(|detail| detail.strip_prefix(b"as "));
        if let Some(name) = name {
            renamed.insert(&lacking.path, name);
        }
    }
    // What is said of one name of a file is said of the file.
    let mut of_file: BTreeMap<&[u8], Vec<Lack>> = BTreeMap::new();
    for (path, entry) in expected {
        let first = entry.shares.as_ref().unwrap_or(path);
        of_file.entry(first).or_default().extend(told.get(&path[..]).into_iter().flatten());
    }
    let mut silent = Vec::new();
    let mut places: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    let mut seen = 0;
    for (path, entry) in expected {
        let at = path.iter().rposition(|byte| *byte == b'/');
        let (parent, own) = at.map_or((&b""[..], &path[..]), |at| (&path[..at], &path[at + 1..]));
        let parent = if path.is_empty() { Some(Vec::new()) } else { places[parent].clone() };
        let place = parent.map(|parent| {
            let name = renamed.get(&path[..]).copied().unwrap_or(own);
            if parent.is_empty() { name.to_vec() } else { [&parent[..], b"/", name].concat() }
        });
        let reasons = told.get(&path[..]).cloned().unwrap_or_default();
        let is = place.as_ref().and_then(|place| found.get(place));
        let gone = reasons.iter().any(|lack| {
            use Lack::{Collision, Device, Fifo, Name, Size, Symlink};
            [Collision, Name, Symlink, Fifo, Device, Size].contains(lack)
        });
        match (is, &place) {
            (Some(is), _) => {
                seen += 1;
                let first = entry.shares.as_ref().unwrap_or(path);
                silent.extend(
                    changed(entry, is, &of_file[&first[..]])
                        .map(|what| format!("{}: {what}: {entry:?} became {is:?}", path.escape_ascii())),
                );
            }
            (None, Some(_)) if !gone => silent.push(format!("{}: gone", path.escape_ascii())),
            _ => {}
        }
        places.insert(path.clone(), place.filter(|_| is.is_some()));
    }
    if seen != found.len() {
        silent.push(format!("{} paths that are none of it", found.len() - seen));
    }
    silent
}

/// What of an entry changed for no reason that is told.
fn changed(entry: &Entry, is: &Entry, told: &[Lack]) -> impl Iterator<Item = &'static str> + use<> {
    let shares = (&entry.shares, &is.shares);
    [
        ("kind", entry.kind == is.kind, Lack::Device),
        ("mode", entry.mode == is.mode || matches!(is.kind, tree::Kind::Symlink(_)), Lack::Mode),
        ("owner", (entry.uid, entry.gid) == (is.uid, is.gid), Lack::Owner),
        ("mtime", entry.mtime == is.mtime, Lack::Mtime),
        ("xattrs", entry.xattrs == is.xattrs, Lack::Xattr),
        // The first of the names may be gone, or be called otherwise.
        ("names", shares.0.is_some() == shares.1.is_some() || told.contains(&Lack::Name), Lack::HardLink),
    ]
    .into_iter()
    .filter(|(_, same, reason)| !same && !told.contains(reason))
    .map(|(what, ..)| what)
    .collect::<Vec<_>>()
    .into_iter()
}
