//! `cargo xtask bench`: the same job by Wharfie and by its peers, alternating, beside what this machine could do at
//! best on the same bytes.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testbed::debian::Debian;
use testbed::registry::{Options, Registry};
use testbed::tools;
use wait4::Wait4;

/// How often everything is done; medians are shown.
const ROUNDS: usize = 7;

pub(crate) const USAGE: &str = "\
usage: cargo xtask bench pull|floor [--rounds N] [--image DIR:TAG] [--dir DIR]

  pull   wharfie pull, skopeo copy and crane pull (where installed) from one loopback registry, alternating
  floor  hashing, inflating and writing the same layers with the best primitives

The image is an OCI layout on disk; the Debian fixture by default. What is pulled goes below DIR, by default that of
the fixtures. Wharfie syncs a blob to the disk before it gets its name, and its peers do not: on a file system in
memory (--dir /dev/shm) the rest is compared. Run it on an idle machine.
";

/// Runs one benchmark.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let option =
        |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied();
    let rounds = option("--rounds").and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let Some(image) = option("--image").map(str::to_owned).or_else(|| {
        let debian = Debian::fixture("the benchmark's image")?;
        Some(format!("{}:{}", debian.layout.display(), Debian::TAG))
    }) else {
        return ExitCode::FAILURE;
    };
    let Some((layout, tag)) = image.rsplit_once(':') else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let folder = option("--dir").map_or_else(tools::fixtures, PathBuf::from);
    machine();
    match words.first() {
        Some(&"pull") => {
            // First the children: each begins with the peak memory of the process that it was forked from.
            let Some(cost) = pull(&image, &folder, rounds) else { return ExitCode::FAILURE };
            let floor = floor(Path::new(layout), tag, &folder, rounds);
            println!(
                "  wharfie's CPU is {:.2} of hashing alone, {:.2} of hashing and writing",
                cost.cpu / floor.hash,
                cost.cpu / (floor.hash + floor.write)
            );
            ExitCode::SUCCESS
        }
        Some(&"floor") => {
            floor(Path::new(layout), tag, &folder, rounds);
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Says which machine the figures are of.
fn machine() {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.split_once(": ").map(|(_, value)| value.to_owned()))
    };
    let flags = field("flags").unwrap_or_default();
    let has = |flag: &str| if flags.split(' ').any(|it| it == flag) { "with" } else { "without" };
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{}, {} cores, {} SHA instructions, {} AVX-512; load {}",
        field("model name").unwrap_or_else(|| "unknown processor".into()),
        cores(),
        has("sha_ni"),
        has("avx512f"),
        load.split(' ').next().unwrap_or_default()
    );
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values[values.len() / 2]
}

/// The processor time of this thread, in seconds.
fn thread_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What the stages cost on one core, in seconds.
struct Floor {
    /// sha256 of the blobs.
    hash: f64,
    /// Writing the blobs.
    write: f64,
}

/// The layers' blobs of an image on disk.
fn layers(layout: &Path, tag: &str) -> Vec<PathBuf> {
    let read = |path: PathBuf| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path).expect("a document of the layout")).expect("JSON")
    };
    let blob = |digest: &serde_json::Value| {
        layout.join("blobs").join(digest.as_str().expect("a digest").replace(':', "/"))
    };
    let index = read(layout.join("index.json"));
    let manifest = index["manifests"]
        .as_array()
        .expect("manifests")
        .iter()
        .find(|it| it["annotations"]["org.opencontainers.image.ref.name"] == tag)
        .unwrap_or_else(|| panic!("{}: there is no {tag}", layout.display()));
    let manifest = read(blob(&manifest["digest"]));
    let layers = manifest["layers"].as_array().expect("an image manifest, not an index");
    layers.iter().map(|layer| blob(&layer["digest"])).collect()
}

const MEGABYTE: f64 = 1e6;

