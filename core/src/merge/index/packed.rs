//! An index as bytes, for who wants it again without reading the layer.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::super::packing::{Refused, Unpack, put, put_bytes, put_signed};
use super::super::warning::Warnings;
use super::super::whiteout;
use super::{Extra, Form, LayerIndex, Row, RowKind, STRIDE};
use crate::limits::Limits;
use crate::tar::{Note, Segment, SparseMap, Xattrs, padding, path};

const KINDS: [RowKind; 9] = [
    RowKind::File,
    RowKind::Directory,
    RowKind::Symlink,
    RowKind::HardLink,
    RowKind::CharDevice,
    RowKind::BlockDevice,
    RowKind::Fifo,
    RowKind::Whiteout,
    RowKind::Opaque,
];

/// In a row's first byte, above its kind.
mod flag {
    pub(super) const OTHER: u8 = 1 << 4;
    pub(super) const RENAMED: u8 = 2 << 4;
    pub(super) const FORM: u8 = 3 << 4;
    /// Mode and owner are not those of the row before.
    pub(super) const OWNER: u8 = 1 << 6;
    pub(super) const EXTRA: u8 = 1 << 7;
}

/// The limits that say which layers can be indexed: an index that was made under others is not asked.
fn bounds(limits: &Limits) -> [u64; 9] {
    [
        limits.entries,
        limits.path_bytes.into(),
        limits.path_depth.into(),
        limits.pax_bytes.into(),
        limits.global_pax_bytes.into(),
        limits.sparse_bytes,
        limits.sparse_fragments.into(),
        limits.zstd_window_bytes,
        limits.ratio.into(),
    ]
}

impl LayerIndex {
    /// Appends the index, less the layer's number and the blob's digest.
    pub(in super::super) fn pack(&self, out: &mut Vec<u8>) {
        bounds(&self.limits).into_iter().for_each(|bound| put(out, bound));
        put(out, self.end);
        put(out, Note::ALL.len() as u64);
        Note::ALL.iter().for_each(|note| put(out, self.counts.of(*note)));
        self.warnings.pack(out);
        put(out, self.rows.len() as u64);
        out.push(u8::from(!self.sums.is_empty()));
        let (mut owner, mut seconds, mut end, mut name_at) = ((0, 0, 0), 0_i64, 0_u64, 0);
        for (number, row) in self.rows.iter().enumerate() {
            let extra = self.extra(row);
            let own = (row.mode, row.uid, row.gid);
            let mut flags = row.kind as u8;
            flags |= match row.form {
                Form::Verbatim => 0,
                Form::Other => flag::OTHER,
                Form::Renamed => flag::RENAMED,
            };
            flags |= if own == owner { 0 } else { flag::OWNER };
            flags |= if extra.is_some() { flag::EXTRA } else { 0 };
            out.push(flags);
            if own != owner {
                put(out, row.mode.into());
                put(out, row.uid.into());
                put(out, row.gid.into());
                owner = own;
            }
            put(out, row.header_at.wrapping_sub(end));
            put(out, row.header_len.into());
            put(out, row.size);
            put_signed(out, row.seconds.wrapping_sub(seconds));
            seconds = row.seconds;
            put(out, row.nanos.into());
            put(out, row.shared.into());
            let name_end = name_at + row.suffix as usize;
            put_bytes(out, self.names.get(name_at..name_end).unwrap_or_default());
            name_at = name_end;
            if let Some(extra) = extra {
                extra.pack(out);
            }
            if !self.sums.is_empty() {
                out.extend_from_slice(&self.sums.get(number).copied().unwrap_or_default().to_le_bytes());
            }
            end = end_of(row, self.stored(row));
        }
    }

    /// Reads what [`LayerIndex::pack`] gave, as the bottom layer's.
    ///
    /// Nothing of it is believed: what no scan would have given is refused, and so is what was made under other limits.
    pub(in super::super) fn unpack(from: &mut Unpack<'_>, limits: &Limits) -> Result<LayerIndex, Refused> {
        for bound in bounds(limits) {
            if from.number()? != bound {
                return Err("it was made under other limits");
            }
        }
        let mut index = LayerIndex::new(0, limits);
        index.end = from.number()?;
        if from.number()? != Note::ALL.len() as u64 {
            return Err("it counts other things");
        }
        for note in Note::ALL {
            index.counts.set(*note, from.number()?);
        }
        index.warnings = Warnings::unpack(from)?;
        let rows = from.number()?;
        // Rows are numbered by 32 bits, one of which none has.
        if rows > limits.entries || rows >= u64::from(u32::MAX) {
            return Err("it has more entries than may be");
        }
        let summed = match from.byte()? {
            0 => false,
            1 => true,
            _ => return Err("it is not known whether it has sums"),
        };
        let (mut owner, mut seconds, mut end) = ((0, 0, 0), 0_i64, 0_u64);
        let mut name: Vec<u8> = Vec::new();
        for number in 0..rows as usize {
            let flags = from.byte()?;
            let kind = *KINDS.get(usize::from(flags & 15)).ok_or("a kind that there is not")?;
            let form = match flags & flag::FORM {
                0 => Form::Verbatim,
                flag::OTHER => Form::Other,
                flag::RENAMED => Form::Renamed,
                _ => return Err("a form that there is not"),
            };
            if flags & flag::OWNER != 0 {
                let mode = u16::try_from(from.number()?).ok().filter(|mode| *mode <= 0o7777);
                owner = (mode.ok_or("a mode that there is not")?, from.small()?, from.small()?);
            }
            let header_at = end.wrapping_add(from.number()?);
            let (header_len, size) = (from.small()?, from.number()?);
            seconds = seconds.wrapping_add(from.signed()?);
            let nanos = from.small()?;
            if nanos >= 1_000_000_000 {
                return Err("a moment that there is not");
            }
            let (shared, suffix) = (from.small()?, from.bytes()?);
            check_name(&name, shared as usize, suffix, kind, limits)?;
            if number.is_multiple_of(STRIDE) {
                if shared > 0 {
                    return Err("a name stands on one that it cannot stand on");
                }
                index.marks.push(index.names.len());
            }
            name.truncate(shared as usize);
            name.extend_from_slice(suffix);
            index.names.extend_from_slice(suffix);
            let mut extra = 0;
            if flags & flag::EXTRA != 0 {
                index.extras.push(Extra::unpack(from, kind, size, limits)?);
                extra = u32::try_from(index.extras.len()).map_err(|_| "it has more entries than may be")?;
            }
            if summed {
                index.sums.push(from.word()?);
            }
            let row = Row {
                header_at,
                size,
                seconds,
                nanos,
                uid: owner.1,
                gid: owner.2,
                header_len,
                extra,
                shared,
                suffix: suffix.len() as u32,
                mode: owner.0,
                kind,
                form,
            };
            let stored = index.stored(&row);
            let ends = row.data_at().checked_add(stored).filter(|ends| *ends <= index.end);
            if header_at < end || ends.is_none() {
                return Err("an entry does not lie within the layer, behind the one before");
            }
            end = end_of(&row, stored);
            index.rows.push(row);
        }
        index.seal();
        Ok(index)
    }
}

