//! What the registry in memory takes: uploads, manifests, deletions; and the second repository that it can mount from.

use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::registry::{Registry, Reply};
use crate::client::Request;
use crate::digest::Digest;
use crate::http::{Method, percent};
use crate::image::{Document, View};
use crate::limits::Limits;

/// How it takes, and what it has under way.
#[derive(Debug)]
pub(super) struct Intake {
    /// Blobs come with the request that opens their upload.
    pub(super) single: bool,
    pub(super) mount: bool,
    pub(super) chunk_min: Option<u64>,
    /// Blobs are mounted from wherever they are.
    pub(super) finds: bool,
    /// Nobody is told how far an upload has come.
    pub(super) mute: bool,
    /// It keeps referrers.
    pub(super) subjects: bool,
    /// Every n-th request about an upload finds that it is lost.
    pub(super) forgets: Option<u64>,
    /// Locations are told absolute, by a proxy that does not know its scheme.
    pub(super) absolute: bool,
    /// More bytes at once are refused.
    pub(super) most: Option<usize>,
    pub(super) sessions: BTreeMap<String, Vec<u8>>,
    /// What `team/base` has.
    pub(super) base: BTreeMap<Digest, Vec<u8>>,
    pub(super) base_manifests: BTreeMap<String, (String, Vec<u8>)>,
    /// Every name that was ever given, and to which digest, in order.
    pub(super) named: Vec<(String, Digest)>,
    pub(super) next: u64,
    pub(super) asked: u64,
}

impl Default for Intake {
    fn default() -> Self {
        Intake {
            single: false,
            mount: true,
            chunk_min: None,
            finds: false,
            mute: false,
            subjects: true,
            forgets: None,
            absolute: false,
            most: None,
            sessions: BTreeMap::new(),
            base: BTreeMap::new(),
            base_manifests: BTreeMap::new(),
            named: Vec::new(),
            next: 0,
            asked: 0,
        }
    }
}

impl Registry {
    pub(super) fn intake(&mut self) -> &mut Intake {
        self.intake.as_mut().unwrap()
    }

    /// What a copy reads from.
    pub(super) fn blobs_of_the_source(&self) -> &BTreeMap<Digest, Vec<u8>> {
        &self.intake.as_ref().unwrap().base
    }

    /// A request broke after these bytes of its body.
    pub(super) fn broken(&mut self, request: &Request, sent: &[u8]) {
        let Some(id) = upload_of(request) else { return };
        let from = first_of(request);
        let Some(session) = self.intake().sessions.get_mut(&id) else { return };
        if from.unwrap_or(session.len() as u64) == session.len() as u64 {
            session.extend_from_slice(sent);
        }
    }
}

fn upload_of(request: &Request) -> Option<String> {
    let id = request.url.path().strip_prefix("/v2/team/app/blobs/uploads/")?;
    (!id.is_empty()).then(|| id.to_string())
}

/// Where a chunk says that it begins.
fn first_of(request: &Request) -> Option<u64> {
    let range = request.headers.one("content-range")?;
    assert!(!range.starts_with("bytes"), "distribution's chunks have no unit: {range}");
    range.split_once('-').unwrap().0.parse().ok()
}

