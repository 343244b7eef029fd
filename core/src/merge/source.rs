//! What of a directory on a disk goes into a layer that is made of it, and how.

use alloc::borrow::ToOwned;
use alloc::string::ToString;

use super::whiteout::PREFIX;
use crate::error::{Error, ErrorKind, Result};
use crate::name::Name;
use crate::tar::{Kind, Metadata, Mtime};

/// Attributes that are the machine's, or how it stacks and labels its files, and mean nothing, or something else, in an
/// image (L16).
const OF_THE_MACHINE: &[&[u8]] = &[
    b"trusted.overlay.",
    b"user.overlay.",
    b"user.fuseoverlayfs.",
    b"security.selinux",
    b"security.apparmor",
    b"security.ima",
    b"security.evm",
    b"system.nfs4_acl",
    b"com.apple.provenance",
];

/// What becomes of the metadata of files that go into a layer. By default nothing hangs on who made the layer and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sourcing {
    /// Whether owners stay; else all is root's, 0:0.
    pub keeps_owners: bool,
    /// No mtime is later than this.
    pub latest: Option<Mtime>,
}

impl Sourcing {
    /// Brings metadata into the form that the layer gets.
    pub fn adapt(&self, metadata: &mut Metadata) {
        if !self.keeps_owners {
            (metadata.uid, metadata.gid) = (0, 0);
        }
        if let Some(latest) = self.latest {
            metadata.mtime = metadata.mtime.min(latest);
        }
        metadata.xattrs.retain(|name, _| !OF_THE_MACHINE.iter().any(|prefix| name.starts_with(prefix)));
    }
}

/// Refuses what would be something else in a layer than it is on the disk: names that begin with `.wh.`, which hide
/// others (L7), and the device 0/0, by which overlay file systems do the same.
///
/// # Errors
/// `invalid_path`
pub fn check_source(path: &[u8], kind: Kind) -> Result<()> {
    let reason = if path.split(|byte| *byte == b'/').any(|part| part.starts_with(PREFIX)) {
        "in a layer, a name that begins with `.wh.` hides another one"
    } else if matches!(kind, Kind::CharDevice { major: 0, minor: 0 }) {
        "the device 0/0 is how overlay file systems hide a file: take the mounted tree, not its upper directory"
    } else {
        return Ok(());
    };
    Err(Error::from(ErrorKind::InvalidPath { path: Name(path).to_string(), reason: reason.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_do_not_tell_who_made_them() {
        let mut metadata = Metadata {
            mode: 0o4755,
            uid: 1000,
            gid: 1000,
            mtime: Mtime { seconds: 100, nanos: 5 },
            ..Metadata::default()
        };
        for name in ["user.mine", "security.capability", "security.selinux", "trusted.overlay.opaque"] {
            metadata.xattrs.insert(name.as_bytes().to_vec(), b"x".to_vec());
        }
        let mut kept = metadata.clone();
        Sourcing::default().adapt(&mut metadata);
        assert_eq!((metadata.mode, metadata.uid, metadata.gid), (0o4755, 0, 0));
        assert_eq!(metadata.mtime, Mtime { seconds: 100, nanos: 5 });
        assert_eq!(
            metadata.xattrs.into_keys().collect::<alloc::vec::Vec<_>>(),
            [&b"security.capability"[..], b"user.mine"]
        );
        Sourcing { keeps_owners: true, latest: Some(Mtime::from_seconds(100)) }.adapt(&mut kept);
        assert_eq!((kept.uid, kept.gid, kept.mtime), (1000, 1000, Mtime::from_seconds(100)));
    }

    #[test]
    fn l7_what_would_hide_others_is_refused() {
        for path in [&b".wh.a"[..], b"d/.wh..wh..opq", b".wh.d/a", b".wh."] {
            let error = check_source(path, Kind::File).unwrap_err();
            assert_eq!(error.code(), "invalid_path", "{}", path.escape_ascii());
        }
        for path in [&b"a"[..], b".wh", b"x.wh.a", b"d/a.wh."] {
            check_source(path, Kind::File).unwrap();
        }
        check_source(b"null", Kind::CharDevice { major: 1, minor: 3 }).unwrap();
        assert_eq!(
            check_source(b"a", Kind::CharDevice { major: 0, minor: 0 }).unwrap_err().code(),
            "invalid_path"
        );
    }
}
