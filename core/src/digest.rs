//! Digests: `algorithm:hex`, and the hashers that check them on the stream (image-spec `descriptor.md`, Digests).

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use sha2::Digest as _;

use crate::error::{Error, ErrorKind};

/// A registered digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256, the one that everybody uses.
    Sha256,
    /// SHA-384: not registered by image-spec, accepted by some registries.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Every algorithm that core computes.
    pub const ALL: &'static [Algorithm] = &[Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];

    /// The name in front of the colon.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha384 => "sha384",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Length of the hash in bytes.
    #[allow(clippy::len_without_is_empty, reason = "no hash is empty")]
    pub const fn len(self) -> usize {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Sha384 => 48,
            Algorithm::Sha512 => 64,
        }
    }

    /// The algorithm of this name.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.iter().copied().find(|a| a.name() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A digest: an algorithm and a hash of its length. Shown as `algorithm:lower-case-hex`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    // Zero beyond the algorithm's length, so that the derived comparisons hold.
    hash: [u8; 64],
}

impl Digest {
    /// From a hash of the algorithm's length; `None` if the length differs.
    pub fn new(algorithm: Algorithm, hash: &[u8]) -> Option<Digest> {
        let mut bytes = [0; 64];
        if hash.len() != algorithm.len() {
            return None;
        }
        bytes.get_mut(..hash.len())?.copy_from_slice(hash);
        Some(Digest { algorithm, hash: bytes })
    }

    /// The digest of `bytes`, by core's own hasher.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
        let mut hash = SoftHash::new(algorithm);
        hash.update(bytes);
        Box::new(hash).finish()
    }

    /// `sha256:` of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Digest {
        Digest::of(Algorithm::Sha256, bytes)
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash, of the algorithm's length.
    pub fn hash(&self) -> &[u8] {
        self.hash.get(..self.algorithm.len()).unwrap_or(&self.hash)
    }

    /// The hash in lower-case hexadecimal: the file name in an OCI layout's `blobs/<algorithm>/`.
    pub fn hex(&self) -> alloc::string::String {
        use fmt::Write as _;
        let mut hex = alloc::string::String::with_capacity(128);
        for byte in self.hash() {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    /// Parses `algorithm:hex`.
    ///
    /// # Errors
    /// `invalid_digest` if it is malformed (upper-case hexadecimal too), `unsupported_digest` if the algorithm is well
    /// formed and unknown.
    fn from_str(input: &str) -> Result<Self, Error> {
        let invalid = |reason: &str| {
            Error::from(ErrorKind::InvalidDigest { input: input.to_string(), reason: reason.to_string() })
        };
        let (name, hex) =
            input.split_once(':').ok_or_else(|| invalid("no `:` between algorithm and hash"))?;
        let component =
            |c: &str| !c.is_empty() && c.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !name.split(['+', '.', '_', '-']).all(component) {
            return Err(invalid("the algorithm must be lower-case letters and digits"));
        }
        let Some(algorithm) = Algorithm::from_name(name) else {
            return Err(ErrorKind::UnsupportedDigest { algorithm: name.to_string() }.into());
        };
        if hex.len() != algorithm.len() * 2 {
            return Err(invalid(&alloc::format!(
                "{algorithm} takes {} hexadecimal digits, here are {}",
                algorithm.len() * 2,
                hex.len()
            )));
        }
        let nibble = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let mut hash = Vec::with_capacity(algorithm.len());
        let mut digits = hex.bytes();
        while let (Some(high), Some(low)) = (digits.next(), digits.next()) {
            match (nibble(high), nibble(low)) {
                (Some(high), Some(low)) => hash.push(high << 4 | low),
                _ => return Err(invalid("the hash must be lower-case hexadecimal")),
            }
        }
        Digest::new(algorithm, &hash).ok_or_else(|| invalid("the hash has the wrong length"))
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One running hash. Hosts bring faster ones than core's own.
pub trait Hash: Send {
    /// Takes the next bytes.
    fn update(&mut self, bytes: &[u8]);
    /// Ends it.
    fn finish(self: Box<Self>) -> Digest;
    /// The state so far, if this implementation can save it: a short cut only, never needed.
    fn save(&self) -> Option<Vec<u8>> {
        None
    }
}

/// Where hashes come from: core's own [`SoftHashes`], or a host's.
pub trait Hashes: Send + Sync {
    /// A new hash.
    fn start(&self, algorithm: Algorithm) -> Box<dyn Hash>;
    /// A hash that goes on from what [`Hash::save`] gave, or `None` if it cannot.
    fn restore(&self, algorithm: Algorithm, state: &[u8]) -> Option<Box<dyn Hash>> {
        let _ = (algorithm, state);
        None
    }
}

/// Core's own hashes: pure Rust, right everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoftHashes;

impl Hashes for SoftHashes {
    fn start(&self, algorithm: Algorithm) -> Box<dyn Hash> {
        Box::new(SoftHash::new(algorithm))
    }
}

enum SoftHash {
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
}

impl SoftHash {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => SoftHash::Sha256(sha2::Sha256::new()),
            Algorithm::Sha384 => SoftHash::Sha384(sha2::Sha384::new()),
            Algorithm::Sha512 => SoftHash::Sha512(sha2::Sha512::new()),
        }
    }
}

impl Hash for SoftHash {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            SoftHash::Sha256(hash) => hash.update(bytes),
            SoftHash::Sha384(hash) => hash.update(bytes),
            SoftHash::Sha512(hash) => hash.update(bytes),
        }
    }

    fn finish(self: Box<Self>) -> Digest {
        let mut bytes = [0; 64];
        let mut put = |hash: &[u8]| {
            for (to, from) in bytes.iter_mut().zip(hash) {
                *to = *from;
            }
        };
        let algorithm = match *self {
            SoftHash::Sha256(hash) => {
                put(&hash.finalize());
                Algorithm::Sha256
            }
            SoftHash::Sha384(hash) => {
                put(&hash.finalize());
                Algorithm::Sha384
            }
            SoftHash::Sha512(hash) => {
                put(&hash.finalize());
                Algorithm::Sha512
            }
        };
        Digest { algorithm, hash: bytes }
    }
}

