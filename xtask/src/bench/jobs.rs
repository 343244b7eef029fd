//! The jobs of `bench layers`: who does each, and how well Wharfie means to do it.
//!
//! A candidate is a script of the shell. It finds `$wharfie`, `$crane`, `$peer` (programs), `$image` (the image as
//! Wharfie names a layout), `$layout` and `$tag`, `$source` (in the registry) and `$registry`, `$top` and `$bottom`
//! (files that the highest and the lowest layer have), `$round`, `$out` (an empty folder on a fresh file system); its
//! arguments are the layers' blobs, lowest first.

use super::disk::Kind;
use super::floor::{Floor, Stage};

/// One job.
pub(super) struct Job {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// Where its output goes: the job is done on each.
    pub(super) disks: &'static [Kind],
    /// The first is the one that goals are about.
    pub(super) candidates: &'static [Candidate],
    pub(super) goals: &'static [Goal],
    /// Seconds of one core at best, on the file system of that name.
    pub(super) floor: fn(&Floor, &'static str) -> f64,
    /// Whether the floor's work can be shared by the cores.
    pub(super) shared: bool,
}

/// Somebody who does the job.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) name: &'static str,
    pub(super) script: &'static str,
    /// Programs that it needs (`crane` and `peer` are looked for elsewhere too); Wharfie's: a command, and perhaps an
    /// option of it.
    pub(super) needs: &'static [&'static str],
    pub(super) takes: Takes,
    pub(super) gives: Gives,
}

/// Which layers it can read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    All,
    Gzip,
    Zstd,
}

