//! What the writer writes, our parser and the `tar` crate read back.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use std::borrow::ToOwned;
use std::io::Read as _;
use std::string::ToString;

use proptest::prelude::*;

use super::harness::*;
use crate::tar::{Header, Kind, Metadata, Mtime, padding};

fn write(path: &[u8], link: &[u8], kind: Kind, metadata: &Metadata, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Header { path, link, kind, metadata, size: content.len() as u64 }.write(&mut out).unwrap();
    out.extend_from_slice(content);
    out.resize(out.len() + padding(content.len() as u64), 0);
    out
}

fn write_file(path: &[u8], metadata: &Metadata) -> Vec<u8> {
    write(path, b"", Kind::File, metadata, b"")
}

fn metadata() -> Metadata {
    Metadata { mode: 0o644, uid: 1000, gid: 50, mtime: Mtime::from_seconds(100), xattrs: BTreeMap::new() }
}

/// Records of the extended header, or none.
fn records(written: &[u8]) -> std::string::String {
    if written[156] != b'x' {
        return std::string::String::new();
    }
    let size = std::str::from_utf8(&written[124..135]).unwrap();
    let size = usize::from_str_radix(size, 8).unwrap();
    written[512..512 + size].escape_ascii().to_string()
}

#[test]
fn ustar_is_as_other_tools_write_it() {
    // The test's own header block, made field by field, has no device numbers.
    let raw = Raw::new(b'0', "dir/file", 5).put(329, b"0000000\0").put(337, b"0000000\0");
    assert_eq!(write(b"dir/file", b"", Kind::File, &metadata(), b"hello"), raw.with(b"hello"));
    let written = write(b"dir", b"", Kind::Directory, &metadata(), b"");
    assert_eq!((&written[..5], written[156]), (&b"dir/\0"[..], b'5'));
    let root = write(b"", b"", Kind::Directory, &metadata(), b"");
    assert_eq!(&root[..3], b"./\0");
    assert_eq!(write(b"./", b"", Kind::Directory, &metadata(), b""), root);
    let device = write(b"d", b"", Kind::CharDevice { major: 0o2777777, minor: 0o7777777 }, &metadata(), b"");
    assert_eq!((device.len(), &device[329..345]), (512, &b"2777777\x007777777\0"[..]));
    // A file's mode is what survives of it.
    let mode = Metadata { mode: 0o107_755, ..metadata() };
    assert_eq!(&write_file(b"f", &mode)[100..108], b"0007755\0");
}

#[test]
fn names_use_the_prefix_before_pax() {
    let name = |len: usize| "n".repeat(len);
    let fits = |path: &str| records(&write_file(path.as_bytes(), &metadata())).is_empty();
    assert!(fits(&name(100)) && !fits(&name(101)));
    assert!(fits(&(name(155) + "/" + &name(100))));
    assert!(!fits(&(name(156) + "/" + &name(99))) && !fits(&(name(155) + "/" + &name(101))));
    assert!(!fits(&("/".to_owned() + &name(101))));
    let written = write_file((name(90) + "/" + &name(20)).as_bytes(), &metadata());
    assert_eq!(
        (&written[..21], &written[345..436]),
        ([name(20).as_bytes(), b"\0"].concat().as_slice(), [name(90).as_bytes(), b"\0"].concat().as_slice())
    );
    let directory = write((name(90) + "/" + &name(20)).as_bytes(), b"", Kind::Directory, &metadata(), b"");
    assert_eq!(&directory[19..22], b"n/\0");
}

