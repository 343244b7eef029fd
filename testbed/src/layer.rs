//! Layers written by hand with the crate `tar`: the same bytes each time.

use std::io::Write;

use tar::{Builder, EntryType, Header};

/// 2025-01-01T00:00:00Z: the time of everything that says no other.
pub const TIME: u64 = 1_735_689_600;

/// Bytes that nothing compresses: a xorshift from a seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Owner, mode and the rest of one entry.
#[derive(Debug, Clone)]
pub struct Meta {
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u64,
    /// Numeric group.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Extended attributes, written as `SCHILY.xattr.`.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

impl Meta {
    /// Root's, at [`TIME`].
    pub fn mode(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: TIME, xattrs: Vec::new() }
    }

    /// Another owner.
    #[must_use]
    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// Another time, in seconds after [`TIME`].
    #[must_use]
    pub fn later(mut self, seconds: u64) -> Self {
        self.mtime = TIME + seconds;
        self
    }

    /// One more extended attribute.
    #[must_use]
    pub fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        self.xattrs.push((name.into(), value.into()));
        self
    }
}

/// A layer in the making. Names are written as given; those that do not fit a header become PAX records.
pub struct Layer {
    tar: Builder<Vec<u8>>,
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Layer({} bytes)", self.tar.get_ref().len())
    }
}

impl Default for Layer {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer {
    /// An empty one.
    pub fn new() -> Self {
        Self { tar: Builder::new(Vec::new()) }
    }

    /// A directory.
    #[must_use]
    pub fn dir(self, name: &str, meta: &Meta) -> Self {
        self.entry(EntryType::Directory, name, meta, "", &[])
    }

    /// A file.
    #[must_use]
    pub fn file(self, name: &str, meta: &Meta, content: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, name, meta, "", content.as_ref())
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, &Meta::mode(0o777), target, &[])
    }

    /// A hard link to a name of this layer or a lower one. Its own metadata are nonsense on purpose: they mean
    /// nothing.
    #[must_use]
    pub fn link(self, name: &str, target: &str) -> Self {
        let meta = Meta::mode(0).owner(7, 7).later(7);
        self.entry(EntryType::Link, name, &meta, target, &[])
    }

    /// A FIFO.
    #[must_use]
    pub fn fifo(self, name: &str, meta: &Meta) -> Self {
        self.entry(EntryType::Fifo, name, meta, "", &[])
    }

    /// A whiteout of the name `path`.
    #[must_use]
    pub fn whiteout(self, path: &str) -> Self {
        let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
        let separator = if folder.is_empty() { "" } else { "/" };
        self.file(&format!("{folder}{separator}.wh.{name}"), &Meta::mode(0), "")
    }

    /// Hides everything that lower layers have in the folder `path`.
    #[must_use]
    pub fn opaque(self, path: &str) -> Self {
        self.file(&format!("{path}/.wh..wh..opq"), &Meta::mode(0), "")
    }

    fn entry(mut self, kind: EntryType, name: &str, meta: &Meta, target: &str, content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        let mut pax: Vec<(String, Vec<u8>)> = Vec::new();
        if header.set_path(name).is_err() || name.len() > 100 {
            pax.push(("path".into(), name.into()));
            header.as_old_mut().name = [0; 100];
            let cut = (0..=100).rev().find(|&at| name.is_char_boundary(at)).unwrap_or_default();
            header.as_old_mut().name[..cut].copy_from_slice(&name.as_bytes()[..cut]);
            header.as_ustar_mut().expect("a ustar header").prefix = [0; 155];
        }
        if target.len() > 100 {
            pax.push(("linkpath".into(), target.into()));
        }
        let shown = &target.as_bytes()[..target.len().min(100)];
        header.as_old_mut().linkname[..shown.len()].copy_from_slice(shown);
        for (name, value) in &meta.xattrs {
            pax.push((format!("SCHILY.xattr.{name}"), value.clone()));
        }
        if !pax.is_empty() {
            let records = pax.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            self.tar.append_pax_extensions(records).expect("writing to memory");
        }
        header.set_entry_type(kind);
        header.set_mode(meta.mode);
        header.set_uid(meta.uid);
        header.set_gid(meta.gid);
        header.set_mtime(meta.mtime);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.tar.append(&header, content).expect("writing to memory");
        self
    }

    /// The tar, with its end marker.
    pub fn finish(self) -> Vec<u8> {
        self.tar.into_inner().expect("writing to memory")
    }
}

/// How a layer's blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// One gzip member, level 6, no name and no time.
    Gzip,
    /// One zstd frame with a checksum, level 3.
    Zstd,
}

impl Compression {
    /// The OCI media type of a layer.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// Compresses.
    pub fn apply(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::None => data.to_vec(),
            Self::Gzip => gzip(data),
            Self::Zstd => zstd(data),
        }
    }
}

/// By hand around `miniz_oxide`, so that no other crate's choice of back end for `flate2` changes our bytes.
fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    out.extend(miniz_oxide::deflate::compress_to_vec(data, 6));
    out.extend(crc32fast::hash(data).to_le_bytes());
    out.extend((data.len() as u32).to_le_bytes());
    out
}

fn zstd(data: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("a zstd encoder");
    encoder.include_checksum(true).expect("a zstd option");
    encoder.write_all(data).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}
