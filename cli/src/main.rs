//! The `wharfie` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    wharfie::cmd::main()
}
