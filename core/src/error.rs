//! Remote or content trouble, in one vocabulary for all hosts.
//!
//! An [`Error`] is an [`ErrorKind`] (what went wrong, its facts as fields) at a [`Place`] (in which image, layer, entry
//! and byte). [`ErrorKind::code`] is a stable `snake_case` word: hosts map it one to one to their own classes.
//! A driver's bug is [`Misuse`], never an `Error`; a transport's verdict is `client::Failure`, an input.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::digest::Digest;
use crate::name::Name;
use crate::size::Bytes;

/// What core's fallible functions answer.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// One failure: what, where, why.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    place: Place,
}

/// Where it happened; every part that is known is filled in on the way up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The image as the user named it.
    pub image: Option<String>,
    /// The blob or document concerned.
    pub blob: Option<Digest>,
    /// The layer, counted from 0 at the bottom.
    pub layer: Option<usize>,
    /// The name of the entry in the layer, as bytes (L1).
    pub entry: Option<Vec<u8>>,
    /// The position in the uncompressed stream (or in the document).
    pub byte: Option<u64>,
    /// The URL without its query and user information.
    pub url: Option<String>,
    /// The local file or directory.
    pub path: Option<String>,
}

/// A value that a host can show or give to its language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Text, for people or programs.
    Text(String),
    /// A count, a size in bytes, a status.
    Number(u64),
    /// A span of time.
    Span(Duration),
}

macro_rules! error_kinds {
    ($($(#[doc = $doc:literal])* #[error($($display:tt)*)] $kind:ident = $code:literal { $($(#[doc = $field_doc:literal])* $field:ident: $ty:ty),* $(,)? })*) => {
        /// What went wrong. Fields are the facts.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $($(#[doc = $doc])* #[error($($display)*)] $kind { $($(#[doc = $field_doc])* $field: $ty),* },)*
        }
        impl ErrorKind {
            /// Every code there is, in declaration order: hosts test that they know them all.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// The stable `snake_case` name of this kind.
            pub fn code(&self) -> &'static str {
                match self { $(ErrorKind::$kind { .. } => $code,)* }
            }

            /// The facts by name, in declaration order. Absent ones are left out.
            pub fn facts(&self) -> Vec<(&'static str, Fact)> {
                #[allow(unused_mut)]
                let mut facts = Vec::new();
                match self { $(ErrorKind::$kind { $($field),* } => {
                    $(if let Some(fact) = IntoFact::fact($field) { facts.push((stringify!($field), fact)); })*
                })* }
                facts
            }
        }
    };
}

