//! Bodies that no shown name has so far, kept until their layer ends: a link may still need them (L14).

use std::collections::BTreeMap;
use std::path::Path;

use wharfie_core::error::Result;

use super::fill::{Fill, Origin};
use super::internal;
use crate::layers::Spool;

/// Bytes kept in memory; what is more goes to an unnamed temporary file.
const MEMORY: u64 = 8 << 20;
/// Bytes read back at once.
const READ: u64 = 256 << 10;

/// Those of one layer.
pub(super) struct Parked<'p> {
    temp_dir: &'p Path,
    memory: Vec<u8>,
    file: Option<Spool>,
    bodies: BTreeMap<u32, Body>,
}

#[derive(Clone, Copy)]
struct Body {
    origin: Origin,
    /// Where it begins, in memory or in the file.
    start: u64,
    in_memory: bool,
}

impl<'p> Parked<'p> {
    pub(super) fn new(temp_dir: &'p Path) -> Parked<'p> {
        Parked { temp_dir, memory: Vec::new(), file: None, bodies: BTreeMap::new() }
    }

    /// The layer has ended.
    pub(super) fn clear(&mut self) {
        self.memory.clear();
        self.file = None;
        self.bodies.clear();
    }

    /// The next bytes of a body, of which `left` are to come, these among them. One body is added after the other.
    pub(super) fn add(&mut self, id: u32, origin: Origin, left: u64, bytes: &[u8]) -> Result<()> {
        let body = match self.bodies.get(&id) {
            Some(body) => *body,
            None => {
                let in_memory = self.memory.len() as u64 + left <= MEMORY;
                if !in_memory && self.file.is_none() {
                    self.file = Some(Spool::new(self.temp_dir)?);
                }
                let in_file = self.file.as_ref().map_or(0, Spool::len);
                let start = if in_memory { self.memory.len() as u64 } else { in_file };
                let body = Body { origin, start, in_memory };
                self.bodies.insert(id, body);
                body
            }
        };
        match &mut self.file {
            Some(file) if !body.in_memory => file.write(bytes),
            _ => {
                self.memory.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Hands on a range of a body.
    pub(super) fn replay(&self, id: u32, mut from: u64, to: u64, fill: &mut dyn Fill) -> Result<()> {
        let missing = || internal("a draft replays what it has not kept");
        let body = self.bodies.get(&id).ok_or_else(missing)?;
        let mut buffer = Vec::new();
        while from < to {
            let end = to.min(from + READ);
            let (at, len) = (body.start + from, usize::try_from(end - from).map_err(|_| missing())?);
            let bytes = if body.in_memory {
                let at = usize::try_from(at).map_err(|_| missing())?;
                self.memory.get(at..at + len).ok_or_else(missing)?
            } else {
                buffer.resize(len, 0);
                self.file.as_ref().ok_or_else(missing)?.read(&mut buffer, at)?;
                &buffer
            };
            fill.take(Origin { offset: body.origin.offset + from, ..body.origin }, bytes)?;
            from = end;
        }
        Ok(())
    }
}