#[test]
fn pax_says_what_ustar_cannot() {
    let file = |path: &[u8], metadata: &Metadata| records(&write_file(path, metadata));
    assert_eq!(file("caf\u{e9}".as_bytes(), &metadata()), r"14 path=caf\xc3\xa9\n");
    assert_eq!(file(b"caf\xe9", &metadata()), "", "every reader takes it for bytes");
    let long = [&[b'x'; 100][..], b"\xe9"].concat();
    assert!(file(&long, &metadata()).starts_with(r"21 hdrcharset=BINARY\n111 path=xxx"));
    let time = |seconds, nanos| file(b"f", &Metadata { mtime: Mtime { seconds, nanos }, ..metadata() });
    assert_eq!(time(5, 0), "");
    assert_eq!(time(5, 500_000_000), r"13 mtime=5.5\n");
    assert_eq!(time(0, 1), r"21 mtime=0.000000001\n");
    assert_eq!(time(-1, 0), r"12 mtime=-1\n");
    assert_eq!(time(-1, 750_000_000), r"15 mtime=-0.25\n");
    assert_eq!(time(-2, 999_999_999), r"22 mtime=-1.000000001\n");
    assert_eq!(time(0o77_777_777_777, 0), "");
    assert_eq!(time(0o100_000_000_000, 0), r"20 mtime=8589934592\n");
    let owner = Metadata { uid: 0o10_000_000, gid: u32::MAX - 1, ..metadata() };
    assert_eq!(file(b"f", &owner), r"18 gid=4294967294\n15 uid=2097152\n");
    let xattrs = [(&b"user.a=b%c\xff"[..], &b"\0\xff"[..]), (b"user.b", b"\n")];
    let xattrs = xattrs.into_iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    assert_eq!(
        file(b"f", &Metadata { xattrs, ..metadata() }),
        r"42 LIBARCHIVE.xattr.user.a%3Db%25c%FF=AP8\n25 SCHILY.xattr.user.b=\n\n"
    );
    let mut large = Vec::new();
    Header { path: b"f", link: b"", kind: Kind::File, metadata: &metadata(), size: 1 << 33 }
        .write(&mut large)
        .unwrap();
    assert_eq!(records(&large), r"19 size=8589934592\n");
    // Who knows no PAX finds it in the header as well.
    assert_eq!(&large[1024 + 124..1024 + 136], b"\x80\0\0\0\0\0\0\x02\0\0\0\0");
    // The extended header says nothing about us.
    assert_eq!(
        (&large[..15], &large[100..124]),
        (&b"././@PaxHeader\0"[..], &b"0000644\x000000000\x000000000\0"[..])
    );
    assert_eq!(&large[136..148], b"00000000000\0");
}

#[test]
fn what_no_tar_can_say_is_refused() {
    let refused = |path: &[u8], link: &[u8], kind, size, metadata: &Metadata| {
        let mut out = Vec::new();
        assert_eq!(
            Header { path, link, kind, metadata, size }.write(&mut out).unwrap_err().code(),
            "invalid_tar"
        );
        assert!(out.is_empty());
    };
    let plain = metadata();
    refused(b"", b"", Kind::File, 0, &plain);
    refused(b"a\0b", b"", Kind::File, 0, &plain);
    refused(b"a/", b"", Kind::File, 0, &plain);
    refused(b"a", b"", Kind::Symlink, 0, &plain);
    refused(b"a", b"a\0", Kind::HardLink, 0, &plain);
    refused(b"a", b"", Kind::Directory, 1, &plain);
    refused(b"a", b"", Kind::File, 1 << 63, &plain);
    refused(
        b"a",
        b"",
        Kind::File,
        0,
        &Metadata { mtime: Mtime { seconds: 0, nanos: 1_000_000_000 }, ..metadata() },
    );
    refused(b"a", b"", Kind::File, 0, &Metadata { xattrs: [(Vec::new(), Vec::new())].into(), ..metadata() });
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        8 => "[a-z]{1,12}".prop_map(std::string::String::into_bytes),
        1 => "[a-z]{90,120}".prop_map(std::string::String::into_bytes),
        1 => "\\PC{1,20}".prop_map(std::string::String::into_bytes),
        1 => prop::collection::vec(1u8.., 1..20),
    ];
    let part = part.prop_map(|part| {
        part.into_iter().map(|byte| if byte == b'/' { b'_' } else { byte }).collect::<Vec<_>>()
    });
    let part = part.prop_filter("a name", |part| !matches!(&part[..], b"." | b".."));
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join(&b'/'))
}

/// The `tar` crate writes long names only where they begin as UTF-8.
fn short() -> impl Strategy<Value = Vec<u8>> {
    name().prop_filter("can be written", |name| name.len() <= 100 || core::str::from_utf8(name).is_ok())
}

