//! `bench layers`: flattened tars, directories and single files out of one image, by Wharfie and by its peers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use testbed::registry::{Options, Registry};
use testbed::tools;

use super::disk::{Disk, Ground, Kind};
use super::floor::{self, Floor, Plan};
use super::jobs::{Candidate, Gives, Goal, JOBS, Job, MEMORY, OF_FLOOR, Takes};
use super::meter::{Cost, measure};
use super::{Image, MEGABYTE, cores, flag};

/// A candidate whose first run took longer than this is run in every third round only.
const SLOW: f64 = 20.0;

/// What is asked for.
pub(super) struct Request<'a> {
    pub(super) image: &'a Image,
    pub(super) rounds: usize,
    /// Jobs by name; all where empty.
    pub(super) jobs: Vec<&'a str>,
    /// Peers whose name holds one of these; all where `None`.
    pub(super) peers: Option<Vec<&'a str>>,
    /// File systems for directories; all where empty.
    pub(super) disks: Vec<&'a str>,
    /// Wharfie; built where `None`.
    pub(super) binary: Option<PathBuf>,
    /// Where the file systems in memory are mounted.
    pub(super) folder: &'a Path,
}

/// One candidate of one job on one file system.
struct Entrant {
    job: &'static Job,
    candidate: &'static Candidate,
    disk: Kind,
    runs: Vec<Cost>,
    /// The bytes of its output.
    size: Option<u64>,
    slow: bool,
    /// Why it does not take part.
    out: Option<String>,
}

/// What the candidates' scripts find.
struct World<'a> {
    image: &'a Image,
    blobs: Vec<PathBuf>,
    registry: Registry,
    ground: Ground,
    wharfie: PathBuf,
    crane: Option<PathBuf>,
    peer: Option<PathBuf>,
}

