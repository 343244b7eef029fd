//! What the flattened tar is made of: ranges of the layers, headers of ours, holes, and what is kept for later.

use std::io::Write;
use std::process::{Command, Stdio};

use wharfie_core::merge::{Flatten, HELD_BACK, LayerIndex, Op, Options, Order, Plan, Step};
use wharfie_core::tar::{END_OF_ARCHIVE, Header, Kind, Metadata, Mtime, padding};
use wharfie_core::{Digest, Limits};

use super::stack::{Item, each_entry, flatten, names, resolve, scan, tar, view_of_tar};

fn item(path: &str, data: &str) -> Item {
    let metadata = Metadata { mode: 0o644, mtime: Mtime::from_seconds(1000), ..Metadata::default() };
    Item { path: path.into(), kind: Kind::File, link: Vec::new(), metadata, data: data.into() }
}

fn of_kind(path: &str, kind: Kind, link: &str) -> Item {
    Item { kind, link: link.into(), ..item(path, "") }
}

fn plan(tars: &[Vec<u8>], options: &Options) -> Plan {
    Plan::new(resolve(tars, options, usize::MAX, false).unwrap(), options).unwrap()
}

fn ops(tars: &[Vec<u8>], options: &Options) -> Vec<Op> {
    let mut plan = plan(tars, options);
    std::iter::from_fn(|| plan.next_op().unwrap()).collect()
}

#[test]
fn what_needs_no_change_is_one_range() {
    let layer = tar(&[
        item("a", "content"),
        of_kind("s", Kind::Symlink, "./a"),
        item("empty", ""),
        of_kind("b", Kind::HardLink, "a"),
        of_kind("tty", Kind::CharDevice { major: 4, minor: 1 }, ""),
        item(&"long/".repeat(60).replace("long/", "long"), "x"),
    ]);
    let options = Options::default();
    let end = (layer.len() - END_OF_ARCHIVE.len()) as u64;
    assert_eq!(
        ops(std::slice::from_ref(&layer), &options),
        [Op::Copy { layer: 0, from: 0, to: end }, Op::Write(END_OF_ARCHIVE.to_vec())]
    );
    assert!(flatten(std::slice::from_ref(&layer), &options, 100).unwrap() == layer);
}

#[test]
fn ranges_end_where_something_is_left_out_or_rewritten() {
    let below = tar(&[item("a", "1"), item("b", "2"), item("gone", "3"), item("c", "4"), item("d", "5")]);
    let above = tar(&[of_kind(".wh.gone", Kind::File, "")]);
    let ranges: Vec<Op> = ops(&[below, above], &Options::default());
    assert_eq!(
        ranges[..2],
        [Op::Copy { layer: 0, from: 0, to: 2048 }, Op::Copy { layer: 0, from: 3072, to: 5120 }]
    );
}

#[test]
fn a_rewritten_header_leaves_its_content_in_one_range_with_what_follows() {
    let mut first = item("x", "1");
    first.path = b"./x".to_vec();
    let layer = tar(&[first, item("b", "2")]);
    let ops = ops(std::slice::from_ref(&layer), &Options::default());
    let [Op::Write(header), Op::Copy { layer: 0, from: 512, to: 2048 }, Op::Write(end)] = &ops[..] else {
        panic!("{ops:?}");
    };
    assert_eq!((header.len(), end.len()), (512, 1024));
    assert_eq!(names(&flatten(&[layer], &Options::default(), 77).unwrap()), ["x", "b"]);
}

#[test]
fn l12_a_link_s_own_header_is_kept_only_if_it_says_what_the_inode_is() {
    let same = tar(&[item("a", "1"), of_kind("b", Kind::HardLink, "a")]);
    assert_eq!(ops(&[same], &Options::default()).len(), 2);
    let mut odd = of_kind("b", Kind::HardLink, "a");
    odd.metadata.mode = 0o600;
    let odd = tar(&[item("a", "1"), odd]);
    assert_eq!(ops(std::slice::from_ref(&odd), &Options::default()).len(), 2);
    let flat = flatten(std::slice::from_ref(&odd), &Options::default(), 99).unwrap();
    assert!(flat != odd);
    view_of_tar(&flat, Order::Stream);
}

