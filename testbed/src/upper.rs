//! Overlay's upper directories as layers, as containerd and docker write them: a character device 0/0 becomes a
//! `.wh.` file, the opaque attribute a `.wh..wh..opq`, names are sorted, parents first.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use crate::tree;

/// Writes the directory `root` as a tar and gives the number of its entries. Times after `latest` (seconds since
/// 1970) are written as `latest`, and fractions dropped, as docker does.
///
/// # Errors
/// When something cannot be read or written.
pub fn write(root: &Path, latest: u64, out: impl Write) -> io::Result<u64> {
    let mut upper =
        Upper { tar: Builder::new(out), latest: latest.cast_signed(), names: BTreeMap::new(), entries: 0 };
    upper.children(root, &[])?;
    upper.tar.finish()?;
    Ok(upper.entries)
}

struct Upper<W: Write> {
    tar: Builder<W>,
    latest: i64,
    /// The first name of each inode that has several.
    names: BTreeMap<(u64, u64), Vec<u8>>,
    entries: u64,
}

impl<W: Write> Upper<W> {
    fn children(&mut self, path: &Path, name: &[u8]) -> io::Result<()> {
        let mut children: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
        children.sort_by_key(fs::DirEntry::file_name);
        for child in children {
            let last = child.file_name();
            self.entry(&child.path(), name, last.as_bytes())?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, folder: &[u8], last: &[u8]) -> io::Result<()> {
        let meta = fs::symlink_metadata(path)?;
        let join = |prefix: &[u8]| -> Vec<u8> {
            let mut name = folder.to_vec();
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend(prefix);
            name.extend(last);
            name
        };
        let kind = meta.mode() & 0o170_000;
        if kind == 0o020_000 && meta.rdev() == 0 {
            return self.whiteout(&join(b".wh."), &meta);
        }
        let name = join(b"");
        let mut opaque = false;
        let mut pax = Vec::new();
        let mut attributes: Vec<_> = xattr::list(path)?.collect();
        attributes.sort();
        for attribute in attributes {
            let value = xattr::get(path, &attribute)?.unwrap_or_default();
            if attribute == "trusted.overlay.opaque" {
                opaque = value == b"y";
            } else if !attribute.as_bytes().starts_with(b"trusted.overlay.") {
                pax.push((format!("SCHILY.xattr.{}", attribute.display()), value));
            }
        }
        let mut header = self.header(&meta);
        let device = (tree::device_major(meta.rdev()) as u32, tree::device_minor(meta.rdev()) as u32);
        let mut link = Vec::new();
        let kind = match kind {
            0o040_000 => EntryType::Directory,
            0o100_000 => EntryType::Regular,
            0o120_000 => {
                link = fs::read_link(path)?.as_os_str().as_bytes().to_vec();
                EntryType::Symlink
            }
            0o010_000 => EntryType::Fifo,
            0o020_000 => EntryType::Char,
            0o060_000 => EntryType::Block,
            // Sockets are in no layer.
            _ => return Ok(()),
        };
        header.set_entry_type(kind);
        if matches!(kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(device.0)?;
            header.set_device_minor(device.1)?;
        }
        if kind != EntryType::Directory && meta.nlink() > 1 {
            let inode = (meta.dev(), meta.ino());
            if let Some(first) = self.names.get(&inode) {
                let first = first.clone();
                header.set_entry_type(EntryType::Link);
                return self.append(header, &name, &first, Vec::new(), &mut io::empty());
            }
            self.names.insert(inode, name.clone());
        }
        if kind == EntryType::Regular {
            header.set_size(meta.len());
            return self.append(header, &name, &link, pax, &mut File::open(path)?);
        }
        self.append(header, &name, &link, pax, &mut io::empty())?;
        if kind == EntryType::Directory {
            if opaque {
                let mut marker = name.clone();
                marker.extend(b"/.wh..wh..opq");
                self.whiteout(&marker, &meta)?;
            }
            self.children(path, &name)?;
        }
        Ok(())
    }

    fn whiteout(&mut self, name: &[u8], meta: &fs::Metadata) -> io::Result<()> {
        let mut header = self.header(meta);
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0);
        self.append(header, name, b"", Vec::new(), &mut io::empty())
    }

