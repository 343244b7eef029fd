//! Docker's daemon, with a folder and a socket of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::tools;

/// A running daemon without networks; it ends, and its folder goes, when it is dropped.
#[derive(Debug)]
pub struct Docker {
    child: Child,
    folder: TempDir,
}

impl Docker {
    /// Starts one; `None`, said loudly for the test `what`, where it is not installed or this machine does not let it run.
    pub fn start(what: &str) -> Option<Self> {
        if !tools::root(what) || !tools::have(what, &["dockerd", "docker", "containerd"]) {
            return None;
        }
        let folder = TempDir::new().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let log = fs::File::create(path("log")).expect("a log file");
        let mut child = tools::command("dockerd")
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .arg("--host")
            .arg(format!("unix://{}", path("socket").display()))
            // Nothing here is run, and a machine under test keeps its networks to itself.
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            // Whole copies: it works on every file system, an overlay too.
            .args(["--storage-driver", "vfs"])
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log)
            .spawn()
            .expect("dockerd starts");
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let answers = Command::new("docker")
                .arg("--host")
                .arg(format!("unix://{}", path("socket").display()))
                .arg("version")
                .stdin(Stdio::null())
                .output()
                .is_ok_and(|output| output.status.success());
            if answers {
                return Some(Self { child, folder });
            }
            let gone = child.try_wait().is_ok_and(|status| status.is_some());
            if gone || Instant::now() > deadline {
                let said = fs::read_to_string(path("log")).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(3).collect();
                drop(child.kill());
                drop(child.wait());
                tools::skip(what, &format!("dockerd does not start here: {}", last.join(" | ")));
                return None;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A `docker` command that asks this daemon.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tools::command("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket().display())).args(arguments);
        command
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // Politely, so that its containerd ends with it.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if Instant::now() > deadline {
                drop(self.child.kill());
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(self.child.wait());
    }
}
