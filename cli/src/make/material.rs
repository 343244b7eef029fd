//! What a layer is made of, as a user names it.

use std::path::{Path, PathBuf};

use wharfie_core::error::{Error, ErrorKind, Result};

/// What a layer is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// A tar, compressed or not; `-` is the standard input.
    Tar(PathBuf),
    /// A directory, whose content, or a file, that is put at a place in the image.
    Files {
        /// The directory or the file.
        source: PathBuf,
        /// Where it goes: a path of the image without its slash. Empty is the root.
        at: Vec<u8>,
    },
}

impl Material {
    /// Reads `FILE.tar`, `DIR`, `DIR:/PLACE` or `FILE:/PLACE`. A directory's content goes to the place (the root, where
    /// none is said); a file becomes the place, or goes into it where it ends in a slash; without a place it is a tar.
    ///
    /// # Errors
    /// `not_found`; `invalid_option` for a place that is none.
    pub fn parse(text: &str) -> Result<Material> {
        if text == "-" {
            return Ok(Material::Tar(PathBuf::from("-")));
        }
        // The whole text is tried first: names may hold colons.
        let whole = Path::new(text);
        if let Ok(metadata) = std::fs::metadata(whole) {
            return Ok(if metadata.is_dir() {
                Material::Files { source: whole.to_owned(), at: Vec::new() }
            } else {
                Material::Tar(whole.to_owned())
            });
        }
        let split = text.rfind(":/").map(|at| (Path::new(&text[..at]), &text[at + 1..]));
        let Some((source, place)) = split.filter(|(source, _)| source.exists()) else {
            let what = "a tar or directory of this name".to_owned();
            return Err(Error::from(ErrorKind::NotFound { what, detail: None }).at_path(text));
        };
        let mut at = place.to_owned();
        if !source.is_dir() && at.ends_with('/') {
            at.push_str(&source.file_name().unwrap_or_default().to_string_lossy());
        }
        let limits = wharfie_core::Limits::default();
        let parts = wharfie_core::tar::path::normalize(at.as_bytes(), &limits)?;
        let at = parts.join(&b'/');
        Ok(Material::Files { source: source.to_owned(), at })
    }

    /// What the history says of a layer of this: nothing that hangs on the machine.
    pub fn described(&self) -> String {
        match self {
            Material::Tar(_) => "wharfie: a tar".to_owned(),
            Material::Files { at, .. } => format!("wharfie: files for /{}", wharfie_core::name::Name(at)),
        }
    }
}
