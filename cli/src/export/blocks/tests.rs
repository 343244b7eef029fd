use std::cell::Cell;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;
use crate::export::Sink;

/// The level at which a block takes longest among those that nobody has to ask for twice.
const SLOW: (Format, i32) = (Format::Zstd, 19);
/// From a cancel to the end: far more than it takes, and far less than one block does.
const SOON: Duration = Duration::from_secs(2);

#[derive(Clone, Default)]
struct Counted(Arc<AtomicUsize>);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(bytes.len(), Ordering::Relaxed);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One block's bytes that cannot be packed smaller, and one's that can.
fn data() -> [(&'static str, Vec<u8>); 2] {
    let size = block_size(SLOW.0, SLOW.1);
    let mut state = 1_u64;
    let mut noise = Vec::with_capacity(size);
    while noise.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.extend_from_slice(&(state >> 32).to_le_bytes()[..4]);
    }
    let words =
        noise.iter().flat_map(|at| [b"ahoy", b"quay", b"pier", b"dock"][usize::from(at & 3)]).copied();
    let text = words.take(size).collect();
    [("noise", noise), ("text", text)]
}

fn stream(format: Format, to: &Counted) -> Output {
    Output::open(Sink::Stream(Box::new(to.clone())), format).unwrap()
}

#[test]
fn a_cancel_waits_for_no_block() {
    for (name, bytes) in data() {
        let (cancel, out, when) = (Cancel::new(), Counted::default(), Mutex::new(None));
        let tell = |position| {
            if position == 3 * bytes.len() as u64 {
                cancel.cancel();
                *when.lock().unwrap() = Some(Instant::now());
            }
        };
        // Two are being packed, one waits for them, and three were to come.
        let error = write(&mut stream(SLOW.0, &out), SLOW, 2, &cancel, &tell, |filler| {
            (0..6).try_for_each(|_| filler.write(&bytes))
        })
        .unwrap_err();
        assert_eq!(error.code(), "cancelled", "{name}");
        let took = when.lock().unwrap().unwrap().elapsed();
        assert!(took < SOON, "{name}: {took:?}");
        assert_eq!(out.0.load(Ordering::Relaxed), 0, "{name}: no block was done");
    }
}

#[test]
fn a_cancel_waits_for_no_block_when_all_are_on_their_way() {
    let [_, (_, bytes)] = data();
    let (cancel, out, when) = (Cancel::new(), Counted::default(), Cell::new(None));
    let error = thread::scope(|scope| {
        write(&mut stream(SLOW.0, &out), SLOW, 2, &cancel, &|_| (), |filler| {
            (0..4).try_for_each(|_| filler.write(&bytes))?;
            let (asked, cancel) = (Duration::from_millis(100), &cancel);
            when.set(Some(Instant::now() + asked));
            scope.spawn(move || {
                thread::sleep(asked);
                cancel.cancel();
            });
            Ok(())
        })
    })
    .unwrap_err();
    assert_eq!(error.code(), "cancelled");
    let took = when.get().unwrap().elapsed();
    assert!(took < SOON, "{took:?}");
    assert_eq!(out.0.load(Ordering::Relaxed), 0);
}

/// One that takes nothing.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_failure_stops_the_filler_and_is_what_is_told() {
    let [(_, bytes), _] = data();
    let mut output = Output::open(Sink::Stream(Box::new(Full)), Format::Gzip).unwrap();
    let error = write::<()>(&mut output, (Format::Gzip, 1), 2, &Cancel::new(), &|_| (), |filler| {
        loop {
            filler.write(&bytes)?;
        }
    })
    .unwrap_err();
    assert_eq!(error.code(), "no_space");
}

#[test]
fn every_block_is_packed_as_one() {
    let [_, (_, bytes)] = data();
    let level = (Format::Zstd, 1);
    let size = block_size(level.0, level.1);
    let out = Counted::default();
    let mut output = stream(level.0, &out);
    let written = write(&mut output, level, 3, &Cancel::new(), &|_| (), |filler| {
        (0..3).try_for_each(|_| filler.write(&bytes[..size / 2 + 1]))
    })
    .unwrap();
    let plain = [&bytes[..size / 2 + 1]; 3].concat();
    let mut packer = zstd::bulk::Compressor::new(level.1).unwrap();
    packer.include_checksum(true).unwrap();
    let expected: usize = plain.chunks(size).map(|block| packer.compress(block).unwrap().len()).sum();
    output.commit().unwrap();
    assert_eq!((written.0, out.0.load(Ordering::Relaxed)), (expected as u64, expected));
}
