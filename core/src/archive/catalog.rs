//! Which members an archive or a directory has, and where their bytes are.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::error::{Error, ErrorKind, Place, Result};
use crate::limits::Limits;
use crate::map::Map;
use crate::name::Name;
use crate::tar::{Event, Kind, Parser, path};

/// Links followed from one name: docker's own archives have one.
const LINKS: usize = 16;

/// Where the bytes of a member are: in the archive, or for a directory in the file of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The member that holds them, links followed; `/` between its parts.
    pub member: String,
    /// Where they begin: in the uncompressed archive, or in the file (0).
    pub offset: u64,
    /// How many there are.
    pub len: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Member {
    File {
        offset: u64,
        len: u64,
    },
    /// To another member, by its name from the root.
    Link(String),
    Directory,
}

/// The members of an archive, or of a directory, by name.
///
/// Names are taken as tar's are (L1), and have to be UTF-8. A name twice is refused, since readers differ on which counts; of
/// directories, of equal links, and of blobs that are named by their digest and have one size, it is harmless.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    members: Map<String, Member>,
}

impl Catalog {
    /// One without members, for who is told of them one by one: for a directory, its listing.
    pub fn new() -> Catalog {
        Catalog::default()
    }

    /// Enters a file.
    ///
    /// # Errors
    /// `invalid_tar` for a name twice or that is no text, `invalid_path`, `limit_exceeded`.
    pub fn add_file(&mut self, name: &[u8], offset: u64, len: u64, limits: &Limits) -> Result<()> {
        self.add(name, Member::File { offset, len }, limits)
    }

    /// Enters a directory.
    ///
    /// # Errors
    /// As [`Catalog::add_file`].
    pub fn add_directory(&mut self, name: &[u8], limits: &Limits) -> Result<()> {
        self.add(name, Member::Directory, limits)
    }

    /// Enters a symbolic link; `target` as it stands in it. It may lead to members only.
    ///
    /// # Errors
    /// As [`Catalog::add_file`].
    pub fn add_symlink(&mut self, name: &[u8], target: &[u8], limits: &Limits) -> Result<()> {
        let folder = name.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        let mut whole = if target.first() == Some(&b'/') {
            Vec::new()
        } else {
            name.get(..folder).unwrap_or_default().to_vec()
        };
        whole.extend_from_slice(target);
        let target = text(&whole, limits).map_err(|error| in_entry(error, name))?;
        self.add(name, Member::Link(target), limits)
    }

    /// Enters a hard link; `target` is a name from the root.
    ///
    /// # Errors
    /// As [`Catalog::add_file`].
    pub fn add_hard_link(&mut self, name: &[u8], target: &[u8], limits: &Limits) -> Result<()> {
        let target = text(target, limits).map_err(|error| in_entry(error, name))?;
        self.add(name, Member::Link(target), limits)
    }

    fn add(&mut self, name: &[u8], member: Member, limits: &Limits) -> Result<()> {
        let key = text(name, limits).map_err(|error| in_entry(error, name))?;
        if let Some(known) = self.members.get(&key) {
            let is_harmless = match (known, &member) {
                (Member::File { len: known, .. }, Member::File { len, .. }) => {
                    key.starts_with("blobs/") && known == len
                }
                (known, member) => known == member,
            };
            if is_harmless {
                return Ok(());
            }
            let reason = "it is there twice, and readers differ on which of them counts".to_string();
            return Err(in_entry(ErrorKind::InvalidTar { reason }.into(), name));
        }
        if self.members.len() as u64 >= u64::from(limits.archive_members) {
            let value = u64::from(limits.archive_members);
            return Err(ErrorKind::LimitExceeded { limit: "archive_members", value }.into());
        }
        self.members.insert(key, member);
        Ok(())
    }

    /// Where the bytes of this member are, links followed; `None` if there is no such file.
    ///
    /// # Errors
    /// `invalid_tar` for links that lead nowhere or in circles.
    pub fn find(&self, name: &str) -> Result<Option<Span>> {
        let mut at = name.to_string();
        for step in 0..LINKS {
            match self.resolve(&at) {
                Some((_, Member::File { offset, len })) => {
                    return Ok(Some(Span { member: at, offset: *offset, len: *len }));
                }
                Some((below, Member::Link(target))) => {
                    at = if below.is_empty() { target.clone() } else { format!("{target}/{below}") };
                }
                None if step > 0 => {
                    let reason = format!("it is a link to `{}`, which is not there", Name(at.as_bytes()));
                    return Err(in_entry(ErrorKind::InvalidTar { reason }.into(), name.as_bytes()));
                }
                Some((_, Member::Directory)) | None => return Ok(None),
            }
        }
        let reason = "its links lead in circles".to_string();
        Err(in_entry(ErrorKind::InvalidTar { reason }.into(), name.as_bytes()))
    }

