//! What this machine could do at best: each stage alone, by the best primitive there is, in processor time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, Timespec, Timestamps, linkat, mkdirat, openat, symlinkat, utimensat};
use tar::EntryType;

use super::MEGABYTE;
use super::meter::{median, thread_time};

/// The layers' blobs of an image on disk, lowest first.
pub(super) fn layers(layout: &Path, tag: &str) -> Vec<PathBuf> {
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

/// A stage of some job. Layers are stages of their own where a job is about one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// sha256 of a blob.
    Hash(usize),
    /// A blob to a tar.
    Inflate(usize),
    /// sha256 of a tar.
    HashTar(usize),
    /// Writing the blobs.
    WriteBlobs,
    /// Writing the layers' tars.
    WriteTars,
    /// Writing the flattened tar.
    WriteFlat,
    /// CRC-32 of the flattened tar.
    Crc,
    /// zstd -3 of the flattened tar.
    Zstd,
    /// Making the flattened tar's files, on this file system.
    Files(&'static str),
}

/// The samples so far, in seconds of this thread's processor time: a busy machine makes them little slower.
pub(super) struct Floor {
    blobs: Vec<Vec<u8>>,
    /// The bytes of each layer's tar.
    tars: Vec<usize>,
    /// The largest tar fits: used again for each, or page faults would be measured.
    buffer: Vec<u8>,
    inflater: libdeflater::Decompressor,
    samples: BTreeMap<Stage, Vec<f64>>,
}

impl Floor {
    /// # Panics
    /// When a layer is neither one gzip member nor zstd.
    pub(super) fn new(blobs: &[PathBuf]) -> Self {
        let blobs: Vec<Vec<u8>> = blobs.iter().map(|path| fs::read(path).expect("a layer")).collect();
        let tars: Vec<usize> = blobs.iter().map(|blob| unpacked(blob)).collect();
        let buffer = vec![1; tars.iter().copied().max().unwrap_or_default()];
        let inflater = libdeflater::Decompressor::new();
        Self { blobs, tars, buffer, inflater, samples: BTreeMap::new() }
    }

    pub(super) fn layers(&self) -> usize {
        self.blobs.len()
    }

    pub(super) fn packed(&self) -> usize {
        self.blobs.iter().map(Vec::len).sum()
    }

    pub(super) fn unpacked(&self) -> usize {
        self.tars.iter().sum()
    }

    fn time(&mut self, stage: Stage, work: impl FnOnce(&mut Self)) {
        let begun = thread_time();
        work(self);
        let time = thread_time() - begun;
        self.samples.entry(stage).or_default().push(time);
    }

    /// One sample of everything about the layers. What is written goes into `folder`.
    pub(super) fn round(&mut self, folder: &Path) {
        let path = folder.join("floor");
        let mut blobs = File::create(&path).expect("a file");
        let mut tars = File::create(folder.join("floor.tars")).expect("a file");
        let (mut write_blobs, mut write_tars) = (0.0, 0.0);
        for number in 0..self.blobs.len() {
            self.time(Stage::Hash(number), |it| sha256(&it.blobs[number]));
            self.time(Stage::Inflate(number), |it| {
                let out = &mut it.buffer[..it.tars[number]];
                inflate(&mut it.inflater, &it.blobs[number], out);
            });
            self.time(Stage::HashTar(number), |it| sha256(&it.buffer[..it.tars[number]]));
            write_blobs += write(&mut blobs, &self.blobs[number]);
            write_tars += write(&mut tars, &self.buffer[..self.tars[number]]);
        }
        drop((blobs, tars));
        drop((fs::remove_file(path), fs::remove_file(folder.join("floor.tars"))));
        self.samples.entry(Stage::WriteBlobs).or_default().push(write_blobs);
        self.samples.entry(Stage::WriteTars).or_default().push(write_tars);
    }

    /// One sample of everything about the flattened tar.
    pub(super) fn round_flat(&mut self, flat: &[u8], folder: &Path, zstd: bool) {
        let path = folder.join("floor");
        let mut file = File::create(&path).expect("a file");
        let time = write(&mut file, flat);
        drop(file);
        drop(fs::remove_file(path));
        self.samples.entry(Stage::WriteFlat).or_default().push(time);
        self.time(Stage::Crc, |_| {
            let mut crc = libdeflater::Crc::new();
            crc.update(flat);
            std::hint::black_box(crc.sum());
        });
        if zstd {
            self.time(Stage::Zstd, |_| {
                let mut encoder = zstd::Encoder::new(std::io::sink(), 3).expect("a level");
                encoder.write_all(flat).and_then(|()| encoder.finish()).expect("nothing can fail");
            });
        }
    }

    /// One sample of making files, in `folder`, on the file system called `name`.
    pub(super) fn round_files(&mut self, plan: &Plan<'_>, folder: &Path, name: &'static str) {
        self.time(Stage::Files(name), |_| plan.make(folder).expect("files can be made here"));
    }

    /// The median of a stage; 0 where it was not measured.
    pub(super) fn stage(&self, stage: Stage) -> f64 {
        self.samples.get(&stage).map_or(0.0, |samples| median(samples.clone()))
    }

    /// Hashing, inflating and hashing again these layers.
    pub(super) fn read(&self, layers: impl IntoIterator<Item = usize>) -> f64 {
        layers
            .into_iter()
            .map(|number| {
                [Stage::Hash(number), Stage::Inflate(number), Stage::HashTar(number)]
                    .map(|stage| self.stage(stage))
                    .iter()
                    .sum::<f64>()
            })
            .sum()
    }

    /// Hashing the blobs.
    pub(super) fn hash(&self) -> f64 {
        (0..self.layers()).map(|number| self.stage(Stage::Hash(number))).sum()
    }

    /// Shows each stage and its speed.
    pub(super) fn show(&self, flat: usize) {
        let rounds = self.samples.values().map(Vec::len).max().unwrap_or_default();
        println!(
            "\nfloor: {} layers, {:.1} MB packed, {:.1} MB of tar; CPU time of one thread, page cache, medians of {rounds}",
            self.layers(),
            self.packed() as f64 / MEGABYTE,
            self.unpacked() as f64 / MEGABYTE
        );
        let line = |name: &str, bytes: usize, seconds: f64| {
            if seconds > 0.0 {
                println!("  {name:34} {seconds:7.3} s  {:7.0} MB/s", bytes as f64 / MEGABYTE / seconds);
            }
        };
        let all = |stage: fn(usize) -> Stage| -> f64 {
            (0..self.layers()).map(|number| self.stage(stage(number))).sum()
        };
        line("sha256 of the blobs (ring)", self.packed(), all(Stage::Hash));
        line("inflate (libdeflate; libzstd)", self.unpacked(), all(Stage::Inflate));
        line("sha256 of the tars (ring)", self.unpacked(), all(Stage::HashTar));
        line("write the blobs", self.packed(), self.stage(Stage::WriteBlobs));
        line("write the tars", self.unpacked(), self.stage(Stage::WriteTars));
        line("write the flattened tar", flat, self.stage(Stage::WriteFlat));
        line("CRC-32 of the flattened tar", flat, self.stage(Stage::Crc));
        line("zstd -3 of the flattened tar", flat, self.stage(Stage::Zstd));
        for name in ["ext4", "tmpfs", "folder"] {
            line(&format!("make the files, {name}"), flat, self.stage(Stage::Files(name)));
        }
    }
}

fn sha256(data: &[u8]) {
    std::hint::black_box(ring::digest::digest(&ring::digest::SHA256, data));
}

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How many bytes a blob unpacks to.
fn unpacked(blob: &[u8]) -> usize {
    if let (true, Some(tail)) = (blob.starts_with(&GZIP), blob.last_chunk::<4>()) {
        // Layers under 4 GiB: the trailer says how long.
        return u32::from_le_bytes(*tail) as usize;
    }
    let mut out = std::io::sink();
    std::io::copy(&mut zstd::Decoder::new(blob).expect("zstd"), &mut out).expect("a gzip or zstd layer")
        as usize
}

fn inflate(inflater: &mut libdeflater::Decompressor, blob: &[u8], out: &mut [u8]) {
    if blob.starts_with(&GZIP) {
        inflater.gzip_decompress(blob, out).expect("a gzip layer of one member");
    } else {
        zstd::bulk::Decompressor::new()
            .and_then(|mut it| it.decompress_to_buffer(blob, out))
            .expect("a zstd layer of one frame");
    }
}

/// Writes, and gives the processor time that it took.
fn write(file: &mut File, data: &[u8]) -> f64 {
    let begun = thread_time();
    for chunk in data.chunks(1 << 20) {
        file.write_all(chunk).expect("the disk takes it");
    }
    thread_time() - begun
}

/// The files of a flattened tar, in the best order to make them: directories from the root down, then what is in
/// each, directory by directory.
pub(super) struct Plan<'a> {
    folders: Vec<Node<'a>>,
    others: Vec<Node<'a>>,
    links: Vec<Node<'a>>,
}

