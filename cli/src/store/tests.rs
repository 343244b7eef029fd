use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use wharfie_core::image::Descriptor;
use wharfie_core::{Algorithm, Digest, MediaType, Reference};

use super::*;

fn of(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

fn store() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path().join("a").join("store")).unwrap();
    (dir, store)
}

fn mine(store: &Store, bytes: &[u8]) -> Partial {
    match store.claim(&of(bytes), bytes.len() as u64).unwrap() {
        Claim::Mine(partial) => partial,
        other => panic!("{other:?}"),
    }
}

fn put(store: &Store, bytes: &[u8]) -> Digest {
    let partial = mine(store, bytes);
    partial.truncate(0).unwrap();
    partial.file().write_all(bytes).unwrap();
    partial.commit(bytes.len() as u64).unwrap();
    of(bytes)
}

/// An image of one layer; answers the descriptor of its manifest.
fn image(store: &Store, layer: &[u8], architecture: &str) -> Descriptor {
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        of(layer)
    );
    store.put_document(&of(config.as_bytes()), config.as_bytes()).unwrap();
    put(store, layer);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{}","size":{}}}]}}"#,
        MediaType::OciManifest,
        MediaType::OciConfig,
        of(config.as_bytes()),
        config.len(),
        of(layer),
        layer.len()
    );
    let digest = of(manifest.as_bytes());
    store.put_document(&digest, manifest.as_bytes()).unwrap();
    Descriptor::new(MediaType::OciManifest, digest, manifest.len() as u64)
}

fn reference(name: &str) -> Reference {
    name.parse().unwrap()
}

fn ingest(store: &Store) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(store.ingest())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with("lock"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_store_is_an_oci_layout() {
    let (_dir, store) = store();
    assert_eq!(fs::read_to_string(store.root().join("oci-layout")).unwrap(), MARKER);
    assert_eq!(fs::read_to_string(store.root().join("index.json")).unwrap(), EMPTY);
    assert!(ingest(&store).is_empty());
    // Opened again, nothing is laid anew.
    fs::write(store.root().join("index.json"), r#"{"schemaVersion":2,"manifests":[],"x":1}"#).unwrap();
    Store::open(store.root()).unwrap();
    assert!(fs::read_to_string(store.root().join("index.json")).unwrap().contains("\"x\":1"));
}

#[test]
fn a_directory_with_something_else_is_refused() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("thesis.doc"), "years of work").unwrap();
    assert_eq!(Store::open(dir.path()).unwrap_err().code(), "invalid_option");
    assert_eq!(Store::open(dir.path().join("thesis.doc")).unwrap_err().code(), "invalid_option");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let layout = dir.path().join("new");
    fs::create_dir(&layout).unwrap();
    for bad in ["{\"imageLayoutVersion\":\"2.0.0\"}", "{}", "nonsense"] {
        fs::write(layout.join("oci-layout"), bad).unwrap();
        assert_eq!(Store::open(&layout).unwrap_err().code(), "invalid_option", "{bad}");
    }
}

#[test]
fn many_may_lay_one_store_at_once() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("store");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Store::open(&root).unwrap());
        }
    });
    assert_eq!(fs::read_to_string(root.join("oci-layout")).unwrap(), MARKER);
    assert!(ingest(&Store::open(&root).unwrap()).is_empty());
}

#[test]
fn the_default_is_in_the_cache_directory() {
    let with = |pairs: &'static [(&'static str, &'static str)]| {
        default_dir(move |name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value))
        })
    };
    assert_eq!(
        with(&[("WHARFIE_STORE", "there"), ("XDG_CACHE_HOME", "/c")]).unwrap(),
        PathBuf::from("there")
    );
    if cfg!(unix) {
        assert_eq!(with(&[("XDG_CACHE_HOME", "/c")]).unwrap(), PathBuf::from("/c/wharfie/store"));
        let relative = with(&[("XDG_CACHE_HOME", "c")]);
        assert!(!relative.is_ok_and(|dir| dir.starts_with("c")));
    }
}

