//! The loop that most bytes come from: far enough from the ends of input and output that it need not ask at each symbol.

use super::bits::{Bits, mask};
use super::output::Output;
use super::tables::{DIST_BITS, END, EXCEPTION, LITERAL, LITLEN_BITS, SECOND, Tables};

/// Input that one round looks at: two refills of 7 bytes at most, the second of which loads 8.
const INPUT: usize = 16;
/// Output that one round may write to: three literals, or two and the longest match, and what a copy overshoots by.
const OUTPUT: usize = 2 + 258 + 32;

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// An end of input or output is near.
    Near,
    /// The block is over.
    End,
}

/// The lowest bits, by how many; sooner looked up than worked out where shifts go through one register.
static MASKS: [u64; 64] = {
    let mut masks = [0; 64];
    let mut n = 0;
    while n < 64 {
        masks[n] = (1 << n) - 1;
        n += 1;
    }
    masks
};

/// The value that an entry stands for: its base and the extra bits, which follow the code in `bits`.
#[inline(always)]
pub(super) fn value(entry: u32, bits: u64) -> usize {
    (entry >> 16) as usize + ((bits & MASKS[(entry & 63) as usize]) >> (entry >> 8 & 15)) as usize
}

#[inline(always)]
fn word(chunk: &[u8; INPUT], at: usize) -> u64 {
    u64::from_le_bytes(load(chunk, at & 7))
}

/// The bytes at `at`.
///
/// Here and below there are no slices of ranges, nor copies of one to the other: where code is made small (the module for browsers)
/// each of these is a call.
#[inline(always)]
fn load<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    match behind(bytes, at).first_chunk() {
        Some(chunk) => *chunk,
        None => outside(),
    }
}

/// Puts bytes at `at`.
#[inline(always)]
fn store<const N: usize>(out: &mut [u8], at: usize, bytes: [u8; N]) {
    let Some((_, rest)) = out.split_at_mut_checked(at) else { outside() };
    let Some(to) = rest.first_chunk_mut() else { outside() };
    *to = bytes;
}

/// What is left from `at` on.
#[inline(always)]
fn behind(bytes: &[u8], at: usize) -> &[u8] {
    match bytes.split_at_checked(at) {
        Some((_, rest)) => rest,
        None => outside(),
    }
}

#[cold]
#[inline(never)]
#[allow(clippy::panic)] // As an index that is too large.
fn outside() -> ! {
    panic!("out of bounds")
}