/// Behind an entry's padding.
fn end_of(row: &Row, stored: u64) -> u64 {
    row.data_at().saturating_add(stored).saturating_add(padding(stored) as u64)
}

/// Whether a name is one that a scan gives (L1, L11): in normal form, and nothing but AUFS's own begins as a whiteout.
fn check_name(
    before: &[u8],
    shared: usize,
    suffix: &[u8],
    kind: RowKind,
    limits: &Limits,
) -> Result<(), Refused> {
    let head = before.get(..shared).ok_or("a name shares more than there is")?;
    let len = head.len() + suffix.len();
    if len == 0 {
        let root = matches!(kind, RowKind::Directory | RowKind::Opaque);
        return if root { Ok(()) } else { Err("the root is not a directory") };
    }
    if len > limits.path_bytes as usize {
        return Err("a name is longer than may be");
    }
    // Each component takes two bytes but the last.
    if len.div_ceil(2) > limits.path_depth as usize {
        let slashes =
            [head, suffix].iter().flat_map(|part| part.iter()).filter(|byte| **byte == b'/').count();
        if slashes >= limits.path_depth as usize {
            return Err("a name is deeper than may be");
        }
    }
    // What comes before the component in which they part has been looked at.
    let part_at = head.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let tail = [head.get(part_at..).unwrap_or_default(), suffix].concat();
    if tail.is_empty() || !path::is_normal(&tail, false) {
        return Err("a name is not in normal form");
    }
    let mut parts = tail.split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        // The last of a whiteout is what it hides.
        let is_hidden = kind == RowKind::Whiteout && parts.peek().is_none();
        // Below AUFS's own any name may be.
        if !is_hidden && whiteout::is_closed(part) {
            let name = [head, suffix].concat();
            let parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').collect();
            if !matches!(whiteout::role(&parts), Ok(whiteout::Role::Parked)) {
                return Err("a name below a whiteout, or of one");
            }
        }
    }
    Ok(())
}

impl Extra {
    fn pack(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.link);
        put(out, self.xattrs.len() as u64);
        for (name, value) in &self.xattrs {
            put_bytes(out, name);
            put_bytes(out, value);
        }
        put(out, self.device.0.into());
        put(out, self.device.1.into());
        let (segments, stored) = match self.sparse.as_deref() {
            Some((map, stored)) => (Some(map.segments()), *stored),
            None => (None, 0),
        };
        out.push(u8::from(segments.is_some()));
        if let Some(segments) = segments {
            put(out, stored);
            put(out, segments.len() as u64);
            for segment in segments {
                put(out, segment.offset);
                put(out, segment.len);
            }
        }
    }

    fn unpack(from: &mut Unpack<'_>, kind: RowKind, size: u64, limits: &Limits) -> Result<Extra, Refused> {
        let link = from.bytes()?;
        if link.len() > limits.path_bytes as usize || link.contains(&0) {
            return Err("a link that no scan gives");
        }
        if kind == RowKind::HardLink && !link.is_empty() && !path::is_normal(link, false) {
            return Err("the target of a hard link is not in normal form");
        }
        let mut xattrs = Xattrs::new();
        for _ in 0..from.number()? {
            let name = from.bytes()?.to_vec();
            if xattrs.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err("attributes are not in their order");
            }
            xattrs.insert(name, from.bytes()?.to_vec());
        }
        let device = (from.small()?, from.small()?);
        let sparse = match from.byte()? {
            0 => None,
            1 => {
                let (stored, count) = (from.number()?, from.number()?);
                if count > limits.sparse_fragments.into() {
                    return Err("a sparse map is longer than may be");
                }
                let mut segments = Vec::new();
                for _ in 0..count {
                    segments.push(Segment { offset: from.number()?, len: from.number()? });
                }
                let map = SparseMap::new(&segments, size, stored, limits);
                Some(Box::new((map.map_err(|_| "a sparse map that no scan gives")?, stored)))
            }
            _ => return Err("it is not known whether it is sparse"),
        };
        Ok(Extra { link: link.into(), xattrs, device, sparse })
    }
}
