//! `save`

use std::path::Path;
use std::time::Instant;

use serde_json::json;
use wharfie_core::archive::write::Layers;
use wharfie_core::client::{Depth, PlatformChoice};
use wharfie_core::codec::Format;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;
use wharfie_core::{Reference, Source};

use super::args::{CompressionArg, KindArg, SaveArgs};
use super::interrupt;
use super::layers;
use super::open::{self, Opened};
use crate::console::Console;
use crate::destination::{self, Destination, Kind, Options};
use crate::drive::Cancel;
use crate::export::{Sink, format_of_name};

/// `save IMAGE… -o FILE`
pub(super) fn run(arguments: &SaveArgs, console: &Console) -> Result<()> {
    let started = Instant::now();
    // Everything that can be wrong with the options is said before anything is fetched.
    let kind = kind(arguments.format);
    let names = names(arguments, kind)?;
    open::one_registry(&arguments.from.network, arguments.images.iter().map(String::as_str))?;
    let cancel = interrupt::stoppable();
    let options = options(arguments, kind, &cancel)?;
    let to_stdout = arguments.output == Path::new("-");
    let mut destination = if to_stdout {
        destination::open_stream(kind, Sink::stdout()?, &options)?
    } else {
        destination::open_as(kind, &arguments.output, &options)?
    };
    let platform = open::platform(arguments.platform.platform.as_deref())?;
    // They stay until all is written: so long nobody prunes what is read.
    let mut saved: Vec<Opened> = Vec::new();
    let mut shown = Vec::new();
    for name in &arguments.images {
        let choice = open::options(PlatformChoice::One(platform.clone()), Depth::Layers);
        let opened = open::open(name, &arguments.from, choice, console)?;
        let place = |error: Error| error.in_image(&opened.name);
        let image = opened.chosen()?;
        let top = image.manifest.clone();
        destination::put(opened.origin.as_ref(), image, destination.as_mut()).map_err(place)?;
        let own = if names.is_empty() { own_names(&opened, name, kind)? } else { names.clone() };
        list(destination.as_mut(), &top, &own).map_err(place)?;
        if own.is_empty() && kind != Kind::Directory {
            console.warn(&format!("{} gets no name in the archive: --name NAME gives it one", opened.name));
        }
        shown.push(json!({"name": opened.name, "digest": top.digest.to_string(), "names": own}));
        saved.push(opened);
    }
    let task = console.task("writing", &open::shown(&arguments.output), 0, None);
    let written = destination.commit();
    drop(task);
    if let Err(error) = written {
        // Whose it is says the blob.
        let digest = error.place().blob;
        let of = saved.iter().find(|opened| {
            let layers = opened.pulled.images.iter().flat_map(|image| &image.layers);
            digest.is_some_and(|digest| layers.clone().any(|layer| layer.digest == digest))
        });
        return Err(match of {
            Some(opened) => opened.failed(error, console),
            None => error,
        });
    }
    let bytes = std::fs::metadata(&arguments.output).ok().filter(std::fs::Metadata::is_file);
    let bytes = bytes.map(|metadata| metadata.len());
    if arguments.json {
        console.json(&json!({
            "event": "saved",
            "images": shown,
            "bytes": bytes,
            "seconds": started.elapsed().as_secs_f64(),
        }));
        return Ok(());
    }
    let target = if to_stdout { "standard output".to_owned() } else { open::shown(&arguments.output) };
    let what = match saved.as_slice() {
        [one] => {
            let layers = one.chosen().map_or(0, |image| image.layers.len());
            format!("{} ({})", one.name, layers::counted(layers))
        }
        several => format!("{} images", several.len()),
    };
    let size = bytes.map(|bytes| format!(", {}", crate::console::Bytes(bytes))).unwrap_or_default();
    let seconds = started.elapsed().as_secs_f64();
    console.note(&format!("saved {what} to {target}{size}, in {seconds:.1} s, every digest verified"));
    Ok(())
}

