//! Deflate decoding (RFC 1951).

mod block;

pub use block::Block;

/// As far back as deflate can look.
const WINDOW: usize = 32 << 10;
