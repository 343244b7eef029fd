//! `bench hosts`: one image pulled and flattened in each host, beside the native command and what people use there today.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use testbed::registry::{Options, Registry};
use testbed::tools;

use super::meter::{Cost, measure};
use crate::{js, python};

/// What Python programs use today.
const ORAS: &str = "oras==0.2.43";
/// What npm scripts use today.
const NPM: &[&str] = &["tar-stream@3.2.2", "pako@3.0.3"];

type Make<'a> = Box<dyn Fn(&Path) -> Command + 'a>;

struct Candidate<'a> {
    name: &'a str,
    /// Whether its tar has to be the command's, byte for byte.
    ours: bool,
    /// With a folder of its own, in which `root.tar` is to be made.
    make: Make<'a>,
}

/// Measures the candidates; false if one of ours made another tar than the command.
pub(super) fn run(image: &str, folder: &Path, rounds: usize) -> bool {
    let Some(registry) = Registry::start("bench hosts", &Options { origins: true, ..Options::default() })
    else {
        return false;
    };
    let Some(wharfie) = super::wharfie() else { return false };
    registry.push(&format!("oci:{image}"), "bench:1", &[]);
    let source = &registry.image("bench:1");
    let scripts = tools::workspace().join("xtask/bench/hosts");
    let script = |name: &str| scripts.join(name);
    let mut candidates = vec![Candidate {
        name: "wharfie export",
        ours: true,
        make: Box::new(|folder| {
            let mut command = Command::new(&wharfie);
            command.args(["export", "--quiet", source, "-o"]).arg(folder.join("root.tar"));
            command.arg("--store").arg(folder.join("store"));
            command
        }),
    }];
    let ours = |mut command: Command, script: PathBuf, folder: &Path| {
        command.arg(script).arg(source).arg(folder.join("root.tar")).arg(folder.join("store"));
        command
    };
    match python::released() {
        Ok(python) => {
            let script = script("wharfie_python.py");
            let make: Make<'_> = Box::new(move |folder| ours(Command::new(&python), script.clone(), folder));
            candidates.push(Candidate { name: "Python (httpx)", ours: true, make });
        }
        Err(why) => tools::skip("Python", &why),
    }
    match js::released() {
        Ok(modules) => {
            let script = modules.join("wharfie_node.mjs");
            fs::copy(scripts.join("wharfie_node.mjs"), &script).expect("a script beside its modules");
            for (name, backend) in [("Node (native)", "native"), ("Node (WebAssembly)", "wasm")] {
                let script = script.clone();
                let make: Make<'_> = Box::new(move |folder| {
                    let mut command = Command::new("node");
                    command.env("WHARFIE_BACKEND", backend);
                    ours(command, script.clone(), folder)
                });
                candidates.push(Candidate { name, ours: true, make });
            }
        }
        Err(why) => tools::skip("Node", &why),
    }
    match js::saver() {
        Ok(script) => {
            let make: Make<'_> = Box::new(move |folder| ours(Command::new("node"), script.clone(), folder));
            candidates.push(Candidate { name: "Chromium", ours: true, make });
        }
        Err(why) => tools::skip("the browser", &why),
    }
    let peer = |mut command: Command, script: PathBuf, folder: &Path| {
        command.arg(script).arg(source).arg(folder.join("root.tar"));
        command
    };
    if let Some(python) = oras() {
        let script = script("oras_tarfile.py");
        let make: Make<'_> = Box::new(move |folder| peer(Command::new(&python), script.clone(), folder));
        candidates.push(Candidate { name: "oras-py, tarfile", ours: false, make });
    }
    if let Some(modules) = npm() {
        let script = modules.join("tar_stream_pako.mjs");
        fs::copy(scripts.join("tar_stream_pako.mjs"), &script).expect("a script beside its modules");
        let make: Make<'_> = Box::new(move |folder| peer(Command::new("node"), script.clone(), folder));
        candidates.push(Candidate { name: "tar-stream, pako", ours: false, make });
    }
    if tools::have("skopeo and umoci", &["skopeo", "umoci", "tar"]) {
        let script = script("skopeo_umoci.sh");
        let make: Make<'_> = Box::new(move |folder| peer(Command::new("sh"), script.clone(), folder));
        candidates.push(Candidate { name: "skopeo, umoci, tar", ours: false, make });
    }
    measured(&candidates, folder, rounds)
}

fn measured(candidates: &[Candidate<'_>], folder: &Path, rounds: usize) -> bool {
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); candidates.len()];
    let mut native = None;
    let mut right = true;
    // The first round warms everything up, is looked at for its bytes, and is not counted.
    for round in 0..=rounds {
        for (number, candidate) in candidates.iter().enumerate() {
            let folder = TempDir::new_in(folder).expect("a folder");
            let cost = measure(&mut (candidate.make)(folder.path())).unwrap_or_else(|why| panic!("{why}"));
            if round > 0 {
                costs[number].push(cost);
            } else if candidate.ours {
                let tar = fs::read(folder.path().join("root.tar")).expect("the root");
                let native = native.get_or_insert_with(|| tar.clone());
                if *native != tar {
                    println!("{}: another tar than the command's", candidate.name);
                    right = false;
                }
            }
        }
    }
    println!("\npull over loopback and flatten to a tar, medians of {rounds}, alternating");
    println!(
        "  {:20} {:>8} {:>8} {:>9}   of the command: wall, CPU, peak",
        "", "wall s", "CPU s", "peak MiB"
    );
    let medians: Vec<Cost> = costs.iter().map(|runs| Cost::median(runs)).collect();
    for (candidate, cost) in candidates.iter().zip(&medians) {
        println!(
            "  {:20} {:8.3} {:8.3} {:9.1}   {:.2}, {:.2}, {:.2}",
            candidate.name,
            cost.wall,
            cost.cpu,
            cost.peak,
            cost.wall / medians[0].wall,
            cost.cpu / medians[0].cpu,
            cost.peak / medians[0].peak
        );
    }
    right
}

/// A Python with oras-py.
fn oras() -> Option<PathBuf> {
    let folder = super::peers().join("oras");
    let python = folder.join("bin/python");
    let made = python.is_file()
        || Command::new("python3").args(["-m", "venv"]).arg(&folder).status().is_ok_and(|it| it.success());
    let installed = made
        && Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ORAS])
            .status()
            .is_ok_and(|it| it.success());
    if !installed {
        tools::skip("oras-py", "pip cannot install it");
    }
    installed.then_some(python)
}

/// A folder with tar-stream and pako.
fn npm() -> Option<PathBuf> {
    let folder = super::peers().join("tar-stream");
    fs::create_dir_all(&folder).ok()?;
    fs::write(folder.join("package.json"), r#"{"private":true,"type":"module"}"#).ok()?;
    let installed = Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund"])
        .args(NPM)
        .current_dir(&folder)
        .status()
        .is_ok_and(|it| it.success());
    if !installed {
        tools::skip("tar-stream", "npm cannot install it");
    }
    installed.then_some(folder)
}
