//! Debian's `docker-registry` (distribution 2.8.2) on loopback.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::tls::Authority;
use crate::tools;

/// How a registry is to be started.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// Users and passwords that Basic authentication takes.
    pub users: &'a [(&'a str, &'a str)],
    /// Serve over TLS with a certificate of this authority.
    pub authority: Option<&'a Authority>,
    /// Over TLS: take only clients with a certificate of this authority.
    pub clients: Option<&'a Authority>,
    /// Hold nothing of its own, and fetch what it is asked for from the registry at this URL.
    pub proxy: Option<&'a str>,
    /// Ask for the tokens of [`crate::token::TokenServer`].
    pub tokens: Option<TokenAuth>,
    /// Allow pages of other origins (CORS) to pull.
    pub origins: bool,
}

/// What a registry says to pages of other origins, below `http`.
const ORIGINS: &str = "  headers:
    Access-Control-Allow-Origin: ['*']
    Access-Control-Allow-Methods: ['HEAD', 'GET', 'OPTIONS']
    Access-Control-Allow-Headers: ['Authorization', 'Accept', 'Range']
    Access-Control-Expose-Headers: ['Docker-Content-Digest', 'WWW-Authenticate', 'Link', 'Content-Range']
";

/// Where tokens come from: `auth.token` of the registry's configuration.
#[derive(Debug, Clone)]
pub struct TokenAuth {
    /// The URL of the token server.
    pub realm: String,
    /// The audience of its tokens.
    pub service: String,
    /// Who issues them.
    pub issuer: String,
    /// The certificates (PEM) whose keys may sign them.
    pub certificates: String,
}

/// A running registry with a folder of its own; killed and cleared away when dropped.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
    tls: bool,
    authority_pem: Option<PathBuf>,
}

impl Registry {
    /// Starts one; `None`, said loudly for the test `what`, where the programs are not installed.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn start(what: &str, options: &Options<'_>) -> Option<Self> {
        let needed: &[&str] =
            if options.users.is_empty() { &["docker-registry"] } else { &["docker-registry", "htpasswd"] };
        if !tools::have(what, needed) {
            return None;
        }
        // Between finding a free port and the registry's bind somebody else may take it: try another.
        (0..5).find_map(|_| Self::attempt(options)).or_else(|| panic!("docker-registry does not start"))
    }

    fn attempt(options: &Options<'_>) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
        let mut authority_pem = None;
        let mut config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             compatibility: {{schema1: {{enabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n",
            folder.path().join("data").display()
        );
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a file in the registry's folder");
            path
        };
        config.push_str(&format!("http:\n  addr: \"{address}\"\n"));
        if let Some(authority) = options.authority {
            let pair = authority.loopback();
            let (certificate, key) = (file("tls.pem", &pair.certificate), file("tls.key", &pair.key));
            // In a folder of its own: skopeo takes every file there for a certificate or a key.
            fs::create_dir(folder.path().join("authority")).expect("a folder");
            authority_pem = Some(file("authority/ca.crt", &authority.pem()));
            let mut clients = String::new();
            if let Some(authority) = options.clients {
                let (path, pair) = (file("clients.pem", &authority.pem()), authority.loopback());
                clients = format!(", clientcas: [{}]", path.display());
                file("authority/client.cert", &pair.certificate);
                file("authority/client.key", &pair.key);
            }
            config.push_str(&format!(
                "  tls: {{certificate: {}, key: {}{clients}}}\n",
                certificate.display(),
                key.display()
            ));
        }
        if options.origins {
            config.push_str(ORIGINS);
        }
        if let Some(remote) = options.proxy {
            config.push_str(&format!("proxy: {{remoteurl: \"{remote}\"}}\n"));
        }
        if !options.users.is_empty() {
            let lines: Vec<String> = options.users.iter().map(|(user, pass)| htpasswd(user, pass)).collect();
            let path = file("htpasswd", &lines.concat());
            config.push_str(&format!("auth: {{htpasswd: {{realm: testbed, path: {}}}}}\n", path.display()));
        }
        if let Some(tokens) = &options.tokens {
            let bundle = file("tokens.pem", &tokens.certificates);
            config.push_str(&format!(
                "auth: {{token: {{realm: \"{}\", service: \"{}\", issuer: \"{}\", rootcertbundle: {}}}}}\n",
                tokens.realm,
                tokens.service,
                tokens.issuer,
                bundle.display()
            ));
        }
        let config = file("config.yml", &config);
        let log = fs::File::create(folder.path().join("log")).expect("a log file");
        let mut child = tools::command("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log)
            .spawn()
            .expect("docker-registry starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
                && child.try_wait().is_ok_and(|status| status.is_none())
            {
                let tls = options.authority.is_some();
                return Some(Self { child, folder, address, tls, authority_pem });
            }
            let gone = child.try_wait().is_ok_and(|status| status.is_some());
            if gone || Instant::now() > deadline {
                eprintln!("{}", fs::read_to_string(folder.path().join("log")).unwrap_or_default());
                drop(child.kill());
                drop(child.wait());
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `HOST:PORT/NAME`, as image references name it.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Its authority's certificate, for `--ca`.
    pub fn authority(&self) -> Option<&Path> {
        self.authority_pem.as_deref()
    }

    /// The file that holds a blob (`sha256:…`), in its store.
    pub fn blob_path(&self, digest: &str) -> PathBuf {
        blob_path(&self.data(), digest)
    }

    /// The root of its store: `docker/registry/v2/…` is below it.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A `skopeo` command that trusts this registry and needs no policy file: `arguments` follow the options of
    /// all commands.
    pub fn skopeo(&self, verb: &str) -> Command {
        let mut command = tools::command("skopeo");
        command.arg("--insecure-policy").arg(verb);
        command
    }

    /// Pushes `source` (as skopeo names it: `oci:DIR:TAG`) as `NAME:TAG`. `extra` are options of `skopeo copy`.
    ///
    /// # Panics
    /// When skopeo fails.
    pub fn push(&self, source: &str, name: &str, extra: &[&str]) {
        let mut command = self.skopeo("copy");
        command.args(extra);
        if self.tls {
            let folder =
                self.authority_pem.as_deref().and_then(Path::parent).expect("the authority's folder");
            command.arg("--dest-cert-dir").arg(folder);
        } else {
            command.arg("--dest-tls-verify=false");
        }
        command.arg(source).arg(format!("docker://{}", self.image(name)));
        tools::run(&mut command);
    }
}

/// The file that holds a blob in a store of `docker-registry`.
pub fn blob_path(data: &Path, digest: &str) -> PathBuf {
    let (algorithm, hex) = digest.split_once(':').expect("a digest");
    data.join(format!("docker/registry/v2/blobs/{algorithm}/{}/{hex}/data", &hex[..2]))
}

fn htpasswd(user: &str, password: &str) -> String {
    let output = tools::run(tools::command("htpasswd").args(["-Bbn", user, password]));
    format!("{}\n", String::from_utf8_lossy(&output.stdout).trim())
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
