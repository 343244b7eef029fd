//! The rules of reading, on headers made byte by byte.

use alloc::vec;
use alloc::vec::Vec;
use std::string::ToString;

use super::harness::*;
use crate::limits::Limits;
use crate::tar::{Kind, Mtime, Note, Notes, Segment};

fn one(parts: &[Vec<u8>]) -> Read {
    let mut reads = good(&tar(parts));
    assert_eq!(reads.len(), 1);
    reads.remove(0)
}

fn notes(list: &[Note]) -> Notes {
    let mut notes = Notes::NONE;
    list.iter().for_each(|note| notes.insert(*note));
    notes
}

#[test]
fn plain_entries_of_each_kind() {
    let device = |typeflag| Raw::new(typeflag, "d", 0).put(329, b"0000010\0").put(337, b"0000003\0").block();
    let stack = tar(&[
        file("f", b"hello"),
        Raw::new(0, "old", 3).v7().with(b"abc"),
        Raw::new(b'7', "contiguous", 0).block(),
        Raw::new(b'1', "hard", 0).put(157, b"f").block(),
        Raw::new(b'2', "soft", 0).put(157, b"../f").block(),
        device(b'3'),
        device(b'4'),
        Raw::new(b'5', "dir/", 0).put(100, b"0001777\0").block(),
        Raw::new(b'6', "pipe", 0).block(),
    ]);
    let reads = good(&stack);
    let kinds: Vec<_> = reads.iter().map(|read| read.entry.kind).collect();
    let (major, minor) = (8, 3);
    assert_eq!(
        kinds,
        [
            Kind::File,
            Kind::File,
            Kind::File,
            Kind::HardLink,
            Kind::Symlink,
            Kind::CharDevice { major, minor },
            Kind::BlockDevice { major, minor },
            Kind::Directory,
            Kind::Fifo
        ]
    );
    assert!(reads.iter().all(|read| read.entry.notes.is_empty()));
    let verbatim: Vec<_> = reads.iter().map(|read| read.entry.verbatim).collect();
    assert_eq!(verbatim, [true, true, false, true, true, true, true, true, true]);
    let first = &reads[0].entry;
    assert_eq!((&first.path[..], &reads[0].content[..]), (&b"f"[..], &b"hello"[..]));
    assert_eq!((first.metadata.mode, first.metadata.uid, first.metadata.gid), (0o644, 1000, 50));
    assert_eq!(first.metadata.mtime, Mtime::from_seconds(100));
    assert_eq!((first.header_at, first.data_at, first.size, first.stored), (0, 512, 5, 5));
    assert_eq!((reads[1].entry.header_at, reads[1].content.len()), (1024, 3));
    assert_eq!((&reads[3].entry.link[..], &reads[4].entry.link[..]), (&b"f"[..], &b"../f"[..]));
    assert_eq!((reads[7].entry.metadata.mode, reads[0].entry.link.len()), (0o1777, 0));
}

#[test]
fn l18_regular_entries_named_as_directories_are_directories() {
    for typeflag in [0, b'0'] {
        let read = one(&[Raw::new(typeflag, "d/", 0).v7().block()]);
        assert_eq!((read.entry.kind, read.entry.verbatim), (Kind::Directory, false));
        assert_eq!(read.entry.notes, notes(&[Note::DirectoryByName]));
    }
    let by_pax = one(&[pax(b'x', &[("path", b"long/")]), file("x", b"")]);
    assert_eq!(by_pax.entry.kind, Kind::Directory);
    assert!(bad(&tar(&[file("d/", b"content")])).contains("has content"));
    assert!(bad(&tar(&[Raw::new(0, "d/", 5).v7().block()])).contains("has content"));
    assert_eq!(one(&[Raw::new(b'5', "d/", 5).block()]).entry.notes, notes(&[Note::StraySize]));
}