#[test]
fn a_blob_gets_its_name_when_it_is_whole() {
    let (_dir, store) = store();
    let bytes = b"some bytes of a layer";
    let partial = mine(&store, bytes);
    partial.file().write_all(&bytes[..4]).unwrap();
    assert_eq!(store.has(&of(bytes)), None);
    assert_eq!(store.partial_len(&of(bytes)), Some(4));
    // Not with bytes missing.
    assert_eq!(partial.commit(bytes.len() as u64).unwrap_err().code(), "size_mismatch");
    assert_eq!(store.has(&of(bytes)), None);
    // What came stays.
    let partial = mine(&store, bytes);
    assert_eq!(partial.len().unwrap(), 4);
    partial.truncate(4).unwrap();
    partial.file().write_all(&bytes[4..]).unwrap();
    partial.commit(bytes.len() as u64).unwrap();
    assert_eq!(fs::read(store.blob_path(&of(bytes))).unwrap(), bytes);
    assert!(matches!(store.claim(&of(bytes), bytes.len() as u64).unwrap(), Claim::Present(21)));
    assert!(matches!(store.claim(&of(bytes), 0).unwrap(), Claim::Present(21)));
    assert!(ingest(&store).is_empty());
}

#[test]
fn one_at_a_time_writes_a_blob() {
    let (_dir, store) = store();
    let other = Store::open(store.root()).unwrap();
    let first = mine(&store, b"bytes");
    assert!(matches!(other.claim(&of(b"bytes"), 5).unwrap(), Claim::Busy));
    first.file().write_all(b"by").unwrap();
    drop(first);
    // The next one goes on.
    let second = mine(&other, b"bytes");
    assert_eq!(second.len().unwrap(), 2);
    assert!(matches!(store.claim(&of(b"bytes"), 5).unwrap(), Claim::Busy));
    second.truncate(2).unwrap();
    second.file().write_all(b"tes").unwrap();
    second.commit(5).unwrap();
    assert!(matches!(store.claim(&of(b"bytes"), 5).unwrap(), Claim::Present(5)));
}

#[test]
fn an_empty_partial_leaves_nothing_behind() {
    let (_dir, store) = store();
    drop(mine(&store, b"bytes"));
    assert!(ingest(&store).is_empty());
}

#[test]
fn what_cannot_be_right_is_begun_anew() {
    let (_dir, store) = store();
    let digest = of(b"bytes");
    // A partial with more bytes than the blob has.
    fs::write(store.partial_path(&digest), b"far too many bytes").unwrap();
    assert_eq!(mine(&store, b"bytes").len().unwrap(), 0);
    // A blob of another size.
    fs::write(store.blob_path(&digest), b"rotten").unwrap();
    put(&store, b"bytes");
    assert_eq!(fs::read(store.blob_path(&digest)).unwrap(), b"bytes");
}

#[test]
fn a_document_is_checked_when_it_is_read() {
    let (_dir, store) = store();
    let digest = of(b"{}");
    assert_eq!(store.read_document(&digest, 10).unwrap(), None);
    store.put_document(&digest, b"{}").unwrap();
    assert_eq!(store.read_document(&digest, 2).unwrap().unwrap(), b"{}");
    assert_eq!(store.read_document(&digest, 1).unwrap_err().code(), "limit_exceeded");
    fs::write(store.blob_path(&digest), "[]").unwrap();
    assert_eq!(store.read_document(&digest, 2).unwrap_err().code(), "digest_mismatch");
    // And mended by keeping it again.
    store.put_document(&digest, b"{}").unwrap();
    assert_eq!(store.read_document(&digest, 2).unwrap().unwrap(), b"{}");
}

#[test]
fn names_map_to_descriptors() {
    let (_dir, store) = store();
    let old = image(&store, b"old layer", "amd64");
    let new = image(&store, b"new layer", "amd64");
    assert_eq!(store.resolve(&reference("alpine")).unwrap(), None);
    store.tag(&reference("alpine"), &old).unwrap();
    assert_eq!(store.resolve(&reference("docker.io/library/alpine:latest")).unwrap(), Some(old.clone()));
    store.tag(&reference("alpine:3"), &old).unwrap();
    store.tag(&reference("alpine:latest"), &new).unwrap();
    assert_eq!(store.resolve(&reference("alpine")).unwrap(), Some(new.clone()));
    assert_eq!(store.resolve(&reference("alpine:3")).unwrap(), Some(old.clone()));
    assert_eq!(store.listed().unwrap().len(), 2);
    // By digest, in whatever repository, listed or not.
    let by_digest = reference("localhost:5000/x").with_digest(old.digest);
    assert_eq!(store.resolve(&by_digest).unwrap(), Some(old.clone()));
    assert!(store.untag(&reference("alpine:3")).unwrap());
    assert!(!store.untag(&reference("alpine:3")).unwrap());
    assert_eq!(store.resolve(&by_digest).unwrap(), Some(old.clone()));
    // A name whose document is gone names nothing.
    fs::remove_file(store.blob_path(&new.digest)).unwrap();
    assert_eq!(store.resolve(&reference("alpine")).unwrap(), None);
    assert_eq!(store.resolve(&reference("x").with_digest(new.digest)).unwrap(), None);
}

