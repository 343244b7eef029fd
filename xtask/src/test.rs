//! `cargo xtask test`: every test there is, on a fresh machine too.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use testbed::tools;

use crate::{js, python, wasm};

/// Debian's packages that the real-world tests use, and the compiler that libFuzzer is built with.
const PACKAGES: &[&str] = &[
    "docker-registry",
    "skopeo",
    "umoci",
    "podman",
    "buildah",
    "docker.io",
    "mmdebstrap",
    "apache2-utils",
    "libcap2-bin",
    "zstd",
    "xfsprogs",
    "btrfs-progs",
    "f2fs-tools",
    "dosfstools",
    "exfatprogs",
    "exfat-fuse",
    "ntfs-3g",
    "g++",
    "chromium",
];

/// A program of each, to see what is missing before asking apt.
const PROGRAMS: &[&str] = &[
    "docker-registry",
    "skopeo",
    "umoci",
    "podman",
    "buildah",
    "dockerd",
    "mmdebstrap",
    "htpasswd",
    "setcap",
    "zstd",
    "mkfs.xfs",
    "mkfs.btrfs",
    "mkfs.f2fs",
    "mkfs.vfat",
    "mkfs.exfat",
    "mount.exfat-fuse",
    "lowntfs-3g",
    "c++",
    "chromium",
];

const THUMB: &str = "thumbv7em-none-eabihf";
const WASM: &str = "wasm32-unknown-unknown";

struct Step {
    name: &'static str,
    does: &'static str,
    run: fn(&mut Run) -> Outcome,
}

const STEPS: &[Step] = &[
    Step {
        name: "install",
        does: "what the other steps need: Debian packages, rustup targets",
        run: install,
    },
    Step { name: "fmt", does: "cargo fmt --check", run: fmt },
    Step { name: "clippy", does: "clippy without a warning", run: clippy },
    Step { name: "no-std", does: "core compiles for a target without std", run: no_std },
    Step { name: "wasm", does: "core as WebAssembly imports nothing", run: wasm_imports },
    Step {
        name: "unit",
        does: "the tests of core, of the native host's library and of the chores",
        run: unit,
    },
    Step { name: "docs", does: "the documentation builds without a warning; its examples run", run: docs },
    Step { name: "fixtures", does: "the Debian image", run: fixtures },
    Step { name: "world", does: "the command line against real registries and a faulty network", run: world },
    Step { name: "python", does: "Python's wheel, tested where it is installed", run: python_wheel },
    Step {
        name: "wasm-package",
        does: "npm's wharfie-wasm, packed and installed: the suite in Node",
        run: wasm_package,
    },
    Step {
        name: "node",
        does: "npm's wharfie, packed and installed: the suite over native code, and what only Node has",
        run: node_package,
    },
    Step { name: "browser", does: "the same suite in Chromium, and the inspector page", run: browser },
    Step { name: "fuzz", does: "the fuzz targets over their seeds and changes of them", run: fuzz },
];

enum Outcome {
    Done,
    Failed(String),
    Skipped(String),
}

use Outcome::{Done, Failed, Skipped};

/// What has been counted so far.
struct Run {
    long: bool,
    passed: usize,
    failed: usize,
    skips: PathBuf,
}

