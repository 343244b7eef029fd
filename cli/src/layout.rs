//! An OCI layout in a directory, read only (image-spec `image-layout.md`).

use std::io::Read as _;
use std::path::{Path, PathBuf};

use wharfie_core::client::{PullOptions, Pulled};
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::{Descriptor, Document, check_document};
use wharfie_core::{Digest, Limits, MediaType};

use crate::drive::Observer;
use crate::origin::Origin;

/// A layout; nothing in it is trusted before its digest held.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout in a directory that is known to hold one.
    pub fn at(root: impl Into<PathBuf>) -> Layout {
        Layout { root: root.into() }
    }

    /// Opens the layout in a directory.
    ///
    /// # Errors
    /// `not_found` if there is none, `invalid_document` if it is of another version.
    pub fn open(root: impl Into<PathBuf>) -> Result<Layout> {
        let root = root.into();
        let marker = read(&root.join("oci-layout"), 4096).map_err(|error| match error.code() {
            "not_found" => {
                let what = "an OCI layout (there is no file `oci-layout`)".to_owned();
                Error::from(ErrorKind::NotFound { what, detail: None }).at_path(root.display().to_string())
            }
            _ => error,
        })?;
        let version = serde_json::from_slice::<serde_json::Value>(&marker).ok();
        let version = version.as_ref().and_then(|marker| marker.get("imageLayoutVersion")?.as_str());
        match version {
            Some(version) if version.starts_with("1.") => Ok(Layout { root }),
            _ => {
                let reason = format!("`imageLayoutVersion` is {}, not 1.x", version.unwrap_or("missing"));
                let error = Error::from(ErrorKind::InvalidDocument { document: "oci-layout", reason });
                Err(error.at_path(root.display().to_string()))
            }
        }
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a blob is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// The size of a blob; `None` if it is not there.
    pub fn blob_size(&self, digest: &Digest) -> Option<u64> {
        let metadata = std::fs::metadata(self.blob_path(digest)).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    /// Reads a document and checks its digest.
    ///
    /// # Errors
    /// `not_found`, `digest_mismatch`, `limit_exceeded`, `local_io`.
    pub fn document(&self, digest: &Digest, limits: &Limits) -> Result<Vec<u8>> {
        let path = self.blob_path(digest);
        let raw = read(&path, limits.document_bytes).map_err(|error| error.in_blob(*digest))?;
        check_document(&raw, digest, limits).map_err(|error| error.at_path(path.display().to_string()))?;
        Ok(raw)
    }

    /// The entries of its index.
    ///
    /// # Errors
    /// `not_found`, `invalid_document`, `limit_exceeded`, `local_io`.
    pub fn entries(&self) -> Result<Vec<Descriptor>> {
        let limits = Limits::default();
        let path = self.root.join("index.json");
        let raw = read(&path, limits.document_bytes)?;
        let document = Document::parse(&raw, Some(MediaType::OciIndex.as_str()), &limits);
        let document = document.map_err(|error| error.at_path(path.display().to_string()))?;
        Ok(document.index().map(|index| index.manifests.clone()).unwrap_or_default())
    }

    /// The entry of this name (`org.opencontainers.image.ref.name`), or `@N` for the one at this position. Without a name
    /// the only one there is.
    ///
    /// # Errors
    /// `not_found` with the names there are, and whatever [`Layout::entries`] answers.
    pub fn find(&self, name: Option<&str>) -> Result<Descriptor> {
        let mut entries = self.entries()?;
        let found = match name {
            None if entries.len() == 1 => Some(0),
            None => None,
            Some(name) => entries.iter().position(|entry| entry.ref_name() == Some(name)).or_else(|| {
                let position: usize = name.strip_prefix('@')?.parse().ok()?;
                (position < entries.len()).then_some(position)
            }),
        };
        if let Some(position) = found {
            return Ok(entries.swap_remove(position));
        }
        let names: Vec<_> = entries
            .iter()
            .enumerate()
            .map(|(position, entry)| entry.ref_name().map_or_else(|| format!("@{position}"), str::to_owned))
            .collect();
        let what = match name {
            Some(name) => format!("`{name}` in the layout"),
            None if names.is_empty() => "an image: the layout's index is empty".to_owned(),
            None => format!("one image: the layout has {}, and `oci:DIR:REF` names one", names.len()),
        };
        let detail = (!names.is_empty()).then(|| format!("there is {}", names.join(", ")));
        Err(Error::from(ErrorKind::NotFound { what, detail }).at_path(self.root.display().to_string()))
    }

    /// Goes through an image as a pull would: see [`Origin`].
    ///
    /// # Errors
    /// As there.
    pub fn walk(&self, top: &Descriptor, options: PullOptions, observer: &dyn Observer) -> Result<Pulled> {
        let origin: &dyn Origin = self;
        origin.walk(top, options, observer)
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let place = |error: Error| error.at_path(path.display().to_string());
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            let what = path.display().to_string();
            place(ErrorKind::NotFound { what, detail: None }.into())
        }
        std::io::ErrorKind::PermissionDenied => {
            let reason = error.to_string();
            place(ErrorKind::PermissionDenied { operation: "reading", reason }.into())
        }
        _ => place(ErrorKind::LocalIo { operation: "reading", reason: error.to_string() }.into()),
    };
    let mut raw = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(limit + 1).read_to_end(&mut raw).map_err(failed)?;
    if raw.len() as u64 > limit {
        return Err(place(ErrorKind::LimitExceeded { limit: "document_bytes", value: limit }.into()));
    }
    Ok(raw)
}
