//! What merging costs when there is much of it (L24): time and peak memory for an entry, and whether either grows.
//!
//! ```text
//! cargo run --release -p wharfie-core --example scale              every shape, from 1,000 to 1,000,000 entries
//! cargo run --release -p wharfie-core --example scale -- 10000     up to so many
//! cargo run --release -p wharfie-core --example scale -- /usr      the names of this machine's own files, as one layer and as 127
//! ```
//!
//! Each measurement is a process of its own, so that its peak is its own. Peaks are read from `/proc`: elsewhere they are
//! missing. Files are empty: what merging costs has nothing to do with content.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use wharfie_core::Limits;
use wharfie_core::merge::{Options, Plan, Resolver, Scan};
use wharfie_core::tar::{Header, Kind, Metadata};

/// Layers in the shapes that have many: as many as overlay mounts take.
const LAYERS: usize = 127;

/// Shapes of stacks: what each entry of `n` is, by its number.
const SHAPES: &[(&str, Shape)] = &[
    ("one layer", |n| (1, Box::new(move |i| (0, Entry::file(name(i, n)))))),
    ("127 layers", |n| {
        // A third of the names of each layer are those of the layer below.
        let each = n.div_ceil(LAYERS);
        (LAYERS, Box::new(move |i| (i / each, Entry::file(name(i % each + i / each * each * 2 / 3, n)))))
    }),
    ("deep paths", |_| {
        let deep: String = (0..60).map(|depth| format!("{depth:02}/")).collect();
        (1, Box::new(move |i| (0, Entry::file(format!("{deep}{}/{i}", i / 100)))))
    }),
    ("deep by turns", |_| {
        // Neighbours have nothing in common: each keeps its name whole.
        let deep = |root| -> String { (0..25).map(|depth| format!("{root}{depth:02}/")).collect() };
        let roots = [deep("a"), deep("b")];
        (1, Box::new(move |i| (0, Entry::file(format!("{}{i}", roots[i % 2])))))
    }),
    ("whiteouts", |n| {
        (
            2,
            Box::new(move |i| {
                let at = i % n.div_ceil(2);
                if i == at { (0, Entry::file(name(at, n))) } else { (1, Entry::file(hidden(&name(at, n)))) }
            }),
        )
    }),
    ("of nothing", |n| (1, Box::new(move |i| (0, Entry::file(hidden(&name(i, n))))))),
    ("opaque markers", |n| {
        (
            2,
            Box::new(move |i| {
                if i < n / 2 {
                    (0, Entry::file(format!("d/{i}")))
                } else {
                    (1, Entry::file("d/.wh..wh..opq".into()))
                }
            }),
        )
    }),
    ("hard links", |n| {
        (
            LAYERS,
            Box::new(move |i| {
                let layer = i / n.div_ceil(LAYERS);
                let entry = if i == 0 {
                    Entry::file("body".into())
                } else {
                    Entry { path: name(i, n), kind: Kind::HardLink, link: "body".into() }
                };
                (layer, entry)
            }),
        )
    }),
    ("one directory", |_| (1, Box::new(|i| (0, Entry::file(format!("d/{i:09}")))))),
];

/// For so many entries: how many layers, and each entry with its layer, from the bottom.
type Shape = fn(usize) -> (usize, Box<dyn Fn(usize) -> (usize, Entry)>);

struct Entry {
    path: String,
    kind: Kind,
    link: String,
}

impl Entry {
    fn file(path: String) -> Entry {
        Entry { path, kind: Kind::File, link: String::new() }
    }
}

/// A name as packages have them: some twenty files a directory.
fn name(i: usize, _: usize) -> String {
    format!("usr/lib/package-{}/module-{}/file-{i}.txt", i / 400, i / 20 % 20)
}

fn hidden(path: &str) -> String {
    let (parent, name) = path.rsplit_once('/').unwrap_or_default();
    format!("{parent}/.wh.{name}")
}

/// What one measurement says.
struct Cost {
    paths: usize,
    index: Duration,
    resolve: Duration,
    plan: Duration,
    emit: Duration,
    peak: Option<u64>,
}

/// Highest resident memory so far, in bytes.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok().map(|kib: u64| kib << 10)
}

/// What this process has had of the processor so far, so that what else the machine does is not counted; elsewhere than on
/// Linux, the time.
fn clock() -> Duration {
    // The kernel brings its account up to date when a process gives way.
    std::thread::yield_now();
    let account = std::fs::read_to_string("/proc/self/schedstat").ok();
    let nanos = account.and_then(|account| account.split(' ').next()?.parse().ok());
    nanos.map_or_else(
        || {
            static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
            BEGUN.get_or_init(Instant::now).elapsed()
        },
        Duration::from_nanos,
    )
}