/// Runs the steps named, or all.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    if words == ["--list"] {
        for step in STEPS {
            println!("{:10} {}", step.name, step.does);
        }
        return ExitCode::SUCCESS;
    }
    let long = words.contains(&"--long");
    let names: Vec<&str> = words.iter().copied().filter(|word| *word != "--long").collect();
    if let Some(unknown) = names.iter().find(|name| !STEPS.iter().any(|step| step.name == **name)) {
        eprintln!("there is no step `{unknown}`; see `cargo xtask test --list`");
        return ExitCode::from(2);
    }
    let skips = std::env::temp_dir().join(format!("wharfie-skips-{}", std::process::id()));
    let mut run = Run { long, passed: 0, failed: 0, skips };
    drop(fs::write(&run.skips, ""));
    let mut lines = Vec::new();
    let mut skipped = Vec::new();
    let begun = Instant::now();
    for step in STEPS {
        if !names.is_empty() && !names.contains(&step.name) {
            continue;
        }
        println!("\n== {}: {}", step.name, step.does);
        let before = Instant::now();
        // A step that runs tests counts as these, any other as one.
        let counted = (run.passed, run.failed);
        let (mark, why) = match (step.run)(&mut run) {
            Done => {
                run.passed += usize::from(run.passed == counted.0);
                ("ok", String::new())
            }
            Failed(why) => {
                run.failed += usize::from(run.failed == counted.1);
                ("FAILED", why)
            }
            Skipped(why) => {
                skipped.push(format!("{}: {why}", step.name));
                ("SKIPPED", why)
            }
        };
        lines.push(format!("{:8.1} s  {:10} {mark:8} {why}", before.elapsed().as_secs_f64(), step.name));
    }
    println!("\n{:8.1} s  in all", begun.elapsed().as_secs_f64());
    for line in lines {
        println!("{line}");
    }
    let said = fs::read_to_string(&run.skips).unwrap_or_default();
    skipped.extend(said.lines().map(str::to_owned));
    drop(fs::remove_file(&run.skips));
    skipped.sort();
    skipped.dedup();
    for skip in &skipped {
        println!("SKIPPED {skip}");
    }
    println!("\n{} passed, {} failed, {} skipped", run.passed, run.failed, skipped.len());
    if run.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(tools::workspace()).args(arguments);
    command
}

/// Runs a command to its end, its output shown.
fn check(command: &mut Command) -> Outcome {
    done(command).map_or_else(Failed, |()| Done)
}

/// The same, for chores that are no step.
pub(crate) fn done(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", shown(command))),
        Err(error) => Err(format!("{}: {error}", shown(command))),
    }
}

fn shown(command: &Command) -> String {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    words.join(" ")
}

/// Runs tests, their output shown, and counts them by the lines of libtest. The command counts as failed where
/// it fails without a failed test (it does not compile, say).
fn tests(run: &mut Run, command: &mut Command) -> Outcome {
    command.arg("--no-fail-fast");
    println!("-- {}", shown(command));
    command.env(tools::SKIPS, &run.skips).stdout(Stdio::piped());
    if run.long {
        command.env("WHARFIE_LONG", "1");
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Failed(format!("{}: {error}", shown(command))),
    };
    let (mut passed, mut failed) = (0, 0);
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            println!("{line}");
            if let Some(rest) = line.strip_prefix("test result: ") {
                let count = |word: &str| {
                    let words: Vec<&str> = rest.split([' ', ';']).collect();
                    let at = words.iter().position(|it| *it == word)?;
                    words.get(at.checked_sub(1)?)?.parse::<usize>().ok()
                };
                passed += count("passed").unwrap_or_default();
                failed += count("failed").unwrap_or_default();
            }
        }
    }
    run.passed += passed;
    run.failed += failed;
    match child.wait() {
        Ok(status) if status.success() => Done,
        _ if failed > 0 => Failed(format!("{failed} tests")),
        Ok(status) => Failed(format!("{}: {status}", shown(command))),
        Err(error) => Failed(error.to_string()),
    }
}

/// Runs several and gives the worst.
fn all(outcomes: impl IntoIterator<Item = Outcome>) -> Outcome {
    let mut why = Vec::new();
    for outcome in outcomes {
        if let Failed(reason) = outcome {
            why.push(reason);
        }
    }
    if why.is_empty() { Done } else { Failed(why.join("; ")) }
}

