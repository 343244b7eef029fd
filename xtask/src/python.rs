//! Python's wheel: built, installed in a clean environment, and tested there, not in the source tree.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testbed::tools;

use crate::test::{Counted, done, target_folder};

/// What came of it; the reason where it failed.
type Result<T = ()> = std::result::Result<T, String>;

/// The oldest Python that the wheel is for.
const OLDEST: (u32, u32) = (3, 11);
/// What builds and tests the wheel, pinned.
const REQUIREMENTS: &str = "requirements-test.txt";

/// What these steps need and this machine has not.
pub(crate) fn missing() -> Option<String> {
    let (major, minor) = OLDEST;
    interpreter().is_none().then(|| format!("there is no Python {major}.{minor} or newer with venv"))
}

/// The first of the usual names that is new enough.
fn interpreter() -> Option<String> {
    let (major, minor) = OLDEST;
    let program = format!("import sys, venv, ensurepip; sys.exit(sys.version_info < ({major}, {minor}))");
    let names = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python"];
    let fits = |name: &str| {
        let status = Command::new(name).args(["-c", &program]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    names.into_iter().find(|name| fits(name)).map(str::to_owned)
}

/// A virtual environment with these things in it. Answers the folder of its programs.
fn environment(at: &Path, things: &[&OsStr]) -> Result<PathBuf> {
    let python = interpreter().ok_or("there is no Python")?;
    // What was there may be of another Python, or hold another wheel.
    done(Command::new(python).args(["-m", "venv", "--clear"]).arg(at))?;
    let programs = at.join(if cfg!(windows) { "Scripts" } else { "bin" });
    let mut pip = Command::new(programs.join("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    done(pip.args(things))?;
    Ok(programs)
}

fn source() -> PathBuf {
    tools::workspace().join("bindings-python")
}

fn folder() -> PathBuf {
    target_folder().join("python")
}

/// Builds the wheel, in this profile of cargo's.
fn wheel(profile: &str) -> Result<PathBuf> {
    let pinned = fs::read_to_string(source().join(REQUIREMENTS)).map_err(|error| error.to_string())?;
    let maturin = pinned.lines().find(|line| line.starts_with("maturin=")).ok_or("maturin is not pinned")?;
    let builder = environment(&folder().join("builder"), &[maturin.as_ref()])?;
    let wheels = folder().join("wheels");
    drop(fs::remove_dir_all(&wheels));
    let mut build = Command::new(builder.join("maturin"));
    build.current_dir(source()).args(["build", "--quiet", "--profile", profile, "--out"]).arg(&wheels);
    done(build.env("CARGO_TARGET_DIR", target_folder()))?;
    let wheel = fs::read_dir(&wheels).into_iter().flatten().flatten().map(|entry| entry.path()).next();
    wheel.ok_or_else(|| "there is no wheel".to_owned())
}

/// A Python with the wheel of a release.
pub(crate) fn released() -> Result<PathBuf> {
    let programs = environment(&folder().join("released"), &[wheel("release")?.as_os_str()])?;
    Ok(programs.join("python"))
}

/// The wheel in a clean environment, and its tests there.
pub(crate) fn in_clean(skips: &Path) -> Result<Counted> {
    // The profile of the tests: what other steps have built is built.
    let wheel = wheel("dev")?;
    let requirements = source().join(REQUIREMENTS);
    let clean =
        environment(&folder().join("clean"), &["-r".as_ref(), requirements.as_os_str(), wheel.as_os_str()])?;
    let mut tests = Command::new(clean.join("python"));
    tests.current_dir(source()).args(["-m", "pytest", "-q", "-rs"]).env("WHARFIE_WHEEL", "1");
    counted(&mut tests, skips)
}

/// Runs pytest, its output shown, and counts what its last line says. What it skipped is told as by the other steps.
fn counted(command: &mut Command, skips: &Path) -> Result<Counted> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let mut last = String::new();
    let mut skips = fs::OpenOptions::new().append(true).open(skips).ok();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
            println!("{line}");
            // `SKIPPED [34] tests/test_stacks.py:119: limits are core's own`
            if let (Some(rest), Some(skips)) = (line.strip_prefix("SKIPPED "), &mut skips) {
                drop(writeln!(skips, "python: {rest}"));
            }
            last = line;
        }
    }
    let words: Vec<&str> = last.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let count = |of: &str| {
        let at = words.iter().position(|word| *word == of)?;
        words.get(at.checked_sub(1)?)?.parse::<usize>().ok()
    };
    let failed = count("failed").unwrap_or_default() + count("error").or(count("errors")).unwrap_or_default();
    let counted = Counted { passed: count("passed").unwrap_or_default(), failed };
    match child.wait() {
        Ok(status) if status.success() || failed > 0 => Ok(counted),
        Ok(status) => Err(format!("pytest: {status}")),
        Err(error) => Err(error.to_string()),
    }
}
