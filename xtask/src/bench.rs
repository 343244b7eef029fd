//! `cargo xtask bench`: the same job by Wharfie and by its peers, alternating, beside what this machine could do at
//! best on the same bytes.

mod copy;
mod disk;
mod floor;
mod hosts;
mod jobs;
mod layers;
mod meter;
mod pull;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use testbed::debian::Debian;
use testbed::large::Large;
use testbed::tools;

use floor::{Floor, Stage};

/// How often everything is done; medians are shown.
const ROUNDS: usize = 7;

const MEGABYTE: f64 = 1e6;

const USAGE: &str = "\
usage: cargo xtask bench layers|pull|copy|hosts|floor [OPTION…]

  layers  export, unpack, cat and ls of one image, by Wharfie and by its peers
  pull    wharfie pull, skopeo copy and crane pull from one loopback registry
  copy    registry to layout, layout to registry, registry to registry, layout to docker-archive: wharfie, skopeo, crane
  hosts   pull and flatten in Python, Node and a browser, and by what people use there today
  floor   hashing, inflating and writing the same layers with the best primitives

  --image IMAGE   debian, large or large-zstd (fixtures, made when missing), or DIR:TAG, an OCI layout on disk
                  [layers: large; else: debian]
  --rounds N      how often everything is done, alternating, after once to warm up [7]
  --dir DIR       what is written goes below this folder [target/fixtures; layers: file systems in memory, where root]

copy: --binary FILE as below

layers alone:
  --job NAME,…    tar, tar.gz, tar.zst, unpack, docker-archive, layout, cat-top, cat-bottom, cat-absent, ls [all]
  --peers WORD,…  only the peers whose names hold one of these words; `none` for none [all]
  --fs NAME,…     ext4, tmpfs: where directories are unpacked to [both, each fresh for each run]
  --binary FILE   this wharfie [a release build of the working tree]
  --top PATH, --bottom PATH
                  files of the highest and of the lowest layer, for cat [etc/motd, usr/bin/tac]

A peer that is missing is skipped with a word; crane and the crate oci-image are built below target/peers. A peer that
takes over 20 s is run in every third round. Shown are wall and processor time, the peak memory of the tree of
processes, the output's size and how often the flattened tar holds it; then the goals. Run it on an idle machine.

Wharfie syncs a blob to the disk before it gets its name, and its peers do not: `pull --dir /dev/shm` compares the rest.
";

/// An OCI layout on disk, and files in it.
struct Image {
    layout: PathBuf,
    tag: String,
    top: String,
    bottom: String,
}

