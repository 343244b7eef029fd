//! A CONNECT proxy: behind it a registry on loopback has a name of the world, with nothing of loopback's exemptions.

use std::io;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use crate::server::{After, Response, Server, lock};

/// The name that leads to the registry. No resolver knows it.
pub const HOST: &str = "registry.wharf.test";

/// The running proxy.
#[derive(Debug)]
pub struct Tunnel {
    server: Server,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// Leads `CONNECT registry.wharf.test:443` to `target`, and refuses everything else.
    pub fn start(target: SocketAddr) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let server = Server::start({
            let asked = Arc::clone(&asked);
            move |request, stream| {
                lock(&asked).push(format!("{} {}", request.method, request.target));
                if request.method != "CONNECT" || request.target != format!("{HOST}:443") {
                    Response::new(403).send(request, stream)?;
                    return Ok(After::Close);
                }
                let mut registry = TcpStream::connect(target)?;
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
                let mut back = (registry.try_clone()?, stream.try_clone()?);
                let thread = std::thread::spawn(move || -> io::Result<()> {
                    io::copy(&mut back.0, &mut back.1)?;
                    back.1.shutdown(Shutdown::Both)
                });
                // A client speaks only after the answer, so nothing of its TLS was read with the request.
                drop(io::copy(stream, &mut registry));
                drop(registry.shutdown(Shutdown::Both));
                drop(thread.join());
                Ok(After::Close)
            }
        });
        Self { server, asked }
    }

    /// Its URL, for `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Every request so far: method and target.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }
}
