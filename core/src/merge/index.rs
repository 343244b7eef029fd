//! One layer's entries in order, a packed row each.

mod packed;

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::id_map::{IdMaps, Look};
use super::sought::Sought;
use super::warning::{WarningKind, Warnings};
use super::whiteout::{self, Role};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Place, Result};
use crate::limits::Limits;
use crate::tar::{
    Counts, Entry, Event, Kind, Metadata, Mtime, Note, Parser, SparseMap, Xattrs, padding, path,
};

/// What a row is to the resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum RowKind {
    File,
    Directory,
    Symlink,
    HardLink,
    CharDevice,
    BlockDevice,
    Fifo,
    /// The path is the one that is hidden.
    Whiteout,
    /// The path is the directory that is opaque.
    Opaque,
}

/// One entry, packed: a million of them are 56 MB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) header_at: u64,
    pub(super) size: u64,
    seconds: i64,
    nanos: u32,
    uid: u32,
    gid: u32,
    /// Bytes of headers before the stored bytes.
    header_len: u32,
    /// 1 + the index of what few entries have, or 0.
    extra: u32,
    /// Bytes that the path shares with the row before it.
    shared: u32,
    /// Bytes of the path behind those.
    suffix: u32,
    mode: u16,
    pub(super) kind: RowKind,
    form: Form,
}

/// What an entry's own bytes are worth to a tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// They say what ours would.
    Verbatim,
    /// They say it in another way.
    Other,
    /// They name another path: a symlink of the same layer is in it (L3).
    Renamed,
}

/// What few entries have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extra {
    link: Box<[u8]>,
    xattrs: Xattrs,
    device: (u32, u32),
    sparse: Option<Box<(SparseMap, u64)>>,
}

impl Row {
    pub(super) fn data_at(&self) -> u64 {
        self.header_at.saturating_add(u64::from(self.header_len))
    }
}

/// The entries of one layer in the order of its tar, indexed.
///
/// About 56 bytes an entry besides its name, of which only what differs from the name before it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerIndex {
    layer: usize,
    blob: Option<Digest>,
    limits: Limits,
    rows: Vec<Row>,
    extras: Vec<Extra>,
    /// The ends of the names, front-coded in the order of the rows.
    names: Vec<u8>,
    /// Where the names of every [`STRIDE`]th row begin; those share nothing with the row before them.
    marks: Vec<usize>,
    last: Vec<u8>,
    /// Behind the layer's last byte, as far as is known.
    end: u64,
    counts: Counts,
    warnings: Warnings,
    /// The CRC-32 of each row's stored bytes; empty if nobody asked for them.
    sums: Vec<u32>,
}

/// How many names are read at most to find one.
const STRIDE: usize = 64;

impl LayerIndex {
    /// An index of the layer with this number, counted from 0 at the bottom.
    pub fn new(layer: usize, limits: &Limits) -> Self {
        LayerIndex {
            layer,
            blob: None,
            limits: limits.clone(),
            rows: Vec::new(),
            extras: Vec::new(),
            names: Vec::new(),
            marks: Vec::new(),
            last: Vec::new(),
            end: u64::MAX,
            counts: Counts::default(),
            warnings: Warnings::default(),
            sums: Vec::new(),
        }
    }

    /// The digest of the layer's blob, for errors (L25).
    #[must_use]
    pub fn with_blob(mut self, blob: Digest) -> Self {
        self.blob = Some(blob);
        self
    }

    /// The layer's number, counted from 0 at the bottom.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// How many entries it took.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it took none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What the parser of the layer's tar found odd or dropped, for the tree's report.
    pub fn add_counts(&mut self, counts: &Counts) {
        self.counts.add(counts);
    }

    /// The layer's tar has so many bytes. Where it ends inside the padding of its last entry (L22), a plan must know.
    pub fn end_at(&mut self, byte: u64) {
        self.end = byte;
    }

    /// Behind the layer's last byte.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The CRC-32 of the stored bytes of the entry with this number, from 0; `None` if it was not asked for
    /// ([`Scan::summing`]).
    pub fn sum(&self, entry: u32) -> Option<u32> {
        self.sums.get(entry as usize).copied()
    }

    /// The CRC-32 of all entries, if they were asked for.
    pub fn sums(&self) -> &[u32] {
        &self.sums
    }

    /// Takes the next entry of the tar.
    ///
    /// # Errors
    /// `invalid_path` for names that L1 or L11 forbid, `invalid_tar` for a root that is no directory (L2),
    /// `limit_exceeded` (L24).
    pub fn push(&mut self, entry: Entry) -> Result<()> {
        let place = Place {
            blob: self.blob,
            layer: Some(self.layer),
            byte: Some(entry.header_at),
            ..Place::default()
        };
        let name = entry.path.clone();
        self.push_row(entry).map_err(|error| error.at(Place { entry: Some(name), ..place }))
    }

