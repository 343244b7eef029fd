//! Standard output: data, and nothing else.

use std::io::{ErrorKind as IoKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use wharfie_core::error::{Error, ErrorKind, Result};

use crate::console::clean;

static READER_IS_GONE: AtomicBool = AtomicBool::new(false);

/// Whether a reader of the standard output went away (`| head`). It has what it wanted: the command ends, successfully, as
/// those of other tools do.
pub(super) fn reader_is_gone() -> bool {
    READER_IS_GONE.load(Ordering::Relaxed)
}

/// Writes bytes as they are.
///
/// # Errors
/// `local_io`; `cancelled` if the reader is gone: no exit here, for temporary files are to go first.
pub(super) fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == IoKind::BrokenPipe => {
            READER_IS_GONE.store(true, Ordering::Relaxed);
            Err(ErrorKind::Cancelled {}.into())
        }
        Err(error) => {
            let reason = error.to_string();
            Err(Error::from(ErrorKind::LocalIo { operation: "writing to standard output", reason }))
        }
    }
}

/// Writes lines, each of them one: a newline within is shown as other characters that steer a terminal.
pub(super) fn lines<T: std::fmt::Display>(lines: impl IntoIterator<Item = T>) -> Result<()> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&clean(&line.to_string()).replace('\n', "\\u{a}"));
        text.push('\n');
    }
    write(text.as_bytes())
}

/// Gathers many small writes to the standard output.
pub(super) struct Gathered(Vec<u8>);

impl Gathered {
    pub(super) fn new() -> Gathered {
        Gathered(Vec::new())
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// As [`write`].
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.extend_from_slice(bytes);
        if self.0.len() >= 64 << 10 {
            write(&std::mem::take(&mut self.0))?;
        }
        Ok(())
    }

    /// Adds a line: what it says of names is escaped already.
    ///
    /// # Errors
    /// As [`write`].
    pub(super) fn line(&mut self, line: &str) -> Result<()> {
        self.push(line.as_bytes())?;
        self.push(b"\n")
    }

    /// Adds a JSON value as one line.
    ///
    /// # Errors
    /// As [`write`].
    pub(super) fn json(&mut self, value: &Value) -> Result<()> {
        self.line(&value.to_string())
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// As [`write`].
    pub(super) fn finish(self) -> Result<()> {
        write(&self.0)
    }
}

/// Writes one JSON value, indented.
pub(super) fn json(value: &Value) -> Result<()> {
    write(format!("{value:#}\n").as_bytes())
}

/// Writes rows as columns, each as wide as its widest cell; the header only where a person may read it.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> Result<()> {
    let mut widths = header.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        line.trim_end().to_owned()
    };
    let header = line(header);
    let rows = rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str())));
    lines(std::iter::once(header).chain(rows))
}