error_kinds! {
    /// A reference that cannot be read.
    #[error("invalid reference `{input}`: {reason} in the {part}")]
    InvalidReference = "invalid_reference" {
        /// What was given.
        input: String,
        /// Which part is wrong: `host`, `repository`, `tag`, `digest`.
        part: &'static str,
        /// What is wrong with it.
        reason: String,
    }
    /// A digest that cannot be read.
    #[error("invalid digest `{input}`: {reason}")]
    InvalidDigest = "invalid_digest" {
        /// What was given.
        input: String,
        /// What is wrong with it.
        reason: String,
    }
    /// A well-formed digest of an algorithm that nobody here can compute.
    #[error("digest algorithm `{algorithm}` is not supported")]
    UnsupportedDigest = "unsupported_digest" {
        /// Its name.
        algorithm: String,
    }
    /// A URL that cannot be read, or that clients would read differently.
    #[error("invalid URL `{input}`: {reason}")]
    InvalidUrl = "invalid_url" {
        /// What was given, without its query and user information.
        input: String,
        /// What is wrong with it.
        reason: String,
    }
    /// A platform that cannot be read.
    #[error("invalid platform `{input}`: {reason}")]
    InvalidPlatform = "invalid_platform" {
        /// What was given.
        input: String,
        /// What is wrong with it.
        reason: String,
    }
    /// No manifest of the index fits.
    #[error("no image for platform {wanted}; there is {available}")]
    PlatformNotFound = "platform_not_found" {
        /// The platform asked for.
        wanted: String,
        /// Those on offer, comma-separated.
        available: String,
    }
    /// A manifest, index or config that cannot be read.
    #[error("invalid {document}: {reason}")]
    InvalidDocument = "invalid_document" {
        /// `manifest`, `index`, `config`, `token response`, …
        document: &'static str,
        /// What is wrong with it.
        reason: String,
    }
    /// A media type that this operation has no use for.
    #[error("media type `{media_type}` is not supported here: {reason}")]
    UnsupportedMediaType = "unsupported_media_type" {
        /// It.
        media_type: String,
        /// Why.
        reason: String,
    }
    /// An artifact where an image is needed.
    #[error("not an image: {reason}")]
    NotAnImage = "not_an_image" {
        /// How that is known.
        reason: String,
    }
    /// Bytes that are not what their digest promised.
    #[error("digest mismatch: expected {expected}, got {actual}")]
    DigestMismatch = "digest_mismatch" {
        /// What the descriptor or reference says.
        expected: Digest,
        /// What the bytes give.
        actual: Digest,
    }
    /// A layer whose blob is right and whose content is not what the config promises (L23).
    #[error("diff_id mismatch: the config says {expected}, the layer's content gives {actual}")]
    DiffIdMismatch = "diff_id_mismatch" {
        /// What the config says.
        expected: Digest,
        /// What the uncompressed bytes give.
        actual: Digest,
    }
    /// More or fewer bytes than the descriptor promised.
    #[error("size mismatch: expected {expected} bytes, got {actual}")]
    SizeMismatch = "size_mismatch" {
        /// What the descriptor says.
        expected: u64,
        /// What came.
        actual: u64,
    }
    /// A cap of `Limits` was reached.
    #[error("limit reached: {limit} is {value}")]
    LimitExceeded = "limit_exceeded" {
        /// The field of `Limits`.
        limit: &'static str,
        /// Its setting.
        value: u64,
    }
    /// No such repository, tag, manifest or blob.
    #[error("not found: {what}")]
    NotFound = "not_found" {
        /// What was looked for.
        what: String,
        /// What the registry said.
        detail: Option<String>,
    }
    /// The registry wants credentials, or refuses those that it got.
    #[error("unauthorized: {reason}")]
    Unauthorized = "unauthorized" {
        /// Why; what registries hide behind 401 is said in the hint.
        reason: String,
        /// What the registry said.
        detail: Option<String>,
        /// Whether credentials were sent.
        with_credentials: bool,
    }
    /// Known, and not allowed.
    #[error("denied: {reason}")]
    Denied = "denied" {
        /// Why.
        reason: String,
        /// What the registry said.
        detail: Option<String>,
        /// Whether credentials were sent.
        with_credentials: bool,
    }
    /// Too many requests, and no retries left.
    #[error("rate limited by {host}")]
    RateLimited = "rate_limited" {
        /// Who.
        host: String,
        /// When it may be tried again.
        retry_after: Option<Duration>,
        /// The limit as the registry states it (`ratelimit-limit`).
        limit: Option<String>,
        /// What is left of it.
        remaining: Option<String>,
    }
    /// The server failed, and no retries are left.
    #[error("server error {status} from {host}")]
    ServerError = "server_error" {
        /// Who.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        detail: Option<String>,
    }
    /// The server refuses a request, for none of the reasons that have a kind of their own.
    #[error("{host} refuses the request with status {status}")]
    RequestRefused = "request_refused" {
        /// Who.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        detail: Option<String>,
    }
    /// The registry has no such operation, or does not offer it.
    #[error("{host} does not support this for {what}")]
    UnsupportedOperation = "unsupported_operation" {
        /// Who.
        host: String,
        /// What it was asked for.
        what: String,
        /// What it said.
        detail: Option<String>,
    }
    /// A response that the protocol does not allow.
    #[error("protocol violation by {host}: {reason}")]
    ProtocolViolation = "protocol_violation" {
        /// Who.
        host: String,
        /// What it did.
        reason: String,
    }
    /// A challenge with no scheme that we can answer.
    #[error("no usable authentication scheme from {host}: it offers {offered}")]
    UnsupportedChallenge = "unsupported_challenge" {
        /// Who.
        host: String,
        /// The schemes.
        offered: String,
    }
    /// A redirect, realm or upload location that we refuse to follow.
    #[error("refused to go to {target}: {reason}")]
    ForbiddenTarget = "forbidden_target" {
        /// Its origin.
        target: String,
        /// Why.
        reason: String,
    }
    /// Too many redirects, or a loop.
    #[error("redirect loop from {host}")]
    RedirectLoop = "redirect_loop" {
        /// Who began it.
        host: String,
    }
    /// No connection could be made, or it broke too often.
    #[error("connection to {host} failed: {reason}")]
    ConnectionFailed = "connection_failed" {
        /// Who.
        host: String,
        /// `dns`, `refused`, `tls`, `reset`, `ended`, `http2`, `unknown`, …
        reason: &'static str,
        /// The transport's own words.
        detail: Option<String>,
    }
    /// Nothing came for too long, too often.
    #[error("{host} stalled: {what}")]
    TimedOut = "timed_out" {
        /// Who.
        host: String,
        /// What was waited for.
        what: &'static str,
    }
    /// The certificate is not trusted.
    #[error("the certificate of {host} is not trusted")]
    UntrustedCertificate = "untrusted_certificate" {
        /// Who.
        host: String,
        /// The transport's own words.
        detail: Option<String>,
    }
    /// The caller stopped it.
    #[error("cancelled")]
    Cancelled = "cancelled" {}
    /// The disk is full.
    #[error("no space left{}", Room(*needed, *available))]
    NoSpace = "no_space" {
        /// What it would take, or 0 where that is not known.
        needed: u64,
        /// What there is, where that is known.
        available: Option<u64>,
    }
    /// Reading or writing locally failed.
    #[error("{operation} failed: {reason}")]
    LocalIo = "local_io" {
        /// What was tried.
        operation: &'static str,
        /// The system's own words.
        reason: String,
    }
    /// Not allowed by the local system.
    #[error("{operation} not permitted: {reason}")]
    PermissionDenied = "permission_denied" {
        /// What was tried.
        operation: &'static str,
        /// The system's own words.
        reason: String,
    }
    /// Something is there already, and must not be overwritten.
    #[error("{what} exists already")]
    AlreadyExists = "already_exists" {
        /// It.
        what: String,
    }
    /// Another process uses it.
    #[error("{what} is in use by another process")]
    Busy = "busy" {
        /// It.
        what: String,
    }
    /// Offline, and not in the store.
    #[error("{what} is not in the local store, and nothing may be fetched")]
    Offline = "offline" {
        /// It.
        what: String,
    }
    /// A compressed stream that cannot be decoded.
    #[error("corrupt {format} data: {reason}")]
    CorruptStream = "corrupt_stream" {
        /// `gzip`, `zstd`, …
        format: &'static str,
        /// What is wrong.
        reason: String,
    }
    /// A compression that nobody here can decode.
    #[error("compression `{format}` is not supported")]
    UnsupportedCompression = "unsupported_compression" {
        /// It.
        format: String,
    }
    /// A tar that cannot be read, or only in more than one way (L1, L11, L18, L21, L22).
    #[error("invalid tar: {reason}")]
    InvalidTar = "invalid_tar" {
        /// What is wrong.
        reason: String,
    }
    /// A name or link that climbs above the root (L1), or loops (L3).
    #[error("invalid path `{path}`: {reason}")]
    InvalidPath = "invalid_path" {
        /// It, escaped.
        path: String,
        /// What is wrong.
        reason: String,
    }
    /// A hard link to nothing, to itself or to a directory (L12).
    #[error("hard link to `{target}`: {reason}")]
    InvalidHardLink = "invalid_hard_link" {
        /// Its target, escaped.
        target: String,
        /// What is wrong.
        reason: String,
    }
    /// The config and the layers do not agree (L23).
    #[error("the config lists {diff_ids} diff_ids for {layers} layers")]
    LayerCountMismatch = "layer_count_mismatch" {
        /// Of the config.
        diff_ids: u64,
        /// Of the manifest.
        layers: u64,
    }
    /// The file system that a tree is to be written to cannot hold it (L28).
    #[error("the file system there cannot hold {what}")]
    UnsupportedByTarget = "unsupported_by_target" {
        /// What of it, with the first paths of each kind.
        what: String,
    }
    /// A path that an image does not have.
    #[error("there is no `{path}` in the image")]
    PathNotFound = "path_not_found" {
        /// What was asked for, escaped.
        path: String,
        /// The directory that its way led to, escaped.
        nearest: String,
        /// A path that is there and looks alike, escaped.
        similar: Option<String>,
    }
    /// A path of an image that is no regular file, where one is needed.
    #[error("`{path}` is {what}, not a file")]
    NotAFile = "not_a_file" {
        /// It, escaped.
        path: String,
        /// `a directory`, `a device`, `a FIFO`.
        what: &'static str,
    }
    /// An option or a combination of options that makes no sense.
    #[error("{reason}")]
    InvalidOption = "invalid_option" {
        /// Why.
        reason: String,
    }
    /// A file of settings that cannot be read, or says what makes no sense. The place has its path.
    #[error("invalid settings: {reason}")]
    InvalidSettings = "invalid_settings" {
        /// What is wrong.
        reason: String,
    }
    /// The user's settings forbid this registry or repository (`blocked` in registries.conf).
    #[error("`{name}` is blocked by the rule for `{prefix}` in {file}")]
    RegistryBlocked = "registry_blocked" {
        /// What was to be asked, `host/repository`.
        name: String,
        /// The prefix of the rule that forbids it.
        prefix: String,
        /// The file that has the rule.
        file: String,
    }
    /// A short name that may stand for several images.
    #[error("`{name}` may be any of {candidates}")]
    AmbiguousName = "ambiguous_name" {
        /// As it was given.
        name: String,
        /// What it may be, comma-separated.
        candidates: String,
        /// The file that says so.
        file: String,
    }
    /// A pattern for paths that cannot be read.
    #[error("invalid pattern `{pattern}`: {reason} (at byte {at})")]
    InvalidPattern = "invalid_pattern" {
        /// What was given, escaped; its beginning if it is long.
        pattern: String,
        /// What is wrong with it.
        reason: String,
        /// Where, counted from 0.
        at: u64,
    }
    /// A map of owners that cannot be read, or makes no sense.
    #[error("invalid id map `{input}`: {reason}")]
    InvalidIdMap = "invalid_id_map" {
        /// The range that is wrong.
        input: String,
        /// What is wrong with it.
        reason: String,
    }
    /// An owner or a group that the map of owners does not cover.
    #[error("{what} {id} is in no range of the {what} map")]
    UnmappedId = "unmapped_id" {
        /// `uid` or `gid`.
        what: &'static str,
        /// The number in the image.
        id: u64,
    }
    /// Two images that come to one name where they are imported.
    #[error("`{name}` is the name of {}", Both(first, second))]
    NameConflict = "name_conflict" {
        /// The name.
        name: String,
        /// The file or directory of one.
        first: String,
        /// That of the other, which may be the same.
        second: String,
    }
    /// A name that nothing could be listed under.
    #[error("`{name}` cannot be the name of an image: {reason}")]
    UnusableName = "unusable_name" {
        /// It, escaped.
        name: String,
        /// What is wrong with it.
        reason: String,
    }
    /// A name of a transport that is known and not supported.
    #[error("transport `{transport}` is not supported: {reason}")]
    UnsupportedTransport = "unsupported_transport" {
        /// It.
        transport: String,
        /// Why.
        reason: String,
    }
    /// A credential helper, credential file or the like that does not work.
    #[error("credentials from {source_name}: {reason}")]
    CredentialSource = "credential_source" {
        /// Which.
        source_name: String,
        /// What is wrong.
        reason: String,
    }
    /// An invariant of ours that did not hold. Please report it.
    #[error("internal error: {reason}")]
    Internal = "internal" {
        /// What.
        reason: String,
    }
}