    fn push_row(&mut self, entry: Entry) -> Result<()> {
        if self.rows.len() as u64 >= self.limits.entries {
            return Err(entries(&self.limits));
        }
        let parts = path::normalize(&entry.path, &self.limits)?;
        let role = whiteout::role(&parts)?;
        let parts =
            if role == Role::Opaque { parts.split_last().map_or(&[][..], |(_, p)| p) } else { &parts };
        let mut name: Vec<u8> = Vec::with_capacity(entry.path.len());
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                name.push(b'/');
            }
            let hidden = role == Role::Whiteout && i + 1 == parts.len();
            name.extend_from_slice(if hidden {
                part.strip_prefix(whiteout::PREFIX).unwrap_or(part)
            } else {
                part
            });
        }
        let mut device = (0, 0);
        let kind = match (role, entry.kind) {
            (Role::Whiteout, _) => RowKind::Whiteout,
            (Role::Opaque, _) => RowKind::Opaque,
            (_, Kind::File) => RowKind::File,
            (_, Kind::Directory) => RowKind::Directory,
            (_, Kind::Symlink) => RowKind::Symlink,
            (_, Kind::HardLink) => RowKind::HardLink,
            (_, Kind::CharDevice { major, minor }) => {
                device = (major, minor);
                RowKind::CharDevice
            }
            (_, Kind::BlockDevice { major, minor }) => {
                device = (major, minor);
                RowKind::BlockDevice
            }
            (_, Kind::Fifo) => RowKind::Fifo,
        };
        if name.is_empty() && !matches!(kind, RowKind::Directory | RowKind::Opaque) {
            return Err(ErrorKind::InvalidTar { reason: "the root is not a directory".into() }.into());
        }
        let path = || name.clone();
        if role == Role::Parked {
            self.warnings.add(WarningKind::AufsEntry, self.layer, entry.header_at, path);
        }
        for (note, kind) in
            [(Note::ZeroDevice, WarningKind::ZeroDevice), (Note::OverlayXattrs, WarningKind::OverlayXattrs)]
        {
            if entry.notes.contains(note) && role == Role::Ordinary {
                self.warnings.add(kind, self.layer, entry.header_at, path);
            }
        }

        let mut extra = 0;
        let means_nothing = matches!(kind, RowKind::Whiteout | RowKind::Opaque);
        let Metadata { mode, uid, gid, mtime, xattrs } = entry.metadata;
        let rare = !entry.link.is_empty() || !xattrs.is_empty() || device != (0, 0) || entry.sparse.is_some();
        if rare && !means_nothing {
            let link = if kind == RowKind::HardLink {
                path::normalize(&entry.link, &self.limits)?.join(&b'/')
            } else {
                entry.link
            };
            let stored = entry.stored;
            self.extras.push(Extra {
                link: link.into_boxed_slice(),
                xattrs,
                device,
                sparse: entry.sparse.map(|map| Box::new((map, stored))),
            });
            extra = u32::try_from(self.extras.len()).map_err(|_| entries(&self.limits))?;
        }
        let too_long =
            |_| ErrorKind::LimitExceeded { limit: "pax_bytes", value: u64::from(self.limits.pax_bytes) };
        let header_len = u32::try_from(entry.data_at.saturating_sub(entry.header_at)).map_err(too_long)?;
        let shared = if self.rows.len().is_multiple_of(STRIDE) {
            self.marks.push(self.names.len());
            0
        } else {
            self.last.iter().zip(&name).take_while(|(a, b)| a == b).count()
        };
        let suffix = name.get(shared..).unwrap_or_default();
        self.names.extend_from_slice(suffix);
        self.rows.push(Row {
            header_at: entry.header_at,
            size: entry.size,
            seconds: mtime.seconds,
            nanos: mtime.nanos,
            uid,
            gid,
            header_len,
            extra,
            shared: u32::try_from(shared).map_err(|_| entries(&self.limits))?,
            suffix: u32::try_from(suffix.len()).map_err(|_| entries(&self.limits))?,
            mode: u16::try_from(mode & 0o7777).unwrap_or_default(),
            kind,
            form: if entry.verbatim && role == Role::Ordinary { Form::Verbatim } else { Form::Other },
        });
        self.last = name;
        Ok(())
    }

    /// Bytes of content that its files have, whatever becomes of them.
    pub fn content_bytes(&self) -> u64 {
        let files = self.rows.iter().filter(|row| row.kind == RowKind::File);
        files.fold(0, |sum, row| sum.saturating_add(row.size))
    }

    /// The same entries as another layer of a stack: images share layers.
    #[must_use]
    pub fn as_layer(mut self, layer: usize) -> Self {
        self.warnings.relabel(layer);
        self.layer = layer;
        self
    }

    pub(super) fn row(&self, row: u32) -> Option<&Row> {
        self.rows.get(row as usize)
    }

    pub(super) fn extra(&self, row: &Row) -> Option<&Extra> {
        self.extras.get((row.extra as usize).checked_sub(1)?)
    }

    /// The text of a symlink; the target of a hard link in normal form.
    pub(super) fn link(&self, row: &Row) -> &[u8] {
        self.extra(row).map_or(&[], |extra| &extra.link)
    }

    /// The normal form of a row's path (of what it hides, for a whiteout).
    pub(super) fn path(&self, row: u32) -> Vec<u8> {
        let row = row as usize;
        let mark = row / STRIDE;
        let mut at = self.marks.get(mark).copied().unwrap_or_default();
        let mut path = Vec::new();
        for row in self.rows.get(mark * STRIDE..=row).unwrap_or_default() {
            path = self.next_path(path, row, &mut at);
        }
        path
    }

    /// Turns the path before `row` into that of `row`; `at` walks through the names.
    pub(super) fn next_path(&self, mut path: Vec<u8>, row: &Row, at: &mut usize) -> Vec<u8> {
        path.truncate(row.shared as usize);
        let end = at.saturating_add(row.suffix as usize);
        path.extend_from_slice(self.names.get(*at..end).unwrap_or_default());
        *at = end;
        path
    }

    /// The place of a row, for errors (L25).
    pub(super) fn place(&self, row: u32) -> Place {
        let mut entry = self.path(row);
        if self.row(row).is_some_and(|row| row.kind == RowKind::Whiteout) {
            let name_at = entry.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            entry.splice(name_at..name_at, whiteout::PREFIX.iter().copied());
        }
        Place {
            blob: self.blob,
            layer: Some(self.layer),
            entry: Some(entry),
            byte: self.row(row).map(|row| row.header_at),
            ..Place::default()
        }
    }

    pub(super) fn metadata(&self, row: &Row) -> Metadata {
        Metadata {
            mode: u32::from(row.mode),
            uid: row.uid,
            gid: row.gid,
            mtime: Mtime { seconds: row.seconds, nanos: row.nanos },
            xattrs: self.extra(row).map(|extra| extra.xattrs.clone()).unwrap_or_default(),
        }
    }

    /// What mapping the owners in a row's metadata comes to.
    pub(super) fn look(&self, row: &Row, maps: &IdMaps) -> Result<Look> {
        if maps.is_empty() {
            return Ok(Look::default());
        }
        let owner = (maps.user(row.uid)?, maps.group(row.gid)?);
        let look = self.extra(row).map_or(Ok(Look::default()), |extra| maps.look(&extra.xattrs))?;
        Ok(Look { changes: look.changes || owner != (row.uid, row.gid), ..look })
    }

    /// Whether two rows' metadata are equal, without making them.
    pub(super) fn same_metadata(&self, a: &Row, b: &Row) -> bool {
        let xattrs = |row| self.extra(row).map(|extra| &extra.xattrs).filter(|xattrs| !xattrs.is_empty());
        (a.mode, a.uid, a.gid, a.seconds, a.nanos) == (b.mode, b.uid, b.gid, b.seconds, b.nanos)
            && xattrs(a) == xattrs(b)
    }

    /// The kind of a row that is an inode.
    pub(super) fn kind(&self, row: &Row) -> Kind {
        let (major, minor) = self.extra(row).map_or((0, 0), |extra| extra.device);
        match row.kind {
            RowKind::Directory | RowKind::Opaque | RowKind::Whiteout => Kind::Directory,
            RowKind::Symlink => Kind::Symlink,
            RowKind::CharDevice => Kind::CharDevice { major, minor },
            RowKind::BlockDevice => Kind::BlockDevice { major, minor },
            RowKind::Fifo => Kind::Fifo,
            RowKind::File => Kind::File,
            RowKind::HardLink => Kind::HardLink,
        }
    }

    pub(super) fn mtime(&self, row: &Row) -> Mtime {
        Mtime { seconds: row.seconds, nanos: row.nanos }
    }

    /// Bytes stored in the tar, without padding.
    pub(super) fn stored(&self, row: &Row) -> u64 {
        match self.sparse(row) {
            Some((_, stored)) => *stored,
            None => row.size,
        }
    }

    pub(super) fn sparse(&self, row: &Row) -> Option<&(SparseMap, u64)> {
        self.extra(row).and_then(|extra| extra.sparse.as_deref())
    }

    /// Whether the padding behind its content is not all there (L22).
    pub(super) fn is_cut(&self, row: &Row) -> bool {
        let stored = self.stored(row);
        row.data_at().saturating_add(stored).saturating_add(padding(stored) as u64) > self.end
    }

    pub(super) fn verbatim(&self, row: &Row) -> bool {
        row.form == Form::Verbatim
    }

    /// A name that led through a symlink of its layer is written anew.
    pub(super) fn renamed(&mut self, row: u32) {
        if let Some(row) = self.rows.get_mut(row as usize) {
            row.form = Form::Renamed;
        }
    }

    /// Whether a row's path is not where its name came to.
    pub(super) fn is_renamed(&self, row: u32) -> bool {
        self.row(row).is_none_or(|row| row.form == Form::Renamed)
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn take_warnings(&mut self) -> Warnings {
        core::mem::take(&mut self.warnings)
    }

    /// Lets go of what only more pushing needs.
    pub(super) fn seal(&mut self) {
        self.last = Vec::new();
        self.rows.shrink_to_fit();
        self.extras.shrink_to_fit();
        self.names.shrink_to_fit();
        self.sums.shrink_to_fit();
    }
}

