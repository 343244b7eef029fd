//! Raw deflate: what zlib-rs takes and nothing else, the same bytes, however it is cut; and blocks that are where they are
//! said to be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfie_core::codec::{Block, Inflate, Inflater};

const CAP: usize = 1 << 20;

/// The output, the blocks, and how many bytes were read; `None` where the input ends first, an error as it is.
type Outcome = (Vec<u8>, Vec<Block>, Result<Option<usize>, &'static str>);

fn ours(data: &[u8], piece: usize, room: usize) -> Outcome {
    let mut inflater = Inflater::new();
    assert!(inflater.report_blocks());
    let (mut out, mut blocks, mut at) = (Vec::new(), Vec::new(), 0);
    let mut buffer = vec![0; room];
    loop {
        let input = &data[at..(at + piece).min(data.len())];
        let step = inflater.inflate(input, &mut buffer);
        inflater.take_blocks(&mut blocks);
        match step {
            Err(reason) => return (out, blocks, Err(reason)),
            Ok(step) => {
                at += step.read;
                out.extend_from_slice(&buffer[..step.written]);
                assert!(step.done || step.read == input.len() || step.written == room);
                if step.done {
                    return (out, blocks, Ok(Some(at)));
                }
                if out.len() > CAP || at == data.len() && step.written < room {
                    return (out, blocks, Ok(None));
                }
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let seed = data.iter().fold(data.len() as u8, |seed, byte| seed.rotate_left(3) ^ byte);
    let (piece, room) = (usize::from(seed & 15) * 9 + 1, usize::from(seed >> 4) * 300 + 1);
    let whole = ours(data, data.len().max(1), CAP);
    let pieces = ours(data, piece, room);
    if whole.0.len() < CAP && pieces.0.len() < CAP {
        assert_eq!(whole.2, pieces.2);
        assert_eq!(whole.1, pieces.1);
        assert!(whole.2.is_err() || whole.0 == pieces.0);
    }

    let mut zlib = zlib_rs::Inflate::new(false, 15);
    let mut out = vec![0; CAP];
    let status = zlib.decompress(data, &mut out, zlib_rs::InflateFlush::NoFlush);
    out.truncate(zlib.total_out() as usize);
    match (&whole.2, status) {
        (Ok(read), Ok(status)) => {
            assert_eq!(*read, (status == zlib_rs::Status::StreamEnd).then_some(zlib.total_in() as usize));
            assert!(whole.0 == out);
        }
        (Err(_), Err(_)) => {}
        // zlib takes an empty code for code lengths, and then finds that the end of the block has no code.
        (Err(reason), Ok(status)) => {
            assert!(reason.contains("codes for code lengths") && status != zlib_rs::Status::StreamEnd);
        }
        (Ok(_), Err(error)) => panic!("zlib refuses it: {error:?}"),
    }

    let (mut bit, mut byte) = (0, 0);
    for block in &whole.1 {
        let (bits, bytes) = (block.bits(), block.bytes());
        assert!(bit <= bits.start && bits.end <= 8 * data.len() as u64);
        assert!(byte <= bytes.start && bytes.end <= CAP as u64);
        assert!(block.reach() <= bytes.start);
        assert_eq!(block.is_last(), data[bits.start as usize / 8] >> (bits.start % 8) & 1 == 1);
        (bit, byte) = (bits.end, bytes.end);
    }
});