/// Measures and prints. A failure is a failure of Wharfie's.
pub(super) fn run(request: &Request<'_>) -> ExitCode {
    if let Some(unknown) = request.jobs.iter().find(|name| !JOBS.iter().any(|job| job.name == **name)) {
        let known: Vec<&str> = JOBS.iter().map(|job| job.name).collect();
        eprintln!("there is no job `{unknown}`; there are {}", known.join(", "));
        return ExitCode::from(2);
    }
    let Some(world) = World::new(request) else { return ExitCode::FAILURE };
    let mut entrants = world.entrants(request);
    let mut floor = Floor::new(&world.blobs);
    let flat = world.flat();
    println!(
        "{} layers, {:.1} MB packed, {:.1} MB of tar, flattened {:.1} MB; {} rounds, alternating",
        world.blobs.len(),
        floor.packed() as f64 / MEGABYTE,
        floor.unpacked() as f64 / MEGABYTE,
        flat.len() as f64 / MEGABYTE,
        request.rounds,
    );
    let plan = Plan::new(&flat).expect("a flattened tar");
    // Round 0 warms everything up, finds out who cannot take part, and is not counted.
    for round in 0..=request.rounds {
        for entrant in &mut entrants {
            world.turn(entrant, round);
        }
        if round > 0 {
            world.floor(&mut floor, &plan, &flat, &entrants);
        }
        eprint!("{}", if round == request.rounds { "\n" } else { "." });
    }
    drop(plan);
    for job in JOBS {
        for disk in [Kind::Ext4, Kind::Tmpfs, Kind::Folder] {
            let those: Vec<&Entrant> =
                entrants.iter().filter(|it| it.job.name == job.name && it.disk == disk).collect();
            if !those.is_empty() {
                report(&those, &floor, flat.len(), &world.blobs);
            }
        }
    }
    floor.show(flat.len());
    let ours = entrants.iter().any(|it| it.candidate.name.starts_with("wharfie") && failed(it));
    if ours { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Whether it was run and did not do it.
fn failed(entrant: &Entrant) -> bool {
    entrant.out.as_ref().is_some_and(|why| why.starts_with("failed"))
}

impl<'a> World<'a> {
    fn new(request: &Request<'a>) -> Option<Self> {
        let registry = Registry::start("bench layers", &Options::default())?;
        if !tools::have("bench layers", &["skopeo", "sh", "bash"]) {
            return None;
        }
        let wharfie = request.binary.clone().or_else(super::wharfie)?;
        let image = request.image;
        registry.push(&format!("oci:{}:{}", image.layout.display(), image.tag), "bench:1", &[]);
        Some(Self {
            image,
            blobs: floor::layers(&image.layout, &image.tag),
            registry,
            ground: Ground::new(request.folder),
            wharfie,
            crane: super::crane(),
            peer: super::peer(),
        })
    }

    /// The flattened tar, by Wharfie.
    fn flat(&self) -> Vec<u8> {
        let disk = self.ground.fresh(self.ground.kinds(&[Kind::Tmpfs])[0]);
        let path = disk.path().join("flat.tar");
        let image = format!("oci:{}:{}", self.image.layout.display(), self.image.tag);
        tools::run(Command::new(&self.wharfie).args(["-q", "export", &image, "-o"]).arg(&path));
        fs::read(path).expect("the flattened tar")
    }

    fn entrants(&self, request: &Request<'_>) -> Vec<Entrant> {
        let mut entrants = Vec::new();
        let mut said = Vec::new();
        for job in JOBS.iter().filter(|job| request.jobs.is_empty() || request.jobs.contains(&job.name)) {
            let wanted: Vec<Kind> = job
                .disks
                .iter()
                .copied()
                .filter(|kind| {
                    job.disks.len() == 1 || request.disks.is_empty() || request.disks.contains(&kind.name())
                })
                .collect();
            for disk in self.ground.kinds(&wanted) {
                for candidate in job.candidates {
                    let chosen = |words: &Vec<&str>| words.iter().any(|word| candidate.name.contains(word));
                    let ours = candidate.name.starts_with("wharfie");
                    if !ours && request.peers.as_ref().is_some_and(|words| !chosen(words)) {
                        continue;
                    }
                    let out = self.cannot(candidate);
                    if let Some(why) = &out
                        && !said.contains(&(candidate.name, why.clone()))
                    {
                        tools::skip(&format!("{}, {}", job.name, candidate.name), why);
                        said.push((candidate.name, why.clone()));
                    }
                    entrants.push(Entrant {
                        job,
                        candidate,
                        disk,
                        runs: Vec::new(),
                        size: None,
                        slow: false,
                        out,
                    });
                }
            }
        }
        entrants
    }

    /// Why a candidate cannot take part.
    fn cannot(&self, candidate: &Candidate) -> Option<String> {
        let is = |magic: &[u8]| {
            self.blobs.iter().all(|path| {
                let mut start = vec![0; magic.len()];
                let read = fs::File::open(path)
                    .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start));
                read.is_ok() && start == magic
            })
        };
        match candidate.takes {
            Takes::Gzip if !is(&[0x1f, 0x8b]) => return Some("takes no layers but gzip's".into()),
            Takes::Zstd if !is(&[0x28, 0xb5, 0x2f, 0xfd]) => return Some("it is for layers of zstd".into()),
            _ => {}
        }
        candidate.needs.iter().find_map(|need| {
            let there = match *need {
                "crane" => self.crane.is_some(),
                "peer" => self.peer.is_some(),
                command if candidate.name.starts_with("wharfie") && command != "taskset" => {
                    let (command, option) = command.split_once(' ').unwrap_or((command, ""));
                    let help = Command::new(&self.wharfie).args([command, "--help"]).output();
                    let has = help.is_ok_and(|output| {
                        output.status.success() && String::from_utf8_lossy(&output.stdout).contains(option)
                    });
                    if !has {
                        return Some(format!("this build has no `wharfie {need}`"));
                    }
                    true
                }
                program => tools::which(program).is_some(),
            };
            (!there).then(|| format!("not installed: {need}"))
        })
    }

    fn turn(&self, entrant: &mut Entrant, round: usize) {
        if entrant.out.is_some() || (entrant.slow && round % 3 != 1) {
            return;
        }
        let disk = self.ground.fresh(entrant.disk);
        let candidate = entrant.candidate;
        let mut command = self.command(candidate, &disk, round);
        match measure(&mut command) {
            Ok(cost) if round == 0 => entrant.slow = cost.wall > SLOW,
            Ok(cost) => entrant.runs.push(cost),
            Err(why) => {
                eprintln!("{}, {}: {why}", entrant.job.name, candidate.name);
                entrant.out = Some(format!("failed: {why}"));
                return;
            }
        }
        entrant.size = match candidate.gives {
            Gives::File(name) => fs::metadata(disk.path().join(name)).ok().map(|meta| meta.len()),
            Gives::Pushed(name) => self.pushed(&format!("{name}:{round}")),
            Gives::Other => None,
        };
    }

    fn command(&self, candidate: &Candidate, disk: &Disk, round: usize) -> Command {
        // A pipe's every part has to do its work; where there is none, the smaller shell starts faster.
        let mut command = if candidate.script.contains(" | ") {
            let mut command = Command::new("bash");
            command.args(["-o", "pipefail"]);
            command
        } else {
            Command::new("sh")
        };
        command.args(["-ec", candidate.script, "bench"]).args(&self.blobs).current_dir(disk.path());
        let empty = PathBuf::new();
        let (layout, tag) = (self.image.layout.display().to_string(), &self.image.tag);
        command.env("wharfie", &self.wharfie).env("crane", self.crane.as_ref().unwrap_or(&empty));
        command.env("peer", self.peer.as_ref().unwrap_or(&empty)).env("out", disk.path());
        command.env("image", format!("oci:{layout}:{tag}")).env("layout", &layout).env("tag", tag);
        command.env("source", self.registry.image("bench:1"));
        command.env("registry", self.registry.address().to_string()).env("round", round.to_string());
        command.env("top", &self.image.top).env("bottom", &self.image.bottom);
        command
    }

    /// The bytes of an image's layers in the registry.
    fn pushed(&self, name: &str) -> Option<u64> {
        let output = Command::new(self.crane.as_ref()?)
            .arg("manifest")
            .arg(self.registry.image(name))
            .output()
            .ok()?;
        let manifest: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(manifest["layers"].as_array()?.iter().filter_map(|layer| layer["size"].as_u64()).sum())
    }

    /// One sample of what the machine can do, of what the jobs need.
    fn floor(&self, floor: &mut Floor, plan: &Plan<'_>, flat: &[u8], entrants: &[Entrant]) {
        let job = |name: &str| entrants.iter().any(|it| it.job.name == name);
        let disk = self.ground.fresh(self.ground.kinds(&[Kind::Tmpfs])[0]);
        floor.round(disk.path());
        if job("tar") || job("tar.gz") || job("tar.zst") {
            floor.round_flat(flat, disk.path(), job("tar.zst"));
        }
        drop(disk);
        let mut kinds: Vec<Kind> =
            entrants.iter().filter(|it| it.job.name == "unpack").map(|it| it.disk).collect();
        kinds.dedup();
        for kind in kinds {
            let disk = self.ground.fresh(kind);
            floor.round_files(plan, disk.path(), kind.name());
        }
    }
}

