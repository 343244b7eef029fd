//! Tars by other tools (`testdata/tar`), with what must be read from them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use std::path::PathBuf;
use std::string::{String, ToString};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::harness::{read, tar};
use crate::tar::{Kind, Note, padding};

#[derive(Deserialize)]
struct Corpus {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    file: String,
    entry: Vec<Expected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    path: String,
    kind: String,
    #[serde(default)]
    link: String,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<(i64, u32)>,
    device: Option<(u32, u32)>,
    size: Option<u64>,
    sha256: Option<String>,
    #[serde(default)]
    sparse: bool,
    #[serde(default)]
    xattrs: BTreeMap<String, String>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/tar")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| std::format!("{byte:02x}")).collect()
}

#[test]
fn other_tools_tars_are_read() {
    let corpus = std::fs::read_to_string(folder().join("cases.toml")).unwrap();
    let corpus: Corpus = toml::from_str(&corpus).unwrap();
    assert!(corpus.case.len() >= 24);
    for case in &corpus.case {
        let bytes = std::fs::read(folder().join(&case.file)).unwrap();
        let (reads, counts) = read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", case.file));
        assert_eq!(reads.len(), case.entry.len(), "{}", case.file);
        let mut sparse = 0;
        for (read, expected) in reads.iter().zip(&case.entry) {
            let (entry, at) = (&read.entry, std::format!("{}: {}", case.file, expected.path));
            assert_eq!(
                entry.path.strip_suffix(b"/").unwrap_or(&entry.path).escape_ascii().to_string(),
                expected.path.trim_end_matches('/'),
                "{at}"
            );
            let (kind, device) = match entry.kind {
                Kind::File => ("file", None),
                Kind::Directory => ("directory", None),
                Kind::Symlink => ("symlink", None),
                Kind::HardLink => ("hard_link", None),
                Kind::CharDevice { major, minor } => ("char", Some((major, minor))),
                Kind::BlockDevice { major, minor } => ("block", Some((major, minor))),
                Kind::Fifo => ("fifo", None),
            };
            assert_eq!((kind, device), (&expected.kind[..], expected.device), "{at}");
            assert_eq!(entry.link.escape_ascii().to_string(), expected.link, "{at}");
            let Some(mode) = expected.mode else { continue };
            let metadata = &entry.metadata;
            assert_eq!(metadata.mode, mode, "{at}");
            assert_eq!((Some(metadata.uid), Some(metadata.gid)), (expected.uid, expected.gid), "{at}");
            assert_eq!(Some((metadata.mtime.seconds, metadata.mtime.nanos)), expected.mtime, "{at}");
            let xattrs: BTreeMap<_, _> = metadata
                .xattrs
                .iter()
                .map(|(name, value)| (name.escape_ascii().to_string(), hex(value)))
                .collect();
            assert_eq!(xattrs, expected.xattrs, "{at}");
            if let Some(sha256) = &expected.sha256 {
                assert_eq!(Some(entry.size), expected.size, "{at}");
                assert_eq!(&hex(&Sha256::digest(&read.content)), sha256, "{at}");
            }
            assert_eq!(entry.sparse.is_some(), expected.sparse, "{at}");
            sparse += u64::from(expected.sparse);
        }
        assert_eq!(counts.of(Note::Sparse), sparse, "{}", case.file);
        assert_eq!(counts.of(Note::VolumeLabel), u64::from(case.file == "gnu-label.tar"), "{}", case.file);
        assert_eq!(counts.of(Note::GlobalRecords) > 0, case.file == "gnu-global.tar", "{}", case.file);
        let cut = case.file == "umoci-insert.tar";
        assert_eq!(counts.of(Note::CutPadding), u64::from(cut), "{}", case.file);
        // What Go writes needs no word of ours.
        if case.file.starts_with("go-") {
            assert_eq!(counts.iter().count(), 0, "{}", case.file);
            let verbatim = reads.iter().filter(|read| read.entry.verbatim).count();
            assert_eq!(verbatim, reads.len(), "{}", case.file);
        }
    }
}

/// The writer's bytes are the same everywhere; `make.py check` shows them to other tools. `WHARFIE_BLESS=1` writes them.
#[test]
fn what_is_written_does_not_change() {
    let (reads, _) = read(&std::fs::read(folder().join("go-pax.tar")).unwrap()).unwrap();
    let parts: Vec<_> = reads
        .iter()
        .map(|read| {
            let mut part = Vec::new();
            read.entry.header().write(&mut part).unwrap();
            part.extend_from_slice(&read.content);
            part.resize(part.len() + padding(read.entry.size), 0);
            part
        })
        .collect();
    let written = tar(&parts);
    let golden = folder().join("written.tar");
    if std::env::var_os("WHARFIE_BLESS").is_some() {
        std::fs::write(&golden, &written).unwrap();
    }
    assert!(written == std::fs::read(golden).unwrap());
}