/// Decodes symbols of a block until its end, or the end of input or output is near, or there is more than `until`. Only
/// if it `NOTES` does the output learn how far matches in it reach.
///
/// The bits are those of libdeflate's loop: at least 56 after a refill, of which a round uses 33 for three literals, or 22
/// for two, 20 for a length with its extra bits and 28 for a distance, before which there may be another refill. 11 remain
/// for the look-up of the next round, which so need not wait for its refill. What is above `count` in the buffer are
/// always the bits that follow.
#[inline(never)]
pub(super) fn run<const NOTES: bool>(
    tables: &Tables,
    bits: &mut Bits<'_>,
    output: &mut Output<'_>,
    until: usize,
) -> Result<Stop, &'static str> {
    let rest = bits.input.get(bits.at..).unwrap_or_default();
    let (litlen, dists) = (&tables.litlen, &tables.dist);
    let mut at = output.at;
    let mut lowest = output.lowest;
    let Some(limit) = output.bytes.len().checked_sub(OUTPUT) else { return Ok(Stop::Near) };
    let limit = limit.min(until);
    let out = &mut *output.bytes;

    if rest.len() < INPUT || at > limit {
        return Ok(Stop::Near);
    }
    bits.refill();
    let (mut buffer, mut count) = (bits.buffer, bits.count);
    let mut rest = bits.input.get(bits.at..).unwrap_or_default();

    let mut entry = litlen[(buffer & mask(LITLEN_BITS)) as usize];
    let result = loop {
        let Some(chunk) = rest.first_chunk::<INPUT>() else { break Ok(Stop::Near) };
        if at > limit {
            break Ok(Stop::Near);
        }
        buffer |= word(chunk, 0) << (count & 63);
        let mut used = 7 - (count as usize >> 3 & 7);
        count |= 56;

        let mut before = buffer;
        buffer >>= entry & 63;
        count -= entry & 63;
        if entry & LITERAL != 0 {
            out[at] = (entry >> 16) as u8;
            at += 1;
            entry = litlen[(buffer & mask(LITLEN_BITS)) as usize];
            before = buffer;
            buffer >>= entry & 63;
            count -= entry & 63;
            if entry & LITERAL != 0 {
                out[at] = (entry >> 16) as u8;
                at += 1;
                entry = litlen[(buffer & mask(LITLEN_BITS)) as usize];
                before = buffer;
                buffer >>= entry & 63;
                count -= entry & 63;
                if entry & LITERAL != 0 {
                    out[at] = (entry >> 16) as u8;
                    at += 1;
                    entry = litlen[(buffer & mask(LITLEN_BITS)) as usize];
                    rest = behind(rest, used);
                    continue;
                }
            }
        }
        if entry & EXCEPTION != 0 {
            if entry & SECOND != 0 {
                let index = (entry >> 16) as usize + (buffer & mask(entry >> 8 & 15)) as usize;
                entry = litlen.get(index).copied().unwrap_or(EXCEPTION);
                before = buffer;
                buffer >>= entry & 63;
                count -= entry & 63;
                if entry & LITERAL != 0 {
                    out[at] = (entry >> 16) as u8;
                    at += 1;
                    entry = litlen[(buffer & mask(LITLEN_BITS)) as usize];
                    rest = behind(rest, used);
                    continue;
                }
            }
            if entry & EXCEPTION != 0 {
                rest = behind(rest, used);
                if entry & END != 0 {
                    break Ok(Stop::End);
                }
                break Err(super::NO_LITLEN);
            }
        }
        let len = value(entry, before);

        entry = dists[(buffer & mask(DIST_BITS)) as usize];
        if count < 28 + LITLEN_BITS {
            buffer |= word(chunk, used) << (count & 63);
            used += 7 - (count as usize >> 3 & 7);
            count |= 56;
        }
        if entry & EXCEPTION != 0 {
            if entry & SECOND == 0 {
                break Err(super::NO_DIST);
            }
            buffer >>= DIST_BITS;
            count -= DIST_BITS;
            let index = (entry >> 16) as usize + (buffer & mask(entry >> 8 & 15)) as usize;
            entry = dists.get(index).copied().unwrap_or(EXCEPTION);
            if entry & EXCEPTION != 0 {
                break Err(super::NO_DIST);
            }
        }
        before = buffer;
        buffer >>= entry & 63;
        count -= entry & 63;
        let dist = value(entry, before);
        entry = litlen[(buffer & mask(LITLEN_BITS)) as usize];
        rest = behind(rest, used);

        if dist > at {
            if dist - at > output.history.len() {
                break Err(super::TOO_FAR);
            }
            at += repeat_history(out, at, output.history, dist, len);
            output.before = output.before.max(dist + len - at);
            continue;
        }
        let from = at - dist;
        if NOTES {
            lowest = lowest.min(from);
        }
        copy(out, from, at, len);
        at += len;
    };
    output.at = at;
    output.lowest = lowest;
    bits.buffer = buffer & mask(count);
    bits.count = count;
    bits.at = bits.input.len() - rest.len();
    result
}

/// Copies a match of `len` bytes that begins before the output.
#[cold]
#[inline(never)]
fn repeat_history(out: &mut [u8], at: usize, history: &[u8], dist: usize, len: usize) -> usize {
    let mut output = Output::new(out, history);
    output.at = at;
    output.repeat(dist, len)
}

/// Copies `len` bytes from `from` to `at`, which lies behind it, one after the other; up to 31 more are written over.
#[inline(always)]
fn copy(out: &mut [u8], from: usize, at: usize, len: usize) {
    if at - from < 16 {
        repeat(out, from, at, len);
        return;
    }
    copy16(out, from, at);
    copy16(out, from + 16, at + 16);
    if len > 32 {
        copy_long(out, from + 32, at + 32, len - 32);
    }
}

/// The same.
#[inline(never)]
fn copy_long(out: &mut [u8], from: usize, at: usize, len: usize) {
    let mut done = 0;
    while done < len {
        copy16(out, from + done, at + done);
        done += 16;
    }
}

/// The same from less than 16 bytes before.
#[inline(never)]
fn repeat(out: &mut [u8], from: usize, at: usize, len: usize) {
    let dist = at - from;
    if dist == 1 {
        let byte = [out[from]; 16];
        if let Some(to) = out.get_mut(at..at + ((len + 15) & !15)) {
            for to in to.chunks_exact_mut(16) {
                to.copy_from_slice(&byte);
            }
        }
    } else if dist >= 8 {
        let mut done = 0;
        while done < len {
            let word: [u8; 8] = load(out, from + done);
            store(out, at + done, word);
            done += 8;
        }
    } else {
        // A word of whole repetitions, as many as there is room for.
        let bits = 8 * dist as u32;
        let mut word = u64::from_le_bytes(load(out, from)) & mask(bits);
        word |= word << bits;
        word |= word.checked_shl(2 * bits).unwrap_or(0);
        word |= word.checked_shl(4 * bits).unwrap_or(0);
        let step = 8 - 8 % dist;
        let mut done = 0;
        while done < len {
            store(out, at + done, word.to_le_bytes());
            done += step;
        }
    }
}

#[inline(always)]
fn copy16(out: &mut [u8], from: usize, to: usize) {
    let chunk: [u8; 16] = load(out, from);
    store(out, to, chunk);
}
