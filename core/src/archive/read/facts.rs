//! What a host was asked of members, and what it answered.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Need;
use crate::archive::catalog::{Catalog, Span, in_entry};
use crate::codec::Format;
use crate::digest::{Algorithm, Digest};
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;
use crate::map::{Map, Set};

/// What is known of the members. What is not known yet is asked for, and then known in the next round.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) catalog: Catalog,
    pub(super) limits: Limits,
    documents: Map<String, Vec<u8>>,
    heads: Map<String, Vec<u8>>,
    digests: Map<(String, bool), Digest>,
    /// Bytes of documents that are held.
    held: u64,
    wanted: VecDeque<Need>,
    asked: Set<(String, u8)>,
}

impl Facts {
    pub(super) fn new(catalog: Catalog, limits: &Limits) -> Facts {
        Facts {
            catalog,
            limits: limits.clone(),
            documents: Map::new(),
            heads: Map::new(),
            digests: Map::new(),
            held: 0,
            wanted: VecDeque::new(),
            asked: Set::new(),
        }
    }

    /// Where a member is that has to be there.
    pub(super) fn span(&self, name: &str) -> Result<Span> {
        self.catalog.find(name)?.ok_or_else(|| {
            let what = format!("the member `{}`", crate::name::Name(name.as_bytes()));
            ErrorKind::NotFound { what, detail: None }.into()
        })
    }

    /// A whole member; `None` if it has to be asked for first.
    pub(super) fn document(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let span = self.span(name)?;
        if let Some(known) = self.documents.get(&span.member) {
            return Ok(Some(known.clone()));
        }
        let limit = self.limits.document_bytes;
        if span.len > limit {
            let kind = ErrorKind::LimitExceeded { limit: "document_bytes", value: limit };
            return Err(in_entry(kind.into(), name.as_bytes()));
        }
        if self.asked.insert((span.member.clone(), 0)) {
            self.held = self.held.saturating_add(span.len);
            if self.held > self.limits.archive_document_bytes {
                let value = self.limits.archive_document_bytes;
                return Err(ErrorKind::LimitExceeded { limit: "archive_document_bytes", value }.into());
            }
            self.wanted.push_back(Need::Bytes(span));
        }
        Ok(None)
    }

    /// How a member is compressed, by its magic (L20); `None` if that has to be asked for first.
    pub(super) fn format(&mut self, name: &str) -> Result<Option<Format>> {
        let mut span = self.span(name)?;
        span.len = span.len.min(Format::MAGIC_BYTES as u64);
        if span.len == 0 {
            return Ok(Some(Format::Identity));
        }
        if let Some(head) = self.heads.get(&span.member) {
            return Format::detect(head).map(Some).map_err(|error| in_entry(error, name.as_bytes()));
        }
        if self.asked.insert((span.member.clone(), 1)) {
            self.wanted.push_back(Need::Bytes(span));
        }
        Ok(None)
    }

    /// The sha256 of a member, or of what it holds when it is decoded; `None` if it has to be asked for first.
    pub(super) fn digest(&mut self, name: &str, decoded: bool) -> Result<Option<Digest>> {
        let span = self.span(name)?;
        if let Some(digest) = self.digests.get(&(span.member.clone(), decoded)) {
            return Ok(Some(*digest));
        }
        if self.asked.insert((span.member.clone(), 2 + u8::from(decoded))) {
            self.wanted.push_back(Need::Digest { span, decoded });
        }
        Ok(None)
    }

    /// The next thing to ask of the host.
    pub(super) fn next(&self) -> Option<&Need> {
        self.wanted.front()
    }

    /// The bytes that were asked for.
    pub(super) fn supply(&mut self, bytes: &[u8]) -> Result<()> {
        match self.take()? {
            Need::Bytes(span) if span.len == bytes.len() as u64 => {
                // A document that is no longer than a magic is asked for twice; both want the same bytes.
                let is_document = self.asked.contains(&(span.member.clone(), 0));
                if is_document && self.is_whole(&span) {
                    self.documents.insert(span.member.clone(), bytes.to_vec());
                }
                let head = bytes.get(..Format::MAGIC_BYTES).unwrap_or(bytes);
                self.heads.insert(span.member, head.to_vec());
                Ok(())
            }
            Need::Bytes(span) => {
                let reason = format!("it has {} bytes of {}", bytes.len(), span.len);
                Err(in_entry(ErrorKind::InvalidTar { reason }.into(), span.member.as_bytes()))
            }
            _ => Err(ErrorKind::Internal { reason: "bytes that were not asked for".to_string() }.into()),
        }
    }

    fn is_whole(&self, span: &Span) -> bool {
        matches!(self.catalog.find(&span.member), Ok(Some(whole)) if whole.len == span.len)
    }

    /// The digest that was asked for.
    pub(super) fn hashed(&mut self, digest: Digest) -> Result<()> {
        match self.take()? {
            Need::Digest { span, decoded } if digest.algorithm() == Algorithm::Sha256 => {
                self.digests.insert((span.member, decoded), digest);
                Ok(())
            }
            _ => Err(ErrorKind::Internal { reason: "a digest that was not asked for".to_string() }.into()),
        }
    }

    fn take(&mut self) -> Result<Need> {
        let unasked = || ErrorKind::Internal { reason: "an answer to what was not asked for".to_string() };
        Ok(self.wanted.pop_front().ok_or_else(unasked)?)
    }
}
