//! What people and programs see on standard error: progress, notes, warnings, errors. Data goes to standard output, and
//! not from here.

mod bars;
mod clean;

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::json;
use wharfie_core::Error;
use wharfie_core::error::Fact;
use wharfie_core::name::to_json;

use bars::Bars;
pub use clean::clean;
pub use wharfie_core::size::Bytes;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Bars on a terminal.
    Bars,
    /// One line for each thing that is done.
    Plain,
    /// One JSON object a line.
    Json,
    /// Nothing but warnings and errors.
    Silent,
    /// Nothing but errors.
    Quiet,
}

/// Standard error, shared by everything that speaks.
#[derive(Clone)]
pub struct Console {
    mode: Mode,
    verbosity: u8,
    bars: Option<Arc<Bars>>,
}

/// One piece of work whose progress is shown: a blob on its way, an export.
pub struct Task {
    console: Console,
    id: String,
    verb: &'static str,
    bar: Option<bars::Bar>,
    started: Instant,
    begun_at: u64,
    size: Option<u64>,
    state: Mutex<String>,
}

impl Console {
    /// One of this mode, which traces HTTP at this level: 0, 1 or 2.
    pub fn new(mode: Mode, verbosity: u8) -> Console {
        let bars = (mode == Mode::Bars).then(|| Arc::new(Bars::new()));
        Console { mode, verbosity, bars }
    }

    /// How much of the trace is wanted.
    pub fn trace_level(&self) -> u8 {
        self.verbosity
    }

    /// Bars if standard error is a terminal that can show them, lines otherwise.
    pub fn mode_of_terminal() -> Mode {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if std::io::stderr().is_terminal() && !dumb { Mode::Bars } else { Mode::Plain }
    }

    /// Says one line as it is, above the bars if there are some.
    fn line(&self, line: &str) {
        // Whoever listened may be gone (`2>&1 | head`): that stops no pull, and the macros would panic.
        let say = || {
            let _ = writeln!(anstream::stderr().lock(), "{line}");
        };
        match &self.bars {
            Some(bars) => bars.above(say),
            None => say(),
        }
    }

    /// Says one JSON object, whatever the mode.
    pub fn json(&self, value: &serde_json::Value) {
        self.line(&value.to_string());
    }

    /// Whether the output is for programs.
    pub fn is_json(&self) -> bool {
        self.mode == Mode::Json
    }

    /// Something worth to know: what was chosen, what was written.
    pub fn note(&self, text: &str) {
        match self.mode {
            Mode::Bars | Mode::Plain => self.line(&clean(text)),
            Mode::Json => self.json(&json!({"event": "note", "text": text})),
            Mode::Silent | Mode::Quiet => {}
        }
    }

    /// Something that is no failure and ought to be said.
    pub fn warn(&self, text: &str) {
        match self.mode {
            Mode::Quiet => {}
            Mode::Json => self.json(&json!({"event": "warning", "text": text})),
            _ => self.line(&format!("\u{1b}[1;33mwarning\u{1b}[0m: {}", clean(text))),
        }
    }

    /// What `-v` shows.
    pub fn trace(&self, text: &str) {
        self.line(&format!("\u{1b}[2m{}\u{1b}[0m", clean(text)));
    }

    /// An error, with its hint.
    pub fn fail(&self, error: &Error) {
        if self.mode == Mode::Json {
            return self.json(&error_json(error));
        }
        self.line(&format!("\u{1b}[1;31merror\u{1b}[0m: {}", clean(&error.to_string())));
        let said = error.kind().facts().into_iter().find_map(|(name, fact)| match fact {
            Fact::Text(text) if name == "detail" => Some(text),
            _ => None,
        });
        if let Some(said) = said {
            let who = if error.place().path.is_some() { "" } else { "it says: " };
            self.line(&format!("  {who}{}", clean(&said)));
        }
        if let Some(hint) = error.hint() {
            self.line(&format!("\u{1b}[1;36mhint\u{1b}[0m: {hint}"));
        }
    }

    /// A piece of work begins: `verb` as in `pulling`, `id` short, from `position` of `size` bytes.
    pub fn task(&self, verb: &'static str, id: &str, position: u64, size: Option<u64>) -> Task {
        let bar = self.bars.as_ref().map(|bars| bars.add(verb, id, position, size));
        if self.mode == Mode::Json {
            self.json(&json!({"event": "begin", "task": verb, "id": id, "position": position, "size": size}));
        }
        let console = self.clone();
        Task {
            console,
            id: id.to_owned(),
            verb,
            bar,
            started: Instant::now(),
            begun_at: position,
            size,
            state: Mutex::default(),
        }
    }
}

impl Task {
    /// It has come this far. Cheap enough for every chunk of a megabyte.
    pub fn position(&self, position: u64) {
        match &self.bar {
            Some(bar) => bar.position(position),
            None if self.console.mode == Mode::Json => {
                self.console.json(&json!({
                    "event": "progress", "task": self.verb, "id": self.id, "position": position, "size": self.size
                }));
            }
            None => {}
        }
    }

    /// What happens to it now: `verifying`, `waiting`, ….
    pub fn state(&self, state: &str) {
        let Ok(mut last) = self.state.lock() else { return };
        if *last == state {
            return;
        }
        state.clone_into(&mut last);
        match &self.bar {
            Some(bar) => bar.state(state),
            None if self.console.mode == Mode::Json => {
                self.console
                    .json(&json!({"event": "state", "task": self.verb, "id": self.id, "state": state}));
            }
            None => {}
        }
    }

    /// It is done, after `size` bytes.
    pub fn done(self, size: u64) {
        if let Some(bar) = &self.bar {
            bar.done();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        match self.console.mode {
            Mode::Plain => {
                let came = size.saturating_sub(self.begun_at);
                // A speed over no time is noise.
                let speed = if seconds < 0.1 {
                    String::new()
                } else {
                    format!(" in {seconds:.1} s ({}/s)", Bytes((came as f64 / seconds) as u64))
                };
                let (verb, id) = (self.verb, &self.id);
                self.console.line(&format!("{verb} {id}: {}{speed}", Bytes(size)));
            }
            Mode::Json => self.console.json(&json!({
                "event": "done", "task": self.verb, "id": self.id, "size": size, "seconds": seconds
            })),
            _ => {}
        }
    }
}

/// An error as hosts see it: code, message, hint, facts, place.
pub fn error_json(error: &Error) -> serde_json::Value {
    let facts: serde_json::Map<_, _> = error
        .kind()
        .facts()
        .into_iter()
        .map(|(name, fact)| {
            let value = match fact {
                Fact::Text(text) => json!(text),
                Fact::Number(number) => json!(number),
                Fact::Span(span) => json!(span.as_secs_f64()),
            };
            (name.to_owned(), value)
        })
        .collect();
    let place = error.place();
    let mut known = serde_json::Map::new();
    let mut put = |name: &str, value: Option<serde_json::Value>| {
        known.extend(value.map(|value| (name.to_owned(), value)));
    };
    put("image", place.image.as_ref().map(|image| json!(image)));
    put("layer", place.layer.map(|layer| json!(layer)));
    put("blob", place.blob.map(|blob| json!(blob.to_string())));
    put("entry", place.entry.as_ref().map(|entry| json!(to_json(entry))));
    put("byte", place.byte.map(|byte| json!(byte)));
    put("url", place.url.as_ref().map(|url| json!(url)));
    put("path", place.path.as_ref().map(|path| json!(path)));
    json!({
        "event": "error", "code": error.code(), "message": error.to_string(), "hint": error.hint(),
        "facts": facts, "place": known
    })
}
