//! The corpus of `testdata/stacks`, every case by the tree, by both flattened tars and by the model.

use std::collections::BTreeSet;

use wharfie_core::codec::{Codec as _, Decoder, Format, Needs, SoftCodecs};
use wharfie_core::digest::{Digest, SoftHashes, Verifier};
use wharfie_core::error::{Error, Fact, Place, Result};
use wharfie_core::merge::{Flatten, Options, Order, Scan, Step, Tree, check_diff_id, check_layer_count};

use super::corpus::{Case, LIMITS, Layer, RULES, RawWarning, bytes, corpus, rule_name};
use super::model;
use super::model::chosen::by_core;
use super::stack::{Item, View, flatten, items, names, offsets, resolve, view_of_tar, view_of_tree};

#[test]
fn every_stack_of_the_corpus_shows_what_the_rules_say() {
    let mut failed = 0;
    for case in corpus() {
        let run = Run { name: format!("{}: {}", case.about, case.name), case };
        // Each says what it has to say.
        failed += u32::from(std::panic::catch_unwind(|| run.run()).is_err());
    }
    assert_eq!(failed, 0, "cases failed");
}

#[test]
fn every_rule_has_cases_and_every_limit_is_reached() {
    let corpus = corpus();
    for rule in 1..=RULES {
        let cases = corpus.iter().filter(|case| case.about == rule_name(rule)).count();
        assert!(cases >= 2, "L{rule} has {cases} cases");
    }
    let mut names = BTreeSet::new();
    for case in &corpus {
        assert!(names.insert((&case.about, &case.name)), "{}: {} comes twice", case.about, case.name);
    }
    for limit in LIMITS {
        assert!(corpus.iter().any(|case| case.limit.as_deref() == Some(limit)), "no case reaches {limit}");
    }
}

/// A case on its way through everything that reads layers.
struct Run {
    name: String,
    case: Case,
}

/// Layers as a host has them when all digests have held.
struct Opened {
    tars: Vec<Vec<u8>>,
    mismatched: Vec<usize>,
}

impl Run {
    fn run(&self) {
        let layers = self.case.stack();
        match &self.case.error {
            Some(code) => self.fails(code, &layers),
            None => self.shows(&layers),
        }
    }

    fn digest(&self, layer: &Layer) -> Digest {
        match &layer.digest {
            Some(digest) => digest.parse().unwrap(),
            None => Digest::sha256(&layer.blob),
        }
    }

    /// All that a host does before it merges: blobs against their descriptors, decoded by magic, the content against
    /// the config (L20, L23), and scanned.
    fn open(&self, layers: &[Layer], piece: usize, room: usize) -> Result<(Opened, Flatten)> {
        let options = self.case.options();
        check_layer_count(self.case.diff_ids.as_ref().map(Vec::len), layers.len())?;
        let mut flatten = Flatten::new(layers.len(), &options)?;
        let mut opened = Opened { tars: Vec::new(), mismatched: Vec::new() };
        for (number, layer) in layers.iter().enumerate() {
            let digest = self.digest(layer);
            let place = Place { layer: Some(number), blob: Some(digest), ..Place::default() };
            let (tar, mismatched) = self
                .open_layer(number, layer, digest, (piece, room), &mut flatten)
                .map_err(|error| error.at(place))?;
            opened.tars.push(tar);
            opened.mismatched.extend(mismatched.then_some(number));
        }
        Ok((opened, flatten))
    }

    fn open_layer(
        &self,
        number: usize,
        layer: &Layer,
        digest: Digest,
        (piece, room): (usize, usize),
        flatten: &mut Flatten,
    ) -> Result<(Vec<u8>, bool)> {
        let size = layer.size.unwrap_or(layer.blob.len() as u64);
        let mut verifier = Verifier::new(&SoftHashes, digest, Some(size));
        for piece in cut(&layer.blob, piece) {
            verifier.update(piece)?;
        }
        verifier.finish()?;
        let limits = self.case.options().limits;
        let expected = layer.media_type.as_deref().and_then(Format::of_media_type);
        let mut decoder = Decoder::new(&SoftCodecs, expected, &limits);
        let mut scan = Scan::new(number, &limits).with_blob(digest);
        let (mut tar, mut buffer) = (Vec::new(), vec![0; room]);
        let mut pieces = cut(&layer.blob, piece);
        let mut input = pieces.next();
        loop {
            let step = match input {
                Some(input) => decoder.process(input, &mut buffer),
                None => decoder.finish(&mut buffer),
            };
            let step = step.map_err(|error| error.at_byte(decoder.written()))?;
            scan.feed(&buffer[..step.written])?;
            tar.extend_from_slice(&buffer[..step.written]);
            match step.needs {
                Needs::Input => input = pieces.next(),
                Needs::Output => input = input.map(|input| &input[step.read..]),
                Needs::Nothing => break,
            }
        }
        let diff_ids = self.case.diff_ids.as_deref();
        let stated = diff_ids.and_then(|ids| ids.get(number)).filter(|stated| *stated != "layer");
        let stated = stated.map(|id| if id == "blob" { digest } else { id.parse().unwrap() });
        if let Some(stated) = stated {
            check_diff_id(Some(stated), Digest::sha256(&tar))?;
        }
        flatten.supply(scan.finish()?)?;
        Ok((tar, decoder.mismatch().is_some()))
    }

