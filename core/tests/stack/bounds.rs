//! How much one call does, and what a host is asked to read again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wharfie_core::Limits;
use wharfie_core::codec::{Codec, Codecs, Format, Needs, Progress, SoftCodecs};
use wharfie_core::digest::{Algorithm, Hash, Hashes, SoftHashes};
use wharfie_core::error::Result;
use wharfie_core::merge::{Options, Order};
use wharfie_core::stack::{Config, PIECE, Stack, Step, WORK};
use wharfie_core::tar::{Header, Kind, Metadata, padding};

use super::driver::{Cut, config, layer, layers, open};
use super::packs::{gzip, gzip_members, noise, zstd, zstd_of_zeros};
use super::stack::{flatten, tar};
use super::verified::{file, item};

/// Counts what is decoded and hashed.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicU64>, Arc<AtomicU64>);

struct CountedCodec(Box<dyn Codec>, Counted);
struct CountedHash(Box<dyn Hash>, Counted);

impl Codec for CountedCodec {
    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress> {
        let step = self.0.process(input, output)?;
        self.1.0.fetch_add(step.written.max(step.read) as u64, Ordering::Relaxed);
        Ok(step)
    }

    fn finish(&mut self, output: &mut [u8]) -> Result<Progress> {
        let step = self.0.finish(output)?;
        self.1.0.fetch_add(step.written as u64, Ordering::Relaxed);
        Ok(step)
    }
}

impl Codecs for Counted {
    fn decoder(&self, format: Format, limits: &Limits) -> Result<Box<dyn Codec>> {
        Ok(Box::new(CountedCodec(SoftCodecs.decoder(format, limits)?, self.clone())))
    }

    fn encoder(&self, format: Format, level: Option<i32>) -> Result<Box<dyn Codec>> {
        SoftCodecs.encoder(format, level)
    }
}

impl Hash for CountedHash {
    fn update(&mut self, bytes: &[u8]) {
        self.1.1.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.0.update(bytes);
    }

    fn finish(self: Box<Self>) -> wharfie_core::Digest {
        self.0.finish()
    }
}

impl Hashes for Counted {
    fn start(&self, algorithm: Algorithm) -> Box<dyn Hash> {
        Box::new(CountedHash(SoftHashes.start(algorithm), self.clone()))
    }
}

impl Counted {
    fn config(&self) -> Config {
        Config { codecs: Arc::new(self.clone()), hashes: Arc::new(self.clone()), ..Config::default() }
    }

    /// What came since it was asked last.
    fn take(&self) -> (u64, u64) {
        (self.0.swap(0, Ordering::Relaxed), self.1.swap(0, Ordering::Relaxed))
    }
}

/// A tar of one file of so many zeros, without them: header, and what stands behind.
fn around_zeros(size: u64) -> (Vec<u8>, Vec<u8>) {
    let mut header = Vec::new();
    let metadata = Metadata { mode: 0o644, ..Metadata::default() };
    Header { path: b"zeros", link: b"", kind: Kind::File, metadata: &metadata, size }
        .write(&mut header)
        .unwrap();
    (header, vec![0; padding(size) + 1024])
}

const ZEROS: u64 = 64 << 20;

fn bombs() -> [Vec<u8>; 3] {
    let (header, end) = around_zeros(ZEROS);
    let all = [&header[..], &vec![0; ZEROS as usize], &end].concat();
    let framed = [zstd(&header, usize::MAX), zstd_of_zeros(ZEROS as usize), zstd(&end, usize::MAX)].concat();
    [gzip(&all, 9), framed, all]
}

