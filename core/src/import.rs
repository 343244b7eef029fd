//! What becomes of files of images that are imported together: which files of a folder are meant, and what their images
//! are called where they go.
//!
//! **Names.** An image is called by the name that its file gives it ([`ref_name`]), or else by the file's own ([`stem`]):
//! of several images without a name in one file, each gets `STEM@N`, by its position there. A name may be any text that a
//! person can see and type: `流水线` is one, though image-spec's grammar for names of a layout has only ASCII
//! ([`is_portable`]), and tools that insist on it list such an image without being able to name it. What is no text, or
//! steers a terminal, is refused before anything is done, and so are two images that come to one name.
//!
//! **Files.** What begins like an archive (tar, or something compressed), or is called like one, is meant to be imported;
//! a partial download is thus found out, and not passed over. Anything else in the folder has nothing to do with it.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::codec::Format;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Descriptor;
use crate::name::{Name, steers};
use crate::reference::Reference;

/// Bytes of a name, at most: what file systems hold, where each image gets a directory.
const NAME_BYTES: usize = 255;

/// How archives are called, the longest first where one ends in another; the compression is known by magic.
const ARCHIVE_ENDS: &[&str] =
    &[".tar.gz", ".tar.zst", ".tar.zstd", ".tgz", ".tzst", ".tar", ".gz", ".zst", ".zstd"];

/// How archives are called that are not read: to say so.
const FOREIGN_ENDS: &[&str] = &[".tar.xz", ".tar.bz2", ".tar.lz4", ".tar.lzma", ".txz", ".tbz2", ".tbz"];

/// How downloads are called until they are whole.
const PARTIAL_ENDS: &[&str] =
    &[".part", ".partial", ".filepart", ".crdownload", ".download", ".incomplete", ".tmp"];

/// A file or directory that holds images.
#[derive(Clone, Copy, Debug)]
pub struct Source<'s> {
    /// What it is called in messages.
    pub path: &'s str,
    /// The last part of its path, as bytes; `None` for a stream.
    pub file: Option<&'s [u8]>,
    /// Whether it is a directory: then no part of its name says what kind of archive it is.
    pub is_directory: bool,
    /// The images that it lists.
    pub entries: &'s [Descriptor],
}

/// Where images go, and so what their names have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Into one layout.
    Layout,
    /// Into a store whose names are full references.
    Store,
    /// Each into a layout of its own, in a directory that is called after it.
    Each,
}

/// An image and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Named {
    /// Its position in [`Source::entries`].
    pub entry: usize,
    /// What it is called; `None` where a stream does not say.
    pub name: Option<String>,
}

/// What all images of these sources are called, each source's in the order of its entries. An entry without a name is left
/// out where another entry of the source names the same content.
///
/// # Errors
/// `name_conflict`, `unusable_name`.
pub fn names(sources: &[Source<'_>], target: Target) -> Result<Vec<Vec<Named>>> {
    let mut taken: BTreeMap<String, (&str, &Descriptor)> = BTreeMap::new();
    let mut all = Vec::with_capacity(sources.len());
    for source in sources {
        let mut named = Vec::new();
        for Named { entry, name } in own_names(source)? {
            let (Some(descriptor), Some(name)) = (source.entries.get(entry), name) else {
                named.push(Named { entry, name: None });
                continue;
            };
            check(&name).map_err(|error| error.at_path(source.path))?;
            let name = match target {
                Target::Store => store_name(&name),
                Target::Layout | Target::Each => name,
            };
            let key = match target {
                Target::Each => directory(&name),
                Target::Layout | Target::Store => name.clone(),
            };
            match taken.get(&key) {
                None => {}
                // Listed twice, as some tools do.
                Some((path, first)) if *path == source.path && first.digest == descriptor.digest => continue,
                Some((first, _)) => {
                    let (first, second) = ((*first).to_owned(), source.path.to_owned());
                    return Err(ErrorKind::NameConflict { name: key, first, second }.into());
                }
            }
            taken.insert(key, (source.path, descriptor));
            named.push(Named { entry, name: Some(name) });
        }
        all.push(named);
    }
    Ok(all)
}

/// The one image of a source, called `name` whatever it is called there.
///
/// # Errors
/// `unusable_name`; `invalid_option` if the source has several images.
pub fn named(source: &Source<'_>, name: &str, target: Target) -> Result<Vec<Named>> {
    check(name)?;
    let mut images = own_names(&Source { file: None, ..*source })?;
    let digest = |named: &Named| source.entries.get(named.entry).map(|entry| entry.digest);
    let first = images.first().and_then(digest);
    if images.iter().any(|image| digest(image) != first) {
        let reason = format!("there are {} images in {}, and one name for them", images.len(), source.path);
        return Err(ErrorKind::InvalidOption { reason }.into());
    }
    images.truncate(1);
    for image in &mut images {
        image.name = Some(if target == Target::Store { store_name(name) } else { name.to_owned() });
    }
    Ok(images)
}

/// The names of one source, whatever others there are.
fn own_names(source: &Source<'_>) -> Result<Vec<Named>> {
    let called: BTreeSet<_> =
        source.entries.iter().filter(|entry| ref_name(entry).is_some()).map(|entry| entry.digest).collect();
    let mut seen = BTreeSet::new();
    let mut nameless = 0_usize;
    let mut named = Vec::new();
    for (entry, descriptor) in source.entries.iter().enumerate() {
        let name = ref_name(descriptor);
        if name.is_none() {
            if called.contains(&descriptor.digest) || !seen.insert(descriptor.digest) {
                continue;
            }
            nameless += 1;
        }
        named.push(Named { entry, name: name.map(ToString::to_string) });
    }
    let Some(file) = source.file.filter(|_| nameless > 0) else { return Ok(named) };
    let stem = stem(file, source.is_directory);
    let Ok(stem) = core::str::from_utf8(stem) else {
        let (name, reason) = (Name(stem).to_string(), "it is not UTF-8".to_owned());
        return Err(Error::from(ErrorKind::UnusableName { name, reason }).at_path(source.path));
    };
    if stem.is_empty() {
        let reason = "the file has no name besides its kind".to_owned();
        return Err(Error::from(ErrorKind::UnusableName { name: String::new(), reason }).at_path(source.path));
    }
    for Named { entry, name } in &mut named {
        if name.is_none() {
            *name = Some(if nameless == 1 { stem.to_owned() } else { format!("{stem}@{entry}") });
        }
    }
    Ok(named)
}

/// The name that a layout, or an archive of one, gives this entry: `org.opencontainers.image.ref.name`. Where that is only
/// the tag of the name that containerd and BuildKit note beside it (`io.containerd.image.name`), it is the latter; and so
/// it is where there is no other. One that is empty is none.
pub fn ref_name(entry: &Descriptor) -> Option<&str> {
    let full = entry.containerd_name().filter(|name| !name.is_empty());
    let name = entry.ref_name().filter(|name| !name.is_empty());
    match (name, full) {
        (Some(name), Some(full)) => {
            let is_its_tag = full.strip_suffix(name).is_some_and(|before| before.ends_with(':'));
            Some(if is_its_tag { full } else { name })
        }
        (name, full) => name.or(full),
    }
}

/// What is left of a file's name without what says that it is an archive: `pipeline` of `pipeline.tar.gz`. Of a directory's
/// all is.
pub fn stem(file: &[u8], is_directory: bool) -> &[u8] {
    let ends = if is_directory { &[][..] } else { ARCHIVE_ENDS };
    ends.iter().find_map(|end| without(file, end)).unwrap_or(file)
}

/// Checks that an image can be listed under a name, and asked for by it.
///
/// # Errors
/// `unusable_name`.
pub fn check(name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "it is empty".to_owned()
    } else if name.len() > NAME_BYTES {
        format!("it is {} bytes long, and {NAME_BYTES} are allowed", name.len())
    } else if let Some(c) = name.chars().find(|c| steers(*c)) {
        format!("it holds the character U+{:04X}, which cannot be seen", u32::from(c))
    } else if name.trim() != name {
        "it begins or ends with a space".to_owned()
    } else if name.strip_prefix('@').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit())) {
        "it would be read as a position".to_owned()
    } else {
        return Ok(());
    };
    Err(ErrorKind::UnusableName { name: Name(name.as_bytes()).to_string(), reason }.into())
}

