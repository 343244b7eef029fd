//! The commands.

mod args;
mod auth;
mod cat;
mod copy;
mod diff;
mod export;
mod generate;
mod inspect;
mod interrupt;
mod layers;
mod list;
mod load;
mod look;
mod ls;
mod make;
mod names;
mod open;
mod output;
mod product;
mod pull;
mod remote;
mod save;
mod select;
mod show;
mod store;
mod tree;
mod unpack;
mod validate;
mod watch;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use wharfie_core::error::Result;

use crate::console::{Console, Mode};
use args::{Arguments, AuthCommand, Command, OutputArgs, ProgressMode, StoreCommand};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os()))
}

/// Runs the command line with these arguments, the program's name first, for a process of another language. Answers its exit
/// status; Ctrl-C is the command's from then on.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    wait_for_streams();
    // clap says itself what help, versions and usage errors come to: 0 and 2.
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(told) => {
            let _ = told.print();
            return u8::try_from(told.exit_code()).unwrap_or(2);
        }
    };
    let console = console(&arguments.output);
    let status = status(&arguments.command, &console);
    // Where the process is not Rust's, nobody else does.
    let _ = std::io::stdout().flush();
    status
}

/// Has the standard streams block. Node makes pipes non-blocking as soon as anything looks at them, and what is read slowly
/// would then be cut short.
fn wait_for_streams() {
    #[cfg(unix)]
    {
        use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
        use std::os::fd::AsFd as _;
        let (input, output, errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        for stream in [input.as_fd(), output.as_fd(), errors.as_fd()] {
            // A stream that is closed has no flags.
            if let Ok(flags) = fcntl_getfl(stream)
                && flags.contains(OFlags::NONBLOCK)
            {
                let _ = fcntl_setfl(stream, flags - OFlags::NONBLOCK);
            }
        }
    }
}

fn status(command: &Command, console: &Console) -> u8 {
    match execute(command, console) {
        Ok(()) if diff::found() => FAILED,
        Ok(()) => 0,
        Err(_) if output::reader_is_gone() => 0,
        Err(error) => {
            console.fail(&error);
            match error.code() {
                "cancelled" => interrupt::STATUS,
                // As diff has it: 1 is for differences.
                _ if matches!(command, Command::Diff(diff) if diff.exit_code) => USAGE,
                "invalid_option"
                | "invalid_reference"
                | "invalid_platform"
                | "unsupported_transport"
                | "invalid_pattern"
                | "invalid_id_map" => USAGE,
                _ => FAILED,
            }
        }
    }
}

/// Exit statuses.
const FAILED: u8 = 1;
const USAGE: u8 = 2;

fn console(arguments: &OutputArgs) -> Console {
    let mode = match arguments.progress {
        _ if arguments.quiet => Mode::Quiet,
        ProgressMode::Auto => Console::mode_of_terminal(),
        ProgressMode::Bars => Mode::Bars,
        ProgressMode::Plain => Mode::Plain,
        ProgressMode::Json => Mode::Json,
        ProgressMode::None => Mode::Silent,
    };
    Console::new(mode, arguments.verbose)
}

fn execute(command: &Command, console: &Console) -> Result<()> {
    match command {
        Command::Inspect(arguments) => inspect::run(arguments, console),
        Command::Manifest(arguments) => show::manifest(arguments, console),
        Command::Config(arguments) => show::config(arguments, console),
        Command::Digest(arguments) => show::digest(arguments, console),
        Command::Blob(arguments) => show::blob(arguments, console),
        Command::Tags(arguments) => list::tags(arguments, console),
        Command::Repos(arguments) => list::repositories(arguments, console),
        Command::Pull(arguments) => pull::run(arguments, console),
        Command::Copy(arguments) => copy::copy(arguments, console),
        Command::Push(arguments) => copy::push(arguments, console),
        Command::Tag(arguments) => remote::tag(arguments, console),
        Command::Delete(arguments) => remote::delete(arguments, console),
        Command::Referrers(arguments) => remote::referrers(arguments, console),
        Command::Load(arguments) => load::run(arguments, console),
        Command::Validate(arguments) => validate::run(arguments, console),
        Command::Export(arguments) => export::run(arguments, console),
        Command::Unpack(arguments) => unpack::run(arguments, console),
        Command::Save(arguments) => save::run(arguments, console),
        Command::Ls(arguments) => ls::run(arguments, console),
        Command::Cat(arguments) => cat::run(arguments, console),
        Command::Tree(arguments) => tree::run(arguments, console),
        Command::Diff(arguments) => diff::run(arguments, console),
        Command::Create(arguments) => make::create(arguments, console),
        Command::Append(arguments) => make::append(arguments, console),
        Command::Mutate(arguments) => make::mutate(arguments, console),
        Command::Flatten(arguments) => make::flatten(arguments, console),
        Command::Store(StoreCommand::Ls(arguments)) => store::ls(arguments),
        Command::Store(StoreCommand::Du(arguments)) => store::du(arguments),
        Command::Store(StoreCommand::Prune(arguments)) => store::prune(arguments, console),
        Command::Login(arguments) => auth::login(arguments, console),
        Command::Logout(arguments) => auth::logout(arguments, console),
        Command::Auth(AuthCommand::Explain(arguments)) => auth::explain(arguments),
        Command::Completions { shell } => generate::completions(*shell),
        Command::Man { directory } => generate::man(directory),
    }
}
