use super::*;
use crate::digest::{Algorithm, Digest};
use crate::media_type::MediaType;

#[derive(serde::Deserialize)]
struct Cases {
    stem: Vec<Stem>,
    name: Vec<OneName>,
    file: Vec<File>,
    batch: Vec<Batch>,
}

#[derive(serde::Deserialize)]
struct Stem {
    file: String,
    #[serde(default)]
    directory: bool,
    stem: String,
}

#[derive(serde::Deserialize)]
struct OneName {
    name: String,
    #[serde(default)]
    portable: bool,
    store: Option<String>,
    directory: Option<String>,
    refused: Option<String>,
}

#[derive(serde::Deserialize)]
struct File {
    file: String,
    #[serde(default)]
    head: String,
    archive: bool,
}

#[derive(serde::Deserialize)]
struct Batch {
    what: String,
    target: String,
    sources: Vec<Listed>,
    names: Option<Vec<Vec<String>>>,
    error: Option<String>,
    says: Option<Vec<String>>,
}

#[derive(serde::Deserialize)]
struct Listed {
    file: Option<String>,
    #[serde(default)]
    directory: bool,
    images: Vec<Image>,
}

#[derive(serde::Deserialize)]
struct Image {
    content: String,
    name: Option<String>,
    containerd: Option<String>,
}

/// `\xNN` and `\\` as in JSON output, so that names that are no text can stand in the file.
fn bytes(text: &str) -> Vec<u8> {
    crate::name::from_json(text).unwrap_or_else(|| text.as_bytes().to_vec())
}

fn cases() -> Cases {
    toml::from_str(include_str!("../../../testdata/import.toml")).unwrap()
}

#[test]
fn stems() {
    for case in cases().stem {
        let file = bytes(&case.file);
        assert_eq!(stem(&file, case.directory), bytes(&case.stem), "{}", case.file);
    }
}

#[test]
fn single_names() {
    for case in cases().name {
        let name = case.name.as_str();
        match (check(name), case.refused) {
            (Ok(()), None) => {}
            (Err(error), Some(why)) => {
                assert_eq!(error.code(), "unusable_name");
                assert!(error.to_string().contains(&why), "{name:?}: {error}");
            }
            (result, _) => panic!("{name:?}: {result:?}"),
        }
        assert_eq!(is_portable(name), case.portable, "{name:?}");
        assert_eq!(store_name(name), case.store.unwrap_or_else(|| name.to_owned()), "{name:?}");
        assert_eq!(directory(name), case.directory.unwrap_or_else(|| name.to_owned()), "{name:?}");
    }
}

#[test]
fn files_of_a_folder() {
    for case in cases().file {
        let mut head = bytes(&case.head);
        if case.head == "tar" {
            head = alloc::vec![b'a'; 257];
            head.extend(b"ustar\x0000");
        }
        assert_eq!(is_archive(&bytes(&case.file), &head), case.archive, "{} {:?}", case.file, case.head);
    }
}

#[test]
fn batches() {
    for case in cases().batch {
        let target = match case.target.as_str() {
            "layout" => Target::Layout,
            "store" => Target::Store,
            "each" => Target::Each,
            other => panic!("{other}"),
        };
        let files: Vec<_> = case.sources.iter().map(|source| source.file.as_deref().map(bytes)).collect();
        let paths: Vec<_> = files
            .iter()
            .map(|file| file.as_deref().map_or("-".to_owned(), |file| format!("in/{}", Name(file))))
            .collect();
        let entries: Vec<Vec<_>> = case
            .sources
            .iter()
            .map(|source| {
                let entry = |image: &Image| {
                    let digest = Digest::of(Algorithm::Sha256, image.content.as_bytes());
                    let mut entry = Descriptor::new(MediaType::OciManifest, digest, 1);
                    let mut note = |key: &str, value: &Option<String>| {
                        let value = value.clone().map(|value| (key.to_owned(), value));
                        entry.annotations.extend(value);
                    };
                    note("org.opencontainers.image.ref.name", &image.name);
                    note(crate::image::CONTAINERD_NAME, &image.containerd);
                    entry
                };
                source.images.iter().map(entry).collect()
            })
            .collect();
        let sources: Vec<_> = (0..case.sources.len())
            .map(|at| Source {
                path: &paths[at],
                file: files[at].as_deref(),
                is_directory: case.sources[at].directory,
                entries: &entries[at],
            })
            .collect();
        match names(&sources, target) {
            Ok(found) => {
                let found: Vec<Vec<_>> = found
                    .into_iter()
                    .map(|named| {
                        named
                            .into_iter()
                            .map(|named| format!("{} {}", named.entry, named.name.as_deref().unwrap_or("-")))
                            .collect()
                    })
                    .collect();
                assert_eq!(Some(found), case.names, "{}", case.what);
            }
            Err(error) => {
                assert_eq!(Some(error.code()), case.error.as_deref(), "{}: {error}", case.what);
                for word in case.says.unwrap_or_default() {
                    assert!(error.to_string().contains(&word), "{}: {error}", case.what);
                }
            }
        }
    }
}

#[test]
fn one_image_is_called_as_asked() {
    let entry = |content: &str, name: Option<&str>| {
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        let mut entry = Descriptor::new(MediaType::OciManifest, digest, 1);
        let name = name.map(|name| ("org.opencontainers.image.ref.name".to_owned(), name.to_owned()));
        entry.annotations.extend(name);
        entry
    };
    let called = |entries: &[Descriptor], name: &str, target| {
        let source = Source { path: "in/a.tar", file: Some(b"a.tar"), is_directory: false, entries };
        named(&source, name, target)
    };
    let two_names = [entry("a", Some("x")), entry("a", Some("y"))];
    for entries in [&[entry("a", None)][..], &two_names] {
        let found = called(entries, "mine", Target::Layout).unwrap();
        assert_eq!(found, [Named { entry: 0, name: Some("mine".to_owned()) }]);
    }
    let found = called(&two_names, "mine:2", Target::Store).unwrap();
    assert_eq!(found[0].name.as_deref(), Some("docker.io/library/mine:2"));
    let several = called(&[entry("a", None), entry("b", None)], "mine", Target::Layout).unwrap_err();
    assert_eq!(several.code(), "invalid_option");
    assert!(several.to_string().contains("2 images in in/a.tar"), "{several}");
    assert_eq!(called(&two_names, "", Target::Layout).unwrap_err().code(), "unusable_name");
}