    fn header(&self, meta: &fs::Metadata) -> Header {
        let mut header = Header::new_ustar();
        header.set_mode(meta.mode() & 0o7777);
        header.set_uid(u64::from(meta.uid()));
        header.set_gid(u64::from(meta.gid()));
        header.set_mtime(meta.mtime().min(self.latest).max(0).cast_unsigned());
        header.set_size(0);
        header
    }

    /// Names, links and owners that do not fit the header become PAX records, as Go's writer has it.
    fn append(
        &mut self,
        mut header: Header,
        name: &[u8],
        link: &[u8],
        mut pax: Vec<(String, Vec<u8>)>,
        data: &mut dyn Read,
    ) -> io::Result<()> {
        let mut field = |key: &str, text: &[u8], field: &mut [u8; 100]| {
            if text.len() > field.len() {
                pax.push((key.into(), text.to_vec()));
            }
            let shown = &text[..text.len().min(field.len())];
            field[..shown.len()].copy_from_slice(shown);
        };
        let mut written = name.to_vec();
        if header.entry_type() == EntryType::Directory {
            written.push(b'/');
        }
        field("path", &written, &mut header.as_old_mut().name);
        field("linkpath", link, &mut header.as_old_mut().linkname);
        // What seven octal digits hold.
        for (key, number) in [("uid", header.uid()?), ("gid", header.gid()?)] {
            if number > 0o777_7777 {
                pax.push((key.into(), number.to_string().into_bytes()));
                if key == "uid" { header.set_uid(0) } else { header.set_gid(0) }
            }
        }
        if !pax.is_empty() {
            let records = pax.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            self.tar.append_pax_extensions(records)?;
        }
        header.set_cksum();
        self.entries += 1;
        self.tar.append(&header, data)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::tools;

    /// The members' names, in order, with `->` and what a link names.
    fn names(tar: &[u8]) -> Vec<String> {
        let text = |bytes: &[u8]| OsStr::from_bytes(bytes).display().to_string();
        tar::Archive::new(tar)
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let link = entry.link_name_bytes().map(|link| format!(" -> {}", text(&link)));
                format!("{}{}", text(&entry.path_bytes()), link.unwrap_or_default())
            })
            .collect()
    }

    #[test]
    fn sorted_with_links_and_long_names() {
        let folder = tempfile::TempDir::new().unwrap();
        let long = "long".repeat(40);
        fs::create_dir(folder.path().join("d")).unwrap();
        fs::write(folder.path().join("d/b"), "body").unwrap();
        fs::hard_link(folder.path().join("d/b"), folder.path().join("a")).unwrap();
        fs::write(folder.path().join(&long), "").unwrap();
        symlink(&long, folder.path().join("z")).unwrap();
        let mut tar = Vec::new();
        assert_eq!(write(folder.path(), u64::MAX >> 1, &mut tar).unwrap(), 5);
        assert_eq!(names(&tar), ["a", "d/", "d/b -> a", &long, &format!("z -> {long}")]);
        tree::read_tar(tar.as_slice()).unwrap();
    }

    #[test]
    fn what_overlay_leaves_becomes_whiteouts() {
        let what = "whiteouts of overlay";
        if !tools::root(what) || !tools::have(what, &["mknod"]) {
            return;
        }
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("d");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("kept"), "").unwrap();
        tools::run(tools::command("mknod").arg(path.join("gone")).args(["c", "0", "0"]));
        if xattr::set(&path, "trusted.overlay.opaque", b"y").is_err() {
            return tools::skip(what, "no trusted attributes in the folder for temporary files");
        }
        let mut tar = Vec::new();
        write(folder.path(), 0, &mut tar).unwrap();
        assert_eq!(names(&tar), ["d/", "d/.wh..wh..opq", "d/.wh.gone", "d/kept"]);
    }
}
