//! Images in files, for hosts that read their files themselves.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;

use super::session::{choice, own_platform};
use super::{Object, descriptor, options, pulled};
use crate::archive::{Catalog, Cataloguer, Collection, Kind, Need, Reading, Span};
use crate::client::{Depth, Event, PullOptions, Step, Walk};
use crate::codec::{Codec as _, Decoder, Format, Needs, SoftCodecs};
use crate::digest::{Algorithm, Digest, Hasher, SoftHashes};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::image::Descriptor;
use crate::limits::Limits;
use crate::map::Map;
use crate::stack::WORK;

/// Bytes asked for at once where headers are.
const HEADERS: u64 = 4 << 10;
/// Bytes that are decoded at once, to be hashed.
const PIECE: usize = 256 << 10;

/// Finds the images of an archive or of a folder, and goes through one of them.
///
/// It is told which files there are ([`Opening::file`] or [`Opening::member`]), and then asked by [`Opening::step`] what it needs,
/// until it is done:
///
/// - `{"need":"bytes","member":…,"offset":…,"len":…}`: these bytes, for [`Opening::supply`]. `member` is absent for an archive.
/// - `{"need":"hash",…,"decoded":…}`: these bytes go to [`Opening::hash`], piece by piece, from the first that it has not taken.
/// - `{"need":"unpack","format":"gzip"}`: the file is compressed as a whole; a new opening takes it decoded.
/// - `{"need":"choice","entries":[…]}`: [`Opening::choose`] says which image.
/// - `{"done":…}`: that is the image, in the shape of a pull's outcome; [`Opening::document`] and [`Opening::blob`] have the rest.
///
/// Documents are verified; blobs are not before somebody reads them.
pub struct Opening {
    limits: Limits,
    kind: Option<Kind>,
    len: Option<u64>,
    phase: Phase,
    collection: Collection,
    documents: Map<Digest, Vec<u8>>,
    warnings: Vec<String>,
}

#[allow(clippy::large_enum_variant)] // there is one
enum Phase {
    Members(Catalog),
    Magic { len: u64 },
    Packed(Format),
    Catalog { cataloguer: Cataloguer, len: u64 },
    Reading(Reading),
    Hashing(Reading, Hashing),
    Choice,
    Walking { walk: Walk, wanted: Option<(Digest, Span)> },
    Done(String),
    Failed,
}

struct Hashing {
    span: Span,
    given: u64,
    hasher: Hasher,
    decoder: Option<Decoder<'static>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct ChoiceOptions {
    platform: Option<String>,
    own: Option<String>,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("kind", &self.kind).field("len", &self.len).finish_non_exhaustive()
    }
}

fn internal(reason: &str) -> Error {
    ErrorKind::Internal { reason: reason.to_owned() }.into()
}

impl Opening {
    /// Of what must be a `layout`, what `docker` saved, a `directory` of skopeo's, or whatever is there.
    ///
    /// # Errors
    /// `invalid_option` for another word.
    pub fn new(kind: Option<&str>) -> Result<Opening> {
        let kind = match kind {
            None => None,
            Some("layout") => Some(Kind::Layout),
            Some("docker") => Some(Kind::Docker),
            Some("directory") => Some(Kind::Directory),
            Some(other) => {
                let reason = format!("there is no kind `{other}` of archives");
                return Err(ErrorKind::InvalidOption { reason }.into());
            }
        };
        Ok(Opening {
            limits: Limits::default(),
            kind,
            len: None,
            phase: Phase::Members(Catalog::new()),
            collection: Collection::default(),
            documents: Map::new(),
            warnings: Vec::new(),
        })
    }

    /// It is one file, of so many bytes.
    pub fn file(&mut self, len: u64) {
        self.len = Some(len);
        self.phase = Phase::Magic { len };
    }

