use alloc::vec::Vec;
use std::string::ToString;

use super::*;

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let mut len = key.len() + value.len() + 3;
    while len.to_string().len() + 1 + key.len() + 1 + value.len() + 1 != len {
        len = len.to_string().len() + key.len() + value.len() + 3;
    }
    [len.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat()
}

fn parse(records: &[(&str, &[u8])], scope: Scope) -> Result<Records> {
    let data: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
    Records::parse(&data, scope, &Limits::default())
}

fn local(records: &[(&str, &[u8])]) -> Records {
    parse(records, Scope::Local).unwrap()
}

#[test]
fn records_are_read() {
    let records = local(&[
        ("path", b"a=b\nc"),
        ("size", b"0012"),
        ("uid", b"4294967294"),
        ("mtime", b"12.5"),
        ("SCHILY.xattr.user.x", b"\0\n=\xff"),
        ("LIBARCHIVE.xattr.user.%25%3d", b"AP8"),
        ("SCHILY.xattr.user.empty", b""),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("atime", b"1"),
        ("MSWINDOWS.rawsd", b"x"),
        ("comment", b"hi"),
    ]);
    assert_eq!(records.path, Some(Some(b"a=b\nc".to_vec())));
    assert_eq!((records.size, records.uid), (Some(Some(12)), Some(Some(MAX_ID))));
    assert_eq!(records.mtime, Some(Some(Mtime { seconds: 12, nanos: 500_000_000 })));
    assert!(records.notes.iter().eq([
        Note::OtherTimes,
        Note::WindowsRecords,
        Note::OverlayXattrs,
        Note::OtherRecords
    ]));
    let xattrs: Vec<_> = records.xattrs(None).into_iter().collect();
    assert_eq!(
        xattrs,
        [
            (b"user.%=".to_vec(), b"\0\xff".to_vec()),
            (b"user.empty".to_vec(), Vec::new()),
            (b"user.x".to_vec(), b"\0\n=\xff".to_vec()),
        ]
    );
}

#[test]
fn broken_records_are_refused() {
    let good = record("path", b"abc");
    assert!(Records::parse(&good, Scope::Local, &Limits::default()).is_ok());
    for cut in 1..good.len() {
        assert!(Records::parse(&good[..cut], Scope::Local, &Limits::default()).is_err(), "{cut}");
        assert!(Records::parse(&good[cut..], Scope::Local, &Limits::default()).is_err(), "{cut}");
    }
    let broken: &[&[u8]] = &[
        b"\0",
        b"12 path=abc\n\0",
        b"+12 path=abc\n",
        b" 12 path=abc\n",
        b"12\tpath=abc\n",
        b"0xb path=abc\n",
        b"11 path=abc\n",
        b"13 path=abc\n",
        b"4 =\n\n",
        b"5 a\0\n",
        b"6 =abc\n",
        b"99999999999999999999999 path=abc\n",
        b"9223372036854775808 path=abc\n",
        b"0 path=abc\n",
        b"1 path=abc\n",
    ];
    for data in broken {
        assert!(Records::parse(data, Scope::Local, &Limits::default()).is_err(), "{}", data.escape_ascii());
    }
    let values: &[(&str, &[u8])] = &[
        ("path", b"a\0b"),
        ("size", b"-1"),
        ("size", b"+1"),
        ("size", b" 1"),
        ("size", b"1_0"),
        ("size", b"9223372036854775808"),
        ("uid", b"4294967295"),
        ("uid", b"-2"),
        ("mtime", b"1e3"),
        ("mtime", b".5"),
        ("mtime", b"--1"),
        ("mtime", b"1.-5"),
        ("mtime", b"9223372036854775808"),
        ("LIBARCHIVE.xattr.user.a", b"?"),
        ("LIBARCHIVE.xattr.user.%a", b""),
        ("LIBARCHIVE.xattr.user.%zz", b""),
        ("SCHILY.xattr.", b"x"),
        ("SCHILY.acl.access", b"hello"),
        ("GNU.sparse.what", b"1"),
        ("GNU.sparse.map", b"1,,2"),
        ("GNU.sparse.numbytes", b"1"),
    ];
    for (key, value) in values {
        assert!(parse(&[(key, value)], Scope::Local).is_err(), "{key}={}", value.escape_ascii());
    }
}

