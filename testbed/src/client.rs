//! One plain request, to look at a server without anybody's client between.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::server::read_head;

/// An answer, as far as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The bytes of the body that came.
    pub body: Vec<u8>,
    /// Whether all came that `Content-Length` promised.
    pub whole: bool,
}

impl Answer {
    /// The first field of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Asks once, over a connection of its own. `headers` are whole lines without their ends.
///
/// # Errors
/// When there is no answer at all.
pub fn ask(address: SocketAddr, method: &str, target: &str, headers: &[&str]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for line in headers {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let (first, headers) = read_head(&mut reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse::<u64>().ok());
    let mut body = Vec::new();
    if method != "HEAD" {
        // What arrived before a reset still counts: read_to_end keeps it.
        drop(reader.take(length.unwrap_or(u64::MAX)).read_to_end(&mut body));
    }
    let whole = method == "HEAD" || length.is_none_or(|length| length == body.len() as u64);
    Ok(Answer { status, headers, body, whole })
}