    /// It is a folder, and this is a file in it: `name` from the folder on, with `/`, and its size in bytes.
    ///
    /// # Errors
    /// `invalid_path`, `limit_exceeded`; `internal` once it was begun.
    pub fn member(&mut self, name: &str, len: u64) -> Result<()> {
        match &mut self.phase {
            Phase::Members(catalog) => catalog.add_file(name.as_bytes(), 0, len, &self.limits),
            _ => Err(internal("a member came after the members")),
        }
    }

    /// What is needed next, as JSON. It may be asked again.
    ///
    /// # Errors
    /// `not_found` if this holds no images, or a blob that the image names; `invalid_document`, `invalid_tar`,
    /// `digest_mismatch`, `platform_not_found`, `limit_exceeded` and whatever the documents come to.
    pub fn step(&mut self) -> Result<String> {
        match self.next() {
            Ok(step) => Ok(step),
            Err(error) => {
                self.phase = Phase::Failed;
                Err(error)
            }
        }
    }

    fn next(&mut self) -> Result<String> {
        loop {
            match core::mem::replace(&mut self.phase, Phase::Failed) {
                Phase::Failed => return Err(internal("an opening that has failed")),
                Phase::Members(catalog) => {
                    self.phase = Phase::Reading(Reading::new(catalog, self.kind, &self.limits));
                }
                Phase::Magic { len } => {
                    self.phase = Phase::Magic { len };
                    return Ok(bytes(None, 0, len.min(Format::MAGIC_BYTES as u64)));
                }
                Phase::Packed(format) => {
                    self.phase = Phase::Packed(format);
                    return Ok(Object::new()
                        .with("need", "unpack")
                        .with("format", format.to_string())
                        .to_string());
                }
                Phase::Catalog { cataloguer, len } => {
                    let at = cataloguer.position();
                    if cataloguer.is_ended() || at >= len {
                        let catalog = cataloguer.finish(len)?;
                        self.phase = Phase::Reading(Reading::new(catalog, self.kind, &self.limits));
                        continue;
                    }
                    self.phase = Phase::Catalog { cataloguer, len };
                    return Ok(bytes(None, at, HEADERS.min(len - at)));
                }
                Phase::Reading(mut reading) => match reading.poll_need()? {
                    Need::Bytes(span) => {
                        self.phase = Phase::Reading(reading);
                        return Ok(bytes(self.member_of(&span), span.offset, span.len));
                    }
                    Need::Digest { span, decoded } => {
                        let decoder = decoded.then(|| Decoder::new(&SoftCodecs, None, &self.limits));
                        let hasher = Hasher::new(&SoftHashes, Algorithm::Sha256);
                        self.phase = Phase::Hashing(reading, Hashing { span, given: 0, hasher, decoder });
                    }
                    Need::Done(collection) => {
                        self.collection = collection;
                        self.phase = Phase::Choice;
                    }
                },
                Phase::Hashing(reading, hashing) => {
                    let (offset, len) =
                        (hashing.span.offset + hashing.given, hashing.span.len - hashing.given);
                    if len == 0 {
                        let digest = hashing.finish()?;
                        let mut reading = reading;
                        reading.hashed(digest)?;
                        self.phase = Phase::Reading(reading);
                        continue;
                    }
                    let need = Object::new()
                        .with("need", "hash")
                        .with_some("member", self.member_of(&hashing.span))
                        .with("offset", offset)
                        .with("len", len)
                        .with("decoded", hashing.decoder.is_some());
                    self.phase = Phase::Hashing(reading, hashing);
                    return Ok(need.to_string());
                }
                Phase::Choice => {
                    self.phase = Phase::Choice;
                    let entries =
                        self.collection.entries().iter().map(descriptor).collect::<serde_json::Value>();
                    return Ok(Object::new().with("need", "choice").with("entries", entries).to_string());
                }
                Phase::Walking { walk, wanted } => {
                    if let Some(need) = self.walk(walk, wanted)? {
                        return Ok(need);
                    }
                }
                Phase::Done(done) => {
                    self.phase = Phase::Done(done.clone());
                    return Ok(done);
                }
            }
        }
    }

