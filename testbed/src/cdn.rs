//! The other origin that a registry redirects blobs to: signed URLs that expire, and no patience for credentials.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::registry::blob_path;
use crate::server::{After, Request, Response, Server, lock, reason};

/// One request to the other origin.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The path and query.
    pub target: String,
    /// The `Range` field.
    pub range: Option<String>,
    /// Whether it carried `Authorization`: a leak.
    pub leaked: bool,
    /// The status of the answer.
    pub status: u16,
}

/// The running origin: serves the blobs of a registry's store, by URLs that it signs.
#[derive(Debug)]
pub struct Cdn {
    server: Server,
    origin: Instant,
    fetched: Arc<Mutex<Vec<Fetched>>>,
}

impl Cdn {
    /// Serves the blobs below `data` ([`crate::registry::Registry::data`]). A body stops after `cut` bytes, if given.
    pub fn start(data: PathBuf, cut: Option<u64>) -> Self {
        let origin = Instant::now();
        let fetched = Arc::new(Mutex::new(Vec::new()));
        let server = Server::start({
            let fetched = Arc::clone(&fetched);
            move |request, stream| {
                let plan = plan(&data, origin, request);
                let leaked = request.header("authorization").is_some();
                let status = plan.as_ref().map_or_else(
                    |refused| refused.status,
                    |(_, range, _)| {
                        if range.is_some() { 206 } else { 200 }
                    },
                );
                lock(&fetched).push(Fetched {
                    target: request.target.clone(),
                    range: request.header("range").map(str::to_owned),
                    leaked,
                    status,
                });
                let (mut file, range, size) = match plan {
                    Ok(found) => found,
                    Err(refused) => {
                        refused.send(request, stream)?;
                        return Ok(After::Keep);
                    }
                };
                let (from, to) = range.unwrap_or((0, size));
                let mut head =
                    format!("HTTP/1.1 {status} {}\r\nContent-Length: {}\r\n", reason(status), to - from);
                if range.is_some() {
                    head.push_str(&format!("Content-Range: bytes {from}-{}/{size}\r\n", to - 1));
                }
                head.push_str("\r\n");
                stream.write_all(head.as_bytes())?;
                if request.method == "HEAD" {
                    return Ok(After::Keep);
                }
                file.seek(SeekFrom::Start(from))?;
                let send = cut.map_or(to - from, |cut| cut.min(to - from));
                std::io::copy(&mut file.take(send), stream)?;
                Ok(if send == to - from { After::Keep } else { After::Close })
            }
        });
        Self { server, origin, fetched }
    }

    /// A URL for a blob that works for `lives` from now.
    pub fn url(&self, digest: &str, lives: Duration) -> String {
        self.signer()(digest, lives)
    }

    /// The same as a function that outlives the borrow: proxies' plans take it.
    pub fn signer(&self) -> impl Fn(&str, Duration) -> String + Send + Sync + 'static {
        let (address, origin) = (self.server.address(), self.origin);
        move |digest, lives| {
            let until = (origin.elapsed() + lives).as_millis();
            format!("http://{address}/blob/{digest}?until={until}&signature={}", signature(digest, until))
        }
    }

    /// Every request so far.
    pub fn fetched(&self) -> Vec<Fetched> {
        lock(&self.fetched).clone()
    }
}

/// Not a secret: only has to notice a URL that was put together by somebody else.
fn signature(digest: &str, until: u128) -> u32 {
    crc32fast::hash(format!("{digest} {until}").as_bytes())
}

type Plan = (File, Option<(u64, u64)>, u64);

fn plan(data: &std::path::Path, origin: Instant, request: &Request) -> Result<Plan, Response> {
    if request.header("authorization").is_some() {
        // The words of S3 to those who send it a registry's token.
        let body =
            "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>";
        return Err(Response::new(400).body("application/xml", body));
    }
    let denied =
        |why: &str| Response::new(403).body("application/xml", format!("<Error><Code>{why}</Code></Error>"));
    let digest = request.path().strip_prefix("/blob/").ok_or_else(|| Response::new(404))?;
    let until: u128 = request.query("until").pop().and_then(|it| it.parse().ok()).unwrap_or_default();
    let signed = request.query("signature").pop();
    if signed != Some(signature(digest, until).to_string()) {
        return Err(denied("SignatureDoesNotMatch"));
    }
    if origin.elapsed().as_millis() > until {
        return Err(denied("AccessDenied"));
    }
    let file = File::open(blob_path(data, digest)).map_err(|_| Response::new(404))?;
    let size = file.metadata().map_err(|_| Response::new(500))?.len();
    let range = match request.range() {
        None => None,
        Some((from, _)) if from >= size => {
            return Err(Response::new(416).header("Content-Range", format!("bytes */{size}")));
        }
        Some((from, to)) => Some((from, to.map_or(size, |to| (to + 1).min(size)))),
    };
    Ok((file, range, size))
}