#[test]
fn l15_owner_names_are_dropped() {
    let mut header = ::tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    header.set_username("root").unwrap();
    header.set_groupname("wheel").unwrap();
    let mut builder = ::tar::Builder::new(Vec::new());
    builder.append_data(&mut header, "a", &b"x"[..]).unwrap();
    let layer = builder.into_inner().unwrap();
    for order in [Order::Stream, Order::Canonical] {
        let mut options = Options::default();
        options.order = order;
        let flat = flatten(std::slice::from_ref(&layer), &options, 512).unwrap();
        assert!(!flat.windows(5).any(|bytes| bytes == b"wheel"));
        let mut archive = ::tar::Archive::new(&flat[..]);
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!((entry.path_bytes().as_ref(), entry.size()), (&b"a"[..], 1));
    }
}

#[test]
fn times_after_the_chosen_one_become_it() {
    let mut old = item("old", "1");
    old.metadata.mtime = Mtime { seconds: 5, nanos: 7 };
    let layer = tar(&[item("d/new", "2"), old, of_kind("link", Kind::HardLink, "d/new")]);
    let mut options = Options::default();
    options.mtime_max = Some(Mtime { seconds: 6, nanos: 0 });
    for order in [Order::Stream, Order::Canonical] {
        options.order = order;
        let view = view_of_tar(&flatten(std::slice::from_ref(&layer), &options, 512).unwrap(), order);
        let mtime = |path: &[u8]| view[path].metadata.mtime;
        assert_eq!(mtime(b"d/new"), Mtime { seconds: 6, nanos: 0 });
        assert_eq!(mtime(b"old"), Mtime { seconds: 5, nanos: 7 });
        assert_eq!(mtime(b"d"), Mtime::default());
    }
}

/// A sparse file in PAX 1.0 form, and links to it.
fn sparse(path: &str, size: u64, segments: &[(u64, &str)], more: &[Item]) -> Vec<u8> {
    let mut map = format!("{}\n", segments.len());
    let mut stored = String::new();
    for (offset, data) in segments {
        map += &format!("{offset}\n{}\n", data.len());
        stored += data;
    }
    let mut body = map.into_bytes();
    body.resize(body.len().next_multiple_of(512), 0);
    body.extend_from_slice(stored.as_bytes());
    let mut records = String::new();
    for (key, value) in [
        ("GNU.sparse.major", "1".to_string()),
        ("GNU.sparse.minor", "0".to_string()),
        ("GNU.sparse.name", path.to_string()),
        ("GNU.sparse.realsize", size.to_string()),
    ] {
        let bare = key.len() + value.len() + 3;
        let len = bare + (bare + bare.to_string().len()).to_string().len();
        records += &format!("{len} {key}={value}\n");
    }
    let mut out = Vec::new();
    let mut raw = |name: &str, kind: u8, content: &[u8]| {
        let metadata = Metadata { mode: 0o644, ..Metadata::default() };
        let at = out.len();
        Header {
            path: name.as_bytes(),
            link: b"",
            kind: Kind::File,
            metadata: &metadata,
            size: content.len() as u64,
        }
        .write(&mut out)
        .unwrap();
        let header = &mut out[at..at + 512];
        header[156] = kind;
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(content);
        out.resize(out.len() + padding(content.len() as u64), 0);
    };
    raw("pax", b'x', records.as_bytes());
    raw("GNUSparseFile.0/file", b'0', &body);
    out.extend(tar(more));
    out
}