    /// The member of this name, or the link that stands on the way to it, with what comes behind that.
    fn resolve<'n>(&self, name: &'n str) -> Option<(&'n str, &Member)> {
        if let Some(member) = self.members.get(name) {
            return Some(("", member));
        }
        name.match_indices('/').find_map(|(at, _)| {
            let member = self.members.get(name.get(..at)?)?;
            matches!(member, Member::Link(_)).then_some((name.get(at + 1..)?, member))
        })
    }

    /// The names of all files and links, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members
            .iter()
            .filter(|(_, member)| !matches!(member, Member::Directory))
            .map(|(name, _)| name.as_str())
    }

    /// Those of them that are below a folder (`blobs/sha256/`).
    pub fn below<'c>(&'c self, folder: &'c str) -> impl Iterator<Item = &'c str> {
        self.members
            .from(folder)
            .map(|(name, _)| name.as_str())
            .take_while(move |name| name.starts_with(folder))
    }

    /// Whether there is a file or link of this name.
    pub fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|member| !matches!(member, Member::Directory))
    }
}

/// An error about a member.
pub(super) fn in_entry(error: Error, name: &[u8]) -> Error {
    error.at(Place { entry: Some(name.to_vec()), ..Place::default() })
}

/// A member's name as text, in normal form.
fn text(name: &[u8], limits: &Limits) -> Result<String> {
    let parts = path::normalize(name, limits)?;
    String::from_utf8(parts.join(&b'/'))
        .map_err(|_| ErrorKind::InvalidTar { reason: "a member's name is not UTF-8".to_string() }.into())
}

/// Makes the catalog of a tar that is fed to it.
///
/// The content of members need not be fed: after each call the next byte that is wanted is at [`Cataloguer::position`]. Who
/// can seek goes there; who cannot feeds everything, and what is not wanted is passed over.
#[derive(Clone, Debug)]
pub struct Cataloguer {
    parser: Parser,
    limits: Limits,
    catalog: Catalog,
    /// The last member with content, for the error that it is cut off.
    last: Vec<u8>,
}

impl Cataloguer {
    /// At the start of a tar, which is not compressed.
    pub fn new(limits: &Limits) -> Cataloguer {
        let (catalog, last) = (Catalog::new(), Vec::new());
        Cataloguer { parser: Parser::new(limits.clone()), limits: limits.clone(), catalog, last }
    }

    /// Where the next byte is that is wanted.
    pub fn position(&self) -> u64 {
        self.parser.position()
    }

    /// Whether the end-of-archive marker was read: nothing more is wanted.
    pub fn is_ended(&self) -> bool {
        self.parser.is_ended()
    }

    /// Takes the bytes that begin at `offset`, no further than at [`Cataloguer::position`].
    ///
    /// # Errors
    /// `invalid_tar`, `invalid_path`, `limit_exceeded`.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        while !self.is_ended() && self.position() < end {
            let from = usize::try_from(self.position().saturating_sub(offset)).unwrap_or(usize::MAX);
            let step = self.parser.feed(bytes.get(from..).unwrap_or_default())?;
            if let Event::Entry(entry) = step.event {
                let at = entry.header_at;
                self.enter(entry).map_err(|error| error.at_byte(at))?;
                self.parser.skip();
            }
        }
        Ok(())
    }

    fn enter(&mut self, entry: crate::tar::Entry) -> Result<()> {
        let limits = &self.limits;
        match entry.kind {
            Kind::File if entry.sparse.is_some() => {
                let reason = "it is stored sparsely, which nothing that holds images may be".to_string();
                Err(in_entry(ErrorKind::InvalidTar { reason }.into(), &entry.path))
            }
            Kind::File => {
                self.catalog.add_file(&entry.path, entry.data_at, entry.stored, limits)?;
                self.last = entry.path;
                Ok(())
            }
            // The root itself (`./`) has no name.
            Kind::Directory => self.catalog.add_directory(&entry.path, limits),
            Kind::Symlink => self.catalog.add_symlink(&entry.path, &entry.link, limits),
            Kind::HardLink => self.catalog.add_hard_link(&entry.path, &entry.link, limits),
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => Ok(()),
        }
    }

    /// The archive has ended, after so many bytes.
    ///
    /// # Errors
    /// `invalid_tar` for one that is cut off.
    pub fn finish(mut self, len: u64) -> Result<Catalog> {
        // The padding behind the last member may lack (L22).
        let missing = self.position().saturating_sub(len);
        if missing >= crate::tar::BLOCK as u64 || self.content_end() > len {
            let reason = format!("the archive is cut off: it ends at byte {len}, inside this member");
            return Err(in_entry(ErrorKind::InvalidTar { reason }.into(), &self.last));
        }
        self.parser.finish()?;
        Ok(self.catalog)
    }

    fn content_end(&self) -> u64 {
        match self.catalog.find(&text(&self.last, &self.limits).unwrap_or_default()) {
            Ok(Some(span)) => span.offset.saturating_add(span.len),
            _ => 0,
        }
    }
}
