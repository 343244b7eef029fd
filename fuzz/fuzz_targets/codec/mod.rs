//! Drives a codec in pieces, and holds it to its contract.

use wharfie_core::codec::{Codec, Needs};

/// What it gives, and the code of the error that it ends with.
pub fn drive(
    codec: &mut dyn Codec,
    input: &[u8],
    piece: usize,
    room: usize,
    cap: usize,
) -> (Vec<u8>, Option<String>) {
    let mut out = Vec::new();
    let mut buffer = vec![0; room];
    let mut pieces = input.chunks(piece.max(1));
    let mut at = pieces.next();
    loop {
        let step = match at {
            Some(piece) => codec.process(piece, &mut buffer),
            None => codec.finish(&mut buffer),
        };
        let step = match step {
            Ok(step) => step,
            Err(error) => return (out, Some(error.code().to_owned())),
        };
        out.extend_from_slice(&buffer[..step.written]);
        if out.len() > cap {
            return (out, Some("cap".to_owned()));
        }
        match (step.needs, at) {
            (Needs::Input, Some(piece)) => {
                assert_eq!(step.read, piece.len());
                at = pieces.next();
            }
            (Needs::Output, _) => {
                assert!(step.read + step.written > 0);
                at = at.map(|piece| &piece[step.read..]);
            }
            (Needs::Nothing, None) => return (out, None),
            (needs, _) => panic!("{needs:?} at the wrong time"),
        }
    }
}