fn floor(layout: &Path, tag: &str, target: &Path, rounds: usize) -> Floor {
    let blobs: Vec<Vec<u8>> =
        layers(layout, tag).iter().map(|path| fs::read(path).expect("a layer")).collect();
    let gzip: Vec<&Vec<u8>> = blobs.iter().filter(|blob| blob.starts_with(&[0x1f, 0x8b])).collect();
    assert!(gzip.len() == blobs.len(), "the floor is measured on gzip layers");
    let mut inflater = libdeflater::Decompressor::new();
    let mut tars: Vec<Vec<u8>> = Vec::new();
    for blob in &blobs {
        // Layers under 4 GiB: the trailer says how long.
        let tail: [u8; 4] = blob[blob.len() - 4..].try_into().expect("four bytes");
        let mut out = vec![0; u32::from_le_bytes(tail) as usize];
        inflater.gzip_decompress(blob, &mut out).expect("a gzip layer of one member");
        tars.push(out);
    }
    let packed: u64 = blobs.iter().map(|it| it.len() as u64).sum();
    let unpacked: u64 = tars.iter().map(|it| it.len() as u64).sum();
    let folder = TempDir::new_in(target).expect("a folder");
    let stage = |name: &str, bytes: u64, work: &mut dyn FnMut()| {
        let seconds = median(
            (0..rounds)
                .map(|_| {
                    // Of this thread's own: a busy machine makes it no slower.
                    let begun = thread_time();
                    work();
                    thread_time() - begun
                })
                .collect(),
        );
        println!("  {name:34} {seconds:7.3} s  {:7.0} MB/s", bytes as f64 / MEGABYTE / seconds);
        seconds
    };
    println!(
        "\nfloor: {} layers, {:.1} MB packed, {:.1} MB unpacked; CPU time, page cache, medians of {rounds}",
        blobs.len(),
        packed as f64 / MEGABYTE,
        unpacked as f64 / MEGABYTE
    );
    let sha256 = |data: &Vec<u8>| {
        std::hint::black_box(ring::digest::digest(&ring::digest::SHA256, data));
    };
    let write = |name: &str, data: &[Vec<u8>]| {
        let path = folder.path().join(name);
        let mut file = File::create(&path).expect("a file");
        for piece in data {
            for chunk in piece.chunks(1 << 20) {
                file.write_all(chunk).expect("the disk takes it");
            }
        }
        drop(file);
        fs::remove_file(path).expect("it was there");
    };
    let hash = stage("sha256 of the blobs (ring)", packed, &mut || blobs.iter().for_each(sha256));
    let hash_tars = stage("sha256 of the tars (ring)", unpacked, &mut || tars.iter().for_each(sha256));
    let mut outs: Vec<Vec<u8>> = tars.iter().map(|tar| vec![1; tar.len()]).collect();
    let inflate = stage("inflate (libdeflate)", unpacked, &mut || {
        for (blob, out) in blobs.iter().zip(&mut outs) {
            inflater.gzip_decompress(blob, out).expect("it worked before");
        }
    });
    let write_blobs = stage("write the blobs", packed, &mut || write("blobs", &blobs));
    let write_tars = stage("write the tars", unpacked, &mut || write("tars", &tars));
    let job = |name: &str, stages: &[f64]| {
        let sum: f64 = stages.iter().sum();
        println!("  {name:34} {sum:7.3} s of CPU, {:.3} s over {} cores", sum / cores() as f64, cores());
    };
    job("at best, pull", &[hash, write_blobs]);
    job("at best, export to tar", &[hash, inflate, hash_tars, write_tars]);
    Floor { hash, write: write_blobs }
}

/// One run of one candidate.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
    peak: f64,
}

fn measure(command: &mut Command) -> Cost {
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut said = String::new();
    drop(child.stderr.take().expect("a pipe").read_to_string(&mut said));
    let used = child.wait4().expect("a child");
    let wall = begun.elapsed().as_secs_f64();
    assert!(used.status.success(), "{command:?}\n{said}");
    let seconds = |time: Duration| time.as_secs_f64();
    Cost {
        wall,
        cpu: seconds(used.rusage.utime) + seconds(used.rusage.stime),
        peak: used.rusage.maxrss as f64 / (1 << 20) as f64,
    }
}

/// Measures the candidates; the medians of the first, Wharfie.
fn pull(image: &str, target: &Path, rounds: usize) -> Option<Cost> {
    let registry = Registry::start("bench pull", &Options::default())?;
    if !tools::have("bench pull", &["skopeo"]) {
        return None;
    }
    let built = Command::new("cargo")
        .args(["build", "--release", "-p", "wharfie"])
        .current_dir(tools::workspace())
        .status()
        .is_ok_and(|status| status.success());
    if !built {
        return None;
    }
    let wharfie = crate::test::target_folder().join("release/wharfie");
    registry.push(&format!("oci:{image}"), "bench:1", &[]);
    let source = &registry.image("bench:1");
    let crane = tools::which("crane");
    if crane.is_none() {
        tools::skip(
            "crane",
            "not installed: go install github.com/google/go-containerregistry/cmd/crane@v0.22.1",
        );
    }
    type Make<'a> = Box<dyn Fn(&Path) -> Command + 'a>;
    let mut candidates: Vec<(&str, Make<'_>)> = vec![
        (
            "wharfie pull",
            Box::new(|folder| {
                let mut command = Command::new(&wharfie);
                command.args(["pull", "--quiet", "--store"]).arg(folder).arg(source);
                command
            }),
        ),
        (
            "skopeo copy",
            Box::new(|folder| {
                let mut command = registry.skopeo("copy");
                command.args(["-q", "--src-tls-verify=false"]).arg(format!("docker://{source}"));
                command.arg(format!("oci:{}:bench", folder.display()));
                command
            }),
        ),
    ];
    if let Some(crane) = crane {
        candidates.push((
            "crane pull",
            Box::new(move |folder| {
                let mut command = Command::new(&crane);
                command.args(["pull", "--format=oci", source]).arg(folder);
                command
            }),
        ));
    }
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); candidates.len()];
    // The first round warms everything up and is not counted.
    for round in 0..=rounds {
        for (number, (_, make)) in candidates.iter().enumerate() {
            let folder = TempDir::new_in(target).expect("a folder");
            let cost = measure(&mut make(&folder.path().join("out")));
            if round > 0 {
                costs[number].push(cost);
            }
        }
    }
    println!("\npull over loopback into {}, medians of {rounds}, alternating", target.display());
    println!("  {:14} {:>8} {:>8} {:>9}   of the first: wall, CPU, peak", "", "wall s", "CPU s", "peak MiB");
    let medians: Vec<Cost> = costs
        .iter()
        .map(|runs| Cost {
            wall: median(runs.iter().map(|it| it.wall).collect()),
            cpu: median(runs.iter().map(|it| it.cpu).collect()),
            peak: median(runs.iter().map(|it| it.peak).collect()),
        })
        .collect();
    for ((name, _), cost) in candidates.iter().zip(&medians) {
        println!(
            "  {name:14} {:8.3} {:8.3} {:9.1}   {:.2}, {:.2}, {:.2}",
            cost.wall,
            cost.cpu,
            cost.peak,
            cost.wall / medians[0].wall,
            cost.cpu / medians[0].cpu,
            cost.peak / medians[0].peak
        );
    }
    Some(medians[0])
}