/// The table of one job, and its goals.
fn report(entrants: &[&Entrant], floor: &Floor, flat: usize, blobs: &[PathBuf]) {
    let Some(first) = entrants.first() else { return };
    let job = first.job;
    println!("\n{} ({}), on {}", job.title, job.name, first.disk.name());
    println!(
        "  {:28} {:>3} {:>9} {:>9} {:>9} {:>9} {:>6}   of ours: wall, CPU, peak",
        "", "n", "wall s", "CPU s", "peak MiB", "MB out", "ratio"
    );
    let ours = (!first.runs.is_empty()).then(|| Cost::median(&first.runs));
    for entrant in entrants {
        let name = entrant.candidate.name;
        if let Some(why) = &entrant.out {
            println!("  {name:28} {why}");
            continue;
        }
        if entrant.runs.is_empty() {
            println!("  {name:28} was not run: more rounds are needed");
            continue;
        }
        let cost = Cost::median(&entrant.runs);
        let (out, ratio) = entrant.size.map_or((String::new(), String::new()), |size| {
            (format!("{:.1}", size as f64 / MEGABYTE), format!("{:.3}", flat as f64 / size as f64))
        });
        let of = ours.map_or(String::new(), |ours| {
            format!("{:.2}, {:.2}, {:.2}", cost.wall / ours.wall, cost.cpu / ours.cpu, cost.peak / ours.peak)
        });
        println!(
            "  {name:28} {:3} {:9.3} {:9.3} {:9.1} {out:>9} {ratio:>6}   {of}",
            entrant.runs.len(),
            cost.wall,
            cost.cpu,
            cost.peak
        );
    }
    let best = (job.floor)(floor, first.disk.name());
    let over = if job.shared { cores() } else { 1 };
    println!("  {:28} {:3} {:9.3} {best:9.3}   of {over} cores", "at best", "", best / over as f64);
    let Some(ours) = ours else { return };
    let line = |met: bool, text: String| println!("  {} {text}", if met { "met   " } else { "MISSED" });
    let of_floor = ours.wall / (best / over as f64);
    line(
        of_floor <= OF_FLOOR,
        format!("ours / floor: {of_floor:.2} of wall, {:.2} of CPU; the goal is {OF_FLOOR}", ours.cpu / best),
    );
    line(ours.peak < MEMORY, format!("peak memory: {:.1} MiB; the goal is under {MEMORY:.0}", ours.peak));
    let peer = |name: &str| -> Option<Cost> {
        let found = entrants.iter().find(|it| it.candidate.name == name && !it.runs.is_empty())?;
        Some(Cost::median(&found.runs))
    };
    for goal in job.goals {
        match *goal {
            Goal::Faster(name, without, with) => {
                faster(name, if flag("sha_ni") { with } else { without }, ours, &peer, &line);
            }
            Goal::FasterByCopying(name, there, elsewhere) => {
                let copies = cfg!(all(target_os = "linux", target_arch = "x86_64"));
                faster(name, if copies { there } else { elsewhere }, ours, &peer, &line);
            }
            Goal::Ratio(least) => {
                if let Some(size) = first.size {
                    let ratio = flat as f64 / size as f64;
                    line(ratio >= least, format!("ratio {ratio:.3}; the goal is at least {least}"));
                }
            }
            Goal::OneCore(name, most) => {
                if let Some(one) = peer(name) {
                    let times = one.wall / ours.wall;
                    line(times <= most, format!("one core: {times:.2} of ours; the goal is at most {most}"));
                }
            }
            Goal::Reads(layers) => {
                let most: u64 = blobs
                    .iter()
                    .rev()
                    .take(layers)
                    .filter_map(|path| path.metadata().ok())
                    .map(|it| it.len())
                    .sum();
                // Its own files, the manifest and the config come besides.
                let most = most as f64 / MEGABYTE + 1.0;
                line(ours.read <= most, format!("read {:.1} MB; the goal is at most {most:.1}", ours.read));
            }
        }
    }
}

fn faster(
    name: &str,
    goal: f64,
    ours: Cost,
    peer: &dyn Fn(&str) -> Option<Cost>,
    line: &dyn Fn(bool, String),
) {
    let Some(theirs) = peer(name) else { return };
    let times = theirs.wall / ours.wall;
    let same = peer("wharfie, from the registry")
        .map_or(String::new(), |cost| format!(" ({:.2} from the same registry)", theirs.wall / cost.wall));
    line(times >= goal, format!("{times:.2} times as fast as {name}{same}; the goal is {goal}"));
}
