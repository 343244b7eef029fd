//! Prefix codes as tables (RFC 1951 sections 3.2.2, 3.2.5 to 3.2.7).
//!
//! The next bits are the index of an entry. Codes that are longer than the index have a second table, which the entry
//! leads to. How an entry is packed, and how a table is filled, follows libdeflate: an entry says all there is to know of
//! a symbol, so that none needs a second look-up, and the extra bits of a length or distance are passed over together
//! with its code.
//!
//! | bits | literal | length or distance | second table |
//! |---|---|---|---|
//! | 0–7 | bits of the code | bits of the code and the extra bits | bits of the first index |
//! | 8–11 | the same | bits of the code | bits of the second index |
//! | 13–15 | – | 0 | [`EXCEPTION`], [`SECOND`] |
//! | 16–30 | the byte | the base | where it begins |
//! | 31 | [`LITERAL`] | 0 | 0 |

/// Of an entry: it is a literal.
pub(super) const LITERAL: u32 = 1 << 31;
/// Of an entry: it is the end of the block if [`END`] is set, a second table if [`SECOND`] is; else no code that there is.
pub(super) const EXCEPTION: u32 = 1 << 15;
/// Of an entry: it leads to a second table.
pub(super) const SECOND: u32 = 1 << 14;
/// Of an entry: it ends the block.
pub(super) const END: u32 = 1 << 13;

/// The longest code.
pub(super) const MAX_LEN: usize = 15;
/// Symbols for literals and lengths, the two that are never used included; for distances likewise.
pub(super) const LITLEN_SYMBOLS: usize = 288;
pub(super) const DIST_SYMBOLS: usize = 32;
/// Symbols of the code for code lengths.
pub(super) const LENGTHS_SYMBOLS: usize = 19;

/// Bits of the first index.
pub(super) const LITLEN_BITS: u32 = 11;
pub(super) const DIST_BITS: u32 = 8;
pub(super) const LENGTHS_BITS: u32 = 7;

/// As large as tables of that many symbols and that index can become (zlib's `enough 288 11 15` and `enough 32 8 15`).
const LITLEN_ENTRIES: usize = 2342;
const DIST_ENTRIES: usize = 402;

/// The two codes of a block.
#[derive(Clone)]
pub(super) struct Tables {
    pub(super) litlen: [u32; LITLEN_ENTRIES],
    pub(super) dist: [u32; DIST_ENTRIES],
}

impl Tables {
    pub(super) const EMPTY: Tables = Tables { litlen: [0; LITLEN_ENTRIES], dist: [0; DIST_ENTRIES] };

    /// The fixed codes of section 3.2.6.
    pub(super) fn fixed() -> Result<Tables, &'static str> {
        let mut lens = [8; LITLEN_SYMBOLS + DIST_SYMBOLS];
        for (symbol, len) in lens.iter_mut().enumerate() {
            match symbol {
                144..256 => *len = 9,
                256..280 => *len = 7,
                LITLEN_SYMBOLS.. => *len = 5,
                _ => {}
            }
        }
        let mut tables = Tables::EMPTY;
        tables.fill(&lens, LITLEN_SYMBOLS)?;
        Ok(tables)
    }

    /// From the lengths of the codes for literals and lengths, of which there are `litlen`, and of those for distances
    /// behind them.
    ///
    /// As in zlib a code must be complete, but for one that has a single symbol of one bit, and distances may have no
    /// code at all.
    pub(super) fn fill(&mut self, lens: &[u8], litlen: usize) -> Result<(), &'static str> {
        let (litlen, dist) = lens.split_at_checked(litlen).unwrap_or_default();
        if litlen.get(256).is_none_or(|&len| len == 0) {
            return Err(invalid!("the end of a block has no code"));
        }
        fill(&mut self.litlen, LITLEN_BITS, &LITLEN, litlen, true)
            .ok_or(invalid!("the lengths of the literal codes do not fit together"))?;
        fill(&mut self.dist, DIST_BITS, &DIST, dist, true)
            .ok_or(invalid!("the lengths of the distance codes do not fit together"))
    }
}

/// The code for code lengths.
pub(super) type Lengths = [u32; 1 << LENGTHS_BITS];

/// Fills the code for code lengths.
pub(super) fn fill_lengths(table: &mut Lengths, lens: &[u8; LENGTHS_SYMBOLS]) -> Result<(), &'static str> {
    fill(table, LENGTHS_BITS, &LENGTHS, lens, false)
        .ok_or(invalid!("the lengths of the codes for code lengths do not fit together"))
}

