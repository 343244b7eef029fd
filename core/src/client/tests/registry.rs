//! A registry in memory, with its token server and a blob store that it may redirect to: what a client may meet, and a
//! strict eye on what the client sends.

use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use crate::client::{Reach, Request, RequestBody};
use crate::digest::Digest;
use crate::http::{Method, RequestedRange, decode_basic};

pub(super) const HOST: &str = "registry.example";
pub(super) const AUTH: &str = "auth.example";
pub(super) const CDN: &str = "cdn.example";
pub(super) const USER: &str = "me";
pub(super) const PASSWORD: &str = "hunter2";

/// A response, whole.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        let body = body.into();
        let headers = [("Content-Length".to_string(), body.len().to_string())].to_vec();
        Reply { status, headers, body }
    }

    #[allow(clippy::needless_pass_by_value)] // Names are easier to give so.
    pub(super) fn with(mut self, name: &str, value: impl ToString) -> Reply {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_string(), value.to_string()));
        self
    }

    pub(super) fn error(status: u16, code: &str) -> Reply {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"no","detail":null}}]}}"#);
        Reply::new(status, body).with("Content-Type", "application/json")
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Auth {
    Open,
    /// As ECR: every request carries user and password.
    Basic,
    /// Tokens that live so long, in milliseconds.
    Bearer {
        lives: u64,
        anonymous: bool,
    },
}

/// How this registry behaves.
#[derive(Clone, Debug)]
pub(super) struct Manners {
    pub(super) auth: Auth,
    /// Blobs are redirected to a store whose URLs live so long, in milliseconds.
    pub(super) cdn: Option<u64>,
    pub(super) ranges: bool,
    pub(super) head: bool,
    pub(super) says_digest: bool,
    /// Every n-th request is answered with 429 or 503.
    pub(super) busy: Option<(u64, u16)>,
    pub(super) plain: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Manners {
            auth: Auth::Open,
            cdn: None,
            ranges: true,
            head: true,
            says_digest: true,
            busy: None,
            plain: false,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) manners: Manners,
    /// Documents by tag and digest, with their media types.
    pub(super) manifests: BTreeMap<String, (String, Vec<u8>)>,
    /// Digests that a document answers to, where that is not the hash of its bytes.
    pub(super) digests: BTreeMap<String, Digest>,
    pub(super) blobs: BTreeMap<Digest, Vec<u8>>,
    pub(super) tags: Vec<String>,
    tokens: BTreeMap<String, u64>,
    pub(super) requests: u64,
    /// `METHOD host/path` of each request.
    pub(super) log: Vec<String>,
    pub(super) token_requests: u64,
    /// What it takes; a registry that pulls only has none.
    pub(super) intake: Option<super::intake::Intake>,
}

impl Registry {
    pub(super) fn new(manners: Manners) -> Registry {
        Registry { manners, ..Registry::default() }
    }

    pub(super) fn add_blob(&mut self, bytes: impl Into<Vec<u8>>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        self.blobs.insert(digest, bytes);
        digest
    }

    pub(super) fn add_manifest(&mut self, tag: Option<&str>, kind: &str, text: &str) -> Digest {
        let digest = Digest::sha256(text.as_bytes());
        let entry = (kind.to_string(), text.as_bytes().to_vec());
        if let Some(tag) = tag {
            self.manifests.insert(tag.to_string(), entry.clone());
        }
        self.manifests.insert(digest.to_string(), entry);
        digest
    }

    pub(super) fn count(&self, start: &str) -> usize {
        self.log.iter().filter(|line| line.starts_with(start)).count()
    }

