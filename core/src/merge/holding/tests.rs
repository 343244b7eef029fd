use super::*;
use crate::limits::Limits;
use crate::merge::{Options, Resolver, Scan};
use crate::tar::{END_OF_ARCHIVE, Header, padding};
use std::prelude::v1::*;

/// A tree of one layer: paths with kinds, links' targets and owners.
fn plan(entries: &[(&[u8], Kind, &[u8], u32)]) -> DirectoryPlan {
    let mut tar = Vec::new();
    for (path, kind, link, uid) in entries {
        let metadata = Metadata { mode: 0o4755, uid: *uid, ..Metadata::default() };
        let data = if *kind == Kind::File { &b"data"[..] } else { b"" };
        let size = data.len() as u64;
        Header { path, link, kind: *kind, metadata: &metadata, size }.write(&mut tar).unwrap();
        tar.extend_from_slice(data);
        tar.resize(tar.len() + padding(size), 0);
    }
    tar.extend_from_slice(&END_OF_ARCHIVE);
    let mut scan = Scan::new(0, &Limits::default());
    scan.feed(&tar).unwrap();
    let mut resolver = Resolver::new(1, &Options::default()).unwrap();
    resolver.supply(scan.finish().unwrap()).unwrap();
    DirectoryPlan::new(resolver.finish().unwrap(), &Options::default()).unwrap()
}

fn id(plan: &DirectoryPlan, path: &[u8]) -> NodeId {
    plan.tree().lookup(path).unwrap().id()
}

/// What a host would make: names of entries and links, in any order.
fn made(plan: &DirectoryPlan) -> Vec<String> {
    let mut names = Vec::new();
    for directory in (0..plan.len()).filter_map(|number| plan.directory(number)) {
        for id in directory.entries {
            names.push(String::from_utf8_lossy(plan.name(plan.tree().node(*id).unwrap())).into_owned());
        }
    }
    names.extend(plan.links().map(|(name, first)| {
        format!(
            "{} -> {}",
            String::from_utf8_lossy(plan.name(name)),
            String::from_utf8_lossy(plan.name(first))
        )
    }));
    names.sort();
    names
}

#[test]
fn look_alikes_are_those_that_some_file_system_takes_for_one() {
    let file = |path: &'static str| (path.as_bytes(), Kind::File, &b""[..], 0);
    let entries = [
        file("d/README"),
        file("d/readme"),
        file("d/r"),
        file("d/stra\u{df}e"),
        file("d/STRASSE"),
        file("d/\u{e9}"),
        file("d/e\u{301}"),
        file("d/\u{212a}elvin"),
        file("d/kelvin"),
        file("e/Readme"),
    ];
    let plan = plan(&entries);
    let names = |set: Vec<NodeId>| -> Vec<String> {
        set.iter()
            .map(|id| String::from_utf8_lossy(plan.tree().node(*id).unwrap().name()).into_owned())
            .collect()
    };
    let sets: Vec<Vec<String>> = plan.look_alikes().into_iter().map(names).collect();
    let has = |names: [&str; 2]| {
        assert!(sets.iter().any(|set| names.iter().all(|name| set.iter().any(|it| it == name))), "{names:?}");
    };
    has(["README", "readme"]);
    has(["STRASSE", "stra\u{df}e"]);
    has(["e\u{301}", "\u{e9}"]);
    // The Kelvin sign folds to `k`, though its own capital is itself.
    assert!(sets.len() >= 3 && !sets.iter().flatten().any(|name| name == "r" || name == "Readme"));
}

#[test]
fn what_cannot_be_held_fails_is_left_out_or_gets_another_name() {
    let entries: [(&[u8], Kind, &[u8], u32); 7] = [
        (b"a:b", Kind::File, b"", 0),
        (b"other", Kind::HardLink, b"a:b", 0),
        (b"third", Kind::HardLink, b"a:b", 0),
        (b"Case", Kind::File, b"", 7),
        (b"case", Kind::File, b"", 7),
        (b"link", Kind::Symlink, b"case", 0),
        (b"pipe", Kind::Fifo, b"", 0),
    ];
    let holding = |plan: &DirectoryPlan| {
        let mut holding = Holding::default();
        holding.refused_names.insert(id(plan, b"a:b"));
        holding.colliding_names.insert(id(plan, b"case"));
        holding.symlinks = false;
        holding.refused_owners.insert((7, 0));
        holding
    };
    let mut failing = plan(&entries);
    let wants = holding(&failing);
    let error = failing.fit(wants, OnUnsupported::Fail).unwrap_err();
    assert_eq!(error.code(), "unsupported_by_target");
    let said = error.to_string();
    for part in
        ["names that collide (1: case)", "names (1: a:b)", "symlinks (1: link)", "owners (1: Case 7:0)"]
    {
        assert!(said.contains(part), "{said}");
    }

    // The file keeps its data under its other names.
    let mut skipping = plan(&entries);
    let wants = holding(&skipping);
    let lacks = skipping.fit(wants, OnUnsupported::Skip).unwrap();
    assert_eq!(made(&skipping), ["Case", "other", "pipe", "third -> other"]);
    assert_eq!(
        (lacks.count(Lack::Name), lacks.count(Lack::Collision), lacks.count(Lack::Symlink)),
        (1, 1, 1)
    );

    let mut renaming = plan(&entries);
    let wants = holding(&renaming);
    let lacks = renaming.fit(wants, OnUnsupported::Rename).unwrap();
    assert_eq!(made(&renaming), ["Case", "a%3ab", "case~1", "other -> a%3ab", "pipe", "third -> a%3ab"]);
    assert_eq!(
        lacks.iter().find(|it| it.lack == Lack::Collision).unwrap().detail,
        Some(b"as case~1".to_vec())
    );
    let case = renaming.tree().lookup(b"case").unwrap();
    assert!(!renaming.attributes(case).unwrap().sets_owner);

    let mut copying = plan(&entries[..3]);
    let wants = Holding { hard_links: false, ..Holding::default() };
    let lacks = copying.fit(wants, OnUnsupported::Skip).unwrap();
    assert_eq!((made(&copying).len(), copying.links().len(), copying.content_bytes()), (3, 0, 12));
    assert_eq!(lacks.count(Lack::HardLink), 2);
}

#[test]
fn what_is_below_a_directory_that_is_left_out_is_left_out() {
    let entries: [(&[u8], Kind, &[u8], u32); 4] = [
        (b"nul", Kind::Directory, b"", 0),
        (b"nul/d", Kind::Directory, b"", 0),
        (b"nul/d/f", Kind::File, b"", 0),
        (b"stays", Kind::HardLink, b"nul/d/f", 0),
    ];
    let mut plan = plan(&entries);
    let mut wants = Holding::default();
    wants.refused_names.insert(id(&plan, b"nul"));
    plan.fit(wants, OnUnsupported::Skip).unwrap();
    assert_eq!((plan.len(), made(&plan)), (1, Vec::from(["stays".to_owned()])));
}

#[test]
fn records_are_those_of_umoci() {
    assert_eq!(rootless_record(0, 0), None);
    assert_eq!(rootless_record(3, 4).unwrap(), [8, 3, 16, 4]);
    assert_eq!(rootless_record(0, 300).unwrap(), b"\x08\xff\xff\xff\xff\x0f\x10\xac\x02");
    assert_eq!(rootless_record(4_000_000_000, 128).unwrap(), b"\x08\x80\xd0\xac\xf3\x0e\x10\x80\x01");
}
