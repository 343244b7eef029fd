//! The chores of Wharfie: `cargo xtask`.

mod bench;
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
  bench layers|pull|floor
                         Wharfie beside its peers, and what this machine could do at best
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test", rest @ ..] => test::run(rest),
        ["bench", rest @ ..] => bench::run(rest),
        ["fixtures"] => fixtures(|| Some(vec![Debian::fixture("fixtures")?.layout])),
        ["fixtures", "large"] => fixtures(|| {
            let large = Large::fixture("fixtures large")?;
            Some(vec![large.gzip, large.zstd])
        }),
        ["sample"] => sample(),
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
