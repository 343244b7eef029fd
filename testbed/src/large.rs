//! The large image: about 940 MB of tar in five layers, 65,000 entries, for benchmarks and long tests.
//!
//! Debian's base; Python, git and node with what they need by apt; wheels by pip; modules by npm; and a layer of
//! changes. Each but the first is what a script of `large/` leaves in the upper directory of an overlay mount, so
//! the layers are as an engine makes them. Only Debian's archive, PyPI and npm's registry are asked. Versions are
//! pinned where they can be: what apt gives changes with Debian's point releases.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use ring::digest::{Context, Digest, SHA256};
use serde_json::{Value, json};

use crate::layer::TIME;
use crate::{image, tools, upper};

/// Changed whenever the recipe is: an older image is then made anew.
const RECIPE: &str = "1";

const STAGE: &str = include_str!("large/stage.sh");

/// What makes the layers above the base, lowest first.
const SCRIPTS: [&str; 4] = [
    include_str!("large/packages.sh"),
    include_str!("large/wheels.sh"),
    include_str!("large/modules.sh"),
    include_str!("large/changes.sh"),
];

/// The image, as two OCI layouts on disk that hold the same layers.
#[derive(Debug, Clone)]
pub struct Large {
    /// Layers by `gzip -6`.
    pub gzip: PathBuf,
    /// Layers by `zstd -3`.
    pub zstd: PathBuf,
}

impl Large {
    /// The tag in both layouts.
    pub const TAG: &str = "latest";

    /// The image from the cache, made first if need be (some minutes). `None`, said loudly for `what`, where it
    /// cannot be made.
    ///
    /// # Panics
    /// When a tool that is installed fails, or a registry.
    pub fn fixture(what: &str) -> Option<Self> {
        static MADE: OnceLock<Option<Large>> = OnceLock::new();
        static MAKING: Mutex<()> = Mutex::new(());
        let _guard = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        MADE.get_or_init(|| Self::find_or_make(what)).clone()
    }

    /// The image, where it is made already.
    pub fn made() -> Option<Self> {
        let folder = Self::folder();
        let image = Self { gzip: folder.join("gzip"), zstd: folder.join("zstd") };
        [&image.gzip, &image.zstd].iter().all(|layout| layout.join("index.json").is_file()).then_some(image)
    }

    fn folder() -> PathBuf {
        tools::fixtures().join(format!("large-{RECIPE}"))
    }

    fn find_or_make(what: &str) -> Option<Self> {
        if let Some(made) = Self::made() {
            return Some(made);
        }
        let programs = ["mmdebstrap", "unshare", "mount", "chroot", "tar", "gzip", "zstd"];
        if !tools::root(what) || !tools::have(what, &programs) || !tools::overlays(what) {
            return None;
        }
        let begun = Instant::now();
        fs::create_dir_all(tools::fixtures()).expect("the folder of fixtures");
        let work = tempfile::Builder::new().prefix("large-").tempdir_in(tools::fixtures()).expect("a folder");
        let image = work.path().join("image");
        make(work.path(), &image);
        // Whoever comes second (another process) loses nothing.
        if let Err(error) = fs::rename(&image, Self::folder()) {
            assert!(Self::made().is_some(), "the fixture was made and cannot be put in its place: {error}");
        }
        eprintln!("the large image was made in {} s", begun.elapsed().as_secs());
        Self::made()
    }
}

/// The folders of one overlay mount.
struct Stage {
    upper: PathBuf,
    work: PathBuf,
    root: PathBuf,
    script: PathBuf,
}

impl Stage {
    fn new(work: &Path, number: usize) -> Self {
        let at = |name: &str| work.join(format!("{name}-{number}"));
        let stage = Self { upper: at("upper"), work: at("work"), root: at("root"), script: at("script") };
        for folder in [&stage.upper, &stage.work, &stage.root] {
            fs::create_dir(folder).expect("a folder");
        }
        stage
    }

    /// What runs a script over these layers, the highest first.
    fn command(&self, script: &str, lower: &[PathBuf]) -> Command {
        fs::write(&self.script, script).expect("the script");
        let lower: Vec<String> = lower.iter().map(|folder| folder.display().to_string()).collect();
        let mut command = tools::command("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", STAGE, "stage"]);
        command.arg(&self.script).arg(lower.join(":")).args([&self.upper, &self.work, &self.root]);
        command.env("SOURCE_DATE_EPOCH", TIME.to_string());
        command
    }
}

