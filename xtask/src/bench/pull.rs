//! `bench pull`

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use testbed::registry::{Options, Registry};
use testbed::tools;

use super::meter::{Cost, measure};

/// Measures the candidates; the medians of the first, Wharfie.
pub(super) fn run(image: &str, target: &Path, rounds: usize) -> Option<Cost> {
    let registry = Registry::start("bench pull", &Options::default())?;
    if !tools::have("bench pull", &["skopeo"]) {
        return None;
    }
    let wharfie = super::wharfie()?;
    registry.push(&format!("oci:{image}"), "bench:1", &[]);
    let source = &registry.image("bench:1");
    let crane = super::crane();
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
            let cost = measure(&mut make(&folder.path().join("out"))).unwrap_or_else(|why| panic!("{why}"));
            if round > 0 {
                costs[number].push(cost);
            }
        }
    }
    println!("\npull over loopback into {}, medians of {rounds}, alternating", target.display());
    println!("  {:14} {:>8} {:>8} {:>9}   of the first: wall, CPU, peak", "", "wall s", "CPU s", "peak MiB");
    let medians: Vec<Cost> = costs.iter().map(|runs| Cost::median(runs)).collect();
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
    medians.first().copied()
}