fn kind() -> impl Strategy<Value = Kind> {
    let number = || prop_oneof![0u32..5000, any::<u32>()];
    prop_oneof![
        4 => Just(Kind::File),
        1 => Just(Kind::Directory),
        1 => Just(Kind::Symlink),
        1 => Just(Kind::HardLink),
        1 => Just(Kind::Fifo),
        1 => (number(), number()).prop_map(|(major, minor)| Kind::CharDevice { major, minor }),
        1 => (number(), number()).prop_map(|(major, minor)| Kind::BlockDevice { major, minor }),
    ]
}

fn any_metadata() -> impl Strategy<Value = Metadata> {
    let id = || prop_oneof![0u32..3, 2_097_150u32..2_097_155, 0..u32::MAX];
    let seconds = prop_oneof![0i64..2_000_000_000, -3i64..3, any::<i64>(), Just(i64::MIN)];
    let nanos = prop_oneof![3 => Just(0u32), 1 => 0u32..1_000_000_000, 1 => Just(500_000_000u32)];
    let attribute = ("(user|security|trusted)\\.[a-z%=.]{1,9}", prop::collection::vec(any::<u8>(), 0..40));
    let attribute = attribute.prop_map(|(name, value)| (name.into_bytes(), value));
    let xattrs =
        prop::collection::vec(attribute, 0..4).prop_map(|list| list.into_iter().collect::<BTreeMap<_, _>>());
    (0u32..0o10_000, id(), id(), seconds, nanos, xattrs).prop_map(
        |(mode, uid, gid, seconds, nanos, xattrs)| Metadata {
            mode,
            uid,
            gid,
            mtime: Mtime { seconds, nanos },
            xattrs,
        },
    )
}

#[cfg(unix)]
fn os_path(bytes: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt;
    std::path::Path::new(std::ffi::OsStr::from_bytes(bytes))
}

type Written = (Vec<u8>, Vec<u8>, Kind, Metadata, Vec<u8>);

fn entries() -> impl Strategy<Value = Vec<Written>> {
    let length = prop_oneof![Just(0usize), 1usize..20, 500usize..1100];
    let content = length.prop_flat_map(|len| prop::collection::vec(any::<u8>(), len));
    let entry = (name(), name(), kind(), any_metadata(), content).prop_map(
        |(path, link, kind, metadata, content)| {
            let link = if matches!(kind, Kind::Symlink | Kind::HardLink) { link } else { Vec::new() };
            let content = if kind == Kind::File { content } else { Vec::new() };
            (path, link, kind, metadata, content)
        },
    );
    prop::collection::vec(entry, 0..6)
}

fn write_all(entries: &[Written]) -> Vec<u8> {
    let parts: Vec<_> = entries
        .iter()
        .map(|(path, link, kind, metadata, content)| write(path, link, *kind, metadata, content))
        .collect();
    tar(&parts)
}

