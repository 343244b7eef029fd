//! The sample image.

use wharfie_core::archive::{Cataloguer, Need, Reading};
use wharfie_core::codec::Format;
use wharfie_core::image::{Config as ImageConfig, Document};
use wharfie_core::merge::{Options, Order};
use wharfie_core::stack::{Config, Layer, Stack};
use wharfie_core::tar::Kind;
use wharfie_core::{Digest, Limits};

use super::driver::{Cut, config};
use super::packs::decoded;
use super::stack::{flatten, view_of_tree};

/// Layers as the manifest has them, their blobs, and the config's `diff_ids`.
fn sample() -> (Vec<Layer>, Vec<Vec<u8>>, Vec<Digest>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/sample/sample.oci.tar");
    let tar = std::fs::read(path).unwrap();
    let limits = Limits::default();
    let mut cataloguer = Cataloguer::new(&limits);
    cataloguer.feed(0, &tar).unwrap();
    let mut reading = Reading::new(cataloguer.finish(tar.len() as u64).unwrap(), None, &limits);
    let bytes =
        |span: &wharfie_core::archive::Span| &tar[span.offset as usize..(span.offset + span.len) as usize];
    let found = loop {
        match reading.poll_need().unwrap() {
            Need::Bytes(span) => reading.supply(bytes(&span)).unwrap(),
            Need::Digest { span, .. } => reading.hashed(Digest::sha256(bytes(&span))).unwrap(),
            Need::Done(collection) => break collection,
        }
    };
    let content = |digest: &Digest| bytes(&found.blobs[digest]).to_vec();
    let mut top = Document::parse(&content(&found.images[0].top.digest), None, &limits).unwrap();
    if let Some(index) = top.index() {
        let digest = index.manifests[0].digest;
        top = Document::parse(&content(&digest), None, &limits).unwrap();
    }
    let manifest = top.manifest().unwrap();
    let config = ImageConfig::parse(&content(&manifest.config.digest), &limits).unwrap();
    let blobs = manifest.layers.iter().map(|layer| content(&layer.digest)).collect();
    (manifest.layers.iter().cloned().map(Layer::new).collect(), blobs, config.diff_ids)
}

#[test]
fn the_sample_image_comes_out_as_it_does_elsewhere() {
    let (layers, blobs, diff_ids) = sample();
    assert!(layers.len() > 1);
    let tars: Vec<Vec<u8>> = blobs.iter().map(|blob| decoded(blob).unwrap()).collect();
    for order in [Order::Stream, Order::Canonical] {
        let mut options = Options::default();
        options.order = order;
        let flat = flatten(&tars, &options, 4_096).unwrap();
        for mut cut in [Cut::whole(), Cut::new(3_000, 5_000), Cut::new(300_000, 300_000)] {
            let config = Config { history: true, ..config(&options) };
            let mut stack = Stack::new(layers.clone(), Some(&diff_ids), config).unwrap();
            cut.stack(&blobs, &mut stack).unwrap();
            assert!(cut.tar(&blobs, &stack).unwrap() == flat);
            let mut packed = stack.export(Format::Gzip, None).unwrap();
            assert!(decoded(&cut.export(&blobs, &mut packed).unwrap()).unwrap() == flat);
            let tree = stack.tree().unwrap();
            let view = view_of_tree(tree, &tars);
            for node in tree.iter().filter(|node| node.kind() == Kind::File) {
                let mut content = stack.read_node(node.id()).unwrap();
                assert!(cut.content(&blobs, &mut content).unwrap() == view[&node.path()].data);
            }
            assert_eq!(stack.history().unwrap().layers().len(), layers.len());
        }
    }
}