/// What it would take and what there is, as far as either is known.
struct Room(u64, Option<u64>);

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 {
            write!(f, ": {} needed", Bytes(self.0))?;
        }
        match self.1 {
            Some(available) => write!(f, "{} {} free", if self.0 > 0 { "," } else { ":" }, Bytes(available)),
            None => Ok(()),
        }
    }
}

/// Where the two images of one name are.
struct Both<'b>(&'b str, &'b str);

impl fmt::Display for Both<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == self.1 {
            write!(f, "two images in {}", self.0)
        } else {
            write!(f, "an image in {} and of another in {}", self.0, self.1)
        }
    }
}

trait IntoFact {
    fn fact(&self) -> Option<Fact>;
}
impl IntoFact for String {
    fn fact(&self) -> Option<Fact> {
        Some(Fact::Text(self.clone()))
    }
}
impl IntoFact for &'static str {
    fn fact(&self) -> Option<Fact> {
        Some(Fact::Text((*self).to_owned()))
    }
}
impl IntoFact for Digest {
    fn fact(&self) -> Option<Fact> {
        Some(Fact::Text(self.to_string()))
    }
}
impl IntoFact for u64 {
    fn fact(&self) -> Option<Fact> {
        Some(Fact::Number(*self))
    }
}
impl IntoFact for u16 {
    fn fact(&self) -> Option<Fact> {
        Some(Fact::Number(u64::from(*self)))
    }
}
impl IntoFact for bool {
    fn fact(&self) -> Option<Fact> {
        Some(Fact::Text((if *self { "true" } else { "false" }).to_owned()))
    }
}
impl IntoFact for Duration {
    fn fact(&self) -> Option<Fact> {
        Some(Fact::Span(*self))
    }
}
impl<T: IntoFact> IntoFact for Option<T> {
    fn fact(&self) -> Option<Fact> {
        self.as_ref().and_then(IntoFact::fact)
    }
}

