//! The sample image that is built into the program: an OCI layout in a tar, made by `cargo xtask sample`.

use std::io::Write as _;
use std::path::Path;

use wharfie_core::Limits;
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::tar::{Event, Kind, Parser, path};

static SAMPLE: &[u8] = include_bytes!("../../testdata/sample/sample.oci.tar");

/// Writes the layout into a directory.
///
/// # Errors
/// `local_io`.
pub fn unpack(directory: &Path) -> Result<()> {
    let failed = |error: std::io::Error| ErrorKind::LocalIo {
        operation: "unpacking the sample",
        reason: error.to_string(),
    };
    let limits = Limits::default();
    let mut parser = Parser::new(limits.clone());
    let mut input = SAMPLE;
    let mut file: Option<std::fs::File> = None;
    loop {
        let step = parser.feed(input)?;
        let (used, rest) = input.split_at(step.consumed);
        input = rest;
        match step.event {
            Event::Entry(entry) => {
                let mut target = directory.to_owned();
                for component in path::normalize(&entry.path, &limits)? {
                    target.push(String::from_utf8_lossy(component).as_ref());
                }
                file = None;
                match entry.kind {
                    Kind::Directory => std::fs::create_dir_all(&target).map_err(failed)?,
                    Kind::File => {
                        if let Some(parent) = target.parent() {
                            std::fs::create_dir_all(parent).map_err(failed)?;
                        }
                        file = Some(std::fs::File::create(&target).map_err(failed)?);
                    }
                    _ => {}
                }
            }
            Event::Data { len } => {
                if let Some(file) = &mut file {
                    file.write_all(used.get(used.len() - len..).unwrap_or_default()).map_err(failed)?;
                }
            }
            Event::End => {}
            Event::NeedInput => return parser.finish(),
        }
    }
}
