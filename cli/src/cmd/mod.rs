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

use std::process::ExitCode;

use clap::Parser as _;
use wharfie_core::error::Result;

use crate::console::{Console, Mode};
use args::{Arguments, AuthCommand, Command, OutputArgs, ProgressMode, StoreCommand};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // clap prints help and usage errors itself, with status 0 and 2.
    let arguments = Arguments::parse();
    let console = console(&arguments.output);
    match run(&arguments.command, &console) {
        Ok(()) if diff::found() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if output::reader_is_gone() => ExitCode::SUCCESS,
        Err(error) => {
            console.fail(&error);
            match error.code() {
                "cancelled" => ExitCode::from(interrupt::STATUS),
                // As diff has it: 1 is for differences.
                _ if matches!(&arguments.command, Command::Diff(diff) if diff.exit_code) => ExitCode::from(2),
                "invalid_option"
                | "invalid_reference"
                | "invalid_platform"
                | "unsupported_transport"
                | "invalid_pattern"
                | "invalid_id_map" => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

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

fn run(command: &Command, console: &Console) -> Result<()> {
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