#[test]
fn l17_sparse_files_come_out_plain() {
    let (block, blocks) = ("b".repeat(512), "c".repeat(1024));
    let segments = [(3, &block[..]), (1000, &blocks[..]), (2300, "h")];
    let mut content = vec![0; 2500];
    for (offset, data) in segments {
        content[offset as usize..offset as usize + data.len()].copy_from_slice(data.as_bytes());
    }
    let layer = sparse("s", 2500, &segments, &[item("z", "z"), of_kind("l", Kind::HardLink, "s")]);
    // As it is, and spooled because its first name is gone.
    for above in [tar(&[]), tar(&[item(".wh.s", "")])] {
        for order in [Order::Stream, Order::Canonical] {
            let mut options = Options::default();
            options.order = order;
            let flat = flatten(&[layer.clone(), above.clone()], &options, 300).unwrap();
            let view = view_of_tar(&flat, order);
            assert_eq!(view[&b"l"[..]].data, content);
            assert_eq!(view[&b"z"[..]].data, b"z");
        }
    }
    // All hole, and one that ends in data.
    for segments in [&[][..], &[(2499, "e")]] {
        let layer = sparse("s", 2500, segments, &[]);
        let view = view_of_tar(&flatten(&[layer], &Options::default(), 300).unwrap(), Order::Stream);
        assert_eq!(view[&b"s"[..]].data.len(), 2500);
        assert_eq!(view[&b"s"[..]].data.iter().filter(|byte| **byte != 0).count(), segments.len());
    }
}

#[test]
fn holes_cost_no_memory() {
    let size = 1 << 35;
    let layer = sparse("s", size, &[(size - 1, "x")], &[]);
    let options = Options::default();
    let plan = plan(&[layer], &options);
    let (total, uses) = plan.survey().unwrap();
    assert!(total > size && total < size + 4096);
    assert_eq!((uses[0].bytes, uses[0].ranges, uses[0].spooled), (1, 1, 0));
}

#[test]
fn a_survey_is_the_plan_counted() {
    let below =
        tar(&[item("z", "body"), item("k", "k"), of_kind("a", Kind::HardLink, "z"), item("gone", "g")]);
    let above = tar(&[item(".wh.z", ""), item(".wh.gone", ""), item("top", "t")]);
    let tars = [below, above];
    for order in [Order::Stream, Order::Canonical] {
        let mut options = Options::default();
        options.order = order;
        let (total, uses) = plan(&tars, &options).survey().unwrap();
        assert_eq!(total, flatten(&tars, &options, 64).unwrap().len() as u64);
        // Behind the last file that is needed nothing needs to be decoded.
        assert!(uses[0].end <= 2048 && uses[1].end <= 2560 && uses[1].end > 1024, "{uses:?}");
        assert_eq!(uses[0].spooled, if order == Order::Stream { 4 } else { 0 });
    }
}

#[test]
fn what_stands_in_padding_is_not_in_canonical_order() {
    let mut layer = tar(&[item("a", "1"), item("b", "2")]);
    layer[700] = b'!';
    let mut options = Options::default();
    assert!(flatten(std::slice::from_ref(&layer), &options, 64).unwrap() == layer);
    options.order = Order::Canonical;
    assert!(!flatten(&[layer], &options, 64).unwrap().contains(&b'!'));
}

#[test]
fn no_layers_and_empty_layers_are_an_empty_tar() {
    for tars in [vec![], vec![Vec::new()], vec![tar(&[]), Vec::new()]] {
        for order in [Order::Stream, Order::Canonical] {
            let mut options = Options::default();
            options.order = order;
            assert_eq!(flatten(&tars, &options, 10).unwrap(), END_OF_ARCHIVE);
        }
    }
}