    /// Goes on with the image: what is needed for it, or nothing once it is known.
    fn walk(&mut self, mut walk: Walk, wanted: Option<(Digest, Span)>) -> Result<Option<String>> {
        if let Some((digest, span)) = wanted {
            let need = bytes(self.member_of(&span), span.offset, span.len);
            self.phase = Phase::Walking { walk, wanted: Some((digest, span)) };
            return Ok(Some(need));
        }
        loop {
            match walk.poll()? {
                Step::Document(needed) => {
                    let known =
                        self.collection.made.get(&needed.digest).or(self.documents.get(&needed.digest));
                    if let Some(known) = known.cloned() {
                        walk.supply(&known)?;
                        continue;
                    }
                    let Some(span) = self.collection.blobs.get(&needed.digest).cloned() else {
                        walk.lacks("the archive")?;
                        continue;
                    };
                    if span.len > self.limits.document_bytes {
                        let value = self.limits.document_bytes;
                        let error = Error::from(ErrorKind::LimitExceeded { limit: "document_bytes", value });
                        walk.refuse(error.in_blob(needed.digest))?;
                        continue;
                    }
                    let need = bytes(self.member_of(&span), span.offset, span.len);
                    self.phase = Phase::Walking { walk, wanted: Some((needed.digest, span)) };
                    return Ok(Some(need));
                }
                Step::Blob(needed) => match self.collection.blobs.contains_key(&needed.digest) {
                    true => walk.have()?,
                    false => walk.lacks("the archive")?,
                },
                Step::Event(Event::Document { descriptor, bytes, .. }) => {
                    self.documents.insert(descriptor.digest, bytes.to_vec());
                }
                Step::Event(Event::Warning { warning, .. }) => self.warnings.push(warning.to_string()),
                Step::Event(_) => {}
                Step::Done(image) => {
                    let done = Object::new()
                        .with("done", pulled(&image))
                        .with("warnings", core::mem::take(&mut self.warnings));
                    self.phase = Phase::Done(done.to_string());
                    return Ok(None);
                }
            }
        }
    }

    /// The bytes that were needed.
    ///
    /// # Errors
    /// `unsupported_compression`, `invalid_tar`, `limit_exceeded`; `internal` if none were.
    pub fn supply(&mut self, bytes: &[u8]) -> Result<()> {
        match core::mem::replace(&mut self.phase, Phase::Failed) {
            Phase::Magic { len } => {
                self.phase = match Format::detect(bytes)? {
                    Format::Identity => Phase::Catalog { cataloguer: Cataloguer::new(&self.limits), len },
                    format => Phase::Packed(format),
                };
            }
            Phase::Catalog { mut cataloguer, len } => {
                cataloguer.feed(cataloguer.position(), bytes)?;
                self.phase = Phase::Catalog { cataloguer, len };
            }
            Phase::Reading(mut reading) => {
                reading.supply(bytes)?;
                self.phase = Phase::Reading(reading);
            }
            Phase::Walking { mut walk, wanted: Some((digest, span)) } => {
                if bytes.len() as u64 != span.len {
                    let reason = format!("{} has {} bytes and not {}", span.member, bytes.len(), span.len);
                    return Err(ErrorKind::InvalidTar { reason }.into());
                }
                walk.supply(bytes)?;
                // If it does not hold, the walk says so next, and nothing of it is given out.
                self.documents.insert(digest, bytes.to_vec());
                self.phase = Phase::Walking { walk, wanted: None };
            }
            _ => return Err(internal("bytes that were not needed")),
        }
        Ok(())
    }

    /// The next of the bytes that are to be hashed. Answers how many it took: no call decodes more than about a megabyte,
    /// however much they are packed, and the rest is to come again.
    ///
    /// # Errors
    /// What decoding comes to, with the member; `internal` if none are.
    pub fn hash(&mut self, bytes: &[u8]) -> Result<usize> {
        let Phase::Hashing(_, hashing) = &mut self.phase else {
            return Err(internal("bytes that were not to be hashed"));
        };
        let result = hashing.take(bytes);
        if result.is_err() {
            self.phase = Phase::Failed;
        }
        result
    }