/// The error for too many entries.
pub(super) fn entries(limits: &Limits) -> Error {
    ErrorKind::LimitExceeded { limit: "entries", value: limits.entries }.into()
}

/// The bytes of one decoded layer to its [`LayerIndex`]: the parser and the index in one.
#[derive(Clone, Debug)]
pub struct Scan {
    parser: Parser,
    index: LayerIndex,
    sought: Option<Sought>,
    sum: Option<crate::crc::Hasher>,
}

impl Scan {
    /// A scan of the layer with this number, counted from 0 at the bottom.
    pub fn new(layer: usize, limits: &Limits) -> Self {
        Scan {
            parser: Parser::new(limits.clone()),
            index: LayerIndex::new(layer, limits),
            sought: None,
            sum: None,
        }
    }

    /// The digest of the layer's blob, for errors (L25).
    #[must_use]
    pub fn with_blob(mut self, blob: Digest) -> Self {
        self.index = self.index.with_blob(blob);
        self
    }

    /// Has files looked for on the way: [`Scan::sought`] says where their content lies as soon as their headers are read.
    #[must_use]
    pub fn seeking(mut self, sought: Sought) -> Self {
        self.sought = Some(sought);
        self
    }

    /// Has the content of every entry summed up, for [`LayerIndex::sum`].
    #[must_use]
    pub fn summing(mut self) -> Self {
        self.sum = Some(crate::crc::Hasher::new());
        self
    }