#[test]
fn l25_errors_name_the_blob_as_well() {
    let digest: Digest =
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse().unwrap();
    let layer = tar(&[item("ok", ""), of_kind("l", Kind::HardLink, "nothing")]);
    let index = scan(0, &layer, 100, &Limits::default()).unwrap().with_blob(digest);
    let mut flatten = Flatten::new(1, &Options::default()).unwrap();
    let error = flatten.supply(index).unwrap_err();
    let place = error.place();
    assert_eq!((place.blob, place.layer, place.byte), (Some(digest), Some(0), Some(512)));
    assert_eq!(place.entry.as_deref(), Some(&b"l"[..]));
    assert_eq!(flatten.step(&mut [0; 10]).unwrap_err().code(), "internal", "it is inert");
}

#[test]
fn l23_a_tar_without_what_is_held_back_is_not_taken_for_whole() {
    let directory = of_kind("d", Kind::Directory, "");
    for last in [item("a", ""), item("a", "1"), item("a", &"x".repeat(512)), directory] {
        let flat = flatten(&[tar(&[item("z", "z"), last.clone()])], &Options::default(), 100).unwrap();
        let held_back = plan(&[tar(&[item("z", "z"), last.clone()])], &Options::default()).held_back();
        assert_eq!(held_back - HELD_BACK, usize::from(!last.data.is_empty()));
        let cut = &flat[..flat.len() - held_back];
        assert_eq!(scan(0, cut, 100, &Limits::default()).unwrap_err().code(), "invalid_tar");
        let mut theirs = ::tar::Archive::new(cut);
        let read = theirs.entries().unwrap().try_for_each(|entry| {
            let mut data = Vec::new();
            let mut entry = entry?;
            let size = entry.size();
            std::io::Read::read_to_end(&mut entry, &mut data)?;
            if data.len() as u64 == size { Ok(()) } else { Err(std::io::Error::other("short")) }
        });
        assert!(read.is_err());
    }
}

#[test]
fn l22_a_layer_cut_inside_an_entry_says_where() {
    let layer = tar(&[item("a", "12"), item("b", "34")]);
    for cut in [1, 511, 512, 513, 1025, 1300, 1536, 1537] {
        let tars = [layer.clone(), layer[..cut].to_vec()];
        let error = flatten(&tars, &Options::default(), 64).unwrap_err();
        assert_eq!((error.code(), error.place().layer), ("invalid_tar", Some(1)), "{cut}: {error}");
        assert!(error.place().byte.is_some());
    }
}

#[test]
fn drivers_that_break_the_contract_are_told() {
    let options = Options::default();
    let mut flatten = Flatten::new(2, &options).unwrap();
    assert_eq!(flatten.step(&mut [0; 8]).unwrap(), Step::Need { source: 0, offset: 0 });
    assert_eq!(flatten.feed(0, 7, b"x").unwrap_err().code(), "internal");
    assert_eq!(flatten.feed(2, 0, b"x").unwrap_err().code(), "internal");
    flatten.supply(LayerIndex::new(1, &options.limits)).unwrap();
    assert_eq!(flatten.supply(LayerIndex::new(1, &options.limits)).unwrap_err().code(), "internal");
}

#[test]
fn files_are_found_as_a_process_in_the_root_would() {
    let layer = tar(&[
        item("usr/lib/os-release", "data"),
        of_kind("etc/os-release", Kind::Symlink, "../usr/lib/os-release"),
        of_kind("lib", Kind::Symlink, "/usr/lib"),
        of_kind("loop", Kind::Symlink, "loop"),
        of_kind("up", Kind::Symlink, "../../../../etc"),
    ]);
    let tree = resolve(&[layer], &Options::default(), 100, false).unwrap();
    for path in [
        "/etc/os-release",
        "etc//./os-release",
        "lib/os-release",
        "up/os-release",
        "/../lib/../lib/os-release",
    ] {
        assert_eq!(tree.resolve(path.as_bytes()).unwrap().path(), b"usr/lib/os-release", "{path}");
    }
    for path in ["nothing", "etc/os-release/x", "etc/os-release/..", "etc/no"] {
        assert_eq!(tree.resolve(path.as_bytes()).unwrap_err().code(), "path_not_found", "{path}");
    }
    assert_eq!(tree.resolve(b"loop/x").unwrap_err().code(), "invalid_path");
    assert_eq!(tree.resolve(b"").unwrap().id(), tree.root().id());
    assert_eq!(tree.lookup(b"/etc/os-release").unwrap().kind(), Kind::Symlink);
    assert!(tree.lookup(b"lib/os-release").is_none());
}