    /// Which image: a name, `@N` for the one at a place, or nothing for the only one. `options`: `platform` (`native` for the
    /// host's own, all if absent), `own` (what `native` is).
    ///
    /// # Errors
    /// `not_found` with the names there are; `invalid_platform`, `invalid_option`; `internal` before it is known what there is.
    pub fn choose(&mut self, name: Option<&str>, options: &str) -> Result<()> {
        if !matches!(self.phase, Phase::Choice | Phase::Done(_)) {
            return Err(internal("a choice before there is one"));
        }
        let said: ChoiceOptions = self::options(options)?;
        let platform = choice(said.platform.as_deref(), &own_platform(said.own.as_deref())?)?;
        let top: Descriptor = self.collection.find(name)?.top.clone();
        let options = PullOptions { platform, depth: Depth::Layers, ..PullOptions::default() };
        self.phase = Phase::Walking { walk: Walk::new(&top, options)?, wanted: None };
        Ok(())
    }

    /// A document of the image, or one that was made since its archive has none.
    ///
    /// # Errors
    /// `invalid_digest`, `unsupported_digest`.
    pub fn document(&self, digest: &str) -> Result<Option<&[u8]>> {
        let digest: Digest = digest.parse()?;
        let found = self.documents.get(&digest).or(self.collection.made.get(&digest));
        Ok(found.map(Vec::as_slice))
    }

    /// Where a blob's bytes are, as JSON (`member`, `offset`, `len`); `None` if it is not there.
    ///
    /// # Errors
    /// `invalid_digest`, `unsupported_digest`.
    pub fn blob(&self, digest: &str) -> Result<Option<String>> {
        let digest: Digest = digest.parse()?;
        Ok(self.collection.blobs.get(&digest).map(|span| {
            Object::new()
                .with_some("member", self.member_of(span))
                .with("offset", span.offset)
                .with("len", span.len)
                .to_string()
        }))
    }

    /// The file that a span is in, where there are several.
    fn member_of(&self, span: &Span) -> Option<String> {
        self.len.is_none().then(|| span.member.clone())
    }
}

fn bytes(member: Option<String>, offset: u64, len: u64) -> String {
    Object::new()
        .with("need", "bytes")
        .with_some("member", member)
        .with("offset", offset)
        .with("len", len)
        .to_string()
}

impl Hashing {
    fn place(&self) -> Place {
        Place { entry: Some(self.span.member.clone().into_bytes()), ..Place::default() }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        if bytes.len() as u64 > self.span.len - self.given {
            return Err(internal("more bytes than were to be hashed"));
        }
        let place = self.place();
        let Some(decoder) = &mut self.decoder else {
            self.hasher.update(bytes);
            self.given += bytes.len() as u64;
            return Ok(bytes.len());
        };
        let mut buffer = alloc::vec![0; PIECE];
        let (mut rest, mut decoded) = (bytes, 0);
        while !rest.is_empty() && decoded < WORK {
            let step = decoder.process(rest, &mut buffer).map_err(|error| error.at(place.clone()))?;
            self.hasher.update(buffer.get(..step.written).unwrap_or_default());
            rest = rest.get(step.read..).unwrap_or_default();
            decoded += step.written;
        }
        let taken = bytes.len() - rest.len();
        self.given += taken as u64;
        Ok(taken)
    }

    fn finish(mut self) -> Result<Digest> {
        let place = self.place();
        if let Some(mut decoder) = self.decoder.take() {
            let mut buffer = alloc::vec![0; PIECE];
            loop {
                let step = decoder.finish(&mut buffer).map_err(|error| error.at(place.clone()))?;
                self.hasher.update(buffer.get(..step.written).unwrap_or_default());
                if step.needs == Needs::Nothing {
                    break;
                }
            }
        }
        Ok(self.hasher.finish())
    }
}
