//! A proxy in front of a registry that fails on demand.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::server::{After, Request, Response, Server, lock, read_body, read_head, reason};

/// What goes wrong with one request. The default is nothing.
#[derive(Debug, Clone, Default)]
pub struct Fault {
    /// Answered instead of the registry.
    pub answer: Option<Response>,
    /// The body stops after so many bytes, and the connection ends this way.
    pub cut: Option<(u64, Ending)>,
    /// The request's `Range` is not shown to the registry: it answers 200 with everything.
    pub ignore_range: bool,
    /// The lowest bit of this byte of the content is turned, in whichever part it is sent.
    pub flip: Option<u64>,
    /// Sent as `Content-Range` instead of the registry's.
    pub content_range: Option<String>,
    /// Fields that are taken out of the registry's answer (lower case).
    pub hide: Vec<&'static str>,
    /// A pause after each 64 KiB of the body.
    pub pace: Option<Duration>,
}

/// How a body that is cut ends.
#[derive(Debug, Clone, Copy)]
pub enum Ending {
    /// An orderly end of the connection (FIN), before the promised length.
    Close,
    /// A reset (RST).
    Reset,
    /// Silence for so long, then an orderly end.
    Stall(Duration),
}

impl Fault {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// Answers instead of the registry.
    pub fn answer(response: Response) -> Self {
        Self { answer: Some(response), ..Self::default() }
    }

    /// Cuts the body.
    pub fn cut(after: u64, ending: Ending) -> Self {
        Self { cut: Some((after, ending)), ..Self::default() }
    }

    /// Redirects elsewhere, as registries do with blobs.
    pub fn redirect(location: impl Into<String>) -> Self {
        Self::answer(Response::new(307).header("Location", location))
    }
}

/// What was seen before this request.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// How many requests came before, of any kind.
    pub requests: usize,
    /// How many of them had this method and path.
    pub same: usize,
    /// How many bytes of bodies went out for this path so far.
    pub bytes: u64,
}

/// One request that passed.
#[derive(Debug, Clone)]
pub struct Passed {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// The path and query.
    pub target: String,
    /// The `Range` field.
    pub range: Option<String>,
    /// The `Authorization` field's scheme; the rest is nobody's business.
    pub scheme: Option<String>,
    /// The `User-Agent` field.
    pub agent: Option<String>,
    /// The status that the client got.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub sent: u64,
}

impl Passed {
    fn new(request: &Request) -> Self {
        let scheme = request.header("authorization").and_then(|value| value.split(' ').next());
        Self {
            method: request.method.clone(),
            target: request.target.clone(),
            range: request.header("range").map(str::to_owned),
            scheme: scheme.map(str::to_owned),
            agent: request.header("user-agent").map(str::to_owned),
            status: 0,
            sent: 0,
        }
    }

    /// Whether it read a blob.
    pub fn reads_blob(&self) -> bool {
        self.method == "GET" && self.target.contains("/blobs/")
    }
}

/// The entry of one request, written while it goes on: a client may be done before the proxy's thread is.
struct Entry<'a> {
    passed: &'a Mutex<Vec<Passed>>,
    number: usize,
}

impl Entry<'_> {
    fn status(&self, status: u16) {
        lock(self.passed)[self.number].status = status;
    }

    fn send(&self, len: u64) {
        lock(self.passed)[self.number].sent += len;
    }
}

/// The running proxy.
#[derive(Debug)]
pub struct FaultProxy {
    server: Server,
    passed: Arc<Mutex<Vec<Passed>>>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: usize,
    same: BTreeMap<(String, String), usize>,
    bytes: BTreeMap<String, u64>,
}