#[test]
fn what_we_write_others_read() {
    let below =
        tar(&[item("d/a", "1"), of_kind("d/b", Kind::HardLink, "d/a"), item(&"n".repeat(300), "long")]);
    let above = tar(&[of_kind("d", Kind::Directory, ""), item("d/c", "3"), item("d/.wh.a", "")]);
    for order in [Order::Stream, Order::Canonical] {
        let mut options = Options::default();
        options.order = order;
        let flat = flatten(&[below.clone(), above.clone()], &options, 1000).unwrap();
        let mut ours = Vec::new();
        each_entry(&flat, |entry, data| ours.push((entry.path.clone(), data.to_vec())));
        let theirs: Vec<(Vec<u8>, Vec<u8>)> = ::tar::Archive::new(&flat[..])
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut data = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut data).unwrap();
                (entry.path_bytes().to_vec(), data)
            })
            .collect();
        assert_eq!(ours, theirs);
    }
}

#[test]
fn l26_plain_tar_keeps_directory_times() {
    let tar_is_gnu = Command::new("tar")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"tar (GNU"));
    if !tar_is_gnu {
        println!("skipped: there is no GNU tar");
        return;
    }
    let directory = |path: &str, seconds: i64| {
        let mut item = of_kind(path, Kind::Directory, "");
        item.metadata.mode = 0o755;
        item.metadata.mtime = Mtime::from_seconds(seconds);
        item
    };
    let below = tar(&[
        directory("etc", 100),
        item("etc/passwd", "p"),
        of_kind("etc/mtab", Kind::Symlink, "../proc/self/mounts"),
        directory("etc/rc2.d", 200),
        of_kind("etc/rc2.d/S01", Kind::Symlink, "../init.d/x"),
        directory("usr", 300),
        directory("usr/bin", 400),
        of_kind("usr/bin/awk", Kind::Symlink, "/etc/alternatives/awk"),
        of_kind("usr/bin/nawk", Kind::Symlink, "awk"),
        item("usr/bin/x", "x"),
        of_kind("usr/y", Kind::HardLink, "usr/bin/x"),
    ]);
    let above = tar(&[
        item("usr/bin/new", "n"),
        directory("etc/rc2.d", 250),
        item("etc/new", "n"),
        of_kind("usr/z", Kind::HardLink, "etc/passwd"),
    ]);
    for order in [Order::Stream, Order::Canonical] {
        let mut options = Options::default();
        options.order = order;
        let flat = flatten(&[below.clone(), above.clone()], &options, 4096).unwrap();
        let root =
            std::env::temp_dir().join(format!("wharfie-merge-{}-{}", std::process::id(), order.name()));
        std::fs::create_dir(&root).unwrap();
        let mut child = Command::new("tar")
            .arg("-xf")
            .arg("-")
            .arg("-C")
            .arg(&root)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&flat).unwrap();
        assert!(child.wait().unwrap().success());
        let seconds = |path: &str| {
            let modified = std::fs::symlink_metadata(root.join(path)).unwrap().modified().unwrap();
            modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
        };
        let times: Vec<u64> = ["etc", "etc/rc2.d", "usr", "usr/bin"].map(seconds).to_vec();
        assert_eq!(std::fs::read(root.join("usr/z")).unwrap(), b"p");
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(times, [100, 250, 300, 400], "{} order", order.name());
    }
}