fn kind(format: KindArg) -> Kind {
    match format {
        KindArg::DockerArchive => Kind::DockerArchive,
        KindArg::OciArchive => Kind::OciArchive,
        KindArg::Oci => Kind::OciLayout,
        KindArg::FrozenImage => Kind::FrozenImage,
        KindArg::Dir => Kind::Directory,
    }
}

fn invalid(reason: &str) -> Error {
    ErrorKind::InvalidOption { reason: reason.to_owned() }.into()
}

fn options(arguments: &SaveArgs, kind: Kind, cancel: &Cancel) -> Result<Options> {
    let is_archive = matches!(kind, Kind::DockerArchive | Kind::OciArchive);
    if arguments.keep_compression && kind != Kind::DockerArchive {
        return Err(invalid("--keep-compression is for docker-archive: the others keep it, or have to"));
    }
    if !is_archive && (arguments.compression.is_some() || arguments.level.is_some()) {
        return Err(invalid("--compression and --level are for archives, and this is a directory"));
    }
    if kind == Kind::Directory && arguments.images.len() > 1 {
        return Err(invalid("a `dir:` holds one image: write each to a directory of its own"));
    }
    let format = match arguments.compression {
        Some(CompressionArg::None) => Format::Identity,
        Some(CompressionArg::Gzip) => Format::Gzip,
        Some(CompressionArg::Zstd) => Format::Zstd,
        None => format_of_name(&arguments.output).unwrap_or(Format::Identity),
    };
    let level = arguments.level.map(|level| i32::try_from(level).unwrap_or(i32::MAX));
    if is_archive {
        format.level(level)?;
    }
    Ok(Options {
        layers: if arguments.keep_compression { Layers::AsTheyAre } else { Layers::Bare },
        format: Some(format),
        level,
        temp_dir: arguments.temp_dir.clone(),
        cancel: cancel.clone(),
        ..Options::default()
    })
}

/// What `--name` says, each of them good for this kind.
fn names(arguments: &SaveArgs, kind: Kind) -> Result<Vec<String>> {
    if !arguments.name.is_empty() && arguments.images.len() > 1 {
        return Err(invalid("--name is for one image: save them one by one, or leave it out"));
    }
    if arguments.name.is_empty() || !has_references(kind) {
        return Ok(arguments.name.clone());
    }
    let full = |name: &String| name.parse::<Reference>().map(|name| name.or_latest().to_string());
    arguments.name.iter().map(full).collect()
}

/// Whether names are references there, as docker has them.
fn has_references(kind: Kind) -> bool {
    matches!(kind, Kind::DockerArchive | Kind::FrozenImage)
}

/// The names that an image has where it comes from, as far as they mean something there.
fn own_names(opened: &Opened, asked: &str, kind: Kind) -> Result<Vec<String>> {
    if let Some(reference) = &opened.reference {
        // As the user asked for it: the pull may have added a digest.
        let tag = match Source::parse(asked) {
            Ok(Source::Registry(asked)) => asked.or_latest().tag().map(str::to_owned),
            _ => None,
        };
        return match tag {
            Some(tag) => Ok(vec![reference.with_tag(&tag)?.to_string()]),
            None => Ok(Vec::new()),
        };
    }
    let wanted = match Source::parse(asked) {
        Ok(Source::Local(local)) => local.reference.filter(|reference| !reference.starts_with('@')),
        _ => None,
    };
    let names: Vec<String> = match wanted {
        Some(name) => vec![name],
        None => {
            let top = opened.pulled.top.digest;
            let entries = opened.origin.entries()?;
            let here = entries.iter().filter(|entry| entry.digest == top);
            here.filter_map(Descriptor::ref_name).map(str::to_owned).collect()
        }
    };
    if !has_references(kind) {
        return Ok(names);
    }
    // A mere tag names no image.
    let full = |name: String| {
        let reference = name.contains(['/', ':']).then(|| name.parse::<Reference>().ok()).flatten()?;
        Some(reference.or_latest().to_string())
    };
    Ok(names.into_iter().filter_map(full).collect())
}

fn list(destination: &mut dyn Destination, top: &Descriptor, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return destination.name(top, None);
    }
    names.iter().try_for_each(|name| destination.name(top, Some(name)))
}