    /// Pieces of input and room for output to go through everything with: whole, byte by byte, and some that fit nothing.
    /// Large blobs go whole.
    fn pieces(layers: &[Layer]) -> &'static [(usize, usize)] {
        let bytes: usize = layers.iter().map(|layer| layer.blob.len()).sum();
        match bytes {
            0..20_000 => &[(usize::MAX, 64 << 10), (1, 1), (513, 1), (1, 700), (77, 511), (1000, 1025)],
            20_000..30_000 => &[(usize::MAX, 64 << 10), (1, 1), (77, 511)],
            _ => &[(usize::MAX, 64 << 10), (4999, 997)],
        }
    }

    fn fails(&self, code: &str, layers: &[Layer]) {
        let name = &self.name;
        if let (Some(items), Some([layer, item])) = (self.case.items(), self.case.at)
            && code != "limit_exceeded"
        {
            match model::view(&items, self.case.keep_directory_symlink) {
                Ok(view) => {
                    assert_eq!(code, "unmapped_id", "{name}: model");
                    let chosen = self.case.chosen();
                    assert_eq!(chosen.map(&chosen.select(&view)), None, "{name}: model");
                }
                Err(fault) => assert_eq!((fault.0, fault), (code, (fault.0, layer, item)), "{name}: model"),
            }
        }
        for (piece, room) in Self::pieces(layers) {
            let error = match self.open(layers, *piece, *room) {
                Err(error) => error,
                Ok((_, flatten)) => drain(flatten).map(drop).expect_err(name),
            };
            assert_eq!(error.code(), code, "{name}: {error}");
            if let Some(limit) = &self.case.limit {
                let stated = Fact::Text(limit.clone());
                assert_eq!(error.kind().facts()[0], ("limit", stated), "{name}: {error}");
            }
            self.stands(&error, layers);
        }
    }

    /// L25: layer by index and digest, entry, byte.
    fn stands(&self, error: &Error, layers: &[Layer]) {
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
                assert!(
                    expected.byte.is_none() || place.byte == expected.byte,
                    "{name}: {error}, {:?}",
                    place.byte
                );
                assert_eq!(place.entry, expected.entry.as_deref().map(bytes), "{name}: {error}");
            }
            _ => panic!("{name}: either `at` or `place`"),
        }
        // What is wrong with a blob as a whole is nowhere in its content, and some things are of no layer alone.
        let of_all = place.layer.is_none() || error.code().ends_with("_mismatch");
        assert_eq!(place.byte.is_none(), of_all, "{name}: {error}");
        if let Some(layer) = place.layer {
            assert_eq!(place.blob, Some(self.digest(&layers[layer])), "{name}: {error}");
        }
    }

    fn shows(&self, layers: &[Layer]) {
        let name = &self.name;
        let expected = self.case.view().unwrap_or_else(|| panic!("{name}: no tree"));
        let (whole, _) =
            self.open(layers, usize::MAX, 64 << 10).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(whole.mismatched, self.case.mismatched, "{name}: mismatched");
        for (piece, room) in Self::pieces(layers) {
            let (opened, _) =
                self.open(layers, *piece, *room).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(opened.tars == whole.tars, "{name}: in pieces of {piece} into {room}");
        }
        let tars = whole.tars;
        self.by_model(&tars, &expected);
        self.by_tree(&tars, &expected);
        self.by_tars(&tars, &expected);
        let long = |path: &Vec<u8>| path.split(|byte| *byte == b'/').any(|name| name.len() > 255);
        assert_eq!(expected.keys().any(long), self.case.too_long, "{name}");
        for group in &self.case.collide {
            assert!(group.len() > 1, "{name}");
            let folded: BTreeSet<_> = group.iter().map(|path| path.to_lowercase()).collect();
            assert_eq!(folded.len(), 1, "{name}: {group:?}");
            for path in group {
                assert!(expected.contains_key(&bytes(path)), "{name}: {path}");
            }
        }
    }

    /// The law a second time; from what the parser reads, where no plain writer wrote it.
    fn by_model(&self, tars: &[Vec<u8>], expected: &View) {
        let mut layers: Vec<Vec<Item>> =
            self.case.items().unwrap_or_else(|| tars.iter().map(|tar| items(tar)).collect());
        // What the parser drops of overlays' own (L16) is not the model's.
        for item in layers.iter_mut().flatten() {
            item.metadata.xattrs.retain(|name, _| {
                !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.")
            });
        }
        let model = model::view(&layers, self.case.keep_directory_symlink);
        let model = model.unwrap_or_else(|fault| panic!("{}: {fault:?}", self.name));
        let chosen = self.case.chosen();
        let found = chosen.unmatched(&model).into_iter();
        self.matches_not(found.map(|(option, pattern)| (option, pattern.escape_ascii().to_string())));
        let model = chosen.map(&chosen.select(&model)).unwrap_or_else(|| panic!("{}: unmapped", self.name));
        same(&model, expected, &format!("{}: model", self.name));
    }

    fn by_tree(&self, tars: &[Vec<u8>], expected: &View) {
        let (name, options) = (&self.name, self.case.options());
        for (chunk, reversed) in [(usize::MAX, false), (1, true), (700, true)] {
            let tree =
                resolve(tars, &options, chunk, reversed).unwrap_or_else(|error| panic!("{name}: {error}"));
            same(&by_core(&view_of_tree(&tree, tars), &options.id_maps), expected, &format!("{name}: tree"));
            self.tells(&tree);
            let found = tree.unmatched().iter();
            self.matches_not(
                found.map(|found| (found.option, found.pattern.as_bytes().escape_ascii().to_string())),
            );
        }
    }

    /// The patterns that nothing is like.
    fn matches_not(&self, found: impl Iterator<Item = (&'static str, String)>) {
        let found: Vec<String> = found.map(|(option, pattern)| format!("{option} {pattern}")).collect();
        assert_eq!(found, self.case.unmatched, "{}: unmatched", self.name);
    }

    /// Nothing odd goes by in silence, and nothing is told that is not so (L25).
    fn tells(&self, tree: &Tree) {
        let name = &self.name;
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
        let notes = tree.counts().iter().map(|(note, count)| (note.code().to_owned(), count));
        assert_eq!(notes.collect::<std::collections::BTreeMap<_, _>>(), self.case.notes, "{name}: notes");
    }

    fn by_tars(&self, tars: &[Vec<u8>], expected: &View) {
        let (name, mut options) = (&self.name, self.case.options());
        let mut canonical = Vec::new();
        for order in [Order::Canonical, Order::Stream] {
            options.order = order;
            let flat = flatten(tars, &options, usize::MAX).unwrap_or_else(|error| panic!("{name}: {error}"));
            same(&view_of_tar(&flat, order), expected, &format!("{name}: {} tar", order.name()));
            let small = tars.iter().map(Vec::len).sum::<usize>() < 50_000;
            for chunk in if small { &[1, 511, 1300][..] } else { &[1300] } {
                let chunk = *chunk;
                assert!(flatten(tars, &options, chunk).unwrap() == flat, "{name}: in pieces of {chunk}");
            }
            if let Some(wanted) = &self.case.order
                && order == Order::Stream
            {
                assert_eq!(&names(&flat), wanted, "{name}: order");
            }
            // The flattened tar is a layer like any other, and canonical order does not hang on how layers were cut (L26).
            let mut recut = Options::default();
            recut.order = Order::Canonical;
            let again = flatten(std::slice::from_ref(&flat), &recut, usize::MAX).unwrap();
            if order == Order::Canonical {
                canonical = flat;
            }
            assert!(again == canonical, "{name}: {} order flattened again", order.name());
        }
    }
}

/// Pieces of random sizes, the same in every run, of so many bytes at most; whole if that is as many as there can be.
fn cut(bytes: &[u8], largest: usize) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut dice) = (bytes, 0x7768_6172_6669_6531_u64);
    std::iter::from_fn(move || {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let len = if largest == usize::MAX { largest } else { 1 + (dice >> 33) as usize % largest };
        let (piece, after) = rest.split_at(len.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Compares path by path: what differs is told, not all there is.
fn same(view: &View, expected: &View, what: &str) {
    for (path, shown) in expected {
        assert_eq!(view.get(path), Some(shown), "{what}: {}", path.escape_ascii());
    }
    for path in view.keys() {
        assert!(expected.contains_key(path), "{what}: {} should not be there", path.escape_ascii());
    }
}

/// Goes through the plan, for its errors.
fn drain(mut flatten: Flatten) -> Result<()> {
    while flatten.step(&mut [0; 4096])? != Step::Done {}
    Ok(())
}
