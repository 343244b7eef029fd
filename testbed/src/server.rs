//! A small HTTP/1.1 server on threads: enough for registries' clients, and bendable where a real server is not.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The largest request body that is taken: tests push no more than small layers through here.
const BODY_CAP: usize = 256 << 20;

/// One request, read to its end.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// The path and query as sent.
    pub target: String,
    /// Header fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, with its transfer coding removed.
    pub body: Vec<u8>,
}

impl Request {
    /// The first field of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Every value of a query parameter, percent-decoded.
    pub fn query(&self, name: &str) -> Vec<String> {
        self.target.split_once('?').map(|(_, query)| form(query, name)).unwrap_or_default()
    }

    /// Every value of a field of a form body, percent-decoded.
    pub fn form(&self, name: &str) -> Vec<String> {
        form(&String::from_utf8_lossy(&self.body), name)
    }

    /// `bytes=FROM-TO` as numbers; `TO` is absent in `bytes=FROM-`.
    pub fn range(&self) -> Option<(u64, Option<u64>)> {
        let (from, to) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((from.parse().ok()?, to.parse().ok()))
    }
}

fn form(text: &str, name: &str) -> Vec<String> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| percent_decoded(key) == name)
        .map(|(_, value)| percent_decoded(value))
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A whole answer.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header fields; `Content-Length` is added when sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer with no body.
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn body(self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut this = self.header("Content-Type", kind);
        this.body = body.into();
        this
    }

    /// The error body of the distribution specification, with one error.
    #[must_use]
    pub fn error(self, code: &str, message: &str) -> Self {
        let text = serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string();
        self.body("application/json", text)
    }

    /// Writes it; a `HEAD` gets the length but no body.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send(&self, request: &Request, stream: &mut TcpStream) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        stream.write_all(head.as_bytes())?;
        if request.method != "HEAD" {
            stream.write_all(&self.body)?;
        }
        stream.flush()
    }
}

/// The words after a status code; some clients show them.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

/// What happens to the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Another request may follow.
    Keep,
    /// The connection is closed in order.
    Close,
    /// The connection is reset (RST), as a dying load balancer does.
    Reset,
}

/// A server on a free port of 127.0.0.1, with one thread for each connection. All of them end when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accept: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// The open connections. One is taken out when it ends: a socket is closed, or reset, with its last handle.
    streams: Mutex<BTreeMap<u64, TcpStream>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A lock whose holder may have panicked: a failed test still shuts its servers down.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Starts answering with `service`.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start<S>(service: S) -> Self
    where
        S: Fn(&Request, &mut TcpStream) -> io::Result<After> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared::default());
        let service = Arc::new(service);
        let accept = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for (number, stream) in (0..).zip(listener.incoming()) {
                    if shared.stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let Ok(kept) = stream.try_clone() else { continue };
                    lock(&shared.streams).insert(number, kept);
                    let service = Arc::clone(&service);
                    let thread = std::thread::spawn({
                        let shared = Arc::clone(&shared);
                        move || connection(stream, &*service, || drop(lock(&shared.streams).remove(&number)))
                    });
                    lock(&shared.threads).push(thread);
                }
            }
        });
        Self { address, shared, accept: Some(accept) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the accept loop.
        drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
        if let Some(accept) = self.accept.take() {
            drop(accept.join());
        }
        for stream in lock(&self.shared.streams).values() {
            drop(stream.shutdown(Shutdown::Both));
        }
        let threads: Vec<_> = lock(&self.shared.threads).drain(..).collect();
        for thread in threads {
            drop(thread.join());
        }
    }
}

fn connection<S>(mut stream: TcpStream, service: &S, forget: impl Fn())
where
    S: Fn(&Request, &mut TcpStream) -> io::Result<After>,
{
    drop(stream.set_nodelay(true));
    let Ok(reading) = stream.try_clone() else { return forget() };
    let mut reader = BufReader::new(reading);
    while let Ok(Some(request)) = read_request(&mut reader, &mut stream) {
        match service(&request, &mut stream) {
            Ok(After::Keep) => {}
            Ok(After::Close) | Err(_) => break,
            Ok(After::Reset) => {
                drop(socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
                return forget();
            }
        }
    }
    drop(stream.shutdown(Shutdown::Both));
    forget();
}

fn read_request(reader: &mut impl BufRead, stream: &mut TcpStream) -> io::Result<Option<Request>> {
    let Some((first, headers)) = read_head(reader)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request { method: method.into(), target: target.into(), headers, body: Vec::new() };
    if request.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    request.body = read_body(reader, &request.headers, false)?;
    Ok(Some(request))
}

/// Header fields in order, names in lower case.
pub(crate) type Fields = Vec<(String, String)>;

/// Reads a start line and header fields; `None` at an orderly end of the connection.
pub(crate) fn read_head(reader: &mut impl BufRead) -> io::Result<Option<(String, Fields)>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    Ok(Some((first.trim_end().to_owned(), headers)))
}

/// Reads a body by its length or its chunks, or to the end of the connection when `to_end`.
pub(crate) fn read_body(
    reader: &mut impl BufRead,
    headers: &[(String, String)],
    to_end: bool,
) -> io::Result<Vec<u8>> {
    let field = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let mut body = Vec::new();
    if field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let len = usize::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16)
                .map_err(|_| io::ErrorKind::InvalidData)?;
            if body.len() + len > BODY_CAP {
                return Err(io::ErrorKind::InvalidData.into());
            }
            reader.by_ref().take(len as u64).read_to_end(&mut body)?;
            reader.read_line(&mut line)?;
            if len == 0 {
                return Ok(body);
            }
        }
    }
    match field("content-length").map(str::parse::<u64>) {
        Some(Ok(len)) => {
            reader.take(len).read_to_end(&mut body)?;
        }
        Some(Err(_)) => return Err(io::ErrorKind::InvalidData.into()),
        None if to_end => {
            reader.take(BODY_CAP as u64).read_to_end(&mut body)?;
        }
        None => {}
    }
    Ok(body)
}