    /// Answers one request; panics where the client does what no client may. The body may have broken off.
    pub(super) fn answer(&mut self, now: u64, request: &Request, body: &[u8]) -> Reply {
        self.requests += 1;
        let url = &request.url;
        self.log.push(format!("{} {}{}", request.method, url.host(), url.path()));
        assert_eq!(request.headers.one("accept-encoding"), Some("identity"));
        assert!(request.headers.one("user-agent").is_some_and(|agent| agent.starts_with("wharfie/")));
        let busy = self.manners.busy.filter(|(every, _)| self.requests.is_multiple_of(*every));
        if let Some((_, status)) = busy {
            let reply = Reply::error(status, "TOOMANYREQUESTS");
            return if self.requests.is_multiple_of(2) { reply.with("Retry-After", "3") } else { reply };
        }
        match url.host() {
            HOST | "localhost" => self.registry(now, request, body),
            AUTH => self.token(now, request),
            CDN => self.store(now, request),
            other => panic!("a request to {other}"),
        }
    }

    fn registry(&mut self, now: u64, request: &Request, body: &[u8]) -> Reply {
        assert_eq!(request.reach, Reach::Any);
        assert_eq!(request.url.is_https(), !self.manners.plain, "{:?}", request.url);
        if let Some(refusal) = self.authorize(now, request) {
            return refusal;
        }
        if self.intake.is_some()
            && let Some(reply) = super::intake::answer(self, request, body)
        {
            return reply;
        }
        let path = request.url.path().to_string();
        if path == "/v2/" {
            return Reply::new(200, "{}");
        }
        if let Some(reference) = path.strip_prefix("/v2/team/app/manifests/") {
            return self.manifest(request, reference);
        }
        if let Some(digest) = path.strip_prefix("/v2/team/app/blobs/") {
            let Some(digest) = digest.parse::<Digest>().ok().filter(|digest| self.blobs.contains_key(digest))
            else {
                return Reply::error(404, "BLOB_UNKNOWN");
            };
            if let Some(lives) = self.manners.cdn {
                let until = now + lives;
                return Reply::new(307, "moved")
                    .with("Location", format!("https://{CDN}/store/{digest}?until={until}"));
            }
            return self.blob(request, digest);
        }
        if path == "/v2/team/app/tags/list" {
            return self.tag_list(request);
        }
        Reply::error(404, "NAME_UNKNOWN")
    }