/// The `tar` crate cuts records at line ends, not by their lengths.
fn without_line_ends(entries: Vec<Written>) -> Vec<Written> {
    let plain = |bytes: Vec<u8>| {
        bytes.into_iter().map(|byte| if byte == b'\n' { b'_' } else { byte }).collect::<Vec<_>>()
    };
    let plain = |(path, link, kind, mut metadata, content): Written| {
        metadata.xattrs = metadata.xattrs.into_iter().map(|(name, value)| (name, plain(value))).collect();
        (plain(path), plain(link), kind, metadata, content)
    };
    entries.into_iter().map(plain).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn our_parser_reads_what_was_written(entries in entries()) {
        let written = write_all(&entries);
        let reads = good(&written);
        prop_assert_eq!(reads.len(), entries.len());
        let mut end = 0;
        for (read, (path, link, kind, metadata, content)) in reads.iter().zip(&entries) {
            let entry = &read.entry;
            let path = if *kind == Kind::Directory { [path, &b"/"[..]].concat() } else { path.clone() };
            prop_assert_eq!((&entry.path, &entry.link, entry.kind), (&path, link, *kind));
            prop_assert_eq!((&entry.metadata, &read.content), (metadata, content));
            prop_assert_eq!(entry.header_at, end);
            end = entry.end_at();
            // Copied or written anew, the bytes are the same.
            let start = usize::try_from(entry.header_at).unwrap();
            let mut again = Vec::new();
            entry.header().write(&mut again).unwrap();
            prop_assert_eq!(&again[..], &written[start..usize::try_from(entry.data_at).unwrap()]);
        }
    }

    #[test]
    fn the_tar_crate_reads_what_was_written(entries in entries().prop_map(without_line_ends)) {
        let written = write_all(&entries);
        let mut archive = ::tar::Archive::new(&written[..]);
        let mut count = 0;
        for (read, (path, link, kind, metadata, content)) in archive.entries().unwrap().zip(&entries) {
            let mut read = read.unwrap();
            count += 1;
            let path = if *kind == Kind::Directory { [path, &b"/"[..]].concat() } else { path.clone() };
            prop_assert_eq!(&read.path_bytes().into_owned(), &path);
            prop_assert_eq!(&read.link_name_bytes().unwrap_or_default().into_owned(), link);
            let mut seen = vec![];
            read.read_to_end(&mut seen).unwrap();
            prop_assert_eq!(&seen, content);
            let header = read.header().clone();
            prop_assert_eq!(header.mode().unwrap(), metadata.mode);
            prop_assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (u64::from(metadata.uid), u64::from(metadata.gid)));
            if metadata.mtime.seconds >= 0 {
                prop_assert_eq!(header.mtime().unwrap(), metadata.mtime.seconds.cast_unsigned());
            }
            let kinds = (header.entry_type().as_byte(), *kind);
            let same = matches!(
                kinds,
                (b'0', Kind::File) | (b'1', Kind::HardLink) | (b'2', Kind::Symlink) | (b'5', Kind::Directory) | (b'6', Kind::Fifo)
                    | (b'3', Kind::CharDevice { .. }) | (b'4', Kind::BlockDevice { .. })
            );
            prop_assert!(same, "{:?}", kinds);
            for record in read.pax_extensions().unwrap().into_iter().flatten() {
                let record = record.unwrap();
                if let Some(name) = record.key_bytes().strip_prefix(b"SCHILY.xattr.") {
                    prop_assert_eq!(metadata.xattrs.get(name).map(|value| &value[..]), Some(record.value_bytes()));
                }
            }
        }
        prop_assert_eq!(count, entries.len());
    }

    #[cfg(unix)]
    #[test]
    fn what_the_tar_crate_writes_is_read(
        entries in prop::collection::vec((short(), short(), 0u32..0o10_000, 0u64..0xffff_fffe, 0u64..1 << 40, prop::collection::vec(any::<u8>(), 0..700)), 0..5),
    ) {
        let mut builder = ::tar::Builder::new(Vec::new());
        for (at, (path, link, mode, uid, mtime, content)) in entries.iter().enumerate() {
            let mut header = ::tar::Header::new_gnu();
            header.set_mode(*mode);
            header.set_uid(*uid);
            header.set_gid(7);
            header.set_mtime(*mtime);
            let name = os_path(path);
            if at % 2 == 0 {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, name, &content[..]).unwrap();
            } else {
                header.set_size(0);
                header.set_entry_type(::tar::EntryType::Symlink);
                builder.append_link(&mut header, name, os_path(link)).unwrap();
            }
        }
        let reads = good(&builder.into_inner().unwrap());
        prop_assert_eq!(reads.len(), entries.len());
        for (at, (read, (path, link, mode, uid, mtime, content))) in reads.iter().zip(&entries).enumerate() {
            let metadata = &read.entry.metadata;
            prop_assert_eq!(&read.entry.path, path);
            prop_assert_eq!((metadata.mode, u64::from(metadata.uid)), (*mode, *uid));
            prop_assert_eq!(metadata.mtime, Mtime::from_seconds(mtime.cast_signed()));
            if at % 2 == 0 {
                prop_assert_eq!((read.entry.kind, &read.content), (Kind::File, content));
            } else {
                prop_assert_eq!((read.entry.kind, &read.entry.link), (Kind::Symlink, link));
            }
        }
    }
}
