//! The other hosts as their users have them, in release builds: for benchmarks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::tools;

use crate::js;
use crate::test::target_folder;

/// The wheel's builder, pinned where the tests have it.
const REQUIREMENTS: &str = "bindings-python/requirements-test.txt";

fn run(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", command.get_program().to_string_lossy())),
        Err(error) => Err(format!("{}: {error}", command.get_program().to_string_lossy())),
    }
}

fn pip(python: &Path, things: &[&std::ffi::OsStr]) -> Result<(), String> {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(things);
    run(&mut command)
}

/// A Python with the wheel.
pub(crate) fn python() -> Result<PathBuf, String> {
    let folder = target_folder().join("hosts/python");
    let python = folder.join("bin/python");
    if !python.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    let pinned =
        fs::read_to_string(tools::workspace().join(REQUIREMENTS)).map_err(|error| error.to_string())?;
    let maturin = pinned.lines().find(|line| line.starts_with("maturin=")).ok_or("maturin is not pinned")?;
    pip(&python, &[maturin.as_ref()])?;
    let wheels = folder.join("wheels");
    drop(fs::remove_dir_all(&wheels));
    let mut build = Command::new(folder.join("bin/maturin"));
    build.current_dir(tools::workspace().join("bindings-python"));
    build.args(["build", "--quiet", "--release", "--out"]).arg(&wheels);
    run(build.env("CARGO_TARGET_DIR", target_folder()))?;
    let wheel = fs::read_dir(&wheels).into_iter().flatten().flatten().map(|entry| entry.path()).next();
    let wheel = wheel.ok_or("there is no wheel")?;
    pip(&python, &["--force-reinstall".as_ref(), wheel.as_os_str()])?;
    Ok(python)
}

/// A folder in which the packages are installed, the native one too.
pub(crate) fn node() -> Result<PathBuf, String> {
    js::build()?;
    let source = tools::workspace().join("bindings-node");
    let folder = target_folder().join("hosts/node");
    let (packs, consumer) = (folder.join("packs"), folder.join("consumer"));
    drop(fs::remove_dir_all(&folder));
    for folder in [&packs, &consumer] {
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    }
    let ci = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    run(Command::new("npm").current_dir(&source).args(ci))?;
    let mut build = Command::new("node");
    build.current_dir(&source).args(["build.mjs", "--pack"]).arg(&packs);
    run(build.env("CARGO_TARGET_DIR", target_folder()))?;
    fs::write(consumer.join("package.json"), r#"{"private":true,"type":"module"}"#)
        .map_err(|error| error.to_string())?;
    let tarballs =
        fs::read_dir(&packs).map_err(|error| error.to_string())?.flatten().map(|entry| entry.path());
    let mut install = Command::new("npm");
    install.current_dir(&consumer).args([
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--silent",
    ]);
    // Those of other platforms are on no registry that could be asked for them.
    install
        .args(["--omit=optional"])
        .args(tarballs.filter(|path| path.extension().is_some_and(|end| end == "tgz")));
    run(&mut install)?;
    Ok(consumer)
}

/// The script that has Chromium save a root from the inspector.
pub(crate) fn browser() -> Result<PathBuf, String> {
    if let Some(why) = js::missing(&["node", "npm", "chromium"]) {
        return Err(why);
    }
    if !tools::workspace().join("bindings-wasm/dist/web.js").is_file() {
        js::build()?;
    }
    // Node finds playwright from where the script is.
    Ok(tools::workspace().join("xtask/bench/hosts/wharfie_chromium.mjs"))
}
