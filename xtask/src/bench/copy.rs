//! `bench copy`

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use testbed::registry::{Options, Registry};
use testbed::tools;

use super::meter::{Cost, measure};

/// Copies one image, from where to where.
struct Job<'a> {
    name: &'static str,
    /// Wharfie first. Each is given a folder of its own and a number that nothing had before.
    candidates: Vec<(&'static str, Make<'a>)>,
}

type Make<'a> = Box<dyn Fn(&Path, usize) -> Command + 'a>;

/// Measures every job; whether any was.
pub(super) fn run(image: &str, target: &Path, rounds: usize, binary: Option<&Path>) -> bool {
    let what = "bench copy";
    let (Some(one), Some(other)) =
        (Registry::start(what, &Options::default()), Registry::start(what, &Options::default()))
    else {
        return false;
    };
    if !tools::have(what, &["skopeo"]) {
        return false;
    }
    let built = || super::wharfie();
    let Some(wharfie) = binary.map(Path::to_owned).or_else(built) else { return false };
    let layout = format!("oci:{image}");
    one.push(&layout, "bench:1", &[]);
    let source = one.image("bench:1");
    let crane = super::crane();
    let folder = TempDir::new_in(target).expect("a folder");
    let store = folder.path().join("store");
    let copy = |from: &str, to: &str| {
        let mut command = Command::new(&wharfie);
        command.args(["copy", "--all", "--quiet", "--store"]).arg(&store).args([from, to]);
        command
    };
    let skopeo = |from: &str, to: &str| {
        // What it remembers of earlier rounds it would mount instead of sending it.
        let _ = std::fs::remove_file("/var/lib/containers/cache/blob-info-cache-v1.boltdb");
        let mut command = one.skopeo("copy");
        command.args(["-q", "--src-tls-verify=false", "--dest-tls-verify=false"]).args([from, to]);
        command
    };
    let out = |folder: &Path, kind: &str| format!("{kind}:{}", folder.join("out").display());
    // A repository that has nothing: what it had would not be sent again.
    let fresh = |registry: &Registry, who: &str, number: usize| registry.image(&format!("{who}-{number}:1"));
    let mut jobs = vec![
        Job {
            name: "registry to layout",
            candidates: vec![
                ("wharfie", Box::new(|folder, _| copy(&source, &format!("{}:1", out(folder, "oci"))))),
                (
                    "skopeo",
                    Box::new(|folder, _| {
                        skopeo(&format!("docker://{source}"), &format!("{}:1", out(folder, "oci")))
                    }),
                ),
            ],
        },
        Job {
            name: "layout to registry",
            candidates: vec![
                ("wharfie", Box::new(|_, number| copy(&layout, &fresh(&other, "wharfie-up", number)))),
                (
                    "skopeo",
                    Box::new(|_, number| {
                        skopeo(&layout, &format!("docker://{}", fresh(&other, "skopeo-up", number)))
                    }),
                ),
            ],
        },
        Job {
            name: "registry to registry",
            candidates: vec![
                ("wharfie", Box::new(|_, number| copy(&source, &fresh(&other, "wharfie", number)))),
                (
                    "skopeo",
                    Box::new(|_, number| {
                        let to = format!("docker://{}", fresh(&other, "skopeo", number));
                        skopeo(&format!("docker://{source}"), &to)
                    }),
                ),
            ],
        },
        Job {
            name: "layout to docker-archive",
            candidates: vec![
                ("wharfie", Box::new(|folder, _| copy(&layout, &out(folder, "docker-archive")))),
                ("skopeo", Box::new(|folder, _| skopeo(&layout, &out(folder, "docker-archive")))),
            ],
        },
    ];
    if let Some(crane) = &crane {
        let (source, other, fresh) = (&source, &other, &fresh);
        let candidates = [
            (
                0,
                Box::new(move |folder: &Path, _: usize| {
                    let mut command = Command::new(crane);
                    command.args(["pull", "--format=oci", source]).arg(folder.join("out"));
                    command
                }) as Make<'_>,
            ),
            (
                2,
                Box::new(move |_: &Path, number: usize| {
                    let mut command = Command::new(crane);
                    command.args(["copy", source]).arg(fresh(other, "crane", number));
                    command
                }) as Make<'_>,
            ),
        ];
        for (job, make) in candidates {
            jobs[job].candidates.push(("crane", make));
        }
    }
    let mut number = 0;
    for job in &jobs {
        let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); job.candidates.len()];
        // The first round warms everything up and is not counted.
        for round in 0..=rounds {
            for (runs, (name, make)) in costs.iter_mut().zip(&job.candidates) {
                let folder = TempDir::new_in(target).expect("a folder");
                number += 1;
                let cost = measure(&mut make(folder.path(), number))
                    .unwrap_or_else(|why| panic!("{}, {name}: {why}", job.name));
                if round > 0 {
                    runs.push(cost);
                }
            }
        }
        println!("\n{}, medians of {rounds}, alternating", job.name);
        println!(
            "  {:10} {:>8} {:>8} {:>9}   of the first: wall, CPU, peak",
            "", "wall s", "CPU s", "peak MiB"
        );
        let medians: Vec<Cost> = costs.iter().map(|runs| Cost::median(runs)).collect();
        for ((name, _), cost) in job.candidates.iter().zip(&medians) {
            println!(
                "  {name:10} {:8.3} {:8.3} {:9.1}   {:.2}, {:.2}, {:.2}",
                cost.wall,
                cost.cpu,
                cost.peak,
                cost.wall / medians[0].wall,
                cost.cpu / medians[0].cpu,
                cost.peak / medians[0].peak
            );
        }
    }
    true
}