/// What an entry says besides the length of its code.
const LITLEN: [u32; LITLEN_SYMBOLS] = {
    let mut entries = [EXCEPTION; LITLEN_SYMBOLS];
    let mut symbol = 0;
    while symbol < 256 {
        entries[symbol] = LITERAL | (symbol as u32) << 16;
        symbol += 1;
    }
    entries[256] = EXCEPTION | END;
    // Section 3.2.5: eight lengths of their own, then four to each number of extra bits.
    let (mut symbol, mut base) = (257, 3);
    while symbol < 285 {
        let extra = if symbol < 265 { 0 } else { (symbol as u32 - 261) / 4 };
        entries[symbol] = base << 16 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    entries[285] = 258 << 16;
    entries
};

const DIST: [u32; DIST_SYMBOLS] = {
    let mut entries = [EXCEPTION; DIST_SYMBOLS];
    let (mut symbol, mut base) = (0, 1);
    while symbol < 30 {
        let extra = if symbol < 2 { 0 } else { symbol as u32 / 2 - 1 };
        entries[symbol] = base << 16 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    entries
};

const LENGTHS: [u32; LENGTHS_SYMBOLS] = {
    let mut entries = [0; LENGTHS_SYMBOLS];
    let mut symbol = 0;
    while symbol < LENGTHS_SYMBOLS {
        entries[symbol] = (symbol as u32) << 16;
        symbol += 1;
    }
    entries
};

/// The code behind `code`, which is `len` bits long and not all ones. Codes count upwards from their highest bit, which
/// comes first and so is the lowest here.
#[inline(always)]
fn next(code: usize, len: u32) -> usize {
    let zeros = code ^ ((1 << len) - 1);
    let bit = 1_usize << (zeros | 1).ilog2();
    code & (bit - 1) | bit
}

/// Fills a table whose first index has `bits` bits with the code of these lengths (section 3.2.2). `None` if there is no
/// such code: too many codes of some length, or too few. Too few are fine if `sparse` and it is but one code of one bit,
/// or none.
fn fill<const ENTRIES: usize, const SYMBOLS: usize>(
    table: &mut [u32; ENTRIES],
    bits: u32,
    symbols: &[u32; SYMBOLS],
    lens: &[u8],
    sparse: bool,
) -> Option<()> {
    let mut counts = [0_u16; MAX_LEN + 1];
    for &len in lens {
        counts[usize::from(len) & MAX_LEN] += 1;
    }
    let mut starts = [0_u16; MAX_LEN + 1];
    let (mut free, mut start) = (1_i32, 0);
    for (count, at) in counts.iter().zip(&mut starts).skip(1) {
        *at = start;
        start += count;
        free = 2 * free - i32::from(*count);
        if free < 0 {
            return None;
        }
    }
    if free > 0 {
        if !sparse || start > 1 || start != counts[1] {
            return None;
        }
        table.get_mut(..1 << bits)?.fill(EXCEPTION | 1);
        if let Some(symbol) = lens.iter().position(|&len| len == 1) {
            let entry = symbols.get(symbol)? + 0x101;
            table.get_mut(..1 << bits)?.iter_mut().step_by(2).for_each(|to| *to = entry);
        }
        return Some(());
    }

    // The symbols by the lengths of their codes.
    let mut sorted = [0_u32; SYMBOLS];
    for (&len, &symbol) in lens.iter().zip(symbols) {
        let len = usize::from(len) & MAX_LEN;
        if len > 0 {
            *sorted.get_mut(usize::from(starts[len]))? = symbol;
            starts[len] += 1;
        }
    }
    let mut sorted = sorted.iter();

    // The table for short indices first; it doubles with each bit.
    let (mut code, mut size) = (0_usize, 1_usize);
    for len in 1..=bits {
        if size < 1 << bits {
            table.get_mut(..2 * size)?.copy_within(..size, size);
            size *= 2;
        }
        for _ in 0..counts[len as usize & MAX_LEN] {
            *table.get_mut(code)? = sorted.next()? + len * 0x101;
            if code == size - 1 {
                while size < 1 << bits {
                    table.get_mut(..2 * size)?.copy_within(..size, size);
                    size *= 2;
                }
                return Some(());
            }
            code = next(code, len);
        }
    }

    // A second table for each first index that longer codes begin with.
    let (mut first, mut begin, mut end) = (usize::MAX, 0, 1_usize << bits);
    for len in bits + 1..=MAX_LEN as u32 {
        for done in 0..counts[len as usize & MAX_LEN] {
            if code & ((1 << bits) - 1) != first {
                first = code & ((1 << bits) - 1);
                begin = end;
                // As many bits as it takes for the codes that follow to fill it.
                let mut more = len - bits;
                let mut used = u32::from(counts[len as usize & MAX_LEN] - done);
                while used < 1 << more {
                    more += 1;
                    used = 2 * used + u32::from(*counts.get((bits + more) as usize)?);
                }
                end = begin + (1 << more);
                *table.get_mut(first)? = (begin as u32) << 16 | EXCEPTION | SECOND | more << 8 | bits;
            }
            let entry = sorted.next()? + (len - bits) * 0x101;
            let second = table.get_mut(begin + (code >> bits)..end)?;
            second.iter_mut().step_by(1 << (len - bits)).for_each(|to| *to = entry);
            if code == (1 << len) - 1 {
                return Some(());
            }
            code = next(code, len);
        }
    }
    None
}