fn query(request: &Request, name: &str) -> Option<String> {
    let pairs = percent::decode_query(request.url.query()?);
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Answers what is about something that is to change; `None` for the rest.
pub(super) fn answer(registry: &mut Registry, request: &Request, body: &[u8]) -> Option<Reply> {
    let path = request.url.path().to_string();
    if let Some(rest) = path.strip_prefix("/v2/team/base/") {
        return Some(base(registry, request, rest));
    }
    let rest = path.strip_prefix("/v2/team/app/")?;
    if rest == "blobs/uploads/" {
        assert_eq!(request.method, Method::Post);
        return Some(open(registry, request, body));
    }
    if let Some(id) = rest.strip_prefix("blobs/uploads/") {
        return Some(upload(registry, request, id, body));
    }
    if let Some(digest) = rest.strip_prefix("referrers/") {
        return registry.intake().subjects.then(|| referrers(registry, request, digest));
    }
    let name = rest.strip_prefix("manifests/")?;
    match request.method {
        Method::Put => Some(put(registry, request, name, body)),
        Method::Delete => Some(match registry.manifests.remove(name) {
            Some(_) => Reply::new(202, ""),
            None => Reply::error(404, "MANIFEST_UNKNOWN"),
        }),
        _ => None,
    }
}

fn base(registry: &mut Registry, request: &Request, rest: &str) -> Reply {
    let intake = registry.intake();
    let found = match rest.split_once('/') {
        Some(("manifests", name)) => intake.base_manifests.get(name).cloned(),
        Some(("blobs", name)) => {
            let blob = name.parse().ok().and_then(|digest: Digest| intake.base.get(&digest).cloned());
            blob.map(|bytes| ("application/octet-stream".to_string(), bytes))
        }
        _ => None,
    };
    match found {
        Some((kind, bytes)) => {
            let mut reply = Reply::new(200, bytes).with("Content-Type", kind);
            if request.method == Method::Head {
                reply.body.clear();
            }
            reply
        }
        None => Reply::error(404, "NOT_FOUND"),
    }
}

fn take(registry: &mut Registry, bytes: &[u8], digest: &str) -> Reply {
    if registry.intake().most.is_some_and(|most| bytes.len() > most) {
        return Reply::new(413, "too much");
    }
    let said: Digest = digest.parse().unwrap();
    if Digest::sha256(bytes) != said {
        return Reply::error(400, "DIGEST_INVALID");
    }
    registry.add_blob(bytes);
    Reply::new(201, "")
        .with("Location", format!("/v2/team/app/blobs/{said}"))
        .with("Docker-Content-Digest", said)
}

fn open(registry: &mut Registry, request: &Request, body: &[u8]) -> Reply {
    if let Some(digest) = query(request, "digest").filter(|_| registry.intake().single) {
        return take(registry, body, &digest);
    }
    if let (Some(digest), Some(from)) = (query(request, "mount"), query(request, "from")) {
        assert!(body.is_empty());
        let digest: Digest = digest.parse().unwrap();
        let known = registry.intake().base.get(&digest).filter(|_| from == "team/base").cloned();
        if let Some(bytes) = known.filter(|_| registry.intake().mount) {
            registry.add_blob(bytes);
            return Reply::new(201, "").with("Docker-Content-Digest", digest);
        }
    }
    if let (Some(digest), None, true) =
        (query(request, "mount"), query(request, "from"), registry.intake().finds)
    {
        let digest: Digest = digest.parse().unwrap();
        if let Some(bytes) = registry.intake().base.get(&digest).cloned() {
            registry.add_blob(bytes);
            return Reply::new(201, "").with("Docker-Content-Digest", digest);
        }
    }
    let intake = registry.intake();
    let id = format!("session-{}", intake.next);
    intake.next += 1;
    intake.sessions.insert(id.clone(), Vec::new());
    location(intake, Reply::new(202, ""), &id)
}

/// A location with a state of its own, as distribution's: what the client must not lose.
fn location(intake: &Intake, reply: Reply, id: &str) -> Reply {
    let len = intake.sessions.get(id).map_or(0, Vec::len);
    let place = format!("/v2/team/app/blobs/uploads/{id}?_state={len}%2B");
    let place = if intake.absolute { format!("https://{}:443{place}", super::registry::HOST) } else { place };
    let reply = reply.with("Location", place).with("Range", format!("0-{}", len.saturating_sub(1)));
    match intake.chunk_min {
        Some(min) => reply.with("OCI-Chunk-Min-Length", min),
        None => reply,
    }
}

fn upload(registry: &mut Registry, request: &Request, id: &str, body: &[u8]) -> Reply {
    let (chunk_min, most) = (registry.intake().chunk_min, registry.intake().most);
    let intake = registry.intake();
    intake.asked += 1;
    if intake.forgets.is_some_and(|every| intake.asked.is_multiple_of(every)) {
        intake.sessions.remove(id);
    }
    if intake.mute && request.method == Method::Get {
        return Reply::new(405, "");
    }
    let Some(session) = intake.sessions.get_mut(id) else { return Reply::error(404, "BLOB_UPLOAD_UNKNOWN") };
    assert!(query(request, "_state").is_some(), "the state of the location was lost: {}", request.url);
    let len = session.len() as u64;
    if request.method == Method::Get {
        return location(intake, Reply::new(204, ""), id);
    }
    if most.is_some_and(|most| body.len() > most) {
        return Reply::new(413, "too much");
    }
    if first_of(request).is_some_and(|first| first != len) {
        return location(intake, Reply::new(416, ""), id);
    }
    session.extend_from_slice(body);
    match request.method {
        Method::Patch => {
            if let Some(min) = chunk_min {
                // Only the last may be smaller, and which that is shows later.
                assert!(body.len() as u64 >= min || intake.sessions.contains_key(id));
            }
            location(intake, Reply::new(202, ""), id)
        }
        Method::Put => {
            let whole = intake.sessions.remove(id).unwrap();
            take_whole(registry, &whole, &query(request, "digest").unwrap())
        }
        other => panic!("{other:?} of an upload"),
    }
}

fn take_whole(registry: &mut Registry, bytes: &[u8], digest: &str) -> Reply {
    let most = registry.intake().most.take();
    let reply = take(registry, bytes, digest);
    registry.intake().most = most;
    reply
}

fn put(registry: &mut Registry, request: &Request, name: &str, body: &[u8]) -> Reply {
    let kind = request.headers.one("content-type").unwrap().to_string();
    let document = Document::parse(body, Some(&kind), &Limits::default()).unwrap();
    let digest = Digest::sha256(body);
    assert!(name.parse::<Digest>().map_or(true, |named| named == digest));
    let (complete, subject) = match &document.view {
        View::Manifest(manifest) => {
            let blobs = core::iter::once(&manifest.config).chain(&manifest.layers);
            let mut blobs = blobs.filter(|blob| !blob.media_type.is_nondistributable());
            (blobs.all(|blob| registry.blobs.contains_key(&blob.digest)), manifest.subject.as_ref())
        }
        View::Index(index) => {
            let is_there =
                |entry: &crate::image::Descriptor| registry.manifests.contains_key(&entry.digest.to_string());
            // A tag of referrers names what may be gone.
            (name.starts_with("sha256-") || index.manifests.iter().all(is_there), index.subject.as_ref())
        }
        View::Schema1(_) => panic!("schema 1 is not pushed"),
    };
    if !complete {
        return Reply::error(400, "MANIFEST_BLOB_UNKNOWN");
    }
    let reply = Reply::new(201, "").with("Docker-Content-Digest", digest);
    let reply = match subject.filter(|_| registry.intake().subjects) {
        Some(subject) => reply.with("OCI-Subject", subject.digest),
        None => reply,
    };
    registry.manifests.insert(name.to_string(), (kind.clone(), body.to_vec()));
    registry.manifests.insert(digest.to_string(), (kind, body.to_vec()));
    registry.intake().named.push((name.to_string(), digest));
    reply
}

fn referrers(registry: &Registry, request: &Request, digest: &str) -> Reply {
    let mut entries = Vec::new();
    for (name, (kind, bytes)) in &registry.manifests {
        let Ok(own) = name.parse::<Digest>() else { continue };
        let document = Document::parse(bytes, Some(kind), &Limits::default()).unwrap();
        let View::Manifest(manifest) = &document.view else { continue };
        if manifest.subject.as_ref().is_some_and(|subject| subject.digest.to_string() == digest) {
            let artifact = manifest.artifact_type.clone().unwrap_or_default();
            let size = bytes.len();
            entries.push(format!(
                r#"{{"mediaType":"{kind}","digest":"{own}","size":{size},"artifactType":"{artifact}"}}"#
            ));
        }
    }
    assert_eq!(request.method, Method::Get);
    let body = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
        entries.join(",")
    );
    Reply::new(200, body).with("Content-Type", "application/vnd.oci.image.index.v1+json")
}