impl Error {
    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Where.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// The stable `snake_case` name of the kind.
    pub fn code(&self) -> &'static str {
        self.0.kind.code()
    }

    /// Whether the fault lies inside the bytes that were read: not with this machine, not with who stopped the work, and
    /// not in that they are other bytes than their digest or size says.
    ///
    /// Who meets such a fault in a blob reads the blob to its end before he tells of it: bytes that are not the right
    /// ones can be wrong in any way, so that a digest or size that does not hold comes first (L23).
    pub fn is_content(&self) -> bool {
        !matches!(
            self.0.kind,
            ErrorKind::Cancelled { .. }
                | ErrorKind::NoSpace { .. }
                | ErrorKind::LocalIo { .. }
                | ErrorKind::PermissionDenied { .. }
                | ErrorKind::DigestMismatch { .. }
                | ErrorKind::SizeMismatch { .. }
        )
    }

    /// What the user can do, where there is something: one sentence without the word `hint`.
    pub fn hint(&self) -> Option<String> {
        match self.0.kind {
            // What registries hide has nothing to do with a file that is not there.
            ErrorKind::NotFound { .. } if self.0.place.path.is_some() => None,
            _ => self.0.kind.hint(),
        }
    }

    /// Fills in parts of the place that are not known yet; what is known already is kept.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        let known = &mut self.0.place;
        known.image = known.image.take().or(place.image);
        known.blob = known.blob.take().or(place.blob);
        known.layer = known.layer.or(place.layer);
        known.entry = known.entry.take().or(place.entry);
        known.byte = known.byte.or(place.byte);
        known.url = known.url.take().or(place.url);
        known.path = known.path.take().or(place.path);
        self
    }

    /// [`Error::at`] with the image alone.
    #[must_use]
    pub fn in_image(self, image: impl Into<String>) -> Self {
        self.at(Place { image: Some(image.into()), ..Place::default() })
    }

    /// The same with nothing said of the image: for a caller that knows it by another name.
    #[must_use]
    pub fn without_image(mut self) -> Self {
        self.0.place.image = None;
        self
    }

    /// [`Error::at`] with the blob alone.
    #[must_use]
    pub fn in_blob(self, blob: Digest) -> Self {
        self.at(Place { blob: Some(blob), ..Place::default() })
    }

    /// [`Error::at`] with the local path alone.
    #[must_use]
    pub fn at_path(self, path: impl Into<String>) -> Self {
        self.at(Place { path: Some(path.into()), ..Place::default() })
    }

    /// [`Error::at`] with the byte position alone.
    #[must_use]
    pub fn at_byte(self, byte: u64) -> Self {
        self.at(Place { byte: Some(byte), ..Place::default() })
    }
}

