//! The JavaScript packages: built, packed, installed in a clean folder, and judged there by one suite in Node and in Chromium.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use testbed::tools;

use crate::test::{Counted, target_folder};

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
    let package = tools::workspace().join("bindings-node");
    let words = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    run(Command::new("npm").current_dir(&package).args(words))?;
    let mut tests = node(&["tests/run.mjs"]);
    tests.current_dir(&package).env("WHARFIE_REPORTER", "tap").env("WHARFIE_PROFILE", profile);
    tap(&mut tests, skips)
}

fn run(command: &mut Command) -> Result {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", command.get_program().to_string_lossy())),
        Err(error) => Err(format!("{}: {error}", command.get_program().to_string_lossy())),
    }
}

fn node(words: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.current_dir(folder()).args(words).env("CARGO_TARGET_DIR", target_folder());
    command
}

/// Builds bindings-wasm/dist.
pub(crate) fn build() -> Result {
    // esbuild's own script only saves the time that its JavaScript shim takes.
    let words = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    run(Command::new("npm").current_dir(folder()).args(words))?;
    run(&mut node(&["build.mjs"]))
}

/// The inspector: served here until somebody stops it, or put into a folder.
pub(crate) fn inspector(to: Option<&str>) -> Result {
    build()?;
    let mut command = node(&["inspector/serve.mjs"]);
    if let Some(to) = to {
        let to = std::path::absolute(to).map_err(|error| error.to_string())?;
        command.arg(to);
    }
    run(&mut command)
}

/// Builds the package, packs it and installs it in a clean folder; once in a run.
fn install() -> Result {
    static INSTALLED: OnceLock<Result> = OnceLock::new();
    let install = || {
        build()?;
        run(node(&["tests/install.mjs", "."]).arg(consumer()))
    };
    INSTALLED.get_or_init(install).clone()
}

/// The native command line, whose tars are compared with.
fn command_line() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).current_dir(tools::workspace()).args(["build", "--quiet", "-p", "wharfie"]))?;
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
    std::fs::OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

/// The package in Node: ES modules, CommonJS, TypeScript, and every case of the suite.
pub(crate) fn in_node(skips: &Path) -> Result<Counted> {
    install()?;
    suite(&["tests/package.test.mjs", "tests/node.test.mjs"], &command_line()?, skips)
}

/// The package in Chromium, and the page that is made with it.
pub(crate) fn in_browser(skips: &Path) -> Result<Counted> {
    install()?;
    suite(&["tests/browser.test.mjs", "inspector/tests/inspector.test.mjs"], &command_line()?, skips)
}
