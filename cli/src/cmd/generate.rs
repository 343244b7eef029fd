//! `completions` and `man`: made from the same description as the command line itself.

use std::io::Write as _;
use std::path::Path;

use clap::CommandFactory as _;
use wharfie_core::error::{Error, ErrorKind, Result};

use super::args::Arguments;
use super::output;

/// Writes a completion script to standard output.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "wharfie", &mut script);
    output::write(&script)
}

/// Writes a manual page for each command.
pub(super) fn man(directory: &Path) -> Result<()> {
    let failed = |error: std::io::Error| {
        let kind = ErrorKind::LocalIo { operation: "writing the manual", reason: error.to_string() };
        Error::from(kind).at_path(directory.display().to_string())
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    let mut command = Arguments::command();
    command.build();
    pages(&command, "wharfie", directory).map_err(failed)
}

fn pages(command: &clap::Command, name: &str, directory: &Path) -> std::io::Result<()> {
    let page = clap_mangen::Man::new(command.clone().name(name.to_owned()).bin_name(name.replace('-', " ")));
    let mut text = Vec::new();
    page.render(&mut text)?;
    std::fs::File::create(directory.join(format!("{name}.1")))?.write_all(&text)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        pages(sub, &format!("{name}-{}", sub.get_name()), directory)?;
    }
    Ok(())
}
