use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use libdeflater::{CompressionLvl, Compressor};
use tempfile::TempDir;
use wharfie_core::Digest;
use wharfie_core::codec::{Codec as _, Codecs as _, Needs};
use wharfie_core::digest::Algorithm;
use wharfie_core::image::Descriptor;

use super::*;
use crate::codec::NativeCodecs;
use crate::export::Sink;
use crate::layers::LocalLayer;

struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }
}

/// Bytes as layers have them: words, what came before again, zeros, noise.
fn content(len: usize, chance: &mut Chance) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::with_capacity(len);
    while bytes.len() < len {
        let n = (len - bytes.len()).min(1 + chance.below(5000) as usize);
        match chance.below(8) {
            0 => bytes.extend((0..n).map(|_| chance.below(256) as u8)),
            1 => bytes.resize(bytes.len() + n, 0),
            2 | 3 if !bytes.is_empty() => {
                let back = 1 + chance.below(bytes.len().min(40_000) as u64) as usize;
                for _ in 0..n {
                    bytes.push(bytes[bytes.len() - back]);
                }
            }
            _ => bytes.extend((0..n).map(|_| b"aabeeilnorst \n/_"[chance.below(16) as usize])),
        }
    }
    bytes
}

/// gzip by every encoder that there is here.
fn packings(plain: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut packings = Vec::new();
    for level in 0..=9 {
        let mut packed = wharfie_core::codec::gzip_header(level).to_vec();
        let mut deflate = zlib_rs::Deflate::new(level, false, 15);
        let mut room = vec![0; plain.len() * 2 + 100_000];
        let status = deflate.compress(plain, &mut room, zlib_rs::DeflateFlush::Finish).unwrap();
        assert_eq!(status, zlib_rs::Status::StreamEnd);
        packed.extend_from_slice(&room[..deflate.total_out() as usize]);
        let (crc, len) = (crc32fast::hash(plain), plain.len() as u64);
        packed.extend_from_slice(&wharfie_core::codec::gzip_trailer(crc, len));
        packings.push((format!("zlib -{level}"), packed));
    }
    for level in [0, 1, 6, 12] {
        let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
        let mut packed = Vec::new();
        // Several members, too.
        for piece in plain.chunks(if level == 6 { 300_000 } else { plain.len() }) {
            let at = packed.len();
            packed.resize(at + compressor.gzip_compress_bound(piece.len()), 0);
            let n = compressor.gzip_compress(piece, &mut packed[at..]).unwrap();
            packed.truncate(at + n);
        }
        packings.push((format!("libdeflate -{level}"), packed));
    }
    for program in
        [&["pigz", "-6", "-n"][..], &["gzip", "-1", "-n"], &["igzip", "-1", "-n"], &["igzip", "-0", "-n"]]
    {
        if let Some(packed) = piped(program, plain) {
            packings.push((program.join(" "), packed));
        }
    }
    packings
}

/// What a program makes of its standard input; `None` where it is not there.
fn piped(program: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program:?}: {}", output.status);
        Some(output.stdout)
    })
}

/// What this host's decoder makes of it, and its blocks.
fn decoded(packed: &[u8]) -> (Vec<u8>, Vec<Block>) {
    let mut codec = NativeCodecs.decoder(Format::Gzip, &wharfie_core::Limits::default()).unwrap();
    assert!(codec.report_blocks());
    let (mut bytes, mut blocks) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; 1 << 20];
    let mut input = packed;
    loop {
        let step =
            if input.is_empty() { codec.finish(&mut buffer) } else { codec.process(input, &mut buffer) };
        let step = step.unwrap();
        bytes.extend_from_slice(&buffer[..step.written]);
        input = &input[step.read..];
        if step.needs == Needs::Nothing {
            codec.take_blocks(&mut blocks);
            return (bytes, blocks);
        }
    }
}

fn packed_file(dir: &TempDir, name: &str, bytes: &[u8]) -> Packed {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    Packed::open(&local(&path, bytes)).unwrap()
}

fn local(path: &Path, bytes: &[u8]) -> LocalLayer {
    let digest = Digest::of(Algorithm::Sha256, bytes);
    let descriptor =
        Descriptor::new("application/vnd.oci.image.layer.v1.tar+gzip".into(), digest, bytes.len() as u64);
    LocalLayer::of_file(descriptor, path)
}

/// Runs of one source with a few bytes of nowhere between: half of it, and its tail.
fn runs(len: usize, chance: &mut Chance) -> Vec<std::ops::Range<usize>> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < len {
        let to = (at + 1 + chance.below(600_000) as usize).min(len);
        runs.push(at..to);
        at = to + 512 * chance.below(3) as usize;
    }
    runs
}

fn output(path: &Path) -> Output {
    Output::open(Sink::File(path.to_owned()), Format::Gzip).unwrap()
}