#[test]
fn l18_volume_labels_are_skipped_and_unknown_types_refused() {
    let (reads, counts) = read(&tar(&[Raw::new(b'V', "label", 0).gnu().block(), file("f", b"x")])).unwrap();
    assert_eq!((reads.len(), counts.of(Note::VolumeLabel), reads[0].entry.verbatim), (1, 1, true));
    let labelled = tar(&[Raw::new(b'V', "label", 3).gnu().with(b"abc"), file("f", b"x")]);
    assert_eq!(good(&labelled).len(), 1);
    assert!(
        bad(&tar(&[long(b'L', "n"), Raw::new(b'V', "l", 0).block(), file("f", b"x")]))
            .contains("volume label")
    );
    for typeflag in [b'D', b'M', b'N', b'X', b'A', b'8', b'a', 0xff, b' '] {
        assert!(bad(&tar(&[Raw::new(typeflag, "f", 0).gnu().block()])).contains("unknown type"));
    }
    assert!(bad(&tar(&[Raw::new(b'S', "f", 0).block()])).contains("unknown type"), "S is GNU's");
}

#[test]
fn names_take_the_prefix_of_their_format() {
    let prefixed = |raw: Raw| raw.put(345, b"some/where");
    let path = |raw: Raw| one(&[raw.block()]).entry.path;
    assert_eq!(path(prefixed(Raw::new(b'0', "f", 0))), b"some/where/f");
    assert_eq!(path(prefixed(Raw::new(b'0', "f", 0)).put(508, b"tar\0")), b"some/where/f", "star");
    assert!(bad(&tar(&[prefixed(Raw::new(b'0', "f", 0)).put(263, b"01").block()])).contains("unknown magic"));
    assert_eq!(path(Raw::new(b'0', "f", 0).put(263, b"  ")), b"f");
    for typeflag in [b'x', b'g', b'L', b'K'] {
        for magic in [&[0; 8][..], b"ustar\0 0", b"USTAR\x0000"] {
            let extension = Raw::new(typeflag, "f", 0).put(257, magic).block();
            assert!(bad(&tar(&[extension])).contains("of unknown magic"));
        }
    }
    let full = vec![b'p'; 155];
    let long_name = vec![b'n'; 100];
    let both = Raw::new(b'0', "", 0).put(345, &full).put(0, &long_name);
    assert_eq!(path(both), [&full[..], b"/", &long_name].concat());
    // GNU keeps times there.
    let times = Raw::new(b'0', "f", 0).gnu().put(345, b"00000000144\0");
    let read = one(&[times.block()]);
    assert_eq!((&read.entry.path[..], read.entry.notes), (&b"f"[..], notes(&[Note::OtherTimes])));
    let star = Raw::new(b'0', "f", 0).put(508, b"tar\0").put(476, b"00000000144 ").put(488, b"00000000145 ");
    assert_eq!(one(&[star.clone().block()]).entry.notes, notes(&[Note::OtherTimes]));
    assert!(bad(&tar(&[star.put(345, &[b'p'; 131]).block()])).contains("prefix has no end"));
    assert!(bad(&tar(&[prefixed(Raw::new(b'0', "f", 0).v7()).block()])).contains("unknown magic"));
    assert!(
        bad(&tar(&[prefixed(Raw::new(b'0', "f", 0)).put(257, b"USTAR").block()])).contains("unknown magic")
    );
}

#[test]
fn l21_checksums_must_match() {
    let mut broken = file("f", b"");
    broken[0] = b'g';
    assert!(bad(&tar(&[broken])).contains("checksum"));
    // Old Sun tars summed signed bytes.
    let mut block = Raw::new(b'0', "\u{e9}", 0).block();
    block[148..156].copy_from_slice(b"        ");
    let sum: i32 = block.iter().map(|byte| i32::from(*byte as i8)).sum();
    block[148..156].copy_from_slice(std::format!("{sum:06o}\0 ").as_bytes());
    let read = one(&[block]);
    assert_eq!((read.entry.notes, read.entry.verbatim), (notes(&[Note::SignedChecksum]), false));
}