fn measure(layers: usize, entries: impl Iterator<Item = (usize, Entry)>) -> Cost {
    let options = Options::default();
    let before = peak();
    let metadata = Metadata { mode: 0o644, ..Metadata::default() };
    let mut scans: Vec<Scan> = (0..layers).map(|layer| Scan::new(layer, &Limits::default())).collect();
    let mut index = Duration::ZERO;
    let mut headers = Vec::new();
    let mut current = 0;
    let mut feed = |scan: &mut Scan, headers: &mut Vec<u8>| {
        let begun = clock();
        scan.feed(headers).unwrap();
        index += clock() - begun;
        headers.clear();
    };
    for (layer, entry) in entries {
        if layer != current || headers.len() > 1 << 20 {
            feed(&mut scans[current], &mut headers);
            current = layer;
        }
        let Entry { path, kind, link } = entry;
        Header { path: path.as_bytes(), link: link.as_bytes(), kind, metadata: &metadata, size: 0 }
            .write(&mut headers)
            .unwrap();
    }
    feed(&mut scans[current], &mut headers);
    let indexes: Vec<_> = scans.into_iter().map(|scan| scan.finish().unwrap()).collect();

    let begun = clock();
    let mut resolver = Resolver::new(layers, &options).unwrap();
    for index in indexes {
        resolver.supply(index).unwrap();
    }
    let tree = resolver.finish().unwrap();
    let resolve = clock() - begun;
    let paths = tree.len();
    let begun = clock();
    let mut made = Plan::new(tree, &options).unwrap();
    let plan = clock() - begun;
    let begun = clock();
    while made.next_op().unwrap().is_some() {}
    let emit = clock() - begun;
    let peak = peak().zip(before).map(|(after, before)| after.saturating_sub(before));
    Cost { paths, index, resolve, plan, emit, peak }
}

fn walk(root: &Path, below: &str, entries: &mut Vec<Entry>) {
    let Ok(found) = std::fs::read_dir(root.join(below)) else { return };
    for file in found.flatten() {
        let Ok(name) = file.file_name().into_string() else { continue };
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let Ok(kind) = file.file_type() else { continue };
        if kind.is_dir() {
            entries.push(Entry { path: path.clone(), kind: Kind::Directory, link: String::new() });
            walk(root, &path, entries);
        } else if kind.is_symlink() {
            let link = std::fs::read_link(file.path()).unwrap_or_default().display().to_string();
            entries.push(Entry { path, kind: Kind::Symlink, link });
        } else {
            entries.push(Entry::file(path));
        }
    }
}

/// One measurement in this process, told on a line.
fn one(words: &[String]) {
    let cost = match words {
        [root, layers] => {
            let mut entries = Vec::new();
            walk(&PathBuf::from(root), "", &mut entries);
            let layers: usize = layers.parse().unwrap();
            let each = entries.len().div_ceil(layers).max(1);
            println!("{}", entries.len());
            measure(layers, entries.into_iter().enumerate().map(|(i, entry)| (i / each, entry)))
        }
        [_, shape, n] => {
            let n: usize = n.parse().unwrap();
            let (_, shape) = SHAPES.iter().find(|(name, _)| name == shape).unwrap();
            let (layers, entry) = shape(n);
            println!("{n}");
            measure(layers, (0..n).map(entry))
        }
        _ => panic!("{words:?}"),
    };
    let Cost { paths, index, resolve, plan, emit, peak } = cost;
    let nanos = [index, resolve, plan, emit].map(|time| time.as_nanos().to_string()).join(" ");
    println!("{paths} {nanos} {}", peak.unwrap_or(0));
}

/// One measurement in a process of its own: entries, then the numbers of [`one`].
fn child(words: &[&str]) -> Vec<f64> {
    let output = Command::new(std::env::current_exe().unwrap()).arg("--one").args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// Prints one, and answers nanoseconds and bytes for an entry.
fn row(what: &str, numbers: &[f64]) -> (f64, f64) {
    let [entries, paths, index, resolve, plan, emit, peak] = numbers[..] else { panic!("{numbers:?}") };
    let ms = |nanos: f64| nanos / 1e6;
    let (each, bytes) = ((index + resolve + plan + emit) / entries, peak / entries);
    println!(
        "{what:<16} {entries:>9} {paths:>9} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {each:>9.0} {bytes:>9.0}",
        ms(index),
        ms(resolve),
        ms(plan),
        ms(emit)
    );
    (each, bytes)
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, rest)) = words.split_first()
        && first == "--one"
    {
        return one(rest);
    }
    println!(
        "{:<16} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "entries", "paths", "index ms", "resolve", "plan", "emit", "ns each", "bytes"
    );
    if let Some(root) = words.first().filter(|word| word.starts_with('/')) {
        for layers in ["1", "127"] {
            row(&format!("{root} in {layers}"), &child(&[root, layers]));
        }
        return;
    }
    let most: usize = words.first().map_or(1_000_000, |word| word.parse().expect("a number of entries"));
    let mut failed = false;
    for (name, _) in SHAPES {
        let mut costs = Vec::new();
        for n in [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|n| *n <= most) {
            // The best of three: what else the machine does is not counted.
            let tries = (0..3).map(|_| child(&["shape", name, &n.to_string()]));
            let best =
                tries.min_by(|a, b| a[2..6].iter().sum::<f64>().total_cmp(&b[2..6].iter().sum::<f64>()));
            costs.push((n, row(name, &best.unwrap())));
        }
        // From ten thousand on: below, one page more is a lot for an entry.
        let from = costs.iter().find(|(n, _)| *n >= 10_000).or(costs.first()).map(|(_, cost)| *cost);
        if let (Some((time, _)), Some((n, (last, bytes)))) = (from, costs.last()) {
            // What no longer fits the processor's caches costs up to some three times as much; quadratic is a hundred times.
            let linear = *last <= 4.0 * time;
            let small = *bytes < 400.0 || *n < 100_000;
            println!(
                "{name:<16} time for an entry x {:.1}: {}; {}",
                last / time,
                if linear { "linear" } else { "NOT linear" },
                if small { "memory in bounds" } else { "MORE than 400 bytes an entry" }
            );
            failed |= !linear || !small;
        }
    }
    std::process::exit(i32::from(failed));
}