    fn authorize(&mut self, now: u64, request: &Request) -> Option<Reply> {
        let sent = request.headers.one("authorization");
        match &self.manners.auth {
            Auth::Open => None,
            Auth::Basic => {
                let is_right = sent.and_then(|sent| sent.strip_prefix("Basic ")).is_some_and(is_us);
                let challenge = r#"Basic realm="https://x", charset="UTF-8""#;
                (!is_right).then(|| Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", challenge))
            }
            Auth::Bearer { .. } => {
                assert!(
                    !sent.is_some_and(|sent| sent.starts_with("Basic")),
                    "Basic where Bearer is asked for"
                );
                let token = sent.and_then(|sent| sent.strip_prefix("Bearer "));
                let is_good =
                    token.and_then(|token| self.tokens.get(token)).is_some_and(|until| *until > now);
                let challenge = format!(
                    r#"Negotiate, Basic realm="r", Bearer realm="https://{AUTH}/token",service="{HOST}",scope="repository:team/app:pull""#
                );
                (!is_good).then(|| Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", challenge))
            }
        }
    }

    fn token(&mut self, now: u64, request: &Request) -> Reply {
        self.token_requests += 1;
        let Auth::Bearer { lives, anonymous } = self.manners.auth else { panic!("no token server here") };
        assert_eq!(request.reach, Reach::NoLoopbackOrLinkLocal);
        let sent = request.headers.one("authorization");
        let is_known = match (request.method, sent) {
            (Method::Post, None) => {
                let RequestBody::Bytes(form) = &request.body else { panic!("an empty form") };
                let form = core::str::from_utf8(form).unwrap();
                assert!(form.contains("grant_type=refresh_token"), "{form}");
                if !form.contains("refresh_token=r3fresh") {
                    return Reply::error(401, "UNAUTHORIZED");
                }
                true
            }
            (Method::Get, Some(sent)) => {
                let query = request.url.query().unwrap_or_default();
                assert!(query.contains("scope=repository%3Ateam%2Fapp%3Apull"), "{query}");
                if !sent.strip_prefix("Basic ").is_some_and(is_us) {
                    return Reply::error(401, "UNAUTHORIZED");
                }
                true
            }
            (Method::Get, None) => false,
            other => panic!("{other:?}"),
        };
        if !is_known && !anonymous {
            return Reply::error(401, "UNAUTHORIZED");
        }
        let token = format!("token-{}", self.tokens.len());
        self.tokens.insert(token.clone(), now + lives);
        let body = match self.token_requests % 2 {
            0 => format!(r#"{{"token":"{token}","expires_in":{}}}"#, lives.div_ceil(1000)),
            _ => format!(r#"{{"access_token":"{token}","expires_in":{}}}"#, lives.div_ceil(1000)),
        };
        Reply::new(200, body).with("Content-Type", "application/json")
    }

    fn store(&mut self, now: u64, request: &Request) -> Reply {
        assert!(!request.headers.has("authorization"), "a token for a stranger");
        assert_eq!(request.reach, Reach::NoLoopbackOrLinkLocal);
        let query = request.url.query().unwrap_or_default();
        let until: u64 = query.strip_prefix("until=").unwrap().parse().unwrap();
        if until < now {
            let xml = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
            return Reply::new(403, xml).with("Content-Type", "application/xml");
        }
        let digest = request.url.path().strip_prefix("/store/").unwrap().parse().unwrap();
        self.blob(request, digest)
    }

    fn manifest(&self, request: &Request, reference: &str) -> Reply {
        if request.method == Method::Head && !self.manners.head {
            return Reply::new(405, "");
        }
        let Some((kind, bytes)) = self.manifests.get(reference) else {
            return Reply::error(404, "MANIFEST_UNKNOWN");
        };
        assert!(request.headers.one("accept").is_some_and(|accept| accept.contains("manifest")));
        let mut reply = Reply::new(200, bytes.clone()).with("Content-Type", kind);
        if self.manners.says_digest {
            let digest = self.digests.get(reference).copied().unwrap_or_else(|| Digest::sha256(bytes));
            reply = reply.with("Docker-Content-Digest", digest);
        }
        if request.method == Method::Head {
            reply.body.clear();
        }
        reply
    }

    fn blob(&self, request: &Request, digest: Digest) -> Reply {
        let bytes = self.blobs.get(&digest).unwrap();
        if request.method == Method::Head {
            let mut reply = Reply::new(200, bytes.clone()).with("Docker-Content-Digest", digest);
            reply.body.clear();
            return reply;
        }
        let size = bytes.len() as u64;
        let range = request.headers.one("range").filter(|_| self.manners.ranges);
        let Some(range) = range else { return Reply::new(200, bytes.clone()) };
        match RequestedRange::parse(range).and_then(|range| range.resolve(size)) {
            Some(range) => {
                let part = &bytes[range.first as usize..=range.last as usize];
                let stated = format!("bytes {}-{}/{size}", range.first, range.last);
                Reply::new(206, part).with("Content-Range", stated)
            }
            None => Reply::new(416, "").with("Content-Range", format!("bytes */{size}")),
        }
    }

    fn tag_list(&self, request: &Request) -> Reply {
        let query = request.url.query().unwrap_or_default();
        let field = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(ToString::to_string))
        };
        let size: usize = field("n").map_or(self.tags.len(), |n| n.parse().unwrap());
        let last = field("last").unwrap_or_default();
        let rest: Vec<&String> = self.tags.iter().filter(|tag| **tag > last).collect();
        let page: Vec<String> = rest.iter().take(size).map(|tag| format!("{tag:?}")).collect();
        let reply = Reply::new(200, format!(r#"{{"name":"team/app","tags":[{}]}}"#, page.join(",")));
        match rest.get(size.wrapping_sub(1)).filter(|_| rest.len() > size) {
            // As a registry behind a proxy that ends TLS: the wrong scheme and host.
            Some(last) => reply.with(
                "Link",
                format!(r#"<http://internal:5000/v2/team/app/tags/list?n={size}&last={last}>; rel="next""#),
            ),
            None => reply,
        }
    }
}

fn is_us(basic: &str) -> bool {
    decode_basic(basic).is_some_and(|(user, password)| user == USER && password.reveal() == PASSWORD)
}