impl FaultProxy {
    /// Starts one before `upstream` (plain HTTP). `plan` is asked about every request.
    pub fn start<P>(upstream: SocketAddr, plan: P) -> Self
    where
        P: Fn(&Request, Seen) -> Fault + Send + Sync + 'static,
    {
        let passed = Arc::new(Mutex::new(Vec::new()));
        let counts = Mutex::new(Counts::default());
        let server = Server::start({
            let passed = Arc::clone(&passed);
            move |request, stream| {
                let seen = {
                    let mut counts = lock(&counts);
                    let same =
                        counts.same.entry((request.method.clone(), request.path().to_owned())).or_default();
                    let before = *same;
                    *same += 1;
                    counts.requests += 1;
                    let bytes = counts.bytes.get(request.path()).copied().unwrap_or_default();
                    Seen { requests: counts.requests - 1, same: before, bytes }
                };
                let fault = plan(request, seen);
                let entry = Entry {
                    number: {
                        let mut passed = lock(&passed);
                        passed.push(Passed::new(request));
                        passed.len() - 1
                    },
                    passed: &passed,
                };
                let result = forward(upstream, &fault, request, stream, &entry);
                let sent = lock(&passed)[entry.number].sent;
                *lock(&counts).bytes.entry(request.path().to_owned()).or_default() += sent;
                result
            }
        });
        Self { server, passed }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `HOST:PORT/NAME`.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address())
    }

    /// Every request so far, in the order in which they came. One that is not over yet has no status, or not all of
    /// its bytes.
    pub fn passed(&self) -> Vec<Passed> {
        lock(&self.passed).clone()
    }

    /// How many requests read blobs.
    pub fn blob_reads(&self) -> usize {
        lock(&self.passed).iter().filter(|it| it.reads_blob()).count()
    }
}

fn forward(
    upstream: SocketAddr,
    fault: &Fault,
    request: &Request,
    stream: &mut TcpStream,
    entry: &Entry<'_>,
) -> io::Result<After> {
    if let Some(response) = &fault.answer {
        entry.status(response.status);
        entry.send(response.body.len() as u64);
        response.send(request, stream)?;
        return Ok(After::Keep);
    }
    let mut server = TcpStream::connect(upstream)?;
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        let hop =
            matches!(name.as_str(), "connection" | "expect" | "transfer-encoding" | "content-length" | "te");
        let hidden = fault.ignore_range && name == "range";
        if !hop && !hidden {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", request.body.len()));
    server.write_all(head.as_bytes())?;
    server.write_all(&request.body)?;
    let mut reader = BufReader::with_capacity(64 << 10, server);
    let (line, headers) = read_head(&mut reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(502);
    entry.status(status);
    let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.clone());
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in &headers {
        if matches!(name.as_str(), "connection" | "transfer-encoding" | "content-length")
            || fault.hide.contains(&name.as_str())
        {
            continue;
        }
        let value = match &fault.content_range {
            Some(other) if name == "content-range" => other,
            _ => value,
        };
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let bodiless = request.method == "HEAD" || status == 204 || status == 304;
    let Some(length) = length.and_then(|text| text.parse::<u64>().ok()) else {
        let body = if bodiless { Vec::new() } else { read_body(&mut reader, &headers, true)? };
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        stream.write_all(head.as_bytes())?;
        entry.send(body.len() as u64);
        stream.write_all(&body)?;
        return Ok(After::Keep);
    };
    head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
    stream.write_all(head.as_bytes())?;
    if bodiless {
        return Ok(After::Keep);
    }
    let end = fault.cut.map_or(length, |(after, _)| after.min(length));
    let first = if status == 206 { request.range().map_or(0, |(from, _)| from) } else { 0 };
    let mut buffer = vec![0; 64 << 10];
    let mut sent = 0;
    while sent < end {
        let want = usize::try_from(end - sent).unwrap_or(usize::MAX).min(buffer.len());
        let got = reader.read(&mut buffer[..want])?;
        if got == 0 {
            return Ok(After::Close);
        }
        if let Some(at) = fault.flip
            && (first + sent..first + sent + got as u64).contains(&at)
        {
            buffer[usize::try_from(at - first - sent).unwrap_or_default()] ^= 1;
        }
        entry.send(got as u64);
        stream.write_all(&buffer[..got])?;
        sent += got as u64;
        if let Some(pace) = fault.pace {
            stream.flush()?;
            std::thread::sleep(pace);
        }
    }
    match fault.cut {
        Some((after, ending)) if after < length => match ending {
            Ending::Close => Ok(After::Close),
            Ending::Reset => {
                // What was sent should arrive before the reset throws it away.
                std::thread::sleep(Duration::from_millis(20));
                Ok(After::Reset)
            }
            Ending::Stall(time) => {
                silence(stream, time);
                Ok(After::Close)
            }
        },
        _ => Ok(After::Keep),
    }
}

/// Says nothing for `time`, or until the client is gone.
fn silence(stream: &mut TcpStream, time: Duration) {
    drop(stream.set_read_timeout(Some(time)));
    let mut byte = [0];
    drop(stream.read(&mut byte));
    drop(stream.set_read_timeout(None));
}