/// Every call while a blob is read does no more than it may, fed as much as it takes.
#[test]
fn no_call_does_more_than_it_may() {
    for (number, blob) in bombs().into_iter().enumerate() {
        if number < 2 {
            assert!(blob.len() < 80 << 10, "{} bytes", blob.len());
        }
        for verified in [false, true] {
            let counted = Counted::default();
            let mut given = layer(&blob);
            given.verified = verified;
            let mut stack = Stack::new(vec![given], None, counted.config()).unwrap();
            let (mut steps, mut working) = (0, 0);
            loop {
                let step = stack.step().unwrap();
                let (decoded, hashed) = counted.take();
                assert!(decoded <= (WORK + PIECE) as u64, "{decoded} decoded");
                assert!(hashed <= (WORK + PIECE) as u64, "{hashed} hashed");
                steps += 1;
                match step {
                    Step::Need { offset, .. } => {
                        let taken = stack.feed(0, offset, &blob[offset as usize..]).unwrap();
                        assert!(taken <= PIECE);
                        let (decoded, hashed) = counted.take();
                        assert_eq!((decoded, hashed <= PIECE as u64), (0, true));
                    }
                    Step::Working => working += 1,
                    Step::Done => break,
                    step => panic!("{step:?}"),
                }
            }
            assert!(steps > ZEROS / WORK as u64 && (number == 2 || working > 60), "{steps} steps, {working}");

            // So does every step of what reads it again.
            let (mut content, mut buffer) = (stack.read(b"zeros").unwrap(), vec![0; 4 << 20]);
            let mut read = 0;
            loop {
                let step = content.step(&mut buffer).unwrap();
                assert!(counted.take().0 <= (WORK + PIECE) as u64);
                match step {
                    Step::Need { offset, .. } => {
                        content.feed(0, offset, &blob[offset as usize..]).unwrap();
                    }
                    Step::Wrote(n) => {
                        assert!(n <= WORK + PIECE);
                        read += n as u64;
                    }
                    Step::Working => {}
                    Step::Done => break,
                    step => panic!("{step:?}"),
                }
            }
            assert_eq!(read, ZEROS);
        }
    }
}

#[test]
fn bytes_that_give_nothing_are_work_too() {
    // A skippable frame of 8 MiB behind a layer, and empty gzip members without end.
    let plain = tar(&[file("a", b"1")]);
    let skipped =
        [&zstd(&plain, 700)[..], &[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0x80, 0], &vec![7; 8 << 20]].concat();
    let empty = [gzip(&plain, 6), gzip(b"", 6).repeat(200_000)].concat();
    for blob in [skipped, empty] {
        let counted = Counted::default();
        let mut stack = Stack::new(vec![layer(&blob)], None, counted.config()).unwrap();
        loop {
            let step = stack.step().unwrap();
            assert!(counted.take().0 <= (WORK + PIECE) as u64);
            match step {
                Step::Need { offset, .. } => drop(stack.feed(0, offset, &blob[offset as usize..]).unwrap()),
                Step::Working => {}
                _ => break,
            }
        }
    }
}

#[test]
fn limits_hold() {
    // The ratio is judged above 1 GiB; the window of a frame at once.
    let mut options = Options::default();
    options.limits.zstd_window_bytes = 1 << 10;
    let blobs = [zstd(&tar(&[file("a", b"1")]), usize::MAX)];
    let mut stack = Stack::new(layers(&blobs), None, config(&options)).unwrap();
    assert_eq!(Cut::whole().stack(&blobs, &mut stack).unwrap_err().code(), "limit_exceeded");
}

#[test]
fn what_a_manifest_says_twice_is_hashed_once() {
    let plain = tar(&[file("a", &noise(1 << 20, 3))]);
    for (blob, verified, hashed) in [
        (plain.clone(), false, plain.len()),
        (plain.clone(), true, plain.len()),
        (gzip(&plain, 1), true, plain.len()),
        (gzip(&plain, 1), false, plain.len() + gzip(&plain, 1).len()),
    ] {
        let counted = Counted::default();
        let mut given = layer(&blob);
        given.verified = verified;
        let mut stack = Stack::new(vec![given], None, counted.config()).unwrap();
        Cut::whole().stack(&[blob], &mut stack).unwrap();
        assert_eq!(counted.take().1, hashed as u64);
    }
}

/// A layer of some files of 2 MiB, 24 MiB in all.
fn large(seed: u64) -> Vec<u8> {
    tar(&(0..12).map(|at| file(&format!("f{at:02}"), &noise(2 << 20, seed + at))).collect::<Vec<_>>())
}

