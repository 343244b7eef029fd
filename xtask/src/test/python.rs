//! Python's wheel: built, installed in a clean environment, and tested there, not in the source tree.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testbed::tools;

use super::{Outcome, Run, check, target_folder};
use Outcome::{Done, Failed, Skipped};

/// The oldest Python that the wheel is for.
const OLDEST: (u32, u32) = (3, 11);

pub(super) fn run(run: &mut Run) -> Outcome {
    let Some(python) = interpreter() else {
        let (major, minor) = OLDEST;
        return Skipped(format!("there is no Python {major}.{minor} or newer with venv"));
    };
    match tested(run, &python) {
        Ok(()) => Done,
        Err(why) => Failed(why),
    }
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

fn done(command: &mut Command) -> Result<(), String> {
    match check(command) {
        Failed(why) => Err(why),
        _ => Ok(()),
    }
}

/// A virtual environment with these things in it. Answers the folder of its programs.
fn environment(python: &str, at: &Path, things: &[&std::ffi::OsStr]) -> Result<PathBuf, String> {
    // What was there may be of another Python, or hold another wheel.
    done(Command::new(python).args(["-m", "venv", "--clear"]).arg(at))?;
    let programs = at.join(if cfg!(windows) { "Scripts" } else { "bin" });
    let mut pip = Command::new(programs.join("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    done(pip.args(things))?;
    Ok(programs)
}

fn tested(run: &mut Run, python: &str) -> Result<(), String> {
    let source = tools::workspace().join("bindings-python");
    let folder = target_folder().join("python");
    let requirements = source.join("requirements-test.txt");
    let pinned = fs::read_to_string(&requirements).map_err(|error| error.to_string())?;
    let maturin = pinned.lines().find(|line| line.starts_with("maturin=")).ok_or("maturin is not pinned")?;
    let builder = environment(python, &folder.join("builder"), &[maturin.as_ref()])?;
    let wheels = folder.join("wheels");
    drop(fs::remove_dir_all(&wheels));
    // The profile of the tests: what other steps have built is built.
    let mut build = Command::new(builder.join("maturin"));
    build.current_dir(&source).args(["build", "--quiet", "--out"]).arg(&wheels);
    done(build.env("CARGO_TARGET_DIR", target_folder()))?;
    let wheel = fs::read_dir(&wheels).into_iter().flatten().flatten().map(|entry| entry.path()).next();
    let wheel = wheel.ok_or("there is no wheel")?;
    let clean = environment(
        python,
        &folder.join("clean"),
        &["-r".as_ref(), requirements.as_os_str(), wheel.as_os_str()],
    )?;
    let mut tests = Command::new(clean.join("python"));
    tests.current_dir(&source).args(["-m", "pytest", "-q", "-rs"]).env("WHARFIE_WHEEL", "1");
    counted(run, &mut tests)
}

/// Runs pytest, its output shown, and counts what its last line says. What it skipped is told as by the other steps.
fn counted(run: &mut Run, command: &mut Command) -> Result<(), String> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let mut last = String::new();
    let mut skips = fs::OpenOptions::new().append(true).open(&run.skips).ok();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
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
    run.passed += count("passed").unwrap_or_default();
    run.failed += failed;
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        _ if failed > 0 => Err(format!("{failed} tests")),
        Ok(status) => Err(format!("pytest: {status}")),
        Err(error) => Err(error.to_string()),
    }
}