/// A hash that counts what it took: the thing that machines hand out and drivers run on any thread.
pub struct Hasher {
    hash: Box<dyn Hash>,
    position: u64,
}

impl Hasher {
    /// A new hash at position 0.
    pub fn new(hashes: &dyn Hashes, algorithm: Algorithm) -> Hasher {
        Hasher { hash: hashes.start(algorithm), position: 0 }
    }

    /// A hash that goes on at `position` from a saved state, or `None` if this host's hashes cannot.
    pub fn restore(hashes: &dyn Hashes, algorithm: Algorithm, state: &HashState) -> Option<Hasher> {
        Some(Hasher { hash: hashes.restore(algorithm, &state.state)?, position: state.position })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.position += bytes.len() as u64;
    }

    /// How many bytes it took.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The state so far, if it can be saved.
    pub fn save(&self) -> Option<HashState> {
        Some(HashState { position: self.position, state: self.hash.save()? })
    }

    /// Ends it.
    pub fn finish(self) -> Digest {
        self.hash.finish()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("position", &self.position).finish_non_exhaustive()
    }
}

/// A saved hash, for another process: an optional short cut, written only after the bytes it covers are synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashState {
    /// The bytes that it covers.
    pub position: u64,
    /// The implementation's own encoding.
    pub state: Vec<u8>,
}

/// A hasher that knows what must come out: size and digest, checked at the end, the size on the way.
#[derive(Debug)]
pub struct Verifier {
    hasher: Hasher,
    expected: Digest,
    size: Option<u64>,
}

impl Verifier {
    /// Of a blob of this digest and, where it is known, size in bytes.
    pub fn new(hashes: &dyn Hashes, expected: Digest, size: Option<u64>) -> Verifier {
        Verifier { hasher: Hasher::new(hashes, expected.algorithm()), expected, size }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// `size_mismatch` as soon as there are too many.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        match self.size {
            Some(expected) if self.hasher.position() > expected => {
                Err(Error::from(ErrorKind::SizeMismatch { expected, actual: self.hasher.position() })
                    .in_blob(self.expected))
            }
            _ => Ok(()),
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// `size_mismatch` if bytes are missing, else `digest_mismatch`.
    pub fn finish(self) -> Result<Digest, Error> {
        let (expected, actual) = (self.expected, self.hasher.position());
        if let Some(size) = self.size.filter(|size| *size != actual) {
            return Err(Error::from(ErrorKind::SizeMismatch { expected: size, actual }).in_blob(expected));
        }
        let actual = self.hasher.finish();
        if actual == expected {
            Ok(actual)
        } else {
            Err(Error::from(ErrorKind::DigestMismatch { expected, actual }).in_blob(expected))
        }
    }
}

#[cfg(test)]
mod tests;
