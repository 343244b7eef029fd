//! The chores of Wharfie: `cargo xtask`.

mod bench;
mod js;
mod python;
mod test;
mod wasm;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use testbed::debian::Debian;
use testbed::large::Large;

const USAGE: &str = "\
usage: cargo xtask CHORE

chores:
  test [--long] [STEP…]  every test, or the steps named; installs what they need
  test --list            the steps
  fixtures [large]       makes the image that tests use, under target/fixtures; `large`: the one of benchmarks
                         and long tests (some minutes, 2 GB while it is made, 500 MB after)
  sample                 makes testdata/sample anew
  build-wasm             npm's wharfie-wasm, in bindings-wasm/dist
  inspector [DIR]        the inspector page: served on this machine, or put into a folder for any web server
  bench layers|pull|copy|hosts|floor
                         Wharfie beside its peers, and what this machine could do at best
  bench scale [N|DIR]    what merging costs for an entry, up to a million of them, or for the names of a directory
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test", rest @ ..] => test::run(rest),
        ["bench", "scale", rest @ ..] => scale(rest),
        ["bench", rest @ ..] => bench::run(rest),
        ["fixtures"] => fixtures(|| Some(vec![Debian::fixture("fixtures")?.layout])),
        ["fixtures", "large"] => fixtures(|| {
            let large = Large::fixture("fixtures large")?;
            Some(vec![large.gzip, large.zstd])
        }),
        ["sample"] => sample(),
        ["build-wasm"] => match js::build() {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("{why}");
                ExitCode::FAILURE
            }
        },
        ["inspector", rest @ ..] => match js::inspector(rest.first().copied()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("{why}");
                ExitCode::FAILURE
            }
        },
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// What merging costs when there is much of it: core's example `scale`, which is processes of its own.
fn scale(words: &[&str]) -> ExitCode {
    let example = ["run", "--quiet", "--release", "--package", "wharfie-core", "--example", "scale", "--"];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    match std::process::Command::new(cargo).args(example).args(words).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn fixtures(make: impl FnOnce() -> Option<Vec<PathBuf>>) -> ExitCode {
    let begun = Instant::now();
    let Some(layouts) = make() else { return ExitCode::FAILURE };
    for layout in layouts {
        println!("{} ({:.1} s)", layout.display(), begun.elapsed().as_secs_f64());
    }
    ExitCode::SUCCESS
}

fn sample() -> ExitCode {
    let path = testbed::sample::path();
    let archive = testbed::sample::archive();
    let same = std::fs::read(&path).is_ok_and(|kept| kept == archive);
    let written =
        path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, &archive));
    if let Err(error) = written {
        eprintln!("{}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    println!("{}: {} bytes, {}", path.display(), archive.len(), if same { "as it was" } else { "changed" });
    ExitCode::SUCCESS
}
