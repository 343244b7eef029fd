//! Blobs that are others when they are read again.

use wharfie_core::codec::Format;
use wharfie_core::merge::Options;
use wharfie_core::stack::Step;

use super::driver::{Cut, open};
use super::packs::{gzip, noise, pack, zstd};
use super::stack::{flatten, tar};
use super::verified::file;

#[test]
fn nothing_goes_out_that_is_not_what_was_verified() {
    let data = noise(300_000, 7);
    let plain = tar(&[file("first", b"1"), file("a", &data), file("b", &noise(100_000, 8))]);
    let flat = flatten(std::slice::from_ref(&plain), &Options::default(), 999).unwrap();
    for blob in [plain.clone(), gzip(&plain, 6), gzip(&plain, 0), zstd(&plain, 50_000)] {
        let stack = open(std::slice::from_ref(&blob), &Options::default());
        // One bit, here and there.
        for at in (0..blob.len()).step_by(blob.len() / 37) {
            let mut changed = blob.clone();
            changed[at] ^= 0x10;
            let blobs = [changed];
            let mut cut = Cut::new(40_000, 10_000);
            let mut export = stack.export(Format::Identity, None).unwrap();
            let (mut out, mut buffer) = (Vec::new(), vec![0; 10_000]);
            let came = loop {
                match export.step(&mut buffer) {
                    Ok(Step::Need { offset, .. }) => {
                        export.feed(0, offset, &blobs[0][offset as usize..]).unwrap();
                    }
                    Ok(Step::Wrote(n)) => out.extend_from_slice(&buffer[..n]),
                    Ok(Step::Working) => {}
                    Ok(_) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            assert!(flat.starts_with(&out), "byte {at}: what went out is right");
            match came {
                // Where nothing hangs on it: in the header of gzip, behind the last entry.
                Ok(()) => assert!(out == flat),
                Err(error) => {
                    assert_eq!((error.code(), error.place().layer), ("corrupt_stream", Some(0)), "{error}");
                    assert_eq!(export.step(&mut buffer).unwrap_err(), error, "the same again");
                }
            }
            let mut content = stack.read(b"a").unwrap();
            match cut.content(&blobs, &mut content) {
                Ok(read) => assert!(read == data),
                Err(error) => {
                    assert_eq!(error.code(), "corrupt_stream", "{error}");
                    assert_eq!(error.place().entry.as_deref(), Some(&b"a"[..]));
                }
            }
        }
    }
}

#[test]
fn a_blob_that_is_shorter_by_then_is_told() {
    let plain = tar(&[file("a", &noise(300_000, 7))]);
    for how in 0..super::packs::PACKS {
        let blob = pack(&plain, how);
        let stack = open(std::slice::from_ref(&blob), &Options::default());
        let mut content = stack.read(b"a").unwrap();
        let error = loop {
            match content.step(&mut [0; 1000]).unwrap() {
                Step::Need { offset, .. } => {
                    let offset = offset as usize;
                    let end = (blob.len() / 2).max(offset);
                    if let Err(error) = content.feed(0, offset as u64, &blob[offset..end]) {
                        break error;
                    }
                }
                Step::Wrote(_) | Step::Working => {}
                step => panic!("{step:?}"),
            }
        };
        assert_eq!((error.code(), error.place().layer), ("size_mismatch", Some(0)));
    }
}