/// Whether a name is one by image-spec's grammar (`annotations.md`, `org.opencontainers.image.ref.name`), so that every tool
/// takes it: parts of ASCII letters and digits, single `-._:@+` or `--` between them, and `/` between those.
pub fn is_portable(name: &str) -> bool {
    name.split('/').all(|component| {
        let mut runs = component.split(|c: char| c.is_ascii_alphanumeric()).filter(|run| !run.is_empty());
        component.starts_with(|c: char| c.is_ascii_alphanumeric())
            && component.ends_with(|c: char| c.is_ascii_alphanumeric())
            && runs.all(|run| matches!(run, "-" | "." | "_" | ":" | "@" | "+" | "--"))
    })
}

/// What an image of this name is called in a store whose names are full references: the reference that the name is read
/// as, or the name itself where it is none.
pub fn store_name(name: &str) -> String {
    match name.parse::<Reference>() {
        Ok(reference) if reference.digest().is_none() => reference.or_latest().to_string(),
        _ => name.to_owned(),
    }
}

/// The directory for an image of this name, where each image gets one: the name with `_` for what a path, or one of
/// another system, does not allow in a part (`ghcr.io_org_app_1`).
pub fn directory(name: &str) -> String {
    let plain =
        |c: char| if matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|') { '_' } else { c };
    let mut directory: String = name.chars().map(plain).collect();
    // Neither hidden nor one that a system drops the end of.
    if directory.starts_with('.') {
        directory.replace_range(..1, "_");
    }
    if directory.ends_with(['.', ' ']) {
        directory.pop();
        directory.push('_');
    }
    directory
}

/// Whether a file of a folder is meant to be an archive of images, by how it is called and by its first bytes (512, or all
/// there are).
pub fn is_archive(file: &[u8], head: &[u8]) -> bool {
    let is_compressed =
        Format::detect(head.get(..Format::MAGIC_BYTES).unwrap_or(head)) != Ok(Format::Identity);
    let is_tar = head.get(257..262) == Some(b"ustar".as_slice());
    let whole = PARTIAL_ENDS.iter().find_map(|end| without(file, end)).unwrap_or(file);
    let named = || ARCHIVE_ENDS.iter().chain(FOREIGN_ENDS).any(|end| without(whole, end).is_some());
    is_compressed || is_tar || named()
}

/// Whether a file is called like an archive of a compression that is not read here, nor written.
pub fn is_foreign(file: &[u8]) -> bool {
    FOREIGN_ENDS.iter().any(|end| without(file, end).is_some())
}

/// Whether a file or directory is one that folders hold without their user's doing (`.DS_Store`).
pub fn is_hidden(file: &[u8]) -> bool {
    file.starts_with(b".")
}

/// A name without this end, however it is written.
fn without<'n>(name: &'n [u8], end: &str) -> Option<&'n [u8]> {
    let (stem, found) = name.split_at_checked(name.len().checked_sub(end.len())?)?;
    found.eq_ignore_ascii_case(end.as_bytes()).then_some(stem)
}

#[cfg(test)]
mod tests;
