//! Referrers that a push tells by a tag, where the registry keeps no list of them (distribution-spec, "Pushing Manifests
//! with Subject", "Referrers Tag Schema").

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::JobId;
use super::conduct::at_url;
use super::exchange::{About, Key};
use super::machine::Client;
use super::push::{Errand, Paper, Stage};
use crate::digest::Digest;
use crate::error::{ErrorKind, Result};
use crate::http::{Method, Url};
use crate::image::{Descriptor, Index, View};
use crate::limits::Limits;
use crate::media_type::MediaType;

impl Paper {
    /// What says of it to those who list referrers (distribution-spec, "Listing Referrers").
    fn as_referrer(&self) -> Option<Descriptor> {
        let document = self.document.as_ref()?;
        let mut descriptor =
            Descriptor::new(document.media_type.clone(), self.digest, document.raw.len() as u64);
        match &document.view {
            View::Manifest(manifest) => {
                descriptor.artifact_type = manifest
                    .artifact_type
                    .clone()
                    .or_else(|| Some(manifest.config.media_type.as_str().to_string()))
                    .filter(|kind| !kind.is_empty());
                descriptor.annotations = manifest.annotations.clone();
            }
            View::Index(index) => {
                descriptor.artifact_type = index.artifact_type.clone();
                descriptor.annotations = index.annotations.clone();
            }
            View::Schema1(_) => return None,
        }
        Some(descriptor)
    }
}

impl Client {
    /// The registry does not keep referrers: they are kept under a tag (distribution-spec, "Referrers Tag Schema").
    pub(super) fn refer(&mut self, job: JobId, at: usize) {
        let Some(push) = self.push_of(job) else { return };
        if let Some(paper) = push.papers.get_mut(at) {
            // Under its second name it has been told already.
            if core::mem::replace(&mut paper.is_told, true) {
                return self.paper_ready(job, at);
            }
            paper.stage = Stage::Referring;
        }
        push.referring.push_back(at);
        if push.referring.len() == 1 {
            self.next_referring(job);
        }
    }

    pub(super) fn next_referring(&mut self, job: JobId) {
        let Some(push) = self.push_of(job) else { return };
        let Some(at) = push.referring.front().copied() else { return };
        let Some(tag) =
            push.papers.get(at).and_then(Paper::subject).map(|subject| referrers_tag(&subject.digest))
        else {
            return;
        };
        self.paper_exchange(job, Errand::ReadTag(at), Method::Get, &tag, None);
    }

    /// The index of referrers came.
    pub(super) fn referrers_arrived(
        &mut self,
        job: JobId,
        at: usize,
        key: Key,
        bytes: &[u8],
        about: &About,
        url: &Url,
    ) {
        match read_referrers(bytes, about.content_type.as_deref(), &self.config.limits) {
            Ok(entries) => {
                self.drop_silently(key);
                self.write_referrers(job, at, entries);
            }
            Err(error) => self.exchange_failed(key, at_url(error, url)),
        }
    }

    /// Nobody has written any referrers of this subject.
    pub(super) fn no_referrers(&mut self, job: JobId, at: usize, key: Key) {
        self.drop_silently(key);
        self.write_referrers(job, at, Vec::new());
    }

    fn write_referrers(&mut self, job: JobId, at: usize, mut entries: Vec<Descriptor>) {
        let Some(push) = self.push_of(job) else { return };
        let Some(paper) = push.papers.get(at) else { return };
        let (Some(entry), Some(subject)) = (paper.as_referrer(), paper.subject()) else { return };
        let tag = referrers_tag(&subject.digest);
        if entries.iter().any(|known| known.digest == entry.digest) {
            push.referring.pop_front();
            self.next_referring(job);
            return self.paper_ready(job, at);
        }
        entries.push(entry);
        let index = Index::new(MediaType::OciIndex, entries);
        match serde_json::to_vec(&index) {
            Ok(bytes) => {
                let body = (MediaType::OciIndex.to_string(), bytes);
                self.paper_exchange(job, Errand::WriteTag(at), Method::Put, &tag, Some(body));
            }
            Err(_) => self.fail(job, super::schedule::internal("an index cannot be written")),
        }
    }
}

/// The tag under which the referrers of a digest are kept where the registry has no list of them (distribution-spec,
/// "Referrers Tag Schema").
pub(super) fn referrers_tag(digest: &Digest) -> String {
    let reference: String = digest.hex().chars().take(64).collect();
    format!("{}-{reference}", digest.algorithm().name())
}

/// Reads what a list of referrers or its tag holds.
///
/// # Errors
/// As [`Document::parse`]; `invalid_document` where it is no index.
pub(super) fn read_referrers(
    bytes: &[u8],
    content_type: Option<&str>,
    limits: &Limits,
) -> Result<Vec<Descriptor>> {
    let (document, _) = super::pull::read(bytes, content_type, limits)?;
    match document.view {
        View::Index(index) => Ok(index.manifests),
        _ => {
            let reason = "a list of referrers is an index, and this is none".to_string();
            Err(ErrorKind::InvalidDocument { document: "index", reason }.into())
        }
    }
}
