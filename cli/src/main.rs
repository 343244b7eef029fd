//! The `wharfie` command.
fn main() {}