#[test]
fn blocks_of_every_encoder_are_copied_and_read_by_every_decoder() {
    let mut chance = Chance(5);
    let plain = content(2_500_000, &mut chance);
    let dir = tempfile::tempdir().unwrap();
    for (name, packed) in packings(&plain) {
        let (bytes, blocks) = decoded(&packed);
        assert!(bytes == plain, "{name}");
        let runs = runs(plain.len(), &mut chance);
        let header = content(512, &mut chance);
        let expected: Vec<u8> =
            runs.iter().flat_map(|run| [&plain[run.clone()], header.as_slice()].concat()).collect();
        let blob = packed_file(&dir, "blob", &packed);
        let mut outputs = Vec::new();
        // By one and by several threads, in large pieces and small ones.
        for (jobs, piece) in [(1, usize::MAX), (3, 10_000), (2, 262_144)] {
            let path = dir.path().join("out.tar.gz");
            let cancel = Cancel::new();
            let mut output = output(&path);
            let (written, ()) = write(&mut output, jobs, &cancel, &|_| (), |filler| {
                filler.blocks(1, &blob, &blocks);
                for run in &runs {
                    let mut offset = run.start as u64;
                    for bytes in plain[run.clone()].chunks(piece) {
                        filler.take(Origin { layer: 1, offset }, bytes)?;
                        offset += bytes.len() as u64;
                    }
                    filler.write(&header)?;
                }
                Ok(())
            })
            .unwrap();
            output.commit().unwrap();
            let out = std::fs::read(&path).unwrap();
            assert_eq!(written.bytes, out.len() as u64, "{name}");
            outputs.push((written, out));
        }
        let (written, out) = &outputs[0];
        assert!(
            outputs.iter().all(|other| other == &outputs[0]),
            "{name}: the output hangs on threads or pieces"
        );
        assert!(decoded(out).0 == expected, "{name}: by core");
        let mut by_zlib = vec![0; expected.len() + 1];
        let mut zlib = zlib_rs::Inflate::new(true, 15 + 16);
        let status = zlib.decompress(out, &mut by_zlib, zlib_rs::InflateFlush::Finish).unwrap();
        assert_eq!(status, zlib_rs::Status::StreamEnd, "{name}");
        assert_eq!(zlib.total_in(), out.len() as u64, "{name}: one member");
        assert!(by_zlib[..expected.len()] == expected, "{name}: by zlib");
        if let Some(by_gzip) = piped(&["gzip", "-d"], out) {
            assert!(by_gzip == expected, "{name}: by gzip");
        }
        // At their fastest some make one block of everything; all others cut small ones.
        if !name.starts_with("igzip") && name != "zlib -1" {
            assert!(
                written.copied > expected.len() as u64 / 3,
                "{name}: {} of {}",
                written.copied,
                expected.len()
            );
        }
    }
}

#[test]
fn a_level_or_other_layers_are_packed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let layer = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        local(&path, bytes)
    };
    let gzip = layer("gzip", &[&[0x1f, 0x8b, 8][..], &[0; 97]].concat());
    let plain = layer("plain", &[0; 100]);
    let large = layer("large", &[0; 101]);
    let options = |format, level| ExportOptions { format, level, ..ExportOptions::default() };
    let fits = |layers: &[&LocalLayer], options: ExportOptions| {
        let layers = layers.iter().map(|layer| (*layer).clone()).collect();
        fits(&LocalImage { layers, diff_ids: None }, &options)
    };
    assert!(fits(&[&gzip, &plain], options(Format::Gzip, None)));
    assert!(!fits(&[&gzip, &large], options(Format::Gzip, None)));
    assert!(!fits(&[&gzip], options(Format::Gzip, Some(6))));
    assert!(!fits(&[&gzip], options(Format::Zstd, None)));
    assert!(!fits(&[&gzip], options(Format::Identity, None)));
    assert!(!fits(&[&plain], options(Format::Gzip, None)));
    assert!(!fits(&[], options(Format::Gzip, None)));
}

#[test]
fn a_blob_that_is_cut_is_an_error_and_gives_no_output() {
    let plain = content(1_000_000, &mut Chance(1));
    let packed = packings(&plain).swap_remove(6).1;
    let (_, blocks) = decoded(&packed);
    let dir = tempfile::tempdir().unwrap();
    let blob = packed_file(&dir, "blob", &packed[..packed.len() / 2]);
    let path = dir.path().join("out.tar.gz");
    let error = write(&mut output(&path), 2, &Cancel::new(), &|_| (), |filler| {
        filler.blocks(0, &blob, &blocks);
        filler.take(Origin { layer: 0, offset: 0 }, &plain)
    })
    .unwrap_err();
    assert_eq!(error.code(), "local_io");
    assert!(!path.exists());
}

#[test]
fn a_cancel_ends_it() {
    let plain = content(1_000_000, &mut Chance(1));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.tar.gz");
    let cancel = Cancel::new();
    let error = write::<()>(&mut output(&path), 2, &cancel, &|_| (), |filler| {
        loop {
            filler.write(&plain)?;
            cancel.cancel();
        }
    })
    .unwrap_err();
    assert_eq!(error.code(), "cancelled");
    assert!(!path.exists());
}
