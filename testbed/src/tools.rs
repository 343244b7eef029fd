//! Programs of the machine, and loud skips where one is missing.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The environment variable that names the file where skips are written, one a line. `cargo xtask test` sets it
/// and shows them at the end: a test that could not run is never silent.
pub const SKIPS: &str = "WHARFIE_TEST_SKIPS";

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where large fixtures are kept between runs: `target/fixtures` of the workspace, or `WHARFIE_FIXTURES`.
pub fn fixtures() -> PathBuf {
    std::env::var_os("WHARFIE_FIXTURES").map_or_else(|| workspace().join("target/fixtures"), PathBuf::from)
}

/// Says that a test did not run, and why. The test returns after it.
pub fn skip(what: &str, why: &str) {
    eprintln!("SKIPPED {what}: {why}");
    if let Some(path) = std::env::var_os(SKIPS)
        && let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path)
    {
        drop(file.write_all(format!("{what}: {why}\n").as_bytes()));
    }
}

/// Whether every program is there; says [`skip`] for `what` when one is not.
pub fn have(what: &str, programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|name| which(name).is_none()).copied().collect();
    if !missing.is_empty() {
        skip(what, &format!("not installed: {}", missing.join(", ")));
    }
    missing.is_empty()
}

/// Whether this process is root; says [`skip`] for `what` when not.
pub fn root(what: &str) -> bool {
    let root = is_root();
    if !root {
        skip(what, "needs root");
    }
    root
}

/// Whether this process is root.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Whether overlay takes the folder of fixtures for its upper directories (it does not where that is an overlay
/// itself); says [`skip`] for `what` when not.
pub fn overlays(what: &str) -> bool {
    let probe = || -> std::io::Result<bool> {
        std::fs::create_dir_all(fixtures())?;
        let folder = tempfile::TempDir::new_in(fixtures())?;
        let [lower, upper, work, root] =
            ["lower", "upper", "work", "root"].map(|name| folder.path().join(name));
        for path in [&lower, &upper, &work, &root] {
            std::fs::create_dir(path)?;
        }
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        // In a mount namespace that ends with it.
        let mount = ["--mount", "--propagation", "private", "mount", "-t", "overlay", "overlay", "-o"];
        let status =
            Command::new("unshare").args(mount).arg(options).arg(root).stderr(Stdio::null()).status()?;
        Ok(status.success())
    };
    let mounts = probe().unwrap_or(false);
    if !mounts {
        skip(what, "overlay cannot be mounted on the folder of fixtures");
    }
    mounts
}

/// Finds a program on `PATH`, and in the places that a user's `PATH` leaves out.
pub fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Runs a program to its end.
///
/// # Panics
/// When it cannot be started or fails, with what it said.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A command found by [`which`].
///
/// # Panics
/// When it is not installed; ask [`have`] first.
pub fn command(name: &str) -> Command {
    Command::new(which(name).unwrap_or_else(|| panic!("{name} is not installed")))
}
