//! Tar bytes to entries, a chunk at a time, without holding any content.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::BLOCK;
use super::entry::{Entry, Kind, Metadata, Mtime};
use super::header::{Block, Format, RawHeader, gnu_sparse_extension, invalid};
use super::notes::{Counts, Note, Notes};
use super::pax::{MAX_ID, Records, Scope, SparseRecords};
use super::sparse::{self, MapReader, Segment, SparseMap};
use super::{padding, path};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::limits::Limits;

/// What the parser found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // made once an entry, and moved on at once
pub enum Event {
    /// An entry begins; its stored bytes follow as `Data`.
    Entry(Entry),
    /// The last `len` bytes of what was consumed are stored bytes of the current entry.
    Data {
        /// How many; never 0.
        len: usize,
    },
    /// All input is consumed; feed more, or [`Parser::finish`].
    NeedInput,
    /// The end-of-archive marker was read. What follows is consumed and ignored (L22).
    End,
}

/// One step: how much of the input is used up, and what it meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that must not be given again.
    pub consumed: usize,
    /// What was found.
    pub event: Event,
}

/// A streaming parser for one tar.
///
/// Feed it the stream in pieces of any size, always from the first byte not consumed yet, until it answers
/// `NeedInput`; at the end of the stream call [`Parser::finish`]. After an error it is inert: every call repeats it.
///
/// ```
/// use wharfie_core::tar::{END_OF_ARCHIVE, Event, Header, Kind, Metadata, Parser, padding};
///
/// let mut tar = Vec::new();
/// let metadata = Metadata { mode: 0o644, ..Metadata::default() };
/// Header { path: b"hello", link: b"", kind: Kind::File, metadata: &metadata, size: 5 }.write(&mut tar)?;
/// tar.extend_from_slice(b"world");
/// tar.resize(tar.len() + padding(5), 0);
/// tar.extend_from_slice(&END_OF_ARCHIVE);
///
/// let mut parser = Parser::new(wharfie_core::Limits::default());
/// let mut input = &tar[..];
/// loop {
///     let step = parser.feed(input)?;
///     let (used, rest) = input.split_at(step.consumed);
///     input = rest;
///     match step.event {
///         Event::Entry(entry) => assert_eq!(entry.path, b"hello"),
///         Event::Data { len } => assert_eq!(&used[used.len() - len..], b"world"),
///         Event::End => {}
///         Event::NeedInput => break,
///     }
/// }
/// parser.finish()?;
/// # Ok::<(), wharfie_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Parser {
    limits: Limits,
    counts: Counts,
    position: u64,
    state: State,
    /// The beginning of a block that the input so far did not complete.
    held: Block,
    held_len: usize,
    /// Extension headers of the entry to come.
    pending: Pending,
    /// Content of the extension header being read; kept for its capacity.
    extension: Vec<u8>,
    global: Option<Box<Records>>,
    /// The name of the current entry, for errors.
    current: Vec<u8>,
}

#[derive(Clone, Debug)]
enum State {
    /// At a header.
    Header,
    /// In the content of an extension header.
    Extension { kind: Extension, left: u64, padding: usize },
    /// At an extension block of an old GNU sparse map.
    GnuSparse(Box<Sparse>),
    /// In the map of PAX 1.0 that precedes the content.
    PaxSparse(Box<Sparse>, MapReader),
    /// In stored bytes.
    Data { left: u64, padding: usize },
    /// In what fills the last block of stored bytes.
    Padding { left: u64 },
    /// In what fills the last block of an extension header, or in content that is skipped.
    Skip { left: u64 },
    /// Behind the first block of zeros.
    OneZero,
    /// Behind the end-of-archive marker.
    Ended,
    /// Never again.
    Failed(Error),
}

impl State {
    fn skip(left: u64) -> State {
        if left == 0 { State::Header } else { State::Skip { left } }
    }
}

/// An entry whose map is not complete yet.
#[derive(Clone, Debug)]
struct Sparse {
    entry: Entry,
    fragments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    Local,
    Global,
    LongName,
    LongLink,
}

