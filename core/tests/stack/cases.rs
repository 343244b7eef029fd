//! The corpus of `testdata/stacks`, each case out of its blobs.

use wharfie_core::MediaType;
use wharfie_core::codec::Format;
use wharfie_core::digest::Digest;
use wharfie_core::error::{Error, Fact, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::merge::{Node, Order};
use wharfie_core::stack::{Config, Layer, Stack};
use wharfie_core::tar::Kind;

use super::corpus::{Case, Layer as CaseLayer, RawWarning, bytes, corpus};
use super::driver::{Cut, config, layers};
use super::model::chosen::by_core;
use super::packs::{PACKS, decoded, pack};
use super::stack::{View, flatten, offsets, view_of_tree};

#[test]
fn every_stack_of_the_corpus_comes_out_of_its_blobs() {
    let mut failed = 0;
    for case in corpus() {
        let run = Run { name: format!("{}: {}", case.about, case.name), case };
        failed += u32::from(std::panic::catch_unwind(|| run.run()).is_err());
    }
    assert_eq!(failed, 0, "cases failed");
}

struct Run {
    name: String,
    case: Case,
}

impl Run {
    fn digest(&self, layer: &CaseLayer) -> Digest {
        match &layer.digest {
            Some(digest) => digest.parse().unwrap(),
            None => Digest::sha256(&layer.blob),
        }
    }

    /// As the case describes it.
    fn stack(&self, layers: &[CaseLayer], order: Order) -> Result<Stack> {
        let described: Vec<Layer> = layers
            .iter()
            .map(|layer| {
                let media_type = MediaType::parse(layer.media_type.as_deref().unwrap_or_default());
                let size = layer.blob.len() as u64;
                let descriptor = Descriptor::new(media_type, self.digest(layer), layer.size.unwrap_or(size));
                Layer { size, ..Layer::new(descriptor) }
            })
            .collect();
        let diff_ids: Option<Vec<Digest>> = self.case.diff_ids.as_ref().map(|ids| {
            let id = |(at, id): (usize, &String)| match (id.as_str(), layers.get(at)) {
                ("layer", layer) => Digest::sha256(&layer.and_then(|l| decoded(&l.blob)).unwrap_or_default()),
                ("blob", Some(layer)) => self.digest(layer),
                (id, _) => id.parse().unwrap(),
            };
            ids.iter().enumerate().map(id).collect()
        });
        let mut merge = self.case.options();
        merge.order = order;
        Stack::new(described, diff_ids.as_deref(), Config { history: true, ..config(&merge) })
    }

    fn cuts(blobs: &[Vec<u8>]) -> Vec<Cut> {
        let all: usize = blobs.iter().map(Vec::len).sum();
        let cuts: &[(usize, usize)] = match all {
            0..30_000 => &[(usize::MAX, 64 << 10), (1, 1), (77, 511)],
            _ => &[(usize::MAX, 64 << 10), (4_999, 997)],
        };
        cuts.iter().map(|(piece, room)| Cut::new(*piece, *room)).collect()
    }

    fn run(&self) {
        let layers = self.case.stack();
        match &self.case.error {
            Some(code) => self.fails(code, &layers),
            None => self.shows(&layers),
        }
    }

    fn fails(&self, code: &str, layers: &[CaseLayer]) {
        let name = &self.name;
        let blobs: Vec<Vec<u8>> = layers.iter().map(|layer| layer.blob.clone()).collect();
        for mut cut in Self::cuts(&blobs) {
            let done = self.stack(layers, Order::Stream).and_then(|mut stack| {
                cut.stack(&blobs, &mut stack)?;
                cut.tar(&blobs, &stack)
            });
            let error = done.map(drop).expect_err(name);
            assert_eq!(error.code(), code, "{name}: {error}");
            if let Some(limit) = &self.case.limit {
                assert_eq!(error.kind().facts()[0], ("limit", Fact::Text(limit.clone())), "{name}: {error}");
            }
            self.stands(&error, layers);
        }
    }

    /// L25: layer by index and digest, entry, byte.
    fn stands(&self, error: &Error, layers: &[CaseLayer]) {
        let (name, place) = (&self.name, error.place());
        match (&self.case.at, &self.case.place) {
            (Some([layer, item]), None) => {
                let tar = layers[*layer].tar.as_ref().unwrap();
                assert_eq!(place.layer, Some(*layer), "{name}: {error}");
                assert_eq!(place.byte, Some(offsets(tar)[*item]), "{name}: {error}");
                assert!(place.entry.is_some(), "{name}: {error}");
            }
            (None, Some(expected)) => {
                assert_eq!(place.layer, expected.layer, "{name}: {error}");
                assert!(expected.byte.is_none() || place.byte == expected.byte, "{name}: {error}");
                assert_eq!(place.entry, expected.entry.as_deref().map(bytes), "{name}: {error}");
            }
            _ => panic!("{name}: either `at` or `place`"),
        }
        let of_all = place.layer.is_none() || error.code().ends_with("_mismatch");
        assert_eq!(place.byte.is_none(), of_all, "{name}: {error}");
        if let Some(layer) = place.layer {
            assert_eq!(place.blob, Some(self.digest(&layers[layer])), "{name}: {error}");
        }
    }

    fn shows(&self, case_layers: &[CaseLayer]) {
        let name = &self.name;
        let expected = self.case.view().unwrap_or_else(|| panic!("{name}: no tree"));
        let blobs: Vec<Vec<u8>> = case_layers.iter().map(|layer| layer.blob.clone()).collect();
        let tars: Vec<Vec<u8>> = blobs.iter().map(|blob| decoded(blob).unwrap()).collect();
        for order in [Order::Stream, Order::Canonical] {
            let mut options = self.case.options();
            options.order = order;
            let flat = flatten(&tars, &options, 4_096).unwrap();
            for (number, mut cut) in Self::cuts(&blobs).into_iter().enumerate() {
                let mut stack = self.stack(case_layers, order).unwrap();
                cut.stack(&blobs, &mut stack).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(cut.tar(&blobs, &stack).unwrap() == flat, "{name}: the tar, {cut:?}");
                if order == Order::Stream {
                    let reported = (0..tars.len()).map(|layer| stack.report(layer).unwrap());
                    for (layer, report) in reported.enumerate() {
                        assert_eq!(report.diff_id, Digest::sha256(&tars[layer]), "{name}");
                        assert_eq!(report.tar_bytes, tars[layer].len() as u64, "{name}");
                        assert_eq!(
                            report.mismatch.is_some(),
                            self.case.mismatched.contains(&layer),
                            "{name}"
                        );
                    }
                    self.looks_right(&stack, &tars, &expected);
                    if number < 2 {
                        self.reads_right(&stack, &blobs, &expected, &mut cut);
                    }
                }
            }
        }
        if tars.iter().map(Vec::len).sum::<usize>() < 100_000 {
            self.packed_anew(&tars);
        }
    }

    /// Whatever the blobs are packed by, the same comes out.
    fn packed_anew(&self, tars: &[Vec<u8>]) {
        let name = &self.name;
        let options = self.case.options();
        let flat = flatten(tars, &options, 4_096).unwrap();
        for how in 0..PACKS {
            let blobs: Vec<Vec<u8>> =
                tars.iter().enumerate().map(|(layer, tar)| pack(tar, how + layer)).collect();
            let ids: Vec<Digest> = tars.iter().map(|tar| Digest::sha256(tar)).collect();
            for mut cut in [Cut::whole(), Cut::new(1_000, 700)] {
                let mut stack = Stack::new(layers(&blobs), Some(&ids), config(&options)).unwrap();
                cut.stack(&blobs, &mut stack).unwrap_or_else(|error| panic!("{name}, packed {how}: {error}"));
                assert!(cut.tar(&blobs, &stack).unwrap() == flat, "{name}: packed {how}");
                let mut export = stack.export(Format::Gzip, Some(1)).unwrap();
                let packed = cut.export(&blobs, &mut export).unwrap();
                assert!(decoded(&packed).unwrap() == flat, "{name}: tar.gz, packed {how}");
            }
        }
    }

    fn looks_right(&self, stack: &Stack, tars: &[Vec<u8>], expected: &View) {
        let (name, tree) = (&self.name, stack.tree().unwrap());
        let options = self.case.options();
        let view = by_core(&view_of_tree(tree, tars), &options.id_maps);
        assert!(view == *expected, "{name}: the tree");
        let mut wanted: Vec<&RawWarning> = self.case.warnings.iter().collect();
        for warning in tree.warnings().iter() {
            let warning = RawWarning {
                kind: warning.kind.code().into(),
                layer: warning.layer,
                path: warning.path.escape_ascii().to_string(),
            };
            let at = wanted.iter().position(|wanted| **wanted == warning);
            wanted.remove(at.unwrap_or_else(|| panic!("{name}: unexpected {warning:?}")));
        }
        assert!(wanted.is_empty(), "{name}: missing {wanted:?}");
        assert_eq!(stack.history().unwrap().layers().len(), tars.len(), "{name}");
        for layer in 0..tars.len() {
            let index = stack.index(layer).unwrap();
            assert_eq!(index.entries().count(), index.len(), "{name}");
        }
    }

    fn reads_right(&self, stack: &Stack, blobs: &[Vec<u8>], expected: &View, cut: &mut Cut) {
        let (name, tree) = (&self.name, stack.tree().unwrap());
        for node in tree.iter() {
            let path = node.path();
            let content = stack.read_node(node.id());
            if node.kind() != Kind::File {
                assert_eq!(content.unwrap_err().code(), "not_a_file", "{name}: {}", path.escape_ascii());
                continue;
            }
            let read = cut.content(blobs, &mut content.unwrap()).unwrap();
            assert!(read == expected[&path].data, "{name}: {}", path.escape_ascii());
            // Few names lead through symlinks.
            if tree.resolve(&path).map(Node::id) == Ok(node.id()) {
                let read = cut.content(blobs, &mut stack.read(&path).unwrap()).unwrap();
                assert!(read == expected[&path].data, "{name}: {}", path.escape_ascii());
            }
        }
    }
}