fn install(_: &mut Run) -> Outcome {
    let mut without = Vec::new();
    let missing: Vec<&str> = PROGRAMS.iter().copied().filter(|name| tools::which(name).is_none()).collect();
    if !missing.is_empty() {
        if tools::is_root() && tools::which("apt-get").is_some() {
            let apt = |arguments: &[&str]| {
                check(
                    Command::new("apt-get")
                        .env("DEBIAN_FRONTEND", "noninteractive")
                        .arg("-q")
                        .args(arguments),
                )
            };
            // An index that is old but there still serves.
            drop(apt(&["update"]));
            let mut install = vec!["install", "-y", "--no-install-recommends"];
            install.extend(PACKAGES);
            if let Failed(why) = apt(&install) {
                without.push(why);
            }
        }
        let missing: Vec<&str> =
            PROGRAMS.iter().copied().filter(|name| tools::which(name).is_none()).collect();
        if !missing.is_empty() {
            without.push(format!(
                "not installed, and apt-get as root on Debian is the only way this chore knows: {}",
                missing.join(", ")
            ));
        }
    }
    for target in [THUMB, WASM] {
        if !has_target(target) {
            match Command::new("rustup").args(["target", "add", target]).status() {
                Ok(status) if status.success() => {}
                _ => without.push(format!("rustup cannot add {target}")),
            }
        }
    }
    for component in ["rustfmt", "clippy"] {
        let there = cargo(&[if component == "rustfmt" { "fmt" } else { "clippy" }, "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !there.is_ok_and(|status| status.success()) {
            drop(Command::new("rustup").args(["component", "add", component]).status());
        }
    }
    if without.is_empty() { Done } else { Skipped(without.join("; ")) }
}

/// Whether the standard library (or core, at least) of a target is installed.
fn has_target(target: &str) -> bool {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(tools::workspace())
        .output();
    output.is_ok_and(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

fn fmt(_: &mut Run) -> Outcome {
    check(&mut cargo(&["fmt", "--all", "--check"]))
}

fn clippy(_: &mut Run) -> Outcome {
    // What the bindings' macros leave away for tests would count as unused there.
    let bindings = ["clippy", "-p", "wharfie-python", "-p", "wharfie-node", "-p", "wharfie-wasm"];
    // As wharfie-wasm has it: with its default features on for anybody, it has them for all.
    let bare = ["clippy", "-p", "wharfie-core", "--no-default-features"];
    all([
        check(&mut cargo(&["clippy", "--all-targets", "--", "-D", "warnings"])),
        check(cargo(&bare).args(["--", "-D", "warnings"])),
        check(cargo(&bindings).args(["--", "-D", "warnings"])),
    ])
}

fn no_std(_: &mut Run) -> Outcome {
    if !has_target(THUMB) {
        return Skipped(format!("the target {THUMB} is not installed"));
    }
    check(&mut cargo(&["check", "-p", "wharfie-core", "--target", THUMB]))
}

fn wasm_imports(_: &mut Run) -> Outcome {
    if !has_target(WASM) {
        return Skipped(format!("the target {WASM} is not installed"));
    }
    let target = target_folder().join("probe");
    let mut build =
        cargo(&["build", "--release", "--manifest-path", "xtask/probe/Cargo.toml", "--target", WASM]);
    build.env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", "-C link-dead-code -C link-arg=--no-gc-sections");
    if let Failed(why) = check(&mut build) {
        return Failed(why);
    }
    match wasm::imports(&target.join(WASM).join("release/probe.wasm")) {
        // The linker must not have thrown core away: then there would be nothing to import.
        Ok((_, functions)) if functions < 1000 => Failed(format!("only {functions} functions in the module")),
        Ok((found, functions)) if found.is_empty() => {
            println!("no imports ({functions} functions)");
            Done
        }
        Ok((found, _)) => Failed(format!("core imports {}", found.join(", "))),
        Err(why) => Failed(why),
    }
}

/// Cargo's target folder, as this run has it.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| tools::workspace().join("target"), PathBuf::from)
}

fn unit(run: &mut Run) -> Outcome {
    all([
        tests(run, &mut cargo(&["test", "-p", "wharfie-core", "-p", "xtask", "--tests"])),
        tests(run, &mut cargo(&["test", "-p", "wharfie", "--lib", "--bins"])),
    ])
}

fn docs(run: &mut Run) -> Outcome {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    all([check(&mut doc), tests(run, &mut cargo(&["test", "--doc"]))])
}

fn fixtures(_: &mut Run) -> Outcome {
    match std::panic::catch_unwind(|| testbed::debian::Debian::fixture("the Debian image")) {
        Ok(Some(debian)) => {
            println!("{}", debian.layout.display());
            Done
        }
        Ok(None) => {
            Skipped("the Debian image cannot be made here: root, mmdebstrap and umoci are needed".into())
        }
        Err(_) => Failed("the Debian image cannot be made".into()),
    }
}

fn world(run: &mut Run) -> Outcome {
    all([
        tests(run, &mut cargo(&["test", "-p", "testbed", "--tests"])),
        tests(run, &mut cargo(&["test", "-p", "wharfie", "--test", "*"])),
    ])
}

/// Tests that were counted elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

fn counted(run: &mut Run, outcome: Result<Counted, String>) -> Outcome {
    match outcome {
        Ok(counted) => {
            run.passed += counted.passed;
            run.failed += counted.failed;
            if counted.failed == 0 { Done } else { Failed(format!("{} tests", counted.failed)) }
        }
        Err(why) => Failed(why),
    }
}

fn python_wheel(run: &mut Run) -> Outcome {
    if let Some(why) = python::missing() {
        return Skipped(why);
    }
    let outcome = python::in_clean(&run.skips);
    counted(run, outcome)
}

fn wasm_package(run: &mut Run) -> Outcome {
    if let Some(why) = js::missing(&["node", "npm"]) {
        return Skipped(why);
    }
    if !has_target(WASM) {
        return Skipped(format!("the target {WASM} is not installed"));
    }
    let outcome = js::in_node(&run.skips);
    counted(run, outcome)
}

fn node_package(run: &mut Run) -> Outcome {
    if let Some(why) = js::missing(&["node", "npm"]) {
        return Skipped(why);
    }
    if !has_target(WASM) {
        return Skipped(format!("the target {WASM} is not installed: npm's wharfie stands on wharfie-wasm"));
    }
    // What other steps have built is most of it.
    let outcome = js::native_in_node("dev", &run.skips);
    counted(run, outcome)
}

fn browser(run: &mut Run) -> Outcome {
    if let Some(why) = js::missing(&["node", "npm", "chromium"]) {
        return Skipped(why);
    }
    if !has_target(WASM) {
        return Skipped(format!("the target {WASM} is not installed"));
    }
    let outcome = js::in_browser(&run.skips);
    counted(run, outcome)
}

/// What `cargo fuzz` sets besides the sanitizers, which need nightly: libFuzzer's coverage works on stable.
const COVERAGE: &str = "--cfg fuzzing -C passes=sancov-module -C codegen-units=1 \
    -C llvm-args=-sanitizer-coverage-level=4 -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
    -C llvm-args=-sanitizer-coverage-pc-table -C llvm-args=-sanitizer-coverage-trace-compares \
    -C debug-assertions";

/// Every target of `fuzz/fuzz_targets`: over the seeds of `fuzz/seeds`, then some seconds of libFuzzer. What it
/// finds stays in `fuzz/artifacts`.
fn fuzz(run: &mut Run) -> Outcome {
    let folder = tools::workspace().join("fuzz");
    let mut targets: Vec<String> = fs::read_dir(folder.join("fuzz_targets"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|file| file.path())
        // Folders there hold what targets share.
        .filter(|path| path.is_file())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    targets.sort();
    if targets.is_empty() {
        return Failed("there are no fuzz targets".into());
    }
    let Some(host) = host() else { return Failed("rustc does not say its host".into()) };
    let built = target_folder().join("fuzz");
    // With --target the flags stay away from build scripts and procedural macros.
    let mut build =
        cargo(&["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--bins", "--target", &host]);
    build.env("CARGO_TARGET_DIR", &built).env("RUSTFLAGS", COVERAGE);
    if let Failed(why) = check(&mut build) {
        return Failed(why);
    }
    let seconds = if run.long { 120 } else { 4 };
    let outcomes = targets.iter().map(|target| {
        let seeds = folder.join("seeds").join(target);
        let artifacts = folder.join("artifacts").join(target);
        // What libFuzzer finds interesting goes here, not among the kept seeds.
        let found = built.join("found").join(target);
        for folder in [&found, &artifacts] {
            drop(fs::create_dir_all(folder));
        }
        let mut command = Command::new(built.join(&host).join("release").join(target));
        command.arg(format!("-max_total_time={seconds}")).arg("-rss_limit_mb=2048").arg("-timeout=10");
        command.arg("-verbosity=0").arg("-print_final_stats=1");
        command.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(found);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        // What it says is a page for each target: the count is enough where all is well.
        let outcome = match command.output() {
            Err(error) => Failed(format!("{}: {error}", shown(&command))),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let runs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
                println!("fuzz {target}: {} runs in {seconds} s", runs.unwrap_or("?").trim());
                if output.status.success() {
                    Done
                } else {
                    print!("{said}");
                    Failed(format!("{target}: {}, kept in {}", output.status, artifacts.display()))
                }
            }
        };
        match outcome {
            Failed(_) => run.failed += 1,
            _ => run.passed += 1,
        }
        outcome
    });
    all(outcomes.collect::<Vec<_>>())
}

/// The triple of this machine.
fn host() -> Option<String> {
    let output = Command::new("rustc").arg("-vV").current_dir(tools::workspace()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}
