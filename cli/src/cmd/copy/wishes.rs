//! What of an image is copied, and what is to become of it.

use wharfie_core::codec::Format as Packing;
use wharfie_core::copy::Format;
use wharfie_core::error::Result;
use wharfie_core::{Digest, Platform};

use super::super::args::{CarryArgs, CopyFormat, PullArgs};
use super::super::{interrupt, open};
use crate::drive::Cancel;

/// Which images of an index.
#[derive(Clone, Debug)]
pub(super) enum Selection {
    /// The index itself.
    All,
    /// One manifest.
    One(Platform),
    /// A smaller index.
    Several(Vec<Platform>),
    /// The manifest of this digest.
    Digest(Digest),
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Wishes {
    pub(super) selection: Selection,
    pub(super) referrers: bool,
    pub(super) format: Option<Format>,
    pub(super) compress: Option<(Packing, Option<i32>)>,
    pub(super) tags: Vec<String>,
    pub(super) chunk: Option<u64>,
    pub(super) dry_run: bool,
    pub(super) json: bool,
    /// What stops the work on this machine.
    pub(super) cancel: Cancel,
}

impl Wishes {
    pub(super) fn read(arguments: &CarryArgs, tags: &[String]) -> Result<Wishes> {
        let selection = match (&arguments.digest, arguments.platform.as_slice()) {
            (Some(digest), _) => Selection::Digest(digest.parse()?),
            _ if arguments.all => Selection::All,
            (None, []) => Selection::One(open::platform(None)?),
            (None, [one]) => Selection::One(open::platform(Some(one))?),
            (None, several) => Selection::Several(
                several.iter().map(|name| open::platform(Some(name))).collect::<Result<_>>()?,
            ),
        };
        let compress = arguments.compress.map(|asked| {
            let format = if asked.zstd { Packing::Zstd } else { Packing::Gzip };
            (format, asked.level)
        });
        if let Some((format, level)) = compress {
            format.level(level)?;
        }
        Ok(Wishes {
            selection,
            referrers: arguments.referrers,
            format: arguments.format.map(|format| match format {
                CopyFormat::Oci => Format::Oci,
                CopyFormat::Docker => Format::Docker,
            }),
            compress,
            tags: tags.to_vec(),
            chunk: arguments.chunk,
            dry_run: arguments.dry_run,
            json: arguments.json,
            cancel: interrupt::stoppable(),
        })
    }

    /// Of `pull IMAGE PLACE`.
    pub(super) fn of_pull(arguments: &PullArgs) -> Result<Wishes> {
        Ok(Wishes {
            selection: if arguments.all {
                Selection::All
            } else {
                Selection::One(open::platform(arguments.platform.platform.as_deref())?)
            },
            referrers: false,
            format: None,
            compress: None,
            tags: Vec::new(),
            chunk: None,
            dry_run: false,
            json: arguments.json,
            cancel: interrupt::stoppable(),
        })
    }
}