/// What tells the size of its output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    /// The file of this name in `$out`.
    File(&'static str),
    /// The layers of this image, in the registry.
    Pushed(&'static str),
    /// A tree, which is the same for all, or only text.
    Other,
}

/// What is aimed at.
pub(super) enum Goal {
    /// So many times as fast as this candidate: without SHA instructions, with them.
    Faster(&'static str, f64, f64),
    /// The same, but the second where deflate blocks are not copied: not x86-64 Linux.
    FasterByCopying(&'static str, f64, f64),
    /// An output so many times smaller than the tar.
    Ratio(f64),
    /// This candidate, on one core, needs no more than this times the two-core time.
    OneCore(&'static str, f64),
    /// No more bytes are read than these layers have, counted from the top.
    Reads(usize),
}

/// The most that a job should cost, of the floor's wall time.
pub(super) const OF_FLOOR: f64 = 1.3;

/// The most memory, MiB.
pub(super) const MEMORY: f64 = 96.0;

/// With a store beside the layout, which after the first round, the one that is not counted, has side indexes.
macro_rules! again {
    ($command:literal) => {
        concat!(
            "export WHARFIE_STORE=\"$layout.store\"\n",
            "mkdir -p \"$WHARFIE_STORE\"\n",
            "printf '{\"imageLayoutVersion\":\"1.0.0\"}' > \"$WHARFIE_STORE/oci-layout\"\n",
            "test -e \"$WHARFIE_STORE/index.json\" || printf '{\"schemaVersion\":2,\"manifests\":[]}' > \"$WHARFIE_STORE/index.json\"\n",
            $command
        )
    };
}

const fn candidate(
    name: &'static str,
    needs: &'static [&'static str],
    gives: Gives,
    script: &'static str,
) -> Candidate {
    Candidate { name, script, needs, takes: Takes::All, gives }
}

const fn only(takes: Takes, candidate: Candidate) -> Candidate {
    Candidate { takes, ..candidate }
}

const TREE: &[Kind] = &[Kind::Ext4, Kind::Tmpfs];
const FILE: &[Kind] = &[Kind::Tmpfs];
const TAR: Gives = Gives::File("image.tar");
const GZ: Gives = Gives::File("image.tar.gz");
const ZST: Gives = Gives::File("image.tar.zst");

/// Every job.
pub(super) const JOBS: &[Job] = &[
    Job {
        name: "tar",
        title: "export to a tar",
        disks: FILE,
        candidates: &[
            candidate(
                "wharfie",
                &["export"],
                TAR,
                "exec \"$wharfie\" -q export \"$image\" -o \"$out/image.tar\"",
            ),
            candidate(
                "wharfie, from the registry",
                &["export"],
                TAR,
                "exec \"$wharfie\" -q export \"$source\" --store \"$out/store\" -o \"$out/image.tar\"",
            ),
            candidate(
                "wharfie, one core",
                &["export", "taskset"],
                TAR,
                "exec taskset -c 0 \"$wharfie\" -q export \"$image\" -o \"$out/image.tar\"",
            ),
            candidate(
                "crane export",
                &["crane"],
                TAR,
                "exec \"$crane\" export \"$source\" \"$out/image.tar\"",
            ),
        ],
        goals: &[Goal::Faster("crane export", 4.0, 5.0), Goal::OneCore("wharfie, one core", 1.9)],
        floor: |floor, _| floor.read(0..floor.layers()) + floor.stage(Stage::WriteFlat),
        shared: true,
    },
    Job {
        name: "tar.gz",
        title: "export to a tar.gz",
        disks: FILE,
        candidates: &[
            candidate(
                "wharfie",
                &["export"],
                GZ,
                "exec \"$wharfie\" -q export \"$image\" -o \"$out/image.tar.gz\"",
            ),
            candidate(
                "wharfie, from the registry",
                &["export"],
                GZ,
                "exec \"$wharfie\" -q export \"$source\" --store \"$out/store\" -o \"$out/image.tar.gz\"",
            ),
            candidate(
                "wharfie, one core",
                &["export", "taskset"],
                GZ,
                "exec taskset -c 0 \"$wharfie\" -q export \"$image\" -o \"$out/image.tar.gz\"",
            ),
            candidate(
                "crane export | gzip -6",
                &["crane"],
                GZ,
                "\"$crane\" export \"$source\" - | gzip -6 > \"$out/image.tar.gz\"",
            ),
            candidate(
                "crane export | pigz -6",
                &["crane", "pigz"],
                GZ,
                "\"$crane\" export \"$source\" - | pigz -6 > \"$out/image.tar.gz\"",
            ),
            candidate(
                "crane flatten",
                &["crane"],
                Gives::Pushed("flat"),
                "exec \"$crane\" flatten \"$source\" -t \"$registry/flat:$round\"",
            ),
        ],
        goals: &[
            Goal::FasterByCopying("crane flatten", 40.0, 15.0),
            Goal::FasterByCopying("crane export | pigz -6", 8.0, 3.0),
            Goal::Ratio(2.6),
            Goal::OneCore("wharfie, one core", 1.9),
        ],
        // At best the compressed bytes are copied: what is written is about what was read.
        floor: |floor, _| {
            floor.read(0..floor.layers()) + floor.stage(Stage::Crc) + floor.stage(Stage::WriteBlobs)
        },
        shared: true,
    },
    Job {
        name: "tar.zst",
        title: "export to a tar.zst",
        disks: FILE,
        candidates: &[
            candidate(
                "wharfie",
                &["export"],
                ZST,
                "exec \"$wharfie\" -q export \"$image\" -o \"$out/image.tar.zst\"",
            ),
            candidate(
                "wharfie, from the registry",
                &["export"],
                ZST,
                "exec \"$wharfie\" -q export \"$source\" --store \"$out/store\" -o \"$out/image.tar.zst\"",
            ),
            candidate(
                "crane export | zstd -3 -T2",
                &["crane", "zstd"],
                ZST,
                "\"$crane\" export \"$source\" - | zstd -q -3 -T2 > \"$out/image.tar.zst\"",
            ),
        ],
        goals: &[Goal::Faster("crane export | zstd -3 -T2", 3.0, 3.0), Goal::Ratio(3.0)],
        floor: |floor, _| {
            floor.read(0..floor.layers()) + floor.stage(Stage::Zstd) + floor.stage(Stage::WriteBlobs)
        },
        shared: true,
    },
    Job {
        name: "unpack",
        title: "unpack to a directory",
        disks: TREE,
        candidates: &[
            candidate(
                "wharfie",
                &["unpack"],
                Gives::Other,
                "exec \"$wharfie\" -q unpack \"$image\" \"$out/root\"",
            ),
            candidate(
                "wharfie, one core",
                &["unpack", "taskset"],
                Gives::Other,
                "exec taskset -c 0 \"$wharfie\" -q unpack \"$image\" \"$out/root\"",
            ),
            only(
                Takes::Gzip,
                candidate(
                    "umoci unpack",
                    &["umoci"],
                    Gives::Other,
                    "exec umoci unpack --image \"$layout:$tag\" \"$out/bundle\"",
                ),
            ),
            only(
                Takes::Gzip,
                candidate(
                    "umoci raw unpack",
                    &["umoci"],
                    Gives::Other,
                    "exec umoci raw unpack --image \"$layout:$tag\" \"$out/root\"",
                ),
            ),
            candidate(
                "oci-image (nothing checked)",
                &["peer"],
                Gives::Other,
                "exec \"$peer\" \"$layout\" \"$tag\" \"$out/root\"",
            ),
            // Whiteouts become files here, and what stands in the way of a changed kind is an error: a bound for what
            // unpacking by programs can do, not an unpacking.
            only(Takes::Gzip, candidate("tar -xzf, layer by layer", &["tar"], Gives::Other, TAR_GZIP)),
            only(Takes::Gzip, candidate("pigz -dc | tar -x", &["tar", "pigz"], Gives::Other, TAR_PIGZ)),
            only(Takes::Gzip, candidate("tar -I igzip", &["tar", "igzip"], Gives::Other, TAR_IGZIP)),
            only(Takes::Zstd, candidate("tar -I zstd", &["tar", "zstd"], Gives::Other, TAR_ZSTD)),
            candidate(
                "crane export | tar -x",
                &["crane", "tar"],
                Gives::Other,
                // Its hard links to names that a layer deleted are errors.
                "mkdir \"$out/root\"; \"$crane\" export \"$source\" - | { tar -xp --numeric-owner --xattrs \
                 --xattrs-include='*' -C \"$out/root\" 2> /dev/null || test $? -eq 2; }\ntest -e \"$out/root/etc\"",
            ),
            // They make a name of the layout's path, in which there may be no capitals: it is given from near by.
            candidate(
                "podman pull, image mount",
                &["podman"],
                Gives::Other,
                "set -- --root \"$out/podman\" --runroot \"$out/run\" --tmpdir \"$out/tmp\" \
                 --storage-driver overlay --cgroup-manager cgroupfs\n\
                 cd \"$layout/..\"; id=$(podman \"$@\" pull -q \"oci:${layout##*/}:$tag\")\n\
                 test -e \"$(podman \"$@\" image mount \"$id\")/bin\"",
            ),
            candidate(
                "buildah from, mount",
                &["buildah"],
                Gives::Other,
                "set -- --root \"$out/buildah\" --runroot \"$out/run\" --storage-driver overlay\n\
                 cd \"$layout/..\"; id=$(buildah \"$@\" from -q \"oci:${layout##*/}:$tag\")\n\
                 test -e \"$(buildah \"$@\" mount \"$id\")/bin\"",
            ),
        ],
        goals: &[
            Goal::Faster("umoci unpack", 5.0, 5.0),
            Goal::Faster("oci-image (nothing checked)", 1.3, 1.3),
            Goal::Faster("tar -I igzip", 1.0, 1.0),
            Goal::OneCore("wharfie, one core", 1.9),
        ],
        floor: |floor, disk| floor.read(0..floor.layers()) + floor.stage(Stage::Files(disk)),
        shared: true,
    },
    Job {
        name: "docker-archive",
        title: "a docker-archive with bare layers",
        disks: FILE,
        candidates: &[
            candidate(
                "wharfie",
                &["copy"],
                TAR,
                "exec \"$wharfie\" -q copy \"$image\" \"docker-archive:$out/image.tar\"",
            ),
            candidate(
                "skopeo copy",
                &["skopeo"],
                TAR,
                "exec skopeo --insecure-policy copy -q \"$image\" \"docker-archive:$out/image.tar:bench:1\"",
            ),
        ],
        goals: &[Goal::Faster("skopeo copy", 2.5, 2.5)],
        floor: |floor, _| floor.read(0..floor.layers()) + floor.stage(Stage::WriteTars),
        shared: true,
    },
    Job {
        name: "layout",
        title: "layout to layout",
        disks: FILE,
        candidates: &[
            candidate(
                "wharfie",
                &["copy"],
                Gives::Other,
                "exec \"$wharfie\" -q copy \"$image\" \"oci:$out/layout:bench\"",
            ),
            candidate(
                "skopeo copy",
                &["skopeo"],
                Gives::Other,
                "exec skopeo --insecure-policy copy -q \"$image\" \"oci:$out/layout:bench\"",
            ),
        ],
        goals: &[Goal::Faster("skopeo copy", 2.0, 2.0)],
        floor: |floor, _| floor.hash() + floor.stage(Stage::WriteBlobs),
        shared: true,
    },
    Job {
        name: "cat-top",
        title: "one file of the top layer",
        disks: FILE,
        candidates: &[
            candidate(
                "wharfie cat",
                &["cat"],
                Gives::Other,
                "exec \"$wharfie\" -q cat --store \"$out/none\" \"$image\" \"$top\"",
            ),
            candidate(
                "wharfie cat --no-verify",
                &["cat --no-verify"],
                Gives::Other,
                "exec \"$wharfie\" -q cat --store \"$out/none\" --no-verify \"$image\" \"$top\"",
            ),
            candidate(
                "wharfie cat, again",
                &["cat"],
                Gives::Other,
                again!("exec \"$wharfie\" -q cat \"$image\" \"$top\""),
            ),
            candidate(
                "crane export | tar -x",
                &["crane", "tar"],
                Gives::Other,
                "\"$crane\" export \"$source\" - | tar -xO \"$top\"",
            ),
        ],
        goals: &[Goal::Reads(1)],
        floor: |floor, _| floor.read(floor.layers() - 1..floor.layers()),
        shared: false,
    },
    Job {
        name: "cat-bottom",
        title: "one file of the bottom layer",
        disks: FILE,
        candidates: &[
            candidate(
                "wharfie cat",
                &["cat"],
                Gives::Other,
                "exec \"$wharfie\" -q cat --store \"$out/none\" \"$image\" \"$bottom\"",
            ),
            candidate(
                "wharfie cat, again",
                &["cat"],
                Gives::Other,
                again!("exec \"$wharfie\" -q cat \"$image\" \"$bottom\""),
            ),
            candidate(
                "crane export | tar -x",
                &["crane", "tar"],
                Gives::Other,
                "\"$crane\" export \"$source\" - | tar -xO \"$bottom\"",
            ),
        ],
        goals: &[Goal::Reads(usize::MAX)],
        floor: |floor, _| floor.read(0..floor.layers()),
        shared: true,
    },
    Job {
        name: "cat-absent",
        title: "a file that no layer has",
        disks: FILE,
        candidates: &[
            candidate(
                "wharfie cat",
                &["cat"],
                Gives::Other,
                "! \"$wharfie\" -q cat --store \"$out/none\" \"$image\" usr/bin/absent 2> /dev/null",
            ),
            candidate(
                "wharfie cat, again",
                &["cat"],
                Gives::Other,
                again!("! \"$wharfie\" -q cat \"$image\" usr/bin/absent 2> /dev/null"),
            ),
        ],
        goals: &[Goal::Reads(usize::MAX)],
        floor: |floor, _| floor.read(0..floor.layers()),
        shared: true,
    },
    Job {
        name: "ls",
        title: "all names",
        disks: FILE,
        candidates: &[
            candidate(
                "wharfie ls",
                &["ls"],
                Gives::Other,
                "exec \"$wharfie\" -q ls -R --store \"$out/none\" \"$image\" > \"$out/list\"",
            ),
            candidate(
                "wharfie ls, again",
                &["ls"],
                Gives::Other,
                again!("exec \"$wharfie\" -q ls -R \"$image\" > \"$out/list\""),
            ),
            candidate(
                "crane export | tar -t",
                &["crane", "tar"],
                Gives::Other,
                "\"$crane\" export \"$source\" - | tar -t > \"$out/list\"",
            ),
        ],
        goals: &[],
        floor: |floor, _| floor.read(0..floor.layers()),
        shared: true,
    },
];

macro_rules! tar_by {
    ($how:literal) => {
        concat!(
            "mkdir \"$out/root\"\nfor layer; do ",
            $how,
            " -xp --numeric-owner --xattrs --xattrs-include='*' -C \"$out/root\"",
            // 2: something stood in the way.
            " 2> /dev/null || test $? -eq 2; done\ntest -e \"$out/root/etc\""
        )
    };
}

const TAR_GZIP: &str = tar_by!("tar -zf \"$layer\"");
const TAR_PIGZ: &str = tar_by!("pigz -dc \"$layer\" | tar");
const TAR_IGZIP: &str = tar_by!("tar -I igzip -f \"$layer\"");
const TAR_ZSTD: &str = tar_by!("tar -I zstd -f \"$layer\"");