struct Node<'a> {
    parent: PathBuf,
    name: PathBuf,
    mode: u32,
    mtime: i64,
    what: What<'a>,
}

enum What<'a> {
    Folder,
    File(&'a [u8]),
    Symlink(PathBuf),
    Link(PathBuf),
}

impl<'a> Plan<'a> {
    /// Reads a flattened tar. Devices and FIFOs are left out, owners and attributes too: a handful.
    pub(super) fn new(flat: &'a [u8]) -> std::io::Result<Self> {
        let mut plan = Self { folders: Vec::new(), others: Vec::new(), links: Vec::new() };
        let mut archive = tar::Archive::new(flat);
        for entry in archive.entries()? {
            let entry = entry?;
            let path = entry.path()?.into_owned();
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let header = entry.header();
            let start = entry.raw_file_position() as usize;
            let what = match header.entry_type() {
                EntryType::Directory => What::Folder,
                EntryType::Regular => {
                    What::File(flat.get(start..start + entry.size() as usize).unwrap_or_default())
                }
                EntryType::Symlink => What::Symlink(entry.link_name()?.unwrap_or_default().into_owned()),
                EntryType::Link => What::Link(entry.link_name()?.unwrap_or_default().into_owned()),
                _ => continue,
            };
            let list = match what {
                What::Folder => &mut plan.folders,
                What::Link(_) => &mut plan.links,
                _ => &mut plan.others,
            };
            list.push(Node {
                parent: parent.to_path_buf(),
                name: PathBuf::from(name),
                mode: header.mode()? & 0o7777,
                mtime: header.mtime()?.cast_signed(),
                what,
            });
        }
        plan.folders.sort_by_key(|node| node.parent.components().count());
        plan.others.sort_by(|a, b| a.parent.cmp(&b.parent));
        plan.links.sort_by(|a, b| a.parent.cmp(&b.parent));
        Ok(plan)
    }

