//! `cat`

use std::io::Write as _;
use std::path::Path;

use wharfie_core::client::{Depth, PlatformChoice};
use wharfie_core::error::{Error, ErrorKind, Result};

use super::args::CatArgs;
use super::layers::Shown;
use super::{interrupt, look, open, output};
use crate::console::Console;
use crate::drive::Cancel;
use crate::export::names_file;
use crate::fault::io_error;
use crate::layers::default_temp_dir;
use crate::unfinished;
use crate::view::{Sides, Taking, cat};

/// `cat IMAGE PATH…`
pub(super) fn run(arguments: &CatArgs, console: &Console) -> Result<()> {
    let target = &arguments.output;
    let to_stdout = target == Path::new("-");
    if !to_stdout && (target.is_dir() || !names_file(target)) {
        let reason = "the output is a directory: name a file in it".to_owned();
        return Err(Error::from(ErrorKind::InvalidOption { reason }).at_path(open::shown(target)));
    }
    let platform = PlatformChoice::One(open::platform(arguments.platform.platform.as_deref())?);
    let image = &arguments.image;
    // The layers are fetched one by one, as they are needed.
    let opened = open::open(&image.image, &image.from, open::options(platform, Depth::Config), console)?;
    let local = opened.layers()?;
    let cancel = Cancel::new();
    interrupt::stops(&cancel);
    let paths: Vec<Vec<u8>> = arguments.paths.iter().map(|path| look::bytes(path).to_vec()).collect();
    let temp_dir = arguments.temp_dir.clone().unwrap_or_else(default_temp_dir);
    let options = look::options(&arguments.merge);
    let progress = Shown::new(console, &local);
    let taking = Taking {
        image: local.clone(),
        fetch: &mut |layer| opened.layer(layer),
        options: &options,
        verify: !arguments.no_verify,
        sides: opened.sides().map(|store| Sides { store, ask: !arguments.verify }),
        temp_dir: &temp_dir,
        cancel: &cancel,
        progress: &progress,
    };
    let failed = |error: Error| opened.failed(error, console);
    if to_stdout {
        return cat(taking, &paths, &mut output::write).map_err(failed);
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let writing = |error: std::io::Error| io_error("writing the output", Some(target), &error);
    let mut temporary = tempfile::Builder::new();
    #[cfg(unix)]
    temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let (mut temporary, _entered) = unfinished::enter(|| temporary.tempfile_in(folder)).map_err(writing)?;
    cat(taking, &paths, &mut |bytes| temporary.write_all(bytes).map_err(writing)).map_err(failed)?;
    temporary.persist(target).map_err(|error| writing(error.error)).map(drop)
}