/// Extension headers before an entry.
#[derive(Clone, Debug, Default)]
struct Pending {
    /// Where the first of them lies.
    at: Option<u64>,
    local: Option<Box<Records>>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    bytes: u64,
}

impl Parser {
    /// A parser at the start of a tar.
    pub fn new(limits: Limits) -> Self {
        Parser {
            limits,
            counts: Counts::default(),
            position: 0,
            state: State::Header,
            held: [0; BLOCK],
            held_len: 0,
            pending: Pending::default(),
            extension: Vec::new(),
            global: None,
            current: Vec::new(),
        }
    }

    /// Reads on. Content is never copied or looked at: one `Data` event for each piece of it that the input holds.
    pub fn feed(&mut self, input: &[u8]) -> Result<Step> {
        if let State::Failed(error) = &self.state {
            return Err(error.clone());
        }
        let start = self.position;
        match self.step(input) {
            Ok(event) => {
                Ok(Step { consumed: usize::try_from(self.position - start).unwrap_or(input.len()), event })
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Jumps over what is left of the current entry's stored bytes and their padding. Answers how many bytes of the
    /// stream the caller must leave out: it vouches that they are there.
    pub fn skip(&mut self) -> u64 {
        let jump = match self.state {
            State::Data { left, padding } => left.saturating_add(padding as u64),
            State::Padding { left } | State::Skip { left } => left,
            _ => return 0,
        };
        self.state = State::Header;
        self.position = self.position.saturating_add(jump);
        jump
    }

    /// The stream has ended. An error where it ends inside an entry; padding that is missing behind its last content is
    /// noted (L22).
    pub fn finish(&mut self) -> Result<()> {
        let inside = self.held_len > 0 || self.pending.at.is_some();
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            State::Header if !inside => {
                if self.position > 0 {
                    self.counts.count(Note::NoEndMarker);
                }
                self.state = State::Ended;
                Ok(())
            }
            State::OneZero if !inside => {
                self.counts.count(Note::ShortEndMarker);
                self.state = State::Ended;
                Ok(())
            }
            State::Padding { .. } => {
                self.counts.count(Note::CutPadding);
                self.counts.count(Note::NoEndMarker);
                self.state = State::Ended;
                Ok(())
            }
            State::Ended => Ok(()),
            State::Header | State::OneZero | State::Extension { .. } => {
                self.current.clear();
                Err(self.fail(invalid("it ends inside a header")))
            }
            State::GnuSparse(_) | State::PaxSparse(..) => {
                Err(self.fail(invalid("it ends inside a sparse map")))
            }
            State::Data { .. } => Err(self.fail(invalid("it ends inside the content of an entry"))),
            State::Skip { .. } => Err(self.fail(invalid("it ends inside what comes before an entry"))),
        }
    }

    /// Bytes consumed so far: the position in the uncompressed stream.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Where the headers begin that are not read to their end; the position where there are none. All entries that
    /// begin before it were answered.
    pub fn settled(&self) -> u64 {
        self.pending.at.unwrap_or(self.position.saturating_sub(self.held_len as u64))
    }

    /// Whether the end-of-archive marker was read.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// What was odd or dropped so far, counted by kind.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    fn fail(&mut self, error: Error) -> Error {
        let entry = (!self.current.is_empty()).then(|| self.current.clone());
        let error = error.at(Place { entry, byte: Some(self.position), ..Place::default() });
        self.state = State::Failed(error.clone());
        error
    }

    fn step(&mut self, input: &[u8]) -> Result<Event> {
        let mut rest = input;
        loop {
            match &mut self.state {
                State::Data { left, padding } => {
                    let len = take(&mut rest, left);
                    if len > 0 {
                        self.position += len as u64;
                        if *left == 0 {
                            self.state = match *padding as u64 {
                                0 => State::Header,
                                left => State::Padding { left },
                            };
                        }
                        return Ok(Event::Data { len });
                    }
                    return Ok(Event::NeedInput);
                }
                State::Padding { left } | State::Skip { left } => {
                    self.position += take(&mut rest, left) as u64;
                    if *left > 0 {
                        return Ok(Event::NeedInput);
                    }
                    self.state = State::Header;
                }
                State::Extension { left, .. } => {
                    let content = rest;
                    let len = take(&mut rest, left);
                    self.extension.extend_from_slice(content.get(..len).unwrap_or_default());
                    self.position += len as u64;
                    if *left > 0 {
                        return Ok(Event::NeedInput);
                    }
                    self.end_extension()?;
                }
                State::Ended => {
                    if rest.iter().any(|byte| *byte != 0) && self.counts.of(Note::TrailingData) == 0 {
                        self.counts.count(Note::TrailingData);
                    }
                    self.position += rest.len() as u64;
                    return Ok(Event::NeedInput);
                }
                State::Failed(error) => return Err(error.clone()),
                State::Header | State::OneZero | State::GnuSparse(_) | State::PaxSparse(..) => {
                    let copy;
                    let block = match rest.split_first_chunk::<BLOCK>() {
                        Some((block, after)) if self.held_len == 0 => {
                            rest = after;
                            block
                        }
                        _ => match self.hold(&mut rest) {
                            Some(block) => {
                                copy = block;
                                &copy
                            }
                            None => return Ok(Event::NeedInput),
                        },
                    };
                    if let Some(event) = self.block(block)? {
                        return Ok(event);
                    }
                }
            }
        }
    }

    /// Collects a block that the input brings in pieces. The part held counts as consumed; errors about the block are
    /// told of its start.
    fn hold(&mut self, rest: &mut &[u8]) -> Option<Block> {
        let room = self.held.get_mut(self.held_len..).unwrap_or_default();
        let len = room.len().min(rest.len());
        let (piece, after) = rest.split_at_checked(len).unwrap_or_default();
        if let Some(room) = room.get_mut(..len) {
            room.copy_from_slice(piece);
        }
        *rest = after;
        self.held_len += len;
        self.position += len as u64;
        if self.held_len < BLOCK {
            return None;
        }
        self.held_len = 0;
        self.position -= BLOCK as u64;
        Some(self.held)
    }

    /// Reads a block at `position` and steps behind it.
    fn block(&mut self, block: &Block) -> Result<Option<Event>> {
        let event = match core::mem::replace(&mut self.state, State::Header) {
            State::OneZero => {
                if !RawHeader(block).is_zero() {
                    self.current.clear();
                    return Err(invalid("a block of zeros with more after it"));
                }
                self.state = State::Ended;
                Some(Event::End)
            }
            State::GnuSparse(mut sparse) => {
                let (fields, more) = gnu_sparse_extension(block)?;
                let ended = sparse::push_gnu(&mut sparse.fragments, fields, &self.limits)?;
                self.gnu_sparse(sparse, more, ended, self.position + BLOCK as u64)?
            }
            State::PaxSparse(mut sparse, mut map) => {
                if map.read(block, &self.limits)? {
                    let bytes = map.blocks * BLOCK as u64;
                    let stored = sparse.entry.stored.checked_sub(bytes);
                    sparse.entry.stored =
                        stored.ok_or_else(|| invalid("a sparse map longer than the content"))?;
                    sparse.fragments = map.fragments;
                    Some(self.sparse_entry(*sparse, self.position + BLOCK as u64)?)
                } else {
                    self.state = State::PaxSparse(sparse, map);
                    None
                }
            }
            _ => {
                self.current.clear();
                self.header(RawHeader(block))?
            }
        };
        self.position += BLOCK as u64;
        Ok(event)
    }

    fn header(&mut self, header: RawHeader<'_>) -> Result<Option<Event>> {
        if header.is_zero() {
            if self.pending.at.is_some() {
                return Err(invalid("the end follows upon an extension header"));
            }
            self.state = State::OneZero;
            return Ok(None);
        }
        let signed = header.check_sum()?;
        let extension = match header.typeflag() {
            b'x' => Extension::Local,
            b'g' => Extension::Global,
            b'L' => Extension::LongName,
            b'K' => Extension::LongLink,
            b'V' => {
                self.label(header)?;
                return Ok(None);
            }
            _ => return self.entry(header, signed),
        };
        if !header.can_extend() {
            return Err(invalid("an extension header of unknown magic: some readers take it for a file"));
        }
        self.begin_extension(extension, size(header)?)?;
        Ok(None)
    }

    /// Skips a volume label (L18).
    fn label(&mut self, header: RawHeader<'_>) -> Result<()> {
        self.current.extend_from_slice(header.name());
        if self.pending.at.is_some() {
            return Err(invalid("an extension header before a volume label"));
        }
        let size = size(header)?;
        self.counts.count(Note::VolumeLabel);
        self.state = State::skip(size.saturating_add(padding(size) as u64));
        Ok(())
    }

    fn begin_extension(&mut self, kind: Extension, size: u64) -> Result<()> {
        let (again, what) = match kind {
            Extension::Local => (self.pending.local.is_some(), "PAX headers"),
            Extension::Global => {
                (self.pending.at.is_some(), "headers of one entry, with a global one between them,")
            }
            Extension::LongName => (self.pending.name.is_some(), "GNU long names"),
            Extension::LongLink => (self.pending.link.is_some(), "GNU long links"),
        };
        if again {
            return Err(invalid(format!("two {what} before one entry")));
        }
        if kind != Extension::Global {
            self.pending.at.get_or_insert(self.position);
            self.pending.bytes = self.pending.bytes.saturating_add(size);
        }
        let limit = u64::from(self.limits.pax_bytes);
        if size > limit || self.pending.bytes > limit {
            return Err(ErrorKind::LimitExceeded { limit: "pax_bytes", value: limit }.into());
        }
        self.extension.clear();
        self.state = State::Extension { kind, left: size, padding: padding(size) };
        Ok(())
    }

    fn end_extension(&mut self) -> Result<()> {
        let State::Extension { kind, padding, .. } = self.state else { return Ok(()) };
        self.state = State::skip(padding as u64);
        let content = &self.extension;
        match kind {
            Extension::Local => {
                let records = Records::parse(content, Scope::Local, &self.limits)?;
                self.pending.local = Some(Box::new(records));
            }
            Extension::Global => {
                let records = Records::parse(content, Scope::Global, &self.limits)?;
                self.counts.count_all(records.notes);
                self.global.get_or_insert_default().extend(records, &self.limits)?;
            }
            Extension::LongName => self.pending.name = Some(long(content, "name", &self.limits)?),
            Extension::LongLink => self.pending.link = Some(long(content, "link", &self.limits)?),
        }
        // One huge header must not hold its memory for the rest of the tar.
        if self.extension.capacity() > 64 << 10 {
            self.extension = Vec::new();
        }
        Ok(())
    }

    fn entry(&mut self, header: RawHeader<'_>, signed: bool) -> Result<Option<Event>> {
        let Pending { at, local, name, link, .. } = core::mem::take(&mut self.pending);
        let (extended, renamed) = (local.is_some(), name.is_some() || link.is_some());
        let mut records = local.map(|records| *records).unwrap_or_default();
        let sparse = core::mem::take(&mut records.sparse);
        let global = self.global.as_deref();
        let format = header.format()?;

        let path = sparse.name.clone().flatten().or_else(|| records.path.take().flatten()).or(name);
        let path = path.unwrap_or_else(|| header.path(format));
        self.current.clone_from(&path);
        if path.is_empty() {
            return Err(invalid("an entry without a name"));
        }
        path::check_length(&path, &self.limits)?;
        let link = records.link.take().flatten().or(link).unwrap_or_else(|| header.link().to_vec());
        path::check_length(&link, &self.limits)?;

        let mut notes = core::mem::replace(&mut records.notes, Notes::NONE);
        let device = || -> Result<(u32, u32)> {
            let (major, minor) = header.device(format)?;
            let global = |field: fn(&Records) -> Option<Option<u32>>| global.and_then(field);
            Ok((
                effective(records.major, global(|global| global.major), major, "devmajor")?,
                effective(records.minor, global(|global| global.minor), minor, "devminor")?,
            ))
        };
        let kind = match header.typeflag() {
            0 | b'0' | b'7' if path.ends_with(b"/") => {
                notes.insert(Note::DirectoryByName);
                Kind::Directory
            }
            0 | b'0' | b'7' => Kind::File,
            b'S' if format == Format::Gnu => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => device().map(|(major, minor)| Kind::CharDevice { major, minor })?,
            b'4' => device().map(|(major, minor)| Kind::BlockDevice { major, minor })?,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(invalid(format!("unknown type `{}`", other.escape_ascii()))),
        };
        if matches!(kind, Kind::CharDevice { major: 0, minor: 0 } | Kind::BlockDevice { major: 0, minor: 0 })
        {
            notes.insert(Note::ZeroDevice);
        }
        let links = matches!(kind, Kind::HardLink | Kind::Symlink);
        if links && link.is_empty() {
            return Err(invalid("a link without a target"));
        }
        let link = if links { link } else { Vec::new() };

        let stated = size(header)?;
        let stored = match (kind, records.size.flatten()) {
            (Kind::File, size) => size.unwrap_or(stated),
            (_, Some(1..)) => {
                return Err(invalid(
                    "a PAX size on an entry that has no content: readers differ on what follows",
                ));
            }
            // Whether it is a file, and whether content follows, each reader decides otherwise.
            (Kind::Directory, _) if stated > 0 && header.typeflag() != b'5' => {
                return Err(invalid("a regular file that is named as a directory and has content"));
            }
            _ => {
                if stated > 0 {
                    notes.insert(Note::StraySize);
                }
                0
            }
        };

        if global.is_some_and(Records::has_effect) {
            notes.insert(Note::GlobalRecords);
        }
        if header.has_owner_names(format) {
            notes.insert(Note::OwnerNames);
        }
        if header.has_other_times(format) {
            notes.insert(Note::OtherTimes);
        }
        if signed {
            notes.insert(Note::SignedChecksum);
        }
        let mode = header.mode()? & 0o7777;
        let uid = effective(records.uid, global.and_then(|global| global.uid), header.uid()?, "uid")?;
        let gid = effective(records.gid, global.and_then(|global| global.gid), header.gid()?, "gid")?;
        if uid > MAX_ID || gid > MAX_ID {
            return Err(invalid("the owner 4294967295 is nobody's number"));
        }
        let stated_mtime = header.mtime()?;
        let mtime = records.mtime.or(global.and_then(|global| global.mtime)).flatten();
        let mtime = match mtime {
            Some(mtime) => mtime,
            None => Mtime::from_seconds(
                i64::try_from(stated_mtime).map_err(|_| invalid("the header's mtime is out of range"))?,
            ),
        };
        let verbatim = !(records.rewritten || extended && renamed)
            && (kind != Kind::File || stored == stated)
            && header.typeflag() != b'7'
            && header.is_tidy(format)
            && path::is_normal(&path, kind == Kind::Directory)
            && (kind != Kind::HardLink || path::is_normal(&link, false));
        let xattrs = records.xattrs(global);
        let entry = Entry {
            path,
            link,
            kind,
            metadata: Metadata { mode: u32::try_from(mode).unwrap_or(0), uid, gid, mtime, xattrs },
            size: stored,
            sparse: None,
            header_at: at.unwrap_or(self.position),
            data_at: self.position.saturating_add(BLOCK as u64),
            stored,
            verbatim,
            notes,
        };
        if header.typeflag() == b'S' || sparse.any {
            return self.begin_sparse(entry, &sparse, header);
        }
        Ok(Some(self.begin_entry(entry)))
    }

    fn begin_entry(&mut self, mut entry: Entry) -> Event {
        entry.verbatim &= entry.notes.is_empty();
        self.counts.count_all(entry.notes);
        self.state = match entry.stored {
            0 => State::Header,
            left => State::Data { left, padding: padding(left) },
        };
        Event::Entry(entry)
    }

    /// Finds out which of the four formats it is, and where the map lies.
    fn begin_sparse(
        &mut self,
        mut entry: Entry,
        records: &SparseRecords,
        header: RawHeader<'_>,
    ) -> Result<Option<Event>> {
        let old = header.typeflag() == b'S';
        if entry.kind != Kind::File || (old && records.any) {
            return Err(invalid("a sparse map that does not belong there"));
        }
        if old {
            let (fields, more, size) = header.gnu_sparse()?;
            entry.size = u64::try_from(size).map_err(|_| invalid("the real size is out of range"))?;
            let mut sparse = Box::new(Sparse { entry, fragments: Vec::new() });
            let ended = sparse::push_gnu(&mut sparse.fragments, fields, &self.limits)?;
            return self.gnu_sparse(sparse, more, ended, self.position + BLOCK as u64);
        }
        let size = records.size.flatten().ok_or_else(|| invalid("a sparse file without its real size"))?;
        entry.size = size;
        let fragments = records.map.chunks_exact(2);
        match (records.major.flatten(), records.minor.flatten()) {
            (Some(1), Some(0)) if !records.has_map() => {
                self.state =
                    State::PaxSparse(Box::new(Sparse { entry, fragments: Vec::new() }), MapReader::default());
                Ok(None)
            }
            (None | Some(0), None | Some(0 | 1))
                if fragments.remainder().is_empty()
                    && records.blocks.flatten() == Some(fragments.len() as u64) =>
            {
                let fragments = fragments.filter_map(|pair| match pair {
                    [offset, len] => Some(Segment { offset: *offset, len: *len }),
                    _ => None,
                });
                let sparse = Sparse { entry, fragments: fragments.collect() };
                Ok(Some(self.sparse_entry(sparse, self.position + BLOCK as u64)?))
            }
            _ => Err(invalid("sparse records that fit no known format, or contradict each other")),
        }
    }

    fn gnu_sparse(
        &mut self,
        sparse: Box<Sparse>,
        more: bool,
        ended: bool,
        next: u64,
    ) -> Result<Option<Event>> {
        match (more, ended) {
            (false, _) => Ok(Some(self.sparse_entry(*sparse, next)?)),
            (true, false) => {
                self.state = State::GnuSparse(sparse);
                Ok(None)
            }
            (true, true) => Err(invalid("a sparse map goes on after its end")),
        }
    }

    fn sparse_entry(&mut self, sparse: Sparse, data_at: u64) -> Result<Event> {
        let Sparse { mut entry, fragments } = sparse;
        entry.data_at = data_at;
        entry.sparse = Some(SparseMap::new(&fragments, entry.size, entry.stored, &self.limits)?);
        entry.notes.insert(Note::Sparse);
        Ok(self.begin_entry(entry))
    }
}

/// The header's size, which no reader takes for negative.
fn size(header: RawHeader<'_>) -> Result<u64> {
    let size = header.size()?;
    i64::try_from(size)
        .ok()
        .and_then(|size| u64::try_from(size).ok())
        .ok_or_else(|| invalid(format!("the header's size {size} is out of range")))
}

/// A PAX record over a global one over the header's field.
fn effective(
    local: Option<Option<u32>>,
    global: Option<Option<u32>>,
    field: i128,
    what: &str,
) -> Result<u32> {
    match local.or(global).flatten() {
        Some(value) => Ok(value),
        None => {
            u32::try_from(field).map_err(|_| invalid(format!("the header's {what} {field} is out of range")))
        }
    }
}

/// A GNU long name or link: a C string, its NUL counted in the size or not.
fn long(content: &[u8], what: &str, limits: &Limits) -> Result<Vec<u8>> {
    let end = content.iter().position(|byte| *byte == 0).unwrap_or(content.len());
    let (text, rest) = content.split_at_checked(end).unwrap_or_default();
    if text.is_empty() || rest.iter().any(|byte| *byte != 0) {
        return Err(invalid(format!("a GNU long {what} that is empty, or goes on behind a NUL")));
    }
    path::check_length(text, limits)?;
    Ok(text.to_vec())
}

/// Takes up to `left` bytes off the front.
fn take(rest: &mut &[u8], left: &mut u64) -> usize {
    let len = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    *rest = rest.get(len..).unwrap_or_default();
    *left -= len as u64;
    len
}