/// Runs one benchmark.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let (Some(what), options) = (words.first(), words.get(1..).unwrap_or_default()) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let known = ["--image", "--rounds", "--dir", "--job", "--peers", "--fs", "--binary", "--top", "--bottom"];
    let wrong = options.chunks(2).find(|pair| pair.len() != 2 || !known.contains(&pair[0]));
    if let Some(wrong) = wrong
        .map(|pair| pair[0])
        .or((!["layers", "pull", "copy", "hosts", "floor"].contains(what)).then_some(what))
    {
        eprintln!("not understood: {wrong}\n");
        eprint!("{USAGE}");
        return ExitCode::from(2);
    }
    let option = |name: &str| options.chunks(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
    let list = |name: &str| -> Option<Vec<&str>> { Some(option(name)?.split(',').collect()) };
    let Some(rounds) = option("--rounds").map_or(Some(ROUNDS), |text| text.parse().ok().filter(|it| *it > 0))
    else {
        eprintln!("--rounds is a number, at least 1");
        return ExitCode::from(2);
    };
    let named = option("--image").unwrap_or(if *what == "layers" { "large" } else { "debian" });
    let image = match place(named) {
        Ok(Some((layout, tag))) => Image {
            layout,
            tag,
            top: option("--top").unwrap_or("etc/motd").into(),
            bottom: option("--bottom").unwrap_or("usr/bin/tac").into(),
        },
        Ok(None) => return ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    if *what == "layers" {
        disk::namespace();
    }
    machine();
    match *what {
        "layers" => {
            let folder = option("--dir").map_or_else(std::env::temp_dir, PathBuf::from);
            layers::run(&layers::Request {
                image: &image,
                rounds,
                jobs: list("--job").unwrap_or_default(),
                peers: list("--peers"),
                disks: list("--fs").unwrap_or_default(),
                binary: option("--binary").and_then(|path| fs::canonicalize(path).ok()),
                folder: &folder,
            })
        }
        "pull" => {
            let folder = option("--dir").map_or_else(tools::fixtures, PathBuf::from);
            let name = format!("{}:{}", image.layout.display(), image.tag);
            let Some(cost) = pull::run(&name, &folder, rounds) else { return ExitCode::FAILURE };
            let floor = floor(&image, &folder, rounds);
            let hash = floor.hash();
            println!(
                "  wharfie's CPU is {:.2} of hashing alone, {:.2} of hashing and writing",
                cost.cpu / hash,
                cost.cpu / (hash + floor.stage(Stage::WriteBlobs))
            );
            ExitCode::SUCCESS
        }
        "copy" => {
            let folder = option("--dir").map_or_else(tools::fixtures, PathBuf::from);
            let name = format!("{}:{}", image.layout.display(), image.tag);
            let binary = option("--binary").and_then(|path| fs::canonicalize(path).ok());
            if copy::run(&name, &folder, rounds, binary.as_deref()) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        "hosts" => {
            let folder = option("--dir").map_or_else(tools::fixtures, PathBuf::from);
            let name = format!("{}:{}", image.layout.display(), image.tag);
            if hosts::run(&name, &folder, rounds) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        _ => {
            floor(&image, &option("--dir").map_or_else(tools::fixtures, PathBuf::from), rounds);
            ExitCode::SUCCESS
        }
    }
}

/// The layout and the tag that are meant; `None` where a fixture cannot be made, which has been said.
fn place(name: &str) -> Result<Option<(PathBuf, String)>, String> {
    let what = "the benchmark's image";
    let large =
        |layout: fn(Large) -> PathBuf| Large::fixture(what).map(|it| (layout(it), Large::TAG.to_owned()));
    Ok(match name {
        "debian" => Debian::fixture(what).map(|it| (it.layout, Debian::TAG.to_owned())),
        "large" => large(|it| it.gzip),
        "large-zstd" => large(|it| it.zstd),
        other => match other.rsplit_once(':') {
            Some((layout, tag)) => {
                let layout = fs::canonicalize(layout).map_err(|error| format!("{layout}: {error}"))?;
                Some((layout, tag.to_owned()))
            }
            None => return Err(format!("`{other}` is no image: debian, large, large-zstd or DIR:TAG")),
        },
    })
}

/// The floor of what is about the layers, shown.
fn floor(image: &Image, folder: &Path, rounds: usize) -> Floor {
    let mut floor = Floor::new(&floor::layers(&image.layout, &image.tag));
    let folder = tempfile::TempDir::new_in(folder).expect("a folder");
    for _ in 0..rounds {
        floor.round(folder.path());
    }
    floor.show(0);
    let job = |name: &str, seconds: f64| {
        println!(
            "  {name:34} {seconds:7.3} s of CPU, {:.3} s over {} cores",
            seconds / cores() as f64,
            cores()
        );
    };
    job("at best, pull", floor.hash() + floor.stage(Stage::WriteBlobs));
    job("at best, export to tar", floor.read(0..floor.layers()) + floor.stage(Stage::WriteTars));
    floor
}

/// A field of the first processor.
fn processor(name: &str) -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    info.lines().find_map(|line| line.strip_prefix(name)?.split_once(": ").map(|(_, value)| value.to_owned()))
}

/// Whether the processor has a flag.
fn flag(name: &str) -> bool {
    processor("flags").is_some_and(|flags| flags.split(' ').any(|it| it == name))
}

/// Says which machine the figures are of.
fn machine() {
    let has = |name: &str| if flag(name) { "with" } else { "without" };
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{}, {} cores, {} SHA instructions (sha_ni), {} AVX-512 (avx512f); load {}",
        processor("model name").unwrap_or_else(|| "unknown processor".into()),
        cores(),
        has("sha_ni"),
        has("avx512f"),
        load.split(' ').next().unwrap_or_default()
    );
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A release build of the command line.
fn wharfie() -> Option<PathBuf> {
    let built = Command::new("cargo")
        .args(["build", "--release", "-p", "wharfie"])
        .current_dir(tools::workspace())
        .status()
        .is_ok_and(|status| status.success());
    built.then(|| crate::test::target_folder().join("release/wharfie"))
}

/// Where peers are built that no package has.
fn peers() -> PathBuf {
    crate::test::target_folder().join("peers")
}

/// crane, from `PATH`, from Go's usual folders, or built.
fn crane() -> Option<PathBuf> {
    const MODULE: &str = "github.com/google/go-containerregistry/cmd/crane@v0.22.1";
    let home = std::env::home_dir().unwrap_or_default();
    let bin = peers().join("bin");
    let found = || {
        tools::which("crane").or_else(|| {
            [home.join("peers/bin"), home.join("go/bin"), bin.clone()]
                .into_iter()
                .map(|folder| folder.join("crane"))
                .find(|path| path.is_file())
        })
    };
    if let Some(crane) = found() {
        return Some(crane);
    }
    if tools::which("go").is_some() {
        fs::create_dir_all(&bin).ok()?;
        drop(tools::command("go").args(["install", MODULE]).env("GOBIN", &bin).status());
    }
    let crane = found();
    if crane.is_none() {
        tools::skip("crane", &format!("not installed: go install {MODULE}"));
    }
    crane
}

/// The crate `oci-image` as a program: `xtask/peer`.
fn peer() -> Option<PathBuf> {
    let target = peers().join("oci-image");
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "--quiet", "--manifest-path", "xtask/peer/Cargo.toml"])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(tools::workspace())
        .status()
        .is_ok_and(|status| status.success());
    if !built {
        tools::skip("oci-image", "xtask/peer does not build");
    }
    built.then(|| target.join("release/peer"))
}
