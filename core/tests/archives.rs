//! Archives as other tools wrote them (`testdata/archives.toml`): the same is found whole, byte by byte and with something behind.

use serde::Deserialize;
use wharfie_core::archive::{Cataloguer, Collection, Need, Reading, Span};
use wharfie_core::image::{Config, Document};
use wharfie_core::{Digest, Limits};

#[derive(Deserialize)]
struct Cases {
    archive: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    file: String,
    names: Vec<String>,
    config: Digest,
    /// What the layers are when they are decoded.
    layers: Vec<Digest>,
    manifest: Option<Digest>,
}

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata");

fn bytes<'t>(tar: &'t [u8], span: &Span) -> &'t [u8] {
    &tar[usize::try_from(span.offset).unwrap()..][..usize::try_from(span.len).unwrap()]
}

fn read(tar: &[u8], piece: usize) -> Collection {
    let limits = Limits::default();
    let mut cataloguer = Cataloguer::new(&limits);
    for (at, part) in tar.chunks(piece).enumerate() {
        cataloguer.feed((at * piece) as u64, part).unwrap();
    }
    let mut reading = Reading::new(cataloguer.finish(tar.len() as u64).unwrap(), None, &limits);
    loop {
        match reading.poll_need().unwrap() {
            Need::Bytes(span) => reading.supply(bytes(tar, &span)).unwrap(),
            Need::Digest { span, decoded } => {
                assert!(!decoded, "{span:?}: what a config says of a layer is not computed");
                reading.hashed(Digest::sha256(bytes(tar, &span))).unwrap();
            }
            Need::Done(collection) => return collection,
        }
    }
}

#[test]
fn what_other_tools_write_is_found() {
    let text = std::fs::read_to_string(format!("{DATA}/archives.toml")).unwrap();
    let cases: Cases = toml::from_str(&text).unwrap();
    assert!(cases.archive.len() >= 10);
    let limits = Limits::default();
    for case in cases.archive {
        let what = &case.file;
        let tar = std::fs::read(format!("{DATA}/archives/{what}")).unwrap();
        let found = read(&tar, tar.len());
        assert_eq!(found, read(&tar, 1), "{what}");
        assert_eq!(found, read(&[&tar[..], &[9; 3000]].concat(), 700), "{what}");
        let [image] = found.images.as_slice() else { panic!("{what}: {:?}", found.images) };
        assert_eq!(image.names, case.names, "{what}");
        for name in &case.names {
            assert_eq!(found.find(Some(name)).unwrap().top, image.top, "{what}");
        }
        if let Some(manifest) = case.manifest {
            assert_eq!(image.top.digest, manifest, "{what}");
        }
        let content = |digest: &Digest| match found.made.get(digest) {
            Some(made) => made.clone(),
            None => bytes(&tar, &found.blobs[digest]).to_vec(),
        };
        let manifest = Document::parse(&content(&image.top.digest), None, &limits).unwrap();
        manifest.verify(&image.top.digest).unwrap();
        let manifest = manifest.manifest().unwrap();
        assert_eq!(manifest.config.digest, case.config, "{what}");
        let config = content(&case.config);
        assert_eq!(Digest::sha256(&config), case.config, "{what}");
        let config = Config::parse(&config, &limits).unwrap();
        assert_eq!(config.diff_ids, case.layers, "{what}");
        assert_eq!(manifest.layers.len(), case.layers.len(), "{what}");
        for layer in &manifest.layers {
            let raw = content(&layer.digest);
            assert_eq!((Digest::sha256(&raw), raw.len() as u64), (layer.digest, layer.size), "{what}");
        }
    }
}
