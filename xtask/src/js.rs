//! The JavaScript packages: built, packed, installed in a clean folder, and judged there by one suite in Node and in Chromium.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use testbed::tools;

use crate::test::{Counted, done, target_folder};

/// What came of it; the reason where it failed.
type Result<T = ()> = std::result::Result<T, String>;

fn folder() -> PathBuf {
    tools::workspace().join("bindings-wasm")
}

/// Where the packed package is installed.
fn consumer() -> PathBuf {
    target_folder().join("js/consumer")
}

/// What these steps need and this machine has not.
pub(crate) fn missing(programs: &[&str]) -> Option<String> {
    let missing: Vec<&str> = programs.iter().copied().filter(|name| tools::which(name).is_none()).collect();
    (!missing.is_empty()).then(|| format!("not installed: {}", missing.join(", ")))
}

/// npm's wharfie, with the native part that cargo makes: packed, installed in clean folders, and judged there by the same suite
/// and by what only Node has. `profile` is cargo's.
pub(crate) fn native_in_node(profile: &str, skips: &Path) -> Result<Counted> {
    // The tests of that package may have been another day.
    build()?;
    let package = native_package()?;
    let mut tests = node(&["tests/run.mjs"]);
    tests.current_dir(&package).env("WHARFIE_REPORTER", "tap").env("WHARFIE_PROFILE", profile);
    tap(&mut tests, skips)
}

/// What a package is built with.
fn fetch_tools(package: &Path) -> Result {
    // esbuild's own script only saves the time that its JavaScript shim takes.
    let words = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    done(Command::new("npm").current_dir(package).args(words))
}

/// The folder of npm's wharfie, with what it is built with.
fn native_package() -> Result<PathBuf> {
    let package = tools::workspace().join("bindings-node");
    fetch_tools(&package)?;
    Ok(package)
}

fn node(words: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.current_dir(folder()).args(words).env("CARGO_TARGET_DIR", target_folder());
    command
}

/// Builds bindings-wasm/dist.
pub(crate) fn build() -> Result {
    fetch_tools(&folder())?;
    done(&mut node(&["build.mjs"]))
}

/// The inspector: served here until somebody stops it, or put into a folder.
pub(crate) fn inspector(to: Option<&str>) -> Result {
    build()?;
    let mut command = node(&["inspector/serve.mjs"]);
    if let Some(to) = to {
        let to = std::path::absolute(to).map_err(|error| error.to_string())?;
        command.arg(to);
    }
    done(&mut command)
}

/// Builds the package, packs it and installs it in a clean folder; once in a run.
fn install() -> Result {
    static INSTALLED: OnceLock<Result> = OnceLock::new();
    let install = || {
        build()?;
        done(node(&["tests/install.mjs", "."]).arg(consumer()))
    };
    INSTALLED.get_or_init(install).clone()
}

/// The native command line, whose tars are compared with.
fn command_line() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    done(Command::new(cargo).current_dir(tools::workspace()).args(["build", "--quiet", "-p", "wharfie"]))?;
    Ok(target_folder().join("debug").join(format!("wharfie{}", std::env::consts::EXE_SUFFIX)))
}

/// Runs files of tests on the installed package, their output shown. Tests are counted by their lines of TAP.
fn suite(files: &[&str], wharfie: &Path, skips: &Path) -> Result<Counted> {
    let mut command = node(&["--test", "--test-reporter=tap", "--test-concurrency=1"]);
    tap(command.args(files).env("WHARFIE_JS", consumer()).env("WHARFIE_BIN", wharfie), skips)
}

/// Runs what speaks TAP.
fn tap(command: &mut Command, skips: &Path) -> Result<Counted> {
    let mut counted = Counted::default();
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("node: {error}"))?;
    let mut skipped = String::new();
    let mut is_wrong = false;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
            // What went well needs no page for each test.
            if !line.starts_with(' ') {
                is_wrong = line.starts_with("not ok ");
            }
            if is_wrong || !line.starts_with("# Subtest") && !line.starts_with(' ') {
                println!("{line}");
            }
            if line.contains("# SKIP") || line.contains("SKIPPED") {
                skipped.push_str(line.trim_start_matches("# ").trim_start_matches("SKIPPED "));
                skipped.push('\n');
            } else if line.starts_with("ok ") {
                counted.passed += 1;
            } else if line.starts_with("not ok ") {
                counted.failed += 1;
            }
        }
    }
    drop(append(skips, &skipped));
    match child.wait() {
        Ok(status) if status.success() => Ok(counted),
        Ok(_) if counted.failed > 0 => Ok(counted),
        Ok(status) => Err(format!("node --test: {status}")),
        Err(error) => Err(error.to_string()),
    }
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    fs::OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

/// The package in Node: ES modules, CommonJS, TypeScript, and every case of the suite.
pub(crate) fn in_node(skips: &Path) -> Result<Counted> {
    install()?;
    suite(&["tests/package.test.mjs", "tests/node.test.mjs"], &command_line()?, skips)
}

/// The package in Chromium, and the page that is made with it.
pub(crate) fn in_browser(skips: &Path) -> Result<Counted> {
    install()?;
    suite(
        &["tests/browser.test.mjs", "inspector/tests/inspector.test.mjs", "inspector/tests/signin.test.mjs"],
        &command_line()?,
        skips,
    )
}

/// A folder in which the packages are installed, the native one too.
pub(crate) fn released() -> Result<PathBuf> {
    build()?;
    let source = native_package()?;
    let folder = target_folder().join("js/released");
    let (packs, consumer) = (folder.join("packs"), folder.join("consumer"));
    drop(fs::remove_dir_all(&folder));
    for folder in [&packs, &consumer] {
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    }
    done(node(&["build.mjs", "--pack"]).current_dir(&source).arg(&packs))?;
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
    done(&mut install)?;
    Ok(consumer)
}

/// The script that has Chromium save a root from the inspector.
pub(crate) fn saver() -> Result<PathBuf> {
    if let Some(why) = missing(&["node", "npm", "chromium"]) {
        return Err(why);
    }
    if !folder().join("dist/web.js").is_file() {
        build()?;
    }
    // Node finds playwright from where the script is.
    Ok(tools::workspace().join("xtask/bench/hosts/wharfie_chromium.mjs"))
}