#[test]
fn times_are_rounded_down() {
    let cases: &[(&[u8], i64, u32)] = &[
        (b"0", 0, 0),
        (b"1.", 1, 0),
        (b"1.000000001", 1, 1),
        (b"1.0000000019", 1, 1),
        (b"-1", -1, 0),
        (b"-0.5", -1, 500_000_000),
        (b"-1.25", -2, 750_000_000),
        (b"-1.0000000001", -2, 999_999_999),
        (b"-1.9999999999", -2, 0),
        (b"-9223372036854775808", i64::MIN, 0),
        (b"-9223372036854775807.5", i64::MIN, 500_000_000),
        (b"9223372036854775807.9", i64::MAX, 900_000_000),
    ];
    for (text, seconds, nanos) in cases {
        let mtime = time(text).unwrap();
        assert_eq!(mtime, Mtime { seconds: *seconds, nanos: *nanos }, "{}", text.escape_ascii());
    }
}

#[test]
fn one_header_does_not_contradict_itself() {
    for (key, first, second) in [
        ("path", &b"a"[..], &b"b"[..]),
        ("size", b"1", b"2"),
        ("uid", b"1", b""),
        ("SCHILY.xattr.user.a", b"1", b"2"),
        ("SCHILY.acl.access", b"user::rwx,group::r-x,other::---", b"user::rwx,group::r-x,other::r--"),
    ] {
        assert!(parse(&[(key, first), (key, second)], Scope::Local).is_err(), "{key}");
        assert!(parse(&[(key, first), (key, first)], Scope::Local).is_ok(), "{key}");
    }
    // Both forms of one attribute, as libarchive writes them.
    let both = |value: &[u8]| {
        parse(&[("LIBARCHIVE.xattr.user.a", b"eA=="), ("SCHILY.xattr.user.a", value)], Scope::Local)
    };
    assert!(both(b"x").is_ok() && both(b"y").is_err());
}

#[test]
fn an_attribute_stated_outright_beats_what_is_implied() {
    let label = local(&[("RHT.security.selinux", b"label")]).xattrs(None);
    assert_eq!(label.get(&b"security.selinux"[..]).unwrap(), b"label\0");
    let label =
        local(&[("SCHILY.xattr.security.selinux", b"x"), ("RHT.security.selinux", b"label")]).xattrs(None);
    assert_eq!(label.get(&b"security.selinux"[..]).unwrap(), b"x");
    let named = local(&[("SCHILY.acl.access", b"user::rwx,user:joe:rwx,group::r-x,mask::rwx,other::---")]);
    assert!(named.notes.contains(Note::ForeignAcl) && named.xattrs(None).is_empty());
}

#[test]
fn global_records_lie_below_local_ones() {
    let mut global = Records::default();
    let first = parse(
        &[("mtime", b"1"), ("uid", b"5"), ("SCHILY.xattr.user.a", b"g"), ("SCHILY.xattr.user.b", b"g")],
        Scope::Global,
    );
    global.extend(first.unwrap(), &Limits::default()).unwrap();
    global.extend(parse(&[("uid", b"")], Scope::Global).unwrap(), &Limits::default()).unwrap();
    assert_eq!((global.mtime.is_some(), global.uid.is_some()), (true, false));
    let xattrs =
        local(&[("SCHILY.xattr.user.a", b""), ("SCHILY.xattr.user.b", b"l"), ("SCHILY.xattr.user.c", b"")])
            .xattrs(Some(&global));
    let xattrs: Vec<_> = xattrs.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    assert_eq!(xattrs, [(&b"user.b"[..], &b"l"[..]), (b"user.c", b"")]);

    for key in ["path", "linkpath", "size", "GNU.sparse.size", "GNU.sparse.major"] {
        assert!(parse(&[(key, b"1")], Scope::Global).is_err(), "{key}");
    }
    let large = parse(&[("SCHILY.xattr.user.a", &[b'x'; 70_000])], Scope::Global).unwrap();
    let error = Records::default().extend(large, &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "limit reached: global_pax_bytes is 65536");
}