    fn make(&self, root: &Path) -> rustix::io::Result<()> {
        rustix::process::umask(Mode::empty());
        let open = |path: &Path| {
            openat(CWD, path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        };
        let top = open(root)?;
        let mut at: Option<(&Path, OwnedFd)> = None;
        for node in self.folders.iter().chain(&self.others).chain(&self.links) {
            if at.as_ref().is_none_or(|(path, _)| *path != node.parent) {
                at = Some((&node.parent, open(&root.join(&node.parent))?));
            }
            let Some((_, parent)) = &at else { continue };
            let mode = Mode::from_raw_mode(node.mode);
            let times = Timestamps {
                last_access: Timespec { tv_sec: node.mtime, tv_nsec: 0 },
                last_modification: Timespec { tv_sec: node.mtime, tv_nsec: 0 },
            };
            match &node.what {
                What::Folder => mkdirat(parent, &node.name, mode)?,
                What::File(data) => {
                    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                    let file = openat(parent, &node.name, flags, mode)?;
                    let mut rest = *data;
                    while !rest.is_empty() {
                        let written = rustix::io::write(&file, rest)?;
                        rest = rest.get(written..).unwrap_or_default();
                    }
                    rustix::fs::futimens(&file, &times)?;
                }
                What::Symlink(text) => {
                    symlinkat(text.as_os_str().as_bytes(), parent, &node.name)?;
                    utimensat(parent, &node.name, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
                }
                What::Link(target) => {
                    linkat(&top, target, parent, &node.name, rustix::fs::AtFlags::empty())?;
                }
            }
        }
        for node in self.folders.iter().rev() {
            let times = Timestamps {
                last_access: Timespec { tv_sec: node.mtime, tv_nsec: 0 },
                last_modification: Timespec { tv_sec: node.mtime, tv_nsec: 0 },
            };
            utimensat(&top, node.parent.join(&node.name), &times, rustix::fs::AtFlags::empty())?;
        }
        Ok(())
    }
}
