//! Stacks of blobs out of any bytes: whatever they are packed by and however they come, what comes of them is what comes of
//! the decoded layers. What is read again gives nothing else, though a bit of it has changed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tar_input::{limits, with_checksums};
use wharfie_core::codec::Format;
use wharfie_core::merge::{Options, Order};
use wharfie_core::stack::{Config, Stack, Step};
use wharfie_core::tar::Kind;

#[path = "../../core/tests/stack/driver.rs"]
#[allow(dead_code)]
mod driver;
#[path = "../../core/tests/stack/packs.rs"]
#[allow(dead_code)]
mod packs;
#[path = "../../core/tests/merge/stack.rs"]
#[allow(dead_code)]
mod stack;
mod tar_input;

use driver::{Cut, layers};

/// Content that is read: what a sparse file stands for can be large.
const MOST: u64 = 256 << 10;

fuzz_target!(|data: &[u8]| {
    let Some(([flags, piece, room, how, change], mut data)) = data.split_first_chunk() else { return };
    let mut merge = Options::new(limits());
    merge.limits.sparse_bytes = MOST;
    merge.keep_directory_symlink = flags & 1 != 0;
    if flags & 2 != 0 {
        merge.order = Order::Canonical;
    }
    let mut blobs = Vec::new();
    for _ in 0..flags >> 2 & 3 {
        let Some((len, rest)) = data.split_first() else { return };
        let (layer, rest) = rest.split_at(rest.len().min(usize::from(*len) * 256));
        blobs.push(layer.to_vec());
        data = rest;
    }
    blobs.push(data.to_vec());
    // As blobs, or as what blobs hold.
    if flags & 16 == 0 {
        let pack =
            |(at, layer): (usize, &Vec<u8>)| packs::pack(&with_checksums(layer), usize::from(*how) + at);
        blobs = blobs.iter().enumerate().map(pack).collect();
    }

    let run = |mut cut: Cut| {
        let config = Config { merge: merge.clone(), ..Config::default() };
        let mut stack = Stack::new(layers(&blobs), None, config).unwrap();
        cut.stack(&blobs, &mut stack)?;
        let tar = cut.tar(&blobs, &stack)?;
        Ok::<_, wharfie_core::Error>((stack, tar))
    };
    let whole = run(Cut::whole());
    let pieces = run(Cut::new(usize::from(*piece) + 1, usize::from(*room) * 3 + 1));
    assert_eq!(whole.is_ok(), pieces.is_ok(), "{:?}, {:?}", whole.err(), pieces.err());
    let tars: Option<Vec<Vec<u8>>> = blobs.iter().map(|blob| packs::decoded(blob)).collect();
    let flat = tars.map(|tars| stack::flatten(&tars, &merge, 1_000));
    let Ok((stack, tar)) = whole else {
        assert!(flat.is_none_or(|flat| flat.is_err()));
        return;
    };
    assert!(pieces.unwrap().1 == tar && flat.unwrap().unwrap() == tar);

    let tree = stack.tree().unwrap();
    for node in tree.iter().filter(|node| node.kind() == Kind::File).take(20) {
        let read = Cut::whole().content(&blobs, &mut stack.read_node(node.id()).unwrap()).unwrap();
        assert_eq!(read.len() as u64, node.size());
    }

    for (layer, blob) in blobs.iter_mut().enumerate() {
        let at = usize::from(*change) * 41 + layer;
        if let Some(byte) = blob.get_mut(at) {
            *byte ^= 1 << (change & 7);
        }
    }
    let (mut export, mut out, mut buffer) =
        (stack.export(Format::Identity, None).unwrap(), Vec::new(), [0; 999]);
    loop {
        match export.step(&mut buffer) {
            Ok(Step::Need { source, offset, .. }) => {
                export.feed(source, offset, &blobs[source][offset as usize..]).unwrap();
            }
            Ok(Step::Wrote(n)) => out.extend_from_slice(&buffer[..n]),
            Ok(Step::Working) => {}
            Ok(_) => break assert!(out == tar),
            Err(_) => break assert!(tar.starts_with(&out)),
        }
    }
});