#[test]
fn one_file_is_read_from_its_checkpoint() {
    let plain = large(1);
    let framed = zstd(&plain, 3 << 20);
    for blob in [plain.clone(), gzip(&plain, 1), framed, gzip_members(&plain, 1, 1_000_001)] {
        let share = blob.len() as u64 / 24;
        let blobs = [blob];
        let stack = open(&blobs, &Options::default());
        for at in [0, 5, 11] {
            for mut cut in [Cut::whole(), Cut::new(10_000, 3_000)] {
                let mut content = stack.read(format!("f{at:02}").as_bytes()).unwrap();
                assert!(cut.content(&blobs, &mut content).unwrap() == noise(2 << 20, 1 + at));
                // 4 MiB between two checkpoints, or a little more, and what is fed too much.
                assert!(cut.fed <= 8 * share + PIECE as u64, "{} of {}", cut.fed, blobs[0].len());
            }
        }
    }
}

#[test]
fn an_export_jumps_over_what_nobody_sees() {
    let below = large(20);
    let hidden: Vec<_> = (1..11).map(|at| file(&format!(".wh.f{at:02}"), b"")).collect();
    let tars = [below, tar(&hidden)];
    let flat = flatten(&tars, &Options::default(), 4096).unwrap();
    for blob in [tars[0].clone(), gzip(&tars[0], 1), zstd(&tars[0], 1 << 20)] {
        let (share, blobs) = (blob.len() as u64 / 24, [blob, tars[1].clone()]);
        let stack = open(&blobs, &Options::default());
        let mut cut = Cut::whole();
        assert!(cut.tar(&blobs, &stack).unwrap() == flat);
        assert!(cut.fed < 12 * share, "{} of {}", cut.fed, blobs[0].len());
    }
}

#[test]
fn what_comes_later_is_decoded_again() {
    // L13, L14: first names gone, their bodies wanted where other names stand, some of them far behind.
    let mut below: Vec<_> = (0..6).map(|at| file(&format!("f{at}"), &noise(3 << 20, at))).collect();
    below.extend((0..6).rev().map(|at| item(&format!("g{at}"), Kind::HardLink, &format!("f{at}"), b"")));
    below.push(file("last", b"1"));
    let mut above: Vec<_> = (0..6).map(|at| file(&format!(".wh.f{at}"), b"")).collect();
    above.push(item("top", Kind::HardLink, "f3", b""));
    let tars = [tar(&below), tar(&above)];
    for order in [Order::Stream, Order::Canonical] {
        let mut options = Options::default();
        options.order = order;
        let flat = flatten(&tars, &options, 4096).unwrap();
        for blob in [tars[0].clone(), gzip(&tars[0], 1), zstd(&tars[0], usize::MAX)] {
            let blobs = [blob, tars[1].clone()];
            let stack = open(&blobs, &options);
            for mut cut in [Cut::whole(), Cut::new(99_999, 100_001)] {
                assert!(cut.tar(&blobs, &stack).unwrap() == flat);
            }
        }
    }
}

/// What a blob gives beyond what is asked.
#[test]
fn a_codec_that_does_not_move_is_told() {
    struct Still;
    impl Codec for Still {
        fn process(&mut self, _: &[u8], _: &mut [u8]) -> Result<Progress> {
            Ok(Progress { read: 0, written: 0, needs: Needs::Output })
        }
        fn finish(&mut self, _: &mut [u8]) -> Result<Progress> {
            Ok(Progress { read: 0, written: 0, needs: Needs::Input })
        }
    }
    struct Stills;
    impl Codecs for Stills {
        fn decoder(&self, _: Format, _: &Limits) -> Result<Box<dyn Codec>> {
            Ok(Box::new(Still))
        }
        fn encoder(&self, _: Format, _: Option<i32>) -> Result<Box<dyn Codec>> {
            Ok(Box::new(Still))
        }
    }
    for blob in [tar(&[file("a", b"1")]), Vec::new()] {
        let config = Config { codecs: Arc::new(Stills), ..Config::default() };
        let mut stack = Stack::new(vec![layer(&blob)], None, config).unwrap();
        assert_eq!(Cut::whole().stack(&[blob], &mut stack).unwrap_err().code(), "internal");
    }
}