    /// Ends the sum of the entry before.
    fn end_sum(&mut self) {
        if let Some(sum) = &mut self.sum
            && !self.index.is_empty()
        {
            self.index.sums.push(core::mem::take(sum).finalize());
        }
    }

    /// What was looked for, and what of it was found so far.
    pub fn sought(&self) -> Option<&Sought> {
        self.sought.as_ref()
    }

    /// Takes the next decoded bytes of the layer, all of them.
    ///
    /// # Errors
    /// Those of the parser and of [`LayerIndex::push`], with layer, entry and byte.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        loop {
            let step = self.parser.feed(bytes).map_err(|error| self.placed(error))?;
            let (used, rest) = bytes.split_at_checked(step.consumed).unwrap_or((bytes, &[]));
            bytes = rest;
            if let (Event::Data { len }, Some(sum)) = (&step.event, &mut self.sum) {
                sum.update(used.get(used.len().saturating_sub(*len)..).unwrap_or_default());
            }
            match step.event {
                Event::Entry(entry) => {
                    self.end_sum();
                    if let Some(sought) = &mut self.sought {
                        sought.take(&entry);
                    }
                    self.index.push(entry)?;
                }
                Event::NeedInput => return Ok(()),
                Event::Data { .. } | Event::End => {
                    if bytes.is_empty() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Bytes taken so far: the position in the decoded layer.
    pub fn position(&self) -> u64 {
        self.parser.position()
    }

    /// Up to where all entries are known: behind it stand the first bytes of headers that are not read to their end.
    pub fn settled(&self) -> u64 {
        self.parser.settled()
    }

    /// The entries so far.
    pub fn index(&self) -> &LayerIndex {
        &self.index
    }

    /// The layer has ended.
    ///
    /// # Errors
    /// `invalid_tar` for one that is cut inside an entry (L22).
    pub fn finish(mut self) -> Result<LayerIndex> {
        self.parser.finish().map_err(|error| self.placed(error))?;
        self.end_sum();
        self.index.add_counts(self.parser.counts());
        self.index.end_at(self.parser.position());
        self.index.seal();
        Ok(self.index)
    }

    /// Adds what the parser does not know of the place. It knows the byte, and the entry wherever its header can be read
    /// that far.
    fn placed(&self, error: Error) -> Error {
        error.at(Place { blob: self.index.blob, layer: Some(self.index.layer), ..Place::default() })
    }
}