#[test]
fn what_others_wrote_in_the_index_stays() {
    let (_dir, store) = store();
    let path = store.root().join("index.json");
    let foreign = r#"{"schemaVersion":2,"annotations":{"theirs":"1"},"manifests":[{"mediaType":"a/b","digest":"blake9:zz","size":1,"odd":true},{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"annotations":{"org.opencontainers.image.ref.name":"their:tag"}}]}"#;
    fs::write(&path, foreign).unwrap();
    let top = image(&store, b"layer", "amd64");
    store.tag(&reference("alpine"), &top).unwrap();
    let kept = fs::read_to_string(&path).unwrap();
    for part in
        ["\"theirs\":\"1\"", "blake9:zz", "\"odd\":true", "their:tag", "docker.io/library/alpine:latest"]
    {
        assert!(kept.contains(part), "{part} in {kept}");
    }
    fs::write(&path, "[]").unwrap();
    assert_eq!(store.tag(&reference("alpine"), &top).unwrap_err().code(), "invalid_document");
    assert_eq!(fs::read_to_string(&path).unwrap(), "[]");
}

#[test]
fn taggers_at_once_lose_nothing() {
    let (_dir, store) = store();
    let top = image(&store, b"layer", "amd64");
    std::thread::scope(|scope| {
        for at in 0..8 {
            let (root, top) = (store.root().to_owned(), &top);
            scope.spawn(move || {
                let store = Store::open(root).unwrap();
                for tag in 0..5 {
                    store.tag(&reference(&format!("x:{at}-{tag}")), top).unwrap();
                }
            });
        }
    });
    assert_eq!(store.listed().unwrap().len(), 40);
    assert!(ingest(&store).is_empty());
}

#[test]
fn the_census_counts_what_is_there() {
    let (_dir, store) = store();
    let amd64 = image(&store, b"a layer of one", "amd64");
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{1}","digest":"{2}","size":{3},"platform":{{"os":"linux","architecture":"amd64"}}}},{{"mediaType":"{1}","digest":"{4}","size":7,"platform":{{"os":"linux","architecture":"s390x"}}}}]}}"#,
        MediaType::OciIndex,
        MediaType::OciManifest,
        amd64.digest,
        amd64.size,
        of(b"elsewhere")
    );
    let top = Descriptor::new(MediaType::OciIndex, of(index.as_bytes()), index.len() as u64);
    store.put_document(&top.digest, index.as_bytes()).unwrap();
    store.tag(&reference("multi"), &top).unwrap();
    store.tag(&reference("single"), &amd64).unwrap();
    put(&store, b"nobody needs this");
    fs::write(store.partial_path(&of(b"later")), "lat").unwrap();

    let census = store.census().unwrap();
    let [multi, single] = &census.images[..] else { panic!("{census:?}") };
    assert_eq!(multi.name.as_deref(), Some("docker.io/library/multi:latest"));
    assert_eq!(multi.platforms, ["linux/amd64"]);
    assert!(!multi.incomplete && !single.incomplete);
    assert_eq!(multi.bytes, single.bytes + top.size);
    assert_eq!((multi.own_bytes, single.own_bytes), (top.size, 0));
    assert!(multi.used.is_some());
    assert_eq!((census.blobs, census.unused, census.unused_bytes), (5, 1, 17));
    assert_eq!(census.blob_bytes, multi.bytes + 17);
    assert_eq!((census.partials, census.partial_bytes), (1, 3));

    fs::remove_file(store.blob_path(&of(b"a layer of one"))).unwrap();
    let census = store.census().unwrap();
    assert!(census.images.iter().all(|image| image.incomplete && image.platforms.is_empty()));
}