#[test]
fn l21_pax_beats_gnu_beats_the_header() {
    let gnu = || [long(b'L', "gnu/name"), long(b'K', "gnu/link")].concat();
    let link = || Raw::new(b'2', "plain", 0).put(157, b"text").block();
    let named = |parts: &[Vec<u8>]| {
        let entry = one(parts).entry;
        (entry.path, entry.link, entry.verbatim)
    };
    assert_eq!(named(&[link()]), (b"plain".to_vec(), b"text".to_vec(), true));
    assert_eq!(named(&[gnu(), link()]), (b"gnu/name".to_vec(), b"gnu/link".to_vec(), true));
    let records: &[(&str, &[u8])] = &[("path", b"pax/name"), ("linkpath", b"pax/link")];
    for parts in [[pax(b'x', records), gnu(), link()], [gnu(), pax(b'x', records), link()]] {
        assert_eq!(named(&parts), (b"pax/name".to_vec(), b"pax/link".to_vec(), false));
    }
    let empty: &[(&str, &[u8])] = &[("path", b""), ("linkpath", b"")];
    assert_eq!(named(&[pax(b'x', empty), link()]), (b"plain".to_vec(), b"text".to_vec(), true));

    let records: &[(&str, &[u8])] =
        &[("size", b"5"), ("uid", b"4000000000"), ("gid", b"7"), ("mtime", b"-1.5")];
    let read = one(&[pax(b'x', records), Raw::new(b'0', "f", 99).with(b"hello")]);
    let metadata = &read.entry.metadata;
    assert_eq!((&read.content[..], read.entry.size, read.entry.verbatim), (&b"hello"[..], 5, false));
    assert_eq!((metadata.uid, metadata.gid), (4_000_000_000, 7));
    assert_eq!(metadata.mtime, Mtime { seconds: -2, nanos: 500_000_000 });
    assert_eq!((read.entry.header_at, read.entry.data_at), (0, 1536));
}

/// The trap of CVE-2025-62518: a reader that takes the header's size sees entries inside the content.
#[test]
fn l21_a_pax_size_decides_where_the_next_header_is() {
    let inner = [file("inner", b""), file("inner2", b"")].concat();
    let size = inner.len().to_string();
    let outer = [
        pax(b'x', &[("size", size.as_bytes())]),
        Raw::new(b'0', "outer", 0).block(),
        inner.clone(),
        file("after", b""),
    ];
    let reads = good(&tar(&outer));
    let names: Vec<_> = reads.iter().map(|read| &read.entry.path[..]).collect();
    assert_eq!((names, &reads[0].content), (vec![&b"outer"[..], b"after"], &inner));
    assert!(!reads[0].entry.verbatim, "the output must not be read in two ways");
}

#[test]
fn l21_two_extension_headers_of_one_kind_are_refused() {
    let local = || pax(b'x', &[("mtime", b"1")]);
    assert!(bad(&tar(&[local(), local(), file("f", b"")])).contains("two PAX headers"));
    assert!(
        bad(&tar(&[long(b'L', "a"), local(), long(b'L', "a"), file("f", b"")]))
            .contains("two GNU long names")
    );
    assert!(bad(&tar(&[long(b'K', "a"), long(b'K', "a"), file("f", b"")])).contains("two GNU long links"));
    assert!(
        bad(&tar(&[local(), pax(b'g', &[("mtime", b"1")]), file("f", b"")])).contains("global one between")
    );
    let globals = [pax(b'g', &[("mtime", b"1")]), pax(b'g', &[("mtime", b"2")]), file("f", b"")];
    assert_eq!(one(&globals).entry.metadata.mtime, Mtime::from_seconds(2));
}