fn make(work: &Path, image: &Path) {
    let say = |begun: Instant, what: &str| eprintln!("{:6.1} s  {what}", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let tar = work.join("base.tar");
    let base = work.join("base");
    tools::run(
        tools::command("mmdebstrap")
            .env("SOURCE_DATE_EPOCH", TIME.to_string())
            .args(["--variant=minbase", "--mode=root", "bookworm"])
            .arg(&tar),
    );
    fs::create_dir(&base).expect("a folder");
    tools::run(
        tools::command("tar")
            .args(["-x", "-p", "--same-owner", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f"])
            .arg(&tar)
            .arg("-C")
            .arg(&base),
    );
    fs::remove_file(&tar).expect("the base's tar");
    // The stages mount the host's over it.
    fs::write(base.join("etc/resolv.conf"), "").expect("a file");
    say(begun, "the base");
    let mut layers = vec![base];
    for (number, script) in SCRIPTS.iter().enumerate() {
        let begun = Instant::now();
        let lower: Vec<PathBuf> = layers.iter().rev().cloned().collect();
        let stage = Stage::new(work, number + 2);
        tools::run(&mut stage.command(script, &lower));
        layers.push(stage.upper);
        say(begun, script.lines().next().unwrap_or_default());
    }
    let begun = Instant::now();
    let mut packers = PACKERS.map(|packer| Layout::new(packer, image));
    let mut diff_ids = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let mut tee = Tee { hash: Context::new(&SHA256), pipes: Vec::new(), bytes: 0 };
        let children: Vec<Child> =
            packers.iter().map(|layout| tee.pipe(layout.packer.command(), &layout.part())).collect();
        let entries = upper::write(layer, TIME + 3600 * (number as u64 + 1), &mut tee).expect("a layer");
        diff_ids.push(name(tee.hash.finish()));
        let bytes = tee.bytes;
        drop(tee.pipes);
        for (layout, mut child) in packers.iter_mut().zip(children) {
            assert!(child.wait().is_ok_and(|status| status.success()), "{} failed", layout.packer.program);
            layout.layer();
        }
        eprintln!("          layer {}: {entries} entries, {bytes} bytes", number + 1);
    }
    for layout in packers {
        layout.finish(&diff_ids);
    }
    say(begun, "packed, by gzip and by zstd");
}

/// A compressor of layers.
#[derive(Clone, Copy)]
struct Packer {
    /// Also the name of the layout's folder, and of the media type's suffix.
    program: &'static str,
    arguments: &'static [&'static str],
}

const PACKERS: [Packer; 2] = [
    Packer { program: "gzip", arguments: &["-6", "-n"] },
    Packer { program: "zstd", arguments: &["-3", "-q"] },
];

impl Packer {
    fn command(self) -> Command {
        let mut command = tools::command(self.program);
        command.args(self.arguments).arg("-c");
        command
    }
}

/// Gives what is written to several programs, and hashes it.
struct Tee {
    hash: Context,
    pipes: Vec<ChildStdin>,
    bytes: u64,
}

impl Tee {
    fn pipe(&mut self, mut command: Command, output: &Path) -> Child {
        let output = File::create(output).expect("a file");
        let mut child = command.stdin(Stdio::piped()).stdout(output).spawn().expect("it is installed");
        self.pipes.extend(child.stdin.take());
        child
    }
}

impl Write for Tee {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.hash.update(data);
        for pipe in &mut self.pipes {
            pipe.write_all(data)?;
        }
        self.bytes += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An OCI layout whose layers are too large for [`image::Layout`].
struct Layout {
    packer: Packer,
    folder: PathBuf,
    layers: Vec<Value>,
}

impl Layout {
    fn new(packer: Packer, image: &Path) -> Self {
        let folder = image.join(packer.program);
        fs::create_dir_all(folder.join("blobs/sha256")).expect("a folder");
        Self { packer, folder, layers: Vec::new() }
    }

    /// Where the layer in the making is.
    fn part(&self) -> PathBuf {
        self.folder.join("layer.part")
    }

    fn place(&self, digest: &str) -> PathBuf {
        self.folder.join("blobs").join(digest.replace(':', "/"))
    }

    /// The layer in the making is complete.
    fn layer(&mut self) {
        let part = self.part();
        let data = fs::read(&part).expect("the layer");
        let digest = name(ring::digest::digest(&SHA256, &data));
        fs::rename(part, self.place(&digest)).expect("the same folder");
        self.layers.push(json!({
            "digest": digest,
            "mediaType": format!("application/vnd.oci.image.layer.v1.tar+{}", self.packer.program),
            "size": data.len(),
        }));
    }

    fn document(&self, media_type: &str, document: &Value) -> Value {
        let data = document.to_string().into_bytes();
        let digest = image::digest(&data);
        fs::write(self.place(&digest), &data).expect("a blob");
        json!({"digest": digest, "mediaType": media_type, "size": data.len()})
    }

    fn finish(self, diff_ids: &[String]) {
        let created = "2025-01-01T00:00:00Z";
        let steps = ["the base of Debian", "apt-get install", "pip install", "npm install", "changes"];
        let history: Vec<Value> =
            steps.iter().map(|by| json!({"created": created, "created_by": by})).collect();
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let platform = json!({"architecture": architecture, "os": "linux"});
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let config = self.document(
            "application/vnd.oci.image.config.v1+json",
            &json!({
                "architecture": architecture,
                "config": {"Cmd": ["/bin/sh"], "Env": [path]},
                "created": created,
                "history": history,
                "os": "linux",
                "rootfs": {"diff_ids": diff_ids, "type": "layers"},
            }),
        );
        let manifest_type = "application/vnd.oci.image.manifest.v1+json";
        let mut manifest = self.document(
            manifest_type,
            &json!({"config": config, "layers": self.layers, "mediaType": manifest_type, "schemaVersion": 2}),
        );
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": Large::TAG});
        manifest["platform"] = platform;
        let index_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"manifests": [manifest], "mediaType": index_type, "schemaVersion": 2});
        fs::write(self.folder.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").expect("a file");
        fs::write(self.folder.join("index.json"), index.to_string()).expect("a file");
    }
}

/// `sha256:…`.
fn name(digest: Digest) -> String {
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