#[test]
fn pruning_takes_what_no_image_needs() {
    let (_dir, store) = store();
    let keep = image(&store, b"a layer to keep", "amd64");
    let old = image(&store, b"an old layer", "amd64");
    store.tag(&reference("keep"), &keep).unwrap();
    store.tag(&reference("old"), &old).unwrap();
    let unused = put(&store, b"unused");
    fs::write(store.partial_path(&of(b"later")), "lat").unwrap();

    let dry = store.prune(&Prune { dry_run: true, ..Prune::default() }).unwrap();
    assert_eq!((&dry.blobs[..], dry.partials, dry.bytes), (&[unused][..], 1, 9));
    assert!(store.has(&unused).is_some());
    assert_eq!(store.prune(&Prune::default()).unwrap(), dry);
    assert_eq!(store.has(&unused), None);
    assert!(ingest(&store).is_empty());
    assert_eq!(store.prune(&Prune::default()).unwrap(), Pruned::default());

    let month = Duration::from_secs(30 * 86_400);
    let long_ago = SystemTime::now() - month - Duration::from_secs(60);
    File::options().write(true).open(store.blob_path(&old.digest)).unwrap().set_modified(long_ago).unwrap();
    let older = Prune { older_than: Some(month), ..Prune::default() };
    let pruned = store.prune(&older).unwrap();
    assert_eq!(pruned.images, ["docker.io/library/old:latest"]);
    assert_eq!(pruned.blobs.len(), 3);
    assert_eq!(store.resolve(&reference("old")).unwrap(), None);
    assert_eq!(store.resolve(&reference("keep")).unwrap(), Some(keep.clone()));
    // One that is used again stays.
    File::options().write(true).open(store.blob_path(&keep.digest)).unwrap().set_modified(long_ago).unwrap();
    store.touch(&keep.digest);
    assert_eq!(store.prune(&older).unwrap(), Pruned::default());

    let all = store.prune(&Prune { all: true, ..Prune::default() }).unwrap();
    assert_eq!(all.images, ["docker.io/library/keep:latest"]);
    assert_eq!(store.census().unwrap(), Census::default());
}

#[test]
fn nothing_goes_while_another_uses_the_store() {
    let (_dir, store) = store();
    let unused = put(&store, b"unused");
    let other = Store::open(store.root()).unwrap();
    assert_eq!(store.prune(&Prune::default()).unwrap_err().code(), "busy");
    assert!(store.has(&unused).is_some());
    drop(other);
    assert_eq!(store.prune(&Prune::default()).unwrap().blobs, [unused]);
    // And the store is shared again afterwards.
    let other = Store::open(store.root()).unwrap();
    assert_eq!(other.prune(&Prune::default()).unwrap_err().code(), "busy");
}

#[cfg(unix)]
#[test]
fn nothing_goes_while_it_is_not_known_what_is_needed() {
    let (_dir, store) = store();
    let keep = image(&store, b"a layer", "amd64");
    store.tag(&reference("keep"), &keep).unwrap();
    // A document that cannot be read, whoever runs this: it is a directory.
    let path = store.blob_path(&keep.digest);
    let kept = path.with_extension("kept");
    fs::rename(&path, &kept).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(store.prune(&Prune::default()).unwrap_err().code(), "local_io");
    fs::remove_dir(&path).unwrap();
    fs::rename(&kept, &path).unwrap();
    assert_eq!(store.prune(&Prune::default()).unwrap(), Pruned::default());
}

#[test]
fn indexes_that_name_each_other_often_are_walked_once() {
    let (_dir, store) = store();
    let mut below = image(&store, b"a layer", "amd64");
    for _ in 0..6 {
        let entry = format!(
            r#"{{"mediaType":"{}","digest":"{}","size":{}}}"#,
            below.media_type.as_str(),
            below.digest,
            below.size
        );
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#,
            MediaType::OciIndex,
            vec![entry; 100].join(",")
        );
        below = Descriptor::new(MediaType::OciIndex, of(index.as_bytes()), index.len() as u64);
        store.put_document(&below.digest, index.as_bytes()).unwrap();
    }
    store.tag(&reference("deep"), &below).unwrap();
    let census = store.census().unwrap();
    assert_eq!((census.blobs, census.unused, census.images[0].incomplete), (9, 0, false));
}
