//! Layers made of what lies on this disk: tars as they are or packed anew, directories and files as our own tars.
//!
//! Blobs that are made lie in a [`Workbench`], a folder that goes away; those that are there already are not copied.

mod directory;
mod material;
mod tarball;

use std::path::PathBuf;

use wharfie_core::codec::Format;
use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;
use wharfie_core::media_type::Compression;
use wharfie_core::merge::Sourcing;
use wharfie_core::{Digest, Limits, MediaType};

pub use self::material::Material;
use crate::blob_file::BlobFile;
use crate::drive::Cancel;
use crate::export::{ExportOptions, Report, Sink, export, pack_file};
use crate::fault::io_error;
use crate::layers::{LocalImage, Progress, default_temp_dir};

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// How layers are made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MakeOptions {
    /// How they are compressed; `None` is gzip for what is not compressed, and the rest as it is.
    pub compress: Option<Format>,
    /// At which level.
    pub level: Option<i32>,
    /// What becomes of the metadata of files.
    pub sourcing: Sourcing,
    /// Caps.
    pub limits: Limits,
    /// Where the blobs lie until they are where they are to be; `None` is [`default_temp_dir`].
    pub temp_dir: Option<PathBuf>,
    /// What stops it.
    pub cancel: Cancel,
}

impl Default for MakeOptions {
    fn default() -> Self {
        MakeOptions {
            compress: None,
            level: None,
            sourcing: Sourcing::default(),
            limits: Limits::default(),
            temp_dir: None,
            cancel: Cancel::new(),
        }
    }
}

/// A layer that was made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Layer {
    /// With the media type that OCI has for it.
    pub descriptor: Descriptor,
    /// The digest of its tar.
    pub diff_id: Digest,
    /// Where its bytes are.
    pub blob: BlobFile,
    /// Sockets of a directory that no tar can hold, left out.
    pub left_out: Vec<PathBuf>,
}

/// A folder for blobs that are made. It goes away with this.
#[derive(Debug)]
pub struct Workbench {
    folder: tempfile::TempDir,
    options: MakeOptions,
    made: u32,
}

impl Workbench {
    /// Makes the folder.
    ///
    /// # Errors
    /// `local_io`, `permission_denied`; `invalid_option` for a level that there is not.
    pub fn new(options: MakeOptions) -> Result<Workbench> {
        options.compress.unwrap_or(Format::Gzip).level(options.level)?;
        let dir = options.temp_dir.clone().unwrap_or_else(default_temp_dir);
        let folder = tempfile::Builder::new()
            .prefix("wharfie-")
            .tempdir_in(&dir)
            .map_err(|error| io_error("making a temporary directory", Some(&dir), &error))?;
        Ok(Workbench { folder, options, made: 0 })
    }

    /// A layer of this.
    ///
    /// # Errors
    /// `not_found`, `local_io`, `permission_denied` for what cannot be read; `invalid_tar`, `invalid_path`,
    /// `corrupt_stream`, `limit_exceeded` with entry and byte for what is no layer; `no_space`, `cancelled`.
    pub fn layer(&mut self, material: &Material) -> Result<Layer> {
        match material {
            Material::Tar(path) => {
                tarball::layer(self, path).map_err(|error| error.at_path(path.display().to_string()))
            }
            Material::Files { source, at } => {
                let format = self.options.compress.unwrap_or(Format::Gzip);
                let path = self.next();
                let mut left_out = Vec::new();
                let options = &self.options;
                let packed = pack_file(&path, format, options.level, &options.cancel, |to| {
                    let walk = directory::Walk::new(options, to);
                    left_out = walk.all(source, at)?;
                    Ok(())
                })?;
                let descriptor = Descriptor::new(media_type(format), packed.digest, packed.size);
                let blob = BlobFile::range(path, 0, packed.size);
                Ok(Layer { descriptor, diff_id: packed.plain, blob, left_out })
            }
        }
    }

    /// The merged root of an image as one layer.
    ///
    /// # Errors
    /// Those of [`export`].
    pub fn flattened(
        &mut self,
        image: &LocalImage,
        options: &ExportOptions,
        progress: &dyn Progress,
    ) -> Result<(Layer, Report)> {
        let path = self.next();
        let report = export(image, options, Sink::File(path.clone()), progress)?;
        let blob = BlobFile::range(path, 0, report.bytes);
        let measured = tarball::measure(&blob, &self.options, &mut |_| Ok(()))?;
        let descriptor = Descriptor::new(media_type(options.format), measured.digest, measured.size);
        Ok((Layer { descriptor, diff_id: measured.diff_id, blob, left_out: Vec::new() }, report))
    }

    /// A path for the next blob.
    fn next(&mut self) -> PathBuf {
        self.made += 1;
        self.folder.path().join(self.made.to_string())
    }
}

/// OCI's type of a layer in this format.
fn media_type(format: Format) -> MediaType {
    MediaType::OciLayer(match format {
        Format::Gzip => Compression::Gzip,
        Format::Zstd => Compression::Zstd,
        _ => Compression::Plain,
    })
}