#[test]
fn l18_global_headers_are_folded_in() {
    let global =
        pax(b'g', &[("mtime", b"7.5"), ("uid", b"9"), ("SCHILY.xattr.user.a", b"g"), ("comment", b"abc")]);
    let (reads, counts) = read(&tar(&[
        global,
        file("f", b""),
        pax(b'x', &[("uid", b""), ("mtime", b"1"), ("SCHILY.xattr.user.a", b"l")]),
        file("g", b""),
    ]))
    .unwrap();
    let [first, second] = [&reads[0].entry, &reads[1].entry];
    assert_eq!((first.metadata.uid, first.metadata.mtime), (9, Mtime { seconds: 7, nanos: 500_000_000 }));
    assert_eq!(first.metadata.xattrs.get(&b"user.a"[..]).unwrap(), b"g");
    assert_eq!((second.metadata.uid, second.metadata.mtime), (1000, Mtime::from_seconds(1)));
    assert_eq!(second.metadata.xattrs.get(&b"user.a"[..]).unwrap(), b"l");
    assert!(!first.verbatim && !second.verbatim);
    assert_eq!((counts.of(Note::GlobalRecords), counts.of(Note::OtherRecords)), (2, 1));
    // `git archive` only comments.
    let read = one(&[pax(b'g', &[("comment", b"0123")]), file("f", b"")]);
    assert_eq!((read.entry.verbatim, read.entry.header_at), (true, 1024));
    assert!(bad(&tar(&[pax(b'g', &[("size", b"1")]), file("f", b"")])).contains("one entry's own"));
}

#[test]
fn l12_a_hard_link_has_no_content_whatever_its_size() {
    let link = Raw::new(b'1', "h", 1024).put(157, b"f").block();
    let reads = good(&tar(&[link, file("f", b"x")]));
    assert_eq!((reads.len(), reads[0].entry.size, reads[0].entry.stored), (2, 0, 0));
    assert_eq!((reads[0].entry.notes, reads[0].entry.verbatim), (notes(&[Note::StraySize]), false));
    for typeflag in [b'1', b'2', b'3', b'5', b'6'] {
        let entry = Raw::new(typeflag, "h", 0).put(157, b"f").block();
        assert!(bad(&tar(&[pax(b'x', &[("size", b"9")]), entry.clone()])).contains("PAX size"));
        assert_eq!(one(&[pax(b'x', &[("size", b"0")]), entry]).entry.size, 0);
    }
    assert!(bad(&tar(&[Raw::new(b'2', "s", 0).block()])).contains("without a target"));
}