impl ErrorKind {
    /// What the user can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            ErrorKind::PlatformNotFound { .. } => "choose one of these with --platform os/arch[/variant]",
            ErrorKind::Unauthorized { with_credentials: false, .. } => {
                "registries also answer so for a repository that does not exist: check the name, or use `wharfie login`"
            }
            ErrorKind::Unauthorized { with_credentials: true, .. } => {
                "`wharfie auth explain IMAGE` shows which credentials were tried"
            }
            ErrorKind::Denied { with_credentials: false, .. } => {
                "registries also answer so for a repository that does not exist: check the name, or use `wharfie login`"
            }
            ErrorKind::Denied { .. } => {
                "the account may lack the right to this repository, or it may not exist: `wharfie auth explain IMAGE` shows what was tried"
            }
            ErrorKind::NotFound { .. } => {
                "check the name and the tag; some registries answer so for a private repository too"
            }
            ErrorKind::RateLimited { .. } => "log in to get a higher limit, or wait and try again",
            ErrorKind::NoSpace { .. } => {
                "free some space, or choose another disk (--output, --store, --temp-dir); a pull goes on from where it was"
            }
            ErrorKind::Offline { .. } => "leave out --offline or `--pull never` to have it fetched",
            ErrorKind::PermissionDenied { operation, .. } if operation.ends_with("the store") => {
                "name another place for the store with --store DIR"
            }
            ErrorKind::UnsupportedByTarget { .. } => {
                "unpack to another file system, or choose: --on-unsupported skip leaves out what cannot be held, rename gives it names that can"
            }
            ErrorKind::PermissionDenied { operation: "unpacking with the image's owners", .. } => {
                "--rootless leaves them to you and records them in extended attributes; --uid-map and --gid-map map them"
            }
            ErrorKind::AlreadyExists { .. } => "name a directory that is empty or not there yet",
            ErrorKind::Busy { .. } => "try again when it has ended",
            ErrorKind::UntrustedCertificate { .. } => {
                "give the registry's own CA with --ca FILE, or use --insecure if you accept the risk"
            }
            ErrorKind::LimitExceeded { .. } => "raise it only if you trust where the image comes from",
            ErrorKind::DigestMismatch { .. } | ErrorKind::SizeMismatch { .. } => {
                "a proxy or a cache on the way, or the registry itself, serves other bytes than were pushed; nothing of them was kept"
            }
            ErrorKind::DiffIdMismatch { .. } => {
                "whoever built the image made a config that does not fit its layers: it has to be built again"
            }
            ErrorKind::ConnectionFailed { reason: "tls", .. } => {
                "if the registry speaks plain http, use --insecure"
            }
            ErrorKind::ConnectionFailed { reason: "refused" | "dns" | "unreachable", .. } => {
                "check the registry's name and port, this machine's network and its proxy settings"
            }
            ErrorKind::ConnectionFailed { reason: "unknown", detail: None, .. } => {
                "a page is not told why: the registry may be out of reach, or allow no other origins (CORS); `wharfie save IMAGE -o FILE` fetches the image, and the file can be opened here"
            }
            ErrorKind::ConnectionFailed { .. } | ErrorKind::TimedOut { .. } => {
                "try again: what was fetched is kept, and the next run goes on from there"
            }
            ErrorKind::InvalidIdMap { .. } => "a range is CONTAINER:HOST:SIZE, as in 0:100000:65536",
            ErrorKind::UnmappedId { what: "uid", .. } => {
                "cover it with another range: --uid-map CONTAINER:HOST:SIZE"
            }
            ErrorKind::UnmappedId { .. } => "cover it with another range: --gid-map CONTAINER:HOST:SIZE",
            ErrorKind::AmbiguousName { file, .. } => {
                return Some(format!(
                    "name the registry too, or give the name an alias in registries.conf: {file} has several `unqualified-search-registries`, and `short-name-mode` does not let them be tried in turn"
                ));
            }
            ErrorKind::RegistryBlocked { .. } => {
                "if it is not meant, change that file, or leave it out with --no-registries-conf"
            }
            ErrorKind::PathNotFound { similar: Some(similar), .. } => {
                return Some(format!("did you mean `{similar}`?"));
            }
            ErrorKind::PathNotFound { nearest, .. } => {
                return Some(format!(
                    "`{nearest}` is there: `wharfie ls IMAGE {nearest}` shows what it holds"
                ));
            }
            ErrorKind::NotAFile { what: "a directory", path } => {
                return Some(format!("`wharfie ls IMAGE {path}` shows what it holds"));
            }
            ErrorKind::NameConflict { first, second, .. } if first == second => {
                "no tool could tell them apart: have one of them renamed where the file is made"
            }
            ErrorKind::NameConflict { .. } => {
                "move one of them out of the folder; `wharfie load -i FILE --name NAME` loads it under another name"
            }
            ErrorKind::UnusableName { .. } => {
                "rename the file, or name its image: `wharfie load -i FILE --name NAME`"
            }
            ErrorKind::Internal { .. } => {
                "this is a bug in Wharfie: please report it with the command that you ran"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Error(Box::new(Inner { kind, place: Place::default() }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.kind)?;
        let mut sep = " (";
        let mut part = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            let done = write!(f, "{sep}{name} {value}");
            sep = ", ";
            done
        };
        let place = &self.0.place;
        if let Some(image) = &place.image {
            part(f, "image", image)?;
        }
        if let Some(layer) = place.layer {
            part(f, "layer", &layer)?;
        }
        if let Some(blob) = &place.blob {
            part(f, "blob", blob)?;
        }
        if let Some(entry) = &place.entry {
            // An empty name would not be seen.
            part(f, "entry", &Name(if entry.is_empty() { b"/" } else { entry }))?;
        }
        if let Some(byte) = place.byte {
            part(f, "byte", &byte)?;
        }
        if let Some(url) = &place.url {
            part(f, "url", url)?;
        }
        if let Some(path) = &place.path {
            part(f, "path", path)?;
        }
        if sep == ", " { write!(f, ")") } else { Ok(()) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", &self.0.kind).field("place", &self.0.place).finish()
    }
}

impl core::error::Error for Error {}

/// A driver's bug: a call that the contract does not allow at this point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("misuse of a machine: {0}")]
pub struct Misuse(pub &'static str);
