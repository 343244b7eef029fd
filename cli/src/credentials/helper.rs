//! The credential helper protocol: a program `docker-credential-NAME` that takes a verb as its argument, a server's
//! name on standard input and answers in JSON on standard output (docker-credential-helpers, README).

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wharfie_core::client::Credentials;

use super::file;

/// A helper may ask a keyring that asks the user: long, but not for ever.
const PATIENCE: Duration = Duration::from_secs(60);
/// What it has said is there when it ends. Something that it started (an agent) may keep the pipe open for good.
const GRACE: Duration = Duration::from_secs(1);
/// No honest answer is longer.
const ANSWER: u64 = 1 << 20;

/// One helper, by the name that files give it.
#[derive(Clone, Debug)]
pub struct Helper {
    name: String,
    path: Option<OsString>,
}

/// What a helper could not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelperFailure {
    /// It has nothing for this server: no failure at all.
    NotFound,
    /// There is no such program.
    Missing,
    /// It failed, in its own words.
    Broken(String),
}

impl Helper {
    /// The helper `docker-credential-NAME`, looked up in `path` (the variable's value).
    pub fn new(name: &str, path: Option<OsString>) -> Helper {
        Helper { name: name.to_owned(), path }
    }

    /// The program's name.
    pub fn program(&self) -> String {
        format!("docker-credential-{}", self.name)
    }

    /// What it has for this registry.
    ///
    /// # Errors
    /// As [`HelperFailure`] says.
    pub fn find(&self, registry: &str) -> Result<Credentials, HelperFailure> {
        let answer = self.run("get", file::server_key(registry).as_bytes())?;
        let broken = || HelperFailure::Broken("its answer is no credentials".to_owned());
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| broken())?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).ok_or_else(broken);
        let (user, secret) = (text("Username")?, text("Secret")?);
        // Some helpers answer so for a server that they do not know.
        if user.is_empty() && secret.is_empty() {
            return Err(HelperFailure::NotFound);
        }
        Ok(file::credentials(user, secret))
    }

    /// Gives it credentials to keep.
    ///
    /// # Errors
    /// As [`HelperFailure`] says.
    pub fn keep(&self, registry: &str, credentials: &Credentials) -> Result<(), HelperFailure> {
        let (user, secret) = match credentials {
            Credentials::Basic { user, password } => (user.as_str(), password.reveal()),
            Credentials::RefreshToken(token) => ("<token>", token.reveal()),
            _ => return Err(HelperFailure::Broken("it keeps no bearer tokens".to_owned())),
        };
        let message = json!({"ServerURL": file::server_key(registry), "Username": user, "Secret": secret});
        self.run("store", message.to_string().as_bytes()).map(drop)
    }

    /// Has it forget a registry.
    ///
    /// # Errors
    /// As [`HelperFailure`] says.
    pub fn forget(&self, registry: &str) -> Result<(), HelperFailure> {
        self.run("erase", file::server_key(registry).as_bytes()).map(drop)
    }

    fn run(&self, verb: &str, input: &[u8]) -> Result<Vec<u8>, HelperFailure> {
        // A name with a slash would run a program of whoever wrote the file, anywhere on the disk.
        if self.name.contains(['/', '\\']) || self.name.is_empty() {
            return Err(HelperFailure::Broken("its name is no plain name".to_owned()));
        }
        let program = self.locate().ok_or(HelperFailure::Missing)?;
        let mut child = Command::new(program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| HelperFailure::Broken(error.to_string()))?;
        // A helper that answers without reading closes the pipe: no failure of ours.
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input);
        }
        let answer = reader(child.stdout.take());
        let complaint = reader(child.stderr.take());
        let status = wait(&mut child).map_err(HelperFailure::Broken)?;
        let answer = collect(&answer);
        if status.success() {
            return Ok(answer);
        }
        let complaint = collect(&complaint);
        let said = [answer, complaint].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        if said.iter().any(|said| said.contains("credentials not found")) {
            return Err(HelperFailure::NotFound);
        }
        let said = said.into_iter().find(|said| !said.is_empty()).unwrap_or_else(|| status.to_string());
        let line: String =
            said.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
        Err(HelperFailure::Broken(line))
    }

    fn locate(&self) -> Option<PathBuf> {
        let program = if cfg!(windows) { self.program() + ".exe" } else { self.program() };
        std::env::split_paths(self.path.as_ref()?)
            .map(|folder| folder.join(&program))
            .find(|file| file.is_file())
    }
}

fn reader(pipe: Option<impl std::io::Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (said, heard) = channel();
    std::thread::spawn(move || {
        let Some(mut pipe) = pipe.map(|pipe| pipe.take(ANSWER)) else { return };
        let mut piece = vec![0; 8192];
        while let Ok(n @ 1..) = pipe.read(&mut piece) {
            if said.send(piece[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    heard
}

/// All that a program said that has ended.
fn collect(heard: &Receiver<Vec<u8>>) -> Vec<u8> {
    let until = Instant::now() + GRACE;
    let mut bytes = Vec::new();
    while let Ok(piece) = heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
        bytes.extend(piece);
    }
    bytes
}

fn wait(child: &mut Child) -> Result<std::process::ExitStatus, String> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if started.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no answer within {} seconds", PATIENCE.as_secs()));
            }
            Ok(None) => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}