#[test]
fn l15_attributes_survive_and_the_rest_is_noted() {
    let records: &[(&str, &[u8])] = &[
        ("SCHILY.xattr.security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        ("SCHILY.acl.access", b"user::rw-,group::r--,other::---"),
        ("RHT.security.selinux", b"system_u:object_r:bin_t:s0"),
    ];
    let read = one(&[pax(b'x', records), file("f", b"")]);
    let names: Vec<_> =
        read.entry.metadata.xattrs.keys().map(|name| name.escape_ascii().to_string()).collect();
    assert_eq!(names, ["security.capability", "security.selinux", "system.posix_acl_access"]);
    assert!(!read.entry.verbatim && read.entry.notes.is_empty());
    let plain = one(&[pax(b'x', &[("SCHILY.xattr.user.a", b"\0\n")]), file("f", b"")]);
    assert!(plain.entry.verbatim);

    for (key, note) in [
        ("atime", Note::OtherTimes),
        ("ctime", Note::OtherTimes),
        ("LIBARCHIVE.creationtime", Note::OtherTimes),
        ("uname", Note::OwnerNames),
        ("gname", Note::OwnerNames),
        ("MSWINDOWS.rawsd", Note::WindowsRecords),
        ("SCHILY.fflags", Note::FileFlags),
        ("SCHILY.acl.ace", Note::ForeignAcl),
        ("SCHILY.xattr.user.overlay.opaque", Note::OverlayXattrs),
        ("SCHILY.dev", Note::OtherRecords),
    ] {
        let (reads, counts) = read_all(key);
        assert_eq!((reads[0].entry.notes, counts.of(note)), (notes(&[note]), 1), "{key}");
        assert!(!reads[0].entry.verbatim && reads[0].entry.metadata.xattrs.is_empty());
    }
    let owned = one(&[Raw::new(b'0', "f", 0).put(265, b"root").block()]);
    assert_eq!((owned.entry.notes, owned.entry.verbatim), (notes(&[Note::OwnerNames]), false));
    let zero = one(&[Raw::new(b'3', "f", 0).block()]);
    assert_eq!((zero.entry.notes, zero.entry.verbatim), (notes(&[Note::ZeroDevice]), false));
    let large = one(&[pax(b'x', &[("SCHILY.devmajor", b"3000000")]), Raw::new(b'4', "f", 0).block()]);
    assert_eq!(large.entry.kind, Kind::BlockDevice { major: 3_000_000, minor: 0 });
}

fn read_all(key: &str) -> (Vec<Read>, crate::tar::Counts) {
    read(&tar(&[pax(b'x', &[(key, b"1")]), file("f", b"")])).unwrap()
}

#[test]
fn numbers_in_base_256_are_read() {
    let raw = Raw::new(b'0', "f", 0)
        .put(108, b"\x80\0\0\0\xff\xff\xff\xfe")
        .put(136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x9c")
        .put(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x02");
    let read = one(&[raw.with(b"ab")]);
    assert_eq!((read.entry.metadata.uid, read.entry.metadata.mtime.seconds), (u32::MAX - 1, -100));
    assert_eq!((&read.content[..], read.entry.verbatim), (&b"ab"[..], true));
    for (at, field) in [
        (108, &b"\x80\0\0\0\xff\xff\xff\xff"[..]),
        (116, b"\x80\0\0\x01\0\0\0\0"),
        (108, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        (124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        (124, b"\x80\0\0\0\x80\0\0\0\0\0\0\0"),
        (136, b"\x80\0\0\0\x80\0\0\0\0\0\0\0"),
        (124, b"0000000008\0\0"),
    ] {
        let message = bad(&tar(&[Raw::new(b'0', "f", 0).put(at, field).block()]));
        assert!(
            message.contains("out of range")
                || message.contains("nobody")
                || message.contains("not a number")
        );
    }
}

#[test]
fn l22_the_end() {
    let counts = |bytes: &[u8]| read(bytes).unwrap().1;
    let entry = file("f", b"x");
    assert_eq!(good(&[]).len(), 0);
    assert_eq!(counts(&[]).iter().count(), 0);
    assert_eq!(counts(&entry).of(Note::NoEndMarker), 1);
    assert_eq!(counts(&[&entry[..], &[0; 512]].concat()).of(Note::ShortEndMarker), 1);
    assert_eq!(counts(&[&entry[..], &[0; 1024]].concat()).iter().count(), 0);
    assert_eq!(counts(&[&entry[..], &[0; 10_240]].concat()).iter().count(), 0);
    assert_eq!(counts(&[&entry[..], &[0; 1500], b"x"].concat()).of(Note::TrailingData), 1);
    assert!(bad(&[&entry[..], &[0; 512], &entry].concat()).contains("zeros with more after it"));
    assert!(bad(&[&entry[..], &[0; 512], b"x"].concat()).contains("inside a header"));
    let long = [long(b'L', "name"), entry.clone()].concat();
    let content = long.len() - 511;
    for cut in 1..content {
        let message = bad(&long[..cut]);
        assert!(message.contains("it ends inside"), "{cut}: {message}");
    }
    // The content is whole, what fills its block is not.
    for cut in content..long.len() {
        let (reads, counts) = read(&long[..cut]).unwrap();
        assert_eq!((&reads[0].entry.path[..], &reads[0].content[..]), (&b"name"[..], &b"x"[..]));
        assert_eq!((counts.of(Note::CutPadding), counts.of(Note::NoEndMarker)), (1, 1), "{cut}");
    }
    for before in [pax(b'g', &[("comment", b"c")]), Raw::new(b'V', "v", 3).gnu().with(b"abc")] {
        assert!(bad(&before[..before.len() - 1]).contains("it ends inside"));
    }
    assert!(bad(&tar(&[pax(b'x', &[])])).contains("the end follows"));
    assert!(bad(&pax(b'x', &[])).contains("inside a header"));
    assert_eq!(counts(&pax(b'g', &[])).of(Note::NoEndMarker), 1);
}

#[test]
fn l25_errors_name_the_entry_and_the_byte() {
    let error = read(&tar(&[file("good", b"x"), file("bad/", b"x")])).unwrap_err();
    assert_eq!((error.place().entry.as_deref(), error.place().byte), (Some(&b"bad/"[..]), Some(1024)));
    let cut = read(&file("cut", b"content")[..515]).unwrap_err();
    assert_eq!((cut.place().entry.as_deref(), cut.place().byte), (Some(&b"cut"[..]), Some(515)));
}

#[test]
fn l24_limits_are_kept() {
    let message =
        |parts: &[Vec<u8>], limits: Limits| read_with(&tar(parts), &limits).unwrap_err().kind().to_string();
    let limits =
        Limits { path_bytes: 8, pax_bytes: 64, sparse_fragments: 2, sparse_bytes: 4096, ..Limits::default() };
    for parts in [
        vec![file("123456789", b"")],
        vec![long(b'L', "123456789"), file("f", b"")],
        vec![pax(b'x', &[("path", b"123456789")]), file("f", b"")],
        vec![Raw::new(b'2', "s", 0).put(157, b"123456789").block()],
    ] {
        assert_eq!(message(&parts, limits.clone()), "limit reached: path_bytes is 8");
    }
    let records: &[(&str, &[u8])] = &[("comment", &[b'x'; 60])];
    assert_eq!(
        message(&[pax(b'x', records), file("f", b"")], limits.clone()),
        "limit reached: pax_bytes is 64"
    );
    let huge = Raw::new(b'L', "n", 1 << 32).gnu().block();
    assert_eq!(message(&[huge], limits.clone()), "limit reached: pax_bytes is 64");
    let split = [long(b'K', &"k".repeat(40)), long(b'L', &"k".repeat(40)), file("f", b"")];
    assert_eq!(
        message(&split, Limits { path_bytes: 99, ..limits.clone() }),
        "limit reached: pax_bytes is 64"
    );
    let limits = Limits { pax_bytes: 4096, ..limits };
    let sparse = |size: &str, map: &str, blocks: &str| {
        let records: &[(&str, &[u8])] = &[
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.numblocks", blocks.as_bytes()),
            ("GNU.sparse.map", map.as_bytes()),
        ];
        [pax(b'x', records), file("f", b"")]
    };
    assert_eq!(
        message(&sparse("9", "0,0,1,0,2,0", "3"), limits.clone()),
        "limit reached: sparse_fragments is 2"
    );
    assert_eq!(message(&sparse("4097", "0,0", "1"), limits), "limit reached: sparse_bytes is 4096");
}

#[test]
fn gnu_long_names_are_c_strings() {
    let raw = |content: &[u8]| Raw::new(b'L', "././@LongLink", content.len() as u64).gnu().with(content);
    assert_eq!(one(&[raw(b"name"), file("f", b"")]).entry.path, b"name");
    assert_eq!(one(&[raw(b"name\0\0\0"), file("f", b"")]).entry.path, b"name");
    for content in [&b""[..], b"\0", b"name\0more"] {
        assert!(bad(&tar(&[raw(content), file("f", b"")])).contains("long name"));
    }
    assert!(bad(&tar(&[file("", b"")])).contains("without a name"));
}

fn stored() -> Vec<u8> {
    [vec![b'a'; 1024], vec![b'b'; 512], vec![b'c'; 100]].concat()
}

fn content() -> Vec<u8> {
    [
        vec![0; 512],
        vec![b'a'; 1024],
        vec![0; 2048],
        vec![b'b'; 512],
        vec![0; 4096],
        vec![b'c'; 100],
        vec![0; 7],
    ]
    .concat()
}

const SEGMENTS: [Segment; 3] = [
    Segment { offset: 512, len: 1024 },
    Segment { offset: 3584, len: 512 },
    Segment { offset: 8192, len: 100 },
];

fn check_sparse(read: &Read, name: &[u8]) {
    assert_eq!((&read.entry.path[..], read.entry.size, read.entry.stored), (name, 8299, 1636));
    assert_eq!(read.entry.sparse.as_ref().unwrap().segments(), SEGMENTS);
    assert!(read.content == content() && !read.entry.verbatim && read.entry.notes.contains(Note::Sparse));
}

fn old_gnu(fragments: &[(u64, u64)], size: u64) -> Vec<u8> {
    let field = |number: u64| std::format!("{number:011o}\0");
    let fields = |pairs: &[(u64, u64)]| {
        pairs.iter().map(|(at, len)| field(*at) + &field(*len)).collect::<std::string::String>()
    };
    let (first, rest) = fragments.split_at(fragments.len().min(4));
    let raw = Raw::new(b'S', "sparse", 1636)
        .gnu()
        .put(386, fields(first).as_bytes())
        .put(483, field(size).as_bytes());
    let mut blocks = raw.put(482, &[u8::from(!rest.is_empty())]).block();
    let mut chunks = rest.chunks(21).peekable();
    while let Some(chunk) = chunks.next() {
        let mut block = [0; 512];
        block[..chunk.len() * 24].copy_from_slice(fields(chunk).as_bytes());
        block[504] = u8::from(chunks.peek().is_some());
        blocks.extend_from_slice(&block);
    }
    [blocks, padded(&stored())].concat()
}

#[test]
fn l17_old_gnu_sparse_files() {
    let plain = [(512, 1024), (3584, 512), (8192, 100), (8299, 0)];
    check_sparse(&one(&[old_gnu(&plain, 8299)]), b"sparse");
    // The same in 60 fragments over three extension blocks.
    let mut many: Vec<(u64, u64)> = (0..56).map(|at| (at, 0)).collect();
    many.extend(plain);
    check_sparse(&one(&[old_gnu(&many, 8299)]), b"sparse");
    let all = tar(&[old_gnu(&many, 8299), file("after", b"x")]);
    assert_eq!(good(&all).len(), 2);
    for cut in [512, 1000, 1024, 1536] {
        assert!(bad(&all[..cut]).contains("inside a sparse map"));
    }
    let refused: &[(&[(u64, u64)], u64)] = &[
        (&[(512, 1024), (1000, 512), (8192, 100)], 8299),
        (&[(3584, 512), (512, 1024), (8192, 100)], 8299),
        (&[(512, 1024), (3584, 512), (8192, 100)], 8291),
        (&[(512, 1024), (3584, 512), (8192, 101)], 8299),
        (&[(512, 1024), (3584, 512)], 8299),
        (&[(512, 1024), (3584, 100), (8192, 512)], 9000),
    ];
    for (fragments, size) in refused {
        assert!(bad(&tar(&[old_gnu(fragments, *size)])).contains("sparse map"), "{fragments:?}");
    }
}

#[test]
fn l17_pax_sparse_files() {
    let numbers: Vec<u64> = SEGMENTS.iter().flat_map(|segment| [segment.offset, segment.len]).collect();
    let list = |apart: &str| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(apart);
    let body = Raw::new(b'0', "GNUSparseFile.0/x", 1636).with(&stored());

    let mut records = record("GNU.sparse.size", "8299");
    records.extend(record("GNU.sparse.numblocks", "3"));
    for segment in SEGMENTS {
        records.extend(record("GNU.sparse.offset", segment.offset.to_string()));
        records.extend(record("GNU.sparse.numbytes", segment.len.to_string()));
    }
    records.extend(record("path", "dir/file"));
    let zero_zero = Raw::new(b'x', "p", records.len() as u64).with(&records);
    check_sparse(&one(&[zero_zero, body.clone()]), b"dir/file");

    let map = list(",");
    let zero_one = |blocks: &str| {
        pax(
            b'x',
            &[
                ("GNU.sparse.size", b"8299"),
                ("GNU.sparse.numblocks", blocks.as_bytes()),
                ("GNU.sparse.name", b"dir/file"),
                ("GNU.sparse.map", map.as_bytes()),
                ("path", b"other"),
            ],
        )
    };
    check_sparse(&one(&[zero_one("3"), body.clone()]), b"dir/file");
    assert!(bad(&tar(&[zero_one("4"), body.clone()])).contains("sparse records"));

    let one_zero = |map: &str, minor: &str| {
        let header = pax(
            b'x',
            &[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", minor.as_bytes()),
                ("GNU.sparse.name", b"dir/file"),
                ("GNU.sparse.realsize", b"8299"),
            ],
        );
        let content = [padded(map.as_bytes()), stored()].concat();
        [header, Raw::new(b'0', "GNUSparseFile.0/x", content.len() as u64).with(&content)]
    };
    let map = "3\n".to_string() + &list("\n") + "\n";
    let read = one(&one_zero(&map, "0"));
    check_sparse(&read, b"dir/file");
    assert_eq!((read.entry.header_at, read.entry.data_at), (0, 2048));
    // A map of several blocks.
    let zeros: std::string::String = (0..200).map(|at| std::format!("{at}\n0\n")).collect();
    let long_map = "203\n".to_string() + &zeros + &list("\n") + "\n";
    check_sparse(&one(&one_zero(&long_map, "0")), b"dir/file");
    for (map, minor) in [
        (map.as_str(), "1"),
        ("3\n512\n1024\n", "0"),
        ("x\n", "0"),
        ("\n", "0"),
        ("1\n-1\n2\n", "0"),
        ("9999999999999999999\n", "0"),
        ("4294967296\n1\n2\n", "0"),
        ("0\n", "0"),
    ] {
        assert!(bad(&tar(&one_zero(map, minor))).contains("sparse"), "{map}");
    }
    let short = [
        pax(b'x', &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"0")]),
        Raw::new(b'0', "f", 5).with(b"0\n\0\0\0"),
    ];
    assert!(bad(&tar(&short)).contains("longer than the content"));
    assert!(bad(&tar(&[pax(b'x', &[("GNU.sparse.major", b"1")]), body.clone()])).contains("real size"));
    let on_directory =
        [pax(b'x', &[("GNU.sparse.size", b"0"), ("GNU.sparse.numblocks", b"0"), ("GNU.sparse.map", b"")])];
    let directory = [on_directory[0].clone(), Raw::new(b'5', "d/", 0).block()];
    assert!(bad(&tar(&directory)).contains("does not belong"));
    assert_eq!(one(&[on_directory[0].clone(), file("f", b"")]).entry.size, 0);
}

#[test]
fn an_error_is_repeated() {
    let mut parser = crate::tar::Parser::new(Limits::default());
    let error = parser.feed(&[b'x'; 512]).unwrap_err();
    assert_eq!(parser.feed(&[0; 512]).unwrap_err(), error);
    assert_eq!(parser.finish().unwrap_err(), error);
    assert_eq!(parser.skip(), 0);
}
