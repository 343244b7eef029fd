//! One run of `wharfie` with a home of its own, and what is to hold after it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testbed::image::digest;
use testbed::tools;

/// A home with nothing in it: no configuration, no credentials, no store.
pub(crate) struct Ship {
    home: TempDir,
    store: PathBuf,
}

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ship {
    pub(crate) fn new() -> Self {
        let home = TempDir::new().unwrap();
        let store = home.path().join("store");
        Self { home, store }
    }

    /// The same with the store somewhere else.
    pub(crate) fn with_store(store: PathBuf) -> Self {
        Self { store, ..Self::new() }
    }

    /// A path in the home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    /// `wharfie` with these arguments, in this home, with nothing of the tester's environment.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharfie"));
        command.args(arguments).current_dir(self.home.path()).stdin(Stdio::null());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home.path()).env("WHARFIE_STORE", &self.store);
        // What this machine's files say of names and mirrors is no concern of a test's.
        command.env("WHARFIE_NO_REGISTRIES_CONF", "1");
        if let Some(value) = std::env::var_os("RUST_BACKTRACE") {
            command.env("RUST_BACKTRACE", value);
        }
        command
    }

    /// Runs to the end, however it ends.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Ran {
        run(&mut self.command(arguments))
    }

    /// Runs to the end, which has to be a good one.
    pub(crate) fn ok<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Ran {
        let ran = self.run(arguments);
        let words: Vec<_> =
            arguments.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
        assert_eq!(ran.code, Some(0), "wharfie {}\n{}", words.join(" "), ran.stderr);
        ran
    }

    /// Runs to the end, which has to be a failure that says each of these.
    pub(crate) fn fails<A: AsRef<OsStr>>(&self, arguments: &[A], says: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        for word in says {
            assert!(ran.stderr.contains(word), "`{word}` is not said:\n{}", ran.stderr);
        }
        ran
    }

    /// Starts it; its error output goes to the file `stderr` of the home.
    pub(crate) fn start<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Child {
        let file = fs::File::create(self.path("stderr")).unwrap();
        self.command(arguments).stdout(Stdio::null()).stderr(file).spawn().unwrap()
    }

    /// Checks that every blob under its final name is what its name says, and gives their sizes by digest.
    pub(crate) fn sound(&self) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        let Ok(files) = fs::read_dir(self.store.join("blobs/sha256")) else { return found };
        for file in files {
            let file = file.unwrap();
            let name = format!("sha256:{}", file.file_name().to_string_lossy());
            let data = fs::read(file.path()).unwrap();
            assert_eq!(digest(&data), name, "a wrong blob under a final name");
            found.insert(name, data.len() as u64);
        }
        found
    }

    /// Checks that the store holds all of these blobs, sound, and can be read by the layout's own rules.
    pub(crate) fn holds(&self, blobs: &BTreeMap<String, u64>) {
        let found = self.sound();
        for (digest, size) in blobs {
            assert_eq!(found.get(digest), Some(size), "{digest} is missing");
        }
    }
}

/// Runs a command of [`Ship::command`].
pub(crate) fn run(command: &mut Command) -> Ran {
    let begun = Instant::now();
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: begun.elapsed(),
    }
}

/// Sends a signal by its name.
pub(crate) fn signal(child: &Child, name: &str) {
    tools::run(Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()));
}

/// Waits until `done`, or fails after `limit`.
pub(crate) fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
